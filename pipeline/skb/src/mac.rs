//! MAC addresses.

use std::fmt;
use std::str::FromStr;

/// A 48-bit MAC address in wire order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// The first six bytes of `bytes`, which must be at least that long.
    #[inline(always)] // six checks where the caller has none left
    pub fn from_slice(bytes: &[u8]) -> Self {
        Self([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5]])
    }

    /// I/G bit (IEEE 802 clause 8.2.2): group address, broadcast included.
    #[inline]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// U/L bit: locally administered.
    #[inline]
    pub const fn is_local(self) -> bool {
        self.0[0] & 2 != 0
    }

    /// All ones.
    #[inline]
    pub fn is_broadcast(self) -> bool {
        self == Self::BROADCAST
    }

    /// Neither group nor all-zero: an address a station may send from.
    #[inline]
    pub fn is_valid_source(self) -> bool {
        !self.is_multicast() && self.0 != [0; 6]
    }

    /// 01:80:c2:00:00:00 to :0f, never forwarded by a bridge (IEEE 802.1Q table 8-1).
    #[inline]
    pub fn is_link_local_group(self) -> bool {
        self.0[..5] == [0x01, 0x80, 0xc2, 0, 0] && self.0[5] & 0xf0 == 0
    }

    /// The 48 bits as a number, first byte on the wire most significant.
    #[inline]
    pub fn to_u64(self) -> u64 {
        let m = self.0;
        u64::from_be_bytes([0, 0, m[0], m[1], m[2], m[3], m[4], m[5]])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = self.0;
        write!(f, "{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", m[0], m[1], m[2], m[3], m[4], m[5])
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `text` is not six two-digit hexadecimal groups separated by `:` or `-`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a MAC address: expected six two-digit hex groups such as 02:00:00:00:00:01")]
pub struct ParseMacError(pub String);

impl FromStr for MacAddr {
    type Err = ParseMacError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let err = || ParseMacError(text.to_owned());
        let mut out = [0; 6];
        let mut groups = text.split([':', '-']);
        for byte in &mut out {
            let group = groups.next().ok_or_else(err)?;
            if group.len() != 2 || !group.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(err());
            }
            *byte = u8::from_str_radix(group, 16).map_err(|_| err())?;
        }
        if groups.next().is_some() { Err(err()) } else { Ok(Self(out)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip_and_bits() {
        let mac: MacAddr = "02:00:5e:10:00:ff".parse().unwrap();
        assert_eq!(mac.to_string(), "02:00:5e:10:00:ff");
        assert!(mac.is_local() && !mac.is_multicast() && mac.is_valid_source());
        assert_eq!(mac.to_u64(), 0x0200_5e10_00ff);
        for bad in
            ["", "02:00:5e:10:00", "02:00:5e:10:00:ff:00", "2:0:5e:10:0:ff", "zz:00:00:00:00:00"]
        {
            assert!(bad.parse::<MacAddr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn link_local_group_is_sixteen_addresses() {
        assert!(MacAddr([1, 0x80, 0xc2, 0, 0, 0x0e]).is_link_local_group());
        assert!(!MacAddr([1, 0x80, 0xc2, 0, 0, 0x10]).is_link_local_group());
    }
}
