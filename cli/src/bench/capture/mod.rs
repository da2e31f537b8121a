//! `framewalk bench capture`: frames from a cable to a file, beside the programs that others use
//! and a bare receive ring that writes nothing.

mod cost;
mod rate;
mod run;
mod tail;

use std::fs;
use std::path::PathBuf;

use benches::Row;

use super::Timing;
use super::net::lab::{Lab, in_lab};
use super::net::peers::{self, Peer};
use super::print::Out;
use super::process::me;
use super::stop::Stop;

/// Of the memory that is free: how much a file of frames may take, so that it stays in the page
/// cache and the disk has no part in the figures.
const CACHE_SHARE: u64 = 16;

/// What every case needs.
struct Bench<'a> {
    lab: &'a Lab,
    me: String,
    peers: Vec<(Peer, String)>,
    runs: usize,
    seconds: f64,
    stop: Stop,
}

impl Bench<'_> {
    /// The file that is written, one after the other.
    fn file(&self) -> PathBuf {
        self.lab.on_disk("captured")
    }

    /// Frames of `len` bytes for the time asked for at `pps`, as many as the page cache takes.
    fn frames(&self, len: usize, pps: f64) -> u32 {
        let bytes = cache_bytes() / CACHE_SHARE;
        let fit = bytes / (len as u64 + 64);
        (pps * self.seconds).min(fit as f64).clamp(1000.0, 1e8) as u32
    }
}

/// Memory that can be used without swapping (`MemAvailable`), bytes.
fn cache_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").trim().parse().ok());
    kib.unwrap_or(1u64 << 20) * 1024
}

/// Measures, and prints each row when it is there.
pub(super) fn run(timing: Timing, quiet: bool, out: &mut Out) -> anyhow::Result<()> {
    let me = me()?;
    let stop = Stop::new()?;
    in_lab("capture", |lab| {
        let peers = peers::installed(&Peer::CAPTURERS, quiet);
        let seconds = timing.seconds.clamp(0.05, 60.0);
        let bench = Bench { lab, me, peers, runs: timing.runs as usize, seconds, stop };
        let mut print = |rows: Vec<Row>| rows.iter().try_for_each(|row| out.row(row));
        for len in [64, 1500] {
            print(rate::rows(&bench, len)?)?;
        }
        for (len, pps) in [(64, 500_000), (1500, 450_000)] {
            print(cost::rows(&bench, len, pps)?)?;
        }
        print(tail::rows(&bench)?)
    })
}
