//! Recorded frames out again, on time.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
