//! Any conversations through the analysis of a network's surface.
//!
//! The first byte chooses: the rest is a capture file; or it is messages of a few conversations,
//! each with who says it, over which transport and port, and how it is cut into segments, lost,
//! sent twice or out of order. Then:
//!
//! * every frame is in a conversation or counted with the reason why not;
//! * the conversations given out have all frames, none twice, whatever the limits;
//! * an application has its own name at the end of its path;
//! * findings name frames that exist, and only what is proven is high;
//! * taken in other portions, the frames tell the same.

use std::collections::BTreeMap;

use capture::write::PcapWriter;
use capture::{Reader, Source};
use skb::LinkType;
use surface::{Analyzer, App, FlowRecord, Limits, Severity, Sure};

use super::input::Input;

/// Messages of one input.
const MESSAGES_MAX: usize = 64;
/// Ports of services: some that tests lift weak patterns on, some that mean nothing.
const PORTS: [u16; 16] =
    [443, 3389, 2299, 53, 80, 445, 161, 25, 389, 88, 1433, 3306, 5938, 1194, 67, 9100];

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let head = input.u8();
    let limits = Limits {
        flows_max: if head & 1 != 0 { 3 } else { 1000 },
        inspected_bytes_max: if head & 2 != 0 { 2048 } else { 1 << 20 },
    };
    let file = if head & 4 != 0 { input.rest().to_vec() } else { conversations(&mut input) };
    let (flows, frames, analyzer) = analyze(&file, limits, false);
    let counts = analyzer.counts();
    assert_eq!(counts.frames, frames);
    assert_eq!(
        counts.frames,
        counts.in_flows + counts.fragments + counts.not_ip + counts.malformed
    );
    let in_flows: u64 =
        flows.iter().map(|flow| flow.opener_sent.frames + flow.answerer_sent.frames).sum();
    assert_eq!(in_flows, counts.in_flows);
    for flow in &flows {
        assert_eq!(flow.path.last().copied().unwrap_or(App::Unknown), flow.app);
        assert!(flow.first_frame >= 1 && flow.first_frame <= frames);
    }
    for finding in analyzer.site().findings() {
        assert!(finding.sure == Sure::Proven || finding.severity < Severity::High);
        assert!(finding.evidence.iter().all(|&frame| (1..=frames).contains(&frame)));
    }
    let _ = (analyzer.site().health(), analyzer.site().services());
    // which conversations go early depends on the order of a table, not on the frames
    if limits.flows_max == 1000 && limits.inspected_bytes_max == 1 << 20 {
        let (again, _, _) = analyze(&file, limits, true);
        assert_eq!(apps(&flows), apps(&again));
    }
}

fn apps(flows: &[FlowRecord]) -> BTreeMap<u64, App> {
    flows.iter().map(|flow| (flow.first_frame, flow.app)).collect()
}

fn analyze(file: &[u8], limits: Limits, one_by_one: bool) -> (Vec<FlowRecord>, u64, Analyzer) {
    let mut analyzer = Analyzer::new(limits);
    let mut frames = 0;
    let mut flows = Vec::new();
    if let Ok(mut reader) = Source::from_bytes("input", file.to_vec()).and_then(Reader::new) {
        while let Ok(Some(batch)) = reader.next_batch() {
            frames += batch.records().len() as u64;
            if one_by_one {
                for index in 0..batch.records().len() {
                    analyzer.frames(&batch, [index]);
                }
            } else {
                analyzer.batch(&batch);
            }
            flows.extend(analyzer.ended());
        }
    }
    flows.extend(analyzer.finish());
    (flows, frames, analyzer)
}

/// Messages as a capture.
fn conversations(input: &mut Input<'_>) -> Vec<u8> {
    let mut file = Vec::new();
    let Ok(mut writer) = PcapWriter::new(&mut file, LinkType::ETHERNET, 0, None) else {
        return Vec::new();
    };
    let mut next = [[1_u32; 2]; 8];
    let mut time_ns = 1_700_000_000_000_000_000;
    for _ in 0..MESSAGES_MAX {
        if input.is_empty() {
            break;
        }
        let how = input.u8();
        let place = input.u8();
        let len = usize::from(input.u8()) | usize::from(place & 0x80) << 1;
        let payload = input.take(len);
        let conversation = usize::from(how & 7);
        let from_server = how & 8 != 0;
        let port = PORTS[usize::from(place & 15)];
        time_ns += i64::from(place) << 16;
        let seq = &mut next[conversation][usize::from(from_server)];
        let is_tcp = how & 16 == 0;
        let frame = if is_tcp {
            let at = match place >> 4 & 3 {
                1 => seq.wrapping_add(200),        // what is before it is lost
                2 => seq.wrapping_sub(len as u32), // sent again
                _ => *seq,
            };
            *seq = at.wrapping_add(payload.len() as u32);
            tcp(conversation as u8, from_server, port, at, how >> 5, payload)
        } else {
            udp(conversation as u8, from_server, port, payload)
        };
        let _ = writer.write_frame(time_ns, frame.len() as u32, &frame);
    }
    file
}

/// Client outside, server inside.
fn ip(conversation: u8, from_server: bool, proto: u8, segment: &[u8]) -> Vec<u8> {
    let (client, server) = ([203, 0, 113, conversation], [192, 168, 1, conversation]);
    let (src, dst) = if from_server { (server, client) } else { (client, server) };
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend([0x45, 0]);
    frame.extend((segment.len() as u16 + 20).to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, proto, 0, 0]);
    frame.extend(src);
    frame.extend(dst);
    frame.extend(segment);
    frame
}

fn ports(conversation: u8, from_server: bool, service: u16) -> [u8; 4] {
    let client = 50_000 + u16::from(conversation);
    let (src, dst) = if from_server { (service, client) } else { (client, service) };
    let ([a, b], [c, d]) = (src.to_be_bytes(), dst.to_be_bytes());
    [a, b, c, d]
}

fn tcp(id: u8, from_server: bool, port: u16, seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    // nothing, SYN, FIN, RST with ACK
    let flags = match flags & 3 {
        0 => 0x18,
        1 => 0x02 | if from_server { 0x10 } else { 0 },
        2 => 0x11,
        _ => 0x14,
    };
    let mut segment = ports(id, from_server, port).to_vec();
    segment.extend(seq.to_be_bytes());
    segment.extend([0, 0, 0, 0, 0x50, flags, 1, 0, 0, 0, 0, 0]);
    segment.extend(payload);
    ip(id, from_server, 6, &segment)
}

fn udp(id: u8, from_server: bool, port: u16, payload: &[u8]) -> Vec<u8> {
    let mut segment = ports(id, from_server, port).to_vec();
    segment.extend((payload.len() as u16 + 8).to_be_bytes());
    segment.extend([0, 0]);
    segment.extend(payload);
    ip(id, from_server, 17, &segment)
}
