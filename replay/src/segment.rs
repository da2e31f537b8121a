//! Super-frames cut into the segments that were on the wire.
//!
//! A capture on the sending or receiving machine shows TCP segments before the network card has
//! cut them up (TSO) or after the kernel has joined them (GRO): frames of up to 64 KiB, with BIG
//! TCP more, that never were on a wire. Cut again as Linux does in software
//! (`net/ipv4/tcp_offload.c`, `tcp_gso_segment`): sequence numbers go on, the IPv4 identification
//! counts up, FIN and PSH stay on the last segment and CWR on the first, all sums are made anew.
//! Where the cuts were is not in the capture: each segment but the last fills the MTU.

use skb::checksum::{fold, sum, word};
use skb::locate::{L3, Located, locate_ethernet};

use crate::prepare::frame_max;

const TCP: u8 = 6;
const UDP: u8 = 17;
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;
/// A hop-by-hop header that holds nothing but a jumbo payload option (RFC 2675), as BIG TCP
/// puts it into the kernel's super-frames.
const JUMBO_HEADER: usize = 8;

/// Why a super-frame cannot be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// UDP: nothing in the frame says how long its datagrams were.
    Udp,
    /// Neither TCP nor UDP over IP.
    NotTcp,
    /// An IP fragment is cut by the sender only.
    Fragment,
    /// The TCP header is not whole, or longer than the MTU leaves room for.
    Header,
}

impl Refusal {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "super-frame-udp",
            Self::NotTcp => "super-frame-not-tcp",
            Self::Fragment => "super-frame-fragment",
            Self::Header => "super-frame-header",
        }
    }

    /// What it means, for people.
    pub const fn explain(self) -> &'static str {
        match self {
            Self::Udp => "a UDP super-frame: how long its datagrams were is not in the capture",
            Self::NotTcp => "longer than the interface sends and not TCP over IP",
            Self::Fragment => "longer than the interface sends, and an IP fragment",
            Self::Header => "its headers are damaged or leave no room in the MTU",
        }
    }
}

/// Whether a frame is no frame of a wire with that MTU: longer, or with an IP length of 0, which
/// stands for "too long to say".
pub fn is_super(frame: &[u8], mtu: u32) -> bool {
    if frame.len() > frame_max(frame, mtu) {
        return true;
    }
    let at = locate_ethernet(frame);
    at.ip_proto == TCP && at.l4 != 0 && stated_len(frame, &at) == Some(0)
}

/// The length field of the IP header: total length of IPv4, payload length of IPv6.
fn stated_len(frame: &[u8], at: &Located) -> Option<u16> {
    let field = match at.kind {
        L3::Ipv4 => usize::from(at.l3) + 2,
        L3::Ipv6 => usize::from(at.l3) + 4,
        _ => return None,
    };
    let field = frame.get(field..field + 2)?;
    Some(u16::from_be_bytes([field[0], field[1]]))
}

/// Cuts super-frames; keeps its memory.
#[derive(Debug, Default)]
pub struct Segmenter {
    header: Vec<u8>,
}

/// Where the parts of a TCP frame are.
struct Parts {
    l3: usize,
    /// TCP header, in the header to be sent (a jumbo option is left out of it).
    l4: usize,
    ipv6: bool,
    payload: std::ops::Range<usize>,
}

impl Segmenter {
    /// Hands the pieces of each segment to `each`: header and payload. Returns how many.
    pub fn cut(
        &mut self,
        frame: &[u8],
        mtu: u32,
        mut each: impl FnMut(&[&[u8]]),
    ) -> Result<u64, Refusal> {
        let parts = self.take_apart(frame)?;
        let headers = self.header.len() - parts.l3;
        let room = (mtu as usize).min(65_535).checked_sub(headers).filter(|room| *room > 0);
        let room = room.ok_or(Refusal::Header)?;
        let payload = &frame[parts.payload.clone()];
        let flags = self.header[parts.l4 + 13];
        let seq = be32(&self.header, parts.l4 + 4);
        let id = be16(&self.header, parts.l3 + 4);
        let count = payload.len().div_ceil(room).max(1);
        for i in 0..count {
            let piece = &payload[i * room..((i + 1) * room).min(payload.len())];
            let mut flags = flags;
            if i > 0 {
                flags &= !CWR;
            }
            if i + 1 < count {
                flags &= !(FIN | PSH);
            }
            let header = &mut self.header;
            header[parts.l4 + 13] = flags;
            let seq = seq.wrapping_add((i * room) as u32);
            header[parts.l4 + 4..parts.l4 + 8].copy_from_slice(&seq.to_be_bytes());
            network(header, &parts, piece.len(), id.wrapping_add(i as u16));
            checksum(header, &parts, piece);
            each(&[header, piece]);
        }
        Ok(count as u64)
    }

    /// Fills `header` with the headers as each segment has them.
    fn take_apart(&mut self, frame: &[u8]) -> Result<Parts, Refusal> {
        let at = locate_ethernet(frame);
        let ipv6 = match at.kind {
            L3::Ipv4 => false,
            L3::Ipv6 => true,
            _ => return Err(Refusal::NotTcp),
        };
        if at.fragment {
            return Err(Refusal::Fragment);
        }
        match at.ip_proto {
            TCP => {}
            UDP => return Err(Refusal::Udp),
            _ => return Err(Refusal::NotTcp),
        }
        let (l3, l4) = (usize::from(at.l3), usize::from(at.l4));
        let offset = frame.get(l4 + 12).filter(|_| l4 != 0).ok_or(Refusal::Header)?;
        let tcp_len = usize::from(offset >> 4) * 4;
        if tcp_len < 20 || l4 + tcp_len > frame.len() {
            return Err(Refusal::Header);
        }
        let end = match stated_len(frame, &at) {
            None | Some(0) => frame.len(),
            Some(len) if ipv6 => frame.len().min(l3 + 40 + usize::from(len)),
            Some(len) => frame.len().min(l3 + usize::from(len)),
        };
        if l4 + tcp_len > end {
            return Err(Refusal::Header);
        }
        self.header.clear();
        self.header.extend_from_slice(&frame[..l4 + tcp_len]);
        let mut parts = Parts { l3, l4, ipv6, payload: l4 + tcp_len..end };
        if ipv6 && is_jumbo(&frame[l3..]) {
            self.header[l3 + 6] = self.header[l3 + 40];
            self.header.drain(l3 + 40..l3 + 40 + JUMBO_HEADER);
            parts.l4 -= JUMBO_HEADER;
        }
        Ok(parts)
    }
}

/// An IPv6 packet whose first extension is a jumbo payload option and nothing else.
fn is_jumbo(packet: &[u8]) -> bool {
    packet.get(6) == Some(&0)
        && packet.get(41..44).is_some_and(|hop_by_hop| hop_by_hop == [0, 0xc2, 4])
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Length, identification and header checksum.
fn network(header: &mut [u8], parts: &Parts, payload: usize, id: u16) {
    let packet = header.len() - parts.l3 + payload;
    let ip = &mut header[parts.l3..parts.l4];
    if parts.ipv6 {
        ip[4..6].copy_from_slice(&((packet - 40) as u16).to_be_bytes());
        return;
    }
    ip[2..4].copy_from_slice(&(packet as u16).to_be_bytes());
    ip[4..6].copy_from_slice(&id.to_be_bytes());
    ip[10..12].fill(0);
    let checksum = !(fold(sum(ip)) as u16);
    ip[10..12].copy_from_slice(&checksum.to_le_bytes());
}

/// The checksum of TCP (RFC 9293 3.1) over its pseudo header (RFC 8200 8.1 for IPv6).
fn checksum(header: &mut [u8], parts: &Parts, payload: &[u8]) {
    let segment = header.len() - parts.l4 + payload.len();
    header[parts.l4 + 16..parts.l4 + 18].fill(0);
    let addresses = if parts.ipv6 { 8..40 } else { 12..20 };
    let pseudo = sum(&header[parts.l3..][addresses]) + word(u16::from(TCP)) + word(segment as u16);
    // a TCP header is of even length: its sum and the payload's may be added
    let total = pseudo + sum(&header[parts.l4..]) + sum(payload);
    let checksum = !(fold(total) as u16);
    header[parts.l4 + 16..parts.l4 + 18].copy_from_slice(&checksum.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use etherparse::{NetHeaders, PacketHeaders, TransportHeader};
    use proptest::prelude::*;
    use testkit::build;

    use super::*;

    fn cut(frame: &[u8], mtu: u32) -> Result<Vec<Vec<u8>>, Refusal> {
        let mut segments = Vec::new();
        let count =
            Segmenter::default().cut(frame, mtu, |pieces| segments.push(pieces.concat()))?;
        assert_eq!(count, segments.len() as u64);
        Ok(segments)
    }

    /// A TCP frame with an odd set of flags and options, by etherparse.
    fn tcp(ipv6: bool, tagged: bool, payload: &[u8]) -> Vec<u8> {
        let builder = etherparse::PacketBuilder::ethernet2(build::MAC_B, build::MAC_A);
        let ip = if ipv6 {
            etherparse::IpHeaders::Ipv6(
                etherparse::Ipv6Header { hop_limit: 9, ..Default::default() },
                etherparse::Ipv6Extensions::default(),
            )
        } else {
            let mut header =
                etherparse::Ipv4Header::new(0, 7, etherparse::IpNumber::TCP, [1; 4], [2; 4])
                    .unwrap();
            header.identification = 65_535;
            etherparse::IpHeaders::Ipv4(header, etherparse::Ipv4Extensions::default())
        };
        let builder =
            if tagged { builder.single_vlan(5.try_into().unwrap()).ip(ip) } else { builder.ip(ip) };
        let builder = builder
            .tcp(1, 2, u32::MAX - 10, 99)
            .fin()
            .psh()
            .ack(3)
            .options(&[etherparse::TcpOptionElement::Timestamp(1, 2)])
            .unwrap();
        let mut frame = Vec::new();
        builder.write(&mut frame, payload).unwrap();
        let l4 = usize::from(locate_ethernet(&frame).l4);
        frame[l4 + 13] |= CWR;
        frame
    }

    /// Sums are checked by etherparse, not by what made them.
    fn check(segments: &[Vec<u8>], mtu: u32, payload: &[u8], id: u16) {
        let mut got = Vec::new();
        for (i, segment) in segments.iter().enumerate() {
            assert!(segment.len() <= frame_max(segment, mtu));
            let headers = PacketHeaders::from_ethernet_slice(segment).unwrap();
            let Some(TransportHeader::Tcp(tcp)) = &headers.transport else { panic!("{headers:?}") };
            let data = headers.payload.slice();
            let last = i + 1 == segments.len();
            let sum = match headers.net.as_ref().unwrap() {
                NetHeaders::Ipv4(ip, _) => {
                    assert_eq!(ip.header_checksum, ip.calc_header_checksum());
                    assert_eq!(ip.identification, id.wrapping_add(i as u16));
                    tcp.calc_checksum_ipv4(ip, data).unwrap()
                }
                NetHeaders::Ipv6(ip, _) => tcp.calc_checksum_ipv6(ip, data).unwrap(),
                other @ NetHeaders::Arp(_) => panic!("{other:?}"),
            };
            assert_eq!(tcp.checksum, sum);
            assert_eq!((tcp.fin, tcp.psh, tcp.cwr, tcp.ack), (last, last, i == 0, true));
            assert_eq!(tcp.sequence_number, (u32::MAX - 10).wrapping_add(got.len() as u32));
            assert_eq!(tcp.options_iterator().count(), 1, "the timestamp");
            got.extend_from_slice(data);
        }
        assert_eq!(got, payload);
    }

    #[test]
    fn lengths_of_zero_and_jumbo_options_are_read_by_the_frames_length() {
        let payload: Vec<u8> = (0..40_000u32).map(|i| i as u8).collect();
        let mut v4 = tcp(false, true, &payload);
        v4[20..22].fill(0);
        assert!(is_super(&v4, 1500) && is_super(&v4, 65_535));
        check(&cut(&v4, 1500).unwrap(), 1500, &payload, 65_535);
        // BIG TCP: payload length 0, hop-by-hop with a jumbo payload option
        let v6 = tcp(true, false, &payload);
        let mut big = v6.clone();
        big[18..20].fill(0);
        let option = [big[20], 0, 0xc2, 4, 0, 0, 0xab, 0xcd];
        big[20] = 0;
        big.splice(54..54, option);
        let segments = cut(&big, 1500).unwrap();
        check(&segments, 1500, &payload, 0);
        assert_eq!(segments, cut(&v6, 1500).unwrap());
        // one that fits only lacks its length
        let mut small = tcp(false, false, b"hello");
        let whole = small.clone();
        small[16..18].fill(0);
        assert!(!is_super(&whole, 1500) && is_super(&small, 1500));
        assert_eq!(cut(&small, 1500).unwrap().len(), 1);
    }

    #[test]
    fn what_cannot_be_cut_is_refused() {
        let long = vec![1; 4000];
        assert_eq!(cut(&build::eth(0x0800, &build::ip4_udp(1, 2, &long)), 1500), Err(Refusal::Udp));
        assert_eq!(cut(&build::eth(0x88b5, &long), 1500), Err(Refusal::NotTcp));
        let fragment = build::eth(0x0800, &build::ip4(6, 0x2000, &long));
        assert_eq!(cut(&fragment, 1500), Err(Refusal::Fragment));
        assert_eq!(
            cut(&build::eth(0x0800, &build::ip4_echo(1, 2, &long)), 1500),
            Err(Refusal::NotTcp)
        );
        let frame = tcp(false, false, &long);
        assert_eq!(cut(&frame, 52), Err(Refusal::Header), "no room behind the headers");
        assert_eq!(cut(&frame, 53).unwrap().len(), 4000);
        let mut bad = frame.clone();
        bad[46] = 0x10; // TCP header of 4 bytes
        assert_eq!(cut(&bad, 1500), Err(Refusal::Header));
        bad[46] = 0xf0;
        bad.truncate(60);
        assert_eq!(cut(&bad, 1500), Err(Refusal::Header));
    }

    proptest! {
        #[test]
        fn segments_are_what_the_payload_was(
            ipv6: bool, tagged: bool, mtu in 200..9000_u32, len in 0..65_000_usize, seed: u8
        ) {
            let payload: Vec<u8> = (0..len).map(|i| (i as u8).wrapping_mul(7) ^ seed).collect();
            check(&cut(&tcp(ipv6, tagged, &payload), mtu).unwrap(), mtu, &payload, 65_535);
        }

        #[test]
        fn nothing_panics(frame in prop::collection::vec(any::<u8>(), 0..200), mtu: u32) {
            let _ = is_super(&frame, mtu);
            let _ = cut(&frame, mtu);
        }

        #[test]
        fn nothing_panics_near_tcp(
            at in 12..80_usize, byte: u8, cut_at in 14..120_usize, mtu in 0..100_u32, ipv6: bool
        ) {
            let mut frame = tcp(ipv6, false, &[1; 60]);
            frame[at] = byte;
            frame.truncate(cut_at);
            let _ = is_super(&frame, mtu);
            let _ = cut(&frame, mtu);
        }
    }
}
