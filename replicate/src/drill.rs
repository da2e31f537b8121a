//! Drills on record: who restored what where, signed with a key that only the restore key and the
//! recovery sheet give (docs/formats/repository.md, "Drill").

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::generation::Manifest;
use crate::hash::{Hash, as_hex};
use crate::keys::{self, Secret};
use crate::repository::{Reader, Repository};
use crate::store::drill_name;

const TITLE: &str = "framewalk drill 1";
/// The most bytes of a record.
pub(crate) const BYTES_MAX: u64 = 64 << 10;
/// Records read at most, the newest.
const RECORDS_MAX: usize = 1024;

/// A machine, told to nobody who lacks the id key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Keyed hash of `/etc/machine-id`, or of the host's name where there is none.
    #[serde(with = "as_hex")]
    pub id: [u8; 8],
    /// Keyed hash of the kernel's boot id: containers of one machine share it.
    #[serde(with = "as_hex")]
    pub boot: [u8; 8],
}

impl Machine {
    /// This one.
    pub(crate) fn here(id_key: &Secret) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let keyed = |what: &str, text: &str| {
            let hash = blake3::keyed_hash(&id_key.0, format!("{what}:{}", text.trim()).as_bytes());
            std::array::from_fn(|i| hash.as_bytes()[i])
        };
        let mut name = read("/etc/machine-id");
        if name.trim().is_empty() {
            name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        }
        let boot = read("/proc/sys/kernel/random/boot_id");
        Self { id: keyed("machine", &name), boot: keyed("boot", &boot) }
    }

    /// Whether it can be told from the other: neither the same installation nor the same kernel.
    pub fn is_other_than(&self, other: &Self) -> bool {
        self.id != other.id && self.boot != other.boot
    }
}

/// Which key a drill was done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WithKey {
    /// The recovery sheet, typed in or copied.
    Sheet,
    /// The key file.
    RestoreKey,
}

/// Outcomes of one kind of check, by number of files. Names of files are not in a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Such as "digest", "fsck", "Firebird", "command".
    pub check: String,
    /// Passed.
    pub good: u64,
    /// Failed.
    pub bad: u64,
    /// Could not be checked.
    pub untested: u64,
}

/// A restore that was done to see whether it can be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drill {
    schema: String,
    #[serde(with = "as_hex")]
    repository: [u8; 16],
    /// Seconds since 1970 of its end.
    pub time: i64,
    /// What was restored.
    pub generation: u32,
    /// BLAKE3 of its manifest.
    pub id: Hash,
    /// Which host and paths.
    #[serde(with = "as_hex")]
    pub set: [u8; 8],
    /// When the generation's push began.
    pub started: i64,
    /// Where it was restored.
    pub machine: Machine,
    /// Another machine than the one that pushed it; none: the manifest does not say which did.
    pub elsewhere: Option<bool>,
    /// With what.
    pub with: WithKey,
    /// Files, links and directories restored.
    pub files: u64,
    /// Their sizes.
    pub bytes: u64,
    /// Bytes written: the rest are holes.
    pub written: u64,
    /// Seconds from the start of the restore to synced: a part of an RTO, not an RTO.
    pub restore_seconds: f64,
    /// Seconds of the checks.
    pub check_seconds: f64,
    /// What was checked.
    pub checks: Vec<Tally>,
    /// All was restored as it was, and no check failed.
    pub good: bool,
}

impl Drill {
    /// A drill of a generation, done here now; figures are filled in by who did it.
    pub fn new(repository: &Repository, reader: &Reader, manifest: &Manifest) -> Self {
        let machine = Machine::here(&reader.id_key);
        Self {
            schema: "framewalk.drill-record/1".to_owned(),
            repository: repository.config.repository,
            time: crate::push::now(),
            generation: manifest.number,
            id: manifest.id,
            set: manifest.set,
            started: manifest.started,
            machine,
            elsewhere: manifest.machine.map(|pushed| machine.is_other_than(&pushed)),
            with: WithKey::RestoreKey,
            files: 0,
            bytes: 0,
            written: 0,
            restore_seconds: 0.0,
            check_seconds: 0.0,
            checks: Vec::new(),
            good: false,
        }
    }

    /// Whether it proves that the backup survives the loss of the machine and its keys.
    pub fn proves(&self) -> bool {
        self.good && self.elsewhere == Some(true) && self.with == WithKey::Sheet
    }

    /// The signed record. An error without the restore key: there is nothing to sign with.
    pub fn signed(&self, reader: &Reader) -> Result<String, Error> {
        let Some(sign) = &reader.drill_sign else {
            let say = "a drill is signed with restore.key or the recovery sheet: neither was given";
            return Err(Error::Key(say.to_owned()));
        };
        let body = serde_json::to_string(self).map_err(|e| Error::Request(e.to_string()))?;
        Ok(keys::signed(TITLE, sign, &body))
    }

    /// Checks a record's bytes.
    pub(crate) fn parse(repository: &Repository, name: &str, bytes: &[u8]) -> Result<Self, Error> {
        let Some(public) = repository.config.drill_public() else {
            let expected = "no drills: the config has no key that signs them";
            return Err(Error::damage(name, 0, expected, "one"));
        };
        let body = keys::checked(name, TITLE, public, bytes)?;
        let drill: Self = serde_json::from_str(body)
            .map_err(|e| Error::damage(name, e.column() as u64, "a drill's JSON", e.to_string()))?;
        if drill.repository == repository.config.repository {
            Ok(drill)
        } else {
            Err(Error::damage(name, 0, "a drill of this repository", "another's"))
        }
    }
}

/// Checks a signed record and puts it into the repository, which needs no key. Once is enough.
pub fn record_drill(repository: &Repository, text: &str) -> Result<Drill, Error> {
    let drill = Drill::parse(repository, "the drill's record", text.as_bytes())?;
    let name = drill_name(&Hash::of(text.as_bytes()));
    repository.store.put(&name, &text.to_owned().into())?;
    Ok(drill)
}

/// The drills on record, oldest first, and what is there but is no drill of this repository.
pub fn drills(repository: &Repository) -> Result<(Vec<Drill>, Vec<Error>), Error> {
    let mut listed = repository.store.list(Some("drills"))?;
    listed.sort_by_key(|object| std::cmp::Reverse(object.changed));
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for object in listed.iter().take(RECORDS_MAX) {
        match get(repository, &object.name) {
            Ok(drill) => good.push(drill),
            Err(e @ Error::Damage(_)) => bad.push(e),
            Err(e) => return Err(e),
        }
    }
    // of two in one second the failed one counts
    good.sort_by_key(|drill: &Drill| (drill.time, !drill.good));
    Ok((good, bad))
}

/// Reads and checks one record.
pub(crate) fn get(repository: &Repository, name: &str) -> Result<Drill, Error> {
    let bytes = repository.store.get(name, BYTES_MAX)?;
    let bytes = bytes.ok_or_else(|| Error::damage(name, 0, "an object", "none"))?;
    let found = Hash::of(&bytes);
    if drill_name(&found) != name {
        return Err(Error::damage(name, 0, "bytes whose BLAKE3 is its name", found.to_string()));
    }
    Drill::parse(repository, name, &bytes)
}
