//! `framewalk backup` of a disk: a loop device made from a file of the test's own.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test file as a whole")]

use std::fs;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::noise;
use testkit::place::Place;

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
    let program = env!("CARGO_BIN_EXE_framewalk");
    let place = Place::new(env!("CARGO_TARGET_TMPDIR"), "backup-device", program, &["backup"]);
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
