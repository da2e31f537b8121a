//! A recording: pcapng on disk, as one file or as a ring of files, within a budget.
//!
//! Files are mode 0600. Everything is written at least once a second (see [`Recorder::tick`]), in
//! whole blocks, so that a file can be read whenever its writer dies. A disk that takes no more
//! loses frames, each counted, and is asked again with the next burst.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use skb::LinkType;

use super::pcapng::append_frame;
use super::spool::{Packing, Spool, Stored};
use super::{InterfaceSpec, PcapngWriter, SectionSpec, StatisticsSpec};
use crate::error::Error;
use crate::format::InterfaceCounters;

/// Longest that a frame waits in memory.
const FLUSH_AFTER: Duration = Duration::from_secs(1);
/// Of a ring whose files have no stated size: so many of them fill the budget.
const FILES_OF_BUDGET: u64 = 4;

/// Where a recording goes, and how much of it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The file, or what the files of a ring are named after: `a.pcapng` gives
    /// `a_00001_20261123091500.pcapng` and so on (number, then the time in UTC it was begun).
    pub path: PathBuf,
    /// A ring: the next file is begun when this many bytes are reached.
    pub file_bytes: Option<u64>,
    /// A ring: the next file is begun after this long.
    pub file_time: Option<Duration>,
    /// A ring: so many files at most, the oldest is deleted first.
    pub files_max: Option<u32>,
    /// All files together, bytes. A single file is [`Recorder::is_full`] then, a ring deletes the
    /// oldest file.
    pub budget_bytes: u64,
    /// A ring deletes files begun so long ago.
    pub keep: Duration,
    /// How the files are compressed.
    pub packing: Packing,
}

impl Plan {
    /// More than one file.
    pub fn is_ring(&self) -> bool {
        self.file_bytes.is_some() || self.file_time.is_some()
    }

    /// The size at which a file ends.
    fn file_limit(&self) -> u64 {
        match (self.is_ring(), self.file_bytes) {
            (false, _) => self.budget_bytes,
            (true, Some(bytes)) => bytes,
            (true, None) => self.budget_bytes / FILES_OF_BUDGET,
        }
    }
}

/// What stands at the start of every file.
#[derive(Debug, Clone, Default)]
pub struct Heading {
    /// `opt_comment`s of the section; the first is the first thing a reader sees.
    pub comments: Vec<String>,
    /// `shb_userappl`.
    pub userappl: String,
    /// `shb_os`.
    pub os: String,
    /// The interfaces, in the order of their numbers.
    pub interfaces: Vec<Listened>,
}

/// An interface of a recording.
#[derive(Debug, Clone, Default)]
pub struct Listened {
    /// `if_name`.
    pub name: String,
    /// What the first byte of its frames is.
    pub linktype: LinkType,
    /// Snap length, bytes; 0 means no limit.
    pub snaplen: u32,
    /// `if_filter`.
    pub filter: Option<String>,
    /// `opt_comment`: whose clock the times are, and the like.
    pub comment: String,
}

/// What a recording came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recorded {
    /// Frames on the disk.
    pub written: u64,
    /// Frames that the disk did not take.
    pub lost: u64,
    /// Files begun.
    pub files: u64,
    /// Files of the ring deleted, by size, number or age.
    pub deleted: u64,
    /// Bytes in all files begun.
    pub bytes: u64,
}

/// A finished file of the ring.
#[derive(Debug)]
struct Finished {
    path: PathBuf,
    bytes: u64,
    begun: SystemTime,
}

/// Writes a recording; see the module text.
#[derive(Debug)]
pub struct Recorder {
    plan: Plan,
    heading: Heading,
    spool: Spool<File>,
    path: PathBuf,
    limit: u64,
    begun: (Instant, SystemTime),
    flushed: Instant,
    counters: InterfaceCounters,
    start_ns: i64,
    /// Oldest first.
    finished: VecDeque<Finished>,
    number: u32,
    /// Of the files before the current one.
    before: Recorded,
    full: bool,
    trouble: Option<Error>,
}

impl Recorder {
    /// Begins the first file.
    ///
    /// # Errors
    /// When the plan cannot be kept (a file larger than the budget) or the file not be made.
    pub fn create(plan: Plan, heading: Heading, now_ns: i64) -> Result<Self, Error> {
        if plan.file_bytes.is_some_and(|bytes| bytes > plan.budget_bytes / 2) {
            return Err(Error::Unwritable {
                what: "size of one file of the ring",
                expected: "at most half the budget, so that one can be deleted for the next",
                found: i128::from(plan.file_bytes.unwrap_or(0)),
            });
        }
        let finished = if plan.is_ring() { earlier(&plan.path)? } else { VecDeque::new() };
        let number = finished.iter().filter_map(|file| number(&plan.path, &file.path)).max();
        let mut recorder = {
            let number = number.unwrap_or(0) + u32::from(plan.is_ring());
            let path = name(&plan, number);
            let spool = begin(&path, &heading, plan.packing)?;
            Self {
                limit: plan.file_limit(),
                plan,
                heading,
                spool,
                path,
                begun: (Instant::now(), SystemTime::now()),
                flushed: Instant::now(),
                counters: InterfaceCounters::default(),
                start_ns: now_ns,
                finished,
                number,
                before: Recorded { files: 1, ..Recorded::default() },
                full: false,
                trouble: None,
            }
        };
        recorder.delete_old();
        recorder.flush();
        match recorder.trouble.take() {
            Some(error) => Err(error),
            None => Ok(recorder),
        }
    }

    /// Takes one frame. `false`: the budget of a single file is used up, the frame is not taken.
    /// A time before 1970 is written as 1970.
    #[inline]
    pub fn frame(
        &mut self,
        interface: u32,
        time_ns: i64,
        origlen: u32,
        data: &[u8],
        flags: Option<u32>,
    ) -> bool {
        if self.spool.len() + (data.len() + 48) as u64 > self.limit && !self.make_room() {
            return false;
        }
        append_frame(self.spool.blocks(), interface, time_ns.max(0) as u64, origlen, data, flags);
        if let Err(error) = self.spool.settle() {
            self.failed(error);
        }
        true
    }

    /// The current file is at its limit. `false`: and there is no next one.
    #[cold]
    fn make_room(&mut self) -> bool {
        if self.plan.is_ring() {
            self.next_file();
            return true;
        }
        // nothing after this frame either, however short
        (self.full, self.limit) = (true, 0);
        false
    }

    /// The budget of a single file is used up.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// What to write as interface statistics (`isb_*`) when a file ends, until told otherwise.
    pub fn set_counters(&mut self, counters: InterfaceCounters) {
        self.counters = counters;
    }

    /// Writes a remark among the frames, as a comment on interface statistics.
    pub fn note(&mut self, now_ns: i64, text: &str) {
        self.statistics(now_ns, &[text], None);
    }

    /// To be called about every second: writes what waits, begins the next file when it is time,
    /// deletes what is too old.
    pub fn tick(&mut self) {
        if self.flushed.elapsed() >= FLUSH_AFTER {
            self.flush();
        }
        let age = self.begun.0.elapsed();
        if self.plan.file_time.is_some_and(|time| age >= time) {
            self.next_file();
        } else if self.plan.is_ring() {
            self.delete_old();
        }
    }

    /// Writes what waits in memory.
    pub fn flush(&mut self) {
        self.flushed = Instant::now();
        if let Err(error) = self.spool.flush() {
            self.failed(error);
        }
    }

    /// The newest failure to write, once.
    pub fn take_trouble(&mut self) -> Option<Error> {
        self.trouble.take()
    }

    /// The file being written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it came to so far; frames still in memory are in neither count.
    pub fn recorded(&self) -> Recorded {
        let Stored { written, lost } = self.spool.counts();
        let mut total = self.before;
        total.written += written;
        total.lost += lost;
        total.bytes += self.spool.len();
        total
    }

    /// Writes the interface's last counters and everything that waits.
    pub fn finish(&mut self, end_ns: i64) -> Recorded {
        self.statistics(end_ns, &[], Some(end_ns));
        self.flush();
        self.recorded()
    }

    fn statistics(&mut self, now_ns: i64, comments: &[&str], end_ns: Option<i64>) {
        let spec = StatisticsSpec {
            comments,
            time_ns: now_ns.max(0),
            start_ns: Some(self.start_ns.max(0)),
            end_ns: end_ns.map(|ns| ns.max(0)),
            counters: self.counters,
        };
        let interfaces: Vec<LinkType> =
            self.heading.interfaces.iter().map(|i| i.linktype).collect();
        let mut writer = PcapngWriter::resume(self.spool.blocks(), interfaces);
        // into memory; only a comment of over 64 KiB is refused
        let _ = writer.write_statistics(0, &spec);
        if let Err(error) = self.spool.settle() {
            self.failed(error);
        }
    }

    fn next_file(&mut self) {
        let now_ns = epoch_ns();
        self.statistics(now_ns, &[], Some(now_ns));
        self.flush();
        let path = name(&self.plan, self.number + 1);
        match begin(&path, &self.heading, self.plan.packing) {
            Ok(spool) => {
                let old = self.recorded();
                let bytes = self.spool.len();
                self.spool = spool;
                let path = std::mem::replace(&mut self.path, path);
                self.finished.push_back(Finished { path, bytes, begun: self.begun.1 });
                self.before = Recorded { files: old.files + 1, ..old };
                self.number += 1;
                self.limit = self.plan.file_limit();
            }
            Err(error) => {
                // go on in the old one, which may grow, rather than lose frames
                self.trouble = Some(error);
                self.limit = self.spool.len() + self.plan.file_limit();
            }
        }
        self.begun = (Instant::now(), SystemTime::now());
        self.delete_old();
    }

    fn failed(&mut self, source: std::io::Error) {
        let full = matches!(
            source.kind(),
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
        );
        let object = self.path.display().to_string();
        self.trouble = Some(Error::Io { operation: "write", object, source });
        // the disk has less room than the budget: the ring is as large as what fits
        if full && let Some(oldest) = self.finished.pop_front() {
            self.delete(&oldest);
        }
    }

    /// Deletes finished files of the ring: too many bytes, too many files, or too old.
    fn delete_old(&mut self) {
        let expected = self.plan.file_limit().max(self.spool.len());
        loop {
            let finished: u64 = self.finished.iter().map(|file| file.bytes).sum();
            let Some(oldest) = self.finished.front() else { return };
            let old = oldest.begun.elapsed().is_ok_and(|age| age > self.plan.keep);
            let many = self.plan.files_max.is_some_and(|max| self.finished.len() >= max as usize);
            if !(old || many || finished + expected > self.plan.budget_bytes) {
                return;
            }
            if let Some(oldest) = self.finished.pop_front() {
                self.delete(&oldest);
            }
        }
    }

    fn delete(&mut self, file: &Finished) {
        match fs::remove_file(&file.path) {
            Ok(()) => self.before.deleted += 1,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => {
                let object = file.path.display().to_string();
                self.trouble = Some(Error::Io { operation: "delete", object, source });
            }
        }
    }
}

/// Nanoseconds since 1970.
fn epoch_ns() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// A new file with its heading, which is still in memory.
fn begin(path: &Path, heading: &Heading, packing: Packing) -> Result<Spool<File>, Error> {
    let mut spool = Spool::new(super::create(path)?, packing);
    let comments: Vec<&str> = heading.comments.iter().map(String::as_str).collect();
    let section = SectionSpec {
        os: Some(&heading.os).filter(|os| !os.is_empty()).map(String::as_str),
        userappl: Some(&heading.userappl),
        comments: &comments,
        ..SectionSpec::default()
    };
    let mut writer = PcapngWriter::new(spool.blocks(), &section)?;
    for interface in &heading.interfaces {
        writer.add_interface(&InterfaceSpec {
            linktype: interface.linktype,
            snaplen: interface.snaplen,
            name: Some(&interface.name),
            filter: interface.filter.as_deref(),
            comments: &[&interface.comment],
            ..InterfaceSpec::default()
        })?;
    }
    Ok(spool)
}

/// `a` and `.pcapng.gz` of `a.pcapng.gz`.
fn parts(path: &Path) -> (String, String) {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let end = name.len();
    let dot = |end: usize| name[..end].rfind('.').filter(|at| *at > 0).unwrap_or(end);
    let mut at = dot(end);
    if Packing::of_name(path) != Packing::None {
        at = dot(at);
    }
    (name[..at].to_owned(), name[at..].to_owned())
}

/// The file of that number.
fn name(plan: &Plan, number: u32) -> PathBuf {
    if !plan.is_ring() {
        return plan.path.clone();
    }
    let (stem, extension) = parts(&plan.path);
    let time = jiff::Timestamp::now().strftime("%Y%m%d%H%M%S");
    plan.path.with_file_name(format!("{stem}_{number:05}_{time}{extension}"))
}

/// The number in a name that [`name`] made for `plan_path`.
fn number(plan_path: &Path, path: &Path) -> Option<u32> {
    let (stem, extension) = parts(plan_path);
    let name = path.file_name()?.to_str()?;
    let middle = name.strip_prefix(&stem)?.strip_suffix(&extension)?.strip_prefix('_')?;
    let (number, time) = middle.split_once('_')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let ours = number.len() >= 5 && time.len() == 14 && digits(number) && digits(time);
    if ours { number.parse().ok() } else { None }
}

/// Files that an earlier run of the same ring left, oldest first: they count into the budget.
fn earlier(plan_path: &Path) -> Result<VecDeque<Finished>, Error> {
    let folder = match plan_path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let failed =
        |source| Error::Io { operation: "list", object: folder.display().to_string(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let (Some(number), Ok(meta)) = (number(plan_path, &path), fs::symlink_metadata(&path))
        else {
            continue;
        };
        if meta.is_file() {
            let begun = meta.modified().unwrap_or_else(|_| SystemTime::now());
            found.push((number, Finished { path, bytes: meta.len(), begun }));
        }
    }
    found.sort_by_key(|(number, _)| *number);
    Ok(found.into_iter().map(|(_, file)| file).collect())
}
