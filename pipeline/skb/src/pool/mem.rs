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

    #[inline(always)]
    fn is_within(&self, range: &Range<usize>) -> bool {
        range.start <= range.end && range.end <= self.len
    }

    /// These bytes.
    ///
    /// # Panics
    /// Where they do not all lie in the memory, as slices do.
    #[inline(always)]
    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        if !self.is_within(&range) {
            outside(&range, self.len);
        }
        // SAFETY: within the mapping, which lives as long as `self`, and which is zeroes or what
        // was written there. Nobody writes while the slice lives: our side needs `&mut self`, and
        // the kernel writes only to blocks that a NIC has all for itself and in which no frame lies
        // (`Pool::alloc_area`): nothing here names their bytes.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr().add(range.start), range.len()) }
    }

    /// These bytes, if they all lie in the memory.
    #[inline(always)]
    pub(super) fn get(&self, range: Range<usize>) -> Option<&[u8]> {
        if self.is_within(&range) { Some(self.bytes(range)) } else { None }
    }

    /// These bytes for writing.
    ///
    /// # Panics
    /// Where they do not all lie in the memory, as slices do.
    #[inline(always)]
    pub(super) fn bytes_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        if !self.is_within(&range) {
            outside(&range, self.len);
        }
        // SAFETY: as above, and `&mut self` makes this the only slice.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr().add(range.start), range.len()) }
    }

    /// Copies bytes to another place; the two may overlap.
    ///
    /// # Panics
    /// Where one of them does not lie in the memory.
    #[inline(always)]
    pub(super) fn copy_within(&mut self, from: Range<usize>, to: usize) {
        let target = to..to.saturating_add(from.len());
        if !self.is_within(&from) || !self.is_within(&target) {
            outside(&target, self.len);
        }
        // SAFETY: both lie within the mapping; `&mut self` keeps all slices away.
        unsafe {
            let at = self.at.as_ptr();
            std::ptr::copy(at.add(from.start), at.add(to), from.len());
        }
    }

    /// The first byte of a range that lies in the memory, and what keeps it mapped.
    pub(super) fn place(&self, range: &Range<usize>) -> Option<(NonNull<u8>, Arc<MmapMut>)> {
        if !self.is_within(range) {
            return None;
        }
        // SAFETY: within the mapping, or one past its end.
        Some((unsafe { self.at.add(range.start) }, Arc::clone(&self.map)))
    }
}

#[cold]
#[inline(never)]
fn outside(range: &Range<usize>, len: usize) -> ! {
    panic!("bytes {range:?} of a pool of {len} bytes")
}

impl std::fmt::Debug for Mem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len)
    }
}
