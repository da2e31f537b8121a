//! `backup restore`.

use std::path::PathBuf;

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
    if globals.json {
        line!(
            "{}",
            json!({
                "schema": "framewalk.restore/1", "generation": manifest.number,
                "files": restored.files, "bytes": restored.bytes, "written": restored.written,
                "seconds": seconds, "verified": true,
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
    Ok(if restored.incomplete.is_empty() { Exit::Done } else { Exit::Failed })
}
