//! The kept inputs of the fuzz target `surface_report`, replayed without a fuzzer. Those of the
//! other targets are replayed by the bench package.

#[allow(unreachable_pub, dead_code)] // a part of another crate as well
#[path = "../../fuzz/src/input.rs"]
mod input;
#[allow(unreachable_pub, dead_code)]
#[path = "../../fuzz/src/report.rs"]
mod report;
#[allow(unreachable_pub, dead_code, clippy::expect_used)]
#[path = "../../fuzz/src/surface/mod.rs"]
mod surface;

use std::fs;
use std::path::Path;

#[test]
fn report() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/surface_report");
    let entries = fs::read_dir(&folder).expect("the kept inputs");
    let mut inputs: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    inputs.sort();
    assert!(inputs.len() > 20, "the corpus is there");
    for input in inputs {
        let bytes = fs::read(&input).expect("an input");
        let result = std::panic::catch_unwind(|| report::run(&bytes));
        assert!(result.is_ok(), "surface_report: {}", input.display());
    }
}
