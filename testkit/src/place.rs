//! A folder of a test's own with homes of users in it, and a program that is run there.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// Everything that a test makes, removed at its end.
#[derive(Debug)]
pub struct Place {
    /// The folder, in which commands run.
    pub dir: PathBuf,
    program: PathBuf,
    before: Vec<String>,
    env: Vec<(String, OsString)>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Place {
    /// A new folder in `temporary`, which is `CARGO_TARGET_TMPDIR`, for a program that is given
    /// these words first.
    ///
    /// # Panics
    /// When the folder cannot be made.
    pub fn new(temporary: &str, name: &str, program: &str, before: &[&str]) -> Self {
        let dir = Path::new(temporary).join(name);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("home")).expect("a folder for the test");
        let dir = dir.canonicalize().expect("the folder that was made");
        let before = before.iter().map(|&word| word.to_owned()).collect();
        Self { dir, program: program.into(), before, env: Vec::new() }
    }

    /// The same with more variables of the environment.
    #[must_use]
    pub fn with_env<N: Into<String>, V: Into<OsString>>(
        mut self,
        env: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        self.env.extend(env.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// A command of the user whose home is the folder of that name.
    pub fn command_of(&self, home: &str, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.before).args(args).current_dir(&self.dir);
        command.env("HOME", self.dir.join(home)).stdin(Stdio::null());
        command.env_remove("XDG_CONFIG_HOME").env_remove("XDG_STATE_HOME");
        command.envs(self.env.iter().cloned());
        command
    }

    /// A command of the one user.
    pub fn command(&self, args: &[&str]) -> Command {
        self.command_of("home", args)
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("a program that starts")
    }

    /// The last JSON object that a command prints, and its exit code.
    ///
    /// # Panics
    /// When it prints something else, or was killed.
    pub fn json(&self, args: &[&str]) -> (Value, i32) {
        last_json(&mut self.command(args))
    }
}

/// The JSON objects that a command prints when it is given `--json`, and its exit code. Without
/// any, what it said on standard error, as text.
///
/// # Panics
/// When it cannot be started, prints something else, or was killed.
pub fn all_json(command: &mut Command) -> (Vec<Value>, i32) {
    let done = command.arg("--json").output().expect("a program that starts");
    let text = String::from_utf8_lossy(&done.stdout);
    let parsed: Result<Vec<_>, _> = text.lines().map(serde_json::from_str).collect();
    let mut lines = parsed.unwrap_or_else(|e| panic!("{e}: {done:?}"));
    if lines.is_empty() {
        lines.push(String::from_utf8_lossy(&done.stderr).into());
    }
    (lines, done.status.code().unwrap_or_else(|| panic!("{done:?}")))
}

/// The last of them, and its exit code.
///
/// # Panics
/// As [`all_json`].
pub fn last_json(command: &mut Command) -> (Value, i32) {
    let (mut lines, code) = all_json(command);
    (lines.pop().unwrap_or_default(), code)
}

/// Every file below a folder, but what is still being put: `OBJECT#N`.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.to_string_lossy().contains('#') {
            found.push(path);
        }
    }
    found
}

/// Their bytes.
pub fn bytes(dir: &Path) -> u64 {
    files(dir).iter().filter_map(|path| path.metadata().ok()).map(|meta| meta.len()).sum()
}

/// The most memory that a process has had so far, MiB (proc(5), `VmHWM`).
pub fn peak_mib(id: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) >> 10
}

/// Runs a command to its end; the most memory it had, MiB, looked at every few milliseconds.
///
/// # Panics
/// When it cannot be started, or fails.
pub fn peak_of(command: &mut Command) -> u64 {
    let mut child = command.stdout(Stdio::null()).spawn().expect("a program that starts");
    let mut peak = 0;
    loop {
        peak = peak.max(peak_mib(child.id()));
        if let Some(status) = child.try_wait().expect("a program of our own") {
            assert!(status.success(), "{command:?}");
            return peak;
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// A number from the environment, for longer runs.
pub fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

/// Moments to kill or to cut at: `FRAMEWALK_KILLS` for a long run.
pub fn kills() -> u64 {
    number("FRAMEWALK_KILLS", 12)
}

/// A moment of the work for each round: from 0 to 1.25 of the whole, spread evenly however many
/// rounds there are.
pub fn moment(round: u64) -> f64 {
    // multiples of the golden ratio, without their whole part
    (round as f64 * 0.618_033_988_749_895).fract() * 1.25
}
