//! `framewalk backup` over a network, as its users run it: a server, its peers, either end killed.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // helpers of tests, outside of #[test]

use std::fs;
use std::io::{BufRead, BufReader};
use std::ops::Deref;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::noise;
use testkit::place::{bytes, files, kills, last_json, moment, number, peak_mib, peak_of};
use testkit::way::Way;

const PAGE: usize = 16 << 10;

/// A server's home and a client's, with a repository on the server.
struct Place {
    place: testkit::place::Place,
    server: Option<(Child, BufReader<std::process::ChildStdout>)>,
    address: String,
    /// What clients connect to instead.
    way: Option<Way>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.server {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Deref for Place {
    type Target = testkit::place::Place;

    fn deref(&self) -> &Self::Target {
        &self.place
    }
}

impl Place {
    /// Without a repository, and without a server.
    fn bare(name: &str) -> Self {
        let (tmp, program) = (env!("CARGO_TARGET_TMPDIR"), env!("CARGO_BIN_EXE_framewalk"));
        let name = format!("backup-net-{name}");
        let place = testkit::place::Place::new(tmp, &name, program, &["backup"]);
        Self { place, server: None, address: "127.0.0.1:0".to_owned(), way: None }
    }

    fn new(name: &str) -> Self {
        Self::with(name, &["--segment-kib", "256", "--base-every", "4"])
    }

    /// With a repository that was made with these options, and its server.
    fn with(name: &str, options: &[&str]) -> Self {
        let mut place = Self::bare(name);
        place.on_server(&[&["init", "repo"], options].concat());
        // the keys are carried over by hand
        let keys = place.dir.join("server/.config/framewalk/backup");
        let id = fs::read_dir(&keys).unwrap().next().unwrap().unwrap().file_name();
        let target = place.dir.join("client/.config/framewalk/backup").join(&id);
        fs::create_dir_all(&target).unwrap();
        for name in ["source.key", "restore.key", "prune.key"] {
            fs::rename(keys.join(&id).join(name), target.join(name)).unwrap();
        }
        place.serve();
        place
    }

    /// A command on the server that must succeed; what it printed.
    fn on_server(&self, args: &[&str]) -> String {
        let done = self.command_of("server", args).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    }

    /// Starts the server, on the port it had.
    fn serve(&mut self) -> Value {
        let args = ["serve", "--repo", "repo", "--listen", &self.address, "--json"];
        let mut command = self.command_of("server", &args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let listens: Value = serde_json::from_str(&line).unwrap();
        listens["listen"][0].as_str().unwrap().clone_into(&mut self.address);
        self.server = Some((child, lines));
        listens
    }

    fn kill_server(&mut self) {
        let (mut child, _) = self.server.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM: its exit code, and what it said of its sessions.
    fn stop_server(&mut self) -> (Option<i32>, Vec<Value>) {
        let (mut child, lines) = self.server.take().unwrap();
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let lines = lines.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        let lines = lines.collect();
        (child.wait().unwrap().code(), lines)
    }

    fn repo(&self) -> String {
        format!("tls://{}", self.way.as_ref().map_or(&self.address, |way| &way.address))
    }

    /// A command on the client; `REPO` is the server's.
    fn on_client(&self, args: &[&str]) -> Command {
        let repo = self.repo();
        let args: Vec<_> = args.iter().map(|a| if *a == "REPO" { &*repo } else { a }).collect();
        self.command_of("client", &args)
    }

    fn client(&self, args: &[&str]) -> Output {
        self.on_client(args).output().unwrap()
    }

    /// The last JSON object of a command of the client, and its exit code.
    fn json(&self, args: &[&str]) -> (Value, i32) {
        last_json(&mut self.on_client(args))
    }

    fn enrol(&self, role: &str, name: &str) -> String {
        let args = ["enrol", "--repo", "repo", "--role", role, name, "--json"];
        let made: Value = serde_json::from_str(&self.on_server(&args)).unwrap();
        made["code"].as_str().unwrap().to_owned()
    }

    fn join(&self, role: &str) {
        let code = self.enrol(role, &format!("web1-{role}"));
        let (joined, exit) = self.json(&["join", "REPO", "--code", &code]);
        assert_eq!((exit, joined["role"].as_str()), (0, Some(role)), "{joined}");
    }

    fn push(&self) -> Value {
        let (report, exit) = self.json(&["push", "--repo", "REPO", "disk.img"]);
        assert_eq!(exit, 0, "{report}");
        report
    }

    fn good(&self, context: &str) {
        let (found, exit) = self.json(&["verify", "--repo", "REPO"]);
        assert_eq!((exit, &found["good"]), (0, &Value::Bool(true)), "{context}: {found}");
    }

    fn restored(&self) -> Vec<u8> {
        let _ = fs::remove_dir_all(self.dir.join("out"));
        let (restored, exit) = self.json(&["restore", "--repo", "REPO", "latest", "--to", "out"]);
        assert_eq!(exit, 0, "{restored}");
        fs::read(self.dir.join("out/disk.img")).unwrap()
    }

    fn image(&self) -> PathBuf {
        self.dir.join("disk.img")
    }
}

#[test]
fn five_commands_over_tls() {
    let mut place = Place::new("five");
    fs::write(place.image(), noise(1, 200 * PAGE)).unwrap();
    // nobody is enrolled
    let done = place.client(&["push", "--repo", "REPO", "disk.img"]);
    assert_eq!(done.status.code(), Some(2));
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(said.contains("enrol") && said.contains("join"), "{said}");
    for role in ["source", "restore", "prune"] {
        place.join(role);
    }
    for round in 0..3 {
        let file = fs::OpenOptions::new().write(true).open(place.image()).unwrap();
        file.write_all_at(&noise(10 + round, 50 * PAGE), round * 50 * PAGE as u64).unwrap();
        assert_eq!(place.push()["generation"], round + 1);
    }
    let (listed, exit) = place.json(&["list", "--repo", "REPO"]);
    assert_eq!((exit, &listed["generation"]), (0, &Value::from(3)));
    place.good("pushed");
    assert!(place.restored() == fs::read(place.image()).unwrap());
    let keep = ["prune", "--repo", "REPO", "--keep-last", "1", "--grace-hours", "0"];
    let (pruned, exit) = place.json(&keep);
    assert_eq!((exit, &pruned["dropped"]), (0, &serde_json::json!([1, 2])), "{pruned}");
    place.good("pruned");
    assert!(place.restored() == fs::read(place.image()).unwrap());
    // a drill's record goes to the server as well
    let (drilled, exit) = place.json(&["drill", "--repo", "REPO", "--scratch", "."]);
    assert_eq!(exit, 0, "{drilled}");
    assert_eq!(fs::read_dir(place.dir.join("repo/drills")).unwrap().count(), 1);

    let peers = ["peers", "--repo", "repo", "--json"];
    assert_eq!(place.on_server(&peers).lines().count(), 3);
    place.on_server(&["revoke", "--repo", "repo", "web1-source"]);
    let done = place.client(&["push", "--repo", "REPO", "disk.img"]);
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.code() == Some(2) && said.contains("not enrolled"), "{said}");

    let repo = place.dir.join("repo");
    let inside = ["peers", "--repo", "repo", "--serve-dir", "repo/serve"];
    assert_eq!(place.command_of("server", &inside).status().unwrap().code(), Some(2));
    assert!(!repo.join("serve").exists(), "no key in the repository");

    let (exit, sessions) = place.stop_server();
    assert_eq!(exit, Some(0));
    let of = |peer: &'static str| sessions.iter().filter(move |s| s["peer"] == peer);
    assert!(of("web1-source").map(|s| s["put"].as_u64().unwrap()).sum::<u64>() > 10);
    assert!(of("web1-prune").any(|s| s["deleted"].as_u64().unwrap() > 0));
    assert!(sessions.iter().any(|s| s["peer"].is_null() && s["refused"] == 1));
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/formats/json.md");
    let document = fs::read_to_string(document).unwrap();
    for member in sessions[0].as_object().unwrap().keys() {
        assert!(document.contains(&format!("`{member}`")), "{member} is not documented");
    }
}

#[test]
fn a_repository_made_over_tls_has_its_keys_here_and_only_here() {
    let mut place = Place::bare("init");
    fs::write(place.image(), noise(1, 100 * PAGE)).unwrap();
    let said = |home: &str, args: &[&str]| {
        let done = place.command_of(home, args).output().unwrap();
        assert_eq!(done.status.code(), Some(2), "{args:?}: {done:?}");
        String::from_utf8(done.stderr).unwrap()
    };
    // neither a folder that is missing nor an empty one is served, only one that was marked
    let serve = ["serve", "--repo", "repo", "--listen", "127.0.0.1:0"];
    assert!(said("server", &serve).contains("enrol --repo repo --role init"));
    fs::create_dir(place.dir.join("repo")).unwrap();
    assert!(said("server", &serve).contains("enrol --repo repo --role init"));
    assert_eq!(fs::read_dir(place.dir.join("repo")).unwrap().count(), 0, "nothing is made");
    let replaced = place.enrol("init", "other");
    let code = place.enrol("init", "web1");
    let reads = place.enrol("restore", "safe");
    assert_eq!(place.serve()["awaits"], true);
    let init = ["init", "REPO", "--segment-kib", "256"];
    let no = place.client(&[&init[..], &["--code", &replaced]].concat());
    assert!(String::from_utf8(no.stderr).unwrap().contains("replaced by a newer one"));
    // who may only read cannot make it, and is told that there is nothing
    assert_eq!(place.json(&["join", "REPO", "--code", &reads]).1, 0);
    let no = place.client(&["list", "--repo", "REPO"]);
    assert!(String::from_utf8(no.stderr).unwrap().contains("there is no repository here yet"));
    let (made, exit) = place.json(&[&init[..], &["--code", &code]].concat());
    assert_eq!((exit, &made["encrypted"]), (0, &Value::Bool(true)), "{made}");

    // the three keys and the sheet are on the client, and the server has nothing but its own
    let names = |home: &str| {
        let found = files(&place.dir.join(home));
        let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        let names = found.iter().map(name).collect::<std::collections::BTreeSet<_>>();
        // a list that is being replaced
        names.into_iter().filter(|name| name != "peers.new").collect::<Vec<_>>()
    };
    let client = names("client");
    for key in ["source.key", "restore.key", "prune.key", "recovery.txt"] {
        assert!(client.contains(&key.to_owned()), "{client:?}");
    }
    assert!(!client.contains(&"init.json".to_owned()), "nothing is left to be done: {client:?}");
    let server = names("server");
    assert!(server.iter().eq(["codes.json", "lock", "peers.json", "server.key"]), "{server:?}");
    assert!(names("repo").iter().eq(["config"]), "{:?}", names("repo"));

    // it is a source now: the same key pushes, and the role is used up
    place.push();
    place.good("pushed");
    assert!(place.restored() == fs::read(place.image()).unwrap());
    let again = place.client(&init);
    let again = String::from_utf8(again.stderr).unwrap();
    assert!(again.contains("holds a repository already"), "{again}");
    let enrol = ["enrol", "--repo", "repo", "--role", "init", "web2"];
    let enrol = place.command_of("server", &enrol).output().unwrap();
    assert_eq!(enrol.status.code(), Some(2), "{enrol:?}");
    let peers = place.on_server(&["peers", "--repo", "repo", "--json"]);
    assert!(peers.contains("\"source\"") && !peers.contains("\"init\""), "{peers}");
    let (exit, sessions) = place.stop_server();
    assert_eq!(exit, Some(0));
    let maker = sessions.iter().find(|s| s["role"] == "init" && s["put"] == 1);
    assert_eq!(maker.unwrap()["peer"], "web1", "{sessions:?}");
    assert_eq!(place.serve()["awaits"], false);
    place.push();
}

#[test]
fn an_init_that_was_cut_off_is_completed_by_the_next() {
    let mut place = Place::bare("init-cut");
    fs::write(place.image(), noise(1, 30 * PAGE)).unwrap();
    let code = place.enrol("init", "web1");
    place.serve();
    let repo = place.repo();
    let keys = |place: &Place| {
        let found = files(&place.dir.join("client/.config/framewalk/backup"));
        found.into_iter().filter(|path| path.ends_with("restore.key")).count()
    };
    // no room for a config: the keys are made, the repository is not
    let full = place.dir.join("repo/config#1");
    assert_eq!(place.json(&["join", "REPO", "--code", &code]).1, 0);
    for n in 1..10_000 {
        fs::write(place.dir.join(format!("repo/config#{n}")), "").unwrap();
    }
    let failed = place.client(&["init", "REPO"]);
    let said = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(failed.status.code(), Some(2), "{said}");
    assert!(said.contains("the same command without --code does the rest"), "{said}");
    assert!(!place.dir.join("repo/config").exists() && keys(&place) == 1);
    fs::remove_file(full).unwrap();
    // something else is not what was begun
    let other = place.client(&["init", "REPO", "--no-encryption"]);
    let said = String::from_utf8(other.stderr).unwrap();
    assert!(said.contains("other options") && said.contains("init.json"), "{said}");
    let (made, exit) = place.json(&["init", "REPO"]);
    assert_eq!((exit, keys(&place)), (0, 1), "with the keys that there were: {made}");
    // the server did it, but this machine did not hear of it
    let config = fs::read_to_string(place.dir.join("repo/config")).unwrap();
    let pending = place.dir.join("client/.config/framewalk/backup/remotes");
    let pending = pending.join(place.address.replace(':', "_")).join("init.json");
    let text = serde_json::json!({
        "config": config, "keys": made["keys"], "recovery": made["recovery"],
    });
    fs::write(&pending, text.to_string()).unwrap();
    let (again, exit) = place.json(&["init", &repo]);
    assert_eq!((exit, again), (0, made));
    assert!(!pending.exists());
    place.push();
}

#[test]
fn codes_wrong_used_mistyped_expired() {
    let place = Place::new("codes");
    let code = place.enrol("source", "web1");
    let said = |code: &str| {
        let done = place.client(&["join", "REPO", "--code", code]);
        let said = String::from_utf8(done.stderr).unwrap();
        if done.status.success() { "joined".to_owned() } else { said }
    };
    let mistyped = code.replacen(&code[..1], if code.starts_with('0') { "1" } else { "0" }, 1);
    assert!(said(&mistyped).contains("first half of the code is mistyped"));
    assert!(said("1234").contains("72 hexadecimal digits"));
    assert_eq!(said(&code), "joined");
    let _open = place.enrol("source", "web2");
    assert!(said(&code).contains("used already"));
    let expired = ["enrol", "--repo", "repo", "--role", "source", "--hours", "0", "late"];
    let late = place.on_server(&expired);
    assert!(said(late.trim()).contains("expired"));
}

#[test]
fn either_end_killed_at_any_moment_breaks_no_generation_and_sends_little_again() {
    let mut place = Place::new("kill");
    place.way = Some(Way::new(place.address.clone(), Vec::new()));
    for role in ["source", "restore", "prune"] {
        place.join(role);
    }
    let passed = |place: &Place| place.way.as_ref().unwrap().passed();
    let newest = |place: &Place| {
        let generations = files(&place.dir.join("repo/generations"));
        generations.iter().map(|path| path.file_name().unwrap().to_owned()).max().unwrap()
    };
    let size = 1000 * PAGE; // 16 MB: a segment is 1.6 %
    fs::write(place.image(), noise(0, size)).unwrap();
    let begin = Instant::now();
    place.push();
    let whole = begin.elapsed();
    let mut most = 0;
    let rounds = kills() * 5 / 4;
    for round in 0..rounds {
        let (server, after) = (round % 5 != 4, whole.mul_f64(moment(round)));
        let context = format!("round {round}, killed after {after:?}");
        let (image, before) = (noise(round + 1, size), newest(&place));
        fs::write(place.image(), &image).unwrap();
        passed(&place);
        let mut push = place.on_client(&["push", "--repo", "REPO", "disk.img"]);
        let mut push = push.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(after);
        if server {
            place.kill_server();
            place.serve();
        } else {
            let _ = push.kill();
        }
        // it connects again by itself, unless it had not connected at all
        let pushed = push.wait().unwrap().success();
        let mut sent = passed(&place);
        place.good(&format!("{context}, pushed {pushed}"));
        passed(&place);
        if !pushed {
            place.push();
            sent += passed(&place);
        }
        let again = sent.saturating_sub(size as u64 * 101 / 100 + 50_000);
        most = most.max(again);
        assert!(again * 20 < size as u64, "{context}: {again} bytes again");
        assert!(place.restored() == image, "{context}");
        if server {
            let number = |name: &std::ffi::OsStr| name.to_str().unwrap().parse::<u32>().unwrap();
            assert_eq!(number(&newest(&place)), number(&before) + 1, "{context}: stored once");
        }
        if round % 4 == 3 {
            // of hundreds of generations each verify would read all
            let keep = ["prune", "--repo", "REPO", "--keep-last", "1", "--grace-hours", "0"];
            assert_eq!(place.json(&keep).1, 0);
        }
    }
    println!(
        "kills: either end, at most {most} of {size} bytes were sent again, in {} rounds",
        2 * kills()
    );
}

#[test]
fn a_killed_push_over_tls_resumes_and_a_lost_server_is_said() {
    let mut place = Place::new("kill-client");
    place.join("source");
    place.join("restore");
    let image = noise(2, 2000 * PAGE); // 33 MB: a segment is 0.8 %
    fs::write(place.image(), &image).unwrap();
    let stored = |place: &Place| bytes(&place.dir.join("repo/segments"));
    let start = |place: &Place| {
        let args = ["push", "--repo", &place.repo(), "disk.img"];
        let mut push = place.command_of("client", &args);
        let child = push.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_mins(1);
        let begun = stored(place);
        while stored(place) < begun + image.len() as u64 / 4 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        child
    };
    let mut push = start(&place);
    push.kill().unwrap();
    let killed = !push.wait().unwrap().success();
    // the server goes away for good
    let push = start(&place);
    place.kill_server();
    let done = push.wait_with_output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains("run it again: it resumes behind what is stored"), "{said}");
    let what = format!(" at {}: cut after ", place.address);
    assert!(said.contains(&what) && said.contains("tried again 7 times"), "{said}");
    place.serve();
    let before = stored(&place);
    let report = place.push();
    let sent = report["sent"].as_u64().unwrap();
    let again = (before + sent).saturating_sub(image.len() as u64 * 101 / 100);
    assert!(again * 20 < image.len() as u64, "{again} bytes again: {before} + {sent}");
    assert!(!killed || report["resumed"].as_u64().unwrap() > 0, "{report}");
    place.good("resumed");
    assert!(place.restored() == image);
}

#[test]
#[ignore = "nightly: an image of 16 x FRAMEWALK_TORTURE_MIB, 4 GiB by default, to a server and back"]
fn nightly_memory_of_both_ends() {
    let place = Place::with("memory", &[]);
    for role in ["source", "restore"] {
        place.join(role);
    }
    let mib = 16 * number("FRAMEWALK_TORTURE_MIB", 256);
    let image = fs::File::create(place.image()).unwrap();
    for at in 0..mib {
        image.write_all_at(&noise(at, 1 << 20), at << 20).unwrap();
    }
    let push = ["push", "--repo", "REPO", "disk.img"];
    let first = peak_of(&mut place.on_client(&push));
    let again = peak_of(&mut place.on_client(&push));
    let verify = peak_of(&mut place.on_client(&["verify", "--repo", "REPO"]));
    let restore = ["restore", "--repo", "REPO", "latest", "--to", "out"];
    let restore = peak_of(&mut place.on_client(&restore));
    let server = peak_mib(place.server.as_ref().unwrap().0.id());
    println!(
        "peak memory: {mib} MiB to a server: push {first} MiB, again {again}, verify {verify}, \
         restore {restore}; the server {server}"
    );
    assert!([first, again, verify, restore, server].iter().all(|mib| (1..=256).contains(mib)));
    let mut same = Command::new("cmp");
    same.args(["disk.img", "out/disk.img"]).current_dir(&place.dir);
    assert!(same.status().unwrap().success());
}
