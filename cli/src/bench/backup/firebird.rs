//! Firebird's engine, a database, and the one who writes to it.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, ensure};

/// Rows at the start: a file of about 100 MB.
const ROWS: u32 = 200_000;

/// What the engine's programs are told of it.
pub(super) type Env = Vec<(&'static str, PathBuf)>;

/// An embedded engine that several processes may use at once, in a root of its own.
pub(super) fn engine(folder: &Path) -> anyhow::Result<Env> {
    let libraries = std::fs::read_dir("/usr/lib")?.flatten();
    let homes = libraries.map(|entry| entry.path().join("firebird")).filter(|path| path.is_dir());
    let versions = homes.flat_map(|home| std::fs::read_dir(home).into_iter().flatten().flatten());
    let real = versions.map(|entry| entry.path()).find(|path| path.join("plugins").is_dir());
    let real = real.context("no Firebird engine (Debian: firebird3.0-server-core)")?;
    let (root, locks) = (folder.join("engine"), folder.join("locks"));
    std::fs::create_dir(&root)?;
    std::fs::create_dir(&locks)?;
    for entry in std::fs::read_dir(real)?.flatten() {
        let name = entry.file_name();
        if name == "firebird.conf" {
            std::fs::write(root.join(name), "ServerMode = Classic\n")?;
        } else {
            std::os::unix::fs::symlink(entry.path().canonicalize()?, root.join(name))?;
        }
    }
    Ok(vec![("FIREBIRD", root), ("FIREBIRD_LOCK", locks)])
}

/// One connection that commits as fast as it is answered.
pub(super) struct Writer {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    next: u32,
}

impl Writer {
    pub(super) fn new(base: &Path, env: &Env) -> anyhow::Result<Self> {
        let mut command = Command::new("isql-fb");
        command.args(["-q", "-bail"]).arg(base).envs(env.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("isql-fb (Debian: firebird3.0-utils)")?;
        let to = child.stdin.take().context("no pipe to isql-fb")?;
        let from = BufReader::new(child.stdout.take().context("no pipe from isql-fb")?);
        Ok(Self { child, to, from, next: ROWS })
    }

    /// An insert and ten updates, committed.
    pub(super) fn commit(&mut self) -> anyhow::Result<()> {
        self.next += 1;
        let (id, first) = (self.next, self.next.wrapping_mul(7919) % ROWS + 1);
        let mut sql = format!("insert into v values ({id}, 'visit ' || {id}, 0);\n");
        writeln!(sql, "update v set c = c + 1 where id between {first} and {first} + 9;")?;
        sql.push_str("commit;\nselect 'done' from rdb$database;\n");
        self.to.write_all(sql.as_bytes())?;
        let mut line = String::new();
        while line.trim() != "done" {
            line.clear();
            ensure!(self.from.read_line(&mut line)? > 0, "isql-fb ended");
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes the database.
pub(super) fn fill(base: &Path, env: &Env) -> anyhow::Result<()> {
    let path = base.display();
    let sql = format!(
        "create database '{path}' page_size 16384;\n\
         create table v (id int not null primary key, n varchar(500), c int);\ncommit;\n\
         set term ^;\nexecute block as declare i int = 0; begin while (i < {ROWS}) do begin\n\
         i = i + 1; insert into v values (:i,\n\
         'visit ' || :i || rpad('', 400, uuid_to_char(gen_uuid())), 0);\n\
         end end^\ncommit^\n"
    );
    let mut command = Command::new("isql-fb");
    command.args(["-q", "-bail"]).envs(env.iter().cloned()).stdin(Stdio::piped());
    let mut child = command.spawn().context("isql-fb (Debian: firebird3.0-utils)")?;
    child.stdin.take().context("no pipe to isql-fb")?.write_all(sql.as_bytes())?;
    ensure!(child.wait()?.success(), "isql-fb could not make the database");
    Ok(())
}
