//! Pushes, restores, damage and prune, through the crate's own interface.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of #[test]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use replicate::keys::Key;
use replicate::push::{Options, Report, push};
use replicate::{
    Error, InitOptions, PAGE, Reader, Repository, Retention, Writer, files, prune, restore, verify,
};
use testkit::noise;

struct Bench {
    dir: tempfile::TempDir,
    repository: Repository,
    writer: Writer,
    reader: Reader,
    prune: Key,
}

impl Bench {
    fn new(encryption: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = InitOptions { encryption, segment: 128 << 10, base_every: 3 };
        let repo = dir.path().join("repo");
        let keys = Repository::init(&repo, &options, |_| Ok(())).unwrap();
        let repository = Repository::open(&repo).unwrap();
        let writer = repository.writer(&keys.source).unwrap();
        let reader = repository.reader(Some(&keys.restore)).unwrap();
        fs::create_dir(dir.path().join("src")).unwrap();
        Self { dir, repository, writer, reader, prune: keys.prune }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn options(&self) -> Options {
        Options {
            paths: vec![self.path("src")],
            state: self.path("state"),
            trust_stat: Vec::new(),
            full_hash_every: 86_400,
            snapshot: false,
            threads: 2,
            ..Options::default()
        }
    }

    fn push(&self) -> Report {
        push(&self.repository, &self.writer, &self.options(), &mut |_| {}).unwrap()
    }

    /// Restores a generation and compares it with what is expected, byte for byte.
    fn expect(&self, number: u32, expected: &BTreeMap<PathBuf, Vec<u8>>) {
        let manifest = replicate::Manifest::get(&self.repository, number).unwrap();
        let to = tempfile::tempdir().unwrap();
        let to = to.path().join("out");
        restore(&self.repository, &self.reader, &manifest, &to, &[], &|_| {}).unwrap();
        assert_eq!(contents(&to.join("src")), *expected, "generation {number}");
    }

    fn objects(&self, folder: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for sub in fs::read_dir(self.path("repo").join(folder)).into_iter().flatten().flatten() {
            if sub.path().is_dir() {
                found.extend(fs::read_dir(sub.path()).unwrap().map(|e| e.unwrap().path()));
            } else {
                found.push(sub.path());
            }
        }
        found.sort();
        found
    }

    fn bytes(&self) -> u64 {
        let folders = ["segments", "maps", "generations", "relocations"];
        let all = folders.iter().flat_map(|folder| self.objects(folder));
        all.map(|path| path.metadata().unwrap().len()).sum()
    }

    fn damage(&self) -> Vec<String> {
        let found = verify(&self.repository, Some(&self.reader), None, &|_| {}).unwrap();
        found.damage.iter().map(ToString::to_string).collect()
    }
}

fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(path) = todo.pop() {
        let kind = path.symlink_metadata().unwrap().file_type();
        let name = path.strip_prefix(root).unwrap().to_owned();
        if kind.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        } else if kind.is_symlink() {
            all.insert(name, fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes());
        } else if kind.is_file() {
            all.insert(name, fs::read(&path).unwrap());
        }
    }
    all
}

#[test]
fn every_generation_of_a_changing_tree_comes_back() {
    for encryption in [true, false] {
        let bench = Bench::new(encryption);
        let src = bench.path("src");
        let image = src.join("disk.img");
        fs::write(&image, noise(1, 50 * PAGE + 77)).unwrap();
        fs::create_dir(src.join("docs")).unwrap();
        fs::write(src.join("docs/long.bin"), noise(2, 700_000)).unwrap();
        fs::write(src.join("docs/empty"), b"").unwrap();
        fs::write(src.join("docs/note.txt"), "cough and fever ".repeat(40)).unwrap();
        symlink("/etc/passwd", src.join("docs/link")).unwrap();
        let mut expected = Vec::new();
        let mut check = |bench: &Bench| {
            let report = bench.push();
            assert!(report.anew.is_none(), "{:?}", report.anew);
            expected.push((report.manifest.number, contents(&src)));
            report
        };
        check(&bench);
        // some pages, one of them to zeroes; a file shifts; one goes, one comes
        let file = fs::OpenOptions::new().write(true).open(&image).unwrap();
        file.write_all_at(&noise(3, PAGE), 7 * PAGE as u64).unwrap();
        file.write_all_at(&[0; PAGE], 9 * PAGE as u64).unwrap();
        let mut long = noise(2, 700_000);
        long.splice(200_000..200_000, *b"shifted");
        fs::write(src.join("docs/long.bin"), &long).unwrap();
        fs::remove_file(src.join("docs/note.txt")).unwrap();
        fs::write(src.join("new"), "new").unwrap();
        let report = check(&bench);
        assert!(report.sent < 400_000, "{} sent for a few pages", report.sent);
        // shorter, then longer again with a hole where pages were
        file.set_len(5 * PAGE as u64 + 3).unwrap();
        check(&bench);
        file.set_len(60 * PAGE as u64).unwrap();
        file.write_all_at(b"end", 59 * PAGE as u64).unwrap();
        check(&bench);
        // the name comes back as another kind of file, and a directory in place of a file
        fs::write(src.join("docs/note.txt"), b"SQLite format 3\0 and more").unwrap();
        fs::remove_file(src.join("new")).unwrap();
        fs::create_dir(src.join("new")).unwrap();
        fs::write(src.join("new/inner"), noise(4, 20_000)).unwrap();
        let report = check(&bench);
        assert!(report.manifest.is_base(), "a base after three deltas");
        let report = check(&bench);
        assert!(report.sent < 10_000, "{} sent for nothing", report.sent);
        for (number, tree) in &expected {
            bench.expect(*number, tree);
        }
        assert_eq!(bench.damage(), [""; 0]);
    }
}

#[test]
fn metadata_comes_back() {
    let bench = Bench::new(true);
    let file = bench.path("src/tool");
    fs::write(&file, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o750)).unwrap();
    fs::hard_link(&file, bench.path("src/zz-same")).unwrap();
    let before = file.metadata().unwrap();
    let report = bench.push();
    let to = bench.path("out");
    restore(&bench.repository, &bench.reader, &report.manifest, &to, &[], &|_| {}).unwrap();
    let after = to.join("src/tool").metadata().unwrap();
    let facts = |m: &fs::Metadata| (m.mode(), m.mtime(), m.mtime_nsec(), m.uid(), m.nlink());
    assert_eq!(facts(&before), facts(&after));
    assert_eq!(after.ino(), to.join("src/zz-same").metadata().unwrap().ino());
    let only = [PathBuf::from("src/tool")];
    let one = bench.path("one");
    restore(&bench.repository, &bench.reader, &report.manifest, &one, &only, &|_| {}).unwrap();
    assert_eq!(contents(&one).len(), 1);
    let again = restore(&bench.repository, &bench.reader, &report.manifest, &one, &[], &|_| {});
    assert!(matches!(again, Err(Error::Request(_))), "into a directory that is not empty");
}

#[test]
fn a_change_that_stat_does_not_show_is_sent() {
    let bench = Bench::new(true);
    let file = bench.path("src/practice.dat");
    fs::write(&file, noise(5, 300_000)).unwrap();
    bench.push();
    let before = file.metadata().unwrap();
    fs::write(&file, noise(6, 300_000)).unwrap();
    let times = fs::FileTimes::new().set_modified(before.modified().unwrap());
    fs::File::options().write(true).open(&file).unwrap().set_times(times).unwrap();
    let tree = contents(&bench.path("src"));
    let report = bench.push();
    bench.expect(report.manifest.number, &tree);
}

#[test]
fn every_damaged_object_is_named() {
    let bench = Bench::new(true);
    fs::write(bench.path("src/disk.img"), noise(9, 40 * PAGE)).unwrap();
    fs::write(bench.path("src/note"), noise(10, 100_000)).unwrap();
    bench.push();
    fs::write(bench.path("src/note"), noise(11, 100_000)).unwrap();
    bench.push();
    let folders = ["segments", "maps", "generations"];
    let objects: Vec<_> = folders.iter().flat_map(|folder| bench.objects(folder)).collect();
    assert!(objects.len() > 8);
    for object in &objects {
        let good = fs::read(object).unwrap();
        let name = object.strip_prefix(bench.path("repo")).unwrap().display().to_string();
        for at in [0, good.len() / 3, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            fs::write(object, &bad).unwrap();
            let damage = bench.damage();
            assert!(damage.iter().any(|d| d.starts_with(&name)), "bit at {at}: {name}: {damage:?}");
        }
        for len in [0, 10, good.len() / 2, good.len() - 1] {
            fs::write(object, &good[..len]).unwrap();
            let damage = bench.damage();
            assert!(
                damage.iter().any(|d| d.starts_with(&name)),
                "cut to {len}: {name}: {damage:?}"
            );
        }
        fs::remove_file(object).unwrap();
        if !name.starts_with("generations") {
            let damage = bench.damage();
            assert!(damage.iter().any(|d| d.starts_with(&name)), "gone: {name}: {damage:?}");
        }
        fs::write(object, &good).unwrap();
    }
    assert_eq!(bench.damage(), [""; 0]);
}

#[test]
fn swapped_and_foreign_objects_are_named() {
    let bench = Bench::new(true);
    fs::write(bench.path("src/disk.img"), noise(12, 40 * PAGE)).unwrap();
    bench.push();
    fs::write(bench.path("src/disk.img"), noise(13, 40 * PAGE)).unwrap();
    bench.push();
    for folder in ["segments", "maps", "generations"] {
        let objects = bench.objects(folder);
        let (a, b) = (&objects[0], &objects[1]);
        let (in_a, in_b) = (fs::read(a).unwrap(), fs::read(b).unwrap());
        fs::write(a, &in_b).unwrap();
        fs::write(b, &in_a).unwrap();
        let damage = bench.damage();
        for object in [a, b] {
            let name = object.strip_prefix(bench.path("repo")).unwrap().display().to_string();
            assert!(damage.iter().any(|d| d.starts_with(&name)), "{name}: {damage:?}");
        }
        fs::write(a, in_a).unwrap();
        fs::write(b, in_b).unwrap();
    }
    // another repository's generation does not pass for one of this
    let other = Bench::new(true);
    fs::write(other.path("src/x"), "x").unwrap();
    other.push();
    fs::copy(other.path("repo/generations/00000001"), bench.path("repo/generations/00000003"))
        .unwrap();
    fs::write(bench.path("repo/readme.txt"), "hello").unwrap();
    let found = verify(&bench.repository, Some(&bench.reader), None, &|_| {}).unwrap();
    assert_eq!(found.foreign, ["readme.txt"]);
    assert!(found.damage[0].to_string().starts_with("generations/00000003"), "{found:?}");
    // nor a key of another repository
    let keep = Retention { last: 1, ..Retention::default() };
    let refused = prune(&bench.repository, &other.prune, &keep, 0, false);
    assert!(matches!(refused, Err(Error::Key(_))));
}

#[test]
fn prune_keeps_what_kept_generations_need() {
    let bench = Bench::new(true);
    let image = bench.path("src/disk.img");
    fs::write(&image, noise(20, 64 * PAGE)).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&image).unwrap();
    let mut kept = BTreeMap::new();
    for round in 0..12_u64 {
        for page in 0..6 {
            let at = (round * 17 + page * 11) % 64 * PAGE as u64;
            file.write_all_at(&noise(100 + round * 7 + page, PAGE), at).unwrap();
        }
        let report = bench.push();
        kept.insert(report.manifest.number, contents(&bench.path("src")));
        let retention = Retention { last: 3, ..Retention::default() };
        let pruned = prune(&bench.repository, &bench.prune, &retention, 0, false).unwrap();
        kept.retain(|number, _| pruned.kept.contains(number));
        assert_eq!(kept.len(), pruned.kept.len());
        for (number, tree) in &kept {
            bench.expect(*number, tree);
        }
        assert_eq!(bench.damage(), [""; 0], "round {round}");
    }
    let retention = Retention { last: 3, ..Retention::default() };
    let pruned = prune(&bench.repository, &bench.prune, &retention, 0, false).unwrap();
    let (all, live) = (bench.bytes(), pruned.live);
    assert!(all * 2 < live * 3, "{all} bytes for {live} live ones");
}

#[test]
fn a_lost_state_or_repository_is_said() {
    let bench = Bench::new(true);
    fs::write(bench.path("src/disk.img"), noise(30, 20 * PAGE)).unwrap();
    bench.push();
    fs::remove_dir_all(bench.path("state")).unwrap();
    let report = bench.push();
    assert!(report.anew.unwrap().contains("nothing is remembered"));
    fs::remove_file(bench.path("repo/generations/00000002")).unwrap();
    let report = bench.push();
    assert!(report.anew.unwrap().contains("newest of these paths is 1"));
    bench.expect(2, &contents(&bench.path("src")));
}

#[test]
fn a_sparse_file_stays_sparse() {
    let bench = Bench::new(true);
    let path = bench.path("src/sparse.img");
    let file = fs::File::create(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    file.write_all_at(&noise(40, 3 * PAGE), 5 * PAGE as u64).unwrap();
    file.write_all_at(b"far", (1 << 40) - 3).unwrap();
    let report = bench.push();
    assert!(report.manifest.read < 1 << 20, "{} read", report.manifest.read);
    let to = bench.path("out");
    restore(&bench.repository, &bench.reader, &report.manifest, &to, &[], &|_| {}).unwrap();
    let back = fs::File::open(to.join("src/sparse.img")).unwrap();
    let meta = back.metadata().unwrap();
    assert_eq!(meta.len(), 1 << 40);
    assert!(meta.blocks() * 512 < 1 << 20);
    let mut bytes = vec![0; 3 * PAGE];
    back.read_exact_at(&mut bytes, 5 * PAGE as u64).unwrap();
    assert_eq!(bytes, noise(40, 3 * PAGE));
    let mut names = 0;
    files(&bench.repository, &bench.reader, &report.manifest, |_| {
        names += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(names, 2);
}

#[test]
fn a_damaged_state_leaves_no_file_out() {
    let bench = Bench::new(true);
    fs::write(bench.path("src/disk.img"), noise(50, 20 * PAGE)).unwrap();
    fs::write(bench.path("src/note.txt"), "cough").unwrap();
    bench.push();
    let repository = bench.path("state").read_dir().unwrap().next().unwrap().unwrap().path();
    let set = repository.read_dir().unwrap().next().unwrap().unwrap().path();
    let map = fs::File::options().write(true).open(set.join("current/map")).unwrap();
    map.set_len(3).unwrap();
    // it says what is wrong, and makes no generation without them
    let options = bench.options();
    let failed = push(&bench.repository, &bench.writer, &options, &mut |_| {}).unwrap_err();
    assert!(failed.to_string().contains("current/map"), "{failed}");
    assert_eq!(bench.repository.generations().unwrap().len(), 1);
    fs::remove_dir_all(set.join("current")).unwrap();
    let report = bench.push();
    assert!(report.unread.is_empty());
    bench.expect(report.manifest.number, &contents(&bench.path("src")));
}

#[test]
fn only_the_file_that_ended_early_is_said_to_have_changed() {
    let bench = Bench::new(true);
    let image = bench.path("src/b.img");
    fs::write(bench.path("src/a"), "first").unwrap();
    fs::write(&image, noise(51, 2000 * PAGE)).unwrap();
    fs::create_dir(bench.path("src/c")).unwrap();
    let mut moved = Vec::new();
    push(&bench.repository, &bench.writer, &bench.options(), &mut |done| {
        if done.file.path.ends_with("a") {
            // the image is open by now, and longer than all that is under way
            std::thread::sleep(std::time::Duration::from_millis(500));
            fs::File::options().write(true).open(&image).unwrap().set_len(0).unwrap();
        }
        if done.file.moved {
            moved.push(done.file.path.clone());
        }
    })
    .unwrap();
    assert_eq!(moved, [PathBuf::from("src/b.img")]);
}

#[test]
fn a_file_that_says_it_is_empty_is_read_to_its_end() {
    let bench = Bench::new(true);
    // proc(5): files there have a size of 0, and contents
    let modules = Path::new("/proc/kallsyms");
    let Ok(expected) = fs::read(modules) else {
        println!("skipped: no {}", modules.display());
        return;
    };
    let options = Options { paths: vec![modules.to_owned()], ..bench.options() };
    let begin = std::time::Instant::now();
    let report = push(&bench.repository, &bench.writer, &options, &mut |_| {}).unwrap();
    assert_eq!(report.manifest.bytes, expected.len() as u64);
    assert!(begin.elapsed().as_secs() < 60, "{:?} for {} bytes", begin.elapsed(), expected.len());
}
