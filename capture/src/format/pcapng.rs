//! pcapng, after draft-ietf-opsawg-pcapng (section numbers below are its) and libpcap's
//! `sf-pcapng.c`.

mod describe;

use skb::{FrameMeta, LinkType};

use super::options::{Options, u32_of, u64_of};
use super::{Kind, NO_TIME, OBSOLETE, Parser, Raw, Record};
use crate::error::{Damage, Part, Problem};

/// Section header block (4.1); the same in both byte orders.
pub const BLOCK_SECTION: u32 = 0x0a0d_0d0a;
/// Interface description block (4.2).
pub const BLOCK_INTERFACE: u32 = 1;
/// Packet block (appendix A), superseded by [`BLOCK_ENHANCED_PACKET`].
pub const BLOCK_OBSOLETE_PACKET: u32 = 2;
/// Simple packet block (4.4).
pub const BLOCK_SIMPLE_PACKET: u32 = 3;
/// Name resolution block (4.5).
pub const BLOCK_NAME_RESOLUTION: u32 = 4;
/// Interface statistics block (4.6).
pub const BLOCK_STATISTICS: u32 = 5;
/// Enhanced packet block (4.3).
pub const BLOCK_ENHANCED_PACKET: u32 = 6;
/// Decryption secrets block (4.7).
pub const BLOCK_DECRYPTION_SECRETS: u32 = 10;
/// Custom block that may be copied (4.8).
pub const BLOCK_CUSTOM: u32 = 0x0000_0bad;
/// Custom block that should not be copied (4.8).
pub const BLOCK_CUSTOM_NO_COPY: u32 = 0x4000_0bad;
/// Shows a section's byte order (4.1).
pub const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// Interfaces a file may have over all its sections: a bound on memory, far above any real file.
pub const INTERFACES_MAX: u32 = 262_144;
/// Sections whose texts are kept.
pub const SECTIONS_KEPT_MAX: usize = 16_384;
/// Bytes of options behind a frame that are held with it; what is beyond is skipped.
pub const OPTIONS_HELD_MAX: usize = 128 * 1024;
/// Bytes of a header, interface or statistics block that are looked at.
const HELD_MAX: usize = 64 * 1024;
/// Bytes of names and comments kept per file.
pub(super) const TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Type, length, and the length again.
const BLOCK_MIN: u32 = 12;
const PACKET_FIXED: usize = 28;
const SIMPLE_FIXED: usize = 12;
const TRAILER: usize = 4;

#[derive(Debug, Clone)]
pub(super) struct State {
    big_endian: bool,
    section: u32,
    /// Global index of the section's first interface.
    interface_first: u32,
    /// A block was stepped over without being held: its length, to be met again at its end.
    trailer: Option<u32>,
}

impl State {
    pub(super) fn owes_trailer(&self) -> bool {
        self.trailer.is_some()
    }

    pub(super) fn part_of(&self, rest: &[u8]) -> Part {
        let Some(kind) = rest.first_chunk::<4>() else { return Part::Block };
        match word(*kind, self.big_endian) {
            BLOCK_SECTION => Part::SectionHeader,
            BLOCK_INTERFACE => Part::InterfaceDescription,
            BLOCK_ENHANCED_PACKET => Part::EnhancedPacket,
            BLOCK_SIMPLE_PACKET => Part::SimplePacket,
            BLOCK_OBSOLETE_PACKET => Part::ObsoletePacket,
            _ => Part::Block,
        }
    }
}

#[inline(always)]
fn word(bytes: [u8; 4], big_endian: bool) -> u32 {
    if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}

/// The 32-bit field at `at` of a block's fixed part.
#[inline(always)]
fn u32_at<const N: usize>(fixed: &[u8; N], at: usize, big_endian: bool) -> u32 {
    word([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]], big_endian)
}

#[inline(always)]
fn u16_at<const N: usize>(fixed: &[u8; N], at: usize, big_endian: bool) -> u16 {
    let half = [fixed[at], fixed[at + 1]];
    if big_endian { u16::from_be_bytes(half) } else { u16::from_le_bytes(half) }
}

/// A block's length in the file: some writers state one that is no multiple of four and pad the
/// block nevertheless (wiretap reads them so).
#[inline(always)]
fn padded(total: u32) -> usize {
    (total as usize).next_multiple_of(4)
}

impl Parser {
    #[inline]
    pub(super) fn block(&mut self, bytes: &[u8]) -> Result<Raw, Damage> {
        let Kind::Pcapng(state) = &self.kind else { return Ok(Raw::Need(BLOCK_MIN as usize)) };
        if state.trailer.is_some() {
            return self.late_trailer(bytes);
        }
        let Some(head) = bytes.first_chunk::<8>() else { return Ok(Raw::Need(8)) };
        let big = state.big_endian;
        let kind = u32_at(head, 0, big);
        if kind == BLOCK_SECTION {
            return self.section_header(bytes);
        }
        let total = u32_at(head, 4, big);
        if total < BLOCK_MIN {
            let problem = Problem::BlockLength { found: total, min: BLOCK_MIN };
            return Err(self.damage(4, Part::Block, problem));
        }
        match kind {
            BLOCK_ENHANCED_PACKET => self.packet::<false>(bytes, total, big),
            BLOCK_OBSOLETE_PACKET => self.packet::<true>(bytes, total, big),
            BLOCK_SIMPLE_PACKET => self.simple_packet(bytes, total, big),
            BLOCK_INTERFACE => self.interface_description(bytes, total, big),
            BLOCK_STATISTICS => self.interface_statistics(bytes, total, big),
            _ => {
                let consumed = self.step_over(bytes, total, big)?;
                match kind {
                    BLOCK_NAME_RESOLUTION => self.blocks.name_resolution += 1,
                    BLOCK_DECRYPTION_SECRETS => self.blocks.decryption_secrets += 1,
                    BLOCK_CUSTOM | BLOCK_CUSTOM_NO_COPY => self.blocks.custom += 1,
                    _ => self.blocks.unknown += 1,
                }
                Ok(Raw::Other(consumed))
            }
        }
    }

    /// Enhanced packet block (4.3) and the obsolete packet block (appendix A), which differ in
    /// the width of the interface number and in their options.
    #[inline]
    fn packet<const OLD: bool>(
        &mut self,
        bytes: &[u8],
        total: u32,
        big: bool,
    ) -> Result<Raw, Damage> {
        let part = if OLD { Part::ObsoletePacket } else { Part::EnhancedPacket };
        let min = (PACKET_FIXED + TRAILER) as u32;
        if total < min {
            return Err(self.damage(4, part, Problem::BlockLength { found: total, min }));
        }
        let Some(head) = bytes.first_chunk::<PACKET_FIXED>() else {
            return Ok(Raw::Need(PACKET_FIXED));
        };
        let index = if OLD { u32::from(u16_at(head, 8, big)) } else { u32_at(head, 8, big) };
        let units = u64::from(u32_at(head, 12, big)) << 32 | u64::from(u32_at(head, 16, big));
        let (caplen, origlen) = (u32_at(head, 20, big), u32_at(head, 24, big));
        let interface = self.global_interface(index, part)?;
        let (linktype, time) = {
            let interface = &self.interfaces[interface as usize];
            (interface.linktype, interface.time)
        };
        self.check_caplen(caplen, linktype, total - min, 20, part)?;
        let options = (PACKET_FIXED + caplen as usize).next_multiple_of(4);
        let body = total as usize - TRAILER;
        let held = body.min(options + OPTIONS_HELD_MAX);
        let need = if held == body { padded(total) } else { held };
        if bytes.len() < need {
            return Ok(Raw::Need(need));
        }
        // shown no more than is held, so that a frame is found however much the caller has
        let consumed = self.step_over(&bytes[..need], total, big)?;
        let record = Record {
            time_ns: time.ns(units),
            data: PACKET_FIXED as u32,
            caplen,
            origlen,
            interface,
            options: options.min(held) as u32,
            options_len: held.saturating_sub(options) as u32 | if OLD { OBSOLETE } else { 0 },
        };
        Ok(self.frame(record, consumed))
    }

    /// Simple packet block (4.4): always the section's first interface, no time, and a captured
    /// length that follows from the interface's snap length.
    fn simple_packet(&mut self, bytes: &[u8], total: u32, big: bool) -> Result<Raw, Damage> {
        let part = Part::SimplePacket;
        let min = (SIMPLE_FIXED + TRAILER) as u32;
        if total < min {
            return Err(self.damage(4, part, Problem::BlockLength { found: total, min }));
        }
        let Some(head) = bytes.first_chunk::<SIMPLE_FIXED>() else {
            return Ok(Raw::Need(SIMPLE_FIXED));
        };
        let origlen = u32_at(head, 8, big);
        let interface = self.global_interface(0, part)?;
        let described = &self.interfaces[interface as usize];
        let (linktype, snaplen) = (described.linktype, described.snaplen);
        let caplen = if snaplen == 0 { origlen } else { origlen.min(snaplen) };
        self.check_caplen(caplen, linktype, total - min, 8, part)?;
        // a block of any size around a small frame is not held
        let need = padded(total).min(SIMPLE_FIXED + caplen as usize + OPTIONS_HELD_MAX);
        if bytes.len() < need {
            return Ok(Raw::Need(need));
        }
        let consumed = self.step_over(&bytes[..need], total, big)?;
        let record = Record {
            time_ns: NO_TIME,
            data: SIMPLE_FIXED as u32,
            caplen,
            origlen,
            interface,
            options: 0,
            options_len: 0,
        };
        Ok(self.frame(record, consumed))
    }

    #[inline]
    fn frame(&mut self, record: Record, consumed: usize) -> Raw {
        self.frames += 1;
        self.interfaces[record.interface as usize].count(record.caplen, record.origlen);
        Raw::Frame(record, consumed)
    }

    #[inline]
    fn global_interface(&self, index: u32, part: Part) -> Result<u32, Damage> {
        let first = match &self.kind {
            Kind::Pcapng(state) => state.interface_first,
            _ => 0,
        };
        let count = self.interfaces.len() as u32 - first;
        if index < count {
            return Ok(first + index);
        }
        Err(self.damage(8, part, Problem::UnknownInterface { index, count }))
    }

    #[inline]
    fn check_caplen(
        &self,
        caplen: u32,
        linktype: LinkType,
        room: u32,
        field: usize,
        part: Part,
    ) -> Result<(), Damage> {
        if caplen > super::CAPLEN_MAX.min(self.caplen_cap) {
            let max = self.caplen_bound(linktype);
            if caplen > max {
                return Err(self.damage(field, part, Problem::Caplen { caplen, max }));
            }
        }
        if caplen > room {
            return Err(self.damage(field, part, Problem::CaplenPastBlock { caplen, room }));
        }
        Ok(())
    }

    /// The bytes to step over a block. If its end is in `bytes` the length there is checked now,
    /// else when it is reached.
    #[inline]
    fn step_over(&mut self, bytes: &[u8], total: u32, big: bool) -> Result<usize, Damage> {
        let end = padded(total);
        let Some(trailer) = bytes.get(..end).and_then(<[u8]>::last_chunk::<TRAILER>) else {
            if let Kind::Pcapng(state) = &mut self.kind {
                state.trailer = Some(total);
            }
            self.records += 1;
            self.offset += (end - TRAILER) as u64;
            return Ok(end - TRAILER);
        };
        let second = word(*trailer, big);
        if second != total {
            let problem = Problem::Trailer { first: total, second };
            return Err(self.damage(end - TRAILER, Part::BlockTrailer, problem));
        }
        self.records += 1;
        self.offset += end as u64;
        Ok(end)
    }

    #[cold]
    fn late_trailer(&mut self, bytes: &[u8]) -> Result<Raw, Damage> {
        let Kind::Pcapng(state) = &mut self.kind else { return Ok(Raw::Need(TRAILER)) };
        let (Some(first), Some(trailer)) = (state.trailer, bytes.first_chunk::<TRAILER>()) else {
            return Ok(Raw::Need(TRAILER));
        };
        let second = word(*trailer, state.big_endian);
        if second != first {
            let problem = Problem::Trailer { first, second };
            return Err(self.damage(0, Part::BlockTrailer, problem));
        }
        state.trailer = None;
        self.offset += TRAILER as u64;
        Ok(Raw::Other(TRAILER))
    }
}

/// Fills in what a frame's options say.
#[cold]
pub(super) fn frame_options(record: &Record, big: bool, bytes: &[u8], meta: &mut FrameMeta) {
    let old = record.options_len & OBSOLETE != 0;
    let Some(options) = bytes.get(record.options_range()) else { return };
    for option in Options::new(options, big) {
        match option.code {
            2 => meta.flags = u32_of(option.value, big).or(meta.flags),
            4 if !old => meta.drop_count = u64_of(option.value, big).or(meta.drop_count),
            5 if !old => meta.packet_id = u64_of(option.value, big).or(meta.packet_id),
            _ => {}
        }
    }
    if old {
        // the 16-bit drop count stands behind the interface number, 18 bytes before the frame
        let at = (record.data as usize).saturating_sub(18);
        if let Some(&[a, b]) = bytes.get(at..at + 2) {
            let drops = if big { u16::from_be_bytes([a, b]) } else { u16::from_le_bytes([a, b]) };
            meta.drop_count = (drops != u16::MAX).then_some(u64::from(drops));
        }
    }
    // epb_flags bits 5 to 8: octets of FCS, 0 if not known (4.3.1)
    if let Some(fcs_len) = meta.flags.map(|flags| (flags >> 5 & 0xf) as u8).filter(|len| *len != 0)
    {
        meta.fcs_len = Some(fcs_len);
    }
}

#[cfg(test)]
mod tests;
