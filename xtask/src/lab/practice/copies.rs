//! Copies of data by other ways than rsync, each to the store, and a scanner that files documents.

use std::fs;

use anyhow::{Context, Result};

use super::house::keep;
use super::persons::PHOTOGRAPHED;
use super::{Lab, Part, plant, spoken};
use crate::lab::job;
use crate::lab::scenes::servers::{CURL, Ssh};
use crate::lab::software;

/// The store.
const STORE: &str = "192.168.1.40";

/// Bytes that no program can make smaller, the same in every run (xorshift64, Marsaglia 2003).
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(bytes).collect()
}

/// A scanner that logs on by name and leaves a document, by both ways that FTP has.
pub(super) static SCANNER: Part = Part {
    name: "scanner",
    what: "pyftpdlib on the file server: a scanner stores a document, passive and active",
    tools: &[&[
        ("python3", "python3"),
        ("/usr/lib/python3/dist-packages/pyftpdlib/servers.py", "python3-pyftpdlib"),
        ("curl", "curl"),
    ]],
    start: |lab| {
        let scans = lab.desk.out("scans");
        fs::create_dir_all(&scans)?;
        let line = format!(
            "python3 -m pyftpdlib -i 192.168.1.13 -p 2121 -w -u scanner -P invented -d {}",
            scans.display()
        );
        keep(lab, lab.files.start(&line, &lab.desk.dir))?;
        software::listens(&lab.files, 2121)
    },
    play: |lab| {
        let scan = lab.desk.put("scan.pdf", &[b"%PDF-1.7\n", noise(20_000).as_slice()].concat())?;
        let at = format!("ftp://scanner:invented@192.168.1.13:2121/{PHOTOGRAPHED}");
        lab.device.run(&format!("{CURL} -T {scan} {at}-1.pdf"))?;
        lab.device.run(&format!("{CURL} -P - -T {scan} {at}-2.pdf"))?;
        lab.device.run(&format!("{CURL} --disable-epsv {at}-1.pdf -o /dev/null")).map(drop)
    },
    plants: &[plant("lan.clear-logon", "medium", "192.168.1.13")],
    speaks: &[spoken("ftp", "192.168.1.13", 2121)],
};

/// restic, to a server that speaks its REST protocol in clear.
pub(super) static RESTIC: Part = Part {
    name: "restic",
    what: "restic, to rclone as its REST server",
    tools: &[&[("restic", "restic"), ("rclone", "rclone")]],
    start: |lab| {
        let folder = lab.desk.out("restic");
        fs::create_dir_all(&folder)?;
        let line = format!("rclone serve restic --addr {STORE}:8000 {}", folder.display());
        keep(lab, lab.store.start(&line, &lab.desk.dir))?;
        software::listens(&lab.store, 8000)
    },
    play: |lab| {
        let images = lab.desk.put("pictures/picture.dcm", &noise(100_000))?;
        let restic = format!(
            "env RESTIC_PASSWORD=invented GOGC=off \
             restic --no-cache -q -r rest:http://{STORE}:8000/"
        );
        lab.imaging.run(&format!("{restic} init"))?;
        lab.imaging.run(&format!("{restic} backup {images}")).map(drop)
    },
    plants: &[],
    speaks: &[spoken("restic", STORE, 8000)],
};

/// borg, inside SSH, large enough to be told by its shape.
pub(super) static BORG: Part = Part {
    name: "borg",
    what: "borg over SSH: a copy that only its shape tells",
    tools: &[&[("borg", "borgbackup"), ("sshd", "openssh-server"), ("ssh", "openssh-client")]],
    start: |_| fs::create_dir_all("/run/sshd").map_err(Into::into),
    play: |lab| {
        let ssh = Ssh::start(&lab.store, STORE, &lab.desk)?;
        let files = lab.desk.put("documents/scans.tar", &noise(BORG_BYTES))?;
        let borg = "env BORG_PASSPHRASE=invented BORG_RELOCATED_REPO_ACCESS_IS_OK=yes borg --rsh";
        let at = format!("root@{STORE}:{}", lab.desk.out("borg").display());
        let by = |rest: &[&str]| {
            let mut argv = job::words(borg);
            let shell = ssh.shell();
            argv.push(&shell);
            argv.extend_from_slice(rest);
            lab.files.run_argv(&argv).map(drop)
        };
        by(&["init", "-e", "repokey-blake2", &at])?;
        by(&["create", "--compression", "none", &format!("{at}::night"), &files])
    },
    plants: &[],
    speaks: &[spoken("ssh", STORE, 22)],
};

/// Bytes that borg copies: above what tells a copy by its shape.
const BORG_BYTES: usize = 11_000_000;

/// A virtual machine's disk on the store, by NBD and by iSCSI.
pub(super) static DISKS: Part = Part {
    name: "disks",
    what: "nbd-server and tgt on the store: the mail server writes a disk by each",
    tools: &[&[
        ("nbd-server", "nbd-server"),
        ("tgtd", "tgt"),
        ("qemu-img", "qemu-utils"),
        ("/usr/share/doc/qemu-block-extra/copyright", "qemu-block-extra"),
    ]],
    start: start_disks,
    play: |lab| {
        let disk = lab.desk.put("disk.raw", &noise(DISK_BYTES))?;
        let copy = format!("qemu-img convert -n -f raw -O raw {disk}");
        lab.mail.run(&format!("{copy} nbd://{STORE}:10809/disk"))?;
        lab.mail.run(&format!("{copy} iscsi://{STORE}/{TARGET}/1")).map(drop)
    },
    plants: &[],
    speaks: &[spoken("nbd", STORE, 10809), spoken("iscsi", STORE, 3260)],
};

/// Bytes of the disk.
const DISK_BYTES: usize = 64 * 1024;
/// Its name (RFC 3720 section 3.2.6.3.1).
const TARGET: &str = "iqn.2026-11.example.practice:disk";

fn start_disks(lab: &Lab) -> Result<()> {
    let (nbd, iscsi) = (lab.desk.out("nbd.raw"), lab.desk.out("iscsi.raw"));
    for disk in [&nbd, &iscsi] {
        fs::write(disk, vec![0; DISK_BYTES])?;
    }
    let config = format!(
        "[generic]\nlistenaddr = {STORE}\nport = 10809\n[disk]\nexportname = {}\n",
        nbd.display()
    );
    let config = lab.desk.put("nbd.conf", config.as_bytes())?;
    keep(lab, lab.store.start(&format!("nbd-server -d -C {config}"), &lab.desk.dir))?;
    software::listens(&lab.store, 10809)?;
    let line = format!("tgtd -f --iscsi portal={STORE}:3260");
    keep(lab, lab.store.start(&line, &lab.desk.dir))?;
    software::listens(&lab.store, 3260)?;
    let admin = "tgtadm --lld iscsi --mode";
    let disk = iscsi.display();
    for line in [
        format!("{admin} target --op new --tid 1 --targetname {TARGET}"),
        format!("{admin} logicalunit --op new --tid 1 --lun 1 --backing-store {disk}"),
        format!("{admin} target --op bind --tid 1 --initiator-address ALL"),
    ] {
        lab.store.run(&line).context("tgtd")?;
    }
    Ok(())
}
