//! `framewalk capture` on a real kernel: in a network namespace of the test's own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test file as a whole")]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use capture::Reader;
use nic::link;
use nic::tx::{Method, open};
use serde_json::Value;
use testkit::net::{Lab, number, numbered};

/// A folder of the test's own, gone when it ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("capture-{name}"));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> String {
        self.0.join("live.pcapng").to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running capture of `right`.
struct Live {
    child: Child,
    talk: BufReader<std::process::ChildStderr>,
}

impl Live {
    /// Starts it and waits until it listens.
    fn start(file: &str, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_framewalk"))
            .args(["capture", "-i", "right", "-w", file, "--json"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut talk = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening") {
            line.clear();
            assert!(talk.read_line(&mut line).unwrap() > 0, "it ended before it listened");
            print!("{line}");
        }
        Self { child, talk }
    }

    fn signal(&self, name: &str) {
        testkit::process::signal(self.child.id(), name);
    }

    /// Waits for its end; the result, its exit code, and what it said.
    fn end(mut self) -> (Value, i32, String) {
        let start = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            if start.elapsed() > Duration::from_secs(30) {
                self.child.kill().unwrap();
                panic!("it did not end in 30 s");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut said = String::new();
        self.talk.read_to_string(&mut said).unwrap();
        let output: Output = self.child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let json = serde_json::from_str(text.lines().last().unwrap_or("null")).unwrap();
        (json, output.status.code().unwrap_or(-1), said)
    }

    fn stop(self) -> (Value, i32, String) {
        self.signal("INT");
        self.end()
    }
}

/// Sends the frames on `left`, in bursts of `burst`, `pause` apart.
fn send(frames: &[Vec<u8>], burst: usize, pause: Duration) {
    let mut tx = open(&link::by_name("left").unwrap(), Some(Method::Sendmmsg)).unwrap();
    for part in frames.chunks(burst) {
        let mut rest: Vec<&[u8]> = part.iter().map(Vec::as_slice).collect();
        while !rest.is_empty() {
            let sent = tx.send(&rest);
            assert!(sent.error.is_none(), "{:?}", sent.error);
            rest.drain(..sent.taken);
        }
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
    assert_eq!(tx.finish(Duration::from_secs(5)), 0);
}

/// The numbers of the frames in a file, each checked against what was sent.
fn numbers(file: &str, sent: &[Vec<u8>]) -> Vec<u32> {
    let mut reader = Reader::open(file).unwrap();
    let mut found = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        let n = number(frame.data).unwrap();
        assert!(frame.data == sent[n as usize], "frame {n} differs");
        found.push(n);
    }
    found
}

fn count(json: &Value, name: &str) -> u64 {
    json.pointer(name).and_then(Value::as_u64).unwrap_or_else(|| panic!("{name} in {json}"))
}

/// `seen = written + filtered + dropped`, whatever the case.
fn assert_balanced(json: &Value) {
    let dropped: u64 = ["kernel", "interface", "ring", "disk"]
        .map(|p| count(json, &format!("/dropped/{p}")))
        .iter()
        .sum();
    let sum = count(json, "/written") + count(json, "/filtered") + dropped;
    assert_eq!(count(json, "/seen"), sum, "{json}");
    assert_eq!(json["balanced"], true);
}

const NO_PAUSE: Duration = Duration::ZERO;

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_ctrl_c_loses_nothing_of_what_was_sent_before() {
    let (lab, folder) = (Lab::new(), Folder::new("whole"));
    lab.cable("left", "right", 9000);
    let frames = numbered(30_000, |n| 60 + (n as usize * 31) % 8900);
    let live = Live::start(&folder.file(), &[]);
    send(&frames, 50, Duration::from_millis(1));
    // at once: the last frames are still in the block that the kernel is filling
    let (json, code, said) = live.stop();
    assert_eq!(code, 0, "{said}");
    assert_balanced(&json);
    assert_eq!(count(&json, "/written"), 30_000, "{json}");
    assert!(numbers(&folder.file(), &frames).into_iter().eq(0..30_000), "in order, none twice");
    let own = link::by_name("right").unwrap().counters;
    assert_eq!(count(&json, "/interface_counters/rx_packets"), own.rx_packets);
    assert_eq!(own.rx_packets, 30_000);
    let mut reader = Reader::open(folder.file()).unwrap();
    while reader.next().unwrap().is_some() {}
    let counters = reader.interfaces()[0].counters.clone().unwrap();
    assert_eq!((counters.received, counters.os_dropped), (Some(30_000), Some(0)));
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_an_overload_is_counted_and_agrees_with_the_interface() {
    let (lab, folder) = (Lab::new(), Folder::new("overload"));
    lab.cable("left", "right", 1500);
    let frames = numbered(40_000, |_| 1000);
    let live = Live::start(&folder.file(), &["--ring", "1Mi", "--fail-on-drop"]);
    live.signal("STOP");
    send(&frames, 64, NO_PAUSE);
    live.signal("CONT");
    let (json, code, _) = live.stop();
    assert_balanced(&json);
    assert_eq!(count(&json, "/seen"), 40_000);
    assert_eq!(count(&json, "/interface_counters/rx_packets"), 40_000);
    assert!(count(&json, "/dropped/kernel") > 30_000, "{json}");
    assert_eq!(code, 1, "--fail-on-drop");
    let found = numbers(&folder.file(), &frames);
    assert_eq!(found.len() as u64, count(&json, "/written"));
    assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_a_capture_ends_after_the_frames_that_were_wanted() {
    let (lab, folder) = (Lab::new(), Folder::new("count"));
    lab.cable("left", "right", 1500);
    let frames = numbered(1_000, |n| 60 + n as usize);
    let live = Live::start(&folder.file(), &["--count", "10", "--headers"]);
    send(&frames, 100, NO_PAUSE);
    let (json, code, _) = live.end();
    assert_balanced(&json);
    assert_eq!((count(&json, "/written"), count(&json, "/seen"), code), (10, 10, 0));
    let mut reader = Reader::open(folder.file()).unwrap();
    while let Some(frame) = reader.next().unwrap() {
        assert_eq!(frame.data.len(), 14, "no header that is known follows Ethernet's");
        assert!(frame.meta.origlen >= 60);
    }
    let live = Live::start(&folder.file(), &["--seconds", "0.3"]);
    let (json, code, _) = live.end();
    assert_eq!((count(&json, "/seen"), code), (0, 0), "an empty capture is a capture");
    assert!(numbers(&folder.file(), &frames).is_empty());
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_a_killed_capture_leaves_a_file_that_can_be_read() {
    let (lab, folder) = (Lab::new(), Folder::new("killed"));
    lab.cable("left", "right", 1500);
    let frames = numbered(60_000, |n| 60 + n as usize % 1400);
    let mut live = Live::start(&folder.file(), &[]);
    send(&frames, 100, Duration::from_millis(4)); // over two seconds
    live.child.kill().unwrap();
    live.child.wait().unwrap();
    let mut reader = Reader::open(folder.file()).unwrap();
    let mut next = 0;
    // whole blocks; at worst the last is cut, and said to be
    while let Ok(Some(frame)) = reader.next() {
        assert_eq!(number(frame.data), Some(next));
        assert!(frame.data == frames[next as usize]);
        next += 1;
    }
    assert!(next > 10_000, "only {next} frames");
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_a_full_disk_costs_counted_frames_and_leaves_whole_blocks() {
    let (lab, folder) = (Lab::new(), Folder::new("full"));
    lab.cable("left", "right", 1500);
    lab.tmpfs(&folder.0, 2 << 20);
    let frames = numbered(5_000, |_| 1000);
    let live = Live::start(&folder.file(), &[]);
    send(&frames, 64, Duration::from_millis(1));
    let (json, code, said) = live.stop();
    assert_balanced(&json);
    assert_eq!((count(&json, "/seen"), code), (5_000, 2), "{said}");
    assert!(count(&json, "/dropped/disk") > 2_500, "{json}");
    assert!(said.contains("No space left") && said.contains("live.pcapng"), "{said}");
    let found = numbers(&folder.file(), &frames);
    assert_eq!(found.len() as u64, count(&json, "/written"), "every block can be read");
    assert!(found.len() > 1_500 && found.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_a_ring_of_files_lives_within_a_disk_that_is_smaller_than_its_budget() {
    let (lab, folder) = (Lab::new(), Folder::new("ring"));
    lab.cable("left", "right", 1500);
    lab.tmpfs(&folder.0, 3 << 20);
    let frames = numbered(10_000, |_| 1000);
    let live = Live::start(&folder.file(), &["--file-size", "500k", "--budget", "100M"]);
    send(&frames, 64, Duration::from_millis(1));
    let (json, _, said) = live.stop();
    assert_balanced(&json);
    assert_eq!(count(&json, "/seen"), 10_000);
    assert!(count(&json, "/files_deleted") > 10, "{json} {said}");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let newest = numbers(files.last().unwrap().to_str().unwrap(), &frames);
    assert_eq!(newest.last(), Some(&9_999), "it went on after the disk was full");
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_an_interface_that_vanishes_ends_the_capture_with_everything_written() {
    let (lab, folder) = (Lab::new(), Folder::new("vanished"));
    lab.cable("left", "right", 1500);
    let frames = numbered(500, |_| 200);
    let live = Live::start(&folder.file(), &[]);
    send(&frames, 64, NO_PAUSE);
    lab.ip(&["link", "delete", "right"]);
    let (json, code, said) = live.end();
    assert_balanced(&json);
    assert_eq!((count(&json, "/written"), code), (500, 2), "{said}");
    assert!(said.contains("right is gone"), "{said}");
    assert_eq!(numbers(&folder.file(), &frames).len(), 500);
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_an_interface_may_come_back_under_the_same_capture() {
    let (lab, folder) = (Lab::new(), Folder::new("back"));
    lab.cable("left", "right", 1500);
    let frames = numbered(300, |_| 200);
    let mut live = Live::start(&folder.file(), &["--wait-for-interface"]);
    let mut wait_for = |text: &str| {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert!(live.talk.read_line(&mut line).unwrap() > 0, "it ended before: {text}");
        }
    };
    send(&frames[..100], 64, NO_PAUSE);
    lab.ip(&["link", "set", "right", "down"]);
    wait_for("went down");
    lab.ip(&["link", "set", "right", "up"]);
    wait_for("up again");
    send(&frames[100..200], 64, NO_PAUSE);
    lab.ip(&["link", "delete", "right"]);
    wait_for("is gone");
    lab.cable("left", "right", 1500);
    wait_for("there again");
    send(&frames[200..], 64, NO_PAUSE);
    let (json, code, said) = live.stop();
    assert_balanced(&json);
    assert_eq!((count(&json, "/written"), code), (300, 0), "{said}");
    assert!(numbers(&folder.file(), &frames).into_iter().eq(0..300));
    let mut text = Vec::new();
    std::fs::File::open(folder.file()).unwrap().read_to_end(&mut text).unwrap();
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("right went down") && text.contains("right is there again"));
}

#[test]
#[cfg(feature = "libpcap")]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_a_filter_runs_in_the_kernel_and_what_it_refuses_is_counted() {
    use testkit::build::{eth, ip4_tcp, ip4_udp, vlan};
    let (lab, folder) = (Lab::new(), Folder::new("filter"));
    lab.cable("left", "right", 1500);
    let frames: Vec<Vec<u8>> = (0..600u16)
        .map(|n| match n % 4 {
            0 => eth(0x0800, &ip4_tcp(40_000 + n, 3389, &[0; 20])),
            1 => eth(0x8100, &vlan(100, 0x0800, &ip4_tcp(40_000 + n, 3389, &[0; 20]))),
            2 => eth(0x8100, &vlan(200, 0x0800, &ip4_udp(40_000 + n, 53, &[0; 20]))),
            _ => eth(0x0800, &ip4_udp(40_000 + n, 53, &[0; 20])),
        })
        .collect();
    // in a tagged frame the kernel has moved the tag beside the frame: libpcap knows
    for (filter, wanted) in [
        ("tcp port 3389", 300),
        ("vlan 100", 150),
        ("vlan and udp", 150),
        ("udp port 53", 300),
        ("host 203.0.113.9", 0),
    ] {
        let live = Live::start(&folder.file(), &["--filter", filter]);
        send(&frames, 64, NO_PAUSE);
        let (json, _, said) = live.stop();
        assert_balanced(&json);
        assert_eq!(count(&json, "/written"), wanted, "{filter}: {said}");
        assert_eq!(count(&json, "/filtered"), 600 - wanted, "{filter}");
        let mut reader = Reader::open(folder.file()).unwrap();
        while let Some(frame) = reader.next().unwrap() {
            assert!(frames.iter().any(|sent| sent == frame.data), "whole, its tag in place");
        }
    }
    let out = Command::new(env!("CARGO_BIN_EXE_framewalk"))
        .args(["capture", "-i", "right", "-w", &folder.file(), "--filter", "tcp port where"])
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("tcp port where"));
}

#[test]
#[cfg(feature = "libpcap")]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_a_trigger_brings_the_frames_before_it() {
    let (lab, folder) = (Lab::new(), Folder::new("trigger"));
    lab.cable("left", "right", 1500);
    // frame 400 alone is longer than 1000 bytes
    let frames = numbered(1_000, |n| if n == 400 { 1_200 } else { 300 });
    let trigger = ["--trigger", "greater 1000", "--before", "10s", "--after", "500ms"];
    let small = [&trigger[..], &["--before-memory", "33000"]].concat();
    // 33,000 bytes: 100 frames of 328
    for (args, first, short) in [(&trigger[..], 0, false), (&small[..], 300, true)] {
        let live = Live::start(&folder.file(), args);
        let status = std::fs::read_to_string(format!("/proc/{}/status", live.child.id())).unwrap();
        let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
        let kib: u64 = locked.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kib >= if short { 36 } else { 64 << 10 }, "never swapped: {locked}");
        send(&frames[..500], 50, Duration::from_millis(1));
        std::thread::sleep(Duration::from_millis(1500));
        send(&frames[500..], 50, Duration::from_millis(1));
        let (json, code, said) = live.stop();
        assert_balanced(&json);
        assert_eq!((count(&json, "/seen"), count(&json, "/trigger/fired"), code), (1_000, 1, 0));
        let found = numbers(&folder.file(), &frames);
        assert!(found.iter().copied().eq(first..500), "{first}: {:?} {said}", found.first());
        assert_eq!(count(&json, "/untriggered"), 1_000 - found.len() as u64);
        assert_eq!(json["trigger"]["shortest_before_seconds"].is_f64(), short, "{json}");
        let text = std::fs::read(folder.file()).unwrap();
        assert!(String::from_utf8_lossy(&text).contains("trigger: a frame matched"));
    }
    // never asked for: nothing is written
    let live = Live::start(&folder.file(), &["--trigger", "host 203.0.113.9"]);
    send(&frames, 50, Duration::from_millis(1));
    let (json, ..) = live.stop();
    assert_balanced(&json);
    assert_eq!((count(&json, "/written"), count(&json, "/untriggered")), (0, 1_000));
    assert!(numbers(&folder.file(), &frames).is_empty());
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_an_anonymized_capture_holds_no_address_and_no_content() {
    use testkit::build::{eth, ip4_tcp};
    let (lab, folder) = (Lab::new(), Folder::new("anonymous"));
    lab.cable("left", "right", 1500);
    let secret = b"Patient Erika Mustermann";
    let frames = vec![eth(0x0800, &ip4_tcp(40_000, 104, secret)); 50];
    let key = folder.0.join("site.key");
    let mut files = Vec::new();
    for round in 0..2 {
        let live = Live::start(&folder.file(), &["--anonymize", key.to_str().unwrap()]);
        send(&frames, 50, NO_PAUSE);
        let (json, code, said) = live.stop();
        assert_balanced(&json);
        assert_eq!((count(&json, "/written"), count(&json, "/copies"), code), (50, 1, 0));
        assert_eq!(said.contains("a new key") || round == 0, round == 0, "{said}");
        let bytes = std::fs::read(folder.file()).unwrap();
        for part in [&secret[..8], &frames[0][6..12], &frames[0][26..34]] {
            assert!(!bytes.windows(part.len()).any(|window| window == part), "{part:02x?}");
        }
        let mut reader = Reader::open(folder.file()).unwrap();
        files.push(reader.next().unwrap().unwrap().data.to_vec());
    }
    assert_eq!(files[0], files[1], "the same key, the same addresses");
    assert_eq!(files[0].len(), frames[0].len());
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_every_method_and_compression_writes_every_frame() {
    let (lab, folder) = (Lab::new(), Folder::new("methods"));
    lab.cable("left", "right", 1500);
    let frames = numbered(4_000, |n| 60 + n as usize % 1400);
    let mut methods = vec![(".zst", "packet", "3"), (".gz", "packet", "1"), ("", "af-xdp", "1")];
    if cfg!(feature = "libpcap") {
        methods.push((".zst", "libpcap", "1"));
    }
    for (ending, method, workers) in methods {
        let file = folder.file() + ending;
        let live = Live::start(&file, &["--method", method, "--workers", workers]);
        send(&frames, 50, Duration::from_millis(1));
        let (json, code, said) = live.stop();
        assert_balanced(&json);
        assert_eq!((count(&json, "/written"), code), (4_000, 0), "{method}: {json} {said}");
        let mut found = numbers(&file, &frames);
        // workers do not wait for each other
        assert!(workers != "1" || found.is_sorted(), "{method}");
        found.sort_unstable();
        assert!(found.into_iter().eq(0..4_000), "{method}");
        let size = std::fs::metadata(&file).unwrap().len();
        assert_eq!(size, count(&json, "/file_bytes"), "{method}");
        assert!(ending.is_empty() || size < 1_500_000, "{size} bytes are not compressed");
    }
    lab.ip(&["address", "add", "192.0.2.1/24", "dev", "right"]);
    let out = Command::new(env!("CARGO_BIN_EXE_framewalk"))
        .args(["capture", "-i", "right", "-w", &folder.file(), "--method", "af-xdp"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(said.contains("192.0.2.1") && said.contains("--on-production right"), "{said}");
}

#[test]
fn an_interface_that_is_not_there_is_answered_with_those_that_are() {
    let folder = Folder::new("nowhere");
    let out = Command::new(env!("CARGO_BIN_EXE_framewalk"))
        .args(["capture", "-i", "mirror9", "-w", &folder.file()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(said.contains("mirror9") && said.contains("lo"), "{said}");
    assert!(!Path::new(&folder.file()).exists(), "no file is made for nothing");
}
