//! MAC frames, tags, LLC, SNAP, ARP and `EtherType`s; FCS evidence and the 802.3 packet.

use std::net::Ipv4Addr;

use super::walk::{Next, Walk, be16, be32};
use super::{EthernetPacket, FcsState, LayerInfo, NoteCode, Snap, names};
use crate::MacAddr;
use crate::checksum;

/// MAC header bytes (IEEE 802.3 clause 3.1.1).
const HEADER_BYTES: usize = 14;
/// Minimum frame without FCS (IEEE 802.3 clause 4.2.3.3: 64 with).
const FRAME_MIN: usize = 60;
/// Largest standard frame without FCS and tags.
const FRAME_MAX: usize = 1514;
/// Larger than any jumbo frame a common switch carries (9216 + header and two tags).
const JUMBO_MAX: usize = 9216 + 14 + 8;
/// FCS bytes.
const FCS_BYTES: usize = 4;
/// Largest value of the length/type field that is a length (IEEE 802.3 clause 3.2.6).
const LENGTH_MAX: u16 = 1500;
/// Smallest value that is an `EtherType`.
const TYPE_MIN: u16 = 1536;

/// What is said about an FCS before the frame is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FcsClaim {
    /// Nothing.
    None,
    /// There are this many bytes.
    Bytes(usize),
}

/// Decodes a MAC frame that begins here and ends the record, and judges its FCS.
/// `captured` is the preamble and SFD that were in the capture.
pub(super) fn frame(w: &mut Walk<'_, '_>, claim: FcsClaim, captured: Option<(u8, u8)>) {
    let start = w.off;
    let whole = w.bytes;
    let length = w.end.saturating_sub(start);
    let complete = whole.len() >= w.end;
    let mut fcs = FcsState::Unknown;
    let mut fcs_bytes = 0;
    if let FcsClaim::Bytes(count) = claim {
        fcs = FcsState::Absent;
        fcs_bytes = count.min(length);
        if count > 0 {
            fcs = stated_fcs(w, start, fcs_bytes, complete);
        }
    }
    w.end -= fcs_bytes;
    if w.bytes.len() > w.end {
        w.out.fcs_bytes = (w.bytes.len() - w.end) as u32;
        w.bytes = w.bytes.get(..w.end).unwrap_or(w.bytes);
    }
    let frame_end = w.end;
    w.go(Next::Eth);
    let mut data = length - fcs_bytes;
    if claim == FcsClaim::None {
        fcs = judge_fcs(w, whole, start, frame_end, complete);
        if fcs == FcsState::Good {
            fcs_bytes = FCS_BYTES;
            w.out.fcs_bytes = FCS_BYTES as u32;
            w.note(NoteCode::FcsFound, frame_end - FCS_BYTES, FCS_BYTES);
            data -= FCS_BYTES;
            let cut = (frame_end - FCS_BYTES) as u32;
            w.out.payload.end = w.out.payload.end.min(cut).max(w.out.payload.start);
        }
    }
    tail_notes(w, start, start + data, fcs);
    size_notes(w, data, fcs_bytes > 0, captured.is_some());
    if length >= HEADER_BYTES && !super_frame(w, data) {
        packet(w, data, fcs_bytes, fcs, captured);
    }
}

/// The file or the record says that the last `count` bytes are an FCS.
fn stated_fcs(w: &mut Walk<'_, '_>, start: usize, count: usize, complete: bool) -> FcsState {
    let split = w.end - count;
    let (Some(data), Some(fcs)) = (w.bytes.get(start..split), w.bytes.get(split..w.end)) else {
        return FcsState::Unknown;
    };
    if !complete || count != FCS_BYTES {
        return FcsState::Unknown;
    }
    if checksum::fcs_fits(data, fcs) {
        FcsState::Good
    } else {
        w.note(NoteCode::FcsBad, split, count);
        FcsState::Bad
    }
}

/// Nothing says whether there is an FCS: length arithmetic, then the CRC.
fn judge_fcs(
    w: &mut Walk<'_, '_>,
    whole: &[u8],
    start: usize,
    frame_end: usize,
    complete: bool,
) -> FcsState {
    let length = frame_end - start;
    if length < FRAME_MIN + FCS_BYTES {
        return FcsState::Absent;
    }
    if let Some(content_end) = w.content_end {
        let left = frame_end.saturating_sub(content_end);
        if left < FCS_BYTES {
            return FcsState::Absent;
        }
    }
    if complete {
        let split = frame_end - FCS_BYTES;
        if let (Some(data), Some(fcs)) = (whole.get(start..split), whole.get(split..frame_end)) {
            // all zero bytes are padding or a trailer far more often than a CRC
            if fcs != [0; FCS_BYTES] && checksum::fcs_fits(data, fcs) {
                return FcsState::Good;
            }
        }
        if let Some(content_end) = w.content_end {
            let tail = whole.get(content_end.max(start)..frame_end).unwrap_or(&[]);
            if tail.iter().all(|b| *b == 0) {
                return FcsState::Absent;
            }
        }
    }
    if complete {
        w.note(NoteCode::FcsUnknown, frame_end - FCS_BYTES, FCS_BYTES);
    }
    FcsState::Unknown
}

/// Bytes after the payload that no length field covers.
fn tail_notes(w: &mut Walk<'_, '_>, start: usize, data_end: usize, fcs: FcsState) {
    let Some(content_end) = w.content_end else { return };
    let left = data_end.saturating_sub(content_end);
    if left == 0 {
        return;
    }
    // a switch that takes out or puts in tags pads to 60 with or without them
    let minimum = FRAME_MIN + 4 * usize::from(w.tags);
    let code = if data_end - start <= minimum {
        if w.content_ip { NoteCode::PaddingAfterIp } else { NoteCode::Padding }
    } else if fcs == FcsState::Unknown && left == FCS_BYTES {
        return;
    } else {
        NoteCode::Trailer
    };
    w.note(code, content_end, left);
}

fn size_notes(w: &mut Walk<'_, '_>, data: usize, has_fcs: bool, on_wire: bool) {
    if (HEADER_BYTES..FRAME_MIN).contains(&data) {
        let code = if has_fcs || on_wire { NoteCode::Runt } else { NoteCode::BelowMinimum };
        w.note(code, 0, FRAME_MIN - data);
    } else if data > FRAME_MAX + 4 * usize::from(w.tags) {
        let code = if super_frame(w, data) { NoteCode::SuperFrame } else { NoteCode::Oversize };
        w.note(code, 0, data);
    } else if w.length_zero {
        w.note(NoteCode::SuperFrame, 0, data);
    }
}

/// Evidence that the frame never was one packet on a wire: a length field of 0 (TSO), a size no
/// jumbo frame has, or TCP data of several whole segments of a common size.
fn super_frame(w: &Walk<'_, '_>, data: usize) -> bool {
    if w.length_zero || data > JUMBO_MAX {
        return true;
    }
    if data <= FRAME_MAX + 4 * usize::from(w.tags) {
        return false;
    }
    let tcp = w.out.layers.iter().find_map(|layer| match &layer.info {
        LayerInfo::Tcp(tcp) if !layer.quoted => Some(tcp.payload_length),
        _ => None,
    });
    // MTU 1500 less 40 (IPv4), 52 (with timestamps), 60 and 72 (IPv6)
    tcp.is_some_and(|bytes| {
        [1460, 1448, 1440, 1428].iter().any(|mss| bytes >= 2 * mss && bytes % mss == 0)
    })
}

fn packet(
    w: &mut Walk<'_, '_>,
    data: usize,
    fcs_bytes: usize,
    fcs: FcsState,
    captured: Option<(u8, u8)>,
) {
    let has_fcs = fcs_bytes > 0;
    let pad = if has_fcs || captured.is_some() { 0 } else { FRAME_MIN.saturating_sub(data) };
    let frame = data + pad + if has_fcs { fcs_bytes } else { FCS_BYTES };
    let (preamble, sfd) = captured.unwrap_or((7, 1));
    let derived: &'static [&'static str] = match (captured.is_some(), pad > 0, has_fcs) {
        (false, false, false) => &["preamble", "sfd", "fcs"],
        (false, true, _) => &["preamble", "sfd", "pad", "fcs"],
        (false, false, true) => &["preamble", "sfd"],
        (true, _, false) => &["fcs"],
        (true, _, true) => &[],
    };
    let bytes = frame as u32 + u32::from(preamble) + u32::from(sfd);
    w.out.ethernet_packet = Some(EthernetPacket {
        bytes,
        preamble,
        sfd,
        frame: frame as u32,
        pad: pad as u32,
        fcs,
        derived,
    });
    // IEEE 802.3 clause 4.4.2: 96 bit times
    w.out.gap = Some(12);
    w.out.wire_bytes = Some(bytes + 12);
}

/// MAC header.
pub(super) fn eth(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("eth", HEADER_BYTES) else { return Next::Data };
    if let [1 | 3, 0, 0x0c, 0, 0, ..] = h {
        return isl(w);
    }
    let ty_or_len = be16(h, 12);
    let src = MacAddr::from_slice(&h[6..]);
    if !src.is_valid_source() {
        let code = if src.is_multicast() { NoteCode::GroupSource } else { NoteCode::ZeroSource };
        w.note(code, w.off + 6, 6);
    }
    w.push(HEADER_BYTES, LayerInfo::Eth { dst: MacAddr::from_slice(h), src, ty_or_len });
    next_type(ty_or_len)
}

/// Cisco's Inter-Switch Link: 26 bytes in front of a whole frame, a CRC of its own behind it. Its
/// destination, 01-00-0C-00-00 or 03-00-0C-00-00 and type bits, is not a MAC header's.
fn isl(w: &mut Walk<'_, '_>) -> Next {
    if w.take("isl", 26).is_none() {
        return Next::Data;
    }
    w.push(26, LayerInfo::Shim("isl"));
    Next::Eth
}

/// Arista's timestamp header: subtype 1, version, 64 or 48 bits of time, then the original type.
fn avsp(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("avsp", 4) else { return Next::Data };
    let length = match (be16(h, 0), be16(h, 2) & 0x00ff) {
        (1, 0x10) => 14,
        (1, 0x20) => 12,
        _ => return Next::Named("avsp"),
    };
    let Some(h) = w.take("avsp", length) else { return Next::Data };
    let ty = be16(h, length - 2);
    w.push(length, LayerInfo::Shim("avsp"));
    next_type(ty)
}

#[inline]
fn next_type(ty: u16) -> Next {
    if ty >= TYPE_MIN { Next::Type(ty) } else { Next::TypeOrLength(ty) }
}

/// A length/type field below 1536: IEEE 802.3 framing.
pub(super) fn type_or_length(w: &mut Walk<'_, '_>, ty: u16) -> Next {
    if ty >= TYPE_MIN {
        return by_type(w, ty);
    }
    if ty == 0 {
        // no length and no type: some pseudowires and tests send it, nothing can be said
        return Next::Data;
    }
    if ty > LENGTH_MAX {
        w.note(NoteCode::UndefinedType, w.off - 2, 2);
    } else {
        let length = usize::from(ty);
        if length > w.room() {
            w.note(NoteCode::LengthBeyondFrame, w.off - 2, length - w.room());
        } else {
            w.end = w.off + length;
            w.content(w.end, false);
        }
        if w.out.layers.last().is_some_and(|l| matches!(l.info, LayerInfo::Vlan { .. })) {
            w.note(NoteCode::LengthAfterTag, w.off - 2, 2);
        }
    }
    // Novell "raw" 802.3 has no LLC header: an IPX checksum of FF FF begins the data
    if w.rest().get(..2) == Some(&[0xff, 0xff]) {
        w.note(NoteCode::RawIpx, w.off, 2);
        return Next::Named("ipx");
    }
    Next::Llc
}

/// IEEE 802.2 LLC and SNAP.
pub(super) fn llc(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("llc", 3) else { return Next::Data };
    let (dsap, ssap) = (h[0], h[1]);
    // clause 5.4: unnumbered control fields have one byte, the others two
    let unnumbered = h[2] & 3 == 3;
    if !unnumbered {
        let Some(h) = w.take("llc", 4) else { return Next::Data };
        let control = be16(h, 2);
        w.push(4, LayerInfo::Llc { dsap, ssap, control, snap: None });
        return if h[2] & 1 == 0 { names::by_sap(dsap) } else { Next::Data };
    }
    let control = u16::from(h[2]);
    if dsap == 0xaa && ssap == 0xaa {
        let Some(h) = w.take("llc", 8) else { return Next::Data };
        let oui = be32(h, 2) & 0x00ff_ffff;
        let protocol = be16(h, 6);
        let snap = Some(Snap { oui, protocol });
        w.push(8, LayerInfo::Llc { dsap, ssap, control, snap });
        return by_snap(w, oui, protocol);
    }
    w.push(3, LayerInfo::Llc { dsap, ssap, control, snap: None });
    // UI and TEST carry data, the other unnumbered commands do not
    match control & !0x10 {
        0x03 | 0xe3 => names::by_sap(dsap),
        _ => Next::Data,
    }
}

fn by_snap(w: &mut Walk<'_, '_>, oui: u32, protocol: u16) -> Next {
    match (oui, protocol) {
        // RFC 1042; 00-00-F8 is IEEE 802.1H bridge tunnel encapsulation
        (0 | 0x0000f8, ty) if ty >= TYPE_MIN => Next::Type(ty),
        // IEEE 802.1 clause on bridged media: 1 with FCS, 7 without
        (0x0080c2, 1) => {
            w.end = w.end.saturating_sub(FCS_BYTES).max(w.off);
            Next::Eth
        }
        (0x0080c2, 7) => Next::Eth,
        (0x00000c, pid) => names::cisco(pid).map_or(Next::Data, Next::Named),
        _ => Next::Data,
    }
}

/// By `EtherType`.
pub(super) fn by_type(w: &mut Walk<'_, '_>, ty: u16) -> Next {
    match ty {
        0x0800 | 0x86dd => Next::Ip,
        0x8100 | 0x88a8 | 0x9100 | 0x9200 => vlan(w, ty),
        0x0806 | 0x8035 => arp(w),
        0x8847 | 0x8848 => Next::Mpls,
        0x8863 | 0x8864 => super::ppp::pppoe(w, ty == 0x8863),
        0x880b => Next::PppNoControl,
        0x88e7 => backbone(w),
        0x88e5 => macsec(w),
        0x6558 => Next::Eth,
        0x8870 => Next::Llc,
        0xd28b => avsp(w),
        0x894f => Next::Nsh,
        _ => names::ethertype(ty).map_or(Next::Data, Next::Named),
    }
}

/// IEEE 802.1Q clause 9.6.
fn vlan(w: &mut Walk<'_, '_>, tpid: u16) -> Next {
    let kind = if tpid == 0x88a8 { "ieee8021ad" } else { "vlan" };
    let Some(h) = w.take(kind, 4) else { return Next::Data };
    let tci = be16(h, 0);
    let vid = tci & 0x0fff;
    let ty = be16(h, 2);
    match vid {
        0 => w.note(NoteCode::PriorityTag, w.off, 2),
        0x0fff => w.note(NoteCode::ReservedVid, w.off, 2),
        _ => {}
    }
    if w.content_end.is_none() {
        w.tags = w.tags.saturating_add(1);
    }
    w.push(4, LayerInfo::Vlan { tpid, vid, pcp: (tci >> 13) as u8, dei: tci & 0x1000 != 0, ty });
    next_type(ty)
}

/// IEEE 802.1ah I-TAG (IEEE 802.1Q clause 9.7).
fn backbone(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("ieee8021ah", 18) else { return Next::Data };
    let ty = be16(h, 16);
    w.push(
        18,
        LayerInfo::Ieee8021ah {
            isid: be32(h, 0) & 0x00ff_ffff,
            pcp: h[0] >> 5,
            dei: h[0] & 0x10 != 0,
            dst: MacAddr::from_slice(&h[4..]),
            src: MacAddr::from_slice(&h[10..]),
            ty,
        },
    );
    next_type(ty)
}

/// IEEE 802.1AE clause 9: `SecTAG`, data, 16 bytes of ICV.
fn macsec(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("macsec", 6) else { return Next::Data };
    let (tci_an, short_length, packet_number) = (h[0], h[1], be32(h, 2));
    let mut sci = None;
    let mut length = 6;
    if tci_an & 0x20 != 0 {
        let Some(h) = w.take("macsec", 14) else { return Next::Data };
        sci = Some(u64::from(be32(h, 6)) << 32 | u64::from(be32(h, 10)));
        length = 14;
    }
    w.push(length, LayerInfo::Macsec { tci_an, short_length, packet_number, sci });
    w.end = w.end.saturating_sub(16).max(w.off);
    // E and C bits: encrypted, or changed
    if tci_an & 0x0c != 0 {
        w.note(NoteCode::Encrypted, w.off, w.rest().len());
        return Next::Data;
    }
    let Some(ty) = w.take("macsec", 2) else { return Next::Data };
    let ty = be16(ty, 0);
    if let Some(tag) = w.out.layers.last_mut() {
        tag.length += 2;
    }
    w.off += 2;
    next_type(ty)
}

/// RFC 826.
fn arp(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("arp", 8) else { return Next::Data };
    let (hardware, protocol, op) = (be16(h, 0), be16(h, 2), be16(h, 6));
    let (hlen, plen) = (usize::from(h[4]), usize::from(h[5]));
    let length = 8 + 2 * (hlen + plen);
    let Some(h) = w.take("arp", length) else { return Next::Data };
    let mac = |at: usize| (hlen == 6).then(|| MacAddr::from_slice(&h[at..]));
    let ip = |at: usize| (plen == 4).then(|| Ipv4Addr::from(be32(h, at)));
    w.content(w.off + length, false);
    w.push(
        length,
        LayerInfo::Arp {
            hardware,
            protocol,
            op,
            sender_mac: mac(8),
            sender_ip: ip(8 + hlen),
            target_mac: mac(8 + hlen + plen),
            target_ip: ip(8 + 2 * hlen + plen),
        },
    );
    w.end = w.end.min(w.off);
    Next::Data
}
