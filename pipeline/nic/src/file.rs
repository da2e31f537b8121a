//! A capture file as a NIC: frames stay where the read put them.
//!
//! The file is read into blocks of the pool; every record becomes a descriptor that lends the
//! block once more. Only the start of a record that lies across the end of a block is carried into
//! the next one (counted `block-straddle`). A block is used again when its last frame is gone.

use capture::format::{NO_TIME, Parser};
use capture::{Damage, Error, Part, Problem, Record, Source};
use skb::{Block, CopyReason, Ledger, MacAddr, Nic, Pool, PortId, Ring, RxStatus};

/// Records parsed ahead of the ring.
const BATCH: usize = 256;

/// Which port a recorded frame enters by: a capture holds both directions of a wire.
#[derive(Debug, Clone, Default)]
pub struct Ingress {
    wire: PortId,
    /// Sorted by address.
    guests: Vec<(MacAddr, PortId)>,
}

impl Ingress {
    /// Frames sent by one of `guests` enter at that guest's port, all others by the `wire`.
    pub fn new(wire: PortId, guests: impl IntoIterator<Item = (MacAddr, PortId)>) -> Self {
        let mut guests: Vec<_> = guests.into_iter().collect();
        guests.sort_unstable();
        Self { wire, guests }
    }

    #[inline]
    pub(crate) fn port(&self, record_is_ethernet: bool, frame: &[u8]) -> PortId {
        if !record_is_ethernet || frame.len() < 12 {
            return self.wire;
        }
        let source = MacAddr::from_slice(&frame[6..]);
        match self.guests.binary_search_by_key(&source, |(mac, _)| *mac) {
            Ok(i) => self.guests[i].1,
            Err(_) => self.wire,
        }
    }
}

/// Why a file NIC could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileNicError {
    /// The pool was made without blocks, or with too small ones.
    #[error("a file needs a pool with blocks of at least {needed} bytes; this one has {found}")]
    NoBlocks {
        /// Smallest block that holds the largest frame and its record.
        needed: usize,
        /// Block size of the pool, 0 = no blocks.
        found: usize,
    },
}

/// The smallest block a file NIC works with: the largest frame of a capture and its record.
pub const BLOCK_MIN: usize = capture::format::CAPLEN_MAX as usize + 128 * 1024 + 4096;

/// Reads frames from a capture; see the module text.
#[derive(Debug)]
pub struct FileNic {
    source: Source,
    parser: Parser,
    ingress: Ingress,
    /// The block being read from, and which of its bytes are not yet parsed.
    block: Option<Block>,
    start: usize,
    end: usize,
    /// Bytes to step over before anything is parsed again.
    skip: u64,
    /// Bytes the next record needs from `start` on.
    need: usize,
    records: Vec<Record>,
    /// Where in the block the offsets of `records` count from.
    records_base: usize,
    next: usize,
    /// Number of the last frame handed out.
    number: u64,
    last_ns: i64,
    state: State,
}

#[derive(Debug)]
enum State {
    Reading,
    /// Reported once the frames before it are gone.
    Failing(Error),
    Failed(Error),
    Done,
}

impl FileNic {
    /// Reads from `source` into blocks of a pool like `pool`.
    pub fn new(source: Source, ingress: Ingress, pool: &Pool) -> Result<Self, FileNicError> {
        let found = if pool.free_blocks() == 0 { 0 } else { pool.block_size() };
        if found < BLOCK_MIN {
            return Err(FileNicError::NoBlocks { needed: BLOCK_MIN, found });
        }
        Ok(Self {
            source,
            parser: Parser::new().with_caplen_cap(capture::format::CAPLEN_MAX),
            ingress,
            block: None,
            start: 0,
            end: 0,
            skip: 0,
            need: 0,
            records: Vec::with_capacity(BATCH),
            records_base: 0,
            next: 0,
            number: 0,
            last_ns: 0,
            state: State::Reading,
        })
    }

    /// What ended the file early, after [`RxStatus::Done`]: every frame before it was handed out.
    pub fn error(&self) -> Option<&Error> {
        if let State::Failed(error) = &self.state { Some(error) } else { None }
    }

    /// Takes that error out, for a caller that owns what it reports.
    pub fn take_error(&mut self) -> Option<Error> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Failed(error) => Some(error),
            state => {
                self.state = state;
                None
            }
        }
    }

    /// How far reading has come.
    pub fn progress(&self) -> capture::Progress {
        self.source.progress()
    }

    /// Receive time of the newest frame handed out, nanoseconds since the epoch.
    pub fn last_ns(&self) -> i64 {
        self.last_ns
    }

    /// Interfaces, sections and counts the file has shown so far.
    pub fn parser(&self) -> &Parser {
        &self.parser
    }

    /// Parses more records. `false`: nothing now (no free block) or nothing ever (see `state`).
    fn refill(&mut self, pool: &mut Pool) -> bool {
        self.records.clear();
        self.next = 0;
        while matches!(self.state, State::Reading) {
            if self.skip == 0 && self.block.is_some() && self.end - self.start >= self.need {
                self.parse(pool);
                if !self.records.is_empty() {
                    return true;
                }
                if self.need == 0 || !matches!(self.state, State::Reading) {
                    continue;
                }
            }
            match self.read(pool) {
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => self.state = State::Failing(error),
            }
        }
        !self.records.is_empty()
    }

    fn parse(&mut self, pool: &Pool) {
        let Some(block) = &self.block else { return };
        let bytes = &pool.block(block)[self.start..self.end];
        self.records_base = self.start;
        match self.parser.parse_batch(bytes, &mut self.records, BATCH) {
            Ok(end) => {
                let held = self.end - self.start;
                self.skip = (end.consumed.saturating_sub(held)) as u64;
                self.start += end.consumed.min(held);
                self.need = end.need;
            }
            Err(damage) => {
                let object = self.source.name().to_owned();
                self.state = State::Failing(Error::Damage { object, damage });
            }
        }
    }

    /// Reads on, into the same block if no frame lies in it, else into another one. `Ok(false)`:
    /// no block is free now.
    fn read(&mut self, pool: &mut Pool) -> Result<bool, Error> {
        let carried = self.end - self.start;
        let reusable = self.block.as_mut().is_some_and(|b| pool.block_mut(b).is_some());
        if !reusable {
            let Some(mut fresh) = pool.alloc_block() else { return Ok(false) };
            if let Some(old) = self.block.take() {
                if carried > 0 {
                    let bytes = pool.block(&old)[self.start..self.end].to_vec();
                    if let Some(room) = pool.block_mut(&mut fresh) {
                        room[..carried].copy_from_slice(&bytes);
                    }
                }
                pool.free_block(old);
            }
            self.block = Some(fresh);
        }
        let Some(room) = self.block.as_mut().and_then(|b| pool.block_mut(b)) else {
            return Ok(false);
        };
        if reusable && self.start > 0 {
            room.copy_within(self.start..self.end, 0);
        }
        (self.start, self.end) = (0, carried);
        if self.skip > 0 {
            let want = room.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            let read = self.source.read(&mut room[..want])?;
            self.skip -= read as u64;
            self.end = 0;
            return if read == 0 { self.finish(pool).map(|()| true) } else { Ok(true) };
        }
        let read = self.source.read(&mut room[carried..])?;
        self.end += read;
        if carried > 0 {
            pool.count_copy(CopyReason::BlockStraddle);
        }
        if read == 0 { self.finish(pool).map(|()| true) } else { Ok(true) }
    }

    /// The file has no more bytes: was that a good place to end?
    fn finish(&mut self, pool: &Pool) -> Result<(), Error> {
        self.state = State::Done;
        let object = self.source.name().to_owned();
        if let Some((opened, read)) = self.source.shrunk() {
            let problem = Problem::Shrunk { opened, read };
            let offset = self.parser.offset();
            let damage = Damage { offset, record: self.number, part: Part::Block, problem };
            return Err(Error::Damage { object, damage });
        }
        let rest = match &self.block {
            Some(block) => &pool.block(block)[self.start..self.end],
            None => &[],
        };
        self.parser.finish(rest, self.skip).map_err(|damage| Error::Damage { object, damage })
    }

    /// Gives the block up and shows the error, if there was one.
    fn end(&mut self, pool: &mut Pool) -> RxStatus {
        if let Some(block) = self.block.take() {
            pool.free_block(block);
        }
        match std::mem::replace(&mut self.state, State::Done) {
            State::Failing(error) | State::Failed(error) => self.state = State::Failed(error),
            State::Reading | State::Done => {}
        }
        RxStatus::Done
    }
}

impl Nic for FileNic {
    fn rx(
        &mut self,
        pool: &mut Pool,
        ring: &mut Ring,
        budget: usize,
        ledger: &mut Ledger,
    ) -> RxStatus {
        let want = budget.min(ring.room());
        let mut made = 0;
        while made < want {
            if self.next == self.records.len() {
                if !matches!(self.state, State::Reading) {
                    ledger.frames_in += made as u64;
                    return if made > 0 { RxStatus::Active } else { self.end(pool) };
                }
                if !self.refill(pool) && matches!(self.state, State::Reading) {
                    break;
                }
                continue;
            }
            let record = self.records[self.next];
            let Some(block) = &self.block else { break };
            let offset = self.records_base + record.data as usize;
            let len = record.caplen as usize;
            let linktype = self.parser.interfaces()[record.interface as usize].linktype;
            let is_ethernet = linktype == skb::LinkType::ETHERNET;
            let frame = pool.block(block).get(offset..offset + len).unwrap_or_default();
            let ingress = self.ingress.port(is_ethernet, frame);
            let Some(mut desc) = pool.lend_block(block, offset, len, ingress) else { break };
            self.next += 1;
            self.number += 1;
            desc.id = self.number;
            desc.origlen = record.origlen;
            desc.linktype = linktype;
            if record.time_ns != NO_TIME {
                desc.time_ns = record.time_ns;
                self.last_ns = record.time_ns;
            }
            if let Err(desc) = ring.push(desc) {
                pool.free_desc(desc);
                break;
            }
            made += 1;
        }
        ledger.frames_in += made as u64;
        if made > 0 { RxStatus::Active } else { RxStatus::Idle }
    }
}

#[cfg(test)]
mod tests;
