//! What a capture shows while it runs, on a terminal only.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use capture::write::Recorded;
use nic::link::LinkCounters;
use nic::packet::RxCounts;

use super::take::Pair;
use crate::cli::Globals;
use crate::term::{Paint, bits_per_second, bytes, duration, grouped};

/// One moment of a capture.
#[derive(Debug, Clone)]
pub(super) struct Shot {
    pub(super) elapsed: Duration,
    pub(super) rx: RxCounts,
    pub(super) recorded: Recorded,
    pub(super) interface: LinkCounters,
    /// Frames that no trigger asked for.
    pub(super) untriggered: u64,
    /// Filled blocks of the receive ring, and all.
    pub(super) ring: Option<(usize, usize)>,
    pub(super) heard_bytes: u64,
    /// Who had most bytes since the moment before.
    pub(super) talkers: Vec<(Pair, u64)>,
}

/// A few lines on standard error that are drawn over.
#[derive(Debug)]
pub(super) struct View {
    on: bool,
    paint: Paint,
    lines: usize,
    last: Option<Shot>,
}

impl View {
    pub(super) fn new(globals: &Globals) -> Self {
        let on = !globals.quiet && io::stderr().is_terminal();
        Self { on, paint: Paint::for_stderr(), lines: 0, last: None }
    }

    /// Whether anyone can see it.
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    /// Draws the moment over the one before.
    pub(super) fn show(&mut self, shot: Shot) {
        if !self.on {
            return;
        }
        let text = text(&shot, self.last.as_ref(), self.paint);
        self.clear();
        let mut err = io::stderr().lock();
        // nothing can be done about a terminal that does not take it
        let _ = err.write_all(text.as_bytes());
        let _ = err.flush();
        self.lines = text.lines().count();
        self.last = Some(shot);
    }

    /// Takes the lines off the screen.
    pub(super) fn clear(&mut self) {
        if self.lines > 0 {
            let _ = write!(io::stderr().lock(), "\x1b[{}F\x1b[0J", self.lines);
            self.lines = 0;
        }
    }
}

/// The lines of a moment; rates are over the time since `last`.
fn text(shot: &Shot, last: Option<&Shot>, paint: Paint) -> String {
    let since = last.map_or(shot.elapsed, |last| shot.elapsed.saturating_sub(last.elapsed));
    let per_second =
        |now: u64, then: u64| (now.saturating_sub(then)) as f64 / since.as_secs_f64().max(0.001);
    let frames = per_second(shot.rx.read, last.map_or(0, |last| last.rx.read));
    let bits = 8.0 * per_second(shot.heard_bytes, last.map_or(0, |last| last.heard_bytes));
    let missed = shot.interface.rx_dropped + shot.interface.rx_missed;
    let ring = shot.ring.map(|(filled, all)| format!("   ring {filled}/{all}"));
    let drops = [
        ("interface", missed, crate::term::INTERFACE_DROPS),
        ("kernel", shot.rx.dropped, "no room in the receive ring; try a larger --ring"),
        ("disk", shot.recorded.lost, "the disk is full or failed"),
    ];
    use std::fmt::Write as _;
    let mut out = format!(
        "  {}   {} frames/s   {}{}\n  written {} frames, {}",
        duration(shot.elapsed.as_nanos() as u64),
        grouped(frames.round() as u64),
        bits_per_second(bits),
        ring.unwrap_or_default(),
        grouped(shot.recorded.written),
        bytes(shot.recorded.bytes),
    );
    let filtered = shot.rx.filtered + shot.untriggered;
    if filtered > 0 {
        let _ = write!(out, "   filtered {}", grouped(filtered));
    }
    out.push('\n');
    let mut none = true;
    // writing into a string cannot fail
    for (place, count, why) in drops {
        if count > 0 {
            none = false;
            let line = format!("dropped {} at: {place}", grouped(count));
            let _ = writeln!(out, "  {}  {}", paint.bad(&line), paint.dim(why));
        }
    }
    for (pair, bytes) in &shot.talkers {
        let rate = bits_per_second(8.0 * *bytes as f64 / since.as_secs_f64().max(0.001));
        let _ = writeln!(out, "  {rate:>14}  {pair}");
    }
    if none {
        let _ = writeln!(out, "  {}", paint.dim("nothing dropped; Ctrl-C ends the capture"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_shows_rates_the_ring_and_where_frames_were_lost() {
        let shot = |seconds: u64, read: u64, dropped: u64| Shot {
            elapsed: Duration::from_secs(seconds),
            rx: RxCounts { read, dropped, filtered: 7, ..RxCounts::default() },
            recorded: Recorded { written: read, bytes: read * 100, ..Recorded::default() },
            untriggered: 0,
            interface: LinkCounters::default(),
            ring: Some((3, 64)),
            heard_bytes: read * 1000,
            talkers: vec![(Pair::Mac([2; 6], [3; 6]), 125_000)],
        };
        let quiet = text(&shot(2, 4000, 0), Some(&shot(1, 1000, 0)), Paint::off());
        assert!(quiet.contains("3,000 frames/s") && quiet.contains("24.0 Mbit/s"), "{quiet}");
        assert!(quiet.contains("ring 3/64") && quiet.contains("filtered 7"), "{quiet}");
        assert!(quiet.contains("nothing dropped"), "{quiet}");
        let pair = "1.00 Mbit/s  02:02:02:02:02:02 - 03:03:03:03:03:03";
        assert!(quiet.contains(pair), "{quiet}");
        let lossy = text(&shot(2, 4000, 12), None, Paint::off());
        assert!(lossy.contains("dropped 12 at: kernel") && lossy.contains("--ring"), "{lossy}");
    }
}
