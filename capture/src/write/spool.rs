//! Blocks gathered for a file, and what became of the frames in them when the file takes no more.

use std::fs::File;
use std::io::{self, Write};

use crate::format::BLOCK_ENHANCED_PACKET;

/// Gathered before it is written, bytes.
const GATHER: usize = 256 * 1024;
/// Room for what is gathered and one more of the largest frames.
const ROOM: usize = GATHER + crate::format::CAPLEN_MAX as usize + 4096;

/// Where a spool's bytes go.
pub(super) trait Store {
    /// As [`io::Write::write`].
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Takes back everything after the first `len` bytes.
    fn cut(&mut self, len: u64) -> io::Result<()>;
}

impl Store for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(self, bytes)
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        use std::io::{Seek, SeekFrom};
        self.set_len(len)?;
        self.seek(SeekFrom::Start(len)).map(|_| ())
    }
}

/// How a file is compressed. Each part written is a whole gzip member or zstd frame, so that a
/// file can be read up to the last one however its writer ends (RFC 1952 2.2, RFC 8878 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Packing {
    /// Not at all.
    #[default]
    None,
    /// gzip, fastest level.
    Gzip,
    /// zstd, fastest level.
    Zstd,
}

impl Packing {
    /// What the ending of a file's name says: `.gz`, `.zst`, or nothing.
    pub fn of_name(path: &std::path::Path) -> Self {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("gz") => Self::Gzip,
            Some("zst" | "zstd") => Self::Zstd,
            _ => Self::None,
        }
    }

    /// `None`: as it is.
    fn pack(self, bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::None => Ok(None),
            Self::Gzip => {
                let out = Vec::with_capacity(bytes.len() / 2);
                let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
                encoder.write_all(bytes)?;
                encoder.finish().map(Some)
            }
            Self::Zstd => {
                use ruzstd::encoding::{CompressionLevel, compress_to_vec};
                Ok(Some(compress_to_vec(bytes, CompressionLevel::Fastest)))
            }
        }
    }
}

/// Gathers whole blocks of little-endian pcapng and writes them together.
///
/// When the store takes no more, it is cut back to the last whole block, so that every block in it
/// can be read, and the frames that did not get there are counted.
#[derive(Debug)]
pub(super) struct Spool<S> {
    store: S,
    gathered: Vec<u8>,
    packing: Packing,
    /// Whole blocks in the store, bytes as stored.
    stored: u64,
    counts: Stored,
}

/// Frames given to a spool: those in the store, and those that it did not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stored {
    pub(super) written: u64,
    pub(super) lost: u64,
}

impl<S: Store> Spool<S> {
    pub(super) fn new(store: S, packing: Packing) -> Self {
        let gathered = Vec::with_capacity(ROOM);
        Self { store, gathered, packing, stored: 0, counts: Stored::default() }
    }

    /// The place to append one whole block to; then call [`Self::settle`].
    #[inline]
    pub(super) fn blocks(&mut self) -> &mut Vec<u8> {
        &mut self.gathered
    }

    /// Writes when enough is gathered.
    #[inline]
    pub(super) fn settle(&mut self) -> io::Result<()> {
        if self.gathered.len() >= GATHER { self.flush() } else { Ok(()) }
    }

    /// Bytes in the store, and those at most that what is gathered will take.
    pub(super) fn len(&self) -> u64 {
        let gathered = self.gathered.len() as u64;
        let grows = match self.packing {
            Packing::None => 0,
            // noise grows: headers, and a few bytes for each part of 64 KiB
            Packing::Gzip | Packing::Zstd => gathered / 1024 + 64,
        };
        if gathered == 0 { self.stored } else { self.stored + gathered + grows }
    }

    /// What became of the frames so far, those still gathered counted as neither.
    pub(super) fn counts(&self) -> Stored {
        self.counts
    }

    /// Writes what is gathered. After an error nothing is gathered any more, and the store ends
    /// with a whole block.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let gathered = std::mem::take(&mut self.gathered);
        let result = match self.packing.pack(&gathered) {
            Ok(None) => {
                let (taken, result) = self.write(&gathered);
                let (whole, written, lost) = split(&gathered, taken);
                self.count(whole, written, lost);
                result
            }
            Ok(Some(packed)) => {
                let (_, result) = self.write(&packed);
                // a part of what is packed is of no use
                let (_, frames, _) = split(&gathered, gathered.len());
                match result {
                    Ok(()) => self.count(packed.len(), frames, 0),
                    Err(_) => self.count(0, 0, frames),
                }
                result
            }
            Err(error) => {
                let (_, frames, _) = split(&gathered, gathered.len());
                self.count(0, 0, frames);
                Err(error)
            }
        };
        self.gathered = gathered;
        self.gathered.clear();
        if result.is_err() {
            // a store that does not even shrink still ends in a block that readers report as cut
            let _ = self.store.cut(self.stored);
        }
        result
    }

    fn count(&mut self, stored: usize, written: u64, lost: u64) {
        self.stored += stored as u64;
        self.counts.written += written;
        self.counts.lost += lost;
    }

    /// How many bytes the store took, and why not all.
    fn write(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let mut taken = 0;
        while taken < bytes.len() {
            match self.store.write(&bytes[taken..]) {
                Ok(0) => return (taken, Err(io::ErrorKind::WriteZero.into())),
                Ok(bytes) => taken += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (taken, Err(error)),
            }
        }
        (taken, Ok(()))
    }
}

/// Of `blocks`, whose first `taken` bytes were stored: bytes of whole blocks stored, frames in
/// these, and frames in the others.
fn split(blocks: &[u8], taken: usize) -> (usize, u64, u64) {
    let word = |at: usize| {
        let bytes = blocks.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*bytes))
    };
    let (mut at, mut whole, mut frames) = (0, 0, [0, 0]);
    while let (Some(kind), Some(length)) = (word(at), word(at + 4)) {
        at += (length as usize).max(12);
        let stored = at <= taken;
        if stored {
            whole = at;
        }
        frames[usize::from(!stored)] += u64::from(kind == BLOCK_ENHANCED_PACKET);
    }
    (whole, frames[0], frames[1])
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::write::pcapng::append_frame;

    /// Takes so many bytes and no more, as a full disk does.
    struct Full {
        bytes: Vec<u8>,
        room: usize,
    }

    impl Store for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let take = bytes.len().min(self.room - self.bytes.len()).min(1000);
            if take == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.bytes.extend_from_slice(&bytes[..take]);
            Ok(take)
        }

        fn cut(&mut self, len: u64) -> io::Result<()> {
            self.bytes.truncate(len as usize);
            Ok(())
        }
    }

    #[test]
    fn a_full_store_ends_with_a_whole_block_and_every_frame_is_counted() {
        let block = {
            let mut one = Vec::new();
            append_frame(&mut one, 0, 1, 60, &[7; 60], None);
            one.len()
        };
        for room in (0..block * 12).step_by(7) {
            let mut spool = Spool::new(Full { bytes: Vec::new(), room }, Packing::None);
            let mut failed = 0;
            for frame in 0..20u64 {
                append_frame(spool.blocks(), 0, frame, 60, &[frame as u8; 60], None);
                if frame % 3 == 2 {
                    failed += u32::from(spool.flush().is_err());
                }
            }
            failed += u32::from(spool.flush().is_err());
            let Stored { written, lost } = spool.counts();
            assert_eq!((written + lost, failed > 0), (20, true), "room {room}");
            assert_eq!(spool.store.bytes.len(), written as usize * block, "room {room}");
            assert_eq!(spool.len(), spool.store.bytes.len() as u64);
            // later frames may fit where an earlier burst did not: nothing is stored in part
            assert!(written as usize <= room / block, "room {room}");
        }
    }

    #[test]
    fn packed_parts_are_in_the_store_whole_or_not_at_all() {
        for packing in [Packing::Gzip, Packing::Zstd] {
            for room in (0..900).step_by(13) {
                let mut spool = Spool::new(Full { bytes: Vec::new(), room }, packing);
                for frame in 0..20u64 {
                    append_frame(spool.blocks(), 0, frame, 60, &[frame as u8; 60], None);
                    if frame % 4 == 3 {
                        let _ = spool.flush();
                    }
                }
                let Stored { written, lost } = spool.counts();
                assert_eq!((written + lost, written % 4), (20, 0), "room {room}");
                assert_eq!(spool.len(), spool.store.bytes.len() as u64);
                let mut plain = Vec::new();
                let stored = &spool.store.bytes[..];
                match packing {
                    _ if stored.is_empty() => {}
                    Packing::Gzip => {
                        flate2::read::MultiGzDecoder::new(stored).read_to_end(&mut plain).unwrap();
                    }
                    _ => {
                        let mut stored = stored;
                        while !stored.is_empty() {
                            ruzstd::decoding::StreamingDecoder::new(&mut stored)
                                .unwrap()
                                .read_to_end(&mut plain)
                                .unwrap();
                        }
                    }
                }
                assert_eq!(split(&plain, plain.len()).1, written, "room {room}");
            }
        }
    }
}
