//! The tracer that notes one frame.

use super::{Buffer, Fields, Geometry};
use bytes::Bytes;
use skb::arch::ticks;
use skb::trace::Tracer;
use skb::{BufId, DropReason, LinkType, Pool, PortId, RxDesc, Skb, Stage, Verdict};

/// Notes kept of one frame: a flood to every port with a mirror, and the way there.
const TAPS_MAX: usize = 160;

/// Where in the path a note was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    Arrived,
    Stage(Stage),
    Verdict(Verdict),
    Egress(PortId),
    Dropped(Stage, DropReason, Option<PortId>),
}

/// One note: everything about the frame at one point.
#[derive(Debug, Clone)]
pub(super) struct Tap {
    pub(super) point: Point,
    /// When the path reached the point, and when it went on: what lies between is the tracer's.
    pub(super) entered: u64,
    pub(super) left: u64,
    pub(super) buf: BufId,
    pub(super) bytes: Bytes,
    pub(super) geometry: Geometry,
    pub(super) fields: Option<Fields>,
    pub(super) refs: u32,
    pub(super) origlen: u32,
    pub(super) linktype: LinkType,
    pub(super) ingress: PortId,
    pub(super) time_ns: i64,
}

/// Notes everything that happens to the frame with one id; the others pass.
#[derive(Debug)]
pub struct StepTrace {
    wanted: u64,
    taps: Vec<Tap>,
    seen: u64,
}

impl StepTrace {
    /// For the frame with this id: in a capture its number, from 1.
    pub fn new(wanted: u64) -> Self {
        Self { wanted, taps: Vec::with_capacity(TAPS_MAX), seen: 0 }
    }

    /// The frame has entered the path.
    pub fn has_arrived(&self) -> bool {
        !self.taps.is_empty()
    }

    /// The id asked for.
    pub fn wanted(&self) -> u64 {
        self.wanted
    }

    /// Frames that have entered the path, this one and all others.
    pub fn frames_seen(&self) -> u64 {
        self.seen
    }

    /// The first note, when the frame arrived.
    pub(super) fn arrival(&self) -> Option<&Tap> {
        self.taps.first()
    }

    pub(super) fn taps(&self) -> &[Tap] {
        &self.taps
    }

    /// The bytes as they are, in the storage of the note before if they are the same.
    fn keep(&self, bytes: &[u8]) -> Bytes {
        match self.taps.last() {
            Some(last) if *last.bytes == *bytes => last.bytes.clone(),
            _ => Bytes::copy_from_slice(bytes),
        }
    }

    #[cold]
    fn tap(&mut self, pool: &Pool, skb: &Skb, point: Point) {
        let entered = ticks();
        if self.taps.len() == TAPS_MAX {
            return;
        }
        let (data, tail, end) = skb.geometry();
        let fields = Fields {
            ethertype: skb.ethertype,
            vlan_tci: skb.vlan_tci,
            network: skb.network,
            transport: skb.transport,
            ip_proto: skb.ip_proto,
            pkt_type: skb.pkt_type,
            ip_summed: skb.ip_summed,
            gso_size: skb.gso_size,
        };
        self.taps.push(Tap {
            point,
            entered,
            buf: skb.buf(),
            bytes: self.keep(pool.frame(skb)),
            geometry: Geometry {
                data,
                tail,
                end,
                pulled: skb.pulled(),
                buffer: kind(pool, skb.buf()),
            },
            fields: Some(fields),
            refs: pool.refs(skb.buf()),
            origlen: skb.origlen,
            linktype: skb.linktype,
            ingress: skb.ingress,
            time_ns: skb.time_ns,
            left: 0,
        });
        self.leave();
    }

    #[cold]
    fn tap_desc(&mut self, pool: &Pool, desc: &RxDesc) {
        let entered = ticks();
        let bytes = self.keep(pool.received(desc));
        let len = bytes.len();
        self.taps.clear();
        self.taps.push(Tap {
            point: Point::Arrived,
            entered,
            buf: desc.buf(),
            geometry: Geometry {
                data: 0,
                tail: len,
                end: len,
                pulled: 0,
                buffer: kind(pool, desc.buf()),
            },
            bytes,
            fields: None,
            refs: pool.refs(desc.buf()),
            origlen: desc.origlen,
            linktype: desc.linktype,
            ingress: desc.ingress,
            time_ns: desc.time_ns,
            left: 0,
        });
        self.leave();
    }

    fn leave(&mut self) {
        if let Some(tap) = self.taps.last_mut() {
            tap.left = ticks();
        }
    }
}

fn kind(pool: &Pool, buf: BufId) -> Buffer {
    if pool.is_slot(buf) { Buffer::Slot } else { Buffer::Block }
}

impl Tracer for StepTrace {
    const ON: bool = true;

    #[inline]
    fn arrived(&mut self, pool: &Pool, desc: &RxDesc) {
        self.seen += 1;
        if desc.id == self.wanted {
            self.tap_desc(pool, desc);
        }
    }

    #[inline]
    fn stage(&mut self, stage: Stage, pool: &Pool, skb: &Skb) {
        if skb.id == self.wanted {
            self.tap(pool, skb, Point::Stage(stage));
        }
    }

    #[inline]
    fn verdict(&mut self, pool: &Pool, skb: &Skb, verdict: &Verdict) {
        if skb.id == self.wanted {
            self.tap(pool, skb, Point::Verdict(*verdict));
        }
    }

    #[inline]
    fn delivered(&mut self, pool: &Pool, skb: &Skb, port: PortId) {
        if skb.id == self.wanted {
            self.tap(pool, skb, Point::Egress(port));
        }
    }

    #[inline]
    fn dropped(
        &mut self,
        stage: Stage,
        pool: &Pool,
        skb: &Skb,
        reason: DropReason,
        port: Option<PortId>,
    ) {
        if skb.id == self.wanted {
            self.tap(pool, skb, Point::Dropped(stage, reason, port));
        }
    }
}

/// The fields of something that is no skb yet.
pub(super) const NO_FIELDS: Fields = Fields {
    ethertype: 0,
    vlan_tci: 0,
    network: 0,
    transport: 0,
    ip_proto: 0,
    pkt_type: skb::PktType::OtherHost,
    ip_summed: skb::IpSummed::None,
    gso_size: 0,
};
