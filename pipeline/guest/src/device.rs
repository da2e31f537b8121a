//! The guest's network adapter as its stack sees it: receive from the guest's own memory, transmit
//! straight into slots of the path's pool.

use crate::config::{HostConfig, TCP_BUFFER_UNSCALED};
use crate::memory::RxMemory;
use crate::segment::{hold_back_window, leave_checksum};
use skb::{Pool, Slot};
use smoltcp::phy::{Device, DeviceCapabilities, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;
use std::collections::VecDeque;

/// A frame the stack has written, waiting for the path to take it. Not yet a frame of the path:
/// its slot is taken but counts as held only once it is committed.
#[derive(Debug)]
pub(crate) struct TxFrame {
    pub(crate) slot: Slot,
    pub(crate) len: usize,
    /// Segment size when the frame is to be segmented, else 0.
    pub(crate) gso_size: u16,
    /// Whether the TCP checksum is left to a device.
    pub(crate) is_partial: bool,
}

/// Frames written and not yet taken, at most `limit`.
#[derive(Debug)]
pub(crate) struct TxQueue {
    pub(crate) frames: VecDeque<TxFrame>,
    limit: usize,
    offload: bool,
    /// Whether TCP windows are scaled.
    scaled: bool,
    /// Where a frame is written that cannot be sent, because the stack writes it regardless.
    scratch: Box<[u8]>,
    /// Such frames.
    pub(crate) lost: u64,
}

impl TxQueue {
    pub(crate) fn new(config: &HostConfig) -> Self {
        Self {
            frames: VecDeque::with_capacity(config.tx_frames),
            limit: config.tx_frames,
            offload: config.checksum_offload,
            scaled: config.tcp_buffer > TCP_BUFFER_UNSCALED,
            scratch: vec![0; config.sends()].into_boxed_slice(),
            lost: 0,
        }
    }

    fn has_room(&self, pool: &Pool) -> bool {
        self.frames.len() < self.limit && pool.free_slots() > 0
    }
}

/// The adapter for the time of one poll.
///
/// Transmit back-pressures: without a free slot and room in the queue there is no token, and the
/// stack keeps its bytes. Receiving normally waits for transmit room too, since a frame may call
/// for a reply; but when the receive memory is full the frame is taken anyway and a reply it calls
/// for is lost and counted. Otherwise two hosts on credit ports, each waiting for the other's
/// receive memory, would wait for ever. What smoltcp replies at once (ARP, ICMP, challenge
/// acknowledgements, resets) may be lost; stream data and ordinary acknowledgements leave by
/// `transmit` and are not.
#[derive(Debug)]
pub(crate) struct Adapter<'a> {
    pub(crate) rx: &'a mut RxMemory,
    pub(crate) tx: &'a mut TxQueue,
    pub(crate) pool: &'a mut Pool,
    pub(crate) capabilities: &'a DeviceCapabilities,
}

/// An adapter without a path, to build an interface with: it has capabilities and no frames.
#[derive(Debug)]
pub(crate) struct Unplugged<'a>(pub(crate) &'a DeviceCapabilities);

impl Device for Unplugged<'_> {
    type RxToken<'t>
        = Received<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Transmit<'t>
    where
        Self: 't;

    fn receive(&mut self, _now: Instant) -> Option<(Received<'_>, Transmit<'_>)> {
        None
    }

    fn transmit(&mut self, _now: Instant) -> Option<Transmit<'_>> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.0.clone()
    }
}

#[derive(Debug)]
pub(crate) struct Received<'a>(&'a mut RxMemory);

#[derive(Debug)]
pub(crate) struct Transmit<'a> {
    tx: &'a mut TxQueue,
    pool: &'a mut Pool,
    gso_size: u16,
}

impl Device for Adapter<'_> {
    type RxToken<'t>
        = Received<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Transmit<'t>
    where
        Self: 't;

    fn receive(&mut self, _now: Instant) -> Option<(Received<'_>, Transmit<'_>)> {
        let must = self.rx.credit() == 0;
        if self.rx.used() == 0 || !(must || self.tx.has_room(self.pool)) {
            return None;
        }
        Some((Received(self.rx), Transmit { tx: self.tx, pool: self.pool, gso_size: 0 }))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Transmit<'_>> {
        if !self.tx.has_room(self.pool) {
            return None;
        }
        Some(Transmit { tx: self.tx, pool: self.pool, gso_size: 0 })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.capabilities.clone()
    }
}

impl RxToken for Received<'_> {
    fn consume<R, F>(self, f: F) -> R
    where
        F: FnOnce(&[u8]) -> R,
    {
        let result = f(self.0.front().unwrap_or(&[]));
        self.0.pop();
        result
    }
}

impl TxToken for Transmit<'_> {
    fn consume<R, F>(self, len: usize, f: F) -> R
    where
        F: FnOnce(&mut [u8]) -> R,
    {
        let Self { tx, pool, gso_size } = self;
        let fits = len <= pool.slot_frame_max() && tx.has_room(pool);
        if let Some(mut slot) = fits.then(|| pool.alloc_slot()).flatten() {
            if let Some(bytes) = pool.slot_mut(&mut slot).and_then(|bytes| bytes.get_mut(..len)) {
                let result = f(bytes);
                if tx.scaled {
                    hold_back_window(bytes, !tx.offload);
                }
                let is_partial = tx.offload && leave_checksum(bytes);
                tx.frames.push_back(TxFrame { slot, len, gso_size, is_partial });
                return result;
            }
            pool.free_slot(slot);
        }
        tx.lost += 1;
        if tx.scratch.len() < len {
            tx.scratch = vec![0; len].into_boxed_slice();
        }
        f(&mut tx.scratch[..len])
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.gso_size = meta.segmentation_offload_size.map_or(0, std::num::NonZeroU16::get);
    }
}
