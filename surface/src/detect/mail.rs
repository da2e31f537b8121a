//! Mail and files by protocols of lines: the server greets, the client commands.

use crate::App;
use crate::talk::{Answer, Talk, Test};

pub(super) const TCP: &[Test] = &[smtp, ftp, pop, imap];

/// How well bytes fit what is expected of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// They cannot.
    No,
    /// So far; too few.
    Open,
    /// They do.
    Yes,
    /// They do, and name the protocol.
    Named,
}

/// A protocol of lines in which the server speaks first.
struct Lines {
    app: App,
    /// What the greeting begins with.
    greetings: &'static [&'static [u8]],
    /// Words in it that name the protocol, in lower case.
    names: &'static [&'static [u8]],
    /// First words of the client's lines, in upper case.
    commands: &'static [&'static [u8]],
    /// A tag comes before the command.
    tagged: bool,
}

/// RFC 5321 sections 4.1.1, 4.2.
const SMTP: Lines = Lines {
    app: App::Smtp,
    greetings: &[b"220 ", b"220-", b"554 ", b"421 "],
    names: &[b"smtp", b"mail"],
    commands: &[b"EHLO", b"HELO", b"LHLO", b"MAIL"],
    tagged: false,
};
/// RFC 959 sections 4.1, 4.2, RFC 2228, RFC 2389, RFC 7151.
const FTP: Lines = Lines {
    app: App::Ftp,
    greetings: &[b"220 ", b"220-", b"421 ", b"530 ", b"500 "],
    names: &[b"ftp"],
    commands: &[
        b"USER", b"PASS", b"AUTH", b"FEAT", b"SYST", b"OPTS", b"HOST", b"PORT", b"PASV", b"EPSV",
        b"TYPE", b"PBSZ", b"CWD", b"PWD", b"XPWD", b"LIST", b"RETR", b"STOR",
    ],
    tagged: false,
};
/// RFC 1939, RFC 2449, RFC 2595, RFC 5034.
const POP: Lines = Lines {
    app: App::Pop,
    greetings: &[b"+OK"],
    names: &[b"pop"],
    commands: &[b"USER", b"CAPA", b"APOP", b"AUTH", b"STLS", b"PASS", b"STAT", b"UTF8"],
    tagged: false,
};
/// RFC 9051 sections 6 and 7, RFC 2971.
const IMAP: Lines = Lines {
    app: App::Imap,
    greetings: &[b"* OK", b"* PREAUTH", b"* BYE"],
    names: &[b"imap"],
    commands: &[
        b"CAPABILITY",
        b"LOGIN",
        b"AUTHENTICATE",
        b"STARTTLS",
        b"ID",
        b"NOOP",
        b"SELECT",
        b"EXAMINE",
        b"NAMESPACE",
        b"ENABLE",
        b"LIST",
        b"LSUB",
        b"STATUS",
        b"UID",
        b"FETCH",
    ],
    tagged: true,
};

fn smtp(talk: &Talk<'_>) -> Answer {
    SMTP.test(talk)
}
fn ftp(talk: &Talk<'_>) -> Answer {
    FTP.test(talk)
}
fn pop(talk: &Talk<'_>) -> Answer {
    POP.test(talk)
}
fn imap(talk: &Talk<'_>) -> Answer {
    IMAP.test(talk)
}

/// Bytes of a first line.
const LINE_MAX: usize = 1024;

impl Lines {
    /// Greeting and command are sure; one alone is likely if it names the protocol.
    fn test(&self, talk: &Talk<'_>) -> Answer {
        let (client, server) = (talk.opener.bytes(), talk.answerer.bytes());
        let greets = self.server(server);
        if greets == Fit::No {
            return Answer::No;
        }
        match (self.client(client), greets) {
            (Fit::No, _) | (_, Fit::No) => Answer::No,
            (Fit::Yes | Fit::Named, Fit::Yes | Fit::Named) => Answer::Sure(self.app),
            (Fit::Named, Fit::Open) if server.is_empty() => Answer::Likely(self.app),
            (Fit::Open, Fit::Named) if client.is_empty() => Answer::Likely(self.app),
            _ if talk.last => Answer::No,
            _ => Answer::More,
        }
    }

    fn server(&self, bytes: &[u8]) -> Fit {
        let begins = |greeting: &&[u8]| {
            let common = greeting.len().min(bytes.len());
            bytes[..common] == greeting[..common]
        };
        let Some(greeting) = self.greetings.iter().find(|g| begins(g)) else { return Fit::No };
        let Some(line) = line(bytes) else { return open(bytes) };
        if line.len() < greeting.len() || line.iter().any(|&b| b < b' ' && b != b'\t') {
            return Fit::No;
        }
        let lower = line.to_ascii_lowercase();
        let named = self.names.iter().any(|name| lower.windows(name.len()).any(|w| w == *name));
        if named { Fit::Named } else { Fit::Yes }
    }

    fn client(&self, bytes: &[u8]) -> Fit {
        if !self.tagged && !self.commands.iter().any(|known| begins(bytes, known)) {
            return Fit::No;
        }
        let Some(line) = line(bytes) else {
            let text = bytes.iter().all(|b| b.is_ascii_graphic() || matches!(b, b' ' | b'\r'));
            return if text { open(bytes) } else { Fit::No };
        };
        let mut words = line.split(|&b| b == b' ');
        if self.tagged {
            let tag = words.next().unwrap_or_default();
            let fits = (1..=16).contains(&tag.len())
                && tag.iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b));
            if !fits {
                return Fit::No;
            }
        }
        let command = words.next().unwrap_or_default();
        if !self.commands.iter().any(|known| known.eq_ignore_ascii_case(command)) {
            return Fit::No;
        }
        if line.iter().any(|&b| b < b' ' && b != b'\t') {
            return Fit::No;
        }
        // words that only this protocol has
        let own = matches!(
            command.to_ascii_uppercase().as_slice(),
            b"EHLO" | b"HELO" | b"LHLO" | b"APOP" | b"CAPA" | b"STLS" | b"PASV" | b"EPSV" | b"XPWD"
        );
        if own || self.tagged { Fit::Named } else { Fit::Yes }
    }
}

/// Whether bytes begin with a word in either case, as far as they go.
fn begins(bytes: &[u8], word: &[u8]) -> bool {
    let common = word.len().min(bytes.len());
    bytes[..common].eq_ignore_ascii_case(&word[..common])
}

fn open(bytes: &[u8]) -> Fit {
    if bytes.len() > LINE_MAX { Fit::No } else { Fit::Open }
}

/// The first line, without its end.
fn line(bytes: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(b'\n', &bytes[..bytes.len().min(LINE_MAX + 1)])?;
    Some(bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, tcp};
    use super::*;

    #[test]
    fn greetings_and_commands_tell() {
        let table: &[(&[u8], &[u8], App)] = &[
            (b"220 mx ESMTP\r\n", b"EHLO a\r\n", App::Smtp),
            (b"220 ready\r\n", b"USER a\r\n", App::Ftp),
            (b"220-a\r\n220 b\r\n", b"auth TLS\r\n", App::Ftp),
            (b"+OK ready\r\n", b"USER a\r\n", App::Pop),
            (b"* OK ready\r\n", b"a1 CAPABILITY\r\n", App::Imap),
        ];
        for &(server, client, app) in table {
            assert_eq!(tcp(50_100, &[(Answerer, server), (Opener, client)]), app);
        }
        assert_eq!(tcp(25, &[(Answerer, b"220 mx ESMTP Postfix\r\n")]), App::Smtp);
        assert_eq!(tcp(21, &[(Answerer, b"220 ProFTPD\r\n")]), App::Ftp);
        assert_eq!(tcp(25, &[(Opener, b"EHLO a\r\n")]), App::Smtp);
        assert_eq!(tcp(25, &[(Answerer, b"220 ready\r\n")]), App::Unknown);
        assert_eq!(
            tcp(25, &[(Answerer, b"220 ready\r\n"), (Opener, b"GET / x\r\n")]),
            App::Unknown
        );
    }
}
