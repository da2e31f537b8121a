//! The driver: drains the rx ring under a budget, builds skbs around the buffers, merges segments.
//!
//! It knows rings and buffers and no protocol, except in [`gro`], which is an option. The
//! discipline is NAPI's (Linux `Documentation/networking/napi.rst`): an interrupt schedules the
//! poll and stays masked while polls return a full budget; the first poll that does not completes
//! it and unmasks. So one interrupt serves many frames, and [`DriverStats`] shows how many.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod gro;

use skb::{BURST_MAX, Burst, Pool, Ring};

/// Counters of the ring discipline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DriverStats {
    /// Times an interrupt would have been raised: frames arrived while none was being handled.
    pub interrupts: u64,
    /// Polls that harvested something or completed.
    pub polls: u64,
    /// Polls that used up their budget and were called again without an interrupt.
    pub polls_full: u64,
    /// Frames harvested.
    pub frames: u64,
}

/// One rx queue.
#[derive(Debug)]
pub struct Driver {
    ring: Ring,
    budget: usize,
    scheduled: bool,
    stats: DriverStats,
}

/// Entries of an rx ring unless asked otherwise.
pub const RX_RING_DEFAULT: usize = 64;

impl Driver {
    /// A queue with `ring_slots` descriptors (rounded up to a power of two) and a poll budget of
    /// `budget` frames, at most [`BURST_MAX`].
    pub fn new(ring_slots: usize, budget: usize) -> Self {
        Self {
            ring: Ring::new(ring_slots),
            budget: budget.clamp(1, BURST_MAX),
            scheduled: false,
            stats: DriverStats::default(),
        }
    }

    /// The rx ring, for the NIC to fill.
    #[inline]
    pub fn ring_mut(&mut self) -> &mut Ring {
        &mut self.ring
    }

    /// The rx ring.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Frames a poll takes at most.
    #[inline]
    pub fn budget(&self) -> usize {
        self.budget
    }

    /// Counters.
    pub fn stats(&self) -> DriverStats {
        self.stats
    }

    /// One poll: how many of the oldest descriptors to take now, at most a budget. The frames'
    /// first lines are fetched on the way, because the next stage reads the headers.
    ///
    /// The skbs are built where the descriptors lie: see [`Ring::oldest_mut`]. Afterwards they are
    /// to be released, or [`poll`](Self::poll) moves them out.
    #[inline]
    pub fn harvest(&mut self, pool: &Pool) -> usize {
        let ready = self.ring.len();
        if ready > 0 && !self.scheduled {
            self.stats.interrupts += 1;
            self.scheduled = true;
        }
        if !self.scheduled {
            return 0;
        }
        let take = self.ring.contiguous(self.budget.min(BURST_MAX));
        for skb in self.ring.oldest_mut(take) {
            pool.prefetch(skb);
        }
        self.stats.polls += 1;
        self.stats.frames += take as u64;
        if take == self.budget {
            self.stats.polls_full += 1;
        } else if take == ready {
            self.scheduled = false;
        }
        take
    }

    /// [`harvest`](Self::harvest), moving the skbs out of the ring into an empty `burst`.
    pub fn poll(&mut self, pool: &Pool, burst: &mut Burst) -> usize {
        let take = self.harvest(pool);
        for _ in 0..take {
            if let Some(desc) = self.ring.pop() {
                burst.push(pool.build_skb(desc));
            }
        }
        take
    }
}

impl Default for Driver {
    fn default() -> Self {
        Self::new(RX_RING_DEFAULT, BURST_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skb::{PoolConfig, PortId};

    #[test]
    fn one_interrupt_serves_many_polls() {
        let mut pool = Pool::new(PoolConfig { slots: 256, ..PoolConfig::default() }).unwrap();
        let mut driver = Driver::new(256, 64);
        let mut burst = Burst::new();
        for _ in 0..150 {
            let slot = pool.alloc_slot().unwrap();
            driver.ring_mut().push(pool.commit(slot, 60, PortId(0)).unwrap()).unwrap();
        }
        for expected in [64, 64, 22, 0] {
            assert_eq!(driver.poll(&pool, &mut burst), expected);
            pool.free_burst(&mut burst);
        }
        let stats = driver.stats();
        assert_eq!((stats.interrupts, stats.polls, stats.polls_full), (1, 3, 2));
        assert_eq!(pool.held(), 0);
    }
}
