//! `backup list`.

use std::collections::BTreeMap;

use replicate::{Repository, files, hex};
use serde_json::json;

use super::{Where, keys, push};
use crate::cli::Globals;
use crate::exit::Exit;
use crate::term::{bytes, safe};
use crate::walk::talk;

/// Generations, or the files of one
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub place: Where,
    /// Show the files of this generation (a number or latest); needs the restore key
    #[arg(value_name = "GENERATION")]
    pub generation: Option<String>,
}

pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    let repository = Repository::open(super::directory(&args.place.repo)?)?;
    if let Some(wanted) = &args.generation {
        let manifest = super::generation(&repository, wanted)?;
        let reader = keys::reader(&args.place, &repository)?;
        files(&repository, &reader, &manifest, |file| {
            if globals.json {
                line!("{}", push::file_json(&file, None));
            } else {
                let name = safe(&file.path.display().to_string());
                let size = bytes(file.size);
                line!("{:04o} {size:>10}  {name}  ({})", file.mode, push::judged(&file));
            }
            Ok(())
        })?;
        return Ok(Exit::Done);
    }
    let verified = super::check::remembered(&repository);
    let mut damaged = Vec::new();
    // of each set, the newest that was verified
    let mut sets = BTreeMap::new();
    let mut any = false;
    for read in repository.generations()? {
        let manifest = match read {
            Ok(manifest) => manifest,
            Err(e) => {
                damaged.push(e);
                continue;
            }
        };
        let checked =
            verified.iter().find(|v| v.generation == manifest.number && v.id == manifest.id);
        let newest = sets.entry(manifest.set).or_default();
        if checked.is_some() {
            *newest = Some((manifest.number, manifest.started));
        }
        let (index, layers) = manifest.index_cost();
        if globals.json {
            line!(
                "{}",
                json!({
                    "schema": "framewalk.generation/1", "generation": manifest.number,
                    "id": manifest.id, "set": hex(&manifest.set),
                    "started": super::time(manifest.started),
                    "files": manifest.files, "bytes": manifest.bytes, "sent": manifest.sent,
                    "consistency": manifest.consistency, "because": manifest.because,
                    "base": manifest.is_base(), "base_cost": manifest.base_cost,
                    "index_bytes": index, "layers": layers,
                    "verified": checked.map(|v| super::time(v.time)),
                })
            );
        } else {
            if !any {
                line!(
                    "   no  set       time (UTC)             files        size        sent  state"
                );
            }
            let base = if manifest.is_base() {
                format!(", base of {}", bytes(manifest.base_cost))
            } else {
                String::new()
            };
            let checked = if checked.is_some() { ", verified" } else { ", never verified here" };
            line!(
                "{:>5}  {}  {}  {:>6}  {:>10}  {:>10}  {}{checked}{base}",
                manifest.number,
                &hex(&manifest.set)[..8],
                super::time(manifest.started),
                manifest.files,
                bytes(manifest.bytes),
                bytes(manifest.sent),
                push::consistency(manifest.consistency),
            );
        }
        any = true;
    }
    if !any && damaged.is_empty() && !globals.json {
        line!("no generation yet: framewalk backup push");
    }
    if !globals.quiet && any {
        for (set, newest) in &sets {
            let of =
                if sets.len() > 1 { format!(" of set {}", &hex(set)[..8]) } else { String::new() };
            talk(&match newest {
                Some((number, started)) => format!(
                    "RPO{of}: the newest verified generation is {number}, of {}",
                    super::age(*started)
                ),
                None => format!(
                    "RPO{of}: unknown: nothing was verified from here (framewalk backup verify)"
                ),
            });
        }
        if repository.config.encrypted() {
            talk("NEVER DRILLED: no restore elsewhere from the recovery sheet is on record.");
        }
    }
    for e in &damaged {
        talk(&format!("damaged: {e}"));
    }
    Ok(if damaged.is_empty() { Exit::Done } else { Exit::No })
}
