//! What is played on each of the guest's cables, in the shell of its busybox.
//!
//! `a` and `b` run a command at either end. Both ends have `eth0` with 192.0.2.1 or .2 (and
//! 2001:db8::1 or ::2 where IPv6 is on); what is inside a tunnel has 198.51.100.x (RFC 5737) and
//! 2001:db8:1::x (RFC 3849).

/// One hub, one capture.
#[derive(Debug)]
pub(super) struct Cable {
    /// File name of its capture.
    pub(super) file: &'static str,
    /// Whether the devices speak IPv6 too.
    pub(super) ipv6: bool,
    /// Shell commands; the first that fails ends the cable.
    pub(super) play: &'static str,
}

/// Beginning of `/init`.
pub(super) const PRELUDE: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
echo /bin/modprobe >/proc/sys/kernel/modprobe
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
mkdir -p /run/netns /run/lock /dev/pts
mount -t devpts pts /dev/pts
ip() { /usr/sbin/ip "$@"; } # busybox has an `ip` of its own that knows no tunnels
a() { ip netns exec a$N "$@"; }
b() { ip netns exec b$N "$@"; }
quiet() { "$@" >/dev/null; }
off() { # namespace: no IPv6 on devices to come
    ip netns exec $1 sysctl -q -w net.ipv6.conf.default.disable_ipv6=1
}
plug() { # namespace, MAC, last digit, IPv6
    ip netns add $1
    ip -n $1 link set lo up
    [ $4 = 1 ] || off $1
    for d in /sys/class/net/*; do
        [ "$(cat $d/address)" = $2 ] && ip link set ${d##*/} netns $1 name eth0
    done
    ip -n $1 addr add 192.0.2.$3/24 dev eth0
    [ $4 = 1 ] && ip -n $1 addr add 2001:db8::$3/64 dev eth0 nodad
    ip -n $1 link set eth0 up
}
set_up() { # MAC of a, MAC of b, IPv6
    plug a$N $1 1 $3
    plug b$N $2 2 $3
    sleep 1
}
over() { # device, third part: addresses of the tunnel's ends, ends up
    a ip addr add 198.51.100.$((${2}1))/32 peer 198.51.100.$((${2}2)) dev $1
    b ip addr add 198.51.100.$((${2}2))/32 peer 198.51.100.$((${2}1)) dev $1
    a ip link set $1 up
    b ip link set $1 up
    sleep 1
    quiet a ping -n -c 2 -i 0.2 -W 3 198.51.100.$((${2}2))
}
page() { # address: one page over HTTP
    b httpd -p $1:80 -h /www
    a wget -q -O /dev/null http://$1/page
}
"#;

/// Options of the pppd that pppoe-server starts for each client.
pub(super) const PPPOE_SERVER_OPTIONS: &[u8] =
    b"noauth\nnodefaultroute\nlcp-echo-interval 5\nnoccp\nnovj\nlogfile /tmp/pppd-server\n";

/// All cables; a QEMU machine of type `pc` has room for about 28 NICs.
pub(super) const CABLES: &[Cable] = &[
    Cable {
        file: "vlan.pcap",
        ipv6: false,
        play: "quiet a ping -n -c 1 -W 3 192.0.2.2
a ip link add link eth0 name eth0.10 type vlan id 10
b ip link add link eth0 name eth0.10 type vlan id 10
over eth0.10 1
a ip link add link eth0 name eth0.20 type vlan id 20 egress-qos-map 0:5
b ip link add link eth0 name eth0.20 type vlan id 20
over eth0.20 2
page 198.51.100.12",
    },
    Cable {
        file: "qinq.pcap",
        ipv6: false,
        play: "for s in a b; do
$s ip link add link eth0 name s100 type vlan proto 802.1ad id 100
$s ip link set s100 up
$s ip link add link s100 name c10 type vlan id 10
$s ip link add link eth0 name v30 type vlan id 30
$s ip link set v30 up
$s ip link add link v30 name v31 type vlan id 31
done
over c10 1
over v31 2",
    },
    Cable {
        file: "gre.pcap",
        ipv6: false,
        play: "a ip link add t1 type gre local 192.0.2.1 remote 192.0.2.2
b ip link add t1 type gre local 192.0.2.2 remote 192.0.2.1
over t1 1
a ip link add t2 type gre local 192.0.2.1 remote 192.0.2.2 key 42 csum seq
b ip link add t2 type gre local 192.0.2.2 remote 192.0.2.1 key 42 csum seq
over t2 2
a ip link add t3 address 02:00:00:00:03:01 type gretap local 192.0.2.1 remote 192.0.2.2 key 7
b ip link add t3 address 02:00:00:00:03:02 type gretap local 192.0.2.2 remote 192.0.2.1 key 7
over t3 3
page 198.51.100.32",
    },
    Cable {
        file: "erspan.pcap",
        ipv6: false,
        play: "
a ip link add e1 address 02:00:00:00:03:01 type erspan seq key 11 local 192.0.2.1 \
 remote 192.0.2.2 erspan_ver 1 erspan 123
b ip link add e1 address 02:00:00:00:03:02 type erspan seq key 11 local 192.0.2.2 \
 remote 192.0.2.1 erspan_ver 1 erspan 123
over e1 1
a ip link add e2 address 02:00:00:00:03:03 type erspan seq key 12 local 192.0.2.1 \
 remote 192.0.2.2 erspan_ver 2 erspan_dir egress erspan_hwid 7
b ip link add e2 address 02:00:00:00:03:04 type erspan seq key 12 local 192.0.2.2 \
 remote 192.0.2.1 erspan_ver 2 erspan_dir ingress erspan_hwid 7
over e2 2",
    },
    Cable {
        file: "ipip.pcap",
        ipv6: true,
        play: "a ip link add t1 type ipip local 192.0.2.1 remote 192.0.2.2
b ip link add t1 type ipip local 192.0.2.2 remote 192.0.2.1
over t1 1
a ip link add t2 type sit local 192.0.2.1 remote 192.0.2.2
b ip link add t2 type sit local 192.0.2.2 remote 192.0.2.1
a ip addr add 2001:db8:2::1/64 dev t2 nodad
b ip addr add 2001:db8:2::2/64 dev t2 nodad
a ip link set t2 up
b ip link set t2 up
sleep 1
quiet a ping -n -c 2 -i 0.2 -W 3 2001:db8:2::2
a ip link add t3 type ip6tnl mode any local 2001:db8::1 remote 2001:db8::2
b ip link add t3 type ip6tnl mode any local 2001:db8::2 remote 2001:db8::1
a ip addr add 2001:db8:3::1/64 dev t3 nodad
b ip addr add 2001:db8:3::2/64 dev t3 nodad
over t3 3
quiet a ping -n -c 2 -i 0.2 -W 3 2001:db8:3::2
a ip link add t4 type ip6gre local 2001:db8::1 remote 2001:db8::2 key 9
b ip link add t4 type ip6gre local 2001:db8::2 remote 2001:db8::1 key 9
over t4 4",
    },
    Cable {
        file: "geneve.pcap",
        ipv6: false,
        play: "a ip link add g1 address 02:00:00:00:03:01 type geneve id 77 remote 192.0.2.2
b ip link add g1 address 02:00:00:00:03:02 type geneve id 77 remote 192.0.2.1
over g1 1
page 198.51.100.12",
    },
    Cable {
        file: "mpls.pcap",
        ipv6: false,
        play: "for s in a b; do
$s sysctl -q -w net.mpls.platform_labels=1000
$s sysctl -q -w net.mpls.conf.eth0.input=1
$s sysctl -q -w net.mpls.conf.lo.input=1
$s ip -f mpls route add 100 dev lo
$s ip -f mpls route add 200 dev lo
done
a ip addr add 198.51.100.1/32 dev lo
b ip addr add 198.51.100.2/32 dev lo
a ip route add 198.51.100.2/32 encap mpls 100/200 via inet 192.0.2.2 src 198.51.100.1
b ip route add 198.51.100.1/32 encap mpls 100/200 via inet 192.0.2.1 src 198.51.100.2
quiet a ping -n -c 3 -i 0.2 -W 3 198.51.100.2
page 198.51.100.2",
    },
    Cable {
        file: "pppoe.pcap",
        ipv6: false,
        play: "b pppoe-server -F -k -I eth0 -L 198.51.100.1 -R 198.51.100.2 -N 4 -S practice-dsl \
 >/dev/null 2>&1 &
sleep 1
a pppd plugin rp-pppoe.so eth0 rp_pppoe_service practice-dsl noauth noipdefault nodefaultroute \
 noccp novj nodetach >/tmp/pppd 2>&1 &
for i in $(seq 20); do
a ip addr show ppp0 2>/dev/null | grep -q 'peer 198.51.100.1' && break; sleep 1; done
a ping -n -c 2 -i 0.2 -W 3 198.51.100.1 >/dev/null || { cat /tmp/pppd*; exit 1; }
killall -TERM pppd; sleep 2; killall pppoe-server",
    },
    Cable {
        file: "l2tp.pcap",
        ipv6: false,
        play: "tunnel() { # end, own address, other's, kind of carrier
$1 ip l2tp add tunnel tunnel_id $5 peer_tunnel_id $5 local $2 remote $3 $4
$1 ip l2tp add session name l2tp$5 tunnel_id $5 session_id $5 peer_session_id $5
$1 ip link set l2tp$5 address 02:00:00:00:03:0$6
}
tunnel a 192.0.2.1 192.0.2.2 'encap udp udp_sport 1701 udp_dport 1701' 1 1
tunnel b 192.0.2.2 192.0.2.1 'encap udp udp_sport 1701 udp_dport 1701' 1 2
over l2tp1 1
tunnel a 192.0.2.1 192.0.2.2 'encap ip' 2 3
tunnel b 192.0.2.2 192.0.2.1 'encap ip' 2 4
over l2tp2 2",
    },
    Cable {
        file: "sctp.pcap",
        ipv6: false,
        play: "b socat -u SCTP4-LISTEN:5000 OPEN:/dev/null,wronly &
sleep 1
a socat -u OPEN:/www/page,rdonly SCTP4:192.0.2.2:5000
sleep 1",
    },
];
