//! Any frames through any switch: the whole path, NIC to guest, with its ledger.
//!
//! The first bytes configure a switch (type, ports, VLANs, guards, mirrors, table sizes), an engine
//! (GRO, drop and credit ports, ring sizes and budgets) and what is plugged into the ports:
//! generators, a capture file, counting sinks, live guests. The rest are frames. Then:
//!
//! * the ledger balances after every turn, nothing is held after the end and every slot came back;
//! * a path without live guests comes to an end;
//! * no frame leaves by the port it came in by, nor passes between protected ports;
//! * what ports took is what the ledger says; the host's count is what host ports took, and is 0
//!   where no host port was configured, which a private switch never can;
//! * watched frame by frame, the path does what it does in bursts: same ledger, same digests.

use super::frames::{Planned, planned_frames};
use super::input::Input;
use super::switch::{PORT_BYTES, mac, switch_config};
use capture::Source;
use capture::write::PcapWriter;
use pipeline::driver::Driver;
use pipeline::guest::{CountingSink, FrameDigest, HostConfig, IpCidr, Service, SmolHost, Stream};
use pipeline::nic::{BLOCK_MIN, FileNic, Generator, Ingress};
use pipeline::vswitch::fdb::HashKey;
use pipeline::vswitch::{SwitchConfig, SwitchType, Vswitch};
use pipeline::{Endpoint, Engine, EngineConfig, Port, PortMode};
use skb::trace::{NoTrace, Tracer};
use skb::{
    DropReason, Ledger, LinkType, Pool, PoolConfig, PortId, PortSet, RxDesc, RxStatus, Skb, Stage,
    Verdict,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Turns of a path whose live guests never come to an end.
const TURNS_LIVE: usize = 96;

/// Switches for seeds: a name and the bytes that frames are put behind.
pub const SEED_SWITCHES: [(&str, &[u8]); 3] = [
    // an external switch: a wire and two guests, GRO
    (
        "external",
        &[0x07, 0xa0, 2, 0, 0, 0, 1, 0, 0, 0xff, 1, 0, 1, 0, 1, 0xff, 1, 0, 1, 0, 2, 0xff],
    ),
    // trunk, access and protected ports, a mirror of port 0 to port 3
    (
        "trunks",
        &[
            0x02,
            0xa4,
            0x0b,
            0,
            0,
            3,
            1,
            0,
            0,
            0xff,
            9,
            1,
            2,
            0,
            1,
            0x34,
            9,
            0,
            2,
            0,
            2,
            0x12,
            1,
            3,
            1,
            0,
            3,
            0xff,
            1,
            3 << 2 | 2,
            64,
            0,
        ],
    ),
    // a file into two live guests on credit ports
    (
        "live",
        &[0x83, 0xa4, 2, 0, 0, 0, 1, 0, 0, 0xff, 5, 0x80, 1, 0, 1, 0xff, 5, 0x80, 1, 0, 2, 0xff],
    ),
];

/// A frame of a seed, unchanged, as `port` receives it.
pub fn raw_frame(port: u8, frame: &[u8]) -> Vec<u8> {
    let frame = &frame[..frame.len().min(0x7ff)];
    let mut bytes = vec![port & 7, 0, frame.len() as u8, (frame.len() >> 8) as u8];
    bytes.extend_from_slice(frame);
    bytes
}

/// One port beside what the switch knows of it.
struct PortPlan {
    mode: PortMode,
    is_live: bool,
    is_digest: bool,
    ring_slots: usize,
    budget: usize,
}

/// An input, understood.
struct Plan {
    config: EngineConfig,
    switch: SwitchConfig,
    ports: Vec<PortPlan>,
    frames: Vec<Planned>,
    from_file: bool,
    rounds: usize,
    slot_frame_max: usize,
    slots_spare: usize,
    gap_ns: u32,
}

impl Plan {
    fn read(data: &[u8]) -> Self {
        let mut input = Input::new(data);
        let (switches, sizes) = (input.u8(), input.u8());
        let has = |bit: u8| switches >> bit & 1 != 0;
        let (switch, port_bytes) = switch_config(&mut input, has(3), has(4), has(5), sizes & 3);
        let host_ports = switch.ports.iter().filter(|port| port.role.is_host());
        let host_ports = host_ports.map(|port| port.id).collect();
        let slot_frame_max = [256, 600, 1984, 4096][usize::from(sizes >> 4 & 3)];
        let ports = port_bytes.iter().map(|bytes: &[u8; PORT_BYTES]| PortPlan {
            mode: if bytes[0] & 4 != 0 { PortMode::Credit } else { PortMode::Drop },
            is_live: bytes[1] & 0x80 != 0 && slot_frame_max >= 1984,
            is_digest: bytes[4] & 0x80 == 0,
            ring_slots: 1 << (bytes[5] & 7),
            budget: 1 + 2 * usize::from(bytes[5] >> 3),
        });
        let ports: Vec<PortPlan> = ports.collect();
        let frames = planned_frames(&mut input, ports.len());
        Self {
            config: EngineConfig {
                gro: has(0),
                histograms: has(1),
                frame_clock: has(2),
                host_ports,
            },
            switch,
            ports,
            frames,
            from_file: has(7),
            rounds: 1 + usize::from(sizes >> 2 & 3),
            slot_frame_max,
            slots_spare: [0, 1, 8, 64][usize::from(sizes >> 6)],
            gap_ns: if has(6) { 10_000_000 } else { 67 },
        }
    }

    /// Nothing in the table grows old, so that sweeping it earlier or later changes nothing.
    fn is_ageless(&self) -> bool {
        let span_ns = u64::from(self.gap_ns) * (self.frames.len() * self.rounds) as u64;
        let turns_ms = self.turns() as u64;
        span_ns / 1_000_000 + turns_ms < self.switch.fdb.ageing_ms / 2
    }

    fn is_live(&self) -> bool {
        self.ports.iter().any(|port| port.is_live)
    }

    fn turns(&self) -> usize {
        if self.is_live() { TURNS_LIVE } else { 8 + self.frames.len() * self.rounds * 2 }
    }
}

/// What a run came to.
#[derive(Debug, PartialEq)]
struct Outcome {
    ledger: Ledger,
    taken: Vec<(u64, u64)>,
    digests: Vec<Option<u64>>,
}

/// See the module text.
pub fn run(data: &[u8]) {
    let plan = Plan::read(data);
    let is_ageless = plan.is_ageless();
    let Some(plain) = drive(plan, NoTrace, |_, _| {}) else { return };
    let plan = Plan::read(data);
    let watch = Watch::new(&plan);
    let watched = drive(plan, watch, |watch: &Watch, outcome| watch.assert_taken(outcome));
    if is_ageless {
        assert_eq!(Some(plain), watched, "in bursts and frame by frame");
    }
}

/// Runs the plan to its end; `None` if the switch refuses its configuration.
fn drive<T: Tracer>(plan: Plan, tracer: T, inspect: impl FnOnce(&T, &Outcome)) -> Option<Outcome> {
    let turns = plan.turns();
    let (is_live, host_ports) = (plan.is_live(), plan.config.host_ports);
    let may_reach_host = match plan.switch.ty {
        SwitchType::Private => false,
        SwitchType::Internal => true,
        SwitchType::External => plan.switch.management_os,
    };
    let in_file = |frame: &&Planned| plan.from_file && frame.port == 0;
    let templates = plan.frames.len() - plan.frames.iter().filter(in_file).count();
    let sizes = PoolConfig {
        slots: templates + plan.slots_spare,
        slot_frame_max: plan.slot_frame_max,
        blocks: if plan.from_file { 3 } else { 0 },
        block_size: BLOCK_MIN,
        ..PoolConfig::default()
    };
    let mut pool = Pool::new(sizes).expect("a small pool");
    let ports = endpoints(&plan, &mut pool);
    let free_at_first = pool.free_slots();
    let switch = match Vswitch::new(plan.switch, HashKey::new([1, 2])) {
        Ok(switch) => switch,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return None;
        }
    };
    assert!(host_ports.is_empty() || may_reach_host, "a host port on a switch without the host");
    let mut engine = Engine::new(pool, switch, ports, plan.config, tracer).expect("few ports");
    let mut status = RxStatus::Active;
    for turn in 0..turns {
        engine.set_now_ms(turn as u64);
        engine.poll_hosts(turn as i64 * 20_000_000);
        status = engine.poll();
        engine.ledger().check().expect("the ledger balances at all times");
        if status == RxStatus::Done {
            break;
        }
    }
    assert!(is_live || status == RxStatus::Done, "not done after {turns} turns: {status:?}");
    engine.shut_down();
    let ledger = engine.ledger();
    ledger.check().expect("the ledger balances at the end");
    assert_eq!(ledger.held, 0, "nothing is held after the end");
    assert_eq!(engine.pool().free_slots(), free_at_first, "every slot came back");
    let taken: Vec<_> = engine.ports().iter().map(|port| port.endpoint().taken()).collect();
    let sum = |of: &dyn Fn(usize) -> bool| -> u64 {
        taken.iter().enumerate().filter(|(port, _)| of(*port)).map(|(_, taken)| taken.0).sum()
    };
    assert_eq!(sum(&|_| true), ledger.delivered);
    if !is_live {
        assert_eq!(sum(&|port| host_ports.contains(PortId(port as u8))), ledger.host);
    }
    assert!(!host_ports.is_empty() || ledger.host == 0, "frames to a host that was not configured");
    let digests = engine.ports().iter().map(|port| port.endpoint().digest()).collect();
    let outcome = Outcome { ledger, taken, digests };
    inspect(engine.tracer(), &outcome);
    Some(outcome)
}

fn endpoints(plan: &Plan, pool: &mut Pool) -> Vec<Port> {
    let port = |(index, port_plan): (usize, &PortPlan)| {
        let id = PortId(index as u8);
        let frames: Vec<&Planned> =
            plan.frames.iter().filter(|frame| frame.port == index).collect();
        let endpoint = match live_host(id, port_plan, plan, pool) {
            Some(host) => Endpoint::Host(host),
            None if plan.from_file && index == 0 => file(&frames, plan.gap_ns, pool),
            None if frames.is_empty() && port_plan.is_digest => {
                Endpoint::Digest(CountingSink::<FrameDigest>::new())
            }
            None if frames.is_empty() => Endpoint::Sink(CountingSink::new()),
            None => {
                let fitting = frames
                    .iter()
                    .map(|frame| (frame.ingress, frame.bytes_up_to(plan.slot_frame_max)));
                let count = (frames.len() * plan.rounds) as u64;
                let generator = Generator::new(pool, fitting, count, plan.gap_ns);
                Endpoint::Generator(generator.expect("a slot each"), CountingSink::new())
            }
        };
        let driver = Driver::new(port_plan.ring_slots, port_plan.budget);
        Port::new(endpoint, port_plan.mode).with_driver(driver)
    };
    plan.ports.iter().enumerate().map(port).collect()
}

fn file(frames: &[&Planned], gap_ns: u32, pool: &Pool) -> Endpoint {
    let mut pcap = PcapWriter::new(Vec::new(), LinkType::ETHERNET, 0, None).expect("in memory");
    for (number, frame) in (1_i64..).zip(frames) {
        let (time_ns, origlen) = (number * i64::from(gap_ns), frame.bytes.len() as u32);
        pcap.write_frame(time_ns, origlen, &frame.bytes).expect("in memory");
    }
    let bytes = pcap.finish().expect("in memory");
    let source = Source::from_bytes("input", bytes).expect("in memory");
    let nic = FileNic::new(source, Ingress::default(), pool).expect("blocks are large enough");
    Endpoint::File(Box::new(nic), CountingSink::new())
}

/// A live guest that serves, and connects to the next one and pings it. Only ports that nothing
/// else sends by have one.
fn live_host(id: PortId, port: &PortPlan, plan: &Plan, pool: &Pool) -> Option<Box<SmolHost>> {
    if !port.is_live {
        return None;
    }
    let address = |port: u8| Ipv4Addr::new(10, 0, 0, port + 1);
    let cidr = IpCidr::new(IpAddr::V4(address(id.0)).into(), 24);
    let config = HostConfig {
        rx_buffers: port.ring_slots,
        tx_frames: port.budget,
        tcp_buffer: 4096,
        checksum_offload: plan.config.gro,
        ..HostConfig::new(id, mac(id.0), cidr)
    };
    let mut host = Box::new(SmolHost::new(config, pool).expect("a valid host"));
    host.serve(80, Service::Echo, 2).expect("a port to serve");
    let next = IpAddr::V4(address((id.0 + 1) % plan.ports.len() as u8));
    if plan.ports.len() > 1 {
        let stream = Stream { bytes: 9000, seed: 7 };
        host.connect(SocketAddr::new(next, 80), stream).expect("a route to a neighbour");
        host.ping(next, 56).expect("a route to a neighbour");
    }
    Some(host)
}

/// Sees every frame and says what must not be.
struct Watch {
    protected: PortSet,
    /// Ends of mirror sessions: they get frames that nobody sent to them.
    mirrors: PortSet,
    live: PortSet,
    ports: usize,
    delivered: Vec<u64>,
}

impl Watch {
    fn new(plan: &Plan) -> Self {
        let ports = &plan.switch.ports;
        let live = (0..).zip(&plan.ports).filter(|(_, port)| port.is_live);
        Self {
            protected: ports.iter().filter(|port| port.protected).map(|port| port.id).collect(),
            mirrors: plan.switch.mirrors.iter().map(|mirror| mirror.destination).collect(),
            live: live.map(|(port, _)| PortId(port)).collect(),
            ports: ports.len(),
            delivered: vec![0; ports.len()],
        }
    }

    /// What ports without a stack took is what was sent to them, none of it refused.
    fn assert_taken(&self, outcome: &Outcome) {
        for (index, (sent, taken)) in self.delivered.iter().zip(&outcome.taken).enumerate() {
            let is_live = self.live.contains(PortId(index as u8));
            assert!(is_live || *sent == taken.0, "port {index}: {sent} sent, {taken:?} taken");
        }
    }

    fn look(pool: &Pool, skb: &Skb) {
        assert!(pool.refs(skb.buf()) > 0, "a frame in a buffer that nobody holds");
        assert!(skb.pulled() + skb.len() == pool.frame(skb).len());
        assert!(pool.frags(skb).map(<[u8]>::len).sum::<usize>() == pool.frags_len(skb));
    }
}

impl Tracer for Watch {
    const ON: bool = true;

    fn arrived(&mut self, pool: &Pool, desc: &RxDesc) {
        Self::look(pool, desc);
    }

    fn stage(&mut self, _: Stage, pool: &Pool, skb: &Skb) {
        Self::look(pool, skb);
    }

    fn verdict(&mut self, _: &Pool, skb: &Skb, verdict: &Verdict) {
        if let Verdict::Forward(ports) = verdict {
            assert!(!ports.contains(skb.ingress), "forwarded back");
            assert!(ports.into_iter().all(|port| port.index() < self.ports), "{ports:?}");
            let isolated = self.protected.contains(skb.ingress);
            assert!(!isolated || ports.and(self.protected).is_empty(), "between protected ports");
        }
    }

    fn delivered(&mut self, pool: &Pool, skb: &Skb, port: PortId) {
        Self::look(pool, skb);
        assert_ne!(port, skb.ingress, "out by the port it came in by");
        let isolated = self.protected.contains(skb.ingress) && self.protected.contains(port);
        assert!(!isolated || self.mirrors.contains(port), "between protected ports");
        self.delivered[port.index()] += 1;
    }

    fn dropped(&mut self, _: Stage, pool: &Pool, skb: &Skb, _: DropReason, _: Option<PortId>) {
        Self::look(pool, skb);
    }
}
