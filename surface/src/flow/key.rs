//! The 5-tuple, the same for both directions.

use crate::peel::{Address, Packet};

/// One of the two ends of a conversation, by the order of address and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Side {
    /// The end with the lower address, or port if these are equal.
    Low = 0,
    /// The other.
    High = 1,
}

impl Side {
    /// The other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Low => Self::High,
            Self::High => Self::Low,
        }
    }

    /// Into arrays of two.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Addresses, ports and protocol in an order that does not depend on who sends.
///
/// VLANs and tunnels are not part of it: a mirror port shows one conversation with different tags
/// in its two directions, and one that enters a tunnel with and without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Addresses, the lower end's first.
    pub addresses: [Address; 2],
    /// Ports in the same order, 0 where the protocol has none.
    pub ports: [u16; 2],
    /// IP protocol number.
    pub proto: u8,
}

impl Key {
    /// The key of a packet, and which end sent it.
    #[inline(always)]
    pub fn of(packet: &Packet<'_>) -> (Self, Side) {
        let (src, dst) = ((packet.src, packet.src_port), (packet.dst, packet.dst_port));
        if src <= dst {
            (Self::new(src, dst, packet.proto), Side::Low)
        } else {
            (Self::new(dst, src, packet.proto), Side::High)
        }
    }

    const fn new(low: (Address, u16), high: (Address, u16), proto: u8) -> Self {
        Self { addresses: [low.0, high.0], ports: [low.1, high.1], proto }
    }

    /// In which of two parts it is, the same in every run: by ports and the last bytes of the
    /// addresses, which differ where there is much traffic. The first has so many of 32.
    #[inline(always)]
    pub(crate) const fn is_in_first(&self, of_32: u32) -> bool {
        let [a, b] = &self.addresses;
        let ports = (self.ports[0] as u32) << 16 | self.ports[1] as u32;
        let addresses = (a.halves()[1] as u32) << 16 | b.halves()[1] as u32 & 0xffff;
        let mixed = (ports ^ addresses.rotate_left(7)).wrapping_mul(0x9e37_79b1);
        mixed >> 27 < of_32
    }

    /// Address and port of an end.
    pub const fn end(&self, side: Side) -> (Address, u16) {
        (self.addresses[side.index()], self.ports[side.index()])
    }
}
