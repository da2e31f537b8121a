//! The report for people: applications, the servers behind them, what was not told.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{self, Write};
use std::net::IpAddr;

use capture::Reader;
use foldhash::fast::RandomState;
use surface::{Analyzer, App, Counts, Finding, FlowRecord, proto};

use super::{Args, findings};
use crate::inspect::file;
use crate::term::{Paint, bytes, counted, grouped, percent, shell_word};

/// Servers shown of one application.
const SERVERS_SHOWN: usize = 4;
/// Servers and ports kept of one application.
const SERVERS_MAX: usize = 4096;
/// Conversations of unknown applications shown.
const UNKNOWN_SHOWN: usize = 8;

#[derive(Debug, Default)]
struct Row {
    flows: u64,
    bytes: u64,
    clients: HashSet<IpAddr, RandomState>,
    /// Bytes by server and port.
    servers: HashMap<(IpAddr, u16), u64, RandomState>,
    paths: BTreeSet<Vec<App>>,
    first_frame: u64,
}

/// Adds conversations up.
#[derive(Debug, Default)]
pub(super) struct Report {
    rows: HashMap<App, Row, RandomState>,
    flows: u64,
    first_ns: Option<i64>,
    last_ns: i64,
    /// Busiest conversations without an application.
    unknown: Vec<(u64, FlowRecord)>,
    silent: u64,
}

impl Report {
    pub(super) fn flow(&mut self, flow: &FlowRecord) {
        self.flows += 1;
        if flow.first_ns != 0 {
            self.first_ns = Some(self.first_ns.map_or(flow.first_ns, |ns| ns.min(flow.first_ns)));
            self.last_ns = self.last_ns.max(flow.last_ns);
        }
        let sum = flow.opener_sent.bytes + flow.answerer_sent.bytes;
        if flow.app == App::Unknown {
            if sum == 0 {
                self.silent += 1;
                return;
            }
            let place = self.unknown.partition_point(|(bytes, _)| *bytes >= sum);
            if place < UNKNOWN_SHOWN {
                self.unknown.insert(place, (sum, flow.clone()));
                self.unknown.truncate(UNKNOWN_SHOWN);
            }
        }
        let row = self.rows.entry(flow.app).or_default();
        row.flows += 1;
        row.bytes += sum;
        if row.first_frame == 0 || flow.first_frame < row.first_frame {
            row.first_frame = flow.first_frame;
        }
        if row.clients.len() < SERVERS_MAX {
            row.clients.insert(flow.src);
        }
        if row.servers.len() < SERVERS_MAX {
            *row.servers.entry((flow.dst, flow.dst_port)).or_default() += sum;
        }
        if flow.path.len() > 1 && !row.paths.contains(flow.path.as_slice()) {
            row.paths.insert(flow.path.to_vec());
        }
    }

    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        reader: &Reader,
        analyzer: &Analyzer,
        args: &Args,
        paint: Paint,
    ) -> io::Result<()> {
        let (counts, site) = (&analyzer.counts(), analyzer.site());
        file::write_facts(out, reader, args.interface.is_some(), paint)?;
        self.totals(out, counts, site.overlooked(), paint)?;
        if self.flows > 0 {
            findings::write_health(out, &site.health(), paint)?;
            findings::write_findings(out, &site.findings(), paint)?;
            findings::write_key_services(out, site, paint)?;
            findings::write_services(out, site, paint)?;
        }
        self.applications(out, paint)?;
        self.unknowns(out, paint)?;
        self.next(out, args, &site.findings(), paint)
    }

    fn totals(
        &self,
        out: &mut Vec<u8>,
        counts: &Counts,
        overlooked: u64,
        paint: Paint,
    ) -> io::Result<()> {
        let frames = format!("{}, {}", grouped(counts.frames), bytes(counts.bytes));
        file::fact(out, paint, "frames", &frames)?;
        if let Some(first) = self.first_ns {
            file::fact(out, paint, "time", &file::span(first, self.last_ns))?;
        }
        let mut rest = Vec::new();
        for (count, what) in [
            (counts.not_ip, "carry no IP packet"),
            (counts.fragments, "are later fragments"),
            (counts.malformed, "contradict themselves"),
        ] {
            if count > 0 {
                rest.push(format!("{} {what}", grouped(count)));
            }
        }
        if !rest.is_empty() {
            file::fact(out, paint, "of these", &rest.join(", "))?;
        }
        let mut text = counted(self.flows, "conversation");
        if self.silent > 0 {
            text += ", ";
            text += &grouped(self.silent);
            text += " of them without a byte of data";
        }
        file::fact(out, paint, "flows", &text)?;
        if overlooked > 0 {
            let text = format!(
                "{} conversations are in no list of services or exposures: there are too many",
                grouped(overlooked)
            );
            file::fact(out, paint, "limits", &text)?;
        }
        if counts.evicted + counts.unlooked > 0 {
            let text = format!(
                "{} conversations were given out before their end and {} looked into no further, \
                 to keep within the memory allowed (--flows-max)",
                grouped(counts.evicted),
                grouped(counts.unlooked)
            );
            file::fact(out, paint, "limits", &text)?;
        }
        Ok(())
    }

    fn applications(&self, out: &mut Vec<u8>, paint: Paint) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let all: u64 = self.rows.values().map(|row| row.bytes).sum();
        let title = "applications, by their bytes on any port";
        writeln!(out, "\n{}", paint.head(title))?;
        writeln!(
            out,
            "  {}",
            paint.dim(format!(
                "{:<22}{:>9} {:>8} {:>8}  {:>10} {:>6}  servers",
                "", "flows", "clients", "servers", "bytes", ""
            ))
        )?;
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by_key(|(app, row)| {
            (**app == App::Unknown, std::cmp::Reverse(row.bytes), app.name())
        });
        for (app, row) in rows {
            writeln!(
                out,
                "  {:<22}{:>9} {:>8} {:>8}  {:>10} {:>6}  {}",
                app.name(),
                grouped(row.flows),
                grouped(row.clients.len() as u64),
                grouped(hosts(row)),
                bytes(row.bytes),
                percent(row.bytes, all),
                servers(row)
            )?;
            for path in &row.paths {
                let names: Vec<_> = path.iter().map(|app| app.name()).collect();
                writeln!(out, "  {}", paint.dim(format!("  in {}", names.join(" > "))))?;
            }
        }
        Ok(())
    }

    fn unknowns(&self, out: &mut Vec<u8>, paint: Paint) -> io::Result<()> {
        if self.unknown.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n{}", paint.head("not told, the largest"))?;
        for (sum, flow) in &self.unknown {
            let transport = match flow.proto {
                proto::TCP => "tcp",
                proto::UDP => "udp",
                _ => "ip",
            };
            writeln!(
                out,
                "  {transport:<4} {:<44} {:>10}  {}",
                format!("{} > {}", end(flow.src, flow.src_port), end(flow.dst, flow.dst_port)),
                bytes(*sum),
                paint.dim(format!("from frame {}", flow.first_frame))
            )?;
        }
        Ok(())
    }

    fn next(
        &self,
        out: &mut Vec<u8>,
        args: &Args,
        findings: &[Finding],
        paint: Paint,
    ) -> io::Result<()> {
        let Some(file) = &args.file else { return Ok(()) };
        if self.flows == 0 || file.as_os_str() == "-" {
            return Ok(());
        }
        let file = shell_word(&file.display().to_string());
        writeln!(out, "\n{}", paint.head("next"))?;
        let mut steps = vec![(
            format!("framewalk surface {file} --json"),
            "every conversation, with its names",
        )];
        let first = self.rows.values().map(|row| row.first_frame).min();
        let worst = findings.first().and_then(|finding| finding.evidence.first().copied());
        if let Some(frame) = worst {
            let what = "what shows the worst finding";
            steps.push((format!("framewalk inspect {file} --frame {frame}"), what));
            let what = "the findings in plain words, for the owner";
            steps.push((format!("framewalk surface {file} --letter letter.html"), what));
        } else if let Some(frame) = first {
            steps.push((format!("framewalk inspect {file} --frame {frame}"), "the first of them"));
        }
        out.write_all(crate::term::commands(&steps, paint, crate::term::width()).as_bytes())
    }
}

/// Different addresses that serve.
fn hosts(row: &Row) -> u64 {
    row.servers.keys().map(|(ip, _)| ip).collect::<BTreeSet<_>>().len() as u64
}

/// The busiest servers with their ports.
fn servers(row: &Row) -> String {
    let mut servers: Vec<_> = row.servers.iter().collect();
    servers.sort_by_key(|&(end, &bytes)| (std::cmp::Reverse(bytes), end));
    let shown: Vec<_> =
        servers.iter().take(SERVERS_SHOWN).map(|((ip, port), _)| end(*ip, *port)).collect();
    let more = servers.len().saturating_sub(SERVERS_SHOWN);
    let more = if more > 0 { format!(" and {} more", grouped(more as u64)) } else { String::new() };
    shown.join(" ") + &more
}

pub(super) fn end(ip: IpAddr, port: u16) -> String {
    match (ip, port) {
        (ip, 0) => ip.to_string(),
        (IpAddr::V6(ip), port) => format!("[{ip}]:{port}"),
        (ip, port) => format!("{ip}:{port}"),
    }
}
