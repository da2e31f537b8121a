//! What can be attacked, or is being attacked, from a port of the network (`lan.*`).

mod advert;
mod arp;
mod dhcp;
mod guests;
mod manage;
mod newcomer;
mod resolve;
mod seen;
mod store;
mod switch;

pub(super) use dhcp::options as dhcp_options;
pub(super) use seen::{Seen, counted};
use skb::MacAddr;
use skb::locate::{L3, locate_ethernet};

use super::Message;
use crate::App;
use crate::finding::Finding;
use crate::peel::Packet;
use crate::record::FlowRecord;

/// What is known of a local network. All of it is bounded.
#[derive(Debug, Default)]
pub(super) struct Lan {
    arp: arp::Claims,
    dhcp: dhcp::Servers,
    resolve: resolve::Resolvers,
    manage: manage::Managed,
    stores: store::Stores,
    adverts: advert::Adverts,
    guests: guests::Guests,
    newcomers: newcomer::Newcomers,
    switches: switch::Switches,
}

impl Lan {
    /// A packet that opens a TCP connection.
    pub(super) fn syn(&mut self, packet: &Packet<'_>, ns: i64, frame: u64) {
        self.arp.syn(packet);
        if let Some((source, _)) = packet.macs {
            self.newcomers.heard(source, ns);
            self.guests.sends(packet.vlan, source, ns, frame);
        }
    }

    /// A router says that it leads IPv6 out.
    pub(super) fn router(&mut self, packet: &Packet<'_>, ns: i64, frame: u64) {
        self.adverts.router(packet, ns, frame);
    }

    /// An Ethernet frame that carries no IP packet.
    pub(super) fn link_frame(&mut self, bytes: &[u8], time_ns: i64, frame: u64) {
        let at = locate_ethernet(bytes);
        let payload = bytes.get(usize::from(at.l3)..).unwrap_or_default();
        self.switches.frame(bytes, &at, time_ns, frame);
        let source = bytes.get(6..12).map(MacAddr::from_slice);
        if let (L3::Arp, Some(source)) = (at.kind, source) {
            self.arp.frame(payload, time_ns, frame);
            self.guests.sends(at.tci & 0xfff, source, time_ns, frame);
            // whoever looks whether its address is free comes with it (RFC 5227 section 2.1.1)
            if payload.get(14..18) == Some(&[0; 4]) && payload.get(7) == Some(&1) {
                self.newcomers.joins(source, time_ns, frame);
            } else {
                self.newcomers.heard(source, time_ns);
            }
        }
    }

    /// A datagram of an application that [`listens`](super::listens) says.
    pub(super) fn message(&mut self, message: &Message<'_>) {
        match message.app {
            App::Dhcp => {
                self.dhcp.message(message);
                self.newcomers.dhcp(message.payload, message.time_ns, message.frame);
            }
            App::Dhcpv6 => self.adverts.message(message),
            App::Dns => self.resolve.dns(message),
            App::Llmnr | App::NetbiosNs => self.resolve.message(message),
            App::Snmp | App::Ssdp | App::Tftp => self.manage.message(message),
            _ => {}
        }
    }

    /// A conversation is over.
    pub(super) fn flow(&mut self, flow: &FlowRecord) {
        self.manage.flow(flow);
        self.stores.flow(flow);
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings = self.arp.findings(self.dhcp.routers());
        findings.extend(self.dhcp.findings());
        findings.extend(self.resolve.findings());
        findings.extend(self.manage.findings());
        findings.extend(self.stores.findings());
        findings.extend(self.adverts.findings());
        findings.extend(self.newcomers.findings());
        findings.extend(self.switches.findings());
        findings.extend(self.guests.findings(self.switches.named()));
        findings
    }
}
