//! What a server serves: a repository in a folder, or a folder that awaits one.
//!
//! A folder that awaits a repository holds one file, `awaited`: the id that the repository is going
//! to have, drawn when the machine was enrolled that may make it. So a folder that is merely empty,
//! a disk that was not mounted for one, is never taken for such a place.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use serde::{Deserialize, Serialize};

use super::peers::{self, Peer};
use super::policy::Role;
use super::receive::{No, Receiving};
use super::session::lock;
use crate::crypt::random;
use crate::draft::new_directory;
use crate::error::{At, Error};
use crate::hash::as_hex;
use crate::repository::Repository;
use crate::store::Store;

/// The file that says so.
const AWAITED: &str = "awaited";
const SCHEMA: &str = "framewalk.awaited/1";

/// A folder that awaits a repository.
#[derive(Debug, Clone)]
pub struct Awaited {
    root: PathBuf,
    /// The id that the repository is going to have.
    pub repository: [u8; 16],
}

#[derive(Serialize, Deserialize)]
struct Mark {
    schema: String,
    #[serde(with = "as_hex")]
    repository: [u8; 16],
}

impl Awaited {
    /// Marks a folder that is empty or does not exist. One that is marked already stays as it is.
    pub fn mark(root: &Path) -> Result<Self, Error> {
        if let Some(awaited) = Self::open(root)? {
            return Ok(awaited);
        }
        new_directory(root)?;
        let repository = *random();
        peers::write(&root.join(AWAITED), &Mark { schema: SCHEMA.to_owned(), repository })?;
        Ok(Self { root: root.to_owned(), repository })
    }

    /// The folder, if it is marked and has no repository yet.
    pub fn open(root: &Path) -> Result<Option<Self>, Error> {
        if root.join("config").exists() {
            return Ok(None);
        }
        let Some(mark) = peers::read::<Mark>(&root.join(AWAITED))? else { return Ok(None) };
        if mark.schema != SCHEMA {
            return Err(Error::damage(AWAITED, 0, SCHEMA, mark.schema));
        }
        Ok(Some(Self { root: root.to_owned(), repository: mark.repository }))
    }
}

/// A folder and what is in it.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) store: Store,
    pub(super) root: PathBuf,
    /// The repository's id, also while it is awaited.
    pub(super) id: [u8; 16],
    repository: OnceLock<Repository>,
    /// Held while an object that others depend on is checked and gets its name.
    numbered: Mutex<()>,
}

impl Served {
    pub(super) fn new(repository: Repository) -> Result<Self, Error> {
        let Some(root) = repository.store.root().map(Path::to_owned) else {
            return Err(Error::Request("only a directory can be served".to_owned()));
        };
        let (store, id) = (repository.store.clone(), repository.config.repository);
        // left by who was killed between the repository's making and this
        unmark(&root)?;
        Ok(Self { store, root, id, repository: repository.into(), numbered: Mutex::default() })
    }

    pub(super) fn awaiting(awaited: &Awaited) -> Result<Self, Error> {
        let store = Store::directory(&awaited.root)?;
        let root = store.root().unwrap_or(&awaited.root).to_owned();
        let (id, repository) = (awaited.repository, OnceLock::new());
        Ok(Self { store, root, id, repository, numbered: Mutex::default() })
    }

    pub(super) fn repository(&self) -> Option<&Repository> {
        self.repository.get()
    }

    /// What a peer may do now: who made the repository is its source from then on.
    pub(super) fn role(&self, peer: &Peer) -> Role {
        match peer.role {
            Role::Init if self.repository().is_some() => Role::Source,
            role => role,
        }
    }

    /// Checks what came and gives it its name. `Ok(false)`: the name exists.
    pub(super) fn keep(&self, receiving: Receiving) -> Result<bool, No> {
        let _held = receiving.is_ordered().then(|| lock(&self.numbered));
        if let Some(repository) = self.repository() {
            return receiving.keep(repository);
        }
        let new = receiving.keep_config(&self.id)?;
        let made = Repository::in_store(self.store.clone(), "the new repository");
        let made = made.map_err(|e| No::Failed(e.to_string()))?;
        self.repository.get_or_init(|| made);
        unmark(&self.root).map_err(|e| No::Failed(e.to_string()))?;
        Ok(new)
    }
}

/// Removes the mark, if there is one.
fn unmark(root: &Path) -> Result<(), Error> {
    let mark = root.join(AWAITED);
    match std::fs::remove_file(&mark) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.at("remove", mark),
    }
}
