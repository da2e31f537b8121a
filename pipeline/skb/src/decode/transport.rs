//! TCP, UDP, UDP-Lite, SCTP, DCCP, ICMP, `ICMPv6`, IGMP.

use std::net::Ipv4Addr;

use super::walk::{Next, Pseudo, Walk, be16, be32};
use super::{Checksum, LayerInfo, NoteCode, Tcp, TcpFlags};
use crate::checksum;

/// Sum of the pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1) with `length` bytes of
/// protocol `proto`; `None` outside IP.
fn pseudo_sum(pseudo: Pseudo, proto: u8, length: usize) -> Option<u64> {
    let addresses = match pseudo {
        Pseudo::None => return None,
        Pseudo::V4(sum) | Pseudo::V6(sum) => sum,
    };
    let high = (length >> 16) as u16;
    let low = length as u16;
    Some(addresses + checksum::word(u16::from(proto)) + checksum::word(high) + checksum::word(low))
}

/// Checks the sum of `length` bytes from here (`covered` of them summed), whose checksum field is
/// at `field`. `Unverified` when any of them is missing.
fn verify(
    w: &mut Walk<'_, '_>,
    proto: u8,
    length: usize,
    covered: usize,
    field: usize,
) -> Checksum {
    if !w.verify || w.incomplete || w.partial {
        return Checksum::Unverified;
    }
    let Some(data) = w.rest().get(..covered) else { return Checksum::Unverified };
    if length > w.room() {
        return Checksum::Unverified;
    }
    let Some(pseudo) = pseudo_sum(w.pseudo, proto, length) else { return Checksum::Unverified };
    let outcome = checksum::verdict(pseudo + checksum::sum(data));
    if outcome == Checksum::Bad && !w.quoted {
        explain(w, proto, pseudo, length, field);
    }
    outcome
}

/// A sender with checksum offload leaves the folded pseudo-header sum in the field (Linux: with
/// the length; some drivers of segmenting cards: without).
#[cold]
fn explain(w: &mut Walk<'_, '_>, proto: u8, pseudo: u64, length: usize, field: usize) {
    let Some(bytes) = w.rest().get(field..field + 2) else { return };
    let value = u64::from(u16::from_le_bytes([bytes[0], bytes[1]]));
    let without_length = pseudo_sum(w.pseudo, proto, 0).unwrap_or(pseudo);
    let left_by_sender = value == checksum::fold(pseudo)
        || value == checksum::fold(without_length)
        || value == 0 && proto == 6 && length > 0;
    let code = if left_by_sender { NoteCode::ChecksumOffload } else { NoteCode::ChecksumBad };
    w.note(code, w.off + field, 2);
}

/// RFC 9293 section 3.1.
pub(super) fn tcp(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.rest().get(..20) else { return tcp_partial(w) };
    let header_bytes = usize::from(h[12] >> 4) * 4;
    let room = w.room();
    if header_bytes < 20 || header_bytes > w.rest().len() {
        return tcp_partial(w);
    }
    let checksum = verify(w, 6, room, room, 16);
    w.push(
        header_bytes,
        LayerInfo::Tcp(Tcp {
            src_port: be16(h, 0),
            dst_port: be16(h, 2),
            seq: be32(h, 4),
            ack: be32(h, 8),
            flags: TcpFlags(be16(h, 12) & 0x01ff),
            window: be16(h, 14),
            payload_length: (room - header_bytes) as u32,
            checksum,
            partial: false,
        }),
    );
    Next::Data
}

/// What there is of a header that is cut or contradicts itself.
#[cold]
fn tcp_partial(w: &mut Walk<'_, '_>) -> Next {
    let rest = w.rest();
    let start = w.off;
    let field16 = |at: usize| rest.get(at..at + 2).map_or(0, |b| be16(b, 0));
    let field32 = |at: usize| rest.get(at..at + 4).map_or(0, |b| be32(b, 0));
    let claimed = rest.get(12).map_or(20, |b| usize::from(b >> 4) * 4);
    if rest.len() >= 4 {
        let length = rest.len().min(claimed.clamp(20, 60));
        w.push(
            length,
            LayerInfo::Tcp(Tcp {
                src_port: field16(0),
                dst_port: field16(2),
                seq: field32(4),
                ack: field32(8),
                flags: TcpFlags(field16(12) & 0x01ff),
                window: field16(14),
                payload_length: 0,
                checksum: Checksum::Unverified,
                partial: true,
            }),
        );
    }
    let after = w.off;
    w.off = start;
    if claimed < 20 && !w.quoted {
        w.malformed("tcp", 20, claimed);
    } else {
        w.short("tcp", claimed.max(20));
    }
    w.off = after;
    Next::Data
}

/// RFC 768.
pub(super) fn udp(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.rest().get(..8) else { return udp_partial(w) };
    let (src_port, dst_port, length) = (be16(h, 0), be16(h, 2), be16(h, 4));
    let sent = be16(h, 6);
    let room = w.room();
    let start = w.off;
    // RFC 2675 section 4: 0 means the length is the IP payload's
    let jumbo = length == 0 && (matches!(w.pseudo, Pseudo::V6(_)) || w.length_zero);
    let bytes = if jumbo { room } else { usize::from(length) };
    let info = |checksum| LayerInfo::Udp { src_port, dst_port, length, checksum };
    if bytes < 8 {
        w.malformed("udp", 8, bytes);
        w.push(8, info(Checksum::Unverified));
        return Next::Data;
    }
    let tunnel = super::tunnel::is_tunnel_port(src_port) || super::tunnel::is_tunnel_port(dst_port);
    let optional = tunnel || !matches!(w.pseudo, Pseudo::V6(_));
    let checksum = if sent == 0 && optional {
        w.note(NoteCode::UdpNoChecksum, start + 6, 2);
        Checksum::Unverified
    } else {
        verify(w, 17, bytes, bytes, 6)
    };
    if bytes > room {
        if !w.quoted && !w.partial && !w.incomplete {
            w.note(NoteCode::UdpLengthBeyondIp, start + 4, bytes - room);
        }
    } else {
        if bytes < room && !w.quoted && !w.partial {
            w.note(NoteCode::UdpTrailer, start + bytes, room - bytes);
        }
        w.end = start + bytes;
    }
    w.push(8, info(checksum));
    Next::UdpPorts(src_port, dst_port)
}

#[cold]
fn udp_partial(w: &mut Walk<'_, '_>) -> Next {
    let rest = w.rest();
    w.short("udp", 8);
    if rest.len() >= 4 {
        w.push(
            rest.len(),
            LayerInfo::Udp {
                src_port: be16(rest, 0),
                dst_port: be16(rest, 2),
                length: rest.get(4..6).map_or(0, |b| be16(b, 0)),
                checksum: Checksum::Unverified,
            },
        );
    }
    Next::Data
}

/// RFC 3828: the length field is the checksum's coverage.
pub(super) fn udplite(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("udplite", 8) else { return Next::Data };
    let (src_port, dst_port, coverage) = (be16(h, 0), be16(h, 2), be16(h, 4));
    let room = w.room();
    let covered = if coverage == 0 { room } else { usize::from(coverage) };
    if covered < 8 || covered > room && !w.incomplete {
        w.malformed("udplite", covered.max(8), room);
        return Next::Data;
    }
    let checksum = verify(w, 136, room, covered, 6);
    w.push(8, LayerInfo::UdpLite { src_port, dst_port, coverage, checksum });
    Next::UdpPorts(src_port, dst_port)
}

/// RFC 9260 section 3.1.
pub(super) fn sctp(w: &mut Walk<'_, '_>) -> Next {
    let rest = w.rest();
    if rest.len() < 12 && !(w.quoted && rest.len() >= 8) {
        w.short("sctp", 12);
        return Next::Data;
    }
    let room = w.room();
    let whole = !w.incomplete && !w.partial && rest.len() == room;
    let checksum = if w.verify && whole { checksum::sctp(rest) } else { Checksum::Unverified };
    if checksum == Checksum::Bad && !w.quoted {
        w.note(NoteCode::ChecksumBad, w.off + 8, 4);
    }
    let (src_port, dst_port, tag) = (be16(rest, 0), be16(rest, 2), be32(rest, 4));
    let chunk = rest.get(12).copied();
    w.push(rest.len().min(12), LayerInfo::Sctp { src_port, dst_port, tag, chunk, checksum });
    Next::Data
}

/// RFC 4340 section 5.1.
pub(super) fn dccp(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("dccp", 12) else { return Next::Data };
    let length = usize::from(h[4]) * 4;
    if length < 12 {
        w.malformed("dccp", 12, length);
        return Next::Data;
    }
    let Some(h) = w.take("dccp", length) else { return Next::Data };
    let (src_port, dst_port) = (be16(h, 0), be16(h, 2));
    w.push(length, LayerInfo::Dccp { src_port, dst_port, ty: h[8] >> 1 & 0xf });
    Next::Data
}

/// Sum without pseudo-header over everything that is left.
fn verify_plain(w: &mut Walk<'_, '_>) -> Checksum {
    let data = w.rest();
    if !w.verify || w.incomplete || w.partial || data.len() < w.room() {
        return Checksum::Unverified;
    }
    let outcome = checksum::verdict(checksum::sum(data));
    if outcome == Checksum::Bad && !w.quoted {
        w.note(NoteCode::ChecksumBad, w.off + 2, 2);
    }
    outcome
}

/// RFC 792.
pub(super) fn icmp(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("icmp", 8) else { return Next::Data };
    let (ty, code) = (h[0], h[1]);
    let checksum = verify_plain(w);
    w.push(8, LayerInfo::Icmp { ty, code, checksum, id: be16(h, 4), seq: be16(h, 6) });
    match ty {
        // unreachable, source quench, redirect, time exceeded, parameter problem
        3 | 4 | 5 | 11 | 12 => {
            // RFC 4884 section 5.1: length of the quotation in 32-bit words, extensions after it
            if ty != 4 && ty != 5 && h[5] != 0 {
                w.end = w.end.min(w.off + usize::from(h[5]) * 4);
            }
            quote(w)
        }
        _ => Next::Data,
    }
}

/// RFC 4443 section 2.1.
pub(super) fn icmpv6(w: &mut Walk<'_, '_>) -> Next {
    // section 2.1 ends with the checksum; every message defined since has four bytes more
    let Some(h) = w.take("icmpv6", 4) else { return Next::Data };
    let (ty, code) = (h[0], h[1]);
    let room = w.room();
    let checksum = verify(w, 58, room, room, 2);
    let rest = w.rest();
    let field = |at: usize| rest.get(at..at + 2).map_or(0, |b| be16(b, 0));
    let (id, seq) = (field(4), field(6));
    let length = rest.len().min(8);
    w.push(length, LayerInfo::Icmpv6 { ty, code, checksum, id, seq });
    // errors: unreachable, too big, time exceeded, parameter problem
    if (1..=4).contains(&ty) && length == 8 { quote(w) } else { Next::Data }
}

fn quote(w: &mut Walk<'_, '_>) -> Next {
    if w.rest().is_empty() {
        return Next::Data;
    }
    w.note(NoteCode::Quotation, w.off, w.rest().len());
    w.quoted = true;
    Next::Ip
}

/// RFC 2236 section 2, RFC 3376 section 4.
pub(super) fn igmp(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("igmp", 8) else { return Next::Data };
    let (ty, max_resp) = (h[0], h[1]);
    let checksum = verify_plain(w);
    // a version 3 report has no group here
    let group = (ty != 0x22).then(|| Ipv4Addr::from(be32(h, 4)));
    w.push(8, LayerInfo::Igmp { ty, max_resp, checksum, group });
    Next::Data
}
