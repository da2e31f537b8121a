//! Reading on a thread of its own, which takes a third of the conversations too; on the same one
//! where there is only one processor.

use std::sync::mpsc::{channel, sync_channel};

use capture::{Batch, Block, Error, Reader};
use surface::{Analyzer, Counts, FlowRecord, Share, Told};

use crate::inspect::select::Selector;

/// Blocks that go round: one is read, one is worked on, the others wait for the slower of the two.
const BLOCKS: usize = 6;

/// What the thread that reads makes of a batch.
trait Ahead: Send {
    /// What it tells of one; empty, it is used again.
    type Told: Default + Send;
    /// What it has in the end.
    type Rest: Send;

    fn batch(&mut self, batch: &Batch<'_>, told: Self::Told) -> Self::Told;
    fn finish(self) -> Self::Rest;
}

impl Ahead for () {
    type Told = ();
    type Rest = ();

    fn batch(&mut self, _: &Batch<'_>, (): ()) {}
    fn finish(self) {}
}

impl Ahead for Share {
    type Told = Told;
    type Rest = (Told, Counts);

    fn batch(&mut self, batch: &Batch<'_>, told: Told) -> Told {
        Self::batch(self, batch, told)
    }

    fn finish(self) -> Self::Rest {
        Self::finish(self)
    }
}

/// Whether a second thread has a processor to run on.
fn alone() -> bool {
    std::thread::available_parallelism().is_ok_and(|processors| processors.get() == 1)
}

/// Where conversations go as they end.
pub(super) trait Take {
    /// The position in the input.
    fn at(&mut self, at: u64);
    /// A conversation.
    fn flow(&mut self, flow: &FlowRecord) -> anyhow::Result<()>;
}

/// Reads to the end and analyses all that is selected; if `two` may and nothing is filtered out, on
/// two threads where there are two processors. What ended the reading early comes back; an error of
/// `take` ends it too.
pub(super) fn analyze(
    reader: &mut Reader,
    analyzer: &mut Analyzer,
    selector: &mut Selector,
    two: bool,
    take: &mut impl Take,
) -> anyhow::Result<Option<Error>> {
    let mut give = |analyzer: &mut Analyzer, at: u64| {
        take.at(at);
        analyzer.ended().try_for_each(|flow| take.flow(&flow))
    };
    let (failed, told, counts) = if alone() || !two || !selector.takes_all() {
        let mut selected = Vec::new();
        let mut one = |batch: &Batch<'_>, at| {
            if selector.takes_all() {
                analyzer.batch(batch);
            } else {
                selector.select(batch, &mut selected)?;
                analyzer.frames(batch, selected.iter().map(|&index| index as usize));
            }
            give(analyzer, at)
        };
        let failed =
            if alone() { here(reader, one)? } else { run(reader, (), |b, (), at| one(b, at))?.0 };
        (failed, Told::default(), Counts::default())
    } else {
        let share = analyzer.split();
        let (failed, (told, counts)) = run(reader, share, |batch, told, at| {
            *told = analyzer.batch_with(batch, std::mem::take(told));
            give(analyzer, at)
        })?;
        (failed, told, counts)
    };
    let mut given = Ok(());
    analyzer.finish_with(told, counts, |flow| {
        if given.is_ok() {
            given = take.flow(&flow);
        }
    });
    given.map(|()| failed)
}

/// Reads on this thread.
fn here(
    reader: &mut Reader,
    mut take: impl FnMut(&Batch<'_>, u64) -> anyhow::Result<()>,
) -> anyhow::Result<Option<Error>> {
    let mut block = Block::default();
    loop {
        match reader.next_block(&mut block) {
            Ok(true) => take(&block.batch(), reader.progress().read)?,
            Ok(false) => return Ok(None),
            Err(error) => return Ok(Some(error)),
        }
    }
}

/// Reads on a thread of its own, where `ahead` takes every batch before `take` does.
fn run<A: Ahead>(
    reader: &mut Reader,
    mut ahead: A,
    mut take: impl FnMut(&Batch<'_>, &mut A::Told, u64) -> anyhow::Result<()>,
) -> anyhow::Result<(Option<Error>, A::Rest)> {
    std::thread::scope(|scope| {
        let (full, ready) = sync_channel(BLOCKS);
        let (back, empty) = channel();
        for _ in 0..BLOCKS {
            // the other end is here
            let _ = back.send((Block::default(), A::Told::default()));
        }
        let reading = scope.spawn(move || {
            let mut failed = None;
            while let Ok((mut block, told)) = empty.recv() {
                match reader.next_block(&mut block) {
                    Ok(true) => {
                        let told = ahead.batch(&block.batch(), told);
                        if full.send((block, told, reader.progress().read)).is_err() {
                            break;
                        }
                    }
                    Ok(false) => break,
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
            drop(full);
            (failed, ahead.finish())
        });
        for (block, mut told, at) in ready {
            take(&block.batch(), &mut told, at)?;
            // the reading is over when nobody takes it
            let _ = back.send((block, told));
        }
        drop(back);
        reading.join().map_err(|panic| std::panic::resume_unwind(panic))
    })
}
