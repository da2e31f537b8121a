//! See `framewalk_fuzz::capture_reader`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| framewalk_fuzz::capture_reader::run(data));
