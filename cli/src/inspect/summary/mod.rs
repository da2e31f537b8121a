//! `framewalk inspect --summary`: the whole file in one pass, in flat memory.
//!
//! A batch of frames is walked twice. The first pass locates the headers, names the chain of
//! protocols by a small number and asks the cache for the flow's slot; the second counts, when the
//! slot has arrived. Frames that are not common take the full decode instead of the quick look.

mod apps;
mod class;
mod flows;
mod report;
mod run;
mod table;
mod text;
mod tree;
mod wire;

use capture::{Batch, Record};
use skb::LinkType;
use skb::decode::{Decoded, Decoder, LayerInfo};
use skb::locate::{L3, locate};

use super::Kept;
use super::select::Selector;
pub use apps::Apps;
use class::{ClassCounts, quick};
pub use flows::{Busiest, Endpoint, FlowCounts, Flows, Pair};
pub use report::write_json;
pub use run::run_on;
pub use table::Counts;
use table::HashKey;
pub use text::write_text;
pub use tree::{Row, Tree};
pub use wire::{Wire, ethernet_wire_bytes};

/// Records whose first lines are asked for ahead of the one looked at.
const AHEAD: usize = 6;

/// Upper bounds of the size classes in bytes without FCS; the last class has none.
pub const SIZE_BOUNDS: [u32; 9] = [59, 60, 127, 255, 511, 1023, 1514, 9014, u32::MAX];

/// What the frames of a capture are, added up.
#[derive(Debug)]
pub struct Summary {
    /// All frames; bytes by original length.
    pub all: Counts,
    /// Captured bytes.
    pub caplen_bytes: u64,
    /// Chains of protocols.
    pub tree: Tree,
    /// Frames by [`SIZE_BOUNDS`].
    pub sizes: [Counts; SIZE_BOUNDS.len()],
    /// Frames by VLAN identifier of the outermost tag.
    pub vlans: Vec<(u16, Counts)>,
    /// Conversations and hosts.
    pub flows: Flows,
    /// Time and wire.
    pub wire: Wire,
    /// Frames that contradict themselves.
    pub malformed: u64,
    /// Frames of which only the first part was captured.
    pub cut: u64,
    /// Ethernet frames above 1514 bytes without FCS and tags: jumbo, or merged by a network card.
    pub oversize: u64,
    /// Frames of link types that are not read.
    pub unread: Counts,
    /// The first frame.
    pub first: Option<Kept>,
}

/// Adds up batches.
#[derive(Debug)]
struct Collector {
    summary: Summary,
    classes: ClassCounts,
    apps: &'static Apps,
    /// By VLAN identifier.
    vlans: Vec<Counts>,
    decoder: Decoder,
    decoded: Decoded,
    selected: Vec<u32>,
    origin: Origin,
}

/// What the last frame's interface says about its frames.
#[derive(Debug, Clone, Copy)]
struct Origin {
    interface: u32,
    linktype: LinkType,
    fcs: u32,
}

impl Origin {
    const NONE: Self = Self { interface: u32::MAX, linktype: LinkType(u16::MAX), fcs: 0 };

    #[cold]
    fn of(batch: &Batch<'_>, index: usize, record: &Record) -> Self {
        let stated = batch.frame(index).and_then(|frame| frame.meta.fcs_len);
        let linktype = batch.linktype(record);
        Self { interface: record.interface, linktype, fcs: u32::from(stated.unwrap_or(0)) }
    }
}

impl Collector {
    fn new(hash_key: HashKey) -> Self {
        let summary = Summary {
            all: Counts::default(),
            caplen_bytes: 0,
            tree: Tree::default(),
            sizes: Default::default(),
            vlans: Vec::new(),
            flows: Flows::new(hash_key),
            wire: Wire::default(),
            malformed: 0,
            cut: 0,
            oversize: 0,
            unread: Counts::default(),
            first: None,
        };
        let decoder = Decoder { verify_checksums: false, ..Decoder::new() };
        Self {
            summary,
            classes: ClassCounts::default(),
            apps: Apps::table(),
            vlans: vec![Counts::default(); 4096],
            decoder,
            decoded: Decoded::default(),
            selected: Vec::new(),
            origin: Origin::NONE,
        }
    }

    /// Adds what another has collected from other frames of the same file.
    fn merge(&mut self, other: Self) {
        let (sum, more) = (&mut self.summary, other.summary);
        sum.all.merge(more.all);
        sum.caplen_bytes += more.caplen_bytes;
        sum.tree.merge(&more.tree);
        for (size, more) in sum.sizes.iter_mut().zip(more.sizes) {
            size.merge(more);
        }
        sum.flows.merge(more.flows);
        sum.wire.merge(more.wire);
        sum.malformed += more.malformed;
        sum.cut += more.cut;
        sum.oversize += more.oversize;
        sum.unread.merge(more.unread);
        let firsts = [sum.first.take(), more.first].into_iter().flatten();
        sum.first = firsts.min_by_key(|kept| kept.meta.number);
        self.classes.merge(&other.classes);
        for (vlan, more) in self.vlans.iter_mut().zip(other.vlans) {
            vlan.merge(more);
        }
    }

    fn batch(&mut self, batch: &Batch<'_>, selector: &mut Selector) -> anyhow::Result<()> {
        if selector.takes_all() {
            self.all(batch);
        } else {
            selector.select(batch, &mut self.selected)?;
            if let Some(&index) = self.selected.first() {
                self.keep_first(batch, index as usize);
            }
            for index in std::mem::take(&mut self.selected) {
                let index = index as usize;
                self.frame(batch, index, &batch.records()[index]);
            }
        }
        Ok(())
    }

    fn all(&mut self, batch: &Batch<'_>) {
        self.keep_first(batch, 0);
        for (index, record) in batch.records().iter().enumerate() {
            batch.prefetch(index, AHEAD);
            self.frame(batch, index, record);
        }
    }

    fn keep_first(&mut self, batch: &Batch<'_>, index: usize) {
        if self.summary.first.is_none() {
            self.summary.first = batch.frame(index).as_ref().map(Kept::of);
        }
    }

    #[inline(always)]
    fn frame(&mut self, batch: &Batch<'_>, index: usize, record: &Record) {
        let bytes = batch.data(record);
        let origlen = record.origlen;
        let length = u64::from(origlen);
        if self.origin.interface != record.interface {
            self.origin = Origin::of(batch, index, record);
        }
        let Origin { linktype, fcs, .. } = self.origin;
        let ethernet = linktype == LinkType::ETHERNET;

        let summary = &mut self.summary;
        summary.all.add(length);
        summary.caplen_bytes += u64::from(record.caplen);
        summary.cut += u64::from(record.caplen < origlen);
        let frame_len = origlen.saturating_sub(fcs);
        let wire_bytes = if ethernet { ethernet_wire_bytes(frame_len) } else { 0 };
        summary.wire.add(record.time_ns, wire_bytes);
        summary.sizes[size_class(frame_len)].add(length);

        let found = locate(linktype, bytes);
        if found.tags > 0 {
            self.vlans[usize::from(found.tci & 0x0fff)].add(length);
        }
        let tags_len = 4 * u32::from(found.tags);
        summary.oversize += u64::from(ethernet && frame_len > 1514 + tags_len);

        let look = if ethernet { quick(bytes, frame_len, &found, self.apps) } else { None };
        let ports = if let Some(look) = look {
            self.classes.add(look.class, length);
            look.ports
        } else {
            self.decode(batch, index, length)
        };
        match found.kind {
            L3::Ipv4 => self.summary.flows.ipv4(bytes, &found, ports, length),
            L3::Ipv6 => self.summary.flows.ipv6(bytes, &found, ports, length),
            _ => {}
        }
    }

    /// The slow way: every layer by the full decode. Returns the ports of the outermost transport.
    #[inline(never)]
    fn decode(&mut self, batch: &Batch<'_>, index: usize, length: u64) -> (u16, u16) {
        let Some(frame) = batch.frame(index) else { return (0, 0) };
        self.decoder.decode(&frame.meta, frame.data, &mut self.decoded);
        let counts = Counts { frames: 1, bytes: length };
        let decoded = &self.decoded;
        self.summary.malformed += u64::from(decoded.malformed.is_some());
        if decoded.layers.is_empty() && decoded.malformed.is_none() {
            self.summary.unread.merge(counts);
            let name = frame.meta.linktype.name().unwrap_or("other link types");
            self.summary.tree.add([name].into_iter(), None, counts);
            return (0, 0);
        }
        let app = decoded.layers.last().and_then(|last| {
            let (tcp, (src, dst)) = (last.kind() == "tcp", transport_ports(&last.info)?);
            (!last.quoted).then(|| Apps::name(self.apps.find(src, dst), tcp))?
        });
        self.summary.tree.add(decoded.kinds(), app, counts);
        let outermost = decoded.layers.iter().find_map(|layer| transport_ports(&layer.info));
        outermost.unwrap_or((0, 0))
    }

    fn finish(mut self) -> Summary {
        self.summary.flows.settle();
        self.classes.drain_into(&mut self.summary.tree);
        let vlans = self.vlans.iter().enumerate().filter(|(_, counts)| counts.frames > 0);
        self.summary.vlans = vlans.map(|(vid, counts)| (vid as u16, *counts)).collect();
        self.summary.vlans.sort_by_key(|(vid, counts)| (std::cmp::Reverse(counts.frames), *vid));
        self.summary
    }
}

/// Ports of TCP and UDP.
fn transport_ports(info: &LayerInfo) -> Option<(u16, u16)> {
    match *info {
        LayerInfo::Tcp(tcp) => Some((tcp.src_port, tcp.dst_port)),
        LayerInfo::Udp { src_port, dst_port, .. } => Some((src_port, dst_port)),
        _ => None,
    }
}

/// Index into [`SIZE_BOUNDS`].
#[inline(always)]
fn size_class(frame_len: u32) -> usize {
    SIZE_BOUNDS[..SIZE_BOUNDS.len() - 1].iter().map(|&bound| usize::from(frame_len > bound)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_meet_without_gaps() {
        for (i, bound) in SIZE_BOUNDS.into_iter().enumerate() {
            assert_eq!(size_class(bound), i);
        }
        assert_eq!((size_class(0), size_class(61), size_class(1515)), (0, 2, 7));
    }
}
