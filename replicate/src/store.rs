//! The repository as a store of objects: put if absent, get, get a range, list, delete.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Name;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::error::{At, Error};
use crate::hash::{Hash, hex};

/// Objects by name. Calls block.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    sent: Arc<AtomicU64>,
    root: PathBuf,
}

/// What a listing says of an object.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Path in the repository.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// Seconds since 1970 of its last change.
    pub changed: i64,
}

impl Store {
    /// A directory that exists.
    pub fn directory(path: &Path) -> Result<Self, Error> {
        let path = path.canonicalize().at("open the repository", path)?;
        let local = LocalFileSystem::new_with_prefix(&path)
            .map_err(|e| Error::Request(format!("{}: {e}", path.display())))?
            .with_fsync(true);
        Ok(Self { inner: Arc::new(local), sent: Arc::default(), root: path })
    }

    /// Bytes put since this was made.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Puts a new object, synced when this returns. `Ok(false)`: the name existed already.
    pub fn put(&self, name: &str, bytes: Bytes) -> Result<bool, Error> {
        let len = bytes.len() as u64;
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let at = Name::from(name);
        let put = self.inner.put_opts(&at, bytes.into(), options);
        match pollster::block_on(put) {
            Ok(_) => {
                self.sent.fetch_add(len, Ordering::Relaxed);
                Ok(true)
            }
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(e) => Err(failed("put", name, e)),
        }
    }

    /// All of an object of at most `most` bytes; `None` if there is none.
    pub fn get(&self, name: &str, most: u64) -> Result<Option<Bytes>, Error> {
        let got = pollster::block_on(async {
            let got = self.inner.get(&Name::from(name)).await?;
            let bytes = got.meta.size;
            if bytes > most {
                return Ok(Err(bytes));
            }
            Ok(Ok(got.bytes().await?))
        });
        match got {
            Ok(Ok(bytes)) => Ok(Some(bytes)),
            Ok(Err(bytes)) => {
                Err(Error::damage(name, most, format!("at most {most} bytes"), format!("{bytes}")))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(failed("get", name, e)),
        }
    }

    /// Bytes `from..to` of an object.
    pub fn range(&self, name: &str, from: u64, to: u64) -> Result<Bytes, Error> {
        let at = Name::from(name);
        let get = self.inner.get_range(&at, from..to);
        let bytes = match pollster::block_on(get) {
            Ok(bytes) => bytes,
            Err(object_store::Error::NotFound { .. }) => {
                return Err(Error::damage(name, 0, "an object", "none"));
            }
            Err(object_store::Error::Generic { .. }) => Bytes::new(),
            Err(e) => return Err(failed("get", name, e)),
        };
        if bytes.len() as u64 != to - from {
            let at = from + bytes.len() as u64;
            return Err(Error::damage(name, at, format!("bytes up to {to}"), "the end"));
        }
        Ok(bytes)
    }

    /// Size of an object, if there is one.
    pub fn size(&self, name: &str) -> Result<Option<u64>, Error> {
        match pollster::block_on(self.inner.head(&Name::from(name))) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(failed("look at", name, e)),
        }
    }

    /// Objects below a prefix, or all.
    pub fn list(&self, prefix: Option<&str>) -> Result<Vec<Listed>, Error> {
        let name = prefix.map(Name::from);
        let all = self.inner.list(name.as_ref()).try_collect::<Vec<_>>();
        let all = pollster::block_on(all).map_err(|e| failed("list", prefix.unwrap_or("/"), e))?;
        let listed = all.into_iter().map(|meta| Listed {
            name: meta.location.to_string(),
            bytes: meta.size,
            changed: meta.last_modified.timestamp(),
        });
        let mut listed: Vec<_> = listed.collect();
        listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    /// Removes what a killed process was putting: files named `OBJECT#N`, which no listing shows,
    /// if older than so many seconds. Returns how many, and their bytes.
    pub(crate) fn sweep_staged(&self, grace: i64) -> Result<(u64, u64), Error> {
        let (mut count, mut bytes) = (0, 0);
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).at("read", &folder)? {
                let entry = entry.at("read", &folder)?;
                let path = entry.path();
                let Ok(meta) = path.symlink_metadata() else { continue };
                let age = meta.modified().ok().and_then(|changed| changed.elapsed().ok());
                let old = age.is_some_and(|age| age.as_secs() as i64 >= grace);
                if meta.is_dir() {
                    folders.push(path);
                } else if old && is_staged(&entry.file_name().to_string_lossy()) {
                    std::fs::remove_file(&path).at("remove", &path)?;
                    (count, bytes) = (count + 1, bytes + meta.len());
                }
            }
        }
        Ok((count, bytes))
    }

    /// Removes an object; one that is gone already is no error.
    pub fn delete(&self, name: &str) -> Result<(), Error> {
        match pollster::block_on(self.inner.delete(&Name::from(name))) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(failed("delete", name, e)),
        }
    }
}

/// A name that `object_store` gives to a file before it has its own.
fn is_staged(name: &str) -> bool {
    name.rsplit_once('#')
        .is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

fn failed(operation: &'static str, name: &str, source: object_store::Error) -> Error {
    Error::Store { operation, object: name.to_owned(), source: Box::new(source) }
}

/// `segments/ab/<hash>`.
pub(crate) fn segment_name(hash: &Hash) -> String {
    format!("segments/{}/{hash}", hex(&hash.0[..1]))
}

/// `maps/ab/<hash>`.
pub(crate) fn part_name(hash: &Hash) -> String {
    format!("maps/{}/{hash}", hex(&hash.0[..1]))
}

/// `generations/00000007`.
pub(crate) fn generation_name(number: u32) -> String {
    format!("generations/{number:08}")
}

/// `drills/<hash>`.
pub(crate) fn drill_name(hash: &Hash) -> String {
    format!("drills/{hash}")
}

/// `relocations/00000007`.
pub(crate) fn relocation_name(number: u32) -> String {
    format!("relocations/{number:08}")
}
