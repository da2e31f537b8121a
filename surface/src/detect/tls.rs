//! TLS and DTLS by their records and hellos; products by the names in them.

use crate::App;
use crate::talk::{Answer, Talk, Test};
use crate::tls::{self, flight, server_done};
use crate::tools;

pub(super) const TCP: &[Test] = &[tls, ssl2];
pub(super) const UDP: &[Test] = &[dtls];

/// What one end's bytes are, as TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Nothing, or too little to tell.
    Open,
    /// A handshake message of this type begins.
    Hello(u8),
    /// Whole records of other types, one after the other: the middle of a connection, or an alert.
    Records(usize),
    /// Something else.
    Other,
}

/// Records in a row that make a connection seen in its middle TLS.
const MIDDLE_RECORDS: usize = 3;

/// Bytes of a client's hello by which it is told from all else: both headers and the version.
const HELLO_BYTES_MIN: usize = 11;

/// Ports of services that begin with a handshake (IANA): a single record in the middle of a
/// connection is likely one there.
const PORTS: &[u16] = &[443, 465, 563, 636, 853, 989, 990, 992, 993, 994, 995, 5061, 8443];

/// TLS (RFC 8446, RFC 5246) and SSL 3.0 (RFC 6101). Both hellos are sure, one alone is likely;
/// the answer waits for the names and certificates behind them.
fn tls(talk: &Talk<'_>) -> Answer {
    let (client, server) = (shape(talk.opener.bytes()), shape(talk.answerer.bytes()));
    match (client, server) {
        (Shape::Other, _) | (_, Shape::Other) => Answer::No,
        // the other way round
        (Shape::Hello(2), _) | (_, Shape::Hello(1)) => Answer::No,
        (Shape::Hello(1), Shape::Hello(2) | Shape::Records(_)) => {
            if talk.last || (hello_complete(talk) && server_done(talk.answerer.bytes())) {
                Answer::Sure(App::Tls)
            } else {
                Answer::Alone(App::Tls)
            }
        }
        (Shape::Hello(1), Shape::Open) if talk.opener.bytes().len() >= HELLO_BYTES_MIN => {
            Answer::Alone(App::Tls)
        }
        (Shape::Hello(_), _) | (_, Shape::Hello(_)) => Answer::Likely(App::Tls),
        (Shape::Records(a), Shape::Records(b)) if a + b >= MIDDLE_RECORDS => {
            Answer::Likely(App::Tls)
        }
        (Shape::Records(n), _) | (_, Shape::Records(n))
            if n >= MIDDLE_RECORDS || (talk.last && expected(talk)) =>
        {
            Answer::Likely(App::Tls)
        }
        _ => Answer::More,
    }
}

/// Whether data or an alert where a handshake is usual may be the middle of a connection.
fn expected(talk: &Talk<'_>) -> bool {
    let content = talk.opener.bytes().first().or(talk.answerer.bytes().first());
    PORTS.contains(&talk.service_port) && matches!(content, Some(21 | 23))
}

fn hello_complete(talk: &Talk<'_>) -> bool {
    let client = flight(talk.opener.bytes());
    client.over || client.message(1).is_some()
}

fn shape(bytes: &[u8]) -> Shape {
    let [content, rest @ ..] = bytes else { return Shape::Open };
    if !(20..=23).contains(content) {
        return Shape::Other;
    }
    if rest.first().is_some_and(|&major| major != 3) || rest.get(1).is_some_and(|&m| m > 4) {
        return Shape::Other;
    }
    let Some(length) = rest.get(2..4) else { return Shape::Open };
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    if length == 0 && *content != 23 || length > tls::RECORD_MAX {
        return Shape::Other;
    }
    if *content == 22
        && let Some(&ty) = bytes.get(5)
    {
        return hello_shape(bytes, ty, length);
    }
    records(bytes)
}

/// A handshake record: its message's length must go with the record's.
fn hello_shape(bytes: &[u8], ty: u8, record: usize) -> Shape {
    if !matches!(ty, 1 | 2) {
        // renegotiation or what is encrypted: as good as any other record
        return records(bytes);
    }
    let Some((_, length)) = flight(bytes).first() else { return Shape::Open };
    let fits = (38..=1 << 16).contains(&length) && (length + 4 <= record || record >= 64);
    let version = bytes.get(9).is_none_or(|&major| matches!(major, 3 | 0x7f));
    if fits && version { Shape::Hello(ty) } else { Shape::Other }
}

/// Records in a row, each where the one before it ends.
fn records(bytes: &[u8]) -> Shape {
    let mut rest = bytes;
    let mut count = 0;
    while let [content, 3, minor, high, low, body @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let alert_fits = *content != 21 || length == 2 || length >= 16;
        let change_fits = *content != 20 || length == 1;
        if !(20..=24).contains(content) || *minor > 4 || length > tls::RECORD_MAX {
            return Shape::Other;
        }
        if !alert_fits || !change_fits {
            return Shape::Other;
        }
        count += 1;
        match body.get(length..) {
            Some(behind) => rest = behind,
            None => return Shape::Records(count),
        }
    }
    // the header of the next one is cut
    let cut = rest.first().is_none_or(|content| (20..=24).contains(content))
        && rest.get(1).is_none_or(|&major| major == 3);
    if cut { Shape::Records(count) } else { Shape::Other }
}

/// SSL 2.0's client hello, which later versions were offered in too (RFC 5246 appendix E.2).
fn ssl2(talk: &Talk<'_>) -> Answer {
    let bytes = talk.opener.bytes();
    if bytes.first().is_some_and(|&b| b & 0x80 == 0) || bytes.get(2).is_some_and(|&b| b != 1) {
        return Answer::No;
    }
    let Some(head) = bytes.first_chunk::<11>() else {
        return if bytes.is_empty() && !talk.answerer.is_empty() && talk.last {
            Answer::No
        } else {
            Answer::More
        };
    };
    let word = |at: usize| usize::from(u16::from_be_bytes([head[at], head[at + 1]]));
    let length = word(0) & 0x7fff;
    let (ciphers, session, challenge) = (word(5), word(7), word(9));
    let fits = matches!(word(3), 0x0002 | 0x0300..=0x0304)
        && ciphers.is_multiple_of(3)
        && ciphers > 0
        && matches!(session, 0 | 16)
        && (16..=32).contains(&challenge)
        && length == 9 + ciphers + session + challenge;
    if fits { Answer::Sure(App::Tls) } else { Answer::No }
}

/// DTLS (RFC 9147, RFC 6347): records whose lengths fill the datagram. A hello is sure.
fn dtls(talk: &Talk<'_>) -> Answer {
    let mut count = 0;
    let mut hello = false;
    for (datagram, wire) in talk.opener.datagrams().chain(talk.answerer.datagrams()) {
        match dtls_records(datagram, wire) {
            Some(with_hello) => {
                count += 1;
                hello |= with_hello;
            }
            None => return Answer::No,
        }
    }
    match count {
        0 => Answer::More,
        _ if hello => Answer::Sure(App::Dtls),
        1 => Answer::More,
        _ => Answer::Likely(App::Dtls),
    }
}

/// Whether a datagram is records to its end, and whether the first is a hello.
fn dtls_records(datagram: &[u8], wire: usize) -> Option<bool> {
    let mut at = 0;
    let mut hello = false;
    while at < datagram.len() {
        let head = datagram.get(at..)?.first_chunk::<13>()?;
        let version = u16::from_be_bytes([head[1], head[2]]);
        if !(20..=25).contains(&head[0]) || !matches!(version, 0xfeff | 0xfefd | 0xfefc | 0x0100) {
            return None;
        }
        let length = usize::from(u16::from_be_bytes([head[11], head[12]]));
        if length == 0 || at + 13 + length > wire {
            return None;
        }
        hello |= at == 0 && head[0] == 22 && matches!(datagram.get(13), Some(1..=3));
        at += 13 + length;
    }
    (at == wire || datagram.len() < wire).then_some(hello)
}

/// The product that the names in a handshake tell.
pub(super) fn refine(talk: &Talk<'_>) -> Option<App> {
    let client = flight(talk.opener.bytes());
    let mut sni = None;
    if let Some((name, mut alpn)) = tls::asked(&client) {
        if alpn.any(|name| name.starts_with(b"anydesk/")) {
            return Some(App::AnyDesk);
        }
        sni = name.and_then(|name| str::from_utf8(name).ok());
    }
    if let Some(app) = sni.and_then(tools::by_relay) {
        return Some(app);
    }
    // certificates that name the product, AnyDesk's on either side of the connection
    let server = talk.answerer.bytes();
    if !CERTIFICATES.iter().any(|&(name, _)| memchr::memmem::find(server, name).is_some()) {
        return None;
    }
    let certificate = tls::certificate(talk)?;
    let names = [&certificate.subject, &certificate.organization];
    let named = |name: &[u8]| names.into_iter().flatten().any(|own| own.as_bytes() == name);
    CERTIFICATES.iter().find(|&&(name, _)| named(name)).map(|&(_, app)| app)
}

/// Names of subjects or their organisations that only these products' own certificates have.
const CERTIFICATES: &[(&[u8], App)] = &[
    (b"AnyDesk Client", App::AnyDesk),
    (b"philandro Software GmbH", App::AnyDesk),
    // made by its set-up; its clients look for this very name
    (b"Veeam Backup Server Certificate", App::Veeam),
];

/// The port of remote desktops.
const RDP_PORT: u16 = 3389;
/// Windows makes a computer's own certificate for half a year: 182 days and up to two more.
const HALF_A_YEAR: std::ops::RangeInclusive<i64> = 182 * 86_400..=184 * 86_400;

/// A remote desktop whose client begins with TLS (MS-RDPBCGR section 5.4.2.2, "direct approach").
/// What is inside cannot be seen. That the client names no protocol, and the port, or a certificate
/// like the one that Windows makes for itself (issued by itself, to a name without a domain, for
/// half a year), make it likely and no more.
pub(super) fn desktop(talk: &Talk<'_>) -> Option<(App, bool)> {
    let client = flight(talk.opener.bytes());
    let (_, mut alpn) = tls::asked(&client)?;
    let answered = matches!(shape(talk.answerer.bytes()), Shape::Hello(2));
    if alpn.next().is_some() || !answered {
        return None;
    }
    let own = tls::certificate(talk).is_some_and(|certificate| {
        let name = certificate.subject.as_deref().unwrap_or_default();
        certificate.self_issued
            && HALF_A_YEAR.contains(&certificate.not_after.saturating_sub(certificate.not_before))
            && (1..=15).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    });
    (own || talk.service_port == RDP_PORT).then_some((App::Rdp, false))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, tcp, tcp_path, udp};
    use super::*;

    fn client_hello(name: &str) -> Vec<u8> {
        let mut sni = vec![0];
        sni.extend((name.len() as u16).to_be_bytes());
        sni.extend(name.as_bytes());
        let mut extension = vec![0, 0];
        extension.extend((sni.len() as u16 + 2).to_be_bytes());
        extension.extend((sni.len() as u16).to_be_bytes());
        extension.extend(sni);
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 1, 1, 0]);
        body.extend((extension.len() as u16).to_be_bytes());
        body.extend(extension);
        let mut message = vec![1, 0];
        message.extend((body.len() as u16).to_be_bytes());
        message.extend(body);
        let mut record = vec![22, 3, 1];
        record.extend((message.len() as u16).to_be_bytes());
        record.extend(message);
        record
    }

    fn server_hello() -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([9; 32]);
        body.extend([0, 0x13, 1, 0, 0, 6, 0, 43, 0, 2, 3, 4]);
        let mut message = vec![2, 0, 0, body.len() as u8];
        message.extend(body);
        let mut record = vec![22, 3, 3, 0, message.len() as u8];
        record.extend(message);
        record
    }

    #[test]
    fn hellos_are_tls_together_and_alone() {
        let (client, server) = (client_hello("a.example"), server_hello());
        assert_eq!(tcp(443, &[(Opener, &client), (Answerer, &server)]), App::Tls);
        assert_eq!(tcp(443, &[(Opener, &client)]), App::Tls);
        assert_eq!(tcp(443, &[(Answerer, &server)]), App::Tls);
        let talk = Talk { opener: crate::Said::new(&client, &[], true), ..Talk::default() };
        assert_eq!(tls::facts(&talk).sni.as_deref(), Some("a.example"));
    }

    #[test]
    fn a_relay_s_name_is_the_product() {
        let client = client_hello("relay-1a2b3c4d.net.anydesk.com");
        let path = tcp_path(443, &[(Opener, &client), (Answerer, &server_hello())]);
        assert_eq!(path, [App::Tls, App::AnyDesk]);
        let client = client_hello("anydesk.com");
        let path = tcp_path(443, &[(Opener, &client), (Answerer, &server_hello())]);
        assert_eq!(path, [App::Tls]);
    }

    #[test]
    fn the_middle_of_a_connection_needs_records_in_a_row() {
        let record = [23, 3, 3, 0, 2, 1, 2];
        let three = record.repeat(3);
        assert_eq!(tcp(443, &[(Opener, &three)]), App::Tls);
        assert_eq!(tcp_path(443, &[(Opener, &record)]), [App::Tls]);
        assert_eq!(tcp(2299, &[(Opener, &record)]), App::Unknown);
        assert_eq!(tcp(443, &[(Opener, b"\x16\x03\x01 and other text")]), App::Unknown);
    }

    #[test]
    fn dtls_hellos_fill_their_datagram() {
        let mut hello = vec![22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20];
        hello.extend([1, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 8, 0xfe, 0xfd, 1, 2, 3, 4, 5, 6]);
        assert_eq!(udp(443, &[(Opener, &hello)]), App::Dtls);
        hello.push(0);
        assert_eq!(udp(443, &[(Opener, &hello)]), App::Unknown);
    }

    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        let mut bytes = vec![tag, 0x82];
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    /// The server's part up to its certificate: of TLS 1.2, with these names and this time.
    fn certificate(issuer: &str, subject: &str, until: &str) -> Vec<u8> {
        let name = |name: &str| {
            let text = der(12, &[name.as_bytes()]);
            let part = der(0x30, &[&[6, 3, 0x55, 4, 3], &text]);
            der(0x30, &[&der(0x31, &[&part])])
        };
        let algorithm: &[u8] =
            &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0];
        let time = |text: &str| der(0x17, &[text.as_bytes()]);
        let valid = der(0x30, &[&time("260101000000Z"), &time(until)]);
        let key = der(0x30, &[algorithm, &[3, 2, 0, 5]]);
        let inner = der(
            0x30,
            &[&[0xa0, 3, 2, 1, 2, 2, 1, 1], algorithm, &name(issuer), &valid, &name(subject), &key],
        );
        let whole = der(0x30, &[&inner, algorithm, &[3, 2, 0, 5]]);
        let u24 = |n: usize| (n as u32).to_be_bytes()[1..].to_vec();
        let list = [u24(whole.len() + 3), u24(whole.len()), whole].concat();
        let mut body = vec![3, 3];
        body.extend([9; 32]);
        body.extend([0, 0xc0, 0x30, 0]);
        let messages = [vec![2], u24(body.len()), body, vec![11], u24(list.len()), list].concat();
        let mut record = vec![22, 3, 3];
        record.extend((messages.len() as u16).to_be_bytes());
        record.extend(messages);
        record
    }

    #[test]
    fn a_remote_desktop_behind_tls_is_likely_only() {
        let client = client_hello("192.168.1.10");
        let path =
            |port: u16, server: &[u8]| tcp_path(port, &[(Opener, &client), (Answerer, server)]);
        let desktop = [App::Tls, App::Rdp];
        // as Windows makes it: half a year, in its own name
        let own = certificate("FRONT-PC", "FRONT-PC", "260702000000Z");
        assert_eq!(path(2299, &own), desktop);
        assert_eq!(path(3389, &server_hello()), desktop);
        assert_eq!(path(2299, &server_hello()), [App::Tls]);
        for (issuer, subject, until) in [
            ("FRONT-PC", "FRONT-PC", "270101000000Z"),
            ("Practice CA", "FRONT-PC", "260702000000Z"),
            ("www.example.org", "www.example.org", "260702000000Z"),
        ] {
            assert_eq!(path(2299, &certificate(issuer, subject, until)), [App::Tls]);
        }
        // never sure, whatever the port
        let said = |bytes| crate::Said::new(bytes, &[], true);
        let talk = Talk {
            opener: said(&client),
            answerer: said(&own),
            service_port: 3389,
            ..Talk::default()
        };
        assert_eq!(desktop_of(&talk), Some((App::Rdp, false)));
        // one end alone
        assert_eq!(tcp_path(3389, &[(Opener, &client)]), [App::Tls]);
    }

    fn desktop_of(talk: &Talk<'_>) -> Option<(App, bool)> {
        super::super::wrap::refine(App::Tls, talk)
    }

    #[test]
    fn a_certificate_that_names_the_product() {
        let client = client_hello("");
        let name = "Veeam Backup Server Certificate";
        let path = |name: &str| {
            let server = certificate(name, name, "360101000000Z");
            tcp_path(9419, &[(Opener, &client), (Answerer, &server)])
        };
        assert_eq!(path(name), [App::Tls, App::Veeam]);
        assert_eq!(path("Not the Veeam Backup Server Certificate"), [App::Tls]);
    }
}
