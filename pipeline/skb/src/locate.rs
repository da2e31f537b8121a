//! Finds the layers of a frame: offsets only, in a few nanoseconds, never past the bytes present.
//!
//! This is the hot decoder: what the skb stage and the one-pass statistics need. It follows VLAN
//! tags (802.1Q, 802.1ad and the pre-standard 0x9100 and 0x9200), IPv4 with options and IPv6
//! extension headers, and stops at the first transport header; tunnels are [`crate::decode`]'s.
//! A length field is never trusted further than the bytes present, and nothing is verified that
//! is not needed to find the next offset.

#![forbid(unsafe_code)]

mod headers;

use crate::LinkType;

pub use headers::headers_len;

/// What kind of network header [`Located::l3`] points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum L3 {
    /// Nothing located: too short, or a link type that is not followed here.
    #[default]
    None,
    /// A network header of another protocol; its EtherType is in [`Located::ethertype`].
    Other,
    /// IEEE 802.3 length: LLC follows (IEEE 802.3 clause 3.2.6).
    Llc,
    /// ARP (RFC 826).
    Arp,
    /// IPv4 (RFC 791), header long enough and IHL at least 5.
    Ipv4,
    /// IPv6 (RFC 8200), fixed header present.
    Ipv6,
}

/// Where things are in a frame. Offsets are from the first byte given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Located {
    /// EtherType after the tags; the length for [`L3::Llc`]; 0 where the link type has none.
    pub ethertype: u16,
    /// Tag control information of the outermost VLAN tag, 0 if untagged.
    pub tci: u16,
    /// Network header. Meaningful unless [`L3::None`].
    pub l3: u16,
    /// Transport header; 0 = none (not IP, a later fragment, cut off, or past 65,535 bytes).
    pub l4: u16,
    /// Network header kind.
    pub kind: L3,
    /// IPv4 protocol or the last IPv6 next header; meaningful for IP.
    pub ip_proto: u8,
    /// VLAN tags passed.
    pub tags: u8,
    /// An IP fragment (first or later).
    pub fragment: bool,
}

/// At most so many VLAN tags are followed; more is no known network.
pub const TAGS_MAX: u8 = 8;
/// At most so many IPv6 extension headers are followed (RFC 8200 knows six kinds).
const EXTENSIONS_MAX: usize = 8;

#[inline(always)]
fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}

/// Whether an EtherType announces a VLAN tag: 802.1Q, 802.1ad, and the two before it.
#[inline(always)]
pub const fn is_vlan_tpid(ethertype: u16) -> bool {
    matches!(ethertype, 0x8100 | 0x88a8 | 0x9100 | 0x9200)
}

/// Locates in a frame of any link type that carries IP or Ethernet directly.
#[inline]
pub fn locate(linktype: LinkType, bytes: &[u8]) -> Located {
    if linktype == LinkType::ETHERNET {
        locate_ethernet(bytes)
    } else {
        locate_other(linktype, bytes)
    }
}

/// Whether a frame begins like most: untagged IPv4 with a 20-byte header that is no fragment, and
/// at least one byte behind it.
#[inline(always)]
pub(crate) fn is_plain_ipv4(head: &[u8; 35]) -> bool {
    // more fragments, fragment offset
    const FRAGMENT: u16 = u16::from_le_bytes([0x3f, 0xff]);
    let fragment = u16::from_le_bytes([head[20], head[21]]);
    [head[12], head[13]] == [0x08, 0x00] && head[14] == 0x45 && fragment & FRAGMENT == 0
}

/// Locates in an Ethernet frame.
#[inline]
pub fn locate_ethernet(bytes: &[u8]) -> Located {
    // Most frames: untagged IPv4 with a 20-byte header that is no fragment.
    if let Some(head) = bytes.first_chunk()
        && is_plain_ipv4(head)
    {
        return Located {
            ethertype: 0x0800,
            l3: 14,
            l4: 34,
            kind: L3::Ipv4,
            ip_proto: head[23],
            ..Located::default()
        };
    }
    locate_any_ethernet(bytes)
}

fn locate_any_ethernet(bytes: &[u8]) -> Located {
    let Some(header) = bytes.first_chunk::<14>() else { return Located::default() };
    let ethertype = u16::from_be_bytes([header[12], header[13]]);
    if is_vlan_tpid(ethertype) {
        return locate_tagged(bytes);
    }
    network(bytes, 14, ethertype, 0, 0)
}

fn locate_tagged(bytes: &[u8]) -> Located {
    let mut at = 12;
    let mut tags = 0;
    let mut tci = 0;
    loop {
        let Some(ethertype) = be16(bytes, at) else {
            return Located { tci, tags, ..Located::default() };
        };
        if tags == TAGS_MAX || !is_vlan_tpid(ethertype) {
            return network(bytes, at + 2, ethertype, tci, tags);
        }
        let Some(this) = be16(bytes, at + 2) else {
            return Located { tci, tags, ..Located::default() };
        };
        if tags == 0 {
            tci = this;
        }
        tags += 1;
        at += 4;
    }
}

#[inline(always)]
fn network(bytes: &[u8], l3: usize, ethertype: u16, tci: u16, tags: u8) -> Located {
    let mut out = Located { ethertype, tci, l3: l3 as u16, tags, ..Located::default() };
    match ethertype {
        0x0800 => ipv4(bytes, l3, &mut out),
        0x86dd => ipv6(bytes, l3, &mut out),
        0x0806 => out.kind = L3::Arp,
        // IEEE 802.3 clause 3.2.6: up to 1500 a length, from 1536 a type; Linux reads what lies
        // between as 802.3 too (`eth_type_trans`).
        0..0x0600 => out.kind = L3::Llc,
        _ => out.kind = L3::Other,
    }
    out
}

#[inline(always)]
fn ipv4(bytes: &[u8], l3: usize, out: &mut Located) {
    out.kind = L3::Other;
    let Some(header) = bytes.get(l3..).and_then(|b| b.first_chunk::<20>()) else { return };
    let header_len = usize::from(header[0] & 0x0f) * 4;
    if header[0] >> 4 != 4 || header_len < 20 {
        return;
    }
    out.kind = L3::Ipv4;
    out.ip_proto = header[9];
    let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff;
    out.fragment = fragment != 0;
    let l4 = l3 + header_len;
    if fragment & 0x1fff == 0 && l4 < bytes.len() {
        out.l4 = l4 as u16;
    }
}

#[inline(always)]
fn ipv6(bytes: &[u8], l3: usize, out: &mut Located) {
    out.kind = L3::Other;
    let Some(header) = bytes.get(l3..).and_then(|b| b.first_chunk::<40>()) else { return };
    if header[0] >> 4 != 6 {
        return;
    }
    out.kind = L3::Ipv6;
    out.ip_proto = header[6];
    let l4 = l3 + 40;
    if is_ipv6_extension(header[6]) {
        ipv6_extensions(bytes, l4, out);
    } else if l4 < bytes.len() {
        out.l4 = l4 as u16;
    }
}

/// Next-header values that a header chain goes on behind (IANA "IPv6 Extension Header Types",
/// without ESP, behind which everything is encrypted).
#[inline(always)]
const fn is_ipv6_extension(next: u8) -> bool {
    matches!(next, 0 | 43 | 44 | 51 | 60 | 135 | 139 | 140)
}

#[cold]
fn ipv6_extensions(bytes: &[u8], mut at: usize, out: &mut Located) {
    for _ in 0..EXTENSIONS_MAX {
        let Some(&[next, length]) = bytes.get(at..).and_then(|b| b.first_chunk::<2>()) else {
            return;
        };
        let size = match out.ip_proto {
            44 => 8,
            51 => (usize::from(length) + 2) * 4, // RFC 4302 2.2: in 4-byte units, minus 2
            _ => (usize::from(length) + 1) * 8,
        };
        if out.ip_proto == 44 {
            let Some(field) = be16(bytes, at + 2) else { return };
            // RFC 8200 4.5: an atomic fragment (offset 0, no more) is a whole packet
            out.fragment = field & 0xfff9 != 0;
            if field & 0xfff8 != 0 {
                out.ip_proto = next;
                return;
            }
        }
        out.ip_proto = next;
        at += size;
        if at >= bytes.len() {
            return;
        }
        if !is_ipv6_extension(next) {
            out.l4 = u16::try_from(at).unwrap_or(0);
            return;
        }
    }
}

#[cold]
fn locate_other(linktype: LinkType, bytes: &[u8]) -> Located {
    let (l3, ethertype) = match linktype {
        LinkType::RAW | LinkType::RAW_12 | LinkType::RAW_14 | LinkType::IPV4 | LinkType::IPV6 => {
            (0, ip_version(bytes, 0))
        }
        // The address family's value depends on the system; the IP version nibble does not.
        LinkType::NULL | LinkType::LOOP => (4, ip_version(bytes, 4)),
        LinkType::LINUX_SLL => (16, be16(bytes, 14).unwrap_or(0)),
        LinkType::LINUX_SLL2 => (20, be16(bytes, 0).unwrap_or(0)),
        LinkType::C_HDLC => (4, be16(bytes, 2).unwrap_or(0)),
        LinkType::PPP | LinkType::PPP_HDLC => ppp(bytes),
        _ => return Located::default(),
    };
    if ethertype == 0 || bytes.len() <= l3 {
        return Located::default();
    }
    network(bytes, l3, ethertype, 0, 0)
}

fn ip_version(bytes: &[u8], at: usize) -> u16 {
    match bytes.get(at).map(|b| b >> 4) {
        Some(4) => 0x0800,
        Some(6) => 0x86dd,
        _ => 0,
    }
}

/// RFC 1661 2 and RFC 1662 3.1: address and control may be absent, the protocol field may be one
/// byte (only ever odd).
fn ppp(bytes: &[u8]) -> (usize, u16) {
    let at =
        if bytes.starts_with(&[0xff, 0x03]) || bytes.starts_with(&[0x0f, 0x00]) { 2 } else { 0 };
    match (bytes.get(at), be16(bytes, at)) {
        (Some(0x21), _) => (at + 1, 0x0800),
        (Some(0x57), _) => (at + 1, 0x86dd),
        (_, Some(0x0021)) => (at + 2, 0x0800),
        (_, Some(0x0057)) => (at + 2, 0x86dd),
        _ => (at, 0),
    }
}

#[cfg(test)]
mod tests;
