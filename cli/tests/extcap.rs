//! framewalk as a source of Wireshark's, with tshark as Wireshark.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test file as a whole")]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nic::link;
use nic::tx::{Method, open};
use testkit::net::{Lab, number, numbered};

/// An extcap folder of the test's own, with the link that `framewalk extcap install` makes.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("extcap-{name}"));
        let _ = std::fs::remove_dir_all(&path);
        let out = Command::new(env!("CARGO_BIN_EXE_framewalk"))
            .args(["extcap", "install", "--dir"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        Self(path)
    }

    /// tshark, which finds ours; `None` if it is not installed.
    ///
    /// A user's tshark is told the folder. Root's looks into the system's folder only: for this
    /// thread and what it starts, that is an empty one then, with our link in it.
    fn tshark(&self, lab: Option<&Lab>) -> Option<Tshark> {
        let Ok(told) = Command::new("tshark").args(["-G", "folders"]).output() else {
            println!("SKIPPED: no tshark on this machine; type: sudo apt install tshark");
            return None;
        };
        let Some(lab) = lab else { return Some(Tshark(Some(self.0.clone()))) };
        let told = text(&told);
        let line = told.lines().find(|line| line.contains("xtcap path:")).unwrap();
        lab.tmpfs(Path::new(line.split_once(':').unwrap().1.trim()), 1 << 20);
        let out =
            Command::new(env!("CARGO_BIN_EXE_framewalk")).args(["extcap", "install"]).output();
        let out = out.unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        Some(Tshark(None))
    }

    fn ours(&self) -> Command {
        Command::new(self.0.join("framewalk-extcap"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How tshark is called so that it finds ours.
struct Tshark(Option<PathBuf>);

impl Tshark {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("tshark");
        if let Some(folder) = &self.0 {
            command.env("WIRESHARK_EXTCAP_DIR", folder);
        }
        command.args(args);
        command
    }
}

fn text(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn send(frames: &[Vec<u8>]) {
    let mut tx = open(&link::by_name("left").unwrap(), Some(Method::Sendmmsg)).unwrap();
    let refs: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
    let sent = tx.send(&refs);
    assert!(sent.error.is_none() && sent.taken == frames.len(), "{sent:?}");
    assert_eq!(tx.finish(Duration::from_secs(5)), 0);
}

/// Waits for a packet socket on `right`.
fn wait_until_heard() {
    let index = link::by_name("right").unwrap().index.to_string();
    let start = Instant::now();
    loop {
        let table = std::fs::read_to_string("/proc/thread-self/net/packet").unwrap();
        let bound = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.get(4) == Some(&index.as_str()) && words.get(5) == Some(&"1")
        };
        if table.lines().any(bound) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "nobody listens: {table}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The output of a program that has to end by itself.
fn within(mut child: Child, seconds: u64) -> Output {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(seconds) {
            child.kill().unwrap();
            let out = child.wait_with_output().unwrap();
            panic!("not over in {seconds} s: {}", String::from_utf8_lossy(&out.stderr));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

#[test]
fn wiresharks_questions_are_answered() {
    let folder = Folder::new("questions");
    let ask = |args: &[&str]| {
        let out = folder.ours().args(args).output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        text(&out)
    };
    let interfaces = ask(&["--extcap-interfaces", "--extcap-version=4.0"]);
    assert!(interfaces.starts_with("extcap {version="), "{interfaces}");
    assert!(interfaces.contains("interface {value=framewalk-lo}{display=framewalk: lo}"));
    assert!(interfaces.contains("{value=framewalk-stages}"));
    for name in ["framewalk-lo", "framewalk-stages"] {
        let dlts = ask(&["--extcap-interface", name, "--extcap-dlts"]);
        assert_eq!(dlts, "dlt {number=1}{name=EN10MB}{display=Ethernet}\n");
    }
    let config = ask(&["--extcap-interface", "framewalk-lo", "--extcap-config"]);
    assert!(config.contains("{call=--headers}") && config.contains("{call=--snaplen}"));
    let config = ask(&["--extcap-interface", "framewalk-stages", "--extcap-config"]);
    assert!(config.contains("{call=--file}") && config.contains("{type=fileselect}"));
    let out =
        folder.ours().args(["--extcap-interface", "framewalk-no-such", "--extcap-dlts"]).output();
    let out = out.unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("no-such"));
}

#[test]
#[cfg(feature = "libpcap")]
fn a_capture_filter_is_checked_before_it_is_used() {
    let folder = Folder::new("filter");
    let check = |filter: &str| {
        let args = ["--extcap-interface", "framewalk-lo", "--extcap-capture-filter", filter];
        text(&folder.ours().args(args).output().unwrap())
    };
    // libpcap opens the interface to compile for it
    if nix::unistd::geteuid().is_root() {
        assert_eq!(check("tcp port 3389"), "");
    }
    assert!(check("tcp port where").contains("tcp port where"));
}

#[test]
fn tshark_lists_our_sources_and_reads_the_stages_of_a_file() {
    let lab = nix::unistd::geteuid().is_root().then(Lab::new);
    let folder = Folder::new("stages");
    let Some(tshark) = folder.tshark(lab.as_ref()) else { return };
    let listed = text(&tshark.command(&["-D"]).output().unwrap());
    assert!(listed.contains("framewalk-lo (framewalk: lo)"), "{listed}");
    assert!(listed.contains("framewalk-stages (framewalk: stages"), "{listed}");

    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../pcaps/practice.pcapng");
    let stages = folder.0.join("stages.pcapng");
    let out = Command::new(env!("CARGO_BIN_EXE_framewalk"))
        .args(["walk", file, "-q", "--export"])
        .arg(&stages)
        .output()
        .unwrap();
    assert!(out.status.success());
    let fields = ["-T", "fields", "-e", "frame.interface_name", "-e", "frame.len", "-e", "eth.src"];
    let mut wanted = tshark.command(&["-n", "-r", stages.to_str().unwrap()]);
    let wanted = text(&wanted.args(fields).output().unwrap());
    let preference = format!("extcap.framewalk_stages.file:{file}");
    let mut live = tshark.command(&["-n", "-i", "framewalk-stages", "-o", &preference]);
    let child = live.args(fields).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let out = within(child, 60);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    assert!(wanted.lines().count() > 100 && wanted.contains("vswitch"), "{wanted}");
    assert_eq!(text(&out), wanted, "as `walk --export` writes it; tshark said: {said}");
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_tshark_gets_exactly_the_frames_it_asks_for() {
    let (lab, folder) = (Lab::new(), Folder::new("live"));
    lab.cable("left", "right", 1500);
    let args = ["-n", "-i", "framewalk-right", "-c", "50", "-T", "fields", "-e", "data.data"];
    let Some(tshark) = folder.tshark(Some(&lab)) else { return };
    let child =
        tshark.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until_heard();
    let frames = numbered(120, |n| 60 + n as usize * 3);
    send(&frames);
    let out = within(child, 30);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{said}");
    let heard = text(&out);
    let payloads: Vec<&str> = heard.lines().collect();
    assert_eq!(payloads.len(), 50, "{said}");
    for (payload, frame) in payloads.iter().zip(&frames) {
        let byte = |at: usize| u8::from_str_radix(payload.get(2 * at..2 * at + 2)?, 16).ok();
        let bytes: Vec<u8> = (0..payload.len() / 2).map_while(byte).collect();
        assert!(bytes == frame[14..], "frame {:?}: {payload}", number(frame));
    }
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_the_pipe_is_written_in_time_and_the_end_is_whole() {
    let (lab, folder) = (Lab::new(), Folder::new("pipe"));
    lab.cable("left", "right", 1500);
    let fifo = folder.0.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut child = folder
        .ours()
        .args(["--capture", "--extcap-interface", "framewalk-right", "--headers", "--fifo"])
        .arg(&fifo)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = BufReader::new(std::fs::File::open(&fifo).unwrap());
    pipe.fill_buf().unwrap();
    wait_until_heard();
    let frames = numbered(3, |_| 400);
    // one frame alone does not wait for others
    send(&frames[..1]);
    let start = Instant::now();
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|four| four == 400u32.to_le_bytes()) {
        let read = pipe.fill_buf().unwrap();
        bytes.extend_from_slice(read);
        let count = read.len();
        pipe.consume(count);
        assert!(start.elapsed() < Duration::from_secs(5));
    }
    println!("the first frame came after {:?}", start.elapsed());
    send(&frames[1..]);
    // as Wireshark ends a capture
    testkit::process::signal(child.id(), "TERM");
    pipe.read_to_end(&mut bytes).unwrap();
    assert!(child.wait().unwrap().success());
    let file = folder.0.join("read.pcapng");
    std::fs::write(&file, &bytes).unwrap();
    let mut reader = capture::Reader::open(&file).unwrap();
    let mut count = 0;
    while let Some(frame) = reader.next().unwrap() {
        assert_eq!((frame.data.len(), frame.meta.origlen), (14, 400), "headers only");
        assert!(frame.data == &frames[count][..14]);
        count += 1;
    }
    assert_eq!(count, 3);
    let counters = reader.interfaces()[0].counters.clone().unwrap();
    assert_eq!((counters.received, counters.os_dropped), (Some(3), Some(0)));
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_a_reader_that_goes_away_ends_the_capture_without_any_traffic() {
    let (lab, folder) = (Lab::new(), Folder::new("gone"));
    lab.cable("left", "right", 1500);
    let fifo = folder.0.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let child = folder
        .ours()
        .args(["--capture", "--extcap-interface", "framewalk-right", "--fifo"])
        .arg(&fifo)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pipe = std::fs::File::open(&fifo).unwrap();
    wait_until_heard();
    drop(pipe);
    let out = within(child, 5);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(out.stderr.is_empty());
}
