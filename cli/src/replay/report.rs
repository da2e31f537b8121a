//! The report, as JSON (framewalk.replay/1) and for people.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use replay::feed::Outcome;
use replay::prepare::PortMap;
use replay::verify::Verified;
use replay::{LATE_NS, Pace, Report};
use serde::Serialize;

use super::port::Ports;
use super::{Args, verify};
use crate::term::{Paint, Role, bits_per_second, bytes, counted, duration, grouped, safe};

/// All that a report is made of.
pub(super) struct Told<'a> {
    pub(super) args: &'a Args,
    pub(super) ports: &'a Ports,
    pub(super) report: &'a Report,
    pub(super) outcome: &'a Outcome,
    pub(super) preloaded: bool,
    pub(super) verified: Option<&'a Verified>,
}

/// `framewalk.replay/1`. Times are nanoseconds, `mbps` counts 10^6 bits of frame without FCS.
#[derive(Debug, Serialize)]
pub(super) struct Json<'a> {
    schema: &'static str,
    sent: u64,
    skipped: u64,
    failed: &'a BTreeMap<&'static str, u64>,
    seconds: f64,
    pps: f64,
    mbps: f64,
    gap_error_ns: Gaps,
    asked: Asked,
    method: &'static str,
    late: u64,
    late_over_ns: u64,
    late_max_ns: u64,
    drift_ns: Option<i64>,
    bytes: u64,
    read: u64,
    skipped_by: BTreeMap<&'static str, u64>,
    rounds: u64,
    ended: &'static str,
    ports: Vec<Port<'a>>,
    waits: u64,
    unfinished: u64,
    padded: u64,
    fcs_removed: u64,
    resegmented: u64,
    segments: u64,
    recorded_backwards: u64,
    recorded_untimed: u64,
    gaps_shortened: u64,
    preloaded: bool,
    damage: Option<String>,
    verify: Option<verify::Json<'a>>,
}

/// `null` at top speed, where no gap is intended.
#[derive(Debug, Serialize)]
struct Gaps {
    p50: Option<u64>,
    p99: Option<u64>,
    p999: Option<u64>,
    max: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Asked {
    pace: &'static str,
    speed: Option<f64>,
    pps: Option<f64>,
    mbps: Option<f64>,
    /// When the last frame was due.
    seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Port<'a> {
    interface: &'a str,
    method: &'static str,
    sent: u64,
}

impl<'a> Told<'a> {
    pub(super) fn json(&self) -> Json<'a> {
        let (report, outcome) = (self.report, self.outcome);
        let prepared = &outcome.prepared;
        let gaps = report.gap_error_ns();
        let of = |f: fn(&replay::GapError) -> u64| gaps.as_ref().map(f);
        Json {
            schema: "framewalk.replay/1",
            sent: report.sent,
            skipped: prepared.skipped_total(),
            failed: &report.failed,
            seconds: report.seconds(),
            pps: report.pps(),
            mbps: report.mbps(),
            gap_error_ns: Gaps {
                p50: of(|g| g.p50),
                p99: of(|g| g.p99),
                p999: of(|g| g.p999),
                max: of(|g| g.max),
            },
            asked: self.asked(),
            method: self.method(),
            late: report.late,
            late_over_ns: LATE_NS,
            late_max_ns: report.late_max_ns,
            drift_ns: report.drift_ns,
            bytes: report.bytes,
            read: prepared.read,
            skipped_by: prepared.skipped_by_name(),
            rounds: report.rounds,
            ended: report.ended.name(),
            ports: self.by_port(),
            waits: report.waits,
            unfinished: report.unfinished,
            padded: prepared.padded,
            fcs_removed: prepared.fcs_removed,
            resegmented: prepared.resegmented,
            segments: prepared.segments,
            recorded_backwards: report.odd.backwards,
            recorded_untimed: report.odd.untimed,
            gaps_shortened: report.odd.shortened,
            preloaded: self.preloaded,
            damage: outcome.damage.as_ref().map(ToString::to_string),
            verify: self.verified.zip(self.args.verify.as_deref()).map(verify::json),
        }
    }

    fn asked(&self) -> Asked {
        let report = self.report;
        let mut asked = Asked { pace: "top", speed: None, pps: None, mbps: None, seconds: None };
        match self.args.pace() {
            Pace::Top => return asked,
            Pace::Recorded(speed) => (asked.pace, asked.speed) = ("recorded", Some(speed.as_f64())),
            Pace::Pps(pps) => (asked.pace, asked.pps) = ("pps", Some(pps.as_f64())),
            Pace::Mbps(mbps) => (asked.pace, asked.mbps) = ("mbps", Some(mbps.as_f64())),
        }
        asked.seconds = Some(report.asked_ns as f64 / 1e9);
        asked
    }

    /// The name of the way out; `mixed` if the ports have different ones.
    fn method(&self) -> &'static str {
        let mut names = self.ports.ways.iter().map(|way| way.method().name());
        let first = names.next().unwrap_or("none");
        if names.all(|name| name == first) { first } else { "mixed" }
    }

    fn by_port(&self) -> Vec<Port<'a>> {
        let ways = self.ports.links.iter().zip(&self.ports.ways);
        ways.zip(&self.report.by_port)
            .map(|((link, way), sent)| Port {
                interface: &link.name,
                method: way.method().name(),
                sent: *sent,
            })
            .collect()
    }

    /// Lines of a label and a text.
    pub(super) fn text(&self, out: &mut String, paint: Paint) -> fmt::Result {
        let report = self.report;
        let file = self.args.file.to_string_lossy();
        let file = if file == "-" { "standard input".into() } else { file };
        writeln!(out, "{}", paint.head(format!("{} onto {}", safe(&file), self.ports.names())))?;
        let mut fact = |label: &str, text: String| {
            writeln!(out, "  {}{text}", paint.dim(format!("{label:<11}")))
        };
        fact("asked", self.asked_text())?;
        fact(
            "sent",
            format!(
                "{}, {}, in {} by {}",
                counted(report.sent, "frame"),
                bytes(report.bytes),
                duration(report.elapsed_ns),
                self.method()
            ),
        )?;
        if self.ports.links.len() > 1 {
            for port in self.by_port() {
                fact("", format!("{} by {}", counted(port.sent, "frame"), port.interface))?;
            }
        }
        let rate = grouped(report.pps().round() as u64);
        fact("reached", format!("{rate} frames/s, {}", bits_per_second(report.mbps() * 1e6)))?;
        if let Some(gaps) = report.gap_error_ns() {
            let us = |ns: u64| format!("{:.3}", ns as f64 / 1e3);
            let (p50, p99, p999, max) = (us(gaps.p50), us(gaps.p99), us(gaps.p999), us(gaps.max));
            let text = format!("p50 {p50}, p99 {p99}, p99.9 {p999}, max {max} µs");
            fact("gap error", text)?;
        }
        if report.drift_ns.is_some() {
            fact("late", self.late_text())?;
        }
        self.losses(out, paint)?;
        match self.verified.zip(self.args.verify.as_deref()) {
            Some((verified, interface)) => verify::text(out, paint, verified, interface),
            None => Ok(()),
        }
    }

    fn asked_text(&self) -> String {
        let often = match self.args.rounds {
            0 => ", again and again".to_owned(),
            1 => String::new(),
            n => format!(", {} times", grouped(n)),
        };
        let due = duration(self.report.asked_ns);
        match self.args.pace() {
            Pace::Top => format!("top speed{often}"),
            Pace::Recorded(speed) if speed == replay::Decimal::ONE => {
                format!("recorded time{often}: the last frame after {due}")
            }
            Pace::Recorded(speed) => {
                format!("recorded time at {speed} x{often}: the last frame after {due}")
            }
            Pace::Pps(pps) => format!("{pps} frames/s{often}: the last frame after {due}"),
            Pace::Mbps(mbps) => format!("{mbps} Mbit/s{often}: the last frame after {due}"),
        }
    }

    fn late_text(&self) -> String {
        let report = self.report;
        let limit = duration(LATE_NS);
        let mut text = match report.late {
            0 => format!("no frame by more than {limit}"),
            n => format!(
                "{} by more than {limit}, at most {}",
                counted(n, "frame"),
                duration(report.late_max_ns)
            ),
        };
        if let Some(drift) = report.drift_ns {
            let side = if drift < 0 { "before" } else { "after" };
            let _ = write!(text, "; the last {} {side} its time", duration(drift.unsigned_abs()));
        }
        text
    }

    /// What was not sent, what was changed, and what was odd.
    fn losses(&self, out: &mut String, paint: Paint) -> fmt::Result {
        let (report, prepared) = (self.report, &self.outcome.prepared);
        let mut fact = |label: &str, role: Role, text: String| {
            writeln!(out, "  {}{}", paint.dim(format!("{label:<11}")), paint.role(role, text))
        };
        let mut label = "skipped";
        for (skip, count) in &prepared.skipped {
            fact(label, Role::Warn, format!("{}: {}", counted(*count, "frame"), skip.explain()))?;
            label = "";
        }
        label = "failed";
        for (cause, count) in &report.failed {
            fact(label, Role::Warn, format!("{}: {cause}", counted(*count, "frame")))?;
            label = "";
        }
        if report.unfinished > 0 {
            let text = format!("{} had not left at the end", counted(report.unfinished, "frame"));
            fact("unfinished", Role::Warn, text)?;
        }
        for (count, what) in [
            (prepared.padded, "filled up with zeros"),
            (prepared.fcs_removed, "freed of the capture's FCS: the interface makes its own"),
            (prepared.resegmented, "cut into segments"),
        ] {
            if count > 0 {
                fact("changed", Role::Plain, format!("{} {what}", counted(count, "frame")))?;
            }
        }
        for (count, what) in [
            (report.odd.backwards, "recorded before one in front of it: sent at once"),
            (report.odd.untimed, "without a recorded time: sent with the one before"),
            (report.odd.shortened, "after a gap that was cut short"),
        ] {
            if count > 0 {
                fact("times", Role::Warn, format!("{} {what}", counted(count, "frame")))?;
            }
        }
        for number in self.unknown_interfaces() {
            let text = format!("the capture has no frames of an interface {number}");
            fact("interface", Role::Warn, text)?;
        }
        if report.ended != replay::Ended::File {
            fact("ended by", Role::Plain, report.ended.name().to_owned())?;
        }
        Ok(())
    }

    /// Interfaces that `-i` names and the capture has no frames of.
    fn unknown_interfaces(&self) -> Vec<u32> {
        let PortMap::ByInterface(map) = &self.ports.map else { return Vec::new() };
        let has = |number: &u32| self.outcome.interfaces.iter().any(|(n, ..)| n == number);
        map.keys().copied().filter(|number| !has(number)).collect()
    }
}
