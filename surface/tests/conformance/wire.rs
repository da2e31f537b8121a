//! Conversations as frames, and what an analysis says of them.

use etherparse::{PacketBuilder, PacketBuilderStep, VlanId};
use skb::LinkType;
use surface::{Analyzer, App, FlowRecord, Limits};

use crate::Row;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Opener,
    Answerer,
}

/// How a row is put on the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variation {
    pub(crate) port: u16,
    /// Frames of this end only, as a mirror of one direction shows them.
    pub(crate) only: Option<Who>,
    /// VLAN tags.
    pub(crate) tags: u8,
    /// The first payload in two segments, the first of this length.
    pub(crate) split: Option<usize>,
    /// The two segments in the wrong order.
    pub(crate) late: bool,
    /// The capture began before the connection did.
    pub(crate) handshake: bool,
    /// Every payload byte by byte.
    pub(crate) bytewise: bool,
    /// Frames cut by the capture.
    pub(crate) snaplen: Option<usize>,
    /// Each frame twice.
    pub(crate) twice: bool,
}

impl Variation {
    /// As it comes.
    pub(crate) fn on(port: u16) -> Self {
        Self {
            port,
            only: None,
            tags: 0,
            split: None,
            late: false,
            handshake: true,
            bytewise: false,
            snaplen: None,
            twice: false,
        }
    }
}

const OPENER: [u8; 4] = [203, 0, 113, 7];
const ANSWERER: [u8; 4] = [192, 168, 1, 10];
const OPENER_PORT: u16 = 51_344;
const SYN: u8 = 2;
const ACK: u8 = 16;
const FIN: u8 = 1;

/// The frames of a conversation: connection, payloads, end.
pub(crate) fn frames(row: &Row, variation: &Variation) -> Vec<Vec<u8>> {
    let mut wire = Wire { variation: *variation, seq: [7_000, 0xffff_fff0], frames: Vec::new() };
    let mut talk: Vec<(Who, &[u8])> = row.talk.iter().map(|(who, b)| (*who, &b[..])).collect();
    if let Some(at) = variation.split {
        let (who, bytes) = talk[0];
        talk.splice(..1, [(who, &bytes[..at]), (who, &bytes[at..])]);
    }
    if row.transport == Transport::Udp {
        for (who, bytes) in talk {
            wire.datagram(who, bytes);
        }
        return wire.frames;
    }
    wire.segment(Who::Opener, SYN, &[]);
    wire.segment(Who::Answerer, SYN | ACK, &[]);
    wire.segment(Who::Opener, ACK, &[]);
    if !variation.handshake {
        wire.frames.clear();
    }
    let before = wire.frames.len();
    for (who, bytes) in talk {
        let length = if variation.bytewise { 1 } else { bytes.len().max(1) };
        for segment in bytes.chunks(length) {
            wire.segment(who, ACK, segment);
        }
    }
    if variation.late {
        wire.frames.swap(before, before + 1);
    }
    wire.segment(Who::Opener, FIN | ACK, &[]);
    wire.segment(Who::Answerer, FIN | ACK, &[]);
    wire.segment(Who::Opener, ACK, &[]);
    wire.frames
}

struct Wire {
    variation: Variation,
    /// Next sequence number of each end; the second wraps.
    seq: [u32; 2],
    frames: Vec<Vec<u8>>,
}

impl Wire {
    /// Source and destination port of what `who` sends.
    fn ports(&self, who: Who) -> (u16, u16) {
        match who {
            Who::Opener => (OPENER_PORT, self.variation.port),
            Who::Answerer => (self.variation.port, OPENER_PORT),
        }
    }

    fn datagram(&mut self, who: Who, bytes: &[u8]) {
        let (source, destination) = self.ports(who);
        let mut frame = Vec::new();
        self.head(who).udp(source, destination).write(&mut frame, bytes).unwrap();
        self.push(who, frame);
    }

    fn segment(&mut self, who: Who, flags: u8, bytes: &[u8]) {
        let (source, destination) = self.ports(who);
        let [own, other] = match who {
            Who::Opener => self.seq,
            Who::Answerer => [self.seq[1], self.seq[0]],
        };
        let mut step = self.head(who).tcp(source, destination, own, 64_240);
        if flags & SYN != 0 {
            step = step.syn();
        }
        if flags & FIN != 0 {
            step = step.fin();
        }
        if flags & ACK != 0 {
            step = step.ack(other);
        }
        let mut frame = Vec::new();
        step.write(&mut frame, bytes).unwrap();
        let taken = bytes.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        let seq = &mut self.seq[usize::from(who == Who::Answerer)];
        *seq = seq.wrapping_add(taken);
        self.push(who, frame);
    }

    fn head(&self, who: Who) -> PacketBuilderStep<etherparse::IpHeaders> {
        let (a, b) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let (source, destination, from, to) = match who {
            Who::Opener => (a, b, OPENER, ANSWERER),
            Who::Answerer => (b, a, ANSWERER, OPENER),
        };
        let step = PacketBuilder::ethernet2(source, destination);
        let vid = |id| VlanId::try_new(id).unwrap();
        match self.variation.tags {
            0 => step.ipv4(from, to, 64),
            1 => step.single_vlan(vid(10)).ipv4(from, to, 64),
            _ => step.double_vlan(vid(100), vid(10)).ipv4(from, to, 64),
        }
    }

    fn push(&mut self, who: Who, frame: Vec<u8>) {
        if self.variation.only.is_some_and(|only| only != who) {
            return;
        }
        if self.variation.twice {
            self.frames.push(frame.clone());
        }
        self.frames.push(frame);
    }
}

/// Headers of a pcap file and of each record in it, and where a record has its original length.
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
const ORIGLEN: usize = 12;

/// The application of every conversation in frames, of which no more than `snaplen` bytes are
/// captured.
pub(crate) fn apps(frames: &[Vec<u8>], snaplen: Option<usize>) -> Vec<App> {
    flows(frames, snaplen).iter().map(|flow| flow.app).collect()
}

/// Every conversation in them.
pub(crate) fn flows(frames: &[Vec<u8>], snaplen: Option<usize>) -> Vec<FlowRecord> {
    let cut = |frame: &Vec<u8>| frame[..frame.len().min(snaplen.unwrap_or(usize::MAX))].to_vec();
    let captured: Vec<_> = frames.iter().map(cut).collect();
    let mut bytes = testkit::build::pcap(LinkType::ETHERNET, &captured);
    let mut at = FILE_HEADER;
    for (frame, captured) in frames.iter().zip(&captured) {
        bytes[at + ORIGLEN..at + RECORD_HEADER]
            .copy_from_slice(&(frame.len() as u32).to_le_bytes());
        at += RECORD_HEADER + captured.len();
    }
    let source = capture::Source::from_bytes("frames", bytes).unwrap();
    let mut reader = capture::Reader::new(source).unwrap();
    let mut analyzer = Analyzer::new(Limits::default());
    while let Some(batch) = reader.next_batch().unwrap() {
        analyzer.batch(&batch);
    }
    analyzer.finish()
}
