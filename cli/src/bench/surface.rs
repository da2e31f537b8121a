//! The analysis of a capture as a whole process, beside nDPI's reader; ten times the flows; a
//! flood.

use std::path::Path;

use benches::Row;

use super::growth::{Made, SIZES, one_core_works};
use super::process::{Case, me, measure, version};

/// One frame per flow: more flows than are kept at the same time.
const FLOOD: (u64, u64) = (10_000_000, 10_000_000);

/// Rows for the capture, for captures that are made, and for a flood of conversations.
pub(super) fn rows(file: &Path, frames: u64, runs: usize) -> anyhow::Result<Vec<Row>> {
    let file = std::path::absolute(file)?.to_string_lossy().into_owned();
    let mut cases = cases(&file, "whole analysis", frames)?;
    if let Some(v) = version("ndpiReader", "-h", "Welcome to nDPI ") {
        let command = ["ndpiReader", "-q", "-i", &file];
        let peer = Some(format!("ndpiReader {v}"));
        cases.push(Case::new("whole analysis", frames, peer, &command).of("surface"));
    }
    let mut rows = measure(cases, runs)?;
    for (frames, flows) in SIZES.into_iter().chain([FLOOD]) {
        let made = Made::new(frames, flows)?;
        let file = made.0.to_string_lossy().into_owned();
        let name = format!("whole analysis, {frames} frames, {flows} flows");
        let runs = if (frames, flows) == FLOOD { 1 } else { runs };
        rows.extend(measure(cases_of_one(&file, &name, frames)?, runs)?);
    }
    Ok(rows)
}

fn cases_of_one(file: &str, name: &str, frames: u64) -> anyhow::Result<Vec<Case>> {
    let me = me()?;
    Ok(vec![Case::new(name, frames, None, &[&me, "surface", file, "-q"]).of("surface")])
}

fn cases(file: &str, name: &str, frames: u64) -> anyhow::Result<Vec<Case>> {
    let me = me()?;
    let mut cases = cases_of_one(file, name, frames)?;
    if one_core_works() {
        let command = ["taskset", "-c", "0", &me, "surface", file, "-q"];
        cases.push(Case::new(&format!("{name}, 1 core"), frames, None, &command).of("surface"));
    }
    let json = [me.as_str(), "surface", file, "--json", "-q"];
    cases.push(Case::new(&format!("{name}, json"), frames, None, &json).of("surface"));
    Ok(cases)
}
