//! Ports of the router that a program inside had opened (`exposure.mapping`,
//! `exposure.rdp-mapping`):
//! NAT-PMP (RFC 6886), PCP (RFC 6887), UPnP (`WANIPConnection` of the UPnP Forum).

use crate::bytes::{be16, be32};

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::service::Service;
use super::{Message, end, rules};
use crate::App;
use crate::facts::{Facts, PortMapping};
use crate::finding::{Finding, Severity, Sure};
use crate::peel::proto;
use crate::record::FlowRecord;

/// Mappings remembered.
const MAPPINGS_MAX: usize = 4096;

/// What is opened, and where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Mapping {
    /// The router that was asked.
    pub(super) router: IpAddr,
    /// IP protocol number.
    pub(super) proto: u8,
    /// Port of the outer address.
    pub(super) outer_port: u16,
    /// The host inside.
    pub(super) inner: IpAddr,
    /// Its port.
    pub(super) inner_port: u16,
}

#[derive(Debug, Clone, Copy)]
struct Granted {
    by: &'static str,
    count: u64,
    frame: u64,
    first_ns: i64,
    last_ns: i64,
    /// Seconds for which it was granted the last time, 0 for ever.
    lifetime: u32,
}

#[derive(Debug, Default)]
pub(super) struct Mappings {
    granted: BTreeMap<Mapping, Granted>,
}

impl Mappings {
    /// An answer of a router to whoever asked for a port of its own.
    pub(super) fn message(&mut self, message: &Message<'_>) {
        let told = match message.app {
            App::NatPmp => nat_pmp(message.payload).map(|told| ("NAT-PMP", told)),
            App::Pcp => pcp(message.payload).map(|told| ("PCP", told)),
            _ => None,
        };
        let Some((by, (proto, inner_port, outer_port, lifetime))) = told else { return };
        let mapping =
            Mapping { router: message.from.0, proto, outer_port, inner: message.to.0, inner_port };
        if lifetime == 0 {
            return; // taken back
        }
        self.grant(mapping, by, lifetime, message.frame, message.time_ns);
    }

    /// A call of UPnP that the router answered.
    pub(super) fn flow(&mut self, flow: &FlowRecord) {
        let Facts::PortMapping(granted) = &flow.facts else { return };
        let PortMapping { proto, outer_port, inner, inner_port, lifetime } = **granted;
        let mapping = Mapping { router: flow.dst, proto, outer_port, inner, inner_port };
        self.grant(mapping, "UPnP", lifetime, flow.first_frame, flow.first_ns);
    }

    fn grant(&mut self, mapping: Mapping, by: &'static str, lifetime: u32, frame: u64, ns: i64) {
        if self.granted.len() >= MAPPINGS_MAX && !self.granted.contains_key(&mapping) {
            return;
        }
        let granted = self.granted.entry(mapping).or_insert(Granted {
            by,
            count: 0,
            frame,
            first_ns: ns,
            last_ns: ns,
            lifetime,
        });
        granted.count += 1;
        granted.last_ns = granted.last_ns.max(ns);
        granted.lifetime = lifetime;
    }

    pub(super) fn findings(&self, services: &[Service]) -> Vec<Finding> {
        self.granted.iter().map(|(mapping, granted)| finding(mapping, granted, services)).collect()
    }
}

/// Protocol, inner port, outer port, lifetime of a granted request (RFC 6886 section 3.3).
fn nat_pmp(bytes: &[u8]) -> Option<(u8, u16, u16, u32)> {
    let proto = match *bytes {
        [0, 129, 0, 0, ..] => proto::UDP,
        [0, 130, 0, 0, ..] => proto::TCP,
        _ => return None,
    };
    Some((proto, be16(bytes, 8)?, be16(bytes, 10)?, be32(bytes, 12)?))
}

/// The same of PCP (RFC 6887 sections 7.2 and 11.1).
fn pcp(bytes: &[u8]) -> Option<(u8, u16, u16, u32)> {
    let [2, 0x81, _, 0, ..] = *bytes else { return None };
    Some((*bytes.get(36)?, be16(bytes, 40)?, be16(bytes, 42)?, be32(bytes, 4)?))
}

fn finding(mapping: &Mapping, granted: &Granted, services: &[Service]) -> Finding {
    let served = services
        .iter()
        .find(|s| (s.host, s.port, s.proto) == (mapping.inner, mapping.inner_port, mapping.proto))
        .map_or(App::Unknown, |service| service.app);
    // port 3389 is remote desktop's (IANA "ms-wbt-server"), whoever listens there
    let (rule, severity, sure) = match served {
        App::Rdp | App::RdpUdp => (&rules::RDP_MAPPED, Severity::High, Sure::Proven),
        App::Unknown if mapping.inner_port == 3389 => {
            (&rules::RDP_MAPPED, Severity::Medium, Sure::Likely)
        }
        _ => (&rules::PORT_MAPPED, Severity::Medium, Sure::Proven),
    };
    let mut finding = Finding::new(rule, severity, sure, granted.frame, granted.first_ns);
    finding.count = granted.count;
    finding.last_ns = granted.last_ns;
    finding.port = mapping.inner_port;
    finding.host(mapping.inner);
    finding.host(mapping.router);
    let what = if served == App::Unknown { String::new() } else { format!("{served} on ") };
    let transport = if mapping.proto == proto::UDP { "UDP" } else { "TCP" };
    let time = match granted.lifetime {
        0 => String::new(),
        seconds => format!(" for {seconds} s"),
    };
    finding.detail = format!(
        "the router {} was asked by {} to lead its outer {transport} port {} to {what}{}{time}, \
            and did",
        mapping.router,
        granted.by,
        mapping.outer_port,
        end(mapping.inner, mapping.inner_port)
    );
    finding
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn granted_ports_are_read_where_the_documents_put_them() {
        let reply = [0, 130, 0, 0, 0, 0, 0, 9, 0x0d, 0x3d, 0x08, 0xfb, 0, 0, 0x0e, 0x10];
        assert_eq!(nat_pmp(&reply), Some((6, 3389, 2299, 3600)));
        let mut refused = reply;
        refused[3] = 2;
        assert_eq!(nat_pmp(&refused), None);
        let mut reply = vec![2, 0x81, 0, 0, 0, 0, 0x0e, 0x10];
        reply.extend([0; 16]);
        reply.extend([7; 12]);
        reply.extend([6, 0, 0, 0, 0x0d, 0x3d, 0x08, 0xfb]);
        reply.extend([0; 16]);
        assert_eq!(pcp(&reply), Some((6, 3389, 2299, 3600)));
        assert_eq!(pcp(&reply[..41]), None);
    }
}
