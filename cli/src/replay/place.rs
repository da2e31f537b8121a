//! Where the sender's thread runs, so that little makes it late.

use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu};
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::unistd::Pid;

/// The sender's core, if this process may use more than one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    core: Option<usize>,
}

impl Place {
    /// Where the calling thread runs.
    pub(super) fn here() -> Self {
        let this = Pid::from_raw(0);
        let several = sched_getaffinity(this).is_ok_and(|cores| {
            (0..CpuSet::count()).filter(|core| cores.is_set(*core) == Ok(true)).count() > 1
        });
        Self { core: sched_getcpu().ok().filter(|_| several) }
    }

    /// The core that other threads of ours should leave alone.
    pub(super) fn core(&self) -> Option<usize> {
        self.core
    }

    /// The calling thread runs before others, with its memory there, as far as it may.
    pub(super) fn prefer() {
        if let Err(error) = mlockall(MlockAllFlags::MCL_CURRENT) {
            tracing::debug!(%error, "pages may have to be fetched while frames are sent");
        }
        if let Err(error) = nic::tx::prefer_this_thread() {
            tracing::debug!(%error, "others may run before the sender");
        }
    }
}
