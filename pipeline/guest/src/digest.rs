//! Digests of delivered bytes, to compare two runs or the two ends of a stream.
//!
//! Not cryptographic: a digest tells apart runs that differ by accident, not by design. A stream's
//! is XXH3 (64 bits, seed 0) of the `xxhash-rust` crate, which the tests compare with the
//! `twox-hash` crate. A port's frames get a checksum that costs a fraction of that, see
//! [`FrameDigest`].

use std::fmt;
use xxhash_rust::xxh3::Xxh3;

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

/// A checksum over frames that depends on every byte, every frame length and the order of frames.
///
/// Not a hash: a multilinear sum, eight multiply-adds for a minimum frame, so that a switch can
/// be measured with it on. A frame's words are its little-endian 64-bit words in blocks of four;
/// the last block is the frame's last 32 bytes, overlapping the one before (a frame under 32 bytes
/// is padded with zeros to one block). Then, all modulo 2^64 and with the constants below,
/// `frame = ((len * K0 + block_0) * K1 + block_1) * K1 + ...` where
/// `block = w0 * M0 + w1 * M1 + w2 * M2 + w3 * M3`, and with `state` starting at 0
/// `state = (rotl(state, 5) ^ frame) * K0`. All constants are odd: one changed word always shows.
/// The multiplication does not commute with the rotation, so exchanging two frames shows. A
/// checksum is per port: what matters is the order in which one port was served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameDigest {
    state: u64,
}

/// The golden ratio's 64 bits, then digits of pi (fraction, as in Blowfish's tables), made odd.
const K0: u64 = 0x9e37_79b9_7f4a_7c15;
const K1: u64 = 0x243f_6a88_85a3_08d3;
const M: [u64; 4] =
    [0x1319_8a2e_0370_7345, 0xa409_3822_299f_31d1, 0x082e_fa98_ec4e_6c89, 0x4528_21e6_38d0_1377];
const BLOCK: usize = 32;

impl Digest for FrameDigest {
    const ON: bool = true;

    #[inline(always)]
    fn frame(&mut self, bytes: &[u8]) {
        let sum = match bytes.last_chunk::<BLOCK>() {
            Some(last) => {
                let mut sum = (bytes.len() as u64).wrapping_mul(K0);
                let mut rest = bytes;
                while let Some((head, tail)) = rest.split_first_chunk::<BLOCK>()
                    && !tail.is_empty()
                {
                    sum = block(sum, head);
                    rest = tail;
                }
                block(sum, last)
            }
            None => short(bytes),
        };
        self.state = chain(self.state, sum);
    }

    fn value(&self) -> Option<u64> {
        Some(self.state)
    }
}

#[inline(always)]
fn block(sum: u64, block: &[u8; BLOCK]) -> u64 {
    let mut next = sum.wrapping_mul(K1);
    for (word, multiplier) in block.chunks_exact(8).zip(M) {
        let word = word.first_chunk().copied().unwrap_or_default();
        next = next.wrapping_add(u64::from_le_bytes(word).wrapping_mul(multiplier));
    }
    next
}

#[inline(never)]
fn short(bytes: &[u8]) -> u64 {
    let mut padded = [0; BLOCK];
    padded[..bytes.len()].copy_from_slice(bytes);
    block((bytes.len() as u64).wrapping_mul(K0), &padded)
}

#[inline(always)]
fn chain(state: u64, frame: u64) -> u64 {
    (state.rotate_left(5) ^ frame).wrapping_mul(K0)
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

    /// The definition, written down plainly in 128 bits.
    fn plain(frames: &[Vec<u8>]) -> u64 {
        const MODULUS: u128 = 1 << 64;
        let mut state: u64 = 0;
        for frame in frames {
            let mut blocks: Vec<Vec<u8>> = frame.chunks(32).map(<[u8]>::to_vec).collect();
            match blocks.last_mut() {
                Some(last) if frame.len() >= 32 => *last = frame[frame.len() - 32..].to_vec(),
                Some(last) => last.resize(32, 0),
                None => blocks.push(vec![0; 32]),
            }
            let mut sum = frame.len() as u128 * u128::from(K0) % MODULUS;
            for block in blocks {
                sum = sum * u128::from(K1) % MODULUS;
                for (i, m) in M.iter().enumerate() {
                    let word = block[i * 8..][..8].iter().rev();
                    let word = word.fold(0_u128, |w, b| w << 8 | u128::from(*b));
                    sum = (sum + word * u128::from(*m)) % MODULUS;
                }
            }
            state = state.rotate_left(5) ^ sum as u64;
            state = (u128::from(state) * u128::from(K0) % MODULUS) as u64;
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
