//! A network namespace with a cable in it, for measuring: nobody else sees it, and nothing of it
//! is left when its thread has ended.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use nic::link::{self, Link, LinkCounters};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity, unshare};
use nix::unistd::{Pid, geteuid};

/// Largest IP packet on the cable, bytes.
const MTU: u32 = 1500;

/// Where benches measure; the module text says what it is.
#[derive(Debug)]
pub(in crate::bench) struct Lab {
    /// The end that is sent by.
    pub(in crate::bench) near: Link,
    /// The end that frames arrive at.
    pub(in crate::bench) far: Link,
    /// The processor core that sends.
    pub(in crate::bench) sender_core: usize,
    /// The processor core that receives.
    pub(in crate::bench) receiver_core: usize,
    disk: PathBuf,
    memory: PathBuf,
    /// The namespace's own `/sys` could be mounted.
    own_sysfs: bool,
}

/// Folders on the disk, gone when dropped.
struct Folders(PathBuf);

impl Folders {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("framewalk-bench-{}", std::process::id()));
        let failed = || format!("cannot make {}", path.display());
        fs::DirBuilder::new().mode(0o700).create(&path).with_context(failed)?;
        let folders = Self(path.clone());
        fs::create_dir(path.join("in")).with_context(failed)?;
        Ok(folders)
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs `measure` in a namespace of its own, on a thread of its own.
///
/// # Errors
/// Without root, with the command that gives it; where the kernel refuses; and what `measure` says.
pub(in crate::bench) fn in_lab<T: Send>(
    what: &str,
    measure: impl FnOnce(&Lab) -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    needs_root(what)?;
    let folders = Folders::new()?;
    let measured = std::thread::scope(|scope| {
        // the namespaces are this thread's and its children's, and end with it
        let lab = scope.spawn(|| measure(&Lab::new(&folders.0)?));
        lab.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    drop(folders);
    measured
}

/// Refuses without root, with the command that gives it.
pub(in crate::bench) fn needs_root(what: &str) -> anyhow::Result<()> {
    if !geteuid().is_root() {
        let me = std::env::current_exe()
            .map_or_else(|_| "framewalk".to_owned(), |path| path.display().to_string());
        bail!(
            "bench {what} needs root: it makes a network namespace with a cable of its own, and \
             takes both away again; type: sudo {} bench {what}",
            crate::term::shell_word(&me)
        );
    }
    Ok(())
}

impl Lab {
    fn new(folder: &Path) -> anyhow::Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
            .context("cannot make a network namespace")?;
        let none = None::<&str>;
        // what is mounted from here on is seen by this thread and its children alone
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
            .context("cannot make a mount namespace private")?;
        let memory = folder.join("in");
        mount(Some("tmpfs"), &memory, Some("tmpfs"), MsFlags::empty(), Some("mode=0700"))
            .context("cannot mount a tmpfs")?;
        let own_sysfs = mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none).is_ok();
        for which in ["all", "default"] {
            // so that nothing speaks unasked; a kernel without IPv6 has no such file
            let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6"), "1");
        }
        let [near, far] = nic::cable::make("near", "far", MTU)?;
        let cores = allowed_cores()?;
        Ok(Self {
            near,
            far,
            sender_core: cores.last().copied().unwrap_or(0),
            receiver_core: cores.first().copied().unwrap_or(0),
            disk: folder.to_owned(),
            memory,
            own_sysfs,
        })
    }

    /// A file on the file system of the folder for temporary files.
    pub(in crate::bench) fn on_disk(&self, name: &str) -> PathBuf {
        self.disk.join(name)
    }

    /// A file in memory, gone with the namespace.
    pub(in crate::bench) fn in_memory(&self, name: &str) -> PathBuf {
        self.memory.join(name)
    }

    /// What the far end itself has counted.
    pub(in crate::bench) fn arrived(&self) -> anyhow::Result<LinkCounters> {
        let far = link::by_index(self.far.index)?.context("the cable is gone")?;
        Ok(far.counters)
    }

    /// Lets the receiving core take frames in (`true`: Receive Packet Steering, the kernel's
    /// `Documentation/networking/scaling.rst`), or the sending core, as a veth does by itself.
    pub(in crate::bench) fn steer(&self, to_receiver: bool) -> anyhow::Result<()> {
        let path = format!("/sys/class/net/{}/queues/rx-0/rps_cpus", self.far.name);
        if !self.own_sysfs {
            if to_receiver {
                bail!("no sysfs of the namespace's own, which steering to a core needs");
            }
            return Ok(());
        }
        let mask = if to_receiver { mask(self.receiver_core) } else { "0".to_owned() };
        fs::write(&path, mask).with_context(|| format!("cannot write {path}"))
    }
}

/// A set of one core as the kernel writes it: words of 32, the highest first.
fn mask(core: usize) -> String {
    let zeros = ",00000000".repeat(core / 32);
    format!("{:x}{zeros}", 1u32 << (core % 32))
}

fn allowed_cores() -> anyhow::Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0)).context("cannot ask for this thread's cores")?;
    Ok((0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false)).collect())
}

/// Runs `f` with this thread, and what it starts, on one core.
pub(in crate::bench) fn on_core<T>(core: usize, f: impl FnOnce() -> T) -> anyhow::Result<T> {
    let thread = Pid::from_raw(0);
    let before = sched_getaffinity(thread).context("cannot ask for this thread's cores")?;
    let mut one = CpuSet::new();
    one.set(core).context("no such core")?;
    sched_setaffinity(thread, &one).with_context(|| format!("cannot run on core {core}"))?;
    let done = f();
    sched_setaffinity(thread, &before).context("cannot leave the core")?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_written_as_the_kernel_reads_it() {
        assert_eq!((mask(0).as_str(), mask(5).as_str()), ("1", "20"));
        assert_eq!((mask(32).as_str(), mask(65).as_str()), ("1,00000000", "2,00000000,00000000"));
    }

    #[test]
    fn a_thread_is_on_the_core_and_then_where_it_was() {
        let before = allowed_cores().unwrap();
        let core = *before.last().unwrap();
        assert_eq!(on_core(core, || allowed_cores().unwrap()).unwrap(), [core]);
        assert_eq!(allowed_cores().unwrap(), before);
    }
}
