//! An image pushed through the backup protocol, with both ends in this process: through the path in
//! memory, client and server each a guest of the switch, and over the loopback device by the
//! kernel's TCP. TLS 1.3 and mutual keys as between hosts; repository and source lie on the disk.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pipeline::stream::memory::{self, MemoryConfig};
use pipeline::stream::{PathReport, Pump};
use replicate::push::{Options, Report, push};
use replicate::wire::{Halves, Joined, Limits, Peers, Role, Service, Session, connect};
use replicate::{InitOptions, NewKeys, Repository};
use skb::PortId;

use super::board::{Board, Sample};
use super::{Args, Place, data, stream};
use crate::backup::path::{halves, travel};
use crate::bench::process::own_cpu;
use crate::walk::plan::random_key;

/// Bytes of each pipe between a session and the path, as `backup --path` has them.
const PIPE: usize = 1 << 20;
/// The longest a connection may take to be made, and to be closed.
const PATIENCE: Duration = Duration::from_secs(10);
const TCP_PORT: u16 = 4780;

/// How the client reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Road {
    Memory,
    Loopback,
}

impl Road {
    const ALL: [Self; 2] = [Self::Memory, Self::Loopback];

    fn name(self) -> &'static str {
        match self {
            Self::Memory => "through the path in memory",
            Self::Loopback => "over loopback by kernel TCP",
        }
    }
}

/// A repository with a server, and a source that is enrolled there.
struct Ends {
    folder: PathBuf,
    keys: NewKeys,
    service: Service,
    peers: Arc<Peers>,
    joined: Joined,
}

/// A push as it went.
struct Pushed {
    report: Report,
    seconds: f64,
    cpu: f64,
    path: Option<PathReport>,
}

impl Ends {
    fn new(folder: PathBuf) -> anyhow::Result<Self> {
        let repository = folder.join("repository");
        std::fs::create_dir_all(&folder)?;
        let keys = Repository::init(&repository, &InitOptions::default(), |_| Ok(()))?;
        let service = Service::new(Repository::open(&repository)?, Limits::default())?;
        let peers = Arc::new(Peers::open(&folder.join("serve"))?);
        let code = peers.enrol("bench", Role::Source, 600)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("cannot listen on loopback")?;
        let to = listener.local_addr()?;
        let (session, joined) = served(
            || accepted(&service, &peers, &listener),
            || Ok(Joined::join(&code, || Halves::tcp(TcpStream::connect(to)?))?),
        )?;
        ensure!(session.ended == "enrolled", "the server did not enrol: {}", session.ended);
        Ok(Self { folder, keys, service, peers, joined })
    }

    /// Pushes by a road; timed from before the connection is made until the manifest is synced.
    fn push(&self, road: Road, image: &Path) -> anyhow::Result<Pushed> {
        match road {
            Road::Memory => self.through_memory(image),
            Road::Loopback => self.over_loopback(image),
        }
    }

    fn over_loopback(&self, image: &Path) -> anyhow::Result<Pushed> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("cannot listen on loopback")?;
        let to = listener.local_addr()?;
        let (session, pushed) = served(
            || accepted(&self.service, &self.peers, &listener),
            || self.push_by(image, move || Halves::tcp(TcpStream::connect(to)?)),
        )?;
        ensure!(session.ended == "done", "the server's session ended: {}", session.ended);
        Ok(pushed)
    }

    fn through_memory(&self, image: &Path) -> anyhow::Result<Pushed> {
        let engine = memory::engine(&MemoryConfig::default(), random_key())?;
        let pump = Arc::new(Pump::start(engine, PIPE).context("cannot start the path")?);
        let listener = pump.listen(PortId(1), TCP_PORT, 1)?;
        let to = SocketAddr::new(memory::address(PortId(1)), TCP_PORT);
        let near = Arc::clone(&pump);
        let (session, mut pushed) = served(
            || {
                let stream = listener.accept(Some(PATIENCE))?.context("nobody connected")?;
                Ok(self.service.tls(halves(&stream), &self.peers))
            },
            || {
                self.push_by(image, move || {
                    near.connect(PortId(0), to, PATIENCE).map(|s| halves(&s))
                })
            },
        )?;
        ensure!(session.ended == "done", "the server's session ended: {}", session.ended);
        drop(listener);
        let pump = Arc::into_inner(pump).context("somebody has the path still")?;
        let report = pump.stop(PATIENCE)?;
        report.ledger.check()?;
        ensure!(report.ledger.held == 0, "{} frames are held still", report.ledger.held);
        pushed.report.stages.through(&travel(&report));
        pushed.path = Some(report);
        Ok(pushed)
    }

    fn push_by(
        &self,
        image: &Path,
        stream: impl Fn() -> io::Result<Halves> + Send + Sync + 'static,
    ) -> anyhow::Result<Pushed> {
        let (cpu, begin) = (own_cpu(), Instant::now());
        let store = connect("the server", self.joined.clone(), stream)?;
        let repository = Repository::in_store(store, "the server")?;
        let writer = repository.writer(&self.keys.source)?;
        let options = Options {
            paths: vec![image.to_owned()],
            state: self.folder.join("state"),
            ..Options::default()
        };
        let report = push(&repository, &writer, &options, &mut |_| {})?;
        let (seconds, cpu) = (begin.elapsed().as_secs_f64(), own_cpu() - cpu);
        Ok(Pushed { report, seconds, cpu, path: None })
    }

    /// Whether what is stored is the image.
    fn check(&self, image: &Path) -> anyhow::Result<()> {
        let repository = Repository::open(&self.folder.join("repository"))?;
        let reader = repository.reader(Some(&self.keys.restore))?;
        let newest = repository.generations()?.pop().context("no generation")??;
        let to = self.folder.join("restored");
        replicate::restore(&repository, &reader, &newest, &to, &[], &|_| {})?;
        let name = image.file_name().context("an image without a name")?;
        ensure!(data::same(image, &to.join(name))?, "other bytes were restored than pushed");
        Ok(())
    }
}

/// The server's session in a thread of its own, while the client does its part in this one.
fn served<T>(
    server: impl FnOnce() -> anyhow::Result<Session> + Send,
    client: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(Session, T)> {
    std::thread::scope(|scope| {
        let server = scope.spawn(server);
        let done = client();
        let session = server.join().map_err(|_| anyhow::anyhow!("the server has panicked"))?;
        // why the client failed, before what the server made of it
        let done = done?;
        Ok((session?, done))
    })
}

/// One session over a TCP connection.
fn accepted(
    service: &Service,
    peers: &Arc<Peers>,
    listener: &TcpListener,
) -> anyhow::Result<Session> {
    let (stream, _) = listener.accept()?;
    Ok(service.tls(Halves::tcp(stream)?, peers))
}

/// A full push and one with 1 % of the pages changed, by both roads, in turn.
pub(super) fn measure(args: &Args, place: &Place, board: &mut Board<'_>) -> anyhow::Result<()> {
    let image = place.image(args, board)?;
    let pages = image.metadata()?.len() >> 14;
    for nth in 0..args.timing.runs {
        board.run(nth, args.timing.runs);
        let mut roads = Vec::new();
        for road in Road::ALL {
            let folder = place.path(&format!("{road:?}"));
            roads.push((road, Ends::new(folder)?));
        }
        if nth % 2 == 1 {
            roads.reverse();
        }
        for what in ["full", "1 % changed"] {
            if what != "full" {
                data::change(&image, (pages / 100).max(1), nth * 10 + 3)?;
            }
            data::settle(&image)?;
            for (road, ends) in &roads {
                let case = format!("image {}, {what}", road.name());
                board.now(&case)?;
                let pushed = ends.push(*road, &image)?;
                board.add(pushed.sample(case))?;
            }
        }
        for (road, ends) in roads {
            board.now(&format!("restoring what was pushed {}", road.name()))?;
            ends.check(&image)?;
            std::fs::remove_dir_all(&ends.folder)?;
        }
    }
    Ok(())
}

impl Pushed {
    fn sample(&self, case: String) -> Sample {
        let stages = self.report.stages.seconds();
        let stages: Vec<_> = stages.map(|(stage, s)| format!("{stage} {s:.2} s")).collect();
        let mut extra = vec![("tls", "1.3, mutual keys".to_owned()), ("stages", stages.join(", "))];
        if let Some(path) = &self.path {
            extra.extend(stream::ledger(path));
            let (limited_by, share) = path.shares.limiting();
            extra.push(("path_limited_by", format!("{limited_by} ({share:.2})")));
        }
        Sample {
            case,
            metric: "s",
            figure: self.seconds,
            cpu: Some(self.cpu),
            sent: Some(self.report.sent),
            limited_by: Some(self.report.stages.limiting().to_owned()),
            extra,
            ..Sample::default()
        }
    }
}
