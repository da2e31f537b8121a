//! How often something was seen, when, and in which frames.

use std::collections::BTreeSet;
use std::net::IpAddr;

use arrayvec::ArrayVec;

use crate::finding::{Finding, Rule, Severity, Sure};

/// Frames remembered.
const FRAMES_MAX: usize = 8;
/// Hosts remembered.
const HOSTS_MAX: usize = 256;

/// Sightings of one thing.
#[derive(Debug, Clone, Default)]
pub(in crate::site) struct Seen {
    pub(in crate::site) count: u64,
    frames: ArrayVec<u64, FRAMES_MAX>,
    first_ns: i64,
    last_ns: i64,
    /// Who had to do with it.
    hosts: BTreeSet<IpAddr>,
}

impl Seen {
    /// In a frame.
    pub(in crate::site) fn at(&mut self, frame: u64, ns: i64) {
        self.first_ns = if self.count == 0 { ns } else { self.first_ns.min(ns) };
        self.last_ns = self.last_ns.max(ns);
        self.count += 1;
        if !self.frames.contains(&frame) {
            let _ = self.frames.try_push(frame);
        }
    }

    /// This host had to do with it.
    pub(in crate::site) fn by(&mut self, host: IpAddr) {
        if self.hosts.len() < HOSTS_MAX {
            self.hosts.insert(host);
        }
    }

    /// These sightings as well.
    pub(in crate::site) fn join(&mut self, other: &Self) {
        self.first_ns =
            if self.count == 0 { other.first_ns } else { self.first_ns.min(other.first_ns) };
        self.last_ns = self.last_ns.max(other.last_ns);
        self.count += other.count;
        for &frame in &other.frames {
            if !self.frames.contains(&frame) {
                let _ = self.frames.try_push(frame);
            }
        }
        other.hosts.iter().for_each(|&host| self.by(host));
    }

    /// Hosts that had to do with it.
    pub(in crate::site) fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// A finding of it; the hosts are those named here behind `about`.
    pub(in crate::site) fn finding(
        &self,
        rule: &'static Rule,
        severity: Severity,
        sure: Sure,
        about: &[IpAddr],
    ) -> Finding {
        let frame = self.frames.first().copied().unwrap_or_default();
        let mut finding = Finding::new(rule, severity, sure, frame, self.first_ns);
        finding.evidence = self.frames.to_vec();
        finding.evidence.sort_unstable();
        finding.count = self.count;
        finding.last_ns = self.last_ns;
        for &host in about.iter().chain(&self.hosts) {
            finding.host(host);
        }
        finding
    }
}

/// `1 host`, `2 hosts`.
pub(in crate::site) fn counted(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}
