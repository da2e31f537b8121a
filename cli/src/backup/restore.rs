//! `backup restore`.

use std::path::PathBuf;

use anyhow::{Context, bail};
use replicate::restore;
use replicate::wire::Role;
use serde_json::json;

use super::{Where, keys, remote};
use crate::cli::Globals;
use crate::exit::Exit;
use crate::term::{bytes, counted, safe};
use crate::walk::talk;

/// Bring back a generation
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub place: Where,
    /// A number, or latest
    #[arg(value_name = "GENERATION", default_value = "latest")]
    pub generation: String,
    /// A directory that is empty or does not exist
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Only this file or what is below it, as `list GENERATION` names it (repeatable)
    #[arg(long, value_name = "PATH")]
    pub only: Vec<PathBuf>,
    /// Run `nbackup -F` on Firebird databases that were taken under its lock
    #[arg(long)]
    pub fixup: bool,
}

pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    let repository = remote::open(&args.place, &[Role::Restore])?;
    let manifest = super::generation(&repository, &args.generation)?;
    let reader = keys::reader(&args.place, &repository)?;
    let bar = crate::term::Progress::new("restore", Some(manifest.bytes), globals.quiet);
    let bar = std::sync::Mutex::new(bar);
    let restored = restore(&repository, &reader, &manifest, &args.to, &args.only, &|written| {
        if let Ok(mut bar) = bar.lock() {
            bar.at(written);
        }
    })?;
    drop(bar);
    let seconds = restored.took.as_secs_f64();
    let fixed = if args.fixup { fixup(&restored.locked) } else { Ok(()) };
    if globals.json {
        line!(
            "{}",
            json!({
                "schema": "framewalk.restore/1", "generation": manifest.number,
                "files": restored.files, "bytes": restored.bytes, "written": restored.written,
                "seconds": seconds, "verified": true,
                "locked": restored.locked.iter().map(|path| path.to_string_lossy())
                    .collect::<Vec<_>>(), "fixed": args.fixup && fixed.is_ok(),
                "incomplete": restored.incomplete.iter()
                    .map(|(path, why)| json!({"path": path.to_string_lossy(), "why": why}))
                    .collect::<Vec<_>>(),
            })
        );
    } else {
        let holes = if restored.written < restored.bytes {
            format!(" ({} written, the rest are holes)", bytes(restored.written))
        } else {
            String::new()
        };
        line!(
            "generation {} of {} ({}): {}, {}{holes} in {seconds:.2} s, every page verified",
            manifest.number,
            super::time(manifest.started),
            super::push::consistency(manifest.consistency),
            counted(restored.files, "file"),
            bytes(restored.bytes),
        );
    }
    for (path, why) in &restored.incomplete {
        talk(&format!("not as it was: {}: {why}", safe(&path.display().to_string())));
    }
    for path in restored.locked.iter().filter(|_| !args.fixup && !globals.quiet) {
        let path = safe(&path.display().to_string());
        talk(&format!(
            "{path}: taken under nbackup's lock; before it is opened: nbackup -F {path}"
        ));
    }
    fixed?;
    Ok(if restored.incomplete.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Makes databases of their own of files that were taken under nbackup's lock.
fn fixup(locked: &[PathBuf]) -> anyhow::Result<()> {
    for path in locked {
        let run = std::process::Command::new("nbackup").arg("-F").arg(path).output();
        let run = run.context("nbackup comes with Firebird (Debian: firebird3.0-utils)")?;
        if !run.status.success() {
            let said = [run.stdout, run.stderr].concat();
            let said = String::from_utf8_lossy(&said).trim().to_owned();
            bail!("nbackup -F {} failed ({}): {said}", path.display(), run.status);
        }
    }
    Ok(())
}
