//! What is learned of a site over all its conversations, and what follows from it.

pub mod address;
mod backup;
mod desktop;
mod exposure;
mod health;
mod hosts;
mod lan;
mod mapping;
mod names;
pub(crate) mod pairs;
mod resolved;
mod role;
mod rules;
mod rules_desktop;
mod rules_lan;
mod rules_tools;
mod service;
mod tools;
mod transfer;

use std::net::IpAddr;

pub use backup::Copied;
pub use health::{Health, NatSide};
pub use hosts::{Card, Host, NameSource};
pub use pairs::Forward;
pub use role::{KeyService, Role};
pub use service::Service;

use skb::MacAddr;

use self::address::{Place, place};
use crate::App;
use crate::facts::NameKey;
use crate::finding::Finding;
use crate::peel::Packet;
use crate::record::FlowRecord;

/// What is known of a site so far. All of it is bounded.
#[derive(Debug, Default)]
pub struct Site {
    pub(crate) pairs: pairs::Pairs,
    services: service::Services,
    exposure: exposure::Exposure,
    health: health::Counts,
    copies: backup::Copies,
    mappings: mapping::Mappings,
    desktops: desktop::Desktops,
    lan: lan::Lan,
    hosts: hosts::Hosts,
    resolved: resolved::Resolved,
    tools: tools::Tools,
    transfers: transfer::Transfers,
    /// For the keyed hashes of cards.
    key: NameKey,
    /// Nanoseconds since 1970 of the first frame of a conversation, and of the last.
    span_ns: Option<(i64, i64)>,
}

impl Site {
    /// Nothing seen yet; cards are hashed with this key.
    pub(crate) fn new(key: NameKey) -> Self {
        Self { key, ..Self::default() }
    }

    /// Cards are hashed with this key.
    pub(crate) fn set_key(&mut self, key: NameKey) {
        self.key = key;
    }

    /// A packet that opens a TCP connection.
    pub(crate) fn syn(&mut self, packet: &Packet<'_>, time_ns: i64, frame: u64) {
        self.pairs.syn(packet, time_ns, frame);
        self.lan.syn(packet, time_ns, frame);
    }

    /// A router advertisement of IPv6.
    #[cold]
    #[inline(never)]
    pub(crate) fn router(&mut self, packet: &Packet<'_>, time_ns: i64, frame: u64) {
        self.lan.router(packet, time_ns, frame);
    }

    /// An Ethernet frame that carries no IP packet.
    #[cold]
    #[inline(never)]
    pub(crate) fn link_frame(&mut self, bytes: &[u8], time_ns: i64, frame: u64) {
        self.lan.link_frame(bytes, time_ns, frame);
        self.hosts.link_frame(bytes, time_ns, frame);
    }

    /// A datagram of an application that [`listens`] says.
    #[inline(never)]
    pub(crate) fn message(&mut self, message: &Message<'_>) {
        self.mappings.message(message);
        self.lan.message(message);
        self.hosts.message(message);
        self.resolved.message(message);
        self.tools.message(message);
        self.transfers.message(message);
    }

    /// A conversation is over.
    pub(crate) fn flow(&mut self, flow: &FlowRecord) {
        self.health.flow(flow);
        self.services.flow(flow);
        self.exposure.flow(flow);
        self.copies.flow(flow);
        self.mappings.flow(flow);
        self.desktops.flow(flow);
        self.lan.flow(flow);
        self.tools.flow(flow);
        if flow.first_ns != 0 {
            let (first, last) = self.span_ns.unwrap_or((flow.first_ns, flow.last_ns));
            self.span_ns = Some((first.min(flow.first_ns), last.max(flow.last_ns)));
        }
    }

    /// Whether the mirror port shows what the rest relies on.
    pub fn health(&self) -> Health {
        self.health.verdict(&self.pairs)
    }

    /// Services that answered, the one with most clients first.
    pub fn services(&self) -> Vec<Service> {
        self.services.list()
    }

    /// Conversations that are in no service and no exposure because too many different ones were
    /// seen.
    pub const fn overlooked(&self) -> u64 {
        self.services.overflow() + self.exposure.overflow()
    }

    /// Hosts inside by their addresses, with their names.
    pub fn hosts(&self) -> Vec<Host> {
        self.hosts.list(&self.key)
    }

    /// The name that the opener of a conversation had asked a name server for.
    pub(crate) fn server_name(&self, flow: &FlowRecord) -> Option<Box<str>> {
        self.resolved.name(flow.src, flow.dst, flow.first_ns).map(Into::into)
    }

    /// Whether a conversation carries a file of an FTP log-on.
    pub(crate) fn carries_file(&self, flow: &FlowRecord) -> bool {
        flow.proto == crate::peel::proto::TCP && self.transfers.carries(flow)
    }

    /// The hosts that others depend on, by what they are for.
    pub fn key_services(&self) -> Vec<KeyService> {
        role::key_services(&self.services(), &self.copies)
    }

    /// Nanoseconds since 1970 of the first and the last frame of all conversations.
    pub const fn span_ns(&self) -> Option<(i64, i64)> {
        self.span_ns
    }

    /// Ports of the router that open one inside, as seen on both of its sides.
    pub fn forwards(&self) -> Vec<Forward> {
        let mut forwards: Vec<_> = self.pairs.forwards.keys().copied().collect();
        forwards.sort();
        forwards
    }

    /// All findings, the worst first.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = self.exposure.findings(&self.pairs, &self.desktops);
        let seen_ns = self.span_ns.map_or(0, |(first, last)| last.saturating_sub(first));
        let services = self.services();
        findings.extend(self.copies.findings(&services, seen_ns));
        findings.extend(self.mappings.findings(&services));
        findings.extend(self.desktops.findings(&self.pairs));
        findings.extend(self.lan.findings());
        findings.extend(self.tools.findings());
        findings.sort_by(|a, b| {
            b.severity
                .cmp(&a.severity)
                .then(a.rule.id.cmp(b.rule.id))
                .then_with(|| a.hosts.cmp(&b.hosts))
                .then(a.port.cmp(&b.port))
        });
        findings
    }
}

/// A datagram of a known application.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    /// The application.
    pub(crate) app: App,
    /// Who sent it: address and port.
    pub(crate) from: (IpAddr, u16),
    /// To whom.
    pub(crate) to: (IpAddr, u16),
    /// What it carries, as far as captured.
    pub(crate) payload: &'a [u8],
    /// Number of its frame.
    pub(crate) frame: u64,
    /// Nanoseconds since 1970.
    pub(crate) time_ns: i64,
    /// MAC address of its sender, or of the router it came through; not where it is told late.
    pub(crate) mac: Option<MacAddr>,
}

impl Message<'_> {
    /// All but what it carries.
    pub(crate) const fn without_payload(&self) -> Message<'static> {
        let Self { app, from, to, frame, time_ns, mac, .. } = *self;
        Message { app, from, to, payload: &[], frame, time_ns, mac }
    }
}

/// Applications whose every datagram is looked at.
pub(crate) const fn listens(app: App) -> bool {
    matches!(
        app,
        App::NatPmp
            | App::Pcp
            | App::Dns
            | App::Mdns
            | App::Llmnr
            | App::NetbiosNs
            | App::Dhcp
            | App::Dhcpv6
            | App::Snmp
            | App::Ssdp
            | App::Tftp
    )
}

/// An address and a port, for people.
pub(crate) fn end(ip: IpAddr, port: u16) -> String {
    match ip {
        IpAddr::V6(ip) => format!("[{ip}]:{port}"),
        IpAddr::V4(ip) => format!("{ip}:{port}"),
    }
}
