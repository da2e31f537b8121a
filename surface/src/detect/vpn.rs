//! Virtual private networks by their first packets.

use super::fit::{Fit, judge, opening, starts};
use super::read::{find, line, u8_at};
use crate::App;
use crate::bytes::{be16, be32, le32};
use crate::talk::{Answer, Said, Talk, Test};

pub(super) const TCP: &[Test] = &[pptp, openvpn_tcp, ike_tcp, tinc];
pub(super) const UDP: &[Test] =
    &[tailscale, wireguard, ike, l2tp, openvpn, zerotier, softether, esp];

/// Tailscale's discovery messages: `TS` and a speech balloon, a public key of 32 bytes, a nonce of
/// 24 (`disco/disco.go`). WireGuard follows between the same ends, and may come first.
fn tailscale(talk: &Talk<'_>) -> Answer {
    let disco = |said: Said<'_>| {
        let mut datagrams = said.datagrams();
        datagrams.any(|(bytes, wire)| bytes.starts_with(b"TS\xf0\x9f\x92\xac") && wire >= 62 + 16)
    };
    if disco(talk.opener) || disco(talk.answerer) {
        return Answer::Sure(App::Tailscale);
    }
    let other =
        |said: Said<'_>| said.first().is_some_and(|(b, wire)| wireguard_kind(b, wire).is_none());
    if other(talk.opener) || other(talk.answerer) { Answer::No } else { Answer::More }
}

/// WireGuard (protocol paper, section 5.4): initiation of 148 bytes, response of 92 that names the
/// initiator's index, cookie reply of 64, data in multiples of 16. TunnelBear's initiations have
/// 204 bytes, its responses 100; some services fill the three reserved bytes.
fn wireguard(talk: &Talk<'_>) -> Answer {
    let [opener, answerer] = [talk.opener, talk.answerer].map(|said| said.first());
    let kinds =
        [opener, answerer].map(|first| first.map(|(bytes, wire)| wireguard_kind(bytes, wire)));
    let index = |first: Option<(&[u8], usize)>, at| first.and_then(|(bytes, _)| le32(bytes, at));
    match kinds {
        [Some(Some(Wg::Initiation { .. })), Some(Some(Wg::Response { .. }))] => {
            if index(opener, 4) == index(answerer, 8) {
                Answer::Sure(App::WireGuard)
            } else {
                Answer::No
            }
        }
        [Some(None), _] | [_, Some(None)] => Answer::No,
        // no answer (yet), or only an answer
        [Some(Some(Wg::Initiation { clean: true })), None | Some(Some(Wg::Cookie))]
        | [None, Some(Some(Wg::Response { clean: true }))] => Answer::Likely(App::WireGuard),
        // both ends in the middle of a session, or begun by data that a new handshake follows
        [Some(Some(Wg::Data | Wg::Initiation { clean: true })), Some(Some(_))]
        | [Some(Some(_)), Some(Some(Wg::Data))] => Answer::Likely(App::WireGuard),
        [Some(Some(Wg::Data)), None] if counts_up(talk.opener) => Answer::Likely(App::WireGuard),
        [None, Some(Some(Wg::Data))] if counts_up(talk.answerer) => Answer::Likely(App::WireGuard),
        _ => Answer::More,
    }
}

#[derive(Debug, Clone, Copy)]
enum Wg {
    Initiation { clean: bool },
    Response { clean: bool },
    Cookie,
    Data,
}

fn wireguard_kind(bytes: &[u8], wire: usize) -> Option<Wg> {
    let clean = bytes.get(1..4)? == [0, 0, 0];
    match (bytes[0], wire) {
        (1, 148 | 204) => Some(Wg::Initiation { clean }),
        (2, 92 | 100) => Some(Wg::Response { clean }),
        (3, 64) if clean => Some(Wg::Cookie),
        // a counter that starts at 0 has its high bytes 0 for ever
        (4, 32..) if clean && wire.is_multiple_of(16) => {
            (bytes.get(13..16)? == [0, 0, 0]).then_some(Wg::Data)
        }
        _ => None,
    }
}

/// Two data packets for one receiver, the second's counter a little higher; a keep-alive alone is
/// enough, too.
fn counts_up(said: Said<'_>) -> bool {
    let mut last: Option<(u32, u32)> = None;
    for (bytes, wire) in said.datagrams() {
        if !matches!(wireguard_kind(bytes, wire), Some(Wg::Data)) {
            return false;
        }
        let (Some(index), Some(count)) = (le32(bytes, 4), le32(bytes, 8)) else { return false };
        match last {
            Some((before, from))
                if before == index && (1..4096).contains(&count.wrapping_sub(from)) =>
            {
                return true;
            }
            _ => last = Some((index, count)),
        }
    }
    false
}

/// Ports of RFC 3947: a tie-breaker for ESP, which has no bytes of its own.
const NAT_T_PORT: u16 = 4500;

/// The ISAKMP header behind the non-ESP marker, if there is one.
fn isakmp(bytes: &[u8], wire: usize) -> Option<(&[u8], usize)> {
    match bytes {
        [0, 0, 0, 0, rest @ ..] => Some((rest, wire.checked_sub(4)?)),
        _ => Some((bytes, wire)),
    }
}

/// IKE, versions 1 and 2 (RFC 2408 section 3.1, RFC 7296 section 3.1; behind four zeros on the NAT
/// traversal port, RFC 3948 section 2.2).
fn ike(talk: &Talk<'_>) -> Answer {
    let end = |said: Said<'_>| {
        // a keep-alive of NAT traversal says nothing
        let mut datagrams = said.datagrams().filter(|&(bytes, _)| bytes != [0xff]);
        datagrams.next().map_or(Fit::Short, |(bytes, wire)| {
            isakmp(bytes, wire).map_or(Fit::No, |(bytes, wire)| ike_header(bytes, wire))
        })
    };
    let (opener, answerer) = (end(talk.opener), end(talk.answerer));
    if opener != Fit::No
        && answerer != Fit::No
        && let (Some(asked), Some(answered)) = (spi(talk.opener), spi(talk.answerer))
    {
        // payloads and flags may be new: the index that comes back is enough
        let same = asked == answered;
        return if same {
            Answer::Sure(App::Ike)
        } else {
            judge(App::Ike, talk, [opener, Fit::Short], &[])
        };
    }
    judge(App::Ike, talk, [opener, answerer], &[])
}

/// IKE over TCP: the opener says so first (RFC 9329 section 4).
fn ike_tcp(talk: &Talk<'_>) -> Answer {
    match starts(talk.opener.bytes(), b"IKETCP") {
        Fit::Good => Answer::Sure(App::Ike),
        Fit::Short => Answer::More,
        _ => Answer::No,
    }
}

/// The initiator's index.
fn spi(said: Said<'_>) -> Option<&[u8]> {
    let (bytes, wire) = said.datagrams().find(|&(bytes, _)| bytes != [0xff])?;
    isakmp(bytes, wire)?.0.get(..8)
}

/// A header whose length is the datagram's; payload and flags known, or [`Fit::Short`].
fn ike_header(bytes: &[u8], wire: usize) -> Fit {
    let Some(header) = bytes.first_chunk::<28>() else { return Fit::No };
    let (next, version, exchange, flags) = (header[16], header[17] >> 4, header[18], header[19]);
    let length = be32(header, 24).map(|length| length as usize);
    if header[..8] == [0; 8] || length != Some(wire) {
        return Fit::No;
    }
    let known = match (version, exchange) {
        (1, 1..=6 | 32..=35) => flags & 0xf8 == 0 && (next <= 24 || next >= 128),
        (2, 34..=38 | 43) => flags & 0xc7 == 0 && (next == 0 || (33..=54).contains(&next)),
        _ => return Fit::No,
    };
    if known { Fit::Good } else { Fit::Short }
}

/// ESP in UDP (RFC 3948 section 2.1): nothing but an index and a number that counts up, so the port
/// is needed as well.
fn esp(talk: &Talk<'_>) -> Answer {
    let end = |said: Said<'_>| {
        let mut last = None;
        for (bytes, wire) in said.datagrams().filter(|&(bytes, _)| bytes != [0xff]) {
            let (Some(spi @ 256..), Some(number @ 1..)) = (be32(bytes, 0), be32(bytes, 4)) else {
                return Fit::No;
            };
            if wire < 20 {
                return Fit::No;
            }
            match last {
                Some((before, from)) if before == spi && number.wrapping_sub(from) > 4096 => {
                    return Fit::No;
                }
                _ => last = Some((spi, number)),
            }
        }
        if last.is_some() { Fit::Good } else { Fit::Short }
    };
    if talk.service_port != NAT_T_PORT && talk.opener_port != NAT_T_PORT {
        return Answer::No;
    }
    match judge(App::Esp, talk, [end(talk.opener), end(talk.answerer)], &[]) {
        Answer::Sure(app) => Answer::Likely(app),
        answer => answer,
    }
}

/// L2TP control messages (RFC 2661 section 3.1, RFC 3931 section 3.2.1): T, L and S bits, the
/// length of the datagram, then AVPs that begin with the message's type. Data passes between them.
fn l2tp(talk: &Talk<'_>) -> Answer {
    let end = |said: Said<'_>| {
        let mut passed = false;
        for (bytes, wire) in said.datagrams() {
            match l2tp_message(bytes, wire) {
                Some(Fit::Short) => passed = true,
                Some(fit) => return fit,
                None => return Fit::No,
            }
        }
        // data that is nothing but a version
        if passed && talk.last { Fit::No } else { Fit::Short }
    };
    judge(App::L2tp, talk, [end(talk.opener), end(talk.answerer)], &[])
}

/// A control message, or data in PPP; [`Fit::Short`] is what says too little alone.
fn l2tp_message(bytes: &[u8], wire: usize) -> Option<Fit> {
    let (&first, &version) = (bytes.first()?, bytes.get(1)?);
    if first & 0x80 == 0 {
        // length, sequence and offset are there if their bits are set; then PPP's address, control
        // and a protocol: IP, IPv6, their control protocols, LCP, authentication
        let offset =
            if first & 2 != 0 { 2 + usize::from(be16(bytes, bytes_before(first))?) } else { 0 };
        let ppp = bytes.get(bytes_before(first) + offset..).unwrap_or_default();
        let framed = matches!(
            ppp,
            [0xff, 3, 0 | 0x80, 0x21 | 0x57, ..]
                | [0xff, 3, 0xc0, 0x21 | 0x23, ..]
                | [0xff, 3, 0xc2, 0x23, ..]
        );
        let known = first & 0x34 == 0 && version == 2;
        return known.then_some(if framed { Fit::Good } else { Fit::Short });
    }
    if !matches!((first, version), (0xc8, 2 | 3)) || usize::from(be16(bytes, 2)?) != wire {
        return None;
    }
    match bytes.get(12..)? {
        // an acknowledgement without a message
        [] if wire == 12 => Some(Fit::Short),
        [0 | 0x80, 8, 0, 0, 0, 0, 0, 1..=20, ..] => Some(Fit::Good),
        _ => None,
    }
}

/// Bytes of an L2TP data header with these bits, without the offset.
const fn bytes_before(bits: u8) -> usize {
    let length = if bits & 0x40 != 0 { 2 } else { 0 };
    let sequence = if bits & 8 != 0 { 4 } else { 0 };
    6 + length + sequence
}

/// PPTP control messages (RFC 2637 section 2): length, type 1, magic cookie, the message's type.
fn pptp(talk: &Talk<'_>) -> Answer {
    let control = |bytes: &[u8]| {
        let Some(length) = be16(bytes, 0) else { return Fit::Short };
        if !(12..=512).contains(&length) {
            return Fit::No;
        }
        match starts(&bytes[2..], &[0, 1, 0x1a, 0x2b, 0x3c, 0x4d, 0]) {
            Fit::Good => {
                u8_at(bytes, 9).map_or(Fit::Short, |kind| Fit::of((1..=15).contains(&kind)))
            }
            fit => fit,
        }
    };
    judge(App::Pptp, talk, [control(talk.opener.bytes()), control(talk.answerer.bytes())], &[])
}

/// Opcodes of OpenVPN's first packets with key 0, in the upper five bits (OpenVPN wire protocol,
/// section 2): resets of the client with versions 2 and 3 of the handshake, and of the server.
const CLIENT_RESETS: [u8; 2] = [7 << 3, 10 << 3];
const SERVER_RESET: u8 = 8 << 3;
/// Data with a peer's number, any key.
const DATA_V2: u8 = 9;
/// OpenVPN's port: a tie-breaker for data in the middle of a session.
const OPENVPN_PORT: u16 = 1194;
/// Opcode and session id of the sender.
const OPENVPN_HEADER: usize = 9;

/// OpenVPN over UDP.
fn openvpn(talk: &Talk<'_>) -> Answer {
    let resets = [reset(talk.opener.first(), false), reset(talk.answerer.first(), true)];
    match by_resets(talk, resets, talk.opener.first(), talk.answerer.first()) {
        Answer::No if talk.service_port == OPENVPN_PORT => {
            match (data_counts_up(talk.opener), data_counts_up(talk.answerer)) {
                (Fit::No, _) | (_, Fit::No) => Answer::No,
                (Fit::Short, Fit::Short) => Answer::More,
                _ => Answer::Likely(App::OpenVpn),
            }
        }
        answer => answer,
    }
}

/// OpenVPN over TCP: a length (u16) in front of each packet.
fn openvpn_tcp(talk: &Talk<'_>) -> Answer {
    let (opener, answerer) = (framed(talk.opener, false), framed(talk.answerer, true));
    by_resets(talk, [opener.0, answerer.0], opener.1, answerer.1)
}

/// The first packet of a stream, and how it fits.
fn framed(said: Said<'_>, server: bool) -> (Fit, Packet<'_>) {
    let bytes = said.bytes();
    let (Some(length), Some(&opcode)) = (be16(bytes, 0), bytes.get(2)) else {
        return (Fit::Short, None);
    };
    let length = usize::from(length);
    let known = if server { opcode == SERVER_RESET } else { CLIENT_RESETS.contains(&opcode) };
    if !known || !(14..1500).contains(&length) {
        return (Fit::No, None);
    }
    match bytes.get(2..2 + length).map(|packet| (packet, length)) {
        Some(packet) => (reset(Some(packet), server), Some(packet)),
        None => (Fit::Short, None),
    }
}

type Packet<'a> = Option<(&'a [u8], usize)>;

/// Both ends' resets. An authentication of unusual length is known by the answer, which names the
/// opener's session.
fn by_resets(talk: &Talk<'_>, fits: [Fit; 2], opener: Packet<'_>, answerer: Packet<'_>) -> Answer {
    if let (Some((opener, _)), Some((answerer, _))) = (opener, answerer)
        && opener.first().is_some_and(|opcode| CLIENT_RESETS.contains(opcode))
        && answerer.first() == Some(&SERVER_RESET)
        && let (Some(session), Some(answer)) = (opener.get(1..9), answerer.get(OPENVPN_HEADER..))
        && find(answer, session).is_some()
    {
        return Answer::Sure(App::OpenVpn);
    }
    judge(App::OpenVpn, talk, fits, &[])
}

/// A reset in the clear, with an HMAC (`tls-auth`), or encrypted (`tls-crypt`).
fn reset(packet: Packet<'_>, server: bool) -> Fit {
    let Some((bytes, wire)) = packet else { return Fit::Short };
    let Some((&opcode, rest)) = bytes.split_first() else { return Fit::No };
    let known = if server { opcode == SERVER_RESET } else { CLIENT_RESETS.contains(&opcode) };
    if !known || rest.get(..8).is_none_or(|session| session == [0; 8]) {
        return Fit::No;
    }
    // of the acknowledgements that end a packet only the server has one
    let tail = if server { 17 } else { 5 };
    let is_tail = |bytes: &[u8]| match bytes {
        [0, 0, 0, 0, 0] => !server,
        [1, 0, 0, 0, 0, rest @ ..] => server && rest.len() == 12 && rest[8..] == [0; 4],
        _ => false,
    };
    // a packet's number, whose upper half may tell how the handshake began, and the time
    let is_replay_id = |at: usize| {
        be32(bytes, at).is_some_and(|id| (1..=8).contains(&(id & 0xffff)) && id >> 28 == 0)
            && be32(bytes, at + 4).is_some_and(|time| (0x3000_0000..0x8000_0000).contains(&time))
    };
    if wire == OPENVPN_HEADER + tail {
        return Fit::of(bytes.get(OPENVPN_HEADER..).is_some_and(is_tail));
    }
    for hmac in [16, 20, 28, 32, 48, 64] {
        let at = OPENVPN_HEADER + hmac;
        if wire == at + 8 + tail && is_replay_id(at) && bytes.get(at + 8..).is_some_and(is_tail) {
            return Fit::Good;
        }
    }
    let crypt = OPENVPN_HEADER + 8 + 32 + tail;
    let long = opcode == CLIENT_RESETS[1] || server;
    Fit::of(is_replay_id(OPENVPN_HEADER) && (wire == crypt || long && wire > crypt && wire < 1200))
}

/// Two data packets of one peer, the second's number a little higher.
fn data_counts_up(said: Said<'_>) -> Fit {
    let mut last: Option<(u32, u32)> = None;
    let mut fit = Fit::Short;
    for (bytes, _) in said.datagrams() {
        let (Some(head), Some(number)) = (be32(bytes, 0), be32(bytes, 4)) else { return Fit::No };
        if head >> 27 != u32::from(DATA_V2) {
            return Fit::No;
        }
        if let Some((before, from)) = last {
            if before != head || number.wrapping_sub(from) > 4096 {
                return Fit::No;
            }
            fit = Fit::Good;
        }
        last = Some((head, number));
    }
    fit
}

/// ZeroTier: a HELLO in the clear repeats the source's address in the identity behind it; between
/// peers that know each other the addresses change places (`Packet.hpp`).
fn zerotier(talk: &Talk<'_>) -> Answer {
    let [opener, answerer] = [talk.opener, talk.answerer].map(|said| said.first().map(|d| d.0));
    let hello = [opener, answerer].map(|bytes| bytes.map(is_hello));
    match (opener, answerer) {
        _ if hello.contains(&Some(true)) => Answer::Sure(App::ZeroTier),
        (Some(a), Some(b)) => match (a.get(8..18), b.get(8..18)) {
            (Some(a), Some(b)) if a[..5] == b[5..] && a[5..] == b[..5] && a[..5] != a[5..] => {
                Answer::Sure(App::ZeroTier)
            }
            _ => Answer::No,
        },
        (Some(bytes), None) | (None, Some(bytes)) if bytes.len() >= 28 => Answer::More,
        (None, None) => Answer::More,
        _ => Answer::No,
    }
}

/// Packet id, destination and source of five bytes, flags, MAC, verb 1, version of the protocol,
/// of the program (4), time (8), and the identity: address, type 0, keys.
fn is_hello(bytes: &[u8]) -> bool {
    let (Some(verb), Some(version)) = (u8_at(bytes, 27), u8_at(bytes, 28)) else { return false };
    verb & 0x1f == 1
        && (4..64).contains(&version)
        && bytes.get(13..18).is_some_and(|source| bytes.get(41..46) == Some(source))
        && bytes.get(46) == Some(&0)
        && bytes.get(8..13) != bytes.get(13..18)
}

/// SoftEther's NAT traversal: one byte asks, `IP=...,PORT=...` answers.
fn softether(talk: &Talk<'_>) -> Answer {
    let opener =
        opening(talk.opener, |bytes, wire| Fit::of(wire == 1 && matches!(bytes, b"A" | b"B")));
    let answerer = opening(talk.answerer, |bytes, _| {
        let Some(text) = bytes.strip_prefix(b"IP=") else { return Fit::No };
        Fit::of(find(&text[..text.len().min(64)], b",PORT=").is_some())
    });
    match (opener, answerer) {
        // one byte alone is anything
        (Fit::Good, Fit::Short) => Answer::More,
        _ => judge(App::SoftEther, talk, [opener, answerer], &[]),
    }
}

/// tinc's greeting from both ends, `0 name 17.7\n`, then a key in hexadecimal (tinc manual, section
/// 9.2.1).
fn tinc(talk: &Talk<'_>) -> Answer {
    let id = |bytes: &[u8]| match starts(bytes, b"0 ") {
        Fit::Good => {
            let (text, ended) = line(&bytes[..bytes.len().min(280)]);
            let mut words = text.split(|&b| b == b' ').skip(1);
            let is_name =
                |word: &[u8]| word.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_');
            let name = words.next().unwrap_or_default();
            match (is_name(name), words.next(), words.next()) {
                (true, Some(version), None) if ended => {
                    Fit::of(!name.is_empty() && (version == b"17" || version.starts_with(b"17.")))
                }
                (true, _, None) if !ended && text.len() < 279 => Fit::Short,
                _ => Fit::No,
            }
        }
        fit => fit,
    };
    judge(App::Tinc, talk, [id(talk.opener.bytes()), id(talk.answerer.bytes())], &[])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, hex, tcp, tcp_path, udp};
    use super::*;

    fn padded(head: &str, length: usize) -> Vec<u8> {
        let mut bytes = hex(head);
        let fill = (bytes.len()..length).map(|n| (n as u8).wrapping_mul(37) | 1);
        bytes.extend(fill);
        bytes
    }

    #[test]
    fn wireguard_by_its_handshake() {
        let initiation = padded("01000000 a1b2c3d4", 148);
        let response = padded("02000000 11223344 a1b2c3d4", 92);
        assert_eq!(udp(51820, &[(Opener, &initiation), (Answerer, &response)]), App::WireGuard);
        assert_eq!(udp(51820, &[(Opener, &initiation)]), App::WireGuard);
        assert_eq!(udp(51820, &[(Answerer, &response)]), App::WireGuard);
        let cookie = padded("03000000 a1b2c3d4", 64);
        assert_eq!(udp(443, &[(Opener, &initiation), (Answerer, &cookie)]), App::WireGuard);
        let reserved = [padded("01a1a2a3 a1b2c3d4", 148), padded("02a1a2a3 11223344 a1b2c3d4", 92)];
        assert_eq!(udp(2408, &[(Opener, &reserved[0]), (Answerer, &reserved[1])]), App::WireGuard);
        assert_eq!(udp(2408, &[(Opener, &reserved[0])]), App::Unknown);
        // the answer is for someone else
        let other = padded("02000000 11223344 a1b2c3d5", 92);
        assert_eq!(udp(51820, &[(Opener, &initiation), (Answerer, &other)]), App::Unknown);
        assert_eq!(udp(51820, &[(Opener, &initiation[..147])]), App::Unknown);
    }

    #[test]
    fn wireguard_in_the_middle() {
        let data = |count: u8| {
            let mut bytes = padded("04000000 00c83e7a 00000000 00000000", 128);
            bytes[8] = count;
            bytes
        };
        let (first, second) = (data(7), data(8));
        assert_eq!(udp(51820, &[(Opener, &first), (Opener, &second)]), App::WireGuard);
        assert_eq!(udp(51820, &[(Answerer, &first), (Answerer, &second)]), App::WireGuard);
        assert_eq!(udp(51820, &[(Opener, &first)]), App::Unknown);
        assert_eq!(udp(51820, &[(Opener, &second), (Opener, &first)]), App::Unknown);
    }

    #[test]
    fn tailscale_is_not_wireguard_alone() {
        let disco = padded("5453f09f92ac", 110);
        let data = padded("04000000 98c83e7a 00000000 00000000", 128);
        assert_eq!(udp(41641, &[(Opener, &disco), (Answerer, &disco)]), App::Tailscale);
        assert_eq!(udp(41641, &[(Opener, &data), (Answerer, &disco)]), App::Tailscale);
        assert_eq!(udp(41641, &[(Opener, &disco[..20])]), App::Unknown);
    }

    #[test]
    fn openvpn_in_its_forms() {
        let client = hex("38 0102030405060708 00 00000000");
        let server = hex("40 0b0c0d0e0f101112 01 00000000 0102030405060708 00000000");
        let hmac = "8734d2cbff151b2b1231b61e42308a272818e001";
        let auth = [
            hex(&format!("38 813814621d67462d {hmac} 00000001 50ff262c 00 00000000")),
            hex(&format!(
                "40 573714a917f36048 {hmac} 00000001 50ff262b 01 00000000 813814621d67462d 00000000"
            )),
        ];
        let crypt = [
            padded("38 aae06512392a3d71 00000001 625a9e97", 54),
            padded("40 53c96dd083724fd2 00000001 625a9e97", 66),
        ];
        let crypt_2 = [
            padded("50 aae06512392a3d71 0a010001 625a9e97", 353),
            padded("40 53c96dd083724fd2 00000001 625a9e97", 72),
        ];
        for [client, server] in [[client, server], auth, crypt, crypt_2] {
            assert_eq!(udp(1194, &[(Opener, &client), (Answerer, &server)]), App::OpenVpn);
            assert_eq!(udp(1194, &[(Opener, &client)]), App::OpenVpn);
            assert_eq!(udp(1194, &[(Answerer, &server)]), App::OpenVpn);
            let framed = |packet: &[u8]| [&(packet.len() as u16).to_be_bytes(), packet].concat();
            let (client, server) = (framed(&client), framed(&server));
            assert_eq!(tcp(443, &[(Opener, &client), (Answerer, &server)]), App::OpenVpn);
            assert_eq!(tcp(443, &[(Opener, &client)]), App::OpenVpn);
            assert_eq!(tcp(443, &[(Answerer, &server)]), App::OpenVpn);
        }
        assert_eq!(udp(7777, &[(Opener, &hex("38 0102030405060708 00 00000001"))]), App::Unknown);
        assert_eq!(udp(7777, &[(Opener, &hex("38 0000000000000000 00 00000000"))]), App::Unknown);
    }

    fn ike(marker: &str, responder: &str, next_to_flags: &str, length: usize) -> Vec<u8> {
        let head =
            format!("{marker} b64ef32131a48952 {responder} {next_to_flags} 00000000 00000000");
        let mut bytes = padded(&head, length);
        let marker = if marker.is_empty() { 0 } else { 4 };
        bytes[marker + 24..marker + 28].copy_from_slice(&((length - marker) as u32).to_be_bytes());
        bytes
    }

    #[test]
    fn ike_and_what_follows() {
        let (none, some) = ("0000000000000000", "86babd3904886955");
        for (request, answer) in [
            (ike("", none, "21202208", 776), ike("", some, "21202220", 288)),
            (ike("", none, "01100200", 168), ike("", some, "01100200", 104)),
            (ike("", none, "01100400", 400), ike("", some, "01100400", 360)),
            (ike("00000000", some, "2e202308", 816), ike("00000000", some, "2e202320", 208)),
        ] {
            assert_eq!(udp(500, &[(Opener, &request), (Answerer, &answer)]), App::Ike);
            assert_eq!(udp(500, &[(Opener, &request)]), App::Ike);
            assert_eq!(udp(500, &[(Answerer, &answer)]), App::Ike);
            assert_eq!(udp(4500, &[(Opener, &[0xff]), (Opener, &request)]), App::Ike);
        }
        let unknown_bits = ike("", none, "7f2022ff", 776);
        let answer = ike("", some, "21202220", 288);
        assert_eq!(udp(500, &[(Opener, &unknown_bits), (Answerer, &answer)]), App::Ike);
        assert_eq!(udp(500, &[(Opener, &unknown_bits)]), App::Unknown);
        assert_eq!(tcp(4500, &[(Opener, b"IKETCP\0\x20\0\0\0\0")]), App::Ike);
        let mut longer = ike("", none, "21202208", 776);
        longer.push(0);
        assert_eq!(udp(500, &[(Opener, &longer)]), App::Unknown);
        assert_eq!(udp(500, &[(Opener, &ike("", none, "21302208", 776))]), App::Unknown);
    }

    #[test]
    fn l2tp_pptp_and_tinc() {
        let message = |kind: u8| {
            let mut bytes = padded("c8020042 00000000 00000000 8008000000000000", 66);
            bytes[19] = kind;
            bytes
        };
        let (request, reply) = (message(1), message(2));
        assert_eq!(udp(1701, &[(Opener, &request), (Answerer, &reply)]), App::L2tp);
        assert_eq!(udp(1701, &[(Opener, &request)]), App::L2tp);
        assert_eq!(udp(1701, &[(Answerer, &reply)]), App::L2tp);
        assert_eq!(udp(1701, &[(Opener, &request[..60])]), App::Unknown);
        // in the middle: echoes of LCP
        let data =
            [hex("02024a32d35e0000 ff03c021090a0008"), hex("000205f7206a ff03c021 0a0a0008")];
        assert_eq!(udp(1701, &[(Opener, &data[0]), (Answerer, &data[1])]), App::L2tp);
        assert_eq!(udp(1701, &[(Opener, &data[1])]), App::L2tp);
        assert_eq!(udp(1701, &[(Opener, &hex("000205f7206a 4500003c"))]), App::Unknown);
        let (request, reply) =
            (padded("009c00011a2b3c4d00010000", 156), padded("009c00011a2b3c4d00020000", 156));
        assert_eq!(tcp(1723, &[(Opener, &request), (Answerer, &reply)]), App::Pptp);
        assert_eq!(tcp(1723, &[(Opener, &request)]), App::Pptp);
        assert_eq!(tcp(1723, &[(Answerer, &reply)]), App::Pptp);
        assert_eq!(tcp(1723, &[(Opener, &padded("009c00011a2b3c4e00010000", 156))]), App::Unknown);
        let tinc: [(_, &[u8]); 2] =
            [(Opener, b"0 think 17\n1 429 672"), (Answerer, b"0 iniz 17.7\n")];
        assert_eq!(tcp(655, &tinc), App::Tinc);
        assert_eq!(tcp(655, &tinc[..1]), App::Tinc);
        assert_eq!(tcp(655, &tinc[1..]), App::Tinc);
        assert_eq!(tcp(655, &[(Opener, b"0 think 18\n")]), App::Unknown);
        assert_eq!(tcp(655, &[(Opener, b"0 think of 17\n")]), App::Unknown);
    }

    #[test]
    fn zerotier_and_softether() {
        let hello = |dst: &str, src: &str| {
            let program = "11010c010c0001 0000018000000000";
            padded(
                &format!("0011223344556677 {dst} {src} 00 aabbccddeeff00 {program} {src} 00"),
                120,
            )
        };
        let request = hello("778cde7190", "a1b2c3d4e5");
        assert_eq!(request[41..46], request[13..18]);
        let answer = padded("8877665544332211 a1b2c3d4e5 778cde7190 08", 90);
        assert_eq!(udp(9993, &[(Opener, &request), (Answerer, &answer)]), App::ZeroTier);
        assert_eq!(udp(9993, &[(Opener, &request)]), App::ZeroTier);
        let frame = padded("1234567812345678 778cde7190 a1b2c3d4e5 08", 100);
        assert_eq!(udp(9993, &[(Opener, &frame), (Answerer, &answer)]), App::ZeroTier);
        assert_eq!(udp(9993, &[(Opener, &frame)]), App::Unknown);
        let text = b"IP=203.0.113.7,PORT=5004";
        assert_eq!(udp(5004, &[(Opener, b"A"), (Answerer, text)]), App::SoftEther);
        assert_eq!(udp(5004, &[(Opener, b"A")]), App::Unknown);
    }

    #[test]
    fn esp_needs_its_port() {
        let packets = [padded("0354aa4f 00000001", 132), padded("0354aa4f 00000002", 132)];
        let talk = [(Opener, &packets[0][..]), (Opener, &packets[1][..])];
        let run = |port| {
            let mut inspection = crate::inspect::Inspection::default();
            let roles = crate::inspect::Roles {
                opener: crate::flow::Side::Low,
                certain: true,
                opener_port: 50_000,
                service_port: port,
            };
            for (_, bytes) in talk {
                inspection.datagram(crate::flow::Side::Low, bytes, 132, roles);
            }
            inspection.end(roles);
            inspection.path.to_vec()
        };
        assert_eq!(run(4500), [App::Esp]);
        assert_eq!(run(4501), []);
        assert_eq!(tcp_path(4500, &[(Opener, &packets[0])]), []);
    }
}
