//! `backup init`: in a directory of this machine, or behind a server that awaits it.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use replicate::keys::{Key, write_private};
use replicate::wire::{Code, Joined, Role};
use replicate::{Draft, Error, InitOptions, NewKeys, Repository, hex};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::path::PathArgs;
use super::{keys, remote};
use crate::cli::Globals;
use crate::exit::Exit;
use crate::walk::talk;

/// The files of a repository's keys.
const KEYS: [&str; 3] = ["source.key", "restore.key", "prune.key"];

/// Make a repository
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The repository: a directory that is empty or does not exist, or tls://HOST:PORT where a
    /// server awaits it
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
    /// At a server: the code of `backup enrol --role init`, for the first try
    #[arg(long, value_name = "CODE")]
    pub code: Option<String>,
    /// Where this machine's key for the server goes [default: as every command looks for it]
    #[arg(long, value_name = "DIR")]
    pub peer_dir: Option<PathBuf>,
    /// How the server is reached
    #[command(flatten)]
    pub path: PathArgs,
}

fn range(range: std::ops::RangeInclusive<i64>) -> clap::builder::RangedI64ValueParser<u32> {
    clap::builder::RangedI64ValueParser::<u32>::new().range(range)
}

/// What was made, and where its keys are.
struct Made {
    repository: String,
    keys: PathBuf,
    recovery: PathBuf,
}

impl Args {
    fn options(&self) -> InitOptions {
        let segment = self.segment_kib.map_or(self.segment_mib << 20, |kib| kib << 10);
        let (encryption, base_every) = (!self.no_encryption, self.base_every);
        InitOptions { encryption, segment, base_every }
    }

    /// Where the keys and the recovery sheet go.
    fn places(&self, repository: &str) -> anyhow::Result<(PathBuf, PathBuf)> {
        let dir = self.key_dir.clone().map_or_else(|| keys::default_dir(repository), Ok)?;
        let sheet = self.recovery.clone().unwrap_or_else(|| dir.join("recovery.txt"));
        // a second try may be typed in another folder
        Ok((std::path::absolute(dir)?, std::path::absolute(sheet)?))
    }
}

pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    let made = if args.repo.to_string_lossy().starts_with("tls://") {
        behind_a_server(args)?
    } else {
        in_a_directory(args)?
    };
    let Made { repository, keys, recovery } = &made;
    if globals.json {
        line!(
            "{}",
            json!({
                "schema": "framewalk.backup-init/1", "repository": repository,
                "keys": keys, "recovery": recovery, "encrypted": !args.no_encryption,
            })
        );
    } else {
        line!("repository  {} ({repository})", args.repo.display());
        line!("keys        {}: {}", keys.display(), KEYS.join(", "));
        line!("recovery    {}: print it", recovery.display());
    }
    if !globals.quiet {
        talk("The restore key must not stay on the machine that is backed up alone: if that is");
        talk("lost, so is every backup. Print the recovery sheet, copy restore.key elsewhere, and");
        talk("restore there once. Move prune.key away too: whoever has it can drop generations.");
        if args.no_encryption {
            talk("Nothing is encrypted: whoever can read the repository can read the files.");
        }
    }
    Ok(Exit::Done)
}

fn in_a_directory(args: &Args) -> anyhow::Result<Made> {
    let repo = super::directory(&args.repo)?;
    if args.code.is_some() || args.path.path_interface.is_some() {
        bail!("--code and --path are for a server: name it as tls://HOST:PORT");
    }
    let mut places = None;
    let made = Repository::init(repo, &args.options(), |made| {
        let request = |e: anyhow::Error| Error::Request(e.to_string());
        let (dir, sheet) = args.places(&made.repository).map_err(request)?;
        keep(made, &dir, &sheet)?;
        places = Some((dir, sheet));
        Ok(())
    })?;
    let (keys, recovery) = places.context("the keys were not kept")?;
    Ok(Made { repository: made.repository, keys, recovery })
}

/// Writes the keys and the recovery sheet, synced.
fn keep(made: &NewKeys, dir: &Path, sheet: &Path) -> Result<(), Error> {
    let io = |operation, path: &Path, source| Error::Io { operation, path: path.into(), source };
    let mut builder = fs::DirBuilder::new();
    let created = builder.recursive(true).mode(0o700).create(dir);
    created.map_err(|e| io("make the folder of keys", dir, e))?;
    for (key, name) in [&made.source, &made.restore, &made.prune].into_iter().zip(KEYS) {
        key.write(&dir.join(name))?;
    }
    write_private(sheet, &made.sheet)?;
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| io("sync", dir, e))
}

/// A repository whose keys are kept here and whose `config` may or may not have reached the
/// server: a file beside this machine's key for that server, until the server has said so.
#[derive(Serialize, Deserialize)]
struct Pending {
    config: String,
    keys: PathBuf,
    recovery: PathBuf,
}

impl Pending {
    /// What was begun of the repository with this id, if anything was.
    fn of(file: &Path, repository: &[u8; 16]) -> anyhow::Result<Option<(Draft, Self)>> {
        let text = match fs::read(file) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.with_context(|| format!("cannot read {}", file.display()))?,
        };
        let pending: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} is not as it was written", file.display()))?;
        let draft = Draft::parse(pending.config.clone())?;
        Ok((draft.repository() == repository).then_some((draft, pending)))
    }

    /// In place of one of a repository that the server does not hold any more.
    fn write(&self, file: &Path) -> anyhow::Result<()> {
        let _ = fs::remove_file(file);
        write_private(file, &serde_json::to_string_pretty(self)?)?;
        let folder = file.parent().unwrap_or(Path::new("."));
        fs::File::open(folder)?.sync_all().context("sync")
    }

    /// That a second try asks for the same, and that the keys are still there.
    fn goes_on(&self, draft: &Draft, args: &Args) -> anyhow::Result<()> {
        let (keys, recovery) = args.places(&hex(draft.repository()))?;
        if draft.options() != args.options() || (&keys, &recovery) != (&self.keys, &self.recovery) {
            bail!(
                "it was to be made with other options, keys in {}, recovery sheet in {}",
                self.keys.display(),
                self.recovery.display()
            );
        }
        for name in KEYS {
            if Key::read(&self.keys.join(name))?.config() != draft.fingerprint() {
                bail!("{} is not its key", self.keys.join(name).display());
            }
        }
        Ok(())
    }
}

/// This machine's key for the server: by the code, or of an earlier try.
fn enrolled(args: &Args, server: &remote::Server, place: &str) -> anyhow::Result<Joined> {
    let before = server.joined(&[Role::Source])?;
    let Some(code) = &args.code else {
        return before.with_context(|| {
            format!(
                "this machine may not make a repository at {place}: run there `framewalk backup \
                 enrol --repo REPO --role init NAME`, and here `framewalk backup init {place} \
                 --code CODE`"
            )
        });
    };
    let code = Code::parse(code).map_err(anyhow::Error::msg)?;
    let joined = server.join(&code).map_err(|e| match before {
        Some(_) => e.context("this machine has joined already: try without --code"),
        None => e,
    })?;
    if joined.role != Role::Init {
        bail!("the code was made for the role {}: init needs --role init", joined.role);
    }
    Ok(joined)
}

/// Keys and sheet are made and stay here; the server gets the `config` alone.
fn behind_a_server(args: &Args) -> anyhow::Result<Made> {
    let place = args.repo.to_string_lossy();
    let server = remote::Server::named(&place, args.peer_dir.as_deref(), &args.path)?;
    let store = server.connect(enrolled(args, &server, &place)?)?;
    let welcome = store.welcome().context("no welcome")?.clone();
    let file = server.folder.join("init.json");
    let (draft, pending) = if let Some(begun) = Pending::of(&file, &welcome.repository)? {
        begun.1.goes_on(&begun.0, args).with_context(|| {
            let file = file.display();
            format!("an init was cut off; do the same again, or remove {file} to begin anew")
        })?;
        begun
    } else if welcome.role == Role::Init {
        let (draft, made) = Draft::new(&args.options(), Some(welcome.repository), &place)?;
        let (keys, recovery) = args.places(&made.repository)?;
        keep(&made, &keys, &recovery)?;
        let pending = Pending { config: draft.text().to_owned(), keys, recovery };
        pending.write(&file)?;
        (draft, pending)
    } else {
        bail!("{place} holds a repository already ({})", hex(&welcome.repository));
    };
    let made = draft.make(store, &place).map_err(|e| match e {
        Error::Request(_) => anyhow::Error::from(e),
        _ => anyhow::Error::from(e).context(
            "the repository may not be made yet: the same command without --code does the rest",
        ),
    })?;
    fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    let Pending { keys, recovery, .. } = pending;
    Ok(Made { repository: hex(&made.config.repository), keys, recovery })
}
