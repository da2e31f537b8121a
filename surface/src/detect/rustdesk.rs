//! RustDesk's own servers, and its discovery in the local network.

use super::fit::{Fit, judge, opening};
use crate::App;
use crate::talk::{Answer, Talk, Test};

pub(super) const TCP: &[Test] = &[rustdesk];
pub(super) const UDP: &[Test] = &[rustdesk_udp];

/// Messages of RustDesk's rendezvous and relay servers: Protocol Buffers, one field that says which
/// (hbb_common, `rendezvous.proto`).
mod rendezvous {
    pub(super) const REGISTER_PEER: u32 = 6;
    pub(super) const REGISTER_PEER_RESPONSE: u32 = 7;
    pub(super) const PUNCH_HOLE_REQUEST: u32 = 8;
    pub(super) const REGISTER_PK: u32 = 15;
    pub(super) const REGISTER_PK_RESPONSE: u32 = 16;
    pub(super) const REQUEST_RELAY: u32 = 18;
    pub(super) const PEER_DISCOVERY: u32 = 22;
    pub(super) const KEY_EXCHANGE: u32 = 25;
}
use rendezvous::*;

/// RustDesk's registration over UDP.
fn rustdesk_udp(talk: &Talk<'_>) -> Answer {
    let opener = opening(talk.opener, |datagram, wire| {
        let fits = datagram.len() == wire
            && match message(datagram) {
                Some((REGISTER_PEER, fields)) => has_id(fields),
                Some((REGISTER_PK, fields)) => has_id(fields) && has_key(fields),
                Some((PEER_DISCOVERY, fields)) => {
                    let command = field(fields, 1);
                    matches!(command, Some(b"ping" | b"pong"))
                }
                _ => false,
            };
        Fit::of(fits)
    });
    let answerer = opening(talk.answerer, |datagram, wire| {
        let fits = datagram.len() == wire
            && match message(datagram) {
                Some((REGISTER_PEER_RESPONSE, fields)) => matches!(fields, [] | [0x10, 0 | 1]),
                Some((REGISTER_PK_RESPONSE, fields)) => matches!(fields, [] | [8, _, ..]),
                Some((PEER_DISCOVERY, fields)) => field(fields, 1) == Some(b"pong"),
                _ => false,
            };
        Fit::of(fits)
    });
    match (opener, answerer) {
        // four bytes alone are anything
        (Fit::Short, Fit::Good) => Answer::More,
        _ => judge(App::RustDesk, talk, [opener, answerer], &[]),
    }
}

/// RustDesk over TCP: a length in the upper bits of one to four bytes, then a message. The opener
/// asks for a peer or a relay, or the server offers its signed key.
fn rustdesk(talk: &Talk<'_>) -> Answer {
    let opener = match framed(talk.opener.bytes()) {
        Framed::Part => Fit::Short,
        Framed::Not => Fit::No,
        Framed::Frame(frame) => Fit::of(match message(frame) {
            Some((PUNCH_HOLE_REQUEST | REQUEST_RELAY, fields)) => has_id(fields),
            Some((REGISTER_PK, fields)) => has_id(fields) && has_key(fields),
            Some((KEY_EXCHANGE, fields)) => field(fields, 1).is_some_and(|key| key.len() >= 32),
            _ => false,
        }),
    };
    let answerer = match framed(talk.answerer.bytes()) {
        // a relay hands on what the other peer says
        _ if opener == Fit::Good => Fit::Short,
        Framed::Part => Fit::Short,
        Framed::Not => Fit::No,
        Framed::Frame(frame) => Fit::of(match message(frame) {
            Some((KEY_EXCHANGE, fields)) => field(fields, 1).is_some_and(|key| key.len() == 96),
            _ => false,
        }),
    };
    judge(App::RustDesk, talk, [opener, answerer], &[])
}

enum Framed<'a> {
    Not,
    Part,
    Frame(&'a [u8]),
}

/// The first frame of hbb_common's `BytesCodec`: the low two bits of the first byte say how many
/// more bytes the length has.
fn framed(bytes: &[u8]) -> Framed<'_> {
    let Some(&first) = bytes.first() else { return Framed::Part };
    let head = usize::from(first & 3) + 1;
    let Some(length) = bytes.get(..head) else { return Framed::Part };
    let length = length.iter().rev().fold(0_usize, |sum, &b| sum << 8 | usize::from(b)) >> 2;
    if !(12..=1024).contains(&length) {
        return Framed::Not;
    }
    bytes.get(head..head + length).map_or(Framed::Part, Framed::Frame)
}

/// A number of Protocol Buffers and what follows it.
fn varint(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0;
    for (n, &b) in bytes.iter().take(5).enumerate() {
        value |= u32::from(b & 0x7f) << (7 * n);
        if b < 0x80 {
            return Some((value, &bytes[n + 1..]));
        }
    }
    None
}

/// The one field that a message consists of, if its fields can be parsed to their end.
fn message(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (tag, rest) = varint(bytes)?;
    let (length, fields) = varint(rest)?;
    let whole = tag & 7 == 2 && length as usize == fields.len();
    (whole && are_fields(fields)).then_some((tag >> 3, fields))
}

/// The next field with bytes, and what follows it; numbers are passed over. The bytes are empty at
/// the end.
fn next_field(mut fields: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    while !fields.is_empty() {
        let (tag, rest) = varint(fields)?;
        match tag & 7 {
            0 => fields = varint_end(rest)?,
            2 => {
                let (length, rest) = varint(rest)?;
                let (data, rest) = rest.split_at_checked(length as usize)?;
                return Some((tag >> 3, data, rest));
            }
            _ => return None,
        }
    }
    Some((0, fields, fields))
}

/// Whether these are fields up to the end.
fn are_fields(mut fields: &[u8]) -> bool {
    while !fields.is_empty() {
        match next_field(fields) {
            Some((_, _, rest)) => fields = rest,
            None => return false,
        }
    }
    true
}

/// Behind a number of up to ten bytes.
fn varint_end(bytes: &[u8]) -> Option<&[u8]> {
    let at = bytes.iter().take(10).position(|&b| b < 0x80)?;
    Some(&bytes[at + 1..])
}

fn field(mut fields: &[u8], number: u32) -> Option<&[u8]> {
    while !fields.is_empty() {
        let (found, data, rest) = next_field(fields)?;
        if found == number {
            return Some(data);
        }
        fields = rest;
    }
    None
}

/// Peers are named by nine digits, or by a name that their owner chose.
fn has_id(fields: &[u8]) -> bool {
    field(fields, 1).is_some_and(|id| {
        (6..=64).contains(&id.len())
            && id.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
    })
}

/// Public keys have 32 bytes.
fn has_key(fields: &[u8]) -> bool {
    field(fields, 3).is_some_and(|key| key.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, tcp, udp};
    use super::*;

    /// A message of one field: number, then its fields.
    fn rendezvous(number: u32, fields: &[u8]) -> Vec<u8> {
        let tag = number << 3 | 2;
        let mut bytes = if tag < 0x80 { vec![tag as u8] } else { vec![tag as u8 | 0x80, 1] };
        bytes.push(fields.len() as u8);
        bytes.extend_from_slice(fields);
        bytes
    }

    #[test]
    fn rustdesk_registers_and_asks() {
        let peer = rendezvous(REGISTER_PEER, b"\x0a\x09123456789\x10\x05");
        let response = rendezvous(REGISTER_PEER_RESPONSE, b"\x10\x01");
        assert_eq!(udp(21116, &[(Opener, &peer), (Answerer, &response)]), App::RustDesk);
        assert_eq!(udp(21116, &[(Opener, &peer)]), App::RustDesk);
        assert_eq!(udp(21116, &[(Answerer, &response)]), App::Unknown);
        assert_eq!(udp(21116, &[(Opener, &peer[..9])]), App::Unknown);
        let key = [b"\x0a\x09123456789\x12\x04abcd\x1a\x20".to_vec(), vec![9; 32]].concat();
        assert_eq!(udp(21116, &[(Opener, &rendezvous(REGISTER_PK, &key))]), App::RustDesk);
        let ping = rendezvous(PEER_DISCOVERY, b"\x0a\x04ping\x12\x02ab");
        assert_eq!(udp(21119, &[(Opener, &ping)]), App::RustDesk);
        let framed = |message: Vec<u8>| {
            let length = (message.len() as u16) << 2 | u16::from(message.len() > 63);
            let mut bytes = length.to_le_bytes()[..if message.len() > 63 { 2 } else { 1 }].to_vec();
            bytes.extend_from_slice(&message);
            bytes
        };
        let relay = framed(rendezvous(REQUEST_RELAY, b"\x0a\x09123456789\x12\x04uuid"));
        assert_eq!(tcp(21117, &[(Opener, &relay)]), App::RustDesk);
        let offer = framed(rendezvous(KEY_EXCHANGE, &[b"\x0a\x60".to_vec(), vec![5; 96]].concat()));
        assert_eq!(tcp(21116, &[(Answerer, &offer)]), App::RustDesk);
        assert_eq!(tcp(21117, &[(Opener, &relay[..20])]), App::Unknown);
    }
}
