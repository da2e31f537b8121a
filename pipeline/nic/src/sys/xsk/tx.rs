//! Frames out by an AF_XDP socket.

use std::io;
use std::time::{Duration, Instant};

use libc::xdp_desc;

use super::super::send::PacketSender;
use super::super::sock::{Refusal, State};
use super::{Spec, Xsk};
use crate::tx::{Bounds, Method, SendError, Sent, Transmit};

/// Frames a call hands over at best.
const BURST: usize = 64;
/// Entries of the tx ring; as many slots, and as many completions.
const SLOTS: u32 = 512;
/// The longest that a call waits for room.
const PATIENCE: Duration = Duration::from_millis(100);
/// What a driver whose queue was full is given, so that the frames that wait find room.
const FULL_PAUSE: Duration = Duration::from_micros(50);
/// The longest that frames before or after one of another socket may take to leave.
const ORDER_PATIENCE: Duration = Duration::from_secs(1);

/// A socket that only sends; it needs no XDP program.
#[derive(Debug)]
pub(crate) struct XskSender {
    xsk: Xsk,
    bounds: Bounds,
    /// Slots with nothing to send; the one used last is taken first, as it is in the cache.
    free: Vec<u32>,
    /// Sends frames longer than a slot, where the MTU allows such.
    beside: Option<PacketSender>,
    /// The frames sent last went there, and may not have left.
    beside_last: bool,
    /// Frames in the tx ring or with the driver.
    out: u64,
    /// Frames taken that the driver dropped, since the last [`Transmit::finish`].
    dropped: u64,
}

/// How a kick ended that did not go through.
#[derive(Debug)]
enum Stop {
    /// The ring is as it was: the kernel did not look at it.
    Untouched(SendError),
    /// The last so many frames were dropped.
    Dropped(u64, SendError),
    /// What is in the ring stays there until the next kick.
    Kept,
}

impl XskSender {
    /// A sender on queue 0 of the device with that index.
    pub(crate) fn open(index: u32, bounds: Bounds) -> Result<Self, Refusal> {
        // a slot is at most a page, and at least 2048 bytes (xdp_umem_reg)
        let slot_bytes = if bounds.longest() <= 2048 { 2048 } else { 4096 };
        let spec = Spec {
            index,
            queue: 0,
            slots: SLOTS,
            slot_bytes,
            fill: 64, // must be there, and is not used
            completion: SLOTS,
            rx: 0,
            tx: SLOTS,
            pieces: false,
        };
        let xsk = Xsk::open(&spec)?;
        let beside = if bounds.longest() > slot_bytes as usize {
            Some(PacketSender::open(index, bounds)?)
        } else {
            None
        };
        Ok(Self {
            xsk,
            bounds,
            free: (0..SLOTS).collect(),
            beside,
            beside_last: false,
            out: 0,
            dropped: 0,
        })
    }

    /// Takes back the slots of frames that have left.
    #[inline]
    fn reap(&mut self) {
        let mut count = 0;
        while let Some(address) = self.xsk.completion.pop() {
            self.free.push(self.xsk.umem.slot(address));
            count += 1;
        }
        if count > 0 {
            self.xsk.completion.release();
            self.out = self.out.saturating_sub(count);
        }
    }

    /// Puts a frame that fits into a slot and its descriptor into the ring. `false`: no room.
    #[inline]
    fn put(&mut self, frame: &[u8]) -> bool {
        let Some(tx) = &mut self.xsk.tx else { return false };
        let Some(&slot) = self.free.last() else { return false };
        let desc =
            xdp_desc { addr: self.xsk.umem.address(slot), len: frame.len() as u32, options: 0 };
        if !self.xsk.umem.write(slot, frame) || !tx.push(desc) {
            return false;
        }
        self.free.pop();
        self.out += 1;
        true
    }

    /// Shows the kernel what was put, and has it sent.
    fn flush(&mut self) -> Result<(), Stop> {
        let Some(tx) = &mut self.xsk.tx else { return Ok(()) };
        tx.publish();
        if self.xsk.zero_copy {
            // the driver reads the ring by itself once it runs
            if !tx.wants_wakeup() {
                return Ok(());
            }
            return match self.xsk.kick_tx() {
                Err(error) if !is_transient(&error) => Err(Stop::Kept),
                _ => Ok(()),
            };
        }
        self.kick_until_read()
    }

    /// A copying socket sends within the call, as many frames as its budget allows.
    fn kick_until_read(&mut self) -> Result<(), Stop> {
        let (mut looked, mut down_drops, mut since) = (false, 0, None::<Instant>);
        loop {
            let error = match self.xsk.kick_tx() {
                Ok(()) => break,
                Err(error) => error,
            };
            let out = self.out;
            self.reap();
            match error.raw_os_error() {
                // the driver dropped one frame, and the others wait
                Some(libc::EBUSY) if self.state() == State::Up => {
                    self.dropped += 1;
                    std::thread::sleep(FULL_PAUSE);
                }
                Some(libc::EBUSY) => down_drops += 1,
                // the budget is used up, or the driver or the socket is full
                Some(libc::EAGAIN | libc::ENOBUFS | libc::EINTR) => {
                    let start = *since.get_or_insert_with(Instant::now);
                    if self.out != out {
                        since = None;
                    } else if start.elapsed() > PATIENCE {
                        return Err(Stop::Kept);
                    }
                }
                Some(libc::ENETDOWN) if !looked => return Err(Stop::Untouched(SendError::Down)),
                Some(libc::ENXIO | libc::ENODEV) if !looked => {
                    return Err(Stop::Untouched(SendError::Gone));
                }
                Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV) => return Err(Stop::Kept),
                _ if !looked => return Err(Stop::Untouched(SendError::Refused(error))),
                _ => return Err(Stop::Kept),
            }
            looked = true;
        }
        if down_drops > 0 { Err(Stop::Dropped(down_drops, SendError::Down)) } else { Ok(()) }
    }

    fn state(&self) -> State {
        self.xsk.device.state()
    }

    /// Puts and sends frames that all fit into slots. How many were taken, and why not more.
    fn send_fitting(&mut self, frames: &[&[u8]]) -> Sent {
        let mut taken = 0;
        let mut since = None::<Instant>;
        while taken < frames.len() {
            self.reap();
            let put = frames[taken..].iter().take_while(|frame| self.put(frame)).count();
            if put == 0 {
                // full: once more, and for a while
                let start = *since.get_or_insert_with(Instant::now);
                let error = match self.state() {
                    State::Up if start.elapsed() < PATIENCE => None,
                    State::Up => Some(SendError::NoBuffers),
                    State::Down => Some(SendError::Down),
                    State::Gone => Some(SendError::Gone),
                };
                if error.is_some() {
                    return Sent { taken, error };
                }
                let _ = self.flush();
                continue;
            }
            since = None;
            taken += put;
            match self.flush() {
                Ok(()) | Err(Stop::Kept) => {}
                Err(Stop::Dropped(count, error)) => {
                    // those of earlier calls among them were taken then
                    let ours = put.min(count as usize);
                    self.dropped += count - ours as u64;
                    return Sent { taken: taken - ours, error: Some(error) };
                }
                Err(Stop::Untouched(error)) => {
                    self.take_back(put);
                    return Sent { taken: taken - put, error: Some(error) };
                }
            }
        }
        Sent { taken, error: None }
    }

    /// Removes the last `count` descriptors from the ring, which the kernel has not seen.
    fn take_back(&mut self, count: usize) {
        let Some(tx) = &mut self.xsk.tx else { return };
        for _ in 0..count {
            let Some(desc) = tx.unpush() else { break };
            self.free.push(self.xsk.umem.slot(desc.addr));
            self.out -= 1;
        }
        tx.publish();
    }

    /// Sends frames that are longer than a slot, behind all that were taken before.
    fn send_beside(&mut self, frames: &[&[u8]]) -> Sent {
        if !self.beside_last {
            self.wait(ORDER_PATIENCE);
        }
        let Some(beside) = &mut self.beside else {
            let (len, max) = (frames[0].len(), self.xsk.umem.slot_bytes());
            return Sent { taken: 0, error: Some(SendError::TooLong { len, max }) };
        };
        self.beside_last = true;
        beside.send(frames)
    }

    /// Until the frames sent beside have left, at most `timeout`. How many have not.
    fn wait_beside(&mut self, timeout: Duration) -> u64 {
        if !std::mem::take(&mut self.beside_last) {
            return 0;
        }
        self.beside.as_mut().map_or(0, |beside| beside.finish(timeout))
    }

    /// Until all have left, at most `timeout`. How many have not.
    fn wait(&mut self, timeout: Duration) -> u64 {
        let start = Instant::now();
        loop {
            self.reap();
            if self.out == 0 || start.elapsed() >= timeout {
                return self.out;
            }
            let unread = self.xsk.tx.as_mut().is_some_and(|tx| tx.unread() > 0);
            if unread && let Err(Stop::Dropped(count, _)) = self.flush() {
                self.dropped += count;
            }
            std::thread::yield_now();
        }
    }
}

/// Goes over by itself.
fn is_transient(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS | libc::EINTR))
}

impl Transmit for XskSender {
    fn method(&self) -> Method {
        Method::AfXdp
    }

    fn burst_max(&self) -> usize {
        BURST
    }

    fn warm_up(&mut self) {
        for &slot in &self.free {
            self.xsk.umem.write(slot, &[0; 64]);
        }
        for _ in 0..8 {
            self.reap();
            // an empty ring: whatever it says, no frame is concerned
            let _ = self.xsk.kick_tx();
        }
        if let Some(beside) = &mut self.beside {
            beside.warm_up();
        }
    }

    fn touch(&mut self) {
        let unread = self.xsk.tx.as_mut().is_some_and(|tx| tx.unread() > 0);
        if !unread && !self.xsk.zero_copy {
            self.reap();
            let _ = self.xsk.kick_tx();
        }
    }

    fn send(&mut self, frames: &[&[u8]]) -> Sent {
        let (fits, outside) = self.bounds.leading(frames);
        let slot_bytes = self.xsk.umem.slot_bytes();
        let mut taken = 0;
        while taken < fits {
            let rest = &frames[taken..fits];
            let long = rest[0].len() > slot_bytes;
            let run = rest.iter().take_while(|frame| (frame.len() > slot_bytes) == long).count();
            let sent = if long {
                self.send_beside(&rest[..run])
            } else {
                self.wait_beside(ORDER_PATIENCE);
                self.send_fitting(&rest[..run])
            };
            taken += sent.taken;
            if sent.error.is_some() {
                return Sent { taken, error: sent.error };
            }
        }
        Sent { taken, error: outside }
    }

    fn finish(&mut self, timeout: Duration) -> u64 {
        let start = Instant::now();
        let in_ring = self.wait(timeout);
        let beside = self.wait_beside(timeout.saturating_sub(start.elapsed()));
        in_ring + beside + std::mem::take(&mut self.dropped)
    }
}
