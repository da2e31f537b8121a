//! Which stage a push names: with a server that is slow in one way or another.
#![allow(clippy::unwrap_used)] // helpers of tests, outside of #[test]

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use replicate::push::{Options, Report, push};
use replicate::wire::{Halves, Limits, Remote, Role, Service};
use replicate::{InitOptions, Repository, Store};
use testkit::noise;

/// Takes its time for every so many bytes.
struct Slow<T>(T, usize, Duration);

impl<T: Read> Read for Slow<T> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        std::thread::sleep(self.2);
        let most = self.1.min(room.len());
        self.0.read(&mut room[..most])
    }
}

impl<T: Write> Write for Slow<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        std::thread::sleep(self.2);
        self.0.write(&bytes[..self.1.min(bytes.len())])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Pushes 4 MiB of noise to a server behind these halves of its connection.
fn pushed(slow: impl FnOnce(Halves) -> Halves + Send) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let options = InitOptions { segment: 256 << 10, ..InitOptions::default() };
    let keys = Repository::init(&dir.path().join("repo"), &options, |_| Ok(())).unwrap();
    let here = Repository::open(&dir.path().join("repo")).unwrap();
    let limits = Limits { keep_free: 0, ..Limits::default() };
    let service = Service::new(here, limits).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let halves = Halves::tcp(listener.accept().unwrap().0).unwrap();
            service.plain(slow(halves), "pc", Role::Source)
        });
        let halves = Halves::tcp(TcpStream::connect(to).unwrap()).unwrap();
        let store = Store::remote(Remote::over(halves).unwrap());
        let repository = Repository::in_store(store, "the server").unwrap();
        let report = push_noise(&repository, &keys.source, dir.path());
        drop(repository);
        assert_eq!(serving.join().unwrap().ended, "done");
        report
    })
}

fn push_noise(repository: &Repository, key: &replicate::keys::Key, dir: &Path) -> Report {
    let image = dir.join("disk.img");
    std::fs::write(&image, noise(1, 4 << 20)).unwrap();
    let options = Options { paths: vec![image], state: dir.join("state"), ..Options::default() };
    push(repository, &repository.writer(key).unwrap(), &options, &mut |_| {}).unwrap()
}

fn seconds(report: &Report) -> BTreeMap<&'static str, f64> {
    report.stages.seconds().collect()
}

#[test]
fn a_server_that_reads_slowly_is_named_by_the_way_there() {
    // 64 KiB in 20 ms: 1.3 s and more for all
    let slow = |Halves { read, write, close, from }| {
        let read = Box::new(Slow(read, 64 << 10, Duration::from_millis(20)));
        Halves { read, write, close, from }
    };
    let report = pushed(slow);
    let limiting = report.stages.limiting();
    assert!(["wire", "receive"].contains(&limiting), "{limiting}: {:?}", report.stages);
    let seconds = seconds(&report);
    assert!(seconds["wire"] + seconds["receive"] > 0.6, "{seconds:?}");
}

#[test]
fn a_server_that_answers_late_is_named_as_receiving() {
    // some twenty answers, each 100 ms late
    let slow = |Halves { read, write, close, from }| {
        let write = Box::new(Slow(write, usize::MAX, Duration::from_millis(100)));
        Halves { read, write, close, from }
    };
    let report = pushed(slow);
    assert_eq!(report.stages.limiting(), "receive", "{:?}", report.stages);
}

#[test]
fn a_server_says_what_its_disk_took() {
    let report = pushed(|halves| halves);
    let seconds = seconds(&report);
    let stages: Vec<_> = seconds.keys().copied().collect();
    assert_eq!(stages, ["compress", "encrypt", "fsync", "hash", "receive", "scan", "wire"]);
    assert!(seconds["fsync"] > 0.0, "{seconds:?}");
}

#[test]
fn to_a_directory_everything_put_is_fsync() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    let keys = Repository::init(&repo, &InitOptions::default(), |_| Ok(())).unwrap();
    let repository = Repository::open(&repo).unwrap();
    let report = push_noise(&repository, &keys.source, dir.path());
    let seconds = seconds(&report);
    let stages: Vec<_> = seconds.keys().copied().collect();
    assert_eq!(stages, ["compress", "encrypt", "fsync", "hash", "scan"]);
    assert!(seconds["fsync"] > 0.0, "{seconds:?}");
}
