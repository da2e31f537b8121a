//! `framewalk bench replay` and `bench capture` in their shortest form, so that they cannot rot.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test file as a whole")]

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::unistd::geteuid;
use serde_json::Value;

/// The rows of a short run. Nothing of it may be left.
fn quick(args: &[&str]) -> Vec<Value> {
    let child = Command::new(env!("CARGO_BIN_EXE_framewalk"))
        .args(["bench", args[0], "--quick", "--json"])
        .args(&args[1..])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let folder = std::env::temp_dir().join(format!("framewalk-bench-{}", child.id()));
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    assert!(!folder.exists(), "{} is left", folder.display());
    for name in ["near", "far"] {
        assert!(nic::link::by_name(name).is_err(), "the device {name} is in this namespace");
    }
    print!("{said}");
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Our row of a case.
fn ours<'a>(rows: &'a [Value], case: &str) -> &'a Value {
    let row = rows.iter().find(|row| row["case"] == case && row["peer"].is_null());
    let row = row.unwrap_or_else(|| panic!("no row of ours for: {case}"));
    assert_eq!(row["schema"], "framewalk.bench/1");
    assert_eq!(row["runs"], 1);
    row
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_bench_replay_measures_what_the_far_end_counts() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../pcaps/practice.pcapng");
    let rows = quick(&["replay", file]);
    for case in ["top speed 64B", "top speed 1500B"] {
        let row = ours(&rows, case);
        // slow machines are slow; nothing at all is something else
        assert!(row["median"].as_f64().unwrap() > 0.001, "{row}");
        assert_eq!(row["metric"], "mpps");
    }
    for what in ["100 kpps", "recorded, random 20 us", "recorded, practice.pcapng"] {
        for metric in ["gap error p50", "gap error p99", "gap error p99.9", "last frame off"] {
            let row = ours(&rows, &format!("{metric}, {what}"));
            assert!(row["median"].as_f64().unwrap() >= 0.0 && row["floor"].is_f64(), "{row}");
        }
        let row = ours(&rows, &format!("gap error p50, {what}"));
        assert_eq!(row["frames_lost"], 0, "{row}");
        let bare =
            |row: &&Value| row["peer"] == "a bare spinning sender" && row["bench"] == "replay";
        assert!(
            rows.iter().any(|row| bare(&row) && row["case"] == format!("gap error p50, {what}"))
        );
    }
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_bench_capture_counts_files_against_the_interface() {
    let rows = quick(&["capture"]);
    for case in ["to disk, full speed 64B", "to disk, full speed 1500B"] {
        let row = ours(&rows, case);
        let count = |name: &str| row[name].as_u64().unwrap();
        assert!(count("frames_captured") > 0, "{row}");
        assert_eq!(count("frames_arrived"), count("frames_captured") + count("frames_lost"));
        assert!(row["floor"].as_f64().unwrap() > 0.0, "{row}");
    }
    for case in ["cpu per frame, 500 kpps 64B", "cpu per frame, 450 kpps 1500B"] {
        assert!(ours(&rows, case)["median"].as_f64().unwrap() > 0.0);
    }
    let end = ours(&rows, "lost at the end by SIGINT");
    assert_eq!(
        (end["median"].as_f64(), end["frames_lost"].as_u64()),
        (Some(0.0), Some(0)),
        "{end}"
    );
}

#[test]
fn without_root_a_bench_on_a_cable_says_what_is_missing() {
    for what in ["replay", "capture"] {
        let mut bench = Command::new(env!("CARGO_BIN_EXE_framewalk"));
        bench.args(["bench", what, "--quick"]);
        if geteuid().is_root() {
            bench.uid(65534); // nobody
        }
        let out = match bench.output() {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                println!("SKIPPED: another user may not run this program: {error}");
                return;
            }
            out => out.unwrap(),
        };
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.contains("needs root") && said.contains("type: sudo "), "{said}");
        assert!(out.stdout.is_empty());
    }
}
