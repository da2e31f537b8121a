//! How a remote desktop is protected: the weakest level that it agrees to with anybody is the real
//! one.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::{end, rules_desktop as rules};
use super::Protection;
use crate::facts::{HYBRID_REQUIRED, RdpFacts, RdpLevel, SSL_CERT_NOT_ON_SERVER, SSL_NOT_ALLOWED};
use crate::finding::{Finding, Rule, Severity, Sure};
use crate::record::FlowRecord;

/// Frames and clients remembered of each.
const SEEN_MAX: usize = 8;

/// Conversations of a kind.
#[derive(Debug)]
struct Seen {
    count: u64,
    frames: Vec<u64>,
    clients: Vec<IpAddr>,
    first_ns: i64,
    last_ns: i64,
}

impl Seen {
    fn add(seen: &mut Option<Self>, flow: &FlowRecord) {
        let seen = seen.get_or_insert(Self {
            count: 0,
            frames: Vec::new(),
            clients: Vec::new(),
            first_ns: flow.first_ns,
            last_ns: flow.last_ns,
        });
        seen.count += 1;
        seen.first_ns = seen.first_ns.min(flow.first_ns);
        seen.last_ns = seen.last_ns.max(flow.last_ns);
        if seen.frames.len() < SEEN_MAX {
            seen.frames.push(flow.first_frame);
        }
        if seen.clients.len() < SEEN_MAX && !seen.clients.contains(&flow.src) {
            seen.clients.push(flow.src);
        }
    }

    fn finding(&self, rule: &'static Rule, severity: Severity, sure: Sure) -> Finding {
        let frame = self.frames.first().copied().unwrap_or_default();
        let mut finding = Finding::new(rule, severity, sure, frame, self.first_ns);
        finding.count = self.count;
        finding.last_ns = self.last_ns;
        finding.evidence.clone_from(&self.frames);
        finding
    }
}

/// What a remote desktop agreed to and refused.
#[derive(Debug, Default)]
pub(super) struct Levels {
    /// Agreed to.
    agreed: BTreeMap<RdpLevel, Option<Seen>>,
    /// Standard security with data of both ends.
    standard_used: Option<Seen>,
    /// Refused TLS.
    refused_tls: Option<Seen>,
    /// Refused whoever could not do network level authentication.
    required_nla: Option<Seen>,
    old_tls: Option<Seen>,
}

impl Levels {
    pub(super) fn flow(&mut self, flow: &FlowRecord, facts: &RdpFacts) {
        match facts.failure {
            Some(HYBRID_REQUIRED) => Seen::add(&mut self.required_nla, flow),
            Some(SSL_NOT_ALLOWED | SSL_CERT_NOT_ON_SERVER) => {
                Seen::add(&mut self.refused_tls, flow);
            }
            _ => {}
        }
        let Some(level) = facts.level() else { return };
        Seen::add(self.agreed.entry(level).or_default(), flow);
        if level == RdpLevel::Standard && facts.bytes.iter().all(|&bytes| bytes > 0) {
            Seen::add(&mut self.standard_used, flow);
        }
        let chosen = facts.tls.as_ref().filter(|tls| tls.cipher.is_some());
        if chosen.is_some_and(|tls| matches!(tls.version, Some("ssl3" | "1.0" | "1.1"))) {
            Seen::add(&mut self.old_tls, flow);
        }
    }

    pub(super) fn protection(&self) -> Protection {
        // a server that does no TLS agrees to nothing else than standard security
        let refused = self.refused_tls.as_ref().map(|_| RdpLevel::Standard);
        let weakest = self.agreed.keys().next().copied().into_iter();
        let weakest = weakest.chain(refused).min();
        let enforced =
            self.required_nla.is_some() && weakest.is_none_or(|weakest| weakest >= RdpLevel::Nla);
        Protection { weakest, enforced }
    }

    pub(super) fn findings(&self, host: IpAddr, port: u16, out: &mut Vec<Finding>) {
        let at = end(host, port);
        let mut tell = |seen: &Seen, mut finding: Finding, detail: String| {
            finding.host(host);
            seen.clients.iter().for_each(|&client| finding.host(client));
            finding.port = port;
            finding.detail = detail;
            out.push(finding);
        };
        let protection = self.protection();
        let agreed = |level: RdpLevel| self.agreed.get(&level).and_then(Option::as_ref);
        match protection.weakest {
            Some(RdpLevel::Standard) => {
                if let Some(seen) = &self.standard_used {
                    let finding = seen.finding(&rules::STANDARD, Severity::High, Sure::Proven);
                    tell(seen, finding, format!("{at} was used with RDP's own encryption"));
                } else if let Some(seen) = &self.refused_tls {
                    let finding = seen.finding(&rules::STANDARD, Severity::High, Sure::Proven);
                    tell(seen, finding, format!("{at} refused TLS"));
                } else if let Some(seen) = agreed(RdpLevel::Standard) {
                    let finding = seen.finding(&rules::STANDARD, Severity::Medium, Sure::Likely);
                    tell(seen, finding, format!("{at} agreed to RDP's own encryption"));
                }
            }
            Some(RdpLevel::Tls) => {
                if let Some(seen) = agreed(RdpLevel::Tls) {
                    let finding = seen.finding(&rules::NO_NLA, Severity::Medium, Sure::Proven);
                    tell(seen, finding, format!("{at} agreed to TLS without a log-on before it"));
                }
            }
            _ => {}
        }
        if let (true, Some(seen)) = (protection.enforced, &self.required_nla) {
            let finding = seen.finding(&rules::NLA_ENFORCED, Severity::Good, Sure::Proven);
            tell(seen, finding, format!("{at} refused a client without it"));
        }
        if let Some(seen) = &self.old_tls {
            let finding = seen.finding(&rules::OLD_TLS, Severity::Medium, Sure::Proven);
            tell(seen, finding, format!("{at} chose a version before TLS 1.2"));
        }
    }
}
