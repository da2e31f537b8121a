//! The loops: workers take frames out of the kernel and into the file, this thread looks at
//! everything else until something ends it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use capture::format::InterfaceCounters;
use capture::write::{Recorded, Recorder};
use nic::link::{self, LinkCounters};
use nic::listen::{Listen, ListenError};
use nic::packet::{LinkChange, RxCounts, Wake};

use super::Args;
use super::stop::{Conditions, Ended, Signals};
use super::take::Taker;
use super::view::{Shot, View};
use crate::walk::talk;

/// Between two looks at everything but frames and signals.
const TICK: Duration = Duration::from_secs(1);
/// Between two looks at signals and conditions; a worker that ends something looks sooner.
const LOOK: Duration = Duration::from_millis(50);
/// How long a worker waits for frames before it looks whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(50);
/// A worker tells what it has counted this often.
const TELL: Duration = Duration::from_millis(400);
/// How long the end may take: the kernel hands its last block over after a few milliseconds.
const DRAIN: Duration = Duration::from_secs(2);
/// Pairs of talkers shown.
const TALKERS: usize = 5;

/// What a capture came to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) ended: Ended,
    pub(super) seconds: f64,
    pub(super) way: String,
    pub(super) workers: usize,
    /// Refused frames are counted.
    pub(super) counts_refused: bool,
    /// Copies of each frame between the kernel's memory and the writer.
    pub(super) copies: u32,
    pub(super) rx: RxCounts,
    /// Frames read after the last one that was wanted; neither seen nor written, for the report.
    pub(super) past_end: u64,
    pub(super) recorded: Recorded,
    /// Frames that no trigger asked for.
    pub(super) untriggered: u64,
    /// How often the trigger fired; and what the memory held at the worst, nanoseconds, where that
    /// was too little.
    pub(super) trigger: Option<(u64, Option<i64>)>,
    /// What the interface itself has counted over the same time.
    pub(super) interface: LinkCounters,
    /// Every frame that reached the socket was read or counted as dropped.
    pub(super) drained: bool,
    pub(super) caplen_bytes: u64,
    pub(super) origlen_bytes: u64,
    /// What ended it in failure.
    pub(super) error: Option<anyhow::Error>,
}

impl Outcome {
    /// Frames that the interface had no room for, before any socket saw them.
    pub(super) fn interface_dropped(&self) -> u64 {
        self.interface.rx_dropped + self.interface.rx_missed
    }

    /// Frames that were not asked for.
    pub(super) fn filtered(&self) -> u64 {
        self.rx.filtered + self.untriggered
    }

    /// Every frame that came by, as far as anyone has counted.
    pub(super) fn seen(&self) -> u64 {
        self.rx.seen - self.past_end + self.interface_dropped()
    }

    /// `seen = written + filtered + dropped`, and nothing left in the ring.
    pub(super) fn balances(&self) -> bool {
        let dropped = self.rx.dropped + self.interface_dropped() + self.recorded.lost;
        self.drained && self.seen() == self.recorded.written + self.filtered() + dropped
    }
}

/// Nanoseconds since 1970.
pub(super) fn epoch_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// What the threads share.
struct Shared {
    taker: Mutex<Taker>,
    stop: AtomicBool,
    /// What workers have to say to the thread that looks.
    news: Mutex<Vec<News>>,
    looker: Thread,
    told: Vec<Mutex<Told>>,
    wait_for_interface: bool,
}

enum News {
    Link(LinkChange),
    Failed(ListenError),
    /// No more frames are wanted.
    Done,
}

/// What a worker counted when it told so last.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    rx: RxCounts,
    fill: Option<(usize, usize)>,
}

/// What a worker came to.
struct Worked {
    rx: RxCounts,
    drained: bool,
    error: Option<ListenError>,
}

/// A poisoned lock means that another thread panicked: the numbers then do not add up, which is
/// found at the end.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn say(&self, news: News) {
        lock(&self.news).push(news);
        self.looker.unpark();
    }

    /// One worker, from the first frame to the last.
    fn work(&self, number: usize, rx: &mut dyn Listen) -> Worked {
        if let Err(error) = self.listen(number, rx) {
            self.say(News::Failed(error));
        }
        let (drained, error) = match self.finish(rx) {
            Ok(drained) => (drained, None),
            Err(error) => (false, Some(error)),
        };
        Worked { rx: rx.counts().unwrap_or_default(), drained, error }
    }

    fn listen(&self, number: usize, rx: &mut dyn Listen) -> Result<(), ListenError> {
        let mut told = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            match rx.poll(PATIENCE)? {
                Wake::Frames => {
                    // so many at once that the look at the clock costs nothing
                    for _ in 0..16 {
                        if !self.take(rx)? {
                            break;
                        }
                    }
                }
                Wake::Nothing => {}
                Wake::Link(change) => {
                    let gone = change == LinkChange::Gone && !self.wait_for_interface;
                    // every worker sees it
                    if number == 0 {
                        self.say(News::Link(change));
                    }
                    if gone {
                        return Ok(());
                    }
                }
            }
            if told.elapsed() >= TELL {
                told = Instant::now();
                if let Some(slot) = self.told.get(number) {
                    *lock(slot) = Told { rx: rx.counts()?, fill: rx.fill() };
                }
            }
        }
        Ok(())
    }

    /// `false`: no more are there, or wanted.
    fn take(&self, rx: &mut dyn Listen) -> Result<bool, ListenError> {
        let mut taker = lock(&self.taker);
        if taker.left == 0 {
            drop(taker);
            thread::park_timeout(PATIENCE); // the end is coming
            return Ok(false);
        }
        let read = rx.read(&mut |frame| taker.take(frame))?;
        if read > 0 {
            taker.newest = Instant::now();
        }
        if taker.done().is_some() {
            self.say(News::Done);
            return Ok(false);
        }
        Ok(read > 0)
    }

    /// Nothing new from here on; what the kernel still holds came before and is kept.
    fn finish(&self, rx: &mut dyn Listen) -> Result<bool, ListenError> {
        rx.stop()?;
        rx.drain(DRAIN, &mut |frame| lock(&self.taker).take(frame))
    }

    fn told(&self) -> Told {
        let mut sum = Told::default();
        for told in &self.told {
            let told = *lock(told);
            sum.rx = sum.rx.plus(&told.rx);
            sum.fill = match (sum.fill, told.fill) {
                (Some((a, b)), Some((c, d))) => Some((a + c, b + d)),
                (fill, None) | (None, fill) => fill,
            };
        }
        sum
    }
}

/// The thread that looks.
struct Look<'a> {
    args: &'a Args,
    shared: &'a Shared,
    conditions: &'a Conditions,
    signals: &'a Signals,
    begun: Instant,
    before: LinkCounters,
    interface: LinkCounters,
    index: u32,
    error: Option<anyhow::Error>,
}

/// Captures until something ends it.
pub(super) fn run(
    args: &Args,
    mut listeners: Vec<Box<dyn Listen>>,
    taker: Taker,
    conditions: &Conditions,
    signals: &Signals,
    mut view: View,
) -> anyhow::Result<Outcome> {
    let Some(first) = listeners.first() else { anyhow::bail!("nothing to listen to") };
    let link = first.link().clone();
    let (way, copies) = (first.way(), first.copies() + taker.copies());
    let counts_refused = first.counts_refused();
    let workers = listeners.len();
    let shared = Shared {
        taker: Mutex::new(taker),
        stop: AtomicBool::new(false),
        news: Mutex::default(),
        looker: thread::current(),
        told: listeners.iter().map(|_| Mutex::default()).collect(),
        wait_for_interface: args.wait_for_interface,
    };
    let mut look = Look {
        args,
        shared: &shared,
        conditions,
        signals,
        begun: Instant::now(),
        before: link.counters,
        interface: LinkCounters::default(),
        index: link.index,
        error: None,
    };
    let mut trouble = Trouble::default();
    let (ended, worked) = thread::scope(|scope| {
        let running: Vec<_> = listeners
            .iter_mut()
            .enumerate()
            .map(|(number, rx)| {
                let shared = &shared;
                scope.spawn(move || shared.work(number, rx.as_mut()))
            })
            .collect();
        let ended = look.until_the_end(&mut trouble, &mut view);
        shared.stop.store(true, Ordering::Relaxed);
        for worker in &running {
            worker.thread().unpark();
        }
        let worked: Vec<_> = running.into_iter().map(thread::ScopedJoinHandle::join).collect();
        (ended, worked)
    });
    view.clear();
    let seconds = look.begun.elapsed().as_secs_f64();
    let (rx, drained) = look.sum(worked)?;
    look.count_interface();
    let Look { interface, error, .. } = look;
    let mut taker = shared.taker.into_inner().unwrap_or_else(PoisonError::into_inner);
    taker.finish();
    taker.recorder.set_counters(counters(&rx, &interface));
    let recorded = taker.recorder.finish(epoch_ns());
    trouble.look(&mut taker.recorder);
    Ok(Outcome {
        ended,
        seconds,
        way,
        workers,
        counts_refused,
        copies,
        rx,
        past_end: taker.past_end,
        recorded,
        untriggered: taker.untriggered(),
        trigger: taker.trigger.as_ref().map(|trigger| (trigger.fired, trigger.short_ns)),
        interface,
        drained,
        caplen_bytes: taker.caplen_bytes,
        origlen_bytes: taker.origlen_bytes,
        error: error.or_else(|| trouble.into_error()),
    })
}

impl Look<'_> {
    /// What all workers counted, and whether each of them came to its end.
    fn sum(&mut self, all: Vec<thread::Result<Worked>>) -> anyhow::Result<(RxCounts, bool)> {
        let (mut rx, mut drained) = (RxCounts::default(), true);
        for worked in all {
            let Ok(worked) = worked else { anyhow::bail!("a worker panicked") };
            rx = rx.plus(&worked.rx);
            drained &= worked.drained;
            self.error = self.error.take().or(worked.error.map(Into::into));
        }
        Ok((rx, drained))
    }

    fn until_the_end(&mut self, trouble: &mut Trouble, view: &mut View) -> Ended {
        let mut ticked = Instant::now();
        loop {
            if let Some(ended) = self.ends() {
                return ended;
            }
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                self.tick(trouble, view);
            }
            thread::park_timeout(self.conditions.patience(self.begun).min(LOOK));
        }
    }

    fn ends(&mut self) -> Option<Ended> {
        let news = std::mem::take(&mut *lock(&self.shared.news));
        let mut ended = self.signals.came();
        for news in news {
            match news {
                News::Done => {}
                News::Failed(error) => {
                    self.error.get_or_insert(error.into());
                    ended = Some(Ended::Failed);
                }
                News::Link(change) => {
                    self.note(&change);
                    if change == LinkChange::Gone && !self.args.wait_for_interface {
                        ended = Some(Ended::InterfaceGone);
                    }
                }
            }
        }
        let taker = lock(&self.shared.taker);
        let recorded = taker.recorder.recorded();
        let finished = recorded.files.saturating_sub(1);
        ended
            .or_else(|| taker.done())
            .or_else(|| self.conditions.met(self.begun, taker.newest, recorded.bytes, finished))
    }

    fn tick(&mut self, trouble: &mut Trouble, view: &mut View) {
        self.count_interface();
        let Told { rx, fill } = self.shared.told();
        let mut taker = lock(&self.shared.taker);
        taker.recorder.set_counters(counters(&rx, &self.interface));
        taker.recorder.tick();
        trouble.look(&mut taker.recorder);
        let shot = Shot {
            elapsed: self.begun.elapsed(),
            rx,
            recorded: taker.recorder.recorded(),
            untriggered: taker.untriggered(),
            interface: self.interface,
            ring: fill,
            heard_bytes: taker.heard_bytes,
            talkers: taker.talkers.as_mut().map(|talkers| talkers.top(TALKERS)).unwrap_or_default(),
        };
        drop(taker);
        view.show(shot);
    }

    fn count_interface(&mut self) {
        if let Ok(Some(link)) = link::by_index(self.index) {
            self.interface = link.counters.since(&self.before);
        }
    }

    fn note(&mut self, change: &LinkChange) {
        let name = &self.args.interface;
        let text = match change {
            LinkChange::Down => format!("{name} went down; waiting for it to come up"),
            LinkChange::Up => format!("{name} is up again"),
            LinkChange::Renamed { from, to } => format!("{from} is called {to} now"),
            LinkChange::Gone if self.args.wait_for_interface => {
                format!("{name} is gone; waiting for one of that name")
            }
            LinkChange::Gone => format!("{name} is gone"),
            LinkChange::Back => {
                // another device, with counters of its own
                if let Ok(link) = link::by_name(name) {
                    (self.index, self.before) = (link.index, link.counters);
                }
                format!("{name} is there again")
            }
        };
        talk(&format!("framewalk: {text}"));
        lock(&self.shared.taker).recorder.note(epoch_ns(), &text);
    }
}

/// For the file: what pcapng has a field for (4.6).
fn counters(rx: &RxCounts, interface: &LinkCounters) -> InterfaceCounters {
    let missed = interface.rx_dropped + interface.rx_missed;
    InterfaceCounters {
        received: Some(rx.seen + missed),
        dropped: Some(missed),
        filter_accepted: Some(rx.seen.saturating_sub(rx.filtered)),
        os_dropped: Some(rx.dropped),
        delivered: Some(rx.read.saturating_sub(rx.filtered)),
    }
}

/// What the disk said, told once for as long as it lasts.
#[derive(Default)]
struct Trouble {
    first: Option<anyhow::Error>,
    told: Option<Instant>,
}

/// Not told again for so long.
const TELL_EVERY: Duration = Duration::from_secs(10);

impl Trouble {
    fn look(&mut self, recorder: &mut Recorder) {
        let Some(error) = recorder.take_trouble() else { return };
        let lost = recorder.recorded().lost;
        if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            self.told = Some(Instant::now());
            let error = anyhow::Error::new(error);
            talk(&format!(
                "framewalk: {}; {} frames lost at the disk so far; capture goes on, and writes \
                 again when there is room",
                crate::exit::chain_text(&error),
                crate::term::grouped(lost)
            ));
            self.first.get_or_insert(error);
        }
    }

    fn into_error(self) -> Option<anyhow::Error> {
        self.first
    }
}
