//! Large objects and restored files written past the page cache.
//!
//! What a backup writes is not read again soon: through the cache it would push out what the
//! machine's users work with, and wait for pages to be found for it. Where a file system cannot
//! write directly, nothing here is used.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// Addresses, offsets and lengths of direct writes are multiples of it (open(2), O_DIRECT: the
/// block size of the device, of which 4,096 bytes are the largest in use).
pub(crate) const ALIGN: usize = 4096;
/// Smaller objects go through the page cache.
const LEAST: usize = 256 << 10;
/// The most that one call writes.
const PIECE: usize = 4 << 20;

/// Bytes that can be written directly: they begin at a multiple of [`ALIGN`].
#[derive(Debug, Default)]
pub(crate) struct Aligned {
    bytes: Vec<u8>,
    /// Bytes in front of the first.
    lead: usize,
}

impl Aligned {
    /// An empty buffer with room, over what an older one allocated.
    pub(crate) fn over(mut bytes: Vec<u8>, capacity: usize) -> Self {
        bytes.clear();
        bytes.reserve(capacity + ALIGN);
        let lead = bytes.as_ptr().align_offset(ALIGN);
        // an allocator that cannot say leaves it unaligned: then it is not written directly
        let lead = if lead < ALIGN { lead } else { 0 };
        bytes.resize(lead, 0);
        Self { bytes, lead }
    }

    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self::over(Vec::new(), capacity)
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.lead
    }

    pub(crate) fn extend_from_slice(&mut self, more: &[u8]) {
        self.bytes.extend_from_slice(more);
    }

    /// Empty again.
    pub(crate) fn clear(&mut self) {
        self.bytes.truncate(self.lead);
    }

    /// The allocation, to be used again.
    pub(crate) fn into_inner(self) -> Vec<u8> {
        self.bytes
    }
}

impl AsRef<[u8]> for Aligned {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.lead..]
    }
}

/// Whether the bytes may be written directly at a multiple of [`ALIGN`].
pub(crate) fn aligned(bytes: &[u8]) -> bool {
    bytes.as_ptr().align_offset(ALIGN) == 0
}

/// Writes a new file in place of nothing, synced when this returns: the bytes first to
/// `OBJECT#N`, then linked to their name, which is how `object_store` puts files too.
///
/// `Ok(None)`: not possible here, nothing was done. `Ok(Some(false))`: the name existed already.
pub(crate) fn put(path: &Path, bytes: &[u8]) -> io::Result<Option<bool>> {
    if bytes.len() < LEAST || !aligned(bytes) {
        return Ok(None);
    }
    let Some(folder) = path.parent() else { return Ok(None) };
    make(folder)?;
    let Some((staged, mut file)) = stage(path)? else { return Ok(None) };
    let put = fill(&mut file, bytes).and_then(|()| match fs::hard_link(&staged, path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(e),
    });
    let removed = fs::remove_file(&staged);
    let put = put?;
    removed?;
    File::open(folder)?.sync_all()?;
    Ok(Some(put))
}

/// Makes a folder; its name is synced if it is new.
fn make(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    folder.ancestors().skip(1).take(2).try_for_each(|above| File::open(above)?.sync_all())
}

/// A new file beside `path`, open for direct writing.
fn stage(path: &Path) -> io::Result<Option<(PathBuf, File)>> {
    for n in 1_u32.. {
        let mut name = path.as_os_str().to_owned();
        name.push(format!("#{n}"));
        let name = PathBuf::from(name);
        let direct = OFlags::DIRECT.bits() as i32;
        match OpenOptions::new().write(true).create_new(true).custom_flags(direct).open(&name) {
            Ok(file) => return Ok(Some((name, file))),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
                // some file systems refuse after they have made the file
                let _ = fs::remove_file(&name);
                return Ok(None);
            }
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

fn fill(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    let (whole, rest) = bytes.split_at(bytes.len() / ALIGN * ALIGN);
    for piece in whole.chunks(PIECE) {
        file.write_all(piece)?;
    }
    fcntl_setfl(&*file, fcntl_getfl(&*file)? - OFlags::DIRECT)?;
    file.write_all(rest)?;
    file.sync_all()
}

/// A file that exists, open for direct writing as well; none where that is not possible.
pub(crate) fn open(path: &Path) -> Option<File> {
    OpenOptions::new().write(true).custom_flags(OFlags::DIRECT.bits() as i32).open(path).ok()
}

/// Writes at an offset: past the cache what may be, the rest through it.
pub(crate) fn write_at(
    direct: Option<&File>,
    cached: &File,
    bytes: &[u8],
    offset: u64,
) -> io::Result<()> {
    let mut done = 0;
    if let Some(direct) = direct
        && aligned(bytes)
        && offset.is_multiple_of(ALIGN as u64)
    {
        let whole = bytes.len() / ALIGN * ALIGN;
        match direct.write_all_at(&bytes[..whole], offset) {
            Ok(()) => done = whole,
            // a device with larger blocks
            Err(e) if e.kind() == ErrorKind::InvalidInput => {}
            Err(e) => return Err(e),
        }
    }
    cached.write_all_at(&bytes[done..], offset + done as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_put_once_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/object");
        for len in [LEAST, LEAST + 1, LEAST + ALIGN - 1, 5 << 20] {
            let mut buffer = Aligned::with_capacity(len);
            buffer.extend_from_slice(&vec![7; len]);
            assert!(aligned(buffer.as_ref()));
            // a file system without direct writing is no failure
            let Some(put) = put(&path, buffer.as_ref()).unwrap() else { return };
            assert!(put);
            assert_eq!(fs::read(&path).unwrap(), buffer.as_ref());
            buffer.extend_from_slice(&[8]);
            assert_eq!(super::put(&path, buffer.as_ref()).unwrap(), Some(false), "not replaced");
            assert_eq!(fs::read(&path).unwrap().len(), len);
            assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn parts_of_a_file_are_written_either_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let cached = File::create_new(&path).unwrap();
        let direct = open(&path);
        let mut buffer = Aligned::with_capacity(3 * ALIGN);
        buffer.extend_from_slice(&vec![5; 2 * ALIGN + 17]);
        for offset in [0, 4 * ALIGN, 9 * ALIGN + 1] {
            let offset = offset as u64;
            write_at(direct.as_ref(), &cached, buffer.as_ref(), offset).unwrap();
        }
        let mut expected = vec![0; 11 * ALIGN + 18];
        for at in [0, 4 * ALIGN, 9 * ALIGN + 1] {
            expected[at..at + 2 * ALIGN + 17].fill(5);
        }
        assert!(fs::read(&path).unwrap() == expected);
    }

    #[test]
    fn what_is_small_or_not_aligned_is_left_to_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("object");
        let mut buffer = Aligned::with_capacity(LEAST + 1);
        buffer.extend_from_slice(&vec![7; LEAST + 1]);
        assert_eq!(put(&path, &buffer.as_ref()[1..]).unwrap(), None);
        assert_eq!(put(&path, &buffer.as_ref()[..LEAST - 1]).unwrap(), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let before = buffer.as_ref().as_ptr();
        buffer.clear();
        assert_eq!(buffer.len(), 0);
        let again = Aligned::over(buffer.into_inner(), LEAST);
        assert_eq!(again.as_ref().as_ptr(), before, "the same memory");
    }
}
