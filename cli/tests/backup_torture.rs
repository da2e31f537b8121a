//! `framewalk backup` where it hurts: full disks, many generations, prunes killed, huge images.
//!
//! Sizes and counts by environment: `FRAMEWALK_TORTURE_MIB` (256), `FRAMEWALK_FULLS` (24).

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // helpers of tests, outside of #[test]

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use serde_json::Value;
use testkit::noise;
use testkit::place::{bytes, number, peak_of};

const PAGE: usize = 16 << 10;

struct Place(testkit::place::Place);

impl Deref for Place {
    type Target = testkit::place::Place;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for name in ["repo", "state"] {
            // mounted by the test of full disks only, in its own namespace
            let _ = nix::mount::umount(&self.dir.join(name));
        }
    }
}

impl Place {
    fn new(name: &str) -> Self {
        let (tmp, program) = (env!("CARGO_TARGET_TMPDIR"), env!("CARGO_BIN_EXE_framewalk"));
        let name = format!("torture-{name}");
        Self(testkit::place::Place::new(tmp, &name, program, &["backup"]))
    }

    /// The last JSON object that a command prints; it must succeed.
    fn json(&self, args: &[&str]) -> Value {
        let (value, code) = self.0.json(args);
        assert_eq!(code, 0, "{args:?}: {value}");
        value
    }

    /// Runs a command to its end; its peak memory in MiB.
    fn peak(&self, args: &[&str]) -> u64 {
        peak_of(&mut self.command(args))
    }

    /// Bytes of the repository's objects.
    fn stored(&self) -> u64 {
        bytes(&self.dir.join("repo"))
    }

    fn same(&self, context: &str) {
        let _ = fs::remove_dir_all(self.dir.join("out"));
        self.json(&["restore", "--repo", "repo", "--to", "out"]);
        let mut compare = Command::new("cmp");
        compare.args(["disk.img", "out/disk.img"]).current_dir(&self.dir);
        let same = compare.status().unwrap().success();
        assert!(same, "{context}");
        fs::remove_dir_all(self.dir.join("out")).unwrap();
    }
}

/// Pseudo-random, the same in every run.
fn mixed(n: u64) -> u64 {
    let mut n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

const PUSH: [&str; 4] = ["push", "--repo", "repo", "disk.img"];

#[test]
#[ignore = "nightly: sixty pushes and prunes of an image of FRAMEWALK_TORTURE_MIB, minutes"]
fn nightly_sixty_generations_keep_seven_and_prunes_killed_lose_nothing() {
    let place = Place::new("sixty");
    let mib = number("FRAMEWALK_TORTURE_MIB", 256);
    let pages = mib * 64;
    place.json(&["init", "repo"]);
    let image = fs::File::create(place.dir.join("disk.img")).unwrap();
    for at in 0..mib {
        image.write_all_at(&noise(at, 1 << 20), at << 20).unwrap();
    }
    let change = |round: u64| {
        for nth in 0..pages / 100 {
            let page = mixed(round * 1_000_003 + nth) % pages;
            let bytes = noise(1_000_000 + round * pages + nth, PAGE);
            image.write_all_at(&bytes, page * PAGE as u64).unwrap();
        }
    };
    let full = place.json(&PUSH)["seconds"].as_f64().unwrap();
    let prune = ["prune", "--repo", "repo", "--keep-last", "7", "--grace-hours", "0"];
    let (mut longest, mut worst, mut sent) = (0_f64, 0_f64, 0);
    for round in 1..=60 {
        change(round);
        sent += place.json(&PUSH)["sent"].as_u64().unwrap();
        let pruned = place.json(&prune);
        longest = longest.max(pruned["seconds"].as_f64().unwrap());
        worst = worst.max(place.stored() as f64 / pruned["live"].as_f64().unwrap());
    }
    assert!(worst <= 1.5, "{worst} bytes stored for a live one");
    let kept = place.json(&["verify", "--repo", "repo"]);
    assert_eq!(kept["generations"].as_object().unwrap().len(), 7, "{kept}");
    place.same("after sixty generations");
    println!(
        "sweep: 60 generations at 1 % of {mib} MiB, keeping 7: at most {worst:.2} bytes stored \
         for a live one, {} KiB sent each, longest prune {longest:.2} s, full push {full:.2} s",
        (sent / 60) >> 10
    );
    let mut ended = 0;
    for round in 0..50 {
        change(100 + round);
        place.json(&PUSH);
        let mut child = place.command(&prune).stdout(Stdio::null()).spawn().unwrap();
        let moment = mixed(round) % 1000;
        std::thread::sleep(Duration::from_secs_f64(longest * moment as f64 / 1000.0));
        ended += u32::from(child.try_wait().unwrap().is_some());
        let _ = child.kill();
        child.wait().unwrap();
        let found = place.json(&["verify", "--repo", "repo"]);
        assert_eq!(found["good"], true, "killed at {moment}/1000 of {longest} s: {found}");
        if round % 10 == 0 {
            place.same("a prune was killed");
        }
    }
    place.json(&prune);
    place.same("at the end");
    println!("sweep: 50 prunes killed at random moments ({ended} had ended), nothing lost");
}

/// A memory file system of so many bytes, in this thread's own mount namespace.
fn limited(at: &Path, bytes: u64, again: bool) {
    let flags = if again { MsFlags::MS_REMOUNT } else { MsFlags::empty() };
    let size = format!("size={bytes}");
    mount(Some("tmpfs"), at, Some("tmpfs"), flags, Some(size.as_str())).unwrap();
}

#[test]
#[ignore = "privileged: mounts small file systems in a mount namespace of its own"]
fn privileged_full_disks_leave_no_broken_generation() {
    let place = Place::new("full");
    // of this thread, and of what it starts
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
    for name in ["repo", "state"] {
        fs::create_dir(place.dir.join(name)).unwrap();
        limited(&place.dir.join(name), 1 << 30, false);
    }
    place.json(&["init", "repo", "--segment-kib", "128", "--base-every", "4"]);
    let pages = 1024_u64;
    let image = fs::File::create(place.dir.join("disk.img")).unwrap();
    image.write_all_at(&noise(1, pages as usize * PAGE), 0).unwrap();
    let push = [&PUSH[..], &["--state", "state"]].concat();
    place.json(&push);
    let rounds = number("FRAMEWALK_FULLS", 24);
    let (mut failed, mut most) = (0, 0_u64);
    for round in 1..=rounds {
        let bytes = noise(round * 10, pages as usize * PAGE);
        image.write_all_at(&bytes, 0).unwrap();
        let which = if round % 4 == 0 { "state" } else { "repo" };
        let at = place.dir.join(which);
        let stat = nix::sys::statvfs::statvfs(&at).unwrap();
        let used = (stat.blocks() - stat.blocks_free()) * stat.fragment_size();
        let room = if which == "repo" { bytes.len() as u64 } else { 256 << 10 };
        limited(&at, used + 4096 + mixed(round) % room, true);
        let before = place.stored();
        let done = place.run(&push);
        let text = String::from_utf8_lossy(&done.stderr).into_owned();
        if !done.status.success() {
            failed += 1;
            assert_eq!(done.status.code(), Some(2), "{text}");
            assert!(text.to_lowercase().contains("no space left"), "{text}");
        }
        limited(&at, 1 << 30, true);
        let kept = place.stored() - before;
        let found = place.json(&["verify", "--repo", "repo"]);
        assert_eq!(found["good"], true, "round {round}, {which} full: {found}");
        let report = place.json(&push);
        if !done.status.success() {
            let needed = bytes.len() as u64 + bytes.len() as u64 / 50;
            let again = (kept + report["sent"].as_u64().unwrap()).saturating_sub(needed);
            most = most.max(again);
            assert!(again * 20 < bytes.len() as u64, "{again} bytes again: {report}");
        }
        place.same(&format!("round {round}, {which} was full"));
        place.json(&["prune", "--repo", "repo", "--keep-last", "1", "--grace-hours", "0"]);
    }
    assert!(failed * 2 > rounds, "only {failed} of {rounds} were too full");
    println!("sweep: {failed} of {rounds} pushes ended by a full disk, none broken, {most} again");
}

#[test]
fn memory_is_bounded_on_a_sparse_tebibyte() {
    let place = Place::new("sparse");
    place.json(&["init", "repo"]);
    let image = fs::File::create(place.dir.join("disk.img")).unwrap();
    image.set_len(1 << 40).unwrap();
    for nth in 0..2000 {
        let page = mixed(nth) % (1 << 26);
        image.write_all_at(&noise(nth, PAGE), page * PAGE as u64).unwrap();
    }
    let begin = Instant::now();
    let push = place.peak(&PUSH);
    let again = place.peak(&PUSH);
    let pushed = begin.elapsed().as_secs_f64();
    let verify = place.peak(&["verify", "--repo", "repo"]);
    let restore = place.peak(&["restore", "--repo", "repo", "2", "--to", "out"]);
    println!(
        "peak memory: sparse 1 TiB, 32 MiB of data: push {push} MiB, again {again}, verify \
         {verify}, restore {restore}; two pushes {pushed:.1} s"
    );
    assert!([push, again, verify, restore].iter().all(|mib| (1..=256).contains(mib)));
    let back = fs::File::open(place.dir.join("out/disk.img")).unwrap();
    assert_eq!(back.metadata().unwrap().len(), 1 << 40);
    let mut bytes = vec![0; PAGE];
    back.read_exact_at(&mut bytes, mixed(1999) % (1 << 26) * PAGE as u64).unwrap();
    assert!(bytes == noise(1999, PAGE));
}

#[test]
#[ignore = "nightly: an image of 16 x FRAMEWALK_TORTURE_MIB, 4 GiB by default, pushed and restored"]
fn nightly_memory_at_four_gibibytes() {
    let place = Place::new("memory");
    let mib = 16 * number("FRAMEWALK_TORTURE_MIB", 256);
    place.json(&["init", "repo"]);
    let image = fs::File::create(place.dir.join("disk.img")).unwrap();
    for at in 0..mib {
        image.write_all_at(&noise(at, 1 << 20), at << 20).unwrap();
    }
    let push = place.peak(&PUSH);
    let again = place.peak(&PUSH);
    let verify = place.peak(&["verify", "--repo", "repo"]);
    let restore = place.peak(&["restore", "--repo", "repo", "2", "--to", "out"]);
    println!(
        "peak memory: {mib} MiB: push {push} MiB, again {again}, verify {verify}, restore {restore}"
    );
    assert!([push, again, verify, restore].iter().all(|mib| (1..=256).contains(mib)));
}
