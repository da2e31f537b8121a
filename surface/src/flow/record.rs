//! What is kept of a conversation: three cache lines and, while its bytes are looked at, a box.

use arrayvec::ArrayVec;

use super::{Key, Side};
use crate::App;
use crate::facts::Facts;
use crate::follow::Follow;
use crate::inspect::{Inspection, PATH_MAX};
use crate::peel::{Packet, proto};

/// How it is known who opened a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Opener {
    /// From who was seen first, ports, or what was said.
    Guessed,
    /// A SYN, or its answer, was seen.
    Syn,
}

impl Opener {
    /// `syn` or `guessed`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Guessed => "guessed",
            Self::Syn => "syn",
        }
    }
}

/// How far a TCP connection came, by the flags seen of both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpState {
    /// A SYN without an answer.
    Attempt,
    /// A SYN was answered with a reset.
    Refused,
    /// Opened, and not seen to end.
    Open,
    /// Both ends finished.
    Finished,
    /// Reset after it was open.
    Reset,
    /// Seen in its middle only.
    Middle,
}

impl TcpState {
    /// In lower case, for JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attempt => "attempt",
            Self::Refused => "refused",
            Self::Open => "open",
            Self::Finished => "finished",
            Self::Reset => "reset",
            Self::Middle => "middle",
        }
    }
}

/// Whether a conversation's bytes are looked at.
#[derive(Debug)]
pub(crate) enum Look {
    /// As soon as there are any.
    Wanted,
    /// They are.
    Open(Box<Inspection>),
    /// They are, after the application is known.
    Follow(Box<Follow>),
    /// No longer.
    Done,
}

/// A conversation without connections is over when nothing came for so long (RFC 4787 REQ-5 asks
/// NATs to keep one for five minutes).
pub(crate) const IDLE_NS: i64 = 300_000_000_000;
/// As is a TCP connection that is not open yet or no longer, and one that is (RFC 5382 REQ-5).
const TRANSITORY_NS: i64 = 240_000_000_000;
const ESTABLISHED_NS: i64 = 7_440_000_000_000;

/// TCP flag bits (RFC 9293 section 3.1).
pub(crate) mod flags {
    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const SYN: u8 = 0x02;
    pub(crate) const RST: u8 = 0x04;
    pub(crate) const ACK: u8 = 0x10;
    /// Not on the wire as such: SYN and ACK were set in one segment.
    pub(crate) const SYN_ACK: u8 = 0x40;
    /// Not on the wire as such: this end was the first to finish or reset.
    pub(crate) const ENDED: u8 = 0x80;
}
use flags::{ACK, ENDED, FIN, RST, SYN, SYN_ACK};

/// A conversation: three cache lines, of which every packet needs the first two.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Flow {
    /// Its ends.
    pub key: Key,
    /// Flags seen of each end; [`SYN_ACK`] besides.
    pub(crate) flags: [u8; 2],
    /// Lowest time to live of each end.
    pub ttl: [u8; 2],
    /// The application, [`App::Unknown`] until told.
    pub app: App,
    /// Nothing else says what was said; otherwise the application is only likely.
    pub app_sure: bool,
    /// Which end opened it.
    pub opener: Side,
    /// And how that is known.
    pub opener_by: Opener,
    /// Time of the last frame in nanoseconds since 1970, 0 if no frame had one.
    pub last_ns: i64,
    /// Next sequence number expected of each end.
    pub(crate) next_seq: [u32; 2],
    // here the second line begins
    /// What is looked at.
    pub(crate) look: Look,
    /// Frames of each end, by [`Side::index`].
    pub frames: [u64; 2],
    /// Bytes the transport carried, of each end.
    pub bytes: [u64; 2],
    /// Bytes that the capture lacks, of each end (saturating).
    pub missing: [u32; 2],
    /// Segments seen before, of each end (saturating).
    pub again: [u16; 2],
    /// Identifier of the outermost VLAN tag of the first frame.
    pub vlan: u16,
    /// Tunnels the first frame came through.
    pub tunnels: u8,
    // and here the third
    /// Time of the first frame.
    pub first_ns: i64,
    /// Number of the first frame, as `inspect --frame` counts.
    pub first_frame: u64,
    /// What it told of itself.
    pub(crate) facts: Facts,
    /// Sequence number of each end's SYN, where it was seen.
    isn: [u32; 2],
    /// The application, behind what carries it; empty while it is unknown.
    pub(crate) path: ArrayVec<App, PATH_MAX>,
    /// Type and code of the first message (ICMP, `ICMPv6`).
    pub icmp: Option<(u8, u8)>,
}

const _: () = assert!(size_of::<Flow>() == 192 && std::mem::offset_of!(Flow, look) == 64);

impl Flow {
    /// Of its first packet, which is not counted yet.
    pub(crate) fn new(key: Key, sender: Side, packet: &Packet<'_>) -> Self {
        let (opener, opener_by) = if packet.proto == proto::TCP
            && packet.tcp.flags & SYN != 0
            && packet.tcp.flags & RST == 0
        {
            let answers = packet.tcp.flags & ACK != 0;
            (if answers { sender.other() } else { sender }, Opener::Syn)
        } else {
            // a reply from a service's port was seen first
            let from_service = packet.src_port < 1024 && packet.dst_port >= 1024;
            (if from_service { sender.other() } else { sender }, Opener::Guessed)
        };
        Self {
            key,
            first_ns: 0,
            last_ns: 0,
            first_frame: 0,
            frames: [0; 2],
            bytes: [0; 2],
            look: Look::Wanted,
            facts: Facts::None,
            next_seq: [0; 2],
            missing: [0; 2],
            again: [0; 2],
            flags: [0; 2],
            icmp: packet.icmp,
            vlan: packet.vlan,
            tunnels: packet.tunnels,
            ttl: [0; 2],
            app: App::Unknown,
            app_sure: false,
            opener,
            opener_by,
            path: ArrayVec::new(),
            isn: [0; 2],
        }
    }

    /// Adds a packet.
    #[inline(always)]
    pub(crate) fn count(&mut self, side: Side, packet: &Packet<'_>, time_ns: i64) {
        let side = side.index();
        self.frames[side] += 1;
        self.bytes[side] += u64::from(packet.payload_wire);
        self.last_ns = self.last_ns.max(time_ns);
        self.ttl[side] = match self.ttl[side] {
            0 => packet.ttl,
            ttl => ttl.min(packet.ttl),
        };
        if packet.proto == proto::TCP {
            self.sequence(side, packet);
        }
    }

    #[inline(always)]
    fn sequence(&mut self, side: usize, packet: &Packet<'_>) {
        let (flags, seq) = (packet.tcp.flags, packet.tcp.seq);
        let begins = flags & (SYN | FIN);
        let end = seq
            .wrapping_add(packet.payload_wire)
            .wrapping_add(u32::from(flags & SYN != 0))
            .wrapping_add(u32::from(flags & FIN != 0));
        if self.flags[side] == 0 {
            self.next_seq[side] = end;
            if flags & SYN != 0 {
                self.isn[side] = seq;
            }
        } else if packet.payload_wire > 0 || begins != 0 {
            let ahead = seq.wrapping_sub(self.next_seq[side]) as i32;
            if ahead > 1 {
                // a keep-alive or a FIN may be off by one
                self.missing[side] = self.missing[side].saturating_add(ahead as u32);
            } else if (end.wrapping_sub(self.next_seq[side]) as i32) <= 0 {
                self.again[side] = self.again[side].saturating_add(1);
            }
            if (end.wrapping_sub(self.next_seq[side]) as i32) > 0 {
                self.next_seq[side] = end;
            }
        }
        let both = if flags & (SYN | ACK) == SYN | ACK { SYN_ACK } else { 0 };
        let before = self.flags[0] | self.flags[1];
        let ended = if flags & (FIN | RST) != 0 && before & (FIN | RST) == 0 { ENDED } else { 0 };
        self.flags[side] |= flags & !(SYN_ACK | ENDED) | both | ended;
    }

    /// Who was the first to finish or reset.
    pub(crate) fn ended_by(&self) -> Option<Side> {
        [Side::Low, Side::High].into_iter().find(|side| self.flags[side.index()] & ENDED != 0)
    }

    /// The sequence number of an end's SYN, if it was seen.
    pub(crate) fn syn_seen(&self, side: Side) -> Option<u32> {
        (self.flags[side.index()] & SYN != 0).then_some(self.isn[side.index()])
    }

    /// Whether an end's SYN had this sequence number: then it was sent again.
    pub(crate) fn began_at(&self, side: Side, seq: u32) -> bool {
        self.flags[side.index()] & SYN != 0 && self.isn[side.index()] == seq
    }

    /// How far it came; `None` if it is not TCP.
    pub fn tcp_state(&self) -> Option<TcpState> {
        if self.key.proto != proto::TCP {
            return None;
        }
        let all = self.flags[0] | self.flags[1];
        let [opener, answerer] =
            [self.flags[self.opener.index()], self.flags[self.opener.other().index()]];
        let opened = all & SYN != 0;
        Some(if opened && answerer & RST != 0 && answerer & SYN_ACK == 0 && self.bytes == [0, 0] {
            TcpState::Refused
        } else if opened && answerer == 0 && self.bytes == [0, 0] {
            TcpState::Attempt
        } else if all & RST != 0 {
            TcpState::Reset
        } else if opener & FIN != 0 && answerer & FIN != 0 {
            TcpState::Finished
        } else if opened {
            TcpState::Open
        } else {
            TcpState::Middle
        })
    }

    /// Whether the other end answered the opener's SYN.
    pub(crate) const fn accepted(&self) -> bool {
        self.flags[self.opener.other().index()] & SYN_ACK != 0
    }

    /// Whether it has been silent for so long that it is over.
    #[inline(always)]
    pub(crate) fn is_over(&self, now_ns: i64) -> bool {
        let silent_ns = now_ns.saturating_sub(self.last_ns);
        silent_ns > TRANSITORY_NS && silent_ns > self.idle_max_ns()
    }

    /// Nanoseconds of silence after which it is over, at least [`TRANSITORY_NS`].
    #[inline(always)]
    pub(crate) fn idle_max_ns(&self) -> i64 {
        if self.key.proto != proto::TCP {
            IDLE_NS
        } else if self.is_closed() || (self.bytes == [0, 0] && self.flags.contains(&0)) {
            TRANSITORY_NS
        } else {
            ESTABLISHED_NS
        }
    }

    /// Nothing more is to come: a SYN opens a new conversation.
    pub(crate) fn is_closed(&self) -> bool {
        let all = self.flags[0] | self.flags[1];
        all & RST != 0 || self.flags[0] & self.flags[1] & FIN != 0
    }
}
