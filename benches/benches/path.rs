//! `cargo bench --bench path [RUNS [SECONDS]]`: the in-memory path and the address table.
#![allow(clippy::print_stdout)]

use framewalk_benches::{Row, fdb, path};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
    let runs = args.next().map_or(Ok(5), |a| a.parse())?;
    let seconds = args.next().map_or(Ok(2.0), |a| a.parse())?;
    for case in [path::Case::Untraced, path::Case::Traced, path::Case::NoHistograms] {
        path::bench(case, runs, seconds)?.iter().for_each(show);
    }
    for row in fdb::bench(runs)? {
        show(&row);
    }
    Ok(())
}

fn show(row: &Row) {
    let f = &row.figures;
    let (median, min, max) = (f.median(), f.min(), f.max());
    println!(
        "{:<32} {median:.1} ({min:.1}..{max:.1}) {} floor {:?}",
        row.case, row.metric, row.floor
    );
}
