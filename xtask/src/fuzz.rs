//! `cargo xtask fuzz`: every fuzz target for some minutes each, with what it reached: executions,
//! edges and features of the program, lines of the sources that it is for.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::nightly::{Outcome, Report};
use crate::sh;

/// Seconds after which an input hangs.
const HANG_SECONDS: u32 = 10;
/// Memory that an input may take, and a single allocation.
const MEMORY_MB: u32 = 2048;
const ALLOCATION_MB: u32 = 512;
/// Longest input.
const INPUT_BYTES_MAX: u32 = 4096;

/// The sources that a target is for, whose lines are counted.
const SOURCES: &[(&str, &[&str])] = &[
    ("backup_wire", &["replicate/src/wire"]),
    ("capture_reader", &["capture/src"]),
    ("decode", &["pipeline/skb/src/decode"]),
    ("path", &["pipeline/src", "pipeline/vswitch/src"]),
    ("replay", &["replay/src"]),
    (
        "surface_rdp",
        &[
            "surface/src/detect/rdp.rs",
            "surface/src/facts/rdp.rs",
            "surface/src/follow.rs",
            "surface/src/site/desktop",
        ],
    ),
    (
        "surface_web",
        &[
            "surface/src/tls",
            "surface/src/detect/tls.rs",
            "surface/src/detect/quic.rs",
            "surface/src/detect/web.rs",
            "surface/src/detect/wrap.rs",
            "surface/src/detect/mail.rs",
        ],
    ),
    (
        "surface_windows",
        &[
            "surface/src/detect/windows.rs",
            "surface/src/detect/directory.rs",
            "surface/src/detect/ber.rs",
            "surface/src/facts/clear.rs",
        ],
    ),
    (
        "surface_lan",
        &[
            "surface/src/detect/dns.rs",
            "surface/src/detect/dhcp.rs",
            "surface/src/detect/discovery.rs",
            "surface/src/detect/gateway.rs",
            "surface/src/site/lan",
            "surface/src/site/names.rs",
            "surface/src/site/hosts.rs",
            "surface/src/site/mapping.rs",
        ],
    ),
    (
        "surface_stores",
        &[
            "surface/src/detect/sql.rs",
            "surface/src/detect/store.rs",
            "surface/src/detect/medical.rs",
            "surface/src/detect/backup.rs",
            "surface/src/facts/store.rs",
        ],
    ),
    (
        "surface_remote",
        &[
            "surface/src/detect/remote.rs",
            "surface/src/detect/vpn.rs",
            "surface/src/detect/rustdesk.rs",
            "surface/src/tools.rs",
        ],
    ),
    (
        "surface_site",
        &[
            "surface/src/site",
            "surface/src/flow",
            "surface/src/engine.rs",
            "surface/src/inspect.rs",
        ],
    ),
    ("surface_report", &["cli/src/surface"]),
];

#[derive(Debug, Clone, clap::Args)]
#[group(skip)] // `nightly` takes these among its own, under whose name they would be twice
pub(crate) struct Args {
    /// Run only this target (repeatable)
    #[arg(long, value_name = "NAME")]
    pub(crate) target: Vec<String>,
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) minutes: u64,
    /// Do not count the lines that the corpus reaches: that needs another build
    #[arg(long)]
    pub(crate) no_lines: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut report = Report::default();
    all(args, &mut report)?;
    report.verdict()
}

/// Every target asked for, each a part of the report.
pub(crate) fn all(args: &Args, report: &mut Report) -> Result<()> {
    match targets(&args.target) {
        Ok(targets) => {
            for target in targets {
                report.part(&format!("fuzz {target}"), || one(&target, args))?;
            }
            Ok(())
        }
        Err(error) => report.part("fuzz", || Err(error)),
    }
}

/// cargo-fuzz needs a nightly toolchain, so it goes through rustup's cargo, not this one.
fn cargo_fuzz(args: &[&str]) -> Command {
    let mut all = vec!["+nightly", "fuzz"];
    all.extend(args);
    let mut command = sh::command("cargo", &all);
    command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    command
}

/// Every target, or those of them that were asked for.
fn targets(only: &[String]) -> Result<Vec<String>> {
    if !sh::has("cargo-fuzz") {
        bail!("cargo-fuzz is missing; type: cargo install cargo-fuzz && rustup install nightly");
    }
    let list = sh::output(&mut cargo_fuzz(&["list"]))?;
    let all: Vec<String> = list.lines().map(str::to_owned).collect();
    if let Some(unknown) = only.iter().find(|name| !all.contains(name)) {
        bail!("there is no fuzz target {unknown}: {}", all.join(", "));
    }
    Ok(if only.is_empty() { all } else { only.to_vec() })
}

fn one(target: &str, args: &Args) -> Result<Outcome> {
    let mut run = cargo_fuzz(&["run"]);
    run.args(features(target)).args([target, "--"]);
    run.arg(format!("-max_total_time={}", args.minutes * 60))
        .arg(format!("-timeout={HANG_SECONDS}"))
        .arg(format!("-rss_limit_mb={MEMORY_MB}"))
        .arg(format!("-malloc_limit_mb={ALLOCATION_MB}"))
        .arg(format!("-max_len={INPUT_BYTES_MAX}"))
        // an input of structure is of no use before it is long
        .arg("-len_control=0")
        // its weighing of inputs takes longer than most inputs do
        .arg("-entropic=0")
        .arg("-print_final_stats=1");
    let reached = watch(&mut run, target)?;
    let mut text = format!("{} min, no crash, hang or growth; {reached}", args.minutes);
    if !args.no_lines {
        let lines = lines(target).unwrap_or_else(|error| format!("lines not counted: {error:#}"));
        let _ = write!(text, "; {lines}");
    }
    println!("{target}: {text}");
    Ok(Outcome::Done(text))
}

/// The target that needs the whole program is behind a feature: the others are built without it.
fn features(target: &str) -> &'static [&'static str] {
    if target == "surface_report" { &["--features", "report"] } else { &[] }
}

/// What libFuzzer says of a run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Reached {
    executions: u64,
    per_second: u64,
    slowest_seconds: u64,
    peak_mb: u64,
    edges: u64,
    features: u64,
    /// Inputs and bytes of the corpus, as it writes them.
    corpus: String,
    /// The input that failed.
    failed: Option<String>,
}

impl Reached {
    /// A line of its report: `#77 NEW cov: 12 ft: 34 corp: 5/67b ...`, or a statistic.
    fn line(&mut self, line: &str) {
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.failed = Some(path.trim().to_owned());
        }
        let number = |word: Option<&str>| word.and_then(|word| word.parse().ok()).unwrap_or(0);
        let mut words = line.split_whitespace();
        if line.starts_with('#') {
            while let Some(word) = words.next() {
                match word {
                    "cov:" => self.edges = number(words.next()),
                    "ft:" => self.features = number(words.next()),
                    "corp:" => words.next().unwrap_or_default().clone_into(&mut self.corpus),
                    _ => {}
                }
            }
            return;
        }
        match words.next() {
            Some("stat::number_of_executed_units:") => self.executions = number(words.next()),
            Some("stat::average_exec_per_sec:") => self.per_second = number(words.next()),
            Some("stat::slowest_unit_time_sec:") => self.slowest_seconds = number(words.next()),
            Some("stat::peak_rss_mb:") => self.peak_mb = number(words.next()),
            _ => {}
        }
    }
}

impl std::fmt::Display for Reached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} executions, {}/s (slowest {} s, {} MB); {} edges, {} features; corpus {}",
            self.executions,
            self.per_second,
            self.slowest_seconds,
            self.peak_mb,
            self.edges,
            self.features,
            self.corpus
        )
    }
}

/// Runs it, passes what it says through, and fails with the command that shows the same again.
fn watch(command: &mut Command, target: &str) -> Result<Reached> {
    let shown = sh::line(command);
    eprintln!("$ {shown}");
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let pipe = child.stderr.take().context("no standard error")?;
    let mut reached = Reached::default();
    for line in BufReader::new(pipe).split(b'\n') {
        let line = line.with_context(|| format!("reading from `{shown}`"))?;
        let line = String::from_utf8_lossy(&line);
        eprintln!("{line}");
        reached.line(&line);
    }
    let status = child.wait().with_context(|| format!("waiting for `{shown}`"))?;
    match (status.success(), &reached.failed) {
        (true, _) => Ok(reached),
        (false, Some(input)) => bail!(
            "an input fails after {} executions; again: cargo +nightly fuzz run {} {input}",
            reached.executions,
            [features(target), &[target]].concat().join(" ")
        ),
        (false, None) => bail!("`{shown}` failed: {status}"),
    }
}

/// How many lines of the target's sources its corpus reaches.
fn lines(target: &str) -> Result<String> {
    let sources = SOURCES.iter().find(|(name, _)| *name == target).map(|(_, sources)| *sources);
    let sources = sources.context("its sources are not listed")?;
    let rustc = &mut sh::command("rustc", &["+nightly", "--print", "target-libdir"]);
    let libdir = sh::output(rustc.env_remove("RUSTUP_TOOLCHAIN"))?;
    let tools = PathBuf::from(libdir.trim()).with_file_name("bin");
    let cov = tools.join("llvm-cov");
    if !cov.is_file() {
        bail!("type: rustup component add llvm-tools --toolchain nightly");
    }
    let folder = sh::root().join("fuzz/coverage").join(target);
    sh::run(cargo_fuzz(&["coverage"]).args(features(target)).arg(target))?;
    let mut export = Command::new(&cov);
    export.args(["export", "-summary-only"]);
    export.arg("-instr-profile").arg(folder.join("coverage.profdata")).arg(binary(target)?);
    export.args(sources.iter().map(|source| sh::root().join(source)));
    let told = sh::output(&mut export)?;
    let json: serde_json::Value = serde_json::from_str(&told).context("llvm-cov's summary")?;
    let lines = &json["data"][0]["totals"]["lines"];
    let (covered, count) = (lines["covered"].as_u64(), lines["count"].as_u64());
    let (covered, count) = covered.zip(count).context("llvm-cov's summary names no lines")?;
    let percent = covered as f64 * 100.0 / count.max(1) as f64;
    Ok(format!("{covered} of {count} lines ({percent:.0} %) of {}", sources.join(", ")))
}

/// The program that `cargo fuzz coverage` has built last.
fn binary(target: &str) -> Result<PathBuf> {
    let below = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let mut newest = None;
    for folder in [below, Some(sh::root().join("target")), Some(sh::root().join("fuzz/target"))] {
        let Some(folder) = folder else { continue };
        let Ok(triples) = fs::read_dir(folder) else { continue };
        for triple in triples.flatten() {
            // the triple is there twice
            let program = triple.path().join("coverage").join(triple.file_name());
            let program = program.join("release").join(target);
            if let Ok(made) = fs::metadata(&program).and_then(|meta| meta.modified())
                && newest.as_ref().is_none_or(|(when, _)| *when < made)
            {
                newest = Some((made, program));
            }
        }
    }
    newest.map(|(_, program)| program).context("no program built for coverage was found")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_and_the_statistics_count() {
        let mut reached = Reached::default();
        for line in [
            "#2\tINITED cov: 736 ft: 736 corp: 1/1b exec/s: 0 rss: 46Mb",
            "#22294\tNEW    cov: 10446 ft: 31962 corp: 1123/5546b lim: 6 exec/s: 371 rss: 273Mb",
            "stat::number_of_executed_units: 22334",
            "stat::average_exec_per_sec:     366",
            "stat::slowest_unit_time_sec:    0",
            "stat::peak_rss_mb:              273",
        ] {
            reached.line(line);
        }
        let text = "22334 executions, 366/s (slowest 0 s, 273 MB); 10446 edges, 31962 features; \
                    corpus 1123/5546b";
        assert_eq!(reached.to_string(), text);
        assert_eq!(reached.failed, None);
        reached.line("artifact_prefix='a/'; Test unit written to fuzz/artifacts/x/crash-1");
        assert_eq!(reached.failed.as_deref(), Some("fuzz/artifacts/x/crash-1"));
    }

    #[test]
    fn every_target_names_sources_that_exist() {
        let manifest = fs::read_to_string(sh::root().join("fuzz/Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        for target in manifest["bin"].as_array().unwrap() {
            let name = target["name"].as_str().unwrap();
            let found = SOURCES.iter().find(|(target, _)| *target == name);
            let (_, sources) = found.unwrap_or_else(|| panic!("{name} has no sources"));
            for source in *sources {
                assert!(sh::root().join(source).exists(), "{name}: {source}");
            }
        }
    }
}
