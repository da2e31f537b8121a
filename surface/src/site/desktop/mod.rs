//! Remote desktops of the site: how they are protected, who guesses at them, by which way their
//! users come (`desktop.*`, `access.desktop-*`, `exposure.hidden-behind-router`).

mod access;
mod guess;
mod hidden;
mod level;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::address::{Place, place};
use super::pairs::Pairs;
use crate::App;
use crate::facts::{Facts, RdpLevel};
use crate::finding::Finding;
use crate::record::FlowRecord;

/// Servers remembered.
const SERVERS_MAX: usize = 1024;

/// What is known of the remote desktops so far.
#[derive(Debug, Default)]
pub(super) struct Desktops {
    servers: BTreeMap<(IpAddr, u16), Server>,
    access: access::Access,
    hidden: hidden::Hidden,
}

/// One remote desktop.
#[derive(Debug, Default)]
struct Server {
    levels: level::Levels,
    guesses: guess::Guesses,
}

/// How a remote desktop is protected, as far as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Protection {
    /// The weakest that it agreed to.
    pub(super) weakest: Option<RdpLevel>,
    /// It refused a client without network level authentication, and agreed to nothing weaker.
    pub(super) enforced: bool,
}

impl Desktops {
    /// A conversation is over.
    pub(super) fn flow(&mut self, flow: &FlowRecord) {
        self.access.flow(flow);
        self.hidden.flow(flow);
        let Facts::Rdp(facts) = &flow.facts else { return };
        if flow.app != App::Rdp || !is_ours(flow.dst) {
            return;
        }
        let key = (flow.dst, flow.dst_port);
        if self.servers.len() >= SERVERS_MAX && !self.servers.contains_key(&key) {
            return;
        }
        let server = self.servers.entry(key).or_default();
        server.levels.flow(flow, facts);
        server.guesses.flow(flow, facts);
    }

    /// Of the remote desktop at this address and port.
    pub(super) fn protection(&self, host: IpAddr, port: u16) -> Option<Protection> {
        self.servers.get(&(host, port)).map(|server| server.levels.protection())
    }

    pub(super) fn findings(&self, pairs: &Pairs) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (&(host, port), server) in &self.servers {
            server.levels.findings(host, port, &mut findings);
            server.guesses.findings(host, port, &mut findings);
        }
        self.access.findings(pairs, &mut findings);
        self.hidden.findings(&mut findings);
        findings
    }
}

/// A host of the site; of its two addresses on the sides of a NAT, the inner one.
fn is_ours(ip: IpAddr) -> bool {
    matches!(place(ip), Place::Inside | Place::Global6)
}

/// The network that an address most likely belongs to: 24 bits, or 64.
fn network(ip: IpAddr) -> u128 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => u128::from(u32::from(ip) >> 8),
        IpAddr::V6(ip) => 1 << 127 | u128::from(ip) >> 64,
    }
}
