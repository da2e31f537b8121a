//! `framewalk backup` as its user runs it: killed at any moment, resumed, pruned; exit codes.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // helpers of tests, outside of #[test]

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::noise;
use testkit::place::{bytes, files, kills, moment};

const PAGE: usize = 16 << 10;

/// A place with a home of its own, and a repository with small segments.
struct Place(testkit::place::Place);

impl Deref for Place {
    type Target = testkit::place::Place;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Place {
    fn new(name: &str, segment_kib: u32) -> Self {
        let (tmp, program) = (env!("CARGO_TARGET_TMPDIR"), env!("CARGO_BIN_EXE_framewalk"));
        let name = format!("backup-{name}");
        let place = Self(testkit::place::Place::new(tmp, &name, program, &["backup"]));
        let kib = segment_kib.to_string();
        let made = place.run(&["init", "repo", "--segment-kib", &kib, "--base-every", "4"]);
        assert!(made.status.success(), "{made:?}");
        place
    }

    fn push(&self) -> Value {
        let (value, code) = self.json(&["push", "--repo", "repo", "disk.img"]);
        assert_eq!(code, 0, "{value}");
        assert_eq!(value["schema"], "framewalk.push/1");
        value
    }

    /// Starts a command and kills it after so long. Whether it had ended by itself.
    fn kill(&self, args: &[&str], after: Duration) -> bool {
        let mut child =
            self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(after);
        let ended = child.try_wait().unwrap().is_some();
        let _ = child.kill();
        child.wait().unwrap();
        ended
    }

    /// Every generation verifies, and the newest restores to what the source is.
    fn good(&self, context: &str) {
        let (found, code) = self.json(&["verify", "--repo", "repo"]);
        assert_eq!((code, &found["good"]), (0, &Value::Bool(true)), "{context}: {found}");
        let newest = found["generations"].as_object().unwrap().keys();
        let Some(newest) = newest.map(|n| n.parse::<u32>().unwrap()).max() else { return };
        let _ = fs::remove_dir_all(self.dir.join("out"));
        let args = ["restore", "--repo", "repo", &newest.to_string(), "--to", "out"];
        let (restored, code) = self.json(&args);
        assert_eq!(code, 0, "{context}: {restored}");
    }

    fn image(&self) -> PathBuf {
        self.dir.join("disk.img")
    }
}

#[test]
fn a_push_killed_at_any_moment_leaves_no_broken_generation() {
    let place = Place::new("kill", 256);
    fs::write(place.image(), noise(1, 400 * PAGE)).unwrap();
    let begin = Instant::now();
    place.push();
    let whole = begin.elapsed();
    let file = fs::OpenOptions::new().write(true).open(place.image()).unwrap();
    for round in 0..kills() {
        for page in 0..300 {
            let at = (round * 7 + page) % 400 * PAGE as u64;
            file.write_all_at(&noise(1000 + round * 1000 + page, PAGE), at).unwrap();
        }
        let after = whole.mul_f64(moment(round));
        place.kill(&["push", "--repo", "repo", "disk.img"], after);
        place.good(&format!("killed after {after:?}"));
        let report = place.push();
        assert_eq!(report["anew"], Value::Null, "{report}");
        place.good("pushed again");
        let restored = fs::read(place.dir.join("out/disk.img")).unwrap();
        assert!(restored == fs::read(place.image()).unwrap(), "round {round}");
        if round % 16 == 15 {
            // of hundreds of generations each verify would read all
            let args = ["prune", "--repo", "repo", "--keep-last", "2", "--grace-hours", "0"];
            assert!(place.run(&args).status.success());
        }
    }
}

#[test]
fn a_resumed_push_sends_little_again() {
    let place = Place::new("resume", 256);
    let image = noise(2, 4000 * PAGE); // 65 MB: a segment is half a per cent
    fs::write(place.image(), &image).unwrap();
    let segments = || bytes(&place.dir.join("repo/segments"));
    let mut child = place.command(&["push", "--repo", "repo", "disk.img"]);
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while segments() < image.len() as u64 / 2 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    let ended = child.wait().unwrap().success();
    let stored = segments();
    let report = place.push();
    let sent = report["sent"].as_u64().unwrap();
    let needed = image.len() as u64 + image.len() as u64 / 100;
    if !ended {
        assert!(report["resumed"].as_u64().unwrap() > 0, "{report}");
        let again = (stored + sent).saturating_sub(needed);
        assert!(again * 20 < image.len() as u64, "{again} bytes again: {stored} + {sent}");
    }
    place.good("resumed");
    assert!(fs::read(place.dir.join("out/disk.img")).unwrap() == image);
}

#[test]
fn a_prune_killed_at_any_moment_loses_nothing() {
    let place = Place::new("prune", 128);
    fs::write(place.image(), noise(3, 200 * PAGE)).unwrap();
    let file = fs::OpenOptions::new().write(true).open(place.image()).unwrap();
    let args = ["prune", "--repo", "repo", "--keep-last", "2", "--grace-hours", "0"];
    place.push();
    let begin = Instant::now();
    assert!(place.run(&args).status.success());
    let whole = begin.elapsed() * 2;
    for round in 0..kills() {
        for page in 0..60 {
            let at = (round * 31 + page * 3) % 200 * PAGE as u64;
            file.write_all_at(&noise(5000 + round * 1000 + page, PAGE), at).unwrap();
        }
        place.push();
        let after = whole.mul_f64(moment(round));
        place.kill(&args, after);
        place.good(&format!("prune killed after {after:?}"));
        let restored = fs::read(place.dir.join("out/disk.img")).unwrap();
        assert!(restored == fs::read(place.image()).unwrap(), "round {round}");
    }
    let (done, code) = place.json(&args);
    assert_eq!((code, done["kept"].as_array().unwrap().len()), (0, 2), "{done}");
    place.good("pruned");
    let stored = bytes(&place.dir.join("repo"));
    let live = done["live"].as_u64().unwrap();
    assert!(stored * 2 < live * 3, "{stored} stored for {live} live");
}

#[test]
fn exit_codes_and_damage_by_name() {
    let place = Place::new("exit", 256);
    fs::write(place.image(), noise(4, 40 * PAGE)).unwrap();
    place.push();
    place.good("whole");
    let object = files(&place.dir.join("repo/segments")).remove(0);
    let mut bytes = fs::read(&object).unwrap();
    bytes[5000] ^= 1;
    fs::set_permissions(&object, PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(&object, bytes).unwrap();
    let done = place.run(&["verify", "--repo", "repo"]);
    assert_eq!(done.status.code(), Some(1));
    let text = String::from_utf8(done.stdout).unwrap();
    let name = object.file_name().unwrap().to_str().unwrap();
    assert!(text.contains(name) && text.contains("NOT GOOD"), "{text}");
    let done = place.run(&["restore", "--repo", "repo", "latest", "--to", "bad"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8(done.stderr).unwrap().contains(name));
    for args in [
        &["push", "--repo", "nowhere", "disk.img"][..],
        &["push", "--repo", "repo", "missing"],
        &["init", "repo"],
        &["restore", "--repo", "repo", "9", "--to", "x"],
        &["prune", "--repo", "repo"],
        &["init", "s3://bucket/prefix"],
    ] {
        assert_eq!(place.run(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn the_recovery_sheet_restores_and_keys_are_private() {
    let place = Place::new("sheet", 256);
    fs::write(place.image(), noise(5, 3 * PAGE)).unwrap();
    place.push();
    let keys = fs::read_dir(place.dir.join("home/.config/framewalk/backup")).unwrap();
    let keys = keys.map(|entry| entry.unwrap().path()).next().unwrap();
    for name in ["source.key", "restore.key", "prune.key", "recovery.txt"] {
        let mode = keys.join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    fs::copy(keys.join("recovery.txt"), place.dir.join("typed")).unwrap();
    fs::remove_file(keys.join("restore.key")).unwrap();
    let restore = ["restore", "--repo", "repo", "--to", "out"];
    assert_eq!(place.run(&restore).status.code(), Some(2), "without a key");
    let source = keys.join("source.key");
    let with = |key: &str| place.run(&[&restore[..], &["--key", key]].concat()).status.code();
    assert_eq!(with(source.to_str().unwrap()), Some(2), "the source's key reads nothing");
    assert_eq!(with("typed"), Some(0));
    assert!(fs::read(place.dir.join("out/disk.img")).unwrap() == fs::read(place.image()).unwrap());
}

#[test]
fn what_is_damaged_counts_as_verified_no_longer() {
    let place = Place::new("verdict", 256);
    fs::write(place.image(), noise(6, 20 * PAGE)).unwrap();
    place.push();
    let verified = || place.json(&["list", "--repo", "repo"]).0["verified"].clone();
    assert_eq!(verified(), Value::Null);
    assert_eq!(place.json(&["verify", "--repo", "repo"]).1, 0);
    assert!(verified().is_string());
    let said = |args: &[&str]| String::from_utf8(place.run(args).stderr).unwrap();
    assert!(said(&["list", "--repo", "repo"]).contains("the newest verified generation is 1"));
    let segment = files(&place.dir.join("repo/segments")).remove(0);
    fs::set_permissions(&segment, fs::Permissions::from_mode(0o644)).unwrap();
    let file = fs::OpenOptions::new().write(true).open(segment).unwrap();
    file.write_all_at(&[0; 64], 5000).unwrap();
    assert_eq!(place.json(&["verify", "--repo", "repo", "--without-key"]).1, 1);
    assert_eq!(verified(), Value::Null, "it was good, and is not");
    assert!(said(&["list", "--repo", "repo"]).contains("RPO: unknown"));
    // the paths of another set have an age of their own
    fs::write(place.dir.join("other"), noise(7, PAGE)).unwrap();
    assert_eq!(place.json(&["push", "--repo", "repo", "other"]).1, 0);
    assert_eq!(place.json(&["verify", "--repo", "repo", "2"]).1, 0);
    let said = said(&["list", "--repo", "repo"]);
    assert!(said.contains("RPO of set") && said.contains("unknown"), "{said}");
}

/// A file system image with a file in it, and a database; both made by their own tools.
fn practice(place: &Place) -> bool {
    let src = place.dir.join("src");
    fs::create_dir(&src).unwrap();
    fs::create_dir(place.dir.join("tree")).unwrap();
    fs::write(place.dir.join("tree/letter"), noise(9, 70_000)).unwrap();
    let ran = |command: &mut Command| command.output().is_ok_and(|done| done.status.success());
    let image = src.join("disk.img");
    ran(Command::new("/usr/sbin/mkfs.ext4")
        .args(["-q", "-d", "tree"])
        .arg(&image)
        .arg("8M")
        .current_dir(&place.dir))
        && ran(Command::new("sqlite3").arg(src.join("practice.db")).arg(
            "create table p(n, t); insert into p select value, hex(randomblob(90)) from \
             generate_series(1, 2000); create index i on p(t);",
        ))
}

#[test]
fn a_drill_restores_checks_records_and_leaves_nothing() {
    let place = Place::new("drill", 256);
    let with_tools = practice(&place);
    if !with_tools {
        println!("skipped: fsck and SQLite, no mkfs.ext4 or sqlite3");
        fs::write(place.dir.join("src/disk.img"), noise(8, 20 * PAGE)).unwrap();
    }
    assert_eq!(place.json(&["push", "--repo", "repo", "src"]).1, 0);
    let scratch = place.dir.join("scratch");
    fs::create_dir(&scratch).unwrap();
    let said = || String::from_utf8(place.run(&["list", "--repo", "repo"]).stderr).unwrap();
    assert!(said().contains("NEVER DRILLED") && said().contains("RPO: unknown"), "{}", said());
    let drill = |more: &[&str]| {
        let args = ["drill", "--repo", "repo", "--scratch", "scratch"];
        place.json(&[&args[..], more].concat())
    };
    let (done, code) = drill(&["--check", "test -s src/disk.img && test -d \"$FRAMEWALK_DRILL\""]);
    assert_eq!((code, &done["good"]), (0, &Value::Bool(true)), "{done}");
    assert_eq!((&done["elsewhere"], &done["proves"]), (&Value::Bool(false), &Value::Bool(false)));
    assert_eq!(done["with"], "restore-key");
    let outcome = |done: &Value, check: &str| {
        let checks = done["checks"].as_array().unwrap();
        checks.iter().find(|c| c["check"] == check).map(|c| c["outcome"].clone())
    };
    let good = Some(Value::from("good"));
    assert_eq!((outcome(&done, "digest"), outcome(&done, "command")), (good.clone(), good.clone()));
    if with_tools {
        assert_eq!((outcome(&done, "fsck"), outcome(&done, "SQLite")), (good.clone(), good));
    }
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0, "the scratch folder is empty again");
    // here, and with the key file: the generation is verified, but nothing is proved
    let list = said();
    assert!(list.contains("the newest verified generation is 1"), "{list}");
    assert!(list.contains("NEVER DRILLED") && list.contains("not on another machine"), "{list}");
    let (failed, code) = drill(&["--check", "false"]);
    assert_eq!((code, outcome(&failed, "command")), (1, Some(Value::from("bad"))), "{failed}");
    assert!(said().contains("THE LAST DRILL FAILED"), "{}", said());
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
    assert_eq!(files(&place.dir.join("repo/drills")).len(), 2);
    let (set, _) = place.json(&["verify", "--repo", "repo"]);
    assert_eq!(set["good"], true, "records are objects of the repository: {set}");
}

#[test]
fn a_hook_that_finds_a_damaged_database_stores_it_and_exits_with_1() {
    let place = Place::new("hook-bad", 256);
    if !practice(&place) {
        println!("skipped: no mkfs.ext4 or sqlite3");
        return;
    }
    let push = ["push", "--repo", "repo", "src", "--sqlite", "src/practice.db"];
    let (good, code) = place.json(&push);
    assert_eq!(code, 0, "{good}");
    let file = fs::OpenOptions::new().write(true).open(place.dir.join("src/practice.db")).unwrap();
    file.write_all_at(&[0xff; 3000], 3 * 4096).unwrap();
    let done = place.run(&push);
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("NOT CONSISTENT") && said.contains("practice.db"), "{said}");
    assert!(said.contains("integrity_check says") && said.contains("generation 2"), "{said}");
    let (report, code) = place.json(&push);
    assert_eq!((code, &report["consistency"]), (1, &"not-consistent".into()), "{report}");
    place.good("what is damaged is stored as it is");
    let stored = fs::read(place.dir.join("out/src/practice.db")).unwrap();
    assert!(stored[3 * 4096..][..3000].iter().all(|byte| *byte == 0xff));
    // what could not be read at all weighs more
    let missing = [&push[..], &["missing"]].concat();
    assert_eq!(place.run(&missing).status.code(), Some(2));
    // unasked, it is not looked at
    assert_eq!(place.json(&[&push[..], &["--no-check"]].concat()).1, 0);
}

#[test]
fn a_drill_finds_a_broken_file_system_and_a_broken_database() {
    let place = Place::new("drill-bad", 256);
    if !practice(&place) {
        println!("skipped: no mkfs.ext4 or sqlite3");
        return;
    }
    let open = |name: &str| {
        fs::OpenOptions::new().write(true).open(place.dir.join("src").join(name)).unwrap()
    };
    // the superblock's count of free blocks; a page of the table
    open("disk.img").write_all_at(&[1, 2, 3], 1024 + 12).unwrap();
    open("practice.db").write_all_at(&[0xff; 3000], 3 * 4096).unwrap();
    assert_eq!(place.json(&["push", "--repo", "repo", "src"]).1, 0);
    let (done, code) = place.json(&["drill", "--repo", "repo", "--scratch", "."]);
    assert_eq!(code, 1, "{done}");
    let checks = done["checks"].as_array().unwrap();
    let bad: Vec<_> = checks.iter().filter(|c| c["outcome"] == "bad").collect();
    let bad: Vec<_> = bad.iter().map(|c| c["check"].as_str().unwrap()).collect();
    assert_eq!(bad, ["fsck", "SQLite"], "{done}");
    let digest = checks.iter().find(|c| c["check"] == "digest").unwrap();
    assert_eq!(digest["outcome"], "good", "it came back as it was stored");
}

#[test]
fn a_drill_without_room_or_of_a_damaged_generation_is_told() {
    let place = Place::new("drill-room", 256);
    fs::write(place.image(), noise(8, 20 * PAGE)).unwrap();
    place.push();
    let done = place.run(&["drill", "--repo", "repo", "--scratch", "missing"]);
    assert_eq!(done.status.code(), Some(2), "{done:?}");
    // a file system without any room
    let done = place.run(&["drill", "--repo", "repo", "--scratch", "/proc"]);
    let text = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2), "{text}");
    assert!(text.contains("are free"), "{text}");
    let segment = files(&place.dir.join("repo/segments")).remove(0);
    fs::set_permissions(&segment, PermissionsExt::from_mode(0o644)).unwrap();
    let file = fs::OpenOptions::new().write(true).open(segment).unwrap();
    file.write_all_at(&[0; 64], 5000).unwrap();
    let (done, code) = place.json(&["drill", "--repo", "repo", "--scratch", "."]);
    assert_eq!((code, &done["good"]), (1, &Value::Bool(false)), "{done}");
    assert!(done["checks"][0]["note"].as_str().unwrap().contains("segments/"), "{done}");
}

#[test]
fn a_push_keeps_to_its_limit_and_its_hours() {
    let place = Place::new("pace", 256);
    fs::write(place.image(), noise(7, 128 * PAGE)).unwrap();
    let push = ["push", "--repo", "repo", "disk.img"];
    // 2 MiB in eight segments: seven are waited for
    let (report, code) = place.json(&[&push[..], &["--limit", "2MiB/s"]].concat());
    assert_eq!((code, &report["limited_by"]), (0, &Value::from("limit")), "{report}");
    let (seconds, waited) = (report["seconds"].as_f64(), report["waited"]["limit"].as_f64());
    assert!(seconds.unwrap() > 0.8 && waited.unwrap() > 0.6, "{report}");
    for bad in [&["--limit", "fast"][..], &["--limit", "3"], &["--between", "7-8"]] {
        assert_eq!(place.run(&[&push[..], bad].concat()).status.code(), Some(2), "{bad:?}");
    }
    // an hour that begins in two hours, and the day up to there
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let hour = |more: u64| (now.as_secs() / 3600 + more) % 24;
    let (closed, open) = (
        format!("{:02}:00-{:02}:00", hour(2), hour(3)),
        format!("{:02}:00-{:02}:00", hour(23), hour(2)),
    );
    let command = |hours: &str| {
        let mut command = place.command(&[&push[..], &["--between", hours]].concat());
        command.env("TZ", "UTC");
        command
    };
    fs::write(place.image(), noise(8, 128 * PAGE)).unwrap();
    let mut paused = command(&closed).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = std::io::BufReader::new(paused.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    assert!(line.contains(&format!("goes on at {}", &closed[..5])), "{line}");
    paused.kill().unwrap();
    paused.wait().unwrap();
    assert_eq!(files(&place.dir.join("repo/generations")).len(), 1, "nothing was pushed");
    assert!(command(&open).output().unwrap().status.success());
    assert_eq!(files(&place.dir.join("repo/generations")).len(), 2);
    let (report, code) = place.json(&[&push[..], &["--yield-to-load"]].concat());
    assert_eq!(code, 0, "{report}");
    assert!(report["waited"]["load"].is_number(), "{report}");
}

#[test]
fn a_scrub_remembers_where_it_was_and_what_it_finds_counts() {
    let place = Place::new("scrub", 256);
    fs::write(place.image(), noise(9, 128 * PAGE)).unwrap();
    place.push();
    assert_eq!(place.json(&["verify", "--repo", "repo"]).1, 0);
    let scrub = |more: &[&str]| place.json(&[&["scrub", "--repo", "repo"], more].concat());
    let (first, code) = scrub(&["--days", "4"]);
    let (read, all) = (first["read"].as_u64().unwrap(), first["all_bytes"].as_u64().unwrap());
    assert!(code == 0 && read > 0 && read <= all / 4 + 300_000, "{first}");
    let never = first["never"].as_u64().unwrap();
    let (second, _) = scrub(&["--budget", "1"]);
    assert!(second["never"].as_u64().unwrap() < never, "{second}");
    let (sealed, _) = scrub(&["--without-key", "--budget", "100"]);
    assert_eq!((&sealed["opened"], &sealed["never"]), (&Value::from(0), &Value::from(0)));
    assert!(sealed["oldest"].is_string(), "{sealed}");
    for segment in files(&place.dir.join("repo/segments")) {
        fs::set_permissions(&segment, PermissionsExt::from_mode(0o644)).unwrap();
        let file = fs::OpenOptions::new().write(true).open(segment).unwrap();
        file.write_all_at(&[0; 64], 5000).unwrap();
    }
    let (bad, code) = scrub(&["--without-key", "--budget", "100"]);
    assert_eq!((code, &bad["generations"]), (1, &serde_json::json!([1])), "{bad}");
    let (listed, _) = place.json(&["list", "--repo", "repo"]);
    assert_eq!(listed["verified"], Value::Null, "it was good, and is not");
}
