//! The second half of a poll: every frame of a burst goes where its decision says.
//!
//! A frame for one port, unchanged, is the common case: its place in the burst is noted for the
//! port, as part of a run of neighbours that go the same way, and the port's sink reads it there
//! when the burst is through. Everything else (floods, mirrors, tags that change, drops) takes the
//! frame out of the burst and is done at once, after what was noted for that port before it, so
//! that every port sees its frames in order.

use crate::endpoint::Endpoint;
use crate::engine::{Core, PortMode, WAITING_MAX};
use skb::classify::push_mac_header;
use skb::trace::Tracer;
use skb::{BURST_MAX, DropReason, PORTS_MAX, PortId, PortSet, Run, Sink, Skb, Stage, Verdict};
use vswitch::{Decision, Decisions, run_len};

/// By egress port, the frames of the burst at hand that go there and nowhere else.
#[derive(Debug)]
pub(crate) struct Picks {
    runs: Box<[[Run; BURST_MAX]; PORTS_MAX]>,
    /// Runs and frames of each port.
    counts: [(u8, u8); PORTS_MAX],
}

impl Picks {
    pub(crate) fn new() -> Self {
        let runs = Box::new([[Run::default(); BURST_MAX]; PORTS_MAX]);
        Self { runs, counts: [(0, 0); PORTS_MAX] }
    }

    #[inline(always)]
    fn push(&mut self, port: PortId, run: Run) {
        let port = port.index() % PORTS_MAX;
        let (runs, frames) = &mut self.counts[port];
        // at most one run per frame of a burst: the list cannot be full
        self.runs[port][usize::from(*runs) % BURST_MAX] = run;
        *runs += 1;
        *frames += run.len;
    }

    /// The runs of `port`, in order, and how many frames they have.
    fn of(&self, port: PortId) -> (&[Run], usize) {
        let port = port.index() % PORTS_MAX;
        let (runs, frames) = self.counts[port];
        (&self.runs[port][..usize::from(runs).min(BURST_MAX)], usize::from(frames))
    }

    fn clear(&mut self, port: PortId) {
        self.counts[port.index() % PORTS_MAX] = (0, 0);
    }
}

impl<T: Tracer> Core<T> {
    /// Sends every frame of the burst where its decision says; afterwards the burst owns nothing.
    #[inline]
    pub(crate) fn carry_out(&mut self, source: usize, burst: &mut [Skb], decisions: &Decisions) {
        let mut used = PortSet::EMPTY;
        let mut taken = 0_u64;
        let decided = burst.len().min(BURST_MAX);
        for skb in &mut burst[..decided] {
            push_mac_header(skb);
        }
        let plain = &decisions.plain()[..decided];
        let mut at = 0;
        while let Some(&port) = plain.get(at) {
            if usize::from(port) < PORTS_MAX {
                let len = run_len(&plain[at..]);
                let (port, run) = (PortId(port), Run { start: at as u8, len: len as u8 });
                used = used.with(port);
                self.picks.push(port, run);
                if T::ON {
                    for skb in run.of(burst) {
                        self.tracer.delivered(&self.pool, skb, port);
                    }
                }
                at += len;
            } else {
                taken |= 1 << at;
                let skb = std::mem::replace(&mut burst[at], Skb::hollow());
                self.carry_out_rare(source, &decisions.get(at), skb, burst);
                at += 1;
            }
        }
        for port in used {
            self.flush(source, port, burst);
        }
        self.pool.free_all(burst, taken);
    }

    /// Floods, groups, mirrors, tags that change, and frames that end here.
    #[inline(never)]
    fn carry_out_rare(&mut self, source: usize, decision: &Decision, skb: Skb, burst: &[Skb]) {
        let Decision { verdict, mirror, retag } = *decision;
        for port in mirror {
            let copy = self.pool.share(&skb);
            self.ledger.cloned += 1;
            self.flush(source, port, burst);
            self.send_mirror(port, copy);
        }
        match verdict {
            Verdict::Forward(set) if !set.is_empty() => {
                let last = PortId(63 - set.0.leading_zeros() as u8);
                for port in set.without(last) {
                    let copy = self.pool.share(&skb);
                    self.ledger.cloned += 1;
                    self.flush(source, port, burst);
                    self.send_retagged(source, port, retag, copy);
                }
                self.flush(source, last, burst);
                self.send_retagged(source, last, retag, skb);
            }
            Verdict::Forward(_) => self.drop(Stage::Vswitch, skb, DropReason::NoMember, None),
            Verdict::Consume => {
                self.ledger.consumed += 1;
                self.pool.free(skb);
            }
            Verdict::Drop(reason) => self.drop(Stage::Vswitch, skb, reason, None),
        }
    }

    fn send_retagged(&mut self, source: usize, port: PortId, retag: PortSet, skb: Skb) {
        let skb = if retag.contains(port) {
            match self.switch.egress(&mut self.pool, port, skb) {
                Ok(skb) => skb,
                Err(e) => return self.drop(Stage::Vswitch, e.skb, e.reason, Some(port)),
            }
        } else {
            skb
        };
        self.tracer.delivered(&self.pool, &skb, port);
        self.send(source, port, skb);
    }

    fn drop(&mut self, stage: Stage, skb: Skb, reason: DropReason, port: Option<PortId>) {
        self.tracer.dropped(stage, &self.pool, &skb, reason, port);
        self.ledger.drop_at(stage, reason, 1);
        self.pool.free(skb);
    }

    /// A mirror can drop and can never slow the path.
    fn send_mirror(&mut self, port: PortId, mut skb: Skb) {
        let room = self.ports.get(port.index()).is_some_and(|p| p.endpoint.credit() > 0);
        if !room {
            return self.drop(Stage::Vswitch, skb, DropReason::MirrorBudget, Some(port));
        }
        self.switch.egress_mirror(port, &mut skb);
        self.tracer.delivered(&self.pool, &skb, port);
        self.hand_over(port, skb);
    }

    /// One reference to one egress port: delivered, or waiting, or dropped.
    fn send(&mut self, source: usize, port: PortId, skb: Skb) {
        let Some(egress) = self.ports.get(port.index()) else {
            return self.drop(Stage::Vswitch, skb, DropReason::NoMember, Some(port));
        };
        let room = egress.endpoint.credit() > 0;
        if egress.mode == PortMode::Drop {
            return if room {
                self.hand_over(port, skb);
            } else {
                self.drop(Stage::Guest, skb, DropReason::PortFull, Some(port));
            };
        }
        let ingress = &mut self.ports[source];
        if room && !ingress.waiting_for.contains(port) {
            return self.hand_over(port, skb);
        }
        if ingress.waiting.len() == WAITING_MAX {
            return self.drop(Stage::Guest, skb, DropReason::PortFull, Some(port));
        }
        ingress.waiting_for = ingress.waiting_for.with(port);
        ingress.waiting.push_back((port, skb));
        ingress.waiting_high = ingress.waiting_high.max(ingress.waiting.len());
    }

    fn hand_over(&mut self, port: PortId, skb: Skb) {
        if self.config.host_ports.contains(port) {
            self.ledger.host += 1;
        }
        self.ports[port.index()].endpoint.deliver(&mut self.pool, skb, &mut self.ledger);
    }

    /// Hands the noted frames of the burst to a port's sink; the burst keeps its references.
    #[inline]
    fn flush(&mut self, source: usize, port: PortId, burst: &[Skb]) {
        let (runs, frames) = self.picks.of(port);
        if frames == 0 {
            return;
        }
        // nothing overtakes what waits for credit
        let waits = self.ports.get(source).is_some_and(|p| p.waiting_for.contains(port));
        match self.ports.get_mut(port.index()) {
            Some(egress) if !waits && egress.endpoint.credit() >= frames => {
                if self.config.host_ports.contains(port) {
                    self.ledger.host += frames as u64;
                }
                egress.endpoint.deliver_runs(&mut self.pool, burst, runs, &mut self.ledger);
                self.picks.clear(port);
            }
            _ => self.flush_limited(source, port, burst),
        }
    }

    /// The same frame by frame, for a port that may not have room for all, or does not exist.
    #[inline(never)]
    fn flush_limited(&mut self, source: usize, port: PortId, burst: &[Skb]) {
        let mut runs = [Run::default(); BURST_MAX];
        let noted = self.picks.of(port).0;
        let runs = &mut runs[..noted.len()];
        runs.copy_from_slice(noted);
        self.picks.clear(port);
        for skb in runs.iter().flat_map(|run| run.of(burst)) {
            let skb = self.pool.share(skb);
            self.send(source, port, skb);
        }
    }

    /// Sends what waits behind `source` as far as credit allows. Whether anything moved.
    pub(crate) fn retry_waiting(&mut self, source: usize) -> bool {
        if self.ports[source].waiting.is_empty() {
            return false;
        }
        let mut blocked = PortSet::EMPTY;
        let mut moved = false;
        for _ in 0..self.ports[source].waiting.len() {
            let Some((port, skb)) = self.ports[source].waiting.pop_front() else { break };
            if self.ports[port.index()].endpoint.credit() > 0 && !blocked.contains(port) {
                moved = true;
                self.hand_over(port, skb);
            } else {
                blocked = blocked.with(port);
                self.ports[source].waiting.push_back((port, skb));
            }
        }
        self.ports[source].waiting_for = blocked;
        moved
    }

    pub(crate) fn shut_down(&mut self) {
        for index in 0..self.ports.len() {
            while let Some((port, skb)) = self.ports[index].waiting.pop_front() {
                self.drop(Stage::Guest, skb, DropReason::Shutdown, Some(port));
            }
            self.ports[index].waiting_for = PortSet::EMPTY;
            while let Some(desc) = self.ports[index].driver.ring_mut().pop() {
                let skb = self.pool.build_skb(desc);
                self.drop(Stage::Driver, skb, DropReason::Shutdown, None);
            }
            match &mut self.ports[index].endpoint {
                Endpoint::Host(host) => host.unplug(&mut self.pool),
                #[cfg(target_os = "linux")]
                Endpoint::Wire(nic) => nic.unplug(&mut self.pool),
                _ => {}
            }
        }
    }
}
