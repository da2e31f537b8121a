//! The forwarding database: which port a station was last heard on, by (VID, MAC).
//!
//! Theory of operation. One table of buckets, each exactly one cache line with four entries.
//! A keyed hash gives an entry its home: a bucket and a way in it. Most entries lie there, so a
//! hit costs one comparison; the others lie in another way of the bucket, on the same line.
//! [`Probe`] holds what the common case needs for a whole burst. A bucket that is full
//! passes entries on to the next one and counts how many it has passed (so a miss knows when to
//! stop, and removal leaves no tombstones). Where that becomes common, the addresses at hand and
//! the key do not get on: the table is laid out anew with another key (see `grow`). The table
//! starts at 128 KiB, of which a small network uses a line per station, and doubles up to the
//! stated capacity; large tables are prefetched for a whole burst first ([`Fdb::prefetch`]).
//!
//! Nothing a station sends can evict an entry of another port or a static one: a port over its
//! cap, or a full table, *refuses* to learn, and counts that. Frames to addresses that were
//! refused are flooded as unknown, as IEEE 802.1Q 8.8 requires of a full database.
//!
//! A static entry can stand for an address in every VLAN ([`FdbKey::any_vlan`]): it is looked at
//! when the VLAN's own entry is missing, and nobody else can learn the address in any VLAN.
//!
//! Ageing follows IEEE 802.1Q 8.8.3: 300 s by default, entries older than that are treated as
//! absent at once and removed by an incremental sweep. Time is an argument, as everywhere here.

mod bucket;
mod config;
mod grow;
mod key;
mod probe;
#[cfg(test)]
mod tests;

use bucket::{Bucket, Entry, STATIC, pack};
pub use config::{
    AGEING_MS_DEFAULT, AGEING_MS_MAX, CAPACITY_DEFAULT, CAPACITY_MAX, FdbConfig, FdbEntry,
    FdbError, FdbStats, Learned,
};
pub use key::{FdbKey, HashKey, Tick};
pub(crate) use key::{GROUP_BIT, MAC_BITS};
pub use probe::Probe;
use skb::{PORTS_MAX, PortId};

const WAYS: usize = 4;
const BUCKETS_MIN: usize = 2048;
/// Buckets an entry may lie away from its home, so that no crafted set of addresses makes a
/// lookup long.
const PROBES_MAX: usize = 16;
/// Tables above this many bytes no longer stay in the nearest caches: prefetch pays.
const PREFETCH_BYTES: usize = 512 << 10;
/// Buckets swept per call at most.
const SWEEP_MAX: usize = 4096;

/// The table. See the module text.
pub struct Fdb {
    buckets: Box<[Bucket]>,
    /// How many entries whose way led through a bucket lie behind it; at most `PROBES_MAX - 1`
    /// buckets of four.
    passed: Box<[u8]>,
    /// The sum of `passed`: how crowded the table is.
    away: usize,
    /// Keys tried for the table of this size.
    rekeyed: u32,
    buckets_max: usize,
    capacity: usize,
    len: usize,
    /// Static entries that count in every VLAN.
    any_vlan: usize,
    key: HashKey,
    age_ticks: i32,
    caps: [u32; PORTS_MAX],
    learned: [u32; PORTS_MAX],
    cursor: usize,
    swept_to: Option<Tick>,
    stats: FdbStats,
}

impl std::fmt::Debug for Fdb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fdb")
            .field("len", &self.len)
            .field("capacity", &self.capacity)
            .field("buckets", &self.buckets.len())
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

impl Fdb {
    /// An empty table. `key` should be drawn anew for each process, so that nobody outside can
    /// choose addresses that collide.
    pub fn new(config: FdbConfig, key: HashKey) -> Result<Self, FdbError> {
        let FdbConfig { capacity, ageing_ms } = config;
        if !(1..=CAPACITY_MAX).contains(&capacity) {
            return Err(FdbError::Capacity { capacity });
        }
        if !(1..=AGEING_MS_MAX).contains(&ageing_ms) {
            return Err(FdbError::Ageing { ageing_ms });
        }
        let buckets_max = grow::buckets_for(capacity);
        let buckets = BUCKETS_MIN.min(buckets_max);
        Ok(Self {
            buckets: vec![Bucket::EMPTY; buckets].into(),
            passed: vec![0; buckets].into(),
            away: 0,
            rekeyed: 0,
            buckets_max,
            capacity,
            len: 0,
            any_vlan: 0,
            key,
            age_ticks: Tick::ticks_of_ms(ageing_ms),
            caps: [u32::MAX; PORTS_MAX],
            learned: [0; PORTS_MAX],
            cursor: 0,
            swept_to: None,
            stats: FdbStats::default(),
        })
    }

    /// How many addresses `port` may have learned at most. Ports outside the switch are ignored.
    pub fn set_port_cap(&mut self, port: PortId, cap: u32) {
        if let Some(slot) = self.caps.get_mut(port.index()) {
            *slot = cap;
        }
    }

    /// Entries now, aged ones that the sweep has not yet reached included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Memory of the entries, bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    /// Addresses that `port` has learned and not yet lost.
    pub fn learned_on(&self, port: PortId) -> u32 {
        self.learned.get(port.index()).copied().unwrap_or(0)
    }

    /// Counts so far.
    pub fn stats(&self) -> FdbStats {
        self.stats
    }

    /// Whether the table is too large for the nearest caches, so that prefetching a burst pays.
    #[inline]
    pub fn wants_prefetch(&self) -> bool {
        self.bytes() > PREFETCH_BYTES
    }

    /// Asks the cache for the home bucket of `key`.
    #[inline(always)]
    pub fn prefetch(&self, key: FdbKey) {
        if let Some(bucket) = self.buckets.get(self.home(key)) {
            skb::arch::prefetch(bytemuck::bytes_of(bucket), 0);
        }
    }

    #[inline(always)]
    fn home(&self, key: FdbKey) -> usize {
        self.key.slot(key.0, self.buckets.len() * WAYS) / WAYS
    }

    /// The port behind which `key` lives, unless its entry is too old.
    #[inline(always)]
    pub fn lookup(&self, key: FdbKey, now: Tick) -> Option<PortId> {
        let at = self.home(key);
        let bucket = &self.buckets[at];
        let way = bucket.way(key.0);
        let value = if bucket.ways[way].key == key.0 {
            bucket.ways[way].value
        } else if self.passed[at] == 0 {
            return self.lookup_any_vlan(key);
        } else {
            match self.find_far(key.0, at) {
                Some((at, way)) => self.buckets[at].ways[way].value,
                None => return self.lookup_any_vlan(key),
            }
        };
        if self.alive(value, now) { Some(PortId(value as u8)) } else { self.lookup_any_vlan(key) }
    }

    /// The port of the entry that stands for the address in every VLAN.
    #[inline]
    fn lookup_any_vlan(&self, key: FdbKey) -> Option<PortId> {
        if self.any_vlan == 0 {
            return None;
        }
        let (at, way) = self.find(FdbKey::any_vlan(key.mac()))?;
        Some(PortId(self.buckets[at].ways[way].value as u8))
    }

    /// Notes that `key` was heard on `port`.
    ///
    /// Ports outside 0..64 learn nothing ([`Learned::RefusedCap`]).
    #[inline(always)]
    pub fn learn(&mut self, key: FdbKey, port: PortId, now: Tick) -> Learned {
        let bucket = &self.buckets[self.home(key)];
        let way = bucket.way(key.0);
        let value = bucket.ways[way].value;
        let fresh = pack(port, now);
        let fixed = u64::from(port.0) | STATIC;
        if bucket.ways[way].key == key.0 && (value == fresh || value == fixed) {
            return Learned::Known;
        }
        self.learn_slow(key, port, now)
    }

    /// Sets a static entry: it neither ages nor moves, and replaces a learned one. An entry for
    /// [every VLAN](FdbKey::any_vlan) is best set before anything is learned.
    pub fn insert_static(&mut self, key: FdbKey, port: PortId) -> Result<(), FdbError> {
        if let Some((at, way)) = self.find(key) {
            let value = self.buckets[at].ways[way].value;
            if value & STATIC != 0 {
                let first = PortId(value as u8);
                let same = first == port;
                return if same {
                    Ok(())
                } else {
                    Err(FdbError::Conflict { key, first, second: port })
                };
            }
            self.remove_at(at, way);
        }
        if !self.insert(key, u64::from(port.0) | STATIC) {
            return Err(FdbError::Full { key, len: self.len, capacity: self.capacity });
        }
        self.any_vlan += usize::from(key.vid() == 0);
        Ok(())
    }

    /// Removes the entry of `key`, static or learned. `false` if there is none.
    pub fn remove(&mut self, key: FdbKey) -> bool {
        let found = self.find(key);
        if let Some((at, way)) = found {
            self.remove_at(at, way);
        }
        found.is_some()
    }

    /// Forgets what was learned on `port` (its far end was unplugged). Returns how many.
    pub fn flush_port(&mut self, port: PortId) -> usize {
        self.remove_where(|value| value & STATIC == 0 && value as u8 == port.0)
    }

    /// Removes every aged entry now. Returns how many.
    pub fn age_out(&mut self, now: Tick) -> usize {
        let age_ticks = self.age_ticks;
        let removed = self.remove_where(|value| bucket::aged(value, now, age_ticks));
        self.stats.aged += removed as u64;
        removed
    }

    /// Removes aged entries from the next piece of the table: the whole table is visited four
    /// times per ageing time if this is called at least once per tick of 128 ms. Call it once
    /// per burst; between ticks it costs one comparison.
    #[inline]
    pub fn sweep(&mut self, now: Tick) {
        if self.swept_to != Some(now) {
            self.sweep_piece(now);
        }
    }

    #[cold]
    fn sweep_piece(&mut self, now: Tick) {
        let elapsed = self.swept_to.map_or(1, |then| now.since(then)).max(0) as usize;
        self.swept_to = Some(now);
        let period = (self.age_ticks as usize / 4).max(1);
        let due = (self.buckets.len() * elapsed).div_ceil(period);
        for _ in 0..due.min(self.buckets.len()).min(SWEEP_MAX) {
            let at = self.cursor;
            self.cursor = (at + 1) & (self.buckets.len() - 1);
            for way in 0..WAYS {
                let Entry { key, value } = self.buckets[at].ways[way];
                if key != 0 && bucket::aged(value, now, self.age_ticks) {
                    self.remove_at(at, way);
                    self.stats.aged += 1;
                }
            }
        }
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = FdbEntry> {
        self.entries().map(|&Entry { key, value }| FdbEntry {
            key: FdbKey(key),
            port: PortId(value as u8),
            fixed: value & STATIC != 0,
            heard: bucket::heard(value),
        })
    }

    // --- the slow half -----------------------------------------------------------------------

    #[inline]
    fn alive(&self, value: u64, now: Tick) -> bool {
        !bucket::aged(value, now, self.age_ticks)
    }

    fn find(&self, key: FdbKey) -> Option<(usize, usize)> {
        let at = self.home(key);
        let way = self.buckets[at].way(key.0);
        if self.buckets[at].ways[way].key == key.0 {
            return Some((at, way));
        }
        self.find_far(key.0, at)
    }

    fn fixed_at(&self, found: Option<(usize, usize)>) -> bool {
        found.is_some_and(|(at, way)| self.buckets[at].ways[way].value & STATIC != 0)
    }

    /// Looks in the buckets behind the home bucket `at`.
    #[cold]
    fn find_far(&self, key: u64, mut at: usize) -> Option<(usize, usize)> {
        for _ in 1..PROBES_MAX {
            if self.passed[at] == 0 {
                return None;
            }
            at = (at + 1) & (self.buckets.len() - 1);
            let way = self.buckets[at].way(key);
            if self.buckets[at].ways[way].key == key {
                return Some((at, way));
            }
        }
        None
    }

    #[inline(never)]
    fn learn_slow(&mut self, key: FdbKey, port: PortId, now: Tick) -> Learned {
        let Some(&cap) = self.caps.get(port.index()) else {
            self.stats.refused_cap += 1;
            return Learned::RefusedCap;
        };
        let capped = self.learned[port.index()] >= cap;
        let found = self.find(key);
        if self.lookup_any_vlan(key).is_some_and(|fixed| fixed != port) && !self.fixed_at(found) {
            self.stats.static_conflict += 1;
            return Learned::StaticConflict;
        }
        let Some((at, way)) = found else {
            if capped {
                self.stats.refused_cap += 1;
                return Learned::RefusedCap;
            }
            if !self.insert(key, pack(port, now)) {
                self.stats.refused_full += 1;
                return Learned::RefusedFull;
            }
            self.stats.learned += 1;
            return Learned::New;
        };
        let value = self.buckets[at].ways[way].value;
        let old = PortId(value as u8);
        if value & STATIC != 0 {
            let known = old == port;
            self.stats.static_conflict += u64::from(!known);
            return if known { Learned::Known } else { Learned::StaticConflict };
        }
        let alive = self.alive(value, now);
        if old != port {
            if capped {
                self.stats.refused_cap += 1;
                return Learned::RefusedCap;
            }
            self.learned[old.index()] -= 1;
            self.learned[port.index()] += 1;
        }
        self.buckets[at].ways[way] = Entry { key: key.0, value: pack(port, now) };
        match (alive, old == port) {
            (true, true) => Learned::Known,
            (true, false) => {
                self.stats.moved += 1;
                Learned::Moved
            }
            (false, _) => {
                self.stats.aged += 1;
                self.stats.learned += 1;
                Learned::New
            }
        }
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.buckets.iter().flat_map(|bucket| &bucket.ways).filter(|entry| entry.key != 0)
    }

    fn remove_at(&mut self, at: usize, way: usize) {
        let Entry { key, value } = self.buckets[at].ways[way];
        let mut passing = self.home(FdbKey(key));
        if value & STATIC == 0 {
            self.learned[usize::from(value as u8)] -= 1;
        } else if FdbKey(key).vid() == 0 {
            self.any_vlan -= 1;
        }
        self.buckets[at].ways[way] = Entry::FREE;
        while passing != at {
            self.passed[passing] -= 1;
            self.away -= 1;
            passing = (passing + 1) & (self.buckets.len() - 1);
        }
        self.len -= 1;
    }

    fn remove_where(&mut self, gone: impl Fn(u64) -> bool) -> usize {
        let before = self.len;
        for at in 0..self.buckets.len() {
            for way in 0..WAYS {
                let Entry { key, value } = self.buckets[at].ways[way];
                if key != 0 && gone(value) {
                    self.remove_at(at, way);
                }
            }
        }
        before - self.len
    }
}
