//! What tracing costs when it is off: instructions per frame of the in-memory path, as it is and
//! with every call of the tracer deleted from the source.
//!
//! Tracing is a type parameter, so the two should be the same machine code. Callgrind counts both;
//! the run with few rounds is taken off, so that starting up and teaching do not count.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::nightly::Outcome;
use crate::{packages, sh};

/// Where the engine calls its tracer.
const SOURCES: [&str; 2] = ["pipeline/src/engine.rs", "pipeline/src/egress.rs"];
/// Frames of a round, as in the benches.
const FRAMES: u64 = 4096;
/// Rounds of the two runs.
const ROUNDS: [u64; 2] = [3, 35];
/// Difference allowed, in percent.
const LIMIT: f64 = 1.0;

pub(crate) fn run() -> Result<Outcome> {
    if !sh::has("valgrind") {
        let how = packages::install_line(&["valgrind"]);
        return Ok(Outcome::Skipped(format!("valgrind is missing: {how}")));
    }
    let copy = sh::target_dir()?.join("stamps-deleted");
    if copy.exists() {
        fs::remove_dir_all(&copy).with_context(|| copy.display().to_string())?;
    }
    let prefix = format!("--prefix={}/", copy.display());
    sh::run(&mut sh::command("git", &["checkout-index", "--all", &prefix]))?;
    let mut deleted = 0;
    for source in SOURCES {
        let file = copy.join(source);
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let (text, count) = without_stamps(&text);
        ensure!(count > 0, "{source}: no call of the tracer found, has it moved?");
        deleted += count;
        fs::write(&file, text).with_context(|| file.display().to_string())?;
    }
    let with = instructions(&sh::root(), &sh::target_dir()?)?;
    let without = instructions(&copy, &copy.join("target"))?;
    let percent = (with / without - 1.0) * 100.0;
    let figures = format!(
        "{with:.2} instructions a frame, {without:.2} with {deleted} calls deleted: \
         {percent:+.3} %"
    );
    if percent.abs() > LIMIT {
        bail!("{figures}, more than {LIMIT} %");
    }
    Ok(Outcome::Done(figures))
}

/// The text without `if T::ON { .. }` blocks and without other statements that call the tracer;
/// how many those were.
fn without_stamps(text: &str) -> (String, usize) {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut count) = (text, 0);
    while let Some(at) = ["if T::ON {", "self.tracer."].iter().filter_map(|s| rest.find(s)).min() {
        let (before, from) = rest.split_at(at);
        let end = if from.starts_with("if") {
            block_end(from)
        } else {
            from.find(';').map(|semicolon| semicolon + 1)
        };
        let Some(end) = end else { break };
        out.push_str(before);
        rest = &from[end..];
        count += 1;
    }
    out.push_str(rest);
    (out, count)
}

/// Where the first block of `text` ends: behind the brace that closes it.
fn block_end(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(at + 1),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Instructions a frame in the workspace `folder`, built into `target`.
fn instructions(folder: &Path, target: &Path) -> Result<f64> {
    let args = ["build", "--release", "-p", "framewalk-benches", "--example", "rounds"];
    sh::run(sh::cargo(&args).current_dir(folder).env("CARGO_TARGET_DIR", target))?;
    let program = target.join("release/examples/rounds");
    let [few, many] = ROUNDS.map(|rounds| collected(&program, rounds));
    let frames = (ROUNDS[1] - ROUNDS[0]) * FRAMES;
    Ok((many? - few?) / frames as f64)
}

/// What callgrind collected of a run.
fn collected(program: &Path, rounds: u64) -> Result<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .arg(rounds.to_string())
        .output()
        .context("cannot start valgrind")?;
    let talk = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind: {}: {talk}", output.status);
    let count = talk.lines().find_map(|line| line.split_once("Collected :"));
    let (_, count) = count.with_context(|| format!("valgrind names no count: {talk}"))?;
    count.trim().parse().with_context(|| format!("valgrind's count: {count}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_statements_go_and_the_rest_stays() {
        let text = "a();\nif T::ON {\n  for x in y { tracer.see(x); }\n}\nb();\n  \
                    self.tracer.dropped(1, &2);\nc();";
        assert_eq!(without_stamps(text), ("a();\n\nb();\n  \nc();".to_owned(), 2));
    }
}
