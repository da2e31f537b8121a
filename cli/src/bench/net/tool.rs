//! Programs that are measured: ours and the peers, each run on one core, ended in good order, and
//! asked afterwards for the processor time it took.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::lab::{Lab, on_core};

/// How long a program may take to end after it was asked to.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long one may take that is only to be gone.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);

/// A running program. Killed when dropped.
#[derive(Debug)]
pub(in crate::bench) struct Running {
    child: Child,
    said: std::path::PathBuf,
    shown: String,
}

/// How a program ended.
#[derive(Debug)]
pub(in crate::bench) struct Ended {
    pub(in crate::bench) status: ExitStatus,
    /// User and system time of the program and its own children, from exec to exit. What the
    /// kernel did for it in interrupts is not in it.
    pub(in crate::bench) cpu: Duration,
    /// What it wrote to standard output and to standard error.
    pub(in crate::bench) said: String,
    shown: String,
}

impl Ended {
    /// Refuses a failure, with what the program said.
    pub(in crate::bench) fn good(self) -> anyhow::Result<Self> {
        if !self.status.success() {
            bail!("{} failed ({}): {}", self.shown, self.status, self.said.trim());
        }
        Ok(self)
    }
}

impl Running {
    /// Starts `command` on a core.
    pub(in crate::bench) fn start<S: AsRef<OsStr>>(
        lab: &Lab,
        core: usize,
        command: &[S],
    ) -> anyhow::Result<Self> {
        let (program, args) = command.split_first().context("an empty command")?;
        let said = lab.in_memory("said");
        let out = File::create(&said).context("cannot make a file for what a program says")?;
        let err = out.try_clone()?;
        let mut start = Command::new(program);
        // a group of its own: some start others
        start.args(args).stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        nic::sys::child::tie_to_this_thread(&mut start);
        let shown = Path::new(program.as_ref()).file_name().unwrap_or_default();
        let shown = shown.to_string_lossy().into_owned();
        let child = on_core(core, || start.spawn())?;
        let child = child.with_context(|| format!("cannot start {shown}"))?;
        Ok(Self { child, said, shown })
    }

    /// Whether it still runs.
    pub(in crate::bench) fn is_running(&self) -> bool {
        // a child that is only looked at is not reaped: its times come with `end`
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = fs::read_to_string(path).unwrap_or_default();
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next());
        !matches!(state, None | Some("Z" | "X"))
    }

    /// Processor time that its threads have taken so far: the first number of `schedstat`, in
    /// nanoseconds (the kernel's `Documentation/scheduler/sched-stats.rst`).
    pub(in crate::bench) fn busy(&self) -> anyhow::Result<Duration> {
        let folder = format!("/proc/{}/task", self.child.id());
        let tasks = fs::read_dir(&folder).with_context(|| format!("{} has ended", self.shown))?;
        let mut ns = 0;
        for task in tasks {
            // one that has just ended is no longer counted
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            ns += text.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(ns))
    }

    /// What it has said so far.
    pub(in crate::bench) fn said(&self) -> String {
        let said = fs::read(&self.said).unwrap_or_default();
        String::from_utf8_lossy(&said).trim().to_owned()
    }

    /// Asks it to end as Ctrl-C does, and waits.
    pub(in crate::bench) fn interrupt(self) -> anyhow::Result<Ended> {
        self.signal(Signal::SIGINT);
        self.end(PATIENCE)
    }

    /// Asks it to end, and if it does not, ends it.
    pub(in crate::bench) fn be_gone(self) {
        self.signal(Signal::SIGINT);
        let start = Instant::now();
        while self.is_running() && start.elapsed() < SHORT_PATIENCE {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// To it and to those it has started.
    fn signal(&self, signal: Signal) {
        if let Ok(id) = i32::try_from(self.child.id()) {
            // it may have ended by itself
            let _ = killpg(Pid::from_raw(id), signal);
        }
    }

    /// Waits for its end; after `patience` it is killed, and that is an error.
    pub(in crate::bench) fn end(mut self, patience: Duration) -> anyhow::Result<Ended> {
        let start = Instant::now();
        while self.is_running() {
            if start.elapsed() > patience {
                bail!("{} did not end within {patience:?} of being asked to", self.shown);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let before = children_cpu()?;
        let status = self.child.wait()?;
        let cpu = children_cpu()?.saturating_sub(before);
        let said = self.said();
        Ok(Ended { status, cpu, said, shown: self.shown.clone() })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // one that was waited for has no group any more, unless it left others behind
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Processor time of all children that have been waited for.
fn children_cpu() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("cannot ask for processor time")?;
    let time = |t: nix::sys::time::TimeVal| {
        Duration::from_micros((t.tv_sec() * 1_000_000 + t.tv_usec()) as u64)
    };
    Ok(time(usage.user_time()) + time(usage.system_time()))
}

/// A command as words.
pub(in crate::bench) fn words(parts: &[&dyn AsRef<OsStr>]) -> Vec<OsString> {
    parts.iter().map(|part| part.as_ref().to_owned()).collect()
}
