//! What restored files are checked with: the file system's and the database's own tools.
//!
//! Each writes to nothing but the copy that it is given; a copy is read as it was stored first.

mod server;

use std::fs;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The most of a tool's words that is kept.
const WORDS: u64 = 4096;

pub(super) use server::{Folder, check as folder};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Good,
    Bad,
    Untested,
}

/// A check of one file, folder, or of all.
#[derive(Debug, Clone)]
pub(super) struct Check {
    /// Such as "fsck", "Firebird".
    pub(super) check: &'static str,
    /// Of what.
    pub(super) what: PathBuf,
    pub(super) outcome: Outcome,
    /// The command, and what it said if it failed; or why nothing was tested.
    pub(super) note: String,
}

impl Outcome {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Untested => "never tested",
        }
    }
}

/// How a command ended, with the end of what it said.
struct Ended {
    code: Option<i32>,
    said: String,
}

/// Runs a command for at most `limit`; `None` if there is no such program.
fn run(mut command: Command, limit: Duration) -> Result<Option<Ended>, String> {
    let said = tempfile::tempfile().map_err(|e| format!("a file for its words: {e}"))?;
    let both = said.try_clone().and_then(|out| Ok((out, said.try_clone()?)));
    let (out, err) = both.map_err(|e| format!("a file for its words: {e}"))?;
    command.stdin(Stdio::null()).stdout(out).stderr(err).env("LC_ALL", "C");
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.to_string()),
    };
    let begin = Instant::now();
    let mut pause = Duration::from_millis(2);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if begin.elapsed() > limit => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("not done after {} s, stopped", limit.as_secs()));
            }
            Ok(None) => std::thread::sleep(pause),
            Err(e) => return Err(e.to_string()),
        }
        pause = (pause * 2).min(Duration::from_millis(200));
    };
    let length = said.metadata().map_or(0, |meta| meta.len());
    let mut words = vec![0; length.min(WORDS) as usize];
    let read = said.read_exact_at(&mut words, length.saturating_sub(WORDS));
    let said = read.map_or_else(|e| e.to_string(), |()| String::from_utf8_lossy(&words).into());
    Ok(Some(Ended { code: status.code(), said }))
}

/// Where a program is: in PATH, or where Debian keeps what its PATH for users does not name.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.into_iter().map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Runs a tool on a copy. `good` tells from its exit code and its words.
fn tool(
    check: &'static str,
    what: &Path,
    argv: &[&str],
    file: &Path,
    limit: Duration,
    good: impl Fn(i32, &str) -> bool,
) -> Check {
    let ended = find(argv[0]).map_or(Ok(None), |program| {
        let mut command = Command::new(program);
        command.args(&argv[1..]).arg(file);
        run(command, limit)
    });
    judge(check, what, &argv.join(" "), ended, good)
}

/// How a command ended, as a check. `line` is what was run, without the file's name.
fn judge(
    check: &'static str,
    what: &Path,
    line: &str,
    ended: Result<Option<Ended>, String>,
    good: impl Fn(i32, &str) -> bool,
) -> Check {
    let program = line.split(' ').next().unwrap_or_default();
    let (outcome, note) = match ended {
        Err(why) => (Outcome::Bad, format!("{line}: {why}")),
        Ok(None) => (Outcome::Untested, format!("{program} is not installed")),
        Ok(Some(ended)) => match ended.code {
            Some(code) if good(code, &ended.said) => (Outcome::Good, line.to_owned()),
            Some(code) => (Outcome::Bad, format!("{line}: exit code {code}: {}", end(&ended.said))),
            None => (Outcome::Bad, format!("{line}: ended by a signal: {}", end(&ended.said))),
        },
    };
    Check { check, what: what.to_owned(), outcome, note }
}

/// What a tool said, on one line: the first error, and its last words.
fn end(said: &str) -> String {
    let lines: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let (before, last) = lines.split_at(lines.len().saturating_sub(4));
    let error = |line: &&&str| ["error", "ERROR", "FATAL"].iter().any(|word| line.contains(word));
    let first = before.iter().find(error).into_iter();
    crate::term::safe(&first.chain(last).copied().collect::<Vec<_>>().join("; "))
}

/// What a restored file is checked with; `None`: its bytes say nothing more than their digest.
pub(super) fn file(what: &Path, file: &Path, limit: Duration) -> Option<Check> {
    let untested = |check, why: &str| {
        let (what, note) = (what.to_owned(), why.to_owned());
        Some(Check { check, what, outcome: Outcome::Untested, note })
    };
    let mut head = vec![0; 4096];
    let got = fs::File::open(file).and_then(|mut f| f.read(&mut head)).unwrap_or(0);
    head.truncate(got);
    let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|h| h.starts_with(magic));
    let zero = |code: i32, _: &str| code == 0;
    // s_magic of the superblock at 1024
    if at(1080, &[0x53, 0xef]) {
        return Some(ext(what, file, &head, limit));
    }
    if at(3, b"NTFS    ") {
        return Some(tool("fsck", what, &["ntfsfix", "-n"], file, limit, zero));
    }
    if at(510, &[0x55, 0xaa]) && (at(54, b"FAT") || at(82, b"FAT32")) {
        return Some(tool("fsck", what, &["fsck.fat", "-n"], file, limit, zero));
    }
    if at(0, b"XFSB") {
        return Some(tool("fsck", what, &["xfs_repair", "-n", "-f"], file, limit, zero));
    }
    if at(510, &[0x55, 0xaa]) && got == 4096 && what.extension().is_none_or(|e| e != "bin") {
        return untested("fsck", "a disk with partitions: check it with --check");
    }
    match replicate::database(&head, what)? {
        "SQLite" => {
            let mut command = Command::new("sqlite3");
            command.arg("-bail").arg(file).arg("PRAGMA integrity_check;");
            let line = "sqlite3 FILE 'PRAGMA integrity_check'".to_owned();
            let (outcome, note) = match run(command, limit) {
                Ok(None) => (Outcome::Untested, "sqlite3 is not installed".to_owned()),
                Ok(Some(e)) if e.code == Some(0) && e.said.trim() == "ok" => (Outcome::Good, line),
                Ok(Some(e)) => (Outcome::Bad, format!("{line}: {}", end(&e.said))),
                Err(why) => (Outcome::Bad, format!("{line}: {why}")),
            };
            Some(Check { check: "SQLite", what: what.to_owned(), outcome, note })
        }
        // read with its database
        "SQLite WAL" | "SQLite journal" | "SQLite WAL index" => None,
        "Firebird" => {
            if replicate::is_locked(&head) == Some(true) {
                // taken under nbackup's lock: the copy becomes a database of its own first
                let done = tool("Firebird", what, &["nbackup", "-F"], file, limit, zero);
                if done.outcome != Outcome::Good {
                    return Some(done);
                }
            }
            let silent = |code: i32, said: &str| code == 0 && said.trim().is_empty();
            let argv = ["gfix", "-v", "-full", "-user", "SYSDBA"];
            Some(tool("Firebird", what, &argv, file, limit, silent))
        }
        name if name.starts_with("InnoDB") && what.extension().is_some_and(|e| e == "ibd") => {
            Some(tool("InnoDB", what, &["innochecksum"], file, limit, zero))
        }
        "Aria" => Some(tool("Aria", what, &["aria_chk", "-s", "--check"], file, limit, zero)),
        "MyISAM" => Some(tool("MyISAM", what, &["myisamchk", "-s", "--check"], file, limit, zero)),
        // rows with their index, logs and what goes by its place with the folder of their server
        name if SERVERS.iter().any(|server| name.starts_with(server)) => None,
        "MSSQL" => untested("MSSQL", "only SQL Server can: DBCC CHECKDB on the restored copy"),
        "Access" => untested("Access", "no tool here checks it: --check"),
        _ => untested("database", "no tool here checks it: --check"),
    }
}

/// Whose files are checked with a whole folder.
const SERVERS: [&str; 5] = ["PostgreSQL", "InnoDB", "Aria", "MyISAM", "MySQL"];

/// ext2, ext3, ext4: its journal is replayed first, in the copy, as a mount would.
fn ext(what: &Path, file: &Path, head: &[u8], limit: Duration) -> Check {
    let zero = |code: i32, _: &str| code == 0;
    // s_feature_incompat at 96 of the superblock, 0x4: needs recovery
    if head.get(1024 + 96).is_some_and(|byte| byte & 4 != 0) {
        let replay = ["e2fsck", "-y", "-E", "journal_only"];
        let done = tool("fsck", what, &replay, file, limit, |code, _| code <= 1);
        if done.outcome != Outcome::Good {
            return done;
        }
    }
    tool("fsck", what, &["e2fsck", "-f", "-n"], file, limit, zero)
}

/// The user's own check, in the restored folder.
pub(super) fn command(line: &str, folder: &Path, limit: Duration) -> Check {
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(folder).env("FRAMEWALK_DRILL", folder);
    let ended = run(command, limit);
    Check {
        what: PathBuf::from("."),
        ..judge("command", Path::new(""), line, ended, |c, _| c == 0)
    }
}
