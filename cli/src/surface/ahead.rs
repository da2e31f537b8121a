//! Reading on a thread of its own, so that the next block is there when one is done with; on the
//! same one where there is only one processor.

use std::sync::mpsc::{channel, sync_channel};

use capture::{Batch, Block, Error, Reader};

/// Blocks that go round: one is read, one waits, one is worked on.
const BLOCKS: usize = 3;

/// Reads to the end, and hands every batch to `take` with the position in the input. What ended the
/// reading early comes back; an error of `take` ends it too.
pub(super) fn read(
    reader: &mut Reader,
    mut take: impl FnMut(&Batch<'_>, u64) -> anyhow::Result<()>,
) -> anyhow::Result<Option<Error>> {
    if std::thread::available_parallelism().is_ok_and(|processors| processors.get() == 1) {
        let mut block = Block::default();
        loop {
            match reader.next_block(&mut block) {
                Ok(true) => take(&block.batch(), reader.progress().read)?,
                Ok(false) => return Ok(None),
                Err(error) => return Ok(Some(error)),
            }
        }
    }
    std::thread::scope(|scope| {
        let (full, ready) = sync_channel(BLOCKS);
        let (back, empty) = channel();
        for _ in 0..BLOCKS {
            // the other end is here
            let _ = back.send(Block::default());
        }
        let reading = scope.spawn(move || {
            while let Ok(mut block) = empty.recv() {
                match reader.next_block(&mut block) {
                    Ok(true) => {
                        if full.send((block, reader.progress().read)).is_err() {
                            break;
                        }
                    }
                    Ok(false) => break,
                    Err(error) => return Some(error),
                }
            }
            None
        });
        for (block, at) in ready {
            take(&block.batch(), at)?;
            // the reading is over when nobody takes it
            let _ = back.send(block);
        }
        drop(back);
        match reading.join() {
            Ok(failed) => Ok(failed),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
