//! Arbitrary switches and traffic. A plan can be built more than once; a configuration cannot,
//! because host access is not copied.

use crate::fdb::FdbConfig;
use crate::vlan::{Tpid, VlanMode, VlanSet};
use crate::{
    FarEnd, HostAccess, MirrorDirection, MirrorSession, PortConfig, PortRole, SwitchConfig,
    SwitchType, UnknownUnicast,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use skb::{LinkType, MacAddr, PortId};

pub(super) const AGEING_MS: u64 = 1000;

/// Addresses that frames use: stations first, then what needs care.
pub(super) fn mac(index: u8) -> MacAddr {
    match index {
        0..=5 => MacAddr([2, 0, 0, 0, 0, index + 1]),
        6 => MacAddr::BROADCAST,
        7 => MacAddr([0x33, 0x33, 0, 0, 0, 1]),
        8 => MacAddr([1, 0x80, 0xc2, 0, 0, 0x0e]),
        _ => MacAddr([0; 6]),
    }
}

#[derive(Debug, Clone)]
pub(super) struct PortPlan {
    pub(super) id: u8,
    pub(super) role: u8,
    pub(super) host_device: bool,
    /// Access VLAN, or native and allowed.
    pub(super) access: Option<u16>,
    pub(super) native: Option<u16>,
    pub(super) allowed: Vec<u16>,
    pub(super) tpid: Tpid,
    pub(super) flags: [bool; 6],
    pub(super) statics: Vec<u8>,
    pub(super) cap: Option<u32>,
}

#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) ty: SwitchType,
    pub(super) management_os: bool,
    pub(super) uplink: bool,
    pub(super) ports: Vec<PortPlan>,
    pub(super) mirrors: Vec<(Vec<u8>, MirrorDirection, u8)>,
}

impl PortPlan {
    fn build(&self) -> PortConfig {
        let grant = || HostAccess::grant("a test");
        let role = match self.role {
            0 => PortRole::Wire,
            1 => PortRole::Host(grant()),
            _ => PortRole::Guest,
        };
        let vlan = match self.access {
            Some(pvid) => VlanMode::Access { pvid },
            None => VlanMode::Trunk {
                native: self.native,
                allowed: self.allowed.iter().copied().collect::<VlanSet>(),
            },
        };
        let [keep_priority_tag, protected, learn, mac_spoofing, dhcp_guard, router_guard] =
            self.flags;
        PortConfig {
            id: PortId(self.id),
            name: format!("p{}", self.id),
            role,
            far_end: if self.host_device { FarEnd::HostDevice(grant()) } else { FarEnd::Process },
            vlan,
            tpid: self.tpid,
            keep_priority_tag,
            protected,
            learn,
            static_macs: self.statics.iter().map(|&index| mac(index)).collect(),
            learn_cap: self.cap,
            mac_spoofing,
            dhcp_guard,
            router_guard,
        }
    }
}

impl Plan {
    pub(super) fn build(&self) -> SwitchConfig {
        let mirror =
            |(sources, direction, destination): &(Vec<u8>, MirrorDirection, u8)| MirrorSession {
                sources: sources.iter().map(|&id| PortId(id)).collect(),
                direction: *direction,
                destination: PortId(*destination),
                snaplen: Some(20),
            };
        SwitchConfig {
            ty: self.ty,
            management_os: self.management_os,
            ports: self.ports.iter().map(PortPlan::build).collect(),
            mirrors: self.mirrors.iter().map(mirror).collect(),
            unknown_unicast: if self.uplink {
                UnknownUnicast::Uplink
            } else {
                UnknownUnicast::Flood
            },
            fdb: FdbConfig { capacity: 4096, ageing_ms: AGEING_MS },
        }
    }

    /// Makes a switch of the plan that can be built: what the type excludes becomes a guest,
    /// what is in doubt goes.
    pub(super) fn mend(mut self) -> Self {
        for (at, port) in self.ports.iter_mut().enumerate() {
            port.id = at as u8 * 9;
            let host = self.ty == SwitchType::Internal
                || self.ty == SwitchType::External && self.management_os;
            let excluded = match port.role {
                0 => self.ty != SwitchType::External,
                1 => !host,
                _ => false,
            };
            if excluded {
                port.role = 2;
            }
            port.host_device &= self.ty != SwitchType::Private;
            if port.access.is_none() && port.native.is_none() && port.allowed.is_empty() {
                port.native = Some(1);
            }
            // One address, one port: each port its own station, so no conflict can arise.
            port.statics = if port.statics.is_empty() { vec![] } else { vec![at as u8 % 6] };
            port.flags[3] |= port.statics.is_empty();
        }
        if self.ty == SwitchType::External {
            self.ports[0].role = 0;
        }
        self.management_os &= self.ty == SwitchType::External;
        self.uplink &= self.ty == SwitchType::External;
        let ids: Vec<u8> = self.ports.iter().map(|port| port.id).collect();
        let pick = |n: u8| ids[usize::from(n) % ids.len()];
        for (sources, _, destination) in &mut self.mirrors {
            *destination = pick(*destination);
            *sources = sources.iter().map(|&n| pick(n)).filter(|id| id != destination).collect();
        }
        self.mirrors.retain(|(sources, ..)| !sources.is_empty());
        self
    }
}

fn port() -> impl Strategy<Value = PortPlan> {
    let vid = || 1..4_u16;
    let tpid = prop_oneof![4 => Just(Tpid::Customer), 1 => Just(Tpid::Service)];
    let vlans = (option::weighted(0.6, vid()), option::of(vid()), vec(vid(), 0..3));
    let rest = (tpid, any::<[bool; 6]>(), vec(0..6_u8, 0..2), option::weighted(0.3, 0..3_u32));
    (0..3_u8, 0..4_u8, prop::bool::weighted(0.2), vlans, rest).prop_map(
        |(id, role, host_device, (access, native, allowed), (tpid, flags, statics, cap))| {
            let [keep, protected, no_learn, no_spoofing, dhcp, router] = flags;
            let flags = [keep, protected, !no_learn || keep, !no_spoofing || dhcp, dhcp, router];
            PortPlan { id, role, host_device, access, native, allowed, tpid, flags, statics, cap }
        },
    )
}

/// Any configuration, most of which make no switch.
pub(super) fn plan() -> impl Strategy<Value = Plan> {
    let ty = prop_oneof![
        Just(SwitchType::External),
        Just(SwitchType::Internal),
        Just(SwitchType::Private)
    ];
    let direction = prop_oneof![
        Just(MirrorDirection::Ingress),
        Just(MirrorDirection::Egress),
        Just(MirrorDirection::Both)
    ];
    let mirrors = vec((vec(0..7_u8, 1..3), direction, 0..7_u8), 0..2);
    (ty, any::<bool>(), any::<bool>(), vec(port(), 1..7), mirrors).prop_map(
        |(ty, management_os, uplink, ports, mirrors)| Plan {
            ty,
            management_os,
            uplink,
            ports,
            mirrors,
        },
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payload {
    Plain,
    DhcpServer,
    RouterAdvertisement,
}

#[derive(Debug, Clone)]
pub(super) struct FramePlan {
    /// Which port, by place in the configuration; one past the end is a port that is not there.
    pub(super) ingress: u8,
    pub(super) src: u8,
    pub(super) dst: u8,
    pub(super) tags: Vec<(u16, u16)>,
    pub(super) payload: Payload,
    pub(super) cut: Option<u8>,
    pub(super) linktype: LinkType,
}

impl FramePlan {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut frame = [mac(self.dst).0, mac(self.src).0].concat();
        for (tpid, tci) in &self.tags {
            frame.extend(tpid.to_be_bytes());
            frame.extend(tci.to_be_bytes());
        }
        match self.payload {
            Payload::Plain => frame.extend([0x88, 0xb5].iter().chain(&[7; 44])),
            Payload::DhcpServer => {
                frame.extend([8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0]);
                frame.extend([0; 8].iter().chain(&[0, 67, 0, 68, 0, 8, 0, 0]));
            }
            Payload::RouterAdvertisement => {
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, 58, 255]);
                frame.extend([0; 32].iter().chain(&[134, 0, 0, 0, 0, 0, 0, 0]));
            }
        }
        if let Some(cut) = self.cut {
            frame.truncate(usize::from(cut));
        }
        frame
    }
}

fn frame() -> impl Strategy<Value = FramePlan> {
    let tpid = prop_oneof![3 => Just(0x8100_u16), 1 => Just(0x88a8_u16)];
    let vid = prop_oneof![1 => Just(0_u16), 9 => 1..5_u16, 1 => Just(4095_u16)];
    let tag = (tpid, vid, 0..8_u16).prop_map(|(tpid, vid, pcp)| (tpid, pcp << 13 | vid));
    let tags = prop_oneof![3 => Just(vec![]), 3 => vec(tag, 1..3)];
    let payload = prop_oneof![
        8 => Just(Payload::Plain),
        1 => Just(Payload::DhcpServer),
        1 => Just(Payload::RouterAdvertisement)
    ];
    let src = prop_oneof![20 => 0..6_u8, 1 => 6..10_u8];
    let dst = prop_oneof![10 => 0..6_u8, 3 => 6..10_u8];
    let linktype = prop_oneof![30 => Just(LinkType::ETHERNET), 1 => Just(LinkType::RAW)];
    (0..7_u8, src, dst, tags, payload, option::weighted(0.05, 0..30_u8), linktype).prop_map(
        |(ingress, src, dst, tags, payload, cut, linktype)| FramePlan {
            ingress,
            src,
            dst,
            tags,
            payload,
            cut,
            linktype,
        },
    )
}

/// Bursts, each with the milliseconds since the one before.
pub(super) fn traffic() -> impl Strategy<Value = Vec<(u64, Vec<FramePlan>)>> {
    let gap = prop_oneof![4 => Just(0_u64), 2 => 0..AGEING_MS, 1 => 0..4 * AGEING_MS];
    vec((gap, vec(frame(), 1..12)), 1..8)
}
