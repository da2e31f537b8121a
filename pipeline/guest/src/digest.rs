//! Digests of delivered bytes, to compare two runs or the two ends of a stream.
//!
//! Not cryptographic: a digest tells apart runs that differ by accident, not by design. The hash
//! is XXH3 (64 bits, seed 0) of the `xxhash-rust` crate, so that any other implementation of XXH3
//! can repeat it; the tests compare it with the `twox-hash` crate. A multiply-and-fold of our own for
//! frames of 60 bytes was tried and was no more than a tenth faster.

use std::fmt;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// What a sink does with the bytes of each frame beside counting them.
pub trait Digest: Default + fmt::Debug {
    /// Whether [`frame`](Self::frame) reads the bytes at all. `false` removes it from the build.
    const ON: bool;

    /// Takes one whole frame.
    fn frame(&mut self, bytes: &[u8]);

    /// The digest of all frames so far, in their order; `None` where none is taken.
    fn value(&self) -> Option<u64>;
}

/// No digest: costs nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoDigest;

impl Digest for NoDigest {
    const ON: bool = false;

    #[inline(always)]
    fn frame(&mut self, _bytes: &[u8]) {}

    fn value(&self) -> Option<u64> {
        None
    }
}

/// A digest over frames that depends on every byte, every frame length and the order of frames.
///
/// With `state` starting at 0, each frame does
/// `state = (rotl(state, 5) ^ XXH3_64(frame)) * 0x9e3779b97f4a7c15` (modulo 2^64). XXH3 takes the
/// length in, so moving a byte from one frame to the next shows; the multiplication does not
/// commute with the rotation, so exchanging two frames shows. A digest is per port: what matters
/// is the order in which one port was served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameDigest {
    state: u64,
}

impl Digest for FrameDigest {
    const ON: bool = true;

    #[inline(always)]
    fn frame(&mut self, bytes: &[u8]) {
        self.state = chain(self.state, xxh3_64(bytes));
    }

    fn value(&self) -> Option<u64> {
        Some(self.state)
    }
}

#[inline(always)]
fn chain(state: u64, hash: u64) -> u64 {
    (state.rotate_left(5) ^ hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A digest over a byte stream, however it is cut into pieces: XXH3 of all its bytes.
#[derive(Clone, Default)]
pub struct StreamDigest {
    hasher: Box<Xxh3>,
}

impl StreamDigest {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// The digest of the bytes so far.
    pub fn value(&self) -> u64 {
        self.hasher.digest()
    }
}

impl fmt::Debug for StreamDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamDigest({:016x})", self.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use twox_hash::XxHash3_64;

    /// The definition, written down plainly over another implementation of XXH3.
    fn plain(frames: &[Vec<u8>]) -> u64 {
        let mut state: u64 = 0;
        for frame in frames {
            let hash = XxHash3_64::oneshot(frame);
            state = state.rotate_left(5) ^ hash;
            state = (u128::from(state) * 0x9e37_79b9_7f4a_7c15 % (1 << 64)) as u64;
        }
        state
    }

    fn digest(frames: &[Vec<u8>]) -> u64 {
        let mut digest = FrameDigest::default();
        for frame in frames {
            digest.frame(frame);
        }
        digest.value().unwrap()
    }

    proptest! {
        #[test]
        fn agrees_with_the_plain_definition(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..1600), 0..20)
        ) {
            prop_assert_eq!(digest(&frames), plain(&frames));
        }

        #[test]
        fn shows_order_and_boundaries(
            mut frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..80), 2..100),
            i in any::<proptest::sample::Index>(), j in any::<proptest::sample::Index>(),
        ) {
            let (i, j) = (i.index(frames.len()), j.index(frames.len()));
            let before = digest(&frames);
            if frames[i] != frames[j] {
                frames.swap(i, j);
                prop_assert_ne!(digest(&frames), before);
                frames.swap(i, j);
            }
            if i != j {
                let byte = frames[i].pop().unwrap();
                frames[j].push(byte);
                prop_assert_ne!(digest(&frames), before);
            }
        }

        #[test]
        fn stream_digest_ignores_how_the_stream_is_cut(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..500), 0..30)
        ) {
            let mut digest = StreamDigest::default();
            for piece in &pieces {
                digest.update(piece);
            }
            prop_assert_eq!(digest.value(), XxHash3_64::oneshot(&pieces.concat()));
        }
    }
}
