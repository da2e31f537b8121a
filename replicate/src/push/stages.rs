//! Where the time of a push went, and which stage limited it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::work::Times;
use crate::store::PutTimes;

type Named = (&'static str, f64);

/// Seconds by stage.
#[derive(Debug, Clone)]
pub struct Stages {
    /// Of all workers together.
    workers: [Named; 4],
    threads: usize,
    /// Of those that run beside them, of all puts together.
    beside: Vec<Named>,
    waited: Vec<Named>,
    took: f64,
}

/// What the thread of a path did while bytes went through it, in seconds or any other unit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Travel {
    /// Ran its stacks and its stages.
    pub switch: f64,
    /// Slept, with bytes on their way to another host.
    pub wire: f64,
    /// Slept, because a reader at its other end did not read.
    pub reader: f64,
}

fn most(stages: &[Named]) -> Named {
    stages.iter().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(("scan", 0.0), |most| *most)
}

fn sum(stages: &[Named]) -> f64 {
    stages.iter().map(|(_, seconds)| seconds).sum()
}

impl Stages {
    /// `puts`: to a directory they are all `fsync`.
    pub(super) fn new(
        times: &Times,
        threads: usize,
        (puts, remote): (PutTimes, bool),
        waited: Vec<Named>,
        took: Duration,
    ) -> Self {
        let seconds = |n: &AtomicU64| n.load(Ordering::Relaxed) as f64 / 1e9;
        let workers = [
            ("scan", seconds(&times.read)),
            ("hash", seconds(&times.hash)),
            ("compress", seconds(&times.compress)),
            ("encrypt", seconds(&times.encrypt)),
        ];
        let fsync = ("fsync", puts.fsync.as_secs_f64());
        let (wire, receive) = (puts.wire.as_secs_f64(), puts.receive.as_secs_f64());
        let beside =
            if remote { vec![("wire", wire), ("receive", receive), fsync] } else { vec![fsync] };
        Self { workers, threads, beside, waited, took: took.as_secs_f64() }
    }

    /// The sending was a path's: the time it took is shared out by what the path did meanwhile.
    pub fn through(&mut self, travel: &Travel) {
        let all = travel.switch + travel.wire + travel.reader;
        let Some(at) = self.beside.iter().position(|(stage, _)| *stage == "wire") else { return };
        let sending = self.beside[at].1;
        let share = |part: f64| if all > 0.0 { sending * part / all } else { 0.0 };
        self.beside[at].1 = share(travel.wire);
        self.beside.insert(at, ("switch", share(travel.switch)));
        for (stage, seconds) in &mut self.beside {
            *seconds += if *stage == "receive" { share(travel.reader) } else { 0.0 };
        }
    }

    /// Seconds of work in each: `scan`, `hash`, `compress`, `encrypt`; to a server `wire` and
    /// `receive`, through a path `switch` as well; and `fsync`.
    pub fn seconds(&self) -> impl Iterator<Item = Named> {
        self.workers.iter().chain(&self.beside).copied()
    }

    /// The stage that took the most: of the workers' stages, or of those beside them if they took
    /// longer; or what the push was told to wait for, if that was most of its time: `limit`,
    /// `hours`, `load`.
    pub fn limiting(&self) -> &'static str {
        if let (why, spent) = most(&self.waited)
            && spent > self.took / 2.0
        {
            return why;
        }
        let busy = sum(&self.workers) / self.threads.max(1) as f64;
        let putting = sum(&self.beside);
        let beside = putting > busy && putting > self.took / 2.0;
        if beside { most(&self.beside).0 } else { most(&self.workers).0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(work: f64, puts: [u64; 3], waited: f64) -> Stages {
        let times = Times::default();
        times.hash.store((work * 1e9) as u64, Ordering::Relaxed);
        let [wire, receive, fsync] = puts.map(Duration::from_secs);
        let puts = (PutTimes { wire, receive, fsync }, true);
        Stages::new(&times, 2, puts, vec![("limit", waited)], Duration::from_secs(10))
    }

    #[test]
    fn what_took_the_most_is_named() {
        assert_eq!(stages(18.0, [1, 1, 1], 0.0).limiting(), "hash");
        assert_eq!(stages(2.0, [7, 1, 1], 0.0).limiting(), "wire");
        assert_eq!(stages(2.0, [1, 7, 1], 0.0).limiting(), "receive");
        assert_eq!(stages(2.0, [1, 1, 7], 0.0).limiting(), "fsync");
        assert_eq!(stages(2.0, [3, 2, 2], 0.0).limiting(), "wire", "puts together took the most");
        assert_eq!(stages(2.0, [1, 1, 1], 0.0).limiting(), "hash", "puts took little");
        assert_eq!(stages(18.0, [1, 1, 7], 6.0).limiting(), "limit");
    }

    #[test]
    fn a_path_shares_out_what_sending_took() {
        let mut through = stages(2.0, [8, 1, 1], 0.0);
        through.through(&Travel { switch: 5.0, wire: 1.0, reader: 2.0 });
        assert_eq!(through.limiting(), "switch");
        let of = |stage| through.seconds().find(|(name, _)| *name == stage).map(|(_, s)| s);
        let all = ["switch", "wire", "receive", "fsync"].map(of);
        assert_eq!(all, [Some(5.0), Some(1.0), Some(3.0), Some(1.0)]);
        let mut asleep = stages(2.0, [8, 1, 1], 0.0);
        asleep.through(&Travel { switch: 0.1, wire: 0.9, reader: 0.0 });
        assert_eq!(asleep.limiting(), "wire");
    }
}
