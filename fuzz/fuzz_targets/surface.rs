//! See `framewalk_fuzz::surface`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| framewalk_fuzz::surface::run(data));
