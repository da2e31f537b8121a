//! `backup enrol`, `backup peers`, `backup revoke`: who a server lets in.

use std::path::PathBuf;

use anyhow::{Context, bail};
use replicate::wire::{Awaited, Peers, Role};
use replicate::{Repository, hex};
use serde_json::json;

use super::{keys, remote};
use crate::cli::Globals;
use crate::exit::Exit;
use crate::walk::talk;

/// The repository on this machine, and where its server's key and peers are.
#[derive(Debug, Clone, clap::Args)]
pub struct Served {
    /// The repository: a directory of this machine
    #[arg(long, value_name = "REPO")]
    pub repo: PathBuf,
    /// The server's key and its peers [default: ~/.config/framewalk/backup/ID/serve]
    #[arg(long, value_name = "DIR")]
    pub serve_dir: Option<PathBuf>,
}

/// What is in a folder that is served.
pub(super) enum Folder {
    /// A repository.
    Made(Box<Repository>),
    /// Nothing yet: it awaits one.
    Awaited(Awaited),
}

impl Folder {
    pub(super) fn repository(&self) -> &[u8; 16] {
        match self {
            Self::Made(repository) => &repository.config.repository,
            Self::Awaited(awaited) => &awaited.repository,
        }
    }
}

impl Served {
    pub(super) fn open(&self) -> anyhow::Result<(Folder, Peers)> {
        let root = super::directory(&self.repo)?;
        let folder = match Awaited::open(root)? {
            Some(awaited) => Folder::Awaited(awaited),
            None => Folder::Made(Box::new(Repository::open(root).with_context(|| {
                format!(
                    "no repository to serve; for another machine to make one in an empty folder: \
                     framewalk backup enrol --repo {} --role init NAME",
                    root.display()
                )
            })?)),
        };
        let peers = self.peers(folder.repository())?;
        if let Folder::Made(_) = folder {
            // left by who was killed when it was made
            peers.made()?;
        }
        Ok((folder, peers))
    }

    /// The server's own key and its peers.
    fn peers(&self, repository: &[u8; 16]) -> anyhow::Result<Peers> {
        let folder = match &self.serve_dir {
            Some(dir) => dir.clone(),
            None => keys::default_dir(&hex(repository))?.join("serve"),
        };
        let root = self.repo.canonicalize()?;
        let inside = |path: &PathBuf| path.canonicalize().is_ok_and(|p| p.starts_with(&root));
        if inside(&folder) || folder.ancestors().any(|above| inside(&above.to_owned())) {
            bail!("{} lies in the repository: the server's key must not", folder.display());
        }
        Ok(Peers::open(&folder)?)
    }

    /// Those of a folder that awaits a repository, from now on if it did not.
    fn awaiting(&self) -> anyhow::Result<Peers> {
        let root = super::directory(&self.repo)?;
        if Repository::open(root).is_ok() {
            bail!("{} holds a repository: it is not made again", root.display());
        }
        self.peers(&Awaited::mark(root)?.repository)
    }
}

/// Make a one-time code for a new peer
#[derive(Debug, Clone, clap::Args)]
pub struct EnrolArgs {
    #[command(flatten)]
    pub served: Served,
    /// What it may do; init: make the repository, in a folder that is empty or does not exist, and
    /// be its source from then on
    #[arg(long, value_name = "ROLE", value_parser = ["source", "restore", "prune", "init"])]
    pub role: String,
    /// How the server calls it: letters, digits, dots, dashes
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The code is good for so long
    #[arg(long, value_name = "HOURS", default_value_t = 1)]
    pub hours: u16,
}

/// Who is enrolled
#[derive(Debug, Clone, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub served: Served,
}

/// Let a peer in no more
#[derive(Debug, Clone, clap::Args)]
pub struct RevokeArgs {
    #[command(flatten)]
    pub served: Served,
    /// As `backup peers` shows it
    #[arg(value_name = "NAME")]
    pub name: String,
}

pub(super) fn enrol(args: &EnrolArgs, globals: &Globals) -> anyhow::Result<Exit> {
    let role = match &*args.role {
        "source" => Role::Source,
        "restore" => Role::Restore,
        "prune" => Role::Prune,
        _ => Role::Init,
    };
    let peers = match role {
        Role::Init => args.served.awaiting()?,
        _ => args.served.open()?.1,
    };
    let code = peers.enrol(&args.name, role, i64::from(args.hours) * 3600)?.text();
    if globals.json {
        line!(
            "{}",
            json!({
                "schema": "framewalk.backup-enrol/1", "peer": args.name, "role": role,
                "code": code, "hours": args.hours,
            })
        );
        return Ok(Exit::Done);
    }
    line!("{code}");
    if !globals.quiet {
        let what = if role == Role::Init { "init" } else { "join" };
        talk(&format!(
            "Good once, for {} h. On {}: framewalk backup {what} tls://THIS-HOST:{} --code CODE",
            args.hours,
            args.name,
            remote::PORT
        ));
    }
    Ok(Exit::Done)
}

pub(super) fn list(args: &ListArgs, globals: &Globals) -> anyhow::Result<Exit> {
    let (_, peers) = args.served.open()?;
    for peer in peers.list()? {
        let since = super::time(peer.since);
        if globals.json {
            line!(
                "{}",
                json!({
                    "schema": "framewalk.backup-peer/1", "peer": peer.name, "role": peer.role,
                    "since": since,
                })
            );
        } else {
            line!("{:<20}  {:<7}  since {since}", peer.name, peer.role.to_string());
        }
    }
    Ok(Exit::Done)
}

pub(super) fn revoke(args: &RevokeArgs, globals: &Globals) -> anyhow::Result<Exit> {
    let (_, peers) = args.served.open()?;
    let gone = peers.revoke(&args.name)?;
    if !globals.quiet {
        talk(&format!("{}, {}: let in no more; open sessions end now", gone.name, gone.role));
    }
    Ok(Exit::Done)
}
