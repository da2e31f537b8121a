//! The beginning of the pipeline: the walk, and batches of what it finds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam::channel::Sender;

use super::lister::{by_id, cuts};
use super::pipeline::{Message, ToSink, ToWorkers};
use super::sink::Start;
use super::state::{Known, Left, Line, Old};
use super::trust::{self, Before, Trust};
use super::words::Words;
use super::work::{BATCH, Batch, Job, What, read_full};
use super::{Options, Unread};
use crate::catalog::{self, Cut, FileKind, Judged};
use crate::database;
use crate::error::{At, Error};
use crate::leave::{Judge, LeftOut};
use crate::part::{FileId, Kind};
use crate::repository::{PAGE, Writer};
use crate::source::{self, Found, Walk};

/// Records of the state read at once.
const RECORDS: u64 = 4096;

/// What the walk came to.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) words: Words,
    /// Mounts that were read from.
    pub(super) mounts: BTreeSet<u64>,
    pub(super) unread: Vec<Unread>,
    pub(super) left_out: LeftOut,
}

/// The coordinator.
pub(super) struct Feed<'a> {
    writer: &'a Writer,
    options: &'a Options,
    old: Old,
    left: &'a Left,
    base: u32,
    to_workers: ToWorkers,
    to_sink: ToSink,
    tokens: Sender<()>,
    seq: u64,
    totals: Totals,
    trust: Trust,
    without_xattrs: Vec<PathBuf>,
}

/// The pipeline's end has gone: its own error says why.
fn stopped<E>(_: E) -> Error {
    Error::Request("the push was stopped".to_owned())
}

impl<'a> Feed<'a> {
    pub(super) fn new(
        before: Before,
        writer: &'a Writer,
        options: &'a Options,
        old: Old,
        left: (&'a Left, u32),
        channels: (ToWorkers, ToSink, Sender<()>),
    ) -> Self {
        let (to_workers, to_sink, tokens) = channels;
        let (left, base) = left;
        let trust = Trust::new(before, options.full_hash_every);
        Self {
            writer,
            options,
            old,
            left,
            base,
            to_workers,
            to_sink,
            tokens,
            seq: 0,
            totals: Totals::default(),
            trust,
            without_xattrs: source::without_xattrs(),
        }
    }

    /// Walks and feeds everything but what is written to meanwhile: `own` is the repository.
    pub(super) fn run(
        mut self,
        roots: &BTreeMap<PathBuf, PathBuf>,
        own: Option<&Path>,
    ) -> Result<Totals, Error> {
        let mut except = vec![self.options.state.canonicalize().unwrap_or_default()];
        except.extend(own.map(Path::to_owned));
        except.extend(self.options.hooked.iter().flat_map(|hooked| hooked.left_out.clone()));
        let keep = self.options.hooked.iter().map(|hooked| &*hooked.path).collect();
        let judge = Judge { leave: &self.options.leave, keep, left: LeftOut::default() };
        let mut walk = Walk::new(roots, except, judge);
        for found in walk.by_ref() {
            let (fed, real) = match found {
                Ok(found) => (self.file(&found), Some(found.real)),
                Err(e) => (Err(e), None),
            };
            match fed {
                // not of what is remembered of the last push: without it nothing is as it seems
                Err(Error::Io { operation, path, source })
                    if real.is_none_or(|real| real == path || self.is_copy(&path)) =>
                {
                    let why = format!("{operation}: {source}");
                    self.totals.unread.push(Unread { path, why });
                }
                fed => fed?,
            }
        }
        self.totals.left_out = walk.judge.left;
        self.gone_until(None)?;
        Ok(self.totals)
    }

    fn is_copy(&self, path: &Path) -> bool {
        self.options.hooked.iter().any(|hooked| hooked.copy.as_deref() == Some(path))
    }

    fn say(&mut self, message: Message) -> Result<(), Error> {
        self.tokens.send(()).map_err(stopped)?;
        self.to_sink.send((self.seq, message)).map_err(stopped)?;
        self.seq += 1;
        Ok(())
    }

    fn job(&mut self, job: Job) -> Result<(), Error> {
        self.options.go_on()?;
        self.options.pace.go_on();
        self.tokens.send(()).map_err(stopped)?;
        self.to_workers.send((self.seq, job)).map_err(stopped)?;
        self.seq += 1;
        Ok(())
    }

    /// The old line of a path; the ones before it are of files that are gone.
    fn gone_until(&mut self, path: Option<&Path>) -> Result<Option<Line>, Error> {
        let mut gone = Vec::new();
        let line = self.old.find(path, |line| {
            gone.extend(line.file.cut.map(|_| line.file.id(&self.writer.id_key)));
            Ok(())
        })?;
        for id in gone {
            self.say(Message::Gone(id))?;
        }
        Ok(line)
    }

    fn describe(&self, found: &Found, size: u64) -> catalog::File {
        let meta = &found.meta;
        let ns = |s: i64, ns: i64| s.saturating_mul(1_000_000_000).saturating_add(ns);
        catalog::File {
            path: found.path.clone(),
            kind: found.kind,
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            size,
            mtime_ns: ns(meta.mtime(), meta.mtime_nsec()),
            ctime_ns: ns(meta.ctime(), meta.ctime_nsec()),
            inode: meta.ino(),
            target: found.target.clone(),
            xattrs: if found.kind == FileKind::Symlink
                || self.without_xattrs.iter().any(|point| found.real.starts_with(point))
            {
                Vec::new()
            } else {
                source::xattrs(&found.real)
            },
            cut: None,
            judged: Judged::Metadata,
            because: String::new(),
            hashed: None,
            moved: false,
            consistency: None,
            hook: None,
            checked: None,
        }
    }

    fn file(&mut self, found: &Found) -> Result<(), Error> {
        self.options.go_on()?;
        let hooked = self.options.hooked.iter().find(|hooked| hooked.path == found.real);
        let opened = match (found.kind, hooked.and_then(|hooked| hooked.copy.as_ref())) {
            (FileKind::File, Some(copy)) => Some(fs::File::open(copy).at("open", copy)?),
            (FileKind::File | FileKind::Disk, _) => Some(source::open(found)?),
            _ => None,
        };
        let line = self.gone_until(Some(&found.path))?;
        let Some(file) = opened else {
            if let Some(line) = &line
                && line.file.cut.is_some()
            {
                self.say(Message::Gone(line.file.id(&self.writer.id_key)))?;
            }
            self.totals.files += 1;
            return self.say(Message::End(Box::new(self.describe(found, 0))));
        };
        let meta = file.metadata().at("look at", &found.real)?;
        let length = source::length(&file, found)?;
        if trust::is_remote(&file) {
            // read from the server: what is cached of it here may be as old as its times
            let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
        }
        let head = source::head(&file);
        let mut about = self.describe(found, length);
        let look = database::Look { head: &head, file: Some(&file), path: &found.real };
        let base = database::of(&look);
        let (cut, why) = source::cut(&head, base, found, length);
        (about.cut, about.because) = (Some(cut), why);
        let line = line.filter(|line| line.file.cut == Some(cut));
        self.totals.mounts.extend(trust::mount(&file));
        let asked = self.options.trust_stat.iter().any(|path| found.real.starts_with(path));
        let was = line.as_ref().filter(|_| asked && hooked.is_none());
        if asked && !trust::is_remote(&file) {
            // its times are noted already: the next store into what is written back moves them
            let _ = file.sync_data();
        }
        let trusted =
            was.map(|line| self.trust.judge(found, &file, base.is_some(), &line.file, &about));
        if let (Some(line), Some(Ok(hashed))) = (&line, trusted) {
            (about.judged, about.hashed) = (Judged::TrustedStat, Some(hashed));
            self.keep(&about, line)?;
        } else {
            if let Some(Err(why)) = trusted {
                about.because = format!("{}; {why}", about.because);
            }
            about.judged = Judged::Hashed;
            match cut {
                Cut::Pages => self.pages(
                    &Arc::new(file.try_clone().at("open", &found.real)?),
                    found,
                    &about,
                    line.as_ref(),
                )?,
                Cut::Chunks => self.chunks(&file, found, &mut about, line.as_ref())?,
            }
        }
        let after = file.metadata().at("look at", &found.real)?;
        let times =
            |m: &fs::Metadata| (m.len(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec());
        about.moved = found.kind == FileKind::File && times(&meta) != times(&after);
        let still = (self.options.snapshot, source::is_read_only(&file));
        self.totals.words.file(&mut about, hooked, still);
        self.totals.files += 1;
        self.totals.bytes += about.size;
        self.say(Message::End(Box::new(about)))
    }

    fn start(
        &mut self,
        about: &catalog::File,
        total: u64,
        line: Option<&Line>,
        chunks: Vec<Known>,
    ) -> Result<FileId, Error> {
        let id = about.id(&self.writer.id_key);
        let kind = if about.cut == Some(Cut::Pages) { Kind::Pages } else { Kind::Chunks };
        let before = line.map(|line| line.file.size.div_ceil(PAGE as u64));
        let start = Start { id, kind, total, before, chunks: Arc::new(chunks) };
        self.say(Message::Start(start))?;
        Ok(id)
    }

    /// Takes all of a file as it was in the generation before.
    fn keep(&mut self, about: &catalog::File, line: &Line) -> Result<(), Error> {
        let chunks = about.cut == Some(Cut::Chunks);
        let before =
            if chunks { self.old.records(line.at, line.count as usize)? } else { Vec::new() };
        let total = if chunks { u64::MAX } else { about.size.div_ceil(PAGE as u64) };
        self.start(about, total, Some(line), before)?;
        let mut records = Records::new(line.at, line.count);
        loop {
            let some = records.some(&self.old)?;
            if some.is_empty() {
                return Ok(());
            }
            let kept =
                some.iter().filter_map(|e| e.place.map(|place| (e.index, What::Keep(place))));
            let batch = Batch { pieces: kept.collect(), ..Batch::default() };
            self.say(Message::Batch(batch))?;
        }
    }

    fn pages(
        &mut self,
        file: &Arc<fs::File>,
        found: &Found,
        about: &catalog::File,
        line: Option<&Line>,
    ) -> Result<(), Error> {
        let length = about.size;
        let total = length.div_ceil(PAGE as u64);
        let id = self.start(about, total, line, Vec::new())?;
        let mut old = line.map_or(Records::new(0, 0), |line| Records::new(line.at, line.count));
        let mut left = self.left.of(&id, self.base);
        let path = Arc::new(found.real.clone());
        // the kernel reads ahead of a scan; where it cannot, nothing is lost
        let _ = rustix::fs::fadvise(&**file, 0, None, rustix::fs::Advice::Sequential);
        let mut next = 0;
        while let Some((data, hole)) = source::next_data(file, next * PAGE as u64, length) {
            let first = data / PAGE as u64;
            self.zeroes(&mut old, first)?;
            let end = hole.div_ceil(PAGE as u64);
            next = first;
            while next < end {
                let stop = (next + BATCH).min(end);
                let bytes = (stop * PAGE as u64).min(length) - next * PAGE as u64;
                let job = Job::Pages {
                    file: Arc::clone(file),
                    path: Arc::clone(&path),
                    first: next,
                    bytes: bytes as usize,
                    old: old.until(&self.old, stop)?,
                    left: left.until(self.left, stop)?,
                };
                self.job(job)?;
                next = stop;
            }
        }
        self.zeroes(&mut old, total)
    }

    /// Pages before `end` that were data and are in a hole now.
    fn zeroes(&mut self, old: &mut Records, end: u64) -> Result<(), Error> {
        loop {
            let some = old.until_some(&self.old, end)?;
            if some.is_empty() {
                return Ok(());
            }
            let zero = some.iter().map(|entry| (entry.index, What::Zero { had: true }));
            let batch = Batch { pieces: zero.collect(), ..Batch::default() };
            self.say(Message::Batch(batch))?;
        }
    }

    fn chunks(
        &mut self,
        file: &fs::File,
        found: &Found,
        about: &mut catalog::File,
        line: Option<&Line>,
    ) -> Result<(), Error> {
        let before = match line {
            Some(line) => self.old.records(line.at, line.count as usize)?,
            None => Vec::new(),
        };
        let id = about.id(&self.writer.id_key);
        let noted = self.left.of(&id, self.base).until(self.left, u64::MAX)?;
        let known = Arc::new(by_id(noted.iter().chain(&before)));
        self.start(about, u64::MAX, line, before)?;
        // what is appended meanwhile is the next generation's; but a size of 0 may be that of a
        // file whose bytes nobody has counted (proc(5), FUSE)
        let end = if about.size == 0 { u64::MAX } else { about.size };
        let (mut at, mut first) = (0, 0);
        let mut carried = Vec::new();
        loop {
            let mut bytes = std::mem::take(&mut carried);
            let have = bytes.len();
            // one byte tells that an empty file is empty
            let most = if at == 0 && about.size == 0 { 1 } else { (1 << 20) - have as u64 };
            let rest = (end - at).min(most) as usize;
            bytes.resize(have + rest, 0);
            let got = read_full(file, &mut bytes[have..], at).at("read", &found.real)?;
            bytes.truncate(have + got);
            at += got as u64;
            let last = got < rest || at == end;
            let cuts = cuts(&bytes, last);
            let end = cuts.last().copied().unwrap_or(0);
            carried = bytes.split_off(end);
            if end > 0 {
                let count = cuts.len() as u64;
                self.job(Job::Chunks { bytes, first, cuts, known: Arc::clone(&known) })?;
                first += count;
            }
            if last {
                about.size = at;
                return Ok(());
            }
        }
    }
}

/// Records of one file of the state, in order.
struct Records {
    next: u64,
    end: u64,
    read: VecDeque<Known>,
}

impl Records {
    fn new(at: u64, count: u64) -> Self {
        Self { next: at, end: at + count, read: VecDeque::new() }
    }

    fn fill(&mut self, old: &Old) -> Result<(), Error> {
        if self.read.is_empty() && self.next < self.end {
            let count = RECORDS.min(self.end - self.next);
            self.read = old.records(self.next, count as usize)?.into();
            self.next += count;
        }
        Ok(())
    }

    fn some(&mut self, old: &Old) -> Result<Vec<Known>, Error> {
        self.fill(old)?;
        Ok(self.read.drain(..).collect())
    }

    /// At most [`RECORDS`] of those before `end`.
    fn until_some(&mut self, old: &Old, end: u64) -> Result<Vec<Known>, Error> {
        self.fill(old)?;
        let count = self.read.partition_point(|entry| entry.index < end);
        Ok(self.read.drain(..count).collect())
    }

    fn until(&mut self, old: &Old, end: u64) -> Result<Vec<Known>, Error> {
        let mut known = Vec::new();
        loop {
            let some = self.until_some(old, end)?;
            if some.is_empty() {
                return Ok(known);
            }
            known.extend(some);
        }
    }
}
