//! What the fuzz targets do with their bytes. Every function panics if, and only if, something
//! that must hold did not: here that is the point. The targets in `fuzz_targets/` hand them
//! libFuzzer's inputs; the test `fuzz_corpus` of the bench package hands them the kept ones.

pub mod capture_reader;
pub mod decode;
pub mod frames;
pub mod input;
pub mod path;
#[cfg(target_os = "linux")]
pub mod replay;
pub mod surface;
pub mod switch;
#[cfg(target_os = "linux")]
pub mod wire;
