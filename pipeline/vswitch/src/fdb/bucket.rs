//! One cache line of the table: four entries, each a key and a value.
//!
//! ```text
//! value   63 .. 48    47 .. 16           15 .. 8       7 .. 0
//!         0           tick last heard    8 = static    port
//! ```

use super::{Tick, WAYS};
use bytemuck::{Pod, Zeroable};
use skb::PortId;

/// Flag of a static entry.
pub(super) const STATIC: u64 = 1 << 8;
const TICK_SHIFT: u32 = 16;

/// One station; a key of 0 is free ([`FdbKey`](super::FdbKey)s are never 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Entry {
    pub(super) key: u64,
    pub(super) value: u64,
}

impl Entry {
    pub(super) const FREE: Self = Self { key: 0, value: 0 };
}

/// Four entries.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub(super) struct Bucket {
    pub(super) ways: [Entry; WAYS],
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    pub(super) const EMPTY: Self = Self { ways: [Entry::FREE; WAYS] };

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
    now.since(heard(value)) > age_ticks && is_learned(value)
}

/// Asked only where the time says "aged", which is rare: entries that fast are static or end here.
#[cold]
fn is_learned(value: u64) -> bool {
    value & STATIC == 0
}
