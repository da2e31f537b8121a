//! Whether size and times may stand for contents: only with `trust_stat`, and only where nothing is
//! known that writes without moving them.
//!
//! What moves no time, or an older one, and what is done about it:
//!
//! * a handle held open over SMB, NFS, FUSE: files there are not trusted;
//! * a local database: not trusted, told by its bytes;
//! * a store into a page that is mapped and dirty already: written back before it is hashed, so
//!   that the next store moves the time; where pages are never written back (tmpfs), not trusted;
//! * a process that has the file open or mapped: not trusted; who cannot see all trusts nothing;
//! * a power cut that keeps data and loses times: nothing is trusted after a start or a new mount;
//! * a change in the same tick of the clock as the hashing: not trusted if its time is near;
//! * `touch`, and a file renamed over another: the inode's change time and number differ.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{AtFlags, StatxFlags};

use crate::catalog::{File, FileKind};
use crate::source::Found;

/// Seconds by which a change must be older than the hashing: the coarsest clock of a local file
/// system with a change time has whole seconds.
const RACY: i64 = 2;
/// `STATX_MNT_ID_UNIQUE` (linux/stat.h, from Linux 6.8): never used again while the system runs.
const MOUNT_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// What the push before knew of the machine.
#[derive(Debug, Clone, Default)]
pub(super) struct Before {
    /// When it began, seconds since 1970.
    pub(super) started: i64,
    /// The system's run that it was in.
    pub(super) boot: String,
    /// The mounts that it read from.
    pub(super) mounts: BTreeSet<u64>,
}

/// This run of the system.
pub(super) fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// The mount that a file is reached through.
pub(super) fn mount(file: &fs::File) -> Option<u64> {
    let wanted = StatxFlags::MNT_ID | MOUNT_UNIQUE;
    let found = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, wanted).ok()?;
    let known = StatxFlags::from_bits_retain(found.stx_mask).intersects(wanted);
    known.then_some(found.stx_mnt_id)
}

/// What processes hold open, looked up when it is first asked for.
enum Seen {
    NotYet,
    Unknown,
    Inodes(HashSet<(u64, u64)>),
}

/// Judges files by their stat.
pub(super) struct Trust {
    before: Before,
    boot: String,
    /// Seconds after which a file is hashed anyway.
    every: i64,
    open: Seen,
}

impl Trust {
    pub(super) fn new(before: Before, every: i64) -> Self {
        Self { before, boot: boot(), every, open: Seen::NotYet }
    }

    /// When the contents were last hashed whole, if `is` may be taken for `was`; or why not.
    pub(super) fn judge(
        &mut self,
        found: &Found,
        file: &fs::File,
        database: bool,
        was: &File,
        is: &File,
    ) -> Result<i64, &'static str> {
        let stat = |f: &File| (f.size, f.mtime_ns, f.ctime_ns, f.inode);
        let hashed = was.hashed.unwrap_or(self.before.started);
        if stat(was) != stat(is) {
            return Err("size or times differ");
        }
        if database {
            return Err("times of a database are not trusted");
        }
        if found.kind == FileKind::Disk {
            return Err("a disk has no times to trust");
        }
        if let Some(why) = timeless(file) {
            return Err(why);
        }
        if was.moved {
            return Err("it changed while it was last hashed");
        }
        if self.boot.is_empty() || self.boot != self.before.boot {
            return Err("the system was started since: a power cut may have lost times");
        }
        if !mount(file).is_some_and(|mount| self.before.mounts.contains(&mount)) {
            return Err("the file system was mounted since: a power cut may have lost times");
        }
        if was.ctime_ns.div_euclid(1_000_000_000) + RACY > hashed {
            return Err("it had changed just before it was last hashed");
        }
        if super::now() - hashed >= self.every {
            return Err("due to be hashed whole");
        }
        if matches!(self.open, Seen::NotYet) {
            self.open = open_inodes().map_or(Seen::Unknown, Seen::Inodes);
        }
        match &self.open {
            Seen::Inodes(open) if open.contains(&(found.meta.dev(), found.meta.ino())) => {
                Err("the file is open")
            }
            Seen::Inodes(_) => Ok(hashed),
            _ => Err("open files of others cannot be seen from here (not root)"),
        }
    }
}

/// linux/magic.h, and the file systems' own headers where that has none.
const REMOTE: [u64; 12] = [
    0x6969,      // NFS
    0x517b,      // SMB
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB2
    0x6573_5546, // FUSE
    0x0102_1997, // 9P
    0x00c3_6400, // CEPH
    0x5346_414f, // AFS
    0x786f_4256, // vboxsf
    0x0116_1970, // GFS2
    0x7461_636f, // OCFS2
    0x0bd0_0bd0, // Lustre
];

fn file_system(file: &fs::File) -> Option<u64> {
    rustix::fs::fstatfs(file).ok().map(|stat| stat.f_type as u64 & 0xffff_ffff)
}

/// Whether another machine, or another process, keeps the file.
pub(super) fn is_remote(file: &fs::File) -> bool {
    file_system(file).is_some_and(|kind| REMOTE.contains(&kind))
}

/// Why times on a file's file system say little of contents.
fn timeless(file: &fs::File) -> Option<&'static str> {
    const MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6]; // tmpfs, ramfs
    const NO_CTIME: [u64; 2] = [0x4d44, 0x2011_bab0]; // FAT, exFAT
    let Some(kind) = file_system(file) else {
        return Some("a file system that does not say what it is");
    };
    if REMOTE.contains(&kind) {
        Some("times on a network file system are not trusted")
    } else if MEMORY.contains(&kind) {
        Some("times in memory are not trusted: pages there are never written back")
    } else if NO_CTIME.contains(&kind) {
        Some("the file system keeps no change time of its own")
    } else {
        None
    }
}

/// Inodes that any process holds open or mapped; `None` if not all processes can be looked into.
fn open_inodes() -> Option<HashSet<(u64, u64)>> {
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
