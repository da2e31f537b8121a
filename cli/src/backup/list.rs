//! `backup list`.

use std::collections::BTreeMap;

use replicate::wire::Role;
use replicate::{Drill, Manifest, Repository, drills, files, hex};
use serde_json::json;

use super::check::Known;
use super::{Where, keys, push, remote};
use crate::cli::Globals;
use crate::exit::Exit;
use crate::term::{bytes, safe};
use crate::walk::talk;

/// A drill older than so many seconds is shouted about: half a year.
const DRILL_AGE: u64 = 182 * 86_400;

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
    let repository = remote::open(&args.place, &[Role::Restore, Role::Prune, Role::Source])?;
    if let Some(wanted) = &args.generation {
        show_files(args, &repository, wanted, globals)?;
        return Ok(Exit::Done);
    }
    let verified = super::check::remembered(&repository);
    let (drills, bad_drills) = drills(&repository)?;
    let mut damaged = Vec::new();
    let mut manifests = Vec::new();
    let mut sets: BTreeMap<[u8; 8], Set<'_>> = BTreeMap::new();
    for read in repository.generations()? {
        match read {
            Ok(manifest) => manifests.push(manifest),
            Err(e) => damaged.push(e),
        }
    }
    damaged.extend(bad_drills);
    let checked: Vec<_> = manifests.iter().map(|m| when(m, &verified, &drills)).collect();
    for (manifest, checked) in manifests.iter().zip(&checked) {
        let set = sets.entry(manifest.set).or_default();
        if checked.is_some() {
            set.newest = Some((manifest.number, manifest.started));
        }
    }
    for drill in &drills {
        let Some(set) = sets.get_mut(&drill.set) else { continue };
        set.last = Some(drill);
        if drill.proves() {
            set.proof = Some(drill);
        }
    }
    if globals.json {
        // first: what follows is the generations, oldest first
        for (set, what) in &sets {
            line!("{}", what.json(*set));
        }
    }
    for (at, (manifest, checked)) in manifests.iter().zip(&checked).enumerate() {
        if globals.json {
            line!("{}", generation_json(manifest, *checked));
            continue;
        }
        if at == 0 {
            line!("   no  set       time (UTC)             files        size        sent  state");
        }
        line!("{}", generation_line(manifest, *checked));
    }
    if manifests.is_empty() && damaged.is_empty() && !globals.json {
        line!("no generation yet: framewalk backup push");
    }
    if !globals.quiet {
        for (set, what) in &sets {
            let of =
                if sets.len() > 1 { format!(" of set {}", &hex(set)[..8]) } else { String::new() };
            what.say(&of);
        }
    }
    for e in &damaged {
        talk(&format!("damaged: {e}"));
    }
    Ok(if damaged.is_empty() { Exit::Done } else { Exit::No })
}

/// Shows what a generation holds.
fn show_files(
    args: &Args,
    repository: &Repository,
    wanted: &str,
    globals: &Globals,
) -> anyhow::Result<()> {
    let manifest = super::generation(repository, wanted)?;
    let reader = keys::reader(&args.place, repository)?;
    files(repository, &reader, &manifest, |file| {
        if globals.json {
            line!("{}", push::file_json(&file, None));
        } else {
            let name = safe(&file.path.display().to_string());
            let size = bytes(file.size);
            line!("{:04o} {size:>10}  {name}  ({})", file.mode, push::judged(&file));
        }
        Ok(())
    })?;
    Ok(())
}

/// When a generation was verified: from here, or by a drill that is on record.
fn when(manifest: &Manifest, verified: &[Known], drills: &[Drill]) -> Option<i64> {
    let here = verified.iter().find(|v| v.generation == manifest.number && v.id == manifest.id);
    let known = here.filter(|v| !v.damaged).map(|v| v.time);
    // what was found damaged since is not made good by an older drill
    let since = here.filter(|v| v.damaged).map_or(i64::MIN, |v| v.time);
    let drilled = drills.iter().filter(|d| d.good && d.id == manifest.id && d.time > since);
    drilled.map(|d| d.time).chain(known).max()
}

/// What is known of a set.
#[derive(Default)]
struct Set<'a> {
    /// The newest verified generation, and when its push began.
    newest: Option<(u32, i64)>,
    /// The last drill.
    last: Option<&'a Drill>,
    /// The last that was good, on another machine, from the sheet.
    proof: Option<&'a Drill>,
}

impl Set<'_> {
    /// `framewalk.backup-set/1`.
    fn json(&self, set: [u8; 8]) -> serde_json::Value {
        let drill = |drill: &Drill| {
            json!({
                "time": super::time(drill.time), "generation": drill.generation,
                "good": drill.good, "elsewhere": drill.elsewhere, "with": drill.with,
                "restore_seconds": drill.restore_seconds, "bytes": drill.bytes,
            })
        };
        json!({
            "schema": "framewalk.backup-set/1", "set": hex(&set),
            "verified_generation": self.newest.map(|(number, _)| number),
            "rpo_seconds": self.newest.map(|(_, started)| super::seconds_since(started)),
            "drill": self.last.map(drill), "proof": self.proof.map(drill),
        })
    }

    fn say(&self, of: &str) {
        talk(&match self.newest {
            Some((number, started)) => format!(
                "RPO{of}: the newest verified generation is {number}, of {}",
                super::age(started)
            ),
            None => format!(
                "RPO{of}: unknown: nothing was verified from here (framewalk backup verify)"
            ),
        });
        if let Some(last) = self.last.filter(|last| !last.good) {
            talk(&format!(
                "THE LAST DRILL{of} FAILED: generation {}, {}",
                last.generation,
                super::age(last.time)
            ));
        }
        let Some(proof) = self.proof else {
            let other = self.last.filter(|last| last.good).map_or_else(String::new, |last| {
                let why = if last.elsewhere == Some(true) {
                    "with restore.key, not from the sheet"
                } else {
                    "not on another machine"
                };
                format!(" The last drill was {why}.")
            });
            talk(&format!(
                "NEVER DRILLED{of}: no restore on another machine from the recovery sheet is on \
                 record.{other} There: framewalk backup drill --repo REPO --key SHEET"
            ));
            return;
        };
        let old = super::seconds_since(proof.time) > DRILL_AGE;
        talk(&format!(
            "{}{of}: generation {} was restored on another machine ({}) from the recovery sheet \
             {}: {} in {:.1} s, good{}",
            if old { "DRILLED LONG AGO" } else { "drilled" },
            proof.generation,
            &hex(&proof.machine.id)[..8],
            super::age(proof.time),
            bytes(proof.bytes),
            proof.restore_seconds,
            if old { ". Drill again." } else { "" }
        ));
    }
}

fn generation_json(manifest: &Manifest, checked: Option<i64>) -> serde_json::Value {
    let (index, layers) = manifest.index_cost();
    json!({
        "schema": "framewalk.generation/1", "generation": manifest.number,
        "id": manifest.id, "set": hex(&manifest.set),
        "started": super::time(manifest.started),
        "files": manifest.files, "bytes": manifest.bytes, "sent": manifest.sent,
        "consistency": manifest.consistency, "because": manifest.because,
        "base": manifest.is_base(), "base_cost": manifest.base_cost,
        "index_bytes": index, "layers": layers, "verified": checked.map(super::time),
    })
}

fn generation_line(manifest: &Manifest, checked: Option<i64>) -> String {
    let base = if manifest.is_base() {
        format!(", base of {}", bytes(manifest.base_cost))
    } else {
        String::new()
    };
    let checked = if checked.is_some() { ", verified" } else { ", never verified here" };
    format!(
        "{:>5}  {}  {}  {:>6}  {:>10}  {:>10}  {}{checked}{base}",
        manifest.number,
        &hex(&manifest.set)[..8],
        super::time(manifest.started),
        manifest.files,
        bytes(manifest.bytes),
        bytes(manifest.sent),
        push::consistency(manifest.consistency),
    )
}
