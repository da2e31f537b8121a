//! Where conversations are kept: a slab of records and an index of hashes, capped together.
//!
//! The index is open addressing over words of half a hash and half a slot, so that a look-up costs
//! one line of the index and one of the slab, and both can be asked for ahead.

use std::hash::BuildHasher;

use super::{Flow, Key};
use crate::peel::Address;

/// Index of a record in the slab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FlowId(u32);

/// Hashes keys with a secret of this process, so that nobody can aim at one place of the table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hasher(foldhash::fast::RandomState);

impl Hasher {
    #[inline(always)]
    pub(crate) fn hash(&self, key: &Key) -> u64 {
        let [a, b] = key.addresses.map(Address::halves);
        let rest =
            u64::from(key.ports[0]) << 32 | u64::from(key.ports[1]) << 16 | u64::from(key.proto);
        self.0.hash_one((a[0], a[1], b[0], b[1], rest))
    }
}

/// Slots of the index when fresh.
const INDEX_MIN: usize = 1 << 12;
/// Records looked at for one to evict.
const LOOKED_AT: usize = 16;

/// The table.
#[derive(Debug)]
pub(crate) struct Table {
    /// Upper half of the hash, slot + 1; 0 is empty.
    index: Vec<u64>,
    mask: usize,
    slab: Vec<Option<Flow>>,
    hashes: Vec<u64>,
    free: Vec<u32>,
    len: usize,
    /// At most so many records.
    max: usize,
    /// Where the last eviction looked.
    hand: usize,
    /// The record that is looked at next for being over.
    sweep: usize,
}

impl Table {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            index: vec![0; INDEX_MIN],
            mask: INDEX_MIN - 1,
            slab: Vec::new(),
            hashes: Vec::new(),
            free: Vec::new(),
            len: 0,
            max: max.clamp(1, u32::MAX as usize / 2),
            hand: 0,
            sweep: 0,
        }
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.len >= self.max
    }

    /// Asks the cache for the place of a hash in the index.
    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: u64) {
        skb::arch::prefetch(&self.index, hash as usize & self.mask);
    }

    /// Asks the cache for the record that a hash most likely belongs to.
    #[inline(always)]
    pub(crate) fn prefetch_flow(&self, hash: u64) {
        let entry = self.index[hash as usize & self.mask];
        skb::arch::prefetch_two(&self.slab, (entry as u32).wrapping_sub(1) as usize);
    }

    /// The record of a key.
    #[inline(always)]
    pub(crate) fn find(&self, hash: u64, key: &Key) -> Option<FlowId> {
        let mut at = hash as usize & self.mask;
        loop {
            let entry = self.index[at];
            if entry == 0 {
                return None;
            }
            if entry >> 32 == hash >> 32 {
                let slot = entry as u32 - 1;
                if let Some(Some(flow)) = self.slab.get(slot as usize)
                    && flow.key == *key
                {
                    return Some(FlowId(slot));
                }
            }
            at = (at + 1) & self.mask;
        }
    }

    #[inline(always)]
    pub(crate) fn get_mut(&mut self, id: FlowId) -> Option<&mut Flow> {
        self.slab.get_mut(id.0 as usize)?.as_mut()
    }

    /// Puts a record in; its key is not there. The table must not be full.
    pub(crate) fn insert(&mut self, hash: u64, flow: Flow) -> FlowId {
        if (self.len + 1) * 2 > self.mask + 1 {
            self.grow();
        }
        let slot = if let Some(slot) = self.free.pop() {
            self.slab[slot as usize] = Some(flow);
            self.hashes[slot as usize] = hash;
            slot
        } else {
            self.slab.push(Some(flow));
            self.hashes.push(hash);
            (self.slab.len() - 1) as u32
        };
        self.len += 1;
        self.place(hash, slot);
        FlowId(slot)
    }

    /// Takes a record out.
    pub(crate) fn remove(&mut self, id: FlowId) -> Option<Flow> {
        let slot = id.0 as usize;
        let flow = self.slab.get_mut(slot)?.take()?;
        let mut at = self.hashes[slot] as usize & self.mask;
        while self.index[at] as u32 != id.0 + 1 {
            at = (at + 1) & self.mask;
        }
        // close the gap, so that whoever probed past it is still found
        let mut next = (at + 1) & self.mask;
        while self.index[next] != 0 {
            let home = self.hashes[(self.index[next] as u32 - 1) as usize] as usize & self.mask;
            let from_home = next.wrapping_sub(home) & self.mask;
            if from_home >= (next.wrapping_sub(at) & self.mask) {
                self.index[at] = self.index[next];
                at = next;
            }
            next = (next + 1) & self.mask;
        }
        self.index[at] = 0;
        self.free.push(id.0);
        self.len -= 1;
        Some(flow)
    }

    /// A record to give up when the table is full: of some neighbours the one idle for longest,
    /// with those preferred that are over anyway.
    pub(crate) fn victim(&mut self) -> Option<FlowId> {
        let count = self.slab.len();
        let mut best: Option<(bool, i64, usize)> = None;
        for n in 0..LOOKED_AT.min(count) {
            let slot = (self.hand + n) % count;
            let Some(flow) = &self.slab[slot] else { continue };
            let rank = (!flow.is_closed(), flow.last_ns, slot);
            if best.is_none_or(|best| rank < best) {
                best = Some(rank);
            }
        }
        self.hand = (self.hand + LOOKED_AT) % count.max(1);
        best.map(|(_, _, slot)| FlowId(slot as u32))
    }

    /// The next record in a round over all: so few at a time that it costs next to nothing.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<(FlowId, &Flow)> {
        let slot = self.sweep;
        self.sweep = if slot + 1 < self.slab.len() { slot + 1 } else { 0 };
        // its line is asked for until then
        skb::arch::prefetch(&self.slab, self.sweep);
        Some((FlowId(slot as u32), self.slab.get(slot)?.as_ref()?))
    }

    /// Every record, taken out, in the order in which they were first seen.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Flow> + use<> {
        let mut slab = std::mem::take(&mut self.slab);
        *self = Self::new(self.max);
        let first = |slot: &Option<Flow>| slot.as_ref().map(|flow| flow.first_frame);
        let mut order: Vec<u32> =
            (0..slab.len() as u32).filter(|&slot| slab[slot as usize].is_some()).collect();
        order.sort_by_key(|&slot| first(&slab[slot as usize]));
        order.into_iter().filter_map(move |slot| slab[slot as usize].take())
    }

    fn place(&mut self, hash: u64, slot: u32) {
        let mut at = hash as usize & self.mask;
        while self.index[at] != 0 {
            at = (at + 1) & self.mask;
        }
        self.index[at] = hash & !0xffff_ffff | u64::from(slot + 1);
    }

    fn grow(&mut self) {
        let slots = self.index.len() * 2;
        self.index = vec![0; slots];
        self.mask = slots - 1;
        for slot in 0..self.slab.len() {
            if self.slab[slot].is_some() {
                self.place(self.hashes[slot], slot as u32);
            }
        }
    }
}
