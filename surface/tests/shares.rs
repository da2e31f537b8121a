//! Two threads tell what one tells; what is over is given out while time goes on.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use capture::{Reader, Source};
use etherparse::PacketBuilder;
use skb::LinkType;
use surface::{Analyzer, Counts, FlowRecord, Limits, NameKey, Told};

fn analyzer(limits: Limits) -> Analyzer {
    Analyzer::new(limits).with_name_key(NameKey::new([7; 32]))
}

/// What an analysis comes to: conversations, findings, services and the rest, as text.
struct Whole {
    flows: Vec<String>,
    site: String,
    counts: Counts,
}

fn whole(analyzer: &Analyzer, mut flows: Vec<FlowRecord>) -> Whole {
    flows.sort_by_key(|flow| (flow.first_frame, flow.src, flow.src_port));
    let site = analyzer.site();
    let site = format!(
        "{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}",
        site.health(),
        site.findings(),
        site.services(),
        site.hosts(),
        site.forwards()
    );
    let flows = flows.iter().map(|flow| format!("{flow:?}")).collect();
    Whole { flows, site, counts: analyzer.counts() }
}

fn by_one(file: &Path, limits: Limits) -> Option<Whole> {
    let mut reader = Reader::open(file).ok()?;
    let mut analyzer = analyzer(limits);
    while let Ok(Some(batch)) = reader.next_batch() {
        analyzer.batch(&batch);
    }
    let flows = analyzer.finish();
    Some(whole(&analyzer, flows))
}

fn by_two(file: &Path, limits: Limits) -> Option<Whole> {
    let mut reader = Reader::open(file).ok()?;
    let mut analyzer = analyzer(limits);
    let mut share = analyzer.split();
    let mut told = Told::default();
    let mut flows = Vec::new();
    while let Ok(Some(batch)) = reader.next_batch() {
        told = share.batch(&batch, told);
        told = analyzer.batch_with(&batch, told);
        flows.extend(analyzer.ended());
    }
    let (told, counts) = share.finish();
    analyzer.finish_with(told, counts, |flow| flows.push(flow));
    Some(whole(&analyzer, flows))
}

/// The project's captures, and those beside it if they are there.
fn captures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for dir in ["../pcaps", "../../shared/pcaps"] {
        match std::fs::read_dir(root.join(dir)) {
            Ok(entries) => all.extend(entries.flatten().map(|entry| entry.path())),
            Err(_) => println!("skipped: no {dir} beside the project"),
        }
    }
    all.sort();
    all
}

/// Whether no frame is a second older than one before it.
fn in_order(file: &Path) -> bool {
    let mut reader = Reader::open(file).unwrap();
    let mut latest = i64::MIN;
    while let Ok(Some(batch)) = reader.next_batch() {
        for record in batch.records() {
            if record.time_ns < latest.saturating_sub(1_000_000_000) {
                return false;
            }
            latest = latest.max(record.time_ns);
        }
    }
    true
}

#[test]
fn two_shares_tell_what_one_analysis_tells() {
    let mut conversations = 0;
    for file in captures() {
        let limits = Limits::default();
        let (Some(one), Some(two)) = (by_one(&file, limits), by_two(&file, limits)) else {
            continue;
        };
        assert_eq!(one.counts.frames, two.counts.frames, "{}", file.display());
        conversations += one.flows.len();
        // where the clock jumps, what is over depends on who looks when
        if !in_order(&file) {
            continue;
        }
        assert_eq!(one.flows.len(), two.flows.len(), "{}", file.display());
        for (a, b) in one.flows.iter().zip(&two.flows) {
            assert_eq!(a, b, "{}", file.display());
        }
        for (n, (a, b)) in one.site.lines().zip(two.site.lines()).enumerate() {
            let before: Vec<_> = one.site.lines().skip(n.saturating_sub(20)).take(20).collect();
            assert_eq!(a, b, "{}, behind {before:#?}", file.display());
        }
        assert_eq!(one.counts, two.counts, "{}", file.display());
    }
    assert!(conversations > 500, "{conversations} conversations are too few to tell");
}

#[test]
fn two_shares_keep_within_the_limits_and_lose_nothing() {
    let limits = Limits { flows_max: 8, inspected_bytes_max: 4096 };
    for file in captures() {
        let Some(two) = by_two(&file, limits) else { continue };
        let counts = two.counts;
        let told = counts.in_flows + counts.fragments + counts.not_ip + counts.malformed;
        assert_eq!(counts.frames, told, "{}", file.display());
    }
}

/// A datagram from a port of one end, at so many seconds.
fn datagrams(all: &[(u16, u32)]) -> Vec<u8> {
    let frames: Vec<_> = all
        .iter()
        .map(|&(port, _)| {
            let mut frame = Vec::new();
            PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
                .ipv4([192, 168, 1, 20], [192, 168, 1, 10], 64)
                .udp(port, 9)
                .write(&mut frame, &[0; 8])
                .unwrap();
            frame
        })
        .collect();
    let mut bytes = testkit::build::pcap(LinkType::ETHERNET, &frames);
    let mut at = 24;
    for (frame, &(_, seconds)) in frames.iter().zip(all) {
        bytes[at..at + 4].copy_from_slice(&seconds.to_le_bytes());
        at += 16 + frame.len();
    }
    bytes
}

#[test]
fn what_has_been_silent_for_long_is_given_out_before_the_end() {
    // one datagram, then another conversation goes on for six minutes
    let mut all = vec![(1000, 1_700_000_000)];
    all.extend((0..36).map(|n| (2000, 1_700_000_000 + n * 10)));
    let source = Source::from_bytes("frames", datagrams(&all)).unwrap();
    let mut reader = Reader::new(source).unwrap();
    let mut analyzer = analyzer(Limits::default());
    while let Some(batch) = reader.next_batch().unwrap() {
        analyzer.batch(&batch);
    }
    let ended: Vec<_> = analyzer.ended().map(|flow| flow.src_port).collect();
    assert_eq!(ended, [1000]);
    let open = analyzer.finish();
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].src_port, open[0].opener_sent.frames), (2000, 36));
}
