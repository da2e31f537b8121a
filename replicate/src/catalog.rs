//! The catalog: a line of JSON for each file of a generation, in the order of paths.

use std::cmp::Ordering;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::generation::Consistency;
use crate::hash::Hash;
use crate::keys::Secret;
use crate::part::FileId;

/// How it was decided what of a file to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judged {
    /// All of it was read and hashed.
    Hashed,
    /// Size, times and inode were as before, and the user trusts them here.
    TrustedStat,
    /// Only metadata: no contents to judge.
    Metadata,
}

/// What a catalog line is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; `target` says where to.
    Symlink,
    /// A further name of a file; `target` is the first name.
    HardLink,
    /// A disk that was read as one file.
    Disk,
    /// Noted, but neither read nor restored: sockets, devices inside a tree.
    Special,
    /// A named pipe.
    Pipe,
}

/// How contents are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cut {
    /// Pages of 16 KiB.
    Pages,
    /// Content-defined chunks.
    Chunks,
}

/// A file of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Relative, in the generation.
    #[serde(with = "as_path")]
    pub path: PathBuf,
    /// What it is.
    pub kind: FileKind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Last change, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Last change of the inode.
    pub ctime_ns: i64,
    /// Inode number.
    pub inode: u64,
    /// Where a link leads.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_path_option")]
    pub target: Option<PathBuf>,
    /// Extended attributes (ACLs among them), hexadecimal values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<(String, String)>,
    /// How contents are cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// How it was judged.
    pub judged: Judged,
    /// Why it was cut or judged so.
    pub because: String,
    /// When last hashed whole, seconds since 1970; none: in this generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashed: Option<i64>,
    /// Its size or times moved while it was read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moved: bool,
    /// What it is of its source; none: not consistent, read where others could write to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
    /// By which hook it was held still or copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
    /// How that was checked, and with what result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<String>,
}

impl File {
    /// What it is of its source.
    pub fn consistency(&self) -> Consistency {
        self.consistency.unwrap_or(Consistency::Not)
    }

    /// The id under which its pages are indexed.
    pub(crate) fn id(&self, key: &Secret) -> FileId {
        let mut bytes = b"path:".to_vec();
        bytes.extend_from_slice(self.path.as_os_str().as_bytes());
        let hash = blake3::keyed_hash(&key.0, &bytes);
        std::array::from_fn(|i| hash.as_bytes()[i])
    }

    /// Whether it may be restored under a directory: relative, without `..`.
    pub(crate) fn is_safe(path: &Path) -> bool {
        let mut parts = path.components().peekable();
        parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
    }
}

/// Order of the catalog: by components, so that a directory's files follow it.
pub(crate) fn order(a: &Path, b: &Path) -> Ordering {
    let parts = |path: &Path| {
        path.components().map(|c| c.as_os_str().as_bytes().to_vec()).collect::<Vec<_>>()
    };
    parts(a).cmp(&parts(b))
}

/// The id of a page or chunk.
pub(crate) fn id_of(key: &Secret, bytes: &[u8]) -> Hash {
    Hash(*blake3::keyed_hash(&key.0, bytes).as_bytes())
}

/// Paths as text; `{"hex":".."}` for names that are not UTF-8.
mod as_path {
    use super::*;
    use serde::{Deserializer, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    pub(super) enum Text {
        Plain(String),
        Hex { hex: String },
    }

    pub(super) fn to(path: &Path) -> Text {
        match path.to_str() {
            Some(text) => Text::Plain(text.to_owned()),
            None => Text::Hex { hex: crate::hash::hex(path.as_os_str().as_bytes()) },
        }
    }

    pub(super) fn from(text: Text) -> Option<PathBuf> {
        let hex = match text {
            Text::Plain(text) => return Some(text.into()),
            Text::Hex { hex } => hex,
        };
        let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
        let bytes = pairs.map(|pair| crate::hash::unhex::<1>(pair?).map(|[byte]| byte));
        let bytes: Option<Vec<u8>> = bytes.collect();
        Some(std::ffi::OsString::from_vec(bytes?).into())
    }

    pub(super) fn serialize<S: Serializer>(path: &Path, s: S) -> Result<S::Ok, S::Error> {
        to(path).serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<PathBuf, D::Error> {
        from(Text::deserialize(d)?).ok_or_else(|| serde::de::Error::custom("a path was expected"))
    }
}

mod as_path_option {
    use super::*;
    use serde::{Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "the signature that serde calls")]
    pub(super) fn serialize<S: Serializer>(p: &Option<PathBuf>, s: S) -> Result<S::Ok, S::Error> {
        p.as_deref().map(as_path::to).serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<as_path::Text>::deserialize(d)?.and_then(as_path::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_by_components() {
        let mut paths = ["a b", "a/z", "a", "a/b/c", "a-"].map(Path::new);
        paths.sort_by(|a, b| order(a, b));
        assert_eq!(paths, ["a", "a/b/c", "a/z", "a b", "a-"].map(Path::new));
    }

    #[test]
    fn paths_that_leave_are_not_safe() {
        for bad in ["/etc/passwd", "../x", "a/../../b", "", "a/.."] {
            assert!(!File::is_safe(Path::new(bad)), "{bad}");
        }
        assert!(File::is_safe(Path::new("a/b c/..d")));
    }
}
