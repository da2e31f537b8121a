//! The switch's address table as it grows: learn the source, look up the destination.

use crate::{Row, Spread};
use pipeline::skb::{MacAddr, PortId};
use pipeline::vswitch::fdb::{CAPACITY_MAX, Fdb, FdbConfig, FdbKey, HashKey, Tick};
use std::time::Instant;

/// Address counts of the rows.
pub const SIZES: [usize; 5] = [2, 2_000, 20_000, 100_000, 1_000_000];

const BURST: usize = 64;
const OPERATIONS: usize = 4 << 20;

fn key(n: usize) -> FdbKey {
    let n = n as u32;
    let [a, b, c, d] = n.to_be_bytes();
    FdbKey::new(1, MacAddr([0x02, 0x5e, a, b, c, d]))
}

/// One row per table size, in million frames a second, each frame one learn and one lookup.
pub fn bench(runs: usize) -> anyhow::Result<Vec<Row>> {
    SIZES.iter().map(|&size| row(size, runs)).collect()
}

fn row(size: usize, runs: usize) -> anyhow::Result<Row> {
    let config = FdbConfig { capacity: CAPACITY_MAX, ..FdbConfig::default() };
    let mut fdb = Fdb::new(config, HashKey::new([3, 4]))?;
    let now = Tick::from_ms(1);
    for n in 0..size {
        fdb.learn(key(n), PortId((n & 1) as u8), now);
    }
    // pseudo-random order: a station's neighbour in the table is not its neighbour in time
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % size
    };
    let frames: Vec<(FdbKey, PortId, FdbKey)> = (0..1 << 16)
        .map(|_| {
            let (source, target) = (next(), next());
            (key(source), PortId((source & 1) as u8), key(target))
        })
        .collect();
    let mut figures = Vec::with_capacity(runs);
    let mut found = 0_u64;
    for _ in 0..runs {
        let start = Instant::now();
        found = 0;
        for _ in 0..OPERATIONS / frames.len() {
            for burst in frames.chunks(BURST) {
                if fdb.wants_prefetch() {
                    for (source, _, target) in burst {
                        fdb.prefetch(*source);
                        fdb.prefetch(*target);
                    }
                }
                for (source, port, target) in burst {
                    fdb.learn(*source, *port, now);
                    found += u64::from(fdb.lookup(*target, now).is_some());
                }
            }
        }
        figures.push(OPERATIONS as f64 / start.elapsed().as_secs_f64() / 1e6);
    }
    anyhow::ensure!(found == OPERATIONS as u64, "{found} of {OPERATIONS} addresses found");
    Ok(Row {
        bench: "path",
        case: format!("fdb {size} addresses"),
        metric: "mpps",
        figures: Spread::new(figures),
        floor: None,
        peer: None,
        extra: vec![("table_bytes", fdb.bytes().to_string())],
    })
}
