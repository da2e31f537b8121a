//! The program `framewalk inspect`, run as a user runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use capture::Reader;
use serde_json::Value;

fn framewalk(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_framewalk"));
    command.args(args).env("COLUMNS", "80").env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    framewalk(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn ours(name: &str) -> String {
    root().join("pcaps").join(name).to_string_lossy().into_owned()
}

/// Captures in a folder, or none (named) if the folder is absent.
fn captures(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        println!("skipped: there is no folder {}", folder.display());
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_capture = |path: &PathBuf| {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
        matches!(extension, "pcap" | "pcapng" | "cap")
    };
    let mut paths: Vec<_> = paths.filter(is_capture).collect();
    paths.sort();
    paths
}

/// Frames that the reader finds, up to a damage.
fn frames_in(path: &Path) -> u64 {
    let Ok(mut reader) = Reader::open(path) else { return 0 };
    while let Ok(Some(_)) = reader.next() {}
    reader.statistics().frames
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn check_object(object: &Value, number: u64) {
    let text = || object.to_string();
    assert_eq!(object["schema"], "framewalk.frame/1");
    assert_eq!(object["frame"], number, "{}", text());
    for key in ["caplen", "origlen", "interface", "section"] {
        assert!(object[key].is_u64(), "{key}: {}", text());
    }
    assert!(object["linktype"].is_string());
    assert!(object["time"].is_null() || object["time"].as_str().unwrap().len() == 30);
    let packet = &object["ethernet_packet"];
    if packet.is_object() {
        for key in ["bytes", "preamble", "sfd", "frame", "pad"] {
            assert!(packet[key].is_u64(), "{key}: {}", text());
        }
        let sum = ["preamble", "sfd", "frame"].map(|key| packet[key].as_u64().unwrap());
        assert_eq!(packet["bytes"].as_u64().unwrap(), sum.iter().sum::<u64>(), "{}", text());
        let fcs = packet["fcs"].as_str().unwrap();
        assert!(["absent", "good", "bad", "unknown"].contains(&fcs), "{}", text());
        assert!(packet["derived"].is_array());
    } else {
        assert!(packet.is_null() && object["wire_bytes"].is_null(), "{}", text());
    }
    for layer in object["layers"].as_array().unwrap() {
        assert!(layer["kind"].is_string() && layer["offset"].is_u64(), "{}", text());
        assert!(layer["length"].is_u64(), "{}", text());
        if let Some(sum) = layer.get("checksum") {
            assert!(["good", "bad", "unverified"].contains(&sum.as_str().unwrap()), "{}", text());
        }
    }
    for note in object["notes"].as_array().unwrap() {
        assert!(note["code"].is_string() && note["text"].is_string(), "{}", text());
    }
    let malformed = &object["malformed"];
    if !malformed.is_null() {
        assert!(malformed["layer"].is_string(), "{}", text());
        for key in ["offset", "need", "have"] {
            assert!(malformed[key].is_u64(), "{}", text());
        }
    }
}

/// As many objects as frames, in order, all of them by the contract.
fn check_file(path: &Path) {
    let output = run(&["inspect", &path.to_string_lossy(), "--json"]);
    let found = objects(&stdout(&output));
    assert_eq!(found.len() as u64, frames_in(path), "{}", path.display());
    for (object, number) in found.iter().zip(1..) {
        check_object(object, number);
    }
    let code = output.status.code();
    assert!(code == Some(0) || code == Some(2) && !output.stderr.is_empty(), "{}", path.display());
}

#[test]
fn every_capture_of_ours_gives_an_object_per_frame() {
    let files = captures(&root().join("pcaps"));
    assert!(!files.is_empty());
    for file in files {
        check_file(&file);
    }
}

#[test]
fn every_shared_capture_gives_an_object_per_frame() {
    for file in captures(&root().join("../shared/pcaps")) {
        check_file(&file);
    }
}

#[test]
fn every_page_and_line_is_readable_and_fits() {
    let shared = captures(&root().join("../shared/pcaps"));
    for file in captures(&root().join("pcaps")).iter().chain(shared.iter().step_by(4)) {
        let name = file.to_string_lossy();
        for mode in [&["--hex"][..], &["--summary"], &["--all"]] {
            let output = run(&[&["inspect", &*name], mode].concat());
            let text = stdout(&output);
            assert!(!text.contains('\x1b'), "colour without a terminal: {name}");
            assert!(
                text.lines()
                    .all(|line| line == line.trim_end() || mode == ["--all"] || line.contains('▁')),
                "trailing blanks: {name} {mode:?}"
            );
            if mode == ["--all"] && output.status.success() {
                assert_eq!(text.lines().count() as u64, 1 + frames_in(file), "{name}");
            }
        }
    }
}

#[test]
fn the_page_shows_three_views() {
    let output = run(&["inspect", &ours("practice.pcapng")]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    for part in [
        "format     pcapng",
        "link type  ETHERNET",
        "On the wire: the Ethernet packet",
        "derived",
        "the Ethernet frame",
        "Inside: the IP packet",
        "framewalk inspect",
        "framewalk walk",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    let views: Vec<_> = text.split("\nNext\n").collect();
    for line in views[0].lines().skip(1) {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn one_frame_in_all_its_forms() {
    let file = ours("practice.pcapng");
    let text = stdout(&run(&["inspect", &file, "--frame", "7"]));
    assert!(text.starts_with("frame 7 "), "{text}");
    let json = stdout(&run(&["inspect", &file, "--frame", "7", "--json"]));
    assert_eq!(objects(&json)[0]["frame"], 7);
    let all = stdout(&run(&["inspect", &file, "--json"]));
    assert_eq!(json.lines().next(), all.lines().nth(6));
    let absent = run(&["inspect", &file, "--frame", "9999999"]);
    assert_eq!(absent.status.code(), Some(2));
    assert!(stderr(&absent).contains("there is no frame 9999999"), "{}", stderr(&absent));
}

#[test]
fn summary_adds_up() {
    for file in captures(&root().join("pcaps")) {
        let name = file.to_string_lossy();
        let summary = &objects(&stdout(&run(&["inspect", &name, "--summary", "--json"])))[0];
        let frames = objects(&stdout(&run(&["inspect", &name, "--json"])));
        assert_eq!(summary["schema"], "framewalk.summary/1");
        assert_eq!(summary["frames"].as_u64().unwrap(), frames.len() as u64, "{name}");
        let bytes: u64 = frames.iter().map(|frame| frame["origlen"].as_u64().unwrap()).sum();
        assert_eq!(summary["bytes"].as_u64().unwrap(), bytes, "{name}");
        let sizes: u64 = summary["sizes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["frames"].as_u64().unwrap())
            .sum();
        assert_eq!(sizes, frames.len() as u64, "{name}");
        check_hierarchy(summary, &frames, &name);
    }
}

/// The hierarchy by the quick look must be the one that the full decode gives.
fn check_hierarchy(summary: &Value, frames: &[Value], name: &str) {
    let mut chains = std::collections::BTreeMap::<String, u64>::new();
    for frame in frames {
        let kinds = frame["layers"].as_array().unwrap().iter().map(|l| l["kind"].as_str().unwrap());
        let mut chain = String::new();
        for kind in kinds {
            chain.push('/');
            chain.push_str(kind);
            *chains.entry(chain.clone()).or_default() += 1;
        }
    }
    let mut path: Vec<String> = Vec::new();
    for row in summary["protocols"].as_array().unwrap() {
        path.truncate(row["depth"].as_u64().unwrap() as usize);
        path.push(row["kind"].as_str().unwrap().to_owned());
        if row["by_port"] == true {
            continue;
        }
        let chain = format!("/{}", path.join("/"));
        let expected = chains.remove(&chain);
        let is_linktype = path.len() == 1 && path[0].chars().all(|c| !c.is_lowercase());
        assert!(expected == row["frames"].as_u64() || is_linktype, "{name}: {chain} {expected:?}");
    }
    assert!(chains.is_empty(), "{name}: not in the summary: {chains:?}");
}

#[test]
fn shared_captures_have_the_same_hierarchy_both_ways() {
    for file in captures(&root().join("../shared/pcaps")) {
        let name = file.to_string_lossy();
        let summary = stdout(&run(&["inspect", &name, "--summary", "--json"]));
        // a file that is no capture at all prints nothing
        let Some(summary) = objects(&summary).into_iter().next() else { continue };
        let frames = objects(&stdout(&run(&["inspect", &name, "--json"])));
        check_hierarchy(&summary, &frames, &name);
    }
}

#[test]
fn a_cut_file_gives_what_was_before_the_cut() {
    let file = ours("dns.pcap");
    let whole = std::fs::read(&file).unwrap();
    let folder = scratch("cut");
    for cut in (1..whole.len()).step_by(97) {
        let path = folder.join("cut.pcap");
        std::fs::write(&path, &whole[..cut]).unwrap();
        check_file(&path);
    }
    let path = folder.join("cut.pcap");
    std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
    for mode in [&["--json"][..], &["--all"], &["--summary"], &[]] {
        let output = run(&[&["inspect", &*path.to_string_lossy()], mode].concat());
        assert_eq!(output.status.code(), Some(2), "{mode:?}");
        assert!(!output.stdout.is_empty(), "{mode:?}");
        let error = stderr(&output);
        assert!(error.contains("cut.pcap") && error.contains("byte"), "{error}");
        assert_eq!(error.matches("framewalk:").count(), 1, "{error}");
    }
}

#[test]
fn standard_input_is_a_file_too() {
    let file = ours("dns.pcap");
    let mut child = framewalk(&["inspect", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let bytes = std::fs::read(&file).unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(stdout(&output), stdout(&run(&["inspect", &file, "--json"])));
}

#[test]
fn many_batches_keep_their_order() {
    let one = std::fs::read(ours("dns.pcap")).unwrap();
    let (head, body) = one.split_at(24);
    let times = 6_000_000 / body.len();
    let path = scratch("order").join("many.pcap");
    std::fs::write(&path, [head, &body.repeat(times)].concat()).unwrap();
    let frames = frames_in(&path);
    assert!(frames > 5000, "{frames}");
    let text = stdout(&run(&["inspect", &path.to_string_lossy(), "--json"]));
    assert_eq!(text.lines().count() as u64, frames);
    for (line, number) in text.lines().zip(1_u64..) {
        assert!(line.contains(&format!("\"frame\":{number},")), "{line}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let one = std::fs::read(ours("dns.pcap")).unwrap();
    let path = scratch("pipe").join("many.pcap");
    std::fs::write(&path, [&one[..24], &one[24..].repeat(2000)].concat()).unwrap();
    for mode in ["--json", "--all"] {
        let mut child = framewalk(&["inspect", &path.to_string_lossy(), mode])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(output.stderr.is_empty(), "{}", stderr(&output));
    }
}

#[test]
fn what_is_no_capture_is_refused_with_reason_and_hint() {
    let folder = scratch("refused");
    let path = folder.join("letter.txt");
    std::fs::write(&path, "Dear Doctor, ").unwrap();
    let output = run(&["inspect", &path.to_string_lossy()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("pcap"), "{}", stderr(&output));
    let output = run(&["inspect", "/nonexistent/file.pcap"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("hint:"), "{}", stderr(&output));
    let output = run(&["inspect", "x", "--frame", "0"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn filters_select_or_say_how_to_get_them() {
    let file = ours("practice.pcapng");
    let output = run(&["inspect", &file, "--json", "--filter", "arp"]);
    if capture::filter::AVAILABLE {
        let found = objects(&stdout(&output));
        assert!(!found.is_empty());
        assert!(found.iter().all(|frame| frame["layers"][1]["kind"] == "arp"));
        let wrong = run(&["inspect", &file, "--filter", "tcp port"]);
        assert_eq!(wrong.status.code(), Some(2));
        assert!(stderr(&wrong).contains("tcp port"), "{}", stderr(&wrong));
    } else {
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("libpcap"), "{}", stderr(&output));
    }
}

#[test]
fn colour_when_asked_for_and_never_with_no_color() {
    let file = ours("ping.pcap");
    assert!(stdout(&run(&["inspect", &file, "--color", "always"])).contains("\x1b["));
    let mut command = framewalk(&["inspect", &file]);
    let output = command.env("NO_COLOR", "1").output().unwrap();
    assert!(!stdout(&output).contains('\x1b'));
}

/// A folder of this test process alone.
fn scratch(name: &str) -> PathBuf {
    let path =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}
