//! Where keys and what is remembered are kept.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use replicate::keys::Key;
use replicate::{Reader, Repository, hex};

use super::Where;

fn home(variable: &str, below: &str) -> anyhow::Result<PathBuf> {
    if let Some(dir) = std::env::var_os(variable).filter(|dir| !dir.is_empty()) {
        return Ok(PathBuf::from(dir).join("framewalk/backup"));
    }
    let home = std::env::var_os("HOME").context("HOME is not set: name --key-dir and --state")?;
    Ok(PathBuf::from(home).join(below).join("framewalk/backup"))
}

/// Where init puts keys.
pub(super) fn default_dir(repository: &str) -> anyhow::Result<PathBuf> {
    Ok(config_dir()?.join(repository))
}

/// Where keys of repositories and of servers are.
pub(super) fn config_dir() -> anyhow::Result<PathBuf> {
    home("XDG_CONFIG_HOME", ".config")
}

/// A folder that nobody else can look into; made if there is none.
pub(super) fn private_dir(dir: &Path) -> anyhow::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("make {}", dir.display()))
}

/// Where push remembers digests, and verify what it found.
pub(super) fn state_dir() -> anyhow::Result<PathBuf> {
    home("XDG_STATE_HOME", ".local/state")
}

/// A key by its file name, `restore.key` for one.
pub(super) fn read(place: &Where, repository: &Repository, name: &str) -> anyhow::Result<Key> {
    if let Some(file) = &place.key {
        return Ok(Key::read(file)?);
    }
    let id = hex(&repository.config.repository);
    let dir = place.key_dir.clone().map_or_else(|| default_dir(&id), Ok)?;
    let file = dir.join(name);
    if !file.exists() {
        bail!(
            "{} is not there: name the key with --key or its folder with --key-dir",
            file.display()
        );
    }
    Ok(Key::read(&file)?)
}

/// What can read: the restore key, or nobody's where nothing is encrypted.
pub(super) fn reader(place: &Where, repository: &Repository) -> anyhow::Result<Reader> {
    match read(place, repository, "restore.key") {
        Ok(key) => Ok(repository.reader(Some(&key))?),
        Err(_) if !repository.config.encrypted() => Ok(repository.reader(None)?),
        Err(e) => Err(e),
    }
}
