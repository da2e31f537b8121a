//! `backup init`.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use anyhow::Context;
use replicate::keys::write_private;
use replicate::{Error, InitOptions, Repository};
use serde_json::json;

use super::keys;
use crate::cli::Globals;
use crate::exit::Exit;
use crate::walk::talk;

/// Make a repository
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The repository: a directory that is empty or does not exist
    #[arg(value_name = "REPO")]
    pub repo: PathBuf,
    /// Where the keys go [default: ~/.config/framewalk/backup/ID]
    #[arg(long, value_name = "DIR")]
    pub key_dir: Option<PathBuf>,
    /// Where the recovery sheet goes [default: recovery.txt beside the keys]
    #[arg(long, value_name = "FILE")]
    pub recovery: Option<PathBuf>,
    /// Leave pages and names readable to everybody who can read the repository
    #[arg(long)]
    pub no_encryption: bool,
    /// A segment is closed at this many MiB
    #[arg(long, value_name = "MIB", default_value_t = 16, value_parser = range(8..=64))]
    pub segment_mib: u32,
    /// For tests: a segment is closed at this many KiB
    #[arg(long, value_name = "KIB", hide = true, value_parser = range(64..=65536))]
    pub segment_kib: Option<u32>,
    /// A new base after so many generations
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = range(1..=1024))]
    pub base_every: u32,
}

fn range(range: std::ops::RangeInclusive<i64>) -> clap::builder::RangedI64ValueParser<u32> {
    clap::builder::RangedI64ValueParser::<u32>::new().range(range)
}

pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    let repo = super::directory(&args.repo)?;
    let segment = args.segment_kib.map_or(args.segment_mib << 20, |kib| kib << 10);
    let options =
        InitOptions { encryption: !args.no_encryption, segment, base_every: args.base_every };
    let mut places = None;
    let made = Repository::init(repo, &options, |made| {
        let dir = match &args.key_dir {
            Some(dir) => dir.clone(),
            None => {
                keys::default_dir(&made.repository).map_err(|e| Error::Request(e.to_string()))?
            }
        };
        let sheet = args.recovery.clone().unwrap_or_else(|| dir.join("recovery.txt"));
        let io =
            |operation, path: &PathBuf, source| Error::Io { operation, path: path.clone(), source };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|e| io("make the folder of keys", &dir, e))?;
        for (key, name) in [
            (&made.source, "source.key"),
            (&made.restore, "restore.key"),
            (&made.prune, "prune.key"),
        ] {
            key.write(&dir.join(name))?;
        }
        write_private(&sheet, &made.sheet)?;
        fs::File::open(&dir).and_then(|dir| dir.sync_all()).map_err(|e| io("sync", &dir, e))?;
        places = Some((dir, sheet));
        Ok(())
    })?;
    let (dir, sheet) = places.context("the keys were not kept")?;
    let (dir_text, sheet_text) = (dir.display(), sheet.display());
    if globals.json {
        line!(
            "{}",
            json!({
                "schema": "framewalk.backup-init/1", "repository": made.repository,
                "keys": dir, "recovery": sheet, "encrypted": options.encryption,
            })
        );
    } else {
        line!("repository  {} ({})", repo.display(), made.repository);
        line!("keys        {dir_text}: source.key, restore.key, prune.key");
        line!("recovery    {sheet_text}: print it");
    }
    if !globals.quiet {
        talk("The restore key must not stay on the machine that is backed up alone: if that is");
        talk("lost, so is every backup. Print the recovery sheet, copy restore.key elsewhere, and");
        talk("restore there once. Move prune.key away too: whoever has it can drop generations.");
        if !options.encryption {
            talk("Nothing is encrypted: whoever can read the repository can read the files.");
        }
    }
    Ok(Exit::Done)
}
