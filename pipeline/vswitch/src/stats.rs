//! What the switch counts. Plain integers, touched by the core that owns the switch.

use skb::{DropReason, PORTS_MAX, PortId};

/// Counts of one port. Bytes are frame bytes as they were on the wire, without FCS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Frames that came in.
    pub rx_frames: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// References sent out, floods and groups included, mirrors not.
    pub tx_frames: u64,
    /// Their bytes, before tags are changed.
    pub tx_bytes: u64,
    /// References sent out because a mirror session ends here.
    pub mirrored: u64,
    /// Frames that came in here and were dropped, by reason.
    pub dropped: [u64; DropReason::COUNT],
    /// References to go out here that were dropped on the way, by reason.
    pub egress_dropped: [u64; DropReason::COUNT],
}

/// Counts of one VLAN.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VlanStats {
    /// Frames that were classified into it.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// References sent out by one port.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tx {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
}

impl Tx {
    pub(crate) fn add(&mut self, more: Self) {
        self.frames += more.frames;
        self.bytes += more.bytes;
    }
}

/// All counts of a switch.
#[derive(Debug, Clone)]
pub struct SwitchStats {
    /// Everything but what goes out, which is kept apart: four ports to a cache line.
    pub(crate) ports: Box<[PortStats; PORTS_MAX]>,
    pub(crate) tx: Box<[Tx; PORTS_MAX]>,
    pub(crate) vlans: Box<[VlanStats]>,
    /// Frames whose ingress port the switch does not have; dropped under `policy`.
    pub unknown_ingress: u64,
}

impl SwitchStats {
    #[allow(clippy::large_stack_arrays)] // 17 KiB, once
    pub(crate) fn new() -> Self {
        Self {
            ports: Box::new([PortStats::default(); PORTS_MAX]),
            tx: Box::new([Tx::default(); PORTS_MAX]),
            vlans: vec![VlanStats::default(); 4096].into(),
            unknown_ingress: 0,
        }
    }

    /// Counts frames that came in.
    #[inline]
    pub(crate) fn received(&mut self, port: PortId, vid: u16, frames: u64, bytes: u64) {
        let vlan = &mut self.vlans[usize::from(vid)];
        vlan.frames += frames;
        vlan.bytes += bytes;
        let port = &mut self.ports[port.index() % PORTS_MAX];
        port.rx_frames += frames;
        port.rx_bytes += bytes;
    }

    /// Counts of `port`; zeros if the switch has no such port.
    pub fn port(&self, port: PortId) -> PortStats {
        match (self.ports.get(port.index()), self.tx.get(port.index())) {
            (Some(stats), Some(tx)) => {
                PortStats { tx_frames: tx.frames, tx_bytes: tx.bytes, ..*stats }
            }
            _ => PortStats::default(),
        }
    }

    /// Counts of VLAN `vid`.
    pub fn vlan(&self, vid: u16) -> VlanStats {
        self.vlans.get(usize::from(vid)).copied().unwrap_or_default()
    }

    /// VLANs that frames were seen in, ascending.
    pub fn vlans(&self) -> impl Iterator<Item = (u16, VlanStats)> {
        (0..).zip(self.vlans.iter().copied()).filter(|(_, vlan)| vlan.frames != 0)
    }
}
