//! The XDP program that hands a device's frames to sockets: five instructions, by `bpf(2)`.
//!
//! ```c
//! return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
//! ```

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libc::{c_int, c_long};

use super::super::sock::{Refusal, says};

// linux/bpf.h: enum bpf_cmd, and the members of union bpf_attr that each command reads. The kernel
// takes what is left out at their end as 0.
const BPF_MAP_CREATE: c_int = 0;
const BPF_MAP_UPDATE_ELEM: c_int = 2;
const BPF_PROG_LOAD: c_int = 5;
const BPF_LINK_CREATE: c_int = 28;
const BPF_MAP_TYPE_XSKMAP: u32 = 17;
const BPF_PROG_TYPE_XDP: u32 = 6;
/// `enum bpf_attach_type`.
const BPF_XDP: u32 = 37;
/// The program can do with frames in several pieces (since Linux 5.18).
const BPF_F_XDP_HAS_FRAGS: u32 = 1 << 5;
// linux/if_link.h
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
}

#[repr(C)]
struct MapUpdate {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Insn {
    code: u8,
    registers: u8,
    off: i16,
    imm: i32,
}

const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<MapCreate>() == 16 && size_of::<LinkCreate>() == 16);
    assert!(size_of::<MapUpdate>() == 32 && offset_of!(MapUpdate, key) == 8);
    assert!(size_of::<ProgLoad>() == 72 && offset_of!(ProgLoad, log_buf) == 32);
    assert!(offset_of!(ProgLoad, prog_name) == 48);
    assert!(size_of::<Insn>() == 8 && offset_of!(Insn, imm) == 4);
};

const fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    // two bit fields of 4 bits, which C lays out in the machine's order
    let registers = if cfg!(target_endian = "little") { src << 4 | dst } else { dst << 4 | src };
    Insn { code, registers, off, imm }
}

/// The program, for the map with that descriptor (`Documentation/bpf/standardization`, opcodes).
fn instructions(map: c_int) -> [Insn; 6] {
    const RX_QUEUE_INDEX: i16 = 16; // in struct xdp_md
    const PSEUDO_MAP_FD: u8 = 1;
    const XDP_PASS: i32 = 2;
    const REDIRECT_MAP: i32 = 51; // enum bpf_func_id
    [
        insn(0x61, 2, 1, RX_QUEUE_INDEX, 0),  // r2 = *(u32 *)(r1 + 16)
        insn(0x18, 1, PSEUDO_MAP_FD, 0, map), // r1 = map, in two
        insn(0, 0, 0, 0, 0),
        insn(0xb7, 3, 0, 0, XDP_PASS), // r3 = XDP_PASS, where there is no socket
        insn(0x85, 0, 0, 0, REDIRECT_MAP), // call
        insn(0x95, 0, 0, 0, 0),        // exit
    ]
}

/// # Safety
/// `attr` must be what the command reads, and addresses in it lead to live memory of the sizes it
/// says.
unsafe fn bpf<T>(command: c_int, attr: &T) -> io::Result<c_int> {
    // SAFETY: the size is that of what `attr` points to; the rest is the caller's promise.
    let done = unsafe {
        let at = std::ptr::from_ref(attr);
        libc::syscall(libc::SYS_bpf, c_long::from(command), at, size_of::<T>())
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done as c_int) }
}

/// As [`bpf`], for commands that make something.
///
/// # Safety
/// As [`bpf`].
unsafe fn bpf_new<T>(command: c_int, attr: &T) -> io::Result<OwnedFd> {
    // SAFETY: what `bpf` asks for is the caller's promise; the descriptor is new (and closed on
    // exec, as bpf(2) makes all of them).
    unsafe { bpf(command, attr).map(|fd| OwnedFd::from_raw_fd(fd)) }
}

/// The program on a device; taken off when dropped.
#[derive(Debug)]
pub(crate) struct Program {
    map: OwnedFd,
    /// The link that holds the program there: it goes when its descriptor is closed.
    _link: OwnedFd,
    /// Run by the driver, before an skb is made.
    pub(crate) native: bool,
}

impl Program {
    /// Puts the program on the device, with room for sockets of `queues` queues. `native`: run by
    /// the driver, or by the stack; `None` for the driver if it can.
    pub(crate) fn attach(
        index: u32,
        queues: u32,
        pieces: bool,
        native: Option<bool>,
    ) -> Result<Self, Refusal> {
        let attr = MapCreate {
            map_type: BPF_MAP_TYPE_XSKMAP,
            key_size: 4,
            value_size: 4,
            max_entries: queues,
        };
        // SAFETY: no addresses.
        let map = unsafe { bpf_new(BPF_MAP_CREATE, &attr) }.map_err(says("make an XSKMAP"))?;
        let flags = if pieces { BPF_F_XDP_HAS_FRAGS } else { 0 };
        let program = load(&map, flags).map_err(says("load the XDP program"))?;
        let attach = |native| {
            let attr = LinkCreate {
                prog_fd: program.as_raw_fd() as u32,
                target_ifindex: index,
                attach_type: BPF_XDP,
                flags: if native { XDP_FLAGS_DRV_MODE } else { XDP_FLAGS_SKB_MODE },
            };
            // SAFETY: no addresses.
            unsafe { bpf_new(BPF_LINK_CREATE, &attr) }
        };
        let (link, native) = match native {
            Some(native) => (attach(native), native),
            None => match attach(true) {
                // another program is there, or it may not: no better the other way
                Err(error) if !matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EPERM)) => {
                    (attach(false), false)
                }
                done => (done, true),
            },
        };
        let link = link.map_err(says("attach the XDP program"))?;
        Ok(Self { map, _link: link, native })
    }

    /// From now on frames of that queue go to the socket.
    pub(super) fn serve(&self, queue: u32, socket: &OwnedFd) -> Result<(), Refusal> {
        let value = socket.as_raw_fd() as u32;
        let attr = MapUpdate {
            map_fd: self.map.as_raw_fd() as u32,
            padding: 0,
            key: std::ptr::from_ref(&queue).addr() as u64,
            value: std::ptr::from_ref(&value).addr() as u64,
            flags: 0,
        };
        // SAFETY: key and value are four bytes each, as the map was made, and live.
        unsafe { bpf(BPF_MAP_UPDATE_ELEM, &attr) }
            .map(|_| ())
            .map_err(says("enter the socket into the XSKMAP"))
    }
}

fn load(map: &OwnedFd, flags: u32) -> io::Result<OwnedFd> {
    let program = instructions(map.as_raw_fd());
    let mut name = [0; 16];
    name[..9].copy_from_slice(b"framewalk");
    let attr = ProgLoad {
        prog_type: BPF_PROG_TYPE_XDP,
        insn_cnt: program.len() as u32,
        insns: program.as_ptr().addr() as u64,
        license: c"MIT".as_ptr().addr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: flags,
        prog_name: name,
        prog_ifindex: 0,
        expected_attach_type: BPF_XDP,
    };
    // SAFETY: `insns` leads to `insn_cnt` instructions and `license` to a C string, both live.
    unsafe { bpf_new(BPF_PROG_LOAD, &attr) }
}
