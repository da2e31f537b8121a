//! `inspect -i`: a live interface, read as a capture that is still being written.
//!
//! Frames become pcapng in memory as the kernel hands them over, and the reader reads that: every
//! way of looking at a file works unchanged, and nothing is stored. The end of the stream is
//! Ctrl-C, a number of frames, a time, or the interface being gone; what the kernel still holds
//! then is read first, and every frame that came by is accounted for.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use capture::Source;
use capture::format::InterfaceCounters;
use capture::write::{FrameOptions, InterfaceSpec, PcapngWriter, SectionSpec, StatisticsSpec};
use nic::link::{self, LinkCounters};
use nic::packet::{Config, Direction, Frame, LinkChange, PacketRx, RxCounts, SNAPLEN_MAX, Wake};

use crate::capture::stop::{Ended, Signals};
use crate::capture::{compile, privilege};
use crate::cli::Globals;
use crate::exit::Exit;
use crate::term::grouped;
use crate::walk::talk;

/// How long one page listens where nobody said how long.
pub(super) const PAGE: Duration = Duration::from_secs(10);
/// The longest sleep, so that a signal is seen soon whichever thread it met.
const LOOK: Duration = Duration::from_millis(50);
/// How long the end may take: the kernel hands its last block over after a few milliseconds.
const DRAIN: Duration = Duration::from_secs(2);
/// pcapng `epb_flags` (draft-ietf-opsawg-pcapng 4.3.1): bits 0 and 1 = 2: outbound.
const OUTBOUND: u32 = 2;
/// Bit 9: the checksum is left to the card.
const CHECKSUM_PENDING: u32 = 1 << 9;

/// What is listened for, and until when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listen<'a> {
    /// In tcpdump's syntax; the kernel filters.
    pub(crate) filter: Option<&'a str>,
    pub(crate) count: Option<u64>,
    pub(crate) seconds: Option<Duration>,
}

/// An interface that is listened to.
pub(crate) struct Live(Arc<Mutex<Session>>);

impl Live {
    /// Starts to listen, and gives root up.
    pub(crate) fn open(
        listen: &Listen<'_>,
        interface: &str,
        globals: &Globals,
    ) -> anyhow::Result<Self> {
        let filter = match listen.filter {
            Some(expression) => compile(interface, expression)?,
            None => Vec::new(),
        };
        let config = Config { filter, ..Config::default() };
        let signals = Signals::new().context("cannot watch for Ctrl-C")?;
        let rx = PacketRx::open(interface, &config)?;
        privilege::drop_root(std::path::Path::new("capture"))?;
        let seconds = listen.seconds;
        if !globals.quiet {
            let until = match (seconds, listen.count) {
                (Some(time), None) => format!(" for {time:?}; Ctrl-C ends it sooner"),
                (None, Some(count)) => {
                    format!(" for {} frames; Ctrl-C ends it sooner", grouped(count))
                }
                _ => "; Ctrl-C ends it".to_owned(),
            };
            talk(&format!("listening on {interface}{until}; nothing is stored"));
        }
        let writer = stream_begun(&rx, listen.filter)?;
        let begun = Instant::now();
        Ok(Self(Arc::new(Mutex::new(Session {
            before: rx.link().counters,
            rx,
            writer,
            given: 0,
            signals,
            left: listen.count.unwrap_or(u64::MAX),
            until: seconds.and_then(|time| begun.checked_add(time)),
            tally: Tally::default(),
            ended: None,
            error: None,
        }))))
    }

    /// The frames as a capture.
    pub(crate) fn source(&self) -> Result<Source, capture::Error> {
        let name = lock(&self.0).rx.link().name.clone();
        Source::from_read(&name, Box::new(Stream(Arc::clone(&self.0))))
    }

    /// Ends it where nothing else has, and says what came by. The result is how the program ends.
    pub(crate) fn finish(&self, globals: &Globals) -> anyhow::Result<Exit> {
        let mut session = lock(&self.0);
        if session.ended.is_none() {
            // enough was seen: what comes now is nobody's
            session.left = 0;
            session.close(None)?;
        }
        let tally = &session.tally;
        if !globals.quiet || tally.dropped() > 0 || !tally.balances() {
            talk(&tally.text(&session.rx.link().name));
        }
        if !tally.balances() {
            talk(
                "framewalk: the counts do not add up; this is a fault of framewalk, please \
                 report it",
            );
            return Ok(Exit::OurFault);
        }
        match session.ended {
            Some(Ended::InterfaceGone | Ended::Failed) => Ok(Exit::Failed),
            _ => Ok(Exit::Done),
        }
    }
}

fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The section and the one interface.
fn stream_begun(
    rx: &PacketRx,
    filter: Option<&str>,
) -> Result<PcapngWriter<Vec<u8>>, capture::Error> {
    let mut writer = PcapngWriter::new(Vec::new(), &SectionSpec::default())?;
    writer.add_interface(&InterfaceSpec {
        linktype: rx.linktype(),
        snaplen: SNAPLEN_MAX,
        name: Some(&rx.link().name),
        filter,
        comments: &["times: the kernel's, when it received the frame (CLOCK_REALTIME)"],
        ..InterfaceSpec::default()
    })?;
    Ok(writer)
}

/// What came by, at the end.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    rx: RxCounts,
    /// Frames given to the reader.
    read: u64,
    /// Frames beyond those wanted: neither seen nor read, for the report.
    past_end: u64,
    /// Frames the interface had no room for, before any socket saw them.
    interface_dropped: u64,
    /// Every frame that reached the socket was read or counted as dropped.
    drained: bool,
}

impl Tally {
    fn seen(&self) -> u64 {
        self.rx.seen.saturating_sub(self.past_end) + self.interface_dropped
    }

    fn dropped(&self) -> u64 {
        self.rx.dropped + self.interface_dropped
    }

    fn balances(&self) -> bool {
        self.drained && self.seen() == self.read + self.rx.filtered + self.dropped()
    }

    fn text(&self, interface: &str) -> String {
        let filtered = match self.rx.filtered {
            0 => String::new(),
            count => format!(" + filtered {}", grouped(count)),
        };
        let mut places = Vec::new();
        for (place, count, why) in [
            ("interface", self.interface_dropped, crate::term::INTERFACE_DROPS),
            ("kernel", self.rx.dropped, "no room in the receive ring: we did not keep up"),
        ] {
            if count > 0 {
                places.push(format!("{place} {}, {why}", grouped(count)));
            }
        }
        let places =
            if places.is_empty() { String::new() } else { format!(" ({})", places.join("; ")) };
        format!(
            "{interface}: seen {} = read {}{filtered} + dropped {}{places}",
            grouped(self.seen()),
            grouped(self.read),
            grouped(self.dropped()),
        )
    }
}

/// What the reader reads.
struct Stream(Arc<Mutex<Session>>);

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        lock(&self.0).read(buf)
    }
}

struct Session {
    rx: PacketRx,
    /// The interface's own counters at the beginning.
    before: LinkCounters,
    writer: PcapngWriter<Vec<u8>>,
    /// Bytes of the writer's that were read.
    given: usize,
    signals: Signals,
    /// Frames still wanted.
    left: u64,
    until: Option<Instant>,
    tally: Tally,
    /// Nothing comes any more.
    ended: Option<Ended>,
    /// What the writer said of a frame.
    error: Option<capture::Error>,
}

impl Session {
    /// Waits until there is something to read; 0 at the end.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let made = self.writer.get_mut();
            if self.given < made.len() {
                let rest = &made[self.given..];
                let count = rest.len().min(buf.len());
                buf[..count].copy_from_slice(&rest[..count]);
                self.given += count;
                return Ok(count);
            }
            made.clear();
            self.given = 0;
            if self.ended.is_some() {
                return Ok(0);
            }
            self.fill().map_err(io::Error::other)?;
        }
    }

    /// What came, or what ended it.
    fn fill(&mut self) -> anyhow::Result<()> {
        if let Some(ended) = self.signals.came() {
            return self.close(Some(ended));
        }
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        if self.left == 0 || left == Some(Duration::ZERO) {
            return self.close(None);
        }
        match self.rx.poll(left.unwrap_or(LOOK).min(LOOK)) {
            Ok(Wake::Frames) => self.take(|rx, each| {
                rx.read(each);
                Ok(())
            }),
            Ok(Wake::Nothing) => Ok(()),
            Ok(Wake::Link(change)) => {
                talk(&format!("framewalk: {}", words(&change, &self.rx.link().name)));
                match change {
                    LinkChange::Gone => self.close(Some(Ended::InterfaceGone)),
                    _ => Ok(()),
                }
            }
            Err(error) => {
                let closed = self.close(Some(Ended::Failed));
                Err(closed.err().unwrap_or_else(|| error.into()))
            }
        }
    }

    /// Turns what `from` hands over into blocks of pcapng.
    fn take(
        &mut self,
        from: impl FnOnce(&mut PacketRx, &mut dyn FnMut(&Frame<'_>)) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Self { rx, writer, left, tally, error, .. } = self;
        from(rx, &mut |frame| {
            if *left == 0 {
                tally.past_end += 1;
                return;
            }
            let sent = if frame.direction == Direction::Sent { OUTBOUND } else { 0 };
            let pending = if frame.checksum_pending { CHECKSUM_PENDING } else { 0 };
            let flags = Some(sent | pending).filter(|flags| *flags != 0);
            let options = FrameOptions { flags, ..FrameOptions::default() };
            match writer.write_frame(0, frame.time_ns, frame.origlen, frame.data, &options) {
                Ok(()) => {
                    *left -= 1;
                    tally.read += 1;
                }
                Err(failed) => {
                    *left = 0;
                    tally.past_end += 1;
                    error.get_or_insert(failed);
                }
            }
        })?;
        self.error.take().map_or(Ok(()), |error| Err(error.into()))
    }

    /// Listens no longer: takes what came before, and counts.
    fn close(&mut self, ended: Option<Ended>) -> anyhow::Result<()> {
        if self.ended.is_some() {
            return Ok(());
        }
        self.ended = Some(ended.unwrap_or_else(|| Ended::Condition("as was asked".to_owned())));
        // nothing new from here on; what the kernel still holds came before
        self.rx.stop()?;
        let mut drained = false;
        self.take(|rx, each| {
            drained = rx.drain(DRAIN, each)?;
            Ok(())
        })?;
        self.tally.drained = drained;
        self.tally.rx = self.rx.counts()?;
        let now = link::by_index(self.rx.link().index).ok().flatten();
        let own = now.map_or_else(LinkCounters::default, |now| now.counters.since(&self.before));
        self.tally.interface_dropped = own.rx_dropped + own.rx_missed;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time_ns = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
        let Tally { rx, read, interface_dropped, .. } = self.tally;
        let counters = InterfaceCounters {
            received: Some(self.tally.seen()),
            dropped: Some(interface_dropped),
            filter_accepted: Some(rx.seen.saturating_sub(rx.filtered)),
            os_dropped: Some(rx.dropped),
            delivered: Some(read),
        };
        let statistics = StatisticsSpec { time_ns, counters, ..StatisticsSpec::default() };
        Ok(self.writer.write_statistics(0, &statistics)?)
    }
}

/// What happened to the interface.
fn words(change: &LinkChange, name: &str) -> String {
    match change {
        LinkChange::Down => format!("{name} went down; waiting for it to come up"),
        LinkChange::Up => format!("{name} is up again"),
        LinkChange::Renamed { from, to } => format!("{from} is called {to} now"),
        LinkChange::Gone => format!("{name} is gone"),
        LinkChange::Back => format!("{name} is there again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tally_names_every_place_and_notices_what_is_missing() {
        let rx = RxCounts { seen: 1_210, dropped: 40, filtered: 70, ..RxCounts::default() };
        let mut tally =
            Tally { rx, read: 1_090, past_end: 10, interface_dropped: 5, drained: true };
        assert!(tally.balances());
        let text = tally.text("eth0");
        assert!(text.starts_with("eth0: seen 1,205 = read 1,090 + filtered 70 + dropped 45 ("));
        assert!(text.contains("interface 5, no room") && text.contains("kernel 40, "), "{text}");
        tally.read -= 1;
        assert!(!tally.balances());
        let quiet = Tally { drained: true, ..Tally::default() };
        assert_eq!(quiet.text("lo"), "lo: seen 0 = read 0 + dropped 0");
        assert!(!Tally::default().balances(), "something may be left in the ring");
    }
}
