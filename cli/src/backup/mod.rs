//! `framewalk backup`: generations of files, trees and disks in an encrypted repository.

/// `println!` for which a reader that went away (`| head`) is no error: a push goes on.
macro_rules! line {
    ($($what:tt)*) => { $crate::backup::put(format_args!($($what)*)) };
}

mod check;
mod drill;
mod hooks;
mod init;
mod keys;
mod list;
pub(crate) mod path;
mod peers;
mod prune;
mod push;
mod remote;
mod restore;
mod scrub;
mod serve;
mod validate;

use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::cli::Globals;
use crate::exit::Exit;

/// Back up files, databases and disk images; prove it by restoring
#[derive(Debug, Clone, clap::Args)]
#[command(
    long_about = "Keeps generations of files, trees and disk images in a repository: every push \
        reads and hashes everything, sends the pages that changed (16 KiB), encrypted, and ends \
        with a signed manifest. A generation is whole or it does not exist. Files are stored as \
        they were read: of a database that was being written to, that may not be usable, and \
        push says `not consistent`.\n\n\
        The repository is a directory, or one behind `framewalk backup serve`, named as \
        tls://HOST:PORT. Three keys are made: source.key adds, restore.key reads, \
        prune.key drops. Keep restore.key and the recovery sheet away from the machine that is \
        backed up, and nowhere but there else.",
    after_long_help = "Examples:\n  \
        framewalk backup init /mnt/backup/repo\n  \
        framewalk backup push --repo /mnt/backup/repo /srv/practice.fdb /srv/scans\n  \
        framewalk backup list --repo /mnt/backup/repo\n  \
        framewalk backup verify --repo /mnt/backup/repo\n  \
        framewalk backup restore --repo /mnt/backup/repo latest --to /tmp/proof\n  \
        framewalk backup drill --repo /mnt/backup/repo --key SHEET   (on another machine)\n  \
        framewalk backup prune --repo /mnt/backup/repo --keep-last 7 --keep-monthly 12\n\n\
        Over a network (TLS 1.3, keys on both sides):\n  \
        framewalk backup serve --repo /srv/repo                          on the server\n  \
        framewalk backup enrol --repo /srv/repo --role source web1       there: prints a code\n  \
        framewalk backup join tls://nas:4780 --code CODE                 on web1, once\n  \
        framewalk backup push --repo tls://nas:4780 /srv/practice.fdb    on web1\n\n\
        A repository on another host whose keys never were there:\n  \
        framewalk backup enrol --repo /srv/repo --role init web1         there, then serve\n  \
        framewalk backup init tls://nas:4780 --code CODE                 on web1\n\n\
        The same between two hosts on a segment, through the switch of this program and past the \
        kernel's stack:\n  \
        framewalk backup serve --repo /srv/repo --path eth1 --address 10.77.0.1/24\n  \
        framewalk backup push --repo tls://10.77.0.1 --path eth1 --address 10.77.0.2/24 /srv"
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// The parts of `framewalk backup`.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum What {
    /// Make a repository, its three keys and the recovery sheet
    Init(init::Args),
    /// Add a generation; exits 1 if a hook finds that a database is not consistent
    Push(push::Args),
    /// Generations, or the files of one and how each was judged
    List(list::Args),
    /// Read everything, check every tag and digest; exits 1 on damage, which it names
    Verify(check::Args),
    /// Read a share of everything, the longest unread first; exits 1 on damage, which it names
    Scrub(scrub::Args),
    /// Bring back a generation, or some of its files, verified as they are written
    Restore(restore::Args),
    /// Restore to scratch, check what came back, put it on record; exits 1 if a check fails
    Drill(drill::Args),
    /// Drop generations by age and make their room free
    Prune(prune::Args),
    /// Serve a repository to enrolled machines, over TLS
    Serve(serve::Args),
    /// On the server: make a one-time code for a new machine
    Enrol(peers::EnrolArgs),
    /// Use such a code, once: this machine and the server know each other from then on
    Join(remote::Args),
    /// On the server: who is enrolled
    Peers(peers::ListArgs),
    /// On the server: let a machine in no more
    Revoke(peers::RevokeArgs),
}

/// Which repository, and where its keys are.
#[derive(Debug, Clone, clap::Args)]
pub struct Where {
    /// The repository: a directory, or tls://HOST:PORT
    #[arg(long, value_name = "REPO")]
    pub repo: PathBuf,
    /// Where the keys are [default: ~/.config/framewalk/backup/ID, as init wrote them]
    #[arg(long, value_name = "DIR")]
    pub key_dir: Option<PathBuf>,
    /// One key file, or the recovery sheet typed into a file
    #[arg(long, value_name = "FILE", conflicts_with = "key_dir")]
    pub key: Option<PathBuf>,
    /// Where this machine's keys for a server are [default: where join put them]
    #[arg(long, value_name = "DIR")]
    pub peer_dir: Option<PathBuf>,
    /// How a server is reached
    #[command(flatten)]
    pub path: path::PathArgs,
}

/// Runs `framewalk backup`.
pub fn run(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    path::be_quiet(globals.quiet);
    match &args.what {
        What::Init(args) => init::run(args, globals),
        What::Push(args) => push::run(args, globals),
        What::List(args) => list::run(args, globals),
        What::Verify(args) => check::run(args, globals),
        What::Restore(args) => restore::run(args, globals),
        What::Scrub(args) => scrub::run(args, globals),
        What::Drill(args) => drill::run(args, globals),
        What::Prune(args) => prune::run(args, globals),
        What::Serve(args) => serve::run(args, globals),
        What::Enrol(args) => peers::enrol(args, globals),
        What::Join(args) => remote::join(args, globals),
        What::Peers(args) => peers::list(args, globals),
        What::Revoke(args) => peers::revoke(args, globals),
    }
}

/// Data on standard output.
fn put(line: std::fmt::Arguments<'_>) {
    use std::io::Write;
    if let Err(e) = writeln!(std::io::stdout().lock(), "{line}")
        && e.kind() != std::io::ErrorKind::BrokenPipe
    {
        crate::walk::talk(&format!("standard output: {e}"));
    }
}

/// The place of a repository that must be a directory of this machine.
fn directory(repo: &Path) -> anyhow::Result<&Path> {
    let text = repo.to_string_lossy();
    if let Some((scheme, _)) = text.split_once("://") {
        if scheme == "tls" {
            bail!("this is done where the repository is: name its directory there");
        }
        bail!("{scheme}:// repositories are not built yet: name a directory, or tls://HOST:PORT");
    }
    Ok(repo)
}

/// `2026-11-22 08:15:00Z`.
fn time(seconds: i64) -> String {
    let text = crate::term::time::rfc3339(seconds.saturating_mul(1_000_000_000));
    format!("{} {}Z", &text[..10], &text[11..19])
}

/// Seconds since a time; 0 if it is to come.
fn seconds_since(seconds: i64) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs() as i64);
    (now - seconds).max(0) as u64
}

/// How long ago, in words.
fn age(seconds: i64) -> String {
    format!("{} ago", short(seconds_since(seconds)))
}

fn short(s: u64) -> String {
    match s {
        0..120 => format!("{s} s"),
        120..7200 => format!("{} min", s / 60),
        7200..172_800 => format!("{} h", s / 3600),
        _ => format!("{} days", s / 86_400),
    }
}

/// The generation that was asked for: a number, or `latest`.
fn generation(
    repository: &replicate::Repository,
    wanted: &str,
) -> anyhow::Result<replicate::Manifest> {
    if wanted != "latest" {
        let Ok(number) = wanted.parse() else {
            bail!(
                "{wanted} is no generation: a number as `framewalk backup list` shows, or latest"
            );
        };
        return Ok(replicate::Manifest::get(repository, number)?);
    }
    let mut good: Vec<_> = repository.generations()?.into_iter().collect::<Result<_, _>>()?;
    let Some(newest) = good.pop() else { bail!("the repository has no generation yet") };
    if let Some(other) = good.iter().find(|manifest| manifest.set != newest.set) {
        bail!(
            "the repository holds backups of several sets of paths, `latest` is not one of them \
             alone: name the number ({} is the newest, {} is of another set)",
            newest.number,
            other.number
        );
    }
    Ok(newest)
}
