//! The virtual switch: FDB, VLAN, mirror, switch types; sans-IO.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod fdb;
