//! The workers: a batch is read, hashed, compared, compressed and encrypted while it is in cache.

use std::collections::HashMap;
use std::fs;
use std::iter::Peekable;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::slice::Iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::Receiver;

use super::state::Known;
use crate::catalog::id_of;
use crate::crypt::{Context, DataKey, Packed};
use crate::error::{At, Error};
use crate::hash::Hash;
use crate::keys::Secret;
use crate::part::Place;
use crate::repository::PAGE;

/// Pages in a batch: 1 MiB.
pub(crate) const BATCH: u64 = 64;

/// Bytes read and hashed at once: they stay in a core's own cache between the two.
const PART: usize = 16 * PAGE;

/// What a worker is to do.
pub(crate) enum Job {
    Pages {
        file: Arc<fs::File>,
        path: Arc<PathBuf>,
        /// First page, and the bytes from there that belong to the file.
        first: u64,
        bytes: usize,
        /// Records of the generation before, in this range.
        old: Vec<Known>,
        /// Acknowledged entries, in this range.
        left: Vec<Known>,
    },
    Chunks {
        bytes: Vec<u8>,
        first: u64,
        cuts: Vec<usize>,
        known: Arc<HashMap<Hash, Place<u32>>>,
    },
}

/// What became of a page or chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    /// As in the generation before.
    Keep(Place<u32>),
    /// Stored already, elsewhere or by a push that did not end.
    Known(Place<u32>),
    /// Zeroes now; `had`: and other before.
    Zero { had: bool },
    /// To be stored.
    New { id: Hash, stored: u32, raw: u32, flags: u8, nonce: [u8; 12] },
}

/// A finished batch.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) pieces: Vec<(u64, What)>,
    /// Slots of the new ones, back to back.
    pub(crate) stored: Vec<u8>,
    /// Bytes read and hashed.
    pub(crate) read: u64,
    /// The file ended early: its last pages were not there to be read.
    pub(crate) short: bool,
}

/// Time spent, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Times {
    pub(crate) read: AtomicU64,
    pub(crate) hash: AtomicU64,
    pub(crate) compress: AtomicU64,
    pub(crate) encrypt: AtomicU64,
}

impl Times {
    /// Slots sealed since `since`, of which so long was spent compressing.
    fn sealed(&self, since: Instant, packing: Duration) {
        let encrypting = since.elapsed().saturating_sub(packing);
        self.compress.fetch_add(packing.as_nanos() as u64, Ordering::Relaxed);
        self.encrypt.fetch_add(encrypting.as_nanos() as u64, Ordering::Relaxed);
    }
}

pub(crate) fn spend(total: &AtomicU64, since: Instant) {
    total.fetch_add(since.elapsed().as_nanos() as u64, Ordering::Relaxed);
}

/// What every worker has.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    pub(crate) repository: [u8; 16],
    pub(crate) id_key: Secret,
    pub(crate) data_key: DataKey,
    pub(crate) times: Arc<Times>,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
    /// Memory of batches that the sink is done with.
    spares: Option<Receiver<Vec<u8>>>,
}

impl Worker {
    pub(crate) fn new(
        repository: [u8; 16],
        id_key: &Secret,
        data_key: &DataKey,
        times: &Arc<Times>,
    ) -> Self {
        Self {
            repository,
            id_key: id_key.clone(),
            data_key: data_key.clone(),
            times: Arc::clone(times),
            buffer: Vec::new(),
            scratch: Vec::new(),
            spares: None,
        }
    }

    /// A worker that takes memory from `spares` where there is some.
    pub(crate) fn over(&self, spares: &Receiver<Vec<u8>>) -> Self {
        Self { spares: Some(spares.clone()), ..self.clone() }
    }

    fn packed(&mut self) -> Packed {
        let out = self.spares.as_ref().and_then(|spares| spares.try_recv().ok());
        Packed { out: out.unwrap_or_default(), scratch: std::mem::take(&mut self.scratch) }
    }

    fn unpack(&mut self, packed: Packed, batch: &mut Batch) {
        (batch.stored, self.scratch) = (packed.out, packed.scratch);
    }

    /// `seq` never repeats under a data key: nonces are made of it.
    pub(crate) fn run(&mut self, seq: u64, job: Job) -> Result<Batch, Error> {
        match job {
            Job::Pages { file, path, first, bytes, old, left } => {
                let mut buffer = std::mem::take(&mut self.buffer);
                buffer.resize(PART, 0);
                let (mut batch, mut packed) = (Batch::default(), None);
                let mut known = (old.iter().peekable(), left.iter().peekable());
                for at in (0..bytes).step_by(PART) {
                    let begin = Instant::now();
                    let part = &mut buffer[..PART.min(bytes - at)];
                    let first = first + (at / PAGE) as u64;
                    let got = read_full(&file, part, first * PAGE as u64).at("read", &*path)?;
                    spend(&self.times.read, begin);
                    part[got..].fill(0);
                    batch.read += got as u64;
                    batch.short |= got < part.len();
                    self.pages(seq, first, part, &mut known, &mut batch, &mut packed);
                }
                if let Some(packed) = packed {
                    self.unpack(packed, &mut batch);
                }
                self.buffer = buffer;
                Ok(batch)
            }
            Job::Chunks { bytes, first, cuts, known } => {
                Ok(self.chunks(seq, first, &bytes, &cuts, &known))
            }
        }
    }

    /// The next pages of a batch.
    fn pages(
        &mut self,
        seq: u64,
        first: u64,
        bytes: &[u8],
        (old, left): &mut (Peekable<Iter<'_, Known>>, Peekable<Iter<'_, Known>>),
        batch: &mut Batch,
        packed: &mut Option<Packed>,
    ) {
        let begin = Instant::now();
        let base = batch.pieces.len();
        let mut todo = Vec::new();
        for (nth, page) in bytes.chunks(PAGE).enumerate() {
            let index = first + nth as u64;
            let before = old.next_if(|old| old.index == index).and_then(|old| old.place);
            while left.next_if(|left| left.index < index).is_some() {}
            let noted = left.next_if(|left| left.index == index).and_then(|left| left.place);
            let what = if is_zero(page) {
                What::Zero { had: before.is_some() }
            } else {
                let id = id_of(&self.id_key, page);
                match (before, noted) {
                    (Some(before), _) if before.id == id => What::Keep(before),
                    (_, Some(noted)) if noted.id == id => What::Known(noted),
                    _ => {
                        todo.push(batch.pieces.len());
                        let raw = page.len() as u32;
                        What::New { id, stored: 0, raw, flags: 0, nonce: [0; 12] }
                    }
                }
            };
            batch.pieces.push((index, what));
        }
        spend(&self.times.hash, begin);
        let begin = Instant::now();
        let mut packing = Duration::ZERO;
        for piece in todo {
            let at = (piece - base) * PAGE;
            let page = &bytes[at..bytes.len().min(at + PAGE)];
            let packed = packed.get_or_insert_with(|| self.packed());
            packing += self.seal(seq, piece, page, batch, packed);
        }
        self.times.sealed(begin, packing);
    }

    pub(crate) fn chunks(
        &mut self,
        seq: u64,
        first: u64,
        bytes: &[u8],
        cuts: &[usize],
        known: &HashMap<Hash, Place<u32>>,
    ) -> Batch {
        let mut batch = Batch { read: bytes.len() as u64, ..Batch::default() };
        let mut packed = self.packed();
        let mut from = 0;
        for (nth, to) in cuts.iter().enumerate() {
            let chunk = &bytes[from..*to];
            from = *to;
            let begin = Instant::now();
            let id = id_of(&self.id_key, chunk);
            spend(&self.times.hash, begin);
            let index = first + nth as u64;
            if let Some(place) = known.get(&id) {
                batch.pieces.push((index, What::Known(*place)));
                continue;
            }
            let raw = chunk.len() as u32;
            batch.pieces.push((index, What::New { id, stored: 0, raw, flags: 0, nonce: [0; 12] }));
            let begin = Instant::now();
            let packing = self.seal(seq, nth, chunk, &mut batch, &mut packed);
            self.times.sealed(begin, packing);
        }
        self.unpack(packed, &mut batch);
        batch
    }

    /// Returns the time that compressing took.
    fn seal(
        &self,
        seq: u64,
        nth: usize,
        raw: &[u8],
        batch: &mut Batch,
        packed: &mut Packed,
    ) -> Duration {
        let (_, What::New { id, stored, flags, nonce, .. }) = &mut batch.pieces[nth] else {
            return Duration::ZERO;
        };
        nonce[..8].copy_from_slice(&seq.to_le_bytes());
        nonce[8..].copy_from_slice(&(nth as u32).to_le_bytes());
        let context = Context { repository: self.repository, id: *id };
        let sealed = self.data_key.seal(&context, *nonce, raw, packed);
        (*stored, *flags) = (sealed.stored, sealed.flags);
        sealed.packing
    }
}

/// Reads until the buffer is full or the file ends.
pub(crate) fn read_full(file: &fs::File, buffer: &mut [u8], at: u64) -> std::io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read_at(&mut buffer[got..], at + got as u64) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(got)
}

/// Whether all bytes are zero; most pages that are not tell at once.
pub(crate) fn is_zero(page: &[u8]) -> bool {
    let (words, rest) = page.as_chunks::<64>();
    words.iter().all(|word| *word == [0; 64]) && rest.iter().all(|byte| *byte == 0)
}
