//! A sink that takes everything, counts it and lets it go: a recorded guest, or the far end of a
//! wire that is not there.

use crate::digest::{Digest, NoDigest};
use skb::{Burst, Ledger, Pool, Run, Sink, Skb};

/// Counts frames and bytes delivered to one port, and with a [`Digest`] also what they were.
///
/// No byte is copied: the sink reads the bytes where they lie and gives the reference back.
/// Credit is unlimited.
#[derive(Debug, Clone, Default)]
pub struct CountingSink<D: Digest = NoDigest> {
    frames: u64,
    bytes: u64,
    digest: D,
    /// Joins the pieces of a super-frame for the digest; stays empty without one.
    joined: Vec<u8>,
}

impl<D: Digest> CountingSink<D> {
    /// A sink that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Frames delivered; a super-frame is one.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Bytes of frames delivered, from the MAC header on, as far as they are present (caplen).
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digest of all frames delivered, in their order.
    pub fn digest(&self) -> Option<u64> {
        self.digest.value()
    }

    /// Looks at frames.
    #[inline]
    fn see(&mut self, pool: &Pool, mut skbs: &[Skb]) {
        while !skbs.is_empty() {
            skbs = &skbs[self.see_linear(pool, skbs)..];
            if let Some((skb, rest)) = skbs.split_first() {
                self.see_joined(pool, skb);
                skbs = rest;
            }
        }
    }

    /// Looks at frames up to the first super-frame; how many. A function of its own, so that the
    /// sums stay in registers.
    #[inline(never)]
    fn see_linear(&mut self, pool: &Pool, skbs: &[Skb]) -> usize {
        let (mut count, mut bytes, mut digest) = (0, 0, std::mem::take(&mut self.digest));
        for skb in skbs {
            if !skb.is_linear() {
                break;
            }
            let frame = pool.frame(skb);
            bytes += frame.len();
            if D::ON {
                digest.frame(frame);
            }
            count += 1;
        }
        self.bytes += bytes as u64;
        self.digest = digest;
        count
    }

    /// A super-frame has the digest of the one frame it stands for, whatever pieces it lies in.
    #[cold]
    fn see_joined(&mut self, pool: &Pool, skb: &Skb) {
        self.bytes += (pool.frame(skb).len() + pool.frags_len(skb)) as u64;
        if D::ON {
            self.joined.clear();
            self.joined.extend_from_slice(pool.frame(skb));
            for piece in pool.frags(skb) {
                self.joined.extend_from_slice(piece);
            }
            self.digest.frame(&self.joined);
        }
    }
}

impl<D: Digest> Sink for CountingSink<D> {
    fn credit(&self) -> usize {
        usize::MAX
    }

    #[inline]
    fn deliver(&mut self, pool: &mut Pool, skb: Skb, ledger: &mut Ledger) {
        self.see(pool, std::slice::from_ref(&skb));
        self.frames += 1;
        ledger.delivered += 1;
        pool.free(skb);
    }

    #[inline]
    fn deliver_runs(&mut self, pool: &mut Pool, burst: &[Skb], runs: &[Run], ledger: &mut Ledger) {
        let mut frames = 0;
        for run in runs {
            let run = run.of(burst);
            self.see(pool, run);
            frames += run.len() as u64;
        }
        self.frames += frames;
        ledger.delivered += frames;
    }

    #[inline]
    fn deliver_burst(&mut self, pool: &mut Pool, burst: &mut Burst, ledger: &mut Ledger) {
        self.see(pool, burst);
        let count = burst.len() as u64;
        self.frames += count;
        ledger.delivered += count;
        pool.free_burst(burst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::FrameDigest;
    use skb::{PoolConfig, PortId};

    fn skb(pool: &mut Pool, bytes: &[u8]) -> Skb {
        let mut slot = pool.alloc_slot().unwrap();
        pool.slot_mut(&mut slot).unwrap()[..bytes.len()].copy_from_slice(bytes);
        let desc = pool.commit(slot, bytes.len(), PortId(0)).unwrap();
        pool.build_skb(desc)
    }

    #[test]
    fn a_burst_and_single_frames_are_the_same() {
        let mut pool = Pool::new(PoolConfig { slots: 64, ..PoolConfig::default() }).unwrap();
        let frames: Vec<Vec<u8>> = (0..40_u8).map(|i| vec![i; 14 + usize::from(i)]).collect();
        let mut ledger = Ledger::default();
        let mut one = CountingSink::<FrameDigest>::new();
        let mut burst = CountingSink::<FrameDigest>::new();
        let mut plain: CountingSink = CountingSink::new();
        let mut skbs = Burst::new();
        for frame in &frames {
            let mut a = skb(&mut pool, frame);
            assert!(a.pull(14), "the view may be past the MAC header: bytes are counted from it");
            let clone = pool.share(&a);
            plain.deliver(&mut pool, clone, &mut ledger);
            one.deliver(&mut pool, a, &mut ledger);
            let b = skb(&mut pool, frame);
            skbs.push(b);
        }
        burst.deliver_burst(&mut pool, &mut skbs, &mut ledger);
        assert!(skbs.is_empty());
        assert_eq!(one.frames(), 40);
        assert_eq!(one.bytes(), frames.iter().map(|f| f.len() as u64).sum::<u64>());
        assert_eq!((one.frames(), one.bytes()), (burst.frames(), burst.bytes()));
        assert_eq!((one.frames(), one.bytes()), (plain.frames(), plain.bytes()));
        assert_eq!(one.digest(), burst.digest());
        assert_eq!(plain.digest(), None);
        assert_ne!(one.digest(), CountingSink::<FrameDigest>::new().digest());
        assert_eq!(ledger.delivered, 120);
        assert_eq!((pool.held(), pool.free_slots()), (0, 64));
    }

    #[test]
    fn a_super_frame_has_the_digest_of_its_bytes() {
        let mut pool = Pool::new(PoolConfig { slots: 8, ..PoolConfig::default() }).unwrap();
        let mut ledger = Ledger::default();
        let mut pieces = CountingSink::<FrameDigest>::new();
        let mut whole = CountingSink::<FrameDigest>::new();
        let mut merged = skb(&mut pool, b"header and some");
        let tail = skb(&mut pool, b" more bytes");
        pool.append_frag(&mut merged, tail);
        pieces.deliver(&mut pool, merged, &mut ledger);
        let one = skb(&mut pool, b"header and some more bytes");
        whole.deliver(&mut pool, one, &mut ledger);
        assert_eq!(pieces.bytes(), 26);
        assert_eq!(pieces.digest(), whole.digest());
        assert_eq!((pool.held(), pool.free_slots()), (0, 8));
    }
}
