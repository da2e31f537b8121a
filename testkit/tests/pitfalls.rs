//! The pitfalls decoders get wrong, one golden test each, numbered as in `docs/testing.md`.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::net::Ipv4Addr;

use capture::{Reader, Source};
use framewalk_testkit::build::*;
use skb::decode::{Checksum, Decoded, Decoder, FcsState, LayerInfo, NoteCode};
use skb::{FrameMeta, LinkType};

fn decode_with(meta: &FrameMeta, bytes: &[u8]) -> Decoded {
    let mut out = Decoded::default();
    Decoder::new().decode(meta, bytes, &mut out);
    out
}

fn decode(bytes: &[u8]) -> Decoded {
    decode_with(&meta(bytes), bytes)
}

fn kinds(out: &Decoded) -> Vec<&'static str> {
    out.kinds().collect()
}

fn codes(out: &Decoded) -> Vec<&'static str> {
    out.notes.iter().map(|n| n.code.code()).collect()
}

fn fcs_state(out: &Decoded) -> FcsState {
    out.ethernet_packet.expect("an Ethernet packet").fcs
}

/// Every frame of a capture held in memory.
fn read(bytes: Vec<u8>) -> Vec<(FrameMeta, Vec<u8>)> {
    let mut reader = Reader::new(Source::from_bytes("test", bytes).unwrap()).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        frames.push((frame.meta, frame.data.to_vec()));
    }
    frames
}

/// A pcapng block in either byte order.
fn block(big: bool, ty: u32, body: &[u8]) -> Vec<u8> {
    let word = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    let mut padded = body.to_vec();
    padded.resize(body.len().next_multiple_of(4), 0);
    let length = word(padded.len() as u32 + 12);
    join(&[&word(ty), &length, &padded, &length])
}

fn words(big: bool, values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|v| if big { v.to_be_bytes() } else { v.to_le_bytes() }).collect()
}

fn halves(big: bool, values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|v| if big { v.to_be_bytes() } else { v.to_le_bytes() }).collect()
}

fn section(big: bool) -> Vec<u8> {
    let body = join(&[&words(big, &[0x1a2b_3c4d]), &halves(big, &[1, 0]), &[0xff; 8]]);
    block(big, 0x0a0d_0d0a, &body)
}

fn interface(big: bool, options: &[u8]) -> Vec<u8> {
    block(big, 1, &join(&[&halves(big, &[1, 0]), &words(big, &[0]), options]))
}

fn option(big: bool, code: u16, value: &[u8]) -> Vec<u8> {
    let mut padded = value.to_vec();
    padded.resize(value.len().next_multiple_of(4), 0);
    join(&[&halves(big, &[code, value.len() as u16]), &padded])
}

fn enhanced(big: bool, interface: u32, frame: &[u8], options: &[u8]) -> Vec<u8> {
    let length = frame.len() as u32;
    let mut data = frame.to_vec();
    data.resize(frame.len().next_multiple_of(4), 0);
    let head = words(big, &[interface, 0, 1_000_000, length, length]);
    block(big, 6, &join(&[&head, &data, options]))
}

#[test]
fn p01_padding_is_not_payload() {
    let frame = pad(eth(0x0800, &ip4_udp(1, 2, b"abc")));
    let out = decode(&frame);
    assert_eq!(kinds(&out), ["eth", "ip", "udp"]);
    assert_eq!(out.payload, 42..45, "three bytes of data, not eighteen");
    assert_eq!(codes(&out), ["padding-after-ip"]);
    assert_eq!((out.notes[0].offset, out.notes[0].bytes), (45, 15));
    let tcp = decode(&pad(eth(0x0800, &ip4_tcp(1, 2, b""))));
    assert!(matches!(tcp.layers[2].info, LayerInfo::Tcp(t) if t.payload_length == 0));
}

#[test]
fn p02_fcs_is_not_payload() {
    let frame = fcs(eth(0x0800, &ip4_udp(1, 2, &[7; 100])));
    // the file says so
    let stated = decode_with(&FrameMeta { fcs_len: Some(4), ..meta(&frame) }, &frame);
    assert_eq!(fcs_state(&stated), FcsState::Good);
    assert_eq!(stated.payload, 42..142);
    let packet = stated.ethernet_packet.unwrap();
    assert_eq!((packet.bytes, packet.frame, packet.pad), (154, 146, 0));
    assert_eq!(packet.derived, ["preamble", "sfd"]);
    // the frame says so
    let flags = FrameMeta { flags: Some(4 << 5), ..meta(&frame) };
    assert_eq!(fcs_state(&decode_with(&flags, &frame)), FcsState::Good);
    // nothing says so: length arithmetic and the CRC do
    let guessed = decode(&frame);
    assert_eq!(fcs_state(&guessed), FcsState::Good);
    assert_eq!(codes(&guessed), ["fcs-found"]);
    // it is there and wrong
    let mut damaged = frame.clone();
    damaged[50] ^= 0x10;
    let bad = decode_with(&FrameMeta { fcs_len: Some(4), ..meta(&damaged) }, &damaged);
    assert_eq!(fcs_state(&bad), FcsState::Bad);
    assert!(bad.has_note(NoteCode::FcsBad));
}

#[test]
fn p03_a_trailer_is_not_an_fcs() {
    let mut frame = eth(0x0800, &ip4_udp(1, 2, &[7; 100]));
    frame.extend_from_slice(&[0xde, 0xad, 0xbe, 0xef]);
    let out = decode(&frame);
    assert_eq!(fcs_state(&out), FcsState::Unknown);
    assert_eq!(codes(&out), ["fcs-unknown"]);
    let packet = out.ethernet_packet.unwrap();
    assert_eq!(packet.derived, ["preamble", "sfd", "fcs"], "never taken for one");
    // a longer one is a trailer whatever it holds
    frame.extend_from_slice(&[1, 2, 3, 4]);
    let out = decode(&frame);
    assert_eq!(codes(&out), ["fcs-unknown", "trailer"]);
}

#[test]
fn p04_short_frames_are_not_errors() {
    let arp_frame = eth(0x0806, &arp());
    assert_eq!(arp_frame.len(), 42);
    let out = decode(&arp_frame);
    assert_eq!(kinds(&out), ["eth", "arp"]);
    assert_eq!(out.malformed, None);
    assert_eq!(codes(&out), ["below-minimum"]);
    let packet = out.ethernet_packet.unwrap();
    assert_eq!(
        (packet.bytes, packet.frame, packet.pad, packet.fcs),
        (72, 64, 18, FcsState::Absent)
    );
    assert_eq!((out.gap, out.wire_bytes), (Some(12), Some(84)));
    assert_eq!(packet.derived, ["preamble", "sfd", "pad", "fcs"]);
    // 60 bytes are whole
    let padded = decode(&pad(eth(0x0806, &arp())));
    assert_eq!(codes(&padded), ["padding"]);
    assert_eq!(padded.ethernet_packet.unwrap().pad, 0);
}

#[test]
fn p05_interface_fcs_length_in_bits_or_bytes() {
    let frame = fcs(eth(0x0800, &ip4_udp(1, 2, &[7; 100])));
    for value in [4u8, 32] {
        let file = join(&[
            &section(false),
            &interface(false, &option(false, 13, &[value])),
            &enhanced(false, 0, &frame, &[]),
        ]);
        let frames = read(file);
        let out = decode_with(&frames[0].0, &frames[0].1);
        assert_eq!(fcs_state(&out), FcsState::Good, "if_fcslen {value}");
        assert_eq!(out.payload, 42..142);
    }
}

#[test]
fn p06_pcap_header_fcs_bits_as_libpcap_codes_them() {
    let frame = fcs(eth(0x0800, &ip4_udp(1, 2, &[7; 100])));
    let mut file = pcap(LinkType::ETHERNET, std::slice::from_ref(&frame));
    // length 2 (16-bit units) in the top four bits, 0x04000000 says that it counts
    file[20..24].copy_from_slice(&(0x2400_0000u32 | 1).to_le_bytes());
    let frames = read(file);
    assert_eq!(frames[0].0.linktype, LinkType::ETHERNET);
    let out = decode_with(&frames[0].0, &frames[0].1);
    assert_eq!(fcs_state(&out), FcsState::Good);
    assert!(!out.has_note(NoteCode::FcsFound), "the file said it");
}

#[test]
fn p07_undefined_types_llc_snap_and_raw_ipx_are_not_ip() {
    // begins like an IPv4 header
    let body = ip4_udp(1, 2, &[0x45; 40]);
    for ty in [0x05dd, 0x05ff] {
        let out = decode(&eth(ty, &body));
        assert_eq!(kinds(&out)[..2], ["eth", "llc"], "{ty:#x}");
        assert!(out.has_note(NoteCode::UndefinedType));
    }
    let stp = decode(&pad(eth_802_3(&[0x42, 0x42, 3, 0, 0, 0, 0, 0])));
    assert_eq!(kinds(&stp), ["eth", "llc", "stp"]);
    let raw = decode(&pad(eth_802_3(&[0xff, 0xff, 0, 30, 0, 0, 0, 0])));
    assert_eq!(kinds(&raw), ["eth", "ipx"]);
    assert!(raw.has_note(NoteCode::RawIpx));
    let snap = decode(&eth_802_3(&snap(0x0800, &body)));
    assert_eq!(kinds(&snap), ["eth", "llc", "ip", "udp"]);
}

#[test]
fn p08_length_counts_after_the_tag() {
    let llc = [0x42, 0x42, 3, 0, 0, 0, 0, 0];
    let out = decode(&pad(eth(0x8100, &vlan(7, 8, &llc))));
    assert_eq!(kinds(&out), ["eth", "vlan", "llc", "stp"]);
    assert_eq!(out.layers[3].length, 5, "eight bytes after the tag");
    assert_eq!(codes(&out), ["length-after-tag", "padding"]);
    // the tag taken out of a frame of minimum size leaves less than the minimum: no error
    let stripped = decode(&eth_802_3(&llc));
    assert_eq!((codes(&stripped), stripped.malformed), (vec!["below-minimum"], None));
}

#[test]
fn p09_outer_tag_missing() {
    // the card took the outer S-TAG off; what is left decodes by itself, nothing is invented
    let inner = vlan(10, 0x0800, &ip4_udp(1, 2, &[0; 40]));
    let whole = decode(&eth(0x88a8, &vlan(100, 0x8100, &inner)));
    let left = decode(&eth(0x8100, &inner));
    assert_eq!(kinds(&whole), ["eth", "ieee8021ad", "vlan", "ip", "udp"]);
    assert_eq!(kinds(&left), ["eth", "vlan", "ip", "udp"]);
    let vids = |out: &Decoded| -> Vec<u16> {
        out.layers
            .iter()
            .filter_map(|l| match l.info {
                LayerInfo::Vlan { vid, .. } => Some(vid),
                _ => None,
            })
            .collect()
    };
    assert_eq!((vids(&whole), vids(&left)), (vec![100, 10], vec![10]));
    // cooked captures keep the tag where Ethernet captures lose it
    let cooked = sll(0x8100, &inner);
    let out = decode_with(&meta_of(LinkType::LINUX_SLL, &cooked), &cooked);
    assert_eq!(kinds(&out), ["sll", "vlan", "ip", "udp"]);
}

#[test]
fn p10_super_frames() {
    // two segments of 1448 merged by the receiver
    let merged = decode(&eth(0x0800, &ip4_tcp_with_timestamps(&vec![1; 2896])));
    assert_eq!(merged.ethernet_packet, None, "never one packet");
    assert_eq!((merged.gap, merged.wire_bytes), (None, None));
    assert!(merged.has_note(NoteCode::SuperFrame));
    assert_eq!(merged.malformed, None);
    // larger than any jumbo frame
    let big = decode(&eth(0x0800, &ip4_tcp(1, 2, &vec![1; 40_000])));
    assert!(big.has_note(NoteCode::SuperFrame) && big.ethernet_packet.is_none());
    // an echo of 8972 bytes is a jumbo frame and was one packet
    let jumbo = decode(&eth(0x0800, &ip4_echo(1, 2, &vec![1; 8972])));
    assert!(jumbo.has_note(NoteCode::Oversize) && !jumbo.has_note(NoteCode::SuperFrame));
    assert_eq!(jumbo.ethernet_packet.unwrap().frame, 9018);
}

/// TCP with twelve bytes of options, as Linux sends data.
fn ip4_tcp_with_timestamps(payload: &[u8]) -> Vec<u8> {
    let builder = etherparse::PacketBuilder::ipv4(IP_A.octets(), IP_B.octets(), 64)
        .tcp(1, 2, 3, 4)
        .options(&[
            etherparse::TcpOptionElement::Noop,
            etherparse::TcpOptionElement::Noop,
            etherparse::TcpOptionElement::Timestamp(1, 2),
        ])
        .unwrap();
    let mut out = Vec::new();
    builder.write(&mut out, payload).unwrap();
    out
}

#[test]
fn p11_ip_length_zero() {
    let mut frame = eth(0x0800, &ip4_tcp(1, 2, &[9; 3000]));
    frame[16..18].fill(0);
    let sum = {
        frame[24..26].fill(0);
        internet_checksum(&frame[14..34])
    };
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    let out = decode(&frame);
    assert_eq!(kinds(&out), ["eth", "ip", "tcp"]);
    assert!(matches!(out.layers[2].info, LayerInfo::Tcp(t) if t.payload_length == 3000));
    assert_eq!(codes(&out), ["ip-length-zero", "super-frame"]);
    assert_eq!(out.ethernet_packet, None);
    // BIG TCP over IPv6
    let mut frame = eth(0x86dd, &ip6_tcp(1, 2, &[9; 3000]));
    frame[18..20].fill(0);
    let out = decode(&frame);
    assert!(matches!(out.layers[2].info, LayerInfo::Tcp(t) if t.payload_length == 3000));
    assert!(out.has_note(NoteCode::LengthZero));
}

#[test]
fn p12_offload_explains_a_bad_sum() {
    let mut packet = ip4_tcp(1, 2, b"data");
    // what Linux leaves: the folded pseudo-header sum
    let mut pseudo = packet[12..20].to_vec();
    pseudo.extend_from_slice(&[0, 6, 0, 24]);
    let partial = !internet_checksum(&pseudo);
    packet[36..38].copy_from_slice(&partial.to_be_bytes());
    let out = decode(&pad(eth(0x0800, &packet)));
    assert!(matches!(out.layers[2].info, LayerInfo::Tcp(t) if t.checksum == Checksum::Bad));
    assert!(out.has_note(NoteCode::ChecksumOffload));
    // any other wrong value has no such excuse
    packet[36] ^= 0x40;
    let out = decode(&pad(eth(0x0800, &packet)));
    assert!(out.has_note(NoteCode::ChecksumBad) && !out.has_note(NoteCode::ChecksumOffload));
    // the header sum left to the card
    let mut packet = ip4_udp(1, 2, &[0; 30]);
    packet[10..12].fill(0);
    assert!(decode(&eth(0x0800, &packet)).has_note(NoteCode::IpChecksumZero));
}

#[test]
fn p13_mtu_is_not_frame_length() {
    // MTU 1500 fills a frame of 1514 in memory, 1518 on the wire: nothing to remark
    let out = decode(&eth(0x0800, &ip4_udp(1, 2, &[0; 1472])));
    assert_eq!(codes(&out), [] as [&str; 0]);
    assert!(matches!(out.layers[1].info, LayerInfo::Ip(ip) if ip.total_length == 1500));
    let packet = out.ethernet_packet.unwrap();
    assert_eq!((packet.frame, packet.bytes, out.wire_bytes), (1518, 1526, Some(1538)));
    // with a tag four more, still standard
    let tagged = decode(&eth(0x8100, &vlan(5, 0x0800, &ip4_udp(1, 2, &[0; 1472]))));
    assert_eq!(codes(&tagged), [] as [&str; 0]);
    assert_eq!(tagged.ethernet_packet.unwrap().frame, 1522);
}

#[test]
fn p14_records_beyond_65535_bytes() {
    let mut frame = eth(0x0800, &ip4_tcp(1, 2, &[9; 1000]));
    frame[16..18].fill(0);
    frame.resize(92_442, 0x5a);
    let frames = read(pcap(LinkType::ETHERNET, &[frame]));
    let out = decode_with(&frames[0].0, &frames[0].1);
    assert_eq!(frames[0].0.caplen, 92_442);
    assert!(matches!(out.layers[2].info, LayerInfo::Tcp(t) if t.payload_length == 92_388));
    assert_eq!(out.payload, 54..92_442);
}

#[test]
fn p15_big_endian_sections_and_restart() {
    let frame = fcs(eth(0x0800, &ip4_udp(1, 2, &[7; 100])));
    let mut file = Vec::new();
    for big in [false, true, true] {
        // the second section begins anew: its interface 0 is not the first one's
        file.extend(section(big));
        file.extend(interface(big, &option(big, 13, &[4])));
        let flags = option(big, 2, &words(big, &[4 << 5]));
        file.extend(enhanced(big, 0, &frame, &flags));
    }
    let frames = read(file);
    assert_eq!(frames.iter().map(|f| f.0.section).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(frames.iter().map(|f| f.0.interface).collect::<Vec<_>>(), [0, 1, 2]);
    for (meta, bytes) in &frames {
        assert_eq!(meta.flags, Some(0x80));
        assert_eq!(fcs_state(&decode_with(meta, bytes)), FcsState::Good);
    }
}

#[test]
fn p16_time_is_reported_and_not_interpreted() {
    // a hardware clock 160 s behind its neighbour, and one without time: the same decode
    let frame = eth(0x0800, &ip4_udp(1, 2, &[0; 40]));
    let plain = decode(&frame);
    for time_ns in [Some(1_700_000_000_000_000_000), Some(1_699_999_840_000_000_000), None] {
        let out = decode_with(&FrameMeta { time_ns, ..meta(&frame) }, &frame);
        assert_eq!(out, plain);
    }
}

#[test]
fn p17_one_packet_at_several_stages() {
    // two interfaces, one epb_packetid: the same packet seen twice, not a retransmission
    let frame = eth(0x0800, &ip4_tcp(1, 2, b"once"));
    let id = option(false, 5, &77u64.to_le_bytes());
    let file = join(&[
        &section(false),
        &interface(false, &[]),
        &interface(false, &[]),
        &enhanced(false, 0, &frame, &id),
        &enhanced(false, 1, &frame, &id),
    ]);
    let frames = read(file);
    assert_eq!(frames.iter().map(|f| f.0.packet_id).collect::<Vec<_>>(), [Some(77), Some(77)]);
    assert_eq!(frames.iter().map(|f| f.0.interface).collect::<Vec<_>>(), [0, 1]);
    let outs: Vec<_> = frames.iter().map(|(m, b)| decode_with(m, b)).collect();
    assert_eq!(outs[0], outs[1]);
}

#[test]
fn p18_frames_the_tap_never_saw_are_counted_by_whoever_knows() {
    // a decoder cannot see a fast path around the tap; the file's drop count is carried through
    let frame = eth(0x0800, &ip4_tcp(1, 2, b"seen"));
    let dropped = option(false, 4, &3u64.to_le_bytes());
    let file =
        join(&[&section(false), &interface(false, &[]), &enhanced(false, 0, &frame, &dropped)]);
    assert_eq!(read(file)[0].0.drop_count, Some(3));
}

#[test]
fn p19_foreign_destinations_are_ordinary() {
    // a mirror port sees frames for other stations: no note, no filter
    let mut frame = eth(0x0800, &ip4_udp(1, 2, &[0; 40]));
    frame[..6].copy_from_slice(&[0x00, 0x50, 0x56, 1, 2, 3]);
    let out = decode(&frame);
    assert_eq!((kinds(&out), codes(&out)), (vec!["eth", "ip", "udp"], vec![]));
}

#[test]
fn p20_snap_length() {
    let whole = eth(0x0800, &ip4_udp(1, 2, &[7; 1000]));
    let cut = &whole[..96];
    let cut_meta = FrameMeta { origlen: whole.len() as u32, ..meta(cut) };
    let out = decode_with(&cut_meta, cut);
    assert_eq!(kinds(&out), ["eth", "ip", "udp"]);
    assert_eq!((out.payload.clone(), out.malformed), (42..96, None));
    assert_eq!(codes(&out), ["snap-cut"]);
    assert!(matches!(
        out.layers[2].info,
        LayerInfo::Udp { length: 1008, checksum: Checksum::Unverified, .. }
    ));
    assert_eq!(out.ethernet_packet.unwrap().frame, 1046, "from origlen");
    // inside a header: said, and not called malformed
    let out = decode_with(&FrameMeta { caplen: 30, ..cut_meta }, &whole[..30]);
    assert_eq!((kinds(&out), out.malformed), (vec!["eth"], None));
    assert_eq!(codes(&out), ["snap-cut", "header-cut"]);
}

#[test]
fn p21_ip_headers_that_contradict_themselves() {
    let good = ip4_udp(1, 2, &[7; 60]);
    let mut short_header = good.clone();
    short_header[0] = 0x44;
    let out = decode(&eth(0x0800, &short_header));
    let m = out.malformed.expect("a header of 16 bytes cannot be");
    assert_eq!((m.layer, m.offset, m.need, m.have), ("ip", 14, 20, 16));
    let mut long = good.clone();
    long[2..4].copy_from_slice(&500u16.to_be_bytes());
    let out = decode(&eth(0x0800, &long));
    assert!(out.has_note(NoteCode::IpLengthBeyondFrame));
    assert_eq!(kinds(&out), ["eth", "ip", "udp"]);
    let mut small = good.clone();
    small[2..4].copy_from_slice(&10u16.to_be_bytes());
    let m = decode(&eth(0x0800, &small)).malformed.unwrap();
    assert_eq!((m.layer, m.need, m.have), ("ip", 20, 10));
    // a later fragment has no ports, however its bytes look
    let out = decode(&eth(0x0800, &ip4(17, 0x0010, transport_of_v4(&good))));
    assert_eq!((kinds(&out), codes(&out)), (vec!["eth", "ip"], vec!["fragment"]));
    let out = decode(&eth(0x0800, &ip4(17, 0x2000, transport_of_v4(&good))));
    assert_eq!(kinds(&out), ["eth", "ip", "udp"]);
    assert!(out.has_note(NoteCode::FirstFragment));
    // a chain of extension headers, then a fragment
    let l4 = ip6_udp(1, 2, b"chain");
    let chain = ip6(
        0,
        &ip6_extension(60, &ip6_extension(44, &ip6_fragment(17, 0, false, transport_of_v6(&l4)))),
    );
    let out = decode(&eth(0x86dd, &chain));
    assert_eq!(kinds(&out), ["eth", "ipv6", "ipv6.hopopts", "ipv6.dstopts", "ipv6.fraghdr", "udp"]);
    assert!(matches!(out.layers[5].info, LayerInfo::Udp { checksum: Checksum::Good, .. }));
    // a chain that runs out of bytes
    let m = decode(&eth(0x86dd, &ip6(0, &[60, 9, 1, 4, 0, 0, 0, 0]))).malformed.unwrap();
    assert_eq!((m.layer, m.offset, m.need, m.have), ("ipv6.hopopts", 54, 80, 8));
}

#[test]
fn p22_address_bits() {
    let mut frame = eth(0x0800, &ip4_udp(1, 2, &[0; 40]));
    frame[6] |= 1;
    assert_eq!(codes(&decode(&frame)), ["group-source"]);
    frame[6..12].fill(0);
    assert_eq!(codes(&decode(&frame)), ["zero-source"]);
    frame[..6].copy_from_slice(&[0xff; 6]);
    frame[6..12].copy_from_slice(&[0x02, 0, 0, 0, 0, 1]);
    let out = decode(&frame);
    assert_eq!(codes(&out), [] as [&str; 0], "a local address and a broadcast are ordinary");
    let LayerInfo::Eth { dst, src, .. } = out.layers[0].info else { panic!("eth first") };
    assert!(dst.is_broadcast() && dst.is_multicast() && src.is_local() && !src.is_multicast());
}

#[test]
fn captured_preambles_are_not_derived() {
    let frame = fcs(pad(eth(0x0800, &ip4_udp(1, 2, b"whole"))));
    let preamble = [0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0xd5];
    let mpacket = join(&[&preamble, &frame]);
    let netanalyzer = join(&[&[0, 6, 0, 0], &preamble, &frame]);
    for (linktype, bytes, kind) in [
        (LinkType::ETHERNET_MPACKET, mpacket, "fpp"),
        (LinkType::NETANALYZER_TRANSPARENT, netanalyzer, "netanalyzer"),
    ] {
        let out = decode_with(&meta_of(linktype, &bytes), &bytes);
        assert_eq!(kinds(&out), [kind, "eth", "ip", "udp"]);
        let packet = out.ethernet_packet.unwrap();
        assert_eq!((packet.preamble, packet.sfd, packet.fcs), (7, 1, FcsState::Good));
        assert_eq!((packet.frame, packet.bytes, packet.derived), (64, 72, &[][..]));
        assert_eq!(codes(&out), ["padding-after-ip"]);
    }
}

#[test]
fn arp_fields() {
    let out = decode(&eth(0x0806, &arp()));
    let LayerInfo::Arp { op, sender_ip, target_ip, sender_mac, .. } = out.layers[1].info else {
        panic!("arp second")
    };
    assert_eq!((op, sender_ip, target_ip), (1, Some(IP_A), Some(Ipv4Addr::new(198, 51, 100, 2))));
    assert_eq!(sender_mac.unwrap().0, MAC_B);
}

#[test]
fn notes_have_words_and_distinct_codes() {
    let mut seen = std::collections::BTreeSet::new();
    for code in NoteCode::ALL {
        assert!(seen.insert(code.code()), "{} twice", code.code());
        assert!(code.text().len() > 20 && !code.text().ends_with('.'), "{}", code.code());
    }
}
