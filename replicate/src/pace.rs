//! When a push may go on: bandwidth, hours, the load of others.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;

/// Load is looked at so often.
const LOOK: Duration = Duration::from_millis(200);
/// A pause for others' sake lasts no longer: a machine that is always busy is backed up too.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// After such a pause the push goes on for so long, whatever the load.
const TURN: Duration = Duration::from_secs(5);

/// Hours of the day, local time, in which a push may run; over midnight if the second is smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Between {
    from: u32,
    to: u32,
}

impl Between {
    /// From `HH:MM-HH:MM`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let minute = |text: &str| {
            let (hours, minutes) = text.split_once(':')?;
            let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
            (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
        };
        let both = text.split_once('-').and_then(|(from, to)| Some((minute(from)?, minute(to)?)));
        match both {
            Some((from, to)) if from != to => Ok(Self { from: from * 60, to: to * 60 }),
            _ => Err(Error::Request(format!("{text} is no range of hours such as 19:00-06:00"))),
        }
    }

    /// Seconds until it may run, at a second of the day; 0: now.
    fn wait(self, second: u32) -> u32 {
        let open = if self.from < self.to {
            (self.from..self.to).contains(&second)
        } else {
            second >= self.from || second < self.to
        };
        if open { 0 } else { (self.from + 86_400 - second) % 86_400 }
    }
}

/// What a push is held to.
#[derive(Debug, Default)]
pub struct Pace {
    /// Bytes put a second, on average; in bursts of a segment.
    pub limit: Option<u64>,
    /// Hours outside of which it pauses.
    pub between: Option<Between>,
    /// It pauses while others keep half of the cores busy, or wait for disks.
    pub yield_to_load: bool,
    /// Hears why it waits, when a pause for its hours begins.
    pub on_wait: Option<fn(&str)>,
    state: Mutex<State>,
    waited: [AtomicU64; 3],
    stop: OnceLock<Arc<AtomicBool>>,
}

#[derive(Debug, Default)]
struct State {
    /// When what was put so far has been paid for.
    paid: Option<Instant>,
    load: f64,
    looked: Option<Instant>,
    /// Runs until then, whatever the load.
    turn: Option<Instant>,
}

/// Reasons to wait.
const WAITS: [&str; 3] = ["limit", "hours", "load"];

impl Pace {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Once this is set nothing is waited for any more: the push is about to end.
    pub(crate) fn heed(&self, stop: &Arc<AtomicBool>) {
        // set already: this is the next push at the same pace, with the same end
        let _ = self.stop.set(Arc::clone(stop));
    }

    /// Sleeps, unless the push is to end. False then.
    fn sleep(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            if self.stop.get().is_some_and(|stop| stop.load(Ordering::SeqCst)) {
                return false;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(LOOK));
        }
    }

    fn waited_for(&self, which: usize, since: Instant) {
        self.waited[which].fetch_add(since.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }

    /// Held to these; `None` and `false` hold nothing.
    pub fn new(
        limit: Option<u64>,
        between: Option<Between>,
        yield_to_load: bool,
        on_wait: Option<fn(&str)>,
    ) -> Self {
        Self { limit, between, yield_to_load, on_wait, ..Self::default() }
    }

    /// Seconds waited, by reason: limit, hours, load.
    pub fn waited(&self) -> Vec<(&'static str, f64)> {
        let seconds = |n: &AtomicU64| n.load(Ordering::Relaxed) as f64 / 1e9;
        WAITS.into_iter().zip(self.waited.iter().map(seconds)).collect()
    }

    /// Waits until so many more bytes may be put.
    pub(crate) fn put(&self, bytes: u64) {
        let Some(limit) = self.limit else { return };
        let begin = Instant::now();
        let until = {
            let mut state = self.state();
            let from = state.paid.map_or(begin, |paid| paid.max(begin));
            state.paid = Some(from + Duration::from_secs_f64(bytes as f64 / limit.max(1) as f64));
            from
        };
        self.sleep(until.saturating_duration_since(begin));
        self.waited_for(0, begin);
    }

    /// Waits while it is not the time, or others need the machine.
    pub fn go_on(&self) {
        if let Some(between) = self.between {
            self.hours(between);
        }
        if self.yield_to_load {
            self.load();
        }
    }

    fn hours(&self, between: Between) {
        let begin = Instant::now();
        let mut said = false;
        loop {
            let now = jiff::Zoned::now();
            let (hour, minute) = (now.hour() as u32, now.minute() as u32);
            let wait = between.wait(hour * 3600 + minute * 60 + now.second() as u32);
            if wait == 0 {
                break;
            }
            if !said && let Some(say) = self.on_wait {
                let (hour, minute) = (between.from / 3600, between.from / 60 % 60);
                say(&format!("paused: outside its hours, goes on at {hour:02}:{minute:02}"));
                said = true;
            }
            // clocks are set, and summer time comes and goes
            if !self.sleep(Duration::from_secs(u64::from(wait.min(20)))) {
                break;
            }
        }
        if said {
            self.waited_for(1, begin);
        }
    }

    fn load(&self) {
        let begin = Instant::now();
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let most = 0.8 * (cores as f64 / 2.0).max(1.0);
        {
            let mut state = self.state();
            let early = state.looked.is_some_and(|looked| looked.elapsed() < LOOK);
            if early || state.turn.is_some_and(|turn| turn > begin) {
                return;
            }
            state.look();
            if state.load < most {
                return;
            }
        }
        loop {
            if !self.sleep(LOOK) {
                break;
            }
            let mut state = self.state();
            state.look();
            if begin.elapsed() >= PAUSE_MAX {
                state.turn = Some(Instant::now() + TURN);
                break;
            }
            if state.load < most / 2.0 {
                break;
            }
        }
        self.waited_for(2, begin);
    }
}

impl State {
    /// A sample of what others run or wait for disks, into the average.
    fn look(&mut self) {
        self.looked = Some(Instant::now());
        let others = others().unwrap_or(0.0);
        self.load = 0.7 * self.load + 0.3 * others;
    }
}

/// Tasks of others that run or want to, or wait for disks, now (proc(5): `procs_running` and
/// `procs_blocked` of `/proc/stat`, less this process's own threads in state R or D).
fn others() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let number = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse::<f64>().ok()
    };
    let all = number("procs_running ")? + number("procs_blocked ")?;
    let mut own = 0;
    for task in fs::read_dir("/proc/self/task").ok()?.flatten() {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        // the name in parentheses may hold anything, parentheses too
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.bytes().next());
        own += i32::from(matches!(state, Some(b'R' | b'D')));
    }
    Some((all - f64::from(own)).max(0.0))
}

/// Lets others go first where the processor is concerned: the lowest priority, for this thread
/// and those that it starts.
pub fn step_back() -> Result<(), Error> {
    rustix::process::setpriority_process(None, 19)
        .map_err(|e| Error::Request(format!("the priority cannot be lowered: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_of_the_day() {
        let night = Between::parse("19:00-06:00").unwrap();
        let at = |between: Between, hour: u32, minute: u32| between.wait(hour * 3600 + minute * 60);
        assert_eq!((at(night, 19, 0), at(night, 23, 59), at(night, 5, 59)), (0, 0, 0));
        assert_eq!((at(night, 6, 0), at(night, 18, 59)), (13 * 3600, 60));
        let noon = Between::parse("12:00-13:30").unwrap();
        assert_eq!((at(noon, 13, 29), at(noon, 13, 30)), (0, 22 * 3600 + 1800));
        assert_eq!(at(noon, 11, 0), 3600);
        for bad in ["", "19:00", "19:00-19:00", "24:00-06:00", "19:60-06:00", "a:b-c:d", "19-06"] {
            assert!(Between::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_limit_is_kept_on_average() {
        let pace = Pace { limit: Some(10_000_000), ..Pace::default() };
        let begin = Instant::now();
        for _ in 0..4 {
            pace.put(1_000_000);
        }
        // the fourth waits for the three before it
        let took = begin.elapsed().as_secs_f64();
        assert!((0.3..1.5).contains(&took), "{took}");
        assert!((pace.waited()[0].1 - took).abs() < 0.05, "{:?}", pace.waited());
        Pace::default().put(u64::MAX);
    }

    #[test]
    fn the_load_of_others_is_seen_and_our_own_is_not() {
        if others().is_none() {
            println!("skipped: no /proc/stat");
            return;
        }
        let stop = std::sync::atomic::AtomicBool::new(false);
        let least = |samples: usize| {
            let sample = |_| {
                std::thread::sleep(Duration::from_millis(5));
                others().unwrap()
            };
            (0..samples).map(sample).fold(f64::MAX, f64::min)
        };
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            // sixteen spinning threads of our own are none of others'
            let own = least(40);
            stop.store(true, Ordering::Relaxed);
            assert!(own < 12.0, "{own}");
        });
        let mut busy: Vec<_> = (0..6)
            .map(|_| {
                let mut command = std::process::Command::new("sh");
                command.args(["-c", "while :; do :; done"]).spawn().unwrap()
            })
            .collect();
        std::thread::sleep(Duration::from_millis(100));
        let theirs = least(10);
        for child in &mut busy {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert!(theirs >= 5.0, "{theirs}");
    }
}
