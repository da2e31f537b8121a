//! A connection's bytes, between the pipes of its user and the socket of a guest.

use std::sync::Arc;
use std::time::{Duration, Instant};

use guest::{Outcome, SmolHost, TcpConn, TcpHandle, TcpState};
use rtrb::{Consumer, Producer};
use skb::PortId;

use super::end::{ABORT, CLOSE, CONNECTED, Conn, DEAF, ENDED, Failure, OVER};

/// A connection that nobody here uses any more, and that the peer does not close.
const ORPHAN: Duration = Duration::from_mins(1);

/// A connection as the pump has it.
pub(super) struct Live {
    pub(super) port: PortId,
    pub(super) handle: Option<TcpHandle>,
    pub(super) conn: Arc<Conn>,
    outgoing: Consumer<u8>,
    pub(super) incoming: Producer<u8>,
    /// The user waits, or may, for what was moved since the last ring.
    owes_room: bool,
    owes_bytes: bool,
    closed_at: Option<Instant>,
    /// When bytes last moved or were acknowledged, and how many were not.
    heard: Instant,
    pub(super) unacknowledged: usize,
}

impl Live {
    /// One that has no socket yet.
    pub(super) fn new(
        port: PortId,
        conn: Arc<Conn>,
        outgoing: Consumer<u8>,
        incoming: Producer<u8>,
    ) -> Self {
        Self {
            port,
            handle: None,
            conn,
            outgoing,
            incoming,
            owes_room: false,
            owes_bytes: false,
            closed_at: None,
            heard: Instant::now(),
            unacknowledged: 0,
        }
    }

    /// From the socket into the pipe; bytes moved.
    fn receive(&mut self, tcp: &mut TcpConn<'_>) -> u64 {
        let deaf = self.conn.is_asked(DEAF);
        let mut moved = 0;
        while deaf || self.incoming.slots() > 0 {
            let incoming = &mut self.incoming;
            let taken = tcp.recv_with(|bytes| {
                if deaf { bytes.len() } else { incoming.push_partial_slice(bytes).0.len() }
            });
            if taken == 0 {
                break;
            }
            moved += taken as u64;
        }
        self.owes_bytes |= moved > 0;
        moved
    }

    /// From the pipe into the socket; bytes moved.
    fn send(&mut self, tcp: &mut TcpConn<'_>) -> u64 {
        let mut moved = 0;
        while tcp.may_send() {
            let Ok(chunk) = self.outgoing.read_chunk(self.outgoing.slots()) else { break };
            let sent = tcp.send(chunk.as_slices().0);
            if sent == 0 {
                break;
            }
            chunk.commit(sent);
            moved += sent as u64;
        }
        self.owes_room |= moved > 0;
        moved
    }

    /// Wakes the user where enough has come together, or all there is.
    pub(super) fn ring(&mut self, all: bool) {
        let enough = self.incoming.buffer().capacity() / 4;
        let capacity = self.incoming.buffer().capacity();
        if self.owes_bytes && (all || capacity - self.incoming.slots() >= enough) {
            self.owes_bytes = false;
            self.conn.bytes.ring();
        }
        if self.owes_room && (all || capacity - self.outgoing.slots() >= enough) {
            self.owes_room = false;
            self.conn.room.ring();
        }
    }

    /// One turn: bytes sent and received, and whether it is over.
    pub(super) fn step(&mut self, host: &mut SmolHost) -> ((u64, u64), bool) {
        let Some(handle) = self.handle else { return ((0, 0), true) };
        let patience = host.config().tcp_timeout;
        let Some(mut tcp) = host.tcp(handle) else {
            self.conn.fail(Failure::Reset);
            return ((0, 0), true);
        };
        let conn = self.conn.clone();
        if conn.is_asked(ABORT) {
            host.release(handle);
            conn.fail(Failure::Stopped);
            return ((0, 0), true);
        }
        let outcome = tcp.outcome();
        if outcome == Outcome::Open && !tcp.is_connected() {
            return ((0, 0), false);
        }
        if outcome != Outcome::Reset && !conn.has_told(CONNECTED) {
            conn.tell(CONNECTED);
        }
        // asked before the pipe is looked at: what was written before is in it
        let close = conn.is_asked(CLOSE);
        let moved = (self.send(&mut tcp), self.receive(&mut tcp));
        let unacknowledged = tcp.unacknowledged();
        if moved != (0, 0) || unacknowledged != self.unacknowledged {
            self.heard = Instant::now();
            self.unacknowledged = unacknowledged;
        }
        if close && self.outgoing.is_empty() && self.closed_at.is_none() {
            tcp.close();
            self.closed_at = Some(Instant::now());
        }
        let unread = tcp.unread();
        // a closed socket whose end the host has not judged yet may have been reset
        let ended = match outcome {
            Outcome::Open => tcp.state() != TcpState::Closed,
            Outcome::Complete => true,
            Outcome::Reset => false,
        };
        if ended && !tcp.may_recv() && !conn.has_told(ENDED) {
            conn.tell(ENDED);
        }
        let orphan = conn.is_asked(DEAF) && self.closed_at.is_some_and(|at| at.elapsed() > ORPHAN);
        match outcome {
            Outcome::Open if !orphan => return (moved, false),
            _ if unread > 0 && !conn.is_asked(DEAF) => return (moved, false),
            Outcome::Complete => conn.tell(OVER | ENDED),
            Outcome::Reset if self.heard.elapsed() >= patience => {
                conn.fail(Failure::Silent(patience));
            }
            Outcome::Reset if !conn.has_told(CONNECTED) => conn.fail(Failure::Refused),
            _ => conn.fail(Failure::Reset),
        }
        host.release(handle);
        (moved, true)
    }
}
