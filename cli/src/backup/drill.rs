//! `backup drill`: restore to scratch, check, put it on record.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use replicate::keys::Key;
use replicate::wire::Role;
use replicate::{
    Drill, Manifest, Reader, Repository, Restored, Tally, WithKey, compare, data_bytes, files, hex,
    record_drill, restore,
};
use serde_json::json;

use super::validate::{self, Check, Outcome};
use super::{Where, keys, remote};
use crate::cli::Globals;
use crate::exit::Exit;
use crate::term::{bytes, counted, safe};
use crate::walk::talk;

/// Restore to scratch, check what came back, put it on record; exits 1 if a check fails
#[derive(Debug, Clone, clap::Args)]
#[command(after_long_help = "A drill that counts is done on another machine, with the recovery \
    sheet:\n  \
    framewalk backup drill --repo REPO --key SHEET\n\n\
    Its record is signed and put into the repository; `list` then says so everywhere. Where the \
    repository cannot be written to, --attest keeps the record in a file, and any machine that \
    can write to it takes it:\n  \
    framewalk backup drill --repo REPO --record FILE")]
pub struct Args {
    #[command(flatten)]
    pub place: Where,
    /// A number, or latest
    #[arg(value_name = "GENERATION", default_value = "latest")]
    pub generation: String,
    /// Where the folder for the restored files is made; it is removed at the end
    /// [default: TMPDIR, else /var/tmp]
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    /// Your own check: a shell command run in the restored folder; 0 is good (repeatable)
    #[arg(long, value_name = "CMD")]
    pub check: Vec<String>,
    /// Stop a check after so many minutes; then it failed
    #[arg(long, value_name = "MINUTES", default_value_t = 60)]
    pub check_minutes: u32,
    /// Leave the restored files where they are
    #[arg(long)]
    pub keep: bool,
    /// Write the signed record to this new file too
    #[arg(long, value_name = "FILE")]
    pub attest: Option<PathBuf>,
    /// Restore nothing: put the record of a drill done elsewhere into the repository
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scratch", "check", "keep", "attest"])]
    pub record: Option<PathBuf>,
}

pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    let repository = remote::open(&args.place, &[Role::Restore])?;
    if let Some(file) = &args.record {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let drill = record_drill(&repository, &text)?;
        print(&drill, &[], None, globals);
        return Ok(Exit::Done);
    }
    let (reader, with) = reader(&args.place, &repository)?;
    let manifest = super::generation(&repository, &args.generation)?;
    let scratch = Scratch::make(args, &repository, &manifest)?;
    let bar = crate::term::Progress::new("drill", Some(manifest.bytes), globals.quiet);
    let bar = std::sync::Mutex::new(bar);
    let restored = restore(&repository, &reader, &manifest, &scratch.files, &[], &|written| {
        if let Ok(mut bar) = bar.lock() {
            bar.at(written);
        }
    });
    drop(bar);
    let mut drill = Drill::new(&repository, &reader, &manifest);
    drill.with = with;
    let begin = Instant::now();
    let restored = match restored {
        Ok(restored) => restored,
        // that it cannot be restored is what a drill is to find out
        Err(e @ replicate::Error::Damage(_)) => {
            let what = PathBuf::from(".");
            let note = e.to_string();
            let check = Check { check: "restore", what, outcome: Outcome::Bad, note };
            return end(args, &repository, &reader, drill, &[check], globals);
        }
        Err(e) => return Err(e.into()),
    };
    let checks = checks(args, &repository, &reader, &manifest, &restored, &scratch)?;
    drill.check_seconds = begin.elapsed().as_secs_f64();
    drill.restore_seconds = restored.took.as_secs_f64();
    (drill.files, drill.bytes) = (restored.files, restored.bytes);
    drill.written = restored.written;
    scratch.end()?;
    end(args, &repository, &reader, drill, &checks, globals)
}

/// The reader, and whether it is the recovery sheet's.
fn reader(place: &Where, repository: &Repository) -> anyhow::Result<(Reader, WithKey)> {
    let sheet = match &place.key {
        Some(file) => Key::is_sheet(file)?,
        None => false,
    };
    let with = if sheet { WithKey::Sheet } else { WithKey::RestoreKey };
    Ok((keys::reader(place, repository)?, with))
}

/// A folder of our own, for restored files: they are patient data.
struct Scratch {
    folder: PathBuf,
    files: PathBuf,
    keep: bool,
}

impl Scratch {
    /// Makes it where there is room.
    fn make(args: &Args, repository: &Repository, manifest: &Manifest) -> anyhow::Result<Self> {
        let below = args.scratch.clone().unwrap_or_else(|| {
            let named = std::env::var_os("TMPDIR").filter(|dir| !dir.is_empty());
            named.map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from)
        });
        let needed = data_bytes(repository, manifest)? + manifest.files * 4096;
        let stat = nix::sys::statvfs::statvfs(&below);
        let stat = stat.with_context(|| format!("the scratch folder {}", below.display()))?;
        let free = stat.blocks_available() * stat.fragment_size();
        // a file system that is filled to the brim serves nobody else
        if needed + needed / 50 > free {
            bail!(
                "generation {} needs {} in {}, where {} are free: name another folder with \
                 --scratch",
                manifest.number,
                bytes(needed),
                below.display(),
                bytes(free)
            );
        }
        let below = below.canonicalize()?;
        let name = format!("framewalk-drill-{}-{}", manifest.number, std::process::id());
        let folder = below.join(name);
        let made = fs::DirBuilder::new().mode(0o700).create(&folder);
        made.with_context(|| format!("make {}", folder.display()))?;
        Ok(Self { files: folder.join("restored"), folder, keep: args.keep })
    }

    /// Removes it, unless it is to be kept.
    fn end(mut self) -> anyhow::Result<()> {
        if self.keep {
            talk(&format!("the restored files are in {}", self.files.display()));
            return Ok(());
        }
        self.keep = true; // dropping it must not try again
        remove(&self.folder).with_context(|| format!("remove {}", self.folder.display()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.keep
            && let Err(e) = remove(&self.folder)
        {
            talk(&format!("NOT REMOVED: {}: {e}", self.folder.display()));
        }
    }
}

/// Removes a tree whose folders may have been restored without the right to write to them.
fn remove(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let Err(first) = fs::remove_dir_all(folder) else { return Ok(()) };
    if first.kind() != std::io::ErrorKind::PermissionDenied {
        return Err(first);
    }
    let mut todo = vec![folder.to_owned()];
    while let Some(dir) = todo.pop() {
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                todo.push(entry.path());
            }
        }
    }
    fs::remove_dir_all(folder)
}

/// Every check of what was restored.
fn checks(
    args: &Args,
    repository: &Repository,
    reader: &Reader,
    manifest: &Manifest,
    restored: &Restored,
    scratch: &Scratch,
) -> anyhow::Result<Vec<Check>> {
    let limit = Duration::from_secs(u64::from(args.check_minutes) * 60);
    let folder = &scratch.files;
    let mut checks = Vec::new();
    let compared = compare(repository, reader, manifest, folder, &|_| {})?;
    let note = format!(
        "{} read back, {} with the digests of the generation",
        bytes(compared.read),
        counted(compared.good, "file")
    );
    if compared.bad.is_empty() {
        let what = PathBuf::from(".");
        checks.push(Check { check: "digest", what, outcome: Outcome::Good, note });
    }
    for (what, note) in compared.bad {
        checks.push(Check { check: "digest", what, outcome: Outcome::Bad, note });
    }
    for (what, why) in &restored.incomplete {
        let (what, note) = (what.clone(), why.clone());
        checks.push(Check { check: "metadata", what, outcome: Outcome::Bad, note });
    }
    // tools write to their copies (a journal is replayed): digests came first
    files(repository, reader, manifest, |file| {
        use replicate::catalog::FileKind::{Directory, Disk, File};
        let path = folder.join(&file.path);
        checks.extend(match file.kind {
            File | Disk => validate::file(&file.path, &path, limit),
            Directory => {
                let (what, top) = (&file.path, &scratch.folder);
                validate::folder(validate::Folder { what, path: &path, top }, limit)
            }
            _ => None,
        });
        Ok(())
    })?;
    checks.extend(args.check.iter().map(|line| validate::command(line, folder, limit)));
    Ok(checks)
}

/// Puts the drill on record and says what it found.
fn end(
    args: &Args,
    repository: &Repository,
    reader: &Reader,
    mut drill: Drill,
    checks: &[Check],
    globals: &Globals,
) -> anyhow::Result<Exit> {
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    for check in checks {
        let none = || Tally { check: check.check.to_owned(), good: 0, bad: 0, untested: 0 };
        let tally = tallies.entry(check.check).or_insert_with(none);
        match check.outcome {
            Outcome::Good => tally.good += 1,
            Outcome::Bad => tally.bad += 1,
            Outcome::Untested => tally.untested += 1,
        }
    }
    drill.checks = tallies.into_values().collect();
    drill.good = checks.iter().all(|check| check.outcome != Outcome::Bad);
    let mut recorded = false;
    match drill.signed(reader) {
        Ok(text) => {
            if let Some(file) = &args.attest {
                replicate::keys::write_private(file, &text)?;
            }
            match record_drill(repository, &text) {
                Ok(_) => recorded = true,
                Err(e) => {
                    talk(&format!("the repository did not take the record: {e}"));
                    if args.attest.is_none() {
                        talk("keep it with --attest FILE, and drill --record FILE elsewhere");
                    }
                }
            }
        }
        Err(e) => talk(&format!("not recorded in the repository: {e}")),
    }
    if let Err(e) = note(repository, &drill, checks) {
        talk(&format!("the drill could not be noted here: {e}"));
    }
    print(&drill, checks, Some(recorded), globals);
    Ok(if drill.good { Exit::Done } else { Exit::No })
}

/// Appends to the record of this machine, with the names of files.
fn note(repository: &Repository, drill: &Drill, checks: &[Check]) -> anyhow::Result<()> {
    let folder = keys::state_dir()?.join(hex(&repository.config.repository));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let mut options = fs::OpenOptions::new();
    let mut file =
        options.append(true).create(true).mode(0o600).open(folder.join("drills.jsonl"))?;
    writeln!(file, "{}", object(drill, checks, None))?;
    file.sync_all()?;
    Ok(())
}

fn elsewhere(drill: &Drill) -> &'static str {
    match drill.elsewhere {
        Some(true) => "another machine",
        Some(false) => "the machine that pushed it",
        None => "a machine of which the generation does not say whether it pushed it",
    }
}

/// `framewalk.drill/1`.
fn object(drill: &Drill, checks: &[Check], recorded: Option<bool>) -> serde_json::Value {
    json!({
        "schema": "framewalk.drill/1", "good": drill.good, "proves": drill.proves(),
        "time": super::time(drill.time),
        "generation": drill.generation, "id": drill.id, "set": hex(&drill.set),
        "started": super::time(drill.started), "machine": hex(&drill.machine.id),
        "elsewhere": drill.elsewhere, "with": drill.with, "files": drill.files,
        "bytes": drill.bytes, "written": drill.written,
        "restore_seconds": drill.restore_seconds, "check_seconds": drill.check_seconds,
        "tally": drill.checks, "recorded": recorded,
        "checks": checks.iter().map(|check| json!({
            "check": check.check, "what": check.what.to_string_lossy(),
            "outcome": check.outcome.word(), "note": check.note,
        })).collect::<Vec<_>>(),
    })
}

fn print(drill: &Drill, checks: &[Check], recorded: Option<bool>, globals: &Globals) {
    if globals.json {
        line!("{}", object(drill, checks, recorded));
        return;
    }
    for check in checks {
        let what = safe(&check.what.display().to_string());
        line!("{:<10} {:<12} {what}: {}", check.check, check.outcome.word(), check.note);
    }
    let with = match drill.with {
        WithKey::Sheet => "the recovery sheet",
        WithKey::RestoreKey => "restore.key",
    };
    line!(
        "generation {} of {}: {}, {} on {}, with {with}",
        drill.generation,
        super::time(drill.started),
        counted(drill.files, "file"),
        bytes(drill.bytes),
        elsewhere(drill),
    );
    line!(
        "restored in {:.2} s, checked in {:.2} s: {}",
        drill.restore_seconds,
        drill.check_seconds,
        if drill.good { "good" } else { "NOT GOOD" }
    );
    line!("a part of an RTO only: hardware, installation and people are not in it");
    if drill.good && !drill.proves() {
        line!("does not count for `list`: drill on another machine, with the recovery sheet");
    }
}
