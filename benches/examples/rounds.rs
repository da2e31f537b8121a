//! So many rounds of the in-memory path, for a profiler that counts instructions:
//! `valgrind --tool=callgrind target/release/examples/rounds 33`, less the same with 1, is the cost
//! of 32 rounds of 4,096 frames.
#![allow(clippy::print_stdout)]

use framewalk_benches::path::{Bench, FRAMES};
use pipeline::skb::trace::NoTrace;

fn main() -> anyhow::Result<()> {
    let rounds = std::env::args().nth(1).map_or(Ok(33), |n| n.parse())?;
    let frames = Bench::new(NoTrace, true)?.rounds(rounds);
    println!("{frames} frames in {rounds} rounds of {FRAMES}");
    Ok(())
}
