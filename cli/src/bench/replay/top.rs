//! As fast as it goes: frames that the far interface itself counted, in a stretch of time that
//! begins when everything is warm.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::bail;
use benches::{Row, Spread};

use super::super::net::frames;
use super::super::net::peers::Peer;
use super::super::net::tool::{Running, words};
use super::super::net::{each_in_turn, load, rows as net_rows};
use super::Bench;

/// Frames of the file that is sent again and again.
const FRAMES: usize = 2000;
/// Frames a second that a file holds for a program that sends it once only.
const ONCE_PPS: f64 = 600_000.0;
/// Longest that a program may take before its first frame.
const BEGIN: Duration = Duration::from_secs(15);

/// A program and what it did.
struct Case {
    name: Option<String>,
    command: Vec<OsString>,
    mpps: Vec<f64>,
}

/// Frames of `len` bytes (without FCS).
pub(super) fn rows(bench: &Bench<'_>, len: usize) -> anyhow::Result<Vec<Row>> {
    let load = load();
    let mut cases = cases(bench, len)?;
    for round in 0..bench.runs {
        each_in_turn(round, &mut cases, |case| {
            case.mpps.push(rate(bench, &case.command)?);
            Ok(())
        })?;
    }
    let median = |peer: &str| {
        let found = cases.iter().find(|c| c.name.as_ref().is_some_and(|n| n.starts_with(peer)));
        found.map(|case| Spread::new(case.mpps.clone()).median()).filter(|m| *m > 0.0)
    };
    let tcpreplay = median("tcpreplay");
    let of = cases.into_iter().map(|case| {
        let mpps = Spread::new(case.mpps.clone()).median();
        let mut extra = vec![("gbit_s", format!("{:.3}", mpps * len as f64 * 8.0 / 1e3))];
        if let (None, Some(theirs)) = (&case.name, tcpreplay) {
            extra.push(("times_tcpreplay", format!("{:.2}", mpps / theirs)));
        }
        extra.push(("load_1min", load.clone()));
        (case.name, case.mpps, extra)
    });
    Ok(net_rows("replay", &format!("top speed {len}B"), "mpps", of, None))
}

fn cases(bench: &Bench<'_>, len: usize) -> anyhow::Result<Vec<Case>> {
    let file = bench.lab.in_memory("top.pcap");
    frames::write(&file, len, frames::even(FRAMES, 10_000))?;
    let near = &bench.lab.near.name;
    // longer than needed: it is stopped when the rate is known
    let seconds_max = (bench.warm_up.as_secs_f64() + bench.seconds).ceil() + 30.0;
    let seconds = seconds_max.to_string();
    let ours = words(&[
        &bench.me,
        &"replay",
        &file,
        &"-i",
        near,
        &"--topspeed",
        &"--loop",
        &"0",
        &"--seconds",
        &seconds,
        &"--json",
        &"-q",
    ]);
    let mut cases = vec![Case { name: None, command: ours, mpps: Vec::new() }];
    for (peer, name) in &bench.peers {
        let command = match peer {
            Peer::Tcpreplay => words(&[
                &"tcpreplay",
                &"-i",
                near,
                &"-K",
                &"-t",
                &"--no-flow-stats",
                &"--loop",
                &"0",
                &"--duration",
                &seconds,
                &file,
            ]),
            Peer::Trafgen => {
                let config = trafgen_config(bench, len)?;
                let frames = (seconds_max * 1e6).to_string();
                words(&[
                    &"trafgen", &"-o", near, &"-i", &config, &"-P", &"1", &"-Q", &"-n", &frames,
                ])
            }
            // sends a file once: one long enough has only short frames
            Peer::NetsniffNg if len <= 64 => {
                let all = (bench.warm_up.as_secs_f64() * 2.0 + bench.seconds) * ONCE_PPS;
                let once = bench.lab.in_memory("once.pcap");
                frames::write(&once, len, frames::even(all as usize, 1000))?;
                words(&[
                    &"netsniff-ng",
                    &"--in",
                    &once,
                    &"--out",
                    near,
                    &"-s",
                    &"-m",
                    &"-Q",
                    &"-S",
                    &"8MiB",
                ])
            }
            _ => continue,
        };
        cases.push(Case { name: Some(name.clone()), command, mpps: Vec::new() });
    }
    Ok(cases)
}

/// The same frame in trafgen's words.
fn trafgen_config(bench: &Bench<'_>, len: usize) -> anyhow::Result<PathBuf> {
    let path = bench.lab.in_memory("trafgen.cfg");
    let bytes: Vec<String> = frames::frame(len, 0).iter().map(|b| format!("{b:#04x}")).collect();
    std::fs::write(&path, format!("{{ {} }}\n", bytes.join(", ")))?;
    Ok(path)
}

/// Starts a sender and takes the rate at the far end, in millions of frames a second.
fn rate(bench: &Bench<'_>, command: &[OsString]) -> anyhow::Result<f64> {
    let before = bench.lab.arrived()?.rx_packets;
    let sender = Running::start(bench.lab, bench.lab.sender_core, command)?;
    let started = Instant::now();
    while bench.lab.arrived()?.rx_packets < before + 1000 {
        bench.stop.check()?;
        if !sender.is_running() || started.elapsed() > BEGIN {
            bail!("{} sent nothing: {}", program(command), sender.said());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    bench.stop.sleep(bench.warm_up)?;
    let (start, first) = (Instant::now(), bench.lab.arrived()?.rx_packets);
    bench.stop.sleep(Duration::from_secs_f64(bench.seconds))?;
    let (last, took) = (bench.lab.arrived()?.rx_packets, start.elapsed());
    if !sender.is_running() {
        bail!("{} ended before it was told to: {}", program(command), sender.said());
    }
    sender.be_gone();
    Ok((last - first) as f64 / took.as_secs_f64() / 1e6)
}

fn program(command: &[OsString]) -> String {
    let name = command.first().map(Path::new).and_then(Path::file_name).unwrap_or_default();
    name.to_string_lossy().into_owned()
}
