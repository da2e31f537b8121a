//! Who may: Kerberos (RFC 4120), its password service (RFC 3244), LDAP (RFC 4511) over TCP and UDP.

use super::ber::{inside, tag};
use super::fit::{Fit, first, judge, stream};
use super::read::{Parsed, Reader, Stop, need};
use crate::App;
use crate::talk::{Answer, Talk, Test};

pub(super) const TCP: &[Test] = &[kerberos_stream, kpasswd_stream, ldap];
pub(super) const UDP: &[Test] = &[kerberos, kpasswd, cldap];

const KERBEROS_PORTS: &[u16] = &[88];
const KPASSWD_PORTS: &[u16] = &[464];

/// Application tags of what is asked for: AS-REQ, TGS-REQ (RFC 4120 section 5.10).
const ASKS: &[u8] = &[10, 12];
/// Of what is told: AS-REP, TGS-REP, KRB-ERROR.
const TELLS: &[u8] = &[11, 13, 30];
const AP_REQ: u8 = 14;
const AP_REP: u8 = 15;
const KRB_ERROR: u8 = 30;

/// A message with one of these application tags: version 5 and the tag's number again as its type.
fn message(reader: &mut Reader<'_>, wire: Option<usize>, tags: &[u8]) -> Parsed {
    let outer = reader.u8()?;
    let number = outer & 0x1f;
    need(outer & 0xe0 == 0x60 && tags.contains(&number))?;
    let length = reader.ber_length()?;
    need(length >= 16 && wire.is_none_or(|wire| reader.at() + length == wire))?;
    need(reader.ber_open(tag::SEQUENCE)? < length)?;
    // a request counts its fields from 1, everything else from 0 (sections 5.4 and 5.9)
    let field = if matches!(number, 10 | 12) { 0xa1 } else { 0xa0 };
    reader.literal(&[field, 3, tag::INTEGER, 1, 5, field + 1, 3, tag::INTEGER, 1, number])?;
    Ok(Fit::Alone)
}

fn kerberos(talk: &Talk<'_>) -> Answer {
    let ends = [
        first(&talk.opener, |reader, wire| message(reader, Some(wire), ASKS)),
        first(&talk.answerer, |reader, wire| message(reader, Some(wire), TELLS)),
    ];
    judge(App::Kerberos, talk, ends, KERBEROS_PORTS)
}

/// Behind four bytes of length, whose top bit is reserved (section 7.2.2).
fn kerberos_stream(talk: &Talk<'_>) -> Answer {
    let parse = |tags: &'static [u8]| {
        move |reader: &mut Reader<'_>| {
            let length = reader.be32()?;
            need((20..1 << 24).contains(&length))?;
            message(reader, Some(4 + length as usize), tags)
        }
    };
    let ends = [stream(&talk.opener, parse(ASKS)), stream(&talk.answerer, parse(TELLS))];
    judge(App::Kerberos, talk, ends, KERBEROS_PORTS)
}

/// Length, version, length of the ticket's message, and that message (RFC 3244 section 2).
fn password(reader: &mut Reader<'_>, asks: bool) -> Parsed {
    let length = reader.be16()?;
    let version = reader.be16()?;
    need(if asks { matches!(version, 1 | 0xff80) } else { version == 1 })?;
    let ticket = reader.be16()?;
    need(ticket < length)?;
    let tags: &[u8] = match (asks, ticket) {
        (true, _) => &[AP_REQ],
        (false, 0) => &[KRB_ERROR],
        (false, _) => &[AP_REP],
    };
    message(reader, None, tags)
}

fn kpasswd(talk: &Talk<'_>) -> Answer {
    let ends = [
        first(&talk.opener, |reader, _| password(reader, true)),
        first(&talk.answerer, |reader, _| password(reader, false)),
    ];
    judge(App::Kpasswd, talk, ends, KPASSWD_PORTS)
}

fn kpasswd_stream(talk: &Talk<'_>) -> Answer {
    let parse = |asks: bool| {
        move |reader: &mut Reader<'_>| {
            need(reader.be32()? < 1 << 16)?;
            password(reader, asks)
        }
    };
    let ends = [stream(&talk.opener, parse(true)), stream(&talk.answerer, parse(false))];
    judge(App::Kpasswd, talk, ends, KPASSWD_PORTS)
}

/// Message identifier and operation (RFC 4511 section 4.1.1).
fn ldap_message(reader: &mut Reader<'_>, wire: Option<usize>, asks: bool) -> Parsed {
    let length = reader.ber_open(tag::SEQUENCE)?;
    let end = reader.at() + length;
    // a datagram may hold several: an entry and the result
    need(length >= 5 && wire.is_none_or(|wire| end <= wire))?;
    let id = reader.ber_number(tag::INTEGER)?;
    need(i32::try_from(id).is_ok())?;
    let operation = reader.u8()?;
    need(if asks { is_request(operation) } else { is_response(operation) })?;
    let length = reader.ber_length()?;
    // controls may follow it
    need(reader.at() + length <= end)?;
    if length == 0 {
        // unbind, and end
        need(operation == 0x42 && reader.at() == end)?;
        return Ok(Fit::Good);
    }
    operation_of(reader, operation)
}

/// Bind, unbind, search, modify, add, delete, rename, compare, abandon, extended.
const fn is_request(operation: u8) -> bool {
    matches!(operation, 0x60 | 0x42 | 0x63 | 0x66 | 0x68 | 0x4a | 0x6c | 0x6e | 0x50 | 0x77)
}

/// The results of these; entries, references, intermediate responses.
const fn is_response(operation: u8) -> bool {
    matches!(operation, 0x61 | 0x64 | 0x65 | 0x67 | 0x69 | 0x6b | 0x6d | 0x6f | 0x73 | 0x78 | 0x79)
}

/// What an operation begins with (RFC 4511 sections 4.2 to 4.13).
fn operation_of(reader: &mut Reader<'_>, operation: u8) -> Parsed {
    match operation {
        // version, name, simple or SASL
        0x60 => {
            need((2..=3).contains(&reader.ber_number(tag::INTEGER)?))?;
            reader.ber(tag::OCTETS)?;
            need(matches!(reader.u8()?, 0x80 | 0xa3 | 0x89..=0x8b))?;
            Ok(Fit::Alone)
        }
        // base, scope, aliases, limits
        0x63 => {
            reader.ber(tag::OCTETS)?;
            need(reader.ber_number(tag::ENUMERATED)? <= 3)?;
            need(reader.ber_number(tag::ENUMERATED)? <= 3)?;
            reader.ber_number(tag::INTEGER)?;
            Ok(Fit::Alone)
        }
        // object, and a list
        0x64 | 0x66 | 0x68 | 0x6e | 0x6c => {
            reader.ber(tag::OCTETS)?;
            need(matches!(reader.u8()?, tag::SEQUENCE | tag::OCTETS))?;
            Ok(Fit::Good)
        }
        // the name of the request is an object identifier in digits
        0x77 => {
            let name = reader.ber(0x80)?;
            need(name.iter().all(|&byte| byte == b'.' || byte.is_ascii_digit()))?;
            Ok(Fit::Alone)
        }
        // a list of references: text
        0x73 => {
            reader.literal(&[tag::OCTETS])?;
            Ok(Fit::Good)
        }
        // a result: code, matched name, message
        0x61 | 0x65 | 0x67 | 0x69 | 0x6b | 0x6d | 0x6f | 0x78 => {
            need(reader.ber_number(tag::ENUMERATED)? < 0x1_0000)?;
            reader.ber(tag::OCTETS)?;
            reader.literal(&[tag::OCTETS])?;
            Ok(Fit::Good)
        }
        _ => Ok(Fit::Weak),
    }
}

fn ldap(talk: &Talk<'_>) -> Answer {
    let ends = [
        stream(&talk.opener, |reader| ldap_message(reader, None, true)),
        stream(&talk.answerer, |reader| ldap_message(reader, None, false)),
    ];
    judge(App::Ldap, talk, ends, &[389, 3268])
}

fn cldap(talk: &Talk<'_>) -> Answer {
    let parse = |reader: &mut Reader<'_>, wire: usize, asks: bool| {
        if asks { ldap_message(reader, Some(wire), true) } else { cldap_answer(reader, wire) }
    };
    let ends = [
        first(&talk.opener, |reader, wire| parse(reader, wire, true)),
        first(&talk.answerer, |reader, wire| parse(reader, wire, false)),
    ];
    judge(App::Cldap, talk, ends, &[389])
}

/// An entry and a result, or a result alone.
fn cldap_answer(reader: &mut Reader<'_>, wire: usize) -> Parsed {
    let fit = ldap_message(&mut reader.clone(), Some(wire), false)?;
    let mut end = 0;
    for _ in 0..8 {
        let content = match reader.ber(tag::SEQUENCE) {
            Err(Stop::Short) if reader.rest().is_empty() => break,
            content => content?,
        };
        inside(content, |reader| reader.ber_number(tag::INTEGER).map(|_| ()))?;
        end = reader.at();
    }
    need(end == wire)?;
    Ok(fit)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, hex, tcp, udp};
    use crate::App;

    fn framed(bytes: &[u8]) -> Vec<u8> {
        let mut framed = (bytes.len() as u32).to_be_bytes().to_vec();
        framed.extend_from_slice(bytes);
        framed
    }

    #[test]
    fn kerberos_over_both_transports() {
        let ask =
            hex("6a 1d 30 1b a1 03 02 01 05 a2 03 02 01 0a a4 0f 30 0d a0 07 03 05 0050810010
            a2 02 1b 00");
        let refused = hex("7e 1b 30 19 a0 03 02 01 05 a1 03 02 01 1e a5 05 02 03 0a0b0c
            a6 03 02 01 19 a9 01 1b");
        for (ask, refused, run) in [
            (ask.clone(), refused.clone(), udp as fn(u16, &[(_, &[u8])]) -> App),
            (framed(&ask), framed(&refused), tcp),
        ] {
            assert_eq!(run(88, &[(Opener, &ask)]), App::Kerberos);
            assert_eq!(run(88, &[(Answerer, &refused)]), App::Kerberos);
            assert_eq!(run(88, &[(Opener, &ask), (Answerer, &refused)]), App::Kerberos);
        }
        let mut other = ask;
        other[13] = 11;
        assert_eq!(udp(88, &[(Opener, &other)]), App::Unknown);
    }

    #[test]
    fn kpasswd_over_both_transports() {
        let change = hex("0021 0001 0018 6e 16 30 14 a0 03 02 01 05 a1 03 02 01 0e
            a2 03 02 01 00 a3 03 02 01 00 000000");
        assert_eq!(udp(464, &[(Opener, &change)]), App::Kpasswd);
        assert_eq!(tcp(464, &[(Opener, &framed(&change))]), App::Kpasswd);
    }

    #[test]
    fn ldap() {
        let bind = hex("30 0c 02 01 01 60 07 02 01 03 04 00 80 00");
        let long = hex("30 84 00000010 02 01 01 60 84 00000007 02 01 03 04 00 80 00");
        let bound = hex("30 0c 02 01 01 61 07 0a 01 00 04 00 04 00");
        assert_eq!(tcp(389, &[(Opener, &bind), (Answerer, &bound)]), App::Ldap);
        assert_eq!(tcp(389, &[(Opener, &long)]), App::Ldap);
        assert_eq!(tcp(389, &[(Answerer, &bound)]), App::Ldap);
        let start_tls =
            hex("30 1d 02 01 01 77 18 80 16 312e332e362e312e342e312e313436362e3230303337");
        assert_eq!(tcp(389, &[(Opener, &start_tls)]), App::Ldap);
        // SNMP's beginning, and an operation that is longer than its message
        assert_eq!(
            tcp(389, &[(Opener, &hex("30 0c 02 01 01 04 06 7075626c6963 a0"))]),
            App::Unknown
        );
        assert_eq!(
            tcp(389, &[(Opener, &hex("30 0c 02 01 01 60 70 02 01 03 04 00 80 00"))]),
            App::Unknown
        );
    }

    #[test]
    fn cldap() {
        let ping = hex("30 1c 02 01 04 63 17 04 00 0a 01 00 0a 01 00 02 01 00 02 01 00 01 01 00
            87 02 6e74 30 00");
        let pong = hex("30 0f 02 01 04 64 0a 04 00 30 06 30 04 04 00 31 00
            30 0c 02 01 04 65 07 0a 01 00 04 00 04 00");
        assert_eq!(udp(389, &[(Opener, &ping)]), App::Cldap);
        assert_eq!(udp(389, &[(Answerer, &pong)]), App::Cldap);
        assert_eq!(udp(389, &[(Opener, &ping), (Answerer, &pong)]), App::Cldap);
    }
}
