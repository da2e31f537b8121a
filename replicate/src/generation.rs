//! Manifests of generations: small, signed, put last.

use serde::{Deserialize, Serialize};

use crate::drill::Machine;
use crate::error::Error;
use crate::hash::{Hash, as_hex};
use crate::keys::{self, Secret};
use crate::repository::{OBJECT_BYTES_MAX, Repository};
use crate::store::generation_name;

const TITLE: &str = "framewalk generation 1";

/// What a generation is of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Consistency {
    /// As its own program would leave it: a hook held it still or copied it.
    #[serde(rename = "application-consistent")]
    Application,
    /// As after a power cut: all of it was read from something that did not change.
    #[serde(rename = "crash-consistent")]
    Crash,
    /// Read from files that others could write to meanwhile.
    #[serde(rename = "not-consistent")]
    Not,
}

/// A part by name and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct PartRef {
    pub(crate) hash: Hash,
    pub(crate) bytes: u32,
    pub(crate) entries: u32,
}

/// The parts that one push added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layer {
    pub(crate) generation: u32,
    pub(crate) parts: Vec<PartRef>,
}

impl Layer {
    pub(crate) fn entries(&self) -> u64 {
        self.parts.iter().map(|part| u64::from(part.entries)).sum()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| u64::from(part.bytes)).sum()
    }
}

/// A generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    schema: String,
    #[serde(with = "as_hex")]
    pub(crate) repository: [u8; 16],
    /// From 1; never used twice.
    pub number: u32,
    /// Which host and paths.
    #[serde(with = "as_hex")]
    pub set: [u8; 8],
    /// Which machine pushed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    /// When the push began, seconds since 1970.
    pub started: i64,
    /// When all of it was read.
    pub finished: i64,
    /// What its files are, taken together.
    pub consistency: Consistency,
    /// How that is known.
    pub because: String,
    /// Files in it.
    pub files: u64,
    /// Their sizes.
    pub bytes: u64,
    /// Bytes read and hashed by the push.
    pub read: u64,
    /// Bytes put before the manifest.
    pub sent: u64,
    /// Of these, the cost of a new base.
    pub base_cost: u64,
    /// Entries of the catalog's map.
    pub(crate) layers: Vec<Layer>,
    /// BLAKE3 of the object.
    #[serde(skip)]
    pub id: Hash,
}

/// The figures of a new manifest.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) set: [u8; 8],
    pub(crate) machine: Machine,
    pub(crate) started: i64,
    pub(crate) finished: i64,
    pub(crate) consistency: Consistency,
    pub(crate) because: String,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) read: u64,
    pub(crate) sent: u64,
    pub(crate) base_cost: u64,
    pub(crate) layers: Vec<Layer>,
}

impl Draft {
    pub(crate) fn number(self, repository: &Repository, number: u32) -> Manifest {
        Manifest {
            schema: "framewalk.generation/1".to_owned(),
            repository: repository.config.repository,
            number,
            set: self.set,
            machine: Some(self.machine),
            started: self.started,
            finished: self.finished,
            consistency: self.consistency,
            because: self.because,
            files: self.files,
            bytes: self.bytes,
            read: self.read,
            sent: self.sent,
            base_cost: self.base_cost,
            layers: self.layers,
            id: Hash::default(),
        }
    }
}

impl Manifest {
    /// The object's bytes.
    pub(crate) fn text(&self, sign: &Secret) -> Result<String, Error> {
        let body = serde_json::to_string(self).map_err(|e| Error::Request(e.to_string()))?;
        Ok(keys::signed(TITLE, sign, &body))
    }

    /// Reads and checks a generation's manifest.
    pub fn get(repository: &Repository, number: u32) -> Result<Self, Error> {
        let name = generation_name(number);
        let bytes = repository
            .store
            .get(&name, OBJECT_BYTES_MAX)?
            .ok_or_else(|| Error::Request(format!("there is no generation {number}")))?;
        Self::parse(repository, number, &bytes)
    }

    /// Checks a manifest's bytes.
    pub(crate) fn parse(repository: &Repository, number: u32, bytes: &[u8]) -> Result<Self, Error> {
        let name = generation_name(number);
        let body = keys::checked(&name, TITLE, repository.source_public(), bytes)?;
        let at = (bytes.len() - body.len()) as u64;
        let manifest: Self = serde_json::from_str(body).map_err(|e| {
            Error::damage(&name, at + e.column() as u64, "a manifest's JSON", e.to_string())
        })?;
        let ours = manifest.schema == "framewalk.generation/1"
            && manifest.repository == repository.config.repository;
        if !ours {
            return Err(Error::damage(name, at, "a manifest of this repository", "another"));
        }
        if manifest.number != number {
            let found = format!("generation {}", manifest.number);
            return Err(Error::damage(name, at, format!("generation {number}"), found));
        }
        Ok(Self { id: Hash::of(bytes), ..manifest })
    }

    /// Bytes of its parts, and how many layers.
    pub fn index_cost(&self) -> (u64, usize) {
        (self.layers.iter().map(Layer::bytes).sum(), self.layers.len())
    }

    /// Whether this push wrote a new base.
    pub fn is_base(&self) -> bool {
        self.layers.len() == 1
    }
}
