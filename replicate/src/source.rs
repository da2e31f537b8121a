//! What is backed up: paths walked in the catalog's order, files told apart by their bytes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::SeekFrom;

use crate::catalog::{Cut, FileKind};
use crate::error::{At, Error};

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
pub(crate) struct Walk {
    /// Paths still to come, the next one last.
    stack: Vec<(PathBuf, PathBuf)>,
    roots: HashSet<PathBuf>,
    linked: HashMap<(u64, u64), PathBuf>,
    /// Never descended into, nor read.
    except: Vec<PathBuf>,
}

impl Walk {
    pub(crate) fn new(roots: &BTreeMap<PathBuf, PathBuf>, except: Vec<PathBuf>) -> Self {
        let mut stack: Vec<_> = roots.iter().map(|(a, b)| (a.clone(), b.clone())).collect();
        stack.sort_by(|a, b| crate::catalog::order(&b.0, &a.0));
        let roots = roots.keys().cloned().collect();
        Self { stack, roots, linked: HashMap::new(), except }
    }
}

impl Iterator for Walk {
    type Item = Result<Found, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (path, real) = self.stack.pop()?;
            if self.except.contains(&real) {
                continue;
            }
            return Some(self.look(path, real));
        }
    }
}

impl Walk {
    fn look(&mut self, path: PathBuf, real: PathBuf) -> Result<Found, Error> {
        let meta = fs::symlink_metadata(&real).at("look at", &real)?;
        let kind = meta.file_type();
        let root = self.roots.contains(&path);
        let mut target = None;
        let kind = if kind.is_dir() {
            let mut names = Vec::new();
            for entry in fs::read_dir(&real).at("read", &real)? {
                names.push(entry.at("read", &real)?.file_name());
            }
            names.sort_unstable_by(|a, b| b.cmp(a));
            self.stack.extend(names.into_iter().map(|n| (path.join(&n), real.join(n))));
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

/// A database by its first bytes, or by those of its name where there are none to go by.
pub fn database(head: &[u8], path: &Path) -> Option<&'static str> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|h| h.starts_with(magic));
    let two =
        |offset: usize| head.get(offset..offset + 2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let is = |known: &[&str]| known.iter().any(|k| k.eq_ignore_ascii_case(extension));
    if at(0, b"SQLite format 3\0") {
        return Some("SQLite");
    }
    if at(0, &[0x37, 0x7f, 0x06, 0x82]) || at(0, &[0x37, 0x7f, 0x06, 0x83]) {
        return Some("SQLite WAL");
    }
    // pag_type 1 (header), hdr_page_size, hdr_ods_version with Firebird's flag (jrd/ods.h)
    let page = two(16).is_some_and(|size| (1024..=32768).contains(&size) && size.is_power_of_two());
    if at(0, &[1]) && page && two(18).is_some_and(|ods| ods & 0x8000 != 0 && ods & 0xff < 0x20) {
        return Some("Firebird");
    }
    // FIL_PAGE_TYPE of page 0 is FSP_HDR (8), big-endian; FIL_PAGE_OFFSET is 0
    if at(24, &[0, 8]) && at(4, &[0; 4]) && (is(&["ibd"]) || path.ends_with("ibdata1")) {
        return Some("InnoDB");
    }
    // pd_pagesize_version: 8192 | layout version 4, or a page that is still empty in its heap
    if two(18) == Some(0x2004) && two(12).is_some_and(|lower| lower >= 24) {
        return Some("PostgreSQL");
    }
    // page header: version 1, type 15 (file header)
    if at(0, &[1, 15]) && is(&["mdf", "ndf"]) {
        return Some("MSSQL");
    }
    if at(4, b"Standard Jet DB") || at(4, b"Standard ACE DB") {
        return Some("Access");
    }
    if is(&["4dd", "4dindx"]) {
        return Some("4D (by its name)");
    }
    None
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
pub(crate) fn cut(head: &[u8], found: &Found, length: u64) -> (Cut, String) {
    if found.kind == FileKind::Disk {
        return (Cut::Pages, "disk".to_owned());
    }
    if let Some(name) = database(head, &found.real) {
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

/// File systems whose times cannot be trusted: a server or another process keeps them.
pub(crate) fn is_remote(file: &fs::File) -> bool {
    // linux/magic.h: NFS, SMB, CIFS, SMB2, FUSE, 9P, CEPH, AFS; a file system that does not say
    const REMOTE: [u64; 8] = [
        0x6969,
        0x517b,
        0xff53_4d42,
        0xfe53_4d42,
        0x6573_5546,
        0x0102_1997,
        0x00c3_6400,
        0x5346_414f,
    ];
    rustix::fs::fstatfs(file)
        .map_or(true, |stat| REMOTE.contains(&(stat.f_type as u64 & 0xffff_ffff)))
}

/// Whether nothing can write there at all: a file system mounted read-only, such as a snapshot.
pub(crate) fn is_read_only(file: &fs::File) -> bool {
    let flags = rustix::fs::fstatvfs(file).map(|stat| stat.f_flag);
    flags.is_ok_and(|flags| flags.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

/// Inodes that any process holds open or mapped; `None` if not all processes can be looked into.
pub(crate) fn open_inodes() -> Option<HashSet<(u64, u64)>> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let mut open = HashSet::new();
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let name = process.file_name();
        let ours = name.to_str() == Some(&*std::process::id().to_string());
        if ours || !name.as_encoded_bytes()[0].is_ascii_digit() {
            continue;
        }
        for links in ["fd", "map_files"] {
            // a process that has ended holds nothing
            let Ok(entries) = fs::read_dir(process.path().join(links)) else { continue };
            let metas = entries.flatten().filter_map(|entry| fs::metadata(entry.path()).ok());
            open.extend(metas.map(|meta| (meta.dev(), meta.ino())));
        }
    }
    Some(open)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_by_their_bytes() {
        let is = |head: &[u8], path: &str| database(head, Path::new(path));
        assert_eq!(is(b"SQLite format 3\0....", "x"), Some("SQLite"));
        assert_eq!(is(&[0x37, 0x7f, 6, 0x82, 0], "x-wal"), Some("SQLite WAL"));
        let mut page = [0; 64];
        page[0] = 1;
        page[16..20].copy_from_slice(&[0, 0x40, 12, 0x80]);
        assert_eq!(is(&page, "practice.fdb"), Some("Firebird"));
        page[19] = 0;
        assert_eq!(is(&page, "practice.fdb"), None);
        assert_eq!(is(b"\0\x01\0\0Standard Jet DB\0", "x.mdb"), Some("Access"));
        assert_eq!(is(b"hello", "notes.txt"), None);
    }
}
