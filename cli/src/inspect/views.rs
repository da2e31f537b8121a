//! One frame in three views: the Ethernet packet on the wire, the Ethernet frame, the IP packet.
//!
//! IEEE 802.3 calls *packet* what includes preamble and SFD (clause 3.1.1): it is larger than the
//! frame. An *IP packet* is inside the frame. The views go from the outside in.

use std::io::{self, Write};

use skb::FrameMeta;
use skb::decode::{Decoded, EthernetPacket, FcsState, Layer, LayerInfo};

use super::words;
use crate::term::{Paint, Role, grouped, time, width, wrap};

/// Writes the headline, the three views and the notes.
pub(super) fn write(
    out: &mut Vec<u8>,
    meta: &FrameMeta,
    decoded: &Decoded,
    comments: &[String],
    paint: Paint,
) -> io::Result<()> {
    headline(out, meta, paint)?;
    for comment in comments {
        super::file::fact(out, paint, "comment", &crate::term::safe(comment))?;
    }
    wire_view(out, meta, decoded, paint)?;
    frame_view(out, meta, decoded, paint)?;
    inner_view(out, decoded, paint)?;
    remarks(out, meta, decoded, paint)
}

fn headline(out: &mut Vec<u8>, meta: &FrameMeta, paint: Paint) -> io::Result<()> {
    let when = meta.time_ns.map_or_else(|| "no time recorded".to_owned(), time::rfc3339);
    let size = if meta.caplen == meta.origlen {
        format!("{} bytes", grouped(meta.origlen.into()))
    } else {
        let [caplen, origlen] = [meta.caplen, meta.origlen].map(|n| grouped(n.into()));
        format!("{caplen} of {origlen} bytes captured")
    };
    let title = format!("frame {}", grouped(meta.number));
    writeln!(out, "{}  {when}  {size}", paint.head(title))
}

fn view_title(
    out: &mut Vec<u8>,
    paint: Paint,
    number: u8,
    title: &str,
    size: Option<u32>,
) -> io::Result<()> {
    let size = size.map_or_else(String::new, |n| format!("{} bytes", grouped(n.into())));
    let title = format!("{number}  {title}");
    let columns = width().min(80) - 1;
    if size.is_empty() {
        return writeln!(out, "\n{}", paint.head(title));
    }
    let gap = columns.saturating_sub(title.chars().count() + size.len()).max(2);
    writeln!(out, "\n{}{:gap$}{}", paint.head(title), "", paint.head(size))
}

/// A row: offset, length, label, value, remark.
struct Row<'a> {
    offset: Option<u32>,
    length: u32,
    label: &'a str,
    value: String,
    remark: &'a str,
    role: Role,
}

fn row(out: &mut Vec<u8>, paint: Paint, row: &Row<'_>) -> io::Result<()> {
    let offset = row.offset.map_or_else(String::new, |offset| offset.to_string());
    let numbers = paint.dim(format!("{offset:>7} {:>6}", row.length));
    let room = width().min(110) - 31;
    let mut lines = wrap(&row.value, room).into_iter();
    let first = lines.next().unwrap_or_default();
    let used = first.chars().count();
    if first.is_empty() && row.remark.is_empty() {
        return writeln!(out, "{numbers}  {}", paint.role(row.role, row.label));
    }
    let label = paint.role(row.role, format!("{:<12}", row.label));
    write!(out, "{numbers}  {label} {first}")?;
    if !row.remark.is_empty() {
        if used + 2 + row.remark.chars().count() <= room {
            write!(out, "  {}", paint.dim(row.remark))?;
        } else {
            write!(out, "\n{:29}{}", "", paint.dim(row.remark))?;
        }
    }
    writeln!(out)?;
    for line in lines {
        writeln!(out, "{:29}{line}", "")?;
    }
    Ok(())
}

fn column_heads(out: &mut Vec<u8>, paint: Paint) -> io::Result<()> {
    writeln!(out, "{}", paint.dim("   byte length"))
}

fn wire_view(
    out: &mut Vec<u8>,
    meta: &FrameMeta,
    decoded: &Decoded,
    paint: Paint,
) -> io::Result<()> {
    let title = "On the wire: the Ethernet packet";
    let Some(packet) = &decoded.ethernet_packet else {
        view_title(out, paint, 1, title, None)?;
        for line in wrap(&no_packet_reason(meta), width().min(100) - 4) {
            writeln!(out, "   {line}")?;
        }
        return Ok(());
    };
    view_title(out, paint, 1, title, Some(packet.bytes))?;
    column_heads(out, paint)?;
    let derived = |part: &str| if packet.derived.contains(&part) { "derived" } else { "" };
    let part = |label, length: u8, value: &str| Row {
        offset: None,
        length: length.into(),
        label,
        value: value.to_owned(),
        remark: "",
        role: Role::Dim,
    };
    let preamble = part("preamble", packet.preamble, "55 each, to set the receiver's clock");
    row(out, paint, &Row { remark: derived("preamble"), ..preamble })?;
    let sfd = part("SFD", packet.sfd, "d5: here the frame begins");
    row(out, paint, &Row { remark: derived("sfd"), ..sfd })?;
    let frame = Row {
        offset: None,
        length: packet.frame,
        label: "frame",
        value: "addresses to FCS: view 2".to_owned(),
        remark: "",
        role: Role::Link,
    };
    row(out, paint, &frame)?;
    let gap = part("gap", decoded.gap.unwrap_or(0) as u8, "silence before the next packet");
    row(out, paint, &Row { remark: "derived", ..gap })?;
    if let Some(wire) = decoded.wire_bytes {
        let text = format!("{wire} bytes of wire time: {} ns at 1 Gbit/s", u64::from(wire) * 8);
        writeln!(out, "{:16}{}", "", paint.dim(text))?;
    }
    Ok(())
}

fn no_packet_reason(meta: &FrameMeta) -> String {
    if meta.linktype == skb::LinkType::ETHERNET {
        return "none: this frame is larger than an Ethernet packet can be, so the network card \
                has merged it from several or would have split it. What was on the wire cannot \
                be told from it."
            .to_owned();
    }
    format!(
        "none: this was captured as {}, where the Ethernet packet, if there was one, is no longer \
         to be seen.",
        meta.linktype
    )
}

fn frame_view(
    out: &mut Vec<u8>,
    meta: &FrameMeta,
    decoded: &Decoded,
    paint: Paint,
) -> io::Result<()> {
    let Some(eth) = decoded.layers.iter().position(|l| matches!(l.info, LayerInfo::Eth { .. }))
    else {
        return link_view(out, meta, decoded, paint);
    };
    let size = decoded.ethernet_packet.map_or(meta.origlen, |packet| packet.frame);
    view_title(out, paint, 2, "What the card handed over: the Ethernet frame", Some(size))?;
    column_heads(out, paint)?;
    let link_end = link_layers(out, decoded, eth, paint)?;
    let fcs_at = meta.caplen.saturating_sub(decoded.fcs_bytes);
    let content = fcs_at.saturating_sub(link_end);
    let what = match decoded.layers.get(first_inner(decoded, eth)) {
        Some(layer) => format!("{}: view 3", words::title(layer)),
        None => "data".to_owned(),
    };
    let cut = if meta.caplen < meta.origlen { "not all captured" } else { "" };
    let payload = Row {
        offset: Some(link_end),
        length: content,
        label: "payload",
        value: what,
        remark: cut,
        role: Role::Net,
    };
    row(out, paint, &payload)?;
    if let Some(packet) = &decoded.ethernet_packet {
        tail(out, packet, decoded, fcs_at, paint)?;
    }
    Ok(())
}

/// Addresses, tags, type. Returns where the payload begins.
fn link_layers(out: &mut Vec<u8>, decoded: &Decoded, eth: usize, paint: Paint) -> io::Result<u32> {
    let mut end = 0;
    for layer in &decoded.layers[..first_inner(decoded, eth)] {
        end = layer.end();
        let LayerInfo::Eth { dst, src, ty_or_len } = layer.info else {
            generic(out, layer, Role::Link, paint)?;
            continue;
        };
        let field = |at, length, label, value, remark| Row {
            offset: Some(layer.offset + at),
            length,
            label,
            value,
            remark,
            role: Role::Link,
        };
        row(out, paint, &field(0, 6, "destination", dst.to_string(), words::mac_remark(dst)))?;
        row(out, paint, &field(6, 6, "source", src.to_string(), words::mac_remark(src)))?;
        let (label, value) = match ty_or_len {
            0..0x600 => ("length", format!("{ty_or_len}")),
            ty => ("type", format!("0x{ty:04x}")),
        };
        let name = words::ethertype(ty_or_len).unwrap_or("");
        row(out, paint, &field(12, 2, label, value, name))?;
    }
    Ok(end)
}

/// Index of the first layer that is no longer Ethernet's: not a tag, not LLC.
fn first_inner(decoded: &Decoded, eth: usize) -> usize {
    let inner = |layer: &Layer| {
        !matches!(
            layer.info,
            LayerInfo::Eth { .. }
                | LayerInfo::Vlan { .. }
                | LayerInfo::Llc { .. }
                | LayerInfo::Macsec { .. }
                | LayerInfo::Ieee8021ah { .. }
        )
    };
    let rest = &decoded.layers[eth..];
    eth + rest.iter().position(inner).unwrap_or(rest.len())
}

fn tail(
    out: &mut Vec<u8>,
    packet: &EthernetPacket,
    decoded: &Decoded,
    fcs_at: u32,
    paint: Paint,
) -> io::Result<()> {
    if packet.pad > 0 {
        let pad = Row {
            offset: None,
            length: packet.pad,
            label: "padding",
            value: "to the minimum of 64, added by the card".to_owned(),
            remark: "derived",
            role: Role::Dim,
        };
        row(out, paint, &pad)?;
    }
    let value = match packet.fcs {
        FcsState::Absent => "removed by the card, not in the file",
        FcsState::Good => "captured, and fits",
        FcsState::Bad => "captured, and does NOT fit: a damaged frame",
        FcsState::Unknown => "unknown whether the last bytes are one",
    };
    let captured = decoded.fcs_bytes > 0;
    let fcs = Row {
        offset: captured.then_some(fcs_at),
        length: if captured { decoded.fcs_bytes } else { 4 },
        label: "FCS",
        value: value.to_owned(),
        remark: if packet.derived.contains(&"fcs") { "derived" } else { "" },
        role: if packet.fcs == FcsState::Bad { Role::Bad } else { Role::Dim },
    };
    row(out, paint, &fcs)
}

/// For captures that do not begin with an Ethernet frame.
fn link_view(
    out: &mut Vec<u8>,
    meta: &FrameMeta,
    decoded: &Decoded,
    paint: Paint,
) -> io::Result<()> {
    let title = format!("What was captured: {}", meta.linktype);
    view_title(out, paint, 2, &title, Some(meta.caplen))?;
    let outer = outer_layers(decoded);
    if outer > 0 {
        column_heads(out, paint)?;
    }
    for layer in &decoded.layers[..outer] {
        generic(out, layer, Role::Link, paint)?;
    }
    if decoded.layers.is_empty() {
        let text = "Frames of this link type are named and counted, not taken apart. Try --hex.";
        writeln!(out, "   {}", paint.dim(text))?;
    }
    Ok(())
}

/// How many layers come before the first of the network.
fn outer_layers(decoded: &Decoded) -> usize {
    let network =
        |l: &Layer| matches!(words::role(&l.info), Role::Net | Role::Tunnel | Role::Transport);
    decoded.layers.iter().position(network).unwrap_or(decoded.layers.len())
}

fn inner_view(out: &mut Vec<u8>, decoded: &Decoded, paint: Paint) -> io::Result<()> {
    let eth = decoded.layers.iter().position(|l| matches!(l.info, LayerInfo::Eth { .. }));
    let from = eth.map_or_else(|| outer_layers(decoded), |eth| first_inner(decoded, eth));
    let layers = &decoded.layers[from..];
    let Some(first) = layers.first() else { return Ok(()) };
    let (title, size) = match &first.info {
        LayerInfo::Ip(ip) => ("Inside: the IP packet", Some(u32::from(ip.total_length))),
        LayerInfo::Ipv6(ip) => ("Inside: the IP packet", Some(40 + u32::from(ip.payload_length))),
        LayerInfo::Arp { .. } => ("Inside: ARP, not an IP packet", None),
        _ => ("Inside: not an IP packet", None),
    };
    view_title(out, paint, 3, title, size)?;
    column_heads(out, paint)?;
    let mut quoted = false;
    for layer in layers {
        if layer.quoted && !quoted {
            let text = "quoted: the start of the packet that caused this error";
            writeln!(out, "{:16}{}", "", paint.dim(text))?;
            quoted = true;
        }
        generic(out, layer, words::role(&layer.info), paint)?;
    }
    let payload = &decoded.payload;
    let length = payload.end.saturating_sub(payload.start);
    if length > 0 {
        let data = Row {
            offset: Some(payload.start),
            length,
            label: "data",
            value: "what the programs exchange; --hex shows it".to_owned(),
            remark: "",
            role: Role::Payload,
        };
        row(out, paint, &data)?;
    }
    Ok(())
}

fn generic(out: &mut Vec<u8>, layer: &Layer, role: Role, paint: Paint) -> io::Result<()> {
    let title = words::title(layer);
    let mut lines = words::details(layer).into_iter();
    let first = Row {
        offset: Some(layer.offset),
        length: layer.length,
        label: &title,
        value: lines.next().unwrap_or_default(),
        remark: "",
        role,
    };
    row(out, paint, &first)?;
    for line in lines.flat_map(|line| wrap(&line, width().min(110) - 31)) {
        writeln!(out, "{:29}{line}", "")?;
    }
    Ok(())
}

fn remarks(out: &mut Vec<u8>, meta: &FrameMeta, decoded: &Decoded, paint: Paint) -> io::Result<()> {
    if let Some(malformed) = &decoded.malformed {
        let text = format!(
            "malformed: {} at byte {} needs {} bytes and has {}; what comes before it is above",
            malformed.layer, malformed.offset, malformed.need, malformed.have
        );
        writeln!(out)?;
        for line in wrap(&text, width().min(100) - 3) {
            writeln!(out, "{}", paint.bad(line))?;
        }
    }
    if let Some(lost) = meta.drop_count.filter(|&n| n > 0) {
        writeln!(out, "\n{}", paint.warn(format!("{lost} frames before this one were lost")))?;
    }
    if decoded.notes.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", paint.head("Notes"))?;
    for note in &decoded.notes {
        let place = match note.bytes {
            0 => format!("byte {}", note.offset),
            bytes => format!("byte {}, {bytes} long", note.offset),
        };
        let text = format!("{} ({place})", note.code.text());
        for (i, line) in wrap(&text, width().min(100) - 6).iter().enumerate() {
            let bullet = if i == 0 { "*" } else { " " };
            writeln!(out, "  {bullet} {line}")?;
        }
    }
    Ok(())
}
