//! On time: how far the gaps between frames are off where they arrive, by the kernel's own time
//! stamps there, and how late the last frame is.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use benches::{Row, Spread};
use std::ffi::OsString;

use super::super::net::frames::{self, Made, percentile};
use super::super::net::listen::hear;
use super::super::net::peers::Peer;
use super::super::net::tool::{Running, words};
use super::super::net::{each_in_turn, load, rows as net_rows, send};
use super::Bench;

/// Rate of the evenly spaced case, frames per second.
const PPS: u32 = 100_000;
/// Mean gap of the random case.
const RANDOM_GAP_NS: i64 = 20_000;
/// Bytes of a frame, without FCS.
const LEN: usize = 64;
/// The most that is replayed of a capture, seconds.
const CAPTURE_SECONDS: f64 = 3.0;
/// How much longer than intended a program may take.
const PATIENCE: f64 = 20.0;

/// Who sends.
enum Who {
    Program(Vec<OsString>),
    Bare,
}

/// What one run came to, microseconds.
struct Run {
    p50: f64,
    p99: f64,
    p999: f64,
    max: f64,
    /// How far the last frame is from where it belongs, seen from the first.
    last_off: f64,
    lost: u64,
}

/// A sender and its runs.
struct Case {
    name: Option<String>,
    who: Who,
    runs: Vec<Run>,
}

/// Evenly spaced frames.
pub(super) fn at_a_rate(bench: &Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let count = (f64::from(PPS) * bench.seconds) as usize;
    let due = frames::even(count, 1_000_000_000 / i64::from(PPS));
    let file = bench.lab.in_memory("due.pcap");
    let made = frames::write(&file, LEN, due)?;
    let pps = PPS.to_string();
    rows(bench, &format!("{} kpps", PPS / 1000), &file, &made, true, &["--pps", &pps])
}

/// Frames at random times, sent as recorded.
pub(super) fn recorded_at_random(bench: &Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let count = (bench.seconds * 1e9 / RANDOM_GAP_NS as f64) as usize;
    let file = bench.lab.in_memory("due.pcap");
    let made = frames::write(&file, LEN, frames::random(count, RANDOM_GAP_NS))?;
    rows(bench, "recorded, random 20 us", &file, &made, true, &[])
}

/// The first seconds of a real capture, sent as recorded.
pub(super) fn recorded_in(bench: &Bench<'_>, capture: &Path) -> anyhow::Result<Vec<Row>> {
    let file = bench.lab.in_memory("due.pcap");
    let len_max = bench.lab.near.mtu as usize + 14;
    let seconds = CAPTURE_SECONDS.min(bench.seconds * 1.5);
    let made = frames::rewrite(capture, &file, len_max, seconds)?;
    if made.due_ns.len() < 2 {
        bail!(
            "{}: fewer than two whole Ethernet frames of at most {len_max} bytes in its first \
             {seconds} seconds",
            capture.display()
        );
    }
    let name = capture.file_name().unwrap_or_default().to_string_lossy().into_owned();
    rows(bench, &format!("recorded, {name}"), &file, &made, false, &[])
}

fn rows(
    bench: &Bench<'_>,
    what: &str,
    file: &Path,
    made: &Made,
    numbered: bool,
    pace: &[&str],
) -> anyhow::Result<Vec<Row>> {
    let load = load();
    let near = &bench.lab.near.name;
    let mut ours = words(&[&bench.me, &"replay", &file, &"-i", near, &"--json", &"-q"]);
    ours.extend(pace.iter().map(OsString::from));
    let case = |name, who| Case { name, who, runs: Vec::new() };
    let mut cases = vec![case(None, Who::Program(ours))];
    // the others send at full speed or in bursts only
    for (_, name) in bench.peers.iter().filter(|(peer, _)| *peer == Peer::Tcpreplay) {
        let mut theirs = words(&[&"tcpreplay", &"-i", near, &"-K"]);
        theirs.extend(pace.iter().map(OsString::from));
        theirs.push(file.into());
        cases.push(case(Some(name.clone()), Who::Program(theirs)));
    }
    cases.push(case(Some("a bare spinning sender".to_owned()), Who::Bare));
    for round in 0..bench.runs {
        each_in_turn(round, &mut cases, |case| {
            bench.stop.check()?;
            case.runs.push(one(bench, &case.who, made, numbered)?);
            Ok(())
        })?;
    }
    let mut rows = Vec::new();
    type Pick = fn(&Run) -> f64;
    let picks: [(&str, Pick); 4] = [
        ("gap error p50", |run| run.p50),
        ("gap error p99", |run| run.p99),
        ("gap error p99.9", |run| run.p999),
        ("last frame off", |run| run.last_off),
    ];
    for (metric, pick) in picks {
        let figures = |case: &Case| case.runs.iter().map(pick).collect::<Vec<f64>>();
        let bare = cases.iter().find(|case| matches!(case.who, Who::Bare));
        let floor = bare.map(|case| Spread::new(figures(case)).median());
        // what holds for all four is told once
        let more = |case| if rows.is_empty() { extra(case, &load) } else { Vec::new() };
        let of: Vec<_> =
            cases.iter().map(|case| (case.name.clone(), figures(case), more(case))).collect();
        rows.extend(net_rows("replay", &format!("{metric}, {what}"), "us", of, floor));
    }
    Ok(rows)
}

fn extra(case: &Case, load: &str) -> Vec<(&'static str, String)> {
    let max = case.runs.iter().map(|run| run.max).fold(0.0, f64::max);
    let lost: u64 = case.runs.iter().map(|run| run.lost).sum();
    vec![
        ("gap_error_max_us", format!("{max:.3}")),
        ("frames_lost", lost.to_string()),
        ("load_1min", load.to_owned()),
    ]
}

/// Sends once and hears when each frame arrives.
fn one(bench: &Bench<'_>, who: &Who, made: &Made, numbered: bool) -> anyhow::Result<Run> {
    let count = made.due_ns.len();
    let mut stamps: Vec<(u32, i64)> = Vec::with_capacity(count);
    let due = made.due_ns.last().copied().unwrap_or(0) as f64 / 1e9;
    let (counts, ()) = hear(
        bench.lab,
        |frame| {
            let number =
                if numbered { frames::number(frame.data) } else { Some(stamps.len() as u32) };
            if let Some(number) = number.filter(|_| stamps.len() < count) {
                stamps.push((number, frame.time_ns));
            }
        },
        || match who {
            Who::Bare => send::spin(bench.lab, made, &bench.stop),
            Who::Program(command) => {
                let sender = Running::start(bench.lab, bench.lab.sender_core, command)?;
                sender.end(Duration::from_secs_f64(due + PATIENCE))?.good().map(|_| ())
            }
        },
    )?;
    if !numbered && (stamps.len() != count || counts.seen != count as u64) {
        bail!("{} of {count} frames arrived: which are missing is not known", counts.seen);
    }
    measure(&made.due_ns, &stamps).context("no frame arrived")
}

/// Compares arrival with intention; `None` without two frames.
fn measure(due_ns: &[i64], stamps: &[(u32, i64)]) -> Option<Run> {
    let due = |number: u32| due_ns.get(number as usize).copied();
    let mut errors = Vec::with_capacity(stamps.len());
    for pair in stamps.windows(2) {
        let [(a, from), (b, to)] = [pair[0], pair[1]];
        // a frame that is missing leaves no gap to judge
        if a.checked_add(1) != Some(b) {
            continue;
        }
        errors.push(((to - from) - (due(b)? - due(a)?)).unsigned_abs());
    }
    if errors.is_empty() {
        return None;
    }
    errors.sort_unstable();
    let us = |percent| percentile(&errors, percent) as f64 / 1e3;
    let ((first, from), (last, to)) = (*stamps.first()?, *stamps.last()?);
    let last_off = ((to - from) - (due(last)? - due(first)?)).unsigned_abs() as f64 / 1e3;
    let lost = (due_ns.len() - stamps.len()) as u64;
    Some(Run { p50: us(50.0), p99: us(99.0), p999: us(99.9), max: us(100.0), last_off, lost })
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // of whole microseconds
mod tests {
    use super::*;

    #[test]
    fn gaps_are_judged_between_neighbours_and_the_end_against_the_beginning() {
        let due = frames::even(5, 10_000);
        // frame 2 is missing; frame 1 is 3 us late, frame 4 comes 5 us early
        let stamps = [(0, 1_000), (1, 14_000), (3, 31_000), (4, 36_000)];
        let run = measure(&due, &stamps).unwrap();
        assert_eq!((run.p50, run.max, run.last_off, run.lost), (5.0, 5.0, 5.0, 1));
        let exact: Vec<(u32, i64)> = due.iter().enumerate().map(|(n, t)| (n as u32, *t)).collect();
        let run = measure(&due, &exact).unwrap();
        assert_eq!((run.p50, run.p999, run.last_off, run.lost), (0.0, 0.0, 0.0, 0));
        assert!(measure(&due, &exact[..1]).is_none());
    }
}
