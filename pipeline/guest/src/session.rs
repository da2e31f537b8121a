//! What runs over one TCP connection of a host, and what it came to.

use crate::digest::StreamDigest;
use crate::pattern::Pattern;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, State};
use std::net::SocketAddr;

/// A stream of test bytes: [`Pattern`] of `seed`, `bytes` long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// Length in bytes.
    pub bytes: u64,
    /// Seed of the [`Pattern`].
    pub seed: u64,
}

impl Stream {
    /// The digest that both ends must report, found without sending anything.
    pub fn digest(self) -> u64 {
        let mut digest = StreamDigest::default();
        let mut buffer = [0; 4096];
        let mut position = 0;
        while position < self.bytes {
            let len = (self.bytes - position).min(buffer.len() as u64) as usize;
            Pattern::new(self.seed).fill(position, &mut buffer[..len]);
            digest.update(&buffer[..len]);
            position += len as u64;
        }
        digest.value()
    }
}

/// What a host serves on a TCP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Sends back what it receives (RFC 862).
    Echo,
    /// Receives, digests and throws away (RFC 863).
    Discard,
    /// Sends a stream, then closes.
    Source(Stream),
    /// Waits for [`SmolHost::accept`](crate::SmolHost::accept): the caller reads and writes.
    Accept,
}

/// One direction of a connection, as one end saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// TCP payload bytes.
    pub bytes: u64,
    /// [`StreamDigest`] of them; `None` where the caller reads and writes itself.
    pub digest: Option<u64>,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Waiting for a peer, or running.
    Open,
    /// Both ends have closed and everything sent was acknowledged.
    Complete,
    /// Refused, reset or timed out.
    Reset,
}

/// What one end of a connection did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamReport {
    /// This end's port.
    pub local_port: u16,
    /// The other end, once connected.
    pub peer: Option<SocketAddr>,
    /// Bytes handed to the stack for sending.
    pub sent: Flow,
    /// Bytes received in order.
    pub received: Flow,
    /// When the connection was established, on the caller's clock, nanoseconds.
    pub started_ns: Option<i64>,
    /// When it ended, on the caller's clock, nanoseconds.
    pub ended_ns: Option<i64>,
    /// How far it has come.
    pub outcome: Outcome,
}

impl StreamReport {
    /// Seconds from established to ended, on the caller's clock.
    pub fn seconds(&self) -> Option<f64> {
        Some((self.ended_ns? - self.started_ns?) as f64 / 1e9)
    }
}

/// Who reads and writes.
#[derive(Debug, Clone, Copy)]
enum Job {
    Echo,
    Discard,
    Send(Stream),
    Manual,
}

impl From<Service> for Job {
    fn from(service: Service) -> Self {
        match service {
            Service::Echo => Self::Echo,
            Service::Discard => Self::Discard,
            Service::Source(stream) => Self::Send(stream),
            Service::Accept => Self::Manual,
        }
    }
}

/// One socket and what runs over it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) socket: SocketHandle,
    /// Counts the connections this socket has had, so that an old handle is known as old.
    pub(crate) generation: u32,
    /// What it goes back to when a connection is over.
    pub(crate) listen: Option<(u16, Service)>,
    /// Handed to the caller, who must release it.
    pub(crate) accepted: bool,
    released: bool,
    job: Job,
    sent: Half,
    received: Half,
    local_port: u16,
    peer: Option<SocketAddr>,
    started_ns: Option<i64>,
    ended_ns: Option<i64>,
    outcome: Outcome,
    last: State,
}

#[derive(Debug, Default)]
pub(crate) struct Half {
    pub(crate) bytes: u64,
    digest: StreamDigest,
}

impl Half {
    fn take(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.digest.update(bytes);
    }
}

impl Session {
    pub(crate) fn serving(socket: SocketHandle, port: u16, service: Service) -> Self {
        Self { listen: Some((port, service)), ..Self::new(socket, port, service.into()) }
    }

    pub(crate) fn sending(socket: SocketHandle, port: u16, stream: Stream) -> Self {
        Self::new(socket, port, Job::Send(stream))
    }

    pub(crate) fn manual(socket: SocketHandle, port: u16) -> Self {
        Self { accepted: true, ..Self::new(socket, port, Job::Manual) }
    }

    fn new(socket: SocketHandle, local_port: u16, job: Job) -> Self {
        Self {
            socket,
            generation: 0,
            listen: None,
            accepted: false,
            released: false,
            job,
            sent: Half::default(),
            received: Half::default(),
            local_port,
            peer: None,
            started_ns: None,
            ended_ns: None,
            outcome: Outcome::Open,
            last: State::Closed,
        }
    }

    /// Ready for the next connection on the same port; older handles are void.
    pub(crate) fn renew(&mut self) {
        if let Some((port, service)) = self.listen {
            let generation = self.generation.wrapping_add(1);
            *self = Self { generation, ..Self::serving(self.socket, port, service) };
        }
    }

    /// The caller is done with it: its handle is void, its socket free once it has fallen silent.
    pub(crate) fn give_up(&mut self, now_ns: i64) {
        self.generation = self.generation.wrapping_add(1);
        self.accepted = false;
        if self.outcome == Outcome::Open {
            self.end(Outcome::Reset, now_ns);
        }
        self.released = true;
    }

    /// Released by its caller, and not yet ready for the next connection.
    pub(crate) fn is_given_up(&self) -> bool {
        self.released
    }

    pub(crate) fn is_released(&self) -> bool {
        self.released && self.listen.is_none()
    }

    pub(crate) fn is_manual(&self) -> bool {
        matches!(self.job, Job::Manual)
    }

    pub(crate) fn has_started(&self) -> bool {
        self.started_ns.is_some()
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.outcome
    }

    pub(crate) fn ended_ns(&self) -> Option<i64> {
        self.ended_ns
    }

    pub(crate) fn local_port(&self) -> u16 {
        self.local_port
    }

    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Counts bytes the caller moved.
    pub(crate) fn moved(&mut self, sent: usize, received: usize) {
        self.sent.bytes += sent as u64;
        self.received.bytes += received as u64;
    }

    pub(crate) fn report(&self) -> StreamReport {
        let flow = |half: &Half| Flow {
            bytes: half.bytes,
            digest: (!self.is_manual()).then(|| half.digest.value()),
        };
        StreamReport {
            local_port: self.local_port,
            peer: self.peer,
            sent: flow(&self.sent),
            received: flow(&self.received),
            started_ns: self.started_ns,
            ended_ns: self.ended_ns,
            outcome: self.outcome,
        }
    }

    /// Does what can be done now. `true` if the stack has something new to send or to say.
    pub(crate) fn step(&mut self, socket: &mut Socket<'_>, room: &mut [u8], now_ns: i64) -> bool {
        if self.outcome != Outcome::Open || !self.begin(socket, now_ns) {
            return false;
        }
        let before = (self.sent.bytes, self.received.bytes, socket.state());
        match self.job {
            Job::Echo => self.echo(socket, room),
            Job::Discard => {
                self.receive(socket);
                close_after_peer(socket);
            }
            Job::Send(stream) => {
                self.receive(socket);
                self.send(socket, stream);
            }
            Job::Manual => {}
        }
        let moved = before != (self.sent.bytes, self.received.bytes, socket.state());
        self.note_end(socket, now_ns);
        moved
    }

    /// `true` once the connection is established.
    fn begin(&mut self, socket: &Socket<'_>, now_ns: i64) -> bool {
        if self.started_ns.is_some() {
            return true;
        }
        match socket.state() {
            State::Listen | State::SynSent | State::SynReceived => false,
            State::Closed => {
                self.end(Outcome::Reset, now_ns);
                false
            }
            _ => {
                self.started_ns = Some(now_ns);
                self.peer = socket.remote_endpoint().map(SocketAddr::from);
                true
            }
        }
    }

    /// TIME-WAIT says that both ends have closed; so does CLOSED after LAST-ACK with nothing left
    /// unacknowledged. CLOSED from anywhere else is a reset or a timeout.
    fn note_end(&mut self, socket: &Socket<'_>, now_ns: i64) {
        let state = socket.state();
        let acked = socket.send_queue() == 0;
        match state {
            State::TimeWait => self.end(Outcome::Complete, now_ns),
            State::Closed if self.last == State::LastAck && acked => {
                self.end(Outcome::Complete, now_ns);
            }
            State::Closed => self.end(Outcome::Reset, now_ns),
            _ => {}
        }
        self.last = state;
    }

    fn end(&mut self, outcome: Outcome, now_ns: i64) {
        self.outcome = outcome;
        self.ended_ns = Some(now_ns);
    }

    fn receive(&mut self, socket: &mut Socket<'_>) {
        while socket.can_recv() {
            let took = socket.recv(|bytes| {
                self.received.take(bytes);
                (bytes.len(), bytes.len())
            });
            if !matches!(took, Ok(1..)) {
                break;
            }
        }
    }

    fn send(&mut self, socket: &mut Socket<'_>, stream: Stream) {
        while self.sent.bytes < stream.bytes && socket.can_send() {
            let gave = socket.send(|room| {
                let left = stream.bytes - self.sent.bytes;
                let len = left.min(room.len() as u64) as usize;
                Pattern::new(stream.seed).fill(self.sent.bytes, &mut room[..len]);
                self.sent.take(&room[..len]);
                (len, len)
            });
            if !matches!(gave, Ok(1..)) {
                break;
            }
        }
        if self.sent.bytes == stream.bytes {
            close_once(socket);
        }
    }

    fn echo(&mut self, socket: &mut Socket<'_>, room: &mut [u8]) {
        while socket.can_recv() && socket.can_send() {
            let len = (socket.send_capacity() - socket.send_queue()).min(room.len());
            let Ok(len @ 1..) = socket.recv_slice(&mut room[..len]) else { break };
            self.received.take(&room[..len]);
            let sent = socket.send_slice(&room[..len]).unwrap_or(0);
            self.sent.take(&room[..sent]);
        }
        close_after_peer(socket);
    }
}

/// Closes when the peer has closed and everything it sent has been taken.
fn close_after_peer(socket: &mut Socket<'_>) {
    if !socket.may_recv() && !socket.can_recv() {
        close_once(socket);
    }
}

fn close_once(socket: &mut Socket<'_>) {
    if socket.may_send() {
        socket.close();
    }
}
