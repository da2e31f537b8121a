//! QUIC by its long headers (RFC 9000 section 17.2, RFC 9369), and Google's QUIC before it
//! (draft-hamilton-early-deployment-quic-00).

use crate::App;
use crate::talk::{Answer, Talk, Test};

pub(super) const UDP: &[Test] = &[quic, gquic];

/// A connection id has at most so many bytes in versions 1 and 2.
const ID_MAX: usize = 20;

/// What a datagram's first packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packet<'a> {
    /// A long header: destination and source connection id.
    Long(&'a [u8], &'a [u8]),
    /// Version negotiation.
    Versions(&'a [u8], &'a [u8]),
    /// A short header, or anything.
    Other,
}

/// An initial packet fills 1200 bytes (RFC 9000 section 14.1); ids that come back make it sure.
fn quic(talk: &Talk<'_>) -> Answer {
    let client = talk.opener.first().map(|(bytes, wire)| (parse(bytes), wire));
    let server = talk.answerer.first().map(|(bytes, wire)| (parse(bytes), wire));
    match (client, server) {
        (None, None) => Answer::More,
        (Some((Packet::Long(_, own), _)), Some((answer, _))) => match answer {
            Packet::Long(echoed, _) | Packet::Versions(echoed, _) if echoed == own => {
                Answer::Sure(App::Quic)
            }
            Packet::Long(..) => Answer::Likely(App::Quic),
            Packet::Versions(..) | Packet::Other => Answer::No,
        },
        (Some((Packet::Long(destination, _), wire)), None) => {
            if wire >= 1200 && destination.len() >= 8 {
                Answer::Sure(App::Quic)
            } else {
                Answer::Likely(App::Quic)
            }
        }
        (None, Some((Packet::Long(..) | Packet::Versions(..), _))) => Answer::Likely(App::Quic),
        _ => Answer::No,
    }
}

fn parse(bytes: &[u8]) -> Packet<'_> {
    parse_long(bytes).unwrap_or(Packet::Other)
}

fn parse_long(bytes: &[u8]) -> Option<Packet<'_>> {
    let first = *bytes.first()?;
    let version = u32::from_be_bytes(*bytes.get(1..)?.first_chunk()?);
    if first & 0x80 == 0 {
        return None;
    }
    let rest = bytes.get(5..)?;
    let (destination, rest) = id(rest)?;
    let (source, rest) = id(rest)?;
    if version == 0 {
        let lists = !rest.is_empty() && rest.len().is_multiple_of(4);
        let known =
            rest.chunks_exact(4).any(|v| is_version(u32::from_be_bytes([v[0], v[1], v[2], v[3]])));
        return (lists && known).then_some(Packet::Versions(destination, source));
    }
    let fixed = first & 0x40 != 0;
    (fixed && is_version(version)).then_some(Packet::Long(destination, source))
}

fn id(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(*bytes.first()?);
    (length <= ID_MAX).then(|| bytes.get(1..)?.split_at_checked(length))?
}

/// Versions 1 and 2, drafts of the IETF, Facebook's, Google's with IETF headers, and those reserved
/// to be refused (RFC 9000 section 15; IANA "QUIC Versions").
const fn is_version(version: u32) -> bool {
    matches!(version, 1 | 0x6b33_43cf | 0x709a_50c4 | 0xff00_0000..=0xff00_00ff)
        || version >> 8 == 0x00fa_ceb0
        || is_google(version)
        || version & 0x0f0f_0f0f == 0x0a0a_0a0a
}

/// `Q0..`, `T0..`: Google's versions are letters and digits.
const fn is_google(version: u32) -> bool {
    let [letter, a, b, c] = version.to_be_bytes();
    matches!(letter, b'Q' | b'T') && a == b'0' && b.is_ascii_digit() && c.is_ascii_digit()
}

/// Google QUIC up to Q043: flags with the version bit, an id of eight bytes, the version, a packet
/// number from 1. The version alone is four fixed letters and digits at a fixed place.
fn gquic(talk: &Talk<'_>) -> Answer {
    let of = |said: Option<(&[u8], usize)>| said.map(|(bytes, _)| version_of(bytes));
    match (of(talk.opener.first()), of(talk.answerer.first())) {
        (None, None) => Answer::More,
        (Some(true), _) => Answer::Sure(App::Quic),
        (None, Some(_)) if !talk.last => Answer::More,
        _ => Answer::No,
    }
}

fn version_of(bytes: &[u8]) -> bool {
    // version bit, 8-byte id, no reset, no multipath
    let flags_fit = bytes.first().is_some_and(|flags| flags & 0xc0 == 0 && flags & 0x0b == 0x09);
    let version = bytes.get(9..).and_then(|b| b.first_chunk()).map(|v| u32::from_be_bytes(*v));
    flags_fit && version.is_some_and(is_google)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, hex, udp};
    use super::*;

    #[test]
    fn initials_are_quic_and_ids_that_come_back() {
        let mut client = hex("c0 00000001 08 0102030405060708 04 0a0b0c0d 00");
        client.resize(1200, 0);
        let server = hex("c0 00000001 04 0a0b0c0d 08 1112131415161718 00 4000");
        assert_eq!(udp(443, &[(Opener, &client), (Answerer, &server)]), App::Quic);
        assert_eq!(udp(443, &[(Opener, &client)]), App::Quic);
        assert_eq!(udp(443, &[(Answerer, &server)]), App::Quic);
        let negotiation = hex("80 00000000 04 0a0b0c0d 08 0102030405060708 00000001");
        assert_eq!(udp(443, &[(Opener, &client), (Answerer, &negotiation)]), App::Quic);
        let mut other = client.clone();
        other[1] = 9;
        assert_eq!(udp(443, &[(Opener, &other)]), App::Unknown);
    }

    #[test]
    fn google_s_version_is_at_its_place() {
        let mut client = hex("0d 0102030405060708 51303333 01");
        client.resize(1350, 0);
        assert_eq!(udp(443, &[(Opener, &client)]), App::Quic);
        client[9] = b'P';
        assert_eq!(udp(443, &[(Opener, &client)]), App::Unknown);
    }
}
