//! Where the thread that runs the path sleeps, and what wakes it.

use std::time::Duration;

#[cfg(target_os = "linux")]
use nic::wake::Waker;

use skb::PortId;
use skb::trace::Tracer;

use super::bell::Bell;
use super::sync::{AtomicBool, Ordering, fence};
#[cfg(target_os = "linux")]
use crate::endpoint::Endpoint;
use crate::engine::Engine;
#[cfg(target_os = "linux")]
use crate::engine::Port;

/// Rung by whoever has given the pump something to do.
#[derive(Debug, Default)]
pub(super) struct Door {
    rung: AtomicBool,
    bell: Bell,
    /// The pump waits for frames, in the kernel.
    outside: AtomicBool,
    #[cfg(target_os = "linux")]
    waker: Option<Waker>,
}

impl Door {
    /// Of a pump that runs `engine`: where that has a live interface, its frames wake it too.
    pub(super) fn of<T: Tracer>(engine: &Engine<T>) -> Self {
        #[cfg(target_os = "linux")]
        if let Some(Endpoint::Wire(nic)) =
            wire(engine).and_then(|at| engine.port(at)).map(Port::endpoint)
        {
            return Self { waker: Some(nic.waker()), ..Self::default() };
        }
        Self::default()
    }

    /// Lets `wait` wait for frames, which a ring ends; not at all if somebody rang.
    pub(super) fn wait_outside(&self, wait: impl FnOnce()) {
        self.outside.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !self.rung.load(Ordering::Acquire) {
            wait();
        }
        self.outside.store(false, Ordering::Relaxed);
    }

    /// There is something to do. Cheap where that was said already and nobody sleeps.
    #[inline]
    pub(super) fn ring(&self) {
        // what was published before is seen by a pump that takes this ring, or an earlier one that
        // is still seen here: without the fence a store may pass the load
        fence(Ordering::SeqCst);
        if !self.rung.load(Ordering::Relaxed) {
            self.rung.store(true, Ordering::Release);
        }
        self.bell.ring();
        #[cfg(target_os = "linux")]
        if let Some(waker) = &self.waker {
            fence(Ordering::SeqCst);
            if self.outside.load(Ordering::Relaxed) {
                waker.wake();
            }
        }
    }

    /// Whether somebody rang since the last call.
    pub(super) fn take(&self) -> bool {
        let rung = self.rung.load(Ordering::Acquire);
        if rung {
            self.rung.store(false, Ordering::Relaxed);
            // whoever's ring that wiped out had published before: from here on it is seen
            fence(Ordering::SeqCst);
        }
        rung
    }

    /// Sleeps until somebody rings, at most `timeout`.
    pub(super) fn wait(&self, timeout: Duration) {
        self.bell.wait(Some(timeout), || self.rung.load(Ordering::Acquire));
    }
}

/// The port with a live interface, if one has.
pub(super) fn wire<T: Tracer>(engine: &Engine<T>) -> Option<PortId> {
    #[cfg(target_os = "linux")]
    {
        let is_wire = |port: &Port| matches!(port.endpoint(), Endpoint::Wire(_));
        engine.ports().iter().position(is_wire).map(|at| PortId(at as u8))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = engine;
        None
    }
}
