//! Frames off a live interface by AF_XDP (the kernel's `Documentation/networking/af_xdp.rst`):
//! before the stack sees them, and without it seeing them at all.
//!
//! Every frame that came in at a queue is accounted for: `seen = received + dropped`, see
//! [`Counts`]. In the driver's own queue before the program, frames can be lost too; those are in
//! the counters of the interface, or of the other end of a veth cable (`tx_dropped`).
//!
//! A tag that the card took off a frame is not in it: switch that off (`ethtool -K IFACE rxvlan
//! off`). A frame has the time at which its burst was read: the kernel gives AF_XDP none.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::link::Link;
use crate::sys::sock::{self, Promiscuous, Refusal};
use crate::sys::xsk::{Program, XskReceiver};

/// How to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Frames to other stations too.
    pub promiscuous: bool,
    /// Slots for frames, per queue; rounded up to a power of two from 64 to 65536.
    pub slots: u32,
    /// Where the program runs; `None` for the driver if it can, else the stack.
    pub mode: Option<Mode>,
}

impl Default for Config {
    fn default() -> Self {
        Self { promiscuous: true, slots: 4096, mode: None }
    }
}

/// Where the XDP program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// In the driver, before an skb is made.
    Native,
    /// In the stack, with an skb: works on every device.
    Generic,
}

impl Mode {
    /// Its name in reports: as `ip link` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// What one queue's socket has counted since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Frames handed out.
    pub received: u64,
    /// Frames lost in the kernel: no slot was free, or the frame was too long for one.
    pub no_slot: u64,
    /// Frames lost in the kernel: the rx ring had no room.
    pub ring_full: u64,
    /// Frames that could not be put together from their pieces.
    pub damaged: u64,
    /// How often the kernel found no free slot (`rx_fill_ring_empty_descs`).
    pub fill_ring_empty: u64,
}

impl Counts {
    /// Frames that reached the socket's queue and were not handed out.
    pub fn dropped(&self) -> u64 {
        self.no_slot + self.ring_full + self.damaged
    }
}

/// What waiting brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// There are frames.
    Frames,
    /// Nothing yet.
    Nothing,
    /// The interface was removed: nothing will come any more.
    Gone,
}

/// Why there is nothing to read from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum XdpError {
    /// The device's frames have no Ethernet header.
    #[error("{interface} is no Ethernet device (ARPHRD {hardware})")]
    NotEthernet {
        /// The device.
        interface: String,
        /// Its `ARPHRD_*` of `linux/if_arp.h`.
        hardware: u16,
    },
    /// Another XDP program is on the device.
    #[error("another XDP program is on {interface}; `ip link set {interface} xdp off` removes it")]
    Taken {
        /// The device.
        interface: String,
    },
    /// The process may not.
    #[error("af-xdp on {interface}: cannot {operation}: not permitted; type: {command}")]
    NotPermitted {
        /// The device.
        interface: String,
        /// What was asked of the kernel.
        operation: &'static str,
        /// What mends it.
        command: String,
    },
    /// The kernel said no.
    #[error("af-xdp on {interface}: cannot {operation}")]
    Io {
        /// The device.
        interface: String,
        /// What was asked of the kernel.
        operation: &'static str,
        /// What it said.
        source: io::Error,
    },
}

impl XdpError {
    fn of(interface: &str, (operation, source): Refusal) -> Self {
        let interface = interface.to_owned();
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                Self::NotPermitted { interface, operation, command: crate::tx::setcap_command() }
            }
            Some(libc::EBUSY) if operation.starts_with("attach") => Self::Taken { interface },
            _ => Self::Io { interface, operation, source },
        }
    }
}

/// Listens to one queue of an interface; the program goes with the last of them.
#[derive(Debug)]
pub struct AfXdpRx {
    receiver: XskReceiver,
    interface: String,
    /// Held for what its `Drop` does, as is the program.
    promiscuous: Option<Arc<Promiscuous>>,
}

/// A frame in shared memory.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// From the destination address on, without FCS.
    pub data: &'a [u8],
    /// When its burst was read, nanoseconds since 1970, by this machine's clock.
    pub time_ns: i64,
}

/// Frames that lie where the kernel put them, until this is dropped.
#[derive(Debug)]
pub struct Burst<'a> {
    receiver: &'a mut XskReceiver,
    frames: usize,
    time_ns: i64,
}

/// Bytes that the kernel keeps free before a frame (`XDP_PACKET_HEADROOM`).
const HEADROOM: u32 = 256;

impl AfXdpRx {
    /// Listens to all queues of the interface, one socket each, in order.
    pub fn open(link: &Link, config: &Config) -> Result<Vec<Self>, XdpError> {
        let interface = &link.name;
        let hardware = link.hardware;
        if !matches!(hardware, libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK) {
            return Err(XdpError::NotEthernet { interface: interface.clone(), hardware });
        }
        let failed = |refusal| XdpError::of(interface, refusal);
        let longest = link.mtu + 14 + 4; // with an Ethernet header and an 802.1Q tag
        let slot_bytes = if longest + HEADROOM <= 2048 { 2048 } else { 4096 };
        let pieces = longest + HEADROOM > slot_bytes;
        let slots = config.slots.clamp(64, 1 << 16).next_power_of_two();
        let queues = sock::rx_queues(link.index).map_err(failed)?;
        let native = config.mode.map(|mode| mode == Mode::Native);
        let program =
            Arc::new(Program::attach(link.index, queues, pieces, native).map_err(failed)?);
        let promiscuous = if config.promiscuous {
            Some(Arc::new(Promiscuous::on(link.index).map_err(failed)?))
        } else {
            None
        };
        let open = |queue| {
            let receiver =
                XskReceiver::open(&program, link.index, queue, slots, slot_bytes, pieces)
                    .map_err(failed)?;
            let (interface, promiscuous) = (interface.clone(), promiscuous.clone());
            Ok(Self { receiver, interface, promiscuous })
        };
        (0..queues).map(open).collect()
    }

    /// Where the program runs.
    pub fn mode(&self) -> Mode {
        if self.receiver.is_native() { Mode::Native } else { Mode::Generic }
    }

    /// The interface was asked to take frames to other stations too.
    pub fn is_promiscuous(&self) -> bool {
        self.promiscuous.is_some()
    }

    /// The driver writes into the shared memory itself.
    pub fn is_zero_copy(&self) -> bool {
        self.receiver.is_zero_copy()
    }

    /// Waits for frames, at most `timeout`.
    pub fn poll(&mut self, timeout: Duration) -> Result<Wake, XdpError> {
        let woke = self
            .receiver
            .wait(timeout)
            .map_err(|refusal| XdpError::of(&self.interface, refusal))?;
        Ok(match woke {
            Some(true) => Wake::Frames,
            Some(false) => Wake::Nothing,
            None => Wake::Gone,
        })
    }

    /// The frames that are there, at most 64.
    pub fn next_burst(&mut self) -> Burst<'_> {
        let frames = self.receiver.next_burst();
        let time_ns = if frames == 0 { 0 } else { now_ns() };
        Burst { receiver: &mut self.receiver, frames, time_ns }
    }

    /// What was counted.
    pub fn counts(&self) -> Result<Counts, XdpError> {
        let kernel =
            self.receiver.statistics().map_err(|refusal| XdpError::of(&self.interface, refusal))?;
        Ok(Counts {
            received: self.receiver.received,
            no_slot: kernel.rx_dropped,
            ring_full: kernel.rx_ring_full,
            damaged: self.receiver.damaged,
            fill_ring_empty: kernel.rx_fill_ring_empty_descs,
        })
    }
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

impl Burst<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.frames
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// The frames, in the order in which they came.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        (0..self.frames)
            .filter_map(|at| Some(Frame { data: self.receiver.frame(at)?, time_ns: self.time_ns }))
    }
}

impl Drop for Burst<'_> {
    fn drop(&mut self) {
        self.receiver.give_back();
    }
}

#[cfg(test)]
mod tests;
