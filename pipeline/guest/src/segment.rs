//! What a virtual adapter finishes for a guest that did not ask for offload: TCP checksums that
//! were left to hardware, and super-frames that must be cut into segments (Linux does this in
//! `skb_checksum_help` and `tcp_gso_segment`; virtio 1.2 section 5.1.6.2 has the fields).

use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket,
    UdpPacket,
};

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// Replaces a pseudo-header sum by the whole TCP or UDP checksum. `false` if the frame is neither
/// (or damaged): it is left as it is, and the guest's stack will judge it.
pub(crate) fn finish_checksum(frame: &mut [u8]) -> bool {
    with_transport(frame, |protocol, source, destination, payload| match protocol {
        IpProtocol::Tcp => {
            TcpPacket::new_checked(payload).map(|mut tcp| tcp.fill_checksum(&source, &destination))
        }
        IpProtocol::Udp => {
            UdpPacket::new_checked(payload).map(|mut udp| udp.fill_checksum(&source, &destination))
        }
        _ => Err(smoltcp::wire::Error),
    })
    .is_some_and(|result| result.is_ok())
}

/// Whether a TCP segment's checksum holds. `true` for what is not TCP, or too damaged to tell: the
/// stack judges it.
pub(crate) fn tcp_checksum_holds(frame: &mut [u8]) -> bool {
    with_transport(frame, |protocol, source, destination, payload| {
        protocol != IpProtocol::Tcp
            || TcpPacket::new_checked(&*payload)
                .is_ok_and(|tcp| tcp.verify_checksum(&source, &destination))
    })
    .unwrap_or(true)
}

/// Writes the pseudo-header sum where the TCP checksum belongs, for a device to finish (Linux
/// `CHECKSUM_PARTIAL`). `false` if the frame is not TCP.
pub(crate) fn leave_checksum(frame: &mut [u8]) -> bool {
    with_transport(frame, |protocol, source, destination, payload| {
        if protocol != IpProtocol::Tcp {
            return false;
        }
        let len = payload.len() as u32;
        let sum = fold(
            sum_words(source) + sum_words(destination) + (len >> 16) + (len & 0xffff) + 6, // TCP
        );
        TcpPacket::new_checked(payload).map(|mut tcp| tcp.set_checksum(sum)).is_ok()
    })
    .unwrap_or(false)
}

/// Grants one unit less of a TCP window than the stack did, so that the stack takes what it grants.
///
/// smoltcp 0.14 rounds a scaled window (RFC 7323 section 2.2) down, and takes no byte beyond what
/// it granted last: so it may take back a part of a unit, and a byte that was sent into it is lost
/// until the sender's timer fires. What is granted one unit short stays within what it takes. A
/// SYN's window is not scaled and stays; a checksum goes with it if there is one (RFC 1624).
pub(crate) fn hold_back_window(frame: &mut [u8], has_checksum: bool) {
    let Some(Headers { tcp, .. }) = Headers::find(frame) else { return };
    let header = &mut frame[tcp..];
    let window = u16::from_be_bytes([header[14], header[15]]);
    if header[13] & SYN != 0 || window == 0 {
        return;
    }
    header[14..16].copy_from_slice(&(window - 1).to_be_bytes());
    if has_checksum {
        let sum = u16::from_be_bytes([header[16], header[17]]);
        let sum = !fold(u32::from(!sum) + u32::from(!window) + u32::from(window - 1));
        header[16..18].copy_from_slice(&sum.to_be_bytes());
    }
}

fn with_transport<R>(
    frame: &mut [u8],
    f: impl FnOnce(IpProtocol, IpAddress, IpAddress, &mut [u8]) -> R,
) -> Option<R> {
    let mut eth = EthernetFrame::new_checked(frame).ok()?;
    match eth.ethertype() {
        EthernetProtocol::Ipv4 => {
            let mut ip = Ipv4Packet::new_checked(eth.payload_mut()).ok()?;
            if ip.more_frags() || ip.frag_offset() != 0 {
                return None;
            }
            let (protocol, source, destination) = (ip.next_header(), ip.src_addr(), ip.dst_addr());
            Some(f(protocol, source.into(), destination.into(), ip.payload_mut()))
        }
        EthernetProtocol::Ipv6 => {
            let mut ip = Ipv6Packet::new_checked(eth.payload_mut()).ok()?;
            let (protocol, source, destination) = (ip.next_header(), ip.src_addr(), ip.dst_addr());
            Some(f(protocol, source.into(), destination.into(), ip.payload_mut()))
        }
        _ => None,
    }
}

fn sum_words(address: IpAddress) -> u32 {
    let sum = |bytes: &[u8]| -> u32 {
        bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum()
    };
    match address {
        IpAddress::Ipv4(v4) => sum(&v4.octets()),
        IpAddress::Ipv6(v6) => sum(&v6.octets()),
    }
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Where the headers of a TCP super-frame lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Headers {
    ip: usize,
    tcp: usize,
    v6: bool,
    /// Bytes of all headers: the payload starts there.
    pub(crate) len: usize,
}

impl Headers {
    /// Finds them in the linear part of an untagged frame, or finds that there are none. Length
    /// fields are not looked at: a super-frame's may be too large for them.
    pub(crate) fn find(linear: &[u8]) -> Option<Self> {
        let ip = crate::config::ETH_HEADER;
        let first = *linear.get(ip)?;
        let (tcp, v6) = match (linear.get(12..14)?, first >> 4) {
            ([0x08, 0x00], 4) if linear.get(ip + 9) == Some(&6) && first & 15 >= 5 => {
                (ip + usize::from(first & 15) * 4, false)
            }
            ([0x86, 0xdd], 6) if linear.get(ip + 6) == Some(&6) => (ip + 40, true),
            _ => return None,
        };
        let offset = usize::from(*linear.get(tcp + 12)? >> 4) * 4;
        let len = tcp + offset;
        (offset >= 20 && len <= linear.len()).then_some(Self { ip, tcp, v6, len })
    }

    /// Turns a copy of the super-frame's headers with its own piece of payload behind them into
    /// segment `index`, whose payload starts `offset` bytes into the super-frame's.
    ///
    /// Sequence number, IPv4 identification and lengths go on; FIN and PSH stay with the last
    /// segment, CWR with the first (RFC 3168 section 6.1.2). Checksums are computed.
    pub(crate) fn make_segment(
        self,
        frame: &mut [u8],
        index: usize,
        offset: usize,
        is_last: bool,
    ) -> bool {
        let len = frame.len();
        let Some(headers) = frame.get_mut(..self.len) else { return false };
        let add = |bytes: &mut [u8], more: u16| {
            let value = u16::from_be_bytes([bytes[0], bytes[1]]).wrapping_add(more);
            bytes.copy_from_slice(&value.to_be_bytes());
        };
        let ip_len = len - self.ip - if self.v6 { 40 } else { 0 };
        let Ok(ip_len) = u16::try_from(ip_len) else { return false };
        let at = self.ip + if self.v6 { 4 } else { 2 };
        headers[at..at + 2].copy_from_slice(&ip_len.to_be_bytes());
        if !self.v6 {
            add(&mut headers[self.ip + 4..self.ip + 6], index as u16);
        }
        let at = self.tcp + 4;
        let seq = [headers[at], headers[at + 1], headers[at + 2], headers[at + 3]];
        let seq = u32::from_be_bytes(seq).wrapping_add(offset as u32);
        headers[at..at + 4].copy_from_slice(&seq.to_be_bytes());
        let flags = &mut headers[self.tcp + 13];
        *flags &= if is_last { 0xff } else { !(FIN | PSH) };
        *flags &= if index == 0 { 0xff } else { !CWR };
        if !self.v6 {
            let mut ip = Ipv4Packet::new_unchecked(&mut frame[self.ip..]);
            ip.fill_checksum();
        }
        finish_checksum(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn damaged_frames_are_left_alone_or_finished(
            mut frame in proptest::collection::vec(any::<u8>(), 0..200),
            v6: bool, index in 0..9_usize, offset in 0..70_000_usize, is_last: bool,
        ) {
            if frame.len() > 54 {
                frame[12..14].copy_from_slice(if v6 { &[0x86, 0xdd] } else { &[8, 0] });
                frame[14] = if v6 { 0x60 } else { 0x45 };
                frame[if v6 { 20 } else { 23 }] = 6;
            }
            finish_checksum(&mut frame.clone());
            leave_checksum(&mut frame.clone());
            if let Some(headers) = Headers::find(&frame) {
                prop_assert!(headers.len <= frame.len() && headers.len >= 54);
                headers.make_segment(&mut frame, index, offset, is_last);
            }
        }
    }
}
