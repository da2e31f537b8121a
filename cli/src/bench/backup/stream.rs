//! A byte stream through the path in memory, beside the kernel's TCP over loopback: the same bytes
//! from one thread to another, in turn, in one process. Without TLS (`tls:off`), so that it is the
//! road that is measured.
//!
//! The bytes are a piece of a test pattern sent over and over; the reader digests what it receives
//! (XXH3) as it comes, and afterwards that is compared with the digest of what was sent.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use pipeline::guest::{Pattern, StreamDigest};
use pipeline::stream::memory::{self, MemoryConfig};
use pipeline::stream::{PathReport, Pump};
use skb::PortId;

use super::Timing;
use super::board::{Board, Sample};
use crate::walk::plan::random_key;

/// The piece of pattern: not a whole number of anything, so that a displaced piece shows.
const PIECE: usize = (1 << 20) + 8191;
/// Bytes given to one write and asked of one read.
const CHUNK: usize = 128 << 10;
/// Bytes of each pipe between a thread and the path.
pub(super) const PIPE: usize = 2 << 20;
/// The longest a connection may take to be made.
const PATIENCE: Duration = Duration::from_secs(10);
const TCP_PORT: u16 = 9;

/// What went through, at one end.
pub(super) struct Run {
    pub(super) bytes: u64,
    pub(super) seconds: f64,
    pub(super) digest: u64,
}

impl Run {
    fn gbits(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.seconds / 1e9
    }
}

fn piece() -> Vec<u8> {
    let mut piece = vec![0; PIECE];
    Pattern::new(5).fill(0, &mut piece);
    piece
}

/// The digest of so many bytes of the piece, over and over.
fn expected(piece: &[u8], mut bytes: u64) -> u64 {
    let mut digest = StreamDigest::default();
    while bytes > 0 {
        let part = &piece[..(piece.len() as u64).min(bytes) as usize];
        digest.update(part);
        bytes -= part.len() as u64;
    }
    digest.value()
}

/// Writes the piece, over and over, for `seconds`.
pub(super) fn send<W: Write>(
    mut writer: W,
    finish: impl FnOnce(W),
    seconds: f64,
) -> anyhow::Result<Run> {
    let (piece, start, mut bytes) = (piece(), Instant::now(), 0);
    while start.elapsed().as_secs_f64() < seconds {
        for part in piece.chunks(CHUNK) {
            writer.write_all(part)?;
            bytes += part.len() as u64;
        }
    }
    finish(writer);
    let seconds = start.elapsed().as_secs_f64();
    Ok(Run { bytes, seconds, digest: expected(&piece, bytes) })
}

/// Reads and digests until the end.
pub(super) fn receive(mut reader: impl Read) -> anyhow::Result<Run> {
    let (mut digest, mut bytes, mut room) = (StreamDigest::default(), 0, vec![0; CHUNK]);
    let start = Instant::now();
    loop {
        let read = reader.read(&mut room)?;
        if read == 0 {
            break;
        }
        digest.update(&room[..read]);
        bytes += read as u64;
    }
    Ok(Run { bytes, seconds: start.elapsed().as_secs_f64(), digest: digest.value() })
}

/// Sends from a thread of its own, receives in this one.
fn carry<W: Write + Send>(
    writer: W,
    reader: impl Read,
    finish: impl FnOnce(W) + Send,
    seconds: f64,
) -> anyhow::Result<Run> {
    let (sent, received) = std::thread::scope(|scope| {
        let writing = scope.spawn(|| send(writer, finish, seconds));
        let received = receive(reader);
        let sent = writing.join().map_err(|_| anyhow::anyhow!("the writer has panicked"))?;
        anyhow::Ok((sent?, received?))
    })?;
    let bytes = (sent.bytes, received.bytes);
    anyhow::ensure!(bytes.0 == bytes.1, "{} bytes were sent and {} arrived", bytes.0, bytes.1);
    anyhow::ensure!(received.digest == sent.digest, "what arrived is not what was sent");
    Ok(received)
}

/// One run through the path.
fn path(config: &MemoryConfig, seconds: f64) -> anyhow::Result<(Run, PathReport)> {
    let engine = memory::engine(config, random_key())?;
    let pump = Pump::start(engine, PIPE).context("cannot start the path")?;
    let listener = pump.listen(PortId(1), TCP_PORT, 1)?;
    let remote = SocketAddr::new(memory::address(PortId(1)), TCP_PORT);
    let near = pump.connect(PortId(0), remote, PATIENCE)?;
    let far = listener.accept(Some(PATIENCE))?.context("the connection was not accepted")?;
    let run = carry(near, far, |near| near.shutdown(Shutdown::Write), seconds)?;
    let report = pump.stop(PATIENCE)?;
    report.ledger.check()?;
    anyhow::ensure!(report.ledger.held == 0, "{} frames are held still", report.ledger.held);
    Ok((run, report))
}

/// One run through the kernel's loopback device.
fn loopback(seconds: f64) -> anyhow::Result<Run> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("cannot listen on loopback")?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    for end in [&near, &far] {
        end.set_read_timeout(Some(PATIENCE))?;
        end.set_write_timeout(Some(PATIENCE))?;
    }
    let finish = |near: TcpStream| drop(near.shutdown(Shutdown::Write));
    carry(near, far, finish, seconds)
}

/// The path with and without segmentation offload, and the kernel.
pub(super) fn measure(timing: Timing, board: &mut Board<'_>) -> anyhow::Result<()> {
    let seconds = timing.seconds.clamp(0.01, 60.0);
    let cases = [
        ("stream in memory, MTU 1500 with segmentation offload, tls:off", MemoryConfig::default()),
        (
            "stream in memory, MTU 1500, tls:off",
            MemoryConfig { tso: false, rx_buffers: 256, tx_frames: 256, ..MemoryConfig::default() },
        ),
    ];
    let row = |case: &str, peer: Option<&str>, run: &Run, extra| Sample {
        case: case.to_owned(),
        peer: peer.map(str::to_owned),
        metric: "gbit/s",
        figure: run.gbits(),
        extra,
        ..Sample::default()
    };
    for nth in 0..timing.runs {
        board.run(nth, timing.runs);
        for (case, config) in &cases {
            board.now(case)?;
            let (run, report) = path(config, seconds)?;
            board.add(row(case, None, &run, extra(&run, &report)))?;
        }
        let (case, _) = cases[0];
        board.now("a stream by kernel TCP over loopback")?;
        let what = ("what", "loopback device, MTU 65536, the same two threads".to_owned());
        board.add(row(case, Some("kernel TCP"), &loopback(seconds)?, vec![what]))?;
    }
    Ok(())
}

fn extra(run: &Run, report: &PathReport) -> Vec<(&'static str, String)> {
    let mut extra = vec![
        ("bytes", run.bytes.to_string()),
        ("seconds", format!("{:.3}", run.seconds)),
        ("digest_equals_sent", "true".to_owned()),
    ];
    extra.extend(ledger(report));
    let (limited_by, share) = report.shares.limiting();
    extra.push(("limited_by", limited_by.to_owned()));
    extra.push(("limited_share", format!("{share:.2}")));
    extra
}

/// A path's ledger, shares and latencies.
pub(super) fn ledger(report: &PathReport) -> Vec<(&'static str, String)> {
    let l = &report.ledger;
    let all: f64 = report.shares.named().map(|(_, ns)| ns).sum();
    let shares = report.shares.named().filter(|(_, ns)| *ns > 0.0);
    let shares = shares.map(|(name, ns)| format!("{name} {:.0}%", ns / all * 100.0));
    let mut counted = vec![
        ("in", l.frames_in.to_string()),
        ("originated", l.originated.to_string()),
        ("cloned", l.cloned.to_string()),
        ("split", l.split.to_string()),
        ("delivered", l.delivered.to_string()),
        ("dropped", l.dropped_total().to_string()),
        ("consumed", l.consumed.to_string()),
        ("merged", l.merged.to_string()),
        ("held", l.held.to_string()),
        ("balanced", l.check().is_ok().to_string()),
        ("copies", l.copies_total().to_string()),
        ("waiting_high", report.waiting_high.to_string()),
        ("host_edges", report.host_edges.to_string()),
        ("shares", shares.collect::<Vec<_>>().join(", ")),
    ];
    for l in &report.latencies {
        counted.push((l.stage, format!("p50 {:.0} ns, p99 {:.0} ns a burst", l.p50_ns, l.p99_ns)));
    }
    counted
}
