//! Frames in by an AF_XDP socket.

use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use libc::{c_int, xdp_desc, xdp_statistics};

use super::super::sock::{self, Refusal, State, says};
use super::program::Program;
use super::{Spec, Xsk};

/// Frames of a burst at most.
const BURST: usize = 64;

/// A socket that only receives, from one queue of a device.
#[derive(Debug)]
pub(crate) struct XskReceiver {
    xsk: Xsk,
    /// Shared with the sockets of the device's other queues.
    program: Arc<Program>,
    /// Descriptors of the burst that is out.
    burst: Vec<xdp_desc>,
    /// Where the frames of the burst are.
    frames: Vec<Place>,
    /// Bytes of frames that came in several pieces.
    joined: Vec<u8>,
    /// Frames of which the end was not in the ring, or that were not where they should be.
    pub(crate) damaged: u64,
    /// Frames handed out.
    pub(crate) received: u64,
}

/// Where a frame's bytes are.
#[derive(Debug)]
enum Place {
    Slot { address: u64, len: u32 },
    Joined(Range<usize>),
}

impl XskReceiver {
    /// A receiver on one queue. `slots` is a power of two, `slot_bytes` 2048 or 4096; `pieces`
    /// for frames that are longer than a slot (since Linux 6.6).
    pub(crate) fn open(
        program: &Arc<Program>,
        index: u32,
        queue: u32,
        slots: u32,
        slot_bytes: u32,
        pieces: bool,
    ) -> Result<Self, Refusal> {
        let spec = Spec {
            index,
            queue,
            slots,
            slot_bytes,
            fill: slots,
            completion: 64, // must be there, and is not used
            rx: slots,
            tx: 0,
            pieces,
        };
        let mut xsk = Xsk::open(&spec)?;
        for slot in 0..slots {
            xsk.fill.push(xsk.umem.address(slot));
        }
        xsk.fill.publish();
        program.serve(queue, &xsk.fd)?;
        Ok(Self {
            xsk,
            program: Arc::clone(program),
            burst: Vec::with_capacity(BURST * 4),
            frames: Vec::with_capacity(BURST),
            joined: Vec::new(),
            damaged: 0,
            received: 0,
        })
    }

    pub(crate) fn is_native(&self) -> bool {
        self.program.native
    }

    pub(crate) fn is_zero_copy(&self) -> bool {
        self.xsk.zero_copy
    }

    /// Waits until there are frames, at most `timeout`. `Ok(None)`: the device is gone.
    pub(crate) fn wait(&mut self, timeout: Duration) -> Result<Option<bool>, Refusal> {
        if self.xsk.rx.as_mut().is_some_and(|rx| rx.available() > 0) {
            return Ok(Some(true));
        }
        let fd = self.xsk.fd.as_raw_fd();
        let mut polled = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let ms = timeout.as_micros().div_ceil(1000).min(c_int::MAX as u128) as c_int;
        // SAFETY: one pollfd, which outlives the call.
        let ready = unsafe { libc::poll(&raw mut polled, 1, ms) };
        if ready < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(says("wait for frames")(error));
            }
        }
        if self.xsk.rx.as_mut().is_some_and(|rx| rx.available() > 0) {
            return Ok(Some(true));
        }
        // the socket of a removed device polls as one without frames
        let gone = self.xsk.device.state() == State::Gone;
        Ok((!gone).then_some(false))
    }

    /// Takes the next frames out of the ring, at most 64; those of the burst before are given back.
    pub(crate) fn next_burst(&mut self) -> usize {
        self.give_back();
        let Some(rx) = &mut self.xsk.rx else { return 0 };
        while self.frames.len() < BURST {
            let start = self.burst.len();
            // a frame's pieces: all but the last say that it goes on
            while let Some(desc) = rx.pop() {
                self.burst.push(desc);
                if desc.options & libc::XDP_PKT_CONTD == 0 {
                    break;
                }
            }
            let pieces = &self.burst[start..];
            let place = match pieces {
                [] => break,
                [desc] if desc.options & libc::XDP_PKT_CONTD == 0 => {
                    Some(Place::Slot { address: desc.addr, len: desc.len })
                }
                _ => {
                    let from = self.joined.len();
                    let whole = pieces.iter().all(|desc| {
                        // SAFETY: out of the rx ring, and not back in the fill ring.
                        let bytes = unsafe { self.xsk.umem.read(desc.addr, desc.len) };
                        bytes.map(|bytes| self.joined.extend_from_slice(bytes)).is_some()
                    });
                    let ended = pieces.last().is_some_and(|d| d.options & libc::XDP_PKT_CONTD == 0);
                    (whole && ended).then_some(Place::Joined(from..self.joined.len()))
                }
            };
            match place {
                Some(place) => self.frames.push(place),
                None => self.damaged += 1,
            }
        }
        rx.release();
        self.received += self.frames.len() as u64;
        self.frames.len()
    }

    /// Frame `at` of the burst that is out.
    #[inline]
    pub(crate) fn frame(&self, at: usize) -> Option<&[u8]> {
        match self.frames.get(at)? {
            // SAFETY: out of the rx ring; `give_back`, which puts it back into the fill ring,
            // needs `&mut self`.
            Place::Slot { address, len } => unsafe { self.xsk.umem.read(*address, *len) },
            Place::Joined(range) => self.joined.get(range.clone()),
        }
    }

    /// Returns the slots of the burst to the kernel.
    pub(crate) fn give_back(&mut self) {
        if self.burst.is_empty() {
            return;
        }
        for desc in self.burst.drain(..) {
            // there is room: as many entries as slots
            let slot = self.xsk.umem.slot(desc.addr);
            self.xsk.fill.push(self.xsk.umem.address(slot));
        }
        self.xsk.fill.publish();
        self.frames.clear();
        self.joined.clear();
        if self.xsk.zero_copy && self.xsk.fill.wants_wakeup() {
            // SAFETY: receives no bytes: no buffer, no address.
            unsafe {
                let (fd, none) = (self.xsk.fd.as_raw_fd(), std::ptr::null_mut());
                let flags = libc::MSG_DONTWAIT;
                libc::recvfrom(fd, none, 0, flags, std::ptr::null_mut(), std::ptr::null_mut());
            }
        }
    }

    /// What the kernel has counted.
    pub(crate) fn statistics(&self) -> Result<xdp_statistics, Refusal> {
        sock::get(&self.xsk.fd, libc::SOL_XDP, libc::XDP_STATISTICS)
            .map_err(says("ask for the counters"))
    }
}
