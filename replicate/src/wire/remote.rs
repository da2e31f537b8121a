//! The client's side: a server's repository as a store, for any number of threads over one
//! connection. A cut connection is made again, and what was not answered is asked again.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam::channel::Receiver;

use super::busy::Busy;
use super::codec::{Message, VERSION};
use super::halves::Halves;
use super::link::{Answer, End, Link, Welcome, Why, greet, lock};
use crate::error::Error;
use crate::store::{Listed, PutTimes};

/// A connection is tried so often, with a pause that doubles from [`PAUSE`]: some 16 s in all.
const TRIES: u32 = 7;
/// The first pause.
const PAUSE: Duration = Duration::from_millis(250);
/// A request is asked so often: one that is cut off every time ends in an error.
const ASKED: u32 = 5;
/// Bytes of a listing, at most: half a million objects.
const LIST_MAX: usize = 64 << 20;
/// Requests that `sizes` has under way.
const WINDOW: usize = 32;

/// Makes a connection, TLS included. `PermissionDenied` means that trying again is no use.
pub type Connect = dyn Fn() -> io::Result<Halves> + Send + Sync;

/// A repository behind a server.
pub struct Remote {
    name: String,
    connect: Box<Connect>,
    state: Mutex<State>,
    welcome: Welcome,
    acknowledged: AtomicU64,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("name", &self.name).finish_non_exhaustive()
    }
}

enum State {
    Up(Arc<Link>),
    /// No more tries.
    Over(Why),
}

impl Remote {
    /// Connects and says hello. `name` is the server's, for errors.
    pub fn open(name: &str, connect: Box<Connect>) -> Result<Self, Error> {
        let greeted = connect().map_err(Why::from);
        let greeted = greeted.and_then(|h| greet(h, &Message::Hello { version: VERSION }));
        let (link, welcome) = greeted.map_err(|why| failed("connect", "", name, why, 0))?;
        let (state, acknowledged) = (Mutex::new(State::Up(link)), AtomicU64::new(0));
        Ok(Self { name: name.to_owned(), connect, state, welcome, acknowledged })
    }

    /// A session over one stream that cannot be made again once it is cut.
    pub fn over(halves: Halves) -> Result<Self, Error> {
        let name = halves.from.clone();
        let only = Mutex::new(Some(halves));
        let again = || io::Error::new(io::ErrorKind::PermissionDenied, "the stream was cut");
        Self::open(&name, Box::new(move || lock(&only).take().ok_or_else(again)))
    }

    /// Shows a one-time code on a connection of its own; then this key is enrolled.
    pub(crate) fn join(name: &str, halves: Halves, secret: [u8; 16]) -> Result<Welcome, Error> {
        let greeted = greet(halves, &Message::Join { secret });
        let (link, welcome) = greeted.map_err(|why| failed("join", "", name, why, 0))?;
        link.end(Why { text: "joined".to_owned(), refused: false });
        Ok(welcome)
    }

    /// What the server said of itself and of us.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// The connection, made again if it was cut.
    fn link(&self, operation: &'static str, object: &str) -> Result<Arc<Link>, Error> {
        let mut state = lock(&self.state);
        let acknowledged = self.acknowledged.load(Ordering::Relaxed);
        let over = |why| Err(failed(operation, object, &self.name, why, acknowledged));
        let mut why = match &*state {
            State::Over(why) => return over(why.clone()),
            State::Up(link) => match link.why() {
                None => return Ok(Arc::clone(link)),
                Some(why) => why,
            },
        };
        let mut again = None;
        for nth in 0..TRIES {
            if why.refused {
                break;
            }
            if nth > 0 {
                std::thread::sleep(PAUSE * 2_u32.pow(nth - 1));
            }
            let made = (self.connect)().map_err(Why::from);
            match made.and_then(|h| greet(h, &Message::Hello { version: VERSION })) {
                Ok((link, welcome)) if welcome.repository == self.welcome.repository => {
                    *state = State::Up(Arc::clone(&link));
                    return Ok(link);
                }
                Ok((link, _)) => {
                    why =
                        Why { text: "the server has another repository".to_owned(), refused: true };
                    link.end(why.clone());
                }
                Err(other) if other.refused => why = other,
                Err(other) => again = Some(other.text),
            }
        }
        if let Some(again) = again.filter(|_| !why.refused) {
            why.text = format!("{}; tried again {TRIES} times: {again}", why.text);
        }
        *state = State::Over(why.clone());
        over(why)
    }

    /// Asks until there is an answer, over a new connection where the old one was cut.
    fn call(
        &self,
        operation: &'static str,
        object: &str,
        ask: impl Fn(&Link) -> Receiver<Answer>,
    ) -> Result<Answer, Error> {
        let mut why = Why { text: "cut".to_owned(), refused: false };
        for _ in 0..ASKED {
            let link = self.link(operation, object)?;
            if let Ok(answer) = ask(&link).recv() {
                return self.granted(operation, object, answer);
            }
            why = link.why().unwrap_or(why);
        }
        let acknowledged = self.acknowledged.load(Ordering::Relaxed);
        Err(failed(operation, object, &self.name, why, acknowledged))
    }

    fn granted(
        &self,
        operation: &'static str,
        object: &str,
        answer: Answer,
    ) -> Result<Answer, Error> {
        let (End::Refused(why) | End::Failed(why)) = answer.end else { return Ok(answer) };
        let (object, peer) = (object.to_owned(), self.name.clone());
        Err(Error::Refused { operation, object, peer, why })
    }

    fn odd(&self, operation: &'static str, object: &str, end: &End) -> Error {
        let (object, peer) = (object.to_owned(), self.name.clone());
        Error::Refused { operation, object, peer, why: format!("an answer of no use: {end:?}") }
    }

    /// Puts an object; when this returns it is synced. `Ok((false, _))`: the name existed already.
    pub(crate) fn put(&self, name: &str, bytes: &Bytes) -> Result<(bool, PutTimes), Error> {
        let asked = Cell::new(0);
        let (sent, sending) = (Cell::new(Instant::now()), Cell::new(Duration::ZERO));
        let answer = self.call("put", name, |link| {
            asked.set(asked.get() + 1);
            let (answer, took) = link.put(name, bytes);
            sending.set(sending.get() + took);
            sent.set(Instant::now());
            answer
        })?;
        let (new, busy) = match answer.end {
            End::Done(new, busy) => (new == 1, Busy::unpack(busy)),
            end => return Err(self.odd("put", name, &end)),
        };
        let times = busy.share(sending.get(), sent.get().elapsed());
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        // the one that was there may be ours, put before the answer was cut off
        let again = asked.get() > 1;
        let ours = || {
            let there = self.get(name, bytes.len() as u64);
            there.is_ok_and(|there| there.as_ref() == Some(bytes))
        };
        Ok((new || (again && ours()), times))
    }

    pub(crate) fn get(&self, name: &str, most: u64) -> Result<Option<Bytes>, Error> {
        let limit = usize::try_from(most).unwrap_or(usize::MAX);
        let answer =
            self.call("get", name, |link| link.request(limit, &Message::Get { most, name }))?;
        match answer.end {
            End::Done(..) => Ok(Some(answer.bytes.into())),
            End::Absent => Ok(None),
            End::Long(size) => {
                Err(Error::damage(name, most, format!("at most {most} bytes"), size.to_string()))
            }
            end => Err(self.odd("get", name, &end)),
        }
    }

    pub(crate) fn range(&self, name: &str, from: u64, to: u64) -> Result<Option<Bytes>, Error> {
        let limit = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        let ask = |link: &Link| link.request(limit, &Message::Range { from, to, name });
        let answer = self.call("get", name, ask)?;
        match answer.end {
            End::Done(..) => Ok(Some(answer.bytes.into())),
            End::Absent => Ok(None),
            end => Err(self.odd("get", name, &end)),
        }
    }

    pub(crate) fn size(&self, name: &str) -> Result<Option<u64>, Error> {
        let answer = self.call("look at", name, |link| link.request(0, &Message::Size { name }))?;
        self.sized(name, &answer)
    }

    fn sized(&self, name: &str, answer: &Answer) -> Result<Option<u64>, Error> {
        match answer.end {
            End::Done(size, _) => Ok(Some(size)),
            End::Absent => Ok(None),
            ref end => Err(self.odd("look at", name, end)),
        }
    }

    /// Sizes of many objects, for one journey in [`WINDOW`].
    pub(crate) fn sizes(&self, names: &[String]) -> Result<Vec<Option<u64>>, Error> {
        let mut sizes = Vec::with_capacity(names.len());
        for some in names.chunks(WINDOW) {
            let link = self.link("look at", &some[0])?;
            let ask = |name: &String| link.request(0, &Message::Size { name });
            let asked: Vec<_> = some.iter().map(ask).collect();
            for (name, answer) in some.iter().zip(asked) {
                sizes.push(match answer.recv() {
                    Ok(answer) => self.sized(name, &self.granted("look at", name, answer)?)?,
                    Err(_) => self.size(name)?,
                });
            }
        }
        Ok(sizes)
    }

    pub(crate) fn list(&self, folder: &str) -> Result<Vec<Listed>, Error> {
        let ask = |link: &Link| link.request(LIST_MAX, &Message::List { folder });
        let answer = self.call("list", folder, ask)?;
        let End::Done(..) = answer.end else { return Err(self.odd("list", folder, &answer.end)) };
        let bad = |at| Error::damage(folder, at, "a listing: bytes, time, name", "other text");
        let text = std::str::from_utf8(&answer.bytes).map_err(|e| bad(e.valid_up_to() as u64))?;
        let mut at = 0;
        let mut listed = Vec::new();
        for line in text.lines() {
            let mut fields = line.splitn(3, '\t');
            let bytes = fields.next().and_then(|n| n.parse().ok());
            let changed = fields.next().and_then(|n| n.parse().ok());
            let (Some(bytes), Some(changed), Some(name)) = (bytes, changed, fields.next()) else {
                return Err(bad(at));
            };
            listed.push(Listed { name: name.to_owned(), bytes, changed });
            at += line.len() as u64 + 1;
        }
        Ok(listed)
    }

    pub(crate) fn delete(&self, name: &str) -> Result<(), Error> {
        let answer =
            self.call("delete", name, |link| link.request(0, &Message::Delete { name }))?;
        match answer.end {
            End::Done(..) => Ok(()),
            end => Err(self.odd("delete", name, &end)),
        }
    }

    pub(crate) fn sweep(&self, grace: i64) -> Result<(u64, u64), Error> {
        let ask = |link: &Link| link.request(0, &Message::Sweep { grace });
        match self.call("sweep", "", ask)?.end {
            End::Done(count, bytes) => Ok((count, bytes)),
            end => Err(self.odd("sweep", "", &end)),
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        if let State::Up(link) = &*lock(&self.state) {
            link.say(0, &Message::Bye);
            link.end(Why { text: "done".to_owned(), refused: false });
        }
    }
}

fn failed(operation: &'static str, object: &str, peer: &str, why: Why, acknowledged: u64) -> Error {
    let (object, peer) = (object.to_owned(), peer.to_owned());
    let Why { text: why, refused } = why;
    if refused || operation == "connect" || operation == "join" {
        return Error::Refused { operation, object, peer, why };
    }
    Error::Cut { operation, object, peer, acknowledged, why }
}
