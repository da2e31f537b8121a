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
/// Not a hash: multiply-adds, six for a minimum frame, so that a switch can be measured with it
/// on. A frame's words are its little-endian 64-bit words in blocks of four; the last block is the
/// frame's last 32 bytes, overlapping the one before (a frame under 32 bytes is padded with zeros
/// to one block). With all arithmetic modulo 2^64 and `K` as below, four lanes start at 0 but for
/// the first, which starts at the frame's length; each block makes `lane_i = lane_i * K + word_i`
/// of them; then `frame` is the exclusive or of all `rotl(lane_i, 16 * i)`, and with `state`
/// starting at 0 `state = (rotl(state, 5) ^ frame) * K`. `K` is odd: one changed word always shows
/// (a byte where the last block overlaps changes two, which cancel by a chance of 2^-64 only).
/// Neither multiplication nor exclusive or commutes with a rotation, so exchanging two words or two
/// frames shows. A checksum is per port: what matters is the order in which one port was served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameDigest {
    state: u64,
}

/// The golden ratio's first 64 bits.
const K: u64 = 0x9e37_79b9_7f4a_7c15;
const LANES: usize = 4;
const BLOCK: usize = LANES * size_of::<u64>();

impl Digest for FrameDigest {
    const ON: bool = true;

    #[inline(always)]
    fn frame(&mut self, bytes: &[u8]) {
        let mut lanes = [bytes.len() as u64, 0, 0, 0];
        match (bytes.first_chunk(), bytes.last_chunk()) {
            // two blocks without a loop: minimum frames
            (Some(first), Some(last)) if (BLOCK + 1..=2 * BLOCK).contains(&bytes.len()) => {
                block(&mut lanes, first);
                block(&mut lanes, last);
            }
            (_, Some(last)) => {
                let mut rest = bytes;
                while let Some((head, tail)) = rest.split_first_chunk()
                    && !tail.is_empty()
                {
                    block(&mut lanes, head);
                    rest = tail;
                }
                block(&mut lanes, last);
            }
            (_, None) => lanes = short(lanes, bytes),
        }
        let [zero, one, two, three] = lanes;
        let frame = zero ^ one.rotate_left(16) ^ two.rotate_left(32) ^ three.rotate_left(48);
        self.state = (self.state.rotate_left(5) ^ frame).wrapping_mul(K);
    }

    fn value(&self) -> Option<u64> {
        Some(self.state)
    }
}

#[inline(always)]
fn block(lanes: &mut [u64; LANES], block: &[u8; BLOCK]) {
    for (lane, word) in lanes.iter_mut().zip(block.chunks_exact(size_of::<u64>())) {
        let word = word.first_chunk().copied().unwrap_or_default();
        *lane = lane.wrapping_mul(K).wrapping_add(u64::from_le_bytes(word));
    }
}

#[inline(never)]
fn short(mut lanes: [u64; LANES], bytes: &[u8]) -> [u64; LANES] {
    let mut padded = [0; BLOCK];
    padded[..bytes.len()].copy_from_slice(bytes);
    block(&mut lanes, &padded);
    lanes
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
    use proptest::collection::vec;
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
            let k = u128::from(K);
            let mut lanes = [frame.len() as u128, 0, 0, 0];
            for block in blocks {
                for (lane, word) in lanes.iter_mut().zip(block.chunks(8)) {
                    let word = word.iter().rev().fold(0_u128, |w, b| w << 8 | u128::from(*b));
                    *lane = (*lane * k + word) % MODULUS;
                }
            }
            let turned = (0..).zip(lanes).map(|(i, lane)| (lane as u64).rotate_left(16 * i));
            state = state.rotate_left(5) ^ turned.fold(0, |sum, lane| sum ^ lane);
            state = (u128::from(state) * k % MODULUS) as u64;
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
            frames in vec(vec(any::<u8>(), 0..1600), 0..20)
        ) {
            prop_assert_eq!(digest(&frames), plain(&frames));
        }

        #[test]
        fn shows_order_and_boundaries(
            mut frames in vec(vec(any::<u8>(), 1..80), 2..100),
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
            pieces in vec(vec(any::<u8>(), 0..500), 0..30)
        ) {
            let mut digest = StreamDigest::default();
            for piece in &pieces {
                digest.update(piece);
            }
            prop_assert_eq!(digest.value(), XxHash3_64::oneshot(&pieces.concat()));
        }
    }
}
