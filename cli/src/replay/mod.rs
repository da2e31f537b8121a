//! `framewalk replay`: recorded frames out again, on time.

pub(crate) mod change;
mod place;
pub mod port;
mod report;
mod switch;
mod verify;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use nic::tx::Method;
use replay::clock::TickClock;
use replay::prepare::{PrepareOptions, Truncated};
use replay::rewrite::RewriteOptions;
use replay::run::{Control, Plan};
use replay::verify::Verdict;
use replay::verify::mark::Seed;
use replay::{Decimal, Ended, Feed, FeedOptions, Pace};

use crate::capture::stop::Signals;
use crate::cli::Globals;
use crate::exit::Exit;
use crate::term::{Paint, Progress};
use crate::walk::stream::parse_size;
use crate::walk::{self, plan::SwitchKind};
use place::Place;
use port::{Out, Ports};
use report::Told;
use switch::Switch;

/// Time between two looks at how far it is, for the progress bar.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Send a capture out again: in recorded time, at a rate, or as fast as possible
#[derive(Debug, Clone, clap::Args)]
#[command(
    long_about = "Send the frames of a capture out of an interface, in recorded time unless \
        told otherwise, and say how true it was: rate asked for and reached, how far the gaps \
        between frames were off, what was late, skipped or refused.\n\n\
        Frames go as they were captured, whole or not at all: an FCS in the capture is cut off \
        (the interface makes its own), frames that the capture holds only the beginning of are \
        skipped (--pad fills them up), frames longer than the MTU are skipped (--resegment cuts \
        TCP super-frames again). Everything skipped is counted by reason.\n\n\
        Recorded frames in a live network do harm: answers to nobody, addresses in the wrong \
        place, loops. An interface that has an IP address (link-local IPv6 aside), a default \
        route, or a part in a bridge or bond is refused, unless --on-production repeats its \
        name. The capture's frames hold whatever was recorded, patient data too.\n\n\
        --verify IFACE listens to the other end, an interface of this machine too, and says which \
        frames were lost, came twice, late or damaged on the way, and which were not ours; \
        exit code 1 unless every frame came once, in order, byte for byte.",
    after_long_help = "Examples:\n  \
        framewalk replay morning.pcapng -i veth0                 as recorded\n  \
        framewalk replay morning.pcapng -i veth0 --speed 10      ten times as fast\n  \
        framewalk replay morning.pcapng -i veth0 --pps 100000    evenly spaced\n  \
        framewalk replay morning.pcapng -i veth0 --mbps 940 --loop 0 --seconds 60\n  \
        framewalk replay morning.pcapng -i veth0 --topspeed --loop 100\n  \
        framewalk replay two-taps.pcapng -i 0=vethA -i 1=vethB   each tap by a port of its own\n  \
        framewalk replay morning.pcapng -i vethA -t --loop 50 --verify vethB   does all arrive?\n  \
        framewalk replay morning.pcapng -i veth0 --map-ip 192.168.1.0/24=10.9.9.0/24\n  \
        framewalk replay morning.pcapng -i veth0 --anonymize site.key --pps 100\n  \
        zcat old.pcap.gz | framewalk replay - -i veth0 --json | jq .gap_error_ns\n\n\
        A cable to try it on, without harm to any network:\n  \
        sudo ip link add vethA type veth peer name vethB\n  \
        sudo ip link set vethA up; sudo ip link set vethB up\n\n\
        The JSON is one object, schema framewalk.replay/1."
)]
pub struct Args {
    /// Capture file, or - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Interface to send by; with N= only what the capture's interface N (from 0) recorded
    #[arg(short, long, value_name = "[N=]IFACE", required_unless_present = "switch")]
    pub interface: Vec<Out>,
    /// Into the virtual switch instead of an interface: the path of walk, on time, no root
    #[arg(long, conflicts_with_all = ["interface", "method", "verify", "on_production"])]
    pub switch: bool,
    /// A station that is a guest behind the switch (repeatable)
    #[arg(long, value_name = "MAC", requires = "switch")]
    pub guest: Vec<skb::MacAddr>,
    /// Who can be on the switch, in Hyper-V's three types
    #[arg(long, value_enum, value_name = "TYPE", default_value = "external", requires = "switch")]
    pub switch_type: SwitchKind,
    /// As fast as the interface takes frames
    #[arg(short = 't', long, group = "pace", help_heading = "How fast")]
    pub topspeed: bool,
    /// Frames per second
    #[arg(long, value_name = "N", group = "pace", help_heading = "How fast")]
    pub pps: Option<Decimal>,
    /// Megabits of frame per second (10^6 bits; without FCS, preamble and gap)
    #[arg(long, value_name = "N", group = "pace", help_heading = "How fast")]
    pub mbps: Option<Decimal>,
    /// Recorded time, so many times as fast
    #[arg(long, value_name = "FACTOR", group = "pace", help_heading = "How fast")]
    pub speed: Option<Decimal>,
    /// Cut recorded gaps longer than this
    #[arg(long, value_name = "SECONDS", help_heading = "How fast",
        conflicts_with_all = ["topspeed", "pps", "mbps"])]
    pub gap_max: Option<Decimal>,
    /// Send the capture so often; 0 until stopped
    #[arg(long = "loop", value_name = "N", default_value_t = 1, help_heading = "How much")]
    pub rounds: u64,
    /// Stop after so many frames
    #[arg(long, value_name = "N", help_heading = "How much",
        value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Stop after so many seconds
    #[arg(long, value_name = "N", help_heading = "How much")]
    pub seconds: Option<Decimal>,
    /// Fill frames up with zeros that the capture holds only the beginning of
    #[arg(long, help_heading = "Which frames")]
    pub pad: bool,
    /// Cut TCP super-frames (TSO, GRO) into segments that fit the MTU
    #[arg(long, help_heading = "Which frames")]
    pub resegment: bool,
    /// What is changed in frames before they go
    #[command(flatten)]
    pub change: change::Change,
    /// How to send: af-xdp, sendmmsg, tx-ring [default: the fastest that works]
    #[arg(long, value_name = "METHOD")]
    pub method: Option<Method>,
    /// Keep the capture in memory if its frames fit so many bytes; else read ahead while sending
    #[arg(long, value_name = "BYTES", value_parser = parse_size, default_value = "512Mi")]
    pub preload: u64,
    /// Send by this interface though it has an address, a default route or a bridge
    #[arg(long, value_name = "IFACE")]
    pub on_production: Vec<String>,
    /// Exit 1 if any frame was skipped or refused
    #[arg(long)]
    pub fail_on_drop: bool,
    /// Listen to the far end and tell what was lost, doubled, reordered or damaged on the way
    #[arg(long, value_name = "IFACE", help_heading = "Verification")]
    pub verify: Option<String>,
    /// Wait so many seconds for frames that have not come, after the last one did
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "0.5",
        requires = "verify",
        help_heading = "Verification"
    )]
    pub verify_wait: Decimal,
}

impl Args {
    fn pace(&self) -> Pace {
        match (self.topspeed, self.pps, self.mbps) {
            (true, ..) => Pace::Top,
            (_, Some(pps), _) => Pace::Pps(pps),
            (.., Some(mbps)) => Pace::Mbps(mbps),
            _ => Pace::Recorded(self.speed.unwrap_or(Decimal::ONE)),
        }
    }

    fn plan(&self) -> Plan {
        Plan {
            pace: self.pace(),
            gap_max_ns: self.gap_max.map(Decimal::as_billionths),
            frames_max: self.limit,
            duration_max_ns: self.seconds.map(Decimal::as_billionths),
        }
    }

    fn feed_options(
        &self,
        ports: &Ports,
        seed: Option<Seed>,
        rewrite: RewriteOptions,
    ) -> FeedOptions {
        FeedOptions {
            prepare: PrepareOptions {
                ports: ports.specs(),
                map: ports.map.clone(),
                truncated: if self.pad { Truncated::Pad } else { Truncated::Skip },
                resegment: self.resegment,
                seed,
                rewrite,
            },
            rounds: self.rounds,
            preload_max: usize::try_from(self.preload).unwrap_or(usize::MAX),
        }
    }
}

/// Runs it.
pub fn run(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    let switch = if args.switch {
        Some(Switch::wire(&args.file, &args.guest, args.switch_type, globals)?)
    } else {
        None
    };
    let mut ports = match &switch {
        Some(switch) => switch.ports(),
        None => Ports::choose(&args.interface, &args.on_production)?,
    };
    let control = Control::default();
    listen(&control.stop)?;
    let total = std::fs::metadata(&args.file).ok().map(|info| info.len());
    let mut loading = Progress::new("reading", total, globals.quiet);
    let mut check = verify::Check::of(args, &ports)?;
    let options = args.feed_options(
        &ports,
        check.as_ref().map(verify::Check::seed),
        args.change.options(globals)?,
    );
    let mut feed = Feed::open(&args.file, options, |at| loading.at(at))?;
    loading.clear();
    ports.open(args.method)?;
    let place = Place::here();
    if let Some(check) = &mut check {
        check.listen(&place)?;
    }
    let preloaded = feed.is_loaded();
    let mut clock = TickClock::new();
    let sent = watched(&control, feed.bytes_total(), globals, || {
        if args.pace().is_timed() {
            Place::prefer();
        }
        clock.restart();
        let watch = check.as_mut().and_then(verify::Check::watch);
        let (ways, plan) = (&mut ports.ways, args.plan());
        replay::run::run_watched(&mut feed, ways, &plan, &mut clock, &control, watch)
    });
    let outcome = feed.finish();
    let verified = check.and_then(verify::Check::finish);
    let verified = verified.as_ref();
    let told = Told { args, ports: &ports, report: &sent, outcome: &outcome, preloaded, verified };
    print(&told, globals)?;
    finish(args, &told, outcome.damage.as_ref())?;
    drop(ports);
    if let Some(switch) = switch {
        let report = switch.finish()?;
        walk::print(&report, globals)?;
        if let Err(imbalance) = report.ledger.check() {
            walk::talk(&format!("framewalk: {imbalance}; this is a fault of framewalk"));
            return Ok(Exit::OurFault);
        }
    }
    if let Some(damage) = outcome.damage {
        return Err(damage.into());
    }
    let lost = outcome.prepared.skipped_total() + sent.failed_total();
    let intact = verified.is_none_or(|verified| verified.verdict() == Verdict::Intact);
    Ok(if !intact || (args.fail_on_drop && lost > 0) { Exit::No } else { Exit::Done })
}

/// What makes the request one that failed, though a report was printed.
fn finish(args: &Args, told: &Told<'_>, damage: Option<&capture::Error>) -> anyhow::Result<()> {
    let (report, prepared) = (told.report, &told.outcome.prepared);
    if report.ended == Ended::InterfaceGone {
        bail!("{} was removed while frames were sent", told.ports.names());
    }
    if report.sent > 0 || report.ended == Ended::Stopped || damage.is_some() || prepared.read == 0 {
        return Ok(());
    }
    let file = args.file.display();
    match report.failed.iter().max_by_key(|(_, count)| **count) {
        Some((cause, _)) => bail!("no frame of {file} could be sent: {cause}"),
        None => match prepared.skipped.iter().max_by_key(|(_, count)| **count) {
            Some((skip, _)) => bail!("no frame of {file} could be sent: {}", skip.explain()),
            None => Ok(()),
        },
    }
}

/// The first interrupt ends the replay with a report, a second one at once.
fn listen(stop: &Arc<AtomicBool>) -> anyhow::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    Signals::new().context("cannot listen for signals")?;
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(stop))
            .context("cannot listen for signals")?;
    }
    Ok(())
}

/// Runs `send` on this thread and shows from another how far it is, if anyone can see it.
fn watched<T>(
    control: &Control,
    total: Option<u64>,
    globals: &Globals,
    send: impl FnOnce() -> T,
) -> T {
    if globals.quiet || !std::io::stderr().is_terminal() {
        return send();
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut progress = Progress::new("sending", total, false);
            while !over.load(Ordering::Relaxed) {
                progress.at(control.bytes.load(Ordering::Relaxed));
                std::thread::park_timeout(LOOK_EVERY);
            }
        });
        let sent = send();
        over.store(true, Ordering::Relaxed);
        watcher.thread().unpark();
        sent
    })
}

fn print(told: &Told<'_>, globals: &Globals) -> anyhow::Result<()> {
    let mut text = String::new();
    if globals.json {
        text = serde_json::to_string(&told.json())?;
        text.push('\n');
    } else {
        // writing into a string cannot fail
        let _ = told.text(&mut text, Paint::for_stdout(globals.color));
    }
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}
