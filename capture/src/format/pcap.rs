//! pcap, after libpcap's `sf-pcap.c` and draft-ietf-opsawg-pcap.

use skb::LinkType;

use super::interface::Sums;
use super::{BatchEnd, FcsLen, Format, Interface, Kind, Parser, Raw, Record, Section, TimeUnit};
use crate::error::{Damage, Part, Problem};

/// Times in microseconds.
const MAGIC_MICROS: u32 = 0xa1b2_c3d4;
/// Times in nanoseconds.
pub(crate) const MAGIC_NANOS: u32 = 0xa1b2_3c4d;
/// Alexey Kuznetzov's variant: records have eight bytes more (interface, protocol, packet type).
const MAGIC_MODIFIED: u32 = 0xa1b2_cd34;
/// The file header's link type field says how long the FCS is (`LT_FCS_LENGTH_PRESENT`).
pub(crate) const FCS_PRESENT: u32 = 0x0400_0000;

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
const RECORD_HEADER_MODIFIED: usize = 24;

/// How far ahead of the walk lines are fetched. A record's place is known only from the record
/// before, so without this every header of a large file costs a cache miss.
pub(super) const PREFETCH_BYTES: usize = 8192;
const LINE: usize = 64;
/// Lines fetched together.
const PREFETCH_LINES: usize = 16;

/// The order of the two lengths of a record: early versions had them the other way around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lengths {
    Normal,
    /// Versions before 2.3, and DG/UX's 543.0.
    Swapped,
    /// Version 2.3 was written both ways: the larger is the original length.
    Either,
}

#[derive(Debug, Clone)]
pub(super) struct State {
    big_endian: bool,
    modified: bool,
    nanos: bool,
    lengths: Lengths,
    caplen_max: u32,
    header_len: usize,
}

impl State {
    pub(super) fn from_magic(magic: [u8; 4]) -> Option<Self> {
        let known = |magic| [MAGIC_MICROS, MAGIC_NANOS, MAGIC_MODIFIED].contains(&magic);
        let (big_endian, magic) = match (u32::from_le_bytes(magic), u32::from_be_bytes(magic)) {
            (little, _) if known(little) => (false, little),
            (_, big) if known(big) => (true, big),
            _ => return None,
        };
        let modified = magic == MAGIC_MODIFIED;
        Some(Self {
            big_endian,
            modified,
            nanos: magic == MAGIC_NANOS,
            lengths: Lengths::Normal,
            caplen_max: 0,
            header_len: if modified { RECORD_HEADER_MODIFIED } else { RECORD_HEADER },
        })
    }

    pub(super) fn header_len(&self) -> usize {
        self.header_len
    }

    /// The record at the start of `bytes`: its fields and where it ends. `Err` holds the bytes
    /// needed, or a length that cannot be.
    #[inline(always)]
    fn record<const BIG: bool>(&self, bytes: &[u8]) -> Result<(Record, usize), Stop> {
        let Some(head) = bytes.first_chunk::<RECORD_HEADER>() else {
            return Err(Stop::Need(self.header_len));
        };
        let field = |at: usize| {
            let word = [head[at], head[at + 1], head[at + 2], head[at + 3]];
            if BIG { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
        };
        let (mut caplen, mut origlen) = (field(8), field(12));
        if self.lengths != Lengths::Normal && (self.lengths == Lengths::Swapped || caplen > origlen)
        {
            (caplen, origlen) = (origlen, caplen);
        }
        if caplen > self.caplen_max {
            return Err(Stop::Caplen(caplen));
        }
        let end = self.header_len + caplen as usize;
        if end > bytes.len() {
            return Err(Stop::Need(end));
        }
        let scale = if self.nanos { 1 } else { 1000 };
        // two 32-bit fields: at most about 8.6e18, which an i64 holds
        let time_ns = i64::from(field(0)) * 1_000_000_000 + i64::from(field(4)) * scale;
        let data = self.header_len as u32;
        let record =
            Record { time_ns, data, caplen, origlen, interface: 0, options: 0, options_len: 0 };
        Ok((record, end))
    }
}

enum Stop {
    Need(usize),
    Caplen(u32),
}

impl Parser {
    #[cold]
    pub(super) fn pcap_file_header(
        &mut self,
        mut state: State,
        bytes: &[u8],
    ) -> Result<Raw, Damage> {
        let Some(head) = bytes.first_chunk::<FILE_HEADER>() else {
            return Ok(Raw::Need(FILE_HEADER));
        };
        let big = state.big_endian;
        let u16_at = |at: usize| {
            let half = [head[at], head[at + 1]];
            if big { u16::from_be_bytes(half) } else { u16::from_le_bytes(half) }
        };
        let u32_at = |at: usize| {
            let word = [head[at], head[at + 1], head[at + 2], head[at + 3]];
            if big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
        };
        let (major, minor) = (u16_at(4), u16_at(6));
        state.lengths = match (major, minor) {
            (2, 0..=2) | (543, 0) => Lengths::Swapped,
            (2, 3) => Lengths::Either,
            (2, 4) => Lengths::Normal,
            _ => {
                return Err(self.damage(4, Part::FileHeader, Problem::Version { major, minor }));
            }
        };
        let network = u32_at(20);
        let linktype = LinkType(network as u16);
        state.caplen_max = self.caplen_bound(linktype);
        let mut interface = Interface::new(0, 0, linktype, big);
        interface.snaplen = u32_at(16);
        interface.time = TimeUnit::new(if state.nanos { 9 } else { 6 }, 0);
        if network & FCS_PRESENT != 0 {
            // libpcap's reading: the top four bits count 16-bit units
            let units = (network >> 28) as u8;
            interface.fcs = Some(FcsLen { stated: units, bytes: Some(units * 2) });
        }
        self.format = Some(Format::Pcap {
            big_endian: big,
            nanoseconds: state.nanos,
            modified: state.modified,
        });
        let section = Section { big_endian: big, version: (major, minor), ..Section::default() };
        self.sections.push(section);
        self.interfaces.push(interface);
        self.kind = Kind::Pcap(state);
        self.offset += FILE_HEADER as u64;
        Ok(Raw::Other(FILE_HEADER))
    }

    #[inline]
    pub(super) fn pcap_record(&mut self, bytes: &[u8]) -> Result<Raw, Damage> {
        let Kind::Pcap(state) = &self.kind else { return Ok(Raw::Need(FILE_HEADER)) };
        let found = if state.big_endian {
            state.record::<true>(bytes)
        } else {
            state.record::<false>(bytes)
        };
        match found {
            Ok((record, consumed)) => {
                self.offset += consumed as u64;
                self.records += 1;
                self.frames += 1;
                if let Some(interface) = self.interfaces.first_mut() {
                    interface.count(record.caplen, record.origlen);
                }
                Ok(Raw::Frame(record, consumed))
            }
            Err(Stop::Need(need)) => Ok(Raw::Need(need)),
            Err(Stop::Caplen(caplen)) => Err(self.pcap_caplen(caplen)),
        }
    }

    #[cold]
    fn pcap_caplen(&self, caplen: u32) -> Damage {
        let max = match &self.kind {
            Kind::Pcap(state) => state.caplen_max,
            _ => 0,
        };
        self.damage(8, Part::RecordHeader, Problem::Caplen { caplen, max })
    }

    #[inline]
    pub(super) fn pcap_each(
        &mut self,
        bytes: &[u8],
        at: usize,
        max: usize,
        each: impl FnMut(&Record),
    ) -> Result<BatchEnd, Damage> {
        let Kind::Pcap(state) = &self.kind else {
            return Ok(BatchEnd { consumed: at, need: FILE_HEADER });
        };
        let walked = if state.big_endian {
            walk::<true>(state, bytes, at, max, each)
        } else {
            walk::<false>(state, bytes, at, max, each)
        };
        let Walked { end, sums, stop } = walked;
        if let Some(interface) = self.interfaces.first_mut() {
            interface.add(sums);
        }
        self.frames += sums.frames;
        self.records += sums.frames;
        self.offset += (end - at) as u64;
        match stop {
            None => Ok(BatchEnd { consumed: end, need: 0 }),
            Some(Stop::Need(need)) => Ok(BatchEnd { consumed: end, need }),
            Some(Stop::Caplen(caplen)) => Err(self.pcap_caplen(caplen)),
        }
    }
}

struct Walked {
    end: usize,
    sums: Sums,
    stop: Option<Stop>,
}

/// Records from `at` on until there were `max` of them or something stops the walk.
#[inline]
fn walk<const BIG: bool>(
    state: &State,
    bytes: &[u8],
    mut at: usize,
    max: usize,
    mut each: impl FnMut(&Record),
) -> Walked {
    let mut sums = Sums::default();
    let mut fetched = at;
    let mut stop = None;
    while sums.frames < max as u64 {
        // many lines now and then: how often is foreseeable, how many a frame needs is not
        while fetched < at + PREFETCH_BYTES && fetched < bytes.len() {
            for line in 0..PREFETCH_LINES {
                skb::arch::prefetch(bytes, fetched + line * LINE);
            }
            fetched += PREFETCH_LINES * LINE;
        }
        // `at` never passes the end: a record is taken only if all of it is there
        match state.record::<BIG>(&bytes[at..]) {
            Ok((mut record, consumed)) => {
                record.data += at as u32;
                sums.frames += 1;
                sums.caplen_bytes += u64::from(record.caplen);
                sums.origlen_bytes += u64::from(record.origlen);
                each(&record);
                at += consumed;
            }
            Err(why) => {
                stop = Some(why);
                break;
            }
        }
    }
    Walked { end: at, sums, stop }
}

#[cfg(test)]
mod tests;
