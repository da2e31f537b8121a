//! A repository with a home of its own, and the program run there.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::Value;
use testkit::place::all_json;

/// A place with a repository.
pub(crate) struct Place(testkit::place::Place);

impl Deref for Place {
    type Target = testkit::place::Place;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let (tmp, program) = (env!("CARGO_TARGET_TMPDIR"), env!("CARGO_BIN_EXE_framewalk"));
        let place = testkit::place::Place::new(tmp, &format!("trap-{name}"), program, &["backup"]);
        let env = crate::software::firebird_env(&place.dir);
        let place = Self(place.with_env(env));
        let made = place.run(&["init", "repo"]);
        assert!(made.status.success(), "{made:?}");
        place
    }

    /// The same for a server's clients: to be called when the server has its users.
    pub(crate) fn of_server(self) -> Self {
        let env = crate::software::firebird_env(&self.dir);
        Self(self.0.with_env(env))
    }

    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// A new folder for what other programs keep.
    pub(crate) fn peers(&self) -> PathBuf {
        let all = self.dir.join("peers");
        let made = all.read_dir().map_or(0, Iterator::count);
        let new = all.join(made.to_string());
        fs::create_dir_all(&new).unwrap();
        new
    }

    /// The JSON objects that a command prints, and its exit code.
    pub(crate) fn lines(&self, args: &[&str]) -> (Vec<Value>, i32) {
        all_json(&mut self.command(args))
    }

    /// Pushes with each file's line by its name; `trust` below the path itself. The two have
    /// states of their own, as two hosts would.
    pub(crate) fn push(&self, path: &Path, trust: bool) -> Pushed {
        let path = path.to_str().unwrap();
        let state = if trust { "state-trust" } else { "state" };
        let mut args = vec!["push", "--repo", "repo", path, "--files", "--state", state];
        if trust {
            args.extend(["--trust-stat", path]);
        }
        let (mut lines, code) = self.lines(&args);
        let report = lines.pop().unwrap();
        assert_eq!(code, 0, "{report}");
        let name = |line: &Value| {
            let path = Path::new(line["path"].as_str().unwrap());
            path.file_name().unwrap().to_str().unwrap().to_owned()
        };
        let files = lines.into_iter().map(|line| (name(&line), line)).collect();
        Pushed { number: report["generation"].as_u64().unwrap(), report, files }
    }

    /// Restores a generation into a fresh folder.
    pub(crate) fn restore(&self, number: u64) -> PathBuf {
        let out = format!("out-{number}");
        let _ = fs::remove_dir_all(self.dir.join(&out));
        let (done, code) =
            self.json(&["restore", "--repo", "repo", &number.to_string(), "--to", &out]);
        assert_eq!(code, 0, "{done}");
        self.dir.join(out)
    }
}

/// A push as it was told.
#[derive(Debug)]
pub(crate) struct Pushed {
    pub(crate) number: u64,
    pub(crate) report: Value,
    pub(crate) files: BTreeMap<String, Value>,
}

impl Pushed {
    /// How a file was judged, and why.
    pub(crate) fn judged(&self, name: &str) -> String {
        let line = &self.files[name];
        let judged = line["judged"].as_str().unwrap();
        format!("{judged} ({})", line["because"].as_str().unwrap())
    }
}
