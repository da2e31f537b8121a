//! What a packet socket says of a frame beside its bytes when it is asked to (`PACKET_VNET_HDR` of
//! packet(7)): whether the checksum is still to be made, and how a super-frame is to be cut.

use libc::iovec;

/// `struct virtio_net_hdr` of `linux/virtio_net.h` (virtio 1.2 section 5.1.6), in the byte order of
/// this machine.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct VnetHeader {
    flags: u8,
    gso_type: u8,
    hdr_len: u16,
    gso_size: u16,
    csum_start: u16,
    csum_offset: u16,
}

/// Bytes of it.
pub(crate) const VNET_BYTES: usize = size_of::<VnetHeader>();
const _: () = assert!(VNET_BYTES == 10);

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
/// Explicit congestion notification in a super-frame: the kernel cuts it right.
const GSO_ECN: u8 = 0x80;
/// Where a TCP header has its checksum (RFC 9293 section 3.1).
const TCP_CHECKSUM: u16 = 16;

impl VnetHeader {
    /// Of a TCP segment that begins `transport` bytes into its frame, with headers of `headers`
    /// bytes in all, whose checksum is left to the device; with a segment size above 0 a
    /// super-frame to be cut.
    pub(crate) fn of_tcp(v6: bool, transport: u16, headers: u16, gso_size: u16) -> Self {
        let gso_type = match (gso_size, v6) {
            (0, _) => 0,
            (_, false) => GSO_TCPV4,
            (_, true) => GSO_TCPV6,
        };
        Self {
            flags: NEEDS_CSUM,
            gso_type,
            hdr_len: headers,
            gso_size,
            csum_start: transport,
            csum_offset: TCP_CHECKSUM,
        }
    }

    /// The checksum is not made yet.
    pub(crate) fn is_partial(self) -> bool {
        self.flags & NEEDS_CSUM != 0
    }

    /// The device has checked it.
    pub(crate) fn is_valid(self) -> bool {
        self.flags & DATA_VALID != 0
    }

    /// Segment size of a TCP super-frame, 0 for a frame; none for what is neither.
    pub(crate) fn segment_size(self) -> Option<u16> {
        match self.gso_type & !GSO_ECN {
            0 => Some(0),
            GSO_TCPV4 | GSO_TCPV6 => Some(self.gso_size),
            _ => None,
        }
    }

    /// Where a system call finds it, or puts it.
    pub(crate) fn piece(&mut self) -> iovec {
        iovec { iov_base: std::ptr::from_mut(self).cast(), iov_len: VNET_BYTES }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_segment_is_understood() {
        let whole = VnetHeader::of_tcp(false, 34, 54, 0);
        assert_eq!((whole.gso_type, whole.segment_size()), (0, Some(0)));
        assert!(whole.is_partial() && !whole.is_valid());
        for (v6, kind) in [(false, GSO_TCPV4), (true, GSO_TCPV6)] {
            let long = VnetHeader::of_tcp(v6, 34, 54, 1460);
            assert_eq!((long.gso_type, long.segment_size()), (kind, Some(1460)));
            let marked = VnetHeader { gso_type: kind | GSO_ECN, ..long };
            assert_eq!(marked.segment_size(), Some(1460));
        }
        // VIRTIO_NET_HDR_GSO_UDP_L4
        let other = VnetHeader { gso_type: 5, gso_size: 1200, ..VnetHeader::default() };
        assert_eq!(other.segment_size(), None);
    }
}
