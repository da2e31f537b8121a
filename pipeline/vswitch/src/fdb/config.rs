//! What a table is made with, and what it reports.

use super::{FdbKey, Tick};
use skb::PortId;

/// Default ageing time, milliseconds (IEEE 802.1Q table 8-6: 300 s).
pub const AGEING_MS_DEFAULT: u64 = 300_000;
/// Longest ageing time, milliseconds (IEEE 802.1Q table 8-6: 1,000,000 s).
pub const AGEING_MS_MAX: u64 = 1_000_000_000;
/// Entries by default.
pub const CAPACITY_DEFAULT: usize = 65_536;
/// Entries at most.
pub const CAPACITY_MAX: usize = 1 << 20;

/// Sizes and times of an [`Fdb`](super::Fdb).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdbConfig {
    /// Most entries, static and learned, 1 to [`CAPACITY_MAX`].
    pub capacity: usize,
    /// Age in milliseconds at which a learned entry no longer counts, 1 to [`AGEING_MS_MAX`].
    pub ageing_ms: u64,
}

impl Default for FdbConfig {
    fn default() -> Self {
        Self { capacity: CAPACITY_DEFAULT, ageing_ms: AGEING_MS_DEFAULT }
    }
}

/// The table cannot be built or extended as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FdbError {
    /// Capacity outside 1 to [`CAPACITY_MAX`].
    #[error("an FDB of {capacity} entries: expected 1 to {CAPACITY_MAX}")]
    Capacity {
        /// As configured.
        capacity: usize,
    },
    /// Ageing outside 1 ms to [`AGEING_MS_MAX`].
    #[error("an ageing time of {ageing_ms} ms: expected 1 to {AGEING_MS_MAX}")]
    Ageing {
        /// As configured.
        ageing_ms: u64,
    },
    /// No room for another static entry.
    #[error("no room for the static entry {key}: the FDB holds {len} of {capacity} entries")]
    Full {
        /// The entry.
        key: FdbKey,
        /// Entries in the table.
        len: usize,
        /// Most entries.
        capacity: usize,
    },
    /// The address is already static on another port.
    #[error("{key} is static on {first} and on {second}: one address, one port")]
    Conflict {
        /// The entry.
        key: FdbKey,
        /// Where it is.
        first: PortId,
        /// Where it was to be.
        second: PortId,
    },
}

/// What [`Fdb::learn`](super::Fdb::learn) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learned {
    /// The station is where it was (its age starts again).
    Known,
    /// A new entry.
    New,
    /// The station was heard on another port and has moved.
    Moved,
    /// The port is at its cap.
    RefusedCap,
    /// The table is full.
    RefusedFull,
    /// The address is static on another port; static entries never move.
    StaticConflict,
}

/// What happened to the table so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct FdbStats {
    /// New learned entries.
    pub learned: u64,
    /// Stations that changed port.
    pub moved: u64,
    /// Entries removed because of their age.
    pub aged: u64,
    /// Frames whose source was not learned because the port is at its cap.
    pub refused_cap: u64,
    /// Frames whose source was not learned because the table is full.
    pub refused_full: u64,
    /// Frames whose source is a static address of another port.
    pub static_conflict: u64,
    /// Doublings of the table.
    pub grown: u64,
    /// Times the table was laid out with another key because it was crowded.
    pub rekeyed: u64,
}

/// One entry, as [`Fdb::iter`](super::Fdb::iter) shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdbEntry {
    /// VID and MAC.
    pub key: FdbKey,
    /// Port.
    pub port: PortId,
    /// Set by configuration: does not age or move.
    pub fixed: bool,
    /// When the station was last heard; meaningless for fixed entries.
    pub heard: Tick,
}
