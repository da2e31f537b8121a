//! The virtual switch: FDB, VLAN, mirror, switch types; sans-IO.
//!
//! Bytes and `now` come in, [`Decision`]s go out. No clock, no randomness, no socket: the
//! caller passes coarse milliseconds and a [`fdb::HashKey`].
//!
//! A frame goes through the policies in the order of Hyper-V's extensible switch (Windows driver
//! documentation, "Packet flow through the extensible switch data path"):
//!
//! | step | drops | source |
//! | --- | --- | --- |
//! | is it Ethernet, has it a header | `not-ethernet`, `runt` | |
//! | source address a station may have | `invalid-source` | IEEE 802 8.2.2 |
//! | not for the next bridge only | `link-local` | IEEE 802.1Q 8.6.3 |
//! | DHCP and router guard | `policy` | `Set-VMNetworkAdapter` |
//! | VLAN classification, ingress filtering | `vlan-ingress` | IEEE 802.1Q 6.9, 8.6.2 |
//! | MAC spoofing guard | `policy` | `Set-VMNetworkAdapter` |
//! | learn the source | | IEEE 802.1Q 8.7 |
//! | choose the destinations | `same-port`, `no-member`, `policy` | IEEE 802.1Q 8.6 |
//! | add the mirror ports | | |
//! | per egress port: tag out, in or rewritten | `no-buffer`, `too-long` | IEEE 802.1Q 6.9 |
//!
//! Learned multicast groups (snooping), spanning tree and rate limits are not part of it.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod config;
mod decision;
mod egress;
pub mod fdb;
mod graph;
mod guard;
mod host;
mod stats;
mod switch;
mod table;
#[cfg(test)]
mod tests;
mod validate;
pub mod vlan;

pub use config::{
    FarEnd, MirrorDirection, MirrorSession, PortConfig, PortRole, SwitchConfig, SwitchType,
    UnknownUnicast,
};
pub use decision::{Decision, Decisions, run_len};
pub use egress::EgressDrop;
pub use graph::{Edge, EdgeKind, Graph, Node};
pub use host::HostAccess;
pub use stats::{PortStats, SwitchStats, VlanStats};
pub use switch::Vswitch;
pub use validate::ConfigError;
