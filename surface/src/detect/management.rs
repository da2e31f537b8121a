//! Managing devices: SNMP (RFC 1157, 3416, 3412), syslog (RFC 3164, 5424, 6587), TFTP (RFC 1350,
//! 2347), IPMI over RMCP, CAPWAP (RFC 5415), NetFlow (RFC 3954) with IPFIX (RFC 7011), and Cisco
//! Smart Install.

use std::cmp::Ordering;

use super::ber::{inside, tag};
use super::fit::{Fit, every, first, judge, stream};
use super::read::{Parsed, Reader, Stop, is_text, need};
use crate::App;
use crate::talk::{Answer, Said, Talk, Test};

pub(super) const UDP: &[Test] = &[snmp, syslog, tftp, ipmi, capwap, netflow];
pub(super) const TCP: &[Test] = &[syslog_stream, smart_install];

/// Tags of the PDUs that are sent unasked (RFC 3416 section 3).
const SNMP_ASKS: &[u8] = &[0xa0, 0xa1, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7];
/// And of those that answer: Response, Report.
const SNMP_TELLS: &[u8] = &[0xa2, 0xa8];

fn snmp(talk: &Talk<'_>) -> Answer {
    let ends = [
        first(&talk.opener, |reader, wire| snmp_message(reader, wire, SNMP_ASKS)),
        first(&talk.answerer, |reader, wire| snmp_message(reader, wire, SNMP_TELLS)),
    ];
    judge(App::Snmp, talk, ends, &[161, 162])
}

/// Version and community, or version 3's header; lengths that agree to the end.
fn snmp_message(reader: &mut Reader<'_>, wire: usize, pdus: &[u8]) -> Parsed {
    let length = reader.ber_open(tag::SEQUENCE)?;
    need(reader.at() + length == wire)?;
    let version = reader.ber_number(tag::INTEGER)?;
    if version == 3 {
        return snmp_v3(reader, pdus);
    }
    need(version <= 1)?;
    reader.ber(tag::OCTETS)?;
    let pdu = reader.u8()?;
    need(pdus.contains(&pdu))?;
    let length = reader.ber_length()?;
    need(reader.at() + length == wire)?;
    if pdu == 0xa4 {
        // version 1's trap: enterprise, agent's address
        reader.ber(tag::OID)?;
        need(reader.ber(0x40)?.len() == 4)?;
    } else {
        reader.ber_integer()?;
        reader.ber_integer()?;
        reader.ber_integer()?;
        reader.ber_open(tag::SEQUENCE)?;
    }
    Ok(Fit::Alone)
}

/// Identifier, largest size, flags, security model; then the model's parameters (RFC 3412 section
/// 6).
fn snmp_v3(reader: &mut Reader<'_>, pdus: &[u8]) -> Parsed {
    let header = reader.ber(tag::SEQUENCE)?;
    let flags = inside(header, |reader| {
        reader.ber_integer()?;
        reader.ber_integer()?;
        let flags = reader.ber(tag::OCTETS)?;
        reader.ber_integer()?;
        flags.first().copied().ok_or(Stop::No)
    })?;
    reader.ber(tag::OCTETS)?;
    if flags & 2 == 0 {
        reader.ber_open(tag::SEQUENCE)?;
        reader.ber(tag::OCTETS)?;
        reader.ber(tag::OCTETS)?;
        need(pdus.contains(&reader.u8()?))?;
    } else {
        // encrypted: either end may have said it
        reader.ber(tag::OCTETS)?;
    }
    Ok(Fit::Alone)
}

fn syslog(talk: &Talk<'_>) -> Answer {
    let opener = every(&talk.opener, |reader, _| syslog_line(reader));
    // nobody answers; the same pair may log both ways
    let answerer = every(&talk.answerer, |reader, _| syslog_line(reader));
    judge(App::Syslog, talk, [opener, answerer], &[514])
}

/// `<priority>`, then a version and a time, or a month and a day, or anything (RFC 3164 section
/// 4.3.3).
fn syslog_line(reader: &mut Reader<'_>) -> Parsed {
    reader.literal(b"<")?;
    let digits = reader.until(b'>', 4)?;
    need(!digits.is_empty() && digits.iter().all(u8::is_ascii_digit))?;
    let priority = digits.iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    need(priority <= 191 && (digits.len() == 1 || digits.first() != Some(&b'0')))?;
    let rest = reader.rest();
    let (&begin, line) = rest.split_first().ok_or(Stop::Short)?;
    // some end it like a string in C
    let head = rest.get(..rest.len().min(64)).unwrap_or_default();
    let head = head.strip_suffix(&[0]).unwrap_or(head);
    need(is_text(head))?;
    if begin == b'1' && line.first().is_none_or(|&byte| byte == b' ') {
        // version 1, and a time or "-"
        let (_, time) = line.split_first().ok_or(Stop::Short)?;
        let time = time.first().ok_or(Stop::Short)?;
        need(time.is_ascii_digit() || *time == b'-')?;
        return Ok(Fit::Good);
    }
    if rest.len() < 4 {
        return Err(Stop::Short);
    }
    let months = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let is_month = |name: &[u8]| months.chunks(3).any(|month| month == name);
    let month = rest.get(..3).is_some_and(is_month) && rest.get(3) == Some(&b' ');
    Ok(if month { Fit::Good } else { Fit::Weak })
}

/// Lines, or each message behind its length in digits (RFC 6587 section 3.4).
fn syslog_stream(talk: &Talk<'_>) -> Answer {
    let opener = stream(&talk.opener, |reader| {
        if reader.rest().first().is_some_and(u8::is_ascii_digit) {
            let digits = reader.until(b' ', 6)?;
            need(digits.iter().all(u8::is_ascii_digit))?;
        }
        syslog_line(reader)
    });
    // a server that says nothing
    let answerer = if talk.answerer.is_empty() { Fit::Short } else { Fit::No };
    judge(App::Syslog, talk, [opener, answerer], &[514, 601, 1514])
}

/// A request goes to port 69 and is answered from another port, so that the file travels in a
/// conversation of its own: it is known by its numbers.
fn tftp(talk: &Talk<'_>) -> Answer {
    let opener = first(&talk.opener, tftp_request);
    if opener != Fit::No && opener != Fit::Short {
        // on some servers the answer comes from where the request went
        return judge(App::Tftp, talk, [opener, Fit::Short], &[69]);
    }
    let ends = [&talk.opener, &talk.answerer].map(tftp_blocks);
    if ends == [Fit::Weak; 2] {
        // one sends, the other acknowledges
        let kind = |said: &Said<'_>| said.bytes().get(1).copied();
        let differ = kind(&talk.opener) != kind(&talk.answerer);
        return if differ { Answer::Sure(App::Tftp) } else { Answer::No };
    }
    judge(App::Tftp, talk, ends, &[69])
}

/// Read or write, a name, a mode, and pairs of an option and its value, to the end.
fn tftp_request(reader: &mut Reader<'_>, wire: usize) -> Parsed {
    need(matches!(reader.be16()?, 1 | 2))?;
    let name = reader.until(0, 512)?;
    need(!name.is_empty() && is_text(name))?;
    let mode = reader.until(0, 9)?;
    need([&b"netascii"[..], b"octet", b"mail"].iter().any(|one| one.eq_ignore_ascii_case(mode)))?;
    tftp_options(reader, wire)?;
    Ok(Fit::Alone)
}

fn tftp_options(reader: &mut Reader<'_>, wire: usize) -> Parsed<usize> {
    let mut count = 0;
    while reader.at() < wire && count < 16 {
        let (option, value) = (reader.until(0, 64)?, reader.until(0, 64)?);
        need(!option.is_empty() && is_text(option) && is_text(value))?;
        count += 1;
    }
    need(reader.at() == wire)?;
    Ok(count)
}

/// One end sends blocks that count up by one, all but the last of one size; the other acknowledges
/// them.
fn tftp_blocks(said: &Said<'_>) -> Fit {
    let (mut fit, mut previous) = (Fit::Short, None);
    for (bytes, wire) in said.datagrams() {
        let mut reader = Reader::new(bytes);
        let Ok(kind) = reader.be16() else { return Fit::No };
        let Ok(number) = reader.be16() else { return Fit::No };
        match (kind, wire) {
            (3, 4..) | (4, 4) => {
                let follows = match previous {
                    None => number <= 1,
                    Some((last_kind, last, last_wire)) => {
                        let again = number == last && wire == last_wire;
                        let next = number == last + 1 && (kind == 4 || wire <= last_wire);
                        last_kind == kind && (again || next)
                    }
                };
                if !follows {
                    return Fit::No;
                }
                let counts = previous.is_some_and(|(_, last, _)| number == last + 1);
                let blocks = counts && (kind == 4 || matches!(previous, Some((_, _, 516 | 1432))));
                fit = fit.max(if blocks { Fit::Good } else { Fit::Weak });
                previous = Some((kind, number, wire));
            }
            // an error ends it: a code and a text
            (5, 6..) if number <= 8 => {
                let text = bytes.get(4..).and_then(|text| text.strip_suffix(&[0]));
                if !text.is_some_and(|text| !text.is_empty() && is_text(text)) {
                    return Fit::No;
                }
                fit = fit.max(Fit::Good);
            }
            (6, _) => {
                let mut reader = Reader::new(bytes);
                let options = reader.take(2).and_then(|_| tftp_options(&mut reader, wire));
                if !matches!(options, Ok(1..)) {
                    return Fit::No;
                }
                fit = Fit::Alone;
            }
            _ => return Fit::No,
        }
    }
    fit
}

/// RMCP (ASF 2.0 section 3.2.4.2): version 6, 0, sequence, class. IPMI's session header follows,
/// with the length of its message (IPMI 2.0 section 13.6), or ASF's enterprise number.
fn ipmi(talk: &Talk<'_>) -> Answer {
    let parse = |reader: &mut Reader<'_>, wire: usize| {
        reader.literal(&[6, 0])?;
        reader.u8()?;
        match reader.u8()? & 0x9f {
            // an acknowledgement is the header alone
            0x86 | 0x87 if wire == 4 => return Ok(Fit::Weak),
            6 => {
                reader.literal(&[0, 0, 0x11, 0xbe])?;
                return Ok(Fit::Alone);
            }
            7 => {}
            _ => return Err(Stop::No),
        }
        let kind = reader.u8()?;
        if kind == 6 {
            // RMCP+: payload type, session, sequence, length
            reader.take(9)?;
            let length = usize::from(reader.le16()?);
            need(reader.at() + length <= wire)?;
            return Ok(Fit::Good);
        }
        need(matches!(kind, 0 | 1 | 2 | 4 | 5))?;
        reader.take(if kind == 0 { 8 } else { 24 })?;
        let length = usize::from(reader.u8()?);
        // one byte of padding for some lengths (section 13.6, legacy pad)
        need((reader.at() + length..=reader.at() + length + 1).contains(&wire))?;
        Ok(Fit::Good)
    };
    let ends = [first(&talk.opener, parse), first(&talk.answerer, parse)];
    judge(App::Ipmi, talk, ends, &[623, 664])
}

/// The preamble for DTLS (RFC 5415 section 4.2) with a record behind it, or a clear control header
/// with a message type of section 4.5.1.1.
fn capwap(talk: &Talk<'_>) -> Answer {
    let parse = |reader: &mut Reader<'_>, wire: usize| {
        let preamble = reader.u8()?;
        if preamble == 1 {
            reader.literal(&[0, 0, 0])?;
            need(matches!(reader.u8()?, 20..=23))?;
            reader.literal(&[0xfe])?;
            need(matches!(reader.u8()?, 0xff | 0xfd))?;
            return Ok(Fit::Good);
        }
        need(preamble == 0)?;
        // header length in words, radio, binding, flags, fragment
        let second = reader.u8()?;
        let words = usize::from(second >> 3);
        need((2..=8).contains(&words))?;
        // binding 1 is 802.11; fragments have three bits to spare
        let binding = reader.peek().ok_or(Stop::Short)? >> 1 & 0x1f;
        reader.take(words * 4 - 2)?;
        Ok(match capwap_control(reader, wire) {
            Ok(()) => Fit::Good,
            Err(_) if binding == 1 && wire > words * 4 => Fit::Weak,
            Err(stop) => return Err(stop),
        })
    };
    let ends = [first(&talk.opener, parse), first(&talk.answerer, parse)];
    judge(App::Capwap, talk, ends, &[5246, 5247])
}

/// Type, number, length, flags, and elements to the end (RFC 5415 sections 4.5.1 and 4.6).
fn capwap_control(reader: &mut Reader<'_>, wire: usize) -> Parsed<()> {
    let (kind, _) = (reader.be32()?, reader.u8()?);
    need((1..=26).contains(&kind))?;
    let left = wire.saturating_sub(reader.at());
    let length = usize::from(reader.be16()?);
    // whether the length counts itself and the flags is read both ways
    need(reader.u8()? == 0 && length > 3 && (length..=length + 3).contains(&left))?;
    for _ in 0..64 {
        if reader.at() >= wire {
            break;
        }
        need((1..=2048).contains(&reader.be16()?))?;
        let size = usize::from(reader.be16()?);
        reader.take(size)?;
    }
    need(reader.at() == wire)
}

/// Versions 1, 5 and 7 count records of a fixed size; 9 and IPFIX are sets with lengths.
fn netflow(talk: &Talk<'_>) -> Answer {
    let parse = |reader: &mut Reader<'_>, wire: usize| {
        let (version, second) = (reader.be16()?, usize::from(reader.be16()?));
        let fixed = |header: usize, record: usize| {
            need((1..=30).contains(&second) && wire == header + second * record)?;
            Ok(Fit::Good)
        };
        match version {
            1 => return fixed(16, 52).map(|_| Fit::Weak),
            5 => return fixed(24, 48),
            7 => return fixed(24, 52),
            9 => reader.take(16).map(|_| ())?,
            10 => {
                need(second == wire)?;
                reader.take(12).map(|_| ())?;
            }
            _ => return Err(Stop::No),
        }
        for _ in 0..64 {
            if reader.at() >= wire {
                break;
            }
            let (id, length) = (reader.be16()?, usize::from(reader.be16()?));
            need(
                length >= 4
                    && if version == 9 {
                        id <= 1 || id >= 256
                    } else {
                        matches!(id, 2 | 3 | 256..)
                    },
            )?;
            reader.take(length - 4)?;
        }
        need(reader.at() == wire && wire > 20)?;
        Ok(Fit::Good)
    };
    // an exporter is not answered
    let answerer = if talk.answerer.is_empty() { Fit::Short } else { Fit::No };
    judge(
        App::Netflow,
        talk,
        [every(&talk.opener, parse), answerer],
        &[2055, 2056, 9995, 9996, 4739],
    )
}

/// Smart Install, by which anyone can take a switch's settings and give it others (Cisco advisory
/// cisco-sa-20170214-smi): direction (1 to the switch, 2 or more from it), version 1, kind and
/// length of what follows, each in four bytes.
fn smart_install(talk: &Talk<'_>) -> Answer {
    let parse = |reader: &mut Reader<'_>, directions: std::ops::RangeInclusive<u32>| {
        need(directions.contains(&reader.be32()?))?;
        need(reader.be32()? <= 1 && (1..=32).contains(&reader.be32()?))?;
        let length = reader.be32()? as usize;
        need((8..=4096).contains(&length))?;
        match reader.rest().len().cmp(&length) {
            Ordering::Less => Err(Stop::Short),
            Ordering::Equal => Ok(Fit::Good),
            Ordering::Greater => Ok(Fit::Weak),
        }
    };
    let ends = [
        stream(&talk.opener, |reader| parse(reader, 1..=1)),
        stream(&talk.answerer, |reader| parse(reader, 2..=8)),
    ];
    // four numbers, most of their bytes zero: one end alone must have the port besides
    match judge(App::SmartInstall, talk, ends, &[SMART_INSTALL_PORT]) {
        Answer::Likely(_) if talk.service_port != SMART_INSTALL_PORT => {
            if talk.last {
                Answer::No
            } else {
                Answer::More
            }
        }
        answer => answer,
    }
}

const SMART_INSTALL_PORT: u16 = 4786;

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, hex, tcp, udp, udp_on};
    use crate::App;

    #[test]
    fn snmp_of_every_version() {
        let get = hex("30 29 02 01 01 04 06 7075626c6963 a0 1c 02 04 12345678 02 01 00 02 01 00
            30 0e 30 0c 06 08 2b06010201010500 05 00");
        let response =
            hex("30 2c 02 01 01 04 06 7075626c6963 a2 1f 02 04 12345678 02 01 00 02 01 00
            30 11 30 0f 06 08 2b06010201010500 04 03 737731");
        assert_eq!(udp(161, &[(Opener, &get)]), App::Snmp);
        assert_eq!(udp(161, &[(Answerer, &response)]), App::Snmp);
        assert_eq!(udp(161, &[(Opener, &get), (Answerer, &response)]), App::Snmp);
        let v3 = hex("30 3b 02 01 03 30 10 02 03 008f11 02 03 00ffe3 04 01 04 02 01 03
            04 10 30 0e 04 00 02 01 00 02 01 00 04 00 04 00 04 00
            30 12 04 00 04 00 a0 0c 02 02 6f08 02 01 00 02 01 00 30 00");
        assert_eq!(udp(161, &[(Opener, &v3)]), App::Snmp);
        // a length that does not reach the end; a version that does not exist
        assert_eq!(udp(161, &[(Opener, &get[..get.len() - 1])]), App::Unknown);
        let mut other = get;
        other[4] = 9;
        assert_eq!(udp(161, &[(Opener, &other)]), App::Unknown);
    }

    #[test]
    fn syslog_by_its_time_or_port() {
        assert_eq!(udp(514, &[(Opener, b"<34>Oct 11 22:14:15 gw su: failed")]), App::Syslog);
        assert_eq!(udp(514, &[(Opener, b"<34>Oct 11 22:14:15 gw su: failed\0")]), App::Syslog);
        let line = b"<165>1 2003-10-11T22:14:15.003Z host app - ID47 - text";
        assert_eq!(udp(514, &[(Opener, line)]), App::Syslog);
        assert_eq!(tcp(514, &[(Opener, line)]), App::Syslog);
        assert_eq!(tcp(601, &[(Opener, b"33 <34>Oct 11 22:14:15 gw su: failed")]), App::Syslog);
        assert_eq!(udp_on(514, &[(Opener, b"<13>id=firewall time=now")]), App::Syslog);
        assert_eq!(udp_on(2299, &[(Opener, b"<13>id=firewall time=now")]), App::Unknown);
        assert_eq!(udp(514, &[(Opener, b"<192>Oct 11 22:14:15 gw su: failed")]), App::Unknown);
        assert_eq!(tcp(514, &[(Opener, b"<html>")]), App::Unknown);
    }

    #[test]
    fn tftp_request_and_transfer() {
        let read = b"\0\x01running-config\0octet\0blksize\x001432\0";
        assert_eq!(udp(69, &[(Opener, read)]), App::Tftp);
        let mut block = vec![0, 3, 0, 1];
        block.resize(516, b'x');
        let mut next = block.clone();
        next[3] = 2;
        let (first_ack, second_ack) = ([0, 4, 0, 1], [0, 4, 0, 2]);
        let transfer: [(_, &[u8]); 4] =
            [(Opener, &block), (Answerer, &first_ack), (Opener, &next), (Answerer, &second_ack)];
        assert_eq!(udp(50_069, &transfer), App::Tftp);
        assert_eq!(udp(50_069, &[(Opener, &block), (Opener, &next)]), App::Tftp);
        assert_eq!(udp(50_069, &[(Answerer, &first_ack), (Answerer, &second_ack)]), App::Tftp);
        assert_eq!(udp(50_069, &[(Opener, &[0, 6, 98, 0, 49, 0])]), App::Tftp);
        assert_eq!(udp(50_069, &[(Opener, &first_ack)]), App::Unknown);
        assert_eq!(udp(50_069, &[(Opener, &next), (Opener, &block)]), App::Unknown);
        assert_eq!(udp(69, &[(Opener, b"\0\x01running-config\0utf8\0")]), App::Unknown);
    }

    #[test]
    fn ipmi_and_capwap() {
        let ping = hex("06 00 ff 06 000011be 80 00 00 00");
        assert_eq!(udp(623, &[(Opener, &ping)]), App::Ipmi);
        let caps = hex("06 00 ff 07 00 00000000 00000000 09 2018c88100388e04b5");
        assert_eq!(udp(623, &[(Opener, &caps)]), App::Ipmi);
        assert_eq!(udp(623, &[(Opener, &caps[..caps.len() - 2])]), App::Unknown);
        let hello = hex("01 00 00 00 16 feff 0000 000000000000 0036 01");
        assert_eq!(udp(5246, &[(Opener, &hello)]), App::Capwap);
        let discovery = hex("00 10 02 00 00000000 00000001 00 0008 00 0014 0001 00");
        assert_eq!(udp(5246, &[(Opener, &discovery)]), App::Capwap);
    }

    #[test]
    fn netflow_and_ipfix() {
        let mut five = hex("0005 0002");
        five.resize(24 + 96, 1);
        assert_eq!(udp(2055, &[(Opener, &five)]), App::Netflow);
        five.push(0);
        assert_eq!(udp(2055, &[(Opener, &five)]), App::Unknown);
        let nine =
            hex("0009 0001 00000001 5c000000 00000001 00000000 0000 000c 0100 0001 0008 0004");
        assert_eq!(udp(2055, &[(Opener, &nine)]), App::Netflow);
        let ipfix = hex("000a 001c 5c000000 00000001 00000000 0002 000c 0100 0001 0008 0004");
        assert_eq!(udp(4739, &[(Opener, &ipfix)]), App::Netflow);
        assert_eq!(udp_on(4739, &[(Opener, &ipfix[..24])]), App::Unknown);
    }

    #[test]
    fn smart_install() {
        // whether a switch has it, and its answer
        let ask = hex("00000001 00000001 00000004 00000008 00000001 00000000");
        let tell = hex("00000004 00000000 00000003 00000008 00000001 00000000");
        let both = [(Opener, &ask[..]), (Answerer, &tell[..])];
        assert_eq!(tcp(4786, &both), App::SmartInstall);
        let on = |port: u16, who, bytes: &[u8]| {
            super::super::testing::tcp_path(port, &[(who, bytes)]).last().copied()
        };
        assert_eq!(on(4786, Opener, &ask), Some(App::SmartInstall));
        assert_eq!(on(4786, Answerer, &tell), Some(App::SmartInstall));
        // one end alone on another port; a length that is none; Firebird's beginning
        assert_eq!((on(2299, Opener, &ask), on(2299, Answerer, &tell)), (None, None));
        let bad = hex("00000001 00000001 00000004 00000000 00000001 00000000");
        assert_eq!(on(4786, Opener, &bad), None);
        let firebird = hex("00000001 00000013 00000003 00000001 00000000");
        assert_eq!(on(4786, Opener, &firebird), None);
    }
}
