//! `walk -i`: the frames of a live interface through the path, from where the kernel wrote them.
//!
//! The kernel's receive ring lies in the pool's blocks, so no frame is copied on its way. What the
//! kernel had no room for while the path was busy came in and was dropped: `kernel-ring-full` in
//! the ledger. Nothing is sent: frames that leave by the wire are counted.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use nic::Ingress;
use nic::link::{self, LinkCounters};
use nic::packet::{BLOCK_BYTES, Config, LinkChange, PacketNic, RxCounts, Wake};
use pipeline::{Endpoint, Engine};
use serde_json::{Value, json};
use skb::arch::TickRate;
use skb::trace::{NoTrace, Tracer};
use skb::{LinkType, PoolConfig, RxStatus};

use super::plan::{POOL, Plan, SwitchKind, WIRE};
use super::run::{self, Ran};
use super::who::{self, Who};
use super::{Args, Receipt, receipt, talk};
use crate::capture::privilege;
use crate::capture::stop::{Ended, Signals};
use crate::cli::Globals;
use crate::exit::Exit;
use crate::term::{duration, grouped};

/// The buffers of a live walk: 64 MiB of them are the kernel's ring.
const LIVE_POOL: PoolConfig = PoolConfig { blocks: 256, block_size: BLOCK_BYTES, ..POOL };
/// How long it is looked who is who, where fewer frames come than are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// The longest sleep while nothing comes.
const NAP: Duration = Duration::from_millis(10);
/// Between two looks at everything but frames.
const TICK: Duration = Duration::from_secs(1);
/// Polls between two looks at the clock while frames come.
const POLLS_PER_LOOK: u32 = 64;

/// What the interface had to do with it, once the walk is over.
#[derive(Debug, Clone)]
pub struct LiveReport {
    /// Its name, as it was asked for.
    pub interface: String,
    /// In words, what ended the walk.
    pub ended: String,
    /// What the socket counted.
    pub rx: RxCounts,
    /// Frames read after the last one that was wanted; in no other figure of the report.
    pub past_end: u64,
    /// What the interface itself counted over the same time.
    pub counters: LinkCounters,
    /// Every frame that reached the socket was read or counted as dropped.
    pub drained: bool,
    /// Its frames were out of reach before they were asked to end.
    pub failed: bool,
}

impl LiveReport {
    /// Frames that the interface had no room for, before any socket saw them.
    pub fn interface_dropped(&self) -> u64 {
        self.counters.rx_dropped + self.counters.rx_missed
    }

    /// Every frame that came by, as far as anyone has counted.
    pub fn seen(&self) -> u64 {
        self.rx.seen.saturating_sub(self.past_end) + self.interface_dropped()
    }

    /// `seen = in + dropped by the interface`, and nothing left in the ring.
    pub fn balances(&self, frames_in: u64) -> bool {
        self.drained && self.seen() == frames_in + self.interface_dropped()
    }

    /// The member `live` of `framewalk.ledger/1`.
    pub fn json(&self, frames_in: u64) -> Value {
        json!({
            "interface": self.interface,
            "ended": self.ended,
            "seen": self.seen(),
            "dropped": {"kernel": self.rx.dropped, "interface": self.interface_dropped()},
            "balanced": self.balances(frames_in),
            "past_end": self.past_end,
            "ring_full": self.rx.ring_full,
            "vlan_tags_restored": self.rx.tags_restored,
            "vlan_tags_lost": self.rx.tags_lost,
            "interface_counters": {
                "rx_packets": self.counters.rx_packets,
                "tx_packets": self.counters.tx_packets,
                "rx_dropped": self.counters.rx_dropped,
                "rx_missed": self.counters.rx_missed,
                "rx_errors": self.counters.rx_errors,
            },
        })
    }
}

/// An interface that is listened to, before the path is wired to it.
pub(super) struct Listening {
    interface: String,
    pool: skb::Pool,
    nic: PacketNic,
    watch: Watch,
}

/// What ends a walk from outside of the path, and what is shown meanwhile.
pub(super) struct Watch {
    interface: String,
    signals: Signals,
    until: Option<Instant>,
    /// The interface's own counters at the beginning, and since then.
    before: LinkCounters,
    counters: LinkCounters,
    begun: Instant,
    ticked: Instant,
    /// Frames in at the last tick.
    ticked_in: u64,
    ended: Option<Ended>,
    error: Option<anyhow::Error>,
    line: bool,
    drawn: bool,
}

impl Listening {
    /// Starts to listen, then gives root up. `write` is the file that will be written, if any.
    pub(super) fn open(args: &Args, interface: &str, globals: &Globals) -> anyhow::Result<Self> {
        if args.switch_type != SwitchKind::External {
            bail!(
                "{interface} is a device of this machine, and a switch of type {} has no wire: \
                 only an external switch can listen to it",
                args.switch_type.name()
            );
        }
        let signals = Signals::new().context("cannot watch for Ctrl-C")?;
        let mut pool = skb::Pool::new(LIVE_POOL)?;
        let mut nic = PacketNic::open(interface, &Config::default(), &mut pool)?;
        nic.set_limit(args.count.unwrap_or(u64::MAX));
        let file = args.export.as_deref().or(args.receipt.as_deref());
        privilege::drop_root(file.unwrap_or(Path::new("none")))?;
        let begun = Instant::now();
        let watch = Watch {
            interface: interface.to_owned(),
            signals,
            until: args.seconds.and_then(|time| begun.checked_add(time)),
            before: nic.link().counters,
            counters: LinkCounters::default(),
            begun,
            ticked: begun,
            ticked_in: 0,
            ended: None,
            error: None,
            line: !globals.quiet && io::stderr().is_terminal(),
            drawn: false,
        };
        if !globals.quiet {
            talk(&format!(
                "listening on {interface}; nothing is sent and nothing is stored; Ctrl-C ends it"
            ));
        }
        Ok(Self { interface: interface.to_owned(), pool, nic, watch })
    }

    /// Who is who, by the first frames where no guest was named. They are walked all the same.
    pub(super) fn who(&mut self, args: &Args, globals: &Globals) -> anyhow::Result<Who> {
        let question = args.question(None);
        if !question.named.is_empty() {
            return who::decide_on_frames(&question, None, |_| Ok(0));
        }
        if !globals.quiet {
            talk(&format!(
                "looking who is who: {} frames or {LOOK:?} (or name guests with --guest)",
                grouped(who::FRAMES_STDIN)
            ));
        }
        let Self { nic, watch, .. } = self;
        let is_ethernet = nic.linktype() == LinkType::ETHERNET;
        let left =
            watch.until.map_or(LOOK, |until| until.saturating_duration_since(Instant::now()));
        who::decide_on_frames(&question, Some(is_ethernet), |count| {
            let enough = || watch.signals.came().is_some();
            Ok(nic.look(who::FRAMES_STDIN, LOOK.min(left), enough, count)?)
        })
    }

    /// Wires the path to it.
    pub(super) fn wire<T: Tracer>(
        mut self,
        plan: &Plan,
        tracer: T,
    ) -> anyhow::Result<(Engine<T>, Watch)> {
        self.nic.set_ingress(Ingress::new(WIRE, plan.guest_ports()));
        let endpoint = Endpoint::Packet(Box::new(self.nic), pipeline::guest::CountingSink::new());
        let engine = plan.wired(self.pool, endpoint, Some(&self.interface), tracer)?;
        Ok((engine, self.watch))
    }
}

/// The interface, as the wire's adapter listens to it.
pub(super) fn packet_nic<T: Tracer>(engine: &mut Engine<T>) -> Option<&mut PacketNic> {
    match engine.port_and_pool(WIRE)?.0.endpoint_mut() {
        Endpoint::Packet(nic, _) => Some(nic),
        _ => None,
    }
}

impl Watch {
    /// Between polls: waits for frames if `idle`, and asks the interface for no more when the walk
    /// is to end.
    pub(super) fn turn<T: Tracer>(&mut self, engine: &mut Engine<T>, idle: bool) {
        let frames_in = engine.ledger_in();
        let dropped = engine.ledger().dropped_total();
        let Some(nic) = packet_nic(engine) else { return };
        let waited = if idle || self.ticked.elapsed() >= TICK {
            nic.wait(if idle { NAP } else { Duration::ZERO })
        } else {
            Ok(Wake::Frames)
        };
        let done = match waited {
            Ok(Wake::Link(change)) => {
                self.clear();
                talk(&format!("framewalk: {}", words(&change, &self.interface)));
                (change == LinkChange::Gone).then_some(Ended::InterfaceGone)
            }
            Ok(_) => None,
            Err(error) => {
                self.error.get_or_insert(error.into());
                Some(Ended::Failed)
            }
        };
        let late = self.until.is_some_and(|until| Instant::now() >= until);
        let time = || late.then(|| Ended::Condition("the time is over".to_owned()));
        let done = done.or_else(|| self.signals.came()).or_else(time);
        if self.ended.is_none()
            && let Some(ended) = done
        {
            self.ended = Some(ended);
            if let Err(error) = nic.stop() {
                self.error.get_or_insert(error.into());
            }
        }
        if self.ticked.elapsed() >= TICK {
            self.tick(nic, frames_in, dropped);
        }
    }

    /// Once a second: the counters, and the line on the terminal.
    fn tick(&mut self, nic: &mut PacketNic, frames_in: u64, dropped: u64) {
        let since = self.ticked.elapsed().as_secs_f64();
        self.ticked = Instant::now();
        // the kernel counts in 32 bits, and forgets what it has told
        let kernel = nic.counts().map_or(0, |counts| counts.dropped);
        self.look(nic);
        let rate = frames_in.saturating_sub(self.ticked_in) as f64 / since;
        self.ticked_in = frames_in;
        if !self.line {
            return;
        }
        let (filled, blocks) = nic.ring_fill();
        let missed = kernel + self.counters.rx_dropped + self.counters.rx_missed;
        let line = format!(
            "  {}  {} frames/s  in {}  missed {}  dropped {}  ring {filled}/{blocks}",
            duration(self.begun.elapsed().as_nanos() as u64),
            grouped(rate.round() as u64),
            grouped(frames_in),
            grouped(missed),
            grouped(dropped.saturating_sub(kernel)),
        );
        let line: String = line.chars().take(crate::term::width().saturating_sub(1)).collect();
        let mut err = io::stderr().lock();
        // nothing can be done about a terminal that does not take it
        let _ = write!(err, "\r\x1b[2K{line}");
        let _ = err.flush();
        self.drawn = true;
    }

    /// What the interface has counted since the beginning; kept as it was when it is gone.
    fn look(&mut self, nic: &PacketNic) {
        if let Ok(Some(link)) = link::by_index(nic.link().index) {
            self.counters = link.counters.since(&self.before);
        }
    }

    /// Takes the line off the screen.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(io::stderr().lock(), "\r\x1b[2K");
        }
    }

    /// Takes every frame the whole way until something ends it.
    fn run<T: Tracer>(&mut self, engine: &mut Engine<T>) -> (Ran, LiveReport) {
        let rate = TickRate::start();
        let start = Instant::now();
        let live_guests = run::has_live_guests(engine);
        let mut polls = 0u32;
        loop {
            if live_guests {
                engine.poll_hosts(now_ns());
            }
            let status = run::poll(engine, live_guests);
            if status == RxStatus::Done {
                break;
            }
            polls = polls.wrapping_add(1);
            let idle = status == RxStatus::Idle;
            if idle || polls.is_multiple_of(POLLS_PER_LOOK) {
                self.turn(engine, idle);
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        engine.shut_down();
        run::unplug(engine);
        self.clear();
        let report = self.report(engine);
        (Ran { seconds, ns_per_tick: rate.ns_per_tick(), damage: None }, report)
    }

    /// The end of it.
    fn report<T: Tracer>(&mut self, engine: &mut Engine<T>) -> LiveReport {
        let mut report = LiveReport {
            interface: self.interface.clone(),
            ended: String::new(),
            rx: RxCounts::default(),
            past_end: 0,
            counters: LinkCounters::default(),
            drained: false,
            failed: false,
        };
        if let Some(nic) = packet_nic(engine) {
            self.look(nic);
            if let Some(error) = nic.take_error() {
                self.ended = Some(Ended::Failed);
                self.error.get_or_insert(error.into());
            }
            match nic.counts() {
                Ok(counts) => report.rx = counts,
                Err(error) => {
                    self.error.get_or_insert(error.into());
                }
            }
            (report.past_end, report.drained) = (nic.past_end(), nic.is_drained());
        }
        report.counters = self.counters;
        let wanted = || Ended::Condition("as many frames as were wanted".to_owned());
        let ended = self.ended.take().unwrap_or_else(wanted);
        report.failed = matches!(ended, Ended::InterfaceGone | Ended::Failed);
        report.ended = ended.words();
        report
    }

    /// What went wrong meanwhile.
    pub(super) fn take_error(&mut self) -> Option<anyhow::Error> {
        self.error.take()
    }
}

fn words(change: &LinkChange, name: &str) -> String {
    match change {
        LinkChange::Down => format!("{name} went down; waiting for it to come up"),
        LinkChange::Up => format!("{name} is up again"),
        LinkChange::Renamed { from, to } => format!("{from} is called {to} now"),
        LinkChange::Gone => format!("{name} is gone"),
        LinkChange::Back => format!("{name} is there again"),
    }
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Runs it for the command line.
pub(super) fn run(args: &Args, interface: &str, globals: &Globals) -> anyhow::Result<Exit> {
    let receipt = Receipt::prepare(args, || Ok(receipt::interface_facts(interface)), globals)?;
    let mut listening = Listening::open(args, interface, globals)?;
    let who = listening.who(args, globals)?;
    let plan = args.plan(&who);
    let mut exported = Ok(());
    let (report, error) = if let Some(path) = &args.export {
        let export = args.stage_export(path, plan.live_cast())?;
        let (mut engine, mut watch) = listening.wire(&plan, export)?;
        let (ran, live) = watch.run(&mut engine);
        exported = engine.tracer_mut().finish();
        receipt.write(&engine)?;
        let report = super::Report::new(interface.to_owned(), who, &plan, &engine, &ran);
        (report.with_live(live), watch.take_error())
    } else {
        let (mut engine, mut watch) = listening.wire(&plan, NoTrace)?;
        let (ran, live) = watch.run(&mut engine);
        receipt.write(&engine)?;
        let report = super::Report::new(interface.to_owned(), who, &plan, &engine, &ran);
        (report.with_live(live), watch.take_error())
    };
    super::print(&report, globals)?;
    let exit = super::finish(args, &report, None)?;
    exported?;
    error.map_or(Ok(exit), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_report_balances_only_with_every_frame_accounted_for() {
        let rx = RxCounts { seen: 110, dropped: 20, read: 90, ..RxCounts::default() };
        let counters = LinkCounters { rx_missed: 3, ..LinkCounters::default() };
        let mut report = LiveReport {
            interface: "eth0".to_owned(),
            ended: String::new(),
            rx,
            past_end: 10,
            counters,
            drained: true,
            failed: false,
        };
        assert_eq!((report.seen(), report.interface_dropped()), (103, 3));
        assert!(report.balances(100) && !report.balances(99));
        let json = report.json(100);
        assert_eq!((&json["dropped"]["kernel"], &json["balanced"]), (&20.into(), &true.into()));
        report.drained = false;
        assert!(!report.balances(100), "something may be left in the ring");
    }
}
