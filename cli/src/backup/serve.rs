//! `backup serve`: connections, and a line for each session.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use pipeline::stream::PathListener;
use replicate::hex;
use replicate::wire::{Halves, Limits, Peers, Service, Session};
use serde_json::json;

use super::path::{self, PathArgs, Road};
use super::peers::{Folder, Served};
use crate::cli::Globals;
use crate::exit::Exit;
use crate::term::{bytes, counted, safe};
use crate::walk::talk;

/// Sessions at once.
const SESSIONS_MAX: usize = 32;
/// Sessions at once from one address, or one /64 of IPv6.
const ADDRESS_MAX: usize = 16;
/// After a stop, sessions have this long to end what they began.
const STOPPING: Duration = Duration::from_secs(12);
/// How often the signals are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Let other machines push to, read from, prune a repository of this one
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub served: Served,
    /// Where to listen (repeatable)
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "[::]:4780")]
    pub listen: Vec<SocketAddr>,
    /// A source's push is not taken below so many free MiB
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    pub keep_free: u64,
    /// Instead of the kernel's addresses: serves the port of --listen there
    #[command(flatten)]
    pub path: PathArgs,
}

/// What the threads of a server share.
struct Server {
    service: Service,
    peers: Arc<Peers>,
    open: Mutex<HashMap<IpAddr, usize>>,
    turned_away: AtomicU64,
    json: bool,
}

impl Server {
    /// Counts a session in; false: there are too many.
    fn enter(&self, address: IpAddr) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = open.values().sum();
        let here = open.get(&address).copied().unwrap_or(0);
        if all >= SESSIONS_MAX || here >= ADDRESS_MAX || self.service.stopped() {
            return false;
        }
        open.insert(address, here + 1);
        true
    }

    fn leave(&self, address: IpAddr) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = open.get_mut(&address) {
            *here -= 1;
            if *here == 0 {
                open.remove(&address);
            }
        }
    }

    fn sessions(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) => {
                    // too many open files, or the peer is gone already
                    talk(&format!("accept: {e}"));
                    std::thread::sleep(LOOK_EVERY);
                    continue;
                }
            };
            let Ok(from) = stream.peer_addr() else { continue };
            self.start(from.ip(), || Halves::tcp(stream));
        }
    }

    /// The same for connections that come through the path; ends with it.
    fn accept_path(self: &Arc<Self>, listener: &PathListener) {
        while let Ok(next) = listener.accept(None) {
            let Some(stream) = next else { continue };
            let Some(from) = stream.peer_addr() else { continue };
            self.start(from.ip(), || Ok(path::halves(&stream)));
        }
    }

    /// Begins a session in a thread of its own, unless there are too many.
    fn start(self: &Arc<Self>, from: IpAddr, halves: impl FnOnce() -> io::Result<Halves>) {
        let place = place(from);
        if !self.enter(place) {
            self.turned_away.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let Ok(halves) = halves() else { return self.leave(place) };
        let server = Arc::clone(self);
        let thread = std::thread::Builder::new().name("session".to_owned());
        let started = thread.spawn(move || {
            server.session(halves);
            server.leave(place);
        });
        if started.is_err() {
            self.leave(place);
        }
    }

    fn session(&self, halves: Halves) {
        let session = self.service.tls(halves, &self.peers);
        let away = self.turned_away.swap(0, Ordering::Relaxed);
        tell(&session, away, self.json);
    }
}

/// Whose connections are counted together.
fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => {
            let [a, b, c, d, ..] = six.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        four @ IpAddr::V4(_) => four,
    }
}

pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    let (folder, peers) = args.served.open()?;
    let id = hex(folder.repository());
    let known = peers.list()?.len();
    let limits = Limits { keep_free: args.keep_free << 20, ..Limits::default() };
    let awaits = matches!(folder, Folder::Awaited(_));
    let service = match folder {
        Folder::Made(repository) => Service::new(*repository, limits)?,
        Folder::Awaited(awaited) => Service::awaiting(&awaited, limits)?,
    };
    let server = Arc::new(Server {
        service,
        peers: Arc::new(peers),
        open: Mutex::default(),
        turned_away: AtomicU64::new(0),
        json: globals.json,
    });
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 2, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .context("cannot listen for signals")?;
    }
    let (_road, listening) = listen(args, &server)?;
    if globals.json {
        line!(
            "{}",
            json!({
                "schema": "framewalk.backup-serve/1", "repository": id, "listen": listening,
                "peers": known, "awaits": awaits,
            })
        );
    } else {
        let on = listening.join(", ");
        talk(&format!("serving {id} on {on}, {}", counted(known as u64, "peer")));
    }
    if awaits && !globals.quiet {
        talk("nothing is there yet: who was enrolled with --role init makes the repository");
    } else if known == 0 && !globals.quiet {
        talk("nobody is enrolled: framewalk backup enrol");
    }
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK_EVERY);
    }
    server.service.stop();
    let deadline = Instant::now() + STOPPING;
    while server.sessions() > 0 && Instant::now() < deadline {
        std::thread::sleep(LOOK_EVERY);
    }
    if !globals.quiet {
        talk("stopped: what was acknowledged is on the disk");
    }
    Ok(Exit::Done)
}

/// Accepts connections, each address in a thread of its own. Returns the road through the path,
/// which lasts as long as it is kept, and where connections are accepted.
fn listen(args: &Args, server: &Arc<Server>) -> anyhow::Result<(Option<Arc<Road>>, Vec<String>)> {
    let mut listening = Vec::new();
    let road = Road::open(&args.path)?;
    if let Some(road) = &road {
        let port = args.listen.first().map_or(super::remote::PORT, SocketAddr::port);
        let listener = road.listen(port).with_context(|| format!("cannot serve port {port}"))?;
        let at = args.path.path_address.as_deref().unwrap_or_default();
        listening.push(format!("{}:{port}", at.split('/').next().unwrap_or(at)));
        let server = Arc::clone(server);
        let thread = std::thread::Builder::new().name("accept".to_owned());
        thread.spawn(move || server.accept_path(&listener))?;
    }
    for address in args.listen.iter().filter(|_| road.is_none()) {
        let listener =
            TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
        listening.push(listener.local_addr()?.to_string());
        let server = Arc::clone(server);
        let thread = std::thread::Builder::new().name("accept".to_owned());
        // ends with the process: nothing is lost in it
        thread.spawn(move || server.accept(&listener))?;
    }
    if listening.is_empty() {
        bail!("name an address to listen on with --listen");
    }
    Ok((road, listening))
}

/// One line for a session.
fn tell(session: &Session, turned_away: u64, as_json: bool) {
    let seconds = session.took.as_secs_f64();
    if as_json {
        line!(
            "{}",
            json!({
                "schema": "framewalk.backup-session/1", "from": session.from,
                "peer": session.peer, "role": session.role, "received": session.received,
                "sent": session.sent, "put": session.put, "deleted": session.deleted,
                "refused": session.refused, "reasons": session.reasons, "ended": session.ended,
                "seconds": seconds, "turned_away": turned_away,
            })
        );
        return;
    }
    let who = match (&session.peer, session.role) {
        (Some(peer), Some(role)) => format!("{peer} ({role}) from {}", session.from),
        _ => session.from.clone(),
    };
    let mut text = format!(
        "{who}: {}, {} stored, {} received, {} sent, {seconds:.1} s",
        safe(&session.ended),
        counted(session.put, "object"),
        bytes(session.received),
        bytes(session.sent),
    );
    if session.deleted > 0 {
        text = format!("{text}, {} deleted", session.deleted);
    }
    if session.refused > 0 {
        text = format!("{text}, {} REFUSED", session.refused);
        for reason in &session.reasons {
            text = format!("{text}; {}", safe(reason));
        }
    }
    if turned_away > 0 {
        text = format!("{text}; {turned_away} connections turned away before");
    }
    talk(&text);
}
