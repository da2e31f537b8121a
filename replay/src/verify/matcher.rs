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
/// Frames that are looked at for each one: unknown ones for one missing, those of the same bytes
/// for one that came.
const LOOKS: usize = 256;
/// An unknown frame of which so many eighths are those of a missing one is that one, damaged.
const SAME_MIN: usize = 4;
/// Frames of each kind that are named.
const NAMED_MAX: usize = 8;

/// One that comes this many frames late is not looked for among those of the same bytes.
const STALE: u64 = 1 << 16;

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
    /// The next awaited one of the same bytes.
    next: u64,
}

/// Frames of the same bytes.
#[derive(Debug)]
struct Group {
    /// The first and the last of a list of those awaited, or `NONE`.
    first: u64,
    last: u64,
    /// The one sent last, and the one that came last, or `NONE`.
    newest: u64,
    came: u64,
    /// Those in the window.
    records: u32,
}

/// What a frame that came is.
enum Is {
    /// That one.
    Frame(u64),
    /// That one once more.
    Again(u64),
    Unknown,
}

/// A frame that came and is none of those awaited.
#[derive(Debug)]
struct Strange {
    parts: Parts,
    /// The frame that it would be if it were one of ours, by what came before it.
    place: u64,
}

/// Takes the record `at`, which comes after `before`, off the list of its group.
fn unlink(records: &mut VecDeque<Record>, first: u64, group: &mut Group, before: u64, at: u64) {
    let next = records.get((at - first) as usize).map_or(NONE, |record| record.next);
    if before == NONE {
        group.first = next;
    } else if let Some(record) = records.get_mut((before - first) as usize) {
        record.next = next;
    }
    if next == NONE {
        group.last = before;
    }
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
        let group = self.groups.entry(mark.hash).or_insert(Group {
            first: NONE,
            last: NONE,
            newest: NONE,
            came: NONE,
            records: 0,
        });
        group.records += 1;
        group.newest = number;
        let last = std::mem::replace(&mut group.last, number);
        if last == NONE {
            group.first = number;
        } else if let Some(record) = self.records.get_mut((last - self.first) as usize) {
            record.next = number;
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
        let number = match self.find(self.seed.hash(frame)) {
            Is::Unknown => return self.strange(Parts::of(frame)),
            Is::Again(number) => {
                self.found.duplicated += 1;
                let frame = self.name_of(number);
                return name(&mut self.found.named.duplicated, frame);
            }
            Is::Frame(number) => number,
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

    /// Of the frames of the same bytes, the awaited one that is nearest to where this one came;
    /// or the one that came just before, if all awaited ones are far.
    fn find(&mut self, hash: u64) -> Is {
        let Some(group) = self.groups.get_mut(&hash) else { return Is::Unknown };
        let (place, first) = (self.place, self.first);
        let (mut before, mut at) = (NONE, group.first);
        let mut best: Option<(u64, u64, u64)> = None;
        for _ in 0..LOOKS {
            let Some(record) = self.records.get((at.wrapping_sub(first)) as usize) else { break };
            let next = record.next;
            if record.state != State::Awaited || at.saturating_add(STALE) < place {
                unlink(&mut self.records, first, group, before, at);
                at = next;
                continue;
            }
            let away = at.abs_diff(place);
            if best.is_some_and(|(nearest, ..)| nearest <= away) {
                break;
            }
            best = Some((away, before, at));
            (before, at) = (at, next);
        }
        let kept = group.came != NONE && group.came >= first;
        let again = if kept { group.came } else { group.newest };
        let Some((away, before, at)) = best else { return Is::Again(again) };
        // far: further than what came before by more than small disorder explains
        if group.came != NONE && away > 4 * (place.abs_diff(group.came) + 1) {
            return Is::Again(again);
        }
        unlink(&mut self.records, first, group, before, at);
        group.came = at;
        if let Some(record) = self.records.get_mut((at - first) as usize) {
            record.state = State::Received;
        }
        Is::Frame(at)
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
        let (number, mark, state) = (self.first, record.mark, record.state);
        let hash = mark.hash;
        if let Some(group) = self.groups.get_mut(&hash)
            && group.first == number
        {
            unlink(&mut self.records, number, group, NONE, number);
        }
        if state == State::Awaited {
            self.awaited -= 1;
            self.missing(number, &mark);
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
