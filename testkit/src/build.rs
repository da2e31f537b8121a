//! Frame builders, inside out: every function takes the payload and puts its header in front.
//!
//! `etherparse` builds IP with TCP, UDP and ICMP, checksums included; what it does not know
//! (tunnels, tags in odd places, link headers) is a few bytes here. Nothing checks that a frame
//! makes sense: tests need those that do not.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::PacketBuilder;
use skb::{FrameMeta, LinkType};

/// Destination of built frames.
pub const MAC_A: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0a];
/// Source of built frames.
pub const MAC_B: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0b];
/// Source of built IPv4 packets.
pub const IP_A: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Destination of built IPv4 packets.
pub const IP_B: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// Source of built IPv6 packets.
pub const IP6_A: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1);
/// Destination of built IPv6 packets.
pub const IP6_B: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 0, 0, 0, 2);

/// Metadata of a wholly captured Ethernet frame.
pub fn meta(bytes: &[u8]) -> FrameMeta {
    meta_of(LinkType::ETHERNET, bytes)
}

/// Metadata of a wholly captured frame of any link type.
pub fn meta_of(linktype: LinkType, bytes: &[u8]) -> FrameMeta {
    FrameMeta {
        number: 1,
        time_ns: Some(0),
        caplen: bytes.len() as u32,
        origlen: bytes.len() as u32,
        linktype,
        ..FrameMeta::default()
    }
}

/// Joins byte strings.
pub fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// A MAC header in front of `payload`.
pub fn eth(ty: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&MAC_A, &MAC_B, &ty.to_be_bytes(), payload])
}

/// An 802.3 frame: the length of `payload` where others have a type.
pub fn eth_802_3(payload: &[u8]) -> Vec<u8> {
    eth(payload.len() as u16, payload)
}

/// The four bytes of a tag after its TPID (which is the type of what is in front).
pub fn vlan(vid: u16, ty: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&vid.to_be_bytes(), &ty.to_be_bytes(), payload])
}

/// SNAP with OUI 0.
pub fn snap(ty: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&[0xaa, 0xaa, 3, 0, 0, 0], &ty.to_be_bytes(), payload])
}

/// An IEEE 802.3 frame of a length and LLC, padded.
pub fn llc(to: [u8; 6], from: [u8; 6], payload: &[u8]) -> Vec<u8> {
    pad(join(&[&to, &from, &(payload.len() as u16).to_be_bytes(), payload]))
}

/// A configuration message of the spanning tree with this root (IEEE 802.1D clause 9.3.1).
pub fn bpdu(from: [u8; 6], priority: u16, root: u8) -> Vec<u8> {
    let message = join(&[
        &[0x42, 0x42, 3, 0, 0, 0, 0, 0],
        &priority.to_be_bytes(),
        &[2, 0, 0, 0, 0, root, 0, 0, 0, 4],
        &[0x80, 1, 2, 0, 0, 0, 0, 2, 0x80, 2, 0, 0, 20, 0, 2, 0, 15, 0],
    ]);
    llc([1, 0x80, 0xc2, 0, 0, 0], from, &message)
}

/// Zeros up to 60 bytes.
pub fn pad(mut frame: Vec<u8>) -> Vec<u8> {
    if frame.len() < 60 {
        frame.resize(60, 0);
    }
    frame
}

/// Appends the FCS of IEEE 802.3 clause 3.2.9.
pub fn fcs(mut frame: Vec<u8>) -> Vec<u8> {
    let crc = crc32fast::hash(&frame);
    frame.extend_from_slice(&crc.to_le_bytes());
    frame
}

fn written<E: std::fmt::Debug>(
    capacity: usize,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(capacity);
    write(&mut out).expect("a Vec takes any packet that fits the length fields");
    out
}

/// An IPv4 packet with UDP, sums right.
pub fn ip4_udp(src_port: u16, dst_port: u16, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(IP_A.octets(), IP_B.octets(), 64).udp(src_port, dst_port);
    written(builder.size(payload.len()), |out| builder.write(out, payload))
}

/// An IPv4 packet with TCP, sums right.
pub fn ip4_tcp(src_port: u16, dst_port: u16, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(IP_A.octets(), IP_B.octets(), 64)
        .tcp(src_port, dst_port, 1000, 4096)
        .ack(2000);
    written(builder.size(payload.len()), |out| builder.write(out, payload))
}

/// An IPv4 echo request, sums right.
pub fn ip4_echo(id: u16, seq: u16, payload: &[u8]) -> Vec<u8> {
    let builder =
        PacketBuilder::ipv4(IP_A.octets(), IP_B.octets(), 64).icmpv4_echo_request(id, seq);
    written(builder.size(payload.len()), |out| builder.write(out, payload))
}

/// An IPv6 packet with UDP, sum right.
pub fn ip6_udp(src_port: u16, dst_port: u16, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ipv6(IP6_A.octets(), IP6_B.octets(), 64).udp(src_port, dst_port);
    written(builder.size(payload.len()), |out| builder.write(out, payload))
}

/// An IPv6 packet with TCP, sum right.
pub fn ip6_tcp(src_port: u16, dst_port: u16, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ipv6(IP6_A.octets(), IP6_B.octets(), 64)
        .tcp(src_port, dst_port, 1000, 4096)
        .ack(2000);
    written(builder.size(payload.len()), |out| builder.write(out, payload))
}

/// An IPv6 echo request, sum right.
pub fn ip6_echo(id: u16, seq: u16, payload: &[u8]) -> Vec<u8> {
    let builder =
        PacketBuilder::ipv6(IP6_A.octets(), IP6_B.octets(), 64).icmpv6_echo_request(id, seq);
    written(builder.size(payload.len()), |out| builder.write(out, payload))
}

/// The Internet checksum of `bytes` (RFC 1071), by the definition.
pub fn internet_checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// An IPv4 header with any protocol number in front of `payload`; `fragment` is the flags and
/// fragment offset field.
pub fn ip4(proto: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    ip4_options(proto, fragment, &[], payload)
}

/// As [`ip4`], with options (a multiple of four bytes).
pub fn ip4_options(proto: u8, fragment: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let header = 20 + options.len();
    let total = (header + payload.len()) as u16;
    let mut out = vec![0x40 | (header / 4) as u8, 0];
    out.extend_from_slice(&total.to_be_bytes());
    out.extend_from_slice(&[0x12, 0x34]);
    out.extend_from_slice(&fragment.to_be_bytes());
    out.extend_from_slice(&[64, proto, 0, 0]);
    out.extend_from_slice(&IP_A.octets());
    out.extend_from_slice(&IP_B.octets());
    out.extend_from_slice(options);
    let sum = internet_checksum(&out);
    out[10..12].copy_from_slice(&sum.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// An IPv6 header with any next header in front of `payload`.
pub fn ip6(next: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_be_bytes();
    join(&[&[0x60, 0, 0, 0], &length, &[next, 64], &IP6_A.octets(), &IP6_B.octets(), payload])
}

/// An IPv6 extension header of eight bytes with padding options.
pub fn ip6_extension(next: u8, payload: &[u8]) -> Vec<u8> {
    join(&[&[next, 0, 1, 4, 0, 0, 0, 0], payload])
}

/// An IPv6 fragment header.
pub fn ip6_fragment(next: u8, frag_offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    let field = (frag_offset & 0xfff8 | u16::from(more)).to_be_bytes();
    join(&[&[next, 0], &field, &[0, 0, 0x12, 0x34], payload])
}

/// The transport part of an IPv4 packet without options, its sum intact.
pub fn transport_of_v4(packet: &[u8]) -> &[u8] {
    packet.get(20..).unwrap_or(&[])
}

/// The transport part of an IPv6 packet without extensions, its sum intact.
pub fn transport_of_v6(packet: &[u8]) -> &[u8] {
    packet.get(40..).unwrap_or(&[])
}

/// An ARP request.
pub fn arp() -> Vec<u8> {
    join(&[&[0, 1, 8, 0, 6, 4, 0, 1], &MAC_B, &IP_A.octets(), &[0; 6], &IP_B.octets()])
}

/// An ICMP message with its sum.
pub fn icmp(ty: u8, code: u8, rest: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut out = join(&[&[ty, code, 0, 0], &rest, payload]);
    let sum = internet_checksum(&out);
    out[2..4].copy_from_slice(&sum.to_be_bytes());
    out
}

/// GRE version 0 without options.
pub fn gre(protocol: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&[0, 0], &protocol.to_be_bytes(), payload])
}

/// GRE version 0 with key and sequence number.
pub fn gre_key_seq(protocol: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&[0x30, 0], &protocol.to_be_bytes(), &[0, 0, 0, 7, 0, 0, 0, 1], payload])
}

/// GRE version 1 (PPTP) around a PPP frame.
pub fn gre_pptp(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_be_bytes();
    join(&[&[0x30, 0x01, 0x88, 0x0b], &length, &[0, 9], &[0, 0, 0, 1], payload])
}

/// ERSPAN type II behind GRE with a sequence number.
pub fn erspan_2(payload: &[u8]) -> Vec<u8> {
    join(&[&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1], &[0x10, 0x0a, 0, 5, 0, 0, 0, 0], payload])
}

/// ERSPAN type III behind GRE with a sequence number, without subheader.
pub fn erspan_3(payload: &[u8]) -> Vec<u8> {
    join(&[
        &[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1],
        &[0x20, 0x0a, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0],
        payload,
    ])
}

/// A VXLAN header (RFC 7348).
pub fn vxlan(vni: u32, payload: &[u8]) -> Vec<u8> {
    join(&[&[8, 0, 0, 0], &(vni << 8).to_be_bytes(), payload])
}

/// A VXLAN-GPE header.
pub fn vxlan_gpe(vni: u32, next: u8, payload: &[u8]) -> Vec<u8> {
    join(&[&[0x0c, 0, 0, next], &(vni << 8).to_be_bytes(), payload])
}

/// A Geneve header with `options` (a multiple of four bytes).
pub fn geneve(vni: u32, protocol: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    join(&[
        &[(options.len() / 4) as u8, 0],
        &protocol.to_be_bytes(),
        &(vni << 8).to_be_bytes(),
        options,
        payload,
    ])
}

/// One label stack entry.
pub fn mpls(label: u32, bottom: bool, payload: &[u8]) -> Vec<u8> {
    let entry = label << 12 | u32::from(bottom) << 8 | 64;
    join(&[&entry.to_be_bytes(), payload])
}

/// A PPPoE session header.
pub fn pppoe(payload: &[u8]) -> Vec<u8> {
    join(&[&[0x11, 0, 0, 5], &(payload.len() as u16).to_be_bytes(), payload])
}

/// PPP without address and control.
pub fn ppp(protocol: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&protocol.to_be_bytes(), payload])
}

/// A GTP-U G-PDU.
pub fn gtp(payload: &[u8]) -> Vec<u8> {
    join(&[&[0x30, 255], &(payload.len() as u16).to_be_bytes(), &[0, 0, 0, 9], payload])
}

/// An L2TP version 2 data message with length field.
pub fn l2tp(payload: &[u8]) -> Vec<u8> {
    join(&[&[0x40, 2], &(8 + payload.len() as u16).to_be_bytes(), &[0, 3, 0, 4], payload])
}

/// An 802.1ah I-TAG with customer addresses.
pub fn backbone(isid: u32, ty: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&isid.to_be_bytes(), &MAC_B, &MAC_A, &ty.to_be_bytes(), payload])
}

/// `LINKTYPE_LINUX_SLL`.
pub fn sll(protocol: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&[0, 0, 0, 1, 0, 6], &MAC_B, &[0, 0], &protocol.to_be_bytes(), payload])
}

/// `LINKTYPE_LINUX_SLL2`.
pub fn sll2(protocol: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&protocol.to_be_bytes(), &[0, 0, 0, 0, 0, 2, 0, 1, 0, 6], &MAC_B, &[0, 0], payload])
}

/// An SCTP packet with one chunk and its CRC-32c.
pub fn sctp(src_port: u16, dst_port: u16, crc32c: impl Fn(&[u8]) -> u32) -> Vec<u8> {
    let mut out = join(&[
        &src_port.to_be_bytes(),
        &dst_port.to_be_bytes(),
        &[0, 0, 0, 1, 0, 0, 0, 0],
        &[11, 0, 0, 4],
    ]);
    let crc = crc32c(&out).to_le_bytes();
    out[8..12].copy_from_slice(&crc);
    out
}

/// A classic pcap file, little-endian, microseconds: one record for each frame, whole.
pub fn pcap(linktype: LinkType, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    let word = |out: &mut Vec<u8>, value: u32| out.extend_from_slice(&value.to_le_bytes());
    word(&mut out, 0xa1b2_c3d4);
    word(&mut out, 4 << 16 | 2);
    word(&mut out, 0);
    word(&mut out, 0);
    word(&mut out, 262_144);
    word(&mut out, u32::from(linktype.0));
    for (number, frame) in frames.iter().enumerate() {
        word(&mut out, 1_700_000_000 + number as u32);
        word(&mut out, 0);
        word(&mut out, frame.len() as u32);
        word(&mut out, frame.len() as u32);
        out.extend_from_slice(frame);
    }
    out
}
