//! Fragments of super-frames: buffers hung behind an skb's linear part, as in
//! `skb_shinfo(skb)->frags`. Only GRO makes them, so they live beside the hot descriptor.

use super::{BufId, Pool};
use crate::Skb;

/// One fragment: a piece of another frame's buffer.
#[derive(Debug, Clone, Copy)]
struct Frag {
    buf: BufId,
    data: u32,
    len: u32,
    /// Next entry plus one, 0 = last.
    next: u32,
}

/// All fragments of a pool; entries are reused, so it stays as large as the most ever hung on.
#[derive(Debug, Default)]
pub(super) struct FragTable {
    entries: Vec<Frag>,
    free: Vec<u32>,
}

impl FragTable {
    fn put(&mut self, frag: Frag) -> u32 {
        if let Some(index) = self.free.pop() {
            self.entries[index as usize] = frag;
            index + 1
        } else {
            self.entries.push(frag);
            self.entries.len() as u32
        }
    }
}

/// The fragments of one super-frame, in order.
#[derive(Debug)]
pub struct Frags<'a> {
    pool: &'a Pool,
    next: u32,
}

impl<'a> Iterator for Frags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.next == 0 {
            return None;
        }
        let frag = &self.pool.frags.entries[self.next as usize - 1];
        self.next = frag.next;
        Some(self.pool.mem.bytes(frag.data as usize..(frag.data + frag.len) as usize))
    }
}

impl Pool {
    /// The fragments behind the linear part, in order.
    pub fn frags(&self, skb: &Skb) -> Frags<'_> {
        Frags { pool: self, next: skb.frags }
    }

    /// Bytes in fragments: Linux's `data_len`.
    #[inline]
    pub fn frags_len(&self, skb: &Skb) -> usize {
        if skb.frags == 0 { 0 } else { self.frags(skb).map(<[u8]>::len).sum() }
    }

    /// Hangs the bytes in view of `other` behind `skb`: the bytes stay where they are, and so does
    /// the buffer reference. `other` ceases to be a frame; its own fragments follow it.
    pub fn append_frag(&mut self, skb: &mut Skb, other: Skb) {
        let frag =
            Frag { buf: other.buf, data: other.data, len: other.len() as u32, next: other.frags };
        self.held -= 1;
        let index = self.frags.put(frag);
        let mut last = skb.frags;
        if last == 0 {
            skb.frags = index;
            return;
        }
        while self.frags.entries[last as usize - 1].next != 0 {
            last = self.frags.entries[last as usize - 1].next;
        }
        self.frags.entries[last as usize - 1].next = index;
    }

    #[cold]
    pub(super) fn free_frags(&mut self, first: u32) {
        let mut next = first;
        while next != 0 {
            let frag = self.frags.entries[next as usize - 1];
            self.frags.free.push(next - 1);
            self.put(frag.buf);
            next = frag.next;
        }
    }

    #[cold]
    pub(super) fn share_frags(&mut self, first: u32) -> u32 {
        let chain: Vec<Frag> = {
            let mut next = first;
            std::iter::from_fn(|| {
                let frag = *self.frags.entries.get((next as usize).checked_sub(1)?)?;
                next = frag.next;
                Some(frag)
            })
            .collect()
        };
        let mut next = 0;
        for frag in chain.into_iter().rev() {
            self.refs[frag.buf.index()] += 1;
            next = self.frags.put(Frag { next, ..frag });
        }
        next
    }
}
