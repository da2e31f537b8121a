//! One frame in one line.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::IpAddr;

use skb::FrameMeta;
use skb::decode::{Decoded, Layer, LayerInfo};

use super::words;
use crate::term::Paint;

/// Columns for the addresses of an IPv4 packet.
const ADDRESSES: usize = 33;

/// The line above the lines.
pub(super) fn write_heading(out: &mut Vec<u8>, paint: Paint) -> io::Result<()> {
    let heading = format!(
        "{:>6} {:>12} {:<ADDRESSES$} {:<8} {:>5} {}",
        "frame", "seconds", "from > to", "protocol", "bytes", "what"
    );
    writeln!(out, "{}", paint.head(heading))
}

/// Writes a frame's line. `first_ns` is the time that seconds count from.
pub(super) fn write(
    out: &mut Vec<u8>,
    meta: &FrameMeta,
    decoded: &Decoded,
    first_ns: Option<i64>,
    paint: Paint,
) -> io::Result<()> {
    let own = || decoded.layers.iter().filter(|layer| !layer.quoted);
    let (kind, role) = match own().next_back() {
        Some(last) => (last.kind().to_owned(), words::role(&last.info)),
        None => (meta.linktype.to_string(), crate::term::Role::Dim),
    };
    write!(out, "{:>6} {} ", meta.number, paint.dim(seconds(meta.time_ns, first_ns)))?;
    write!(out, "{:<ADDRESSES$} ", addresses(decoded))?;
    write!(out, "{} {:>5} ", paint.role(role, format!("{kind:<8}")), meta.origlen)?;
    if let Some(malformed) = &decoded.malformed {
        let text = format!("malformed {} at byte {}", malformed.layer, malformed.offset);
        return writeln!(out, "{}", paint.bad(text));
    }
    writeln!(out, "{}", what(decoded))
}

/// `12.345678`, microseconds cut off rather than rounded, so that order shows.
fn seconds(time_ns: Option<i64>, first_ns: Option<i64>) -> String {
    let (Some(time), Some(first)) = (time_ns, first_ns) else { return format!("{:>12}", "-") };
    let ns = i128::from(time) - i128::from(first);
    let sign = if ns < 0 { "-" } else { "" };
    let us = ns.unsigned_abs() / 1000;
    format!("{:>12}", format!("{sign}{}.{:06}", us / 1_000_000, us % 1_000_000))
}

/// Of the innermost IP packet, or of the frame.
fn addresses(decoded: &Decoded) -> String {
    let ip = |layer: &Layer| -> Option<(IpAddr, IpAddr)> {
        match &layer.info {
            LayerInfo::Ip(ip) => Some((ip.src.into(), ip.dst.into())),
            LayerInfo::Ipv6(ip) => Some((ip.src.into(), ip.dst.into())),
            LayerInfo::Arp { sender_ip: Some(sender), target_ip: Some(target), .. } => {
                Some(((*sender).into(), (*target).into()))
            }
            _ => None,
        }
    };
    let own = || decoded.layers.iter().filter(|layer| !layer.quoted);
    if let Some((src, dst)) = own().rev().find_map(ip) {
        return format!("{src} > {dst}");
    }
    let mac = own().rev().find_map(|layer| match &layer.info {
        LayerInfo::Eth { src, dst, .. } => Some(format!("{src} > {}", short_mac(*dst))),
        LayerInfo::Sll { src: Some(src), .. } | LayerInfo::Sll2 { src: Some(src), .. } => {
            Some(src.to_string())
        }
        _ => None,
    });
    mac.unwrap_or_default()
}

/// Broadcast in a word; lines are short.
fn short_mac(mac: skb::MacAddr) -> String {
    if mac.is_broadcast() { "broadcast".to_owned() } else { mac.to_string() }
}

/// The innermost layer that says something, and through which tunnels it came.
fn what(decoded: &Decoded) -> String {
    let mut text = String::new();
    for layer in decoded.layers.iter().filter(|layer| !layer.quoted) {
        match layer.info {
            LayerInfo::Vxlan { vni, .. } | LayerInfo::Geneve { vni, .. } => {
                _ = write!(text, "in {} {vni}: ", layer.kind());
            }
            LayerInfo::Gre { .. } | LayerInfo::Gtp { .. } | LayerInfo::L2tp { .. } => {
                _ = write!(text, "in {}: ", layer.kind());
            }
            LayerInfo::Vlan { vid, .. } => _ = write!(text, "VLAN {vid}: "),
            _ => {}
        }
    }
    let told = decoded.layers.iter().rev().filter(|layer| !layer.quoted);
    let mut told = told.filter(|layer| !matches!(layer.info, LayerInfo::Named(_)));
    if let Some(layer) = told.next() {
        text.push_str(&telling(layer));
    }
    text
}

fn telling(layer: &Layer) -> String {
    match &layer.info {
        LayerInfo::Tcp(tcp) => {
            let [src, dst] = [tcp.src_port, tcp.dst_port].map(|port| words::port(port, true));
            let flags = words::tcp_flag_names(tcp.flags);
            let data = match tcp.payload_length {
                0 => String::new(),
                1 => ", 1 byte".to_owned(),
                bytes => format!(", {bytes} bytes"),
            };
            format!("{src} > {dst} {flags}{data}")
        }
        LayerInfo::Udp { src_port, dst_port, length, .. } => {
            let [src, dst] = [*src_port, *dst_port].map(|port| words::port(port, false));
            format!("{src} > {dst}, {} bytes", length.saturating_sub(8))
        }
        LayerInfo::Ip(ip) if ip.frag_offset > 0 => format!("fragment at byte {}", ip.frag_offset),
        LayerInfo::Ip(ip) => words::ip_proto(ip.proto)
            .map_or_else(|| format!("protocol {}", ip.proto), str::to_owned),
        LayerInfo::Eth { ty_or_len, .. } => words::type_or_length(*ty_or_len),
        _ => words::details(layer).into_iter().next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_count_from_the_first_frame() {
        assert_eq!(seconds(Some(1_500_000_999), Some(0)), "    1.500000");
        assert_eq!(seconds(Some(0), Some(1_000)), "   -0.000001");
        assert_eq!(seconds(Some(i64::MAX), Some(i64::MIN)), "18446744073.709551");
        assert_eq!(seconds(None, Some(0)).trim(), "-");
    }
}
