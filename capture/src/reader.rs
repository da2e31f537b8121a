//! A capture file from beginning to end, frame by frame or a batch at a time.

mod ahead;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use skb::LinkType;

use crate::batch::{Batch, Block, FrameRef};
use crate::error::{Damage, Error, Part, Problem};
use crate::format::{BlockCounts, Format, Interface, Origin, Parser, Raw, Record, Section};
use crate::source::{Progress, Source};
pub use ahead::Ahead;

/// Bytes read at once. Small enough to stay in a core's second-level cache between the kernel's
/// copy and the walk over it.
pub const BUFFER_BYTES: usize = 256 * 1024;
/// Frames in a [`Batch`] at most.
pub const BATCH_MAX: usize = 1024;

/// Reads a capture in any of the formats of [`format`](crate::format), in flat memory: one
/// buffer of [`BUFFER_BYTES`], which grows only to hold the largest frame.
#[derive(Debug)]
pub struct Reader {
    source: Source,
    parser: Parser,
    buf: Vec<u8>,
    /// `buf[start..end]` is read and not yet consumed.
    start: usize,
    end: usize,
    eof: bool,
    /// Bytes behind the buffer that are to be stepped over, while blocks are taken.
    skip: usize,
    batch: Vec<Record>,
    /// One per interface met so far.
    origins: Vec<Origin>,
    /// Met, not yet reported: the frames before it go first.
    pending: Option<Error>,
    /// No more frames.
    done: bool,
}

/// What was read so far, added up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Frames.
    pub frames: u64,
    /// Captured bytes.
    pub caplen_bytes: u64,
    /// Original bytes.
    pub origlen_bytes: u64,
    /// Frames by link type.
    pub linktypes: BTreeMap<LinkType, u64>,
    /// Frames the capturing interfaces dropped (`isb_ifdrop`), where a file says so.
    pub interface_dropped: Option<u64>,
    /// Frames the capturing systems dropped (`isb_osdrop`), where a file says so.
    pub os_dropped: Option<u64>,
    /// Blocks that are not frames.
    pub blocks: BlockCounts,
}

impl Reader {
    /// Opens a file, or standard input if the path is `-`, and reads as far as the file header:
    /// a file that is no capture is refused here.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::new(Source::open(path)?)
    }

    /// Reads from a source, see [`Reader::open`].
    pub fn new(source: Source) -> Result<Self, Error> {
        let mut reader = Self {
            source,
            parser: Parser::new(),
            buf: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
            eof: false,
            skip: 0,
            batch: Vec::with_capacity(BATCH_MAX),
            origins: Vec::new(),
            pending: None,
            done: false,
        };
        while reader.parser.format().is_none() {
            match reader.parser.step(&reader.buf[reader.start..reader.end]) {
                Ok(Raw::Need(need)) if !reader.more(need)? => {
                    return Err(reader.at_end().err().unwrap_or_else(|| {
                        reader.failed(reader.parser.damage(0, Part::Magic, EMPTY))
                    }));
                }
                Ok(Raw::Need(_)) => {}
                Ok(Raw::Other(consumed) | Raw::Frame(_, consumed)) => reader.consume(consumed)?,
                Err(damage) => return Err(reader.failed(damage)),
            }
        }
        Ok(reader)
    }

    /// The next frame; `None` at the end of the file. After an error there are no more frames.
    #[expect(clippy::should_implement_trait, reason = "lends, which Iterator cannot")]
    #[inline]
    pub fn next(&mut self) -> Result<Option<FrameRef<'_>>, Error> {
        if self.done {
            return self.ended().map(|()| None);
        }
        loop {
            match self.parser.step(&self.buf[self.start..self.end]) {
                Ok(Raw::Frame(record, consumed)) => {
                    let at = self.start;
                    // what is beyond the buffer is skipped before the frame is lent
                    if consumed > self.end - at {
                        return Ok(Some(self.frame_with_long_tail(record, consumed)));
                    }
                    self.start += consumed;
                    return Ok(Some(self.frame_at(&record, at)));
                }
                Ok(Raw::Other(consumed)) => self.consume(consumed)?,
                Ok(Raw::Need(need)) => {
                    if !self.more(need)? {
                        return self.at_end().map(|()| None);
                    }
                }
                Err(damage) => return Err(self.failed(damage)),
            }
        }
    }

    /// The next frames that are in the buffer together, at most [`BATCH_MAX`]; `None` at the end
    /// of the file. Frames before a damage come first, the error with the call after.
    pub fn next_batch(&mut self) -> Result<Option<Batch<'_>>, Error> {
        let number_first = self.parser.frames() + 1;
        let Some(held) = self.walk(BATCH_MAX)? else { return Ok(None) };
        self.meet_interfaces();
        let (bytes, records, origins) = (&self.buf[held], &self.batch[..], &self.origins[..]);
        Ok(Some(Batch { bytes, records, number_first, origins }))
    }

    /// The next frames, read into a block that stays the caller's; false at the end of the file.
    /// As many as come in one read of the block's size, from a pipe what has come.
    ///
    /// Nothing is copied but the beginning of a frame that goes on in the next block, and memory
    /// stays with its block: what one thread reads is in its core's cache, whatever others read
    /// in between. A block may be used again and again, but for one reader only.
    pub fn next_block(&mut self, block: &mut Block) -> Result<bool, Error> {
        self.lend(block);
        self.batch.clear();
        block.number_first = self.parser.frames() + 1;
        let walked = self.walk(usize::MAX);
        self.lend(block);
        let Some(held) = walked? else { return Ok(false) };
        block.held = held;
        let new = self.parser.interfaces().get(block.origins.len()..).unwrap_or_default();
        block.origins.extend(new.iter().map(Interface::origin));
        Ok(true)
    }

    /// Changes buffers with a block, and takes along what is not consumed.
    fn lend(&mut self, block: &mut Block) {
        let rest = self.end - self.start;
        block.buf.resize(block.bytes.max(rest), 0);
        block.buf[..rest].copy_from_slice(&self.buf[self.start..self.end]);
        (self.start, self.end) = (0, rest);
        std::mem::swap(&mut self.buf, &mut block.buf);
        std::mem::swap(&mut self.batch, &mut block.records);
        block.held = 0..0;
    }

    /// Fills `batch` with the next frames, at most `max`: the place in `buf` of the bytes that
    /// they count in, or `None` at the end of the file.
    fn walk(&mut self, max: usize) -> Result<Option<Range<usize>>, Error> {
        if self.done {
            return self.ended().map(|()| None);
        }
        loop {
            self.batch.clear();
            let at = self.start;
            let bytes = &self.buf[at..self.end];
            let ended = self.parser.parse_batch(bytes, &mut self.batch, max);
            let held = self.end - at;
            let mut need = 0;
            match ended {
                // frames are lent with all of their buffer: skip only when none are
                Ok(end) if end.consumed > held && !self.batch.is_empty() => {
                    self.keep(end.consumed);
                    return Ok(Some(at..at + held));
                }
                Ok(end) => {
                    self.consume(end.consumed)?;
                    need = end.need;
                }
                Err(damage) => self.pending = Some(self.failed(damage)),
            }
            if !self.batch.is_empty() {
                return Ok(Some(at..at + held));
            }
            if self.done {
                return self.ended().map(|()| None);
            }
            if need > 0 && !self.more(need)? {
                return self.at_end().map(|()| None);
            }
        }
    }

    #[inline]
    fn meet_interfaces(&mut self) {
        let new = self.parser.interfaces().get(self.origins.len()..).unwrap_or_default();
        self.origins.extend(new.iter().map(Interface::origin));
    }

    #[inline]
    fn frame_at(&self, record: &Record, at: usize) -> FrameRef<'_> {
        let interface = self.parser.interfaces().get(record.interface as usize);
        let (origin, number) = (interface.map(Interface::origin), self.parser.frames());
        FrameRef::new(record, origin, number, &self.buf[at..])
    }

    /// The file's format; known once a reader exists.
    pub fn format(&self) -> Format {
        let unknown = Format::Pcapng { big_endian: false };
        self.parser.format().unwrap_or(unknown)
    }

    /// Interfaces met so far, by global index.
    pub fn interfaces(&self) -> &[Interface] {
        self.parser.interfaces()
    }

    /// Sections met so far (a pcap file has one).
    pub fn sections(&self) -> &[Section] {
        self.parser.sections()
    }

    /// The file's name, for messages.
    pub fn name(&self) -> &str {
        self.source.name()
    }

    /// `gzip` or `zstd`, if the file is compressed.
    pub fn compression(&self) -> Option<&'static str> {
        self.source.compression()
    }

    /// How far reading has come. Counts whole buffers, so it runs ahead of the frames.
    pub fn progress(&self) -> Progress {
        self.source.progress()
    }

    /// What was read so far, added up.
    pub fn statistics(&self) -> Statistics {
        let mut sum = Statistics { blocks: *self.parser.blocks(), ..Statistics::default() };
        for interface in self.parser.interfaces() {
            sum.frames += interface.frames;
            sum.caplen_bytes += interface.caplen_bytes;
            sum.origlen_bytes += interface.origlen_bytes;
            if interface.frames > 0 {
                *sum.linktypes.entry(interface.linktype).or_default() += interface.frames;
            }
            let Some(counters) = &interface.counters else { continue };
            let add = |sum: &mut Option<u64>, value: Option<u64>| {
                if let Some(value) = value {
                    *sum = Some(sum.unwrap_or(0).saturating_add(value));
                }
            };
            add(&mut sum.interface_dropped, counters.dropped);
            add(&mut sum.os_dropped, counters.os_dropped);
        }
        sum
    }

    /// Makes `need` bytes available from `start` on, if the file has them.
    fn more(&mut self, need: usize) -> Result<bool, Error> {
        if self.eof {
            return Ok(false);
        }
        self.buf.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < need {
            if self.end == self.buf.len() {
                // doubles as bytes arrive, so that a length that lies costs no more memory
                // than twice the bytes the file has
                self.buf.resize(need.min(self.buf.len() * 2), 0);
            }
            match self.source.read(&mut self.buf[self.end..]) {
                Ok(0) => {
                    self.eof = true;
                    return Ok(false);
                }
                Ok(read) => self.end += read,
                Err(error) => {
                    self.done = true;
                    return Err(error);
                }
            }
        }
        Ok(true)
    }

    /// Steps over bytes, reading past those that are not in the buffer.
    fn consume(&mut self, bytes: usize) -> Result<(), Error> {
        let held = self.end - self.start;
        if bytes <= held {
            self.start += bytes;
            return Ok(());
        }
        let missing = bytes - held;
        self.start = self.end;
        self.step_over(missing)
    }

    fn step_over(&mut self, mut missing: usize) -> Result<(), Error> {
        while missing > 0 {
            let wanted = self.buf.len().min(missing);
            let read = match self.source.read(&mut self.buf[..wanted]) {
                Ok(read) => read,
                Err(error) => {
                    self.done = true;
                    return Err(error);
                }
            };
            if read == 0 {
                self.eof = true;
                (self.start, self.end) = (0, 0);
                let cut = self.parser.finish(&[], missing as u64);
                return cut.map_err(|damage| self.failed(damage));
            }
            missing -= read;
        }
        (self.start, self.end) = (0, 0);
        Ok(())
    }

    /// What calls after the end get: the error once, then no more frames.
    #[cold]
    fn ended(&mut self) -> Result<(), Error> {
        self.pending.take().map_or(Ok(()), Err)
    }

    /// The file has no more bytes: is this a good place to end?
    fn at_end(&mut self) -> Result<(), Error> {
        self.done = true;
        if let Some((opened, read)) = self.source.shrunk() {
            let problem = Problem::Shrunk { opened, read };
            let offset = self.parser.offset();
            let part = Part::Block;
            let damage = Damage { offset, problem, ..self.parser.damage(0, part, problem) };
            return Err(self.failed(damage));
        }
        let rest = &self.buf[self.start..self.end];
        let finished = self.parser.finish(rest, 0);
        finished.map_err(|damage| self.failed(damage))
    }

    #[cold]
    fn failed(&mut self, damage: Damage) -> Error {
        self.done = true;
        Error::Damage { object: self.source.name().to_owned(), damage }
    }

    /// A frame followed by more options than are held with it.
    #[cold]
    fn frame_with_long_tail(&mut self, record: Record, consumed: usize) -> FrameRef<'_> {
        let at = self.start;
        self.keep(consumed);
        self.frame_at(&record, at)
    }

    /// Skips what lies behind the buffer without touching what is in it. The frames held are
    /// whole: they are given, and what goes wrong here comes with the next call.
    #[cold]
    fn keep(&mut self, consumed: usize) {
        let mut missing = consumed - (self.end - self.start);
        let mut scratch = [0; 8192];
        self.start = self.end;
        while missing > 0 {
            let wanted = scratch.len().min(missing);
            match self.source.read(&mut scratch[..wanted]) {
                Ok(0) => {
                    self.eof = true;
                    self.done = true;
                    let cut = self.parser.finish(&[], missing as u64).err();
                    self.pending = cut.map(|damage| self.failed(damage));
                    return;
                }
                Ok(read) => missing -= read,
                Err(error) => {
                    self.done = true;
                    self.pending = Some(error);
                    return;
                }
            }
        }
    }
}

const EMPTY: Problem = Problem::Magic { found: [0; 8], len: 0 };
