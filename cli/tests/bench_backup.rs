//! `framewalk bench backup`: rows as they become known, and what is kept when it is stopped.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test file as a whole")]

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

fn bench(args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_framewalk"));
    command.args(["bench", "backup", "--json"]).args(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn row(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

#[test]
fn a_row_is_there_before_the_bench_ends() {
    let mut child = bench(&["--only", "stream", "--runs", "1", "--seconds", "1"]);
    let mut rows = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = row(&rows.next().unwrap().unwrap());
    assert!(first["case"].as_str().unwrap().contains("segmentation offload"), "{first}");
    assert!(child.try_wait().unwrap().is_none(), "two more cases take a second each");
    let rest: Vec<_> = rows.map(|line| row(&line.unwrap())).collect();
    assert_eq!(rest.len(), 2, "{rest:?}");
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_was_measured_before_ctrl_c_is_printed() {
    let mut child = bench(&["--only", "stream", "--runs", "100", "--seconds", "0.05"]);
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let third = said.by_ref().find(|line| line.as_ref().unwrap().starts_with("run 3 of 100: "));
    assert!(third.is_some(), "what is measured now is told");
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let said: Vec<_> = said.map(Result::unwrap).collect();
    assert!(said.last().unwrap().contains("stopped"), "{said:?}");
    let rows = BufReader::new(child.stdout.take().unwrap()).lines();
    let rows: Vec<_> = rows.map(|line| row(&line.unwrap())).collect();
    assert_eq!(rows.len(), 3, "{rows:?}");
    for row in rows {
        let runs = row["runs"].as_u64().unwrap();
        assert!((2..100).contains(&runs), "{row}");
    }
    assert_eq!(child.wait().unwrap().code(), Some(2));
}

#[test]
fn a_push_through_the_path_in_memory_is_on_the_ledger() {
    let args = ["--only", "path", "--mib", "16", "--runs", "1"];
    let done = bench(&args).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    let rows: Vec<_> = String::from_utf8(done.stdout).unwrap().lines().map(row).collect();
    assert_eq!(rows.len(), 4, "{rows:?}");
    for row in &rows {
        assert!(row["sent_bytes"].as_u64().unwrap() > 10_000, "{row}");
        let stages = row["stages"].as_str().unwrap();
        assert!(stages.contains("wire ") && stages.contains("receive "), "{row}");
        let through = row["case"].as_str().unwrap().contains("through the path");
        assert_eq!(stages.contains("switch "), through, "{row}");
        if through {
            let frames = row["originated"].as_u64().unwrap();
            assert!(frames > 20 && row["delivered"].as_u64() == Some(frames), "{row}");
            assert_eq!((&row["balanced"], &row["held"]), (&true.into(), &0.into()), "{row}");
        }
    }
}

#[test]
#[ignore = "privileged: makes devices in two network namespaces of its own"]
fn privileged_a_stream_between_two_hosts_is_measured_beside_the_kernel() {
    if Command::new("ethtool").arg("--version").output().is_err() {
        println!("SKIPPED: no ethtool on this machine; type: sudo apt install ethtool");
        return;
    }
    let args = ["--only", "veth", "--runs", "1", "--seconds", "0.2"];
    let done = bench(&args).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    let rows: Vec<_> = String::from_utf8(done.stdout).unwrap().lines().map(row).collect();
    // four cables, and over each the kernel and the path
    let cases: HashSet<_> = rows.iter().map(|row| row["case"].as_str().unwrap()).collect();
    assert_eq!((cases.len(), rows.len()), (4, 8), "{rows:?}");
    for case in cases {
        let peers = rows.iter().filter(|row| row["case"] == case && !row["peer"].is_null());
        assert_eq!(peers.count(), 1, "{case}: {rows:?}");
    }
    for row in &rows {
        assert!(row["median"].as_f64().unwrap() > 0.01, "{row}");
        if row["peer"].is_null() {
            for end in ["sender", "receiver"] {
                let told = row[end].as_str().unwrap();
                assert!(told.contains("balanced true") && told.contains("held 0;"), "{row}");
            }
        }
    }
}
