//! Programs that a test started.
#![cfg(unix)]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Sends the signal of that name (`INT`, `TERM`, ...) to a process of the test's own.
///
/// # Panics
/// When there is no such signal or process.
pub fn signal(id: u32, name: &str) {
    let signal: Signal = format!("SIG{name}").parse().expect("a signal's name");
    let id = i32::try_from(id).expect("a process id");
    kill(Pid::from_raw(id), signal).expect("a process that is there");
}
