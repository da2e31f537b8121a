//! Who is there: SSDP (UPnP Device Architecture 2.0 section 1), WS-Discovery (OASIS, April 2005 and
//! version 1.1), MikroTik's neighbour discovery, HSRP (RFC 2281) and RIP (RFC 2453, RFC 2080), and
//! frames that a device passes on (TZSP).

use super::fit::{Fit, every, first, judge};
use super::read::{Parsed, Reader, Stop, begins_ignoring_case, has, need};
use crate::App;
use crate::talk::{Answer, Talk, Test};

pub(super) const UDP: &[Test] = &[ssdp, ws_discovery, mndp, hsrp, rip, tzsp];

/// A search or an announcement goes to everybody; an answer has the unique service name.
fn ssdp(talk: &Talk<'_>) -> Answer {
    let opener = first(&talk.opener, |reader, _| {
        if reader.rest().first() == Some(&b'M') {
            reader.literal(b"M-SEARCH * HTTP/1.")?;
        } else {
            reader.literal(b"NOTIFY * HTTP/1.")?;
        }
        Ok(Fit::Alone)
    });
    let answerer = first(&talk.answerer, |reader, _| {
        reader.literal(b"HTTP/1.")?;
        let lines = reader.rest().split(|&byte| byte == b'\n');
        let named = lines
            .skip(1)
            .any(|line| begins_ignoring_case(line, b"usn:") || begins_ignoring_case(line, b"st:"));
        need(named)?;
        Ok(Fit::Good)
    });
    judge(App::Ssdp, talk, [opener, answerer], &[1900])
}

/// SOAP in a datagram, with the name space of WS-Discovery.
fn ws_discovery(talk: &Talk<'_>) -> Answer {
    let parse = |reader: &mut Reader<'_>, _| {
        let bytes = reader.rest();
        need(matches!(bytes.first(), Some(b'<' | 0xef)))?;
        need(
            has(bytes, b"schemas.xmlsoap.org/ws/2005/04/discovery")
                || has(bytes, b"docs.oasis-open.org/ws-dd/ns/discovery"),
        )?;
        Ok(Fit::Alone)
    };
    let ends = [first(&talk.opener, parse), first(&talk.answerer, parse)];
    judge(App::WsDiscovery, talk, ends, &[3702])
}

/// Four bytes (a number counts up in the last two), then type, length and value to the end. It
/// begins with the MAC address, and there is an identity, a version or a platform
/// (MikroTik Neighbor Discovery Protocol, as Wireshark's `packet-mndp.c` has it).
fn mndp(talk: &Talk<'_>) -> Answer {
    let parse = |reader: &mut Reader<'_>, wire: usize| {
        reader.be32()?;
        if wire == 4 {
            // asks everybody to tell
            need(reader.at() == 4 && reader.rest().is_empty())?;
            return Ok(Fit::Weak);
        }
        need(reader.be16()? == 1 && reader.be16()? == 6)?;
        reader.take(6)?;
        let mut named = false;
        for _ in 0..32 {
            if reader.at() == wire {
                break;
            }
            let (kind, length) = (reader.be16()?, usize::from(reader.be16()?));
            need((5..=32).contains(&kind))?;
            named |= matches!(kind, 5 | 7 | 8);
            reader.take(length)?;
        }
        need(named && reader.at() == wire)?;
        Ok(Fit::Alone)
    };
    let mut ends = [first(&talk.opener, parse), first(&talk.answerer, parse)];
    for (fit, said) in ends.iter_mut().zip([&talk.opener, &talk.answerer]) {
        // four bytes may be anything unless they are zero
        let zero = said.first().is_some_and(|(bytes, _)| bytes == [0; 4]);
        if *fit == Fit::Weak && !zero {
            *fit = Fit::No;
        }
    }
    if ends == [Fit::Weak; 2] {
        return Answer::No;
    }
    judge(App::Mndp, talk, ends, &[5678])
}

/// Version 0: opcode, state, timers, group, eight bytes of password, address (RFC 2281 section
/// 5.1). Version 2 has the same as a group state TLV (type 1, length 40, version 2).
fn hsrp(talk: &Talk<'_>) -> Answer {
    let parse = |reader: &mut Reader<'_>, wire: usize| {
        if reader.rest().first() == Some(&1) {
            reader.literal(&[1, 40, 2])?;
            need(reader.u8()? <= 2 && reader.u8()? <= 6 && matches!(reader.u8()?, 4 | 6))?;
            need(wire >= 42)?;
            return Ok(Fit::Good);
        }
        if wire == 6 {
            // an interface's count of active and passive groups
            reader.literal(&[2, 4])?;
            need(reader.be16()? <= 255 && reader.be16()? <= 255)?;
            return Ok(Fit::Weak);
        }
        need(wire >= 16 && reader.u8()? == 0)?;
        let opcode = reader.u8()?;
        if opcode == 3 {
            // advertises an interface: a type, and the length of what follows but two bytes
            need((1..=2).contains(&reader.be16()?) && usize::from(reader.be16()?) + 2 == wire)?;
            return Ok(Fit::Good);
        }
        need(wire >= 20 && opcode <= 2)?;
        need(matches!(reader.u8()?, 0 | 1 | 2 | 4 | 8 | 16))?;
        // hello and hold time, priority, group
        let (hello, hold) = (reader.u8()?, reader.u8()?);
        reader.take(2)?;
        need(reader.u8()? == 0)?;
        let password = reader.take(8)?;
        Ok(match password {
            b"cisco\0\0\0" => Fit::Good,
            _ if hello < hold && wire == 20 => Fit::Weak,
            _ => return need(false).map(|()| Fit::No),
        })
    };
    let ends = [every(&talk.opener, parse), every(&talk.answerer, parse)];
    judge(App::Hsrp, talk, ends, &[1985, 2029])
}

/// A frame that a router or an access point passes on (TaZmen Sniffer Protocol, as Wireshark's
/// `packet-tzsp.c` has it): version 1, type (0 a frame, 1 one to be sent), what it is a frame of (1
/// Ethernet), tags up to the last (1), an Ethernet header of a known type.
fn tzsp(talk: &Talk<'_>) -> Answer {
    let parse = |reader: &mut Reader<'_>, _| {
        need(reader.u8()? == 1)?;
        match (reader.u8()?, reader.be16()?) {
            (0 | 1, 1) => {}
            // keeps a way open, carries nothing
            (4, _) => return Ok(Fit::Weak),
            _ => return Err(Stop::No),
        }
        for _ in 0..16 {
            match reader.u8()? {
                0 => {}
                1 => {
                    reader.take(12)?;
                    let kind = reader.be16()?;
                    need(matches!(kind, 0x0800 | 0x0806 | 0x86dd | 0x8100 | 0x88cc))?;
                    return Ok(Fit::Good);
                }
                _ => {
                    let length = reader.u8()?;
                    reader.take(length.into())?;
                }
            }
        }
        Err(Stop::No)
    };
    let ends = [every(&talk.opener, parse), every(&talk.answerer, parse)];
    judge(App::Tzsp, talk, ends, &[37_008])
}

/// Command, version, zero, and entries of 20 bytes to the end.
fn rip(talk: &Talk<'_>) -> Answer {
    let ends = [every(&talk.opener, rip_message), every(&talk.answerer, rip_message)];
    judge(App::Rip, talk, ends, &[520, 521])
}

fn rip_message(reader: &mut Reader<'_>, wire: usize) -> Parsed {
    let (command, version) = (reader.u8()?, reader.u8()?);
    need(matches!(command, 1 | 2) && matches!(version, 1 | 2) && reader.be16()? == 0)?;
    // in front may be what authenticates it: a password, or where a digest stands at the end
    // (RFC 2453 section 4.1, RFC 4822 section 2)
    let mut end = wire;
    let mut ahead = *reader;
    if version == 2 && ahead.be16()? == 0xffff {
        let kind = ahead.be16()?;
        need(matches!(kind, 2 | 3))?;
        if kind == 3 {
            end = usize::from(ahead.be16()?);
            need(end + 4 <= wire)?;
        }
        reader.take(20)?;
    }
    need(end > reader.at() && (end - reader.at()).is_multiple_of(20))?;
    let (mut old, mut next) = (true, true);
    while reader.at() < end {
        let entry = reader.take(20)?;
        let mut fields = Reader::new(entry);
        let family = fields.be16()?;
        fields.take(14)?;
        let metric = fields.be32()?;
        // a request for everything has family 0 and metric 16
        old &= match family {
            0 => command == 1 && metric == 16,
            2 => (1..=16).contains(&metric) || (command == 1 && metric == 0),
            _ => false,
        };
        // RFC 2080 section 2.1: prefix, tag, length, metric
        next &= version == 1 && metric >> 8 & 0xff <= 128 && matches!(metric as u8, 1..=16 | 0xff);
    }
    need(old || next)?;
    Ok(if old { Fit::Good } else { Fit::Weak })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, hex, udp, udp_on};
    use crate::App;

    #[test]
    fn ssdp() {
        let search =
            b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\n\r\n";
        let found = b"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\n\
            ST: upnp:rootdevice\r\nUSN: uuid:1::upnp:rootdevice\r\n\r\n";
        assert_eq!(udp(1900, &[(Opener, search)]), App::Ssdp);
        assert_eq!(
            udp(1900, &[(Opener, b"NOTIFY * HTTP/1.1\r\nNTS: ssdp:alive\r\n\r\n")]),
            App::Ssdp
        );
        assert_eq!(udp(1900, &[(Answerer, found)]), App::Ssdp);
        assert_eq!(udp(1900, &[(Opener, search), (Answerer, found)]), App::Ssdp);
        assert_eq!(udp(1900, &[(Answerer, b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n")]), App::Unknown);
    }

    #[test]
    fn ws_discovery() {
        let probe =
            br#"<?xml version="1.0"?><e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"
            xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"><e:Body/></e:Envelope>"#;
        assert_eq!(udp(3702, &[(Opener, probe)]), App::WsDiscovery);
        assert_eq!(udp(3702, &[(Answerer, probe)]), App::WsDiscovery);
        assert_eq!(udp(3702, &[(Opener, b"<?xml version=\"1.0\"?><a/>")]), App::Unknown);
    }

    #[test]
    fn mndp() {
        let told = hex("0000 0007 0001 0006 020000000001 0005 0006 726f75746572
            0007 0003 372e31 0008 0008 4d696b726f54696b");
        assert_eq!(udp(5678, &[(Opener, &told)]), App::Mndp);
        assert_eq!(udp_on(5678, &[(Opener, &[0; 4])]), App::Mndp);
        assert_eq!(udp_on(2299, &[(Opener, &[0; 4])]), App::Unknown);
        assert_eq!(udp(5678, &[(Opener, &told[..told.len() - 1])]), App::Unknown);
    }

    #[test]
    fn routers() {
        let hello = hex("00 00 10 03 0a 78 01 00 636973636f000000 c0a80101");
        assert_eq!(udp(1985, &[(Opener, &hello)]), App::Hsrp);
        let routes = hex("02 02 0000 0002 0000 c0a80200 ffffff00 00000000 00000001
            0002 0000 0a000000 ff000000 00000000 00000002");
        assert_eq!(udp(520, &[(Opener, &routes)]), App::Rip);
        let digest = hex("01 02 0000 ffff 0003 002c 2d10 4fd61338 0000000000000000
            0000 0000 00000000 00000000 00000000 00000010
            ffff 0001 a2fec865f12088082326136aa2fec865");
        assert_eq!(udp(520, &[(Opener, &digest)]), App::Rip);
        let advertises = hex("00 03 0001 000e 02 00 0000 0002 6f000000");
        assert_eq!(udp(1985, &[(Opener, &advertises)]), App::Hsrp);
        let ask = hex("01 02 0000 0000 0000 00000000 00000000 00000000 00000010");
        assert_eq!(udp(520, &[(Opener, &ask)]), App::Rip);
        let wrong = hex("02 02 0000 0002 0000 c0a80200 ffffff00 00000000 00000099");
        assert_eq!(udp(520, &[(Opener, &wrong)]), App::Unknown);
    }

    #[test]
    fn frames_passed_on() {
        let frame = "ffffffffffff 020000000001 0806 0001";
        let first = hex(&format!("01 00 0001 01 {frame}"));
        assert_eq!(udp(37_008, &[(Opener, &first)]), App::Tzsp);
        // with tags: signal strength, a filling byte
        let tagged = hex(&format!("01 00 0001 0a 01 c0 00 01 {frame}"));
        assert_eq!(udp(37_008, &[(Opener, &tagged), (Opener, &first)]), App::Tzsp);
        // no last tag, an unknown type of frame, another protocol's version
        let endless = hex("01 00 0001 0a 01 c0 0a 01 c0");
        assert_eq!(udp(37_008, &[(Opener, &endless)]), App::Unknown);
        let strange = hex("01 00 0001 01 ffffffffffff 020000000001 1234 0001");
        assert_eq!(udp(37_008, &[(Opener, &strange)]), App::Unknown);
        assert_eq!(udp(37_008, &[(Opener, &hex("02 00 0001 01"))]), App::Unknown);
    }
}
