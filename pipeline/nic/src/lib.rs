//! NICs of the path: what puts frames into buffers and descriptors into the rx ring.
//!
//! A recorded file is a NIC ([`FileNic`]), a generator is a NIC ([`Generator`]). Live ones come
//! here too; their sockets will live in `nic::sys` and nowhere else.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod file;
mod generator;

pub use file::{BLOCK_MIN, FileNic, FileNicError, Ingress};
pub use generator::{Generator, GeneratorError};
