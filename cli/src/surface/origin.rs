//! Which capture the frames named are of: its SHA-256, as it lies there.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use super::Args;
use crate::walk::receipt;

/// A file as it was when reading began.
#[derive(Debug)]
pub(super) struct Before {
    path: PathBuf,
    stamp: Option<Stamp>,
}

/// What differs when a file was written to: its length and time.
type Stamp = (u64, Option<SystemTime>);

/// The capture that findings name frames of. Without a hash, a note says why.
#[derive(Debug, Serialize)]
pub(super) struct Origin {
    name: String,
    bytes: Option<u64>,
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Of a file that can be read twice.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some((metadata.len(), metadata.modified().ok()))
}

impl Before {
    /// Before anything is read; nothing is known of an interface.
    pub(super) fn of(args: &Args) -> Option<Self> {
        let path = args.file.clone()?;
        let stamp = if path.as_os_str() == "-" { None } else { stamp(&path) };
        Some(Self { path, stamp })
    }
}

impl Origin {
    /// Of bytes in memory.
    pub(super) fn in_memory(name: &str, bytes: u64) -> Self {
        Self { name: name.to_owned(), bytes: Some(bytes), sha256: None, note: None }
    }

    /// Reads the file once more: after the analysis, which it would slow down otherwise.
    pub(super) fn of(name: &str, before: Option<&Before>) -> Self {
        let none = |note: String| Self {
            name: name.to_owned(),
            bytes: None,
            sha256: None,
            note: Some(note),
        };
        let Some(before) = before else {
            return none("a live interface: its frames were not kept and not hashed".into());
        };
        if before.stamp.is_none() {
            return none("no file that can be read twice: it was not hashed".into());
        }
        match receipt::hash(&before.path) {
            Ok((sha256, bytes)) if before.stamp == stamp(&before.path) => {
                Self { name: name.to_owned(), bytes: Some(bytes), sha256: Some(sha256), note: None }
            }
            Ok(_) => none("the file was changed while it was read: no hash fits".into()),
            Err(error) => none(format!("not hashed: {error}")),
        }
    }

    pub(super) fn sha256(&self) -> Option<&str> {
        self.sha256.as_deref()
    }

    /// In words.
    pub(super) fn in_words(&self) -> String {
        match (&self.sha256, &self.note) {
            (Some(sha256), _) => format!("SHA-256 {sha256}"),
            (None, Some(note)) => note.clone(),
            (None, None) => String::new(),
        }
    }
}
