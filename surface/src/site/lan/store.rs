//! Stores of data whose conversations anyone on the way can read.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::super::{end, rules_lan as rules};
use super::seen::Seen;
use crate::App;
use crate::facts::{Encrypted, Facts};
use crate::finding::{Finding, Severity, Sure};
use crate::record::FlowRecord;

/// Stores remembered.
const STORES_MAX: usize = 1024;
/// Titles remembered of one caller of an imaging server.
const TITLES_MAX: usize = 8;
/// Callers remembered of one server.
const CALLERS_MAX: usize = 64;
/// A host that is let in under so many titles would be let in under any.
const TITLES_MIN: usize = 3;

#[derive(Debug, Default)]
struct Store {
    clear: Seen,
    clear_logon: Seen,
    /// Accepted titles of each caller.
    titles: BTreeMap<IpAddr, BTreeSet<[u8; 16]>>,
    calls: Seen,
}

#[derive(Debug, Default)]
pub(super) struct Stores {
    all: BTreeMap<(App, IpAddr, u16), Store>,
}

impl Stores {
    pub(super) fn flow(&mut self, flow: &FlowRecord) {
        let Facts::Store(facts) = &flow.facts else { return };
        let key = (flow.app, flow.dst, flow.dst_port);
        if flow.dst.is_loopback() || (self.all.len() >= STORES_MAX && !self.all.contains_key(&key))
        {
            return;
        }
        let store = self.all.entry(key).or_default();
        let (frame, ns) = (flow.first_frame, flow.first_ns);
        if matches!(facts.encrypted, Some(Encrypted::Nothing | Encrypted::Logon)) {
            store.clear.at(frame, ns);
            store.clear.by(flow.src);
        }
        let nothing = facts.encrypted == Some(Encrypted::Nothing);
        if nothing && (facts.legacy_logon || flow.app == App::Tds) {
            store.clear_logon.at(frame, ns);
            store.clear_logon.by(flow.src);
        }
        if let Some(title) = facts.caller
            && (store.titles.len() < CALLERS_MAX || store.titles.contains_key(&flow.src))
        {
            let titles = store.titles.entry(flow.src).or_default();
            if titles.len() < TITLES_MAX {
                titles.insert(title);
            }
            store.calls.at(frame, ns);
        }
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (&(app, host, port), store) in &self.all {
            let service = end(host, port);
            let mut add = |seen: &Seen, rule, severity, sure, detail: String| {
                let mut finding: Finding = seen.finding(rule, severity, sure, &[host]);
                (finding.port, finding.detail) = (port, detail);
                findings.push(finding);
            };
            if store.clear_logon.count > 0 {
                let detail = format!("the logon to {app} on {service} crossed without encryption");
                let seen = &store.clear_logon;
                add(seen, &rules::STORE_LOGON, Severity::Medium, Sure::Proven, detail);
            }
            if store.clear.count > 0 {
                let detail =
                    format!("what {app} on {service} is asked and answers is not encrypted");
                add(&store.clear, &rules::STORE_CLEAR, Severity::Low, Sure::Proven, detail);
            }
            let any = store.titles.iter().find(|(_, titles)| titles.len() >= TITLES_MIN);
            if let Some((caller, titles)) = any {
                let count = titles.len();
                let detail =
                    format!("{caller} was let in to {app} on {service} under {count} titles");
                add(&store.calls, &rules::DICOM_ANYONE, Severity::Low, Sure::Likely, detail);
            }
        }
        findings
    }
}
