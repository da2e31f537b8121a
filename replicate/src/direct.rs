//! Bytes written past the page cache: large objects, restored files.
//!
//! What a backup writes is not read again soon: through the cache it would push out what the
//! machine's users work with, and wait for pages to be found for it. Where a file system cannot
//! write directly, nothing here is used.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Addresses, offsets and lengths of direct writes are multiples of it (open(2), O_DIRECT: the
/// block size of the device, of which 4,096 bytes are the largest in use).
pub(crate) const ALIGN: usize = 4096;

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
    use std::fs;

    use super::*;

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
    fn memory_is_used_again() {
        let mut buffer = Aligned::with_capacity(1 << 20);
        buffer.extend_from_slice(&vec![7; 1 << 20]);
        let before = buffer.as_ref().as_ptr();
        assert!(aligned(buffer.as_ref()) && !aligned(&buffer.as_ref()[1..]));
        buffer.clear();
        assert_eq!(buffer.len(), 0);
        let again = Aligned::over(buffer.into_inner(), 1 << 20);
        assert_eq!(again.as_ref().as_ptr(), before, "the same memory");
    }
}
