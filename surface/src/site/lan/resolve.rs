//! Names asked of everybody: LLMNR (RFC 4795) and NetBIOS (RFC 1002), which anyone can answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;

use super::super::names::{RecordData, names, netbios};
use super::super::rules_lan as rules;
use super::super::{Message, Place, place};
use super::seen::{Seen, counted};
use crate::App;
use crate::finding::{Finding, Severity, Sure};

/// Hosts that answer, remembered.
const ANSWERERS_MAX: usize = 1024;
/// Names remembered of one.
const NAMES_MAX: usize = 32;
/// Names remembered with who has them.
const OWNERS_MAX: usize = 4096;
/// A host that answers so many names of others is no host with a second name.
const NAMES_MIN: usize = 3;
/// Within this time.
const WITHIN_NS: i64 = 600_000_000_000;
/// Names by which programs look for proxy settings and tunnels.
const BAIT: &[&str] = &["wpad", "isatap"];

/// A host that answers names with its own address.
#[derive(Debug, Default)]
struct Answerer {
    /// The last time that a name was answered.
    names: BTreeMap<String, i64>,
    /// Names answered within the time, at most.
    most: usize,
    bait: bool,
    seen: Seen,
}

/// What was asked and answered.
#[derive(Debug, Default)]
pub(super) struct Resolvers {
    asked: Seen,
    asked_proxy: Seen,
    answerers: BTreeMap<IpAddr, Answerer>,
    /// Names that hosts have said to be theirs, or that another one answered.
    owners: BTreeMap<String, BTreeSet<IpAddr>>,
    /// Name servers that lead programs which look for proxy settings to an address.
    proxies: BTreeMap<(IpAddr, IpAddr), Seen>,
}

/// Answers remembered that name a proxy.
const PROXIES_MAX: usize = 64;

impl Resolvers {
    /// A message of DNS: an answer to who looks for proxy settings.
    pub(super) fn dns(&mut self, message: &Message<'_>) {
        let asked = message.payload.get(12..17);
        if !asked.is_some_and(|label| label.eq_ignore_ascii_case(b"\x04wpad")) {
            return;
        }
        let Some(read) = names(message.payload) else { return };
        if !read.response || !read.fine {
            return;
        }
        for record in &read.records {
            let RecordData::Address(ip) = record.data else { continue };
            let key = (message.from.0, ip);
            let room = self.proxies.len() < PROXIES_MAX || self.proxies.contains_key(&key);
            if room && place(ip) != Place::NoHost {
                self.proxies.entry(key).or_default().at(message.frame, message.time_ns);
            }
        }
    }

    pub(super) fn message(&mut self, message: &Message<'_>) {
        let Some(read) = names(message.payload) else { return };
        let netbios_name = |name: &str| match message.app {
            App::NetbiosNs => netbios(name),
            _ => Some((name.trim_end_matches('.').to_owned(), 0)),
        };
        if !read.response {
            let Some((name, _)) = read.question.as_ref().and_then(|(name, _)| netbios_name(name))
            else {
                return;
            };
            match (message.app, read.opcode) {
                (App::NetbiosNs, 0) if !broadcast(message) => {} // asks one host, or a WINS server
                (_, 0) => {
                    self.asked.at(message.frame, message.time_ns);
                    self.asked.by(message.from.0);
                    if BAIT[0] == name {
                        self.asked_proxy.at(message.frame, message.time_ns);
                        self.asked_proxy.by(message.from.0);
                    }
                }
                // registers a name (5), or says again that it has it (8, 9)
                (App::NetbiosNs, 5 | 8 | 9) => self.own(name, message.from.0),
                _ => {}
            }
            return;
        }
        if !read.fine || read.opcode != 0 {
            return;
        }
        for record in &read.records {
            let RecordData::Address(ip) = record.data else { continue };
            let Some((name, last)) = netbios_name(&record.name) else { continue };
            // groups have many members, each of which answers
            let group = message.app == App::NetbiosNs && matches!(last, 0x1b..=0x1e);
            if ip == message.from.0 && !group && name.len() < 64 {
                self.answer(name, message);
            }
        }
    }

    /// `host` has this name.
    fn own(&mut self, name: String, host: IpAddr) {
        if self.owners.len() < OWNERS_MAX || self.owners.contains_key(&name) {
            let owners = self.owners.entry(name).or_default();
            if owners.len() < 8 {
                owners.insert(host);
            }
        }
    }

    fn answer(&mut self, name: String, message: &Message<'_>) {
        let host = message.from.0;
        if self.owners.get(&name).is_some_and(|owners| owners.contains(&host)) {
            return; // its own
        }
        if self.answerers.len() >= ANSWERERS_MAX && !self.answerers.contains_key(&host) {
            return;
        }
        let answerer = self.answerers.entry(host).or_default();
        let now = message.time_ns;
        answerer.bait |= BAIT.contains(&name.as_str());
        answerer.seen.at(message.frame, now);
        answerer.seen.by(message.to.0);
        if answerer.names.len() < NAMES_MAX || answerer.names.contains_key(&name) {
            answerer.names.insert(name, now);
        }
        let recent = answerer.names.values().filter(|&&at| now.saturating_sub(at) <= WITHIN_NS);
        answerer.most = answerer.most.max(recent.count());
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.asked.count > 0 {
            let (low, sure) = (Severity::Low, Sure::Proven);
            let mut finding = self.asked.finding(&rules::NAMES_ASKED, low, sure, &[]);
            finding.detail = format!(
                "{} asked everybody for a name by LLMNR or NetBIOS",
                counted(self.asked.hosts(), "host", "hosts")
            );
            if self.asked_proxy.count > 0 {
                let _ = write!(
                    finding.detail,
                    "; {} asked for proxy settings in this way (wpad), which lets whoever answers \
                     read along",
                    counted(self.asked_proxy.hosts(), "host", "hosts")
                );
            }
            findings.push(finding);
        }
        for (&(server, ip), seen) in &self.proxies {
            // a name of the whole world, of which anyone may own the place above
            let outside = place(ip) == Place::Outside;
            let severity = if outside { Severity::Medium } else { Severity::Low };
            let mut finding =
                seen.finding(&rules::PROXY_NAMED, severity, Sure::Proven, &[server, ip]);
            finding.detail = format!(
                "the name server {server} leads hosts that look for proxy settings (wpad) to \
                 {ip}{}",
                if outside { ", which is on the internet" } else { "" }
            );
            findings.push(finding);
        }
        let poisons = |answerer: &&Answerer| answerer.bait || answerer.most >= NAMES_MIN;
        for (&host, answerer) in self.answerers.iter().filter(|(_, one)| poisons(one)) {
            let several = answerer.most >= NAMES_MIN;
            // another host has one of the names as well, or it is the same with two addresses
            let others = answerer.names.keys().any(|name| self.is_of_another(name, host));
            let (severity, sure) = if several && answerer.bait {
                (Severity::High, Sure::Proven)
            } else {
                (Severity::Medium, Sure::Likely)
            };
            let mut finding =
                answerer.seen.finding(&rules::NAMES_POISONED, severity, sure, &[host]);
            finding.detail = format!(
                "{host} answered for {} with its own address{}{}",
                counted(answerer.names.len(), "name", "different names"),
                if answerer.bait {
                    ", among them one that programs look for on their own"
                } else {
                    ""
                },
                if others { ", among them one that is another address's" } else { "" },
            );
            findings.push(finding);
        }
        findings
    }

    fn is_of_another(&self, name: &str, host: IpAddr) -> bool {
        let owned = self.owners.get(name).is_some_and(|owners| owners.iter().any(|&ip| ip != host));
        let same_family = |ip: &IpAddr| *ip != host && ip.is_ipv4() == host.is_ipv4();
        owned
            || self.answerers.iter().any(|(ip, other)| {
                same_family(ip) && other.names.contains_key(name) && other.most == 1
            })
    }
}

/// Sent to everybody: to an address that no host has, or to a network's last one (the flag B of the
/// message is read because the mask is not known).
fn broadcast(message: &Message<'_>) -> bool {
    let flag = message.payload.get(3).is_some_and(|flags| flags & 0x10 != 0);
    flag || place(message.to.0) == Place::NoHost
}

#[cfg(test)]
mod tests {
    use super::super::super::names::testing::{encoded, message as bytes};
    use super::*;

    const S: i64 = 1_000_000_000;

    #[derive(Clone, Copy)]
    struct Says<'a>(i64, App, &'a str, u16, u8);

    /// Answers and questions: time, kind, name, flags, the host that says it.
    fn findings(said: &[Says<'_>]) -> Vec<Finding> {
        let mut resolvers = Resolvers::default();
        for (n, &Says(s, app, name, flags, host)) in said.iter().enumerate() {
            let (name, kind) = match app {
                App::NetbiosNs => (encoded(name, 0x20), 32),
                _ => (name.to_owned(), 1),
            };
            let ip = [192, 168, 1, host];
            let answer = match (flags & 0x8000, app) {
                (0, _) => vec![],
                (_, App::NetbiosNs) => [&[0, 0], &ip[..]].concat(),
                _ => ip.to_vec(),
            };
            resolvers.message(&Message {
                app,
                from: (ip.into(), 5355),
                to: ("192.168.1.20".parse().unwrap(), 50_000),
                payload: &bytes(flags, &name, kind, &answer),
                frame: n as u64,
                time_ns: s * S,
                mac: None,
            });
        }
        resolvers.findings()
    }

    #[test]
    fn asking_everybody_is_one_low_finding() {
        let found = findings(&[
            Says(0, App::Llmnr, "fileserver", 0, 20),
            Says(1, App::NetbiosNs, "WPAD", 0x0110, 21),
        ]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].rule.id, found[0].severity), ("lan.names-asked", Severity::Low));
        assert_eq!(found[0].evidence, [0, 1]);
        assert!(found[0].detail.contains("wpad"));
        // asks a WINS server
        assert!(findings(&[Says(0, App::NetbiosNs, "FS", 0x0100, 20)]).is_empty());
    }

    #[test]
    fn one_host_that_is_everybody() {
        let said = [
            Says(0, App::Llmnr, "filserver", 0x8000, 66),
            Says(30, App::NetbiosNs, "PRINTRE", 0x8580, 66),
            Says(60, App::Llmnr, "wpad", 0x8000, 66),
        ];
        let found = findings(&said);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].rule.id, found[0].severity), ("lan.names-poisoned", Severity::High));
        assert_eq!(found[0].evidence, [0, 1, 2]);
        // for wpad alone it may be the site's own
        let found = findings(&said[2..]);
        assert_eq!((found[0].severity, found[0].sure), (Severity::Medium, Sure::Likely));
    }

    #[test]
    fn several_names_of_its_own_are_no_proof() {
        let said = [
            Says(0, App::Llmnr, "printer", 0x8000, 30),
            Says(1, App::Llmnr, "printer", 0x8000, 31),
            Says(2, App::Llmnr, "npi4711", 0x8000, 30),
            Says(3, App::Llmnr, "scanner", 0x8000, 30),
        ];
        let found = findings(&said);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].severity, found[0].sure), (Severity::Medium, Sure::Likely));
    }

    #[test]
    fn hosts_that_answer_for_themselves_are_silent() {
        // its own name in both, and the name of its group
        let own = [
            Says(0, App::NetbiosNs, "FS", 0x2910, 30),
            Says(1, App::NetbiosNs, "FS", 0x8580, 30),
            Says(2, App::Llmnr, "fs", 0x8000, 30),
            Says(3, App::Llmnr, "alias", 0x8000, 30),
        ];
        assert!(findings(&own).is_empty());
        // three names, but hours apart
        let slow = [
            Says(0, App::Llmnr, "a", 0x8000, 30),
            Says(7200, App::Llmnr, "b", 0x8000, 30),
            Says(14_400, App::Llmnr, "c", 0x8000, 30),
        ];
        assert!(findings(&slow).is_empty());
        // no such name
        let no: Vec<_> = ["a", "b", "c"].map(|name| Says(0, App::Llmnr, name, 0x8003, 30)).to_vec();
        assert!(findings(&no).is_empty());
    }
}
