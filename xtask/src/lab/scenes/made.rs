//! Frames written byte by byte: what neither this kernel nor Debian's speaks by itself.
//!
//! Every one of them carries the same ICMP echo request from 198.51.100.1 to 198.51.100.2, so
//! that what differs is only what is around it. Checksums and lengths are right.

use anyhow::Result;

use crate::lab::Desk;
use crate::lab::file::{self, Frame, Interface, Labels};

/// How it is set, for the README.
pub(super) const SET: &str = "written byte by byte by xtask/src/lab/scenes/made.rs, an ICMP echo \
    request in each frame; nothing was on any wire, times are a fixed invented second";

/// 2026-01-01T00:00:00Z in nanoseconds since 1970.
const TIME_NS: u64 = 1_767_225_600_000_000_000;

/// Internet checksum (RFC 1071) of `parts`, each but the last of even length.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

fn concat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// An IPv4 packet without options (RFC 791).
fn ipv4(proto: u8, src: [u8; 4], dst: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let total = (20 + payload.len()) as u16;
    let mut header = vec![0x45, 0];
    header.extend_from_slice(&total.to_be_bytes());
    header.extend_from_slice(&[0, 1, 0x40, 0, 64, proto, 0, 0]);
    header.extend_from_slice(&src);
    header.extend_from_slice(&dst);
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum);
    concat(&[&header, payload])
}

/// An IPv6 packet without extension headers (RFC 8200).
fn ipv6(next: u8, src: [u8; 16], dst: [u8; 16], payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_be_bytes();
    concat(&[&[0x60, 0, 0, 0], &length, &[next, 64], &src, &dst, payload])
}

/// The echo request that everything carries (RFC 792).
fn echo() -> Vec<u8> {
    let mut icmp = vec![8, 0, 0, 0, 0, 42, 0, 1];
    icmp.extend_from_slice(b"made by the lab, on no wire.");
    let sum = checksum(&[&icmp]);
    icmp[2..4].copy_from_slice(&sum);
    ipv4(1, [198, 51, 100, 1], [198, 51, 100, 2], &icmp)
}

/// The same for IPv6 (RFC 4443), between two Teredo addresses' namespaces.
fn echo6(src: [u8; 16], dst: [u8; 16]) -> Vec<u8> {
    let mut icmp = vec![128, 0, 0, 0, 0, 42, 0, 1];
    icmp.extend_from_slice(b"made by the lab, on no wire.");
    let length = (icmp.len() as u32).to_be_bytes();
    let sum = checksum(&[&src, &dst, &length, &[0, 0, 0, 58], &icmp]);
    icmp[2..4].copy_from_slice(&sum);
    ipv6(58, src, dst, &icmp)
}

/// A UDP datagram in IPv4 in Ethernet, 192.0.2.1 to .2 (RFC 768).
fn udp_frame(src_port: u16, dst_port: u16, payload: &[u8]) -> Vec<u8> {
    let (src, dst) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    let length = ((8 + payload.len()) as u16).to_be_bytes();
    let ports = concat(&[&src_port.to_be_bytes(), &dst_port.to_be_bytes()]);
    let sum = checksum(&[&src, &dst, &[0, 17], &length, &ports, &length, payload]);
    let udp = concat(&[&ports, &length, &sum, payload]);
    eth(&[0x08, 0x00], &ipv4(17, src, dst, &udp))
}

const DST: [u8; 6] = [2, 0, 0, 0, 0, 0x0b];
const SRC: [u8; 6] = [2, 0, 0, 0, 0, 0x0a];

fn eth(kind: &[u8], payload: &[u8]) -> Vec<u8> {
    concat(&[&DST, &SRC, kind, payload])
}

/// Tunnels over Ethernet.
fn tunnel_frames() -> Vec<Vec<u8>> {
    let echo = echo();
    let echo_length = (echo.len() as u16).to_be_bytes();
    let extended_length = (echo.len() as u16 + 4).to_be_bytes();
    // GTP-U (3GPP TS 29.281 5.1): version 1, G-PDU, length, TEID
    let gtp = concat(&[&[0x30, 255], &echo_length, &[0, 0, 0x12, 0x34], &echo]);
    // the same with a sequence number: four bytes more
    let gtp_seq = concat(&[&[0x32, 255], &extended_length, &[0, 0, 0x12, 0x34, 0, 7, 0, 0], &echo]);
    // Teredo (RFC 4380): server 192.0.2.254, flags 0, port and client address obfuscated
    let teredo = [0x20, 1, 0, 0, 192, 0, 2, 254, 0, 0, 0xff ^ 0x9c, 0xff ^ 0x40, 63, 255, 253, 254];
    let native = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
    let echo6 = echo6(teredo, native);
    // with an origin indication in front (RFC 4380 5.1.1)
    let origin = concat(&[&[0, 0, 0x63, 0xbf, 63, 255, 253, 254], &echo6]);
    // L2TPv2 data with length (RFC 2661 3.1), PPP inside (RFC 1661): IPv4
    let ppp = concat(&[&[0xff, 3, 0, 0x21], &echo]);
    let l2tp_length = (ppp.len() as u16 + 8).to_be_bytes();
    let l2tp = concat(&[&[0x40, 2], &l2tp_length, &[0, 5, 0, 6], &ppp]);
    // provider backbone bridging (IEEE 802.1Q-2018 9.7): I-TAG with I-SID 66051, and the same
    // behind a B-TAG with VID 200
    let customer = eth(&[0x08, 0x00], &echo);
    let itag = concat(&[&[0x88, 0xe7, 0, 1, 2, 3], &customer]);
    vec![
        udp_frame(2152, 2152, &gtp),
        udp_frame(2152, 2152, &gtp_seq),
        udp_frame(40_000, 3544, &echo6),
        udp_frame(3544, 40_000, &origin),
        udp_frame(1701, 1701, &l2tp),
        eth(&[], &itag),
        eth(&[0x88, 0xa8, 0, 200], &itag),
        // LLC/SNAP (IEEE 802, RFC 1042) behind an 802.3 length
        eth(&extended_by(8, &echo), &snap(&echo)),
    ]
}

fn extended_by(more: u16, payload: &[u8]) -> [u8; 2] {
    (payload.len() as u16 + more).to_be_bytes()
}

fn snap(payload: &[u8]) -> Vec<u8> {
    concat(&[&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], payload])
}

/// IEEE 802.3 3.2.9: CRC-32 over the frame, least significant byte first on the wire.
fn fcs(frame: &[u8]) -> [u8; 4] {
    let mut crc = !0_u32;
    for byte in frame {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    (!crc).to_le_bytes()
}

/// One frame of each link type, with its number (the registry at tcpdump.org/linktypes.html).
fn linktype_frames() -> Vec<(&'static str, u32, Vec<u8>)> {
    let ip = echo();
    let host = |last| [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    let ip6 = echo6(host(1), host(2));
    let ethernet = {
        let mut frame = eth(&[8, 0], &ip);
        frame.resize(frame.len().max(60), 0);
        let fcs = fcs(&frame);
        concat(&[&frame, &fcs])
    };
    // nflog: family, version, resource id; then one TLV, NFULA_PAYLOAD, padded to 4
    // (lengths are in the byte order of the host that wrote it, here little-endian)
    let tlv = (ip.len() as u16 + 4).to_le_bytes();
    let mut nflog = concat(&[&[2, 0, 0, 5], &tlv, &[9, 0], &ip]);
    nflog.resize(nflog.len().next_multiple_of(4), 0);
    vec![
        ("NULL", 0, concat(&[&[2, 0, 0, 0], &ip])),
        ("LOOP", 108, concat(&[&[0, 0, 0, 2], &ip])),
        ("RAW (12)", 12, ip.clone()),
        ("RAW (14)", 14, ip.clone()),
        ("RAW", 101, ip.clone()),
        ("IPV4", 228, ip.clone()),
        ("IPV6", 229, ip6),
        ("PPP", 9, concat(&[&[0xff, 3, 0, 0x21], &ip])),
        ("C_HDLC", 104, concat(&[&[0x0f, 0, 8, 0], &ip])),
        ("FRELAY", 107, concat(&[&[0x18, 0x41, 3, 0xcc], &ip])),
        ("FDDI", 10, concat(&[&[0x50], &DST, &SRC, &snap(&ip)])),
        ("ARCNET_BSD", 7, concat(&[&[0x0a, 0x0b, 212, 0, 0, 1], &ip])),
        ("NFLOG", 239, nflog),
        ("ETHERNET_MPACKET", 274, concat(&[&[0x55; 7], &[0xd5], &ethernet])),
    ]
}

fn frame(index: usize, interface: u32, bytes: Vec<u8>) -> Frame {
    let time_ns = TIME_NS + index as u64 * 1_000_000;
    Frame { time_ns, origlen: bytes.len() as u32, interface, bytes }
}

/// Writes both files.
pub(super) fn play(desk: &Desk) -> Result<()> {
    let tunnels: Vec<Frame> = tunnel_frames()
        .into_iter()
        .enumerate()
        .map(|(index, bytes)| frame(index, 0, bytes))
        .collect();
    file::write_pcap(&desk.out("made-tunnels.pcap"), 1, &tunnels)?;

    let kinds = linktype_frames();
    let interfaces: Vec<Interface<'_>> = kinds
        .iter()
        .map(|(name, linktype, _)| Interface { name, description: "", linktype: *linktype })
        .collect();
    let labels = Labels {
        section: "Generated: one frame of each link type, each on an interface of its own",
        interfaces: &interfaces,
        frames: &[],
    };
    let frames: Vec<Frame> = kinds
        .iter()
        .enumerate()
        .map(|(index, (_, _, bytes))| frame(index, index as u32, bytes.clone()))
        .collect();
    file::write_pcapng(&desk.out("made-linktypes.pcapng"), &frames, &labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_of_the_example_in_rfc_1071() {
        // 0001 f203 f4f5 f6f7 sum to ddf2; the checksum is its complement
        assert_eq!(checksum(&[&[0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7]]), [0x22, 0x0d]);
    }

    #[test]
    fn fcs_of_the_usual_check_string() {
        assert_eq!(fcs(b"123456789"), 0xcbf4_3926_u32.to_le_bytes());
    }
}
