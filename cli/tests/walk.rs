//! `framewalk walk` and `framewalk receipt`, as a person or a script meets them.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use capture::Reader;
use capture::write::PcapWriter;
use serde_json::Value;
use skb::LinkType;

const BINARY: &str = env!("CARGO_BIN_EXE_framewalk");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn practice() -> String {
    root().join("pcaps/practice.pcapng").to_string_lossy().into_owned()
}

/// A folder of one test's own, emptied before.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("walk").join(test);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn framewalk(args: &[&str]) -> Output {
    Command::new(BINARY).args(args).env("NO_COLOR", "1").stdin(Stdio::null()).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The last line of standard output, which is the ledger.
fn ledger(output: &Output) -> Value {
    let text = text(&output.stdout);
    serde_json::from_str(text.lines().last().expect("a line")).unwrap()
}

const GUEST: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 7];
const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 8];
const ALL: [u8; 6] = [0xff; 6];

fn frame(dst: [u8; 6], src: [u8; 6]) -> Vec<u8> {
    let mut frame = [&dst[..], &src, &[0x88, 0xb5]].concat();
    frame.resize(60, 0);
    frame
}

fn write_capture(path: &Path, frames: &[Vec<u8>]) -> String {
    let out = fs::File::create(path).unwrap();
    let mut writer = PcapWriter::new(out, LinkType::ETHERNET, 0, None).unwrap();
    for frame in frames {
        writer.write_frame(1_000_000_000, frame.len() as u32, frame).unwrap();
    }
    writer.finish().unwrap();
    path.to_string_lossy().into_owned()
}

/// Two to the guest, one from it, one broadcast, one past it.
fn five(folder: &Path) -> String {
    let frames = [
        frame(GUEST, PEER),
        frame(GUEST, OTHER),
        frame(PEER, GUEST),
        frame(ALL, PEER),
        frame(OTHER, PEER),
    ];
    write_capture(&folder.join("five.pcap"), &frames)
}

#[test]
fn the_ledger_is_the_contract() {
    let file = five(&folder("contract"));
    let output = framewalk(&["walk", &file, "--json"]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let ledger = ledger(&output);
    for (term, count) in [
        ("in", 5),
        ("originated", 0),
        ("cloned", 0),
        ("split", 0),
        ("delivered", 4),
        ("consumed", 0),
        ("merged", 0),
        ("held", 0),
        ("host", 0),
    ] {
        assert_eq!(ledger[term], count, "{term}");
    }
    assert_eq!(ledger["schema"], "framewalk.ledger/1");
    assert_eq!(ledger["balanced"], true);
    assert_eq!(ledger["dropped"], serde_json::json!({"same-port": 1}));
    assert_eq!(ledger["dropped_by_stage"]["vswitch"]["same-port"], 1);
    assert_eq!(ledger["guests"], serde_json::json!(["02:00:00:00:00:01"]));
    assert_eq!(ledger["copies"], serde_json::json!({}));
    let stages: Vec<_> = ledger["stages"].as_array().unwrap().iter().map(|s| &s["stage"]).collect();
    assert_eq!(stages, ["nic", "driver", "skb", "vswitch", "guest", "path"]);
    assert!(ledger["stages"][0]["p50_ns"].as_f64().unwrap() > 0.0);
    assert_eq!(ledger["who"]["guests"][0]["frames"], 2);
}

#[test]
fn a_stream_is_walked_like_the_file() {
    let file = practice();
    let from_file = ledger(&framewalk(&["walk", &file, "--json"]));
    let mut child = Command::new(BINARY)
        .args(["walk", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&fs::read(&file).unwrap()).unwrap();
    let from_stream = ledger(&child.wait_with_output().unwrap());
    for term in ["in", "delivered", "dropped", "cloned", "guests", "ports"] {
        assert_eq!(from_file[term], from_stream[term], "{term}");
    }
}

#[test]
fn exit_codes() {
    let folder = folder("exit-codes");
    let file = five(&folder);
    assert_eq!(code(&framewalk(&["walk", &file])), 0);
    assert_eq!(code(&framewalk(&["walk", &file, "--fail-on-drop"])), 1);
    let clean = write_capture(&folder.join("clean.pcap"), &[frame(GUEST, PEER)]);
    assert_eq!(code(&framewalk(&["walk", &clean, "--fail-on-drop"])), 0);
    for wrong in [
        &["walk", "no-such-file.pcap"][..],
        &["walk", &file, "--frame", "6"],
        &["walk", &file, "--frame", "0"],
        &["walk", &file, "--guest", "ff:ff:ff:ff:ff:ff"],
        &["walk", &file, "--guest", "02:00:00:00:00:01", "--guest", "02:00:00:00:00:01"],
        &["walk"],
    ] {
        let output = framewalk(wrong);
        assert_eq!(code(&output), 2, "{wrong:?}");
        assert!(!output.stderr.is_empty(), "{wrong:?}");
    }
}

#[test]
fn a_damaged_file_prints_the_ledger_of_what_came_before() {
    let folder = folder("damaged");
    let bytes = fs::read(five(&folder)).unwrap();
    let cut = folder.join("cut.pcap");
    fs::write(&cut, &bytes[..bytes.len() - 10]).unwrap();
    let output = framewalk(&["walk", &cut.to_string_lossy(), "--json"]);
    assert_eq!(code(&output), 2);
    let ledger = ledger(&output);
    assert_eq!((&ledger["in"], &ledger["balanced"]), (&Value::from(4), &Value::from(true)));
    assert!(ledger["damage"].as_str().unwrap().contains("damaged at byte"));
    assert!(text(&output.stderr).contains("damaged at byte"));
}

#[test]
fn the_page_for_people_fits_80_columns_and_says_what_to_do_next() {
    let output = framewalk(&["walk", &practice()]);
    let page = text(&output.stdout);
    for words in [
        "Who is who",
        "nic",
        "vswitch",
        "Ledger of frame references: balanced",
        "copies/frame: 0.00",
        "same-port",
        "p99.9",
        "--step",
    ] {
        assert!(page.contains(words), "{words}\n{page}");
    }
    let next = page.find("Next").unwrap();
    let long: Vec<_> = page[..next].lines().filter(|line| line.chars().count() > 80).collect();
    assert!(long.is_empty(), "{long:#?}");
    assert!(!page.contains('\u{1b}'));
}

#[test]
fn a_private_switch_has_no_wire_and_an_internal_one_has_the_host() {
    let file = five(&folder("types"));
    let private = ledger(&framewalk(&["walk", &file, "--json", "--switch-type", "private"]));
    // what the wire sent is refused; what the guest sent has nowhere to go
    assert_eq!(private["dropped"]["policy"], 4);
    assert_eq!((&private["delivered"], &private["host_edges"]), (&0.into(), &0.into()));
    let internal = ledger(&framewalk(&["walk", &file, "--json", "--switch-type", "internal"]));
    assert_eq!(internal["host"], 1);
    assert_eq!((&internal["balanced"], &internal["host_edges"]), (&true.into(), &1.into()));
}

#[test]
fn a_live_guest_answers() {
    let folder = folder("live");
    let mut who_has =
        [&ALL[..], &PEER, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &PEER, &[192, 0, 2, 7]].concat();
    who_has.extend([0, 0, 0, 0, 0, 0, 192, 0, 2, 1]);
    who_has.resize(60, 0);
    let file = write_capture(&folder.join("arp.pcap"), &[who_has]);
    let live = "02:00:00:00:00:01=192.0.2.1/24";
    let output = framewalk(&["walk", &file, "--json", "--live-guest", live]);
    let ledger = ledger(&output);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert!(ledger["originated"].as_u64().unwrap() >= 1, "{ledger}");
    assert_eq!(ledger["copies"]["guest-memory"], 1);
    assert_eq!((&ledger["balanced"], &ledger["held"]), (&true.into(), &0.into()));
}

#[test]
fn steps_as_text_and_as_json() {
    let file = five(&folder("steps"));
    let page = text(&framewalk(&["walk", &file, "--frame", "1", "--step"]).stdout);
    for words in [
        "step 1/8",
        "[nic]",
        "[driver]",
        "[skb]",
        "[vswitch]",
        "[guest]",
        "preamble* 7",
        "head 0  data 14",
        "14 pulled",
        "eth_type_trans",
        "dataref",
        "02:00:00:00:00:07",
    ] {
        assert!(page.contains(words), "{words}\n{page}");
    }
    assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    let lines = text(&framewalk(&["walk", &file, "--frame", "5", "--json"]).stdout);
    let steps: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(steps.iter().all(|step| step["schema"] == "framewalk.step/1" && step["frame"] == 5));
    let last = &steps[steps.len() - 1];
    assert_eq!((&last["kind"], &last["verdict"]["drop"]), (&"dropped".into(), &"same-port".into()));
}

#[test]
fn the_export_holds_every_frame_at_every_stage() {
    let folder = folder("export");
    let out = folder.join("stages.pcapng");
    let path = out.to_string_lossy();
    let output = framewalk(&["walk", &practice(), "--export", &path, "--json"]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let ledger = ledger(&output);
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        assert_eq!(fs::metadata(&out).unwrap().mode() & 0o777, 0o600);
    }
    let mut reader = Reader::open(&out).unwrap();
    let mut stages = vec![Vec::new(); 5];
    while let Some(frame) = reader.next().unwrap() {
        let comment = frame.comments().next().unwrap().into_owned();
        let names = ["nic", "driver", "skb", "vswitch", "guest"];
        assert!(comment.starts_with(names[frame.meta.interface as usize]), "{comment}");
        stages[frame.meta.interface as usize].push(frame.meta.packet_id.unwrap());
    }
    let frames = ledger["in"].as_u64().unwrap();
    for ids in &stages[..4] {
        assert_eq!(*ids, (1..=frames).collect::<Vec<_>>());
    }
    assert_eq!(stages[4].len() as u64, ledger["delivered"].as_u64().unwrap());
    assert!(reader.sections()[0].comments[0].contains("patient data"));
    let small = framewalk(&["walk", &practice(), "--export", &path, "--export-max", "9000"]);
    assert_eq!(code(&small), 2);
    assert!(text(&small.stderr).contains("budget"));
    assert!(fs::metadata(&out).unwrap().len() < 12_000);
}

#[test]
fn the_export_opens_in_tshark_without_a_warning() {
    if Command::new("tshark").arg("--version").output().is_err() {
        eprintln!("skipped: tshark is not installed");
        return;
    }
    let out = folder("tshark").join("stages.pcapng");
    let path = out.to_string_lossy();
    let output = framewalk(&["walk", &practice(), "--export", &path, "--json"]);
    let frames = ledger(&output)["in"].as_u64().unwrap();
    let tshark = Command::new("tshark")
        .args(["-n", "-r", &path, "-T", "fields"])
        .args(["-e", "frame.interface_name", "-e", "frame.packet_id", "-e", "frame.comment"])
        .output()
        .unwrap();
    assert!(tshark.status.success());
    let said = text(&tshark.stderr);
    let complaint = |line: &&str| !line.contains("Running as user") && !line.trim().is_empty();
    assert_eq!(said.lines().find(complaint), None);
    let ids = |stage: &str| -> Vec<u64> {
        let out = text(&tshark.stdout);
        let fields = out.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        fields.filter(|f| f[0] == stage).map(|f| f[1].parse().unwrap()).collect()
    };
    for stage in ["nic", "driver", "skb", "vswitch"] {
        assert_eq!(ids(stage), (1..=frames).collect::<Vec<_>>(), "{stage}");
    }
    assert!(!ids("guest").is_empty());
}

#[test]
fn a_receipt_is_verified_and_never_complete() {
    let folder = folder("receipt");
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (receipt, key, other) = (path("r.json"), path("key"), path("other"));
    let file = practice();
    let made = framewalk(&["walk", &file, "--receipt", &receipt, "--key", &key]);
    assert_eq!(code(&made), 0, "{}", text(&made.stderr));
    framewalk(&["walk", &file, "--receipt", &path("x.json"), "--key", &other]);
    let verify = |file: &str, key: &str| framewalk(&["receipt", "verify", file, "--key", key]);

    let good = verify(&receipt, &key);
    let said = text(&good.stdout);
    assert_eq!(code(&good), 1);
    assert!(said.contains("incomplete") && said.contains("fits"), "{said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("NO")).count(), 1, "{said}");
    let word = ["iso", "lated"].concat();
    let written = fs::read_to_string(&receipt).unwrap();
    assert!(!said.contains(&word) && !written.contains(&word));
    let value: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(value["verdict"], "incomplete");
    assert_eq!((&value["witness"], &value["control"]), (&"none".into(), &"none".into()));
    assert_eq!(value["capture"]["bytes"], fs::metadata(&file).unwrap().len());

    let changed = path("changed.json");
    fs::write(&changed, written.replacen("\"delivered\": ", "\"delivered\": 1", 1)).unwrap();
    let said = text(&verify(&changed, &key).stdout);
    assert!(said.contains("was changed after sealing"), "{said}");
    assert!(text(&verify(&receipt, &other).stdout).contains("made with key"));
    fs::write(&changed, "{").unwrap();
    assert_eq!(code(&verify(&changed, &key)), 2);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let refused = verify(&receipt, &key);
        assert_eq!(code(&refused), 2);
        assert!(text(&refused.stderr).contains("chmod 600"));
    }
}

#[test]
fn two_guests_and_one_stream() {
    let output = framewalk(&["walk", "--stream", "2M", "--json"]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let ledger = ledger(&output);
    assert_eq!(ledger["stream"]["bytes"], 2_000_000);
    assert_eq!((&ledger["stream"]["exact"], &ledger["balanced"]), (&true.into(), &true.into()));
    assert_eq!((&ledger["host_edges"], &ledger["dropped"]), (&0.into(), &serde_json::json!({})));
}

#[test]
fn every_shared_capture_walks_balanced() {
    let folder = root().join("../shared/pcaps");
    let Ok(entries) = fs::read_dir(&folder) else {
        eprintln!("skipped: ../shared/pcaps is not there");
        return;
    };
    let mut walked = 0;
    for entry in entries.flatten() {
        let path = entry.path();
        let name = path.to_string_lossy().into_owned();
        let Ok(mut reader) = Reader::open(&path) else { continue };
        let mut frames = 0;
        while let Ok(Some(_)) = reader.next() {
            frames += 1;
        }
        let output = framewalk(&["walk", &name, "--json", "--quiet"]);
        assert!(matches!(code(&output), 0 | 2), "{name}: {}", text(&output.stderr));
        let ledger = ledger(&output);
        assert_eq!(ledger["balanced"], true, "{name}");
        assert_eq!((&ledger["host"], &ledger["held"]), (&0.into(), &0.into()), "{name}");
        assert_eq!(ledger["in"], frames, "{name}");
        walked += 1;
    }
    assert!(walked > 100, "only {walked} captures");
}

/// A replay into the switch is a walk, at another pace and with a copy of each frame.
#[test]
#[cfg(target_os = "linux")]
fn a_replay_into_the_switch_comes_to_what_a_walk_does() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps/practice.pcapng");
    let file = file.to_str().unwrap();
    let lines = |args: &[&str]| -> Vec<serde_json::Value> {
        let out = Command::new(env!("CARGO_BIN_EXE_framewalk")).args(args).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8(out.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    for kind in ["external", "internal", "private"] {
        let walked = lines(&["walk", file, "--switch-type", kind, "--json"]).remove(0);
        let replayed = lines(&["replay", file, "--switch", "-t", "--switch-type", kind, "--json"]);
        assert_eq!(
            (&replayed[0]["sent"], &replayed[0]["method"]),
            (&walked["in"], &"switch".into())
        );
        for member in ["in", "delivered", "dropped", "consumed", "cloned", "ports", "guests"] {
            assert_eq!(replayed[1][member], walked[member], "{kind}: {member}");
        }
        assert_eq!(replayed[1]["copies"]["fed"], walked["in"]);
    }
    let paced = lines(&["replay", file, "--switch", "--pps", "1000", "--limit", "100", "--json"]);
    assert_eq!((&paced[0]["sent"], &paced[1]["in"]), (&100.into(), &100.into()));
    assert!(paced[0]["seconds"].as_f64().unwrap() > 0.098);
}
