//! The buffer arena: all frame bytes, shared by count, addressed by offset.
//!
//! Theory of operation. One allocation holds *slots* (equal-sized, with headroom and tailroom, for
//! frames that are made or changed here) and *blocks* (large, for reading capture files: many
//! frames lie in one block exactly where the read put them). Every [`Skb`] and [`RxDesc`] owns
//! one reference to the buffer its bytes lie in; counts are touched by the owner core only and
//! are not atomic. A buffer whose count falls to zero goes back to its free list at once.
//!
//! Descriptors carry offsets, reading borrows the pool, writing borrows it mutably and is granted
//! only on an unshared slot ([`Pool::view_mut`]). Everything else takes a copy-on-write slot
//! ([`Pool::make_writable`]), and the copy is counted. `unsafe` is in `mem` alone, behind ranges
//! that are checked; blocks can be a ring that the kernel writes to ([`Pool::alloc_area`]).
//!
//! Slot stride is an odd number of cache lines: frame starts then fall on all cache sets, where a
//! power-of-two stride would put 4,096 frames on a few dozen of them.

// slots, blocks, descriptors and skbs are references that these calls take over: by value
#![allow(clippy::needless_pass_by_value)]

mod area;
mod block;
mod frags;
mod mem;
mod tag;
mod template;

pub use area::BlockArea;
pub use block::Block;
use frags::FragTable;
pub use frags::Frags;
use mem::Mem;
pub use template::Template;

use crate::classify::ETH_HLEN;
use crate::{Burst, CopyReason, PortId, RxDesc, Skb};
use std::num::NonZeroU32;

const LINE: usize = 64;
/// Blocks begin at a page of any size that machines have.
const PAGE_MAX: u64 = 64 << 10;

/// Number of a buffer, from 1: the slots, then the blocks.
///
/// Never 0, so that an empty place in a ring of descriptors takes no byte more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BufId(pub(crate) NonZeroU32);

impl BufId {
    #[inline(always)]
    const fn index(self) -> usize {
        self.0.get() as usize
    }

    /// Buffer `number`, from 1; 0 counts as 1.
    const fn number(number: u32) -> Self {
        match NonZeroU32::new(number) {
            Some(number) => Self(number),
            None => Self(NonZeroU32::MIN),
        }
    }
}

/// Sizes of a [`Pool`]. All in bytes or buffers; nothing grows later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolConfig {
    /// Number of slots.
    pub slots: usize,
    /// Longest frame a slot holds.
    pub slot_frame_max: usize,
    /// Free bytes in front of a frame in a slot; Linux's `NET_SKB_PAD` is 64 too.
    pub headroom: usize,
    /// Number of blocks.
    pub blocks: usize,
    /// Size of a block.
    pub block_size: usize,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            slots: 4096,
            slot_frame_max: 2048 - 64,
            headroom: 64,
            blocks: 0,
            block_size: 1 << 20,
        }
    }
}

/// The pool cannot be built as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// Offsets are 32 bits.
    #[error("a pool of {bytes} bytes does not fit 32-bit offsets (at most 4 GiB)")]
    TooLarge {
        /// What the configuration asks for.
        bytes: u64,
    },
    /// The system has no room for it.
    #[error("no memory for a pool of {bytes} bytes: {kind}")]
    NoMemory {
        /// What the configuration asks for.
        bytes: usize,
        /// What the system said.
        kind: std::io::ErrorKind,
    },
}

/// A free slot in its holder's hands: writable, not yet a frame.
#[derive(Debug)]
#[must_use = "owns a slot: commit it or free it"]
pub struct Slot(BufId);

/// The arena. See the module text.
#[derive(Debug)]
pub struct Pool {
    mem: Mem,
    refs: Vec<u32>,
    slots: u32,
    stride: u32,
    headroom: u32,
    block_base: u32,
    block_size: u32,
    free_slots: Vec<BufId>,
    free_blocks: Vec<BufId>,
    frags: FragTable,
    held: u64,
    copies: [u64; CopyReason::COUNT],
}

impl Pool {
    /// Allocates the arena. Pages are touched on first use.
    pub fn new(config: PoolConfig) -> Result<Self, PoolError> {
        let lines = |bytes: usize| bytes.div_ceil(LINE);
        let stride = (lines(config.headroom + config.slot_frame_max) | 1) * LINE;
        let block_size = lines(config.block_size) * LINE;
        let mut slot_bytes = stride as u64 * config.slots as u64;
        if config.blocks > 0 {
            slot_bytes = slot_bytes.next_multiple_of(PAGE_MAX);
        }
        let bytes = slot_bytes + block_size as u64 * config.blocks as u64;
        if bytes > u64::from(u32::MAX) {
            return Err(PoolError::TooLarge { bytes });
        }
        let slots = config.slots as u32;
        let buffers = slots + config.blocks as u32;
        Ok(Self {
            mem: Mem::new(bytes as usize)?,
            refs: vec![0; buffers as usize + 1],
            slots,
            stride: stride as u32,
            headroom: config.headroom as u32,
            block_base: slot_bytes as u32,
            block_size: block_size as u32,
            free_slots: (1..=slots).rev().map(BufId::number).collect(),
            free_blocks: (slots + 1..=buffers).rev().map(BufId::number).collect(),
            frags: FragTable::default(),
            held: 0,
            copies: [0; CopyReason::COUNT],
        })
    }

    /// Frame references (skbs and descriptors) that exist now.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Copies of frame bytes so far, by reason.
    pub fn copies(&self) -> &[u64; CopyReason::COUNT] {
        &self.copies
    }

    /// Counts a copy that a caller made at a trust boundary.
    #[inline]
    pub fn count_copy(&mut self, reason: CopyReason) {
        self.copies[reason as usize] += 1;
    }

    /// Slots that nobody holds.
    pub fn free_slots(&self) -> usize {
        self.free_slots.len()
    }

    /// Slots in all.
    pub fn slots(&self) -> usize {
        self.slots as usize
    }

    /// Blocks that nobody holds.
    pub fn free_blocks(&self) -> usize {
        self.free_blocks.len()
    }

    /// Size of a block in bytes.
    pub fn block_size(&self) -> usize {
        self.block_size as usize
    }

    /// Longest frame a slot holds behind the standard headroom.
    pub fn slot_frame_max(&self) -> usize {
        (self.stride - self.headroom) as usize
    }

    /// Whether `buf` is a slot (a block otherwise).
    #[inline]
    pub fn is_slot(&self, buf: BufId) -> bool {
        buf.0.get() <= self.slots
    }

    /// References to `buf`: Linux's `dataref` for the bytes.
    #[inline]
    pub fn refs(&self, buf: BufId) -> u32 {
        self.refs[buf.index()]
    }

    #[inline]
    fn bounds(&self, buf: BufId) -> (u32, u32) {
        let number = buf.0.get();
        if number <= self.slots {
            ((number - 1) * self.stride, number * self.stride)
        } else {
            let base = self.block_base + (number - 1 - self.slots) * self.block_size;
            (base, base + self.block_size)
        }
    }

    // --- slots -----------------------------------------------------------------------------

    /// Takes a free slot, or `None` when all are held.
    #[inline]
    pub fn alloc_slot(&mut self) -> Option<Slot> {
        let buf = self.free_slots.pop()?;
        self.refs[buf.index()] = 1;
        Some(Slot(buf))
    }

    /// The writable bytes of a slot behind its headroom; `None` while frames share it.
    #[inline]
    pub fn slot_mut(&mut self, slot: &mut Slot) -> Option<&mut [u8]> {
        if self.refs(slot.0) != 1 {
            return None;
        }
        let (base, end) = self.bounds(slot.0);
        let start = (base + self.headroom) as usize;
        Some(self.mem.bytes_mut(start..end as usize))
    }

    /// Makes the first `len` written bytes of a slot a frame. `None` if longer than the slot.
    #[inline]
    pub fn commit(&mut self, slot: Slot, len: usize, ingress: PortId) -> Option<RxDesc> {
        let desc = self.slot_desc(&slot, len, ingress)?;
        self.held += 1;
        Some(desc)
    }

    #[inline]
    fn slot_desc(&self, slot: &Slot, len: usize, ingress: PortId) -> Option<RxDesc> {
        if len > (self.stride - self.headroom) as usize {
            return None;
        }
        let (head, end) = self.bounds(slot.0);
        let data = head + self.headroom;
        Some(desc(slot.0, [head, data, data + len as u32, end], ingress))
    }

    /// Gives an unused slot back.
    pub fn free_slot(&mut self, slot: Slot) {
        self.put(slot.0);
    }

    // --- frames ----------------------------------------------------------------------------

    /// Builds the skb around the buffer (`napi_build_skb`): no byte of the frame moves.
    ///
    /// In a slot the frame has the slot's headroom and tailroom; in a block it has none, because
    /// its neighbours lie there.
    #[inline(always)]
    pub fn build_skb(&self, desc: RxDesc) -> Skb {
        desc.0
    }

    /// The bytes in view, `data .. tail`. Fragments of a super-frame are in [`frags`](Self::frags).
    #[inline(always)]
    pub fn view(&self, skb: &Skb) -> &[u8] {
        self.mem.bytes(skb.data as usize..skb.tail as usize)
    }

    /// The frame from its MAC header on, whether or not the header has been pulled.
    #[inline(always)]
    pub fn frame(&self, skb: &Skb) -> &[u8] {
        self.mem.bytes(skb.mac as usize..skb.tail as usize)
    }

    /// The Ethernet header of a frame whose skb says that it has one: the skb stage found the
    /// [`network`](Skb::network) header behind it. `None` if the memory ends before.
    #[inline(always)]
    pub fn mac_header(&self, skb: &Skb) -> Option<&[u8; ETH_HLEN]> {
        let start = skb.mac as usize;
        self.mem.get(start..start + ETH_HLEN)?.first_chunk()
    }

    /// The bytes a descriptor names.
    #[inline]
    pub fn received(&self, desc: &RxDesc) -> &[u8] {
        self.view(desc)
    }

    /// Asks the cache for the first line of a frame.
    #[inline(always)]
    pub fn prefetch(&self, skb: &Skb) {
        let at = skb.data as usize;
        if let Some(first) = self.mem.get(at..at + 1) {
            crate::arch::prefetch(first, 0);
        }
    }

    /// The bytes in view for writing; `None` if they are shared or lie in a block (read-only).
    #[inline]
    pub fn view_mut(&mut self, skb: &mut Skb) -> Option<&mut [u8]> {
        if self.refs(skb.buf) != 1 || !self.is_slot(skb.buf) {
            return None;
        }
        Some(self.mem.bytes_mut(skb.data as usize..skb.tail as usize))
    }

    /// One more reference to the same bytes with a descriptor of its own (`skb_clone`).
    #[inline]
    pub fn share(&mut self, skb: &Skb) -> Skb {
        self.refs[skb.buf.index()] += 1;
        self.held += 1;
        let frags = if skb.frags == 0 { 0 } else { self.share_frags(skb.frags) };
        Skb { frags, ..*skb }
    }

    /// An skb whose bytes may be written and that has `headroom` bytes in front: the same one if
    /// it already does, else a copy in a slot of its own, counted under `reason`.
    ///
    /// Gives the skb back when no slot is free or the frame is longer than a slot.
    pub fn make_writable(
        &mut self,
        skb: Skb,
        headroom: usize,
        reason: CopyReason,
    ) -> Result<Skb, Skb> {
        let owned = self.refs(skb.buf) == 1 && self.is_slot(skb.buf);
        if owned && skb.headroom() >= headroom {
            return Ok(skb);
        }
        let from_mac = (skb.tail - skb.mac) as usize;
        let room = headroom.max(self.headroom as usize);
        if room + from_mac > self.stride as usize {
            return Err(skb);
        }
        let Some(slot) = self.alloc_slot() else { return Err(skb) };
        let head = self.bounds(slot.0).0;
        let start = head as usize + room;
        let source = skb.mac as usize..skb.tail as usize;
        self.mem.copy_within(source, start);
        self.copies[reason as usize] += 1;
        let pulled = skb.pulled() as u32;
        let old = skb.buf;
        let new = Skb {
            buf: slot.0,
            head,
            data: start as u32 + pulled,
            tail: (start + from_mac) as u32,
            end: head + self.stride,
            mac: start as u32,
            ..skb
        };
        self.put(old);
        Ok(new)
    }

    /// Ends one reference.
    #[inline]
    pub fn free(&mut self, skb: Skb) {
        self.held -= 1;
        if skb.frags != 0 {
            self.free_frags(skb.frags);
        }
        self.put(skb.buf);
    }

    /// Ends the references of a whole burst and empties it.
    pub fn free_burst(&mut self, burst: &mut Burst) {
        self.free_all(burst, 0);
        burst.clear();
    }

    /// Ends the references of all `skbs`, with one update of the held count. Places whose bit is
    /// set in `hollow` hold no reference (see [`Skb::hollow`]) and are passed over. What the slice
    /// holds afterwards is stale: the caller overwrites or forgets it.
    #[inline(never)]
    pub fn free_all(&mut self, skbs: &mut [Skb], hollow: u64) {
        if hollow != 0 {
            return self.free_all_but(skbs, hollow);
        }
        let refs = &mut self.refs[..];
        let mut shared = 0;
        for skb in skbs.iter() {
            let count = &mut refs[skb.buf.index()];
            if *count < 2 || skb.frags != 0 {
                break;
            }
            *count -= 1;
            shared += 1;
        }
        self.held -= shared as u64;
        self.free_all_but(&mut skbs[shared..], 0);
    }

    #[inline(never)]
    fn free_all_but(&mut self, skbs: &mut [Skb], hollow: u64) {
        for (place, skb) in skbs.iter_mut().enumerate() {
            if hollow >> (place & 63) & 1 == 0 {
                self.free(std::mem::replace(skb, Skb::hollow()));
            }
        }
    }

    /// Ends a descriptor that no driver will take.
    pub fn free_desc(&mut self, desc: RxDesc) {
        self.held -= 1;
        self.put(desc.buf);
    }

    #[inline(always)]
    fn put(&mut self, buf: BufId) {
        let refs = &mut self.refs[buf.index()];
        *refs -= 1;
        if *refs == 0 {
            self.recycle(buf);
        }
    }

    fn recycle(&mut self, buf: BufId) {
        if self.is_slot(buf) {
            self.free_slots.push(buf);
        } else {
            self.free_blocks.push(buf);
        }
    }
}

/// A fresh descriptor: `geometry` is head, data, tail, end.
#[inline(always)]
fn desc(buf: BufId, geometry: [u32; 4], ingress: PortId) -> RxDesc {
    let [head, data, tail, end] = geometry;
    let linktype = crate::LinkType::ETHERNET;
    let origlen = tail - data;
    RxDesc(Skb {
        buf,
        head,
        data,
        tail,
        end,
        mac: data,
        origlen,
        linktype,
        ingress,
        ..Skb::hollow()
    })
}

#[cfg(test)]
mod tests;
