//! `framewalk replay` on a real kernel: in a network namespace of the test's own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test file as a whole")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use capture::Reader;
use capture::write::{FrameOptions, InterfaceSpec, PcapWriter, PcapngWriter, SectionSpec};
use nic::link;
use nic::packet::{Config, PacketRx};
use nic::tx::{Method, open};
use serde_json::Value;
use skb::LinkType;
use skb::locate::{L3, locate_ethernet};
use testkit::build;
use testkit::net::{Lab, number, numbered};

/// A folder of the test's own, gone when it ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("replay-{name}"));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A capture of these frames, `gap_ns` apart.
    fn pcap(&self, frames: &[Vec<u8>], gap_ns: i64) -> String {
        let mut writer = PcapWriter::new(Vec::new(), LinkType::ETHERNET, 0, None).unwrap();
        for (frame, n) in frames.iter().zip(0..) {
            let time_ns = 1_700_000_000_000_000_000 + n * gap_ns;
            writer.write_frame(time_ns, frame.len() as u32, frame).unwrap();
        }
        self.file(&writer.finish().unwrap())
    }

    fn file(&self, bytes: &[u8]) -> String {
        let path = self.0.join("frames.pcap");
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running replay.
fn start(args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_framewalk"))
        .args(["replay", "--json"])
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for its end; the report, its exit code, and what it said.
fn end(mut child: Child) -> (Value, i32, String) {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_mins(1) {
            child.kill().unwrap();
            panic!("it did not end in 60 s");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = String::from_utf8(output.stdout).unwrap();
    let json = serde_json::from_str(text.lines().last().unwrap_or("null")).unwrap();
    (json, output.status.code().unwrap_or(-1), said)
}

fn replay(args: &[&str]) -> (Value, i32, String) {
    end(start(args))
}

fn count(json: &Value, name: &str) -> u64 {
    json.pointer(name).and_then(Value::as_u64).unwrap_or_else(|| panic!("{name} in {json}"))
}

/// Listens to an interface from here on. Nobody reads while a replay runs: the ring has few blocks
/// that are full rather than many that are not.
fn listen(interface: &str) -> PacketRx {
    listen_for(interface, Duration::from_millis(200))
}

/// Listens; a block that is not full is handed over after `retire`.
fn listen_for(interface: &str, retire: Duration) -> PacketRx {
    PacketRx::open(interface, &Config { retire, ..Config::default() }).unwrap()
}

/// All that came, none of it dropped.
fn heard(mut rx: PacketRx) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    rx.stop().unwrap();
    let whole = rx.drain(Duration::from_secs(5), |frame| frames.push(frame.data.to_vec())).unwrap();
    let counts = rx.counts().unwrap();
    assert!(whole && counts.dropped == 0 && counts.tags_lost == 0, "{counts:?}");
    frames
}

/// What of a capture is to come out at the other end, and what is skipped, by the rules of the
/// manual, and not by the code that does it.
fn expected(path: &Path, mtu: usize) -> (Vec<Vec<u8>>, BTreeMap<String, u64>) {
    let (mut frames, mut skipped) = (Vec::new(), BTreeMap::new());
    let Ok(mut reader) = Reader::open(path) else { return (frames, skipped) };
    // a damaged file is sent up to the damage
    while let Ok(Some(frame)) = reader.next() {
        let meta = &frame.meta;
        let whole = meta.origlen as usize - usize::from(meta.fcs_len.unwrap_or(0));
        let tag = if frame.data.get(12..14) == Some(&[0x81, 0]) { 4 } else { 0 };
        let why = if meta.linktype != LinkType::ETHERNET {
            "link-type"
        } else if frame.data.len() < whole {
            "truncated"
        } else if whole < 14 {
            "too-short"
        } else if whole > mtu + 14 + tag {
            "longer-than-mtu"
        } else {
            frames.push(frame.data[..whole].to_vec());
            continue;
        };
        *skipped.entry(why.to_owned()).or_insert(0) += 1;
    }
    (frames, skipped)
}

/// The kernel takes the tag off a frame before anyone sees it (`skb_vlan_untag`), and drops one
/// that says it has a tag and ends before it.
fn is_dropped_by_linux(frame: &[u8]) -> bool {
    frame.len() < 18 && matches!(frame[12..14], [0x81, 0] | [0x88, 0xa8])
}

/// Replays each capture of a folder onto one end of a cable and compares what comes out.
fn there_and_back(folder: &Path, mtu: u32) {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| {
        matches!(path.extension().and_then(|e| e.to_str()), Some("pcap" | "pcapng" | "cap"))
    });
    paths.sort();
    let (mut sent, mut skipped, start) = (0, 0, Instant::now());
    for path in &paths {
        let (frames, reasons) = expected(path, mtu as usize);
        let rx = listen_for("right", Duration::from_millis(20));
        let (json, _, said) = replay(&[path.to_str().unwrap(), "-i", "left", "-t"]);
        let heard = heard(rx);
        if frames.is_empty() && json.is_null() {
            assert!(!said.is_empty(), "{}: it says why there is nothing", path.display());
            continue;
        }
        let named: BTreeMap<String, u64> =
            serde_json::from_value(json["skipped_by"].clone()).unwrap();
        assert_eq!(named, reasons, "{}", path.display());
        let total = count(&json, "/sent") + count(&json, "/skipped");
        assert_eq!(count(&json, "/read"), total, "{}", path.display());
        assert_eq!(count(&json, "/sent"), frames.len() as u64, "{}: {json}", path.display());
        let mut reach = frames.clone();
        reach.retain(|frame| !is_dropped_by_linux(frame));
        assert_eq!(heard.len(), reach.len(), "{}: frames that came", path.display());
        for ((n, got), wanted) in (1..).zip(&heard).zip(&reach) {
            assert!(got == wanted, "{}: frame {n} differs", path.display());
        }
        sent += frames.len();
        skipped += reasons.values().sum::<u64>();
    }
    println!(
        "{} captures, {sent} frames byte for byte, {skipped} skipped, {:.1} s",
        paths.len(),
        start.elapsed().as_secs_f64()
    );
    assert!(sent > 0 && start.elapsed() < Duration::from_mins(2));
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_our_captures_come_out_of_a_cable_as_they_went_in() {
    let lab = Lab::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps");
    for (mtu, name) in [(65_535, "a"), (1_500, "b")] {
        lab.cable("left", "right", mtu);
        there_and_back(&folder, mtu);
        lab.ip(&["link", "set", "left", "down"]);
        lab.ip(&["link", "delete", "left"]);
        println!("mtu {mtu} done ({name})");
    }
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_captures_of_others_come_out_of_a_cable_as_they_went_in() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/pcaps");
    if !folder.is_dir() {
        println!("skipped: there are no captures in ../shared/pcaps");
        return;
    }
    let lab = Lab::new();
    lab.cable("left", "right", 65_535);
    there_and_back(&folder, 65_535);
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_a_controlled_rate_loses_nothing_and_is_kept() {
    let (lab, folder) = (Lab::new(), Folder::new("rate"));
    lab.cable("left", "right", 1500);
    let frames = numbered(20_000, |n| 60 + n as usize % 1000);
    let file = folder.pcap(&frames, 1000);
    for method in ["af-xdp", "sendmmsg", "tx-ring"] {
        let rx = listen("right");
        let before = link::by_name("right").unwrap().counters.rx_packets;
        let args = [&file, "-i", "left", "--pps", "40000", "--loop", "2", "--method", method];
        let (json, code, said) = replay(&args);
        assert_eq!(code, 0, "{said}");
        assert_eq!((json["method"].as_str(), count(&json, "/sent")), (Some(method), 40_000));
        let came: Vec<u32> = heard(rx).iter().map(|frame| number(frame).unwrap()).collect();
        assert!(came.into_iter().eq((0..20_000).chain(0..20_000)), "{method}: in order, once");
        let counted = link::by_name("right").unwrap().counters.rx_packets - before;
        assert_eq!(counted, 40_000, "{method}: the interface's own counter");
        // the last frame is due 39,999 / 40,000 s after the first; a busy machine may be late
        let seconds = json["seconds"].as_f64().unwrap();
        assert!((0.999..3.0).contains(&seconds), "{method}: {seconds} s");
    }
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_recorded_gaps_are_there_at_the_far_end() {
    let (lab, folder) = (Lab::new(), Folder::new("gaps"));
    lab.cable("left", "right", 1500);
    let frames = numbered(1_000, |_| 60);
    let file = folder.pcap(&frames, 400_000);
    let mut rx = listen("right");
    let (json, code, _) = replay(&[&file, "-i", "left", "--speed", "2"]);
    assert_eq!((code, count(&json, "/sent")), (0, 1000));
    rx.stop().unwrap();
    let mut times = Vec::new();
    assert!(rx.drain(Duration::from_secs(5), |frame| times.push(frame.time_ns)).unwrap());
    assert_eq!(times.len(), 1000);
    // the kernel's stamps say what the report says, however busy the machine is
    let mut errors: Vec<u64> =
        times.windows(2).map(|pair| (pair[1] - pair[0]).abs_diff(200_000)).collect();
    errors.sort_unstable();
    let (far, ours) = (errors[500], count(&json, "/gap_error_ns/p50"));
    println!("median gap error: {far} ns at the far end, {ours} ns by the report");
    assert!(far.abs_diff(ours) < 20_000, "{far} ns at the far end, {ours} ns by the report");
    let off: Vec<i64> = times.iter().zip(0..).map(|(time, n)| time - n * 200_000).collect();
    let late = off[999] - off.iter().min().unwrap();
    let told = json["drift_ns"].as_i64().unwrap();
    assert!(late.abs_diff(told) < 200_000, "the last was {late} ns late, by the report {told}");
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_tags_and_jumbo_frames_go_whole() {
    let (lab, folder) = (Lab::new(), Folder::new("tags"));
    lab.cable("left", "right", 9000);
    let ip = build::ip4_udp(1, 2, &[7; 400]);
    let frames = vec![
        build::eth(0x8100, &build::vlan(5, 0x0800, &ip)),
        build::eth(0x88a8, &build::vlan(5, 0x8100, &build::vlan(9, 0x0800, &ip))),
        build::eth(0x88b5, &[9; 9000]),
        build::eth(0x8100, &build::vlan(4094, 0x88b5, &[8; 8996])),
        build::eth(0x88b5, &[9; 9001]),
    ];
    let file = folder.pcap(&frames, 1000);
    for method in ["af-xdp", "sendmmsg"] {
        let rx = listen("right");
        let (json, code, said) =
            replay(&[&file, "-i", "left", "--method", method, "--fail-on-drop"]);
        assert_eq!(heard(rx), frames[..4], "{method}: {json}");
        assert_eq!(json["skipped_by"]["longer-than-mtu"], 1, "{said}");
        assert_eq!(code, 1, "--fail-on-drop");
    }
}

/// A TCP frame with `payload` bytes of data that say where they are.
fn super_frame(payload: usize) -> Vec<u8> {
    let data: Vec<u8> = (0..payload).map(|n| (n / 3) as u8).collect();
    build::eth(0x0800, &build::ip4_tcp(40_000, 443, &data))
}

/// The TCP payload of a frame, and whether its checksums are right.
fn tcp_payload(frame: &[u8]) -> (Vec<u8>, bool) {
    let at = locate_ethernet(frame);
    assert_eq!((at.kind, at.ip_proto), (L3::Ipv4, 6));
    let (l3, l4) = (usize::from(at.l3), usize::from(at.l4));
    let end = l3 + usize::from(u16::from_be_bytes([frame[l3 + 2], frame[l3 + 3]]));
    let segment = &frame[l4..end];
    let pseudo =
        build::join(&[&frame[l3 + 12..l3 + 20], &[0, 6], &(segment.len() as u16).to_be_bytes()]);
    let sums =
        [&frame[l3..l4], &build::join(&[&pseudo, segment])[..]].map(build::internet_checksum);
    (segment[usize::from(segment[12] >> 4) * 4..].to_vec(), sums == [0, 0])
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_super_frames_are_cut_or_refused_with_the_reason() {
    let (lab, folder) = (Lab::new(), Folder::new("super"));
    lab.cable("left", "right", 1500);
    let tcp = super_frame(30_000);
    let udp = build::eth(0x0800, &build::ip4_udp(1, 2, &[1; 5000]));
    let other = build::eth(0x88b5, &[2; 4000]);
    let fragment = build::eth(0x0800, &build::ip4(6, 0x2000, &[3; 3000]));
    let file = folder.pcap(&[tcp.clone(), udp, other, fragment, super_frame(100)], 1000);
    let rx = listen("right");
    let (json, code, _) = replay(&[&file, "-i", "left", "--resegment"]);
    assert_eq!(code, 0);
    let came = heard(rx);
    assert!(came.iter().all(|frame| frame.len() <= 1514));
    let pieces: Vec<_> = came.iter().map(|frame| tcp_payload(frame)).collect();
    assert!(pieces.iter().all(|(_, right)| *right), "checksums");
    let (last, cut) = pieces.split_last().unwrap();
    let payload: Vec<u8> = cut.iter().flat_map(|(data, _)| data.clone()).collect();
    assert!(payload == tcp_payload(&tcp).0, "the same stream");
    assert_eq!(last.0, tcp_payload(&super_frame(100)).0);
    assert_eq!((count(&json, "/resegmented"), count(&json, "/segments")), (1, cut.len() as u64));
    let why = ["super-frame-udp", "super-frame-not-tcp", "super-frame-fragment"];
    for reason in why {
        assert_eq!(json["skipped_by"][reason], 1, "{json}");
    }
    assert_eq!(count(&json, "/read"), 5);
    // not asked to: refused, each with the reason
    let rx = listen("right");
    let (json, _, _) = replay(&[&file, "-i", "left"]);
    assert_eq!((heard(rx).len(), json["skipped_by"]["longer-than-mtu"].as_u64()), (1, Some(4)));
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_two_interfaces_of_a_capture_leave_by_two_ports() {
    let (lab, folder) = (Lab::new(), Folder::new("ports"));
    lab.cable("left", "right", 1500);
    lab.cable("north", "south", 1500);
    let frames = numbered(3_000, |_| 60);
    let mut writer = PcapngWriter::new(Vec::new(), &SectionSpec::default()).unwrap();
    let spec = InterfaceSpec { linktype: LinkType::ETHERNET, ..InterfaceSpec::default() };
    for _ in 0..3 {
        writer.add_interface(&spec).unwrap();
    }
    for (n, frame) in (0..).zip(&frames) {
        let options = FrameOptions::default();
        writer.write_frame(n % 3, i64::from(n) * 10_000, 60, frame, &options).unwrap();
    }
    let file = folder.file(&writer.finish().unwrap());
    let (a, b) = (listen("right"), listen("south"));
    let (json, code, said) = replay(&[&file, "-i", "0=left", "-i", "2=north"]);
    assert_eq!(code, 0, "{said}");
    let numbers = |rx| heard(rx).iter().map(|frame| number(frame).unwrap()).collect::<Vec<_>>();
    assert!(numbers(a).into_iter().eq((0..3_000).step_by(3)));
    assert!(numbers(b).into_iter().eq((2..3_000).step_by(3)));
    assert_eq!(json["skipped_by"]["no-port"], 1000);
    assert_eq!((count(&json, "/ports/0/sent"), count(&json, "/ports/1/sent")), (1000, 1000));
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_an_interface_that_vanishes_ends_the_replay_with_a_report() {
    let folder = Folder::new("gone");
    let lab = Lab::new();
    let file = folder.pcap(&numbered(1000, |_| 60), 1000);
    for method in ["af-xdp", "sendmmsg", "tx-ring"] {
        lab.cable("left", "right", 1500);
        let args = [&file, "-i", "left", "--pps", "5000", "--loop", "0", "--method", method];
        let child = start(&args);
        let begin = Instant::now();
        while link::by_name("right").unwrap().counters.rx_packets < 500 {
            assert!(begin.elapsed() < Duration::from_secs(20), "{method}: nothing comes");
            std::thread::sleep(Duration::from_millis(5));
        }
        lab.ip(&["link", "delete", "left"]);
        let (json, code, said) = end(child);
        assert_eq!((json["ended"].as_str(), code), (Some("interface-gone"), 2), "{method} {said}");
        assert!(said.contains("left was removed"), "{method}: {said}");
        assert!(count(&json, "/sent") >= 500, "{method}: {json}");
        assert!(count(&json, "/failed/interface-gone") >= 1, "{method}: {json}");
    }
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_ctrl_c_ends_the_replay_with_a_report_that_is_true() {
    let (lab, folder) = (Lab::new(), Folder::new("stop"));
    lab.cable("left", "right", 1500);
    let file = folder.pcap(&numbered(1000, |_| 60), 1_000_000_000);
    // asleep between two frames, and in the middle of a rush
    for pace in [&["--speed", "1"][..], &["-t", "--loop", "0"], &["--pps", "5000", "--loop", "0"]] {
        let before = link::by_name("right").unwrap().counters.rx_packets;
        let child = start(&[&[&file, "-i", "left"], pace].concat());
        while link::by_name("right").unwrap().counters.rx_packets == before {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(200));
        let asked = Instant::now();
        testkit::process::signal(child.id(), "INT");
        let (json, code, said) = end(child);
        assert!(asked.elapsed() < Duration::from_secs(2), "{pace:?}");
        assert_eq!((json["ended"].as_str(), code), (Some("stopped"), 0), "{pace:?} {said}");
        let came = link::by_name("right").unwrap().counters.rx_packets - before;
        assert_eq!(count(&json, "/sent"), came, "{pace:?}");
    }
}

#[path = "replay/verify.rs"]
mod verify;
