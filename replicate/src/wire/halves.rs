//! A stream of bytes in two halves: one thread reads while others write.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// How long a write may stand still before the peer counts as gone.
pub const WRITE_TIMEOUT: Duration = Duration::from_mins(1);
/// How often a reader that has nothing to read looks up.
pub const TICK: Duration = Duration::from_secs(1);

/// Both halves of a stream, and what ends them.
pub struct Halves {
    /// A read that fails with `WouldBlock` or `TimedOut` is a tick: the caller looks at the time
    /// and reads again. There should be one a second; without any a silent peer is waited for.
    pub read: Box<dyn Read + Send>,
    /// A write that stands still should fail in the end.
    pub write: Box<dyn Write + Send>,
    /// Ends both from any thread: reads return, writes fail.
    pub close: Arc<dyn Fn() + Send + Sync>,
    /// The peer's address, for people.
    pub from: String,
}

impl fmt::Debug for Halves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Halves").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Halves {
    /// A TCP connection.
    pub fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TICK))?;
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        let from = stream.peer_addr()?.to_string();
        let (read, end) = (stream.try_clone()?, stream.try_clone()?);
        let close = Arc::new(move || {
            let _ = end.shutdown(Shutdown::Both);
        });
        Ok(Self { read: Box::new(read), write: Box::new(stream), close, from })
    }
}

/// Whether an error of a read only says that time has passed.
pub(crate) fn is_tick(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}
