//! Who gives out addresses (DHCP, RFC 2131 and RFC 2132), and whether all say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use super::super::rules_lan as rules;
use super::super::{Message, Place, place};
use super::seen::{Seen, counted};
use crate::finding::{Finding, Severity, Sure};

/// Servers remembered.
const SERVERS_MAX: usize = 256;
/// Routers and name servers remembered of one.
const NAMED_MAX: usize = 8;
/// Options read of a message.
const OPTIONS_MAX: usize = 64;
/// Where they begin: behind the cookie.
const OPTIONS_AT: usize = 240;

/// What a server gives with an address.
#[derive(Debug, Default)]
struct Server {
    seen: Seen,
    routers: BTreeSet<Ipv4Addr>,
    resolvers: BTreeSet<Ipv4Addr>,
    /// It names a place to get proxy settings from (option 252).
    proxy: Seen,
}

/// A server by the network whose addresses it gives, and its identifier.
type Key = ([u8; 3], Ipv4Addr);

/// Servers seen.
#[derive(Debug, Default)]
pub(super) struct Servers {
    all: BTreeMap<Key, Server>,
    routers: Vec<IpAddr>,
}

/// An offer, or what was acknowledged.
#[derive(Debug, Default)]
pub(in crate::site) struct Told {
    /// The address given, unspecified if only settings were asked for.
    pub(in crate::site) yours: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
    routers: Vec<Ipv4Addr>,
    resolvers: Vec<Ipv4Addr>,
    proxy: bool,
}

/// Options of a message, the first ones (RFC 2132 section 2). Those in the fields `sname` and
/// `file`
/// (option 52) are not looked for.
pub(in crate::site) fn options(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = bytes.get(OPTIONS_AT..).unwrap_or_default();
    std::iter::from_fn(move || {
        while let [0, behind @ ..] = rest {
            rest = behind;
        }
        let [code @ 1..=254, length, behind @ ..] = rest else { return None };
        let value = behind.get(..usize::from(*length))?;
        rest = &behind[usize::from(*length)..];
        Some((*code, value))
    })
    .take(OPTIONS_MAX)
}

fn addresses(value: &[u8]) -> Vec<Ipv4Addr> {
    let ips = value.chunks_exact(4).filter_map(<[u8]>::first_chunk::<4>);
    ips.take(NAMED_MAX).map(|ip| Ipv4Addr::from(*ip)).collect()
}

/// What a server said with an offer (message type 2) or an acknowledgement (5).
fn told(bytes: &[u8]) -> Option<Told> {
    if bytes.first() != Some(&2) || bytes.get(236..240)? != [0x63, 0x82, 0x53, 0x63] {
        return None;
    }
    let yours = Ipv4Addr::from(*bytes.get(16..)?.first_chunk::<4>()?);
    let yours = (!yours.is_unspecified()).then_some(yours);
    let mut told = Told { yours, ..Told::default() };
    let mut gives = false;
    for (code, value) in options(bytes) {
        match code {
            3 => told.routers = addresses(value),
            6 => told.resolvers = addresses(value),
            53 => gives = matches!(value, [2 | 5]),
            54 => told.server = addresses(value).first().copied(),
            252 => told.proxy = value.len() > 1,
            _ => {}
        }
    }
    gives.then_some(told)
}

impl Servers {
    pub(super) fn message(&mut self, message: &Message<'_>) {
        let Some(told) = told(message.payload) else { return };
        let IpAddr::V4(from) = message.from.0 else { return };
        let server = told.server.filter(|ip| !ip.is_unspecified()).unwrap_or(from);
        if place(server.into()) == Place::NoHost {
            return;
        }
        // who only asks for settings has an address already, from anywhere
        let [a, b, c, _] = told.yours.unwrap_or(server).octets();
        let key = ([a, b, c], server);
        if self.all.len() >= SERVERS_MAX && !self.all.contains_key(&key) {
            return;
        }
        let known = self.all.entry(key).or_default();
        known.seen.at(message.frame, message.time_ns);
        if told.proxy {
            known.proxy.at(message.frame, message.time_ns);
        }
        let room = NAMED_MAX.saturating_sub(known.routers.len());
        known.routers.extend(told.routers.iter().take(room));
        let room = NAMED_MAX.saturating_sub(known.resolvers.len());
        known.resolvers.extend(told.resolvers.iter().take(room));
        for router in told.routers {
            if self.routers.len() < SERVERS_MAX && !self.routers.contains(&router.into()) {
                self.routers.push(router.into());
            }
        }
    }

    /// Routers that servers name.
    pub(super) fn routers(&self) -> &[IpAddr] {
        &self.routers
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut networks = BTreeMap::<[u8; 3], Vec<(Ipv4Addr, &Server)>>::new();
        for (&(network, ip), server) in &self.all {
            networks.entry(network).or_default().push((ip, server));
        }
        let mut findings = Vec::new();
        for servers in networks.values_mut() {
            // the one that gives most is taken for the site's own
            servers.sort_by_key(|(_, server)| std::cmp::Reverse(server.seen.count));
            if let Some((own, others)) = servers.split_first() {
                findings.extend(others.iter().map(|other| second(own, other)));
            }
        }
        findings.extend(self.all.iter().filter(|(_, server)| server.proxy.count > 0).map(
            |(&(_, ip), server)| {
                let (low, sure) = (Severity::Low, Sure::Proven);
                let mut finding =
                    server.proxy.finding(&rules::PROXY_NAMED, low, sure, &[ip.into()]);
                finding.detail =
                    format!("{ip} tells hosts by DHCP where to get their proxy settings from");
                finding
            },
        ));
        findings
    }
}

/// Two servers in one network.
fn second(
    &(own_ip, own): &(Ipv4Addr, &Server),
    &(other_ip, other): &(Ipv4Addr, &Server),
) -> Finding {
    let list = |ips: &BTreeSet<Ipv4Addr>| {
        let ips: Vec<_> = ips.iter().map(ToString::to_string).collect();
        if ips.is_empty() { "none".to_owned() } else { ips.join(", ") }
    };
    let same = own.routers == other.routers && own.resolvers == other.resolvers;
    let (rule, severity) = if same {
        (&rules::DHCP_PAIR, Severity::Info)
    } else {
        (&rules::DHCP_ROGUE, Severity::Medium)
    };
    let hosts = [other_ip.into(), own_ip.into()];
    let mut finding = other.seen.finding(rule, severity, Sure::Likely, &hosts);
    finding.port = 67;
    let times = |server: &Server| counted(server.seen.count as usize, "time", "times");
    finding.detail = format!(
        "{own_ip} gave addresses {}, {other_ip} {} in the same network",
        times(own),
        times(other)
    );
    if !same {
        let _ = write!(
            finding.detail,
            "; {own_ip} names as router {} and as name server {}, {other_ip} names {} and {}",
            list(&own.routers),
            list(&own.resolvers),
            list(&other.routers),
            list(&other.resolvers)
        );
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::App;

    fn reply(kind: u8, server: [u8; 4], router: [u8; 4], resolver: [u8; 4]) -> Vec<u8> {
        let mut bytes = vec![0; 236];
        bytes[..4].copy_from_slice(&[2, 1, 6, 0]);
        bytes[16..20].copy_from_slice(&[192, 168, 1, 77]);
        bytes.extend([0x63, 0x82, 0x53, 0x63, 53, 1, kind, 54, 4]);
        bytes.extend(server);
        bytes.extend([3, 4]);
        bytes.extend(router);
        bytes.extend([6, 4]);
        bytes.extend(resolver);
        bytes.push(255);
        bytes
    }

    fn findings(said: &[Vec<u8>]) -> Vec<Finding> {
        let mut servers = Servers::default();
        for (n, payload) in said.iter().enumerate() {
            servers.message(&Message {
                app: App::Dhcp,
                from: ("192.168.1.1".parse().unwrap(), 67),
                to: ("255.255.255.255".parse().unwrap(), 68),
                payload,
                frame: n as u64,
                time_ns: n as i64,
                mac: None,
            });
        }
        servers.findings()
    }

    const OWN: [u8; 4] = [192, 168, 1, 1];
    const OTHER: [u8; 4] = [192, 168, 1, 66];

    #[test]
    fn a_second_server_that_leads_elsewhere() {
        let (own, other) = (reply(5, OWN, OWN, OWN), reply(2, OTHER, OTHER, OTHER));
        let found = findings(&[own.clone(), other, own]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].rule.id, found[0].severity), ("lan.dhcp-rogue", Severity::Medium));
        assert_eq!(found[0].hosts[0], IpAddr::from(OTHER));
        assert_eq!(found[0].evidence, [1]);
    }

    #[test]
    fn a_pair_that_says_the_same_is_asked_about() {
        let found = findings(&[reply(5, OWN, OWN, OWN), reply(5, OTHER, OWN, OWN)]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].rule.id, found[0].severity), ("lan.dhcp-pair", Severity::Info));
    }

    #[test]
    fn one_server_or_a_refusal_is_silent() {
        let own = reply(2, OWN, OWN, OWN);
        assert!(findings(&[own.clone(), own.clone()]).is_empty());
        // the other server says that the address is not its own (DHCPNAK)
        assert!(findings(&[own.clone(), reply(6, OTHER, OTHER, OTHER)]).is_empty());
        for end in 0..own.len() {
            let _ = told(&own[..end]);
        }
    }

    #[test]
    fn proxy_settings_by_dhcp() {
        let mut own = reply(5, OWN, OWN, OWN);
        own.pop();
        own.extend(b"\xfc\x15http://wpad/proxy.pac\xff");
        let found = findings(&[own]);
        assert_eq!((found[0].rule.id, found[0].severity), ("lan.proxy-named", Severity::Low));
    }
}
