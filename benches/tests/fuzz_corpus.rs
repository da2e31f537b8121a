//! The kept inputs of the fuzz targets, replayed without a fuzzer: what once went wrong, or was
//! the only way to some line, is tried by every test run.

#[allow(unreachable_pub, dead_code, clippy::expect_used)] // a crate of its own as well
#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

use std::fs;
use std::path::Path;

/// Runs every kept input of `target`.
fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).expect("the kept inputs");
    let mut inputs: Vec<_> = entries.map(|entry| entry.expect("an entry")).collect();
    inputs.sort_by_key(fs::DirEntry::file_name);
    assert!(inputs.len() > 20, "the corpus of {target} is there");
    for input in inputs {
        let bytes = fs::read(input.path()).expect("an input");
        let result = std::panic::catch_unwind(|| run(&bytes));
        assert!(result.is_ok(), "{target}: {}", input.path().display());
    }
}

#[test]
fn capture_reader() {
    replay("capture_reader", fuzz::capture_reader::run);
}

#[test]
fn decode() {
    replay("decode", fuzz::decode::run);
}

#[test]
fn path() {
    replay("path", fuzz::path::run);
}

#[test]
#[cfg(target_os = "linux")]
fn replay_of_any_file() {
    replay("replay", fuzz::replay::run);
}

#[test]
fn surface() {
    replay("surface", fuzz::surface::run);
}
