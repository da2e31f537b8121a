//! Random captures and random switches for the path's properties.
#![allow(dead_code)] // each test uses its part
#![allow(clippy::unwrap_used)] // a test fails by panicking

use capture::Source;
use capture::write::PcapWriter;
use framewalk_pipeline::guest::{CountingSink, HostConfig, SmolHost};
use framewalk_pipeline::nic::{FileNic, Ingress};
use framewalk_pipeline::skb::trace::Tracer;
use framewalk_pipeline::skb::{LinkType, MacAddr, Pool, PoolConfig, PortId, RxStatus};
use framewalk_pipeline::vswitch::fdb::HashKey;
use framewalk_pipeline::vswitch::vlan::VlanMode;
use framewalk_pipeline::vswitch::{
    MirrorDirection, MirrorSession, PortConfig, SwitchConfig, SwitchType, UnknownUnicast, Vswitch,
};
use framewalk_pipeline::{Endpoint, Engine, EngineConfig, Port, PortCast, PortFace, PortMode};
use proptest::prelude::*;

/// Station `n`; those of 1..=3 are the guests'.
pub(crate) fn mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}

/// A frame to be recorded.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) origlen_more: u32,
}

fn address() -> impl Strategy<Value = [u8; 6]> {
    prop_oneof![
        8 => (1u8..8).prop_map(|n| mac(n).0),
        1 => Just([0xff; 6]),
        1 => Just([1, 0, 0x5e, 0, 0, 251]),
        1 => (0u8..32).prop_map(|n| [1, 0x80, 0xc2, 0, 0, n]),
        1 => any::<[u8; 6]>(),
        1 => Just([0; 6]),
    ]
}

/// A TCP segment of one of four flows, so that GRO has something to merge.
fn segment() -> impl Strategy<Value = Vec<u8>> {
    (0u8..4, 0u32..6, prop_oneof![Just(100usize), 1usize..200]).prop_map(|(flow, nth, payload)| {
        let mut tcp = vec![0x10, flow, 0, 80];
        tcp.extend((nth * 100).to_be_bytes());
        tcp.extend([0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.resize(20 + payload, flow);
        let total = 20 + tcp.len() as u16;
        let mut ip = vec![0x45, 0];
        ip.extend(total.to_be_bytes());
        ip.extend([0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, flow, 10, 0, 0, 9]);
        [&[0x08, 0][..], &ip, &tcp].concat()
    })
}

fn inside() -> impl Strategy<Value = Vec<u8>> {
    let tag = |tpid: u16| {
        (any::<u16>(), proptest::collection::vec(any::<u8>(), 0..60)).prop_map(
            move |(tci, rest)| {
                [&tpid.to_be_bytes()[..], &(tci & 0xe003).to_be_bytes(), &[8, 0], &rest].concat()
            },
        )
    };
    prop_oneof![
        4 => segment(),
        2 => tag(0x8100),
        1 => tag(0x88a8),
        2 => proptest::collection::vec(any::<u8>(), 0..80),
    ]
}

/// Any frame: valid, tagged, merged by GRO, or cut anywhere.
pub(crate) fn frame() -> impl Strategy<Value = Recorded> {
    (address(), address(), inside(), prop_oneof![9 => Just(usize::MAX), 1 => 0usize..20], 0u32..9)
        .prop_map(|(dst, src, inside, cut, more)| {
            let mut bytes = [&dst[..], &src, &inside].concat();
            bytes.truncate(cut);
            let origlen_more = if more == 8 { 40 } else { 0 };
            Recorded { bytes, origlen_more }
        })
}

/// A switch and the ports around it.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) linktype: LinkType,
    pub(crate) ty: u8,
    pub(crate) guests: u8,
    pub(crate) flood: bool,
    pub(crate) trunk: bool,
    pub(crate) pvids: [u16; 4],
    pub(crate) mirror: Option<(u8, u8)>,
    pub(crate) credit: bool,
    pub(crate) live: bool,
    pub(crate) rx_buffers: usize,
    pub(crate) slots: usize,
    pub(crate) gro: bool,
    pub(crate) budget: usize,
}

pub(crate) fn setup() -> impl Strategy<Value = Setup> {
    let kind = prop_oneof![9 => Just(LinkType::ETHERNET), 1 => Just(LinkType(101))];
    let vids = proptest::array::uniform4(1u16..4);
    let switch = (0u8..2, 1u8..4, any::<bool>(), any::<bool>(), vids);
    let mirror = proptest::option::of((0u8..4, 0u8..4));
    let ports =
        (any::<bool>(), any::<bool>(), 1usize..6, prop_oneof![Just(0usize), Just(2), Just(64)]);
    (kind, switch, mirror, ports, any::<bool>(), prop_oneof![Just(1usize), Just(7), Just(64)])
        .prop_map(|(linktype, switch, mirror, ports, gro, budget)| Setup {
            linktype,
            ty: switch.0,
            guests: switch.1,
            flood: switch.2,
            trunk: switch.3,
            pvids: switch.4,
            mirror,
            credit: ports.0,
            live: ports.1,
            rx_buffers: ports.2,
            slots: ports.3,
            gro,
            budget,
        })
}

pub(crate) fn capture_of(linktype: LinkType, frames: &[Recorded]) -> Source {
    let mut writer = PcapWriter::new(Vec::new(), linktype, 0, None).unwrap();
    for (i, frame) in frames.iter().enumerate() {
        let origlen = frame.bytes.len() as u32 + frame.origlen_more;
        writer.write_frame(i as i64 * 1000, origlen, &frame.bytes).unwrap();
    }
    Source::from_bytes("test", writer.finish().unwrap()).unwrap()
}

impl Setup {
    fn switch_config(&self) -> SwitchConfig {
        let external = self.ty == 0;
        let vlan = |i: usize| {
            if self.trunk && i.is_multiple_of(2) {
                VlanMode::trunk_all()
            } else {
                VlanMode::Access { pvid: self.pvids[i] }
            }
        };
        let wire = external.then(|| PortConfig { vlan: vlan(0), ..PortConfig::wire(0, "wire") });
        let guest =
            |i: u8| PortConfig { vlan: vlan(usize::from(i)), ..PortConfig::guest(i, "guest") };
        let ports: Vec<_> = wire.into_iter().chain((1..=self.guests).map(guest)).collect();
        let known = |id: u8| ports.iter().any(|port| port.id.0 == id);
        let session = self.mirror.filter(|(from, to)| from != to && known(*from) && known(*to));
        let mirrors = session.map(|(from, to)| MirrorSession {
            sources: vec![PortId(from)],
            direction: MirrorDirection::Both,
            destination: PortId(to),
            snaplen: Some(30),
        });
        SwitchConfig {
            ty: if external { SwitchType::External } else { SwitchType::Private },
            ports,
            mirrors: mirrors.into_iter().collect(),
            unknown_unicast: if external && !self.flood {
                UnknownUnicast::Uplink
            } else {
                UnknownUnicast::Flood
            },
            ..SwitchConfig::default()
        }
    }

    pub(crate) fn engine<T: Tracer>(&self, frames: &[Recorded], tracer: T) -> Engine<T> {
        let pool = Pool::new(PoolConfig {
            slots: self.slots + if self.live { 300 } else { 0 },
            slot_frame_max: 1984,
            headroom: 64,
            blocks: 4,
            block_size: 512 * 1024,
        })
        .unwrap();
        let switch = Vswitch::new(self.switch_config(), HashKey::new([3, 4])).unwrap();
        let guests = (1..=self.guests).map(|n| (mac(n), PortId(n)));
        let source = capture_of(self.linktype, frames);
        let nic = FileNic::new(source, Ingress::new(PortId(0), guests), &pool).unwrap();
        let driver = || framewalk_pipeline::driver::Driver::new(64, self.budget);
        let mode = if self.credit { PortMode::Credit } else { PortMode::Drop };
        let wire = Endpoint::File(Box::new(nic), CountingSink::new());
        let mut ports = vec![Port::new(wire, PortMode::Drop).with_driver(driver())];
        for n in 1..=self.guests {
            let endpoint = if self.live && n == 1 {
                let cidr = "10.0.0.9/24".parse().unwrap();
                let config = HostConfig {
                    rx_buffers: self.rx_buffers,
                    ..HostConfig::new(PortId(n), mac(n), cidr)
                };
                Endpoint::Host(Box::new(SmolHost::new(config, &pool).unwrap()))
            } else {
                Endpoint::Sink(CountingSink::new())
            };
            ports.push(Port::new(endpoint, mode).with_driver(driver()));
        }
        let config = EngineConfig { gro: self.gro, ..EngineConfig::default() };
        Engine::new(pool, switch, ports, config, tracer).unwrap()
    }

    pub(crate) fn cast(&self) -> Vec<PortCast> {
        let face = |n: u8| match n {
            0 => PortFace::Wire,
            1 if self.live => PortFace::LiveGuest,
            _ => PortFace::RecordedGuest,
        };
        (0..=self.guests).map(|n| PortCast { name: format!("p{n}"), face: face(n) }).collect()
    }
}

/// Runs to the end of the capture and until the guests have nothing more to say; the ledger must
/// hold at every turn.
pub(crate) fn run<T: Tracer>(engine: &mut Engine<T>) -> Result<(), TestCaseError> {
    let (mut now, mut quiet) = (0, 0);
    for _ in 0..20_000 {
        now += 1_000_000;
        let changed = engine.poll_hosts(now);
        let status = engine.poll();
        let ledger = engine.ledger();
        prop_assert!(ledger.check().is_ok(), "{:?}", ledger.check());
        quiet = if changed || status == RxStatus::Active { 0 } else { quiet + 1 };
        if status == RxStatus::Done || quiet > 50 {
            return Ok(());
        }
    }
    Err(TestCaseError::fail("the path never came to rest"))
}
