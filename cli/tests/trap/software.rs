//! The software that writes: Firebird, SQLite and mapped files by Python, Samba.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::Duration;

/// A database in WAL mode, 500 rows committed to its log for each line read.
pub(crate) const SQLITE_WAL: &str = "
import sqlite3, sys
base = sqlite3.connect('notes.db', isolation_level=None)
base.execute('pragma journal_mode=wal'); base.execute('pragma wal_autocheckpoint=0')
base.execute('create table t(a, b)'); base.execute('pragma wal_checkpoint(truncate)')
def commit():
    base.execute('begin')
    base.executemany('insert into t values (?, ?)', [(i, 'x' * 100) for i in range(500)])
    base.execute('commit'); print('committed 500', flush=True)
if len(sys.argv) < 2: commit()
else: print('ready', flush=True)
for line in sys.stdin: commit()
";

/// A file mapped, one store into its second page for each line read.
pub(crate) const MAPPED: &str = "
import mmap, os, sys
f = os.open(sys.argv[1], os.O_RDWR); m = mmap.mmap(f, 0); os.close(f)
n = 0
for line in sys.stdin:
    n += 1; m[4096 + n] = (m[4096 + n] + 1) % 256; print('stored', flush=True)
";

/// A handle held open on a share, a page written for each line read.
pub(crate) const SHARE: &str = "
import os, smbc, sys
context = smbc.Context(); context.functionAuthData = lambda *a: ('WORKGROUP', 'nobody', '')
f = context.open('smb://127.0.0.1/s/file', os.O_RDWR)
n = 0
for line in sys.stdin:
    n += 1; f.seek(n * 16384); f.write(bytes([n]) * 16384); print('written', flush=True)
";

pub(crate) fn have(programs: &[&str]) -> bool {
    let found = |name: &&str| {
        ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].iter().any(|d| Path::new(d).join(name).exists())
            || Command::new(name).arg("--version").output().is_ok()
    };
    programs.iter().all(found)
}

/// Runs a command that must succeed; returns what it said.
pub(crate) fn sh(line: &str) -> String {
    let done = Command::new("sh").args(["-ec", line]).output().unwrap();
    assert!(done.status.success(), "{line}: {done:?}");
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

/// A Python program that answers each line with a line.
pub(crate) struct Python {
    child: Child,
    to: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Python {
    pub(crate) fn start(dir: &Path, script: &str) -> Self {
        Self::command(Command::new("python3").args(["-c", script]).current_dir(dir))
    }

    pub(crate) fn with(dir: &Path, script: &str, argument: &str) -> Self {
        Self::command(Command::new("python3").args(["-c", script, argument]).current_dir(dir))
    }

    pub(crate) fn command(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (to, out) = (child.stdin.take(), child.stdout.take().unwrap());
        let (tell, lines) = mpsc::sync_channel(64);
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines() {
                if tell.send(line.unwrap()).is_err() {
                    break;
                }
            }
        });
        Self { child, to, lines }
    }

    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    /// Has it write once.
    pub(crate) fn write(&mut self) {
        self.to.as_mut().unwrap().write_all(b"now\n").unwrap();
        self.line();
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // killed, not closed: SQLite would fold its log in
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn sqlite(path: &Path, sql: &str) -> String {
    let done = Command::new("sqlite3").arg("-bail").arg(path).arg(sql).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// What gfix says of a database that nothing else has open: nothing, if it is good.
pub(crate) fn gfix(path: &Path) -> String {
    let mut command = Command::new("gfix");
    command.args(["-v", "-full"]).arg(path).envs(firebird_env(path.parent().unwrap()));
    let done = command.output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    String::from_utf8_lossy(&said).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An engine that several processes may use at once (`ServerMode = Classic`), which is not the
/// default of its configuration: in a root of our own, beside `dir`.
pub(crate) fn firebird_env(dir: &Path) -> Vec<(&'static str, PathBuf)> {
    let roots = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let roots = roots.map(|entry| entry.path().join("firebird")).filter(|path| path.is_dir());
    let versions = roots.flat_map(|path| fs::read_dir(path).into_iter().flatten().flatten());
    let Some(real) = versions.map(|e| e.path()).find(|path| path.join("plugins").is_dir()) else {
        return Vec::new();
    };
    let top = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let inside = dir.strip_prefix(top).ok().and_then(|path| path.components().next());
    let dir = inside.map_or(dir.to_owned(), |first| top.join(first));
    let (root, locks) = (dir.join("fbroot"), dir.join("fblocks"));
    if !root.is_dir() {
        fs::create_dir_all(&locks).unwrap();
        fs::create_dir_all(&root).unwrap();
        for entry in fs::read_dir(&real).unwrap().flatten() {
            let name = entry.file_name();
            if name == "firebird.conf" {
                fs::write(root.join(name), "ServerMode = Classic\n").unwrap();
            } else if let Ok(target) = entry.path().canonicalize() {
                std::os::unix::fs::symlink(target, root.join(name)).unwrap();
            }
        }
    }
    let served = root.join(SECURITY).is_file();
    let mut env = vec![("FIREBIRD", root), ("FIREBIRD_LOCK", locks)];
    if served {
        env.extend(LOG_ON.map(|(name, value)| (name, value.into())));
    }
    env
}

/// Who a server's users are; there is one where a server was started.
const SECURITY: &str = "security3.fdb";
const LOG_ON: [(&str, &str); 2] = [("ISC_USER", "SYSDBA"), ("ISC_PASSWORD", "masterkey")];

/// A Firebird server on a port of its own, with users of its own; killed when it goes.
pub(crate) struct FirebirdServer(Child);

impl FirebirdServer {
    /// Also makes `localhost:` lead there for every client with this folder's [`firebird_env`].
    pub(crate) fn start(dir: &Path) -> Self {
        let root = firebird_env(dir).remove(0).1;
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let config = format!(
            "ServerMode = Super\nRemoteServicePort = {port}\nRemoteServiceName =\n\
             RemoteBindAddress = 127.0.0.1\n"
        );
        fs::write(root.join("firebird.conf"), config).unwrap();
        let users = root.join(SECURITY);
        fs::remove_file(root.join("databases.conf")).unwrap();
        fs::write(root.join("databases.conf"), format!("security.db = {}\n", users.display()))
            .unwrap();
        let [(_, user), (_, password)] = LOG_ON;
        let sql = format!(
            "create database '{}';\ncreate or alter user {user} password '{password}';\ncommit;\n",
            users.display()
        );
        let users = Firebird { path: users, dir: dir.to_owned(), host: "" };
        users.isql(None, &sql);
        let mut command = Command::new("firebird");
        command.envs(firebird_env(dir)).stdin(Stdio::null());
        let log = fs::File::create(dir.join("firebird.out")).unwrap();
        let command = command.stdout(log.try_clone().unwrap()).stderr(log);
        let mut server = Self(command.spawn().unwrap());
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return server;
            }
            assert!(server.0.try_wait().unwrap().is_none(), "the server ended");
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server does not listen on port {port}");
    }
}

impl Drop for FirebirdServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A Firebird database with a table.
pub(crate) struct Firebird {
    pub(crate) path: PathBuf,
    dir: PathBuf,
    /// Before the path: nothing, or `localhost:`.
    host: &'static str,
}

impl Firebird {
    pub(crate) fn new(dir: &Path, name: &str, rows: u32) -> Self {
        Self::made(dir, name, rows, "")
    }

    /// Through the server that [`FirebirdServer::start`] started.
    pub(crate) fn served(dir: &Path, name: &str, rows: u32) -> Self {
        Self::made(dir, name, rows, "localhost:")
    }

    fn made(dir: &Path, name: &str, rows: u32, host: &'static str) -> Self {
        let base = Self { path: dir.join(name), dir: dir.to_owned(), host };
        let at = base.at();
        base.isql(
            None,
            &format!(
                "create database '{at}' page_size 16384;\n\
                 create table v (id int not null primary key, n varchar(400), c int);\n\
                 create index v_n on v (n);\ncommit;\n"
            ),
        );
        base.isql(
            Some(Path::new(&at)),
            &format!(
                "set term ^;\nexecute block as declare i int = 0; begin\n\
                 while (i < {rows}) do begin i = i + 1;\n\
                 insert into v values (:i, 'patient ' || :i || rpad('', 300, 'x'), 0); end end^\n\
                 commit^\n"
            ),
        );
        base
    }

    pub(crate) fn name(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// As a client names it.
    pub(crate) fn at(&self) -> String {
        format!("{}{}", self.host, self.name())
    }

    fn isql(&self, path: Option<&Path>, sql: &str) -> String {
        let mut command = Command::new("isql-fb");
        command.args(["-q", "-bail"]).args(path).envs(firebird_env(&self.dir));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success() && done.stderr.is_empty(), "{sql}: {done:?}");
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// Rows of a restored database, and the most that any was changed.
    pub(crate) fn count(&self, path: &Path) -> u64 {
        let said = self.isql(Some(path), "select count(*) from v;");
        said.split_whitespace().last().unwrap().parse().unwrap()
    }

    /// `hdr_flags`, as nbackup leaves them.
    pub(crate) fn is_locked(&self) -> bool {
        let mut head = [0; 64];
        fs::File::open(&self.path).unwrap().read_exact(&mut head).unwrap();
        u16::from_le_bytes([head[42], head[43]]) & 0xc00 != 0
    }

    fn nbackup(&self, option: &str) {
        let mut command = Command::new("nbackup");
        let done = command.arg(option).arg(self.at()).envs(firebird_env(&self.dir)).output();
        let done = done.unwrap();
        assert!(done.status.success(), "{option}: {done:?}");
    }

    pub(crate) fn lock(&self) {
        self.nbackup("-L");
    }

    pub(crate) fn unlock(&self) {
        self.nbackup("-N");
    }

    /// Commits inserts and updates, one connection, until it is dropped.
    pub(crate) fn writer(&self, from: u64) -> Writer {
        let mut command = Command::new("isql-fb");
        command.arg("-q").arg(self.at()).envs(firebird_env(&self.dir));
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (mut to, out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(from)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&done));
        let thread = std::thread::spawn(move || {
            let mut lines = BufReader::new(out).lines();
            let mut id = from;
            while !stopped.load(Ordering::SeqCst) {
                id += 1;
                let update = (id * 7919) % from.max(1) + 1;
                let sql = format!(
                    "insert into v values ({id}, 'new ' || {id} || rpad('', 300, 'y'), 0);\n\
                     update v set c = c + 1, n = 'seen ' || {id} || rpad('', 250, 'z') \
                     where id between {update} and {update} + 9;\ncommit;\n\
                     select 'done' from rdb$database;\n"
                );
                if to.write_all(sql.as_bytes()).is_err() {
                    return;
                }
                // answered: it is committed
                while let Some(Ok(line)) = lines.next() {
                    if line.trim() == "done" {
                        break;
                    }
                }
                counted.store(id, Ordering::SeqCst);
            }
        });
        Writer { child, thread: Some(thread), stop, done }
    }
}

/// Commits until it is dropped.
pub(crate) struct Writer {
    child: Child,
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
}

impl Writer {
    /// Rows that are committed for certain.
    pub(crate) fn committed(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = self.child.wait();
    }
}

/// A share of a Samba server in a network namespace of its own, mounted through FUSE.
pub(crate) struct Share {
    pub(crate) served: PathBuf,
    pub(crate) mounted: PathBuf,
    point: PathBuf,
    home: PathBuf,
    space: String,
    server: Child,
}

impl Share {
    pub(crate) fn new(dir: &Path) -> Self {
        let dir = dir.join("smb");
        let [served, run, home, point] =
            ["served", "run", "home", "mnt"].map(|name| dir.join(name));
        for folder in [&served, &run, &point, &home.join(".smb")] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(served.join("file"), testkit::noise(5, 160_000)).unwrap();
        let at = run.display();
        let private = ["private dir", "lock directory", "state directory", "cache directory"];
        let private = private.map(|name| format!("{name} = {at}\n")).concat();
        let config = format!(
            "[global]\nserver role = standalone server\ninterfaces = lo\n\
             bind interfaces only = yes\n{private}pid directory = {at}\nncalrpc dir = {at}/rpc\n\
             log file = {at}/log\nmap to guest = Bad User\nguest account = root\noplocks = no\n\
             level2 oplocks = no\nsmb2 leases = no\ndisable netbios = yes\n\
             [s]\npath = {}\nread only = no\nguest ok = yes\nforce user = root\n",
            served.display()
        );
        let space = format!("trap-{}", std::process::id());
        sh(&format!("ip netns add {space}; ip -n {space} link set lo up"));
        let files = [
            ("smb.conf", config.as_str()),
            ("smbnetfs.auth", "auth \"nobody\" \"\"\n"),
            ("smbnetfs.conf", "free_space_size 0\n"),
        ];
        for (name, text) in files {
            let path = home.join(".smb").join(name);
            fs::write(&path, text).unwrap();
            sh(&format!("chmod 600 {}", path.display()));
        }
        let log = fs::File::create(run.join("out")).unwrap();
        let mut server = Self::inside(&space, "smbd");
        server.args(["-F", "--no-process-group", "-s"]).arg(home.join(".smb/smb.conf"));
        let server = server.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let server = server.spawn().unwrap();
        let mounted = point.join("127.0.0.1/s");
        let share = Self { served, mounted, point, home, space, server };
        std::thread::sleep(Duration::from_secs(1));
        let mut mount = Self::inside(&share.space, "smbnetfs");
        mount.arg(&share.point).env("HOME", &share.home).arg("-o");
        mount.arg(format!("config={}", share.home.join(".smb/smbnetfs.conf").display()));
        let done = mount.output().unwrap();
        assert!(done.status.success(), "{done:?}");
        for _ in 0..100 {
            if share.mounted.join("file").exists() {
                return share;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the share is not there: {}", sh(&format!("tail -5 {at}")));
    }

    fn inside(space: &str, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{space}")).arg(program);
        command
    }

    /// A client that holds the file open; Debian's Python has `smbc`.
    pub(crate) fn writer(&self, script: &str) -> Python {
        let mut command = Self::inside(&self.space, "/usr/bin/python3");
        Python::command(command.args(["-c", script]).env("HOME", &self.home))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let _ = Command::new("fusermount3").args(["-u", "-z"]).arg(&self.point).status();
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = Command::new("ip").args(["netns", "del", &self.space]).status();
    }
}
