//! The caller's end of a connection: blocking, bounded, usable from any thread.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rtrb::{Consumer, Producer, RingBuffer};

use super::bell::Bell;
use super::door::Door;

/// What the pump says of a connection.
pub(super) const CONNECTED: u8 = 1;
/// The peer has closed; everything it sent is in the pipe.
pub(super) const ENDED: u8 = 2;
/// Nothing more moves; [`Conn::failure`] may say why.
pub(super) const OVER: u8 = 4;

/// What the caller asks of the pump: send what is in the pipe, then close.
pub(super) const CLOSE: u8 = 1;
/// Nobody reads any more: what arrives is thrown away.
pub(super) const DEAF: u8 = 2;
/// Reset it now.
pub(super) const ABORT: u8 = 4;

/// Why a connection ended before both ends had closed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    Refused,
    Reset,
    Silent(Duration),
    Unable(String),
    Wire(String),
    Stopped,
}

/// What both sides of a connection share: a pipe each way and who waits.
pub(super) struct Conn {
    to_net: Mutex<Producer<u8>>,
    from_net: Mutex<Consumer<u8>>,
    /// For room in `to_net`, or the connection.
    pub(super) room: Bell,
    /// For bytes in `from_net`.
    pub(super) bytes: Bell,
    told: AtomicU8,
    asked: AtomicU8,
    failure: OnceLock<Failure>,
    /// Nanoseconds, 0 for none: of reads, of writes.
    timeouts: [AtomicU64; 2],
    peer: OnceLock<SocketAddr>,
    door: Arc<Door>,
}

impl Conn {
    /// A connection, and the pump's ends of its pipes of `capacity` bytes.
    pub(super) fn new(capacity: usize, door: Arc<Door>) -> (Arc<Self>, Consumer<u8>, Producer<u8>) {
        let (to_net, outgoing) = RingBuffer::new(capacity);
        let (incoming, from_net) = RingBuffer::new(capacity);
        let conn = Self {
            to_net: Mutex::new(to_net),
            from_net: Mutex::new(from_net),
            room: Bell::default(),
            bytes: Bell::default(),
            told: AtomicU8::new(0),
            asked: AtomicU8::new(0),
            failure: OnceLock::new(),
            timeouts: [AtomicU64::new(0), AtomicU64::new(0)],
            peer: OnceLock::new(),
            door,
        };
        (Arc::new(conn), outgoing, incoming)
    }

    /// The pump tells; whoever waits looks again.
    pub(super) fn tell(&self, what: u8) {
        self.told.fetch_or(what, Ordering::Release);
        self.room.ring();
        self.bytes.ring();
    }

    pub(super) fn fail(&self, failure: Failure) {
        let _ = self.failure.set(failure);
        self.tell(OVER | ENDED);
    }

    pub(super) fn has_told(&self, what: u8) -> bool {
        self.told.load(Ordering::Acquire) & what != 0
    }

    pub(super) fn is_asked(&self, what: u8) -> bool {
        self.asked.load(Ordering::Acquire) & what != 0
    }

    fn ask(&self, what: u8) {
        self.asked.fetch_or(what, Ordering::Release);
        self.door.ring();
    }

    pub(super) fn set_peer(&self, peer: SocketAddr) {
        let _ = self.peer.set(peer);
    }

    fn name(&self) -> String {
        self.peer.get().map_or_else(|| "the peer".to_owned(), ToString::to_string)
    }

    fn error(&self) -> Option<io::Error> {
        let name = self.name();
        Some(match self.failure.get()? {
            Failure::Refused => io::Error::new(
                ErrorKind::ConnectionRefused,
                format!("{name} refuses the connection: nobody serves that port"),
            ),
            Failure::Reset => io::Error::new(
                ErrorKind::ConnectionReset,
                format!("{name} has reset the connection"),
            ),
            // no time-out of a read, after which the connection goes on
            Failure::Silent(time) => io::Error::new(
                ErrorKind::ConnectionAborted,
                format!("{name} has been silent for {time:?} and is given up"),
            ),
            Failure::Unable(why) => io::Error::new(ErrorKind::AddrNotAvailable, why.clone()),
            Failure::Wire(why) => io::Error::new(ErrorKind::ConnectionAborted, why.clone()),
            Failure::Stopped => stopped(),
        })
    }

    fn timeout(&self, which: usize) -> Option<Duration> {
        match self.timeouts[which].load(Ordering::Relaxed) {
            0 => None,
            ns => Some(Duration::from_nanos(ns)),
        }
    }

    fn late(&self, what: &str, timeout: Option<Duration>) -> io::Error {
        let text = format!("{}: {what} within {:?}", self.name(), timeout.unwrap_or_default());
        io::Error::new(ErrorKind::TimedOut, text)
    }
}

const READ: usize = 0;
const WRITE: usize = 1;

/// A TCP connection of a guest of the path, as its user has it: [`Read`] and [`Write`] that block
/// as those of a `TcpStream` do, from any thread, one reading while another writes.
///
/// Between it and the guest's socket lie two bounded pipes. A full one blocks the writer; a reader
/// that does not read fills the other, then the socket's receive buffer, then closes TCP's window:
/// the far writer waits, and nobody else's frames do. Its clones are the same connection. When the
/// last is dropped, what was written is still sent, then the connection closes; what arrives after
/// that is thrown away.
#[derive(Clone)]
pub struct PathStream(Arc<Owner>);

/// Asks the pump to close when the last user is gone.
struct Owner(Arc<Conn>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.ask(CLOSE | DEAF);
    }
}

impl fmt::Debug for PathStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PathStream").field("peer", &self.conn().peer.get()).finish_non_exhaustive()
    }
}

impl PathStream {
    pub(super) fn new(conn: Arc<Conn>) -> Self {
        Self(Arc::new(Owner(conn)))
    }

    fn conn(&self) -> &Conn {
        &self.0.0
    }

    /// Waits for the connection to be made.
    pub(super) fn connected(self, timeout: Duration) -> io::Result<Self> {
        let conn = self.conn();
        conn.room.wait(Some(timeout), || conn.has_told(CONNECTED | OVER));
        if let Some(error) = conn.error() {
            return Err(error);
        }
        if !conn.has_told(CONNECTED) {
            conn.ask(ABORT);
            return Err(conn.late("no answer", Some(timeout)));
        }
        Ok(self)
    }

    /// The far end.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.conn().peer.get().copied()
    }

    /// How long a read waits for the first byte, `None` (as at the start) for ever. Then it is an
    /// error of kind [`TimedOut`](ErrorKind::TimedOut), and the connection goes on.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) {
        self.set_timeout(READ, timeout);
    }

    /// How long a write waits for room, `None` (as at the start) for ever; as for reads.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) {
        self.set_timeout(WRITE, timeout);
    }

    fn set_timeout(&self, which: usize, timeout: Option<Duration>) {
        let ns =
            timeout.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1));
        self.conn().timeouts[which].store(ns, Ordering::Relaxed);
    }

    /// Ends one or both directions: the peer reads the end of the stream after what was written,
    /// or nothing is read here any more.
    pub fn shutdown(&self, how: Shutdown) {
        let what = match how {
            Shutdown::Write => CLOSE,
            Shutdown::Read => DEAF,
            Shutdown::Both => CLOSE | DEAF,
        };
        self.conn().ask(what);
        self.conn().room.ring();
        self.conn().bytes.ring();
    }

    /// Ends the connection at once, by a reset: what was not acknowledged is lost.
    pub fn abort(&self) {
        self.conn().ask(ABORT);
    }

    fn read_some(&self, room: &mut [u8]) -> io::Result<usize> {
        let conn = self.conn();
        if room.is_empty() {
            return Ok(0);
        }
        let mut pipe = lock(&conn.from_net);
        loop {
            // looked at first: what was told before is in the pipe by now
            let ended = conn.has_told(ENDED);
            if conn.is_asked(DEAF) {
                return Ok(0);
            }
            let (read, _) = pipe.pop_partial_slice(room);
            let read = read.len();
            if read > 0 {
                let capacity = pipe.buffer().capacity();
                if pipe.slots() <= capacity / 2 {
                    conn.door.ring();
                }
                return Ok(read);
            }
            if ended {
                return conn.error().map_or(Ok(0), Err);
            }
            let timeout = conn.timeout(READ);
            let ready = || pipe.slots() > 0 || conn.has_told(ENDED) || conn.is_asked(DEAF);
            if !conn.bytes.wait(timeout, ready) {
                return Err(conn.late("nothing came", timeout));
            }
        }
    }

    fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        let conn = self.conn();
        let mut pipe = lock(&conn.to_net);
        loop {
            if conn.has_told(OVER) {
                return Err(conn.error().unwrap_or_else(|| ErrorKind::BrokenPipe.into()));
            }
            if conn.is_asked(CLOSE | ABORT) {
                return Err(ErrorKind::BrokenPipe.into());
            }
            let (written, _) = pipe.push_partial_slice(bytes);
            let written = written.len();
            if written > 0 || bytes.is_empty() {
                conn.door.ring();
                return Ok(written);
            }
            let timeout = conn.timeout(WRITE);
            let enough = pipe.buffer().capacity() / 4;
            let ready =
                || pipe.slots() >= enough || conn.has_told(OVER) || conn.is_asked(CLOSE | ABORT);
            if !conn.room.wait(timeout, ready) {
                return Err(conn.late("no room to write", timeout));
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // pipes are whole between calls, whatever the thread that held them did then
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Read for &PathStream {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.read_some(room)
    }
}

impl Write for &PathStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_some(bytes)
    }

    /// Nothing to do: what is written is on its way.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for PathStream {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.read_some(room)
    }
}

impl Write for PathStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_some(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The error of whoever asks a path that runs no more.
pub(super) fn stopped() -> io::Error {
    io::Error::new(ErrorKind::NotConnected, "the path has been stopped")
}
