//! The kept inputs of the fuzz targets, replayed without a fuzzer: what once went wrong, or was
//! the only way to some line, is tried by every test run.

#[allow(unreachable_pub, dead_code, clippy::expect_used)] // a crate of its own as well
#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

use std::fs;
use std::path::Path;

/// Runs every kept input of `target`.
fn replay(target: &str, run: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
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
#[cfg(target_os = "linux")]
fn backup_wire() {
    replay("backup_wire", fuzz::wire::run);
}

#[test]
fn surface() {
    for &(target, dialogs) in fuzz::surface::FAMILIES {
        replay(target, |bytes| fuzz::surface::run(bytes, dialogs));
    }
}

/// What the targets build is what surface reads: a dialog whose fields do not lie is told by name.
#[test]
fn dialogs_without_lies_are_told_apart() {
    let mut wrong = Vec::new();
    for &(target, dialogs) in fuzz::surface::FAMILIES {
        for (number, dialog) in (0..).zip(dialogs).filter(|(_, dialog)| !dialog.app.is_empty()) {
            let names = fuzz::surface::told_by_name(dialogs, number);
            if !names.contains(&dialog.app) {
                wrong.push(format!("{target} {number}: {} is taken for {names:?}", dialog.app));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
