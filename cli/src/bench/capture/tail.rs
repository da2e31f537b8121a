//! Stopped by Ctrl-C right after the last frame: how many are missing at the end.

use std::time::Duration;

use benches::Row;

use super::super::net::send::Offer;
use super::super::net::{each_in_turn, load, rows as net_rows};
use super::Bench;
use super::run::{Run, everyone, one};

/// Frames of a run, a tenth of a second at the rate.
const FRAMES: u32 = 5_000;
const PPS: f64 = 50_000.0;

pub(super) fn rows(bench: &Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let load = load();
    bench.lab.steer(false)?;
    let offer = Offer { len: 64, frames: FRAMES, pps: Some(PPS) };
    let mut cases: Vec<_> =
        everyone(bench, false).into_iter().map(|(name, who)| (name, who, Vec::new())).collect();
    for round in 0..bench.runs {
        each_in_turn(round, &mut cases, |(_, who, runs)| {
            runs.push(one(bench, *who, offer, Duration::ZERO)?);
            Ok(())
        })?;
    }
    let of = cases.into_iter().map(|(name, _, runs): (_, _, Vec<Run>)| {
        let figures = runs.iter().map(|run| run.tail_lost as f64).collect();
        let lost: u64 = runs.iter().map(Run::lost).sum();
        let extra = vec![("frames_lost", lost.to_string()), ("load_1min", load.clone())];
        (name, figures, extra)
    });
    Ok(net_rows("capture", "lost at the end by SIGINT", "frames", of, None))
}
