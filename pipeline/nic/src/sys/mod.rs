//! Sockets of the kernel, behind safe types: the one place of this crate where `unsafe` may stand.
#![allow(unsafe_code)]

pub mod child;
pub(crate) mod packet;
#[cfg(test)]
pub(crate) mod plain;
pub(crate) mod recv;
pub(crate) mod send;
pub(crate) mod sock;
pub(crate) mod tx_ring;
pub(crate) mod vnet;
pub(crate) mod xsk;
