//! What an analysis has found, in the form in which it is told.

use std::net::IpAddr;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// A protection that was seen to work.
    Good,
    /// Worth knowing.
    Info,
    /// To be put right when convenient.
    Low,
    /// To be put right soon.
    Medium,
    /// To be put right now.
    High,
    /// Likely in use by an attacker, or open to anyone.
    Critical,
}

impl Severity {
    /// In lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// How sure a finding is. Only what is proven may be high or critical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sure {
    /// Something else would look the same.
    Hint,
    /// Something else would have to be contrived.
    Likely,
    /// The frames show it.
    Proven,
}

impl Sure {
    /// In lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hint => "hint",
            Self::Likely => "likely",
            Self::Proven => "proven",
        }
    }
}

/// What a finding means, in words for the owner of a small network.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable name, for machines.
    pub id: &'static str,
    /// In one line.
    pub title: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What to do.
    pub action: &'static str,
    /// What would show that it is not so.
    pub refute: &'static str,
}

/// Frames named as evidence, at most.
const EVIDENCE_MAX: usize = 16;
/// Hosts named, at most.
const HOSTS_MAX: usize = 32;

/// A finding. It names frames, never what was in them.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What it is.
    pub rule: &'static Rule,
    /// How bad it is here.
    pub severity: Severity,
    /// How sure it is.
    pub sure: Sure,
    /// The host it is about first, then those it has to do with.
    pub hosts: Vec<IpAddr>,
    /// Hosts beyond those named.
    pub hosts_more: u64,
    /// Port of the service it is about, 0 if there is none.
    pub port: u16,
    /// This very case, in words.
    pub detail: String,
    /// Numbers of frames that show it, as `inspect --frame` counts.
    pub evidence: Vec<u64>,
    /// How often it was seen.
    pub count: u64,
    /// Nanoseconds since 1970 of the first time.
    pub first_ns: i64,
    /// And of the last.
    pub last_ns: i64,
}

impl Finding {
    /// Seen once, in the frame of this number. What is not proven is no worse than medium.
    pub fn new(rule: &'static Rule, severity: Severity, sure: Sure, frame: u64, ns: i64) -> Self {
        let severity = if sure == Sure::Proven { severity } else { severity.min(Severity::Medium) };
        Self {
            rule,
            severity,
            sure,
            hosts: Vec::new(),
            hosts_more: 0,
            port: 0,
            detail: String::new(),
            evidence: vec![frame],
            count: 1,
            first_ns: ns,
            last_ns: ns,
        }
    }

    /// Names a host, once.
    pub fn host(&mut self, host: IpAddr) {
        if self.hosts.contains(&host) {
            return;
        }
        if self.hosts.len() < HOSTS_MAX {
            self.hosts.push(host);
        } else {
            self.hosts_more += 1;
        }
    }

    /// Seen again.
    pub fn again(&mut self, frame: u64, ns: i64) {
        self.count += 1;
        self.first_ns = self.first_ns.min(ns);
        self.last_ns = self.last_ns.max(ns);
        if self.evidence.len() < EVIDENCE_MAX && !self.evidence.contains(&frame) {
            self.evidence.push(frame);
        }
    }
}
