//! Connections that were made to a guest's port, for who accepts them.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::bell::Bell;
use super::end::{PathStream, stopped};

/// Connections accepted and not yet taken.
#[derive(Default)]
pub(super) struct Queue {
    streams: Mutex<VecDeque<PathStream>>,
    bell: Bell,
    gone: AtomicBool,
    over: AtomicBool,
}

impl Queue {
    /// Nobody takes connections from it any more.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// A connection for whoever accepts.
    pub(super) fn put(&self, stream: PathStream) {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).push_back(stream);
        self.bell.ring();
    }

    /// There will be no more: those not taken are dropped, and whoever accepts is told.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
        while self.take().is_some() {}
        self.bell.ring();
    }

    fn take(&self) -> Option<PathStream> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    pub(super) fn len(&self) -> usize {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Connections made to a port of a guest.
pub struct PathListener {
    queue: Arc<Queue>,
}

impl std::fmt::Debug for PathListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PathListener").finish_non_exhaustive()
    }
}

impl PathListener {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self { queue }
    }

    /// The next connection; `None` after `timeout` without one.
    ///
    /// # Errors
    /// The path was stopped.
    pub fn accept(&self, timeout: Option<Duration>) -> io::Result<Option<PathStream>> {
        let queue = &self.queue;
        let over = || queue.over.load(Ordering::Acquire);
        queue.bell.wait(timeout, || queue.len() > 0 || over());
        match queue.take() {
            None if over() => Err(stopped()),
            next => Ok(next),
        }
    }
}

impl Drop for PathListener {
    fn drop(&mut self) {
        self.queue.gone.store(true, Ordering::Release);
        while self.queue.take().is_some() {}
    }
}
