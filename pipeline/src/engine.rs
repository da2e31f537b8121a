//! The engine: five stages run to completion in bursts on one core.
//!
//! One call of [`Engine::poll_port`] takes at most a budget of frames from one port's NIC through
//! its driver, the skb stage and the switch to the sinks of the egress ports. Nothing is
//! allocated, locked or logged per frame. Who waits for whom: a *drop* port that has no room drops
//! (counted); a *credit* port makes the frames wait in the queue of the port they came in by, and
//! only that port is polled less.

use crate::egress::Picks;
use crate::endpoint::Endpoint;
use crate::hist::StageHistograms;
use driver::{Driver, gro};
use guest::SmolHost;
use skb::arch::ticks;
use skb::classify::classify_burst;
use skb::trace::Tracer;
use skb::{Burst, Ledger, Nic, PORTS_MAX, Pool, PortId, PortSet, RxStatus, Skb, Stage};
use std::collections::VecDeque;
use vswitch::{Decisions, Vswitch};

/// What a port does with a frame that its sink has no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PortMode {
    /// Drop it and count `port-full`.
    #[default]
    Drop,
    /// Let it wait where it came from. The operator's choice, never the guest's.
    Credit,
}

impl PortMode {
    /// The word printed for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Credit => "credit",
        }
    }
}

/// References that may wait for credit behind one ingress port.
pub const WAITING_MAX: usize = 1024;

/// A port of the engine: its far end, its rx queue and what waits.
#[derive(Debug)]
pub struct Port {
    pub(crate) endpoint: Endpoint,
    pub(crate) driver: Driver,
    pub(crate) mode: PortMode,
    /// Frames that came in here and wait for a credit port, in order of arrival.
    pub(crate) waiting: VecDeque<(PortId, Skb)>,
    /// For which egress ports something waits.
    pub(crate) waiting_for: PortSet,
    done: bool,
    /// Most references that ever waited here.
    pub(crate) waiting_high: usize,
}

impl Port {
    /// A port with a driver of default size.
    pub fn new(endpoint: Endpoint, mode: PortMode) -> Self {
        Self {
            endpoint,
            driver: Driver::default(),
            mode,
            waiting: VecDeque::with_capacity(WAITING_MAX),
            waiting_for: PortSet::EMPTY,
            done: false,
            waiting_high: 0,
        }
    }

    /// The same port with another rx queue: another ring size or budget.
    #[must_use]
    pub fn with_driver(self, driver: Driver) -> Self {
        Self { driver, ..self }
    }

    /// The far end.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The far end, to speak to a guest.
    pub fn endpoint_mut(&mut self) -> &mut Endpoint {
        &mut self.endpoint
    }

    /// The rx queue.
    pub fn driver(&self) -> &Driver {
        &self.driver
    }

    /// Drop or credit.
    pub fn mode(&self) -> PortMode {
        self.mode
    }

    /// Most references that ever waited for credit behind this port.
    pub fn waiting_high(&self) -> usize {
        self.waiting_high
    }
}

/// How the engine is run.
#[derive(Debug, Clone, Copy)]
pub struct EngineConfig {
    /// Merge TCP segments before the switch.
    pub gro: bool,
    /// Keep per-stage histograms.
    pub histograms: bool,
    /// Take the switch's clock from the frames' receive times, as a replay must.
    pub frame_clock: bool,
    /// Ports whose far end is the host's own stack; deliveries there are counted `host`.
    pub host_ports: PortSet,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { gro: false, histograms: true, frame_clock: true, host_ports: PortSet::EMPTY }
    }
}

/// The path, wired. `T` sees frames at stage boundaries; `NoTrace` compiles to nothing.
#[derive(Debug)]
pub struct Engine<T: Tracer> {
    core: Core<T>,
    hist: StageHistograms,
    burst: Box<Burst>,
    decisions: Box<Decisions>,
    now_ms: u64,
}

/// What the stages work on; apart from the burst, so that both can be borrowed at once.
#[derive(Debug)]
pub(crate) struct Core<T: Tracer> {
    pub(crate) pool: Pool,
    pub(crate) switch: Vswitch,
    pub(crate) ports: Vec<Port>,
    pub(crate) ledger: Ledger,
    pub(crate) picks: Picks,
    pub(crate) tracer: T,
    pub(crate) config: EngineConfig,
}

/// The engine was given more ports than a switch has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{ports} ports given, a switch has at most {PORTS_MAX}")]
pub struct TooManyPorts {
    /// How many.
    pub ports: usize,
}

impl<T: Tracer> Engine<T> {
    /// Wires `ports` (index = port id) to `switch`. Frames live in `pool`.
    pub fn new(
        pool: Pool,
        switch: Vswitch,
        ports: Vec<Port>,
        config: EngineConfig,
        tracer: T,
    ) -> Result<Self, TooManyPorts> {
        if ports.len() > PORTS_MAX {
            return Err(TooManyPorts { ports: ports.len() });
        }
        let (ledger, picks) = (Ledger::default(), Picks::new());
        let core = Core { pool, switch, ports, ledger, picks, tracer, config };
        Ok(Self {
            core,
            hist: StageHistograms::default(),
            burst: Box::new(Burst::new()),
            decisions: Box::default(),
            now_ms: 0,
        })
    }

    /// Sets the switch's clock, in milliseconds of any epoch; it never runs backwards.
    pub fn set_now_ms(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// A port by its id.
    pub fn port(&self, port: PortId) -> Option<&Port> {
        self.core.ports.get(port.index())
    }

    /// All ports, index = id.
    pub fn ports(&self) -> &[Port] {
        &self.core.ports
    }

    /// A port by its id, to speak to its far end, with the pool its frames live in.
    pub fn port_and_pool(&mut self, port: PortId) -> Option<(&mut Port, &mut Pool)> {
        Some((self.core.ports.get_mut(port.index())?, &mut self.core.pool))
    }

    /// The switch.
    pub fn switch(&self) -> &Vswitch {
        &self.core.switch
    }

    /// The pool.
    pub fn pool(&self) -> &Pool {
        &self.core.pool
    }

    /// The tracer.
    pub fn tracer(&self) -> &T {
        &self.core.tracer
    }

    /// The tracer, to read what it gathered or to choose what it gathers.
    pub fn tracer_mut(&mut self) -> &mut T {
        &mut self.core.tracer
    }

    /// Per-stage histograms.
    pub fn histograms(&self) -> &StageHistograms {
        &self.hist
    }

    /// The ledger as it stands: the pool's own count of what is held and copied included.
    pub fn ledger(&self) -> Ledger {
        let mut ledger = self.core.ledger.clone();
        ledger.held = self.core.pool.held();
        ledger.copies = *self.core.pool.copies();
        ledger
    }

    /// Frames that came in so far.
    #[inline]
    pub fn ledger_in(&self) -> u64 {
        self.core.ledger.frames_in
    }

    /// Lets the stacks of live guests run at `now_ns`. Whether anything may have changed.
    pub fn poll_hosts(&mut self, now_ns: i64) -> bool {
        self.each_host(|host, pool| host.poll(now_ns, pool))
    }

    /// The first half of it: [`SmolHost::take_in`].
    pub fn take_in_hosts(&mut self, now_ns: i64) -> bool {
        self.each_host(|host, pool| host.take_in(now_ns, pool))
    }

    /// The second half: [`SmolHost::send_out`].
    pub fn send_out_hosts(&mut self, now_ns: i64) -> bool {
        self.each_host(|host, pool| host.send_out(now_ns, pool))
    }

    fn each_host(&mut self, mut poll: impl FnMut(&mut SmolHost, &mut Pool) -> bool) -> bool {
        let Core { ports, pool, .. } = &mut self.core;
        let mut changed = false;
        for port in ports {
            if let Endpoint::Host(host) = &mut port.endpoint {
                changed |= poll(host, pool);
            }
        }
        changed
    }

    /// Polls every port once. `Active` if any frame moved, `Done` when every source has ended and
    /// nothing waits.
    pub fn poll(&mut self) -> RxStatus {
        let mut all_done = true;
        let mut active = false;
        for index in 0..self.core.ports.len() {
            if self.core.ports[index].done && self.core.ports[index].waiting.is_empty() {
                continue;
            }
            match self.poll_port(PortId(index as u8)) {
                RxStatus::Active => active = true,
                RxStatus::Idle => {}
                RxStatus::Done => continue,
            }
            all_done = false;
        }
        match (active, all_done) {
            (_, true) => RxStatus::Done,
            (true, _) => RxStatus::Active,
            (false, _) => RxStatus::Idle,
        }
    }

    /// Takes at most a budget of frames from `port` the whole way.
    pub fn poll_port(&mut self, port: PortId) -> RxStatus {
        let index = port.index();
        let mut stamps = [0; Stage::COUNT + 1];
        stamps[0] = ticks();
        let moved = self.core.retry_waiting(index);
        // frames that wait here use up this port's budget; the other ports keep theirs
        let waiting = self.core.ports[index].waiting.len();
        let budget = self.core.ports[index].driver.budget().saturating_sub(waiting);
        if budget == 0 {
            return if moved { RxStatus::Active } else { RxStatus::Idle };
        }
        let status = self.receive(index, budget);
        stamps[1] = ticks();
        let Core { ports, pool, tracer, config, ledger, .. } = &mut self.core;
        let driver = &mut ports[index].driver;
        let harvested =
            if config.gro { driver.poll(pool, &mut self.burst) } else { driver.harvest(pool) };
        // the ring is out of the engine while its oldest entries are the burst at hand
        let mut ring = std::mem::take(driver.ring_mut());
        let built = if config.gro { &mut self.burst[..] } else { ring.oldest_mut(harvested) };
        if T::ON {
            for skb in built.iter() {
                tracer.stage(Stage::Driver, pool, skb);
            }
        }
        stamps[2] = ticks();
        classify_burst(pool, built);
        if T::ON {
            for skb in built {
                tracer.stage(Stage::Skb, pool, skb);
            }
        }
        if config.gro {
            gro::merge_burst(pool, &mut self.burst, ledger);
        }
        stamps[3] = ticks();
        let burst =
            if self.core.config.gro { &mut self.burst[..] } else { ring.oldest_mut(harvested) };
        decide(&mut self.core, burst, &mut self.decisions, &mut self.now_ms);
        stamps[4] = ticks();
        self.core.carry_out(index, burst, &self.decisions);
        stamps[5] = ticks();
        if self.core.config.gro {
            self.burst.clear();
        } else {
            ring.release(harvested);
        }
        *self.core.ports[index].driver.ring_mut() = ring;
        if harvested > 0 {
            if self.core.config.histograms {
                self.hist.record(&stamps, harvested as u64);
            }
            return RxStatus::Active;
        }
        self.core.ports[index].done = status == RxStatus::Done;
        match status {
            RxStatus::Done if waiting == 0 => RxStatus::Done,
            RxStatus::Active => RxStatus::Active,
            _ if moved => RxStatus::Active,
            _ => RxStatus::Idle,
        }
    }

    fn receive(&mut self, index: usize, budget: usize) -> RxStatus {
        let Core { ports, pool, ledger, tracer, .. } = &mut self.core;
        let Port { endpoint, driver, .. } = &mut ports[index];
        let ring = driver.ring_mut();
        let before = ring.len();
        let status = endpoint.rx(pool, ring, budget, ledger);
        if T::ON {
            for desc in ring.newest(ring.len() - before) {
                tracer.arrived(pool, desc);
            }
        }
        status
    }

    /// Ends the run: frames that still wait are dropped as `shutdown`, with their stage.
    pub fn shut_down(&mut self) {
        self.core.shut_down();
    }
}

fn decide<T: Tracer>(
    core: &mut Core<T>,
    burst: &[Skb],
    decisions: &mut Decisions,
    now_ms: &mut u64,
) {
    let Core { switch, pool, tracer, .. } = core;
    if core.config.frame_clock
        && let Some(last) = burst.last()
    {
        *now_ms = (*now_ms).max(last.time_ns.max(0) as u64 / 1_000_000);
    }
    switch.forward_burst(pool, burst, *now_ms, decisions);
    if T::ON {
        for (place, skb) in burst.iter().enumerate() {
            tracer.verdict(pool, skb, &decisions.get(place).verdict);
        }
    }
}
