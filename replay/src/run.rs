//! The sender: one thread, a loop, no allocation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arrayvec::ArrayVec;
use nic::tx::{SendError, Transmit};

use crate::chunk::{Chunk, Entry};
use crate::clock::Clock;
use crate::feed::{Feed, Next};
use crate::pace::{Pace, Schedule};
use crate::report::{Ended, Report};

/// Frames handed over in one call at most.
pub const BURST_MAX: usize = 256;
/// A frame for which a full queue has no room for so long counts as failed.
const NO_ROOM_NS: u64 = 1_000_000_000;
/// How long frames are waited for that the kernel took and has not sent.
const FINISH: Duration = Duration::from_secs(2);
/// Bursts between two looks at the clock, at top speed.
const LOOK_EVERY: u32 = 16;

/// When to send, and when to stop.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How fast.
    pub pace: Pace,
    /// Recorded gaps longer than this are cut to it.
    pub gap_max_ns: Option<u64>,
    /// Frames at most.
    pub frames_max: Option<u64>,
    /// Nanoseconds at most: no frame is sent that is due later.
    pub duration_max_ns: Option<u64>,
}

impl Plan {
    /// All frames, at that pace.
    pub const fn new(pace: Pace) -> Self {
        Self { pace, gap_max_ns: None, frames_max: None, duration_max_ns: None }
    }
}

/// What other threads may see and do while the sender runs.
#[derive(Debug, Default)]
pub struct Control {
    /// Set it, and the replay ends with what is sent.
    pub stop: Arc<AtomicBool>,
    /// Bytes sent so far.
    pub bytes: AtomicU64,
}

/// Sends what `feed` gives by `ports` until it ends, a limit is reached, or someone stops it.
///
/// Frames due at the same time, and those whose time has come while the frame before was sent,
/// go in one call. A frame is never handed over before its time.
pub fn run(
    feed: &mut Feed,
    ports: &mut [Box<dyn Transmit>],
    plan: &Plan,
    clock: &mut dyn Clock,
    control: &Control,
) -> Report {
    let timed = plan.pace.is_timed();
    let mut sender = Sender {
        report: Report::new(ports.len(), timed),
        schedule: Schedule::new(plan.pace, plan.gap_max_ns),
        frames_left: plan.frames_max.unwrap_or(u64::MAX),
        duration_max_ns: plan.duration_max_ns.unwrap_or(u64::MAX),
        timed,
        last: None,
        until_look: 0,
        ports,
        clock,
        control,
    };
    let ended = sender.all(feed);
    let mut report = sender.report;
    report.ended = ended;
    report.odd = sender.schedule.oddities();
    if let Some((handed, due)) = sender.last {
        // what the system's clock would have shown then
        let (tick, system) = (sender.clock.now(), sender.clock.system_now());
        let handed = handed as i64 + (system as i64 - tick as i64);
        report.drift_ns = Some(handed - due as i64);
    }
    for port in sender.ports {
        report.unfinished += port.finish(FINISH);
    }
    report.elapsed_ns = sender.clock.system_now();
    report
}

struct Sender<'a> {
    report: Report,
    schedule: Schedule,
    frames_left: u64,
    duration_max_ns: u64,
    timed: bool,
    /// The frame before: when it was handed over and when it was due.
    last: Option<(u64, u64)>,
    until_look: u32,
    ports: &'a mut [Box<dyn Transmit>],
    clock: &'a mut dyn Clock,
    control: &'a Control,
}

/// Frames of one call, with their due times.
struct Burst<'c> {
    frames: ArrayVec<&'c [u8], BURST_MAX>,
    due: ArrayVec<u64, BURST_MAX>,
}

impl Sender<'_> {
    fn all(&mut self, feed: &mut Feed) -> Ended {
        loop {
            match feed.next(&self.control.stop) {
                Next::Frames(chunk) => {
                    if let Some(ended) = self.chunk(chunk) {
                        return ended;
                    }
                }
                Next::Round => {
                    self.report.rounds += 1;
                    self.schedule.next_round();
                }
                Next::End if self.control.stop.load(Ordering::Relaxed) => return Ended::Stopped,
                Next::End => return Ended::File,
            }
        }
    }

    /// Sends the frames of a chunk. `Some` ends the replay.
    fn chunk(&mut self, chunk: &Chunk) -> Option<Ended> {
        let entries = chunk.entries();
        let mut burst = Burst { frames: ArrayVec::new(), due: ArrayVec::new() };
        let mut at = 0;
        // the due time of entries[at], once it is asked for: the schedule tells it once
        let mut due_next = None;
        while let Some(entry) = entries.get(at) {
            if self.control.stop.load(Ordering::Relaxed) {
                return Some(Ended::Stopped);
            }
            if self.frames_left == 0 {
                return Some(Ended::Frames);
            }
            let due = due_next.take().unwrap_or_else(|| self.due(entry));
            chunk.prefetch(at);
            let now = match self.wait(due) {
                Ok(now) => now,
                Err(ended) => return Some(ended),
            };
            burst.frames.clear();
            burst.due.clear();
            burst.frames.push(chunk.frame(entry));
            burst.due.push(due);
            at += 1;
            let room = self.room(entry.port);
            while let Some(next) = entries.get(at) {
                if burst.frames.len() >= room || next.port != entry.port {
                    break;
                }
                let due = self.due(next);
                if due > now || due > self.duration_max_ns {
                    due_next = Some(due);
                    break;
                }
                burst.frames.push(chunk.frame(next));
                burst.due.push(due);
                at += 1;
            }
            self.frames_left -= burst.frames.len() as u64;
            if let Some(ended) = self.hand_over(usize::from(entry.port), &burst) {
                return Some(ended);
            }
            self.control.bytes.store(self.report.bytes, Ordering::Relaxed);
        }
        None
    }

    #[inline]
    fn due(&mut self, entry: &Entry) -> u64 {
        self.schedule.next(entry.time_ns, entry.len())
    }

    /// Frames that may go in one call now.
    fn room(&self, port: u16) -> usize {
        let burst = self.ports.get(usize::from(port)).map_or(1, |port| port.burst_max());
        let left = usize::try_from(self.frames_left).unwrap_or(usize::MAX);
        burst.clamp(1, BURST_MAX).min(left)
    }

    /// Until the frame is due: the time then.
    #[inline]
    fn wait(&mut self, due: u64) -> Result<u64, Ended> {
        if !self.timed {
            if self.duration_max_ns != u64::MAX {
                if self.until_look == 0 {
                    self.until_look = LOOK_EVERY;
                    if self.clock.now() >= self.duration_max_ns {
                        return Err(Ended::Seconds);
                    }
                }
                self.until_look -= 1;
            }
            return Ok(u64::MAX);
        }
        if due > self.duration_max_ns {
            // the time asked for is waited out, so that rates come out right
            self.clock.wait_until(self.duration_max_ns, &self.control.stop);
            return Err(Ended::Seconds);
        }
        let now = self.clock.wait_until(due, &self.control.stop);
        if now < due { Err(Ended::Stopped) } else { Ok(now) }
    }

    /// Hands a burst over, waiting where there is no room. `Some` ends the replay.
    fn hand_over(&mut self, index: usize, burst: &Burst<'_>) -> Option<Ended> {
        let mut at = 0;
        let mut no_room_since = None;
        while at < burst.frames.len() {
            let now = if self.timed { self.clock.now() } else { 0 };
            let Some(port) = self.ports.get_mut(index) else {
                self.report.fail("no-such-port", (burst.frames.len() - at) as u64);
                return None;
            };
            let sent = port.send(&burst.frames[at..]);
            let taken = sent.taken.min(burst.frames.len() - at);
            self.count(index, burst, at..at + taken, now);
            at += taken;
            if taken > 0 {
                no_room_since = None;
            }
            if at == burst.frames.len() {
                break;
            }
            match sent.error {
                None | Some(SendError::NoBuffers) => {
                    self.report.waits += 1;
                    let now = self.clock.now();
                    let since = *no_room_since.get_or_insert(now);
                    if self.control.stop.load(Ordering::Relaxed) {
                        self.report.fail("stopped", (burst.frames.len() - at) as u64);
                        return Some(Ended::Stopped);
                    }
                    if now.saturating_sub(since) > NO_ROOM_NS {
                        self.report.fail(SendError::NoBuffers.cause(), 1);
                        at += 1;
                        no_room_since = None;
                    }
                }
                Some(SendError::Gone) => {
                    let rest = (burst.frames.len() - at) as u64;
                    self.report.fail(SendError::Gone.cause(), rest);
                    return Some(Ended::InterfaceGone);
                }
                Some(error) => {
                    self.report.fail(error.cause(), 1);
                    at += 1;
                }
            }
        }
        None
    }

    /// Counts frames taken at `now`.
    #[inline]
    fn count(&mut self, index: usize, burst: &Burst<'_>, taken: std::ops::Range<usize>, now: u64) {
        if taken.is_empty() {
            return;
        }
        self.report.sent += taken.len() as u64;
        if let Some(port) = self.report.by_port.get_mut(index) {
            *port += taken.len() as u64;
        }
        let bytes: usize = burst.frames[taken.clone()].iter().map(|frame| frame.len()).sum();
        self.report.bytes += bytes as u64;
        if !self.timed {
            return;
        }
        for due in &burst.due[taken] {
            if let Some((last_now, last_due)) = self.last {
                self.report.gap_error(now.saturating_sub(last_now), due.saturating_sub(last_due));
            }
            self.report.handed(now, *due);
            self.last = Some((now, *due));
        }
        if let Some((_, due)) = self.last {
            self.report.asked_ns = due;
        }
    }
}

#[cfg(test)]
mod tests;
