//! A cable made of two new devices: a veth pair (veth(4)), by rtnetlink, in the network namespace
//! of the calling thread. For measuring in a namespace of one's own, which takes it away again.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::link::{self, Link, LinkError};

/// Makes the devices `a` and `b`, joined, with that MTU (largest IP packet, bytes), and switches
/// both on.
///
/// # Errors
/// Where the kernel refuses: without `CAP_NET_ADMIN`, or when a device of such a name exists.
pub fn make(a: &str, b: &str, mtu: u32) -> Result<[Link; 2], LinkError> {
    pair(a, b, mtu, None)?;
    Ok([switch_on(a)?, switch_on(b)?])
}

/// The same with `b` in another network namespace; neither is switched on.
///
/// # Errors
/// As for [`make`].
pub fn make_between(a: &str, b: &str, mtu: u32, there: BorrowedFd<'_>) -> Result<(), LinkError> {
    pair(a, b, mtu, Some(there))
}

/// Switches a device on.
///
/// # Errors
/// There is none of that name, or the kernel refuses.
pub fn switch_on(name: &str) -> Result<Link, LinkError> {
    let mut up = LinkMessage::default();
    up.header.index = link::by_name(name)?.index;
    up.header.flags = LinkFlags::Up;
    up.header.change_mask = LinkFlags::Up;
    ask(RouteNetlinkMessage::SetLink(up), 0, "switch a device on")?;
    link::by_name(name)
}

/// Gives the kernel's stack an address at a device, on a network of so many bits.
///
/// # Errors
/// There is none of that name, or the kernel refuses.
pub fn give_address(name: &str, address: Ipv4Addr, bits: u8) -> Result<(), LinkError> {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = bits;
    message.header.index = link::by_name(name)?.index;
    let of = [AddressAttribute::Local, AddressAttribute::Address];
    message.attributes = of.map(|attribute| attribute(address.into())).into();
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    ask(RouteNetlinkMessage::NewAddress(message), flags, "give a device an address")
}

fn pair(a: &str, b: &str, mtu: u32, there: Option<BorrowedFd<'_>>) -> Result<(), LinkError> {
    let named = |name: &str| {
        vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Mtu(mtu),
            // one queue each: what is sent by it arrives by it
            LinkAttribute::NumTxQueues(1),
            LinkAttribute::NumRxQueues(1),
        ]
    };
    let mut peer = LinkMessage::default();
    peer.attributes = named(b);
    peer.attributes.extend(there.map(|there| LinkAttribute::NetNsFd(there.as_raw_fd())));
    let mut pair = LinkMessage::default();
    pair.attributes = named(a);
    pair.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    ask(RouteNetlinkMessage::NewLink(pair), NLM_F_CREATE | NLM_F_EXCL, "make a pair of devices")
}

/// Sends one request and waits for the kernel's answer to it.
fn ask(request: RouteNetlinkMessage, flags: u16, operation: &'static str) -> Result<(), LinkError> {
    let io = |source| LinkError::Io { operation, source };
    let mut socket = Socket::new(NETLINK_ROUTE).map_err(io)?;
    socket.bind_auto().map_err(io)?;
    socket.connect(&SocketAddr::new(0, 0)).map_err(io)?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0).map_err(io)?;
    let (answer, _) = socket.recv_from_full().map_err(io)?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
        .map_err(|error| LinkError::Answer(error.to_string()))?;
    match answer.payload {
        NetlinkPayload::Error(error) if error.code.is_some() => Err(io(error.to_io())),
        NetlinkPayload::Error(_) => Ok(()),
        _ => Err(LinkError::Answer(format!("no acknowledgement to: {operation}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    #[ignore = "privileged: makes devices in two network namespaces of its own"]
    fn privileged_a_cable_reaches_into_another_namespace_and_its_ends_have_addresses() {
        let hold = || File::open("/proc/thread-self/ns/net").unwrap();
        fn enter(place: &File) {
            nix::sched::setns(place, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        }
        let _far = testkit::net::Lab::new();
        let far = hold();
        let _near = testkit::net::Lab::new();
        let near = hold();
        make_between("near", "far", 9000, far.as_fd()).unwrap();
        assert!(link::by_name("far").is_err(), "it is there");
        for (place, name, last) in [(&far, "far", 2), (&near, "near", 1)] {
            enter(place);
            let link = switch_on(name).unwrap();
            assert_eq!((link.mtu, link.up), (9000, true));
            give_address(name, Ipv4Addr::new(198, 18, 0, last), 24).unwrap();
        }
        let listener = std::thread::spawn(move || {
            enter(&far);
            std::net::TcpListener::bind("198.18.0.2:9").unwrap()
        });
        let _listener = listener.join().unwrap();
        std::net::TcpStream::connect("198.18.0.2:9").unwrap();
        let error = give_address("near", Ipv4Addr::new(198, 18, 0, 1), 24).unwrap_err();
        assert!(error.to_string().contains("give a device an address"), "{error}");
    }

    #[test]
    #[ignore = "privileged: makes devices in a network namespace of its own"]
    fn privileged_a_cable_is_two_devices_that_are_on_and_what_is_taken_is_refused() {
        let _lab = testkit::net::Lab::new();
        let [near, far] = make("near", "far", 1500).unwrap();
        for link in [&near, &far] {
            assert_eq!((link.mtu, link.up, link.kind.as_deref()), (1500, true, Some("veth")));
        }
        assert!(link::by_name("near").unwrap().carrier, "both are on");
        let error = make("near", "other", 1500).unwrap_err();
        let LinkError::Io { operation, source } = error else { panic!("{error}") };
        assert_eq!(operation, "make a pair of devices");
        assert_eq!(source.kind(), std::io::ErrorKind::AlreadyExists);
        assert!(link::by_name("other").is_err());
    }
}
