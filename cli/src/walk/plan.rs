//! From arguments to a wired engine: which ports, which switch, which far ends.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use anyhow::{Context, bail};
use capture::Source;
use pipeline::driver::{Driver, RX_RING_DEFAULT};
use pipeline::guest::{CountingSink, HostConfig, IpCidr, SmolHost};
use pipeline::nic::{FileNic, Ingress};
use pipeline::vswitch::fdb::HashKey;
use pipeline::vswitch::vlan::VlanMode;
use pipeline::vswitch::{
    FarEnd, HostAccess, PortConfig, SwitchConfig, SwitchType, UnknownUnicast, Vswitch,
};
use pipeline::{Endpoint, Engine, EngineConfig, Port, PortCast, PortFace, PortMode};
use skb::trace::Tracer;
use skb::{MacAddr, PORTS_MAX, Pool, PoolConfig, PortId, PortSet};

/// The wire's port.
pub const WIRE: PortId = PortId(0);
/// Guests, at most: a port is the wire's, one may be the host's.
pub const GUESTS_MAX: usize = PORTS_MAX - 2;

/// The buffers of a walk.
pub const POOL: PoolConfig = PoolConfig {
    slots: 512,
    // the longest IP packet with headers and two tags: what offload can hand over
    slot_frame_max: 65_536 + 32,
    headroom: 64,
    blocks: 8,
    block_size: 512 * 1024,
};

/// The three switch types of Hyper-V.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum SwitchKind {
    /// Guests and the wire; the host is not on it
    #[default]
    External,
    /// Guests and the host; no wire
    Internal,
    /// Guests only
    Private,
}

impl SwitchKind {
    /// The word printed for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::External => "external",
            Self::Internal => "internal",
            Self::Private => "private",
        }
    }
}

/// A guest with a stack of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveGuest {
    /// Its address on the switch.
    pub mac: MacAddr,
    /// Its address and prefix.
    pub ip: IpCidr,
}

impl std::str::FromStr for LiveGuest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected MAC=ADDRESS/PREFIX, such as 02:00:00:00:00:09=192.0.2.9/24";
        let (mac, ip) = text.split_once('=').ok_or(expected)?;
        let mac = mac.parse().map_err(|e: skb_mac_error::Error| e.to_string())?;
        let ip =
            ip.parse().map_err(|()| format!("`{ip}` is no address with prefix; {expected}"))?;
        Ok(Self { mac, ip })
    }
}

mod skb_mac_error {
    /// What parsing a MAC address fails with.
    pub(super) type Error = <skb::MacAddr as std::str::FromStr>::Err;
}

/// A walk to be wired.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Guests that are in the capture only: port 1 is the first.
    pub guests: Vec<MacAddr>,
    /// Guests with a stack of their own, on the ports after those.
    pub live: Vec<LiveGuest>,
    /// Who can be on the switch.
    pub switch: SwitchKind,
    /// Merge TCP segments before the switch.
    pub gro: bool,
    /// Frames a poll takes at most; 1 when the cost of one frame is to be shown alone.
    pub budget: usize,
}

impl Plan {
    /// Wires the path. Frames come from `source`.
    pub fn build<T: Tracer>(&self, source: Source, tracer: T) -> anyhow::Result<Engine<T>> {
        self.build_in(POOL, source, tracer)
    }

    /// The same with buffers of another size or number.
    pub fn build_in<T: Tracer>(
        &self,
        pool: PoolConfig,
        source: Source,
        tracer: T,
    ) -> anyhow::Result<Engine<T>> {
        let pool = Pool::new(pool)?;
        let nic = FileNic::new(source, Ingress::new(WIRE, self.guest_ports()), &pool)?;
        let wire = Endpoint::File(Box::new(nic), CountingSink::new());
        self.wired(pool, wire, None, tracer)
    }

    /// Wires the path to what is at the wire. `device` is the interface of this machine that frames
    /// come from, if they do: a host edge, for the host's stack has them too.
    pub fn wired<T: Tracer>(
        &self,
        pool: Pool,
        wire: Endpoint,
        device: Option<&str>,
        tracer: T,
    ) -> anyhow::Result<Engine<T>> {
        self.check()?;
        let switch =
            Vswitch::new(self.switch_config(device), random_key()).context("the switch")?;
        let host_ports = self.host_port().map_or(PortSet::EMPTY, PortSet::only);
        let config = EngineConfig { gro: self.gro, host_ports, ..EngineConfig::default() };
        let ports = self.ports(wire, &pool)?;
        Ok(Engine::new(pool, switch, ports, config, tracer)?)
    }

    fn check(&self) -> anyhow::Result<()> {
        let mut macs: Vec<MacAddr> = self.macs().collect();
        if macs.len() > GUESTS_MAX {
            bail!("{} guests: the switch has room for {GUESTS_MAX}", macs.len());
        }
        if let Some(mac) = macs.iter().find(|mac| !mac.is_valid_source()) {
            bail!("{mac} cannot be a guest: it is a group address or all zero");
        }
        macs.sort_unstable();
        if let Some([mac, ..]) = macs.windows(2).find(|pair| pair[0] == pair[1]) {
            bail!("{mac} is named as a guest twice");
        }
        if macs.is_empty() && self.switch != SwitchKind::External {
            bail!(
                "a switch of type {} needs a guest and the capture shows none: \
                 name one with --guest",
                self.switch.name()
            );
        }
        Ok(())
    }

    fn macs(&self) -> impl Iterator<Item = MacAddr> + '_ {
        self.guests.iter().copied().chain(self.live.iter().map(|live| live.mac))
    }

    /// Guests with their ports.
    pub fn guest_ports(&self) -> impl Iterator<Item = (MacAddr, PortId)> + '_ {
        self.macs().zip(1..).map(|(mac, id)| (mac, PortId(id)))
    }

    /// The host's port: only an internal switch has one here.
    fn host_port(&self) -> Option<PortId> {
        let next = 1 + self.guests.len() + self.live.len();
        (self.switch == SwitchKind::Internal).then_some(PortId(next as u8))
    }

    fn switch_config(&self, device: Option<&str>) -> SwitchConfig {
        // nobody configured VLANs here: tags pass as they are, each VLAN by itself
        let open = |port: PortConfig| PortConfig {
            vlan: VlanMode::trunk_all(),
            keep_priority_tag: true,
            ..port
        };
        let mut ports = Vec::new();
        if self.switch == SwitchKind::External {
            let grant = |name: &str| HostAccess::grant(format!("walk -i {name}"));
            let far_end = device.map_or(FarEnd::Process, |name| FarEnd::HostDevice(grant(name)));
            ports.push(PortConfig { far_end, ..open(PortConfig::wire(WIRE.0, "wire")) });
        }
        for (mac, id) in self.guest_ports() {
            let port = open(PortConfig::guest(id.0, &guest_name(id)));
            ports.push(PortConfig { static_macs: vec![mac], ..port });
        }
        if let Some(id) = self.host_port() {
            let access = HostAccess::grant("--switch-type internal");
            ports.push(open(PortConfig::host(id.0, "host", access)));
        }
        let (ty, unknown_unicast) = match self.switch {
            SwitchKind::External => (SwitchType::External, UnknownUnicast::Uplink),
            SwitchKind::Internal => (SwitchType::Internal, UnknownUnicast::Flood),
            SwitchKind::Private => (SwitchType::Private, UnknownUnicast::Flood),
        };
        SwitchConfig { ty, ports, unknown_unicast, ..SwitchConfig::default() }
    }

    fn ports(&self, wire: Endpoint, pool: &Pool) -> anyhow::Result<Vec<Port>> {
        let wire =
            Port::new(wire, PortMode::Drop).with_driver(Driver::new(RX_RING_DEFAULT, self.budget));
        let mut ports = vec![wire];
        let sink = || Port::new(Endpoint::Sink(CountingSink::new()), PortMode::Drop);
        ports.extend(self.guests.iter().map(|_| sink()));
        for live in &self.live {
            let id = PortId(ports.len() as u8);
            let host = SmolHost::new(HostConfig::new(id, live.mac, live.ip), pool)
                .with_context(|| format!("--live-guest {}", live.mac))?;
            let driver = Driver::new(RX_RING_DEFAULT, self.budget);
            let endpoint = Endpoint::Host(Box::new(host));
            ports.push(Port::new(endpoint, PortMode::Drop).with_driver(driver));
        }
        ports.extend(self.host_port().map(|_| sink()));
        Ok(ports)
    }

    /// The same where the wire is a live interface.
    pub fn live_cast(&self) -> Vec<PortCast> {
        let mut cast = self.cast();
        cast[0].face = PortFace::LiveWire;
        cast
    }

    /// What is behind each port, for the telling.
    pub fn cast(&self) -> Vec<PortCast> {
        let mut cast = vec![PortCast { name: "wire".to_owned(), face: PortFace::Wire }];
        for (_, id) in self.guest_ports() {
            let live = id.index() > self.guests.len();
            let face = if live { PortFace::LiveGuest } else { PortFace::RecordedGuest };
            cast.push(PortCast { name: guest_name(id), face });
        }
        if self.host_port().is_some() {
            cast.push(PortCast { name: "host".to_owned(), face: PortFace::Host });
        }
        cast
    }
}

/// `guest 1` is on port 1.
pub fn guest_name(id: PortId) -> String {
    format!("guest {}", id.0)
}

/// A key for the switch's table that nobody who wrote the capture can know.
pub fn random_key() -> HashKey {
    let draw = || RandomState::new().build_hasher().finish();
    HashKey::new([draw(), draw()])
}
