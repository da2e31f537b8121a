//! The skb: one cache line that says where a frame lies and what is known about it.

use crate::{BufId, FrameMeta, LinkType, PortId};
use arrayvec::ArrayVec;
use bytemuck::TransparentWrapper;

/// Frames moved in one call, at most (NAPI's usual weight).
pub const BURST_MAX: usize = 64;

/// A burst of skbs in the caller's own storage.
pub type Burst = ArrayVec<Skb, BURST_MAX>;

/// Whom a frame is for, as `eth_type_trans` decides it (Linux `pkt_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum PktType {
    /// To this station's own address.
    Host,
    /// To all stations.
    Broadcast,
    /// To a group.
    Multicast,
    /// To some other station: what a switch or a mirror port mostly sees.
    #[default]
    OtherHost,
}

/// What is known about the L4 checksum (Linux `ip_summed`, values as in `skbuff.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum IpSummed {
    /// Nothing: software must check.
    #[default]
    None = 0,
    /// The device checked it.
    Unnecessary = 1,
    /// The device summed the whole payload.
    Complete = 2,
    /// Only the pseudo-header sum is in place; the device is to finish it on transmit.
    Partial = 3,
}

/// A frame descriptor in an rx ring: what a NIC knows when the bytes have arrived in a buffer.
///
/// Its fields are those of the [`Skb`] that a driver makes of it with
/// [`Pool::build_skb`](crate::Pool::build_skb): one cache line, so that building moves the line and
/// computes nothing. Owns one reference to its buffer; a driver that will not take it gives it back
/// with [`Pool::free_desc`](crate::Pool::free_desc).
#[derive(Debug, TransparentWrapper)]
#[repr(transparent)]
#[must_use = "owns a buffer reference: build an skb from it or free it"]
pub struct RxDesc(pub(crate) Skb);

impl RxDesc {
    /// Takes times, lengths and link type from a capture record.
    pub fn set_meta(&mut self, meta: &FrameMeta) {
        self.origlen = meta.origlen;
        self.time_ns = meta.time_ns.unwrap_or(0);
        self.id = meta.number;
        self.linktype = meta.linktype;
    }
}

impl std::ops::Deref for RxDesc {
    type Target = Skb;

    #[inline(always)]
    fn deref(&self) -> &Skb {
        &self.0
    }
}

impl std::ops::DerefMut for RxDesc {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Skb {
        &mut self.0
    }
}

/// A frame in flight: geometry, metadata and one reference to the bytes, in one cache line.
///
/// `head`, `data`, `tail`, `end` are offsets into the pool's memory, as on 64-bit Linux where
/// `tail` and `end` are offsets too. [`head`](Self::headroom) .. `data` is headroom, `data` ..
/// `tail` the bytes in view, `tail` .. `end` tailroom.
///
/// Neither `Clone` nor `Copy`: sharing is [`Pool::share`](crate::Pool::share), the end of its life
/// is [`Pool::free`](crate::Pool::free).
#[derive(Debug)]
#[repr(C, align(64))]
#[must_use = "owns a buffer reference: deliver it or free it"]
pub struct Skb {
    pub(crate) buf: BufId,
    pub(crate) head: u32,
    pub(crate) data: u32,
    pub(crate) tail: u32,
    pub(crate) end: u32,
    /// Bytes the frame had on the wire (without preamble and SFD).
    pub origlen: u32,
    /// Receive time, nanoseconds since the epoch.
    pub time_ns: i64,
    /// Identity of the frame along the whole path (pcapng `epb_packetid`), the same in clones.
    pub id: u64,
    /// Where the MAC header is; equal to `data` until the header is pulled.
    pub(crate) mac: u32,
    /// First fragment of a super-frame plus one; 0 = linear.
    pub(crate) frags: u32,
    /// First EtherType after the tags (host order), 0 for an 802.3 length.
    pub ethertype: u16,
    /// VLAN tag control information the switch works with: PCP 3, DEI 1, VID 12 bits.
    pub vlan_tci: u16,
    /// Offset of the network header from the MAC header; 0 = not located.
    pub network: u16,
    /// Offset of the transport header from the MAC header; 0 = not located.
    pub transport: u16,
    /// Segment size of a super-frame, 0 for an ordinary frame (Linux `gso_size`).
    pub gso_size: u16,
    /// Link type.
    pub linktype: LinkType,
    /// IP protocol or final next header, valid when `transport` is not 0.
    pub ip_proto: u8,
    /// The port it came in by.
    pub ingress: PortId,
    /// Whom it is for.
    pub pkt_type: PktType,
    /// L4 checksum state.
    pub ip_summed: IpSummed,
}

const _: () = assert!(size_of::<Skb>() == 64 && align_of::<Skb>() == 64);

impl Skb {
    /// A descriptor that names no buffer and owns no reference: what stays in a burst at the place
    /// of a frame that was taken out. It has no bytes and must not be freed.
    #[inline]
    pub const fn hollow() -> Self {
        Self {
            buf: BufId(std::num::NonZeroU32::MAX),
            head: 0,
            data: 0,
            tail: 0,
            end: 0,
            origlen: 0,
            time_ns: 0,
            id: 0,
            mac: 0,
            frags: 0,
            ethertype: 0,
            vlan_tci: 0,
            network: 0,
            transport: 0,
            gso_size: 0,
            linktype: LinkType(0),
            ip_proto: 0,
            ingress: PortId(0),
            pkt_type: PktType::OtherHost,
            ip_summed: IpSummed::None,
        }
    }

    /// Bytes in view, `tail - data`.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        (self.tail - self.data) as usize
    }

    /// Whether all bytes lie in the linear part: no fragments.
    #[inline]
    pub fn is_linear(&self) -> bool {
        self.frags == 0
    }

    /// Free bytes before the bytes in view.
    #[inline]
    pub fn headroom(&self) -> usize {
        (self.data - self.head) as usize
    }

    /// Free bytes behind the bytes in view.
    #[inline]
    pub fn tailroom(&self) -> usize {
        (self.end - self.tail) as usize
    }

    /// `data`, `tail` and `end` as offsets from `head`, the way `struct sk_buff` draws them.
    pub fn geometry(&self) -> (usize, usize, usize) {
        (self.headroom(), self.headroom() + self.len(), (self.end - self.head) as usize)
    }

    /// The buffer the bytes lie in.
    #[inline]
    pub fn buf(&self) -> BufId {
        self.buf
    }

    /// Bytes between the MAC header and `data`: 14 after `eth_type_trans` pulled the header.
    #[inline]
    pub fn pulled(&self) -> usize {
        self.data.saturating_sub(self.mac) as usize
    }

    /// Moves `data` forward: the bytes stay, only the view moves. `false` if fewer are in view.
    #[inline]
    pub fn pull(&mut self, bytes: usize) -> bool {
        if bytes > self.len() {
            return false;
        }
        self.data += bytes as u32;
        true
    }

    /// Moves `data` back into headroom. The error says how much was missing.
    #[inline]
    pub fn push(&mut self, bytes: usize) -> Result<(), InsufficientHeadroom> {
        if bytes > self.headroom() {
            return Err(InsufficientHeadroom { needed: bytes, headroom: self.headroom() });
        }
        self.data -= bytes as u32;
        Ok(())
    }

    /// Moves `tail` back to `len` bytes in view. Longer than the view does nothing.
    #[inline]
    pub fn trim(&mut self, len: usize) {
        if len < self.len() {
            self.tail = self.data + len as u32;
        }
    }

    /// VLAN id of `vlan_tci`.
    #[inline]
    pub fn vid(&self) -> u16 {
        self.vlan_tci & 0x0fff
    }
}

/// A header does not fit in front of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{needed} bytes of headroom needed, {headroom} there")]
pub struct InsufficientHeadroom {
    /// Bytes to push.
    pub needed: usize,
    /// Bytes free in front.
    pub headroom: usize,
}
