//! The host's TCP sockets: who listens, who connects, what became of it.

use super::SmolHost;
use crate::config::{HostError, SOCKETS_MAX};
use crate::session::{Outcome, Service, Session, Stream, StreamReport};
use crate::tcp::{TcpConn, TcpHandle};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};
use smoltcp::time::Duration;
use smoltcp::wire::IpEndpoint;
use std::net::SocketAddr;

/// Reports of served connections kept until the caller takes them; older ones go first.
const SERVED_MAX: usize = 256;
/// First ephemeral port (RFC 6335 section 6).
const EPHEMERAL: u16 = 49152;

impl SmolHost {
    /// Serves `service` on TCP port `port` with `backlog` sockets: so many connections at a time,
    /// further ones are reset. May be called for any number of ports.
    pub fn serve(&mut self, port: u16, service: Service, backlog: usize) -> Result<(), HostError> {
        if self.sessions.len() + backlog > SOCKETS_MAX {
            return Err(HostError::TooManySockets);
        }
        for _ in 0..backlog {
            let mut socket = self.new_socket();
            socket.listen(port).map_err(|_| HostError::PortZero)?;
            let handle = self.sockets.add(socket);
            self.sessions.push(Session::serving(handle, port, service));
        }
        Ok(())
    }

    /// Connects and sends `stream`, reads whatever comes back, and closes. What it came to is in
    /// [`stream_report`](Self::stream_report).
    pub fn connect(&mut self, remote: SocketAddr, stream: Stream) -> Result<TcpHandle, HostError> {
        self.dial(remote, |socket, port| Session::sending(socket, port, stream))
    }

    /// Connects for a caller that reads and writes itself, through [`tcp`](Self::tcp).
    pub fn open(&mut self, remote: SocketAddr) -> Result<TcpHandle, HostError> {
        self.dial(remote, Session::manual)
    }

    /// The next connection to a port served with [`Service::Accept`] that was not handed out yet.
    /// To be given back with [`release`](Self::release).
    pub fn accept(&mut self, port: u16) -> Option<TcpHandle> {
        let ready = |session: &Session| {
            session.listen == Some((port, Service::Accept))
                && session.has_started()
                && !session.accepted
                && !session.is_given_up()
        };
        let index = self.sessions.iter().position(ready)?;
        self.sessions[index].accepted = true;
        Some(TcpHandle { index: index as u32, generation: self.sessions[index].generation })
    }

    /// The byte stream of a connection opened or accepted by the caller; `None` for any other and
    /// for one that was released.
    pub fn tcp(&mut self, handle: TcpHandle) -> Option<TcpConn<'_>> {
        let session = current(&mut self.sessions, handle)?;
        if !session.is_manual() || !session.accepted {
            return None;
        }
        Some(TcpConn { socket: self.sockets.get_mut(session.socket), session })
    }

    /// What a connection of this host's own ([`connect`](Self::connect), [`open`](Self::open),
    /// [`accept`](Self::accept)) has come to; `None` for one that was released.
    pub fn stream_report(&self, handle: TcpHandle) -> Option<StreamReport> {
        let session = self.sessions.get(handle.index as usize)?;
        (session.generation == handle.generation).then(|| session.report())
    }

    /// Gives a connection up: resets it if it is still open, frees its socket for the next one.
    pub fn release(&mut self, handle: TcpHandle) {
        let now_ns = self.now_ns;
        let Some(session) = current(&mut self.sessions, handle) else { return };
        let socket = self.sockets.get_mut::<Socket<'static>>(session.socket);
        if !matches!(socket.state(), State::TimeWait | State::Closed) {
            socket.abort();
        }
        session.give_up(now_ns);
    }

    /// Connections served since the last call that have ended, oldest first, at most the last 256.
    /// Those of [`Service::Accept`] are the caller's own and not among them.
    pub fn take_served(&mut self) -> Vec<StreamReport> {
        self.served.drain(..).collect()
    }

    /// Connections served that are open now.
    pub fn serving(&self) -> impl Iterator<Item = StreamReport> + '_ {
        let open = |s: &&Session| s.listen.is_some() && s.outcome() == Outcome::Open;
        self.sessions.iter().filter(open).filter(|s| s.has_started()).map(Session::report)
    }

    /// Moves every stream on; `true` if the stack has something new to send.
    pub(super) fn run_sessions(&mut self) -> bool {
        let mut moved = false;
        for session in &mut self.sessions {
            let socket = self.sockets.get_mut::<Socket<'static>>(session.socket);
            moved |= session.step(socket, &mut self.room, self.now_ns);
            let Some((port, _)) = session.listen else { continue };
            let over = session.outcome() != Outcome::Open && !session.accepted;
            if over && is_silent(socket, session, self.now_ns) {
                if session.has_started() && !session.is_manual() {
                    if self.served.len() == SERVED_MAX {
                        self.served.pop_front();
                    }
                    self.served.push_back(session.report());
                }
                session.renew();
                // Cannot fail: the port is not 0 and the socket is closed.
                let _ = socket.listen(port);
            }
        }
        moved
    }

    fn new_socket(&self) -> Socket<'static> {
        let buffer = || SocketBuffer::new(vec![0; self.config.tcp_buffer]);
        let mut socket = Socket::new(buffer(), buffer());
        let timeout = Duration::from(self.config.tcp_timeout);
        socket.set_timeout(Some(timeout));
        socket.set_keep_alive(Some(timeout / 3));
        socket.set_ack_delay(self.config.ack_delay.map(Duration::from));
        socket.set_nagle_enabled(false);
        socket.set_congestion_control(if self.config.congestion_control {
            CongestionControl::Reno
        } else {
            CongestionControl::None
        });
        socket
    }

    fn dial(
        &mut self,
        remote: SocketAddr,
        session: impl FnOnce(SocketHandle, u16) -> Session,
    ) -> Result<TcpHandle, HostError> {
        let vacant = self.vacant();
        if vacant.is_none() && self.sessions.len() >= SOCKETS_MAX {
            return Err(HostError::TooManySockets);
        }
        if !self.has_address_like(remote.ip()) {
            return Err(HostError::Unaddressable(remote));
        }
        let port = self.ephemeral_port();
        let mut socket = self.new_socket();
        socket
            .connect(self.interface.context(), IpEndpoint::from(remote), port)
            .map_err(|_| HostError::Unaddressable(remote))?;
        let handle = self.sockets.add(socket);
        let mut session = session(handle, port);
        let index = if let Some(index) = vacant {
            let old = &self.sessions[index];
            session.generation = old.generation;
            self.sockets.remove(old.socket);
            self.sessions[index] = session;
            index
        } else {
            self.sessions.push(session);
            self.sessions.len() - 1
        };
        let generation = self.sessions[index].generation;
        Ok(TcpHandle { index: index as u32, generation })
    }

    /// A released session whose socket has nothing left to say.
    fn vacant(&self) -> Option<usize> {
        self.sessions.iter().position(|session| {
            let socket = self.sockets.get::<Socket<'static>>(session.socket);
            session.is_released() && is_silent(socket, session, self.now_ns)
        })
    }

    /// The next ephemeral port that no session uses. There are more ports than sessions.
    fn ephemeral_port(&mut self) -> u16 {
        loop {
            let port = self.next_port;
            self.next_port = if port == u16::MAX { EPHEMERAL } else { port + 1 };
            if self.sessions.iter().all(|session| session.local_port() != port) {
                return port;
            }
        }
    }
}

/// Whether a closed socket has nothing left to say. An aborted one still has its reset to send and
/// is given a second for it: its peer may be one that no ARP request finds.
fn is_silent(socket: &Socket<'_>, session: &Session, now_ns: i64) -> bool {
    let waited_ns = now_ns - session.ended_ns().unwrap_or(now_ns);
    socket.state() == State::Closed
        && (socket.remote_endpoint().is_none() || waited_ns >= 1_000_000_000)
}

fn current(sessions: &mut [Session], handle: TcpHandle) -> Option<&mut Session> {
    sessions.get_mut(handle.index as usize).filter(|s| s.generation == handle.generation)
}
