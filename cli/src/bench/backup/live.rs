//! A Firebird database that is written to while pushes read it: what the writer loses.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use benches::{Row, Spread};

use super::Args;
use crate::bench::process::{me, run};

/// Rows at the start: a file of about 100 MB.
const ROWS: u32 = 200_000;
/// Seconds between pushes that a practice would choose.
const EVERY: f64 = 300.0;

/// Commits of one stretch of time.
#[derive(Default)]
struct Stretch {
    rate: Vec<f64>,
    p99_ms: Vec<f64>,
    pushes: usize,
    push_seconds: Vec<f64>,
}

/// An embedded engine that several processes may use at once, in a root of its own.
fn engine(folder: &Path) -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
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
struct Writer {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    next: u32,
}

impl Writer {
    fn new(base: &Path, env: &[(&str, PathBuf)]) -> anyhow::Result<Self> {
        let mut command = Command::new("isql-fb");
        command.args(["-q", "-bail"]).arg(base).envs(env.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("isql-fb (Debian: firebird3.0-utils)")?;
        let to = child.stdin.take().context("no pipe to isql-fb")?;
        let from = BufReader::new(child.stdout.take().context("no pipe from isql-fb")?);
        Ok(Self { child, to, from, next: ROWS })
    }

    /// An insert and ten updates, committed.
    fn commit(&mut self) -> anyhow::Result<()> {
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

    /// Commits as long as `going` says.
    fn stretch(&mut self, mut going: impl FnMut() -> bool) -> anyhow::Result<(f64, f64)> {
        let (begin, mut took) = (Instant::now(), Vec::new());
        while going() {
            let one = Instant::now();
            self.commit()?;
            took.push(one.elapsed().as_secs_f64() * 1e3);
        }
        ensure!(!took.is_empty(), "no commit in that time");
        let rate = took.len() as f64 / begin.elapsed().as_secs_f64();
        took.sort_by(f64::total_cmp);
        Ok((rate, took[(took.len() * 99 / 100).min(took.len() - 1)]))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Rows: without a push, with push after push as read, and with the hook.
pub(super) fn rows(args: &Args) -> anyhow::Result<Vec<Row>> {
    let place = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::Builder::new().prefix("framewalk-bench-").tempdir_in(&place)?;
    let env = engine(folder.path())?;
    let base = folder.path().join("practice.fdb");
    fill(&base, &env)?;
    let ours = |what: &[&str]| -> anyhow::Result<Command> {
        let mut command = Command::new(me()?);
        command.arg("backup").args(what).current_dir(folder.path());
        command.args(["--key-dir", "keys"]).envs(env.iter().cloned()).stdout(Stdio::piped());
        Ok(command)
    };
    run(&mut ours(&["init", "repository"])?)?;
    let text = base.to_str().context("a name that is no text")?;
    let push = ["push", "--repo", "repository", "--state", "state", "--json"];
    let plain = [&push[..], &[text]].concat();
    let hooked = [&push[..], &["--firebird", text]].concat();
    run(&mut ours(&plain)?)?;
    let mut writer = Writer::new(&base, &env)?;
    let mut stretches = [Stretch::default(), Stretch::default(), Stretch::default()];
    let length = Duration::from_secs_f64(args.timing.seconds.max(5.0));
    for _ in 0..args.timing.runs {
        for (nth, stretch) in stretches.iter_mut().enumerate() {
            let until = Instant::now() + length;
            let command = match nth {
                0 => None,
                1 => Some(&plain),
                _ => Some(&hooked),
            };
            let (rate, p99) = match command {
                None => writer.stretch(|| Instant::now() < until)?,
                Some(args) => std::thread::scope(|scope| -> anyhow::Result<_> {
                    let pushes = scope.spawn(|| -> anyhow::Result<Vec<f64>> {
                        let mut took = Vec::new();
                        while Instant::now() < until {
                            took.push(run(&mut ours(args)?)?.seconds);
                        }
                        Ok(took)
                    });
                    let measured = writer.stretch(|| !pushes.is_finished())?;
                    let Ok(took) = pushes.join() else { bail!("pushing panicked") };
                    let took = took?;
                    stretch.pushes += took.len();
                    stretch.push_seconds.extend(took);
                    Ok(measured)
                })?,
            };
            stretch.rate.push(rate);
            stretch.p99_ms.push(p99);
        }
    }
    let alone = Spread::new(stretches[0].rate.clone()).median();
    let names = ["no push", "push after push, as read", "push after push, --firebird"];
    Ok(names.iter().zip(&stretches).map(|(name, found)| found.row(name, alone)).collect())
}

fn fill(base: &Path, env: &[(&str, PathBuf)]) -> anyhow::Result<()> {
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

impl Stretch {
    fn row(&self, name: &str, alone: f64) -> Row {
        let figures = Spread::new(self.rate.clone());
        let p99 = Spread::new(self.p99_ms.clone()).median();
        let mut extra = vec![("p99_commit_ms", format!("{p99:.2}"))];
        if self.pushes > 0 {
            let push = Spread::new(self.push_seconds.clone()).median();
            let loss = 1.0 - figures.median() / alone;
            extra.push(("pushes", self.pushes.to_string()));
            extra.push(("push_seconds", format!("{push:.2}")));
            extra.push(("fewer_while_pushing_percent", format!("{:.1}", loss * 100.0)));
            let share = loss * (push / EVERY).min(1.0) * 100.0;
            extra.push(("fewer_at_one_push_in_5_min_percent", format!("{share:.2}")));
        }
        Row {
            bench: "backup",
            case: format!("live Firebird writer: {name}"),
            metric: "commits/s",
            figures,
            floor: None,
            peer: None,
            extra,
        }
    }
}
