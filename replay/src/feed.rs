//! Where the sender gets its frames: all of them in memory, or read by a thread ahead of it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use capture::{Reader, Source};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::chunk::Chunk;
use crate::prepare::{PrepareOptions, Prepared, Preparer};

/// Chunks under way between the reading thread and the sender: with a batch of the reader's
/// (256 KiB) in each, at most 8 MiB.
const CHUNKS_AHEAD: usize = 32;
/// Who waits for a slow pipe looks this often whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long a reading thread that is no longer needed is waited for: it may hang on a pipe.
const PATIENCE: Duration = Duration::from_millis(500);

/// How a capture is to be read.
#[derive(Debug, Clone)]
pub struct FeedOptions {
    /// How records become frames.
    pub prepare: PrepareOptions,
    /// How often the capture is sent; 0 means until stopped.
    pub rounds: u64,
    /// A capture is kept in memory if its frames take no more bytes than this.
    pub preload_max: usize,
}

/// What comes next.
#[derive(Debug)]
pub enum Next<'a> {
    /// Frames.
    Frames(&'a Chunk),
    /// The capture begins anew.
    Round,
    /// There is no more.
    End,
}

/// Why there are no frames to be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The capture cannot be read.
    #[error(transparent)]
    Capture(#[from] capture::Error),
    /// Standard input cannot be read twice.
    #[error(
        "standard input can be sent more than once only if its frames fit {max} bytes of memory; \
         save it to a file first, or raise --preload"
    )]
    TooLongToRepeat {
        /// The bound.
        max: usize,
    },
    /// Fresh addresses are made while the file is read again.
    #[error("standard input can be read only once: fresh addresses for each round need a file")]
    FreshFromPipe,
    /// No thread was to be had for reading.
    #[error("cannot start a thread that reads ahead")]
    Thread(#[source] std::io::Error),
}

/// The frames of a capture, ready to be sent, as often as asked for.
#[derive(Debug)]
pub struct Feed {
    kind: Kind,
    rounds: u64,
    round: u64,
    outcome: Outcome,
}

/// What reading came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What became of the records.
    pub prepared: Prepared,
    /// What ended the capture early: the frames before it are sent.
    pub damage: Option<capture::Error>,
    /// The capture's interfaces that had frames: number, name, frames.
    pub interfaces: Vec<(u32, Option<String>, u64)>,
}

#[derive(Debug)]
enum Kind {
    Loaded {
        chunks: Vec<Chunk>,
        at: usize,
    },
    Streamed {
        chunks: Receiver<Message>,
        empty: Sender<Chunk>,
        held: Option<Chunk>,
        live: Arc<Live>,
    },
}

/// What the reading thread tells while it reads.
#[derive(Debug, Default)]
struct Live {
    counts: Mutex<Prepared>,
}

impl Live {
    fn tell(&self, preparer: &Preparer) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone_from(preparer.counts());
    }
}

#[derive(Debug)]
enum Message {
    Chunk(Chunk),
    Round,
    End(Box<Outcome>),
}

impl Feed {
    /// Reads `path` (`-` is standard input) into memory if it fits, else starts a thread that
    /// reads ahead. `look` is told how many bytes of the file are read while it is loaded.
    pub fn open(
        path: &Path,
        options: FeedOptions,
        mut look: impl FnMut(u64),
    ) -> Result<Self, FeedError> {
        let mut reader = Reader::open(path)?;
        let pipe = reader.progress().total.is_none();
        let plain_too_long = reader.compression().is_none()
            && reader.progress().total.is_some_and(|bytes| bytes > options.preload_max as u64);
        let repeat = options.rounds != 1;
        // each round is made ready anew
        let fresh = repeat && options.prepare.rewrite.fresh;
        if fresh && pipe {
            return Err(FeedError::FreshFromPipe);
        }
        if !fresh && !plain_too_long && (!pipe || repeat) {
            match load(reader, &options, &mut look) {
                Ok(feed) => return Ok(feed),
                Err(TooLong) if pipe => {
                    return Err(FeedError::TooLongToRepeat { max: options.preload_max });
                }
                Err(TooLong) => reader = Reader::open(path)?,
            }
        }
        let again = repeat.then(|| path.to_owned());
        stream(reader, options, move || {
            let Some(path) = &again else { return Ok(None) };
            Reader::open(path).map(Some)
        })
    }

    /// From a source that cannot be opened again.
    pub fn from_source(source: Source, options: &FeedOptions) -> Result<Self, FeedError> {
        let reader = Reader::new(source)?;
        let max = options.preload_max;
        load(reader, options, &mut |_| {}).map_err(|TooLong| FeedError::TooLongToRepeat { max })
    }

    /// The frames, with no file behind them.
    pub fn of_chunks(chunks: Vec<Chunk>, rounds: u64) -> Self {
        let kind = Kind::Loaded { chunks, at: 0 };
        Self { kind, rounds, round: 0, outcome: Outcome::default() }
    }

    /// All frames are in memory.
    pub fn is_loaded(&self) -> bool {
        matches!(self.kind, Kind::Loaded { .. })
    }

    /// Bytes of all frames of all rounds, if that is known.
    pub fn bytes_total(&self) -> Option<u64> {
        let Kind::Loaded { chunks, .. } = &self.kind else { return None };
        let bytes = chunks.iter().flat_map(Chunk::entries).map(|entry| entry.len() as u64).sum();
        u64::checked_mul(bytes, self.rounds).filter(|_| self.rounds > 0)
    }

    /// How often the capture is sent; 0 means until stopped.
    pub fn rounds(&self) -> u64 {
        self.rounds
    }

    /// The next frames. Waits for them if the sender is faster than the reader, until `stop`.
    pub fn next(&mut self, stop: &AtomicBool) -> Next<'_> {
        match &mut self.kind {
            Kind::Loaded { chunks, at } => {
                if *at < chunks.len() {
                    *at += 1;
                    return Next::Frames(&chunks[*at - 1]);
                }
                self.round += 1;
                let again = self.rounds == 0 || self.round < self.rounds;
                // a capture without frames would go round for ever
                if again && !chunks.is_empty() && self.outcome.damage.is_none() {
                    *at = 0;
                    return Next::Round;
                }
                Next::End
            }
            Kind::Streamed { chunks, empty, held, .. } => {
                if let Some(used) = held.take() {
                    // the reader may have ended
                    let _ = empty.send(used);
                }
                loop {
                    match chunks.recv_timeout(LOOK_EVERY) {
                        Ok(Message::Chunk(chunk)) => return Next::Frames(held.insert(chunk)),
                        Ok(Message::Round) => return Next::Round,
                        Ok(Message::End(outcome)) => {
                            self.outcome = *outcome;
                            return Next::End;
                        }
                        Err(RecvTimeoutError::Timeout) if !stop.load(Ordering::Relaxed) => {}
                        Err(_) => return Next::End,
                    }
                }
            }
        }
    }

    /// What reading came to. A thread that still reads is told to end.
    pub fn finish(mut self) -> Outcome {
        if let Kind::Streamed { chunks, empty, held, live } = self.kind {
            // the thread ends when it gets no chunks back, and says what it had
            drop((empty, held));
            let counts = || live.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if self.outcome.prepared.read == 0 {
                self.outcome.prepared = counts();
            }
            while let Ok(message) = chunks.recv_timeout(PATIENCE) {
                if let Message::End(outcome) = message {
                    self.outcome = *outcome;
                }
            }
        }
        self.outcome
    }
}

/// More frames than may be kept in memory.
struct TooLong;

fn load(
    mut reader: Reader,
    options: &FeedOptions,
    look: &mut impl FnMut(u64),
) -> Result<Feed, TooLong> {
    let mut preparer = Preparer::new(options.prepare.clone());
    let (mut chunks, mut bytes) = (Vec::new(), 0usize);
    let mut damage = None;
    loop {
        let mut chunk = Chunk::default();
        match fill(&mut reader, &mut preparer, &mut chunk) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                damage = Some(error);
                break;
            }
        }
        look(reader.progress().read);
        if chunk.entries().is_empty() {
            continue;
        }
        chunk.shrink();
        bytes = bytes.saturating_add(chunk.footprint());
        if bytes > options.preload_max {
            return Err(TooLong);
        }
        chunks.push(chunk);
    }
    let outcome = outcome(&reader, &preparer, damage);
    let kind = Kind::Loaded { chunks, at: 0 };
    Ok(Feed { kind, rounds: options.rounds, round: 0, outcome })
}

fn outcome(reader: &Reader, preparer: &Preparer, damage: Option<capture::Error>) -> Outcome {
    let with_frames = reader.interfaces().iter().zip(0..).filter(|(i, _)| i.frames > 0);
    let interfaces = with_frames.map(|(i, n)| (n, i.name().map(str::to_owned), i.frames));
    Outcome { prepared: preparer.counts().clone(), damage, interfaces: interfaces.collect() }
}

/// Makes the next batch ready; false at the end of the file.
fn fill(
    reader: &mut Reader,
    preparer: &mut Preparer,
    chunk: &mut Chunk,
) -> Result<bool, capture::Error> {
    let Some(batch) = reader.next_batch()? else { return Ok(false) };
    for index in 0..batch.records().len() {
        if let Some(frame) = batch.frame(index) {
            preparer.frame(&frame, chunk);
        }
    }
    Ok(true)
}

fn stream(
    reader: Reader,
    options: FeedOptions,
    again: impl Fn() -> Result<Option<Reader>, capture::Error> + Send + 'static,
) -> Result<Feed, FeedError> {
    let (send, chunks) = bounded(CHUNKS_AHEAD);
    let (empty, emptied) = bounded(CHUNKS_AHEAD + 2);
    for _ in 0..CHUNKS_AHEAD {
        let _ = empty.send(Chunk::default());
    }
    let rounds = options.rounds;
    let live = Arc::new(Live::default());
    let told = Arc::clone(&live);
    std::thread::Builder::new()
        .name("read-ahead".to_owned())
        .spawn(move || {
            let mut ahead = ReadAhead { send, emptied, spare: None, live: told, frames: 0 };
            ahead.run(reader, options, again);
        })
        .map_err(FeedError::Thread)?;
    let kind = Kind::Streamed { chunks, empty, held: None, live };
    Ok(Feed { kind, rounds, round: 0, outcome: Outcome::default() })
}

/// The reading thread's ends of the two channels.
struct ReadAhead {
    send: Sender<Message>,
    emptied: Receiver<Chunk>,
    /// A chunk that was taken and came to hold no frame.
    spare: Option<Chunk>,
    live: Arc<Live>,
    /// Frames of this pass.
    frames: usize,
}

/// Why a pass over the file ended.
enum Pass {
    Whole,
    Damaged(capture::Error),
    NobodyListens,
}

impl ReadAhead {
    /// Until the rounds are over, the file is damaged or nobody listens.
    fn run(
        &mut self,
        mut reader: Reader,
        options: FeedOptions,
        again: impl Fn() -> Result<Option<Reader>, capture::Error>,
    ) {
        let rounds = options.rounds;
        let mut preparer = Preparer::new(options.prepare);
        let mut round = 0;
        let damage = loop {
            self.frames = 0;
            match self.pass(&mut reader, &mut preparer) {
                Pass::Whole => {}
                Pass::Damaged(error) => break Some(error),
                Pass::NobodyListens => break None,
            }
            round += 1;
            // a capture without frames would go round for ever
            if round == rounds || self.frames == 0 {
                break None;
            }
            preparer.stop_counting();
            match again() {
                Ok(Some(opened)) => reader = opened,
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
            if self.send.send(Message::Round).is_err() {
                break None;
            }
        };
        // told to nobody if the sender has ended
        let _ = self.send.send(Message::End(Box::new(outcome(&reader, &preparer, damage))));
    }

    fn pass(&mut self, reader: &mut Reader, preparer: &mut Preparer) -> Pass {
        loop {
            let spare = self.spare.take().map_or_else(|| self.emptied.recv(), Ok);
            let Ok(mut chunk) = spare else { return Pass::NobodyListens };
            chunk.clear();
            let filled = fill(reader, preparer, &mut chunk);
            self.live.tell(preparer);
            self.frames += chunk.entries().len();
            if chunk.entries().is_empty() {
                self.spare = Some(chunk);
            } else if self.send.send(Message::Chunk(chunk)).is_err() {
                return Pass::NobodyListens;
            }
            match filled {
                Ok(true) => {}
                Ok(false) => return Pass::Whole,
                Err(error) => return Pass::Damaged(error),
            }
        }
    }
}

#[cfg(test)]
mod tests;
