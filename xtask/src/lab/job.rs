//! Running tools: once with a time limit, or in the background until dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Longest that one foreground command may take, in seconds.
const COMMAND_SECONDS: &str = "40";
/// How long a background job has to say that it is ready.
const READY: Duration = Duration::from_secs(10);
/// How long a job has to end after SIGINT before it is killed.
const STOP: Duration = Duration::from_secs(3);

/// Splits a command line at blanks; no quoting, no shell.
pub(super) fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// Runs `argv` to its end (at most 40 s) and returns what it wrote on stdout.
///
/// # Errors
/// When it cannot be started, takes too long, or exits with anything but 0; the message holds
/// the end of its stderr.
pub(super) fn run(argv: &[&str]) -> Result<String> {
    let out = output(argv)?;
    if !out.status.success() {
        let stderr = String::from_utf8_lossy(&out.stderr);
        bail!("`{}` ended with {}: {}", argv.join(" "), out.status, stderr.trim_end());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Like [`run`], but any exit status is fine: for attempts that are meant to be refused.
pub(super) fn attempt(argv: &[&str]) -> Result<()> {
    output(argv).map(drop)
}

fn output(argv: &[&str]) -> Result<Output> {
    Command::new("timeout")
        .args(["-k", "1", COMMAND_SECONDS])
        .args(argv)
        .env_clear()
        .env("PATH", super::TOOL_PATH)
        .env("LC_ALL", "C.UTF-8")
        .env("HOME", super::SCRATCH)
        .env("TMPDIR", super::SCRATCH)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", argv.join(" ")))
}

/// A background process, interrupted (then killed) by its own process id when dropped.
#[derive(Debug)]
pub(super) struct Job {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Job {
    /// Starts `argv` with stdout and stderr in a log file below `dir`.
    pub(super) fn start(argv: &[&str], dir: &Path) -> Result<Self> {
        static JOBS: AtomicUsize = AtomicUsize::new(0);
        let number = JOBS.fetch_add(1, Ordering::Relaxed);
        let log = dir.join(format!("job-{number}.log"));
        let file = fs::File::create(&log)?;
        let child = Command::new(argv[0])
            .args(&argv[1..])
            .env_clear()
            .env("PATH", super::TOOL_PATH)
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", super::SCRATCH)
            .env("TMPDIR", super::SCRATCH)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start `{}`", argv.join(" ")))?;
        Ok(Self { child, name: argv.join(" "), log })
    }

    /// What it is, and the end of what it has said so far.
    pub(super) fn said(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let end = &log[log.len().saturating_sub(1000)..];
        format!("`{}` said: {}", self.name, String::from_utf8_lossy(end).trim())
    }

    /// Waits until the job's output contains `text`.
    pub(super) fn ready_when(&mut self, text: &str) -> Result<()> {
        self.wait_text(text, READY)
    }

    /// Waits at most `limit` until the job's output contains `text`.
    pub(super) fn wait_text(&mut self, text: &str, limit: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            let log = String::from_utf8_lossy(&fs::read(&self.log)?).into_owned();
            if log.contains(text) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("`{}` ended with {status}: {log}", self.name);
            }
            if start.elapsed() > limit {
                bail!("`{}` did not say `{text}` within {limit:?}: {log}", self.name);
            }
            sleep(Duration::from_millis(30));
        }
    }

    /// Waits at most `limit` for the job to end by itself; returns its output.
    pub(super) fn wait_end(&mut self, limit: Duration) -> Result<String> {
        let start = Instant::now();
        while self.child.try_wait()?.is_none() {
            if start.elapsed() > limit {
                let log = String::from_utf8_lossy(&fs::read(&self.log)?).into_owned();
                bail!("`{}` still runs after {limit:?}: {log}", self.name);
            }
            sleep(Duration::from_millis(50));
        }
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }
}

impl Job {
    /// Ends many at once: each is asked, all have the same few seconds, then they are killed.
    pub(super) fn end(mut jobs: Vec<Self>) {
        let start = Instant::now();
        jobs.iter().for_each(Self::interrupt);
        while start.elapsed() < STOP && jobs.iter_mut().any(Self::runs) {
            sleep(Duration::from_millis(50));
        }
        for job in &mut jobs {
            let _ = job.child.kill();
            let _ = job.child.wait();
        }
    }

    fn runs(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(Some(_)))
    }

    fn interrupt(&self) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-INT", &pid]).status();
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let start = Instant::now();
        if !self.runs() {
            return;
        }
        self.interrupt();
        while start.elapsed() < STOP {
            if !self.runs() {
                return;
            }
            sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
