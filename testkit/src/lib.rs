//! Frame builders and oracles for tests.
//!
//! * [`build`] makes frames: etherparse's builder where it reaches, our own bytes beyond it.
//! * [`net`] moves a test into a network namespace of its own (Linux, root).
//! * [`truth`] compares the decoder with the fields tshark prints for the same capture.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod build;
#[cfg(target_os = "linux")]
pub mod net;
pub mod process;
pub mod truth;
