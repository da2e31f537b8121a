//! What lies below the paths and is left out all the same.

use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::error::Error;

/// File systems without a file on any disk, which the kernel makes up as they are read
/// (linux/magic.h): a copy of them restores nothing, and some never end.
const KERNEL: [u64; 22] = [
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0x6165_676c, // pstore
    0xcafe_4a11, // bpf
    0x1cd1,      // devpts
    0x1980_0202, // mqueue
    0x6265_6570, // configfs
    0xde5e_81e4, // efivarfs
    0xf97c_ff8c, // selinuxfs
    0x4341_5d53, // smackfs
    0x0187,      // autofs: looking into it mounts things
    0x6759_6969, // rpc_pipefs
    0x6e73_6673, // nsfs
    0x4249_4e4d, // binfmt_misc
    0x9584_58f6, // hugetlbfs
    0x6573_5543, // fusectl
    0x0765_5821, // resctrl
];

/// What to leave out.
#[derive(Debug, Clone, Default)]
pub struct Leave {
    patterns: GlobSet,
    one_file_system: bool,
}

impl Leave {
    /// By patterns of names (`*.tmp`, `Cache`), of ends of paths (`scans/old`) or of whole paths
    /// (`/srv/scans/**`), in which `*` does not match a `/`, and `**` does. With
    /// `one_file_system` also what is mounted below the paths.
    pub fn new(patterns: &[String], one_file_system: bool) -> Result<Self, Error> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            let wrong = |why: &str| Error::Request(format!("the pattern {pattern:?}: {why}"));
            let plain = pattern.trim_end_matches('/');
            if plain.is_empty() || plain.split('/').any(|name| name == "." || name == "..") {
                return Err(wrong("a name, the end of a path, or a path from / on was expected"));
            }
            let glob = if plain.starts_with('/') { plain.into() } else { format!("**/{plain}") };
            let built = GlobBuilder::new(&glob).literal_separator(true).build();
            set.add(built.map_err(|e| wrong(&e.kind().to_string()))?);
        }
        let patterns = set.build().map_err(|e| Error::Request(e.to_string()))?;
        Ok(Self { patterns, one_file_system })
    }
}

/// What was left out.
#[derive(Debug, Clone, Default)]
pub struct LeftOut {
    /// Files and folders that a pattern named; what is in such a folder is not counted.
    pub named: u64,
    /// Mount points that were not looked into, and why.
    pub mounts: Vec<(PathBuf, &'static str)>,
}

/// Decides what a walk leaves out.
pub(crate) struct Judge<'a> {
    pub(crate) leave: &'a Leave,
    /// Never left out.
    pub(crate) keep: HashSet<&'a Path>,
    pub(crate) left: LeftOut,
}

impl Judge<'_> {
    /// Whether a pattern names it.
    pub(crate) fn is_named(&mut self, path: &Path) -> bool {
        let named = self.leave.patterns.is_match(path) && !self.keep.contains(path);
        self.left.named += u64::from(named);
        named
    }

    /// Whether the walk goes into a folder, that of its parent being on the device `above`.
    pub(crate) fn goes_into(&mut self, folder: &Path, meta: &Metadata, above: Option<u64>) -> bool {
        if above.is_none_or(|device| device == meta.dev()) {
            return true;
        }
        let kind = rustix::fs::statfs(folder).map(|found| found.f_type as u64 & 0xffff_ffff);
        let why = match kind {
            Ok(kind) if KERNEL.contains(&kind) => "a file system of the kernel's",
            _ if self.leave.one_file_system => "another file system",
            _ => return true,
        };
        self.left.mounts.push((folder.to_owned(), why));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_names_ends_and_whole_paths() {
        let patterns = ["*.tmp", "Cache/", "scans/old", "/srv/media/**", "letter-[0-9].txt"];
        let leave = Leave::new(&patterns.map(str::to_owned), false).unwrap();
        let mut judge = Judge { leave: &leave, keep: HashSet::new(), left: LeftOut::default() };
        let kept = Path::new("/var/keep.tmp");
        judge.keep.insert(kept);
        for (path, named) in [
            ("/a/b.tmp", true),
            ("/a/b.tmp.pdf", false),
            ("/var/x/Cache", true),
            ("/var/x/Caches", false),
            ("/srv/scans/old", true),
            ("/srv/scans/older", false),
            ("/srv/media/film/1", true),
            ("/mnt/srv/media/1", false),
            ("/letter-7.txt", true),
            ("/letter-77.txt", false),
            ("/var/keep.tmp", false),
        ] {
            assert_eq!(judge.is_named(Path::new(path)), named, "{path}");
        }
        assert_eq!(judge.left.named, 5);
        for wrong in ["", "/", "./x", "a/../b", "x[", "{a"] {
            let error = Leave::new(&[wrong.to_owned()], false).unwrap_err();
            assert!(error.to_string().contains(&format!("{wrong:?}")), "{error}");
        }
    }
}
