//! One connection seen on both sides of a NAT: the same SYN towards two addresses.

use std::collections::HashMap;
use std::net::IpAddr;

use foldhash::fast::RandomState;

use crate::peel::{Address, Packet};

use super::address::{Place, place};

/// How far apart the two can be (the time that a router takes).
const APART_NS: i64 = 50_000_000;
/// SYNs from outside remembered.
const REMEMBERED_MAX: usize = 16_384;
/// Forwards remembered.
const FORWARDS_MAX: usize = 4096;

/// What a router leaves as it is when it translates a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    client: Address,
    port: u16,
    isn: u32,
}

#[derive(Debug, Clone, Copy)]
struct Syn {
    destination: Address,
    port: u16,
    ttl: u8,
    time_ns: i64,
    frame: u64,
}

/// A port of the router's outer address that opens one inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Forward {
    /// The outer address.
    pub outer: IpAddr,
    /// The port that is dialled.
    pub outer_port: u16,
    /// The host inside.
    pub inner: IpAddr,
    /// The port that answers.
    pub inner_port: u16,
}

/// How often a forward was seen to work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    pub(crate) count: u64,
    /// Frames of the two SYNs.
    pub(crate) frames: [u64; 2],
}

/// Pairs SYNs.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    recent: HashMap<Key, Syn, RandomState>,
    pub(crate) forwards: HashMap<Forward, Used, RandomState>,
}

impl Pairs {
    /// A SYN without ACK.
    pub(crate) fn syn(&mut self, packet: &Packet<'_>, time_ns: i64, frame: u64) {
        if place(packet.src.ip()) != Place::Outside {
            return;
        }
        let key = Key { client: packet.src, port: packet.src_port, isn: packet.tcp.seq };
        let this =
            Syn { destination: packet.dst, port: packet.dst_port, ttl: packet.ttl, time_ns, frame };
        if let Some(other) = self.recent.get(&key)
            && other.destination != this.destination
            && (this.time_ns - other.time_ns).abs() <= APART_NS
        {
            self.pair(*other, this);
            return;
        }
        if self.recent.len() >= REMEMBERED_MAX {
            self.recent.retain(|_, syn| (time_ns - syn.time_ns).abs() <= APART_NS);
            if self.recent.len() >= REMEMBERED_MAX {
                self.recent.clear();
            }
        }
        self.recent.insert(key, this);
    }

    fn pair(&mut self, a: Syn, b: Syn) {
        let inside = |syn: &Syn| place(syn.destination.ip()) == Place::Inside;
        let (outer, inner) = match (inside(&a), inside(&b)) {
            (false, true) => (a, b),
            (true, false) => (b, a),
            _ => return,
        };
        // a router takes at least one off
        if inner.ttl >= outer.ttl {
            return;
        }
        let forward = Forward {
            outer: outer.destination.ip(),
            outer_port: outer.port,
            inner: inner.destination.ip(),
            inner_port: inner.port,
        };
        if self.forwards.len() >= FORWARDS_MAX && !self.forwards.contains_key(&forward) {
            return;
        }
        let used = self
            .forwards
            .entry(forward)
            .or_insert(Used { count: 0, frames: [outer.frame, inner.frame] });
        used.count += 1;
    }
}
