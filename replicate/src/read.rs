//! Slots read back: fetched in runs, opened, checked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::catalog::File;
use crate::crypt::DataKey;
use crate::error::Error;
use crate::hash::Hash;
use crate::layers::Layers;
use crate::part::{CATALOG, Entry, SegmentRef};
use crate::relocation::Relocations;
use crate::repository::{Reader, Repository};
use crate::segment::Table;
use crate::store::segment_name;

/// Tables kept in memory; each has some 60 bytes a slot.
const TABLES: usize = 96;
/// Slots that lie this near to each other are fetched in one read.
const GAP: u32 = 32 << 10;
/// The most that is fetched in one read.
const RUN: u32 = 2 << 20;

/// A segment's table, with its data keys ready.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) table: Table,
    pub(crate) keys: Vec<DataKey>,
}

type Cache = VecDeque<(Hash, Arc<Opened>)>;

/// Reads slots for any number of threads.
#[derive(Debug)]
pub(crate) struct Slots<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) reader: &'a Reader,
    pub(crate) relocations: Relocations,
    tables: Mutex<Cache>,
}

impl<'a> Slots<'a> {
    pub(crate) fn open(repository: &'a Repository, reader: &'a Reader) -> Result<Self, Error> {
        let relocations = Relocations::newest(repository)?;
        Ok(Self { repository, reader, relocations, tables: Mutex::default() })
    }

    /// A segment's table.
    pub(crate) fn table(&self, segment: SegmentRef) -> Result<Arc<Opened>, Error> {
        let lock = || self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, table)) = lock().iter().rev().find(|(hash, _)| *hash == segment.hash) {
            return Ok(Arc::clone(table));
        }
        let table = self.repository.table(&segment.hash, segment.bytes)?;
        let keys = self.reader.data_keys(&segment_name(&segment.hash), &table)?;
        let opened = Arc::new(Opened { table, keys });
        let mut cache = lock();
        if cache.len() == TABLES {
            cache.pop_front();
        }
        cache.push_back((segment.hash, Arc::clone(&opened)));
        Ok(opened)
    }

    /// Reads entries and hands their plain bytes to `each`, in order.
    pub(crate) fn read(
        &self,
        entries: &[Entry<SegmentRef>],
        mut each: impl FnMut(&Entry<SegmentRef>, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut placed = Vec::with_capacity(entries.len());
        for entry in entries {
            let Some(place) = entry.place else { continue };
            let (segment, slot) = self.relocations.find(place.segment, place.slot);
            let opened = self.table(segment)?;
            let name = || segment_name(&segment.hash);
            let count = opened.table.slots.len();
            let Some(found) = opened.table.slots.get(slot as usize).copied() else {
                let expected = format!("slot {slot}");
                return Err(Error::damage(
                    name(),
                    opened.table.offset,
                    expected,
                    format!("{count} slots"),
                ));
            };
            if found.id != place.id {
                let (offset, expected) =
                    (u64::from(found.offset), format!("slot {slot} with id {}", place.id));
                return Err(Error::damage(name(), offset, expected, found.id.to_string()));
            }
            placed.push((entry, segment, found, opened));
        }
        let mut plain = Vec::new();
        let mut from = 0;
        while from < placed.len() {
            let (_, segment, first, _) = &placed[from];
            let (segment, begin) = (*segment, first.offset);
            let (mut to, mut end) = (from + 1, first.offset + first.stored);
            while let Some((_, s, next, _)) = placed.get(to) {
                let near = next.offset >= end && next.offset - end <= GAP;
                if *s != segment || !near || next.offset + next.stored - begin > RUN {
                    break;
                }
                end = next.offset + next.stored;
                to += 1;
            }
            let name = segment_name(&segment.hash);
            let bytes = self.repository.store.range(&name, u64::from(begin), u64::from(end))?;
            let mut bytes = bytes.try_into_mut().unwrap_or_else(|bytes| bytes[..].into());
            for (entry, _, slot, opened) in &placed[from..to] {
                let at = (slot.offset - begin) as usize;
                let stored = &mut bytes[at..at + slot.stored as usize];
                let key = &opened.keys[usize::from(slot.key)];
                key.open(
                    self.repository.config.repository,
                    &self.reader.id_key.0,
                    slot,
                    stored,
                    &mut plain,
                )
                .map_err(|bad| {
                    let found = format!("other bytes (page id {})", slot.id);
                    Error::damage(&name, u64::from(slot.offset), bad.expected(), found)
                })?;
                each(entry, &plain)?;
            }
            from = to;
        }
        Ok(())
    }

    /// Hands every file of a generation to `each`, in the catalog's order.
    pub(crate) fn catalog(
        &self,
        layers: &mut Layers<'_>,
        generation: u32,
        mut each: impl FnMut(File) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut entries = layers.merged(&CATALOG)?;
        let mut text: Vec<u8> = Vec::new();
        let mut line_at = 0;
        let bad = |at: u64, expected: &str, found: String| {
            Error::damage(format!("catalog of generation {generation}"), at, expected, found)
        };
        while let Some(entry) = entries.next()? {
            self.read(&[entry], |_, plain| {
                text.extend_from_slice(plain);
                Ok(())
            })?;
            let mut from = 0;
            while let Some(end) = text[from..].iter().position(|b| *b == b'\n') {
                let line = &text[from..from + end];
                let file: File = serde_json::from_slice(line)
                    .map_err(|e| bad(line_at, "a file's line", e.to_string()))?;
                let targets = file.kind != crate::catalog::FileKind::HardLink
                    || file.target.as_deref().is_some_and(File::is_safe);
                if !File::is_safe(&file.path) || !targets {
                    return Err(bad(
                        line_at,
                        "a path below the target",
                        file.path.display().to_string(),
                    ));
                }
                line_at += end as u64 + 1;
                from += end + 1;
                each(file)?;
            }
            text.drain(..from);
            if text.len() > 16 << 20 {
                return Err(bad(line_at, "a line of at most 16 MiB", "a longer one".to_owned()));
            }
        }
        if text.is_empty() {
            Ok(())
        } else {
            Err(bad(line_at, "the end of a line", "the end".to_owned()))
        }
    }
}

/// Files of a generation without their contents, in order.
pub fn files(
    repository: &Repository,
    reader: &Reader,
    manifest: &crate::Manifest,
    each: impl FnMut(File) -> Result<(), Error>,
) -> Result<(), Error> {
    let slots = Slots::open(repository, reader)?;
    let mut layers = Layers::open(repository, manifest)?;
    slots.catalog(&mut layers, manifest.number, each)
}

/// Marks slots by segment.
#[derive(Debug, Default)]
pub(crate) struct Marks(pub(crate) HashMap<SegmentRef, Vec<u64>>);

impl Marks {
    pub(crate) fn mark(&mut self, segment: SegmentRef, slot: u32) {
        let bits = self.0.entry(segment).or_default();
        let word = slot as usize / 64;
        if bits.len() <= word {
            bits.resize(word + 1, 0);
        }
        bits[word] |= 1 << (slot % 64);
    }

    /// Marks every slot that a generation needs, where it lies now.
    pub(crate) fn generation(
        &mut self,
        repository: &Repository,
        relocations: &Relocations,
        manifest: &crate::Manifest,
    ) -> Result<(), Error> {
        let mut layers = Layers::open(repository, manifest)?;
        for file in layers.files() {
            let mut entries = layers.merged(&file)?;
            while let Some(entry) = entries.next()? {
                let Some(place) = entry.place else { continue };
                let (segment, slot) = relocations.find(place.segment, place.slot);
                if slot as usize >= crate::segment::SLOTS_MAX {
                    let found = slot.to_string();
                    return Err(Error::damage(
                        segment_name(&segment.hash),
                        0,
                        "a slot's number",
                        found,
                    ));
                }
                self.mark(segment, slot);
            }
        }
        Ok(())
    }
}

pub(crate) fn marked(bits: &[u64], slot: usize) -> bool {
    bits.get(slot / 64).is_some_and(|word| word >> (slot % 64) & 1 == 1)
}
