//! Remarks in plain words about what would puzzle a person reading a frame.
//!
//! The list of codes is closed and part of the JSON contract: a code keeps its meaning for ever,
//! the text may be improved.

/// One remark about a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note {
    /// What is remarked.
    pub code: NoteCode,
    /// Byte of the capture record the remark is about.
    pub offset: u32,
    /// Bytes concerned, 0 when a number of bytes makes no sense.
    pub bytes: u32,
}

macro_rules! notes {
    ($($(#[$doc:meta])* $name:ident = $code:literal: $text:literal;)*) => {
        /// What a [`Note`] says.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum NoteCode { $($(#[$doc])* #[doc = concat!("`", $code, "`")] $name,)* }

        impl NoteCode {
            /// Every code, in a fixed order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable code, as in JSON.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What it means, in words for people.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

notes! {
    /// Bytes between the end of the IP packet and the end of a minimum-size frame.
    PaddingAfterIp = "padding-after-ip":
        "the frame is longer than the IP packet inside: these bytes only fill it up to \
         Ethernet's minimum and are not data";
    /// Padding after a payload that is not IP (ARP, LLC).
    Padding = "padding":
        "these bytes only fill the frame up to Ethernet's minimum and are not data";
    /// Bytes after the packet that are neither minimum padding nor an FCS.
    Trailer = "trailer":
        "bytes follow the packet that no length field covers: added by the sender's stack or a \
         device on the way (a timestamp, a tag), not data";
    /// The last four bytes are the FCS, found by length and CRC.
    FcsFound = "fcs-found":
        "the last four bytes are the frame check sequence: nothing in the file says so, but \
         they are the CRC-32 of the frame";
    /// The FCS the file promises does not fit the frame.
    FcsBad = "fcs-bad":
        "the frame check sequence does not fit the frame: damaged on the wire, or the file \
         wrongly says that one is there";
    /// Nobody can say whether the last four bytes are an FCS.
    FcsUnknown = "fcs-unknown":
        "nothing says whether the capture includes the frame check sequence, and no length \
         field can decide it";
    /// Fewer than 60 bytes: captured at the sender before padding.
    BelowMinimum = "below-minimum":
        "shorter than Ethernet allows on the wire: captured in the sender before the network \
         card padded it, not a damaged frame";
    /// Shorter than minimum and with an FCS: a real runt.
    Runt = "runt":
        "shorter than Ethernet allows although its frame check sequence was captured: a runt, \
         usually the rest of a collision";
    /// 802.3 length together with a tag.
    LengthAfterTag = "length-after-tag":
        "an 802.3 length after a VLAN tag counts the bytes after the tag; taking the tag out \
         can leave a frame below the minimum";
    /// The 802.3 length field promises more than the frame holds.
    LengthBeyondFrame = "length-beyond-frame":
        "the 802.3 length field promises more bytes than the frame has";
    /// 1501..=1535.
    UndefinedType = "undefined-type":
        "a length/type value between 1501 and 1535 is neither a length nor an EtherType; like \
         Linux, it is taken as an 802.3 length";
    /// FF FF after a length: Novell raw 802.3.
    RawIpx = "raw-802.3":
        "no LLC header: the bytes FF FF mark Novell's raw 802.3, which carries IPX";
    /// Priority tag.
    PriorityTag = "priority-tag":
        "VLAN 0 is no VLAN: the tag only carries a priority";
    /// Reserved VID.
    ReservedVid = "reserved-vid":
        "VLAN 4095 is reserved and must not be sent";
    /// The tag was taken off by the network card.
    TagStripped = "tag-stripped":
        "only the inner VLAN tag is here: the network card took the outer one off before the \
         capture";
    /// Source address with the group bit.
    GroupSource = "group-source":
        "the source address has the group bit set: no station can send from it, and a bridge \
         drops the frame";
    /// Source address of all zeros.
    ZeroSource = "zero-source":
        "the source address is all zeros: a bridge drops the frame (loopback captures look \
         like this)";
    /// GRO, LSO or RSC.
    SuperFrame = "super-frame":
        "never one frame on the wire: the sender's card would still split it (TSO), or the \
         receiver's merged several (GRO, LRO, RSC)";
    /// Over 1518 without evidence of merging.
    Oversize = "oversize":
        "larger than a standard Ethernet frame: a jumbo frame, or several merged by the \
         network card (GRO, LRO)";
    /// Total length 0.
    LengthZero = "ip-length-zero":
        "the IP length field is 0, as on frames handed to the network card to be split (TSO, \
         BIG TCP); the real length is taken from the capture";
    /// Jumbo payload option.
    Jumbogram = "jumbogram":
        "the length is in the jumbo payload option, because it does not fit the IPv6 length field";
    /// IP length above what the frame has.
    IpLengthBeyondFrame = "ip-length-beyond-frame":
        "the IP length field promises more bytes than the frame has";
    /// Payload length of UDP differs.
    UdpLengthBeyondIp = "udp-length-beyond-ip":
        "the UDP length field promises more bytes than the IP packet has";
    /// UDP shorter than the IP payload.
    UdpTrailer = "udp-trailer":
        "the IP packet goes on after the UDP datagram ends: these bytes belong to no datagram";
    /// No UDP checksum.
    UdpNoChecksum = "udp-no-checksum":
        "the sender computed no UDP checksum, which IPv4 allows (and tunnels over IPv6)";
    /// Offload explains it.
    ChecksumOffload = "checksum-offload":
        "not an error: the value is exactly what a sender leaves for its network card to \
         complete (checksum offload), so this was captured inside the sender";
    /// Bad, no explanation.
    ChecksumBad = "checksum-bad":
        "the checksum does not fit the bytes: damaged, or captured in the sender before its \
         network card wrote the sum";
    /// IPv4 header checksum 0 on a sender capture.
    IpChecksumZero = "ip-checksum-zero":
        "the IPv4 header checksum is 0: captured in the sender before its network card wrote \
         it (offload)";
    /// snaplen.
    SnapCut = "snap-cut":
        "the capture kept only the first part of this frame (snap length); lengths come from \
         the headers";
    /// A header cut by the snap length.
    HeaderCut = "header-cut":
        "the capture ends inside a header (snap length), so what follows cannot be named";
    /// Later fragment.
    Fragment = "fragment":
        "a later fragment of an IP packet: it carries no transport header, so no ports";
    /// First fragment.
    FirstFragment = "first-fragment":
        "the first fragment of an IP packet: the transport header is here, the rest of the \
         data is in other frames";
    /// Options.
    IpOptions = "ip-options":
        "the IP header carries options, which routers and firewalls often refuse";
    /// Addresses equal.
    LandAddress = "same-source-destination":
        "source and destination are the same address and port: some old systems hang on it (LAND)";
    /// Encrypted.
    Encrypted = "encrypted":
        "what follows is encrypted: nothing more can be named";
    /// Guess.
    Guessed = "guessed":
        "nothing in the frame says what this layer is: it is a guess from the bytes";
    /// ICMP.
    Quotation = "quotation":
        "the ICMP error quotes the start of the packet that caused it; the quoted layers are \
         not this frame's own";
    /// Depth.
    DepthLimit = "depth-limit":
        "more layers inside each other than are walked: the rest is not decoded";
    /// Link type.
    LinkTypeNotRead = "linktype-not-read":
        "frames of this link type are named and counted, not decoded";
    /// epb_flags errors.
    LinkError = "link-error":
        "the capturing card reported a link-layer error for this frame (CRC, length, preamble \
         or symbol)";
    /// caplen > origlen.
    CaplenBeyondOriglen = "caplen-beyond-origlen":
        "the record says it captured more bytes than the frame had: the file is wrong about \
         one of the two";
}
