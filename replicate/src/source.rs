//! What is backed up: paths walked in the catalog's order, files told apart by their bytes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::SeekFrom;

use crate::catalog::{Cut, FileKind};
use crate::error::{At, Error};
use crate::leave::Judge;

/// Files up to this are one chunk or a few; larger than [`CHUNKED_MAX`] they are cut in pages.
const CHUNKED_MAX: u64 = 16 << 30;

/// The paths that were asked for, by the name that each has in the generation.
pub(crate) fn roots(paths: &[PathBuf]) -> Result<BTreeMap<PathBuf, PathBuf>, Error> {
    let mut roots = BTreeMap::new();
    for path in paths {
        // a link that is named is what it leads to; its own name stays
        let real = path.canonicalize().at("find", path)?;
        let named = std::path::absolute(path).at("find", path)?;
        let name = match named.file_name() {
            Some(name) if !path.ends_with("..") => name.to_owned(),
            _ => real.file_name().map_or_else(|| "root".into(), ToOwned::to_owned),
        };
        if let Some(other) = roots.insert(PathBuf::from(name), real) {
            let say = format!(
                "{} and {} have the same name: back them up by their directory, or apart",
                other.display(),
                path.display()
            );
            return Err(Error::Request(say));
        }
    }
    Ok(roots)
}

/// A file that the walk came to.
#[derive(Debug)]
pub(crate) struct Found {
    /// Where it is.
    pub(crate) real: PathBuf,
    /// Its name in the generation.
    pub(crate) path: PathBuf,
    pub(crate) meta: Metadata,
    pub(crate) kind: FileKind,
    /// Link target, or the first name of a hard link.
    pub(crate) target: Option<PathBuf>,
}

/// Walks the roots in the order of the catalog. What cannot be read is an error of its own.
pub(crate) struct Walk<'a> {
    /// Paths still to come, the next one last.
    stack: Vec<Step>,
    roots: HashSet<PathBuf>,
    linked: HashMap<(u64, u64), PathBuf>,
    /// Never descended into, nor read.
    except: Vec<PathBuf>,
    pub(crate) judge: Judge<'a>,
}

/// A path to look at.
struct Step {
    path: PathBuf,
    real: PathBuf,
    /// Device of the folder that it is in; none: it was asked for.
    above: Option<u64>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        roots: &BTreeMap<PathBuf, PathBuf>,
        except: Vec<PathBuf>,
        judge: Judge<'a>,
    ) -> Self {
        let step = |(path, real): (&PathBuf, &PathBuf)| Step {
            path: path.clone(),
            real: real.clone(),
            above: None,
        };
        let mut stack: Vec<_> = roots.iter().map(step).collect();
        stack.sort_by(|a, b| crate::catalog::order(&b.path, &a.path));
        let roots = roots.keys().cloned().collect();
        Self { stack, roots, linked: HashMap::new(), except, judge }
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Found, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Step { path, real, above } = self.stack.pop()?;
            let asked_for = above.is_none();
            if self.except.contains(&real) || !asked_for && self.judge.is_named(&real) {
                continue;
            }
            return Some(self.look(path, real, above));
        }
    }
}

impl Walk<'_> {
    fn look(&mut self, path: PathBuf, real: PathBuf, above: Option<u64>) -> Result<Found, Error> {
        let meta = fs::symlink_metadata(&real).at("look at", &real)?;
        let kind = meta.file_type();
        let root = self.roots.contains(&path);
        let mut target = None;
        let kind = if kind.is_dir() {
            if self.judge.goes_into(&real, &meta, above) {
                let mut names = Vec::new();
                for entry in fs::read_dir(&real).at("read", &real)? {
                    names.push(entry.at("read", &real)?.file_name());
                }
                names.sort_unstable_by(|a, b| b.cmp(a));
                let above = Some(meta.dev());
                let step = |name| Step { path: path.join(&name), real: real.join(name), above };
                self.stack.extend(names.into_iter().map(step));
            }
            FileKind::Directory
        } else if kind.is_symlink() {
            target = Some(fs::read_link(&real).at("read", &real)?);
            FileKind::Symlink
        } else if kind.is_file() {
            let first = (meta.nlink() > 1)
                .then(|| self.linked.insert((meta.dev(), meta.ino()), path.clone()))
                .flatten();
            if let Some(first) = first {
                self.linked.insert((meta.dev(), meta.ino()), first.clone());
                target = Some(first);
                FileKind::HardLink
            } else {
                FileKind::File
            }
        } else if kind.is_block_device() && root {
            FileKind::Disk
        } else if kind.is_fifo() {
            FileKind::Pipe
        } else {
            FileKind::Special
        };
        Ok(Found { real, path, meta, kind, target })
    }
}

/// Opens for reading, not following a link that took the file's place.
pub(crate) fn open(found: &Found) -> Result<fs::File, Error> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let mut options = fs::OpenOptions::new();
    let file = options.read(true).custom_flags(flags.bits() as i32).open(&found.real);
    file.at("open", &found.real)
}

/// Bytes to read: of a disk, where it ends.
pub(crate) fn length(file: &fs::File, found: &Found) -> Result<u64, Error> {
    if found.kind == FileKind::Disk {
        return rustix::fs::seek(file, SeekFrom::End(0)).at("find the end of", &found.real);
    }
    Ok(file.metadata().at("look at", &found.real)?.len())
}

/// The next range of data from `from` on, holes skipped; `None`: only holes to the end.
pub(crate) fn next_data(file: &fs::File, from: u64, end: u64) -> Option<(u64, u64)> {
    if from >= end {
        return None;
    }
    match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(data) if data >= end => None,
        Ok(data) => {
            let hole = rustix::fs::seek(file, SeekFrom::Hole(data)).unwrap_or(end);
            Some((data, hole.min(end).max(data + 1)))
        }
        Err(rustix::io::Errno::NXIO) => None,
        // what cannot tell is all data
        Err(_) => Some((from, end)),
    }
}

/// A disk image by its first bytes or its name.
fn image(head: &[u8], path: &Path) -> bool {
    let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|h| h.starts_with(magic));
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let known = ["img", "raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi"];
    at(510, &[0x55, 0xaa])
        || at(1080, &[0x53, 0xef])
        || at(0, b"QFI\xfb")
        || at(0, b"KDMV")
        || at(0, b"vhdxfile")
        || known.iter().any(|k| k.eq_ignore_ascii_case(extension))
}

/// How a file is cut, and why. `sparse`: fewer blocks than bytes.
pub(crate) fn cut(
    head: &[u8],
    database: Option<&'static str>,
    found: &Found,
    length: u64,
) -> (Cut, String) {
    if found.kind == FileKind::Disk {
        return (Cut::Pages, "disk".to_owned());
    }
    if let Some(name) = database {
        return (Cut::Pages, name.to_owned());
    }
    if image(head, &found.real) {
        return (Cut::Pages, "disk image".to_owned());
    }
    if length > CHUNKED_MAX {
        return (Cut::Pages, "large".to_owned());
    }
    let sparse = found.meta.blocks().saturating_mul(512) < length / 2 && length > 1 << 20;
    if sparse { (Cut::Pages, "sparse".to_owned()) } else { (Cut::Chunks, "file".to_owned()) }
}

/// The first 4 KiB.
pub(crate) fn head(file: &fs::File) -> Vec<u8> {
    let mut head = vec![0; 4096];
    let len = file.read_at(&mut head, 0).unwrap_or(0);
    head.truncate(len);
    head
}

/// Whether nothing can write there at all: a file system mounted read-only, such as a snapshot.
pub(crate) fn is_read_only(file: &fs::File) -> bool {
    let flags = rustix::fs::fstatvfs(file).map(|stat| stat.f_flag);
    flags.is_ok_and(|flags| flags.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

/// Where extended attributes are not asked for: smbnetfs 0.6.3 fails from then on (its client
/// process ends), and has none of its own.
pub(crate) fn without_xattrs() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (_, point, kind) = (words.next()?, words.next()?, words.next()?);
        // proc(5): a space is written as an octal escape
        kind.eq("fuse.smbnetfs").then(|| point.replace("\\040", " ").into())
    });
    points.collect()
}

/// Extended attributes with their values in hexadecimal.
pub(crate) fn xattrs(path: &Path) -> Vec<(String, String)> {
    let Ok(names) = xattr::list(path) else { return Vec::new() };
    let pairs = names.filter_map(|name| {
        let value = xattr::get(path, &name).ok().flatten()?;
        Some((name.to_str()?.to_owned(), crate::hash::hex(&value)))
    });
    pairs.collect()
}
