//! The rows of the matrix.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use testkit::noise;

use crate::peers::{NAMES, Peers, wanted};
use crate::place::{Place, Pushed};
use crate::software::{Firebird, MAPPED, Python, SHARE, SQLITE_WAL, gfix, have, sh, sqlite};

/// So much older than its first hashing has a file to be, for its stat to be trusted at all.
const AGE: Duration = Duration::from_secs(3);

/// What became of a change.
#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Size, times and inode were as before the change.
    pub(crate) unseen: bool,
    /// The default push has it, restored byte for byte.
    pub(crate) caught: bool,
    pub(crate) judged: String,
    /// So has a push with `--trust-stat`.
    pub(crate) trusted_caught: bool,
    pub(crate) trusted: String,
    /// What was restored passes its own program's check.
    pub(crate) valid: Option<bool>,
    pub(crate) note: String,
    /// What other programs have of it, by name.
    pub(crate) peers: BTreeMap<&'static str, &'static str>,
    pub(crate) skipped: Option<String>,
}

impl Row {
    fn skip(name: &'static str, why: &str) -> Self {
        Self { name, skipped: Some(why.to_owned()), ..Self::default() }
    }
}

/// As a table for people, and a line of JSON for each row.
pub(crate) fn print(rows: &[Row]) {
    let peers = if wanted() { &NAMES[..] } else { &[] };
    let cells = |cell: &dyn Fn(&&'static str) -> String| {
        peers.iter().map(|name| format!(" {} |", cell(name))).collect::<Vec<_>>().concat()
    };
    let columns = cells(&|name| (*name).to_owned());
    println!(
        "| writer | stat moved | default | judged | --trust-stat | judged | \
         restored is valid |{columns}"
    );
    println!("|{}", " --- |".repeat(7 + peers.len()));
    let word = |caught| if caught { "caught" } else { "**MISSED**" };
    for row in rows {
        if let Some(why) = &row.skipped {
            println!("| {} | skipped: {why} |{}", row.name, " |".repeat(5 + peers.len()));
            continue;
        }
        let valid = match row.valid {
            None => "-",
            Some(true) => "yes",
            Some(false) => "NO",
        };
        println!(
            "| {} | {} | {} | {} | {} | {} | {valid}{}{} |{}",
            row.name,
            if row.unseen { "no" } else { "yes" },
            word(row.caught),
            row.judged,
            word(row.trusted_caught),
            row.trusted,
            if row.note.is_empty() { "" } else { ": " },
            row.note,
            cells(&|name| row.peers.get(name).unwrap_or(&"-").to_string())
        );
    }
    for row in rows {
        println!(
            "{}",
            json!({
                "row": row.name, "skipped": row.skipped, "stat_moved": !row.unseen,
                "caught": row.caught, "judged": row.judged, "trust_caught": row.trusted_caught,
                "trust_judged": row.trusted, "valid": row.valid, "note": row.note,
                "peers": row.peers,
            })
        );
    }
}

type Stat = (u64, i64, i64, i64, i64, u64);

fn stat(path: &Path) -> Stat {
    let m = fs::metadata(path).unwrap();
    (m.len(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec(), m.ino())
}

/// Two folders with a file each, one for the default push and one for `--trust-stat`: what the
/// latter writes back before it hashes must not help the former.
struct Pair {
    folders: [PathBuf; 2],
    file: &'static str,
    /// Beside the default push.
    peers: Peers,
}

impl Pair {
    fn new(place: &Place, top: &Path, name: &str, file: &'static str) -> Self {
        let folders = ["plain", "trust"].map(|kind| top.join(format!("{name}-{kind}")));
        for folder in &folders {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join(file), noise(1, 160_000)).unwrap();
            fs::write(folder.join("control"), noise(2, 50_000)).unwrap();
        }
        let peers = Peers::new(place.peers(), &folders[0]);
        Self { folders, file, peers }
    }

    fn files(&self) -> [PathBuf; 2] {
        self.folders.each_ref().map(|folder| folder.join(self.file))
    }

    fn push(&self, place: &Place) -> [Pushed; 2] {
        self.peers.push();
        [place.push(&self.folders[0], false), place.push(&self.folders[1], true)]
    }

    /// Pushes after the change and compares what is restored.
    fn check(&self, place: &Place, name: &'static str, before: Stat) -> Row {
        let unseen = stat(&self.files()[0]) == before;
        let pushed = self.push(place);
        let whole = |nth: usize| {
            let restored = place.restore(pushed[nth].number);
            let folder = self.folders[nth].file_name().unwrap();
            fs::read(restored.join(folder).join(self.file)).unwrap()
                == fs::read(self.folders[nth].join(self.file)).unwrap()
        };
        Row {
            name,
            unseen,
            caught: whole(0),
            judged: pushed[0].judged(self.file),
            trusted_caught: whole(1),
            trusted: pushed[1].judged(self.file),
            peers: self.peers.caught(self.file),
            ..Row::default()
        }
    }
}

/// Local writers without a process that stays.
pub(crate) fn local(place: &Place) -> Vec<Row> {
    let top = place.dir.join("local");
    let [plain, quiet, swap] =
        ["plain", "quiet", "swap"].map(|name| Pair::new(place, &top, name, "file"));
    std::thread::sleep(AGE);
    for pair in [&plain, &quiet, &swap] {
        pair.push(place);
    }
    // without a change, stat is trusted here: what follows is caught for its own reason
    let [_, control] = plain.push(place);
    assert!(control.judged("file").starts_with("trusted-stat"), "{:?}", control.files);
    let mut rows = Vec::new();
    let all = [
        (&plain, "plain write"),
        (&quiet, "write, mtime put back"),
        (&swap, "other file of the same size and mtime renamed over it"),
    ];
    for (nth, (pair, name)) in all.into_iter().enumerate() {
        let before = stat(&pair.files()[0]);
        for path in pair.files() {
            let time = fs::metadata(&path).unwrap().modified().unwrap();
            let to = if nth == 2 { path.with_extension("new") } else { path.clone() };
            if nth == 2 {
                fs::write(&to, noise(3, 160_000)).unwrap();
            }
            let file = fs::File::options().write(true).open(&to).unwrap();
            file.write_all_at(&[7; 4096], 16_384).unwrap();
            if nth > 0 {
                file.set_modified(time).unwrap();
            }
            if nth == 2 {
                fs::rename(&to, &path).unwrap();
            }
        }
        rows.push(pair.check(place, name, before));
    }
    rows.push(mapped(
        place,
        place.dir.to_str().unwrap(),
        "mmap store into a dirty page, local disk",
    ));
    rows.push(mapped_and_gone(place));
    rows
}

/// Folders outside of the place, removed at the end.
struct Outside(PathBuf);

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A second store into a page that is mapped and dirty already.
pub(crate) fn mapped(place: &Place, top: &str, name: &'static str) -> Row {
    if !have(&["python3"]) {
        return Row::skip(name, "python3");
    }
    let top = Outside(Path::new(top).join(format!("framewalk-trap-{}", std::process::id())));
    let pair = Pair::new(place, &top.0, "mapped", "file");
    let mut writers = pair.files().map(|path| Python::with(&top.0, MAPPED, path.to_str().unwrap()));
    writers.iter_mut().for_each(Python::write);
    std::thread::sleep(AGE);
    pair.push(place);
    let before = stat(&pair.files()[0]);
    writers.iter_mut().for_each(Python::write);
    pair.check(place, name, before)
}

/// The same, but the process has ended when the push comes: no open file tells.
fn mapped_and_gone(place: &Place) -> Row {
    let name = "mmap store, writer gone, local disk";
    if !have(&["python3"]) {
        return Row::skip(name, "python3");
    }
    let pair = Pair::new(place, &place.dir.join("gone"), "mapped", "file");
    let mut writers =
        pair.files().map(|path| Python::with(&place.dir, MAPPED, path.to_str().unwrap()));
    writers.iter_mut().for_each(Python::write);
    std::thread::sleep(AGE);
    pair.push(place);
    let before = stat(&pair.files()[0]);
    writers.iter_mut().for_each(Python::write);
    drop(writers);
    pair.check(place, name, before)
}

/// 500 rows committed to the log: the database's own file does not move.
pub(crate) fn wal_only(place: &Place) -> Row {
    let name = "SQLite, commit to the WAL only";
    if !have(&["sqlite3", "python3"]) {
        return Row::skip(name, "sqlite3, python3");
    }
    let folders = ["wal-plain", "wal-trust"].map(|name| place.dir.join(name));
    let mut writers = folders.each_ref().map(|folder| {
        fs::create_dir_all(folder).unwrap();
        let writer = Python::with(folder, SQLITE_WAL, "wait");
        assert_eq!(writer.line(), "ready");
        writer
    });
    std::thread::sleep(AGE);
    let peers = Peers::new(place.peers(), &folders[0]);
    let push = || {
        peers.push();
        [place.push(&folders[0], false), place.push(&folders[1], true)]
    };
    push();
    let before = stat(&folders[0].join("notes.db"));
    writers.iter_mut().for_each(Python::write);
    let unseen = stat(&folders[0].join("notes.db")) == before;
    let pushed = push();
    let restored = |nth: usize| {
        let out = place.restore(pushed[nth].number).join(folders[nth].file_name().unwrap());
        let base = out.join("notes.db");
        (sqlite(&base, "SELECT count(*) FROM t"), sqlite(&base, "PRAGMA integrity_check"))
    };
    let (plain, trust) = (restored(0), restored(1));
    Row {
        name,
        unseen,
        caught: plain.0 == "500",
        judged: pushed[0].judged("notes.db-wal"),
        trusted_caught: trust.0 == "500",
        trusted: pushed[1].judged("notes.db-wal"),
        valid: Some(plain.1 == "ok" && trust.1 == "ok"),
        peers: peers.caught("notes.db-wal"),
        ..Row::default()
    }
}

/// A mounted image, unmounted at the end.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

/// ext4 keeps data that was synced and loses the time, if the power goes before its journal's
/// next commit: the image is copied at that moment.
pub(crate) fn power_cut(place: &Place) -> Row {
    let name = "power cut after fdatasync, ext4";
    if !have(&["mkfs.ext4", "mount"]) {
        return Row::skip(name, "mkfs.ext4");
    }
    let dir = place.dir.join("power");
    let point = dir.join("mnt");
    fs::create_dir_all(&point).unwrap();
    let mut last = Row::default();
    for attempt in 0..4 {
        let (image, cut) = (dir.join("image"), dir.join("cut"));
        let (i, c, p) = (image.display(), cut.display(), point.display());
        sh(&format!("truncate -s 64M {i}; mkfs.ext4 -q -F {i}; mount -o loop {i} {p}"));
        let mounted = Mounted(point.clone());
        let pair = Pair::new(place, &point, "cut", "file");
        sh("sync");
        std::thread::sleep(AGE);
        pair.push(place);
        let before = stat(&pair.files()[0]);
        sh(&format!("sync -f {p}"));
        for path in pair.files() {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.write_all_at(&[9; 16384], 16_384).unwrap();
            file.sync_data().unwrap();
        }
        fs::copy(&image, &cut).unwrap();
        drop(mounted);
        sh(&format!("mount -o loop {c} {p}"));
        let mounted = Mounted(point.clone());
        let kept = fs::read(&pair.files()[0]).unwrap()[16_384] == 9;
        last = pair.check(place, name, before);
        last.note = format!("time lost at try {}, data kept: {kept}", attempt + 1);
        drop(mounted);
        if last.unseen && kept {
            return last;
        }
        fs::remove_file(&cut).unwrap();
    }
    "no try of 4 lost the time".clone_into(&mut last.note);
    last
}

/// A handle held open over SMB: size and times stand still while the server has the pages.
pub(crate) fn smb(place: &Place) -> Row {
    let name = "SMB, handle held open (Samba, read through smbnetfs)";
    let python = Path::new("/usr/lib/python3/dist-packages").is_dir();
    if !have(&["smbd", "smbnetfs", "fusermount3", "ip"]) || !python {
        return Row::skip(name, "samba, smbnetfs, fuse3, python3-smbc");
    }
    let share = crate::software::Share::new(&place.dir);
    let mut writer = share.writer(SHARE);
    // two sets of paths: each has a state of its own to compare with
    let pair = [(share.mounted.clone(), false), (share.mounted.join("file"), true)];
    std::thread::sleep(AGE);
    writer.write(); // the first write moves the time after two seconds
    std::thread::sleep(AGE);
    let file = share.mounted.join("file");
    // restic asks for extended attributes, at which smbnetfs ends
    let peers = Peers::new(place.peers(), &share.mounted).without("restic").without("borg");
    let push = || {
        peers.push();
        pair.each_ref().map(|(path, trust)| place.push(path, *trust))
    };
    push();
    let mut row = Row { name, caught: true, trusted_caught: true, unseen: true, ..Row::default() };
    for _ in 0..3 {
        let before = stat(&file);
        writer.write();
        std::thread::sleep(AGE);
        row.unseen &= stat(&file) == before;
        let pushed = push();
        let served = fs::read(share.served.join("file")).unwrap();
        let same = |pushed: &Pushed| {
            let out = place.restore(pushed.number);
            let inside = out.join(share.mounted.file_name().unwrap());
            let out = if inside.is_dir() { inside } else { out };
            fs::read(out.join("file")).unwrap() == served
        };
        row.caught &= same(&pushed[0]);
        row.trusted_caught &= same(&pushed[1]);
        (row.judged, row.trusted) = (pushed[0].judged("file"), pushed[1].judged("file"));
        row.peers = peers.caught("file");
    }
    "three pushes, a page written before each".clone_into(&mut row.note);
    row
}

/// Commits all the time: by its hook what is stored is valid; without, push says it is not.
pub(crate) fn live_firebird(place: &Place) -> Row {
    let name = "live Firebird writer, with its hook";
    if !have(&["isql-fb", "nbackup", "gfix"]) {
        return Row::skip(name, "firebird3.0-utils, firebird3.0-server-core");
    }
    let dir = place.dir.join("live");
    fs::create_dir_all(&dir).unwrap();
    let base = Firebird::new(&dir, "practice.fdb", 20_000);
    place.push(&dir, false);
    place.push(&base.path, true);
    let before = stat(&base.path);
    let peers = Peers::new(place.peers(), &dir);
    let writer = base.writer(20_000);
    let (mut valid, mut bad_without) = (true, 0);
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(500));
        let committed = writer.committed();
        let args = [
            "push",
            "--repo",
            "repo",
            dir.to_str().unwrap(),
            "--state",
            "state",
            "--firebird",
            base.name(),
        ];
        let (report, code) = place.json(&args);
        assert_eq!(code, 0, "{report}");
        assert_eq!(report["consistency"], "application-consistent", "{report}");
        let out = format!("hooked-{}", report["generation"]);
        let number = report["generation"].to_string();
        let (done, code) =
            place.json(&["restore", "--repo", "repo", &number, "--to", &out, "--fixup"]);
        assert_eq!(code, 0, "{done}");
        let restored = place.dir.join(&out).join("live/practice.fdb");
        valid &= gfix(&restored).is_empty() && base.count(&restored) >= committed;
        // without a hook: stored as read, and said to be so
        let plain = place.push(&dir, false);
        assert_eq!(plain.report["consistency"], "not-consistent", "{:?}", plain.report);
        let restored = place.restore(plain.number).join("live/practice.fdb");
        bad_without += u32::from(!gfix(&restored).is_empty());
    }
    peers.push();
    let copies = peers.restored().into_iter();
    let good = |dir: &Path| gfix(&dir.join("practice.fdb")).is_empty();
    let copies = copies.map(|(name, dir)| (name, if good(&dir) { "valid" } else { "NOT VALID" }));
    let copies = copies.collect();
    assert!(writer.committed() > 20_010, "the writer went on: {}", writer.committed());
    drop(writer);
    let unseen = stat(&base.path) == before;
    let pushed = [place.push(&dir, false), place.push(&base.path, true)];
    let same = |pushed: &Pushed| {
        let out = place.restore(pushed.number);
        let inside = out.join("live");
        let out = if inside.is_dir() { inside } else { out };
        fs::read(out.join("practice.fdb")).unwrap() == fs::read(&base.path).unwrap()
    };
    Row {
        name,
        unseen,
        caught: same(&pushed[0]),
        judged: pushed[0].judged("practice.fdb"),
        trusted_caught: same(&pushed[1]),
        trusted: pushed[1].judged("practice.fdb"),
        valid: Some(valid),
        peers: copies,
        note: format!("gfix; without the hook {bad_without} of 3 were not, and push said so"),
        ..Row::default()
    }
}

/// The remedy that the seed tells of: a copy of the live file, whose dates are new. It is seen.
pub(crate) fn copied_and_touched(place: &Place) -> Row {
    let name = "live Firebird copied, dates flushed (no hook)";
    if !have(&["isql-fb", "gfix"]) {
        return Row::skip(name, "firebird3.0-utils, firebird3.0-server-core");
    }
    let dir = place.dir.join("remedy");
    let pair = Pair::new(place, &dir, "copy", "copy.fdb");
    let base = Firebird::new(&dir, "practice.fdb", 20_000);
    let writer = base.writer(20_000);
    pair.push(place);
    let (mut row, mut bad) = (Row::default(), 0);
    for _ in 0..3 {
        let before = stat(&pair.files()[0]);
        for path in pair.files() {
            paced_copy(&base.path, &path);
        }
        row = pair.check(place, name, before);
        if !row.caught || !row.trusted_caught {
            break;
        }
        let copy = dir.join("check.fdb");
        fs::copy(&pair.files()[0], &copy).unwrap();
        bad += u32::from(!gfix(&copy).is_empty());
    }
    drop(writer);
    row.note = format!("seen, but {bad} of 3 copies failed gfix: the copy is not of one moment");
    row
}

/// At 50 MB/s, a network copy's pace.
fn paced_copy(from: &Path, to: &Path) {
    let (from, to) = (fs::File::open(from).unwrap(), fs::File::create(to).unwrap());
    let mut page = vec![0; 256 << 10];
    let mut at = 0;
    loop {
        let got = from.read_at(&mut page, at).unwrap();
        if got == 0 {
            return;
        }
        to.write_all_at(&page[..got], at).unwrap();
        at += got as u64;
        std::thread::sleep(Duration::from_millis(5));
    }
}
