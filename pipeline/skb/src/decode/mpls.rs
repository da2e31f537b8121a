//! MPLS label stacks (RFC 3032) and the guess at what they carry (RFC 4385, RFC 4928).

use super::walk::{Next, Walk, be16, be32};
use super::{LayerInfo, NoteCode, names};

/// One label stack entry.
pub(super) fn label(w: &mut Walk<'_, '_>) -> Next {
    let Some(h) = w.take("mpls", 4) else { return Next::Data };
    let entry = be32(h, 0);
    let bottom = entry & 0x100 != 0;
    w.push(
        4,
        LayerInfo::Mpls {
            label: entry >> 12,
            tc: (entry >> 9 & 7) as u8,
            bottom,
            ttl: entry as u8,
        },
    );
    if bottom { Next::MplsPayload } else { Next::Mpls }
}

/// Below the last label nothing says what comes. The first nibble is 4 or 6 for IP, 1 for a
/// pseudowire's associated channel, 0 for a control word; anything else can only be an Ethernet
/// pseudowire without one.
pub(super) fn payload(w: &mut Walk<'_, '_>) -> Next {
    let rest = w.rest();
    let Some(first) = rest.first() else { return Next::Data };
    match first >> 4 {
        4 if rest.get(9).is_some_and(|_| first & 0xf >= 5) => Next::Ip,
        6 => Next::Ip,
        1 if looks_like_channel(rest) => Next::Named("pwach"),
        nibble => {
            let with_word = if nibble == 0 { score(rest.get(4..)) } else { 0 };
            let without = score(Some(rest));
            if with_word == 0 && without == 0 {
                return Next::Data;
            }
            w.note(NoteCode::Guessed, w.off, 0);
            if with_word >= without {
                w.push(4, LayerInfo::PwControl { word: be32(rest, 0) });
            }
            Next::Eth
        }
    }
}

/// RFC 5586 section 2.1: version and reserved bits are 0.
fn looks_like_channel(rest: &[u8]) -> bool {
    matches!(rest, [0x10, 0, _, _, ..])
}

/// How much `bytes` look like a MAC frame: 0 not at all.
fn score(bytes: Option<&[u8]>) -> u8 {
    let Some(h) = bytes.and_then(|b| b.get(..14)) else { return 0 };
    let body = bytes.map_or(0, <[u8]>::len) - 14;
    let ty = be16(h, 12);
    let type_score = match ty {
        0x0800 | 0x86dd | 0x0806 | 0x8100 | 0x88a8 | 0x8847 | 0x8863 | 0x8864 => 4,
        1536.. if names::ethertype(ty).is_some() => 3,
        0 => 1,
        1..=1500 if usize::from(ty) <= body => 2,
        _ => 0,
    };
    // a source that can send, a destination that is not empty
    let source = h[6] & 1 == 0 && h[6..12] != [0; 6];
    let destination = h[..6] != [0; 6];
    if source && destination { type_score } else { 0 }
}
