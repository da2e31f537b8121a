//! The memory that an AF_XDP socket and its user share: equal slots, each for one frame.

use std::io;

use libc::xdp_umem_reg;

use super::super::sock::Mapping;

// linux/if_xdp.h
const _: () = assert!(size_of::<xdp_umem_reg>() == 32);

/// Slots of one size, a power of two.
#[derive(Debug)]
pub(super) struct Umem {
    map: Mapping,
    slot_bytes: usize,
}

impl Umem {
    pub(super) fn new(slots: u32, slot_bytes: u32) -> io::Result<Self> {
        debug_assert!(slot_bytes.is_power_of_two());
        let slot_bytes = slot_bytes as usize;
        Ok(Self { map: Mapping::anonymous(slots as usize * slot_bytes)?, slot_bytes })
    }

    /// What the kernel is told of it.
    pub(super) fn registration(&self) -> xdp_umem_reg {
        xdp_umem_reg {
            addr: self.map.start().as_ptr().addr() as u64,
            len: self.map.len() as u64,
            chunk_size: self.slot_bytes as u32,
            headroom: 0,
            flags: 0,
            tx_metadata_len: 0,
        }
    }

    /// The offset of a slot's first byte, by which descriptors name it.
    #[inline]
    pub(super) fn address(&self, slot: u32) -> u64 {
        slot as u64 * self.slot_bytes as u64
    }

    /// The slot in which the byte at `address` lies.
    #[inline]
    pub(super) fn slot(&self, address: u64) -> u32 {
        (address / self.slot_bytes as u64) as u32
    }

    /// Bytes of a slot.
    #[inline]
    pub(super) fn slot_bytes(&self) -> usize {
        self.slot_bytes
    }

    /// Copies a frame into a slot. `false` if it does not fit.
    #[inline]
    pub(super) fn write(&mut self, slot: u32, frame: &[u8]) -> bool {
        let at = slot as usize * self.slot_bytes;
        if frame.len() > self.slot_bytes || at + self.slot_bytes > self.map.len() {
            return false;
        }
        // SAFETY: inside the mapping. Nobody of ours holds a reference to it (`read` borrows
        // `self`); the kernel only reads slots that are to be sent, and at worst sends the frame
        // that came into the slot meanwhile.
        unsafe {
            let to = self.map.start().as_ptr().add(at);
            std::ptr::copy_nonoverlapping(frame.as_ptr(), to, frame.len());
        }
        true
    }

    /// `len` bytes at `address`; `None` where they are not inside.
    ///
    /// # Safety
    /// The kernel must not write there while the result lives: the slot came out of the rx ring
    /// and is not back in the fill ring.
    #[inline]
    pub(super) unsafe fn read(&self, address: u64, len: u32) -> Option<&[u8]> {
        let (at, len) = (usize::try_from(address).ok()?, len as usize);
        if at.checked_add(len)? > self.map.len() {
            return None;
        }
        // SAFETY: inside the mapping, all of which was zeroed; not written to, says the caller.
        Some(unsafe { std::slice::from_raw_parts(self.map.start().as_ptr().add(at), len) })
    }
}
