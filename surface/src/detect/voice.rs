//! Telephones and pictures: SIP, RTSP, MGCP, RTMP, Skinny, STUN, RTP and RTCP.

use super::fit::{Fit, judge, opening, starts};
use super::read::{find, line};
use crate::App;
use crate::bytes::{be16, be32, le32};
use crate::talk::{Answer, Said, Talk, Test};

pub(super) const TCP: &[Test] = &[sip_tcp, rtsp, stun_tcp, rtmp, skinny];
pub(super) const UDP: &[Test] = &[stun, sip, mgcp, rtcp, rtp];

/// A request line or status line of a protocol that looks like HTTP: `METHOD what VERSION` or
/// `VERSION ddd`. The longest line considered is 1024 bytes.
fn http_like(bytes: &[u8], version: &[u8], methods: &[&[u8]]) -> Fit {
    let status = starts(bytes, version);
    match status {
        Fit::Good => {
            let (text, ended) = line(&bytes[..bytes.len().min(1024)]);
            return match text.get(version.len()..) {
                Some([b'.', _, b' ', b'1'..=b'6', b'0'..=b'9', b'0'..=b'9', ..]) => Fit::Alone,
                Some(rest) if rest.len() < 6 && !ended => Fit::Short,
                _ => Fit::No,
            };
        }
        Fit::Short if !bytes.is_empty() => return Fit::Short,
        _ => {}
    }
    let may = |method: &&&[u8]| bytes.first().is_none_or(|first| method.first() == Some(first));
    let fits = methods.iter().filter(may).map(|method| starts(bytes, method));
    match fits.filter(|&fit| fit != Fit::No).max_by_key(|&fit| fit == Fit::Good) {
        None => Fit::No,
        Some(Fit::Good) => {
            let (text, ended) = line(&bytes[..bytes.len().min(1024)]);
            let last = text.rsplit(|&b| b == b' ').next().unwrap_or_default();
            match ended {
                true if last.starts_with(version) => Fit::Alone,
                true => Fit::No,
                false if text.len() < 1024 => Fit::Short,
                false => Fit::No,
            }
        }
        Some(fit) => fit,
    }
}

/// Methods of RFC 3261 and its extensions (IANA "SIP Parameters").
const SIP_METHODS: &[&[u8]] = &[
    b"INVITE ",
    b"REGISTER ",
    b"OPTIONS ",
    b"ACK ",
    b"BYE ",
    b"CANCEL ",
    b"SUBSCRIBE ",
    b"NOTIFY ",
    b"PUBLISH ",
    b"MESSAGE ",
    b"INFO ",
    b"UPDATE ",
    b"PRACK ",
    b"REFER ",
];

/// SIP (RFC 3261 section 7) in datagrams; some send line ends or nothing much to keep NATs open.
fn sip(talk: &Talk<'_>) -> Answer {
    let end = |said: Said<'_>| {
        let mut datagrams = said.datagrams().filter(|(bytes, wire)| {
            *wire > 8 && bytes.iter().any(|b| !matches!(b, b'\r' | b'\n' | b'\0'))
        });
        match datagrams.next() {
            None => Fit::Short,
            Some((bytes, _)) => match http_like(bytes, b"SIP/2", SIP_METHODS) {
                Fit::Short => Fit::No,
                fit => fit,
            },
        }
    };
    judge(App::Sip, talk, [end(talk.opener), end(talk.answerer)], &[])
}

fn sip_tcp(talk: &Talk<'_>) -> Answer {
    let end = |said: Said<'_>| http_like(said.bytes(), b"SIP/2", SIP_METHODS);
    judge(App::Sip, talk, [end(talk.opener), end(talk.answerer)], &[])
}

/// RTSP (RFC 2326 section 6, RFC 7826).
fn rtsp(talk: &Talk<'_>) -> Answer {
    const METHODS: &[&[u8]] = &[
        b"OPTIONS ",
        b"DESCRIBE ",
        b"SETUP ",
        b"PLAY ",
        b"ANNOUNCE ",
        b"GET_PARAMETER ",
        b"SET_PARAMETER ",
        b"RECORD ",
        b"TEARDOWN ",
        b"PAUSE ",
    ];
    let opener = match http_like(talk.opener.bytes(), b"RTSP/1", METHODS) {
        Fit::No => http_like(talk.opener.bytes(), b"RTSP/2", METHODS),
        fit => fit,
    };
    let answerer = match http_like(talk.answerer.bytes(), b"RTSP/1", METHODS) {
        Fit::No => http_like(talk.answerer.bytes(), b"RTSP/2", METHODS),
        fit => fit,
    };
    judge(App::Rtsp, talk, [opener, answerer], &[])
}

/// MGCP (RFC 3435 section 3.2): verb, transaction, endpoint, `MGCP 1.0`; code and transaction in
/// answer.
fn mgcp(talk: &Talk<'_>) -> Answer {
    const VERBS: [&[u8]; 9] =
        [b"AUEP", b"AUCX", b"CRCX", b"DLCX", b"EPCF", b"MDCX", b"NTFY", b"RQNT", b"RSIP"];
    let command = |bytes: &[u8]| {
        let (text, _) = line(&bytes[..bytes.len().min(512)]);
        let verb = text.get(..4).is_some_and(|verb| VERBS.contains(&verb));
        verb && text.get(4) == Some(&b' ') && find(text, b" MGCP ").is_some()
    };
    let opener = opening(talk.opener, |bytes, _| if command(bytes) { Fit::Alone } else { Fit::No });
    let answerer = opening(talk.answerer, |bytes, _| {
        let code = bytes.iter().take(3).all(u8::is_ascii_digit) && bytes.get(3) == Some(&b' ');
        Fit::of(code && bytes.get(4).is_some_and(u8::is_ascii_digit) || command(bytes))
    });
    match (opener, answerer) {
        // numbers alone are anything
        (Fit::Short, Fit::Good) => Answer::More,
        _ => judge(App::Mgcp, talk, [opener, answerer], &[]),
    }
}

/// Bytes of the handshake that each end of RTMP says twice (RTMP specification 1.0, section 5.2).
const RTMP_HANDSHAKE: usize = 1536;

/// RTMP: version 3 and a handshake of which four bytes are zero, until `connect` is called.
fn rtmp(talk: &Talk<'_>) -> Answer {
    let opener = talk.opener.bytes();
    let begins = |said: Said<'_>| said.bytes().first().is_none_or(|&version| version == 3);
    if !begins(talk.opener) || !begins(talk.answerer) {
        return Answer::No;
    }
    let command = opener.get(1 + 2 * RTMP_HANDSHAKE..);
    if let Some(command) = command
        && command.len() > 24
    {
        let is_connect = find(&command[..command.len().min(64)], b"\x02\0\x07connect").is_some();
        return if is_connect { Answer::Sure(App::Rtmp) } else { Answer::No };
    }
    // TPKT has version 3 as well: its second byte is zero, and a time of zero is rare
    let handshake = |said: Said<'_>| {
        let bytes = said.bytes();
        bytes.len() > RTMP_HANDSHAKE && matches!(be32(bytes, 5), Some(0 | 0x0900_7c02))
    };
    match (handshake(talk.opener), handshake(talk.answerer)) {
        (true, true) => Answer::Likely(App::Rtmp),
        (true, false) | (false, true) if talk.service_port == 1935 => Answer::Likely(App::Rtmp),
        _ => Answer::More,
    }
}

/// Cisco's Skinny (SCCP): length, version of the header, message, all with the low byte first. A
/// telephone registers by its name and is acknowledged or turned away.
fn skinny(talk: &Talk<'_>) -> Answer {
    let message = |bytes: &[u8]| match (le32(bytes, 0), le32(bytes, 4), le32(bytes, 8)) {
        (Some(length), _, _) if !(4..=4096).contains(&length) => Err(()),
        (Some(_), Some(version), _) if version > 0x20 => Err(()),
        (Some(length), Some(_), Some(id)) if id < 0x200 => Ok(Some((length as usize, id))),
        (_, _, Some(_)) => Err(()),
        _ => Ok(None),
    };
    let (opener, answerer) = (talk.opener.bytes(), talk.answerer.bytes());
    let (asked, told) = match (message(opener), message(answerer)) {
        (Err(()), _) | (_, Err(())) => return Answer::No,
        (Ok(asked), Ok(told)) => (asked, told),
    };
    if let Some((20.., 1)) = asked {
        let Some(name) = opener.get(12..28) else { return Answer::More };
        let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
        let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if end < 3 || !name[..end].iter().all(is_name) || name[end..].iter().any(|&b| b != 0) {
            return Answer::No;
        }
        let is_phone = name.starts_with(b"SEP") && name[3..15].iter().all(u8::is_ascii_hexdigit);
        return match told {
            Some((_, 0x81 | 0x9b | 0x9d)) => Answer::Sure(App::Skinny),
            _ if is_phone || talk.service_port == SKINNY_PORT => Answer::Likely(App::Skinny),
            Some(_) => Answer::No,
            None => Answer::More,
        };
    }
    match (asked, told) {
        (Some(_), Some(_)) | (None, Some((_, 0x81 | 0x9b | 0x9d)))
            if talk.service_port == SKINNY_PORT =>
        {
            Answer::Likely(App::Skinny)
        }
        (None, _) => Answer::More,
        _ if talk.service_port == SKINNY_PORT => Answer::More,
        _ => Answer::No,
    }
}

/// Skinny's port: breaks the tie between messages that say little.
const SKINNY_PORT: u16 = 2000;

/// The magic cookie of RFC 8489 section 5.
const STUN_COOKIE: u32 = 0x2112_a442;
/// Header of a STUN message.
const STUN_HEADER: usize = 20;

/// A STUN message that fills its datagram; without the cookie (RFC 3489) its attributes must be
/// known, or its transaction come back.
fn stun(talk: &Talk<'_>) -> Answer {
    let (opener, answerer) =
        (opening(talk.opener, stun_message), opening(talk.answerer, stun_message));
    let [asked, told] = [talk.opener, talk.answerer].map(|said| said.first().map(|d| d.0));
    match (opener, answerer) {
        (Fit::Short | Fit::Good, Fit::Short | Fit::Good)
            if let (Some(asked), Some(told)) = (asked, told) =>
        {
            let same = asked.get(4..STUN_HEADER) == told.get(4..STUN_HEADER);
            if same { Answer::Sure(App::Stun) } else { Answer::No }
        }
        _ => judge(App::Stun, talk, [opener, answerer], &[]),
    }
}

fn stun_message(bytes: &[u8], wire: usize) -> Fit {
    let (Some(kind), Some(length), Some(cookie)) = (be16(bytes, 0), be16(bytes, 2), be32(bytes, 4))
    else {
        return Fit::No;
    };
    if kind >> 14 != 0 || usize::from(length) + STUN_HEADER != wire {
        return Fit::No;
    }
    if cookie == STUN_COOKIE {
        return Fit::Alone;
    }
    // binding and shared secret: request, answer, error
    if !matches!(kind, 1 | 2 | 0x101 | 0x102 | 0x111 | 0x112) {
        return Fit::No;
    }
    let mut rest = bytes.get(STUN_HEADER..).unwrap_or_default();
    while let (Some(kind), Some(length)) = (be16(rest, 0), be16(rest, 2)) {
        let is_known = matches!(kind, 1..=0x0b | 0x20 | 0x8000..=0x8100);
        match rest.get(4 + usize::from(length).next_multiple_of(4)..) {
            Some(next) if is_known => rest = next,
            _ => return Fit::Short,
        }
    }
    if rest.is_empty() { Fit::Good } else { Fit::Short }
}

/// STUN over TCP (RFC 8489 section 6.2.2), perhaps behind a length (RFC 4571): always with the
/// cookie.
fn stun_tcp(talk: &Talk<'_>) -> Answer {
    let message = |bytes: &[u8]| match (be16(bytes, 0), be32(bytes, 4)) {
        (Some(kind), _) if kind >> 14 != 0 => Fit::No,
        (_, Some(STUN_COOKIE)) => Fit::Alone,
        (_, Some(_)) => Fit::No,
        _ => Fit::Short,
    };
    let end = |said: Said<'_>| {
        let bytes = said.bytes();
        let framed = match (be16(bytes, 0), be16(bytes, 4)) {
            (Some(frame), Some(length))
                if usize::from(length) + STUN_HEADER == usize::from(frame) =>
            {
                message(&bytes[2..])
            }
            (_, Some(_)) => Fit::No,
            _ => Fit::Short,
        };
        match (message(bytes), framed) {
            (Fit::No, fit) | (fit, Fit::No) => fit,
            (Fit::Alone, _) | (_, Fit::Alone) => Fit::Alone,
            _ => Fit::Short,
        }
    };
    judge(App::Stun, talk, [end(talk.opener), end(talk.answerer)], &[])
}

/// RTCP (RFC 3550 section 6.4): a report whose length is that of its blocks. What follows may be
/// encrypted.
fn rtcp(talk: &Talk<'_>) -> Answer {
    let report = |bytes: &[u8], wire: usize| {
        let [first @ 0x80..=0xbf, kind @ (200 | 201), ..] = bytes else { return Fit::No };
        let blocks = usize::from(first & 0x1f) * 24;
        let length = be16(bytes, 2).map_or(0, |words| (usize::from(words) + 1) * 4);
        let fixed = if *kind == 200 { 28 } else { 8 };
        let source = be32(bytes, 4).is_some_and(|source| source != 0);
        Fit::of(length == fixed + blocks && length <= wire && source)
    };
    judge(App::Rtcp, talk, [opening(talk.opener, report), opening(talk.answerer, report)], &[])
}

/// RTP (RFC 3550 section 5.1): version 2, and from one packet to the next of an end the same
/// source and type, the number a little higher.
fn rtp(talk: &Talk<'_>) -> Answer {
    let runs = [talk.opener, talk.answerer].map(rtp_run);
    match runs {
        [None, _] | [_, None] => Answer::No,
        [Some(2..), Some(2..)] => Answer::Sure(App::Rtp),
        [Some(a), Some(b)] if a >= 3 || b >= 3 => Answer::Likely(App::Rtp),
        _ => Answer::More,
    }
}

/// Packets in a row, each counted once; `None` if they are not RTP.
fn rtp_run(said: Said<'_>) -> Option<usize> {
    let mut last: Option<(u32, u8, u16)> = None;
    let mut count = 0;
    for (bytes, wire) in said.datagrams() {
        let [0x80..=0xbf, kind, ..] = bytes else { return None };
        let kind = kind & 0x7f;
        let (Some(number), Some(source @ 1..)) = (be16(bytes, 2), be32(bytes, 8)) else {
            return None;
        };
        // types 72 to 76 would be RTCP's
        if wire < 13 || !matches!(kind, 0..=34 | 96..=127) {
            return None;
        }
        match last {
            Some((before, same, from)) => match number.wrapping_sub(from) {
                _ if before != source || same != kind => return None,
                0 => {}
                1..=16 => count += 1,
                _ => return None,
            },
            None => count = 1,
        }
        last = Some((source, kind, number));
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, Who, both_and_halves, hex, tcp, tcp_path, udp};
    use super::*;

    #[test]
    fn calls_are_set_up() {
        let invite = b"INVITE sip:100@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1\r\n\r\n";
        let trying = b"SIP/2.0 100 Trying\r\nVia: SIP/2.0/UDP 192.0.2.1\r\n\r\n";
        both_and_halves(udp, 5060, invite, trying, App::Sip);
        both_and_halves(tcp, 5060, invite, trying, App::Sip);
        assert_eq!(udp(5060, &[(Opener, b"\r\n\r\n"), (Opener, invite)]), App::Sip);
        assert_eq!(udp(5060, &[(Opener, b"hello"), (Answerer, b"hello")]), App::Unknown);
        assert_eq!(tcp(5060, &[(Opener, b"INVITE all my friends\r\n")]), App::Unknown);
        let options = b"OPTIONS rtsp://192.0.2.9/stream RTSP/1.0\r\nCSeq: 1\r\n\r\n";
        both_and_halves(tcp, 554, options, b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n", App::Rtsp);
        let restart = b"RSIP 1200 *@gw.example.com MGCP 1.0\r\nRM: restart\r\n";
        assert_eq!(udp(2427, &[(Opener, restart), (Answerer, b"200 1200 OK\r\n")]), App::Mgcp);
        assert_eq!(udp(2427, &[(Opener, restart)]), App::Mgcp);
        let register =
            [hex("28000000 12000000 01000000"), b"SEP001122AABBCC\0".to_vec(), vec![0; 20]]
                .concat();
        let ack = hex("14000000 00000000 81000000 1e000000 4d2f442f59000000 00000000");
        assert_eq!(tcp(2000, &[(Opener, &register), (Answerer, &ack)]), App::Skinny);
        assert_eq!(tcp(2000, &[(Opener, &register)]), App::Skinny);
        assert_eq!(tcp_path(2000, &[(Answerer, &ack)]), [App::Skinny]);
        let bridge =
            [hex("28000000 12000000 01000000"), b"CONF_BRIDGE\0\0\0\0\0".to_vec(), vec![0; 20]]
                .concat();
        assert_eq!(tcp(2000, &[(Opener, &bridge), (Answerer, &ack)]), App::Skinny);
        assert_eq!(tcp_path(2001, &[(Opener, &bridge)]), []);
    }

    #[test]
    fn addresses_are_asked_for() {
        let request = hex("000100002112a442 6941fae438498937822a5008");
        let answer = hex("0101000c2112a442 6941fae438498937822a5008 00200008000 1a0817c31beef"
            .replace(' ', "")
            .as_str());
        both_and_halves(udp, 3478, &request, &answer, App::Stun);
        both_and_halves(tcp, 3478, &request, &answer, App::Stun);
        let old = hex("00010008 aabbccdd6941fae438498937822a5008 0003000400000006");
        let old_answer = hex("0101000c aabbccdd6941fae438498937822a5008 000100080001d0d4c0000201");
        both_and_halves(udp, 3478, &old, &old_answer, App::Stun);
        let mut other = old_answer.clone();
        other[9] ^= 1;
        assert_eq!(udp(3478, &[(Opener, &old), (Answerer, &other)]), App::Unknown);
        assert_eq!(udp(3478, &[(Opener, &request[..19])]), App::Unknown);
        let framed = [&(request.len() as u16).to_be_bytes(), &request[..]].concat();
        assert_eq!(tcp(42000, &[(Opener, &framed)]), App::Stun);
        let strange = hex("00010008 c15dae63585d14392e582c260403bf30 0101000431323334");
        let answer = hex("00020008 c15dae63585d14392e582c260403bf30 0103000431323334");
        assert_eq!(udp(3478, &[(Opener, &strange), (Answerer, &answer)]), App::Stun);
        assert_eq!(udp(3478, &[(Opener, &strange)]), App::Unknown);
    }

    fn packet(number: u16, source: u32) -> Vec<u8> {
        let mut bytes = vec![0x80, 0x6c];
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.extend_from_slice(&(u32::from(number) * 160).to_be_bytes());
        bytes.extend_from_slice(&source.to_be_bytes());
        bytes.resize(172, number as u8);
        bytes
    }

    #[test]
    fn media() {
        let ours: Vec<_> = (7..10).map(|number| packet(number, 0x1122_3344)).collect();
        let theirs: Vec<_> = (900..903).map(|number| packet(number, 0x5566_7788)).collect();
        let talk: Vec<(Who, &[u8])> = ours.iter().map(|p| (Opener, &p[..])).collect();
        assert_eq!(udp(16384, &talk), App::Rtp);
        assert_eq!(udp(16384, &talk[..2]), App::Unknown);
        let back: Vec<(Who, &[u8])> = theirs.iter().map(|p| (Answerer, &p[..])).collect();
        assert_eq!(udp(16384, &back), App::Rtp);
        assert_eq!(udp(16384, &[talk[0], back[0], talk[1], back[1]]), App::Rtp);
        let far = packet(3000, 0x1122_3344);
        assert_eq!(udp(16384, &[talk[0], talk[1], (Opener, &far)]), App::Unknown);
        let report = [hex("81c90007 0b865519 906587ad"), vec![0x5a; 66]].concat();
        both_and_halves(udp, 16385, &report, &report, App::Rtcp);
        assert_eq!(udp(16385, &[(Opener, &hex("81c90008 0b865519 906587ad"))]), App::Unknown);
    }

    #[test]
    fn rtmp_until_it_connects() {
        let hello = |time: u8| {
            let mut bytes = vec![3, 0, 0, 1, time, 0, 0, 0, 0];
            bytes.resize(1537, 0xa5);
            bytes
        };
        let mut opener = hello(1);
        opener.extend_from_slice(&[0x5a; 1536]);
        opener.extend_from_slice(&hex("03000000000080140000000002000 7".replace(' ', "").as_str()));
        opener.extend_from_slice(b"connect\0\x3f\xf0\0\0\0\0\0\0");
        let answerer = hello(2);
        let app = |talk: &[(Who, &[u8])]| tcp_path(2299, talk);
        assert_eq!(app(&[(Opener, &opener), (Answerer, &answerer)]), [App::Rtmp]);
        assert_eq!(app(&[(Opener, &opener)]), [App::Rtmp]);
        assert_eq!(app(&[(Opener, &hello(1)), (Answerer, &answerer)]), [App::Rtmp]);
        assert_eq!(tcp_path(1935, &[(Answerer, &answerer)]), [App::Rtmp]);
        assert_eq!(app(&[(Opener, &hello(1)[..1000])]), []);
    }
}
