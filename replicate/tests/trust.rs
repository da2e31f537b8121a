//! When size and times stand for contents, and what a generation says of its source.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of #[test]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use replicate::catalog::{File, Judged};
use replicate::push::{Hooked, Options, Report, push};
use replicate::{Consistency, InitOptions, Repository, Writer, files, restore};
use testkit::noise;

struct Bench {
    dir: tempfile::TempDir,
    repository: Repository,
    writer: Writer,
    reader: replicate::Reader,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let options = InitOptions { encryption: true, segment: 128 << 10, base_every: 3 };
        let repo = dir.path().join("repo");
        let keys = Repository::init(&repo, &options, |_| Ok(())).unwrap();
        let repository = Repository::open(&repo).unwrap();
        let writer = repository.writer(&keys.source).unwrap();
        let reader = repository.reader(Some(&keys.restore)).unwrap();
        fs::create_dir(dir.path().join("src")).unwrap();
        Self { dir, repository, writer, reader }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn options(&self) -> Options {
        Options {
            paths: vec![self.path("src")],
            state: self.path("state"),
            trust_stat: vec![self.path("src").canonicalize().unwrap()],
            full_hash_every: 86_400,
            threads: 2,
            ..Options::default()
        }
    }

    fn push(&self, options: &Options) -> (Report, BTreeMap<String, File>) {
        let mut lines = BTreeMap::new();
        let report = push(&self.repository, &self.writer, options, &mut |done| {
            let name = done.file.path.file_name().unwrap().to_owned();
            lines.insert(name.into_string().unwrap(), done.file.clone());
        });
        (report.unwrap(), lines)
    }

    /// The state's head, which the test changes.
    fn edit_state(&self, edit: impl Fn(&mut serde_json::Value)) {
        let mut todo = vec![self.path("state")];
        while let Some(path) = todo.pop() {
            if path.is_dir() {
                todo.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
            } else if path.ends_with("state.json") {
                let mut head = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
                edit(&mut head);
                fs::write(&path, head.to_string()).unwrap();
                return;
            }
        }
        panic!("no state.json");
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn stat_is_trusted_only_where_nothing_speaks_against_it() {
    let bench = Bench::new();
    fs::write(bench.path("src/plain"), noise(7, 90_000)).unwrap();
    fs::write(bench.path("src/base"), b"SQLite format 3\0 rows").unwrap();
    let held = fs::File::create(bench.path("src/open")).unwrap();
    bench.push(&bench.options());
    let (_, judged) = bench.push(&bench.options());
    let near = &judged["plain"];
    assert_eq!(near.judged, Judged::Hashed, "{near:?}");
    assert!(near.because.contains("just before"), "{near:?}");
    std::thread::sleep(Duration::from_secs(3));
    bench.push(&bench.options());
    let (_, judged) = bench.push(&bench.options());
    assert!(judged["base"].because.contains("database"), "{judged:?}");
    assert_eq!(judged["base"].judged, Judged::Hashed);
    // who is not root cannot see what others hold open, and hashes
    let expected = if is_root() { Judged::TrustedStat } else { Judged::Hashed };
    assert_eq!(judged["plain"].judged, expected, "{judged:?}");
    assert_eq!(judged["plain"].hashed.is_some(), is_root());
    drop(held);
    // due
    let (_, due) = bench.push(&Options { full_hash_every: 0, ..bench.options() });
    assert!(due["plain"].because.contains("due"), "{due:?}");
    // the system or the mount is another one
    let check = |why: &str| {
        let (_, judged) = bench.push(&bench.options());
        assert_eq!(judged["plain"].judged, Judged::Hashed, "{why}");
        assert!(judged["plain"].because.contains(why), "{why}: {judged:?}");
    };
    bench.edit_state(|head| head["boot"] = "another".into());
    check("the system was started since");
    bench.edit_state(|head| head["mounts"] = serde_json::json!([1]));
    check("the file system was mounted since");
    // contents change and the time is put back: the inode's own change time tells
    let path = bench.path("src/plain");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, noise(8, 90_000)).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    check("size or times differ");
}

#[test]
fn times_in_memory_are_not_trusted() {
    let Ok(shm) = tempfile::tempdir_in("/dev/shm") else {
        println!("skipped: no /dev/shm");
        return;
    };
    let bench = Bench::new();
    fs::write(shm.path().join("mapped"), noise(9, 50_000)).unwrap();
    let options = Options {
        paths: vec![shm.path().to_owned()],
        trust_stat: vec![shm.path().to_owned()],
        ..bench.options()
    };
    bench.push(&options);
    let (_, judged) = bench.push(&options);
    assert!(judged["mapped"].because.contains("in memory"), "{judged:?}");
}

#[test]
fn a_hooked_database_is_stored_from_its_copy_under_its_own_name() {
    let bench = Bench::new();
    let (base, wal) = (bench.path("src/base"), bench.path("src/base-wal"));
    fs::write(&base, b"SQLite format 3\0 old").unwrap();
    fs::write(&wal, b"log").unwrap();
    fs::write(bench.path("copy"), b"SQLite format 3\0 old and log").unwrap();
    let hooked = Hooked {
        path: base.canonicalize().unwrap(),
        copy: Some(bench.path("copy")),
        hook: "SQLite backup API".to_owned(),
        consistency: Consistency::Application,
        checked: "PRAGMA integrity_check: ok".to_owned(),
        left_out: vec![wal.canonicalize().unwrap()],
        mtime_ns: None,
    };
    let tree = Options { hooked: vec![hooked.clone()], ..bench.options() };
    let (report, lines) = bench.push(&tree);
    assert_eq!(report.manifest.consistency, Consistency::Application);
    assert!(report.manifest.because.contains("integrity_check: ok"));
    assert_eq!(lines["base"].consistency(), Consistency::Application);
    assert!(!lines.contains_key("base-wal"), "a log that is not of the copy");
    let out = bench.path("out");
    restore(&bench.repository, &bench.reader, &report.manifest, &out, &[], &|_| {}).unwrap();
    assert_eq!(fs::read(out.join("src/base")).unwrap(), b"SQLite format 3\0 old and log");
    // beside it a file without a hook: the generation's word is the weakest, each file has its own
    fs::write(bench.path("src/letter"), b"dear").unwrap();
    let (report, lines) = bench.push(&tree);
    assert_eq!(report.manifest.consistency, Consistency::Not);
    assert_eq!(lines["letter"].consistency(), Consistency::Not);
    assert_eq!(lines["base"].consistency(), Consistency::Application);
    let (report, _) = bench.push(&Options { snapshot: true, ..tree.clone() });
    assert_eq!(report.manifest.consistency, Consistency::Crash);
    // what its check found wrong is not consistent, whatever held it
    let bad = Hooked { consistency: Consistency::Not, checked: "3 errors".to_owned(), ..hooked };
    let (report, _) = bench.push(&Options { hooked: vec![bad], snapshot: true, ..tree.clone() });
    assert_eq!(report.manifest.consistency, Consistency::Not);
    assert!(report.manifest.because.contains("3 errors"), "{}", report.manifest.because);
    let moved = Hooked { copy: None, mtime_ns: Some(1), ..tree.hooked[0].clone() };
    let (moving, _) = bench.push(&Options { hooked: vec![moved], ..tree.clone() });
    assert!(moving.manifest.because.contains("changed while"), "it did not stay as it was held");
    let mut words = BTreeMap::new();
    files(&bench.repository, &bench.reader, &report.manifest, |file| {
        words.insert(file.path.clone(), (file.consistency(), file.checked));
        Ok(())
    })
    .unwrap();
    assert_eq!(words[Path::new("src/base")].1.as_deref(), Some("3 errors"));
}

#[test]
fn a_push_that_is_stopped_makes_no_generation() {
    let bench = Bench::new();
    fs::write(bench.path("src/a"), noise(1, 50_000)).unwrap();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let options = Options { stop: Some(stop), ..bench.options() };
    let failed = push(&bench.repository, &bench.writer, &options, &mut |_| {}).unwrap_err();
    assert!(failed.to_string().contains("interrupted"), "{failed}");
    assert!(bench.repository.generations().unwrap().is_empty());
    let (report, _) = bench.push(&bench.options());
    assert_eq!(report.manifest.number, 1);
}
