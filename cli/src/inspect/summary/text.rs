//! The summary for people.

use std::fmt::Write as _;
use std::io::{self, Write};

use capture::Reader;

use super::{Counts, Row, SIZE_BOUNDS, Summary};
use crate::inspect::file;
use crate::term::{Paint, Role, bits_per_second, bytes, duration, grouped, percent, time, width};

/// Hosts and conversations shown.
const TALKERS: usize = 10;
/// Lines of the hierarchy and of VLANs shown.
const ROWS_MAX: usize = 60;
/// Applications shown under one transport.
const APPS_MAX: usize = 12;

/// Writes the whole of it. `live`: the frames came from an interface, not from a file.
pub fn write_text(
    out: &mut Vec<u8>,
    reader: &Reader,
    summary: &mut Summary,
    live: bool,
    paint: Paint,
) -> io::Result<()> {
    file::write_facts(out, reader, live, paint)?;
    totals(out, summary, paint)?;
    if summary.all.frames == 0 {
        return Ok(());
    }
    hierarchy(out, summary, paint)?;
    sizes(out, summary, paint)?;
    vlans(out, summary, paint)?;
    talkers(out, summary, paint)?;
    wire(out, summary, paint)
}

fn totals(out: &mut Vec<u8>, summary: &Summary, paint: Paint) -> io::Result<()> {
    let all = summary.all;
    let cut = match summary.cut {
        0 => String::new(),
        cut => format!(
            " ({} captured; {} frames cut short)",
            bytes(summary.caplen_bytes),
            grouped(cut)
        ),
    };
    file::fact(
        out,
        paint,
        "frames",
        &format!("{}, {}{cut}", grouped(all.frames), bytes(all.bytes)),
    )?;
    if let Some((first, last)) = summary.wire.span {
        file::fact(out, paint, "time", &file::span(first, last))?;
    }
    let wire = &summary.wire;
    if wire.backwards > 0 {
        let text = format!(
            "{} frames are earlier than the one before them in the file",
            grouped(wire.backwards)
        );
        file::fact(out, paint, "order", &text)?;
    }
    if wire.untimed > 0 {
        file::fact(out, paint, "no time", &format!("{} frames", grouped(wire.untimed)))?;
    }
    if summary.malformed > 0 {
        let text = format!("{} frames contradict themselves", grouped(summary.malformed));
        file::fact(out, paint, "malformed", &text)?;
    }
    Ok(())
}

fn hierarchy(out: &mut Vec<u8>, summary: &Summary, paint: Paint) -> io::Result<()> {
    let all = summary.all;
    heading(out, paint, "protocols", "frames", "bytes")?;
    let rows = summary.tree.rows();
    let rows = without_rare_apps(&rows);
    for row in rows.iter().take(ROWS_MAX) {
        let star = if row.by_port { " *" } else { "" };
        let name = format!("{:indent$}{}{star}", "", row.kind, indent = 2 * row.depth);
        let role = match row.depth {
            _ if row.by_port => Role::Payload,
            0 => Role::Link,
            1 => Role::Net,
            2 => Role::Transport,
            _ => Role::Plain,
        };
        counted(out, paint, role, &name, row.counts, all)?;
    }
    let more = summary.tree.rows().len() - rows.len().min(ROWS_MAX);
    if more > 0 {
        writeln!(out, "  {}", paint.dim(format!("and {more} rarer ones; --json has them all")))?;
    }
    if rows.iter().any(|row| row.by_port) {
        writeln!(out, "  {}", paint.dim("* named by its port number, not by its content"))?;
    }
    Ok(())
}

/// The tree with the rarest applications of each transport left out: there can be dozens.
fn without_rare_apps(rows: &[Row]) -> Vec<&Row> {
    let mut apps = 0;
    let few = |row: &&Row| {
        apps = if row.by_port { apps + 1 } else { 0 };
        apps <= APPS_MAX
    };
    rows.iter().filter(few).collect()
}

fn sizes(out: &mut Vec<u8>, summary: &Summary, paint: Paint) -> io::Result<()> {
    heading(out, paint, "frame sizes, without FCS", "frames", "bytes")?;
    let mut from = 0;
    for (bound, counts) in SIZE_BOUNDS.into_iter().zip(summary.sizes) {
        let name = match (from, bound) {
            (0, to) => format!("up to {to}"),
            (from, to) if from == to => format!("{from}, the minimum"),
            (from, u32::MAX) => format!("{from} and more"),
            (1515, to) => format!("1515 to {to}, jumbo or merged"),
            (from, to) => format!("{from} to {to}"),
        };
        from = bound.wrapping_add(1);
        if counts.frames > 0 {
            counted(out, paint, Role::Plain, &name, counts, summary.all)?;
        }
    }
    Ok(())
}

fn vlans(out: &mut Vec<u8>, summary: &Summary, paint: Paint) -> io::Result<()> {
    if summary.vlans.is_empty() {
        return Ok(());
    }
    heading(out, paint, "VLANs, outermost tag", "frames", "bytes")?;
    for (vid, counts) in summary.vlans.iter().take(ROWS_MAX) {
        counted(out, paint, Role::Plain, &format!("VLAN {vid}"), *counts, summary.all)?;
    }
    if summary.vlans.len() > ROWS_MAX {
        let more = summary.vlans.len() - ROWS_MAX;
        writeln!(out, "  {}", paint.dim(format!("and {more} more")))?;
    }
    Ok(())
}

fn talkers(out: &mut Vec<u8>, summary: &Summary, paint: Paint) -> io::Result<()> {
    let flows = &summary.flows;
    let (hosts, pairs) = flows.busiest(TALKERS);
    if hosts.top.is_empty() {
        return Ok(());
    }
    let missed = flows.overflow();
    let at_least = if missed.frames + hosts.missed.frames > 0 { "at least " } else { "" };
    let title = format!("hosts, the busiest of {at_least}{}", grouped(hosts.all));
    heading(out, paint, &title, "frames", "bytes")?;
    for host in &hosts.top {
        counted(out, paint, Role::Net, &host.address.to_string(), host.counts, summary.all)?;
    }
    let title = format!("conversations, the busiest of {at_least}{}", grouped(pairs.all));
    heading(out, paint, &title, "frames", "bytes")?;
    for pair in &pairs.top {
        let name = format!("{} - {}", pair.a, pair.b);
        counted(out, paint, Role::Net, &name, pair.counts, summary.all)?;
    }
    let counts = flows.flow_counts();
    let [all, tcp, udp] = [counts.all, counts.tcp, counts.udp].map(grouped);
    writeln!(
        out,
        "  {at_least}{all} flows (protocol, two addresses, two ports): {tcp} TCP, {udp} UDP"
    )?;
    if missed.frames > 0 {
        writeln!(
            out,
            "  {} {} frames of still more flows: the tables were full",
            paint.warn("not counted above:"),
            grouped(missed.frames)
        )?;
    }
    Ok(())
}

fn wire(out: &mut Vec<u8>, summary: &mut Summary, paint: Paint) -> io::Result<()> {
    let total = summary.wire.total;
    let Some((first, last)) = summary.wire.span else { return Ok(()) };
    if total.frames == 0 {
        return Ok(());
    }
    writeln!(out, "\n{}", paint.head("load on the wire (frames with preamble, FCS and gap)"))?;
    let span_ns = i128::from(last) - i128::from(first);
    let mut line = format!("{} on the wire", bytes(total.bytes));
    if span_ns > 0 {
        let mean = total.bytes as f64 * 8.0 / (span_ns as f64 / 1e9);
        _ = write!(line, ", {} on average", bits_per_second(mean));
    }
    writeln!(out, "  {line}")?;
    if let Some((second, counts)) = summary.wire.peak() {
        let bits = counts.bytes as f64 * 8.0;
        let at = time::rfc3339(second.saturating_mul(1_000_000_000));
        writeln!(
            out,
            "  busiest second {}Z: {}, {} frames{}",
            &at[..19],
            bits_per_second(bits),
            grouped(counts.frames),
            of_link(bits)
        )?;
    }
    if span_ns >= 2_000_000_000 {
        // no column is shorter than the seconds that are counted
        let columns = (width().min(100) - 4).min(span_ns as usize / 1_000_000_000 + 1);
        let profile = summary.wire.profile(columns);
        let step = duration((span_ns / columns as i128).max(1_000_000_000) as u64);
        writeln!(out, "  {}", paint.role(Role::Link, sparkline(&profile)))?;
        writeln!(out, "  {}", paint.dim(format!("one column is {step}")))?;
    }
    if summary.oversize > 0 {
        writeln!(
            out,
            "  {}",
            paint.dim(format!(
                "{} frames above 1514 bytes: each counted once, though a card may have\n  merged \
                 several",
                grouped(summary.oversize)
            ))
        )?;
    }
    Ok(())
}

/// What that is of the usual link that it would load by a hundredth at least.
fn of_link(bits: f64) -> String {
    let links = [(10e9, "10 Gbit/s"), (1e9, "1 Gbit/s"), (100e6, "100 Mbit/s")];
    match links.into_iter().find(|(speed, _)| bits >= speed / 100.0) {
        Some((speed, name)) => format!(", {:.1} % of a {name} link", bits * 100.0 / speed),
        None => String::new(),
    }
}

/// Eight heights; what is not nothing shows.
fn sparkline(values: &[u64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let max = values.iter().copied().max().unwrap_or(0).max(1);
    let bar = |&value: &u64| match value {
        0 => ' ',
        _ => BARS[(u128::from(value) * 7 / u128::from(max)) as usize],
    };
    values.iter().map(bar).collect()
}

fn heading(out: &mut Vec<u8>, paint: Paint, title: &str, a: &str, b: &str) -> io::Result<()> {
    let title = paint.head(format!("{title:<42}"));
    writeln!(out, "\n{title}{}{}", paint.dim(format!("{a:>12}")), paint.dim(format!("{b:>18}")))
}

/// A line of a table: name, frames with share, bytes with share.
fn counted(
    out: &mut Vec<u8>,
    paint: Paint,
    role: Role,
    name: &str,
    counts: Counts,
    all: Counts,
) -> io::Result<()> {
    let frames = format!("{:>12}", grouped(counts.frames));
    let share = format!("{:>8}", percent(counts.frames, all.frames));
    let volume = format!("{:>10}", bytes(counts.bytes));
    let volume_share = format!("{:>8}", percent(counts.bytes, all.bytes));
    let wide = name.chars().count() > 38;
    if wide {
        writeln!(out, "  {}", paint.role(role, name))?;
        write!(out, "  {:<38}", "")?;
    } else {
        write!(out, "  {}", paint.role(role, format!("{name:<38}")))?;
    }
    writeln!(out, "{frames}{} {volume}{}", paint.dim(share), paint.dim(volume_share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparkline_shows_the_small_beside_the_great() {
        assert_eq!(sparkline(&[0, 1, 50, 100]), " ▁▄█");
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&[0, u64::MAX]), " █");
    }

    #[test]
    fn lines_fit_eighty_columns() {
        let mut out = Vec::new();
        let counts = Counts { frames: 999_999_999, bytes: 999_999_999_999 };
        counted(&mut out, Paint::off(), Role::Plain, &"x".repeat(38), counts, counts).unwrap();
        counted(&mut out, Paint::off(), Role::Plain, &"x".repeat(60), counts, counts).unwrap();
        heading(&mut out, Paint::off(), "protocols", "frames", "bytes").unwrap();
        for line in String::from_utf8(out).unwrap().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
