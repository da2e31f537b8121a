//! What the source remembers of the newest generation: ids in page order, never held whole; and
//! the journal of what is acknowledged of a push that has not ended.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::trust::Before;
use crate::catalog;
use crate::error::{At, Error};
use crate::generation::Layer;
use crate::hash::Hash;
use crate::part::{Entry, FileId, Place, SegmentRef};

/// Bytes of a record of the map.
const RECORD: usize = 56;
/// Bytes of an entry of the journal.
const NOTE: usize = 64;
/// Head of a block of the journal: magic, length, checksum.
const BLOCK: usize = 24;
const BLOCK_MAGIC: u32 = 0x4b4c_4246;

/// A page or chunk that is stored: its segment is a number in a table.
pub(crate) type Known = Entry<u32>;

/// `state.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) config: Hash,
    pub(crate) number: u32,
    /// BLAKE3 of its manifest.
    pub(crate) manifest: Hash,
    pub(crate) started: i64,
    pub(crate) layers: Vec<Layer>,
    pub(crate) segments: Vec<SegmentRef>,
    /// Of the catalog's own chunks in `map`.
    pub(crate) at: u64,
    pub(crate) count: u64,
    /// The system's run, and the mounts that were read from.
    #[serde(default)]
    pub(crate) boot: String,
    #[serde(default)]
    pub(crate) mounts: BTreeSet<u64>,
}

impl Head {
    pub(super) fn before(&self) -> Before {
        Before { started: self.started, boot: self.boot.clone(), mounts: self.mounts.clone() }
    }
}

/// A line of the state's catalog: the file, and where its records are in `map`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) file: catalog::File,
    pub(crate) at: u64,
    pub(crate) count: u64,
}

/// Where a set's state is kept.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes and locks the folder: one push of a set at a time.
    pub(crate) fn lock(path: &Path) -> Result<Self, Error> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).at("make", path)?;
        let name = path.join("lock");
        let mut options = fs::OpenOptions::new();
        let lock = options.write(true).create(true).truncate(false).mode(0o600).open(&name);
        let lock = lock.at("open", &name)?;
        if lock.try_lock().is_err() {
            let say =
                format!("another push of the same paths is running (lock {})", name.display());
            return Err(Error::Request(say));
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }

    /// The state that a push prepared before it put its manifest.
    pub(crate) fn prepared(&self) -> Option<Head> {
        Self::head(&self.path.join("next")).ok()
    }

    fn head(folder: &Path) -> Result<Head, Error> {
        let name = folder.join("state.json");
        let text = fs::read(&name).at("read", &name)?;
        serde_json::from_slice(&text).map_err(|e| Error::Request(e.to_string()))
    }

    /// The current state.
    pub(crate) fn current(&self) -> Option<(Head, Old)> {
        let folder = self.path.join("current");
        let head = Self::head(&folder).ok()?;
        let map = File::open(folder.join("map")).ok()?;
        let catalog = File::open(folder.join("catalog")).ok()?;
        let lines = BufReader::new(catalog);
        Some((head, Old { folder, map: Some(map), lines: Some(lines), peeked: None }))
    }

    /// The next state becomes the current one; the journal is done with.
    pub(crate) fn commit(&self) -> Result<(), Error> {
        let (next, current) = (self.path.join("next"), self.path.join("current"));
        let before = self.path.join("before");
        remove(&before)?;
        if current.exists() {
            fs::rename(&current, &before).at("rename", &current)?;
        }
        fs::rename(&next, &current).at("rename", &next)?;
        sync(&self.path)?;
        remove(&before)?;
        self.forget_journal()
    }

    /// What `commit` was interrupted in, put right.
    pub(crate) fn mend(&self) -> Result<(), Error> {
        let (before, current) = (self.path.join("before"), self.path.join("current"));
        if before.exists() && !current.exists() {
            fs::rename(&before, &current).at("rename", &before)?;
        }
        remove(&before)
    }

    pub(crate) fn forget_next(&self) -> Result<(), Error> {
        remove(&self.path.join("next"))
    }

    pub(crate) fn forget_journal(&self) -> Result<(), Error> {
        let name = self.journal();
        match fs::remove_file(&name) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).at("remove", name),
            _ => Ok(()),
        }
    }

    /// Writes the next state's head, synced.
    pub(crate) fn prepare(&self, head: &Head) -> Result<(), Error> {
        let path = self.path.join("next");
        let text = serde_json::to_vec(head).map_err(|e| Error::Request(e.to_string()))?;
        let name = path.join("state.json");
        let mut file = File::create(&name).at("create", &name)?;
        file.write_all(&text).and_then(|()| file.sync_all()).at("write", &name)?;
        sync(&path)?;
        sync(&self.path)
    }

    /// Begins the next state.
    pub(crate) fn begin(&self) -> Result<Next, Error> {
        self.forget_next()?;
        let path = self.path.join("next");
        fs::DirBuilder::new().mode(0o700).create(&path).at("make", &path)?;
        let file = |name: &str| {
            let name = path.join(name);
            File::create(&name).at("create", name).map(|f| BufWriter::with_capacity(1 << 18, f))
        };
        Ok(Next { map: file("map")?, catalog: file("catalog")?, records: 0, path })
    }
}

fn remove(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).at("remove", folder),
        _ => Ok(()),
    }
}

fn sync(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|f| f.sync_all()).at("sync", folder)
}

/// The state being written.
#[derive(Debug)]
pub(crate) struct Next {
    path: PathBuf,
    map: BufWriter<File>,
    catalog: BufWriter<File>,
    /// Written so far.
    pub(crate) records: u64,
}

impl Next {
    pub(crate) fn record(&mut self, index: u64, place: &Place<u32>) -> Result<(), Error> {
        let mut bytes = [0; RECORD];
        bytes[..8].copy_from_slice(&index.to_le_bytes());
        bytes[8..40].copy_from_slice(&place.id.0);
        bytes[40..44].copy_from_slice(&place.segment.to_le_bytes());
        bytes[44..48].copy_from_slice(&place.slot.to_le_bytes());
        bytes[48..52].copy_from_slice(&place.len.to_le_bytes());
        self.records += 1;
        self.map.write_all(&bytes).at("write", &self.path)
    }

    pub(crate) fn line(&mut self, line: &Line) -> Result<(), Error> {
        let text = serde_json::to_string(line).map_err(|e| Error::Request(e.to_string()))?;
        writeln!(self.catalog, "{text}").at("write", &self.path)
    }

    /// Syncs what was written.
    pub(crate) fn finish(self) -> Result<(), Error> {
        let Self { path, map, catalog, .. } = self;
        for file in [map, catalog] {
            let file = file.into_inner().map_err(std::io::IntoInnerError::into_error);
            file.and_then(|file| file.sync_all()).at("write", &path)?;
        }
        Ok(())
    }
}

/// The state of the generation before.
#[derive(Debug, Default)]
pub(crate) struct Old {
    folder: PathBuf,
    map: Option<File>,
    lines: Option<BufReader<File>>,
    peeked: Option<Line>,
}

impl Old {
    /// The old line of `path`; lines before it, of files that are gone, go to `gone`.
    pub(crate) fn find(
        &mut self,
        path: Option<&Path>,
        mut gone: impl FnMut(Line) -> Result<(), Error>,
    ) -> Result<Option<Line>, Error> {
        loop {
            let Some(line) = self.peek()? else { return Ok(None) };
            let order =
                path.map_or(std::cmp::Ordering::Less, |p| catalog::order(&line.file.path, p));
            match order {
                std::cmp::Ordering::Less => gone(line)?,
                std::cmp::Ordering::Equal => return Ok(Some(line)),
                std::cmp::Ordering::Greater => {
                    self.peeked = Some(line);
                    return Ok(None);
                }
            }
        }
    }

    fn peek(&mut self) -> Result<Option<Line>, Error> {
        if let Some(line) = self.peeked.take() {
            return Ok(Some(line));
        }
        let Some(lines) = &mut self.lines else { return Ok(None) };
        let mut text = String::new();
        if lines.read_line(&mut text).at("read", self.folder.join("catalog"))? == 0 {
            return Ok(None);
        }
        let line = serde_json::from_str(&text);
        let name = || self.folder.join("catalog").display().to_string();
        line.map(Some).map_err(|e| Error::Request(format!("{}: {e}", name())))
    }

    /// Records `from..from + count` of the map.
    pub(crate) fn records(&self, from: u64, count: usize) -> Result<Vec<Known>, Error> {
        let Some(map) = &self.map else { return Ok(Vec::new()) };
        let mut bytes = vec![0; count * RECORD];
        map.read_exact_at(&mut bytes, from * RECORD as u64).at("read", self.folder.join("map"))?;
        let (records, _) = bytes.as_chunks::<RECORD>();
        let four = |r: &[u8; RECORD], at| u32::from_le_bytes(std::array::from_fn(|i| r[at + i]));
        let known = records.iter().map(|r| Entry {
            index: u64::from_le_bytes(std::array::from_fn(|i| r[i])),
            place: Some(Place {
                id: Hash(std::array::from_fn(|i| r[8 + i])),
                segment: four(r, 40),
                slot: four(r, 44),
                len: four(r, 48),
            }),
        });
        Ok(known.collect())
    }
}

/// Writes what is acknowledged.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    pub(crate) fn append(path: &Path) -> Result<Self, Error> {
        let mut options = fs::OpenOptions::new();
        let file = options.append(true).create(true).mode(0o600).open(path).at("open", path)?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Notes a segment and what lies in it.
    pub(crate) fn note(
        &mut self,
        segment: &SegmentRef,
        entries: &[(FileId, u64, Place<u32>)],
    ) -> Result<(), Error> {
        let mut block = vec![0; BLOCK];
        block.extend_from_slice(&segment.hash.0);
        block.extend_from_slice(&segment.bytes.to_le_bytes());
        for (file, index, place) in entries {
            block.extend_from_slice(file);
            block.extend_from_slice(&index.to_le_bytes());
            block.extend_from_slice(&place.id.0);
            block.extend_from_slice(&place.slot.to_le_bytes());
            block.extend_from_slice(&place.len.to_le_bytes());
        }
        let check = Hash::of(&block[BLOCK..]);
        block[..4].copy_from_slice(&BLOCK_MAGIC.to_le_bytes());
        let len = (block.len() - BLOCK) as u32;
        block[4..8].copy_from_slice(&len.to_le_bytes());
        block[8..BLOCK].copy_from_slice(&check.0[..16]);
        self.file.write_all(&block).at("write", &self.path)
    }
}

/// What a push that did not end left acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Left {
    file: Option<File>,
    pub(crate) segments: Vec<SegmentRef>,
    /// Runs of entries of each file: segment, byte offset, count.
    runs: HashMap<FileId, Vec<(u32, u64, u32)>>,
}

impl Left {
    /// Reads a journal up to the first block that is not whole, and cuts it off there: what is
    /// appended must follow what can be read.
    pub(crate) fn read(
        path: &Path,
        mut exists: impl FnMut(&SegmentRef) -> bool,
    ) -> Result<Self, Error> {
        let mut left = Self::default();
        let mut file = match fs::OpenOptions::new().read(true).write(true).open(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(left),
            opened => opened.at("open", path)?,
        };
        let mut at = 0;
        let mut head = [0; BLOCK];
        while file.read_exact(&mut head).is_ok() {
            let four = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| head[at + i]));
            let len = four(4) as usize;
            if four(0) != BLOCK_MAGIC || !(36..64 << 20).contains(&len) {
                break;
            }
            let mut block = vec![0; len];
            if file.read_exact(&mut block).is_err() || Hash::of(&block).0[..16] != head[8..] {
                break;
            }
            let hash = Hash(std::array::from_fn(|i| block[i]));
            let bytes = u32::from_le_bytes(std::array::from_fn(|i| block[32 + i]));
            let segment = SegmentRef { hash, bytes };
            if exists(&segment) {
                left.add(segment, &block[36..], at + (BLOCK + 36) as u64);
            }
            at += (BLOCK + len) as u64;
        }
        file.set_len(at).at("cut", path)?;
        left.file = Some(file);
        Ok(left)
    }

    fn add(&mut self, segment: SegmentRef, notes: &[u8], at: u64) {
        let number = self.segments.len() as u32;
        self.segments.push(segment);
        let (notes, _) = notes.as_chunks::<NOTE>();
        for (nth, note) in notes.iter().enumerate() {
            let file: FileId = std::array::from_fn(|i| note[i]);
            let at = at + (nth * NOTE) as u64;
            let runs = self.runs.entry(file).or_default();
            match runs.last_mut() {
                Some((s, from, count))
                    if *s == number && *from + u64::from(*count) * NOTE as u64 == at =>
                {
                    *count += 1;
                }
                _ => runs.push((number, at, 1)),
            }
        }
    }

    /// What is acknowledged of a file; `base` is added to segment numbers.
    pub(crate) fn of(&self, file: &FileId, base: u32) -> Notes {
        let runs = self.runs.get(file).cloned().unwrap_or_default().into();
        Notes { runs, base, read: VecDeque::new() }
    }
}

/// Acknowledged entries of one file, in the order of the journal.
#[derive(Debug)]
pub(crate) struct Notes {
    runs: VecDeque<(u32, u64, u32)>,
    base: u32,
    read: VecDeque<Known>,
}

impl Notes {
    /// The entries up to the first with an index of `end` or more.
    pub(crate) fn until(&mut self, left: &Left, end: u64) -> Result<Vec<Known>, Error> {
        let mut known = Vec::new();
        loop {
            while let Some(entry) = self.read.front() {
                if entry.index >= end {
                    return Ok(known);
                }
                known.extend(self.read.pop_front());
            }
            let Some((segment, at, count)) = self.runs.pop_front() else { return Ok(known) };
            let some = count.min(4096);
            if count > some {
                let rest = at + u64::from(some) * NOTE as u64;
                self.runs.push_front((segment, rest, count - some));
            }
            let Some(journal) = &left.file else { return Ok(known) };
            let mut bytes = vec![0; some as usize * NOTE];
            journal.read_exact_at(&mut bytes, at).at("read", "the journal")?;
            let (notes, _) = bytes.as_chunks::<NOTE>();
            let four = |r: &[u8; NOTE], at| u32::from_le_bytes(std::array::from_fn(|i| r[at + i]));
            self.read.extend(notes.iter().map(|note| Entry {
                index: u64::from_le_bytes(std::array::from_fn(|i| note[16 + i])),
                place: Some(Place {
                    id: Hash(std::array::from_fn(|i| note[24 + i])),
                    segment: self.base + segment,
                    slot: four(note, 56),
                    len: four(note, 60),
                }),
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_block_cut_short_is_read_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let note = |journal: &mut Journal, byte: u8| {
            let segment = SegmentRef { hash: Hash([byte; 32]), bytes: 7 };
            let place = Place { segment: 0, slot: 1, id: Hash([byte; 32]), len: 9 };
            journal.note(&segment, &[([byte; 16], 3, place)]).unwrap();
        };
        let read = || {
            let left = Left::read(&path, |_| true).unwrap();
            left.segments.iter().map(|segment| segment.hash.0[0]).collect::<Vec<_>>()
        };
        assert!(read().is_empty(), "there is none yet");
        let mut journal = Journal::append(&path).unwrap();
        note(&mut journal, 1);
        note(&mut journal, 2);
        let whole = path.metadata().unwrap().len();
        // killed in the middle of the second
        File::options().write(true).open(&path).unwrap().set_len(whole - 5).unwrap();
        assert_eq!(read(), [1]);
        note(&mut Journal::append(&path).unwrap(), 3);
        assert_eq!(read(), [1, 3]);
    }
}
