//! `cargo xtask bench`: measures, and keeps the result with its machine.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{machine, sh};

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// A capture for `bench inspect` to read (default: pcaps/practice.pcapng)
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print only; leave benches/runs/ alone
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let framewalk = sh::release_framewalk()?;
    let file = args.file.clone().unwrap_or_else(|| PathBuf::from("pcaps/practice.pcapng"));
    let file = std::path::absolute(&file).with_context(|| file.display().to_string())?;
    let rows = measure(&framewalk, &file)?;
    print!("{}", table(&rows));
    if !args.dry_run {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let folder = keep(&rows, "cargo xtask bench", &name)?;
        println!("kept in {}", folder.display());
    }
    Ok(())
}

/// The JSON lines of every bench, in the order they ran.
pub(crate) fn measure(framewalk: &Path, file: &Path) -> Result<Vec<Value>> {
    let file = file.to_string_lossy();
    let mut benches: Vec<Vec<&str>> = vec![
        vec!["bench", "path", "--json"],
        vec!["bench", "inspect", &file, "--json"],
        vec!["bench", "growth", "--json"],
        vec!["bench", "surface", &file, "--json"],
    ];
    if sh::is_root() {
        benches.push(vec!["bench", "replay", &file, "--json"]);
        benches.push(vec!["bench", "capture", "--json"]);
    } else {
        eprintln!("not root: bench replay and bench capture, on a cable of their own, are skipped");
    }
    let mut rows = Vec::new();
    for bench in benches {
        let mut command = sh::command(&framewalk.to_string_lossy(), &bench);
        eprintln!("$ {}", sh::line(&command));
        for line in sh::output(&mut command)?.lines() {
            let row: Value = serde_json::from_str(line)
                .with_context(|| format!("`framewalk {}`: {line}", bench.join(" ")))?;
            if row["schema"] == "framewalk.bench/1" {
                rows.push(row);
            }
        }
    }
    if rows.is_empty() {
        bail!("the benches printed no line of schema framewalk.bench/1");
    }
    Ok(rows)
}

/// A Markdown table of bench rows.
pub(crate) fn table(rows: &[Value]) -> String {
    let mut table = "| bench | case | metric | median | min | max | runs | floor | peer |\n\
                     | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    let cell = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_f64().map_or_else(
            || number.to_string(),
            |float| format!("{float:.3}").trim_end_matches('0').trim_end_matches('.').to_owned(),
        ),
        other => other.to_string(),
    };
    let keys = ["bench", "case", "metric", "median", "min", "max", "runs", "floor", "peer"];
    for row in rows {
        let cells: Vec<String> = keys.iter().map(|key| cell(&row[*key])).collect();
        let _ = writeln!(table, "| {} |", cells.join(" | "));
    }
    table
}

/// Where results of today on this machine are kept.
pub(crate) fn folder() -> Result<PathBuf> {
    let name = format!("benches/runs/{}-{}", machine::today(), machine::name());
    let folder = sh::root().join(&name);
    fs::create_dir_all(&folder).with_context(|| name)?;
    Ok(folder)
}

/// Writes rows and their machine into [`folder`].
pub(crate) fn keep(rows: &[Value], command: &str, file: &str) -> Result<PathBuf> {
    let folder = folder()?;
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    fs::write(folder.join("raw.jsonl"), lines.join("\n") + "\n")?;
    let readme = format!(
        "# Benchmarks of {}\n\nCommand: `{command}`, `bench inspect` on {file}.\n\n{}\n{}",
        machine::today(),
        machine::facts()?,
        table(rows)
    );
    fs::write(folder.join("README.md"), readme)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_become_a_table() {
        let row = json!({"bench": "path", "case": "64B untraced", "metric": "mpps",
            "median": 61.25, "min": 60, "max": 62.5, "runs": 5, "floor": 116, "peer": null});
        let table = table(&[row]);
        let last = table.lines().last().unwrap();
        assert_eq!(last, "| path | 64B untraced | mpps | 61.25 | 60 | 62.5 | 5 | 116 |  |");
    }
}
