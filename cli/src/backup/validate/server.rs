//! Data folders of database servers: the server itself, without a network, replays its log on the
//! restored copy and ends; then its pages can be held against their checksums.
//!
//! postgresql.org, "postgres" (single-user mode) and "`pg_checksums`"; mariadb.com, "mariadbd
//! options" (`--bootstrap`, `--tc-heuristic-recover`).

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::unistd::Uid;

use super::{Check, Outcome, find, judge};

/// A restored folder: where it is, and the drill's own folder above it.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Folder<'a> {
    /// As the generation names it.
    pub(in super::super) what: &'a Path,
    pub(in super::super) path: &'a Path,
    pub(in super::super) top: &'a Path,
}

impl Folder<'_> {
    fn has(&self, name: &str) -> bool {
        self.path.join(name).is_file()
    }

    fn untested(&self, check: &'static str, note: String) -> Check {
        Check { check, what: self.what.to_owned(), outcome: Outcome::Untested, note }
    }

    /// A command as the folder's owner: PostgreSQL refuses root, and no server needs it.
    fn as_owner(&self, program: &Path) -> std::io::Result<Command> {
        let mut command = Command::new(program);
        let owner = fs::metadata(self.path)?;
        if Uid::effective().is_root() && owner.uid() != 0 {
            // the way there, for the owner's group and to pass through only
            for dir in self.path.ancestors().skip(1).take_while(|dir| dir.starts_with(self.top)) {
                let meta = fs::metadata(dir)?;
                if meta.mode() & 1 == 0 {
                    chown(dir, None, Some(owner.gid()))?;
                    fs::set_permissions(dir, fs::Permissions::from_mode(meta.mode() | 0o010))?;
                }
            }
            command.uid(owner.uid()).gid(owner.gid());
        }
        command.current_dir("/");
        Ok(command)
    }
}

/// What a folder is checked with, if it is a server's.
pub(in super::super) fn check(folder: Folder<'_>, limit: Duration) -> Option<Check> {
    if folder.has("PG_VERSION") && folder.has("global/pg_control") {
        return Some(postgres(folder, limit));
    }
    let data = folder.has("ibdata1") && folder.path.join("mysql").is_dir();
    data.then(|| mysql(folder, limit))
}

const POSTGRES: &str = "PostgreSQL";

fn postgres(folder: Folder<'_>, limit: Duration) -> Check {
    // a link to a tablespace still leads to where the source has it: nobody may write there
    if let Some(link) = spaces(folder.path) {
        let note = format!("a tablespace lies outside of it, in {}: --check", link.display());
        return folder.untested(POSTGRES, note);
    }
    let version = fs::read_to_string(folder.path.join("PG_VERSION")).unwrap_or_default();
    let version: String = version.chars().take_while(char::is_ascii_digit).take(2).collect();
    let place = PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"));
    let program = |name: &str| Some(place.join(name)).filter(|p| p.exists()).or_else(|| find(name));
    let (Some(server), Some(sums)) = (program("postgres"), program("pg_checksums")) else {
        return folder.untested(POSTGRES, format!("PostgreSQL {version} is not installed"));
    };
    // of the server that was running when it was read, or of none
    let _ = fs::remove_file(folder.path.join("postmaster.pid"));
    let line = "postgres --single";
    let replayed = match folder.as_owner(&server) {
        Err(e) => return folder.untested(POSTGRES, format!("{line}: {e}")),
        Ok(mut command) => {
            command.arg("--single").arg("-D").arg(folder.path);
            // its own may lie elsewhere (Debian: /etc), and names libraries and commands
            command.args(["-c", "config_file=/dev/null", "-c", "max_prepared_transactions=1000"]);
            command.args(["-c", "archive_mode=off", "postgres"]);
            judge(POSTGRES, folder.what, line, super::run(command, limit), |code, _| code == 0)
        }
    };
    if replayed.outcome != Outcome::Good {
        let why = ["is not permitted", "standby mode is not supported", "Permission denied"];
        return cannot(replayed, &why);
    }
    let mut command = Command::new(sums);
    command.args(["--check", "-D"]).arg(folder.path);
    let line = "postgres --single replayed its log; pg_checksums --check";
    let good = |code, said: &str| code == 0 && !said.is_empty();
    let checked = judge(POSTGRES, folder.what, line, super::run(command, limit), good);
    cannot(checked, &["data checksums are not enabled"])
}

/// Where the first link of `pg_tblspc` leads.
fn spaces(cluster: &Path) -> Option<PathBuf> {
    let mut links = fs::read_dir(cluster.join("pg_tblspc")).ok()?.flatten();
    links.find_map(|link| fs::read_link(link.path()).ok())
}

/// That a tool cannot look is not that it found something.
fn cannot(mut check: Check, why: &[&str]) -> Check {
    if check.outcome == Outcome::Bad && why.iter().any(|why| check.note.contains(why)) {
        check.outcome = Outcome::Untested;
    }
    check
}

const MARIADB: &str = "MariaDB";

fn mysql(folder: Folder<'_>, limit: Duration) -> Check {
    // log_t::LOG_HEADER_CREATOR at 16; where MySQL 8 keeps its log there is no such file
    let mut head = Vec::new();
    let log = fs::File::open(folder.path.join("ib_logfile0"));
    let _ = log.and_then(|log| log.take(48).read_to_end(&mut head));
    if !head.get(16..).is_some_and(|creator| creator.starts_with(b"MariaDB ")) {
        return folder.untested("MySQL", "only MySQL's own server can: --check".to_owned());
    }
    let Some(server) = find("mariadbd") else {
        return folder.untested(MARIADB, "mariadbd is not installed".to_owned());
    };
    let line = "mariadbd --bootstrap";
    let replay = |rest: &[&str]| match folder.as_owner(&server) {
        Err(e) => folder.untested(MARIADB, format!("{line}: {e}")),
        Ok(mut command) => {
            command.args(["--no-defaults", "--bootstrap", "--skip-grant-tables"]).args(rest);
            command.arg(format!("--datadir={}", folder.path.display()));
            if Uid::effective().is_root() && fs::metadata(folder.path).is_ok_and(|m| m.uid() == 0) {
                command.arg("--user=root");
            }
            judge(MARIADB, folder.what, line, super::run(command, limit), |code, _| code == 0)
        }
    };
    let mut replayed = replay(&[]);
    if replayed.note.contains("prepared transaction") {
        // between a commit's two halves, whose other is in the binary log: here, rolled back
        replay(&["--tc-heuristic-recover=ROLLBACK"]);
        replayed = replay(&[]);
    }
    cannot(replayed, &["Upgrade after a crash is not supported", "Permission denied"])
}
