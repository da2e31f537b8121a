//! The threads of a push and the queues between them, all bounded.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender, bounded};

use super::feed::{Feed, Totals};
use super::lister::Lister;
use super::past::Past;
use super::sink::{self, Setup, Sink};
use super::state::{Folder, Head, Line, Old};
use super::work::{Batch, Job, Times, Worker};
use super::{Done, Options, Start, now};
use crate::catalog;
use crate::drill::Machine;
use crate::error::Error;
use crate::generation::{Draft, Layer, PartRef};
use crate::part::{FileId, SegmentRef};
use crate::repository::{Repository, Writer};

/// Messages on their way to the sink: bounds memory.
const IN_FLIGHT: usize = 32;

pub(super) type ToWorkers = Sender<(u64, Job)>;
pub(super) type ToSink = Sender<(u64, Message)>;

/// On the way to the sink.
pub(super) enum Message {
    Start(sink::Start),
    Batch(Batch),
    End(Box<catalog::File>),
    Gone(FileId),
    Failed(Error),
}

/// What a push stored, but for its manifest.
pub(super) struct Stored {
    /// Where the catalog's own records are in the next state.
    pub(super) at: u64,
    pub(super) count: u64,
    /// Bytes read and hashed.
    pub(super) read: u64,
    /// Every segment that the next state speaks of: first those that were known before.
    pub(super) segments: Vec<SegmentRef>,
    pub(super) parts: Vec<PartRef>,
}

/// Everything from the walk to the last part.
pub(super) struct Pipeline<'a> {
    pub(super) repository: &'a Repository,
    pub(super) writer: &'a Writer,
    pub(super) options: &'a Options,
    pub(super) folder: &'a Folder,
    pub(super) past: &'a Past,
    /// Write a base: every file's whole map.
    pub(super) base: bool,
    pub(super) times: Arc<Times>,
}

impl Pipeline<'_> {
    /// Reads all there is below the roots, and stores what is new. When this returns, segments,
    /// parts and the next state are synced.
    pub(super) fn run(
        &self,
        old: Old,
        roots: &BTreeMap<PathBuf, PathBuf>,
        done: &mut (dyn FnMut(&Done<'_>) + Send),
    ) -> Result<(Stored, Totals), Error> {
        let Self { repository, writer, options, past, .. } = *self;
        let of_state = past.of_state();
        let (data_key, key) = repository.new_data_key()?;
        let id = repository.config.repository;
        let worker = Worker::new(id, &writer.id_key, &data_key, &self.times);
        let (at, count) = past.head.as_ref().map_or((0, 0), |head| (head.at, head.count));
        let next = self.folder.begin()?;
        let journal = self.folder.journal();
        std::thread::scope(|scope| {
            let (to_workers, jobs) = bounded::<(u64, Job)>(IN_FLIGHT);
            let (to_sink, messages) = bounded::<(u64, Message)>(IN_FLIGHT);
            let (tokens, spent) = bounded::<()>(IN_FLIGHT);
            let (spare, spares) = bounded::<Vec<u8>>(IN_FLIGHT);
            for _ in 0..options.workers() {
                let (jobs, to_sink) = (jobs.clone(), to_sink.clone());
                let worker = worker.over(&spares);
                scope.spawn(move || work(worker, &jobs, &to_sink));
            }
            drop(jobs);
            let pace = Arc::clone(&options.pace);
            let setup = Setup { key, base: self.base, known: past.segments(), next, pace };
            let mut sink = Sink::new(repository, setup, &journal, scope)?;
            let mut lister = Lister::new(worker.clone(), &old, at, count, &past.left, of_state)?;
            let ending = scope.spawn(move || {
                drain(&messages, (&spent, &spare), &mut sink, &mut lister, done)?;
                finish(sink, lister)
            });
            let before = past.head.as_ref().map(Head::before).unwrap_or_default();
            let channels = (to_workers, to_sink, tokens);
            let feed = Feed::new(before, writer, options, old, (&past.left, of_state), channels);
            let fed = feed.run(roots, repository.store.root());
            let ended =
                ending.join().map_err(|_| Error::Request("the sink panicked".to_owned()))?;
            // an error of the sink is the reason why feeding stopped
            Ok((ended?, fed?))
        })
    }
}

impl Pipeline<'_> {
    /// What the manifest will say of it.
    pub(super) fn draft(&self, set: [u8; 8], start: &Start, done: (&Stored, &Totals)) -> Draft {
        let (stored, totals) = done;
        let fresh = Layer { generation: 0, parts: stored.parts.clone() };
        let base_cost = if self.base { fresh.bytes() } else { 0 };
        let mut layers = if self.base { Vec::new() } else { self.past.layers().to_vec() };
        layers.push(fresh);
        let (consistency, because) = totals.words.together(totals.files, self.options.snapshot);
        Draft {
            set,
            machine: Machine::here(&self.writer.id_key),
            started: start.time,
            finished: now(),
            consistency,
            because,
            files: totals.files,
            bytes: totals.bytes,
            read: stored.read,
            sent: self.repository.store.sent() - start.sent,
            base_cost,
            layers,
        }
    }
}

/// A worker's life.
fn work(mut worker: Worker, jobs: &Receiver<(u64, Job)>, to_sink: &ToSink) {
    for (seq, job) in jobs {
        let batch = worker.run(seq, job).map_or_else(Message::Failed, Message::Batch);
        if to_sink.send((seq, batch)).is_err() {
            return;
        }
    }
}

/// What is left to do when everything was fed.
fn finish(mut sink: Sink<'_>, lister: Lister) -> Result<Stored, Error> {
    let (at, count) = lister.finish(&mut sink)?;
    let read = sink.read;
    let (next, segments, parts) = sink.finish()?;
    next.finish()?;
    Ok(Stored { at, count, read, segments, parts })
}

/// Brings messages into order and hands them to the sink.
fn drain(
    messages: &Receiver<(u64, Message)>,
    (spent, spare): (&Receiver<()>, &Sender<Vec<u8>>),
    sink: &mut Sink<'_>,
    lister: &mut Lister,
    done: &mut (dyn FnMut(&Done<'_>) + Send),
) -> Result<(), Error> {
    let mut early = BTreeMap::new();
    let mut next = 0;
    let mut at = 0;
    for (seq, message) in messages {
        early.insert(seq, message);
        while let Some(message) = early.remove(&next) {
            next += 1;
            match message {
                Message::Start(start) => {
                    at = sink.next.records;
                    sink.start(start);
                }
                Message::Batch(batch) => {
                    sink.batch(&batch)?;
                    if batch.stored.capacity() > 0 {
                        let mut memory = batch.stored;
                        memory.clear();
                        let _ = spare.try_send(memory);
                    }
                }
                Message::End(mut file) => {
                    if file.cut.is_none() {
                        sink.forget();
                        at = sink.next.records;
                    }
                    file.moved |= sink.short;
                    let changed = sink.changed;
                    sink.end()?;
                    lister.line(sink, &file)?;
                    done(&Done { file: &file, changed });
                    let count = sink.next.records - at;
                    sink.line(&Line { file: *file, at, count })?;
                    (at, sink.changed) = (sink.next.records, 0);
                }
                Message::Gone(id) => sink.gone(id)?,
                Message::Failed(error) => return Err(error),
            }
            let _ = spent.try_recv();
        }
    }
    Ok(())
}
