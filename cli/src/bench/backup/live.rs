//! A Firebird database that is written to while pushes read it: what the writer loses, with push
//! after push and with a push every few minutes.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use benches::Spread;

use super::Args;
use super::board::{Board, Sample};
use super::firebird::{self, Env, Writer};
use crate::bench::process::{me, run};
use crate::bench::stop::Stop;

/// Push as the file is read, and with the database's own lock.
const KINDS: [&str; 2] = ["as read", "--firebird"];

/// How often who waits for the next push looks up.
const LOOK: Duration = Duration::from_millis(50);

/// A database, its writer, and how it is pushed.
struct Lab {
    folder: tempfile::TempDir,
    env: Env,
    base: String,
    writer: Writer,
    stop: Stop,
}

/// Commits of one stretch of time.
#[derive(Default)]
struct Stretch {
    seconds: f64,
    /// How long each took, milliseconds.
    took_ms: Vec<f64>,
    /// How many of them ended while a push ran.
    while_pushing: usize,
    /// Seconds of each push.
    pushes: Vec<f64>,
}

impl Stretch {
    /// Commits a second.
    fn rate(&self) -> f64 {
        self.took_ms.len() as f64 / self.seconds
    }

    /// Commits a second while pushes ran, and while none did.
    fn rates(&self) -> (f64, f64) {
        let pushing: f64 = self.pushes.iter().sum();
        let between = self.took_ms.len() - self.while_pushing;
        let of = |commits: usize, seconds: f64| commits as f64 / seconds.max(f64::MIN_POSITIVE);
        (of(self.while_pushing, pushing), of(between, self.seconds - pushing))
    }

    fn p99_ms(&self) -> f64 {
        let mut sorted = self.took_ms.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted[(sorted.len() * 99 / 100).min(sorted.len() - 1)]
    }

    /// Two stretches as one.
    fn and(mut self, other: Self) -> Self {
        self.seconds += other.seconds;
        self.took_ms.extend(other.took_ms);
        self.while_pushing += other.while_pushing;
        self.pushes.extend(other.pushes);
        self
    }

    fn sample(&self, what: &str, extra: Vec<(&'static str, String)>) -> Sample {
        let mut all = vec![("p99_commit_ms", format!("{:.2}", self.p99_ms()))];
        if !self.pushes.is_empty() {
            all.push(("pushes", self.pushes.len().to_string()));
            let push = Spread::new(self.pushes.clone()).median();
            all.push(("push_seconds", format!("{push:.2}")));
        }
        all.extend(extra);
        Sample {
            case: format!("live Firebird writer: {what}"),
            metric: "commits/s",
            figure: self.rate(),
            extra: all,
            ..Sample::default()
        }
    }
}

impl Lab {
    /// A database that was pushed once.
    fn new(args: &Args, stop: Stop) -> anyhow::Result<Self> {
        let place = args.dir.clone().unwrap_or_else(std::env::temp_dir);
        let folder = tempfile::Builder::new().prefix("framewalk-bench-").tempdir_in(&place)?;
        let env = firebird::engine(folder.path())?;
        let base = folder.path().join("practice.fdb");
        firebird::fill(&base, &env)?;
        let writer = Writer::new(&base, &env)?;
        let base = base.to_str().context("a name that is no text")?.to_owned();
        let lab = Self { folder, env, base, writer, stop };
        run(&mut Pusher::of(&lab).command(&["init", "repository"])?)?;
        Pusher::of(&lab).push(0)?;
        Ok(lab)
    }

    /// Commits for `length`, and until a push that runs then has ended. `kind`: beside pushes, one
    /// every so long, or at once where the one before took longer.
    fn stretch(
        &mut self,
        kind: Option<usize>,
        every: Duration,
        length: Duration,
    ) -> anyhow::Result<Stretch> {
        let (begin, pushing) = (Instant::now(), AtomicBool::new(false));
        let (pusher, stop) = (Pusher::of(self), self.stop.clone());
        // whoever fails ends the other
        let failed = AtomicBool::new(false);
        let going = || !failed.load(Ordering::Relaxed) && stop.check().is_ok();
        let pushes = || -> anyhow::Result<Vec<f64>> {
            let (mut took, mut due) = (Vec::new(), begin);
            while let Some(kind) = kind.filter(|_| due < begin + length && going()) {
                let wait = due.saturating_duration_since(Instant::now());
                if !wait.is_zero() {
                    std::thread::sleep(wait.min(LOOK));
                    continue;
                }
                pushing.store(true, Ordering::Relaxed);
                let pushed = pusher.push(kind);
                pushing.store(false, Ordering::Relaxed);
                took.push(pushed.inspect_err(|_| failed.store(true, Ordering::Relaxed))?);
                due = (due + every).max(Instant::now());
            }
            Ok(took)
        };
        let mut stretch = Stretch::default();
        std::thread::scope(|scope| -> anyhow::Result<()> {
            let pushes = scope.spawn(pushes);
            while going() && (begin.elapsed() < length || !pushes.is_finished()) {
                let one = Instant::now();
                let committed = self.writer.commit();
                committed.inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
                stretch.took_ms.push(one.elapsed().as_secs_f64() * 1e3);
                stretch.while_pushing += usize::from(pushing.load(Ordering::Relaxed));
            }
            stretch.seconds = begin.elapsed().as_secs_f64();
            let pushes = pushes.join().map_err(|_| anyhow::anyhow!("pushing panicked"))?;
            stretch.pushes = pushes?;
            Ok(())
        })?;
        stop.check()?;
        ensure!(!stretch.took_ms.is_empty(), "no commit in {length:?}");
        Ok(stretch)
    }
}

/// The commands of pushing.
#[derive(Clone)]
struct Pusher {
    folder: PathBuf,
    env: Env,
    base: String,
}

impl Pusher {
    fn of(lab: &Lab) -> Self {
        let (folder, env) = (lab.folder.path().to_owned(), lab.env.clone());
        Self { folder, env, base: lab.base.clone() }
    }

    fn command(&self, what: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(me()?);
        command.arg("backup").args(what).current_dir(&self.folder);
        command.args(["--key-dir", "keys"]).envs(self.env.iter().cloned());
        command.stdout(Stdio::piped());
        Ok(command)
    }

    /// Pushes as [`KINDS`] says; seconds.
    fn push(&self, kind: usize) -> anyhow::Result<f64> {
        let push = ["push", "--repo", "repository", "--state", "state", "--json"];
        let hook = (kind == 1).then_some("--firebird");
        let args: Vec<_> = push.into_iter().chain(hook).chain([&*self.base]).collect();
        Ok(run(&mut self.command(&args)?)?.seconds)
    }
}

/// How many percent `less` is less than `more`.
fn fewer(less: f64, more: f64) -> String {
    format!("{:.2}", (1.0 - less / more) * 100.0)
}

/// The writer alone, with push after push, and with a push every so often.
pub(super) fn measure(args: &Args, board: &mut Board<'_>) -> anyhow::Result<()> {
    board.now("making the database")?;
    let mut lab = Lab::new(args, board.stop().clone())?;
    let length = Duration::from_secs_f64(args.timing.seconds.max(5.0));
    let mut alone = Vec::new();
    for nth in 0..args.timing.runs {
        board.run(nth, args.timing.runs);
        board.now("a live writer, no push")?;
        let without = lab.stretch(None, Duration::ZERO, length)?;
        board.add(without.sample("no push", Vec::new()))?;
        alone.push(without.rate());
        for (kind, how) in KINDS.iter().enumerate() {
            board.now(&format!("a live writer, push after push, {how}"))?;
            let with = lab.stretch(Some(kind), Duration::ZERO, length)?;
            let fewer = fewer(with.rate(), Spread::new(alone.clone()).median());
            let extra = vec![("fewer_percent", fewer)];
            board.add(with.sample(&format!("push after push, {how}"), extra))?;
        }
    }
    every(args, &mut lab, board)
}

/// Whole periods with one push each, between two halves of as much time without one, so that a
/// machine that becomes slower is not taken for a push. Once: a period is long.
fn every(args: &Args, lab: &mut Lab, board: &mut Board<'_>) -> anyhow::Result<()> {
    let every = Duration::from_secs(args.every);
    let periods = (args.timing.seconds / args.every as f64).ceil().clamp(1.0, 1e6) as u32;
    let length = every * periods;
    board.run(0, 1);
    for (kind, how) in KINDS.iter().enumerate() {
        let what = format!("a push every {} s, {how}", args.every);
        board.now(&format!("a live writer, {what}: {} s in all", 2 * length.as_secs()))?;
        let before = lab.stretch(None, every, length / 2)?;
        let with = lab.stretch(Some(kind), every, length)?;
        let without = lab.stretch(None, every, length / 2)?.and(before);
        let (pushing, between) = with.rates();
        let extra = vec![
            ("seconds", format!("{:.0}", with.seconds)),
            ("fewer_percent", fewer(with.rate(), without.rate())),
            ("without_a_push", format!("{:.1}", without.rate())),
            ("without_a_push_p99_ms", format!("{:.2}", without.p99_ms())),
            ("while_pushing", format!("{pushing:.1}")),
            ("between_pushes", format!("{between:.1}")),
        ];
        board.add(with.sample(&what, extra))?;
    }
    Ok(())
}
