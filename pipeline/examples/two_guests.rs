//! Two guests with TCP/IP stacks of their own, one TCP stream through the switch between them.
//!
//! The switch is of Hyper-V's *private* type: guests only, no wire, no host. The stream's bytes
//! are digested at both ends, and the ledger must balance. Fails if either does not hold.
#![allow(clippy::print_stdout)] // an example talks

use std::error::Error;
use std::net::SocketAddr;
use std::time::Instant;

use framewalk_pipeline::guest::{HostConfig, Outcome, Service, SmolHost, Stream, TcpHandle};
use framewalk_pipeline::skb::trace::NoTrace;
use framewalk_pipeline::skb::{MacAddr, Pool, PoolConfig, PortId};
use framewalk_pipeline::vswitch::fdb::HashKey;
use framewalk_pipeline::vswitch::{PortConfig, SwitchConfig, SwitchType, Vswitch};
use framewalk_pipeline::{Endpoint, Engine, EngineConfig, Port, PortMode};

const CLIENT: PortId = PortId(0);
const SERVER: PortId = PortId(1);
const TCP_PORT: u16 = 5001;
const STREAM: Stream = Stream { bytes: 64 << 20, seed: 1 };
/// A stream that has not ended by then is stuck.
const SECONDS_MAX: u64 = 60;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut engine, handle) = wire()?;
    let start = Instant::now();
    // the client's end of the connection closes before the server's
    let mut served = None;
    let report = loop {
        let elapsed = start.elapsed();
        engine.set_now_ms(elapsed.as_millis() as u64);
        engine.poll_hosts(elapsed.as_nanos() as i64);
        engine.poll();
        let report = host(&mut engine, CLIENT)?.stream_report(handle).ok_or("no connection")?;
        served = served.or_else(|| host(&mut engine, SERVER).ok()?.take_served().pop());
        if report.outcome != Outcome::Open && served.is_some() {
            break report;
        }
        if elapsed.as_secs() > SECONDS_MAX {
            return Err(format!("the stream is stuck: {report:?}").into());
        }
    };
    let received = served.ok_or("the server saw no connection")?.received;
    engine.shut_down();
    let ledger = engine.ledger();

    let seconds = report.seconds().unwrap_or_default();
    println!("{:?}: {} bytes of TCP payload in {seconds:.3} s", report.outcome, received.bytes);
    println!("goodput: {:.2} Gbit/s", received.bytes as f64 * 8e-9 / seconds);
    println!("digest sent     {:016x}", STREAM.digest());
    println!("digest received {:016x}", received.digest.unwrap_or_default());
    println!(
        "ledger: {} originated + {} cloned = {} delivered + {} dropped; {} reached the host",
        ledger.originated,
        ledger.cloned,
        ledger.delivered,
        ledger.dropped_total(),
        ledger.host
    );
    ledger.check()?;
    if report.outcome != Outcome::Complete || received.digest != Some(STREAM.digest()) {
        return Err("what arrived is not what was sent".into());
    }
    println!("balanced; what arrived is what was sent");
    Ok(())
}

/// A private switch with two guests, the stream about to start.
fn wire() -> Result<(Engine<NoTrace>, TcpHandle), Box<dyn Error>> {
    let pool = Pool::new(PoolConfig::default())?;
    let mut client = guest(CLIENT, "192.168.1.20/24", &pool)?;
    let mut server = guest(SERVER, "192.168.1.10/24", &pool)?;
    server.serve(TCP_PORT, Service::Discard, 1)?;
    let handle = client.connect(SocketAddr::from(([192, 168, 1, 10], TCP_PORT)), STREAM)?;
    let config = SwitchConfig {
        ty: SwitchType::Private,
        ports: vec![PortConfig::guest(0, "client"), PortConfig::guest(1, "server")],
        ..SwitchConfig::default()
    };
    // a fixed key will do: both guests are ours
    let switch = Vswitch::new(config, HashKey::new([1, 2]))?;
    let port = |host| Port::new(Endpoint::Host(Box::new(host)), PortMode::Credit);
    let ports = vec![port(client), port(server)];
    Ok((Engine::new(pool, switch, ports, EngineConfig::default(), NoTrace)?, handle))
}

fn guest(port: PortId, address: &str, pool: &Pool) -> Result<SmolHost, Box<dyn Error>> {
    let mac = MacAddr([2, 0, 0, 0, 0, port.0 + 1]);
    let address = address.parse().map_err(|()| format!("{address} is no address"))?;
    Ok(SmolHost::new(HostConfig::new(port, mac, address), pool)?)
}

fn host(engine: &mut Engine<NoTrace>, port: PortId) -> Result<&mut SmolHost, Box<dyn Error>> {
    match engine.port_and_pool(port).map(|(port, _)| port.endpoint_mut()) {
        Some(Endpoint::Host(host)) => Ok(host),
        _ => Err("this port has no host".into()),
    }
}
