//! A server through the path: TCP of a guest of this process on the switch, by an interface of this
//! machine whose own stack takes no part. What every frame came to is told at the end.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use pipeline::stream::{PathListener, PathReport, PathStream, Pump};
use replicate::push::Travel;
use replicate::wire::{Halves, TICK, WRITE_TIMEOUT};

use crate::term::{bits_per_second, grouped};
use crate::walk::talk;

/// What is said with `--quiet` too is errors alone.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Bytes of each pipe between a session and the path.
const PIPE: usize = 1 << 20;
/// What was written has this long to arrive when the command is done.
const GRACE: Duration = Duration::from_secs(5);
/// Connections to a server that are open, or have just been.
const BACKLOG: usize = 32;

/// How a network is reached without the kernel's stack.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PathArgs {
    /// Go through the switch of this program and out by this interface, with a TCP/IP stack of its
    /// own; the interface needs no address (root, or cap_net_raw and cap_net_admin)
    #[arg(long = "path", value_name = "IFACE", requires = "path_address")]
    pub path_interface: Option<String>,
    /// With --path: this end's address on that network, which nobody else has
    #[arg(long = "address", value_name = "ADDRESS/PREFIX", requires = "path_interface")]
    pub path_address: Option<String>,
    /// With --path: longest IP packet, bytes [default: the interface's]
    #[arg(long = "mtu", value_name = "BYTES", requires = "path_interface")]
    pub path_mtu: Option<usize>,
}

/// Tells only errors from here on.
pub(super) fn be_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

/// A path that is open; when the last user lets it go, it ends and its ledger is told.
pub(super) struct Road {
    pump: Option<Pump>,
    interface: String,
}

impl Road {
    /// Opens it, if it is asked for.
    #[cfg(target_os = "linux")]
    pub(super) fn open(args: &PathArgs) -> anyhow::Result<Option<Arc<Self>>> {
        use pipeline::stream::wire::{WireConfig, engine};

        let (Some(interface), Some(address)) = (&args.path_interface, &args.path_address) else {
            return Ok(None);
        };
        let Ok(address) = address.parse() else {
            bail!("--address {address}: expected an address with its prefix, as 10.77.0.1/24");
        };
        let config = WireConfig { mtu: args.path_mtu, ..WireConfig::new(interface, address) };
        let granted_by = format!("backup --path {interface}");
        let engine = engine(&config, &granted_by, crate::walk::plan::random_key())
            .with_context(|| format!("--path {interface}"))?;
        let pump = Pump::start(engine, PIPE).context("cannot start the path")?;
        Ok(Some(Arc::new(Self { pump: Some(pump), interface: interface.clone() })))
    }

    /// Opens it, if it is asked for.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn open(args: &PathArgs) -> anyhow::Result<Option<Arc<Self>>> {
        match &args.path_interface {
            Some(interface) => bail!("--path {interface}: interfaces are opened on Linux alone"),
            None => Ok(None),
        }
    }

    fn pump(&self) -> io::Result<&Pump> {
        self.pump.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// What it has done so far, for the report of a push through it.
    pub(super) fn travel(&self) -> io::Result<Travel> {
        self.pump()?.report().map(|report| travel(&report))
    }

    /// Connects to `HOST:PORT`; the host is an address, for the path asks no name server.
    pub(super) fn connect(&self, to: &str, timeout: Duration) -> io::Result<Halves> {
        let remote: SocketAddr = to.parse().map_err(|_| {
            let text = format!("{to}: through the path a server is named by its address");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        #[cfg(target_os = "linux")]
        return self
            .pump()?
            .connect(pipeline::stream::wire::GUEST, remote, timeout)
            .map(|stream| halves(&stream));
        #[cfg(not(target_os = "linux"))]
        return self.pump()?.connect(skb::PortId(1), remote, timeout).map(|stream| halves(&stream));
    }

    /// Serves a port.
    #[cfg(target_os = "linux")]
    pub(super) fn listen(&self, port: u16) -> io::Result<PathListener> {
        self.pump()?.listen(pipeline::stream::wire::GUEST, port, BACKLOG)
    }

    /// Serves a port.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn listen(&self, port: u16) -> io::Result<PathListener> {
        self.pump()?.listen(skb::PortId(1), port, BACKLOG)
    }
}

impl Drop for Road {
    fn drop(&mut self) {
        let Some(pump) = self.pump.take() else { return };
        match pump.stop(GRACE) {
            Ok(report) => tell(&self.interface, &report),
            Err(error) => talk(&format!("the path by {}: {error}", self.interface)),
        }
    }
}

/// What a path did while bytes went through it.
pub(crate) fn travel(report: &PathReport) -> Travel {
    let shares = &report.shares;
    let stages: f64 = shares.stages.iter().sum();
    let switch = shares.hand_over + shares.stack + stages;
    Travel { switch, wire: shares.wire, reader: shares.sink }
}

/// The two halves of a stream.
pub(crate) fn halves(stream: &PathStream) -> Halves {
    stream.set_read_timeout(Some(TICK));
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let from = stream.peer_addr().map_or_else(|| "the path".to_owned(), |peer| peer.to_string());
    let end = stream.clone();
    let close = Arc::new(move || end.shutdown(Shutdown::Both));
    Halves { read: Box::new(stream.clone()), write: Box::new(stream.clone()), close, from }
}

/// What became of every frame.
fn tell(interface: &str, report: &PathReport) {
    let ledger = &report.ledger;
    if let Err(imbalance) = ledger.check() {
        talk(&format!("the path by {interface}: {imbalance}"));
        return;
    }
    if QUIET.load(Ordering::Relaxed) {
        return;
    }
    let (sent, received) = report.bytes;
    let (limited_by, share) = report.shares.limiting();
    let rate = (sent + received) as f64 * 8.0 / report.seconds.max(1e-3);
    talk(&format!(
        "the path by {interface}: {} frames in, {} out, {} delivered, {} dropped, {} held: all \
         accounted for; {} over {:.1} s, limited by {limited_by} ({:.0} %)",
        grouped(ledger.frames_in),
        grouped(ledger.originated),
        grouped(ledger.delivered),
        grouped(ledger.dropped_total()),
        grouped(ledger.held),
        bits_per_second(rate),
        report.seconds,
        share * 100.0,
    ));
}
