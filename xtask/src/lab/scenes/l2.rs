//! What hosts and switches say to each other below IP, or to find each other.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::servers;
use crate::lab::Desk;
use crate::lab::ns::{End, Ns, Pair, cable};

/// ARP: probe, announcement, an answer, nobody.
pub(super) fn arp(desk: &Desk) -> Result<()> {
    let pair = Pair::wire()?;
    let dump = pair.a.dump("eth0", &desk.out("arp.pcap"), "")?;
    pair.a.attempt("busybox arping -D -c 1 -w 1 -I eth0 192.0.2.1")?; // is it free? (RFC 5227)
    pair.a.attempt("busybox arping -U -c 1 -w 1 -I eth0 192.0.2.1")?; // it is mine
    pair.a.run("ping -n -c 1 192.0.2.2")?;
    pair.a.attempt("ping -n -c 1 -W 3 192.0.2.77")?; // nobody has that one
    dump.stop();
    Ok(())
}

/// IPv6 neighbour and router discovery (RFC 4861, 4862), multicast listeners (RFC 3810).
pub(super) fn nd(desk: &Desk) -> Result<()> {
    let pair = Pair::wire_ipv6()?;
    let _router = servers::dnsmasq(
        &pair.b,
        desk,
        &[
            "--port=0",
            "--interface=eth0",
            "--enable-ra",
            "--dhcp-range=2001:db8::,ra-only",
            "--ra-param=eth0,mtu:1500,60,1800",
        ],
    )?;
    pair.a.run("ip link set eth0 down")?;
    let dump = pair.b.dump("eth0", &desk.out("nd.pcap"), "")?;
    pair.a.run("ip link set eth0 up")?;
    sleep(Duration::from_secs(5));
    pair.a.run("ping -n -c 2 -i 0.2 2001:db8::2")?;
    pair.a.run("ping -n -c 1 -I eth0 fe80::ff:fe00:b")?;
    dump.stop();
    Ok(())
}

/// Two bridges with two cables between them: spanning tree breaks the loop.
pub(super) fn stp(desk: &Desk) -> Result<()> {
    let left = Ns::new_ipv4("left")?;
    let right = Ns::new_ipv4("right")?;
    for (ns, mac) in [(&left, "02:00:00:00:00:aa"), (&right, "02:00:00:00:00:bb")] {
        ns.run(&format!(
            "ip link add br0 address {mac} type bridge stp_state 1 hello_time 100 \
             forward_delay 200 max_age 600 mcast_snooping 0"
        ))?;
        ns.run("ip link set br0 up")?;
    }
    let ports = [
        ("p1", &left, "02:00:00:00:01:01", &right, "02:00:00:00:02:01"),
        ("p2", &left, "02:00:00:00:01:02", &right, "02:00:00:00:02:02"),
    ];
    for (dev, a, mac_a, b, mac_b) in ports {
        cable(End { ns: a, dev, mac: mac_a }, End { ns: b, dev, mac: mac_b })?;
    }
    // a host behind the right bridge: only then has it something to tell when the tree changes
    let host = Ns::new_ipv4("host")?;
    cable(
        End { ns: &right, dev: "p3", mac: "02:00:00:00:02:03" },
        End { ns: &host, dev: "eth0", mac: "02:00:00:00:03:01" },
    )?;
    right.run("ip link set p3 master br0")?;
    let dump = right.dump("p2", &desk.out("stp.pcap"), "")?;
    for (ns, dev) in [(&left, "p1"), (&right, "p1"), (&left, "p2"), (&right, "p2")] {
        ns.run(&format!("ip link set {dev} master br0"))?;
    }
    sleep(Duration::from_secs(7));
    left.run("ip link set p1 down")?; // the blocked cable must take over: a topology change
    sleep(Duration::from_secs(8));
    dump.stop();
    Ok(())
}

/// IGMP versions 2 and 3 with a querier, and a multicast stream.
pub(super) fn igmp(desk: &Desk) -> Result<()> {
    let pair = Pair::wire()?;
    let message = desk.put("message", b"the practice opens at eight\n")?;
    let dump = pair.a.dump("eth0", &desk.out("igmp.pcap"), "")?;
    for version in [2, 3] {
        pair.a.run(&format!("sysctl -q -w net.ipv4.conf.eth0.force_igmp_version={version}"))?;
        pair.a.run("ip addr add 239.1.2.3/32 dev eth0 autojoin")?;
        sleep(Duration::from_millis(1500));
        pair.b.run(&format!(
            "socat -u OPEN:{message},rdonly \
             UDP4-DATAGRAM:239.1.2.3:5000,ip-multicast-if=192.0.2.2,ip-multicast-ttl=4"
        ))?;
        pair.a.run("ip addr del 239.1.2.3/32 dev eth0")?;
        sleep(Duration::from_millis(1500));
    }
    querier(&pair)?;
    dump.stop();
    Ok(())
}

/// A bridge over `b`'s device that asks who listens.
fn querier(pair: &Pair) -> Result<()> {
    pair.a.run("ip addr add 239.1.2.3/32 dev eth0 autojoin")?;
    pair.b.run("ip addr flush dev eth0")?;
    pair.b.run(
        "ip link add br0 address 02:00:00:00:00:0c type bridge mcast_snooping 1 \
         mcast_query_use_ifaddr 1 mcast_querier 1 mcast_startup_query_interval 100 \
         mcast_query_response_interval 100",
    )?;
    pair.b.run("ip addr add 192.0.2.2/24 dev br0")?;
    pair.b.run("ip link set eth0 master br0")?;
    pair.b.run("ip link set br0 up")?;
    sleep(Duration::from_secs(4));
    Ok(())
}

/// Ethernet in UDP: an ARP, pings of both IP versions and a lookup inside a VXLAN (RFC 7348).
pub(super) fn vxlan(desk: &Desk) -> Result<()> {
    let pair = Pair::wire()?;
    for (ns, last, remote) in [(&pair.a, 1, "192.0.2.2"), (&pair.b, 2, "192.0.2.1")] {
        ns.run(&format!(
            "ip link add vx0 address 02:00:00:00:42:0{last} type vxlan id 42 dstport 4789 \
             remote {remote} dev eth0 noudpcsum"
        ))?;
        ns.run("sysctl -q -w net.ipv6.conf.vx0.disable_ipv6=0")?;
        ns.no_offload("vx0")?;
        ns.run(&format!("ip addr add 198.51.100.{last}/24 dev vx0"))?;
        ns.run(&format!("ip addr add 2001:db8:42::{last}/64 dev vx0 nodad"))?;
    }
    let dump = pair.a.dump("eth0", &desk.out("vxlan.pcap"), "")?;
    pair.a.run("ip link set vx0 up")?;
    pair.b.run("ip link set vx0 up")?;
    pair.a.run("ping -n -c 2 -i 0.2 198.51.100.2")?;
    pair.a.run("ping -n -c 2 -i 0.2 2001:db8:42::2")?;
    pair.a.attempt("socat -u OPEN:/dev/null TCP4:198.51.100.2:22,connect-timeout=3")?;
    dump.stop();
    Ok(())
}
