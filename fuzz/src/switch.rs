//! A switch configuration out of an input, mostly one that makes sense.

use super::input::Input;
use pipeline::vswitch::fdb::FdbConfig;
use pipeline::vswitch::vlan::{Tpid, VlanMode, VlanSet};
use pipeline::vswitch::{
    FarEnd, HostAccess, MirrorDirection, MirrorSession, PortConfig, PortRole, SwitchConfig,
    SwitchType, UnknownUnicast,
};
use skb::{MacAddr, PortId};

/// Bytes that a port is made of.
pub const PORT_BYTES: usize = 6;

/// Addresses that frames and ports use: twelve stations, and four that no station has.
pub fn mac(number: u8) -> MacAddr {
    MacAddr(match number & 15 {
        12 => [0xff; 6],
        13 => [0x01, 0x00, 0x5e, 0, 0, 1],
        14 => [0x01, 0x80, 0xc2, 0, 0, 0],
        15 => [0; 6],
        station => [0x02, 0xf0, 0, 0, 0, station],
    })
}

/// Reads a switch and the bytes of its ports. A tame one is bent into what its type allows.
pub fn switch_config(
    input: &mut Input<'_>,
    management_os: bool,
    is_wild: bool,
    to_uplink: bool,
    ty: u8,
) -> (SwitchConfig, Vec<[u8; PORT_BYTES]>) {
    let ty = match ty {
        1 => SwitchType::Internal,
        2 => SwitchType::Private,
        _ => SwitchType::External,
    };
    let (counts, fdb) = (input.u8(), input.u8());
    let external = ty == SwitchType::External;
    let mut config = SwitchConfig {
        ty,
        management_os: management_os && (is_wild || external),
        unknown_unicast: if to_uplink && (is_wild || external) {
            UnknownUnicast::Uplink
        } else {
            UnknownUnicast::Flood
        },
        fdb: FdbConfig {
            capacity: [65_536, 1, 2, 8, 64, 1024, 5, 0][usize::from(fdb & 7)],
            ageing_ms: [300_000, 1, 10, 1000][usize::from(fdb >> 3 & 3)],
        },
        ..SwitchConfig::default()
    };
    if !is_wild {
        config.fdb.capacity = config.fdb.capacity.max(1);
    }
    let mut ports = Vec::new();
    for id in 0..=counts & 7 {
        let mut bytes = [0; PORT_BYTES];
        bytes.fill_with(|| input.u8());
        if !is_wild && external && id == 0 {
            bytes[0] &= !3; // an external switch has a wire
        }
        config.ports.push(port_config(id, bytes, &config, is_wild));
        ports.push(bytes);
    }
    for _ in 0..counts >> 3 & 3 {
        let (sources, ends, snaplen) = (input.u8(), input.u8(), input.u16());
        let destination = PortId(if is_wild { ends >> 2 } else { (ends >> 2) % ports.len() as u8 });
        let sources = (0..8).filter(|port| sources >> port & 1 != 0).map(PortId);
        let fits = |port: &PortId| is_wild || (*port != destination && port.index() < ports.len());
        let session = MirrorSession {
            sources: sources.filter(fits).collect(),
            direction: match ends & 3 {
                0 => MirrorDirection::Ingress,
                1 => MirrorDirection::Egress,
                _ => MirrorDirection::Both,
            },
            destination,
            snaplen: match snaplen {
                0 => None,
                _ if is_wild => Some(u32::from(snaplen)),
                _ => Some(u32::from(snaplen).max(14)),
            },
        };
        if is_wild || !session.sources.is_empty() {
            config.mirrors.push(session);
        }
    }
    (config, ports)
}

fn port_config(
    id: u8,
    bytes: [u8; PORT_BYTES],
    switch: &SwitchConfig,
    is_wild: bool,
) -> PortConfig {
    let [flags, vlan, low, high, address, _] = bytes;
    let has = |bit: u8| flags & bit != 0;
    let access = || HostAccess::grant("the input");
    let host_fits = match switch.ty {
        SwitchType::Private => false,
        SwitchType::Internal => true,
        SwitchType::External => switch.management_os,
    };
    let role = match flags & 3 {
        0 if is_wild || switch.ty == SwitchType::External => PortRole::Wire,
        2 if is_wild || host_fits => PortRole::Host(access()),
        _ => PortRole::Guest,
    };
    let mut vid = u16::from(low) | u16::from(high) << 8;
    if !is_wild {
        vid = 1 + vid % 6;
    }
    let (mut port, name) = (PortConfig::guest(id, ""), format!("port{id}"));
    port.name = name;
    port.role = role;
    if flags & 3 == 3 && (is_wild || switch.ty != SwitchType::Private) {
        port.far_end = FarEnd::HostDevice(access());
    }
    let allowed = |vid: u16| -> VlanSet { [vid & 0xfff, 1, 3].into_iter().collect() };
    port.vlan = match vlan & 3 {
        0 => VlanMode::Access { pvid: vid },
        1 => VlanMode::Trunk { native: Some(vid), allowed: allowed(vid) },
        2 => VlanMode::Trunk { native: None, allowed: allowed(vid) },
        _ => VlanMode::trunk_all(),
    };
    port.tpid = Tpid::ALL[usize::from(vlan >> 2 & 3) % 3];
    port.keep_priority_tag = vlan & 0x10 != 0;
    if vlan & 0x20 != 0 {
        // tame: a station of its own, so that no two ports claim one
        let number = if is_wild { address & 15 } else { id };
        port.static_macs.push(mac(number));
    }
    port.learn_cap = (vlan & 0x40 != 0).then_some(u32::from(address >> 4 & 7));
    port.protected = has(8);
    port.learn = !has(16);
    port.mac_spoofing = !(has(32) && (is_wild || !port.static_macs.is_empty()));
    port.dhcp_guard = has(64);
    port.router_guard = has(128);
    port
}
