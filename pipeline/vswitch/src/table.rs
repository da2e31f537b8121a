//! What the configuration comes down to on the hot path: a few words per port, a word per VLAN.

use crate::config::{MirrorDirection, PortConfig, PortRole, SwitchConfig, UnknownUnicast};
use crate::vlan::{Tpid, VID_MAX, VID_MIN, VlanMode};
use skb::{PORTS_MAX, PortId, PortSet};

/// An ingress port, ready for use.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lane {
    /// The switch has this port.
    pub(crate) present: bool,
    /// Untagged unicast needs no more than learn and look up: a VLAN for untagged frames and no
    /// guards.
    pub(crate) fast: bool,
    pub(crate) learn: bool,
    /// Unknown unicast that comes in here is for somebody on the wire itself.
    pub(crate) unknown_is_same_side: bool,
    pub(crate) spoofing_guard: bool,
    pub(crate) dhcp_guard: bool,
    pub(crate) router_guard: bool,
    pub(crate) tpid: Tpid,
    /// VLAN of untagged frames, 0 = none.
    pub(crate) pvid: u16,
    /// The port itself and what counts as the same side: the other wires of an uplink.
    pub(crate) same_side: PortSet,
    /// Ports that policy lets this one send to; never the same side.
    pub(crate) reach: PortSet,
    /// Members of `pvid` within reach.
    pub(crate) reach_untagged: PortSet,
    /// Ports that take an untagged frame of `pvid` as it is, with nothing else to do.
    pub(crate) plain: PortSet,
    /// Ports at which an untagged frame of `pvid` gets a tag.
    pub(crate) retag_untagged: PortSet,
}

/// A mirror session, ready for use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MirrorLane {
    pub(crate) ingress: PortSet,
    pub(crate) egress: PortSet,
    pub(crate) destination: PortId,
}

/// All tables of a switch.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) lanes: Box<[Lane; PORTS_MAX]>,
    /// Ports in each VLAN.
    pub(crate) members: Box<[PortSet]>,
    /// Ports that send each VLAN untagged.
    pub(crate) untagged: Box<[PortSet]>,
    /// Trunks among those.
    pub(crate) native_trunks: Box<[PortSet]>,
    /// Ports by the tag type they read.
    pub(crate) by_tpid: [PortSet; 3],
    pub(crate) wires: PortSet,
    pub(crate) unknown: UnknownUnicast,
    pub(crate) mirrors: Vec<MirrorLane>,
    /// Bytes a mirror destination gets of a frame.
    pub(crate) snaplens: Box<[u32; PORTS_MAX]>,
}

impl Tables {
    /// From a checked configuration.
    pub(crate) fn new(config: &SwitchConfig) -> Self {
        let ports = &config.ports;
        let per_vlan = |belongs: &dyn Fn(&PortConfig, u16) -> bool| -> Box<[PortSet]> {
            let set = |vid| ports.iter().filter(|p| belongs(p, vid)).map(|p| p.id).collect();
            let valid = VID_MIN..=VID_MAX;
            (0..4096)
                .map(|vid| if valid.contains(&vid) { set(vid) } else { PortSet::EMPTY })
                .collect()
        };
        let wires = ids(ports, |port| port.role == PortRole::Wire);
        let by_tpid = Tpid::ALL.map(|tpid| ids(ports, |port| port.tpid == tpid));
        let mut tables = Self {
            lanes: Box::new([Lane::default(); PORTS_MAX]),
            members: per_vlan(&|port, vid| port.vlan.member(vid)),
            untagged: per_vlan(&|port, vid| port.vlan.untagged() == Some(vid)),
            native_trunks: per_vlan(&|port, vid| native_of_trunk(&port.vlan) == Some(vid)),
            by_tpid,
            wires,
            unknown: config.unknown_unicast,
            mirrors: mirror_lanes(config),
            snaplens: snaplens(config),
        };
        for port in ports {
            let lane = tables.lane(config, port);
            tables.lanes[port.id.index()] = lane;
        }
        tables
    }

    fn lane(&self, config: &SwitchConfig, port: &PortConfig) -> Lane {
        let uplink =
            config.unknown_unicast == UnknownUnicast::Uplink && self.wires.contains(port.id);
        let own = PortSet::only(port.id);
        let same_side = if uplink { self.wires.or(own) } else { own };
        let barred = ids(&config.ports, |other| port.protected && other.protected).or(same_side);
        let reach = PortSet(ids(&config.ports, |_| true).0 & !barred.0);
        let pvid = port.vlan.untagged().unwrap_or(0);
        let members = self.members[usize::from(pvid)];
        let spoofing_guard = !port.mac_spoofing;
        let guarded = spoofing_guard || port.dhcp_guard || port.router_guard;
        Lane {
            present: true,
            fast: pvid != 0 && !guarded,
            learn: port.learn,
            unknown_is_same_side: uplink,
            spoofing_guard,
            dhcp_guard: port.dhcp_guard,
            router_guard: port.router_guard,
            tpid: port.tpid,
            pvid,
            same_side,
            reach,
            reach_untagged: reach.and(members),
            plain: match self.mirrors[..] {
                [] => reach.and(members).and(self.untagged[usize::from(pvid)]),
                _ => PortSet::EMPTY,
            },
            retag_untagged: PortSet(!self.untagged[usize::from(pvid)].0),
        }
    }
}

fn ids(ports: &[PortConfig], wanted: impl Fn(&PortConfig) -> bool) -> PortSet {
    ports.iter().filter(|port| wanted(port)).map(|port| port.id).collect()
}

fn mirror_lanes(config: &SwitchConfig) -> Vec<MirrorLane> {
    let lane = |session: &crate::MirrorSession| {
        let sources: PortSet = session.sources.iter().copied().collect();
        let when = |on| if on { sources } else { PortSet::EMPTY };
        MirrorLane {
            ingress: when(session.direction != MirrorDirection::Egress),
            egress: when(session.direction != MirrorDirection::Ingress),
            destination: session.destination,
        }
    };
    config.mirrors.iter().map(lane).collect()
}

/// Where several sessions end at one port, the longest snaplen counts: the port gets one
/// reference per frame.
fn snaplens(config: &SwitchConfig) -> Box<[u32; PORTS_MAX]> {
    let mut snaplens = Box::new([0; PORTS_MAX]);
    for session in &config.mirrors {
        let slot = &mut snaplens[session.destination.index()];
        *slot = session.snaplen.unwrap_or(u32::MAX).max(*slot);
    }
    snaplens
}

/// The VLAN a trunk carries untagged; `None` for an access port.
fn native_of_trunk(vlan: &VlanMode) -> Option<u16> {
    match vlan {
        VlanMode::Trunk { native, .. } => *native,
        VlanMode::Access { .. } => None,
    }
}
