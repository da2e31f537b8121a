//! One reader for several threads: each takes the next block of frames under a lock and works on
//! it outside. What one thread reads stays in its core's cache.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

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
