//! `cargo xtask bench`: measures, and keeps the result with its machine.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{machine, packages, sh};

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// A capture for `bench inspect` to read (default: pcaps/practice.pcapng)
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Measure the backup instead, beside rsync, restic and borg: more than an hour
    #[arg(long, conflicts_with = "file")]
    backup: bool,
    /// Print only; leave benches/runs/ alone
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let framewalk = sh::release_framewalk()?;
    let kept = if args.backup {
        let rows = measure_backup(&framewalk)?;
        print!("{}", table(&rows, &BACKUP));
        (!args.dry_run).then(|| keep_backup(&rows, "cargo xtask bench --backup"))
    } else {
        let file = args.file.clone().unwrap_or_else(|| PathBuf::from("pcaps/practice.pcapng"));
        let file = std::path::absolute(&file).with_context(|| file.display().to_string())?;
        let rows = measure(&framewalk, &file)?;
        print!("{}", table(&rows, &PATH));
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (!args.dry_run).then(|| keep(&rows, "cargo xtask bench", &name))
    };
    if let Some(folder) = kept.transpose()? {
        println!("kept in {}", folder.display());
    }
    Ok(())
}

/// The JSON lines of every bench but the backup's, in the order they ran.
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
    rows_of(framewalk, &benches)
}

/// The JSON lines of the backup's benches; parts that need root or a package that is not here are
/// skipped by name.
pub(crate) fn measure_backup(framewalk: &Path) -> Result<Vec<Value>> {
    const BACKUP: [&str; 3] = ["bench", "backup", "--json"];
    let with = |more: &[&'static str]| [&BACKUP[..], more].concat();
    let mut benches = vec![
        with(&["--only", "stream", "--runs", "5"]),
        with(&["--only", "image", "--only", "file", "--only", "path", "--peers", "--runs", "3"]),
    ];
    if sh::is_root() && sh::has("ethtool") {
        benches.push(with(&["--only", "veth", "--runs", "5"]));
    } else {
        eprintln!("skipped: bench backup --only veth, which needs root and ethtool");
    }
    if sh::has("isql-fb") {
        benches.push(with(&["--only", "database", "--peers", "--runs", "3"]));
        benches.push(with(&["--only", "live", "--runs", "3"]));
    } else {
        let install = packages::install_line(&["firebird3.0-utils"]);
        eprintln!("skipped: bench backup --only database and live; type: {install}");
    }
    rows_of(framewalk, &benches)
}

/// The rows that these commands print.
fn rows_of(framewalk: &Path, benches: &[Vec<&str>]) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    for bench in benches {
        let mut command = sh::command(&framewalk.to_string_lossy(), bench);
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

/// Columns of most benches.
const PATH: [&str; 9] =
    ["bench", "case", "metric", "median", "min", "max", "runs", "floor", "peer"];
/// Columns of the backup's benches.
const BACKUP: [&str; 12] = [
    "case",
    "metric",
    "median",
    "min",
    "max",
    "runs",
    "floor",
    "cpu_seconds",
    "rss_max_mib",
    "sent_bytes",
    "limited_by",
    "peer",
];

/// A Markdown table of bench rows.
fn table(rows: &[Value], keys: &[&str]) -> String {
    let names = keys.iter().map(|key| key.replace('_', " "));
    let mut table = format!("| {} |\n", names.collect::<Vec<_>>().join(" | "));
    let _ = writeln!(table, "|{}", " --- |".repeat(keys.len()));
    let cell = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_f64().map_or_else(
            || number.to_string(),
            |float| format!("{float:.3}").trim_end_matches('0').trim_end_matches('.').to_owned(),
        ),
        other => other.to_string(),
    };
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
    let title = format!(
        "# Benchmarks of {}\n\nCommand: `{command}`, `bench inspect` on {file}.",
        machine::today()
    );
    write(["README.md", "raw.jsonl"], &title, rows, &PATH)
}

/// The same with the backup's rows.
pub(crate) fn keep_backup(rows: &[Value], command: &str) -> Result<PathBuf> {
    let title = format!("# Benchmarks of backups, {}\n\nCommand: `{command}`.", machine::today());
    write(["backup.md", "backup.jsonl"], &title, rows, &BACKUP)
}

fn write(names: [&str; 2], title: &str, rows: &[Value], keys: &[&str]) -> Result<PathBuf> {
    let folder = folder()?;
    let text = format!("{title}\n\n{}\n{}", machine::facts()?, table(rows, keys));
    fs::write(folder.join(names[0]), text)?;
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    fs::write(folder.join(names[1]), lines.join("\n") + "\n")?;
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
        let table = table(&[row], &PATH);
        let last = table.lines().last().unwrap();
        assert_eq!(last, "| path | 64B untraced | mpps | 61.25 | 60 | 62.5 | 5 | 116 |  |");
    }
}
