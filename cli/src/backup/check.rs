//! `backup verify`, and what it found before.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use replicate::wire::Role;
use replicate::{Hash, Manifest, Repository, hex, verify};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Where, keys, remote};
use crate::cli::Globals;
use crate::exit::Exit;
use crate::term::{bytes, counted, grouped, safe};
use crate::walk::talk;

/// Read everything, check everything
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub place: Where,
    /// Only this generation (a number or latest)
    #[arg(value_name = "GENERATION")]
    pub generation: Option<String>,
    /// Without the restore key: names, sizes, structure and signatures only
    #[arg(long)]
    pub without_key: bool,
}

/// A generation that was verified from here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) generation: u32,
    pub(super) id: Hash,
    /// Seconds since 1970.
    pub(super) time: i64,
    /// It was found not to be good.
    #[serde(default)]
    pub(super) damaged: bool,
}

pub(super) fn record(repository: &Repository, name: &str) -> anyhow::Result<PathBuf> {
    Ok(keys::state_dir()?.join(hex(&repository.config.repository)).join(name))
}

/// What was verified from here before.
pub(super) fn remembered(repository: &Repository) -> Vec<Known> {
    let text = record(repository, "verified.json").ok().and_then(|path| fs::read(path).ok());
    text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Notes what is good now, if all of it was `opened`, and what is not.
pub(super) fn remember(
    repository: &Repository,
    found: &BTreeMap<u32, bool>,
    opened: bool,
) -> anyhow::Result<()> {
    let path = record(repository, "verified.json")?;
    let mut known = remembered(repository);
    let time = super::seconds_since(0) as i64;
    for (&number, &good) in found {
        if good && !opened {
            continue;
        }
        known.retain(|known| known.generation != number);
        let id = Manifest::get(repository, number)?.id;
        known.push(Known { generation: number, id, time, damaged: !good });
    }
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let next = path.with_extension("new");
    fs::write(&next, serde_json::to_vec(&known)?)?;
    fs::rename(next, path)?;
    Ok(())
}

/// `framewalk.damage/1`.
pub(super) fn damage_json(damage: &replicate::Damage) -> serde_json::Value {
    json!({
        "schema": "framewalk.damage/1", "object": damage.object, "offset": damage.offset,
        "expected": damage.expected, "found": damage.found,
    })
}

pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    let repository = remote::open(&args.place, &[Role::Restore, Role::Prune])?;
    let reader =
        if args.without_key { None } else { Some(keys::reader(&args.place, &repository)?) };
    let only = match &args.generation {
        Some(wanted) if wanted != "latest" => {
            Some(wanted.parse().with_context(|| format!("{wanted} is no number of a generation"))?)
        }
        Some(latest) => Some(super::generation(&repository, latest)?.number),
        None => None,
    };
    let progress = std::sync::Mutex::new(crate::term::Progress::new("verify", None, globals.quiet));
    let found = verify(&repository, reader.as_ref(), only, &|read| {
        if let Ok(mut progress) = progress.lock() {
            progress.at(read);
        }
    })?;
    drop(progress);
    let good = found.damage.is_empty();
    if let Err(e) = remember(&repository, &found.generations, reader.is_some()) {
        talk(&format!("what was verified could not be noted: {e}"));
    }
    if globals.json {
        for damage in &found.damage {
            line!("{}", damage_json(damage));
        }
        line!(
            "{}",
            json!({
                "schema": "framewalk.verify/1", "good": good, "generations": found.generations,
                "damage": found.damage.len(), "read": found.read, "opened": found.opened,
                "unneeded": found.unneeded, "foreign": found.foreign,
                "seconds": found.took.as_secs_f64(), "with_key": reader.is_some(),
            })
        );
    } else {
        for damage in &found.damage {
            line!("damaged: {damage}");
        }
        for foreign in &found.foreign {
            line!("foreign object: {}", safe(foreign));
        }
        for (number, good) in &found.generations {
            line!("generation {number}: {}", if *good { "good" } else { "NOT GOOD" });
        }
        let depth = match reader {
            Some(_) => format!("{} pages and chunks opened", grouped(found.opened)),
            None => "names, sizes, structure and signatures only".to_owned(),
        };
        let seconds = found.took.as_secs_f64();
        line!("{} read in {seconds:.2} s; {depth}", bytes(found.read));
        if !found.unneeded.is_empty() {
            let count = counted(found.unneeded.len() as u64, "object");
            line!(
                "{count} that no generation needs (left by a push that did not end, or by others)"
            );
        }
    }
    Ok(if good { Exit::Done } else { Exit::No })
}
