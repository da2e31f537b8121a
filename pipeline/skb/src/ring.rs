//! A fixed power-of-two ring of descriptors with a producer and a consumer index, for one core.
//!
//! Between cores the path uses `rtrb` chunks; this ring is what a NIC and its driver share when
//! both run to completion on one core. A descriptor is the cache line that becomes the skb, so the
//! driver can have the oldest ones worked on where they lie ([`Ring::oldest_mut`]).

use bytemuck::TransparentWrapper;

use crate::{RxDesc, Skb};

/// A bounded ring of rx descriptors. Full has a stated meaning: [`push`](Self::push) gives the
/// descriptor back.
#[derive(Debug, Default)]
pub struct Ring {
    /// Entries outside `head .. tail` are stale or hollow and own nothing.
    entries: Box<[RxDesc]>,
    mask: u32,
    head: u32,
    tail: u32,
}

impl Ring {
    /// A ring of `capacity` entries, rounded up to a power of two (at least 2, at most 2^20).
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(2, 1 << 20).next_power_of_two();
        Self {
            entries: (0..capacity).map(|_| RxDesc(Skb::hollow())).collect(),
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

    /// Appends, or gives the descriptor back when the ring is full.
    #[inline(always)]
    #[allow(clippy::result_large_err)] // a descriptor is a cache line and moves as one
    pub fn push(&mut self, desc: RxDesc) -> Result<(), RxDesc> {
        if self.len() >= self.entries.len() {
            return Err(desc);
        }
        match self.entries.get_mut((self.tail & self.mask) as usize) {
            Some(entry) => *entry = desc,
            None => return Err(desc),
        }
        self.tail = self.tail.wrapping_add(1);
        Ok(())
    }

    /// Room for at most `most` more entries, side by side, to write in place; what is there is
    /// stale. They enter the ring with [`produce`](Self::produce).
    #[inline]
    pub fn vacant_mut(&mut self, most: usize) -> &mut [RxDesc] {
        let start = (self.tail & self.mask) as usize;
        let to_end = self.entries.len() - start;
        let count = most.min(self.room()).min(to_end);
        &mut self.entries[start..start + count]
    }

    /// Appends the first `count` entries that [`vacant_mut`](Self::vacant_mut) showed.
    #[inline]
    pub fn produce(&mut self, count: usize) {
        self.tail = self.tail.wrapping_add(count.min(self.room()) as u32);
    }

    /// Takes the oldest.
    #[inline]
    pub fn pop(&mut self) -> Option<RxDesc> {
        if self.is_empty() {
            return None;
        }
        let entry = self.entries.get_mut((self.head & self.mask) as usize)?;
        self.head = self.head.wrapping_add(1);
        Some(std::mem::replace(entry, RxDesc(Skb::hollow())))
    }

    /// How many of the oldest `most` entries lie side by side.
    #[inline]
    pub fn contiguous(&self, most: usize) -> usize {
        let to_end = self.entries.len() - (self.head & self.mask) as usize;
        most.min(self.len()).min(to_end)
    }

    /// The `count` oldest entries where they lie, at most as many as lie side by side, as the skbs
    /// they are. They stay in the ring until [`release`](Self::release).
    #[inline]
    pub fn oldest_mut(&mut self, count: usize) -> &mut [Skb] {
        let start = (self.head & self.mask) as usize;
        let count = self.contiguous(count);
        RxDesc::peel_slice_mut(&mut self.entries[start..start + count])
    }

    /// Forgets the `count` oldest entries, whose references have gone elsewhere or ended.
    #[inline]
    pub fn release(&mut self, count: usize) {
        self.head = self.head.wrapping_add(count.min(self.len()) as u32);
    }

    /// The `count` newest, oldest first, left in place.
    pub fn newest(&self, count: usize) -> impl Iterator<Item = &RxDesc> {
        let count = count.min(self.len()) as u32;
        let place = |back| (self.tail.wrapping_sub(back) & self.mask) as usize;
        (1..=count).rev().filter_map(move |back| self.entries.get(place(back)))
    }

    /// The oldest, left in place.
    pub fn peek(&self) -> Option<&RxDesc> {
        if self.is_empty() { None } else { self.entries.get((self.head & self.mask) as usize) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn desc(id: u64) -> RxDesc {
        RxDesc(Skb { id, ..Skb::hollow() })
    }

    fn id(desc: Option<&RxDesc>) -> Option<u64> {
        desc.map(|d| d.id)
    }

    #[test]
    fn full_gives_back() {
        let mut ring = Ring::new(3);
        assert_eq!(ring.capacity(), 4);
        for i in 0..4 {
            ring.push(desc(i)).unwrap();
        }
        assert_eq!(ring.push(desc(9)).unwrap_err().id, 9);
        assert_eq!(id(ring.pop().as_ref()), Some(0));
        ring.push(desc(9)).unwrap();
        assert_eq!(ring.newest(2).map(|d| d.id).collect::<Vec<_>>(), [3, 9]);
        assert_eq!(ring.newest(9).count(), 4);
        assert_eq!(Ring::default().push(desc(1)).unwrap_err().id, 1, "an empty ring is full");
    }

    proptest! {
        /// Push, pop, and working in place at both ends behave like a bounded queue.
        #[test]
        fn behaves_like_a_bounded_queue(
            ops in proptest::collection::vec((any::<Option<u8>>(), 0_usize..6), 0..400)
        ) {
            let mut ring = Ring::new(8);
            let mut model = VecDeque::new();
            for (op, many) in ops {
                if let (Some(v), 5) = (op, many) {
                    let places = ring.vacant_mut(3);
                    let count = places.len();
                    prop_assert!(count <= 3 && (count > 0 || model.len() == 8));
                    for place in places {
                        *place = desc(u64::from(v));
                        model.push_back(u64::from(v));
                    }
                    ring.produce(count);
                } else if let Some(v) = op {
                    let fits = model.len() < 8;
                    prop_assert_eq!(ring.push(desc(u64::from(v))).is_ok(), fits);
                    if fits { model.push_back(u64::from(v)); }
                } else if many > 2 {
                    let taken: Vec<u64> = ring.oldest_mut(many).iter().map(|s| s.id).collect();
                    prop_assert!(taken.len() <= many);
                    prop_assert!(!taken.is_empty() || model.is_empty());
                    ring.release(taken.len());
                    for v in taken {
                        prop_assert_eq!(Some(v), model.pop_front());
                    }
                } else {
                    prop_assert_eq!(id(ring.peek()), model.front().copied());
                    prop_assert_eq!(id(ring.pop().as_ref()), model.pop_front());
                }
                prop_assert_eq!(ring.len(), model.len());
                prop_assert_eq!(ring.room(), 8 - model.len());
            }
        }
    }
}
