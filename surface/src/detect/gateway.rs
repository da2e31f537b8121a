//! Asking the router for a port: NAT-PMP (RFC 6886) and PCP (RFC 6887).

use super::fit::{Fit, first, judge};
use super::read::{Parsed, Reader, need};
use crate::App;
use crate::talk::{Answer, Said, Talk, Test};

pub(super) const UDP: &[Test] = &[pcp, nat_pmp];

const PORT: u16 = 5351;

/// A request of NAT-PMP is a few small numbers: it counts on its port, or with an answer that has
/// the same inner port (sections 3.2 and 3.3).
fn nat_pmp(talk: &Talk<'_>) -> Answer {
    let opener = first(&talk.opener, |reader, wire| {
        need(reader.u8()? == 0)?;
        match reader.u8()? {
            0 => need(wire == 2)?,
            1 | 2 => need(wire == 12 && reader.be16()? == 0)?,
            _ => need(false)?,
        }
        Ok(Fit::Weak)
    });
    let answerer = first(&talk.answerer, |reader, wire| {
        need(reader.u8()? == 0)?;
        let length = match reader.u8()? {
            128 => 12,
            129 | 130 => 16,
            _ => 0,
        };
        // an error may end behind the time
        need(reader.be16()? <= 5 && (wire == length || (wire == 8 && length != 0)))?;
        Ok(Fit::Weak)
    });
    if opener == Fit::Weak && answerer == Fit::Weak {
        let asked = number(&talk.opener, 1);
        let same = number(&talk.answerer, 1) == asked.map(|op| op | 0x80);
        let port = |said: &Said<'_>, at| Some((number(said, at)?, number(said, at + 1)?));
        let echoed = asked == Some(0) || port(&talk.opener, 4) == port(&talk.answerer, 8);
        return if same && echoed { Answer::Sure(App::NatPmp) } else { Answer::No };
    }
    judge(App::NatPmp, talk, [opener, answerer], &[PORT])
}

fn number(said: &Said<'_>, at: usize) -> Option<u8> {
    said.first()?.0.get(at).copied()
}

fn pcp(talk: &Talk<'_>) -> Answer {
    let ends = [first(&talk.opener, request), first(&talk.answerer, response)];
    judge(App::Pcp, talk, ends, &[PORT])
}

/// Operations by their shortest message: ANNOUNCE, MAP, PEER (sections 7.1, 11.1, 12.1, 14.1.1).
fn fits(operation: u8, wire: usize) -> bool {
    let least = match operation {
        0 => 24,
        1 => 60,
        2 => 80,
        _ => return false,
    };
    (least..=1100).contains(&wire) && wire.is_multiple_of(4)
}

fn request(reader: &mut Reader<'_>, wire: usize) -> Parsed {
    reader.literal(&[2])?;
    let operation = reader.u8()?;
    need(fits(operation, wire) && reader.be16()? == 0)?;
    reader.be32()?;
    // the client's address, IPv4 as mapped into IPv6
    let address = reader.take(16)?;
    let mapped = address.starts_with(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
    let six = address.first().is_some_and(|&top| matches!(top, 0x20..=0x3f | 0xfc..=0xfe));
    need(mapped || six)?;
    if operation != 0 {
        // nonce, protocol, and three bytes of zero
        reader.take(13)?;
        reader.literal(&[0; 3])?;
    }
    Ok(Fit::Good)
}

fn response(reader: &mut Reader<'_>, wire: usize) -> Parsed {
    reader.literal(&[2])?;
    let operation = reader.u8()?;
    need(operation & 0x80 != 0 && fits(operation & 0x7f, wire))?;
    reader.u8()?;
    need(reader.u8()? <= 13)?;
    // lifetime, epoch
    reader.take(8)?;
    reader.literal(&[0; 12])?;
    Ok(Fit::Good)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, hex, udp, udp_on};
    use crate::App;

    #[test]
    fn nat_pmp_by_echo_or_port() {
        let ask = hex("00 02 0000 0d3d 08fb 00000e10");
        let told = hex("00 82 0000 00001000 0d3d 08fb 00000e10");
        assert_eq!(udp(5351, &[(Opener, &ask), (Answerer, &told)]), App::NatPmp);
        assert_eq!(udp_on(5351, &[(Opener, &ask)]), App::NatPmp);
        assert_eq!(udp_on(5351, &[(Answerer, &told)]), App::NatPmp);
        assert_eq!(udp_on(2299, &[(Opener, &ask)]), App::Unknown);
        let other = hex("00 82 0000 00001000 0050 08fb 00000e10");
        assert_eq!(udp_on(5351, &[(Opener, &ask), (Answerer, &other)]), App::Unknown);
    }

    #[test]
    fn pcp_of_either_end() {
        let ask = hex("02 01 0000 00001c20 00000000000000000000ffffc0a8010a
            0102030405060708090a0b0c 06 000000 0d3d 08fb 00000000000000000000ffff00000000");
        let told = hex("02 81 00 00 00001c20 00001000 000000000000000000000000
            0102030405060708090a0b0c 06 000000 0d3d 08fb 00000000000000000000ffffcb007107");
        assert_eq!(udp(5351, &[(Opener, &ask)]), App::Pcp);
        assert_eq!(udp(5351, &[(Answerer, &told)]), App::Pcp);
        assert_eq!(udp(5351, &[(Opener, &ask), (Answerer, &told)]), App::Pcp);
        assert_eq!(udp(5351, &[(Opener, &ask[..56])]), App::Unknown);
    }
}
