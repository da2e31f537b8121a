//! The host at the path's two edges.

use super::SmolHost;
use crate::segment::{Headers, finish_checksum, tcp_checksum_holds};
use skb::{
    CopyReason, DropReason, IpSummed, Ledger, LinkType, Nic, Pool, Ring, RxStatus, Sink, Skb, Stage,
};

impl Sink for SmolHost {
    /// Free receive buffers.
    fn credit(&self) -> usize {
        self.rx.credit()
    }

    fn deliver(&mut self, pool: &mut Pool, skb: Skb, ledger: &mut Ledger) {
        let (taken, refused) = match self.take(pool, &skb) {
            Ok(counts) => counts,
            Err(reason) => {
                ledger.drop_at(Stage::Guest, reason, 1);
                (0, 0)
            }
        };
        ledger.delivered += taken;
        ledger.split += (taken + refused).saturating_sub(1);
        ledger.drop_at(Stage::Guest, DropReason::GuestFull, refused);
        for _ in 0..taken {
            pool.count_copy(CopyReason::GuestMemory);
        }
        pool.free(skb);
    }
}

impl SmolHost {
    /// Copies the frame's bytes, those in fragments too, into receive memory. Says how many frames
    /// were taken and how many refused for want of a buffer: more than one in all if it was cut.
    fn take(&mut self, pool: &Pool, skb: &Skb) -> Result<(u64, u64), DropReason> {
        let len = pool.frame(skb).len() + pool.frags_len(skb);
        if skb.linktype != LinkType::ETHERNET {
            return Err(DropReason::NotEthernet);
        }
        if self.rx.credit() == 0 {
            self.stats.rx_full += 1;
            return Err(DropReason::GuestFull);
        }
        if len > self.rx.frame_max() {
            return self.take_segments(pool, skb, len).ok_or_else(|| {
                self.stats.rx_too_long += 1;
                DropReason::TooLong
            });
        }
        let Some(buffer) = self.rx.fill(len) else { return Err(DropReason::GuestFull) };
        Pieces::new(pool, skb).copy_to(buffer);
        match (skb.ip_summed, self.config.checksum_offload) {
            (IpSummed::Partial, false) => {
                finish_checksum(buffer);
            }
            // the stack does not look then; what a device has merged, it has checked
            (IpSummed::None | IpSummed::Complete, true)
                if skb.gso_size == 0 && !tcp_checksum_holds(buffer) =>
            {
                self.rx.unfill();
                self.stats.rx_damaged += 1;
                return Err(DropReason::BadChecksum);
            }
            _ => {}
        }
        self.stats.rx_frames += 1;
        self.stats.rx_bytes += len as u64;
        Ok((1, 0))
    }

    /// Cuts a super-frame into segments of its segment size; `None` if it is none, or if even the
    /// segments are longer than a receive buffer.
    fn take_segments(&mut self, pool: &Pool, skb: &Skb, len: usize) -> Option<(u64, u64)> {
        let linear = pool.frame(skb);
        let headers = Headers::find(linear)?;
        let (payload, size) = (len - headers.len, usize::from(skb.gso_size));
        if size == 0 || headers.len + size > self.rx.frame_max() {
            return None;
        }
        let mut pieces = Pieces::new(pool, skb);
        pieces.skip(headers.len);
        let count = payload.div_ceil(size);
        for index in 0..count {
            let offset = index * size;
            let part = size.min(payload - offset);
            let Some(buffer) = self.rx.fill(headers.len + part) else {
                self.stats.rx_full += (count - index) as u64;
                return Some((index as u64, (count - index) as u64));
            };
            let (head, body) = buffer.split_at_mut(headers.len);
            head.copy_from_slice(&linear[..headers.len]);
            pieces.copy_to(body);
            headers.make_segment(buffer, index, offset, index + 1 == count);
            self.stats.rx_frames += 1;
            self.stats.rx_bytes += (headers.len + part) as u64;
        }
        Some((count as u64, 0))
    }
}

/// The bytes of a frame, linear part and fragments, read on and on.
struct Pieces<'a> {
    current: &'a [u8],
    rest: skb::Frags<'a>,
}

impl<'a> Pieces<'a> {
    fn new(pool: &'a Pool, skb: &Skb) -> Self {
        Self { current: pool.frame(skb), rest: pool.frags(skb) }
    }

    fn skip(&mut self, len: usize) {
        self.current = self.current.get(len..).unwrap_or(&[]);
    }

    /// Fills `out` as far as there are bytes.
    fn copy_to(&mut self, mut out: &mut [u8]) {
        while !out.is_empty() {
            if self.current.is_empty() {
                let Some(next) = self.rest.next() else { return };
                self.current = next;
                continue;
            }
            let len = out.len().min(self.current.len());
            let (now, later) = std::mem::take(&mut out).split_at_mut(len);
            now.copy_from_slice(&self.current[..len]);
            self.current = &self.current[len..];
            out = later;
        }
    }
}

impl Nic for SmolHost {
    /// Hands out what the last polls wrote. Counts in `ledger.originated`, not `frames_in`: these
    /// frames were made here. Never [`RxStatus::Done`].
    fn rx(
        &mut self,
        pool: &mut Pool,
        ring: &mut Ring,
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
            desc.gso_size = frame.gso_size;
            if frame.is_partial {
                desc.ip_summed = IpSummed::Partial;
            }
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

#[cfg(test)]
mod tests;
