//! Names that are kept only as a keyed hash: the same name can be told again, by whoever has the
//! key, and cannot be read.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};

use hmac::{Hmac, Mac};
use sha2::Sha256;
use skb::MacAddr;

/// The key of all keyed hashes of an analysis.
#[derive(Clone, Copy)]
pub struct NameKey([u8; 32]);

impl NameKey {
    /// This key: hashes can be compared with those of other analyses of the same site.
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// A key of this analysis only, that nobody learns.
    pub fn random() -> Self {
        let mut key = [0; 32];
        for word in key.chunks_exact_mut(8) {
            // keyed with randomness of the operating system
            word.copy_from_slice(&RandomState::new().build_hasher().finish().to_le_bytes());
        }
        Self(key)
    }

    /// The hash of a network card's address.
    pub(crate) fn card(&self, mac: MacAddr) -> KeyedName {
        self.hash("card", mac.to_string().as_bytes())
    }

    /// The hash of a name of a kind; upper and lower case are the same, as Windows has it.
    pub(crate) fn hash(&self, kind: &str, name: &[u8]) -> KeyedName {
        let mut bytes = [0; 8];
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) {
            mac.update(kind.as_bytes());
            mac.update(&[0]);
            mac.update(&name.to_ascii_lowercase());
            for (byte, of) in bytes.iter_mut().zip(mac.finalize().into_bytes()) {
                *byte = of;
            }
        }
        KeyedName(u64::from_be_bytes(bytes))
    }
}

/// A key of its own for each.
impl Default for NameKey {
    fn default() -> Self {
        Self::random()
    }
}

/// Never shows the key.
impl fmt::Debug for NameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameKey")
    }
}

/// The first eight bytes of HMAC-SHA256 (RFC 2104) of a name; shown as hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyedName(u64);

impl fmt::Display for KeyedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_depend_on_key_kind_and_name_only() {
        let key = NameKey::new([7; 32]);
        let hash = key.hash("a", b"Mary");
        assert_eq!(hash, key.hash("a", b"mARY"));
        assert_ne!(hash, key.hash("b", b"Mary"));
        assert_ne!(hash, key.hash("a", b"Marz"));
        assert_ne!(hash, NameKey::new([8; 32]).hash("a", b"Mary"));
        assert_ne!(NameKey::random().hash("a", b"x"), NameKey::random().hash("a", b"x"));
        assert_eq!(format!("{key:?}"), "NameKey");
        assert_eq!(hash.to_string().len(), 16);
        // letters among the bytes of an address are no letters
        let card = |n: u8| key.card(MacAddr([2, 0, 0, 0, 0, n]));
        assert_ne!(card(b'a'), card(b'A'));
        assert_eq!(card(7), key.card(MacAddr([2, 0, 0, 0, 0, 7])));
    }
}
