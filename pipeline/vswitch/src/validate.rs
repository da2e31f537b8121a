//! Whether a configuration makes sense, and if not, what exactly does not.

use crate::config::{PortConfig, PortRole, SwitchConfig, SwitchType, UnknownUnicast};
use crate::fdb::FdbError;
use crate::vlan::{VID_MAX, VID_MIN, VlanMode};
use skb::{MacAddr, PORTS_MAX, PortId, PortSet};

/// A configuration that makes no switch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Fewer than one port.
    #[error("the switch has no ports")]
    NoPorts,
    /// A port number past the word that sets of ports are kept in.
    #[error("{port} ({name}): port numbers are 0 to {}", PORTS_MAX - 1)]
    PortNumber {
        /// The port.
        port: PortId,
        /// Its name.
        name: String,
    },
    /// A number used twice.
    #[error("{port} is configured twice, as {first} and as {second}")]
    DuplicatePort {
        /// The port.
        port: PortId,
        /// One name.
        first: String,
        /// The other name.
        second: String,
    },
    /// A role that the switch type excludes.
    #[error("{port} ({name}) is a {role} port: {expected}")]
    Role {
        /// The port.
        port: PortId,
        /// Its name.
        name: String,
        /// What it is.
        role: &'static str,
        /// What the type allows.
        expected: &'static str,
    },
    /// A device in the host's namespace on a private switch.
    #[error(
        "{port} ({name}) ends in a device in the host's network namespace: a private switch has \
         no host edge; move the device to another namespace or make the switch internal"
    )]
    PrivateHostEdge {
        /// The port.
        port: PortId,
        /// Its name.
        name: String,
    },
    /// An external switch without a wire.
    #[error("an external switch needs at least one wire port")]
    NoWire,
    /// `management_os` on a switch that is not external.
    #[error("management_os is a setting of external switches; this one is {ty:?}")]
    ManagementOs {
        /// The type.
        ty: SwitchType,
    },
    /// Unknown unicast to an uplink that cannot be.
    #[error("unknown unicast to the uplink: only an external switch has one, this one is {ty:?}")]
    NoUplink {
        /// The type.
        ty: SwitchType,
    },
    /// A VLAN id outside 1 to 4094.
    #[error("{port} ({name}): VLAN {vid}: expected {VID_MIN} to {VID_MAX}")]
    Vid {
        /// The port.
        port: PortId,
        /// Its name.
        name: String,
        /// As configured.
        vid: u16,
    },
    /// A trunk that lets nothing through.
    #[error("{port} ({name}): the trunk allows no VLAN and has no native one")]
    EmptyTrunk {
        /// The port.
        port: PortId,
        /// Its name.
        name: String,
    },
    /// A static address that no station can have.
    #[error("{port} ({name}): {mac} is a group address or zero: no station sends from it")]
    StaticMac {
        /// The port.
        port: PortId,
        /// Its name.
        name: String,
        /// As configured.
        mac: MacAddr,
    },
    /// A guard that would drop everything.
    #[error("{port} ({name}): mac_spoofing = false needs static_macs: no address could send")]
    NoStaticMacs {
        /// The port.
        port: PortId,
        /// Its name.
        name: String,
    },
    /// A mirror session that names a port the switch does not have.
    #[error("mirror session {session}: the switch has no {port}")]
    MirrorPort {
        /// Which session, from 0.
        session: usize,
        /// The port.
        port: PortId,
    },
    /// A mirror session that watches its own destination, or nothing.
    #[error("mirror session {session}: {what}")]
    Mirror {
        /// Which session, from 0.
        session: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The forwarding database.
    #[error(transparent)]
    Fdb(#[from] FdbError),
}

/// Checks everything that does not need the tables.
pub(crate) fn check(config: &SwitchConfig) -> Result<(), ConfigError> {
    let SwitchConfig { ty, management_os, ports, unknown_unicast, .. } = config;
    if ports.is_empty() {
        return Err(ConfigError::NoPorts);
    }
    if *management_os && *ty != SwitchType::External {
        return Err(ConfigError::ManagementOs { ty: *ty });
    }
    if *unknown_unicast == UnknownUnicast::Uplink && *ty != SwitchType::External {
        return Err(ConfigError::NoUplink { ty: *ty });
    }
    let mut seen: Vec<&PortConfig> = Vec::new();
    for port in ports {
        if let Some(first) = seen.iter().find(|other| other.id == port.id) {
            return Err(ConfigError::DuplicatePort {
                port: port.id,
                first: first.name.clone(),
                second: port.name.clone(),
            });
        }
        seen.push(port);
        check_port(config, port)?;
    }
    if *ty == SwitchType::External && !ports.iter().any(|p| p.role == PortRole::Wire) {
        return Err(ConfigError::NoWire);
    }
    check_mirrors(config)
}

fn check_port(config: &SwitchConfig, config_port: &PortConfig) -> Result<(), ConfigError> {
    let PortConfig { id: port, name, .. } = config_port;
    let (port, name) = (*port, name.clone());
    if port.index() >= PORTS_MAX {
        return Err(ConfigError::PortNumber { port, name });
    }
    let expected = match (config.ty, &config_port.role) {
        (_, PortRole::Guest)
        | (SwitchType::External, PortRole::Wire)
        | (SwitchType::Internal, PortRole::Host(_)) => None,
        (SwitchType::External, PortRole::Host(_)) if config.management_os => None,
        (SwitchType::External, PortRole::Host(_)) => {
            Some("an external switch has the host on it only with management_os = true")
        }
        (SwitchType::Internal, PortRole::Wire) => {
            Some("an internal switch has guests and the host, no wire")
        }
        (SwitchType::Private, _) => Some("a private switch has guests only"),
    };
    if let Some(expected) = expected {
        let role = config_port.role.name();
        return Err(ConfigError::Role { port, name, role, expected });
    }
    if config.ty == SwitchType::Private && config_port.host_edge().is_some() {
        return Err(ConfigError::PrivateHostEdge { port, name });
    }
    check_vlan(config_port)?;
    if let Some(&mac) = config_port.static_macs.iter().find(|mac| !mac.is_valid_source()) {
        return Err(ConfigError::StaticMac { port, name, mac });
    }
    if !config_port.mac_spoofing && config_port.static_macs.is_empty() {
        return Err(ConfigError::NoStaticMacs { port, name });
    }
    Ok(())
}

fn check_vlan(port: &PortConfig) -> Result<(), ConfigError> {
    let valid = VID_MIN..=VID_MAX;
    let bad = match &port.vlan {
        VlanMode::Access { pvid } => Some(*pvid).filter(|vid| !valid.contains(vid)),
        VlanMode::Trunk { native: None, allowed } if allowed.is_empty() => {
            return Err(ConfigError::EmptyTrunk { port: port.id, name: port.name.clone() });
        }
        VlanMode::Trunk { native, allowed } => {
            native.iter().copied().chain(allowed.iter()).find(|vid| !valid.contains(vid))
        }
    };
    match bad {
        Some(vid) => Err(ConfigError::Vid { port: port.id, name: port.name.clone(), vid }),
        None => Ok(()),
    }
}

fn check_mirrors(config: &SwitchConfig) -> Result<(), ConfigError> {
    let exists = |port: PortId| config.ports.iter().any(|p| p.id == port);
    for (session, mirror) in config.mirrors.iter().enumerate() {
        let named = mirror.sources.iter().chain([&mirror.destination]);
        if let Some(&port) = named.copied().find(|&port| !exists(port)).as_ref() {
            return Err(ConfigError::MirrorPort { session, port });
        }
        let sources: PortSet = mirror.sources.iter().copied().collect();
        if sources.is_empty() {
            return Err(ConfigError::Mirror { session, what: "it has no sources" });
        }
        if sources.contains(mirror.destination) {
            let what = "its destination is one of its sources";
            return Err(ConfigError::Mirror { session, what });
        }
        if mirror.snaplen.is_some_and(|snaplen| snaplen < 14) {
            let what = "a snaplen below the 14 bytes of an Ethernet header";
            return Err(ConfigError::Mirror { session, what });
        }
    }
    Ok(())
}
