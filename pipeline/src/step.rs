//! One frame's life, step by step, forwards and backwards.
//!
//! [`StepTrace`] is plugged into an engine as its tracer and notes everything that happens to one
//! frame. [`Steps`] makes of it a sequence of [`Step`]s, each a plain value: the object in hand,
//! the bytes in view, the geometry, who owns it, what it cost. Stepping moves a cursor over values
//! that never change, so going back shows exactly what was there.
//!
//! Nothing is invented: what lies outside the path (the wire in front of the adapter, the guest's
//! own driver) is told as such, with [`Step::told`] set and every derived number named.

mod follow;
mod record;
mod tell;
mod words;

pub use follow::follow;
pub use record::StepTrace;
pub use tell::{Context, PortCast, PortFace};

use bytes::Bytes;
use skb::decode::EthernetPacket;
use skb::{DropReason, IpSummed, LinkType, PktType, PortId, PortSet, Stage, Verdict};
use std::ops::Range;

/// Which way a frame goes. From guest to wire the path is the same pipeline, ends swapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// In by a wire port.
    FromWire,
    /// In by a guest's port.
    FromGuest,
}

impl Direction {
    /// Words for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FromWire => "from the wire",
            Self::FromGuest => "from the guest",
        }
    }
}

/// What a step is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// Before the path: the frame where it comes from.
    Origin,
    /// The adapter put it into a buffer.
    Arrived,
    /// The driver built an skb around the buffer.
    Built,
    /// The skb stage classified it.
    Classified,
    /// GRO hung it behind another segment: it goes on as a part of that one.
    Merged,
    /// The switch decided.
    Decided(Verdict),
    /// One reference leaves by a port.
    Egress(PortId),
    /// One reference crosses to the far end of a port.
    Boundary(PortId),
    /// What the far end does with it, outside the path.
    FarEnd(PortId),
    /// One reference ends here.
    Dropped(DropReason, Option<PortId>),
    /// A stage took the frame for itself.
    Consumed,
    /// It waits, or the run ended before anything became of it.
    Waiting,
}

impl StepKind {
    /// A short stable name, as in JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Arrived => "arrived",
            Self::Built => "built",
            Self::Classified => "classified",
            Self::Merged => "merged",
            Self::Decided(_) => "decided",
            Self::Egress(_) => "egress",
            Self::Boundary(_) => "boundary",
            Self::FarEnd(_) => "far-end",
            Self::Dropped(..) => "dropped",
            Self::Consumed => "consumed",
            Self::Waiting => "waiting",
        }
    }
}

/// The buffer a frame lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buffer {
    /// One slot of the arena, for one frame.
    Slot,
    /// A block that a capture file was read into: many frames, read-only.
    Block,
}

/// Where the bytes in view lie, in bytes, as `struct sk_buff` has it: `head` is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Offset of `data`: the headroom.
    pub data: usize,
    /// Offset of `tail`.
    pub tail: usize,
    /// Offset of `end`; `end - tail` is the tailroom.
    pub end: usize,
    /// Bytes between the MAC header and `data`: already pulled.
    pub pulled: usize,
    /// What they lie in.
    pub buffer: Buffer,
}

/// What the skb says beside its geometry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields {
    /// `skb->protocol`, host order; 0 = IEEE 802.3 length, or not classified.
    pub ethertype: u16,
    /// VLAN tag control information.
    pub vlan_tci: u16,
    /// Offset of the network header from the MAC header, 0 = none.
    pub network: u16,
    /// Offset of the transport header from the MAC header, 0 = none.
    pub transport: u16,
    /// IP protocol, meaningful with `transport`.
    pub ip_proto: u8,
    /// Whom it is for.
    pub pkt_type: PktType,
    /// L4 checksum state.
    pub ip_summed: IpSummed,
    /// Segment size of a super-frame, 0 = ordinary.
    pub gso_size: u16,
}

/// One state in a frame's life. Every field is a value of that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Where it is.
    pub stage: Stage,
    /// What happens.
    pub kind: StepKind,
    /// Which way it goes.
    pub direction: Direction,
    /// One line.
    pub title: String,
    /// The object in hand.
    pub object: String,
    /// Who owns it.
    pub owner: String,
    /// What there is to know, a sentence or two each.
    pub text: Vec<String>,
    /// What does this in Linux.
    pub linux: &'static str,
    /// What does this in Hyper-V.
    pub hyperv: &'static str,
    /// The bytes present, from the MAC header (or the first byte of the record) on.
    pub bytes: Bytes,
    /// Which of them are in view, `data..tail`.
    pub view: Range<usize>,
    /// What they are.
    pub linktype: LinkType,
    /// Bytes the frame had on the wire.
    pub origlen: u32,
    /// Where the bytes lie; `None` outside the path.
    pub geometry: Option<Geometry>,
    /// The skb's other fields; `None` before there is one.
    pub fields: Option<Fields>,
    /// What kind of buffer the bytes lie in; `None` outside the path.
    pub buffer: Option<Buffer>,
    /// References to the buffer (`dataref`); `None` outside the path. A block's count includes
    /// its reader and the frames beside this one.
    pub refs: Option<u32>,
    /// References of this frame that exist after this step.
    pub references: u32,
    /// Ticks from the step before to this one; `None` outside the path.
    pub cost_ticks: Option<u64>,
    /// Times this frame's bytes were copied to get here.
    pub copies: u32,
    /// The IEEE 802.3 packet around the frame, only where the frame is on a wire.
    pub packet: Option<EthernetPacket>,
    /// Told, not run: this lies outside the path.
    pub told: bool,
}

/// A frame's life with a cursor in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps {
    steps: Vec<Step>,
    at: usize,
}

impl Steps {
    pub(crate) fn new(steps: Vec<Step>) -> Option<Self> {
        if steps.is_empty() { None } else { Some(Self { steps, at: 0 }) }
    }

    /// The step the cursor is on.
    pub fn current(&self) -> &Step {
        &self.steps[self.at]
    }

    /// Index of the cursor, from 0.
    pub fn position(&self) -> usize {
        self.at
    }

    /// How many steps. Never 0.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// All steps in order.
    pub fn all(&self) -> &[Step] {
        &self.steps
    }

    /// One on. `false` on the last one, which stays.
    pub fn forward(&mut self) -> bool {
        self.seek(self.at + 1)
    }

    /// One back. `false` on the first one, which stays.
    pub fn back(&mut self) -> bool {
        self.at.checked_sub(1).is_some_and(|at| self.seek(at))
    }

    /// To the first.
    pub fn first(&mut self) {
        self.at = 0;
    }

    /// To the last.
    pub fn last(&mut self) {
        self.at = self.steps.len() - 1;
    }

    /// To a step by index. `false` if there is none, and the cursor stays.
    pub fn seek(&mut self, index: usize) -> bool {
        let there = index < self.steps.len();
        if there {
            self.at = index;
        }
        there
    }

    /// The first step of `stage`, if the frame came that far.
    pub fn of_stage(&self, stage: Stage) -> Option<usize> {
        self.steps.iter().position(|step| step.stage == stage)
    }

    /// The ports the switch chose, if it forwarded.
    pub fn forwarded(&self) -> Option<PortSet> {
        self.steps.iter().find_map(|step| match step.kind {
            StepKind::Decided(Verdict::Forward(set)) => Some(set),
            _ => None,
        })
    }
}
