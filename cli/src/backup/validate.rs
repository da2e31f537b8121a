//! What restored files are checked with: the file system's and the database's own tools.
//!
//! Each writes to nothing but the copy that it is given; a copy is read as it was stored first.

use std::fs;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The most of a tool's words that is kept.
const WORDS: u64 = 4096;

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

/// Runs a tool on a copy. `good` tells from its exit code and its words.
fn tool(
    check: &'static str,
    what: &Path,
    argv: &[&str],
    file: &Path,
    limit: Duration,
    good: impl Fn(i32, &str) -> bool,
) -> Check {
    let mut found = None;
    // where Debian keeps what its PATH for users does not name
    for folder in ["", "/usr/sbin/", "/sbin/"] {
        let mut command = Command::new(format!("{folder}{}", argv[0]));
        command.args(&argv[1..]).arg(file);
        found = match run(command, limit) {
            Ok(None) => continue,
            ended => Some(ended),
        };
        break;
    }
    let line = argv.join(" ");
    let (outcome, note) = match found {
        None => (Outcome::Untested, format!("{} is not installed", argv[0])),
        Some(Err(why)) => (Outcome::Bad, format!("{line}: {why}")),
        Some(Ok(None)) => (Outcome::Untested, format!("{} is not installed", argv[0])),
        Some(Ok(Some(ended))) => match ended.code {
            Some(code) if good(code, &ended.said) => (Outcome::Good, line),
            Some(code) => (Outcome::Bad, format!("{line}: exit code {code}: {}", end(&ended.said))),
            None => (Outcome::Bad, format!("{line}: ended by a signal")),
        },
    };
    Check { check, what: what.to_owned(), outcome, note }
}

/// The last words of a tool, on one line.
fn end(said: &str) -> String {
    let lines: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    crate::term::safe(&lines[lines.len().saturating_sub(4)..].join("; "))
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
        // relations are checked with their cluster
        name if name.starts_with("PostgreSQL") => None,
        "MSSQL" => untested("MSSQL", "only SQL Server can: DBCC CHECKDB on the restored copy"),
        "Access" => untested("Access", "no tool here checks it: --check"),
        _ => untested("database", "no tool here checks it: --check"),
    }
}

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

/// A PostgreSQL cluster, by its folder.
pub(super) fn cluster(what: &Path, folder: &Path, limit: Duration) -> Option<Check> {
    if !folder.join("PG_VERSION").is_file() || !folder.join("global/pg_control").is_file() {
        return None;
    }
    let version = fs::read_to_string(folder.join("PG_VERSION")).unwrap_or_default();
    let version: String = version.chars().take_while(char::is_ascii_digit).take(2).collect();
    let place = format!("/usr/lib/postgresql/{version}/bin/pg_checksums");
    let program = if Path::new(&place).exists() { place.as_str() } else { "pg_checksums" };
    let argv = [program, "--check", "-D"];
    let mut check =
        tool("PostgreSQL", what, &argv, folder, limit, |code, said| code == 0 && !said.is_empty());
    // that it cannot look is not that it found something
    for why in ["cluster must be shut down", "data checksums are not enabled"] {
        if check.outcome == Outcome::Bad && check.note.contains(why) {
            check.outcome = Outcome::Untested;
        }
    }
    Some(check)
}

/// The user's own check, in the restored folder.
pub(super) fn command(line: &str, folder: &Path, limit: Duration) -> Check {
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(folder).env("FRAMEWALK_DRILL", folder);
    let (outcome, note) = match run(command, limit) {
        Ok(Some(ended)) => match ended.code {
            Some(0) => (Outcome::Good, line.to_owned()),
            Some(code) => (Outcome::Bad, format!("{line}: exit code {code}: {}", end(&ended.said))),
            None => (Outcome::Bad, format!("{line}: ended by a signal")),
        },
        Ok(None) => (Outcome::Untested, "there is no sh".to_owned()),
        Err(why) => (Outcome::Bad, format!("{line}: {why}")),
    };
    Check { check: "command", what: PathBuf::from("."), outcome, note }
}
