//! What became of every frame, and where the time went.

use skb::{Ledger, Stage};

use crate::hist::StageLatency;

/// Where the time of the thread that runs the path went, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Shares {
    /// Asleep, with everything sent: the writers gave it nothing.
    pub source: f64,
    /// Asleep, a reader's pipe being full.
    pub sink: f64,
    /// Asleep, with bytes on their way: the other end of a wire has not answered.
    pub wire: f64,
    /// Asleep without a connection.
    pub idle: f64,
    /// Bytes from pipes into sockets and back.
    pub hand_over: f64,
    /// The stacks of the guests.
    pub stack: f64,
    /// The five stages, left to right.
    pub stages: [f64; Stage::COUNT],
}

impl Shares {
    /// By name, in the order in which bytes meet them; `idle` is not among them.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let stages = Stage::ALL.iter().map(|stage| stage.name()).zip(self.stages);
        [("source", self.source), ("hand-over", self.hand_over), ("stack", self.stack)]
            .into_iter()
            .chain(stages)
            .chain([("wire", self.wire), ("sink", self.sink)])
    }

    /// What took the most time, and which part of all that was not idle.
    pub fn limiting(&self) -> (&'static str, f64) {
        let all: f64 = self.named().map(|(_, ns)| ns).sum();
        let most = self.named().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or(("source", 0.0));
        (most.0, if all > 0.0 { most.1 / all } else { 0.0 })
    }
}

/// What a path has done so far.
#[derive(Debug, Clone)]
pub struct PathReport {
    /// Every reference to a frame, accounted for.
    pub ledger: Ledger,
    /// Per stage at burst grain, then `path`.
    pub latencies: Vec<StageLatency>,
    /// Where its thread's time went.
    pub shares: Shares,
    /// Seconds since it was started.
    pub seconds: f64,
    /// TCP payload handed to sockets and taken from them, bytes.
    pub bytes: (u64, u64),
    /// Connections made or accepted.
    pub connections: u64,
    /// Most references that ever waited for credit at one port.
    pub waiting_high: usize,
    /// Edges that end at the host, by configuration.
    pub host_edges: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_share_limits_and_idleness_does_not() {
        let mut shares = Shares { idle: 900.0, stack: 60.0, sink: 20.0, ..Shares::default() };
        shares.stages[Stage::Guest as usize] = 20.0;
        let (name, share) = shares.limiting();
        assert_eq!((name, (share * 100.0).round() as u32), ("stack", 60));
        assert!(Shares::default().limiting().1.abs() < 1e-9);
        let names: Vec<_> = shares.named().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            [
                "source",
                "hand-over",
                "stack",
                "nic",
                "driver",
                "skb",
                "vswitch",
                "guest",
                "wire",
                "sink"
            ]
        );
    }
}
