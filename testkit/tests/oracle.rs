//! The decoder against etherparse on generated frames.

#![allow(clippy::unwrap_used)] // helpers of tests

use etherparse::{LinkExtSlice, NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use framewalk_testkit::build::*;
use proptest::prelude::*;
use skb::decode::{Decoded, Decoder, LayerInfo};

/// What both decoders see of a frame, in the same words.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    macs: Option<([u8; 6], [u8; 6])>,
    vids: Vec<u16>,
    v4: Option<([u8; 4], [u8; 4], u8, u8)>,
    v6: Option<([u8; 16], [u8; 16], u8)>,
    tcp: Option<(u16, u16, u32, u32, u16)>,
    udp: Option<(u16, u16, u16)>,
    icmp: Option<(u8, u8)>,
    icmpv6: Option<(u8, u8)>,
    payload: Vec<u8>,
}

fn ours(bytes: &[u8]) -> Seen {
    let mut out = Decoded::default();
    Decoder::new().decode(&meta(bytes), bytes, &mut out);
    let mut seen = Seen::default();
    for layer in &out.layers {
        match layer.info {
            LayerInfo::Eth { dst, src, .. } => seen.macs = Some((dst.0, src.0)),
            LayerInfo::Vlan { vid, .. } => seen.vids.push(vid),
            LayerInfo::Ip(ip) => {
                seen.v4 = Some((ip.src.octets(), ip.dst.octets(), ip.proto, ip.ttl));
            }
            LayerInfo::Ipv6(ip) => {
                seen.v6 = Some((ip.src.octets(), ip.dst.octets(), ip.hop_limit));
            }
            LayerInfo::Tcp(tcp) => {
                seen.tcp = Some((tcp.src_port, tcp.dst_port, tcp.seq, tcp.ack, tcp.window));
            }
            LayerInfo::Udp { src_port, dst_port, length, .. } => {
                seen.udp = Some((src_port, dst_port, length));
            }
            LayerInfo::Icmp { ty, code, .. } => seen.icmp = Some((ty, code)),
            LayerInfo::Icmpv6 { ty, code, .. } => seen.icmpv6 = Some((ty, code)),
            _ => {}
        }
    }
    seen.payload = bytes[out.payload.start as usize..out.payload.end as usize].to_vec();
    seen
}

fn theirs(bytes: &[u8]) -> Seen {
    let packet = SlicedPacket::from_ethernet(bytes).expect("a frame its own builder made");
    let mut seen = Seen::default();
    if let Some(etherparse::LinkSlice::Ethernet2(eth)) = &packet.link {
        seen.macs = Some((eth.destination(), eth.source()));
    }
    for extension in &packet.link_exts {
        if let LinkExtSlice::Vlan(tag) = extension {
            seen.vids.push(tag.vlan_identifier().value());
        }
    }
    match &packet.net {
        Some(NetSlice::Ipv4(ip)) => {
            let h = ip.header();
            seen.v4 = Some((h.source(), h.destination(), h.protocol().0, h.ttl()));
            seen.payload = ip.payload().payload.to_vec();
        }
        Some(NetSlice::Ipv6(ip)) => {
            let h = ip.header();
            seen.v6 = Some((h.source(), h.destination(), h.hop_limit()));
            seen.payload = ip.payload().payload.to_vec();
        }
        _ => {}
    }
    match &packet.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            seen.tcp = Some((
                tcp.source_port(),
                tcp.destination_port(),
                tcp.sequence_number(),
                tcp.acknowledgment_number(),
                tcp.window_size(),
            ));
            seen.payload = tcp.payload().to_vec();
        }
        Some(TransportSlice::Udp(udp)) => {
            seen.udp = Some((udp.source_port(), udp.destination_port(), udp.length()));
            seen.payload = udp.payload().to_vec();
        }
        Some(TransportSlice::Icmpv4(icmp)) => {
            seen.icmp = Some((icmp.type_u8(), icmp.code_u8()));
            seen.payload = icmp.slice()[8..].to_vec();
        }
        Some(TransportSlice::Icmpv6(icmp)) => {
            seen.icmpv6 = Some((icmp.type_u8(), icmp.code_u8()));
            seen.payload = icmp.slice()[8..].to_vec();
        }
        _ => {}
    }
    seen
}

#[derive(Debug, Clone)]
struct Recipe {
    macs: ([u8; 6], [u8; 6]),
    vids: Vec<u16>,
    v4: bool,
    addresses: ([u8; 16], [u8; 16]),
    ttl: u8,
    transport: u8,
    ports: (u16, u16),
    seq: u32,
    window: u16,
    payload: Vec<u8>,
    padding: usize,
}

/// The frame of a recipe, by etherparse's builder.
fn build(r: &Recipe) -> Vec<u8> {
    use etherparse::VlanId;
    let four = |a: [u8; 16]| [a[0], a[1], a[2], a[3]];
    let vid = |v: u16| VlanId::try_new(v & 0x0fff).unwrap();
    let ethernet = PacketBuilder::ethernet2(r.macs.1, r.macs.0);
    let mut out = Vec::new();
    macro_rules! transport {
        ($ip:expr) => {
            match r.transport {
                0 => $ip.tcp(r.ports.0, r.ports.1, r.seq, r.window).write(&mut out, &r.payload),
                1 => $ip.udp(r.ports.0, r.ports.1).write(&mut out, &r.payload),
                _ if r.v4 => {
                    $ip.icmpv4_echo_request(r.ports.0, r.ports.1).write(&mut out, &r.payload)
                }
                _ => $ip.icmpv6_echo_request(r.ports.0, r.ports.1).write(&mut out, &r.payload),
            }
            .unwrap()
        };
    }
    macro_rules! network {
        ($link:expr) => {
            if r.v4 {
                transport!($link.ipv4(four(r.addresses.0), four(r.addresses.1), r.ttl))
            } else {
                transport!($link.ipv6(r.addresses.0, r.addresses.1, r.ttl))
            }
        };
    }
    match r.vids[..] {
        [] => network!(ethernet),
        [one] => network!(ethernet.single_vlan(vid(one))),
        [outer, inner, ..] => network!(ethernet.double_vlan(vid(outer), vid(inner))),
    }
    out.resize(out.len() + r.padding, 0);
    out
}

/// Not a port with a tunnel behind it: etherparse looks into none.
fn port() -> impl Strategy<Value = u16> {
    any::<u16>().prop_filter("tunnel port", |p| {
        ![1701, 2123, 2152, 3544, 4341, 4342, 4500, 4754, 4789, 4790, 6081, 6635].contains(p)
    })
}

fn recipe() -> impl Strategy<Value = Recipe> {
    (
        any::<([u8; 6], [u8; 6])>(),
        prop::collection::vec(0u16..4096, 0..3),
        any::<bool>(),
        any::<([u8; 16], [u8; 16])>(),
        any::<u8>(),
        0u8..3,
        (port(), port()),
        any::<(u32, u16)>(),
        prop::collection::vec(any::<u8>(), 0..200),
        0..20usize,
    )
        .prop_map(
            |(macs, vids, v4, addresses, ttl, transport, ports, tcp, payload, padding)| Recipe {
                macs,
                vids,
                v4,
                addresses,
                ttl,
                transport,
                ports,
                seq: tcp.0,
                window: tcp.1,
                payload,
                padding,
            },
        )
}

/// Failures are printed with their input; no file is kept.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(3000))]

    #[test]
    fn same_fields_and_payload(recipe in recipe()) {
        let frame = build(&recipe);
        prop_assert_eq!(ours(&frame), theirs(&frame));
    }

    #[test]
    fn built_sums_are_good(recipe in recipe()) {
        // etherparse computes every sum on the way out
        let frame = build(&recipe);
        let mut out = Decoded::default();
        Decoder::new().decode(&meta(&frame), &frame, &mut out);
        for layer in &out.layers {
            let sum = match layer.info {
                LayerInfo::Ip(ip) => ip.checksum,
                LayerInfo::Tcp(tcp) => tcp.checksum,
                LayerInfo::Udp { checksum, .. }
                | LayerInfo::Icmp { checksum, .. }
                | LayerInfo::Icmpv6 { checksum, .. } => checksum,
                _ => continue,
            };
            prop_assert_eq!(sum.as_str(), "good", "{:?}", layer);
        }
    }
}
