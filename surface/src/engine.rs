//! Frames in, conversations out.

use capture::format::NO_TIME;
use capture::{Batch, Record};
use skb::LinkType;

use crate::App;
use crate::flow::{Flow, FlowId, Hasher, Key, Opener, Side, Table, flags};
use crate::inspect::{Inspection, Outcome, Roles};
use crate::peel::{Packet, Peeled, Peeler, proto};
use crate::record::FlowRecord;

/// What an analysis may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Conversations kept at the same time; the ones idle for longest are given out earlier.
    pub flows_max: usize,
    /// Conversations looked into at the same time.
    pub inspections_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { flows_max: 1_000_000, inspections_max: 65_536 }
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

/// Packets prepared together, so that the lines they need arrive while others are prepared.
const TOGETHER: usize = 32;
/// A conversation without connections is over when nothing came for so long (RFC 4787 REQ-5 asks
/// NATs to keep one for five minutes).
const IDLE_NS: i64 = 300_000_000_000;

/// The analysis of one source of frames.
#[derive(Debug)]
pub struct Analyzer {
    limits: Limits,
    counts: Counts,
    peeler: Peeler,
    hasher: Hasher,
    table: Table,
    inspections: usize,
    ended: Vec<FlowRecord>,
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

impl Analyzer {
    /// Nothing seen yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            counts: Counts::default(),
            peeler: Peeler::default(),
            hasher: Hasher::default(),
            table: Table::new(limits.flows_max),
            inspections: 0,
            ended: Vec::new(),
        }
    }

    /// What was counted so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes the frames of a batch.
    pub fn batch(&mut self, batch: &Batch<'_>) {
        let mut waiting = Vec::with_capacity(TOGETHER);
        let number_first = batch.number_first();
        for (n, records) in batch.records().chunks(TOGETHER).enumerate() {
            for (i, record) in records.iter().enumerate() {
                let index = n * TOGETHER + i;
                batch.prefetch(index, 8);
                self.prepare(batch, index, record, number_first + index as u64, &mut waiting);
            }
            for one in &waiting {
                self.table.prefetch_flow(one.hash);
            }
            for one in waiting.drain(..) {
                self.take(&one);
            }
        }
    }

    /// Conversations that are over, in the order in which they ended.
    pub fn ended(&mut self) -> std::vec::Drain<'_, FlowRecord> {
        self.ended.drain(..)
    }

    /// Nothing more comes: what is still open is given out, in the order in which it began.
    pub fn finish(&mut self) -> Vec<FlowRecord> {
        let mut flows = std::mem::take(&mut self.ended);
        for flow in self.table.drain() {
            self.end(flow);
        }
        flows.append(&mut self.ended);
        flows.sort_by_key(|flow| flow.first_frame);
        flows
    }

    #[inline(always)]
    fn prepare<'a>(
        &mut self,
        batch: &Batch<'a>,
        index: usize,
        record: &Record,
        number: u64,
        waiting: &mut Vec<Waiting<'a>>,
    ) {
        self.counts.frames += 1;
        self.counts.bytes += u64::from(record.origlen);
        let linktype: LinkType = batch.linktype(record);
        let data = batch.data(record);
        let meta = || batch.frame(index).map(|frame| frame.meta).unwrap_or_default();
        match self.peeler.peel(linktype, data, meta) {
            Peeled::Packet(packet) => {
                let (key, side) = Key::of(&packet);
                let hash = self.hasher.hash(&key);
                self.table.prefetch(hash);
                let time_ns = if record.time_ns == NO_TIME { 0 } else { record.time_ns };
                waiting.push(Waiting { packet, key, side, hash, time_ns, number });
            }
            Peeled::Fragment => self.counts.fragments += 1,
            Peeled::Other => self.counts.not_ip += 1,
            Peeled::Malformed => self.counts.malformed += 1,
        }
    }

    fn take(&mut self, one: &Waiting<'_>) {
        self.counts.in_flows += 1;
        let id = match self.table.find(one.hash, &one.key) {
            Some(id) if !self.is_new(id, one) => id,
            Some(id) => {
                self.close(id);
                self.open(one)
            }
            None => self.open(one),
        };
        self.count(id, one);
    }

    /// Whether a packet begins another conversation between the same ends.
    #[inline(always)]
    fn is_new(&mut self, id: FlowId, one: &Waiting<'_>) -> bool {
        let Some(flow) = self.table.get_mut(id) else { return true };
        if one.packet.proto != proto::TCP {
            return one.time_ns.saturating_sub(flow.last_ns) > IDLE_NS;
        }
        let syn = one.packet.tcp.flags & (flags::SYN | flags::ACK) == flags::SYN;
        syn && (flow.is_closed()
            || one.time_ns.saturating_sub(flow.last_ns) > IDLE_NS
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
        let mut flow = Flow::new(one.key, one.side, &one.packet);
        (flow.first_ns, flow.last_ns, flow.first_frame) = (one.time_ns, one.time_ns, one.number);
        if !matches!(one.packet.proto, proto::TCP | proto::UDP | proto::SCTP) {
            flow.app = by_protocol(one.packet.proto);
        } else if self.inspections < self.limits.inspections_max {
            self.inspections += 1;
            flow.inspection = Some(Box::default());
        } else {
            self.counts.unlooked += 1;
        }
        self.table.insert(one.hash, flow)
    }

    #[inline(always)]
    fn count(&mut self, id: FlowId, one: &Waiting<'_>) {
        let Some(flow) = self.table.get_mut(id) else { return };
        flow.count(one.side, &one.packet, one.time_ns);
        if flow.inspection.is_some() && look(flow, one) {
            self.inspections -= 1;
        }
    }

    fn end(&mut self, mut flow: Flow) {
        if let Some(mut inspection) = flow.inspection.take() {
            self.inspections -= 1;
            let outcome = inspection.end(roles(&flow));
            settle(&mut flow, &mut inspection, outcome);
        }
        self.ended.push(FlowRecord::new(&flow));
    }
}

/// Looks at a packet; true if there is nothing more to look for.
fn look(flow: &mut Flow, one: &Waiting<'_>) -> bool {
    let roles = roles(flow);
    let Some(mut inspection) = flow.inspection.take() else { return false };
    let packet = &one.packet;
    let outcome = if packet.proto == proto::TCP {
        if packet.tcp.flags & flags::SYN != 0 {
            inspection.syn(one.side, packet.tcp.seq);
        }
        if packet.payload_wire == 0 {
            flow.inspection = Some(inspection);
            return false;
        }
        let seq = packet.tcp.seq.wrapping_add(u32::from(packet.tcp.flags & flags::SYN != 0));
        inspection.segment(one.side, seq, packet.payload, packet.payload_wire, roles)
    } else {
        inspection.datagram(one.side, packet.payload, packet.payload_wire, roles)
    };
    if outcome == Outcome::Open {
        flow.inspection = Some(inspection);
        return false;
    }
    settle(flow, &mut inspection, outcome);
    true
}

fn settle(flow: &mut Flow, inspection: &mut Inspection, outcome: Outcome) {
    if let Outcome::Found { app, swapped } = outcome {
        flow.app = app;
        flow.path = inspection.path.clone();
        if swapped {
            flow.opener = flow.opener.other();
        }
    }
}

fn roles(flow: &Flow) -> Roles {
    Roles {
        opener: flow.opener,
        certain: flow.opener_by == Opener::Syn,
        opener_port: flow.key.end(flow.opener).1,
        service_port: flow.key.end(flow.opener.other()).1,
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
        _ => App::Unknown,
    }
}

