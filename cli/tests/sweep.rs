//! Captures cut and with bytes flipped, the whole way: `inspect --json` and `walk`, in this
//! process. The frames before a cut give what they give in the whole file, the ledger balances,
//! nothing is held, nothing hangs and memory stays flat.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test fails by panicking

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use capture::{Reader, Source};
use framewalk::cli::{Cli, Command};
use framewalk::inspect::{select::Selector, stream};
use framewalk::term::Progress;
use framewalk::walk::plan::{self, Plan, SwitchKind};
use framewalk::walk::who::{Question, decide_on_stream};
use framewalk::walk::{Args, run};
use skb::PoolConfig;
use skb::trace::NoTrace;

/// Longest time one input may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Resident memory of this process at its highest, in KiB. The largest of the inputs and its JSON
/// are part of it; were a pool or a table kept per input, thousands of inputs would show.
const PEAK_KIB_MAX: u64 = 512 * 1024;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The captures of a folder with their names; none, and says so, if it is not there.
fn captures(folder: &str) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(root().join(folder)) else {
        println!("skipped: {folder} is not there");
        return Vec::new();
    };
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
        ["pcap", "pcapng", "cap"].contains(&extension)
    });
    files.sort();
    let named = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (named(path), fs::read(path).unwrap())).collect()
}

/// What `inspect --json` prints, and whether the file was damaged.
fn inspect(bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let source = Source::from_bytes("test", bytes.to_vec()).unwrap();
    let Ok(mut reader) = Reader::new(source) else { return (out, true) };
    let mut selector = Selector::new(None, &reader).unwrap();
    let progress = Progress::new("", None, true);
    let result = stream::json(&mut reader, &mut selector, None, progress, &mut out);
    (out, result.is_err())
}

/// What `walk` counts at the wire. `None`: the file has no header that can be read.
fn walk(bytes: &[u8]) -> Option<u64> {
    let source = Source::from_bytes("test", bytes.to_vec()).unwrap();
    let question = Question { named: Vec::new(), frame: None };
    let (who, source) = decide_on_stream(source, &question).ok()?;
    let plan = Plan {
        guests: who.guests.iter().map(|guest| guest.mac).collect(),
        live: Vec::new(),
        switch: SwitchKind::External,
        gro: bytes.len().is_multiple_of(2),
        budget: 64,
    };
    // few buffers: making them would take longer than the walk, and running out is tried as well
    let pool = PoolConfig { slots: 8, blocks: 2, ..plan::POOL };
    let mut engine = plan.build_in(pool, source, NoTrace).unwrap();
    run::to_the_end(&mut engine, &mut Progress::new("", None, true));
    let ledger = engine.ledger();
    ledger.check().unwrap();
    assert_eq!(ledger.held, 0, "frames are still held at the end");
    Some(ledger.frames_in)
}

fn lines(json: &[u8]) -> u64 {
    json.split_inclusive(|byte| *byte == b'\n').count() as u64
}

/// Peak resident memory of this process, where the kernel tells it.
fn peak_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn timed<T>(name: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    let took = start.elapsed();
    assert!(took < PATIENCE, "{name} took {took:?}");
    result
}

/// Cuts at every `step`-th byte. Returns how many inputs that made.
fn cut(name: &str, file: &[u8], step: usize) -> u64 {
    let (whole, _) = inspect(file);
    let mut inputs = 0;
    for len in (0..file.len()).step_by(step) {
        let name = format!("{name} cut at {len}");
        let (json, _) = timed(&name, || inspect(&file[..len]));
        assert!(whole.starts_with(&json), "{name}: not what the whole file gives");
        assert!(json.is_empty() || json.ends_with(b"\n"), "{name}: half a line");
        let walked = timed(&name, || walk(&file[..len]));
        assert_eq!(walked.unwrap_or(0), lines(&json), "{name}");
        inputs += 1;
    }
    inputs
}

/// Flips one byte at every `step`-th place. Returns how many inputs that made.
fn flip(name: &str, file: &[u8], step: usize) -> u64 {
    let mut bytes = file.to_vec();
    let mut inputs = 0;
    for (at, mask) in (0..file.len()).step_by(step).zip([0xff, 0x01, 0x80].iter().cycle()) {
        let name = format!("{name} with byte {at} ^ {mask:#x}");
        bytes[at] ^= mask;
        let (json, _) = timed(&name, || inspect(&bytes));
        let walked = timed(&name, || walk(&bytes));
        assert_eq!(walked.unwrap_or(0), lines(&json), "{name}");
        if let Some(last) = json.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()) {
            serde_json::from_slice::<serde_json::Value>(last).expect(&name);
        }
        bytes[at] ^= mask;
        inputs += 1;
    }
    inputs
}

fn assert_flat() {
    let Some(peak) = peak_kib() else { return };
    println!("peak memory: {peak} KiB");
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
}

#[test]
fn the_sweep_walks_as_the_command_does() {
    // the plan of the sweep is the command's own default
    use clap::Parser;
    let cli = Cli::parse_from(["framewalk", "walk", "x"]);
    let Command::Walk(Args { switch_type, gro, .. }) = cli.command else { unreachable!() };
    assert_eq!((switch_type, gro), (SwitchKind::External, false));
}

#[test]
fn captures_of_ours_cut_and_flipped() {
    for (name, file) in captures("pcaps") {
        cut(&name, &file, (file.len() / 12).max(97));
        flip(&name, &file, (file.len() / 12).max(97));
    }
    assert_flat();
}

#[test]
fn shared_captures_cut_and_flipped() {
    for (name, file) in captures("../shared/pcaps") {
        cut(&name, &file, file.len() / 3 + 1);
        flip(&name, &file[..file.len().min(64 * 1024)], file.len().min(64 * 1024) / 3 + 1);
    }
}

#[test]
#[ignore = "nightly: every 97th byte of every capture, about ten minutes with --release"]
fn nightly_every_cut_is_inspected_and_walked() {
    let mut inputs = 0;
    for (name, file) in captures("pcaps").iter().chain(&captures("../shared/pcaps")) {
        inputs += cut(name, file, 97);
    }
    println!("sweep: {inputs} cut files");
    assert_flat();
}

#[test]
#[ignore = "nightly: every 97th byte of every capture, about ten minutes with --release"]
fn nightly_every_flip_is_inspected_and_walked() {
    let mut inputs = 0;
    for (name, file) in captures("pcaps").iter().chain(&captures("../shared/pcaps")) {
        // a part of the long ones: what is done with a frame does not hang on how many come after
        inputs += flip(name, &file[..file.len().min(256 * 1024)], 97);
    }
    println!("sweep: {inputs} files with a byte flipped");
    assert_flat();
}
