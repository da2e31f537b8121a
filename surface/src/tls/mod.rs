//! What a TLS handshake says in clear: names, versions, the client's fingerprint, certificates.

mod certificate;
mod hello;
pub(crate) mod inside;
mod ja4;
mod quic;

use std::sync::Arc;

pub use certificate::Certificate;
use hello::{ClientHello, Handshake};
pub(crate) use hello::{RECORD_MAX, ServerHello, flight};

use crate::talk::{Said, Talk};

/// What is kept of a handshake. Text is cut at 255 bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// Version that the server chose, or else the highest that the client offered.
    pub version: Option<&'static str>,
    /// Cipher suite that the server chose (IANA "TLS Cipher Suites").
    pub cipher: Option<u16>,
    /// Server name that the client asked for (RFC 6066 section 3).
    pub sni: Option<String>,
    /// Protocols that the client offered (RFC 7301), the first ones.
    pub alpn: Vec<String>,
    /// The protocol that the server chose, where that is in clear.
    pub alpn_chosen: Option<String>,
    /// JA4 fingerprint of the client.
    pub ja4: Option<String>,
    /// The server's certificate, where it is in clear (up to TLS 1.2).
    pub certificate: Option<Arc<Certificate>>,
}

/// Bytes kept of each end while its handshake is in clear.
pub(crate) const HANDSHAKE_BYTES_MAX: usize = 16 << 10;
/// Bytes kept of a name.
pub(crate) const TEXT_MAX: usize = 255;
/// Protocols kept of a client's list.
const ALPN_MAX: usize = 8;

/// Hexadecimal digits, in lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    push_hex(bytes, &mut text);
    text
}

fn push_hex(bytes: &[u8], text: &mut String) {
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half & 15)]);
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(*byte));
    }
}

/// Text from a frame: printable, cut, without what could play tricks on a terminal.
pub(crate) fn text(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(TEXT_MAX)];
    cut.utf8_chunks()
        .flat_map(|chunk| {
            let bad = (!chunk.invalid().is_empty()).then_some('\u{fffd}');
            chunk.valid().chars().filter(|c| !c.is_control()).chain(bad)
        })
        .collect()
}

/// What tells a product: the name asked for and the protocols offered, as they are on the wire.
pub(crate) fn asked<'a>(
    client: &'a hello::Handshake<'_>,
) -> Option<(Option<&'a [u8]>, impl Iterator<Item = &'a [u8]>)> {
    let hello = client.message(hello::CLIENT_HELLO).and_then(ClientHello::parse)?;
    Some((hello.server_name(), hello.alpn()))
}

/// The server's certificate, where it is in clear.
pub(crate) fn certificate(talk: &Talk<'_>) -> Option<Arc<Certificate>> {
    flight(talk.answerer.bytes()).message(hello::CERTIFICATE).and_then(Certificate::first_of)
}

/// Whether the server's part in clear is complete.
pub(crate) fn server_done(bytes: &[u8]) -> bool {
    let server = flight(bytes);
    let hello = server.message(hello::SERVER_HELLO).and_then(ServerHello::parse);
    server.over
        || hello.is_some_and(|hello| hello.version() >= 0x0304)
        || server.message(hello::CERTIFICATE).is_some()
        || bytes.len() >= HANDSHAKE_BYTES_MAX
}

/// The facts of a conversation over a stream.
pub(crate) fn facts(talk: &Talk<'_>) -> TlsFacts {
    of_handshakes(&flight(talk.opener.bytes()), &flight(talk.answerer.bytes()), 't')
}

/// The facts of a conversation over QUIC, from the packets whose keys are no secret.
pub(crate) fn quic_facts(talk: &Talk<'_>) -> TlsFacts {
    let [client, server] = quic_handshakes(talk);
    of_handshakes(&client, &server, 'q')
}

/// The handshake messages that are not encrypted for the ends only.
fn quic_handshakes(talk: &Talk<'_>) -> [Handshake<'static>; 2] {
    [(&talk.opener, "client in"), (&talk.answerer, "server in")]
        .map(|(of, end)| Handshake::of(quic::handshake(&talk.opener, of, end)))
}

/// Whether more datagrams may complete the hellos.
pub(crate) fn quic_wants_more(talk: &Talk<'_>) -> bool {
    let said = |said: &Said<'_>| said.datagrams().count();
    if said(&talk.opener) >= quic::DATAGRAMS_MAX || said(&talk.answerer) >= quic::DATAGRAMS_MAX {
        return false;
    }
    let [client, server] = quic_handshakes(talk);
    client.message(hello::CLIENT_HELLO).is_none() || server.message(hello::SERVER_HELLO).is_none()
}

/// What two ends' handshakes tell; `transport` is as in JA4.
fn of_handshakes(client: &Handshake<'_>, server: &Handshake<'_>, transport: char) -> TlsFacts {
    let mut facts = TlsFacts::default();
    if let Some(hello) = client.message(hello::CLIENT_HELLO).and_then(ClientHello::parse) {
        facts.version = hello.version_max().map(hello::version_name);
        facts.sni = hello.server_name().map(text).filter(|name| !name.is_empty());
        facts.alpn = hello.alpn().take(ALPN_MAX).map(text).collect();
        facts.ja4 = Some(ja4::ja4(&hello, transport));
    }
    if let Some(hello) = server.message(hello::SERVER_HELLO).and_then(ServerHello::parse) {
        facts.version = Some(hello::version_name(hello.version()));
        facts.cipher = Some(hello.cipher);
        facts.alpn_chosen = hello.alpn().map(text);
    }
    facts.certificate = server.message(hello::CERTIFICATE).and_then(Certificate::first_of);
    facts
}
