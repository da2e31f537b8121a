//! What several test files need.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::PathBuf;

/// What a test prints that needs the reference captures and does not find them.
pub const SHARED_SKIPPED: &str = "SKIPPED: no ../shared beside the workspace";

/// The folder of reference captures, if there is one beside the workspace.
pub fn shared() -> Option<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent()?.parent()?.join("shared");
    dir.join("truth/SUMMARY.tsv").is_file().then_some(dir)
}
