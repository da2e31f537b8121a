//! A repository over any stream of bytes (docs/formats/backup-protocol.md).
//!
//! ```text
//! Store ─▶ Remote ─▶ frames ─▶ TLS 1.3 ─▶ any two halves ─▶ TLS 1.3 ─▶ Service ─▶ directory
//! ```
//!
//! [`connect`] and [`Service::tls`] do all of it over [`Halves`]: those of a TCP connection, or of
//! a guest of the path. [`Remote::over`] and [`Service::plain`] do without TLS.

mod busy;
mod code;
mod codec;
mod halves;
mod link;
mod peers;
mod policy;
mod receive;
mod remote;
mod serve;
mod served;
mod session;
mod tls;

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use code::Code;
pub use codec::{Decoder, Malformed, Message, PIECE, VERSION};
pub use halves::{Halves, TICK, WRITE_TIMEOUT};
pub use link::Welcome;
pub use peers::{Peer, Peers};
pub use policy::Role;
pub use remote::{Connect, Remote};
pub use serve::{Limits, Service};
pub use served::Awaited;
pub use session::Session;
pub use tls::{Identity, PublicKey};

use crate::error::Error;
use crate::hash::as_hex;

/// What a peer keeps of a server that it has joined; a file of mode 0600.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Joined {
    identity: Identity,
    #[serde(with = "as_hex")]
    server: PublicKey,
    /// What this key may do there.
    pub role: Role,
    /// How the server calls it.
    pub peer: String,
}

impl Joined {
    /// Shows a one-time code: makes a key, and learns the server's.
    pub fn join(code: &Code, connect: impl FnOnce() -> io::Result<Halves>) -> Result<Self, Error> {
        let identity = Identity::new();
        let refused = |name: &str, e: io::Error| Error::Refused {
            operation: "join",
            object: String::new(),
            peer: name.to_owned(),
            why: e.to_string(),
        };
        let halves = connect().map_err(|e| refused("the server", e))?;
        let name = halves.from.clone();
        let seen = std::sync::Arc::new(std::sync::Mutex::new(None));
        let (note, expected) = (std::sync::Arc::clone(&seen), code.clone());
        let halves = tls::client(halves, &identity, move |key| {
            let good = expected.is_of(key);
            if good && let Ok(mut note) = note.lock() {
                *note = Some(*key);
            }
            good
        });
        let halves = halves.map_err(|e| refused(&name, e))?;
        let welcome = Remote::join(&name, halves, *code.secret)?;
        let server = seen.lock().ok().and_then(|seen| *seen);
        let none = || refused(&name, io::Error::other("the server showed no key"));
        let server = server.ok_or_else(none)?;
        Ok(Self { identity, server, role: welcome.role, peer: welcome.peer })
    }

    /// Reads the file, if there is one.
    pub fn read(file: &Path) -> Result<Option<Self>, Error> {
        peers::read(file)
    }

    /// Writes the file, synced.
    pub fn write(&self, file: &Path) -> Result<(), Error> {
        peers::write(file, self)
    }
}

/// TLS as a client that has joined, over any stream: only that server's key will do.
pub fn secure(halves: Halves, joined: &Joined) -> io::Result<Halves> {
    let server = joined.server;
    tls::client(halves, &joined.identity, move |key| *key == server)
}

/// A server's repository as a store: `stream` makes a connection, and makes another one whenever
/// it was cut; TLS and the session are done here.
pub fn connect(
    name: &str,
    joined: Joined,
    stream: impl Fn() -> io::Result<Halves> + Send + Sync + 'static,
) -> Result<crate::Store, Error> {
    let connect = Box::new(move || secure(stream()?, &joined));
    Ok(crate::Store::remote(Remote::open(name, connect)?))
}
