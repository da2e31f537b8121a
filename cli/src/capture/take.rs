//! What becomes of a frame: cut, held for a trigger, counted, written.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use capture::filter::Filter;
use capture::write::{Held, Pretrigger, Recorder};
use nic::packet::{Direction, Frame};
use replay::rewrite::Anonymizer;
use skb::locate::{L3, headers_len, locate};
use skb::{LinkType, MacAddr};

use super::stop::Ended;

/// pcapng `epb_flags` (draft-ietf-opsawg-pcapng 4.3.1): bits 0 and 1 = 2: outbound.
const OUTBOUND: u32 = 2;
/// Bit 9: the checksum is left to the card.
const CHECKSUM_PENDING: u32 = 1 << 9;
/// Pairs of talkers told apart between two looks.
const PAIRS_MAX: usize = 4096;

/// Takes frames into the file, up to the number that is wanted.
#[derive(Debug)]
pub(super) struct Taker {
    pub(super) recorder: Recorder,
    pub(super) linktype: LinkType,
    /// Frames are cut after their transport header.
    pub(super) headers: bool,
    pub(super) anonymizer: Option<Anonymizer>,
    /// Where a frame is changed.
    pub(super) scratch: Vec<u8>,
    /// Frames still wanted.
    pub(super) left: u64,
    pub(super) past_end: u64,
    pub(super) caplen_bytes: u64,
    pub(super) origlen_bytes: u64,
    /// Of all frames that passed the filter, written or not.
    pub(super) heard_bytes: u64,
    /// When frames came last.
    pub(super) newest: Instant,
    pub(super) trigger: Option<Trigger>,
    /// Counted where someone looks.
    pub(super) talkers: Option<Talkers>,
}

impl Taker {
    #[inline]
    pub(super) fn take(&mut self, frame: &Frame<'_>) {
        if self.left == 0 {
            self.past_end += 1;
            return;
        }
        self.heard_bytes += u64::from(frame.origlen);
        if let Some(talkers) = &mut self.talkers {
            talkers.count(self.linktype, frame);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut data = frame.data;
        if let Some(anonymizer) = &mut self.anonymizer {
            scratch.clear();
            scratch.extend_from_slice(data);
            anonymizer.frame(self.linktype, &mut scratch);
            data = &scratch;
        }
        if self.headers {
            data = &data[..headers_len(self.linktype, data)];
        }
        let sent = if frame.direction == Direction::Sent { OUTBOUND } else { 0 };
        let pending = if frame.checksum_pending { CHECKSUM_PENDING } else { 0 };
        let flags = sent | pending;
        let flags = (flags != 0).then_some(flags);
        let held = Held { time_ns: frame.time_ns, origlen: frame.origlen, flags, data };
        if self.trigger.is_none() || !self.held_back(frame, &held) {
            self.write(&held);
        }
        self.scratch = scratch;
    }

    #[inline]
    fn write(&mut self, frame: &Held<'_>) {
        let Held { time_ns, origlen, flags, data } = *frame;
        if self.left == 0 || !self.recorder.frame(0, time_ns, origlen, data, flags) {
            self.left = 0;
            self.past_end += 1;
            return;
        }
        self.left -= 1;
        self.caplen_bytes += data.len() as u64;
        self.origlen_bytes += u64::from(origlen);
    }

    /// With a trigger: `true` if the frame is not to be written now. A frame that fires it brings
    /// those before it into the file.
    fn held_back(&mut self, frame: &Frame<'_>, held: &Held<'_>) -> bool {
        // out of the way while its frames are written
        let Some(mut trigger) = self.trigger.take() else { return false };
        let wanted = trigger.wants(self.linktype, frame);
        match wanted {
            Wanted::No => {
                trigger.memory.push(held);
            }
            Wanted::Fires => {
                let note = trigger.note();
                self.recorder.note(frame.time_ns, &note);
                trigger.memory.drain(|before| self.write(before));
            }
            Wanted::After => {}
        }
        self.trigger = Some(trigger);
        wanted == Wanted::No
    }

    /// Copies of a frame before it is written.
    pub(super) fn copies(&self) -> u32 {
        u32::from(self.trigger.is_some()) + u32::from(self.anonymizer.is_some())
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self) {
        if let Some(trigger) = &mut self.trigger {
            trigger.memory.clear();
        }
    }

    /// Frames that no trigger asked for, those that wait for one now among them.
    pub(super) fn untriggered(&self) -> u64 {
        self.trigger.as_ref().map_or(0, |trigger| trigger.memory.passed() + trigger.memory.frames())
    }

    pub(super) fn done(&self) -> Option<Ended> {
        match (self.left, self.recorder.is_full()) {
            (_, true) => Some(Ended::Budget),
            (0, _) => Some(Ended::Condition("as many frames as were wanted".to_owned())),
            _ => None,
        }
    }
}

/// Waits for a frame that matches, and knows those before it.
#[derive(Debug)]
pub(super) struct Trigger {
    pub(super) filter: Filter,
    pub(super) memory: Pretrigger,
    pub(super) before_ns: i64,
    pub(super) after_ns: i64,
    /// Everything is written until then.
    until_ns: i64,
    /// Moments that began with a frame that matched.
    pub(super) fired: u64,
    /// The memory was too small at one of them: what it held, nanoseconds, at the worst.
    pub(super) short_ns: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    No,
    Fires,
    After,
}

impl Trigger {
    pub(super) fn new(filter: Filter, memory: Pretrigger, before_ns: i64, after_ns: i64) -> Self {
        let until_ns = i64::MIN;
        Self { filter, memory, before_ns, after_ns, until_ns, fired: 0, short_ns: None }
    }

    fn wants(&mut self, linktype: LinkType, frame: &Frame<'_>) -> Wanted {
        let open = frame.time_ns <= self.until_ns;
        // compiled for the interface's link type when it was opened: no error can come
        if !self.filter.matches(linktype, frame.origlen, frame.data).unwrap_or(false) {
            return if open { Wanted::After } else { Wanted::No };
        }
        self.until_ns = self.until_ns.max(frame.time_ns.saturating_add(self.after_ns));
        if open {
            return Wanted::After;
        }
        self.fired += 1;
        if let Some(short) = self.memory.short_ns() {
            self.short_ns = Some(self.short_ns.map_or(short, |worst| worst.min(short)));
        }
        Wanted::Fires
    }

    fn note(&self) -> String {
        format!(
            "trigger: a frame matched `{}`; the {} frames before it follow, of {} at most",
            self.filter.expression(),
            self.memory.frames(),
            crate::term::duration(self.before_ns.unsigned_abs()),
        )
    }
}

/// Who talks to whom, between two looks at it.
#[derive(Debug, Default)]
pub(super) struct Talkers {
    pairs: HashMap<Pair, u64, foldhash::fast::RandomState>,
    /// Bytes of pairs beyond those that are told apart.
    others: u64,
}

/// Two addresses, the lower one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Pair {
    Ip(IpAddr, IpAddr),
    Mac([u8; 6], [u8; 6]),
}

impl std::fmt::Display for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(a, b) => write!(f, "{a} - {b}"),
            Self::Mac(a, b) => write!(f, "{} - {}", MacAddr(*a), MacAddr(*b)),
        }
    }
}

impl Talkers {
    fn count(&mut self, linktype: LinkType, frame: &Frame<'_>) {
        let Some(pair) = pair(linktype, frame.data) else { return };
        let bytes = u64::from(frame.origlen);
        if let Some(count) = self.pairs.get_mut(&pair) {
            *count += bytes;
        } else if self.pairs.len() < PAIRS_MAX {
            self.pairs.insert(pair, bytes);
        } else {
            self.others += bytes;
        }
    }

    /// The pairs with the most bytes since the last call, most first.
    pub(super) fn top(&mut self, most: usize) -> Vec<(Pair, u64)> {
        let mut all: Vec<(Pair, u64)> = self.pairs.drain().collect();
        self.others = 0;
        all.sort_unstable_by_key(|(pair, bytes)| (std::cmp::Reverse(*bytes), *pair));
        all.truncate(most);
        all
    }
}

fn pair(linktype: LinkType, data: &[u8]) -> Option<Pair> {
    fn array<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
        data.get(at..at + N)?.try_into().ok()
    }
    let at = locate(linktype, data);
    let l3 = usize::from(at.l3);
    let ip = |a: IpAddr, b: IpAddr| Some(Pair::Ip(a.min(b), a.max(b)));
    match at.kind {
        L3::Ipv4 => {
            let address = |at| array::<4>(data, at).map(IpAddr::from);
            ip(address(l3 + 12)?, address(l3 + 16)?)
        }
        L3::Ipv6 => {
            let address = |at| array::<16>(data, at).map(IpAddr::from);
            ip(address(l3 + 8)?, address(l3 + 24)?)
        }
        _ if linktype == LinkType::ETHERNET => {
            let (a, b) = (array::<6>(data, 6)?, array::<6>(data, 0)?);
            Some(Pair::Mac(a.min(b), a.max(b)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn talkers_are_pairs_whoever_speaks() {
        let frame = |data: &'static [u8], origlen| Frame {
            data,
            origlen,
            time_ns: 0,
            hardware_time: false,
            direction: Direction::Unknown,
            checksum_pending: false,
        };
        const THERE: [u8; 34] = [
            2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10,
            0, 0, 1, 10, 0, 0, 2,
        ];
        const BACK: [u8; 34] = [
            2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10,
            0, 0, 2, 10, 0, 0, 1,
        ];
        const OTHER: [u8; 14] = [1, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 9, 0x88, 0xcc];
        let mut talkers = Talkers::default();
        for (data, origlen) in [(&THERE[..], 100), (&BACK[..], 1500), (&OTHER[..], 60)] {
            talkers.count(LinkType::ETHERNET, &frame(data, origlen));
        }
        let top = talkers.top(5);
        let shown: Vec<String> =
            top.iter().map(|(pair, bytes)| format!("{pair} {bytes}")).collect();
        assert_eq!(shown, ["10.0.0.1 - 10.0.0.2 1600", "01:80:c2:00:00:00 - 02:00:00:00:00:09 60"]);
        assert!(talkers.top(5).is_empty(), "counted anew after each look");
    }
}
