//! For tests: a packet socket that receives by `recv(2)`, one frame a call, nothing else.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
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

/// Makes this thread, not the process, a user's without rights.
pub(crate) fn become_nobody() {
    let id = 65534;
    // SAFETY: integers; the bare system call changes the calling thread only.
    let done = unsafe { libc::syscall(libc::SYS_setresuid, id, id, id) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
}
