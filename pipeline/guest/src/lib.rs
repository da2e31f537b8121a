//! Guests: the right-hand end of the path.
//!
//! * [`CountingSink`] takes everything and counts it: a recorded guest, or a wire that is not
//!   there.
//! * [`SmolHost`] is a live host with smoltcp as its stack: it answers ARP, neighbour solicitation
//!   and ping, serves TCP and connects as a client.
//!
//! What crosses into a guest is bytes. No skb does: the guest builds its own object around the
//! bytes it was given. See [`SmolHost`] for how that boundary is kept.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod config;
mod count;
mod device;
mod digest;
mod host;
mod memory;
mod pattern;
mod ping;
mod segment;
mod session;
mod tcp;

pub use config::{HostConfig, HostError, TCP_BUFFER_UNSCALED};
pub use count::CountingSink;
pub use digest::{Digest, FrameDigest, NoDigest, StreamDigest};
pub use host::{HostStats, SmolHost};
pub use pattern::Pattern;
pub use ping::PingReport;
pub use session::{Flow, Outcome, Service, Stream, StreamReport};
pub use smoltcp::socket::tcp::State as TcpState;
pub use smoltcp::wire::IpCidr;
pub use tcp::{TcpConn, TcpHandle};
