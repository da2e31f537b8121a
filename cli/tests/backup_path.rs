//! `framewalk backup` between two hosts on a segment, through the path: a cable in a network
//! namespace of the test's own, neither end of which has an address.
//!
//! `sudo -E env "PATH=$PATH" cargo test -p framewalk --test backup_path -- --ignored`
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // helpers of tests, outside of #[test]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use testkit::net::Lab;
use testkit::noise;
use testkit::place::files;

const SERVER: &str = "tls://10.77.0.1:4780";
const NEAR: [&str; 4] = ["--path", "left", "--address", "10.77.0.2/24"];
const FAR: [&str; 4] = ["--path", "right", "--address", "10.77.0.1/24"];

struct Place(testkit::place::Place);

impl Place {
    fn new() -> Self {
        let (tmp, program) = (env!("CARGO_TARGET_TMPDIR"), env!("CARGO_BIN_EXE_framewalk"));
        Self(testkit::place::Place::new(tmp, "backup-path", program, &["backup"]))
    }

    fn run(&self, args: &[&str]) -> Output {
        let done = self.0.run(args);
        assert!(done.status.success(), "{args:?}: {done:?}");
        done
    }

    /// By the near end of the cable.
    fn near(&self, args: &[&str]) -> Output {
        self.run(&[args, &NEAR].concat())
    }
}

/// A server at the far end of the cable, ended with its value.
struct Server(Child, BufReader<std::process::ChildStderr>);

impl Server {
    fn start(place: &Place) -> Self {
        let args = [&["serve", "--repo", "repo"][..], &FAR].concat();
        let mut child = place.0.command(&args).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.contains("on 10.77.0.1:4780"), "{line}");
        Self(child, said)
    }

    /// Asks it to stop; what it said.
    fn stop(mut self) -> String {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let mut said = String::new();
        self.1.read_to_string(&mut said).unwrap();
        assert!(self.0.wait().unwrap().success(), "{said}");
        said
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // one that was stopped is no more
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_a_push_through_the_path_comes_back_as_it_was() {
    let lab = Lab::new();
    lab.cable("left", "right", 1500);
    let place = Place::new();
    place.run(&["init", "repo"]);
    fs::create_dir(place.0.dir.join("data")).unwrap();
    let (disk, small) = (noise(1, 9_000_000), noise(2, 70_001));
    fs::write(place.0.dir.join("data/disk.img"), &disk).unwrap();
    fs::write(place.0.dir.join("data/small"), &small).unwrap();

    let server = Server::start(&place);
    for (name, role) in [("pc", "source"), ("keeper", "restore"), ("pruner", "prune")] {
        let made = place.run(&["enrol", "--repo", "repo", "--role", role, name]);
        let code = String::from_utf8(made.stdout).unwrap();
        place.near(&["join", SERVER, "--code", code.trim()]);
    }
    let pushed = place.near(&["push", "--repo", SERVER, "data"]);
    let said = String::from_utf8(pushed.stderr).unwrap();
    assert!(said.contains("the path by left:") && said.contains("all accounted for"), "{said}");
    let mut changed = disk.clone();
    changed[5_000_000..5_000_100].fill(7);
    fs::write(place.0.dir.join("data/disk.img"), &changed).unwrap();
    place.near(&["push", "--repo", SERVER, "data"]);
    assert!(!place.near(&["list", "--repo", SERVER]).stdout.is_empty());
    place.near(&["verify", "--repo", SERVER]);
    for (generation, image) in [("1", &disk), ("2", &changed)] {
        let to = format!("back{generation}");
        place.near(&["restore", "--repo", SERVER, generation, "--to", &to]);
        let found = find(&place.0.dir.join(&to), "disk.img").unwrap();
        assert!(fs::read(found).unwrap() == *image, "generation {generation}");
        let found = find(&place.0.dir.join(&to), "small").unwrap();
        assert!(fs::read(found).unwrap() == small, "generation {generation}");
    }
    place.near(&["prune", "--repo", SERVER, "--keep-last", "1"]);

    // the kernel has no part in it, and without the path there is no way
    let without = place.0.command(&["list", "--repo", SERVER]).output().unwrap();
    assert_eq!(without.status.code(), Some(2), "{without:?}");
    let named = ["list", "--repo", "tls://nas", "--path", "left", "--address", "10.77.0.2/24"];
    let unnamed = place.0.command(&named).output().unwrap();
    assert_eq!(unnamed.status.code(), Some(2), "{unnamed:?}");

    let said = server.stop();
    assert!(said.contains("the path by right:") && said.contains("all accounted for"), "{said}");
    place.run(&["verify", "--repo", "repo"]);
}

/// The file of that name somewhere below.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    files(folder).into_iter().find(|path| path.ends_with(name))
}
