//! What conversations in clear show of how their ends protect themselves: whether a password
//! crossed, never which; what SMB settled on; which NTLM answered.

use memchr::memmem;

use crate::App;
use crate::bytes::{le16, le32};
use crate::talk::Talk;

/// How a client proved itself by NTLM (MS-NLMP section 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ntlm {
    /// Not at all: as nobody.
    Anonymous,
    /// By version 2.
    V2,
    /// By version 1, with session security of its own time.
    V1Session,
    /// By version 1.
    V1,
}

impl Ntlm {
    /// In lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::V2 => "v2",
            Self::V1Session => "v1-session",
            Self::V1 => "v1",
        }
    }
}

/// What the ends of an SMB connection settled on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SmbFacts {
    /// The server accepted version 1.
    pub version1: bool,
    /// Dialect that the server chose (MS-SMB2 section 2.2.4), of version 2 and 3.
    pub dialect: Option<u16>,
    /// Whether the server asks for signatures.
    pub signing_required: Option<bool>,
    /// How the client proved itself, if by NTLM and in clear.
    pub ntlm: Option<Ntlm>,
}

/// Messages read of one end.
const MESSAGES_MAX: usize = 64;

/// Messages in NetBIOS sessions (RFC 1002 section 4.3.1), the last as far as it was seen.
fn messages(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        loop {
            let [kind, a, b, c, behind @ ..] = rest else { return None };
            let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            let message = &behind[..length.min(behind.len())];
            rest = &behind[message.len()..];
            if *kind == 0 && !message.is_empty() {
                return Some(message);
            }
        }
    })
    .take(MESSAGES_MAX)
}

const SMB1: [u8; 4] = *b"\xffSMB";
const SMB2: [u8; 4] = *b"\xfeSMB";
const SMB1_NEGOTIATE: u8 = 0x72;
const SMB1_SESSION_SETUP: u8 = 0x73;

/// Of an SMB connection.
pub(super) fn smb(talk: &Talk<'_>) -> SmbFacts {
    let mut facts = SmbFacts::default();
    for message in messages(talk.answerer.bytes()) {
        match message.first_chunk() {
            // MS-CIFS section 2.2.4.52.2: words, dialect's index (FFFF: none), security mode
            Some(&SMB1) if message.get(4) == Some(&SMB1_NEGOTIATE) => {
                let index = le16(message, 33).unwrap_or(0xffff);
                if message.get(9).is_some_and(|flags| flags & 0x80 != 0) && index != 0xffff {
                    facts.version1 = true;
                    facts.signing_required = message.get(35).map(|mode| mode & 8 != 0);
                }
            }
            // MS-SMB2 section 2.2.4: size 65, security mode, dialect (02FF: negotiated again)
            Some(&SMB2) if le16(message, 12) == Some(0) && le16(message, 64) == Some(65) => {
                let dialect = le16(message, 68);
                facts.dialect = dialect.filter(|&dialect| dialect != 0x02ff).or(facts.dialect);
                facts.signing_required = le16(message, 66).map(|mode| mode & 2 != 0);
            }
            _ => {}
        }
    }
    facts.ntlm = messages(talk.opener.bytes()).find_map(ntlm);
    facts
}

/// The client's answer to the server's challenge (MS-NLMP section 2.2.1.3).
fn ntlm(bytes: &[u8]) -> Option<Ntlm> {
    let at = memmem::find(bytes, b"NTLMSSP\0\x03\0\0\0")?;
    let message = bytes.get(at..)?;
    let nt_length = le16(message, 20)?;
    let flags = le32(message, 60)?;
    Some(match nt_length {
        0 => Ntlm::Anonymous,
        24 if flags & 0x0008_0000 != 0 => Ntlm::V1Session,
        24 => Ntlm::V1,
        25.. => Ntlm::V2,
        _ => return None,
    })
}

/// The client has proved itself, or goes on without, or behind encryption.
fn smb_is_told(talk: &Talk<'_>) -> bool {
    messages(talk.opener.bytes()).any(|message| match message.first_chunk() {
        Some(&SMB1) => {
            !matches!(message.get(4), Some(&SMB1_NEGOTIATE | &SMB1_SESSION_SETUP))
                || ntlm(message).is_some()
        }
        // negotiate, session setup
        Some(&SMB2) => {
            le16(message, 12).is_none_or(|command| command > 1) || ntlm(message).is_some()
        }
        _ => true,
    })
}

/// Words in names of files that hold a device's settings.
const SETTINGS: [&[u8]; 6] = [
    b"running-config",
    b"startup-config",
    b"-confg",
    b"router-config",
    b"switch-config",
    b"backupsettings",
];
/// Bytes of a name that are looked at.
const NAME_MAX: usize = 256;

/// Whether a file is named like a device's settings.
pub(crate) fn names_settings(name: &[u8]) -> bool {
    let name = name[..name.len().min(NAME_MAX)].to_ascii_lowercase();
    SETTINGS.iter().any(|word| memmem::find(&name, word).is_some())
}

/// Whether a request of HTTP for such a file was granted, or one was handed over.
pub(super) fn carries_settings(talk: &Talk<'_>) -> bool {
    let mut line = talk.opener.bytes().split(|&byte| byte == b'\n').next().unwrap_or_default();
    if let Some(end) = memchr::memchr(b'?', line) {
        line = &line[..end];
    }
    let method = [&b"GET "[..], b"PUT ", b"POST "].iter().any(|method| line.starts_with(method));
    method && talk.answerer.bytes().get(8..10) == Some(b" 2") && names_settings(line)
}

/// What a client's bytes come to as to a password in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Logon {
    /// Nothing yet.
    Open,
    /// It does not come any more.
    Not,
    /// It crossed.
    Clear,
}

/// Whether a password crossed in clear.
pub(super) fn is_clear_logon(app: App, path: &[App], talk: &Talk<'_>) -> bool {
    logon(app, path, talk) == Logon::Clear
}

fn logon(app: App, path: &[App], talk: &Talk<'_>) -> Logon {
    let client = talk.opener.bytes();
    match app {
        _ if path.contains(&App::Tls) => Logon::Not,
        App::Ftp | App::Pop | App::Imap | App::Smtp => lines(app, client),
        App::Ldap => ldap(client),
        _ if path.contains(&App::Http) => basic(client),
        _ => Logon::Not,
    }
}

/// Commands of mail and files (RFC 959 section 4.1.1, RFC 1939 section 7, RFC 5034, RFC 9051
/// sections 6.2.2 and 6.2.3, RFC 4954 section 4).
fn lines(app: App, client: &[u8]) -> Logon {
    let mut anonymous = false;
    for line in client.split_inclusive(|&byte| byte == b'\n') {
        // TLS has begun
        if let [22, 3, ..] = line {
            return Logon::Not;
        }
        if !line.ends_with(b"\n") {
            break;
        }
        let line = String::from_utf8_lossy(line).to_ascii_uppercase();
        let mut words = line.split_ascii_whitespace();
        if app == App::Imap {
            words.next(); // the tag
        }
        let (command, next) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match (app, command) {
            (App::Ftp, "USER") => anonymous = matches!(next, "ANONYMOUS" | "FTP"),
            (App::Ftp | App::Pop, "PASS") | (App::Imap, "LOGIN") if !next.is_empty() => {
                return if anonymous { Logon::Not } else { Logon::Clear };
            }
            (App::Pop, "APOP") | (App::Smtp, "MAIL") => return Logon::Not,
            (App::Imap, "AUTHENTICATE") | (App::Pop | App::Smtp, "AUTH") if !next.is_empty() => {
                let clear = matches!(next, "PLAIN" | "LOGIN");
                return if clear { Logon::Clear } else { Logon::Not };
            }
            _ => {}
        }
    }
    Logon::Open
}

/// Requests with a name and a password that anyone can read (RFC 7617 section 2).
fn basic(client: &[u8]) -> Logon {
    let says = |bytes: &[u8], field: &[u8], value: &[u8]| {
        bytes.split(|&byte| byte == b'\n').take(256).any(|line| {
            let begin =
                line.get(..field.len()).is_some_and(|name| name.eq_ignore_ascii_case(field));
            let behind = line.get(field.len()..).unwrap_or_default().trim_ascii_start();
            begin && behind.get(..value.len()).is_some_and(|v| v.eq_ignore_ascii_case(value))
        })
    };
    if says(client, b"authorization:", b"basic ")
        || says(client, b"proxy-authorization:", b"basic ")
    {
        return Logon::Clear;
    }
    // the first request's head is not complete
    let open = !client.is_empty() && memmem::find(client, b"\r\n\r\n").is_none();
    if open { Logon::Open } else { Logon::Not }
}

/// Requests to bind (RFC 4511 section 4.2), the first ones of a connection.
fn ldap(client: &[u8]) -> Logon {
    let mut rest = client;
    for _ in 0..MESSAGES_MAX {
        if let [22, 3, ..] = rest {
            return Logon::Not;
        }
        let Some((0x30, message, behind)) = ber(rest) else { break };
        rest = behind;
        let Some((2, _, operation)) = ber(message) else { break };
        let Some((0x60, bind, _)) = ber(operation) else { continue };
        let parts =
            ber(bind).and_then(|(_, _, behind)| ber(behind)).and_then(|(_, _, behind)| ber(behind));
        return match parts {
            // a simple password; none is nobody's (section 5.1.1 of RFC 4513)
            Some((0x80, password, _)) if !password.is_empty() => Logon::Clear,
            Some((0x80, ..)) => continue,
            _ => Logon::Not,
        };
    }
    Logon::Open
}

/// Tag, contents and what is behind of an element of BER with a definite length.
fn ber(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = bytes else { return None };
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (digits.iter().fold(0, |sum, &digit| sum << 8 | usize::from(digit)), rest)
        }
        _ => return None,
    };
    let (contents, behind) = rest.split_at_checked(length)?;
    Some((*tag, contents, behind))
}

/// More bytes of a connection whose application is known may tell more.
pub(super) fn wants_more(app: App, path: &[App], talk: &Talk<'_>) -> bool {
    match app {
        App::Smb => !smb_is_told(talk),
        _ => logon(app, path, talk) == Logon::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::talk::Said;

    fn talk<'a>(client: &'a [u8], server: &'a [u8]) -> Talk<'a> {
        Talk {
            opener: Said::new(client, &[], true),
            answerer: Said::new(server, &[], true),
            ..Talk::default()
        }
    }

    fn said(app: App, client: &[u8]) -> Logon {
        logon(app, &[app], &talk(client, b""))
    }

    #[test]
    fn passwords_in_lines() {
        assert_eq!(said(App::Ftp, b"USER anna\r\nPASS x1\r\n"), Logon::Clear);
        assert_eq!(said(App::Ftp, b"USER anna\r\nPASS x1"), Logon::Open);
        assert_eq!(said(App::Ftp, b"USER anonymous\r\nPASS me@x\r\n"), Logon::Not);
        assert_eq!(said(App::Ftp, b"AUTH TLS\r\n\x16\x03\x01\x02"), Logon::Not);
        assert_eq!(said(App::Pop, b"user anna\r\npass x1\r\n"), Logon::Clear);
        assert_eq!(said(App::Pop, b"APOP anna c4c9334bac560ecc979e58001b3e22fb\r\n"), Logon::Not);
        assert_eq!(said(App::Pop, b"CAPA\r\nAUTH\r\n"), Logon::Open);
        assert_eq!(said(App::Imap, b"a1 CAPABILITY\r\na2 LOGIN anna x1\r\n"), Logon::Clear);
        assert_eq!(said(App::Imap, b"a1 AUTHENTICATE GSSAPI\r\n"), Logon::Not);
        assert_eq!(said(App::Imap, b"a1 STARTTLS\r\n\x16\x03\x01"), Logon::Not);
        assert_eq!(said(App::Smtp, b"EHLO x\r\nAUTH PLAIN AGEAYg==\r\n"), Logon::Clear);
        assert_eq!(said(App::Smtp, b"EHLO x\r\nMAIL FROM:<a@b>\r\nAUTH\r\n"), Logon::Not);
        assert_eq!(logon(App::Imap, &[App::Tls, App::Imap], &talk(b"", b"")), Logon::Not);
    }

    #[test]
    fn settings_in_requests() {
        let crosses = |request: &[u8], answer: &[u8]| carries_settings(&talk(request, answer));
        let (get, fine) = (b"GET /startup-config.cfg HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n");
        assert!(crosses(get, fine));
        assert!(crosses(b"PUT /tmp/Running-Config HTTP/1.0\r\n\r\n", b"HTTP/1.0 201 Created\r\n"));
        // refused; not answered; another file; a word in a question or a header
        assert!(!crosses(get, b"HTTP/1.1 401 Unauthorized\r\n"));
        assert!(!crosses(get, b""));
        assert!(!crosses(b"GET /config HTTP/1.1\r\n\r\n", fine));
        assert!(!crosses(b"GET /help?q=startup-config HTTP/1.1\r\n\r\n", fine));
        assert!(!crosses(b"GET / HTTP/1.1\r\nReferer: /startup-config\r\n\r\n", fine));
    }

    #[test]
    fn passwords_in_requests() {
        let http =
            |client: &[u8], server: &[u8]| logon(App::Http, &[App::Http], &talk(client, server));
        let request = b"GET / HTTP/1.1\r\nHost: x\r\nauthorization:Basic YTpi\r\n\r\n";
        assert_eq!(http(request, b"HTTP/1.1 200 OK\r\n\r\n"), Logon::Clear);
        let plain = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(http(&plain[..20], b""), Logon::Open);
        assert_eq!(http(plain, b"HTTP/1.1 200 OK\r\n\r\nAuthorization: Basic "), Logon::Not);
        let bearer = b"GET / HTTP/1.1\r\nAuthorization: Bearer Basic \r\n\r\n";
        assert_eq!(http(bearer, b"HTTP/1.1 200 OK\r\n\r\n"), Logon::Not);
    }

    #[test]
    fn passwords_in_binds() {
        let bind = |id: u8, auth: &[u8]| {
            let mut bind = vec![2, 1, 3, 4, 4];
            bind.extend(b"cn=a");
            bind.extend(auth);
            let mut message = vec![2, 1, id, 0x60, bind.len() as u8];
            message.extend(bind);
            let mut bytes = vec![0x30, message.len() as u8];
            bytes.extend(message);
            bytes
        };
        let simple = bind(2, &[0x80, 2, b'x', b'1']);
        assert_eq!(said(App::Ldap, &simple), Logon::Clear);
        assert_eq!(said(App::Ldap, &simple[..simple.len() - 1]), Logon::Open);
        assert_eq!(said(App::Ldap, &bind(1, &[0xa3, 2, 4, 0])), Logon::Not);
        let nobody = bind(1, &[0x80, 0]);
        assert_eq!(said(App::Ldap, &nobody), Logon::Open);
        assert_eq!(said(App::Ldap, &[nobody, simple].concat()), Logon::Clear);
    }

    fn session(message: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, message.len() as u8];
        bytes.extend(message);
        bytes
    }

    fn smb1_reply(index: u16, mode: u8) -> Vec<u8> {
        let mut message = vec![0; 70];
        message[..5].copy_from_slice(b"\xffSMB\x72");
        message[9] = 0x88;
        message[32] = 17;
        message[33..35].copy_from_slice(&index.to_le_bytes());
        message[35] = mode;
        session(&message)
    }

    fn smb2_reply(mode: u8, dialect: u16) -> Vec<u8> {
        let mut message = vec![0; 130];
        message[..4].copy_from_slice(b"\xfeSMB");
        message[64] = 65;
        message[66] = mode;
        message[68..70].copy_from_slice(&dialect.to_le_bytes());
        session(&message)
    }

    fn authenticate(command: u8, nt_length: u16, flags: u32) -> Vec<u8> {
        let mut message = b"\xfeSMB".to_vec();
        message.resize(88, 0);
        message[12] = command;
        message.extend(b"NTLMSSP\0\x03\0\0\0");
        message.extend([24, 0, 24, 0, 88, 0, 0, 0]);
        message.extend(nt_length.to_le_bytes());
        message.resize(88 + 60, 0);
        message.extend(flags.to_le_bytes());
        session(&message)
    }

    #[test]
    fn what_smb_settled_on() {
        let facts = smb(&talk(b"", &smb1_reply(5, 3)));
        assert!(facts.version1);
        assert_eq!(facts.signing_required, Some(false));
        // it was offered only; or upgraded
        assert_eq!(smb(&talk(b"", &smb1_reply(0xffff, 3))), SmbFacts::default());
        let upgraded = [smb2_reply(1, 0x02ff), smb2_reply(3, 0x0311)].concat();
        let facts = smb(&talk(b"", &upgraded));
        assert_eq!((facts.version1, facts.dialect), (false, Some(0x0311)));
        assert_eq!(facts.signing_required, Some(true));
        for end in 0..upgraded.len() {
            let _ = smb(&talk(&upgraded[..end], &upgraded[..end]));
        }
    }

    #[test]
    fn which_ntlm_answered() {
        for (nt_length, flags, expected) in [
            (24, 0, Ntlm::V1),
            (24, 0x0008_0000, Ntlm::V1Session),
            (300, 0x0008_0000, Ntlm::V2),
            (0, 0, Ntlm::Anonymous),
        ] {
            let client = authenticate(1, nt_length, flags);
            assert_eq!(smb(&talk(&client, b"")).ntlm, Some(expected));
            assert!(!wants_more(App::Smb, &[App::Smb], &talk(&client, b"")));
        }
        let negotiate = &b"\0\0\0\x28\xfeSMB\x40\0\0\0\0\0\0\0\0\0"[..];
        assert!(wants_more(App::Smb, &[App::Smb], &talk(negotiate, b"")));
        let tree_connect = authenticate(3, 300, 0);
        assert!(!wants_more(App::Smb, &[App::Smb], &talk(&tree_connect, b"")));
    }
}
