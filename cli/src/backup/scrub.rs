//! `backup scrub`.

use std::fs;

use replicate::scrub;
use replicate::wire::Role;
use serde_json::json;

use super::{Where, check, keys, remote};
use crate::cli::Globals;
use crate::exit::Exit;
use crate::term::{bytes, counted};
use crate::walk::talk;

/// Read a share of everything, what was read longest ago first; exits 1 on damage, which it names
///
/// Run it daily: everything is read once in --days. Where it was is remembered here, with the
/// restore key and without it apart.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub place: Where,
    /// Read everything once in so many days: an equal share for each day since the last run
    #[arg(long, value_name = "DAYS", default_value_t = 30,
        value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
    /// Read so many MiB instead
    #[arg(long, value_name = "MIB", conflicts_with = "days")]
    pub budget: Option<u64>,
    /// Without the restore key: names, structure and signatures only. Finds every flipped bit,
    /// but cannot tell whether pages decrypt
    #[arg(long)]
    pub without_key: bool,
}

pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    let repository = remote::open(&args.place, &[Role::Restore])?;
    let reader =
        if args.without_key { None } else { Some(keys::reader(&args.place, &repository)?) };
    let name = if reader.is_some() { "scrub.json" } else { "scrub-without-key.json" };
    let path = check::record(&repository, name)?;
    let text = fs::read(&path).unwrap_or_default();
    let mut memory: replicate::Memory = serde_json::from_slice(&text).unwrap_or_default();
    let budget = if let Some(mib) = args.budget {
        mib.saturating_mul(1 << 20)
    } else {
        let all: u64 = repository.store.list(None)?.iter().map(|object| object.bytes).sum();
        let last = memory.values().max().copied();
        let days = last.map_or(1.0, |last| super::seconds_since(last) as f64 / 86_400.0);
        // run every hour, it reads an hour's share
        (all as f64 * (days / f64::from(args.days)).min(1.0)).ceil() as u64
    };
    let bar = crate::term::Progress::new("scrub", Some(budget), globals.quiet);
    let bar = std::cell::RefCell::new(bar);
    let reader = reader.as_ref();
    let found = scrub(&repository, reader, &mut memory, budget, &|read| bar.borrow_mut().at(read))?;
    drop(bar);
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let next = path.with_extension("new");
    fs::write(&next, serde_json::to_vec(&memory)?)?;
    fs::rename(next, &path)?;
    let hit = found.hit.iter().map(|number| (*number, false)).collect();
    if let Err(e) = check::remember(&repository, &hit, reader.is_some()) {
        talk(&format!("what is damaged could not be noted: {e}"));
    }
    let good = found.damage.is_empty();
    if globals.json {
        for damage in &found.damage {
            line!("{}", check::damage_json(damage));
        }
        line!(
            "{}",
            json!({
                "schema": "framewalk.scrub/1", "good": good, "objects": found.objects,
                "read": found.read, "all_objects": found.all_objects,
                "all_bytes": found.all_bytes, "never": found.never,
                "oldest": found.oldest.map(super::time), "opened": found.opened,
                "damage": found.damage.len(), "generations": found.hit,
                "with_key": reader.is_some(), "seconds": found.took.as_secs_f64(),
            })
        );
    } else {
        for damage in &found.damage {
            line!("damaged: {damage}");
        }
        if !found.hit.is_empty() {
            line!("generations that need it: {:?}", found.hit);
        }
        let rest = match found.oldest {
            Some(oldest) => format!("all were read, the one longest ago {}", super::age(oldest)),
            None => format!("{} never yet", found.never),
        };
        line!(
            "{} of {} read, {} of {}; {rest}: {}",
            found.objects,
            counted(found.all_objects, "object"),
            bytes(found.read),
            bytes(found.all_bytes),
            if good { "good" } else { "NOT GOOD" },
        );
    }
    Ok(if good { Exit::Done } else { Exit::No })
}
