//! Packet sockets and their receive ring: `packet(7)` and the kernel's
//! `Documentation/networking/packet_mmap.rst`, version TPACKET_V3.
//!
//! The kernel writes frames into blocks of memory that both sides see. A block belongs to the
//! kernel until it sets `TP_STATUS_USER` in the block's status, then to us until we write
//! `TP_STATUS_KERNEL` back: nothing in it changes under us while we hold it.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use libc::{c_int, c_uint, sockaddr_ll, tpacket_block_desc, tpacket3_hdr};
use skb::BlockArea;

use super::sock::{self, Mapping, Refusal};
use crate::bpf::Instruction;

const _: () = {
    // linux/if_packet.h
    assert!(std::mem::offset_of!(libc::tpacket_hdr_v1, block_status) == 0);
    assert!(std::mem::offset_of!(tpacket_block_desc, hdr) == 8);
    assert!(std::mem::offset_of!(libc::tpacket_hdr_v1, offset_to_first_pkt) == 8);
    assert!(size_of::<tpacket3_hdr>() == 48);
    assert!(size_of::<tpacket_block_desc>() == 48);
    assert!(size_of::<sockaddr_ll>() == 20);
    assert!(size_of::<Instruction>() == size_of::<libc::sock_filter>());
    assert!(align_of::<Instruction>() == align_of::<libc::sock_filter>());
};

/// The space between a frame's header and the frame holds at least a `sockaddr_ll`.
const FRAME_MIN_OFFSET: usize = libc::TPACKET3_HDRLEN;
/// A `tpacket3_hdr`, already a multiple of `TPACKET_ALIGNMENT`.
const HEADER: usize = size_of::<tpacket3_hdr>();
/// A `tpacket_block_desc`: version, offset of private data, then a `tpacket_hdr_v1`.
const BLOCK_HEADER: usize = size_of::<tpacket_block_desc>();
/// Words of it.
const STATUS: usize = 2;
const NUM_PKTS: usize = 3;
const FIRST_PKT: usize = 4;
/// Only its multiple counts, and version 3 packs frames closer; the kernel still checks it.
const FRAME_BYTES: u32 = 2048;

/// How a ring is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RingSpec<'a> {
    pub(crate) index: u32,
    pub(crate) block_bytes: u32,
    pub(crate) blocks: u32,
    pub(crate) retire_ms: u32,
    pub(crate) promiscuous: bool,
    pub(crate) ignore_outgoing: bool,
    pub(crate) hardware_time: bool,
    /// Group and mode of `PACKET_FANOUT`.
    pub(crate) fanout: Option<(u16, u16)>,
    pub(crate) filter: &'a [Instruction],
}

/// A packet socket with a receive ring.
#[derive(Debug)]
pub(crate) struct Ring {
    fd: OwnedFd,
    map: Mapping,
    block_bytes: usize,
    blocks: usize,
    /// The block that the kernel fills next or has filled.
    next: usize,
    /// Blocks before it that were taken and not yet given back.
    taken: usize,
    /// The pool's blocks that the ring lies in, where it does.
    area: Option<BlockArea>,
}

/// `tpacket_stats_v3`, since it was read last.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Frames that passed the filter, those without room among them.
    pub(crate) packets: u64,
    /// Frames for which no block was free.
    pub(crate) drops: u64,
    /// How often the kernel found no free block.
    pub(crate) freezes: u64,
}

/// `setsockopt(2)` with a struct in which no pointer is.
fn set<T>(fd: &OwnedFd, name: c_int, value: &T, what: &'static str) -> Result<(), Refusal> {
    // SAFETY: the callers' values are integers and structs of integers.
    unsafe { sock::set(fd, libc::SOL_PACKET, name, value) }.map_err(sock::says(what))
}

pub(super) fn attach(fd: &OwnedFd, filter: &[Instruction]) -> Result<(), Refusal> {
    let len = u16::try_from(filter.len())
        .map_err(|_| ("attach the filter", io::Error::from(io::ErrorKind::InvalidInput)))?;
    let program = libc::sock_fprog { len, filter: filter.as_ptr().cast_mut().cast() };
    // SAFETY: `len` instructions laid out as `sock_filter` (asserted above), which the kernel reads
    // and copies within the call.
    unsafe { sock::set(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program) }
        .map_err(sock::says("attach the filter"))
}

/// Maps the ring where the kernel likes, or over the blocks of a pool.
fn mapped(
    fd: &OwnedFd,
    len: usize,
    area: Option<BlockArea>,
) -> io::Result<(Mapping, Option<BlockArea>)> {
    let Some(area) = area else { return Ok((Mapping::of_socket(fd, len, 0)?, None)) };
    if area.blocks() * area.block_size() != len {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: an area's bytes are its holder's alone, which is the ring from here on; it stays
    // mapped as long as the area lives, and the ring keeps both.
    match unsafe { Mapping::of_socket_within(fd, area.start(), len) } {
        Ok(map) => Ok((map, Some(area))),
        Err(error) => {
            // there may be a hole now, in which something else may be mapped: the mapping around
            // it must never be undone
            std::mem::forget(area);
            Err(error)
        }
    }
}

impl Ring {
    pub(crate) fn open(spec: &RingSpec<'_>, area: Option<BlockArea>) -> Result<Self, Refusal> {
        // protocol 0: nothing arrives before bind() names one, with everything else in place
        let fd = sock::socket(libc::AF_PACKET, libc::SOCK_RAW, 0)
            .map_err(sock::says("open a packet socket"))?;
        let v3: c_int = libc::tpacket_versions::TPACKET_V3 as c_int;
        set(&fd, libc::PACKET_VERSION, &v3, "ask for TPACKET_V3")?;
        if spec.hardware_time {
            let raw = libc::SOF_TIMESTAMPING_RAW_HARDWARE as c_int;
            set(&fd, libc::PACKET_TIMESTAMP, &raw, "ask for hardware time stamps")?;
        }
        if spec.ignore_outgoing {
            let on: c_int = 1;
            let what = "leave out sent frames";
            set(&fd, libc::PACKET_IGNORE_OUTGOING, &on, what)?;
        }
        if !spec.filter.is_empty() {
            attach(&fd, spec.filter)?;
        }
        let request = libc::tpacket_req3 {
            tp_block_size: spec.block_bytes,
            tp_block_nr: spec.blocks,
            tp_frame_size: FRAME_BYTES,
            tp_frame_nr: spec.block_bytes / FRAME_BYTES * spec.blocks,
            tp_retire_blk_tov: spec.retire_ms,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set(&fd, libc::PACKET_RX_RING, &request, "make the receive ring")?;
        let (block_bytes, blocks) = (spec.block_bytes as usize, spec.blocks as usize);
        let (map, area) =
            mapped(&fd, block_bytes * blocks, area).map_err(sock::says("map the receive ring"))?;
        let ring = Self { fd, map, block_bytes, blocks, next: 0, taken: 0, area };
        if spec.promiscuous {
            ring.promiscuous(spec.index)?;
        }
        ring.bind(spec.index)?;
        if let Some((group, mode)) = spec.fanout {
            let value = c_uint::from(group) | c_uint::from(mode) << 16;
            set(&ring.fd, libc::PACKET_FANOUT, &value, "share a fanout group")?;
        }
        Ok(ring)
    }

    /// Asks for frames to other stations too, until the socket is closed.
    pub(crate) fn promiscuous(&self, index: u32) -> Result<(), Refusal> {
        let request = libc::packet_mreq {
            mr_ifindex: index as c_int,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        let what = "switch promiscuous mode on";
        set(&self.fd, libc::PACKET_ADD_MEMBERSHIP, &request, what)
    }

    /// Listens on another interface, or on one that came back with another index.
    pub(crate) fn bind(&self, index: u32) -> Result<(), Refusal> {
        let address = sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
            sll_ifindex: index as c_int,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        sock::bind(&self.fd, &address).map_err(sock::says("bind to the interface"))
    }

    /// From now on no frame passes; those already in the ring stay.
    pub(crate) fn refuse_all(&self) -> Result<(), Refusal> {
        attach(&self.fd, &[Instruction::ret(0)])
    }

    /// Waits for a block. `true`: the socket has an error to tell ([`Self::take_error`]).
    pub(crate) fn wait(&self, timeout: Duration) -> Result<bool, Refusal> {
        if self.taken > 0 {
            // poll(2) would return at once: it looks whether the block before the one that is
            // being filled is ours
            std::thread::sleep(timeout.min(Duration::from_millis(1)));
            return Ok(false);
        }
        let events = libc::POLLIN | libc::POLLERR;
        let mut poll = libc::pollfd { fd: self.fd.as_raw_fd(), events, revents: 0 };
        let ms = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: one pollfd, and its count.
        match sock::checked(unsafe { libc::poll(&raw mut poll, 1, ms) }) {
            Ok(_) => Ok(poll.revents & libc::POLLERR != 0),
            // a signal: the caller looks at its flags
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            Err(error) => Err(("wait for frames", error)),
        }
    }

    /// The pending error of the socket, which this clears: `ENETDOWN` when the interface went down.
    pub(crate) fn take_error(&self) -> Result<Option<io::Error>, Refusal> {
        let code: c_int = sock::get(&self.fd, libc::SOL_SOCKET, libc::SO_ERROR)
            .map_err(sock::says("ask for the socket's error"))?;
        Ok((code != 0).then(|| io::Error::from_raw_os_error(code)))
    }

    /// Counts since the last call.
    pub(crate) fn counts(&self) -> Result<Counts, Refusal> {
        let stats: libc::tpacket_stats_v3 =
            sock::get(&self.fd, libc::SOL_PACKET, libc::PACKET_STATISTICS)
                .map_err(sock::says("read the socket's counters"))?;
        Ok(Counts {
            packets: stats.tp_packets.into(),
            drops: stats.tp_drops.into(),
            freezes: stats.tp_freeze_q_cnt.into(),
        })
    }

    /// Blocks the kernel has filled and we have not given back.
    pub(crate) fn filled(&self) -> usize {
        (0..self.blocks).filter(|at| self.is_ours(*at)).count()
    }

    /// How many blocks there are.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks
    }

    /// A word of a block's header (`tpacket_block_desc`).
    fn header(&self, at: usize, word: usize) -> &AtomicU32 {
        debug_assert!(at < self.blocks && word < BLOCK_HEADER / 4);
        // SAFETY: the word lies within the mapping, which lives as long as `self` and is aligned to
        // a page; both sides only read and write these words whole, and no slice covers them.
        unsafe {
            let words = self.map.start().cast::<u32>().as_ptr();
            AtomicU32::from_ptr(words.add(at * self.block_bytes / 4 + word))
        }
    }

    fn is_ours(&self, at: usize) -> bool {
        self.header(at, STATUS).load(Ordering::Acquire) & libc::TP_STATUS_USER != 0
    }

    /// The block to be read next is filled.
    pub(crate) fn is_ready(&self) -> bool {
        self.taken < self.blocks && self.is_ours(self.next)
    }

    /// The next filled block, if there is one.
    pub(crate) fn block(&mut self) -> Option<Block<'_>> {
        if self.taken > 0 || !self.is_ours(self.next) {
            return None;
        }
        let at = self.next;
        // SAFETY: the acquire load above saw TP_STATUS_USER: until the status is written back (by
        // `Block::drop`) the kernel leaves these bytes alone, and `&mut self` keeps us from
        // handing out the block twice. The header's words are left out.
        let bytes = unsafe {
            let block = self.map.start().as_ptr().add(at * self.block_bytes);
            std::slice::from_raw_parts_mut(block.add(BLOCK_HEADER), self.block_bytes - BLOCK_HEADER)
        };
        self.next = (at + 1) % self.blocks;
        let word = |word| self.header(at, word).load(Ordering::Relaxed) as usize;
        let (left, first) = (word(NUM_PKTS), word(FIRST_PKT));
        let status = self.header(at, STATUS);
        Some(Block { bytes, left, at: first.wrapping_sub(BLOCK_HEADER), status })
    }
}

/// A filled block that stays with us while frames of it are in use.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    /// Which block.
    pub(crate) block: usize,
    /// Frames not yet handed out.
    pub(crate) left: usize,
    /// Where in the block the next one's header is.
    at: usize,
}

/// The same ring for frames that stay in use where they lie. Blocks are given back in the order in
/// which they were taken: the kernel goes round and stops at the first that is not its own.
impl Ring {
    /// The next filled block, if there is one.
    pub(crate) fn take(&mut self) -> Option<Taken> {
        if !self.is_ready() {
            return None;
        }
        let block = self.next;
        self.next = (block + 1) % self.blocks;
        self.taken += 1;
        let word = |word| self.header(block, word).load(Ordering::Relaxed) as usize;
        let (left, at) = (word(NUM_PKTS), word(FIRST_PKT));
        (BLOCK_HEADER..self.block_bytes).contains(&at).then_some(Taken { block, left, at })
    }

    /// The next frame of a taken block, and where in the block the bytes of its slot end. `None`
    /// ends the block; what a malformed block still claimed stays in [`Taken::left`].
    #[inline]
    pub(crate) fn slot(&mut self, taken: &mut Taken) -> Option<(Slot<'_>, usize)> {
        if taken.left == 0 || taken.block >= self.blocks || taken.at >= self.block_bytes {
            return None;
        }
        // SAFETY: within the mapping, which lives as long as `self`. The block is ours: it was
        // taken and not given back. Frames in use lie before `at`, which never goes back and
        // steps over each frame whole (checked below), and the block's header does too; so
        // nothing else names these bytes, and `&mut self` keeps us from naming them twice.
        let bytes = unsafe {
            let block = self.map.start().as_ptr().add(taken.block * self.block_bytes);
            std::slice::from_raw_parts_mut(block.add(taken.at), self.block_bytes - taken.at)
        };
        let begin = taken.at;
        let (step, slot) = slot_at(bytes, 0)?;
        let slot = slot?;
        let end = HEADER + slot.bytes.len();
        // the last frame of a block has no next one
        if taken.left > 1 && step < end {
            return None;
        }
        taken.left -= 1;
        taken.at += step.max(end);
        Some((slot, begin + end))
    }

    /// Blocks taken and not given back.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// The block that was taken first of those.
    pub(crate) fn oldest(&self) -> usize {
        (self.next + self.blocks - self.taken) % self.blocks
    }

    /// Gives that block back to the kernel. No frame of it may be in use.
    pub(crate) fn give_back(&mut self) {
        if self.taken > 0 {
            let status = self.header(self.oldest(), STATUS);
            // what we read and wrote comes before
            status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.taken -= 1;
        }
    }

    /// The pool's blocks that the ring lies in.
    pub(crate) fn area(&self) -> Option<&BlockArea> {
        self.area.as_ref()
    }
}

/// A native word of the block; the kernel writes these in the machine's own order.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(bytemuck::pod_read_unaligned)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(bytemuck::pod_read_unaligned)
}

/// A filled block in our hands; dropping it gives it back to the kernel.
#[derive(Debug)]
pub(crate) struct Block<'r> {
    /// What follows the block's header.
    bytes: &'r mut [u8],
    /// Frames not yet handed out.
    left: usize,
    /// Where in `bytes` the next one's header is.
    at: usize,
    status: &'r AtomicU32,
}

/// One frame of a block, as the kernel described it.
#[derive(Debug)]
pub(crate) struct Slot<'b> {
    /// `sockaddr_ll`, what lies between it and the frame, and the frame: `data` says where.
    pub(crate) bytes: &'b mut [u8],
    /// Where in `bytes` the frame starts; it ends with them.
    pub(crate) data: usize,
    pub(crate) origlen: u32,
    pub(crate) seconds: u32,
    pub(crate) nanoseconds: u32,
    /// `TP_STATUS_*`.
    pub(crate) status: u32,
    pub(crate) vlan_tci: u16,
    pub(crate) vlan_tpid: u16,
    /// `PACKET_HOST` and so on.
    pub(crate) packet_type: u8,
}

impl Block<'_> {
    /// Frames not yet handed out.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// The next frame. `None` ends the block; what a malformed block still claimed stays in
    /// [`Self::left`].
    #[inline]
    pub(crate) fn next_slot(&mut self) -> Option<Slot<'_>> {
        if self.left == 0 {
            return None;
        }
        let (step, slot) = slot_at(self.bytes, self.at)?;
        self.left -= 1;
        self.at += step;
        slot
    }
}

/// The frame whose header is at `at`, if it lies within `bytes`, and how far from there the next
/// one's is; `None` where there can be no header.
#[inline]
fn slot_at(bytes: &mut [u8], at: usize) -> Option<(usize, Option<Slot<'_>>)> {
    let header = bytes.get(at..)?.first_chunk::<{ libc::TPACKET3_HDRLEN }>()?;
    let step = word(header, 0)? as usize;
    let (seconds, nanoseconds) = (word(header, 4)?, word(header, 8)?);
    let (caplen, origlen) = (word(header, 12)? as usize, word(header, 16)?);
    let (status, mac) = (word(header, 20)?, usize::from(half(header, 24)?));
    let (vlan_tci, vlan_tpid) = (word(header, 32)? as u16, half(header, 36)?);
    // sockaddr_ll follows the header: family 2, protocol 2, ifindex 4, hatype 2, pkttype
    let packet_type = header[HEADER + 10];
    let start = at + HEADER;
    let end = at.checked_add(mac)?.checked_add(caplen)?;
    if mac < FRAME_MIN_OFFSET {
        return None;
    }
    let slot = bytes.get_mut(start..end).map(|bytes| Slot {
        bytes,
        data: mac - HEADER,
        origlen,
        seconds,
        nanoseconds,
        status,
        vlan_tci,
        vlan_tpid,
        packet_type,
    });
    Some((step, slot))
}

impl Drop for Block<'_> {
    fn drop(&mut self) {
        // what we read and wrote comes before
        self.status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
    }
}
