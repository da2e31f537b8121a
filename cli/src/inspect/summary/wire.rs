//! What the frames cost on the wire, second by second.

use std::collections::HashMap;
use std::hash::RandomState;

use super::table::Counts;

const NS_PER_S: i64 = 1_000_000_000;
/// Seconds kept in a row from the first (about 12 days).
const ROW_MAX: usize = 1 << 20;
/// Seconds kept outside the row; still others only enter the totals.
const STRAY_MAX: usize = 1 << 17;

/// Bytes an Ethernet frame occupies on the wire: preamble 7, SFD 1, the frame with FCS and padded
/// to 64, gap 12 (IEEE 802.3 clause 4.4.2). `frame_len` is without FCS.
#[inline(always)]
pub fn ethernet_wire_bytes(frame_len: u32) -> u64 {
    u64::from(frame_len.max(60)) + 4 + 8 + 12
}

/// Frames and wire bytes by second of capture time.
#[derive(Debug)]
pub struct Wire {
    /// All Ethernet frames.
    pub total: Counts,
    /// First and last time stamp.
    pub span: Option<(i64, i64)>,
    /// Frames whose time stamp is before their predecessor's.
    pub backwards: u64,
    /// Frames without a time stamp.
    pub untimed: u64,
    /// Timed frames in seconds beyond those kept.
    pub beyond: u64,
    /// Time of the last frame that has one.
    last_ns: i64,
    /// The second now counted, as its first nanosecond.
    second_ns: i64,
    current: Counts,
    /// The second that `row` begins with.
    row_first: i64,
    row: Vec<Counts>,
    /// Seconds that are not in the row.
    stray: HashMap<i64, Counts, RandomState>,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            total: Counts::default(),
            span: None,
            backwards: 0,
            untimed: 0,
            beyond: 0,
            last_ns: i64::MIN,
            second_ns: i64::MIN,
            current: Counts::default(),
            row_first: 0,
            row: Vec::new(),
            stray: HashMap::default(),
        }
    }
}

impl Wire {
    /// Counts a frame's time; `wire_bytes` is 0 for what is not Ethernet.
    #[inline(always)]
    pub fn add(&mut self, time_ns: i64, wire_bytes: u64) {
        if wire_bytes > 0 {
            self.total.add(wire_bytes);
        }
        if time_ns == capture::format::NO_TIME {
            self.untimed += 1;
            return;
        }
        self.backwards += u64::from(time_ns < self.last_ns);
        self.last_ns = time_ns;
        let (first, last) = self.span.get_or_insert((time_ns, time_ns));
        *first = (*first).min(time_ns);
        *last = (*last).max(time_ns);
        if time_ns.wrapping_sub(self.second_ns) as u64 >= NS_PER_S as u64 {
            self.turn(time_ns);
        }
        self.current.add(wire_bytes);
    }

    /// Time of the last frame that has one.
    pub(super) fn last_ns(&self) -> i64 {
        self.last_ns
    }

    /// The frames that follow come after one of this time, which another has counted.
    pub(super) fn follow(&mut self, last_ns: i64) {
        self.last_ns = last_ns;
    }

    /// Adds what another has counted.
    pub(super) fn merge(&mut self, mut other: Self) {
        self.flush();
        other.flush();
        self.total.merge(other.total);
        let ends = [self.span, other.span].into_iter().flatten();
        self.span = ends.reduce(|(a, b), (c, d)| (a.min(c), b.max(d)));
        self.backwards += other.backwards;
        self.untimed += other.untimed;
        self.beyond += other.beyond;
        for (second, counts) in other.seconds().filter(|(_, counts)| counts.frames > 0) {
            self.put(second, counts);
        }
    }

    /// The busiest second: its start in seconds since 1970, and what was in it.
    pub fn peak(&mut self) -> Option<(i64, Counts)> {
        self.flush();
        let counted = self.seconds().filter(|(_, counts)| counts.frames > 0);
        counted.max_by_key(|(second, counts)| (counts.bytes, std::cmp::Reverse(*second)))
    }

    /// Wire bytes in `columns` equal parts of the time from first to last frame.
    pub fn profile(&mut self, columns: usize) -> Vec<u64> {
        self.flush();
        let mut out = vec![0; columns];
        let Some((first, last)) = self.span else { return out };
        let (first, last) = (first.div_euclid(NS_PER_S), last.div_euclid(NS_PER_S));
        let seconds = (i128::from(last) - i128::from(first) + 1).max(1);
        for (second, counts) in self.seconds() {
            let at = (i128::from(second) - i128::from(first)) * columns as i128 / seconds;
            if let Some(column) = usize::try_from(at).ok().and_then(|at| out.get_mut(at)) {
                *column += counts.bytes;
            }
        }
        out
    }

    #[cold]
    fn turn(&mut self, time_ns: i64) {
        self.flush();
        self.second_ns = time_ns.div_euclid(NS_PER_S).saturating_mul(NS_PER_S);
    }

    fn flush(&mut self) {
        let counts = std::mem::take(&mut self.current);
        if counts.frames == 0 {
            return;
        }
        self.put(self.second_ns.div_euclid(NS_PER_S), counts);
    }

    fn put(&mut self, second: i64, counts: Counts) {
        if self.row.is_empty() {
            self.row_first = second;
        }
        let place = usize::try_from(second - self.row_first).ok().filter(|&at| at < ROW_MAX);
        if let Some(at) = place {
            if at >= self.row.len() {
                self.row.resize(at + 1, Counts::default());
            }
            self.row[at].merge(counts);
        } else if self.stray.len() < STRAY_MAX || self.stray.contains_key(&second) {
            self.stray.entry(second).or_default().merge(counts);
        } else {
            self.beyond += counts.frames;
        }
    }

    fn seconds(&self) -> impl Iterator<Item = (i64, Counts)> + '_ {
        let row = self.row.iter().enumerate();
        let row = row.map(|(at, counts)| (self.row_first + at as i64, *counts));
        row.chain(self.stray.iter().map(|(second, counts)| (*second, *counts)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minimum_frame_takes_84_bytes() {
        assert_eq!(ethernet_wire_bytes(42), 84);
        assert_eq!(ethernet_wire_bytes(60), 84);
        assert_eq!(ethernet_wire_bytes(1514), 1538);
    }

    #[test]
    fn seconds_and_peak() {
        let mut wire = Wire::default();
        for (ns, bytes) in [(5, 100), (NS_PER_S, 84), (NS_PER_S + 7, 84), (9, 20), (-1, 1)] {
            wire.add(ns, bytes);
        }
        wire.add(capture::format::NO_TIME, 84);
        assert_eq!(wire.peak(), Some((1, Counts { frames: 2, bytes: 168 })));
        assert_eq!(wire.span, Some((-1, NS_PER_S + 7)));
        assert_eq!((wire.backwards, wire.untimed, wire.beyond), (2, 1, 0));
        assert_eq!(wire.total, Counts { frames: 6, bytes: 373 });
        assert_eq!(wire.profile(3), [1, 120, 168]);
    }

    #[test]
    fn the_ends_of_time_do_no_harm() {
        let mut wire = Wire::default();
        for ns in [i64::MIN + 1, i64::MAX, 0, i64::MAX, i64::MIN + 1] {
            wire.add(ns, 84);
        }
        assert_eq!(wire.profile(10).iter().sum::<u64>(), 5 * 84);
        assert_eq!(wire.profile(1)[0], 5 * 84);
    }
}
