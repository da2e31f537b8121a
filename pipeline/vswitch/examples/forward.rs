//! How long a decision takes: `cargo run --release -p framewalk-vswitch --example forward`.
//!
//! 4,096 frames of 60 B in a warm pool, two ports, bursts of 64, for growing numbers of
//! addresses in the table (of which 4,096 frames use at most 8,192); the best of many short
//! rounds, nanoseconds per frame (learn and look up, counters included). A floor, even on a busy
//! machine; for figures that are kept, use the `benches` package.
#![allow(clippy::print_stdout)]

use framewalk_vswitch::fdb::{CAPACITY_MAX, FdbConfig, HashKey};
use framewalk_vswitch::{Decisions, PortConfig, SwitchConfig, Vswitch};
use skb::classify::classify;
use skb::{BURST_MAX, DropReason, Pool, PoolConfig, PortId, Skb, Verdict};
use std::time::Instant;

const SLOTS: usize = 4096;
const ROUNDS: usize = 3000;

fn main() {
    for macs in [2, 1024, 2_000, 20_000, 100_000, 1_000_000] {
        let (ns, forwarded) = row(macs);
        println!("{macs:>9} MACs  {ns:6.2} ns/frame  {forwarded} forwarded");
    }
}

/// The address of station `n`: even ones behind port 0, odd ones behind port 1.
fn mac(n: usize) -> [u8; 6] {
    let [.., a, b, c, d] = (n as u64).to_be_bytes();
    [2, 0, a, b, c, d]
}

/// A cheap sequence without pattern (xorshift64).
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state as usize
}

fn row(macs: usize) -> (f64, u64) {
    let port = |id| PortConfig { learn_cap: Some(u32::MAX), ..PortConfig::guest(id, "guest") };
    let fdb = FdbConfig { capacity: CAPACITY_MAX, ..FdbConfig::default() };
    let config = SwitchConfig { ports: vec![port(0), port(1)], fdb, ..SwitchConfig::default() };
    let mut switch = Vswitch::new(config, HashKey::new([5, 6])).expect("a valid configuration");
    let config = PoolConfig { slots: SLOTS, slot_frame_max: 64, ..PoolConfig::default() };
    let mut pool = Pool::new(config).expect("a small pool");
    let mut out = Decisions::new();
    for first in (0..macs).step_by(SLOTS) {
        let stations: Vec<usize> = (first..macs.min(first + SLOTS)).collect();
        let skbs = frames(&mut pool, stations.iter().map(|&n| (n ^ 1, n)));
        run(&mut switch, &pool, &skbs, &mut out);
        free(&mut pool, skbs);
    }
    let mut state = 88_172_645_463_325_252;
    let pairs = (0..SLOTS).map(|n| {
        let side = (n / BURST_MAX) & 1;
        let station = |side, random: usize| (random % (macs / 2)) * 2 + side;
        (station(side ^ 1, next(&mut state)), station(side, next(&mut state)))
    });
    let skbs = frames(&mut pool, pairs);
    let mut best = f64::MAX;
    let mut forwarded = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        forwarded = run(&mut switch, &pool, &skbs, &mut out);
        best = best.min(start.elapsed().as_nanos() as f64 / SLOTS as f64);
    }
    free(&mut pool, skbs);
    (best, forwarded)
}

fn frames(pool: &mut Pool, pairs: impl Iterator<Item = (usize, usize)>) -> Vec<Skb> {
    let frame = |(dst, src): (usize, usize)| {
        let mut slot = pool.alloc_slot().expect("a slot for each frame");
        let bytes = pool.slot_mut(&mut slot).expect("an unshared slot");
        bytes[..6].copy_from_slice(&mac(dst));
        bytes[6..12].copy_from_slice(&mac(src));
        bytes[12..14].copy_from_slice(&[8, 0]);
        let desc = pool.commit(slot, 60, PortId((src & 1) as u8)).expect("60 bytes fit");
        let mut skb = pool.build_skb(desc);
        classify(pool, &mut skb);
        skb
    };
    pairs.map(frame).collect()
}

fn free(pool: &mut Pool, skbs: Vec<Skb>) {
    for skb in skbs {
        pool.free(skb);
    }
}

fn run(switch: &mut Vswitch, pool: &Pool, skbs: &[Skb], out: &mut Decisions) -> u64 {
    let mut forwarded = 0;
    for burst in skbs.chunks(BURST_MAX) {
        let decided = switch.forward_burst(pool, burst, 1_000_000, out);
        for place in 0..decided {
            forwarded += u64::from(out.get(place).verdict != Verdict::Drop(DropReason::Policy));
        }
    }
    forwarded
}
