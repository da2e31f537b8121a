//! The walk from layer to layer: one loop, one position, one end.

use super::{
    Decoded, Decoder, Layer, LayerInfo, Malformed, Note, NoteCode, ethernet, ip, link, mpls, names,
    ppp, transport, tunnel,
};
use crate::FrameMeta;

/// Notes kept per frame; a hostile frame cannot make more.
const NOTES_MAX: usize = 24;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing that is decoded: the rest is payload.
    Data,
    /// A MAC frame.
    Eth,
    /// By `EtherType`.
    Type(u16),
    /// By `EtherType`, or 802.3 length when at most 1535.
    TypeOrLength(u16),
    /// IEEE 802.2.
    Llc,
    /// IP, version by its first nibble.
    Ip,
    /// By IP protocol number.
    Proto(u8),
    /// PPP, address and control bytes or not.
    Ppp,
    /// PPP protocol field first.
    PppNoControl,
    /// A label stack.
    Mpls,
    /// What an MPLS stack carries: no type field, a guess.
    MplsPayload,
    /// GRE.
    Gre,
    /// What GRE's protocol type says.
    GreType { protocol: u16, seq: bool },
    /// By UDP port.
    UdpPorts(u16, u16),
    /// RFC 7348 header.
    Vxlan { gpe: bool },
    /// RFC 8300 header.
    Nsh,
    /// Cisco HDLC.
    Chdlc,
    /// A name for all that is left.
    Named(&'static str),
}

/// The pseudo-header of the innermost IP packet, as it enters transport checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pseudo {
    None,
    /// Unfolded sum of both addresses.
    V4(u64),
    /// Unfolded sum of both addresses.
    V6(u64),
}

pub(super) struct Walk<'a, 'o> {
    /// Captured bytes, FCS taken off.
    pub(super) bytes: &'a [u8],
    /// Position.
    pub(super) off: usize,
    /// Where the enclosing headers say the data ends; may lie beyond what was captured.
    pub(super) end: usize,
    pub(super) out: &'o mut Decoded,
    pub(super) verify: bool,
    /// Inside an ICMP quotation.
    pub(super) quoted: bool,
    /// The innermost IP packet is a fragment, or says it is longer than its frame: sums cannot
    /// be checked.
    pub(super) incomplete: bool,
    /// Inside the first fragment of a larger packet: inner lengths may promise more.
    pub(super) partial: bool,
    pub(super) pseudo: Pseudo,
    /// End of the outermost payload that states its length (IP, ARP, 802.3 length, ...).
    pub(super) content_end: Option<usize>,
    /// That payload is IP.
    pub(super) content_ip: bool,
    /// The outermost IP packet has a length field of 0 on a longer frame.
    pub(super) length_zero: bool,
    /// IEEE 802.1Q tags of the outer frame.
    pub(super) tags: u8,
    layers_max: usize,
}

impl<'a> Walk<'a, '_> {
    /// Bytes the lengths allow from here on.
    pub(super) fn room(&self) -> usize {
        self.end.saturating_sub(self.off)
    }

    /// All captured bytes from here to the end of the enclosing lengths.
    pub(super) fn rest(&self) -> &'a [u8] {
        let end = self.end.min(self.bytes.len());
        self.bytes.get(self.off..end).unwrap_or(&[])
    }

    /// The next `need` bytes, for the header of a `kind`; says why when they are not there.
    #[inline]
    pub(super) fn take(&mut self, kind: &'static str, need: usize) -> Option<&'a [u8]> {
        let rest = self.rest();
        if let Some(head) = rest.get(..need) {
            return Some(head);
        }
        self.short(kind, need);
        None
    }

    /// `need` bytes for a `kind` are not there.
    #[cold]
    pub(super) fn short(&mut self, kind: &'static str, need: usize) {
        if self.quoted || self.partial {
            return;
        }
        let room = self.room();
        if need > room {
            self.malformed(kind, need, room);
        } else {
            self.note(NoteCode::HeaderCut, self.off, self.rest().len());
        }
    }

    #[cold]
    pub(super) fn malformed(&mut self, kind: &'static str, need: usize, have: usize) {
        if self.out.malformed.is_none() {
            self.out.malformed = Some(Malformed {
                layer: kind,
                offset: self.off as u32,
                need: need as u32,
                have: have as u32,
            });
        }
    }

    /// Adds a layer of `length` bytes here and steps over it.
    #[inline]
    pub(super) fn push(&mut self, length: usize, info: LayerInfo) {
        self.out.layers.push(Layer {
            offset: self.off as u32,
            length: length as u32,
            quoted: self.quoted,
            info,
        });
        self.off += length;
    }

    #[cold]
    pub(super) fn note(&mut self, code: NoteCode, offset: usize, bytes: usize) {
        let note = Note { code, offset: offset as u32, bytes: bytes as u32 };
        if self.out.notes.len() < NOTES_MAX && !self.out.notes.contains(&note) {
            self.out.notes.push(note);
        }
    }

    /// `end` is where the data of the outermost payload ends.
    #[inline]
    pub(super) fn content(&mut self, end: usize, is_ip: bool) {
        if self.content_end.is_none() && !self.quoted {
            self.content_end = Some(end);
            self.content_ip = is_ip;
        }
    }

    /// Walks until nothing more is known.
    pub(super) fn go(&mut self, mut next: Next) {
        loop {
            if next == Next::Data {
                break;
            }
            if self.out.layers.len() >= self.layers_max {
                self.note(NoteCode::DepthLimit, self.off, self.rest().len());
                break;
            }
            next = self.step(next);
        }
        let start = self.off.min(self.bytes.len());
        let end = self.end.min(self.bytes.len()).max(start);
        self.out.payload = start as u32..end as u32;
    }

    #[inline]
    fn step(&mut self, next: Next) -> Next {
        match next {
            Next::Data => Next::Data,
            Next::Eth => ethernet::eth(self),
            Next::Type(0x0800) | Next::Ip => ip::ip(self),
            Next::Type(0x86dd) => ip::ip(self),
            Next::Type(ty) => ethernet::by_type(self, ty),
            Next::TypeOrLength(ty) => ethernet::type_or_length(self, ty),
            Next::Llc => ethernet::llc(self),
            Next::Proto(6) => transport::tcp(self),
            Next::Proto(17) => transport::udp(self),
            Next::Proto(proto) => ip::by_proto(self, proto),
            Next::Ppp => ppp::ppp(self),
            Next::PppNoControl => ppp::protocol_field(self),
            Next::Mpls => mpls::label(self),
            Next::MplsPayload => mpls::payload(self),
            Next::Gre => tunnel::gre(self),
            Next::GreType { protocol, seq } => tunnel::gre_type(self, protocol, seq),
            Next::UdpPorts(src, dst) => tunnel::by_ports(self, src, dst),
            Next::Vxlan { gpe } => tunnel::vxlan(self, gpe),
            Next::Nsh => tunnel::nsh(self),
            Next::Chdlc => link::chdlc(self),
            Next::Named(name) => names::named(self, name),
        }
    }
}

/// Decodes one record; `out` is empty.
pub(super) fn run(decoder: &Decoder, meta: &FrameMeta, bytes: &[u8], out: &mut Decoded) {
    let bytes = bytes.get(..meta.caplen as usize).unwrap_or(bytes);
    let mut walk = Walk {
        bytes,
        off: 0,
        end: (meta.origlen as usize).max(bytes.len()),
        out,
        verify: decoder.verify_checksums,
        quoted: false,
        incomplete: false,
        partial: false,
        pseudo: Pseudo::None,
        content_end: None,
        content_ip: false,
        length_zero: false,
        tags: 0,
        layers_max: decoder.layers_max,
    };
    if bytes.len() > meta.origlen as usize {
        walk.note(NoteCode::CaplenBeyondOriglen, meta.origlen as usize, 0);
    } else if bytes.len() < meta.origlen as usize {
        walk.note(NoteCode::SnapCut, bytes.len(), meta.origlen as usize - bytes.len());
    }
    // pcapng epb_flags bits 24 to 31: what the card says went wrong on the wire
    if meta.flags.is_some_and(|flags| flags >> 24 != 0) {
        walk.note(NoteCode::LinkError, 0, 0);
    }
    link::start(&mut walk, meta);
}

/// Two bytes in network order. `at + 2` must lie inside `bytes`, as after [`Walk::take`].
#[inline]
pub(super) fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Four bytes in network order. `at + 4` must lie inside `bytes`, as after [`Walk::take`].
#[inline]
pub(super) fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
