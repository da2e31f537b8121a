//! The arena's memory: an anonymous mapping, zeroed, and only there where it was touched.
//!
//! The one place of the pool with `unsafe`. Bytes are reached by range and never all at once: a
//! NIC may let the kernel write into blocks of its own ([`BlockArea`](super::BlockArea)), and no
//! slice may cover memory that somebody else is writing to.
#![allow(unsafe_code)]

use super::PoolError;
use memmap2::MmapMut;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

/// Page-aligned, so that a slot's cache lines are lines of the machine.
pub(super) struct Mem {
    at: NonNull<u8>,
    len: usize,
    /// Unmaps it with the last holder. Reached through `at` alone.
    map: Arc<MmapMut>,
}

// SAFETY: memory of the process, bound to no thread; it is written to through `&mut self` only.
unsafe impl Send for Mem {}
// SAFETY: see above.
unsafe impl Sync for Mem {}

impl Mem {
    /// `len` bytes.
    pub(super) fn new(len: usize) -> Result<Self, PoolError> {
        let none = |kind| PoolError::NoMemory { bytes: len, kind };
        let mut map = MmapMut::map_anon(len.max(1)).map_err(|error| none(error.kind()))?;
        let at = NonNull::new(map.as_mut_ptr()).ok_or(none(std::io::ErrorKind::OutOfMemory))?;
        Ok(Self { at, len, map: Arc::new(map) })
    }

    /// These bytes.
    ///
    /// # Panics
    /// Where they do not all lie in the memory, as slices do.
    #[inline(always)]
    pub(super) fn bytes(&self, Range { start, end }: Range<usize>) -> &[u8] {
        // one after the other: joined by || they cost an instruction more per frame
        if start > end {
            outside(start, end, self.len);
        }
        if end > self.len {
            outside(start, end, self.len);
        }
        // SAFETY: within the mapping, which lives as long as `self`, and which is zeroes or what
        // was written there. Nobody writes while the slice lives: our side needs `&mut self`, and
        // the kernel writes only to blocks that a NIC has all for itself and in which no frame lies
        // (`Pool::alloc_area`): nothing here names their bytes.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr().add(start), end - start) }
    }

    /// These bytes, if they all lie in the memory.
    #[inline(always)]
    pub(super) fn get(&self, Range { start, end }: Range<usize>) -> Option<&[u8]> {
        if start <= end && end <= self.len { Some(self.bytes(start..end)) } else { None }
    }

    /// These bytes for writing.
    ///
    /// # Panics
    /// Where they do not all lie in the memory, as slices do.
    #[inline(always)]
    pub(super) fn bytes_mut(&mut self, Range { start, end }: Range<usize>) -> &mut [u8] {
        // one after the other: joined by || they cost an instruction more per frame
        if start > end {
            outside(start, end, self.len);
        }
        if end > self.len {
            outside(start, end, self.len);
        }
        // SAFETY: as above, and `&mut self` makes this the only slice.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr().add(start), end - start) }
    }

    /// Copies bytes to another place; the two may overlap.
    ///
    /// # Panics
    /// Where one of them does not lie in the memory.
    #[inline(always)]
    pub(super) fn copy_within(&mut self, Range { start, end }: Range<usize>, to: usize) {
        let len = end.wrapping_sub(start);
        if start > end || end > self.len || to > self.len || len > self.len - to {
            outside(start, end, self.len);
        }
        // SAFETY: both lie within the mapping; `&mut self` keeps all slices away.
        unsafe {
            let at = self.at.as_ptr();
            std::ptr::copy(at.add(start), at.add(to), len);
        }
    }

    /// The first byte of a range that lies in the memory, and what keeps it mapped.
    pub(super) fn place(&self, range: Range<usize>) -> Option<(NonNull<u8>, Arc<MmapMut>)> {
        let start = self.get(range.clone()).map(|_| range.start)?;
        // SAFETY: within the mapping, or one past its end.
        Some((unsafe { self.at.add(start) }, Arc::clone(&self.map)))
    }
}

#[cold]
#[inline(never)]
fn outside(start: usize, end: usize, len: usize) -> ! {
    panic!("bytes {start} to {end} of a pool of {len} bytes")
}

impl std::fmt::Debug for Mem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len)
    }
}
