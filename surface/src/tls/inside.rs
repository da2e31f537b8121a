//! TLS that begins inside another protocol, behind what both ends say in clear: `STARTTLS` of mail
//! and its like (RFC 3207, RFC 9051 section 6.2.1, RFC 2595, RFC 4217, RFC 4642, RFC 6120 section
//! 5, RFC 4511 section 4.14), `SSLRequest` of PostgreSQL (manual, "SSL Session Encryption") and
//! MySQL (manual, "Protocol::SSLRequest"), and SQL Server's, which wraps the handshake in packets
//! of its own (MS-TDS section 2.2.6.5).

use std::borrow::Cow;

use memchr::{memchr_iter, memmem};

use super::hello::{CLIENT_HELLO, SERVER_HELLO};
use super::{TlsFacts, facts as facts_of, flight, server_done};
use crate::App;
use crate::bytes::{be16, be32};
use crate::talk::{Said, Talk};

/// Bytes that could begin a handshake, looked at.
const BEGINS_MAX: usize = 64;
/// Packets of SQL Server that are unwrapped.
const PACKETS_MAX: usize = 32;

/// Whether TLS can begin inside an application.
pub(crate) const fn may_begin(app: App) -> bool {
    matches!(
        app,
        App::Smtp
            | App::Imap
            | App::Pop
            | App::Ftp
            | App::Nntp
            | App::Xmpp
            | App::Irc
            | App::Ldap
            | App::PostgreSql
            | App::MySql
            | App::Tds
    )
}

/// Where a handshake message of this type begins, in a record whose lengths go with it.
fn begins(bytes: &[u8], ty: u8) -> Option<usize> {
    memchr_iter(22, bytes).take(BEGINS_MAX).find(|&at| {
        let Some(&[_, 3, minor, high, low, this, 0, a, b, 3]) = bytes[at..].first_chunk::<10>()
        else {
            return false;
        };
        let record = usize::from(u16::from_be_bytes([high, low]));
        let message = usize::from(u16::from_be_bytes([a, b]));
        minor <= 4 && this == ty && message >= 38 && (message + 4 <= record || record >= 64)
    })
}

/// What an end said, without SQL Server's packets around the handshake.
fn unwrapped(app: App, bytes: &[u8]) -> Cow<'_, [u8]> {
    if app != App::Tds {
        return Cow::Borrowed(bytes);
    }
    let (mut out, mut rest) = (Vec::new(), bytes);
    for n in 0..PACKETS_MAX {
        let ([0x12 | 4, ..], Some(length)) = (rest, be16(rest, 2)) else { break };
        let length = usize::from(length).max(8);
        // the first is PRELOGIN, or its answer
        if n > 0 {
            out.extend_from_slice(rest.get(8..length.min(rest.len())).unwrap_or_default());
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    Cow::Owned(out)
}

/// The facts of the TLS inside, if it has begun.
pub(crate) fn facts(app: App, talk: &Talk<'_>) -> Option<TlsFacts> {
    if !may_begin(app) {
        return None;
    }
    let [client, server] = [talk.opener, talk.answerer].map(|said| unwrapped(app, said.bytes()));
    let ends = [begins(&client, CLIENT_HELLO), begins(&server, SERVER_HELLO)];
    if ends == [None, None] {
        return None;
    }
    let [client, server] = [(&client, ends[0]), (&server, ends[1])]
        .map(|(bytes, at)| Said::new(at.map_or(&[], |at| &bytes[at..]), &[], true));
    Some(facts_of(&Talk { opener: client, answerer: server, ..*talk }))
}

/// Whether TLS was asked for, or has begun, and its hellos and certificate are still to come.
pub(crate) fn wants_more(app: App, talk: &Talk<'_>) -> bool {
    if !may_begin(app) {
        return false;
    }
    let [client, server] = [talk.opener, talk.answerer].map(|said| unwrapped(app, said.bytes()));
    match (begins(&client, CLIENT_HELLO), begins(&server, SERVER_HELLO)) {
        (None, None) => asks(app, talk.opener.bytes()),
        (_, Some(at)) => !server_done(&server[at..]),
        (Some(at), None) => {
            // an alert, or nothing, in answer
            let hello = flight(&client[at..]);
            !hello.over || hello.message(CLIENT_HELLO).is_none()
        }
    }
}

/// The last that the client said is to begin TLS.
fn asks(app: App, client: &[u8]) -> bool {
    match app {
        // length 8, number
        App::PostgreSql => client.ends_with(&[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]),
        // 32 bytes, second packet, with the bit of TLS
        App::MySql => {
            client.len() == 36 && client.starts_with(&[32, 0, 0, 1]) && client[5] & 8 != 0
        }
        // PRELOGIN alone: what was settled on is the store's own facts
        App::Tds => {
            client.first() == Some(&0x12) && be32(client, 0).is_some() && one_packet(client)
        }
        App::Ldap => memmem::find(client, b"1.3.6.1.4.1.1466.20037").is_some(),
        App::Xmpp => memmem::find(client, b"<starttls").is_some(),
        _ => {
            let lines = client.strip_suffix(b"\n").unwrap_or_default();
            let last = lines.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
            let last = last.trim_ascii().to_ascii_uppercase();
            [&b"STARTTLS"[..], b"STLS", b"AUTH TLS", b"AUTH SSL", b"AUTH TLS-C"]
                .iter()
                .any(|command| last.ends_with(command))
        }
    }
}

fn one_packet(bytes: &[u8]) -> bool {
    be16(bytes, 2).is_some_and(|length| usize::from(length) == bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both hellos as records; the server's of TLS 1.2, without a certificate.
    fn hellos() -> [Vec<u8>; 2] {
        let record = |ty: u8, body: &[u8]| {
            let mut message = vec![ty, 0, 0, body.len() as u8];
            message.extend(body);
            let mut record = vec![22, 3, 1, 0, message.len() as u8];
            record.extend(message);
            record
        };
        let mut client = vec![3, 3];
        client.extend([7; 32]);
        client.extend([0, 0, 2, 0xc0, 0x2f, 1, 0, 0, 14, 0, 0, 0, 10, 0, 8, 0, 0, 5]);
        client.extend(b"mx.io");
        let mut server = vec![3, 3];
        server.extend([9; 32]);
        server.extend([0, 0xc0, 0x2f, 0]);
        server.extend([0, 0]);
        [record(1, &client), record(2, &server)]
    }

    fn told(app: App, client: &[u8], server: &[u8]) -> Option<(Option<String>, Option<u16>)> {
        let talk = Talk {
            opener: Said::new(client, &[], true),
            answerer: Said::new(server, &[], true),
            ..Talk::default()
        };
        facts(app, &talk).map(|facts| (facts.sni, facts.cipher))
    }

    fn open(app: App, client: &[u8], server: &[u8]) -> bool {
        wants_more(
            app,
            &Talk {
                opener: Said::new(client, &[], true),
                answerer: Said::new(server, &[], true),
                ..Talk::default()
            },
        )
    }

    #[test]
    fn behind_what_is_said_in_clear() {
        let [client, server] = hellos();
        let both = Some((Some("mx.io".to_owned()), Some(0xc02f)));
        let postgres = [0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f];
        let mut mysql = vec![32, 0, 0, 1, 0x85, 0xae, 0xff];
        mysql.resize(36, 0);
        let mut greeting = vec![74, 0, 0, 0, 10];
        greeting.resize(78, b'5');
        for (app, asks, says) in [
            (
                App::Smtp,
                &b"EHLO x\r\nSTARTTLS\r\n"[..],
                &b"220 a\r\n250 STARTTLS\r\n220 go\r\n"[..],
            ),
            (App::Imap, b"a1 STARTTLS\r\n", b"* OK x\r\na1 OK go\r\n"),
            (App::Pop, b"stls\r\n", b"+OK x\r\n+OK go\r\n"),
            (App::Ftp, b"AUTH TLS\r\n", b"220 x\r\n234 go\r\n"),
            (App::Xmpp, b"<stream><starttls xmlns='x'/>", b"<proceed/>"),
            (
                App::Ldap,
                b"0\x1d\x02\x01\x01w\x18\x80\x161.3.6.1.4.1.1466.20037",
                b"0\x0c\x02\x01\x01",
            ),
            (App::PostgreSql, &postgres, b"S"),
            (App::MySql, &mysql, &greeting),
        ] {
            assert!(open(app, asks, says), "{app}");
            assert_eq!(told(app, asks, says), None, "{app}");
            let (c, s) = ([asks, &client].concat(), [says, &server].concat());
            assert!(open(app, &c, says), "{app}: the server's hello is to come");
            assert_eq!(told(app, &c, &s), both, "{app}");
            // each half alone
            assert_eq!(told(app, &c, b"").and_then(|told| told.0).as_deref(), Some("mx.io"));
            assert_eq!(told(app, b"", &s).and_then(|told| told.1), Some(0xc02f));
            for end in 0..c.len() {
                let _ = (told(app, &c[..end], &s), open(app, &c[..end], &s));
            }
        }
    }

    #[test]
    fn in_packets_of_sql_server() {
        let [client, server] = hellos();
        let packet = |kind: u8, body: &[u8]| {
            let mut packet = vec![kind, 1];
            packet.extend((body.len() as u16 + 8).to_be_bytes());
            packet.extend([0, 0, 1, 0]);
            packet.extend(body);
            packet
        };
        let (ask, tell) = (packet(0x12, &[0xff]), packet(4, &[0xff]));
        // a record in two packets
        let c = [&ask[..], &packet(0x12, &client[..20]), &packet(0x12, &client[20..])].concat();
        let s = [&tell[..], &packet(0x12, &server)].concat();
        assert_eq!(told(App::Tds, &c, &s), Some((Some("mx.io".to_owned()), Some(0xc02f))));
        assert!(open(App::Tds, &ask, b""));
        // a logon without it
        let clear = [&ask[..], &packet(0x10, &[0; 90])].concat();
        assert_eq!(told(App::Tds, &clear, &tell), None);
        assert!(!open(App::Tds, &clear, &tell));
    }

    #[test]
    fn what_only_looks_like_it() {
        // refused, and gone on without
        assert!(!open(App::Smtp, b"EHLO x\r\nSTARTTLS\r\nMAIL FROM:<a@b>\r\n", b""));
        assert_eq!(
            told(App::Smtp, b"STARTTLS\r\n\x16\x03\x01\0\x04text and more of it", b""),
            None
        );
        // another protocol's bytes are not searched
        let [client, server] = hellos();
        assert_eq!(told(App::Smb, &client, &server), None);
        assert_eq!(
            told(App::Smtp, b"DATA\r\nSubject: \x16\x03\x01\0\xff\x02\0\0\xfb\x03", b""),
            None
        );
    }
}
