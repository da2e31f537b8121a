//! Frames out by `sendmmsg(2)` on a packet socket, past the queueing discipline.

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::time::{Duration, Instant};

use libc::{c_int, c_long, iovec, mmsghdr};

use super::sock::{self, Device, Refusal, State, says};
use super::vnet::VnetHeader;
use crate::tx::{Bounds, Method, SendError, Sent, Transmit};

/// Frames in one system call.
const BURST: usize = 64;

/// The longest a call waits for room in the socket's send buffer.
const PATIENCE: Duration = Duration::from_millis(100);

/// A packet socket that sends.
pub(crate) struct PacketSender {
    fd: OwnedFd,
    device: Device,
    bounds: Bounds,
    /// `messages[i]` has `pieces[i]` for good, with `heads` both of them, else the second alone:
    /// boxes do not move.
    messages: Box<[mmsghdr; BURST]>,
    /// The first is `heads[i]`, for good as well.
    pieces: Box<[[iovec; 2]; BURST]>,
    heads: Option<Box<[VnetHeader; BURST]>>,
}

// SAFETY: the pointers in `messages` lead to `pieces`, which moves along with the value, as do
// `heads`, to which the first ones in `pieces` lead; the second ones are only followed within
// `call`, which sets them first.
unsafe impl Send for PacketSender {}

impl PacketSender {
    /// A sender on the device with that index.
    pub(crate) fn open(index: u32, bounds: Bounds) -> Result<Self, Refusal> {
        Self::open_as(index, bounds, false)
    }

    /// One for [`send_with`](Self::send_with).
    pub(crate) fn open_offload(index: u32, bounds: Bounds) -> Result<Self, Refusal> {
        Self::open_as(index, bounds, true)
    }

    fn open_as(index: u32, bounds: Bounds, offload: bool) -> Result<Self, Refusal> {
        let fd = sock::packet_sender(index, offload)?;
        let patience =
            libc::timeval { tv_sec: 0, tv_usec: PATIENCE.as_micros() as libc::suseconds_t };
        // SAFETY: a time points nowhere.
        unsafe { sock::set(&fd, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &patience) }
            .map_err(says("limit how long a call waits"))?;
        let none = iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        let mut pieces = Box::new([[none; 2]; BURST]);
        let mut heads = offload.then(|| Box::new([VnetHeader::default(); BURST]));
        if let Some(heads) = &mut heads {
            for (two, head) in pieces.iter_mut().zip(heads.iter_mut()) {
                two[0] = head.piece();
            }
        }
        // SAFETY: null pointers and zero lengths are a message header.
        let mut messages: Box<[mmsghdr; BURST]> = Box::new(unsafe { mem::zeroed() });
        for (message, two) in messages.iter_mut().zip(pieces.iter_mut()) {
            let wanted = if offload { &mut two[..] } else { &mut two[1..] };
            message.msg_hdr.msg_iov = wanted.as_mut_ptr();
            message.msg_hdr.msg_iovlen = wanted.len();
        }
        Ok(Self { fd, device: Device::new(index)?, bounds, messages, pieces, heads })
    }

    /// One system call; how many of `frames` (at most [`BURST`]) the kernel took.
    fn call(&mut self, frames: &[&[u8]]) -> io::Result<usize> {
        let count = frames.len().min(BURST);
        for ([_, piece], frame) in self.pieces.iter_mut().zip(frames) {
            *piece = iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() };
        }
        // SAFETY: the first `count` headers have a frame each, which `frames` keeps alive over the
        // call, and perhaps one of `heads`; the kernel reads them and writes `msg_len` only. By
        // `syscall` because the flags' type differs between C libraries.
        let sent = unsafe {
            libc::syscall(
                libc::SYS_sendmmsg,
                c_long::from(self.fd.as_raw_fd()),
                self.messages.as_mut_ptr(),
                count as c_long,
                c_long::from(0 as c_int),
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
    }
}

impl PacketSender {
    /// Like [`Transmit::send`] for one that was opened with offload: each frame with what is left
    /// to do with it.
    pub(crate) fn send_with(&mut self, frames: &[&[u8]], heads: &[VnetHeader]) -> Sent {
        let outside = frames.iter().zip(heads).enumerate().find_map(|(at, (frame, head))| {
            // super-frames are cut to the MTU
            let long = head.segment_size() != Some(0);
            self.bounds.check(frame).err().filter(|_| !long).map(|error| (at, error))
        });
        let fits = outside.as_ref().map_or(frames.len().min(heads.len()), |(at, _)| *at);
        let sent = self.send_all(&frames[..fits], &heads[..fits]);
        Sent { error: sent.error.or(outside.map(|(_, error)| error)), ..sent }
    }

    fn send_all(&mut self, frames: &[&[u8]], heads: &[VnetHeader]) -> Sent {
        let mut taken = 0;
        while taken < frames.len() {
            if let Some(places) = &mut self.heads {
                for (at, place) in places.iter_mut().enumerate().take(frames.len() - taken) {
                    *place = heads.get(taken + at).copied().unwrap_or_default();
                }
            }
            match self.call(&frames[taken..]) {
                Ok(count) => taken += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let error = explain(error, &self.device, &mut self.bounds, frames[taken]);
                    return Sent { taken, error: Some(error) };
                }
            }
        }
        Sent { taken, error: None }
    }
}

/// What a packet socket's refusal to send `frame` means.
pub(super) fn explain(
    error: io::Error,
    device: &Device,
    bounds: &mut Bounds,
    frame: &[u8],
) -> SendError {
    match error.raw_os_error() {
        Some(libc::ENETDOWN) => SendError::Down,
        Some(libc::ENXIO | libc::ENODEV) => SendError::Gone,
        // the MTU is not what it was when the socket was opened
        Some(libc::EMSGSIZE) => {
            if let Some(mtu) = device.mtu() {
                *bounds = Bounds::of_mtu(mtu);
            }
            SendError::TooLong { len: frame.len(), max: bounds.max(frame) }
        }
        // a driver without a carrier drops too
        Some(libc::ENOBUFS | libc::EAGAIN) => match device.state() {
            State::Up => SendError::NoBuffers,
            State::Down => SendError::Down,
            State::Gone => SendError::Gone,
        },
        _ => SendError::Refused(error),
    }
}

/// Waits until the driver has freed all that a packet socket sent. The kernel tells bytes, not
/// frames: 1 stands for some.
pub(super) fn drained(fd: &OwnedFd, timeout: Duration) -> u64 {
    let start = Instant::now();
    while sock::unsent_bytes(fd) > 0 {
        match start.elapsed() {
            waited if waited >= timeout => return 1,
            waited if waited < Duration::from_micros(200) => std::thread::yield_now(),
            _ => std::thread::sleep(Duration::from_micros(50)),
        }
    }
    0
}

impl Transmit for PacketSender {
    fn method(&self) -> Method {
        Method::Sendmmsg
    }

    fn burst_max(&self) -> usize {
        BURST
    }

    fn send(&mut self, frames: &[&[u8]]) -> Sent {
        // only what is within bounds reaches the kernel
        let (fits, outside) = self.bounds.leading(frames);
        let sent = self.send_all(&frames[..fits], &[]);
        Sent { error: sent.error.or(outside), ..sent }
    }

    fn finish(&mut self, timeout: Duration) -> u64 {
        drained(&self.fd, timeout)
    }
}

impl fmt::Debug for PacketSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketSender")
            .field("fd", &self.fd)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}
