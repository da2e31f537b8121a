//! `walk --frame N --step` on a terminal of its own (made by util-linux's `script`): the terminal
//! is as before, however the screen is left.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stderr)] // a test fails by panicking

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

const ENTER: &str = "\u{1b}[?1049h";
const LEAVE: &str = "\u{1b}[?1049l";
const SHOW_CURSOR: &str = "\u{1b}[?25h";
const PATIENCE: Duration = Duration::from_secs(30);

/// A shell on a terminal of 80 by 24.
struct Pty {
    script: Child,
    keys: Option<ChildStdin>,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Pty {
    /// `None`, and says so, where there is no `script` of util-linux.
    fn run(program: &str, pid_file: &Path) -> Option<Self> {
        let version = Command::new("script").arg("--version").output();
        let known =
            version.is_ok_and(|v| String::from_utf8_lossy(&v.stdout).contains("util-linux"));
        if !known {
            eprintln!("skipped: util-linux's `script` is not installed (bsdutils)");
            return None;
        }
        let pid_file = pid_file.to_string_lossy();
        let line = format!(
            "stty rows 24 cols 80; stty -a; sh -c 'echo $$ >{pid_file}; exec {program}'; \
             echo exit=$?; stty -a; echo END"
        );
        let mut script = Command::new("script")
            .args(["-qfec", &line, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = script.stdout.take().unwrap();
        let (send, screen) = mpsc::sync_channel(256);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = out.read(&mut buffer) {
                if send.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        let keys = script.stdin.take();
        Some(Self { script, keys, screen, seen: String::new() })
    }

    fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.seen.contains(text) {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(more) = self.screen.recv_timeout(left) else {
                let end = self.seen.chars().rev().take(400).collect::<Vec<_>>();
                panic!("{text:?} did not come: {:?}", end.iter().rev().collect::<String>());
            };
            self.seen.push_str(&String::from_utf8_lossy(&more));
        }
    }

    fn press(&mut self, keys: &str) {
        let pipe = self.keys.as_mut().unwrap();
        pipe.write_all(keys.as_bytes()).unwrap();
        pipe.flush().unwrap();
    }

    /// Everything that was shown, once the shell has ended.
    fn end(mut self) -> String {
        self.wait_for("END");
        drop(self.keys.take());
        self.script.wait().unwrap();
        self.seen
    }
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("step");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn stepping() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps/practice.pcapng");
    format!("{} walk {} --frame 9 --step", env!("CARGO_BIN_EXE_framewalk"), file.display())
}

/// The terminal's settings before and after are the same, and it is back on its main screen with
/// its cursor.
fn assert_restored(seen: &str) {
    // stty's last word is about EXTPROC
    let settings = |part: &str| -> String {
        let from = part.find("speed ").unwrap_or_else(|| panic!("no stty in {part:?}"));
        part[from..].split_once("extproc").expect("the end of stty").0.to_owned()
    };
    let (before, rest) = seen.split_once(ENTER).expect("the screen was never shown");
    let after = &rest[rest.rfind(LEAVE).expect("still on the alternate screen")..];
    assert!(before.contains("icanon") && !before.contains("-icanon"), "{before}");
    assert_eq!(settings(before), settings(after));
    let (hidden, shown) = (seen.rfind("\u{1b}[?25l"), seen.rfind(SHOW_CURSOR));
    assert!(shown > hidden, "the cursor is still hidden");
}

#[test]
fn keys_leave_the_terminal_as_it_was() {
    for (name, keys) in [("q", "q"), ("escape", "\u{1b}"), ("ctrl-c", "\u{3}")] {
        let Some(mut pty) = Pty::run(&stepping(), &folder().join(name)) else { return };
        pty.wait_for("q quit");
        pty.press("n");
        pty.wait_for("napi_schedule()");
        pty.press("b");
        pty.wait_for("On the wire");
        pty.press(keys);
        let seen = pty.end();
        assert!(seen.contains("exit=0"), "{name}: {}", seen.escape_debug());
        assert_restored(&seen);
    }
}

#[test]
fn signals_leave_the_terminal_as_it_was() {
    // SIGINT is left out: the shell itself would end with it
    for (signal, code) in [("TERM", 143), ("HUP", 129), ("QUIT", 131)] {
        let pid_file = folder().join(signal);
        let Some(mut pty) = Pty::run(&stepping(), &pid_file) else { return };
        pty.wait_for("q quit");
        let pid = std::fs::read_to_string(&pid_file).unwrap();
        testkit::process::signal(pid.trim().parse().unwrap(), signal);
        let seen = pty.end();
        assert!(seen.contains(&format!("exit={code}")), "{signal}: {}", seen.escape_debug());
        assert_restored(&seen);
    }
}

#[test]
fn a_closed_terminal_ends_the_program() {
    let pid_file = folder().join("closed");
    // with SIGHUP ignored, so that only the closed terminal itself tells
    let program = format!("sh -c \"trap \\\"\\\" HUP; exec {}\"", stepping());
    let Some(mut pty) = Pty::run(&program, &pid_file) else { return };
    pty.wait_for("q quit");
    let pid = std::fs::read_to_string(&pid_file).unwrap();
    pty.script.kill().unwrap();
    pty.script.wait().unwrap();
    let process = PathBuf::from(format!("/proc/{}/stat", pid.trim()));
    let running = || {
        let stat = std::fs::read_to_string(&process).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    };
    let end = Instant::now() + PATIENCE;
    while running() && Instant::now() < end {
        thread::sleep(Duration::from_millis(50));
    }
    assert!(!running(), "it goes on without a terminal");
}

#[test]
fn a_panic_leaves_the_terminal_as_it_was() {
    // the library's own test program holds a panic to provoke; it lies beside this one
    let me = std::env::current_exe().unwrap();
    let mut programs: Vec<PathBuf> = std::fs::read_dir(me.parent().unwrap())
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with("framewalk-") && path.extension().is_none()
        })
        .collect();
    programs.sort_by_key(|path| std::fs::metadata(path).and_then(|m| m.modified()).ok());
    let name = "walk::step::terminal::tests::provoked_panic_on_the_screen";
    let holds = |path: &PathBuf| {
        let list = Command::new(path).args(["--list", "--ignored"]).output();
        list.is_ok_and(|list| String::from_utf8_lossy(&list.stdout).contains(name))
    };
    let Some(program) = programs.into_iter().rev().find(holds) else {
        eprintln!(
            "skipped: the library's tests are not built; cargo test -p framewalk builds both"
        );
        return;
    };
    let program = format!("{} --exact {name} --ignored --nocapture", program.display());
    let Some(pty) = Pty::run(&program, &folder().join("panic")) else { return };
    let seen = pty.end();
    assert!(seen.contains("exit=101"), "{}", seen.escape_debug());
    assert_restored(&seen);
    let (message, left) = (seen.find("provoked while drawing"), seen.find(LEAVE));
    assert!(left.is_some() && message > left, "the message is on the main screen");
}
