//! Running other programs: shown before they run, their exit status turned into an error.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The workspace root: the folder above this package.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// A command run in the workspace root.
pub(crate) fn command<S: AsRef<OsStr>>(program: &str, args: &[S]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

/// The cargo that started this task, run in the workspace root.
pub(crate) fn cargo<S: AsRef<OsStr>>(args: &[S]) -> Command {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    command(&cargo, args)
}

/// The command line as one would type it.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
    let mut line = name.into_owned();
    for arg in command.get_args() {
        let arg = arg.to_string_lossy();
        let plain = !arg.is_empty() && !arg.contains([' ', '\'', '"', '$', '|', '*', '<', '>']);
        line.push(' ');
        if plain {
            line.push_str(&arg);
        } else {
            line.extend(["'", &arg, "'"]);
        }
    }
    line
}

/// Prints the command on standard error, runs it, and fails if it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = line(command);
    eprintln!("$ {shown}");
    let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// Runs quietly and returns standard output; an error carries the last lines of standard error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = line(command);
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        let talk = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<&str> = talk.lines().rev().take(5).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        bail!("`{shown}` failed: {}\n{}", output.status, tail.join("\n"));
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` printed other than UTF-8"))
}

/// Whether a program is found in `PATH` or where Debian keeps administrators' programs.
pub(crate) fn has(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .any(|folder| folder.join(program).is_file())
}

/// Whether this process is root (the effective user id in `/proc/self/status`).
pub(crate) fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uid.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}

/// Whether `CI=true` is set: then missing packages are installed without asking.
pub(crate) fn is_ci() -> bool {
    env::var("CI").is_ok_and(|ci| ci == "true" || ci == "1")
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let text = output(&mut cargo(&["metadata", "--format-version=1", "--no-deps"]))?;
    let json: serde_json::Value = serde_json::from_str(&text).context("cargo metadata")?;
    let folder = json["target_directory"].as_str().context("cargo metadata: target_directory")?;
    Ok(PathBuf::from(folder))
}

/// Builds `framewalk` in the release profile, with what this machine has, and returns its path.
pub(crate) fn release_framewalk() -> Result<PathBuf> {
    let mut build = cargo(&["build", "--release", "--package", "framewalk"]);
    run(build.args(crate::packages::libpcap_features(&["framewalk/libpcap"])))?;
    Ok(target_dir()?.join("release/framewalk"))
}
