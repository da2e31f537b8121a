//! Frames out of an input: bytes as they come, or built so that they get further than noise does.

use super::input::Input;
use super::switch::mac;
use skb::PortId;

/// Frames of one input at most.
const FRAMES_MAX: usize = 160;
/// Longest frame that is built.
const PAYLOAD_MAX: u16 = 2047;

/// A frame, and how it gets in.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The port whose NIC receives it.
    pub port: usize,
    /// The port its descriptor says it came in by: nearly always the same.
    pub ingress: PortId,
    /// The frame, without FCS.
    pub bytes: Vec<u8>,
}

impl Planned {
    /// The frame, cut to `max` bytes.
    pub fn bytes_up_to(&self, max: usize) -> &[u8] {
        &self.bytes[..self.bytes.len().min(max)]
    }
}

/// Reads frames for `ports` ports until the input ends.
pub fn planned_frames(input: &mut Input<'_>, ports: usize) -> Vec<Planned> {
    let mut frames = Vec::new();
    let mut builder = Builder::default();
    while !input.is_empty() && frames.len() < FRAMES_MAX {
        let (place, kind) = (input.u8(), input.u8());
        let port = usize::from(place & 7) % ports;
        let ingress = if place & 0xc0 == 0xc0 { place & 0x3f } else { port as u8 };
        let bytes = match kind & 15 {
            0 => {
                let len = input.u16() & PAYLOAD_MAX;
                input.take(usize::from(len)).to_vec()
            }
            kind => builder.build(kind, input),
        };
        frames.push(Planned { port, ingress: PortId(ingress), bytes });
    }
    frames
}

/// Builds frames; remembers where each station's TCP stream is.
#[derive(Debug, Default)]
pub struct Builder {
    next_seq: [u32; 16],
}

impl Builder {
    /// A frame of one kind with addresses, tags and length from `input`.
    pub fn build(&mut self, kind: u8, input: &mut Input<'_>) -> Vec<u8> {
        let (stations, tags) = (input.u8(), input.u8());
        let (dst, src) = (stations & 15, stations >> 4);
        let mut frame = Vec::with_capacity(128);
        frame.extend(mac(dst).0);
        frame.extend(mac(src).0);
        for tag in 0..(tags & 3).min(2) {
            let tpid = [0x8100_u16, 0x88a8, 0x9100, 0x9200][usize::from(tags >> (2 + 2 * tag) & 3)];
            frame.extend(tpid.to_be_bytes());
            frame.extend(input.u16().to_be_bytes());
        }
        let (len, flags) = (input.u16() & PAYLOAD_MAX, input.u8());
        match kind {
            1..=5 => {
                let segment = self.tcp((dst, src), len, flags);
                ipv4(&mut frame, (dst, src), 6, flags & 0x40 != 0, &segment);
            }
            6 => {
                let ports = [[0, 67, 0, 68], [0, 68, 0, 67], [0, 53, 0x30, 0x39]];
                let mut datagram = ports[usize::from(flags % 3)].to_vec();
                datagram.extend((8 + len).to_be_bytes());
                datagram.extend([0, 0]);
                datagram.resize(8 + usize::from(len), flags);
                ipv4(&mut frame, (dst, src), 17, false, &datagram);
            }
            7 | 8 => {
                let mut echo = vec![8, 0, 0, 0, 0, 1, 0, flags];
                echo.resize(8 + usize::from(len), flags);
                let sum = checksum(&echo);
                echo[2..4].copy_from_slice(&sum.to_be_bytes());
                ipv4(&mut frame, (dst, src), 1, false, &echo);
            }
            9 => arp(&mut frame, (dst, src), 1 + flags % 2),
            10 => ipv6_icmp(&mut frame, [134, 137, 135, 128][usize::from(flags & 3)], len),
            11 => frame.extend(len.to_be_bytes()), // a length or a type, and nothing
            _ => {
                frame.extend([[8, 0], [0x86, 0xdd], [8, 6], [0x88, 0xcc]][usize::from(flags & 3)]);
                frame.extend(input.take(usize::from(len)));
            }
        }
        if flags & 0x20 != 0 && frame.len() < 60 {
            frame.resize(60, 0);
        }
        frame
    }

    /// The next segment of a stream, or one that does not fit.
    fn tcp(&mut self, (dst, src): (u8, u8), len: u16, flags: u8) -> Vec<u8> {
        let next = &mut self.next_seq[usize::from(src)];
        let seq = if flags & 2 != 0 { next.wrapping_add(1000) } else { *next };
        *next = seq.wrapping_add(u32::from(len));
        let options: &[u8] =
            if flags & 8 != 0 { &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2] } else { &[] };
        let control = 0x10 | (flags & 1) << 3 | (flags & 4) >> 2 | (flags & 0x80) >> 6;
        let mut segment = vec![0x30, src, 0, if flags & 0x10 != 0 { 80 } else { dst }];
        segment.extend(seq.to_be_bytes());
        segment.extend([
            0,
            0,
            0,
            1,
            0x50 + (options.len() as u8) * 4,
            control,
            0x20,
            0,
            0,
            0,
            0,
            0,
        ]);
        segment.extend_from_slice(options);
        segment.resize(segment.len() + usize::from(len), 0x5a);
        let pseudo = [[10, 0, 0, src + 1], [10, 0, 0, dst + 1]].concat();
        let mut summed = pseudo;
        summed.extend([0, 6]);
        summed.extend((segment.len() as u16).to_be_bytes());
        summed.extend_from_slice(&segment);
        let sum = checksum(&summed);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        segment
    }
}

/// Appends an IPv4 packet from station `src` to `dst`: EtherType, header, payload.
fn ipv4(frame: &mut Vec<u8>, (dst, src): (u8, u8), proto: u8, more: bool, payload: &[u8]) {
    let mut header = [0x45, 0, 0, 0, 0, 1, u8::from(more) << 5, 0, 64, proto, 0, 0];
    header[2..4].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
    let addresses = [[10, 0, 0, src + 1], [10, 0, 0, dst + 1]].concat();
    let sum = checksum(&[&header[..], &addresses].concat());
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    frame.extend([8, 0]);
    frame.extend(header);
    frame.extend(addresses);
    frame.extend_from_slice(payload);
}

fn arp(frame: &mut Vec<u8>, (dst, src): (u8, u8), operation: u8) {
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
    frame.extend(mac(src).0);
    frame.extend([10, 0, 0, src + 1]);
    frame.extend(mac(dst).0);
    frame.extend([10, 0, 0, dst + 1]);
}

fn ipv6_icmp(frame: &mut Vec<u8>, ty: u8, len: u16) {
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend((8 + len).to_be_bytes());
    frame.extend([58, 255]);
    frame.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    frame.extend([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    frame.extend([ty, 0, 0, 0, 0, 0, 0, 0]);
    frame.resize(frame.len() + usize::from(len), 0);
}

/// The Internet checksum (RFC 1071) of `bytes`.
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
