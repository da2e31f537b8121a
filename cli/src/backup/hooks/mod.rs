//! What is done before and after a push, so that it reads something consistent: commands of the
//! user, nbackup's lock, SQLite's backup. What was begun is undone, however the push ends.

mod firebird;
mod process;
mod sqlite;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, bail};
use replicate::push::{Hooked, Report};

use crate::walk::talk;
use process::Limits;

/// What the databases' own programs are asked to do.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(id = "hooks")]
pub struct Args {
    /// A shell command to run first; unless it exits with 0, nothing is pushed
    #[arg(long, value_name = "COMMAND", help_heading = "Hooks")]
    pub pre: Option<String>,
    /// A shell command to run at the end, whatever happened before: `FRAMEWALK_OUTCOME` tells
    #[arg(long, value_name = "COMMAND", help_heading = "Hooks")]
    pub post: Option<String>,
    /// Hold this Firebird database still with nbackup's lock while it is read, and check a copy of
    /// it (repeatable). FILE or localhost:FILE; the log-on is in `ISC_USER` and `ISC_PASSWORD`
    #[arg(long, value_name = "DB", help_heading = "Hooks")]
    pub firebird: Vec<String>,
    /// Store a copy of this SQLite database that SQLite made, its log included (repeatable)
    #[arg(long, value_name = "DB", help_heading = "Hooks")]
    pub sqlite: Vec<PathBuf>,
    /// Where copies are made, unencrypted, readable by you alone [default: beside the digests]
    #[arg(long, value_name = "DIR", help_heading = "Hooks")]
    pub scratch: Option<PathBuf>,
    /// Do not check databases: no copy of a Firebird database, no `PRAGMA integrity_check`
    #[arg(long, help_heading = "Hooks")]
    pub no_check: bool,
    /// Each command of a hook is ended after so long
    #[arg(long, value_name = "SECONDS", default_value_t = 600, help_heading = "Hooks")]
    pub hook_timeout: u64,
}

impl Args {
    fn is_empty(&self) -> bool {
        let Self { pre, post, firebird, sqlite, .. } = self;
        pre.is_none() && post.is_none() && firebird.is_empty() && sqlite.is_empty()
    }
}

/// Where a hook may work.
#[derive(Debug)]
struct Place {
    /// For copies.
    scratch: PathBuf,
    /// Notes of locks that are held.
    locks: PathBuf,
    check: bool,
    timeout: Duration,
}

/// Something that has to be undone.
trait Undo {
    /// Undoes it; the error says what is still to be done by hand.
    fn undo(&mut self) -> anyhow::Result<()>;
}

/// What has been begun, undone in the opposite order: at the latest when this goes.
#[derive(Default)]
struct Begun(Vec<Box<dyn Undo>>);

impl Begun {
    fn undo(&mut self) -> anyhow::Result<()> {
        let mut first = Ok(());
        while let Some(mut begun) = self.0.pop() {
            if let Err(e) = begun.undo() {
                if first.is_ok() {
                    first = Err(e);
                } else {
                    talk(&format!("{e:#}"));
                }
            }
        }
        first
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Err(e) = self.undo() {
            talk(&format!("{e:#}"));
        }
    }
}

/// What a push is told by its hooks.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// The paths, databases of hooks among them.
    pub(super) paths: Vec<PathBuf>,
    pub(super) hooked: Vec<Hooked>,
    pub(super) stop: Option<Arc<AtomicBool>>,
}

/// Runs `push` between its hooks.
pub(super) fn around(
    args: &Args,
    paths: &[PathBuf],
    state: &Path,
    repo: &Path,
    push: impl FnOnce(Ready) -> anyhow::Result<Report>,
) -> anyhow::Result<Report> {
    if args.is_empty() {
        return push(Ready { paths: paths.to_vec(), ..Ready::default() });
    }
    let stop = signals()?;
    let mut begun = Begun::default();
    let done = between(args, paths, state, repo, &stop, &mut begun, push);
    let undone = begun.undo();
    let after = post(args, paths, repo, &done);
    let report = done?;
    // the generation is there; what is left behind has to be told all the same
    let number = report.manifest.number;
    undone.and(after).with_context(|| format!("generation {number} was made, but"))?;
    Ok(report)
}

fn between(
    args: &Args,
    paths: &[PathBuf],
    state: &Path,
    repo: &Path,
    stop: &Arc<AtomicBool>,
    begun: &mut Begun,
    push: impl FnOnce(Ready) -> anyhow::Result<Report>,
) -> anyhow::Result<Report> {
    let timeout = Duration::from_secs(args.hook_timeout);
    if let Some(pre) = &args.pre {
        let env = environment(paths, repo);
        let ended = process::shell(pre, &env, Limits { timeout, stop: Some(stop) })?;
        if !ended.success() {
            bail!("the command of --pre failed ({ended}): nothing was pushed");
        }
    }
    let scratch = match &args.scratch {
        Some(dir) => dir.clone(),
        None => private(&state.join("scratch"))?,
    };
    let locks = private(&state.join("locks"))?;
    let place = Place { scratch, locks, check: !args.no_check, timeout };
    let mut ready =
        Ready { paths: paths.to_vec(), stop: Some(Arc::clone(stop)), ..Ready::default() };
    for name in &args.firebird {
        ready.hooked.push(firebird::hold(name, &place, stop, begun)?);
    }
    for path in &args.sqlite {
        ready.hooked.push(sqlite::copy(path, &place, stop, begun)?);
    }
    let real: Vec<_> = paths.iter().filter_map(|path| path.canonicalize().ok()).collect();
    for hooked in &ready.hooked {
        if !real.iter().any(|path| hooked.path.starts_with(path)) {
            ready.paths.push(hooked.path.clone());
        }
    }
    push(ready)
}

/// Makes a folder that nobody else can look into.
fn private(dir: &Path) -> anyhow::Result<PathBuf> {
    let mut builder = fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir.to_owned())
}

/// Set by the signals that ask a program to end: the push stops, and what was begun is undone.
fn signals() -> anyhow::Result<Arc<AtomicBool>> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("signals")?;
    }
    Ok(stop)
}

fn environment(paths: &[PathBuf], repo: &Path) -> Vec<(&'static str, String)> {
    let lines: Vec<_> = paths.iter().map(|path| path.to_string_lossy()).collect();
    vec![
        ("FRAMEWALK_PATHS", lines.join("\n")),
        ("FRAMEWALK_REPO", repo.to_string_lossy().into_owned()),
    ]
}

/// Runs the command of `--post`.
fn post(
    args: &Args,
    paths: &[PathBuf],
    repo: &Path,
    done: &anyhow::Result<Report>,
) -> anyhow::Result<()> {
    let Some(post) = &args.post else { return Ok(()) };
    let mut env = environment(paths, repo);
    match done {
        Ok(report) => {
            env.push(("FRAMEWALK_OUTCOME", "done".to_owned()));
            env.push(("FRAMEWALK_GENERATION", report.manifest.number.to_string()));
            let word = super::push::consistency(report.manifest.consistency);
            env.push(("FRAMEWALK_CONSISTENCY", word.to_owned()));
        }
        Err(e) => {
            env.push(("FRAMEWALK_OUTCOME", "failed".to_owned()));
            env.push(("FRAMEWALK_ERROR", format!("{e:#}")));
        }
    }
    let timeout = Duration::from_secs(args.hook_timeout);
    let ended = process::shell(post, &env, Limits { timeout, stop: None });
    let failed = match ended {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => anyhow::anyhow!("the command of --post failed ({status})"),
        Err(e) => e,
    };
    if done.is_err() {
        // the push's own error is the one that is returned
        talk(&format!("{failed:#}"));
        return Ok(());
    }
    Err(failed)
}

/// A copy's file, removed at the end.
struct Scratch(PathBuf);

impl Undo for Scratch {
    fn undo(&mut self) -> anyhow::Result<()> {
        let dir = &self.0;
        fs::remove_dir_all(dir).with_context(|| format!("a copy is left in {}", dir.display()))
    }
}

/// A folder for one copy; what a killed push left there goes first.
fn folder(place: &Place, database: &Path, begun: &mut Begun) -> anyhow::Result<PathBuf> {
    let dir = place.scratch.join(format!("framewalk-{}", id(database)));
    let _ = fs::remove_dir_all(&dir);
    private(&dir)?;
    begun.0.push(Box::new(Scratch(dir.clone())));
    Ok(dir)
}

/// A short name that only this path has.
fn id(path: &Path) -> String {
    use sha2::Digest;
    let hash = sha2::Sha256::digest(path.as_os_str().as_encoded_bytes());
    replicate::hex(&hash[..8])
}

/// `path` with `end` after its name.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(OsStr::new(end));
    name.into()
}

/// The first bytes of a file.
fn head(path: &Path) -> anyhow::Result<Vec<u8>> {
    use std::io::Read;
    let file = fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut head = Vec::new();
    file.take(4096).read_to_end(&mut head)?;
    Ok(head)
}

/// The modification time, nanoseconds since 1970.
fn mtime(path: &Path) -> anyhow::Result<i64> {
    use std::os::unix::fs::MetadataExt;
    let meta = fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    Ok(meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec()))
}
