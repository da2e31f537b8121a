//! Any switch, any traffic: decisions, bytes and counts are the model's, and the rules hold.

use super::model::{Model, Seen, vlan};
use super::plan::{FramePlan, Plan, plan, traffic};
use super::{pool, receive};
use crate::fdb::HashKey;
use crate::vlan::VlanMode;
use crate::{Decision, Decisions, Graph, Vswitch};
use proptest::prelude::*;
use skb::{Pool, PortId, Skb, Verdict};

struct Run {
    switch: Vswitch,
    graph: Graph,
    pool: Pool,
    model: Model,
}

impl Run {
    fn new(plan: &Plan, seed: [u64; 2]) -> Self {
        let switch = Vswitch::new(plan.build(), HashKey::new(seed)).expect("a mended plan");
        let graph = switch.graph();
        Self { switch, graph, pool: pool(), model: Model::new(plan.build()) }
    }

    fn burst(&mut self, plan: &Plan, frames: &[FramePlan], now_ms: u64) {
        let ingress = |frame: &FramePlan| {
            PortId(plan.ports.get(usize::from(frame.ingress)).map_or(250, |port| port.id))
        };
        let skbs: Vec<Skb> = frames
            .iter()
            .map(|f| receive(&mut self.pool, &f.bytes(), ingress(f), f.linktype))
            .collect();
        let mut out = Decisions::new();
        let decided = self.switch.forward_burst(&self.pool, &skbs, now_ms, &mut out);
        assert_eq!(decided, frames.len());
        for (place, (frame, skb)) in frames.iter().zip(skbs).enumerate() {
            let decision = out.get(place);
            let seen = self.model.see(frame, &frame.bytes(), now_ms);
            assert_eq!(decision.verdict, seen.verdict, "{frame:?}");
            assert_eq!(decision.mirror, seen.mirror, "{frame:?}");
            self.rules(&skb, &decision);
            self.egress(&skb, &decision, &seen);
            self.pool.free(skb);
        }
        assert_eq!((self.pool.held(), self.pool.free_slots()), (0, self.pool.slots()));
    }

    /// What must hold whatever the model says.
    fn rules(&self, skb: &Skb, decision: &Decision) {
        let Decision { verdict, mirror, retag } = *decision;
        let Verdict::Forward(to) = verdict else {
            assert!(retag.is_empty());
            return;
        };
        assert!(!to.is_empty() && !to.or(mirror).contains(skb.ingress));
        assert!(to.and(mirror).is_empty() && retag.and(to) == retag);
        for port in to.or(mirror) {
            assert!(self.graph.has_edge(skb.ingress, port), "no edge {} {port}", skb.ingress);
        }
    }

    fn egress(&mut self, skb: &Skb, decision: &Decision, seen: &Seen) {
        let Verdict::Forward(to) = decision.verdict else { return };
        let vid = seen.vid.expect("forwarded frames have a VLAN");
        for port in to {
            let copy = self.pool.share(skb);
            let sent = if decision.retag.contains(port) {
                self.switch.egress(&mut self.pool, port, copy).expect("the pool has room")
            } else {
                copy
            };
            let bytes = self.pool.frame(&sent);
            assert_eq!(bytes, seen.out[&port], "{port}");
            let config = self.switch.port(port).expect("a port of the verdict");
            assert!(config.vlan.member(vid), "{port} is not in VLAN {vid}");
            if matches!(config.vlan, VlanMode::Trunk { .. }) {
                assert_eq!(vlan(config, bytes), Some(vid), "{port}'s far end reads another VLAN");
            }
            self.pool.free(sent);
        }
        for port in decision.mirror {
            let mut copy = self.pool.share(skb);
            self.switch.egress_mirror(port, &mut copy);
            let whole = self.pool.frame(skb);
            assert_eq!(self.pool.frame(&copy), &whole[..whole.len().min(20)]);
            self.pool.free(copy);
        }
    }

    /// Every frame that came in is counted as dropped or as at least one reference out.
    fn counts(&self, frames: &[FramePlan], plan: &Plan) {
        let stats = self.switch.stats();
        let known = |frame: &&FramePlan| usize::from(frame.ingress) < plan.ports.len();
        let sent = frames.iter().filter(known).count() as u64;
        let ports = || plan.ports.iter().map(|port| stats.port(PortId(port.id)));
        assert_eq!(ports().map(|port| port.rx_frames).sum::<u64>(), sent);
        assert_eq!(stats.unknown_ingress, frames.len() as u64 - sent);
        let dropped: u64 = ports().flat_map(|port| port.dropped).sum();
        let out: u64 = ports().map(|port| port.tx_frames).sum();
        assert!(dropped <= sent && out >= sent - dropped);
        assert!(stats.vlans().map(|(_, vlan)| vlan.frames).sum::<u64>() <= sent);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn decides_as_the_model_does(
        plan in plan().prop_map(Plan::mend),
        traffic in traffic(),
        seed in any::<[u64; 2]>(),
        start in any::<u32>(),
    ) {
        let mut run = Run::new(&plan, seed);
        let capped = plan.ports.iter().any(|port| port.cap.is_some());
        let mut now_ms = u64::from(start);
        for (gap, frames) in &traffic {
            now_ms += gap;
            if capped {
                // Aged addresses count towards a cap until they are swept: sweep in both.
                run.switch.age_out(now_ms);
                run.model.age_out(now_ms);
            }
            run.burst(&plan, frames, now_ms);
        }
        let all: Vec<FramePlan> = traffic.into_iter().flat_map(|(_, frames)| frames).collect();
        run.counts(&all, &plan);
    }
}
