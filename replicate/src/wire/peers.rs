//! Who is enrolled at a server: its own key, its peers, the codes that are out.
//!
//! A folder of mode 0700, never inside the repository:
//!
//! ```text
//! server.key    the server's secret key, 0600
//! peers.json    name, role, public key of each peer
//! codes.json    BLAKE3 of each code's secret, with name, role, expiry; used ones stay for a week
//! lock          held while either list is changed
//! ```

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::code::Code;
use super::policy::Role;
use super::tls::{Identity, PublicKey};
use crate::error::{At, Error};
use crate::hash::{Hash, as_hex};
use crate::push::now;

/// A used or expired code is remembered so long, to be told apart from a wrong one.
const REMEMBERED: i64 = 7 * 86_400;
/// Wrong codes from one address before it has to wait.
const WRONG_MAX: u32 = 5;
/// For so long.
const WRONG_WAIT: Duration = Duration::from_mins(10);
/// Addresses with wrong codes that are remembered.
const WRONG_ADDRESSES: usize = 1024;

/// An enrolled peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// As `enrol` named it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    #[serde(with = "as_hex")]
    key: PublicKey,
    /// When it joined, seconds since 1970.
    pub since: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Open {
    digest: Hash,
    name: String,
    role: Role,
    expires: i64,
    #[serde(default)]
    used: Option<i64>,
}

/// Which file a list was read from, and when it was last looked for.
#[derive(Debug, Default)]
struct Cached {
    peers: Vec<Peer>,
    stamp: Option<(u64, i64, i64)>,
}

impl Peer {
    /// Whether this is what became of an earlier state of the list: the same peer that may do the
    /// same, or that was let in to make the repository and is its source now.
    pub(crate) fn follows(&self, earlier: &Self) -> bool {
        let role =
            self.role == earlier.role || (self.role == Role::Source && earlier.role == Role::Init);
        role && (&self.name, &self.key) == (&earlier.name, &earlier.key)
    }
}

/// A server's folder.
#[derive(Debug)]
pub struct Peers {
    folder: PathBuf,
    identity: Identity,
    cached: Mutex<Cached>,
    wrong: Mutex<HashMap<String, (u32, Instant)>>,
}

impl Peers {
    /// Opens the folder; makes it, and the server's key, if there is none.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).at("make", folder)?;
        let mode = fs::metadata(folder).at("look at", folder)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            let name = folder.display();
            let say = format!("{name} has mode {mode:04o}, others can read it: chmod 700 {name}");
            return Err(Error::Key(say));
        }
        let file = folder.join("server.key");
        let lock = lock(folder)?;
        if !file.exists() {
            write(&file, &Identity::new())?;
        }
        drop(lock);
        let identity = read(&file)?.ok_or_else(|| Error::Key("server.key is gone".to_owned()))?;
        let (folder, cached, wrong) = (folder.to_owned(), Mutex::default(), Mutex::default());
        Ok(Self { folder, identity, cached, wrong })
    }

    /// The server's key.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// All of them, in the order they joined.
    pub fn list(&self) -> Result<Vec<Peer>, Error> {
        Ok(read(&self.file("peers.json"))?.unwrap_or_default())
    }

    /// Makes a code for a new peer that is good once, for so many seconds.
    pub fn enrol(&self, name: &str, role: Role, seconds: i64) -> Result<Code, Error> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(good) {
            let say = format!("{name:?} is no name: 1 to 64 letters, digits, dots and dashes");
            return Err(Error::Request(say));
        }
        let _lock = lock(&self.folder)?;
        if self.list()?.iter().any(|peer| peer.name == name) {
            let say = format!("there is a peer {name} already: revoke it, or choose another name");
            return Err(Error::Request(say));
        }
        let makes = |other: Role| role == Role::Init && other == Role::Init;
        if let Some(peer) = self.list()?.into_iter().find(|peer| makes(peer.role)) {
            let say = format!("{} is to make the repository already: revoke it first", peer.name);
            return Err(Error::Request(say));
        }
        let code = Code::new(&self.identity.public());
        let mut open = self.codes()?;
        // a new code for a name replaces the one that was not used; only one makes a repository
        open.retain(|c| (c.name != name && !makes(c.role)) || c.used.is_some());
        let digest = Code::digest(&code.secret);
        let expires = now().saturating_add(seconds);
        open.push(Open { digest, name: name.to_owned(), role, expires, used: None });
        write(&self.file("codes.json"), &open)?;
        Ok(code)
    }

    fn codes(&self) -> Result<Vec<Open>, Error> {
        let mut codes: Vec<Open> = read(&self.file("codes.json"))?.unwrap_or_default();
        let since = now() - REMEMBERED;
        codes.retain(|code| code.used.unwrap_or(code.expires) > since);
        Ok(codes)
    }

    /// Whether a code is out. One that expired within a day counts: its holder is told so.
    pub(crate) fn waits(&self) -> bool {
        let late = now() - 86_400;
        self.codes().is_ok_and(|codes| codes.iter().any(|c| c.used.is_none() && c.expires > late))
    }

    /// The peer with this key. Looks at the file whenever it was changed.
    pub(crate) fn find(&self, key: &PublicKey) -> Option<Peer> {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        let meta = fs::metadata(self.file("peers.json")).ok();
        let stamp = meta.map(|meta| (meta.ino(), meta.mtime(), meta.mtime_nsec()));
        if stamp.is_none() || stamp != cached.stamp {
            // a list that cannot be read lets nobody in
            *cached = Cached { peers: self.list().unwrap_or_default(), stamp };
        }
        cached.peers.iter().find(|peer| peer.key == *key).cloned()
    }

    /// There is a repository now: who made it is its source from now on, and codes for making it
    /// are void.
    pub fn made(&self) -> Result<(), Error> {
        let _lock = lock(&self.folder)?;
        let (mut peers, mut codes) = (self.list()?, self.codes()?);
        let open = codes.len();
        codes.retain(|code| code.role != Role::Init || code.used.is_some());
        if codes.len() < open {
            write(&self.file("codes.json"), &codes)?;
        }
        let Some(maker) = peers.iter_mut().find(|peer| peer.role == Role::Init) else {
            return Ok(());
        };
        maker.role = Role::Source;
        write(&self.file("peers.json"), &peers)
    }

    /// Takes a code: its holder's key is a peer from now on. `made`: there is a repository. The
    /// reason if not.
    pub(crate) fn join(
        &self,
        secret: &[u8; 16],
        key: PublicKey,
        from: &str,
        made: bool,
    ) -> Result<Peer, String> {
        let address = from.rsplit_once(':').map_or(from, |(address, _)| address).to_owned();
        let recent =
            |(wrong, at): &(u32, Instant)| *wrong >= WRONG_MAX && at.elapsed() < WRONG_WAIT;
        {
            let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
            if wrong.get(&address).is_some_and(recent) {
                return Err("too many wrong codes from this address: wait ten minutes".to_owned());
            }
            wrong.retain(|_, (_, at)| at.elapsed() < WRONG_WAIT);
            if wrong.len() >= WRONG_ADDRESSES {
                return Err("too many wrong codes: wait ten minutes".to_owned());
            }
        }
        let digest = Code::digest(secret);
        let told = |e: Error| format!("the server cannot enrol: {e}");
        let _lock = lock(&self.folder).map_err(told)?;
        let mut codes = self.codes().map_err(told)?;
        let Some(code) = codes.iter_mut().find(|code| code.digest == digest) else {
            let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
            let entry = wrong.entry(address).or_insert((0, Instant::now()));
            *entry = (entry.0 + 1, Instant::now());
            return Err("the code is wrong, or was replaced by a newer one".to_owned());
        };
        if code.used.is_some() {
            return Err("the code was used already: it is good once".to_owned());
        }
        if now() >= code.expires {
            return Err("the code has expired: make a new one".to_owned());
        }
        if code.role == Role::Init && made {
            return Err("the code was for making the repository, and it is made".to_owned());
        }
        code.used = Some(now());
        let peer = Peer { name: code.name.clone(), role: code.role, key, since: now() };
        let mut peers = self.list().map_err(told)?;
        if peers.iter().any(|known| known.key == key || known.name == peer.name) {
            return Err("this key or this name is enrolled already".to_owned());
        }
        peers.push(peer.clone());
        // the code first: cut off between the two, it is spent and nobody is in
        write(&self.file("codes.json"), &codes).map_err(told)?;
        write(&self.file("peers.json"), &peers).map_err(told)?;
        Ok(peer)
    }

    /// Removes a peer, and any code that is out for its name. Open sessions end within seconds.
    pub fn revoke(&self, name: &str) -> Result<Peer, Error> {
        let _lock = lock(&self.folder)?;
        let mut peers = self.list()?;
        let at = peers.iter().position(|peer| peer.name == name);
        let codes = self.codes()?;
        let out = codes.iter().any(|code| code.name == name && code.used.is_none());
        let kept: Vec<_> =
            codes.into_iter().filter(|c| c.name != name || c.used.is_some()).collect();
        write(&self.file("codes.json"), &kept)?;
        let Some(at) = at else {
            let also = if out { "; the code that was out for it is void" } else { "" };
            return Err(Error::Request(format!("there is no peer {name}{also}")));
        };
        let gone = peers.remove(at);
        write(&self.file("peers.json"), &peers)?;
        Ok(gone)
    }
}

fn lock(folder: &Path) -> Result<fs::File, Error> {
    let name = folder.join("lock");
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(&name);
    let file = file.at("open", &name)?;
    file.lock().at("lock", &name)?;
    Ok(file)
}

/// A file of ours; `None` if there is none.
pub(crate) fn read<T: DeserializeOwned>(file: &Path) -> Result<Option<T>, Error> {
    let text = match fs::read(file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => zeroize::Zeroizing::new(read.at("read", file)?),
    };
    let bad = |e| Error::Key(format!("{}: {e}", file.display()));
    serde_json::from_slice(&text).map(Some).map_err(bad)
}

/// Replaces a file at once, mode 0600, synced.
pub(crate) fn write<T: Serialize>(file: &Path, value: &T) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(value).map_err(|e| Error::Key(e.to_string()))?;
    let text = zeroize::Zeroizing::new(text);
    let next = file.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let made = options.write(true).create(true).truncate(true).mode(0o600).open(&next);
    let mut made = made.at("create", &next)?;
    made.write_all(&text).and_then(|()| made.sync_all()).at("write", &next)?;
    fs::rename(&next, file).at("replace", file)?;
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|folder| folder.sync_all()).at("sync", folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_once_and_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let peers = Peers::open(&dir.path().join("serve")).unwrap();
        assert!(!peers.waits());
        let code = peers.enrol("web1", Role::Source, 3600).unwrap();
        assert!(peers.waits() && peers.find(&[1; 32]).is_none());
        let join = |secret, key| peers.join(secret, [key; 32], "10.0.0.1:99", false);
        assert!(join(&[0; 16], 1).unwrap_err().contains("wrong"));
        assert_eq!(join(&code.secret, 1).unwrap().name, "web1");
        assert!(join(&code.secret, 2).unwrap_err().contains("used"));
        assert_eq!(peers.find(&[1; 32]).unwrap().role, Role::Source);
        assert!(peers.enrol("web1", Role::Prune, 1).is_err(), "the name is taken");
        assert!(peers.enrol("../x", Role::Prune, 1).is_err());
        let late = peers.enrol("late", Role::Restore, 0).unwrap();
        assert!(join(&late.secret, 3).unwrap_err().contains("expired"));
        let first = peers.enrol("twice", Role::Restore, 60).unwrap();
        let second = peers.enrol("twice", Role::Restore, 60).unwrap();
        assert!(join(&first.secret, 4).unwrap_err().contains("replaced"));
        assert!(join(&second.secret, 4).is_ok());
        assert_eq!(peers.revoke("web1").unwrap().name, "web1");
        assert!(peers.find(&[1; 32]).is_none(), "seen at once");
        assert!(peers.revoke("web1").is_err());
        let same = Peers::open(&dir.path().join("serve")).unwrap();
        assert_eq!(same.identity().public(), peers.identity().public());
    }

    #[test]
    fn wrong_codes_are_limited_by_address() {
        let dir = tempfile::tempdir().unwrap();
        let peers = Peers::open(&dir.path().join("serve")).unwrap();
        let code = peers.enrol("web1", Role::Source, 3600).unwrap();
        for n in 0..WRONG_MAX {
            assert!(
                peers
                    .join(&[n as u8; 16], [1; 32], "[::1]:5", false)
                    .unwrap_err()
                    .contains("wrong")
            );
        }
        let told = peers.join(&code.secret, [1; 32], "[::1]:6", false).unwrap_err();
        assert!(told.contains("wait"), "{told}");
        assert!(
            peers.join(&code.secret, [1; 32], "[::2]:6", false).is_ok(),
            "others are not kept out"
        );
    }
}
