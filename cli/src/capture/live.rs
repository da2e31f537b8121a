//! The loop: out of the ring, into the file, until something ends it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use capture::format::InterfaceCounters;
use capture::write::{Recorded, Recorder};
use nic::link::{self, LinkCounters};
use nic::packet::{Direction, Frame, LinkChange, PacketRx, RxCounts, Wake};
use skb::LinkType;
use skb::locate::headers_len;

use super::Args;
use super::stop::{Conditions, Ended, Signals};
use super::view::{Shot, View};
use crate::walk::talk;

/// Between two looks at everything but frames.
const TICK: Duration = Duration::from_secs(1);
/// How long the end may take: the kernel hands its last block over after a few milliseconds.
const DRAIN: Duration = Duration::from_secs(2);

/// pcapng `epb_flags` (draft-ietf-opsawg-pcapng 4.3.1): bits 0 and 1 = 2: outbound.
const OUTBOUND: u32 = 2;
/// Bit 9: the checksum is left to the card.
const CHECKSUM_PENDING: u32 = 1 << 9;

/// What a capture came to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) ended: Ended,
    pub(super) seconds: f64,
    pub(super) rx: RxCounts,
    /// Frames read after the last one that was wanted; neither seen nor written, for the report.
    pub(super) past_end: u64,
    pub(super) recorded: Recorded,
    /// What the interface itself has counted over the same time.
    pub(super) interface: LinkCounters,
    /// Every frame that reached the socket was read or counted as dropped.
    pub(super) drained: bool,
    pub(super) caplen_bytes: u64,
    pub(super) origlen_bytes: u64,
    /// What ended it in failure.
    pub(super) error: Option<anyhow::Error>,
}

impl Outcome {
    /// Frames that the interface had no room for, before any socket saw them.
    pub(super) fn interface_dropped(&self) -> u64 {
        self.interface.rx_dropped + self.interface.rx_missed
    }

    /// Every frame that came by, as far as anyone has counted.
    pub(super) fn seen(&self) -> u64 {
        self.rx.seen - self.past_end + self.interface_dropped()
    }

    /// `seen = written + filtered + dropped`, and nothing left in the ring.
    pub(super) fn balances(&self) -> bool {
        let dropped = self.rx.dropped + self.interface_dropped() + self.recorded.lost;
        self.drained && self.seen() == self.recorded.written + self.rx.filtered + dropped
    }
}

/// Nanoseconds since 1970.
pub(super) fn epoch_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Takes frames into the file, up to the number that is wanted.
struct Taker {
    recorder: Recorder,
    linktype: LinkType,
    headers: bool,
    left: u64,
    past_end: u64,
    caplen_bytes: u64,
    origlen_bytes: u64,
}

impl Taker {
    #[inline]
    fn take(&mut self, frame: &Frame<'_>) {
        if self.left == 0 {
            self.past_end += 1;
            return;
        }
        let mut data = frame.data;
        if self.headers {
            data = &data[..headers_len(self.linktype, data)];
        }
        let sent = if frame.direction == Direction::Sent { OUTBOUND } else { 0 };
        let pending = if frame.checksum_pending { CHECKSUM_PENDING } else { 0 };
        let flags = sent | pending;
        let flags = (flags != 0).then_some(flags);
        if !self.recorder.frame(0, frame.time_ns, frame.origlen, data, flags) {
            self.left = 0;
            self.past_end += 1;
            return;
        }
        self.left -= 1;
        self.caplen_bytes += data.len() as u64;
        self.origlen_bytes += u64::from(frame.origlen);
    }

    fn done(&self) -> Option<Ended> {
        match (self.left, self.recorder.is_full()) {
            (_, true) => Some(Ended::Budget),
            (0, _) => Some(Ended::Condition("as many frames as were wanted".to_owned())),
            _ => None,
        }
    }
}

/// Captures until something ends it.
pub(super) fn run(
    args: &Args,
    rx: &mut PacketRx,
    recorder: Recorder,
    conditions: &Conditions,
    signals: &Signals,
    mut view: View,
) -> anyhow::Result<Outcome> {
    let mut before = rx.link().counters;
    let mut taker = Taker {
        recorder,
        linktype: rx.linktype(),
        headers: args.headers,
        left: conditions.frames,
        past_end: 0,
        caplen_bytes: 0,
        origlen_bytes: 0,
    };
    let begun = Instant::now();
    let (mut newest, mut ticked) = (begun, begun);
    let mut interface = LinkCounters::default();
    let mut trouble = Trouble::default();
    let mut error = None;
    let ended = loop {
        if let Some(ended) = signals.came().or_else(|| taker.done()) {
            break ended;
        }
        let recorded = taker.recorder.recorded();
        let finished = recorded.files.saturating_sub(1);
        if let Some(ended) = conditions.met(begun, newest, recorded.bytes, finished) {
            break ended;
        }
        let patience = conditions.patience(begun).min(Duration::from_millis(200));
        match rx.poll(patience) {
            Ok(Wake::Frames) => {
                // a tick's worth at most, however fast they come
                let mut blocks = 0;
                while blocks < 64 && taker.left > 0 && rx.read(|frame| taker.take(frame)) > 0 {
                    blocks += 1;
                }
                newest = Instant::now();
            }
            Ok(Wake::Nothing) => {}
            Ok(Wake::Link(change)) => {
                note(args, &mut taker.recorder, &change);
                if change == LinkChange::Gone && !args.wait_for_interface {
                    break Ended::InterfaceGone;
                }
                if change == LinkChange::Back {
                    before = rx.link().counters;
                }
            }
            Err(failed) => {
                error = Some(failed.into());
                break Ended::Failed;
            }
        }
        if ticked.elapsed() >= TICK {
            ticked = Instant::now();
            let counts = rx.counts()?;
            interface = now(rx, &before).unwrap_or(interface);
            taker.recorder.set_counters(counters(&counts, &interface));
            taker.recorder.tick();
            trouble.look(&mut taker.recorder);
            view.show(&Shot {
                elapsed: begun.elapsed(),
                rx: counts,
                recorded: taker.recorder.recorded(),
                interface,
                ring: rx.ring_fill(),
                origlen_bytes: taker.origlen_bytes,
            });
        }
    };
    view.clear();
    // nothing new from here on; what the kernel still holds came before and is kept
    rx.stop()?;
    let seconds = begun.elapsed().as_secs_f64();
    let drained = rx.drain(DRAIN, |frame| taker.take(frame))?;
    let rx_counts = rx.counts()?;
    interface = now(rx, &before).unwrap_or(interface);
    taker.recorder.set_counters(counters(&rx_counts, &interface));
    let recorded = taker.recorder.finish(epoch_ns());
    trouble.look(&mut taker.recorder);
    Ok(Outcome {
        ended,
        seconds,
        rx: rx_counts,
        past_end: taker.past_end,
        recorded,
        interface,
        drained,
        caplen_bytes: taker.caplen_bytes,
        origlen_bytes: taker.origlen_bytes,
        error: error.or_else(|| trouble.into_error()),
    })
}

/// What the interface has counted since; `None` when it is not there.
fn now(rx: &PacketRx, before: &LinkCounters) -> Option<LinkCounters> {
    let link = link::by_index(rx.link().index).ok()??;
    Some(link.counters.since(before))
}

/// For the file: what pcapng has a field for (4.6).
fn counters(rx: &RxCounts, interface: &LinkCounters) -> InterfaceCounters {
    let missed = interface.rx_dropped + interface.rx_missed;
    InterfaceCounters {
        received: Some(rx.seen + missed),
        dropped: Some(missed),
        filter_accepted: Some(rx.seen.saturating_sub(rx.filtered)),
        os_dropped: Some(rx.dropped),
        delivered: Some(rx.read.saturating_sub(rx.filtered)),
    }
}

fn note(args: &Args, recorder: &mut Recorder, change: &LinkChange) {
    let name = &args.interface;
    let text = match change {
        LinkChange::Down => format!("{name} went down; waiting for it to come up"),
        LinkChange::Up => format!("{name} is up again"),
        LinkChange::Renamed { from, to } => format!("{from} is called {to} now"),
        LinkChange::Gone if args.wait_for_interface => {
            format!("{name} is gone; waiting for one of that name")
        }
        LinkChange::Gone => format!("{name} is gone"),
        LinkChange::Back => format!("{name} is there again"),
    };
    talk(&format!("framewalk: {text}"));
    recorder.note(epoch_ns(), &text);
}

/// What the disk said, told once for as long as it lasts.
#[derive(Default)]
struct Trouble {
    first: Option<anyhow::Error>,
    told: Option<Instant>,
    lost: u64,
}

/// Not told again for so long.
const TELL_EVERY: Duration = Duration::from_secs(10);

impl Trouble {
    fn look(&mut self, recorder: &mut Recorder) {
        let Some(error) = recorder.take_trouble() else { return };
        let lost = recorder.recorded().lost;
        if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            self.told = Some(Instant::now());
            let error = anyhow::Error::new(error);
            talk(&format!(
                "framewalk: {}; {} frames lost at the disk so far; capture goes on, and writes \
                 again when there is room",
                crate::exit::chain_text(&error),
                crate::term::grouped(lost)
            ));
            self.first.get_or_insert(error);
        }
        self.lost = lost;
    }

    fn into_error(self) -> Option<anyhow::Error> {
        self.first
    }
}
