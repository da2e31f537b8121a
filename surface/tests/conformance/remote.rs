//! Remote desktops, what else travels in TPKT, and virtual private networks.

use surface::App;

use crate::wire::Transport::{Tcp, Udp};
use crate::wire::Who::{Answerer, Opener};
use crate::{Row, hex};

/// RDP's own port, and one that a router might forward to it.
const RDP: &[u16] = &[3389, 2299, 443, 102];

/// Bytes of a frame that tcpdump kept for long: enough for the first lines of most of these.
const SHORT: Option<usize> = Some(96);

pub(crate) fn rows() -> Vec<Row> {
    let cut = |row| Row { snaplen: SHORT, ..row };
    let short = [rdp(), ipsec()].into_iter().flatten().map(cut);
    short.chain(bare_rdp()).chain(desktops()).chain(vpns()).collect()
}

const COOKIE: &str = "0300002c27e00000000000436f6f6b69653a206d737473686173683d656c746f6e730d0a
    0100080003000000";
const NO_COOKIE: &str = "030000130ee00000000000010008000b000000";
const SELECTED: &str = "030000130ed00000123400021f080002000000";
const BARE_REQUEST: &str = "0300000b06e00000000000";
const BARE_CONFIRM: &str = "0300000b06d00000123400";

/// A request with `text`, a line end and perhaps a negotiation block.
pub(crate) fn request(text: &str, negotiation: &str) -> Vec<u8> {
    let rest = [text.as_bytes(), b"\r\n", &hex(negotiation)].concat();
    let length = 11 + rest.len() as u8;
    [&[3, 0, 0, length, length - 5, 0xe0, 0, 0, 0, 0, 0], &rest[..]].concat()
}

/// X.224 data in TPKT.
pub(crate) fn unit(data: &[u8]) -> Vec<u8> {
    let [high, low] = (data.len() as u16 + 7).to_be_bytes();
    [&[3, 0, high, low, 2, 0xf0, 0x80], data].concat()
}

/// Random-looking bytes behind a head.
fn filled(head: &str, length: usize) -> Vec<u8> {
    let mut bytes = hex(head);
    bytes.extend((bytes.len()..length).map(|n| (n as u8).wrapping_mul(37) | 1));
    bytes
}

fn rdp() -> Vec<Row> {
    let row = |name, request: Vec<u8>, confirm: &str| {
        let talk = vec![(Opener, request), (Answerer, hex(confirm))];
        Row::new(name, Tcp, RDP, talk, App::Rdp)
    };
    let mut syn = hex("ffffffff 0040 1801 11223344 04d0 04d0");
    syn.extend_from_slice(&[0x6b; 16]);
    syn.extend_from_slice(&[0; 16]);
    syn.extend_from_slice(&hex("0001 0002"));
    syn.resize(1232, 0);
    let mut answer = hex("11223344 0040 1005 55667788 04d0 04d0 0001 0002");
    answer.resize(1232, 0);
    let udp = vec![(Opener, syn), (Answerer, answer)];
    vec![
        row("RDP, cookie, NLA selected", hex(COOKIE), SELECTED),
        row("RDP, no cookie, NLA selected", hex(NO_COOKIE), SELECTED),
        row(
            "RDP, NLA required",
            hex("030000130ee000000000000100080000000000"),
            "030000130ed000001234000300080005000000",
        ),
        row(
            "RDP, routing token",
            request("Cookie: msts=3640205228.15629.0000", "0100080003000000"),
            SELECTED,
        ),
        row(
            "RDP, token without negotiation",
            request("Cookie: msts=3640205228.15629.0000", ""),
            "030000130ed000001234000200080000000000",
        ),
        row(
            "RDP, unknown bits",
            hex("030000130ee0000000000001f00800ff000080"),
            "030000130ed000001234000299080010000000",
        ),
        Row::new("RDP over UDP", Udp, &[3389, 2299], udp, App::RdpUdp),
    ]
}

/// Requests without anything that only RDP says.
fn bare_rdp() -> Vec<Row> {
    let bare = || vec![(Opener, hex(BARE_REQUEST)), (Answerer, hex(BARE_CONFIRM))];
    let and_then = |opener: &[u8], answerer: &[u8]| {
        let mut talk = bare();
        talk.push((Opener, unit(opener)));
        talk.push((Answerer, unit(answerer)));
        talk
    };
    let initial = b"\x7f\x65\x82\x01\x94\x04\x01\x01\x04\x01\x01\x01\x01\xff\x30\x19\x02\x01\x22\
        \x00\x05\x00\x14\x7c\x00\x01\x81\x48\x00\x08\x00\x10\x00\x01\xc0\x00Duca\x81\x34";
    let response = b"\x7f\x66\x82\x01\x45\x0a\x01\x00\x02\x01\x00\x30\x1a\x02\x01\x22\x00\x05\x00\
        \x14\x7c\x00\x01\x2a\x14\x76\x0a\x01\x01\x00\x01\xc0\x00McDn\x81\x08";
    let (read, data) = (
        hex("32010000ccc100080000f0000001000103c0"),
        hex("32030000ccc1000800000000f0000001000100f0"),
    );
    let selectors = |talk: Vec<_>| {
        let mut talk: Vec<_> = talk;
        talk[0] = (Opener, hex("0300001611e00000000100c0010ac1020100c2020102"));
        talk[1] = (Answerer, hex("0300001611d00001000200c0010ac1020100c2020102"));
        talk
    };
    vec![
        Row::new("bare, on RDP's port", Tcp, &[3389], bare(), App::Rdp),
        Row::new("bare, elsewhere", Tcp, &[2299, 1433, 102], bare(), App::Tpkt),
        Row::new("bare, then MCS with RDP's key", Tcp, RDP, and_then(initial, response), App::Rdp),
        Row::new(
            "bare, then MCS without",
            Tcp,
            RDP,
            and_then(&initial[..36], &response[..30]),
            App::Tpkt,
        ),
        Row::new("bare, then S7", Tcp, RDP, and_then(&read, &data), App::S7comm),
        Row::new("S7 with selectors", Tcp, RDP, selectors(and_then(&read, &data)), App::S7comm),
        Row::new("selectors alone", Tcp, RDP, selectors(bare()), App::Tpkt),
        Row::new(
            "H.323",
            Tcp,
            &[1720, 3389],
            vec![
                (Opener, hex("0300000d08020001057e000105")),
                (Answerer, hex("0300000d08028001017e000105")),
            ],
            App::H323,
        ),
    ]
}

fn desktops() -> Vec<Row> {
    let vnc = || vec![(Answerer, b"RFB 003.008\n".to_vec()), (Opener, b"RFB 003.008\n".to_vec())];
    let ssh =
        vec![(Answerer, b"SSH-2.0-OpenSSH_9.7\r\n".to_vec()), (Opener, b"SSH-2.0-x\r\n".to_vec())];
    let viewer = vec![(Opener, filled("17240a2000", 37)), (Answerer, filled("17240b0800", 13))];
    let mut ping = filled("0000000000000000000003172447500005", 96);
    ping.truncate(96);
    let viewer_udp = vec![(Opener, ping.clone()), (Answerer, ping)];
    // behind the length a checksum: the sum of the data's words
    let mut told = hex("01 00000025 00000212 08020000 0a");
    told.resize(46, 0);
    let radmin = vec![(Opener, hex("01000000010000000808")), (Answerer, told)];
    vec![
        Row::new("VNC", Tcp, &[5900, 7000], vnc(), App::Vnc),
        Row::new("SSH", Tcp, &[22, 8022], ssh, App::Ssh),
        Row::new("TeamViewer", Tcp, &[5938, 443], viewer, App::TeamViewer),
        Row::new("TeamViewer over UDP", Udp, &[5938, 36037], viewer_udp, App::TeamViewer),
        Row::new("Radmin", Tcp, &[4899, 5000], radmin, App::Radmin),
    ]
}

fn vpns() -> Vec<Row> {
    let wireguard = vec![
        (Opener, filled("01000000 a1b2c3d4", 148)),
        (Answerer, filled("02000000 11223344 a1b2c3d4", 92)),
    ];
    let openvpn = [
        hex("38 0102030405060708 00 00000000"),
        hex("40 0b0c0d0e0f101112 01 00000000 0102030405060708 00000000"),
    ];
    let framed = openvpn.clone().map(|b| [&(b.len() as u16).to_be_bytes(), &b[..]].concat());
    let both = |[a, b]: [Vec<u8>; 2]| vec![(Opener, a), (Answerer, b)];
    let l2tp = |kind: u8| {
        let mut bytes = filled("c8020042 00000000 00000000 80080000 0000 0000", 66);
        bytes[19] = kind;
        bytes
    };
    let pptp = |kind: &str| filled(&format!("009c0001 1a2b3c4d {kind} 0000"), 156);
    vec![
        Row::new("WireGuard", Udp, &[51820, 443, 2299], wireguard, App::WireGuard),
        Row::new("OpenVPN", Udp, &[1194, 7777], both(openvpn), App::OpenVpn),
        Row::new("OpenVPN over TCP", Tcp, &[1194, 443], both(framed), App::OpenVpn),
        Row::new("L2TP", Udp, &[1701, 1702], both([l2tp(1), l2tp(2)]), App::L2tp),
        Row::new("PPTP", Tcp, &[1723, 443], both([pptp("0001"), pptp("0002")]), App::Pptp),
    ]
}

fn ipsec() -> Vec<Row> {
    let header = |responder: &str, rest: &str, length: usize| {
        let mut bytes = filled(&format!("0102030405060708 {responder} {rest} 00000000"), length);
        bytes[24..28].copy_from_slice(&(length as u32).to_be_bytes());
        bytes
    };
    let (none, some) = ("0000000000000000", "1112131415161718");
    let init = [header(none, "21202208", 440), header(some, "21202220", 432)];
    let auth = [header(some, "2e202308", 256), header(some, "2e202320", 224)];
    let aggressive = [header(none, "01100400", 400), header(some, "01100400", 360)];
    let both = |[a, b]: [Vec<u8>; 2]| vec![(Opener, a), (Answerer, b)];
    let mut traversal = both(auth.map(|b| [&[0; 4], &b[..]].concat()));
    traversal.insert(0, (Opener, vec![0xff]));
    let esp = vec![
        (Opener, filled("c0ffee01 00000001", 132)),
        (Answerer, filled("deadbee5 00000001", 132)),
        (Opener, filled("c0ffee01 00000002", 132)),
    ];
    vec![
        Row::new("IKEv2", Udp, &[500, 4500, 10500], both(init), App::Ike),
        Row::new("IKEv1, aggressive", Udp, &[500, 10500], both(aggressive), App::Ike),
        Row::new("IKEv2, NAT traversal", Udp, &[4500, 14500], traversal, App::Ike),
        Row::new("ESP in UDP", Udp, &[4500], esp.clone(), App::Esp),
        Row {
            alone: [App::Unknown; 2],
            ..Row::new("ESP's bytes elsewhere", Udp, &[4600], esp, App::Unknown)
        },
    ]
}
