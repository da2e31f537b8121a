//! Remote desktops and shells whose own bytes tell them.

use super::fit::{Fit, judge, opening, starts};
use super::read::{line, u8_at};
use crate::App;
use crate::bytes::{be16, be32, le16, le32};
use crate::talk::{Answer, Said, Talk, Test};

pub(super) const TCP: &[Test] =
    &[vnc, ssh, citrix, nomachine, dameware, radmin, teamviewer, telnet, x11, pcanywhere];
pub(super) const UDP: &[Test] = &[teamviewer_udp, pcanywhere_udp, nomachine_udp];

/// VNC: `RFB ddd.ddd\n`, the server first (RFC 6143 section 7.1.1; Apple and RealVNC have version
/// numbers of their own).
fn vnc(talk: &Talk<'_>) -> Answer {
    let version = |bytes: &[u8]| match starts(bytes, b"RFB ") {
        Fit::Good => {
            let fits = |(at, &b): (usize, &u8)| match at {
                3 => b == b'.',
                7 => b == b'\n',
                _ => b.is_ascii_digit(),
            };
            let rest = &bytes[4..bytes.len().min(12)];
            match rest.iter().enumerate().all(fits) {
                true if rest.len() == 8 => Fit::Good,
                true => Fit::Short,
                false => Fit::No,
            }
        }
        fit => fit,
    };
    match (version(talk.opener.bytes()), version(talk.answerer.bytes())) {
        // the server's alone is enough: nothing else begins so
        (Fit::Short, Fit::Good) => Answer::Sure(App::Vnc),
        (Fit::Good, Fit::Good) if talk.answerer_first => Answer::Sure(App::Vnc),
        // one end only, or a server that calls the viewer
        (Fit::Good, Fit::Good | Fit::Short) => Answer::Likely(App::Vnc),
        (opener, answerer) => judge(App::Vnc, talk, [opener, answerer], &[]),
    }
}

/// SSH: `SSH-2.0-software\r\n` from both ends (RFC 4253 section 4.2). A server may say other lines
/// before.
fn ssh(talk: &Talk<'_>) -> Answer {
    let version = |bytes: &[u8]| match starts(bytes, b"SSH-") {
        Fit::Good => match bytes.get(4) {
            None => Fit::Short,
            Some(b) => Fit::of(b.is_ascii_digit()),
        },
        fit => fit,
    };
    let opener = version(talk.opener.bytes());
    let mut answerer = version(talk.answerer.bytes());
    if opener == Fit::Good && answerer == Fit::No {
        let lines = talk.answerer.bytes().split(|&b| b == b'\n');
        answerer = lines.map(version).find(|&fit| fit == Fit::Good).unwrap_or(Fit::Short);
    } else if opener == Fit::No && answerer == Fit::Good {
        // a server that someone speaks another protocol to
        return Answer::Likely(App::Ssh);
    }
    judge(App::Ssh, talk, [opener, answerer], &[])
}

/// Citrix ICA (`7F 7F ICA 00` from both ends) and CGP around it (`1A CGP/01`).
fn citrix(talk: &Talk<'_>) -> Answer {
    let greeting = |bytes: &[u8]| match bytes {
        [0x1a, ..] => starts(bytes, b"\x1aCGP/0"),
        _ => starts(bytes, b"\x7f\x7fICA\0"),
    };
    judge(App::Citrix, talk, [greeting(talk.opener.bytes()), greeting(talk.answerer.bytes())], &[])
}

/// NoMachine: `NXSH-8.10.1\n` answered by `NXD-8.10.1\n`.
fn nomachine(talk: &Talk<'_>) -> Answer {
    let greeting = |bytes: &[u8], name: &[u8]| match starts(bytes, name) {
        Fit::Good => {
            let (text, ended) = line(&bytes[name.len()..bytes.len().min(name.len() + 24)]);
            match text.iter().all(|b| b.is_ascii_digit() || *b == b'.') {
                true if ended && text.len() >= 3 => Fit::Good,
                true if text.len() < 20 && !ended => Fit::Short,
                _ => Fit::No,
            }
        }
        fit => fit,
    };
    let opener = greeting(talk.opener.bytes(), b"NXSH-");
    judge(App::NoMachine, talk, [opener, greeting(talk.answerer.bytes(), b"NXD-")], &[])
}

/// NoMachine over UDP: kind, 1, length of the datagram (each u16, low byte first), a number that
/// comes back.
fn nomachine_udp(talk: &Talk<'_>) -> Answer {
    let probe = |bytes: &[u8], wire: usize, kind: u8| {
        let head = bytes.first() == Some(&kind) && bytes.get(1..6) == Some(&[0, 1, 0, 10, 0]);
        Fit::of(head && wire == 10)
    };
    let opener = opening(talk.opener, |bytes, wire| probe(bytes, wire, 1));
    let answerer = opening(talk.answerer, |bytes, wire| probe(bytes, wire, 2));
    match (opener, answerer) {
        (Fit::No, _) | (_, Fit::No) => Answer::No,
        (Fit::Good, Fit::Good) => {
            let number = |said: Said<'_>| said.first().and_then(|(bytes, _)| le32(bytes, 6));
            let same = number(talk.opener) == number(talk.answerer);
            if same { Answer::Sure(App::NoMachine) } else { Answer::Likely(App::NoMachine) }
        }
        // too little alone
        _ => Answer::More,
    }
}

/// DameWare Mini Remote Control: both ends say type 4400 (u32), zero (u32), and their version as a
/// floating-point number, all with the low byte first.
fn dameware(talk: &Talk<'_>) -> Answer {
    let hello = |bytes: &[u8]| match starts(bytes, &[0x30, 0x11, 0, 0, 0, 0, 0, 0]) {
        Fit::Good => match bytes.get(8..).and_then(|rest| rest.first_chunk()) {
            None => Fit::Short,
            Some(version) => Fit::of((1.0..30.0).contains(&f64::from_le_bytes(*version))),
        },
        fit => fit,
    };
    judge(App::DameWare, talk, [hello(talk.opener.bytes()), hello(talk.answerer.bytes())], &[])
}

/// Radmin: `01`, length (u32), checksum (u32), data. The first request is the one byte `08`, and
/// its answer has 0x25 bytes.
fn radmin(talk: &Talk<'_>) -> Answer {
    let asks = starts(talk.opener.bytes(), &[1, 0, 0, 0, 1, 0, 0, 0, 8, 8]) == Fit::Good;
    let opener = radmin_frame(talk.opener.bytes());
    let answerer = match talk.answerer.bytes() {
        said @ [1, 0, 0, 0, 0x25, ..] if asks && said.len() >= 46 => Fit::Good,
        said => radmin_frame(said),
    };
    judge(App::Radmin, talk, [opener, answerer], &[])
}

/// The checksum is the sum of the data's words with the low byte first, the last one filled up with
/// zeros.
fn radmin_frame(bytes: &[u8]) -> Fit {
    let (Some(length), Some(checksum)) = (be32(bytes, 1), be32(bytes, 5)) else {
        return if starts(bytes, &[1, 0, 0]) == Fit::No { Fit::No } else { Fit::Short };
    };
    if bytes[0] != 1 || !(1..=2048).contains(&length) || checksum == 0 {
        return Fit::No;
    }
    let Some(data) = bytes.get(9..9 + length as usize) else { return Fit::Short };
    let sum = data.chunks(4).fold(0_u32, |sum, word| {
        let word = word.iter().rev().fold(0, |word, &b| word << 8 | u32::from(b));
        sum.wrapping_add(word)
    });
    Fit::of(sum == checksum)
}

/// Commands of TeamViewer's own TCP protocol: `17 24`, command, length (u16, low byte first); since
/// version 7 also `11 30`, command, 0, length (u32) and 16 bytes more. A chain of them, or one that
/// is as long as it says.
fn teamviewer(talk: &Talk<'_>) -> Answer {
    let port = talk.service_port == 5938;
    let commands = |said: Said<'_>| {
        let bytes = said.bytes();
        let (mut at, mut count) = (0, 0);
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let length = match rest {
                [0x17 | 0x11] => break,
                [0x17, 0x24, ..] => le16(rest, 3).map(|length| 5 + usize::from(length)),
                [0x11, 0x30, _, 0, ..] => le32(rest, 4).map(|length| 24 + length as usize),
                [0x11, 0x30] | [0x11, 0x30, _] => break,
                _ => return Fit::No,
            };
            match length {
                Some(length) if length < 1 << 24 => at += length,
                Some(_) => return Fit::No,
                None => break,
            }
            count += 1;
            if count == 4 {
                break;
            }
        }
        if count >= 2 || count == 1 && (at == bytes.len() || port) { Fit::Good } else { Fit::Short }
    };
    judge(App::TeamViewer, talk, [commands(talk.opener), commands(talk.answerer)], &[])
}

/// TeamViewer over UDP: eleven bytes of its own, then `17 24`, command, length (u16, low byte
/// first) of what follows the sixteen bytes.
fn teamviewer_udp(talk: &Talk<'_>) -> Answer {
    let command = |datagram: &[u8], wire: usize| {
        let magic = datagram.get(11..13) == Some(&[0x17, 0x24]) && datagram.first() == Some(&0);
        let length = le16(datagram, 14).map(|length| 16 + usize::from(length));
        magic && length == Some(wire)
    };
    let end = |said: Said<'_>| {
        let (mut all, mut count) = (true, 0);
        for (datagram, wire) in said.datagrams() {
            all &= command(datagram, wire);
            count += 1;
        }
        match (all, count) {
            (true, 0) => Fit::Short,
            (true, 1) => Fit::Good,
            (true, _) => Fit::Alone,
            (false, _) => Fit::No,
        }
    };
    judge(App::TeamViewer, talk, [end(talk.opener), end(talk.answerer)], &[])
}

/// Telnet: negotiation of options before anything else (RFC 854, RFC 855), or a log-in prompt on
/// its port.
fn telnet(talk: &Talk<'_>) -> Answer {
    let (opener, answerer) = (talk.opener.bytes(), talk.answerer.bytes());
    let counts = (options(opener), options(answerer));
    match counts {
        (Some(a), Some(b)) if a > 0 && b > 0 && a + b > 2 => Answer::Sure(App::Telnet),
        (Some(a), Some(b)) if a > 1 || b > 1 => Answer::Likely(App::Telnet),
        // the client may type before it negotiates
        (None, Some(b)) if b > 1 => Answer::Likely(App::Telnet),
        (Some(_), Some(_)) => Answer::More,
        (_, None) if talk.service_port == 23 && is_prompt(answerer) => Answer::Likely(App::Telnet),
        _ if talk.service_port == 23 && !talk.last => Answer::More,
        _ => Answer::No,
    }
}

/// Option commands at the beginning; `None` if there are other bytes instead.
fn options(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut count) = (0, 0);
    while let Some(rest) = bytes.get(at..) {
        at += match rest {
            // will, won't, do, don't; options by IANA up to 49, 138..140, 255
            [0xff, 0xfb..=0xfe, 0..=49 | 138..=140 | 255, ..] => {
                count += 1;
                3
            }
            [0xff, 0xfa, 0..=49, ..] => match rest.windows(2).position(|w| w == [0xff, 0xf0]) {
                Some(end) => {
                    count += 1;
                    end + 2
                }
                None => break,
            },
            [] | [0xff] | [0xff, 0xfa..=0xfe] => break,
            _ if count > 0 => break,
            _ => return None,
        };
        if count >= 16 {
            break;
        }
    }
    Some(count)
}

fn is_prompt(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(512)];
    head.windows(5).any(|w| w.eq_ignore_ascii_case(b"ogin:"))
        || head.windows(9).any(|w| w.eq_ignore_ascii_case(b"password:"))
}

/// X11 set-up: byte order, version 11.0, lengths of an authorization's name and data (X Window
/// System Protocol, section 8); success, failure or more to do in answer.
fn x11(talk: &Talk<'_>) -> Answer {
    let bytes = talk.opener.bytes();
    let order = u8_at(bytes, 0);
    let word = |bytes: &[u8], at| match order {
        Some(b'B') => be16(bytes, at),
        _ => le16(bytes, at),
    };
    let fixed: &[u8] = match order {
        None => b"",
        Some(b'B') => &[b'B', 0, 0, 11, 0, 0],
        Some(_) => &[b'l', 0, 11, 0, 0, 0],
    };
    let mut opener = starts(bytes, fixed);
    if opener == Fit::Good {
        opener = match (word(bytes, 6), word(bytes, 8)) {
            (Some(0), Some(0)) => Fit::Short,
            (Some(name @ 1..=64), Some(0..=1024)) => match bytes.get(12..12 + usize::from(name)) {
                Some(name) => Fit::of(name.iter().all(u8::is_ascii_graphic)),
                None => Fit::Short,
            },
            (Some(_), Some(_)) => Fit::No,
            _ => Fit::Short,
        };
        if fixed.is_empty() {
            opener = Fit::Short;
        }
    }
    let said = talk.answerer.bytes();
    let answerer = match (said.first(), word(said, 2), word(said, 4)) {
        (None, _, _) => Fit::Short,
        (Some(0..=2), Some(11), Some(0)) if opener == Fit::Good => Fit::Good,
        (Some(0..=2), Some(11), Some(0)) if order.is_none() => x11_vendor(said),
        (Some(0..=2), None | Some(11), None | Some(0)) => Fit::Short,
        (Some(1), Some(0x0b00), Some(0)) if order.is_none() => x11_vendor(said),
        _ => Fit::No,
    };
    match (opener, answerer) {
        // a display without authorization: its answer makes it sure
        (Fit::Short, Fit::Short) if bytes.len() >= 12 && said.len() >= 6 => Answer::Sure(App::X11),
        _ => judge(App::X11, talk, [opener, answerer], &[]),
    }
}

/// Whether a display that grants access names its vendor where it must (offset 40, after a length
/// at 24), when the order of its bytes is not known from the other end.
fn x11_vendor(said: &[u8]) -> Fit {
    let (Some(1), Some(low), Some(high)) = (u8_at(said, 0), le16(said, 24), be16(said, 24)) else {
        return Fit::Short;
    };
    let length = usize::from(low.min(high));
    match said.get(40..40 + length) {
        _ if !(4..=64).contains(&length) => Fit::No,
        Some(vendor) => Fit::of(vendor.iter().all(|b| (0x20..0x7f).contains(b))),
        None => Fit::Short,
    }
}

/// pcAnywhere's data port: `Please press <Enter>` in its screen codes.
fn pcanywhere(talk: &Talk<'_>) -> Answer {
    let pattern = b"\0X\x08\0}\x08\r\n\0.\x08";
    judge(App::PcAnywhere, talk, [Fit::Short, starts(talk.answerer.bytes(), pattern)], &[])
}

/// pcAnywhere's status port: `NQ` or `ST` asked, `NR` and a name, or `ST` and a status, answered.
fn pcanywhere_udp(talk: &Talk<'_>) -> Answer {
    let opener = opening(talk.opener, |datagram, wire| {
        Fit::of(wire == 2 && matches!(datagram, b"NQ" | b"ST"))
    });
    let answerer = opening(talk.answerer, |datagram, wire| match datagram {
        [b'N', b'R', name @ ..] if wire >= 18 => {
            Fit::of(name.iter().take(16).all(|b| (0x20..0x7f).contains(b)))
        }
        [b'S', b'T', ..] => Fit::of((3..=8).contains(&wire)),
        _ => Fit::No,
    });
    match (opener, answerer) {
        (Fit::Good, Fit::Short) if talk.service_port != 5632 => Answer::More,
        (Fit::Short, Fit::Good) if talk.service_port != 5632 => Answer::More,
        _ => judge(App::PcAnywhere, talk, [opener, answerer], &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, hex, tcp, tcp_path, udp};
    use super::*;

    type Line<'a> = (super::super::testing::Who, &'a [u8]);

    /// The whole conversation, and each end alone.
    #[track_caller]
    fn both_and_halves(port: u16, opener: &[u8], answerer: &[u8], app: App) {
        let talk: [Line<'_>; 2] = [(Opener, opener), (Answerer, answerer)];
        assert_eq!(tcp(port, &talk), app);
        assert_eq!(tcp(port, &[talk[1], talk[0]]), app, "answerer first");
        assert_eq!(tcp(port, &talk[..1]), app, "opener alone");
        assert_eq!(tcp(port, &talk[1..]), app, "answerer alone");
    }

    #[test]
    fn desktops_by_their_greetings() {
        for version in ["003.003", "003.008", "003.889", "004.001", "005.000"] {
            let greeting = format!("RFB {version}\n");
            both_and_halves(5900, greeting.as_bytes(), greeting.as_bytes(), App::Vnc);
        }
        assert_eq!(tcp(5900, &[(Answerer, b"RFB 3.8\n-----")]), App::Unknown);
        assert_eq!(tcp(5900, &[(Answerer, b"RFB 003.008\r")]), App::Unknown);
        both_and_halves(1494, b"\x7f\x7fICA\0\x01", b"\x7f\x7fICA\0\0\x0f", App::Citrix);
        both_and_halves(2598, b"\x1aCGP/01\x01", b"\x1aCGP/01\x02", App::Citrix);
        both_and_halves(4000, b"NXSH-8.10.1\n\x16\x03", b"NXD-8.10.1\n\x16", App::NoMachine);
        assert_eq!(tcp(4000, &[(Opener, b"NXSH-hello world\n")]), App::Unknown);
        let (probe, echo) = (hex("010001000a0002000000"), hex("020001000a0002000000"));
        assert_eq!(udp(4000, &[(Opener, &probe), (Answerer, &echo)]), App::NoMachine);
        assert_eq!(udp(4000, &[(Opener, &probe)]), App::Unknown);
        let hello = hex("3011000000000000d7a3703d0ad70d400000000000000000");
        both_and_halves(6129, &hello, &hello, App::DameWare);
        let far = hex("3011000000000000d7a3703d0ad70d7f0000000000000000");
        assert_eq!(tcp(6129, &[(Opener, &far)]), App::Unknown);
        let asks = hex("01000000010000000808");
        let mut answer = hex("01000000250000021208020000 0a");
        answer.resize(46, 0);
        both_and_halves(4899, &asks, &answer, App::Radmin);
        answer.fill(0x55);
        answer[..5].copy_from_slice(&hex("0100000025"));
        assert_eq!(tcp(4899, &[(Opener, &asks), (Answerer, &answer)]), App::Radmin);
        assert_eq!(tcp(4899, &[(Answerer, &answer)]), App::Unknown);
        let (second, answer) =
            (hex("0100000005000002272702000000"), hex("0100000005000000272700000000"));
        both_and_halves(4899, &second, &answer, App::Radmin);
        assert_eq!(tcp(4899, &[(Opener, &hex("01000000010000000908"))]), App::Unknown);
        let data = b"\0X\x08\0}\x08\r\n\0.\x08Please press <Enter>";
        assert_eq!(tcp(5631, &[(Opener, &[0; 4]), (Answerer, data)]), App::PcAnywhere);
    }

    #[test]
    fn shells() {
        both_and_halves(22, b"SSH-2.0-PuTTY\r\n", b"SSH-2.0-OpenSSH_9.7\r\n", App::Ssh);
        both_and_halves(22, b"SSH-1.5-x\n", b"SSH-1.99-y\n", App::Ssh);
        let lines = b"Authorized use only.\r\nSSH-2.0-x\r\n";
        assert_eq!(tcp(22, &[(Opener, b"SSH-2.0-x\r\n"), (Answerer, lines)]), App::Ssh);
        assert_eq!(tcp(22, &[(Opener, b"SSH-key please")]), App::Unknown);
        let (asks, answers) = (hex("fffd18fffd20fffd23fffd27"), hex("fffb18fffc20fffc23fffb27"));
        both_and_halves(23, &answers, &asks, App::Telnet);
        let sub = hex("fffa1801fff0fffd01");
        assert_eq!(tcp(23, &[(Answerer, &sub)]), App::Telnet);
        // UTF-16 and MPEG audio begin with the same byte
        assert_eq!(tcp(23, &[(Answerer, &hex("fffe3c003f0078006d006c00"))]), App::Unknown);
        assert_eq!(tcp(23, &[(Answerer, &hex("fffb90440000000000000000"))]), App::Unknown);
        assert_eq!(tcp_path(23, &[(Answerer, b"router\r\nLogin: ")]), [App::Telnet]);
        assert_eq!(tcp_path(2323, &[(Answerer, b"router\r\nLogin: ")]), []);
        let mut setup = hex("6c000b000000 1200 1000 0000");
        setup.extend_from_slice(b"MIT-MAGIC-COOKIE-1\0\0");
        setup.extend_from_slice(&[7; 16]);
        let success = hex("01000b000000c9030000000000");
        assert_eq!(tcp(6000, &[(Opener, &setup), (Answerer, &success)]), App::X11);
        assert_eq!(tcp(6000, &[(Opener, &setup)]), App::X11);
        let mut screen = hex(
            "01000b0000000c00 806be600 00006002 ffff1f00 00010000 1400 ffff 0107 00002020 08ff0000",
        );
        screen.truncate(40);
        screen.resize(40, 0);
        screen.extend_from_slice(b"The X.Org Foundation");
        assert_eq!(tcp(6000, &[(Answerer, &screen)]), App::X11);
        assert_eq!(tcp(6000, &[(Opener, &setup), (Answerer, &screen)]), App::X11);
        let open = hex("4200000b0000000000000000");
        let big = hex("0100000b0000019a00000000");
        assert_eq!(tcp(6000, &[(Opener, &open), (Answerer, &big)]), App::X11);
        assert_eq!(tcp(6000, &[(Opener, &open)]), App::Unknown);
    }

    #[test]
    fn teamviewer_by_chained_commands() {
        let mut first = hex("17240a2000");
        first.resize(37, 0x11);
        let mut second = hex("17243c0400aabbccdd");
        second.extend_from_slice(&first);
        let mut newer = hex("1130360018000000 0100000000000000 000000001b000000");
        newer.resize(48, 0x22);
        both_and_halves(5938, &first, &newer, App::TeamViewer);
        both_and_halves(443, &second, &newer, App::TeamViewer);
        let mut longer = first.clone();
        longer.push(0x99);
        assert_eq!(tcp(443, &[(Opener, &longer)]), App::Unknown);
        let mut ping = hex("000000000000000000000317244750000500");
        ping.resize(96, 0x33);
        assert_eq!(udp(5938, &[(Opener, &ping), (Answerer, &ping)]), App::TeamViewer);
        assert_eq!(udp(5938, &[(Opener, &ping)]), App::TeamViewer);
        assert_eq!(udp(5938, &[(Answerer, &ping)]), App::TeamViewer);
        assert_eq!(udp(5938, &[(Opener, &ping[..95])]), App::Unknown);
    }

    #[test]
    fn pcanywhere_asks_for_status() {
        let name = b"NRRECEPTION_______AHM_3___\0\0\0";
        assert_eq!(udp(5632, &[(Opener, b"NQ"), (Answerer, name)]), App::PcAnywhere);
        assert_eq!(udp(5633, &[(Opener, b"NQ"), (Opener, b"NQ")]), App::Unknown);
    }
}
