//! What routers and those who let people in say to each other: BGP, LDP, BFD, RADIUS, TACACS+,
//! Diameter.

use super::fit::{Fit, judge, opening};
use super::read::u8_at;
use crate::App;
use crate::bytes::{be16, be32};
use crate::talk::{Answer, Said, Talk, Test};

pub(super) const TCP: &[Test] = &[bgp, ldp, tacacs, diameter];
pub(super) const UDP: &[Test] = &[ldp_hello, radius, bfd];

/// BGP (RFC 4271 section 4.1): sixteen bytes of ones, length, type.
fn bgp(talk: &Talk<'_>) -> Answer {
    let message = |bytes: &[u8]| {
        if bytes.iter().take(16).any(|&b| b != 0xff) {
            return Fit::No;
        }
        match (be16(bytes, 16), u8_at(bytes, 18)) {
            (Some(19..=4096), Some(1..=5)) => Fit::Alone,
            (None, _) | (Some(19..=4096), None) => Fit::Short,
            _ => Fit::No,
        }
    };
    judge(App::Bgp, talk, [message(talk.opener.bytes()), message(talk.answerer.bytes())], &[])
}

/// The header of an LDP PDU and its first message (RFC 5036 sections 3.1 and 3.5): version 1,
/// length, identifier of six bytes, type, length.
fn ldp_pdu(bytes: &[u8]) -> Fit {
    let (Some(version), Some(length)) = (be16(bytes, 0), be16(bytes, 2)) else { return Fit::Short };
    if version != 1 || !(14..=4096).contains(&length) {
        return Fit::No;
    }
    match (be16(bytes, 8), be16(bytes, 10), be16(bytes, 12)) {
        (Some(0), Some(kind), Some(message)) => {
            let known =
                matches!(kind & 0x7fff, 1 | 0x100 | 0x200 | 0x201 | 0x300 | 0x301 | 0x400..=0x404);
            Fit::of(known && message >= 4 && message + 10 <= length)
        }
        (Some(1..), _, _) => Fit::No,
        _ => Fit::Short,
    }
}

fn ldp(talk: &Talk<'_>) -> Answer {
    judge(App::Ldp, talk, [ldp_pdu(talk.opener.bytes()), ldp_pdu(talk.answerer.bytes())], &[])
}

fn ldp_hello(talk: &Talk<'_>) -> Answer {
    let hello = |bytes: &[u8], wire: usize| {
        let fits = be16(bytes, 2).is_some_and(|length| usize::from(length) + 4 == wire)
            && be16(bytes, 10) == Some(0x100);
        if fits && ldp_pdu(bytes) == Fit::Good { Fit::Good } else { Fit::No }
    };
    judge(App::Ldp, talk, [opening(talk.opener, hello), opening(talk.answerer, hello)], &[])
}

/// BFD control packets (RFC 5880 section 4.1), to the length they state; a discriminator that
/// comes back makes it sure.
fn bfd(talk: &Talk<'_>) -> Answer {
    let packet = |bytes: &[u8], wire: usize| {
        let head = matches!(bytes, [0x20..=0x29, flags, 1..=255, length, ..]
            if flags & 1 == 0 && usize::from(*length) == wire && (24..=52).contains(&wire));
        // with authentication there is more than the fixed part
        let authentic = u8_at(bytes, 1).is_some_and(|flags| (flags & 4 != 0) == (wire > 24));
        let short = |at| be32(bytes, at).is_some_and(|microseconds| microseconds < 1 << 26);
        let known = be32(bytes, 4).is_some_and(|mine| mine != 0);
        Fit::of(head && authentic && known && short(12) && short(16) && short(20))
    };
    match judge(App::Bfd, talk, [opening(talk.opener, packet), opening(talk.answerer, packet)], &[])
    {
        Answer::Sure(app) => {
            let at = |said: Said<'_>, at| said.first().and_then(|(bytes, _)| be32(bytes, at));
            let (ours, theirs) = (at(talk.opener, 4), at(talk.answerer, 8));
            let none = theirs == Some(0);
            if ours == theirs || none { Answer::Sure(app) } else { Answer::Likely(app) }
        }
        answer => answer,
    }
}

/// RADIUS (RFC 2865 section 3, RFC 2866, RFC 5176): code, identifier, length, authenticator,
/// attributes to the end; the identifier comes back.
fn radius(talk: &Talk<'_>) -> Answer {
    let packet = |bytes: &[u8], wire: usize, codes: &[u8]| {
        let head = u8_at(bytes, 0).is_some_and(|code| codes.contains(&code))
            && be16(bytes, 2).is_some_and(|length| usize::from(length) == wire)
            && (20..=4096).contains(&wire);
        Fit::of(head && is_attributes(bytes.get(20..).unwrap_or_default(), bytes.len() < wire))
    };
    let opener =
        opening(talk.opener, |bytes, wire| match packet(bytes, wire, &[1, 4, 12, 40, 43]) {
            Fit::Good if wire == 20 && bytes[0] != 12 => Fit::No,
            fit => fit,
        });
    let answers = [2, 3, 5, 11, 41, 42, 44, 45];
    let answerer = opening(talk.answerer, |bytes, wire| packet(bytes, wire, &answers));
    let id = |said: Said<'_>| said.first().and_then(|(bytes, _)| u8_at(bytes, 1));
    match judge(App::Radius, talk, [opener, answerer], &[]) {
        Answer::Sure(_) if id(talk.opener) != id(talk.answerer) => Answer::No,
        // a rejection without attributes is only a code and a length
        Answer::Likely(_) if talk.opener.is_empty() && id(talk.answerer).is_some() => {
            match talk.answerer.first() {
                Some((_, 20)) => Answer::More,
                _ => Answer::Likely(App::Radius),
            }
        }
        answer => answer,
    }
}

/// Type, length, value up to the end, or to where the capture cut it.
fn is_attributes(mut bytes: &[u8], cut: bool) -> bool {
    while let [kind, length, ..] = bytes {
        if *kind == 0 || *length < 2 {
            return false;
        }
        match bytes.get(usize::from(*length)..) {
            Some(rest) => bytes = rest,
            None => return cut,
        }
    }
    bytes.is_empty() || cut
}

/// TACACS+ (RFC 8907 section 4.1): version, type, sequence number 1 of the client and 2 of the
/// server, flags, session, length.
fn tacacs(talk: &Talk<'_>) -> Answer {
    let packet = |bytes: &[u8], sequence: u8| {
        let fits = |(at, &b): (usize, &u8)| match at {
            0 => matches!(b, 0xc0 | 0xc1),
            1 => matches!(b, 1..=3),
            2 => b == sequence,
            3 => b & !5 == 0,
            8 | 9 => b == 0,
            _ => true,
        };
        match bytes.iter().take(12).enumerate().all(fits) {
            true if bytes.len() < 12 => Fit::Short,
            true => Fit::of(be32(bytes, 8).is_some_and(|length| (5..=4096).contains(&length))),
            false => Fit::No,
        }
    };
    let (opener, answerer) = (talk.opener.bytes(), talk.answerer.bytes());
    match judge(App::Tacacs, talk, [packet(opener, 1), packet(answerer, 2)], &[]) {
        Answer::Sure(_) if opener[4..8] != answerer[4..8] => Answer::No,
        answer => answer,
    }
}

/// Diameter (RFC 6733 section 3): version 1, length, flags, command, application, two identifiers
/// that come back, then AVPs.
fn diameter(talk: &Talk<'_>) -> Answer {
    let message = |bytes: &[u8], request: bool| {
        let fits = |(at, &b): (usize, &u8)| match at {
            0 => b == 1,
            3 => b & 3 == 0,
            4 => b & 0x0f == 0 && (b & 0x80 != 0) == request,
            5 => b == 0,
            _ => true,
        };
        if !bytes.iter().take(20).enumerate().all(fits) {
            return Fit::No;
        }
        let (Some(head), Some(command), Some(avp), Some(avp_length)) =
            (be32(bytes, 0), be32(bytes, 4), be32(bytes, 20), be32(bytes, 24))
        else {
            return Fit::Short;
        };
        let (length, avp_length) = (head & 0x00ff_ffff, avp_length & 0x00ff_ffff);
        // base protocol and common applications (IANA "AAA Parameters")
        let known = matches!(command & 0x00ff_ffff, 257..=289 | 300..=330);
        Fit::of(known && length >= 28 && avp < 1 << 16 && (8..=length - 20).contains(&avp_length))
    };
    let (opener, answerer) = (talk.opener.bytes(), talk.answerer.bytes());
    match judge(App::Diameter, talk, [message(opener, true), message(answerer, false)], &[]) {
        Answer::Sure(_) if opener[12..20] != answerer[12..20] => Answer::No,
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, both_and_halves, hex, tcp, udp};
    use super::*;

    #[test]
    fn routers() {
        let open = [vec![0xff; 16], hex("001d 01 04 fde8 00b4 c0000201 00")].concat();
        both_and_halves(tcp, 179, &open, &open, App::Bgp);
        assert_eq!(tcp(179, &[(Opener, &[vec![0xff; 16], hex("0012 01")].concat())]), App::Unknown);
        let session = hex(
            "0001 0020 c0000201 0000 0200 0016 00000001 0500000e 0001 001e 00000000 c0000202 0000",
        );
        both_and_halves(tcp, 646, &session, &session, App::Ldp);
        let hello =
            hex("0001 001e c0000201 0000 0100 0014 00000000 0400 0004 000f0000 0401 0004 c0000201");
        both_and_halves(udp, 646, &hello, &hello, App::Ldp);
        assert_eq!(udp(646, &[(Opener, &hello[..30])]), App::Unknown);
        let down = hex("2048 03 18 00000001 00000000 000f4240 000f4240 00000000");
        let init = hex("2088 03 18 00000007 00000001 000f4240 000f4240 00000000");
        both_and_halves(udp, 3784, &down, &init, App::Bfd);
        assert_eq!(udp(3784, &[(Opener, &down[..23])]), App::Unknown);
    }

    #[test]
    fn who_may_enter() {
        let request = hex("01670000 40b664dbf5d681b2adbd1769515118c1 010773746576 65
             0212dbc6c4b758be14f005b387010203 0405 0406c0000201");
        let mut request = request;
        request[3] = request.len() as u8;
        let accept = hex("0267002c 8383ece707a2f31bb65badfb22a64023
             0606 00000002 0706 00000001 0806 ac100321 0906 ffffffff");
        both_and_halves(udp, 1812, &request, &accept, App::Radius);
        let reject = hex("03670014 42d5fe68699de5322f636f566bdd10f3");
        assert_eq!(udp(1812, &[(Opener, &request), (Answerer, &reject)]), App::Radius);
        assert_eq!(udp(1812, &[(Answerer, &reject)]), App::Unknown);
        let mut other = accept.clone();
        other[1] = 0x68;
        assert_eq!(udp(1812, &[(Opener, &request), (Answerer, &other)]), App::Unknown);
        request[21] = 8;
        assert_eq!(udp(1812, &[(Opener, &request)]), App::Unknown);
        let start = hex("c0010100 a1b2c3d4 00000010 00112233445566778899aabbccddeeff");
        let reply = hex("c0010200 a1b2c3d4 00000006 001122334455");
        both_and_halves(tcp, 49, &start, &reply, App::Tacacs);
        let another = hex("c0010200 a1b2c3d5 00000006 001122334455");
        assert_eq!(tcp(49, &[(Opener, &start), (Answerer, &another)]), App::Unknown);
        let asks = hex("01000028 80000101 00000000 11223344 55667788
             00000108 40000014 686f73742e6578616d706c65");
        let tells = hex("01000034 00000101 00000000 11223344 55667788 0000010c 4000000c 000007d1
             00000108 40000014 686f73742e6578616d706c65");
        both_and_halves(tcp, 3868, &asks, &tells, App::Diameter);
    }
}
