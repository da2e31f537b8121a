//! Guests on a switch in memory: no device, no wire, no host.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use driver::Driver;
use guest::{HostConfig, HostError, IpCidr, SmolHost};
use skb::trace::NoTrace;
use skb::{MacAddr, Pool, PoolConfig, PoolError, PortId};
use vswitch::fdb::HashKey;
use vswitch::{ConfigError, PortConfig, SwitchConfig, SwitchType, Vswitch};

use crate::endpoint::Endpoint;
use crate::engine::{Engine, EngineConfig, Port, PortMode, TooManyPorts};

/// How guests in memory are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryConfig {
    /// How many, at ports 0, 1 and so on.
    pub guests: u8,
    /// Largest IP packet, bytes: what a segment of a stream is cut to fit.
    pub mtu: usize,
    /// Hand segments over in frames of up to 64 KiB that carry the segment size (TCP segmentation
    /// offload, `gso_size`): they travel whole, for nothing cuts them but a wire. Needs `offload`.
    pub tso: bool,
    /// Leave TCP checksums out: nothing damages bytes in memory.
    pub offload: bool,
    /// Each socket's receive and send buffer, bytes.
    pub tcp_buffer: usize,
    /// Receive buffers of each guest.
    pub rx_buffers: usize,
    /// Frames of each guest that may wait for the path.
    pub tx_frames: usize,
}

impl Default for MemoryConfig {
    /// Two guests, MTU 1500, with segmentation offload; buffers that fit a second-level cache.
    fn default() -> Self {
        Self {
            guests: 2,
            mtu: 1500,
            tso: true,
            offload: true,
            tcp_buffer: TCP_BUFFER,
            rx_buffers: 8,
            tx_frames: 8,
        }
    }
}

/// Why they cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// The guests' settings do not fit together.
    #[error("a guest of the path")]
    Host(#[from] HostError),
    /// The switch's do not.
    #[error("the switch of the path")]
    Switch(#[from] ConfigError),
    /// Too much memory for frames.
    #[error("the buffers of the path")]
    Pool(#[from] PoolError),
    /// More guests than a switch has ports.
    #[error(transparent)]
    Ports(#[from] TooManyPorts),
}

/// One super-frame of 44 segments of 1,460 bytes: as much as is on its way at a time, over and over
/// the same memory, which stays in the cache.
const TCP_BUFFER: usize = 44 * 1460;
/// Longest frame of segmentation offload: the longest IPv4 packet and an Ethernet header.
const SUPER_FRAME: usize = 65_535 + 14;
/// Frames of one burst: with 64 KiB each, few of them fill a cache.
const BUDGET: usize = 16;

/// The address of the guest at `port`: of those kept for documentation (RFC 5737).
pub fn address(port: PortId) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, port.0.wrapping_add(1)))
}

/// A private switch with guests at credit ports: a guest without room makes frames wait where they
/// come from, and nobody else's. `key` hashes the switch's table.
///
/// # Errors
/// Settings that do not fit together.
pub fn engine(config: &MemoryConfig, key: HashKey) -> Result<Engine<NoTrace>, MemoryError> {
    let guests = usize::from(config.guests);
    let frame_max = if config.tso { SUPER_FRAME } else { config.mtu + 14 };
    let pool = Pool::new(PoolConfig {
        // what may wait to go out, and behind each port a budget on its way and one that waits
        slots: guests * (config.tx_frames + 3 * BUDGET),
        slot_frame_max: frame_max,
        ..PoolConfig::default()
    })?;
    let mut ports = Vec::with_capacity(guests);
    let mut places = Vec::with_capacity(guests);
    for number in 0..config.guests {
        let port = PortId(number);
        let mac = MacAddr([2, 0, 0, 0, 0, number.wrapping_add(1)]);
        let cidr = IpCidr::new(address(port).into(), 24);
        let host = HostConfig {
            mtu: config.mtu,
            tcp_buffer: config.tcp_buffer,
            rx_buffers: config.rx_buffers,
            tx_frames: config.tx_frames,
            checksum_offload: config.offload,
            congestion_control: false,
            ack_delay: (!config.tso).then(|| Duration::from_millis(1)),
            tso: config.tso.then_some(SUPER_FRAME),
            rx_frame_max: Some(frame_max),
            ..HostConfig::new(port, mac, cidr)
        };
        let endpoint = Endpoint::Host(Box::new(SmolHost::new(host, &pool)?));
        ports.push(Port::new(endpoint, PortMode::Credit).with_driver(Driver::new(64, BUDGET)));
        let place = PortConfig::guest(number, &format!("guest{}", number.wrapping_add(1)));
        places.push(PortConfig { static_macs: vec![mac], mac_spoofing: false, ..place });
    }
    let config = SwitchConfig { ty: SwitchType::Private, ports: places, ..SwitchConfig::default() };
    let switch = Vswitch::new(config, key)?;
    Ok(Engine::new(pool, switch, ports, EngineConfig::default(), NoTrace)?)
}
