//! What a capture file says about itself, in lines of a label and a text.

use std::fmt::Write as _;
use std::io::{self, Write};

use capture::{Interface, Reader};
use skb::LinkType;

use crate::term::{
    Paint, Role, bits_per_second, bytes, duration, grouped, safe, time, width, wrap,
};

/// Interfaces and comments listed one by one; more are counted.
const LISTED_MAX: usize = 8;
/// Columns before the text.
const INDENT: usize = 13;

/// One line: a label and its text, wrapped to the terminal.
pub(crate) fn fact(out: &mut Vec<u8>, paint: Paint, label: &str, text: &str) -> io::Result<()> {
    let mut label = label;
    for line in wrap(text, width().min(100) - INDENT - 1) {
        writeln!(out, "  {}{line}", paint.dim(format!("{label:<11}")))?;
        label = "";
    }
    Ok(())
}

/// From when to when, and how long that is.
pub(crate) fn span(first: i64, last: i64) -> String {
    let ns = last.saturating_sub(first).max(0) as u64;
    format!("{} to {} ({})", time::rfc3339(first), time::rfc3339(last), duration(ns))
}

/// Name, format, program, comments, sections, interfaces, drops. `live`: it is no file.
pub(crate) fn write_facts(
    out: &mut Vec<u8>,
    reader: &Reader,
    live: bool,
    paint: Paint,
) -> io::Result<()> {
    let name = if reader.name() == "-" { "standard input" } else { reader.name() };
    writeln!(out, "{}", paint.head(safe(name)))?;
    if live {
        let how = "live, through a packet socket (TPACKET_V3); nothing is stored";
        fact(out, paint, "interface", how)?;
        linktypes(out, reader, paint)?;
        return drops(out, reader, live, paint);
    }
    let mut format = reader.format().to_string();
    if let Some(compression) = reader.compression() {
        _ = write!(format, ", {compression}");
    }
    if let Some(total) = reader.progress().total {
        _ = write!(format, ", {} on disk", bytes(total));
    }
    fact(out, paint, "format", &format)?;
    sections(out, reader, paint)?;
    interfaces(out, reader, paint)?;
    linktypes(out, reader, paint)?;
    drops(out, reader, live, paint)
}

fn sections(out: &mut Vec<u8>, reader: &Reader, paint: Paint) -> io::Result<()> {
    let sections = reader.sections();
    if sections.len() > 1 {
        let text =
            format!("{} (files that were joined, or a capture that was resumed)", sections.len());
        fact(out, paint, "sections", &text)?;
    }
    for section in sections.iter().take(LISTED_MAX) {
        let by = [&section.userappl, &section.os, &section.hardware];
        let by: Vec<_> = by.into_iter().flatten().map(|text| safe(text)).collect();
        if !by.is_empty() {
            fact(out, paint, "written by", &by.join(", "))?;
        }
        for comment in section.comments.iter().take(LISTED_MAX) {
            fact(out, paint, "comment", &safe(comment))?;
        }
    }
    Ok(())
}

fn interfaces(out: &mut Vec<u8>, reader: &Reader, paint: Paint) -> io::Result<()> {
    let all = reader.interfaces();
    let with_texts = all.iter().any(|i| i.texts.is_some());
    if all.len() < 2 && !with_texts {
        return Ok(());
    }
    for (index, interface) in all.iter().enumerate().take(LISTED_MAX) {
        fact(out, paint, "interface", &interface_text(index, interface))?;
        for comment in interface.texts.iter().flat_map(|t| &t.comments).take(2) {
            fact(out, paint, "", &format!("\"{}\"", safe(comment)))?;
        }
    }
    if all.len() > LISTED_MAX {
        fact(out, paint, "", &format!("and {} more interfaces", all.len() - LISTED_MAX))?;
    }
    Ok(())
}

fn interface_text(index: usize, interface: &Interface) -> String {
    let mut text = format!("{index}: ");
    for part in [interface.name(), interface.description()].into_iter().flatten() {
        _ = write!(text, "{}, ", safe(part));
    }
    _ = write!(text, "{}, {} frames", interface.linktype, grouped(interface.frames));
    if let Some(speed) = interface.speed_bps {
        _ = write!(text, ", {}", bits_per_second(speed as f64));
    }
    if interface.snaplen > 0 && interface.snaplen < 65_535 {
        _ = write!(text, ", at most {} bytes of each", grouped(u64::from(interface.snaplen)));
    }
    if let Some(filter) = interface.texts.as_ref().and_then(|t| t.filter.as_deref()) {
        _ = write!(text, ", filter \"{}\"", safe(filter));
    }
    text
}

fn linktypes(out: &mut Vec<u8>, reader: &Reader, paint: Paint) -> io::Result<()> {
    let statistics = reader.statistics();
    let mut linktypes: Vec<(LinkType, u64)> = statistics.linktypes.into_iter().collect();
    linktypes.sort_by_key(|&(linktype, frames)| (std::cmp::Reverse(frames), linktype));
    let text = match linktypes[..] {
        [] => return Ok(()),
        [(linktype, _)] => linktype.to_string(),
        _ => {
            let parts = linktypes.iter().map(|(l, n)| format!("{l} ({} frames)", grouped(*n)));
            parts.collect::<Vec<_>>().join(", ")
        }
    };
    fact(out, paint, "link type", &text)
}

fn drops(out: &mut Vec<u8>, reader: &Reader, live: bool, paint: Paint) -> io::Result<()> {
    let statistics = reader.statistics();
    let lost = statistics.interface_dropped.unwrap_or(0) + statistics.os_dropped.unwrap_or(0);
    if lost > 0 {
        let what = if live { "listening: what follows" } else { "capturing: this file" };
        let text = format!("{} frames were lost while {what} is not complete", grouped(lost));
        writeln!(
            out,
            "  {}{}",
            paint.dim(format!("{:<11}", "lost")),
            paint.role(Role::Warn, text)
        )?;
    }
    if statistics.blocks.decryption_secrets > 0 {
        let text = "the file holds keys that decrypt connections in it: treat it like a password";
        writeln!(
            out,
            "  {}{}",
            paint.dim(format!("{:<11}", "secrets")),
            paint.role(Role::Warn, text)
        )?;
    }
    Ok(())
}
