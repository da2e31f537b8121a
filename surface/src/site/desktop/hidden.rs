//! Users from outside behind an address inside: a router that puts its own address in place of
//! theirs leaves their time to live, which has passed more routers than the building has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::super::address::{Place, place};
use super::super::{end, rules_desktop as rules};
use super::network;
use crate::App;
use crate::finding::{Finding, Severity, Sure};
use crate::record::FlowRecord;

/// Pairs of client and service remembered.
const PAIRS_MAX: usize = 4096;
const FRAMES_MAX: usize = 8;
/// Times to live that systems begin with.
const INITIAL: [u8; 5] = [32, 60, 64, 128, 255];
/// A neighbour's packets have passed fewer routers.
const HOPS_MIN: u8 = 4;
/// A neighbour's packets have fewer times to live.
const DISTINCT_MIN: usize = 3;

#[derive(Debug, Default)]
struct Seen {
    ttls: BTreeSet<u8>,
    frames: Vec<u64>,
    count: u64,
    first_ns: i64,
    last_ns: i64,
}

/// Conversations with remote-control services from the same network.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    pairs: BTreeMap<(IpAddr, IpAddr, u16), Seen>,
}

const fn is_remote_control(app: App) -> bool {
    matches!(app, App::Rdp | App::Vnc | App::Ssh | App::Telnet | App::Radmin | App::DameWare)
}

/// Routers passed, if it began with the next number that systems begin with.
fn hops(ttl: u8) -> u8 {
    INITIAL.iter().find(|&&initial| initial >= ttl).map_or(0, |initial| initial - ttl)
}

impl Hidden {
    pub(super) fn flow(&mut self, flow: &FlowRecord) {
        let neighbours = place(flow.src) == Place::Inside
            && place(flow.dst) == Place::Inside
            && network(flow.src) == network(flow.dst);
        let spoke = flow.opener_sent.bytes > 0 && flow.answerer_sent.bytes > 0;
        if !neighbours || !spoke || flow.tunnels > 0 || !is_remote_control(flow.app) {
            return;
        }
        let key = (flow.src, flow.dst, flow.dst_port);
        if self.pairs.len() >= PAIRS_MAX && !self.pairs.contains_key(&key) {
            return;
        }
        let seen = self
            .pairs
            .entry(key)
            .or_insert_with(|| Seen { first_ns: flow.first_ns, ..Seen::default() });
        seen.ttls.insert(flow.opener_sent.ttl);
        seen.count += 1;
        seen.first_ns = seen.first_ns.min(flow.first_ns);
        seen.last_ns = seen.last_ns.max(flow.last_ns);
        if seen.frames.len() < FRAMES_MAX {
            seen.frames.push(flow.first_frame);
        }
    }

    pub(super) fn findings(&self, out: &mut Vec<Finding>) {
        for (&(client, host, port), seen) in &self.pairs {
            let far = seen.ttls.iter().map(|&ttl| hops(ttl)).max().unwrap_or_default();
            if far < HOPS_MIN && seen.ttls.len() < DISTINCT_MIN {
                continue;
            }
            let frame = seen.frames.first().copied().unwrap_or_default();
            let mut finding =
                Finding::new(&rules::HIDDEN, Severity::Medium, Sure::Likely, frame, seen.first_ns);
            finding.evidence.clone_from(&seen.frames);
            finding.count = seen.count;
            finding.last_ns = seen.last_ns;
            finding.port = port;
            finding.host(host);
            finding.host(client);
            finding.detail = format!(
                "{client} reached {} over up to {far} routers, with {} times to live",
                end(host, port),
                seen.ttls.len()
            );
            out.push(finding);
        }
    }
}
