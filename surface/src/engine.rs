//! Frames in, conversations out.

mod look;

use arrayvec::ArrayVec;
use capture::Batch;
use capture::format::NO_TIME;
use skb::LinkType;

use crate::App;
use crate::facts::NameKey;
use crate::flow::{Flow, FlowId, Hasher, IDLE_NS, Key, Look, Side, Table, flags};
use crate::follow::Follow;
use crate::inspect::{Inspection, Spares};
use crate::peel::{Packet, Peeled, Peeler, proto};
use crate::record::FlowRecord;
use crate::site::{Message, listens};
use look::{followed, look, message, roles, settle};

/// What an analysis may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Conversations kept at the same time; the ones idle for longest are given out earlier.
    pub flows_max: usize,
    /// Bytes kept of conversations that are looked into; beyond that they are looked into no
    /// longer.
    pub inspected_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { flows_max: 500_000, inspected_bytes_max: 64 << 20 }
    }
}

/// Frames and conversations, counted where they happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames looked at.
    pub frames: u64,
    /// Bytes of them, by original length.
    pub bytes: u64,
    /// Frames that belong to a conversation.
    pub in_flows: u64,
    /// Later IP fragments: the first one has the ports.
    pub fragments: u64,
    /// Frames that carry no IP packet.
    pub not_ip: u64,
    /// Frames that contradict themselves or are too short.
    pub malformed: u64,
    /// Conversations given out before their end to keep within the limit.
    pub evicted: u64,
    /// Conversations whose application was looked for no further to keep within the limit.
    pub unlooked: u64,
}

impl Counts {
    /// Adds what the engine of the other part counted.
    pub(crate) fn add(&mut self, other: Self) {
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.in_flows += other.in_flows;
        self.fragments += other.fragments;
        self.not_ip += other.not_ip;
        self.malformed += other.malformed;
        self.evicted += other.evicted;
        self.unlooked += other.unlooked;
    }
}

/// Packets prepared together, so that the lines they need arrive while others are prepared.
const TOGETHER: usize = 32;
/// Records whose first lines are asked for ahead of the one prepared.
const AHEAD: usize = 8;
/// Packets from one look for conversations that are over to the next.
const SWEEP_EVERY: u64 = 2;

/// How many conversations of 32 the first part has, and the second: that one reads the input too.
const FIRST_OF_32: u32 = 21;
const SECOND_OF_32: usize = 32 - FIRST_OF_32 as usize;

/// What is told while frames are taken, with the number of the frame that brought it about.
pub(crate) trait Sink {
    /// A packet that opens a TCP connection.
    fn syn(&mut self, packet: &Packet<'_>, time_ns: i64, frame: u64);
    /// A router advertisement of IPv6.
    fn router(&mut self, packet: &Packet<'_>, time_ns: i64, frame: u64);
    /// An Ethernet frame that carries no IP packet.
    fn link_frame(&mut self, bytes: &[u8], time_ns: i64, frame: u64);
    /// A datagram of an application that [`listens`] says.
    fn message(&mut self, message: &Message<'_>, frame: u64);
    /// A conversation is over.
    fn flow(&mut self, record: FlowRecord, frame: u64);
}

/// Which conversations are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    All,
    /// The larger part of them, and what belongs to none.
    First,
    /// The others.
    Second,
}

/// Puts frames together to conversations.
#[derive(Debug)]
pub(crate) struct Engine<S> {
    limits: Limits,
    part: Part,
    pub(crate) counts: Counts,
    peeler: Peeler,
    hasher: Hasher,
    table: Table,
    /// Bytes held by inspections.
    inspected: usize,
    spares: Spares,
    pub(crate) key: NameKey,
    /// Number of the frame that is taken.
    now: u64,
    pub(crate) sink: S,
}

/// A packet and where its conversation is looked for.
struct Waiting<'a> {
    packet: Packet<'a>,
    key: Key,
    side: Side,
    hash: u64,
    time_ns: i64,
    number: u64,
}

impl<S: Sink> Engine<S> {
    /// Nothing seen yet.
    pub(crate) fn new(limits: Limits, key: NameKey, sink: S) -> Self {
        Self {
            limits,
            part: Part::All,
            counts: Counts::default(),
            peeler: Peeler::default(),
            hasher: Hasher::default(),
            table: Table::new(limits.flows_max),
            inspected: 0,
            spares: Spares::default(),
            key,
            now: 0,
            sink,
        }
    }

    /// Takes a part of the conversations from now on; the engine of the others comes back.
    /// Nothing must have been taken yet.
    pub(crate) fn split<T: Sink>(&mut self, sink: T) -> Engine<T> {
        let rest = Limits {
            flows_max: self.limits.flows_max * SECOND_OF_32 / 32,
            inspected_bytes_max: self.limits.inspected_bytes_max * SECOND_OF_32 / 32,
        };
        self.limits.flows_max -= rest.flows_max;
        self.limits.inspected_bytes_max -= rest.inspected_bytes_max;
        self.table = Table::new(self.limits.flows_max);
        self.part = Part::First;
        let mut other = Engine::new(rest, self.key, sink);
        (other.part, other.hasher) = (Part::Second, self.hasher.clone());
        other
    }

    /// Takes the frames of a batch that have these indices, in rising order.
    pub(crate) fn frames(&mut self, batch: &Batch<'_>, indices: impl IntoIterator<Item = usize>) {
        let mut waiting = ArrayVec::<_, TOGETHER>::new();
        for index in indices {
            batch.prefetch(index, AHEAD);
            self.prepare(batch, index, &mut waiting);
            if waiting.is_full() {
                self.settle(&mut waiting);
            }
        }
        self.settle(&mut waiting);
    }

    /// Takes the packets prepared.
    fn settle(&mut self, waiting: &mut ArrayVec<Waiting<'_>, TOGETHER>) {
        for one in &*waiting {
            self.table.prefetch_flow(one.hash);
        }
        for one in waiting.drain(..) {
            self.take(&one);
        }
    }

    /// Nothing more comes: what is still open ends, in the order in which it began, as if its first
    /// frame had brought that about. `after` each.
    pub(crate) fn finish(&mut self, mut after: impl FnMut(&mut S)) {
        for flow in self.table.drain() {
            self.now = flow.first_frame;
            self.end(flow);
            after(&mut self.sink);
        }
    }

    #[inline(always)]
    fn prepare<'a>(
        &mut self,
        batch: &Batch<'a>,
        index: usize,
        waiting: &mut ArrayVec<Waiting<'a>, TOGETHER>,
    ) {
        let Some(record) = batch.records().get(index) else { return };
        let number = batch.number_first() + index as u64;
        let first = self.part != Part::Second;
        if first {
            self.counts.frames += 1;
            self.counts.bytes += u64::from(record.origlen);
        }
        let linktype: LinkType = batch.linktype(record);
        let data = batch.data(record);
        let meta = || batch.frame(index).map(|frame| frame.meta).unwrap_or_default();
        match self.peeler.peel(linktype, data, meta) {
            Peeled::Packet(packet) => {
                let (key, side) = Key::of(&packet);
                if self.part != Part::All && first != key.is_in_first(FIRST_OF_32) {
                    return;
                }
                let hash = self.hasher.hash(&key);
                self.table.prefetch(hash);
                let time_ns = if record.time_ns == NO_TIME { 0 } else { record.time_ns };
                waiting.push(Waiting { packet, key, side, hash, time_ns, number });
            }
            _ if !first => {}
            Peeled::Fragment => self.counts.fragments += 1,
            Peeled::Other => {
                self.counts.not_ip += 1;
                if linktype == LinkType::ETHERNET {
                    let time_ns = if record.time_ns == NO_TIME { 0 } else { record.time_ns };
                    self.sink.link_frame(data, time_ns, number);
                }
            }
            Peeled::Malformed => self.counts.malformed += 1,
        }
    }

    fn take(&mut self, one: &Waiting<'_>) {
        self.counts.in_flows += 1;
        self.now = one.number;
        let id = match self.table.find(one.hash, &one.key) {
            Some(id) if !self.is_new(id, one) => id,
            Some(id) => {
                self.close(id);
                self.open(one)
            }
            None => self.open(one),
        };
        self.count(id, one);
        if self.counts.in_flows.is_multiple_of(SWEEP_EVERY) {
            self.sweep(one.time_ns);
        }
    }

    /// Looks at one conversation for being over: it has been silent for too long.
    #[inline(always)]
    fn sweep(&mut self, now_ns: i64) {
        if let Some((id, flow)) = self.table.next()
            && flow.is_over(now_ns)
        {
            self.close(id);
        }
    }

    /// Whether a packet begins another conversation between the same ends.
    #[inline(always)]
    fn is_new(&mut self, id: FlowId, one: &Waiting<'_>) -> bool {
        let Some(flow) = self.table.get_mut(id) else { return true };
        if flow.is_over(one.time_ns) || one.packet.proto != proto::TCP {
            return flow.is_over(one.time_ns);
        }
        let idle_ns = one.time_ns.saturating_sub(flow.last_ns);
        let syn = one.packet.tcp.flags & (flags::SYN | flags::ACK) == flags::SYN;
        syn && (flow.is_closed()
            || idle_ns > IDLE_NS
            || (flow.bytes != [0, 0] && !flow.began_at(one.side, one.packet.tcp.seq)))
    }

    #[cold]
    fn close(&mut self, id: FlowId) {
        if let Some(flow) = self.table.remove(id) {
            self.end(flow);
        }
    }

    #[inline(never)]
    fn open(&mut self, one: &Waiting<'_>) -> FlowId {
        if self.table.is_full()
            && let Some(victim) = self.table.victim()
        {
            self.counts.evicted += 1;
            self.close(victim);
        }
        let packet = &one.packet;
        if packet.proto == proto::TCP
            && packet.tcp.flags & (flags::SYN | flags::ACK | flags::RST) == flags::SYN
        {
            self.sink.syn(packet, one.time_ns, one.number);
        }
        let mut flow = Flow::new(one.key, one.side, packet);
        (flow.first_ns, flow.last_ns, flow.first_frame) = (one.time_ns, one.time_ns, one.number);
        if !matches!(one.packet.proto, proto::TCP | proto::UDP) {
            flow.app = by_protocol(one.packet.proto);
            flow.app_sure = flow.app != App::Unknown;
            flow.look = Look::Done;
        }
        self.table.insert(one.hash, flow)
    }

    #[inline(always)]
    fn count(&mut self, id: FlowId, one: &Waiting<'_>) {
        let Some(flow) = self.table.get_mut(id) else { return };
        flow.count(one.side, &one.packet, one.time_ns);
        if one.packet.payload_wire == 0 {
            if matches!(flow.look, Look::Follow(_)) && flow.is_closed() {
                // guesses come by the thousand: none is held longer than it lasts
                if let Look::Follow(follow) = std::mem::replace(&mut flow.look, Look::Done) {
                    self.inspected -= follow.held();
                    followed(flow, follow, &self.key, &mut self.spares);
                }
            }
            return;
        }
        if matches!(flow.look, Look::Done) {
            if one.packet.proto == proto::UDP && listens(flow.app) {
                let message = message(flow, one.side, one.packet.payload, Some(one));
                self.sink.message(&message, one.number);
            } else if flow.app == App::Ftp && !one.packet.payload.is_empty() {
                // where a file goes is agreed on behind the log-on
                let message = message(flow, one.side, one.packet.payload, Some(one));
                self.sink.message(&message, one.number);
            } else if one.packet.proto == proto::ICMPV6 && one.packet.icmp == Some((134, 0)) {
                self.sink.router(&one.packet, one.time_ns, one.number);
            }
        } else {
            let room = self.limits.inspected_bytes_max.saturating_sub(self.inspected);
            let (before, after) =
                look(flow, one, room, &mut self.spares, &mut self.sink, &self.key);
            self.inspected = self.inspected + after - before;
            self.counts.unlooked += u64::from(before > 0 && after == 0 && room == 0);
        }
    }

    fn end(&mut self, mut flow: Flow) {
        match std::mem::replace(&mut flow.look, Look::Done) {
            Look::Open(inspection) => self.end_look(&mut flow, inspection),
            Look::Follow(follow) => {
                self.inspected -= follow.held();
                followed(&mut flow, follow, &self.key, &mut self.spares);
            }
            Look::Wanted | Look::Done => {}
        }
        self.sink.flow(FlowRecord::new(flow), self.now);
    }

    fn end_look(&mut self, flow: &mut Flow, mut inspection: Box<Inspection>) {
        self.inspected -= size_of::<Inspection>() + inspection.held();
        let outcome = inspection.end(roles(flow));
        if settle(flow, &inspection, outcome) {
            let follow = Box::new(Follow::new(inspection));
            return followed(flow, follow, &self.key, &mut self.spares);
        }
        if flow.key.proto == proto::UDP && listens(flow.app) {
            // told by one end alone, which other datagrams of it might have spoken against
            for side in [flow.opener, flow.opener.other()] {
                for (datagram, _) in inspection.said(side).datagrams() {
                    self.sink.message(&message(flow, side, datagram, None), self.now);
                }
            }
        }
        self.spares.give(inspection);
    }
}

/// Protocols that IP itself names.
const fn by_protocol(number: u8) -> App {
    match number {
        proto::ICMP => App::Icmp,
        proto::IGMP => App::Igmp,
        proto::GRE => App::Gre,
        proto::ESP => App::Esp,
        proto::AH => App::Ah,
        proto::ICMPV6 => App::Icmpv6,
        proto::EIGRP => App::Eigrp,
        proto::OSPF => App::Ospf,
        proto::PIM => App::Pim,
        proto::VRRP => App::Vrrp,
        proto::SCTP => App::Sctp,
        _ => App::Unknown,
    }
}
