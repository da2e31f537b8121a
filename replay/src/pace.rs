//! When each frame is due: exact arithmetic in nanoseconds after the start, nothing that adds up.

use std::fmt;
use std::str::FromStr;

use capture::format::NO_TIME;

/// Units of a [`Decimal`] in one.
const BILLION: u64 = 1_000_000_000;
/// A recorded time that lies this far before the latest one begins a new count: captures joined
/// end to end. Less is taken for records written out of order.
pub const STEP_BACK_NS: u64 = BILLION;

/// A positive decimal number with at most nine places, exactly: a rate or a factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal {
    billionths: u64,
}

/// What was expected of a [`Decimal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a decimal number from 0.000000001 to 1000000000 with at most nine places")]
pub struct DecimalError;

impl Decimal {
    /// 1.
    pub const ONE: Self = Self { billionths: BILLION };
    /// The largest that is accepted: 10^9.
    const MAX: u64 = BILLION * BILLION;

    /// A whole number from 1 to 10^9.
    pub fn whole(n: u64) -> Option<Self> {
        let billionths = n.checked_mul(BILLION)?;
        (1..=Self::MAX).contains(&billionths).then_some(Self { billionths })
    }

    /// In billionths: nanoseconds, of a number of seconds.
    pub const fn as_billionths(self) -> u64 {
        self.billionths
    }

    /// The nearest floating-point number.
    pub fn as_f64(self) -> f64 {
        self.billionths as f64 / BILLION as f64
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let (whole, places) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if (whole.is_empty() && places.is_empty()) || !digits(whole) || !digits(places) {
            return Err(DecimalError);
        }
        if places.len() > 9 {
            return Err(DecimalError);
        }
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().or(Err(DecimalError))? };
        let places: u64 = format!("{places:0<9}").parse().or(Err(DecimalError))?;
        let billionths = whole.checked_mul(BILLION).and_then(|w| w.checked_add(places));
        match billionths {
            Some(billionths @ 1..=Self::MAX) => Ok(Self { billionths }),
            _ => Err(DecimalError),
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, places) = (self.billionths / BILLION, self.billionths % BILLION);
        if places == 0 {
            return write!(f, "{whole}");
        }
        write!(f, "{whole}.{}", format!("{places:09}").trim_end_matches('0'))
    }
}

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// The recorded gaps, divided by this.
    Recorded(Decimal),
    /// Frames per second, evenly.
    Pps(Decimal),
    /// Megabits of frame (10^6 bits, in memory, without FCS) per second.
    Mbps(Decimal),
    /// As fast as the interface takes them.
    Top,
}

impl Pace {
    /// Frames have a time of their own.
    pub const fn is_timed(self) -> bool {
        !matches!(self, Self::Top)
    }
}

/// What was odd about the recorded times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oddities {
    /// Frames recorded earlier than one before them in the file: sent at once.
    pub backwards: u64,
    /// Frames without a recorded time: sent with the one before.
    pub untimed: u64,
    /// Gaps that were longer than the longest allowed, and cut to it.
    pub shortened: u64,
}

/// Gives each frame its time, in the order of sending.
///
/// A time is the sum of exact fractions: the remainder of every division is carried to the next,
/// so that frame 10^10 is due when arithmetic says, to the nanosecond.
#[derive(Debug, Clone)]
pub struct Schedule {
    pace: Pace,
    gap_max_ns: u64,
    /// Due time of the frame given last (recorded) or of the next one (rates), and the part of a
    /// nanosecond beyond it, in units of 1 / divisor.
    due_ns: u64,
    remainder: u64,
    divisor: u64,
    /// The latest recorded time of this round; `None` before its first frame.
    latest: Option<i64>,
    frames: u64,
    round_start_ns: u64,
    odd: Oddities,
}

impl Schedule {
    /// The first frame is due at 0. Recorded gaps longer than `gap_max_ns` are cut to it.
    pub fn new(pace: Pace, gap_max_ns: Option<u64>) -> Self {
        let divisor = match pace {
            Pace::Recorded(d) | Pace::Pps(d) | Pace::Mbps(d) => d.billionths,
            Pace::Top => 1,
        };
        Self {
            pace,
            gap_max_ns: gap_max_ns.unwrap_or(u64::MAX),
            due_ns: 0,
            remainder: 0,
            divisor,
            latest: None,
            frames: 0,
            round_start_ns: 0,
            odd: Oddities::default(),
        }
    }

    /// When the next frame is due, in nanoseconds after the start. `time_ns` is its recorded time
    /// ([`NO_TIME`] if it has none), `bytes` its length.
    #[inline]
    pub fn next(&mut self, time_ns: i64, bytes: usize) -> u64 {
        match self.pace {
            Pace::Top => 0,
            // ns = frames / pps x 10^9, pps in billionths
            Pace::Pps(_) => self.then_add(BILLION * BILLION),
            // ns = bits / (mbps x 10^6) x 10^9, mbps in billionths
            Pace::Mbps(_) => self.then_add(bytes as u64 * 8 * BILLION * 1000),
            Pace::Recorded(_) => self.recorded(time_ns),
        }
    }

    /// The capture begins anew: its first frame follows the last at the mean of its gaps.
    pub fn next_round(&mut self) {
        if let Pace::Recorded(_) = self.pace {
            let gaps = self.frames.saturating_sub(1).max(1);
            self.due_ns = self.due_ns.saturating_add((self.due_ns - self.round_start_ns) / gaps);
            (self.round_start_ns, self.latest, self.frames) = (self.due_ns, None, 0);
        }
    }

    /// What was odd so far.
    pub fn oddities(&self) -> Oddities {
        self.odd
    }

    #[inline]
    fn then_add(&mut self, numerator: u64) -> u64 {
        let due = self.due_ns;
        self.add(numerator);
        due
    }

    /// Adds `numerator / divisor` nanoseconds. Both are at most 10^19, the remainder below 10^18.
    #[inline]
    fn add(&mut self, numerator: u64) {
        self.due_ns = self.due_ns.saturating_add(numerator / self.divisor);
        self.remainder += numerator % self.divisor;
        if self.remainder >= self.divisor {
            self.remainder -= self.divisor;
            self.due_ns = self.due_ns.saturating_add(1);
        }
    }

    #[inline]
    fn recorded(&mut self, time_ns: i64) -> u64 {
        self.frames += 1;
        if time_ns == NO_TIME {
            self.odd.untimed += 1;
            return self.due_ns;
        }
        let Some(latest) = self.latest else {
            self.latest = Some(time_ns);
            return self.due_ns;
        };
        if time_ns < latest {
            self.odd.backwards += 1;
            if latest.abs_diff(time_ns) > STEP_BACK_NS {
                self.latest = Some(time_ns);
            }
            return self.due_ns;
        }
        self.latest = Some(time_ns);
        let mut gap = time_ns.abs_diff(latest);
        if gap > self.gap_max_ns {
            gap = self.gap_max_ns;
            self.odd.shortened += 1;
        }
        match gap.checked_mul(BILLION) {
            Some(numerator) => self.add(numerator),
            None => self.add_long(gap),
        }
        self.due_ns
    }

    #[cold]
    fn add_long(&mut self, gap_ns: u64) {
        let numerator = u128::from(gap_ns) * u128::from(BILLION);
        let divisor = u128::from(self.divisor);
        let whole = u64::try_from(numerator / divisor).unwrap_or(u64::MAX);
        self.due_ns = self.due_ns.saturating_add(whole);
        self.add((numerator % divisor) as u64);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn decimals_are_exact() {
        for text in ["1", "0.5", "100000", "0.000000001", "1000000000", "12.340000001"] {
            assert_eq!(decimal(text).to_string(), text);
        }
        assert_eq!(decimal(".5"), decimal("0.50"));
        assert_eq!(Decimal::whole(7), Some(decimal("7")));
        let bad = ["", ".", "-1", "0", "0.0", "1e3", "1.0000000001", "1000000001", "x", "1.2.3"];
        for text in bad {
            assert_eq!(text.parse::<Decimal>(), Err(DecimalError), "{text}");
        }
        assert_eq!((Decimal::whole(0), Decimal::whole(u64::MAX)), (None, None));
    }

    #[test]
    fn rates_do_not_drift_over_ten_billion_frames() {
        // 3 frames a second is no whole number of nanoseconds
        let mut schedule = Schedule::new(Pace::Pps(decimal("3")), None);
        for i in 0..1000u64 {
            assert_eq!(schedule.next(NO_TIME, 60), i * BILLION / 3, "frame {i}");
        }
        // as if 10^10 frames had gone: the state is what it would be then
        let mut far = Schedule::new(Pace::Pps(decimal("3")), None);
        far.due_ns = 10_000_000_000 * BILLION / 3;
        far.remainder = (u128::from(BILLION) * u128::from(BILLION) * 10_000_000_000
            % u128::from(far.divisor)) as u64;
        assert_eq!(far.next(NO_TIME, 60), 3_333_333_333_333_333_333);
        assert_eq!(far.next(NO_TIME, 60), 3_333_333_333_666_666_666);
    }

    #[test]
    fn recorded_times_that_make_no_sense() {
        let mut schedule = Schedule::new(Pace::Recorded(Decimal::ONE), Some(2_000_000_000));
        let s = BILLION as i64;
        assert_eq!(schedule.next(50 * s, 60), 0);
        assert_eq!(schedule.next(50 * s, 60), 0, "a burst");
        assert_eq!(schedule.next(50 * s + 100, 60), 100);
        assert_eq!(schedule.next(50 * s + 40, 60), 100, "out of order: at once");
        assert_eq!(schedule.next(50 * s + 120, 60), 120, "and no gap counted twice");
        assert_eq!(schedule.next(NO_TIME, 60), 120);
        assert_eq!(schedule.next(10 * s, 60), 120, "another capture begins");
        assert_eq!(schedule.next(10 * s + 7, 60), 127);
        assert_eq!(schedule.next(90 * s, 60), 2_000_000_127, "gap cut to 2 s");
        assert_eq!(schedule.next(90 * s + 1, 60), 2_000_000_128);
        let odd = Oddities { backwards: 2, untimed: 1, shortened: 1 };
        assert_eq!(schedule.oddities(), odd);
    }

    #[test]
    fn rounds_follow_each_other_at_the_mean_gap() {
        let mut schedule = Schedule::new(Pace::Recorded(decimal("0.5")), None);
        for round in 0..3u64 {
            let start = round * 3000;
            assert_eq!(schedule.next(1_000_000, 60), start);
            assert_eq!(schedule.next(1_000_250, 60), start + 500);
            assert_eq!(schedule.next(1_001_000, 60), start + 2000);
            schedule.next_round();
        }
        let mut single = Schedule::new(Pace::Recorded(Decimal::ONE), None);
        assert_eq!(single.next(5, 60), 0);
        single.next_round();
        assert_eq!(single.next(5, 60), 0, "one frame has no gap");
    }

    #[test]
    fn the_longest_gap_there_is() {
        let mut schedule = Schedule::new(Pace::Recorded(decimal("0.000000001")), None);
        schedule.next(i64::MIN + 1, 60);
        assert_eq!(schedule.next(i64::MAX, 60), u64::MAX, "saturates, and never wraps");
        let mut fast = Schedule::new(Pace::Recorded(decimal("1000000000")), None);
        fast.next(i64::MIN + 1, 60);
        assert_eq!(fast.next(i64::MAX, 60), 18_446_744_073);
    }

    proptest! {
        #[test]
        fn frame_by_frame_is_the_closed_form(
            billionths in 1..=Decimal::MAX,
            lengths in prop::collection::vec(14..262_144_usize, 1..200),
            gaps in prop::collection::vec(0..100_000_000_000_i64, 1..200),
        ) {
            let rate = Decimal { billionths };
            let cap = |ns: u128| u64::try_from(ns).unwrap_or(u64::MAX);
            let nines = u128::from(BILLION);
            let mut pps = Schedule::new(Pace::Pps(rate), None);
            let mut mbps = Schedule::new(Pace::Mbps(rate), None);
            let mut bits = 0;
            for (i, length) in lengths.iter().enumerate() {
                let exact = cap(i as u128 * nines * nines / u128::from(billionths));
                prop_assert_eq!(pps.next(NO_TIME, *length), exact);
                prop_assert_eq!(mbps.next(NO_TIME, *length),
                    cap(bits * nines * 1000 / u128::from(billionths)));
                bits += *length as u128 * 8;
            }
            let mut recorded = Schedule::new(Pace::Recorded(rate), None);
            let (start, mut time) = (-1_000_000_000, -1_000_000_000);
            recorded.next(time, 60);
            for gap in gaps {
                time += gap;
                let exact = (time - start) as u128 * nines / u128::from(billionths);
                prop_assert_eq!(recorded.next(time, 60), cap(exact));
            }
        }
    }
}
