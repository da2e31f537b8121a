//! NTP (RFC 5905), with its control messages (RFC 9327) and the private ones of `ntpd`.

use super::fit::{Fit, first, judge};
use super::read::{Parsed, Reader, need};
use crate::App;
use crate::talk::{Answer, Said, Talk, Test};

pub(super) const UDP: &[Test] = &[ntp];

const PORT: u16 = 123;

fn ntp(talk: &Talk<'_>) -> Answer {
    let ends = [
        first(&talk.opener, |reader, wire| message(reader, wire, false)),
        first(&talk.answerer, |reader, wire| message(reader, wire, true)),
    ];
    let mut ends = ends;
    if let (Some(asked), Some(told)) = (field(&talk.opener, 40), field(&talk.answerer, 24))
        && asked == told
        && asked != 0
    {
        // the client's transmit timestamp comes back as the server's origin
        ends = ends.map(|fit| if fit == Fit::Weak { Fit::Good } else { fit });
    } else if ends == [Fit::Weak; 2] {
        // small numbers on both sides are no more than on one
        ends[1] = Fit::Short;
    }
    judge(App::Ntp, talk, ends, &[PORT])
}

fn field(said: &Said<'_>, at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*said.first()?.0.get(at..)?.first_chunk()?))
}

/// Leap indicator, version, mode (RFC 5905 section 7.3).
fn message(reader: &mut Reader<'_>, wire: usize, answers: bool) -> Parsed {
    let first = reader.u8()?;
    let (version, mode) = (first >> 3 & 7, first & 7);
    need((1..=4).contains(&version))?;
    match mode {
        6 if first & 0xc0 == 0 => control(reader, wire, answers),
        7 => private(reader, wire, first & 0x80 != 0, answers),
        // symmetric and broadcast come from anyone
        1 | 2 | 5 => time(reader, wire, false),
        3 if !answers => time(reader, wire, true),
        4 if answers => time(reader, wire, false),
        // SNTP version 1 had no modes (RFC 1361 section 4)
        0 if version == 1 => time(reader, wire, false).map(|fit| fit.min(Fit::Weak)),
        _ => need(false).map(|()| Fit::No),
    }
}

/// 48 bytes, and behind them extensions or a message authentication code in whole words.
fn time(reader: &mut Reader<'_>, wire: usize, asks: bool) -> Parsed {
    need(wire >= 48 && wire.is_multiple_of(4) && wire <= 1024)?;
    let (stratum, poll, precision) = (reader.u8()?, reader.u8()?, reader.u8()?);
    need(stratum <= 16 && (poll <= 17 || poll >= 0xf8))?;
    let (delay, dispersion) = (reader.be32()?, reader.be32()?);
    let reference = reader.be32()?;
    let mut stamps = [0_u32; 4];
    for stamp in &mut stamps {
        *stamp = reader.be32()?;
        reader.be32()?;
    }
    let [_, origin, receive, transmit] = stamps;
    // a client that tells nothing of itself, but perhaps how often it asks and how exactly
    let silent = asks && delay | dispersion | reference | origin | receive == 0 && stratum == 0;
    // delays under 16 seconds; a precision between 2^-32 and half a second
    let small = delay >> 16 < 16 && dispersion >> 16 <= 16;
    let sane = small && precision >= 0xe0 && transmit != 0;
    // a server received and sent within a minute, by a clock that stands behind 1970
    let told = small && receive.abs_diff(transmit) < 60 && receive > 2_208_988_800;
    Ok(if wire == 48 && silent || sane && poll != 0 || told { Fit::Good } else { Fit::Weak })
}

/// Control messages: opcode, sequence, status, association, offset, count (RFC 9327 section 2).
fn control(reader: &mut Reader<'_>, wire: usize, answers: bool) -> Parsed {
    let bits = reader.u8()?;
    // response, error, more
    need(if answers { bits & 0x80 != 0 } else { bits & 0xe0 == 0 })?;
    need(matches!(bits & 0x1f, 1..=12 | 31))?;
    reader.be16()?;
    let (status, association) = (reader.be16()?, reader.be16()?);
    let (offset, count) = (reader.be16()?, usize::from(reader.be16()?));
    need(count <= 468 && (answers || offset == 0))?;
    let end = 12 + count.next_multiple_of(4);
    // with a key identifier and a digest, or without
    need(wire == end || wire == 12 + count || matches!(wire.wrapping_sub(end), 12 | 20 | 24))?;
    // a request has no status; an answer has something to say
    let usual = if answers { count > 0 } else { status == 0 && association < 0x8000 };
    Ok(if usual { Fit::Good } else { Fit::Weak })
}

/// `ntpd`'s mode 7: sequence, implementation, request, items of a size (`ntp_request.h`).
fn private(reader: &mut Reader<'_>, wire: usize, response: bool, answers: bool) -> Parsed {
    need(response == answers)?;
    reader.u8()?;
    let (implementation, request) = (reader.u8()?, reader.u8()?);
    need(matches!(implementation, 0 | 2 | 3) && request <= 47)?;
    let (items, size) = (reader.be16()?, reader.be16()?);
    // an error only in a response; zero
    need((response || items < 0x1000) && size < 0x1000)?;
    let items = items & 0x0fff;
    let data = usize::from(items) * usize::from(size);
    need(data <= 500 && wire >= 8 + data)?;
    // requests have room for data that is not there
    let fits = wire == 8 + data || (!answers && matches!(wire, 8 | 48 | 72 | 192));
    Ok(if fits && implementation != 0 { Fit::Good } else { Fit::Weak })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, hex, udp, udp_on};
    use crate::App;

    #[test]
    fn client_and_server() {
        let mut asks = vec![0x23_u8];
        asks.resize(40, 0);
        asks.extend_from_slice(&hex("e0fe5f1a 12345678"));
        let tells = hex("24 02 00 e9 00000fa1 00000b2c c0a80101 e0fe5e00 00000000
            e0fe5f1a 12345678 e0fe5f1a 22345678 e0fe5f1a 23345678");
        assert_eq!(udp(123, &[(Opener, &asks)]), App::Ntp);
        assert_eq!(udp(123, &[(Answerer, &tells)]), App::Ntp);
        assert_eq!(udp(123, &[(Opener, &asks), (Answerer, &tells)]), App::Ntp);
    }

    #[test]
    fn control_and_private() {
        let variables = hex("16 02 0001 0000 0000 0000 0000");
        assert_eq!(udp(123, &[(Opener, &variables)]), App::Ntp);
        let told = hex("16 82 0001 0615 0000 0000 0006 6c6561703d30 0000");
        assert_eq!(udp(123, &[(Opener, &variables), (Answerer, &told)]), App::Ntp);
        let monlist = hex("17 00 03 2a 0000 0000");
        assert_eq!(udp(123, &[(Opener, &monlist)]), App::Ntp);
    }

    #[test]
    fn near_misses() {
        // mode 3 with a stratum that does not exist; too short; version 0
        let mut bytes = vec![0x23, 99];
        bytes.resize(48, 0);
        assert_eq!(udp(123, &[(Opener, &bytes)]), App::Unknown);
        assert_eq!(udp(123, &[(Opener, &[0x23; 20])]), App::Unknown);
        assert_eq!(udp_on(123, &[(Opener, &[0x03; 48])]), App::Unknown);
    }
}
