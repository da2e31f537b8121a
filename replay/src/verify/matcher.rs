//! Which of the frames that came are which of those that were sent.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use super::mark::{Mark, Parts, Seed};

/// Frames that may be under way at once. One that comes later than so many others counts as lost,
/// and what comes of it as foreign.
pub const WINDOW: usize = 1 << 19;
/// Unknown frames that are kept until it is clear whether a sent one is missing in their place.
const STRANGE_MAX: usize = 1 << 15;
/// How far from its place a damaged frame is looked for, in frames.
const NEAR: u64 = 256;
/// Unknown frames that are looked at for each missing one.
const LOOKS: usize = 256;
/// An unknown frame of which so many eighths are those of a missing one is that one, damaged.
const SAME_MIN: usize = 4;
/// Frames of each kind that are named.
const NAMED_MAX: usize = 8;

const NONE: u64 = u64::MAX;

/// What became of the frames sent, and what else came. Each frame is counted once:
/// `sent = received + corrupted + lost`, and what came is
/// `received + corrupted + duplicated + foreign`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Frames that went out.
    pub sent: u64,
    /// Of these, those that came, byte for byte.
    pub received: u64,
    /// Of these, those that came damaged: as long, and like one that is missing, but for some
    /// bytes.
    pub corrupted: u64,
    /// Of these, those that did not come.
    pub lost: u64,
    /// Of the received, those that came after one that was sent later (RFC 4737 section 3).
    pub reordered: u64,
    /// Frames that came once more.
    pub duplicated: u64,
    /// Frames that came and were not sent by us.
    pub foreign: u64,
    /// The first frames of each kind.
    pub named: Named,
}

/// The first few frames of each kind, by their place among the sent and in the capture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// Those that did not come.
    pub lost: Vec<FrameName>,
    /// Those that came late.
    pub reordered: Vec<FrameName>,
    /// Those that came once more.
    pub duplicated: Vec<FrameName>,
    /// Those that came damaged.
    pub corrupted: Vec<FrameName>,
}

/// A frame that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameName {
    /// Its place among the frames handed over, from 1.
    pub sent: u64,
    /// The frame of the capture that it was made from, from 1.
    pub frame: u64,
}

fn name(list: &mut Vec<FrameName>, frame: FrameName) {
    if list.len() < NAMED_MAX {
        list.push(frame);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It may still come.
    Awaited,
    Received,
    /// It never went out.
    Refused,
}

/// A frame handed over.
#[derive(Debug)]
struct Record {
    mark: Mark,
    state: State,
    /// The next of the same bytes.
    next: u64,
}

/// Frames of the same bytes.
#[derive(Debug)]
struct Group {
    /// The first that may be awaited, or `NONE`.
    first: u64,
    last: u64,
    /// Those in the window.
    records: u32,
}

/// A frame that came and is none of those awaited.
#[derive(Debug)]
struct Strange {
    parts: Parts,
    /// The frame that it would be if it were one of ours, by what came before it.
    place: u64,
}

/// A hash that is one already.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Told of each frame handed over and of each frame that came, it finds out what became of them.
/// Its memory is bounded, by about 100 MiB.
#[derive(Debug)]
pub struct Matcher {
    seed: Seed,
    window: usize,
    records: VecDeque<Record>,
    /// The number of `records[0]`; numbers count from 0.
    first: u64,
    groups: HashMap<u64, Group, BuildHasherDefault<Hashed>>,
    strange: VecDeque<Strange>,
    awaited: u64,
    /// The latest frame that came.
    highest: Option<u64>,
    /// Where the next unknown frame would belong.
    place: u64,
    found: Findings,
}

impl Matcher {
    /// With nothing sent.
    pub fn new(seed: Seed) -> Self {
        Self::with_window(seed, WINDOW)
    }

    fn with_window(seed: Seed, window: usize) -> Self {
        Self {
            seed,
            window,
            records: VecDeque::new(),
            first: 0,
            groups: HashMap::default(),
            strange: VecDeque::new(),
            awaited: 0,
            highest: None,
            place: 0,
            found: Findings::default(),
        }
    }

    /// Frames that have not come yet.
    pub fn awaited(&self) -> u64 {
        self.awaited
    }

    /// The next frame is about to be handed over.
    pub fn sent(&mut self, mark: Mark) {
        if self.records.len() == self.window {
            self.forget_oldest();
        }
        let number = self.first + self.records.len() as u64;
        self.records.push_back(Record { mark, state: State::Awaited, next: NONE });
        self.awaited += 1;
        self.found.sent += 1;
        match self.groups.entry(mark.hash) {
            Entry::Vacant(entry) => {
                entry.insert(Group { first: number, last: number, records: 1 });
            }
            Entry::Occupied(mut entry) => {
                let group = entry.get_mut();
                let last = std::mem::replace(&mut group.last, number);
                group.records += 1;
                if group.first == NONE {
                    group.first = number;
                }
                if let Some(record) = self.records.get_mut((last - self.first) as usize) {
                    record.next = number;
                }
            }
        }
    }

    /// The frame handed over as the `number`th, counted from 0, was not taken.
    pub fn refused(&mut self, number: u64) {
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let record = at.and_then(|at| self.records.get_mut(at));
        if let Some(record) = record.filter(|record| record.state == State::Awaited) {
            record.state = State::Refused;
            self.awaited -= 1;
            self.found.sent -= 1;
        }
    }

    /// A frame came.
    pub fn received(&mut self, frame: &[u8]) {
        let Some(group) = self.groups.get_mut(&self.seed.hash(frame)) else {
            return self.strange(Parts::of(frame));
        };
        let number = loop {
            let number = group.first;
            if number == NONE {
                let last = &self.records[(group.last - self.first) as usize];
                self.found.duplicated += 1;
                let frame = FrameName { sent: group.last + 1, frame: last.mark.record };
                return name(&mut self.found.named.duplicated, frame);
            }
            let record = &mut self.records[(number - self.first) as usize];
            group.first = record.next;
            if record.state == State::Awaited {
                record.state = State::Received;
                break number;
            }
        };
        self.awaited -= 1;
        self.found.received += 1;
        match self.highest {
            Some(highest) if highest > number => {
                self.found.reordered += 1;
                let frame = self.name_of(number);
                name(&mut self.found.named.reordered, frame);
            }
            _ => {
                self.highest = Some(number);
                self.place = number + 1;
            }
        }
    }

    fn strange(&mut self, parts: Parts) {
        if self.strange.len() == STRANGE_MAX {
            self.strange.pop_front();
            self.found.foreign += 1;
        }
        self.strange.push_back(Strange { parts, place: self.place });
        self.place += 1;
    }

    fn name_of(&self, number: u64) -> FrameName {
        let record = self.records.get((number - self.first) as usize);
        FrameName { sent: number + 1, frame: record.map_or(0, |record| record.mark.record) }
    }

    /// The oldest frame leaves the window: it is not awaited any longer.
    fn forget_oldest(&mut self) {
        let Some(record) = self.records.front() else { return };
        let (number, hash) = (self.first, record.mark.hash);
        if record.state == State::Awaited {
            let (mark, next) = (record.mark, record.next);
            if let Some(group) = self.groups.get_mut(&hash)
                && group.first == number
            {
                group.first = next;
            }
            self.awaited -= 1;
            self.missing(number, &mark);
        } else if let Some(group) = self.groups.get_mut(&hash)
            && group.first == number
        {
            group.first = record.next;
        }
        if let Entry::Occupied(mut entry) = self.groups.entry(hash) {
            entry.get_mut().records -= 1;
            if entry.get().records == 0 {
                entry.remove();
            }
        }
        self.records.pop_front();
        self.first += 1;
    }

    /// A frame did not come as it was sent: either not at all, or damaged. Told in the order of
    /// sending.
    fn missing(&mut self, number: u64, mark: &Mark) {
        while let Some(front) = self.strange.front()
            && front.place.saturating_add(NEAR) < number
        {
            self.strange.pop_front();
            self.found.foreign += 1;
        }
        let frame = FrameName { sent: number + 1, frame: mark.record };
        let near = self.strange.iter().enumerate().take(LOOKS);
        let near = near.filter(|(_, strange)| strange.place.abs_diff(number) <= NEAR);
        let like = near.filter_map(|(at, strange)| {
            let same = strange.parts.same(&mark.parts)?;
            let away = strange.place.abs_diff(number);
            (same >= SAME_MIN || away == 0).then_some((same, std::cmp::Reverse(away), at))
        });
        // of several that are as like, the nearest; of several as near, the first
        let best =
            like.reduce(|best, one| if (one.0, one.1) > (best.0, best.1) { one } else { best });
        if let Some((.., at)) = best {
            self.strange.remove(at);
            self.found.corrupted += 1;
            name(&mut self.found.named.corrupted, frame);
        } else {
            self.found.lost += 1;
            name(&mut self.found.named.lost, frame);
        }
    }

    /// Nothing more will come.
    pub fn finish(mut self) -> Findings {
        while !self.records.is_empty() {
            self.forget_oldest();
        }
        self.found.foreign += self.strange.len() as u64;
        self.found
    }
}

#[cfg(test)]
mod tests;
