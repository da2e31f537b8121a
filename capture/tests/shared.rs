//! The reference captures beside the workspace, compared with what tshark read from them.
//! Skipped, and said so, where they are not.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test file as a whole")]

mod common;

use std::collections::HashMap;
use std::io::Read as _;

use capture::{Error, Problem, Reader};

use common::{SHARED_SKIPPED, shared};

/// Frames and how the file ended.
struct Walk {
    frames: Vec<(u32, u32, Option<i64>)>,
    error: Option<Error>,
}

fn walk(path: &std::path::Path) -> Walk {
    let mut frames = Vec::new();
    let mut reader = match Reader::open(path) {
        Ok(reader) => reader,
        Err(error) => return Walk { frames, error: Some(error) },
    };
    loop {
        match reader.next() {
            Ok(Some(frame)) => {
                assert_eq!(frame.data.len(), frame.meta.caplen as usize);
                assert_eq!(frame.meta.number, frames.len() as u64 + 1);
                frames.push((frame.meta.caplen, frame.meta.origlen, frame.meta.time_ns));
            }
            Ok(None) => return Walk { frames, error: None },
            Err(error) => return Walk { frames, error: Some(error) },
        }
    }
}

fn walk_batched(path: &std::path::Path) -> Walk {
    let mut frames = Vec::new();
    let mut reader = match Reader::open(path) {
        Ok(reader) => reader,
        Err(error) => return Walk { frames, error: Some(error) },
    };
    loop {
        match reader.next_batch() {
            Ok(Some(batch)) => {
                assert_eq!(batch.number_first(), frames.len() as u64 + 1);
                for (index, record) in batch.records().iter().enumerate() {
                    let frame = batch.frame(index).expect("index is of a record");
                    assert_eq!(frame.data, batch.data(record));
                    frames.push((frame.meta.caplen, frame.meta.origlen, frame.meta.time_ns));
                }
            }
            Ok(None) => return Walk { frames, error: None },
            Err(error) => return Walk { frames, error: Some(error) },
        }
    }
}

/// Files that tshark 4.0 refuses as a whole for their link type (182 MFR, 281 Broadcom tag,
/// 284 DSA, 285 EDSA, and 132 Juniper with reserved bits set); the counts are those of `tcpdump --count`.
const MORE_THAN_TSHARK: &[(&str, usize)] = &[
    ("libpcap__brcm-tag-stp.pcap", 4),
    ("tcpdump__brcm-tag.pcap", 23),
    ("tcpdump__edsa-high-vid.pcap", 4),
    ("tcpdump__edsa.pcap", 10),
    ("tcpdump__frf16_magic_ie-oobr.pcap", 1),
    ("tcpdump__hoobr_juniper3.pcap", 1),
    ("tcpdump__juniper_es_oobr.pcap", 1),
    ("tcpdump__kday6.pcap", 1),
    ("tcpdump__tests-dsa.pcap", 8),
];

/// Frames whose lengths or time tshark changes: it takes SunATM's 4-byte pseudo-header off the
/// frame, and this record states more than 4,294 s of microseconds, which tshark's 32-bit
/// nanoseconds do not hold (`tcpdump -tt` prints the field unchanged).
const CHANGED_BY_TSHARK: &[(&str, u64)] = &[("tcpdump__atm-oam-loopback-print-overrun.pcap", 1)];

#[test]
fn every_file_gives_the_frames_tshark_counts() {
    let Some(dir) = shared() else { return println!("{SHARED_SKIPPED}") };
    let summary = std::fs::read_to_string(dir.join("truth/SUMMARY.tsv")).unwrap();
    let more: HashMap<_, _> = MORE_THAN_TSHARK.iter().copied().collect();
    let mut differences = Vec::new();
    let mut files = 0;
    for line in summary.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let (name, expected) = (columns[0], columns[3].parse::<usize>().unwrap());
        let expected = expected + more.get(name).copied().unwrap_or(0);
        let path = dir.join("pcaps").join(name);
        let (single, batched) = (walk(&path), walk_batched(&path));
        assert_eq!(single.frames, batched.frames, "{name}: batches give other frames");
        assert_eq!(
            single.error.as_ref().map(ToString::to_string),
            batched.error.as_ref().map(ToString::to_string),
            "{name}"
        );
        if single.frames.len() != expected {
            differences.push((name.to_owned(), expected, single.frames.len()));
        }
        if let Some(error) = &single.error {
            println!("{name}: {} frames, then {error}", single.frames.len());
        }
        files += 1;
    }
    assert!(files > 200, "only {files} files in the summary");
    assert!(differences.is_empty(), "(file, expected, got): {differences:#?}");
}

/// Seconds and nanoseconds as tshark prints them.
fn nanoseconds(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.')?;
    let ns = seconds.parse::<i64>().ok()?.checked_mul(1_000_000_000)?;
    let fraction: i64 = fraction.parse().ok()?;
    Some(if seconds.starts_with('-') { ns - fraction } else { ns + fraction })
}

#[test]
fn lengths_and_times_equal_tsharks() {
    let Some(dir) = shared() else { return println!("{SHARED_SKIPPED}") };
    let (mut compared, mut differences) = (0u64, Vec::new());
    for entry in std::fs::read_dir(dir.join("truth/packets")).unwrap() {
        let truth = entry.unwrap().path();
        let name = truth.file_name().unwrap().to_str().unwrap().trim_end_matches(".tsv.gz");
        let mut text = String::new();
        let packed = std::fs::File::open(&truth).unwrap();
        flate2::read::MultiGzDecoder::new(packed).read_to_string(&mut text).unwrap();
        let ours = walk(&dir.join("pcaps").join(name));
        for ((line, frame), number) in text.lines().skip(1).zip(&ours.frames).zip(1..) {
            if CHANGED_BY_TSHARK.contains(&(name, number)) {
                continue;
            }
            let columns: Vec<&str> = line.split('\t').collect();
            let time = nanoseconds(columns[1]);
            let (len, cap_len) = (columns[2].parse().unwrap(), columns[3].parse().unwrap());
            compared += 1;
            // tshark prints 0 for a frame without a time
            let same_time = time == frame.2 || (frame.2.is_none() && time.unwrap_or(0) == 0);
            if (frame.0, frame.1) != (cap_len, len) || !same_time {
                differences.push(format!("{name} {}: {frame:?}", &line[..line.len().min(60)]));
            }
        }
    }
    println!("{compared} frames compared");
    assert!(compared > 40_000);
    assert!(differences.is_empty(), "{} differ: {:#?}", differences.len(), differences);
}

#[test]
fn damage_says_where_and_what() {
    let Some(dir) = shared() else { return println!("{SHARED_SKIPPED}") };
    let cut = walk(&dir.join("pcaps/brimcap__extra.pcapng"));
    let Some(Error::Damage { damage, .. }) = cut.error else { panic!("{:?}", cut.error) };
    assert!(matches!(damage.problem, Problem::Cut { .. }), "{damage}");
    let version = walk(&dir.join("pcaps/libpcap__pcapng-invalid-vers-1.pcapng"));
    let Some(Error::Damage { damage, .. }) = version.error else { panic!("{:?}", version.error) };
    assert!(matches!(damage.problem, Problem::Version { major: 0, minor: 1 }), "{damage}");
}
