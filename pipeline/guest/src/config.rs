//! What a guest host is given, and what is refused.

use skb::{MacAddr, Pool, PortId};
use smoltcp::wire::IpCidr;
use std::net::IpAddr;
use std::time::Duration;

/// Addresses of one host, at most.
pub(crate) const ADDRESSES_MAX: usize = 8;
/// TCP sockets of one host, at most.
pub(crate) const SOCKETS_MAX: usize = 1024;
/// Bytes of an Ethernet II header.
pub(crate) const ETH_HEADER: usize = 14;
/// Smallest IP MTU a host may have: IPv6's minimum link MTU (RFC 8200 section 5).
pub(crate) const MTU_MIN: usize = 1280;
/// Largest IP MTU: the IPv4 total length is 16 bits.
pub(crate) const MTU_MAX: usize = 65535;

/// The largest TCP buffer whose window needs no scaling (RFC 7323 section 2.2), bytes.
pub const TCP_BUFFER_UNSCALED: usize = 65_535;

/// Configuration of a [`SmolHost`](crate::SmolHost).
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// The switch port the host is plugged into; becomes `ingress` of what it sends.
    pub port: PortId,
    /// Its MAC address: unicast and not all zero.
    pub mac: MacAddr,
    /// Its IPv4 and IPv6 addresses with prefix length, at most 8.
    pub addresses: Vec<IpCidr>,
    /// Default gateways, at most one of each IP version.
    pub gateways: Vec<IpAddr>,
    /// Largest IP packet in bytes (Linux's MTU: without the 14 bytes of Ethernet header).
    pub mtu: usize,
    /// Receive buffers in the guest's own memory; each holds one frame.
    pub rx_buffers: usize,
    /// Frames written by the stack that may wait for the path; each holds a slot of the pool.
    pub tx_frames: usize,
    /// Size of the receive and of the send buffer of each TCP connection, bytes: as much as may be
    /// on its way unacknowledged.
    pub tcp_buffer: usize,
    /// A peer that owes an answer and is silent this long is given up: the connection ends as
    /// [`Reset`](crate::Outcome::Reset). An idle one is asked three times as often whether it is
    /// there.
    pub tcp_timeout: Duration,
    /// How long a single segment may wait for its acknowledgement, in case more come; two are
    /// acknowledged at once. `None`: each is. Right for super-frames, of which one may be all that
    /// the sender's window allows.
    pub ack_delay: Option<Duration>,
    /// Reno's congestion window (RFC 5681). Without: the receiver's window alone, right only where
    /// nothing is lost, in memory between credit ports; a super-frame there counts for Reno as one
    /// acknowledgement, and its window grows by one segment for forty-four.
    pub congestion_control: bool,
    /// Leave TCP checksums to a device. Frames then carry only the pseudo-header sum and say so
    /// ([`IpSummed::Partial`](skb::IpSummed)), which is right where no device is needed, in memory,
    /// or where one does it. What arrives is verified unless it says the same, or that a device has
    /// done so. IPv4 header and ICMP checksums are always real.
    pub checksum_offload: bool,
    /// Longest TCP frame handed to the path in one piece (TCP segmentation offload), bytes with
    /// Ethernet header; `None` for none. Needs `checksum_offload` and pool slots that long; the
    /// receiver must take such frames ([`rx_frame_max`](Self::rx_frame_max)).
    pub tso: Option<usize>,
    /// Longest frame a receive buffer holds, bytes; `None` for MTU + 14.
    pub rx_frame_max: Option<usize>,
    /// Seed of sequence numbers and ephemeral ports. Same seed, same calls: same frames.
    pub seed: u64,
}

impl HostConfig {
    /// A host with one address and everything else as it usually is: MTU 1500, 256 receive buffers,
    /// at most 256 frames waiting to go out, 65,535 bytes per TCP buffer, a minute's patience, real
    /// checksums.
    pub fn new(port: PortId, mac: MacAddr, address: IpCidr) -> Self {
        Self {
            port,
            mac,
            addresses: vec![address],
            gateways: Vec::new(),
            mtu: 1500,
            rx_buffers: 256,
            tx_frames: 256,
            tcp_buffer: TCP_BUFFER_UNSCALED,
            tcp_timeout: Duration::from_mins(1),
            ack_delay: Some(Duration::from_millis(10)),
            congestion_control: true,
            checksum_offload: false,
            tso: None,
            rx_frame_max: None,
            seed: mac.to_u64(),
        }
    }

    /// Longest frame the host takes, bytes.
    pub(crate) fn receives(&self) -> usize {
        self.rx_frame_max.unwrap_or(0).max(self.mtu + ETH_HEADER)
    }

    /// Receive buffers for the segments of a frame longer than a buffer; none where none is.
    pub(crate) fn reserve(&self) -> usize {
        let longest = MTU_MAX + ETH_HEADER;
        if self.receives() >= longest { 0 } else { crate::memory::RESERVE }
    }

    /// Longest frame the host sends, bytes.
    pub(crate) fn sends(&self) -> usize {
        self.tso.unwrap_or(0).max(self.mtu + ETH_HEADER)
    }

    pub(crate) fn check(&self, pool: &Pool) -> Result<(), HostError> {
        if !self.mac.is_valid_source() {
            return Err(HostError::Mac(self.mac));
        }
        if self.addresses.len() > ADDRESSES_MAX {
            return Err(HostError::TooManyAddresses { have: self.addresses.len() });
        }
        if let Some(bad) = self.addresses.iter().find(|cidr| !is_unicast(cidr)) {
            return Err(HostError::Address(*bad));
        }
        if !(MTU_MIN..=MTU_MAX).contains(&self.mtu) {
            return Err(HostError::Mtu { mtu: self.mtu });
        }
        within("rx_buffers", self.rx_buffers, 1, 1 << 16)?;
        within("rx_frame_max", self.receives(), 0, 1 << 17)?;
        within("tx_frames", self.tx_frames, 1, 1 << 16)?;
        within("tcp_timeout in ms", self.tcp_timeout.as_millis() as usize, 100, 86_400_000)?;
        within("tcp_buffer", self.tcp_buffer, 1 << 10, 1 << 26)?;
        if let Some(tso) = self.tso {
            within("tso", tso, self.mtu + ETH_HEADER, MTU_MAX + ETH_HEADER)?;
            if !self.checksum_offload {
                return Err(HostError::TsoWithoutOffload);
            }
        }
        let (frame, slot) = (self.sends(), pool.slot_frame_max());
        if frame > slot { Err(HostError::SlotTooSmall { frame, slot }) } else { Ok(()) }
    }
}

fn is_unicast(cidr: &IpCidr) -> bool {
    let address = cidr.address();
    address.is_unicast() && !IpAddr::from(address).is_loopback()
}

fn within(what: &'static str, have: usize, min: usize, max: usize) -> Result<(), HostError> {
    if (min..=max).contains(&have) {
        Ok(())
    } else {
        Err(HostError::OutOfRange { what, have, min, max })
    }
}

/// A host that cannot be built, or a socket that cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// A group address or all zero: no station may have it.
    #[error("{0} is not an address a station can have: expected unicast and not all zero")]
    Mac(MacAddr),
    /// Not a unicast address.
    #[error("{0} is not an address a host can have: expected unicast, not loopback")]
    Address(IpCidr),
    /// More addresses than smoltcp's table holds.
    #[error("{have} addresses for one host, at most {ADDRESSES_MAX}")]
    TooManyAddresses {
        /// What the configuration asks for.
        have: usize,
    },
    /// A second default gateway of the same IP version.
    #[error("{0} is a second default gateway of its IP version")]
    SecondGateway(IpAddr),
    /// MTU outside 1280 to 65535.
    #[error("MTU {mtu} is not within {MTU_MIN} to {MTU_MAX} bytes")]
    Mtu {
        /// What the configuration asks for.
        mtu: usize,
    },
    /// A size outside its range.
    #[error("{what} is {have}, expected {min} to {max}")]
    OutOfRange {
        /// Name of the field.
        what: &'static str,
        /// Its value.
        have: usize,
        /// Smallest allowed.
        min: usize,
        /// Largest allowed.
        max: usize,
    },
    /// Segmentation offload changes the bytes under the checksum.
    #[error("segmentation offload needs checksum offload")]
    TsoWithoutOffload,
    /// The pool's slots are shorter than the host's frames.
    #[error("frames of {frame} bytes do not fit the pool's slots of {slot}")]
    SlotTooSmall {
        /// Longest frame the host would send.
        frame: usize,
        /// Longest frame a slot holds.
        slot: usize,
    },
    /// The host has all the sockets it may have.
    #[error("all {SOCKETS_MAX} TCP sockets of the host are in use")]
    TooManySockets,
    /// Port 0 cannot be served.
    #[error("TCP port 0 cannot be served")]
    PortZero,
    /// The host has no address to reach that one from, or it is not one to connect to.
    #[error("no route from this host to {0}")]
    Unaddressable(std::net::SocketAddr),
}
