//! HTTP and what is told by its headers, and the proxies that carry other protocols.

use super::wrap::Wrapped;
use crate::App;
use crate::facts::PortMapping;
use crate::peel::proto;
use crate::talk::{Answer, Said, Talk, Test};

pub(super) const TCP: &[Test] = &[http, http2, socks5, socks4];

/// Methods registered with IANA ("HTTP Method Registry"), `WebDAV`'s (RFC 4918, RFC 3253, RFC 3648,
/// RFC 5323), those of Microsoft's RPC over HTTP (MS-RPCH section 2.1.2.1), and of its VPN (MS-SSTP
/// section 3.2.4.1).
const METHODS: &[&[u8]] = &[
    b"GET",
    b"POST",
    b"HEAD",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"CONNECT",
    b"PATCH",
    b"TRACE",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"REPORT",
    b"SEARCH",
    b"CHECKOUT",
    b"MERGE",
    b"SUBSCRIBE",
    b"UNSUBSCRIBE",
    b"NOTIFY",
    b"M-POST",
    b"RPC_IN_DATA",
    b"RPC_OUT_DATA",
    b"BITS_POST",
    b"SSTP_DUPLEX_POST",
];

/// Bytes of a request line within which the version must come.
const LINE_MAX: usize = 4000;

/// HTTP/1.0 and 1.1 (RFC 9112 sections 3 and 4). A request line or a status line alone is enough:
/// nothing else on TCP has one (SIP, RTSP and ICAP name their own version).
fn http(talk: &Talk<'_>) -> Answer {
    // the middle of a body says nothing against it
    let heard = |said: &Said<'_>, answer| match answer {
        Answer::No if !said.whole() => Answer::More,
        answer => answer,
    };
    let asks = heard(&talk.opener, request(&talk.opener, talk.last));
    match (asks, heard(&talk.answerer, response(talk.answerer.bytes()))) {
        (Answer::No, _) | (_, Answer::No) => Answer::No,
        (Answer::Sure(app), _) | (_, Answer::Sure(app)) => {
            // headers tell more than the first line, and the answer whether it was done
            let asked = headers_end(talk.opener.bytes()).is_some() && !talk.answerer.is_empty();
            if asked || talk.last || talk.opener.bytes().len() >= LINE_MAX {
                Answer::Sure(app)
            } else {
                Answer::Alone(app)
            }
        }
        (Answer::Likely(app), _) if talk.last => Answer::Likely(app),
        _ => Answer::More,
    }
}

fn request(said: &Said<'_>, last: bool) -> Answer {
    let bytes = said.bytes();
    let Some(first) = bytes.first() else { return Answer::More };
    if !first.is_ascii_uppercase() {
        return Answer::No;
    }
    let mut could = false;
    for &method in METHODS {
        let common = method.len().min(bytes.len());
        if bytes[..common] != method[..common] {
            continue;
        }
        if bytes.len() <= method.len() {
            could = true;
        } else if bytes[method.len()] == b' ' {
            return request_line(&bytes[method.len() + 1..], last);
        }
    }
    if could && !last { Answer::More } else { Answer::No }
}

/// Behind the method: a target without control characters, then the version.
fn request_line(rest: &[u8], last: bool) -> Answer {
    let line = &rest[..rest.len().min(LINE_MAX)];
    let end = line.iter().position(|&b| b < b' ' && b != b'\t');
    match end {
        Some(end) => {
            let is_http = line[..end].windows(8).any(|w| w.starts_with(b" HTTP/1."));
            let ends_line = matches!(line[end], b'\r' | b'\n');
            if is_http && ends_line { Answer::Sure(App::Http) } else { Answer::No }
        }
        // a target longer than what is kept
        None if line.len() == LINE_MAX || last && line.len() > 16 => Answer::Likely(App::Http),
        None => Answer::More,
    }
}

fn response(bytes: &[u8]) -> Answer {
    const START: &[u8] = b"HTTP/1.";
    let common = START.len().min(bytes.len());
    if bytes[..common] != START[..common] {
        return Answer::No;
    }
    let Some(rest) = bytes.get(START.len()..).and_then(|b| b.first_chunk::<5>()) else {
        return Answer::More;
    };
    let fits =
        rest[0].is_ascii_digit() && rest[1] == b' ' && rest[2..].iter().all(u8::is_ascii_digit);
    if fits { Answer::Sure(App::Http) } else { Answer::No }
}

/// HTTP/2 with prior knowledge: the client's preface (RFC 9113 section 3.4).
fn http2(talk: &Talk<'_>) -> Answer {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let bytes = talk.opener.bytes();
    let common = PREFACE.len().min(bytes.len());
    if bytes[..common] != PREFACE[..common] {
        Answer::No
    } else if common == PREFACE.len() {
        Answer::Sure(App::Http)
    } else {
        Answer::More
    }
}

/// Index behind the empty line that ends the headers.
fn headers_end(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

/// The header fields: name and value.
fn fields(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = &bytes[..headers_end(bytes).unwrap_or(bytes.len())];
    std::iter::from_fn(move || {
        // behind the first line, then behind each field
        let at = memchr::memchr(b'\n', rest)?;
        rest = &rest[at + 1..];
        let line = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())];
        Some(line)
    })
    .filter_map(|line| {
        let (name, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
        Some((name, value[1..].trim_ascii()))
    })
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|w| w.eq_ignore_ascii_case(needle))
}

/// What HTTP carries that has a name of its own.
pub(super) fn refine(talk: &Talk<'_>) -> Option<App> {
    // seen where TLS ends in front of the server
    if talk.opener.bytes().starts_with(b"SSTP_DUPLEX_POST /sra_{") {
        return Some(App::Sstp);
    }
    fields(talk.opener.bytes()).find_map(|(name, value)| {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            // restic REST backend, "API v2"
            6 if is(b"accept") && contains(value, b"application/vnd.x.restic.rest") => {
                Some(App::Restic)
            }
            12 if is(b"content-type") && contains(value, b"application/vnd.x.restic.rest") => {
                Some(App::Restic)
            }
            // RFC 8010 section 4
            12 if is(b"content-type") && contains(value, b"application/ipp") => Some(App::Ipp),
            10 if is(b"user-agent") && contains(value, b"NetSupport Manager") => {
                Some(App::NetSupport)
            }
            // RFC 6455 section 4
            7 if is(b"upgrade") && contains(value, b"websocket") => {
                talk.answerer.bytes().starts_with(b"HTTP/1.1 101").then_some(App::Websocket)
            }
            _ => None,
        }
    })
}

/// A port that a router was asked for and granted: `AddPortMapping` of UPnP's `WANIPConnection`
/// and `WANPPPConnection` (UPnP Forum, service templates 2.4.16; `AddAnyPortMapping` of version 2).
pub(crate) fn port_mapping(talk: &Talk<'_>) -> Option<PortMapping> {
    let request = talk.opener.bytes();
    let action = fields(request).find(|(name, _)| name.eq_ignore_ascii_case(b"soapaction"))?.1;
    let adds = contains(action, b"#AddPortMapping") || contains(action, b"#AddAnyPortMapping");
    if !adds || talk.answerer.bytes().get(8..12) != Some(b" 200") {
        return None;
    }
    let text = |name: &[u8]| {
        let at = memchr::memmem::find(request, name)?;
        let rest = request.get(at + name.len()..)?;
        // the element may have attributes
        let rest = rest.get(memchr::memchr(b'>', rest)? + 1..)?;
        str::from_utf8(rest.get(..memchr::memchr(b'<', rest)?)?.trim_ascii()).ok()
    };
    let proto = match text(b"<NewProtocol")? {
        "TCP" => proto::TCP,
        "UDP" => proto::UDP,
        _ => return None,
    };
    Some(PortMapping {
        proto,
        outer_port: text(b"<NewExternalPort")?.parse().ok()?,
        inner: text(b"<NewInternalClient")?.parse().ok()?,
        inner_port: text(b"<NewInternalPort")?.parse().ok()?,
        lifetime: text(b"<NewLeaseDuration").and_then(|t| t.parse().ok()).unwrap_or(0),
    })
}

/// Where the tunnel of a `CONNECT` begins (RFC 9110 section 9.3.6).
pub(super) fn connect(talk: &Talk<'_>) -> Wrapped {
    if !talk.opener.bytes().starts_with(b"CONNECT ") {
        return Wrapped::No;
    }
    let answer = talk.answerer.bytes();
    let Some(opener) = headers_end(talk.opener.bytes()) else { return Wrapped::More };
    if answer.is_empty() {
        // of a one-sided mirror the other half never comes
        return if talk.opener.bytes().len() > opener {
            Wrapped::Strip(opener, 0)
        } else {
            Wrapped::More
        };
    }
    match headers_end(answer) {
        Some(answerer) if answer.get(9) == Some(&b'2') => Wrapped::Strip(opener, answerer),
        Some(_) => Wrapped::No,
        None => Wrapped::More,
    }
}

/// SOCKS version 5 (RFC 1928): both greetings, or the client's followed by its request.
fn socks5(talk: &Talk<'_>) -> Answer {
    let (client, server) = (talk.opener.bytes(), talk.answerer.bytes());
    if client.first().is_some_and(|&b| b != 5) || server.first().is_some_and(|&b| b != 5) {
        return Answer::No;
    }
    let Some((greeting, request)) = split_greeting(client) else {
        return if client.len() < 2 { Answer::More } else { incomplete(client) };
    };
    if !(1..=16).contains(&greeting.len()) || greeting.iter().any(|&method| method > 9) {
        return Answer::No;
    }
    match *server {
        [] | [_] if talk.last && is_request(request) => Answer::Likely(App::Socks),
        [] | [_] => Answer::More,
        // no acceptable method, or one that was offered
        [_, method, ..] if method == 0xff || greeting.contains(&method) => {
            if method == 0 && request.len() >= 4 && !is_request(request) {
                Answer::No
            } else {
                Answer::Sure(App::Socks)
            }
        }
        _ => Answer::No,
    }
}

fn incomplete(client: &[u8]) -> Answer {
    if client.get(1).is_some_and(|n| (1..=16).contains(n)) { Answer::More } else { Answer::No }
}

/// The methods that a client offers, and what follows them.
fn split_greeting(client: &[u8]) -> Option<(&[u8], &[u8])> {
    let count = usize::from(*client.get(1)?);
    client.get(2..)?.split_at_checked(count)
}

/// Version, command 1 to 3, reserved, address type (RFC 1928 section 4).
fn is_request(bytes: &[u8]) -> bool {
    matches!(*bytes, [5, 1..=3, 0, 1 | 3 | 4, ..])
}

/// Length of a request or reply of version 5.
fn socks5_len(bytes: &[u8]) -> Option<usize> {
    let address = match *bytes.get(3)? {
        1 => 4,
        4 => 16,
        3 => 1 + usize::from(*bytes.get(4)?),
        _ => return None,
    };
    Some(4 + address + 2)
}

/// SOCKS version 4 and 4a (the protocol's memo by Ying-Da Lee, 1992): request and an answer of
/// eight bytes.
fn socks4(talk: &Talk<'_>) -> Answer {
    let (client, server) = (talk.opener.bytes(), talk.answerer.bytes());
    let request_fits = match *client {
        [] => true,
        [4] => true,
        [4, command, ..] => (1..=2).contains(&command),
        _ => false,
    };
    let reply_fits = match *server {
        [] => true,
        [0] => true,
        [0, code, ..] => (90..=93).contains(&code),
        _ => false,
    };
    if !request_fits || !reply_fits {
        return Answer::No;
    }
    if client.len() < 9 || server.len() < 8 {
        return Answer::More;
    }
    match socks4_len(client) {
        Some(_) => Answer::Sure(App::Socks),
        None if client.len() > 600 => Answer::No,
        None => Answer::More,
    }
}

fn socks4_len(client: &[u8]) -> Option<usize> {
    let user_end = 8 + client.get(8..)?.iter().position(|&b| b == 0)? + 1;
    // 4a: an address 0.0.0.x asks for a name behind the user
    match *client.get(4..8)? {
        [0, 0, 0, x] if x != 0 => {
            Some(user_end + client.get(user_end..)?.iter().position(|&b| b == 0)? + 1)
        }
        _ => Some(user_end),
    }
}

/// Where the relayed protocol begins.
pub(super) fn socks(talk: &Talk<'_>) -> Wrapped {
    let (client, server) = (talk.opener.bytes(), talk.answerer.bytes());
    if client.first() == Some(&4) {
        return match socks4_len(client) {
            Some(len) if server.get(1) == Some(&90) => Wrapped::Strip(len, 8),
            Some(_) if server.len() >= 8 => Wrapped::No,
            _ => Wrapped::More,
        };
    }
    let (Some((_, after)), Some(&method)) = (split_greeting(client), server.get(1)) else {
        return Wrapped::More;
    };
    let greeting = client.len() - after.len();
    // user and password (RFC 1929)
    let (auth_client, auth_server) = match method {
        0 => (0, 0),
        2 => {
            let user = after.get(1).map(|&n| usize::from(n));
            let pass = user.and_then(|n| after.get(2 + n)).map(|&n| usize::from(n));
            let (Some(user), Some(pass)) = (user, pass) else { return Wrapped::More };
            (3 + user + pass, 2)
        }
        _ => return Wrapped::No,
    };
    let request = after.get(auth_client..).unwrap_or_default();
    let reply = server.get(2 + auth_server..).unwrap_or_default();
    match (socks5_len(request), socks5_len(reply)) {
        (Some(request), Some(answer)) if reply.get(1) == Some(&0) => {
            Wrapped::Strip(greeting + auth_client + request, 2 + auth_server + answer)
        }
        (_, Some(_)) => Wrapped::No,
        _ => Wrapped::More,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, hex, tcp, tcp_path};
    use super::*;

    #[test]
    fn requests_and_answers_are_http_alone_and_together() {
        let request = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
        let answer = b"HTTP/1.1 200 OK\r\n\r\n";
        assert_eq!(tcp(80, &[(Opener, request), (Answerer, answer)]), App::Http);
        assert_eq!(tcp(80, &[(Opener, request)]), App::Http);
        assert_eq!(tcp(80, &[(Answerer, answer)]), App::Http);
        for other in [&b"GET me out\r\n"[..], b"OPTIONS sip:a SIP/2.0\r\n", b"GETX / HTTP/1.1\r\n"]
        {
            assert_ne!(tcp(80, &[(Opener, other)]), App::Http);
        }
    }

    #[test]
    fn what_http_carries_is_named() {
        let request =
            b"GET /repo/config HTTP/1.1\r\nAccept: application/vnd.x.restic.rest.v2\r\n\r\n";
        assert_eq!(tcp_path(8000, &[(Opener, request)]), [App::Http, App::Restic]);
    }

    #[test]
    fn a_granted_port_is_read() {
        let request = b"POST /ctl HTTP/1.1\r\nSOAPACTION: \"urn:schemas-upnp-org:service:\
            WANIPConnection:1#AddPortMapping\"\r\n\r\n<u:AddPortMapping><NewExternalPort>2299\
            </NewExternalPort><NewProtocol>TCP</NewProtocol><NewInternalPort>3389</NewInternalPort>\
            <NewInternalClient>192.168.1.10</NewInternalClient></u:AddPortMapping>";
        let talk = |answer: &'static [u8]| Talk {
            opener: Said::new(request, &[], true),
            answerer: Said::new(answer, &[], true),
            ..Talk::default()
        };
        let mapping = port_mapping(&talk(b"HTTP/1.1 200 OK\r\n\r\n")).unwrap();
        assert_eq!((mapping.outer_port, mapping.inner_port, mapping.proto), (2299, 3389, 6));
        assert_eq!(mapping.inner.to_string(), "192.168.1.10");
        assert_eq!(port_mapping(&talk(b"HTTP/1.1 500 No\r\n\r\n")), None);
    }

    #[test]
    fn a_proxy_is_looked_through() {
        let inner: &[u8] = b"GET /a HTTP/1.1\r\n\r\n";
        let said: &[(_, &[u8])] = &[
            (Opener, b"CONNECT a:80 HTTP/1.1\r\n\r\n"),
            (Answerer, b"HTTP/1.1 200 OK\r\n\r\n"),
            (Opener, inner),
        ];
        assert_eq!(tcp_path(3128, said), [App::HttpConnect, App::Http]);
        // through so many that there is no room for what comes behind them
        let mut said = said[..2].repeat(4);
        said.push((Opener, inner));
        assert_eq!(tcp_path(3128, &said), [App::HttpConnect; 3]);
        let refused: &[(_, &[u8])] =
            &[(Opener, b"CONNECT a:80 HTTP/1.1\r\n\r\n"), (Answerer, b"HTTP/1.1 403 No\r\n\r\n")];
        assert_eq!(tcp_path(3128, refused), [App::Http]);
        let greeting = hex("05 01 00");
        let request = hex("05 01 00 03 01 61 0050");
        let reply = hex("05 00 00 01 0a000001 0050");
        let said: &[(_, &[u8])] = &[
            (Opener, &greeting),
            (Answerer, &[5, 0]),
            (Opener, &request),
            (Answerer, &reply),
            (Opener, inner),
        ];
        assert_eq!(tcp_path(1080, said), [App::Socks, App::Http]);
        let four = hex("04 01 0050 0a000001 7500");
        let granted = hex("00 5a 0000 00000000");
        let said: &[(_, &[u8])] = &[(Opener, &four), (Answerer, &granted), (Opener, inner)];
        assert_eq!(tcp_path(1080, said), [App::Socks, App::Http]);
    }

    #[test]
    fn a_vpn_in_a_request() {
        let request = b"SSTP_DUPLEX_POST /sra_{BA195980-CD49-458b-9E23-C84EE0ADCD75}/ HTTP/1.1\r\n\
            Content-Length: 18446744073709551615\r\nHost: vpn.example\r\n\r\n";
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n";
        let both = tcp_path(80, &[(Opener, request), (Answerer, answer)]);
        assert_eq!(both, [crate::App::Http, crate::App::Sstp]);
        assert_eq!(tcp_path(80, &[(Opener, request)]), both);
        let other = b"POST /sra_{BA195980-CD49-458b-9E23-C84EE0ADCD75}/ HTTP/1.1\r\n\r\n";
        assert_eq!(tcp_path(80, &[(Opener, other), (Answerer, answer)]), [crate::App::Http]);
    }
}
