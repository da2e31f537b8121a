//! Wakes a thread that waits for frames, from another thread: an `eventfd(2)`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::read;

/// Clones wake the same waiter.
#[derive(Debug, Clone)]
pub struct Waker(Arc<EventFd>);

/// What came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// Something to read, or an error to ask for.
    Readable {
        /// The error is there too.
        error: bool,
    },
    /// The waker, or nothing within the time.
    Nothing,
}

impl Waker {
    /// A new one.
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self(Arc::new(EventFd::from_flags(flags)?)))
    }

    /// Ends the wait that is going on, or the next.
    pub fn wake(&self) {
        // a counter at its end wakes too
        let _ = self.0.write(1);
    }

    /// Waits until `fd` can be read or somebody wakes, at most `timeout` (rounded up to a
    /// millisecond by the kernel's call).
    pub(crate) fn wait(&self, fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<Came> {
        let ms = timeout.as_nanos().div_ceil(1_000_000);
        let timeout = PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX);
        let mut fds =
            [PollFd::new(fd, PollFlags::POLLIN), PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let of = |at: usize| fds.get(at).and_then(PollFd::revents).unwrap_or(PollFlags::empty());
        let (frames, woken) = (of(0), of(1));
        if woken.contains(PollFlags::POLLIN) {
            let _ = read(&*self.0, &mut [0; 8]);
        }
        let error = frames.intersects(PollFlags::POLLERR | PollFlags::POLLHUP);
        let readable = error || frames.contains(PollFlags::POLLIN);
        Ok(if readable { Came::Readable { error } } else { Came::Nothing })
    }
}
