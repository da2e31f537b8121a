//! Streams between two hosts on a segment: a cable in a network namespace of the test's own.
//!
//! `sudo -E env "PATH=$PATH" cargo test -p framewalk-pipeline --test wire -- --ignored`
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // clippy.toml covers #[test] only

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use framewalk_pipeline::guest::{Pattern, Stream, StreamDigest};
use framewalk_pipeline::nic::link;
use framewalk_pipeline::nic::packet::{Config, Direction, PacketRx};
use framewalk_pipeline::nic::tx::{self, Method};
use framewalk_pipeline::stream::wire::{GUEST, WireConfig, engine};
use framewalk_pipeline::stream::{PathReport, PathStream, Pump};
use framewalk_pipeline::vswitch::fdb::HashKey;

const PATIENCE: Duration = Duration::from_secs(20);

fn pump(interface: &str, address: &str, change: impl FnOnce(&mut WireConfig)) -> Pump {
    let mut config = WireConfig::new(interface, address.parse().unwrap());
    change(&mut config);
    Pump::start(engine(&config, "a test", HashKey::new([3, 4])).unwrap(), 256 << 10).unwrap()
}

fn write_pattern(mut stream: &PathStream, seed: u64, bytes: u64) {
    let mut buffer = vec![0; 50_000];
    let mut at = 0;
    while at < bytes {
        let len = ((bytes - at) as usize).min(buffer.len());
        Pattern::new(seed).fill(at, &mut buffer[..len]);
        stream.write_all(&buffer[..len]).unwrap();
        at += len as u64;
    }
    stream.shutdown(Shutdown::Write);
}

fn read_digest(mut stream: &PathStream) -> (u64, u64) {
    let (mut digest, mut bytes, mut room) = (StreamDigest::default(), 0, vec![0; 70_000]);
    loop {
        match stream.read(&mut room).unwrap() {
            0 => return (bytes, digest.value()),
            read => {
                digest.update(&room[..read]);
                bytes += read as u64;
            }
        }
    }
}

fn expected(seed: u64, bytes: u64) -> (u64, u64) {
    (bytes, Stream { bytes, seed }.digest())
}

/// Streams both ways at once over an open connection; what both ends have done.
fn both_ways(left: Pump, right: Pump, to: &str, bytes: u64) -> [PathReport; 2] {
    let listener = right.listen(GUEST, 9, 2).unwrap();
    let remote: SocketAddr = to.parse().unwrap();
    let near = left.connect(GUEST, remote, PATIENCE).unwrap();
    let far = listener.accept(Some(PATIENCE)).unwrap().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| write_pattern(&near, 1, bytes));
        scope.spawn(|| write_pattern(&far, 2, bytes / 3));
        let at_near = scope.spawn(|| read_digest(&near));
        assert_eq!(read_digest(&far), expected(1, bytes));
        assert_eq!(at_near.join().unwrap(), expected(2, bytes / 3));
    });
    drop((near, far));
    let reports = [left, right].map(|pump| pump.stop(Duration::from_secs(2)).unwrap());
    for report in &reports {
        report.ledger.check().unwrap();
        assert_eq!((report.ledger.held, report.host_edges), (0, 1), "{report:?}");
        assert!(report.ledger.frames_in > 100 && report.ledger.originated > 100);
    }
    reports
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_two_hosts_on_a_segment_stream_both_ways_without_the_kernels_stack() {
    let lab = testkit::net::Lab::new();
    for (at, mtu, method) in [(0, 1500, None), (1, 1500, Some(Method::Sendmmsg)), (2, 9000, None)] {
        let (a, b) = (format!("left{at}"), format!("right{at}"));
        lab.cable(&a, &b, mtu);
        let left = pump(&a, "10.77.0.1/24", |config| config.method = method);
        let right = pump(&b, "10.77.0.2/24", |config| config.method = method);
        let reports = both_ways(left, right, "10.77.0.2:9", 20_000_003);
        // by itself every segment crosses the wire; with segmentation offload a veth passes on
        // super-frames whole
        let segments = 20_000_003 / u64::from(mtu - 40);
        let whole = method.is_none();
        for (frames, ledger) in [
            (reports[0].ledger.originated, &reports[0].ledger),
            (reports[1].ledger.frames_in, &reports[1].ledger),
        ] {
            assert_eq!(frames < segments, whole, "{frames} of {segments}: {ledger:?}");
        }
    }
    // IPv6, found by neighbour solicitation
    let left = pump("left0", "fd77::1/64", |_| {});
    let right = pump("right0", "fd77::2/64", |config| config.mtu = Some(1400));
    both_ways(left, right, "[fd77::2]:9", 3_000_000);
}

/// Carries frames from one device to another and treats them badly: some are lost, some come twice,
/// some after later ones, some damaged; how many of each. By a seed, so that a run can be repeated
/// as far as threads allow.
fn bad_wire(from: &str, to: &str, seed: u64, over: &AtomicBool) -> [u64; 4] {
    let config = Config { retire: Duration::from_millis(1), ..Config::default() };
    let mut rx = PacketRx::open(from, &config).unwrap();
    let mut tx = tx::open(&link::by_name(to).unwrap(), Some(Method::Sendmmsg)).unwrap();
    let (mut counts, mut late, mut number) = ([0; 4], Vec::new(), 0_u64);
    while !over.load(Ordering::Relaxed) {
        rx.poll(Duration::from_millis(10)).unwrap();
        let mut frames: Vec<Vec<u8>> = Vec::new();
        rx.read(|frame| {
            // what this thread sends there itself, for the other way
            if frame.direction == Direction::Sent {
                return;
            }
            let mut bytes = frame.data.to_vec();
            let mut draw = [0; 8];
            Pattern::new(seed).fill(number * 8, &mut draw);
            number += 1;
            match u16::from_le_bytes([draw[6], draw[7]]) {
                0..200 => counts[0] += 1,
                200..500 => {
                    counts[1] += 1;
                    frames.extend([bytes.clone(), bytes]);
                }
                500..900 => {
                    counts[2] += 1;
                    late.push(bytes);
                }
                900..1100 => {
                    counts[3] += 1;
                    let at = usize::from(draw[1]) * bytes.len() / 256;
                    bytes[at] ^= 1 << (draw[2] % 8);
                    frames.push(bytes);
                }
                _ => frames.push(bytes),
            }
        });
        frames.append(&mut late);
        for frame in &frames {
            tx.send(&[frame]);
        }
    }
    counts
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_a_stream_survives_loss_doubles_reordering_and_damage() {
    let lab = testkit::net::Lab::new();
    lab.cable("left", "right", 1500);
    lab.cable("left-far", "right-far", 1500);
    let over = AtomicBool::new(false);
    let [there, back] = std::thread::scope(|scope| {
        let bad = |from, to, seed| {
            let over = &over;
            scope.spawn(move || bad_wire(from, to, seed, over))
        };
        let ways = [bad("right", "left-far", 1), bad("left-far", "right", 2)];
        // whole frames: what carries them sends nothing longer
        let plain = |config: &mut WireConfig| config.method = Some(Method::Sendmmsg);
        let left = pump("left", "10.77.0.1/24", plain);
        let right = pump("right-far", "10.77.0.2/24", plain);
        both_ways(left, right, "10.77.0.2:9", 1_200_000);
        over.store(true, Ordering::Relaxed);
        ways.map(|way| way.join().unwrap())
    });
    for at in 0..4 {
        let counts = (there, back);
        assert!(there[at] + back[at] > 0, "lost, doubled, overtaken, damaged: {counts:?}");
    }
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_a_peer_or_an_interface_that_vanishes_is_told_in_bounded_time() {
    let lab = testkit::net::Lab::new();
    lab.cable("left", "right", 1500);
    let patience = Duration::from_secs(2);
    let left = pump("left", "10.77.0.1/24", |config| config.tcp_timeout = patience);
    let right = pump("right", "10.77.0.2/24", |config| config.tcp_timeout = patience);
    let refused = left.connect(GUEST, "10.77.0.2:9".parse().unwrap(), PATIENCE).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{refused}");
    let listener = right.listen(GUEST, 9, 2).unwrap();
    let near = left.connect(GUEST, "10.77.0.2:9".parse().unwrap(), PATIENCE).unwrap();
    let _far = listener.accept(Some(PATIENCE)).unwrap().unwrap();
    // an idle connection stays, because each asks whether the other is there
    near.set_read_timeout(Some(patience * 2));
    assert_eq!((&near).read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::TimedOut);
    (&near).write_all(b"still there").unwrap();

    // the cable is cut: nothing says so
    lab.ip(&["link", "set", "right", "down"]);
    near.set_read_timeout(None);
    let begun = Instant::now();
    let error = (&near).read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted, "{error}");
    assert!(error.to_string().contains("10.77.0.2:9 has been silent for 2s"), "{error}");
    assert!(begun.elapsed() < patience * 5, "bounded: {:?}", begun.elapsed());
    let silent = left.connect(GUEST, "10.77.0.2:9".parse().unwrap(), patience).unwrap_err();
    // whichever of the two clocks is first
    let kinds = [ErrorKind::TimedOut, ErrorKind::ConnectionAborted];
    assert!(kinds.contains(&silent.kind()), "{silent}");

    lab.ip(&["link", "set", "right", "up"]);
    let near = left.connect(GUEST, "10.77.0.2:9".parse().unwrap(), PATIENCE).unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| (&near).read(&mut [0; 1]).unwrap_err());
        std::thread::sleep(Duration::from_millis(50));
        lab.ip(&["link", "delete", "left"]);
        let error = reader.join().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted, "{error}");
        assert!(error.to_string().contains("the interface left is gone"), "{error}");
    });
    assert!(left.connect(GUEST, "10.77.0.2:9".parse().unwrap(), patience).is_err());
    left.stop(Duration::ZERO).unwrap().ledger.check().unwrap();
    right.stop(Duration::ZERO).unwrap().ledger.check().unwrap();

    let missing = WireConfig::new("left", "10.77.0.1/24".parse().unwrap());
    let error = engine(&missing, "a test", HashKey::new([1, 2])).unwrap_err();
    assert!(error.to_string().contains("no network interface `left`"), "{error}");
}
