//! Waiting for a moment: asleep until shortly before it, then on the processor's tick counter.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use skb::arch::ticks;

/// The last part of a wait is spun, because the kernel wakes sleepers tens of microseconds late.
pub const SPIN_NS: u64 = 100_000;
/// The most that is spun, on a machine that wakes sleepers later than that.
pub const SPIN_MAX_NS: u64 = 2_000_000;
/// No single sleep is longer, so that a request to stop is heard.
const SLEEP_MAX_NS: u64 = 50_000_000;
/// The tick counter is held against the monotonic clock this often.
const ANCHOR_EVERY_NS: u64 = 10_000_000;
/// A wait has to be at least this long for that to be done in it.
const ANCHOR_ROOM_NS: u64 = 2_000;
/// Two readings of the clock and the counter that lie further apart were interrupted.
const ANCHOR_SPREAD_NS: u64 = 1_000;
/// Length of the first calibration.
const CALIBRATION: Duration = Duration::from_millis(20);
/// Bits behind the point of nanoseconds per tick: a tick of up to 65 µs, at 10^-12 ns.
const FRACTION_BITS: u32 = 40;

/// A clock that counts nanoseconds from its start, and waits.
pub trait Clock {
    /// Nanoseconds since the start.
    fn now(&mut self) -> u64;

    /// Returns at `due_ns` or, if that has passed, at once: the time then. Returns early when
    /// `stop` is set.
    fn wait_until(&mut self, due_ns: u64, stop: &AtomicBool) -> u64;

    /// The same time as [`now`](Self::now), from the system's own clock.
    fn system_now(&mut self) -> u64;
}

/// The tick counter (TSC), held against `CLOCK_MONOTONIC` for as long as it runs.
///
/// Reading the counter takes less than half the time of a reading of the system's clock, and
/// never enters the kernel. Its rate is measured over the whole time since the start and its
/// value is set anew every 10 ms, so that the two never part. A machine whose counter changes its
/// rate is found out, and the system's clock is read instead.
#[derive(Debug)]
pub struct TickClock {
    epoch: Instant,
    /// First pair of readings.
    base: Reading,
    /// Last pair of readings.
    anchor: Reading,
    ns_per_tick: u64,
    /// The counter cannot be trusted.
    unsteady: bool,
    spin_ns: u64,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    ticks: u64,
    ns: u64,
}

impl TickClock {
    /// Measures the counter's rate for 20 ms. Time starts with [`restart`](Self::restart).
    pub fn new() -> Self {
        // Linux wakes sleepers up to 50 µs late to save power, unless asked not to
        #[cfg(target_os = "linux")]
        if let Err(error) = nix::sys::prctl::set_timerslack(1) {
            tracing::debug!(%error, "timers keep their slack");
        }
        let epoch = Instant::now();
        let base = Reading { ticks: ticks(), ns: 0 };
        let mut clock =
            Self { epoch, base, anchor: base, ns_per_tick: 0, unsteady: false, spin_ns: SPIN_NS };
        clock.base = clock.reading().unwrap_or(base);
        clock.anchor = clock.base;
        std::thread::sleep(CALIBRATION);
        clock.hold();
        clock
    }

    /// From here on the clock counts from 0.
    pub fn restart(&mut self) {
        self.hold();
        let now = Instant::now();
        let moved = now.duration_since(self.epoch).as_nanos() as u64;
        self.epoch = now;
        // readings before the start keep their distance: the base may lie before 0
        self.base.ns = self.base.ns.wrapping_sub(moved);
        self.anchor.ns = self.anchor.ns.wrapping_sub(moved);
    }

    /// Both clocks at one moment; `None` if the reading was interrupted each time.
    fn reading(&self) -> Option<Reading> {
        let mut best: Option<(u64, Reading)> = None;
        for _ in 0..4 {
            let before = ticks();
            let ns = self.epoch.elapsed().as_nanos() as u64;
            let after = ticks();
            let spread = after.wrapping_sub(before);
            let reading = Reading { ticks: before.wrapping_add(spread / 2), ns };
            if best.is_none_or(|(least, _)| spread < least) {
                best = Some((spread, reading));
            }
        }
        let (spread, reading) = best?;
        let spread_ns = (u128::from(spread) * u128::from(self.ns_per_tick)) >> FRACTION_BITS;
        (spread_ns < u128::from(ANCHOR_SPREAD_NS)).then_some(reading)
    }

    /// Sets the counter's value and rate by the system's clock.
    fn hold(&mut self) {
        let Some(reading) = self.reading() else { return };
        let ticks = reading.ticks.wrapping_sub(self.base.ticks);
        let ns = reading.ns.wrapping_sub(self.base.ns);
        if ticks == 0 || ticks > i64::MAX as u64 {
            self.unsteady = true;
            return;
        }
        let rate = (u128::from(ns) << FRACTION_BITS) / u128::from(ticks);
        let Ok(rate) = u64::try_from(rate) else {
            self.unsteady = true;
            return;
        };
        // the rate over a long time moves by less than a hundredth, or it is not one
        if self.ns_per_tick != 0 && rate.abs_diff(self.ns_per_tick) > self.ns_per_tick / 100 {
            self.unsteady = true;
        }
        self.ns_per_tick = rate;
        self.anchor = reading;
    }

    fn sleep(&mut self, ns: u64) {
        let before = self.now();
        std::thread::sleep(Duration::from_nanos(ns));
        let slept = self.now().saturating_sub(before);
        // what the kernel oversleeps is spun next time; a machine gets better slowly
        let over = slept.saturating_sub(ns).saturating_mul(2).min(SPIN_MAX_NS);
        self.spin_ns = over.max(self.spin_ns - self.spin_ns / 16).max(SPIN_NS);
    }
}

impl Default for TickClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TickClock {
    #[inline]
    fn now(&mut self) -> u64 {
        if self.unsteady {
            return self.system_now();
        }
        let ticks = ticks().wrapping_sub(self.anchor.ticks);
        // a counter behind the anchor is on another core, some ticks off
        let ticks = if ticks > i64::MAX as u64 { 0 } else { ticks };
        let ns = (u128::from(ticks) * u128::from(self.ns_per_tick)) >> FRACTION_BITS;
        let now = self.anchor.ns.wrapping_add(ns as u64);
        // before the start
        if now > i64::MAX as u64 { 0 } else { now }
    }

    #[inline]
    fn wait_until(&mut self, due_ns: u64, stop: &AtomicBool) -> u64 {
        let mut now = self.now();
        if now >= due_ns {
            if now.saturating_sub(self.anchor.ns) > 10 * ANCHOR_EVERY_NS {
                self.hold();
                now = self.now();
            }
            return now;
        }
        while due_ns - now > self.spin_ns + SPIN_NS / 4 {
            if stop.load(Ordering::Relaxed) {
                return now;
            }
            self.sleep((due_ns - now - self.spin_ns).min(SLEEP_MAX_NS));
            now = self.now();
            if now >= due_ns {
                return now;
            }
        }
        if due_ns - now > ANCHOR_ROOM_NS && now.wrapping_sub(self.anchor.ns) > ANCHOR_EVERY_NS {
            self.hold();
        }
        // no `pause`: under a hypervisor it may end the time slice
        loop {
            now = self.now();
            if now >= due_ns {
                return now;
            }
        }
    }

    fn system_now(&mut self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }
}

/// A clock of no world: it is as late as its scenario says, and only waiting takes time.
#[derive(Debug, Default)]
pub struct SimClock {
    /// The time.
    pub now_ns: u64,
    /// What each wait oversleeps, one after the other, then 0.
    pub oversleep_ns: std::collections::VecDeque<u64>,
    /// What time each look at the clock costs.
    pub look_ns: u64,
    /// `stop` is set by whoever waits past this.
    pub stop_at_ns: Option<u64>,
}

impl Clock for SimClock {
    fn now(&mut self) -> u64 {
        self.now_ns += self.look_ns;
        self.now_ns
    }

    fn wait_until(&mut self, due_ns: u64, stop: &AtomicBool) -> u64 {
        if let Some(at) = self.stop_at_ns
            && due_ns > at
        {
            stop.store(true, Ordering::Relaxed);
            return self.now_ns;
        }
        if due_ns > self.now_ns {
            self.now_ns = due_ns + self.oversleep_ns.pop_front().unwrap_or(0);
        }
        self.now_ns
    }

    fn system_now(&mut self) -> u64 {
        self.now_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_never_short_and_the_two_clocks_stay_together() {
        let stop = AtomicBool::new(false);
        let mut clock = TickClock::new();
        clock.restart();
        let mut due = 0;
        for gap in [0, 500, 3_000, 50_000, 400_000, 5_000_000, 30_000_000, 1_000] {
            due += gap;
            assert!(clock.wait_until(due, &stop) >= due);
            // an interrupt between the two readings makes one of them later, seldom twice
            let apart = (0..5).map(|_| clock.now().abs_diff(clock.system_now())).min();
            assert!(apart < Some(50_000), "{apart:?}");
        }
    }

    #[test]
    fn who_sleeps_hears_the_request_to_stop() {
        let stop = AtomicBool::new(true);
        let mut clock = TickClock::new();
        clock.restart();
        assert!(clock.wait_until(3_600_000_000_000, &stop) < 3_600_000_000_000);
    }

    #[test]
    fn a_counter_that_changes_its_rate_is_given_up() {
        let mut clock = TickClock::new();
        assert!(!clock.unsteady);
        clock.ns_per_tick *= 2;
        clock.hold();
        assert!(clock.unsteady);
        assert!(clock.now() <= clock.system_now());
    }
}
