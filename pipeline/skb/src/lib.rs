//! The nouns of the path, and what every stage needs to know about a frame.
//!
//! Layer 0 of the workspace: depends on nothing of ours. A *frame* here is an Ethernet MAC frame
//! (destination MAC to the end of the payload, FCS only when the capture carries it); a *packet*
//! is either the IEEE 802.3 packet (preamble + SFD + frame, clause 3.1.1) or an IP packet, and the
//! text always says which.
//!
//! * [`Pool`] owns all frame bytes; [`Skb`] is a one-cache-line descriptor into it.
//! * [`RxDesc`] is what a NIC writes into an rx [`Ring`]; a driver turns it into an [`Skb`].
//! * [`Verdict`], [`DropReason`], [`Ledger`] account for every frame reference.
//! * [`locate`] finds the layers of a frame in nanoseconds; [`decode`] explains them to people.
#![deny(missing_docs)]

pub mod arch;
pub mod checksum;
pub mod classify;
pub mod decode;
pub mod edge;
mod ledger;
mod linktype;
pub mod locate;
mod mac;
mod meta;
mod pool;
mod port;
mod ring;
mod skbuff;
pub mod trace;
mod verdict;

pub use edge::{Nic, Run, RxStatus, Sink};
pub use ledger::{Imbalance, Ledger};
pub use linktype::LinkType;
pub use mac::MacAddr;
pub use meta::FrameMeta;
pub use pool::{Block, BlockArea, BufId, Frags, Pool, PoolConfig, PoolError, Slot, Template};
pub use port::{PORTS_MAX, PortId, PortSet};
pub use ring::Ring;
pub use skbuff::{BURST_MAX, Burst, InsufficientHeadroom, IpSummed, PktType, RxDesc, Skb};
pub use verdict::{CopyReason, DropReason, Stage, Verdict};
