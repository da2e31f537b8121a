//! `framewalk inspect -i` and `framewalk walk -i` on a real kernel: in a network namespace of the
//! test's own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test file as a whole")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use nic::link;
use nic::tx::{Method, open};
use serde_json::Value;
use testkit::net::{Lab, numbered};

const NO_PAUSE: Duration = Duration::ZERO;

/// A running command that listens on `right`; its output comes line by line.
struct Live {
    child: Child,
    lines: Receiver<String>,
    talk: BufReader<std::process::ChildStderr>,
}

impl Live {
    /// Starts it and waits until it listens.
    fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_framewalk"))
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, lines) = mpsc::sync_channel(200_000);
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines() {
                if to.send(line.unwrap()).is_err() {
                    break;
                }
            }
        });
        let mut talk = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening") {
            line.clear();
            assert!(talk.read_line(&mut line).unwrap() > 0, "it ended before it listened");
            print!("{line}");
        }
        Self { child, lines, talk }
    }

    fn signal(&self, name: &str) {
        signal(&self.child, name, 1);
    }

    /// The next line of its output.
    fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    /// Waits for its end: the rest of its output, its exit code, and what it said.
    fn end(mut self) -> (Vec<String>, i32, String) {
        let lines: Vec<String> = self.lines.iter().collect();
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
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        print!("{said}");
        (lines, code, said)
    }

    fn stop(self) -> (Vec<String>, i32, String) {
        self.signal("INT");
        self.end()
    }
}

/// Sends a signal to the program, so many times within microseconds.
fn signal(child: &Child, name: &str, times: usize) {
    for _ in 0..times {
        testkit::process::signal(child.id(), name);
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

fn cabled(mtu: u32) -> Lab {
    let lab = Lab::new();
    lab.cable("left", "right", mtu);
    lab
}

fn parsed(lines: &[String]) -> Vec<Value> {
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_inspect_shows_every_frame_soon_after_it_came() {
    let _lab = cabled(9000);
    let frames = numbered(5_000, |n| 60 + (n as usize * 31) % 8900);
    let live = Live::start(&["inspect", "-i", "right", "--json"]);
    let before = std::time::SystemTime::now();
    send(&frames[..1], 1, NO_PAUSE);
    let first = live.line();
    let took = before.elapsed().unwrap();
    assert!(took < Duration::from_millis(500), "shown after {took:?}"); // 10 ms on a quiet machine
    send(&frames[1..], 50, Duration::from_millis(1));
    // at once: the last frames are still in the block that the kernel is filling
    let (rest, code, said) = live.stop();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("right: seen 5,000 = read 5,000 + dropped 0"), "{said}");
    let objects = parsed(&[vec![first], rest].concat());
    assert_eq!(objects.len(), 5_000);
    let mut last = String::new();
    for (n, object) in objects.iter().enumerate() {
        assert_eq!(object["schema"], "framewalk.frame/1");
        assert_eq!(object["frame"], n + 1);
        assert_eq!(object["caplen"], frames[n].len());
        assert_eq!(object["origlen"], frames[n].len());
        assert_eq!((&object["linktype"], &object["interface"]), (&"ETHERNET".into(), &0.into()));
        assert_eq!(object["layers"][0]["type"], 0x88b5);
        let time = object["time"].as_str().unwrap().to_owned();
        assert!(time >= last && time.starts_with("20"), "{time} after {last}");
        last = time;
    }
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_inspect_live_has_every_view_and_ends_as_asked() {
    let _lab = cabled(1500);
    let frames = numbered(200, |n| 60 + n as usize);
    let live = Live::start(&["inspect", "-i", "right", "--all", "--hex", "--count", "3"]);
    send(&frames, 64, NO_PAUSE);
    let (lines, code, said) = live.end();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("right: seen 3 = read 3 + dropped 0"), "{said}");
    let rows = lines.iter().filter(|line| line.contains("0x88b5")).count();
    assert_eq!(rows, 3, "{lines:#?}");

    let live = Live::start(&["inspect", "-i", "right", "--count", "150"]);
    send(&frames, 64, NO_PAUSE);
    let (lines, code, _) = live.end();
    let page = lines.join("\n");
    assert!(code == 0 && page.starts_with("right\n") && page.contains("150, "), "{page}");
    assert!(page.contains("live, through a packet socket") && page.contains("Ethernet packet"));
    assert!(page.contains("framewalk walk -i right"), "{page}");

    let live = Live::start(&["inspect", "-i", "right", "--summary", "--seconds", "1.5", "--json"]);
    send(&frames, 64, NO_PAUSE);
    let (lines, code, _) = live.end();
    let summary = &parsed(&lines)[0];
    assert_eq!((summary["schema"].as_str(), code), (Some("framewalk.summary/1"), 0));
    assert_eq!((&summary["frames"], &summary["file"]), (&200.into(), &"right".into()), "{summary}");

    let live = Live::start(&["inspect", "-i", "right", "--frame", "7", "--json"]);
    send(&frames, 64, NO_PAUSE);
    let (lines, code, _) = live.end();
    assert_eq!((&parsed(&lines)[0]["caplen"], code), (&66.into(), 0));
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_inspect_puts_tags_back_and_ends_with_its_interface() {
    use testkit::build::{eth, ip4_udp, vlan};
    let lab = cabled(1500);
    let tagged = eth(0x8100, &vlan(100, 0x0800, &ip4_udp(40_000, 53, &[7; 30])));
    let live = Live::start(&["inspect", "-i", "right", "--json"]);
    send(std::slice::from_ref(&tagged), 1, NO_PAUSE);
    let object: Value = serde_json::from_str(&live.line()).unwrap();
    assert_eq!(object["caplen"], tagged.len());
    let vid = object["layers"].as_array().unwrap().iter().find_map(|layer| layer.get("vid"));
    assert_eq!(vid, Some(&100.into()), "{object}");
    lab.ip(&["link", "delete", "right"]);
    let (_, code, said) = live.end();
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("right is gone") && said.contains("seen 1 = read 1"), "{said}");
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_inspect_counts_what_it_missed() {
    let _lab = cabled(1500);
    let frames = numbered(120_000, |_| 1000);
    let live = Live::start(&["inspect", "-i", "right", "--summary", "--json"]);
    live.signal("STOP");
    send(&frames, 64, NO_PAUSE); // 120 MB into a ring of 64 MiB
    live.signal("CONT");
    let (lines, code, said) = live.stop();
    assert_eq!(code, 0, "{said}");
    let own = link::by_name("right").unwrap().counters;
    assert_eq!(own.rx_packets, 120_000);
    let read = parsed(&lines)[0]["frames"].as_u64().unwrap();
    assert!(read > 20_000 && read < 100_000, "{read}");
    let grouped = |n: u64| format!("{},{:03}", n / 1000, n % 1000);
    let sum =
        format!("seen 120,000 = read {} + dropped {}", grouped(read), grouped(120_000 - read));
    assert!(said.contains(&sum), "{said} {sum}");
}

#[test]
#[cfg(feature = "libpcap")]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_a_filter_of_inspect_runs_in_the_kernel() {
    use testkit::build::{eth, ip4_tcp, ip4_udp, vlan};
    let _lab = cabled(1500);
    let frames: Vec<Vec<u8>> = (0..400u16)
        .map(|n| match n % 4 {
            0 => eth(0x0800, &ip4_tcp(40_000 + n, 3389, &[0; 20])),
            1 => eth(0x8100, &vlan(100, 0x0800, &ip4_tcp(40_000 + n, 3389, &[0; 20]))),
            _ => eth(0x0800, &ip4_udp(40_000 + n, 53, &[0; 20])),
        })
        .collect();
    let live = Live::start(&["inspect", "-i", "right", "--json", "--filter", "vlan and tcp"]);
    send(&frames, 64, NO_PAUSE);
    let (lines, _, said) = live.stop();
    assert_eq!(lines.len(), 100);
    assert!(said.contains("seen 400 = read 100 + filtered 300 + dropped 0"), "{said}");
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_a_second_ctrl_c_ends_at_once_and_the_twin_of_the_first_does_not() {
    let _lab = cabled(1500);
    let frames = numbered(20_000, |_| 100);
    for _ in 0..5 {
        let live = Live::start(&["walk", "-i", "right", "--json", "--guest", TO]);
        send(&frames[..1000], 64, NO_PAUSE);
        // as timeout(1) does: to the program, and to its process group
        signal(&live.child, "INT", 2);
        let (lines, code, said) = live.end();
        assert_eq!(code, 0, "{said}");
        assert_eq!(count(&ledger(&lines), "/in"), 1000);
    }
    // nobody reads what it prints, so it cannot come to its end
    let mut stuck = Command::new(env!("CARGO_BIN_EXE_framewalk"))
        .args(["inspect", "-i", "right", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(stuck.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    send(&frames, 64, NO_PAUSE);
    signal(&stuck, "INT", 1);
    std::thread::sleep(Duration::from_millis(700));
    assert!(stuck.try_wait().unwrap().is_none(), "the first one waits for what is left");
    signal(&stuck, "INT", 1);
    let start = Instant::now();
    while stuck.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(5), "it did not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(stuck.wait().unwrap().code(), Some(2));
}

#[test]
fn what_ends_a_live_look_is_not_for_files() {
    for command in ["inspect", "walk"] {
        for option in [["--count", "3"], ["--seconds", "1"]] {
            let out = Command::new(env!("CARGO_BIN_EXE_framewalk"))
                .args([command, "some.pcap"])
                .args(option)
                .output()
                .unwrap();
            let said = String::from_utf8(out.stderr).unwrap();
            assert_eq!(out.status.code(), Some(2));
            assert!(said.contains("cannot be used with") && said.contains(option[0]), "{said}");
        }
    }
}

#[test]
fn a_live_interface_that_is_not_there_or_not_allowed_is_explained() {
    for command in ["inspect", "walk"] {
        let said = |interface: &str| {
            let out = Command::new(env!("CARGO_BIN_EXE_framewalk"))
                .args([command, "-i", interface])
                .output()
                .unwrap();
            assert_eq!(out.status.code(), Some(2));
            String::from_utf8(out.stderr).unwrap()
        };
        let nowhere = said("mirror9");
        assert!(nowhere.contains("mirror9") && nowhere.contains("lo"), "{nowhere}");
        if nix::unistd::geteuid().is_root() {
            continue; // see the privileged test
        }
        let refused = said("lo");
        assert!(refused.contains("not permitted") && refused.contains("setcap"), "{refused}");
    }
}

#[test]
#[ignore = "privileged: gives up the right to open packet sockets"]
fn privileged_without_the_right_the_command_that_gives_it_is_named() {
    for command in ["inspect", "walk"] {
        let out = Command::new("setpriv")
            .args(["--bounding-set=-net_raw,-net_admin", "--inh-caps=-all", "--"])
            .args([env!("CARGO_BIN_EXE_framewalk"), command, "-i", "lo"])
            .output()
            .unwrap();
        let said = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.contains("not permitted"), "{said}");
        assert!(said.contains("sudo setcap cap_net_raw,cap_net_admin+ep"), "{said}");
    }
}

/// The guest that [`numbered`] frames are for.
const TO: &str = "02:00:00:00:00:09";

fn count(json: &Value, name: &str) -> u64 {
    json.pointer(name).and_then(Value::as_u64).unwrap_or_else(|| panic!("{name} in {json}"))
}

/// The last line of a walk, with both sums checked, whatever the case.
fn ledger(lines: &[String]) -> Value {
    let json: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!(json["schema"], "framewalk.ledger/1");
    assert_eq!((&json["balanced"], &json["live"]["balanced"]), (&true.into(), &true.into()));
    let dropped: u64 =
        json["dropped"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(count(&json, "/in"), count(&json, "/delivered") + dropped, "{json}");
    let interface = count(&json, "/live/dropped/interface");
    assert_eq!(count(&json, "/live/seen"), count(&json, "/in") + interface, "{json}");
    json
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_walk_takes_every_frame_from_where_the_kernel_wrote_it() {
    let _lab = cabled(9000);
    let frames = numbered(60_000, |n| 60 + (n as usize * 31) % 8900); // four times the ring
    let live = Live::start(&["walk", "-i", "right", "--json", "--guest", TO]);
    send(&frames, 50, Duration::from_micros(500));
    // at once: the last frames are still in the block that the kernel is filling
    let (lines, code, said) = live.stop();
    let json = ledger(&lines);
    assert_eq!(code, 0, "{said}");
    assert_eq!((count(&json, "/in"), count(&json, "/delivered")), (60_000, 60_000), "{json}");
    assert_eq!((&json["copies"], &json["copies_per_frame"]), (&serde_json::json!({}), &0.0.into()));
    assert_eq!((&json["input"], &json["guests"][0]), (&"right".into(), &TO.into()));
    assert_eq!((count(&json, "/held"), count(&json, "/host")), (0, 0));
    assert_eq!(json["live"]["ended"], "stopped by SIGINT");
    let bytes: u64 = frames.iter().map(|frame| frame.len() as u64).sum();
    assert_eq!(count(&json, "/ports/1/out_bytes"), bytes);
    let stages = json["stages"].as_array().unwrap();
    assert_eq!((stages.len(), count(&json, "/stages/0/frames")), (6, 60_000));
    let own = link::by_name("right").unwrap().counters;
    assert_eq!(count(&json, "/live/interface_counters/rx_packets"), own.rx_packets);
    assert_eq!(own.rx_packets, 60_000);
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_walk_finds_out_who_is_who_and_loses_no_frame_over_it() {
    let _lab = cabled(1500);
    let frames = numbered(6_000, |n| 60 + n as usize % 1400);
    let live = Live::start(&["walk", "-i", "right", "--json", "--count", "5000"]);
    send(&frames, 64, Duration::from_millis(1));
    let (lines, code, said) = live.end();
    let json = ledger(&lines);
    assert_eq!(code, 0, "{said}");
    assert_eq!((count(&json, "/in"), count(&json, "/delivered")), (5_000, 5_000), "{json}");
    assert_eq!((&json["guests"][0], &json["who"]["looked_at"]), (&TO.into(), &4096.into()));
    assert_eq!(json["who"]["chosen"], "most-received-at-first");
    // a quiet wire: the look ends after two seconds, and what it saw is walked
    let live = Live::start(&["walk", "-i", "right", "--json", "--seconds", "3"]);
    send(&frames[..300], 1, Duration::from_millis(1));
    let (lines, code, _) = live.end();
    let json = ledger(&lines);
    assert_eq!((count(&json, "/in"), count(&json, "/delivered"), code), (300, 300, 0), "{json}");
    assert_eq!(json["live"]["ended"], "the time is over");
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_walk_counts_what_the_kernel_had_no_room_for() {
    let _lab = cabled(1500);
    let frames = numbered(120_000, |_| 1000); // 120 MB into a ring of 64 MiB
    let live = Live::start(&["walk", "-i", "right", "--json", "--guest", TO, "--fail-on-drop"]);
    live.signal("STOP");
    send(&frames, 64, NO_PAUSE);
    live.signal("CONT");
    let (lines, code, said) = live.stop();
    let json = ledger(&lines);
    assert_eq!(code, 1, "--fail-on-drop: {said}");
    assert_eq!(count(&json, "/in"), 120_000);
    let missed = count(&json, "/dropped_by_stage/nic/kernel-ring-full");
    assert!(missed > 20_000 && missed < 100_000, "{json}");
    assert_eq!(missed, count(&json, "/live/dropped/kernel"));
    assert_eq!(count(&json, "/delivered"), 120_000 - missed);
    assert_eq!(count(&json, "/live/interface_counters/rx_packets"), 120_000);
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_walk_puts_tags_back_answers_nobody_and_ends_with_its_interface() {
    use testkit::build::{eth, ip4_udp, vlan};
    let lab = cabled(1500);
    let tagged = eth(0x8100, &vlan(100, 0x0800, &ip4_udp(40_000, 53, &[7; 30])));
    let guest = skb::MacAddr::from_slice(&tagged).to_string();
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let export = folder.join(format!("live-{}.pcapng", std::process::id()));
    let export = export.to_str().unwrap();
    let live =
        Live::start(&["walk", "-i", "right", "--json", "--guest", &guest, "--export", export]);
    send(&vec![tagged.clone(); 20], 64, NO_PAUSE);
    std::thread::sleep(Duration::from_millis(100));
    lab.ip(&["link", "delete", "right"]);
    let (lines, code, said) = live.end();
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("right is gone"), "{said}");
    let json = ledger(&lines);
    assert_eq!((count(&json, "/in"), count(&json, "/delivered")), (20, 20), "{json}");
    assert_eq!(count(&json, "/live/vlan_tags_restored"), 20);
    assert_eq!(json["live"]["ended"], "the interface is no longer there");
    let mut reader = capture::Reader::open(export).unwrap();
    let mut records = 0;
    while let Some(frame) = reader.next().unwrap() {
        assert_eq!(frame.data, tagged, "the tag is in place at every stage");
        records += 1;
    }
    assert_eq!(records, 20 * 5);
    std::fs::remove_file(export).unwrap();
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_walk_steps_through_a_live_frame() {
    let _lab = cabled(1500);
    let frames = numbered(200, |n| 60 + n as usize);
    let live = Live::start(&["walk", "-i", "right", "--frame", "7", "--guest", TO, "--json"]);
    send(&frames, 64, NO_PAUSE);
    let (lines, code, said) = live.end();
    let steps = parsed(&lines);
    assert!(code == 0 && steps.len() > 6, "{said}");
    for step in &steps {
        assert_eq!((&step["frame"], &step["caplen"]), (&7.into(), &66.into()), "{step}");
    }
    assert_eq!(steps.last().unwrap()["copies"], 0);
    let text = lines.join("\n");
    assert!(text.contains("kernel's receive ring") && !text.contains("capture file"), "{text}");
    let live = Live::start(&["walk", "-i", "right", "--frame", "7", "--guest", TO]);
    send(&frames[..3], 1, NO_PAUSE);
    std::thread::sleep(Duration::from_millis(100));
    let (_, code, said) = live.stop();
    assert_eq!(code, 2);
    assert!(said.contains("right had 3 frames") && said.contains("no frame 7"), "{said}");
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_a_live_receipt_names_the_host_edge_and_no_switch_without_a_wire_may_listen() {
    let _lab = cabled(1500);
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("live-receipt-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (receipt, key) = (path("receipt.json"), path("key"));
    let live = Live::start(&[
        "walk",
        "-i",
        "right",
        "--guest",
        TO,
        "--receipt",
        &receipt,
        "--key",
        &key,
        "--count",
        "10",
    ]);
    send(&numbered(10, |_| 100), 64, NO_PAUSE);
    let (lines, code, said) = live.end();
    assert_eq!(code, 0, "{said}");
    let page = lines.join("\n");
    assert!(page.contains("right: balanced") && page.contains("seen 10 = in 10"), "{page}");
    assert!(page.contains("copies/frame: 0.00"), "{page}");
    let text = std::fs::read_to_string(&receipt).unwrap();
    let sealed: Value = serde_json::from_str(&text).unwrap();
    assert!(count(&sealed, "/host_edges") > 0, "{text}");
    let wire = &sealed["graph"]["nodes"][0];
    assert_eq!((&wire["host_edge"], &wire["granted_by"]), (&true.into(), &"walk -i right".into()));
    assert!(sealed["capture"]["sha256"].is_null() && text.contains("not hashed"), "{text}");
    let out = Command::new(env!("CARGO_BIN_EXE_framewalk"))
        .args(["receipt", "verify", &receipt, "--key", &key])
        .output()
        .unwrap();
    let found = String::from_utf8(out.stdout).unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(found.contains("NO  graph") && found.contains("port of the host's"), "{found}");
    std::fs::remove_dir_all(&folder).unwrap();
    for kind in ["private", "internal"] {
        let out = Command::new(env!("CARGO_BIN_EXE_framewalk"))
            .args(["walk", "-i", "right", "--guest", TO, "--switch-type", kind])
            .output()
            .unwrap();
        let said = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.contains("only an external switch"), "{said}");
    }
}

/// Applications of conversations, sorted, and the last line.
fn apps(lines: &[String]) -> (Vec<String>, Value) {
    let objects: Vec<Value> = lines.iter().map(|l| serde_json::from_str(l).unwrap()).collect();
    let flows = objects.iter().filter(|o| o["schema"] == "framewalk.flow/1");
    let mut apps: Vec<_> = flows
        .map(|o| format!("{} {} {}", o["app"], o["sent"]["frames"], o["received"]["frames"]))
        .collect();
    apps.sort();
    (apps, objects.last().unwrap().clone())
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_surface_tells_a_live_network_as_it_tells_a_file() {
    let _lab = cabled(1500);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../pcaps/practice.pcapng");
    let mut frames = Vec::new();
    let mut reader = capture::Reader::open(file).unwrap();
    while let Some(frame) = reader.next().unwrap() {
        frames.push(frame.data.to_vec());
    }
    let count = frames.len().to_string();
    let live = Live::start(&["surface", "-i", "right", "--json", "--count", &count]);
    send(&frames, 8, Duration::from_millis(2));
    let (lines, code, said) = live.end();
    assert_eq!(code, 0, "{said}");
    let (apps_live, total) = apps(&lines);
    let from_file = Command::new(env!("CARGO_BIN_EXE_framewalk"))
        .args(["surface", file, "--json"])
        .output()
        .unwrap();
    let lines: Vec<_> =
        String::from_utf8(from_file.stdout).unwrap().lines().map(str::to_owned).collect();
    let (apps_file, expected) = apps(&lines);
    assert_eq!(apps_live, apps_file);
    assert_eq!(total["frames"], expected["frames"]);
    assert_eq!(total["in_flows"], expected["in_flows"]);
}
