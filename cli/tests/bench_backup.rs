//! `framewalk bench backup`: rows as they become known, and what is kept when it is stopped.
#![allow(clippy::unwrap_used)] // helpers of tests, outside of #[test]

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
