//! What is kept of a frame, to know it again.

use std::hash::{BuildHasher, Hasher, RandomState};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Devices fill frames up to this with zeros (IEEE 802.3 clause 3.2.8, without FCS): all are
/// compared as if they had.
pub const FRAME_MIN: usize = 60;
/// Parts that a frame is cut into, to see how much of it another one is.
const PARTS: usize = 8;

/// The secret with which frames are hashed: nobody can make two that look the same.
#[derive(Debug, Clone, Copy)]
pub struct Seed(u64);

impl Seed {
    /// A new one.
    pub fn random() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }

    /// A given one, for tests.
    pub const fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The hash of a frame.
    #[inline]
    pub fn hash(self, frame: &[u8]) -> u64 {
        if frame.len() >= FRAME_MIN {
            return xxh3_64_with_seed(frame, self.0);
        }
        xxh3_64_with_seed(&padded(frame), self.0)
    }

    /// All that is kept of a frame, which is frame `record` of the capture, from 1.
    pub fn mark(self, frame: &[u8], record: u64) -> Mark {
        Mark { hash: self.hash(frame), parts: Parts::of(frame), record }
    }
}

/// A frame with the zeros that make it long enough.
fn padded(frame: &[u8]) -> [u8; FRAME_MIN] {
    let mut whole = [0; FRAME_MIN];
    let len = frame.len().min(FRAME_MIN);
    whole[..len].copy_from_slice(&frame[..len]);
    whole
}

/// What is kept of a frame that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Of all its bytes.
    pub hash: u64,
    /// Of each part.
    pub parts: Parts,
    /// Which frame of the capture it is, or was made from; counted from 1.
    pub record: u64,
}

/// Length and sums of eight parts of a frame: enough to tell a damaged one from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    len: u32,
    sums: [u8; PARTS],
}

impl Parts {
    /// Of a frame.
    pub fn of(frame: &[u8]) -> Self {
        if frame.len() < FRAME_MIN {
            return Self::of(&padded(frame));
        }
        let mut sums = [0; PARTS];
        let part = frame.len().div_ceil(PARTS);
        for (sum, bytes) in sums.iter_mut().zip(frame.chunks(part)) {
            let total = bytes.iter().fold(0u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
            *sum = (total ^ (total >> 8)) as u8;
        }
        Self { len: frame.len() as u32, sums }
    }

    /// How many of the eight are the same; `None` if the lengths are not.
    pub fn same(&self, other: &Self) -> Option<usize> {
        let pairs = || self.sums.iter().zip(&other.sums);
        (self.len == other.len).then(|| pairs().filter(|(a, b)| a == b).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_at_the_end_of_a_short_frame_do_not_count() {
        let seed = Seed::random();
        let short = [7; 42];
        let mut long = [0; 60];
        long[..42].fill(7);
        assert_eq!(seed.mark(&short, 1), seed.mark(&long, 1));
        assert_ne!(seed.hash(&long), seed.hash(&[&long[..], &[0]].concat()), "61 bytes");
        long[59] = 1;
        assert_ne!(seed.hash(&short), seed.hash(&long));
    }

    #[test]
    fn a_flipped_bit_leaves_seven_parts_of_eight() {
        let frame: Vec<u8> = (0..999).map(|i| (i * 7) as u8).collect();
        for at in [0, 1, 500, 998] {
            let mut other = frame.clone();
            other[at] ^= 0x10;
            assert_eq!(Parts::of(&frame).same(&Parts::of(&other)), Some(7), "{at}");
        }
        assert_eq!(Parts::of(&frame).same(&Parts::of(&frame[1..])), None);
    }
}
