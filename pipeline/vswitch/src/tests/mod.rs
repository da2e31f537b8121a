//! The switch as a whole: small scenarios with known answers, arbitrary configurations and
//! traffic against a naive model, and isolation.

mod isolation;
mod model;
mod plan;
mod properties;
mod scenarios;

use crate::{Decision, Decisions, Vswitch};
use skb::classify::classify;
use skb::{LinkType, Pool, PoolConfig, PortId, Skb};

/// A pool of slots that hold what the tests send.
fn pool() -> Pool {
    let config = PoolConfig { slots: 80, slot_frame_max: 256, ..PoolConfig::default() };
    Pool::new(config).unwrap()
}

/// Puts `frame` into a slot as one that came in by `ingress`.
fn receive(pool: &mut Pool, frame: &[u8], ingress: PortId, linktype: LinkType) -> Skb {
    let mut slot = pool.alloc_slot().unwrap();
    pool.slot_mut(&mut slot).unwrap()[..frame.len()].copy_from_slice(frame);
    let mut desc = pool.commit(slot, frame.len(), ingress).unwrap();
    desc.linktype = linktype;
    let mut skb = pool.build_skb(desc);
    classify(pool, &mut skb);
    skb
}

/// Decides for one frame.
fn forward(switch: &mut Vswitch, pool: &mut Pool, ingress: u8, frame: &[u8]) -> Decision {
    let skb = receive(pool, frame, PortId(ingress), LinkType::ETHERNET);
    let mut out = Decisions::new();
    assert_eq!(switch.forward_burst(pool, std::slice::from_ref(&skb), 0, &mut out), 1);
    pool.free(skb);
    out.get(0)
}
