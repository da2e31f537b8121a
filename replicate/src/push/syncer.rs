//! The writers of segments: several put and sync at once, what they acknowledge is noted in order.
//!
//! An interrupted push is taken up where it stopped only if its journal rises in pages: so a
//! segment that is stored is noted when all before it are.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use crossbeam::channel::{Receiver, Sender, bounded};

use super::state::Journal;
use crate::direct::Aligned;
use crate::error::Error;
use crate::part::{FileId, Place, SegmentRef};
use crate::repository::Repository;
use crate::segment;

/// Segments put at a time: while one is synced, another is written.
const SYNCERS: usize = 2;

/// Entries of a segment, for the journal.
pub(super) type Noted = Vec<(FileId, u64, Place<u32>)>;

/// A segment that is full.
struct Full {
    number: u32,
    segment: Aligned,
    noted: Noted,
}

/// Stored segments of which an earlier one is not yet.
struct Notes {
    journal: Journal,
    next: u32,
    early: BTreeMap<u32, (SegmentRef, Noted)>,
}

impl Notes {
    fn note(&mut self, number: u32, segment: SegmentRef, noted: Noted) -> Result<(), Error> {
        self.early.insert(number, (segment, noted));
        while let Some((segment, noted)) = self.early.remove(&self.next) {
            self.journal.note(&segment, &noted)?;
            self.next += 1;
        }
        Ok(())
    }
}

/// The end of the sink that hands segments over and hears of them.
pub(super) struct Syncers {
    segments: Option<Sender<Full>>,
    acks: Receiver<Result<(u32, SegmentRef), Error>>,
    spares: Receiver<Vec<u8>>,
}

impl Syncers {
    /// Starts them; the first segment has the number `first`.
    pub(super) fn start<'a>(
        repository: &'a Repository,
        journal: &Path,
        first: u32,
        scope: &'a Scope<'a, '_>,
    ) -> Result<Self, Error> {
        let (segments, jobs) = bounded::<Full>(1);
        let (ack, acks) = bounded(1024);
        let (spare, spares) = bounded(SYNCERS + 2);
        let journal = Journal::append(journal)?;
        let notes = Notes { journal, next: first, early: BTreeMap::new() };
        let notes = Arc::new(Mutex::new(notes));
        for _ in 0..SYNCERS {
            let (jobs, ack, spare) = (jobs.clone(), ack.clone(), spare.clone());
            let notes = Arc::clone(&notes);
            scope.spawn(move || {
                for Full { number, segment, noted } in jobs {
                    let done =
                        segment::put(&repository.store, segment).and_then(|(segment, memory)| {
                            let _ = spare.try_send(memory);
                            let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
                            notes.note(number, segment, noted)?;
                            Ok((number, segment))
                        });
                    let failed = done.is_err();
                    if ack.send(done).is_err() || failed {
                        return;
                    }
                }
            });
        }
        Ok(Self { segments: Some(segments), acks, spares })
    }

    /// Memory of a segment that is stored, or none.
    pub(super) fn memory(&self) -> Vec<u8> {
        self.spares.try_recv().unwrap_or_default()
    }

    /// Hands over a segment. `false`: they ended, and an acknowledgement says why.
    pub(super) fn put(&mut self, number: u32, segment: Aligned, noted: Noted) -> bool {
        let full = Full { number, segment, noted };
        let sent = self.segments.as_ref().is_some_and(|to| to.send(full).is_ok());
        if !sent {
            self.segments = None;
        }
        sent
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self) {
        self.segments = None;
    }

    /// The next segment that is stored; `wait`: until there is one, or none can come any more.
    pub(super) fn ack(&self, wait: bool) -> Option<Result<(u32, SegmentRef), Error>> {
        if wait { self.acks.recv().ok() } else { self.acks.try_recv().ok() }
    }
}
