//! A NIC that is handed its frames by somebody who knows when: a replay into the path.

use std::collections::VecDeque;

use skb::{CopyReason, Ledger, Nic, Pool, Ring, RxDesc, RxStatus};

use crate::Ingress;

/// Frames that wait for the next poll at most.
const WAITING_MAX: usize = 1024;

/// Frames offered one by one; each is copied once, into a slot (or a block, if it is longer).
#[derive(Debug)]
pub struct FedNic {
    ingress: Ingress,
    waiting: VecDeque<RxDesc>,
    number: u64,
}

/// Why a frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FedError {
    /// No buffer is free, or too many frames wait; the same frame may go after a poll.
    #[error("no room before the next poll")]
    NoRoom,
    /// Longer than a block of the pool.
    #[error("a frame of {len} bytes; the pool has room for {max}")]
    TooLong {
        /// Its bytes.
        len: usize,
        /// The most there may be.
        max: usize,
    },
}

impl FedNic {
    /// Frames enter by the ports that `ingress` says.
    pub fn new(ingress: Ingress) -> Self {
        Self { ingress, waiting: VecDeque::with_capacity(WAITING_MAX), number: 0 }
    }

    /// Takes an Ethernet frame, which the next poll receives. `time_ns` is its receive time.
    pub fn offer(&mut self, pool: &mut Pool, frame: &[u8], time_ns: i64) -> Result<(), FedError> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(FedError::NoRoom);
        }
        let ingress = self.ingress.port(true, frame);
        let len = frame.len();
        let mut desc = if len <= pool.slot_frame_max() {
            let mut slot = pool.alloc_slot().ok_or(FedError::NoRoom)?;
            if let Some(room) = pool.slot_mut(&mut slot).and_then(|room| room.get_mut(..len)) {
                room.copy_from_slice(frame);
            }
            pool.commit(slot, len, ingress).ok_or(FedError::NoRoom)?
        } else {
            let max = pool.block_size();
            if len > max {
                return Err(FedError::TooLong { len, max });
            }
            let mut block = pool.alloc_block().ok_or(FedError::NoRoom)?;
            if let Some(room) = pool.block_mut(&mut block).and_then(|room| room.get_mut(..len)) {
                room.copy_from_slice(frame);
            }
            let desc = pool.lend_block(&block, 0, len, ingress);
            pool.free_block(block);
            desc.ok_or(FedError::NoRoom)?
        };
        pool.count_copy(CopyReason::Fed);
        self.number += 1;
        desc.id = self.number;
        desc.origlen = len as u32;
        desc.time_ns = time_ns;
        self.waiting.push_back(desc);
        Ok(())
    }

    /// Frames taken.
    pub fn taken(&self) -> u64 {
        self.number
    }
}

impl Nic for FedNic {
    fn rx(
        &mut self,
        pool: &mut Pool,
        ring: &mut Ring,
        budget: usize,
        ledger: &mut Ledger,
    ) -> RxStatus {
        let mut made = 0;
        while made < budget.min(WAITING_MAX)
            && let Some(desc) = self.waiting.pop_front()
        {
            if let Err(desc) = ring.push(desc) {
                self.waiting.push_front(desc);
                break;
            }
            made += 1;
        }
        let _ = pool;
        ledger.frames_in += made as u64;
        if made > 0 { RxStatus::Active } else { RxStatus::Idle }
    }
}

#[cfg(test)]
mod tests {
    use skb::{PoolConfig, PortId};

    use super::*;

    #[test]
    fn frames_come_in_the_order_in_which_they_were_offered() {
        let config = PoolConfig { slots: 8, blocks: 1, ..PoolConfig::default() };
        let mut pool = Pool::new(config).unwrap();
        let mut nic = FedNic::new(Ingress::new(PortId(0), []));
        let long = vec![7; pool.slot_frame_max() + 1];
        let frames: [&[u8]; 3] = [&[1; 60], &long, &[3; 60]];
        for (frame, time_ns) in frames.into_iter().zip(5..) {
            nic.offer(&mut pool, frame, time_ns).unwrap();
        }
        let too_long = vec![0; pool.block_size() + 1];
        assert!(matches!(nic.offer(&mut pool, &too_long, 0), Err(FedError::TooLong { .. })));
        assert_eq!(nic.offer(&mut pool, &long, 0), Err(FedError::NoRoom), "the only block is lent");
        let (mut ring, mut ledger) = (Ring::new(8), Ledger::default());
        assert_eq!(nic.rx(&mut pool, &mut ring, 2, &mut ledger), RxStatus::Active);
        assert_eq!(nic.rx(&mut pool, &mut ring, 64, &mut ledger), RxStatus::Active);
        assert_eq!(nic.rx(&mut pool, &mut ring, 64, &mut ledger), RxStatus::Idle);
        for (frame, id) in frames.into_iter().zip(1..) {
            let desc = ring.pop().unwrap();
            assert_eq!((desc.id, pool.received(&desc)), (id, frame));
            pool.free_desc(desc);
        }
        assert_eq!((pool.held(), ledger.frames_in, nic.taken()), (0, 3, 3));
    }
}
