//! One reader for several threads: each takes the next block of frames under a lock and works on
//! it outside. What one thread reads stays in its core's cache.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use crossbeam::utils::CachePadded;

/// More workers do not help: reading goes on under the lock, and takes a good part of the time.
const WORKERS_MAX: usize = 16;
/// How often a busy lock is looked at again before the thread goes to sleep: a block is read in
/// less time than a sleeping thread needs to wake up.
const LOOKS: u32 = 2000;

/// Threads that are worth having, this one included.
pub(super) fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX)
}

/// Locks, awake as long as that is likely to be short.
pub(super) fn take<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    for _ in 0..LOOKS {
        match shared.try_lock() {
            Ok(guard) => return guard,
            Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => std::hint::spin_loop(),
        }
    }
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whose turn it is, by numbers from 0 that are each drawn once.
#[derive(Debug)]
pub(super) struct Turns(CachePadded<AtomicU64>);

/// Somebody's turn; the next one's begins when it is dropped, however that comes about.
#[derive(Debug)]
pub(super) struct Turn<'t>(&'t AtomicU64);

impl Turns {
    pub(super) fn new() -> Self {
        Self(CachePadded::new(AtomicU64::new(0)))
    }

    /// Waits for the turn of `number`: awake at first, because turns are short.
    pub(super) fn wait_for(&self, number: u64) -> Turn<'_> {
        let mut looks = 0;
        while self.0.load(Ordering::Acquire) != number {
            looks += 1;
            if looks < LOOKS {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
        Turn(&self.0)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}
