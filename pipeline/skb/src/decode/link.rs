//! Where a capture record begins: one entry per link type.
//!
//! Layouts are those of the tcpdump.org link-layer header types registry.

use super::ethernet::{self, FcsClaim};
use super::walk::{Next, Walk, be16, be32};
use super::{LayerInfo, NoteCode, tunnel};
use crate::{FrameMeta, LinkType, MacAddr};

/// `AF_INET` everywhere.
const AF_INET: u32 = 2;

/// Decodes the record.
pub(super) fn start(w: &mut Walk<'_, '_>, meta: &FrameMeta) {
    let claim = fcs_claim(meta);
    match meta.linktype {
        LinkType::ETHERNET => ethernet::frame(w, claim, None),
        LinkType::NETANALYZER => netanalyzer(w, false),
        LinkType::NETANALYZER_TRANSPARENT => netanalyzer(w, true),
        LinkType::ETHERNET_MPACKET => mpacket(w),
        other => {
            if let FcsClaim::Bytes(count) = claim {
                strip_fcs(w, count);
            }
            let next = other_link(w, other);
            w.go(next);
        }
    }
}

fn other_link(w: &mut Walk<'_, '_>, linktype: LinkType) -> Next {
    match linktype {
        LinkType::NULL => null(w, false),
        LinkType::LOOP => null(w, true),
        LinkType::RAW | LinkType::RAW_12 | LinkType::RAW_14 => {
            w.push(0, LayerInfo::Raw);
            Next::Ip
        }
        LinkType::IPV4 | LinkType::IPV6 => Next::Ip,
        LinkType::LINUX_SLL => sll(w),
        LinkType::LINUX_SLL2 => sll2(w),
        LinkType::PPP | LinkType::PPP_HDLC => Next::Ppp,
        LinkType::PPP_ETHER => super::ppp::pppoe(w, false),
        LinkType::C_HDLC => Next::Chdlc,
        LinkType::FRELAY => frame_relay(w),
        LinkType::FDDI => fddi(w),
        LinkType::ARCNET_BSD => arcnet(w, false),
        LinkType::ARCNET_LINUX => arcnet(w, true),
        LinkType::NFLOG => nflog(w),
        _ => {
            w.note(NoteCode::LinkTypeNotRead, 0, w.bytes.len());
            Next::Data
        }
    }
}

/// What the record and its interface say about an FCS, nearest first: `epb_flags` bits 5 to 8
/// (bytes), then the interface's `if_fcslen` or the pcap file header. Values that can only be
/// bits (16, 32) are read as bits: writers differ.
fn fcs_claim(meta: &FrameMeta) -> FcsClaim {
    let per_frame = meta.flags.map_or(0, |flags| flags >> 5 & 0xf) as usize;
    if per_frame != 0 {
        return FcsClaim::Bytes(per_frame);
    }
    match meta.fcs_len {
        None => FcsClaim::None,
        Some(length @ (16 | 32)) => FcsClaim::Bytes(usize::from(length) / 8),
        Some(length) => FcsClaim::Bytes(usize::from(length)),
    }
}

fn strip_fcs(w: &mut Walk<'_, '_>, count: usize) {
    w.end = w.end.saturating_sub(count);
    if w.bytes.len() > w.end {
        w.out.fcs_bytes = (w.bytes.len() - w.end) as u32;
        w.bytes = w.bytes.get(..w.end).unwrap_or(w.bytes);
    }
}

/// Four bytes in front of a frame with FCS; 241 has preamble and SFD as well. Little-endian, from
/// the low end: 8 error flags, GPIO event, transparent mode, 4 bits of version (1), 2 of port,
/// 12 of length.
fn netanalyzer(w: &mut Walk<'_, '_>, transparent: bool) {
    let Some(h) = w.take("netanalyzer", 4) else { return };
    let (status, mode) = (h[0], h[1]);
    let port = mode >> 6;
    if status != 0 {
        w.note(NoteCode::LinkError, 0, 4);
    }
    // another version has another layout
    if mode >> 2 & 0xf != 1 {
        w.malformed("netanalyzer", 4, 0);
        return;
    }
    if mode & 1 != 0 {
        // an event on an input pin, not a frame
        w.push(4, LayerInfo::NetAnalyzer { port, transparent });
        w.go(Next::Data);
        return;
    }
    w.push(4, LayerInfo::NetAnalyzer { port, transparent });
    if !transparent {
        ethernet::frame(w, FcsClaim::Bytes(4), None);
        return;
    }
    let rest = w.rest();
    let preamble = rest.iter().take(15).take_while(|b| **b == 0x55).count();
    if rest.get(preamble) != Some(&0xd5) {
        w.malformed("netanalyzer", 8, preamble);
        return;
    }
    if let Some(layer) = w.out.layers.last_mut() {
        layer.length += preamble as u32 + 1;
    }
    w.off += preamble + 1;
    ethernet::frame(w, FcsClaim::Bytes(4), Some((preamble as u8, 1)));
}

/// IEEE 802.3br clause 99.3: preamble, start mPacket delimiter, for continuation fragments a
/// fragment count, data, FCS or mCRC.
fn mpacket(w: &mut Walk<'_, '_>) {
    let Some(h) = w.take("fpp", 8) else { return };
    let smd_at = h.iter().take_while(|b| **b == 0x55).count();
    let Some(&smd) = h.get(smd_at) else {
        w.malformed("fpp", 9, 8);
        return;
    };
    let preamble = smd_at as u8;
    match smd {
        // SMD-E: express, an ordinary packet; SMD-S0..3: start of a preemptable one
        0xd5 | 0xe6 | 0x4c | 0x7f | 0xb3 => {
            w.push(smd_at + 1, LayerInfo::Mpacket { preamble, smd });
            if smd == 0xd5 || ends_with_fcs(w) {
                ethernet::frame(w, FcsClaim::Bytes(4), Some((preamble, 1)));
            } else {
                // first of several fragments: the last four bytes are an mCRC
                strip_fcs(w, 4);
                w.partial = true;
                w.go(Next::Eth);
            }
        }
        // SMD-V, SMD-R (verify, respond) and SMD-C0..3 (continuation) have no MAC header
        _ => {
            w.push(smd_at + 1, LayerInfo::Mpacket { preamble, smd });
            w.go(Next::Data);
        }
    }
}

fn ends_with_fcs(w: &Walk<'_, '_>) -> bool {
    let rest = w.rest();
    let Some(split) = rest.len().checked_sub(4) else { return false };
    let (data, fcs) = rest.split_at(split);
    crate::checksum::fcs_fits(data, fcs)
}

/// `LINKTYPE_NULL`: a four-byte address family in the byte order of the capturing machine;
/// `LINKTYPE_LOOP`: in network order.
fn null(w: &mut Walk<'_, '_>, network_order: bool) -> Next {
    let Some(h) = w.take("null", 4) else { return Next::Data };
    let big = be32(h, 0);
    let swapped = big.swap_bytes();
    // families are small numbers, so the right order is the one that makes them so; some writers
    // put a PPP or Cisco HDLC header here, whose second half is a type
    let family = match (network_order, big >> 16, swapped >> 16) {
        (true, _, _) | (_, 0, _) => big,
        (_, _, 0) => swapped,
        _ => u32::from(be16(h, 2)),
    };
    w.push(4, LayerInfo::Null { family });
    match family {
        // AF_INET; AF_INET6 on Linux, {Free,Net,Open}BSD and macOS
        AF_INET | 10 | 24 | 28 | 30 => Next::Ip,
        7 => Next::Named("osi"),
        23 => Next::Named("ipx"),
        // not a family: some write an EtherType here
        0x600..=0xffff => Next::Type(family as u16),
        _ => Next::Data,
    }
}

fn sender(h: &[u8], length: u16) -> Option<MacAddr> {
    (length == 6).then(|| MacAddr::from_slice(h))
}

fn sll(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("sll", 16) else { return Next::Data };
    let (hardware, protocol) = (be16(h, 2), be16(h, 14));
    w.push(
        16,
        LayerInfo::Sll {
            packet_type: be16(h, 0),
            hardware,
            src: sender(&h[6..], be16(h, 4)),
            protocol,
        },
    );
    cooked(hardware, protocol)
}

fn sll2(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("sll", 20) else { return Next::Data };
    let (hardware, protocol) = (be16(h, 8), be16(h, 0));
    w.push(
        20,
        LayerInfo::Sll2 {
            packet_type: h[10],
            hardware,
            if_index: be32(h, 4),
            src: sender(&h[12..], u16::from(h[11])),
            protocol,
        },
    );
    cooked(hardware, protocol)
}

/// The protocol field of a cooked capture (Linux `if_ether.h`, `if_arp.h`).
fn cooked(hardware: u16, protocol: u16) -> Next {
    match (hardware, protocol) {
        // ARPHRD_NETLINK carries no network traffic
        (824, _) => Next::Named("netlink"),
        // ARPHRD_IPGRE
        (778, ty) => Next::GreType { protocol: ty, seq: false },
        (770, _) => Next::Data,
        (_, 1) => Next::Named("ipx"),
        (_, 3) => Next::Eth,
        (_, 4) => Next::Llc,
        (_, 7) => Next::Ppp,
        (_, 0x000c) => Next::Named("can"),
        (_, 0x000d) => Next::Named("canfd"),
        (_, ty) if ty >= 1536 => Next::Type(ty),
        _ => Next::Data,
    }
}

/// Cisco HDLC: address, control, `EtherType`-like protocol.
pub(super) fn chdlc(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("chdlc", 4) else { return Next::Data };
    let (address, protocol) = (h[0], be16(h, 2));
    w.push(4, LayerInfo::Chdlc { address, protocol });
    match protocol {
        0x0800 | 0x86dd | 0x8847 | 0x8848 | 0x6558 => Next::Type(protocol),
        other => tunnel::chdlc_name(other).map_or(Next::Data, Next::Named),
    }
}

/// Q.922 address of two to four bytes, then RFC 2427, Cisco's `EtherType`, or neither.
fn frame_relay(w: &mut Walk<'_, '_>) -> Next {
    let rest = w.rest();
    // the EA bit ends the address
    let Some(last) = rest.iter().take(4).position(|b| b & 1 == 1) else {
        w.short("fr", 4);
        return Next::Data;
    };
    let address = last + 1;
    if address < 2 {
        w.malformed("fr", 2, 1);
        return Next::Data;
    }
    let dlci = match address {
        2 => u32::from(rest[0] >> 2) << 4 | u32::from(rest[1] >> 4),
        3 => u32::from(rest[0] >> 2) << 10 | u32::from(rest[1] >> 4) << 6 | u32::from(rest[2] >> 2),
        _ => {
            u32::from(rest[0] >> 2) << 17
                | u32::from(rest[1] >> 4) << 13
                | u32::from(rest[2] >> 1) << 6
                | u32::from(rest[3] >> 2)
        }
    };
    let Some(&control) = rest.get(address) else {
        w.push(address, LayerInfo::Fr { dlci, nlpid: None });
        return Next::Data;
    };
    if control != 0x03 {
        // Cisco encapsulation: an EtherType where Q.922 has the control byte
        let ty = rest.get(address..address + 2).map(|b| be16(b, 0));
        let length = if ty.is_some() { address + 2 } else { address };
        w.push(length, LayerInfo::Fr { dlci, nlpid: None });
        return match ty {
            Some(ty) if ty >= 1536 => tunnel::chdlc_name(ty).map_or(Next::Type(ty), Next::Named),
            _ => Next::Data,
        };
    }
    let mut at = address + 1;
    // RFC 2427 section 3: an optional pad byte
    if rest.get(at) == Some(&0) {
        at += 1;
    }
    let Some(&nlpid) = rest.get(at) else {
        w.push(at, LayerInfo::Fr { dlci, nlpid: None });
        return Next::Data;
    };
    at += 1;
    let info = LayerInfo::Fr { dlci, nlpid: Some(nlpid) };
    match nlpid {
        0x80 => {
            let Some(snap) = rest.get(at..at + 5) else {
                w.short("fr", at + 5);
                return Next::Data;
            };
            let (oui, pid) = (be32(snap, 0) >> 8, be16(snap, 3));
            w.push(at + 5, info);
            match (oui, pid) {
                (0, ty) => Next::Type(ty),
                (0x0080c2, 7) => Next::Eth,
                _ => Next::Data,
            }
        }
        0xcc | 0x8e => {
            w.push(at, info);
            Next::Ip
        }
        0xcf => {
            w.push(at, info);
            Next::PppNoControl
        }
        _ => {
            w.push(at, info);
            match nlpid {
                0x09 => Next::Named("lmi"),
                0x81..=0x83 => Next::Named("osi"),
                _ => Next::Data,
            }
        }
    }
}

/// Frame control and two addresses, then LLC (ISO 9314-2; registry: no padding bytes).
fn fddi(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("fddi", 13) else { return Next::Data };
    let control = h[0];
    w.push(
        13,
        LayerInfo::Fddi {
            control,
            dst: MacAddr::from_slice(&h[1..]),
            src: MacAddr::from_slice(&h[7..]),
        },
    );
    // frame format bits CLFF: 1x LLC asynchronous or synchronous
    if control & 0x30 == 0x10 { Next::Llc } else { Next::Data }
}

/// RFC 1201. Linux leaves out the flag and sequence of unfragmented frames differently: an
/// exception frame has four bytes more.
fn arcnet(w: &mut Walk<'_, '_>, linux: bool) -> Next {
    let base = if linux { 5 } else { 3 };
    let Some(h) = w.take("arcnet", base) else { return Next::Data };
    let (src, dst) = (h[0], h[1]);
    // Linux puts two bytes of offset between the addresses and the protocol
    let protocol = h[base - 1];
    let mut length = base;
    // RFC 1051 framing (240, 241) has no split flag and sequence
    if !matches!(protocol, 240 | 241) {
        let rest = w.rest();
        if linux {
            if rest.get(base) == Some(&0xff) {
                length += 4;
            }
            length += 3;
        } else {
            length += 3;
            if rest.get(base) == Some(&0xff) {
                length += 4;
            }
        }
    }
    if w.take("arcnet", length).is_none() {
        return Next::Data;
    }
    w.push(length, LayerInfo::Arcnet { src, dst, protocol });
    match protocol {
        212 | 240 | 196 => Next::Ip,
        213 | 214 | 241 => Next::Type(0x0806),
        221 => Next::Named("ddp"),
        236 | 250 => Next::Named("ipx"),
        247 => Next::Named("vines_ip"),
        205 => Next::Llc,
        _ => Next::Data,
    }
}

/// Family, version, resource, then TLVs in the byte order of the capturing machine; type 9 is
/// the packet.
fn nflog(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("nflog", 4) else { return Next::Data };
    let (family, version, group) = (h[0], h[1], be16(h, 2));
    if version != 0 {
        w.malformed("nflog", 4, 0);
        return Next::Data;
    }
    let rest = w.rest();
    let mut at = 4;
    while let Some(tlv) = rest.get(at..at + 4) {
        // lengths and types are small numbers: the order that makes them so is the right one
        let (mut length, mut ty) =
            (u16::from_le_bytes([tlv[0], tlv[1]]), u16::from_le_bytes([tlv[2], tlv[3]]));
        if ty & 0x7fff > 0xff {
            (length, ty) = (length.swap_bytes(), ty.swap_bytes());
        }
        let length = usize::from(length);
        if length < 4 || length > w.room() - at {
            w.push(at, LayerInfo::Nflog { family, group });
            w.malformed("nflog", length.max(4), w.room());
            return Next::Data;
        }
        if ty & 0x7fff == 9 {
            w.push(at + 4, LayerInfo::Nflog { family, group });
            w.end = w.off + length - 4;
            return match family {
                2 | 10 => Next::Ip,
                // AF_BRIDGE hooks see the frame without its MAC header
                _ => Next::Data,
            };
        }
        at += length.next_multiple_of(4);
    }
    w.push(at.min(rest.len()), LayerInfo::Nflog { family, group });
    Next::Data
}
