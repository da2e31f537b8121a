//! The arena's memory: an anonymous mapping, zeroed, and only there where it was touched.

use super::PoolError;
use memmap2::MmapMut;

/// Page-aligned, so that a slot's cache lines are lines of the machine.
pub(super) struct Mem {
    map: MmapMut,
    len: usize,
}

impl Mem {
    /// `len` bytes.
    pub(super) fn new(len: usize) -> Result<Self, PoolError> {
        let map = MmapMut::map_anon(len.max(1))
            .map_err(|error| PoolError::NoMemory { bytes: len, kind: error.kind() })?;
        Ok(Self { map, len })
    }

    #[inline(always)]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    #[inline(always)]
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.map
    }
}

impl std::fmt::Debug for Mem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len)
    }
}
