//! What the table is keyed and timed by.

use skb::MacAddr;
use std::fmt;

/// VID and MAC in one number: MAC in bits 16..64 with the first byte on the wire lowest (as in a
/// little-endian load that ends with it), VID in bits 0..12, and bit 15 set, so that no key is 0
/// (which marks a free entry), whatever address a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FdbKey(pub(crate) u64);

/// Set in every key.
const USED: u64 = 1 << 15;

/// The MAC bits of a key.
pub(crate) const MAC_BITS: u64 = !0xffff;

/// The I/G bit of a key's MAC address: a group address (IEEE 802 clause 8.2).
pub(crate) const GROUP_BIT: u64 = 1 << 16;

impl FdbKey {
    /// Key of `mac` in VLAN `vid` (only its low 12 bits count).
    #[inline]
    pub fn new(vid: u16, mac: MacAddr) -> Self {
        let m = mac.0;
        Self::from_bits(vid, u64::from_le_bytes([0, 0, m[0], m[1], m[2], m[3], m[4], m[5]]))
    }

    /// Key of a static entry for `mac` in every VLAN.
    pub fn any_vlan(mac: MacAddr) -> Self {
        Self::new(0, mac)
    }

    /// Key from a word with the MAC in its upper 48 bits.
    #[inline(always)]
    pub(crate) fn from_bits(vid: u16, mac_bits: u64) -> Self {
        Self(USED | u64::from(vid & 0x0fff) | mac_bits & MAC_BITS)
    }

    /// The same VLAN with the MAC bits `mac_bits`, which has no others; `self` must have none.
    #[inline(always)]
    pub(crate) fn with_mac(self, mac_bits: u64) -> Self {
        Self(self.0 | mac_bits)
    }

    /// VLAN id.
    pub fn vid(self) -> u16 {
        self.0 as u16 & 0x0fff
    }

    /// MAC address.
    pub fn mac(self) -> MacAddr {
        let [_, _, a, b, c, d, e, f] = self.0.to_le_bytes();
        MacAddr([a, b, c, d, e, f])
    }
}

impl fmt::Display for FdbKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.vid() {
            0 => write!(f, "{} in every VLAN", self.mac()),
            vid => write!(f, "{} in VLAN {vid}", self.mac()),
        }
    }
}

/// Secret of the table's hash. Draw it anew for each process; a fixed one makes runs repeatable.
#[derive(Clone, Copy)]
pub struct HashKey {
    multiplier: u64,
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(..)")
    }
}

impl HashKey {
    /// From 128 random bits.
    pub fn new(random: [u64; 2]) -> Self {
        Self { multiplier: splitmix(random[0] ^ splitmix(random[1])) | 1 }
    }

    /// The key to try when this one crowds a table.
    pub(super) fn next(self) -> Self {
        Self { multiplier: splitmix(self.multiplier) | 1 }
    }

    /// Where `key` is at home in a table of `entries`, a power of two of at least 2.
    ///
    /// Multiply-shift (Dietzfelbinger et al. 1997): for a random odd multiplier two keys collide
    /// with a probability of at most 2 / `entries`.
    #[inline(always)]
    pub(super) fn slot(self, key: u64, entries: usize) -> usize {
        let shift = entries.leading_zeros() + 1;
        (key.wrapping_mul(self.multiplier) >> (shift & 63)) as usize & (entries - 1)
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): seeds as weak as 0 or 1 still make a
/// multiplier with bits everywhere.
fn splitmix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Coarse time: 128 ms per tick, wrapping after 17 years.
///
/// Compared by signed difference, so a clock that is set back makes entries young, never old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tick(pub(super) u32);

const MS_PER_TICK_SHIFT: u32 = 7;

impl Tick {
    /// From milliseconds of any clock that starts anywhere.
    #[inline]
    pub fn from_ms(now_ms: u64) -> Self {
        Self((now_ms >> MS_PER_TICK_SHIFT) as u32)
    }

    /// Ticks in a duration, rounded up.
    pub(super) fn ticks_of_ms(ms: u64) -> i32 {
        ms.div_ceil(1 << MS_PER_TICK_SHIFT).min(i32::MAX as u64) as i32
    }

    /// Ticks since `then`; negative if `then` is later.
    #[inline(always)]
    pub(super) fn since(self, then: Self) -> i32 {
        self.0.wrapping_sub(then.0) as i32
    }
}
