//! A cable made of two new devices: a veth pair (veth(4)), by rtnetlink, in the network namespace
//! of the calling thread. For measuring in a namespace of one's own, which takes it away again.

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::link::{self, Link, LinkError};

/// Makes the devices `a` and `b`, joined, with that MTU (largest IP packet, bytes), and switches
/// both on.
///
/// # Errors
/// Where the kernel refuses: without `CAP_NET_ADMIN`, or when a device of such a name exists.
pub fn make(a: &str, b: &str, mtu: u32) -> Result<[Link; 2], LinkError> {
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
    let mut pair = LinkMessage::default();
    pair.attributes = named(a);
    pair.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    ask(RouteNetlinkMessage::NewLink(pair), NLM_F_CREATE | NLM_F_EXCL, "make a pair of devices")?;
    for name in [a, b] {
        let mut up = LinkMessage::default();
        up.header.index = link::by_name(name)?.index;
        up.header.flags = LinkFlags::Up;
        up.header.change_mask = LinkFlags::Up;
        ask(RouteNetlinkMessage::SetLink(up), 0, "switch a device on")?;
    }
    Ok([link::by_name(a)?, link::by_name(b)?])
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
    use super::*;

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
