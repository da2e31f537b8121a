use super::*;
use proptest::prelude::*;

fn eth(ethertype: u16, rest: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend(ethertype.to_be_bytes());
    frame.extend(rest);
    frame
}

fn ip4(proto: u8, fragment: u16, options: usize) -> Vec<u8> {
    let mut ip = vec![0x45 + options as u8 / 4, 0, 0, 40];
    ip.extend([0, 1]);
    ip.extend(fragment.to_be_bytes());
    ip.extend([64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    ip.resize(20 + options, 1);
    ip.extend([0; 20]);
    ip
}

#[test]
fn ipv4_with_options_and_fragments() {
    let plain = locate_ethernet(&eth(0x0800, &ip4(6, 0x4000, 0)));
    assert_eq!((plain.kind, plain.l3, plain.l4, plain.ip_proto), (L3::Ipv4, 14, 34, 6));
    assert!(!plain.fragment, "DF is not a fragment");
    assert_eq!(locate_ethernet(&eth(0x0800, &ip4(17, 0, 8))).l4, 42);
    let first = locate_ethernet(&eth(0x0800, &ip4(17, 0x2000, 0)));
    assert!(first.fragment && first.l4 == 34);
    let later = locate_ethernet(&eth(0x0800, &ip4(17, 185, 0)));
    assert!(later.fragment && later.l4 == 0, "a later fragment has no transport header");
}

#[test]
fn tags_in_any_number() {
    let inner = ip4(6, 0, 0);
    let mut rest = vec![0x20, 100, 0x81, 0, 0, 200, 0x08, 0];
    rest.extend(&inner);
    let both = locate_ethernet(&eth(0x88a8, &rest));
    assert_eq!((both.tags, both.tci, both.l3, both.ethertype), (2, 0x2064, 22, 0x0800));
    let cut = locate_ethernet(&eth(0x8100, &[0]));
    assert_eq!((cut.kind, cut.tags), (L3::None, 0));
}

#[test]
fn ipv6_chain_to_the_transport_header() {
    let mut ip = vec![0x60, 0, 0, 0, 0, 24, 0, 64];
    ip.extend([0; 32]);
    ip.extend([60, 0, 0, 0, 0, 0, 0, 0]); // hop-by-hop, next: destination options
    ip.extend([17, 0, 0, 0, 0, 0, 0, 0]); // destination options, next: UDP
    ip.extend([0; 8]);
    let found = locate_ethernet(&eth(0x86dd, &ip));
    assert_eq!((found.kind, found.l4, found.ip_proto), (L3::Ipv6, 14 + 40 + 16, 17));
    let cut = locate_ethernet(&eth(0x86dd, &ip[..50]));
    assert_eq!((cut.l4, cut.ip_proto), (0, 17), "the chain is known, the header is not there");
}

#[test]
fn lengths_are_llc_and_types_are_not() {
    assert_eq!(locate_ethernet(&eth(38, &[0x42, 0x42, 3])).kind, L3::Llc);
    assert_eq!(locate_ethernet(&eth(1501, &[])).kind, L3::Llc);
    assert_eq!(locate_ethernet(&eth(0x88cc, &[])).kind, L3::Other);
    assert_eq!(locate_ethernet(&[0; 13]).kind, L3::None);
}

#[test]
fn other_link_types() {
    let ip = ip4(1, 0, 0);
    let with = |prefix: &[u8]| [prefix, &ip].concat();
    for (linktype, bytes, l3) in [
        (LinkType::RAW, with(&[]), 0),
        (LinkType::IPV4, with(&[]), 0),
        (LinkType::NULL, with(&[2, 0, 0, 0]), 4),
        (LinkType::LINUX_SLL, with(&[0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0]), 16),
        (LinkType::PPP, with(&[0xff, 3, 0, 0x21]), 4),
        (LinkType::PPP, with(&[0x21]), 1),
        (LinkType::C_HDLC, with(&[0x0f, 0, 8, 0]), 4),
    ] {
        let found = locate(linktype, &bytes);
        assert_eq!((found.kind, found.l3, found.l4), (L3::Ipv4, l3, l3 + 20), "{linktype}");
    }
    assert_eq!(locate(LinkType(147), &ip).kind, L3::None);
}

proptest! {
    #[test]
    fn never_past_the_bytes(
        linktype in 0u16..290, bytes in proptest::collection::vec(any::<u8>(), 0..200)
    ) {
        let found = locate(LinkType(linktype), &bytes);
        prop_assert!(usize::from(found.l4) < bytes.len().max(1));
        if matches!(found.kind, L3::Ipv4 | L3::Ipv6) {
            prop_assert!(usize::from(found.l3) + 20 <= bytes.len());
        }
    }
}
