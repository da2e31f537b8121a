//! The kernel's network devices, as rtnetlink tells them (rtnetlink(7)): in the namespace of the
//! calling thread, where `/sys/class/net` shows that of whoever mounted it.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage, State, Stats64};
use netlink_packet_route::route::{RouteAttribute, RouteMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use skb::MacAddr;

/// A network device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// `ifindex`: stays when the device is renamed.
    pub index: u32,
    /// Its name now.
    pub name: String,
    /// `ARPHRD_*` of `linux/if_arp.h`: 1 is Ethernet, 772 the loopback device.
    pub hardware: u16,
    /// Largest IP packet, bytes.
    pub mtu: u32,
    /// Its own address, of an Ethernet device.
    pub mac: Option<MacAddr>,
    /// `IFF_UP`: switched on by the administrator.
    pub up: bool,
    /// A carrier was found (`IFF_LOWER_UP`).
    pub carrier: bool,
    /// How many have asked for promiscuous mode.
    pub promiscuity: u32,
    /// What the kernel calls its driver class: `veth`, `tun`, `bridge`; none for most hardware.
    pub kind: Option<String>,
    /// The bridge, bond or team it belongs to, by index.
    pub controller: Option<u32>,
    /// Its counters.
    pub counters: LinkCounters,
}

/// `rtnl_link_stats64` of `linux/if_link.h`: what the device itself has counted since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkCounters {
    /// Frames it took in.
    pub rx_packets: u64,
    /// Frames it sent.
    pub tx_packets: u64,
    /// Bytes it took in.
    pub rx_bytes: u64,
    /// Bytes it sent.
    pub tx_bytes: u64,
    /// Frames thrown away for want of room in the kernel.
    pub rx_dropped: u64,
    /// Frames the device had no room for: missed, overrun or in a full FIFO.
    pub rx_missed: u64,
    /// Frames received damaged.
    pub rx_errors: u64,
    /// Frames not sent for want of room.
    pub tx_dropped: u64,
}

impl LinkCounters {
    fn of(s: &Stats64) -> Self {
        Self {
            rx_packets: s.rx_packets,
            tx_packets: s.tx_packets,
            rx_bytes: s.rx_bytes,
            tx_bytes: s.tx_bytes,
            rx_dropped: s.rx_dropped,
            rx_missed: s.rx_missed_errors.max(s.rx_over_errors).max(s.rx_fifo_errors),
            rx_errors: s.rx_errors,
            tx_dropped: s.tx_dropped,
        }
    }

    /// What was counted after `before`; a device made anew counts from 0.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let d = |now: u64, then: u64| now.checked_sub(then).unwrap_or(now);
        Self {
            rx_packets: d(self.rx_packets, before.rx_packets),
            tx_packets: d(self.tx_packets, before.tx_packets),
            rx_bytes: d(self.rx_bytes, before.rx_bytes),
            tx_bytes: d(self.tx_bytes, before.tx_bytes),
            rx_dropped: d(self.rx_dropped, before.rx_dropped),
            rx_missed: d(self.rx_missed, before.rx_missed),
            rx_errors: d(self.rx_errors, before.rx_errors),
            tx_dropped: d(self.tx_dropped, before.tx_dropped),
        }
    }
}

/// Why the kernel did not tell.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// No device has that name; the text lists those there are.
    #[error("there is no network interface `{name}`; there are: {}", there_are.join(", "))]
    NoSuchLink {
        /// What was asked for.
        name: String,
        /// The names of all devices.
        there_are: Vec<String>,
    },
    /// The rtnetlink socket failed.
    #[error("rtnetlink: {operation}")]
    Io {
        /// What was done.
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel's answer could not be read.
    #[error("rtnetlink: an answer that cannot be read: {0}")]
    Answer(String),
}

/// All devices of this thread's network namespace.
pub fn all() -> Result<Vec<Link>, LinkError> {
    let answers = dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    Ok(answers
        .into_iter()
        .filter_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(message) => Some(link(message)),
            _ => None,
        })
        .collect())
}

/// The device called `name`.
pub fn by_name(name: &str) -> Result<Link, LinkError> {
    let all = all()?;
    match all.iter().find(|link| link.name == name) {
        Some(link) => Ok(link.clone()),
        None => Err(LinkError::NoSuchLink {
            name: name.to_owned(),
            there_are: all.into_iter().map(|link| link.name).collect(),
        }),
    }
}

/// The device with that `ifindex`, if it is still there.
pub fn by_index(index: u32) -> Result<Option<Link>, LinkError> {
    Ok(all()?.into_iter().find(|link| link.index == index))
}

/// The IP addresses of a device, link-local ones of IPv6 included.
pub fn addresses(index: u32) -> Result<Vec<IpAddr>, LinkError> {
    let answers = dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
    let mut found = Vec::new();
    for answer in answers {
        let RouteNetlinkMessage::NewAddress(message) = answer else { continue };
        if message.header.index != index {
            continue;
        }
        found.extend(message.attributes.into_iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(address),
            _ => None,
        }));
    }
    Ok(found)
}

/// Whether a default route leaves by the device.
pub fn has_default_route(index: u32) -> Result<bool, LinkError> {
    let answers = dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()))?;
    Ok(answers.into_iter().any(|answer| match answer {
        RouteNetlinkMessage::NewRoute(route) => {
            route.header.destination_prefix_length == 0
                && route.attributes.contains(&RouteAttribute::Oif(index))
        }
        _ => false,
    }))
}

fn link(message: LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        hardware: u16::from(message.header.link_layer_type),
        mtu: 0,
        mac: None,
        up: message.header.flags.contains(LinkFlags::Up),
        carrier: message.header.flags.contains(LinkFlags::LowerUp),
        promiscuity: 0,
        kind: None,
        controller: None,
        counters: LinkCounters::default(),
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Address(bytes) if bytes.len() == 6 => {
                link.mac = Some(MacAddr::from_slice(&bytes));
            }
            LinkAttribute::Promiscuity(count) => link.promiscuity = count,
            LinkAttribute::Controller(index) => link.controller = Some(index),
            LinkAttribute::Stats64(stats) => link.counters = LinkCounters::of(&stats),
            LinkAttribute::OperState(State::Down) => link.carrier = false,
            LinkAttribute::LinkInfo(infos) => {
                link.kind = infos.into_iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    link
}

/// Asks for everything of one kind.
fn dump(request: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>, LinkError> {
    let io = |operation| move |source| LinkError::Io { operation, source };
    let mut socket = Socket::new(NETLINK_ROUTE).map_err(io("cannot open a socket"))?;
    socket.bind_auto().map_err(io("cannot bind the socket"))?;
    socket.connect(&SocketAddr::new(0, 0)).map_err(io("cannot reach the kernel"))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_DUMP | NLM_F_REQUEST;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0).map_err(io("cannot send a request"))?;
    let mut answers = Vec::new();
    loop {
        let (bytes, _) = socket.recv_from_full().map_err(io("cannot read an answer"))?;
        let mut rest = &bytes[..];
        while rest.len() >= 16 {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(|error| LinkError::Answer(error.to_string()))?;
            let step = (message.header.length as usize).next_multiple_of(4);
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(answers),
                NetlinkPayload::InnerMessage(inner) => answers.push(inner),
                NetlinkPayload::Error(error) => {
                    return Err(LinkError::Io { operation: "refused", source: error.to_io() });
                }
                _ => {}
            }
            if step == 0 || step >= rest.len() {
                break;
            }
            rest = &rest[step..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_device_is_there_and_unknown_names_are_answered_with_the_known() {
        let all = all().unwrap();
        let lo = all.iter().find(|link| link.name == "lo").unwrap();
        assert_eq!(
            (lo.hardware, by_index(lo.index).unwrap().map(|l| l.name)),
            (772, Some("lo".into()))
        );
        let error = by_name("no-such-device").unwrap_err().to_string();
        assert!(error.contains("no-such-device") && error.contains("lo"), "{error}");
        assert!(!has_default_route(lo.index).unwrap());
    }

    #[test]
    #[ignore = "privileged: makes devices in a network namespace of its own"]
    fn privileged_a_cable_is_two_links_with_counters_addresses_and_routes() {
        let lab = testkit::net::Lab::new();
        lab.cable("left", "right", 9000);
        let (left, right) = (by_name("left").unwrap(), by_name("right").unwrap());
        assert_eq!((left.mtu, left.hardware, left.kind.as_deref()), (9000, 1, Some("veth")));
        assert!(left.up && left.carrier && left.mac.is_some() && left.mac != right.mac);
        assert!(addresses(left.index).unwrap().is_empty());
        lab.ip(&["address", "add", "192.0.2.1/24", "dev", "left"]);
        assert_eq!(addresses(left.index).unwrap(), ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert!(!has_default_route(left.index).unwrap());
        lab.ip(&["route", "add", "default", "via", "192.0.2.2"]);
        assert!(has_default_route(left.index).unwrap() && !has_default_route(right.index).unwrap());
        lab.ip(&["link", "set", "left", "down"]);
        assert!(!by_name("left").unwrap().up && !by_name("right").unwrap().carrier);
        lab.ip(&["link", "delete", "left"]);
        assert_eq!(by_index(right.index).unwrap(), None);
    }
}
