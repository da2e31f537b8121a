//! By libpcap.

use std::time::{Duration, Instant};

use pcap::{Active, Capture, Precision};
use skb::LinkType;

use super::{Config, Listen, ListenError, Way};
use crate::link::{self, Link};
use crate::packet::{Direction, Frame, LinkChange, RxCounts, Wake};

/// libpcap has nothing to wait on that every system has: it is asked this often.
const ASK_EVERY: Duration = Duration::from_millis(1);
/// Frames given at once.
const BATCH: usize = 1024;
/// How often the interface itself is looked at.
const LINK_CHECK: Duration = Duration::from_millis(500);
/// libpcap hands over what it has after so many milliseconds.
const TIMEOUT_MS: i32 = 10;

struct PcapListener {
    capture: Capture<Active>,
    link: Link,
    linktype: LinkType,
    snaplen: usize,
    filtering: bool,
    read: u64,
    checked: Instant,
    gone: bool,
    /// After the stop: frames seen and dropped until then.
    stopped: Option<(u64, u64)>,
    seen: u64,
    dropped: u64,
    last: (u32, u32),
}

impl std::fmt::Debug for PcapListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PcapListener").field("link", &self.link).finish_non_exhaustive()
    }
}

pub(super) fn open(interface: &str, config: &Config) -> Result<Vec<Box<dyn Listen>>, ListenError> {
    let failed = |operation| {
        move |error: pcap::Error| {
            let message = match error {
                pcap::Error::PcapError(message) => message,
                other => other.to_string(),
            };
            super::denied(interface, &message).unwrap_or_else(|| ListenError::Libpcap {
                operation,
                interface: interface.to_owned(),
                message,
            })
        }
    };
    if config.packet.hardware_time {
        let what = "give a card's time stamps";
        return Err(ListenError::Cannot { way: Way::Libpcap, what });
    }
    let link = link::by_name(interface)?;
    let inactive = Capture::from_device(interface)
        .map_err(failed("open"))?
        .promisc(config.packet.promiscuous)
        .snaplen(i32::try_from(config.packet.snaplen).unwrap_or(i32::MAX))
        .buffer_size(i32::try_from(config.packet.ring_bytes).unwrap_or(i32::MAX))
        .precision(Precision::Nano)
        .timeout(TIMEOUT_MS);
    // never blocking: on a quiet interface a blocked read cannot be stopped
    let mut capture = inactive.open().and_then(Capture::setnonblock).map_err(failed("listen"))?;
    if let Some(expression) = &config.filter {
        capture.filter(expression, true).map_err(failed("use the filter"))?;
    }
    // a DLT of a live device is its LINKTYPE, but for raw IP (DLT_RAW, 12 on Linux)
    let linktype = match capture.get_datalink().0 {
        12 => LinkType::RAW,
        dlt => LinkType(u16::try_from(dlt).unwrap_or(u16::MAX)),
    };
    let listener = PcapListener {
        capture,
        link,
        linktype,
        snaplen: config.packet.snaplen as usize,
        filtering: config.filter.is_some(),
        read: 0,
        checked: Instant::now(),
        gone: false,
        stopped: None,
        seen: 0,
        dropped: 0,
        last: (0, 0),
    };
    Ok(vec![Box::new(listener)])
}

impl PcapListener {
    fn failed(&self, operation: &'static str, error: &pcap::Error) -> ListenError {
        let interface = self.link.name.clone();
        ListenError::Libpcap { operation, interface, message: error.to_string() }
    }

    /// Reads `most` frames.
    fn some(
        &mut self,
        most: usize,
        each: &mut dyn FnMut(&Frame<'_>),
    ) -> Result<usize, ListenError> {
        for read in 0..most {
            match self.capture.next_packet() {
                Ok(packet) => {
                    let ts = packet.header.ts;
                    // with Precision::Nano the field holds nanoseconds
                    #[allow(clippy::unnecessary_cast, reason = "its size is the system's")]
                    let time_ns = ts.tv_sec as i64 * 1_000_000_000 + ts.tv_usec as i64;
                    let data = packet.data;
                    each(&Frame {
                        data: &data[..data.len().min(self.snaplen)],
                        origlen: packet.header.len,
                        time_ns,
                        hardware_time: false,
                        direction: Direction::Unknown,
                        checksum_pending: false,
                    });
                    self.read += 1;
                }
                Err(pcap::Error::TimeoutExpired) => return Ok(read),
                // what libpcap says when the device went down or away
                Err(error) if link::by_index(self.link.index)?.is_none_or(|link| !link.up) => {
                    tracing::debug!(%error, "libpcap");
                    return Ok(read);
                }
                Err(error) => return Err(self.failed("read", &error)),
            }
        }
        Ok(most)
    }

    /// libpcap's counters are of 32 bits and go round.
    fn count(&mut self) -> Result<(), ListenError> {
        let stat = self.capture.stats();
        let stat = stat.map_err(|error| self.failed("read the counters", &error))?;
        self.seen += u64::from(stat.received.wrapping_sub(self.last.0));
        self.dropped += u64::from(stat.dropped.wrapping_sub(self.last.1));
        self.last = (stat.received, stat.dropped);
        Ok(())
    }
}

impl Listen for PcapListener {
    fn link(&self) -> &Link {
        &self.link
    }

    fn linktype(&self) -> LinkType {
        self.linktype
    }

    fn way(&self) -> String {
        "libpcap".to_owned()
    }

    fn counts_refused(&self) -> bool {
        !self.filtering
    }

    fn fill(&self) -> Option<(usize, usize)> {
        None
    }

    fn poll(&mut self, timeout: Duration) -> Result<Wake, ListenError> {
        if self.checked.elapsed() >= LINK_CHECK {
            self.checked = Instant::now();
            let there = link::by_index(self.link.index)?;
            if there.is_none() && !std::mem::replace(&mut self.gone, there.is_none()) {
                return Ok(Wake::Link(LinkChange::Gone));
            }
        }
        // whoever found nothing to read waits here
        std::thread::sleep(timeout.min(ASK_EVERY));
        Ok(Wake::Frames)
    }

    fn read(&mut self, each: &mut dyn FnMut(&Frame<'_>)) -> Result<usize, ListenError> {
        self.some(BATCH, each)
    }

    fn counts(&mut self) -> Result<RxCounts, ListenError> {
        if self.stopped.is_none() {
            self.count()?;
        }
        let (seen, dropped) = self.stopped.unwrap_or((self.seen, self.dropped));
        Ok(RxCounts { seen, dropped, read: self.read, ..RxCounts::default() })
    }

    fn stop(&mut self) -> Result<(), ListenError> {
        self.count()?;
        // a filter that refuses everything would refuse what is in libpcap's queue too
        self.stopped = Some((self.seen, self.dropped));
        Ok(())
    }

    fn drain(
        &mut self,
        timeout: Duration,
        each: &mut dyn FnMut(&Frame<'_>),
    ) -> Result<bool, ListenError> {
        let (seen, dropped) = self.stopped.unwrap_or((self.seen, self.dropped));
        let start = Instant::now();
        while self.read < seen - dropped {
            let left = usize::try_from(seen - dropped - self.read).unwrap_or(BATCH);
            if self.some(left.min(BATCH), each)? == 0 {
                if start.elapsed() > timeout {
                    return Ok(false);
                }
                std::thread::sleep(ASK_EVERY);
            }
        }
        Ok(true)
    }
}
