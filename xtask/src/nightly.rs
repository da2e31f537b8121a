//! `cargo xtask nightly`: what takes minutes to hours, part by part, with a row for each part in a
//! report that is kept: when, at which commit, with what result.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{bench, fuzz, machine, memcheck, packages, sh, stamps, suite};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only these parts (repeatable, or separated by commas)
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<Part>,
    #[command(flatten)]
    fuzz: fuzz::Args,
    /// A capture for `bench inspect` to read (default: pcaps/practice.pcapng)
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Install missing Debian packages first, with apt-get, as root
    #[arg(long)]
    install: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The tests ignored as `nightly`: full cut and flip sweeps
    Sweeps,
    /// The arena, the rings and the path's ledger under valgrind
    Memcheck,
    /// What wakes threads of a stream, in every order of memory, by loom
    Models,
    /// Instructions per frame with tracing off against a build without its calls
    Stamps,
    /// Every fuzz target
    Fuzz,
    /// The benches, peers beside them
    Bench,
    /// The backup's benches, beside rsync, restic and borg
    Backup,
    /// Backups killed and cut off at 200 random moments of each kind
    Kills,
    /// The database trap as a matrix, as root, with rsync, restic and borg beside it
    Trap,
    /// The lab's whole practice of real software, as root; see `cargo xtask lab --help`
    Practice,
}

/// What came of the parts that ran.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: String,
    failed: Vec<String>,
    skipped: Vec<String>,
}

/// How a part ended when it did not fail.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Done, with a line for the report.
    Done(String),
    /// This machine lacks something, which the line names.
    Skipped(String),
}

impl Report {
    pub(crate) fn part(
        &mut self,
        name: &str,
        work: impl FnOnce() -> Result<Outcome>,
    ) -> Result<()> {
        let (begun, started) = (Instant::now(), machine::now());
        let text = match work() {
            Ok(Outcome::Done(text)) => text,
            Ok(Outcome::Skipped(why)) => {
                eprintln!("skipped: {name}: {why}");
                self.skipped.push(name.to_owned());
                format!("skipped: {why}")
            }
            Err(error) => {
                let text = format!("FAILED: {error:#}");
                eprintln!("xtask: {name}: {text}");
                self.failed.push(name.to_owned());
                text
            }
        };
        let text = text.replace('|', "\\|").replace('\n', " ");
        let (commit, seconds) = (machine::commit(), begun.elapsed().as_secs());
        let _ = writeln!(self.rows, "| {started} | {commit} | {name} | {text} | {seconds} |");
        // after each part: a run that is stopped keeps what it has done
        let rows = std::mem::take(&mut self.rows);
        keep(&rows)
    }

    /// What was skipped, and an error if something failed.
    pub(crate) fn verdict(&self) -> Result<()> {
        if !self.skipped.is_empty() {
            println!("skipped: {}", self.skipped.join(", "));
        }
        if self.failed.is_empty() {
            return Ok(());
        }
        bail!("failed: {}", self.failed.join(", "))
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.install {
        packages::install_missing()?;
        if !sh::has("valgrind") {
            packages::install("valgrind");
        }
    }
    let mut report = Report::default();
    let chosen = |part: Part| args.only.is_empty() || args.only.contains(&part);
    if chosen(Part::Sweeps) {
        report.part("sweeps", sweeps)?;
    }
    if chosen(Part::Memcheck) {
        report.part("memcheck", memcheck::run)?;
    }
    if chosen(Part::Models) {
        report.part("models", models)?;
    }
    if chosen(Part::Stamps) {
        report.part("stamps", stamps::run)?;
    }
    if chosen(Part::Fuzz) {
        fuzz::all(&args.fuzz, &mut report)?;
    }
    if chosen(Part::Bench) {
        let file = args.file.clone().unwrap_or_else(|| "pcaps/practice.pcapng".into());
        report.part("bench", || {
            let rows = bench::measure(&sh::release_framewalk()?, &std::path::absolute(&file)?)?;
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            bench::keep(&rows, "cargo xtask nightly", &name)?;
            Ok(Outcome::Done(format!("{} rows, in README.md beside this file", rows.len())))
        })?;
    }
    if chosen(Part::Backup) {
        report.part("backup", || {
            let rows = bench::measure_backup(&sh::release_framewalk()?)?;
            bench::keep_backup(&rows, "cargo xtask nightly --only backup")?;
            Ok(Outcome::Done(format!("{} rows, in backup.md beside this file", rows.len())))
        })?;
    }
    if chosen(Part::Kills) {
        report.part("kills", kills)?;
    }
    if chosen(Part::Trap) {
        report.part("trap", || trap(args.install))?;
    }
    if chosen(Part::Practice) {
        report.part("practice", || practice(args.install))?;
    }
    report.verdict()
}

/// Appends rows to today's report on this machine, which begins with the machine.
fn keep(rows: &str) -> Result<()> {
    let file = bench::folder()?.join("nightly.md");
    let mut text = fs::read_to_string(&file).unwrap_or_default();
    if text.is_empty() {
        text = format!(
            "# Nightly parts of {}\n\nCommand: `cargo xtask nightly`.\n\n{}\n\
             | begun (UTC) | commit | part | result | seconds |\n\
             | --- | --- | --- | --- | --- |\n",
            machine::today(),
            machine::facts()?
        );
    }
    text.push_str(rows);
    fs::write(&file, text).with_context(|| file.display().to_string())?;
    println!("report: {}", file.display());
    Ok(())
}

fn sweeps() -> Result<Outcome> {
    let mut packages = BTreeSet::new();
    for test in suite::ignored_tests()?.iter().filter(|test| test.name.contains("nightly")) {
        packages.insert(package_of(&test.file)?);
    }
    if packages.is_empty() {
        bail!("no test is marked `nightly`");
    }
    let mut cargo = sh::cargo(&["test", "--release", "--no-fail-fast"]);
    cargo.args(packages.iter().map(|package| format!("--package={package}")));
    if packages.contains("framewalk") {
        cargo.args(packages::libpcap_features(&["framewalk/libpcap"]));
    }
    // one at a time and not captured: they print what they did, and watch their memory
    cargo.args(["--", "--ignored", "--nocapture", "--test-threads=1", "nightly"]);
    let mut said = Vec::new();
    let (succeeded, totals) = suite::tee_totals(&mut cargo, |line| {
        said.extend(figure(line));
    })?;
    if !succeeded {
        bail!("{} of {} tests", totals.failed, totals.failed + totals.passed);
    }
    said.insert(0, format!("{} tests passed", totals.passed));
    Ok(Outcome::Done(said.join("; ")))
}

/// What a test printed for the report.
fn figure(line: &str) -> Option<String> {
    // a test's name stands before the first thing it prints
    let line = line.rsplit(" ... ").next().unwrap_or(line);
    let kept = ["peak memory: ", "kills: ", "skipped: "];
    let sweep = line.strip_prefix("sweep: ");
    sweep.or_else(|| kept.iter().any(|kept| line.starts_with(kept)).then_some(line)).map(Into::into)
}

/// The tests that run as models.
fn models() -> Result<Outcome> {
    let mut cargo = sh::cargo(&["test", "--release", "--package=framewalk-pipeline", "--lib"]);
    cargo.args(["--features=loom", "model_"]);
    let (succeeded, totals) = suite::tee_totals(&mut cargo, |_| {})?;
    if !succeeded || totals.passed == 0 {
        bail!("{} of {} models", totals.failed, totals.failed + totals.passed);
    }
    Ok(Outcome::Done(format!("{} models, no order in which a ring is lost", totals.passed)))
}

/// Moments at which `kills` ends what runs, of each kind.
const KILLS: &str = "200";

/// Pushes, prunes and servers killed, connections cut.
fn kills() -> Result<Outcome> {
    let mut cargo = sh::cargo(&["test", "--no-fail-fast", "--package=framewalk"]);
    cargo.args(["--package=framewalk-replicate", "--", "--test-threads=1", "--nocapture"]);
    cargo.args(["killed", "cut_any"]).env("FRAMEWALK_KILLS", KILLS);
    let mut said = Vec::new();
    let (succeeded, totals) = suite::tee_totals(&mut cargo, |line| said.extend(figure(line)))?;
    if !succeeded || totals.passed == 0 {
        bail!("{} of {} tests", totals.failed, totals.failed + totals.passed);
    }
    said.insert(0, format!("{} tests passed, at {KILLS} moments each", totals.passed));
    Ok(Outcome::Done(said.join("; ")))
}

/// Programs that the trap's matrix runs beside ours, and their packages.
const PEERS: [(&str, &str); 3] = [("rsync", "rsync"), ("restic", "restic"), ("borg", "borgbackup")];

/// The tests of the database trap with peers; their table is kept beside the report.
fn trap(install: bool) -> Result<Outcome> {
    if !sh::is_root() {
        let line = "sudo -E cargo xtask nightly --only trap";
        return Ok(Outcome::Skipped(format!("it mounts and sees all open files; type: {line}")));
    }
    let missing = || PEERS.iter().filter(|(program, _)| !sh::has(program));
    if install {
        missing().for_each(|(_, package)| packages::install(package));
    }
    let mut cargo = sh::cargo(&["test", "--no-fail-fast", "--package=framewalk", "--test=trap"]);
    cargo.args(["--", "--ignored", "--nocapture", "--test-threads=1", "_trap_"]);
    cargo.env("FRAMEWALK_TRAP_PEERS", "1");
    let (mut table, mut said, mut json) = (String::new(), String::new(), String::new());
    let (succeeded, totals) = suite::tee_totals(&mut cargo, |line| {
        // a test's name stands before the first thing it prints
        let line = line.rsplit(" ... ").next().unwrap_or(line);
        if line.starts_with("| ") {
            let _ = writeln!(table, "{line}");
        } else if line.starts_with("{\"row\"") {
            let _ = writeln!(json, "{line}");
        } else if line.starts_with("skipped: ") || line.contains(" while written to, restored: ") {
            let _ = writeln!(said, "* {line}");
        }
    })?;
    let file = bench::folder()?.join("trap.md");
    let text = format!(
        "# The database trap on {}\n\nCommand: `cargo xtask nightly --only trap`.\n\n{}\n\
         {table}\n{said}\n```json\n{json}```\n",
        machine::today(),
        machine::facts()?
    );
    fs::write(&file, text).with_context(|| file.display().to_string())?;
    if !succeeded || totals.passed == 0 {
        bail!("{} of {} tests", totals.failed, totals.failed + totals.passed);
    }
    let mut text = format!("{} tests passed, table in trap.md beside this file", totals.passed);
    for (program, package) in missing() {
        let _ = write!(text, "; skipped: {program}: {}", packages::install_line(&[package]));
    }
    Ok(Outcome::Done(text))
}

/// `cargo xtask lab practice`, whose last line of standard output is the result.
fn practice(install: bool) -> Result<Outcome> {
    if !sh::is_root() {
        let line = "sudo -E cargo xtask nightly --only practice";
        return Ok(Outcome::Skipped(format!("it makes network namespaces; type: {line}")));
    }
    let me = std::env::current_exe().context("cannot find this program's own path")?;
    let mut lab = sh::command(&me.to_string_lossy(), &["lab", "practice"]);
    if install {
        lab.arg("--install");
    }
    let mut said = String::new();
    let (succeeded, _) = suite::tee_totals(&mut lab, |line| {
        if let Some(result) = line.strip_prefix("practice: ") {
            result.clone_into(&mut said);
        }
    })?;
    if succeeded { Ok(Outcome::Done(said)) } else { bail!("{said}; see above") }
}

/// The package that a file of the tree belongs to.
fn package_of(file: &str) -> Result<String> {
    for folder in Path::new(file).ancestors().skip(1) {
        let manifest = sh::root().join(folder).join("Cargo.toml");
        let Ok(text) = fs::read_to_string(&manifest) else { continue };
        let value: toml::Table = text.parse().with_context(|| manifest.display().to_string())?;
        if let Some(name) = value.get("package").and_then(|package| package.get("name")) {
            return Ok(name.as_str().unwrap_or_default().to_owned());
        }
    }
    bail!("{file} belongs to no package")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_belong_to_packages() {
        assert_eq!(package_of("xtask/src/nightly.rs").unwrap(), "xtask");
        assert_eq!(package_of("pipeline/skb/src/pool/mod.rs").unwrap(), "framewalk-skb");
        assert!(package_of("docs/testing.md").is_err());
    }
}
