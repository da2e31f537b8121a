//! What frames can make an analysis remember, follow or repeat is bounded.

use std::thread;

use capture::write::PcapWriter;
use capture::{Reader, Source};
use skb::LinkType;
use surface::{Analyzer, FlowRecord, Limits};

const SYN: u8 = 2;
const ACK: u8 = 16;

/// A capture in memory.
struct Wire(PcapWriter<Vec<u8>>, i64);

impl Wire {
    fn new() -> Self {
        let writer = PcapWriter::new(Vec::new(), LinkType::ETHERNET, 0, None).expect("memory");
        Self(writer, 1_700_000_000_000_000_000)
    }

    fn frame(&mut self, bytes: &[u8]) {
        self.1 += 1000;
        self.0.write_frame(self.1, bytes.len() as u32, bytes).expect("memory");
    }

    fn ip(&mut self, ends: [([u8; 4], u16); 2], proto: u8, rest: &[u8], payload: &[u8]) {
        let [(src, src_port), (dst, dst_port)] = ends;
        let length = 24 + rest.len() + payload.len();
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
        frame.extend((length as u16).to_be_bytes());
        frame.extend([0, 0, 0, 0, 64, proto, 0, 0]);
        frame.extend([src, dst].concat());
        frame.extend([src_port.to_be_bytes(), dst_port.to_be_bytes()].concat());
        frame.extend(rest);
        frame.extend(payload);
        self.frame(&frame);
    }

    fn tcp(&mut self, ends: [([u8; 4], u16); 2], seq: u32, flags: u8, payload: &[u8]) {
        let mut rest = seq.to_be_bytes().to_vec();
        rest.extend([0, 0, 0, 0, 0x50, flags, 1, 0, 0, 0, 0, 0]);
        self.ip(ends, 6, &rest, payload);
    }

    fn udp(&mut self, ends: [([u8; 4], u16); 2], payload: &[u8]) {
        let length = (payload.len() as u16 + 8).to_be_bytes();
        self.ip(ends, 17, &[length[0], length[1], 0, 0], payload);
    }

    /// A connection in which both ends say these things in turn, the client first.
    fn talk(&mut self, ends: [([u8; 4], u16); 2], said: &[&[u8]]) {
        let [client, server] = ends;
        self.tcp([client, server], 0, SYN, b"");
        self.tcp([server, client], 0, SYN | ACK, b"");
        let mut seq = [1, 1];
        for (n, said) in said.iter().enumerate() {
            let from = n & 1;
            let ends = if from == 0 { [client, server] } else { [server, client] };
            for piece in said.chunks(1400) {
                self.tcp(ends, seq[from], ACK, piece);
                seq[from] += piece.len() as u32;
            }
        }
    }

    fn analyze(self, limits: Limits) -> (Vec<FlowRecord>, Analyzer) {
        let bytes = self.0.finish().expect("memory");
        let source = Source::from_bytes("test", bytes).expect("a capture");
        let mut reader = Reader::new(source).expect("a capture");
        let mut analyzer = Analyzer::new(limits);
        let mut flows = Vec::new();
        while let Some(batch) = reader.next_batch().expect("a capture") {
            analyzer.batch(&batch);
            flows.extend(analyzer.ended());
        }
        flows.extend(analyzer.finish());
        (flows, analyzer)
    }
}

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 7], 50_000);
const SERVER: ([u8; 4], u16) = ([192, 168, 1, 10], 443);

/// More different hosts, services, names and claims than any list has room for.
#[test]
fn lists_of_a_site_are_bounded() {
    const MANY: u32 = 40_000;
    let mut wire = Wire::new();
    let request: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for n in 0..MANY {
        let [_, a, b, c] = n.to_be_bytes();
        let host = [10, a, b, c];
        let outside = [203, b, c, 7];
        wire.talk([(outside, 50_000), (host, 80)], &[request, b"HTTP/1.1 200 OK\r\n\r\n"]);
        let mut arp = vec![0xff; 6];
        arp.extend([2, 0, a, b, c, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2, 2, 0, a, b, c, 1]);
        arp.extend(host);
        arp.extend([0, 0, 0, 0, 0, 0, 10, 0, 0, 1]);
        wire.frame(&arp);
        let mut dns = vec![b, c, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 5];
        dns.extend(format!("{n:05}").bytes());
        dns.extend([0, 0, 1, 0, 1, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4]);
        dns.extend(host);
        let mut asked = dns[..23].to_vec();
        asked[2..8].copy_from_slice(&[1, 0, 0, 1, 0, 0]);
        wire.udp([([10, 0, 0, 2], 40_000), ([10, 0, 0, 1], 53)], &asked);
        wire.udp([([10, 0, 0, 1], 53), ([10, 0, 0, 2], 40_000)], &dns);
    }
    let limits = Limits { flows_max: 500, inspected_bytes_max: 1 << 16 };
    let (_, analyzer) = wire.analyze(limits);
    let (site, counts) = (analyzer.site(), analyzer.counts());
    assert_eq!(site.services().len(), 16_384);
    assert_eq!(site.hosts().len(), 16_384);
    assert!(site.hosts().iter().all(|host| host.names.len() <= 8 && host.cards.len() <= 8));
    assert!(site.overlooked() > 0 && counts.evicted > 0);
    let findings = site.findings();
    assert!(findings.len() <= 3 * 16_384, "{}", findings.len());
    for finding in findings {
        assert!(finding.evidence.len() <= 16 && finding.hosts.len() <= 32);
    }
}

/// Connections that all hold something back because what is before it never came.
#[test]
fn bytes_held_are_bounded() {
    let mut wire = Wire::new();
    for n in 0..400 {
        let client = ([203, 0, 113, 7], 10_000 + n);
        wire.tcp([client, SERVER], 0, SYN, b"");
        for hole in 0..8 {
            wire.tcp([client, SERVER], 5000 + hole * 4000, ACK, &[0; 1400]);
        }
    }
    let (flows, analyzer) = wire.analyze(Limits { flows_max: 500, inspected_bytes_max: 1 << 20 });
    assert_eq!(flows.len(), 400);
    // each wants more than 11,200 bytes: 93 at most fit
    assert!(analyzer.counts().unlooked >= 400 - 94, "{:?}", analyzer.counts());
}

/// What carries something that carries something: four deep, then it is no longer opened.
#[test]
fn wrappers_inside_each_other_end() {
    let client = b"CONNECT a:1 HTTP/1.1\r\n\r\n".repeat(50);
    let server = b"HTTP/1.1 200 OK\r\n\r\n".repeat(50);
    let mut wire = Wire::new();
    wire.talk([CLIENT, SERVER], &[&client, &server]);
    let (flows, _) = wire.analyze(Limits::default());
    assert_eq!(flows.len(), 1);
    assert!((1..=4).contains(&flows[0].path.len()), "{:?}", flows[0].path);
}

/// An element of DER.
fn der(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_be_bytes();
    [&[tag, 0x82, length[0], length[1]], body].concat()
}

fn tls(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    let message = [&[kind], &length[1..], body].concat();
    let length = (message.len() as u16).to_be_bytes();
    [&[22, 3, 3, length[0], length[1]], &message[..]].concat()
}

/// Certificates and directory searches whose elements are thousands deep, on a small stack.
#[test]
fn elements_inside_each_other_need_no_stack() {
    let deep = |tag: u8, levels: usize| (0..levels).fold(vec![], |body, _| der(tag, &body));
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    let mut client = hello.clone();
    client.extend([0, 0, 2, 0x13, 1, 1, 0, 0, 0]);
    hello.extend([0, 0xc0, 0x2f, 0]);
    let mut said = Vec::new();
    for tag in [0x30, 0xa0, 0xa3, 0x24] {
        for inside in [0, 1] {
            let mut body = deep(tag, 3900);
            if inside == 1 {
                body = der(0x30, &der(0x30, &body[..body.len() - 8]));
            }
            let length = (body.len() as u32).to_be_bytes();
            let more = (body.len() as u32 + 3).to_be_bytes();
            let list = [&more[1..], &length[1..], &body].concat();
            said.push((tls(1, &client), [tls(2, &hello), tls(11, &list)].concat()));
        }
        said.push((deep(tag, 1000), deep(tag, 1000)));
    }
    let small = thread::Builder::new().stack_size(256 << 10);
    let run = small.spawn(move || {
        for (port, (client, server)) in (1000..).zip(&said) {
            let mut wire = Wire::new();
            wire.talk([CLIENT, (SERVER.0, port)], &[client, server]);
            wire.udp([CLIENT, (SERVER.0, 389)], &client[..client.len().min(1400)]);
            let (flows, _) = wire.analyze(Limits::default());
            assert_eq!(flows.len(), 2);
        }
    });
    run.expect("a thread").join().expect("deep elements");
}

/// A hello in short records: only so many are put together.
#[test]
fn records_put_together_are_bounded() {
    let mut client = vec![3, 3];
    client.extend([7; 32]);
    client.extend([0, 0, 120]);
    client.extend([0x13, 1].repeat(60));
    client.extend([1, 0, 0, 0]);
    let whole = tls(1, &client);
    let records = |size: usize| -> Vec<u8> {
        let record = |piece: &[u8]| [&[22, 3, 3, 0, piece.len() as u8], piece].concat();
        let (first, rest) = whole[5..].split_at(70);
        record(first).into_iter().chain(rest.chunks(size).flat_map(record)).collect()
    };
    // in 3, 13 and 49 records
    for (size, told) in [(48, true), (8, true), (2, false)] {
        let mut wire = Wire::new();
        wire.talk([CLIENT, SERVER], &[&records(size)]);
        let (flows, _) = wire.analyze(Limits::default());
        let ja4 = match &flows[0].facts {
            surface::Facts::Tls(facts) => facts.ja4.is_some(),
            _ => false,
        };
        assert_eq!(ja4, told, "records of {size} bytes: {:?}", flows[0]);
    }
}

/// Names that point at names that point at names, and counts beyond all that a message has.
#[test]
fn names_and_counts_of_a_message_are_bounded() {
    let mut dns = vec![1, 2, 0x81, 0x80, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    dns.extend(b"\x01a\0\0\x01\0\x01");
    // a ladder of pointers, each to the one before it, and records named by its end
    let mut before = 12_u16;
    while dns.len() < 400 {
        let at = dns.len() as u16;
        dns.extend([1, b'x']);
        dns.extend((0xc000 | before).to_be_bytes());
        before = at;
    }
    while dns.len() < 1300 {
        dns.extend((0xc000 | before).to_be_bytes());
        dns.extend([0, 5, 0, 1, 0, 0, 0, 1, 0, 2]);
        dns.extend((0xc000 | before).to_be_bytes());
    }
    let mut asked = dns[..19].to_vec();
    asked[2..12].copy_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let mut wire = Wire::new();
    let (client, server) = (([192, 168, 1, 20], 40_000), ([192, 168, 1, 1], 53));
    for _ in 0..2000 {
        wire.udp([client, server], &asked);
        wire.udp([server, client], &dns);
    }
    let (flows, analyzer) = wire.analyze(Limits::default());
    assert_eq!(flows.len(), 1);
    assert!(analyzer.site().hosts().len() <= 2);
}
