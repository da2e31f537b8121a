//! Processor time for each captured frame, at a rate that everyone manages.

use std::time::Duration;

use benches::{Row, Spread};

use super::super::net::send::Offer;
use super::super::net::{each_in_turn, load, rows as net_rows};
use super::Bench;
use super::run::{Run, Who, everyone, one};

const PATIENCE: Duration = Duration::from_millis(1300);

/// Frames of `len` bytes (without FCS) at `pps` a second. The time is that of the program's threads
/// while frames come, without its start (which fills a ring with zeros) and its end; both are in
/// `whole_process_ns`, user and system time from exec to exit. What the kernel does in interrupts
/// for the sender's frames is on the sender's core and in neither.
pub(super) fn rows(bench: &Bench<'_>, len: usize, pps: u32) -> anyhow::Result<Vec<Row>> {
    let load = load();
    bench.lab.steer(false)?;
    let pps = f64::from(pps);
    let offer = Offer { len, frames: bench.frames(len, pps), pps: Some(pps) };
    let mut cases: Vec<(Option<String>, Who, Vec<Run>)> =
        everyone(bench, false).into_iter().map(|(name, who)| (name, who, Vec::new())).collect();
    for round in 0..bench.runs {
        each_in_turn(round, &mut cases, |(_, who, runs)| {
            runs.push(one(bench, *who, offer, PATIENCE)?);
            Ok(())
        })?;
    }
    let each = |run: &Run| run.busy.as_nanos() as f64 / run.captured.max(1) as f64;
    let whole = |run: &Run| run.cpu.as_nanos() as f64 / run.captured.max(1) as f64;
    let of = cases.iter().map(|(name, _, runs)| {
        let figures: Vec<f64> = runs.iter().map(each).collect();
        let share = runs.iter().map(|run| 100.0 * run.busy.as_secs_f64() / run.sent.seconds);
        let offered = runs.iter().map(|run| run.sent.frames as f64 / run.sent.seconds / 1e3);
        let lost: u64 = runs.iter().map(Run::lost).sum();
        let extra = vec![
            ("whole_process_ns", {
                let all = runs.iter().map(whole).collect();
                format!("{:.1}", Spread::new(all).median())
            }),
            ("percent_of_a_core", format!("{:.1}", Spread::new(share.collect()).median())),
            ("offered_kpps", format!("{:.1}", Spread::new(offered.collect()).median())),
            ("frames_lost", lost.to_string()),
            ("softirq_included", "false".to_owned()),
            ("load_1min", load.clone()),
        ];
        (name.clone(), figures, extra)
    });
    let case = format!("cpu per frame, {} kpps {len}B", (pps / 1e3) as u32);
    Ok(net_rows("capture", &case, "ns", of, None))
}
