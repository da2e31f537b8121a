//! Tracing as a type parameter: off, it costs nothing, because nothing is compiled.

use crate::arch::ticks;
use crate::{DropReason, Pool, PortId, RxDesc, Skb, Stage, Verdict};

/// Sees frames at stage boundaries. [`NoTrace`] compiles to nothing.
pub trait Tracer {
    /// Whether any call does something; `false` lets the compiler delete the call sites.
    const ON: bool;

    /// A NIC has put a frame into a buffer and its descriptor into the rx ring.
    fn arrived(&mut self, pool: &Pool, desc: &RxDesc);

    /// `skb` has left `stage`.
    fn stage(&mut self, stage: Stage, pool: &Pool, skb: &Skb);

    /// The switch decided.
    fn verdict(&mut self, pool: &Pool, skb: &Skb, verdict: &Verdict);

    /// One reference is about to go to a port's sink, as that port sends it.
    fn delivered(&mut self, pool: &Pool, skb: &Skb, port: PortId);

    /// One reference ends at `stage`; `port` is the egress it was meant for, if one was chosen.
    fn dropped(
        &mut self,
        stage: Stage,
        pool: &Pool,
        skb: &Skb,
        reason: DropReason,
        port: Option<PortId>,
    );
}

/// Tracing off.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTrace;

impl Tracer for NoTrace {
    const ON: bool = false;
    #[inline(always)]
    fn arrived(&mut self, _: &Pool, _: &RxDesc) {}
    #[inline(always)]
    fn stage(&mut self, _: Stage, _: &Pool, _: &Skb) {}
    #[inline(always)]
    fn verdict(&mut self, _: &Pool, _: &Skb, _: &Verdict) {}
    #[inline(always)]
    fn delivered(&mut self, _: &Pool, _: &Skb, _: PortId) {}
    #[inline(always)]
    fn dropped(&mut self, _: Stage, _: &Pool, _: &Skb, _: DropReason, _: Option<PortId>) {}
}

/// Stamps every frame at every stage into a fixed ring of records, newest last.
#[derive(Debug)]
pub struct StampTrace {
    records: Box<[Stamp]>,
    next: usize,
    /// Stamps taken in all.
    pub stamps: u64,
}

/// One frame seen at one stage.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stamp {
    /// Frame identity.
    pub id: u64,
    /// [`ticks`] when the frame left the stage.
    pub ticks: u64,
    /// Bytes in view.
    pub len: u32,
    /// Free bytes in front.
    pub headroom: u32,
    /// `Stage as u8`.
    pub stage: u8,
}

impl StampTrace {
    /// Keeps the newest `records` stamps (rounded up to a power of two).
    pub fn new(records: usize) -> Self {
        let records = records.clamp(1, 1 << 24).next_power_of_two();
        Self { records: vec![Stamp::default(); records].into(), next: 0, stamps: 0 }
    }

    #[inline(always)]
    fn stamp(&mut self, stage: Stage, id: u64, len: u32, headroom: u32) {
        let slot = self.next & (self.records.len() - 1);
        self.records[slot] = Stamp { id, ticks: ticks(), len, headroom, stage: stage as u8 };
        self.next = slot + 1;
        self.stamps += 1;
    }

    /// The newest stamps, oldest first.
    pub fn newest(&self) -> impl Iterator<Item = &Stamp> {
        let len = self.records.len();
        let kept = (self.stamps as usize).min(len);
        (len - kept..len).map(move |i| &self.records[(self.next + i) & (len - 1)])
    }
}

impl Tracer for StampTrace {
    const ON: bool = true;

    #[inline(always)]
    fn arrived(&mut self, pool: &Pool, desc: &RxDesc) {
        self.stage(Stage::Nic, pool, desc);
    }

    #[inline(always)]
    fn stage(&mut self, stage: Stage, _: &Pool, skb: &Skb) {
        self.stamp(stage, skb.id, skb.len() as u32, skb.headroom() as u32);
    }

    #[inline(always)]
    fn verdict(&mut self, pool: &Pool, skb: &Skb, _: &Verdict) {
        self.stage(Stage::Vswitch, pool, skb);
    }

    #[inline(always)]
    fn delivered(&mut self, pool: &Pool, skb: &Skb, _: PortId) {
        self.stage(Stage::Guest, pool, skb);
    }

    #[inline(always)]
    fn dropped(&mut self, at: Stage, pool: &Pool, skb: &Skb, _: DropReason, _: Option<PortId>) {
        self.stage(at, pool, skb);
    }
}
