//! Arbitrary and damaged bytes: no panic, and every layer inside the frame.

use framewalk_testkit::build::*;
use proptest::prelude::*;
use skb::decode::{Decoded, Decoder, LAYERS_MAX};
use skb::{FrameMeta, LinkType};

/// Every link type with a decoder, and one without.
const LINKTYPES: [LinkType; 23] = [
    LinkType::NULL,
    LinkType::ETHERNET,
    LinkType::ARCNET_BSD,
    LinkType::PPP,
    LinkType::FDDI,
    LinkType::RAW_12,
    LinkType::RAW_14,
    LinkType::PPP_HDLC,
    LinkType::PPP_ETHER,
    LinkType::RAW,
    LinkType::C_HDLC,
    LinkType::FRELAY,
    LinkType::LOOP,
    LinkType::LINUX_SLL,
    LinkType::ARCNET_LINUX,
    LinkType::IPV4,
    LinkType::IPV6,
    LinkType::NFLOG,
    LinkType::NETANALYZER,
    LinkType::NETANALYZER_TRANSPARENT,
    LinkType::ETHERNET_MPACKET,
    LinkType::LINUX_SLL2,
    LinkType(147),
];

fn assert_sound(meta: &FrameMeta, bytes: &[u8], out: &Decoded) {
    let captured = bytes.len().min(meta.caplen as usize) as u32;
    assert!(out.layers.len() <= LAYERS_MAX);
    assert!(out.notes.len() <= 24);
    let mut at = 0;
    for layer in &out.layers {
        assert!(layer.offset >= at, "layers do not overlap: {:?}", out.layers);
        at = layer.end();
        assert!(at <= captured, "{layer:?} beyond {captured}");
    }
    assert!(out.payload.start <= out.payload.end && out.payload.end <= captured);
    assert!(out.payload.is_empty() || out.payload.start >= at);
    assert!(out.fcs_bytes <= captured);
    if let Some(m) = out.malformed {
        assert!(m.offset <= captured.max(meta.origlen), "{m:?}");
    }
    if let Some(packet) = out.ethernet_packet {
        let sum = u32::from(packet.preamble) + u32::from(packet.sfd) + packet.frame;
        assert_eq!(packet.bytes, sum);
        assert_eq!(out.wire_bytes, Some(sum + 12));
    }
}

fn check(meta: &FrameMeta, bytes: &[u8]) -> Decoded {
    let mut out = Decoded::default();
    Decoder::new().decode(meta, bytes, &mut out);
    assert_sound(meta, bytes, &out);
    out
}

/// One well-formed frame of every kind.
fn seeds() -> Vec<Vec<u8>> {
    let udp = ip4_udp(1000, 2000, b"inner");
    let udp6 = ip6_udp(1000, 2000, b"inner");
    let inner = eth(0x0800, &udp);
    vec![
        inner.clone(),
        eth(0x86dd, &udp6),
        eth(0x0806, &arp()),
        eth(0x88a8, &vlan(1, 0x8100, &vlan(2, 0x0800, &ip4_tcp(1, 2, b"x")))),
        eth_802_3(&snap(0x0800, &udp)),
        eth(0x88e7, &backbone(1, 0x0800, &udp)),
        eth(0x88e5, &join(&[&[0x20, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 8, 0], &udp, &[0; 16]])),
        eth(
            0x86dd,
            &ip6(0, &ip6_extension(43, &ip6_extension(44, &ip6_fragment(17, 0, true, &[0; 24])))),
        ),
        eth(0x0800, &ip4(1, 0, &icmp(3, 3, [0; 4], &udp))),
        eth(0x86dd, &ip6(58, &join(&[&[1, 0, 0, 0, 0, 0, 0, 0], &udp6]))),
        eth(0x0800, &ip4(47, 0, &erspan_2(&inner))),
        eth(0x0800, &ip4(47, 0, &erspan_3(&inner))),
        eth(0x0800, &ip4(47, 0, &gre_pptp(&ppp(0x21, &udp)))),
        eth(0x0800, &ip4_udp(9, 4789, &vxlan(1, &inner))),
        eth(0x0800, &ip4_udp(9, 4790, &vxlan_gpe(1, 4, &join(&[&[0, 2, 1, 1, 0, 0, 1, 1], &udp])))),
        eth(0x0800, &ip4_udp(9, 6081, &geneve(1, 0x6558, &[0; 8], &inner))),
        eth(0x0800, &ip4_udp(9, 2152, &gtp(&udp))),
        eth(0x0800, &ip4_udp(9, 1701, &l2tp(&ppp(0x21, &udp)))),
        eth(0x0800, &ip4_udp(9, 3544, &udp6)),
        eth(0x8847, &mpls(1, false, &mpls(2, true, &join(&[&[0; 4], &inner])))),
        eth(0x8864, &pppoe(&ppp(0x21, &udp))),
        eth(0x0800, &ip4(132, 0, &[0; 16])),
        eth(0x0800, &ip4(97, 0, &join(&[&[0x30, 0], &inner]))),
    ]
}

/// Failures are printed with their input; no file is kept.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn arbitrary_bytes(
        link in 0..LINKTYPES.len(),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        extra in 0u32..200,
        cut in 0u32..300,
        fcs_len in prop::option::of(any::<u8>()),
        flags in prop::option::of(any::<u32>()),
    ) {
        let caplen = (bytes.len() as u32).saturating_sub(cut / 10);
        let origlen = (caplen + extra).saturating_sub(cut / 3);
        let whole = meta_of(LINKTYPES[link], &bytes);
        let meta = FrameMeta { caplen, origlen, fcs_len, flags, ..whole };
        check(&meta, &bytes);
    }

    #[test]
    fn damaged_frames(
        seed in 0..23usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        keep in any::<prop::sample::Index>(),
        snapped in any::<bool>(),
        origlen in prop::option::of(any::<u32>()),
    ) {
        let mut bytes = seeds()[seed].clone();
        for (at, value) in &flips {
            let at = at.index(bytes.len());
            bytes[at] = *value;
        }
        let whole = bytes.len() as u32;
        if snapped {
            bytes.truncate(keep.index(bytes.len()));
        }
        let meta = FrameMeta { origlen: origlen.unwrap_or(whole), ..meta(&bytes) };
        check(&meta, &bytes);
    }

    #[test]
    fn every_layer_claim_repeated(kind in 0..6usize, count in 1..400usize) {
        // tags in tags, labels in labels, tunnels in tunnels: the depth is bounded
        let unit: &[u8] = [
            &[0x81, 0x00, 0x00, 0x01][..],
            &[0x88, 0xa8, 0x00, 0x01],
            &[0x88, 0x47, 0, 0, 0, 1, 0x45, 0],
            &[0x65, 0x58, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2],
            &[0x88, 0xe7, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2],
            &[0x86, 0xdd, 0x60, 0, 0, 0, 0xff, 0xff, 41, 1],
        ][kind];
        let mut frame = join(&[&MAC_A, &MAC_B]);
        for _ in 0..count {
            frame.extend_from_slice(unit);
        }
        check(&meta(&frame), &frame);
    }
}

#[test]
fn every_prefix_of_every_kind() {
    for seed in seeds() {
        for length in 0..=seed.len() {
            let cut = &seed[..length];
            // really that short, and cut by the snap length
            check(&meta(cut), cut);
            let snapped = check(&FrameMeta { origlen: seed.len() as u32, ..meta(cut) }, cut);
            assert_eq!(snapped.malformed, None, "a cut frame is not a malformed one: {length}");
        }
    }
}

#[test]
fn depth_is_bounded_and_said() {
    let mut payload = ip4_udp(1, 2, b"deep");
    for _ in 0..200 {
        payload = ip4(4, 0, &payload);
    }
    let out = check(&meta(&eth(0x0800, &payload)), &eth(0x0800, &payload));
    assert_eq!(out.layers.len(), LAYERS_MAX);
    assert!(out.has_note(skb::decode::NoteCode::DepthLimit));
}

#[test]
fn decoding_keeps_no_state() {
    let (mut decoder, mut reused) = (Decoder::new(), Decoded::default());
    for seed in seeds().iter().chain(seeds().iter().rev()) {
        decoder.decode(&meta(seed), seed, &mut reused);
        assert_eq!(reused, check(&meta(seed), seed));
    }
}
