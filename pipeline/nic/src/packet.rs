//! Frames off a live interface: AF_PACKET with a TPACKET_V3 receive ring.
//!
//! A frame lies where the kernel wrote it until its block is given back: nothing is copied. The
//! VLAN tag that the kernel or the card took off is put back in place, in the room before the
//! frame. Every frame the socket saw is accounted for:
//! `seen = read + dropped`, of which `filtered` were refused by the filter.

mod path;

use std::io;
use std::time::{Duration, Instant};

use skb::{BlockArea, LinkType};

use crate::bpf::{self, Instruction};
use crate::link::{self, Link, LinkError};
use crate::sys::packet::{Ring, RingSpec, Slot};
use crate::sys::sock::Refusal;

pub use path::{BLOCK_BYTES, PacketNic, PacketNicError};

/// Largest frame that is kept whole, bytes: the bound of capture files.
pub const SNAPLEN_MAX: u32 = 262_144;
/// How often the interface is looked at, to see that it was renamed or came back.
const LINK_CHECK: Duration = Duration::from_millis(500);
/// `ARPHRD_*` of `linux/if_arp.h`.
const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;
const ARPHRD_RAWIP: u16 = 519;
const ARPHRD_NONE: u16 = 0xfffe;
/// `ETH_P_8021Q`, when the kernel names no other tag protocol.
const TPID_8021Q: u16 = 0x8100;

/// How to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Frames to other stations too.
    pub promiscuous: bool,
    /// Size of the receive ring, bytes; rounded to whole blocks of 1 MiB (or one smaller block).
    pub ring_bytes: usize,
    /// When the kernel hands over a block that is not full.
    pub retire: Duration,
    /// Bytes of each frame that are kept.
    pub snaplen: u32,
    /// Compiled filter; empty passes everything.
    pub filter: Vec<Instruction>,
    /// Time stamps of the card's clock instead of the kernel's, where the driver has them.
    pub hardware_time: bool,
    /// Shares the interface's frames among the sockets that name the same group, the two
    /// directions of a flow together (`PACKET_FANOUT_HASH`).
    pub fanout_group: Option<u16>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            promiscuous: true,
            ring_bytes: 64 << 20,
            retire: Duration::from_millis(10),
            snaplen: SNAPLEN_MAX,
            filter: Vec::new(),
            hardware_time: false,
            fanout_group: None,
        }
    }
}

/// Which way a frame went, as seen from the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To this machine's own address.
    ToUs,
    /// To everyone.
    Broadcast,
    /// To a group.
    Multicast,
    /// To another station: seen only in promiscuous mode.
    ToOthers,
    /// Sent by this machine.
    Sent,
    /// Nobody says.
    Unknown,
}

/// A frame in the ring.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// From the destination address on, without FCS, as much as the snap length keeps.
    pub data: &'a [u8],
    /// Length on the wire, without FCS.
    pub origlen: u32,
    /// When it was stamped, nanoseconds since 1970.
    pub time_ns: i64,
    /// The stamp is the card's own.
    pub hardware_time: bool,
    /// Which way it went.
    pub direction: Direction,
    /// The checksum is not computed yet: it is left to the card (`TP_STATUS_CSUMNOTREADY`).
    pub checksum_pending: bool,
}

/// What the socket has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RxCounts {
    /// Frames that reached the socket.
    pub seen: u64,
    /// Of these, frames for which the ring had no room.
    pub dropped: u64,
    /// Frames read out of the ring, refused ones among them.
    pub read: u64,
    /// Of the read, those that the filter refused.
    pub filtered: u64,
    /// How often the kernel found the ring full.
    pub ring_full: u64,
    /// VLAN tags put back.
    pub tags_restored: u64,
    /// Frames whose tag had no room to be put back.
    pub tags_lost: u64,
}

impl RxCounts {
    /// Both together: of sockets that share an interface.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            seen: self.seen + other.seen,
            dropped: self.dropped + other.dropped,
            read: self.read + other.read,
            filtered: self.filtered + other.filtered,
            ring_full: self.ring_full + other.ring_full,
            tags_restored: self.tags_restored + other.tags_restored,
            tags_lost: self.tags_lost + other.tags_lost,
        }
    }
}

/// What waiting brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// Look into the ring.
    Frames,
    /// Nothing yet.
    Nothing,
    /// Something happened to the interface.
    Link(LinkChange),
}

/// What can happen to an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkChange {
    /// It was switched off; frames come again when it is switched on.
    Down,
    /// It was switched on again.
    Up,
    /// It goes by another name now.
    Renamed {
        /// The name it had.
        from: String,
        /// The name it has.
        to: String,
    },
    /// It is no longer there.
    Gone,
    /// One of the same name is there again, and is listened to.
    Back,
}

/// Why there is nothing to read from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// Not with these privileges; the text has the command that gives them.
    #[error(
        "cannot {operation} on {interface}: not permitted; type: sudo setcap \
         cap_net_raw,cap_net_admin+ep {program}  (or run it with sudo)"
    )]
    NotPermitted {
        /// What was refused.
        operation: &'static str,
        /// Where.
        interface: String,
        /// This program.
        program: String,
    },
    /// The kernel refused.
    #[error("cannot {operation} on {interface}")]
    Io {
        /// What was refused.
        operation: &'static str,
        /// Where.
        interface: String,
        /// What the system said.
        source: io::Error,
    },
    /// The device's frames are of a kind that is not read.
    #[error(
        "{interface} is of hardware type {hardware} (ARPHRD), which is not read; read are \
         Ethernet (1), loopback (772) and raw IP (519, 65534)"
    )]
    Hardware {
        /// Where.
        interface: String,
        /// `ARPHRD_*`.
        hardware: u16,
    },
    /// The interface could not be looked up.
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl PacketError {
    fn of(interface: &str, (operation, source): Refusal) -> Self {
        let interface = interface.to_owned();
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::not_permitted(operation, &interface),
            _ => Self::Io { operation, interface, source },
        }
    }

    pub(crate) fn not_permitted(operation: &'static str, interface: &str) -> Self {
        let program = std::env::current_exe()
            .map_or_else(|_| "framewalk".to_owned(), |path| path.display().to_string());
        Self::NotPermitted { operation, interface: interface.to_owned(), program }
    }
}

/// Listens to one interface; see the module text.
#[derive(Debug)]
pub struct PacketRx {
    ring: Ring,
    config: Config,
    link: Link,
    linktype: LinkType,
    counts: RxCounts,
    up: bool,
    gone: bool,
    checked: Instant,
}

impl PacketRx {
    /// Starts to listen: frames are kept from here on.
    pub fn open(interface: &str, config: &Config) -> Result<Self, PacketError> {
        Self::open_in(interface, config, None)
    }

    /// The same with a ring that lies in the blocks of a pool, whatever `config` says of its size.
    fn open_in(
        interface: &str,
        config: &Config,
        area: Option<BlockArea>,
    ) -> Result<Self, PacketError> {
        let link = link::by_name(interface)?;
        let linktype = match link.hardware {
            ARPHRD_ETHER | ARPHRD_LOOPBACK => LinkType::ETHERNET,
            ARPHRD_RAWIP | ARPHRD_NONE => LinkType::RAW,
            hardware => {
                return Err(PacketError::Hardware { interface: interface.to_owned(), hardware });
            }
        };
        let filter = if config.filter.is_empty() && config.snaplen >= SNAPLEN_MAX {
            Vec::new()
        } else {
            bpf::counting(&config.filter, config.snaplen)
        };
        let block_bytes = config.ring_bytes.clamp(1 << 16, 1 << 20).next_power_of_two();
        let blocks = (config.ring_bytes / block_bytes).clamp(2, 1 << 14);
        let (block_bytes, blocks) = match &area {
            Some(area) => (area.block_size(), area.blocks()),
            None => (block_bytes, blocks),
        };
        let spec = RingSpec {
            index: link.index,
            block_bytes: block_bytes as u32,
            blocks: blocks as u32,
            retire_ms: config.retire.as_millis().clamp(1, 10_000) as u32,
            promiscuous: config.promiscuous,
            // the loopback device shows every frame twice
            ignore_outgoing: link.hardware == ARPHRD_LOOPBACK,
            hardware_time: config.hardware_time,
            fanout: config.fanout_group.map(|group| (group, libc::PACKET_FANOUT_HASH as u16)),
            filter: &filter,
        };
        let ring =
            Ring::open(&spec, area).map_err(|refused| PacketError::of(interface, refused))?;
        Ok(Self {
            ring,
            config: config.clone(),
            up: link.up,
            linktype,
            counts: RxCounts::default(),
            gone: false,
            checked: Instant::now(),
            link,
        })
    }

    /// The interface as it was when last looked at.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// What the first byte of its frames is.
    pub fn linktype(&self) -> LinkType {
        self.linktype
    }

    /// Filled blocks and all blocks of the ring.
    pub fn ring_fill(&self) -> (usize, usize) {
        (self.ring.filled(), self.ring.blocks())
    }

    /// Waits for frames, at most `timeout`, and looks at the interface now and then.
    pub fn poll(&mut self, timeout: Duration) -> Result<Wake, PacketError> {
        let failed = |refused| PacketError::of(&self.link.name, refused);
        let mut look = self.checked.elapsed() >= LINK_CHECK;
        if self.ring.is_ready() && !look {
            return Ok(Wake::Frames);
        }
        if !look && self.ring.wait(timeout).map_err(failed)? {
            look = true;
            // down or gone: nothing more comes until the interface does, so do not spin
            if self.ring.take_error().map_err(failed)?.is_none() {
                std::thread::sleep(timeout.min(Duration::from_millis(10)));
            }
        }
        if look && let Some(change) = self.look()? {
            return Ok(Wake::Link(change));
        }
        Ok(if self.ring.is_ready() { Wake::Frames } else { Wake::Nothing })
    }

    fn look(&mut self) -> Result<Option<LinkChange>, PacketError> {
        self.checked = Instant::now();
        if self.gone {
            return self.come_back();
        }
        let Some(now) = link::by_index(self.link.index)? else {
            (self.gone, self.up) = (true, false);
            return Ok(Some(LinkChange::Gone));
        };
        let was = std::mem::replace(&mut self.link, now);
        if was.name != self.link.name {
            let to = self.link.name.clone();
            return Ok(Some(LinkChange::Renamed { from: was.name, to }));
        }
        let was_up = std::mem::replace(&mut self.up, self.link.up);
        Ok(match (was_up, self.up) {
            (true, false) => Some(LinkChange::Down),
            (false, true) => Some(LinkChange::Up),
            _ => None,
        })
    }

    /// The interface was taken away: one of the same name may be there again.
    fn come_back(&mut self) -> Result<Option<LinkChange>, PacketError> {
        match link::by_name(&self.link.name) {
            Ok(link) if link.hardware == self.link.hardware => {
                let failed = |refused| PacketError::of(&link.name, refused);
                self.ring.bind(link.index).map_err(failed)?;
                if self.config.promiscuous {
                    self.ring.promiscuous(link.index).map_err(failed)?;
                }
                (self.gone, self.up, self.link) = (false, link.up, link);
                Ok(Some(LinkChange::Back))
            }
            Ok(_) | Err(LinkError::NoSuchLink { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Hands the frames of one block to `each`, in order, and gives the block back. The result is
    /// how many frames were read, refused ones among them; 0 when no block is ready.
    #[inline]
    pub fn read(&mut self, mut each: impl FnMut(&Frame<'_>)) -> usize {
        let Some(mut block) = self.ring.block() else { return 0 };
        let count = block.left();
        let filtering = !self.config.filter.is_empty();
        while let Some(slot) = block.next_slot() {
            if filtering && slot.is_refused() {
                self.counts.filtered += 1;
                continue;
            }
            each(&frame(slot, self.config.snaplen as usize, &mut self.counts));
        }
        self.counts.read += (count - block.left()) as u64;
        count
    }

    /// From now on no frame passes; those in the ring can still be read.
    pub fn stop(&mut self) -> Result<(), PacketError> {
        self.ring.refuse_all().map_err(|refused| PacketError::of(&self.link.name, refused))
    }

    /// The counts up to now. While frames come, `read` may be behind `seen - dropped`.
    pub fn counts(&mut self) -> Result<RxCounts, PacketError> {
        let counts =
            self.ring.counts().map_err(|refused| PacketError::of(&self.link.name, refused))?;
        self.counts.seen += counts.packets;
        self.counts.dropped += counts.drops;
        self.counts.ring_full += counts.freezes;
        Ok(self.counts)
    }

    /// After [`Self::stop`]: reads until every frame the socket saw is accounted for, also those in
    /// the block that the kernel was still filling. `false`: after `timeout` some were not.
    pub fn drain(
        &mut self,
        timeout: Duration,
        mut each: impl FnMut(&Frame<'_>),
    ) -> Result<bool, PacketError> {
        let start = Instant::now();
        loop {
            while self.read(&mut each) > 0 {}
            let counts = self.counts()?;
            if counts.seen == counts.read + counts.dropped {
                return Ok(true);
            }
            if start.elapsed() > timeout {
                return Ok(false);
            }
            // an error of the socket is no news here: the interface may be gone
            self.ring
                .wait(Duration::from_millis(2))
                .map_err(|refused| PacketError::of(&self.link.name, refused))?;
        }
    }
}

impl Slot<'_> {
    /// One byte of a frame that the filter did not want; see [`bpf::counting`].
    #[inline]
    fn is_refused(&self) -> bool {
        self.bytes.len() - self.data == bpf::REFUSED_BYTES as usize
            && self.origlen > bpf::REFUSED_BYTES
    }
}

/// Puts the VLAN tag back and reads the flags.
#[inline]
fn frame<'b>(slot: Slot<'b>, snaplen: usize, counts: &mut RxCounts) -> Frame<'b> {
    let Slot { bytes, mut data, mut origlen, status, .. } = slot;
    if status & libc::TP_STATUS_VLAN_VALID != 0 {
        let named = status & libc::TP_STATUS_VLAN_TPID_VALID != 0 && slot.vlan_tpid != 0;
        let tpid = if named { slot.vlan_tpid } else { TPID_8021Q };
        if restore_tag(bytes, data, tpid, slot.vlan_tci) {
            data -= 4;
            origlen += 4;
            counts.tags_restored += 1;
        } else {
            counts.tags_lost += 1;
        }
    }
    let seconds = i64::from(slot.seconds);
    let data = &bytes[data..];
    Frame {
        data: &data[..data.len().min(snaplen)],
        origlen,
        time_ns: seconds * 1_000_000_000 + i64::from(slot.nanoseconds),
        hardware_time: status & libc::TP_STATUS_TS_RAW_HARDWARE != 0,
        direction: match slot.packet_type {
            libc::PACKET_BROADCAST => Direction::Broadcast,
            libc::PACKET_MULTICAST => Direction::Multicast,
            libc::PACKET_OTHERHOST => Direction::ToOthers,
            libc::PACKET_OUTGOING => Direction::Sent,
            _ => Direction::ToUs,
        },
        checksum_pending: status & libc::TP_STATUS_CSUMNOTREADY != 0,
    }
}

/// Moves the two addresses four bytes forward and writes the tag behind them (IEEE 802.1Q 9.3).
fn restore_tag(bytes: &mut [u8], data: usize, tpid: u16, tci: u16) -> bool {
    const TAG: usize = 4;
    if data < TAG || bytes.len() < data + 12 {
        return false;
    }
    bytes.copy_within(data..data + 12, data - TAG);
    let tag = data - TAG + 12;
    bytes[tag..tag + 2].copy_from_slice(&tpid.to_be_bytes());
    bytes[tag + 2..tag + 4].copy_from_slice(&tci.to_be_bytes());
    true
}

#[cfg(test)]
mod tests;
