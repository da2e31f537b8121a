//! From a frame to the innermost IP packet in it: addresses, ports, and what the transport carries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use skb::decode::{Decoded, Decoder, Layer, LayerInfo, is_tunnel_port};
use skb::locate::{L3, Located, locate};
use skb::{FrameMeta, LinkType, MacAddr};

use crate::bytes::{be16, be32};

/// IP protocol numbers (IANA "Assigned Internet Protocol Numbers") that are looked into here.
pub mod proto {
    #![allow(missing_docs)]
    pub const ICMP: u8 = 1;
    pub const IGMP: u8 = 2;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const GRE: u8 = 47;
    pub const ESP: u8 = 50;
    pub const AH: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const EIGRP: u8 = 88;
    pub const OSPF: u8 = 89;
    pub const PIM: u8 = 103;
    pub const VRRP: u8 = 112;
    pub const SCTP: u8 = 132;
}

/// An IP address as the number that its 16 bytes make, in two halves: IPv4 as the IPv4-mapped form
/// (RFC 4291 section 2.5.5.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Address([u64; 2]);

impl Address {
    /// Of an IPv4 address in wire order.
    #[inline(always)]
    pub const fn v4(ip: [u8; 4]) -> Self {
        Self([0, 0xffff << 32 | u32::from_be_bytes(ip) as u64])
    }

    /// Of an IPv6 address in wire order.
    #[inline(always)]
    pub const fn v6(ip: [u8; 16]) -> Self {
        let all = u128::from_be_bytes(ip);
        Self([(all >> 64) as u64, all as u64])
    }

    /// The two halves, the first bytes' first.
    #[inline(always)]
    pub(crate) const fn halves(self) -> [u64; 2] {
        self.0
    }

    /// As the standard library's type.
    pub fn ip(self) -> IpAddr {
        let [high, low] = self.0;
        IpAddr::V6(Ipv6Addr::from(u128::from(high) << 64 | u128::from(low))).to_canonical()
    }
}

impl From<Ipv4Addr> for Address {
    fn from(ip: Ipv4Addr) -> Self {
        Self::v4(ip.octets())
    }
}

impl From<Ipv6Addr> for Address {
    fn from(ip: Ipv6Addr) -> Self {
        Self::v6(ip.octets())
    }
}

impl core::fmt::Debug for Address {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.ip())
    }
}

/// What a TCP header says that a conversation needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TcpHead {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// The low eight flag bits ([`skb::decode::TcpFlags`]).
    pub flags: u8,
    /// Window, unscaled.
    pub window: u16,
}

/// An IP packet, the innermost of its frame.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// Source address.
    pub src: Address,
    /// Destination address.
    pub dst: Address,
    /// Source port, 0 where there is none.
    pub src_port: u16,
    /// Destination port, 0 where there is none.
    pub dst_port: u16,
    /// Protocol number of the transport.
    pub proto: u8,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// Identifier of the outermost VLAN tag, 0 if there is none.
    pub vlan: u16,
    /// Tunnels it came through.
    pub tunnels: u8,
    /// Set for TCP.
    pub tcp: TcpHead,
    /// Type and code (ICMP, `ICMPv6`).
    pub icmp: Option<(u8, u8)>,
    /// What the transport carries, as far as captured.
    pub payload: &'a [u8],
    /// Bytes the transport carries by its length fields.
    pub payload_wire: u32,
    /// Source and destination MAC address of the frame.
    pub macs: Option<(MacAddr, MacAddr)>,
}

impl Packet<'_> {
    /// Its headers alone.
    pub(crate) const fn without_payload(&self) -> Packet<'static> {
        let Self { src, dst, src_port, dst_port, proto, ttl, vlan, tunnels, tcp, icmp, .. } = *self;
        let Self { payload_wire, macs, .. } = *self;
        let payload = &[];
        Packet {
            src,
            dst,
            src_port,
            dst_port,
            proto,
            ttl,
            vlan,
            tunnels,
            tcp,
            icmp,
            payload,
            payload_wire,
            macs,
        }
    }
}

/// What became of a frame.
#[derive(Debug)]
pub enum Peeled<'a> {
    /// It carries an IP packet with a transport of its own.
    Packet(Packet<'a>),
    /// A later fragment: its ports are in the first one.
    Fragment,
    /// Not IP.
    Other,
    /// Too short or contradicting itself.
    Malformed,
}

/// Peels frames.
#[derive(Debug)]
pub struct Peeler {
    decoder: Decoder,
    decoded: Decoded,
}

impl Default for Peeler {
    fn default() -> Self {
        let decoder = Decoder { verify_checksums: false, ..Decoder::new() };
        Self { decoder, decoded: Decoded::default() }
    }
}

impl Peeler {
    /// Finds the innermost IP packet of `bytes`. `meta` is asked for only where the quick look
    /// does not do (tunnels, fragments, uncommon link types).
    #[inline]
    pub fn peel<'a>(
        &mut self,
        linktype: LinkType,
        bytes: &'a [u8],
        meta: impl FnOnce() -> FrameMeta,
    ) -> Peeled<'a> {
        let at = locate(linktype, bytes);
        if let Some(packet) = quick(linktype, bytes, &at) {
            return Peeled::Packet(packet);
        }
        self.decode(bytes, &meta())
    }

    #[cold]
    #[inline(never)]
    fn decode<'a>(&mut self, bytes: &'a [u8], meta: &FrameMeta) -> Peeled<'a> {
        self.decoder.decode(meta, bytes, &mut self.decoded);
        slow(&self.decoded, bytes)
    }
}

/// TCP and UDP straight in IP, neither a fragment nor on a tunnel's port.
#[inline(always)]
fn quick<'a>(linktype: LinkType, bytes: &'a [u8], at: &Located) -> Option<Packet<'a>> {
    if at.l4 == 0 || at.fragment || !matches!(at.ip_proto, proto::TCP | proto::UDP) {
        return None;
    }
    let (l3, l4) = (usize::from(at.l3), usize::from(at.l4));
    let header = bytes.get(l3..)?;
    let (src, dst, ttl, end) = if at.kind == L3::Ipv4 {
        let header = header.first_chunk::<20>()?;
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let src = Address::v4([header[12], header[13], header[14], header[15]]);
        let dst = Address::v4([header[16], header[17], header[18], header[19]]);
        (src, dst, header[8], l3 + total)
    } else {
        let header = header.first_chunk::<40>()?;
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let src = Address::v6(*header[8..].first_chunk()?);
        let dst = Address::v6(*header[24..].first_chunk()?);
        (src, dst, header[7], l3 + 40 + length)
    };
    let (src_port, dst_port) = (be16(bytes, l4)?, be16(bytes, l4 + 2)?);
    let mut tcp = TcpHead::default();
    let data = if at.ip_proto == proto::TCP {
        let header = bytes.get(l4..)?.first_chunk::<20>()?;
        tcp = TcpHead {
            seq: be32(header, 4)?,
            ack: be32(header, 8)?,
            flags: header[13],
            window: be16(header, 14)?,
        };
        let length = usize::from(header[12] >> 4) * 4;
        if length < 20 {
            return None;
        }
        l4 + length
    } else {
        if is_tunnel_port(src_port) || is_tunnel_port(dst_port) {
            return None;
        }
        l4 + 8
    };
    if end < data {
        return None; // a super-frame with length 0, or damage
    }
    let payload = bytes.get(data.min(bytes.len())..end.min(bytes.len()))?;
    Some(Packet {
        src,
        dst,
        src_port,
        dst_port,
        proto: at.ip_proto,
        ttl,
        vlan: at.tci & 0x0fff,
        tunnels: 0,
        tcp,
        icmp: None,
        payload,
        payload_wire: (end - data) as u32,
        macs: (linktype == LinkType::ETHERNET)
            .then(|| (MacAddr::from_slice(&bytes[6..12]), MacAddr::from_slice(&bytes[0..6]))),
    })
}

/// What the layers so far have told.
struct Found {
    ip: Option<(Address, Address, u8, u8)>,
    later_fragment: bool,
    ports: (u16, u16),
    tcp: TcpHead,
    icmp: Option<(u8, u8)>,
    transport: Option<u8>,
    payload_wire: Option<u32>,
    /// Behind the transport's header.
    data: u32,
    vlan: u16,
    tunnels: u8,
    macs: Option<(MacAddr, MacAddr)>,
}

fn slow<'a>(decoded: &Decoded, bytes: &'a [u8]) -> Peeled<'a> {
    let mut found = Found {
        ip: None,
        later_fragment: false,
        ports: (0, 0),
        tcp: TcpHead::default(),
        icmp: None,
        transport: None,
        payload_wire: None,
        data: 0,
        vlan: 0,
        tunnels: 0,
        macs: None,
    };
    for layer in decoded.layers.iter().take_while(|layer| !layer.quoted) {
        found.layer(layer);
    }
    let Some((src, dst, ip_proto, ttl)) = found.ip else {
        return if decoded.malformed.is_some() { Peeled::Malformed } else { Peeled::Other };
    };
    if found.transport.is_none() && found.later_fragment {
        return Peeled::Fragment;
    }
    let proto = found.transport.unwrap_or(ip_proto);
    // what lies behind the transport: further layers are its payload's own (a tunnel that carries
    // no IP, or what the decoder names by port)
    let end = (decoded.payload.end as usize).min(bytes.len());
    let data = if found.transport.is_some() { found.data } else { decoded.payload.start };
    let payload = bytes.get((data as usize).min(end)..end).unwrap_or_default();
    if found.transport.is_none()
        && matches!(proto, proto::TCP | proto::UDP)
        && decoded.malformed.is_some()
    {
        return Peeled::Malformed;
    }
    Peeled::Packet(Packet {
        src,
        dst,
        src_port: found.ports.0,
        dst_port: found.ports.1,
        proto,
        ttl,
        vlan: found.vlan,
        tunnels: found.tunnels,
        tcp: found.tcp,
        icmp: found.icmp,
        payload,
        payload_wire: found.payload_wire.unwrap_or(payload.len() as u32),
        macs: found.macs,
    })
}

impl Found {
    fn layer(&mut self, layer: &Layer) {
        match layer.info {
            LayerInfo::Eth { dst, src, .. } if self.macs.is_none() => self.macs = Some((src, dst)),
            LayerInfo::Vlan { vid, .. } if self.vlan == 0 => self.vlan = vid,
            LayerInfo::Ip(ip) => {
                self.begin((ip.src.into(), ip.dst.into(), ip.proto, ip.ttl));
                self.later_fragment = ip.frag_offset != 0;
            }
            LayerInfo::Ipv6(ip) => {
                self.begin((ip.src.into(), ip.dst.into(), ip.next, ip.hop_limit));
            }
            LayerInfo::Ipv6Ext { next, .. } => self.next(next),
            LayerInfo::Ipv6Frag { next, frag_offset, .. } => {
                self.next(next);
                self.later_fragment = frag_offset != 0;
            }
            LayerInfo::Ah { .. } => self.transport(proto::AH, layer),
            LayerInfo::Esp { .. } if self.transport.is_none_or(|proto| proto == proto::AH) => {
                self.transport(proto::ESP, layer);
            }
            LayerInfo::Tcp(tcp) => {
                self.transport(proto::TCP, layer);
                self.ports = (tcp.src_port, tcp.dst_port);
                self.payload_wire = Some(tcp.payload_length);
                self.tcp = TcpHead {
                    seq: tcp.seq,
                    ack: tcp.ack,
                    flags: tcp.flags.0 as u8,
                    window: tcp.window,
                };
            }
            LayerInfo::Udp { src_port, dst_port, length, .. } => {
                self.transport(proto::UDP, layer);
                self.ports = (src_port, dst_port);
                self.payload_wire = Some(u32::from(length.saturating_sub(8)));
            }
            LayerInfo::Sctp { src_port, dst_port, .. } => {
                self.transport(proto::SCTP, layer);
                self.ports = (src_port, dst_port);
            }
            LayerInfo::Icmp { ty, code, .. } => {
                self.transport(proto::ICMP, layer);
                self.icmp = Some((ty, code));
            }
            LayerInfo::Icmpv6 { ty, code, .. } => {
                self.transport(proto::ICMPV6, layer);
                self.icmp = Some((ty, code));
            }
            LayerInfo::Igmp { .. } => self.transport(proto::IGMP, layer),
            LayerInfo::Gre { .. } => self.transport(proto::GRE, layer),
            _ => {}
        }
    }

    /// An IP header: what was found before belongs to a tunnel.
    fn begin(&mut self, ip: (Address, Address, u8, u8)) {
        if self.ip.is_some() {
            self.tunnels += 1;
        }
        self.ip = Some(ip);
        self.transport = None;
        self.later_fragment = false;
        self.ports = (0, 0);
        self.tcp = TcpHead::default();
        self.icmp = None;
        self.payload_wire = None;
    }

    fn next(&mut self, next: u8) {
        if let Some(ip) = &mut self.ip {
            ip.2 = next;
        }
    }

    fn transport(&mut self, proto: u8, layer: &Layer) {
        self.transport = Some(proto);
        self.data = layer.end();
    }
}
