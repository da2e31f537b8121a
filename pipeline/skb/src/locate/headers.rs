//! Where a frame's headers end: what may be kept of a frame whose payload is nobody's business.

use super::{L3, locate};
use crate::LinkType;

/// Bytes of an LLC header with SNAP (IEEE 802 clause 9.5).
const LLC_SNAP: usize = 8;
/// ARP for Ethernet and IPv4 (RFC 826): no payload at all.
const ARP: usize = 28;

/// How many bytes of the frame are headers, up to and with the outermost transport header.
///
/// TCP with its options, UDP, SCTP's common header, the first eight bytes of ICMP; of other
/// protocols over IP nothing beyond the IP header, of other network protocols nothing beyond the
/// Ethernet header and LLC. Never more than the bytes given.
pub fn headers_len(linktype: LinkType, bytes: &[u8]) -> usize {
    let at = locate(linktype, bytes);
    let (l3, l4) = (usize::from(at.l3), usize::from(at.l4));
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let end = match at.kind {
        L3::None => bytes.len().min(14),
        L3::Other => l3,
        L3::Llc => l3 + LLC_SNAP,
        L3::Arp => l3 + ARP,
        L3::Ipv4 if l4 == 0 => l3 + usize::from(byte(l3) & 0xf) * 4,
        L3::Ipv6 if l4 == 0 => l3 + 40,
        L3::Ipv4 | L3::Ipv6 => match at.ip_proto {
            // RFC 9293 3.1, data offset in words; RFC 768; RFC 792 and 4443; RFC 9260 3.1
            6 => l4 + usize::from(byte(l4 + 12) >> 4).max(5) * 4,
            17 | 1 | 58 => l4 + 8,
            132 => l4 + 12,
            _ => l4,
        },
    };
    end.min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETH: LinkType = LinkType::ETHERNET;

    fn ip4(proto: u8, fragment: u16, l4: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend_from_slice(&[8, 0, 0x45, 0]);
        frame.extend_from_slice(&(20 + l4.len() as u16).to_be_bytes());
        frame.extend_from_slice(&[0, 1]);
        frame.extend_from_slice(&fragment.to_be_bytes());
        frame.extend_from_slice(&[64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend_from_slice(l4);
        frame
    }

    #[test]
    fn payload_is_cut_where_it_begins() {
        let mut tcp = vec![0; 32];
        tcp[12] = 0x80; // 32 bytes with options
        tcp.extend_from_slice(b"name of a patient");
        assert_eq!(headers_len(ETH, &ip4(6, 0, &tcp)), 14 + 20 + 32);
        assert_eq!(headers_len(ETH, &ip4(17, 0, &[1; 30])), 14 + 20 + 8);
        assert_eq!(headers_len(ETH, &ip4(1, 0, &[8; 64])), 14 + 20 + 8);
        assert_eq!(
            headers_len(ETH, &ip4(47, 0, &[8; 64])),
            14 + 20,
            "GRE: what is in it is payload"
        );
        assert_eq!(headers_len(ETH, &ip4(17, 185, &[1; 30])), 14 + 20, "a later fragment");
        let mut other = vec![0; 60];
        other[12..14].copy_from_slice(&[0x88, 0xb5]);
        assert_eq!(headers_len(ETH, &other), 14);
        other[12..14].copy_from_slice(&[0x08, 0x06]);
        assert_eq!(headers_len(ETH, &other), 14 + 28);
        let mut bad = ip4(6, 0, &[0; 40]);
        bad[14 + 20 + 12] = 0x10; // a data offset of 4 bytes
        assert_eq!(headers_len(ETH, &bad), 14 + 20 + 20);
        for len in 0..bad.len() {
            assert!(headers_len(ETH, &bad[..len]) <= len);
        }
    }
}
