//! One connection to a server: requests by number, answers in any order, for any number of threads.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};

use super::codec::{Decoder, Message, PIECE, VERSION, data_head};
use super::halves::{Halves, is_tick};
use super::policy::Role;
use super::session::SILENCE;

/// The welcome must be there after this.
const FIRST: Duration = Duration::from_secs(20);
/// After so long without a word the server is asked whether it is there.
const PING: Duration = Duration::from_secs(15);
/// What the server says of itself and of us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The repository's id.
    pub repository: [u8; 16],
    /// What we may do.
    pub role: Role,
    /// What we are called there.
    pub peer: String,
}

/// Why a connection is no more.
#[derive(Debug, Clone)]
pub(super) struct Why {
    pub(super) text: String,
    /// The server does not want us.
    pub(super) refused: bool,
}

impl From<io::Error> for Why {
    fn from(e: io::Error) -> Self {
        Self { refused: e.kind() == io::ErrorKind::PermissionDenied, text: e.to_string() }
    }
}

/// How an answer ended.
#[derive(Debug)]
pub(super) enum End {
    Done(u64, u64),
    Absent,
    Long(u64),
    Refused(String),
    Failed(String),
}

pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    pub(super) end: End,
}

/// A request that waits for its answer.
struct Pending {
    most: usize,
    bytes: Vec<u8>,
    done: Sender<Answer>,
}

/// A connection.
pub(super) struct Link {
    write: Mutex<Box<dyn Write + Send>>,
    pending: Mutex<HashMap<u32, Pending>>,
    next: AtomicU32,
    over: Mutex<Option<Why>>,
    close: Arc<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Link")
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    /// Nothing more is answered: everybody who waits is told.
    pub(super) fn end(&self, why: impl Into<Why>) {
        lock(&self.over).get_or_insert(why.into());
        (self.close)();
        lock(&self.pending).clear();
    }

    pub(super) fn why(&self) -> Option<Why> {
        lock(&self.over).clone()
    }

    /// A new request whose answer has at most so many bytes.
    fn ask(&self, most: usize) -> (u32, Receiver<Answer>) {
        let (done, answer) = bounded(1);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let bytes = Vec::with_capacity(most.min(4 << 20));
        lock(&self.pending).insert(id, Pending { most, bytes, done });
        if lock(&self.over).is_some() {
            lock(&self.pending).clear(); // it ended in between
        }
        (id, answer)
    }

    /// How long it took to send; none: the connection has ended.
    pub(super) fn say(&self, id: u32, message: &Message<'_>) -> Option<Duration> {
        let mut frame = Vec::with_capacity(256);
        message.encode(id, &mut frame);
        self.write(&[&frame])
    }

    fn write(&self, frame: &[&[u8]]) -> Option<Duration> {
        let mut write = lock(&self.write);
        let begin = Instant::now();
        let done = frame.iter().try_for_each(|bytes| write.write_all(bytes));
        match done.and_then(|()| write.flush()) {
            Ok(()) => Some(begin.elapsed()),
            Err(e) => {
                drop(write);
                self.end(e);
                None
            }
        }
    }

    pub(super) fn request(&self, most: usize, message: &Message<'_>) -> Receiver<Answer> {
        let (id, answer) = self.ask(most);
        self.say(id, message);
        answer
    }

    /// Also how long it took to send; waiting for the turns of others is not in it.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> (Receiver<Answer>, Duration) {
        let (id, answer) = self.ask(0);
        let mut sent = self.say(id, &Message::Put { size: bytes.len() as u64, name });
        for piece in bytes.chunks(PIECE) {
            let Some(so_far) = sent else { break };
            // others get their turn between two pieces
            let more = self.write(&[&data_head(id, piece.len()), piece]);
            sent = more.map(|more| so_far + more);
        }
        (answer, sent.unwrap_or_default())
    }

    /// Reads answers until the end.
    fn read(&self, mut read: Box<dyn Read + Send>, mut decoder: Decoder) {
        let (mut heard, mut asked) = (Instant::now(), Instant::now());
        let why = loop {
            let taken = loop {
                match decoder.poll() {
                    Ok(Some((id, message))) => {
                        if let Err(why) = self.take(id, &message) {
                            break Err(why);
                        }
                    }
                    Ok(None) => break Ok(()),
                    Err(e) => break Err(io::Error::other(format!("the server: {e}")).into()),
                }
            };
            if let Err(why) = taken {
                break why;
            }
            match read.read(decoder.space()) {
                Ok(0) => break hung_up().into(),
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => break hung_up().into(),
                Ok(n) => {
                    decoder.filled(n);
                    heard = Instant::now();
                }
                Err(e) if is_tick(&e) => {}
                Err(e) => break e.into(),
            }
            if heard.elapsed() > SILENCE {
                let say = format!("the server said nothing for {} s", SILENCE.as_secs());
                break io::Error::new(io::ErrorKind::TimedOut, say).into();
            }
            if heard.elapsed().min(asked.elapsed()) > PING {
                asked = Instant::now();
                // not while a put has the writing half: then there is traffic anyway
                if let Ok(mut write) = self.write.try_lock() {
                    let mut frame = Vec::new();
                    Message::Ping.encode(0, &mut frame);
                    if let Err(e) = write.write_all(&frame).and_then(|()| write.flush()) {
                        break e.into();
                    }
                }
            }
        };
        self.end(why);
    }

    fn take(&self, id: u32, message: &Message<'_>) -> Result<(), Why> {
        let unexpected =
            |what: &str| Why::from(io::Error::other(format!("the server sent {what}")));
        let end = match *message {
            Message::Data(bytes) => {
                let mut pending = lock(&self.pending);
                let waiting = pending.get_mut(&id).ok_or_else(|| unexpected("data unasked"))?;
                if bytes.len() > waiting.most - waiting.bytes.len() {
                    return Err(unexpected("more bytes than were asked for"));
                }
                waiting.bytes.extend_from_slice(bytes);
                return Ok(());
            }
            Message::Pong => return Ok(()),
            Message::Refused { why } if id == 0 => {
                return Err(Why { text: why.to_owned(), refused: true });
            }
            Message::Failed { why } if id == 0 => {
                return Err(Why { text: why.to_owned(), refused: false });
            }
            Message::Done { one, two } => End::Done(one, two),
            Message::Absent => End::Absent,
            Message::Long { size } => End::Long(size),
            Message::Refused { why } => End::Refused(why.to_owned()),
            Message::Failed { why } => End::Failed(why.to_owned()),
            _ => return Err(unexpected("a frame that is no answer")),
        };
        let pending = lock(&self.pending).remove(&id);
        let Pending { bytes, done, .. } = pending.ok_or_else(|| unexpected("an answer unasked"))?;
        let _ = done.send(Answer { bytes, end });
        Ok(())
    }
}

fn hung_up() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the server hung up")
}

/// Says the first message and reads the welcome.
pub(super) fn greet(halves: Halves, first: &Message<'_>) -> Result<(Arc<Link>, Welcome), Why> {
    let Halves { mut read, mut write, close, .. } = halves;
    let mut frame = Vec::new();
    first.encode(0, &mut frame);
    // a server that does not want us may have closed already, and still have said why
    let said = write.write_all(&frame).and_then(|()| write.flush());
    let mut decoder = Decoder::default();
    let deadline = Instant::now() + FIRST;
    let outcome = loop {
        match decoder.poll() {
            Ok(Some((_, Message::Welcome { version, role, repository, peer }))) => {
                let Some(role) = Role::of(role).filter(|_| version == VERSION) else {
                    break Err(io::Error::other("the server speaks another version").into());
                };
                break Ok(Welcome { repository, role, peer: peer.to_owned() });
            }
            Ok(Some((_, Message::Refused { why }))) => {
                break Err(Why { text: why.to_owned(), refused: true });
            }
            Ok(Some((_, Message::Failed { why }))) => {
                break Err(Why { text: why.to_owned(), refused: false });
            }
            Ok(Some(_)) => break Err(io::Error::other("the server did not greet").into()),
            Err(e) => break Err(io::Error::other(format!("the server: {e}")).into()),
            Ok(None) => {}
        }
        if Instant::now() > deadline {
            break Err(io::Error::other("the server does not answer").into());
        }
        match read.read(decoder.space()) {
            Ok(0) => {
                let e = said.err().unwrap_or_else(hung_up);
                break Err(e.into());
            }
            Ok(n) => decoder.filled(n),
            Err(e) if is_tick(&e) => {}
            Err(e) => break Err(e.into()),
        }
    };
    let welcome = outcome.inspect_err(|_| close())?;
    let link = Arc::new(Link {
        write: Mutex::new(write),
        pending: Mutex::default(),
        next: AtomicU32::new(1),
        over: Mutex::default(),
        close,
    });
    let reader = Arc::clone(&link);
    let started = std::thread::Builder::new()
        .name("answers".to_owned())
        .spawn(move || reader.read(read, decoder));
    started.map_err(Why::from)?;
    Ok((link, welcome))
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({:?})", self.end)
    }
}
