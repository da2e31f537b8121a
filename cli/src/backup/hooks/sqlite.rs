//! SQLite: a copy by its backup API within one read transaction, so that it is of one moment, log
//! included, and a writer neither waits long nor makes the copy begin anew.
//!
//! sqlite.org/backup.html; sqlite.org/cli.html (`.backup`).

use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, bail};
use replicate::Consistency;
use replicate::push::Hooked;

use super::process::{self, Limits};
use super::{Begun, Place};

/// A transaction is opened by its first read; `.backup` then copies from within it.
const SCRIPT: &str = ".timeout 30000\nBEGIN;\nSELECT count(*) FROM sqlite_schema;\n\
    .backup main copy\nCOMMIT;\n";

/// Copies a database and checks the copy.
pub(super) fn copy(
    path: &Path,
    place: &Place,
    stop: &AtomicBool,
    begun: &mut Begun,
) -> anyhow::Result<Hooked> {
    let real = path.canonicalize();
    let path = real.with_context(|| format!("cannot find {}", path.display()))?;
    if !super::head(&path)?.starts_with(b"SQLite format 3\0") {
        bail!("{}: no SQLite database", path.display());
    }
    let dir = super::folder(place, &path, begun)?;
    let limits = Limits { timeout: place.timeout, stop: Some(stop) };
    // read-only: neither a checkpoint nor a log is left in the database's folder
    let mut command = Command::new("sqlite3");
    command.args(["-batch", "-bail", "-readonly"]).arg(&path).current_dir(&dir);
    let (status, said) = process::output(&mut command, SCRIPT, limits)
        .context("the program sqlite3 makes the copy (Debian: sqlite3)")?;
    let copy = dir.join("copy");
    let whole = || super::head(&copy).is_ok_and(|head| head.starts_with(b"SQLite format 3\0"));
    if !status.success() || !whole() {
        bail!("SQLite could not copy {} ({status}): {said}", path.display());
    }
    let (consistency, checked) = if place.check {
        check(&dir, limits)?
    } else {
        (Consistency::Application, "copied by SQLite, not checked, as asked".to_owned())
    };
    Ok(Hooked {
        left_out: ["-wal", "-shm", "-journal"].map(|end| super::beside(&path, end)).to_vec(),
        path,
        copy: Some(copy),
        hook: "SQLite backup".to_owned(),
        consistency,
        checked,
        mtime_ns: None,
    })
}

fn check(dir: &Path, limits: Limits<'_>) -> anyhow::Result<(Consistency, String)> {
    let mut command = Command::new("sqlite3");
    // immutable: the copy's bytes stay as they are
    command.args(["-batch", "-bail", "-readonly", "file:copy?immutable=1"]);
    command.arg("PRAGMA integrity_check(5);").current_dir(dir);
    let (status, said) = process::output(&mut command, "", limits)?;
    if status.success() && said == "ok" {
        let good = "copied by SQLite, PRAGMA integrity_check of the copy: ok".to_owned();
        return Ok((Consistency::Application, good));
    }
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    Ok((Consistency::Not, format!("copied by SQLite, but PRAGMA integrity_check says: {said}")))
}
