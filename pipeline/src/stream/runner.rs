//! What the thread of a path does.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::time::{Duration, Instant};

use guest::{Service, SmolHost};
use skb::arch::{TickRate, ticks};
use skb::trace::Tracer;
use skb::{PortId, RxStatus};

use super::door::{Door, wire};
use super::end::{CLOSE, CONNECTED, Conn, Failure, PathStream};
use super::listener::Queue;
use super::live::Live;
use super::report::{PathReport, Shares};
use crate::endpoint::Endpoint;
use crate::engine::{Engine, Port};

/// The longest sleep: nothing is due before.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// The shortest, where a stack says that it is due and does nothing.
const SLEEP_MIN: Duration = Duration::from_micros(200);
/// Connections that nobody takes from a listener are not kept beyond this.
const QUEUE_MAX: usize = 1024;

/// What its users want of it.
pub(super) enum Command {
    Open { port: PortId, remote: SocketAddr, live: Box<Live> },
    Listen { port: PortId, tcp_port: u16, backlog: usize, queue: Arc<Queue>, reply: Reply<()> },
    Report { reply: SyncSender<PathReport> },
    Stop { grace: Duration },
}

/// Where the answer goes.
type Reply<T> = SyncSender<io::Result<T>>;

struct Listening {
    port: PortId,
    tcp_port: u16,
    queue: Arc<Queue>,
}

/// The path in its thread.
pub(super) struct Runner<T: Tracer> {
    engine: Engine<T>,
    inbox: Receiver<Command>,
    door: Arc<Door>,
    pipe_bytes: usize,
    /// The port that leads out of the process.
    wire: Option<PortId>,
    live: Vec<Live>,
    listening: Vec<Listening>,
    start: Instant,
    rate: TickRate,
    /// In ticks.
    shares: Shares,
    bytes: (u64, u64),
    connections: u64,
    /// Until when connections may finish.
    until: Option<Instant>,
    quiet: u32,
}

impl<T: Tracer> Runner<T> {
    pub(super) fn new(
        engine: Engine<T>,
        inbox: Receiver<Command>,
        door: Arc<Door>,
        pipe_bytes: usize,
    ) -> Self {
        Self {
            wire: wire(&engine),
            engine,
            inbox,
            door,
            pipe_bytes,
            live: Vec::new(),
            listening: Vec::new(),
            start: Instant::now(),
            rate: TickRate::start(),
            shares: Shares::default(),
            bytes: (0, 0),
            connections: 0,
            until: None,
            quiet: 0,
        }
    }

    pub(super) fn run(mut self) -> PathReport {
        while self.is_wanted() {
            self.look_at_wire();
            let begun = ticks();
            let mut moved = self.obey();
            let obeyed = ticks();
            let now = self.now_ns();
            moved |= self.engine.take_in_hosts(now);
            let taken = ticks();
            // between the halves: what is read now is room that the acknowledgements grant
            moved |= self.accept();
            moved |= self.serve();
            let served = ticks();
            moved |= self.engine.send_out_hosts(now);
            let sent = ticks();
            moved |= self.engine.poll() == RxStatus::Active;
            let ran = |from: u64, to: u64| to.saturating_sub(from) as f64;
            self.shares.hand_over += ran(begun, obeyed) + ran(taken, served);
            self.shares.stack += ran(obeyed, taken) + ran(served, sent);
            for live in &mut self.live {
                live.ring(!moved);
            }
            // what a stack has just noticed is for the next turn: only a second one is quiet
            let settled = self.quiet > 0 || self.live.is_empty();
            if moved {
                self.quiet = 0;
            } else if self.door.take() || !settled {
                self.quiet = 1;
            } else {
                self.rest();
            }
        }
        self.end()
    }

    fn is_wanted(&self) -> bool {
        let Some(until) = self.until else { return true };
        !self.live.is_empty() && Instant::now() < until
    }

    fn now_ns(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    fn host(&mut self, port: PortId) -> Option<&mut SmolHost> {
        host(&mut self.engine, port)
    }

    fn obey(&mut self) -> bool {
        let mut any = false;
        loop {
            match self.inbox.try_recv() {
                Ok(command) => {
                    any = true;
                    self.do_one(command);
                }
                Err(TryRecvError::Empty) => return any,
                Err(TryRecvError::Disconnected) => {
                    self.until.get_or_insert_with(Instant::now);
                    return any;
                }
            }
        }
    }

    fn do_one(&mut self, command: Command) {
        match command {
            Command::Open { port, remote, mut live } => {
                let opened = match self.host(port) {
                    Some(host) => host.open(remote).map_err(|error| error.to_string()),
                    None => Err(format!("{port} has no guest with a stack")),
                };
                match opened {
                    Ok(handle) => {
                        live.handle = Some(handle);
                        self.connections += 1;
                        self.live.push(*live);
                    }
                    Err(why) => live.conn.fail(Failure::Unable(why)),
                }
            }
            Command::Listen { port, tcp_port, backlog, queue, reply } => {
                let served = match self.host(port) {
                    Some(host) => host
                        .serve(tcp_port, Service::Accept, backlog)
                        .map_err(|error| io::Error::new(ErrorKind::InvalidInput, error)),
                    None => Err(io::Error::new(ErrorKind::NotFound, format!("{port}: no guest"))),
                };
                if served.is_ok() {
                    self.listening.push(Listening { port, tcp_port, queue });
                }
                // whoever asked may have gone
                let _ = reply.send(served);
            }
            Command::Report { reply } => {
                let _ = reply.send(self.report());
            }
            Command::Stop { grace } => {
                self.until = Some(Instant::now() + grace);
                for live in &self.live {
                    if !live.conn.is_asked(CLOSE) {
                        live.conn.fail(Failure::Stopped);
                    }
                }
                self.live.retain(|live| live.conn.is_asked(CLOSE));
            }
        }
    }

    /// Takes connections that were made to ports that are served.
    fn accept(&mut self) -> bool {
        let before = self.live.len();
        for listening in &self.listening {
            let Some(host) = host(&mut self.engine, listening.port) else { continue };
            while let Some(handle) = host.accept(listening.tcp_port) {
                let full = listening.queue.len() >= QUEUE_MAX || self.until.is_some();
                if full || listening.queue.is_gone() {
                    host.release(handle);
                    continue;
                }
                let (conn, outgoing, incoming) = Conn::new(self.pipe_bytes, self.door.clone());
                if let Some(peer) = host.tcp(handle).and_then(|tcp| tcp.peer()) {
                    conn.set_peer(peer);
                }
                conn.tell(CONNECTED);
                let mut live = Live::new(listening.port, conn.clone(), outgoing, incoming);
                live.handle = Some(handle);
                self.live.push(live);
                self.connections += 1;
                listening.queue.put(PathStream::new(conn));
            }
        }
        self.live.len() > before
    }

    /// Moves bytes between pipes and sockets, and takes leave of connections that are over.
    fn serve(&mut self) -> bool {
        let mut moved = false;
        let mut at = 0;
        while at < self.live.len() {
            let live = &mut self.live[at];
            let host = host(&mut self.engine, live.port);
            let (bytes, over) = host.map_or(((0, 0), true), |host| live.step(host));
            moved |= over || bytes.0 + bytes.1 > 0;
            self.bytes.0 += bytes.0;
            self.bytes.1 += bytes.1;
            if over {
                self.live.swap_remove(at);
            } else {
                at += 1;
            }
        }
        moved
    }

    /// Nothing moved: sleeps until somebody rings or a stack is due.
    fn rest(&mut self) {
        let now = self.now_ns();
        let mut sleep = SLEEP_MAX;
        for index in 0..self.engine.ports().len() {
            if let Some(host) = self.host(PortId(index as u8))
                && let Some(due) = host.next_poll_ns()
            {
                let left = u64::try_from(due.saturating_sub(now)).unwrap_or(0);
                sleep = sleep.min(Duration::from_nanos(left));
            }
        }
        self.quiet += 1;
        if self.quiet > 3 {
            sleep = sleep.max(SLEEP_MIN);
        }
        if let Some(until) = self.until {
            sleep = sleep.min(until.saturating_duration_since(Instant::now()));
        }
        if sleep.is_zero() {
            return;
        }
        // whom it waits for is what holds now, not when somebody has come
        let whom = self.waits_for();
        let begun = ticks();
        self.sleep(sleep);
        *whom(&mut self.shares) += ticks().saturating_sub(begun) as f64;
    }

    fn sleep(&mut self, time: Duration) {
        #[cfg(target_os = "linux")]
        if let Some(port) = self.wire
            && let Some((port, _)) = self.engine.port_and_pool(port)
            && let Endpoint::Wire(nic) = port.endpoint_mut()
        {
            return self.door.wait_outside(|| nic.wait(time));
        }
        self.door.wait(time);
    }

    /// Without its interface a path carries nothing: who uses it is told.
    fn look_at_wire(&mut self) {
        #[cfg(target_os = "linux")]
        if self.until.is_none()
            && let Some(port) = self.wire
            && let Some(Endpoint::Wire(nic)) = self.engine.port(port).map(Port::endpoint)
            && let Some(why) = nic.error()
        {
            for live in self.live.drain(..) {
                live.conn.fail(Failure::Wire(why.to_owned()));
            }
            self.until = Some(Instant::now());
        }
    }

    fn waits_for(&self) -> fn(&mut Shares) -> &mut f64 {
        if self.live.is_empty() {
            |shares| &mut shares.idle
        } else if self.live.iter().any(|live| live.incoming.is_full()) {
            |shares| &mut shares.sink
        } else if self.live.iter().any(|live| live.unacknowledged > 0) {
            |shares| &mut shares.wire
        } else {
            |shares| &mut shares.source
        }
    }

    fn report(&self) -> PathReport {
        let ns = self.rate.ns_per_tick();
        let Shares { source, sink, wire, idle, hand_over, stack, .. } = self.shares;
        let waiting = self.engine.ports().iter().map(Port::waiting_high);
        PathReport {
            ledger: self.engine.ledger(),
            latencies: self.engine.histograms().latencies(ns),
            shares: Shares {
                source: source * ns,
                sink: sink * ns,
                wire: wire * ns,
                idle: idle * ns,
                hand_over: hand_over * ns,
                stack: stack * ns,
                stages: self.engine.histograms().busy_ns(ns),
            },
            seconds: self.start.elapsed().as_secs_f64(),
            bytes: self.bytes,
            connections: self.connections,
            waiting_high: waiting.max().unwrap_or(0),
            host_edges: self.engine.switch().graph().host_edges(),
        }
    }

    fn end(mut self) -> PathReport {
        for live in self.live.drain(..) {
            live.conn.fail(Failure::Stopped);
        }
        for listening in self.listening.drain(..) {
            listening.queue.end();
        }
        self.engine.shut_down();
        self.report()
    }
}

fn host<T: Tracer>(engine: &mut Engine<T>, port: PortId) -> Option<&mut SmolHost> {
    match engine.port_and_pool(port)?.0.endpoint_mut() {
        Endpoint::Host(host) => Some(host),
        _ => None,
    }
}
