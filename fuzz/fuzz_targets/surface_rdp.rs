//! See `framewalk_fuzz::surface::rdp`.
#![no_main]

use framewalk_fuzz::surface;

libfuzzer_sys::fuzz_target!(|data: &[u8]| surface::run(data, surface::rdp::DIALOGS));
