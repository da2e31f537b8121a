//! `framewalk walk`: a capture, or a live interface, through the path.

pub mod export;
#[cfg(target_os = "linux")]
pub mod live;
pub mod plan;
pub mod receipt;
pub mod report;
pub mod run;
pub mod step;
pub mod stream;
mod text;
pub mod who;

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use pipeline::Engine;
use pipeline::receipt::Key;
use skb::MacAddr;
use skb::trace::{NoTrace, Tracer};

use crate::cli::Globals;
use crate::exit::Exit;
use crate::keyfile;
use crate::term::{Paint, Progress};
use export::StageExport;
use plan::{LiveGuest, Plan, SwitchKind};
use receipt::CaptureFacts;
use report::Report;
use who::Question;

/// Run a capture, or a live interface, through the path: ledger, latency, steps, stage export
#[derive(Debug, Clone, clap::Args)]
#[command(
    long_about = "Send every frame of a capture, or of a live interface, through network card, \
        driver, skb, virtual switch and guest, and account for each of them.\n\n\
        A capture holds both directions of a wire. So walk first decides who is who: the station \
        that most unicast frames are sent to becomes the guest (or name guests with --guest); \
        everyone else lives on the wire. Frames a guest sent enter at the guest's port and go the \
        other way. What both sender and receiver have on the wire is not the switch's business \
        and ends as same-port.\n\n\
        The ledger counts references: a frame that goes to three ports is three. Every one of \
        them is delivered, dropped for a named reason, or otherwise accounted for; if the two \
        sides of the sum differ, framewalk says so and exits 3.\n\n\
        With -i frames come from an interface, from where the kernel wrote them: copies/frame is \
        0.00. Who is who is decided on the first 4,096 frames or 2 s, and those are walked too. \
        Nothing is sent. Ctrl-C ends it (or --count, --seconds); then seen = in, and what the \
        kernel had no room for is dropped as kernel-ring-full.",
    after_long_help = "Examples:\n  \
        framewalk walk morning.pcapng                          summary\n  \
        framewalk walk morning.pcapng --guest 02:00:00:00:00:21 --guest 02:00:00:00:00:22\n  \
        framewalk walk morning.pcapng --switch-type private    what if there were no wire?\n  \
        framewalk walk morning.pcapng --frame 7 --step         step with the arrow keys\n  \
        framewalk walk morning.pcapng --frame 7 | less         the same as text\n  \
        framewalk walk morning.pcapng --export stages.pcapng   every stage, for Wireshark\n  \
        framewalk walk --stream 1Gi                            two guests, one TCP stream\n  \
        sudo framewalk walk -i mirror0                         live, until Ctrl-C\n  \
        sudo framewalk walk -i mirror0 --frame 1 --step        step through what comes first\n  \
        framewalk walk morning.pcapng --json | jq .dropped\n\n\
        The JSON's last line is one object, schema framewalk.ledger/1."
)]
pub struct Args {
    /// Capture file, or - for standard input
    #[arg(value_name = "FILE", required_unless_present_any = ["stream", "interface"])]
    pub file: Option<PathBuf>,
    /// Walk the frames of this interface as they come (Linux)
    #[arg(short, long, value_name = "IFACE", conflicts_with_all = ["file", "stream"])]
    pub interface: Option<String>,
    /// Live: stop after so many frames
    #[arg(long, value_name = "N", conflicts_with_all = ["file", "stream"],
        value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Live: stop after so many seconds
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["file", "stream"],
        value_parser = stream::parse_seconds)]
    pub seconds: Option<Duration>,
    /// No capture: one TCP stream of this many bytes (64M, 1Gi) between two live guests
    #[arg(long, value_name = "BYTES", value_parser = stream::parse_size,
        conflicts_with_all = ["file", "guest", "live_guest", "frame", "export", "receipt", "gro"])]
    pub stream: Option<u64>,
    /// Show the life of this frame, counted from 1, step by step
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub frame: Option<u64>,
    /// In a terminal: step through it with the arrow keys, forwards and backwards
    #[arg(long, requires = "frame")]
    pub step: bool,
    /// Write every frame at every stage as pcapng (mode 0600: it holds whole frames)
    #[arg(long, value_name = "FILE", conflicts_with = "frame")]
    pub export: Option<PathBuf>,
    /// Stop the export after this many bytes
    #[arg(
        long,
        value_name = "BYTES",
        requires = "export",
        default_value_t = export::BYTES_MAX_DEFAULT
    )]
    pub export_max: u64,
    /// A station that is a guest behind the switch (repeatable)
    #[arg(long, value_name = "MAC")]
    pub guest: Vec<MacAddr>,
    /// A guest with a TCP/IP stack of its own, that answers ARP and ping (repeatable)
    #[arg(long, value_name = "MAC=IP/LEN")]
    pub live_guest: Vec<LiveGuest>,
    /// Who can be on the switch, in Hyper-V's three types
    #[arg(long, value_enum, value_name = "TYPE", default_value = "external")]
    pub switch_type: SwitchKind,
    /// Merge TCP segments before the switch, as Linux does (GRO)
    #[arg(long)]
    pub gro: bool,
    /// Write a receipt: who could reach whom by configuration, and the ledger
    #[arg(long, value_name = "FILE", conflicts_with = "frame")]
    pub receipt: Option<PathBuf>,
    /// Seal the receipt with this key (64 hexadecimal digits, mode 0600; made if it is not there)
    #[arg(long, value_name = "FILE", requires = "receipt")]
    pub key: Option<PathBuf>,
    /// Exit 1 if any frame was dropped
    #[arg(long)]
    pub fail_on_drop: bool,
}

/// Runs it.
pub fn run(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    match (args.stream, args.frame) {
        (Some(bytes), _) => stream::run(bytes, globals),
        (None, Some(number)) => step::run(args, number, globals),
        (None, None) => match &args.interface {
            Some(interface) => live_summary(args, interface, globals),
            None => summary(args, globals),
        },
    }
}

#[cfg(target_os = "linux")]
fn live_summary(args: &Args, interface: &str, globals: &Globals) -> anyhow::Result<Exit> {
    live::run(args, interface, globals)
}

#[cfg(not(target_os = "linux"))]
fn live_summary(_: &Args, interface: &str, _: &Globals) -> anyhow::Result<Exit> {
    bail!("cannot listen on {interface}: live interfaces are read on Linux only")
}

impl Args {
    fn plan(&self, who: &who::Who) -> Plan {
        let live = |mac: &MacAddr| self.live_guest.iter().any(|l| l.mac == *mac);
        let guests = who.guests.iter().map(|g| g.mac).filter(|mac| !live(mac)).collect();
        Plan {
            guests,
            live: self.live_guest.clone(),
            switch: self.switch_type,
            gro: self.gro,
            budget: skb::BURST_MAX,
        }
    }

    fn question(&self, frame: Option<u64>) -> Question {
        // in port order: the recorded ones, then the live ones
        let live: Vec<MacAddr> = self.live_guest.iter().map(|live| live.mac).collect();
        let recorded = self.guest.iter().filter(|mac| !live.contains(mac)).copied();
        Question { named: recorded.chain(live.iter().copied()).collect(), frame }
    }

    fn stage_export(
        &self,
        path: &Path,
        cast: Vec<pipeline::PortCast>,
    ) -> Result<StageExport<BufWriter<std::fs::File>>, capture::Error> {
        let out = BufWriter::with_capacity(1 << 20, capture::write::create(path)?);
        StageExport::new(out, cast, self.export_max)
    }
}

fn summary(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    let Some(file) = &args.file else { bail!("name a capture file, or - for standard input") };
    let total = std::fs::metadata(file).ok().map(|info| info.len());
    let looking = Progress::new("looking who is who", total, globals.quiet);
    let (who, source) = who::decide(file, &args.question(None), looking)?;
    let input = source.name().to_owned();
    let plan = args.plan(&who);
    let receipt = Receipt::prepare(args, || receipt::capture_facts(file), globals)?;
    let mut progress = Progress::new("walking", total, globals.quiet);
    let mut exported = Ok(());
    let (report, damage) = if let Some(path) = &args.export {
        let export = args.stage_export(path, plan.cast())?;
        let mut engine = plan.build(source, export)?;
        let mut ran = run::to_the_end(&mut engine, &mut progress);
        exported = engine.tracer_mut().finish();
        receipt.write(&engine)?;
        (Report::new(input, who, &plan, &engine, &ran), ran.damage.take())
    } else {
        let mut engine = plan.build(source, NoTrace)?;
        let mut ran = run::to_the_end(&mut engine, &mut progress);
        receipt.write(&engine)?;
        (Report::new(input, who, &plan, &engine, &ran), ran.damage.take())
    };
    print(&report, globals)?;
    let exit = finish(args, &report, damage)?;
    exported?;
    Ok(exit)
}

/// The receipt asked for, if any: key read and capture hashed before the walk.
struct Receipt(Option<(PathBuf, Option<Key>, CaptureFacts)>);

impl Receipt {
    fn prepare(
        args: &Args,
        facts: impl FnOnce() -> anyhow::Result<CaptureFacts>,
        globals: &Globals,
    ) -> anyhow::Result<Self> {
        let Some(path) = &args.receipt else { return Ok(Self(None)) };
        let make = |key: &PathBuf| keyfile::read_or_make(key, "receipt verify needs it", globals);
        let key = args.key.as_ref().map(make);
        Ok(Self(Some((path.clone(), key.transpose()?, facts()?))))
    }

    fn write<T: Tracer>(self, engine: &Engine<T>) -> anyhow::Result<()> {
        let Some((path, key, facts)) = self.0 else { return Ok(()) };
        if engine.ledger().check().is_err() {
            return Ok(()); // the summary says so, and exits 3
        }
        receipt::write(&path, key.as_ref(), facts, engine)
    }
}

/// The report, as JSON or for people.
pub(crate) fn print(report: &Report, globals: &Globals) -> anyhow::Result<()> {
    let mut text = String::new();
    if globals.json {
        text = report.json().to_string();
        text.push('\n');
    } else {
        let paint = Paint::for_stdout(globals.color);
        text::write(&mut text, report, paint, crate::term::width());
    }
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Our own fault first, then the file's, then the question asked.
fn finish(args: &Args, report: &Report, damage: Option<capture::Error>) -> anyhow::Result<Exit> {
    if let Err(imbalance) = report.ledger.check() {
        talk(&format!("framewalk: {imbalance}; this is a fault of framewalk, please report it"));
        return Ok(Exit::OurFault);
    }
    if let Some(damage) = damage {
        return Err(damage.into());
    }
    #[cfg(target_os = "linux")]
    if let Some(live) = &report.live {
        if !live.balances(report.ledger.frames_in) && !live.failed {
            talk(
                "framewalk: frames that came by are not accounted for; this is a fault of \
                 framewalk, please report it",
            );
            return Ok(Exit::OurFault);
        }
        if live.failed {
            return Ok(Exit::Failed);
        }
        if args.fail_on_drop && live.interface_dropped() > 0 {
            return Ok(Exit::No);
        }
    }
    let dropped = report.ledger.dropped_total();
    if args.fail_on_drop && dropped > 0 {
        return Ok(Exit::No);
    }
    Ok(Exit::Done)
}

/// A line on standard error. Nothing can be done about an error stream that does not take it.
pub(crate) fn talk(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
