//! By AF_XDP: [`AfXdpRx`], one for each receive queue.

use std::time::{Duration, Instant};

use capture::filter::Filter;
use skb::LinkType;

use super::{Config, Listen, ListenError, Way};
use crate::link::{self, Link};
use crate::packet::{Direction, Frame, LinkChange, RxCounts, Wake};
use crate::xdp::{self, AfXdpRx};

/// Slots of a queue's memory: a fraction of a second at a million frames a second.
const SLOTS: u32 = 1 << 14;

#[derive(Debug)]
struct XdpListener {
    rx: AfXdpRx,
    link: Link,
    snaplen: usize,
    filter: Option<Filter>,
    filtered: u64,
    /// After the stop: counts that are not exceeded any more.
    stopped: Option<RxCounts>,
}

pub(super) fn open(interface: &str, config: &Config) -> Result<Vec<Box<dyn Listen>>, ListenError> {
    let cannot = |what| Err(ListenError::Cannot { way: Way::AfXdp, what });
    if config.packet.hardware_time {
        return cannot("give a card's time stamps");
    }
    let link = link::by_name(interface)?;
    let xdp = xdp::Config { promiscuous: config.packet.promiscuous, slots: SLOTS, mode: None };
    let filter = |()| match &config.filter {
        Some(expression) => Filter::new(expression, LinkType::ETHERNET).map(Some),
        None => Ok(None),
    };
    filter(())?;
    AfXdpRx::open(&link, &xdp)?
        .into_iter()
        .map(|rx| {
            let listener = XdpListener {
                rx,
                link: link.clone(),
                snaplen: config.packet.snaplen as usize,
                filter: filter(())?,
                filtered: 0,
                stopped: None,
            };
            Ok(Box::new(listener) as Box<dyn Listen>)
        })
        .collect()
}

impl XdpListener {
    fn now(&self) -> Result<RxCounts, ListenError> {
        let counts = self.rx.counts()?;
        Ok(RxCounts {
            seen: counts.received + counts.dropped(),
            dropped: counts.dropped(),
            read: counts.received,
            filtered: self.filtered,
            ring_full: counts.ring_full,
            ..RxCounts::default()
        })
    }

    /// Reads a burst of 64 at most.
    fn burst(&mut self, each: &mut dyn FnMut(&Frame<'_>)) -> Result<usize, ListenError> {
        let burst = self.rx.next_burst();
        for frame in burst.frames() {
            let origlen = frame.data.len() as u32;
            if let Some(filter) = &mut self.filter
                && !filter.matches(LinkType::ETHERNET, origlen, frame.data)?
            {
                self.filtered += 1;
                continue;
            }
            each(&Frame {
                data: &frame.data[..frame.data.len().min(self.snaplen)],
                origlen,
                time_ns: frame.time_ns,
                hardware_time: false,
                direction: Direction::Unknown,
                checksum_pending: false,
            });
        }
        Ok(burst.len())
    }
}

impl Listen for XdpListener {
    fn link(&self) -> &Link {
        &self.link
    }

    fn linktype(&self) -> LinkType {
        LinkType::ETHERNET
    }

    fn way(&self) -> String {
        let copies = if self.rx.is_zero_copy() { "zero-copy" } else { "copying" };
        format!("af-xdp ({}, {copies})", self.rx.mode())
    }

    fn copies(&self) -> u32 {
        u32::from(!self.rx.is_zero_copy())
    }

    fn fill(&self) -> Option<(usize, usize)> {
        None
    }

    fn poll(&mut self, timeout: Duration) -> Result<Wake, ListenError> {
        Ok(match self.rx.poll(timeout)? {
            xdp::Wake::Frames => Wake::Frames,
            xdp::Wake::Nothing => Wake::Nothing,
            xdp::Wake::Gone => Wake::Link(LinkChange::Gone),
        })
    }

    fn read(&mut self, each: &mut dyn FnMut(&Frame<'_>)) -> Result<usize, ListenError> {
        self.burst(each)
    }

    fn counts(&mut self) -> Result<RxCounts, ListenError> {
        match self.stopped {
            // what came after the stop counts as neither
            Some(stopped) => Ok(RxCounts { filtered: self.filtered, ..stopped }),
            None => self.now(),
        }
    }

    fn stop(&mut self) -> Result<(), ListenError> {
        self.stopped = Some(self.now()?);
        Ok(())
    }

    fn drain(
        &mut self,
        timeout: Duration,
        each: &mut dyn FnMut(&Frame<'_>),
    ) -> Result<bool, ListenError> {
        // frames that lie in the ring are in no count of the kernel: what is there now is read
        let start = Instant::now();
        while start.elapsed() < timeout {
            let read = self.burst(each)?;
            self.stopped = Some(self.now()?);
            if read == 0 {
                return Ok(true);
            }
        }
        Ok(true)
    }
}
