//! What a capture says about where its frames came from: sections and interfaces.

use skb::LinkType;

/// [`Record::time_ns`](super::Record::time_ns) of a frame without a time.
pub const NO_TIME: i64 = i64::MIN;

const NS_PER_S: i128 = 1_000_000_000;

/// How an interface counts time (pcapng `if_tsresol`, `if_tsoffset`; fixed in pcap).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeUnit {
    /// `if_tsresol` verbatim: exponent of 10, or of 2 if the top bit is set. 6 if not stated.
    pub resolution: u8,
    /// `if_tsoffset`: seconds to add.
    pub offset_s: i64,
    /// Nanoseconds per unit where that is whole and there is no offset; else 0.
    scale: u64,
}

impl TimeUnit {
    /// From the option values.
    pub fn new(resolution: u8, offset_s: i64) -> Self {
        let scale = match (resolution, offset_s) {
            (0..=9, 0) => 10u64.pow(9 - u32::from(resolution)),
            (0x80, 0) => 1_000_000_000,
            _ => 0,
        };
        Self { resolution, offset_s, scale }
    }

    /// Nanoseconds since 1970 of a count of units, [`NO_TIME`] if 64 bits cannot hold them.
    #[inline]
    pub fn ns(&self, units: u64) -> i64 {
        if self.scale != 0 {
            return match units.checked_mul(self.scale) {
                Some(ns) => i64::try_from(ns).unwrap_or(NO_TIME),
                None => NO_TIME,
            };
        }
        self.ns_slow(units)
    }

    #[cold]
    fn ns_slow(&self, units: u64) -> i64 {
        let exponent = u32::from(self.resolution & 0x7f);
        let units = u128::from(units) * NS_PER_S as u128;
        let ns = if self.resolution & 0x80 != 0 {
            units >> exponent
        } else {
            // 10^39 and above is more than any count of units: less than a nanosecond
            10u128.checked_pow(exponent).map_or(0, |divisor| units / divisor)
        };
        let ns = ns as i128 + i128::from(self.offset_s) * NS_PER_S;
        i64::try_from(ns).unwrap_or(NO_TIME)
    }
}

/// What `if_fcslen` says. The drafts contradict each other on its unit (bits or bytes), and so
/// do writers: the number is kept, and the length in bytes is our reading of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FcsLen {
    /// The value in the file.
    pub stated: u8,
    /// Bytes of FCS at the end of each frame: `stated` up to 4, else an eighth of it if that is
    /// whole, else unknown.
    pub bytes: Option<u8>,
}

impl FcsLen {
    /// Reads an `if_fcslen` value.
    pub fn from_option(stated: u8) -> Self {
        let bytes = match stated {
            0..=4 => Some(stated),
            8 | 16 | 24 | 32 | 64 => Some(stated / 8),
            _ => None,
        };
        Self { stated, bytes }
    }
}

/// Counters of a pcapng interface statistics block; the last block of an interface stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InterfaceCounters {
    /// `isb_ifrecv`: frames received by the interface.
    pub received: Option<u64>,
    /// `isb_ifdrop`: frames dropped by the interface for want of resources.
    pub dropped: Option<u64>,
    /// `isb_filteraccept`: frames accepted by the filter.
    pub filter_accepted: Option<u64>,
    /// `isb_osdrop`: frames dropped by the operating system.
    pub os_dropped: Option<u64>,
    /// `isb_usrdeliv`: frames delivered to the user.
    pub delivered: Option<u64>,
}

/// Texts of an interface description block, where it has any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InterfaceTexts {
    /// `if_name`.
    pub name: Option<String>,
    /// `if_description`.
    pub description: Option<String>,
    /// `if_filter`, when it is a libpcap expression.
    pub filter: Option<String>,
    /// `if_hardware`.
    pub hardware: Option<String>,
    /// `if_os`.
    pub os: Option<String>,
    /// `opt_comment`, in order.
    pub comments: Vec<String>,
}

/// An interface: a pcapng interface description block, or the whole of a pcap file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Section index, from 0.
    pub section: u32,
    /// Interface number within its section, from 0.
    pub index: u32,
    /// What the first byte of a frame is.
    pub linktype: LinkType,
    /// Snap length in bytes as stated; 0 means no limit. Frames longer than it are kept whole.
    pub snaplen: u32,
    /// Units of time stamps.
    pub time: TimeUnit,
    /// `if_fcslen`, or the FCS bits of a pcap file header.
    pub fcs: Option<FcsLen>,
    /// `if_speed`, in bits per second.
    pub speed_bps: Option<u64>,
    /// Byte order of the section, which option values follow.
    pub big_endian: bool,
    /// Texts, if there are any.
    pub texts: Option<Box<InterfaceTexts>>,
    /// The last interface statistics block, if there was any.
    pub counters: Option<Box<InterfaceCounters>>,
    /// Frames read from this interface so far.
    pub frames: u64,
    /// Their captured bytes.
    pub caplen_bytes: u64,
    /// Their original bytes.
    pub origlen_bytes: u64,
}

impl Interface {
    /// What its frames have in common.
    pub fn origin(&self) -> Origin {
        Origin {
            section: self.section,
            linktype: self.linktype,
            fcs_len: self.fcs.and_then(|fcs| fcs.bytes),
            big_endian: self.big_endian,
        }
    }

    pub(super) fn new(section: u32, index: u32, linktype: LinkType, big_endian: bool) -> Self {
        Self {
            section,
            index,
            linktype,
            snaplen: 0,
            time: TimeUnit::new(6, 0),
            fcs: None,
            speed_bps: None,
            big_endian,
            texts: None,
            counters: None,
            frames: 0,
            caplen_bytes: 0,
            origlen_bytes: 0,
        }
    }

    /// `if_name`.
    pub fn name(&self) -> Option<&str> {
        self.texts.as_ref()?.name.as_deref()
    }

    /// `if_description`.
    pub fn description(&self) -> Option<&str> {
        self.texts.as_ref()?.description.as_deref()
    }

    #[inline]
    pub(super) fn count(&mut self, caplen: u32, origlen: u32) {
        self.frames += 1;
        self.caplen_bytes += u64::from(caplen);
        self.origlen_bytes += u64::from(origlen);
    }

    pub(super) fn add(&mut self, sums: Sums) {
        self.frames += sums.frames;
        self.caplen_bytes += sums.caplen_bytes;
        self.origlen_bytes += sums.origlen_bytes;
    }
}

/// Frames of an interface, added up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    pub(super) frames: u64,
    pub(super) caplen_bytes: u64,
    pub(super) origlen_bytes: u64,
}

/// What every frame of an interface has in common. Known when the interface is met, and never
/// changed, so that a copy stays true while reading goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The section of the interface, from 0.
    pub section: u32,
    /// Link type of the frames.
    pub linktype: LinkType,
    /// Bytes of FCS at the end of each frame, where the file says so.
    pub fcs_len: Option<u8>,
    /// Byte order of the section, which option values follow.
    pub big_endian: bool,
}

/// A pcapng section (a pcap file has one, empty).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// Byte order of everything in it.
    pub big_endian: bool,
    /// Major and minor version as stated.
    pub version: (u16, u16),
    /// Stated length in bytes after the section header block; `None` if not stated.
    pub length: Option<u64>,
    /// Global index of its first interface.
    pub interface_first: u32,
    /// `shb_hardware`.
    pub hardware: Option<String>,
    /// `shb_os`.
    pub os: Option<String>,
    /// `shb_userappl`: the program that wrote it.
    pub userappl: Option<String>,
    /// `opt_comment`, in order.
    pub comments: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resolution_gives_nanoseconds_or_none() {
        assert_eq!(TimeUnit::new(6, 0).ns(1_700_000_000_000_001), 1_700_000_000_000_001_000);
        assert_eq!(TimeUnit::new(9, 0).ns(7), 7);
        assert_eq!(TimeUnit::new(0, 0).ns(2), 2_000_000_000);
        assert_eq!(TimeUnit::new(12, 0).ns(7_999), 7);
        assert_eq!(TimeUnit::new(0x8a, 0).ns(1024 + 512), 1_500_000_000);
        assert_eq!(TimeUnit::new(0x80, 0).ns(3), 3_000_000_000);
        assert_eq!(TimeUnit::new(0xff, 0).ns(u64::MAX), 0);
        assert_eq!(TimeUnit::new(127, 0).ns(u64::MAX), 0);
        assert_eq!(TimeUnit::new(6, -10).ns(1), -9_999_999_000);
        assert_eq!(TimeUnit::new(6, 0).ns(u64::MAX), NO_TIME);
        assert_eq!(TimeUnit::new(6, i64::MAX).ns(0), NO_TIME);
    }

    #[test]
    fn fcs_length_is_read_in_bits_or_bytes() {
        assert_eq!(FcsLen::from_option(4).bytes, Some(4));
        assert_eq!(FcsLen::from_option(32).bytes, Some(4));
        assert_eq!(FcsLen::from_option(16).bytes, Some(2));
        assert_eq!(FcsLen::from_option(0).bytes, Some(0));
        assert_eq!(FcsLen::from_option(7).bytes, None);
    }
}
