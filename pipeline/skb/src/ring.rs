//! A fixed power-of-two ring with a producer and a consumer index, for one core.
//!
//! Between cores the path uses `rtrb` chunks; this ring is what a NIC and its driver share when
//! both run to completion on one core.

/// A bounded ring. Full has a stated meaning: [`push`](Self::push) gives the entry back.
#[derive(Debug)]
pub struct Ring<T> {
    entries: Box<[Option<T>]>,
    mask: u32,
    head: u32,
    tail: u32,
}

impl<T> Ring<T> {
    /// A ring of `capacity` entries, rounded up to a power of two (at least 2, at most 2^20).
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(2, 1 << 20).next_power_of_two();
        Self {
            entries: (0..capacity).map(|_| None).collect(),
            mask: capacity as u32 - 1,
            head: 0,
            tail: 0,
        }
    }

    /// Entries it can hold.
    pub fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// Entries in it.
    #[inline]
    pub fn len(&self) -> usize {
        self.tail.wrapping_sub(self.head) as usize
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// Entries it still has room for.
    #[inline]
    pub fn room(&self) -> usize {
        self.entries.len() - self.len()
    }

    /// Producer index as the hardware would show it: counts on, never reset.
    pub fn producer(&self) -> u32 {
        self.tail
    }

    /// Consumer index.
    pub fn consumer(&self) -> u32 {
        self.head
    }

    /// Appends, or gives the entry back when the ring is full.
    #[inline]
    pub fn push(&mut self, entry: T) -> Result<(), T> {
        if self.room() == 0 {
            return Err(entry);
        }
        self.entries[(self.tail & self.mask) as usize] = Some(entry);
        self.tail = self.tail.wrapping_add(1);
        Ok(())
    }

    /// Takes the oldest.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let entry = self.entries[(self.head & self.mask) as usize].take();
        self.head = self.head.wrapping_add(1);
        entry
    }

    /// The newest, left in place.
    pub fn newest(&self) -> Option<&T> {
        let last = (self.tail.wrapping_sub(1) & self.mask) as usize;
        if self.is_empty() { None } else { self.entries[last].as_ref() }
    }

    /// The oldest, left in place.
    pub fn peek(&self) -> Option<&T> {
        if self.is_empty() { None } else { self.entries[(self.head & self.mask) as usize].as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[test]
    fn full_gives_back() {
        let mut ring = Ring::new(3);
        assert_eq!(ring.capacity(), 4);
        for i in 0..4 {
            ring.push(i).unwrap();
        }
        assert_eq!(ring.push(9), Err(9));
        assert_eq!(ring.pop(), Some(0));
        assert_eq!(ring.push(9), Ok(()));
    }

    proptest! {
        #[test]
        fn behaves_like_a_bounded_queue(ops in proptest::collection::vec(any::<Option<u8>>(), 0..400)) {
            let mut ring = Ring::new(8);
            let mut model = VecDeque::new();
            for op in ops {
                if let Some(v) = op {
                    let fits = model.len() < 8;
                    prop_assert_eq!(ring.push(v).is_ok(), fits);
                    if fits { model.push_back(v); }
                } else {
                    prop_assert_eq!(ring.peek(), model.front());
                    prop_assert_eq!(ring.pop(), model.pop_front());
                }
                prop_assert_eq!(ring.len(), model.len());
            }
        }
    }
}
