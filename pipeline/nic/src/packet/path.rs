//! A live interface as a NIC of the path, without a copy: the kernel's ring lies in the pool's
//! blocks, and the slot that the kernel wrote a frame to is the frame's slot.
//!
//! A block goes back to the kernel when its last frame is gone, in the order of the ring. While
//! guests hold frames in the oldest block the kernel goes on with the others; when it meets that
//! block again, the ring is full, and it drops and counts: `kernel-ring-full` in the ledger, so
//! that `in` is every frame that reached the socket.
//!
//! What the kernel writes is beyond what loom and Miri model; the tests that need root run it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use skb::{DropReason, Ledger, LinkType, Nic, Pool, Ring, RxDesc, RxStatus, Stage};

use super::{Config, LinkChange, PacketError, PacketRx, RxCounts, SNAPLEN_MAX, Wake, frame};
use crate::Ingress;
use crate::link::Link;
use crate::sys::packet::Taken;

/// A good size for the blocks of a pool that a ring lies in. The kernel hands over a block every
/// few milliseconds, however few frames are in it, so many small ones keep more seconds of a quiet
/// wire than few large ones; and the largest merged frame still fits.
pub const BLOCK_BYTES: usize = 256 << 10;
/// How long the kernel may take to hand over its last block.
const DRAIN: Duration = Duration::from_secs(2);

/// Why an interface is no NIC of the path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PacketNicError {
    /// It cannot be listened to.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// The pool has no blocks to spare.
    #[error("a live interface needs a pool with at least 2 blocks that nobody uses yet")]
    NoBlocks,
}

/// Takes frames off a live interface; see the module text.
#[derive(Debug)]
pub struct PacketNic {
    rx: PacketRx,
    ingress: Ingress,
    /// The block that frames are lent from, and those behind it that were only looked at.
    current: Option<Taken>,
    ahead: VecDeque<Taken>,
    /// Number of the last frame handed out.
    number: u64,
    /// Frames wanted.
    limit: u64,
    /// Frames read beyond that: neither in nor dropped.
    past_end: u64,
    last_ns: i64,
    /// The kernel's drops that are in the ledger.
    told: u64,
    /// No frame passes since then.
    stopped: Option<Instant>,
    drained: bool,
    /// What happened to the interface while frames were only looked at.
    change: Option<LinkChange>,
    error: Option<PacketError>,
}

impl PacketNic {
    /// Starts to listen, with all blocks of `pool` as the kernel's ring. Of `config` the size of
    /// the ring and the snap length do not count.
    pub fn open(interface: &str, config: &Config, pool: &mut Pool) -> Result<Self, PacketNicError> {
        let area = pool.alloc_area().ok_or(PacketNicError::NoBlocks)?;
        if area.blocks() < 2 {
            return Err(PacketNicError::NoBlocks);
        }
        let config = Config { snaplen: SNAPLEN_MAX, ..config.clone() };
        Ok(Self {
            rx: PacketRx::open_in(interface, &config, Some(area))?,
            ingress: Ingress::default(),
            current: None,
            ahead: VecDeque::new(),
            number: 0,
            limit: u64::MAX,
            past_end: 0,
            last_ns: 0,
            told: 0,
            stopped: None,
            drained: false,
            change: None,
            error: None,
        })
    }

    /// By which port each frame enters; before, all come by port 0.
    pub fn set_ingress(&mut self, ingress: Ingress) {
        self.ingress = ingress;
    }

    /// Ends after so many frames.
    pub fn set_limit(&mut self, frames: u64) {
        self.limit = frames;
    }

    /// Looks at frames as they come and takes none: they all come by [`Nic::rx`] later. `each`
    /// gets their bytes as they lie in the ring, where a VLAN tag may still be beside the frame.
    /// Ends after `frames` frames or `time`, when most of the ring is full, when something happens
    /// to the interface (which [`Self::wait`] then tells), or when `enough` says so; the result is
    /// how many were looked at.
    pub fn look(
        &mut self,
        frames: u64,
        time: Duration,
        mut enough: impl FnMut() -> bool,
        mut each: impl FnMut(&[u8]),
    ) -> Result<u64, PacketError> {
        let begun = Instant::now();
        let mut looked = 0;
        while looked < frames && begun.elapsed() < time && !enough() {
            if let Some(taken) = self.rx.ring.take() {
                let mut cursor = taken.clone();
                while looked < frames
                    && let Some((slot, _)) = self.rx.ring.slot(&mut cursor)
                {
                    each(&slot.bytes[slot.data..]);
                    looked += 1;
                }
                self.ahead.push_back(taken);
            } else if let Wake::Link(change) = self.rx.poll(Duration::from_millis(10))? {
                self.change = Some(change);
                break;
            }
            if self.rx.ring.taken() * 4 >= self.rx.ring.blocks() * 3 {
                break;
            }
        }
        Ok(looked)
    }

    /// Waits for frames, at most `timeout`, and looks at the interface now and then. Returns at
    /// once while there are frames to be taken.
    pub fn wait(&mut self, timeout: Duration) -> Result<Wake, PacketError> {
        if let Some(change) = self.change.take() {
            return Ok(Wake::Link(change));
        }
        let more = self.current.as_ref().is_some_and(|taken| taken.left > 0);
        if self.stopped.is_none() && (more || !self.ahead.is_empty()) {
            return Ok(Wake::Frames);
        }
        self.rx.poll(timeout)
    }

    /// From now on no frame passes. Those that came before still come by [`Nic::rx`], which says
    /// `Done` when the last is there.
    pub fn stop(&mut self) -> Result<(), PacketError> {
        if self.stopped.is_none() {
            self.stopped = Some(Instant::now());
            self.rx.stop()?;
        }
        Ok(())
    }

    /// The counts up to now; see [`PacketRx::counts`]. What the kernel dropped goes into the ledger
    /// with the next [`Nic::rx`].
    pub fn counts(&mut self) -> Result<RxCounts, PacketError> {
        self.rx.counts()
    }

    /// Frames that came after the last that was wanted: in `seen` and `read` of the counts, and
    /// nowhere else.
    pub fn past_end(&self) -> u64 {
        self.past_end
    }

    /// Every frame that reached the socket was read or counted as dropped: so after `Done`, unless
    /// the kernel kept a block to itself.
    pub fn is_drained(&self) -> bool {
        self.drained
    }

    /// What ended it early.
    pub fn take_error(&mut self) -> Option<PacketError> {
        self.error.take()
    }

    /// The interface as it was when last looked at.
    pub fn link(&self) -> &Link {
        self.rx.link()
    }

    /// What the first byte of its frames is.
    pub fn linktype(&self) -> LinkType {
        self.rx.linktype()
    }

    /// Blocks that are filled or in use, and all.
    pub fn ring_fill(&self) -> (usize, usize) {
        self.rx.ring_fill()
    }

    /// Number of the last frame handed out.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Receive time of the newest frame handed out, nanoseconds since the epoch.
    pub fn last_ns(&self) -> i64 {
        self.last_ns
    }

    /// Blocks in which no frame lies any more go back to the kernel, in order.
    #[inline]
    fn give_back(&mut self, pool: &Pool) {
        let ours = usize::from(self.current.is_some()) + self.ahead.len();
        while self.rx.ring.taken() > ours {
            let oldest = self.rx.ring.oldest();
            if self.rx.ring.area().is_none_or(|area| area.lent(pool, oldest) > 0) {
                break;
            }
            self.rx.ring.give_back();
        }
    }

    /// The next frame, where it lies.
    #[inline]
    fn next(&mut self, pool: &mut Pool) -> Option<RxDesc> {
        loop {
            if self.current.is_none() {
                self.current = self.ahead.pop_front().or_else(|| self.rx.ring.take());
            }
            let taken = self.current.as_mut()?;
            let Some((slot, end)) = self.rx.ring.slot(taken) else {
                self.current = None;
                self.give_back(pool);
                continue;
            };
            let block = taken.block;
            let refused = !self.rx.config.filter.is_empty() && slot.is_refused();
            let partial = slot.status & libc::TP_STATUS_CSUMNOTREADY != 0;
            let frame = frame(slot, usize::MAX, &mut self.rx.counts);
            self.rx.counts.read += 1;
            if refused {
                self.rx.counts.filtered += 1;
                continue;
            }
            let linktype = self.rx.linktype;
            let port = self.ingress.port(linktype == LinkType::ETHERNET, frame.data);
            let (len, origlen, time_ns) = (frame.data.len(), frame.origlen, frame.time_ns);
            let area = self.rx.ring.area()?;
            let mut desc = area.lend(pool, block, end.checked_sub(len)?, len, port)?;
            self.number += 1;
            self.last_ns = time_ns;
            desc.id = self.number;
            desc.origlen = origlen;
            desc.time_ns = time_ns;
            desc.linktype = linktype;
            if partial {
                desc.ip_summed = skb::IpSummed::Partial;
            }
            return Some(desc);
        }
    }

    /// Nothing was handed out: nothing now, or nothing any more?
    #[inline(never)]
    fn idle(&mut self, pool: &Pool, ledger: &mut Ledger) -> RxStatus {
        if self.number >= self.limit
            && let Err(error) = self.stop()
        {
            return self.failed(error);
        }
        let Some(since) = self.stopped else { return RxStatus::Idle };
        if self.number >= self.limit {
            self.pass_over(pool);
        }
        let counts = match self.rx.counts() {
            Ok(counts) => counts,
            Err(error) => return self.failed(error),
        };
        self.tell(ledger);
        self.drained = counts.seen == counts.read + counts.dropped;
        if self.drained || since.elapsed() > DRAIN { RxStatus::Done } else { RxStatus::Idle }
    }

    fn failed(&mut self, error: PacketError) -> RxStatus {
        self.error.get_or_insert(error);
        RxStatus::Done
    }

    /// Frames beyond the last that was wanted.
    fn pass_over(&mut self, pool: &Pool) {
        loop {
            let next = || self.ahead.pop_front().or_else(|| self.rx.ring.take());
            let Some(mut taken) = self.current.take().or_else(next) else { break };
            while self.rx.ring.slot(&mut taken).is_some() {
                self.rx.counts.read += 1;
                self.past_end += 1;
            }
            self.give_back(pool);
        }
    }

    /// What the kernel had no room for came in and was dropped, by its own count.
    #[inline]
    fn tell(&mut self, ledger: &mut Ledger) {
        let new = self.rx.counts.dropped - self.told;
        if new > 0 {
            self.told += new;
            ledger.frames_in += new;
            ledger.drop_at(Stage::Nic, DropReason::KernelRingFull, new);
        }
    }
}

impl Nic for PacketNic {
    fn rx(
        &mut self,
        pool: &mut Pool,
        ring: &mut Ring,
        budget: usize,
        ledger: &mut Ledger,
    ) -> RxStatus {
        // the frames lie in one pool and in no other
        if self.error.is_some() || !self.rx.ring.area().is_some_and(|area| area.is_of(pool)) {
            return RxStatus::Done;
        }
        self.give_back(pool);
        self.tell(ledger);
        let left = usize::try_from(self.limit - self.number).unwrap_or(usize::MAX);
        let want = budget.min(ring.room()).min(left);
        let mut made = 0;
        while made < want {
            let Some(desc) = self.next(pool) else { break };
            if let Err(desc) = ring.push(desc) {
                pool.free_desc(desc);
                break;
            }
            made += 1;
        }
        ledger.frames_in += made as u64;
        if made > 0 { RxStatus::Active } else { self.idle(pool, ledger) }
    }
}

#[cfg(test)]
mod tests;
