//! What a generation is of its source: each file's word, and the weakest of them for the whole.

use std::path::{Path, PathBuf};

use crate::catalog;
use crate::generation::Consistency;

/// A database that a hook holds still, or made a copy of, while it is read.
#[derive(Debug, Clone)]
pub struct Hooked {
    /// Its file, with no link in the path.
    pub path: PathBuf,
    /// Where its bytes are read from instead; names, owner and times stay those of `path`.
    pub copy: Option<PathBuf>,
    /// By what, such as `nbackup lock`.
    pub hook: String,
    /// [`Consistency::Application`], or [`Consistency::Not`] where the check found errors.
    pub consistency: Consistency,
    /// How that was checked, and with what result.
    pub checked: String,
    /// Companions that would be wrong beside it: logs, deltas.
    pub left_out: Vec<PathBuf>,
    /// When it was last modified as the hook left it: it must still be so when it was read.
    pub mtime_ns: Option<i64>,
}

/// Counts of files with contents by their word.
#[derive(Debug, Default)]
pub(super) struct Words {
    application: u64,
    read_only: u64,
    in_place: u64,
    failed: u64,
    moved: u64,
    /// Of the first hooked file: name and check; of the first that is bad.
    told: Option<(PathBuf, String)>,
    bad: Option<(PathBuf, String)>,
}

impl Words {
    /// Gives a file its word and counts it.
    pub(super) fn file(
        &mut self,
        about: &mut catalog::File,
        hooked: Option<&Hooked>,
        (snapshot, read_only): (bool, bool),
    ) {
        if let Some(hooked) = hooked {
            about.hook = Some(hooked.hook.clone());
            about.checked = Some(hooked.checked.clone());
            about.moved |= hooked.mtime_ns.is_some_and(|time| time != about.mtime_ns);
        }
        if about.moved {
            self.moved += 1;
            return;
        }
        match hooked {
            Some(hooked) if hooked.consistency == Consistency::Application => {
                self.application += 1;
                about.consistency = Some(Consistency::Application);
                self.told.get_or_insert_with(|| (about.path.clone(), hooked.checked.clone()));
            }
            Some(hooked) => {
                self.failed += 1;
                self.bad.get_or_insert_with(|| (about.path.clone(), hooked.checked.clone()));
            }
            None if snapshot || read_only => {
                self.read_only += 1;
                about.consistency = Some(Consistency::Crash);
            }
            None => self.in_place += 1,
        }
    }

    /// The weakest word, and how it is known.
    pub(super) fn together(&self, files: u64, snapshot: bool) -> (Consistency, String) {
        let name = |path: &Path| path.display().to_string();
        if self.moved > 0 {
            let say = format!("{} of {files} files changed while they were read", self.moved);
            return (Consistency::Not, say);
        }
        if let Some((path, found)) = &self.bad {
            return (Consistency::Not, format!("{}: {found}", name(path)));
        }
        let hooks = match (&self.told, self.application) {
            (None, _) => String::new(),
            (Some((path, checked)), 1) => format!("{}: {checked}", name(path)),
            (Some(_), n) => format!("{n} databases by their hooks, each checked"),
        };
        let and = |what: &str| {
            if hooks.is_empty() { what.to_owned() } else { format!("{what}; {hooks}") }
        };
        if self.in_place > 0 {
            let say = and("files were read in place, where others could write to them");
            (Consistency::Not, say)
        } else if self.read_only > 0 || self.application == 0 {
            let say = if snapshot {
                "the paths were given as a snapshot"
            } else {
                "all of it lies on file systems mounted read-only"
            };
            (Consistency::Crash, and(say))
        } else {
            (Consistency::Application, hooks)
        }
    }
}
