//! See `framewalk_fuzz::surface::web`.
#![no_main]

use framewalk_fuzz::surface;

libfuzzer_sys::fuzz_target!(|data: &[u8]| surface::run(data, surface::web::DIALOGS));
