//! Numbers to names.

/// `EtherType`s that people meet (IEEE registration authority).
pub fn ethertype(ty: u16) -> Option<&'static str> {
    Some(match ty {
        0x0800 => "IPv4",
        0x0806 => "ARP",
        0x0842 => "Wake-on-LAN",
        0x2000 => "CDP",
        0x6558 => "Ethernet",
        0x8035 => "RARP",
        0x8100 => "VLAN tag",
        0x8137 => "IPX",
        0x86dd => "IPv6",
        0x8808 => "flow control",
        0x8809 => "LACP and other slow protocols",
        0x8847 | 0x8848 => "MPLS",
        0x8863 => "PPPoE discovery",
        0x8864 => "PPPoE session",
        0x888e => "802.1X login",
        0x88a8 => "outer VLAN tag",
        0x88cc => "LLDP",
        0x88e5 => "MACsec",
        0x88e7 => "backbone tag",
        0x88f7 => "PTP clock",
        _ => return None,
    })
}

/// Protocol numbers (IANA).
pub fn ip_proto(proto: u8) -> Option<&'static str> {
    Some(match proto {
        0 => "hop-by-hop options",
        1 => "ICMP",
        2 => "IGMP",
        4 => "IPv4",
        6 => "TCP",
        17 => "UDP",
        41 => "IPv6",
        43 => "routing",
        44 => "fragment",
        47 => "GRE",
        50 => "ESP",
        51 => "AH",
        58 => "ICMPv6",
        60 => "destination options",
        89 => "OSPF",
        103 => "PIM",
        112 => "VRRP",
        115 => "L2TP",
        132 => "SCTP",
        136 => "UDP-Lite",
        _ => return None,
    })
}

/// ICMP types (IANA).
pub(super) fn icmp(ty: u8) -> Option<&'static str> {
    Some(match ty {
        0 => "echo reply (answer to a ping)",
        3 => "destination unreachable",
        5 => "redirect: use another router",
        8 => "echo request (ping)",
        9 => "router advertisement",
        10 => "router solicitation",
        11 => "time exceeded: too many hops",
        12 => "parameter problem",
        13 => "timestamp request",
        14 => "timestamp reply",
        _ => return None,
    })
}

/// `ICMPv6` types (IANA).
pub(super) fn icmpv6(ty: u8) -> Option<&'static str> {
    Some(match ty {
        1 => "destination unreachable",
        2 => "packet too big",
        3 => "time exceeded: too many hops",
        4 => "parameter problem",
        128 => "echo request (ping)",
        129 => "echo reply (answer to a ping)",
        130 => "multicast listener query",
        131 | 143 => "multicast listener report",
        132 => "multicast listener done",
        133 => "router solicitation: who is the router?",
        134 => "router advertisement: I am a router",
        135 => "neighbour solicitation: who has this address?",
        136 => "neighbour advertisement: I have this address",
        137 => "redirect: use another router",
        _ => return None,
    })
}

/// IGMP types (IANA).
pub(super) fn igmp(ty: u8) -> &'static str {
    match ty {
        0x11 => "membership query",
        0x12 | 0x16 => "joins group",
        0x17 => "leaves group",
        0x22 => "membership report",
        _ => "message",
    }
}
