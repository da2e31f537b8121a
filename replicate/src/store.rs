//! The repository as a store of objects: put if absent, get, get a range, list, delete. A
//! directory, or a server that has one.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Name;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::error::{At, Error};
use crate::hash::{Hash, hex};
use crate::staged::Staged;
use crate::wire::{Remote, Welcome};

/// Objects by name. Calls block.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Inner,
    sent: Arc<AtomicU64>,
    times: Arc<Mutex<PutTimes>>,
}

/// Where the time of puts went, of all threads together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PutTimes {
    /// Sending.
    pub(crate) wire: Duration,
    /// The server took what came, and answered.
    pub(crate) receive: Duration,
    /// Written and synced, here or there.
    pub(crate) fsync: Duration,
}

impl PutTimes {
    /// The same three, in pairs.
    fn with(self, other: Self, both: impl Fn(Duration, Duration) -> Duration) -> Self {
        Self {
            wire: both(self.wire, other.wire),
            receive: both(self.receive, other.receive),
            fsync: both(self.fsync, other.fsync),
        }
    }

    /// Those since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        self.with(before, Duration::saturating_sub)
    }
}

#[derive(Debug, Clone)]
enum Inner {
    Directory(Directory),
    Remote(Arc<Remote>),
}

#[derive(Debug, Clone)]
struct Directory {
    objects: Arc<dyn ObjectStore>,
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
            .map_err(|e| Error::Request(format!("{}: {e}", path.display())))?;
        let directory = Directory { objects: Arc::new(local), root: path };
        Ok(Self::over(Inner::Directory(directory)))
    }

    /// What a server keeps.
    pub fn remote(remote: Remote) -> Self {
        Self::over(Inner::Remote(Arc::new(remote)))
    }

    fn over(inner: Inner) -> Self {
        Self { inner, sent: Arc::default(), times: Arc::default() }
    }

    /// What a server said of itself and of us; none where the repository is a directory.
    pub fn welcome(&self) -> Option<&Welcome> {
        match &self.inner {
            Inner::Directory(_) => None,
            Inner::Remote(remote) => Some(remote.welcome()),
        }
    }

    /// Whether every request takes a journey: then many should be under way at once.
    pub fn is_remote(&self) -> bool {
        matches!(self.inner, Inner::Remote(_))
    }

    /// Bytes put since this was made.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Where the time of all puts went since this was made.
    pub(crate) fn put_times(&self) -> PutTimes {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a new object, synced when this returns. `Ok(false)`: the name existed already.
    pub fn put(&self, name: &str, bytes: &Bytes) -> Result<bool, Error> {
        let len = bytes.len() as u64;
        let (put, times) = match &self.inner {
            Inner::Directory(directory) => {
                let begin = Instant::now();
                let put = directory.put(name, bytes)?;
                (put, PutTimes { fsync: begin.elapsed(), ..PutTimes::default() })
            }
            Inner::Remote(remote) => remote.put(name, bytes)?,
        };
        let mut all = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        *all = all.with(times, Duration::saturating_add);
        drop(all);
        self.sent.fetch_add(if put { len } else { 0 }, Ordering::Relaxed);
        Ok(put)
    }

    /// All of an object of at most `most` bytes; `None` if there is none.
    pub fn get(&self, name: &str, most: u64) -> Result<Option<Bytes>, Error> {
        match &self.inner {
            Inner::Directory(directory) => directory.get(name, most),
            Inner::Remote(remote) => remote.get(name, most),
        }
    }

    /// Bytes `from..to` of an object.
    pub fn range(&self, name: &str, from: u64, to: u64) -> Result<Bytes, Error> {
        let bytes = match &self.inner {
            Inner::Directory(directory) => directory.range(name, from, to)?,
            Inner::Remote(remote) => remote.range(name, from, to)?,
        };
        let Some(bytes) = bytes else {
            return Err(Error::damage(name, 0, "an object", "none"));
        };
        if bytes.len() as u64 != to - from {
            let at = from + bytes.len() as u64;
            return Err(Error::damage(name, at, format!("bytes up to {to}"), "the end"));
        }
        Ok(bytes)
    }

    /// Size of an object, if there is one.
    pub fn size(&self, name: &str) -> Result<Option<u64>, Error> {
        match &self.inner {
            Inner::Directory(directory) => directory.size(name),
            Inner::Remote(remote) => remote.size(name),
        }
    }

    /// Sizes of objects, asked for all at once.
    pub(crate) fn sizes(&self, names: &[String]) -> Result<Vec<Option<u64>>, Error> {
        match &self.inner {
            Inner::Directory(directory) => names.iter().map(|name| directory.size(name)).collect(),
            Inner::Remote(remote) => remote.sizes(names),
        }
    }

    /// Objects below a prefix, or all.
    pub fn list(&self, prefix: Option<&str>) -> Result<Vec<Listed>, Error> {
        let mut listed = match &self.inner {
            Inner::Directory(directory) => directory.list(prefix)?,
            Inner::Remote(remote) => remote.list(prefix.unwrap_or(""))?,
        };
        listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    /// Removes what a killed process was putting: files named `OBJECT#N`, which no listing shows,
    /// if older than so many seconds. Returns how many, and their bytes.
    pub(crate) fn sweep_staged(&self, grace: i64) -> Result<(u64, u64), Error> {
        match &self.inner {
            Inner::Directory(directory) => directory.sweep_staged(grace),
            Inner::Remote(remote) => remote.sweep(grace),
        }
    }

    /// Removes an object; one that is gone already is no error.
    pub fn delete(&self, name: &str) -> Result<(), Error> {
        match &self.inner {
            Inner::Directory(directory) => directory.delete(name),
            Inner::Remote(remote) => remote.delete(name),
        }
    }

    /// The folder, where the repository is one.
    pub(crate) fn root(&self) -> Option<&Path> {
        match &self.inner {
            Inner::Directory(directory) => Some(&directory.root),
            Inner::Remote(_) => None,
        }
    }
}

impl Directory {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<bool, Error> {
        let put = || {
            let mut staged = Staged::new(&self.root, name, bytes.len() as u64)?;
            staged.write(bytes)?;
            staged.keep()
        };
        put().at("put", self.root.join(name))
    }

    fn get(&self, name: &str, most: u64) -> Result<Option<Bytes>, Error> {
        let got = pollster::block_on(async {
            let got = self.objects.get(&Name::from(name)).await?;
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

    /// `None`: no such object. Fewer bytes: it ends there.
    fn range(&self, name: &str, from: u64, to: u64) -> Result<Option<Bytes>, Error> {
        let at = Name::from(name);
        match pollster::block_on(self.objects.get_range(&at, from..to)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            // one that begins behind the end is among these, and so is a disk that does not read
            Err(e @ object_store::Error::Generic { .. }) => match self.size(name)? {
                Some(size) if size >= to => Err(failed("get", name, e)),
                size => Ok(size.map(|_| Bytes::new())),
            },
            Err(e) => Err(failed("get", name, e)),
        }
    }

    fn size(&self, name: &str) -> Result<Option<u64>, Error> {
        match pollster::block_on(self.objects.head(&Name::from(name))) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(failed("look at", name, e)),
        }
    }

    fn list(&self, prefix: Option<&str>) -> Result<Vec<Listed>, Error> {
        let name = prefix.map(Name::from);
        let all = self.objects.list(name.as_ref()).try_collect::<Vec<_>>();
        let all = pollster::block_on(all).map_err(|e| failed("list", prefix.unwrap_or("/"), e))?;
        let listed = all.into_iter().map(|meta| Listed {
            name: meta.location.to_string(),
            bytes: meta.size,
            changed: meta.last_modified.timestamp(),
        });
        Ok(listed.collect())
    }

    fn sweep_staged(&self, grace: i64) -> Result<(u64, u64), Error> {
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

    fn delete(&self, name: &str) -> Result<(), Error> {
        match pollster::block_on(self.objects.delete(&Name::from(name))) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(failed("delete", name, e)),
        }
    }
}

/// A name that a file has before it has its own.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_cannot_be_read_is_not_one_that_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::directory(folder.path()).unwrap();
        store.put("maps/whole", &Bytes::from_static(b"0123456789")).unwrap();
        assert_eq!(store.range("maps/whole", 2, 5).unwrap(), "234");
        for (from, to) in [(5, 11), (10, 11), (20, 30)] {
            let short = store.range("maps/whole", from, to).unwrap_err();
            assert!(matches!(short, Error::Damage(_)), "{from}..{to}: {short}");
        }
        // a link to itself: open(2) fails with ELOOP
        std::os::unix::fs::symlink("loop", folder.path().join("maps/loop")).unwrap();
        let failed = store.range("maps/loop", 0, 5).unwrap_err();
        assert!(matches!(failed, Error::Store { .. }), "{failed}");
    }
}
