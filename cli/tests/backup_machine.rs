//! `framewalk backup` and the machine it runs on: its disks, here a loop device made from a file of
//! the test's own; and another machine, here a mount namespace in which the files that tell machines
//! apart are others.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test file as a whole")]

use std::fs;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use testkit::noise;
use testkit::place::Place;

const PROGRAM: &str = env!("CARGO_BIN_EXE_framewalk");

fn place(name: &str) -> Place {
    Place::new(env!("CARGO_TARGET_TMPDIR"), &format!("backup-{name}"), PROGRAM, &["backup"])
}

/// Runs a shell command in a mount namespace of its own.
fn apart(place: &Place, line: &str) -> Output {
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--uts", "sh", "-c", line]).current_dir(&place.dir);
    unshare.env("HOME", place.dir.join("home")).output().expect("unshare, of util-linux")
}

/// A file that the kernel shows as a disk, until this is dropped.
struct Disk(PathBuf);

impl Disk {
    fn new(file: &Path) -> Result<Self, String> {
        let mut losetup = Command::new("losetup");
        let done = losetup.args(["--find", "--show"]).arg(file).output();
        let done = done.map_err(|e| format!("losetup: {e}"))?;
        if !done.status.success() {
            return Err(String::from_utf8_lossy(&done.stderr).trim().to_owned());
        }
        Ok(Self(String::from_utf8(done.stdout).unwrap().trim().into()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

#[test]
#[ignore = "privileged: makes a loop device"]
fn privileged_a_disk_is_pushed_by_pages_and_restored() {
    const PAGES: u64 = 640;
    let place = place("device");
    // a size that is no multiple of the page, as disks have
    let bytes = noise(5, PAGES as usize * (16 << 10) + 512);
    let file = place.dir.join("behind");
    fs::write(&file, &bytes).unwrap();
    let disk = match Disk::new(&file) {
        Ok(disk) => disk,
        Err(why) => {
            println!("SKIPPED: no loop device on this machine: {why}");
            return;
        }
    };
    // as /dev/disk/by-id and the volumes of LVM are named
    let name = place.dir.join("volume");
    std::os::unix::fs::symlink(&disk.0, &name).unwrap();
    assert!(place.run(&["init", "repo"]).status.success());
    let push = ["push", "--repo", "repo", "volume", "--state", "state"];
    let (first, code) = place.json(&push);
    assert_eq!((code, first["generation"].as_u64()), (0, Some(1)), "{first}");
    assert!(first["sent"].as_u64().unwrap() > bytes.len() as u64, "noise, whole: {first}");

    let device = fs::File::options().write(true).open(&disk.0).unwrap();
    device.write_all_at(&noise(6, 16 << 10), 77 * (16 << 10)).unwrap();
    device.sync_all().unwrap();
    let (second, code) = place.json(&push);
    assert_eq!(code, 0, "{second}");
    let sent = second["sent"].as_u64().unwrap();
    assert!((16 << 10..64 << 10).contains(&sent), "one page and what describes it: {second}");

    let restore = ["restore", "--repo", "repo", "latest", "--to", "back"];
    let (restored, code) = place.json(&restore);
    assert_eq!(code, 0, "{restored}");
    let back = fs::read(place.dir.join("back/volume")).unwrap();
    let mut now = Vec::new();
    let mut source = fs::File::open(&disk.0).unwrap();
    std::io::Read::read_to_end(&mut source, &mut now).unwrap();
    assert_eq!(source.seek(SeekFrom::End(0)).unwrap(), bytes.len() as u64);
    assert!(back == now && back != bytes, "the disk as it was at the second push");
}

/// Runs a shell command where `/etc/machine-id` and the kernel's boot id are another machine's.
fn elsewhere(place: &Place, line: &str) -> Output {
    let bind = "for name in /etc/machine-id /proc/sys/kernel/random/boot_id; do\n\
                mount --bind other-id $name || exit 77\ndone\n";
    fs::write(place.dir.join("other-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
    apart(place, &format!("{bind}hostname other\nexport HOME=$PWD/other-home\n{line}"))
}

#[test]
#[ignore = "privileged: makes a mount namespace of its own"]
fn privileged_a_drill_on_another_machine_from_the_sheet_ends_the_shouting() {
    if !Path::new("/etc/machine-id").is_file() {
        println!("SKIPPED: no /etc/machine-id on this machine");
        return;
    }
    let place = place("elsewhere");
    fs::create_dir(place.dir.join("files")).unwrap();
    fs::write(place.dir.join("files/letter"), noise(7, 70_000)).unwrap();
    assert!(place.run(&["init", "repo", "--key-dir", "keys"]).status.success());
    let push = ["push", "--repo", "repo", "--key-dir", "keys", "files"];
    assert!(place.run(&push).status.success());
    let list = ["list", "--repo", "repo", "--key-dir", "keys"];
    let said = || String::from_utf8(place.run(&list).stderr).unwrap();
    assert!(said().contains("NEVER DRILLED"), "{}", said());

    // with the key file: another machine, but not from what is on paper
    let drill = |key: &str| {
        let done = elsewhere(&place, &format!("{PROGRAM} backup drill --repo repo --key {key}"));
        assert!(done.status.success(), "{done:?}");
    };
    drill("keys/restore.key");
    assert!(
        said().contains("NEVER DRILLED") && said().contains("not from the sheet"),
        "{}",
        said()
    );
    drill("keys/recovery.txt");
    let now = said();
    assert!(!now.contains("NEVER DRILLED") && now.contains("on another machine ("), "{now}");
    assert!(now.contains("from the recovery sheet"), "{now}");
}

#[test]
#[ignore = "privileged: makes a mount namespace of its own"]
fn privileged_a_push_stays_out_of_the_kernels_file_systems() {
    let place = place("mounts");
    for folder in ["tree/proc", "tree/other"] {
        fs::create_dir_all(place.dir.join(folder)).unwrap();
    }
    fs::write(place.dir.join("tree/letter"), noise(7, 70_000)).unwrap();
    // below what is pushed: it must not push itself
    assert!(place.run(&["init", "tree/repo", "--key-dir", "keys"]).status.success());
    let push = |more: &str| {
        let line = format!(
            "mount -t proc proc tree/proc && mount -t tmpfs other tree/other && \
             echo bytes > tree/other/file && {PROGRAM} backup push --json --repo tree/repo \
             --key-dir keys --state state tree {more}"
        );
        let done = apart(&place, &line);
        assert!(done.status.success(), "{done:?}");
        serde_json::from_slice::<serde_json::Value>(&done.stdout).unwrap()
    };
    let held = |file: &str| place.dir.join("back").join(file);
    let restore = || {
        let _ = fs::remove_dir_all(place.dir.join("back"));
        let args = ["restore", "--repo", "tree/repo", "--key-dir", "keys", "--to", "back"];
        assert!(place.run(&args).status.success());
    };
    let first = push("");
    let mounts = first["left_out"]["mounts"].as_array().unwrap();
    assert_eq!(mounts.len(), 1, "{first}");
    assert!(mounts[0]["path"].as_str().unwrap().ends_with("tree/proc"), "{first}");
    restore();
    assert!(held("tree/letter").exists() && held("tree/other/file").exists());
    assert_eq!(fs::read_dir(held("tree/proc")).unwrap().count(), 0, "the folder, empty");
    assert!(!held("tree/repo").exists(), "not itself");

    let second = push("--one-file-system --exclude 'lett*'");
    assert_eq!(second["left_out"]["mounts"].as_array().unwrap().len(), 2, "{second}");
    assert_eq!(second["left_out"]["named"], 1, "{second}");
    restore();
    assert!(held("tree/other").exists() && !held("tree/other/file").exists());
    assert!(!held("tree/letter").exists());
    // asked for by its name, it is pushed whatever the pattern says; the repository is not
    let args = ["push", "--repo", "tree/repo", "--key-dir", "keys", "--state", "state"];
    let letter = [&args[..], &["tree/letter", "--exclude", "lett*"]].concat();
    assert_eq!(place.json(&letter).0["files"], 1);
    let itself = place.run(&[&args[..], &["tree/repo/segments"]].concat());
    assert_eq!(itself.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&itself.stderr).contains("lies in the repository"));
}
