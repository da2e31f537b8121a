//! The practice's capture cut small: headers instead of bytes that say nothing new.

use std::collections::HashMap;

use crate::lab::file::Frame;

/// Bytes kept of what each end of a connection says, on interface 0 and on the others. A desktop's
/// records are followed for 24 kB and the largest of them.
const INSIDE: u64 = 48_000;
const OUTSIDE: u64 = 6_000;

/// Length of an Ethernet header (IEEE 802.3 clause 3.2).
const ETHERNET: usize = 14;
/// `EtherType` of IPv4.
const IPV4: [u8; 2] = [8, 0];
/// IP protocol number of TCP.
const TCP: u8 = 6;

/// An end of a connection: interface, addresses and ports as they stand in the headers.
type End = (u32, [u8; 8], [u8; 4]);

/// Of TCP over IPv4 the first bytes of each end stay, of the rest the headers; all else is whole.
pub(super) fn cut(mut frames: Vec<Frame>) -> Vec<Frame> {
    let mut said: HashMap<End, u64> = HashMap::new();
    for frame in &mut frames {
        let Some((end, headers)) = tcp(frame) else { continue };
        let max = if frame.interface == 0 { INSIDE } else { OUTSIDE };
        let said = said.entry(end).or_default();
        if *said > max {
            frame.bytes.truncate(headers);
        }
        *said += frame.bytes.len().saturating_sub(headers) as u64;
    }
    frames
}

/// Whose segment it is, and the length of its headers (RFC 791 section 3.1, RFC 9293 section 3.1).
fn tcp(frame: &Frame) -> Option<(End, usize)> {
    let (link, ip) = frame.bytes.split_at_checked(ETHERNET)?;
    let length = usize::from(ip.first()? & 15) * 4;
    if !link.ends_with(&IPV4) || *ip.get(9)? != TCP {
        return None;
    }
    let segment = ip.get(length..)?;
    let headers = ETHERNET + length + usize::from(segment.get(12)? >> 4) * 4;
    let end = (frame.interface, ip.get(12..20)?.try_into().ok()?, segment[..4].try_into().ok()?);
    Some((end, headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment of `data` bytes from a port.
    fn segment(interface: u32, port: u8, data: usize) -> Frame {
        let mut bytes = vec![2; 12];
        bytes.extend(IPV4);
        bytes.extend([0x45, 0, 0, 0, 0, 0, 0, 0, 64, TCP, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        bytes.extend([0, port, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x10]);
        bytes.resize(ETHERNET + 20 + 32 + data, 7);
        Frame { time_ns: 0, origlen: bytes.len() as u32, interface, bytes }
    }

    #[test]
    fn the_first_bytes_of_each_end_stay() {
        let one = || (0..60).map(|_| segment(0, 1, 1000));
        let frames: Vec<Frame> = one().chain([segment(0, 2, 1000), segment(1, 1, 1000)]).collect();
        let cut = cut(frames);
        let lengths: Vec<usize> = cut.iter().map(|frame| frame.bytes.len()).collect();
        assert_eq!(lengths[..49], [1066; 49]);
        assert_eq!(lengths[49..60], [66; 11]);
        assert_eq!(lengths[60..], [1066, 1066], "of other ends");
        assert!(cut.iter().all(|frame| frame.origlen == 1066));
    }

    #[test]
    fn what_is_no_tcp_over_ipv4_stays_whole() {
        let mut other = segment(0, 1, 1000);
        other.bytes[23] = 17;
        let frames = vec![segment(0, 1, 50_000), other, segment(0, 1, 1000)];
        let lengths: Vec<usize> = cut(frames).iter().map(|frame| frame.bytes.len()).collect();
        assert_eq!(lengths, [50_066, 1066, 66]);
        for bytes in [vec![], vec![8; 14], vec![0; 33]] {
            let frame = Frame { time_ns: 0, origlen: 0, interface: 0, bytes: bytes.clone() };
            assert_eq!(cut(vec![frame])[0].bytes, bytes);
        }
    }
}
