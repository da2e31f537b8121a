//! Any bytes as a capture file: read in five ways, with one result.
//!
//! * Frame by frame ([`Reader::next`]) and a batch at a time ([`Reader::next_batch`]).
//! * From a pipe that gives a few bytes at a time and is interrupted now and then.
//! * Decompressed first, and then as a plain file.
//! * The sans-IO [`Parser`], which is shown the bytes in pieces.
//! * The file NIC of the path, which reads into blocks of a pool.
//!
//! All must see the same frames with the same metadata and end with the same error at the same
//! place; nothing may panic, hang or give bytes that the file does not have. Of a damaged gzip or
//! zstd file only the first frames must be the same: how many come out before the damage depends
//! on how much the decompressor is asked for at once.

use super::input::Pieces;
use capture::format::{CAPLEN_MAX, Parser, Step, caplen_max};
use capture::{FrameRef, Reader, Source};
use pipeline::nic::{BLOCK_MIN, FileNic, Ingress};
use skb::{FrameMeta, Ledger, Nic, Pool, PoolConfig, PortId, Ring, RxStatus};
use std::io::{self, Read};

/// Decompressed bytes beyond which an input says nothing new and only takes time.
const PLAIN_MAX: usize = 1 << 20;
/// What messages call the input.
const NAME: &str = "input";

/// A frame as a reader gave it.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    meta: FrameMeta,
    data: Vec<u8>,
}

/// Everything a reader gave, and the error it ended with.
#[derive(Debug, PartialEq)]
struct Outcome {
    frames: Vec<Seen>,
    error: Option<String>,
}

/// See the module text.
pub fn run(data: &[u8]) {
    let Some(plain) = decompressed(data) else { return };
    let one = frame_by_frame(Source::from_bytes(NAME, data.to_vec()));
    let limit = plain.len();
    let bytes: usize = one.frames.iter().map(|frame| frame.data.len()).sum();
    assert!(bytes <= limit, "{bytes} bytes of frames in a file of {limit}");
    let batched = batch_by_batch(Source::from_bytes(NAME, data.to_vec()));
    assert_same(&one, &batched, "frames and batches");
    let dripping = Drip { bytes: data.to_vec(), at: 0, pieces: Pieces::of(data) };
    let dripped = batch_by_batch(Source::from_read(NAME, Box::new(dripping)));
    let is_compressed = match Source::from_bytes(NAME, data.to_vec()) {
        Ok(source) => source.compression().is_some(),
        Err(_) => return,
    };
    if is_compressed && read_failed(data) {
        // how far the compressed file was read, and what came out before the damage, depend on
        // how much is asked for at once
        assert!(one.error.is_some() && dripped.error.is_some());
        return assert_begins_same(&one, &dripped, "a damaged file and a pipe");
    }
    assert_same(&one, &dripped, "a file and a pipe");
    if is_compressed && !looks_compressed(&plain) {
        let again = frame_by_frame(Source::from_bytes(NAME, plain.clone()));
        assert_same(&one, &again, "compressed and plain");
    }
    let pieces = in_pieces(&plain, Pieces::of(data));
    assert_same(&one, &pieces, "reader and parser in pieces");
    // the pool is large, so only some inputs get one
    if Pieces::of(data).below(4) == 0 {
        through_nic(data, &one);
    }
}

fn assert_begins_same(a: &Outcome, b: &Outcome, what: &str) {
    for (x, y) in a.frames.iter().zip(&b.frames) {
        assert_eq!(x, y, "{what}");
    }
}

fn assert_same(a: &Outcome, b: &Outcome, what: &str) {
    assert_begins_same(a, b, what);
    assert_eq!((a.frames.len(), &a.error), (b.frames.len(), &b.error), "{what}");
}

/// The bytes that are inside, as far as they can be had; `None` if there are too many.
fn decompressed(data: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let Ok(mut source) = Source::from_bytes(NAME, data.to_vec()) else { return Some(plain) };
    let mut buf = vec![0; 64 * 1024];
    loop {
        match source.read(&mut buf) {
            Ok(0) | Err(_) => break,
            Ok(read) => plain.extend_from_slice(&buf[..read]),
        }
        if plain.len() > PLAIN_MAX {
            return None;
        }
    }
    let progress = source.progress();
    assert!(progress.read <= data.len() as u64 && progress.total == Some(data.len() as u64));
    Some(plain)
}

/// Whether decompressing ends with an error.
fn read_failed(data: &[u8]) -> bool {
    let Ok(mut source) = Source::from_bytes(NAME, data.to_vec()) else { return true };
    let mut buf = vec![0; 64 * 1024];
    loop {
        match source.read(&mut buf) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(_) => return true,
        }
    }
}

/// Whether a source would decompress these bytes, or refuse to.
fn looks_compressed(plain: &[u8]) -> bool {
    Source::from_bytes(NAME, plain.to_vec()).map_or(true, |source| source.compression().is_some())
}

fn frame_by_frame(source: Result<Source, capture::Error>) -> Outcome {
    let mut frames = Vec::new();
    let error = (|| {
        let mut reader = Reader::new(source?)?;
        while let Some(frame) = reader.next()? {
            frames.push(seen(&frame));
        }
        assert!(matches!(reader.next(), Ok(None)), "after the end there is nothing");
        assert_eq!(reader.statistics().frames, frames.len() as u64);
        Ok::<_, capture::Error>(())
    })();
    Outcome { frames, error: error.err().map(|error| error.to_string()) }
}

fn batch_by_batch(source: Result<Source, capture::Error>) -> Outcome {
    let mut frames = Vec::new();
    let error = (|| {
        let mut reader = Reader::new(source?)?;
        while let Some(batch) = reader.next_batch()? {
            assert!(!batch.records().is_empty(), "a batch without frames");
            for (index, record) in batch.records().iter().enumerate() {
                let frame = batch.frame(index).expect("a batch has its records");
                assert_eq!(frame.data, batch.data(record));
                assert_eq!(frame.meta.linktype, batch.linktype(record));
                frames.push(seen(&frame));
            }
        }
        assert!(matches!(reader.next_batch(), Ok(None)), "after the end there is nothing");
        Ok::<_, capture::Error>(())
    })();
    Outcome { frames, error: error.err().map(|error| error.to_string()) }
}

fn seen(frame: &FrameRef<'_>) -> Seen {
    assert_eq!(frame.data.len(), frame.meta.caplen as usize);
    assert!(frame.meta.caplen <= caplen_max(frame.meta.linktype));
    for option in frame.options() {
        assert!(option.value.len() <= u16::MAX.into());
    }
    let comments: usize = frame.comments().map(|comment| comment.len()).sum();
    assert!(comments <= 3 * PLAIN_MAX, "replacement characters are three bytes");
    Seen { meta: frame.meta, data: frame.data.to_vec() }
}

/// The parser alone: it is shown more only when it asks for more.
fn in_pieces(plain: &[u8], mut pieces: Pieces) -> Outcome {
    let mut parser = Parser::new();
    let mut frames = Vec::new();
    let (mut at, mut shown) = (0, 0);
    let result = loop {
        let slice = &plain[at..shown];
        match parser.parse(slice) {
            Ok(Step::Frame(frame)) => {
                assert!(frame.consumed > 0);
                frames.push(Seen { meta: frame.meta, data: slice[frame.data].to_vec() });
                at += frame.consumed;
            }
            Ok(Step::Other { consumed }) => {
                assert!(consumed > 0);
                at += consumed;
            }
            Ok(Step::Need(need)) => {
                assert!(need > slice.len(), "{need} bytes asked for, {} shown", slice.len());
                if shown == plain.len() {
                    break parser.finish(slice, 0);
                }
                shown = plain.len().min(shown + pieces.size());
            }
            Err(damage) => break Err(damage),
        }
        if at > plain.len() {
            break parser.finish(&[], (at - plain.len()) as u64);
        }
        shown = shown.max(at);
        assert_eq!(parser.offset(), at as u64);
    };
    let error = result
        .err()
        .map(|damage| capture::Error::Damage { object: NAME.to_owned(), damage }.to_string());
    Outcome { frames, error }
}

/// The file NIC against what the reader saw.
fn through_nic(data: &[u8], expected: &Outcome) {
    let bounded = |frame: &Seen| caplen_max(frame.meta.linktype) == CAPLEN_MAX;
    if !expected.frames.iter().all(bounded) {
        return; // a NIC's blocks hold no more than the common bound
    }
    let Ok(source) = Source::from_bytes(NAME, data.to_vec()) else { return };
    let sizes = PoolConfig { slots: 1, blocks: 2, block_size: BLOCK_MIN, ..PoolConfig::default() };
    let mut pool = Pool::new(sizes).expect("a small pool");
    let mut ring: Ring = Ring::new(8);
    let mut ledger = Ledger::default();
    let mut nic = FileNic::new(source, Ingress::default(), &pool).expect("blocks are large enough");
    let mut frames = expected.frames.iter();
    let mut idle = 0;
    loop {
        let status = nic.rx(&mut pool, &mut ring, 8, &mut ledger);
        idle = if status == RxStatus::Idle { idle + 1 } else { 0 };
        assert!(idle < 3, "a file whose frames are all taken always has more or ends");
        while let Some(desc) = ring.pop() {
            let frame = frames.next().expect("no more frames than the reader saw");
            assert_eq!(pool.received(&desc), &frame.data);
            assert_eq!((desc.id, desc.origlen), (frame.meta.number, frame.meta.origlen));
            assert_eq!((desc.linktype, desc.ingress), (frame.meta.linktype, PortId(0)));
            pool.free_desc(desc);
        }
        if status == RxStatus::Done {
            break;
        }
    }
    let error = nic.error().map(ToString::to_string);
    assert_eq!((frames.len(), &error), (0, &expected.error), "the NIC stops where the reader does");
    assert_eq!(ledger.frames_in, expected.frames.len() as u64);
    assert_eq!((pool.held(), pool.free_blocks()), (0, 2));
}

/// A pipe that gives little at a time.
struct Drip {
    bytes: Vec<u8>,
    at: usize,
    pieces: Pieces,
}

impl Read for Drip {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.pieces.below(8) == 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let rest = &self.bytes[self.at..];
        let len = self.pieces.size().min(rest.len()).min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        self.at += len;
        Ok(len)
    }
}
