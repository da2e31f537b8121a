//! An object being received: staged beside its place, checked, linked to its name.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::busy::Busy;
use super::codec::Message;
use super::policy::{MADE, NOTHING_YET, Object};
use super::session::Out;
use crate::drill::Drill;
use crate::generation::Manifest;
use crate::hash::{Hash, hex};
use crate::push::now;
use crate::relocation::Relocations;
use crate::repository::{Config, Repository};
use crate::staged::Staged;
use crate::store::part_name;

/// A manifest may be dated so far ahead of the server's clock, in seconds.
const AHEAD: i64 = 3600;
/// A segment's and a part's first bytes, with the repository's id behind.
const HEAD: usize = 24;

/// Why an object was not taken.
#[derive(Debug)]
pub(crate) enum No {
    /// It must not be.
    Refused(String),
    /// The disk did not take it.
    Failed(String),
}

impl No {
    /// Answers the put.
    pub(super) fn tell(self, id: u32, out: &Out) {
        match self {
            Self::Refused(why) => out.refuse(id, &why),
            Self::Failed(why) => out.say(id, &Message::Failed { why: &why }),
        }
    }
}

impl From<io::Error> for No {
    fn from(e: io::Error) -> Self {
        Self::Failed(format!("the server's disk: {e}"))
    }
}

/// An object on its way in.
#[derive(Debug)]
pub(crate) struct Receiving {
    pub(crate) name: String,
    object: Object,
    left: u64,
    head: Vec<u8>,
    hash: blake3::Hasher,
    busy: Busy,
    /// When the last byte had come.
    whole: Option<Instant>,
    /// None: what comes is thrown away, the reason was told.
    staged: Option<Staged>,
}

impl Receiving {
    pub(crate) fn new(root: &Path, name: &str, object: Object, size: u64) -> Result<Self, No> {
        let staged = Some(Staged::new(root, name, size)?);
        Ok(Self { staged, ..Self::nothing(name, object, size) })
    }

    /// What is not taken still comes, and is thrown away.
    pub(crate) fn nothing(name: &str, object: Object, size: u64) -> Self {
        let (name, head, hash) = (name.to_owned(), Vec::new(), blake3::Hasher::new());
        let (busy, whole) = (Busy::default(), None);
        Self { name, object, left: size, head, hash, busy, whole, staged: None }
    }

    /// Takes a piece. `Ok(true)`: that was the last.
    pub(crate) fn piece(&mut self, bytes: &[u8]) -> Result<bool, No> {
        let Some(left) = self.left.checked_sub(bytes.len() as u64).filter(|_| !bytes.is_empty())
        else {
            self.staged = None;
            return Err(No::Refused("more bytes than were announced, or none".to_owned()));
        };
        self.left = left;
        if let Some(staged) = &mut self.staged {
            let more = (HEAD - self.head.len()).min(bytes.len());
            self.head.extend_from_slice(&bytes[..more]);
            let begin = Instant::now();
            self.hash.update(bytes);
            let hashed = Instant::now();
            let written = staged.write(bytes);
            self.busy.hash += hashed - begin;
            self.busy.disk += hashed.elapsed();
            if let Err(e) = written {
                self.staged = None;
                return Err(e.into());
            }
        }
        if left == 0 {
            self.whole = Some(Instant::now());
        }
        Ok(left == 0)
    }

    /// Whether its pieces are thrown away.
    pub(crate) fn is_nothing(&self) -> bool {
        self.staged.is_none()
    }

    /// Whether all pieces came.
    pub(crate) fn is_whole(&self) -> bool {
        self.left == 0
    }

    /// Whether what others put meanwhile decides if it is taken.
    pub(crate) fn is_ordered(&self) -> bool {
        matches!(self.object, Object::Config | Object::Generation(_) | Object::Relocation(_))
    }

    /// Keeps the `config` of a new repository, which must have this id. `Ok(false)`: there is one.
    pub(crate) fn keep_config(self, id: &[u8; 16]) -> Result<bool, No> {
        let Some(mut staged) = self.staged else { return Ok(false) };
        if self.object != Object::Config {
            return Err(No::Refused(NOTHING_YET.to_owned()));
        }
        let config = Config::parse(&staged.bytes()?).map_err(|e| No::Refused(e.to_string()))?;
        if config.repository != *id {
            let say = format!("config: expected the repository's id {}", hex(id));
            return Err(No::Refused(say));
        }
        Ok(staged.keep()?)
    }

    /// What it took so far; behind the last byte the disk is waited for, and its turn.
    pub(crate) fn busy(&self) -> impl Fn() -> Busy + use<> {
        let (busy, whole) = (self.busy, self.whole);
        move || {
            let behind = whole.map_or(Duration::ZERO, |whole| whole.elapsed());
            Busy { disk: busy.disk + behind, ..busy }
        }
    }

    /// Checks what came and keeps it. `Ok(false)`: the name exists.
    pub(crate) fn keep(self, repository: &Repository) -> Result<bool, No> {
        let Some(mut staged) = self.staged else { return Ok(false) };
        let found = Hash(*self.hash.finalize().as_bytes());
        match self.object {
            Object::Segment(hash) | Object::Map(hash) => {
                if found != hash {
                    let say = format!("{}: its bytes have the BLAKE3 {found}", self.name);
                    return Err(No::Refused(say));
                }
                let magic: &[u8] = if let Object::Map(_) = self.object {
                    b"FWMAP\0\0\x01"
                } else {
                    b"FWSEG\0\0\x01"
                };
                let id = &repository.config.repository;
                if self.head.get(..8) != Some(magic) || self.head.get(8..) != Some(&id[..]) {
                    let say = format!("{}: it is not of this repository", self.name);
                    return Err(No::Refused(say));
                }
            }
            Object::Generation(number) => {
                generation(repository, number, &staged.bytes()?).map_err(No::Refused)?;
            }
            Object::Relocation(number) => {
                relocation(repository, number, &staged.bytes()?).map_err(No::Refused)?;
            }
            Object::Drill(hash) => {
                let bytes = staged.bytes()?;
                let checked = Drill::parse(repository, &self.name, &bytes);
                checked.map_err(|e| No::Refused(e.to_string()))?;
                if found != hash {
                    let say = format!("{}: its bytes have the BLAKE3 {found}", self.name);
                    return Err(No::Refused(say));
                }
            }
            Object::Config => return Err(No::Refused(MADE.to_owned())),
        }
        Ok(staged.keep()?)
    }
}

/// The next number in a folder; `None`: this one exists.
fn next(repository: &Repository, folder: &str, number: u32) -> Result<Option<u32>, String> {
    let listed = repository.store.list(Some(folder)).map_err(|e| e.to_string())?;
    let numbers = listed.iter().filter_map(|o| o.name.rsplit_once('/')?.1.parse::<u32>().ok());
    let numbers: Vec<_> = numbers.collect();
    let newest = numbers.iter().copied().max().unwrap_or(0);
    Ok((!numbers.contains(&number)).then_some(newest.saturating_add(1)))
}

/// A manifest: signed by this repository's source key, whole, next in order, not of the future.
fn generation(repository: &Repository, number: u32, bytes: &[u8]) -> Result<(), String> {
    match next(repository, "generations", number)? {
        None => return Ok(()), // linking finds out, and the client is told
        Some(next) if next == number => {}
        Some(next) => return Err(format!("generation {number} is out of order: {next} is next")),
    }
    let manifest = Manifest::parse(repository, number, bytes).map_err(|e| e.to_string())?;
    let latest = now() + AHEAD;
    if manifest.started > manifest.finished || manifest.finished > latest {
        return Err(format!(
            "generation {number} is dated {} to {}, the server's clock says {}",
            manifest.started,
            manifest.finished,
            now()
        ));
    }
    for part in manifest.layers.iter().flat_map(|layer| &layer.parts) {
        let name = part_name(&part.hash);
        let size = repository.store.size(&name).map_err(|e| e.to_string())?;
        if size != Some(u64::from(part.bytes)) {
            return Err(format!("generation {number} needs {name}, which is not here whole"));
        }
    }
    Ok(())
}

/// A relocation table: signed by this repository's prune key, next in order.
fn relocation(repository: &Repository, number: u32, bytes: &[u8]) -> Result<(), String> {
    match next(repository, "relocations", number)? {
        None => return Ok(()),
        Some(next) if next == number => {}
        Some(next) => return Err(format!("relocation {number} is out of order: {next} is next")),
    }
    Relocations::parse(repository, number, bytes).map(|_| ()).map_err(|e| e.to_string())
}
