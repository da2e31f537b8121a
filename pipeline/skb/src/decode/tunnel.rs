//! Tunnels: GRE, ERSPAN, VXLAN, Geneve, NSH, GTP, L2TP, Teredo, EtherIP.

use super::walk::{Next, Pseudo, Walk, be16, be32};
use super::{LayerInfo, names};

/// UDP ports with a decoder of their own; also those whose sender may leave out the checksum over
/// IPv6 (RFC 6935).
pub const fn is_tunnel_port(port: u16) -> bool {
    matches!(
        port,
        1701 | 2123 | 2152 | 3544 | 4341 | 4342 | 4500 | 4754 | 4789 | 4790 | 6081 | 6635
    )
}

/// By UDP port, the lower one first as it is more likely the service's.
#[inline]
pub(super) fn by_ports(w: &mut Walk<'_, '_>, src: u16, dst: u16) -> Next {
    let (low, high) = (src.min(dst), src.max(dst));
    if !is_tunnel_port(low) && !is_tunnel_port(high) || w.rest().is_empty() {
        return Next::Data;
    }
    let layers = w.out.layers.len();
    let next = by_port(w, low);
    if next != Next::Data || w.out.layers.len() != layers || low == high {
        return next;
    }
    by_port(w, high)
}

/// Only where the bytes can be what the port says.
fn by_port(w: &mut Walk<'_, '_>, port: u16) -> Next {
    let rest = w.rest();
    match port {
        // RFC 7348 section 5: the I flag is set
        4789 if rest.len() >= 8 && rest[0] & 0x08 != 0 => Next::Vxlan { gpe: false },
        4790 if rest.len() >= 8 && rest[0] & 0x08 != 0 => Next::Vxlan { gpe: true },
        6081 => geneve(w),
        2152 | 2123 => gtp(w),
        1701 => l2tp_udp(w),
        3544 => teredo(w),
        // RFC 9300 section 5.3: eight bytes, then the inner packet
        4341 if rest.len() >= 8 => {
            w.push(8, LayerInfo::Shim("lisp-data"));
            Next::Ip
        }
        // RFC 9301 section 5.8: type 8 encapsulates a control message and its packet
        4342 if rest.len() >= 24 && rest[0] >> 4 == 8 => {
            w.push(4, LayerInfo::Shim("lisp"));
            Next::Ip
        }
        // RFC 8086
        4754 if rest.len() >= 4 => Next::Gre,
        // RFC 7510
        6635 if rest.len() >= 4 => Next::Mpls,
        // RFC 3948: IKE has four zero bytes, a keep-alive is one byte FF
        4500 if rest.len() >= 12 && rest[..4] != [0; 4] => {
            w.push(0, LayerInfo::Shim("udpencap"));
            super::ip::esp(w)
        }
        _ => Next::Data,
    }
}

/// RFC 2784, RFC 2890; version 1 RFC 2637 section 4.1.
pub(super) fn gre(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("gre", 4) else { return Next::Data };
    let (flags, protocol) = (be16(h, 0), be16(h, 2));
    let version = (flags & 7) as u8;
    let (has_sum, has_routing) = (flags & 0x8000 != 0, flags & 0x4000 != 0);
    let (has_key, has_seq) = (flags & 0x2000 != 0, flags & 0x1000 != 0);
    let has_ack = version == 1 && flags & 0x0080 != 0;
    let mut length = 4;
    if has_sum || has_routing {
        length += 4;
    }
    let key_at = length;
    length += 4 * (usize::from(has_key) + usize::from(has_seq) + usize::from(has_ack));
    let Some(h) = w.take("gre", length) else { return Next::Data };
    let key = has_key.then(|| be32(h, key_at));
    let seq = has_seq.then(|| be32(h, key_at + 4 * usize::from(has_key)));
    if has_routing {
        let Some(routes) = routing_bytes(&w.rest()[length..]) else {
            w.short("gre", length + 4);
            return Next::Data;
        };
        length += routes;
    }
    w.push(length, LayerInfo::Gre { version, protocol, key, seq });
    if version > 1 {
        return Next::Data;
    }
    if version == 1
        && let Some(key) = key
    {
        // the key's upper half is the payload length
        let bytes = (key >> 16) as usize;
        w.end = w.end.min(w.off + bytes);
    }
    if w.room() == 0 { Next::Data } else { Next::GreType { protocol, seq: has_seq } }
}

/// RFC 1701: source route entries up to one of length 0.
fn routing_bytes(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let entry = bytes.get(at..at + 4)?;
        let length = usize::from(entry[3]);
        at += 4;
        if length == 0 {
            return Some(at);
        }
        bytes.get(at..at + length)?;
        at += length;
    }
}

/// By GRE protocol type.
pub(super) fn gre_type(w: &mut Walk<'_, '_>, protocol: u16, seq: bool) -> Next {
    match protocol {
        0x88be => erspan(w, seq),
        0x22eb => erspan(w, true),
        // Meraki and others use 0x6400 for Ethernet too
        0x6558 | 0x6400 => Next::Eth,
        0x880b => Next::Ppp,
        0x88d2 | 0x8881 => Next::Ppp,
        // WCCP version 2 has four bytes of its own in front of the packet
        0x883e => {
            if w.rest().first().is_some_and(|b| b >> 4 != 4) && w.rest().len() >= 4 {
                if let Some(layer) = w.out.layers.last_mut() {
                    layer.length += 4;
                }
                w.off += 4;
            }
            Next::Ip
        }
        0x2000 => Next::Named("cdp"),
        0x2001 => Next::Named("nhrp"),
        0x00fe => Next::Named("osi"),
        0x8200..=0x83ff => Next::Named("wlan"),
        0x0000 => Next::Data,
        _ => Next::Type(protocol),
    }
}

/// draft-foschiano-erspan-03 sections 4.1 to 4.3.
fn erspan(w: &mut Walk<'_, '_>, header: bool) -> Next {
    if !header {
        w.push(0, LayerInfo::Erspan { version: 0, vid: 0, session: 0 });
        return Next::Eth;
    }
    let Some(h) = w.take("erspan", 8) else { return Next::Data };
    let version = h[0] >> 4;
    let (vid, session) = (be16(h, 0) & 0x0fff, be16(h, 2) & 0x03ff);
    let info = LayerInfo::Erspan { version, vid, session };
    match version {
        1 => {
            w.push(8, info);
            Next::Eth
        }
        2 => {
            let Some(h) = w.take("erspan", 12) else { return Next::Data };
            // P 1, frame type 5, hardware 6, direction 1, granularity 2, O 1
            let frame_type = h[10] >> 2 & 0x1f;
            let length = if h[11] & 1 != 0 { 20 } else { 12 };
            if w.take("erspan", length).is_none() {
                return Next::Data;
            }
            w.push(length, info);
            // 0 Ethernet, 2 IP, the others not assigned
            match frame_type {
                0 => Next::Eth,
                2 => Next::Ip,
                _ => Next::Data,
            }
        }
        _ => {
            w.push(0, info);
            Next::Data
        }
    }
}

/// RFC 7348 section 5; draft-ietf-nvo3-vxlan-gpe section 3.
pub(super) fn vxlan(w: &mut Walk<'_, '_>, gpe: bool) -> Next {
    let kind = if gpe { "vxlan_gpe" } else { "vxlan" };
    let Some(h) = w.take(kind, 8) else { return Next::Data };
    let (flags, vni) = (h[0], be32(h, 4) >> 8);
    if !gpe {
        // draft-smith-vxlan-group-policy: the G bit says that bytes 2 and 3 are a group
        let group = if flags & 0x80 != 0 { be16(h, 2) } else { 0 };
        w.push(8, LayerInfo::Vxlan { vni, flags, group });
        return Next::Eth;
    }
    let next = if flags & 0x04 != 0 { h[3] } else { 3 };
    w.push(8, LayerInfo::VxlanGpe { vni, flags, next });
    by_next(next)
}

/// The small protocol space VXLAN-GPE and NSH share.
const fn by_next(next: u8) -> Next {
    match next {
        1 | 2 => Next::Ip,
        3 => Next::Eth,
        4 => Next::Nsh,
        5 => Next::Mpls,
        _ => Next::Data,
    }
}

/// RFC 8300 section 2.
pub(super) fn nsh(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("nsh", 8) else { return Next::Data };
    let length = usize::from(be16(h, 0) & 0x3f) * 4;
    if length < 8 {
        w.malformed("nsh", 8, length);
        return Next::Data;
    }
    let Some(h) = w.take("nsh", length) else { return Next::Data };
    let next = h[3];
    w.push(length, LayerInfo::Nsh { path: be32(h, 4) >> 8, index: h[7], next });
    by_next(next)
}

/// RFC 8926 section 3.4.
fn geneve(w: &mut Walk<'_, '_>) -> Next {
    let rest = w.rest();
    let Some(h) = rest.get(..8).filter(|h| h[0] >> 6 == 0) else { return Next::Data };
    let options = (h[0] & 0x3f) * 4;
    let protocol = be16(h, 2);
    if w.take("geneve", 8 + usize::from(options)).is_none() {
        return Next::Data;
    }
    w.push(
        8 + usize::from(options),
        LayerInfo::Geneve { vni: be32(h, 4) >> 8, protocol, options, oam: h[1] & 0x80 != 0 },
    );
    if w.room() == 0 { Next::Data } else { Next::Type(protocol) }
}

/// 3GPP TS 29.281 section 5.1; version 2 (TS 29.274) is named.
fn gtp(w: &mut Walk<'_, '_>) -> Next {
    let rest = w.rest();
    let Some(h) = rest.get(..8) else { return Next::Data };
    let version = h[0] >> 5;
    if version == 2 {
        // TS 29.274 section 5.1
        let teid = if h[0] & 0x08 != 0 { be32(h, 4) } else { 0 };
        w.push(0, LayerInfo::Gtp { version, message: h[1], teid, length: be16(h, 2) });
        return Next::Named("gtpv2");
    }
    if version != 1 || h[0] & 0x10 == 0 {
        return Next::Data;
    }
    let message = h[1];
    let length = be16(h, 2);
    let mut header = 8;
    if h[0] & 7 != 0 {
        header = 12;
        let mut next = rest.get(11).copied().unwrap_or(0);
        // section 5.2: extension headers, length in units of four bytes
        while h[0] & 4 != 0 && next != 0 {
            let Some(units) = rest.get(header).copied().filter(|units| *units != 0) else {
                break;
            };
            header += usize::from(units) * 4;
            next = rest.get(header - 1).copied().unwrap_or(0);
        }
    }
    if w.take("gtp", header).is_none() {
        return Next::Data;
    }
    w.end = w.end.min(w.off + 8 + usize::from(length)).max(w.off + header);
    w.push(header, LayerInfo::Gtp { version, message, teid: be32(h, 4), length });
    match w.rest().first() {
        Some(first) if message == 255 && matches!(first, 0x45..=0x4e | 0x60..=0x6f) => Next::Ip,
        _ => Next::Data,
    }
}

/// RFC 2661 section 3.1, RFC 3931 section 4.1.2.
fn l2tp_udp(w: &mut Walk<'_, '_>) -> Next {
    let rest = w.rest();
    let Some(h) = rest.get(..6) else { return Next::Data };
    let flags = be16(h, 0);
    let control = flags & 0x8000 != 0;
    match flags & 0xf {
        2 => l2tp_v2(w, flags),
        3 => {
            let Some(h) = w.take("l2tp", if control { 12 } else { 8 }) else { return Next::Data };
            let connection = if control { be32(h, 4) } else { 0 };
            let session = if control { 0 } else { be32(h, 4) };
            let length = h.len();
            w.push(length, LayerInfo::L2tp { version: 3, control, tunnel: connection, session });
            Next::Data
        }
        _ => Next::Data,
    }
}

fn l2tp_v2(w: &mut Walk<'_, '_>, flags: u16) -> Next {
    let (has_length, has_seq) = (flags & 0x4000 != 0, flags & 0x0800 != 0);
    let (has_offset, control) = (flags & 0x0200 != 0, flags & 0x8000 != 0);
    let ids_at = if has_length { 4 } else { 2 };
    let mut length = ids_at + 4 + if has_seq { 4 } else { 0 };
    let offset_at = length;
    if has_offset {
        length += 2;
    }
    let Some(h) = w.take("l2tp", length) else { return Next::Data };
    let (tunnel, session) = (be16(h, ids_at), be16(h, ids_at + 2));
    let stated = has_length.then(|| usize::from(be16(h, 2)));
    if has_offset {
        length += usize::from(be16(h, offset_at));
        if w.take("l2tp", length).is_none() {
            return Next::Data;
        }
    }
    if let Some(stated) = stated {
        w.end = w.end.min(w.off + stated).max(w.off + length);
    }
    w.push(
        length,
        LayerInfo::L2tp { version: 2, control, tunnel: tunnel.into(), session: session.into() },
    );
    if control || w.room() == 0 { Next::Data } else { Next::Ppp }
}

/// RFC 3931 section 4.1.1. What a session carries, and behind how long a cookie, was agreed
/// elsewhere: it is not guessed.
pub(super) fn l2tp_ip(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("l2tp", 4) else { return Next::Data };
    let session = be32(h, 0);
    if session != 0 {
        w.push(4, LayerInfo::L2tp { version: 3, control: false, tunnel: 0, session });
        return Next::Data;
    }
    let Some(h) = w.take("l2tp", 16) else { return Next::Data };
    let tunnel = be32(h, 8);
    w.push(16, LayerInfo::L2tp { version: 3, control: true, tunnel, session: 0 });
    Next::Data
}

/// RFC 4380 section 5.1.1.
fn teredo(w: &mut Walk<'_, '_>) -> Next {
    let rest = w.rest();
    let mut length = 0;
    let (mut authentication, mut origin) = (false, false);
    if let [0, 1, id, auth, ..] = rest {
        authentication = true;
        length = 13 + usize::from(*id) + usize::from(*auth);
    }
    if rest.get(length..).is_some_and(|r| r.starts_with(&[0, 0])) {
        origin = true;
        length += 8;
    }
    match rest.get(length) {
        Some(first) if first >> 4 == 6 && matches!(w.pseudo, Pseudo::V4(_)) => {
            w.push(length, LayerInfo::Teredo { authentication, origin });
            Next::Ip
        }
        _ => Next::Data,
    }
}

/// RFC 3378 section 2: version 3 and twelve reserved bits.
pub(super) fn etherip(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("etherip", 2) else { return Next::Data };
    let version = h[0] >> 4;
    w.push(2, LayerInfo::EtherIp);
    if version == 3 { Next::Eth } else { Next::Data }
}

/// A name for a Cisco HDLC protocol that is no `EtherType`.
pub(super) const fn chdlc_name(protocol: u16) -> Option<&'static str> {
    match protocol {
        0x8035 => Some("slarp"),
        0xfefe => Some("osi"),
        0x8038 => Some("dec_stp"),
        0x4242 => Some("stp"),
        0x2000 => Some("cdp"),
        0x0111 => Some("udld"),
        0x809b => Some("ddp"),
        other => names::ethertype(other),
    }
}
