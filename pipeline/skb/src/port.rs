//! Switch ports. Never an L4 port: those are `src_port` and `dst_port`.

use std::fmt;

/// How many ports one switch has at most: a [`PortSet`] is one machine word.
pub const PORTS_MAX: usize = 64;

/// A switch port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PortId(pub u8);

impl PortId {
    /// As an index.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port{}", self.0)
    }
}

/// A set of ports, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PortSet(pub u64);

impl PortSet {
    /// No port.
    pub const EMPTY: Self = Self(0);

    /// One port.
    #[inline]
    pub const fn only(port: PortId) -> Self {
        Self(1 << (port.0 & 63))
    }

    /// Whether `port` is in the set.
    #[inline]
    pub const fn contains(self, port: PortId) -> bool {
        self.0 >> (port.0 & 63) & 1 != 0
    }

    /// The set with `port`.
    #[inline]
    #[must_use]
    pub const fn with(self, port: PortId) -> Self {
        Self(self.0 | 1 << (port.0 & 63))
    }

    /// The set without `port`.
    #[inline]
    #[must_use]
    pub const fn without(self, port: PortId) -> Self {
        Self(self.0 & !(1 << (port.0 & 63)))
    }

    /// Ports in both.
    #[inline]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Ports in either.
    #[inline]
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// How many.
    #[inline]
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// The one port of a set of one.
    #[inline(always)]
    pub const fn single(self) -> Option<PortId> {
        if self.0 == 0 || self.0 & (self.0 - 1) != 0 {
            return None;
        }
        Some(PortId(self.0.trailing_zeros() as u8))
    }

    /// Whether none.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Iterator for PortSet {
    type Item = PortId;

    #[inline]
    fn next(&mut self) -> Option<PortId> {
        if self.0 == 0 {
            return None;
        }
        let port = PortId(self.0.trailing_zeros() as u8);
        self.0 &= self.0 - 1;
        Some(port)
    }
}

impl FromIterator<PortId> for PortSet {
    fn from_iter<I: IntoIterator<Item = PortId>>(ports: I) -> Self {
        ports.into_iter().fold(Self::EMPTY, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_holds_what_was_put_in() {
        let set: PortSet = [PortId(0), PortId(5), PortId(63)].into_iter().collect();
        assert_eq!(set.count(), 3);
        assert_eq!(set.map(|p| p.0).collect::<Vec<_>>(), [0, 5, 63]);
        assert!(!set.without(PortId(5)).contains(PortId(5)));
        assert_eq!((set.single(), PortSet::EMPTY.single()), (None, None));
        assert_eq!(PortSet::only(PortId(63)).single(), Some(PortId(63)));
    }
}
