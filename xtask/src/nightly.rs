//! `cargo xtask nightly`: what takes minutes to hours, and a report that says what was done.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{bench, machine, packages, sh, suite};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long each fuzz target runs
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    fuzz_seconds: u64,
    /// A capture for `bench inspect` to read (default: pcaps/practice.pcapng)
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Run only these parts
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The tests ignored as `nightly`: full cut and flip sweeps
    Sweeps,
    /// Every fuzz target
    Fuzz,
    /// The benches, peers beside them
    Bench,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut report = format!("# Nightly run of {}\n\n{}\n", machine::today(), machine::facts()?);
    report.push_str("| part | result | seconds |\n| --- | --- | --- |\n");
    let mut failed = Vec::new();
    let mut part = |name: &str, work: &mut dyn FnMut() -> Result<String>| {
        let begun = Instant::now();
        let result = work();
        let seconds = begun.elapsed().as_secs();
        let text = match &result {
            Ok(text) => text.clone(),
            Err(error) => format!("FAILED: {error:#}").replace('\n', " "),
        };
        let _ = writeln!(report, "| {name} | {text} | {seconds} |");
        if result.is_err() {
            eprintln!("xtask: {name}: {text}");
            failed.push(name.to_owned());
        }
    };
    let chosen = |part: Part| args.only.is_empty() || args.only.contains(&part);
    if chosen(Part::Sweeps) {
        part("sweeps", &mut sweeps);
    }
    if chosen(Part::Fuzz) {
        match fuzz_targets() {
            Ok(targets) => {
                for target in targets {
                    let seconds = args.fuzz_seconds;
                    part(&format!("fuzz {target}"), &mut || fuzz(&target, seconds));
                }
            }
            Err(error) => part("fuzz", &mut || bail!("{error:#}")),
        }
    }
    let mut rows = Vec::new();
    if chosen(Part::Bench) {
        part("bench", &mut || {
            let file = args.file.clone().unwrap_or_else(|| "pcaps/practice.pcapng".into());
            rows = bench::measure(&sh::release_framewalk()?, &std::path::absolute(file)?)?;
            Ok(format!("{} rows, below", rows.len()))
        });
    }
    if !rows.is_empty() {
        let _ = write!(report, "\n{}", bench::table(&rows));
    }
    let file = bench::folder()?.join("nightly.md");
    fs::write(&file, report).with_context(|| file.display().to_string())?;
    println!("report: {}", file.display());
    if failed.is_empty() {
        return Ok(());
    }
    bail!("failed: {}", failed.join(", "))
}

fn sweeps() -> Result<String> {
    let ignored = suite::ignored_tests()?;
    let tests = ignored.iter().filter(|test| test.name.contains("nightly")).count();
    if tests == 0 {
        return Ok("no test is marked `nightly`".to_owned());
    }
    let mut cargo = sh::cargo(&["test", "--release", "--workspace", "--no-fail-fast"]);
    cargo.args(packages::libpcap_features(&["framewalk/libpcap"]));
    sh::run(cargo.args(["--", "--ignored", "nightly"]))?;
    Ok(format!("{tests} tests passed"))
}

/// cargo-fuzz needs a nightly toolchain, so it goes through rustup's cargo, not this one.
fn cargo_fuzz(args: &[&str]) -> std::process::Command {
    let mut all = vec!["+nightly", "fuzz"];
    all.extend(args);
    let mut command = sh::command("cargo", &all);
    command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    command
}

fn fuzz_targets() -> Result<Vec<String>> {
    if !sh::has("cargo-fuzz") {
        bail!("cargo-fuzz is missing; type: cargo install cargo-fuzz && rustup install nightly");
    }
    let list = sh::output(&mut cargo_fuzz(&["list"]))?;
    Ok(list.lines().map(str::to_owned).collect())
}

fn fuzz(target: &str, seconds: u64) -> Result<String> {
    let total = format!("-max_total_time={seconds}");
    sh::run(&mut cargo_fuzz(&["run", target, "--", &total, "-timeout=10", "-rss_limit_mb=2048"]))?;
    Ok(format!("{seconds} s, no crash"))
}
