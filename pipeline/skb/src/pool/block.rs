//! Blocks: large buffers that capture files are read into, with many frames in each.

use super::{BufId, Pool, desc};
use crate::{PortId, RxDesc};

/// A block in its reader's hands.
#[derive(Debug)]
#[must_use = "owns a block: free it when its last record has been handed on"]
pub struct Block(pub(super) BufId);

impl Pool {
    /// Takes a free block, or `None` when frames still lie in all of them.
    pub fn alloc_block(&mut self) -> Option<Block> {
        let buf = self.free_blocks.pop()?;
        self.refs[buf.index()] = 1;
        Some(Block(buf))
    }

    /// The block's bytes.
    #[inline]
    pub fn block(&self, block: &Block) -> &[u8] {
        let (base, end) = self.bounds(block.0);
        self.mem.bytes(base as usize..end as usize)
    }

    /// The block's bytes to read a file into; `None` while frames lie in it.
    pub fn block_mut(&mut self, block: &mut Block) -> Option<&mut [u8]> {
        if self.refs(block.0) != 1 {
            return None;
        }
        let (base, end) = self.bounds(block.0);
        Some(self.mem.bytes_mut(base as usize..end as usize))
    }

    /// Makes `len` bytes at `offset` of the block a frame, where they lie. `None` if they do not.
    #[inline]
    pub fn lend_block(
        &mut self,
        block: &Block,
        offset: usize,
        len: usize,
        ingress: PortId,
    ) -> Option<RxDesc> {
        if offset.checked_add(len)? > self.block_size as usize {
            return None;
        }
        let (base, _) = self.bounds(block.0);
        self.refs[block.0.index()] += 1;
        self.held += 1;
        let data = base + offset as u32;
        let tail = data + len as u32;
        // no headroom and no tailroom: the frame's neighbours lie there
        Some(desc(block.0, [data, data, tail, tail], ingress))
    }

    /// Gives the reader's hold on a block up; it becomes free with its last frame.
    pub fn free_block(&mut self, block: Block) {
        self.put(block.0);
    }
}
