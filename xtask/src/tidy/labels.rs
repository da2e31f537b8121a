//! `pcaps/` is a museum with labels: every capture has its row in `pcaps/README.md`, with its
//! SHA-256 and whether it was captured or generated.

use std::fs;

use sha2::{Digest, Sha256};

use super::{File, Finding};
use crate::sh;

const TABLE: &str = "pcaps/README.md";

struct Row {
    line: usize,
    file: String,
    cells: Vec<String>,
}

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let captures: Vec<&str> = files
        .iter()
        .map(|file| file.path.as_str())
        .filter(|path| path.starts_with("pcaps/") && is_capture(path))
        .collect();
    let table = files.iter().find(|file| file.path == TABLE).and_then(|file| file.text.as_deref());
    let Some(table) = table else {
        let missing = captures
            .first()
            .map(|_| Finding::new(TABLE, 0, "captures without labels", "write the table"));
        return missing.into_iter().collect();
    };
    compare(table, &captures, |path| {
        let data = fs::read(sh::root().join(path)).ok()?;
        Some(format!("{:x}", Sha256::digest(&data)))
    })
}

fn is_capture(path: &str) -> bool {
    [".pcap", ".pcapng", ".pcap.gz", ".pcapng.gz", ".pcap.zst", ".pcapng.zst"]
        .iter()
        .any(|end| path.ends_with(end))
}

fn rows(table: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for (index, line) in table.lines().enumerate().filter(|(_, line)| line.starts_with('|')) {
        let cells: Vec<String> = line
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().trim_matches('`').to_owned())
            .collect();
        // a cell may be a link: `[name](name)`
        let name = cells[0].trim_start_matches('[').split(']').next().unwrap_or_default();
        let name = name.trim_matches('`').to_owned();
        if is_capture(&name) {
            rows.push(Row { line: index + 1, file: format!("pcaps/{name}"), cells });
        }
    }
    rows
}

fn compare(
    table: &str,
    captures: &[&str],
    digest: impl Fn(&str) -> Option<String>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let rows = rows(table);
    for capture in captures {
        if !rows.iter().any(|row| row.file == *capture) {
            let what = format!("{capture} has no row");
            findings.push(Finding::new(TABLE, 0, what, "label it, or remove it"));
        }
    }
    for row in &rows {
        let mut add = |what: String, instead: &str| {
            findings.push(Finding::new(TABLE, row.line, what, instead));
        };
        let label = |word: &str| row.cells.iter().any(|cell| cell.starts_with(word));
        if !label("captured") && !label("generated") {
            add(format!("{} is not labelled", row.file), "write `captured` or `generated`");
        }
        match digest(&row.file) {
            None => add(format!("{} is not there", row.file), "add it, or remove the row"),
            Some(digest) if !row.cells.contains(&digest) => add(
                format!("{} has SHA-256 {digest}, not the one in its row", row.file),
                "make it again with `cargo xtask lab`, or correct the row",
            ),
            Some(_) => {}
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capture_has_a_true_label() {
        let table = "| file | how | sha256 |\n|---|---|---|\n\
                     | `a.pcap` | captured | aa |\n| [b.pcapng](b.pcapng) | generated | xx |\n\
                     | gone.pcap | captured | cc |\n| `n.pcap` | found | dd |\n";
        let digest = |path: &str| match path {
            "pcaps/a.pcap" => Some("aa".to_owned()),
            "pcaps/b.pcapng" => Some("bb".to_owned()),
            "pcaps/n.pcap" => Some("dd".to_owned()),
            _ => None,
        };
        let captures = ["pcaps/a.pcap", "pcaps/b.pcapng", "pcaps/new.pcap", "pcaps/n.pcap"];
        let found = compare(table, &captures, digest);
        let lines: Vec<usize> = found.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [0, 4, 5, 6], "{found:?}");
    }
}
