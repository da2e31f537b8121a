//! See `src/report.rs`, which is no part of the library: it needs the program's own.
#![no_main]

use framewalk_fuzz::{input, surface};

#[path = "../src/report.rs"]
mod report;

libfuzzer_sys::fuzz_target!(|data: &[u8]| report::run(data));
