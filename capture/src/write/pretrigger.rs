//! Frames of the last moments, in memory that is never swapped.

use std::io;

use memmap2::MmapMut;

/// Before each frame: its time (8 bytes), original length, captured length and flags.
const HEADER: usize = 24;
/// In place of a captured length: the rest of the memory up to its end is unused.
const SKIP: u32 = u32::MAX;
/// Flags that were not given.
const NO_FLAGS: u32 = u32::MAX;

/// Frames not older than a span, in a fixed amount of locked memory; the oldest make room.
///
/// Frames of a network are other people's data: what was not asked to be kept must not reach the
/// disk by way of the swap, so the memory is locked (`mlock(2)`), kept out of core dumps
/// (`madvise(2)`, `MADV_DONTDUMP`), and wiped at the end.
#[derive(Debug)]
pub struct Pretrigger {
    memory: MmapMut,
    span_ns: i64,
    /// Where the oldest frame begins, and where the next one goes.
    head: usize,
    tail: usize,
    frames: u64,
    newest_ns: i64,
    passed: u64,
    /// The newest frame that made room before it was as old as the span.
    crowded_ns: Option<i64>,
}

/// A frame in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held<'a> {
    /// When it was received, nanoseconds since 1970.
    pub time_ns: i64,
    /// Its length on the wire.
    pub origlen: u32,
    /// `epb_flags`.
    pub flags: Option<u32>,
    /// What was captured.
    pub data: &'a [u8],
}

impl Pretrigger {
    /// With that much memory, locked.
    ///
    /// # Errors
    /// When the memory cannot be had or not be locked: a process without `CAP_IPC_LOCK` may lock
    /// `RLIMIT_MEMLOCK` bytes only.
    pub fn new(bytes: usize, span_ns: i64) -> io::Result<Self> {
        let memory = MmapMut::map_anon(bytes.max(4096))?;
        #[cfg(unix)]
        memory.lock()?;
        #[cfg(target_os = "linux")]
        memory.advise(memmap2::Advice::DontDump)?;
        Ok(Self {
            memory,
            span_ns,
            head: 0,
            tail: 0,
            frames: 0,
            newest_ns: i64::MIN,
            passed: 0,
            crowded_ns: None,
        })
    }

    /// Frames in memory.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Frames that were in memory and made room, because of their age or for newer ones.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// How far back the memory reaches, nanoseconds, where that is less than was asked for because
    /// there was too little of it.
    pub fn short_ns(&self) -> Option<i64> {
        let crowded = self.crowded_ns?;
        let reach = self.newest_ns.saturating_sub(crowded);
        (reach < self.span_ns).then_some(reach)
    }

    /// Takes a frame in. `false`: it is larger than the memory.
    pub fn push(&mut self, frame: &Held<'_>) -> bool {
        self.newest_ns = self.newest_ns.max(frame.time_ns);
        let oldest_ns = self.newest_ns.saturating_sub(self.span_ns);
        while let Some((time_ns, end)) = self.oldest() {
            if time_ns >= oldest_ns {
                break;
            }
            self.pass(end);
        }
        let need = (HEADER + frame.data.len()).next_multiple_of(8);
        // one byte stays free: head = tail means empty
        if need + HEADER >= self.memory.len() {
            self.passed += 1;
            self.crowded_ns = Some(frame.time_ns);
            return false;
        }
        while !self.fits(need) {
            let Some((time_ns, end)) = self.oldest() else { break };
            self.crowded_ns = Some(time_ns);
            self.pass(end);
        }
        if self.frames == 0 {
            (self.head, self.tail) = (0, 0);
        }
        if self.memory.len() - self.tail < need {
            if let Some(mark) = self.memory.get_mut(self.tail + 12..self.tail + 16) {
                mark.copy_from_slice(&SKIP.to_le_bytes());
            }
            self.tail = 0;
        }
        let place = &mut self.memory[self.tail..self.tail + need];
        place[..8].copy_from_slice(&frame.time_ns.to_le_bytes());
        place[8..12].copy_from_slice(&frame.origlen.to_le_bytes());
        place[12..16].copy_from_slice(&(frame.data.len() as u32).to_le_bytes());
        place[16..20].copy_from_slice(&frame.flags.unwrap_or(NO_FLAGS).to_le_bytes());
        place[HEADER..HEADER + frame.data.len()].copy_from_slice(frame.data);
        self.tail += need;
        self.frames += 1;
        true
    }

    /// Gives all frames, oldest first, and forgets them.
    pub fn drain(&mut self, mut each: impl FnMut(&Held<'_>)) {
        while let Some((_, end)) = self.oldest() {
            each(&self.held());
            self.head = end;
            self.frames -= 1;
        }
        self.crowded_ns = None;
    }

    /// Forgets all frames: they were not asked for.
    pub fn clear(&mut self) {
        self.passed += self.frames;
        (self.frames, self.head, self.tail) = (0, 0, 0);
    }

    fn pass(&mut self, end: usize) {
        self.head = end;
        self.frames -= 1;
        self.passed += 1;
    }

    /// Room for `need` bytes in one piece.
    fn fits(&self, need: usize) -> bool {
        if self.frames == 0 {
            return true;
        }
        if self.head >= self.tail {
            return self.tail + need < self.head;
        }
        self.memory.len() - self.tail >= need || need < self.head
    }

    fn word(&self, at: usize) -> u32 {
        let bytes = self.memory.get(at..at + 4).and_then(<[u8]>::first_chunk);
        bytes.map_or(SKIP, |bytes| u32::from_le_bytes(*bytes))
    }

    /// The time of the oldest frame, and where the one after it begins. Steps over the unused end.
    fn oldest(&mut self) -> Option<(i64, usize)> {
        if self.frames == 0 {
            return None;
        }
        if self.head + HEADER > self.memory.len() || self.word(self.head + 12) == SKIP {
            self.head = 0;
        }
        let caplen = self.word(self.head + 12) as usize;
        Some((self.time(), self.head + (HEADER + caplen).next_multiple_of(8)))
    }

    fn time(&self) -> i64 {
        let low = u64::from(self.word(self.head));
        (low | u64::from(self.word(self.head + 4)) << 32) as i64
    }

    fn held(&self) -> Held<'_> {
        let caplen = self.word(self.head + 12) as usize;
        let flags = self.word(self.head + 16);
        let data = self.head + HEADER;
        Held {
            time_ns: self.time(),
            origlen: self.word(self.head + 8),
            flags: (flags != NO_FLAGS).then_some(flags),
            data: self.memory.get(data..data + caplen).unwrap_or_default(),
        }
    }
}

impl Drop for Pretrigger {
    fn drop(&mut self) {
        self.memory.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_a_queue_with_the_same_bounds_would(
            frames in proptest::collection::vec(
                (0..40i64, 0..900usize, any::<Option<u16>>()), 1..200,
            ),
            bytes in 4096..9000usize,
            drain_at in 0..200usize,
        ) {
            let span = 300;
            let mut memory = Pretrigger::new(bytes, span).unwrap();
            let mut queue: VecDeque<(i64, Vec<u8>, Option<u32>)> = VecDeque::new();
            let (mut now, mut given) = (0, 0u64);
            for (n, (step, len, flags)) in frames.iter().enumerate() {
                now += step;
                let data = vec![n as u8; *len];
                let flags = flags.map(u32::from);
                let held = Held { time_ns: now, origlen: 1500, flags, data: &data };
                prop_assert!(memory.push(&held));
                queue.push_back((now, data, flags));
                // too old, or without room: the oldest go first, so what is left is the newest
                while queue.len() as u64 > memory.frames() {
                    queue.pop_front();
                }
                prop_assert!(queue.front().is_some_and(|(time, ..)| *time >= now - span));
                prop_assert_eq!(memory.passed() + memory.frames() + given, n as u64 + 1);
                if n == drain_at {
                    let mut seen = Vec::new();
                    memory.drain(|held| {
                        seen.push((held.time_ns, held.data.to_vec(), held.flags));
                    });
                    given += seen.len() as u64;
                    prop_assert_eq!(&seen, &Vec::from(std::mem::take(&mut queue)));
                }
            }
            let mut seen = Vec::new();
            memory.drain(|held| seen.push((held.time_ns, held.data.to_vec(), held.flags)));
            prop_assert_eq!(seen, Vec::from(queue));
        }
    }

    #[test]
    fn nothing_younger_than_the_span_goes_while_there_is_room() {
        let mut memory = Pretrigger::new(1 << 20, 1000).unwrap();
        for n in 0..100 {
            assert!(memory.push(&Held {
                time_ns: n * 20,
                origlen: 60,
                flags: None,
                data: &[1; 60]
            }));
        }
        // 980 to 1980
        assert_eq!((memory.frames(), memory.passed(), memory.short_ns()), (51, 49, None));
        let mut small = Pretrigger::new(4096, 1000).unwrap();
        for n in 0..100 {
            small.push(&Held { time_ns: n * 20, origlen: 60, flags: None, data: &[1; 60] });
        }
        assert!(small.short_ns().is_some_and(|ns| ns > 500 && ns < 1000), "{:?}", small.short_ns());
        assert!(!small.push(&Held { time_ns: 9, origlen: 9000, flags: None, data: &[1; 9000] }));
    }
}
