//! The end of the pipeline: batches in order become segments, map parts and the next state.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use super::state::{Known, Line, Next};
use super::syncer::{Noted, Syncers};
use super::work::{Batch, What};
use crate::crypt::{SEALED_KEY_BYTES, Slot};
use crate::error::Error;
use crate::generation::PartRef;
use crate::hash::Hash;
use crate::pace::Pace;
use crate::part::{self, CATALOG, ENTRIES_MAX, Entry, FileId, Kind, Place, Section, SegmentRef};
use crate::repository::Repository;
use crate::segment::{Builder, SLOTS_MAX};
use crate::store::part_name;

/// A part whose segments are not all named yet: sections with their entries.
type Waiting = Vec<(Section, Vec<Entry<u32>>)>;

/// A file's beginning.
pub(crate) struct Start {
    pub(crate) id: FileId,
    pub(crate) kind: Kind,
    /// Pages of the file; of chunks nobody knows yet.
    pub(crate) total: u64,
    /// Pages in the generation before; none: it did not have the file, or not so.
    pub(crate) before: Option<u64>,
    /// Chunks in the generation before.
    pub(crate) chunks: Arc<Vec<Known>>,
}

/// What a sink begins with.
pub(crate) struct Setup {
    /// The data key, sealed.
    pub(crate) key: [u8; SEALED_KEY_BYTES],
    /// Write a base: every file's whole map.
    pub(crate) base: bool,
    /// Segments that the state and the journal speak of.
    pub(crate) known: Vec<SegmentRef>,
    pub(crate) next: Next,
    pub(crate) pace: Arc<Pace>,
}

/// Where everything ends.
pub(crate) struct Sink<'a> {
    repository: &'a Repository,
    pace: Arc<Pace>,
    key: [u8; SEALED_KEY_BYTES],
    /// Write a base: every file's whole map.
    base: bool,
    /// Every segment that is spoken of; none: not named yet.
    segments: Vec<Option<SegmentRef>>,
    building: Builder,
    number: u32,
    noted: Noted,
    syncers: Syncers,
    pub(crate) next: Next,
    open: Option<(Start, Vec<Entry<u32>>)>,
    part: Waiting,
    entries: u32,
    waiting: VecDeque<Waiting>,
    pub(crate) parts: Vec<PartRef>,
    pub(crate) read: u64,
    pub(crate) short: bool,
    pub(crate) changed: u64,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(
        repository: &'a Repository,
        setup: Setup,
        journal: &Path,
        scope: &'a std::thread::Scope<'a, '_>,
    ) -> Result<Self, Error> {
        let Setup { key, base, known, next, pace } = setup;
        let segments: Vec<_> = known.into_iter().map(Some).collect();
        let number = segments.len() as u32;
        let mut sink = Self {
            repository,
            pace,
            key,
            base,
            building: Builder::new(&[0; 16], Vec::new(), 0),
            number,
            segments,
            noted: Vec::new(),
            syncers: Syncers::start(repository, journal, number, scope)?,
            next,
            open: None,
            part: Vec::new(),
            entries: 0,
            waiting: VecDeque::new(),
            parts: Vec::new(),
            read: 0,
            short: false,
            changed: 0,
        };
        sink.segments.push(None);
        sink.fresh();
        Ok(sink)
    }

    fn fresh(&mut self) {
        let capacity = self.repository.config.segment as usize + (2 << 20);
        let memory = self.syncers.memory();
        self.building = Builder::new(&self.repository.config.repository, memory, capacity);
    }

    /// Begins a file.
    pub(crate) fn start(&mut self, start: Start) {
        self.short = false;
        self.changed = 0;
        self.open = Some((start, Vec::new()));
        // a section is opened with its first entry, or at the end
    }

    /// Nothing is open: what was begun was of a file that could not be read to its end.
    pub(crate) fn forget(&mut self) {
        self.open = None;
        self.short = false;
        self.changed = 0;
    }

    /// Takes a batch of the file that is open.
    pub(crate) fn batch(&mut self, batch: &Batch) -> Result<(), Error> {
        self.read += batch.read;
        self.short |= batch.short;
        let mut at = 0;
        for (index, what) in &batch.pieces {
            let index = *index;
            let (place, tell) = match *what {
                What::Keep(place) => (Some(place), false),
                What::Known(place) => (Some(place), true),
                What::Zero { had } => (None, had),
                What::New { id, stored, raw, flags, nonce } => {
                    let slot = Slot { id, offset: 0, stored, raw, key: 0, flags, nonce };
                    let bytes = &batch.stored[at..at + stored as usize];
                    at += stored as usize;
                    (Some(self.store(index, slot, bytes)?), true)
                }
            };
            self.changed += u64::from(tell);
            if let Some(place) = &place {
                self.next.record(index, place)?;
            }
            let Some((start, entries)) = &mut self.open else { continue };
            let whole = self.base || start.before.is_none();
            let wanted = start.kind == Kind::Chunks || if whole { place.is_some() } else { tell };
            if wanted {
                entries.push(Entry { index, place });
                if start.kind == Kind::Pages && entries.len() as u32 + self.entries >= ENTRIES_MAX {
                    self.section()?;
                    self.end_part()?;
                }
            }
        }
        Ok(())
    }

    /// Stores a batch's new chunks while no file is open; returns where all of them are.
    pub(crate) fn keep(&mut self, batch: &Batch) -> Result<Vec<(u64, What)>, Error> {
        let (mut at, mut kept) = (0, Vec::with_capacity(batch.pieces.len()));
        for (index, what) in &batch.pieces {
            let mut what = *what;
            if let What::New { id, stored, raw, flags, nonce } = what {
                let slot = Slot { id, offset: 0, stored, raw, key: 0, flags, nonce };
                let bytes = &batch.stored[at..at + stored as usize];
                at += stored as usize;
                what = What::Known(self.store(*index, slot, bytes)?);
            }
            kept.push((*index, what));
        }
        Ok(kept)
    }

    /// A file that is no more.
    pub(crate) fn gone(&mut self, id: FileId) -> Result<(), Error> {
        if self.base {
            return Ok(());
        }
        self.part.push((Section { file: id, kind: Kind::Gone, whole: true, total: 0 }, Vec::new()));
        self.entries += 1;
        if self.entries >= ENTRIES_MAX { self.end_part() } else { Ok(()) }
    }

    /// Ends a file.
    pub(crate) fn end(&mut self) -> Result<(), Error> {
        let Some((start, entries)) = &mut self.open else { return Ok(()) };
        if start.kind == Kind::Chunks {
            let same = start.before.is_some() && *start.chunks == *entries;
            if !same {
                start.before = None;
            } else if !self.base {
                self.open = None;
                return Ok(());
            }
            let all = std::mem::take(entries);
            for some in all.chunks(ENTRIES_MAX as usize / 2) {
                if let Some((_, entries)) = &mut self.open {
                    *entries = some.to_vec();
                }
                self.section()?;
                if self.entries >= ENTRIES_MAX / 2 {
                    self.end_part()?;
                }
            }
            if all.is_empty() {
                self.section()?;
            }
        } else if start.before != Some(start.total) || self.base || !entries.is_empty() {
            self.section()?;
        }
        self.open = None;
        Ok(())
    }

    /// Moves the open file's entries into the part, as a section.
    fn section(&mut self) -> Result<(), Error> {
        let Some((start, entries)) = &mut self.open else { return Ok(()) };
        let whole = self.base || start.before.is_none();
        let (file, kind, total) = (start.id, start.kind, start.total);
        let entries = std::mem::take(entries);
        self.entries += entries.len() as u32 + 1;
        self.part.push((Section { file, kind, whole, total }, entries));
        if self.entries >= ENTRIES_MAX { self.end_part() } else { Ok(()) }
    }

    /// Writes a line of the next state.
    pub(crate) fn line(&mut self, line: &Line) -> Result<(), Error> {
        self.next.line(line)
    }

    fn store(&mut self, index: u64, slot: Slot, bytes: &[u8]) -> Result<Place<u32>, Error> {
        let most = self.repository.config.segment as usize;
        let full =
            self.building.bytes_with(bytes.len()) > most || self.building.slots() == SLOTS_MAX;
        if full && !self.building.is_empty() {
            self.close_segment()?;
        }
        let number = self.building.push(slot, &self.key, bytes);
        let place = Place { segment: self.number, slot: number, id: slot.id, len: slot.raw };
        let file = self.open.as_ref().map_or(CATALOG, |(start, _)| start.id);
        self.noted.push((file, index, place));
        Ok(place)
    }

    fn close_segment(&mut self) -> Result<(), Error> {
        let building = Builder::new(&[0; 16], Vec::new(), 0);
        let building = std::mem::replace(&mut self.building, building);
        let noted = std::mem::take(&mut self.noted);
        let segment = building.finish();
        self.pace.put(segment.len() as u64);
        let sent = self.syncers.put(self.number, segment, noted);
        self.take_acks(false)?;
        if !sent {
            // the error is among the acknowledgements
            self.take_acks(true)?;
            return Err(Error::Request("the writer of segments ended early".to_owned()));
        }
        self.number = self.segments.len() as u32;
        self.segments.push(None);
        self.fresh();
        Ok(())
    }

    fn take_acks(&mut self, all: bool) -> Result<(), Error> {
        while let Some(ack) = self.syncers.ack(all) {
            let (number, segment) = ack?;
            self.segments[number as usize] = Some(segment);
        }
        // in order: a file's sections lie in parts that follow each other
        while let Some(part) = self.waiting.pop_front() {
            if !self.put_part(&part)? {
                self.waiting.push_front(part);
                break;
            }
        }
        Ok(())
    }

    fn end_part(&mut self) -> Result<(), Error> {
        let part = std::mem::take(&mut self.part);
        self.entries = 0;
        if !part.is_empty() {
            self.waiting.push_back(part);
        }
        self.take_acks(false)
    }

    /// Puts a part if all of its segments have names.
    fn put_part(&mut self, part: &Waiting) -> Result<bool, Error> {
        let mut numbers = HashMap::new();
        let mut segments = Vec::new();
        let mut sections = Vec::with_capacity(part.len());
        let mut count = 0;
        for (section, entries) in part {
            let mut list = Vec::with_capacity(entries.len());
            for entry in entries {
                let mut entry = *entry;
                if let Some(place) = &mut entry.place {
                    let Some(segment) = self.segments[place.segment as usize] else {
                        return Ok(false);
                    };
                    place.segment = *numbers.entry(place.segment).or_insert_with(|| {
                        segments.push(segment);
                        segments.len() as u32 - 1
                    });
                }
                list.push(entry);
            }
            count += list.len() as u32;
            sections.push((*section, list));
        }
        let bytes = part::encode(&self.repository.config.repository, &segments, &sections);
        let hash = Hash::of(&bytes);
        let part = PartRef { hash, bytes: bytes.len() as u32, entries: count };
        self.pace.put(bytes.len() as u64);
        self.repository.store.put(&part_name(&hash), &bytes.into())?;
        self.parts.push(part);
        Ok(true)
    }

    /// Closes everything: when this returns, all segments and parts are synced.
    ///
    /// Returns the next state and the segments it speaks of.
    pub(crate) fn finish(mut self) -> Result<(Next, Vec<SegmentRef>, Vec<PartRef>), Error> {
        if !self.building.is_empty() {
            self.close_segment()?;
        }
        self.syncers.end();
        self.take_acks(true)?;
        self.end_part()?;
        if !self.waiting.is_empty() {
            return Err(Error::Request("a part names a segment that was not stored".to_owned()));
        }
        let none = SegmentRef { hash: Hash::default(), bytes: 0 };
        let segments = self.segments.iter().map(|segment| segment.unwrap_or(none)).collect();
        Ok((self.next, segments, self.parts))
    }
}
