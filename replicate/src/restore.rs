//! Restore: pages verified as they are written, holes left as holes.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Sender, bounded};
use rustix::fs::{AtFlags, Timespec, Timestamps};

use crate::catalog::{Cut, File, FileKind};
use crate::direct::{self, Aligned};
use crate::error::{At, Error};
use crate::generation::Manifest;
use crate::hash::unhex;
use crate::layers::Layers;
use crate::part::{Entry, Kind, SegmentRef};
use crate::read::Slots;
use crate::repository::{PAGE, Reader, Repository};

/// Pages or chunks handed to a worker at once.
const BATCH: usize = 64;
/// Written data is synced in the background whenever so much has gathered.
const SYNC_EVERY: u64 = 256 << 20;
/// The most that is written at once.
const RUN: usize = 1 << 20;
/// Workers beyond one a core: some of them wait for the disk.
const WAITING: usize = 2;

/// What a restore did.
#[derive(Debug, Default, Clone)]
pub struct Restored {
    /// Files, directories and links made.
    pub files: u64,
    /// Their sizes.
    pub bytes: u64,
    /// Bytes written; the rest are holes.
    pub written: u64,
    /// Wall time, synced.
    pub took: Duration,
    /// What could not be made as it was, and why.
    pub incomplete: Vec<(PathBuf, String)>,
    /// Firebird databases taken under nbackup's lock: `nbackup -F` before they are opened.
    pub locked: Vec<PathBuf>,
}

struct Work {
    file: Arc<fs::File>,
    /// The same, past the page cache.
    direct: Option<Arc<fs::File>>,
    path: Arc<PathBuf>,
    /// With the byte offset of each.
    entries: Vec<Entry<SegmentRef>>,
    offsets: Vec<u64>,
    size: u64,
}

/// Restores a generation, or what lies at or below `only`, into a new or empty directory.
///
/// `done` hears of every file. On the first damage it stops, with the object named.
pub fn restore(
    repository: &Repository,
    reader: &Reader,
    manifest: &Manifest,
    to: &Path,
    only: &[PathBuf],
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Restored, Error> {
    let begin = Instant::now();
    fs::create_dir_all(to).at("make", to)?;
    if fs::read_dir(to).at("read", to)?.next().is_some() {
        let say = format!("{} is not empty: restore into a new directory", to.display());
        return Err(Error::Request(say));
    }
    let slots = Slots::open(repository, reader)?;
    let written = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 16);
    // behind a server most wait for an answer
    let threads = if repository.store.is_remote() { 16 } else { threads + WAITING };
    let mut restored = std::thread::scope(|scope| -> Result<Restored, Error> {
        let (work, jobs) = bounded::<Work>(2 * threads);
        let (sync, syncs) = bounded::<Arc<fs::File>>(64);
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let (jobs, sync, slots, written, failed) =
                    (jobs.clone(), sync.clone(), &slots, &written, &failed);
                scope.spawn(move || -> Result<(), Error> {
                    let mut run = Run { at: 0, bytes: Aligned::with_capacity(RUN) };
                    for job in jobs {
                        if failed.load(Ordering::Relaxed) {
                            continue;
                        }
                        let done = write(slots, &job, &mut run, written, progress, &sync);
                        if done.is_err() {
                            failed.store(true, Ordering::Relaxed);
                            done?;
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        let syncer = scope.spawn(move || syncs.iter().try_for_each(|file| file.sync_data()));
        let fed = feed(&slots, manifest, to, only, &work);
        drop((work, jobs, sync));
        let mut ended = Ok(());
        for worker in workers {
            let joined = worker.join().map_err(|_| Error::Request("a worker panicked".to_owned()));
            ended = ended.and(joined.and_then(|done| done));
        }
        let synced = syncer.join().map_err(|_| Error::Request("the syncer panicked".to_owned()))?;
        ended?;
        synced.at("sync", to)?;
        let (mut restored, links) = fed?;
        finish(&slots, manifest, (to, only), links, &mut restored)?;
        Ok(restored)
    })?;
    restored.written = written.into_inner();
    restored.took = begin.elapsed();
    Ok(restored)
}

fn wanted(only: &[PathBuf], file: &File) -> bool {
    only.is_empty() || only.iter().any(|only| file.path.starts_with(only))
}

/// Makes files and hands out their pages, as the catalog is read: it is never held whole.
/// Returns whether there are hard links.
fn feed(
    slots: &Slots<'_>,
    manifest: &Manifest,
    to: &Path,
    only: &[PathBuf],
    work: &Sender<Work>,
) -> Result<(Restored, bool), Error> {
    let mut names = Layers::of_catalog(slots.repository, manifest)?;
    let mut layers = Layers::open(slots.repository, manifest)?;
    let mut restored = Restored::default();
    let mut links = false;
    slots.catalog(&mut names, manifest.number, |file| {
        if !wanted(only, &file) {
            return Ok(());
        }
        let path = to.join(&file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).at("make", parent)?;
        }
        restored.files += 1;
        match file.kind {
            FileKind::Directory => fs::create_dir_all(&path).at("make", &path)?,
            FileKind::File | FileKind::Disk => {
                restored.bytes += file.size;
                contents(slots, &mut layers, &file, &path, work)?;
            }
            FileKind::HardLink => links = true,
            _ => {}
        }
        Ok(())
    })?;
    if restored.files == 0 && !only.is_empty() {
        return Err(Error::Request("no file of the generation has such a path".to_owned()));
    }
    Ok((restored, links))
}

fn contents(
    slots: &Slots<'_>,
    layers: &mut Layers<'_>,
    file: &File,
    path: &Path,
    work: &Sender<Work>,
) -> Result<(), Error> {
    let mut options = fs::OpenOptions::new();
    let made = options.write(true).create_new(true).mode(0o600).open(path).at("create", path)?;
    made.set_len(file.size).at("make room in", path)?;
    let large = file.size >= RUN as u64;
    let direct = large.then(|| direct::open(path)).flatten().map(Arc::new);
    let (made, path) = (Arc::new(made), Arc::new(path.to_owned()));
    let mut entries = layers.merged(&file.id(&slots.reader.id_key))?;
    let kind = entries.kind;
    if kind == Kind::Gone && file.size > 0 {
        let object = format!("map of generation with {}", file.path.display());
        return Err(Error::damage(object, 0, "the file's pages", "none"));
    }
    let mut at = 0;
    loop {
        let (mut some, mut offsets) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        while some.len() < BATCH
            && let Some(entry) = entries.next()?
        {
            let len = entry.place.map_or(0, |place| u64::from(place.len));
            offsets.push(if kind == Kind::Chunks { at } else { entry.index * PAGE as u64 });
            at += len;
            some.push(entry);
        }
        if some.is_empty() {
            break;
        }
        let (file, path, size) = (Arc::clone(&made), Arc::clone(&path), file.size);
        let job = Work { file, direct: direct.clone(), path, entries: some, offsets, size };
        if work.send(job).is_err() {
            return Ok(()); // the workers' error tells
        }
    }
    if kind == Kind::Chunks && at != file.size {
        let expected = format!("chunks of {} bytes", file.size);
        return Err(Error::damage(path.display().to_string(), at, expected, at.to_string()));
    }
    Ok(())
}

/// Bytes that follow each other, not yet written.
struct Run {
    at: u64,
    bytes: Aligned,
}

fn write(
    slots: &Slots<'_>,
    job: &Work,
    run: &mut Run,
    written: &AtomicU64,
    progress: &(dyn Fn(u64) + Sync),
    sync: &Sender<Arc<fs::File>>,
) -> Result<(), Error> {
    let mut offsets = job.offsets.iter();
    run.bytes.clear();
    let flush = |run: &mut Run| -> Result<(), Error> {
        let written_at =
            direct::write_at(job.direct.as_deref(), &job.file, run.bytes.as_ref(), run.at);
        written_at.at("write", &*job.path)?;
        let len = run.bytes.len() as u64;
        run.bytes.clear();
        let before = written.fetch_add(len, Ordering::Relaxed);
        if before / SYNC_EVERY != (before + len) / SYNC_EVERY {
            let _ = sync.try_send(Arc::clone(&job.file));
        }
        progress(before + len);
        Ok(())
    };
    slots.read(&job.entries, |_, plain| {
        let offset = offsets.next().copied().unwrap_or(0);
        if offset + plain.len() as u64 > job.size {
            let object = job.path.display().to_string();
            return Err(Error::damage(object, offset, "bytes within the file", "more"));
        }
        let len = run.bytes.len();
        if run.at + len as u64 != offset || len + plain.len() > RUN {
            flush(run)?;
            run.at = offset;
        }
        run.bytes.extend_from_slice(plain);
        Ok(())
    })?;
    flush(run)
}

/// Hard links, then symbolic ones, owners, modes and times; a directory after what is in it.
///
/// By now every directory of the generation is made: a symbolic link can take the place of none,
/// and nothing is written through one.
fn finish(
    slots: &Slots<'_>,
    manifest: &Manifest,
    (to, only): (&Path, &[PathBuf]),
    links: bool,
    restored: &mut Restored,
) -> Result<(), Error> {
    let mut names = Layers::of_catalog(slots.repository, manifest)?;
    if links {
        slots.catalog(&mut names, manifest.number, |file| {
            if file.kind == FileKind::HardLink
                && wanted(only, &file)
                && let Err(e) = hard_link(to, &file)
            {
                restored.incomplete.push((file.path, format!("hard link: {e}")));
            }
            Ok(())
        })?;
    }
    // directories that the catalog is inside of
    let mut open: Vec<File> = Vec::new();
    slots.catalog(&mut names, manifest.number, |file| {
        if file.kind == FileKind::HardLink || !wanted(only, &file) {
            return Ok(());
        }
        while let Some(left) = open.pop_if(|dir| !file.path.starts_with(&dir.path)) {
            dressed(to, left, restored);
        }
        if file.kind == FileKind::Directory {
            open.push(file);
        } else {
            dressed(to, file, restored);
        }
        Ok(())
    })?;
    while let Some(left) = open.pop() {
        dressed(to, left, restored);
    }
    // the names of what is in it; its own, if the folder above may be opened
    let real = to.canonicalize().at("find", to)?;
    fs::File::open(&real).and_then(|folder| folder.sync_all()).at("sync", to)?;
    if let Some(Ok(above)) = real.parent().map(fs::File::open) {
        above.sync_all().at("sync", to)?;
    }
    Ok(())
}

fn dressed(to: &Path, file: File, restored: &mut Restored) {
    if file.cut == Some(Cut::Pages) && file.because.starts_with("Firebird") {
        let path = to.join(&file.path);
        let head = fs::File::open(&path).map(|file| crate::source::head(&file));
        if head.is_ok_and(|head| crate::is_locked(&head) == Some(true)) {
            restored.locked.push(path);
        }
    }
    if let Err(why) = dress(to, &file) {
        restored.incomplete.push((file.path, why));
    }
}

/// To a regular file that was made here: there are no symbolic links yet to lead elsewhere.
fn hard_link(to: &Path, file: &File) -> std::io::Result<()> {
    let first = to.join(file.target.as_deref().unwrap_or(Path::new("")));
    if fs::symlink_metadata(&first).is_ok_and(|meta| meta.is_file()) {
        fs::hard_link(&first, to.join(&file.path))
    } else {
        Err(std::io::Error::other("its first name was not restored"))
    }
}

fn dress(to: &Path, file: &File) -> Result<(), String> {
    let path = to.join(&file.path);
    let say = |what: &str, e: std::io::Error| format!("{what}: {e}");
    let link = file.kind == FileKind::Symlink;
    match file.kind {
        FileKind::Symlink => {
            let target = file.target.as_deref().unwrap_or(Path::new(""));
            symlink(target, &path).map_err(|e| say("symbolic link", e))?;
        }
        FileKind::Pipe => {
            let mode = rustix::fs::Mode::from_raw_mode(file.mode);
            let made =
                rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0);
            made.map_err(|e| say("named pipe", e.into()))?;
        }
        FileKind::Special => return Err("sockets and devices are not restored".to_owned()),
        _ => {}
    }
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::lchown(&path, Some(file.uid), Some(file.gid))
            .map_err(|e| say("owner", e))?;
    }
    if !link {
        for (name, value) in &file.xattrs {
            let pairs = value.as_bytes().chunks(2);
            let bytes =
                pairs.map(|p| unhex::<1>(std::str::from_utf8(p).unwrap_or("")).map(|[b]| b));
            let value: Vec<u8> = bytes.collect::<Option<_>>().unwrap_or_default();
            xattr::set(&path, name, &value).map_err(|e| say("extended attribute", e))?;
        }
        let mode = fs::Permissions::from_mode(file.mode);
        fs::set_permissions(&path, mode).map_err(|e| say("mode", e))?;
    }
    times(to, file).map_err(|e| say("times", e))?;
    if matches!(file.kind, FileKind::File | FileKind::Disk | FileKind::Directory) {
        let synced = fs::File::open(&path).and_then(|file| file.sync_all());
        // what its owner may not read: a file was synced when it was written
        if let Err(e) = synced
            && e.kind() != std::io::ErrorKind::PermissionDenied
        {
            return Err(say("sync", e));
        }
    }
    Ok(())
}

fn times(to: &Path, file: &File) -> std::io::Result<()> {
    let at = Timespec {
        tv_sec: file.mtime_ns.div_euclid(1_000_000_000),
        tv_nsec: file.mtime_ns.rem_euclid(1_000_000_000) as _,
    };
    let stamps = Timestamps { last_access: at, last_modification: at };
    let path = to.join(&file.path);
    Ok(rustix::fs::utimensat(rustix::fs::CWD, &path, &stamps, AtFlags::SYMLINK_NOFOLLOW)?)
}
