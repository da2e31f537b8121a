//! Remote desktop conversations as frames, with TLS that is all sizes and no secrets.

use etherparse::PacketBuilder;
use skb::LinkType;
use surface::{Analyzer, Limits};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Client,
    Server,
}
pub(crate) use Who::{Client, Server};

/// What a capture does to frames.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mirror {
    pub(crate) twice: bool,
    pub(crate) bytewise: bool,
    pub(crate) snaplen: Option<usize>,
    pub(crate) only: Option<Who>,
}

/// One conversation; frames are a second apart.
#[derive(Debug, Clone)]
pub(crate) struct Conversation {
    pub(crate) client: ([u8; 4], u16),
    pub(crate) server: ([u8; 4], u16),
    pub(crate) ttl: u8,
    pub(crate) talk: Vec<(Who, Vec<u8>)>,
    /// Who finishes first, if anyone does.
    pub(crate) ended: Option<Who>,
}

impl Conversation {
    pub(crate) fn new(talk: Vec<(Who, Vec<u8>)>, ended: Option<Who>) -> Self {
        let (client, server) = (([203, 0, 113, 7], 50_000), ([192, 168, 1, 10], 2299));
        Self { client, server, ttl: 52, talk, ended }
    }

    pub(crate) fn frames(&self, mirror: Mirror) -> Vec<Vec<u8>> {
        let mut seq = [1000_u32, 2000];
        let mut frames = Vec::new();
        let mut send = |who: Who, flags: &str, data: &[u8]| {
            let own = usize::from(who == Server);
            let (from, to, ttl) = match who {
                Client => (self.client, self.server, self.ttl),
                Server => (self.server, self.client, 128),
            };
            let mut step = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
                .ipv4(from.0, to.0, ttl)
                .tcp(from.1, to.1, seq[own], 64_000);
            for flag in flags.chars() {
                step = match flag {
                    'S' => step.syn(),
                    'F' => step.fin(),
                    'R' => step.rst(),
                    _ => step.ack(seq[1 - own]),
                };
            }
            let mut frame = Vec::new();
            step.write(&mut frame, data).unwrap();
            let took = data.len() as u32 + u32::from(flags.contains(['S', 'F']));
            seq[own] = seq[own].wrapping_add(took);
            if mirror.only.is_none_or(|only| only == who) {
                frames.extend(vec![frame; 1 + usize::from(mirror.twice)]);
            }
        };
        send(Client, "S", &[]);
        send(Server, "SA", &[]);
        send(Client, "A", &[]);
        for (who, data) in &self.talk {
            for data in data.chunks(if mirror.bytewise { 1 } else { 1400 }) {
                send(*who, "A", data);
            }
        }
        if let Some(who) = self.ended {
            send(who, "FA", &[]);
            send(if who == Client { Server } else { Client }, "RA", &[]);
        }
        frames
    }
}

/// What an analysis knows after these frames.
pub(crate) fn analyze(
    frames: &[Vec<u8>],
    snaplen: Option<usize>,
) -> (Analyzer, Vec<surface::FlowRecord>) {
    let cut = |frame: &Vec<u8>| frame[..frame.len().min(snaplen.unwrap_or(usize::MAX))].to_vec();
    let captured: Vec<_> = frames.iter().map(cut).collect();
    let mut bytes = testkit::build::pcap(LinkType::ETHERNET, &captured);
    let mut at = 24;
    for (frame, captured) in frames.iter().zip(&captured) {
        bytes[at + 12..at + 16].copy_from_slice(&(frame.len() as u32).to_le_bytes());
        at += 16 + captured.len();
    }
    let mut reader =
        capture::Reader::new(capture::Source::from_bytes("frames", bytes).unwrap()).unwrap();
    let mut analyzer = Analyzer::new(Limits::default());
    while let Some(batch) = reader.next_batch().unwrap() {
        analyzer.batch(&batch);
    }
    let flows = analyzer.finish();
    (analyzer, flows)
}

/// X.224 connection request with a cookie and what it asks for.
pub(crate) fn request(user: &str, requested: u32) -> Vec<u8> {
    let mut rest = format!("Cookie: mstshash={user}\r\n").into_bytes();
    rest.extend_from_slice(&[1, 0, 8, 0]);
    rest.extend_from_slice(&requested.to_le_bytes());
    let length = 11 + rest.len() as u8;
    [&[3, 0, 0, length, length - 5, 0xe0, 0, 0, 0, 0, 0], &rest[..]].concat()
}

/// The answer: 2 and the protocol, or 3 and the failure.
pub(crate) fn confirm(ty: u8, value: u32) -> Vec<u8> {
    let head = [3, 0, 0, 19, 14, 0xd0, 0, 0, 0x12, 0x34, 0, ty, 0, 8, 0];
    [&head[..], &value.to_le_bytes()].concat()
}

fn record(ty: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![ty, 3, 3, (length >> 8) as u8, length as u8];
    bytes.extend((0..length).map(|n| (n as u8).wrapping_mul(59) ^ 0xa5));
    bytes
}

/// A version of TLS with a cipher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tls {
    /// TLS 1.0 with AES-128-CBC and SHA-1.
    Cbc,
    /// TLS 1.2 with AES-256-GCM.
    Gcm,
    /// TLS 1.3 with AES-256-GCM.
    Three,
}

fn hello(ty: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len() + 4;
    let head = [22, 3, 1, (length >> 8) as u8, length as u8, ty, 0, 0, body.len() as u8];
    [&head[..], body].concat()
}

impl Tls {
    /// A record of application data with so many bytes inside.
    fn data(self, plain: usize) -> Vec<u8> {
        record(
            23,
            match self {
                Self::Cbc => (plain + 20 + 1).next_multiple_of(16),
                Self::Gcm => plain + 24,
                Self::Three => plain + 17,
            },
        )
    }

    fn handshake(self) -> Vec<(Who, Vec<u8>)> {
        let (version, cipher): ([u8; 2], [u8; 2]) = match self {
            Self::Cbc => ([3, 1], [0, 0x2f]),
            Self::Gcm => ([3, 3], [0xc0, 0x30]),
            Self::Three => ([3, 3], [0x13, 2]),
        };
        let mut client = [&version[..], &[7; 32], &[0, 0, 2], &cipher, &[1, 0]].concat();
        let mut server = [&version[..], &[9; 32], &[0], &cipher, &[0]].concat();
        if self == Self::Three {
            client.extend_from_slice(&[0, 7, 0, 43, 0, 3, 2, 3, 4]);
            server.extend_from_slice(&[0, 6, 0, 43, 0, 2, 3, 4]);
        }
        let (client, server) = (hello(1, &client), hello(2, &server));
        if self == Self::Three {
            let flight = [
                server,
                record(20, 1),
                self.data(20),
                self.data(900),
                self.data(300),
                self.data(52),
            ];
            let tickets = [self.data(240), self.data(240)];
            return vec![
                (Client, client),
                (Server, flight.concat()),
                (Client, [record(20, 1), self.data(52)].concat()),
                (Server, tickets.concat()),
            ];
        }
        vec![
            (Client, client),
            (Server, [server, record(22, 300)].concat()),
            (Client, [record(22, 260), record(20, 1), record(22, 40)].concat()),
            (Server, [record(20, 1), record(22, 40)].concat()),
        ]
    }

    /// A conversation with this inside, each in a record of its own.
    pub(crate) fn talk(self, selected: u32, inside: &[(Who, usize)]) -> Vec<(Who, Vec<u8>)> {
        let mut talk = vec![(Client, request("melton", 0xb)), (Server, confirm(2, selected))];
        talk.extend(self.handshake());
        talk.extend(inside.iter().map(|&(who, plain)| (who, self.data(plain))));
        talk
    }

    /// The alert by which an end says that it closes.
    pub(crate) fn alert(self) -> Vec<u8> {
        match self {
            Self::Cbc => record(21, 32),
            Self::Gcm => record(21, 26),
            Self::Three => record(23, 19),
        }
    }
}
