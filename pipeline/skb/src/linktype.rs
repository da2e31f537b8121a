//! Link types: the number in a capture file that says what the first byte of a frame is.
//!
//! Source: the tcpdump.org link-layer header types registry (`LINKTYPE_` values).

use std::fmt;

/// A `LINKTYPE_` value as stored in a capture file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct LinkType(pub u16);

macro_rules! linktypes {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        impl LinkType {
            $($(#[$doc])* #[doc = concat!("`LINKTYPE_", $text, "` (", stringify!($value), ").")]
            pub const $name: Self = Self($value);)*

            /// The registry's name without the `LINKTYPE_` prefix, if the number is registered.
            pub fn name(self) -> Option<&'static str> {
                match self.0 { $($value => Some($text),)* _ => None }
            }
        }
    };
}

linktypes! {
    NULL = 0, "NULL";
    ETHERNET = 1, "ETHERNET";
    ARCNET_BSD = 7, "ARCNET_BSD";
    SLIP = 8, "SLIP";
    PPP = 9, "PPP";
    FDDI = 10, "FDDI";
    /// Raw IP as some systems write it (`DLT_RAW` on most).
    RAW_12 = 12, "RAW";
    /// Raw IP as OpenBSD writes it (`DLT_RAW` there).
    RAW_14 = 14, "RAW";
    PPP_HDLC = 50, "PPP_HDLC";
    PPP_ETHER = 51, "PPP_ETHER";
    RAW = 101, "RAW";
    C_HDLC = 104, "C_HDLC";
    FRELAY = 107, "FRELAY";
    LOOP = 108, "LOOP";
    LINUX_SLL = 113, "LINUX_SLL";
    ARCNET_LINUX = 129, "ARCNET_LINUX";
    IPV4 = 228, "IPV4";
    IPV6 = 229, "IPV6";
    NFLOG = 239, "NFLOG";
    NETANALYZER = 240, "NETANALYZER";
    /// Ethernet with preamble and SFD in front: a whole IEEE 802.3 packet.
    NETANALYZER_TRANSPARENT = 241, "NETANALYZER_TRANSPARENT";
    /// IEEE 802.3br mPackets: preamble, SMD, frame, FCS or mCRC.
    ETHERNET_MPACKET = 274, "ETHERNET_MPACKET";
    LINUX_SLL2 = 276, "LINUX_SLL2";
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "LINKTYPE_{}", self.0),
        }
    }
}
