//! A repository: its `config`, the keys at hand, its objects.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::crypt::{DataKey, SEALED_KEY_BYTES, random};
use crate::draft::InitOptions;
use crate::error::Error;
use crate::generation::Manifest;
use crate::hash::{Hash, as_hex};
use crate::keys::{self, Key, Secret};
use crate::segment::Table;
use crate::store::{Store, segment_name};

/// Bytes of a page.
pub const PAGE: usize = 16 << 10;
/// The most that is read of an object that is not a segment.
pub(crate) const OBJECT_BYTES_MAX: u64 = 64 << 20;
/// The most that is read of a `config`.
pub(crate) const CONFIG_BYTES_MAX: u64 = 64 << 10;

/// The repository's `config`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Config {
    schema: String,
    /// Random; part of every slot's associated data.
    #[serde(with = "as_hex")]
    pub repository: [u8; 16],
    /// Bytes of a page: 16,384.
    pub page: u32,
    /// A segment is closed at this many bytes.
    pub segment: u32,
    /// Delta layers before a new base.
    pub base_every: u32,
    /// `aes-256-gcm`, or `none`.
    pub suite: String,
    #[serde(with = "as_hex")]
    restore_public: [u8; 32],
    #[serde(with = "as_hex")]
    source_public: [u8; 32],
    #[serde(with = "as_hex")]
    prune_public: [u8; 32],
    /// Whose signature a drill's record has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drill_public: Option<Digits>,
    /// Without encryption only: then it is no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id_key: Option<Secret>,
}

/// 32 bytes as hexadecimal text.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
struct Digits(#[serde(with = "as_hex")] [u8; 32]);

/// An open repository.
#[derive(Debug, Clone)]
pub struct Repository {
    /// Its objects.
    pub store: Store,
    /// Its `config`.
    pub config: Config,
    /// BLAKE3 of `config`.
    pub fingerprint: Hash,
}

/// What the restore key gives.
#[derive(Clone)]
pub struct Reader {
    secret: crypto_box::SecretKey,
    pub(crate) id_key: Secret,
    /// Signs drills; none without the restore key.
    pub(crate) drill_sign: Option<Secret>,
    encrypted: bool,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader")
    }
}

/// What the source key gives.
#[derive(Debug, Clone)]
pub struct Writer {
    pub(crate) id_key: Secret,
    pub(crate) sign: Secret,
}

impl Repository {
    /// Opens the repository in a directory.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::in_store(Store::directory(path)?, &path.display().to_string())
    }

    /// Opens the repository in a store; `place` names it in errors.
    pub fn in_store(store: Store, place: &str) -> Result<Self, Error> {
        let Some(text) = store.get("config", CONFIG_BYTES_MAX)? else {
            let say = format!("{place} is no backup repository: it has no config");
            return Err(Error::Request(say));
        };
        let config = Config::parse(&text)?;
        Ok(Self { store, config, fingerprint: Hash::of(&text) })
    }

    fn belongs(&self, key: &Key) -> Result<(), Error> {
        if key.config() == self.fingerprint {
            return Ok(());
        }
        let say = "the key belongs to another repository, or config was changed since it was made";
        Err(Error::Key(say.to_owned()))
    }

    /// What the source key is for.
    pub fn writer(&self, key: &Key) -> Result<Writer, Error> {
        self.belongs(key)?;
        match key {
            Key::Source { id_key, sign, .. } => {
                Ok(Writer { id_key: id_key.clone(), sign: sign.clone() })
            }
            _ => Err(Error::Key("a push needs source.key".to_owned())),
        }
    }

    /// What the restore key is for. Without encryption none is needed.
    pub fn reader(&self, key: Option<&Key>) -> Result<Reader, Error> {
        if let Some(key) = key {
            self.belongs(key)?;
        }
        match (key, &self.config.id_key) {
            (Some(Key::Restore { seed, .. }), _) => Ok(Reader {
                secret: keys::restore_secret(seed),
                id_key: keys::id_key(seed),
                drill_sign: Some(keys::drill_secret(seed)),
                encrypted: self.config.encrypted(),
            }),
            (_, Some(id_key)) => Ok(Reader {
                secret: crypto_box::SecretKey::from([1; 32]),
                id_key: id_key.clone(),
                drill_sign: None,
                encrypted: false,
            }),
            _ => Err(Error::Key("reading needs restore.key or the recovery sheet".to_owned())),
        }
    }

    /// The secret that signs relocations.
    pub(crate) fn pruner(&self, key: &Key) -> Result<Secret, Error> {
        self.belongs(key)?;
        match key {
            Key::Prune { sign, .. } => Ok(sign.clone()),
            _ => Err(Error::Key("prune needs prune.key".to_owned())),
        }
    }

    pub(crate) fn source_public(&self) -> &[u8; 32] {
        &self.config.source_public
    }

    pub(crate) fn prune_public(&self) -> &[u8; 32] {
        &self.config.prune_public
    }

    /// A new data key and its sealed form. Zeroes without encryption.
    pub(crate) fn new_data_key(&self) -> Result<(DataKey, [u8; SEALED_KEY_BYTES]), Error> {
        if !self.config.encrypted() {
            return Ok((DataKey::new(None), [0; SEALED_KEY_BYTES]));
        }
        let key = random::<32>();
        let public = crypto_box::PublicKey::from(self.config.restore_public);
        let sealed = public.seal(&mut crypto_box::aead::OsRng, &key[..]);
        let sealed = sealed.ok().and_then(|sealed| sealed.try_into().ok());
        let failed = || Error::Key("the data key cannot be sealed".to_owned());
        Ok((DataKey::new(Some(&key)), sealed.ok_or_else(failed)?))
    }

    /// Every generation's manifest, oldest first; damaged ones as errors.
    pub fn generations(&self) -> Result<Vec<Result<Manifest, Error>>, Error> {
        let listed = self.store.list(Some("generations"))?;
        let read = listed.iter().map(|object| {
            let number = object.name.strip_prefix("generations/").filter(|n| n.len() == 8);
            let number = number.and_then(|n| n.parse().ok());
            let foreign = || Error::damage(&object.name, 0, "a generation", "a foreign object");
            Manifest::get(self, number.ok_or_else(foreign)?)
        });
        Ok(read.collect())
    }

    /// A segment's table, without reading its slots.
    pub(crate) fn table(&self, hash: &Hash, bytes: u32) -> Result<Table, Error> {
        Table::get(&self.store, &segment_name(hash), bytes)
    }
}

impl Config {
    /// Reads a `config`; one that is not of a known version is damage.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Error> {
        let config: Self = serde_json::from_slice(text)
            .map_err(|e| Error::damage("config", e.column() as u64, "its JSON", e.to_string()))?;
        let known = config.schema == "framewalk.repository/1"
            && config.page as usize == PAGE
            && (1 << 16..=64 << 20).contains(&config.segment)
            && (1..=1024).contains(&config.base_every)
            && config.encrypted() != (config.suite == "none")
            && config.encrypted() != config.id_key.is_some();
        if !known {
            return Err(Error::damage("config", 0, "a config of version 1", "something else"));
        }
        Ok(config)
    }

    /// The config of a new repository, whose keys were just drawn.
    pub(crate) fn new(
        repository: [u8; 16],
        options: &InitOptions,
        (seed, source, prune): (&Secret, &Secret, &Secret),
    ) -> Self {
        Self {
            schema: "framewalk.repository/1".to_owned(),
            repository,
            page: PAGE as u32,
            segment: options.segment,
            base_every: options.base_every,
            suite: if options.encryption { "aes-256-gcm" } else { "none" }.to_owned(),
            restore_public: *keys::restore_secret(seed).public_key().as_bytes(),
            source_public: keys::public(source),
            prune_public: keys::public(prune),
            drill_public: Some(Digits(keys::public(&keys::drill_secret(seed)))),
            id_key: (!options.encryption).then(|| keys::id_key(seed)),
        }
    }

    /// The key that checks drills.
    pub(crate) fn drill_public(&self) -> Option<&[u8; 32]> {
        self.drill_public.as_ref().map(|public| &public.0)
    }

    /// Whether pages and names are encrypted.
    pub fn encrypted(&self) -> bool {
        self.suite == "aes-256-gcm"
    }
}

impl Reader {
    /// The data keys of a segment.
    pub(crate) fn data_keys(&self, object: &str, table: &Table) -> Result<Vec<DataKey>, Error> {
        if !self.encrypted {
            return Ok(table.keys.iter().map(|_| DataKey::new(None)).collect());
        }
        let open = |sealed: &[u8; SEALED_KEY_BYTES]| {
            let key = self.secret.unseal(sealed).ok().map(zeroize::Zeroizing::new);
            let key = key.as_ref().and_then(|key| key[..].try_into().ok());
            let bad = || Error::damage(object, table.offset, "a sealed data key", "another");
            Ok(DataKey::new(Some(key.ok_or_else(bad)?)))
        };
        table.keys.iter().map(open).collect()
    }
}
