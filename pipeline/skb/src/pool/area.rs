//! All blocks at once, for a NIC that lets the kernel write frames into them.

use super::{Block, BufId, Pool};
use crate::{PortId, RxDesc};
use memmap2::MmapMut;
use std::ptr::NonNull;
use std::sync::Arc;

/// The blocks of a pool in the order in which they lie, and the memory that they lie in.
///
/// Whoever holds it has every block for itself: nothing else can name a byte of them until
/// [`lend`](Self::lend) makes a frame there, and nothing can again when
/// [`lent`](Self::lent) is back at 0. The blocks are never given back to the pool, and the memory
/// stays mapped as long as this value lives, whatever becomes of the pool.
pub struct BlockArea {
    blocks: Vec<Block>,
    block_size: usize,
    start: NonNull<u8>,
    /// Keeps the memory mapped.
    _map: Arc<MmapMut>,
}

#[allow(unsafe_code)]
// SAFETY: a place in memory of the process, bound to no thread, that this value only names.
unsafe impl Send for BlockArea {}
#[allow(unsafe_code)]
// SAFETY: see above.
unsafe impl Sync for BlockArea {}

impl Pool {
    /// Takes all blocks for good. `None` unless there are any and all are free.
    ///
    /// They begin at a page of the machine; whether a block is a whole number of pages is for
    /// [`PoolConfig::block_size`](super::PoolConfig::block_size) to say.
    pub fn alloc_area(&mut self) -> Option<BlockArea> {
        let count = self.refs.len() - 1 - self.slots as usize;
        if count == 0 || self.free_blocks.len() != count {
            return None;
        }
        let base = self.block_base as usize;
        let (start, map) = self.mem.place(base..base + count * self.block_size())?;
        self.free_blocks.clear();
        let numbers = self.slots + 1..=self.slots + count as u32;
        let blocks = numbers.map(|number| Block(BufId::number(number))).collect();
        self.refs[self.slots as usize + 1..].fill(1);
        Some(BlockArea { blocks, block_size: self.block_size(), start, _map: map })
    }
}

impl BlockArea {
    /// The first byte of the first block; the others follow without gaps.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Size of a block in bytes.
    pub fn block_size(&self) -> usize {
        self.block_size
    }

    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Whether it is of this pool.
    pub fn is_of(&self, pool: &Pool) -> bool {
        let base = pool.block_base as usize;
        pool.mem.get(base..base).is_some_and(|none| none.as_ptr() == self.start.as_ptr())
    }

    /// References to frames in block `at`; 0 for a block that does not exist.
    #[inline]
    pub fn lent(&self, pool: &Pool, at: usize) -> u32 {
        self.blocks.get(at).map_or(0, |block| pool.refs(block.0).saturating_sub(1))
    }

    /// Makes `len` bytes at `offset` of block `at` a frame, where they lie. `None` if they do not.
    #[inline]
    pub fn lend(
        &self,
        pool: &mut Pool,
        at: usize,
        offset: usize,
        len: usize,
        ingress: PortId,
    ) -> Option<RxDesc> {
        pool.lend_block(self.blocks.get(at)?, offset, len, ingress)
    }
}

impl std::fmt::Debug for BlockArea {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} blocks of {} bytes", self.blocks.len(), self.block_size)
    }
}
