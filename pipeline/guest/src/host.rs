//! A live guest: smoltcp between the path's two edges.

mod edge;
mod sockets;

use crate::config::{HostConfig, HostError};
use crate::device::{Adapter, TxQueue};
use crate::memory::RxMemory;
use crate::ping::Pinger;
use crate::session::{Session, StreamReport};
use skb::{Pool, PortId};
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketSet};
use smoltcp::phy::{Checksum, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress};
use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;

/// What crossed a host's two edges, beside what the ledger counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostStats {
    /// Frames taken into receive memory.
    pub rx_frames: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// Frames refused because receive memory was full.
    pub rx_full: u64,
    /// Frames refused because they are longer than a receive buffer.
    pub rx_too_long: u64,
    /// Frames refused because their TCP checksum does not hold, where the stack does not look.
    pub rx_damaged: u64,
    /// Frames handed to the path.
    pub tx_frames: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Replies the stack wrote that found no slot; they never became frames. TCP repeats what
    /// matters.
    pub tx_lost: u64,
}

/// A host with smoltcp as its stack: a [`Sink`](skb::Sink) for frames to it and a
/// [`Nic`](skb::Nic) for frames it sends.
///
/// It answers ARP, neighbour solicitation and ping by itself, reassembles IPv4 fragments, resets
/// connections to ports it does not serve, and does over TCP what [`serve`](Self::serve),
/// [`connect`](Self::connect) and [`open`](Self::open) say.
///
/// **Into the guest** only bytes cross: `deliver` copies them into the guest's own fixed receive
/// memory ([`CopyReason::GuestMemory`](skb::CopyReason)) and ends the reference. A full memory is
/// the drop [`GuestFull`](skb::DropReason); a port that works by credit asks `credit()` first, the
/// number of free receive buffers, and never meets it. A TCP super-frame longer than a receive
/// buffer is cut into segments as it is copied (`split` in the ledger); a checksum left to a device
/// is finished in the copy, unless the host itself has checksum offload.
///
/// **Out of the guest** the stack writes each frame straight into a slot of the path's pool; `rx`
/// makes it a frame, counts it `originated` and gives it an id with the high bit set, which no
/// frame of a capture has. No free slot means that the stack keeps its bytes and waits.
///
/// **Time** comes from the caller: nothing happens but in [`poll`](Self::poll). A turn is
/// deliver, poll, rx. Frames are as the stack writes them: short ones are not padded to 60 bytes,
/// as between virtual machines; a real adapter would pad.
pub struct SmolHost {
    pub(crate) config: HostConfig,
    pub(crate) interface: Box<Interface>,
    pub(crate) sockets: SocketSet<'static>,
    capabilities: DeviceCapabilities,
    rx: RxMemory,
    tx: TxQueue,
    sessions: Vec<Session>,
    served: VecDeque<StreamReport>,
    pub(crate) pinger: Option<Pinger>,
    /// Where an echo is turned round.
    room: Box<[u8]>,
    pub(crate) now_ns: i64,
    next_id: u64,
    next_port: u16,
    stats: HostStats,
}

impl fmt::Debug for SmolHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmolHost")
            .field("mac", &self.config.mac)
            .field("addresses", &self.config.addresses)
            .field("port", &self.config.port)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

impl SmolHost {
    /// Builds the host. All its memory is allocated here, but for sockets, which come with
    /// [`serve`](Self::serve), [`connect`](Self::connect) and [`open`](Self::open).
    ///
    /// `pool` is the pool it will send from: its slots must hold the host's longest frame.
    pub fn new(config: HostConfig, pool: &Pool) -> Result<Self, HostError> {
        config.check(pool)?;
        let capabilities = capabilities(&config);
        let rx = RxMemory::new(config.rx_buffers, config.receives(), config.reserve());
        let tx = TxQueue::new(&config);
        let hardware = HardwareAddress::Ethernet(EthernetAddress(config.mac.0));
        let mut interface_config = Config::new(hardware);
        interface_config.random_seed = config.seed;
        let mut device = crate::device::Unplugged(&capabilities);
        let mut interface =
            Box::new(Interface::new(interface_config, &mut device, Instant::from_micros(0)));
        interface.update_ip_addrs(|addresses| {
            // `check` has seen that they fit.
            addresses.extend(config.addresses.iter().copied());
        });
        add_gateways(&mut interface, &config.gateways)?;
        let next_port = 49152 + (config.seed % 16384) as u16;
        Ok(Self {
            next_id: 1 << 63 | u64::from(config.port.0) << 48,
            config,
            interface,
            sockets: SocketSet::new(Vec::new()),
            capabilities,
            rx,
            tx,
            sessions: Vec::new(),
            served: VecDeque::new(),
            pinger: None,
            room: vec![0; 16 << 10].into_boxed_slice(),
            now_ns: 0,
            next_port,
            stats: HostStats::default(),
        })
    }

    /// The configuration it was built with.
    pub fn config(&self) -> &HostConfig {
        &self.config
    }

    /// The port it is plugged into.
    pub fn port(&self) -> PortId {
        self.config.port
    }

    /// What crossed its edges.
    pub fn stats(&self) -> HostStats {
        HostStats { tx_lost: self.tx.lost, ..self.stats }
    }

    /// Runs the stack at `now_ns`: takes what lies in receive memory, moves streams on, writes
    /// frames for [`Nic::rx`](skb::Nic::rx) to hand out. Says whether anything may have changed.
    ///
    /// The clock is the caller's (nanoseconds since any epoch, for instance 1970) and must not run
    /// backwards; if it does, it stands still. The work is bounded by the receive memory and the
    /// transmit queue. No allocation, but for reassembly of IPv4 fragments.
    pub fn poll(&mut self, now_ns: i64, pool: &mut Pool) -> bool {
        let changed = self.take_in(now_ns, pool);
        self.send_out(now_ns, pool) || changed
    }

    /// The first half of [`poll`](Self::poll): takes what lies in receive memory, moves streams on.
    /// A caller that reads what came before the second half lets the acknowledgements grant the
    /// whole window again, not what is left beside the bytes that it is about to take.
    pub fn take_in(&mut self, now_ns: i64, pool: &mut Pool) -> bool {
        let now = self.clock(now_ns);
        let any = self.rx.used() > 0;
        let mut adapter =
            Adapter { rx: &mut self.rx, tx: &mut self.tx, pool, capabilities: &self.capabilities };
        self.interface.poll_maintenance(now);
        let mut more = true;
        while more {
            let one = self.interface.poll_ingress_single(now, &mut adapter, &mut self.sockets);
            more = one != PollIngressSingleResult::None;
        }
        self.run_sessions() || any
    }

    /// The second half: writes frames.
    pub fn send_out(&mut self, now_ns: i64, pool: &mut Pool) -> bool {
        let now = self.clock(now_ns);
        self.run_ping();
        let mut changed = false;
        let mut adapter =
            Adapter { rx: &mut self.rx, tx: &mut self.tx, pool, capabilities: &self.capabilities };
        while self.interface.poll_egress(now, &mut adapter, &mut self.sockets)
            == PollResult::SocketStateChanged
        {
            changed = true;
        }
        changed
    }

    fn clock(&mut self, now_ns: i64) -> Instant {
        self.now_ns = self.now_ns.max(now_ns);
        instant(self.now_ns)
    }

    /// When [`poll`](Self::poll) must be called next although no frame arrives: a time on the
    /// caller's clock, in the past for at once, `None` for not before a frame arrives.
    pub fn next_poll_ns(&mut self) -> Option<i64> {
        let now = instant(self.now_ns);
        self.interface.poll_at(now, &self.sockets).map(|at| at.total_micros().saturating_mul(1000))
    }

    /// Frames written and not yet handed to the path.
    pub fn tx_waiting(&self) -> usize {
        self.tx.frames.len()
    }

    /// Frames in receive memory that the stack has not seen yet.
    pub fn rx_waiting(&self) -> usize {
        self.rx.used()
    }

    /// Pulls the plug: gives the slots of frames not handed out back and forgets frames not seen.
    /// To be called before the host goes, or its slots are lost to the pool.
    pub fn unplug(&mut self, pool: &mut Pool) {
        while let Some(frame) = self.tx.frames.pop_front() {
            pool.free_slot(frame.slot);
        }
        self.rx.clear();
    }

    /// Whether it has an address of the same IP version. Asked for a source address without one,
    /// smoltcp would send from `::1`.
    pub(crate) fn has_address_like(&self, to: IpAddr) -> bool {
        self.config
            .addresses
            .iter()
            .any(|cidr| IpAddr::from(cidr.address()).is_ipv4() == to.is_ipv4())
    }
}

fn instant(now_ns: i64) -> Instant {
    Instant::from_micros(now_ns / 1000)
}

fn capabilities(config: &HostConfig) -> DeviceCapabilities {
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ethernet;
    capabilities.max_transmission_unit = config.mtu + crate::config::ETH_HEADER;
    if config.checksum_offload {
        capabilities.checksum.tcp = Checksum::None;
    }
    if let Some(tso) = config.tso.and_then(std::num::NonZeroUsize::new) {
        capabilities.segmentation.tcpv4 = Some(tso);
        // smoltcp's IPv6 dispatch does not pass a segment size on.
    }
    capabilities
}

fn add_gateways(interface: &mut Interface, gateways: &[IpAddr]) -> Result<(), HostError> {
    for &gateway in gateways {
        let before = match gateway {
            IpAddr::V4(v4) => interface.routes_mut().add_default_ipv4_route(v4),
            IpAddr::V6(v6) => interface.routes_mut().add_default_ipv6_route(v6),
        };
        if !matches!(before, Ok(None)) {
            return Err(HostError::SecondGateway(gateway));
        }
    }
    Ok(())
}
