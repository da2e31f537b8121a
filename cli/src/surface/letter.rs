//! The letter to the owner: one page in plain words, as Markdown or as an HTML page of its own.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, bail};
use surface::{Finding, Health, NatSide, Severity, Site};

use super::findings;
use super::origin::Origin;
use crate::term::{duration, time};

/// Findings of one section, services.
const ITEMS_MAX: usize = 6;
/// Cases named of one finding.
const CASES_MAX: usize = 3;

/// What a letter is made of.
#[derive(Debug)]
enum Block {
    Heading(&'static str),
    Text(String),
    /// A point: what is said in bold, and the rest.
    Item(String, String),
    /// Small print.
    Small(String),
}

/// What is known of the look itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looked<'a> {
    /// The capture, or the interface.
    pub(super) source: &'a str,
    pub(super) origin: &'a Origin,
    pub(super) first_ns: i64,
    pub(super) last_ns: i64,
    pub(super) flows: u64,
}

/// The formats, by the file's ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Markdown,
    Html,
}

fn format_of(file: &Path) -> anyhow::Result<Format> {
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("md") => Ok(Format::Markdown),
        Some("html" | "htm") => Ok(Format::Html),
        _ => bail!("{}: a letter is written as .md (Markdown) or .html", file.display()),
    }
}

/// Fails if the letter could not be written at the end, before hours of listening.
pub(super) fn check(file: &Path) -> anyhow::Result<()> {
    format_of(file).map(|_| ())
}

/// The letter.
pub(super) fn text(format: Format, site: &Site, looked: Looked<'_>) -> String {
    let blocks = blocks(site, looked);
    match format {
        Format::Markdown => markdown(&blocks),
        Format::Html => html(&blocks),
    }
}

/// Writes the letter, readable by its owner only.
pub(super) fn write(file: &Path, site: &Site, looked: Looked<'_>) -> anyhow::Result<()> {
    let text = text(format_of(file)?, site, looked);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let private = |out: &std::fs::File| {
        // one that was there keeps the mode it had
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            out.set_permissions(std::fs::Permissions::from_mode(0o600))
        }
        #[cfg(not(unix))]
        std::io::Result::Ok(())
    };
    options
        .open(file)
        .and_then(|mut out| private(&out).and_then(|()| out.write_all(text.as_bytes())))
        .with_context(|| format!("cannot write {}", file.display()))
}

fn blocks(site: &Site, looked: Looked<'_>) -> Vec<Block> {
    let (found, health) = (site.findings(), site.health());
    let mut blocks = vec![Block::Text(opening(looked, &health))];
    for remark in &health.remarks {
        blocks.push(Block::Small(format!("Note: {remark}.")));
    }
    let of = |range: std::ops::RangeInclusive<Severity>| {
        found.iter().filter(|f| range.contains(&f.severity)).cloned().collect::<Vec<_>>()
    };
    let urgent = of(Severity::High..=Severity::Critical);
    blocks.push(Block::Heading("Do this today"));
    if urgent.is_empty() {
        blocks.push(Block::Text(format!(
            "Nothing urgent was seen in {}. That is not the same as being safe: what nobody used \
             while this was recorded left no trace in it.",
            duration(looked.last_ns.saturating_sub(looked.first_ns).max(0) as u64)
        )));
    }
    items(&mut blocks, &urgent);
    let soon = of(Severity::Low..=Severity::Medium);
    if !soon.is_empty() {
        blocks.push(Block::Heading("Do this soon"));
        items(&mut blocks, &soon);
    }
    let good = of(Severity::Good..=Severity::Good);
    if !good.is_empty() {
        blocks.push(Block::Heading("What is good"));
        items(&mut blocks, &good);
    }
    services(&mut blocks, site);
    blocks.push(Block::Heading("What this look cannot show"));
    blocks.push(Block::Text(
        "Who may log on and with which password; whether programs are up to date; what is plugged \
         into USB ports; your WiFi; what is read in e-mail over an encrypted connection; and any \
         door that nobody used while this was recorded. Ask whoever looks after your computers \
         about each of these."
            .into(),
    ));
    fine_print(&mut blocks, &found, looked);
    blocks
}

fn opening(looked: Looked<'_>, health: &Health) -> String {
    let side = match health.nat_side {
        NatSide::Inside => "from the inner side of the router",
        NatSide::Outside => "from the outer side of the router",
        NatSide::Both => "on both sides of the router",
        NatSide::Unknown => "on a network where nothing crossed a router",
    };
    let mut text = format!("We looked at the traffic of your network {side}");
    if looked.first_ns != 0 {
        let day = |ns: i64| time::rfc3339(ns).get(..16).unwrap_or_default().replace('T', " ");
        _ = write!(
            text,
            ", from {} to {} UTC ({})",
            day(looked.first_ns),
            day(looked.last_ns),
            duration(looked.last_ns.saturating_sub(looked.first_ns).max(0) as u64)
        );
    }
    _ = write!(text, ": {} conversations. What was said in them was not kept.", looked.flows);
    text
}

fn items(blocks: &mut Vec<Block>, findings: &[Finding]) {
    let kinds: Vec<_> = findings.chunk_by(|a, b| a.rule.id == b.rule.id).collect();
    for cases in kinds.iter().take(ITEMS_MAX) {
        let Some(first) = cases.first() else { continue };
        let named: Vec<_> = cases.iter().take(CASES_MAX).map(|case| case.detail.clone()).collect();
        let more = cases.len().saturating_sub(CASES_MAX);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let text = format!(
            "{} {} (Seen: {}{more}.)",
            first.rule.meaning,
            first.rule.action,
            named.join("; ")
        );
        blocks.push(Block::Item(format!("{}.", first.rule.title), text));
    }
    let more = kinds.len().saturating_sub(ITEMS_MAX);
    if more > 0 {
        blocks.push(Block::Small(format!("{more} more kinds of findings are in the full report.")));
    }
}

/// What the site depends on.
fn services(blocks: &mut Vec<Block>, site: &Site) {
    let services = site.key_services();
    if services.is_empty() {
        return;
    }
    blocks.push(Block::Heading("What your work depends on"));
    blocks.push(Block::Text(
        "If one of these stops, somebody stops working. Each belongs in your recovery plan, with \
         how long you can do without it and how old its last tested backup may be."
            .into(),
    ));
    for service in services.iter().take(ITEMS_MAX * 2) {
        let clients = match service.clients.len() {
            1 => "1 computer uses it".to_owned(),
            n => format!("{n} computers use it"),
        };
        let words = service.role.words();
        let name = words[..1].to_uppercase() + &words[1..];
        let text = format!("{clients}{}.", findings::copies(service));
        blocks.push(Block::Item(format!("{name}: {}.", service.host), text));
    }
    let more = services.len().saturating_sub(ITEMS_MAX * 2);
    if more > 0 {
        blocks.push(Block::Small(format!("{more} more are in the full report.")));
    }
}

/// For whoever looks after the computers.
fn fine_print(blocks: &mut Vec<Block>, findings: &[Finding], looked: Looked<'_>) {
    if findings.is_empty() {
        return;
    }
    blocks.push(Block::Heading("For your IT person"));
    blocks.push(Block::Small(format!(
        "Frames are those of {} ({}).",
        looked.source,
        looked.origin.in_words()
    )));
    for finding in findings.iter().take(ITEMS_MAX * 3) {
        let frames: Vec<_> = finding.evidence.iter().take(4).map(ToString::to_string).collect();
        blocks.push(Block::Small(format!(
            "{} ({}, {}): {}. Frames {}. What would refute it: {}",
            finding.rule.id,
            finding.severity.name(),
            finding.sure.name(),
            finding.detail,
            frames.join(", "),
            finding.rule.refute
        )));
    }
}

const TITLE: &str = "What your network shows";

fn markdown(blocks: &[Block]) -> String {
    let mut out = format!("# {TITLE}\n");
    let mut in_list = false;
    for block in blocks {
        let item = matches!(block, Block::Item(..));
        if !(item && in_list) {
            out.push('\n');
        }
        in_list = item;
        // writing into a string cannot fail
        _ = match block {
            Block::Heading(text) => writeln!(out, "## {text}"),
            Block::Text(text) => writeln!(out, "{}", escape_markdown(text)),
            Block::Item(bold, text) => {
                writeln!(out, "- **{}** {}", escape_markdown(bold), escape_markdown(text))
            }
            Block::Small(text) => writeln!(out, "*{}*", escape_markdown(text)),
        };
    }
    out
}

/// Names come from frames: nothing in them may become mark-up.
fn escape_markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '!') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

const STYLE: &str = "body{font:16px/1.45 Georgia,serif;max-width:42em;margin:2em auto;\
    padding:0 1em;color:#222}h1{font-size:1.5em}h2{font-size:1.1em;margin:1.2em 0 .3em;\
    border-bottom:1px solid #ccc}p,ul{margin:.4em 0}.small{font-size:.8em;color:#555}\
    @media print{body{margin:0}}";

fn html(blocks: &[Block]) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{TITLE}</title><style>{STYLE}</style></head>\n\
         <body><h1>{TITLE}</h1>\n"
    );
    let mut in_list = false;
    for block in blocks {
        let item = matches!(block, Block::Item(..));
        if item != in_list {
            out.push_str(if item { "<ul>\n" } else { "</ul>\n" });
            in_list = item;
        }
        _ = match block {
            Block::Heading(text) => writeln!(out, "<h2>{text}</h2>"),
            Block::Text(text) => writeln!(out, "<p>{}</p>", escape_html(text)),
            Block::Item(bold, text) => {
                writeln!(out, "<li><b>{}</b> {}</li>", escape_html(bold), escape_html(text))
            }
            Block::Small(text) => writeln!(out, "<p class=\"small\">{}</p>", escape_html(text)),
        };
    }
    if in_list {
        out.push_str("</ul>\n");
    }
    out.push_str("</body></html>\n");
    out
}

fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_frames_stay_text() {
        let blocks =
            [Block::Item("a<b>".into(), "*c* & [d](e)".into()), Block::Text("plain".into())];
        let page = html(&blocks);
        assert!(page.contains("<li><b>a&lt;b&gt;</b> *c* &amp; [d](e)</li>\n</ul>\n<p>plain</p>"));
        let text = markdown(&blocks);
        assert!(text.contains("- **a\\<b\\>** \\*c\\* & \\[d\\](e)\n\nplain"));
    }

    #[test]
    fn the_ending_says_the_format() {
        assert!(check(Path::new("letter.md")).is_ok());
        assert!(check(Path::new("letter.html")).is_ok());
        let error = check(Path::new("letter.pdf")).unwrap_err().to_string();
        assert_eq!(error, "letter.pdf: a letter is written as .md (Markdown) or .html");
    }
}
