//! Any bytes as a capture to be replayed, by any options, to ports that refuse by a script.
//!
//! The first bytes are the options (rounds, MTU, pace, limits, what is cut, filled up, changed and
//! marked) and what the ports do; the rest is the file. No device and no clock is real. Then:
//!
//! * every frame read is sent, cut into segments or skipped for one reason, in every round;
//! * every frame handed over is taken or counted by cause, and comes out of its port once, within
//!   the bounds of Ethernet and the MTU, in order, never before its time;
//! * no more memory is kept than was allowed, whatever lengths the file claims;
//! * the verifier, shown what came out, finds it intact; shown it without some frames, counts them.

use super::input::Input;
use capture::Source;
use nic::tx::{SendError, Transmit};
use replay::clock::SimClock;
use replay::feed::{FeedOptions, Next};
use replay::prepare::{PortMap, PortSpec, PrepareOptions, Truncated, frame_max};
use replay::rewrite::{Anonymizer, RewriteOptions};
use replay::run::{Control, LEAD_NS, Plan, Watch, run_watched};
use replay::sim::{Act, Calls, SimPort};
use replay::verify::mark::{Mark, Seed};
use replay::verify::matcher::Matcher;
use replay::{Decimal, Feed, Pace};
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;

/// Bytes of frames that may be kept.
const KEPT_MAX: usize = 1 << 20;
/// Frames sent at most: rounds of long captures say nothing new.
const FRAMES_MAX: u64 = 50_000;
const SEED: Seed = Seed::of(5);

/// Options for seeds: a name and the bytes that a file is put behind.
pub const SEED_OPTIONS: [(&str, &[u8]); 3] = [
    // everything off, recorded time, one round
    ("plain", &[0, 0, 0, 0xdc, 5, 0, 0, 0]),
    // filled up, cut, marked, three rounds at a rate, two ports
    ("whole", &[0x17, 2, 1, 0xdc, 5, 9, 0x40, 0x21]),
    // changed: tags, addresses, ports, sums
    ("changed", &[0x60, 0, 3, 0x28, 0x23, 5, 0xff, 0]),
];

/// An input, understood.
struct Case<'a> {
    options: FeedOptions,
    plan: Plan,
    script: Vec<Act>,
    burst_max: usize,
    is_lossy: bool,
    file: &'a [u8],
}

impl<'a> Case<'a> {
    fn read(data: &'a [u8]) -> Self {
        let mut input = Input::new(data);
        let switches = input.u8();
        let has = |bit: u8| switches >> bit & 1 != 0;
        let rounds = 1 + u64::from(input.u8() % 4);
        let pace = match input.u8() % 4 {
            0 => Pace::Recorded(Decimal::ONE),
            1 => Pace::Pps(Decimal::whole(100_000).unwrap_or(Decimal::ONE)),
            2 => Pace::Mbps(Decimal::ONE),
            _ => Pace::Top,
        };
        let mtu = u32::from(input.u16());
        let burst_max = 1 + usize::from(input.u8() % 80);
        let changes = input.u8();
        let script = input.u8();
        let spec = PortSpec { mtu };
        let (ports, map) = if has(4) {
            (vec![spec; 2], PortMap::ByInterface(BTreeMap::from([(0, 0), (1, 1), (3, 0), (4, 7)])))
        } else {
            (vec![spec], PortMap::All)
        };
        let prepare = PrepareOptions {
            ports,
            map,
            truncated: if has(0) { Truncated::Pad } else { Truncated::Skip },
            resegment: has(1),
            rewrite: if has(5) || has(6) {
                rewrite(changes, has(6))
            } else {
                RewriteOptions::default()
            },
            seed: has(2).then_some(SEED),
        };
        let mut plan = Plan::new(pace);
        plan.frames_max = Some(FRAMES_MAX);
        plan.gap_max_ns = has(3).then_some(1000);
        Self {
            options: FeedOptions { prepare, rounds, preload_max: KEPT_MAX },
            plan,
            script: acts(script),
            burst_max,
            is_lossy: has(7),
            file: input.rest(),
        }
    }
}

/// What the port does with its first calls.
fn acts(script: u8) -> Vec<Act> {
    (0..script >> 4)
        .map(|n| {
            let error = match (script ^ n) % 4 {
                0 => SendError::NoBuffers,
                1 => SendError::TooLong { len: 1, max: 0 },
                2 => SendError::Down,
                _ => SendError::Refused(std::io::Error::other("no")),
            };
            Act::Take(usize::from(script % 5), error)
        })
        .collect()
}

fn rewrite(changes: u8, all: bool) -> RewriteOptions {
    let has = |bit: u8| changes >> bit & 1 != 0;
    let mut options = RewriteOptions {
        vlan_pop: has(0),
        checksums: has(1),
        anonymize: has(2).then(|| Anonymizer::new(&[changes; 32])),
        vlan_push: "7:3".parse().ok().filter(|_| has(3)),
        ..RewriteOptions::default()
    };
    if all {
        options.macs = of("02:00:00:00:01:64=02:00:00:00:00:99");
        options.ips = of("192.168.0.0/16=10.0.0.0/16");
        options.ips.append(&mut of("fe80::/64=2001:db8::/64"));
        options.ports = of("53=5353");
        options.vlan_swap = of("5=6");
    }
    options
}

/// A map of one entry.
fn of<T: std::str::FromStr>(text: &str) -> Vec<T> {
    let map: Vec<T> = text.parse().into_iter().collect();
    assert_eq!(map.len(), 1, "{text}");
    map
}

/// The marks of the frames handed over and taken, in order.
#[derive(Default)]
struct Log {
    matcher: Option<Matcher>,
    told: u64,
}

impl Watch for Log {
    fn handing(&mut self, marks: &[Mark]) {
        for mark in marks {
            self.told += 1;
            if let Some(matcher) = &mut self.matcher {
                matcher.sent(*mark);
            }
        }
    }

    fn refused(&mut self, back: usize) {
        if let Some(matcher) = &mut self.matcher {
            matcher.refused(self.told - back as u64);
        }
    }
}

/// See the module text.
pub fn run(data: &[u8]) {
    let case = Case::read(data);
    let mtu = case.options.prepare.ports.first().map_or(0, |port| port.mtu);
    let Ok(source) = Source::from_bytes("input", case.file.to_vec()) else { return };
    let Ok(mut feed) = Feed::from_source(source, &case.options) else { return };
    let each_round = frames_of_a_round(&case, mtu);
    let ports: Vec<SimPort> = case
        .options
        .prepare
        .ports
        .iter()
        .map(|_| SimPort::new(case.burst_max).with_script(acts_again(&case.script)))
        .collect();
    let calls: Vec<Calls> = ports.iter().map(SimPort::calls).collect();
    let mut ways: Vec<Box<dyn Transmit>> =
        ports.into_iter().map(|port| Box::new(port) as Box<dyn Transmit>).collect();
    // a clock that moves with every look, so that waits for room come to an end
    let mut clock = SimClock { look_ns: 300, ..SimClock::default() };
    let control = Control::default();
    let marked = case.options.prepare.seed.is_some();
    let mut log = Log { matcher: marked.then(|| Matcher::new(SEED)), told: 0 };
    let report =
        run_watched(&mut feed, &mut ways, &case.plan, &mut clock, &control, Some(&mut log));
    let prepared = feed.finish().prepared;
    let frames = prepared.read - prepared.skipped_total() - prepared.resegmented;
    assert_eq!(frames + prepared.segments, each_round, "{prepared:?}");
    let handed = report.sent + report.failed_total();
    assert_eq!(handed, (each_round * report.rounds).min(FRAMES_MAX), "{report:?}");
    if case.plan.pace.is_timed() && report.sent > 0 {
        assert!(report.drift_ns >= Some(0) && clock.now_ns >= LEAD_NS, "{report:?}");
    }
    let mut taken = 0;
    for (port, calls) in calls.iter().enumerate() {
        let calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
        let of_port: usize = calls.iter().map(Vec::len).sum();
        assert_eq!(report.by_port[port], of_port as u64);
        taken += of_port as u64;
        let frames = calls.iter().flatten();
        assert!(
            frames.into_iter().all(|frame| (14..=frame_max(frame, mtu)).contains(&frame.len()))
        );
    }
    assert_eq!(taken, report.sent);
    if let (Some(matcher), [calls]) = (log.matcher, &calls[..]) {
        verify(matcher, &calls.lock().unwrap_or_else(PoisonError::into_inner), case.is_lossy);
    }
}

fn acts_again(script: &[Act]) -> Vec<Act> {
    script
        .iter()
        .map(|Act::Take(count, error)| {
            let error = match error {
                SendError::NoBuffers => SendError::NoBuffers,
                SendError::TooLong { len, max } => SendError::TooLong { len: *len, max: *max },
                SendError::Down => SendError::Down,
                _ => SendError::Refused(std::io::Error::other("no")),
            };
            Act::Take(*count, error)
        })
        .collect()
}

/// How many frames one round has; that they keep within memory.
fn frames_of_a_round(case: &Case<'_>, mtu: u32) -> u64 {
    let Ok(source) = Source::from_bytes("input", case.file.to_vec()) else { return 0 };
    let options = FeedOptions { rounds: 1, ..case.options.clone() };
    let Ok(mut feed) = Feed::from_source(source, &options) else { return 0 };
    let (mut frames, mut bytes, stop) = (0, 0, AtomicBool::new(false));
    while let Next::Frames(chunk) = feed.next(&stop) {
        assert!(!chunk.entries().is_empty());
        assert!(chunk.marks().is_empty() || chunk.marks().len() == chunk.entries().len());
        frames += chunk.entries().len() as u64;
        bytes += chunk.frames().map(|(_, frame)| frame.len()).sum::<usize>();
    }
    assert!(bytes <= KEPT_MAX, "{bytes} bytes of frames at an MTU of {mtu}");
    frames
}

/// What was taken comes in order; the verifier must see that, or what is missing.
fn verify(mut matcher: Matcher, calls: &[Vec<Vec<u8>>], is_lossy: bool) {
    let (mut came, mut lost) = (0, 0);
    for (n, frame) in calls.iter().flatten().enumerate() {
        if is_lossy && n % 7 == 3 {
            lost += 1;
        } else {
            matcher.received(frame);
            came += 1;
        }
    }
    let found = matcher.finish();
    assert_eq!((found.sent, found.received), (came + lost, came), "{found:?}");
    assert_eq!((found.lost, found.corrupted, found.foreign), (lost, 0, 0), "{found:?}");
    // with frames of the same bytes it is not known which of them is missing
    assert!(is_lossy || (found.reordered, found.duplicated) == (0, 0), "{found:?}");
}
