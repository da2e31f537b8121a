//! Where the sender's thread runs, so that little makes it late.

use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::unistd::Pid;

/// A core for the sender alone, if this process may use more than one.
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

    /// The calling thread goes there and stays, before others, with its memory, as far as it may.
    pub(super) fn take(self) {
        if let Err(error) = mlockall(MlockAllFlags::MCL_CURRENT) {
            tracing::debug!(%error, "pages may have to be fetched while frames are sent");
        }
        if let Err(error) = nic::tx::prefer_this_thread() {
            // nor does it bind itself to a core then, on which others may run before it
            tracing::debug!(%error, "others may run before the sender");
            return;
        }
        let Some(core) = self.core else { return };
        let mut cores = CpuSet::new();
        let bound = cores.set(core).and_then(|()| sched_setaffinity(Pid::from_raw(0), &cores));
        if let Err(error) = bound {
            tracing::debug!(%error, core, "the sender may change its core");
        }
    }
}
