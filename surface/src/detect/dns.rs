//! Names: DNS (RFC 1035), multicast DNS (RFC 6762), LLMNR (RFC 4795) and NetBIOS (RFC 1002).
//!
//! The first three have one message format; ports and a few bits tell them apart.

use super::fit::{Fit, first, judge, stream};
use super::read::{Parsed, Reader, Stop, need};
use crate::App;
use crate::talk::{Answer, Said, Talk, Test};

pub(super) const UDP: &[Test] = &[netbios_names, netbios_datagrams, datagrams];
pub(super) const TCP: &[Test] = &[connection];

/// Ports where a weak pattern is taken for DNS.
const PORTS: &[u16] = &[53, MDNS_PORT, LLMNR_PORT];
const MDNS_PORT: u16 = 5353;
const LLMNR_PORT: u16 = 5355;

/// Records read of a message.
const RECORDS_MAX: usize = 64;

/// What a message says of itself.
#[derive(Debug, Clone, Copy)]
struct Message {
    fit: Fit,
    response: bool,
    /// Has what only multicast DNS has: identifier 0 together with the unicast-response or the
    /// cache-flush bit (RFC 6762 sections 5.4 and 10.2), or a name in `local`.
    multicast: bool,
}

/// A message of `wire` bytes (RFC 1035 section 4.1). `more` says that bytes may be lacking.
fn message(reader: &mut Reader<'_>, wire: usize, more: bool) -> Parsed<Message> {
    let (id, flags) = (reader.be16()?, reader.be16()?);
    let response = flags & 0x8000 != 0;
    let opcode = flags >> 11 & 0xf;
    // a reserved bit or opcode, or a request with an error, is somebody's mistake or test
    let mut odd = !matches!(opcode, 0..=2 | 4..=6) || flags & 0x0040 != 0;
    let mut counts = [0_usize; 4];
    for count in &mut counts {
        *count = usize::from(reader.be16()?);
    }
    let [questions, answers, authorities, additional] = counts;
    let records = answers + authorities + additional;
    need(12 + questions * 5 + records * 11 <= wire)?;
    if response {
        need(questions <= 4)?;
    } else {
        // an inverse query has an answer and asks for its name (RFC 1035 section 6.4)
        odd |= flags & 0x000f != 0;
        need(questions <= 64)?;
        need(questions > 0 || (opcode == 1 && answers == 1))?;
    }
    if records + questions == 0 {
        // an error said with the header alone
        need(flags & 0x000f != 0 && wire == 12)?;
        return Ok(Message { fit: Fit::Weak, response, multicast: false });
    }
    let mut marks = Marks::default();
    for n in 0..questions.min(RECORDS_MAX) {
        question(reader, n == 0, &mut marks)?;
    }
    let rest = (0..records.min(RECORDS_MAX)).try_for_each(|_| record(reader, &mut marks));
    let fit = match rest {
        _ if marks.broken || odd => Fit::Weak,
        Ok(()) if reader.at() == wire || records > RECORDS_MAX => Fit::Good,
        Ok(()) => Fit::Weak,
        Err(Stop::Short) if more && questions > 0 => Fit::Good,
        Err(_) if questions > 0 => Fit::Weak,
        Err(stop) => return Err(stop),
    };
    let multicast = id == 0 && (marks.top_bit || marks.local);
    let fit = if multicast && fit == Fit::Good { Fit::Alone } else { fit };
    Ok(Message { fit, response, multicast })
}

#[derive(Debug, Default)]
struct Marks {
    /// The top bit of a class is set.
    top_bit: bool,
    /// A name ends in `local`.
    local: bool,
    /// A name points where none can be.
    broken: bool,
}

/// Classes of RFC 1035 section 3.2.4, NONE (RFC 2136) and ANY; the top bit is multicast DNS's.
fn class(reader: &mut Reader<'_>, marks: &mut Marks) -> Parsed<()> {
    let class = reader.be16()?;
    marks.top_bit |= class & 0x8000 != 0;
    need(matches!(class & 0x7fff, 1..=4 | 254 | 255))
}

fn question(reader: &mut Reader<'_>, is_first: bool, marks: &mut Marks) -> Parsed<()> {
    name(reader, !is_first, marks)?;
    need(reader.be16()? != 0)?;
    class(reader, marks)
}

fn record(reader: &mut Reader<'_>, marks: &mut Marks) -> Parsed<()> {
    name(reader, true, marks)?;
    match reader.be16()? {
        0 => return Err(Stop::No),
        // OPT: the class is a size (RFC 6891 section 6.1.2)
        41 => reader.take(2).map(|_| ())?,
        _ => class(reader, marks)?,
    }
    reader.be32()?;
    let length = reader.be16()?;
    reader.take(usize::from(length)).map(|_| ())
}

/// Labels up to the root, or to a pointer where there is something to point back at.
fn name(reader: &mut Reader<'_>, pointers: bool, marks: &mut Marks) -> Parsed<()> {
    let begin = reader.at();
    let mut last: &[u8] = &[];
    loop {
        match reader.u8()? {
            0 => break,
            length @ 1..=63 => last = reader.take(usize::from(length))?,
            high @ 0xc0..=0xff => {
                let target = usize::from(high & 0x3f) << 8 | usize::from(reader.u8()?);
                marks.broken |= !pointers || !(12..begin.max(13)).contains(&target);
                return Ok(());
            }
            _ => return Err(Stop::No),
        }
        need(reader.at() - begin <= 255)?;
    }
    marks.local |= last.eq_ignore_ascii_case(b"local");
    Ok(())
}

fn datagrams(talk: &Talk<'_>) -> Answer {
    let has = |port| talk.opener_port == port || talk.service_port == port;
    // whoever asks port 53 from here is a client whose port this is by chance, or for a firewall
    let group = has(MDNS_PORT) && !has(53);
    let end = |said: &Said<'_>, answers: bool| {
        let Some((bytes, wire)) = said.first() else { return (Fit::Short, false) };
        let cut = bytes.len() < wire;
        match message(&mut Reader::new(bytes), wire, cut) {
            // whoever has news says so: multicast DNS has no roles
            Ok(said) if said.multicast || group => (said.fit, said.multicast),
            Ok(said) if said.response == answers => (said.fit, false),
            Err(Stop::Short) if cut => (Fit::Weak, false),
            _ => (Fit::No, false),
        }
    };
    let (opener, answerer) = (end(&talk.opener, false), end(&talk.answerer, true));
    let app = if group || opener.1 || answerer.1 {
        App::Mdns
    } else if has(LLMNR_PORT) {
        App::Llmnr
    } else {
        App::Dns
    };
    judge(app, talk, [opener.0, answerer.0], PORTS)
}

/// Each message behind its length (RFC 1035 section 4.2.2).
fn connection(talk: &Talk<'_>) -> Answer {
    let end = |said: &Said<'_>, answers: bool| {
        stream(said, |reader| {
            let length = usize::from(reader.be16()?);
            need(length >= 12)?;
            let rest = reader.rest();
            let whole = rest.get(..length).unwrap_or(rest);
            let said = message(&mut Reader::new(whole), length, whole.len() < length)?;
            need(said.response == answers)?;
            Ok(said.fit)
        })
    };
    // link-local names have this transport too (RFC 4795 section 2.4)
    let app = if talk.service_port == LLMNR_PORT { App::Llmnr } else { App::Dns };
    judge(app, talk, [end(&talk.opener, false), end(&talk.answerer, true)], PORTS)
}

/// A name in NetBIOS's first-level encoding: half a byte in each letter from A to P, and a scope
/// (RFC 1001 section 14.1).
pub(super) fn netbios_name(reader: &mut Reader<'_>) -> Parsed<()> {
    reader.literal(&[32])?;
    let letters = reader.rest();
    need(letters.iter().take(32).all(|letter| (b'A'..=b'P').contains(letter)))?;
    reader.take(32)?;
    let begin = reader.at();
    loop {
        let length = reader.u8()?;
        if length == 0 {
            return Ok(());
        }
        need(length < 64 && reader.at() - begin < 222)?;
        reader.take(usize::from(length))?;
    }
}

/// NetBIOS's name service (RFC 1002 section 4.2): DNS's format, and names as nothing else has them.
fn netbios_names(talk: &Talk<'_>) -> Answer {
    let end = |said: &Said<'_>, answers: bool| {
        first(said, |reader, _| {
            reader.be16()?;
            let flags = reader.be16()?;
            need((flags & 0x8000 != 0) == answers)?;
            need(matches!(flags >> 11 & 0xf, 0 | 5..=9 | 15))?;
            let counts = [reader.be16()?, reader.be16()?, reader.be16()?, reader.be16()?];
            need(counts.iter().all(|&count| count <= 2) && counts != [0; 4])?;
            netbios_name(reader)?;
            // NB, NBSTAT, NULL, A, NS (section 4.2.1.3); IN
            need(matches!(reader.be16()?, 0x20 | 0x21 | 0x0a | 1 | 2) && reader.be16()? == 1)?;
            Ok(Fit::Alone)
        })
    };
    let ends = [end(&talk.opener, false), end(&talk.answerer, true)];
    judge(App::NetbiosNs, talk, ends, &[137])
}

/// NetBIOS's datagram service (RFC 1002 section 4.4): unique, group and broadcast datagrams with
/// the names of both ends, and queries with one.
fn netbios_datagrams(talk: &Talk<'_>) -> Answer {
    let end = |said: &Said<'_>| {
        first(said, |reader, _| {
            let kind = reader.u8()?;
            need(matches!(kind, 0x10..=0x12 | 0x14..=0x16) && reader.u8()? & 0xf0 == 0)?;
            // identifier, address and port of the source
            reader.take(8)?;
            if kind <= 0x12 {
                // length and offset
                reader.take(4)?;
            }
            netbios_name(reader)?;
            Ok(Fit::Alone)
        })
    };
    judge(App::NetbiosDgm, talk, [end(&talk.opener), end(&talk.answerer)], &[138])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, hex, tcp, udp, udp_on};
    use crate::App;

    /// `example.com` A, and its answer.
    const QUERY: &str = "1234 0100 0001 0000 0000 0000 07 6578616d706c65 03 636f6d 00 0001 0001";
    const REPLY: &str = "1234 8180 0001 0001 0000 0000 07 6578616d706c65 03 636f6d 00 0001 0001
        c00c 0001 0001 00000e10 0004 5db8d822";

    #[test]
    fn dns_on_any_port_and_of_either_end() {
        let (query, reply) = (hex(QUERY), hex(REPLY));
        assert_eq!(udp(53, &[(Opener, &query), (Answerer, &reply)]), App::Dns);
        assert_eq!(udp(53, &[(Opener, &query)]), App::Dns);
        assert_eq!(udp(53, &[(Answerer, &reply)]), App::Dns);
    }

    #[test]
    fn dns_over_tcp() {
        let framed = |digits: &str| {
            let message = hex(digits);
            let mut bytes = (message.len() as u16).to_be_bytes().to_vec();
            bytes.extend_from_slice(&message);
            bytes
        };
        let (query, reply) = (framed(QUERY), framed(REPLY));
        assert_eq!(tcp(53, &[(Opener, &query), (Answerer, &reply)]), App::Dns);
        assert_eq!(tcp(53, &[(Opener, &query)]), App::Dns);
        assert_eq!(tcp(53, &[(Answerer, &reply)]), App::Dns);
    }

    #[test]
    fn what_only_looks_like_dns() {
        // a count that does not fit, a class that does not exist, one byte
        for digits in [
            "1234 0100 0001 0009 0000 0000 07 6578616d706c65 03 636f6d 00 0001 0001",
            "1234 0100 0001 0000 0000 0000 07 6578616d706c65 03 636f6d 00 0001 0909",
            "00",
        ] {
            assert_eq!(udp(53, &[(Opener, &hex(digits))]), App::Unknown, "{digits}");
        }
        // a reserved bit, a pointer in front of all names: on its port only
        let odd = hex("1234 0140 0001 0000 0000 0000 07 6578616d706c65 03 636f6d 00 0001 0001");
        assert_eq!(udp_on(53, &[(Opener, &odd)]), App::Dns);
        assert_eq!(udp_on(2299, &[(Opener, &odd)]), App::Unknown);
        let broken = hex("1234 0100 0001 0000 0000 0000 c00c 0001 0001");
        assert_eq!(udp_on(53, &[(Opener, &broken)]), App::Dns);
        assert_eq!(udp_on(2299, &[(Opener, &broken)]), App::Unknown);
    }

    #[test]
    fn multicast_dns_by_its_bits_and_by_its_port() {
        let flush = hex("0000 8400 0000 0001 0000 0000 02 7063 05 6c6f63616c 00 0001 8001
            00000078 0004 c0a80102");
        assert_eq!(udp(5353, &[(Opener, &flush)]), App::Mdns);
        assert_eq!(udp(5353, &[(Answerer, &flush)]), App::Mdns);
        assert_eq!(udp_on(5353, &[(Opener, &hex(QUERY))]), App::Mdns);
    }

    #[test]
    fn llmnr_by_its_port() {
        let query = hex("abcd 0000 0001 0000 0000 0000 04 77706164 00 0001 0001");
        let reply = hex("abcd 8000 0001 0001 0000 0000 04 77706164 00 0001 0001
            04 77706164 00 0001 0001 0000001e 0004 c0a80142");
        assert_eq!(udp_on(5355, &[(Opener, &query)]), App::Llmnr);
        assert_eq!(udp_on(5355, &[(Answerer, &reply)]), App::Llmnr);
        assert_eq!(udp_on(5355, &[(Opener, &query), (Answerer, &reply)]), App::Llmnr);
        assert_eq!(udp_on(53, &[(Opener, &query), (Answerer, &reply)]), App::Dns);
    }

    #[test]
    fn netbios() {
        let name = "20 46484550464345484546 4843455046464641434143414341434143414341 4341 00";
        let query = hex(&format!("8001 0110 0001 0000 0000 0000 {name} 0020 0001"));
        let reply = hex(&format!(
            "8001 8580 0000 0001 0000 0000 {name} 0020 0001 000493e0 0006 6000 c0a80142"
        ));
        assert_eq!(udp(137, &[(Opener, &query)]), App::NetbiosNs);
        assert_eq!(udp(137, &[(Answerer, &reply)]), App::NetbiosNs);
        assert_eq!(udp(137, &[(Opener, &query), (Answerer, &reply)]), App::NetbiosNs);
        let datagram =
            hex(&format!("11 0a 8002 c0a80142 008a 0048 0000 {name} {name} ff534d42 25"));
        assert_eq!(udp(138, &[(Opener, &datagram)]), App::NetbiosDgm);
    }
}
