//! How threads wait for each other without spinning.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::sync::{AtomicBool, Condvar, Mutex, Ordering, fence};

/// One thread waits for something to be true, others ring when it may have become so. A ring that
/// nobody waits for costs a fence and a load.
///
/// No ring is lost: the waiter says that it waits before it looks, whoever rings has published
/// before it looks whether somebody waits, and a fence on each side puts the two in order.
#[derive(Debug, Default)]
pub(super) struct Bell {
    waits: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Bell {
    /// Wakes the waiter, if there is one, to look again.
    #[inline]
    pub(super) fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.waits.load(Ordering::Relaxed) {
            self.wake_waiter();
        }
    }

    #[cold]
    fn wake_waiter(&self) {
        // taken so that the waiter is either before its look or asleep
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_all();
    }

    /// Sleeps until `ready` says so, at most `timeout` (`None`: for ever). Whether it said so.
    pub(super) fn wait(&self, timeout: Option<Duration>, ready: impl Fn() -> bool) -> bool {
        if ready() {
            return true;
        }
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.waits.store(true, Ordering::Relaxed);
        let came = loop {
            fence(Ordering::SeqCst);
            if ready() {
                break true;
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            guard = match left {
                Some(Duration::ZERO) => break false,
                Some(left) => {
                    let woke = self.wake.wait_timeout(guard, left);
                    woke.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner),
            };
        };
        self.waits.store(false, Ordering::Relaxed);
        drop(guard);
        came
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn no_ring_is_lost_and_time_ends_a_wait() {
        let (bell, back) = (Bell::default(), Bell::default());
        let (ping, pong) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for turn in 1..=20_000 {
                    bell.wait(None, || ping.load(Ordering::Acquire) == turn);
                    pong.store(turn, Ordering::Release);
                    back.ring();
                }
            });
            for turn in 1..=20_000 {
                ping.store(turn, Ordering::Release);
                bell.ring();
                back.wait(None, || pong.load(Ordering::Acquire) == turn);
            }
        });
        assert_eq!(pong.load(Ordering::Relaxed), 20_000);
        assert!(!bell.wait(Some(Duration::from_millis(1)), || false));
        assert!(bell.wait(Some(Duration::ZERO), || true));
    }
}
