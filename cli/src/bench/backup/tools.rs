//! Ours and the peers that are installed: the commands that make, push, restore and check.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::data;
use crate::bench::process::{Ran, me, run, version};

/// What a tool does to the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Push,
    Verify,
    Restore,
}

/// Who it is: their commands differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Ours { encrypted: bool },
    Rsync,
    Restic,
    Borg,
}

/// A tool with a repository of its own.
pub(super) struct Tool {
    who: Who,
    /// Name and version; none: ours.
    pub(super) peer: Option<String>,
    /// What distinguishes our rows.
    pub(super) suffix: &'static str,
    folder: PathBuf,
    /// Pushes so far: borg's archives need names.
    pushes: u32,
}

/// A step as it went.
pub(super) struct Took {
    pub(super) ran: Ran,
    /// Bytes that went to the other side, where the tool tells or its repository does.
    pub(super) sent: Option<u64>,
    /// Which stage was the limit: ours only.
    pub(super) limited_by: Option<String>,
}

impl Tool {
    /// Ours, encrypted and not, and with `peers` every one that is installed.
    pub(super) fn all(folder: &Path, peers: bool) -> Vec<Self> {
        let tool = |who, name: &str, peer, suffix| Self {
            who,
            peer,
            suffix,
            folder: folder.join(name),
            pushes: 0,
        };
        let mut tools = vec![
            tool(Who::Ours { encrypted: true }, "ours", None, ""),
            tool(Who::Ours { encrypted: false }, "plain", None, ", --no-encryption"),
        ];
        if peers {
            let known = [
                (Who::Rsync, "rsync", "--version", "version "),
                (Who::Restic, "restic", "version", "restic "),
                (Who::Borg, "borg", "--version", "borg "),
            ];
            for (who, program, flag, prefix) in known {
                if let Some(v) = version(program, flag, prefix) {
                    let peer = Some(format!("{program} {v}, not synced"));
                    tools.push(tool(who, program, peer, ""));
                }
            }
        }
        tools
    }

    fn repository(&self) -> PathBuf {
        self.folder.join("repository")
    }

    /// Where a restore of this tool leaves the image.
    pub(super) fn restored(&self, image: &Path) -> PathBuf {
        let below = image.strip_prefix("/").unwrap_or(image);
        let name = image.file_name().map(PathBuf::from).unwrap_or_default();
        match self.who {
            Who::Ours { .. } | Who::Rsync => self.folder.join("restored").join(name),
            Who::Restic | Who::Borg => self.folder.join("restored").join(below),
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let own = |name: &str| self.folder.join(name);
        command
            .env("RESTIC_PASSWORD", "bench")
            .env("RESTIC_CACHE_DIR", own("cache"))
            .env("BORG_PASSPHRASE", "bench")
            .env("BORG_BASE_DIR", own("cache"))
            .stdout(Stdio::piped());
        command
    }

    fn ours(&self, what: &str) -> anyhow::Result<Command> {
        let mut command = self.command(&me()?);
        command.args(["backup", what, "--json", "--repo"]).arg(self.repository());
        command.arg("--key-dir").arg(self.folder.join("keys"));
        Ok(command)
    }

    /// Makes its repository.
    pub(super) fn init(&self) -> anyhow::Result<()> {
        std::fs::create_dir_all(self.folder.join("restored"))?;
        let repository = self.repository();
        match self.who {
            Who::Ours { encrypted } => {
                let mut command = self.command(&me()?);
                command.args(["backup", "init"]).arg(&repository);
                command.arg("--key-dir").arg(self.folder.join("keys"));
                command.args((!encrypted).then_some("--no-encryption"));
                run(&mut command)?;
            }
            Who::Rsync => std::fs::create_dir(&repository)?,
            Who::Restic => {
                run(self.command("restic").args(["init", "-q", "-r"]).arg(&repository))?;
            }
            Who::Borg => {
                let mut command = self.command("borg");
                run(command.args(["init", "-e", "repokey-blake2"]).arg(&repository))?;
            }
        }
        Ok(())
    }

    /// The command of a step; none: the tool has no such.
    fn step_command(&self, step: Step, image: &Path) -> anyhow::Result<Option<Command>> {
        let repository = self.repository();
        let restored = self.folder.join("restored");
        let command = match (self.who, step) {
            (Who::Ours { .. }, Step::Push) => {
                let mut command = self.ours("push")?;
                command.arg("--state").arg(self.folder.join("state")).arg(image);
                command
            }
            (Who::Ours { .. }, Step::Verify) => self.ours("verify")?,
            (Who::Ours { .. }, Step::Restore) => {
                let mut command = self.ours("restore")?;
                command.arg("latest").arg("--to").arg(restored);
                command
            }
            (Who::Rsync, Step::Push) => {
                // times are not trusted: as ours, it reads all
                let mut command = self.command("rsync");
                command.args(["-I", "--inplace", "--no-whole-file", "--stats"]);
                command.arg(image).arg(repository.join(""));
                command
            }
            (Who::Rsync, Step::Restore) => {
                let mut command = self.command("rsync");
                let name = image.file_name().map(PathBuf::from).unwrap_or_default();
                command.args(["-W", "--inplace"]).arg(repository.join(name));
                command.arg(restored.join(""));
                command
            }
            (Who::Rsync, Step::Verify) => return Ok(None),
            (Who::Restic, step) => {
                let mut command = self.command("restic");
                command.args(["-q", "-r"]).arg(repository);
                match step {
                    Step::Push => command.args(["backup", "--force"]).arg(image),
                    Step::Verify => command.args(["check", "--read-data"]),
                    Step::Restore => command.args(["restore", "latest", "--target"]).arg(restored),
                };
                command
            }
            (Who::Borg, step) => {
                let mut command = self.command("borg");
                let archive = format!("{}::{}", repository.display(), self.pushes);
                match step {
                    Step::Push => {
                        let archive = format!("{}::{}", repository.display(), self.pushes + 1);
                        command.args(["create", "--files-cache=rechunk,ctime"]);
                        command.arg(archive).arg(image)
                    }
                    Step::Verify => command.args(["check", "--verify-data"]).arg(repository),
                    Step::Restore => {
                        command.args(["extract", "--sparse"]).arg(archive).current_dir(restored)
                    }
                };
                command
            }
        };
        Ok(Some(command))
    }

    /// Does a step; none: the tool has no such.
    pub(super) fn step(&mut self, step: Step, image: &Path) -> anyhow::Result<Option<Took>> {
        let Some(mut command) = self.step_command(step, image)? else { return Ok(None) };
        let before = data::stored(&self.repository());
        let ran = run(&mut command)?;
        let mut took = Took { ran, sent: None, limited_by: None };
        if step == Step::Push {
            self.pushes += 1;
            took.sent = match self.who {
                Who::Ours { .. } => {
                    let report: serde_json::Value =
                        serde_json::from_str(took.ran.stdout.lines().last().unwrap_or_default())?;
                    took.limited_by = report["limited_by"].as_str().map(str::to_owned);
                    report["sent"].as_u64()
                }
                Who::Rsync => bytes_sent(&took.ran.stdout),
                Who::Restic | Who::Borg => {
                    Some(data::stored(&self.repository()).saturating_sub(before))
                }
            };
        }
        Ok(Some(took))
    }

    /// Removes what a restore left, or all.
    pub(super) fn clear(&self, all: bool) -> anyhow::Result<()> {
        let restored = self.folder.join("restored");
        std::fs::remove_dir_all(if all { &self.folder } else { &restored })?;
        Ok(())
    }
}

/// `Total bytes sent: 4,296,016,192` of `rsync --stats`.
fn bytes_sent(stats: &str) -> Option<u64> {
    let line = stats.lines().find_map(|line| line.strip_prefix("Total bytes sent: "))?;
    line.replace([',', '.'], "").trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rsync_says_is_read() {
        let stats = "Number of files: 1\n\nTotal bytes sent: 4,296,016\nTotal bytes received: 39\n";
        assert_eq!(bytes_sent(stats), Some(4_296_016));
        assert_eq!(bytes_sent("nothing"), None);
    }
}
