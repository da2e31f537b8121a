//! rsync, restic and borg beside ours, with the options that they come with: what each has of the
//! same change.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::software::have;

/// What they are called, in the order of the table's columns.
pub(crate) const NAMES: [&str; 3] = ["rsync", "restic", "borg"];

/// Whether they are asked for.
pub(crate) fn wanted() -> bool {
    std::env::var_os("FRAMEWALK_TRAP_PEERS").is_some()
}

/// One folder's backups by those that are here; none where they are not asked for.
pub(crate) struct Peers {
    folder: PathBuf,
    /// Where each keeps its own.
    keep: PathBuf,
    names: Vec<&'static str>,
    /// How often: the name of borg's last archive.
    pushed: Cell<u32>,
}

fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {done:?}");
}

impl Peers {
    /// Makes their repositories in `keep`, which must be outside of `folder`.
    pub(crate) fn new(keep: PathBuf, folder: &Path) -> Self {
        let names = NAMES.into_iter().filter(|name| wanted() && have(&[name])).collect();
        let peers = Self { folder: folder.to_owned(), keep, names, pushed: Cell::new(0) };
        for name in &peers.names {
            fs::create_dir_all(peers.keep.join(name)).unwrap();
            match *name {
                "restic" => run(peers.restic().args(["init", "-q"])),
                "borg" => run(peers.borg().args(["init", "-e", "none", "repo"])),
                _ => {}
            }
        }
        peers
    }

    /// Without those that fail on this folder's file system.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.names.retain(|known| *known != name);
        self
    }

    fn restic(&self) -> Command {
        let mut command = Command::new("restic");
        let dir = self.keep.join("restic");
        command.env("HOME", &dir).env("RESTIC_PASSWORD", "trap").current_dir(&dir);
        command.args(["-r", "repo"]);
        command
    }

    fn borg(&self) -> Command {
        let mut command = Command::new("borg");
        let dir = self.keep.join("borg");
        command.env("BORG_BASE_DIR", &dir).current_dir(&dir);
        command.env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes");
        command
    }

    /// Has each of them back the folder up.
    pub(crate) fn push(&self) {
        for name in &self.names {
            match *name {
                "rsync" => run(Command::new("rsync")
                    .arg("-a")
                    .arg(self.folder.join(""))
                    .arg(self.keep.join("rsync"))),
                "restic" => run(self.restic().args(["backup", "-q"]).arg(&self.folder)),
                _ => {
                    self.pushed.set(self.pushed.get() + 1);
                    let archive = format!("repo::{}", self.pushed.get());
                    let done = self.borg().args(["create", &archive]).arg(&self.folder).output();
                    // 1: made, with a warning (a file changed while it was read)
                    let done = done.unwrap();
                    assert!(matches!(done.status.code(), Some(0 | 1)), "{done:?}");
                }
            }
        }
    }

    /// Where each has the folder after its last push, restored.
    pub(crate) fn restored(&self) -> BTreeMap<&'static str, PathBuf> {
        let inside = self.folder.strip_prefix("/").unwrap();
        let place = |name: &&'static str| {
            let out = self.keep.join(format!("out-{name}"));
            let _ = fs::remove_dir_all(&out);
            fs::create_dir_all(&out).unwrap();
            match *name {
                "rsync" => return (*name, self.keep.join("rsync")),
                "restic" => {
                    run(self.restic().args(["restore", "-q", "latest", "--target"]).arg(&out));
                }
                _ => {
                    let repo = self.keep.join(format!("borg/repo::{}", self.pushed.get()));
                    run(self.borg().arg("extract").arg(repo).current_dir(&out));
                }
            }
            (*name, out.join(inside))
        };
        self.names.iter().map(place).collect()
    }

    /// Which of them have `file` as it is now.
    pub(crate) fn caught(&self, file: &str) -> BTreeMap<&'static str, &'static str> {
        let now = fs::read(self.folder.join(file)).unwrap();
        let same = |folder: &Path| fs::read(folder.join(file)).is_ok_and(|bytes| bytes == now);
        let restored = self.restored().into_iter();
        restored.map(|(name, dir)| (name, if same(&dir) { "caught" } else { "MISSED" })).collect()
    }
}
