//! What a capture says about one frame, in pcap's own words.

use crate::LinkType;

/// Metadata of one captured frame. `caplen`, `origlen`, `linktype` keep pcap's meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FrameMeta {
    /// Position in the file, from 1, over all sections and interfaces.
    pub number: u64,
    /// Receive time in nanoseconds since 1970-01-01 UTC. `None` where the record has no time
    /// (pcapng simple packet block) or the time does not fit 64 bits.
    pub time_ns: Option<i64>,
    /// Bytes present in the capture.
    pub caplen: u32,
    /// Bytes the frame had, without preamble and SFD (with FCS only if the capture says so).
    pub origlen: u32,
    /// Interface index, from 0, global over the file (not per section).
    pub interface: u32,
    /// pcapng section index, from 0; 0 for pcap.
    pub section: u32,
    /// What the first byte of the frame is.
    pub linktype: LinkType,
    /// FCS length in bytes where the file, interface or frame states one; `None` if nothing does.
    pub fcs_len: Option<u8>,
    /// pcapng `epb_flags`, verbatim.
    pub flags: Option<u32>,
    /// pcapng `epb_packetid`.
    pub packet_id: Option<u64>,
    /// pcapng `epb_dropcount`: frames lost between this one and the one before.
    pub drop_count: Option<u64>,
}
