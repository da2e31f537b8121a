//! The summary for people.

use std::fmt::Write;

use pipeline::StageLatency;
use skb::{CopyReason, Ledger};

use super::report::{PortReport, Report};
use super::who::{Chosen, Who};
use crate::term::{
    Paint, bytes, commands, counted, duration, grouped, percent, safe, shell_word, wrap,
};

/// Frames that a rate is given for.
const RATED_FRAMES_MIN: u64 = 10_000;

/// Writes the page. `width` is the terminal's.
pub(super) fn write(out: &mut String, report: &Report, paint: Paint, width: usize) {
    who(out, &report.who, paint, width);
    picture(out, report, paint);
    ports(out, report, paint);
    ledger(out, &report.ledger, paint);
    #[cfg(target_os = "linux")]
    interface(out, report, paint, width);
    drops(out, report, paint, width);
    latency_table(out, &report.latencies, paint);
    speed(out, report);
    next(out, report, paint, width);
}

macro_rules! line {
    ($out:expr) => { $out.push('\n') };
    ($out:expr, $($arg:tt)*) => {{
        // writing into a string cannot fail
        let _ = writeln!($out, $($arg)*);
    }};
}

fn who(out: &mut String, who: &Who, paint: Paint, width: usize) {
    line!(out, "{}", paint.head("Who is who"));
    for (guest, id) in who.guests.iter().zip(1..) {
        let got = match who.looked_at {
            Some(_) => format!("  {} unicast frames to it", grouped(guest.frames)),
            None => String::new(),
        };
        line!(out, "  guest {id}  {}{got}", paint.head(guest.mac));
    }
    let others = who.stations.saturating_sub(who.guests.len() as u64);
    if who.looked_at.is_some() && others > 0 {
        let first: Vec<_> =
            who.others.iter().map(|s| format!("{} ({})", s.mac, grouped(s.frames))).collect();
        let more = if others > first.len() as u64 { ", ..." } else { "" };
        let text = format!(
            "{} more station{} on the wire: {}{more}",
            grouped(others),
            if others == 1 { "" } else { "s" },
            first.join(", ")
        );
        for row in wrap(&text, width - 4) {
            line!(out, "  {row}");
        }
    }
    let verb = if who.guests.len() > 1 { "guests are" } else { "guest is" };
    let mut why = format!("The {verb} {}.", who.chosen.words());
    if who.chosen == Chosen::MostReceived || who.chosen == Chosen::MostReceivedAtFirst {
        why.push_str(" Choose others with --guest MAC.");
    }
    why.push_str(" Everybody else lives on the wire.");
    for row in wrap(&why, width - 4) {
        line!(out, "  {}", paint.dim(row));
    }
    line!(out);
}

/// The five stages with what passed each of them.
fn picture(out: &mut String, report: &Report, paint: Paint) {
    let ledger = &report.ledger;
    let entered = ledger.frames_in + ledger.originated;
    let cells = [
        ("nic", grouped(entered), "frames in"),
        ("driver", grouped(report.driver.frames), "harvested"),
        ("skb", grouped(report.driver.frames), "classified"),
        ("vswitch", grouped(report.switched()), "decided"),
        ("guest", grouped(ledger.delivered), "delivered"),
    ];
    line!(out, "{}", paint.head("The path"));
    let width = cells.iter().map(|(_, n, _)| n.len()).max().unwrap_or(0).max(10);
    let row =
        |text: &dyn Fn(&(&str, String, &str)) -> String, left: &str, join: &str, right: &str| {
            let cells: Vec<_> = cells.iter().map(text).collect();
            format!("  {left}{}{right}", cells.join(join))
        };
    line!(out, "{}", row(&|_| "─".repeat(width + 2), "┌", "┐ ┌", "┐"));
    line!(out, "{}", row(&|c| format!(" {:^width$} ", c.0), "│", "├▶┤", "│"));
    line!(out, "{}", row(&|c| format!(" {:^width$} ", c.1), "│", "│ │", "│"));
    line!(out, "{}", row(&|c| format!(" {:^width$} ", c.2), "│", "│ │", "│"));
    line!(out, "{}", row(&|_| "─".repeat(width + 2), "└", "┘ └", "┘"));
    interrupts(out, report);
}

fn interrupts(out: &mut String, report: &Report) {
    let driver = &report.driver;
    let per =
        if driver.interrupts == 0 { 0.0 } else { driver.frames as f64 / driver.interrupts as f64 };
    let ends = if report.is_live() {
        "there; a round that finds none waits for the next interrupt"
    } else {
        "there, and a file always has the next one ready"
    };
    line!(
        out,
        "  {} for {} ({} each): NAPI polls on while frames are\n  {ends}",
        counted(driver.interrupts, "interrupt"),
        counted(driver.frames, "frame"),
        grouped(per.round() as u64),
    );
    line!(out);
}

fn ports(out: &mut String, report: &Report, paint: Paint) {
    let title = format!("The switch: {}", report.switch.name());
    line!(
        out,
        "{}, {} address{} in its table, {} moved, host ports {}",
        paint.head(title),
        grouped(report.fdb_len as u64),
        if report.fdb_len == 1 { "" } else { "es" },
        grouped(report.fdb.moved),
        match (report.host_edges, report.is_live()) {
            (0, _) => "none",
            (_, true) => "1, the wire: a device of this machine",
            (_, false) => "1",
        },
    );
    line!(
        out,
        "  {}",
        paint.dim(format!(
            "{:<10} {:<18} {:<8} {:>13} {:>13}",
            "port", "address", "if full", "frames in", "frames out"
        ))
    );
    for port in &report.ports {
        port_line(out, port);
    }
    line!(out);
}

fn port_line(out: &mut String, port: &PortReport) {
    let mac = port.mac.as_deref().unwrap_or("");
    let live = if port.role == "live-guest" { "  live" } else { "" };
    line!(
        out,
        "  {:<10} {mac:<18} {:<8} {:>13} {:>13}{live}",
        port.name,
        port.mode,
        grouped(port.in_frames),
        grouped(port.out_frames),
    );
}

/// The identity, written out.
pub(super) fn ledger(out: &mut String, l: &Ledger, paint: Paint) {
    let left = [
        ("in", l.frames_in),
        ("originated", l.originated),
        ("cloned", l.cloned),
        ("split", l.split),
    ];
    let right = [
        ("delivered", l.delivered),
        ("dropped", l.dropped_total()),
        ("consumed", l.consumed),
        ("merged", l.merged),
        ("held", l.held),
    ];
    let balanced = match l.check() {
        Ok(()) => paint.role(crate::term::Role::Good, "balanced".to_owned()).to_string(),
        Err(imbalance) => paint.bad(format!("NOT BALANCED: {imbalance}")).to_string(),
    };
    line!(out, "{} of frame references: {balanced}", paint.head("Ledger"));
    let sum = |terms: &[(&str, u64)]| {
        let text: Vec<_> = terms.iter().map(|(k, n)| format!("{k} {}", grouped(*n))).collect();
        text.join(" + ")
    };
    line!(out, "    {}", sum(&left));
    line!(out, "  = {}", sum(&right));
    line!(out, "  to the host: {}", grouped(l.host));
    line!(out, "  copies/frame: {:.2}{}", copies_per_frame(l), copies(l));
    line!(out);
}

/// Copies of a frame's bytes for each frame that entered.
pub(super) fn copies_per_frame(ledger: &Ledger) -> f64 {
    let entered = ledger.frames_in + ledger.originated;
    if entered == 0 { 0.0 } else { ledger.copies_total() as f64 / entered as f64 }
}

fn copies(ledger: &Ledger) -> String {
    let parts: Vec<_> = CopyReason::ALL
        .iter()
        .filter(|reason| ledger.copies[**reason as usize] > 0)
        .map(|reason| format!("{reason} {}", grouped(ledger.copies[*reason as usize])))
        .collect();
    if parts.is_empty() {
        "  (no byte was copied after it was read)".to_owned()
    } else {
        format!("  ({})", parts.join(", "))
    }
}

/// What the interface had to do with it: every frame that came by is in, or was lost before.
#[cfg(target_os = "linux")]
fn interface(out: &mut String, report: &Report, paint: Paint, width: usize) {
    let Some(live) = &report.live else { return };
    let (ledger, balanced) = (&report.ledger, live.balances(report.ledger.frames_in));
    let verdict = if balanced {
        paint.role(crate::term::Role::Good, "balanced".to_owned()).to_string()
    } else {
        paint.bad("NOT BALANCED: frames are missing".to_owned()).to_string()
    };
    line!(out, "{}: {verdict}; {}", paint.head(safe(&live.interface)), live.ended);
    line!(
        out,
        "    seen {} = in {} + no room in the card {}",
        grouped(live.seen()),
        grouped(ledger.frames_in),
        grouped(live.interface_dropped()),
    );
    if live.rx.dropped > 0 {
        line!(
            out,
            "    of those in, {} found the kernel's ring full: kernel-ring-full below",
            grouped(live.rx.dropped)
        );
    }
    if live.rx.tags_restored > 0 {
        line!(out, "    VLAN tags put back: {}", grouped(live.rx.tags_restored));
    }
    let text = format!(
        "The interface itself counted {} in and {} out in that time. This machine's own stack has \
         them too, beside the switch; nothing that leaves by the wire here was sent.",
        grouped(live.counters.rx_packets),
        grouped(live.counters.tx_packets)
    );
    for row in wrap(&text, width - 4) {
        line!(out, "    {}", paint.dim(row));
    }
    line!(out);
}

fn drops(out: &mut String, report: &Report, paint: Paint, width: usize) {
    let total = report.ledger.dropped_total();
    if total == 0 {
        line!(out, "{}: none", paint.head("Drops"));
        line!(out);
        return;
    }
    let entered = report.ledger.frames_in + report.ledger.originated + report.ledger.cloned;
    line!(
        out,
        "{}: {}, {}; a drop is a decision, not an error",
        paint.head("Drops"),
        counted(total, "reference"),
        percent(total, entered)
    );
    for (stage, reason, count) in report.drops() {
        line!(
            out,
            "  {:<8} {:<15} {:>13}",
            stage.name(),
            paint.warn(pad(reason.name(), 15)),
            grouped(count)
        );
        for row in wrap(reason.describe(), width - 13) {
            line!(out, "           {}", paint.dim(row));
        }
    }
    line!(out);
}

fn pad(text: &str, width: usize) -> String {
    format!("{text:<width$}")
}

/// The stages' histograms, as a table.
pub(super) fn latency_table(out: &mut String, latencies: &[StageLatency], paint: Paint) {
    line!(
        out,
        "{} in ns, at burst grain (a frame waits for its burst of up to 64)",
        paint.head("Time per stage")
    );
    let head = format!("{:<8} {:>11} {:>11} {:>11} {:>13}", "stage", "p50", "p99", "p99.9", "max");
    line!(out, "  {}", paint.dim(head));
    for latency in latencies {
        let ns = |value: f64| grouped(value.round() as u64);
        line!(
            out,
            "  {:<8} {:>11} {:>11} {:>11} {:>13}",
            latency.stage,
            ns(latency.p50_ns),
            ns(latency.p99_ns),
            ns(latency.p999_ns),
            ns(latency.max_ns),
        );
    }
}

fn speed(out: &mut String, report: &Report) {
    let frames = report.ledger.frames_in;
    let taken: u64 = report.ports.iter().map(|p| p.in_bytes).sum();
    let took = duration((report.seconds * 1e9) as u64);
    if report.is_live() {
        line!(
            out,
            "  {}, {} in {took}: {} frames/s came\n",
            counted(frames, "frame"),
            bytes(taken),
            grouped((frames as f64 / report.seconds.max(1e-9)).round() as u64),
        );
        return;
    }
    // a rate over a few bursts would be a rate of starting
    let rate = if frames < RATED_FRAMES_MIN {
        "too short to give a rate".to_owned()
    } else {
        let rate = frames as f64 / report.seconds / 1e6;
        format!("{rate:.1} million frames/s with reading the file")
    };
    line!(out, "  {}, {} in {took}: {rate}", counted(frames, "frame"), bytes(taken));
    line!(out);
}

fn next(out: &mut String, report: &Report, paint: Paint, width: usize) {
    if report.input == "standard input" || report.ledger.frames_in == 0 {
        return;
    }
    line!(out, "{}", paint.head("Next"));
    let file = shell_word(&safe(&report.input));
    if report.is_live() {
        let steps = [
            (format!("framewalk walk -i {file} --frame 1 --step"), "step through one frame"),
            (format!("framewalk inspect -i {file}"), "what comes by"),
            (format!("framewalk capture -i {file} -w FILE"), "keep it"),
        ];
        out.push_str(&commands(&steps, paint, width));
        return;
    }
    let steps = [
        (format!("framewalk walk {file} --frame 1 --step"), "step through one frame"),
        (format!("framewalk walk {file} --export stages.pcapng"), "every stage, for Wireshark"),
        (format!("framewalk inspect {file}"), "what is in the capture"),
    ];
    out.push_str(&commands(&steps, paint, width));
}
