//! Copies and shares: rsync, iSCSI, NBD, Sun RPC and NFS, AFP; git and BitTorrent beside them.

use super::fit::{Fit, judge, opening, starts};
use super::read::{find, u8_at};
use crate::App;
use crate::bytes::{be16, be32};
use crate::talk::{Answer, Said, Talk, Test};

pub(super) const TCP: &[Test] = &[rsync, nbd, iscsi, rpc_tcp, afp, git, bittorrent];
pub(super) const UDP: &[Test] = &[dht, tracker, local_peers, rpc_udp, utp];

/// The rsync daemon: `@RSYNCD: 31.0\n` from both ends (`csprotocol.txt`).
fn rsync(talk: &Talk<'_>) -> Answer {
    let greeting = |bytes: &[u8]| match starts(bytes, b"@RSYNCD: ") {
        Fit::Good => u8_at(bytes, 9).map_or(Fit::Short, |b| Fit::of(b.is_ascii_digit())),
        fit => fit,
    };
    judge(App::Rsync, talk, [greeting(talk.opener.bytes()), greeting(talk.answerer.bytes())], &[])
}

/// NBD: the server says `NBDMAGIC` and `IHAVEOPT`, or the old negotiation's number; the client its
/// flags and `IHAVEOPT` (`proto.md`).
fn nbd(talk: &Talk<'_>) -> Answer {
    let said = talk.answerer.bytes();
    let answerer = match starts(said, b"NBDMAGIC") {
        Fit::Good => match starts(&said[8..], b"IHAVEOPT") {
            Fit::Good => Fit::Alone,
            Fit::No => match starts(&said[8..], &[0, 0, 0x42, 0x02, 0x81, 0x86, 0x12, 0x53]) {
                Fit::Good => Fit::Alone,
                fit => fit,
            },
            fit => fit,
        },
        fit => fit,
    };
    let bytes = talk.opener.bytes();
    let opener = match (be32(bytes, 0), answerer) {
        // the old negotiation goes on with requests
        (_, Fit::Alone) => Fit::Short,
        (Some(0..=3), _) => starts(&bytes[4..], b"IHAVEOPT"),
        (Some(_), _) => Fit::No,
        (None, _) => Fit::Short,
    };
    judge(App::Nbd, talk, [opener, answerer], &[])
}

/// iSCSI log-in (RFC 7143 sections 11.12 and 11.13): opcode 3 with the immediate bit, answered by
/// 0x23 with the same task tag; keys and values as text behind 48 bytes.
fn iscsi(talk: &Talk<'_>) -> Answer {
    let login = |bytes: &[u8], opcode: u8, key: &[u8]| {
        let fixed = match bytes {
            [] => return Fit::Short,
            [first, ..] if *first != opcode => return Fit::No,
            // no version but 0 was ever given out, and log-ins have no additional header
            [_, _, 0, 0, 0, ..] => true,
            [_, rest @ ..] => rest.len() < 4 && rest.iter().skip(1).all(|&b| b == 0),
        };
        if !fixed {
            return Fit::No;
        }
        let Some(text) = bytes.get(48..) else { return Fit::Short };
        let length = be32(bytes, 4).map_or(0, |length| length as usize & 0x00ff_ffff);
        let text = &text[..text.len().min(length)];
        match find(text, key) {
            Some(_) => Fit::Good,
            None if text.len() < length => Fit::Short,
            // a log-in's later answers may have no text
            None if opcode == 0x23 && u8_at(bytes, 36).is_some_and(|class| class < 4) => Fit::Short,
            None => Fit::No,
        }
    };
    let (opener, answerer) = (talk.opener.bytes(), talk.answerer.bytes());
    let fits = [login(opener, 0x43, b"InitiatorName="), login(answerer, 0x23, b"Target")];
    match (fits, opener.get(16..20), answerer.get(16..20)) {
        ([Fit::Good, Fit::Short], Some(asked), Some(answered)) if asked == answered => {
            Answer::Sure(App::Iscsi)
        }
        _ => judge(App::Iscsi, talk, fits, &[]),
    }
}

/// Programs of Sun RPC (RFC 5531 section 8; IANA "RPC program numbers").
const NFS_PROGRAM: u32 = 100_003;
const NFS_PORT: u16 = 2049;

/// Sun RPC over TCP behind record marks (RFC 5531 section 11).
fn rpc_tcp(talk: &Talk<'_>) -> Answer {
    match (record(talk.opener), record(talk.answerer)) {
        (Ok(opener), Ok(answerer)) => rpc(talk, opener, answerer),
        _ => Answer::No,
    }
}

/// The first record, if it is not cut in pieces: what of it is there, and its length.
fn record(said: Said<'_>) -> Result<Option<(&[u8], usize)>, ()> {
    let bytes = said.bytes();
    let Some(mark) = be32(bytes, 0) else {
        return if bytes.first().is_none_or(|b| b & 0x80 != 0) { Ok(None) } else { Err(()) };
    };
    let length = (mark & 0x7fff_ffff) as usize;
    if mark >> 31 == 1 && (24..=1 << 22).contains(&length) && length.is_multiple_of(4) {
        Ok(Some((&bytes[4..], length)))
    } else {
        Err(())
    }
}

/// Sun RPC over UDP, in whole words.
fn rpc_udp(talk: &Talk<'_>) -> Answer {
    let (opener, answerer) = (talk.opener.first(), talk.answerer.first());
    let whole =
        |first: Option<(&[u8], usize)>| first.is_none_or(|(_, wire)| wire.is_multiple_of(4));
    if whole(opener) && whole(answerer) { rpc(talk, opener, answerer) } else { Answer::No }
}

fn rpc(
    talk: &Talk<'_>,
    opener: Option<(&[u8], usize)>,
    answerer: Option<(&[u8], usize)>,
) -> Answer {
    let call = opener.map_or(Fit::Short, |(bytes, length)| rpc_call(bytes, length));
    let reply = answerer.map_or(Fit::Short, |(bytes, length)| rpc_reply(bytes, length));
    let program = opener.and_then(|(bytes, _)| be32(bytes, 12));
    let is_nfs = match (call, program) {
        (Fit::Good, Some(program)) => program == NFS_PROGRAM,
        _ => talk.service_port == NFS_PORT,
    };
    let app = if is_nfs { App::Nfs } else { App::SunRpc };
    match (judge(app, talk, [call, reply], &[]), opener, answerer) {
        (Answer::Sure(app), Some((asked, _)), Some((answered, _))) => {
            if be32(asked, 0) == be32(answered, 0) {
                Answer::Sure(app)
            } else {
                Answer::Likely(app)
            }
        }
        (answer, _, _) => answer,
    }
}

/// Transaction, 0, version 2, program, its version, procedure, credentials and verifier.
fn rpc_call(bytes: &[u8], length: usize) -> Fit {
    if let Some(kind) = be32(bytes, 4)
        && kind != 0
    {
        return Fit::No;
    }
    let (Some(version), Some(program), Some(flavor)) =
        (be32(bytes, 8), be32(bytes, 12), be32(bytes, 24))
    else {
        return if length < 40 { Fit::No } else { Fit::Short };
    };
    let number = be32(bytes, 16).is_some_and(|version| version < 256)
        && be32(bytes, 20).is_some_and(|procedure| procedure < 1024);
    let credentials = flavor <= 6 || (300_000..400_000).contains(&flavor);
    Fit::of(version == 2 && (100_000..0x6000_0000).contains(&program) && number && credentials)
}

/// Transaction, 1, accepted or denied, verifier, status.
fn rpc_reply(bytes: &[u8], length: usize) -> Fit {
    if let Some(kind) = be32(bytes, 4)
        && kind != 1
    {
        return Fit::No;
    }
    match (be32(bytes, 8), be32(bytes, 12), be32(bytes, 16)) {
        (Some(0), Some(flavor @ 0..=6), Some(verifier @ 0..=400)) if length >= 24 => {
            // without authentication the verifier is empty
            let status = be32(bytes, 20 + verifier.next_multiple_of(4) as usize);
            Fit::of((flavor != 0 || verifier == 0) && status.is_none_or(|status| status <= 5))
        }
        (Some(1), Some(0..=1), Some(_)) if length >= 20 => Fit::Good,
        (Some(_), Some(_), Some(_)) => Fit::No,
        _ if length < 20 => Fit::No,
        _ => Fit::Short,
    }
}

/// AFP in DSI (Apple Filing Protocol Programming Guide, "Data Stream Interface"): request or reply,
/// command, request id, offset or error, length, four zeros. Alone only a question for the status
/// or a session's opening will do.
fn afp(talk: &Talk<'_>) -> Answer {
    let header = |bytes: &[u8], flags: u8| {
        let begins = match bytes {
            [] => return Fit::Short,
            [first] => *first == flags,
            [first, command, ..] => *first == flags && matches!(command, 1..=8),
        };
        if !begins {
            return Fit::No;
        }
        match (be32(bytes, 4), be32(bytes, 8), be32(bytes, 12)) {
            (Some(offset), Some(length), Some(0)) => {
                Fit::of((offset == 0 || flags == 1) && length < 1 << 16)
            }
            (_, _, Some(_)) => Fit::No,
            _ => Fit::Short,
        }
    };
    let (opener, answerer) = (talk.opener.bytes(), talk.answerer.bytes());
    let fits = (header(opener, 0), header(answerer, 1));
    match fits {
        // command and request id come back
        (Fit::Good, Fit::Good) if opener[1..4] == answerer[1..4] => Answer::Sure(App::Afp),
        (Fit::Good, Fit::Good) => Answer::No,
        // a status's reply lies at offsets of its own; few bytes are fixed in the others
        (Fit::Short, Fit::Good) if talk.service_port != 548 => Answer::More,
        (Fit::Good, Fit::Short) if talk.service_port != 548 => match opener {
            [_, 3, ..] if opener.len() == 16 => Answer::Likely(App::Afp),
            // with the size of the quantum as an option
            [_, 4, ..] if be16(opener, 16) == Some(0x0104) => Answer::Likely(App::Afp),
            _ => Answer::More,
        },
        (opener, answerer) => judge(App::Afp, talk, [opener, answerer], &[]),
    }
}

/// Git's own daemon: `git-upload-pack` behind a length in hexadecimal; references or a version in
/// answer (`gitprotocol-pack`).
fn git(talk: &Talk<'_>) -> Answer {
    let is_length = |bytes: &[u8]| bytes.iter().take(4).all(u8::is_ascii_hexdigit);
    let bytes = talk.opener.bytes();
    let opener = match bytes.get(4..) {
        _ if !is_length(bytes) => Fit::No,
        None | Some([]) => Fit::Short,
        Some(rest) => [&b"git-upload-pack "[..], b"git-receive-pack ", b"git-upload-archive "]
            .iter()
            .map(|service| starts(rest, service))
            .find(|&fit| fit != Fit::No)
            .unwrap_or(Fit::No),
    };
    let said = talk.answerer.bytes();
    let answerer = match said.get(4..) {
        _ if !is_length(said) => Fit::No,
        None | Some([]) => Fit::Short,
        Some(rest) if rest.starts_with(b"ERR ") || rest.starts_with(b"version ") => Fit::Good,
        Some(rest) if rest.len() < 41 => Fit::Short,
        Some(rest) => {
            let hash = rest.iter().take_while(|b| b.is_ascii_hexdigit()).count();
            Fit::of(matches!(hash, 40 | 64) && rest.get(hash) == Some(&b' '))
        }
    };
    match (opener, answerer) {
        (Fit::Good, Fit::Short | Fit::Good) if bytes.len() > 24 => Answer::Sure(App::Git),
        _ => judge(App::Git, talk, [opener, answerer], &[]),
    }
}

/// BitTorrent's handshake (BEP 3).
fn bittorrent(talk: &Talk<'_>) -> Answer {
    let handshake = |bytes: &[u8]| match starts(bytes, b"\x13BitTorrent protocol") {
        Fit::Good => Fit::Alone,
        fit => fit,
    };
    judge(
        App::BitTorrent,
        talk,
        [handshake(talk.opener.bytes()), handshake(talk.answerer.bytes())],
        &[],
    )
}

/// BitTorrent's distributed hash table (BEP 5): a dictionary of bencoding with a 20-byte node id.
/// The same ports carry its transport as well, so that one end's is enough.
fn dht(talk: &Talk<'_>) -> Answer {
    let is_message = |bytes: &[u8], wire: usize| {
        let head = bytes.starts_with(b"d1:ad2:id20:")
            || bytes.starts_with(b"d1:rd2:id20:")
            || bytes.starts_with(b"d2:ip") && find(bytes, b":rd2:id20:").is_some()
            || bytes.starts_with(b"d1:eli20");
        head && (bytes.len() < wire || bytes.ends_with(b"e"))
    };
    let any = |said: Said<'_>| said.datagrams().any(|(bytes, wire)| is_message(bytes, wire));
    if any(talk.opener) || any(talk.answerer) { Answer::Sure(App::BitTorrent) } else { Answer::No }
}

/// BitTorrent's trackers over UDP (BEP 15): the magic connection id of a connect request, and its
/// transaction in answer.
fn tracker(talk: &Talk<'_>) -> Answer {
    let opener = opening(talk.opener, |bytes, wire| {
        let magic = [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0];
        if wire >= 16 && bytes.starts_with(&magic) { Fit::Alone } else { Fit::No }
    });
    judge(App::BitTorrent, talk, [opener, Fit::Short], &[])
}

/// BitTorrent's discovery in the local network (BEP 14).
fn local_peers(talk: &Talk<'_>) -> Answer {
    let search = |bytes: &[u8], _| match starts(bytes, b"BT-SEARCH * HTTP/1.1\r\n") {
        Fit::Good => Fit::Alone,
        _ => Fit::No,
    };
    judge(App::BitTorrent, talk, [opening(talk.opener, search), Fit::Short], &[])
}

/// BitTorrent's own transport (BEP 29): a SYN of version 1, answered by a state packet for the same
/// connection.
fn utp(talk: &Talk<'_>) -> Answer {
    let syn = |bytes: &[u8], wire: usize| {
        let fits = matches!(bytes, [0x41, 0..=2, ..])
            && be32(bytes, 8) == Some(0)
            && be16(bytes, 18) == Some(0)
            && matches!(wire, 20 | 30);
        Fit::of(fits)
    };
    let opener = opening(talk.opener, syn);
    let answerer = opening(talk.answerer, |bytes, wire| {
        Fit::of(matches!(bytes, [0x21 | 0x31, 0..=2, ..]) && wire >= 20)
    });
    match (opener, answerer) {
        (Fit::Good, Fit::Good) => {
            let [asked, answered] = [talk.opener, talk.answerer]
                .map(|said| said.first().and_then(|(bytes, _)| be16(bytes, 2)));
            if asked == answered { Answer::Sure(App::BitTorrent) } else { Answer::No }
        }
        (Fit::No, _) | (_, Fit::No) => Answer::No,
        // too few fixed bytes in either alone
        _ => Answer::More,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, both_and_halves, hex, tcp, tcp_path, udp};
    use super::*;

    #[test]
    fn copies() {
        both_and_halves(tcp, 873, b"@RSYNCD: 31.0\n", b"@RSYNCD: 31.0 sha512\n", App::Rsync);
        assert_eq!(tcp(873, &[(Opener, b"@RSYNCD: hello")]), App::Unknown);
        let server = b"NBDMAGICIHAVEOPT\0\x03";
        both_and_halves(tcp, 10809, b"\0\0\0\x03IHAVEOPT\0\0\0\x07", server, App::Nbd);
        let old = [b"NBDMAGIC".to_vec(), hex("00004202818612530000000000100000")].concat();
        assert_eq!(tcp(10809, &[(Answerer, &old)]), App::Nbd);
        let login = |opcode: u8, text: &[u8]| {
            let mut bytes = vec![opcode, 0x87, 0, 0, 0, 0, 0, text.len() as u8];
            bytes.extend_from_slice(&[0x40, 1, 0x37, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
            bytes.resize(48, 0);
            bytes.extend_from_slice(text);
            bytes
        };
        let request = login(0x43, b"InitiatorName=iqn.1993-08.org.debian:01:1\0AuthMethod=None\0");
        let answer = login(0x23, b"TargetPortalGroupTag=1\0AuthMethod=None\0");
        both_and_halves(tcp, 3260, &request, &answer, App::Iscsi);
        let bare = login(0x23, b"");
        assert_eq!(tcp(3260, &[(Opener, &request), (Answerer, &bare)]), App::Iscsi);
        assert_eq!(tcp(3260, &[(Opener, &login(0x43, b"Name=x\0"))]), App::Unknown);
    }

    #[test]
    fn shares() {
        let call = |program: &str| {
            hex(&format!("4b2a7c10 00000000 00000002 {program} 00000003 {}", "00000000".repeat(5)))
        };
        let reply = hex("4b2a7c10 00000001 00000000 00000000 00000000 00000000");
        let mark =
            |bytes: &[u8]| [&(0x8000_0000 | bytes.len() as u32).to_be_bytes(), bytes].concat();
        let (nfs, mount) = (call("000186a3"), call("000186a5"));
        assert_eq!(udp(2049, &[(Opener, &nfs), (Answerer, &reply)]), App::Nfs);
        assert_eq!(udp(635, &[(Opener, &mount), (Answerer, &reply)]), App::SunRpc);
        assert_eq!(udp(635, &[(Answerer, &reply)]), App::SunRpc);
        assert_eq!(tcp(2049, &[(Opener, &mark(&nfs)), (Answerer, &mark(&reply))]), App::Nfs);
        assert_eq!(tcp(2049, &[(Opener, &mark(&nfs))]), App::Nfs);
        assert_eq!(tcp_path(2049, &[(Answerer, &mark(&reply))]), [App::Nfs]);
        assert_eq!(tcp_path(111, &[(Answerer, &mark(&reply))]), [App::SunRpc]);
        assert_eq!(udp(2049, &[(Opener, &call("000000a3"))]), App::Unknown);
        let status = hex("00030001 00000000 00000000 00000000");
        let answer = hex("01030001 00000000 00000010 00000000 00000000");
        assert_eq!(tcp(548, &[(Opener, &status), (Answerer, &answer)]), App::Afp);
        let open = hex("00040001 00000000 00000006 00000000 010400000400");
        assert_eq!(tcp(548, &[(Opener, &open)]), App::Afp);
        let command = hex("000222c6 00000000 00000006 00000000 110000020e1c");
        let answer = hex("010222c6 00000000 00000022 00000000 00000e1c");
        assert_eq!(tcp(548, &[(Opener, &command), (Answerer, &answer)]), App::Afp);
        assert_eq!(tcp(9999, &[(Opener, &command)]), App::Unknown);
        assert_eq!(tcp_path(548, &[(Answerer, &answer)]), [App::Afp]);
    }

    #[test]
    fn git_and_torrents() {
        let request = b"0033git-upload-pack /project.git\0host=example.com\0";
        let answer = b"00450123456789abcdef0123456789abcdef01234567 HEAD\0multi_ack\n";
        both_and_halves(tcp, 9418, request, answer, App::Git);
        assert_eq!(tcp(9418, &[(Opener, b"0033git-upload-shovel /project.git\0")]), App::Unknown);
        let handshake = b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x05";
        both_and_halves(tcp, 6881, handshake, handshake, App::BitTorrent);
        let query = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
        let response = b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re";
        assert_eq!(udp(6881, &[(Opener, query), (Answerer, response)]), App::BitTorrent);
        assert_eq!(udp(6881, &[(Answerer, response)]), App::BitTorrent);
        let connect = hex("0000041727101980 00000000 11223344");
        assert_eq!(udp(6969, &[(Opener, &connect)]), App::BitTorrent);
        let syn = hex("4100 77aa 11223344 00000000 00100000 0001 0000");
        let state = hex("2100 77aa 11223355 00000100 00100000 5e11 0001");
        assert_eq!(udp(6881, &[(Opener, &syn), (Answerer, &state)]), App::BitTorrent);
        assert_eq!(udp(6881, &[(Opener, &syn)]), App::Unknown);
        let other = hex("2100 77ab 11223355 00000100 00100000 5e11 0001");
        assert_eq!(udp(6881, &[(Opener, &syn), (Answerer, &other)]), App::Unknown);
    }
}
