//! The switch again, as plainly as can be: hash maps, loops, no tables, no fast path.

use super::plan::{FramePlan, Payload, mac};
use crate::vlan::VlanMode;
use crate::{MirrorDirection, PortConfig, PortRole, SwitchConfig, UnknownUnicast};
use skb::{DropReason, LinkType, MacAddr, PortId, PortSet, Verdict};
use std::collections::{HashMap, HashSet};

pub(super) struct Model {
    config: SwitchConfig,
    ageing_ticks: u64,
    /// Port and the tick it was last heard in.
    learned: HashMap<(u16, MacAddr), (PortId, u64)>,
}

/// A frame as the model sees it.
pub(super) struct Seen {
    pub(super) verdict: Verdict,
    pub(super) mirror: PortSet,
    /// VLAN, if it got that far.
    pub(super) vid: Option<u16>,
    /// Bytes at each port of the verdict.
    pub(super) out: HashMap<PortId, Vec<u8>>,
}

impl Seen {
    fn dropped(reason: DropReason) -> Self {
        let verdict = Verdict::Drop(reason);
        Self { verdict, mirror: PortSet::EMPTY, vid: None, out: HashMap::new() }
    }
}

/// TCI of the outer tag if it is of the port's type.
fn tci(port: &PortConfig, frame: &[u8]) -> Option<u16> {
    let tagged = frame[12..14] == port.tpid.ethertype().to_be_bytes();
    tagged.then(|| u16::from_be_bytes([frame[14], frame[15]]))
}

fn native(port: &PortConfig) -> Option<u16> {
    match port.vlan {
        VlanMode::Access { pvid } => Some(pvid),
        VlanMode::Trunk { native, .. } => native,
    }
}

/// The VLAN a port takes a frame for; the frame is long enough for its tag.
pub(super) fn vlan(port: &PortConfig, frame: &[u8]) -> Option<u16> {
    let vid = tci(port, frame).map_or(0, |tci| tci & 0xfff);
    match &port.vlan {
        _ if vid == 0 => native(port),
        VlanMode::Access { .. } => None,
        VlanMode::Trunk { native, allowed } => {
            (vid < 4095 && (*native == Some(vid) || allowed.contains(vid))).then_some(vid)
        }
    }
}

/// The frame of VLAN `vid` as `to` sends it.
fn sent(from: &PortConfig, to: &PortConfig, vid: u16, frame: &[u8]) -> Vec<u8> {
    let tag = tci(from, frame);
    let untagged = native(to) == Some(vid);
    let priority_only = tag.is_some_and(|tci| tci % 4096 == 0);
    if untagged && priority_only && to.keep_priority_tag && from.tpid == to.tpid {
        return frame.to_vec();
    }
    let rest = if tag.is_some() { &frame[16..] } else { &frame[12..] };
    let mut out = frame[..12].to_vec();
    if !untagged {
        out.extend(to.tpid.ethertype().to_be_bytes());
        out.extend((tag.unwrap_or(0) & 0xf000 | vid).to_be_bytes());
    }
    out.extend(rest);
    out
}

impl Model {
    pub(super) fn new(config: SwitchConfig) -> Self {
        let ageing_ticks = config.fdb.ageing_ms.div_ceil(128);
        Self { config, ageing_ticks, learned: HashMap::new() }
    }

    pub(super) fn age_out(&mut self, now_ms: u64) {
        let ageing = self.ageing_ticks;
        self.learned.retain(|_, (_, heard)| now_ms / 128 - *heard <= ageing);
    }

    /// The port with the static address in this VLAN.
    fn fixed(&self, vid: u16, mac: MacAddr) -> Option<PortId> {
        let has = |port: &&PortConfig| port.static_macs.contains(&mac);
        let access = |port: &&PortConfig| port.vlan == VlanMode::Access { pvid: vid };
        let trunk = |port: &&PortConfig| matches!(port.vlan, VlanMode::Trunk { .. });
        let ports = || self.config.ports.iter().filter(has);
        ports().find(access).or_else(|| ports().find(trunk)).map(|port| port.id)
    }

    fn learn(&mut self, port: PortId, cap: Option<u32>, vid: u16, mac: MacAddr, tick: u64) {
        let access_static = self.config.ports.iter().any(|other| {
            other.vlan == VlanMode::Access { pvid: vid } && other.static_macs.contains(&mac)
        });
        if access_static || self.fixed(vid, mac).is_some_and(|fixed| fixed != port) {
            return;
        }
        let count = self.learned.values().filter(|(on, _)| *on == port).count();
        let here = self.learned.get(&(vid, mac)).is_some_and(|(on, _)| *on == port);
        if here || cap.is_none_or(|cap| count < cap as usize) {
            self.learned.insert((vid, mac), (port, tick));
        }
    }

    fn find(&self, vid: u16, mac: MacAddr, tick: u64) -> Option<PortId> {
        let learned = self.learned.get(&(vid, mac));
        let alive = learned.filter(|(_, heard)| tick - heard <= self.ageing_ticks);
        alive.map(|(port, _)| *port).or_else(|| self.fixed(vid, mac))
    }

    pub(super) fn see(&mut self, plan: &FramePlan, frame: &[u8], now_ms: u64) -> Seen {
        let tick = now_ms / 128;
        let Some(from) = self.config.ports.get(usize::from(plan.ingress)) else {
            return Seen::dropped(DropReason::Policy);
        };
        if let Some(reason) = Self::refuse(from, plan, frame) {
            return Seen::dropped(reason);
        }
        let Some(vid) = vlan(from, frame) else {
            return Seen::dropped(DropReason::VlanIngress);
        };
        if !from.mac_spoofing && !from.static_macs.contains(&mac(plan.src)) {
            return Seen::dropped(DropReason::Policy);
        }
        let (id, cap) = (from.id, from.learn_cap);
        if from.learn {
            self.learn(id, cap, vid, mac(plan.src), tick);
        }
        let from = &self.config.ports[usize::from(plan.ingress)];
        let routed = self.route(from, vid, plan, frame, tick);
        let to: HashSet<PortId> = routed.clone().unwrap_or_default();
        let port = |id: PortId| self.config.ports.iter().find(|p| p.id == id).unwrap();
        Seen {
            verdict: match routed {
                Ok(to) => Verdict::Forward(to.into_iter().collect()),
                Err(reason) => Verdict::Drop(reason),
            },
            mirror: self.mirrors(id, &to),
            vid: Some(vid),
            out: to.iter().map(|&to| (to, sent(from, port(to), vid, frame))).collect(),
        }
    }

    fn refuse(from: &PortConfig, plan: &FramePlan, frame: &[u8]) -> Option<DropReason> {
        if plan.linktype != LinkType::ETHERNET {
            return Some(DropReason::NotEthernet);
        }
        if frame.len() < 14 {
            return Some(DropReason::Runt);
        }
        if !mac(plan.src).is_valid_source() {
            return Some(DropReason::InvalidSource);
        }
        if mac(plan.dst).is_link_local_group() {
            return Some(DropReason::LinkLocal);
        }
        let whole = plan.cut.is_none();
        let served = whole && plan.payload == Payload::DhcpServer && from.dhcp_guard;
        let routed = whole && plan.payload == Payload::RouterAdvertisement && from.router_guard;
        // An IPv6 header whose chain of headers is cut off could hide anything.
        let ip = 14 + 4 * plan.tags.len();
        let v6 = plan.payload == Payload::RouterAdvertisement && frame.len() >= ip + 7;
        let hidden = !whole && v6 && (from.dhcp_guard || from.router_guard);
        if served || routed || hidden {
            return Some(DropReason::Policy);
        }
        let tagged = frame[12..14] == from.tpid.ethertype().to_be_bytes();
        (tagged && frame.len() < 18).then_some(DropReason::Runt)
    }

    fn route(
        &self,
        from: &PortConfig,
        vid: u16,
        plan: &FramePlan,
        frame: &[u8],
        tick: u64,
    ) -> Result<HashSet<PortId>, DropReason> {
        let uplink = self.config.unknown_unicast == UnknownUnicast::Uplink;
        let wire = |port: &PortConfig| port.role == PortRole::Wire;
        let same_side =
            |port: &PortConfig| port.id == from.id || uplink && wire(from) && wire(port);
        let unicast = !mac(plan.dst).is_multicast();
        let found = if unicast { self.find(vid, mac(plan.dst), tick) } else { None };
        let known = found.and_then(|id| self.config.ports.iter().find(|p| p.id == id));
        let to_uplink = unicast && known.is_none() && uplink;
        if known.is_some_and(same_side) || to_uplink && wire(from) {
            return Err(DropReason::SamePort);
        }
        let member = |port: &PortConfig| match &port.vlan {
            VlanMode::Access { pvid } => *pvid == vid,
            VlanMode::Trunk { native, allowed } => *native == Some(vid) || allowed.contains(vid),
        };
        let candidates = self.config.ports.iter().filter(|port| {
            known.is_none_or(|known| known.id == port.id)
                && (!to_uplink || wire(port))
                && member(port)
                && !same_side(port)
        });
        let candidates: Vec<&PortConfig> = candidates.collect();
        if candidates.is_empty() {
            return Err(DropReason::NoMember);
        }
        // A trunk must not send untagged what its far end would read as tagged.
        let hops = |port: &PortConfig| {
            let rest = if tci(from, frame).is_some() { 16 } else { 12 };
            matches!(port.vlan, VlanMode::Trunk { .. })
                && native(port) == Some(vid)
                && frame[rest..].starts_with(&port.tpid.ethertype().to_be_bytes())
        };
        let allowed = |port: &&&PortConfig| !(from.protected && port.protected || hops(port));
        let to: HashSet<PortId> = candidates.iter().filter(allowed).map(|port| port.id).collect();
        if to.is_empty() { Err(DropReason::Policy) } else { Ok(to) }
    }

    fn mirrors(&self, from: PortId, to: &HashSet<PortId>) -> PortSet {
        let mut ends = PortSet::EMPTY;
        for session in &self.config.mirrors {
            let came = session.sources.contains(&from);
            let went = session.sources.iter().any(|source| to.contains(source));
            let hit = match session.direction {
                MirrorDirection::Ingress => came,
                MirrorDirection::Egress => went,
                MirrorDirection::Both => came || went,
            };
            if hit && session.destination != from && !to.contains(&session.destination) {
                ends = ends.with(session.destination);
            }
        }
        ends
    }
}
