//! The database trap as a matrix: writers that a backup by size and time does not see, each with
//! the real software, pushed, restored and compared byte for byte; hooks with live databases.
//!
//! Needs root, and for rows that say so Samba with a FUSE client, Firebird, SQLite. A row whose
//! software is missing is skipped by name. With `FRAMEWALK_TRAP_PEERS` set, rsync, restic
//! and borg are run beside ours.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test file as a whole")]

#[path = "trap/databases.rs"]
mod databases;
#[path = "trap/engines.rs"]
mod engines;
#[path = "trap/peers.rs"]
mod peers;
#[path = "trap/place.rs"]
mod place;
#[path = "trap/rows.rs"]
mod rows;
#[path = "trap/software.rs"]
mod software;

use std::time::{Duration, Instant};

use place::Place;
use rows::{Row, print};
use software::{Firebird, FirebirdServer, Python, have};

/// A change made while nothing holds the file; or by something that still does.
#[test]
#[ignore = "privileged: sees all open files; loop mounts; real Samba over FUSE"]
fn privileged_trap_matrix() {
    let place = Place::new("matrix");
    let mut rows = Vec::new();
    rows.extend(rows::local(&place));
    rows.push(rows::mapped(&place, "/dev/shm", "mmap store, tmpfs"));
    rows.push(rows::wal_only(&place));
    rows.push(rows::power_cut(&place));
    rows.push(rows::smb(&place));
    rows.push(rows::live_firebird(&place));
    rows.push(rows::copied_and_touched(&place));
    print(&rows);
    let ran: Vec<&Row> = rows.iter().filter(|row| row.skipped.is_none()).collect();
    assert!(ran.len() >= 6, "the rows that need no package always run");
    for row in ran {
        assert!(row.caught, "MISSED by the default push: {row:?}");
        assert!(row.trusted_caught, "MISSED with --trust-stat: {row:?}");
        assert_ne!(row.valid, Some(false), "restored, and not valid: {row:?}");
    }
}

/// Sends a push a signal as soon as the database is seen locked.
fn signalled_while_locked(
    place: &Place,
    base: &Firebird,
    push: &[&str],
    signal: &str,
) -> std::process::ExitStatus {
    let mut child = place.start(push);
    let begin = Instant::now();
    while !base.is_locked() {
        assert!(begin.elapsed() < Duration::from_secs(20), "never locked");
        assert!(child.try_wait().unwrap().is_none(), "ended before it was seen locked");
    }
    let pid = child.id().to_string();
    let sent = std::process::Command::new("kill").args([signal, &pid]).status().unwrap();
    assert!(sent.success());
    child.wait().unwrap()
}

/// As most practices have it: the engine is a server's, and only it may lock.
#[test]
#[ignore = "privileged: a Firebird server of its own, on a port of loopback"]
fn privileged_trap_firebird_through_its_server() {
    if !have(&["firebird", "isql-fb", "nbackup", "gfix"]) {
        println!("skipped: Firebird's server (apt-get install firebird3.0-server)");
        return;
    }
    let place = Place::new("served");
    let server = FirebirdServer::start(&place.dir);
    let place = place.of_server();
    let base = Firebird::served(&place.dir, "practice.fdb", 4000);
    let at = base.at();
    let push = ["push", "--repo", "repo", "--firebird", &at];
    let writer = base.writer(4000);
    let pushed = || {
        std::thread::sleep(Duration::from_millis(300));
        let committed = writer.committed();
        let (report, code) = place.json(&push);
        assert_eq!(
            (code, &report["consistency"]),
            (0, &"application-consistent".into()),
            "{report}"
        );
        assert!(!base.is_locked(), "left locked");
        let number = report["generation"].to_string();
        let out = format!("out-{number}");
        let (done, code) =
            place.json(&["restore", "--repo", "repo", &number, "--to", &out, "--fixup"]);
        assert_eq!(code, 0, "{done}");
        let restored = place.dir.join(out).join("practice.fdb");
        assert_eq!(software::gfix(&restored), "", "generation {number}");
        assert!(base.count(&restored) >= committed, "{committed} rows were committed");
    };
    (0..3).for_each(|_| pushed());
    // killed: the server keeps the lock, and its clients go on; the next push releases it
    signalled_while_locked(&place, &base, &push, "-KILL");
    assert!(base.is_locked());
    let committed = writer.committed();
    let done = place.run(&push);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{done:?}");
    let told = format!("{at}: unlocked; a push that was killed had left it locked");
    assert!(said.contains(&told), "{said}");
    pushed();
    assert!(writer.committed() > committed + 10, "the writer stood still");
    drop(writer);
    // without its server: no generation, no lock
    drop(server);
    let done = place.run(&push);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("nbackup -L {at} failed")) && !base.is_locked(), "{said}");
}

#[test]
#[ignore = "privileged: a Firebird server's files, signals to a push that holds its lock"]
fn privileged_trap_lock_is_always_released() {
    if !have(&["isql-fb", "nbackup", "gfix"]) {
        println!("skipped: isql-fb, nbackup and gfix (apt-get install firebird3.0-utils)");
        return;
    }
    let place = Place::new("lock");
    let base = Firebird::new(&place.dir, "practice.fdb", 4000);
    let push = [
        "push",
        "--repo",
        "repo",
        "--firebird",
        base.name(),
        "--post",
        "echo $FRAMEWALK_OUTCOME > post",
    ];
    // a signal: it unlocks, runs the command of --post, makes no generation
    let stopped = |signal| signalled_while_locked(&place, &base, &push, signal);
    assert_eq!(stopped("-TERM").code(), Some(2));
    assert!(!base.is_locked(), "SIGTERM left it locked");
    assert_eq!(std::fs::read_to_string(place.dir.join("post")).unwrap().trim(), "failed");
    // killed: it stays locked, and the next push says so, unlocks it and goes on
    stopped("-KILL");
    assert!(base.is_locked(), "nothing can unlock after SIGKILL but the next push");
    let done = place.run(&push);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{done:?}");
    assert!(said.contains("a push that was killed had left it locked"), "{said}");
    assert!(!base.is_locked());
    assert_eq!(std::fs::read_to_string(place.dir.join("post")).unwrap().trim(), "done");
    // a lock of another backup is not ours to take away
    base.lock();
    let done = place.run(&push);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(2), "{done:?}");
    assert!(said.contains("not by framewalk") && base.is_locked(), "{said}");
    base.unlock();
    // restored: nbackup -F is said, and done where asked
    let (restored, code) = place.json(&["restore", "--repo", "repo", "latest", "--to", "out"]);
    assert_eq!((code, restored["locked"].as_array().unwrap().len()), (0, 1), "{restored}");
    let (restored, code) =
        place.json(&["restore", "--repo", "repo", "latest", "--to", "fixed", "--fixup"]);
    assert_eq!((code, &restored["fixed"]), (0, &true.into()), "{restored}");
    assert_eq!(software::gfix(&place.dir.join("fixed/practice.fdb")), "");
}

#[test]
fn hooks_of_the_user_run_before_and_after() {
    let place = Place::new("hooks");
    std::fs::write(place.dir.join("letter"), b"dear").unwrap();
    let push = |pre: &str| {
        let post = "printf '%s %s' \"$FRAMEWALK_OUTCOME\" \"$FRAMEWALK_GENERATION\" > post";
        let args = ["push", "--repo", "repo", "letter", "--pre", pre, "--post", post];
        let done = place.run(&[&args[..], &["--hook-timeout", "1"]].concat());
        let post = std::fs::read_to_string(place.dir.join("post")).unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap(), post)
    };
    let (code, said, post) = push("echo from pre; test \"$FRAMEWALK_PATHS\" = letter");
    assert_eq!((code, &*post), (Some(0), "done 1"), "{said}");
    assert!(said.contains("from pre"), "its words are not the JSON's: {said}");
    let (code, said, post) = push("exit 7");
    assert_eq!((code, post.trim()), (Some(2), "failed"), "{said}");
    assert!(said.contains("nothing was pushed") && said.contains('7'), "{said}");
    let begin = Instant::now();
    let (code, said, post) = push("sleep 50 & sleep 50");
    assert_eq!((code, post.trim()), (Some(2), "failed"), "{said}");
    assert!(said.contains("more than 1 s") && begin.elapsed() < Duration::from_secs(20), "{said}");
    let args = ["push", "--repo", "repo", "letter", "--post", "exit 1"];
    let done = place.run(&args);
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2));
    assert!(said.contains("generation 2 was made, but"), "{said}");
}

#[test]
fn a_sqlite_database_in_use_is_stored_whole() {
    if !have(&["sqlite3", "python3"]) {
        println!("skipped: \"sqlite3\" and python3 make and copy the database");
        return;
    }
    let place = Place::new("sqlite");
    let writer = Python::start(&place.dir, software::SQLITE_WAL);
    assert_eq!(writer.line(), "committed 500");
    let (report, code) = place.json(&["push", "--repo", "repo", "--sqlite", "notes.db", "--files"]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["consistency"], "application-consistent", "{report}");
    assert!(report["because"].as_str().unwrap().contains("integrity_check"), "{report}");
    let (_, code) = place.json(&["restore", "--repo", "repo", "--to", "out"]);
    assert_eq!(code, 0);
    assert_eq!(software::sqlite(&place.dir.join("out/notes.db"), "SELECT count(*) FROM t"), "500");
    // in a tree, the log beside the copy is left out: it is not the copy's
    std::fs::create_dir(place.dir.join("tree")).unwrap();
    drop(writer);
    for name in ["notes.db", "notes.db-wal"] {
        std::fs::rename(place.dir.join(name), place.dir.join("tree").join(name)).unwrap();
    }
    let (report, code) =
        place.json(&["push", "--repo", "repo", "tree", "--sqlite", "tree/notes.db"]);
    assert_eq!((code, &report["files"]), (0, &2.into()), "the folder and the database: {report}");
    let damaged = place.dir.join("tree/notes.db");
    std::fs::remove_file(place.dir.join("tree/notes.db-wal")).unwrap();
    std::fs::write(&damaged, b"SQLite format 3\0 and no pages").unwrap();
    let done = place.run(&["push", "--repo", "repo", "--sqlite", "tree/notes.db"]);
    assert_eq!(done.status.code(), Some(2), "{done:?}");
    assert!(
        !place
            .dir
            .join("home/.local/state/framewalk/backup/scratch")
            .read_dir()
            .unwrap()
            .any(|_| true)
    );
}
