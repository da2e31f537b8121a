//! What can go wrong with a capture file, as data.

use std::fmt;
use std::io;

/// Any failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {operation} {object}")]
    Io {
        /// The verb: `open`, `read`, `write`, `create`.
        operation: &'static str,
        /// The file's name as the user gave it.
        object: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is not, or from some byte on no longer, a capture that can be read.
    #[error("{object}: {damage}")]
    Damage {
        /// The file's name as the user gave it.
        object: String,
        /// Where and what.
        #[source]
        damage: Damage,
    },
    /// A compressed stream is damaged.
    #[error("{object}: damaged {compression} data at byte {offset} of the compressed file")]
    Compression {
        /// The file's name as the user gave it.
        object: String,
        /// `gzip` or `zstd`.
        compression: &'static str,
        /// Compressed bytes taken from the file so far (the damage is at or before this).
        offset: u64,
        /// What the decompressor said.
        #[source]
        source: io::Error,
    },
    /// The file is compressed with something that is not read here.
    #[error("{object}: compressed with {compression}; read are gzip and zstd, so first: {command}")]
    UnreadCompression {
        /// The file's name as the user gave it.
        object: String,
        /// `xz`, `bzip2`, `lz4`.
        compression: &'static str,
        /// The program that decompresses it.
        command: &'static str,
    },
    /// A frame or interface that the output format cannot hold.
    #[error("cannot write a frame: {what}, expected {expected}, found {found}")]
    Unwritable {
        /// The field.
        what: &'static str,
        /// The bound, in words.
        expected: &'static str,
        /// The value.
        found: i128,
    },
    /// libpcap refused a filter expression.
    #[error("filter \"{expression}\" for link type {linktype}: {message}")]
    Filter {
        /// The expression as given.
        expression: String,
        /// The link type it was compiled for.
        linktype: skb::LinkType,
        /// libpcap's words.
        message: String,
    },
    /// This build has no libpcap.
    #[error(
        "filter \"{expression}\": this build has no libpcap, which compiles filters; \
         to get it: apt-get install libpcap-dev, then \
         cargo build --release -p framewalk --features libpcap"
    )]
    NoFilters {
        /// The expression as given.
        expression: String,
    },
}

/// A place where a capture stops being readable: everything before it was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("damaged at byte {offset} ({part}{}): expected {}, found {}",
    RecordNumber(*record), Expected(problem), Found(problem))]
pub struct Damage {
    /// Byte offset from the start of the (decompressed) file.
    pub offset: u64,
    /// The pcap record or pcapng block, counted from 1; 0 in front of the first.
    pub record: u64,
    /// What was being read.
    pub part: Part,
    /// What is wrong with it.
    pub problem: Problem,
}

impl Damage {
    /// What should have been there, in words.
    pub fn expected(&self) -> String {
        Expected(&self.problem).to_string()
    }

    /// What is there instead, in words.
    pub fn found(&self) -> String {
        Found(&self.problem).to_string()
    }

    /// True if the file simply ends too early (cut short, or still being written).
    pub fn is_cut(&self) -> bool {
        matches!(self.problem, Problem::Cut { .. } | Problem::Shrunk { .. })
    }
}

/// The piece of a capture file that was being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// The first bytes of the file.
    Magic,
    /// pcap's 24-byte file header.
    FileHeader,
    /// pcap's 16-byte (modified: 24-byte) record header.
    RecordHeader,
    /// A frame's bytes in a pcap record.
    RecordData,
    /// A pcapng block of any kind, before its kind matters.
    Block,
    /// pcapng section header block.
    SectionHeader,
    /// pcapng interface description block.
    InterfaceDescription,
    /// pcapng enhanced packet block.
    EnhancedPacket,
    /// pcapng simple packet block.
    SimplePacket,
    /// pcapng packet block (obsolete).
    ObsoletePacket,
    /// The length repeated at the end of a pcapng block.
    BlockTrailer,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Magic => "magic number",
            Self::FileHeader => "pcap file header",
            Self::RecordHeader => "pcap record header",
            Self::RecordData => "pcap record data",
            Self::Block => "pcapng block",
            Self::SectionHeader => "pcapng section header block",
            Self::InterfaceDescription => "pcapng interface description block",
            Self::EnhancedPacket => "pcapng enhanced packet block",
            Self::SimplePacket => "pcapng simple packet block",
            Self::ObsoletePacket => "pcapng packet block",
            Self::BlockTrailer => "trailing length of a pcapng block",
        })
    }
}

/// What is wrong at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The file ends inside the part.
    Cut {
        /// Bytes the part has, from [`Damage::offset`].
        need: u64,
        /// Bytes that are there.
        have: u64,
    },
    /// The file became shorter while it was read.
    Shrunk {
        /// Bytes when it was opened.
        opened: u64,
        /// Bytes that could be read.
        read: u64,
    },
    /// Not a capture file we know.
    Magic {
        /// The first bytes.
        found: [u8; 8],
        /// How many of them the file has.
        len: u8,
    },
    /// A format version without a reader.
    Version {
        /// Major number.
        major: u16,
        /// Minor number.
        minor: u16,
    },
    /// A pcapng byte-order magic that is neither order of 0x1A2B3C4D.
    ByteOrder {
        /// The bytes, read as little-endian.
        found: u32,
    },
    /// A frame longer than any capture program writes.
    Caplen {
        /// Stated bytes.
        caplen: u32,
        /// The most that is accepted for the link type.
        max: u32,
    },
    /// A frame longer than the block around it.
    CaplenPastBlock {
        /// Stated bytes.
        caplen: u32,
        /// Bytes left in the block.
        room: u32,
    },
    /// A block too short for its own kind.
    BlockLength {
        /// Stated bytes.
        found: u32,
        /// The least the kind needs.
        min: u32,
    },
    /// The two lengths of a block differ.
    Trailer {
        /// At the start of the block.
        first: u32,
        /// At its end.
        second: u32,
    },
    /// A frame on an interface that was not described.
    UnknownInterface {
        /// Interface number within the section.
        index: u32,
        /// Interfaces described in the section so far.
        count: u32,
    },
    /// More interfaces than this reader keeps.
    Interfaces {
        /// The bound.
        max: u32,
    },
}

struct RecordNumber(u64);

impl fmt::Display for RecordNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, ", number {}", self.0) }
    }
}

struct Expected<'a>(&'a Problem);

impl fmt::Display for Expected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Problem::Cut { need, .. } => write!(f, "{need} bytes"),
            Problem::Shrunk { opened, .. } => {
                write!(f, "{opened} bytes, as many as the file had when it was opened")
            }
            Problem::Magic { .. } => f.write_str(
                "pcap (d4c3b2a1, a1b2c3d4; nanoseconds 4d3cb2a1, a1b23c4d; modified 34cdb2a1, \
                 a1b2cd34) or pcapng (0a0d0d0a), plain, gzip or zstd",
            ),
            Problem::Version { .. } => f.write_str("pcap 2.0 to 2.4, or pcapng 1.0 or 1.2"),
            Problem::ByteOrder { .. } => f.write_str("0x1a2b3c4d in either byte order"),
            Problem::Caplen { max, .. } => write!(f, "at most {max} captured bytes"),
            Problem::CaplenPastBlock { room, .. } => {
                write!(f, "at most the {room} bytes left in the block")
            }
            Problem::BlockLength { min, .. } => {
                write!(f, "a block of at least {min} bytes")
            }
            Problem::Trailer { first, .. } => {
                write!(f, "{first} again, the length at the start of the block")
            }
            Problem::UnknownInterface { count, .. } => {
                write!(f, "one of the {count} interfaces described in the section so far")
            }
            Problem::Interfaces { max } => write!(f, "at most {max} interfaces in a file"),
        }
    }
}

struct Found<'a>(&'a Problem);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Problem::Cut { have, .. } => write!(f, "{have} before the file ends"),
            Problem::Shrunk { read, .. } => write!(f, "only {read}: it shrank while it was read"),
            Problem::Magic { len: 0, .. } => f.write_str("an empty file"),
            Problem::Magic { found, len } => {
                let found = &found[..usize::from(*len)];
                for byte in &found[..found.len().min(4)] {
                    write!(f, "{byte:02x}")?;
                }
                match foreign_format(found) {
                    Some(name) => write!(f, ", which is {name}"),
                    None => Ok(()),
                }
            }
            Problem::Version { major, minor } => write!(f, "{major}.{minor}"),
            Problem::ByteOrder { found } => write!(f, "{found:#010x}"),
            Problem::Caplen { caplen, .. } | Problem::CaplenPastBlock { caplen, .. } => {
                write!(f, "{caplen}")
            }
            Problem::BlockLength { found, .. } => write!(f, "{found}"),
            Problem::Trailer { second, .. } => write!(f, "{second}"),
            Problem::UnknownInterface { index, .. } => write!(f, "interface {index}"),
            Problem::Interfaces { .. } => f.write_str("one more"),
        }
    }
}

/// Names capture formats (and accidents) by their first bytes, so that a person knows what they
/// have. Magic numbers as in Wireshark's `wiretap` and in RFC 1761 (snoop).
fn foreign_format(found: &[u8]) -> Option<&'static str> {
    const KNOWN: &[(&[u8], &str)] = &[
        (b"snoop\0\0\0", "Sun snoop (RFC 1761); convert it with editcap"),
        (b"GMBU", "Microsoft Network Monitor 2; convert it with editcap"),
        (b"RTSS", "Microsoft Network Monitor 1; convert it with editcap"),
        (b"TRSNIFF ", "Sniffer for DOS; convert it with editcap"),
        (b"XCP\0", "NetXRay; convert it with editcap"),
        (b"iptrace ", "AIX iptrace; convert it with editcap"),
        (&[0xac, 0x01, 0x00, 0x1c], "IXIA lcap, hardware; convert it with editcap"),
        (&[0xab, 0x01, 0x00, 0x1c], "IXIA lcap, software; convert it with editcap"),
        (&[0x0d, 0x0a, 0x0d, 0x0a], "pcapng damaged by a text-mode transfer"),
        (&[0x0a, 0x0a, 0x0a], "perhaps pcapng damaged by a text-mode transfer"),
        (b"PK\x03\x04", "a zip archive; unpack it first"),
        (b"{", "text, perhaps JSON"),
        (b"<", "text, perhaps XML"),
    ];
    KNOWN.iter().find(|(magic, _)| found.starts_with(magic)).map(|(_, name)| *name)
}
