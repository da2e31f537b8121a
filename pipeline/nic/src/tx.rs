//! Frames out of a device: three ways of the kernel behind one trait.
//!
//! | method | how |
//! | --- | --- |
//! | [`Method::AfXdp`] | descriptors in a ring, frames in shared memory; 64 a kick |
//! | [`Method::Sendmmsg`] | a packet socket past the queueing discipline, 64 frames a call |
//! | [`Method::TxRing`] | a packet socket's `PACKET_TX_RING`, version 2 |

use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use crate::link::Link;
use crate::sys::send::PacketSender;
use crate::sys::sock::{self, Refusal};
use crate::sys::tx_ring::TxRing;
use crate::sys::xsk::XskSender;

/// A way to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// An AF_XDP socket (the kernel's `Documentation/networking/af_xdp.rst`).
    AfXdp,
    /// `sendmmsg(2)` on a packet socket with `PACKET_QDISC_BYPASS`.
    Sendmmsg,
    /// `PACKET_TX_RING` with TPACKET_V2 (`Documentation/networking/packet_mmap.rst`).
    TxRing,
    /// Into a switch of this process: no device at all.
    Switch,
}

impl Method {
    /// Those of a device, fastest first.
    pub const ALL: [Self; 3] = [Self::AfXdp, Self::Sendmmsg, Self::TxRing];

    /// Its name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AfXdp => "af-xdp",
            Self::Sendmmsg => "sendmmsg",
            Self::TxRing => "tx-ring",
            Self::Switch => "switch",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// No method has that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no way to send; there are: af-xdp, sendmmsg, tx-ring")]
pub struct ParseMethodError(pub String);

impl FromStr for Method {
    type Err = ParseMethodError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|method| method.name() == text);
        found.ok_or_else(|| ParseMethodError(text.to_owned()))
    }
}

/// Why a frame was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The device or the socket has no room now; the same frame may go a moment later.
    #[error("no room in the device's or the socket's queue")]
    NoBuffers,
    /// More bytes than the device sends.
    #[error("a frame of {len} bytes; the interface takes {max}")]
    TooLong {
        /// The frame's bytes.
        len: usize,
        /// The most there may be of such a frame: the MTU, the Ethernet header, and 4 bytes if it
        /// has an 802.1Q tag.
        max: usize,
    },
    /// Less than an Ethernet header.
    #[error("a frame of {len} bytes; an Ethernet header has {min}")]
    TooShort {
        /// The frame's bytes.
        len: usize,
        /// The least there must be.
        min: usize,
    },
    /// The interface is switched off or has no carrier.
    #[error("the interface is down")]
    Down,
    /// The interface was removed.
    #[error("the interface is gone")]
    Gone,
    /// Anything else that the kernel said.
    #[error("the kernel refused the frame")]
    Refused(#[source] io::Error),
}

impl SendError {
    /// The name of its counter.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::NoBuffers => "no-buffers",
            Self::TooLong { .. } => "too-long",
            Self::TooShort { .. } => "too-short",
            Self::Down => "interface-down",
            Self::Gone => "interface-gone",
            Self::Refused(_) => "refused",
        }
    }
}

/// What became of a burst.
#[derive(Debug)]
pub struct Sent {
    /// So many frames from the front are with the kernel now.
    pub taken: usize,
    /// Why frame `taken` is not; `None` when all are.
    pub error: Option<SendError>,
}

/// An open way out of one device.
pub trait Transmit: fmt::Debug + Send {
    /// How it sends.
    fn method(&self) -> Method;

    /// The most frames that one system call hands over: bursts of this size are the cheapest.
    fn burst_max(&self) -> usize;

    /// Goes the way of a frame without one as far as the kernel lets it, so that the first does
    /// not wait for memory and caches.
    fn warm_up(&mut self) {}

    /// The same for a frame that comes in a moment after a pause, in less than a microsecond.
    fn touch(&mut self) {}

    /// Hands `frames` (each from the destination MAC on, without FCS) to the kernel in order, now.
    ///
    /// A frame is either taken or not: one that is not may be given again, and is never sent by
    /// itself later. Waits at most a tenth of a second for room.
    fn send(&mut self, frames: &[&[u8]]) -> Sent;

    /// Waits until everything handed over has left, at most `timeout`. How many of the frames
    /// taken since the last call have not: still with the kernel, or dropped by the driver. Where
    /// the kernel tells bytes only, 1 stands for some.
    fn finish(&mut self, timeout: Duration) -> u64;
}

/// The sizes of frames that a device takes, bytes without FCS.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// MTU and Ethernet header.
    untagged: usize,
}

/// Bytes of an Ethernet header (IEEE 802.3 clause 3.1.1: two addresses, length or type).
pub(crate) const HEADER_BYTES: usize = 14;
const TAG_BYTES: usize = 4;
const TAG_TYPE: [u8; 2] = [0x81, 0x00];

impl Bounds {
    /// Those of an Ethernet device with that MTU.
    pub(crate) fn of_mtu(mtu: u32) -> Self {
        Self { untagged: mtu as usize + HEADER_BYTES }
    }

    /// The most bytes a frame that begins like `frame` may have. As in the kernel's
    /// `packet_snd`: 4 more with an 802.1Q tag.
    #[inline]
    pub(crate) fn max(self, frame: &[u8]) -> usize {
        let tagged = frame.get(12..14) == Some(&TAG_TYPE);
        self.untagged + if tagged { TAG_BYTES } else { 0 }
    }

    /// The most bytes any frame may have.
    pub(crate) fn longest(self) -> usize {
        self.untagged + TAG_BYTES
    }

    /// Whether the device takes it.
    #[inline]
    pub(crate) fn check(self, frame: &[u8]) -> Result<(), SendError> {
        let len = frame.len();
        if len < HEADER_BYTES {
            return Err(SendError::TooShort { len, min: HEADER_BYTES });
        }
        if len > self.untagged && len > self.max(frame) {
            return Err(SendError::TooLong { len, max: self.max(frame) });
        }
        Ok(())
    }

    /// How many frames from the front the device takes, and why the next is not among them.
    pub(crate) fn leading(self, frames: &[&[u8]]) -> (usize, Option<SendError>) {
        for (at, frame) in frames.iter().enumerate() {
            if let Err(error) = self.check(frame) {
                return (at, Some(error));
            }
        }
        (frames.len(), None)
    }
}

/// Why no way out was opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TxError {
    /// The device's frames have no Ethernet header.
    #[error("{interface} is no Ethernet device (ARPHRD {hardware})")]
    NotEthernet {
        /// The device.
        interface: String,
        /// Its `ARPHRD_*` of `linux/if_arp.h`.
        hardware: u16,
    },
    /// The process may not.
    #[error("{method} on {interface}: cannot {operation}: not permitted; type: {command}")]
    NotPermitted {
        /// The way tried.
        method: Method,
        /// The device.
        interface: String,
        /// What was asked of the kernel.
        operation: &'static str,
        /// What mends it.
        command: String,
    },
    /// The kernel said no.
    #[error("{method} on {interface}: cannot {operation}")]
    Io {
        /// The way tried.
        method: Method,
        /// The device.
        interface: String,
        /// What was asked of the kernel.
        operation: &'static str,
        /// What it said.
        source: io::Error,
    },
}

impl TxError {
    fn of(method: Method, link: &Link, (operation, source): Refusal) -> Self {
        let interface = link.name.clone();
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                Self::NotPermitted { method, interface, operation, command: setcap_command() }
            }
            _ => Self::Io { method, interface, operation, source },
        }
    }
}

/// The command that lets this program open its sockets without root (capabilities(7)).
pub fn setcap_command() -> String {
    let program = std::env::current_exe().map_or_else(
        |_| "PATH".to_owned(), // unknown: for the reader to fill in
        |path| path.display().to_string(),
    );
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    let quoted = if program.chars().all(plain) {
        program
    } else {
        format!("'{}'", program.replace('\'', r"'\''"))
    };
    format!("sudo setcap cap_net_raw,cap_net_admin,cap_bpf+ep {quoted}")
}

/// Lets the calling thread run before others, as a sender that must be on time wants it: nice
/// level -10 (`sched(7)`). Needs `cap_sys_nice`.
pub fn prefer_this_thread() -> io::Result<()> {
    sock::prefer_thread()
}

/// An open way out, and how it was chosen.
#[derive(Debug)]
pub struct Chosen {
    /// The way out; [`Transmit::method`] names it.
    pub transmit: Box<dyn Transmit>,
    /// The faster ones that do not work here, and why.
    pub passed_over: Vec<(Method, TxError)>,
}

/// Opens a way out of `link`: the one asked for, else the fastest that works here.
pub fn open(link: &Link, method: Option<Method>) -> Result<Box<dyn Transmit>, TxError> {
    choose(link, method).map(|chosen| chosen.transmit)
}

/// A packet socket that leaves checksums and segments to the device, or to the kernel in front of
/// one that cannot.
pub(crate) fn open_offload(link: &Link) -> Result<PacketSender, TxError> {
    check_ethernet(link)?;
    let opened = PacketSender::open_offload(link.index, Bounds::of_mtu(link.mtu));
    opened.map_err(|refusal| TxError::of(Method::Sendmmsg, link, refusal))
}

fn check_ethernet(link: &Link) -> Result<(), TxError> {
    match link.hardware {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => Ok(()),
        hardware => Err(TxError::NotEthernet { interface: link.name.clone(), hardware }),
    }
}

/// Like [`open`], and tells which were tried before and why they were passed over.
///
/// Tried in turn are AF_XDP and sendmmsg; TX_RING, slower than both, only when asked for.
pub fn choose(link: &Link, method: Option<Method>) -> Result<Chosen, TxError> {
    check_ethernet(link)?;
    let index = link.index;
    let bounds = Bounds::of_mtu(link.mtu);
    let open_as = |method| -> Result<Box<dyn Transmit>, TxError> {
        let opened: Result<Box<dyn Transmit>, Refusal> = match method {
            Method::Sendmmsg => PacketSender::open(index, bounds).map(|way| Box::new(way) as _),
            Method::AfXdp => XskSender::open(index, bounds).map(|way| Box::new(way) as _),
            Method::TxRing => TxRing::open(index, bounds).map(|way| Box::new(way) as _),
            Method::Switch => {
                Err(("open a switch of this process", io::ErrorKind::Unsupported.into()))
            }
        };
        opened.map_err(|refusal| TxError::of(method, link, refusal))
    };
    if let Some(method) = method {
        return Ok(Chosen { transmit: open_as(method)?, passed_over: Vec::new() });
    }
    match open_as(Method::AfXdp) {
        Ok(transmit) => Ok(Chosen { transmit, passed_over: Vec::new() }),
        Err(why) => {
            let transmit = open_as(Method::Sendmmsg)?;
            Ok(Chosen { transmit, passed_over: vec![(Method::AfXdp, why)] })
        }
    }
}

#[cfg(test)]
mod tests;
