//! The JA4 fingerprint of a TLS client (JA4, TLS client only, which is under the BSD 3-clause
//! licence:
//! technical details, "JA4: TLS Client Fingerprint").

use sha2::{Digest, Sha256};

use super::hello::{ClientHello, extension, is_grease, words};
use super::{hex, push_hex};

/// The fingerprint; `transport` is `t` for TCP, `q` for QUIC, `d` for DTLS.
pub(super) fn ja4(hello: &ClientHello<'_>, transport: char) -> String {
    let version = match hello.version_max().unwrap_or(hello.legacy_version) {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        0xfeff => "d1",
        0xfefd => "d2",
        0xfefc => "d3",
        _ => "00",
    };
    let sni = if hello.server_name().is_some() { 'd' } else { 'i' };
    let mut ciphers: Vec<u16> = words(hello.ciphers).filter(|&c| !is_grease(c)).collect();
    let mut kinds: Vec<u16> =
        hello.extensions().map(|(ty, _)| ty).filter(|&ty| !is_grease(ty)).collect();
    let (cipher_count, kind_count) = (ciphers.len().min(99), kinds.len().min(99));
    let alpn = alpn_ends(hello.alpn().find(|name| !is_grease_name(name)));
    ciphers.sort_unstable();
    kinds.retain(|&ty| ty != extension::SERVER_NAME && ty != extension::ALPN);
    kinds.sort_unstable();
    let signatures: Vec<u16> = hello.signature_algorithms().filter(|&s| !is_grease(s)).collect();
    let mut listed = String::with_capacity(5 * (ciphers.len() + kinds.len() + signatures.len()));
    list(&ciphers, &mut listed);
    let ciphers = digest(&listed);
    listed.clear();
    list(&kinds, &mut listed);
    if !signatures.is_empty() {
        listed.push('_');
        list(&signatures, &mut listed);
    }
    let kinds = digest(&listed);
    format!("{transport}{version}{sni}{cipher_count:02}{kind_count:02}{alpn}_{ciphers}_{kinds}")
}

fn is_grease_name(name: &[u8]) -> bool {
    matches!(*name, [a, b] if is_grease(u16::from_be_bytes([a, b])))
}

/// First and last character of the first protocol, of its hexadecimal digits if they are not
/// letters or digits, `00` without one.
fn alpn_ends(name: Option<&[u8]>) -> String {
    let (Some(&first), Some(&last)) = (name.and_then(<[u8]>::first), name.and_then(<[u8]>::last))
    else {
        return "00".to_owned();
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        format!("{}{}", char::from(first), char::from(last))
    } else {
        format!("{:x}{:x}", first >> 4, last & 15)
    }
}

/// Four hexadecimal digits of each, with commas between them.
fn list(values: &[u16], out: &mut String) {
    for (n, value) in values.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        push_hex(&value.to_be_bytes(), out);
    }
}

/// The first 12 hexadecimal digits of SHA-256, zeros for nothing.
fn digest(text: &str) -> String {
    if text.is_empty() {
        return "0".repeat(12);
    }
    hex(&Sha256::digest(text)[..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_cipher_list_has_its_published_hash() {
        let sorted = "002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9";
        assert_eq!(digest(sorted), "8daaf6152771");
        assert_eq!(digest(""), "000000000000");
        assert_eq!(alpn_ends(Some(b"h2")), "h2");
        assert_eq!(alpn_ends(Some(&[0xab, 0xcd])), "ad");
        assert_eq!(alpn_ends(None), "00");
    }
}
