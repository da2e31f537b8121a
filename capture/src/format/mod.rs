//! The formats without the input: bytes in, frames out, nothing owned.
//!
//! A [`Parser`] is given a slice that begins where it stopped last time and says what stands
//! there: a frame (as ranges of that slice), something else to step over, or that it needs more
//! bytes. The caller owns the bytes, so frames stay where they were read.
//!
//! ```
//! use capture::format::{Parser, Step};
//! # let file: &[u8] = &[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0,
//! #     0, 0, 4, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 60, 0, 0, 0, 7, 8, 9];
//! let (mut parser, mut at, mut frames) = (Parser::new(), 0, 0);
//! loop {
//!     match parser.parse(&file[at..])? {
//!         Step::Frame(frame) => {
//!             assert_eq!(&file[at..][frame.data], [7, 8, 9]);
//!             frames += 1;
//!             at += frame.consumed;
//!         }
//!         Step::Other { consumed } => at += consumed,
//!         Step::Need(_) => break, // here the file has no more: say so
//!     }
//! }
//! parser.finish(&file[at..], 0)?;
//! assert_eq!(frames, 1);
//! # Ok::<(), capture::Damage>(())
//! ```

mod interface;
mod options;
mod pcap;
mod pcapng;

use std::fmt;
use std::ops::Range;

use skb::{FrameMeta, LinkType};

use crate::error::{Damage, Part, Problem};

pub use interface::{
    FcsLen, Interface, InterfaceCounters, InterfaceTexts, NO_TIME, Origin, Section, TimeUnit,
};
pub use options::{COMMENT, Options, RawOption};
pub use pcapng::{
    BLOCK_CUSTOM, BLOCK_CUSTOM_NO_COPY, BLOCK_DECRYPTION_SECRETS, BLOCK_ENHANCED_PACKET,
    BLOCK_INTERFACE, BLOCK_NAME_RESOLUTION, BLOCK_OBSOLETE_PACKET, BLOCK_SECTION,
    BLOCK_SIMPLE_PACKET, BLOCK_STATISTICS, BYTE_ORDER_MAGIC, INTERFACES_MAX, OPTIONS_HELD_MAX,
    SECTIONS_KEPT_MAX,
};

pub(crate) use pcap::{FCS_PRESENT, MAGIC_NANOS};

/// Captured bytes of a frame beyond which a file is taken to be damaged: libpcap's
/// `MAXIMUM_SNAPLEN`. Some link types have larger bounds, see [`caplen_max`].
pub const CAPLEN_MAX: u32 = 262_144;

/// The most captured bytes a frame of a link type may have, as libpcap's
/// `max_snaplen_for_dlt` (`pcap-common.c`): D-Bus and USBPcap 128 MiB, EBHSCR 8 MiB,
/// all others [`CAPLEN_MAX`].
pub fn caplen_max(linktype: LinkType) -> u32 {
    match linktype.0 {
        231 | 249 => 128 * 1024 * 1024,
        279 => 8 * 1024 * 1024,
        _ => CAPLEN_MAX,
    }
}

/// One frame as the slim walk reports it: half a cache line, offsets into the slice that was
/// parsed. [`Parser::meta`] makes [`FrameMeta`] of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Nanoseconds since 1970-01-01 UTC, or [`NO_TIME`].
    pub time_ns: i64,
    /// Offset of the frame's first byte.
    pub data: u32,
    /// Bytes present.
    pub caplen: u32,
    /// Bytes the frame had.
    pub origlen: u32,
    /// Interface index, global over the file.
    pub interface: u32,
    /// Offset of the first option.
    pub options: u32,
    /// Bytes of options in the low 31 bits; the top bit marks an obsolete packet block.
    options_len: u32,
}

const OBSOLETE: u32 = 1 << 31;

impl Record {
    /// Where the frame is in the slice that was parsed.
    #[inline]
    pub fn data_range(&self) -> Range<usize> {
        self.data as usize..self.data as usize + self.caplen as usize
    }

    /// Where its options are in the slice that was parsed (empty in pcap).
    #[inline]
    pub fn options_range(&self) -> Range<usize> {
        let start = self.options as usize;
        start..start + (self.options_len & !OBSOLETE) as usize
    }

    /// All that the file says about the frame, see [`Parser::meta`].
    #[inline]
    pub fn meta(&self, origin: Option<Origin>, number: u64, bytes: &[u8]) -> FrameMeta {
        let Some(origin) = origin else { return FrameMeta { number, ..FrameMeta::default() } };
        let mut meta = FrameMeta {
            number,
            time_ns: (self.time_ns != NO_TIME).then_some(self.time_ns),
            caplen: self.caplen,
            origlen: self.origlen,
            interface: self.interface,
            section: origin.section,
            linktype: origin.linktype,
            fcs_len: origin.fcs_len,
            flags: None,
            packet_id: None,
            drop_count: None,
        };
        if self.options_len != 0 {
            pcapng::frame_options(self, origin.big_endian, bytes, &mut meta);
        }
        meta
    }
}

/// A frame with everything the file says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Number, time, lengths, interface, link type, flags.
    pub meta: FrameMeta,
    /// Where its bytes are in the slice given.
    pub data: Range<usize>,
    /// Where its pcapng options are in the slice given (empty in pcap).
    pub options: Range<usize>,
    /// Bytes to step over. More than the slice holds if what follows the frame in its block is
    /// larger than [`OPTIONS_HELD_MAX`]: then the rest is skipped unseen.
    pub consumed: usize,
}

/// What stands at the start of the slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A frame.
    Frame(Frame),
    /// A header, or a block that is not a frame.
    Other {
        /// Bytes to step over: may be more than the slice holds, as such blocks may be of any
        /// size and need not be held.
        consumed: usize,
    },
    /// The slice must have at least this many bytes, counted from its start.
    Need(usize),
}

/// How [`Parser::parse_batch`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchEnd {
    /// Bytes to step over; may be more than the slice holds (see [`Step::Other`]).
    pub consumed: usize,
    /// Bytes needed from there on to go further; 0 if only the caller's limit was reached.
    pub need: usize,
}

/// What the hot loop gets.
pub(crate) enum Raw {
    Frame(Record, usize),
    Other(usize),
    Need(usize),
}

/// Blocks of pcapng that are not frames, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlockCounts {
    /// Section header blocks.
    pub sections: u64,
    /// Interface statistics blocks.
    pub statistics: u64,
    /// Name resolution blocks.
    pub name_resolution: u64,
    /// Decryption secrets blocks (keys of captured connections: never kept, only counted).
    pub decryption_secrets: u64,
    /// Custom blocks, of both kinds.
    pub custom: u64,
    /// Blocks of types that are not known here.
    pub unknown: u64,
    /// Blocks whose options state more bytes than the block has.
    pub options_damaged: u64,
    /// Statistics of interfaces that were not described.
    pub statistics_orphaned: u64,
    /// Texts that were not kept because the file has more than 4 MiB of them.
    pub texts_dropped: u64,
}

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// pcap, in one of its variants.
    Pcap {
        /// Byte order.
        big_endian: bool,
        /// Time stamps in nanoseconds instead of microseconds.
        nanoseconds: bool,
        /// Kuznetzov's variant with eight more bytes per record.
        modified: bool,
    },
    /// pcapng; the byte order is that of the first section.
    Pcapng {
        /// Byte order.
        big_endian: bool,
    },
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = |big| if big { "big-endian" } else { "little-endian" };
        match *self {
            Self::Pcap { big_endian, nanoseconds, modified } => {
                let modified = if modified { "modified pcap" } else { "pcap" };
                let unit = if nanoseconds { "nanoseconds" } else { "microseconds" };
                write!(f, "{modified}, {}, {unit}", order(big_endian))
            }
            Self::Pcapng { big_endian } => write!(f, "pcapng, {}", order(big_endian)),
        }
    }
}

#[derive(Debug, Clone)]
enum Kind {
    Start,
    Pcap(pcap::State),
    Pcapng(pcapng::State),
}

/// Reads pcap and pcapng, whichever the first bytes show.
#[derive(Debug, Clone)]
pub struct Parser {
    kind: Kind,
    format: Option<Format>,
    /// Bytes before the slice expected next.
    offset: u64,
    /// Records or blocks completed.
    records: u64,
    frames: u64,
    sections: Vec<Section>,
    interfaces: Vec<Interface>,
    blocks: BlockCounts,
    text_bytes_left: usize,
    caplen_cap: u32,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// A parser at the start of a file.
    pub fn new() -> Self {
        Self {
            kind: Kind::Start,
            format: None,
            offset: 0,
            records: 0,
            frames: 0,
            sections: Vec::new(),
            interfaces: Vec::new(),
            blocks: BlockCounts::default(),
            text_bytes_left: pcapng::TEXT_BYTES_MAX,
            caplen_cap: u32::MAX,
        }
    }

    /// Lowers the bound on captured bytes per frame, for callers whose blocks hold no more.
    /// Has no effect on link types whose own bound ([`caplen_max`]) is lower.
    #[must_use]
    pub fn with_caplen_cap(mut self, bytes: u32) -> Self {
        self.caplen_cap = bytes;
        self
    }

    /// The file's format, once its first bytes were seen.
    pub fn format(&self) -> Option<Format> {
        self.format
    }

    /// Bytes of the (decompressed) file before the next slice.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Frames found so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Interfaces met so far, by global index.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// Sections met so far; of very many only the first [`SECTIONS_KEPT_MAX`] are kept
    /// ([`BlockCounts::sections`] counts all).
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Blocks that are not frames.
    pub fn blocks(&self) -> &BlockCounts {
        &self.blocks
    }

    /// Says what stands at the start of `bytes`, which must begin where the last step ended.
    pub fn parse(&mut self, bytes: &[u8]) -> Result<Step, Damage> {
        Ok(match self.step(bytes)? {
            Raw::Frame(record, consumed) => Step::Frame(Frame {
                meta: self.meta(&record, self.frames, bytes),
                data: record.data_range(),
                options: record.options_range(),
                consumed,
            }),
            Raw::Other(consumed) => Step::Other { consumed },
            Raw::Need(need) => Step::Need(need),
        })
    }

    /// Appends at most `max` frames of `bytes` to `out`, looking ahead of itself so that the
    /// next record's header is in the cache when it is needed.
    ///
    /// Offsets in the records count from the start of `bytes`, which is at most 2 GiB. The
    /// frames are numbered on from [`Parser::frames`] before the call. On an error, the frames
    /// in `out` are those before the damage.
    pub fn parse_batch(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<Record>,
        max: usize,
    ) -> Result<BatchEnd, Damage> {
        self.parse_each(bytes, max, |record| out.push(*record))
    }

    /// Hands at most `max` frames of `bytes` to `each`, one by one; otherwise like
    /// [`Parser::parse_batch`].
    #[inline]
    pub fn parse_each(
        &mut self,
        bytes: &[u8],
        max: usize,
        mut each: impl FnMut(&Record),
    ) -> Result<BatchEnd, Damage> {
        let bytes = &bytes[..bytes.len().min(i32::MAX as usize)];
        let (mut at, mut left) = (0, max);
        while left > 0 {
            if matches!(self.kind, Kind::Pcap(_)) {
                return self.pcap_each(bytes, at, left, each);
            }
            let Some(rest) = bytes.get(at..) else { break };
            match self.step(rest)? {
                Raw::Frame(mut record, consumed) => {
                    record.data += at as u32;
                    record.options += at as u32;
                    each(&record);
                    left -= 1;
                    at += consumed;
                    skb::arch::prefetch(bytes, at + pcap::PREFETCH_BYTES);
                }
                Raw::Other(consumed) => at += consumed,
                Raw::Need(need) => return Ok(BatchEnd { consumed: at, need }),
            }
        }
        Ok(BatchEnd { consumed: at, need: 0 })
    }

    /// To be called when the file has no more bytes: `rest` are those not consumed, `missing`
    /// the bytes that were to be stepped over but do not exist.
    pub fn finish(&mut self, rest: &[u8], missing: u64) -> Result<(), Damage> {
        if missing > 0 {
            // what was skipped ends at self.offset, which lies behind the end of the file
            let problem = Problem::Cut { need: missing, have: 0 };
            let at = self.offset - missing;
            return Err(Damage { offset: at, record: self.records, part: Part::Block, problem });
        }
        if rest.is_empty() && !matches!(self.kind, Kind::Start) && !self.owes_trailer() {
            return Ok(());
        }
        let Raw::Need(need) = self.step(rest)? else { return Ok(()) };
        if matches!(self.kind, Kind::Start) && !is_capture_magic(rest) {
            return Err(self.unknown_magic(rest));
        }
        let have = rest.len() as u64;
        let problem = Problem::Cut { need: need as u64, have };
        Err(self.damage(0, self.part_of(rest), problem))
    }

    /// All that the file says about a frame. `number` is the frame's, from 1; `bytes` the slice
    /// its record was parsed from.
    pub fn meta(&self, record: &Record, number: u64, bytes: &[u8]) -> FrameMeta {
        let interface = self.interfaces.get(record.interface as usize);
        record.meta(interface.map(Interface::origin), number, bytes)
    }

    #[inline]
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Result<Raw, Damage> {
        match &self.kind {
            Kind::Pcap(_) => self.pcap_record(bytes),
            Kind::Pcapng(_) => self.block(bytes),
            Kind::Start => self.start(bytes),
        }
    }

    fn start(&mut self, bytes: &[u8]) -> Result<Raw, Damage> {
        let Some(magic) = bytes.first_chunk::<4>() else { return Ok(Raw::Need(4)) };
        if u32::from_be_bytes(*magic) == BLOCK_SECTION {
            return self.section_header(bytes);
        }
        if let Some(state) = pcap::State::from_magic(*magic) {
            return self.pcap_file_header(state, bytes);
        }
        // what else it is may take eight bytes to tell
        if bytes.len() < 8 { Ok(Raw::Need(8)) } else { Err(self.unknown_magic(bytes)) }
    }

    #[cold]
    fn unknown_magic(&self, bytes: &[u8]) -> Damage {
        let mut found = [0; 8];
        let len = bytes.len().min(8);
        found[..len].copy_from_slice(&bytes[..len]);
        self.damage(0, Part::Magic, Problem::Magic { found, len: len as u8 })
    }

    /// Damage `ahead` bytes into the slice now parsed.
    #[cold]
    pub(crate) fn damage(&self, ahead: usize, part: Part, problem: Problem) -> Damage {
        let record = if matches!(part, Part::Magic | Part::FileHeader) {
            0
        } else {
            self.records + u64::from(part != Part::BlockTrailer || !self.owes_trailer())
        };
        Damage { offset: self.offset + ahead as u64, record, part, problem }
    }

    /// What begins at `rest`, as far as it can be told, for the message about a cut.
    fn part_of(&self, rest: &[u8]) -> Part {
        match &self.kind {
            Kind::Start if rest.starts_with(&BLOCK_SECTION.to_be_bytes()) => Part::SectionHeader,
            Kind::Start => Part::FileHeader,
            Kind::Pcap(state) if rest.len() < state.header_len() => Part::RecordHeader,
            Kind::Pcap(_) => Part::RecordData,
            Kind::Pcapng(_) if self.owes_trailer() => Part::BlockTrailer,
            Kind::Pcapng(state) => state.part_of(rest),
        }
    }

    fn owes_trailer(&self) -> bool {
        matches!(&self.kind, Kind::Pcapng(state) if state.owes_trailer())
    }

    pub(crate) fn caplen_bound(&self, linktype: LinkType) -> u32 {
        caplen_max(linktype).min(self.caplen_cap)
    }
}

/// Whether a file that begins like this is read here, as far as four bytes tell.
fn is_capture_magic(bytes: &[u8]) -> bool {
    let Some(magic) = bytes.first_chunk::<4>() else { return false };
    u32::from_be_bytes(*magic) == BLOCK_SECTION || pcap::State::from_magic(*magic).is_some()
}
