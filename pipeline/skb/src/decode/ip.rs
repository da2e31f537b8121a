//! IPv4 (RFC 791), IPv6 (RFC 8200) with its extension headers, AH (RFC 4302), ESP (RFC 4303).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::walk::{Next, Pseudo, Walk, be16, be32};
use super::{Checksum, Ip, Ipv6, Ipv6ExtKind, LayerInfo, NoteCode, names, transport};
use crate::checksum;

/// IPv4 header without options.
const V4_BYTES: usize = 20;
/// IPv6 header.
const V6_BYTES: usize = 40;

/// By the version nibble, whatever the type field in front said.
pub(super) fn ip(w: &mut Walk<'_, '_>) -> Next {
    match w.rest().first() {
        Some(first) if first >> 4 == 4 => v4(w),
        Some(first) if first >> 4 == 6 => v6(w),
        Some(_) => {
            w.malformed("ip", V4_BYTES, 0);
            Next::Data
        }
        None => {
            w.short("ip", V4_BYTES);
            Next::Data
        }
    }
}

fn v4(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("ip", V4_BYTES) else { return Next::Data };
    let header_bytes = usize::from(h[0] & 0xf) * 4;
    if header_bytes < V4_BYTES {
        w.malformed("ip", V4_BYTES, header_bytes);
        return Next::Data;
    }
    let start = w.off;
    let total_length = be16(h, 2);
    let whole_header = w.rest().get(..header_bytes);
    let checksum = match whole_header {
        Some(header) if w.verify => checksum::verdict(checksum::sum(header)),
        _ => Checksum::Unverified,
    };
    let fragment = be16(h, 6);
    let frag_offset = (fragment & 0x1fff) * 8;
    let more = fragment & 0x2000 != 0;
    let (src, dst) = (Ipv4Addr::from(be32(h, 12)), Ipv4Addr::from(be32(h, 16)));
    let proto = h[9];
    w.pseudo = Pseudo::V4(checksum::sum(&h[12..20]));
    w.incomplete = frag_offset != 0 || more;
    let info = LayerInfo::Ip(Ip {
        src,
        dst,
        proto,
        ttl: h[8],
        tos: h[1],
        total_length,
        id: be16(h, 4),
        flags: (fragment >> 13) as u8,
        frag_offset,
        checksum,
    });
    if checksum == Checksum::Bad && !w.quoted {
        let code = if be16(h, 10) == 0 { NoteCode::IpChecksumZero } else { NoteCode::ChecksumBad };
        w.note(code, start + 10, 2);
    }
    if whole_header.is_none() {
        w.push(V4_BYTES, info);
        w.off = start;
        w.short("ip", header_bytes);
        w.off = start + V4_BYTES;
        return Next::Data;
    }
    if !v4_length(w, total_length, header_bytes) {
        return Next::Data;
    }
    if header_bytes > V4_BYTES {
        w.note(NoteCode::IpOptions, start + V4_BYTES, header_bytes - V4_BYTES);
    }
    w.push(header_bytes, info);
    if frag_offset != 0 {
        w.note(NoteCode::Fragment, start, w.rest().len());
        return Next::Data;
    }
    if more {
        first_fragment(w, start);
    }
    Next::Proto(proto)
}

/// Applies the total length; false when it contradicts the header.
fn v4_length(w: &mut Walk<'_, '_>, total_length: u16, header_bytes: usize) -> bool {
    let room = w.room();
    let length = usize::from(total_length);
    if length == 0 {
        w.note(NoteCode::LengthZero, w.off + 2, 2);
        w.length_zero |= w.content_end.is_none() && !w.quoted;
        w.content(w.end, true);
    } else if length < header_bytes {
        w.malformed("ip", header_bytes, length);
        return false;
    } else if length > room {
        length_beyond(w, length - room);
    } else {
        w.end = w.off + length;
        w.content(w.end, true);
    }
    true
}

/// The length field wants `missing` bytes more than there are.
fn length_beyond(w: &mut Walk<'_, '_>, missing: usize) {
    w.incomplete = true;
    if !w.quoted && !w.partial {
        w.note(NoteCode::IpLengthBeyondFrame, w.off + 2, missing);
        w.content(w.end, true);
    }
}

fn first_fragment(w: &mut Walk<'_, '_>, start: usize) {
    w.note(NoteCode::FirstFragment, start, 0);
    w.partial = true;
}

fn v6(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("ipv6", V6_BYTES) else { return Next::Data };
    let first = be32(h, 0);
    let payload_length = be16(h, 4);
    let next = h[6];
    let start = w.off;
    w.pseudo = Pseudo::V6(checksum::sum(&h[8..40]));
    w.incomplete = false;
    let address = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&h[at..at + 16]);
        Ipv6Addr::from(octets)
    };
    let info = LayerInfo::Ipv6(Ipv6 {
        src: address(8),
        dst: address(24),
        next,
        hop_limit: h[7],
        traffic_class: (first >> 20) as u8,
        flow_label: first & 0x000f_ffff,
        payload_length,
    });
    v6_length(w, payload_length, next);
    w.off = start;
    w.push(V6_BYTES, info);
    Next::Proto(next)
}

/// Applies the payload length; 0 means a jumbogram (RFC 2675), a frame handed over to be split,
/// or nothing.
fn v6_length(w: &mut Walk<'_, '_>, payload_length: u16, next: u8) {
    let room = w.room();
    let mut length = V6_BYTES + usize::from(payload_length);
    if payload_length == 0 {
        if let Some(jumbo) = jumbo_length(w, next) {
            w.note(NoteCode::Jumbogram, w.off + 4, 2);
            length = V6_BYTES.saturating_add(jumbo as usize);
        } else if matches!(next, 6 | 17) && room > V6_BYTES {
            w.note(NoteCode::LengthZero, w.off + 4, 2);
            w.length_zero |= w.content_end.is_none() && !w.quoted;
            w.content(w.end, true);
            return;
        }
    }
    if length > room {
        length_beyond(w, length - room);
    } else {
        w.end = w.off + length;
        w.content(w.end, true);
    }
}

/// The jumbo payload option (RFC 2675 section 2) of a hop-by-hop header right after this one.
fn jumbo_length(w: &Walk<'_, '_>, next: u8) -> Option<u32> {
    if next != 0 {
        return None;
    }
    let header = w.rest().get(V6_BYTES..)?;
    let length = (usize::from(*header.get(1)?) + 1) * 8;
    let mut options = header.get(2..length)?;
    while let Some((&kind, rest)) = options.split_first() {
        if kind == 0 {
            options = rest;
            continue;
        }
        let (&bytes, rest) = rest.split_first()?;
        let value = rest.get(..usize::from(bytes))?;
        if kind == 0xc2 && bytes == 4 {
            return Some(be32(value, 0));
        }
        options = &rest[usize::from(bytes)..];
    }
    None
}

/// By IP protocol or next header number.
pub(super) fn by_proto(w: &mut Walk<'_, '_>, proto: u8) -> Next {
    match proto {
        0 => extension(w, Ipv6ExtKind::HopByHop),
        1 => transport::icmp(w),
        2 => transport::igmp(w),
        4 | 41 => Next::Ip,
        6 => transport::tcp(w),
        17 => transport::udp(w),
        33 => transport::dccp(w),
        43 => extension(w, Ipv6ExtKind::Routing),
        44 => fragment(w),
        47 => Next::Gre,
        50 => esp(w),
        51 => ah(w),
        58 => transport::icmpv6(w),
        60 => extension(w, Ipv6ExtKind::Destination),
        97 => super::tunnel::etherip(w),
        115 => super::tunnel::l2tp_ip(w),
        132 => transport::sctp(w),
        135 => extension(w, Ipv6ExtKind::Mobility),
        136 => transport::udplite(w),
        137 => Next::Mpls,
        139 => extension(w, Ipv6ExtKind::Hip),
        140 => extension(w, Ipv6ExtKind::Shim6),
        143 => Next::Eth,
        _ => names::proto(proto).map_or(Next::Data, Next::Named),
    }
}

fn extension(w: &mut Walk<'_, '_>, header: Ipv6ExtKind) -> Next {
    let kind = LayerInfo::Ipv6Ext { header, next: 0 }.kind();
    let Some(h) = w.take(kind, 8) else { return Next::Data };
    let length = (usize::from(h[1]) + 1) * 8;
    let Some(h) = w.take(kind, length) else { return Next::Data };
    let next = h[0];
    if header == Ipv6ExtKind::Routing {
        routing(w, h);
    }
    w.push(length, LayerInfo::Ipv6Ext { header, next });
    Next::Proto(next)
}

/// RFC 8200 section 8.1: with segments left, the pseudo-header has the final destination: the
/// last address (types 0 and 2), the first segment (type 4, RFC 8754 section 4.2).
fn routing(w: &mut Walk<'_, '_>, h: &[u8]) {
    let (ty, left) = (h[2], h[3]);
    let last = match ty {
        0 | 2 => h.len().checked_sub(16).filter(|at| *at >= 8),
        4 => Some(8),
        _ => None,
    };
    if left == 0 {
        return;
    }
    let address = last.and_then(|at| h.get(at..at + 16));
    let source = w.out.layers.iter().rev().find_map(|layer| match &layer.info {
        LayerInfo::Ipv6(ip) => Some(ip.src),
        _ => None,
    });
    if let (Some(address), Some(source)) = (address, source) {
        w.pseudo = Pseudo::V6(checksum::sum(&source.octets()) + checksum::sum(address));
    }
}

/// RFC 8200 section 4.5.
fn fragment(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("ipv6.fraghdr", 8) else { return Next::Data };
    let field = be16(h, 2);
    let (next, frag_offset, more) = (h[0], u32::from(field & 0xfff8), field & 1 != 0);
    let start = w.off;
    w.push(8, LayerInfo::Ipv6Frag { next, frag_offset, more, id: be32(h, 4) });
    w.incomplete |= frag_offset != 0 || more;
    if frag_offset != 0 {
        w.note(NoteCode::Fragment, start, w.rest().len());
        return Next::Data;
    }
    if more {
        first_fragment(w, start);
    }
    Next::Proto(next)
}

/// RFC 4302 section 2: length in 32-bit words less 2.
fn ah(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("ah", 12) else { return Next::Data };
    let length = (usize::from(h[1]) + 2) * 4;
    if length < 12 {
        w.malformed("ah", 12, length);
        return Next::Data;
    }
    let Some(h) = w.take("ah", length) else { return Next::Data };
    let next = h[0];
    w.push(length, LayerInfo::Ah { next, spi: be32(h, 4), seq: be32(h, 8) });
    Next::Proto(next)
}

/// RFC 4303 section 2.
pub(super) fn esp(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("esp", 8) else { return Next::Data };
    w.push(8, LayerInfo::Esp { spi: be32(h, 0), seq: be32(h, 4) });
    w.note(NoteCode::Encrypted, w.off, w.rest().len());
    Next::Data
}
