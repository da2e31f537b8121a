//! One cache line of the table: four entries, each a key and a value.
//!
//! ```text
//! value   63 .. 48          47 .. 16        15 .. 8       7 .. 0
//!         entries passed    tick last       8 = static    port
//!         (way 0 only)      heard
//! ```

use super::{Tick, WAYS};
use bytemuck::{Pod, Zeroable};
use skb::PortId;

/// Flag of a static entry.
pub(super) const STATIC: u64 = 1 << 8;
/// The bits of a value that belong to its entry.
pub(super) const ENTRY: u64 = (1 << PASSED_SHIFT) - 1;

const TICK_SHIFT: u32 = 16;
const PASSED_SHIFT: u32 = 48;

/// One station; a key of 0 is free ([`FdbKey`](super::FdbKey)s are never 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Entry {
    pub(super) key: u64,
    pub(super) value: u64,
}

/// Four entries.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub(super) struct Bucket {
    pub(super) ways: [Entry; WAYS],
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    pub(super) const EMPTY: Self = Self { ways: [Entry { key: 0, value: 0 }; WAYS] };

    /// The only way that can hold `key`: it does if `ways[way].key == key`. No branch.
    #[inline(always)]
    pub(super) fn way(&self, key: u64) -> usize {
        let [_, one, two, three] = self.ways;
        let way = usize::from(one.key == key)
            + usize::from(two.key == key) * 2
            + usize::from(three.key == key) * 3;
        way & (WAYS - 1)
    }

    /// A free way, `home` if it is.
    pub(super) fn way_free(&self, home: usize) -> Option<usize> {
        (0..WAYS).map(|step| (home + step) % WAYS).find(|&way| self.ways[way].key == 0)
    }

    /// Writes an entry and leaves the bucket's own count alone.
    pub(super) fn set(&mut self, way: usize, key: u64, value: u64) {
        let entry = &mut self.ways[way];
        entry.key = key;
        entry.value = entry.value & !ENTRY | value & ENTRY;
    }

    /// How many entries whose way led through this bucket lie behind it.
    #[inline(always)]
    pub(super) fn passed(&self) -> u64 {
        self.ways[0].value >> PASSED_SHIFT
    }

    /// At most `PROBES_MAX` buckets of four entries can have passed: 16 bits are enough.
    pub(super) fn count_passed(&mut self, delta: i64) {
        self.ways[0].value = self.ways[0].value.wrapping_add((delta << PASSED_SHIFT) as u64);
    }
}

/// The value of a learned entry.
#[inline(always)]
pub(super) fn pack(port: PortId, now: Tick) -> u64 {
    u64::from(now.0) << TICK_SHIFT | u64::from(port.0)
}

/// When the station was last heard.
#[inline(always)]
pub(super) fn heard(value: u64) -> Tick {
    Tick((value >> TICK_SHIFT) as u32)
}

/// Whether the entry is learned and older than `age_ticks`.
#[inline(always)]
pub(super) fn aged(value: u64, now: Tick, age_ticks: i32) -> bool {
    now.since(heard(value)) > age_ticks && value & STATIC == 0
}
