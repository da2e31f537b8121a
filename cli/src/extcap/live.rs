//! A live interface into Wireshark's pipe.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use capture::format::InterfaceCounters;
use capture::write::{FrameOptions, InterfaceSpec, PcapngWriter, SectionSpec, StatisticsSpec};
use nic::link::{self, Link};
use nic::packet::{Config, Direction, Frame, LinkChange, PacketRx, RxCounts, Wake};
use skb::LinkType;
use skb::locate::headers_len;

use super::fifo::{self, FLUSH_AFTER, reader_left};
use crate::capture::stop::Signals;
use crate::capture::{compile, privilege};
use crate::exit::Exit;

/// How long the end may take: the kernel hands its last block over after a few milliseconds.
const DRAIN: Duration = Duration::from_secs(2);
/// Blocks of the ring that are read before anything else is looked at.
const BLOCKS: usize = 16;
/// `ARPHRD_*` of `linux/if_arp.h`: Ethernet, loopback; raw IP, and devices without any header.
const WITH_ETHERNET: [u16; 2] = [1, 772];
const WITHOUT: [u16; 2] = [519, 0xfffe];
/// pcapng `epb_flags` (draft-ietf-opsawg-pcapng 4.3.1): inbound, outbound, and a checksum that is
/// left to the card.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;
const CHECKSUM_PENDING: u32 = 1 << 9;

/// Of a kind that can be captured from.
pub(super) fn is_readable(link: &Link) -> bool {
    WITH_ETHERNET.contains(&link.hardware) || WITHOUT.contains(&link.hardware)
}

/// Whether frames of the device begin with an Ethernet header.
pub(super) fn is_ethernet(name: &str) -> anyhow::Result<bool> {
    Ok(WITH_ETHERNET.contains(&link::by_name(name)?.hardware))
}

/// Captures into the pipe until its reader goes away or asks for the end.
pub(super) fn run(
    name: &str,
    path: &Path,
    filter: Option<&str>,
    headers: bool,
    snaplen: u32,
) -> anyhow::Result<Exit> {
    let program = match filter {
        Some(expression) => compile(name, expression)?,
        None => Vec::new(),
    };
    let signals = Signals::new().context("cannot watch for the end")?;
    let config = Config { snaplen, filter: program, ..Config::default() };
    let rx = PacketRx::open(name, &config)?;
    let (pipe, out) = fifo::open(path)?;
    privilege::drop_root(path)?;
    let heading = Heading { snaplen, filter, headers };
    match Session::begin(rx, pipe, out, &heading).and_then(|session| session.run(&signals)) {
        Err(error) if !reader_left(&error) => Err(error),
        _ => Ok(Exit::Done),
    }
}

/// What stands before the first frame.
struct Heading<'a> {
    snaplen: u32,
    filter: Option<&'a str>,
    headers: bool,
}

struct Session {
    rx: PacketRx,
    pipe: File,
    writer: PcapngWriter<BufWriter<File>>,
    headers: bool,
    linktype: LinkType,
    begun_ns: i64,
    before: link::LinkCounters,
}

impl Session {
    fn begin(
        rx: PacketRx,
        pipe: File,
        out: BufWriter<File>,
        heading: &Heading<'_>,
    ) -> anyhow::Result<Self> {
        let section = SectionSpec {
            userappl: Some(concat!("framewalk ", env!("CARGO_PKG_VERSION"))),
            ..SectionSpec::default()
        };
        let mut writer = PcapngWriter::new(out, &section)?;
        writer.add_interface(&InterfaceSpec {
            linktype: rx.linktype(),
            snaplen: heading.snaplen,
            name: Some(&rx.link().name),
            filter: heading.filter,
            ..InterfaceSpec::default()
        })?;
        writer.flush()?;
        let (linktype, before) = (rx.linktype(), rx.link().counters);
        let headers = heading.headers;
        Ok(Self { rx, pipe, writer, headers, linktype, begun_ns: epoch_ns(), before })
    }

    fn run(mut self, signals: &Signals) -> anyhow::Result<()> {
        let mut flushed = Instant::now();
        let mut gone = false;
        while signals.came().is_none() && !gone {
            if fifo::is_closed(&self.pipe) {
                return Ok(());
            }
            match self.rx.poll(FLUSH_AFTER)? {
                Wake::Frames => self.take(|rx, each| {
                    // not for ever, however fast they come
                    for _ in 0..BLOCKS {
                        if rx.read(&mut *each) == 0 {
                            break;
                        }
                    }
                    Ok(())
                })?,
                Wake::Nothing => {}
                Wake::Link(change) => {
                    gone = change == LinkChange::Gone;
                    self.statistics(&[&words(&change)], None)?;
                }
            }
            if flushed.elapsed() >= FLUSH_AFTER {
                self.writer.flush()?;
                flushed = Instant::now();
            }
        }
        self.rx.stop()?;
        self.take(|rx, each| {
            rx.drain(DRAIN, each)?;
            Ok(())
        })?;
        self.statistics(&[], Some(epoch_ns()))?;
        Ok(self.writer.flush()?)
    }

    /// Writes what `from` hands over.
    fn take(
        &mut self,
        from: impl FnOnce(&mut PacketRx, &mut dyn FnMut(&Frame<'_>)) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Self { rx, writer, headers, linktype, .. } = self;
        let mut failed = None;
        from(rx, &mut |frame| {
            if failed.is_some() {
                return;
            }
            let mut data = frame.data;
            if *headers {
                data = &data[..headers_len(*linktype, data)];
            }
            let way = if frame.direction == Direction::Sent { OUTBOUND } else { INBOUND };
            let pending = if frame.checksum_pending { CHECKSUM_PENDING } else { 0 };
            let options = FrameOptions { flags: Some(way | pending), ..FrameOptions::default() };
            let time_ns = frame.time_ns.max(0);
            failed = writer.write_frame(0, time_ns, frame.origlen, data, &options).err();
        })?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    fn statistics(&mut self, comments: &[&str], end_ns: Option<i64>) -> anyhow::Result<()> {
        let RxCounts { seen, dropped, filtered, read, .. } = self.rx.counts()?;
        let now = link::by_index(self.rx.link().index)?.map(|link| link.counters);
        let device = now.map(|now| now.since(&self.before));
        let spec = StatisticsSpec {
            comments,
            time_ns: epoch_ns(),
            start_ns: Some(self.begun_ns),
            end_ns,
            counters: InterfaceCounters {
                received: Some(seen),
                dropped: device.map(|device| device.rx_dropped + device.rx_missed),
                filter_accepted: Some(seen.saturating_sub(filtered)),
                os_dropped: Some(dropped),
                delivered: Some(read.saturating_sub(filtered)),
            },
        };
        Ok(self.writer.write_statistics(0, &spec)?)
    }
}

fn words(change: &LinkChange) -> String {
    match change {
        LinkChange::Down => "the interface went down".to_owned(),
        LinkChange::Up => "the interface is up again".to_owned(),
        LinkChange::Renamed { from, to } => format!("{from} is called {to} now"),
        LinkChange::Gone => "the interface is gone".to_owned(),
        LinkChange::Back => "the interface is there again".to_owned(),
    }
}

fn epoch_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
