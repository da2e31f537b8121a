//! By packet sockets: [`PacketRx`].

use std::time::Duration;

use skb::LinkType;

use super::{Config, Listen, ListenError, WORKERS_MAX};
use crate::link::Link;
use crate::packet::{self, Frame, PacketRx, RxCounts, Wake};

pub(super) fn open(interface: &str, config: &Config) -> Result<Vec<Box<dyn Listen>>, ListenError> {
    let workers = config.workers.clamp(1, WORKERS_MAX);
    let mut each = packet::Config { filter: filter(interface, config)?, ..config.packet.clone() };
    each.ring_bytes = config.packet.ring_bytes / usize::from(workers);
    // any number that no other program's group in this namespace has
    each.fanout_group = (workers > 1).then_some(std::process::id() as u16);
    (0..workers)
        .map(|_| Ok(Box::new(PacketRx::open(interface, &each)?) as Box<dyn Listen>))
        .collect()
}

#[cfg(feature = "libpcap")]
fn filter(interface: &str, config: &Config) -> Result<Vec<crate::bpf::Instruction>, ListenError> {
    match &config.filter {
        Some(expression) => crate::bpf::compile(interface, expression).map_err(|error| {
            super::denied(interface, &error.to_string()).unwrap_or_else(|| error.into())
        }),
        None => Ok(Vec::new()),
    }
}

#[cfg(not(feature = "libpcap"))]
fn filter(_: &str, config: &Config) -> Result<Vec<crate::bpf::Instruction>, ListenError> {
    if let Some(expression) = &config.filter {
        // refuses, and says which command brings libpcap
        capture::filter::Filter::new(expression, LinkType::ETHERNET)?;
    }
    Ok(Vec::new())
}

impl Listen for PacketRx {
    fn link(&self) -> &Link {
        self.link()
    }

    fn linktype(&self) -> LinkType {
        self.linktype()
    }

    fn way(&self) -> String {
        "packet (TPACKET_V3)".to_owned()
    }

    fn fill(&self) -> Option<(usize, usize)> {
        Some(self.ring_fill())
    }

    fn poll(&mut self, timeout: Duration) -> Result<Wake, ListenError> {
        Ok(self.poll(timeout)?)
    }

    fn read(&mut self, each: &mut dyn FnMut(&Frame<'_>)) -> Result<usize, ListenError> {
        Ok(self.read(each))
    }

    fn counts(&mut self) -> Result<RxCounts, ListenError> {
        Ok(self.counts()?)
    }

    fn stop(&mut self) -> Result<(), ListenError> {
        Ok(self.stop()?)
    }

    fn drain(
        &mut self,
        timeout: Duration,
        each: &mut dyn FnMut(&Frame<'_>),
    ) -> Result<bool, ListenError> {
        Ok(self.drain(timeout, each)?)
    }
}
