//! The ledger: what became of every frame reference, and the identity it must satisfy.

use crate::{CopyReason, DropReason, Stage};

/// Counts of frame references. Each term is counted where it happens; none is got by subtraction.
///
/// Identity: `in + originated + cloned + split = delivered + dropped + consumed + merged + held`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Frames that NICs took in.
    pub frames_in: u64,
    /// Frames that guests sent.
    pub originated: u64,
    /// Extra references made by flooding, groups and mirrors.
    pub cloned: u64,
    /// Extra frames made by segmentation.
    pub split: u64,
    /// References that sinks took.
    pub delivered: u64,
    /// References dropped, by stage and reason.
    pub dropped: [[u64; DropReason::COUNT]; Stage::COUNT],
    /// Frames that a stage took for itself.
    pub consumed: u64,
    /// Frames that GRO merged into another.
    pub merged: u64,
    /// References still in the pool's hands, by the pool's own count.
    pub held: u64,
    /// References delivered to the host's own stack. Zero unless a host port was configured.
    pub host: u64,
    /// Copies of frame bytes, by reason.
    pub copies: [u64; CopyReason::COUNT],
}

/// The two sides of the identity when they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "ledger out of balance: {left} frame references came in or were made, {right} are accounted for"
)]
pub struct Imbalance {
    /// in + originated + cloned + split
    pub left: u64,
    /// delivered + dropped + consumed + merged + held
    pub right: u64,
}

impl Ledger {
    /// Counts `count` references dropped at `stage`.
    #[inline]
    pub fn drop_at(&mut self, stage: Stage, reason: DropReason, count: u64) {
        self.dropped[stage as usize][reason as usize] += count;
    }

    /// All drops.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().flatten().sum()
    }

    /// Drops of one reason over all stages.
    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.dropped.iter().map(|stage| stage[reason as usize]).sum()
    }

    /// All copies.
    pub fn copies_total(&self) -> u64 {
        self.copies.iter().sum()
    }

    /// Checks the identity.
    pub fn check(&self) -> Result<(), Imbalance> {
        let left = self.frames_in + self.originated + self.cloned + self.split;
        let right = self.delivered + self.dropped_total() + self.consumed + self.merged + self.held;
        if left == right { Ok(()) } else { Err(Imbalance { left, right }) }
    }

    /// Adds another core's or direction's counts.
    pub fn merge(&mut self, other: &Self) {
        self.frames_in += other.frames_in;
        self.originated += other.originated;
        self.cloned += other.cloned;
        self.split += other.split;
        self.delivered += other.delivered;
        self.consumed += other.consumed;
        self.merged += other.merged;
        self.held += other.held;
        self.host += other.host;
        for (a, b) in self.dropped.iter_mut().flatten().zip(other.dropped.iter().flatten()) {
            *a += b;
        }
        for (a, b) in self.copies.iter_mut().zip(&other.copies) {
            *a += b;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_frame_shows() {
        let mut ledger = Ledger { frames_in: 3, cloned: 1, delivered: 2, ..Ledger::default() };
        ledger.drop_at(Stage::Vswitch, DropReason::SamePort, 1);
        assert_eq!(ledger.check(), Err(Imbalance { left: 4, right: 3 }));
        ledger.held = 1;
        assert_eq!(ledger.check(), Ok(()));
        assert_eq!(ledger.dropped_for(DropReason::SamePort), 1);
    }
}
