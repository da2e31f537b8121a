#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashSet;

use proptest::prelude::*;
use skb::decode::{Decoded, Decoder};
use testkit::build::{self, eth, ip4_tcp, ip4_udp, ip6_tcp, ip6_udp, vlan};

use super::*;

/// The key that comes with Crypto-PAn's sample trace.
const SAMPLE: [u8; 32] = [
    21, 34, 23, 141, 51, 164, 207, 128, 19, 10, 91, 22, 73, 144, 125, 16, 216, 152, 143, 131, 121,
    121, 101, 39, 98, 87, 76, 45, 42, 132, 34, 2,
];

fn anonymizer() -> Anonymizer {
    Anonymizer::new(&SAMPLE)
}

#[test]
fn addresses_are_those_of_crypto_pan() {
    // sample_trace_raw.dat and sample_trace_sanitized.dat of Crypto-PAn 1.0
    for (raw, sanitized) in [
        ("128.11.68.132", "135.242.180.132"),
        ("129.118.74.4", "134.136.186.123"),
        ("130.132.252.244", "133.68.164.234"),
        ("141.223.7.43", "141.167.8.160"),
    ] {
        let new = anonymizer().ipv4(raw.parse().unwrap());
        assert_eq!(new.to_string(), sanitized, "{raw}");
    }
}

#[test]
fn what_means_the_same_everywhere_stays_and_private_stays_private() {
    let mut it = anonymizer();
    for same in ["0.0.0.0", "127.0.0.1", "224.0.0.251", "255.255.255.255"] {
        assert_eq!(it.ipv4(same.parse().unwrap()).to_string(), same);
    }
    for same in ["::", "::1", "ff02::1", "ff02::fb"] {
        assert_eq!(it.ipv6(same.parse().unwrap()).to_string(), same);
    }
    for (private, prefix) in
        [("192.168.1.10", "192.168."), ("10.0.0.1", "10."), ("169.254.3.4", "169.254.")]
    {
        let new = it.ipv4(private.parse().unwrap()).to_string();
        assert!(new.starts_with(prefix) && new != private, "{new}");
    }
    let local = it.ipv6("fe80::1234:5678:9abc:def0".parse().unwrap());
    assert_eq!(local.segments()[..4], [0xfe80, 0, 0, 0]);
    // a group made from an address: its MAC and its IPv6 address go together
    let group = it.ipv6("ff02::1:ff12:3456".parse().unwrap()).octets();
    let mac = it.mac([0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
    assert_eq!(group[13..], mac[3..]);
    assert_ne!(mac[3..], [0x12, 0x34, 0x56]);
    assert_eq!(it.mac([0xff; 6]), [0xff; 6]);
}

#[test]
fn no_two_stations_become_one() {
    let mut it = anonymizer();
    let macs: HashSet<_> = (0..5000u32)
        .map(|n| {
            let [a, b, c, d] = n.to_be_bytes();
            let mac = it.mac([0, 0x11, a, b, c, d]);
            assert_eq!(mac[0] & 3, 2, "locally administered, a station");
            mac
        })
        .collect();
    assert_eq!(macs.len(), 5000);
    let ips: HashSet<_> =
        (0..5000u32).map(|n| it.ipv4(Ipv4Addr::from(0x0808_0000 + n * 7919))).collect();
    assert_eq!(ips.len(), 5000);
}

const SECRET: &[u8] = b"Patient Erika Mustermann, born 1964-08-12";

#[test]
fn contents_are_gone_and_the_frame_is_sound() {
    let tcp = ip4_tcp(40_000, 104, SECRET);
    let icmp_error = build::icmp(3, 1, [0; 4], &tcp);
    let tunnel = build::ip4(47, 0, &build::gre(0x0800, &tcp));
    let dns = ip4_udp(5353, 53, SECRET);
    let fragment = build::ip6_fragment(17, 64, true, SECRET);
    for (name, frame) in [
        ("tcp", eth(0x0800, &tcp)),
        ("tagged", eth(0x8100, &vlan(10, 0x0800, &tcp))),
        ("udp", eth(0x0800, &dns)),
        ("tcp over ipv6", eth(0x86dd, &ip6_tcp(40_000, 104, SECRET))),
        ("udp over ipv6", eth(0x86dd, &ip6_udp(40_000, 53, SECRET))),
        ("icmp error", eth(0x0800, &build::ip4(1, 0, &icmp_error))),
        ("tunnel", eth(0x0800, &tunnel)),
        ("options", eth(0x0800, &build::ip4_options(17, 0, &SECRET[..40], &dns[20..]))),
        ("fragment", eth(0x86dd, &build::ip6(44, &fragment))),
        ("unknown", eth(0x88b5, SECRET)),
        ("llc", build::eth_802_3(SECRET)),
    ] {
        for cut in [0, 5] {
            let mut new = frame[..frame.len() - cut].to_vec();
            let (old, mut it) = (new.clone(), anonymizer());
            it.frame(LinkType::ETHERNET, &mut new);
            assert_eq!(new.len(), old.len());
            for part in SECRET.windows(4) {
                assert!(!new.windows(4).any(|bytes| bytes == part), "{name}: {new:02x?}");
            }
            assert_ne!(new[6..12], old[6..12], "{name}");
            let mut decoded = Decoded::default();
            Decoder::new().decode(&build::meta(&new), &new, &mut decoded);
            let said = format!("{decoded:?}");
            assert!(!said.contains("checksum: Bad"), "{name}: {said}");
            // the same again
            let mut again = old;
            anonymizer().frame(LinkType::ETHERNET, &mut again);
            assert_eq!(again, new, "{name}");
        }
    }
}

#[test]
fn router_and_group_messages_stay_well_formed() {
    let mut router = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    router.extend([1, 1, 2, 0, 0, 0, 0, 0xa]);
    router.extend([3, 4, 64, 0xc0]);
    router.extend([9; 28]);
    let mut frame = eth(0x86dd, &build::ip6(58, &router));
    anonymizer().frame(LinkType::ETHERNET, &mut frame);
    let message = &frame[54..];
    assert_eq!((message[0], message[16], message[17], message[24], message[25]), (134, 1, 1, 3, 4));
    assert_ne!(message[18..24], [2, 0, 0, 0, 0, 0xa]);
    assert!(message[26..].iter().all(|byte| *byte == 0));
    let report = [0x22, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0, 224, 0, 0, 251];
    let mut frame = eth(0x0800, &build::ip4(2, 0, &report));
    anonymizer().frame(LinkType::ETHERNET, &mut frame);
    assert_eq!(frame[34..], [0x22, 0, 0xdd, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

proptest! {
    #[test]
    fn prefixes_are_preserved(a in any::<u32>(), at in 0..32u32) {
        let mut it = anonymizer();
        let b = a ^ (1 << (31 - at));
        // within one kind; the few that come out as another kind are made twice
        prop_assume!(kept_v4(a.into()) == 0 && kept_v4(b.into()) == 0);
        let bits = |ip: u32| it.prefix_preserving(u128::from(ip) << 96, 32, 0) >> 96;
        let (raw_a, raw_b) = (bits(a) as u32, bits(b) as u32);
        prop_assert_eq!((raw_a ^ raw_b).leading_zeros(), at);
        if kept_v4(raw_a.into()) == 0 && kept_v4(raw_b.into()) == 0 {
            let (a, b) = (u32::from(it.ipv4(a.into())), u32::from(it.ipv4(b.into())));
            prop_assert_eq!((a ^ b).leading_zeros(), at);
        }
    }

    #[test]
    fn nothing_of_any_frame_but_known_headers_is_left(
        bytes in proptest::collection::vec(1..=255u8, 60..200), kind in 0..6u16,
    ) {
        let mut frame = bytes;
        let types = [0x0806u16, 0x88cc, 0x8137, 0x22f0, 60, 0x8847];
        frame[12..14].copy_from_slice(&types[usize::from(kind)].to_be_bytes());
        anonymizer().frame(LinkType::ETHERNET, &mut frame);
        prop_assert!(frame[14..].iter().all(|byte| *byte == 0));
    }
}
