//! Remote Desktop in every form, and what else travels in TPKT (RFC 1006): S7comm, MMS, H.323.
//!
//! MS-RDPBCGR 2.2.1.1 and 2.2.1.2 (X.224 connection request and confirm with a routing token, a
//! cookie, a negotiation block, or none of them), MS-RDPEUDP 2.2.2 (RDP over UDP). A connection
//! request without any of these is any ISO transport's (ITU-T X.224 class 0): what follows tells.

use super::fit::{Fit, judge};
use super::read::find;
use crate::App;
use crate::bytes::{be16, be32};
use crate::talk::{Answer, Talk, Test};

pub(super) const TCP: &[Test] = &[tpkt];
pub(super) const UDP: &[Test] = &[rdp_udp];

/// Service port of RDP: breaks the tie of a bare connection request that nothing follows.
const RDP_PORT: u16 = 3389;
/// Codes of X.224 section 13.
const CONNECTION_REQUEST: u8 = 0xe0;
const CONNECTION_CONFIRM: u8 = 0xd0;
const DISCONNECT_REQUEST: u8 = 0x80;
const ERROR: u8 = 0x70;
const DATA: u8 = 0xf0;
/// TPKT units looked at behind the first.
const UNITS_MAX: usize = 8;

/// What an end's first TPKT unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing yet, or not all of it.
    Part,
    /// No TPKT, or a unit that this end does not begin with.
    Not,
    /// Connection request or confirm with what only RDP puts in.
    Rdp,
    /// Connection request or confirm with nothing behind the fixed part.
    Bare,
    /// Connection request or confirm with transport selectors or other parameters.
    Iso,
    /// Refused.
    Refuse,
    /// Q.931: H.225 call signalling.
    Call,
    /// Data: the connection's beginning is missing.
    Middle,
}

/// RDP, S7comm, MMS, H.323 or another user of TPKT.
fn tpkt(talk: &Talk<'_>) -> Answer {
    let (opener, answerer) = (talk.opener.bytes(), talk.answerer.bytes());
    let kinds = (
        kind(opener, CONNECTION_REQUEST, talk.last),
        kind(answerer, CONNECTION_CONFIRM, talk.last),
    );
    match kinds {
        (Kind::Not, _) | (_, Kind::Not) => Answer::No,
        (Kind::Part, Kind::Part) => Answer::More,
        // the negotiation block of a confirm is RDP's alone
        (Kind::Rdp, Kind::Rdp | Kind::Bare) | (Kind::Bare | Kind::Part, Kind::Rdp) => {
            Answer::Sure(App::Rdp)
        }
        (Kind::Rdp, Kind::Part | Kind::Refuse) => Answer::Likely(App::Rdp),
        (Kind::Call, Kind::Call) => Answer::Sure(App::H323),
        (Kind::Call, Kind::Part) | (Kind::Part, Kind::Call) => Answer::Likely(App::H323),
        (Kind::Call, _) | (_, Kind::Call) => Answer::No,
        (opener_kind, answerer_kind) => {
            let carried = [carried(opener, talk.last), carried(answerer, talk.last)];
            let begun = is_connection(opener_kind) || is_connection(answerer_kind);
            by_carried(carried, begun, kinds, talk)
        }
    }
}

const fn is_connection(kind: Kind) -> bool {
    matches!(kind, Kind::Rdp | Kind::Bare | Kind::Iso)
}

/// Decides by what the data units of both ends carry.
fn by_carried(
    carried: [Option<App>; 2],
    begun: bool,
    kinds: (Kind, Kind),
    talk: &Talk<'_>,
) -> Answer {
    match carried {
        [Some(a), Some(b)] if a == b && a != App::Tpkt => Answer::Sure(a),
        [Some(App::Tpkt) | None, Some(app)] | [Some(app), Some(App::Tpkt) | None]
            if app != App::Tpkt =>
        {
            if begun {
                Answer::Sure(app)
            } else {
                Answer::Likely(app)
            }
        }
        [Some(a), Some(b)] if a != b => Answer::No,
        _ if !begun => {
            // data of an unknown user: not enough to call it anything
            if carried.iter().any(Option::is_some) { Answer::No } else { Answer::More }
        }
        [Some(_), _] | [_, Some(_)] => Answer::Likely(App::Tpkt),
        _ if !talk.last => Answer::More,
        _ => {
            let bare = |kind| matches!(kind, Kind::Bare | Kind::Part | Kind::Refuse);
            if bare(kinds.0) && bare(kinds.1) && talk.service_port == RDP_PORT {
                Answer::Likely(App::Rdp)
            } else {
                Answer::Likely(App::Tpkt)
            }
        }
    }
}

/// The first unit of an end that says `code` to begin with. If nothing more comes, what is there of
/// it must do: captures cut frames.
fn kind(bytes: &[u8], code: u8, last: bool) -> Kind {
    match bytes {
        [] | [3] | [3, 0] | [3, 0, _] => return Kind::Part,
        [3, 0, high, low, ..] if u16::from_be_bytes([*high, *low]) >= 7 => {}
        _ => return Kind::Not,
    }
    let length = be16(bytes, 2).map_or(0, usize::from);
    let (indicator, said) = match bytes[4..] {
        [] => return Kind::Part,
        [indicator] if indicator >= 2 => return Kind::Part,
        [indicator, said, ..] => (usize::from(indicator), said),
        _ => return Kind::Not,
    };
    if (indicator, said) == (8, 2) {
        return call(bytes);
    }
    let end = 5 + indicator;
    if indicator < 2 || end > length {
        return Kind::Not;
    }
    match said {
        DATA if indicator == 2 => Kind::Middle,
        _ if said & 0xf0 == code => match bytes.get(..end) {
            // either length may be wrong: what only RDP says counts wherever the unit ends
            Some(unit) => match (connection(unit, code), bytes.get(..length)) {
                (Kind::Bare, Some(longer)) if length > end => connection(longer, code),
                (kind, _) => kind,
            },
            None if bytes.len() > 7 && code == CONNECTION_REQUEST && bytes[6..8] != [0, 0] => {
                Kind::Not
            }
            None if last && is_cut_rdp(bytes.get(11..).unwrap_or_default(), code) => Kind::Rdp,
            None => Kind::Part,
        },
        DISCONNECT_REQUEST | ERROR if code == CONNECTION_CONFIRM => Kind::Refuse,
        _ => Kind::Not,
    }
}

/// Q.931 message types of H.225.0 behind a call reference of two bytes (Q.931 section 4.4).
fn call(bytes: &[u8]) -> Kind {
    match bytes.get(8) {
        None => Kind::Part,
        Some(1..=3 | 5 | 7 | 0x0d | 0x0f | 0x5a | 0x62 | 0x6e | 0x75 | 0x7b | 0x7d) => Kind::Call,
        Some(_) => Kind::Not,
    }
}

/// A connection request or confirm, whole.
fn connection(unit: &[u8], code: u8) -> Kind {
    let request = code == CONNECTION_REQUEST;
    let Some(fixed) = unit.first_chunk::<11>() else { return Kind::Not };
    if request && fixed[6..8] != [0, 0] {
        return Kind::Not;
    }
    if fixed[10] & 0xf0 != 0 {
        return Kind::Iso; // RDP is class 0
    }
    let variable = &unit[11..];
    if variable.is_empty() {
        return Kind::Bare;
    }
    if is_parameters(variable) {
        return Kind::Iso;
    }
    if !request {
        // RDP_NEG_RSP or RDP_NEG_FAILURE: type, flags, length 8, value; unknown flags are data
        return match variable {
            [2 | 3, _, 8, 0, _, _, _, _, ..] => Kind::Rdp,
            _ => Kind::Iso,
        };
    }
    // a token or cookie up to a line end, then RDP_NEG_REQ, then perhaps a correlation block
    let token = find(variable, b"\r\n");
    let rest = &variable[token.map_or(0, |at| at + 2)..];
    let is_text = |text: &[u8]| text.iter().all(|b| (0x20..0x7f).contains(b));
    match (token, rest) {
        (_, [1, _, 8, 0, _, _, _, _, ..]) => Kind::Rdp,
        (Some(at), []) if at > 0 && is_text(&variable[..at]) => Kind::Rdp,
        _ => Kind::Iso,
    }
}

/// Whether the beginning of what follows the fixed part is RDP's.
fn is_cut_rdp(variable: &[u8], code: u8) -> bool {
    match variable {
        [1, _, 8, 0, ..] => code == CONNECTION_REQUEST,
        [2 | 3, _, 8, 0, ..] => code == CONNECTION_CONFIRM,
        _ => code == CONNECTION_REQUEST && variable.starts_with(b"Cookie: msts"),
    }
}

/// Code, length, value up to the end, with the codes of X.224 section 13.3.4.
fn is_parameters(mut bytes: &[u8]) -> bool {
    while let [0xc0..=0xc7 | 0x85..=0x8b | 0xf0, length, rest @ ..] = bytes {
        let Some(next) = rest.get(usize::from(*length)..) else { return false };
        bytes = next;
    }
    bytes.is_empty()
}

/// What the first data unit of an end carries that says so; [`App::Tpkt`] if it is something else.
fn carried(bytes: &[u8], last: bool) -> Option<App> {
    let mut at = 0;
    for _ in 0..UNITS_MAX {
        let unit = bytes.get(at..)?;
        let length = usize::from(be16(unit, 2)?);
        if unit[..2] != [3, 0] || length < 7 {
            return None;
        }
        let (unit, whole) = unit.get(..length).map_or((unit, false), |unit| (unit, true));
        match unit.get(4..)? {
            [2, DATA, _, data @ ..] => {
                // a fragment of nothing: IEC 61850 stacks do that
                if !(data.is_empty() && whole) {
                    return user(data, whole, last);
                }
            }
            [2, DATA] if !whole => return None,
            [_, DATA, ..] => return Some(App::Tpkt),
            [_, _, ..] => {}
            _ => return None,
        }
        at += length;
    }
    None
}

/// By the first bytes that the transport's user says.
fn user(data: &[u8], whole: bool, last: bool) -> Option<App> {
    // without the key it is something else only if all of it is there
    let when = |key: &[u8], app| match find(data, key) {
        Some(_) => Some(app),
        None => whole.then_some(App::Tpkt),
    };
    match data {
        // T.125 Connect-Initial and Connect-Response with the H.221 keys of MS-RDPBCGR 2.2.1.3
        [0x7f, 0x65, ..] => when(b"Duca", App::Rdp),
        [0x7f, 0x66, ..] => when(b"McDn", App::Rdp),
        // T.125 send data, on the global channel 1003 of RDP
        [0x64 | 0x68, _, _, 0x03, 0xeb, ..] => Some(App::Rdp),
        // protocol id, remote operation type, redundancy id 0; S7comm-plus has its own id
        [0x32, 1..=3 | 7, 0, 0, ..] => Some(App::S7comm),
        [0x72, 1..=3, ..] => Some(App::S7comm),
        // ISO session CONNECT and ACCEPT with the application context of ISO 9506
        [0x0d | 0x0e, ..] => when(&[0x28, 0xca, 0x22], App::Mms),
        // session data with a presentation user data behind it
        [1, 0, 1, 0, 0x61, ..] => Some(App::Mms),
        _ if data.len() >= 5 || whole || last => Some(App::Tpkt),
        _ => None,
    }
}

/// Bytes of a SYN, padded to the MTU that it offers (MS-RDPEUDP 3.1.5.1.1).
const MTU: core::ops::RangeInclusive<u16> = 1132..=1232;
/// Flags of MS-RDPEUDP 2.2.2.1.
const SYN: u16 = 0x0001;
const ACK: u16 = 0x0004;
const CORRELATION: u16 = 0x0800;
const SYN_EX: u16 = 0x1000;
const WITH_DATA: u16 = 0x0008;

/// RDP over UDP, by its SYN and the answer to it, or by TLS or DTLS records in its data.
fn rdp_udp(talk: &Talk<'_>) -> Answer {
    let [opener, answerer] = [talk.opener, talk.answerer].map(|said| said.first());
    let syn =
        opener.map(|(bytes, wire)| be32(bytes, 0) == Some(u32::MAX) && is_syn(bytes, wire, SYN));
    let answer = answerer.map(|(bytes, wire)| is_syn(bytes, wire, SYN | ACK));
    let fit = |is: Option<bool>| is.map_or(Fit::Short, Fit::of);
    match judge(App::RdpUdp, talk, [fit(syn), fit(answer)], &[]) {
        Answer::Sure(app) => {
            let sent = opener.and_then(|(bytes, _)| be32(bytes, 8));
            let acked = answerer.and_then(|(bytes, _)| be32(bytes, 0));
            if sent == acked { Answer::Sure(app) } else { Answer::Likely(app) }
        }
        Answer::No => in_the_middle(opener, answerer),
        answer => answer,
    }
}

/// Data of both ends, one of which acknowledges the other's, or of one end.
fn in_the_middle(opener: Option<(&[u8], usize)>, answerer: Option<(&[u8], usize)>) -> Answer {
    match [opener, answerer].map(|first| first.map(|(bytes, _)| data(bytes))) {
        [Some(Some(a)), Some(Some(b))] => {
            let near = |acked: u32, sent: u32| acked.wrapping_sub(sent).wrapping_add(64) < 128;
            if near(b.0, a.1) || near(a.0, b.1) { Answer::Sure(App::RdpUdp) } else { Answer::No }
        }
        [Some(Some(_)), None] | [None, Some(Some(_))] => Answer::Likely(App::RdpUdp),
        _ => Answer::No,
    }
}

/// What is acknowledged and the own number of a packet of version 1 with a record of TLS or DTLS:
/// flags, the vector of acknowledgements padded to four bytes, the number twice (MS-RDPEUDP 2.2.2).
fn data(bytes: &[u8]) -> Option<(u32, u32)> {
    let flags = be16(bytes, 6)?;
    if flags & (SYN | ACK | WITH_DATA) != ACK | WITH_DATA {
        return None;
    }
    let at = 8 + (2 + usize::from(be16(bytes, 8)?)).next_multiple_of(4);
    let (number, again) = (be32(bytes, at)?, be32(bytes, at + 4)?);
    let record = matches!(
        bytes.get(at + 8..)?,
        [0x14..=0x17, 3, 0..=4, ..] | [0x14..=0x17, 0xfe, 0xfd | 0xff, ..]
    );
    (number == again && record).then_some((be32(bytes, 0)?, number))
}

/// A SYN or its answer: flags, two MTUs, what the flags announce, and zeros to the end.
fn is_syn(datagram: &[u8], wire: usize, flags_set: u16) -> bool {
    let fields = (be16(datagram, 6), be16(datagram, 12), be16(datagram, 14));
    let (Some(flags), Some(up), Some(down)) = fields else { return false };
    if flags & (SYN | ACK) != flags_set
        || !(MTU.contains(&up) && MTU.contains(&down))
        || u16::try_from(wire).is_ok_and(|wire| !MTU.contains(&wire))
    {
        return false;
    }
    let mut at = 16;
    if flags & CORRELATION != 0 {
        at += 32;
    }
    if flags & SYN_EX != 0 {
        // flags, version, and perhaps the hash of a cookie
        at += 36;
    }
    let cut = datagram.len() < wire;
    datagram.get(at..).map_or(cut, |tail| tail.iter().all(|&b| b == 0))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, hex, tcp, tcp_path, udp};
    use super::*;

    /// MS-RDPBCGR section 4.1.1: cookie and negotiation.
    const COOKIE: &str = "0300002c27e00000000000436f6f6b69653a206d737473686173683d656c746f6e73
        0d0a0100080000000000";
    const NO_COOKIE: &str = "030000130ee00000000000010008000b000000";
    const SELECTED: &str = "030000130ed00000123400021f080002000000";
    const FAILURE: &str = "030000130ed000001234000300080005000000";
    const BARE_REQUEST: &str = "0300000b06e00000000000";
    const BARE_CONFIRM: &str = "0300000b06d00000123400";

    fn token(neg: bool) -> Vec<u8> {
        let text = b"Cookie: msts=3640205228.15629.0000\r\n";
        let neg = if neg { hex("0100080003000000") } else { Vec::new() };
        let length = 11 + text.len() + neg.len();
        let mut bytes = vec![3, 0, 0, length as u8, length as u8 - 5, 0xe0, 0, 0, 0, 0, 0];
        bytes.extend_from_slice(text);
        bytes.extend_from_slice(&neg);
        bytes
    }

    fn unit(data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![3, 0, 0, 0, 2, 0xf0, 0x80];
        bytes.extend_from_slice(data);
        let length = bytes.len() as u16;
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    fn join(a: &[u8], b: &[u8]) -> Vec<u8> {
        [a, b].concat()
    }

    #[test]
    fn rdp_in_every_form() {
        let mut correlated = hex("0300003732e00000000000 010808000b000000 06002400");
        correlated.resize(55, 7);
        let unknown_bits = hex("030000130ee0000000000001f00800ff000080");
        let requests =
            [hex(COOKIE), hex(NO_COOKIE), token(true), token(false), unknown_bits, correlated];
        for request in &requests {
            for confirm in [SELECTED, FAILURE, "030000130ed000001234000299080010000000"] {
                let confirm = hex(confirm);
                let talk = [(Opener, &request[..]), (Answerer, &confirm[..])];
                assert_eq!(tcp(3389, &talk), App::Rdp, "{request:02x?}");
                assert_eq!(tcp(443, &[(Answerer, &confirm)]), App::Rdp);
            }
            assert_eq!(tcp(3389, &[(Opener, request)]), App::Rdp, "{request:02x?}");
            let bare = hex(BARE_CONFIRM);
            assert_eq!(tcp(3389, &[(Opener, request), (Answerer, &bare)]), App::Rdp);
        }
    }

    #[test]
    fn a_bare_request_is_told_by_what_follows() {
        let (request, confirm) = (hex(BARE_REQUEST), hex(BARE_CONFIRM));
        let initial = unit(
            b"\x7f\x65\x82\x01\x94\x04\x01\x01\x04\x01\x01\x01\x01\xff\x00\x05\x00\x14\x7c\x00\
            \x01\x81\x48Duca\x81\x01",
        );
        let response = unit(
            b"\x7f\x66\x82\x01\x45\x0a\x01\x00\x02\x01\x00\x00\x05\x00\x14\x7c\x00\x01\x2a\x14\
            \x76\x0a\x01\x01\x00\x01\xc0\x00McDn\x81\x01",
        );
        let talk = [
            (Opener, &request[..]),
            (Answerer, &confirm[..]),
            (Opener, &initial[..]),
            (Answerer, &response[..]),
        ];
        assert_eq!(tcp(3389, &talk), App::Rdp);
        assert_eq!(tcp(2299, &talk[..3]), App::Rdp);
        assert_eq!(tcp(2299, &[(Opener, &join(&request, &initial))]), App::Rdp);
        assert_eq!(tcp(2299, &[(Answerer, &join(&confirm, &response))]), App::Rdp);
        let other = unit(b"\x7f\x65\x82\x01\x94\x04\x01\x01\x04\x01\x01\x01\x01\xff\x30\x19");
        assert_eq!(
            tcp(1503, &[(Opener, &request), (Answerer, &confirm), (Opener, &other)]),
            App::Tpkt
        );
        let s7 = unit(&hex("32010000000000080000f0000001000101e0"));
        assert_eq!(
            tcp(102, &[(Opener, &request), (Answerer, &confirm), (Opener, &s7)]),
            App::S7comm
        );
        // nothing follows: the port breaks the tie, and only there
        let bare: [(_, &[u8]); 2] = [(Opener, &request), (Answerer, &confirm)];
        assert_eq!(tcp_path(3389, &bare), [App::Rdp]);
        assert_eq!(tcp_path(2299, &bare), [App::Tpkt]);
        assert_eq!(tcp_path(1433, &bare), [App::Tpkt]);
    }

    #[test]
    fn other_users_of_tpkt() {
        let request = hex("0300001611e00000000100c0010ac1020100c2020102");
        let confirm = hex("0300001611d00001000200c0010ac1020100c2020102");
        let s7 = unit(&hex("32010000ccc100080000f0000001000103c0"));
        let answer = unit(&hex("32030000ccc1000800000000f0000001000100f0"));
        let talk = [
            (Opener, &request[..]),
            (Answerer, &confirm[..]),
            (Opener, &s7[..]),
            (Answerer, &answer[..]),
        ];
        assert_eq!(tcp(102, &talk), App::S7comm);
        assert_eq!(tcp(102, &[(Opener, &join(&request, &s7))]), App::S7comm);
        assert_eq!(tcp(102, &[(Answerer, &join(&confirm, &answer))]), App::S7comm);
        // in the middle
        assert_eq!(tcp(102, &[(Opener, &s7), (Answerer, &answer)]), App::S7comm);
        let session =
            unit(&hex("0db20506130100160102140200023302000134020001c1 9c 3181 99 28ca220203"));
        assert_eq!(
            tcp(102, &[(Opener, &join(&request, &session)), (Answerer, &confirm)]),
            App::Mms
        );
        let setup = hex("0300000d08020001057e000105");
        let alerting = hex("0300000d08028001017e000105");
        assert_eq!(tcp(1720, &[(Opener, &setup), (Answerer, &alerting)]), App::H323);
        assert_eq!(tcp(1720, &[(Opener, &setup)]), App::H323);
        assert_eq!(tcp(3389, &[(Opener, &request), (Answerer, &confirm)]), App::Tpkt);
    }

    #[test]
    fn what_lies_and_what_is_something_else() {
        let request = hex(COOKIE);
        // lengths that are wrong: X.224's too small, TPKT's too large
        let mut short = request.clone();
        short[4] = 6;
        assert_eq!(tcp(2299, &[(Opener, &short), (Answerer, &hex(SELECTED))]), App::Rdp);
        let mut long = request.clone();
        long[3] += 40;
        assert_eq!(tcp(2299, &[(Opener, &long), (Answerer, &hex(SELECTED))]), App::Rdp);
        // cut by the capture
        assert_eq!(tcp(2299, &[(Opener, &request[..24])]), App::Rdp);
        assert_eq!(tcp(2299, &[(Opener, &hex(NO_COOKIE)[..15])]), App::Rdp);
        assert_eq!(tcp(2299, &[(Answerer, &hex(SELECTED)[..15])]), App::Rdp);
        assert_eq!(tcp(2299, &[(Opener, &request[..14])]), App::Unknown);
        // a scanner that asks another service
        assert_eq!(tcp(3389, &[(Opener, &request), (Answerer, b"+OK ready\r\n")]), App::Unknown);
        let mut damaged = request.clone();
        damaged[6] = 1; // dst-ref
        assert_eq!(tcp(3389, &[(Opener, &damaged)]), App::Unknown);
        // TDS: a remote procedure call has type 3 as well
        let rpc = hex("0301002000000100160000001200000002000000000000000000010000000000");
        assert_eq!(tcp(3389, &[(Opener, &rpc)]), App::Tds);
        assert_eq!(tcp(3389, &[(Opener, b"\x03\x00\x00\x05\x00")]), App::Unknown);
        assert_eq!(tcp(3389, &[]), App::Unknown);
    }

    fn syn(version: u16) -> Vec<u8> {
        let mut bytes = hex("ffffffff00401801 11223344 04d004d0");
        bytes.extend_from_slice(&[0x5a; 16]);
        bytes.extend_from_slice(&[0; 16]);
        bytes.extend_from_slice(&[0, 1]);
        bytes.extend_from_slice(&version.to_be_bytes());
        if version == 0x0101 {
            bytes.extend_from_slice(&[0xa5; 32]);
        }
        bytes.resize(1232, 0);
        bytes
    }

    #[test]
    fn rdp_over_udp() {
        let mut answer = hex("11223344004010050f94ea0b04d004d000010002");
        answer.resize(1232, 0);
        for version in [1, 2, 0x0101] {
            let syn = syn(version);
            assert_eq!(udp(3389, &[(Opener, &syn), (Answerer, &answer)]), App::RdpUdp);
            assert_eq!(udp(3389, &[(Opener, &syn)]), App::RdpUdp);
        }
        assert_eq!(udp(3389, &[(Answerer, &answer)]), App::RdpUdp);
        // in the middle, after numbers of the other end
        let ours = hex("109760330400000c00010100e65f846de65f846d1603030106100001");
        let theirs = hex("e65f846d00c8000c00010100109760341097603414030300010116");
        assert_eq!(udp(3389, &[(Opener, &ours), (Answerer, &theirs)]), App::RdpUdp);
        assert_eq!(udp(3389, &[(Opener, &ours)]), App::RdpUdp);
        let others = hex("765f846d00c8000c00010100209760342097603414030300010116");
        assert_eq!(udp(3389, &[(Opener, &ours), (Answerer, &others)]), App::Unknown);
        let mut noisy = syn(2);
        noisy[900] = 1;
        assert_eq!(udp(3389, &[(Opener, &noisy)]), App::Unknown);
        assert_eq!(udp(3389, &[(Opener, &syn(2)[..1100])]), App::Unknown);
        assert_eq!(udp(3389, &[(Opener, &[0xff; 1232])]), App::Unknown);
    }
}
