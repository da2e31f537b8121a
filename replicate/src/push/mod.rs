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
mod past;
mod pipeline;
mod sink;
mod stages;
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

use crate::catalog;
use crate::error::Error;
use crate::generation::{Draft, Layer, Manifest};
use crate::hash::hex;
use crate::leave::{Leave, LeftOut};
use crate::pace::Pace;
use crate::part::SegmentRef;
use crate::repository::{Repository, Writer};
use crate::source;
use crate::store::{PutTimes, generation_name, segment_name};
use past::Past;
use pipeline::{Pipeline, Stored};
pub use stages::{Stages, Travel};
use state::{Folder, Head};
pub use words::Hooked;
use work::Times;
pub(crate) use work::{is_zero, read_full};

/// What to push and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Files, directories, disks.
    pub paths: Vec<PathBuf>,
    /// Where states are kept, for all repositories and sets.
    pub state: PathBuf,
    /// Below these paths size and times are trusted where that is safe at all.
    pub trust_stat: Vec<PathBuf>,
    /// What is left out.
    pub leave: Leave,
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

    fn workers(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 16),
            n => n,
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
    /// Where the time went, and which stage limited it.
    pub stages: Stages,
    /// Seconds waited by reason: limit, hours, load.
    pub waited: Vec<(&'static str, f64)>,
    /// What was not backed up.
    pub unread: Vec<Unread>,
    /// What was left out, as asked for or because it is no file.
    pub left_out: LeftOut,
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

/// When a push began, and what had been sent and waited for by then.
struct Start {
    /// Seconds since 1970.
    time: i64,
    clock: Instant,
    /// Bytes.
    sent: u64,
    puts: PutTimes,
    waited: Vec<(&'static str, f64)>,
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
    let start = Start {
        waited: options.pace.waited(),
        clock: Instant::now(),
        time: now(),
        sent: repository.store.sent(),
        puts: repository.store.put_times(),
    };
    let roots = source::roots(&options.paths)?;
    let own = repository.store.root();
    if let Some(inside) = own.and_then(|own| roots.values().find(|root| root.starts_with(own))) {
        let say = format!("{} lies in the repository that it would go to", inside.display());
        return Err(Error::Request(say));
    }
    let set = set_of(writer, &roots);
    let folder = options.state.join(hex(&repository.config.repository)).join(hex(&set));
    let folder = Folder::lock(&folder)?;
    let (past, old) = Past::read(repository, &folder, set)?;
    let base = wants_base(repository, past.layers());
    let times = Arc::new(Times::default());
    let (folder, past) = (&folder, &past);
    let pipeline = Pipeline { repository, writer, options, folder, past, base, times };
    let (stored, totals) = pipeline.run(old, &roots, done)?;
    still_there(repository, &stored.segments[past.of_state() as usize..])?;
    let draft = pipeline.draft(set, &start, (&stored, &totals));
    let Stored { at, count, segments, .. } = stored;
    let head = |manifest: &Manifest| Head {
        config: repository.fingerprint,
        number: manifest.number,
        manifest: manifest.id,
        started: start.time,
        layers: manifest.layers.clone(),
        segments: segments.clone(),
        at,
        count,
        boot: trust::boot(),
        mounts: totals.mounts.clone(),
    };
    options.go_on()?;
    let manifest = publish(repository, writer, folder, &draft, head)?;
    folder.commit()?;
    let took = start.clock.elapsed();
    let waited = options.pace.waited();
    let meanwhile = waited.iter().zip(&start.waited).map(|(all, first)| (all.0, all.1 - first.1));
    let puts = (repository.store.put_times().since(start.puts), repository.store.is_remote());
    let threads = options.workers();
    let stages = Stages::new(&pipeline.times, threads, puts, meanwhile.collect(), took);
    Ok(Report {
        manifest,
        sent: repository.store.sent() - start.sent,
        took,
        stages,
        waited,
        unread: totals.unread,
        left_out: totals.left_out,
        anew: past.anew.clone(),
        resumed: past.resumed(),
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
        if repository.store.put(&generation_name(number), &text.into())? {
            return Ok(manifest);
        }
    }
}
