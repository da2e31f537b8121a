//! One-time codes: a secret, and the fingerprint of the server's key, so that the first contact is
//! sure of the other side too.

use std::fmt;

use zeroize::Zeroizing;

use super::tls::PublicKey;
use crate::crypt::random;
use crate::hash::{Hash, hex, unhex};

/// Digits in a group.
const GROUP: usize = 8;
/// Groups in a half, with the check behind.
const HALF: usize = 4;

/// A code as it is handed over: two halves of four groups, each with a check.
#[derive(Clone, PartialEq, Eq)]
pub struct Code {
    pub(crate) secret: Zeroizing<[u8; 16]>,
    /// The first half of the BLAKE3 of the server's public key.
    pub(crate) server: [u8; 16],
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code")
    }
}

impl Code {
    pub(crate) fn new(server: &PublicKey) -> Self {
        Self { secret: random(), server: fingerprint(server) }
    }

    /// Whether a server's key is the one that the code speaks of.
    pub(crate) fn is_of(&self, server: &PublicKey) -> bool {
        fingerprint(server) == self.server
    }

    /// What the server keeps of it.
    pub(crate) fn digest(secret: &[u8; 16]) -> Hash {
        Hash(blake3::derive_key("framewalk backup 1 enrolment code", secret))
    }

    /// In printable groups.
    pub fn text(&self) -> String {
        let half = |number, bytes: &[u8; 16]| {
            let digits = hex(bytes);
            let groups: Vec<_> =
                (0..HALF).map(|at| &digits[at * GROUP..(at + 1) * GROUP]).collect();
            format!("{}-{}", groups.join("-"), check(number, &digits))
        };
        format!("{}-{}", half(1, &self.secret), half(2, &self.server))
    }

    /// Reads a code as typed: with spaces or dashes, in either case.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits: String =
            text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect::<String>();
        let digits = Zeroizing::new(digits.to_lowercase());
        let size = GROUP * HALF + 4;
        if digits.len() != 2 * size || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            let found = digits.chars().count();
            return Err(format!("a code has {} hexadecimal digits, this one {found}", 2 * size));
        }
        let half = |number: u8| {
            let all = &digits[usize::from(number - 1) * size..][..size];
            let (bytes, sum) = all.split_at(GROUP * HALF);
            if check(number, bytes) != sum {
                let which = if number == 1 { "first" } else { "second" };
                return Err(format!("the {which} half of the code is mistyped"));
            }
            unhex::<16>(bytes).ok_or_else(|| "a code holds other than digits".to_owned())
        };
        Ok(Self { secret: Zeroizing::new(half(1)?), server: half(2)? })
    }
}

fn fingerprint(server: &PublicKey) -> [u8; 16] {
    let hash = Hash::of(server);
    std::array::from_fn(|i| hash.0[i])
}

fn check(number: u8, digits: &str) -> String {
    hex(&Hash::of(format!("code {number}:{digits}").as_bytes()).0[..2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_as_written_and_tells_the_mistyped_half() {
        let code = Code::new(&[7; 32]);
        assert!(code.is_of(&[7; 32]) && !code.is_of(&[8; 32]));
        let text = code.text();
        assert_eq!(Code::parse(&text).unwrap(), code);
        assert_eq!(Code::parse(&text.replace('-', " ").to_uppercase()).unwrap(), code);
        for (at, c) in text.char_indices().filter(|(_, c)| *c != '-') {
            let mut typed = text.clone();
            typed.replace_range(at..=at, if c == '0' { "1" } else { "0" });
            let half = if at < text.len() / 2 { "first" } else { "second" };
            assert!(Code::parse(&typed).unwrap_err().contains(half), "{at}");
        }
        assert!(Code::parse("").unwrap_err().contains("72"));
        assert!(Code::parse("ä").is_err());
    }
}
