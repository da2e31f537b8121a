//! One byte stream between two hosts on a segment: a process in each of two network namespaces,
//! with a cable between them. Through the path on both sides, by its own stack and past the
//! kernel's, beside kernel TCP over the same cable: with TSO, GSO and GRO off (`ethtool -K`), and
//! with them on, as a cable is made. Without TLS (`tls:off`), so that it is the road that is
//! measured.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use benches::Spread;
use nix::sched::{CloneFlags, setns, unshare};
use pipeline::stream::wire::{GUEST, WireConfig, engine};
use pipeline::stream::{PathReport, PathStream, Pump};
use serde_json::{Map, Value, json};

use super::Timing;
use super::board::{Board, Sample};
use super::stream::{self, PIPE};
use crate::bench::net::lab::needs_root;
use crate::bench::process::me;
use crate::walk::plan::random_key;

/// The cables: largest IP packets, bytes; whether segmentation offload is on.
const CABLES: [(u32, bool); 4] = [(1500, false), (9000, false), (1500, true), (9000, true)];
/// The longest a connection may take to be made, or to stand still.
const PATIENCE: Duration = Duration::from_secs(20);
/// The port that is served.
const PORT: u16 = 9;

/// One end of a stream, in a process of its own: `framewalk bench` starts it.
#[derive(Debug, Clone, clap::Args)]
pub struct End {
    /// Through the path by this interface; otherwise by the kernel
    #[arg(long, requires = "address")]
    interface: Option<String>,
    /// This end's address on the path
    #[arg(long)]
    address: Option<String>,
    /// Send there; otherwise receive
    #[arg(long)]
    to: Option<SocketAddr>,
    /// How long to send
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

/// Does what an end does, and says what it came to: a line when it can be connected to, a line at
/// its end.
pub(in crate::bench) fn end(end: &End) -> anyhow::Result<()> {
    let (run, path) = match (&end.interface, &end.address) {
        (Some(interface), Some(address)) => by_path(end, interface, address)?,
        _ => (by_kernel(end)?, None),
    };
    let path: Option<Map<_, _>> = path.map(|report| {
        let pairs = stream::ledger(&report).into_iter();
        pairs.map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
    });
    let told = json!({
        "bytes": run.bytes, "seconds": run.seconds, "digest": format!("{:016x}", run.digest),
        "path": path,
    });
    Ok(writeln!(io::stdout(), "{told}")?)
}

fn ready() -> anyhow::Result<()> {
    Ok(writeln!(io::stdout(), "ready")?)
}

fn by_kernel(end: &End) -> anyhow::Result<stream::Run> {
    let patient = |stream: TcpStream| -> anyhow::Result<TcpStream> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    };
    if let Some(to) = end.to {
        let near = patient(TcpStream::connect_timeout(&to, PATIENCE)?)?;
        return stream::send(near, |near| drop(near.shutdown(Shutdown::Write)), end.seconds);
    }
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).context("cannot listen")?;
    ready()?;
    stream::receive(patient(listener.accept()?.0)?)
}

fn by_path(
    end: &End,
    interface: &str,
    address: &str,
) -> anyhow::Result<(stream::Run, Option<PathReport>)> {
    let Ok(address) = address.parse() else { bail!("--address {address}: expected 198.18.0.1/24") };
    let config = WireConfig::new(interface, address);
    let pump = Pump::start(engine(&config, "bench backup", random_key())?, PIPE)?;
    let patient = |stream: PathStream| {
        stream.set_read_timeout(Some(PATIENCE));
        stream.set_write_timeout(Some(PATIENCE));
        stream
    };
    let run = if let Some(to) = end.to {
        let near = patient(pump.connect(GUEST, to, PATIENCE)?);
        stream::send(near, |near| near.shutdown(Shutdown::Write), end.seconds)?
    } else {
        let listener = pump.listen(GUEST, PORT, 1)?;
        ready()?;
        let far = listener.accept(Some(PATIENCE))?.context("nobody connected")?;
        stream::receive(patient(far))?
    };
    let report = pump.stop(PATIENCE)?;
    report.ledger.check()?;
    ensure!(report.ledger.held == 0, "{} frames are held still", report.ledger.held);
    Ok((run, Some(report)))
}

/// Two namespaces of this thread's own, and which one it is in.
struct Segment {
    near: File,
    far: File,
}

impl Segment {
    /// Makes them, with their cables: `near0` to `far0` and so on.
    fn new() -> anyhow::Result<Self> {
        let own = || -> anyhow::Result<File> {
            unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
            for which in ["all", "default"] {
                // so that nothing speaks unasked; a kernel without IPv6 has no such file
                let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6"), "1");
            }
            File::open("/proc/thread-self/ns/net").context("cannot hold a network namespace")
        };
        let segment = Self { far: own()?, near: own()? };
        for (at, (mtu, offload)) in CABLES.iter().enumerate() {
            let (near, far) = (format!("near{at}"), format!("far{at}"));
            enter(&segment.near)?;
            nic::cable::make_between(&near, &far, *mtu, segment.far.as_fd())?;
            for (name, place, last) in [(near, &segment.near, 1), (far, &segment.far, 2)] {
                enter(place)?;
                nic::cable::switch_on(&name)?;
                nic::cable::give_address(&name, kernel(at, last), 24)?;
                if !offload {
                    offload_off(&name)?;
                }
            }
        }
        Ok(segment)
    }

    /// One stream over a cable: what its sender and its receiver say.
    fn stream(&self, at: usize, path: bool, seconds: f64) -> anyhow::Result<[Value; 2]> {
        let by = |name: &str, last| {
            let (name, address) = (format!("{name}{at}"), format!("{}/24", guest(at, last)));
            let all = vec!["--interface".to_owned(), name, "--address".to_owned(), address];
            if path { all } else { Vec::new() }
        };
        enter(&self.far)?;
        let mut receiver = Running::start(&by("far", 2))?;
        ensure!(receiver.line()?.trim() == "ready", "the receiver is not ready");
        enter(&self.near)?;
        let to = SocketAddr::from((if path { guest(at, 2) } else { kernel(at, 2) }, PORT));
        let mut args = by("near", 1);
        args.extend(
            ["--to", &to.to_string(), "--seconds", &seconds.to_string()].map(str::to_owned),
        );
        let sent = Running::start(&args)?.end()?;
        Ok([sent, receiver.end()?])
    }
}

/// Moves this thread, and what it starts from here on, into a namespace.
fn enter(place: &File) -> anyhow::Result<()> {
    setns(place, CloneFlags::CLONE_NEWNET).context("cannot enter a network namespace")
}

/// Addresses for measuring (RFC 2544): the kernel's at the ends of a cable.
fn kernel(at: usize, last: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, at as u8, last)
}

/// And the path's.
fn guest(at: usize, last: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 19, at as u8, last)
}

/// The kernel sends segments as they are on the wire, and joins none.
fn offload_off(name: &str) -> anyhow::Result<()> {
    let mut command = Command::new("ethtool");
    command.args(["-K", name, "tso", "off", "gso", "off", "gro", "off"]);
    let done = command.output().context("cannot run ethtool; type: sudo apt install ethtool")?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "ethtool -K {name}: {}", said.trim());
    Ok(())
}

/// An end that runs; killed when dropped.
struct Running(Child, BufReader<ChildStdout>);

impl Running {
    fn start(args: &[String]) -> anyhow::Result<Self> {
        let mut command = Command::new(me()?);
        command.args(["bench", "stream-end"]).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        nic::sys::child::tie_to_this_thread(&mut command);
        let mut child = command.spawn().context("cannot start an end of the stream")?;
        let out = child.stdout.take().context("no pipe from an end of the stream")?;
        Ok(Self(child, BufReader::new(out)))
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.1.read_line(&mut line)?;
        Ok(line)
    }

    fn end(mut self) -> anyhow::Result<Value> {
        let mut said = String::new();
        self.1.read_to_string(&mut said)?;
        let status = self.0.wait()?;
        ensure!(status.success(), "an end of the stream failed: {status}");
        Ok(serde_json::from_str(&said)?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // one that has ended is no more
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Path and kernel in turn at each MTU.
pub(super) fn measure(timing: Timing, board: &mut Board<'_>) -> anyhow::Result<()> {
    needs_root("backup --only veth")?;
    std::thread::scope(|scope| {
        // the namespaces are this thread's and its children's, and end with it
        let lab = scope.spawn(|| rounds(timing, board));
        lab.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn rounds(timing: Timing, board: &mut Board<'_>) -> anyhow::Result<()> {
    let segment = Segment::new()?;
    let seconds = timing.seconds.clamp(0.01, 60.0);
    let mut kernels = [const { Vec::new() }; CABLES.len()];
    let mut ours = kernels.clone();
    for nth in 0..timing.runs {
        board.run(nth, timing.runs);
        for (at, (mtu, offload)) in CABLES.into_iter().enumerate() {
            let with = if offload { " with segmentation offload" } else { "" };
            let case = format!("stream between two hosts, MTU {mtu}{with}, tls:off");
            for path in [false, true] {
                board.now(&format!("{case}{}", if path { "" } else { " [kernel TCP]" }))?;
                let [sent, received] = segment.stream(at, path, seconds)?;
                let gbits = rate(&sent, &received)?;
                let mut sample = Sample {
                    case: case.clone(),
                    metric: "gbit/s",
                    figure: gbits,
                    ..Sample::default()
                };
                if path {
                    ours[at].push(gbits);
                    let median = |of: &[f64]| Spread::new(of.to_vec()).median();
                    let of = |kernel: usize| median(&ours[at]) / median(&kernels[kernel]);
                    sample.extra = extra(&received, of(at));
                    if offload {
                        let same = CABLES.iter().position(|other| *other == (mtu, false));
                        let of = format!("{:.2}", of(same.unwrap_or(at)));
                        sample.extra.push(("of_kernel_without_offload", of));
                    }
                    sample.extra.push(("sender", told(&sent["path"])?));
                    sample.extra.push(("receiver", told(&received["path"])?));
                } else {
                    kernels[at].push(gbits);
                    let off = "kernel TCP, TSO, GSO and GRO off by ethtool -K";
                    sample.peer = Some(if offload { "kernel TCP" } else { off }.to_owned());
                }
                board.add(sample)?;
            }
        }
    }
    Ok(())
}

fn extra(received: &Value, of_kernel: f64) -> Vec<(&'static str, String)> {
    vec![
        ("bytes", received["bytes"].to_string()),
        ("digest_equals_sent", "true".to_owned()),
        ("of_kernel", format!("{of_kernel:.2}")),
    ]
}

/// Gbit/s at the receiver, if it has what was sent.
fn rate(sent: &Value, received: &Value) -> anyhow::Result<f64> {
    for what in ["bytes", "digest"] {
        let (sent, received) = (&sent[what], &received[what]);
        ensure!(sent == received, "{what}: {sent} sent, {received} received");
    }
    let (Some(bytes), Some(seconds)) = (received["bytes"].as_f64(), received["seconds"].as_f64())
    else {
        bail!("an end of the stream said {received}");
    };
    Ok(bytes * 8.0 / seconds / 1e9)
}

/// What a path has counted, as one text.
fn told(path: &Value) -> anyhow::Result<String> {
    let pairs = path.as_object().context("an end of the stream said nothing of its path")?;
    let pairs = pairs.iter().map(|(name, value)| match value.as_str() {
        Some(text) => format!("{name} {text}"),
        None => format!("{name} {value}"),
    });
    Ok(pairs.collect::<Vec<_>>().join("; "))
}
