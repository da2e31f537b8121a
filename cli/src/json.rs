//! JSON by hand into a reused buffer: no formatting machinery, no allocation in steady state.
//!
//! Strings are escaped as RFC 8259 section 7 asks; everything written is UTF-8.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::term::time::Clock;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Two lower-case hexadecimal digits for every byte.
static HEX2: [[u8; 2]; 256] = {
    let mut table = [[0; 2]; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = [HEX[i >> 4], HEX[i & 15]];
        i += 1;
    }
    table
};

/// Decimal text of every byte, and its length in the last place.
static DEC3: [[u8; 4]; 256] = {
    let mut table = [[0; 4]; 256];
    let mut i = 0;
    while i < 256 {
        let digits = [b'0' + (i / 100) as u8, b'0' + (i / 10 % 10) as u8, b'0' + (i % 10) as u8];
        table[i] = match i {
            0..10 => [digits[2], 0, 0, 1],
            10..100 => [digits[1], digits[2], 0, 2],
            _ => [digits[0], digits[1], digits[2], 3],
        };
        i += 1;
    }
    table
};

/// A buffer that JSON is written into.
#[derive(Debug, Default)]
pub struct Json {
    /// What was written so far.
    pub buf: Vec<u8>,
    clock: Clock,
}

impl Json {
    /// With room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { buf: Vec::with_capacity(capacity), ..Self::default() }
    }

    /// Punctuation and keys, as they are.
    #[inline(always)]
    pub fn raw(&mut self, text: &[u8]) {
        self.buf.extend_from_slice(text);
    }

    /// A number.
    #[inline]
    pub fn num(&mut self, n: impl Into<u64>) {
        let mut digits = itoa::Buffer::new();
        self.buf.extend_from_slice(digits.format(n.into()).as_bytes());
    }

    /// `,"key":` (given complete, comma included) and a number.
    #[inline]
    pub fn field<const N: usize>(&mut self, key: &[u8; N], n: impl Into<u64>) {
        self.raw(key);
        self.num(n);
    }

    /// `true` or `false`.
    #[inline]
    pub fn bool(&mut self, value: bool) {
        self.raw(if value { b"true" } else { b"false" });
    }

    /// A string without anything to escape: our own names.
    #[inline]
    pub fn name(&mut self, name: &str) {
        debug_assert!(name.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\'));
        self.buf.push(b'"');
        self.raw(name.as_bytes());
        self.buf.push(b'"');
    }

    /// Any string, escaped.
    pub fn string(&mut self, text: &str) {
        self.buf.push(b'"');
        let mut rest = text.as_bytes();
        while let Some(at) = rest.iter().position(|&b| needs_escape(b)) {
            self.buf.extend_from_slice(&rest[..at]);
            self.escape(rest[at]);
            rest = &rest[at + 1..];
        }
        self.buf.extend_from_slice(rest);
        self.buf.push(b'"');
    }

    #[cold]
    fn escape(&mut self, byte: u8) {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => {
                self.buf.extend_from_slice(b"\\u00");
                self.buf.extend_from_slice(&HEX2[usize::from(byte)]);
                return;
            }
        };
        self.buf.extend_from_slice(&[b'\\', short]);
    }

    /// `"2026-11-22T08:15:00.123456789Z"`, or `null`.
    #[inline]
    pub fn time(&mut self, ns: Option<i64>) {
        let Some(ns) = ns else { return self.raw(b"null") };
        let mut text = [b'"'; crate::term::time::LEN + 2];
        text[1..=crate::term::time::LEN].copy_from_slice(self.clock.rfc3339(ns));
        self.raw(&text);
    }

    /// `"02:00:00:00:00:01"`.
    #[inline]
    pub fn mac(&mut self, mac: skb::MacAddr) {
        let mut text = *b"\"00:00:00:00:00:00\"";
        for (i, byte) in mac.0.into_iter().enumerate() {
            let two = HEX2[usize::from(byte)];
            text[1 + 3 * i] = two[0];
            text[2 + 3 * i] = two[1];
        }
        self.raw(&text);
    }

    /// `"192.0.2.1"`.
    #[inline]
    pub fn ipv4(&mut self, ip: Ipv4Addr) {
        let mut text = [b'"'; 20];
        let len = put_ipv4(&mut text, 1, ip.octets());
        text[len] = b'"';
        self.raw(&text[..=len]);
    }

    /// `"2001:db8::1"`, as RFC 5952 wants it.
    pub fn ipv6(&mut self, ip: Ipv6Addr) {
        let mut text = [b'"'; 48];
        let len = put_ipv6(&mut text, 1, ip);
        text[len] = b'"';
        self.raw(&text[..=len]);
    }
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Writes dotted decimals from `at`; returns the place after them.
#[inline]
fn put_ipv4(text: &mut [u8], mut at: usize, octets: [u8; 4]) -> usize {
    for (i, octet) in octets.into_iter().enumerate() {
        if i > 0 {
            text[at] = b'.';
            at += 1;
        }
        let digits = DEC3[usize::from(octet)];
        text[at..at + 3].copy_from_slice(&digits[..3]);
        at += usize::from(digits[3]);
    }
    at
}

/// Writes RFC 5952 text from `at`; returns the place after it.
fn put_ipv6(text: &mut [u8; 48], mut at: usize, ip: Ipv6Addr) -> usize {
    let groups = ip.segments();
    if let Some(v4) = ip.to_ipv4_mapped() {
        text[at..at + 7].copy_from_slice(b"::ffff:");
        return put_ipv4(text, at + 7, v4.octets());
    }
    let (run, run_len) = longest_zero_run(groups);
    let mut i = 0;
    while i < 8 {
        if i == run && run_len > 1 {
            text[at..at + 2].copy_from_slice(b"::");
            at += 2;
            i += run_len;
            continue;
        }
        let after_run = run_len > 1 && i == run + run_len;
        if i > 0 && !after_run {
            text[at] = b':';
            at += 1;
        }
        at = put_group(text, at, groups[i]);
        i += 1;
    }
    at
}

/// First longest run of zero groups: start and length (length 0: none).
fn longest_zero_run(groups: [u16; 8]) -> (usize, usize) {
    let (mut best, mut best_len, mut len) = (0, 0, 0);
    for (i, group) in groups.into_iter().enumerate() {
        len = if group == 0 { len + 1 } else { 0 };
        if len > best_len {
            (best, best_len) = (i + 1 - len, len);
        }
    }
    (best, best_len)
}

fn put_group(text: &mut [u8; 48], mut at: usize, group: u16) -> usize {
    let digits = 4 - (group.leading_zeros() / 4).min(3);
    for shift in (0..digits).rev() {
        text[at] = HEX[usize::from(group >> (4 * shift) & 15)];
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ipv6_text(ip: Ipv6Addr) -> String {
        let mut json = Json::default();
        json.ipv6(ip);
        serde_json::from_slice(&json.buf).unwrap()
    }

    #[test]
    fn addresses() {
        let mut json = Json::default();
        json.mac("02:00:5e:10:00:ff".parse().unwrap());
        json.raw(b",");
        json.ipv4(Ipv4Addr::new(192, 0, 2, 255));
        json.raw(b",");
        json.time(Some(1));
        json.raw(b",");
        json.time(None);
        let expected = r#""02:00:5e:10:00:ff","192.0.2.255","1970-01-01T00:00:00.000000001Z",null"#;
        assert_eq!(String::from_utf8(json.buf).unwrap(), expected);
        for text in ["::", "::1", "1::", "fe80::1:0:0:1", "1:0:0:2::3", "2001:db8:0:1:2:3:4:5"] {
            assert_eq!(ipv6_text(text.parse().unwrap()), text);
        }
    }

    proptest! {
        #[test]
        fn strings_survive(text in any::<String>()) {
            let mut json = Json::default();
            json.string(&text);
            prop_assert_eq!(serde_json::from_slice::<String>(&json.buf).unwrap(), text);
        }

        #[test]
        fn ipv6_is_what_std_prints(groups in prop::array::uniform8(prop_oneof![
            3 => Just(0_u16), 1 => any::<u16>(), 1 => Just(0xffff)
        ])) {
            let ip = Ipv6Addr::from(groups);
            prop_assert_eq!(ipv6_text(ip), ip.to_string());
        }

        #[test]
        fn numbers_are_what_std_prints(n in any::<u64>(), shift in 0..64_u32) {
            let n = n >> shift;
            let mut json = Json::default();
            json.raw(b"[");
            json.num(n);
            json.raw(b"]");
            prop_assert_eq!(String::from_utf8(json.buf).unwrap(), format!("[{n}]"));
        }

        #[test]
        fn ipv4_is_what_std_prints(ip in any::<u32>()) {
            let mut json = Json::default();
            json.ipv4(ip.into());
            let text: String = serde_json::from_slice(&json.buf).unwrap();
            prop_assert_eq!(text, Ipv4Addr::from(ip).to_string());
        }
    }
}
