//! pcapng with one section, several interfaces and nanosecond times.
//! Section numbers are those of draft-ietf-opsawg-pcapng.

use std::io::Write;

use skb::LinkType;

use super::{checked_caplen, write_failed};
use crate::error::Error;
use crate::format::{
    BLOCK_ENHANCED_PACKET, BLOCK_INTERFACE, BLOCK_SECTION, BLOCK_STATISTICS, BYTE_ORDER_MAGIC,
    COMMENT, InterfaceCounters,
};

/// `if_tsresol`: nanoseconds.
const TSRESOL_NS: u8 = 9;

/// Texts of the section header block (4.1).
#[derive(Debug, Clone, Copy, Default)]
pub struct SectionSpec<'a> {
    /// `shb_hardware`.
    pub hardware: Option<&'a str>,
    /// `shb_os`.
    pub os: Option<&'a str>,
    /// `shb_userappl`: the program that writes the file.
    pub userappl: Option<&'a str>,
    /// `opt_comment`, any number.
    pub comments: &'a [&'a str],
}

/// An interface description block (4.2). Times are always in nanoseconds (`if_tsresol` 9).
#[derive(Debug, Clone, Copy, Default)]
pub struct InterfaceSpec<'a> {
    /// What the first byte of its frames is.
    pub linktype: LinkType,
    /// Snap length in bytes; 0 means no limit.
    pub snaplen: u32,
    /// `if_name`.
    pub name: Option<&'a str>,
    /// `if_description`.
    pub description: Option<&'a str>,
    /// `if_filter`: the libpcap expression that frames were chosen with.
    pub filter: Option<&'a str>,
    /// `if_speed`, in bits per second.
    pub speed_bps: Option<u64>,
    /// `if_fcslen`, written in bytes as libpcap and Wireshark read it.
    pub fcs_len: Option<u8>,
    /// `opt_comment`, any number.
    pub comments: &'a [&'a str],
}

/// `epb_verdict` (4.3): what became of the frame where it was captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpbVerdict<'a> {
    /// Type 0, bytes that only the hardware's maker explains.
    Hardware(&'a [u8]),
    /// Type 1, a Linux `TC_ACT_*` value.
    LinuxTc(u64),
    /// Type 2, a Linux `XDP_*` value.
    LinuxXdp(u64),
}

/// Options of one frame (4.3).
#[derive(Debug, Clone, Copy, Default)]
pub struct FrameOptions<'a> {
    /// `epb_flags`, verbatim.
    pub flags: Option<u32>,
    /// `epb_dropcount`: frames lost since the frame before on this interface.
    pub drop_count: Option<u64>,
    /// `epb_packetid`: the same number for the same frame on every interface it passed.
    pub packet_id: Option<u64>,
    /// `epb_queue`.
    pub queue: Option<u32>,
    /// `epb_verdict`.
    pub verdict: Option<EpbVerdict<'a>>,
    /// `opt_comment`, any number.
    pub comments: &'a [&'a str],
}

/// An interface statistics block (4.6).
#[derive(Debug, Clone, Copy, Default)]
pub struct StatisticsSpec<'a> {
    /// `opt_comment`, any number.
    pub comments: &'a [&'a str],
    /// When the counters were read, in nanoseconds since 1970.
    pub time_ns: i64,
    /// `isb_starttime`, in nanoseconds since 1970.
    pub start_ns: Option<i64>,
    /// `isb_endtime`, in nanoseconds since 1970.
    pub end_ns: Option<i64>,
    /// The counters.
    pub counters: InterfaceCounters,
}

/// Writes pcapng: one section, any number of interfaces, little-endian.
#[derive(Debug)]
pub struct PcapngWriter<W> {
    out: W,
    /// The block being put together: written with one call, kept for the next.
    block: Vec<u8>,
    linktypes: Vec<LinkType>,
}

impl<W: Write> PcapngWriter<W> {
    /// Writes the section header.
    pub fn new(out: W, section: &SectionSpec<'_>) -> Result<Self, Error> {
        let mut writer = Self { out, block: Vec::with_capacity(2048), linktypes: Vec::new() };
        writer.begin(BLOCK_SECTION);
        writer.u32(BYTE_ORDER_MAGIC);
        writer.block.extend_from_slice(&1u16.to_le_bytes());
        writer.block.extend_from_slice(&0u16.to_le_bytes());
        writer.u64(u64::MAX); // length of the section: not stated
        let options = writer.block.len();
        writer.comments(section.comments)?;
        for (code, text) in [(2, section.hardware), (3, section.os), (4, section.userappl)] {
            writer.text(code, text)?;
        }
        writer.end_options(options);
        writer.end()?;
        Ok(writer)
    }

    /// Goes on in a section that holds interfaces of these link types.
    pub(super) fn resume(out: W, linktypes: Vec<LinkType>) -> Self {
        Self { out, block: Vec::new(), linktypes }
    }

    /// Writes an interface description; the result is the number frames refer to it by.
    pub fn add_interface(&mut self, spec: &InterfaceSpec<'_>) -> Result<u32, Error> {
        self.begin(BLOCK_INTERFACE);
        self.block.extend_from_slice(&spec.linktype.0.to_le_bytes());
        self.block.extend_from_slice(&0u16.to_le_bytes());
        self.u32(spec.snaplen);
        let options = self.block.len();
        self.comments(spec.comments)?;
        self.text(2, spec.name)?;
        self.text(3, spec.description)?;
        if let Some(speed) = spec.speed_bps {
            self.option(8, &[&speed.to_le_bytes()])?;
        }
        self.option(9, &[&[TSRESOL_NS]])?;
        if let Some(filter) = spec.filter {
            // 0: a libpcap expression follows
            self.option(11, &[&[0], filter.as_bytes()])?;
        }
        if let Some(fcs_len) = spec.fcs_len {
            self.option(13, &[&[fcs_len]])?;
        }
        self.end_options(options);
        self.end()?;
        self.linktypes.push(spec.linktype);
        Ok(self.linktypes.len() as u32 - 1)
    }

    /// Writes one frame. `time_ns` is in nanoseconds since 1970, not before.
    pub fn write_frame(
        &mut self,
        interface: u32,
        time_ns: i64,
        origlen: u32,
        data: &[u8],
        options: &FrameOptions<'_>,
    ) -> Result<(), Error> {
        let linktype = self.known(interface)?;
        let caplen = checked_caplen(data, linktype)?;
        let time = time_units(time_ns)?;
        self.begin(BLOCK_ENHANCED_PACKET);
        self.u32(interface);
        self.time(time);
        self.u32(caplen);
        self.u32(origlen);
        self.block.extend_from_slice(data);
        self.pad();
        let start = self.block.len();
        self.comments(options.comments)?;
        if let Some(flags) = options.flags {
            self.option(2, &[&flags.to_le_bytes()])?;
        }
        if let Some(drop_count) = options.drop_count {
            self.option(4, &[&drop_count.to_le_bytes()])?;
        }
        if let Some(packet_id) = options.packet_id {
            self.option(5, &[&packet_id.to_le_bytes()])?;
        }
        if let Some(queue) = options.queue {
            self.option(6, &[&queue.to_le_bytes()])?;
        }
        match options.verdict {
            Some(EpbVerdict::Hardware(bytes)) => self.option(7, &[&[0], bytes])?,
            Some(EpbVerdict::LinuxTc(value)) => self.option(7, &[&[1], &value.to_le_bytes()])?,
            Some(EpbVerdict::LinuxXdp(value)) => self.option(7, &[&[2], &value.to_le_bytes()])?,
            None => {}
        }
        self.end_options(start);
        self.end()
    }

    /// Writes an interface's counters, usually when its last frame is written.
    pub fn write_statistics(
        &mut self,
        interface: u32,
        spec: &StatisticsSpec<'_>,
    ) -> Result<(), Error> {
        self.known(interface)?;
        let time = time_units(spec.time_ns)?;
        self.begin(BLOCK_STATISTICS);
        self.u32(interface);
        self.time(time);
        let options = self.block.len();
        self.comments(spec.comments)?;
        for (code, ns) in [(2, spec.start_ns), (3, spec.end_ns)] {
            let Some(ns) = ns else { continue };
            let units = time_units(ns)?;
            // the high half first, as in the block's own time
            let (high, low) = ((units >> 32) as u32, units as u32);
            self.option(code, &[&high.to_le_bytes(), &low.to_le_bytes()])?;
        }
        let counters = &spec.counters;
        for (code, value) in [
            (4, counters.received),
            (5, counters.dropped),
            (6, counters.filter_accepted),
            (7, counters.os_dropped),
            (8, counters.delivered),
        ] {
            if let Some(value) = value {
                self.option(code, &[&value.to_le_bytes()])?;
            }
        }
        self.end_options(options);
        self.end()
    }

    /// Writes out what a buffer below still holds.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.out.flush().map_err(write_failed)
    }

    /// The output, to take out what was written to memory.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Flushes, and gives the output back.
    pub fn finish(mut self) -> Result<W, Error> {
        self.flush()?;
        Ok(self.out)
    }

    fn known(&self, interface: u32) -> Result<LinkType, Error> {
        self.linktypes.get(interface as usize).copied().ok_or(Error::Unwritable {
            what: "interface",
            expected: "one that was added before",
            found: i128::from(interface),
        })
    }

    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.u32(kind);
        self.u32(0); // the length, filled in by end()
    }

    fn end(&mut self) -> Result<(), Error> {
        let total = u32::try_from(self.block.len() + 4).map_err(|_| Error::Unwritable {
            what: "block",
            expected: "at most 4 GiB",
            found: self.block.len() as i128,
        })?;
        self.block[4..8].copy_from_slice(&total.to_le_bytes());
        self.u32(total);
        self.out.write_all(&self.block).map_err(write_failed)
    }

    fn u32(&mut self, value: u32) {
        self.block.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.block.extend_from_slice(&value.to_le_bytes());
    }

    fn time(&mut self, units: u64) {
        self.u32((units >> 32) as u32);
        self.u32(units as u32);
    }

    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    fn option(&mut self, code: u16, pieces: &[&[u8]]) -> Result<(), Error> {
        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
        let stated = u16::try_from(len).map_err(|_| Error::Unwritable {
            what: "option",
            expected: "at most 65535 bytes",
            found: len as i128,
        })?;
        self.block.extend_from_slice(&code.to_le_bytes());
        self.block.extend_from_slice(&stated.to_le_bytes());
        for piece in pieces {
            self.block.extend_from_slice(piece);
        }
        self.pad();
        Ok(())
    }

    fn text(&mut self, code: u16, text: Option<&str>) -> Result<(), Error> {
        text.map_or(Ok(()), |text| self.option(code, &[text.as_bytes()]))
    }

    fn comments(&mut self, comments: &[&str]) -> Result<(), Error> {
        comments.iter().try_for_each(|comment| self.option(COMMENT, &[comment.as_bytes()]))
    }

    /// `opt_endofopt`, needed only where there were options.
    fn end_options(&mut self, start: usize) {
        if self.block.len() > start {
            self.u32(0);
        }
    }
}

/// Appends an enhanced packet block (4.3): one frame, at most 4 GiB of it. `time_ns` is in
/// nanoseconds since 1970; `flags` is `epb_flags`.
#[inline]
pub(super) fn append_frame(
    out: &mut Vec<u8>,
    interface: u32,
    time_ns: u64,
    origlen: u32,
    data: &[u8],
    flags: Option<u32>,
) {
    let padded = data.len().next_multiple_of(4);
    // type, length, interface, time twice, caplen, origlen; the length again
    let total = (28 + padded + if flags.is_some() { 12 } else { 0 } + 4) as u32;
    let mut head = [0; 28];
    let words = [
        BLOCK_ENHANCED_PACKET,
        total,
        interface,
        (time_ns >> 32) as u32,
        time_ns as u32,
        data.len() as u32,
        origlen,
    ];
    for (field, word) in head.chunks_exact_mut(4).zip(words) {
        field.copy_from_slice(&word.to_le_bytes());
    }
    out.reserve(total as usize);
    out.extend_from_slice(&head);
    out.extend_from_slice(data);
    out.extend_from_slice(&[0; 3][..padded - data.len()]);
    if let Some(flags) = flags {
        out.extend_from_slice(&[2, 0, 4, 0]);
        out.extend_from_slice(&flags.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
    }
    out.extend_from_slice(&total.to_le_bytes());
}

/// pcapng counts time from 1970 on, unsigned.
fn time_units(time_ns: i64) -> Result<u64, Error> {
    u64::try_from(time_ns).map_err(|_| Error::Unwritable {
        what: "time in ns since 1970",
        expected: "a time from 1970-01-01 on",
        found: i128::from(time_ns),
    })
}
