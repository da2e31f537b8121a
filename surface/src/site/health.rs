//! What the mirror port shows, and what it does not: everything else rests on it.

use std::collections::BTreeSet;

use super::address::{Place, place};
use super::pairs::Pairs;
use crate::peel::proto;
use crate::record::FlowRecord;

/// Connections below which no share is told.
const ENOUGH: u64 = 20;

/// Conversations counted by what they tell of the mirror.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    /// TCP connections with data.
    connections: u64,
    /// Of these, data seen from one end only.
    one_sided: u64,
    segments: u64,
    again: u64,
    with_gaps: u64,
    /// Between inside and the internet.
    crossing: u64,
    /// Between two addresses of the internet.
    outside: u64,
    /// Between two addresses inside.
    inside: u64,
    vlans: BTreeSet<u16>,
}

/// Which side of the router the mirror port is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatSide {
    /// Inner addresses talk to the internet: inside.
    Inside,
    /// Only addresses of the internet: outside, or a site without NAT.
    Outside,
    /// One connection was seen on both sides.
    Both,
    /// Nothing crossed a router.
    Unknown,
}

impl NatSide {
    /// In lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inside => "inside",
            Self::Outside => "outside",
            Self::Both => "both",
            Self::Unknown => "unknown",
        }
    }
}

/// The verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// TCP connections with data that it is told by.
    pub connections: u64,
    /// Share of them of which one direction only was seen, 0 to 1.
    pub one_sided: f64,
    /// Share of the frames of these connections that were seen before, 0 to 1: sent again, or
    /// mirrored twice.
    pub again: f64,
    /// Share of connections with bytes missing, 0 to 1.
    pub with_gaps: f64,
    /// Which side of the router.
    pub nat_side: NatSide,
    /// VLAN identifiers seen, up to 64.
    pub vlans: Vec<u16>,
    /// What is to be known before the rest is read, in words.
    pub remarks: Vec<String>,
}

impl Counts {
    pub(super) fn flow(&mut self, flow: &FlowRecord) {
        match (place(flow.src), place(flow.dst)) {
            (Place::Inside, Place::Inside) => self.inside += 1,
            (Place::Inside, Place::Outside) | (Place::Outside, Place::Inside) => self.crossing += 1,
            (Place::Outside, Place::Outside) => self.outside += 1,
            _ => {}
        }
        if flow.vlan != 0 && self.vlans.len() < 64 {
            self.vlans.insert(flow.vlan);
        }
        let (a, b) = (flow.opener_sent, flow.answerer_sent);
        if flow.proto != proto::TCP || a.bytes + b.bytes == 0 {
            return;
        }
        self.connections += 1;
        self.one_sided += u64::from(a.frames == 0 || b.frames == 0);
        self.segments += a.frames + b.frames;
        self.again += u64::from(a.again) + u64::from(b.again);
        self.with_gaps += u64::from(a.missing > 0 || b.missing > 0);
    }

    pub(super) fn verdict(&self, pairs: &Pairs) -> Health {
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let nat_side = if !pairs.forwards.is_empty() {
            NatSide::Both
        } else if self.crossing > 0 {
            NatSide::Inside
        } else if self.outside > 0 {
            NatSide::Outside
        } else {
            NatSide::Unknown
        };
        let mut health = Health {
            connections: self.connections,
            one_sided: share(self.one_sided, self.connections),
            again: share(self.again, self.segments),
            with_gaps: share(self.with_gaps, self.connections),
            nat_side,
            vlans: self.vlans.iter().copied().collect(),
            remarks: Vec::new(),
        };
        health.remarks = self.remarks(&health);
        health
    }

    fn remarks(&self, health: &Health) -> Vec<String> {
        let percent = |share: f64| (share * 100.0).round();
        let mut remarks = Vec::new();
        if self.connections < ENOUGH {
            remarks.push(format!(
                "only {} TCP connections with data: too few to judge the mirror port by",
                self.connections
            ));
        } else {
            if health.one_sided > 0.2 {
                remarks.push(format!(
                    "of {} % of the connections one direction only was seen: the port mirrors one \
                     direction, or traffic takes two ways",
                    percent(health.one_sided)
                ));
            }
            if health.again > 0.2 {
                remarks.push(format!(
                    "{} % of the frames came twice: the port mirrors frames where they enter and \
                     where they leave",
                    percent(health.again)
                ));
            }
            if health.with_gaps > 0.1 {
                remarks.push(format!(
                    "{} % of the connections lack bytes: the mirror port or the capture dropped \
                        frames",
                    percent(health.with_gaps)
                ));
            }
        }
        match health.nat_side {
            NatSide::Unknown => {
                remarks.push(
                    "nothing crossed a router: what comes from the internet is not seen".into(),
                );
            }
            NatSide::Outside => remarks.push(
                "only internet addresses were seen: this is the outer side of the router, or a \
                 network without one"
                    .into(),
            ),
            NatSide::Inside | NatSide::Both => {}
        }
        if self.inside == 0 && self.connections > 0 {
            remarks.push("no conversation between two inner hosts was seen".into());
        }
        remarks
    }
}
