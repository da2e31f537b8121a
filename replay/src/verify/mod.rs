//! What became of the frames at the far end: lost, twice, in another order, damaged.
//!
//! The sender's log names each frame before it is handed over, so that none can come unannounced;
//! the far end's frames are held against it by a keyed hash of all their bytes
//! ([`mark`]), copy for copy ([`matcher`]). Frames of the same bytes are the same: which of them
//! was lost cannot be told, how many were can. Zeros that fill a frame up to 60 bytes do not
//! count.

#[cfg(target_os = "linux")]
mod live;
pub mod mark;
pub mod matcher;

#[cfg(target_os = "linux")]
pub use live::{Config, Log, Verifier, VerifyError};
pub use matcher::{Findings, FrameName, Named};

/// What a verification came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// What became of the frames.
    pub findings: Findings,
    /// Frames that reached the far end and were lost in the verifier, or that it did not hear of.
    pub dropped: u64,
    /// Frames longer than the far end receives: it put several into one (GRO, LRO).
    pub merged: u64,
    /// What ended it early.
    pub broken: Option<String>,
    /// Frames that did not come and may be among the dropped.
    pub unknown: u64,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every frame came once, in order, byte for byte.
    Intact,
    /// Some did not.
    Damaged,
    /// The verifier did not see everything.
    Inconclusive,
}

impl Verdict {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intact => "intact",
            Self::Damaged => "damaged",
            Self::Inconclusive => "inconclusive",
        }
    }
}

impl Verified {
    /// What the verifier itself missed is taken out of what was lost.
    fn settle(mut self) -> Self {
        self.unknown = self.findings.lost.min(self.dropped);
        self.findings.lost -= self.unknown;
        self
    }

    /// The answer.
    pub fn verdict(&self) -> Verdict {
        let found = &self.findings;
        if self.dropped > 0 || self.merged > 0 || self.broken.is_some() {
            Verdict::Inconclusive
        } else if found.lost + found.duplicated + found.reordered + found.corrupted > 0 {
            Verdict::Damaged
        } else {
            Verdict::Intact
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_verifier_dropped_is_not_called_lost() {
        let findings = Findings { sent: 10, received: 3, lost: 7, ..Findings::default() };
        let verified = Verified { findings: findings.clone(), dropped: 5, ..Verified::default() };
        let verified = verified.settle();
        assert_eq!((verified.findings.lost, verified.unknown), (2, 5));
        assert_eq!(verified.verdict(), Verdict::Inconclusive);
        let verified = Verified { findings, ..Verified::default() }.settle();
        assert_eq!((verified.findings.lost, verified.verdict()), (7, Verdict::Damaged));
    }
}
