//! A counting hash table for keys that come from frames: open addressing in one flat array, capped,
//! hashed with a key of this process so that nobody can aim at one bucket.

use std::hash::{BuildHasher, RandomState};

/// Slots of a fresh table.
const SLOTS_MIN: usize = 1 << 10;
/// Slots that are merged together; [`SLOTS_MIN`] is a multiple.
const PIECE_SLOTS: usize = 64;
/// Words of the usual page.
const PAGE_WORDS: usize = 4096 / 8;
/// Bytes of a cache line.
const LINE: usize = 64;

/// The secret of this process that hashes are keyed with.
#[derive(Debug, Clone, Copy)]
pub(super) struct HashKey([u64; 2]);

impl HashKey {
    /// A fresh one from the system's random numbers.
    pub(super) fn random() -> Self {
        let state = RandomState::new();
        Self([state.hash_one(1_u8) | 1, state.hash_one(2_u8) | 1])
    }

    /// Folded multiplication over the words of a key (as in wyhash and foldhash).
    #[inline(always)]
    pub(super) fn hash<const K: usize>(self, key: [u64; K]) -> u64 {
        let mut state = self.0[0];
        let mut i = 0;
        while i + 1 < K {
            state = fold(key[i] ^ state, key[i + 1] ^ self.0[1]);
            i += 2;
        }
        if i < K {
            state = fold(key[i] ^ state, self.0[1]);
        }
        state
    }
}

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

/// Counts frames and bytes by a key of `K` words. A slot is the key, frames, bytes, filled up to a
/// power of two, so that none lies across two cache lines.
#[derive(Debug)]
pub(super) struct Table<const K: usize> {
    /// Slots, with room in front to begin at a cache line.
    words: Vec<u64>,
    base: usize,
    mask: usize,
    len: usize,
    /// Bytes this table may take while it grows (old and new together).
    bytes_max: usize,
    /// What was not counted because the table is full.
    overflow: Counts,
    hash_key: HashKey,
}

/// Frames and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Frames.
    pub frames: u64,
    /// Their bytes, by original length.
    pub bytes: u64,
}

impl Counts {
    /// Adds one frame.
    #[inline(always)]
    pub fn add(&mut self, bytes: u64) {
        self.frames += 1;
        self.bytes += bytes;
    }

    /// Adds other counts.
    pub fn merge(&mut self, other: Self) {
        self.frames += other.frames;
        self.bytes += other.bytes;
    }
}

impl<const K: usize> Table<K> {
    /// Words of a slot.
    const STRIDE: usize = (K + 2).next_power_of_two();

    /// An empty table that takes at most `bytes_max` bytes.
    pub(super) fn new(hash_key: HashKey, bytes_max: usize) -> Self {
        let mut table = Self {
            words: Vec::new(),
            base: 0,
            mask: 0,
            len: 0,
            bytes_max,
            overflow: Counts::default(),
            hash_key,
        };
        table.allocate(SLOTS_MIN);
        table
    }

    /// Different keys counted.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What did not fit.
    pub(super) fn overflow(&self) -> Counts {
        self.overflow
    }

    /// Adds all that another table of the same hash key has.
    pub(super) fn merge(&mut self, other: &Self) {
        self.overflow.merge(other.overflow);
        // in the order of the slots the front of this table would fill up before it grows, so the
        // other is read in pieces here and there
        let words = &other.words[other.base..];
        let piece = PIECE_SLOTS * Self::STRIDE;
        let pieces = words.len() / piece;
        let step = (pieces * 5 / 8) | 1;
        let mut ahead = Vec::with_capacity(PIECE_SLOTS);
        for i in 0..pieces {
            let at = (i * step) % pieces * piece;
            ahead.clear();
            for slot in words[at..at + piece].chunks_exact(Self::STRIDE) {
                if slot[K] != 0 {
                    let mut key = [0; K];
                    key.copy_from_slice(&slot[..K]);
                    let hash = self.hash(key);
                    self.prefetch(hash);
                    ahead.push((key, hash, Counts { frames: slot[K], bytes: slot[K + 1] }));
                }
            }
            for &(key, hash, counts) in &ahead {
                self.add(key, hash, counts);
            }
        }
    }

    /// Lowers or raises the bound on memory; what is there stays.
    pub(super) fn set_bytes_max(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// Bytes taken.
    pub(super) fn bytes(&self) -> usize {
        self.words.len() * 8
    }

    /// The hash to give to [`prefetch`](Self::prefetch) and [`add`](Self::add).
    #[inline(always)]
    pub(super) fn hash(&self, key: [u64; K]) -> u64 {
        self.hash_key.hash(key)
    }

    /// Asks the cache for the slot of a hash.
    #[inline(always)]
    pub(super) fn prefetch(&self, hash: u64) {
        let slot = self.base + (hash as usize & self.mask) * Self::STRIDE;
        skb::arch::prefetch(&self.words, slot);
    }

    /// Counts.
    #[inline(always)]
    pub(super) fn add(&mut self, key: [u64; K], hash: u64, counts: Counts) {
        let mut at = hash as usize & self.mask;
        loop {
            let start = self.base + at * Self::STRIDE;
            let Some(slot) = self.words.get_mut(start..start + Self::STRIDE) else { return };
            if slot[K] == 0 {
                return self.insert(key, hash, counts);
            }
            if slot[..K] == key {
                slot[K] += counts.frames;
                slot[K + 1] += counts.bytes;
                return;
            }
            at = (at + 1) & self.mask;
        }
    }

    /// Every key with its counts, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = ([u64; K], Counts)> + '_ {
        self.words[self.base..].chunks_exact(Self::STRIDE).filter(|slot| slot[K] != 0).map(|slot| {
            let mut key = [0; K];
            key.copy_from_slice(&slot[..K]);
            (key, Counts { frames: slot[K], bytes: slot[K + 1] })
        })
    }

    #[cold]
    #[inline(never)]
    fn insert(&mut self, key: [u64; K], hash: u64, counts: Counts) {
        if counts.frames == 0 {
            return;
        }
        if (self.len + 1) * 4 > (self.mask + 1) * 3 && !self.grow() {
            self.overflow.merge(counts);
            return;
        }
        self.len += 1;
        self.place(key, hash, counts);
    }

    fn place(&mut self, key: [u64; K], hash: u64, counts: Counts) {
        let mut at = hash as usize & self.mask;
        loop {
            let start = self.base + at * Self::STRIDE;
            let slot = &mut self.words[start..start + Self::STRIDE];
            if slot[K] == 0 {
                slot[..K].copy_from_slice(&key);
                slot[K] = counts.frames;
                slot[K + 1] = counts.bytes;
                return;
            }
            at = (at + 1) & self.mask;
        }
    }

    fn grow(&mut self) -> bool {
        let slots = (self.mask + 1) * 2;
        if self.bytes() + slots * Self::STRIDE * 8 > self.bytes_max {
            return false;
        }
        let old = std::mem::take(&mut self.words);
        let base = self.base;
        self.allocate(slots);
        for slot in old[base..].chunks_exact(Self::STRIDE).filter(|slot| slot[K] != 0) {
            let mut key = [0; K];
            key.copy_from_slice(&slot[..K]);
            let counts = Counts { frames: slot[K], bytes: slot[K + 1] };
            self.place(key, self.hash_key.hash(key), counts);
        }
        true
    }

    fn allocate(&mut self, slots: usize) {
        self.words = vec![0; slots * Self::STRIDE + LINE / 8];
        // fresh memory that is read before it is written costs two page faults, written one
        for page in self.words.chunks_mut(PAGE_WORDS) {
            page[0] = std::hint::black_box(0);
        }
        let past_line = self.words.as_ptr().addr() % LINE;
        self.base = (LINE - past_line) % LINE / 8;
        self.words.truncate(self.base + slots * Self::STRIDE);
        self.mask = slots - 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_table_counts_what_it_cannot_keep() {
        let bytes_max = SLOTS_MIN * 32 * 4;
        let mut table = Table::<2>::new(HashKey::random(), bytes_max);
        let one = Counts { frames: 1, bytes: 100 };
        for n in 0..100_000_u64 {
            let key = [n, n << 32];
            table.add(key, table.hash(key), one);
        }
        assert!(table.bytes() <= bytes_max);
        let kept: u64 = table.iter().map(|(_, counts)| counts.frames).sum();
        assert_eq!(kept as usize, table.len());
        assert_eq!(kept + table.overflow().frames, 100_000);
        assert_eq!(table.overflow().bytes, table.overflow().frames * 100);
        let [key, seen] = [[0, 0], [1, 1 << 32]];
        table.add(key, table.hash(key), one);
        table.add(seen, table.hash(seen), one);
        assert_eq!(table.iter().find(|(k, _)| *k == seen).unwrap().1.frames, 2);
    }

    proptest! {
        #[test]
        fn merges_like_a_map(
            parts in prop::array::uniform2(prop::collection::vec(0..9000_u64, 0..9000)),
        ) {
            let key = HashKey::random();
            let mut tables = [(); 2].map(|()| Table::<2>::new(key, 1 << 24));
            let mut map = HashMap::new();
            for (table, part) in tables.iter_mut().zip(&parts) {
                for &n in part {
                    let (key, counts) = ([n, 1], Counts { frames: 1, bytes: n });
                    table.add(key, table.hash(key), counts);
                    let sum: &mut Counts = map.entry(key).or_default();
                    sum.merge(counts);
                }
            }
            let [mut first, second] = tables;
            first.merge(&second);
            prop_assert_eq!(first.iter().collect::<HashMap<_, _>>(), map);
        }

        #[test]
        fn counts_like_a_map(adds in prop::collection::vec((0..3000_u64, 1..9_u64), 0..6000)) {
            let mut table = Table::<5>::new(HashKey::random(), 1 << 24);
            let mut map = HashMap::new();
            for (n, bytes) in adds {
                let key = [n, 0, n % 7, 0, 1];
                table.add(key, table.hash(key), Counts { frames: 1, bytes });
                let counts: &mut Counts = map.entry(key).or_default();
                counts.add(bytes);
            }
            prop_assert_eq!(table.len(), map.len());
            prop_assert_eq!(table.iter().collect::<HashMap<_, _>>(), map);
        }
    }
}
