//! AF_XDP sockets (the kernel's `Documentation/networking/af_xdp.rst`, `linux/if_xdp.h`): frames
//! in memory shared with the kernel, named by descriptors in rings.

mod program;
mod ring;
mod rx;
mod tx;
mod umem;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::time::{Duration, Instant};

use libc::{SOL_XDP, c_int, sockaddr_xdp, xdp_desc, xdp_mmap_offsets, xdp_options, xdp_statistics};

use self::ring::{Consumer, Producer};
use self::umem::Umem;
use super::sock::{self, Device, Refusal, says};

pub(crate) use self::program::Program;
pub(crate) use self::rx::XskReceiver;
pub(crate) use self::tx::XskSender;

// linux/if_xdp.h
const _: () = {
    assert!(size_of::<sockaddr_xdp>() == 16);
    assert!(size_of::<xdp_mmap_offsets>() == 128);
    assert!(size_of::<xdp_statistics>() == 48);
    assert!(size_of::<xdp_options>() == 4);
};

/// `XDP_MAX_TX_SKB_BUDGET` of `linux/if_xdp.h` (since Linux 6.17): frames that one `sendto` of a
/// copying socket sends, 32 by default.
const XDP_MAX_TX_SKB_BUDGET: c_int = 9;

/// A queue stays taken for a moment after its last socket was closed.
const BUSY_PATIENCE: Duration = Duration::from_secs(1);

/// The sizes of a socket; each a power of two. A ring of 0 is not made.
#[derive(Debug, Clone, Copy)]
struct Spec {
    index: u32,
    queue: u32,
    slots: u32,
    slot_bytes: u32,
    fill: u32,
    completion: u32,
    rx: u32,
    tx: u32,
    /// Frames may take several slots (since Linux 6.6).
    pieces: bool,
}

/// A bound socket with its rings and memory.
#[derive(Debug)]
struct Xsk {
    // before the memory that it uses: fields are dropped in order
    fd: OwnedFd,
    device: Device,
    fill: Producer<u64>,
    completion: Consumer<u64>,
    rx: Option<Consumer<xdp_desc>>,
    tx: Option<Producer<xdp_desc>>,
    umem: Umem,
    /// The driver sends from and receives into the shared memory itself.
    zero_copy: bool,
}

impl Xsk {
    /// Zero-copy where the driver does that, else with the kernel's copies.
    fn open(spec: &Spec) -> Result<Self, Refusal> {
        let fd =
            sock::socket(libc::AF_XDP, libc::SOCK_RAW, 0).map_err(says("open an AF_XDP socket"))?;
        let umem = Umem::new(spec.slots, spec.slot_bytes).map_err(says("map memory for frames"))?;
        // SAFETY: the memory stays mapped until after the socket is closed; the kernel reads and
        // writes it as the descriptors we give it say.
        unsafe { sock::set(&fd, SOL_XDP, libc::XDP_UMEM_REG, &umem.registration()) }
            .map_err(says("register memory for frames"))?;
        for (name, size) in [
            (libc::XDP_UMEM_FILL_RING, spec.fill),
            (libc::XDP_UMEM_COMPLETION_RING, spec.completion),
            (libc::XDP_RX_RING, spec.rx),
            (libc::XDP_TX_RING, spec.tx),
        ] {
            if size > 0 {
                sock::set_int(&fd, SOL_XDP, name, size as c_int).map_err(says("make a ring"))?;
            }
        }
        let offsets: xdp_mmap_offsets =
            sock::get(&fd, SOL_XDP, libc::XDP_MMAP_OFFSETS).map_err(says("ask for the rings"))?;
        let fill = libc::XDP_UMEM_PGOFF_FILL_RING as i64;
        let fill =
            Producer::map(&fd, fill, &offsets.fr, spec.fill).map_err(says("map the fill ring"))?;
        let completion = libc::XDP_UMEM_PGOFF_COMPLETION_RING as i64;
        let completion = Consumer::map(&fd, completion, &offsets.cr, spec.completion)
            .map_err(says("map the completion ring"))?;
        let rx = (spec.rx > 0)
            .then(|| Consumer::map(&fd, libc::XDP_PGOFF_RX_RING, &offsets.rx, spec.rx))
            .transpose()
            .map_err(says("map the rx ring"))?;
        let tx = (spec.tx > 0)
            .then(|| Producer::map(&fd, libc::XDP_PGOFF_TX_RING, &offsets.tx, spec.tx))
            .transpose()
            .map_err(says("map the tx ring"))?;
        if spec.tx > 0 {
            // a call then sends what is in the ring; kernels that do not know it send 32
            let _ = sock::set_int(&fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, spec.tx as c_int);
            let _ = sock::set_int(&fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, 4 << 20);
        }
        bind(&fd, spec).map_err(says(if spec.pieces {
            "bind to the interface's queue for frames longer than a slot (since Linux 6.6)"
        } else {
            "bind to the interface's queue"
        }))?;
        let options: xdp_options =
            sock::get(&fd, SOL_XDP, libc::XDP_OPTIONS).map_err(says("ask for the mode"))?;
        let zero_copy = options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0;
        let device = Device::new(spec.index)?;
        Ok(Self { fd, device, fill, completion, rx, tx, umem, zero_copy })
    }

    /// Tells the kernel of new descriptors in the tx ring.
    fn kick_tx(&self) -> io::Result<()> {
        // SAFETY: sends no bytes of its own: no buffer, no address.
        let sent = unsafe {
            let fd = self.fd.as_raw_fd();
            libc::sendto(fd, ptr::null(), 0, libc::MSG_DONTWAIT, ptr::null(), 0)
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

fn bind(fd: &OwnedFd, spec: &Spec) -> io::Result<()> {
    let address = sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        // neither XDP_COPY nor XDP_ZEROCOPY: the kernel tries zero-copy, then copies
        sxdp_flags: libc::XDP_USE_NEED_WAKEUP | if spec.pieces { libc::XDP_USE_SG } else { 0 },
        sxdp_ifindex: spec.index,
        sxdp_queue_id: spec.queue,
        sxdp_shared_umem_fd: 0,
    };
    let start = Instant::now();
    loop {
        match sock::bind(fd, &address) {
            Err(error)
                if error.raw_os_error() == Some(libc::EBUSY) && start.elapsed() < BUSY_PATIENCE =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            done => return done,
        }
    }
}
