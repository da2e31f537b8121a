//! The result of decoding one frame.

use std::ops::Range;

use super::{Layer, Note, NoteCode};

/// What is known of the FCS (IEEE 802.3 clause 3.2.9) of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FcsState {
    /// Not in the capture.
    Absent,
    /// Captured, and the CRC fits.
    Good,
    /// Captured, and the CRC does not fit.
    Bad,
    /// Nothing says whether it was captured, or its bytes were cut by the snap length.
    #[default]
    Unknown,
}

impl FcsState {
    /// `absent`, `good`, `bad` or `unknown`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Unknown => "unknown",
        }
    }
}

/// The IEEE 802.3 *packet* (clause 3.1.1) around a MAC frame. All counts are bytes on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EthernetPacket {
    /// Preamble + SFD + frame.
    pub bytes: u32,
    /// 7, or what was captured.
    pub preamble: u8,
    /// 1, or 0 where a captured preamble has no delimiter.
    pub sfd: u8,
    /// Destination address to FCS, both included.
    pub frame: u32,
    /// Of these, bytes the sender adds to reach 64 that the capture lacks.
    pub pad: u32,
    /// The frame check sequence.
    pub fcs: FcsState,
    /// Names of the parts that were computed and not captured, in wire order.
    pub derived: &'static [&'static str],
}

/// A header that cannot be what it claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// Kind of the layer that was being read (Wireshark's name).
    pub layer: &'static str,
    /// Where it begins, from the first captured byte.
    pub offset: u32,
    /// Bytes it needs.
    pub need: u32,
    /// Bytes the enclosing lengths leave for it.
    pub have: u32,
}

/// Everything known about one frame. Reused from frame to frame: no allocation in steady state.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decoded {
    /// Outermost to innermost, through tunnels.
    pub layers: Vec<Layer>,
    /// Remarks, in the order they arose.
    pub notes: Vec<Note>,
    /// Set when the frame contradicts itself; `layers` holds what came before.
    pub malformed: Option<Malformed>,
    /// For Ethernet frames that were one packet on the wire.
    pub ethernet_packet: Option<EthernetPacket>,
    /// Inter-packet gap in bytes (12), when there is an Ethernet packet.
    pub gap: Option<u32>,
    /// Packet and gap: what the frame costs on the wire.
    pub wire_bytes: Option<u32>,
    /// Captured bytes after the innermost decoded header and inside its length fields.
    pub payload: Range<u32>,
    /// Bytes at the end of the record that are an FCS, captured (0 or more).
    pub fcs_bytes: u32,
}

impl Decoded {
    /// Empties it, keeping the memory.
    pub fn clear(&mut self) {
        self.layers.clear();
        self.notes.clear();
        self.malformed = None;
        self.ethernet_packet = None;
        self.gap = None;
        self.wire_bytes = None;
        self.payload = 0..0;
        self.fcs_bytes = 0;
    }

    /// A note with this code is present.
    pub fn has_note(&self, code: NoteCode) -> bool {
        self.notes.iter().any(|n| n.code == code)
    }

    /// The kinds, outermost first.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.layers.iter().map(Layer::kind)
    }
}
