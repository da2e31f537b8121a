//! Parts of layers: checksum outcomes, TCP flags, and the headers that several places build.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Outcome of checking a checksum by arithmetic alone. Why a sum is bad (offload, damage) is a
/// [`Note`](super::Note), not part of the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Checksum {
    /// The sum over the bytes is what the header says.
    Good,
    /// The sum over the bytes is not what the header says.
    Bad,
    /// Not checked: bytes are missing (snap length, fragment, quotation), the sender sent none
    /// (UDP over IPv4, value 0), or checking was switched off.
    #[default]
    Unverified,
}

impl Checksum {
    /// `good`, `bad` or `unverified`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Unverified => "unverified",
        }
    }
}

/// TCP flag bits (RFC 9293 section 3.1, RFC 3168, RFC 3540), `CWR` to `FIN` in the low byte and
/// the accurate-ECN/NS bit as bit 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TcpFlags(pub u16);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: u16 = 0x001;
    /// Synchronise sequence numbers.
    pub const SYN: u16 = 0x002;
    /// Reset.
    pub const RST: u16 = 0x004;
    /// Push.
    pub const PSH: u16 = 0x008;
    /// Acknowledgement field is significant.
    pub const ACK: u16 = 0x010;
    /// Urgent pointer is significant.
    pub const URG: u16 = 0x020;
    /// ECN echo.
    pub const ECE: u16 = 0x040;
    /// Congestion window reduced.
    pub const CWR: u16 = 0x080;
    /// Accurate ECN (formerly NS).
    pub const AE: u16 = 0x100;

    /// All bits of `mask` are set.
    pub const fn has(self, mask: u16) -> bool {
        self.0 & mask == mask
    }

    /// The letters tcpdump uses, in the order `FSRPAUECN` (`SA` for SYN+ACK), into `buf`.
    pub fn letters(self, buf: &mut [u8; 9]) -> &str {
        let order = *b"FSRPAUECN";
        let bits = [
            Self::FIN,
            Self::SYN,
            Self::RST,
            Self::PSH,
            Self::ACK,
            Self::URG,
            Self::ECE,
            Self::CWR,
            Self::AE,
        ];
        let mut len = 0;
        for (letter, bit) in order.iter().zip(bits) {
            if self.has(bit) {
                buf[len] = *letter;
                len += 1;
            }
        }
        str::from_utf8(&buf[..len]).unwrap_or("")
    }
}

/// SNAP: organisation and protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snap {
    /// Organisation; 0 means `protocol` is an `EtherType`.
    pub oui: u32,
    /// Protocol identifier.
    pub protocol: u16,
}

/// An IPv4 header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ip {
    /// Source.
    pub src: Ipv4Addr,
    /// Destination.
    pub dst: Ipv4Addr,
    /// Protocol number of the payload.
    pub proto: u8,
    /// Time to live.
    pub ttl: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// Total length field as sent, 0 on some super-frames.
    pub total_length: u16,
    /// Identification.
    pub id: u16,
    /// Bit 2 reserved, bit 1 don't fragment, bit 0 more fragments.
    pub flags: u8,
    /// Fragment offset in bytes.
    pub frag_offset: u16,
    /// Over the header.
    pub checksum: Checksum,
}

/// An IPv6 header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv6 {
    /// Source.
    pub src: Ipv6Addr,
    /// Destination.
    pub dst: Ipv6Addr,
    /// Next header number.
    pub next: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Traffic class.
    pub traffic_class: u8,
    /// Flow label.
    pub flow_label: u32,
    /// Payload length field as sent.
    pub payload_length: u16,
}

/// A TCP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flags.
    pub flags: TcpFlags,
    /// Window, unscaled.
    pub window: u16,
    /// Bytes of data after the header, by the length fields (not by what was captured).
    pub payload_length: u32,
    /// Over the pseudo-header, the header and the data.
    pub checksum: Checksum,
    /// Only the first bytes of the header were there (quotation, snap length, damage): fields
    /// beyond them are 0.
    pub partial: bool,
}

/// IPv6 extension headers that are walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipv6ExtKind {
    /// Hop-by-hop options.
    HopByHop,
    /// Destination options.
    Destination,
    /// Routing.
    Routing,
    /// Mobility (RFC 6275).
    Mobility,
    /// Host identity protocol (RFC 7401).
    Hip,
    /// Shim6 (RFC 5533).
    Shim6,
}
