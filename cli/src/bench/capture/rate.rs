//! Everything that is offered, to a file without loss: the sender on one core at full speed, what
//! the kernel does to receive and the program on the other.

use std::time::Duration;

use benches::{Row, Spread};

use super::super::net::send::Offer;
use super::super::net::{each_in_turn, load, rows as net_rows};
use super::Bench;
use super::run::{Run, Who, everyone, one};

/// More than any sender reaches here: decides how many frames a run has.
const PPS_MAX: f64 = 1_100_000.0;
/// Peers hand their last frames over after a second; those lost at the end are another case.
const PATIENCE: Duration = Duration::from_millis(1300);

/// Frames of `len` bytes (without FCS).
pub(super) fn rows(bench: &Bench<'_>, len: usize) -> anyhow::Result<Vec<Row>> {
    let load = load();
    bench.lab.steer(true)?;
    let offer = Offer { len, frames: bench.frames(len, PPS_MAX), pps: None };
    let mut cases: Vec<(Option<String>, Who, Vec<Run>)> =
        everyone(bench, true).into_iter().map(|(name, who)| (name, who, Vec::new())).collect();
    for round in 0..bench.runs {
        each_in_turn(round, &mut cases, |(_, who, runs)| {
            runs.push(one(bench, *who, offer, PATIENCE)?);
            Ok(())
        })?;
    }
    bench.lab.steer(false)?;
    let mpps = |runs: &[Run]| -> Vec<f64> { runs.iter().map(|run| run.pps() / 1e6).collect() };
    let bare = cases.iter().find(|(_, who, _)| *who == Who::Bare);
    let floor = bare.map(|(.., runs)| Spread::new(mpps(runs)).median());
    let of = cases.iter().map(|(name, _, runs)| {
        let median = Spread::new(mpps(runs)).median();
        let sum = |pick: fn(&Run) -> u64| runs.iter().map(pick).sum::<u64>().to_string();
        let offered = runs.iter().map(|run| run.sent.frames as f64 / run.sent.seconds / 1e6);
        let mut extra = vec![
            ("gbit_s", format!("{:.3}", median * len as f64 * 8.0 / 1e3)),
            ("offered_mpps", format!("{:.3}", Spread::new(offered.collect()).median())),
            ("frames_arrived", sum(|run| run.arrived)),
            ("frames_captured", sum(|run| run.captured)),
            ("frames_lost", sum(Run::lost)),
        ];
        if let Some(run) = runs.first() {
            extra.push(("sent_by", run.sent.method.to_string()));
        }
        extra.push(("load_1min", load.clone()));
        (name.clone(), mpps(runs), extra)
    });
    Ok(net_rows("capture", &format!("to disk, full speed {len}B"), "mpps", of, floor))
}
