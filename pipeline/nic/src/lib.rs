//! NICs of the path: what puts frames into buffers and descriptors into the rx ring.
//!
//! A recorded file is a NIC ([`FileNic`]), a generator is a NIC ([`Generator`]). Live ones are in
//! [`sys`], where the sockets live and nowhere else, behind safe types.
#![deny(unsafe_code)] // lifted in `sys` alone
#![deny(missing_docs)]

pub mod bpf;
#[cfg(target_os = "linux")]
pub mod cable;
mod fed;
mod file;
mod generator;
#[cfg(target_os = "linux")]
pub mod link;
#[cfg(target_os = "linux")]
pub mod listen;
#[cfg(target_os = "linux")]
pub mod packet;
#[cfg(target_os = "linux")]
pub mod sys;
#[cfg(target_os = "linux")]
pub mod tx;
#[cfg(target_os = "linux")]
pub mod wake;
#[cfg(target_os = "linux")]
pub mod wire;
#[cfg(target_os = "linux")]
pub mod xdp;

pub use fed::{FedError, FedNic};
pub use file::{BLOCK_MIN, FileNic, FileNicError, Ingress};
pub use generator::{Generator, GeneratorError};
