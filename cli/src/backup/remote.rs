//! Repositories behind a server: `tls://HOST:PORT`, and how a machine joins one.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use replicate::wire::{Code, Halves, Joined, Role, connect};
use replicate::{Repository, Store};
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

/// A server, what this machine keeps of it, and the way there.
pub(super) struct Server {
    address: String,
    /// This machine's keys for it.
    pub(super) folder: PathBuf,
    road: Option<Arc<Road>>,
}

impl Server {
    /// By its `tls://` name.
    pub(super) fn named(
        name: &str,
        peer_dir: Option<&Path>,
        path: &PathArgs,
    ) -> anyhow::Result<Self> {
        let address = address(name)?;
        let safe = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
        let folder = match peer_dir {
            Some(dir) => dir.to_owned(),
            None => keys::config_dir()?
                .join("remotes")
                .join(address.chars().map(safe).collect::<String>()),
        };
        Ok(Self { address, folder, road: Road::open(path)? })
    }

    fn file(&self, role: Role) -> PathBuf {
        // who makes the repository is its source from then on, with the same key
        let role = if role == Role::Init { Role::Source } else { role };
        self.folder.join(format!("{role}.json"))
    }

    /// Uses a code: this machine and the server know each other from then on.
    pub(super) fn join(&self, code: &Code) -> anyhow::Result<Joined> {
        keys::private_dir(&self.folder)?;
        let joined = Joined::join(code, || stream(&self.address, self.road.as_deref()))?;
        joined.write(&self.file(joined.role)).with_context(|| {
            format!("{} was enrolled, but its key is lost: revoke it and join again", joined.peer)
        })?;
        Ok(joined)
    }

    /// What this machine joined as: the first of these roles.
    pub(super) fn joined(&self, roles: &[Role]) -> anyhow::Result<Option<Joined>> {
        for role in roles {
            if let Some(joined) = Joined::read(&self.file(*role))? {
                return Ok(Some(joined));
            }
        }
        Ok(None)
    }

    /// What it keeps.
    pub(super) fn connect(&self, joined: Joined) -> anyhow::Result<Store> {
        let (to, road) = (self.address.clone(), self.road.clone());
        Ok(connect(&self.address, joined, move || stream(&to, road.as_deref()))?)
    }
}

pub(super) fn join(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    let code = Code::parse(&args.code).map_err(anyhow::Error::msg)?;
    let server = Server::named(&args.server, args.peer_dir.as_deref(), &args.path)?;
    let joined = server.join(&code)?;
    let (address, file) = (&server.address, server.file(joined.role));
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
        let next = match joined.role {
            Role::Source => "What is done there needs the repository's source.key as well.",
            Role::Restore => {
                "What is done there needs the repository's restore.key, or the recovery sheet."
            }
            Role::Prune => "What is done there needs the repository's prune.key as well.",
            Role::Init => "Next, framewalk backup init makes the repository there.",
        };
        talk(next);
    }
    Ok(Exit::Done)
}

/// Opens a repository: a directory, or a server with the key of the first of these roles that was
/// joined.
pub(super) fn open(place: &Where, roles: &[Role]) -> anyhow::Result<Repository> {
    open_by(place, roles).map(|(repository, _)| repository)
}

/// The same, with the path that leads there, if one does.
pub(super) fn open_by(
    place: &Where,
    roles: &[Role],
) -> anyhow::Result<(Repository, Option<Arc<Road>>)> {
    let text = place.repo.to_string_lossy();
    if !text.starts_with("tls://") {
        if place.path.path_interface.is_some() {
            bail!("--path is the way to a server: name it as --repo tls://ADDRESS:PORT");
        }
        return Ok((Repository::open(super::directory(&place.repo)?)?, None));
    }
    let server = Server::named(&text, place.peer_dir.as_deref(), &place.path)?;
    if let Some(joined) = server.joined(roles)? {
        let road = server.road.clone();
        return Ok((Repository::in_store(server.connect(joined)?, &text)?, road));
    }
    let address = &server.address;
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
