//! Frame builders and oracles for tests.
//!
//! * [`build`] makes frames: etherparse's builder where it reaches, our own bytes beyond it.
//! * [`truth`] compares the decoder with the fields tshark prints for the same capture.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod build;
pub mod truth;
