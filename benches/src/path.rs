//! The in-memory path on one core: all five stages, learning, ledger, histograms.
//!
//! 4,096 distinct frames of 60 bytes lie in 4,096 pool slots and go round. Two guests own 1,024
//! MAC addresses between them and talk to each other, so every frame is learned from and looked up
//! among 1,024 addresses. The first round floods and teaches; it is in the ledger and in the
//! digest, and its time is not counted.

use crate::{Row, Spread};
use pipeline::engine::{Engine, EngineConfig, Port, PortMode};
use pipeline::guest::{CountingSink, Digest, FrameDigest};
use pipeline::nic::Generator;
use pipeline::skb::trace::{NoTrace, StampTrace, Tracer};
use pipeline::skb::{BURST_MAX, Ledger, Pool, PoolConfig, PortId};
use pipeline::vswitch::fdb::HashKey;
use pipeline::vswitch::{PortConfig, SwitchConfig, SwitchType, Vswitch};
use pipeline::{Endpoint, StageLatency};
use std::collections::HashMap;
use std::time::Instant;

/// Distinct frames, each in a slot of its own.
pub const FRAMES: usize = 4096;
/// MAC addresses.
pub const MACS: usize = 1024;
/// Bytes of a frame in memory, without FCS: 64 on the wire.
pub const FRAME_BYTES: usize = 60;

/// Address `n`; even ones belong to the guest of port 1, odd ones to that of port 2.
fn mac(n: usize) -> [u8; 6] {
    [0x02, 0xf0, 0, 0, (n >> 8) as u8, n as u8]
}

/// Port of the guest that owns address `n`.
fn port_of(n: usize) -> PortId {
    PortId(1 + (n & 1) as u8)
}

/// The frames: UDP over IPv4, source and destination with different guests.
pub fn templates() -> Vec<(PortId, Vec<u8>)> {
    (0..FRAMES)
        .map(|i| {
            // bursts of 64 from one guest, then 64 from the other, as two NICs are polled in turn
            let (burst, place) = (i / BURST_MAX, i % BURST_MAX);
            let source = (burst / 2 * BURST_MAX + place) * 2 % MACS + burst % 2;
            // an odd step keeps the two ends with different guests; the second term makes the
            // four frames of one source go to four destinations
            let target = (source + 1 + 2 * ((i / MACS) * 37 + source * 5)) % MACS;
            (port_of(source), frame(i, source, target))
        })
        .collect()
}

fn frame(index: usize, source: usize, target: usize) -> Vec<u8> {
    let mut f = Vec::with_capacity(FRAME_BYTES);
    f.extend(mac(target));
    f.extend(mac(source));
    f.extend([0x08, 0x00]);
    f.extend([0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0]);
    f.extend([10, 0, (source >> 8) as u8, source as u8, 10, 0, (target >> 8) as u8, target as u8]);
    let sum: u32 = f[14..34].chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(c[1])).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    f[24..26].copy_from_slice(&sum.to_be_bytes());
    f.extend([0x30, 0x39, 0x30, 0x3a, 0, 26, 0, 0]);
    f.extend((index as u32).to_be_bytes());
    f.resize(FRAME_BYTES, 0x5a);
    f
}

/// The engine of the benchmark with any tracer.
pub struct Bench<T: Tracer> {
    engine: Engine<T>,
}

impl<T: Tracer> std::fmt::Debug for Bench<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bench").finish_non_exhaustive()
    }
}

/// What one run showed.
#[derive(Debug, Clone)]
pub struct Run {
    /// Frames in the timed part.
    pub frames: u64,
    /// Its length.
    pub seconds: f64,
    /// Everything, the first round included.
    pub ledger: Ledger,
    /// Digest of what each guest was given, the first round included.
    pub digests: [u64; 2],
    /// Per-stage latency at burst grain.
    pub latencies: Vec<StageLatency>,
    /// Frames a second of each slice of `SLICE_ROUNDS` rounds, in the order they ran.
    pub slices: Vec<f64>,
}

/// Rounds between two looks at the clock: 262,144 frames, about 4 ms.
const SLICE_ROUNDS: u64 = 64;
/// Slices of a run that are kept, its first; enough for a minute.
const SLICES_MAX: usize = 1 << 14;

impl Run {
    /// What the fastest tenth of the slices reach at least: the rate of a core that nobody else
    /// uses, where a neighbour on the same core takes turns within each second.
    fn undisturbed(&self) -> f64 {
        let mut slices = self.slices.clone();
        slices.sort_by(f64::total_cmp);
        slices.get(slices.len() * 9 / 10).copied().unwrap_or(0.0)
    }
}

impl<T: Tracer> Bench<T> {
    /// Wires it. Errors would be mistakes of this module: the configuration is fixed.
    pub fn new(tracer: T, histograms: bool) -> anyhow::Result<Self> {
        let config = PoolConfig { slots: FRAMES, slot_frame_max: 192, ..PoolConfig::default() };
        let mut pool = Pool::new(config)?;
        let templates = templates();
        let frames = templates.iter().map(|(port, bytes)| (*port, bytes.as_slice()));
        let generator = Generator::new(&mut pool, frames, 0, 67)?;
        let guests = || Endpoint::Digest(CountingSink::<FrameDigest>::new());
        let ports = vec![
            Port::new(Endpoint::Generator(generator, CountingSink::new()), PortMode::Drop),
            Port::new(guests(), PortMode::Drop),
            Port::new(guests(), PortMode::Drop),
        ];
        let switch = SwitchConfig {
            ports: vec![
                PortConfig::wire(0, "wire"),
                PortConfig::guest(1, "guest1"),
                PortConfig::guest(2, "guest2"),
            ],
            ty: SwitchType::External,
            ..SwitchConfig::default()
        };
        let switch = Vswitch::new(switch, HashKey::new([1, 2]))?;
        let config = EngineConfig { histograms, ..EngineConfig::default() };
        Ok(Self { engine: Engine::new(pool, switch, ports, config, tracer)? })
    }

    /// Sends `rounds` rounds of all frames the whole way.
    pub fn rounds(&mut self, rounds: u64) -> u64 {
        let frames = rounds * FRAMES as u64;
        if let Some((port, _)) = self.engine.port_and_pool(PortId(0))
            && let Endpoint::Generator(generator, _) = port.endpoint_mut()
        {
            generator.add(frames);
        }
        let before = self.engine.ledger().frames_in;
        while self.engine.ledger_in() - before < frames {
            self.engine.poll_port(PortId(0));
        }
        frames
    }

    /// Teaches one round, then runs for at least `seconds`.
    pub fn run(&mut self, seconds: f64, ns_per_tick: f64) -> Run {
        self.rounds(1);
        let mut slices = Vec::with_capacity(SLICES_MAX);
        let start = Instant::now();
        let (mut frames, mut now) = (0, 0.0);
        while now < seconds {
            let slice = self.rounds(SLICE_ROUNDS);
            let then = std::mem::replace(&mut now, start.elapsed().as_secs_f64());
            if slices.len() < SLICES_MAX {
                slices.push(slice as f64 / (now - then));
            }
            frames += slice;
        }
        let seconds = now;
        Run {
            frames,
            seconds,
            ledger: self.engine.ledger(),
            digests: [1, 2].map(|p| self.digest(PortId(p))),
            latencies: self.engine.histograms().latencies(ns_per_tick),
            slices,
        }
    }

    fn digest(&self, port: PortId) -> u64 {
        self.engine.port(port).and_then(|p| p.endpoint().digest()).unwrap_or(0)
    }

    /// The engine, to look at.
    pub fn engine(&self) -> &Engine<T> {
        &self.engine
    }
}

/// The same work written plainly: a hash map, one frame at a time, no bursts, no pool. What each
/// guest must have been given after the teaching round and as many more as `rounds` says, for each
/// entry of `rounds`.
pub fn reference_digests(rounds: &[u64]) -> Vec<[u64; 2]> {
    let templates = templates();
    let mut fdb: HashMap<[u8; 6], PortId> = HashMap::new();
    let mut digests = [FrameDigest::default(), FrameDigest::default()];
    let mut found = vec![[0; 2]; rounds.len()];
    for round in 0..=rounds.iter().copied().max().unwrap_or(0) {
        for (ingress, bytes) in &templates {
            let (mut target, mut source) = ([0; 6], [0; 6]);
            target.copy_from_slice(&bytes[..6]);
            source.copy_from_slice(&bytes[6..12]);
            fdb.insert(source, *ingress);
            for port in [PortId(1), PortId(2)] {
                let to = fdb.get(&target);
                if port != *ingress && to.is_none_or(|to| *to == port) {
                    digests[port.index() - 1].frame(bytes);
                }
            }
        }
        for (at, slot) in rounds.iter().zip(&mut found) {
            if *at == round {
                *slot = [0, 1].map(|i| digests[i].value().unwrap_or(0));
            }
        }
    }
    found
}

/// The cases of [`bench()`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// As it runs by default: per-stage histograms on, tracing off.
    Untraced,
    /// Every stage stamped for every frame.
    Traced,
    /// Histograms off too.
    NoHistograms,
}

impl Case {
    /// The exact name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Untraced => "64B untraced",
            Self::Traced => "64B traced",
            Self::NoHistograms => "64B untraced, histograms off",
        }
    }

    fn run(self, seconds: f64, ns_per_tick: f64) -> anyhow::Result<Run> {
        Ok(match self {
            Self::Untraced => Bench::new(NoTrace, true)?.run(seconds, ns_per_tick),
            Self::NoHistograms => Bench::new(NoTrace, false)?.run(seconds, ns_per_tick),
            Self::Traced => Bench::new(StampTrace::new(1 << 12), true)?.run(seconds, ns_per_tick),
        })
    }
}

/// Two cores, two paths, nothing shared: frames a second of both together.
pub fn bench_cores(runs: usize, seconds: f64) -> anyhow::Result<Row> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(2);
    let mut figures = Vec::new();
    for _ in 0..runs {
        let both = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..cores).map(|_| scope.spawn(|| Case::Untraced.run(seconds, 1.0))).collect();
            threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>()
        });
        let mut sum = 0.0;
        for run in both {
            let run = run.map_err(|_| anyhow::anyhow!("a thread of the bench panicked"))??;
            run.ledger.check()?;
            sum += run.frames as f64 / run.seconds / 1e6;
        }
        figures.push(sum);
    }
    Ok(Row {
        bench: "path",
        case: format!("64B untraced, {cores} cores"),
        metric: "mpps",
        figures: Spread::new(figures),
        floor: None,
        peer: None,
        extra: vec![("cores", cores.to_string())],
    })
}

/// The row of one case, and for the plain one a second: what it reaches while nobody disturbs it.
pub fn bench(case: Case, runs: usize, seconds: f64) -> anyhow::Result<Vec<Row>> {
    let rate = pipeline::skb::arch::TickRate::start();
    let mut results: Vec<Run> = Vec::new();
    for _ in 0..runs {
        results.push(case.run(seconds, rate.ns_per_tick())?);
    }
    let rounds: Vec<u64> = results.iter().map(|r| r.frames / FRAMES as u64).collect();
    for (run, reference) in results.iter().zip(reference_digests(&rounds)) {
        run.ledger.check()?;
        anyhow::ensure!(
            run.digests == reference,
            "delivered bytes differ from the reference run: {:016x?} against {reference:016x?}",
            run.digests
        );
    }
    let figures = results.iter().map(|r| r.frames as f64 / r.seconds / 1e6).collect();
    let undisturbed = results.iter().map(|r| r.undisturbed() / 1e6).collect();
    let last = results.pop();
    let mut rows = vec![Row {
        bench: "path",
        case: case.name().into(),
        metric: "mpps",
        figures: Spread::new(figures),
        floor: (case == Case::Untraced).then(floor_mpps),
        peer: None,
        extra: last.map(|run| extra(&run)).unwrap_or_default(),
    }];
    if case == Case::Untraced {
        rows.push(Row {
            bench: "path",
            case: format!("{}, undisturbed", case.name()),
            metric: "mpps",
            figures: Spread::new(undisturbed),
            floor: None,
            peer: None,
            extra: vec![("what", "the fastest tenth of slices of 4 ms".into())],
        });
    }
    Ok(rows)
}

fn extra(run: &Run) -> Vec<(&'static str, String)> {
    let l = &run.ledger;
    let mut extra = vec![
        ("frames", run.frames.to_string()),
        ("seconds", format!("{:.3}", run.seconds)),
        ("in", l.frames_in.to_string()),
        ("originated", l.originated.to_string()),
        ("cloned", l.cloned.to_string()),
        ("split", l.split.to_string()),
        ("delivered", l.delivered.to_string()),
        ("dropped", l.dropped_total().to_string()),
        ("consumed", l.consumed.to_string()),
        ("merged", l.merged.to_string()),
        ("held", l.held.to_string()),
        // the templates' own way into their slots is before the first frame
        ("copies", (l.copies_total() - FRAMES as u64).to_string()),
        ("digest_guest1", format!("{:016x}", run.digests[0])),
        ("digest_guest2", format!("{:016x}", run.digests[1])),
        ("digest_equals_reference", "true".into()),
    ];
    for l in &run.latencies {
        extra.push((l.stage, format!("p50 {:.0} ns, p99 {:.0} ns a burst", l.p50_ns, l.p99_ns)));
    }
    extra
}

/// The floor: the same frames in the same slots, only what cannot be left out. Reads both
/// addresses of every frame, learns and looks up in a direct-mapped table without checks of age or
/// port, and counts per port.
pub fn floor_mpps() -> f64 {
    const STRIDE: usize = 256 + 64;
    const TABLE: usize = 8192;
    let mut memory = vec![0_u8; FRAMES * STRIDE];
    let templates = templates();
    for (i, (_, bytes)) in templates.iter().enumerate() {
        memory[i * STRIDE..][..FRAME_BYTES].copy_from_slice(bytes);
    }
    let mut table = vec![(0_u64, 0_u8); TABLE];
    let hash = |key: u64| (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 51) as usize & (TABLE - 1);
    let key = |b: &[u8]| u64::from_be_bytes([0, 0, b[0], b[1], b[2], b[3], b[4], b[5]]);
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        let mut counts = [0_u64; 4];
        for _ in 0..256 {
            for i in 0..FRAMES {
                let frame = &memory[i * STRIDE..][..FRAME_BYTES];
                let source = key(&frame[6..12]);
                table[hash(source)] = (source, 1 + (frame[11] & 1));
                let target = key(&frame[..6]);
                let (found, port) = table[hash(target)];
                counts[if found == target { port as usize } else { 3 }] += 1;
            }
        }
        std::hint::black_box(counts);
        best = best.min(start.elapsed().as_secs_f64() / (256 * FRAMES) as f64);
    }
    1e-6 / best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_distinct_and_cross_between_guests() {
        let frames = templates();
        let distinct: std::collections::HashSet<_> = frames.iter().map(|(_, b)| b).collect();
        assert_eq!(distinct.len(), FRAMES);
        let macs: std::collections::HashSet<_> = frames.iter().map(|(_, b)| &b[6..12]).collect();
        assert_eq!(macs.len(), MACS);
        for (ingress, bytes) in &frames {
            assert_eq!(bytes.len(), FRAME_BYTES);
            assert_eq!(ingress.0, 1 + (bytes[11] & 1));
            assert_ne!(bytes[11] & 1, bytes[5] & 1, "other guest");
        }
    }

    #[test]
    fn the_path_delivers_what_the_reference_does() {
        for histograms in [true, false] {
            let mut bench = Bench::new(NoTrace, histograms).unwrap();
            bench.rounds(1);
            bench.rounds(7);
            let ledger = bench.engine().ledger();
            ledger.check().unwrap();
            assert_eq!(ledger.frames_in, 8 * FRAMES as u64);
            assert_eq!(ledger.dropped_total() + ledger.held, 0);
            assert_eq!([1, 2].map(|p| bench.digest(PortId(p))), reference_digests(&[7])[0]);
        }
        let mut traced = Bench::new(StampTrace::new(64), true).unwrap();
        traced.rounds(8);
        assert_eq!([1, 2].map(|p| traced.digest(PortId(p))), reference_digests(&[7])[0]);
        let stamps = traced.engine().tracer().stamps;
        assert!(stamps >= 5 * 8 * FRAMES as u64, "every stage of every frame: {stamps}");
    }
}
