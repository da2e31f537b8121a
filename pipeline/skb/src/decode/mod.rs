//! Full decode for people: every header of a frame, outermost to innermost, through tunnels, with
//! checksums checked and remarks in plain words.
//!
//! [`locate`](crate::locate) finds offsets in nanoseconds for the path; this module explains.
//! Decoding a frame depends on its bytes and its [`FrameMeta`] alone, never on
//! another frame. Input is hostile: every length is checked against the bytes captured *and* the
//! bytes the enclosing headers allow, the number of layers is bounded, and work is linear.
//!
//! ```
//! use skb::{FrameMeta, LinkType, decode::{Decoded, Decoder}};
//! # extern crate framewalk_skb as skb;
//! let frame = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xcc, 0, 0];
//! let linktype = LinkType::ETHERNET;
//! let meta = FrameMeta { caplen: 16, origlen: 16, linktype, ..FrameMeta::default() };
//! let (mut decoder, mut out) = (Decoder::new(), Decoded::default());
//! decoder.decode(&meta, &frame, &mut out);
//! assert_eq!(out.kinds().collect::<Vec<_>>(), ["eth", "lldp"]);
//! ```
#![forbid(unsafe_code)]

mod decoded;
mod ethernet;
mod fields;
mod ip;
mod kind;
mod layer;
mod link;
mod mpls;
mod names;
mod note;
mod ppp;
mod transport;
mod tunnel;
mod walk;

pub use decoded::{Decoded, EthernetPacket, FcsState, Malformed};
pub use fields::{Checksum, Ip, Ipv6, Ipv6ExtKind, Snap, Tcp, TcpFlags};
pub use layer::{Layer, LayerInfo};
pub use note::{Note, NoteCode};
pub use tunnel::is_tunnel_port;

use crate::FrameMeta;

/// Default of [`Decoder::layers_max`].
pub const LAYERS_MAX: usize = 32;

/// Decodes frames. Keeps no state from one frame to the next.
#[derive(Debug, Clone)]
pub struct Decoder {
    /// Check checksums (default). Off, every checksum is `Unverified`.
    pub verify_checksums: bool,
    /// Layers after which the walk stops with a note.
    pub layers_max: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { verify_checksums: true, layers_max: LAYERS_MAX }
    }
}

impl Decoder {
    /// With the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes `bytes`, one capture record whose metadata is `meta`, into `out`.
    ///
    /// Of `bytes` and `meta.caplen` the shorter counts. Never fails: what cannot be decoded is
    /// said in `out.malformed` and `out.notes`.
    pub fn decode(&mut self, meta: &FrameMeta, bytes: &[u8], out: &mut Decoded) {
        out.clear();
        walk::run(self, meta, bytes, out);
    }
}
