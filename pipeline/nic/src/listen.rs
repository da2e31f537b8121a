//! Live interfaces, whatever way their frames come: one trait over [`crate::packet`],
//! [`crate::xdp`] and libpcap.
//!
//! Of every way the same holds: `seen = read + dropped`, of which `filtered` were refused by the
//! filter, once [`Listen::drain`] has come to its end.

mod afxdp;
#[cfg(feature = "libpcap")]
mod pcap;
mod ring;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use skb::LinkType;

use crate::link::{Link, LinkError};
use crate::packet::{self, Frame, PacketError, RxCounts, Wake};
use crate::xdp::XdpError;

/// The most sockets that share an interface.
pub const WORKERS_MAX: u16 = 64;

/// How frames come out of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Way {
    /// A packet socket and its receive ring (TPACKET_V3): beside the host's own stack.
    #[default]
    Packet,
    /// AF_XDP: before the host's stack, which gets nothing of that interface meanwhile.
    AfXdp,
    /// libpcap, by the way it thinks best.
    Libpcap,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Packet, Self::AfXdp, Self::Libpcap];

    /// Its name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Packet => "packet",
            Self::AfXdp => "af-xdp",
            Self::Libpcap => "libpcap",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What was expected of a [`Way`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected packet, af-xdp or libpcap")]
pub struct WayError;

impl FromStr for Way {
    type Err = WayError;

    fn from_str(text: &str) -> Result<Self, WayError> {
        Self::ALL.into_iter().find(|way| way.name() == text).ok_or(WayError)
    }
}

/// How to listen.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// By which way.
    pub way: Way,
    /// Sockets that share the frames of the interface, both directions of a flow at one of them.
    /// AF_XDP has one for each receive queue, whatever is said here; libpcap has one.
    pub workers: u16,
    /// A tcpdump filter.
    pub filter: Option<String>,
    /// The rest; its filter and fanout group are set by [`open`].
    pub packet: packet::Config,
}

/// Why an interface cannot be listened to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// By a packet socket.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// By AF_XDP.
    #[error(transparent)]
    Xdp(#[from] XdpError),
    /// There is no such interface.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The filter.
    #[error(transparent)]
    Filter(#[from] capture::Error),
    /// libpcap's own words.
    #[error("libpcap cannot {operation} on {interface}: {message}")]
    Libpcap {
        /// What failed.
        operation: &'static str,
        /// The interface.
        interface: String,
        /// What libpcap said.
        message: String,
    },
    /// A way that this build does not have.
    #[error("this build has no libpcap; build it with: cargo build --release --features libpcap")]
    NoLibpcap,
    /// What one way cannot do.
    #[error("{way} cannot {what}")]
    Cannot {
        /// Which one.
        way: Way,
        /// What was asked of it.
        what: &'static str,
    },
}

/// What mends it, where libpcap's words say that someone may not listen.
#[cfg(feature = "libpcap")]
fn denied(interface: &str, message: &str) -> Option<ListenError> {
    let may_not = message.contains("not permitted") || message.contains("ermission");
    may_not.then(|| ListenError::Packet(PacketError::not_permitted("open libpcap", interface)))
}

/// Frames of a live interface.
pub trait Listen: Send + fmt::Debug {
    /// The device, as it was when it was looked at last.
    fn link(&self) -> &Link;

    /// What the first byte of its frames is.
    fn linktype(&self) -> LinkType;

    /// In words: the way, and how it works here.
    fn way(&self) -> String;

    /// Whether refused frames are counted in `filtered`. If not they are not in `seen` either.
    fn counts_refused(&self) -> bool {
        true
    }

    /// Copies of each frame between the kernel's memory and who reads.
    fn copies(&self) -> u32 {
        0
    }

    /// Filled parts of the queue in front of us, and all of them, where that can be known.
    fn fill(&self) -> Option<(usize, usize)>;

    /// Waits for frames, at most `timeout`.
    fn poll(&mut self, timeout: Duration) -> Result<Wake, ListenError>;

    /// Gives some of the frames that are there to `each`, oldest first: how many that were, those
    /// that the filter refused among them. 0: none is there now.
    fn read(&mut self, each: &mut dyn FnMut(&Frame<'_>)) -> Result<usize, ListenError>;

    /// What was counted since it was opened.
    fn counts(&mut self) -> Result<RxCounts, ListenError>;

    /// No frame that comes after this is seen.
    fn stop(&mut self) -> Result<(), ListenError>;

    /// After [`stop`](Self::stop): reads what was seen before. `false`: not all of it came in
    /// `timeout`.
    fn drain(
        &mut self,
        timeout: Duration,
        each: &mut dyn FnMut(&Frame<'_>),
    ) -> Result<bool, ListenError>;
}

/// Opens an interface: one listener for each worker.
pub fn open(interface: &str, config: &Config) -> Result<Vec<Box<dyn Listen>>, ListenError> {
    match config.way {
        Way::Packet => ring::open(interface, config),
        Way::AfXdp => afxdp::open(interface, config),
        #[cfg(feature = "libpcap")]
        Way::Libpcap => pcap::open(interface, config),
        #[cfg(not(feature = "libpcap"))]
        Way::Libpcap => Err(ListenError::NoLibpcap),
    }
}

#[cfg(test)]
mod tests;
