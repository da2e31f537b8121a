//! A server's session with one peer. Threads, one queue each, all bounded:
//!
//! ```text
//! reads frames ─▶ pieces of puts: staged, hashed ─▶ committer: checks, syncs, links ─▶ answers
//!              └▶ other requests ─▶ two readers ─▶ answers
//! ```
//!
//! What stands still is this peer's alone: its queue fills, and nothing more is read from it.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};

use super::codec::{Message, PIECE, VERSION};
use super::halves::Halves;
use super::peers::Peers;
use super::policy::{NOTHING_YET, Object, Role, admit};
use super::receive::{No, Receiving};
use super::served::{Awaited, Served};
use super::session::{End, Frames, Out, SILENCE, Session, farewell, first, lock, parts, report};
use super::tls::{self, PublicKey};
use crate::error::Error;
use crate::repository::Repository;

/// How often a session asks whether its peer was revoked.
const RECHECK: Duration = Duration::from_secs(1);
/// After a stop, what was begun may take so long.
const STOPPING: Duration = Duration::from_secs(10);
/// How a session ended that was stopped.
const STOPPED: &str = "stopped";
/// Puts under way in a session.
const PUTS_MAX: usize = 4;
/// Requests waiting in a session.
const REQUESTS_MAX: usize = 64;
/// Bytes read of an object at once.
const READ: u64 = 1 << 20;
/// Bounds of a service.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Sessions of one peer at once.
    pub sessions: usize,
    /// Bytes that must stay free on the file system: a put that would go below is not taken.
    pub keep_free: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { sessions: 8, keep_free: 256 << 20 }
    }
}

/// A repository in a directory, for peers.
#[derive(Debug)]
pub struct Service {
    served: Served,
    limits: Limits,
    stop: AtomicBool,
    sessions: Mutex<HashMap<String, usize>>,
}

/// A request that is answered by a reader.
enum Request {
    Get(String, u64),
    Range(String, u64, u64),
    Size(String),
    List(String),
    Delete(String),
    Sweep(i64),
}

impl Service {
    /// Serves a repository in a directory.
    pub fn new(repository: Repository, limits: Limits) -> Result<Self, Error> {
        Served::new(repository).map(|served| Self::of(served, limits))
    }

    /// Serves a folder that awaits a repository: only who is enrolled to make it is let in. Then
    /// it serves that.
    pub fn awaiting(awaited: &Awaited, limits: Limits) -> Result<Self, Error> {
        Served::awaiting(awaited).map(|served| Self::of(served, limits))
    }

    fn of(served: Served, limits: Limits) -> Self {
        let (stop, sessions) = (AtomicBool::new(false), Mutex::default());
        Self { served, limits, stop, sessions }
    }

    /// Sessions end when what they have begun is done.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether it was stopped.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// TLS, then a session with an enrolled peer, or the enrolment of a new one. Returns at its
    /// end.
    pub fn tls(&self, halves: Halves, peers: &Arc<Peers>) -> Session {
        let begin = Instant::now();
        let from = halves.from.clone();
        let known = Arc::clone(peers);
        let known = move |key: &PublicKey| known.find(key).is_some() || known.waits();
        let mut session = match tls::server(halves, peers.identity(), known) {
            Err(e) => {
                Session { ended: format!("not let in: {e}"), refused: 1, ..Session::default() }
            }
            Ok((halves, key)) => match peers.find(&key) {
                Some(peer) => {
                    let still = || peers.find(&key).is_some_and(|now| now.follows(&peer));
                    let role = self.served.role(&peer);
                    let mut session = self.run(halves, &peer.name, role, &still);
                    if peer.role == Role::Init
                        && self.served.repository().is_some()
                        && let Err(e) = peers.made()
                    {
                        // it counts as made all the same, and the next start tries again
                        session.reasons.push(format!("the list of peers stays as it was: {e}"));
                    }
                    session
                }
                None => stranger(&self.served, halves, key, peers),
            },
        };
        (session.from, session.took) = (from, begin.elapsed());
        session
    }

    /// A session without TLS, for a stream that nobody else can reach.
    pub fn plain(&self, halves: Halves, peer: &str, role: Role) -> Session {
        let begin = Instant::now();
        let from = halves.from.clone();
        let session = self.run(halves, peer, role, &|| true);
        Session { from, took: begin.elapsed(), ..session }
    }

    fn run(&self, halves: Halves, peer: &str, role: Role, still: &dyn Fn() -> bool) -> Session {
        let (mut frames, out) = parts(halves);
        let ended = {
            let count = |by: isize| {
                let mut sessions = lock(&self.sessions);
                let now = sessions.entry(peer.to_owned()).or_default();
                *now = now.saturating_add_signed(by);
                *now
            };
            let ended = if count(1) > self.limits.sessions {
                out.say(0, &Message::Failed { why: "this peer has too many sessions open" });
                "too many sessions".to_owned()
            } else {
                self.converse(&mut frames, &out, peer, role, still)
            };
            count(-1);
            if ended == STOPPED {
                // behind the last acknowledgement
                out.say(0, &Message::Failed { why: "the server is stopping" });
            }
            ended
        };
        farewell(&mut frames, &out);
        report(&frames, &out, ended, Some((peer.to_owned(), role)))
    }

    /// Hello, then requests until the end.
    fn converse(
        &self,
        frames: &mut Frames,
        out: &Out,
        peer: &str,
        role: Role,
        still: &dyn Fn() -> bool,
    ) -> End {
        match first(frames, |message| match message {
            Message::Hello { version } => Ok(version),
            _ => Err("expected a hello".to_owned()),
        }) {
            Ok(VERSION) => {}
            Ok(other) => {
                let why = format!("protocol version {VERSION} is spoken here, not {other}");
                out.refuse(0, &why);
                return why;
            }
            Err(end) => return end,
        }
        if role != Role::Init && self.served.repository().is_none() {
            out.refuse(0, NOTHING_YET);
            return NOTHING_YET.to_owned();
        }
        out.say(0, &welcome(self.served.id, peer, role));
        std::thread::scope(|scope| {
            let (commits, committed) = bounded::<(u32, Receiving)>(1);
            let (requests, requested) = bounded::<(u32, Request)>(REQUESTS_MAX);
            scope.spawn(move || self.commit(&committed, out));
            for _ in 0..2 {
                let requested = requested.clone();
                scope.spawn(move || {
                    for (id, request) in requested {
                        self.answer(id, &request, out);
                    }
                });
            }
            self.requests(frames, out, role, still, &commits, &requests)
        })
    }

    fn requests(
        &self,
        frames: &mut Frames,
        out: &Out,
        role: Role,
        still: &dyn Fn() -> bool,
        commits: &Sender<(u32, Receiving)>,
        requests: &Sender<(u32, Request)>,
    ) -> End {
        let mut puts: HashMap<u32, Receiving> = HashMap::new();
        let mut checked = Instant::now();
        let mut stopping: Option<Instant> = None;
        loop {
            while let Some((id, message)) = match frames.decoder.poll() {
                Ok(next) => next,
                Err(e) => return e.to_string(),
            } {
                let done = match message {
                    Message::Ping => {
                        out.say(id, &Message::Pong);
                        Ok(())
                    }
                    Message::Bye => return "done".to_owned(),
                    Message::Data(bytes) => piece(&mut puts, id, bytes, out, commits),
                    Message::Put { size, name } => {
                        self.begin(&mut puts, (id, name, size), &message, role, out)
                    }
                    _ => match self.admit(role, &message) {
                        Ok(()) => queue(id, &message, requests),
                        Err(why) => {
                            out.refuse(id, &why);
                            Ok(())
                        }
                    },
                };
                if let Err(end) = done {
                    return end;
                }
                if checked.elapsed() > RECHECK {
                    break;
                }
            }
            if checked.elapsed() > RECHECK {
                checked = Instant::now();
                if !still() {
                    out.refuse(0, "this peer was revoked");
                    return "revoked".to_owned();
                }
            }
            if self.stopped() {
                let since = *stopping.get_or_insert_with(Instant::now);
                if puts.is_empty() || since.elapsed() > STOPPING {
                    return STOPPED.to_owned();
                }
            }
            if frames.heard.elapsed() > SILENCE {
                return format!("silent for {} s", SILENCE.as_secs());
            }
            if let Err(end) = frames.more() {
                return end;
            }
        }
    }

    fn admit(&self, role: Role, message: &Message<'_>) -> Result<(), String> {
        admit(role, message, self.served.repository().map(|repository| &repository.config))
    }

    /// A put: what is refused is told at once, and what comes of it is thrown away.
    fn begin(
        &self,
        puts: &mut HashMap<u32, Receiving>,
        (id, name, size): (u32, &str, u64),
        message: &Message<'_>,
        role: Role,
        out: &Out,
    ) -> Result<(), End> {
        if puts.len() >= PUTS_MAX || puts.contains_key(&id) {
            return Err(format!("more than {PUTS_MAX} puts under way, or one twice"));
        }
        let allowed = self.admit(role, message);
        let object = Object::parse(name).filter(|_| allowed.is_ok());
        let root = &self.served.root;
        let receiving = match (allowed, object) {
            (Ok(()), Some(object)) => {
                let full = role != Role::Prune && free(root) < self.limits.keep_free + size;
                if full {
                    let why = "the server's disk is full (its limit of free bytes is reached)";
                    out.say(id, &Message::Failed { why });
                    Receiving::nothing(name, object, size)
                } else {
                    match Receiving::new(root, name, object, size) {
                        Ok(receiving) => receiving,
                        Err(no) => {
                            no.tell(id, out);
                            Receiving::nothing(name, object, size)
                        }
                    }
                }
            }
            (allowed, _) => {
                out.refuse(id, &allowed.err().unwrap_or_else(|| "no such object".to_owned()));
                Receiving::nothing(name, Object::Config, size)
            }
        };
        if !receiving.is_whole() {
            puts.insert(id, receiving);
        }
        Ok(())
    }

    fn commit(&self, committed: &Receiver<(u32, Receiving)>, out: &Out) {
        for (id, receiving) in committed {
            let busy = receiving.busy();
            match self.served.keep(receiving) {
                Ok(new) => {
                    out.put.fetch_add(u64::from(new), Ordering::Relaxed);
                    let two = busy().pack();
                    out.say(id, &Message::Done { one: u64::from(new), two });
                }
                Err(no) => no.tell(id, out),
            }
        }
    }

    fn answer(&self, id: u32, request: &Request, out: &Out) {
        let store = &self.served.store;
        let done = |one, two| out.say(id, &Message::Done { one, two });
        let answered = match request {
            Request::Get(name, most) => store.size(name).and_then(|size| match size {
                None => {
                    out.say(id, &Message::Absent);
                    Ok(())
                }
                Some(size) if size > *most => {
                    out.say(id, &Message::Long { size });
                    Ok(())
                }
                Some(size) => self.send(id, name, 0, size, out),
            }),
            Request::Range(name, from, to) => store.size(name).and_then(|size| match size {
                None => {
                    out.say(id, &Message::Absent);
                    Ok(())
                }
                Some(size) => self.send(id, name, *from, (*to).min(size), out),
            }),
            Request::Size(name) => store.size(name).map(|size| match size {
                None => out.say(id, &Message::Absent),
                Some(size) => done(size, 0),
            }),
            Request::List(folder) => {
                let folder = (!folder.is_empty()).then_some(folder.as_str());
                store.list(folder).map(|listed| {
                    let mut text = String::new();
                    let mut bytes = 0;
                    for object in &listed {
                        let line =
                            format!("{}\t{}\t{}\n", object.bytes, object.changed, object.name);
                        text.push_str(&line);
                        if text.len() > PIECE / 2 {
                            bytes += text.len();
                            out.data(id, text.as_bytes());
                            text.clear();
                        }
                    }
                    out.data(id, text.as_bytes());
                    done((bytes + text.len()) as u64, 0);
                })
            }
            Request::Delete(name) => store.delete(name).map(|()| {
                out.deleted.fetch_add(1, Ordering::Relaxed);
                done(1, 0);
            }),
            Request::Sweep(grace) => {
                store.sweep_staged((*grace).max(0)).map(|(count, bytes)| done(count, bytes))
            }
        };
        if let Err(e) = answered {
            out.say(id, &Message::Failed { why: &told(&e) });
        }
    }

    fn send(&self, id: u32, name: &str, from: u64, to: u64, out: &Out) -> Result<(), Error> {
        let mut at = from.min(to);
        while at < to {
            let end = (at + READ).min(to);
            out.data(id, &self.served.store.range(name, at, end)?);
            at = end;
        }
        out.say(id, &Message::Done { one: to.saturating_sub(from), two: 0 });
        Ok(())
    }
}

/// An error with its causes, without the server's paths.
fn told(e: &Error) -> String {
    let mut text = e.to_string();
    let mut cause = std::error::Error::source(e);
    while let Some(e) = cause {
        if let Some(io) = e.downcast_ref::<io::Error>() {
            text = format!("{text}: {}", io.kind());
        }
        cause = e.source();
    }
    text
}

fn piece(
    puts: &mut HashMap<u32, Receiving>,
    id: u32,
    bytes: &[u8],
    out: &Out,
    commits: &Sender<(u32, Receiving)>,
) -> Result<(), End> {
    let Some(receiving) = puts.get_mut(&id) else {
        return Err("data that belongs to no put".to_owned());
    };
    let silent = receiving.is_nothing();
    match receiving.piece(bytes) {
        Ok(false) => Ok(()),
        Ok(true) => {
            let whole = puts.remove(&id).filter(|whole| !whole.is_nothing());
            match whole {
                Some(whole) => {
                    commits.send((id, whole)).map_err(|_| "the committer ended".to_owned())
                }
                None => Ok(()),
            }
        }
        Err(No::Refused(why)) => Err(why),
        Err(no) => {
            if !silent {
                no.tell(id, out);
            }
            if receiving.is_whole() {
                puts.remove(&id);
            }
            Ok(())
        }
    }
}

fn queue(id: u32, message: &Message<'_>, requests: &Sender<(u32, Request)>) -> Result<(), End> {
    let request = match *message {
        Message::Get { most, name } => Request::Get(name.to_owned(), most),
        Message::Range { from, to, name } => Request::Range(name.to_owned(), from, to),
        Message::Size { name } => Request::Size(name.to_owned()),
        Message::List { folder } => Request::List(folder.to_owned()),
        Message::Delete { name } => Request::Delete(name.to_owned()),
        Message::Sweep { grace } => Request::Sweep(grace),
        _ => return Err("that is no request".to_owned()),
    };
    requests.send((id, request)).map_err(|_| "the readers ended".to_owned())
}

fn free(root: &std::path::Path) -> u64 {
    rustix::fs::statvfs(root).map_or(u64::MAX, |fs| fs.f_bavail.saturating_mul(fs.f_frsize))
}

fn welcome(repository: [u8; 16], peer: &str, role: Role) -> Message<'_> {
    Message::Welcome { version: VERSION, role: role.number(), repository, peer }
}

/// A key that is not known: it may show a code, once.
fn stranger(served: &Served, halves: Halves, key: PublicKey, peers: &Peers) -> Session {
    let from = halves.from.clone();
    let (mut frames, out) = parts(halves);
    let shown = first(&mut frames, |message| match message {
        Message::Join { secret } => Ok(secret),
        Message::Hello { .. } => Err("this key is not enrolled here, or was revoked".to_owned()),
        _ => Err("expected a code".to_owned()),
    });
    let made = served.repository().is_some();
    let joined = shown.and_then(|secret| peers.join(&secret, key, &from, made));
    let (ended, who) = match joined {
        Ok(peer) => {
            out.say(0, &welcome(served.id, &peer.name, peer.role));
            ("enrolled".to_owned(), Some((peer.name, peer.role)))
        }
        Err(why) => {
            out.refuse(0, &why);
            (format!("not let in: {why}"), None)
        }
    };
    farewell(&mut frames, &out);
    report(&frames, &out, ended, who)
}
