//! The terminal while a screen is on it: taken, and given back on every way out.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};

/// How long a signal may wait to be seen.
const LOOK: Duration = Duration::from_millis(100);
/// How long the screen may take to leave once it was told to.
const GRACE: Duration = Duration::from_millis(500);

/// The signals that end a program, remembered until the terminal is back as it was.
#[derive(Debug, Clone, Default)]
pub(super) struct Signals(Arc<AtomicUsize>);

impl Signals {
    #[cfg(unix)]
    fn watch() -> io::Result<Self> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
        let signals = Self::default();
        for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
            signal_hook::flag::register_usize(signal, Arc::clone(&signals.0), signal as usize)?;
        }
        Ok(signals)
    }

    #[cfg(not(unix))]
    fn watch() -> io::Result<Self> {
        Ok(Self::default())
    }

    fn seen(&self) -> Option<i32> {
        let signal = self.0.load(Ordering::Relaxed);
        (signal != 0).then_some(signal as i32)
    }

    /// Waits for an event of the terminal. `None`: a signal came.
    pub(super) fn wait(&self) -> io::Result<Option<Event>> {
        while self.seen().is_none() {
            if event::poll(LOOK)? {
                return event::read().map(Some);
            }
        }
        Ok(None)
    }

    /// Ends the program by the signal that came, as whoever sent it expects to see.
    #[cfg(unix)]
    fn obey(&self) {
        if let Some(signal) = self.seen() {
            // fails for signals without a default handler; these have one
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    }

    #[cfg(not(unix))]
    fn obey(&self) {}

    /// Ends the program when the screen does not: crossterm reads a terminal that was closed
    /// for ever (end of file, at once, again), and then sees no signal either. A terminal that is
    /// gone is a hangup, also where the signal itself is ignored.
    #[cfg(unix)]
    fn insist(&self, screen: &Receiver<()>) {
        while screen.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            if self.seen().is_none() && io::stdout().is_terminal() {
                continue;
            }
            if screen.recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
                let _ = ratatui::try_restore();
                let hangup = signal_hook::consts::SIGHUP as usize;
                let _ = self.0.compare_exchange(0, hangup, Ordering::Relaxed, Ordering::Relaxed);
                self.obey();
            }
        }
    }

    #[cfg(not(unix))]
    fn insist(&self, _: &Receiver<()>) {}
}

/// Runs `work` with the terminal in raw mode on the alternate screen. The terminal is as before
/// when `work` returns, fails or panics (then before the message is printed), and when one of
/// SIGHUP, SIGINT, SIGQUIT and SIGTERM comes, which then ends the program.
pub(super) fn with<T>(
    work: impl FnOnce(&mut DefaultTerminal, &Signals) -> io::Result<T>,
) -> io::Result<T> {
    let signals = Signals::watch()?;
    let (screen_is_up, screen) = mpsc::sync_channel(1);
    let watcher = signals.clone();
    thread::Builder::new().name("terminal".to_owned()).spawn(move || watcher.insist(&screen))?;
    // sets a panic hook too; when the terminal is dropped the cursor shows again
    let result = ratatui::try_init().and_then(|mut terminal| work(&mut terminal, &signals));
    // nothing can be done for a terminal that is gone
    let _ = ratatui::try_restore();
    drop(screen_is_up);
    signals.obey();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not a test: what `tests/step.rs` runs on a terminal of its own.
    #[test]
    #[ignore = "provoked: panics on purpose, run by tests/step.rs in a terminal"]
    fn provoked_panic_on_the_screen() {
        let _ = with(|terminal, _| -> io::Result<()> {
            terminal.draw(|frame| frame.render_widget("on the screen", frame.area()))?;
            panic!("provoked while drawing");
        });
    }
}
