//! Who leads IPv6 out of the network and names its resolvers: router advertisements (RFC 4861
//! section 4.2, RFC 8106) and servers of DHCPv6 (RFC 8415). Whoever can send a frame can do both,
//! and Windows believes it also where nobody uses IPv6.
//!
//! Border routers of smart homes (Thread) advertise local prefixes beside the real router; these
//! lead nowhere, and are not told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use super::super::Message;
use super::super::rules_lan as rules;
use super::seen::{Seen, counted};
use crate::bytes::be16;
use crate::finding::{Finding, Rule, Severity, Sure};
use crate::peel::Packet;

/// Routers, and servers, remembered.
const SOURCES_MAX: usize = 256;
/// Prefixes and resolvers remembered of one.
const NAMED_MAX: usize = 8;
/// Options read of a message.
const OPTIONS_MAX: usize = 64;
/// Bytes of a server's identifier (RFC 8415 section 11.1).
const DUID_MAX: usize = 130;

/// What hosts are told by one source.
#[derive(Debug, Default)]
struct Source {
    seen: Seen,
    /// Global prefixes, and resolvers.
    prefixes: BTreeSet<(Ipv6Addr, u8)>,
    resolvers: BTreeSet<Ipv6Addr>,
    address: Option<IpAddr>,
}

#[derive(Debug, Default)]
pub(super) struct Adverts {
    /// By network and address.
    routers: BTreeMap<(u16, IpAddr), Source>,
    /// By identifier.
    servers: BTreeMap<Vec<u8>, Source>,
}

fn address(bytes: &[u8]) -> Option<Ipv6Addr> {
    bytes.first_chunk::<16>().map(|ip| Ipv6Addr::from(*ip))
}

fn add<T: Ord>(set: &mut BTreeSet<T>, value: T) {
    if set.len() < NAMED_MAX {
        set.insert(value);
    }
}

impl Source {
    fn resolvers(&mut self, list: &[u8]) {
        for ip in list.chunks_exact(16).take(NAMED_MAX).filter_map(address) {
            add(&mut self.resolvers, ip);
        }
    }

    /// It names another resolver than `own`, or leads a global network of its own.
    fn leads_elsewhere(&self, own: &Self) -> bool {
        let more = |own: &BTreeSet<Ipv6Addr>| self.resolvers.iter().any(|ip| !own.contains(ip));
        more(&own.resolvers)
            || (!own.prefixes.is_empty()
                && self.prefixes.iter().any(|prefix| !own.prefixes.contains(prefix)))
    }
}

impl Adverts {
    /// A router advertisement; what its transport carries begins behind the router's lifetime.
    pub(super) fn router(&mut self, packet: &Packet<'_>, ns: i64, frame: u64) {
        // only from a neighbour (RFC 4861 section 6.1.2)
        let (ip, 255) = (packet.src.ip(), packet.ttl) else { return };
        let key = (packet.vlan, ip);
        if self.routers.len() >= SOURCES_MAX && !self.routers.contains_key(&key) {
            return;
        }
        let router = self.routers.entry(key).or_default();
        router.seen.at(frame, ns);
        router.address = Some(ip);
        // two times, then options of a type and a length in units of eight bytes
        let mut rest = packet.payload.get(8..).unwrap_or_default();
        for _ in 0..OPTIONS_MAX {
            let [kind, units @ (1..), ..] = *rest else { break };
            let Some((option, behind)) = rest.split_at_checked(usize::from(units) * 8) else {
                break;
            };
            rest = behind;
            match kind {
                // a prefix: its length, flags, two times, a reserved word
                3 => {
                    let prefix = option.get(16..).and_then(address);
                    if let Some(prefix) = prefix.filter(|ip| ip.segments()[0] & 0xe000 == 0x2000) {
                        add(&mut router.prefixes, (prefix, option[2]));
                    }
                }
                25 => router.resolvers(option.get(8..).unwrap_or_default()),
                _ => {}
            }
        }
    }

    /// A message of DHCPv6: a server advertises (2) or replies (7).
    pub(super) fn message(&mut self, message: &Message<'_>) {
        let [2 | 7, _, _, _, ref options @ ..] = *message.payload else { return };
        let list = || {
            let mut rest = options;
            std::iter::from_fn(move || {
                let (code, length) = (be16(rest, 0)?, be16(rest, 2)?);
                let value = rest.get(4..4 + usize::from(length))?;
                rest = &rest[4 + usize::from(length)..];
                Some((code, value))
            })
            .take(OPTIONS_MAX)
        };
        let Some((_, id)) = list().find(|(code, id)| *code == 2 && id.len() <= DUID_MAX) else {
            return;
        };
        if self.servers.len() >= SOURCES_MAX && !self.servers.contains_key(id) {
            return;
        }
        let server = self.servers.entry(id.to_vec()).or_default();
        server.seen.at(message.frame, message.time_ns);
        server.address = Some(message.from.0);
        for (_, value) in list().filter(|(code, _)| *code == 23) {
            server.resolvers(value);
        }
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut networks = BTreeMap::<u16, Vec<&Source>>::new();
        for (&(network, _), router) in &self.routers {
            networks.entry(network).or_default().push(router);
        }
        let mut findings = Vec::new();
        for mut routers in networks.into_values() {
            second(&mut routers, &rules::RA_ROGUE, "leads IPv6 out", 0, &mut findings);
        }
        let mut servers: Vec<_> = self.servers.values().collect();
        second(&mut servers, &rules::DHCP_ROGUE, "gives IPv6 addresses", 547, &mut findings);
        findings
    }
}

/// All that lead elsewhere than the one heard most, which is taken for the site's own.
fn second(
    sources: &mut [&Source],
    rule: &'static Rule,
    does: &str,
    port: u16,
    out: &mut Vec<Finding>,
) {
    sources.sort_by_key(|source| std::cmp::Reverse(source.seen.count));
    let Some((own, others)) = sources.split_first() else { return };
    for other in others.iter().filter(|other| other.leads_elsewhere(own)) {
        let (Some(own_ip), Some(other_ip)) = (own.address, other.address) else { continue };
        let mut finding =
            other.seen.finding(rule, Severity::Medium, Sure::Likely, &[other_ip, own_ip]);
        finding.port = port;
        finding.detail = format!(
            "{other_ip} {does} beside {own_ip}, with {} and {} that {own_ip} does not name",
            counted(
                other.prefixes.difference(&own.prefixes).count(),
                "global prefix",
                "global prefixes"
            ),
            counted(
                other.resolvers.difference(&own.resolvers).count(),
                "name server",
                "name servers"
            )
        );
        out.push(finding);
    }
}
