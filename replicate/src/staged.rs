//! A new object's file: staged beside its place, then linked to its name. Large ones are written
//! past the page cache where that is possible.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::direct::{ALIGN, Aligned, aligned};

/// Smaller objects go through the page cache.
const LEAST: u64 = 256 << 10;
/// Bytes that are gathered before they are written, unless they come aligned.
const GATHERED: usize = 1 << 20;
/// The most that one call writes.
const PIECE: usize = 4 << 20;
/// Files of one object that were left by who was killed, at most.
const LEFT_MAX: u32 = 10_000;

/// A file `OBJECT#N`, which no listing shows; removed unless it is kept.
#[derive(Debug)]
pub(crate) struct Staged {
    file: File,
    path: PathBuf,
    target: PathBuf,
    /// Whether it is written past the page cache.
    direct: bool,
    /// What is not written yet, less than [`GATHERED`] bytes.
    gathered: Aligned,
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Staged {
    /// A file for an object below `root` that is going to have so many bytes.
    pub(crate) fn new(root: &Path, name: &str, bytes: u64) -> io::Result<Self> {
        let target = root.join(name);
        make(root, target.parent().unwrap_or(root))?;
        for n in 1..LEFT_MAX {
            let path = PathBuf::from(format!("{}#{n}", target.display()));
            let opened = open(&path, bytes >= LEAST);
            match opened {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                opened => {
                    let (file, direct) = opened?;
                    return Ok(Self { file, path, target, direct, gathered: Aligned::default() });
                }
            }
        }
        Err(io::Error::other("too many puts of this object were cut off: prune sweeps them"))
    }

    /// Appends bytes.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while self.direct && !bytes.is_empty() {
            let whole = bytes.len().min(PIECE) / ALIGN * ALIGN;
            let taken = if self.gathered.len() == 0 && whole > 0 && aligned(bytes) {
                self.write_past(&bytes[..whole])?;
                whole
            } else {
                self.gather(bytes)?
            };
            bytes = &bytes[taken..];
        }
        self.file.write_all(bytes)
    }

    /// Copies bytes to where they lie aligned, and writes them when there are enough. Returns how
    /// many were taken.
    fn gather(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut gathered = std::mem::take(&mut self.gathered);
        if gathered.len() == 0 {
            gathered = Aligned::over(gathered.into_inner(), GATHERED);
        }
        let taken = bytes.len().min(GATHERED - gathered.len());
        gathered.extend_from_slice(&bytes[..taken]);
        if gathered.len() == GATHERED {
            self.write_past(gathered.as_ref())?;
            gathered.clear();
        }
        self.gathered = gathered;
        Ok(taken)
    }

    /// Writes aligned bytes past the cache; through it from then on where a device has larger
    /// blocks, or has taken part of a block.
    fn write_past(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::InvalidInput && self.direct => {
                    self.through_cache()?;
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn through_cache(&mut self) -> io::Result<()> {
        fcntl_setfl(&self.file, fcntl_getfl(&self.file)? - OFlags::DIRECT)?;
        self.direct = false;
        Ok(())
    }

    /// Everything that was appended is in the file, and readable.
    fn settle(&mut self) -> io::Result<()> {
        let gathered = std::mem::take(&mut self.gathered);
        let (whole, rest) = gathered.as_ref().split_at(gathered.len() / ALIGN * ALIGN);
        self.write_past(whole)?;
        if self.direct {
            self.through_cache()?;
        }
        self.file.write_all(rest)
    }

    /// All of its bytes.
    pub(crate) fn bytes(&mut self) -> io::Result<Vec<u8>> {
        self.settle()?;
        let mut bytes = vec![0; self.file.metadata()?.len() as usize];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Syncs it and gives it its name. `Ok(false)`: the name exists.
    pub(crate) fn keep(mut self) -> io::Result<bool> {
        self.settle()?;
        self.file.sync_all()?;
        let folder = self.target.parent().unwrap_or(Path::new("/")).to_owned();
        match fs::hard_link(&self.path, &self.target) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(false),
            Err(e) => return Err(e),
        }
        drop(self);
        sync(&folder).map(|()| true)
    }
}

/// Makes a folder below `root`; its name is synced if it is new.
fn make(root: &Path, folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    let mut above = folder.ancestors().skip(1).take_while(|above| above.starts_with(root));
    above.try_for_each(sync)
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes a file. Whether it is written past the cache: not where the file system refuses that.
fn open(path: &Path, direct: bool) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    if direct {
        let flag = OFlags::DIRECT.bits() as i32;
        match options.clone().custom_flags(flag).open(path) {
            Err(e) if e.kind() == ErrorKind::InvalidInput => {
                // some file systems refuse after they have made the file
                let _ = fs::remove_file(path);
            }
            opened => return Ok((opened?, true)),
        }
    }
    Ok((options.open(path)?, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts bytes in pieces of a size, from an address that is or is not aligned.
    fn put(root: &Path, bytes: &Aligned, skip: usize, piece: usize) -> bool {
        let bytes = &bytes.as_ref()[skip..];
        let mut staged = Staged::new(root, "a/b/object", bytes.len() as u64).unwrap();
        for piece in bytes.chunks(piece) {
            staged.write(piece).unwrap();
        }
        assert!(staged.bytes().unwrap() == bytes, "{} bytes by {piece}", bytes.len());
        staged.keep().unwrap()
    }

    #[test]
    fn an_object_is_put_once_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = |root: &Path| root.join("a/b/object");
        let least = LEAST as usize;
        for root in [folder.path(), memory.path()] {
            for len in [1, least - 1, least, least + ALIGN + 1, GATHERED, 5 << 20] {
                let mut bytes = Aligned::with_capacity(len + 1);
                let noise: Vec<_> = (0..=len).map(|n| (n * 31 + n / 4096) as u8).collect();
                bytes.extend_from_slice(&noise);
                for (skip, piece) in [(0, 1 << 30), (1, 1 << 30), (0, 7000), (1, 256 << 10)] {
                    assert!(put(root, &bytes, skip, piece));
                    assert!(fs::read(path(root)).unwrap() == bytes.as_ref()[skip..]);
                    let mut other = Aligned::with_capacity(least);
                    other.extend_from_slice(&vec![7; least]);
                    assert!(!put(root, &other, 0, 1 << 20), "not replaced");
                    assert!(fs::read(path(root)).unwrap() == bytes.as_ref()[skip..]);
                    assert_eq!(fs::read_dir(root.join("a/b")).unwrap().count(), 1);
                    fs::remove_file(path(root)).unwrap();
                }
            }
        }
    }

    #[test]
    fn what_is_not_kept_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut staged = Staged::new(folder.path(), "object", LEAST).unwrap();
        staged.write(&[1; 5000]).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(staged);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
