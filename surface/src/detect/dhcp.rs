//! DHCP (RFC 2131, with BOOTP's RFC 951) and DHCPv6 (RFC 8415).

use super::fit::{Fit, first, judge};
use super::read::{Parsed, Reader, need};
use crate::App;
use crate::talk::{Answer, Talk, Test};

pub(super) const UDP: &[Test] = &[dhcp, dhcpv6];

/// Begins the options (RFC 2131 section 3).
const COOKIE: [u8; 4] = [0x63, 0x82, 0x53, 0x63];
/// Where it stands.
const COOKIE_AT: usize = 236;

fn dhcp(talk: &Talk<'_>) -> Answer {
    let parse = |op: u8| {
        move |reader: &mut Reader<'_>, wire: usize| {
            reader.literal(&[op])?;
            let (hardware, length) = (reader.u8()?, reader.u8()?);
            need(length <= 16 && wire >= COOKIE_AT)?;
            // hops, xid, secs, flags
            let hops = reader.u8()?;
            reader.take(COOKIE_AT - 4)?;
            if wire > COOKIE_AT && reader.literal(&COOKIE).is_ok() {
                return Ok(Fit::Alone);
            }
            // BOOTP of a vendor's own
            need(hardware == 1 && length == 6 && hops < 16 && wire >= 300)?;
            Ok(Fit::Weak)
        }
    };
    let ends = [first(&talk.opener, parse(1)), first(&talk.answerer, parse(2))];
    judge(App::Dhcp, talk, ends, &[67, 68])
}

fn dhcpv6(talk: &Talk<'_>) -> Answer {
    let ends = [
        first(&talk.opener, |reader, wire| {
            dhcpv6_message(reader, wire, &[1, 3, 4, 5, 6, 8, 9, 11, 12, 14])
        }),
        first(&talk.answerer, |reader, wire| dhcpv6_message(reader, wire, &[2, 7, 10, 13, 15])),
    ];
    judge(App::Dhcpv6, talk, ends, &[546, 547])
}

/// Type, transaction and options to the end, one of which names the client by a DUID or is what a
/// relay passes on (RFC 8415 sections 8, 9, 11 and 21).
fn dhcpv6_message(reader: &mut Reader<'_>, wire: usize, types: &[u8]) -> Parsed {
    let kind = reader.u8()?;
    need(types.contains(&kind))?;
    let relayed = matches!(kind, 12 | 13);
    // the rest of the transaction's identifier; or hops, link and peer address
    reader.take(if relayed { 33 } else { 3 })?;
    let (mut named, mut count) = (false, 0);
    while reader.at() < wire {
        let (option, length) = (reader.be16()?, usize::from(reader.be16()?));
        need((1..=160).contains(&option) && count < 64)?;
        let value = reader.take(length)?;
        named |= match option {
            // DUID types of RFC 8415 section 11 and RFC 6355
            1 => matches!(value, [0, 1..=4, ..]) && length <= 130,
            9 => relayed && length >= 4,
            _ => false,
        };
        count += 1;
    }
    need(reader.at() == wire)?;
    Ok(if named { Fit::Good } else { Fit::Weak })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, hex, udp, udp_on};
    use crate::App;

    fn bootp(op: u8) -> Vec<u8> {
        let mut bytes = vec![0; 300];
        bytes[..8].copy_from_slice(&[op, 1, 6, 0, 0x39, 3, 0xf3, 0x26]);
        bytes[236..240].copy_from_slice(&super::COOKIE);
        bytes[240..244].copy_from_slice(&[53, 1, if op == 1 { 1 } else { 2 }, 255]);
        bytes
    }

    #[test]
    fn dhcp_of_either_end() {
        let (discover, offer) = (bootp(1), bootp(2));
        assert_eq!(udp(67, &[(Opener, &discover)]), App::Dhcp);
        assert_eq!(udp(67, &[(Answerer, &offer)]), App::Dhcp);
        assert_eq!(udp(67, &[(Opener, &discover), (Answerer, &offer)]), App::Dhcp);
        let mut other = discover;
        other[237] = 0;
        assert_eq!(udp_on(2299, &[(Opener, &other)]), App::Unknown);
    }

    #[test]
    fn dhcpv6_of_either_end() {
        let solicit = hex("01 0a0b0c 0001 000e 0001 0001 1c39cf88 080027fe8f95
            0006 0004 0017 0018 0008 0002 0000");
        let advertise = hex("02 0a0b0c 0001 000e 0001 0001 1c39cf88 080027fe8f95
            0002 000e 0001 0001 1c3825e8 080027d410bb");
        assert_eq!(udp(547, &[(Opener, &solicit)]), App::Dhcpv6);
        assert_eq!(udp(547, &[(Answerer, &advertise)]), App::Dhcpv6);
        assert_eq!(udp(547, &[(Opener, &solicit), (Answerer, &advertise)]), App::Dhcpv6);
        let cut = &solicit[..solicit.len() - 1];
        assert_eq!(udp(547, &[(Opener, cut)]), App::Unknown);
    }
}
