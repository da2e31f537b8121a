//! Conversations as frames: cut into segments, some of them lost, repeated, swapped or cut short,
//! of one end or of both.

use capture::write::PcapWriter;
use skb::LinkType;

use super::super::input::{Input, Pieces};
use super::script::{LIES_MAX, Message, Script, Who};

/// Conversations of one input.
const CONVERSATIONS_MAX: usize = 12;
/// Frames of one input, before those seen twice.
const FRAMES_MAX: usize = 600;
/// Segments of a message, unless each is full.
const SEGMENTS_MAX: usize = 64;
/// Longest segment.
const SEGMENT_MAX: usize = 1400;
/// Ports besides a dialog's own: some that tests lift weak patterns on, some that mean nothing.
const PORTS: [u16; 16] =
    [2299, 443, 50_001, 3389, 53, 80, 445, 161, 25, 389, 88, 1433, 104, 5938, 1194, 9100];

/// What carries a dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// TCP.
    Tcp,
    /// UDP, a datagram for each message.
    Udp,
    /// Ethernet; a message begins with its two MAC addresses.
    Link,
    /// IP with this protocol number.
    Ip(u8),
}

/// A dialog of a protocol.
#[derive(Debug, Clone, Copy)]
pub struct Dialog {
    /// The application as surface names it, where the dialog without lies is told apart.
    pub app: &'static str,
    /// What carries it.
    pub over: Over,
    /// Its own port.
    pub port: u16,
    /// Writes its messages.
    pub say: fn(&mut Script<'_>),
}

/// Of one input, a conversation.
#[derive(Debug, Clone)]
pub struct Conversation {
    over: Over,
    port: u16,
    /// The choices that `place` documents.
    place: u8,
    cut: u8,
    /// Bits: 0x03 which server; 0x04 another client's network; 0x08 forwarded by a router, so that
    /// every frame is seen on both of its sides; 0xf0 how often it is repeated, up to 128
    /// times.
    ends: u8,
    /// Segments that something happens to: which, and what.
    ops: Vec<(u8, u8)>,
    messages: Vec<Message>,
}

/// The end whose frames are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Both.
    Both,
    /// The one that opened the conversation.
    Client,
    /// The other.
    Server,
}

/// Conversations, and how they lie in the capture.
#[derive(Debug)]
pub struct Scene {
    conversations: Vec<Conversation>,
    /// Messages of all conversations one by one in turn, not conversation by conversation.
    in_turn: bool,
    ipv6: bool,
    vlan: bool,
}

/// How the frames of a scene are written.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// Whole messages, and nothing happens to any.
    pub whole: bool,
    /// Whose frames.
    pub seen: Seen,
}

impl Scene {
    /// Reads conversations: kind, place, cut, ends, numbers of lies and operations, these, choices.
    pub fn read(input: &mut Input<'_>, dialogs: &[Dialog], head: u8) -> Self {
        let mut conversations = Vec::new();
        while !input.is_empty() && conversations.len() < CONVERSATIONS_MAX {
            conversations.push(conversation(input, dialogs));
        }
        Self { conversations, in_turn: head & 8 != 0, ipv6: head & 16 != 0, vlan: head & 32 != 0 }
    }

    /// Nothing is lost, repeated or swapped, beginnings are seen, and of each conversation there
    /// are few segments.
    pub fn is_plain(&self) -> bool {
        self.conversations.iter().all(|one| {
            one.ops.is_empty()
                && one.place & 0x38 == 0
                && one.messages.iter().map(|m| m.bytes.len()).sum::<usize>() < 3000
                && one.messages.len() <= 8
        })
    }

    /// The frames as a capture.
    pub fn capture(&self, how: How) -> Vec<u8> {
        let mut out = Frames { scene: self, file: Vec::new(), time_ns: 1_700_000_000_000_000_000 };
        let mut told = Vec::new();
        let mut total = 0;
        for (number, one) in (0_u16..).zip(&self.conversations) {
            for time in 0..one.times() {
                let segments = one.segments(number as u8, how);
                total += segments.len();
                if total <= FRAMES_MAX {
                    told.push((number + time * CONVERSATIONS_MAX as u16, segments));
                }
            }
        }
        let mut frames = Vec::new();
        if self.in_turn {
            let longest = told.iter().map(|(_, segments)| segments.len()).max().unwrap_or(0);
            for n in 0..longest {
                for (number, segments) in &mut told {
                    if let Some(segment) = segments.get_mut(n) {
                        frames.push((*number, std::mem::take(segment)));
                    }
                }
            }
        } else {
            let each = |(number, segments): (u16, Vec<Segment>)| {
                segments.into_iter().map(move |segment| (number, segment))
            };
            frames = told.into_iter().flat_map(each).collect();
        }
        out.write(frames);
        out.file
    }
}

fn conversation(input: &mut Input<'_>, dialogs: &[Dialog]) -> Conversation {
    let kind = usize::from(input.u8()) % (dialogs.len() + 1);
    let (place, cut, ends, many) = (input.u8(), input.u8(), input.u8(), input.u8());
    let mut pairs =
        |count: usize| -> Vec<(u8, u8)> { (0..count).map(|_| (input.u8(), input.u8())).collect() };
    let lies = pairs(usize::from(many & 7).min(LIES_MAX));
    let ops = pairs(usize::from(many >> 3 & 7));
    let length = usize::from(input.u16());
    let mut choices = Input::new(input.take(length));
    let Some(dialog) = dialogs.get(kind) else {
        let over = if many & 0x40 == 0 { Over::Tcp } else { Over::Udp };
        let messages = raw(&mut choices);
        return Conversation { over, port: port(place, 2299), place, cut, ends, ops, messages };
    };
    let mut script = Script::new(choices, lies);
    (dialog.say)(&mut script);
    let port = port(place, dialog.port);
    let over = match (dialog.over, many & 0x80 != 0) {
        (Over::Tcp, true) => Over::Udp,
        (Over::Udp, true) => Over::Tcp,
        (over, _) => over,
    };
    Conversation { over, port, place, cut, ends, ops, messages: script.finish() }
}

/// Bits of `place`: 0x07 the port; 0x08 no SYN was seen; 0x30 whose frames are seen; 0x40 who
/// ends it; 0x80 who is inside.
fn port(place: u8, own: u16) -> u16 {
    match place & 7 {
        0..4 => own,
        n => PORTS[usize::from(n - 4) + usize::from(place >> 6) * 4],
    }
}

/// Messages of any bytes: who and how long, then they.
fn raw(input: &mut Input<'_>) -> Vec<Message> {
    let mut messages = Vec::new();
    while !input.is_empty() && messages.len() < 24 {
        let head = input.u16();
        let who = if head & 0x8000 == 0 { Who::Client } else { Who::Server };
        let bytes = input.take(usize::from(head & 0x1fff)).to_vec();
        messages.push(Message { who, bytes });
    }
    messages
}

/// The bytes in front of a message in an input for [`Scene::read`]'s raw kind.
pub fn raw_head(who: Who, length: usize) -> [u8; 2] {
    let from = if who == Who::Client { 0 } else { 0x8000 };
    (length as u16 & 0x1fff | from).to_le_bytes()
}

#[derive(Debug, Default, Clone)]
struct Segment {
    from_server: bool,
    seq: u32,
    flags: u8,
    bytes: Vec<u8>,
    /// Bytes that the capture cut off.
    cut: usize,
    /// Seconds that it comes late.
    late: u8,
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

impl Conversation {
    /// How often it takes place, each time from another port.
    fn times(&self) -> u16 {
        1 << (self.ends >> 4).saturating_sub(8)
    }

    fn segments(&self, number: u8, how: How) -> Vec<Segment> {
        let mut out = Vec::new();
        let first = [7_000, 0xffff_fff0_u32 - u32::from(number)];
        let mut seq = first.map(|seq| seq.wrapping_add(1));
        let is_tcp = self.over == Over::Tcp;
        if is_tcp && self.place & 8 == 0 {
            let syn = |server: usize, flags| Segment {
                from_server: server == 1,
                seq: first[server],
                flags,
                ..Segment::default()
            };
            out.extend([syn(0, SYN), syn(1, SYN | ACK)]);
        }
        let opening = out.len();
        let mut pieces = Pieces::of(&[self.cut, number]);
        for message in &self.messages {
            let server = usize::from(message.who == Who::Server);
            let mut rest = &message.bytes[..];
            while !rest.is_empty() {
                let most = match self.cut {
                    _ if !is_tcp => rest.len(),
                    0 => SEGMENT_MAX,
                    _ if how.whole => SEGMENT_MAX,
                    1 => 1,
                    2..0x80 => usize::from(self.cut),
                    _ => pieces.size(),
                };
                let most = most.max(message.bytes.len() / SEGMENTS_MAX);
                let (now, later) = rest.split_at(most.min(rest.len()));
                rest = later;
                let bytes = now.to_vec();
                let at = seq[server];
                seq[server] = at.wrapping_add(now.len() as u32);
                out.push(Segment {
                    from_server: server == 1,
                    seq: at,
                    flags: ACK,
                    bytes,
                    ..Segment::default()
                });
            }
        }
        if !how.whole {
            for &(which, what) in &self.ops {
                happen(&mut out, opening + usize::from(which), what);
            }
        }
        if is_tcp && self.place & 0x40 != 0 {
            let mut ends = [(0, FIN | ACK), (1, FIN | ACK)];
            if self.cut & 1 != 0 {
                ends.reverse();
            }
            if self.cut & 2 != 0 {
                ends[0].1 = RST;
            }
            for (server, flags) in ends {
                let seq = seq[server];
                out.push(Segment { from_server: server == 1, seq, flags, ..Segment::default() });
            }
        }
        let seen = match (how.seen, self.place >> 4 & 3) {
            (Seen::Both, 2) => Seen::Client,
            (Seen::Both, 3) => Seen::Server,
            (seen, _) => seen,
        };
        out.retain(|segment| match seen {
            Seen::Both => true,
            Seen::Client => !segment.from_server,
            Seen::Server => segment.from_server,
        });
        out
    }
}

/// Something happens to a segment on its way.
fn happen(segments: &mut Vec<Segment>, at: usize, what: u8) {
    let last = at + 1 >= segments.len();
    let Some(segment) = segments.get_mut(at) else { return };
    match what & 7 {
        0 => _ = segments.remove(at),
        1 => {
            let again = segment.clone();
            segments.push(again);
        }
        2 if what >= 0x80 => segment.late = what,
        2 if !last => segments.swap(at, at + 1),
        // sent again, longer and otherwise
        3 => {
            let mut again = segment.clone();
            again.bytes.iter_mut().for_each(|byte| *byte ^= what);
            again.bytes.extend([what; 9]);
            segments.insert(at + 1, again);
        }
        4 => {
            let keep = segment.bytes.len().min(usize::from(what >> 3));
            segment.cut = segment.bytes.len() - keep;
            segment.bytes.truncate(keep);
        }
        5 => segment.seq = segment.seq.wrapping_add(u32::from(what) << 4),
        6 => segment.seq = segment.seq.wrapping_sub(u32::from(what) << 1),
        7 => segment.flags |= what >> 3,
        _ => {}
    }
}

struct Frames<'a> {
    scene: &'a Scene,
    file: Vec<u8>,
    time_ns: i64,
}

/// The router's outer address, and the port that it forwards.
const ROUTER: [u8; 4] = [198, 51, 100, 1];
const FORWARDED: u16 = 2299;

/// Addresses and ports of client and server.
#[derive(Debug, Clone, Copy)]
struct Ends {
    client: ([u8; 4], u16),
    server: ([u8; 4], u16),
}

impl Frames<'_> {
    fn write(&mut self, segments: Vec<(u16, Segment)>) {
        let mut file = std::mem::take(&mut self.file);
        let Ok(mut writer) = PcapWriter::new(&mut file, LinkType::ETHERNET, 0, None) else {
            return;
        };
        for (number, segment) in segments {
            let at = usize::from(number) % CONVERSATIONS_MAX;
            let Some(one) = self.scene.conversations.get(at) else { continue };
            self.time_ns += 1_000_000 * (1 + i64::from(one.place));
            self.time_ns += i64::from(segment.late) * 5_000_000_000;
            let inside = ends(one, number);
            let outside = Ends { server: (ROUTER, FORWARDED), ..inside };
            let both = [(outside, 64), (inside, 63)];
            for &(ends, ttl) in if one.ends & 8 == 0 { &both[1..] } else { &both } {
                let (frame, length) = self.frame(one, ends, &segment, ttl);
                let _ = writer.write_frame(self.time_ns, length as u32, &frame);
            }
        }
        self.file = file;
    }

    /// The frame, and its original length.
    fn frame(
        &self,
        one: &Conversation,
        ends: Ends,
        segment: &Segment,
        ttl: u8,
    ) -> (Vec<u8>, usize) {
        if one.over == Over::Link {
            return (segment.bytes.clone(), segment.bytes.len() + segment.cut);
        }
        let (src, dst) = if segment.from_server {
            (ends.server, ends.client)
        } else {
            (ends.client, ends.server)
        };
        let mut body = Vec::new();
        let proto = match one.over {
            Over::Ip(proto) => proto,
            Over::Udp | Over::Link => 17,
            Over::Tcp => 6,
        };
        if matches!(one.over, Over::Tcp | Over::Udp) {
            body.extend(src.1.to_be_bytes());
            body.extend(dst.1.to_be_bytes());
        }
        if one.over == Over::Udp {
            body.extend((segment.bytes.len() as u16 + 8 + segment.cut as u16).to_be_bytes());
            body.extend([0, 0]);
        }
        if one.over == Over::Tcp {
            body.extend(segment.seq.to_be_bytes());
            body.extend([0, 0, 0, 0, 0x50, segment.flags, 1, 0, 0, 0, 0, 0]);
        }
        body.extend(&segment.bytes);
        let mut frame = self.link(segment.from_server);
        let length = (body.len() + segment.cut) as u16;
        if self.scene.ipv6 {
            frame.extend([0x60, 0, 0, 0]);
            frame.extend(length.to_be_bytes());
            frame.extend([proto, ttl]);
            frame.extend(v6(src.0));
            frame.extend(v6(dst.0));
        } else {
            frame.extend([0x45, 0]);
            frame.extend((length + 20).to_be_bytes());
            frame.extend([0, 0, 0, 0, ttl, proto, 0, 0]);
            frame.extend(src.0);
            frame.extend(dst.0);
        }
        frame.extend(body);
        let length = frame.len() + segment.cut;
        (frame, length)
    }

    fn link(&self, from_server: bool) -> Vec<u8> {
        let (client, server) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let (src, dst) = if from_server { (server, client) } else { (client, server) };
        let mut frame = [dst, src].concat();
        if self.scene.vlan {
            frame.extend([0x81, 0, 0, if from_server { 10 } else { 20 }]);
        }
        frame.extend(if self.scene.ipv6 { [0x86, 0xdd] } else { [8, 0] });
        frame
    }
}

/// The client inside or outside, the server one of four.
fn ends(one: &Conversation, number: u16) -> Ends {
    let [high, low] = number.to_be_bytes();
    let client = match (one.place & 0x80 != 0, one.ends & 4 != 0) {
        (true, false) => [203, 0, 113, low],
        (true, true) => [100, 64, high, low],
        (false, false) => [192, 168, 1, 100 + low % 100],
        (false, true) => [10, 0, high, low],
    };
    let server = match one.ends & 3 {
        0 => [192, 168, 1, 10],
        1 => [192, 168, 1, 11],
        2 => [198, 51, 100, 9],
        _ => [224, 0, 0, 251],
    };
    Ends { client: (client, 50_000 + number), server: (server, one.port) }
}

/// The same host by IPv6: inside or outside as it was.
fn v6(ip: [u8; 4]) -> [u8; 16] {
    let mut out = [0; 16];
    out[..2].copy_from_slice(match ip[0] {
        192 | 10 => &[0xfd, 0],
        224 => &[0xff, 2],
        _ => &[0x20, 1],
    });
    out[12..].copy_from_slice(&ip);
    out
}
