//! Every frame to JSON, on all cores, in file order.
//!
//! Each worker takes the next block of frames under a lock, with a number, decodes and formats it
//! outside of the lock, and gives the text out when all before it is out. A text whose turn is not
//! yet is left for the worker whose turn it is; nobody runs ahead further than `AHEAD_MAX`, so
//! memory is bounded whatever the size of the file. A file of one block starts no thread.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use capture::{Batch, Block, FrameRef, Reader};
use skb::decode::{Decoded, Decoder};

use super::desk::{take, workers};
use super::object::Writer;
use super::select::Selector;
use crate::term::Progress;

/// Bytes of frames per block: their text, two to three times as many, stays in a core's
/// second-level cache.
const BLOCK_BYTES: usize = 64 * 1024;
/// Texts that may wait for an earlier one.
const AHEAD_MAX: u64 = 32;

/// Decodes frames and writes their objects. One per thread.
#[derive(Debug, Default)]
pub struct Formatter {
    decoder: Decoder,
    decoded: Decoded,
    writer: Writer,
}

impl Formatter {
    /// Appends a line of JSON to `out` for each of the frames at `indices` of a batch.
    pub fn format(
        &mut self,
        batch: &Batch<'_>,
        indices: impl Iterator<Item = usize>,
        out: &mut Vec<u8>,
    ) {
        std::mem::swap(out, &mut self.writer.json.buf);
        for index in indices {
            batch.prefetch(index, 4);
            if let Some(frame) = batch.frame(index) {
                self.frame(&frame);
            }
        }
        std::mem::swap(out, &mut self.writer.json.buf);
    }

    fn frame(&mut self, frame: &FrameRef<'_>) {
        self.decoder.decode(&frame.meta, frame.data, &mut self.decoded);
        let comments: Vec<_> = frame.comments().map(std::borrow::Cow::into_owned).collect();
        self.writer.frame(&frame.meta, &self.decoded, &comments);
    }
}

/// Writes every frame that `selector` takes to `out`; or only frame number `only`.
///
/// On an error of the input, what was read before it is written first.
pub fn json(
    reader: &mut Reader,
    selector: &mut Selector,
    only: Option<u64>,
    progress: Progress,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    if let Some(number) = only {
        let kept = super::find(reader, selector, number)?;
        let mut formatter = Formatter::default();
        formatter.decoder.decode(&kept.meta, &kept.bytes, &mut formatter.decoded);
        formatter.writer.frame(&kept.meta, &formatter.decoded, &kept.comments);
        return Ok(out.write_all(&formatter.writer.json.buf)?);
    }
    let (expression, linktype) =
        (selector.expression().map(str::to_owned), Selector::first_linktype(reader));
    let work = Work {
        input: Mutex::new(Input { reader, progress, taken: 0, end: None }),
        output: Mutex::new(Output::new(out)),
        turned: Condvar::new(),
        failed: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        let mut own = Worker::default();
        // one block here: most files have no more
        if work.step(&mut own, selector) {
            for _ in 1..workers() {
                scope.spawn(|| {
                    // compiled once already, so it can be compiled again
                    let selector = Selector::for_linktype(expression.as_deref(), linktype);
                    let Ok(mut selector) = selector else { return };
                    let mut worker = Worker::default();
                    while work.step(&mut worker, &mut selector) {}
                });
            }
            while work.step(&mut own, selector) {}
        }
    });
    let Work { input, output, .. } = work;
    let mut input = into_inner(input);
    input.progress.clear();
    let ended = input.end.unwrap_or(Ok(()));
    into_inner(output).error.map_or(ended, Err)
}

/// What is to be read, under one lock.
struct Input<'a> {
    reader: &'a mut Reader,
    progress: Progress,
    /// Blocks given to workers.
    taken: u64,
    /// How the input ended, once it has.
    end: Option<anyhow::Result<()>>,
}

/// What is to be written, under another.
struct Output<'a, W> {
    out: &'a mut W,
    /// Blocks whose text is out.
    written: u64,
    /// Texts of later blocks.
    waiting: BTreeMap<u64, Vec<u8>>,
    /// Memory of texts that are out.
    spare: Vec<Vec<u8>>,
    /// Nothing more is written.
    error: Option<anyhow::Error>,
}

impl<'a, W> Output<'a, W> {
    fn new(out: &'a mut W) -> Self {
        Self { out, written: 0, waiting: BTreeMap::new(), spare: Vec::new(), error: None }
    }
}

struct Work<'a, W> {
    input: Mutex<Input<'a>>,
    output: Mutex<Output<'a, W>>,
    /// Something was written, or will never be.
    turned: Condvar,
    failed: AtomicBool,
}

/// A thread's own memory.
struct Worker {
    block: Block,
    selected: Vec<u32>,
    formatter: Formatter,
    text: Vec<u8>,
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            block: Block::with_bytes(BLOCK_BYTES),
            selected: Vec::new(),
            formatter: Formatter::default(),
            text: Vec::new(),
        }
    }
}

impl<W: Write> Work<'_, W> {
    /// One block from reading to writing: false if there are no more.
    fn step(&self, worker: &mut Worker, selector: &mut Selector) -> bool {
        let _alarm = Alarm(self);
        let Some(number) = self.read(&mut worker.block) else { return false };
        let batch = worker.block.batch();
        let (formatter, text) = (&mut worker.formatter, &mut worker.text);
        text.clear();
        let mut selected = Ok(());
        if selector.takes_all() {
            formatter.format(&batch, 0..batch.records().len(), text);
        } else {
            selected = selector.select(&batch, &mut worker.selected);
            formatter.format(&batch, worker.selected.iter().map(|&index| index as usize), text);
        }
        self.write(number, text, selected)
    }

    /// The next block and its number.
    fn read(&self, block: &mut Block) -> Option<u64> {
        let mut input = take(&self.input);
        if input.end.is_some() || self.failed.load(Ordering::Relaxed) {
            return None;
        }
        let Input { reader, progress, taken, end } = &mut *input;
        progress.at(reader.progress().read);
        match reader.next_block(block) {
            Ok(true) => {
                *taken += 1;
                return Some(*taken - 1);
            }
            Ok(false) => *end = Some(Ok(())),
            Err(error) => *end = Some(Err(error.into())),
        }
        None
    }

    /// Writes the text of block `number` and what waits behind it, or leaves it to wait: false if
    /// there is no use in going on. An error in `after` ends everything once the text is out.
    fn write(&self, number: u64, text: &mut Vec<u8>, after: anyhow::Result<()>) -> bool {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        // the worker that has the next block to be written never waits; one with an error does,
        // until it is the next
        let ahead = if after.is_ok() { AHEAD_MAX } else { 0 };
        while number > output.written + ahead && output.error.is_none() {
            output = self.turned.wait(output).unwrap_or_else(PoisonError::into_inner);
        }
        if output.error.is_some() {
            return false;
        }
        if number != output.written {
            let spare = output.spare.pop().unwrap_or_default();
            output.waiting.insert(number, std::mem::replace(text, spare));
            return true;
        }
        let written = match after {
            Ok(()) => output.write_from(text),
            // what waits comes behind the error
            Err(error) => output.out.write_all(text).map_err(Into::into).and(Err(error)),
        };
        if let Err(error) = written {
            output.error = Some(error);
            self.failed.store(true, Ordering::Relaxed);
        }
        self.turned.notify_all();
        output.error.is_none()
    }
}

impl<W: Write> Output<'_, W> {
    /// Writes the next text and those that wait behind it.
    fn write_from(&mut self, text: &mut Vec<u8>) -> anyhow::Result<()> {
        loop {
            self.out.write_all(text)?;
            self.written += 1;
            let Some(next) = self.waiting.remove(&self.written) else { return Ok(()) };
            self.spare.push(std::mem::replace(text, next));
        }
    }
}

/// Wakes those who wait for a thread that died: they would wait for ever.
struct Alarm<'a, 'w, W>(&'a Work<'w, W>);

impl<W> Drop for Alarm<'_, '_, W> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.failed.store(true, Ordering::Relaxed);
            let mut output = self.0.output.lock().unwrap_or_else(PoisonError::into_inner);
            output.error = Some(anyhow::anyhow!("a formatting thread died"));
            self.0.turned.notify_all();
        }
    }
}

fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}
