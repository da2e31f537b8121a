//! Findings, services and the mirror's health, for people.

use std::io::{self, Write};

use surface::{Finding, Health, KeyService, Role, Service, Severity, Site, proto};

use crate::inspect::file;
use crate::term::{Paint, bytes, grouped, width, wrap};

/// Services shown.
const SERVICES_SHOWN: usize = 24;
/// Kinds of findings shown; the rest are in the JSON.
const KINDS_SHOWN: usize = 24;
/// Cases shown of a kind.
const CASES_SHOWN: usize = 5;
/// Frames shown of a finding.
const FRAMES_SHOWN: usize = 6;

/// What the mirror port shows.
pub(super) fn write_health(out: &mut Vec<u8>, health: &Health, paint: Paint) -> io::Result<()> {
    writeln!(out, "\n{}", paint.head("what this capture can show"))?;
    let text = format!(
        "{} TCP connections with data; one direction only of {:.0} %, bytes missing in {:.0} %, \
         {:.1} % of their frames seen before",
        grouped(health.connections),
        health.one_sided * 100.0,
        health.with_gaps * 100.0,
        health.again * 100.0
    );
    file::fact(out, paint, "mirror", &text)?;
    file::fact(out, paint, "router", side(health))?;
    if !health.vlans.is_empty() {
        let vlans: Vec<_> = health.vlans.iter().map(ToString::to_string).collect();
        file::fact(out, paint, "VLANs", &vlans.join(", "))?;
    }
    for remark in &health.remarks {
        file::fact(out, paint, "note", remark)?;
    }
    Ok(())
}

const fn side(health: &Health) -> &'static str {
    use surface::NatSide;
    match health.nat_side {
        NatSide::Inside => "seen from inside: inner addresses talk to the internet",
        NatSide::Outside => "seen from outside, or no router in between",
        NatSide::Both => "seen on both of its sides",
        NatSide::Unknown => "nothing crossed it",
    }
}

/// The findings, the worst first.
pub(super) fn write_findings(
    out: &mut Vec<u8>,
    findings: &[Finding],
    paint: Paint,
) -> io::Result<()> {
    writeln!(out, "\n{}", paint.head("findings"))?;
    if findings.is_empty() {
        let text = "none of what is looked for was seen here; what was not seen may still be there";
        for line in wrap(text, width().min(100) - 3) {
            writeln!(out, "  {line}")?;
        }
        return Ok(());
    }
    let kinds: Vec<_> = findings.chunk_by(same_kind).collect();
    for cases in kinds.iter().take(KINDS_SHOWN) {
        write_kind(out, cases, paint)?;
    }
    let more: usize = kinds.iter().skip(KINDS_SHOWN).map(|cases| cases.len()).sum();
    if more > 0 {
        writeln!(out, "  {}", paint.dim(format!("and {more} more; --json has them all")))?;
    }
    Ok(())
}

fn same_kind(a: &Finding, b: &Finding) -> bool {
    a.rule.id == b.rule.id && a.severity == b.severity && a.sure == b.sure
}

/// A rule, what it means and what to do, and where it was found.
fn write_kind(out: &mut Vec<u8>, cases: &[Finding], paint: Paint) -> io::Result<()> {
    let Some(first) = cases.first() else { return Ok(()) };
    let label = format!("{:<8}", first.severity.name());
    let label = match first.severity {
        Severity::Critical | Severity::High => paint.bad(label).to_string(),
        Severity::Medium => paint.warn(label).to_string(),
        _ => paint.dim(label).to_string(),
    };
    let id = paint.dim(format!("({}, {})", first.rule.id, first.sure.name()));
    writeln!(out, "  {label} {} {id}", first.rule.title)?;
    for case in cases.iter().take(CASES_SHOWN) {
        let frames: Vec<_> =
            case.evidence.iter().take(FRAMES_SHOWN).map(ToString::to_string).collect();
        let text = format!("{} (frame {})", case.detail, frames.join(", "));
        for (n, line) in wrap(&text, width().min(100) - 14).iter().enumerate() {
            writeln!(out, "           {} {line}", if n == 0 { "-" } else { " " })?;
        }
    }
    let more = cases.len().saturating_sub(CASES_SHOWN);
    if more > 0 {
        writeln!(out, "           {}", paint.dim(format!("- and {more} more like it")))?;
    }
    for text in [first.rule.meaning, first.rule.action] {
        for line in wrap(text, width().min(100) - 12) {
            writeln!(out, "           {line}")?;
        }
    }
    Ok(())
}

/// The hosts that others depend on: the list a recovery plan begins with.
pub(super) fn write_key_services(out: &mut Vec<u8>, site: &Site, paint: Paint) -> io::Result<()> {
    let services = site.key_services();
    if services.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", paint.head("key services, for the recovery plan"))?;
    for service in services.iter().take(SERVICES_SHOWN) {
        let ports: Vec<_> =
            service.ports.iter().take(4).map(|(port, app)| format!("{app}:{port}")).collect();
        let clients = match service.clients.len() {
            1 => "1 client".to_owned(),
            n => format!("{} clients", grouped(n as u64)),
        };
        writeln!(
            out,
            "  {:<38} {:<16} {}",
            service.role.words(),
            service.host.to_string(),
            paint.dim(ports.join(" "))
        )?;
        let mut text = format!(
            "{clients}{}, {} sent to it, {} sent by it",
            hours(&service.by_hour),
            bytes(service.written),
            bytes(service.read)
        );
        if !service.needs.is_empty() {
            let needs: Vec<_> = service
                .needs
                .iter()
                .take(4)
                .map(|(role, host)| format!("{} at {host}", role.name()))
                .collect();
            text += "; needs ";
            text += &needs.join(", ");
        }
        text += &copies(service);
        for line in wrap(&text, width().min(100) - 6) {
            writeln!(out, "      {line}")?;
        }
    }
    let more = services.len().saturating_sub(SERVICES_SHOWN);
    if more > 0 {
        writeln!(out, "  {}", paint.dim(format!("and {} more", grouped(more as u64))))?;
    }
    Ok(())
}

/// What was seen to be copied from a host, in words that go on from others. What holds no data of
/// its own needs no copy.
pub(super) fn copies(service: &KeyService) -> String {
    if matches!(service.role, Role::RemoteAccess | Role::Names | Role::Web) {
        return String::new();
    }
    let Some(largest) = service.copies.first() else {
        return "; no copy of its data was seen".to_owned();
    };
    let there: Vec<_> = service.copies.iter().filter(|copied| copied.to == largest.to).collect();
    let total: u64 = there.iter().map(|copied| copied.bytes).sum();
    let how: Vec<_> = there
        .iter()
        .map(|copied| {
            format!("{}{}", copied.app, if copied.by_name { "" } else { " by its shape" })
        })
        .collect();
    let elsewhere = if there.len() < service.copies.len() { ", and elsewhere" } else { "" };
    format!("; {} copied to {} ({}){elsewhere}", bytes(total), largest.to, how.join(", "))
}

/// The hours in which most of the conversations began.
fn hours(by_hour: &[u64; 24]) -> String {
    let busy: Vec<usize> = (0..24).filter(|&hour| by_hour[hour] > 0).collect();
    match (busy.first(), busy.last()) {
        (Some(first), Some(last)) if busy.len() > 1 => {
            format!(" between {first:02}:00 and {:02}:00 UTC", last + 1)
        }
        _ => String::new(),
    }
}

/// The services inside, those with most clients first.
pub(super) fn write_services(out: &mut Vec<u8>, site: &Site, paint: Paint) -> io::Result<()> {
    let services = site.services();
    if services.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", paint.head("services inside, by clients"))?;
    writeln!(
        out,
        "  {}",
        paint.dim(format!(
            "{:<28}{:<20}{:>8} {:>8} {:>10} {:>10}",
            "", "", "clients", "flows", "to it", "from it"
        ))
    )?;
    for service in services.iter().take(SERVICES_SHOWN) {
        writeln!(
            out,
            "  {:<28}{:<20}{:>8} {:>8} {:>10} {:>10}",
            place(service),
            service.app.name(),
            grouped(service.clients.len() as u64),
            grouped(service.flows),
            bytes(service.written),
            bytes(service.read)
        )?;
    }
    let more = services.len().saturating_sub(SERVICES_SHOWN);
    if more > 0 {
        writeln!(out, "  {}", paint.dim(format!("and {} more", grouped(more as u64))))?;
    }
    Ok(())
}

fn place(service: &Service) -> String {
    let transport = if service.proto == proto::UDP { "/udp" } else { "" };
    format!("{}{transport}", super::text::end(service.host, service.port))
}
