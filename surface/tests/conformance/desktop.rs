//! What a remote desktop agreed to, by the bytes of both ends and of each alone, in every
//! variation.

use surface::RdpLevel::{self, Cloud, Nla, Other, Redirected, Standard, Tls};
use surface::{App, Facts, RdpFacts, RdpOutcome};

use crate::remote::{request, unit};
use crate::wire::Who::{Answerer, Opener};
use crate::wire::{Transport, Variation, Who, flows, frames};
use crate::{Row, hex};

const PORTS: [u16; 4] = [3389, 2299, 443, 102];

/// A request, its answer, and what they are to be read as.
struct Case {
    name: &'static str,
    request: Vec<u8>,
    confirm: String,
    /// Protocols asked for, and whether there is a cookie and a token.
    asked: (Option<u32>, bool, bool),
    level: Option<RdpLevel>,
    failure: Option<u32>,
}

fn case(name: &'static str, requested: u32, ty: u8, value: u32) -> Case {
    let hexed = |n: u32| n.to_le_bytes().map(|byte| format!("{byte:02x}")).concat();
    let (selected, failed) = ((ty == 2).then_some(value), (ty == 3).then_some(value));
    Case {
        name,
        request: request("Cookie: mstshash=eltons", &format!("01000800{}", hexed(requested))),
        confirm: format!("030000130ed00000123400{ty:02x}000800{}", hexed(value)),
        asked: (Some(requested), true, false),
        level: selected.map(RdpLevel::of),
        failure: failed,
    }
}

fn cases() -> Vec<Case> {
    let nla = "030000130ed00000123400021f080002000000";
    vec![
        case("standard security chosen", 0, 2, 0),
        case("TLS chosen", 1, 2, 1),
        case("NLA chosen", 3, 2, 2),
        case("RDSTLS chosen", 7, 2, 4),
        case("NLA with an early verdict chosen", 0xb, 2, 8),
        case("Entra chosen", 0x1b, 2, 0x10),
        case("an unknown protocol chosen", 0x8000_004b, 2, 0x40),
        case("TLS required", 0, 3, 1),
        case("TLS not allowed", 1, 3, 2),
        case("no certificate", 3, 3, 3),
        case("NLA required", 1, 3, 5),
        case("an unknown failure", 1, 3, 0x77),
        Case {
            name: "no cookie",
            request: hex("030000130ee00000000000010008000b000000"),
            confirm: nla.to_owned(),
            asked: (Some(0xb), false, false),
            level: Some(Nla),
            failure: None,
        },
        Case {
            name: "routing token",
            request: request("Cookie: msts=3640205228.15629.0000", "0100080003000000"),
            confirm: nla.to_owned(),
            asked: (Some(3), false, true),
            level: Some(Nla),
            failure: None,
        },
    ]
}

fn facts(row: &Row, variation: &Variation) -> RdpFacts {
    let mut flows = flows(&frames(row, variation), variation.snaplen);
    assert_eq!(flows.len(), 1, "{}: {variation:?}", row.name);
    match flows.remove(0).facts {
        Facts::Rdp(facts) => *facts,
        other => panic!("{}: {other:?}: {variation:?}", row.name),
    }
}

#[test]
fn levels_are_read_in_every_variation() {
    for case in cases() {
        let talk = vec![(Opener, case.request.clone()), (Answerer, hex(&case.confirm))];
        let row = Row::new(case.name, Transport::Tcp, &[3389], talk, App::Rdp);
        for port in PORTS {
            for (variation, _) in crate::variations(&row, port) {
                let facts = facts(&row, &variation);
                let hears = |who: Who| variation.only.is_none_or(|only| only == who);
                let (requested, cookie, token) = case.asked;
                let (name, seen) = (case.name, &variation);
                assert_eq!(facts.asked, hears(Opener), "{name}: {seen:?}");
                assert_eq!(facts.answered, hears(Answerer), "{name}: {seen:?}");
                if hears(Opener) {
                    assert_eq!(facts.requested, requested, "{name}: {seen:?}");
                    assert_eq!(facts.cookie.is_some(), cookie, "{name}: {seen:?}");
                    assert_eq!(facts.routing_token, token, "{name}: {seen:?}");
                }
                if hears(Answerer) {
                    assert_eq!(facts.level(), case.level, "{name}: {seen:?}");
                    assert_eq!(facts.failure, case.failure, "{name}: {seen:?}");
                }
                let whole = variation.only.is_none() && variation.handshake;
                let expected = if whole { RdpOutcome::Probe } else { RdpOutcome::Unknown };
                assert_eq!(facts.outcome, expected, "{name}: {seen:?}");
            }
        }
    }
}

#[test]
fn every_level_has_a_number() {
    let levels = [(0, Standard), (1, Tls), (2, Nla), (4, Redirected), (8, Nla), (0x10, Cloud)];
    assert!(levels.iter().all(|&(number, level)| RdpLevel::of(number) == level));
    assert_eq!(RdpLevel::of(0x20), Other);
    assert!(Standard < Tls && Tls < Nla, "the weakest first");
}

/// `Connect-Initial` and `Connect-Response` behind bare requests: what the client says of itself
/// and what the server encrypts with.
#[test]
fn standard_security_tells_the_client_and_the_encryption() {
    let block = |ty: u16, body: &[u8]| {
        [&ty.to_le_bytes()[..], &(body.len() as u16 + 4).to_le_bytes(), body].concat()
    };
    let name: Vec<u8> = "RECEPTION".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut core = hex("04000800 0004 0003 01ca 03aa 09040000");
    core.extend_from_slice(&7601_u32.to_le_bytes());
    core.extend_from_slice(&name);
    core.resize(128, 0);
    let mut net = 3_u32.to_le_bytes().to_vec();
    for channel in ["rdpdr", "cliprdr", "FOO"] {
        let mut entry = channel.as_bytes().to_vec();
        entry.resize(12, 0);
        net.extend_from_slice(&entry);
    }
    let client = [
        &hex("7f658201 04010104 01010101ff")[..],
        b"Duca",
        &[0x81, 0x2c],
        &block(0xc001, &core),
        &block(0xc002, &[3, 0, 0, 0, 0, 0, 0, 0]),
        &block(0xc003, &net),
    ]
    .concat();
    let security = hex("02000000 03000000 20000000 b8000000");
    let server = [
        &hex("7f66820145 0a0100020100")[..],
        b"McDn",
        &[0x40],
        &block(0x0c01, &[4, 0, 8, 0]),
        &block(0x0c02, &security),
    ]
    .concat();
    let talk = vec![
        (Opener, hex("0300000b06e00000000000")),
        (Answerer, hex("0300000b06d00000123400")),
        (Opener, unit(&client)),
        (Answerer, unit(&server)),
    ];
    let row = Row::new("bare", Transport::Tcp, &[3389], talk, App::Rdp);
    for port in PORTS {
        for bytewise in [false, true] {
            let facts = facts(&row, &Variation { bytewise, ..Variation::on(port) });
            assert_eq!(facts.level(), Some(Standard));
            assert_eq!((facts.requested, facts.selected), (None, None));
            assert_eq!(facts.encryption, Some((2, 3)));
            let client = facts.client.unwrap();
            assert_eq!(client.build, 7601);
            assert_eq!(client.windows(), Some("Windows 7 or Server 2008 R2"));
            assert_eq!(
                (&client.channels[..], client.channels_other),
                (&["rdpdr", "cliprdr"][..], 1)
            );
            assert!(client.name.is_some());
        }
    }
}
