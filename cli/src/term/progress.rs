//! For whoever waits: a progress bar for what takes longer than a second, on a terminal only; and
//! one line that says what is done now.

use std::fmt;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::bytes;
use crate::walk::talk;

/// Nothing is drawn before this much time has passed.
const PATIENCE: Duration = Duration::from_secs(1);
/// Columns from which on there is room for a bar.
const WIDE: u16 = 60;

/// Shows how far reading a file has come. Gone from the screen when dropped.
#[derive(Debug)]
pub struct Progress {
    started: Instant,
    total: Option<u64>,
    label: &'static str,
    enabled: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// `total` is the size of the input in bytes, if known. `quiet` switches it off.
    pub fn new(label: &'static str, total: Option<u64>, quiet: bool) -> Self {
        let enabled = !quiet && io::stderr().is_terminal();
        Self { started: Instant::now(), total, label, enabled, bar: None }
    }

    /// Says that `position` bytes of the input are done. Cheap; call it per buffer, not per frame.
    pub fn at(&mut self, position: u64) {
        if !self.enabled {
            return;
        }
        if let Some(bar) = &self.bar {
            bar.set_position(position);
        } else if self.started.elapsed() >= PATIENCE {
            self.bar = Some(draw(self.label, self.total, position, self.started));
        }
    }

    /// Takes the bar off the screen, for example before an error is printed.
    pub fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn draw(label: &'static str, total: Option<u64>, position: u64, started: Instant) -> ProgressBar {
    let target = ProgressDrawTarget::stderr_with_hz(10);
    let bar = ProgressBar::with_draw_target(total, target).with_message(label);
    let wide = terminal_size::terminal_size_of(io::stderr()).is_none_or(|(w, _)| w.0 >= WIDE);
    let template = match (total.is_some(), wide) {
        (true, true) => "{msg} {wide_bar} {percent:>3} % of {size}, {speed}, {left} left",
        (true, false) => "{msg} {percent:>3} %, {left} left",
        (false, _) => "{msg} {spinner} {done}, {speed}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(with_figures(style, started));
    }
    bar.set_position(position);
    bar
}

/// The figures of the bar, from the mean since `started`: the bar's own begin when it is first
/// drawn, a second later, and would take what was read before for an instant's work.
fn with_figures(style: ProgressStyle, started: Instant) -> ProgressStyle {
    let speed = move |state: &ProgressState| state.pos() as f64 / started.elapsed().as_secs_f64();
    // a bar that cannot be written is no matter
    style
        .with_key("size", |state: &ProgressState, out: &mut dyn fmt::Write| {
            let _ = out.write_str(&bytes(state.len().unwrap_or(0)));
        })
        .with_key("done", |state: &ProgressState, out: &mut dyn fmt::Write| {
            let _ = out.write_str(&bytes(state.pos()));
        })
        .with_key("speed", move |state: &ProgressState, out: &mut dyn fmt::Write| {
            let _ = write!(out, "{}/s", bytes(speed(state) as u64));
        })
        .with_key("left", move |state: &ProgressState, out: &mut dyn fmt::Write| {
            let rest = state.len().unwrap_or(0).saturating_sub(state.pos());
            let _ = out.write_str(&left(rest as f64 / speed(state)));
        })
}

/// Seconds for people: whole ones, minutes from two on; nobody knows while nothing moves.
fn left(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "unknown time".to_owned();
    }
    let seconds = seconds.ceil() as u64;
    if seconds < 120 { format!("{seconds} s") } else { format!("{} min", seconds.div_ceil(60)) }
}

/// What is done now: on a terminal one line, with the seconds it has taken so far, which is gone
/// when this is dropped; elsewhere a line for each change.
#[derive(Debug)]
pub struct Status {
    line: Option<ProgressBar>,
    enabled: bool,
}

impl Status {
    /// `quiet` switches it off.
    pub fn new(quiet: bool) -> Self {
        let line = (!quiet && io::stderr().is_terminal()).then(|| {
            let target = ProgressDrawTarget::stderr_with_hz(10);
            let line = ProgressBar::with_draw_target(None, target);
            if let Ok(style) = ProgressStyle::with_template("{msg}, {elapsed}") {
                line.set_style(style);
            }
            line.enable_steady_tick(PATIENCE);
            line
        });
        Self { line, enabled: !quiet }
    }

    /// Says it.
    pub fn now(&self, what: &str) {
        match &self.line {
            Some(line) => {
                line.reset_elapsed();
                line.set_message(what.to_owned());
            }
            None if self.enabled => talk(what),
            None => {}
        }
    }

    /// Prints with the line out of the way.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.line {
            Some(line) => line.suspend(print),
            None => print(),
        }
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_reads_well() {
        assert_eq!(left(0.2), "1 s");
        assert_eq!(left(119.0), "119 s");
        assert_eq!(left(121.0), "3 min");
        assert_eq!(left(f64::INFINITY), "unknown time");
        assert_eq!(left(f64::NAN), "unknown time");
    }
}
