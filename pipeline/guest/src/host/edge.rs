//! The host at the path's two edges.

use super::SmolHost;
use skb::{
    CopyReason, DropReason, Ledger, LinkType, Nic, Pool, Ring, RxDesc, RxStatus, Sink, Skb, Stage,
};

impl Sink for SmolHost {
    /// Free receive buffers.
    fn credit(&self) -> usize {
        self.rx.free()
    }

    fn deliver(&mut self, pool: &mut Pool, skb: Skb, ledger: &mut Ledger) {
        match self.take(pool, &skb) {
            Ok(()) => {
                ledger.delivered += 1;
                pool.count_copy(CopyReason::GuestMemory);
            }
            Err(reason) => ledger.drop_at(Stage::Guest, reason, 1),
        }
        pool.free(skb);
    }
}

impl SmolHost {
    /// Copies the frame's bytes, those in fragments too, into receive memory.
    fn take(&mut self, pool: &Pool, skb: &Skb) -> Result<(), DropReason> {
        let frame = pool.frame(skb);
        let len = frame.len() + pool.frags_len(skb);
        if skb.linktype != LinkType::ETHERNET {
            return Err(DropReason::NotEthernet);
        }
        if len > self.rx.frame_max() {
            self.stats.rx_too_long += 1;
            return Err(DropReason::TooLong);
        }
        let Some(buffer) = self.rx.fill(len) else {
            self.stats.rx_full += 1;
            return Err(DropReason::GuestFull);
        };
        let (linear, mut behind) = buffer.split_at_mut(frame.len());
        linear.copy_from_slice(frame);
        for piece in pool.frags(skb) {
            let (room, rest) = behind.split_at_mut(piece.len());
            room.copy_from_slice(piece);
            behind = rest;
        }
        self.stats.rx_frames += 1;
        self.stats.rx_bytes += len as u64;
        Ok(())
    }
}

impl Nic for SmolHost {
    /// Hands out what the last polls wrote. Counts in `ledger.originated`, not `frames_in`: these
    /// frames were made here. Never [`RxStatus::Done`].
    fn rx(
        &mut self,
        pool: &mut Pool,
        ring: &mut Ring<RxDesc>,
        budget: usize,
        ledger: &mut Ledger,
    ) -> RxStatus {
        let count = budget.min(ring.room()).min(self.tx.frames.len());
        for frame in self.tx.frames.drain(..count) {
            let len = frame.len;
            let Some(mut desc) = pool.commit(frame.slot, len, self.config.port) else {
                // Only with another pool than the one polled with.
                self.tx.lost += 1;
                continue;
            };
            desc.id = self.next_id;
            desc.time_ns = self.now_ns;
            self.next_id += 1;
            ledger.originated += 1;
            self.stats.tx_frames += 1;
            self.stats.tx_bytes += len as u64;
            if let Err(desc) = ring.push(desc) {
                ledger.drop_at(Stage::Nic, DropReason::RingFull, 1);
                pool.free_desc(desc);
            }
        }
        if count > 0 || !self.tx.frames.is_empty() { RxStatus::Active } else { RxStatus::Idle }
    }
}
