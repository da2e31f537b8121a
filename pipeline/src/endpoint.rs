//! What can be plugged into a switch port: one closed set, so that the engine pays one branch per
//! burst and no virtual call per frame.

use guest::{CountingSink, FrameDigest, SmolHost};
#[cfg(target_os = "linux")]
use nic::packet::PacketNic;
#[cfg(target_os = "linux")]
use nic::wire::WireNic;
use nic::{FedNic, FileNic, Generator};
use skb::{Ledger, Nic, Pool, Ring, Run, RxStatus, Sink, Skb};

/// The far end of a port.
#[derive(Debug)]
pub enum Endpoint {
    /// A guest or wire that only takes delivery, and counts.
    Sink(CountingSink),
    /// The same with a digest over everything delivered.
    Digest(CountingSink<FrameDigest>),
    /// A wire: frames come in from a capture file, frames sent out are counted.
    File(Box<FileNic>, CountingSink),
    /// A wire: frames are handed in when their time has come, frames sent out are counted.
    Fed(Box<FedNic>, CountingSink),
    /// A wire: frames come in from a generator, frames sent out are counted.
    Generator(Generator, CountingSink),
    /// A wire: frames come in from a live interface, frames sent out are counted and go nowhere.
    #[cfg(target_os = "linux")]
    Packet(Box<PacketNic>, CountingSink),
    /// A wire: a live interface, both ways.
    #[cfg(target_os = "linux")]
    Wire(Box<WireNic>),
    /// A guest with an IP stack of its own.
    Host(Box<SmolHost>),
}

impl Endpoint {
    /// Frames and bytes it took delivery of.
    pub fn taken(&self) -> (u64, u64) {
        match self {
            Self::Sink(s) | Self::File(_, s) | Self::Fed(_, s) | Self::Generator(_, s) => {
                (s.frames(), s.bytes())
            }
            #[cfg(target_os = "linux")]
            Self::Packet(_, s) => (s.frames(), s.bytes()),
            #[cfg(target_os = "linux")]
            Self::Wire(nic) => {
                let stats = nic.stats();
                (stats.tx_frames, stats.tx_bytes)
            }
            Self::Digest(s) => (s.frames(), s.bytes()),
            Self::Host(host) => {
                let stats = host.stats();
                (stats.rx_frames, stats.rx_bytes)
            }
        }
    }

    /// Digest over everything delivered, where one is kept.
    pub fn digest(&self) -> Option<u64> {
        if let Self::Digest(s) = self { s.digest() } else { None }
    }
}

impl Nic for Endpoint {
    #[inline]
    fn rx(
        &mut self,
        pool: &mut Pool,
        ring: &mut Ring,
        budget: usize,
        ledger: &mut Ledger,
    ) -> RxStatus {
        match self {
            Self::Sink(_) | Self::Digest(_) => RxStatus::Done,
            Self::File(nic, _) => nic.rx(pool, ring, budget, ledger),
            Self::Fed(nic, _) => nic.rx(pool, ring, budget, ledger),
            Self::Generator(nic, _) => nic.rx(pool, ring, budget, ledger),
            #[cfg(target_os = "linux")]
            Self::Packet(nic, _) => nic.rx(pool, ring, budget, ledger),
            #[cfg(target_os = "linux")]
            Self::Wire(nic) => nic.rx(pool, ring, budget, ledger),
            Self::Host(host) => host.rx(pool, ring, budget, ledger),
        }
    }
}

impl Sink for Endpoint {
    #[inline]
    fn credit(&self) -> usize {
        match self {
            Self::Sink(s) | Self::File(_, s) | Self::Fed(_, s) | Self::Generator(_, s) => {
                s.credit()
            }
            #[cfg(target_os = "linux")]
            Self::Packet(_, s) => s.credit(),
            Self::Digest(s) => s.credit(),
            #[cfg(target_os = "linux")]
            Self::Wire(nic) => nic.credit(),
            Self::Host(host) => host.credit(),
        }
    }

    #[inline]
    fn deliver(&mut self, pool: &mut Pool, skb: Skb, ledger: &mut Ledger) {
        match self {
            Self::Sink(s) | Self::File(_, s) | Self::Fed(_, s) | Self::Generator(_, s) => {
                s.deliver(pool, skb, ledger);
            }
            #[cfg(target_os = "linux")]
            Self::Packet(_, s) => s.deliver(pool, skb, ledger),
            Self::Digest(s) => s.deliver(pool, skb, ledger),
            #[cfg(target_os = "linux")]
            Self::Wire(nic) => nic.deliver(pool, skb, ledger),
            Self::Host(host) => host.deliver(pool, skb, ledger),
        }
    }

    #[inline]
    fn deliver_runs(&mut self, pool: &mut Pool, burst: &[Skb], runs: &[Run], ledger: &mut Ledger) {
        match self {
            Self::Sink(s) | Self::File(_, s) | Self::Fed(_, s) | Self::Generator(_, s) => {
                s.deliver_runs(pool, burst, runs, ledger);
            }
            #[cfg(target_os = "linux")]
            Self::Packet(_, s) => s.deliver_runs(pool, burst, runs, ledger),
            Self::Digest(s) => s.deliver_runs(pool, burst, runs, ledger),
            #[cfg(target_os = "linux")]
            Self::Wire(nic) => nic.deliver_runs(pool, burst, runs, ledger),
            Self::Host(host) => host.deliver_runs(pool, burst, runs, ledger),
        }
    }
}
