//! The guest's own receive memory: what a virtio driver posts, what a netvsc receive area is.

/// Buffers kept back from [`RxMemory::credit`] for the segments of one super-frame that was let in
/// with the last credit: enough for 64 KiB in segments of 1 KiB.
pub(crate) const RESERVE: usize = 64;

/// A fixed number of equal receive buffers, used round and round.
///
/// Frames are copied in by the path and taken out in order by the guest's stack; nothing is
/// allocated after the start and nothing of the path is referenced from here.
#[derive(Debug)]
pub(crate) struct RxMemory {
    bytes: Box<[u8]>,
    lens: Box<[u32]>,
    stride: usize,
    reserve: usize,
    head: usize,
    used: usize,
}

impl RxMemory {
    /// `reserve` is [`RESERVE`], or 0 where no frame is longer than a buffer.
    pub(crate) fn new(buffers: usize, stride: usize, reserve: usize) -> Self {
        Self {
            bytes: vec![0; (buffers + reserve) * stride].into_boxed_slice(),
            lens: vec![0; buffers + reserve].into_boxed_slice(),
            stride,
            reserve,
            head: 0,
            used: 0,
        }
    }

    /// Longest frame one buffer holds.
    pub(crate) fn frame_max(&self) -> usize {
        self.stride
    }

    /// Frames that are let in.
    #[inline]
    pub(crate) fn credit(&self) -> usize {
        (self.lens.len() - self.used).saturating_sub(self.reserve)
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Takes the next free buffer for a frame of `len` bytes and shows it to be filled; `None` if
    /// there is none or the frame is longer. Uses the reserve: ask [`credit`](Self::credit) first.
    #[inline]
    pub(crate) fn fill(&mut self, len: usize) -> Option<&mut [u8]> {
        if len > self.stride || self.used == self.lens.len() {
            return None;
        }
        let index = (self.head + self.used) % self.lens.len();
        self.lens[index] = len as u32;
        self.used += 1;
        let start = index * self.stride;
        Some(&mut self.bytes[start..start + len])
    }

    /// Gives back the buffer that was filled last.
    pub(crate) fn unfill(&mut self) {
        self.used = self.used.saturating_sub(1);
    }

    /// The oldest frame.
    #[inline]
    pub(crate) fn front(&self) -> Option<&[u8]> {
        if self.used == 0 {
            return None;
        }
        let start = self.head * self.stride;
        Some(&self.bytes[start..start + self.lens[self.head] as usize])
    }

    /// Forgets all frames.
    pub(crate) fn clear(&mut self) {
        self.used = 0;
    }

    /// Recycles the oldest frame's buffer.
    #[inline]
    pub(crate) fn pop(&mut self) {
        if self.used > 0 {
            self.used -= 1;
            // an empty memory begins anew: the buffers used last are those still in the cache
            self.head = if self.used == 0 { 0 } else { (self.head + 1) % self.lens.len() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn behaves_like_a_bounded_queue_of_frames(
            ops in vec(proptest::option::weighted(0.7, any::<(u8, u8)>()), 0..300)
        ) {
            let mut memory = RxMemory::new(5, 100, RESERVE);
            prop_assert_eq!(memory.lens.len(), 5 + RESERVE);
            let mut model = VecDeque::new();
            for op in ops {
                if let Some((len, byte)) = op {
                    let frame = vec![byte; usize::from(len)];
                    let fits = model.len() < 5 + RESERVE && frame.len() <= 100;
                    let buffer = memory.fill(frame.len());
                    prop_assert_eq!(buffer.is_some(), fits);
                    if let Some(buffer) = buffer {
                        buffer.copy_from_slice(&frame);
                        model.push_back(frame);
                    }
                } else {
                    prop_assert_eq!(memory.front(), model.front().map(Vec::as_slice));
                    memory.pop();
                    model.pop_front();
                }
                prop_assert_eq!(memory.credit(), 5_usize.saturating_sub(model.len()));
            }
        }
    }
}
