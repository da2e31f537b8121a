//! Repositories behind a server: `tls://HOST:PORT`, and how a machine joins one.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use replicate::wire::{Code, Halves, Joined, Role, connect};
use replicate::{Repository, hex};
use serde_json::json;

use super::path::{PathArgs, Road};
use super::{Where, keys};
use crate::cli::Globals;
use crate::exit::Exit;
use crate::walk::talk;

/// Where a server listens that was not told a port.
pub(super) const PORT: u16 = 4780;
/// An address that does not answer is given up after this.
const CONNECT: Duration = Duration::from_secs(10);

/// Become a peer of a server, with a code that was made there
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// tls://HOST:PORT
    #[arg(value_name = "SERVER")]
    pub server: String,
    /// The code, as `backup enrol` printed it on the server
    #[arg(long, value_name = "CODE")]
    pub code: String,
    /// Where this machine's key for the server goes [default: as every command looks for it]
    #[arg(long, value_name = "DIR")]
    pub peer_dir: Option<PathBuf>,
    /// How the server is reached
    #[command(flatten)]
    pub path: PathArgs,
}

/// `HOST:PORT` of a `tls://` name.
fn address(repo: &str) -> anyhow::Result<String> {
    let Some(address) = repo.strip_prefix("tls://").map(|rest| rest.trim_end_matches('/')) else {
        bail!("{repo} is no server: name it as tls://HOST:PORT");
    };
    let host = address.rsplit_once(':').filter(|(host, port)| {
        let whole = !host.contains(':') || host.ends_with(']');
        whole && port.parse::<u16>().is_ok()
    });
    match host {
        Some((host, _)) if !host.is_empty() => Ok(address.to_owned()),
        None if !address.is_empty() && (!address.contains(':') || address.ends_with(']')) => {
            Ok(format!("{address}:{PORT}"))
        }
        _ => bail!("{repo}: name the server as tls://HOST:PORT, IPv6 as tls://[::1]:PORT"),
    }
}

/// A connection to the first of its addresses that answers, or through the path.
fn stream(address: &str, road: Option<&Road>) -> io::Result<Halves> {
    if let Some(road) = road {
        return road.connect(address, CONNECT);
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for one in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&one, CONNECT) {
            Ok(stream) => return Halves::tcp(stream),
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn folder(peer_dir: Option<&Path>, address: &str) -> anyhow::Result<PathBuf> {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = address.chars().map(safe).collect();
    Ok(match peer_dir {
        Some(dir) => dir.to_owned(),
        None => keys::config_dir()?.join("remotes").join(name),
    })
}

pub(super) fn join(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    let address = address(&args.server)?;
    let code = Code::parse(&args.code).map_err(|why| anyhow::anyhow!("{why}"))?;
    let folder = folder(args.peer_dir.as_deref(), &address)?;
    keys::private_dir(&folder)?;
    let road = Road::open(&args.path)?;
    let joined = Joined::join(&code, || stream(&address, road.as_deref()))?;
    let file = folder.join(format!("{}.json", joined.role));
    joined.write(&file).with_context(|| {
        format!("{} was enrolled, but its key is lost: revoke it and join again", joined.peer)
    })?;
    if globals.json {
        line!(
            "{}",
            json!({
                "schema": "framewalk.backup-join/1", "server": address, "peer": joined.peer,
                "role": joined.role, "key": file,
            })
        );
    } else {
        line!("{address} knows this machine as {}, {}", joined.peer, joined.role);
    }
    if !globals.quiet {
        let key = match joined.role {
            Role::Source => "source.key",
            Role::Restore => "restore.key, or the recovery sheet",
            Role::Prune => "prune.key",
        };
        talk(&format!("What is done there needs the repository's {key} as well."));
    }
    Ok(Exit::Done)
}

/// Opens a repository: a directory, or a server with the key of the first of these roles that was
/// joined.
pub(super) fn open(place: &Where, roles: &[Role]) -> anyhow::Result<Repository> {
    let text = place.repo.to_string_lossy();
    if !text.starts_with("tls://") {
        if place.path.path_interface.is_some() {
            bail!("--path is the way to a server: name it as --repo tls://ADDRESS:PORT");
        }
        return Ok(Repository::open(super::directory(&place.repo)?)?);
    }
    let address = address(&text)?;
    let folder = folder(place.peer_dir.as_deref(), &address)?;
    for role in roles {
        if let Some(joined) = Joined::read(&folder.join(format!("{role}.json")))? {
            let to = address.clone();
            let road = Road::open(&place.path)?;
            let store = connect(&address, joined, move || stream(&to, road.as_deref()))?;
            return Ok(Repository::in_store(store, &text)?);
        }
    }
    let wanted: Vec<_> = roles.iter().map(ToString::to_string).collect();
    bail!(
        "this machine is no peer of {address} that may do this: run there `framewalk backup enrol \
         --repo REPO --role {} NAME`, and here `framewalk backup join {text} --code CODE`",
        wanted[0]
    )
}

/// What to say of an error: a push that was cut goes on where it was.
pub(super) fn explained(e: replicate::Error) -> anyhow::Error {
    let cut = matches!(e, replicate::Error::Cut { .. });
    let error = anyhow::Error::from(e);
    if cut {
        error.context("the push was cut off; run it again: it resumes behind what is stored")
    } else {
        error
    }
}

/// The folder of a server's own key and its peers.
pub(super) fn serve_dir(given: Option<&Path>, repository: &Repository) -> anyhow::Result<PathBuf> {
    match given {
        Some(dir) => Ok(dir.to_owned()),
        None => Ok(keys::default_dir(&hex(&repository.config.repository))?.join("serve")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_servers() {
        for (text, expected) in [
            ("tls://nas:99", "nas:99"),
            ("tls://nas", "nas:4780"),
            ("tls://[::1]:99/", "[::1]:99"),
            ("tls://[::1]", "[::1]:4780"),
            ("tls://10.0.0.1", "10.0.0.1:4780"),
        ] {
            assert_eq!(address(text).unwrap(), expected);
        }
        for bad in ["tls://", "tls://:99", "tls://nas:x", "tls://::1", "nas:99", "ssh://nas"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
