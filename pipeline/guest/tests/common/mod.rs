//! Two hosts on a cable: what one sends, the other is given.
// each test file uses its part; clippy.toml covers #[test] only
#![allow(dead_code, clippy::unwrap_used)]

use framewalk_guest::{HostConfig, Outcome, Service, SmolHost, Stream, StreamReport};
use skb::{Ledger, MacAddr, Nic, Pool, PoolConfig, PortId, Ring, Sink, Skb};
use std::collections::VecDeque;

pub(crate) const MB: u64 = 1_000_000;
pub(crate) const MS: i64 = 1_000_000;

pub(crate) fn config(number: u8) -> HostConfig {
    let mac = MacAddr([2, 0, 0, 0, 0, number]);
    let mut config =
        HostConfig::new(PortId(number), mac, format!("10.0.0.{number}/24").parse().unwrap());
    config.addresses.push(format!("fd00::{number}/64").parse().unwrap());
    config
}

pub(crate) fn pool(slots: usize) -> Pool {
    Pool::new(PoolConfig { slots, ..PoolConfig::default() }).unwrap()
}

/// With slots for super-frames.
pub(crate) fn large_pool() -> Pool {
    let config = PoolConfig { slots: 64, slot_frame_max: 66_000, ..PoolConfig::default() };
    Pool::new(config).unwrap()
}

/// Called for every frame on the cable: its sender, its bytes.
type Tap = Box<dyn FnMut(usize, &Skb, &[u8])>;

/// How the cable behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Frames are delivered whether or not there is credit.
    Drop,
    /// Frames wait, held, until there is credit.
    Credit,
}

pub(crate) struct Cable {
    pub(crate) pool: Pool,
    pub(crate) hosts: [SmolHost; 2],
    rings: [Ring; 2],
    waiting: [VecDeque<Skb>; 2],
    pub(crate) ledger: Ledger,
    pub(crate) now_ns: i64,
    pub(crate) mode: Mode,
    pub(crate) tap: Tap,
    /// Each host is polled again as soon as it has been served, before its peer is.
    pub(crate) greedy: bool,
    slots: usize,
}

impl Cable {
    pub(crate) fn new(a: HostConfig, b: HostConfig, pool: Pool, mode: Mode) -> Self {
        let hosts = [SmolHost::new(a, &pool).unwrap(), SmolHost::new(b, &pool).unwrap()];
        Self {
            greedy: false,
            slots: pool.free_slots(),
            pool,
            hosts,
            rings: [Ring::new(64), Ring::new(64)],
            waiting: [VecDeque::new(), VecDeque::new()],
            ledger: Ledger::default(),
            now_ns: 1_700_000_000_000_000_000,
            mode,
            tap: Box::new(|_, _, _| {}),
        }
    }

    /// One turn at the present time. `true` if a frame moved.
    pub(crate) fn turn(&mut self) -> bool {
        let mut moved = false;
        for from in 0..2 {
            let to = 1 - from;
            self.hosts[from].poll(self.now_ns, &mut self.pool);
            self.hosts[from].rx(&mut self.pool, &mut self.rings[from], 64, &mut self.ledger);
            while let Some(desc) = self.rings[from].pop() {
                let skb = self.pool.build_skb(desc);
                (self.tap)(from, &skb, self.pool.frame(&skb));
                self.waiting[to].push_back(skb);
            }
            while self.mode == Mode::Drop || self.hosts[to].credit() > 0 {
                let Some(skb) = self.waiting[to].pop_front() else { break };
                self.hosts[to].deliver(&mut self.pool, skb, &mut self.ledger);
                moved = true;
            }
            if self.greedy {
                self.hosts[from].poll(self.now_ns, &mut self.pool);
            }
            self.check();
        }
        moved
    }

    /// Turns until `done` or `turns` are over, a millisecond passing whenever nothing moves.
    pub(crate) fn run(&mut self, turns: usize, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        for _ in 0..turns {
            if !self.turn() {
                self.now_ns += MS;
            }
            if done(self) {
                return true;
            }
        }
        false
    }

    /// The ledger balances at any moment.
    pub(crate) fn check(&mut self) {
        self.ledger.held = self.pool.held();
        self.ledger.copies = *self.pool.copies();
        self.ledger.check().unwrap();
    }

    /// Ends the run: nothing is held, no slot is lost.
    pub(crate) fn finish(mut self) -> Ledger {
        for queue in &mut self.waiting {
            for skb in queue.drain(..) {
                self.ledger.drop_at(skb::Stage::Guest, skb::DropReason::Shutdown, 1);
                self.pool.free(skb);
            }
        }
        for host in &mut self.hosts {
            host.unplug(&mut self.pool);
        }
        self.check();
        assert_eq!(self.ledger.held, 0);
        assert_eq!(self.pool.free_slots(), self.slots, "slots lost");
        assert_eq!(self.ledger.frames_in, 0, "a guest's frames are originated, not received");
        self.ledger
    }
}

/// Sends `bytes` from host 0 to port 9 of host 1 and checks both ends' reports.
pub(crate) fn transfer(mut cable: Cable, to: &str, bytes: u64) -> (StreamReport, Cable) {
    let stream = Stream { bytes, seed: 7 };
    cable.hosts[1].serve(9, Service::Discard, 2).unwrap();
    let handle = cable.hosts[0].connect(to.parse().unwrap(), stream).unwrap();
    let done = cable.run(2_000_000, |cable| {
        cable.hosts[0].stream_report(handle).unwrap().outcome != Outcome::Open
            && cable.hosts[1].serving().next().is_none()
    });
    assert!(done, "{:?}", cable.hosts[0].stream_report(handle));
    let sent = cable.hosts[0].stream_report(handle).unwrap();
    let served = cable.hosts[1].take_served();
    assert_eq!(served.len(), 1, "{sent:?}");
    assert_eq!((sent.outcome, served[0].outcome), (Outcome::Complete, Outcome::Complete));
    assert_eq!(sent.sent, served[0].received);
    assert_eq!((sent.sent.bytes, sent.sent.digest), (bytes, Some(stream.digest())));
    assert_eq!(served[0].local_port, 9);
    assert_eq!(served[0].peer.unwrap().port(), sent.local_port);
    assert!(sent.seconds().unwrap() >= 0.0);
    (sent, cable)
}
