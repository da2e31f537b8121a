//! The two halves of a server's session, and how it went.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::codec::{Decoder, Message, PIECE, data_head};
use super::halves::{Halves, is_tick};
use super::policy::Role;

/// A peer that says nothing for so long is gone; clients ask every 15 s whether we are there.
pub(crate) const SILENCE: Duration = Duration::from_mins(1);
/// The first message must be there after this.
const FIRST: Duration = Duration::from_secs(10);
/// Reasons of refusals that a session's report quotes.
const REASONS_MAX: usize = 4;

/// How a session went.
#[derive(Debug, Default, Clone)]
pub struct Session {
    /// The peer's address.
    pub from: String,
    /// Its name, once it is known.
    pub peer: Option<String>,
    /// What it may do.
    pub role: Option<Role>,
    /// Bytes of frames that came.
    pub received: u64,
    /// Bytes of frames that went.
    pub sent: u64,
    /// Objects stored.
    pub put: u64,
    /// Objects removed.
    pub deleted: u64,
    /// Requests refused.
    pub refused: u64,
    /// The first few reasons.
    pub reasons: Vec<String>,
    /// What ended it.
    pub ended: String,
    /// How long it took.
    pub took: Duration,
}

/// The half of a session that speaks, for several threads.
pub(super) struct Out {
    write: Mutex<Box<dyn Write + Send>>,
    pub(super) close: Arc<dyn Fn() + Send + Sync>,
    pub(super) sent: AtomicU64,
    pub(super) put: AtomicU64,
    pub(super) deleted: AtomicU64,
    refused: Mutex<(u64, Vec<String>)>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Out {
    fn write(&self, frame: &[&[u8]]) {
        let mut write = lock(&self.write);
        let done = frame.iter().try_for_each(|bytes| write.write_all(bytes));
        if done.and_then(|()| write.flush()).is_err() {
            (self.close)(); // the reading half finds out
        }
        self.sent.fetch_add(frame.iter().map(|b| b.len() as u64).sum(), Ordering::Relaxed);
    }

    pub(super) fn say(&self, request: u32, message: &Message<'_>) {
        let mut frame = Vec::with_capacity(64);
        message.encode(request, &mut frame);
        self.write(&[&frame]);
    }

    pub(super) fn data(&self, request: u32, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE) {
            self.write(&[&data_head(request, piece.len()), piece]);
        }
    }

    pub(super) fn refuse(&self, request: u32, why: &str) {
        let mut refused = lock(&self.refused);
        refused.0 += 1;
        if refused.1.len() < REASONS_MAX {
            refused.1.push(why.to_owned());
        }
        drop(refused);
        self.say(request, &Message::Refused { why });
    }
}

/// Why a session ends.
pub(super) type End = String;

/// Frames from the reading half, with the time looked at in between.
pub(super) struct Frames {
    read: Box<dyn Read + Send>,
    pub(super) decoder: Decoder,
    received: u64,
    pub(super) heard: Instant,
}

impl Frames {
    /// Reads more. `Ok(false)`: a tick.
    pub(super) fn more(&mut self) -> Result<bool, End> {
        match self.read.read(self.decoder.space()) {
            Ok(0) => Err("the peer closed the connection".to_owned()),
            Ok(n) => {
                self.decoder.filled(n);
                self.received += n as u64;
                self.heard = Instant::now();
                Ok(true)
            }
            Err(e) if is_tick(&e) => Ok(false),
            Err(e) => Err(e.to_string()),
        }
    }
}

pub(super) fn parts(halves: Halves) -> (Frames, Out) {
    let Halves { read, write, close, .. } = halves;
    let heard = Instant::now();
    let frames = Frames { read, decoder: Decoder::default(), received: 0, heard };
    let out = Out {
        write: Mutex::new(write),
        close,
        sent: AtomicU64::new(0),
        put: AtomicU64::new(0),
        deleted: AtomicU64::new(0),
        refused: Mutex::default(),
    };
    (frames, out)
}

/// The first message.
pub(super) fn first<T>(
    frames: &mut Frames,
    take: impl Fn(Message<'_>) -> Result<T, End>,
) -> Result<T, End> {
    let deadline = Instant::now() + FIRST;
    loop {
        if let Some((_, message)) = frames.decoder.poll().map_err(|e| e.to_string())? {
            return take(message);
        }
        if Instant::now() > deadline {
            return Err(format!("no first message in {} s", FIRST.as_secs()));
        }
        frames.more()?;
    }
}

/// Lets what was said arrive before the connection goes: unread bytes would reset it.
pub(super) fn farewell(frames: &mut Frames, out: &Out) {
    let _ = lock(&out.write).flush();
    let deadline = Instant::now() + Duration::from_secs(2);
    let mut scratch = [0; 4096];
    let mut left = 1_usize << 20;
    while left > 0 && Instant::now() < deadline {
        match frames.read.read(&mut scratch) {
            Ok(0) => break,
            Ok(n) => left = left.saturating_sub(n),
            Err(e) if is_tick(&e) => {}
            Err(_) => break,
        }
    }
    (out.close)();
}

pub(super) fn report(
    frames: &Frames,
    out: &Out,
    ended: End,
    who: Option<(String, Role)>,
) -> Session {
    let (refused, reasons) = lock(&out.refused).clone();
    let (peer, role) = who.unzip();
    Session {
        peer,
        role,
        received: frames.received,
        sent: out.sent.load(Ordering::Relaxed),
        put: out.put.load(Ordering::Relaxed),
        deleted: out.deleted.load(Ordering::Relaxed),
        refused,
        reasons,
        ended,
        ..Session::default()
    }
}
