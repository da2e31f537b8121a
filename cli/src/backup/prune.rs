//! `backup prune`.

use anyhow::bail;
use replicate::wire::Role;
use replicate::{Retention, prune};
use serde_json::json;

use super::{Where, keys, remote};
use crate::cli::Globals;
use crate::exit::Exit;
use crate::term::{bytes, counted};

/// Drop generations
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub place: Where,
    /// Keep the newest N of each set of paths
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub keep_last: usize,
    /// Keep the newest of each of N days that have one
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub keep_daily: usize,
    /// Keep the newest of each of N weeks
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub keep_weekly: usize,
    /// Keep the newest of each of N months
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub keep_monthly: usize,
    /// Unneeded objects younger than this stay: a running push may need them
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    pub grace_hours: u32,
    /// Only say what would be dropped
    #[arg(long)]
    pub dry_run: bool,
}

pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    let retention = Retention {
        last: args.keep_last,
        daily: args.keep_daily,
        weekly: args.keep_weekly,
        monthly: args.keep_monthly,
    };
    if retention.last + retention.daily + retention.weekly + retention.monthly == 0 {
        bail!("say what to keep: --keep-last, --keep-daily, --keep-weekly, --keep-monthly");
    }
    let repository = remote::open(&args.place, &[Role::Prune])?;
    let key = keys::read(&args.place, &repository, "prune.key")?;
    let grace = i64::from(args.grace_hours) * 3600;
    let done = prune(&repository, &key, &retention, grace, args.dry_run)?;
    let seconds = done.took.as_secs_f64();
    if globals.json {
        line!(
            "{}",
            json!({
                "schema": "framewalk.prune/1", "kept": done.kept, "dropped": done.dropped,
                "deleted": done.deleted, "freed": done.freed, "compacted": done.compacted,
                "copied": done.copied, "young": done.young, "live": done.live,
                "seconds": seconds, "dry_run": args.dry_run,
            })
        );
        return Ok(Exit::Done);
    }
    let would = if args.dry_run { "would be " } else { "" };
    line!(
        "{} kept, {} {would}dropped{}",
        counted(done.kept.len() as u64, "generation"),
        done.dropped.len(),
        if done.dropped.is_empty() { String::new() } else { format!(": {:?}", done.dropped) },
    );
    if !args.dry_run {
        line!(
            "{} deleted, {} made free; {} compacted, {} copied; {seconds:.2} s",
            counted(done.deleted, "object"),
            bytes(done.freed),
            counted(done.compacted, "segment"),
            bytes(done.copied),
        );
        if done.young > 0 {
            line!("{} unneeded but young: left for a later prune", counted(done.young, "object"));
        }
    }
    Ok(Exit::Done)
}
