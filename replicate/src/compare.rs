//! What lies on disk after a restore, read back and compared with the digests of the generation.

use std::fs;
use std::path::{Path, PathBuf};

use crate::catalog::{FileKind, id_of};
use crate::error::{At, Error};
use crate::generation::Manifest;
use crate::layers::{Layers, Merged};
use crate::part::{CATALOG, Kind};
use crate::push::{is_zero, read_full};
use crate::read::Slots;
use crate::repository::{PAGE, Reader, Repository};
use crate::source;

/// What was read back.
#[derive(Debug, Default)]
pub struct Compared {
    /// Files whose bytes are those of the generation.
    pub good: u64,
    /// Files that are not, and why.
    pub bad: Vec<(PathBuf, String)>,
    /// Bytes read; holes are not.
    pub read: u64,
}

/// Bytes that a restore of the generation writes; holes are not counted.
pub fn data_bytes(repository: &Repository, manifest: &Manifest) -> Result<u64, Error> {
    let mut layers = Layers::open(repository, manifest)?;
    let mut bytes = 0_u64;
    for file in layers.files() {
        if file == CATALOG {
            continue;
        }
        let mut entries = layers.merged(&file)?;
        let chunks = entries.kind == Kind::Chunks;
        while let Some(entry) = entries.next()? {
            let len = entry.place.map_or(0, |place| u64::from(place.len));
            bytes = bytes.saturating_add(if chunks { len } else { PAGE as u64 });
        }
    }
    Ok(bytes)
}

/// Reads every file of a generation that was restored whole into `to`, and compares page by page.
pub fn compare(
    repository: &Repository,
    reader: &Reader,
    manifest: &Manifest,
    to: &Path,
    progress: &dyn Fn(u64),
) -> Result<Compared, Error> {
    let slots = Slots::open(repository, reader)?;
    let mut layers = Layers::open(repository, manifest)?;
    let mut names = Layers::of_catalog(repository, manifest)?;
    let mut compared = Compared::default();
    slots.catalog(&mut names, manifest.number, |file| {
        if !matches!(file.kind, FileKind::File | FileKind::Disk) {
            return Ok(());
        }
        let path = to.join(&file.path);
        let mut entries = layers.merged(&file.id(&reader.id_key))?;
        match same(&path, file.size, reader, &mut entries, &mut compared.read) {
            Ok(None) => compared.good += 1,
            Ok(Some(why)) => compared.bad.push((file.path, why)),
            Err(Error::Io { operation, source, .. }) => {
                compared.bad.push((file.path, format!("{operation}: {source}")));
            }
            Err(e) => return Err(e),
        }
        progress(compared.read);
        Ok(())
    })?;
    Ok(compared)
}

/// The first difference, in words.
fn same(
    path: &Path,
    size: u64,
    reader: &Reader,
    entries: &mut Merged<'_, '_>,
    read: &mut u64,
) -> Result<Option<String>, Error> {
    let file = fs::File::open(path).at("open", path)?;
    let found = file.metadata().at("look at", path)?.len();
    if found != size {
        return Ok(Some(format!("{found} bytes instead of {size}")));
    }
    let chunks = entries.kind == Kind::Chunks;
    let (mut at, mut buffer) = (0, Vec::new());
    while let Some(entry) = entries.next()? {
        let Some(place) = entry.place else { continue };
        let from = if chunks { at } else { entry.index.saturating_mul(PAGE as u64) };
        let len = if chunks { u64::from(place.len) } else { PAGE as u64 };
        if let Some(bad) = zeroes(&file, path, at..from, &mut buffer, read)? {
            return Ok(Some(bad));
        }
        buffer.resize(len.min(size.saturating_sub(from)) as usize, 0);
        let got = read_full(&file, &mut buffer, from).at("read", path)?;
        *read += got as u64;
        if got < buffer.len() || id_of(&reader.id_key, &buffer) != place.id {
            return Ok(Some(format!("other bytes at {from}")));
        }
        at = from + len;
    }
    zeroes(&file, path, at..size, &mut buffer, read)
}

/// What is no page of the generation must read as zeroes.
fn zeroes(
    file: &fs::File,
    path: &Path,
    range: std::ops::Range<u64>,
    buffer: &mut Vec<u8>,
    read: &mut u64,
) -> Result<Option<String>, Error> {
    let mut from = range.start;
    while let Some((data, hole)) = source::next_data(file, from, range.end) {
        from = data;
        while from < hole {
            buffer.resize((hole - from).min(1 << 20) as usize, 0);
            let got = read_full(file, buffer, from).at("read", path)?;
            if got == 0 {
                return Ok(Some(format!("it ends at {from}")));
            }
            *read += got as u64;
            if !is_zero(&buffer[..got]) {
                return Ok(Some(format!("bytes where a hole was, from {from} on")));
            }
            from += got as u64;
        }
    }
    Ok(None)
}
