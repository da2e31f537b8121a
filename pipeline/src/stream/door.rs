//! Where the thread that runs the path sleeps, and what wakes it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::bell::Bell;

/// Rung by whoever has given the pump something to do.
#[derive(Debug, Default)]
pub(super) struct Door {
    rung: AtomicBool,
    bell: Bell,
}

impl Door {
    /// There is something to do. Cheap where that was said already and nobody sleeps.
    #[inline]
    pub(super) fn ring(&self) {
        if !self.rung.load(Ordering::Relaxed) {
            self.rung.store(true, Ordering::Release);
        }
        self.bell.ring();
    }

    /// Whether somebody rang since the last call.
    pub(super) fn take(&self) -> bool {
        self.rung.swap(false, Ordering::AcqRel)
    }

    /// Sleeps until somebody rings, at most `timeout`.
    pub(super) fn wait(&self, timeout: Duration) {
        self.bell.wait(Some(timeout), || self.rung.load(Ordering::Acquire));
    }
}
