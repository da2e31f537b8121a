//! A push: walk, read, hash, send what changed, then the manifest.
//!
//! ```text
//! walk ─▶ batches of 1 MiB ─▶ workers ─▶ sink ─▶ syncer
//!          in order             │          │       puts and syncs segments, writes the journal
//!                               │          batches in order: segments, map parts, the next state
//!                               read, hash, compare, compress, encrypt: one per core
//! ```

mod feed;
mod lister;
mod sink;
mod state;
mod syncer;
mod trust;
mod words;
mod work;

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};

use crate::catalog;
use crate::drill::Machine;
use crate::error::Error;
use crate::generation::{Draft, Layer, Manifest};
use crate::hash::hex;
use crate::pace::Pace;
use crate::part::SegmentRef;
use crate::repository::{Repository, Writer};
use crate::source;
use crate::store::{generation_name, segment_name};
use feed::Feed;
use lister::Lister;
use sink::{Setup, Sink, Start};
use state::{Folder, Head, Left, Line, Old};
pub use words::Hooked;
use work::{Batch, Job, Times, Worker};
pub(crate) use work::{is_zero, read_full};

/// A journal older than this is not used: prune may be about to remove its segments.
const JOURNAL_AGE: Duration = Duration::from_hours(12);
/// Messages on their way to the sink: bounds memory.
const IN_FLIGHT: usize = 32;

/// What to push and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Files, directories, disks.
    pub paths: Vec<PathBuf>,
    /// Where states are kept, for all repositories and sets.
    pub state: PathBuf,
    /// Below these paths size and times are trusted where that is safe at all.
    pub trust_stat: Vec<PathBuf>,
    /// Trusted files are hashed anyway when their last whole hash is older, in seconds.
    pub full_hash_every: i64,
    /// The paths lie on a snapshot: nothing can change while it is read.
    pub snapshot: bool,
    /// Databases that a hook made ready.
    pub hooked: Vec<Hooked>,
    /// Once set, the push ends with an error before there is a generation.
    pub stop: Option<Arc<AtomicBool>>,
    /// What it is held to: bandwidth, hours, load.
    pub pace: Arc<Pace>,
    /// Workers; 0: one per core.
    pub threads: usize,
}

impl Options {
    fn go_on(&self) -> Result<(), Error> {
        match &self.stop {
            Some(stop) if stop.load(Ordering::SeqCst) => {
                Err(Error::Request("the push was interrupted".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

/// A file of which the push could not be sure, or could not read.
#[derive(Debug, Clone)]
pub struct Unread {
    /// Where.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

/// What a push did.
#[derive(Debug)]
pub struct Report {
    /// The new generation.
    pub manifest: Manifest,
    /// Bytes put, the manifest included.
    pub sent: u64,
    /// Wall time of the push.
    pub took: Duration,
    /// The stage that took the most: scan, hash, compress, encrypt, fsync; or limit, hours, load.
    pub limited_by: &'static str,
    /// Seconds of work by stage; of all workers together.
    pub stages: Vec<(&'static str, f64)>,
    /// Seconds waited by reason: limit, hours, load.
    pub waited: Vec<(&'static str, f64)>,
    /// What was not backed up.
    pub unread: Vec<Unread>,
    /// Why nothing of an earlier push was used, where one was to be expected.
    pub anew: Option<String>,
    /// Bytes of segments that an interrupted push had stored already.
    pub resumed: u64,
}

/// A file as it was just backed up.
#[derive(Debug)]
pub struct Done<'a> {
    /// Its line in the catalog.
    pub file: &'a catalog::File,
    /// Pages or chunks that differ from the generation before.
    pub changed: u64,
}

/// On the way to the sink.
enum Message {
    Start(Start),
    Batch(Batch),
    End(Box<catalog::File>),
    Gone(crate::part::FileId),
    Failed(Error),
}

/// Pushes a new generation. `done` hears of every file, in the order of the catalog.
pub fn push(
    repository: &Repository,
    writer: &Writer,
    options: &Options,
    done: &mut (dyn FnMut(&Done<'_>) + Send),
) -> Result<Report, Error> {
    if let Some(stop) = &options.stop {
        options.pace.heed(stop);
    }
    options.pace.go_on();
    let waited_first = options.pace.waited();
    let begin = Instant::now();
    let started = now();
    let before = repository.store.sent();
    let roots = source::roots(&options.paths)?;
    let set = set_of(writer, &roots);
    let folder = options.state.join(hex(&repository.config.repository)).join(hex(&set));
    let folder = Folder::lock(&folder)?;
    let newest = newest(repository, set)?;
    let (head, old, anew) = remembered(repository, &folder, newest.as_ref())?;
    let left = left_over(repository, &folder)?;
    let resumed = left.segments.iter().map(|segment| u64::from(segment.bytes)).sum();
    let layers = head.as_ref().map(|head| head.layers.clone()).unwrap_or_default();
    let base = wants_base(repository, &layers);
    let mut known = head.as_ref().map(|head| head.segments.clone()).unwrap_or_default();
    let old_segments = known.len() as u32;
    known.extend(&left.segments);
    let times = Arc::new(Times::default());
    let (data_key, sealed) = repository.new_data_key()?;
    let worker = Worker::new(repository.config.repository, &writer.id_key, &data_key, &times);
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 16),
        n => n,
    };
    let (at, count) = head.as_ref().map_or((0, 0), |head| (head.at, head.count));
    let next = folder.begin()?;
    let outcome = std::thread::scope(|scope| -> Result<_, Error> {
        let (to_workers, jobs) = bounded::<(u64, Job)>(IN_FLIGHT);
        let (to_sink, messages) = bounded::<(u64, Message)>(IN_FLIGHT);
        let (tokens, spent) = bounded::<()>(IN_FLIGHT);
        let (spare, spares) = bounded::<Vec<u8>>(IN_FLIGHT);
        for _ in 0..threads {
            let (jobs, to_sink, mut worker) = (jobs.clone(), to_sink.clone(), worker.over(&spares));
            scope.spawn(move || {
                for (seq, job) in jobs {
                    let batch = worker.run(seq, job).map_or_else(Message::Failed, Message::Batch);
                    if to_sink.send((seq, batch)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(jobs);
        let journal = folder.journal();
        let mut sink = Sink::new(
            repository,
            Setup { key: sealed, base, known, next, pace: Arc::clone(&options.pace) },
            &journal,
            &times,
            scope,
        )?;
        let mut lister = Lister::new(worker.clone(), &old, at, count, &left, old_segments)?;
        let ending = scope.spawn(move || -> Result<_, Error> {
            drain(&messages, (&spent, &spare), &mut sink, &mut lister, done)?;
            let (at, count) = lister.finish(&mut sink)?;
            let read = sink.read;
            let (next, segments, parts) = sink.finish()?;
            next.finish()?;
            Ok((at, count, read, segments, parts))
        });
        let pushed = head.as_ref().map(Head::before).unwrap_or_default();
        let channels = (to_workers, to_sink, tokens);
        let feed = Feed::new(pushed, writer, options, old, (&left, old_segments), channels);
        let fed = feed.run(&roots);
        let ended = ending.join().map_err(|_| Error::Request("the sink panicked".to_owned()))?;
        // an error of the sink is the reason why feeding stopped
        Ok((ended?, fed?))
    });
    let ((at, count, read, segments, parts), totals) = outcome?;
    still_there(repository, &segments[old_segments as usize..])?;
    let fresh = Layer { generation: 0, parts };
    let base_cost = if base { fresh.bytes() } else { 0 };
    let mut layers = if base { Vec::new() } else { layers };
    layers.push(fresh);
    let (consistency, because) = totals.words.together(totals.files, options.snapshot);
    let draft = Draft {
        set,
        machine: Machine::here(&writer.id_key),
        started,
        finished: now(),
        consistency,
        because,
        files: totals.files,
        bytes: totals.bytes,
        read,
        sent: repository.store.sent() - before,
        base_cost,
        layers,
    };
    let head = |manifest: &Manifest| Head {
        config: repository.fingerprint,
        number: manifest.number,
        manifest: manifest.id,
        started,
        layers: manifest.layers.clone(),
        segments: segments.clone(),
        at,
        count,
        boot: trust::boot(),
        mounts: totals.mounts.clone(),
    };
    options.go_on()?;
    let manifest = publish(repository, writer, &folder, &draft, head)?;
    folder.commit()?;
    let took = begin.elapsed();
    let waited = options.pace.waited();
    let meanwhile = waited.iter().zip(&waited_first).map(|(all, first)| (all.0, all.1 - first.1));
    let meanwhile: Vec<_> = meanwhile.collect();
    let (limited_by, stages) = limits(&times, threads, took, &meanwhile);
    let sent = repository.store.sent() - before;
    Ok(Report {
        manifest,
        sent,
        took,
        limited_by,
        stages,
        waited,
        unread: totals.unread,
        anew,
        resumed,
    })
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// The set: this host and these paths, told to nobody who lacks the id key.
fn set_of(writer: &Writer, roots: &BTreeMap<PathBuf, PathBuf>) -> [u8; 8] {
    let mut text = b"set:".to_vec();
    text.extend_from_slice(rustix::system::uname().nodename().to_bytes());
    for real in roots.values() {
        text.push(0);
        text.extend_from_slice(real.as_os_str().as_bytes());
    }
    let hash = blake3::keyed_hash(&writer.id_key.0, &text);
    std::array::from_fn(|i| hash.as_bytes()[i])
}

/// The newest generation of the set.
fn newest(repository: &Repository, set: [u8; 8]) -> Result<Option<Manifest>, Error> {
    for object in repository.store.list(Some("generations"))?.iter().rev() {
        let number = object.name.strip_prefix("generations/").and_then(|n| n.parse().ok());
        let Some(number) = number else { continue };
        match Manifest::get(repository, number) {
            Ok(manifest) if manifest.set == set => return Ok(Some(manifest)),
            // a damaged one is verify's to tell; it is nothing to build on
            Ok(_) | Err(Error::Damage(_)) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

/// The state of the generation before, if it is the newest in the repository.
fn remembered(
    repository: &Repository,
    folder: &Folder,
    newest: Option<&Manifest>,
) -> Result<(Option<Head>, Old, Option<String>), Error> {
    folder.mend()?;
    let published = |head: &Head| {
        newest.is_some_and(|newest| newest.number == head.number && newest.id == head.manifest)
    };
    match folder.prepared() {
        Some(head) if published(&head) => folder.commit()?,
        _ => folder.forget_next()?,
    }
    let current = folder.current();
    let why = match (&current, newest) {
        (Some((head, _)), _) if head.config != repository.fingerprint => {
            Some("what is remembered here is of another repository".to_owned())
        }
        (Some((head, _)), _) if published(head) => None,
        (Some((head, _)), Some(newest)) => Some(format!(
            "generation {} was pushed last from here, but the newest of these paths is {}",
            head.number, newest.number
        )),
        (Some((head, _)), None) => Some(format!(
            "generation {} was pushed last from here, but the repository has none of these paths: \
             it was lost or taken away",
            head.number
        )),
        (None, Some(newest)) => Some(format!(
            "generation {} is in the repository, but nothing is remembered of it here",
            newest.number
        )),
        (None, None) => None,
    };
    match (current, why) {
        (Some((head, old)), None) => Ok((Some(head), old, None)),
        (_, why) => Ok((None, Old::default(), why)),
    }
}

/// What an interrupted push left in the repository.
fn left_over(repository: &Repository, folder: &Folder) -> Result<Left, Error> {
    let path = folder.journal();
    let age = std::fs::metadata(&path).and_then(|meta| meta.modified()).ok();
    let age = age.and_then(|changed| changed.elapsed().ok());
    if age.is_none_or(|age| age > JOURNAL_AGE) {
        folder.forget_journal()?;
    }
    let exists = |segment: &SegmentRef| {
        let size = repository.store.size(&segment_name(&segment.hash));
        size.is_ok_and(|size| size == Some(u64::from(segment.bytes)))
    };
    Ok(Left::read(&path, exists))
}

/// A new base after so many deltas, or when they have outgrown a quarter of it.
fn wants_base(repository: &Repository, layers: &[Layer]) -> bool {
    let Some((base, deltas)) = layers.split_first() else { return true };
    let grown: u64 = deltas.iter().map(Layer::entries).sum();
    deltas.len() as u32 >= repository.config.base_every || grown > base.entries() / 4 + 65_536
}

/// Nothing that the manifest will need was removed while the push ran.
fn still_there(repository: &Repository, segments: &[SegmentRef]) -> Result<(), Error> {
    let stored: Vec<_> = segments.iter().filter(|segment| segment.bytes > 0).collect();
    let names: Vec<_> = stored.iter().map(|segment| segment_name(&segment.hash)).collect();
    let sizes = repository.store.sizes(&names)?;
    for ((segment, name), found) in stored.into_iter().zip(names).zip(sizes) {
        if found != Some(u64::from(segment.bytes)) {
            let expected = format!("the {} bytes that this push stored", segment.bytes);
            return Err(Error::damage(name, 0, expected, format!("{found:?}")));
        }
    }
    Ok(())
}

/// Puts the manifest under the next free number.
fn publish(
    repository: &Repository,
    writer: &Writer,
    folder: &Folder,
    draft: &Draft,
    head: impl Fn(&Manifest) -> Head,
) -> Result<Manifest, Error> {
    let listed = repository.store.list(Some("generations"))?;
    let numbers = listed.iter().filter_map(|o| o.name.strip_prefix("generations/")?.parse().ok());
    let mut number = numbers.max().unwrap_or(0);
    loop {
        number += 1;
        let mut draft = draft.clone();
        if let Some(layer) = draft.layers.last_mut() {
            layer.generation = number;
        }
        let mut manifest = draft.number(repository, number);
        let text = manifest.text(&writer.sign)?;
        manifest.id = crate::Hash::of(text.as_bytes());
        folder.prepare(&head(&manifest))?;
        if repository.store.put(&generation_name(number), text.into())? {
            return Ok(manifest);
        }
    }
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

/// The stage that took the most: of the workers' stages, or of those that run beside them.
fn limits(
    times: &Times,
    threads: usize,
    took: Duration,
    waited: &[(&'static str, f64)],
) -> (&'static str, Vec<(&'static str, f64)>) {
    let seconds = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed) as f64 / 1e9;
    let workers = [
        ("scan", seconds(&times.read)),
        ("hash", seconds(&times.hash)),
        ("compress", seconds(&times.compress)),
        ("encrypt", seconds(&times.encrypt)),
    ];
    let beside = [("fsync", seconds(&times.store))];
    let most = |stages: &[(&'static str, f64)]| {
        stages.iter().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(("scan", 0.0), |most| *most)
    };
    // what it was told to wait for, if that was most of its time
    if let (stage, spent) = most(waited)
        && spent > took.as_secs_f64() / 2.0
    {
        return (stage, [&workers[..], &beside].concat());
    }
    let busy = workers.iter().map(|(_, s)| s).sum::<f64>() / threads as f64;
    let (stage, spent) = most(&beside);
    let beside_limits = spent > busy && spent > took.as_secs_f64() / 2.0;
    let limited_by = if beside_limits { stage } else { most(&workers).0 };
    (limited_by, [&workers[..], &beside].concat())
}

type ToWorkers = Sender<(u64, Job)>;
type ToSink = Sender<(u64, Message)>;
