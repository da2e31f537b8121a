//! A capture file from beginning to end, frame by frame or a batch at a time.

use std::collections::BTreeMap;
use std::path::Path;

use skb::{FrameMeta, LinkType};

use crate::error::{Damage, Error, Part, Problem};
use crate::format::{BlockCounts, Format, Interface, Options, Parser, Raw, Record, Section};
use crate::source::{Progress, Source};

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
    batch: Vec<Record>,
    /// Found, not yet reported: the frames before it go first.
    damage: Option<Damage>,
    /// No more frames.
    done: bool,
}

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
    bytes: &'a [u8],
    records: &'a [Record],
    number_first: u64,
    parser: &'a Parser,
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

    /// The link type of a frame.
    #[inline]
    pub fn linktype(&self, record: &Record) -> LinkType {
        self.parser.interfaces()[record.interface as usize].linktype
    }

    /// The frame at `index` with all that the file says about it.
    pub fn frame(&self, index: usize) -> Option<FrameRef<'a>> {
        let record = self.records.get(index)?;
        let number = self.number_first + index as u64;
        Some(frame_ref(self.parser, record, number, self.bytes))
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
            batch: Vec::with_capacity(BATCH_MAX),
            damage: None,
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
                        return self.frame_with_long_tail(record, consumed);
                    }
                    self.start += consumed;
                    let number = self.parser.frames();
                    let bytes = &self.buf[at..self.end];
                    return Ok(Some(frame_ref(&self.parser, &record, number, bytes)));
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
        if self.done {
            return self.ended().map(|()| None);
        }
        loop {
            self.batch.clear();
            let at = self.start;
            let number_first = self.parser.frames() + 1;
            let bytes = &self.buf[at..self.end];
            let ended = self.parser.parse_batch(bytes, &mut self.batch, BATCH_MAX);
            let held = self.end - at;
            let mut need = 0;
            match ended {
                // frames are lent with all of their buffer: skip only when none are
                Ok(end) if end.consumed > held && !self.batch.is_empty() => {
                    return self.batch_with_long_tail(number_first, end.consumed);
                }
                Ok(end) => {
                    self.consume(end.consumed)?;
                    need = end.need;
                }
                Err(damage) => {
                    self.damage = Some(damage);
                    self.done = true;
                }
            }
            if !self.batch.is_empty() {
                let bytes = &self.buf[at..self.end];
                let (records, parser) = (&self.batch[..], &self.parser);
                return Ok(Some(Batch { bytes, records, number_first, parser }));
            }
            if self.done {
                return self.ended().map(|()| None);
            }
            if need > 0 && !self.more(need)? {
                return self.at_end().map(|()| None);
            }
        }
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
        self.skip(missing)
    }

    fn skip(&mut self, mut missing: usize) -> Result<(), Error> {
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

    /// What calls after the end get: the damage once, then no more frames.
    #[cold]
    fn ended(&mut self) -> Result<(), Error> {
        match self.damage.take() {
            Some(damage) => Err(self.failed(damage)),
            None => Ok(()),
        }
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

    /// A frame followed by more options than are held with it. They are skipped at the next
    /// call: the frame must stay where it is.
    #[cold]
    fn frame_with_long_tail(
        &mut self,
        record: Record,
        consumed: usize,
    ) -> Result<Option<FrameRef<'_>>, Error> {
        let kept = self.keep(consumed)?;
        let number = self.parser.frames();
        Ok(Some(frame_ref(&self.parser, &record, number, &self.buf[kept..])))
    }

    #[cold]
    fn batch_with_long_tail(
        &mut self,
        number_first: u64,
        consumed: usize,
    ) -> Result<Option<Batch<'_>>, Error> {
        let kept = self.keep(consumed)?;
        let (records, parser) = (&self.batch[..], &self.parser);
        Ok(Some(Batch { bytes: &self.buf[kept..], records, number_first, parser }))
    }

    /// Skips what lies behind the buffer without touching what is in it: returns where the held
    /// bytes begin.
    fn keep(&mut self, consumed: usize) -> Result<usize, Error> {
        let (kept, end) = (self.start, self.end);
        let mut missing = consumed - (end - kept);
        let mut scratch = [0; 8192];
        self.start = self.end;
        while missing > 0 {
            let wanted = scratch.len().min(missing);
            match self.source.read(&mut scratch[..wanted]) {
                Ok(0) => {
                    // the frame is whole: it is given, and the damage with the next call
                    self.eof = true;
                    self.damage = self.parser.finish(&[], missing as u64).err();
                    self.done = true;
                    break;
                }
                Ok(read) => missing -= read,
                Err(error) => {
                    self.done = true;
                    return Err(error);
                }
            }
        }
        Ok(kept)
    }
}

const EMPTY: Problem = Problem::Magic { found: [0; 8], len: 0 };

#[inline]
fn frame_ref<'a>(
    parser: &'a Parser,
    record: &Record,
    number: u64,
    bytes: &'a [u8],
) -> FrameRef<'a> {
    let meta = parser.meta(record, number, bytes);
    let big_endian = parser
        .interfaces()
        .get(record.interface as usize)
        .is_some_and(|interface| interface.big_endian);
    FrameRef {
        meta,
        data: bytes.get(record.data_range()).unwrap_or_default(),
        options: bytes.get(record.options_range()).unwrap_or_default(),
        big_endian,
    }
}
