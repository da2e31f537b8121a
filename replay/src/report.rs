//! What a replay came to.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::pace::Oddities;

/// A frame handed over later than this after its time counts as late.
pub const LATE_NS: u64 = 20_000;
/// Gap errors above this are recorded as this.
const ERROR_MAX_NS: u64 = 600_000_000_000;

/// What ended a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// All frames were sent, as often as asked for.
    File,
    /// As many as asked for.
    Frames,
    /// As long as asked for.
    Seconds,
    /// Someone stopped it.
    Stopped,
    /// The interface was removed.
    InterfaceGone,
}

impl Ended {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Frames => "frame-limit",
            Self::Seconds => "time-limit",
            Self::Stopped => "stopped",
            Self::InterfaceGone => "interface-gone",
        }
    }
}

/// |actual gap - intended gap| between neighbours, where frames are handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GapError {
    /// The median, in nanoseconds.
    pub p50: u64,
    /// 99 of 100 are not above it.
    pub p99: u64,
    /// 999 of 1000 are not above it.
    pub p999: u64,
    /// The largest.
    pub max: u64,
}

/// Counts as they are made.
#[derive(Debug, Clone)]
pub struct Report {
    /// Frames that the kernel took.
    pub sent: u64,
    /// Their bytes, without FCS.
    pub bytes: u64,
    /// By port, in the ports' order.
    pub by_port: Vec<u64>,
    /// Frames the kernel refused, by cause.
    pub failed: BTreeMap<&'static str, u64>,
    /// Frames taken that had not left the machine when the replay ended.
    pub unfinished: u64,
    /// How often a full queue was waited for.
    pub waits: u64,
    /// Frames handed over more than [`LATE_NS`] after their time.
    pub late: u64,
    /// How late the latest was.
    pub late_max_ns: u64,
    /// How long after its time the last frame was handed over, by the system's clock. `None` when
    /// frames had no time of their own.
    pub drift_ns: Option<i64>,
    /// From the start until the last frame had left, nanoseconds.
    pub elapsed_ns: u64,
    /// When the last frame was due, nanoseconds after the start; 0 at top speed.
    pub asked_ns: u64,
    /// Rounds begun.
    pub rounds: u64,
    /// What was odd about recorded times.
    pub odd: Oddities,
    /// What ended it.
    pub ended: Ended,
    errors: Option<Histogram<u64>>,
}

impl Report {
    pub(crate) fn new(ports: usize, timed: bool) -> Self {
        // bounds that are constant and right: never `None` because of them
        let histogram = || {
            let mut errors = Histogram::new_with_bounds(1, ERROR_MAX_NS, 3).ok()?;
            // writes to all of its memory: no frame waits for a page of it
            errors.reset();
            Some(errors)
        };
        Self {
            sent: 0,
            bytes: 0,
            by_port: vec![0; ports],
            failed: BTreeMap::new(),
            unfinished: 0,
            waits: 0,
            late: 0,
            late_max_ns: 0,
            drift_ns: None,
            elapsed_ns: 0,
            asked_ns: 0,
            rounds: 1,
            odd: Oddities::default(),
            ended: Ended::File,
            errors: timed.then(histogram).flatten(),
        }
    }

    #[inline]
    pub(crate) fn gap_error(&mut self, actual_ns: u64, intended_ns: u64) {
        if let Some(errors) = &mut self.errors {
            errors.saturating_record(actual_ns.abs_diff(intended_ns));
        }
    }

    #[inline]
    pub(crate) fn handed(&mut self, at_ns: u64, due_ns: u64) {
        let late = at_ns.saturating_sub(due_ns);
        if late > LATE_NS {
            self.late += 1;
            self.late_max_ns = self.late_max_ns.max(late);
        }
    }

    pub(crate) fn fail(&mut self, cause: &'static str, frames: u64) {
        *self.failed.entry(cause).or_insert(0) += frames;
    }

    /// Frames that were not sent though they could have been.
    pub fn failed_total(&self) -> u64 {
        self.failed.values().sum()
    }

    /// `None` at top speed, where no gaps are intended, and for fewer than two frames.
    pub fn gap_error_ns(&self) -> Option<GapError> {
        let errors = self.errors.as_ref().filter(|errors| !errors.is_empty())?;
        Some(GapError {
            p50: errors.value_at_quantile(0.5),
            p99: errors.value_at_quantile(0.99),
            p999: errors.value_at_quantile(0.999),
            max: errors.max(),
        })
    }

    /// Seconds it took.
    pub fn seconds(&self) -> f64 {
        self.elapsed_ns as f64 / 1e9
    }

    /// Frames per second, over all of it; 0 if it took no time.
    pub fn pps(&self) -> f64 {
        per_second(self.sent, self.elapsed_ns)
    }

    /// Megabits of frame per second, over all of it; 0 if it took no time.
    pub fn mbps(&self) -> f64 {
        per_second(self.bytes, self.elapsed_ns) * 8.0 / 1e6
    }
}

fn per_second(count: u64, ns: u64) -> f64 {
    if ns == 0 { 0.0 } else { count as f64 * 1e9 / ns as f64 }
}
