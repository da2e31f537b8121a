//! Internet checksum (RFC 1071), CRC-32 of Ethernet and CRC-32c of SCTP.

use crate::decode::Checksum;

/// Ones' complement sum of `bytes` as little-endian 16-bit words, unfolded. Sums of several
/// pieces may be added when every piece but the last has an even length.
pub fn sum(bytes: &[u8]) -> u64 {
    let mut total = 0u64;
    let mut chunks = bytes.chunks_exact(32);
    // 32-bit lanes into 64-bit sums: no carry can be lost below 2^32 chunks
    let (mut a, mut b, mut c, mut d) = (0u64, 0u64, 0u64, 0u64);
    for chunk in &mut chunks {
        let word = |at: usize| {
            u64::from_le_bytes([
                chunk[at],
                chunk[at + 1],
                chunk[at + 2],
                chunk[at + 3],
                chunk[at + 4],
                chunk[at + 5],
                chunk[at + 6],
                chunk[at + 7],
            ])
        };
        let (w0, w1, w2, w3) = (word(0), word(8), word(16), word(24));
        a += (w0 & 0xffff_ffff) + (w0 >> 32);
        b += (w1 & 0xffff_ffff) + (w1 >> 32);
        c += (w2 & 0xffff_ffff) + (w2 >> 32);
        d += (w3 & 0xffff_ffff) + (w3 >> 32);
    }
    total += fold(a) + fold(b) + fold(c) + fold(d);
    let mut words = chunks.remainder().chunks_exact(2);
    for word in &mut words {
        total += u64::from(u16::from_le_bytes([word[0], word[1]]));
    }
    if let [last] = words.remainder() {
        total += u64::from(*last);
    }
    total
}

/// Whether the checksum of a TCP segment (RFC 9293 3.1) over IPv4 is right. `header` is the IPv4
/// header, `segment` the TCP header and payload to their end.
pub fn tcp_over_ipv4_is_good(header: &[u8], segment: &[u8]) -> bool {
    let Some(addresses) = header.get(12..20) else { return false };
    let Ok(len) = u16::try_from(segment.len()) else { return false };
    let pseudo = sum(addresses) + word(6) + word(len);
    verdict(pseudo + sum(segment)) == Checksum::Good
}

/// Folds a sum to 16 bits, still in little-endian word order.
pub const fn fold(mut sum: u64) -> u64 {
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

/// A number in network order as it counts in [`sum`].
pub const fn word(value: u16) -> u64 {
    value.swap_bytes() as u64
}

/// Whether a sum that includes the checksum field is that of intact bytes.
pub(crate) const fn verdict(total: u64) -> Checksum {
    if fold(total) == 0xffff { Checksum::Good } else { Checksum::Bad }
}

/// CRC-32 of IEEE 802.3 clause 3.2.9 over `frame` equals the four bytes of `fcs`, which travel
/// least significant byte first.
pub(crate) fn fcs_fits(frame: &[u8], fcs: &[u8]) -> bool {
    crc32fast::hash(frame).to_le_bytes() == fcs
}

/// CRC-32c (RFC 9260 appendix A) of an SCTP packet whose checksum field, bytes 8 to 11, counts as
/// zero.
pub(crate) fn sctp(packet: &[u8]) -> Checksum {
    let (Some(head), Some(field), Some(tail)) =
        (packet.get(..8), packet.get(8..12), packet.get(12..))
    else {
        return Checksum::Unverified;
    };
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(head), &[0; 4]), tail);
    // the field is the CRC in the byte order that makes least significant byte first
    if crc.to_le_bytes() == field { Checksum::Good } else { Checksum::Bad }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    #[test]
    fn equals_the_definition_at_every_length() {
        let bytes: Vec<u8> = (0..300u32).map(|i| (i * 37 + i / 7) as u8 ^ 0xa5).collect();
        for len in 0..bytes.len() {
            let fast = (fold(sum(&bytes[..len])) as u16).swap_bytes();
            // 0 and 0xffff are the same number in ones' complement
            assert_eq!(fast % 0xffff, slow(&bytes[..len]) % 0xffff, "length {len}");
        }
        assert_eq!(fold(sum(&vec![0xff; 65536])), 0xffff);
    }

    #[test]
    fn rfc_1071_example() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!((fold(sum(&bytes)) as u16).swap_bytes(), 0xddf2);
    }

    #[test]
    fn check_values_of_the_crcs() {
        // the catalogue's check strings: CRC-32/ISO-HDLC and CRC-32/ISCSI over "123456789"
        assert!(fcs_fits(b"123456789", &0xcbf4_3926u32.to_le_bytes()));
        assert!(!fcs_fits(b"123456788", &0xcbf4_3926u32.to_le_bytes()));
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    }
}
