//! What can be done from a socket of the network: joining it, standing in for its switches and
//! routers, asking the router for ports.

use std::net::Ipv6Addr;

use etherparse::PacketBuilder;

use crate::wire::{A, B, OTHER, ROUTER, arp, card, rules, rules_at, tcp, udp};

/// A client of DHCP that looks for servers (1) or renews (3).
fn dhcp_client(mac: [u8; 6], kind: u8) -> Vec<u8> {
    let mut bytes = vec![0; 236];
    bytes[..4].copy_from_slice(&[1, 1, 6, 0]);
    bytes[28..34].copy_from_slice(&mac);
    bytes.extend([0x63, 0x82, 0x53, 0x63, 53, 1, kind, 255]);
    udp(([0; 4], 68), ([255; 4], 67), &bytes)
}

const MAKER: [u8; 6] = [0, 0x1b, 0x21, 0, 0, 7];
const TELEPHONE: [u8; 6] = [0x5a, 1, 2, 3, 4, 5];

#[test]
fn devices_that_join_late() {
    let start = (0, arp(1, card(A), A, ROUTER, false));
    let joins = |minute: i64, mac: [u8; 6]| {
        vec![start.clone(), (minute, dhcp_client(mac, 1)), (minute, dhcp_client(mac, 3))]
    };
    assert_eq!(rules_at(&joins(75, MAKER)), [("lan.newcomer", "info", vec![2])]);
    assert_eq!(rules_at(&joins(75, TELEPHONE)), [("lan.newcomer-random", "info", vec![2])]);
    assert!(rules_at(&joins(20, MAKER)).is_empty());
    // it was there: it had said something in the first hour
    let known = [start.clone(), (5, arp(1, MAKER, B, A, false)), (75, dhcp_client(MAKER, 1))];
    assert!(rules_at(&known).is_empty());
    // looks whether an address of its own is free
    let probe = arp(1, MAKER, [0; 4], B, false);
    assert_eq!(rules_at(&[start.clone(), (75, probe)]), [("lan.newcomer", "info", vec![2])]);
    // only speaks: it may have been silent
    assert!(rules_at(&[start, (75, arp(1, MAKER, B, A, false))]).is_empty());
}

fn llc(to: [u8; 6], payload: &[u8]) -> Vec<u8> {
    testkit::build::llc(to, MAKER, payload)
}

/// The golden frame: a configuration message of the spanning tree with this root.
fn bpdu(priority: u16, root: u8) -> Vec<u8> {
    testkit::build::bpdu(MAKER, priority, root)
}

#[test]
fn another_root_of_the_tree() {
    let (old, better) = (bpdu(0x8001, 2), bpdu(0x1000, 9));
    let mut said = vec![old; 4];
    assert_eq!(rules(&said), [("lan.stp-heard", "info", vec![1, 2, 3, 4])]);
    said.extend(vec![better; 3]);
    let heard = ("lan.stp-heard", "info", (1..=7).collect());
    assert_eq!(rules(&said), [("lan.stp-root", "medium", vec![7]), heard]);
    // to this address, and something else
    assert!(rules(&[llc([1, 0x80, 0xc2, 0, 0, 0], &[0x42, 0x42, 3, 0, 1, 0, 0])]).is_empty());
}

#[test]
fn a_switch_that_would_open_a_trunk() {
    let dtp = |status: u8| {
        let says = [1, 0, 1, 0, 5, 0, 0, 2, 0, 5, status, 0, 3, 0, 5, 0xa5];
        let snap = [&[0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 4][..], &says].concat();
        llc([1, 0, 0x0c, 0xcc, 0xcc, 0xcc], &snap)
    };
    assert_eq!(rules(&[dtp(3)]), [("lan.trunk-offered", "medium", vec![1])]);
    assert!(rules(&[dtp(2)]).is_empty());
}

/// A router's card, prefix and resolvers.
fn router(n: u8, prefix: &str, resolver: Option<&str>) -> Vec<u8> {
    let ip = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
    let mut options = vec![0; 8];
    options.extend([3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0]);
    options.extend(ip(prefix));
    if let Some(resolver) = resolver {
        options.extend([25, 3, 0, 0, 0, 0, 0x0e, 0x10]);
        options.extend(ip(resolver));
    }
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 6, n], [0x33, 0x33, 0, 0, 0, 1])
        .ipv6(ip(&format!("fe80::{n}")), ip("ff02::1"), 255)
        .icmpv6_raw(134, 0, [64, 0, 7, 8])
        .write(&mut frame, &options)
        .unwrap();
    frame
}

#[test]
fn a_second_router_of_ipv6() {
    let own = router(1, "2001:db8:1::", Some("2001:db8:1::53"));
    let names = router(2, "fd00:66::", Some("fd00:66::1"));
    let leads = router(2, "2001:db8:66::", None);
    for other in [names, leads] {
        let said = [own.clone(), other, own.clone()];
        assert_eq!(rules(&said), [("lan.ra-rogue", "medium", vec![2])]);
    }
    // one; a pair; a border router of a smart home, which names a local prefix only
    assert!(rules(&[own.clone(), own.clone()]).is_empty());
    let pair = router(2, "2001:db8:1::", Some("2001:db8:1::53"));
    assert!(rules(&[own.clone(), pair, own.clone()]).is_empty());
    let thread = router(3, "fd12:3456::", None);
    assert!(rules(&[own.clone(), thread, own]).is_empty());
}

/// A reply of DHCPv6 (RFC 8415 section 8) by a server that names a resolver.
fn dhcpv6(n: u8, resolver: &str) -> Vec<u8> {
    let ip = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
    let mut bytes = vec![7, 1, 2, 3];
    // client and server by their cards (DUID-LL), resolvers
    bytes.extend([0, 1, 0, 10, 0, 3, 0, 1, 2, 0, 0, 0, 0, 9]);
    bytes.extend([0, 2, 0, 10, 0, 3, 0, 1, 2, 0, 0, 0, 0, n]);
    bytes.extend([0, 23, 0, 16]);
    bytes.extend(ip(resolver));
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 6, n], [2, 0, 0, 0, 6, 9])
        .ipv6(ip(&format!("fe80::{n}")), ip("fe80::9"), 64)
        .udp(547, 546)
        .write(&mut frame, &bytes)
        .unwrap();
    frame
}

#[test]
fn a_second_server_of_dhcpv6() {
    let own = dhcpv6(1, "2001:db8:1::53");
    let said = [own.clone(), dhcpv6(66, "fe80::66"), own.clone()];
    assert_eq!(rules(&said), [("lan.dhcp-rogue", "medium", vec![2])]);
    assert!(rules(&[own.clone(), dhcpv6(2, "2001:db8:1::53"), own]).is_empty());
}

#[test]
fn a_router_that_takes_orders() {
    let says = |first: &str, what: &str, nts: &str| {
        let text = format!(
            "{first}\r\nHOST: 239.255.255.250:1900\r\nNT: {what}\r\nNTS: {nts}\r\n\
             USN: uuid:1::{what}\r\nST: {what}\r\n\r\n"
        );
        udp((ROUTER, 1900), ([239, 255, 255, 250], 1900), text.as_bytes())
    };
    let gateway = "urn:schemas-upnp-org:device:InternetGatewayDevice:1";
    let notify = "NOTIFY * HTTP/1.1";
    let offers = [("lan.upnp-offered", "low", vec![1])];
    assert_eq!(rules(&[says(notify, gateway, "ssdp:alive")]), offers);
    let answer = "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:service:WANIPConnection:1\r\n\
                  USN: uuid:1\r\n\r\n";
    assert_eq!(rules(&[udp((ROUTER, 1900), (A, 50_000), answer.as_bytes())]), offers);
    // goes; a printer; somebody who looks for one
    assert!(rules(&[says(notify, gateway, "ssdp:byebye")]).is_empty());
    let printer = "urn:schemas-upnp-org:device:Printer:1";
    assert!(rules(&[says(notify, printer, "ssdp:alive")]).is_empty());
    assert!(rules(&[says("M-SEARCH * HTTP/1.1", gateway, "")]).is_empty());
}

/// An answer of a name server.
fn answer(name: &str, ip: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4]);
    bytes.extend(ip);
    bytes
}

#[test]
fn proxy_settings_by_a_name() {
    let told = |name: &str, ip| rules(&[udp((ROUTER, 53), (A, 50_000), &answer(name, ip))]);
    assert_eq!(told("wpad.practice.lan", B), [("lan.proxy-named", "low", vec![1])]);
    assert_eq!(told("WPAD.example", [203, 0, 113, 5]), [("lan.proxy-named", "medium", vec![1])]);
    assert!(told("wpadx.practice.lan", B).is_empty());
    assert!(told("www.wpad.lan", B).is_empty());
    assert!(told("wpad.practice.lan", [0; 4]).is_empty(), "nobody");
    let mut none = answer("wpad.practice.lan", B);
    none[3] = 0x83;
    assert!(rules(&[udp((ROUTER, 53), (A, 50_000), &none)]).is_empty());
}

#[test]
fn a_switch_that_anyone_may_set_up() {
    let ask = [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0];
    let tell = [0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0];
    let both: [(bool, &[u8]); 2] = [(true, &ask), (false, &tell)];
    assert_eq!(rules(&tcp(4786, &both)), [("lan.smart-install", "medium", vec![1])]);
    // asked, and not answered
    assert!(rules(&tcp(4786, &both[..1])).is_empty());
}

#[test]
fn virtual_machines_alone_behind_a_port_that_has_a_name() {
    let guest = |n: u8| [0, 0x15, 0x5d, 0, 0, n];
    let mut lldp = vec![1, 0x80, 0xc2, 0, 0, 0x0e];
    lldp.extend(MAKER);
    lldp.extend([0x88, 0xcc, 2, 7, 4, 2, 0, 0, 0, 0, 1, 4, 3, 7, b'g', b'1', 6, 2, 0, 120, 0, 0]);
    let speak = |mac: [u8; 6], ip: [u8; 4]| arp(1, mac, ip, ROUTER, false);
    let said = [lldp, speak(guest(1), A), speak(guest(2), B), speak(MAKER, OTHER)];
    assert_eq!(rules(&said[..3]), [("lan.guests-alone", "info", vec![2, 3])]);
    assert!(rules(&said[1..3]).is_empty(), "no name of a port");
    assert!(rules(&said).is_empty(), "a card of a maker speaks as well");
    assert!(rules(&said[..2]).is_empty());
}
