//! Locating every frame of a capture that is held in memory, one core.

use crate::{Row, Spread};
use capture::Record;
use capture::format::{Format, Parser};
use skb::LinkType;
use skb::locate::{L3, Located, locate, locate_ethernet};
use std::time::Instant;

/// What one pass found; also what keeps the work from being optimised away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pass {
    /// Frames.
    pub frames: u64,
    /// Frames with an IPv4 or IPv6 header.
    pub ip: u64,
    /// Frames with a transport header.
    pub transport: u64,
    /// All offsets and protocols added up: equal for equal results.
    pub sum: u64,
}

impl Pass {
    #[inline(always)]
    fn add(&mut self, found: &Located) {
        self.frames += 1;
        self.ip += u64::from(matches!(found.kind, L3::Ipv4 | L3::Ipv6));
        self.transport += u64::from(found.l4 != 0);
        self.sum += u64::from(found.l4) + u64::from(found.ip_proto) + u64::from(found.ethertype);
    }
}

/// Parses and locates every frame of a whole capture file in memory.
pub fn pass(file: &[u8]) -> Result<Pass, capture::Damage> {
    let mut parser = Parser::new();
    let mut pass = Pass::default();
    let mut at = 0;
    let mut ethernet = false;
    loop {
        let bytes = file.get(at..).unwrap_or_default();
        // a pcap file has one link type; in others the interfaces are looked at frame by frame
        let max = if ethernet { usize::MAX } else { 1 };
        let mut other = None;
        let end = parser.parse_each(bytes, max, |record| {
            if ethernet {
                let frame = bytes.get(record.data_range()).unwrap_or_default();
                pass.add(&locate_ethernet(frame));
            } else {
                other = Some(*record);
            }
        })?;
        if let Some(record) = other {
            let linktype = parser.interfaces()[record.interface as usize].linktype;
            let frame = bytes.get(record.data_range()).unwrap_or_default();
            pass.add(&locate(linktype, frame));
            let is_pcap = matches!(parser.format(), Some(Format::Pcap { .. }));
            ethernet = is_pcap && linktype == LinkType::ETHERNET;
        }
        at += end.consumed;
        if end.consumed == 0 || at >= file.len() {
            return Ok(pass);
        }
    }
}

/// The floor: every 8-byte word of the file added up in order, in frames per second of `frames`.
/// Nothing that reads the file once can be faster than the memory that holds it.
pub fn floor_mpps(file: &[u8], frames: u64) -> f64 {
    let best = (0..3)
        .map(|_| {
            let start = Instant::now();
            let mut lanes = [0_u64; 8];
            for chunk in file.chunks_exact(64) {
                for (lane, word) in lanes.iter_mut().zip(chunk.chunks_exact(8)) {
                    let word = word.first_chunk().copied().unwrap_or_default();
                    *lane = lane.wrapping_add(u64::from_le_bytes(word));
                }
            }
            std::hint::black_box(lanes);
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    frames as f64 / best / 1e6
}

/// The row `locate`: `runs` passes over `file`.
pub fn bench(file: &[u8], runs: usize) -> Result<Row, capture::Damage> {
    let first = pass(file)?;
    let mut figures = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = Instant::now();
        let pass = std::hint::black_box(pass(std::hint::black_box(file))?);
        figures.push(pass.frames as f64 / start.elapsed().as_secs_f64() / 1e6);
    }
    Ok(Row {
        bench: "inspect",
        case: "locate".into(),
        metric: "mpps",
        figures: Spread::new(figures),
        floor: Some(floor_mpps(file, first.frames)),
        peer: None,
        extra: vec![
            ("frames", first.frames.to_string()),
            ("bytes", file.len().to_string()),
            ("ip", first.ip.to_string()),
            ("transport", first.transport.to_string()),
            ("sum", format!("{:016x}", first.sum)),
        ],
    })
}

/// The same walk with etherparse's strict slicing in a plain loop, as the peer of `locate`.
pub fn bench_etherparse(file: &[u8], runs: usize) -> Result<Row, capture::Damage> {
    let mut figures = Vec::with_capacity(runs);
    let mut found = (0, 0);
    for _ in 0..runs {
        let start = Instant::now();
        found = std::hint::black_box(pass_etherparse(std::hint::black_box(file))?);
        figures.push(found.0 as f64 / start.elapsed().as_secs_f64() / 1e6);
    }
    Ok(Row {
        bench: "inspect",
        case: "locate, etherparse in a plain loop".into(),
        metric: "mpps",
        figures: Spread::new(figures),
        floor: None,
        peer: Some("etherparse 0.21".into()),
        extra: vec![("frames", found.0.to_string()), ("transport", found.1.to_string())],
    })
}

/// Records taken at a time: their descriptors stay in the first-level cache.
const BATCH: usize = 128;

fn pass_etherparse(file: &[u8]) -> Result<(u64, u64), capture::Damage> {
    let mut parser = Parser::new();
    let mut records: Vec<Record> = Vec::with_capacity(BATCH);
    let (mut frames, mut transport, mut at) = (0, 0, 0);
    loop {
        records.clear();
        let bytes = file.get(at..).unwrap_or_default();
        let end = parser.parse_batch(bytes, &mut records, BATCH)?;
        for record in &records {
            frames += 1;
            let frame = bytes.get(record.data_range()).unwrap_or_default();
            if let Ok(sliced) = etherparse::SlicedPacket::from_ethernet(frame) {
                transport += u64::from(sliced.transport.is_some());
            }
        }
        at += end.consumed;
        if end.need > 0 || at >= file.len() {
            return Ok((frames, transport));
        }
    }
}
