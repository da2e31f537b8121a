//! The four rings of an AF_XDP socket: one writes, the other reads, each owns one index.
//!
//! An index counts entries since the start, modulo 2^32; its entry is that modulo the ring's size,
//! a power of two. The writer stores an entry before it moves `producer` (release), the reader
//! loads `producer` (acquire) before it looks at entries, and likewise for `consumer`.

use std::io;
use std::marker::PhantomData;
use std::mem::size_of;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{xdp_desc, xdp_ring_offset};

use super::super::sock::Mapping;

// linux/if_xdp.h
const _: () = {
    assert!(size_of::<xdp_desc>() == 16 && align_of::<xdp_desc>() == 8);
    assert!(std::mem::offset_of!(xdp_desc, len) == 8);
    assert!(std::mem::offset_of!(xdp_desc, options) == 12);
};

/// What an entry may be: `xdp_desc` in the rx and tx rings, an address in the other two.
pub(super) trait Entry: Copy {}
impl Entry for xdp_desc {}
impl Entry for u64 {}

/// A ring's shared memory.
#[derive(Debug)]
struct Shared<T> {
    map: Mapping,
    producer: usize,
    consumer: usize,
    flags: usize,
    entries: usize,
    size: u32,
    entry: PhantomData<T>,
}

impl<T: Entry> Shared<T> {
    fn map(fd: &OwnedFd, at: i64, offsets: &xdp_ring_offset, size: u32) -> io::Result<Self> {
        let [producer, consumer, flags, entries] =
            [offsets.producer, offsets.consumer, offsets.flags, offsets.desc].map(|o| o as usize);
        let len = entries + size as usize * size_of::<T>();
        // that all indices are inside is checked here and relied on below
        let aligned = [producer, consumer, flags].iter().all(|o| o % 4 == 0 && o + 4 <= len);
        if !aligned || entries % align_of::<T>() != 0 || !size.is_power_of_two() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let map = Mapping::of_socket(fd, len, at)?;
        Ok(Self { map, producer, consumer, flags, entries, size, entry: PhantomData })
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        let at: NonNull<u32> = self.at(offset);
        // SAFETY: `offset` is one of the three that `map` found aligned and inside; both sides of
        // the ring go at these words with atomic operations only.
        unsafe { AtomicU32::from_ptr(at.as_ptr()) }
    }

    fn at<U>(&self, offset: usize) -> NonNull<U> {
        debug_assert!(offset + size_of::<U>() <= self.map.len());
        // SAFETY: all callers' offsets are inside the mapping: see `map`.
        unsafe { self.map.start().byte_add(offset).cast() }
    }

    fn entry(&self, index: u32) -> NonNull<T> {
        self.at(self.entries + (index & (self.size - 1)) as usize * size_of::<T>())
    }
}

/// Our end of a ring that we fill: tx or fill.
#[derive(Debug)]
pub(super) struct Producer<T> {
    shared: Shared<T>,
    /// Entries written, published or not.
    written: u32,
    /// What `producer` says.
    published: u32,
    /// What `consumer` said when it was read last.
    consumed: u32,
}

impl<T: Entry> Producer<T> {
    pub(super) fn map(
        fd: &OwnedFd,
        at: i64,
        offsets: &xdp_ring_offset,
        size: u32,
    ) -> io::Result<Self> {
        let shared = Shared::map(fd, at, offsets, size)?;
        let consumed = shared.word(shared.consumer).load(Ordering::Acquire);
        let published = shared.word(shared.producer).load(Ordering::Relaxed);
        Ok(Self { shared, written: published, published, consumed })
    }

    /// Room for so many more entries.
    #[inline]
    pub(super) fn room(&mut self) -> u32 {
        let used = self.written.wrapping_sub(self.consumed);
        if used < self.shared.size {
            return self.shared.size - used;
        }
        self.reload();
        self.shared.size - self.written.wrapping_sub(self.consumed).min(self.shared.size)
    }

    fn reload(&mut self) {
        self.consumed = self.shared.word(self.shared.consumer).load(Ordering::Acquire);
    }

    /// Writes one entry, which the kernel sees after [`Self::publish`]. `false` when full.
    #[inline]
    pub(super) fn push(&mut self, entry: T) -> bool {
        if self.room() == 0 {
            return false;
        }
        // SAFETY: inside the ring, and the kernel has read what was there: `room` says so.
        unsafe { self.shared.entry(self.written).write(entry) };
        self.written = self.written.wrapping_add(1);
        true
    }

    /// Shows the kernel what was pushed.
    #[inline]
    pub(super) fn publish(&mut self) {
        self.published = self.written;
        self.shared.word(self.shared.producer).store(self.written, Ordering::Release);
    }

    /// Takes the entry written last back, if the kernel has not read it; to be published. Only
    /// where the kernel has not looked at the ring since it was published: it remembers how far
    /// it saw.
    pub(super) fn unpush(&mut self) -> Option<T> {
        self.reload();
        if self.written == self.consumed {
            return None;
        }
        self.written = self.written.wrapping_sub(1);
        // SAFETY: inside the ring, and written by `push`.
        Some(unsafe { self.shared.entry(self.written).read() })
    }

    /// Entries that the kernel has not yet read, as far as it tells: it may have read more.
    pub(super) fn unread(&mut self) -> u32 {
        self.reload();
        self.published.wrapping_sub(self.consumed)
    }

    /// The kernel wants to be told of new entries.
    #[inline]
    pub(super) fn wants_wakeup(&self) -> bool {
        let flags = self.shared.word(self.shared.flags).load(Ordering::Relaxed);
        flags & libc::XDP_RING_NEED_WAKEUP != 0
    }
}

/// Our end of a ring that the kernel fills: rx or completion.
#[derive(Debug)]
pub(super) struct Consumer<T> {
    shared: Shared<T>,
    consumed: u32,
    produced: u32,
}

impl<T: Entry> Consumer<T> {
    pub(super) fn map(
        fd: &OwnedFd,
        at: i64,
        offsets: &xdp_ring_offset,
        size: u32,
    ) -> io::Result<Self> {
        let shared = Shared::map(fd, at, offsets, size)?;
        let produced = shared.word(shared.producer).load(Ordering::Acquire);
        let consumed = shared.word(shared.consumer).load(Ordering::Relaxed);
        Ok(Self { shared, consumed, produced })
    }

    /// Entries there are to read.
    #[inline]
    pub(super) fn available(&mut self) -> u32 {
        if self.produced == self.consumed {
            self.produced = self.shared.word(self.shared.producer).load(Ordering::Acquire);
        }
        self.produced.wrapping_sub(self.consumed).min(self.shared.size)
    }

    /// The next entry, read and not yet given back.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.available() == 0 {
            return None;
        }
        // SAFETY: inside the ring, and the kernel has written it: `available` says so.
        let entry = unsafe { self.shared.entry(self.consumed).read() };
        self.consumed = self.consumed.wrapping_add(1);
        Some(entry)
    }

    /// Gives all entries read so far back to the kernel.
    #[inline]
    pub(super) fn release(&mut self) {
        self.shared.word(self.shared.consumer).store(self.consumed, Ordering::Release);
    }
}
