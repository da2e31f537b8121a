//! Exit codes, and how a failure is told.

use std::io::{self, Write};
use std::process::ExitCode;

/// How a run ended. Failures travel as `anyhow::Error` and exit as [`Exit::Failed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done. Frames dropped by policy are part of being done.
    Done,
    /// 1: a question was asked and the answer is no.
    No,
    /// 2: the input or the request failed; what could be done was printed.
    Failed,
    /// 3: our fault, for example a ledger that does not balance.
    OurFault,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::No => Self::from(1),
            Exit::Failed => Self::from(2),
            Exit::OurFault => Self::from(3),
        }
    }
}

/// The reader of our output went away (`| head`): not an error.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// Says on standard error what failed, and what to try where we know.
pub fn complain(error: &anyhow::Error) {
    let paint = crate::term::Paint::for_stderr();
    let mut err = io::stderr().lock();
    // Nothing can be done about an error stream that does not take the error.
    let _ = writeln!(err, "{} {}", paint.bad("framewalk:"), chain_text(error));
    if let Some(hint) = hint(error) {
        let _ = writeln!(err, "{} {hint}", paint.dim("hint:"));
    }
}

/// The chain of causes on one line, without a cause that its parent already quotes.
pub fn chain_text(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn hint(error: &anyhow::Error) -> Option<&'static str> {
    for cause in error.chain() {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return match io.kind() {
                io::ErrorKind::NotFound => {
                    Some("check the path; `-` reads a capture from standard input")
                }
                io::ErrorKind::PermissionDenied => Some(
                    "captures hold private data and are often readable by their owner only; \
                     run as that user",
                ),
                io::ErrorKind::IsADirectory => {
                    Some("name one capture file; for several: for f in DIR/*.pcap; do ...; done")
                }
                _ => None,
            };
        }
        if let Some(capture::Error::Damage { damage, .. }) = cause.downcast_ref()
            && damage.is_cut()
        {
            return Some(
                "the frames before the damage were read; a capture that is still being \
                 written, or whose writer was killed, ends like this",
            );
        }
    }
    None
}
