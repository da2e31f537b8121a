//! Per-stage latency histograms at burst grain.
//!
//! Two stamps of the tick counter bracket a stage's work on a burst; every frame of the burst is
//! recorded with that time, because a frame that is done first still waits for its burst. Values
//! are kept in ticks and become nanoseconds when they are read.

use hdrhistogram::Histogram;
use skb::Stage;

/// One histogram per stage, and one end to end.
#[derive(Debug)]
pub struct StageHistograms {
    stages: [Histogram<u64>; Stage::COUNT],
    path: Histogram<u64>,
    /// Ticks spent in each stage.
    busy: [u64; Stage::COUNT],
}

/// What a stage's histogram says, in nanoseconds per burst.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StageLatency {
    /// Stage name, `path` for end to end.
    pub stage: &'static str,
    /// Frames recorded.
    pub frames: u64,
    /// Median.
    pub p50_ns: f64,
    /// 99th percentile.
    pub p99_ns: f64,
    /// 99.9th percentile.
    pub p999_ns: f64,
    /// Largest.
    pub max_ns: f64,
}

/// Largest value kept apart; longer ones count as this one (about 7 s at 5 GHz).
const TICKS_MAX: u64 = 1 << 35;

fn histogram() -> Histogram<u64> {
    // two significant digits: within 1 %; the bounds are constants that the crate accepts
    Histogram::new_with_bounds(1, TICKS_MAX, 2).unwrap_or_else(|_| unreachable!("valid bounds"))
}

impl Default for StageHistograms {
    fn default() -> Self {
        Self {
            stages: std::array::from_fn(|_| histogram()),
            path: histogram(),
            busy: [0; Stage::COUNT],
        }
    }
}

impl StageHistograms {
    /// Records one burst of `frames`: `stamps[i]..stamps[i + 1]` is stage `i`.
    #[inline]
    pub fn record(&mut self, stamps: &[u64; Stage::COUNT + 1], frames: u64) {
        for (stage, pair) in self.stages.iter_mut().zip(stamps.windows(2)) {
            stage.saturating_record_n(pair[1].saturating_sub(pair[0]), frames);
        }
        for (busy, pair) in self.busy.iter_mut().zip(stamps.windows(2)) {
            *busy += pair[1].saturating_sub(pair[0]);
        }
        let whole = stamps[Stage::COUNT].saturating_sub(stamps[0]);
        self.path.saturating_record_n(whole, frames);
    }

    /// Nanoseconds that bursts spent in each stage, left to right: their sum, not their middle.
    pub fn busy_ns(&self, ns_per_tick: f64) -> [f64; Stage::COUNT] {
        self.busy.map(|ticks| ticks as f64 * ns_per_tick)
    }

    /// The stages left to right, then `path`.
    pub fn latencies(&self, ns_per_tick: f64) -> Vec<StageLatency> {
        let named = Stage::ALL.iter().map(|s| s.name()).zip(&self.stages);
        let read = |(stage, h): (&'static str, &Histogram<u64>)| {
            let ns = |q: f64| h.value_at_quantile(q) as f64 * ns_per_tick;
            StageLatency {
                stage,
                frames: h.len(),
                p50_ns: ns(0.5),
                p99_ns: ns(0.99),
                p999_ns: ns(0.999),
                max_ns: h.max() as f64 * ns_per_tick,
            }
        };
        named.chain([("path", &self.path)]).map(read).collect()
    }
}
