#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use skb::decode::{Decoded, Decoder};
use testkit::build::{self, eth, ip4, ip4_tcp, ip4_udp, ip6, ip6_tcp, ip6_udp, vlan};

use super::*;

/// How often the decoder says that of a checksum.
fn sums(frame: &[u8], verdict: &str) -> usize {
    let mut decoded = Decoded::default();
    Decoder::new().decode(&build::meta(frame), frame, &mut decoded);
    format!("{decoded:?}").matches(&format!("checksum: {verdict}")).count()
}

fn rewrite(options: RewriteOptions, frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    Rewriter::new(options).frame(&mut frame);
    frame
}

fn ips(maps: &[&str]) -> RewriteOptions {
    let ips = maps.iter().map(|map| map.parse().unwrap()).collect();
    RewriteOptions { ips, ..RewriteOptions::default() }
}

fn frames() -> Vec<Vec<u8>> {
    let sctp = build::sctp(36412, 36412, crc32c::crc32c);
    let mut neighbour = vec![135, 0, 0, 0, 0, 0, 0, 0];
    neighbour.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    neighbour.extend([1, 1, 2, 0, 0, 0, 0, 0xa]);
    let mut all = vec![
        eth(0x0800, &ip4_udp(40_000, 53, b"hello, odd")),
        eth(0x0800, &ip4_tcp(40_000, 3389, b"hello")),
        eth(0x86dd, &ip6_udp(40_000, 53, b"hello")),
        eth(0x86dd, &ip6_tcp(40_000, 3389, b"hello, odd!")),
        eth(0x0800, &build::ip4_echo(1, 2, b"ping")),
        eth(0x86dd, &build::ip6_echo(1, 2, b"ping")),
        eth(0x0800, &ip4(132, 0, &sctp)),
        eth(0x8100, &vlan(10, 0x0800, &ip4_tcp(40_000, 3389, b"tagged"))),
        eth(0x0806, &build::arp()),
    ];
    // its sum is wrong until it is made
    let fixed = RewriteOptions { checksums: true, ..RewriteOptions::default() };
    all.push(rewrite(fixed, &eth(0x86dd, &ip6(58, &neighbour))));
    all
}

#[test]
fn right_checksums_stay_right_and_wrong_ones_wrong() {
    let both = ["0.0.0.0/0=10.9.8.7/0", "::/0=fd00::/0"];
    let same = rewrite(ips(&both), &frames()[0]);
    assert_eq!(same, frames()[0], "a network of no bits keeps every address");
    for mut frame in frames() {
        let mut options = ips(&["0.0.0.0/1=128.0.0.0/1", "128.0.0.0/1=0.0.0.0/1", "::/1=8000::/1"]);
        options.ports = vec!["53=5353".parse().unwrap(), "3389=2299".parse().unwrap()];
        let good = sums(&frame, "Good");
        let changed = rewrite(options.clone(), &frame);
        assert_ne!(changed, frame);
        assert_eq!((sums(&changed, "Good"), sums(&changed, "Bad")), (good, 0), "{changed:02x?}");
        let last = frame.len() - 1;
        frame[last] ^= 1;
        let (good, bad) = (sums(&frame, "Good"), sums(&frame, "Bad"));
        let changed = rewrite(options, &frame);
        if frame[12..14] != [0, 0x84] && !frame.ends_with(&[11, 0, 0, 5]) {
            assert_eq!(
                (sums(&changed, "Good"), sums(&changed, "Bad")),
                (good, bad),
                "{frame:02x?}"
            );
        }
    }
}

#[test]
fn sums_are_made_where_the_card_was_to_make_them() {
    for frame in frames() {
        let mut broken = frame.clone();
        let located = locate(LinkType::ETHERNET, &broken);
        let Some(ip) = Ip::of(&located, &broken) else { continue };
        if let Some(at) = ip.l4_sum() {
            broken[at..at + 2].copy_from_slice(&[0x12, 0x34]);
        }
        if ip.v4 {
            broken[ip.at + 10] ^= 0x55;
        }
        let fixed = RewriteOptions { checksums: true, ..RewriteOptions::default() };
        assert_eq!(rewrite(fixed, &broken), frame);
    }
}

#[test]
fn tags_are_pushed_swapped_and_popped() {
    let plain = eth(0x0800, &ip4_udp(1, 2, b"x"));
    let push = RewriteOptions { vlan_push: Some("10:5".parse().unwrap()), ..Default::default() };
    let tagged = rewrite(push, &plain);
    assert_eq!(tagged[12..18], [0x81, 0, 0xa0, 10, 8, 0]);
    let swap = RewriteOptions { vlan_swap: vec!["10=20".parse().unwrap()], ..Default::default() };
    let swapped = rewrite(swap.clone(), &tagged);
    assert_eq!(swapped[12..18], [0x81, 0, 0xa0, 20, 8, 0]);
    assert_eq!(rewrite(swap, &plain), plain);
    let pop = RewriteOptions { vlan_pop: true, ..Default::default() };
    assert_eq!(rewrite(pop.clone(), &swapped), plain);
    assert_eq!(rewrite(pop, &plain), plain);
}

#[test]
fn stations_and_addresses_change_in_arp_and_neighbour_messages_too() {
    let frame = eth(0x0806, &build::arp());
    let (dst, src) = (&frame[..6], &frame[6..12]);
    let mac = |bytes: &[u8]| MacAddrText(bytes).to_string();
    let map = format!("{}=02:aa:aa:aa:aa:aa", mac(src)).parse().unwrap();
    let options = RewriteOptions { macs: vec![map], ..ips(&["0.0.0.0/0=0.0.0.0/0"]) };
    let changed = rewrite(options, &frame);
    assert_eq!(&changed[..6], dst);
    assert_eq!(changed[6..12], [2, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa]);
    assert_eq!(changed[22..28], changed[6..12], "sender hardware address");
    let neighbour = frames().pop().unwrap();
    let map = "02:00:00:00:00:0a=02:bb:bb:bb:bb:bb".parse().unwrap();
    let options = RewriteOptions { macs: vec![map], ..ips(&["2001:db8::/32=fd00:1::/32"]) };
    let changed = rewrite(options, &neighbour);
    assert_eq!(changed[62..66], [0xfd, 0, 0, 1]);
    assert_eq!(changed[80..86], [2, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb]);
    assert_eq!(sums(&changed, "Bad"), 0);
}

struct MacAddrText<'a>(&'a [u8]);

impl std::fmt::Display for MacAddrText<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes: Vec<String> = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        f.write_str(&bytes.join(":"))
    }
}

#[test]
fn each_round_has_addresses_of_its_own() {
    let mut rewriter = Rewriter::new(RewriteOptions { fresh: true, ..Default::default() });
    let mut seen = std::collections::HashSet::new();
    for round in 0..300 {
        let mut frame = frames()[1].clone();
        rewriter.frame(&mut frame);
        assert_eq!(sums(&frame, "Bad"), 0, "round {round}");
        assert!(seen.insert(frame[26..34].to_vec()), "round {round} repeats one");
        assert!(round > 0 || frame == frames()[1], "the first is as recorded");
        rewriter.next_round();
    }
}

proptest! {
    #[test]
    fn networks_that_trade_places_twice_change_nothing(
        which in 0..10usize, bits in 0..=32u8, port in 1..u16::MAX, cut in 0..200usize,
    ) {
        let mut frame = frames()[which].clone();
        frame.truncate(frame.len() - cut.min(frame.len() / 3));
        // two networks and two ports trade places: doing it twice undoes it
        let swap = [
            format!("0.0.0.0/{bits}=192.0.2.1/{bits}"),
            format!("192.0.2.1/{bits}=0.0.0.0/{bits}"),
            "2001:db8::/32=fd00:9::/32".into(),
            "fd00:9::/32=2001:db8::/32".into(),
        ];
        let mut swap = ips(&swap.each_ref().map(String::as_str));
        swap.ports = vec![
            PortMapping { from: 53, to: port },
            PortMapping { from: port, to: 53 },
        ];
        let changed = rewrite(swap.clone(), &frame);
        prop_assert_eq!(rewrite(swap, &changed), frame);
    }

    #[test]
    fn any_bytes_are_changed_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        start in 0..10usize,
        keep in 0..80usize,
        at in proptest::collection::vec((0..120usize, any::<u8>()), 0..6),
    ) {
        let mut frame = frames()[start].clone();
        frame.truncate(keep);
        frame.extend(bytes);
        for (at, byte) in at {
            if let Some(place) = frame.get_mut(at) {
                *place = byte;
            }
        }
        let options = RewriteOptions {
            macs: vec!["02:00:00:00:00:0a=02:bb:bb:bb:bb:bb".parse().unwrap()],
            ports: vec!["53=54".parse().unwrap()],
            vlan_pop: true,
            vlan_push: Some("9".parse().unwrap()),
            checksums: true,
            fresh: true,
            anonymize: Some(Anonymizer::new(&[7; 32])),
            ..ips(&["0.0.0.0/1=128.0.0.0/1"])
        };
        let len = frame.len();
        let changed = rewrite(options, &frame);
        prop_assert!(changed.len() <= len + 4);
    }
}
