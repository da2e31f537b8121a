//! A progress bar for what takes longer than a second, on a terminal only.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Nothing is drawn before this much time has passed.
const PATIENCE: Duration = Duration::from_secs(1);

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
        let enabled = !quiet && std::io::stderr().is_terminal();
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
            self.bar = Some(draw(self.label, self.total, position));
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

fn draw(label: &'static str, total: Option<u64>, position: u64) -> ProgressBar {
    let target = ProgressDrawTarget::stderr_with_hz(10);
    let bar = ProgressBar::with_draw_target(total, target).with_message(label);
    let template = if total.is_some() {
        "{msg} {bar:30} {percent:>3} % of {total_bytes}, {bytes_per_sec}, {eta} left"
    } else {
        "{msg} {spinner} {bytes}, {bytes_per_sec}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_position(position);
    bar
}
