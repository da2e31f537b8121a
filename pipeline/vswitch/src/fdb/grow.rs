//! How entries get into the table, and what is done when it gets full or crowded.
//!
//! A multiply-shift hash spreads any set of addresses well for most keys and some sets badly for
//! a few (serial numbers against an unlucky multiplier). Nobody has to know which: crowding is
//! counted, and a crowded table is laid out anew with the next key. The keys follow from the first
//! one, so a run with a fixed key stays repeatable.

use super::bucket::{Bucket, Entry, STATIC};
use super::{Fdb, FdbKey, HashKey, PROBES_MAX, WAYS};

/// Keys tried at most for a table of one size.
const REKEYS_MAX: u32 = 16;
/// Steps away from home that are no reason to act, however few the entries are.
const AWAY_FREE: usize = 256;

impl Fdb {
    /// Puts a new entry in, growing or changing the key if need be. `false` when the table is
    /// full, or (with odds that need more luck than lotteries) no key fits all entries.
    pub(super) fn insert(&mut self, key: FdbKey, value: u64) -> bool {
        if self.len >= self.capacity {
            return false;
        }
        let entry = Entry { key: key.0, value };
        if (self.len + 1) * 2 > self.buckets.len() * WAYS {
            self.grow();
        }
        loop {
            let placed = place(&mut self.buckets, &mut self.passed, self.key, entry);
            if let Some(steps) = placed {
                self.away += steps;
                break;
            }
            if !self.rekey() && !self.grow() {
                return false;
            }
        }
        self.len += 1;
        if value & STATIC == 0 {
            self.learned[usize::from(value as u8)] += 1;
        }
        if self.away > self.len / 4 + AWAY_FREE {
            self.rekey();
        }
        true
    }

    /// Doubles the table. `false` when it is as large as it may be.
    #[cold]
    fn grow(&mut self) -> bool {
        let buckets = self.buckets.len() * 2;
        let mut key = self.key;
        for _ in 0..REKEYS_MAX {
            if buckets <= self.buckets_max && self.lay_out(buckets, key) {
                self.rekeyed = 0;
                self.stats.grown += 1;
                return true;
            }
            key = key.next();
        }
        false
    }

    /// Lays the table out with another key. `false` when none fits, or enough were tried.
    #[cold]
    fn rekey(&mut self) -> bool {
        let mut key = self.key;
        while self.rekeyed < REKEYS_MAX {
            self.rekeyed += 1;
            key = key.next();
            if self.lay_out(self.buckets.len(), key) {
                self.stats.rekeyed += 1;
                return true;
            }
        }
        false
    }

    /// All entries into a fresh table of `buckets`. `false`, and nothing changes, if one does not
    /// find a place.
    fn lay_out(&mut self, buckets: usize, key: HashKey) -> bool {
        let mut table: Box<[Bucket]> = vec![Bucket::EMPTY; buckets].into();
        let mut passed: Box<[u8]> = vec![0; buckets].into();
        let mut away = 0;
        for entry in self.entries() {
            match place(&mut table, &mut passed, key, *entry) {
                Some(steps) => away += steps,
                None => return false,
            }
        }
        (self.buckets, self.passed, self.away, self.key) = (table, passed, away, key);
        self.cursor = 0;
        true
    }
}

/// Buckets for `capacity` entries at half load, a power of two.
pub(super) fn buckets_for(capacity: usize) -> usize {
    (capacity * 2).div_ceil(WAYS).next_power_of_two().max(PROBES_MAX)
}

/// Puts an entry into the first bucket with room from its home on: how many buckets away, or
/// `None` if there is none near.
fn place(table: &mut [Bucket], passed: &mut [u8], hash: HashKey, entry: Entry) -> Option<usize> {
    let slot = hash.slot(entry.key, table.len() * WAYS);
    let home = slot / WAYS;
    let mask = table.len() - 1;
    for steps in 0..PROBES_MAX {
        let at = (home + steps) & mask;
        if let Some(way) = table[at].way_free(slot % WAYS) {
            table[at].ways[way] = entry;
            for passing in 0..steps {
                passed[(home + passing) & mask] += 1;
            }
            return Some(steps);
        }
    }
    None
}
