//! One guest on a switch with a live interface: two such processes on a segment reach each other,
//! and no stack of the kernel takes part.

use driver::Driver;
use guest::{HostConfig, HostError, IpCidr, SmolHost};
use nic::tx::Method;
use nic::wire::{WireError, WireNic};
use skb::trace::NoTrace;
use skb::{MacAddr, Pool, PoolConfig, PoolError, PortId};
use std::time::Duration;
use vswitch::fdb::HashKey;
use vswitch::{
    ConfigError, FarEnd, HostAccess, PortConfig, SwitchConfig, SwitchType, UnknownUnicast, Vswitch,
};

use crate::endpoint::Endpoint;
use crate::engine::{Engine, EngineConfig, Port, PortMode, TooManyPorts};

/// The port of the interface.
pub const WIRE: PortId = PortId(0);
/// The port of the guest.
pub const GUEST: PortId = PortId(1);
/// Longest frame taken in: what receive offload of a device may have put together.
const FRAME_MAX: usize = 65_535 + 14;
/// Longest frame sent to be cut into segments: Linux 6.18 cuts one of 64,294 bytes in front of a
/// veth, which passes on whole what has 63,000.
const SUPER_FRAME: usize = 63_000;
/// How long a segment may wait for its acknowledgement where each is a frame.
const ACK_DELAY: Duration = Duration::from_millis(10);
const BUDGET: usize = 64;

/// What a guest on a wire is given.
#[derive(Debug, Clone)]
pub struct WireConfig {
    /// The interface.
    pub interface: String,
    /// The guest's address, on the segment's network.
    pub address: IpCidr,
    /// Its MAC address; `None` for one made of the interface's own.
    pub mac: Option<MacAddr>,
    /// Largest IP packet, bytes; `None` for the interface's.
    pub mtu: Option<usize>,
    /// How frames go out; `None` for segmentation offload.
    pub method: Option<Method>,
    /// Each socket's receive and send buffer, bytes: as much as may be on its way unacknowledged.
    pub tcp_buffer: usize,
    /// A peer that is silent so long is given up.
    pub tcp_timeout: Duration,
}

impl WireConfig {
    /// As it usually is: half a MiB on its way, half a minute's patience.
    pub fn new(interface: &str, address: IpCidr) -> Self {
        Self {
            interface: interface.to_owned(),
            address,
            mac: None,
            mtu: None,
            method: None,
            tcp_buffer: 512 << 10,
            tcp_timeout: Duration::from_secs(30),
        }
    }
}

/// Why it cannot be wired.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WirePathError {
    /// The interface cannot be used.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Packets longer than the interface sends.
    #[error("MTU {mtu} is more than the {most} of {interface}")]
    Mtu {
        /// What was asked for.
        mtu: usize,
        /// What the interface has.
        most: u32,
        /// The interface.
        interface: String,
    },
    /// The guest cannot be made.
    #[error("the guest of the path: {0}")]
    Host(#[from] HostError),
    /// The switch cannot.
    #[error("the switch of the path: {0}")]
    Switch(#[from] ConfigError),
    /// The buffers cannot.
    #[error("the buffers of the path: {0}")]
    Pool(#[from] PoolError),
    /// Too many ports: never.
    #[error(transparent)]
    Ports(#[from] TooManyPorts),
}

/// A station address of our own beside the device's: the same but for the bit that says that it was
/// given locally (IEEE 802 8.2.2), and for one more, in case the device's was too.
pub fn guest_mac(device: MacAddr) -> MacAddr {
    let [first, second, rest @ ..] = device.0;
    let [a, b, c, d] = rest;
    MacAddr([(first | 2) & 0xfe, second ^ 0x5a, a, b, c, d])
}

/// An external switch with the interface at [`WIRE`] and a guest at [`GUEST`]. The interface is a
/// host edge: `granted_by` says which request of the operator's allows it. `key` hashes the
/// switch's table.
///
/// # Errors
/// The interface cannot be used, or settings do not fit.
pub fn engine(
    config: &WireConfig,
    granted_by: &str,
    key: HashKey,
) -> Result<Engine<NoTrace>, WirePathError> {
    let device = nic::link::by_name(&config.interface).map_err(WireError::from)?;
    let mac = config.mac.unwrap_or_else(|| guest_mac(device.mac.unwrap_or_default()));
    let nic = WireNic::open(&config.interface, &[mac], config.method)?;
    let most = nic.link().mtu;
    let mtu = config.mtu.unwrap_or(most as usize);
    if mtu > most as usize {
        return Err(WirePathError::Mtu { mtu, most, interface: config.interface.clone() });
    }
    let offload = nic.offload();
    let host = HostConfig {
        mtu,
        tcp_buffer: config.tcp_buffer,
        tcp_timeout: config.tcp_timeout,
        rx_buffers: 256,
        tx_frames: 256,
        rx_frame_max: Some(FRAME_MAX),
        checksum_offload: offload,
        tso: offload.then_some(SUPER_FRAME.max(mtu + 14)),
        // one of them may be all that the sender's window allows
        ack_delay: (!offload).then_some(ACK_DELAY),
        ..HostConfig::new(GUEST, mac, config.address)
    };
    let pool = Pool::new(PoolConfig {
        // what waits to go out, a burst to receive into, and bursts on their way
        slots: host.tx_frames + 4 * BUDGET,
        slot_frame_max: FRAME_MAX,
        ..PoolConfig::default()
    })?;
    let guest = Endpoint::Host(Box::new(SmolHost::new(host, &pool)?));
    let port = |endpoint, mode| Port::new(endpoint, mode).with_driver(Driver::new(BUDGET, BUDGET));
    let ports =
        vec![port(Endpoint::Wire(Box::new(nic)), PortMode::Credit), port(guest, PortMode::Credit)];
    let far_end = FarEnd::HostDevice(HostAccess::grant(granted_by));
    let config = SwitchConfig {
        ty: SwitchType::External,
        unknown_unicast: UnknownUnicast::Uplink,
        ports: vec![
            PortConfig { far_end, ..PortConfig::wire(WIRE.0, "wire") },
            PortConfig {
                static_macs: vec![mac],
                mac_spoofing: false,
                ..PortConfig::guest(GUEST.0, "guest")
            },
        ],
        ..SwitchConfig::default()
    };
    let switch = Vswitch::new(config, key)?;
    Ok(Engine::new(pool, switch, ports, EngineConfig::default(), NoTrace)?)
}
