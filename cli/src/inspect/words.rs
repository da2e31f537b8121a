//! Headers in words: what a layer is called, and what it says.

mod tables;

use std::fmt::Write as _;
use std::net::IpAddr;

use skb::MacAddr;
use skb::decode::{Checksum, Ip, Ipv6, Layer, LayerInfo, Tcp, TcpFlags};

use super::summary::Apps;
use crate::term::Role;
pub use tables::{ethertype, ip_proto};

/// The colour of a layer.
pub fn role(info: &LayerInfo) -> Role {
    match info {
        LayerInfo::Ip(_)
        | LayerInfo::Ipv6(_)
        | LayerInfo::Ipv6Ext { .. }
        | LayerInfo::Ipv6Frag { .. }
        | LayerInfo::Arp { .. }
        | LayerInfo::Ah { .. } => Role::Net,
        LayerInfo::Tcp(_)
        | LayerInfo::Udp { .. }
        | LayerInfo::UdpLite { .. }
        | LayerInfo::Sctp { .. }
        | LayerInfo::Dccp { .. }
        | LayerInfo::Icmp { .. }
        | LayerInfo::Icmpv6 { .. }
        | LayerInfo::Igmp { .. } => Role::Transport,
        LayerInfo::Gre { .. }
        | LayerInfo::Erspan { .. }
        | LayerInfo::Vxlan { .. }
        | LayerInfo::VxlanGpe { .. }
        | LayerInfo::Geneve { .. }
        | LayerInfo::Mpls { .. }
        | LayerInfo::PwControl { .. }
        | LayerInfo::Pppoe { .. }
        | LayerInfo::Gtp { .. }
        | LayerInfo::L2tp { .. }
        | LayerInfo::Teredo { .. }
        | LayerInfo::Nsh { .. }
        | LayerInfo::EtherIp
        | LayerInfo::Esp { .. } => Role::Tunnel,
        LayerInfo::Named(_) => Role::Payload,
        _ => Role::Link,
    }
}

/// A layer's name for people.
pub fn title(layer: &Layer) -> String {
    let name = match layer.kind() {
        "eth" => "Ethernet",
        "vlan" => "VLAN tag",
        "ieee8021ad" => "outer VLAN",
        "ieee8021ah" => "backbone tag",
        "ip" => "IPv4",
        "ipv6" => "IPv6",
        "ipv6.fraghdr" => "fragment",
        "ipv6.hopopts" => "hop-by-hop",
        "ipv6.dstopts" => "dest options",
        "ipv6.routing" => "routing",
        "icmpv6" => "ICMPv6",
        "sll" => "Linux cooked",
        "null" => "loopback",
        "raw" => "raw IP",
        "pppoed" => "PPPoE setup",
        "pppoe" => "PPPoE",
        "fr" => "frame relay",
        "chdlc" => "Cisco HDLC",
        kind => return kind.to_uppercase(),
    };
    name.to_owned()
}

/// What the header says, in lines; the first is the most telling.
pub fn details(layer: &Layer) -> Vec<String> {
    match &layer.info {
        LayerInfo::Eth { dst, src, ty_or_len } => {
            vec![format!("{src} to {dst}, {}", type_or_length(*ty_or_len))]
        }
        LayerInfo::Ip(ip) => ipv4(ip, layer.length),
        LayerInfo::Ipv6(ip) => ipv6(ip),
        LayerInfo::Tcp(tcp) => tcp_lines(tcp),
        LayerInfo::Udp { src_port, dst_port, length, checksum } => vec![
            port_pair(*src_port, *dst_port, false),
            format!("length {length}, checksum {}", sum(*checksum)),
        ],
        LayerInfo::Arp { .. } => vec![arp(&layer.info)],
        LayerInfo::Icmp { ty, code, checksum, id, seq } => icmp(
            tables::icmp(*ty),
            *ty,
            *code,
            *checksum,
            matches!(ty, 0 | 8).then_some((*id, *seq)),
        ),
        LayerInfo::Icmpv6 { ty, code, checksum, id, seq } => {
            let echo = matches!(ty, 128 | 129).then_some((*id, *seq));
            icmp(tables::icmpv6(*ty), *ty, *code, *checksum, echo)
        }
        other => one_line(other).into_iter().collect(),
    }
}

fn ipv4(ip: &Ip, header_len: u32) -> Vec<String> {
    let mut lines = vec![format!("{} to {}", address(ip.src.into()), address(ip.dst.into()))];
    let proto = ip_proto(ip.proto).map_or_else(String::new, |name| format!(" ({name})"));
    lines.push(format!(
        "total length {}, header {header_len}, protocol {}{proto}, TTL {}",
        ip.total_length, ip.proto, ip.ttl
    ));
    let mut flags = Vec::new();
    if ip.flags & 2 != 0 {
        flags.push("don't fragment".to_owned());
    }
    if ip.flags & 1 != 0 {
        flags.push("more fragments follow".to_owned());
    }
    if ip.frag_offset > 0 {
        flags.push(format!("fragment at byte {}", ip.frag_offset));
    }
    let flags = if flags.is_empty() { String::new() } else { format!(", {}", flags.join(", ")) };
    lines.push(format!("id 0x{:04x}{flags}, header checksum {}", ip.id, sum(ip.checksum)));
    lines
}

fn ipv6(ip: &Ipv6) -> Vec<String> {
    let next = ip_proto(ip.next).map_or_else(String::new, |name| format!(" ({name})"));
    vec![
        address(ip.src.into()),
        format!("to {}", address(ip.dst.into())),
        format!(
            "payload length {}, next header {}{next}, hop limit {}",
            ip.payload_length, ip.next, ip.hop_limit
        ),
    ]
}

fn address(ip: IpAddr) -> String {
    let remark = match ip {
        IpAddr::V4(ip) if ip.is_broadcast() => " (everyone here)",
        IpAddr::V4(ip) if ip.is_unspecified() => " (no address yet)",
        IpAddr::V6(ip) if ip.is_unspecified() => " (no address yet)",
        ip if ip.is_multicast() => " (a group)",
        ip if ip.is_loopback() => " (itself)",
        _ => "",
    };
    format!("{ip}{remark}")
}

fn tcp_lines(tcp: &Tcp) -> Vec<String> {
    let mut lines = vec![port_pair(tcp.src_port, tcp.dst_port, true)];
    lines.push(format!("flags {}", tcp_flags(tcp.flags)));
    lines.push(format!("seq {}, ack {}, window {}", tcp.seq, tcp.ack, tcp.window));
    lines.push(format!("{} bytes of data, checksum {}", tcp.payload_length, sum(tcp.checksum)));
    lines
}

/// `SYN ACK`.
pub fn tcp_flag_names(flags: TcpFlags) -> String {
    const NAMES: [(u16, &str); 9] = [
        (TcpFlags::SYN, "SYN"),
        (TcpFlags::FIN, "FIN"),
        (TcpFlags::RST, "RST"),
        (TcpFlags::PSH, "PSH"),
        (TcpFlags::ACK, "ACK"),
        (TcpFlags::URG, "URG"),
        (TcpFlags::ECE, "ECE"),
        (TcpFlags::CWR, "CWR"),
        (TcpFlags::AE, "AE"),
    ];
    let names: Vec<_> = NAMES.iter().filter(|(bit, _)| flags.has(*bit)).map(|n| n.1).collect();
    if names.is_empty() { "no flags".to_owned() } else { names.join(" ") }
}

/// `SYN ACK: agrees to open a connection`.
pub fn tcp_flags(flags: TcpFlags) -> String {
    let meaning = match flags {
        f if f.has(TcpFlags::RST) => ": refuses or breaks off",
        f if f.has(TcpFlags::SYN | TcpFlags::ACK) => ": agrees to open a connection",
        f if f.has(TcpFlags::SYN) => ": wants to open a connection",
        f if f.has(TcpFlags::FIN) => ": has no more to send",
        _ => "",
    };
    format!("{}{meaning}", tcp_flag_names(flags))
}

/// `port 51234 to 443 (https)`.
pub fn port_pair(src: u16, dst: u16, tcp: bool) -> String {
    format!("port {} to {}", port(src, tcp), port(dst, tcp))
}

/// `443 (https)`.
pub fn port(port: u16, tcp: bool) -> String {
    match Apps::of_port(port, tcp) {
        Some(name) => format!("{port} ({name})"),
        None => port.to_string(),
    }
}

/// `request: who has 192.0.2.1? tell 192.0.2.2`.
pub fn arp(info: &LayerInfo) -> String {
    let LayerInfo::Arp { op, sender_mac, sender_ip, target_ip, .. } = *info else {
        return String::new();
    };
    let ip =
        |ip: Option<std::net::Ipv4Addr>| ip.map_or_else(|| "?".to_owned(), |ip| ip.to_string());
    let mac = sender_mac.map_or_else(|| "?".to_owned(), |mac| mac.to_string());
    match op {
        1 if sender_ip == target_ip => format!("{} announces itself at {mac}", ip(sender_ip)),
        1 => format!("who has {}? tell {}", ip(target_ip), ip(sender_ip)),
        2 => format!("{} is at {mac}", ip(sender_ip)),
        op => format!("operation {op}"),
    }
}

fn icmp(
    name: Option<&'static str>,
    ty: u8,
    code: u8,
    checksum: Checksum,
    echo: Option<(u16, u16)>,
) -> Vec<String> {
    let mut first = name.map_or_else(|| format!("type {ty}, code {code}"), str::to_owned);
    if let Some((id, seq)) = echo {
        _ = write!(first, ", id {id}, seq {seq}");
    } else if name.is_some() && code != 0 {
        _ = write!(first, ", code {code}");
    }
    vec![first, format!("type {ty}, code {code}, checksum {}", sum(checksum))]
}

/// The telling fields of the rarer layers.
fn one_line(info: &LayerInfo) -> Option<String> {
    Some(match *info {
        LayerInfo::Vlan { vid, pcp, dei, ty, .. } => {
            let dei = if dei { ", may be dropped first" } else { "" };
            format!("VLAN {vid}, priority {pcp}{dei}, {}", type_or_length(ty))
        }
        LayerInfo::Ieee8021ah { isid, dst, src, ty, .. } => {
            format!("service {isid}, {src} to {dst}, {}", type_or_length(ty))
        }
        LayerInfo::Macsec { packet_number, .. } => format!("packet number {packet_number}"),
        LayerInfo::Llc { dsap, ssap, control, snap } => {
            let snap = snap.map_or_else(String::new, |s| {
                format!(", SNAP {:06x} {}", s.oui, type_or_length(s.protocol))
            });
            format!("SAP {ssap:#04x} to {dsap:#04x}, control {control:#04x}{snap}")
        }
        LayerInfo::Ipv6Ext { next, .. } => {
            let name = ip_proto(next).map_or_else(String::new, |name| format!(" ({name})"));
            format!("next header {next}{name}")
        }
        LayerInfo::Ipv6Frag { frag_offset, more, id, .. } => {
            let more = if more { ", more follow" } else { ", the last" };
            format!("at byte {frag_offset}{more}, id 0x{id:08x}")
        }
        LayerInfo::Ah { spi, seq, .. } => format!("SPI 0x{spi:08x}, sequence {seq}"),
        LayerInfo::Esp { spi, seq } => format!("encrypted, SPI 0x{spi:08x}, sequence {seq}"),
        LayerInfo::UdpLite { src_port, dst_port, .. }
        | LayerInfo::Dccp { src_port, dst_port, .. } => port_pair(src_port, dst_port, false),
        LayerInfo::Sctp { src_port, dst_port, checksum, .. } => {
            format!("{}, checksum {}", port_pair(src_port, dst_port, false), sum(checksum))
        }
        LayerInfo::Igmp { ty, group, checksum, .. } => {
            let group = group.map_or_else(String::new, |group| format!(" {group}"));
            format!("{}{group}, checksum {}", tables::igmp(ty), sum(checksum))
        }
        LayerInfo::Gre { protocol, key, .. } => {
            let key = key.map_or_else(String::new, |key| format!(", key {key}"));
            format!("carries {}{key}", type_or_length(protocol))
        }
        LayerInfo::Erspan { session, vid, .. } => format!("mirror session {session}, VLAN {vid}"),
        LayerInfo::Vxlan { vni, .. } | LayerInfo::VxlanGpe { vni, .. } => format!("network {vni}"),
        LayerInfo::Geneve { vni, protocol, .. } => {
            format!("network {vni}, carries {}", type_or_length(protocol))
        }
        LayerInfo::Mpls { label, bottom, ttl, .. } => {
            let bottom = if bottom { ", the last label" } else { "" };
            format!("label {label}, TTL {ttl}{bottom}")
        }
        LayerInfo::Pppoe { session, .. } => format!("session 0x{session:04x}"),
        LayerInfo::Ppp { protocol } => format!("protocol 0x{protocol:04x}"),
        LayerInfo::Gtp { message, teid, .. } => format!("message {message}, tunnel 0x{teid:08x}"),
        LayerInfo::L2tp { tunnel, session, control, .. } => {
            let control = if control { ", control" } else { "" };
            format!("tunnel {tunnel}, session {session}{control}")
        }
        LayerInfo::Nsh { path, index, .. } => format!("path {path}, index {index}"),
        _ => return capture_line(info),
    })
}

/// Headers that the capturing system put in front.
fn capture_line(info: &LayerInfo) -> Option<String> {
    Some(match *info {
        LayerInfo::Sll { packet_type, src, protocol, .. } => {
            sll(u32::from(packet_type), src, protocol)
        }
        LayerInfo::Sll2 { packet_type, src, protocol, if_index, .. } => {
            format!("{}, device {if_index}", sll(u32::from(packet_type), src, protocol))
        }
        LayerInfo::Null { family } => format!("address family {family}"),
        LayerInfo::Chdlc { protocol, .. } => type_or_length(protocol),
        LayerInfo::Fr { dlci, .. } => format!("DLCI {dlci}"),
        LayerInfo::Fddi { dst, src, .. } => format!("{src} to {dst}"),
        LayerInfo::Arcnet { src, dst, .. } => format!("station {src} to {dst}"),
        LayerInfo::Nflog { family, group } => format!("address family {family}, group {group}"),
        LayerInfo::Mpacket { preamble, smd } => {
            format!("{preamble} bytes of preamble, delimiter 0x{smd:02x}")
        }
        _ => return None,
    })
}

fn sll(packet_type: u32, src: Option<MacAddr>, protocol: u16) -> String {
    let direction = match packet_type {
        0 => "to this machine",
        1 => "broadcast",
        2 => "to a group",
        3 => "to another machine",
        4 => "from this machine",
        _ => "direction unknown",
    };
    let src = src.map_or_else(String::new, |mac| format!("{mac} "));
    format!("{src}{direction}, {}", type_or_length(protocol))
}

/// `type 0x0800 (IPv4)`, `length 46`.
pub fn type_or_length(value: u16) -> String {
    match (value, ethertype(value)) {
        (0..0x600, _) => format!("length {value}"),
        (_, Some(name)) => format!("type 0x{value:04x} ({name})"),
        (_, None) => format!("type 0x{value:04x}"),
    }
}

/// What kind of address it is, where that says something.
pub fn mac_remark(mac: MacAddr) -> &'static str {
    match mac.0 {
        _ if mac.is_broadcast() => "everyone on this network",
        [0x01, 0x80, 0xc2, 0, 0, 0] => "bridges nearby (spanning tree)",
        _ if mac.is_link_local_group() => "a group; bridges do not pass it on",
        [0x01, 0, 0x5e, ..] => "a group (IPv4 multicast)",
        [0x33, 0x33, ..] => "a group (IPv6 multicast)",
        [0x01, 0, 0x0c, ..] => "a group (Cisco)",
        _ if mac.is_multicast() => "a group",
        [0, 0, 0, 0, 0, 0] => "no address",
        _ if mac.is_local() => "chosen by software",
        _ => "",
    }
}

fn sum(checksum: Checksum) -> &'static str {
    match checksum {
        Checksum::Good => "good",
        Checksum::Bad => "BAD",
        Checksum::Unverified => "not checked",
    }
}
