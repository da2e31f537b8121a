//! The way out: what an egress port does to its reference of a frame.

use crate::Vswitch;
use crate::vlan::{Tag, TagAction, classify, tag_of};
use skb::{DropReason, Pool, PortId, Skb};

/// A reference that could not leave, and why.
#[derive(Debug)]
#[must_use = "owns a buffer reference: free it"]
pub struct EgressDrop {
    /// The reference, unchanged.
    pub skb: Skb,
    /// `no-buffer` or `too-long`: a copy was needed and the pool had no slot for it.
    pub reason: DropReason,
}

impl Vswitch {
    /// Applies `port`'s tag action to one reference of a frame that was forwarded to it. Needed
    /// only for the ports in [`Decision::retag`](crate::Decision::retag).
    ///
    /// In place if the bytes are this reference's alone, in a slot and (for a new tag) with
    /// headroom; otherwise on a copy, which the pool counts.
    ///
    /// # Errors
    /// The reference back, when no copy could be made.
    #[allow(clippy::result_large_err)] // an skb is a cache line and moves as one
    pub fn egress(&mut self, pool: &mut Pool, port: PortId, skb: Skb) -> Result<Skb, EgressDrop> {
        let changed = match self.action_for(pool, port, &skb) {
            TagAction::Keep => return Ok(skb),
            TagAction::Pop => pool.pop_tag(skb),
            TagAction::Push { tpid, tci } => pool.push_tag(skb, tpid, tci),
            TagAction::Rewrite { tpid, tci } => pool.rewrite_tag(skb, tpid, tci),
        };
        changed.map_err(|skb| {
            let full = pool.free_slots() == 0;
            let reason = if full { DropReason::NoBuffer } else { DropReason::TooLong };
            if let Some(stats) = self.stats.ports.get_mut(port.index()) {
                stats.egress_dropped[reason as usize] += 1;
            }
            EgressDrop { skb, reason }
        })
    }

    /// Cuts a mirror reference to the snaplen of the sessions that end at `port`. No byte moves:
    /// the reference's own view becomes shorter, `origlen` stays.
    pub fn egress_mirror(&self, port: PortId, skb: &mut Skb) {
        let snaplen = self.tables.snaplens.get(port.index()).copied().unwrap_or(0);
        skb.trim((snaplen as usize).saturating_sub(skb.pulled()));
    }

    /// What the port does to the tag of this frame, as it came in.
    pub fn action_for(&self, pool: &Pool, port: PortId, skb: &Skb) -> TagAction {
        let ingress = skb.ingress;
        let (Some(lane), Some(config)) =
            (self.tables.lanes.get(ingress.index()), self.port(ingress))
        else {
            return TagAction::Keep;
        };
        let tag = tag_of(pool.frame(skb), lane.tpid).unwrap_or(Tag::Untagged);
        match classify(&config.vlan, tag) {
            Ok(vid) => self.tag_action(lane, port, tag, vid),
            Err(_) => TagAction::Keep,
        }
    }
}
