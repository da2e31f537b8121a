//! See `framewalk_fuzz::wire`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| framewalk_fuzz::wire::run(data));
