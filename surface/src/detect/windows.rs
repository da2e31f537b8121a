//! What Windows hosts say to each other: SMB (MS-CIFS, MS-SMB2) in NetBIOS sessions (RFC 1002
//! section 4.3) and straight on TCP (MS-SMB2 section 2.1), and DCE/RPC (C706, MS-RPCE).

use super::dns::netbios_name;
use super::fit::{Fit, first, judge, stream};
use super::read::{Parsed, Reader, Stop, need};
use crate::App;
use crate::talk::{Answer, Said, Talk, Test};

pub(super) const TCP: &[Test] = &[smb, netbios_session, dce_rpc];
pub(super) const UDP: &[Test] = &[dce_rpc_datagrams];

/// Packets of the session service in front of the first message.
const SESSION_PACKETS_MAX: usize = 4;

/// What stands at the beginning of an end's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// Session packets only; whether one asks for a session by the names of both ends.
    Session { asked: bool },
    /// A message of SMB.
    Smb,
}

/// Skips the packets that open a NetBIOS session; then a message with SMB's mark: `FF` version 1,
/// `FE` 2 and 3, `FD` encrypted, `FC` compressed.
fn begin(reader: &mut Reader<'_>, asks: bool) -> Parsed<Begin> {
    let (mut asked, mut answered) = (false, false);
    for _ in 0..=SESSION_PACKETS_MAX {
        if (asked || answered) && reader.rest().is_empty() {
            return Ok(Begin::Session { asked });
        }
        let kind = reader.u8()?;
        match kind {
            // a request with the names of both
            0x81 if asks => {
                need(reader.u8()? <= 1)?;
                let length = usize::from(reader.be16()?);
                let at = reader.at();
                netbios_name(reader)?;
                netbios_name(reader)?;
                need(reader.at() - at == length)?;
                asked = true;
            }
            // yes; no, and why; try there; still here
            0x82 if !asks => {
                reader.literal(&[0, 0, 0])?;
                answered = true;
            }
            0x83 if !asks => {
                reader.literal(&[0, 0, 1])?;
                need(reader.u8()? >= 0x80)?;
                answered = true;
            }
            0x84 if !asks => {
                reader.literal(&[0, 0, 6])?;
                reader.take(6)?;
                answered = true;
            }
            0x85 => reader.literal(&[0, 0, 0])?,
            0 => {
                let length = u32::from(reader.u8()?) << 16 | u32::from(reader.be16()?);
                need(length >= 32 || length == 0)?;
                if length == 0 {
                    continue; // a keep-alive on port 445
                }
                need(reader.u8()? >= 0xfc)?;
                reader.literal(b"SMB")?;
                return Ok(Begin::Smb);
            }
            _ => return Err(Stop::No),
        }
    }
    Err(Stop::No)
}

/// Nothing else has a length and then this mark: the first message of one end does.
fn smb(talk: &Talk<'_>) -> Answer {
    let end = |said: &Said<'_>, asks: bool| {
        stream(said, |reader| match begin(reader, asks)? {
            Begin::Smb => Ok(Fit::Alone),
            Begin::Session { .. } => Err(Stop::Short),
        })
    };
    judge(App::Smb, talk, [end(&talk.opener, true), end(&talk.answerer, false)], &[139, 445])
}

/// A session without a message in it: likely, because SMB may follow.
fn netbios_session(talk: &Talk<'_>) -> Answer {
    let end = |said: &Said<'_>, asks: bool| {
        stream(said, |reader| match begin(reader, asks)? {
            Begin::Session { asked } => Ok(if asked { Fit::Good } else { Fit::Weak }),
            Begin::Smb => Err(Stop::No),
        })
    };
    let ends = [end(&talk.opener, true), end(&talk.answerer, false)];
    match judge(App::NetbiosSsn, talk, ends, &[139]) {
        Answer::Sure(app) => Answer::Likely(app),
        answer => answer,
    }
}

/// Version 5 and the common header (C706 chapter 12.6.3.1): type, flags, data representation,
/// length of the fragment and of what authenticates it, number of the call.
fn dce_rpc_header(reader: &mut Reader<'_>, kinds: &[u8], early: &[u8]) -> Parsed {
    if reader.rest().first() == Some(&b'n') {
        // a server of RPC over HTTP version 1 greets (MS-RPCH section 2.1.2.1.1)
        need(!kinds.contains(&BIND))?;
        reader.literal(b"ncacn_http/1.0")?;
        return Ok(Fit::Alone);
    }
    need(reader.u8()? == 5 && reader.u8()? <= 1)?;
    let (kind, flags) = (reader.u8()?, reader.u8()?);
    // the first fragment of a call, or its last; some forget to say so when they bind
    need(kinds.contains(&kind) && (flags & 3 != 0 || kind == BIND || early.contains(&kind)))?;
    // integers little or big endian in ASCII; IEEE floats; zero
    let little = match reader.u8()? {
        0x10 => true,
        0x00 => false,
        _ => return Err(Stop::No),
    };
    need(reader.u8()? <= 3)?;
    reader.literal(&[0, 0])?;
    let mut number = || if little { reader.le16() } else { reader.be16() };
    let (length, auth) = (number()?, number()?);
    need(length >= 16 && auth < length)?;
    reader.be32()?;
    if kind != BIND {
        // big endian is rare, and mostly zero
        let fit = if little { Fit::Good } else { Fit::Weak };
        return Ok(if early.contains(&kind) { Fit::Alone } else { fit });
    }
    // largest fragments, group, and at least one context
    reader.take(8)?;
    need(length >= 72 && reader.u8()? >= 1)?;
    Ok(Fit::Alone)
}

const BIND: u8 = 11;

fn dce_rpc(talk: &Talk<'_>) -> Answer {
    let opener = stream(&talk.opener, |reader| {
        // request, bind, alter context, auth3, cancel, orphaned; connections of RPC over HTTP
        dce_rpc_header(reader, &[0, BIND, 14, 16, 18, 19, 20], &[BIND])
    });
    let answerer = stream(&talk.answerer, |reader| {
        // response, fault, bind_ack, bind_nak, alter context response
        dce_rpc_header(reader, &[2, 3, 12, 13, 15, 20], &[12, 13])
    });
    judge(App::DceRpc, talk, [opener, answerer], &[135])
}

/// Version 4 in datagrams (C706 chapter 12.5): a header of 80 bytes with the length of what
/// follows.
fn dce_rpc_datagrams(talk: &Talk<'_>) -> Answer {
    let parse = |reader: &mut Reader<'_>, wire: usize| {
        need(reader.u8()? == 4 && reader.u8()? <= 10)?;
        reader.take(2)?;
        let little = match reader.u8()? {
            0x10 => true,
            0x00 => false,
            _ => return Err(Stop::No),
        };
        need(reader.u8()? <= 3 && reader.u8()? == 0)?;
        // serial; object, interface and activity; boot time, version, sequence, operation, hints
        reader.take(1 + 48 + 12 + 2 + 4)?;
        let length = if little { reader.le16()? } else { reader.be16()? };
        need(80 + usize::from(length) == wire)?;
        Ok(Fit::Good)
    };
    let ends = [first(&talk.opener, parse), first(&talk.answerer, parse)];
    judge(App::DceRpc, talk, ends, &[135])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, hex, tcp, udp};
    use crate::App;

    /// A message of SMB behind its length.
    fn smb(mark: u8) -> Vec<u8> {
        let mut bytes = hex("00000040");
        bytes.push(mark);
        bytes.extend_from_slice(b"SMB");
        bytes.resize(68, 0);
        bytes
    }

    #[test]
    fn smb_of_every_version_and_either_end() {
        for mark in 0xfc..=0xff {
            let message = smb(mark);
            assert_eq!(tcp(445, &[(Opener, &message)]), App::Smb);
            assert_eq!(tcp(445, &[(Answerer, &message)]), App::Smb);
            assert_eq!(tcp(445, &[(Opener, &message), (Answerer, &message)]), App::Smb);
        }
        assert_eq!(tcp(445, &[(Opener, &smb(0xfb))]), App::Unknown);
    }

    #[test]
    fn smb1_only_client_that_is_accepted() {
        let offer =
            hex("0000002f ff534d42 72 00000000 18 53c8 0000 0000000000000000 0000 ffff fffe
            0000 0000 00 000c 00 02 4e54204c4d20302e313200");
        let accepted =
            hex("00000024 ff534d42 72 00000000 98 53c8 0000 0000000000000000 0000 ffff fffe
            0000 0000 01 0000 0000 00");
        assert_eq!(tcp(445, &[(Opener, &offer), (Answerer, &accepted)]), App::Smb);
    }

    #[test]
    fn netbios_session_with_and_without_smb() {
        let name = "20 46484550464345484546 4843455046464641434143414341434143414341 4341 00";
        let request = hex(&format!("81000044 {name} {name}"));
        let positive = hex("82000000");
        assert_eq!(tcp(139, &[(Opener, &request)]), App::NetbiosSsn);
        assert_eq!(tcp(139, &[(Opener, &request), (Answerer, &positive)]), App::NetbiosSsn);
        let message = smb(0xff);
        assert_eq!(
            tcp(139, &[(Opener, &request), (Answerer, &positive), (Opener, &message)]),
            App::Smb
        );
        let reply = [&positive[..], &message].concat();
        assert_eq!(tcp(139, &[(Answerer, &reply)]), App::Smb);
    }

    #[test]
    fn dce_rpc_over_tcp_and_udp() {
        let bind = hex("05 00 0b 03 10000000 4800 0000 01000000 d016 d016 00000000 01 000000
            0000 01 00 0883afe11f5dc91191a408002b14a0fa 03000000
            045d888aeb1cc9119fe808002b104860 02000000");
        let ack =
            hex("05 00 0c 03 10000000 3c00 0000 01000000 d016 d016 aa550000 0400 31333500 0000
            01 000000 0000 0000 045d888aeb1cc9119fe808002b104860 02000000");
        assert_eq!(tcp(135, &[(Opener, &bind)]), App::DceRpc);
        assert_eq!(tcp(135, &[(Answerer, &ack)]), App::DceRpc);
        assert_eq!(tcp(135, &[(Opener, &bind), (Answerer, &ack)]), App::DceRpc);
        let mut other = bind.clone();
        other[6] = 1;
        assert_eq!(tcp(135, &[(Opener, &other)]), App::Unknown);
        let mut datagram = hex("04 00 2800 100000 00");
        datagram.resize(74, 7);
        datagram.extend_from_slice(&[4, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
        assert_eq!(udp(135, &[(Opener, &datagram)]), App::DceRpc);
        datagram.push(0);
        assert_eq!(udp(135, &[(Opener, &datagram)]), App::Unknown);
        // asked of a service that is another one, which answers in its own way (Modbus)
        let strange = hex("05 00 0b 03 00 03 00 80 01");
        assert_eq!(tcp(502, &[(Opener, &bind), (Answerer, &strange)]), App::Unknown);
    }
}
