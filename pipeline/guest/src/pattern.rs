//! Test bytes for streams: cheap, not compressible, and known at every position.

/// An endless byte stream determined by its seed. Two positions hold the same bytes only by
/// chance, so a lost, doubled or displaced piece shows in the digest.
///
/// Word `i` (eight bytes, little-endian) is SplitMix64's output function (Steele, Lea, Flood, "Fast
/// Splittable Pseudorandom Number Generators", OOPSLA 2014) of `seed + i * 0x9e3779b97f4a7c15`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    seed: u64,
}

impl Pattern {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    #[inline]
    fn word(self, index: u64) -> [u8; 8] {
        let mut z = self.seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).to_le_bytes()
    }

    /// Writes the bytes from `position` on.
    pub fn fill(self, position: u64, out: &mut [u8]) {
        let skip = (position % 8) as usize;
        let (head, body) = out.split_at_mut(((8 - skip) % 8).min(out.len()));
        let mut index = position / 8;
        if !head.is_empty() {
            head.copy_from_slice(&self.word(index)[skip..skip + head.len()]);
            index += 1;
        }
        let (words, last) = body.as_chunks_mut::<8>();
        for word in words {
            *word = self.word(index);
            index += 1;
        }
        last.copy_from_slice(&self.word(index)[..last.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_piece_is_the_stream_at_that_place(
            seed: u64, at in 0..500_usize, len in 0..200_usize
        ) {
            let mut whole = vec![0; 700];
            Pattern::new(seed).fill(0, &mut whole);
            let mut piece = vec![0; len];
            Pattern::new(seed).fill(at as u64, &mut piece);
            prop_assert_eq!(&piece[..], &whole[at..at + len]);
        }
    }

    #[test]
    fn follows_splitmix64() {
        // First outputs of SplitMix64 with state 1234567, from the Java reference.
        let mut out = [0; 16];
        Pattern::new(1_234_567).fill(8, &mut out);
        assert_eq!(out[..8], 6_457_827_717_110_365_317_u64.to_le_bytes());
        assert_eq!(out[8..], 3_203_168_211_198_807_973_u64.to_le_bytes());
    }
}
