//! Devices managed in clear: SNMP with a community that everybody knows, settings by TFTP, and what
//! is said of itself by a conversation (`flow`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::rules_lan as rules;
use super::super::{Message, Place, place};
use super::seen::{Seen, counted};
use crate::App;
use crate::facts::{Facts, Ntlm, names_settings};
use crate::finding::{Finding, Rule, Severity, Sure};
use crate::flow::Opener;
use crate::record::FlowRecord;

/// Hosts remembered for each rule.
const HOSTS_MAX: usize = 1024;
/// Communities that devices come with. What is on the wire is compared with them, and never kept.
const DEFAULTS: [&[u8]; 2] = [b"public", b"private"];

/// The other host, the frame, its time.
type Other = (IpAddr, u64, i64);

/// What a device does, in the order in which it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    SnmpAnswers,
    SnmpAsked,
    SettingsInClear,
    Telnet,
    ClearLogon,
    Smb1,
    Ntlm1,
    OpensPorts,
    SmartInstall,
}

#[derive(Debug, Default)]
pub(super) struct Managed {
    all: BTreeMap<(What, App, IpAddr, u16), Seen>,
    /// Servers of SMB that do not ask for signatures.
    unsigned: Seen,
}

impl Managed {
    /// Something of a service; `other` had to do with it.
    fn add(&mut self, (what, app): (What, App), (host, port): (IpAddr, u16), other: Other) {
        let key = (what, app, host, port);
        if self.all.len() < HOSTS_MAX || self.all.contains_key(&key) {
            let seen = self.all.entry(key).or_default();
            seen.at(other.1, other.2);
            seen.by(other.0);
        }
    }

    pub(super) fn message(&mut self, message: &Message<'_>) {
        let Message { from, to, frame, time_ns, .. } = *message;
        let asker = (from.0, frame, time_ns);
        match message.app {
            App::Snmp => match snmp_default(message.payload) {
                Some(Pdu::Answer) => {
                    self.add((What::SnmpAnswers, App::Snmp), from, (to.0, frame, time_ns));
                }
                Some(Pdu::Question) if place(to.0) != Place::NoHost => {
                    self.add((What::SnmpAsked, App::Snmp), to, asker);
                }
                _ => {}
            },
            App::Ssdp if offers_ports(message.payload) => {
                self.add((What::OpensPorts, App::Ssdp), (from.0, 0), (from.0, frame, time_ns));
            }
            App::Tftp if moves_settings(message.payload) => {
                self.add((What::SettingsInClear, App::Tftp), to, asker);
            }
            _ => {}
        }
    }

    pub(super) fn flow(&mut self, flow: &FlowRecord) {
        if flow.dst.is_loopback() {
            return; // nothing of it crosses the network
        }
        let server = (flow.dst, flow.dst_port);
        let client = (flow.src, flow.first_frame, flow.first_ns);
        match flow.facts {
            Facts::ClearLogon => {
                let app = flow.path.first().copied().unwrap_or(flow.app);
                self.add((What::ClearLogon, app), server, client);
            }
            Facts::ClearSettings => {
                let app = flow.path.first().copied().unwrap_or(flow.app);
                self.add((What::SettingsInClear, app), server, client);
            }
            Facts::Smb(smb) => {
                if smb.version1 {
                    self.add((What::Smb1, App::Smb), server, client);
                }
                if matches!(smb.ntlm, Some(Ntlm::V1 | Ntlm::V1Session)) {
                    self.add((What::Ntlm1, App::Smb), server, client);
                }
                if smb.signing_required == Some(false) {
                    self.unsigned.at(flow.first_frame, flow.first_ns);
                    self.unsigned.by(flow.dst);
                }
            }
            _ => {}
        }
        let both = flow.opener_sent.bytes > 0 && flow.answerer_sent.bytes > 0;
        let inside = place(flow.dst) == Place::Inside;
        let certain = flow.opener == Opener::Syn || flow.dst_port == 23;
        if flow.app == App::Telnet && both && inside && certain {
            self.add((What::Telnet, App::Telnet), server, client);
        }
        if flow.app == App::SmartInstall && flow.app_sure && both && inside {
            self.add((What::SmartInstall, App::SmartInstall), server, client);
        }
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let answers = |host: IpAddr| {
            let key = |port: u16| (What::SnmpAnswers, App::Snmp, host, port);
            self.all.range(key(0)..=key(u16::MAX)).next().is_some()
        };
        let told = |what: What, host: IpAddr| what != What::SnmpAsked || !answers(host);
        let mut findings: Vec<_> = self
            .all
            .iter()
            .filter(|(key, _)| told(key.0, key.2))
            .map(|(&(what, app, host, port), seen)| finding(what, app, (host, port), seen))
            .collect();
        if self.unsigned.count > 0 {
            let (info, sure) = (Severity::Info, Sure::Proven);
            let mut finding = self.unsigned.finding(&rules::SMB_UNSIGNED, info, sure, &[]);
            finding.detail = format!(
                "{} of file shares did not ask for signatures",
                counted(self.unsigned.hosts(), "server", "servers")
            );
            findings.push(finding);
        }
        findings
    }
}

fn finding(what: What, app: App, (host, port): (IpAddr, u16), seen: &Seen) -> Finding {
    let service = super::super::end(host, port);
    let (rule, severity): (&'static Rule, _) = match what {
        What::SnmpAnswers => (&rules::SNMP_DEFAULT, Severity::Medium),
        What::SnmpAsked => (&rules::SNMP_DEFAULT_ASKED, Severity::Low),
        What::SettingsInClear => (&rules::SETTINGS_IN_CLEAR, Severity::Medium),
        What::Telnet => (&rules::TELNET, Severity::Medium),
        What::ClearLogon => (&rules::CLEAR_LOGON, Severity::Medium),
        What::Smb1 => (&rules::SMB1, Severity::Medium),
        What::Ntlm1 => (&rules::NTLM1, Severity::Medium),
        What::OpensPorts => (&rules::UPNP_OFFERED, Severity::Low),
        What::SmartInstall => (&rules::SMART_INSTALL, Severity::Medium),
    };
    let mut finding = seen.finding(rule, severity, Sure::Proven, &[host]);
    finding.port = port;
    finding.detail = match what {
        What::SnmpAnswers => {
            format!("{host} answers SNMP by a password that every device comes with")
        }
        What::SnmpAsked => format!(
            "{host} is asked by SNMP with a password that every device comes with; no answer was \
                seen"
        ),
        What::SettingsInClear => {
            format!(
                "a file named like a device's settings went from or to {host} by {app} in clear"
            )
        }
        What::Telnet => format!("telnet on {service} was used"),
        What::ClearLogon => format!("somebody logged on to {app} on {service} without encryption"),
        What::Smb1 => format!("{service} speaks version 1 of SMB when asked to"),
        What::Ntlm1 => format!("somebody logged on to {service} by version 1 of NTLM"),
        What::OpensPorts => {
            format!("{host} says that programs may open its ports to the internet (UPnP)")
        }
        What::SmartInstall => format!("{service} answered to Smart Install"),
    };
    finding
}

/// What an SNMP message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pdu {
    Question,
    Answer,
}

/// Whether a message of version 1 or 2c (RFC 1157 section 4, RFC 1901 section 3) comes with a
/// default community; traps do not count, they open nothing.
fn snmp_default(bytes: &[u8]) -> Option<Pdu> {
    let [0x30, length, rest @ ..] = bytes else { return None };
    // a long form has its own length in the low bits
    let skip = if length & 0x80 != 0 { usize::from(length & 0x7f) } else { 0 };
    let [2, 1, 0 | 1, 4, length, rest @ ..] = rest.get(skip..)? else { return None };
    let (community, rest) = rest.split_at_checked(usize::from(*length))?;
    if !DEFAULTS.contains(&community) {
        return None;
    }
    match rest.first()? {
        0xa0 | 0xa1 | 0xa3 | 0xa5 => Some(Pdu::Question),
        0xa2 => Some(Pdu::Answer),
        _ => None,
    }
}

/// An announcement or an answer of a router that takes orders from any program (UPnP Forum,
/// InternetGatewayDevice).
fn offers_ports(bytes: &[u8]) -> bool {
    let says = |what: &[u8]| memchr::memmem::find(bytes, what).is_some();
    (bytes.starts_with(b"NOTIFY ") || bytes.starts_with(b"HTTP/1."))
        && (says(b":InternetGatewayDevice:")
            || says(b":WANIPConnection:")
            || says(b":WANPPPConnection:"))
        && !says(b"ssdp:byebye")
}

/// A request to read or write (RFC 1350 section 5) a file named like settings.
fn moves_settings(bytes: &[u8]) -> bool {
    let [0, 1 | 2, rest @ ..] = bytes else { return false };
    names_settings(rest.split(|&byte| byte == 0).next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snmp(version: u8, community: &[u8], pdu: u8) -> Vec<u8> {
        let mut rest = vec![2, 1, version, 4, community.len() as u8];
        rest.extend(community);
        rest.extend([pdu, 11, 2, 1, 9, 2, 1, 0, 2, 1, 0, 0x30, 0]);
        let mut bytes = vec![0x30, rest.len() as u8];
        bytes.extend(rest);
        bytes
    }

    fn findings(said: &[(App, u8, Vec<u8>)]) -> Vec<Finding> {
        let mut managed = Managed::default();
        for (n, (app, host, payload)) in said.iter().enumerate() {
            let end = |n: u8| (IpAddr::from([192, 168, 1, n]), if n == 2 { 161 } else { 50_000 });
            managed.message(&Message {
                app: *app,
                from: end(*host),
                to: end(if *host == 2 { 30 } else { 2 }),
                payload,
                frame: n as u64,
                time_ns: 0,
                mac: None,
            });
        }
        managed.findings()
    }

    #[test]
    fn a_device_that_answers_by_the_default() {
        let ask = (App::Snmp, 30, snmp(1, b"public", 0xa0));
        let found = findings(&[ask.clone(), (App::Snmp, 2, snmp(1, b"public", 0xa2))]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].rule.id, found[0].severity), ("lan.snmp-default", Severity::Medium));
        assert_eq!(found[0].evidence, [1]);
        assert!(!found[0].detail.contains("public"));
        let found = findings(&[ask]);
        assert_eq!(
            (found[0].rule.id, found[0].severity),
            ("lan.snmp-default-asked", Severity::Low)
        );
    }

    #[test]
    fn other_communities_and_traps_are_silent() {
        let quiet = [
            (App::Snmp, 2, snmp(1, b"publicly", 0xa2)),
            (App::Snmp, 2, snmp(0, b"Tr0ub4dor", 0xa2)),
            (App::Snmp, 2, snmp(3, b"public", 0xa2)),
            (App::Snmp, 2, snmp(1, b"public", 0xa7)),
        ];
        assert!(findings(&quiet).is_empty());
        let whole = snmp(1, b"public", 0xa2);
        assert!((0..20).all(|end| snmp_default(&whole[..end.min(12)]).is_none()));
    }

    #[test]
    fn settings_of_a_switch_by_tftp() {
        let file = |name: &str| [&[0, 2], name.as_bytes(), b"\0octet\0"].concat();
        let found = findings(&[(App::Tftp, 30, file("sw1-running-config"))]);
        assert_eq!(found[0].rule.id, "lan.settings-in-clear");
        assert!(findings(&[(App::Tftp, 30, file("pxelinux.0"))]).is_empty());
        // data that has the words in it
        let data = [&[0, 3], &b"\0\x01running-config"[..]].concat();
        assert!(findings(&[(App::Tftp, 30, data)]).is_empty());
    }
}
