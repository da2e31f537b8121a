use std::io::Write;

use capture::write::PcapWriter;
use skb::LinkType;

use super::*;
use crate::prepare::{PortMap, PortSpec, Truncated};

fn options(rounds: u64, preload_max: usize) -> FeedOptions {
    let prepare = PrepareOptions {
        ports: vec![PortSpec { mtu: 1500 }],
        map: PortMap::All,
        truncated: Truncated::Skip,
        resegment: false,
        seed: None,
        rewrite: crate::rewrite::RewriteOptions::default(),
    };
    FeedOptions { prepare, rounds, preload_max }
}

/// A capture of numbered frames; every second batch of them is too long to be sent.
fn capture(name: &str, frames: u32) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("framewalk-feed-{}-{name}", std::process::id()));
    let mut writer = PcapWriter::new(Vec::new(), LinkType::ETHERNET, 0, None).unwrap();
    for i in 0..frames {
        let len = if i / 2048 % 2 == 1 { 2000 } else { 60 };
        let mut frame = vec![0; len];
        frame[..4].copy_from_slice(&i.to_be_bytes());
        writer.write_frame(i64::from(i), len as u32, &frame).unwrap();
    }
    let mut file = capture::write::create(&path).unwrap();
    file.write_all(&writer.finish().unwrap()).unwrap();
    path
}

/// The numbers of the frames, and a `None` for each new round.
fn take(feed: &mut Feed, most: usize) -> Vec<Option<u32>> {
    let (stop, mut out) = (AtomicBool::new(false), Vec::new());
    while out.len() < most {
        match feed.next(&stop) {
            Next::Frames(chunk) => out.extend(chunk.frames().map(|(_, bytes)| {
                Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            })),
            Next::Round => out.push(None),
            Next::End => break,
        }
    }
    out
}

fn expected(frames: u32, rounds: usize) -> Vec<Option<u32>> {
    let round: Vec<_> = (0..frames).filter(|i| i / 2048 % 2 == 0).map(Some).collect();
    vec![round; rounds].join(&None)
}

#[test]
fn from_memory_and_from_a_thread_come_the_same_frames() {
    let frames = 300_000;
    let path = capture("same", frames);
    for rounds in [1, 3] {
        for (preload_max, loaded) in [(usize::MAX, true), (1000, false)] {
            let mut feed = Feed::open(&path, options(rounds, preload_max), |_| {}).unwrap();
            assert_eq!(feed.is_loaded(), loaded);
            let got = take(&mut feed, usize::MAX);
            assert!(got == expected(frames, rounds as usize), "{} frames", got.len());
            let prepared = feed.finish().prepared;
            let skipped = u64::from((0..frames).filter(|i| i / 2048 % 2 == 1).count() as u32);
            assert_eq!(prepared.read, u64::from(frames), "each frame is counted once");
            assert_eq!(prepared.skipped_total(), skipped);
        }
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_thread_that_is_ahead_ends_with_its_sender() {
    let path = capture("ahead", 200_000);
    let mut feed = Feed::open(&path, options(0, 1000), |_| {}).unwrap();
    assert_eq!(take(&mut feed, 500).len().min(500), 500);
    let outcome = feed.finish();
    assert!(outcome.damage.is_none() && outcome.prepared.read > 0);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn frames_before_a_damage_come_once_and_then_the_end() {
    let path = capture("damaged", 1000);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(24 + 500 * 76 + 30).unwrap();
    for preload_max in [usize::MAX, 1000] {
        let mut feed = Feed::open(&path, options(3, preload_max), |_| {}).unwrap();
        assert_eq!(take(&mut feed, usize::MAX).len(), 500);
        let damage = feed.finish().damage.unwrap();
        assert!(damage.to_string().contains("byte 38024"), "{damage}");
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn no_frames_are_no_endless_loop() {
    let path = capture("none", 0);
    for preload_max in [usize::MAX, 1] {
        let mut feed = Feed::open(&path, options(0, preload_max), |_| {}).unwrap();
        assert_eq!(take(&mut feed, usize::MAX), [None; 0]);
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn each_round_has_fresh_addresses_if_they_are_wanted() {
    use testkit::build::{eth, ip4_udp};
    let path = std::env::temp_dir().join(format!("framewalk-fresh-{}.pcap", std::process::id()));
    let frame = eth(0x0800, &ip4_udp(1, 2, b"x"));
    std::fs::write(
        &path,
        testkit::build::pcap(skb::LinkType::ETHERNET, std::slice::from_ref(&frame)),
    )
    .unwrap();
    let mut options = options(3, 1 << 20);
    options.prepare.rewrite.fresh = true;
    let mut feed = Feed::open(&path, options, |_| {}).unwrap();
    assert!(!feed.is_loaded());
    let (mut sent, stop) = (Vec::new(), AtomicBool::new(false));
    loop {
        match feed.next(&stop) {
            Next::Frames(chunk) => sent.extend(chunk.frames().map(|(_, bytes)| bytes.to_vec())),
            Next::Round => {}
            Next::End => break,
        }
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!((sent.len(), &sent[0]), (3, &frame));
    assert!(sent[0] != sent[1] && sent[1] != sent[2] && sent[0] != sent[2]);
    assert_eq!(feed.finish().prepared.read, 1, "the file's frames, each once");
}
