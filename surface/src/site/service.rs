//! Services that hosts of the site give, and who uses them when.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use foldhash::fast::RandomState;

use super::address::{Place, place};
use crate::App;
use crate::peel::proto;
use crate::record::FlowRecord;

/// Services remembered.
const SERVICES_MAX: usize = 16_384;
/// Clients remembered of one.
const CLIENTS_MAX: usize = 1024;
const HOUR_NS: i64 = 3_600_000_000_000;

/// A port of a host inside that answered.
#[derive(Debug, Clone)]
pub struct Service {
    /// The host.
    pub host: IpAddr,
    /// Its port.
    pub port: u16,
    /// IP protocol number.
    pub proto: u8,
    /// What it speaks.
    pub app: App,
    /// Conversations.
    pub flows: u64,
    /// Clients, up to 1024.
    pub clients: BTreeSet<IpAddr>,
    /// Conversations by the hour of the day (UTC) in which they began.
    pub by_hour: [u64; 24],
    /// Bytes that clients sent to it.
    pub written: u64,
    /// Bytes that it sent.
    pub read: u64,
    /// Nanoseconds since 1970 of the first frame.
    pub first_ns: i64,
    /// And of the last.
    pub last_ns: i64,
    /// Number of the first frame.
    pub frame: u64,
}

#[derive(Debug, Default)]
pub(super) struct Services {
    all: HashMap<(IpAddr, u16, u8), Service, RandomState>,
    overflow: u64,
}

impl Services {
    /// Conversations that were not counted for want of room.
    pub(super) const fn overflow(&self) -> u64 {
        self.overflow
    }

    pub(super) fn flow(&mut self, flow: &FlowRecord) {
        let answered = flow.answerer_sent.frames > 0 && (flow.app != App::Unknown || flow.accepted);
        let carried = matches!(flow.proto, proto::TCP | proto::UDP);
        if place(flow.dst) != Place::Inside || !carried || !answered {
            return;
        }
        let key = (flow.dst, flow.dst_port, flow.proto);
        if self.all.len() >= SERVICES_MAX && !self.all.contains_key(&key) {
            self.overflow += 1;
            return;
        }
        let service = self.all.entry(key).or_insert_with(|| Service {
            host: flow.dst,
            port: flow.dst_port,
            proto: flow.proto,
            app: flow.app,
            flows: 0,
            clients: BTreeSet::new(),
            by_hour: [0; 24],
            written: 0,
            read: 0,
            first_ns: flow.first_ns,
            last_ns: flow.last_ns,
            frame: flow.first_frame,
        });
        if service.app == App::Unknown {
            service.app = flow.app;
        }
        service.flows += 1;
        if service.clients.len() < CLIENTS_MAX {
            service.clients.insert(flow.src);
        }
        let hour = flow.first_ns.div_euclid(HOUR_NS).rem_euclid(24);
        service.by_hour[hour as usize] += 1;
        service.written += flow.opener_sent.bytes;
        service.read += flow.answerer_sent.bytes;
        service.first_ns = service.first_ns.min(flow.first_ns);
        service.last_ns = service.last_ns.max(flow.last_ns);
        service.frame = service.frame.min(flow.first_frame);
    }

    pub(super) fn list(&self) -> Vec<Service> {
        let mut list: Vec<_> = self.all.values().cloned().collect();
        list.sort_by(|a, b| {
            (b.clients.len(), b.flows, a.host, a.port, a.proto).cmp(&(
                a.clients.len(),
                a.flows,
                b.host,
                b.port,
                b.proto,
            ))
        });
        list
    }
}
