//! Findings of the local network from frames, by the way that a capture takes through the analysis.
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod clear;
mod ports;
mod wire;

use wire::{A, B, OTHER, ROUTER, analysis, arp, card, rules, tcp, udp};

#[test]
fn two_cards_with_one_address() {
    for tagged in [false, true] {
        let said = [
            arp(2, card(B), B, A, tagged),
            arp(2, card(OTHER), B, A, tagged),
            arp(1, card(B), B, A, tagged),
        ];
        assert_eq!(rules(&said), [("lan.arp-twice", "medium", vec![2, 3])]);
        assert!(rules(&said[..2]).is_empty());
    }
}

fn dhcp(server: [u8; 4], router: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![0; 236];
    bytes[..4].copy_from_slice(&[2, 1, 6, 0]);
    bytes[16..20].copy_from_slice(&A);
    bytes[28..34].copy_from_slice(&card(A));
    bytes.extend([0x63, 0x82, 0x53, 0x63, 53, 1, 2, 54, 4]);
    bytes.extend(server);
    bytes.extend([3, 4]);
    bytes.extend(router);
    bytes.push(255);
    udp((server, 67), ([255; 4], 68), &bytes)
}

#[test]
fn a_second_server_of_addresses() {
    let (own, other) = (dhcp(ROUTER, ROUTER), dhcp(OTHER, OTHER));
    let said = [own.clone(), other, own.clone()];
    assert_eq!(rules(&said), [("lan.dhcp-rogue", "medium", vec![2])]);
    assert!(rules(&[own.clone(), own]).is_empty());
}

/// An answer in DNS's form.
fn answer(flags: u16, name: &str, ip: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34];
    bytes.extend(flags.to_be_bytes());
    bytes.extend([0, 1, 0, 1, 0, 0, 0, 0]);
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4]);
    bytes.extend(ip);
    bytes
}

/// The same question.
fn question(name: &str) -> Vec<u8> {
    let whole = answer(0x0100, name, A);
    let mut bytes = whole[..whole.len() - 16].to_vec();
    bytes[7] = 0;
    bytes
}

#[test]
fn one_host_that_has_every_name() {
    let names = ["filserver", "printr", "wpad"];
    let frames = |host: [u8; 4]| -> Vec<_> {
        names
            .iter()
            .zip(50_000..)
            .map(|(name, port)| udp((host, 5355), (A, port), &answer(0x8000, name, host)))
            .collect()
    };
    let all = frames(OTHER);
    assert_eq!(rules(&all), [("lan.names-poisoned", "high", vec![1, 2, 3])]);
    assert!(rules(&all[..2]).is_empty());
    let asks = udp((A, 50_000), ([224, 0, 0, 252], 5355), &question("filserver"));
    assert_eq!(rules(&[asks]), [("lan.names-asked", "low", vec![1])]);
}

#[test]
fn conversations_go_by_the_name_asked_for() {
    let ask = udp((A, 51_000), (ROUTER, 53), &question("pacs.practice.lan"));
    let tell = udp((ROUTER, 53), (A, 51_000), &answer(0x8180, "pacs.practice.lan", B));
    let mut frames = vec![ask, tell];
    frames.extend(tcp(443, &[(true, b"?")]));
    let (analyzer, flows) = analysis(&frames);
    let names: Vec<_> = flows.iter().map(|flow| flow.server_name.as_deref()).collect();
    assert_eq!(names, [None, Some("pacs.practice.lan")]);
    let hosts = analyzer.site().hosts();
    let named = hosts.iter().find(|host| host.ip == std::net::IpAddr::from(B)).unwrap();
    assert!(named.names.iter().any(|(_, name)| name == "pacs.practice.lan"));
}

#[test]
fn a_password_that_comes_late() {
    let said: [(bool, &[u8]); 5] = [
        (false, b"220 ProFTPD Server (practice FTP)\r\n"),
        (true, b"USER anna\r\n"),
        (false, b"331 Password required\r\n"),
        (true, b"PASS sec"),
        (true, b"ret1\r\n"),
    ];
    assert_eq!(rules(&tcp(2121, &said)), [("lan.clear-logon", "medium", vec![1])]);
    assert!(rules(&tcp(2121, &said[..4])).is_empty());
    let encrypted: [(bool, &[u8]); 4] = [
        (false, b"220 ProFTPD Server (practice FTP)\r\n"),
        (true, b"AUTH TLS\r\n"),
        (false, b"234 AUTH TLS successful\r\n"),
        (true, b"\x16\x03\x01\x00\x05PASS x\r\n"),
    ];
    assert!(rules(&tcp(2121, &encrypted)).is_empty());
}

#[test]
fn what_file_servers_settle_on() {
    let negotiate =
        b"\0\0\0\x2f\xffSMB\x72\0\0\0\0\x18\x53\xc8\0\0\0\0\0\0\0\0\0\0\0\0\xff\xfe\0\0\0\0\
        \0\x0c\0\x02NT LM 0.12\0";
    let mut accepted = vec![0, 0, 0, 69];
    accepted.extend(b"\xffSMB\x72\0\0\0\0\x98");
    accepted.resize(4 + 69, 0);
    accepted[4 + 32] = 17;
    accepted[4 + 35] = 3;
    let found = rules(&tcp(445, &[(true, negotiate), (false, &accepted)]));
    let names: Vec<_> = found.iter().map(|finding| (finding.0, finding.1)).collect();
    assert_eq!(names, [("lan.smb1", "medium"), ("lan.smb-unsigned", "info")]);
    // offered, and refused
    accepted[4 + 33..4 + 35].copy_from_slice(&[0xff, 0xff]);
    assert!(rules(&tcp(445, &[(true, negotiate), (false, &accepted)])).is_empty());
}
