//! Frames in by `recvmmsg(2)` on a packet socket, each straight into a slot of the path's pool.

use std::fmt;
use std::io;
use std::mem::{self, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use libc::{c_int, c_long, iovec, mmsghdr, sockaddr_ll};
use skb::{Pool, Slot};

use super::packet::attach;
use super::sock::{self, Promiscuous, Refusal, says};
use super::vnet::{VNET_BYTES, VnetHeader};
use crate::bpf::Instruction;

/// Frames in one system call.
pub(crate) const BURST: usize = 64;
/// A `cmsghdr` and a `tpacket_auxdata` of 20 bytes, with room to spare, in words: aligned.
const CONTROL: usize = 8;

const _: () = assert!(size_of::<libc::tpacket_auxdata>() == 20);

/// What came beside a frame.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Beside {
    /// Bytes of the frame, which may be more than there was room for.
    pub(crate) len: usize,
    /// What the kernel says of its checksum and, of a super-frame, its segments.
    pub(crate) head: VnetHeader,
    /// There was a VLAN tag, which the kernel took out.
    pub(crate) tagged: bool,
}

/// A packet socket that receives.
pub(crate) struct PacketReceiver {
    fd: OwnedFd,
    /// Held for what its `Drop` does.
    _promiscuous: Promiscuous,
    /// `messages[i]` has two pieces, `pieces[i]`, and `controls[i]`, for good: boxes do not move.
    messages: Box<[mmsghdr; BURST]>,
    /// The first is `heads[i]`, for good as well.
    pieces: Box<[[iovec; 2]; BURST]>,
    heads: Box<[VnetHeader; BURST]>,
    controls: Box<[[u64; CONTROL]; BURST]>,
}

// SAFETY: the pointers in `messages` lead to the other boxes, which move along with the value, as
// do the first ones in `pieces`; the second ones are only followed within `receive`, which sets
// them first.
unsafe impl Send for PacketReceiver {}

impl PacketReceiver {
    /// A receiver of the frames that come in at the device with that index and pass `filter`,
    /// those to other stations too, and none that this machine sends.
    pub(crate) fn open(
        index: u32,
        filter: &[Instruction],
        buffer_bytes: c_int,
    ) -> Result<Self, Refusal> {
        // protocol 0: nothing arrives before bind() names one, with everything else in place
        let fd = sock::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_NONBLOCK, 0)
            .map_err(says("open a packet socket"))?;
        let on = |name, what| sock::set_int(&fd, libc::SOL_PACKET, name, 1).map_err(says(what));
        on(libc::PACKET_IGNORE_OUTGOING, "leave out sent frames")?;
        on(libc::PACKET_AUXDATA, "ask for what lies beside a frame")?;
        on(libc::PACKET_VNET_HDR, "ask for what a device has left to do")?;
        attach(&fd, filter)?;
        // without cap_net_admin what the system allows
        let (level, force) = (libc::SOL_SOCKET, libc::SO_RCVBUFFORCE);
        if sock::set_int(&fd, level, force, buffer_bytes).is_err() {
            let _ = sock::set_int(&fd, level, libc::SO_RCVBUF, buffer_bytes);
        }
        let promiscuous = Promiscuous::on(index)?;
        let address = sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
            sll_ifindex: index as c_int,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        sock::bind(&fd, &address).map_err(says("bind to the interface"))?;
        let none = iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        let mut pieces = Box::new([[none; 2]; BURST]);
        let mut heads = Box::new([VnetHeader::default(); BURST]);
        for (two, head) in pieces.iter_mut().zip(heads.iter_mut()) {
            two[0] = head.piece();
        }
        let mut controls = Box::new([[0; CONTROL]; BURST]);
        // SAFETY: null pointers and zero lengths are a message header.
        let mut messages: Box<[mmsghdr; BURST]> = Box::new(unsafe { mem::zeroed() });
        let ends = pieces.iter_mut().zip(controls.iter_mut());
        for (message, (piece, control)) in messages.iter_mut().zip(ends) {
            message.msg_hdr.msg_iov = piece.as_mut_ptr();
            message.msg_hdr.msg_iovlen = 2;
            message.msg_hdr.msg_control = control.as_mut_ptr().cast();
        }
        Ok(Self { fd, _promiscuous: promiscuous, messages, pieces, heads, controls })
    }

    /// One system call that does not wait: frames into the first of `slots`, in order. How many.
    pub(crate) fn receive(&mut self, pool: &mut Pool, slots: &mut [Slot]) -> io::Result<usize> {
        let mut count = 0;
        for (slot, [_, piece]) in slots.iter_mut().zip(self.pieces.iter_mut()) {
            let Some(room) = pool.slot_mut(slot) else { break };
            *piece = iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
            self.messages[count].msg_hdr.msg_controllen = size_of::<[u64; CONTROL]>() as _;
            self.messages[count].msg_hdr.msg_flags = 0;
            count += 1;
        }
        // SAFETY: the first `count` headers have two pieces each: one of `heads`, all of whose
        // bytes are values, and the room of a slot that the caller lends us exclusively, with the
        // pool, over the call; the pool reaches its memory by ranges, so that no reference covers
        // those bytes meanwhile. Controls are as long as said. By `syscall` because the flags'
        // type differs between C libraries.
        let received = unsafe {
            libc::syscall(
                libc::SYS_recvmmsg,
                c_long::from(self.fd.as_raw_fd()),
                self.messages.as_mut_ptr(),
                count as c_long,
                c_long::from(libc::MSG_DONTWAIT | libc::MSG_TRUNC),
                ptr::null_mut::<libc::timespec>(),
            )
        };
        if received < 0 { Err(io::Error::last_os_error()) } else { Ok(received as usize) }
    }

    /// What came beside the frame at that place of the last burst.
    pub(crate) fn beside(&self, at: usize) -> Beside {
        let Some(message) = self.messages.get(at) else { return Beside::default() };
        // the header is among the bytes of the message
        let len = (message.msg_len as usize).saturating_sub(VNET_BYTES);
        let mut beside = Beside { len, head: self.heads[at], ..Beside::default() };
        // SAFETY: the kernel wrote the header's control length, and so much of `controls[at]`,
        // which the header leads to; the macros stay within it.
        let first = unsafe { libc::CMSG_FIRSTHDR(&raw const message.msg_hdr) };
        if first.is_null() {
            return beside;
        }
        // SAFETY: not null: a whole header lies there.
        let header = unsafe { ptr::read_unaligned(first) };
        let wanted = (libc::SOL_PACKET, libc::PACKET_AUXDATA);
        let data = size_of::<libc::cmsghdr>() + size_of::<libc::tpacket_auxdata>();
        if (header.cmsg_level, header.cmsg_type) != wanted || (header.cmsg_len as usize) < data {
            return beside;
        }
        // SAFETY: as long as checked; integers, of which any bytes are a value.
        let aux: libc::tpacket_auxdata =
            unsafe { ptr::read_unaligned(libc::CMSG_DATA(first).cast()) };
        beside.tagged = aux.tp_status & libc::TP_STATUS_VLAN_VALID != 0;
        beside
    }

    /// Frames lost for want of room in the socket's buffer since the last call.
    pub(crate) fn lost(&self) -> u64 {
        let stats =
            sock::get::<libc::tpacket_stats>(&self.fd, libc::SOL_PACKET, libc::PACKET_STATISTICS);
        stats.map_or(0, |stats| stats.tp_drops.into())
    }

    /// The pending error of the socket, which this clears: `ENETDOWN` when the interface went down.
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        let code: c_int = sock::get(&self.fd, libc::SOL_SOCKET, libc::SO_ERROR).unwrap_or(0);
        (code != 0).then(|| io::Error::from_raw_os_error(code))
    }
}

impl AsFd for PacketReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl fmt::Debug for PacketReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketReceiver")
            .field("fd", &self.fd)
            .field("controls", &self.controls.len())
            .finish_non_exhaustive()
    }
}
