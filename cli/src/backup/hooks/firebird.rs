//! Firebird: while nbackup's lock is on, the database's file does not change; what is committed
//! goes into a `.delta` beside it, which the unlock merges.
//!
//! firebirdsql.org, "Firebird's nbackup tool", chapter "Backups with an external tool".

use std::fs;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, bail};
use replicate::Consistency;
use replicate::push::Hooked;

use super::process::{self, Limits};
use super::{Begun, Place, Undo};
use crate::walk::talk;

/// A lock that we hold, noted in a file that says so to the next push if we are killed.
struct Lock {
    name: String,
    note: PathBuf,
    /// Locked as long as this process lives.
    _held: fs::File,
    timeout: Duration,
}

impl Undo for Lock {
    fn undo(&mut self) -> anyhow::Result<()> {
        unlock(&self.name, self.timeout)?;
        let note = &self.note;
        fs::remove_file(note).with_context(|| format!("cannot remove {}", note.display()))
    }
}

fn unlock(name: &str, timeout: Duration) -> anyhow::Result<()> {
    // whatever happened: also after a signal
    let limits = Limits { timeout, stop: None };
    let done = process::output(Command::new("nbackup").args(["-N", name]), "", limits);
    let why = match done {
        Ok((status, _)) if status.success() => return Ok(()),
        Ok((_, said)) if said.contains("not in the physical backup mode") => return Ok(()),
        Ok((status, said)) => format!("{status}: {said}"),
        Err(e) => format!("{e:#}"),
    };
    bail!("{name} IS STILL LOCKED, and its delta grows: run nbackup -N {name} ({why})")
}

/// Locks a database, checks a copy of what is going to be read, and says so.
pub(super) fn hold(
    name: &str,
    place: &Place,
    stop: &AtomicBool,
    begun: &mut Begun,
) -> anyhow::Result<Hooked> {
    let file = name.strip_prefix("localhost:").unwrap_or(name);
    let path = Path::new(file).canonicalize().with_context(|| format!("cannot find {file}"))?;
    let real = path.to_str().with_context(|| format!("{file}: a name that is no text"))?;
    let name = if file.len() < name.len() { format!("localhost:{real}") } else { real.to_owned() };
    lock(&name, &path, place, stop, begun)?;
    let mtime = super::mtime(&path)?;
    let (consistency, checked) = if place.check {
        check(&path, place, stop)?
    } else {
        (Consistency::Application, "nbackup lock, not checked, as asked".to_owned())
    };
    Ok(Hooked {
        left_out: vec![super::beside(&path, ".delta")],
        path,
        copy: None,
        hook: "nbackup lock".to_owned(),
        consistency,
        checked,
        mtime_ns: Some(mtime),
    })
}

fn lock(
    name: &str,
    path: &Path,
    place: &Place,
    stop: &AtomicBool,
    begun: &mut Begun,
) -> anyhow::Result<()> {
    let is_locked = || -> anyhow::Result<bool> {
        let known = replicate::is_locked(&super::head(path)?);
        known.with_context(|| {
            format!("{}: no Firebird database of a version known here", path.display())
        })
    };
    let before = is_locked()?;
    let note = place.locks.join(format!("{}.lock", super::id(path)));
    let mut options = fs::OpenOptions::new();
    let opened = options.read(true).write(true).create(true).truncate(false).open(&note);
    let mut held = opened.with_context(|| format!("cannot open {}", note.display()))?;
    if held.try_lock().is_err() {
        bail!("another push holds the lock of {name} ({})", note.display());
    }
    let mut since = String::new();
    held.read_to_string(&mut since)?;
    if before && since.is_empty() {
        bail!(
            "{name} is locked by nbackup already, and not by framewalk: another backup of it is \
             running, or one was killed; then nbackup -N {name} unlocks it"
        );
    }
    if before {
        unlock(name, place.timeout)?;
        let since = since.trim();
        talk(&format!("{name}: unlocked; a push that was killed had left it locked since {since}"));
    }
    let now = super::super::time(jiff::Timestamp::now().as_second());
    held.rewind()?;
    held.set_len(0)?;
    writeln!(held, "{now}").and_then(|()| held.sync_all()).context("cannot note the lock")?;
    let undo = Lock { name: name.to_owned(), note, _held: held, timeout: place.timeout };
    begun.0.push(Box::new(undo)); // before it is locked: a lock that was half taken is undone too
    let limits = Limits { timeout: place.timeout, stop: Some(stop) };
    let (status, said) = process::output(Command::new("nbackup").args(["-L", name]), "", limits)
        .context("nbackup comes with Firebird (Debian: firebird3.0-utils)")?;
    if !status.success() {
        bail!("nbackup -L {name} failed ({status}): {said}");
    }
    if !is_locked()? {
        bail!("nbackup -L {name} succeeded, but {} is not locked", path.display());
    }
    Ok(())
}

/// Validates a copy of the locked file, byte for byte what is going to be read.
fn check(path: &Path, place: &Place, stop: &AtomicBool) -> anyhow::Result<(Consistency, String)> {
    let mut copied = Begun::default();
    let copy = super::folder(place, path, &mut copied)?.join("copy.fdb");
    fs::copy(path, &copy).with_context(|| {
        format!(
            "no copy of {} to check (--scratch names a place, --no-check does without)",
            path.display()
        )
    })?;
    let limits = Limits { timeout: place.timeout, stop: Some(stop) };
    let fixed = process::output(Command::new("nbackup").arg("-F").arg(&copy), "", limits)?;
    if !fixed.0.success() {
        bail!("nbackup -F of a copy of {} failed: {}", path.display(), fixed.1);
    }
    let mut gfix = Command::new("gfix");
    gfix.args(["-v", "-full"]).arg(&copy);
    let (status, said) = process::output(&mut gfix, "", limits)?;
    if !status.success() && !said.contains("validation errors") {
        bail!("gfix -v -full of a copy of {} could not run ({status}): {said}", path.display());
    }
    if said.is_empty() {
        let good = "nbackup lock, gfix -v -full found no errors".to_owned();
        return Ok((Consistency::Application, good));
    }
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    Ok((Consistency::Not, format!("nbackup lock, but gfix -v -full found errors: {said}")))
}
