//! Checksums of a frame that is changed: followed step by step (RFC 1624), or made anew.

use skb::checksum;
use skb::locate::{L3, Located};

/// IP protocol numbers (IANA).
pub(super) const ICMP: u8 = 1;
pub(super) const IGMP: u8 = 2;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMPV6: u8 = 58;
pub(super) const SCTP: u8 = 132;

/// Where an IP packet lies in a frame, its lengths checked against the bytes there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ip {
    /// IPv4 rather than IPv6.
    pub(super) v4: bool,
    /// Its first byte.
    pub(super) at: usize,
    /// The transport header; `None` in later fragments and what is not followed.
    pub(super) l4: Option<usize>,
    pub(super) proto: u8,
    /// Only a part of the datagram.
    pub(super) fragment: bool,
    /// The end of the packet by its own length; more than the frame has if it was cut.
    pub(super) end: usize,
}

impl Ip {
    pub(super) fn of(located: &Located, frame: &[u8]) -> Option<Self> {
        let at = usize::from(located.l3);
        let v4 = match located.kind {
            L3::Ipv4 => true,
            L3::Ipv6 => false,
            _ => return None,
        };
        let field = |offset: usize| {
            let pair = frame.get(at + offset..at + offset + 2)?.first_chunk()?;
            Some(usize::from(u16::from_be_bytes(*pair)))
        };
        let length = if v4 { field(2)? } else { field(4)? + 40 };
        // 0: the capture of a super-frame, whose length is the frame's
        let end = if length == 0 || (!v4 && length == 40) { frame.len() } else { at + length };
        let l4 = (located.l4 != 0).then_some(usize::from(located.l4));
        let (proto, fragment) = (located.ip_proto, located.fragment);
        Some(Self { v4, at, l4, proto, fragment, end })
    }

    /// Both addresses: the offset of the first and the length of one.
    pub(super) fn addresses(&self) -> (usize, usize) {
        if self.v4 { (self.at + 12, 4) } else { (self.at + 8, 16) }
    }

    /// Where the transport checksum is, if it is a one's complement sum.
    pub(super) fn l4_sum(&self) -> Option<usize> {
        Some(self.l4? + self.l4_sum_offset()?)
    }

    fn l4_sum_offset(&self) -> Option<usize> {
        match self.proto {
            TCP => Some(16),
            UDP => Some(6),
            ICMP | ICMPV6 | IGMP => Some(2),
            _ => None,
        }
    }

    /// The transport checksum covers the addresses (RFC 9293 3.1, RFC 768, RFC 4443 2.3).
    pub(super) fn has_pseudo_header(&self) -> bool {
        matches!(self.proto, TCP | UDP | ICMPV6)
    }
}

/// A checksum for data of which `old` became `new`, both at an even distance from where its sum
/// begins: RFC 1624 section 3, equation 3. A wrong sum stays as wrong as it was.
pub(super) fn follow(sum: u16, old: &[u8], new: &[u8]) -> u16 {
    let words = |bytes: &[u8]| -> u64 {
        bytes
            .chunks(2)
            .map(|pair| u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |b| u64::from(*b)))
            .sum()
    };
    // ~m for each word m: 0xffff - m
    let count = old.len().div_ceil(2) as u64;
    let mut total = u64::from(!sum) + (0xffff * count - words(old)) + words(new);
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

/// Changes bytes of an IP packet that the sums at `sums` cover, and the sums with them.
pub(super) fn replace(frame: &mut [u8], at: usize, new: &[u8], sums: &[Sum]) {
    let Some(place) = frame.get_mut(at..at + new.len()) else { return };
    let mut old = [0; 16];
    let old = &mut old[..new.len().min(16)];
    old.copy_from_slice(&place[..old.len()]);
    place.copy_from_slice(new);
    for sum in sums {
        let Some(field) = frame.get_mut(sum.at..sum.at + 2) else { continue };
        let was = u16::from_be_bytes([field[0], field[1]]);
        if sum.is_udp && was == 0 {
            continue; // no checksum (RFC 768)
        }
        let mut now = follow(was, old, new);
        if sum.is_udp && now == 0 {
            now = 0xffff;
        }
        field.copy_from_slice(&now.to_be_bytes());
    }
}

/// Where a checksum is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) at: usize,
    /// 0 means none, and is written as 0xffff.
    pub(super) is_udp: bool,
}

/// What comes after the end of a frame that was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Nobody knows.
    Unknown,
    /// Zeros.
    Zeros,
}

/// Makes the IPv4 header's checksum anew, and the transport's if the whole datagram is known.
/// `false`: it is not, and its sum was left as it is.
pub(super) fn make(frame: &mut [u8], ip: &Ip, missing: Missing) -> bool {
    if ip.v4 {
        let ihl = usize::from(frame[ip.at] & 0xf) * 4;
        put(frame, ip.at + 10, 0);
        if let Some(header) = frame.get(ip.at..ip.at + ihl) {
            let sum = finish(checksum::sum(header));
            put(frame, ip.at + 10, sum);
        }
    }
    let Some(l4) = ip.l4 else { return true };
    let cut = ip.end > frame.len();
    if ip.fragment || ip.end < l4 || (cut && missing == Missing::Unknown) {
        return false;
    }
    if ip.proto == SCTP {
        return !cut && sctp(frame, l4, ip.end);
    }
    let end = ip.end.min(frame.len());
    let Some(at) = ip.l4_sum().filter(|at| at + 2 <= end) else { return true };
    if ip.proto == UDP && ip.v4 && frame[at..at + 2] == [0, 0] {
        return true; // none is meant
    }
    put(frame, at, 0);
    let mut total = checksum::sum(&frame[l4..end]);
    if ip.has_pseudo_header() {
        let (addresses, size) = ip.addresses();
        let Some(pair) = frame.get(addresses..addresses + 2 * size) else { return false };
        let length = (ip.end - l4) as u32;
        total += checksum::sum(pair)
            + checksum::word((length >> 16) as u16)
            + checksum::word(length as u16)
            + checksum::word(u16::from(ip.proto));
    }
    let mut sum = finish(total);
    if ip.proto == UDP && sum == 0 {
        sum = 0xffff;
    }
    put(frame, at, sum);
    true
}

/// RFC 9260 6.8: CRC32c over the packet with its field at 0, least significant byte first.
pub(super) fn sctp(frame: &mut [u8], l4: usize, end: usize) -> bool {
    let Some(packet) = frame.get_mut(l4..end).filter(|packet| packet.len() >= 12) else {
        return false;
    };
    packet[8..12].fill(0);
    let crc = crc32c::crc32c(packet);
    packet[8..12].copy_from_slice(&crc.to_le_bytes());
    true
}

/// The field's value, for a sum in the word order of [`checksum::sum`].
fn finish(total: u64) -> u16 {
    !(checksum::fold(total) as u16).swap_bytes()
}

fn put(frame: &mut [u8], at: usize, value: u16) {
    if let Some(field) = frame.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}
