//! `framewalk bench replay`: frames out at full speed and on time, seen from the far end of a
//! cable, beside the programs that others use and a bare sender.

mod gaps;
mod top;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use benches::Row;

use super::Timing;
use super::net::lab::{Lab, in_lab};
use super::net::peers::{self, Peer};
use super::print::Out;
use super::process::me;
use super::stop::Stop;

/// What every case needs.
struct Bench<'a> {
    lab: &'a Lab,
    me: String,
    peers: Vec<(Peer, String)>,
    runs: usize,
    seconds: f64,
    /// Before a rate is taken.
    warm_up: Duration,
    stop: Stop,
}

/// Measures, and prints each row when it is there.
pub(super) fn run(
    capture: Option<&Path>,
    timing: Timing,
    ring_peers: bool,
    quiet: bool,
    out: &mut Out,
) -> anyhow::Result<()> {
    let capture = capture.map(absolute).transpose()?;
    let me = me()?;
    let stop = Stop::new()?;
    in_lab("replay", |lab| {
        let mut peers = peers::installed(&Peer::SENDERS, quiet);
        if ring_peers {
            peers.extend(peers::installed(&Peer::RING_SENDERS, quiet));
        }
        let seconds = timing.seconds.clamp(0.05, 60.0);
        let warm_up = Duration::from_secs_f64((seconds / 4.0).min(0.4));
        let runs = timing.runs as usize;
        let bench = Bench { lab, me, peers, runs, seconds, warm_up, stop };
        let mut print = |rows: Vec<Row>| rows.iter().try_for_each(|row| out.row(row));
        for len in [64, 1500] {
            print(top::rows(&bench, len)?)?;
        }
        print(gaps::at_a_rate(&bench)?)?;
        print(gaps::recorded_at_random(&bench)?)?;
        if let Some(capture) = &capture {
            print(gaps::recorded_in(&bench, capture)?)?;
        }
        Ok(())
    })
}

/// Looked for before anything is made.
fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::fs::canonicalize(path).with_context(|| format!("cannot find {}", path.display()))
}
