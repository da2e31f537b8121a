//! MariaDB and PostgreSQL as themselves, in a folder of their own, on a socket.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::software::have;

/// The user that PostgreSQL, which refuses root, runs as: `nobody`.
const NOBODY: u32 = 65534;

/// A folder that `nobody` can reach and that is short enough for a socket's name; removed at the
/// end.
pub(crate) struct Outside(pub(crate) PathBuf);

impl Outside {
    pub(crate) fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("fw-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        std::os::unix::fs::chown(&dir, Some(NOBODY), Some(NOBODY)).unwrap();
        Self(dir)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    MariaDb,
    PostgreSql,
}

impl Engine {
    /// What is missing of it here.
    pub(crate) fn missing(self) -> Option<&'static str> {
        let (there, what) = match self {
            Self::MariaDb => (
                have(&["mariadbd", "mariadb-install-db", "mariadb", "innochecksum"]),
                "mariadbd (apt-get install mariadb-server-core mariadb-client-core)",
            ),
            Self::PostgreSql => {
                (bin().is_some(), "PostgreSQL's server (apt-get install postgresql)")
            }
        };
        (!there).then_some(what)
    }
}

/// Where Debian keeps the newest PostgreSQL's programs.
fn bin() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    versions.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("initdb").exists()).max()
}

/// A server on a data folder; killed when it goes.
pub(crate) struct Server {
    engine: Engine,
    child: Child,
    top: PathBuf,
}

fn run(mut command: Command) -> String {
    let done = command.stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "{command:?}: {done:?}");
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

fn postgres(program: &str) -> Command {
    let mut command = Command::new(bin().unwrap().join(program));
    command.uid(NOBODY).gid(NOBODY).current_dir("/");
    command
}

impl Engine {
    /// Makes an empty data folder.
    pub(crate) fn init(self, data: &Path) {
        match self {
            Self::MariaDb => {
                let mut command = Command::new("mariadb-install-db");
                command.args(["--no-defaults", "--user=root", "--skip-test-db"]);
                command.args(["--auth-root-authentication-method=normal"]);
                command.arg("--innodb-log-file-size=4M");
                command.arg(format!("--datadir={}", data.display()));
                run(command);
            }
            Self::PostgreSql => {
                let mut command = postgres("initdb");
                command.args(["--no-sync", "--data-checksums", "--auth=trust"]);
                command.args(["--wal-segsize=1", "--username=nobody", "-D"]).arg(data);
                run(command);
            }
        }
    }

    /// Starts it on a data folder, made before or restored; `top` takes socket and log. The error
    /// is the log of one that ended or did not answer.
    pub(crate) fn start(self, data: &Path, top: &Path) -> Result<Server, String> {
        let log = fs::File::create(top.join("log")).unwrap();
        let mut command = match self {
            Self::MariaDb => {
                let mut command = Command::new("mariadbd");
                command.args(["--no-defaults", "--user=root", "--skip-networking"]);
                command.args(["--innodb-log-file-size=4M", "--innodb-read-only-compressed=OFF"]);
                command.arg(format!("--datadir={}", data.display()));
                command.arg(format!("--log-bin={}/bin", data.display()));
                command.arg(format!("--socket={}/s", top.display()));
                command
            }
            Self::PostgreSql => {
                let mut command = postgres("postgres");
                command.args(["-c", "listen_addresses=", "-c", "shared_buffers=16MB", "-D"]);
                command.arg(data).arg("-k").arg(top);
                command
            }
        };
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut child = command.spawn().unwrap();
        let begin = Instant::now();
        loop {
            let mut command = self.client(top);
            let asked = command.args(self.asks("select 1")).stdin(Stdio::null()).output().unwrap();
            if asked.status.success() {
                return Ok(Server { engine: self, child, top: top.to_owned() });
            }
            let ended = child.try_wait().unwrap();
            if ended.is_some() || begin.elapsed() > Duration::from_mins(1) {
                let _ = child.kill();
                let _ = child.wait();
                return Err(fs::read_to_string(top.join("log")).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The client, before what it asks.
    fn client(self, top: &Path) -> Command {
        match self {
            Self::MariaDb => {
                let mut command = Command::new("mariadb");
                command.args(["--no-defaults", "--user=root", "--batch", "-N", "-S"]);
                command.arg(top.join("s"));
                command
            }
            Self::PostgreSql => {
                let mut command = postgres("psql");
                command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "nobody"]);
                command.args(["-d", "postgres", "-h"]).arg(top);
                command
            }
        }
    }

    fn asks(self, statement: &str) -> [&str; 2] {
        [if self == Self::MariaDb { "-e" } else { "-c" }, statement]
    }
}

impl Server {
    pub(crate) fn sql(&self, statement: &str) -> String {
        let mut command = self.engine.client(&self.top);
        command.args(self.engine.asks(statement));
        run(command)
    }

    /// Inserts and changes row after row of `patients`, a transaction each, until it is dropped.
    pub(crate) fn writer(&self) -> Writer {
        let mut script = String::new();
        let schema = if self.engine == Engine::MariaDb { "practice." } else { "" };
        for i in 0..40_000 {
            let _ = writeln!(
                script,
                "insert into {schema}patients (id, n) values ({}, repeat('w', 200));\n\
                 update {schema}patients set n = repeat('u', 150) where id = {};",
                100_000 + i,
                i % 5000
            );
        }
        let file = self.top.join("script.sql");
        fs::write(&file, script).unwrap();
        let mut command = self.engine.client(&self.top);
        command.stdin(fs::File::open(file).unwrap()).stdout(Stdio::null()).stderr(Stdio::null());
        Writer(command.spawn().unwrap())
    }

    /// Stops it as its service manager would, and waits for it.
    pub(crate) fn stop(mut self) {
        let pid = self.child.id().to_string();
        run({
            let mut kill = Command::new("kill");
            // PostgreSQL: fast shutdown, which does not wait for clients
            kill.args([if self.engine == Engine::PostgreSql { "-INT" } else { "-TERM" }, &pid]);
            kill
        });
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A client that writes without end; killed when it goes.
pub(crate) struct Writer(Child);

impl Writer {
    pub(crate) fn is_writing(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
