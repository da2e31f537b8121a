//! The thread that runs the path, and the bytes in and out of its guests.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use guest::{Outcome, Service, SmolHost, TcpConn, TcpHandle, TcpState};
use rtrb::{Consumer, Producer};
use skb::arch::{TickRate, ticks};
use skb::trace::Tracer;
use skb::{PortId, RxStatus};

use super::bell::Bell;
pub(super) use super::door::Door;
use super::end::{ABORT, CLOSE, CONNECTED, Conn, DEAF, ENDED, Failure, OVER, PathStream};
use super::report::{PathReport, Shares};
use crate::endpoint::Endpoint;
use crate::engine::{Engine, Port};

/// The longest sleep: nothing is due before.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// The shortest, where a stack says that it is due and does nothing.
const SLEEP_MIN: Duration = Duration::from_micros(200);
/// Connections that ended and were not taken by [`PathListener::accept`] are not kept beyond this.
const QUEUE_MAX: usize = 1024;
/// A connection that nobody here uses any more, and that the peer does not close.
const ORPHAN: Duration = Duration::from_mins(1);

enum Command {
    Open { port: PortId, remote: SocketAddr, live: Box<Live> },
    Listen { port: PortId, tcp_port: u16, backlog: usize, queue: Arc<Queue>, reply: Reply<()> },
    Report { reply: SyncSender<PathReport> },
    Stop { grace: Duration },
}

type Reply<T> = SyncSender<io::Result<T>>;

/// A path with a thread that runs it; see the module text.
#[derive(Debug)]
pub struct Pump {
    commands: Sender<Command>,
    door: Arc<Door>,
    pipe_bytes: usize,
    thread: Option<JoinHandle<PathReport>>,
}

impl Pump {
    /// Starts a thread that runs `engine` until [`stop`](Self::stop). Each connection gets two
    /// pipes of `pipe_bytes`.
    pub fn start<T>(engine: Engine<T>, pipe_bytes: usize) -> io::Result<Self>
    where
        T: Tracer + Send + 'static,
    {
        let (commands, inbox) = channel();
        let door = Arc::new(door(&engine));
        let runner = Runner::new(engine, inbox, door.clone(), pipe_bytes);
        let thread = std::thread::Builder::new().name("path".into()).spawn(|| runner.run())?;
        Ok(Self { commands, door, pipe_bytes, thread: Some(thread) })
    }

    fn say(&self, command: Command) -> io::Result<()> {
        self.commands.send(command).map_err(|_| stopped())?;
        self.door.ring();
        Ok(())
    }

    /// Connects the guest at `port` to `remote`, waiting at most `timeout`.
    ///
    /// # Errors
    /// Nobody answers, nobody serves that port, or the guest has no such address to speak from.
    pub fn connect(
        &self,
        port: PortId,
        remote: SocketAddr,
        timeout: Duration,
    ) -> io::Result<PathStream> {
        let (conn, outgoing, incoming) = Conn::new(self.pipe_bytes, self.door.clone());
        conn.set_peer(remote);
        let live = Box::new(Live::new(port, conn.clone(), outgoing, incoming));
        let stream = PathStream::new(conn);
        self.say(Command::Open { port, remote, live })?;
        stream.connected(timeout)
    }

    /// Lets the guest at `port` serve `tcp_port`: at most `backlog` connections at a time, further
    /// ones are reset.
    ///
    /// # Errors
    /// No guest is there, or it has no sockets left.
    pub fn listen(&self, port: PortId, tcp_port: u16, backlog: usize) -> io::Result<PathListener> {
        let queue = Arc::new(Queue::default());
        let (reply, answer) = sync_channel(1);
        self.say(Command::Listen { port, tcp_port, backlog, queue: queue.clone(), reply })?;
        answer.recv().map_err(|_| stopped())??;
        Ok(PathListener { queue })
    }

    /// What the path has done so far.
    pub fn report(&self) -> io::Result<PathReport> {
        let (reply, answer) = sync_channel(1);
        self.say(Command::Report { reply })?;
        answer.recv().map_err(|_| stopped())
    }

    /// Stops it: connections that their users have dropped get `grace` to send what was written
    /// and to close, the others end. What the path has done in all.
    pub fn stop(mut self, grace: Duration) -> io::Result<PathReport> {
        // one that has ended by itself, without its interface, has its report still
        let _ = self.say(Command::Stop { grace });
        let thread = self.thread.take().ok_or_else(stopped)?;
        thread.join().map_err(|_| io::Error::other("the thread of the path has panicked"))
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // without a thread there is nothing to stop, and a panic there was told already
            let _ = self.say(Command::Stop { grace: Duration::ZERO });
            let _ = thread.join();
        }
    }
}

fn stopped() -> io::Error {
    io::Error::new(ErrorKind::NotConnected, "the path has been stopped")
}

/// Connections accepted and not yet taken.
#[derive(Default)]
struct Queue {
    streams: Mutex<VecDeque<PathStream>>,
    bell: Bell,
    gone: AtomicBool,
    over: AtomicBool,
}

/// Connections made to a port of a guest.
pub struct PathListener {
    queue: Arc<Queue>,
}

impl std::fmt::Debug for PathListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PathListener").finish_non_exhaustive()
    }
}

impl Queue {
    fn take(&self) -> Option<PathStream> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn len(&self) -> usize {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl PathListener {
    /// The next connection; `None` after `timeout` without one.
    ///
    /// # Errors
    /// The path was stopped.
    pub fn accept(&self, timeout: Option<Duration>) -> io::Result<Option<PathStream>> {
        let queue = &self.queue;
        let over = || queue.over.load(Ordering::Acquire);
        queue.bell.wait(timeout, || queue.len() > 0 || over());
        match queue.take() {
            None if over() => Err(stopped()),
            next => Ok(next),
        }
    }
}

impl Drop for PathListener {
    fn drop(&mut self) {
        self.queue.gone.store(true, Ordering::Release);
        while self.queue.take().is_some() {}
    }
}

/// A connection as the pump has it.
struct Live {
    port: PortId,
    handle: Option<TcpHandle>,
    conn: Arc<Conn>,
    outgoing: Consumer<u8>,
    incoming: Producer<u8>,
    /// The user waits, or may, for what was moved since the last ring.
    owes_room: bool,
    owes_bytes: bool,
    closed_at: Option<Instant>,
    /// When bytes last moved or were acknowledged, and how many were not.
    heard: Instant,
    unacknowledged: usize,
}

impl Live {
    fn new(port: PortId, conn: Arc<Conn>, outgoing: Consumer<u8>, incoming: Producer<u8>) -> Self {
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
    fn ring(&mut self, all: bool) {
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
}

struct Listening {
    port: PortId,
    tcp_port: u16,
    queue: Arc<Queue>,
}

/// The path in its thread.
struct Runner<T: Tracer> {
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
    fn new(
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

    fn run(mut self) -> PathReport {
        while self.is_wanted() {
            self.look_at_wire();
            let begun = ticks();
            let mut moved = self.obey();
            moved |= self.accept();
            moved |= self.serve();
            let served = ticks();
            moved |= self.engine.poll_hosts(self.now_ns());
            let polled = ticks();
            moved |= self.engine.poll() == RxStatus::Active;
            self.shares.hand_over += served.saturating_sub(begun) as f64;
            self.shares.stack += polled.saturating_sub(served) as f64;
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
                if full || listening.queue.gone.load(Ordering::Acquire) {
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
                let queue = &listening.queue;
                let mut streams = queue.streams.lock().unwrap_or_else(PoisonError::into_inner);
                streams.push_back(PathStream::new(conn));
                drop(streams);
                queue.bell.ring();
            }
        }
        self.live.len() > before
    }

    /// Moves bytes between pipes and sockets, and takes leave of connections that are over.
    fn serve(&mut self) -> bool {
        let mut moved = false;
        let mut at = 0;
        while at < self.live.len() {
            let (bytes, over) = step(&mut self.engine, &mut self.live[at]);
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
        let begun = ticks();
        self.sleep(sleep);
        let slept = ticks().saturating_sub(begun) as f64;
        *self.waited_for() += slept;
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

    fn waited_for(&mut self) -> &mut f64 {
        let shares = &mut self.shares;
        if self.live.is_empty() {
            &mut shares.idle
        } else if self.live.iter().any(|live| live.incoming.is_full()) {
            &mut shares.sink
        } else if self.live.iter().any(|live| live.unacknowledged > 0) {
            &mut shares.wire
        } else {
            &mut shares.source
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
            listening.queue.over.store(true, Ordering::Release);
            while listening.queue.take().is_some() {}
            listening.queue.bell.ring();
        }
        self.engine.shut_down();
        self.report()
    }
}

/// The port with a live interface, if one has.
fn wire<T: Tracer>(engine: &Engine<T>) -> Option<PortId> {
    #[cfg(target_os = "linux")]
    {
        let is_wire = |port: &Port| matches!(port.endpoint(), Endpoint::Wire(_));
        engine.ports().iter().position(is_wire).map(|at| PortId(at as u8))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = engine;
        None
    }
}

/// Where the pump of that engine waits.
fn door<T: Tracer>(engine: &Engine<T>) -> Door {
    #[cfg(target_os = "linux")]
    if let Some(Endpoint::Wire(nic)) =
        wire(engine).and_then(|at| engine.port(at)).map(Port::endpoint)
    {
        return Door::with_waker(nic.waker());
    }
    Door::default()
}

fn host<T: Tracer>(engine: &mut Engine<T>, port: PortId) -> Option<&mut SmolHost> {
    match engine.port_and_pool(port)?.0.endpoint_mut() {
        Endpoint::Host(host) => Some(host),
        _ => None,
    }
}

/// One connection's turn: bytes sent and received, and whether it is over.
fn step<T: Tracer>(engine: &mut Engine<T>, live: &mut Live) -> ((u64, u64), bool) {
    let Some(host) = host(engine, live.port) else { return ((0, 0), true) };
    let Some(handle) = live.handle else { return ((0, 0), true) };
    let patience = host.config().tcp_timeout;
    let Some(mut tcp) = host.tcp(handle) else {
        live.conn.fail(Failure::Reset);
        return ((0, 0), true);
    };
    let conn = live.conn.clone();
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
    let moved = (live.send(&mut tcp), live.receive(&mut tcp));
    let unacknowledged = tcp.unacknowledged();
    if moved != (0, 0) || unacknowledged != live.unacknowledged {
        live.heard = Instant::now();
        live.unacknowledged = unacknowledged;
    }
    if close && live.outgoing.is_empty() && live.closed_at.is_none() {
        tcp.close();
        live.closed_at = Some(Instant::now());
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
    let orphan = conn.is_asked(DEAF) && live.closed_at.is_some_and(|at| at.elapsed() > ORPHAN);
    match outcome {
        Outcome::Open if !orphan => return (moved, false),
        _ if unread > 0 && !conn.is_asked(DEAF) => return (moved, false),
        Outcome::Complete => conn.tell(OVER | ENDED),
        Outcome::Reset if live.heard.elapsed() >= patience => conn.fail(Failure::Silent(patience)),
        Outcome::Reset if !conn.has_told(CONNECTED) => conn.fail(Failure::Refused),
        _ => conn.fail(Failure::Reset),
    }
    host.release(handle);
    (moved, true)
}
