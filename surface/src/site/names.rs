//! What messages of DNS and its kin say: the name asked for, and the records that answer.

use crate::bytes::be16;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arrayvec::ArrayVec;

/// Records read of a message.
const RECORDS_MAX: usize = 24;
/// Jumps followed in a compressed name (RFC 1035 section 4.1.4); each leads backwards.
const JUMPS_MAX: usize = 16;
/// Bytes of a name (RFC 1035 section 2.3.4).
const NAME_MAX: usize = 255;
/// Bytes that most names fit into.
const USUAL: usize = 48;
/// Length of a NetBIOS name's first label (RFC 1001 section 14.1).
const NETBIOS_LABEL: usize = 32;

/// Types of records (IANA "DNS Resource Record Types").
pub(super) mod rtype {
    pub(in crate::site) const A: u16 = 1;
    pub(in crate::site) const CNAME: u16 = 5;
    pub(in crate::site) const PTR: u16 = 12;
    pub(in crate::site) const AAAA: u16 = 28;
    /// NB of NetBIOS (RFC 1002 section 4.2.1.3).
    pub(in crate::site) const NB: u16 = 32;
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The name it is of, in lower case.
    pub(super) name: String,
    pub(super) rtype: u16,
    pub(super) data: RecordData,
}

/// What it says, of the types looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RecordData {
    Address(IpAddr),
    Name(String),
    Other,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) response: bool,
    pub(super) opcode: u8,
    /// Response code 0: no error.
    pub(super) fine: bool,
    /// Name and type of the first question.
    pub(super) question: Option<(String, u16)>,
    /// Answers, then the additional records.
    pub(super) records: ArrayVec<Record, RECORDS_MAX>,
}

/// Reads a message of DNS, multicast DNS, LLMNR (RFC 1035 section 4.1) or NetBIOS's name service
/// (RFC 1002 section 4.2), as far as it goes.
pub(super) fn names(bytes: &[u8]) -> Option<Names> {
    let flags = be16(bytes, 2)?;
    let counts = [be16(bytes, 4)?, be16(bytes, 6)?, be16(bytes, 8)?, be16(bytes, 10)?];
    let mut out = Names {
        response: flags & 0x8000 != 0,
        opcode: (flags >> 11 & 0xf) as u8,
        fine: flags & 0xf == 0,
        question: None,
        records: ArrayVec::new(),
    };
    let mut at = 12;
    for n in 0..counts[0].min(RECORDS_MAX as u16) {
        let Some(name) = name(bytes, &mut at) else { return Some(out) };
        let Some(kind) = be16(bytes, at) else { return Some(out) };
        at += 4;
        if n == 0 {
            out.question = Some((name, kind));
        }
    }
    let [_, answers, authorities, additional] = counts.map(usize::from);
    for n in 0..answers + authorities + additional {
        let Some(record) = record(bytes, &mut at) else { break };
        if (answers..answers + authorities).contains(&n) {
            continue; // says who knows, not what
        }
        if out.records.try_push(record).is_err() {
            break;
        }
    }
    Some(out)
}

fn record(bytes: &[u8], at: &mut usize) -> Option<Record> {
    let name = name(bytes, at)?;
    let rtype = be16(bytes, *at)?;
    let length = usize::from(be16(bytes, *at + 8)?);
    let begin = *at + 10;
    let data = bytes.get(begin..begin + length)?;
    *at = begin + length;
    let data = match rtype {
        rtype::A => {
            data.first_chunk::<4>().map(|ip| RecordData::Address(Ipv4Addr::from(*ip).into()))
        }
        rtype::AAAA => {
            data.first_chunk::<16>().map(|ip| RecordData::Address(Ipv6Addr::from(*ip).into()))
        }
        // flags, then an address
        rtype::NB => data
            .get(2..)
            .and_then(<[u8]>::first_chunk::<4>)
            .map(|ip| RecordData::Address(Ipv4Addr::from(*ip).into())),
        rtype::PTR | rtype::CNAME => self::name(bytes, &mut begin.clone()).map(RecordData::Name),
        _ => None,
    };
    Some(Record { name, rtype, data: data.unwrap_or(RecordData::Other) })
}

/// A name in lower case, without what could play tricks on a terminal.
fn name(bytes: &[u8], at: &mut usize) -> Option<String> {
    let (mut out, mut here, mut jumps) = (String::with_capacity(USUAL), *at, 0);
    let mut end = None;
    loop {
        let length = usize::from(*bytes.get(here)?);
        match length >> 6 {
            0 if length == 0 => {
                *at = end.unwrap_or(here + 1);
                return Some(out);
            }
            0 => {
                let label = bytes.get(here + 1..here + 1 + length)?;
                if !out.is_empty() {
                    out.push('.');
                }
                out.extend(label.iter().map(|&byte| match byte {
                    b'!'..=b'~' => char::from(byte.to_ascii_lowercase()),
                    _ => '?',
                }));
                if out.len() > NAME_MAX {
                    return None;
                }
                here += 1 + length;
            }
            3 => {
                let to = usize::from(be16(bytes, here)? & 0x3fff);
                end.get_or_insert(here + 2);
                jumps += 1;
                if to >= here || jumps > JUMPS_MAX {
                    return None;
                }
                here = to;
            }
            _ => return None,
        }
    }
}

/// A NetBIOS name and its last byte, which says what it is of (RFC 1001 section 14.1); `encoded` is
/// as [`names`] gives it.
pub(super) fn netbios(encoded: &str) -> Option<(String, u8)> {
    let label = encoded.split('.').next()?.as_bytes();
    if label.len() != NETBIOS_LABEL {
        return None;
    }
    let mut bytes = [0; NETBIOS_LABEL / 2];
    for (byte, pair) in bytes.iter_mut().zip(label.chunks_exact(2)) {
        let half = |letter: u8| letter.checked_sub(b'a').filter(|&half| half < 16);
        *byte = half(pair[0])? << 4 | half(pair[1])?;
    }
    let name = bytes[..15].iter().map(|&byte| match byte {
        b' '..=b'~' => char::from(byte.to_ascii_lowercase()),
        _ => '?',
    });
    Some((name.collect::<String>().trim_end().to_owned(), bytes[15]))
}

#[cfg(test)]
pub(super) mod testing {
    /// A message of DNS's form: flags, the name asked for, and addresses that answer.
    pub(in crate::site) fn message(flags: u16, name: &str, kind: u16, answer: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34];
        bytes.extend(flags.to_be_bytes());
        bytes.extend([0, 1, 0, u8::from(!answer.is_empty()), 0, 0, 0, 0]);
        for label in name.split('.') {
            bytes.push(label.len() as u8);
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        if !answer.is_empty() {
            bytes.extend([0xc0, 12]);
            bytes.extend(kind.to_be_bytes());
            bytes.extend([0, 1, 0, 0, 0, 30]);
            bytes.extend((answer.len() as u16).to_be_bytes());
            bytes.extend(answer);
        }
        bytes
    }

    /// A name as NetBIOS writes it.
    pub(in crate::site) fn encoded(name: &str, last: u8) -> String {
        let mut bytes = [b' '; 16];
        bytes[..name.len()].copy_from_slice(name.to_ascii_uppercase().as_bytes());
        bytes[15] = last;
        let half = |half: u8| char::from(b'A' + half);
        bytes.iter().flat_map(|&byte| [half(byte >> 4), half(byte & 15)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{encoded, message};
    use super::*;

    #[test]
    fn an_answer_with_a_compressed_name() {
        let reply = names(&message(0x8180, "PACS.practice.lan", 1, &[192, 168, 1, 10])).unwrap();
        assert!(reply.response && reply.fine);
        assert_eq!(reply.question, Some(("pacs.practice.lan".into(), 1)));
        let address = RecordData::Address("192.168.1.10".parse().unwrap());
        assert_eq!(reply.records[0].name, "pacs.practice.lan");
        assert_eq!(reply.records[0].data, address);
    }

    #[test]
    fn names_that_lead_to_themselves_end() {
        let mut bytes = message(0x8180, "a", 1, &[1, 2, 3, 4]);
        let at = bytes.iter().position(|&byte| byte == 0xc0).unwrap();
        bytes[at + 1] = at as u8;
        assert!(names(&bytes).unwrap().records.is_empty());
        for end in 0..bytes.len() {
            let _ = names(&bytes[..end]);
        }
    }

    #[test]
    fn netbios_names_are_read_back() {
        assert_eq!(
            netbios(&encoded("FRONTDESK", 0x20).to_lowercase()),
            Some(("frontdesk".into(), 0x20))
        );
        assert_eq!(netbios("frontdesk"), None);
    }
}
