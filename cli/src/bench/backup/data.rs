//! What is backed up: an image made of this machine's own files, and the ways it changes.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

/// Bytes of a page of the changes: what databases write.
const PAGE: u64 = 16 << 10;
/// Where a file begins in the image: as in a file system.
const BLOCK: u64 = 4096;
/// Of the image, so much is files, the rest is a hole: a disk that is 82 % full.
const FULL_PERCENT: u64 = 82;

/// A small generator of its own, so that a seed means the same everywhere (splitmix64, S. Vigna).
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for eight in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            eight.copy_from_slice(&word[..eight.len()]);
        }
    }
}

/// Makes an image of `bytes`: files below /usr at multiples of 4 KiB, in the order of their names,
/// and a hole at the end. What /usr cannot fill is filled with the same files again, each byte
/// moved on by the round: other pages of the same kind.
pub(super) fn image(path: &Path, bytes: u64) -> anyhow::Result<()> {
    let mut image = File::create(path).with_context(|| format!("create {}", path.display()))?;
    image.set_len(bytes)?;
    let most = bytes / 100 * FULL_PERCENT;
    let (mut at, mut round) = (0, 0_u8);
    let mut buffer = Vec::new();
    while at < most {
        let before = at;
        let mut folders = vec![PathBuf::from("/usr")];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
            paths.sort_unstable();
            for path in paths {
                let Ok(meta) = path.symlink_metadata() else { continue };
                if meta.is_dir() {
                    folders.push(path);
                } else if meta.is_file() && at < most {
                    buffer.clear();
                    let Ok(file) = File::open(&path) else { continue };
                    if file.take(most - at).read_to_end(&mut buffer).is_err() {
                        continue;
                    }
                    for byte in &mut buffer {
                        *byte = byte.wrapping_add(round);
                    }
                    image.seek(SeekFrom::Start(at))?;
                    image.write_all(&buffer)?;
                    at += (buffer.len() as u64).next_multiple_of(BLOCK);
                }
            }
        }
        ensure!(at > before, "/usr has no files to make an image of");
        round = round.wrapping_add(1);
    }
    Ok(image.sync_all()?)
}

/// Overwrites so many of the file's pages of 16 KiB, chosen at random: half of each is noise, half
/// text. Returns how many.
pub(super) fn change(path: &Path, pages: u64, seed: u64) -> anyhow::Result<u64> {
    let file = File::options().write(true).open(path)?;
    let all = file.metadata()?.len() / PAGE;
    ensure!(pages <= all, "{} has {all} pages of 16 KiB", path.display());
    let mut random = Random(seed);
    let mut chosen = std::collections::BTreeSet::new();
    while (chosen.len() as u64) < pages {
        chosen.insert(random.next() % all);
    }
    let mut page = vec![0; PAGE as usize];
    for number in &chosen {
        let (noise, text) = page.split_at_mut(PAGE as usize / 2);
        random.fill(noise);
        let line = format!("visit {number} seed {seed} temp 37.2 plan review; ");
        for (byte, letter) in text.iter_mut().zip(line.bytes().cycle()) {
            *byte = letter;
        }
        file.write_all_at(&page, number * PAGE)?;
    }
    file.sync_all()?;
    Ok(chosen.len() as u64)
}

/// Writes a file anew with some bytes put in at a third: all that follows them moves.
pub(super) fn shift(path: &Path) -> anyhow::Result<()> {
    let moved = path.with_extension("moved");
    let mut from = File::open(path)?;
    let third = from.metadata()?.len() / 3;
    let mut to = File::create(&moved)?;
    std::io::copy(&mut (&mut from).take(third), &mut to)?;
    to.write_all(&b"inserted line "[..].repeat(10)[..137])?;
    std::io::copy(&mut from, &mut to)?;
    to.sync_all()?;
    Ok(fs::rename(&moved, path)?)
}

/// Bytes that a folder's files hold, all in all.
pub(super) fn stored(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => stored(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// Waits until what others have left unwritten is on disk, and reads a file whole, twice: then it
/// is in the page cache, as far as it fits, among the pages that the kernel counts as used.
pub(super) fn settle(path: &Path) -> anyhow::Result<()> {
    nix::unistd::sync();
    for _ in 0..2 {
        std::io::copy(&mut File::open(path)?, &mut std::io::sink())?;
    }
    Ok(())
}

/// Bytes of a file that are not holes, as far as the file system tells.
pub(super) fn allocated(path: &Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = path.metadata()?;
    Ok((meta.blocks() * 512).min(meta.len()))
}

/// Seconds to write so many bytes to a new file past the page cache, two writes at a time, and to
/// sync them: no restore is faster.
pub(super) fn written(path: &Path, bytes: u64) -> anyhow::Result<f64> {
    use std::os::unix::fs::OpenOptionsExt as _;
    const PART: usize = 1 << 20;
    let direct = nix::fcntl::OFlag::O_DIRECT.bits();
    let mut options = File::options();
    options.write(true).create_new(true);
    // a file system that cannot write directly is measured as it can
    let file = options.clone().custom_flags(direct).open(path).or_else(|_| options.open(path))?;
    let mut noise = vec![0; 2 * PART];
    Random(3).fill(&mut noise);
    let lead = noise.as_ptr().align_offset(4096).min(PART);
    let part = &noise[lead..lead + PART];
    let begin = std::time::Instant::now();
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let write = |first: u64| -> std::io::Result<()> {
            let mut at = first;
            while at < bytes {
                file.write_all_at(part, at)?;
                at += 2 * PART as u64;
            }
            Ok(())
        };
        let other = scope.spawn(move || write(PART as u64));
        write(0)?;
        other.join().map_err(|_| anyhow::anyhow!("writing panicked"))??;
        Ok(())
    })?;
    file.sync_all()?;
    let seconds = begin.elapsed().as_secs_f64();
    fs::remove_file(path)?;
    Ok(seconds)
}

/// Whether two files have the same bytes.
pub(super) fn same(a: &Path, b: &Path) -> anyhow::Result<bool> {
    let (a, b) = (File::open(a)?, File::open(b)?);
    let (mut one, mut other) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let size = a.metadata()?.len();
    if size != b.metadata()?.len() {
        return Ok(false);
    }
    let mut at = 0;
    while at < size {
        let len = (size - at).min(1 << 20) as usize;
        a.read_exact_at(&mut one[..len], at)?;
        b.read_exact_at(&mut other[..len], at)?;
        if one[..len] != other[..len] {
            return Ok(false);
        }
        at += len as u64;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_full_as_far_as_it_says_and_changes_where_it_should() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        image(&path, 8 << 20).unwrap();
        let before = fs::read(&path).unwrap();
        assert_eq!(before.len(), 8 << 20);
        assert!(before[7 << 20..].iter().all(|byte| *byte == 0), "the end is a hole");
        assert_eq!(change(&path, 5, 7).unwrap(), 5);
        let after = fs::read(&path).unwrap();
        let pages = before.chunks(PAGE as usize).zip(after.chunks(PAGE as usize));
        assert_eq!(pages.filter(|(a, b)| a != b).count(), 5);
        assert!(change(&path, 513, 7).is_err(), "more pages than there are");
        shift(&path).unwrap();
        let moved = fs::read(&path).unwrap();
        let third = after.len() / 3;
        assert_eq!(moved.len(), after.len() + 137);
        assert!(moved[..third] == after[..third] && moved[third + 137..] == after[third..]);
        assert!(same(&path, &path).unwrap());
    }
}
