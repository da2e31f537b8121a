//! A generation's map: base and deltas merged, part by part, never held whole.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::error::Error;
use crate::generation::Manifest;
use crate::part::{CATALOG, Entry, FileId, Kind, Part, PartRefs, Section, SegmentRef};
use crate::repository::Repository;
use crate::store::part_name;

/// Parts kept in memory.
const CACHED: usize = 40;

/// Where a section lies.
#[derive(Debug, Clone, Copy)]
struct Spot {
    layer: u16,
    part: u32,
    section: u32,
}

/// The map of one generation.
#[derive(Debug)]
pub(crate) struct Layers<'a> {
    repository: &'a Repository,
    parts: PartRefs,
    /// In the order of layers, oldest first, and of parts.
    spots: HashMap<FileId, Vec<Spot>>,
    cache: VecDeque<(u32, Arc<Part>)>,
}

impl<'a> Layers<'a> {
    /// Reads every part once and notes where each file's sections are.
    pub(crate) fn open(repository: &'a Repository, manifest: &Manifest) -> Result<Self, Error> {
        let mut layers =
            Self { repository, parts: Vec::new(), spots: HashMap::new(), cache: VecDeque::new() };
        for (number, layer) in manifest.layers.iter().enumerate() {
            for part in &layer.parts {
                layers.parts.push(*part);
                let index = layers.parts.len() as u32 - 1;
                let read = layers.part(index)?;
                for (section, (head, _, _)) in read.sections.iter().enumerate() {
                    let spot = Spot { layer: number as u16, part: index, section: section as u32 };
                    layers.spots.entry(head.file).or_default().push(spot);
                }
            }
        }
        Ok(layers)
    }

    /// Of the catalog only, which needs no memory for each file.
    pub(crate) fn of_catalog(
        repository: &'a Repository,
        manifest: &Manifest,
    ) -> Result<Self, Error> {
        let mut layers = Self::open(repository, manifest)?;
        layers.spots.retain(|file, _| *file == CATALOG);
        layers.spots.shrink_to_fit();
        layers.cache.clear();
        Ok(layers)
    }

    fn part(&mut self, index: u32) -> Result<Arc<Part>, Error> {
        if let Some((_, part)) = self.cache.iter().rev().find(|(known, _)| *known == index) {
            return Ok(Arc::clone(part));
        }
        let wanted = &self.parts[index as usize];
        let part = Arc::new(get_part(self.repository, wanted)?);
        if self.cache.len() == CACHED {
            self.cache.pop_front();
        }
        self.cache.push_back((index, Arc::clone(&part)));
        Ok(part)
    }

    /// Files with sections, in no order.
    pub(crate) fn files(&self) -> Vec<FileId> {
        self.spots.keys().copied().collect()
    }

    /// The pages or chunks of a file, in order; zeroes are left out.
    pub(crate) fn merged(&mut self, file: &FileId) -> Result<Merged<'_, 'a>, Error> {
        let spots = self.spots.get(file).cloned().unwrap_or_default();
        let mut cursors: Vec<LayerCursor> = Vec::new(); // newest first
        let mut limit = u64::MAX;
        let mut kind = Kind::Gone;
        let mut end = spots.len();
        while end > 0 {
            let layer = spots[end - 1].layer;
            let begin = spots[..end].iter().position(|spot| spot.layer == layer).unwrap_or(0);
            let spot = spots[begin];
            let head = self.part(spot.part)?.sections[spot.section as usize].0;
            limit = limit.min(head.total);
            if cursors.is_empty() {
                kind = head.kind;
            }
            // another kind, older than the newest, is of a file that this one replaced
            if head.kind != kind || head.kind == Kind::Gone {
                break;
            }
            cursors.push(LayerCursor::new(spots[begin..end].to_vec(), limit));
            if head.whole {
                break;
            }
            end = begin;
        }
        let mut merged = Merged { layers: self, cursors, kind };
        merged.begin()?;
        Ok(merged)
    }
}

/// Reads a part, its name checked.
pub(crate) fn get_part(
    repository: &Repository,
    wanted: &crate::generation::PartRef,
) -> Result<Part, Error> {
    let name = part_name(&wanted.hash);
    let bytes = repository
        .store
        .get(&name, u64::from(wanted.bytes))?
        .ok_or_else(|| Error::damage(&name, 0, "an object", "none"))?;
    let found = crate::Hash::of(&bytes);
    if found != wanted.hash {
        let expected = format!("bytes whose BLAKE3 is {}", wanted.hash);
        return Err(Error::damage(&name, 0, expected, found.to_string()));
    }
    Part::parse(&name, &repository.config.repository, &bytes)
}

#[derive(Debug)]
struct LayerCursor {
    spots: VecDeque<Spot>,
    limit: u64,
    /// Of the section being read: part, kind, next byte, entries left, index before.
    open: Option<(Arc<Part>, Section, usize, u32, u64)>,
    next: Option<Entry<SegmentRef>>,
}

impl LayerCursor {
    fn new(spots: Vec<Spot>, limit: u64) -> Self {
        Self { spots: spots.into(), limit, open: None, next: None }
    }

    fn step(&mut self, layers: &mut Layers<'_>) -> Result<(), Error> {
        self.next = None;
        loop {
            if let Some((part, head, at, left, previous)) = &mut self.open
                && *left > 0
            {
                let (entry, next) = part.entry(head.kind, *at, *previous)?;
                (*at, *previous, *left) = (next, entry.index, *left - 1);
                if entry.index >= self.limit {
                    continue;
                }
                self.next = Some(entry);
                return Ok(());
            }
            let Some(spot) = self.spots.pop_front() else {
                self.open = None;
                return Ok(());
            };
            let part = layers.part(spot.part)?;
            let (head, at, entries) = part.sections[spot.section as usize];
            self.open = Some((part, head, at, entries, 0));
        }
    }
}

/// Iterates over a file's pages or chunks.
#[derive(Debug)]
pub(crate) struct Merged<'b, 'a> {
    layers: &'b mut Layers<'a>,
    cursors: Vec<LayerCursor>,
    /// What the file is in this generation.
    pub(crate) kind: Kind,
}

impl Merged<'_, '_> {
    fn begin(&mut self) -> Result<(), Error> {
        for cursor in &mut self.cursors {
            cursor.step(self.layers)?;
        }
        Ok(())
    }

    /// The next page or chunk that is not zeroes.
    pub(crate) fn next(&mut self) -> Result<Option<Entry<SegmentRef>>, Error> {
        loop {
            let least = self.cursors.iter().filter_map(|c| c.next.map(|e| e.index)).min();
            let Some(index) = least else { return Ok(None) };
            let mut newest = None;
            for cursor in &mut self.cursors {
                if cursor.next.is_some_and(|entry| entry.index == index) {
                    newest = newest.or(cursor.next);
                    cursor.step(self.layers)?;
                }
            }
            if let Some(entry) = newest.filter(|entry| entry.place.is_some()) {
                return Ok(Some(entry));
            }
        }
    }
}
