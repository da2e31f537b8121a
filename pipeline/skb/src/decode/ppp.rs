//! PPP (RFC 1661, framing RFC 1662) and PPPoE (RFC 2516).

use super::walk::{Next, Walk, be16};
use super::{LayerInfo, NoteCode, names};

/// PPPoE discovery or session.
pub(super) fn pppoe(w: &mut Walk<'_, '_>, discovery: bool) -> Next {
    let kind = if discovery { "pppoed" } else { "pppoe" };
    let Some(h) = w.take(kind, 6) else { return Next::Data };
    let (code, session, length) = (h[1], be16(h, 2), be16(h, 4));
    if h[0] != 0x11 {
        w.malformed(kind, 6, 0);
        return Next::Data;
    }
    w.push(6, LayerInfo::Pppoe { discovery, code, session, length });
    let bytes = usize::from(length);
    if bytes <= w.room() {
        w.end = w.off + bytes;
        w.content(w.end, false);
    } else if !w.partial && !w.quoted {
        w.note(NoteCode::LengthBeyondFrame, w.off - 2, bytes - w.room());
    }
    // code 0 is session data
    if discovery || code != 0 { Next::Data } else { Next::PppNoControl }
}

/// Address and control bytes FF 03 may be there (RFC 1662 section 3.1) or compressed away.
pub(super) fn ppp(w: &mut Walk<'_, '_>) -> Next {
    match w.rest() {
        [0xff, 0x03, ..] => protocol(w, 2),
        // Cisco HDLC in the same place (RFC 1547)
        [0x0f | 0x8f, _, ..] => Next::Chdlc,
        _ => protocol(w, 0),
    }
}

/// The protocol field comes first.
pub(super) fn protocol_field(w: &mut Walk<'_, '_>) -> Next {
    // some put the address and control bytes where they do not belong
    let skip = if w.rest().starts_with(&[0xff, 0x03]) { 2 } else { 0 };
    protocol(w, skip)
}

fn protocol(w: &mut Walk<'_, '_>, skip: usize) -> Next {
    let Some(h) = w.take("ppp", skip + 1) else { return Next::Data };
    // RFC 1661 section 6.5: an odd first byte is a compressed protocol field
    let (protocol, length) = if h[skip] & 1 == 1 {
        (u16::from(h[skip]), skip + 1)
    } else {
        let Some(h) = w.take("ppp", skip + 2) else { return Next::Data };
        (be16(h, skip), skip + 2)
    };
    w.push(length, LayerInfo::Ppp { protocol });
    match protocol {
        0x0021 | 0x0057 => Next::Ip,
        0x0281 | 0x0283 => Next::Mpls,
        // RFC 3518 bridging: flags and MAC type in front of the frame
        0x0031 => bridged(w),
        _ => names::ppp(protocol).map_or(Next::Data, Next::Named),
    }
}

/// RFC 3518 section 4.2, MAC type 1 without padding and FCS; others are named.
fn bridged(w: &mut Walk<'_, '_>) -> Next {
    match w.rest() {
        [flags, 1, ..] if flags & 0xcf == 0 => {
            if let Some(layer) = w.out.layers.last_mut() {
                layer.length += 2;
            }
            w.off += 2;
            Next::Eth
        }
        _ => Next::Named("bcp_bpdu"),
    }
}
