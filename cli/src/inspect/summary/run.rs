//! The pass over the file: alone while it is small, then on more cores.
//!
//! Each worker reads the next block, takes its frames in the order of the file under a lock, which
//! covers the walk over the records, and counts them outside of the lock in tables of its own; at
//! the end the tables are added up. What cannot be read at any place (a pipe, a compressed file) is
//! read under the lock too. A block's bytes are counted on the core that read them. Nothing waits
//! for another worker but that turn, and memory is a block and the tables per worker.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use capture::format::NO_TIME;
use capture::{Ahead, BUFFER_BYTES, Block, Reader};
use crossbeam::utils::CachePadded;

use super::table::HashKey;
use super::{Collector, Summary};
use crate::inspect::desk::{Turns, take, workers};
use crate::inspect::select::Selector;

/// Bytes of input read before more workers are worth starting.
const ALONE_BYTES: u64 = 4 << 20;
/// More workers do not help: reading alone takes as long as a third of the rest.
const WORKERS_MAX: usize = 3;
/// Bytes of one worker's flow tables beyond which a flow must not be kept twice: one worker then
/// takes over all, so that as many flows fit as without the others.
const CROWDED_BYTES: usize = 32 << 20;

/// Reads `reader` to its end and adds up the frames that `selector` takes.
///
/// A damage ends the reading and comes back beside the summary of the frames before it.
/// `at` is told the position in the input from time to time.
pub fn run_on(
    reader: &mut Reader,
    selector: &mut Selector,
    mut at: impl FnMut(u64),
) -> (Summary, Option<anyhow::Error>) {
    let hash_key = HashKey::random();
    let mut collector = Collector::new(hash_key);
    let may_share = selector.takes_all() && workers() > 1;
    let enough = if may_share { ALONE_BYTES } else { u64::MAX };
    let mut end = alone(reader, selector, &mut collector, enough, &mut at);
    if let End::Enough = end {
        let team = Team { hash_key, workers: workers().min(WORKERS_MAX), crowded: CROWDED_BYTES };
        end = together(reader, &mut collector, team, &mut at);
    }
    if let End::Enough = end {
        end = alone(reader, selector, &mut collector, u64::MAX, &mut at);
    }
    let error = if let End::Failed(error) = end { Some(error) } else { None };
    (collector.finish(), error)
}

/// Why a part of the pass is over.
enum End {
    /// The input is at its end.
    Done,
    /// The input is damaged from here on.
    Failed(anyhow::Error),
    /// The rest is to be read in another way.
    Enough,
}

/// One worker, until so many bytes are read.
fn alone(
    reader: &mut Reader,
    selector: &mut Selector,
    collector: &mut Collector,
    enough: u64,
    at: &mut impl FnMut(u64),
) -> End {
    let mut block = Block::default();
    loop {
        let read = reader.progress().read;
        at(read);
        if read >= enough {
            return End::Enough;
        }
        match reader.next_block(&mut block) {
            Ok(true) => {
                if let Err(error) = collector.batch(&block.batch(), selector) {
                    return End::Failed(error);
                }
            }
            Ok(false) => return End::Done,
            Err(error) => return End::Failed(error.into()),
        }
    }
}

/// What the workers share.
struct Shared<'r> {
    reader: &'r mut Reader,
    /// Time of the last frame given out that has one.
    last_ns: i64,
    end: Option<End>,
}

/// How many work together, and until when.
#[derive(Debug, Clone, Copy)]
struct Team {
    hash_key: HashKey,
    workers: usize,
    /// See [`CROWDED_BYTES`].
    crowded: usize,
}

/// Several workers, until the end or until the flows are too many to be kept twice.
fn together(
    reader: &mut Reader,
    collector: &mut Collector,
    team: Team,
    at: &mut impl FnMut(u64),
) -> End {
    let last_ns = collector.summary.wire.last_ns();
    let ahead = reader.ahead(BUFFER_BYTES);
    let shared = Mutex::new(Shared { reader, last_ns, end: None });
    let crowded = Crowded { bytes: team.crowded, seen: AtomicBool::new(false) };
    let desk = Desk {
        shared,
        crowded,
        ahead,
        next: CachePadded::new(AtomicU64::new(0)),
        turns: Turns::new(),
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..team.workers)
            .map(|_| {
                scope.spawn(|| {
                    let mut own = Collector::new(team.hash_key);
                    work(&desk, &mut own, &mut |_| {});
                    own.summary.flows.settle();
                    own
                })
            })
            .collect();
        work(&desk, collector, at);
        for other in others {
            match other.join() {
                Ok(other) => collector.merge(other),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    let shared = desk.shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    collector.summary.wire.follow(shared.last_ns);
    // what was read in order goes on where it is; a pipe could not be sought in
    let goes_on = if desk.ahead.is_some() { shared.reader.rejoin() } else { Ok(()) };
    shared.end.unwrap_or_else(|| goes_on.map_or_else(|e| End::Failed(e.into()), |()| End::Enough))
}

/// Whether the flows are too many to be kept twice.
struct Crowded {
    bytes: usize,
    seen: AtomicBool,
}

/// Where the workers meet.
struct Desk<'r> {
    shared: Mutex<Shared<'r>>,
    crowded: Crowded,
    /// How blocks are read without the lock, where that can be.
    ahead: Option<Ahead>,
    /// The block to be read next.
    next: CachePadded<AtomicU64>,
    turns: Turns,
}

fn work(desk: &Desk<'_>, collector: &mut Collector, at: &mut impl FnMut(u64)) {
    let mut block = Block::default();
    while !desk.crowded.seen.load(Ordering::Relaxed) {
        let mut in_order = None;
        if let Some(ahead) = &desk.ahead {
            let index = desk.next.fetch_add(1, Ordering::Relaxed);
            // what was read is taken, whatever comes: others wait for it
            ahead.read(index, &mut block);
            in_order = Some(desk.turns.wait_for(index));
        }
        let mut turn = take(&desk.shared);
        if turn.end.is_some() {
            return;
        }
        let more = match in_order {
            Some(_) => turn.reader.take_block(&mut block),
            None => turn.reader.next_block(&mut block),
        };
        match more {
            Ok(true) => {}
            Ok(false) => turn.end = Some(End::Done),
            Err(error) => turn.end = Some(End::Failed(error.into())),
        }
        let read = turn.reader.progress().read;
        let batch = block.batch();
        collector.summary.wire.follow(turn.last_ns);
        let timed = batch.records().iter().rev().find(|record| record.time_ns != NO_TIME);
        turn.last_ns = timed.map_or(turn.last_ns, |record| record.time_ns);
        drop(turn);
        drop(in_order);
        at(read);
        collector.all(&batch);
        if collector.summary.flows.bytes() > desk.crowded.bytes {
            desk.crowded.seen.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use capture::Source;
    use capture::write::PcapWriter;
    use skb::LinkType;

    use super::*;
    use crate::inspect::summary::write_json;

    /// TCP and UDP between many hosts, some frames back in time, some without an IP header.
    fn capture(frames: u32) -> Vec<u8> {
        let mut writer = PcapWriter::new(Vec::new(), LinkType::ETHERNET, 0, None).unwrap();
        let mut state = 7_u32;
        for n in 0..frames {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let mut frame =
                vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, if n % 97 == 0 { 6 } else { 0 }];
            let proto = if n % 3 == 0 { 17 } else { 6 };
            frame.extend([0x45, 0, 0, 48, 0, 0, 0, 0, 64, proto, 0, 0, 10, (state >> 24) as u8]);
            frame.extend([(state >> 16) as u8, 1, 192, 0, 2, (n % 5) as u8, 4, (n % 7) as u8]);
            frame.extend([0, 53, 0, 28, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
            frame.resize(62 + (state >> 27) as usize, 0);
            let back = if n % 1000 == 999 { 2_000_000_000 } else { 0 };
            let time_ns = i64::from(n) * 1_000_000 + 5_000_000_000 - back;
            writer.write_frame(time_ns, frame.len() as u32, &frame).unwrap();
        }
        writer.finish().unwrap()
    }

    fn summed(file: &[u8], team: Option<(usize, usize)>) -> String {
        sum(Reader::new(Source::from_bytes("file", file.to_vec()).unwrap()).unwrap(), team)
    }

    /// The same from a file, which is read at several places at once.
    fn summed_on_disk(file: &[u8], team: (usize, usize)) -> String {
        let name = format!("framewalk-summary-{}.pcap", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, file).unwrap();
        let reader = Reader::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        sum(reader, Some(team)).replace(&*path.to_string_lossy(), "file")
    }

    /// The same from a named pipe, which has a place in the file system and cannot be sought in.
    #[cfg(unix)]
    fn summed_from_fifo(file: &[u8], team: (usize, usize)) -> String {
        let name = format!("framewalk-summary-{}.fifo", std::process::id());
        let path = std::env::temp_dir().join(name);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let text = std::thread::scope(|scope| {
            scope.spawn(|| std::fs::write(&path, file).unwrap());
            let reader = Reader::open(&path).unwrap();
            sum(reader, Some(team)).replace(&*path.to_string_lossy(), "file")
        });
        std::fs::remove_file(&path).unwrap();
        text
    }

    fn sum(mut reader: Reader, team: Option<(usize, usize)>) -> String {
        let mut selector = Selector::default();
        let hash_key = HashKey::random();
        let mut collector = Collector::new(hash_key);
        let at = &mut |_| {};
        let mut end = alone(&mut reader, &mut selector, &mut collector, 300_000, at);
        if let Some((workers, crowded)) = team {
            assert!(matches!(end, End::Enough));
            end = together(&mut reader, &mut collector, Team { hash_key, workers, crowded }, at);
            // the others may have come to the end before they saw that it is crowded
            assert!(crowded < 1 << 20 || !matches!(end, End::Enough));
        }
        if matches!(end, End::Enough) {
            end = alone(&mut reader, &mut selector, &mut collector, u64::MAX, at);
        }
        let mut summary = collector.finish();
        let mut text = Vec::new();
        write_json(&mut text, &reader, &mut summary).unwrap();
        if let End::Failed(error) = end {
            text.extend(error.to_string().bytes());
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn many_workers_add_up_to_the_same() {
        let mut file = capture(40_000);
        let alone = summed(&file, None);
        assert!(alone.contains("\"frames\":40000"), "{alone}");
        assert_eq!(alone, summed(&file, Some((2, usize::MAX))));
        assert_eq!(alone, summed(&file, Some((5, usize::MAX))));
        assert_eq!(alone, summed(&file, Some((3, 600_000))), "one takes over");
        assert_eq!(alone, summed_on_disk(&file, (2, usize::MAX)));
        assert_eq!(alone, summed_on_disk(&file, (3, 600_000)), "one takes over");
        #[cfg(unix)]
        assert_eq!(alone, summed_from_fifo(&file, (3, 1)), "one takes over");
        file.truncate(file.len() - 7);
        let cut = summed(&file, None);
        assert!(cut.contains("damaged at byte"), "{cut}");
        assert_eq!(cut, summed(&file, Some((2, usize::MAX))));
        assert_eq!(cut, summed_on_disk(&file, (2, usize::MAX)));
    }
}
