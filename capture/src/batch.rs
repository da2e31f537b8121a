//! Frames as the reader gives them: one, a batch of them, or a block that the caller owns.

use std::ops::Range;

use skb::{FrameMeta, LinkType};

use crate::format::{Options, Origin, Record};
use crate::reader::BUFFER_BYTES;

/// One frame, lent by the reader until the next call.
#[derive(Debug, Clone, Copy)]
pub struct FrameRef<'a> {
    /// What the file says about the frame.
    pub meta: FrameMeta,
    /// Its captured bytes: `meta.caplen` of them.
    pub data: &'a [u8],
    options: &'a [u8],
    big_endian: bool,
}

impl<'a> FrameRef<'a> {
    #[inline]
    pub(crate) fn new(
        record: &Record,
        origin: Option<Origin>,
        number: u64,
        bytes: &'a [u8],
    ) -> Self {
        Self {
            meta: record.meta(origin, number, bytes),
            data: bytes.get(record.data_range()).unwrap_or_default(),
            options: bytes.get(record.options_range()).unwrap_or_default(),
            big_endian: origin.is_some_and(|origin| origin.big_endian),
        }
    }

    /// The pcapng options of the frame's block, verbatim (none in pcap).
    pub fn options(&self) -> Options<'a> {
        Options::new(self.options, self.big_endian)
    }

    /// The comments on the frame (`opt_comment`).
    pub fn comments(&self) -> impl Iterator<Item = std::borrow::Cow<'a, str>> {
        self.options().comments()
    }
}

/// Frames of one buffer, lent by the reader until the next call.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) records: &'a [Record],
    pub(crate) number_first: u64,
    pub(crate) origins: &'a [Origin],
}

impl<'a> Batch<'a> {
    /// The bytes that the records' offsets count in.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The frames, in file order.
    pub fn records(&self) -> &'a [Record] {
        self.records
    }

    /// Number of the first frame, from 1; the others follow without gaps.
    pub fn number_first(&self) -> u64 {
        self.number_first
    }

    /// A frame's captured bytes.
    #[inline]
    pub fn data(&self, record: &Record) -> &'a [u8] {
        self.bytes.get(record.data_range()).unwrap_or_default()
    }

    /// What a frame has in common with all frames of its interface.
    #[inline]
    pub fn origin(&self, record: &Record) -> Option<Origin> {
        self.origins.get(record.interface as usize).copied()
    }

    /// The link type of a frame.
    #[inline]
    pub fn linktype(&self, record: &Record) -> LinkType {
        self.origin(record).map_or_else(LinkType::default, |origin| origin.linktype)
    }

    /// The frame at `index` with all that the file says about it.
    #[inline]
    pub fn frame(&self, index: usize) -> Option<FrameRef<'a>> {
        let record = self.records.get(index)?;
        let number = self.number_first + index as u64;
        Some(FrameRef::new(record, self.origin(record), number, self.bytes))
    }

    /// Fetches the first line of the frame `ahead` of `index`, if the batch has one, and the
    /// lines after it up to the usual headers' length.
    #[inline]
    pub fn prefetch(&self, index: usize, ahead: usize) {
        if let Some(record) = self.records.get(index + ahead) {
            skb::arch::prefetch(self.bytes, record.data as usize);
            skb::arch::prefetch(self.bytes, record.data as usize + 64);
        }
    }
}

/// Frames that are the caller's own, in memory that goes round: filled by
/// [`Reader::next_block`](crate::Reader::next_block) under a lock, looked at outside of it, so
/// that several threads share one reader.
#[derive(Debug)]
pub struct Block {
    /// Bytes read at once.
    pub(crate) bytes: usize,
    pub(crate) buf: Vec<u8>,
    /// Where in `buf` the bytes are that the records count in.
    pub(crate) held: Range<usize>,
    pub(crate) records: Vec<Record>,
    pub(crate) number_first: u64,
    /// Of the interfaces met so far; those of earlier blocks stay.
    pub(crate) origins: Vec<Origin>,
    /// Bytes read ahead, and how many were asked for.
    pub(crate) filled: usize,
    pub(crate) asked: usize,
    pub(crate) failed: Option<std::io::Error>,
}

impl Default for Block {
    fn default() -> Self {
        Self::with_bytes(BUFFER_BYTES)
    }
}

impl Block {
    /// For about so many bytes of frames, more if a frame is larger.
    pub fn with_bytes(bytes: usize) -> Self {
        Self {
            bytes,
            buf: Vec::new(),
            held: 0..0,
            records: Vec::new(),
            number_first: 0,
            origins: Vec::new(),
            filled: 0,
            asked: 0,
            failed: None,
        }
    }

    /// Its frames.
    pub fn batch(&self) -> Batch<'_> {
        Batch {
            bytes: self.buf.get(self.held.clone()).unwrap_or_default(),
            records: &self.records,
            number_first: self.number_first,
            origins: &self.origins,
        }
    }
}
