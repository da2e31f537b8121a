//! The files of MariaDB and PostgreSQL, written by them: told for what they are while the server
//! runs, restored and started, checked by a drill, which finds what is damaged.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::engines::{Engine, Outside, Server};
use crate::place::Place;

/// A table in every engine, and in every layout of InnoDB.
const MARIADB: &str = "
create database practice; use practice;
create table patients (id int primary key, n varchar(250)) engine=innodb;
create table packed (id int primary key, n varchar(250)) row_format=compressed key_block_size=4;
create table squeezed (id int primary key, n varchar(250)) engine=innodb page_compressed=1;
create table parts (id int primary key) engine=innodb partition by hash(id) partitions 2;
create table aria (id int primary key, n varchar(250)) engine=aria;
create table myisam (id int primary key, n varchar(250)) engine=myisam;
create table csv (id int not null, n varchar(250) not null) engine=csv;
insert into patients select seq, repeat('x', 100) from seq_1_to_5000;
insert into packed select * from patients; insert into squeezed select * from patients;
insert into parts select id from patients; insert into aria select * from patients;
insert into myisam select * from patients; insert into csv select * from patients;";

/// A table, and an index of every kind.
const POSTGRESQL: &str = "
create table patients (id int primary key, n text, p point);
insert into patients select i, repeat('x', 100), point(i, i) from generate_series(1, 5000) i;
create index on patients using hash (n); create index on patients using brin (id);
create index on patients using gin (to_tsvector('simple', n));
create index on patients using gist (p); create index on patients using spgist (p);
create unlogged table visits (i int); insert into visits values (1); create sequence numbers;";

/// Files with contents of a push that trusts stat where it may, and its generation.
fn push(place: &Place, data: &Path) -> (Vec<Value>, String) {
    let data = data.to_str().unwrap();
    let args =
        ["push", "--repo", "repo", data, "--files", "--state", "state", "--trust-stat", data];
    let (mut lines, code) = place.lines(&args);
    let report = lines.pop().unwrap();
    // what a running server removes between the listing and the reading is no failure of this
    assert!(code == 0 || !report["unread"].as_array().unwrap().is_empty(), "{report}");
    lines.retain(|line| line["kind"] == "file" && line["size"] != 0);
    (lines, report["generation"].to_string())
}

fn because(line: &Value) -> &str {
    line["because"].as_str().unwrap()
}

/// What a file must be taken for by the name that its engine gives it; `None`: by its place.
fn expected(engine: Engine, path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap();
    let ends = |end: &str| name.ends_with(end);
    match engine {
        Engine::MariaDb if ends(".ibd") || name == "ibdata1" => Some("InnoDB"),
        Engine::MariaDb if name == "ib_logfile0" => Some("InnoDB redo log"),
        Engine::MariaDb if ends(".MAI") => Some("Aria"),
        Engine::MariaDb if ends(".MYI") => Some("MyISAM"),
        Engine::MariaDb if name.starts_with("aria_log.") => Some("Aria log"),
        Engine::MariaDb if name == "aria_log_control" => Some("Aria control file"),
        Engine::MariaDb if name.starts_with("bin.0") => Some("MySQL binary log"),
        Engine::PostgreSql if name == "pg_control" => Some("PostgreSQL control file"),
        Engine::PostgreSql if path.contains("/pg_wal/0") => Some("PostgreSQL WAL"),
        Engine::PostgreSql if path.contains("/base/") || path.contains("/global/") => {
            let relation = name.split(['_', '.']).next().unwrap();
            relation.bytes().all(|b| b.is_ascii_digit()).then_some("PostgreSQL")
        }
        _ => None,
    }
}

/// Files of a server that are no database: what a person writes, what it says of itself.
fn is_other(engine: Engine, name: &str) -> bool {
    let others =
        ["postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "pg_ident.conf", "PG_VERSION"];
    engine == Engine::PostgreSql && (others.contains(&name) || name.starts_with("postmaster."))
}

/// Copies what has bytes to go by to names and a place that say nothing.
fn nameless(engine: Engine, data: &Path, lines: &[Value], to: &Path) -> Vec<&'static str> {
    fs::create_dir_all(to).unwrap();
    let mut kinds = Vec::new();
    for line in lines {
        let path = line["path"].as_str().unwrap();
        // the control file's own bytes say too little
        let Some(kind) = expected(engine, path).filter(|kind| !kind.ends_with("control file"))
        else {
            continue;
        };
        let bytes = fs::read(data.parent().unwrap().join(path)).unwrap();
        let blank = bytes.iter().take(4096).all(|byte| *byte == 0); // made, and not written yet
        if !blank {
            fs::write(to.join(format!("f{}", kinds.len())), bytes).unwrap();
            kinds.push(kind);
        }
    }
    kinds
}

/// Restores a generation where the server's user can reach it.
fn restore(place: &Place, out: &Outside, number: &str) -> PathBuf {
    let to = out.0.join(format!("restored-{number}"));
    let args = ["restore", "--repo", "repo", number, "--to", to.to_str().unwrap()];
    let (done, code) = place.json(&args);
    assert_eq!(code, 0, "{done}");
    to.join("data")
}

/// Checks of a drill by name and file, with its exit code.
fn drill(place: &Place, out: &Outside, number: &str) -> (Vec<String>, i32) {
    let scratch = out.0.to_str().unwrap();
    let (done, code) = place.json(&["drill", "--repo", "repo", number, "--scratch", scratch]);
    let checks = done["checks"].as_array().unwrap().iter();
    let word = |check: &Value, name: &str| check[name].as_str().unwrap().to_owned();
    let said = checks
        .map(|c| ["check", "what", "outcome", "note"].map(|name| word(c, name)).join(" "))
        .collect();
    (said, code)
}

/// What comes of starting a server on what was read while another wrote.
fn started(engine: Engine, live: &Path) -> String {
    let socket = Outside::new("live");
    let _ = fs::remove_file(live.join("postmaster.pid"));
    match engine.start(live, &socket.0) {
        Ok(server) => format!("started, {} rows", rows(&server, engine)),
        Err(log) => {
            let bad = |line: &&str| ["ERROR", "FATAL", "PANIC"].iter().any(|w| line.contains(w));
            format!("did not start: {}", log.lines().find(bad).unwrap_or("no word"))
        }
    }
}

fn rows(server: &Server, engine: Engine) -> u32 {
    let table = if engine == Engine::MariaDb { "practice.patients" } else { "patients" };
    server.sql(&format!("select count(*) from {table}")).parse().unwrap()
}

fn has(said: &[String], begins: &str, outcome: &str) -> bool {
    said.iter().any(|line| line.starts_with(begins) && line.contains(outcome))
}

fn whole(engine: Engine, name: &'static str, sql: &str, table: &str) {
    if let Some(missing) = engine.missing() {
        println!("skipped: {name}: {missing}");
        return;
    }
    let (place, out) = (Place::new(name), Outside::new(name));
    let data = out.0.join("data");
    engine.init(&data);
    let server = engine.start(&data, &out.0).unwrap();
    server.sql(sql);
    std::thread::sleep(Duration::from_secs(3)); // older than what stat is distrusted for anyway
    push(&place, &data);
    // 1: while the server runs, no database goes by its stat, and each is told for what it is
    let (lines, _) = push(&place, &data);
    assert!(lines.len() > 100, "{}", lines.len());
    for line in &lines {
        let path = line["path"].as_str().unwrap();
        let name = path.rsplit('/').next().unwrap();
        if is_other(engine, name) {
            continue;
        }
        assert_eq!(line["judged"], "hashed", "{line}");
        let place = if engine == Engine::MariaDb { "MySQL (by" } else { "PostgreSQL (by" };
        let is = expected(engine, path).is_some_and(|kind| because(line).starts_with(kind));
        assert!(is || because(line).starts_with(place), "{line}");
    }
    // 2: pushed while it writes: never called consistent; what a restore of it does is told
    let mut writer = server.writer();
    for _ in 0..if crate::peers::wanted() { 5 } else { 1 } {
        std::thread::sleep(Duration::from_millis(300));
        let (report, _) = place.json(&["push", "--repo", "repo", data.to_str().unwrap()]);
        assert_eq!(report["consistency"], "not-consistent", "{report}");
        assert!(writer.is_writing(), "the writer ended");
        let live = restore(&place, &out, &report["generation"].to_string());
        println!("{name}: pushed while written to, restored: {}", started(engine, &live));
    }
    drop(writer);
    let mut committed = 0;
    while committed != rows(&server, engine) {
        committed = rows(&server, engine); // the last statement may still be at work
        std::thread::sleep(Duration::from_millis(200));
    }
    server.stop();
    // 3: stopped: restored, it has every row, and a drill says so
    let (stopped, number) = push(&place, &data);
    let back = restore(&place, &out, &number);
    let server = engine.start(&back, &out.0).unwrap();
    assert_eq!(rows(&server, engine), committed);
    server.stop();
    let (said, code) = drill(&place, &out, &number);
    assert_eq!(code, 0, "{said:#?}");
    let check = if engine == Engine::MariaDb { "MariaDB" } else { "PostgreSQL" };
    assert!(has(&said, &format!("{check} data good"), ""), "{said:#?}");
    // 4: by their bytes alone
    let kinds = nameless(engine, &data, &stopped, &out.0.join("plain"));
    assert!(kinds.len() > 30, "{kinds:?}");
    for line in push(&place, &out.0.join("plain")).0 {
        let number = line["path"].as_str().unwrap().rsplit('f').next().unwrap();
        let kind = kinds[number.parse::<usize>().unwrap()];
        assert_eq!(because(&line).split(';').next().unwrap(), kind, "{line}");
    }
    // 5: a page that changed on the source's disk: its digest is good, its checksum is not
    let page = fs::File::options().write(true).open(data.join(table)).unwrap();
    page.write_all_at(b"rot", 5 * 16384 + 300).unwrap();
    let (_, number) = push(&place, &data);
    let (said, code) = drill(&place, &out, &number);
    assert_eq!(code, 1, "{said:#?}");
    assert!(has(&said, "digest", "good"), "the backup is not what is damaged: {said:#?}");
    let file = Path::new(table).file_name().unwrap().to_str().unwrap();
    assert!(said.iter().any(|line| line.contains(" bad ") && line.contains(file)), "{said:#?}");
}

#[test]
#[ignore = "privileged: sees all open files; a MariaDB server of its own"]
fn privileged_trap_mariadb() {
    whole(Engine::MariaDb, "mariadb", MARIADB, "practice/patients.ibd");
}

#[test]
#[ignore = "nightly: a PostgreSQL server of its own, a thousand files restored four times"]
fn nightly_trap_postgresql() {
    let root = fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0);
    if !root {
        println!("skipped: postgresql: needs root: sudo -E cargo xtask nightly --only trap");
        return;
    }
    whole(Engine::PostgreSql, "postgresql", POSTGRESQL, "base/5/16384");
}
