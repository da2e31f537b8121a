//! Every frame to JSON, on all cores, in file order.
//!
//! The calling thread reads the file and writes the output; between the two, workers decode and
//! format batches of frames. Work goes round the workers in turn and comes back in the same turn,
//! so order needs no sorting. Batches and output buffers go round for ever: memory is bounded by
//! the batches in flight, whatever the size of the file. A file of one batch starts no thread.

use std::io::Write;
use std::ops::Range;

use capture::{Batch, Reader};
use crossbeam::channel::{Receiver, Sender, bounded};
use skb::FrameMeta;
use skb::decode::{Decoded, Decoder};

use super::object::Writer;
use super::select::Selector;
use crate::term::Progress;

/// Frame bytes that make a batch worth sending.
const BATCH_BYTES: usize = 256 * 1024;
/// Frames that make a batch worth sending.
const BATCH_FRAMES: usize = 1024;
/// Batches in flight per worker.
const DEPTH: usize = 2;
/// More workers than this do not help: one thread reads.
const WORKERS_MAX: usize = 16;

/// Frames with all that is needed to write them.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    frames: Vec<(FrameMeta, Range<usize>)>,
    /// Comments by index into `frames`: few frames have any.
    comments: Vec<(usize, Vec<String>)>,
}

impl Frames {
    /// Empties it, keeping the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.frames.clear();
        self.comments.clear();
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// No frames.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= BATCH_BYTES || self.frames.len() >= BATCH_FRAMES
    }

    /// Copies a frame in, with its comments.
    pub fn push(&mut self, meta: FrameMeta, bytes: &[u8], comments: Vec<String>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        if !comments.is_empty() {
            self.comments.push((self.frames.len(), comments));
        }
        self.frames.push((meta, start..self.bytes.len()));
    }

    /// Copies in the frames of a batch that `selector` takes, from the one at `from` on, until
    /// this is full. Returns the index of the first frame not looked at.
    fn fill(
        &mut self,
        batch: &Batch<'_>,
        from: usize,
        selector: &mut Selector,
    ) -> anyhow::Result<usize> {
        let mut index = from;
        while let Some(frame) = batch.frame(index) {
            if self.is_full() {
                break;
            }
            if selector.takes(&frame)? {
                let comments = frame.comments().map(std::borrow::Cow::into_owned).collect();
                self.push(frame.meta, frame.data, comments);
            }
            index += 1;
        }
        Ok(index)
    }
}

/// Decodes frames and writes their objects. One per thread.
#[derive(Debug, Default)]
pub struct Formatter {
    decoder: Decoder,
    decoded: Decoded,
    writer: Writer,
}

impl Formatter {
    /// Appends a line of JSON per frame to `out`.
    pub fn format(&mut self, frames: &Frames, out: &mut Vec<u8>) {
        std::mem::swap(out, &mut self.writer.json.buf);
        let mut comments = frames.comments.iter().peekable();
        for (index, (meta, range)) in frames.frames.iter().enumerate() {
            let bytes = frames.bytes.get(range.clone()).unwrap_or_default();
            self.decoder.decode(meta, bytes, &mut self.decoded);
            let own = comments.next_if(|(at, _)| *at == index);
            let own = own.map_or(&[][..], |(_, comments)| comments);
            self.writer.frame(meta, &self.decoded, own);
        }
        std::mem::swap(out, &mut self.writer.json.buf);
    }
}

/// Writes every frame that `selector` takes to `out`; or only frame number `only`.
///
/// On an error of the input, what was read before it is written first.
pub fn json(
    reader: &mut Reader,
    selector: &mut Selector,
    only: Option<u64>,
    mut progress: Progress,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    if let Some(number) = only {
        let mut frames = Frames::default();
        let kept = super::find(reader, selector, number)?;
        frames.push(kept.meta, &kept.bytes, kept.comments);
        let mut text = Vec::new();
        Formatter::default().format(&frames, &mut text);
        return Ok(out.write_all(&text)?);
    }
    std::thread::scope(|scope| {
        let mut pool = Pool::new(out);
        let read = feed(reader, selector, &mut progress, &mut pool, |work| {
            scope.spawn(work);
        });
        let written = pool.finish();
        progress.clear();
        written.and(read)
    })
}

/// Reads to the end, handing full batches to the pool. The outer error is of the input, and what
/// was read before it is in the pool; an error of the output ends everything at once.
fn feed(
    reader: &mut Reader,
    selector: &mut Selector,
    progress: &mut Progress,
    pool: &mut Pool<'_, impl Write>,
    mut spawn: impl FnMut(Box<dyn FnOnce() + Send>),
) -> anyhow::Result<()> {
    // what trickles in through a pipe is shown as it comes, not when a batch is full
    let trickles = reader.progress().total.is_none() && reader.compression().is_none();
    let mut frames = pool.recycled();
    loop {
        progress.at(reader.progress().read);
        let batch = match reader.next_batch() {
            Ok(Some(batch)) => batch,
            Ok(None) => break pool.submit(frames, true, &mut spawn),
            Err(error) => {
                pool.submit(frames, true, &mut spawn)?;
                break Err(error.into());
            }
        };
        let mut from = 0;
        while from < batch.records().len() {
            from = match frames.fill(&batch, from, selector) {
                Ok(from) => from,
                Err(error) => {
                    pool.submit(frames, true, &mut spawn)?;
                    return Err(error);
                }
            };
            if frames.is_full() {
                pool.submit(frames, false, &mut spawn)?;
                frames = pool.recycled();
            }
        }
        if trickles && !frames.is_empty() {
            pool.submit(frames, false, &mut spawn)?;
            pool.drain()?;
            frames = pool.recycled();
        }
    }
}

/// A batch on its way, and the text it became.
type Job = (Frames, Vec<u8>);

struct Worker {
    work: Sender<Job>,
    done: Receiver<Job>,
}

/// The workers, and what is in flight.
struct Pool<'w, W> {
    out: &'w mut W,
    workers: Vec<Worker>,
    workers_max: usize,
    /// Batches submitted and written; worker `n % workers` has batch `n`.
    submitted: usize,
    written: usize,
    spare: Vec<Job>,
    /// For the first batch, if it is the only one.
    own: Formatter,
}

impl<'w, W: Write> Pool<'w, W> {
    fn new(out: &'w mut W) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            out,
            workers: Vec::new(),
            workers_max: cores.min(WORKERS_MAX),
            submitted: 0,
            written: 0,
            spare: Vec::new(),
            own: Formatter::default(),
        }
    }

    fn recycled(&mut self) -> Frames {
        match self.spare.last_mut() {
            Some((frames, _)) => {
                let mut frames = std::mem::take(frames);
                frames.clear();
                frames
            }
            None => Frames::default(),
        }
    }

    fn spare_text(&mut self) -> Vec<u8> {
        let mut text = self.spare.pop().map_or_else(Vec::new, |(_, text)| text);
        text.clear();
        text
    }

    fn submit(
        &mut self,
        frames: Frames,
        last: bool,
        spawn: &mut impl FnMut(Box<dyn FnOnce() + Send>),
    ) -> anyhow::Result<()> {
        if frames.is_empty() {
            return Ok(());
        }
        if last && self.workers.is_empty() {
            let mut text = self.spare_text();
            self.own.format(&frames, &mut text);
            return Ok(self.out.write_all(&text)?);
        }
        if self.workers.is_empty() {
            self.workers = (0..self.workers_max).map(|_| start(spawn)).collect();
        }
        if self.submitted - self.written == self.workers.len() * DEPTH {
            self.write_next()?;
        }
        let text = self.spare_text();
        let turn = self.submitted % self.workers.len();
        self.submitted += 1;
        let sent = self.workers[turn].work.send((frames, text));
        sent.map_err(|_| anyhow::anyhow!("a formatting thread died"))
    }

    fn write_next(&mut self) -> anyhow::Result<()> {
        let turn = self.written % self.workers.len();
        let done = self.workers[turn].done.recv();
        let job = done.map_err(|_| anyhow::anyhow!("a formatting thread died"))?;
        self.written += 1;
        self.out.write_all(&job.1)?;
        self.spare.push(job);
        Ok(())
    }

    /// Writes all that is in flight.
    fn drain(&mut self) -> anyhow::Result<()> {
        while self.written < self.submitted {
            self.write_next()?;
        }
        Ok(self.out.flush()?)
    }

    /// Ends the workers after their last batch.
    fn finish(mut self) -> anyhow::Result<()> {
        self.drain()
    }
}

fn start(spawn: &mut impl FnMut(Box<dyn FnOnce() + Send>)) -> Worker {
    let (work, todo) = bounded::<Job>(DEPTH);
    let (finished, done) = bounded(DEPTH);
    spawn(Box::new(move || {
        let mut formatter = Formatter::default();
        for (frames, mut text) in todo {
            formatter.format(&frames, &mut text);
            if finished.send((frames, text)).is_err() {
                return;
            }
        }
    }));
    Worker { work, done }
}
