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
use crate::verify::mark::Mark;

/// Frames handed over in one call at most.
pub const BURST_MAX: usize = 256;
/// A frame for which a full queue has no room for so long counts as failed.
const NO_ROOM_NS: u64 = 1_000_000_000;
/// How long frames are waited for that the kernel took and has not sent.
const FINISH: Duration = Duration::from_secs(2);
/// Bursts between two looks at the clock, at top speed.
const LOOK_EVERY: u32 = 16;
/// The first frame is due so long after everything is ready, and times count from there.
pub const LEAD_NS: u64 = 2_000_000;
/// The last part of it, in which the way out is warmed up.
const WARM_NS: u64 = 80_000;
/// After a gap this long, the way out is cold: it is gone once without a frame, so long before the
/// next is due.
const TOUCH_GAP_NS: u64 = 15_000;
const TOUCH_NS: u64 = 4_000;
/// How who is late catches up: up to that lateness, gaps are so many eighths of what they should
/// be. Beyond, everything due goes at once. Longer ones would keep more frames late, and half of
/// all on a machine that others use too.
const CATCH_UP: [(u64, u64); 2] = [(100_000, 6), (20_000_000, 3)];
/// A call may make up for so much at once: a pace near what a call for each frame reaches.
const SLACK_NS: u64 = 2_000;

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

/// Is told of each frame before it goes.
pub trait Watch {
    /// These are about to be handed over. Frames of a feed that makes no marks are not told.
    fn handing(&mut self, marks: &[Mark]);

    /// Of those told, the one that has `back - 1` behind it was not taken.
    fn refused(&mut self, back: usize);
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
/// Frames due at the same time go in one call. A frame is never handed over before its time, which
/// counts from when the first one goes, [`LEAD_NS`] after the start. Those that a stall made late
/// do not follow in one heap, which no recording had and which would drown a small receiver: until
/// the lateness is gone their gaps are three quarters of what they should be, three eighths after
/// a stall of 0.1 ms. From 20 ms on, and at a pace that the machine cannot keep, what is due goes.
pub fn run(
    feed: &mut Feed,
    ports: &mut [Box<dyn Transmit>],
    plan: &Plan,
    clock: &mut dyn Clock,
    control: &Control,
) -> Report {
    run_watched(feed, ports, plan, clock, control, None)
}

/// [`run`], and `watch` is told of each frame.
pub fn run_watched<'a>(
    feed: &mut Feed,
    ports: &'a mut [Box<dyn Transmit>],
    plan: &Plan,
    clock: &'a mut dyn Clock,
    control: &'a Control,
    watch: Option<&'a mut dyn Watch>,
) -> Report {
    let timed = plan.pace.is_timed();
    let report = Report::new(ports.len(), timed);
    let start_ns = clock.now() + if timed { LEAD_NS } else { 0 };
    let mut sender = Sender {
        report,
        schedule: Schedule::new(plan.pace, plan.gap_max_ns),
        frames_left: plan.frames_max.unwrap_or(u64::MAX),
        end_ns: plan.duration_max_ns.map_or(u64::MAX, |most| start_ns.saturating_add(most)),
        start_ns,
        due_before: start_ns,
        release_ns: start_ns,
        timed,
        last: None,
        until_look: 0,
        ports,
        clock,
        control,
        watch,
    };
    sender.warm_up();
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
    report.elapsed_ns = sender.clock.system_now().saturating_sub(sender.start_ns);
    report
}

struct Sender<'a> {
    report: Report,
    schedule: Schedule,
    frames_left: u64,
    /// No frame goes that is due later.
    end_ns: u64,
    /// When the first frame is due, by the clock; all times here are.
    start_ns: u64,
    /// When the frame given last by the schedule was due, and when it went or may go.
    due_before: u64,
    release_ns: u64,
    timed: bool,
    /// The frame before: when it was handed over and when it was due.
    last: Option<(u64, u64)>,
    until_look: u32,
    ports: &'a mut [Box<dyn Transmit>],
    clock: &'a mut dyn Clock,
    control: &'a Control,
    watch: Option<&'a mut dyn Watch>,
}

/// When a frame should go, and when it may.
#[derive(Clone, Copy)]
struct Times {
    due: u64,
    release: u64,
}

/// Frames of one call, with their due times.
struct Burst<'c> {
    frames: ArrayVec<&'c [u8], BURST_MAX>,
    due: ArrayVec<u64, BURST_MAX>,
    /// As many, or none.
    marks: &'c [Mark],
}

impl Sender<'_> {
    /// Everything that the first frame would have to wait for is done before it is due.
    fn warm_up(&mut self) {
        if self.timed {
            self.clock.wait_until(self.start_ns - WARM_NS, &self.control.stop);
        }
        for port in self.ports.iter_mut() {
            port.warm_up();
        }
    }

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
        let mut burst = Burst { frames: ArrayVec::new(), due: ArrayVec::new(), marks: &[] };
        let mut at = 0;
        // the times of entries[at], once they are asked for: the schedule tells them once
        let mut times_next = None;
        while let Some(entry) = entries.get(at) {
            if self.control.stop.load(Ordering::Relaxed) {
                return Some(Ended::Stopped);
            }
            if self.frames_left == 0 {
                return Some(Ended::Frames);
            }
            let mut times: Times = times_next.take().unwrap_or_else(|| self.times(entry));
            chunk.prefetch(at);
            let now = match self.wait(times, entry.port) {
                Ok(now) => now,
                Err(ended) => return Some(ended),
            };
            if self.timed && self.last.is_none() {
                times = self.begin(now, times);
            }
            // who was held up counts on from there
            self.release_ns = times.release.max(now.saturating_sub(SLACK_NS));
            burst.frames.clear();
            burst.due.clear();
            burst.frames.push(chunk.frame(entry));
            burst.due.push(times.due);
            at += 1;
            let room = self.room(entry.port);
            while let Some(next) = entries.get(at) {
                if burst.frames.len() >= room || next.port != entry.port {
                    break;
                }
                let times = self.times(next);
                if times.release > now || times.due > self.end_ns {
                    times_next = Some(times);
                    break;
                }
                burst.frames.push(chunk.frame(next));
                burst.due.push(times.due);
                at += 1;
            }
            let count = burst.frames.len();
            self.frames_left -= count as u64;
            burst.marks = chunk.marks().get(at - count..at).unwrap_or_default();
            if let Some(ended) = self.hand_over(usize::from(entry.port), &burst) {
                return Some(ended);
            }
            self.control.bytes.store(self.report.bytes, Ordering::Relaxed);
        }
        None
    }

    /// Times count from when the first frame goes, however late that is.
    fn begin(&mut self, now: u64, times: Times) -> Times {
        let late = now - times.release;
        for time in [&mut self.start_ns, &mut self.due_before, &mut self.end_ns] {
            *time = time.saturating_add(late);
        }
        Times { due: times.due.saturating_add(late), release: now }
    }

    /// When the next frame is due, and when it may go if those before it were late.
    #[inline]
    fn times(&mut self, entry: &Entry) -> Times {
        let due = self.start_ns.saturating_add(self.schedule.next(entry.time_ns, entry.len()));
        if !self.timed {
            return Times { due, release: due };
        }
        let late = self.release_ns.saturating_sub(self.due_before);
        let eighths = CATCH_UP.iter().find(|(most, _)| late <= *most).map_or(0, |(_, of)| *of);
        let gap = (due - self.due_before) / 8 * eighths;
        let release = due.max(self.release_ns.saturating_add(gap));
        (self.due_before, self.release_ns) = (due, release);
        Times { due, release }
    }

    /// Frames that may go in one call now.
    fn room(&self, port: u16) -> usize {
        let burst = self.ports.get(usize::from(port)).map_or(1, |port| port.burst_max());
        let left = usize::try_from(self.frames_left).unwrap_or(usize::MAX);
        burst.clamp(1, BURST_MAX).min(left)
    }

    /// Until the frame may go: the time then.
    #[inline]
    fn wait(&mut self, times: Times, port: u16) -> Result<u64, Ended> {
        if !self.timed {
            if self.end_ns != u64::MAX {
                if self.until_look == 0 {
                    self.until_look = LOOK_EVERY;
                    if self.clock.now() >= self.end_ns {
                        return Err(Ended::Seconds);
                    }
                }
                self.until_look -= 1;
            }
            return Ok(u64::MAX);
        }
        if times.due > self.end_ns {
            // the time asked for is waited out, so that rates come out right
            self.clock.wait_until(self.end_ns, &self.control.stop);
            return Err(Ended::Seconds);
        }
        if let Some((last, _)) = self.last
            && times.release > last.saturating_add(TOUCH_GAP_NS)
        {
            self.clock.wait_until(times.release - TOUCH_NS, &self.control.stop);
            if let Some(port) = self.ports.get_mut(usize::from(port)) {
                port.touch();
            }
        }
        let now = self.clock.wait_until(times.release, &self.control.stop);
        if now < times.release { Err(Ended::Stopped) } else { Ok(now) }
    }

    /// Hands a burst over, waiting where there is no room. `Some` ends the replay.
    fn hand_over(&mut self, index: usize, burst: &Burst<'_>) -> Option<Ended> {
        let mut at = 0;
        let mut no_room_since = None;
        if let Some(watch) = &mut self.watch {
            watch.handing(burst.marks);
        }
        while at < burst.frames.len() {
            let now = if self.timed { self.clock.now() } else { 0 };
            let Some(port) = self.ports.get_mut(index) else {
                self.fail(burst, at..burst.frames.len(), "no-such-port");
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
                        self.fail(burst, at..burst.frames.len(), "stopped");
                        return Some(Ended::Stopped);
                    }
                    if now.saturating_sub(since) > NO_ROOM_NS {
                        self.fail(burst, at..at + 1, SendError::NoBuffers.cause());
                        at += 1;
                        no_room_since = None;
                    }
                }
                Some(SendError::Gone) => {
                    self.fail(burst, at..burst.frames.len(), SendError::Gone.cause());
                    return Some(Ended::InterfaceGone);
                }
                Some(error) => {
                    self.fail(burst, at..at + 1, error.cause());
                    at += 1;
                }
            }
        }
        None
    }

    /// Counts frames that were not taken.
    fn fail(&mut self, burst: &Burst<'_>, frames: std::ops::Range<usize>, cause: &'static str) {
        self.report.fail(cause, frames.len() as u64);
        if let Some(watch) = self.watch.as_mut().filter(|_| !burst.marks.is_empty()) {
            for at in frames {
                watch.refused(burst.frames.len() - at);
            }
        }
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
            self.report.asked_ns = due - self.start_ns;
        }
    }
}

#[cfg(test)]
mod tests;
