//! The traits at the edges of the path. What implements them lives in other crates; only the
//! engine and the command line know which are plugged together.

use crate::{Burst, Ledger, Pool, Ring, Skb};

/// What a call of [`Nic::rx`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RxStatus {
    /// Descriptors were written, or could be by calling again.
    Active,
    /// Nothing now, later perhaps (a live wire, a guest with nothing to say, no free buffer).
    Idle,
    /// Nothing more will come (end of file, generator done).
    Done,
}

/// The receive side of an adapter: puts frames into buffers and descriptors into the rx ring.
pub trait Nic {
    /// Writes at most `budget` descriptors into `ring` and counts them in `ledger.frames_in`.
    ///
    /// Never blocks and never overwrites: a full ring ends the call.
    fn rx(
        &mut self,
        pool: &mut Pool,
        ring: &mut Ring,
        budget: usize,
        ledger: &mut Ledger,
    ) -> RxStatus;
}

/// Neighbours in a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Run {
    /// Place of the first.
    pub start: u8,
    /// How many.
    pub len: u8,
}

impl Run {
    /// The frames it names; none where the burst does not have them all.
    #[inline(always)]
    pub fn of(self, burst: &[Skb]) -> &[Skb] {
        let start = usize::from(self.start);
        burst.get(start..start + usize::from(self.len)).unwrap_or_default()
    }
}

/// The receiving side of a port: a guest, a wire, a file.
pub trait Sink {
    /// How many frames [`deliver`](Self::deliver) will take now; the credit the port publishes.
    fn credit(&self) -> usize;

    /// Takes one frame and its reference, counting it `delivered` (or dropped, with the reason).
    fn deliver(&mut self, pool: &mut Pool, skb: Skb, ledger: &mut Ledger);

    /// Called once after the frames of a burst.
    fn flush(&mut self, pool: &mut Pool, ledger: &mut Ledger) {
        let _ = (pool, ledger);
    }

    /// Takes the frames of `burst` that `runs` name, in order, counting them. The caller keeps its
    /// references; a sink that needs a frame for longer shares it.
    fn deliver_runs(&mut self, pool: &mut Pool, burst: &[Skb], runs: &[Run], ledger: &mut Ledger) {
        for skb in runs.iter().flat_map(|run| run.of(burst)) {
            let shared = pool.share(skb);
            self.deliver(pool, shared, ledger);
        }
        self.flush(pool, ledger);
    }

    /// Delivers a whole burst.
    fn deliver_burst(&mut self, pool: &mut Pool, burst: &mut Burst, ledger: &mut Ledger) {
        for skb in burst.drain(..) {
            self.deliver(pool, skb, ledger);
        }
        self.flush(pool, ledger);
    }
}
