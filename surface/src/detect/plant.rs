//! Machines and their keepers: Modbus, DNP3, USB over IP, Zabbix.

use super::fit::{Fit, judge, opening, starts};
use super::read::u8_at;
use crate::App;
use crate::bytes::{be16, le16};
use crate::talk::{Answer, Talk, Test};

pub(super) const TCP: &[Test] = &[usbip, zabbix, dnp3, modbus];
pub(super) const UDP: &[Test] = &[dnp3_udp];

/// USB over IP (Linux kernel documentation, "USB/IP protocol"): a version in binary-coded decimal,
/// a command, and a status of zero.
fn usbip(talk: &Talk<'_>) -> Answer {
    let operation = |bytes: &[u8], upper: u8| match bytes {
        [] | [1] => Fit::Short,
        [1, 0..=0x19, rest @ ..] => match starts(rest, &[upper, 5, 0, 0, 0, 0]) {
            Fit::No => match starts(rest, &[upper, 3, 0, 0, 0, 0]) {
                // refused: the device is not there, or in use
                Fit::No if upper == 0 => starts(rest, &[0, 3, 0, 0, 0, 1]),
                fit => fit,
            },
            fit => fit,
        },
        _ => Fit::No,
    };
    judge(
        App::Usbip,
        talk,
        [operation(talk.opener.bytes(), 0x80), operation(talk.answerer.bytes(), 0)],
        &[],
    )
}

/// Zabbix: `ZBXD`, flags, lengths (Zabbix manual, "Header"). Old servers ask agents by a line of
/// text.
fn zabbix(talk: &Talk<'_>) -> Answer {
    let header = |bytes: &[u8]| match starts(bytes, b"ZBXD") {
        Fit::Good => match u8_at(bytes, 4) {
            None => Fit::Short,
            Some(1..=7) => Fit::Alone,
            Some(_) => Fit::No,
        },
        fit => fit,
    };
    let opener = match header(talk.opener.bytes()) {
        Fit::No if talk.opener.bytes().iter().take(64).all(|b| b.is_ascii() && *b != 0) => {
            Fit::Short
        }
        fit => fit,
    };
    judge(App::Zabbix, talk, [opener, header(talk.answerer.bytes())], &[])
}

/// DNP3 (IEEE 1815 section 9.2): two start bytes, a length, control, two addresses, and their
/// checksum.
fn dnp3_header(bytes: &[u8]) -> Fit {
    let Some(header) = bytes.first_chunk::<10>() else { return starts(bytes, &[0x05, 0x64]) };
    let fits = header[..2] == [0x05, 0x64]
        && header[2] >= 5
        && le16(header, 8) == Some(dnp3_checksum(&header[..8]));
    if fits { Fit::Alone } else { Fit::No }
}

/// CRC-16 with the polynomial 0x3d65, low bit first, inverted.
fn dnp3_checksum(bytes: &[u8]) -> u16 {
    !bytes.iter().fold(0, |sum, &byte| {
        (0..8)
            .fold(sum ^ u16::from(byte), |sum, _| sum >> 1 ^ if sum & 1 == 1 { 0xa6bc } else { 0 })
    })
}

fn dnp3(talk: &Talk<'_>) -> Answer {
    judge(
        App::Dnp3,
        talk,
        [dnp3_header(talk.opener.bytes()), dnp3_header(talk.answerer.bytes())],
        &[],
    )
}

fn dnp3_udp(talk: &Talk<'_>) -> Answer {
    let datagram = |bytes: &[u8], _| match dnp3_header(bytes) {
        Fit::Short => Fit::No,
        fit => fit,
    };
    judge(App::Dnp3, talk, [opening(talk.opener, datagram), opening(talk.answerer, datagram)], &[])
}

const MODBUS_PORT: u16 = 502;
/// Transaction, protocol, length: MBAP without the unit.
const MBAP: usize = 6;
/// Modbus requests looked at of one end.
const REQUESTS_MAX: usize = 4;

/// Modbus TCP (Modbus Messaging on TCP/IP Implementation Guide, section 3.1.3): transaction,
/// protocol 0, length, unit, function. Both ends of a transaction, or several of one end.
fn modbus(talk: &Talk<'_>) -> Answer {
    let (opener, answerer) = (talk.opener.bytes(), talk.answerer.bytes());
    let counts = (requests(opener, false), requests(answerer, true));
    match counts {
        (None, _) | (_, None) => Answer::No,
        (Some(1..), Some(1..)) => {
            let transaction = opener[..2] == answerer[..2] && opener[6] == answerer[6];
            if transaction && opener[7] == answerer[7] & 0x7f {
                Answer::Sure(App::Modbus)
            } else {
                Answer::No
            }
        }
        (Some(a), Some(b)) if a + b >= 3 => Answer::Likely(App::Modbus),
        (Some(a), Some(b)) if a + b > 0 && talk.service_port == MODBUS_PORT => {
            Answer::Likely(App::Modbus)
        }
        _ => Answer::More,
    }
}

/// Messages that lie in a row; `None` if they do not.
fn requests(bytes: &[u8], answers: bool) -> Option<usize> {
    let (mut at, mut count) = (0, 0);
    while count < REQUESTS_MAX {
        let rest = bytes.get(at..).unwrap_or_default();
        let (Some(protocol), Some(length)) = (be16(rest, 2), be16(rest, 4)) else {
            let begins = rest.iter().skip(2).take(2).all(|&b| b == 0);
            return begins.then_some(count);
        };
        if protocol != 0 || !(2..=254).contains(&length) {
            return None;
        }
        if let Some(&function) = rest.get(7) {
            let known = match (function & 0x7f, answers) {
                // addresses and counts, or an address and a value
                (1..=6, false) => length == 6,
                (1..=4, true) if function < 0x80 => length >= 4,
                (5 | 6, true) if function < 0x80 => length == 6,
                // 90 is Schneider's own
                (90, _) => true,
                (7 | 11 | 12 | 17, false) => length == 2,
                (1..=8 | 11 | 12 | 15..=17 | 20..=24 | 43, true) => function < 0x80 || length == 3,
                (8 | 15 | 16 | 20..=24 | 43, false) => true,
                _ => false,
            };
            if !known || function >= 0x80 && !answers {
                return None;
            }
        }
        let end = MBAP + usize::from(length);
        if rest.len() < end {
            return Some(count);
        }
        count += 1;
        at += end;
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, hex, tcp, tcp_path, udp};
    use super::*;

    #[test]
    fn usb_zabbix_and_dnp3() {
        let (list, devices) = (hex("0111800500000000"), hex("011100050000000000000001"));
        assert_eq!(tcp(3240, &[(Opener, &list), (Answerer, &devices)]), App::Usbip);
        assert_eq!(tcp(3240, &[(Opener, &list)]), App::Usbip);
        assert_eq!(tcp(3240, &[(Answerer, &devices)]), App::Usbip);
        assert_eq!(tcp(3240, &[(Opener, &hex("0111800700000000"))]), App::Unknown);
        let header = b"ZBXD\x01\x05\0\0\0\0\0\0\0hello";
        assert_eq!(tcp(10051, &[(Opener, header), (Answerer, header)]), App::Zabbix);
        assert_eq!(tcp(10050, &[(Opener, b"agent.ping\n"), (Answerer, header)]), App::Zabbix);
        assert_eq!(tcp(10050, &[(Opener, b"ZBXD\x40")]), App::Unknown);
        // IEEE 1815's own: reset of the link of 1 by 1024
        let link = hex("056405c001000004e921");
        assert_eq!(tcp(20000, &[(Opener, &link)]), App::Dnp3);
        assert_eq!(tcp(20000, &[(Answerer, &link)]), App::Dnp3);
        assert_eq!(udp(20000, &[(Opener, &link)]), App::Dnp3);
        assert_eq!(tcp(20000, &[(Opener, &hex("056405c001000004e922"))]), App::Unknown);
    }

    #[test]
    fn modbus_needs_two_things() {
        let request = hex("000100000006 01 03 006b 0003");
        let answer = hex("000100000009 01 03 06 022b00000064");
        let error = hex("000100000003 01 83 02");
        assert_eq!(tcp(502, &[(Opener, &request), (Answerer, &answer)]), App::Modbus);
        assert_eq!(tcp(502, &[(Opener, &request), (Answerer, &error)]), App::Modbus);
        assert_eq!(tcp(1502, &[(Opener, &request)]), App::Unknown);
        assert_eq!(tcp_path(502, &[(Opener, &request)]), [App::Modbus]);
        assert_eq!(tcp(1502, &[(Opener, &request.repeat(3))]), App::Modbus);
        assert_eq!(tcp(1502, &[(Answerer, &answer.repeat(3))]), App::Modbus);
        let other = hex("000200000009 01 03 06 022b00000064");
        assert_eq!(tcp(502, &[(Opener, &request), (Answerer, &other)]), App::Unknown);
    }
}
