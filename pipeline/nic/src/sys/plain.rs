//! For tests: the plainest ends of a wire. A packet socket that receives by `recv(2)`, one frame a
//! call; a TAP device, whose queue is full when nobody reads it.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use libc::{c_int, sockaddr_ll};

use super::sock;

/// Receives all frames that come in at one device.
#[derive(Debug)]
pub(crate) struct Plain {
    fd: OwnedFd,
    buffer: Vec<u8>,
}

impl Plain {
    pub(crate) fn open(index: u32) -> Self {
        let fd = sock::socket(libc::AF_PACKET, libc::SOCK_RAW, 0).unwrap();
        sock::set_int(&fd, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1).unwrap();
        sock::set_int(&fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 512 << 20).unwrap();
        let address = sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
            sll_ifindex: index as c_int,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        sock::bind(&fd, &address).unwrap();
        Self { fd, buffer: vec![0; 1 << 17] }
    }

    /// The next frame; `None` when none came in that time.
    pub(crate) fn next(&mut self, timeout: Duration) -> Option<&[u8]> {
        let (tv_sec, tv_usec) = (timeout.as_secs() as i64, i64::from(timeout.subsec_micros()));
        let time = libc::timeval { tv_sec, tv_usec };
        // SAFETY: a time points nowhere.
        unsafe { sock::set(&self.fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &time) }.unwrap();
        // SAFETY: writes at most the buffer's length into it.
        let len = unsafe {
            let at = self.buffer.as_mut_ptr().cast();
            libc::recv(self.fd.as_raw_fd(), at, self.buffer.len(), 0)
        };
        if len < 0 {
            let error = io::Error::last_os_error();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
            return None;
        }
        Some(&self.buffer[..len as usize])
    }
}

/// The far side of a TAP device: frames that are sent by the device are read here.
#[derive(Debug)]
pub(crate) struct Tap {
    file: std::fs::File,
}

impl Tap {
    /// Makes the device, switched off.
    pub(crate) fn new(name: &str) -> Self {
        let mut options = std::fs::File::options();
        options.read(true).write(true).custom_flags(libc::O_NONBLOCK);
        let file = options.open("/dev/net/tun").unwrap();
        // SAFETY: an `ifreq` is bytes and integers, and a pointer that may be null.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(15)) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
        // SAFETY: reads and writes one live `ifreq` with a name and flags.
        let made = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) };
        assert_eq!(made, 0, "{}", io::Error::last_os_error());
        Self { file }
    }

    /// The next frame that waits.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 1 << 16];
        match self.file.read(&mut bytes) {
            Ok(len) => {
                bytes.truncate(len);
                Some(bytes)
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
                None
            }
        }
    }
}

/// Makes this thread, not the process, a user's without rights.
pub(crate) fn become_nobody() {
    let id = 65534;
    // SAFETY: integers; the bare system call changes the calling thread only.
    let done = unsafe { libc::syscall(libc::SYS_setresuid, id, id, id) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
}
