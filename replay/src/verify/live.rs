//! The verifier's thread, which listens to the far end while the sender sends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nic::packet::{self, Frame, LinkChange, PacketError, PacketRx, Wake};
use nix::sched::{sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use rtrb::{Consumer, Producer, RingBuffer};

use super::Verified;
use super::mark::{Mark, Seed};
use super::matcher::{Matcher, WINDOW};
use crate::run::Watch;

/// The receive ring: more than half a second of the smallest frames at a million a second.
const RING_BYTES: usize = 64 << 20;
/// The kernel hands over what came at least so often: seldom enough for the ring, whose 64 blocks
/// are as many of these at the least, to last over a stall.
const RETIRE: Duration = Duration::from_millis(50);
/// Time between two looks at the log when nothing comes.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// No verification waits longer after the last frame, whatever else comes.
const WAIT_MAX: Duration = Duration::from_mins(1);
/// How long frames that are in the receive ring already may take.
const DRAIN: Duration = Duration::from_secs(2);
/// An Ethernet header and two tags: what a frame has beyond the MTU.
const HEADERS: u32 = 14 + 8;

/// How to verify.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// With which frames are hashed; that of the marks.
    pub seed: Seed,
    /// How long frames are waited for that have not come, after the last one did.
    pub wait: Duration,
    /// The core on which frames are sent: the verifier leaves it alone if it has another.
    pub sender_core: Option<usize>,
}

/// Why the far end cannot be listened to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It cannot be captured from.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// No thread was to be had.
    #[error("cannot start a thread that listens")]
    Thread(#[source] std::io::Error),
}

enum Logged {
    Sent(Mark),
    /// The frame of that number, counted from 0, was not taken.
    Refused(u64),
}

/// The sender's end of the log. It never waits: what does not fit is counted.
pub struct Log {
    queue: Producer<Logged>,
    logged: u64,
    overrun: u64,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("logged", &self.logged).finish_non_exhaustive()
    }
}

impl Watch for Log {
    #[inline]
    fn handing(&mut self, marks: &[Mark]) {
        for mark in marks {
            match self.queue.push(Logged::Sent(*mark)) {
                Ok(()) => self.logged += 1,
                Err(_) => self.overrun += 1,
            }
        }
    }

    fn refused(&mut self, back: usize) {
        let number = self.logged.saturating_sub(back as u64);
        if self.queue.push(Logged::Refused(number)).is_err() {
            self.overrun += 1;
        }
    }
}

/// Listens to an interface.
#[derive(Debug)]
pub struct Verifier {
    thread: JoinHandle<Verified>,
    done: Arc<AtomicBool>,
}

impl Verifier {
    /// Listens to `interface` from here on. The log is for the sender.
    pub fn open(interface: &str, config: Config) -> Result<(Self, Log), VerifyError> {
        let listen =
            packet::Config { ring_bytes: RING_BYTES, retire: RETIRE, ..packet::Config::default() };
        let rx = PacketRx::open(interface, &listen)?;
        let (queue, log) = RingBuffer::new(WINDOW);
        let done = Arc::new(AtomicBool::new(false));
        let thread = Far {
            longest: rx.link().mtu.saturating_add(HEADERS) as usize,
            rx,
            log,
            matcher: Matcher::new(config.seed),
            config,
            done: Arc::clone(&done),
            merged: 0,
            broken: None,
        };
        let thread = std::thread::Builder::new()
            .name("verify".to_owned())
            .spawn(move || {
                aside(config.sender_core);
                thread.run()
            })
            .map_err(VerifyError::Thread)?;
        Ok((Self { thread, done }, Log { queue, logged: 0, overrun: 0 }))
    }

    /// Waits for the frames that have not come yet, and says what became of all.
    pub fn finish(self, log: &Log) -> Verified {
        self.done.store(true, Ordering::Release);
        let mut verified = self.thread.join().unwrap_or_else(|_| Verified {
            broken: Some("the verifier failed".to_owned()),
            ..Verified::default()
        });
        verified.dropped += log.overrun;
        verified.settle()
    }
}

/// The calling thread runs on other cores than the sender, and before others, as far as it may.
fn aside(sender_core: Option<usize>) {
    let this = Pid::from_raw(0);
    let others = sched_getaffinity(this).and_then(|mut cores| {
        sender_core.map_or(Ok(()), |core| cores.unset(core))?;
        sched_setaffinity(this, &cores)
    });
    if let Err(error) = others {
        tracing::debug!(%error, "the verifier may run where the sender does");
    }
    if let Err(error) = nic::tx::prefer_this_thread() {
        tracing::debug!(%error, "others may run before the verifier");
    }
}

/// The far end's thread.
struct Far {
    rx: PacketRx,
    log: Consumer<Logged>,
    matcher: Matcher,
    config: Config,
    done: Arc<AtomicBool>,
    longest: usize,
    merged: u64,
    broken: Option<String>,
}

fn read_log(log: &mut Consumer<Logged>, matcher: &mut Matcher) {
    while let Ok(logged) = log.pop() {
        match logged {
            Logged::Sent(mark) => matcher.sent(mark),
            Logged::Refused(number) => matcher.refused(number),
        }
    }
}

impl Far {
    fn run(mut self) -> Verified {
        let (mut done_at, mut last_at, mut left) = (None, Instant::now(), 0);
        loop {
            match self.rx.poll(LOOK_EVERY) {
                Ok(Wake::Link(LinkChange::Gone)) => {
                    self.broken = Some(format!("{} was removed", self.rx.link().name));
                    break;
                }
                Ok(_) => {}
                Err(error) => {
                    self.broken = Some(error.to_string());
                    break;
                }
            }
            // asked before the log is read: then it is whole
            if self.done.load(Ordering::Acquire) && done_at.is_none() {
                (done_at, last_at) = (Some(Instant::now()), Instant::now());
            }
            self.read();
            read_log(&mut self.log, &mut self.matcher);
            if self.matcher.awaited() != left {
                (left, last_at) = (self.matcher.awaited(), Instant::now());
            }
            if let Some(done_at) = done_at
                && (last_at.elapsed() > self.config.wait || done_at.elapsed() > WAIT_MAX)
            {
                break;
            }
        }
        self.end()
    }

    /// One block of the ring.
    fn read(&mut self) {
        let Self { rx, log, matcher, merged, longest, .. } = self;
        let mut first = true;
        rx.read(|frame| {
            // every frame of a block that is full was in the log before it was sent
            if std::mem::take(&mut first) {
                read_log(log, matcher);
            }
            one(frame, *longest, matcher, merged);
        });
    }

    fn end(mut self) -> Verified {
        let Self { rx, log, matcher, merged, longest, broken, .. } = &mut self;
        read_log(log, matcher);
        let mut dropped = 0;
        if broken.is_none() {
            let drained = rx
                .stop()
                .and_then(|()| rx.drain(DRAIN, |frame| one(frame, *longest, matcher, merged)));
            match (drained, rx.counts()) {
                (Ok(whole), Ok(counts)) => {
                    dropped = counts.dropped;
                    if !whole {
                        dropped = counts.seen.saturating_sub(counts.read);
                    }
                }
                (Err(error), _) | (_, Err(error)) => *broken = Some(error.to_string()),
            }
        }
        Verified {
            findings: self.matcher.finish(),
            dropped,
            merged: self.merged,
            broken: self.broken,
            unknown: 0,
        }
    }
}

#[inline]
fn one(frame: &Frame<'_>, longest: usize, matcher: &mut Matcher, merged: &mut u64) {
    if frame.data.len() > longest {
        *merged += 1;
    }
    matcher.received(frame.data);
}
