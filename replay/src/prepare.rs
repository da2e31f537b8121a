//! From a record of a capture to frames that may be sent, or the reason why not.

use std::collections::BTreeMap;

use capture::FrameRef;
use capture::format::NO_TIME;
use skb::LinkType;

use crate::chunk::Chunk;
use crate::rewrite::{RewriteOptions, Rewriter};
use crate::segment::{self, Segmenter};
use crate::verify::mark::Seed;

/// An Ethernet header: below that there is nothing to address.
pub const HEADER_BYTES: usize = 14;
/// An 802.1Q tag, which the MTU does not count (`packet_extra_vlan_len_allowed` of Linux'
/// `af_packet.c`).
const TAG_BYTES: usize = 4;
/// Zeros to pad with, a piece at a time.
const ZEROS: [u8; 256] = [0; 256];

/// Why a recorded frame is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Skip {
    /// Its link type is not Ethernet.
    LinkType(LinkType),
    /// Its interface is sent to no port.
    NoPort,
    /// The capture does not hold all of it.
    Truncated,
    /// Shorter than an Ethernet header.
    TooShort,
    /// Longer than the MTU of its port, and it could not or should not be cut into segments.
    LongerThanMtu,
    /// A super-frame that cannot be cut into segments.
    NotSegmentable(segment::Refusal),
}

impl Skip {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LinkType(_) => "link-type",
            Self::NoPort => "no-port",
            Self::Truncated => "truncated",
            Self::TooShort => "too-short",
            Self::LongerThanMtu => "longer-than-mtu",
            Self::NotSegmentable(refusal) => refusal.name(),
        }
    }

    /// What it means and what can be done, for people.
    pub fn explain(self) -> String {
        match self {
            Self::LinkType(linktype) => {
                format!("link type {linktype} is not Ethernet: there is no frame to send")
            }
            Self::NoPort => "its interface is sent nowhere; -i N=IFACE names a port for it".into(),
            Self::Truncated => {
                "the capture holds only its beginning; --pad fills it up with zeros".into()
            }
            Self::TooShort => "shorter than an Ethernet header of 14 bytes".into(),
            Self::LongerThanMtu => "longer than the interface sends; --resegment cuts TCP \
                super-frames, a larger MTU sends jumbo frames"
                .into(),
            Self::NotSegmentable(refusal) => refusal.explain().into(),
        }
    }
}

/// What is done with frames that the capture does not hold all of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Truncated {
    /// Not sent: what the network would see never existed.
    #[default]
    Skip,
    /// Filled up with zeros to their original length.
    Pad,
}

/// Where frames go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortSpec {
    /// The largest IP packet, bytes.
    pub mtu: u32,
}

/// Which port the frames of an interface of the capture leave by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortMap {
    /// All by the first port.
    All,
    /// By the interface's number in the file, counted from 0.
    ByInterface(BTreeMap<u32, u16>),
}

/// How recorded frames are made ready.
#[derive(Debug, Clone)]
pub struct PrepareOptions {
    /// The ports, in the order in which they are counted.
    pub ports: Vec<PortSpec>,
    /// Who leaves by which.
    pub map: PortMap,
    /// Frames that are not wholly in the capture.
    pub truncated: Truncated,
    /// Super-frames are cut into what the port's MTU takes.
    pub resegment: bool,
    /// What is changed in frames before that.
    pub rewrite: RewriteOptions,
    /// Frames are marked with this, to be known again.
    pub seed: Option<Seed>,
}

/// What became of the frames read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prepared {
    /// Frames read from the capture.
    pub read: u64,
    /// Frames not to be sent, by reason.
    pub skipped: BTreeMap<Skip, u64>,
    /// Frames filled up with zeros.
    pub padded: u64,
    /// Frames whose FCS was cut off: the interface makes its own.
    pub fcs_removed: u64,
    /// Super-frames cut into segments.
    pub resegmented: u64,
    /// The segments they were cut into.
    pub segments: u64,
}

impl Prepared {
    /// Frames not to be sent.
    pub fn skipped_total(&self) -> u64 {
        self.skipped.values().sum()
    }

    /// By the reasons' names, for reports.
    pub fn skipped_by_name(&self) -> BTreeMap<&'static str, u64> {
        let mut names = BTreeMap::new();
        for (skip, count) in &self.skipped {
            *names.entry(skip.name()).or_insert(0) += count;
        }
        names
    }
}

/// Makes frames ready, and counts.
#[derive(Debug)]
pub struct Preparer {
    options: PrepareOptions,
    segmenter: Segmenter,
    rewriter: Option<Rewriter>,
    scratch: Vec<u8>,
    counts: Prepared,
    /// The counts of the first pass over the capture, once that is over.
    first: Option<Prepared>,
    /// Frames read in this pass.
    record: u64,
}

impl Preparer {
    /// With nothing counted.
    pub fn new(options: PrepareOptions) -> Self {
        Self {
            rewriter: (!options.rewrite.is_nothing())
                .then(|| Rewriter::new(options.rewrite.clone())),
            options,
            segmenter: Segmenter::default(),
            scratch: Vec::new(),
            counts: Prepared::default(),
            first: None,
            record: 0,
        }
    }

    /// What became of the frames so far, of each frame once.
    pub fn counts(&self) -> &Prepared {
        self.first.as_ref().unwrap_or(&self.counts)
    }

    /// The same frames will come again: they are counted already.
    pub fn stop_counting(&mut self) {
        self.first.get_or_insert_with(|| self.counts.clone());
        self.record = 0;
        if let Some(rewriter) = &mut self.rewriter {
            rewriter.next_round();
        }
    }

    /// Makes one frame ready at the end of `chunk`, or counts why not.
    pub fn frame(&mut self, frame: &FrameRef<'_>, chunk: &mut Chunk) {
        self.counts.read += 1;
        self.record += 1;
        if let Err(skip) = self.try_frame(frame, chunk) {
            *self.counts.skipped.entry(skip).or_insert(0) += 1;
        }
        if let Some(seed) = self.options.seed {
            chunk.mark(seed, self.record);
        }
    }

    fn try_frame(&mut self, frame: &FrameRef<'_>, chunk: &mut Chunk) -> Result<(), Skip> {
        let meta = &frame.meta;
        if meta.linktype != LinkType::ETHERNET {
            return Err(Skip::LinkType(meta.linktype));
        }
        let port = match &self.options.map {
            PortMap::All => 0,
            PortMap::ByInterface(map) => *map.get(&meta.interface).ok_or(Skip::NoPort)?,
        };
        let spec = *self.options.ports.get(usize::from(port)).ok_or(Skip::NoPort)?;
        let fcs = usize::from(meta.fcs_len.unwrap_or(0));
        let whole = (meta.origlen as usize).saturating_sub(fcs);
        let mut data = &frame.data[..frame.data.len().min(whole)];
        let missing = whole - data.len();
        let time_ns = meta.time_ns.unwrap_or(NO_TIME);
        if missing > 0 && self.options.truncated == Truncated::Skip {
            return Err(Skip::Truncated);
        }
        if data.len() < HEADER_BYTES {
            return Err(Skip::TooShort);
        }
        let plain = missing == 0 && self.rewriter.is_none();
        if !plain {
            // a length that lies is no reason to take memory for it
            if missing > 0 && whole > spec.mtu as usize + HEADER_BYTES + TAG_BYTES {
                return Err(Skip::LongerThanMtu);
            }
            self.scratch.clear();
            self.scratch.extend_from_slice(data);
            let mut left = missing;
            while left > 0 {
                let piece = left.min(ZEROS.len());
                self.scratch.extend_from_slice(&ZEROS[..piece]);
                left -= piece;
            }
            if let Some(rewriter) = &mut self.rewriter {
                rewriter.frame(&mut self.scratch);
            }
            data = &self.scratch;
        }
        if self.options.resegment && segment::is_super(data, spec.mtu) {
            let cut = self.segmenter.cut(data, spec.mtu, |pieces| {
                chunk.push(time_ns, port, pieces);
            });
            self.counts.segments += cut.map_err(Skip::NotSegmentable)?;
            self.counts.resegmented += 1;
        } else {
            if data.len() > frame_max(data, spec.mtu) {
                return Err(Skip::LongerThanMtu);
            }
            chunk.push(time_ns, port, &[data]);
        }
        self.counts.padded += u64::from(missing > 0);
        self.counts.fcs_removed += u64::from(fcs > 0 && frame.data.len() > whole);
        Ok(())
    }
}

/// The longest frame that Linux sends from a packet socket on an interface of that MTU.
pub fn frame_max(frame: &[u8], mtu: u32) -> usize {
    let tagged = frame.get(12..14) == Some(&[0x81, 0x00]);
    mtu as usize + HEADER_BYTES + if tagged { TAG_BYTES } else { 0 }
}

#[cfg(test)]
mod tests {
    use capture::write::{FrameOptions, InterfaceSpec, PcapWriter, PcapngWriter, SectionSpec};
    use capture::{Reader, Source};
    use testkit::build;

    use super::*;

    fn options(mtu: u32) -> PrepareOptions {
        PrepareOptions {
            ports: vec![PortSpec { mtu }],
            map: PortMap::All,
            truncated: Truncated::Skip,
            resegment: false,
            rewrite: RewriteOptions::default(),
            seed: None,
        }
    }

    fn prepare(file: Vec<u8>, options: PrepareOptions) -> (Chunk, Prepared) {
        let source = Source::from_bytes("test", file).unwrap();
        let mut reader = Reader::new(source).unwrap();
        let (mut preparer, mut chunk) = (Preparer::new(options), Chunk::default());
        while let Some(frame) = reader.next().unwrap() {
            preparer.frame(&frame, &mut chunk);
        }
        (chunk, preparer.counts().clone())
    }

    fn pcap(fcs_len: Option<u8>, frames: &[(u32, &[u8])]) -> Vec<u8> {
        let mut writer = PcapWriter::new(Vec::new(), LinkType::ETHERNET, 0, fcs_len).unwrap();
        for (origlen, data) in frames {
            writer.write_frame(0, *origlen, data).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn frames_go_as_they_were_captured() {
        let frames = [build::eth(0x0800, &build::ip4_udp(1, 2, b"hello")), vec![7; 1514]];
        let file = build::pcap(LinkType::ETHERNET, &frames);
        let (chunk, counts) = prepare(file, options(1500));
        let sent: Vec<&[u8]> = chunk.frames().map(|(_, bytes)| bytes).collect();
        assert_eq!(sent, [&frames[0][..], &frames[1][..]]);
        assert_eq!(counts, Prepared { read: 2, ..Prepared::default() });
    }

    #[test]
    fn what_cannot_be_sent_is_counted_by_reason() {
        let tagged = build::eth(0x8100, &[0; 1504]);
        let file = pcap(
            None,
            &[(13, &[1; 13]), (100, &[2; 50]), (1515, &[3; 1515]), (1518, &tagged), (60, &[4; 60])],
        );
        let (chunk, counts) = prepare(file, options(1500));
        assert_eq!(chunk.entries().len(), 2, "the tagged one fits, as does the small one");
        let expected = [("longer-than-mtu", 1), ("too-short", 1), ("truncated", 1)];
        assert_eq!(counts.skipped_by_name(), BTreeMap::from(expected));
        assert_eq!(counts.read, chunk.entries().len() as u64 + counts.skipped_total());
        let (_, counts) =
            prepare(build::pcap(LinkType::RAW, &[build::ip4_udp(1, 2, b"")]), options(1500));
        assert_eq!(counts.skipped, BTreeMap::from([(Skip::LinkType(LinkType::RAW), 1)]));
    }

    #[test]
    fn an_fcs_is_cut_off_and_the_missing_end_is_zeros() {
        let frame = build::pad(build::eth(0x0800, &build::ip4_udp(1, 2, b"hello")));
        let with_fcs = build::fcs(frame.clone());
        // captured whole, without its last two bytes, and cut within the frame
        let file = pcap(Some(4), &[(64, &with_fcs), (64, &with_fcs[..62]), (64, &with_fcs[..30])]);
        let (chunk, counts) =
            prepare(file, PrepareOptions { truncated: Truncated::Pad, ..options(1500) });
        let sent: Vec<&[u8]> = chunk.frames().map(|(_, bytes)| bytes).collect();
        let mut cut = frame.clone();
        cut[30..].fill(0);
        assert_eq!(sent, [&frame[..], &frame[..], &cut[..]]);
        assert_eq!((counts.fcs_removed, counts.padded), (2, 1));
    }

    #[test]
    fn a_length_that_lies_takes_no_memory() {
        let file = pcap(None, &[(u32::MAX, &[1; 60])]);
        let (chunk, counts) =
            prepare(file, PrepareOptions { truncated: Truncated::Pad, ..options(1500) });
        assert_eq!((chunk.entries().len(), counts.skipped_total()), (0, 1));
    }

    #[test]
    fn interfaces_leave_by_their_ports() {
        let mut writer = PcapngWriter::new(Vec::new(), &SectionSpec::default()).unwrap();
        for _ in 0..3 {
            writer
                .add_interface(&InterfaceSpec {
                    linktype: LinkType::ETHERNET,
                    ..InterfaceSpec::default()
                })
                .unwrap();
        }
        for interface in [2, 0, 1, 2] {
            let frame = [interface as u8; 60];
            writer.write_frame(interface, 0, 60, &frame, &FrameOptions::default()).unwrap();
        }
        let map = PortMap::ByInterface(BTreeMap::from([(0, 1), (2, 0)]));
        let ports = vec![PortSpec { mtu: 1500 }; 2];
        let (chunk, counts) =
            prepare(writer.finish().unwrap(), PrepareOptions { ports, map, ..options(1500) });
        let ports: Vec<(u16, u8)> = chunk.frames().map(|(e, bytes)| (e.port, bytes[0])).collect();
        assert_eq!(ports, [(0, 2), (1, 0), (0, 2)]);
        assert_eq!(counts.skipped, BTreeMap::from([(Skip::NoPort, 1)]));
    }
}
