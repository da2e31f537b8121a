//! `cargo xtask test`: the whole suite in one command, with what it skips named.
//!
//! Tests that need more than Rust say so in their source: `#[ignore = "privileged: why"]` on a
//! test with `privileged` in its name needs root and network namespaces, `#[ignore = "nightly:
//! why"]` on one with `nightly` in its name takes minutes to hours. One with `provoked` in its name
//! fails on purpose, in a process that another test starts.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::packages::{self, NEEDS};
use crate::sh;
use crate::tidy::tree;

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Install missing Debian packages first, with apt-get, as root (CI=true does so too)
    #[arg(long)]
    install: bool,
    /// Run the tests that need root: those ignored as `privileged`
    #[arg(long)]
    privileged: bool,
    /// Arguments for the test programs, such as a name to filter by
    #[arg(last = true)]
    args: Vec<String>,
}

/// A test the plain run leaves out, as its source says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ignored {
    /// The test's function.
    pub(crate) name: String,
    /// The text of its `#[ignore = ".."]`.
    pub(crate) reason: String,
    /// The file it is in, from the root.
    pub(crate) file: String,
}

/// Sums of the closing lines of cargo's test programs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) programs: u64,
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

impl Totals {
    fn add_all(&mut self, other: &Self) {
        self.programs += other.programs;
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }

    /// Adds a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; ...`.
    fn add(&mut self, line: &str) {
        let Some(rest) = line.trim_start().strip_prefix("test result: ") else { return };
        self.programs += 1;
        for part in rest.split([';', '.']) {
            let mut words = part.split_whitespace();
            let count = words.next().and_then(|word| word.parse::<u64>().ok());
            match (count, words.next()) {
                (Some(count), Some("passed")) => self.passed += count,
                (Some(count), Some("failed")) => self.failed += count,
                (Some(count), Some("ignored")) => self.ignored += count,
                _ => {}
            }
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.install || (sh::is_ci() && sh::is_root()) {
        packages::install_missing()?;
    }
    if args.privileged && !sh::is_root() {
        bail!(
            "the privileged tests need root (network namespaces); type: sudo -E env \
             \"PATH=$PATH\" cargo xtask test --privileged"
        );
    }
    let (succeeded, mut totals) = tee_totals(&mut cargo_test(None, args), |_| {})?;
    let mut broken = Vec::new();
    if !succeeded && totals.programs == 0 {
        // cargo runs no test at all where one crate does not compile, --no-fail-fast or not
        eprintln!("xtask: nothing ran; package by package, so that one does not hide the others");
        for package in members()? {
            let (_, of_package) = tee_totals(&mut cargo_test(Some(&package), args), |_| {})?;
            if of_package.programs == 0 {
                broken.push(package);
            }
            totals.add_all(&of_package);
        }
    }
    report(&totals, args.privileged)?;
    match (succeeded, broken.is_empty()) {
        (true, _) => Ok(()),
        (false, true) => bail!("tests failed; see the lines with FAILED above"),
        (false, false) => bail!("these do not compile: {}", broken.join(", ")),
    }
}

/// cargo's command for the tests of one package, or of all.
fn cargo_test(package: Option<&str>, args: &Args) -> Command {
    let mut cargo = sh::cargo(&["test", "--no-fail-fast"]);
    match package {
        Some(package) => cargo.arg(format!("--package={package}")),
        None => cargo.arg("--workspace"),
    };
    if package.is_none_or(|package| package == "framewalk") {
        cargo.args(packages::libpcap_features(&["framewalk/libpcap"]));
    }
    cargo.arg("--");
    if args.privileged {
        // one at a time: they make devices, and some measure
        cargo.args(["--ignored", "--test-threads=1", "privileged"]);
    }
    cargo.args(&args.args);
    cargo
}

/// The packages of the workspace.
fn members() -> Result<Vec<String>> {
    let text = sh::output(&mut sh::cargo(&["metadata", "--format-version=1", "--no-deps"]))?;
    let json: serde_json::Value = serde_json::from_str(&text).context("cargo metadata")?;
    let packages = json["packages"].as_array().map_or(&[][..], Vec::as_slice);
    Ok(packages.iter().filter_map(|p| p["name"].as_str()).map(str::to_owned).collect())
}

/// Runs cargo, passes its standard output through line by line, shows each line to `look`, and
/// adds the closing lines up.
pub(crate) fn tee_totals(
    command: &mut Command,
    mut look: impl FnMut(&str),
) -> Result<(bool, Totals)> {
    let shown = sh::line(command);
    eprintln!("$ {shown}");
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let pipe = child.stdout.take().context("no standard output")?;
    let mut totals = Totals::default();
    for line in BufReader::new(pipe).split(b'\n') {
        let line = line.with_context(|| format!("reading from `{shown}`"))?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        totals.add(&line);
        look(&line);
    }
    let status = child.wait().with_context(|| format!("waiting for `{shown}`"))?;
    Ok((status.success(), totals))
}

fn report(totals: &Totals, privileged: bool) -> Result<()> {
    println!(
        "\nsuite: {} passed; {} failed; {} ignored, in {} test programs",
        totals.passed, totals.failed, totals.ignored, totals.programs
    );
    if privileged {
        if totals.passed + totals.failed == 0 {
            println!("no test is marked `privileged` in this version");
        }
        return Ok(());
    }
    let mut skipped = Vec::new();
    let tests = ignored_tests()?;
    for test in tests.iter().filter(|test| !test.name.contains("provoked")) {
        let how = if test.name.contains("privileged") {
            "sudo -E env \"PATH=$PATH\" cargo xtask test --privileged".to_owned()
        } else if test.name.contains("nightly") {
            "cargo xtask nightly".to_owned()
        } else {
            format!("cargo test --workspace -- --ignored {}", test.name)
        };
        skipped.push(format!("{} ({}): {}\n      {how}", test.name, test.file, test.reason));
    }
    for need in NEEDS.iter().filter(|need| !need.is_present()) {
        let tests = files_naming(need.mark)?;
        let tests = if tests.is_empty() { String::new() } else { format!(" ({tests})") };
        let how = packages::install_line(&[need.package]);
        skipped.push(format!("{}: {} is missing{tests}\n      {how}", need.serves, need.name));
    }
    if !sh::root().join("../shared/pcaps").is_dir() {
        let tests = files_naming("../shared")?;
        if !tests.is_empty() {
            skipped.push(format!(
                "comparison with reference captures ({tests}): no ../shared/pcaps\n      \
                 put captures into ../shared/pcaps, truth beside them; see docs/testing.md"
            ));
        }
    }
    if !skipped.is_empty() {
        println!("skipped here, and what brings it:");
        for skip in skipped {
            println!("    {skip}");
        }
    }
    Ok(())
}

/// Every `#[ignore = ".."]` test in the workspace, read from the sources.
pub(crate) fn ignored_tests() -> Result<Vec<Ignored>> {
    let mut tests = Vec::new();
    for file in tree::files()?.iter().filter(|file| tree::is(file, "rs")) {
        let text = fs::read_to_string(sh::root().join(file)).with_context(|| file.clone())?;
        tests.extend(ignored_in(&text, file));
    }
    Ok(tests)
}

fn ignored_in(text: &str, file: &str) -> Vec<Ignored> {
    let mut tests = Vec::new();
    let mut waiting: Option<String> = None;
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("#[ignore") {
            let reason = rest.split('"').nth(1).unwrap_or("no reason given");
            waiting = Some(reason.to_owned());
        } else if let Some(rest) = line.split("fn ").nth(1).filter(|_| !line.starts_with("//")) {
            let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next();
            if let (Some(reason), Some(name)) = (waiting.take(), name) {
                let (name, file) = (name.to_owned(), file.to_owned());
                tests.push(Ignored { name, reason, file });
            }
        }
    }
    tests
}

/// The test sources that contain `mark`, joined by commas.
fn files_naming(mark: &str) -> Result<String> {
    let mut named = Vec::new();
    for file in tree::files()? {
        if tree::is(&file, "rs") && !file.starts_with("xtask/") {
            let text = fs::read_to_string(sh::root().join(&file)).unwrap_or_default();
            if text.contains(mark) && (text.contains("#[test]") || file.contains("/tests/")) {
                named.push(file);
            }
        }
    }
    Ok(named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_add_closing_lines() {
        let mut totals = Totals::default();
        totals.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out;");
        totals.add("test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured");
        totals.add("test walk::tests::ok ... ok");
        assert_eq!(totals, Totals { programs: 2, passed: 5, failed: 4, ignored: 1 });
    }

    #[test]
    fn ignored_tests_are_found_with_reason() {
        let text = "#[test]\n#[ignore = \"privileged: netns\"]\nfn privileged_veth() {}\n\
                    #[test]\nfn plain() {}\n";
        let tests = ignored_in(text, "a.rs");
        assert_eq!(tests.len(), 1);
        assert_eq!(tests[0].name, "privileged_veth");
        assert_eq!(tests[0].reason, "privileged: netns");
    }
}
