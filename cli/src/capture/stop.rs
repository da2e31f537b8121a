//! When a capture ends.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jiff::{Span, SpanRelativeTo};

use super::Args;
pub(super) use crate::walk::stream::parse_seconds;
use crate::walk::stream::parse_size;

/// One condition of `--autostop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// So many frames were written.
    Frames(u64),
    /// So many bytes were written, all files together.
    Bytes(u64),
    /// So many files were begun and finished.
    Files(u64),
    /// So much time has passed.
    Time(Duration),
    /// No frame came for so long.
    Idle(Duration),
}

/// A duration such as `90s`, `10m`, `24h`, `7d`; a bare number is seconds.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("`{text}`: expected a duration such as 90s, 10m, 24h or 7d");
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return parse_seconds(text).map_err(|_| expected());
    }
    let span: Span = text.parse().map_err(|_| expected())?;
    let signed = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| expected())?;
    Duration::try_from(signed).map_err(|_| expected())
}

/// `frames=N` and its like.
pub(super) fn parse_condition(text: &str) -> Result<Condition, String> {
    let expected = || {
        format!("`{text}`: expected frames=N, bytes=SIZE, files=N, time=DURATION or idle=DURATION")
    };
    let (name, value) = text.split_once('=').ok_or_else(expected)?;
    let number = || value.parse().ok().filter(|n| *n > 0).ok_or_else(expected);
    match name {
        "frames" => Ok(Condition::Frames(number()?)),
        "files" => Ok(Condition::Files(number()?)),
        "bytes" => parse_size(value).map(Condition::Bytes),
        "time" => parse_duration(value).map(Condition::Time),
        "idle" => parse_duration(value).map(Condition::Idle),
        _ => Err(expected()),
    }
}

/// Why a capture ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By a signal, of this name.
    Signal(&'static str),
    /// A condition of the command line came true.
    Condition(String),
    /// The single file is as large as the budget.
    Budget,
    /// The single file is as old as frames may be.
    Age,
    /// The interface is no longer there.
    InterfaceGone,
    /// Listening failed.
    Failed,
}

impl Ended {
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Signal(name) => format!("stopped by {name}"),
            Self::Condition(words) => words.clone(),
            Self::Budget => "the budget of disk space is used up (--budget)".to_owned(),
            Self::Age => "the file is as old as frames may be kept (--keep)".to_owned(),
            Self::InterfaceGone => "the interface is no longer there".to_owned(),
            Self::Failed => "the interface could not be read".to_owned(),
        }
    }
}

/// All conditions of a command line together.
#[derive(Debug, Clone)]
pub(super) struct Conditions {
    /// Frames after which no more are taken.
    pub(super) frames: u64,
    bytes: u64,
    files: u64,
    time: Option<Duration>,
    idle: Option<Duration>,
    /// A single file's age.
    keep: Option<Duration>,
}

impl Conditions {
    pub(super) fn new(args: &Args, ring: bool) -> Self {
        let mut all = Self {
            frames: args.count.unwrap_or(u64::MAX),
            bytes: u64::MAX,
            files: u64::MAX,
            time: args.seconds,
            idle: None,
            keep: (!ring).then_some(args.keep),
        };
        for condition in &args.autostop {
            match *condition {
                Condition::Frames(n) => all.frames = all.frames.min(n),
                Condition::Bytes(n) => all.bytes = all.bytes.min(n),
                Condition::Files(n) => all.files = all.files.min(n),
                Condition::Time(t) => all.time = Some(all.time.map_or(t, |old| old.min(t))),
                Condition::Idle(t) => all.idle = Some(all.idle.map_or(t, |old| old.min(t))),
            }
        }
        all
    }

    /// When at the latest it has to be looked at again.
    pub(super) fn patience(&self, begun: Instant) -> Duration {
        let left = |time: Duration| time.saturating_sub(begun.elapsed());
        [self.time, self.keep].into_iter().flatten().map(left).min().unwrap_or(Duration::MAX)
    }

    /// Which came true, but for the number of frames.
    pub(super) fn met(
        &self,
        begun: Instant,
        newest: Instant,
        bytes: u64,
        files_finished: u64,
    ) -> Option<Ended> {
        let condition = |words: String| Some(Ended::Condition(words));
        if self.time.is_some_and(|time| begun.elapsed() >= time) {
            return condition(format!("{:?} have passed", self.time.unwrap_or_default()));
        }
        if self.keep.is_some_and(|time| begun.elapsed() >= time) {
            return Some(Ended::Age);
        }
        if self.idle.is_some_and(|time| newest.elapsed() >= time) {
            return condition(format!("no frame for {:?}", self.idle.unwrap_or_default()));
        }
        if bytes >= self.bytes {
            return condition(format!("{bytes} bytes are written"));
        }
        if files_finished >= self.files {
            return condition(format!("{files_finished} files are written"));
        }
        None
    }
}

/// The signals that end a capture in good order; another one ends it at once.
#[derive(Debug, Default)]
pub(crate) struct Signals(Arc<AtomicUsize>);

/// A signal that follows so soon is the same one: timeout(1) sends it to the program and to its
/// process group.
const TWIN: Duration = Duration::from_millis(200);

impl Signals {
    pub(crate) fn new() -> std::io::Result<Self> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let signals = Self::default();
        let again = Arc::new(AtomicBool::new(false));
        let (tell, hear) = UnixStream::pair()?;
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register_conditional_shutdown(signal, 2, Arc::clone(&again))?;
            signal_hook::flag::register_usize(signal, Arc::clone(&signals.0), signal as usize)?;
            signal_hook::low_level::pipe::register(signal, tell.try_clone()?)?;
        }
        let watch = move || arm(hear, &again);
        std::thread::Builder::new().name("signals".to_owned()).spawn(watch)?;
        Ok(signals)
    }

    /// The signal that came, if one did.
    pub(crate) fn came(&self) -> Option<Ended> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        match self.0.load(Ordering::Relaxed) as i32 {
            0 => None,
            SIGINT => Some(Ended::Signal("SIGINT")),
            SIGTERM => Some(Ended::Signal("SIGTERM")),
            SIGHUP => Some(Ended::Signal("SIGHUP")),
            _ => Some(Ended::Signal("a signal")),
        }
    }
}

/// Waits for the first signal, whatever else the program is busy with; from a moment later on,
/// another one ends it.
fn arm(mut hear: UnixStream, again: &AtomicBool) {
    use caps::CapSet::{Bounding, Effective, Inheritable, Permitted};
    // capabilities are each thread's own: this one needs none and keeps none
    for set in [Bounding, Inheritable, Effective, Permitted] {
        let _ = caps::clear(None, set);
    }
    if hear.read(&mut [0]).is_ok_and(|bytes| bytes > 0) {
        std::thread::sleep(TWIN);
        again.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_conditions_are_read_as_people_write_them() {
        for (text, seconds) in
            [("90s", 90), ("10m", 600), ("24h", 86_400), ("7d", 604_800), ("5", 5)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert!(parse_duration("soon").is_err() && parse_duration("-3s").is_err());
        assert!(parse_seconds("-1").is_err() && parse_seconds("nan").is_err());
        assert_eq!(parse_condition("bytes=2k"), Ok(Condition::Bytes(2000)));
        assert_eq!(parse_condition("idle=1m"), Ok(Condition::Idle(Duration::from_mins(1))));
        for wrong in ["frames", "frames=0", "size=3", "time=x"] {
            assert!(parse_condition(wrong).is_err(), "{wrong}");
        }
    }
}
