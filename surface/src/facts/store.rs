//! What stores of data show of how they protect what crosses the network.

use memchr::memmem;

use crate::App;
use crate::bytes::{be16, be32};
use crate::talk::Talk;
use crate::tls::TlsFacts;

/// How much of a store's conversation is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encrypted {
    /// Nothing.
    Nothing,
    /// The logon only.
    Logon,
    /// All of it.
    All,
}

/// Of SQL Server, Firebird and DICOM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreFacts {
    /// What is encrypted, if both ends have settled on it.
    pub encrypted: Option<Encrypted>,
    /// The client offers only a logon whose password is as good as in clear (Firebird's
    /// `Legacy_Auth`).
    pub legacy_logon: bool,
    /// Title of the caller that was accepted, as 16 bytes in DICOM.
    pub caller: Option<[u8; 16]>,
    /// Of the TLS that begins inside.
    pub tls: Option<Box<TlsFacts>>,
}

/// Whether an application is one of those.
pub(super) fn is_store(app: App) -> bool {
    matches!(app, App::Tds | App::Firebird | App::Dicom)
}

pub(super) fn facts(app: App, talk: &Talk<'_>) -> StoreFacts {
    let (client, server) = (talk.opener.bytes(), talk.answerer.bytes());
    match app {
        App::Tds => StoreFacts { encrypted: tds(client, server), ..StoreFacts::default() },
        App::Firebird => firebird(client),
        App::Dicom => dicom(client, server),
        _ => StoreFacts::default(),
    }
}

/// The ends have not settled yet.
pub(super) fn wants_more(app: App, talk: &Talk<'_>) -> bool {
    facts(app, talk).encrypted.is_none()
}

/// The server's answer to PRELOGIN (MS-TDS section 2.2.6.5): option 1, ENCRYPTION.
fn tds(client: &[u8], server: &[u8]) -> Option<Encrypted> {
    if client.first() == Some(&0x10) {
        return Some(Encrypted::Nothing); // LOGIN7 without it
    }
    if client.first() != Some(&0x12) || server.first() != Some(&4) {
        return None;
    }
    let length = usize::from(be16(server, 2)?);
    let options = server.get(8..length)?;
    for option in options.chunks_exact(5).take(16) {
        if option[0] == 0xff {
            break;
        }
        if option[0] == 1 {
            let at = usize::from(u16::from_be_bytes([option[1], option[2]]));
            return Some(match options.get(at)? {
                0 => Encrypted::Logon,
                1 | 3 => Encrypted::All,
                2 => Encrypted::Nothing,
                _ => return None,
            });
        }
    }
    None
}

const OP_ATTACH: u32 = 19;
const OP_CREATE: u32 = 20;
/// What `op_crypt` (96) names: the plugins that Firebird comes with.
const CRYPT: [&[u8]; 3] =
    [b"\0\0\0\x60\0\0\0\x04Arc4", b"\0\0\0\x60\0\0\0\x06ChaCha", b"\0\0\0\x60\0\0\0\x08ChaCha64"];
/// Field of the client's identification that lists the logons it offers.
const PLUGIN_LIST: u8 = 10;

/// `op_connect`, then `op_crypt` or the request to attach in clear (Firebird `remote/protocol.h`).
fn firebird(client: &[u8]) -> StoreFacts {
    let mut facts = StoreFacts::default();
    let padded = |length: usize| length.div_ceil(4) * 4;
    let Some(length) = be32(client, 16).map(|length| length as usize) else { return facts };
    let Some(path) = client.get(20..20_usize.saturating_add(length)) else { return facts };
    // behind the path: how many versions are offered, and who asks
    let at = 20 + padded(length);
    let Some(user_length) = be32(client, at + 4).map(|length| length as usize) else {
        return facts;
    };
    let begin = at + 8;
    let Some(user) = client.get(begin..begin.saturating_add(user_length)) else { return facts };
    facts.legacy_logon = fields(user)
        .find(|(tag, _)| *tag == PLUGIN_LIST)
        .is_some_and(|(_, list)| list.eq_ignore_ascii_case(b"Legacy_Auth"));
    let rest = client.get(begin + padded(user_length)..).unwrap_or_default();
    if CRYPT.iter().any(|begin| memmem::find(rest, begin).is_some()) {
        facts.encrypted = Some(Encrypted::All);
    } else if !path.is_empty() {
        let attaches = |op: u32| {
            let mut wanted = [op.to_be_bytes(), [0; 4], (length as u32).to_be_bytes()].concat();
            wanted.extend(path);
            memmem::find(rest, &wanted).is_some()
        };
        if attaches(OP_ATTACH) || attaches(OP_CREATE) {
            facts.encrypted = Some(Encrypted::Nothing);
        }
    }
    facts
}

/// Tag, length, value.
fn fields(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let [tag, length, behind @ ..] = rest else { return None };
        let (value, behind) = behind.split_at_checked(usize::from(*length))?;
        rest = behind;
        Some((*tag, value))
    })
}

/// An association asked for, and accepted (PS3.8 sections 9.3.2 and 9.3.3).
fn dicom(client: &[u8], server: &[u8]) -> StoreFacts {
    let mut facts = StoreFacts::default();
    if client.first() == Some(&1) && server.starts_with(&[2, 0]) {
        facts.encrypted = Some(Encrypted::Nothing);
        facts.caller = client.get(26..).and_then(<[u8]>::first_chunk).copied();
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::talk::Said;

    fn of(app: App, client: &[u8], server: &[u8]) -> StoreFacts {
        let talk = Talk {
            opener: Said::new(client, &[], true),
            answerer: Said::new(server, &[], true),
            ..Talk::default()
        };
        facts(app, &talk)
    }

    #[test]
    fn what_sql_server_settles_on() {
        let reply = |encryption: u8| {
            let mut bytes = vec![4, 1, 0, 26, 0, 0, 1, 0];
            bytes.extend([0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff]);
            bytes.extend([15, 0, 8, 0, 0, 0, encryption]);
            bytes
        };
        for (value, expected) in [
            (0, Some(Encrypted::Logon)),
            (1, Some(Encrypted::All)),
            (2, Some(Encrypted::Nothing)),
            (3, Some(Encrypted::All)),
            (9, None),
        ] {
            assert_eq!(of(App::Tds, &[0x12, 1], &reply(value)).encrypted, expected);
        }
        let whole = reply(2);
        for end in 0..whole.len() {
            assert_eq!(of(App::Tds, &[0x12, 1], &whole[..end]).encrypted, None);
        }
    }

    fn connect(plugins: &[u8]) -> Vec<u8> {
        let mut user = vec![10, plugins.len() as u8];
        user.extend(plugins);
        let path = b"practice.fdb";
        let mut bytes = [1_u32, 19, 3, 1, 12].map(u32::to_be_bytes).concat();
        bytes.extend(path);
        bytes.extend([1, user.len() as u32].map(u32::to_be_bytes).concat());
        bytes.extend(&user);
        bytes.resize(bytes.len().div_ceil(4) * 4, 0);
        bytes.extend([0; 20]);
        bytes
    }

    #[test]
    fn what_firebird_settles_on() {
        let mut clear = connect(b"Legacy_Auth");
        assert_eq!(of(App::Firebird, &clear, b"").encrypted, None);
        clear.extend([19_u32, 0, 12].map(u32::to_be_bytes).concat());
        clear.extend(b"practice.fdb");
        let facts = of(App::Firebird, &clear, b"");
        assert_eq!((facts.encrypted, facts.legacy_logon), (Some(Encrypted::Nothing), true));
        let mut crypt = connect(b"Srp256,Srp,Legacy_Auth");
        crypt.extend(b"\0\0\0\x60\0\0\0\x04Arc4\0\0\0\x09Symmetric\0\0\0");
        let facts = of(App::Firebird, &crypt, b"");
        assert_eq!((facts.encrypted, facts.legacy_logon), (Some(Encrypted::All), false));
        for end in 0..crypt.len() {
            let _ = of(App::Firebird, &crypt[..end], b"");
        }
    }

    #[test]
    fn who_calls_an_imaging_server() {
        let mut ask = vec![1, 0, 0, 0, 0, 68, 0, 1, 0, 0];
        ask.extend(b"PACS            CT1             ");
        let facts = of(App::Dicom, &ask, &[2, 0, 0, 0]);
        assert_eq!(facts.caller.as_ref(), Some(b"CT1             "));
        // rejected, or no answer yet
        assert_eq!(of(App::Dicom, &ask, &[3, 0, 0, 0]), StoreFacts::default());
        assert_eq!(of(App::Dicom, &ask, b""), StoreFacts::default());
    }
}
