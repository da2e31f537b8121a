//! The table of scenes: what each makes, what that proves, what it needs.

use anyhow::Result;

use super::Desk;

pub(super) mod guest;
mod l2;
mod made;
mod morning;
pub(super) mod servers;
mod shapes;

/// Where the bytes of a capture come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// From real kernels and programs.
    Captured,
    /// Byte by byte.
    Generated,
}

impl Origin {
    /// The word in the README's table.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Captured => "captured",
            Self::Generated => "generated",
        }
    }
}

/// One capture that a scene makes.
#[derive(Debug)]
pub(super) struct Shot {
    /// File name in `pcaps/`.
    pub(super) file: &'static str,
    /// Captured or generated.
    pub(super) origin: Origin,
    /// What a test or a lesson can show with it; one cell of a table.
    pub(super) proves: &'static str,
}

/// A set-up and what happens in it.
#[derive(Debug)]
pub(super) struct Scene {
    /// Argument of `cargo xtask lab`.
    pub(super) name: &'static str,
    /// How it is set, in one or two sentences for the README.
    pub(super) set: &'static str,
    /// Programs it needs beyond [`BASE`], and the Debian package of each.
    pub(super) tools: &'static [(&'static str, &'static str)],
    /// Whether it boots Debian's kernel under QEMU.
    pub(super) guest_kernel: bool,
    /// The captures it leaves on its desk.
    pub(super) shots: &'static [Shot],
    /// Plays it.
    pub(super) play: fn(&Desk) -> Result<()>,
}

/// What every scene needs.
pub(super) const BASE: &[(&str, &str)] = &[
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("tcpdump", "tcpdump"),
    ("ethtool", "ethtool"),
    ("sysctl", "procps"),
    ("ping", "iputils-ping"),
];

const fn made(file: &'static str, proves: &'static str) -> Shot {
    Shot { file, origin: Origin::Generated, proves }
}

const fn shot(file: &'static str, proves: &'static str) -> Shot {
    Shot { file, origin: Origin::Captured, proves }
}

/// All scenes, in the order of the README.
pub(super) const SCENES: &[Scene] = &[
    Scene {
        name: "morning",
        set: morning::SET,
        tools: morning::TOOLS,
        guest_kernel: false,
        shots: &[shot(
            "practice.pcapng",
            "a small practice's morning on one mirror port: every kind of traffic that the first \
             lesson names, each frame once, with comments",
        )],
        play: morning::play,
    },
    Scene {
        name: "ping",
        set: "two namespaces on one veth cable, offloads off; ping of 56 and 1,400 bytes",
        tools: &[],
        guest_kernel: false,
        shots: &[shot("ping.pcap", "ARP, then ICMP echo and reply; the shortest whole story")],
        play: servers::ping,
    },
    Scene {
        name: "dns",
        set: "dig asks dnsmasq for A, AAAA, MX, TXT, PTR, a name that does not exist, and one \
              whose answer does not fit into 512 bytes",
        tools: &[("dnsmasq", "dnsmasq-base"), ("dig", "bind9-dnsutils")],
        guest_kernel: false,
        shots: &[shot(
            "dns.pcap",
            "DNS over UDP with all common types, NXDOMAIN, a truncated answer asked again over TCP",
        )],
        play: servers::dns,
    },
    Scene {
        name: "http",
        set: "curl fetches a page and a picture from python3's http.server, a page that is not \
              there, and a page over TLS 1.3 from `openssl s_server`",
        tools: &[("curl", "curl"), ("python3", "python3"), ("openssl", "openssl")],
        guest_kernel: false,
        shots: &[
            shot("http.pcap", "TCP open, data in many segments, close; HTTP 200 and 404"),
            shot("https.pcap", "TLS 1.3 over TCP: SNI readable, the rest not"),
        ],
        play: servers::http,
    },
    Scene {
        name: "ssh",
        set: "OpenSSH client and server with keys made for this one run",
        tools: &[("sshd", "openssh-server"), ("ssh", "openssh-client")],
        guest_kernel: false,
        shots: &[shot("ssh.pcap", "SSH: banners, key exchange, a command, close")],
        play: servers::ssh,
    },
    Scene {
        name: "dhcp",
        set: "udhcpc asks dnsmasq for an address, and gives it back",
        tools: &[("dnsmasq", "dnsmasq-base"), ("udhcpc", "udhcpc")],
        guest_kernel: false,
        shots: &[shot(
            "dhcp.pcap",
            "DHCP discover, offer, request, acknowledge, release; broadcast from 0.0.0.0",
        )],
        play: servers::dhcp,
    },
    Scene {
        name: "arp",
        set: "busybox arping and ping on one veth cable; frames are captured at the sender, so \
              they have the 42 bytes that the kernel wrote and no padding to 60",
        tools: &[("busybox", "busybox")],
        guest_kernel: false,
        shots: &[shot(
            "arp.pcap",
            "ARP probe, announcement, answer, and a question that nobody answers; 42-byte frames",
        )],
        play: l2::arp,
    },
    Scene {
        name: "nd",
        set: "a host's device comes up beside a router (dnsmasq); IPv6 only",
        tools: &[("dnsmasq", "dnsmasq-base")],
        guest_kernel: false,
        shots: &[shot(
            "nd.pcap",
            "IPv6 neighbour discovery, duplicate address detection, router solicitation and \
             advertisement, MLDv2 with a hop-by-hop header",
        )],
        play: l2::nd,
    },
    Scene {
        name: "jumbo",
        set: "one veth cable with an MTU of 9,000, offloads off; ping and an HTTP transfer",
        tools: &[("curl", "curl"), ("python3", "python3")],
        guest_kernel: false,
        shots: &[shot("jumbo.pcap", "frames of 9,014 bytes that are real frames, kept whole")],
        play: shapes::jumbo,
    },
    Scene {
        name: "fragments",
        set: "ping of 4,000 bytes and a UDP datagram of 5,000 over an MTU of 1,500, offloads off",
        tools: &[("socat", "socat")],
        guest_kernel: false,
        shots: &[
            shot("fragments-ipv4.pcap", "IPv4 fragments: ports only in the first of each datagram"),
            shot("fragments-ipv6.pcap", "IPv6 fragment headers, for ICMPv6 and for UDP"),
        ],
        play: shapes::fragments,
    },
    Scene {
        name: "gso",
        set: "100 kB over HTTP, captured at the sender: once with veth's offloads as they are by \
              default, once with all of them off",
        tools: &[("curl", "curl"), ("python3", "python3")],
        guest_kernel: false,
        shots: &[
            shot(
                "gso-on.pcap",
                "super-frames of ten thousand bytes and more: never one frame on a wire",
            ),
            shot("gso-off.pcap", "the same transfer in frames of 1,514 bytes"),
        ],
        play: shapes::gso,
    },
    Scene {
        name: "tx-checksum",
        set: "a lookup over UDP and over TCP, captured at the sender with checksum offload on",
        tools: &[("dnsmasq", "dnsmasq-base"), ("dig", "bind9-dnsutils")],
        guest_kernel: false,
        shots: &[shot(
            "tx-checksum.pcap",
            "UDP and TCP checksums that are wrong because the sender left them to the NIC",
        )],
        play: shapes::tx_checksum,
    },
    Scene {
        name: "stp",
        set: "two kernel bridges with two cables between them, captured at the port that spanning \
              tree blocks, with a host behind the second; after 7 s the other cable is cut",
        tools: &[],
        guest_kernel: false,
        shots: &[shot("stp.pcap", "802.3 length instead of a type, LLC, BPDUs, topology change")],
        play: l2::stp,
    },
    Scene {
        name: "igmp",
        set: "a host joins and leaves a group with IGMPv2 and IGMPv3, a datagram is sent to the \
              group, a kernel bridge asks who listens",
        tools: &[("socat", "socat")],
        guest_kernel: false,
        shots: &[shot(
            "igmp.pcap",
            "IGMP reports, leaves and queries with the IP router-alert option; multicast MACs",
        )],
        play: l2::igmp,
    },
    Scene {
        name: "vxlan",
        set: "the kernel's vxlan device, VNI 42, captured on the cable below it",
        tools: &[("socat", "socat")],
        guest_kernel: false,
        shots: &[shot(
            "vxlan.pcap",
            "Ethernet in UDP without checksum: ARP, IPv4, IPv6 and TCP inside VXLAN",
        )],
        play: l2::vxlan,
    },
    Scene {
        name: "guest",
        set: guest::SET,
        tools: guest::TOOLS,
        guest_kernel: true,
        shots: &[
            shot("vlan.pcap", "802.1Q: untagged, VLAN 10, VLAN 20 with priority 5, TCP in a VLAN"),
            shot("qinq.pcap", "802.1ad outside with 802.1Q inside, and 802.1Q twice"),
            shot("gre.pcap", "GRE with IP inside (key, checksum), GRE with Ethernet inside"),
            shot("erspan.pcap", "ERSPAN types II and III over GRE"),
            shot("ipip.pcap", "IPv4 in IPv4, IPv6 in IPv4, IPv4 and IPv6 in IPv6, GRE in IPv6"),
            shot("geneve.pcap", "Ethernet in Geneve"),
            shot("mpls.pcap", "a stack of two MPLS labels over IPv4"),
            shot("pppoe.pcap", "PPPoE discovery and session, LCP, IPCP, ping inside, end"),
            shot("l2tp.pcap", "Ethernet in L2TPv3, over UDP and over IP"),
            shot("sctp.pcap", "an SCTP association with data"),
        ],
        play: guest::play,
    },
    Scene {
        name: "cooked",
        set: "tcpdump on `any` with either cooked header, and on a tun device that socat serves",
        tools: &[("socat", "socat")],
        guest_kernel: false,
        shots: &[
            shot("sll.pcap", "link type LINUX_SLL (113): no Ethernet header, loopback among it"),
            shot("sll2.pcap", "link type LINUX_SLL2 (276): the same with interface numbers"),
            shot("raw-ip.pcap", "link type RAW (101): frames that begin with the IP header"),
        ],
        play: shapes::cooked,
    },
    Scene {
        name: "made",
        set: made::SET,
        tools: &[],
        guest_kernel: false,
        shots: &[
            made(
                "made-tunnels.pcap",
                "GTP-U, Teredo, L2TPv2 with PPP, PBB with and without B-TAG, LLC/SNAP with IP",
            ),
            made(
                "made-linktypes.pcapng",
                "fourteen link types in one file, each on its own interface",
            ),
        ],
        play: made::play,
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_scene_and_capture_has_a_name_of_its_own() {
        let files: Vec<&str> = SCENES.iter().flat_map(|s| s.shots).map(|shot| shot.file).collect();
        let names: BTreeSet<&str> = SCENES.iter().map(|scene| scene.name).collect();
        assert_eq!(names.len(), SCENES.len());
        assert_eq!(files.iter().collect::<BTreeSet<_>>().len(), files.len());
    }

    #[test]
    fn every_cable_of_the_guest_is_a_capture_of_its_scene() {
        let scene = SCENES.iter().find(|scene| scene.guest_kernel).expect("a guest scene");
        let shots: Vec<&str> = scene.shots.iter().map(|shot| shot.file).collect();
        assert_eq!(shots, guest::files().collect::<Vec<_>>());
    }

    #[test]
    fn labels_fit_into_a_cell_of_a_table() {
        for shot in SCENES.iter().flat_map(|scene| scene.shots) {
            assert!(!shot.proves.contains(['|', '\n']), "{}: {}", shot.file, shot.proves);
        }
    }
}
