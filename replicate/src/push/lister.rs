//! The catalog on its way into the repository: lines, cut into chunks, stored like any file.

use std::collections::HashMap;
use std::sync::Arc;

use super::sink::{Sink, Start};
use super::state::{Known, Left, Old};
use super::work::{Batch, What, Worker};
use crate::catalog;
use crate::error::Error;
use crate::hash::Hash;
use crate::part::{CATALOG, Kind, Place};

/// Chunks by content: bytes at least, on average, at most.
const CHUNK: (usize, usize, usize) = (16 << 10, 64 << 10, 256 << 10);
/// Lines are cut when so many bytes have gathered.
const GATHER: usize = 1 << 20;
/// Batches of the catalog are numbered from here: nonces never meet those of the workers.
const SEQ: u64 = 1 << 63;

/// Where chunks end. Without `last` the final one is left out: more bytes may belong to it.
pub(crate) fn cuts(bytes: &[u8], last: bool) -> Vec<usize> {
    let (min, avg, max) = CHUNK;
    let chunks = fastcdc::v2020::FastCDC::new(bytes, min, avg, max);
    let ends = chunks.map(|chunk| chunk.offset + chunk.length);
    ends.filter(|end| last || *end < bytes.len()).collect()
}

/// Places of stored chunks by id.
pub(crate) fn by_id<'a>(known: impl Iterator<Item = &'a Known>) -> HashMap<Hash, Place<u32>> {
    known.filter_map(|entry| entry.place).map(|place| (place.id, place)).collect()
}

/// Gathers lines.
pub(crate) struct Lister {
    worker: Worker,
    text: Vec<u8>,
    known: HashMap<Hash, Place<u32>>,
    before: Vec<Known>,
    count: u64,
    seq: u64,
    done: Vec<(u64, What)>,
}

impl Lister {
    /// `at`, `count`: the old catalog's records in the state.
    pub(crate) fn new(
        worker: Worker,
        old: &Old,
        at: u64,
        count: u64,
        left: &Left,
        base: u32,
    ) -> Result<Self, Error> {
        let before = old.records(at, count as usize)?;
        let noted = left.of(&CATALOG, base).until(left, u64::MAX)?;
        let known = by_id(noted.iter().chain(&before));
        Ok(Self { worker, text: Vec::new(), known, before, count: 0, seq: SEQ, done: Vec::new() })
    }

    /// Adds a file.
    pub(crate) fn line(&mut self, sink: &mut Sink<'_>, file: &catalog::File) -> Result<(), Error> {
        serde_json::to_writer(&mut self.text, file).map_err(|e| Error::Request(e.to_string()))?;
        self.text.push(b'\n');
        if self.text.len() < GATHER { Ok(()) } else { self.flush(sink, false) }
    }

    fn flush(&mut self, sink: &mut Sink<'_>, last: bool) -> Result<(), Error> {
        let cuts = cuts(&self.text, last);
        let Some(end) = cuts.last().copied() else { return Ok(()) };
        let batch = self.worker.chunks(self.seq, self.count, &self.text[..end], &cuts, &self.known);
        self.seq += 1;
        self.count += cuts.len() as u64;
        self.text.drain(..end);
        self.done.extend(sink.keep(&batch)?);
        Ok(())
    }

    /// Ends the catalog; returns where its records are in the next state.
    pub(crate) fn finish(mut self, sink: &mut Sink<'_>) -> Result<(u64, u64), Error> {
        self.flush(sink, true)?;
        let at = sink.next.records;
        sink.start(Start {
            id: CATALOG,
            kind: Kind::Chunks,
            total: u64::MAX,
            before: (!self.before.is_empty()).then_some(0),
            chunks: Arc::new(self.before),
        });
        let count = self.done.len() as u64;
        sink.batch(&Batch { pieces: self.done, ..Batch::default() })?;
        sink.end()?;
        Ok((at, count))
    }
}
