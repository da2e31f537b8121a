//! Commands of hooks: in a group of their own, ended by a time limit or a signal to us.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Bytes of a command's output that are kept.
const KEPT: u64 = 64 << 10;

/// How long a command may take, and what ends it early.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits<'a> {
    pub(super) timeout: Duration,
    /// Set by a signal; not looked at where the command has to run whatever happened.
    pub(super) stop: Option<&'a AtomicBool>,
}

/// Runs a program and returns how it ended and what it said, both streams together.
pub(super) fn output(
    command: &mut Command,
    input: &str,
    limits: Limits<'_>,
) -> anyhow::Result<(ExitStatus, String)> {
    use std::io::Write;
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let mut to = child.stdin.take();
    if let Some(to) = &mut to {
        let _ = to.write_all(input.as_bytes()); // one that does not read says so by its exit
    }
    drop(to);
    let (out, err) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        let out = scope.spawn(|| out.map(gather).unwrap_or_default());
        let err = scope.spawn(|| err.map(gather).unwrap_or_default());
        let status = wait(&mut child, &name, limits);
        let said = [out.join().unwrap_or_default(), err.join().unwrap_or_default()];
        Ok((status?, said.concat().trim().to_owned()))
    })
}

/// Reads all, keeps the beginning.
fn gather(mut from: impl Read) -> String {
    let mut kept = Vec::new();
    let _ = from.by_ref().take(KEPT).read_to_end(&mut kept);
    let _ = std::io::copy(&mut from, &mut std::io::sink());
    String::from_utf8_lossy(&kept).into_owned()
}

/// Runs a shell command whose output goes to standard error.
pub(super) fn shell(
    text: &str,
    env: &[(&str, String)],
    limits: Limits<'_>,
) -> anyhow::Result<ExitStatus> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", text]).envs(env.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(std::io::stderr()).process_group(0);
    let mut child = command.spawn().with_context(|| format!("cannot start /bin/sh -c {text}"))?;
    wait(&mut child, text, limits)
}

fn wait(child: &mut Child, name: &str, limits: Limits<'_>) -> anyhow::Result<ExitStatus> {
    let begin = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        let stopped = limits.stop.is_some_and(|stop| stop.load(Ordering::SeqCst));
        if stopped || begin.elapsed() > limits.timeout {
            end(child);
            if stopped {
                bail!("{name}: ended, because the push was interrupted");
            }
            bail!("{name}: ended, because it took more than {} s", limits.timeout.as_secs());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Ends a command and what it started: it is asked, and after three seconds not asked.
fn end(child: &mut Child) {
    let group = Pid::from_raw(child.id() as i32);
    let _ = killpg(group, Signal::SIGTERM);
    let asked = Instant::now();
    while asked.elapsed() < Duration::from_secs(3) {
        if !matches!(child.try_wait(), Ok(None)) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = killpg(group, Signal::SIGKILL);
    let _ = child.wait();
}
