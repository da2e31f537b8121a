//! Frames out by a packet socket's `PACKET_TX_RING`, version TPACKET_V2 (the kernel's
//! `Documentation/networking/packet_mmap.rst`): frames in memory shared with the kernel, each
//! behind a header whose status says whose it is.

use std::io;
use std::mem::{offset_of, size_of};
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use libc::{sockaddr_ll, tpacket_req, tpacket2_hdr};

use super::send::{drained, explain};
use super::sock::{self, Device, Mapping, Refusal, State, says};
use crate::tx::{Bounds, Method, SendError, Sent, Transmit};

// linux/if_packet.h
const _: () = {
    assert!(size_of::<tpacket2_hdr>() == 32);
    assert!(offset_of!(tpacket2_hdr, tp_status) == 0 && offset_of!(tpacket2_hdr, tp_len) == 4);
    assert!(size_of::<tpacket_req>() == 16 && size_of::<sockaddr_ll>() == 20);
};

const SLOTS: usize = 256;
/// Frames in one system call.
const BURST: usize = 64;
/// From a slot's start to its frame: `TPACKET2_HDRLEN - sizeof(struct sockaddr_ll)`.
const FRAME_AT: usize = libc::TPACKET2_HDRLEN - size_of::<sockaddr_ll>();
/// The longest a call waits for a slot.
const PATIENCE: Duration = Duration::from_millis(100);
/// A multiple of every page size there is.
const BLOCK_BYTES: usize = 64 << 10;

/// A packet socket with a ring to send from.
#[derive(Debug)]
pub(crate) struct TxRing {
    // before the memory that it uses: fields are dropped in order
    fd: OwnedFd,
    map: Mapping,
    device: Device,
    bounds: Bounds,
    slot_bytes: usize,
    /// The slot that is filled next.
    next: usize,
}

impl TxRing {
    /// A sender on the device with that index.
    pub(crate) fn open(index: u32, bounds: Bounds) -> Result<Self, Refusal> {
        let fd = sock::packet_sender(index, false)?;
        let version = libc::tpacket_versions::TPACKET_V2 as libc::c_int;
        sock::set_int(&fd, libc::SOL_PACKET, libc::PACKET_VERSION, version)
            .map_err(says("choose TPACKET_V2"))?;
        let slot_bytes = (FRAME_AT + bounds.longest()).next_power_of_two().max(2048);
        let block_bytes = slot_bytes.max(BLOCK_BYTES);
        let request = tpacket_req {
            tp_block_size: block_bytes as u32,
            tp_block_nr: (SLOTS * slot_bytes / block_bytes) as u32,
            tp_frame_size: slot_bytes as u32,
            tp_frame_nr: SLOTS as u32,
        };
        // SAFETY: four integers point nowhere.
        unsafe { sock::set(&fd, libc::SOL_PACKET, libc::PACKET_TX_RING, &request) }
            .map_err(says("make a tx ring"))?;
        let map =
            Mapping::of_socket(&fd, SLOTS * slot_bytes, 0).map_err(says("map the tx ring"))?;
        Ok(Self { fd, map, device: Device::new(index)?, bounds, slot_bytes, next: 0 })
    }

    fn status(&self, slot: usize) -> &AtomicU32 {
        // SAFETY: `slot` is below SLOTS: its header is inside the mapping, aligned to a power of
        // two of at least 2048 bytes. Both sides go at the status with whole-word accesses.
        unsafe {
            let at = self.map.start().as_ptr().add(slot % SLOTS * self.slot_bytes);
            AtomicU32::from_ptr(at.cast())
        }
    }

    /// Copies the frame into the next slot, if that is ours, and gives it to the kernel.
    fn put(&mut self, frame: &[u8]) -> bool {
        let slot = self.next;
        let status = self.status(slot).load(Ordering::Acquire);
        if status & (libc::TP_STATUS_SEND_REQUEST | libc::TP_STATUS_SENDING) != 0
            || frame.len() > self.slot_bytes - FRAME_AT
        {
            return false;
        }
        // SAFETY: header and frame lie inside the slot, checked above, and the slot is ours: the
        // kernel neither reads nor writes it until the status says so.
        unsafe {
            let at = self.map.start().as_ptr().add(slot * self.slot_bytes);
            let len = at.add(offset_of!(tpacket2_hdr, tp_len));
            len.cast::<u32>().write_unaligned(frame.len() as u32);
            ptr::copy_nonoverlapping(frame.as_ptr(), at.add(FRAME_AT), frame.len());
        }
        self.status(slot).store(libc::TP_STATUS_SEND_REQUEST, Ordering::Release);
        self.next = (slot + 1) % SLOTS;
        true
    }

    /// Has the kernel send all slots given to it, from its place in the ring on.
    fn kick(&self) -> io::Result<()> {
        // SAFETY: sends no bytes of its own: no buffer, no address.
        let sent = unsafe {
            let fd = self.fd.as_raw_fd();
            libc::sendto(fd, ptr::null(), 0, libc::MSG_DONTWAIT, ptr::null(), 0)
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Takes back those of the last `count` slots that the kernel has not sent; it stays at the
    /// first of them, as it only moves on behind a frame it has sent. How many those were.
    fn take_back(&mut self, count: usize) -> usize {
        let unsent = libc::TP_STATUS_SEND_REQUEST | libc::TP_STATUS_WRONG_FORMAT;
        for back in 0..count {
            let slot = (self.next + SLOTS - 1) % SLOTS;
            let status = self.status(slot);
            if status.load(Ordering::Acquire) & unsent == 0 {
                return back;
            }
            status.store(libc::TP_STATUS_AVAILABLE, Ordering::Release);
            self.next = slot;
        }
        count
    }

    /// Sends up to [`BURST`] frames that are within bounds.
    fn send_some(&mut self, frames: &[&[u8]]) -> Sent {
        let put = frames.iter().take(BURST).take_while(|frame| self.put(frame)).count();
        let start = Instant::now();
        loop {
            let error = match self.kick() {
                Ok(()) => return Sent { taken: put, error: None },
                Err(error) => error,
            };
            let full = matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR));
            if full && start.elapsed() < PATIENCE {
                std::thread::yield_now();
                continue;
            }
            let taken = put - self.take_back(put);
            let about = frames.get(taken).copied().unwrap_or_default();
            let error = explain(error, &self.device, &mut self.bounds, about);
            return Sent { taken, error: Some(error) };
        }
    }
}

impl Transmit for TxRing {
    fn method(&self) -> Method {
        Method::TxRing
    }

    fn burst_max(&self) -> usize {
        BURST
    }

    fn send(&mut self, frames: &[&[u8]]) -> Sent {
        let (fits, outside) = self.bounds.leading(frames);
        let (mut taken, mut since) = (0, Instant::now());
        while taken < fits {
            let sent = self.send_some(&frames[taken..fits]);
            taken += sent.taken;
            if sent.error.is_some() {
                return Sent { taken, error: sent.error };
            }
            if sent.taken > 0 {
                since = Instant::now();
            } else if since.elapsed() > PATIENCE {
                // every slot is with the driver
                let error = match self.device.state() {
                    State::Up => SendError::NoBuffers,
                    State::Down => SendError::Down,
                    State::Gone => SendError::Gone,
                };
                return Sent { taken, error: Some(error) };
            }
        }
        Sent { taken, error: outside }
    }

    fn finish(&mut self, timeout: Duration) -> u64 {
        drained(&self.fd, timeout)
    }
}
