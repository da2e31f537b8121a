//! Frames of a small network, and what an analysis finds in them.

use etherparse::PacketBuilder;
use skb::LinkType;
use surface::{Analyzer, FlowRecord, Limits};

pub(crate) const A: [u8; 4] = [192, 168, 1, 20];
pub(crate) const B: [u8; 4] = [192, 168, 1, 10];
pub(crate) const ROUTER: [u8; 4] = [192, 168, 1, 1];
pub(crate) const OTHER: [u8; 4] = [192, 168, 1, 66];

pub(crate) fn analysis(frames: &[Vec<u8>]) -> (Analyzer, Vec<FlowRecord>) {
    analyze(testkit::build::pcap(LinkType::ETHERNET, frames))
}

fn analyze(file: Vec<u8>) -> (Analyzer, Vec<FlowRecord>) {
    let source = capture::Source::from_bytes("frames", file).unwrap();
    let mut reader = capture::Reader::new(source).unwrap();
    let mut analyzer = Analyzer::new(Limits::default());
    while let Some(batch) = reader.next_batch().unwrap() {
        analyzer.batch(&batch);
    }
    let flows = analyzer.finish();
    (analyzer, flows)
}

/// Rules found, with their severities and frames.
pub(crate) fn rules(frames: &[Vec<u8>]) -> Vec<(&'static str, &'static str, Vec<u64>)> {
    found(&analysis(frames).0)
}

fn found(analyzer: &Analyzer) -> Vec<(&'static str, &'static str, Vec<u64>)> {
    let findings = analyzer.site().findings();
    findings.into_iter().map(|f| (f.rule.id, f.severity.name(), f.evidence)).collect()
}

pub(crate) fn card(ip: [u8; 4]) -> [u8; 6] {
    [2, 0, 0, 0, 0, ip[3]]
}

/// Frames with the time at which each came, in minutes.
pub(crate) fn rules_at(frames: &[(i64, Vec<u8>)]) -> Vec<(&'static str, &'static str, Vec<u64>)> {
    let mut file = Vec::new();
    let mut writer =
        capture::write::PcapWriter::new(&mut file, LinkType::ETHERNET, 0, None).unwrap();
    for (minute, frame) in frames {
        let ns = 1_700_000_000_000_000_000 + minute * 60_000_000_000;
        writer.write_frame(ns, frame.len() as u32, frame).unwrap();
    }
    found(&analyze(file).0)
}

pub(crate) fn udp(from: ([u8; 4], u16), to: ([u8; 4], u16), payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2(card(from.0), card(to.0)).ipv4(from.0, to.0, 64);
    builder.udp(from.1, to.1).write(&mut frame, payload).unwrap();
    frame
}

/// A connection of A to B, in which `said` is said in order; true is A.
pub(crate) fn tcp(port: u16, said: &[(bool, &[u8])]) -> Vec<Vec<u8>> {
    tcp_from(50_000, port, said)
}

/// The same from a port of A.
pub(crate) fn tcp_from(own_port: u16, port: u16, said: &[(bool, &[u8])]) -> Vec<Vec<u8>> {
    let mut seq = [100_u32, 9000];
    let mut frames = Vec::new();
    let mut push = |a: bool, syn: bool, ack: bool, payload: &[u8]| {
        let ((from, from_port), (to, to_port)) =
            if a { ((A, own_port), (B, port)) } else { ((B, port), (A, own_port)) };
        let own = seq[usize::from(!a)];
        let mut step = PacketBuilder::ethernet2(card(from), card(to))
            .ipv4(from, to, 64)
            .tcp(from_port, to_port, own, 60_000);
        if syn {
            step = step.syn();
        }
        if ack {
            step = step.ack(seq[usize::from(a)]);
        }
        let mut frame = Vec::new();
        step.write(&mut frame, payload).unwrap();
        seq[usize::from(!a)] = own + payload.len() as u32 + u32::from(syn);
        frames.push(frame);
    };
    push(true, true, false, &[]);
    push(false, true, true, &[]);
    push(true, false, true, &[]);
    for &(a, payload) in said {
        push(a, false, true, payload);
    }
    frames
}

pub(crate) fn arp(
    operation: u8,
    mac: [u8; 6],
    sender: [u8; 4],
    target: [u8; 4],
    tagged: bool,
) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(mac);
    if tagged {
        frame.extend([0x81, 0, 0, 10]);
    }
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
    frame.extend(mac);
    frame.extend(sender);
    frame.extend([0; 6]);
    frame.extend(target);
    frame.resize(60, 0);
    frame
}
