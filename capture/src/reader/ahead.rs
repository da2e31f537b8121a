//! Blocks of a plain file, read by the threads that look at them.
//!
//! What costs most in reading a file that the system has in memory is the kernel's copy. A thread
//! makes it with no lock held ([`Ahead::read`]); then, in the order of the file, the reader walks
//! over the records ([`Reader::take_block`]), which is a small part of the work.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::Reader;
use crate::batch::Block;
use crate::error::Error;
use crate::format::Interface;

/// Room in front of a block's bytes for a frame that began in the block before.
const ROOM: usize = 4096;

/// Where blocks are read from; one for all threads.
#[derive(Debug, Clone)]
pub struct Ahead {
    file: Arc<File>,
    first: u64,
    bytes: usize,
}

impl Ahead {
    /// Reads block `index`, counted from 0, in any order and with no lock held. What goes wrong
    /// is told by [`Reader::take_block`], in the order of the file.
    pub fn read(&self, index: u64, block: &mut Block) {
        block.buf.resize((ROOM + self.bytes).max(block.buf.len()), 0);
        (block.filled, block.asked, block.failed) = (0, self.bytes, None);
        let offset = self.first + index * self.bytes as u64;
        while block.filled < self.bytes {
            let places = &mut block.buf[ROOM + block.filled..ROOM + self.bytes];
            match read_at(&self.file, places, offset + block.filled as u64) {
                Ok(0) => break,
                Ok(read) => block.filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    block.failed = Some(error);
                    break;
                }
            }
        }
    }
}

#[cfg(unix)]
fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buf, offset)
}

#[cfg(not(unix))]
fn read_at(_: &File, _: &mut [u8], _: u64) -> io::Result<usize> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

impl Reader {
    /// From here on, blocks of `bytes` can be read by several threads: each takes the next index,
    /// reads its block with [`Ahead::read`] and hands it to [`take_block`](Self::take_block) when
    /// all blocks before it were. `None` where the input is no plain file; then there is
    /// [`next_block`](Self::next_block).
    pub fn ahead(&mut self, bytes: usize) -> Option<Ahead> {
        if self.done || self.eof || !cfg!(unix) {
            return None;
        }
        let (file, first) = self.source.plain_file()?;
        Some(Ahead { file: Arc::new(file), first, bytes: bytes.max(1) })
    }

    /// Walks over the records of a block that [`Ahead::read`] filled; afterwards the block holds
    /// the frames that end in it. False at the end of the file. In the order of the file only.
    ///
    /// Frames before a damage come first, the error with the block after.
    pub fn take_block(&mut self, block: &mut Block) -> Result<bool, Error> {
        block.held = 0..0;
        block.records.clear();
        block.number_first = self.parser.frames() + 1;
        if self.done {
            return self.ended().map(|()| false);
        }
        self.source.advance(block.filled as u64);
        let last = block.failed.is_none() && block.filled < block.asked;
        self.join(block);
        let held = self.walk_held(last);
        if let Some(error) = block.failed.take() {
            self.pending.get_or_insert(self.source.read_failed(error));
            self.done = true;
        }
        std::mem::swap(&mut self.batch, &mut block.records);
        if !block.records.is_empty() {
            block.held = held;
            // the frames' bytes go with them, what is left stays
            let rest = self.start..self.end;
            block.buf.resize(rest.len().max(block.buf.len()), 0);
            block.buf[..rest.len()].copy_from_slice(&self.buf[rest.clone()]);
            (self.start, self.end) = (0, rest.len());
            std::mem::swap(&mut self.buf, &mut block.buf);
        }
        let new = self.parser.interfaces().get(block.origins.len()..).unwrap_or_default();
        block.origins.extend(new.iter().map(Interface::origin));
        Ok(true)
    }

    /// Goes on with [`next`](Self::next) and its like behind the last block taken. None may have
    /// been read and not taken.
    pub fn rejoin(&mut self) -> Result<(), Error> {
        self.source.seek_to_read()
    }

    /// Puts what the block read behind what was left: in the block's memory, where there is room
    /// for it, or in the reader's, where a frame is larger than a block.
    fn join(&mut self, block: &mut Block) {
        let read = ROOM..ROOM + block.filled;
        let rest = self.end - self.start;
        if rest > ROOM {
            self.buf.truncate(self.end);
            self.buf.extend_from_slice(&block.buf[read]);
            self.end = self.buf.len();
            return;
        }
        block.buf[ROOM - rest..ROOM].copy_from_slice(&self.buf[self.start..self.end]);
        (self.start, self.end) = (ROOM - rest, read.end);
        std::mem::swap(&mut self.buf, &mut block.buf);
    }

    /// Fills `batch` with the frames that end in the buffer: the place in `buf` that they count in.
    fn walk_held(&mut self, last: bool) -> Range<usize> {
        let skipped = self.skip.min(self.end - self.start);
        self.skip -= skipped;
        self.start += skipped;
        let at = self.start;
        self.batch.clear();
        if self.skip == 0 {
            match self.parser.parse_batch(&self.buf[at..self.end], &mut self.batch, usize::MAX) {
                Ok(end) => {
                    let held = self.end - at;
                    self.skip = end.consumed.saturating_sub(held);
                    self.start += end.consumed.min(held);
                }
                Err(damage) => self.pending = Some(self.failed(damage)),
            }
        }
        if last && !self.done {
            self.eof = true;
            self.pending = match self.skip {
                0 => self.at_end().err(),
                missing => {
                    self.done = true;
                    let cut = self.parser.finish(&[], missing as u64);
                    cut.err().map(|damage| self.failed(damage))
                }
            };
        }
        at..self.end
    }
}
