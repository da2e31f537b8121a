//! What all sockets here share: opening, options, mappings, and questions about the device.

use std::ffi::c_void;
use std::io;
use std::mem::{self, size_of};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};

use libc::{c_int, ifreq, sockaddr_ll};

/// What was asked of the kernel, and what it said.
pub(crate) type Refusal = (&'static str, io::Error);

/// Names the operation of a refusal.
pub(super) fn says(operation: &'static str) -> impl FnOnce(io::Error) -> Refusal {
    move |error| (operation, error)
}

/// The result of a call that returns -1 with `errno` set.
pub(super) fn checked(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// `socket(2)`, closed on exec.
pub(super) fn socket(domain: c_int, kind: c_int, protocol: c_int) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = checked(unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol) })?;
    // SAFETY: just opened, and known to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `setsockopt(2)` with an integer.
pub(super) fn set_int(fd: &OwnedFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: an integer points nowhere.
    unsafe { set(fd, level, name, &value) }
}

/// `setsockopt(2)` with a struct of the kernel's.
///
/// # Safety
/// Memory that `value` gives the address of must be the kernel's to use for as long as the option
/// says.
pub(super) unsafe fn set<T>(fd: &OwnedFd, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: `length` bytes lie at `value`; what they point to is the caller's promise.
    checked(unsafe {
        libc::setsockopt(fd.as_raw_fd(), level, name, ptr::from_ref(value).cast(), length)
    })
    .map(|_| ())
}

/// Structs of the kernel's that `getsockopt` fills: integers only, so that all bytes are a value.
///
/// # Safety
/// Zeroes, and any other bytes, must be a value of the type.
pub(super) unsafe trait Plain: Copy {}
// SAFETY: made of `u64` and `u32` alone, as are the next two.
unsafe impl Plain for libc::xdp_mmap_offsets {}
// SAFETY: see above.
unsafe impl Plain for libc::xdp_statistics {}
// SAFETY: see above.
unsafe impl Plain for libc::xdp_options {}
// SAFETY: three `u32`.
unsafe impl Plain for libc::tpacket_stats_v3 {}
// SAFETY: two `u32`.
unsafe impl Plain for libc::tpacket_stats {}
// SAFETY: an integer.
unsafe impl Plain for c_int {}

/// `getsockopt(2)`; fields that an older kernel does not know are 0.
pub(super) fn get<T: Plain>(fd: &OwnedFd, level: c_int, name: c_int) -> io::Result<T> {
    // SAFETY: zeroes are a value of a `Plain` type.
    let mut value: T = unsafe { mem::zeroed() };
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `value`, all of which are `Plain`.
    checked(unsafe {
        let at = ptr::from_mut(&mut value).cast();
        libc::getsockopt(fd.as_raw_fd(), level, name, at, &raw mut length)
    })?;
    Ok(value)
}

/// A packet socket (`packet(7)`) that sends to the device and receives nothing: its protocol is 0.
///
/// With `offload` each message begins with a [`VnetHeader`](super::vnet::VnetHeader), and the
/// kernel does what the device cannot. It does so in front of the queueing discipline, which is
/// bypassed otherwise: past it super-frames that must be cut are dropped.
pub(super) fn packet_sender(index: u32, offload: bool) -> Result<OwnedFd, Refusal> {
    let fd = socket(libc::AF_PACKET, libc::SOCK_RAW, 0).map_err(says("open a packet socket"))?;
    let address = sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: 0,
        sll_ifindex: index as c_int,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    bind(&fd, &address).map_err(says("bind to the interface"))?;
    if offload {
        set_int(&fd, libc::SOL_PACKET, libc::PACKET_VNET_HDR, 1)
            .map_err(says("leave checksums and segments to the device"))?;
    } else {
        // straight to the driver: no queueing discipline that reorders or drops
        set_int(&fd, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, 1)
            .map_err(says("bypass the queueing discipline"))?;
    }
    // more in flight than the default 208 KiB; without cap_net_admin what the system allows
    let bytes = 4 << 20;
    if set_int(&fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, bytes).is_err() {
        let _ = set_int(&fd, libc::SOL_SOCKET, libc::SO_SNDBUF, bytes);
    }
    Ok(fd)
}

/// `bind(2)` to an address of the family's own type.
pub(super) fn bind<T>(fd: &OwnedFd, address: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    let at = ptr::from_ref(address).cast::<libc::sockaddr>();
    // SAFETY: `length` bytes at `address`, which the kernel copies and follows nowhere.
    checked(unsafe { libc::bind(fd.as_raw_fd(), at, length) }).map(|_| ())
}

/// Lets the calling thread run before others of the usual scheduling class (`setpriority(2)`; on
/// Linux a matter of the thread, not of its process).
pub(crate) fn prefer_thread() -> io::Result<()> {
    // the kernel's own threads for packets, at 0, keep a tenth of the core
    // SAFETY: no pointers.
    checked(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -10) }).map(|_| ())
}

/// How a device is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Up,
    /// Switched off, or without a carrier.
    Down,
    Gone,
}

/// Questions about a device (`netdevice(7)`), which is found by its index whatever its name, in the
/// network namespace in which this was made, not that of the thread that asks.
#[derive(Debug)]
pub(super) struct Device {
    /// Of a family that passes on such questions; AF_XDP does not.
    fd: OwnedFd,
    index: u32,
}

impl Device {
    pub(super) fn new(index: u32) -> Result<Self, Refusal> {
        let fd = socket(libc::AF_INET, libc::SOCK_DGRAM, 0).map_err(says("open a socket"))?;
        Ok(Self { fd, index })
    }

    /// A request that names the device.
    fn request(&self) -> io::Result<ifreq> {
        // SAFETY: an `ifreq` is bytes and integers, and a pointer that may be null.
        let mut asked: ifreq = unsafe { mem::zeroed() };
        asked.ifr_ifru.ifru_ifindex = self.index as c_int;
        // SAFETY: one live `ifreq`, which has the index.
        unsafe { self.ask(libc::SIOCGIFNAME, &mut asked)? };
        Ok(asked)
    }

    /// # Safety
    /// `asked` must hold what the question reads.
    unsafe fn ask(&self, question: libc::c_ulong, asked: &mut ifreq) -> io::Result<()> {
        // SAFETY: reads and writes one live `ifreq`, and what the caller answers for.
        checked(unsafe { libc::ioctl(self.fd.as_raw_fd(), question as _, ptr::from_mut(asked)) })
            .map(|_| ())
    }

    /// Whether it can send now.
    pub(super) fn state(&self) -> State {
        let Ok(mut answer) = self.request() else { return State::Gone };
        // SAFETY: the request names the device.
        if unsafe { self.ask(libc::SIOCGIFFLAGS, &mut answer) }.is_err() {
            return State::Gone;
        }
        // SAFETY: SIOCGIFFLAGS wrote the flags.
        let flags = c_int::from(unsafe { answer.ifr_ifru.ifru_flags });
        let wanted = libc::IFF_UP | libc::IFF_RUNNING;
        if flags & wanted == wanted { State::Up } else { State::Down }
    }

    /// Its MTU now, bytes.
    pub(super) fn mtu(&self) -> Option<u32> {
        let mut answer = self.request().ok()?;
        // SAFETY: the request names the device.
        unsafe { self.ask(libc::SIOCGIFMTU, &mut answer) }.ok()?;
        // SAFETY: SIOCGIFMTU wrote the MTU.
        u32::try_from(unsafe { answer.ifr_ifru.ifru_mtu }).ok()
    }

    /// Queues on which it receives; 1 where the driver does not tell (`ethtool -l`).
    pub(super) fn rx_queues(&self) -> Result<u32, Refusal> {
        let mut asked = self.request().map_err(says("find the interface"))?;
        let mut channels = Channels { cmd: ETHTOOL_GCHANNELS, ..Channels::default() };
        asked.ifr_ifru.ifru_data = (&raw mut channels).cast();
        // SAFETY: the request names the device and leads to live `Channels`.
        let told = unsafe { self.ask(libc::SIOCETHTOOL, &mut asked) }.is_ok();
        let count = if told { channels.rx_count + channels.combined_count } else { 1 };
        Ok(count.clamp(1, 1024))
    }
}

/// `struct ethtool_channels` of `linux/ethtool.h`.
#[repr(C)]
#[derive(Default)]
struct Channels {
    cmd: u32,
    max: [u32; 4],
    rx_count: u32,
    tx_count: u32,
    other_count: u32,
    combined_count: u32,
}

const _: () = assert!(size_of::<Channels>() == 36 && mem::offset_of!(Channels, rx_count) == 20);
const ETHTOOL_GCHANNELS: u32 = 0x3c;

/// Queues on which the device receives.
pub(crate) fn rx_queues(index: u32) -> Result<u32, Refusal> {
    Device::new(index)?.rx_queues()
}

/// Keeps a device in promiscuous mode; the kernel counts who asked for it.
#[derive(Debug)]
pub(crate) struct Promiscuous {
    /// The membership goes with the socket.
    _fd: OwnedFd,
}

impl Promiscuous {
    pub(crate) fn on(index: u32) -> Result<Self, Refusal> {
        let fd =
            socket(libc::AF_PACKET, libc::SOCK_RAW, 0).map_err(says("open a packet socket"))?;
        let request = libc::packet_mreq {
            mr_ifindex: index as c_int,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        // SAFETY: integers point nowhere.
        unsafe { set(&fd, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request) }
            .map_err(says("switch promiscuous mode on"))?;
        Ok(Self { _fd: fd })
    }
}

/// Bytes of frames that the socket has sent and the driver has not yet freed (`SIOCOUTQ`).
pub(super) fn unsent_bytes(fd: &OwnedFd) -> u64 {
    let mut bytes: c_int = 0;
    // SAFETY: writes one integer.
    let done = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if done < 0 { 0 } else { u64::try_from(bytes).unwrap_or(0) }
}

/// Memory shared with the kernel; unmapped when dropped, unless it lies in somebody else's.
#[derive(Debug)]
pub(super) struct Mapping {
    at: NonNull<u8>,
    len: usize,
    /// Another mapping around it goes with its owner, and this with it.
    within: bool,
}

// SAFETY: memory of the process, bound to no thread; the owner decides who reaches it.
unsafe impl Send for Mapping {}

impl Mapping {
    /// `len` bytes of the socket's at `offset`, readable and writable, all there from the start.
    pub(super) fn of_socket(fd: &OwnedFd, len: usize, offset: i64) -> io::Result<Self> {
        Self::map(len, libc::MAP_SHARED | libc::MAP_POPULATE, fd.as_raw_fd(), offset)
    }

    /// The same in the place of `len` bytes of a mapping of this process, at a page. After a
    /// failure nothing may be mapped there any more.
    ///
    /// # Safety
    /// The bytes are the caller's alone, and their mapping outlives this value.
    pub(super) unsafe fn of_socket_within(
        fd: &OwnedFd,
        at: NonNull<u8>,
        len: usize,
    ) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE | libc::MAP_FIXED;
        let start = at.as_ptr().cast::<c_void>();
        // SAFETY: replaces bytes that the caller has for itself.
        let mapped = unsafe { libc::mmap(start, len, access, flags, fd.as_raw_fd(), 0) };
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { at, len, within: true })
    }

    /// `len` zero bytes, all there from the start, page-aligned.
    pub(super) fn anonymous(len: usize) -> io::Result<Self> {
        Self::map(len, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE, -1, 0)
    }

    fn map(len: usize, flags: c_int, fd: c_int, offset: i64) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at a place of the kernel's choosing.
        let at = unsafe { libc::mmap(ptr::null_mut(), len, access, flags, fd, offset as _) };
        match NonNull::new(at.cast::<u8>()) {
            Some(at) if at.as_ptr().cast::<c_void>() != libc::MAP_FAILED => {
                Ok(Self { at, len, within: false })
            }
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The first byte.
    pub(super) fn start(&self) -> NonNull<u8> {
        self.at
    }

    /// Bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.within {
            return;
        }
        // SAFETY: mapped by `map`, with this length, and reached through this value only.
        unsafe { libc::munmap(self.at.as_ptr().cast(), self.len) };
    }
}
