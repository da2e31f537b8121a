//! The byte stream of one TCP connection, for callers that read and write themselves.

use crate::session::{Outcome, Session};
use smoltcp::socket::tcp::{Socket, State};
use std::net::SocketAddr;

/// Names one connection of one host. A handle whose connection is over names nothing any more,
/// even when its socket serves the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TcpHandle {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// A connection in its caller's hands, for the time of a borrow of the host.
///
/// Non-blocking: [`send`](Self::send) and [`recv`](Self::recv) move what can be moved now. Bytes
/// go on the wire with the host's next poll.
#[derive(Debug)]
pub struct TcpConn<'a> {
    pub(crate) socket: &'a mut Socket<'static>,
    pub(crate) session: &'a mut Session,
}

impl TcpConn<'_> {
    /// Takes as many of `bytes` as the send buffer has room for and says how many: 0 when it is
    /// full, not yet connected or already closed (see [`may_send`](Self::may_send)).
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        let sent = self.socket.send_slice(bytes).unwrap_or(0);
        self.session.moved(sent, 0);
        sent
    }

    /// Moves received bytes into `room` and says how many: 0 when there are none now, or when
    /// there will be no more (see [`may_recv`](Self::may_recv)).
    pub fn recv(&mut self, room: &mut [u8]) -> usize {
        let received = self.socket.recv_slice(room).unwrap_or(0);
        self.session.moved(0, received);
        received
    }

    /// Shows the bytes that were received, as they lie in the receive buffer, to `take`, which says
    /// how many it took. Says so in turn: 0 when there are none now, or there will be no more.
    /// May have to be called again for what lies behind the buffer's end.
    pub fn recv_with(&mut self, take: impl FnOnce(&[u8]) -> usize) -> usize {
        let received = self.socket.recv(|bytes| {
            let taken = take(bytes).min(bytes.len());
            (taken, taken)
        });
        let received = received.unwrap_or(0);
        self.session.moved(0, received);
        received
    }

    /// Bytes received that nobody has taken yet.
    pub fn unread(&self) -> usize {
        self.socket.recv_queue()
    }

    /// Whether bytes can still be sent: connected and not closed on this side.
    pub fn may_send(&self) -> bool {
        self.socket.may_send()
    }

    /// Whether bytes wait to be read or may still come. `false` is the end of the stream.
    pub fn may_recv(&self) -> bool {
        self.socket.may_recv() || self.socket.can_recv() || !self.is_connected()
    }

    /// Whether the handshake is over (also true after the connection has ended).
    pub fn is_connected(&self) -> bool {
        !matches!(self.state(), State::Listen | State::SynSent | State::SynReceived)
    }

    /// Bytes sent that the peer has not acknowledged yet.
    pub fn unacknowledged(&self) -> usize {
        self.socket.send_queue()
    }

    /// How far the connection has come.
    pub fn outcome(&self) -> Outcome {
        self.session.outcome()
    }

    /// State of the connection (RFC 9293 section 3.3.2).
    pub fn state(&self) -> State {
        self.socket.state()
    }

    /// The other end, once connected.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.session.peer().or_else(|| self.socket.remote_endpoint().map(SocketAddr::from))
    }

    /// Ends this side's stream after what was sent: a FIN. Receiving goes on.
    pub fn close(&mut self) {
        self.socket.close();
    }

    /// Ends the connection at once: a reset. What was not acknowledged is lost.
    pub fn abort(&mut self) {
        self.socket.abort();
    }
}
