//! What a switch is made of: plain values, validated by [`Vswitch::new`](crate::Vswitch::new).

use crate::HostAccess;
use crate::fdb::FdbConfig;
use crate::vlan::{Tpid, VlanMode};
use serde::Serialize;
use skb::{MacAddr, PortId};

/// The three switch types of Hyper-V: who can be on the switch at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SwitchType {
    /// Guests and the wire; the host only with [`SwitchConfig::management_os`].
    External,
    /// Guests and the host, no wire.
    Internal,
    /// Guests only. The default.
    #[default]
    Private,
}

/// What lives behind a port.
#[derive(Debug, PartialEq, Eq)]
pub enum PortRole {
    /// A physical network, or a file or generator in its place.
    Wire,
    /// A guest.
    Guest,
    /// The host's own stack: only whoever holds the capability can say it.
    Host(HostAccess),
}

impl PortRole {
    /// Whether it is the host.
    pub fn is_host(&self) -> bool {
        matches!(self, Self::Host(_))
    }

    /// The name printed everywhere.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Wire => "wire",
            Self::Guest => "guest",
            Self::Host(_) => "host",
        }
    }
}

/// Where the far end of a guest or wire port is, which decides whether it is a *host edge*.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum FarEnd {
    /// In this process or in a file: no device of the host is involved.
    #[default]
    Process,
    /// A device shown to be out of the host stack's reach: moved to another network namespace,
    /// or without addresses and with its ingress withheld from the stack.
    Separated {
        /// How that was established, for the receipt.
        evidence: String,
    },
    /// A network device in the host's namespace (TAP, veth, AF_PACKET, libpcap): whatever is
    /// sent there the host's stack may receive.
    HostDevice(HostAccess),
}

/// One port.
#[derive(Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// Its number, below [`skb::PORTS_MAX`], unique in the switch.
    pub id: PortId,
    /// Its name for people.
    pub name: String,
    /// What lives behind it.
    pub role: PortRole,
    /// Where its far end is. A [`PortRole::Host`] port is a host edge whatever this says.
    pub far_end: FarEnd,
    /// How it takes part in VLANs.
    pub vlan: VlanMode,
    /// Which EtherType is a tag here.
    pub tpid: Tpid,
    /// Priority tags (VID 0) leave as they came where the VLAN is untagged, instead of being
    /// removed as IEEE 802.1Q has it. Hyper-V: `IeeePriorityTag`.
    pub keep_priority_tag: bool,
    /// Protected ports exchange no frames with one another (Linux `isolated`, Hyper-V's
    /// isolated private VLAN); they reach the others.
    pub protected: bool,
    /// Whether source addresses are learned here.
    pub learn: bool,
    /// Addresses that live here by configuration: they neither age nor move.
    pub static_macs: Vec<MacAddr>,
    /// Most addresses learned here. `None`: an equal share of what the FDB has room for, so that
    /// a flood of addresses on one port takes nothing from another.
    pub learn_cap: Option<u32>,
    /// Frames may come from any source address. With `false`, only from
    /// [`static_macs`](Self::static_macs). Hyper-V: `MacAddressSpoofing`.
    pub mac_spoofing: bool,
    /// Drops what only a DHCP server sends, when it comes in here. Hyper-V: `DhcpGuard`.
    pub dhcp_guard: bool,
    /// Drops router advertisements and redirects that come in here. Hyper-V: `RouterGuard`.
    pub router_guard: bool,
}

impl PortConfig {
    fn new(id: u8, name: &str, role: PortRole) -> Self {
        Self {
            id: PortId(id),
            name: name.to_owned(),
            role,
            far_end: FarEnd::Process,
            vlan: VlanMode::default(),
            tpid: Tpid::Customer,
            keep_priority_tag: false,
            protected: false,
            learn: true,
            static_macs: Vec::new(),
            learn_cap: None,
            mac_spoofing: true,
            dhcp_guard: false,
            router_guard: false,
        }
    }

    /// A wire port: access to VLAN 1, learning, no guards.
    pub fn wire(id: u8, name: &str) -> Self {
        Self::new(id, name, PortRole::Wire)
    }

    /// A guest port: access to VLAN 1, learning, no guards.
    pub fn guest(id: u8, name: &str) -> Self {
        Self::new(id, name, PortRole::Guest)
    }

    /// The host's port: access to VLAN 1, learning, no guards.
    pub fn host(id: u8, name: &str, access: HostAccess) -> Self {
        Self::new(id, name, PortRole::Host(access))
    }

    /// Whether frames sent out here can reach the host's stack, and who granted that.
    pub fn host_edge(&self) -> Option<&HostAccess> {
        match (&self.role, &self.far_end) {
            (PortRole::Host(access), _) | (_, FarEnd::HostDevice(access)) => Some(access),
            _ => None,
        }
    }
}

/// Which of a source port's frames a mirror session copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MirrorDirection {
    /// Those that came in by it.
    Ingress,
    /// Those that go out by it.
    Egress,
    /// Both.
    #[default]
    Both,
}

/// A mirror (SPAN) session: sources, direction, one destination, snaplen.
///
/// A frame is mirrored once it has passed the ingress policies, whether or not it then has
/// another destination, as the bytes that came in. A port that receives it anyway gets no second
/// reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorSession {
    /// Ports watched.
    pub sources: Vec<PortId>,
    /// Which of their frames.
    pub direction: MirrorDirection,
    /// The port that gets them.
    pub destination: PortId,
    /// Bytes of each frame, from its MAC header; `None` = all.
    pub snaplen: Option<u32>,
}

/// Where unicast frames go whose destination the FDB does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownUnicast {
    /// To every member of the VLAN, as IEEE 802.1Q has it.
    #[default]
    Flood,
    /// From a guest to the wire only; from the wire nowhere, because it must be for somebody on
    /// the wire. A Hyper-V external switch knows its guests' addresses and does this. All wire
    /// ports count as one side: nothing goes from wire to wire.
    Uplink,
}

/// One switch.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SwitchConfig {
    /// Who can be on it.
    pub ty: SwitchType,
    /// On an external switch: the host may have ports.
    pub management_os: bool,
    /// The ports, at most [`skb::PORTS_MAX`].
    pub ports: Vec<PortConfig>,
    /// Mirror sessions.
    pub mirrors: Vec<MirrorSession>,
    /// Where unknown unicast goes.
    pub unknown_unicast: UnknownUnicast,
    /// The forwarding database.
    pub fdb: FdbConfig,
}
