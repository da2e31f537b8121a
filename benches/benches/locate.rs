//! `cargo bench --bench locate FILE [RUNS]`: locating every frame of a capture held in memory.
#![allow(clippy::print_stdout)]

use anyhow::Context as _;
use framewalk_benches::locate;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
    let Some(file) = args.next() else {
        println!("no capture named: cargo bench --bench locate -- FILE [RUNS]");
        return Ok(());
    };
    let runs = args.next().map_or(Ok(5), |a| a.parse())?;
    let bytes = std::fs::read(&file).with_context(|| file.clone())?;
    for row in [locate::bench(&bytes, runs)?, locate::bench_etherparse(&bytes, runs)?] {
        let f = &row.figures;
        let (median, min, max) = (f.median(), f.min(), f.max());
        println!("{:<36} {median:.1} ({min:.1}..{max:.1}) {}", row.case, row.metric);
    }
    Ok(())
}
