//! Frames ready to be sent, some hundred of them in one piece of memory.

use std::ops::Range;

use crate::verify::mark::{Mark, Seed};

/// One frame of a [`Chunk`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Recorded time in nanoseconds since 1970, or [`NO_TIME`](capture::format::NO_TIME).
    pub time_ns: i64,
    at: u32,
    len: u32,
    /// Which of the ports it leaves by.
    pub port: u16,
}

impl Entry {
    /// Its bytes, without FCS.
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// A frame of no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    fn range(&self) -> Range<usize> {
        self.at as usize..self.at as usize + self.len as usize
    }
}

/// Frames in the order of sending. Its memory goes round.
#[derive(Debug, Default, Clone)]
pub struct Chunk {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// As many as entries, or none.
    marks: Vec<Mark>,
}

impl Chunk {
    /// Its frames.
    #[inline]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The bytes of one of its frames.
    #[inline]
    pub fn frame(&self, entry: &Entry) -> &[u8] {
        self.bytes.get(entry.range()).unwrap_or_default()
    }

    /// How its frames are known again: as many as frames, or none.
    #[inline]
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Marks the frames that have no mark yet, of which the last are of frame `record` of the
    /// capture.
    pub fn mark(&mut self, seed: Seed, record: u64) {
        for entry in &self.entries[self.marks.len().min(self.entries.len())..] {
            let frame = self.bytes.get(entry.range()).unwrap_or_default();
            self.marks.push(seed.mark(frame, record));
        }
    }

    /// The frames with their bytes.
    pub fn frames(&self) -> impl Iterator<Item = (&Entry, &[u8])> {
        self.entries.iter().map(|entry| (entry, self.frame(entry)))
    }

    /// Every frame to be changed in place.
    pub fn each_mut(&mut self, mut change: impl FnMut(&mut [u8])) {
        for entry in &self.entries {
            if let Some(frame) = self.bytes.get_mut(entry.range()) {
                change(frame);
            }
        }
    }

    /// Asks the cache for the beginning of a frame.
    #[inline]
    pub fn prefetch(&self, index: usize) {
        if let Some(entry) = self.entries.get(index) {
            skb::arch::prefetch(&self.bytes, entry.at as usize);
            skb::arch::prefetch(&self.bytes, entry.at as usize + 64);
        }
    }

    /// Appends a frame made of pieces. One that does not fit 4 GiB is left out (no batch of a
    /// reader comes near).
    pub fn push(&mut self, time_ns: i64, port: u16, pieces: &[&[u8]]) {
        let at = self.bytes.len();
        for piece in pieces {
            self.bytes.extend_from_slice(piece);
        }
        let len = self.bytes.len() - at;
        let (Ok(at32), Ok(len)) = (u32::try_from(at), u32::try_from(len)) else {
            self.bytes.truncate(at);
            return;
        };
        self.entries.push(Entry { time_ns, at: at32, len, port });
    }

    /// Forgets its frames, keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.marks.clear();
    }

    /// Takes over the frames of another.
    pub fn copy_from(&mut self, other: &Self) {
        self.clear();
        self.bytes.extend_from_slice(&other.bytes);
        self.entries.extend_from_slice(&other.entries);
        self.marks.extend_from_slice(&other.marks);
    }

    /// Bytes of memory it holds.
    pub fn footprint(&self) -> usize {
        self.bytes.capacity()
            + self.entries.capacity() * size_of::<Entry>()
            + self.marks.capacity() * size_of::<Mark>()
    }

    /// Gives memory back that its frames do not need.
    pub fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.entries.shrink_to_fit();
        self.marks.shrink_to_fit();
    }
}
