//! See `framewalk_fuzz::path`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| framewalk_fuzz::path::run(data));
