//! A port of no device: keeps what it is given, and fails as its script says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nic::tx::{Method, SendError, Sent, Transmit};

/// What a [`SimPort`] does with its next call.
#[derive(Debug)]
pub enum Act {
    /// Takes as many frames, then refuses the next for this reason.
    Take(usize, SendError),
}

/// Frames that a [`SimPort`] took, one vector per call.
pub type Calls = Arc<Mutex<Vec<Vec<Vec<u8>>>>>;

/// A simulated port.
#[derive(Debug, Default)]
pub struct SimPort {
    calls: Calls,
    script: VecDeque<Act>,
    burst_max: usize,
}

impl SimPort {
    /// Takes everything, `burst_max` frames a call.
    pub fn new(burst_max: usize) -> Self {
        Self { burst_max, ..Self::default() }
    }

    /// Its next calls go as `script` says, then it takes everything.
    #[must_use]
    pub fn with_script(mut self, script: impl IntoIterator<Item = Act>) -> Self {
        self.script = script.into_iter().collect();
        self
    }

    /// What it took so far; stays readable when the port is boxed away.
    pub fn calls(&self) -> Calls {
        Arc::clone(&self.calls)
    }
}

impl Transmit for SimPort {
    fn method(&self) -> Method {
        Method::Sendmmsg
    }

    fn burst_max(&self) -> usize {
        self.burst_max
    }

    fn send(&mut self, frames: &[&[u8]]) -> Sent {
        let (taken, error) = match self.script.pop_front() {
            Some(Act::Take(taken, error)) if taken < frames.len() => (taken, Some(error)),
            _ => (frames.len(), None),
        };
        let kept = frames[..taken].iter().map(|frame| frame.to_vec()).collect();
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
        Sent { taken, error }
    }

    fn finish(&mut self, _: Duration) -> u64 {
        0
    }
}
