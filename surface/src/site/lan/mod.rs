//! What can be attacked, or is being attacked, from a port of the network (`lan.*`).

mod arp;
mod dhcp;
mod manage;
mod resolve;
mod seen;
mod store;

pub(super) use dhcp::options as dhcp_options;
pub(super) use seen::{Seen, counted};
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
}

impl Lan {
    /// A packet that opens a TCP connection.
    pub(super) fn syn(&mut self, packet: &Packet<'_>) {
        self.arp.syn(packet);
    }

    /// An Ethernet frame that carries no IP packet.
    pub(super) fn link_frame(&mut self, bytes: &[u8], time_ns: i64, frame: u64) {
        let at = locate_ethernet(bytes);
        let payload = bytes.get(usize::from(at.l3)..).unwrap_or_default();
        if at.kind == L3::Arp {
            self.arp.frame(payload, time_ns, frame);
        }
    }

    /// A datagram of an application that [`listens`](super::listens) says.
    pub(super) fn message(&mut self, message: &Message<'_>) {
        match message.app {
            App::Dhcp => self.dhcp.message(message),
            App::Llmnr | App::NetbiosNs => self.resolve.message(message),
            App::Snmp | App::Tftp => self.manage.message(message),
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
        findings
    }
}
