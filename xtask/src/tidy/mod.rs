//! `cargo xtask tidy`: the rules of the house that the compiler and clippy cannot check. Every
//! failure names the file and line, and what to do instead.

use std::fmt;

use anyhow::{Result, bail};

mod docs;
mod flags;
mod graph;
mod labels;
mod lexer;
pub(crate) mod licences;
mod source;
pub(crate) mod tree;
mod words;

/// One breach of a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    file: String,
    /// Counted from 1; 0 where the whole file is meant.
    line: usize,
    what: String,
    instead: String,
    /// A warning is printed and does not fail the run.
    warning: bool,
}

impl Finding {
    fn new(file: &str, line: usize, what: impl Into<String>, instead: impl Into<String>) -> Self {
        let (what, instead) = (what.into(), instead.into());
        Self { file: file.to_owned(), line, what, instead, warning: false }
    }

    fn warning(mut self) -> Self {
        self.warning = true;
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.warning {
            f.write_str("warning: ")?;
        }
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}; {}", self.what, self.instead)
    }
}

/// A file of the tree as the rules see it.
#[derive(Debug)]
struct File {
    /// From the root, with `/`.
    path: String,
    bytes: u64,
    /// `None` for files that are not UTF-8.
    text: Option<String>,
}

/// Runs every rule. `xtask` is this program's own command, whose flags the docs quote too.
pub(crate) fn run(xtask: &clap::Command) -> Result<()> {
    let files = tree::read()?;
    let mut findings = graph::check()?;
    for file in &files {
        findings.extend(source::check(file));
        findings.extend(words::check(file));
    }
    findings.extend(words::check_site(&files));
    findings.extend(docs::check(&files));
    findings.extend(labels::check(&files));
    findings.extend(flags::check(&files, xtask));
    findings.sort_by(|a, b| (!a.warning, &a.file, a.line).cmp(&(!b.warning, &b.file, b.line)));
    for finding in &findings {
        println!("{finding}");
    }
    let failures = findings.iter().filter(|finding| !finding.warning).count();
    let warnings = findings.len() - failures;
    if failures > 0 {
        bail!("tidy: {failures} findings, {warnings} warnings in {} files", files.len());
    }
    println!("tidy: {} files, no findings, {warnings} warnings", files.len());
    Ok(())
}
