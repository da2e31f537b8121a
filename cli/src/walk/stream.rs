//! `walk --stream`: two guests with stacks of their own, one TCP stream through the switch.
//!
//! The switch is private and its ports work by credit: a receiver that cannot keep up makes the
//! sender wait and costs no frame. Both ends digest what they sent and received.

use std::fmt::Write as _;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::bail;
use pipeline::guest::{
    HostConfig, IpCidr, Outcome, Service, SmolHost, Stream, StreamReport, TcpHandle,
};
use pipeline::vswitch::{PortConfig, SwitchConfig, SwitchType, Vswitch};
use pipeline::{Endpoint, Engine, EngineConfig, Port, PortMode, StageLatency};
use serde_json::{Value, json};
use skb::arch::TickRate;
use skb::trace::NoTrace;
use skb::{Ledger, MacAddr, Pool, PoolConfig, PortId};

use super::plan::random_key;
use super::report::{latency_json, ledger_json};
use super::text;
use crate::cli::Globals;
use crate::exit::Exit;
use crate::term::{Paint, bits_per_second, bytes, grouped};

const SENDER: PortId = PortId(0);
const RECEIVER: PortId = PortId(1);
/// Documentation addresses (RFC 5737).
const SENDER_IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const RECEIVER_IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// The discard service (RFC 863).
const TCP_PORT: u16 = 9;
/// A stream that moves no byte for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a stream came to.
#[derive(Debug)]
pub struct Streamed {
    /// The sender's end.
    pub sent: StreamReport,
    /// The receiver's end.
    pub received: StreamReport,
    /// Digest of what should have arrived, computed without sending anything.
    pub expected: u64,
    /// Seconds from established to ended.
    pub seconds: f64,
    /// Every reference, accounted for.
    pub ledger: Ledger,
    /// Per stage, then `path`.
    pub latencies: Vec<StageLatency>,
    /// Drop or credit.
    pub mode: PortMode,
    /// Edges that end at the host, by configuration.
    pub host_edges: usize,
    /// Most references that waited for credit at one port.
    pub waiting_high: usize,
}

impl Streamed {
    /// Everything arrived as it was sent.
    pub fn is_exact(&self) -> bool {
        let digest = Some(self.expected);
        self.sent.outcome == Outcome::Complete
            && self.sent.sent.bytes == self.received.received.bytes
            && self.sent.sent.digest == digest
            && self.received.received.digest == digest
    }

    /// TCP payload, bits per second.
    pub fn goodput(&self) -> f64 {
        if self.seconds > 0.0 {
            self.received.received.bytes as f64 * 8.0 / self.seconds
        } else {
            0.0
        }
    }
}

/// A number of bytes, with k, M, G in powers of 1000 or Ki, Mi, Gi in powers of 1024.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let expected = || format!("`{text}`: expected bytes such as 500000, 64M or 1Gi");
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text.get(digits.len()..).unwrap_or_default() {
        "" => 1,
        "k" | "K" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return Err(expected()),
    };
    let number: u64 = digits.parse().map_err(|_| expected())?;
    number.checked_mul(unit).ok_or_else(expected)
}

/// A number of seconds, a fraction allowed.
pub fn parse_seconds(text: &str) -> Result<Duration, String> {
    let expected = || format!("`{text}`: expected seconds such as 60 or 0.5");
    let seconds: f64 = text.parse().map_err(|_| expected())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| expected())
}

/// Runs one stream of `bytes` from one guest to the other.
pub fn stream(bytes: u64, mode: PortMode) -> anyhow::Result<Streamed> {
    let stream = Stream { bytes, seed: 1 };
    let (mut engine, handle) = wire(stream, mode)?;
    let rate = TickRate::start();
    let start = Instant::now();
    let (mut moved, mut at) = (0, start);
    let (sent, received) = loop {
        let now = i64::try_from(start.elapsed().as_nanos()).unwrap_or(i64::MAX);
        engine.poll_hosts(now);
        engine.poll();
        let report = host(&mut engine, SENDER)?.stream_report(handle);
        let Some(report) = report else { bail!("the sender has lost its connection") };
        if report.outcome != Outcome::Open
            && let Some(received) = host(&mut engine, RECEIVER)?.take_served().first()
        {
            break (report, *received);
        }
        if report.sent.bytes > moved {
            (moved, at) = (report.sent.bytes, Instant::now());
        } else if at.elapsed() > PATIENCE {
            bail!("the stream has stood still for {PATIENCE:?} after {moved} bytes");
        }
    };
    let latencies = engine.histograms().latencies(rate.ns_per_tick());
    engine.shut_down();
    let waiting = engine.ports().iter().map(Port::waiting_high);
    Ok(Streamed {
        sent,
        received,
        expected: stream.digest(),
        seconds: received.seconds().or(sent.seconds()).unwrap_or_default(),
        ledger: engine.ledger(),
        latencies,
        mode,
        host_edges: engine.switch().graph().host_edges(),
        waiting_high: waiting.max().unwrap_or(0),
    })
}

fn wire(stream: Stream, mode: PortMode) -> anyhow::Result<(Engine<NoTrace>, TcpHandle)> {
    let pool = Pool::new(PoolConfig::default())?;
    let guest = |port: PortId, ip: Ipv4Addr| {
        let mac = MacAddr([2, 0, 0, 0, 0, port.0 + 1]);
        let config = HostConfig::new(port, mac, IpCidr::new(ip.into(), 24));
        SmolHost::new(HostConfig { tcp_buffer: 256 << 10, ..config }, &pool)
    };
    let mut sender = guest(SENDER, SENDER_IP)?;
    let mut receiver = guest(RECEIVER, RECEIVER_IP)?;
    receiver.serve(TCP_PORT, Service::Discard, 1)?;
    let remote = SocketAddr::new(IpAddr::V4(RECEIVER_IP), TCP_PORT);
    let handle = sender.connect(remote, stream)?;
    let ports =
        vec![PortConfig::guest(SENDER.0, "sender"), PortConfig::guest(RECEIVER.0, "receiver")];
    let config = SwitchConfig { ty: SwitchType::Private, ports, ..SwitchConfig::default() };
    let switch = Vswitch::new(config, random_key())?;
    let port = |host| Port::new(Endpoint::Host(Box::new(host)), mode);
    let ports = vec![port(sender), port(receiver)];
    Ok((Engine::new(pool, switch, ports, EngineConfig::default(), NoTrace)?, handle))
}

fn host(engine: &mut Engine<NoTrace>, port: PortId) -> anyhow::Result<&mut SmolHost> {
    match engine.port_and_pool(port).map(|(port, _)| port.endpoint_mut()) {
        Some(Endpoint::Host(host)) => Ok(host),
        _ => bail!("{port} has no host"),
    }
}

/// Runs it for the command line. Exits 1 if what arrived is not what was sent.
pub fn run(bytes: u64, globals: &Globals) -> anyhow::Result<Exit> {
    let streamed = stream(bytes, PortMode::Credit)?;
    let mut out = String::new();
    if globals.json {
        out = format!("{}\n", to_json(&streamed));
    } else {
        write(&mut out, &streamed, Paint::for_stdout(globals.color));
    }
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(out.as_bytes())?;
    stdout.flush()?;
    Ok(match (streamed.ledger.check(), streamed.is_exact()) {
        (Err(_), _) => Exit::OurFault,
        (Ok(()), true) => Exit::Done,
        (Ok(()), false) => Exit::No,
    })
}

fn to_json(streamed: &Streamed) -> Value {
    let mut object = ledger_json(&streamed.ledger);
    let hex = |digest: Option<u64>| digest.map(|digest| format!("{digest:016x}"));
    let more = json!({
        "guests": ["02:00:00:00:00:01", "02:00:00:00:00:02"],
        "switch_type": "private",
        "host_edges": streamed.host_edges,
        "port_mode": streamed.mode.name(),
        "waiting_high": streamed.waiting_high,
        "stages": streamed.latencies.iter().map(latency_json).collect::<Vec<_>>(),
        "grain": "burst",
        "stream": {
            "bytes": streamed.received.received.bytes,
            "seconds": streamed.seconds,
            "goodput_bps": streamed.goodput().round(),
            "digest_sent": hex(streamed.sent.sent.digest),
            "digest_received": hex(streamed.received.received.digest),
            "exact": streamed.is_exact(),
        },
    });
    if let Value::Object(more) = more {
        object.extend(more);
    }
    Value::Object(object)
}

fn write(out: &mut String, streamed: &Streamed, paint: Paint) {
    let received = &streamed.received.received;
    let exact = if streamed.is_exact() {
        "what arrived is what was sent".to_owned()
    } else {
        paint.bad("what arrived is NOT what was sent").to_string()
    };
    let hex = |digest: Option<u64>| digest.map_or_else(|| "-".to_owned(), |d| format!("{d:016x}"));
    // writing into a string cannot fail
    let _ = write!(
        out,
        "{}\n  sender 192.0.2.1 ──▶ private switch ──▶ receiver 192.0.2.2   ports by {}\n\n  \
         {} of TCP payload in {:.3} s: goodput {}\n  \
         digest sent {}, received {}: {exact}\n\n",
        paint.head("One TCP stream between two guests with TCP/IP stacks of their own"),
        streamed.mode.name(),
        bytes(received.bytes),
        streamed.seconds,
        bits_per_second(streamed.goodput()),
        hex(streamed.sent.sent.digest),
        hex(received.digest),
    );
    text::ledger(out, &streamed.ledger, paint);
    let _ = writeln!(
        out,
        "  Each frame is copied once, into the receiving guest's own memory: a trust boundary.\n  \
         Most frames that waited for credit at one port: {}. Edges to the host: {}.\n",
        grouped(streamed.waiting_high as u64),
        streamed.host_edges,
    );
    text::latency_table(out, &streamed.latencies, paint);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_arrives_byte_for_byte_in_both_port_modes() {
        for mode in [PortMode::Credit, PortMode::Drop] {
            let streamed = stream(3_000_000, mode).unwrap();
            assert!(streamed.is_exact(), "{streamed:?}");
            assert_eq!(streamed.received.received.bytes, 3_000_000);
            let ledger = &streamed.ledger;
            assert_eq!(ledger.check(), Ok(()));
            assert_eq!((ledger.held, ledger.host, ledger.frames_in), (0, 0, 0));
            assert!(ledger.originated > 2000 && ledger.delivered > 2000);
            if mode == PortMode::Credit {
                assert_eq!(ledger.dropped_total(), 0);
            }
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("64M"), Ok(64_000_000));
        assert_eq!(parse_size("1Gi"), Ok(1 << 30));
        assert_eq!(parse_size("0"), Ok(0));
        for bad in ["", "M", "1T", "-1", "1.5M", "99999999999G"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
