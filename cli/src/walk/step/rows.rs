//! A step as coloured rows: what the terminal and a pipe both show.

use pipeline::step::{Buffer, Direction, Geometry, Step, StepKind};
use skb::decode::{Decoded, Decoder, Layer};
use skb::{FrameMeta, IpSummed, Stage};

use crate::term::{Role, grouped, safe, wrap};

/// A piece of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// What it is.
    pub(super) role: Role,
    /// The text.
    pub(super) text: String,
}

/// A row of the screen.
pub(super) type Row = Vec<Piece>;

/// Bytes in a row of the hex dump.
pub(super) const HEX_BYTES: usize = 16;
/// The same where the window is too narrow for them.
const HEX_BYTES_NARROW: usize = 8;
/// Columns of a row with [`HEX_BYTES`]: offset, bytes, gap, text.
const HEX_COLUMNS: usize = 5 + 3 * HEX_BYTES + 1 + 2 + HEX_BYTES;

pub(super) fn piece(role: Role, text: impl Into<String>) -> Piece {
    Piece { role, text: text.into() }
}

fn plain(text: impl Into<String>) -> Row {
    vec![piece(Role::Plain, text)]
}

/// `wire > [nic] > driver > skb > vswitch > guest`, the stage of `step` marked, the stages the
/// frame never reaches dim.
pub(super) fn rail(step: &Step, reached: Stage) -> Row {
    let (from, to) = match step.direction {
        Direction::FromWire => ("wire", "guest"),
        Direction::FromGuest => ("guest", "wire"),
    };
    let mut row = vec![piece(Role::Dim, format!("{from} ▸ "))];
    for stage in Stage::ALL {
        // a flood may end at several kinds of port; the last stage is named after its usual one
        let name = if stage == Stage::Guest { to } else { stage.name() };
        let here = stage == step.stage;
        row.push(match (here, stage > reached) {
            (true, _) => piece(Role::Head, format!("[{name}]")),
            (false, true) => piece(Role::Dim, format!("({name})")),
            (false, false) => piece(Role::Plain, name),
        });
        if stage != Stage::Guest {
            row.push(piece(Role::Dim, " ▸ "));
        }
    }
    row
}

/// Title, object, owner, the text, geometry, facts and the same place elsewhere; no bytes.
pub(super) fn about(step: &Step, ns_per_tick: f64, width: usize) -> Vec<Row> {
    let title_role = match step.kind {
        StepKind::Dropped(..) => Role::Warn,
        _ => Role::Head,
    };
    let mut rows = vec![vec![piece(title_role, &step.title)]];
    rows.extend(labelled("in hand", &step.object, width));
    rows.extend(labelled("owner", &step.owner, width));
    for text in &step.text {
        rows.extend(wrap(&safe(text), width).into_iter().map(plain));
    }
    if let Some(geometry) = &step.geometry {
        rows.extend(draw(geometry, width));
    }
    if let Some(packet) = &step.packet {
        rows.push(draw_packet(packet, step));
    }
    let dim = |text: String| vec![piece(Role::Dim, text)];
    rows.extend(wrap(&facts(step, ns_per_tick), width).into_iter().map(dim));
    if let Some(text) = fields(step) {
        rows.extend(wrap(&text, width).into_iter().map(dim));
    }
    if !step.linux.is_empty() {
        rows.extend(labelled("Linux", step.linux, width));
        rows.extend(labelled("Hyper-V", step.hyperv, width));
    }
    rows
}

fn labelled(label: &str, text: &str, width: usize) -> Vec<Row> {
    let indent = 9;
    let rows = wrap(&safe(text), width.saturating_sub(indent));
    let label_of = |i: usize| if i == 0 { format!("{label:<indent$}") } else { " ".repeat(indent) };
    rows.into_iter()
        .enumerate()
        .map(|(i, text)| vec![piece(Role::Dim, label_of(i)), piece(Role::Plain, text)])
        .collect()
}

/// head, headroom, what was pulled, data..tail, tailroom, end: parts to scale as far as they fit.
fn draw(geometry: &Geometry, width: usize) -> Vec<Row> {
    let Geometry { data, tail, end, pulled, buffer } = *geometry;
    let front = data - pulled;
    let parts = [
        (Role::Dim, front, "headroom"),
        (Role::Link, pulled, "pulled"),
        (Role::Good, tail - data, "in view"),
        (Role::Dim, end - tail, "tailroom"),
    ];
    let shown: Vec<_> = parts.into_iter().filter(|(_, bytes, _)| *bytes > 0).collect();
    let words = |bytes: usize, name: &str| format!(" {} {name} ", grouped(bytes as u64));
    let needed: usize = shown.iter().map(|(_, bytes, name)| words(*bytes, name).len() + 1).sum();
    let spare = width.min(100).saturating_sub(needed + 1);
    let total: usize = shown.iter().map(|(_, bytes, _)| bytes).sum();
    let mut bar = vec![piece(Role::Plain, "|")];
    for (role, bytes, name) in shown {
        let text = words(bytes, name);
        let room = text.len() + spare * bytes / total.max(1);
        bar.push(piece(role, format!("{text:^room$}")));
        bar.push(piece(Role::Plain, "|"));
    }
    let lies = match buffer {
        Buffer::Slot => "a slot of its own",
        Buffer::Block => "a read block, no room around it",
    };
    let offsets = format!("head 0  data {data}  tail {tail}  end {end}   in {lies}");
    vec![bar, vec![piece(Role::Dim, offsets)]]
}

/// The IEEE 802.3 packet, what is derived marked with `*`.
fn draw_packet(packet: &skb::decode::EthernetPacket, step: &Step) -> Row {
    let derived = |name: &str| if packet.derived.contains(&name) { "*" } else { "" };
    let captured = step.bytes.len().min(packet.frame as usize);
    let dim =
        |name: &str, bytes: u32| piece(Role::Dim, format!(" {name}{} {bytes} ", derived(name)));
    let bar = || piece(Role::Plain, "|");
    let mut row = vec![bar(), dim("preamble", packet.preamble.into()), bar()];
    row.extend([dim("sfd", packet.sfd.into()), bar()]);
    row.push(piece(Role::Good, format!(" captured {} ", grouped(captured as u64))));
    row.push(bar());
    if packet.pad > 0 {
        row.extend([piece(Role::Dim, format!(" pad* {} ", packet.pad)), bar()]);
    }
    if packet.derived.contains(&"fcs") {
        row.extend([piece(Role::Dim, " fcs* 4 "), bar()]);
    }
    row.push(piece(Role::Dim, " gap* 12   * derived"));
    row
}

fn facts(step: &Step, ns_per_tick: f64) -> String {
    let mut facts = vec![match step.cost_ticks {
        Some(ticks) => format!("cost {:.0} ns", ticks as f64 * ns_per_tick),
        None if step.told => "told, not run: no cost".to_owned(),
        None => "cost not measured here".to_owned(),
    }];
    facts.push(format!("copies so far {}", step.copies));
    facts.push(format!("references of this frame {}", step.references));
    if let Some(refs) = step.refs {
        facts.push(match step.buffer {
            Some(Buffer::Block) => format!("dataref of the whole read block {refs}"),
            _ => format!("dataref {refs}"),
        });
    }
    facts.join("; ")
}

fn fields(step: &Step) -> Option<String> {
    let fields = step.fields?;
    let mut text = vec![
        format!("protocol 0x{:04x}", fields.ethertype),
        format!("vlan_tci 0x{:04x}", fields.vlan_tci),
        format!("network {}", offset(fields.network)),
        format!("transport {}", offset(fields.transport)),
    ];
    text.push(format!(
        "ip_summed {}",
        match fields.ip_summed {
            IpSummed::None => "NONE",
            IpSummed::Unnecessary => "UNNECESSARY",
            IpSummed::Complete => "COMPLETE",
            IpSummed::Partial => "PARTIAL",
        }
    ));
    if fields.gso_size > 0 {
        text.push(format!("gso_size {}", fields.gso_size));
    }
    Some(text.join("; "))
}

fn offset(value: u16) -> String {
    if value == 0 { "-".to_owned() } else { format!("+{value}") }
}

/// The bytes: layers in their colours, what is out of view dim. `-` stands before bytes that are
/// out of view, so that no meaning hangs on the colour.
pub(super) fn hex(step: &Step, width: usize) -> Vec<Row> {
    let colours = colours(step);
    let in_row = if width < HEX_COLUMNS { HEX_BYTES_NARROW } else { HEX_BYTES };
    let mut rows = Vec::with_capacity(step.bytes.len().div_ceil(in_row));
    for (at, chunk) in step.bytes.chunks(in_row).enumerate() {
        let base = at * in_row;
        let mut row = vec![piece(Role::Dim, format!("{base:04x} "))];
        for (i, byte) in chunk.iter().enumerate() {
            let gap = if i == 8 { "  " } else { " " };
            let mark = if step.view.contains(&(base + i)) {
                gap.to_owned()
            } else {
                gap.replacen(' ', "-", 1)
            };
            row.push(piece(colours[base + i], format!("{mark}{byte:02x}")));
        }
        let missing = in_row - chunk.len();
        let pad = missing * 3 + usize::from(chunk.len() <= 8 && in_row > 8);
        let text: String = chunk.iter().map(|b| printable(*b)).collect();
        row.push(piece(Role::Dim, format!("{}  {text}", " ".repeat(pad))));
        rows.push(row);
    }
    rows
}

fn printable(byte: u8) -> char {
    if byte.is_ascii_graphic() || byte == b' ' { byte as char } else { '.' }
}

fn colours(step: &Step) -> Vec<Role> {
    let mut colours = vec![Role::Payload; step.bytes.len()];
    for layer in layers(step) {
        let range = layer.offset as usize..(layer.end() as usize).min(colours.len());
        if let Some(part) = colours.get_mut(range) {
            part.fill(role(layer.kind()));
        }
    }
    if let Some(part) = colours.get_mut(..step.view.start) {
        part.fill(Role::Dim);
    }
    colours
}

/// The headers of the bytes at this step.
fn layers(step: &Step) -> Vec<Layer> {
    let meta = FrameMeta {
        number: 1,
        caplen: step.bytes.len() as u32,
        origlen: step.origlen,
        linktype: step.linktype,
        ..FrameMeta::default()
    };
    let mut decoded = Decoded::default();
    let mut decoder = Decoder { verify_checksums: false, ..Decoder::default() };
    decoder.decode(&meta, &step.bytes, &mut decoded);
    decoded.layers
}

/// The headers in view with their colours: the legend of the dump.
pub(super) fn legend(step: &Step) -> Row {
    let mut row = vec![piece(Role::Dim, "bytes: ")];
    for layer in layers(step) {
        let role =
            if (layer.end() as usize) <= step.view.start { Role::Dim } else { role(layer.kind()) };
        row.push(piece(role, format!("{} {}", layer.kind(), layer.length)));
        row.push(piece(Role::Dim, ", "));
    }
    let hidden = if step.view.start > 0 { "; - marks bytes out of view" } else { "" };
    row.push(piece(Role::Payload, "rest: payload"));
    row.push(piece(Role::Dim, hidden));
    row
}

fn role(kind: &str) -> Role {
    match kind {
        "ip" | "ipv6" | "arp" => Role::Net,
        "tcp" | "udp" | "icmp" | "icmpv6" | "sctp" | "igmp" => Role::Transport,
        "gre" | "vxlan" | "geneve" | "mpls" | "pppoe" | "gtp" | "l2tp" | "teredo" | "erspan" => {
            Role::Tunnel
        }
        _ => Role::Link,
    }
}
