//! The pipe that Wireshark reads from.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Longest that bytes wait for others to be written with.
pub(super) const FLUSH_AFTER: Duration = Duration::from_millis(50);
/// Bytes gathered for one write: what a pipe holds (pipe(7)).
const GATHERED: usize = 64 << 10;

/// Opens the pipe; waits for its reader.
pub(super) fn open(path: &Path) -> anyhow::Result<(File, BufWriter<File>)> {
    let file = OpenOptions::new().write(true).open(path);
    let file = file.with_context(|| format!("cannot open the pipe {}", path.display()))?;
    let watched = file.try_clone().context("cannot watch the pipe")?;
    Ok((watched, BufWriter::with_capacity(GATHERED, file)))
}

/// Whether nobody reads the pipe any more, which writing alone would tell late.
pub(super) fn is_closed(file: &File) -> bool {
    // POLLERR is told unasked; on a plain file it is never there
    let mut fds = [PollFd::new(file.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO)
        .is_ok_and(|_| fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR)))
}

/// Whether an error says that the reader has gone, which is how a capture ends.
pub(super) fn reader_left(error: &anyhow::Error) -> bool {
    crate::exit::is_broken_pipe(error)
}

/// Writes bytes out before they are old.
#[derive(Debug)]
pub(super) struct Timely<W> {
    out: W,
    flushed: Instant,
}

impl<W: Write> Timely<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, flushed: Instant::now() }
    }
}

impl<W: Write> Write for Timely<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        if self.flushed.elapsed() >= FLUSH_AFTER {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flushed = Instant::now();
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_pipe_whose_reader_has_gone_is_closed() {
        let mut cat =
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(cat.stdin.take().unwrap()));
        assert!(!is_closed(&pipe));
        cat.kill().unwrap();
        cat.wait().unwrap();
        assert!(is_closed(&pipe));
        let error = (&pipe).write_all(&[0]).context("a frame").unwrap_err();
        assert!(reader_left(&error));
        assert!(!is_closed(&File::open(env!("CARGO_MANIFEST_PATH")).unwrap()));
    }

    #[test]
    fn bytes_do_not_wait_for_others() {
        let mut out = Timely::new(BufWriter::with_capacity(1000, Vec::new()));
        out.write_all(b"a").unwrap();
        assert!(out.out.get_ref().is_empty());
        std::thread::sleep(FLUSH_AFTER);
        out.write_all(b"b").unwrap();
        assert_eq!(out.out.get_ref(), b"ab");
    }
}
