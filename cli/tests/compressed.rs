//! The same capture plain, in gzip, in zstd and through a pipe gives the same.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::Value;

fn framewalk(args: &[&str], stdin: Option<&[u8]>) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_framewalk"))
        .args(args)
        .env("COLUMNS", "80")
        .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    if let (Some(bytes), Some(mut pipe)) = (stdin, child.stdin.take()) {
        let bytes = bytes.to_vec();
        // an input that is refused at once closes the pipe: no matter
        std::thread::spawn(move || drop(pipe.write_all(&bytes)));
    }
    child.wait_with_output().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The ledger without what differs from run to run or from name to name.
fn ledger(output: &Output) -> Value {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let mut ledger: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    for member in ["seconds", "stages", "input", "who", "copies", "copies_per_frame"] {
        ledger[member].take();
    }
    ledger
}

/// What the page says below the lines about the file itself.
fn page(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let (_, page) = text.split_once("  link type").unwrap();
    page.split("\nNext\n").next().unwrap().to_owned()
}

/// The capture in every packing, with the word that the page has for it.
fn packings(name: &str) -> Vec<(PathBuf, &'static str)> {
    let plain = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps").join(name);
    let bytes = fs::read(&plain).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compressed");
    fs::create_dir_all(&folder).unwrap();
    // gzip knows several members in a row, zstd several frames: what a rotating writer leaves
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    let zstd = |bytes: &[u8]| compress_to_vec(bytes, CompressionLevel::Fastest);
    let files = [
        ("gz", "gzip", gzip(&bytes)),
        ("zst", "zstd", zstd(&bytes)),
        ("two.gz", "gzip", [gzip(first), gzip(rest)].concat()),
        ("two.zst", "zstd", [zstd(first), zstd(rest)].concat()),
    ];
    let mut packings = vec![(plain, "pcap")];
    for (ending, word, bytes) in files {
        let path = folder.join(format!("{name}.{ending}"));
        fs::write(&path, bytes).unwrap();
        packings.push((path, word));
    }
    packings
}

#[test]
fn every_packing_gives_the_same() {
    for name in ["http.pcap", "practice.pcapng"] {
        let packings = packings(name);
        let plain = packings[0].0.to_string_lossy().into_owned();
        let frames = framewalk(&["inspect", &plain, "--json"], None);
        let walked = framewalk(&["walk", &plain, "--json"], None);
        let shown = framewalk(&["inspect", &plain], None);
        assert!(frames.status.success() && walked.status.success() && shown.status.success());
        for (path, word) in &packings {
            let (file, bytes) = (path.to_string_lossy(), fs::read(path).unwrap());
            for (file, stdin) in [(&*file, None), ("-", Some(&bytes[..]))] {
                let json = framewalk(&["inspect", file, "--json"], stdin);
                assert!(json.status.success(), "{path:?}");
                assert!(json.stdout == frames.stdout, "{path:?} as {file}");
                let walk = framewalk(&["walk", file, "--json"], stdin);
                assert_eq!(ledger(&walk), ledger(&walked), "{path:?} as {file}");
                let text = framewalk(&["inspect", file], stdin);
                assert_eq!(page(&text), page(&shown), "{path:?} as {file}");
                assert!(String::from_utf8_lossy(&text.stdout).contains(word), "{path:?}");
            }
        }
    }
}

#[test]
fn a_cut_packing_gives_what_was_before_the_cut() {
    for (path, _) in packings("http.pcap").iter().skip(1) {
        let bytes = fs::read(path).unwrap();
        let cut = &bytes[..bytes.len() - 9];
        let json = framewalk(&["inspect", "-", "--json"], Some(cut));
        assert_eq!(json.status.code(), Some(2), "{path:?}");
        assert!(!json.stderr.is_empty());
        let walk = framewalk(&["walk", "-", "--json"], Some(cut));
        assert_eq!(walk.status.code(), Some(2), "{path:?}");
        let lines = json.stdout.split_inclusive(|byte| *byte == b'\n').count();
        if lines == 0 {
            // the whole capture was one block of zstd's: not even a header came out
            assert!(walk.stdout.is_empty(), "{path:?}");
            continue;
        }
        let ledger = ledger(&walk);
        assert_eq!(ledger["balanced"], true, "{path:?}");
        assert_eq!(ledger["in"], lines, "{path:?}");
        assert!(ledger["damage"].is_string(), "{path:?}");
    }
}

#[test]
fn a_file_without_frames_has_a_ledger_of_zeros() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compressed");
    fs::create_dir_all(&folder).unwrap();
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps/http.pcap");
    let header = fs::read(whole).unwrap()[..24].to_vec();
    let path = folder.join("header-only.pcap");
    fs::write(&path, &header).unwrap();
    let file = path.to_string_lossy();
    for (file, stdin) in [(&*file, None), ("-", Some(&header[..]))] {
        let walk = framewalk(&["walk", file, "--json"], stdin);
        assert_eq!(walk.status.code(), Some(0), "{}", String::from_utf8_lossy(&walk.stderr));
        let ledger = ledger(&walk);
        assert_eq!(
            (&ledger["schema"], &ledger["balanced"]),
            (&"framewalk.ledger/1".into(), &true.into())
        );
        for term in ["in", "originated", "cloned", "split", "delivered", "merged", "held", "host"] {
            assert_eq!(ledger[term], 0, "{term}");
        }
        assert_eq!(ledger["dropped"], serde_json::json!({}));
        let page = framewalk(&["walk", file], stdin);
        let text = String::from_utf8_lossy(&page.stdout).into_owned();
        assert!(page.status.success() && text.contains("balanced") && text.contains("Drops: none"));
        let json = framewalk(&["inspect", file, "--json"], stdin);
        assert!(json.status.success() && json.stdout.is_empty());
    }
}

#[test]
fn an_empty_file_is_an_error_that_says_so() {
    for args in [&["inspect", "-"][..], &["walk", "-"], &["inspect", "-", "--json"]] {
        let output = framewalk(args, Some(&[]));
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains("empty file"), "{error}");
    }
}
