//! Built frames of every kind the decoder knows, against the tshark of this machine.
//!
//! Skipped where tshark is not installed.
#![allow(clippy::print_stdout, clippy::unwrap_used)] // a test says what it skips

use framewalk_testkit::build::*;
use framewalk_testkit::truth::{Report, compare_file, tshark_table};
use skb::LinkType;

/// Every cell of every frame is tshark's, except the fields named in `differ` (1-based frame).
fn check(name: &str, linktype: LinkType, frames: &[Vec<u8>], differ: &[(u64, &str)]) {
    let path =
        std::env::temp_dir().join(format!("framewalk-tshark-{}-{name}.pcap", std::process::id()));
    std::fs::write(&path, pcap(linktype, frames)).unwrap();
    let Some(text) = tshark_table(&path) else {
        println!("skipped: tshark is not installed");
        return;
    };
    let mut report = Report::default();
    compare_file(&path, &text, &mut report);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(report.frames, frames.len() as u64, "{name}: {text}");
    let unexpected: Vec<_> = report
        .differences
        .iter()
        .filter(|d| !differ.contains(&(d.frame, d.field)))
        .map(|d| {
            format!(
                "\n{} {}: tshark {:?} ours {:?} {}",
                d.frame, d.field, d.theirs, d.ours, d.protocols
            )
        })
        .collect();
    assert!(unexpected.is_empty(), "{name}:{}", unexpected.concat());
}

#[test]
fn ethernet_tags_and_llc() {
    let udp = ip4_udp(1000, 2000, b"tagged");
    let frames = [
        pad(eth(0x0800, &udp)),
        pad(eth(0x8100, &vlan(10, 0x0800, &udp))),
        eth(0x88a8, &vlan(100, 0x8100, &vlan(10, 0x0800, &udp))),
        eth(0x9100, &vlan(100, 0x8100, &vlan(10, 0x0800, &udp))),
        eth(0x8100, &vlan(1, 0x8100, &vlan(2, 0x8100, &vlan(3, 0x0800, &udp)))),
        pad(eth(0x0806, &arp())),
        pad(eth_802_3(&[0x42, 0x42, 3, 0, 0, 0, 0, 0])),
        pad(eth_802_3(&snap(0x0800, &udp))),
        pad(eth(0x8100, &vlan(7, 8, &[0x42, 0x42, 3, 0, 0, 0, 0, 0]))),
        pad(eth_802_3(&[
            0xe0, 0xe0, 3, 0xff, 0xff, 0, 30, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 4, 0x52, 0, 0, 0,
            0, 1, 2, 3, 4, 5, 7, 4, 0x52, 0, 0,
        ])),
        fcs(pad(eth(0x0800, &udp))),
        eth(0x88e7, &backbone(4711, 0x0800, &udp)),
        eth(0x88a8, &vlan(5, 0x88e7, &backbone(4711, 0x8100, &vlan(3, 0x0800, &udp)))),
        pad(eth(0x05f0, &[0xaa; 50])),
        eth(0xd28b, &join(&[&[0, 1, 0, 0x10, 0, 0, 0, 1, 0, 0, 0, 2, 8, 0], &udp])),
        join(&[
            &[1, 0, 0x0c, 0, 0, 0],
            &MAC_B,
            &[0; 2],
            &[0xaa, 0xaa, 3, 0, 0, 0x0c],
            &[0; 6],
            &eth(0x0800, &udp),
            &[0; 4],
        ]),
    ];
    // 13: tshark's 802.1ad walks the I-TAG without naming it; 14: Linux takes an undefined type as
    // an 802.3 length, tshark as data
    let differ = [(13, "frame.protocols"), (14, "frame.protocols")];
    check("ethernet", LinkType::ETHERNET, &frames, &differ);
}

#[test]
fn ip_fragments_options_extensions() {
    let udp = ip4_udp(1000, 2000, &[7; 64]);
    let udp6 = ip6_udp(1000, 2000, b"six");
    let l4 = transport_of_v4(&udp);
    let l4v6 = transport_of_v6(&udp6);
    let frames = [
        eth(0x0800, &ip4_options(17, 0, &[1, 1, 1, 0], l4)),
        eth(0x86dd, &ip6(0, &ip6_extension(17, l4v6))),
        eth(0x86dd, &ip6(0, &ip6_extension(60, &ip6_extension(17, l4v6)))),
        eth(0x86dd, &ip6(44, &ip6_fragment(17, 0, false, l4v6))),
        eth(0x86dd, &ip6(59, b"nothing")),
        eth(0x0800, &ip4(4, 0, &udp)),
        eth(0x0800, &ip4(41, 0, &udp6)),
        eth(0x86dd, &ip6(41, &udp6)),
        eth(0x86dd, &ip6(4, &udp)),
        eth(0x0800, &ip4_tcp(80, 81, b"x")),
        eth(0x86dd, &ip6_tcp(80, 81, b"x")),
        eth(0x0800, &ip4_echo(1, 2, b"ping")),
        eth(0x86dd, &ip6_echo(1, 2, b"ping")),
        eth(0x0800, &ip4(51, 0, &join(&[&[17, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1], &[0; 12], l4]))),
        eth(0x0800, &ip4(50, 0, &[0, 0, 0, 1, 0, 0, 0, 1, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5])),
        eth(0x0800, &ip4(2, 0, &[0x16, 0, 0xf9, 0xfd, 224, 0, 0, 1])),
        // a later fragment
        eth(0x0800, &ip4(17, 0x0010, &[1; 32])),
    ];
    check("ip", LinkType::ETHERNET, &frames, &[]);
}

#[test]
fn bad_sums_and_quotations() {
    let mut bad_ip = eth(0x0800, &ip4_udp(1000, 2000, b"bad"));
    bad_ip[24] ^= 1;
    let mut bad_udp = eth(0x0800, &ip4_udp(1000, 2000, b"bad"));
    bad_udp[40] ^= 1;
    let mut bad_tcp = eth(0x86dd, &ip6_tcp(80, 81, b"bad"));
    bad_tcp[70] ^= 1;
    let mut no_sum = eth(0x0800, &ip4_udp(1000, 2000, b"none"));
    no_sum[40..42].fill(0);
    let original = ip4_tcp(80, 81, b"hello");
    let frames = [
        bad_ip,
        bad_udp,
        bad_tcp,
        no_sum,
        eth(0x0800, &ip4(1, 0, &icmp(3, 3, [0; 4], &original[..28]))),
        eth(0x0800, &ip4(1, 0, &icmp(11, 0, [0; 4], &ip4_udp(5, 6, b"quoted")))),
        eth(0x0800, &ip4(136, 0, &[0x03, 0xe8, 0x07, 0xd0, 0, 8, 0x12, 0x34, 1, 2])),
    ];
    // UDP-Lite sums are a preference of tshark's own, off by default
    check("sums", LinkType::ETHERNET, &frames, &[(7, "udp.checksum.status")]);
}

#[test]
fn tunnels() {
    let udp = ip4_udp(1000, 2000, b"inner");
    let udp6 = ip6_udp(1000, 2000, b"inner");
    let inner = eth(0x0800, &udp);
    let frames = [
        eth(0x0800, &ip4(47, 0, &gre(0x0800, &udp))),
        eth(0x0800, &ip4(47, 0, &gre(0x86dd, &udp6))),
        eth(0x0800, &ip4(47, 0, &gre(0x6558, &inner))),
        eth(0x0800, &ip4(47, 0, &gre_key_seq(0x0800, &udp))),
        eth(0x0800, &ip4(47, 0, &gre_pptp(&join(&[&[0xff, 3], &ppp(0x21, &udp)])))),
        eth(0x0800, &ip4(47, 0, &erspan_2(&inner))),
        eth(0x0800, &ip4(47, 0, &erspan_3(&inner))),
        eth(0x0800, &ip4(47, 0, &gre(0x88be, &inner))),
        eth(0x0800, &ip4_udp(5000, 4789, &vxlan(42, &inner))),
        eth(0x0800, &ip4_udp(5000, 4790, &vxlan_gpe(42, 1, &udp))),
        eth(0x0800, &ip4_udp(5000, 4790, &vxlan_gpe(42, 3, &inner))),
        eth(0x0800, &ip4_udp(5000, 6081, &geneve(42, 0x6558, &[], &inner))),
        eth(0x0800, &ip4_udp(5000, 6081, &geneve(42, 0x0800, &[1, 2, 3, 1, 0, 0, 0, 0], &udp))),
        eth(0x8847, &mpls(100, true, &udp)),
        eth(0x8847, &mpls(100, false, &mpls(200, true, &udp6))),
        eth(0x8864, &pppoe(&ppp(0x21, &udp))),
        eth(0x8864, &pppoe(&ppp(0x57, &udp6))),
        eth(0x0800, &ip4_udp(5000, 2152, &gtp(&udp))),
        eth(0x0800, &ip4_udp(5000, 1701, &l2tp(&join(&[&[0xff, 3], &ppp(0x21, &udp)])))),
        eth(0x0800, &ip4_udp(5000, 3544, &udp6)),
        eth(0x0800, &ip4_udp(5000, 3544, &join(&[&[0, 0, 1, 2, 3, 4, 5, 6], &udp6]))),
        eth(0x0800, &ip4_udp(5000, 4754, &gre(0x0800, &udp))),
        eth(0x0800, &ip4_udp(5000, 6635, &mpls(5, true, &udp))),
        eth(0x0800, &ip4(137, 0, &mpls(5, true, &udp))),
        eth(0x0800, &ip4(97, 0, &join(&[&[0x30, 0], &inner]))),
        eth(0x894f, &join(&[&[0x0f, 0xc6, 1, 1, 0, 0, 5, 9], &[0; 16], &udp])),
        eth(
            0x0800,
            &ip4_udp(4500, 4500, &[0, 0, 0, 9, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9]),
        ),
    ];
    // tshark 4.0 does not name VXLAN-GPE in frame.protocols
    let differ = [(10, "frame.protocols"), (11, "frame.protocols")];
    check("tunnels", LinkType::ETHERNET, &frames, &differ);
}

#[test]
fn link_types() {
    let udp = ip4_udp(1000, 2000, b"link");
    let udp6 = ip6_udp(1000, 2000, b"link");
    let both = [udp.clone(), udp6.clone()];
    check("raw", LinkType::RAW, &both, &[]);
    check("raw12", LinkType::RAW_12, &both, &[]);
    check("ipv4", LinkType::IPV4, std::slice::from_ref(&udp), &[]);
    check("ipv6", LinkType::IPV6, std::slice::from_ref(&udp6), &[]);
    let null = [
        join(&[&[2, 0, 0, 0], &udp]),
        join(&[&[0, 0, 0, 2], &udp]),
        join(&[&[24, 0, 0, 0], &udp6]),
        join(&[&[28, 0, 0, 0], &udp6]),
        join(&[&[0, 0, 0, 30], &udp6]),
    ];
    check("null", LinkType::NULL, &null, &[]);
    check("loop", LinkType::LOOP, &[join(&[&[0, 0, 0, 2], &udp])], &[]);
    let tagged = vlan(12, 0x0800, &udp);
    check(
        "sll",
        LinkType::LINUX_SLL,
        &[
            sll(0x0800, &udp),
            sll(0x8100, &tagged),
            sll(0x0806, &arp()),
            sll(4, &[0x42, 0x42, 3, 0, 0, 0, 0, 0]),
        ],
        &[],
    );
    check("sll2", LinkType::LINUX_SLL2, &[sll2(0x0800, &udp), sll2(0x86dd, &udp6)], &[]);
    let control = |p: u16, b: &[u8]| join(&[&[0xff, 3], &ppp(p, b)]);
    let ppps = [
        control(0x21, &udp),
        control(0x57, &udp6),
        ppp(0x21, &udp),
        join(&[&[0x21], &udp]),
        control(0x281, &mpls(5, true, &udp)),
    ];
    check("ppp", LinkType::PPP, &ppps, &[]);
    // tshark says ppp for the link type even where Cisco HDLC framing follows
    check(
        "hdlc",
        LinkType::PPP_HDLC,
        &[ppps[0].clone(), join(&[&[0x0f, 0, 8, 0], &udp])],
        &[(2, "frame.protocols")],
    );
    check("pppoe", LinkType::PPP_ETHER, &[pppoe(&ppp(0x21, &udp))], &[]);
    check(
        "chdlc",
        LinkType::C_HDLC,
        &[
            join(&[&[0x0f, 0, 8, 0], &udp]),
            join(&[&[0x0f, 0, 0x86, 0xdd], &udp6]),
            join(&[&[0x8f, 0, 0x88, 0x47], &mpls(5, true, &udp)]),
        ],
        &[],
    );
    check(
        "fr",
        LinkType::FRELAY,
        &[
            join(&[&[0x18, 0x41, 3, 0xcc], &udp]),
            join(&[&[0x18, 0x41, 3, 0x8e], &udp6]),
            join(&[&[0x18, 0x41, 3, 0, 0x80, 0, 0, 0, 8, 0], &udp]),
            join(&[&[0x18, 0x41, 8, 0], &udp]),
        ],
        &[],
    );
    check("fddi", LinkType::FDDI, &[join(&[&[0x50], &MAC_A, &MAC_B, &snap(0x0800, &udp)])], &[]);
    check(
        "arcnet",
        LinkType::ARCNET_BSD,
        &[join(&[&[1, 2, 212, 0, 0, 1], &udp]), join(&[&[1, 2, 240], &udp])],
        &[],
    );
    check(
        "arclinux",
        LinkType::ARCNET_LINUX,
        &[join(&[&[1, 2, 0, 0, 212, 0, 0, 1], &udp]), join(&[&[1, 2, 0, 0, 240], &udp])],
        &[],
    );
    let tlv = |p: &[u8]| join(&[&((p.len() + 4) as u16).to_le_bytes(), &[9, 0], p]);
    check(
        "nflog",
        LinkType::NFLOG,
        &[
            join(&[&[2, 0, 0, 5], &[8, 0, 1, 0, 8, 0, 1, 0], &tlv(&udp)]),
            join(&[&[10, 0, 0, 5], &[5, 0, 10, 0, 0, 0, 0, 0], &tlv(&udp6)]),
        ],
        &[],
    );
    let frame = fcs(pad(eth(0x0800, &udp)));
    let header = [0, 4, frame.len() as u8, 0];
    check("netana", LinkType::NETANALYZER, &[join(&[&header, &frame])], &[]);
    let preamble = [0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0xd5];
    // tshark leaves transparent frames alone; ours are checked in the pitfalls
    let mpacket = join(&[&preamble, &frame]);
    check("mpacket", LinkType::ETHERNET_MPACKET, &[mpacket], &[]);
}
