//! A repository that is being made: its `config` and its keys, before they are anywhere.

use std::path::Path;

use crate::crypt::random;
use crate::error::{At, Error};
use crate::hash::{Hash, hex};
use crate::keys::{self, Key, Secret};
use crate::repository::{CONFIG_BYTES_MAX, Config, Repository};
use crate::store::Store;

/// How a repository is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitOptions {
    /// Encrypt pages and names.
    pub encryption: bool,
    /// A segment is closed at this many bytes.
    pub segment: u32,
    /// Delta layers before a new base.
    pub base_every: u32,
}

impl Default for InitOptions {
    fn default() -> Self {
        Self { encryption: true, segment: 16 << 20, base_every: 16 }
    }
}

/// Keys of a new repository.
#[derive(Debug)]
pub struct NewKeys {
    /// `source.key`.
    pub source: Key,
    /// `restore.key`.
    pub restore: Key,
    /// `prune.key`.
    pub prune: Key,
    /// The recovery sheet's text.
    pub sheet: String,
    /// The repository's id in hexadecimal.
    pub repository: String,
}

/// The `config` of a repository that is to be made; nothing in it is secret if it is encrypted.
#[derive(Debug, Clone)]
pub struct Draft {
    config: Config,
    text: String,
}

impl Draft {
    /// Draws keys. `repository` is the id, drawn as well if there is none; `place` is what the
    /// recovery sheet says of where the repository is.
    pub fn new(
        options: &InitOptions,
        repository: Option<[u8; 16]>,
        place: &str,
    ) -> Result<(Self, NewKeys), Error> {
        let (seed, source, prune) = (Secret(*random()), Secret(*random()), Secret(*random()));
        let id = repository.unwrap_or_else(|| *random());
        let config = Config::new(id, options, (&seed, &source, &prune));
        let text =
            serde_json::to_string_pretty(&config).map_err(|e| Error::Request(e.to_string()))?;
        let fingerprint = Hash::of(text.as_bytes());
        let repository = hex(&id);
        let keys = NewKeys {
            sheet: keys::recovery_sheet(&seed, &fingerprint, &repository, place),
            source: Key::Source { config: fingerprint, id_key: keys::id_key(&seed), sign: source },
            restore: Key::Restore { config: fingerprint, seed },
            prune: Key::Prune { config: fingerprint, sign: prune },
            repository,
        };
        Ok((Self { config, text }, keys))
    }

    /// Reads a `config` that was kept for a second try.
    pub fn parse(text: String) -> Result<Self, Error> {
        Ok(Self { config: Config::parse(text.as_bytes())?, text })
    }

    /// The `config`, byte for byte.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The repository's id.
    pub fn repository(&self) -> &[u8; 16] {
        &self.config.repository
    }

    /// BLAKE3 of the `config`, which its keys carry.
    pub fn fingerprint(&self) -> Hash {
        Hash::of(self.text.as_bytes())
    }

    /// How it is made.
    pub fn options(&self) -> InitOptions {
        let Config { segment, base_every, .. } = self.config;
        InitOptions { encryption: self.config.encrypted(), segment, base_every }
    }

    /// Makes the repository in a store. One that is there already and is this very one counts as
    /// made: so what was cut off is tried again. `place` names the store in errors.
    pub fn make(&self, store: Store, place: &str) -> Result<Repository, Error> {
        let put = store.put("config", &self.text.clone().into());
        // what is there counts: an answer may be lost
        let there = match (store.get("config", CONFIG_BYTES_MAX), put) {
            (Ok(Some(there)), _) => there,
            (_, Err(e)) | (Err(e), _) => return Err(e),
            (Ok(None), Ok(_)) => {
                return Err(Error::damage("config", 0, "what was just put", "no object"));
            }
        };
        if there != self.text.as_bytes() {
            return Err(Error::Request(format!("{place} holds a repository already")));
        }
        Repository::in_store(store, place)
    }
}

impl Repository {
    /// Makes a new, empty repository in a directory that is empty or does not exist.
    ///
    /// `keep` gets the keys before the repository exists, so that there is never one without keys.
    pub fn init(
        path: &Path,
        options: &InitOptions,
        keep: impl FnOnce(&NewKeys) -> Result<(), Error>,
    ) -> Result<NewKeys, Error> {
        new_directory(path)?;
        let place = path.display().to_string();
        let (draft, keys) = Draft::new(options, None, &place)?;
        keep(&keys)?;
        draft.make(Store::directory(path)?, &place)?;
        Ok(keys)
    }
}

/// Makes a folder for a repository; one that exists must be empty.
pub(crate) fn new_directory(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).at("make the repository", path)?;
    if std::fs::read_dir(path).at("read", path)?.next().is_some() {
        let say =
            format!("{} is not empty: a repository is made in a new directory", path.display());
        return Err(Error::Request(say));
    }
    Ok(())
}
