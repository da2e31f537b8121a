//! `framewalk capture`: a live interface to pcapng, with every frame accounted for.

mod live;
pub(crate) mod privilege;
mod report;
pub(crate) mod stop;
mod take;
mod trigger;
mod view;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use capture::write::{Heading, Listened, Packing, Plan, Recorder};
use nic::listen::{self, Listen, Way};
use nic::packet::{Config, SNAPLEN_MAX};

use crate::cli::Globals;
use crate::exit::Exit;
use crate::walk::stream::parse_size;
use stop::{Condition, Conditions};

/// First words of every file.
const PRIVATE: &str = "This file holds frames of a network and so, on a practice's network, \
    patient data. Keep it readable by yourself only and delete it when it is no longer needed.";

/// A live interface to pcapng files, with drops accounted for
#[derive(Debug, Clone, clap::Args)]
#[command(
    long_about = "Writes the frames of a live interface, such as one on a switch's mirror port, \
        to pcapng.\n\n\
        Every number adds up: seen = written + filtered + dropped, and dropped says where: in the \
        interface (no room in the card or the kernel before us), in the kernel (no room in the \
        receive ring), in the ring (our own queues), at the disk. Stopping with Ctrl-C loses \
        nothing: what the kernel still holds is written first.\n\n\
        A capture holds whole frames, and on a practice's network that is patient data: files are \
        readable by their owner only, stay within a budget of disk space, and --headers leaves the \
        content of the conversations out.",
    after_long_help = "Examples:\n  \
        sudo framewalk capture -i mirror0 -w morning.pcapng --headers\n      \
            who talks to whom, and not what they say\n  \
        sudo framewalk capture -i mirror0 -w rdp.pcapng --filter 'tcp port 3389'\n  \
        sudo framewalk capture -i mirror0 -w week.pcapng --file-size 100M --budget 2G --keep 7d\n  \
        sudo framewalk capture -i mirror0 -w day.pcapng.zst --headers\n      \
            compressed: the ending says how (.gz, .zst)\n  \
        sudo framewalk capture -i mirror0 -w rdp.pcapng --trigger 'tcp port 3389'\n      \
            nothing, until someone tries RDP; then what led to it\n  \
        sudo framewalk capture -i mirror0 -w ten.pcapng --count 10\n  \
        sudo framewalk capture -i mirror0 -w minute.pcapng --seconds 60 --json\n\n\
        Without root, once and for all:\n  \
        sudo setcap cap_net_raw,cap_net_admin+ep $(command -v framewalk)\n\n\
        The JSON is one object, schema framewalk.capture/1, when the capture has ended."
)]
pub struct Args {
    /// The interface to listen to
    #[arg(short, long, value_name = "IFACE")]
    pub interface: String,
    /// The file to write; a ring of files is named after it
    #[arg(short, long, value_name = "FILE")]
    pub write: PathBuf,
    /// Only frames that match this tcpdump filter; the kernel runs it
    #[arg(long, value_name = "EXPRESSION")]
    pub filter: Option<String>,
    /// Keep headers only: each frame is cut after its transport header
    #[arg(long)]
    pub headers: bool,
    /// Replace addresses and zero contents, the same way each time with the same key; the file is
    /// made if it is not there
    #[arg(long, value_name = "KEYFILE")]
    pub anonymize: Option<PathBuf>,
    /// Keep at most this many bytes of each frame
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(14..=262_144),
        default_value_t = SNAPLEN_MAX)]
    pub snaplen: u32,
    /// Stop after so many frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Stop after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = stop::parse_seconds)]
    pub seconds: Option<Duration>,
    /// Stop when this is so; more than one may be given: frames=N, bytes=SIZE, files=N,
    /// time=DURATION, idle=DURATION (no frame for so long)
    #[arg(long, value_name = "CONDITION", value_parser = stop::parse_condition)]
    pub autostop: Vec<Condition>,
    /// Begin another file at this size (100M, 1Gi): a ring of files
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub file_size: Option<u64>,
    /// Begin another file after this long (10m, 1h): a ring of files
    #[arg(long, value_name = "DURATION", value_parser = stop::parse_duration)]
    pub file_time: Option<Duration>,
    /// Files in the ring at most; the oldest is deleted
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    pub files: Option<u32>,
    /// Disk space for all files; a single file ends there, a ring deletes its oldest file
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "1G")]
    pub budget: u64,
    /// How long frames may be kept: a ring deletes older files, a single file ends
    #[arg(long, value_name = "DURATION", value_parser = stop::parse_duration,
        default_value = "24h")]
    pub keep: Duration,
    /// Only frames to this machine, its groups and everyone
    #[arg(long)]
    pub no_promiscuous: bool,
    /// How frames come out of the kernel: packet (a TPACKET_V3 ring), af-xdp (before the host's
    /// stack, which then gets nothing of this interface), libpcap
    #[arg(long, value_name = "METHOD", default_value = "packet")]
    pub method: Way,
    /// Threads that take frames, both directions of a flow at the same one (packet only)
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=i64::from(listen::WORKERS_MAX)))]
    pub workers: u16,
    /// Listen by af-xdp though the host itself uses this interface
    #[arg(long, value_name = "IFACE")]
    pub on_production: Vec<String>,
    /// Write nothing until a frame matches this tcpdump filter; then also what came before it
    #[arg(long, value_name = "EXPRESSION", help_heading = "Trigger")]
    pub trigger: Option<String>,
    /// How far back
    #[arg(long, value_name = "DURATION", value_parser = stop::parse_duration,
        default_value = "30s", requires = "trigger", help_heading = "Trigger")]
    pub before: Duration,
    /// And how long after the last frame that matched
    #[arg(long, value_name = "DURATION", value_parser = stop::parse_duration,
        default_value = "30s", requires = "trigger", help_heading = "Trigger")]
    pub after: Duration,
    /// Memory for the frames before; it is locked, so that they never reach the swap
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "64Mi",
        requires = "trigger", help_heading = "Trigger")]
    pub before_memory: u64,
    /// Memory for frames that wait to be written
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "64Mi")]
    pub ring: u64,
    /// Take the card's own time stamps, where the driver has them
    #[arg(long)]
    pub hardware_time: bool,
    /// When the interface vanishes, wait for one of the same name instead of ending
    #[arg(long)]
    pub wait_for_interface: bool,
    /// Exit with 1 if any frame was dropped
    #[arg(long)]
    pub fail_on_drop: bool,
}

/// Runs it.
pub fn run(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    if args.write.as_os_str() == "-" {
        bail!("standard output is no place for a ring of files or a budget; name a file");
    }
    let config = listen::Config {
        way: args.method,
        workers: args.workers,
        filter: args.filter.clone(),
        packet: Config {
            promiscuous: !args.no_promiscuous,
            ring_bytes: usize::try_from(args.ring.clamp(1 << 17, 4 << 30))?,
            snaplen: args.snaplen,
            hardware_time: args.hardware_time,
            ..Config::default()
        },
    };
    check(args)?;
    let plan = Plan {
        path: args.write.clone(),
        file_bytes: args.file_size,
        file_time: args.file_time,
        files_max: args.files,
        budget_bytes: args.budget,
        keep: args.keep,
        packing: Packing::of_name(&args.write),
    };
    let conditions = Conditions::new(args, plan.is_ring());
    let stops = stop::Signals::new().context("cannot watch for Ctrl-C")?;
    let listeners = listen::open(&args.interface, &config)?;
    let Some(first) = listeners.first() else { bail!("{} has no queue", args.interface) };
    let (way, linktype) = (first.way(), first.linktype());
    // before root is given up: locking memory may need it
    let trigger = trigger::prepare(args, linktype)?;
    let anonymizer = match &args.anonymize {
        Some(path) => Some(crate::replay::change::anonymizer(path, globals)?),
        None => None,
    };
    let heading = heading(args, first.as_ref());
    let dropped_to = privilege::drop_root(&args.write)?;
    let recorder = Recorder::create(plan, heading, live::epoch_ns())?;
    if !globals.quiet {
        report::announce(args, &recorder, dropped_to, &way, listeners.len());
    }
    let view = view::View::new(globals);
    let taker = take::Taker {
        recorder,
        linktype,
        headers: args.headers,
        anonymizer,
        scratch: Vec::new(),
        left: conditions.frames,
        past_end: 0,
        caplen_bytes: 0,
        origlen_bytes: 0,
        heard_bytes: 0,
        newest: Instant::now(),
        trigger,
        talkers: view.is_on().then(take::Talkers::default),
    };
    let outcome = live::run(args, listeners, taker, &conditions, &stops, view)?;
    report::print(&outcome, args, globals)?;
    Ok(report::exit(&outcome, args))
}

/// What one way cannot do, and what would cut a host off.
fn check(args: &Args) -> anyhow::Result<()> {
    if args.method != Way::Packet {
        if args.workers > 1 {
            bail!("--workers is for --method packet; af-xdp has a worker for each queue");
        }
        if args.wait_for_interface {
            bail!("--wait-for-interface is for --method packet");
        }
    }
    if args.method == Way::AfXdp && !args.on_production.contains(&args.interface) {
        let link = nic::link::by_name(&args.interface)?;
        if let Some(why) = crate::replay::port::in_use(&link)? {
            bail!(
                "{0} {why}: af-xdp takes its frames away from this host, which would hear nothing \
                 by it any more. If that is what you want, add: --on-production {0}",
                args.interface
            );
        }
    }
    Ok(())
}

fn heading(args: &Args, rx: &dyn Listen) -> Heading {
    let mut comments = vec![PRIVATE.to_owned()];
    if args.headers {
        comments.push(
            "Frames are cut after their transport header: the content is not in this file."
                .to_owned(),
        );
    }
    if args.anonymize.is_some() {
        comments.push(
            "Addresses are replaced and contents zeroed: the same address is always the same other \
             one. Ports, sizes and times are as they were."
                .to_owned(),
        );
    }
    let clock = if args.method == Way::AfXdp {
        "times: this host's, when it took the frame out of the queue (CLOCK_REALTIME)"
    } else if args.hardware_time {
        "times: the card's own clock where it stamps, else the kernel's (CLOCK_REALTIME)"
    } else {
        "times: the kernel's, when it received the frame (CLOCK_REALTIME)"
    };
    let interface = Listened {
        name: rx.link().name.clone(),
        linktype: rx.linktype(),
        snaplen: args.snaplen,
        filter: args.filter.clone().or_else(|| args.trigger.clone()),
        comment: clock.to_owned(),
    };
    Heading {
        comments,
        userappl: concat!("framewalk ", env!("CARGO_PKG_VERSION")).to_owned(),
        os: os(),
        interfaces: vec![interface],
    }
}

/// As `uname -sr` has it.
fn os() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {}", release.trim()).trim_end().to_owned()
}

#[cfg(feature = "libpcap")]
pub(crate) fn compile(
    interface: &str,
    expression: &str,
) -> anyhow::Result<Vec<nic::bpf::Instruction>> {
    Ok(nic::bpf::compile(interface, expression)?)
}

#[cfg(not(feature = "libpcap"))]
pub(crate) fn compile(_: &str, expression: &str) -> anyhow::Result<Vec<nic::bpf::Instruction>> {
    // says which command brings libpcap
    Err(capture::filter::Filter::new(expression, skb::LinkType::ETHERNET)
        .err()
        .map_or_else(|| anyhow::anyhow!("filters"), Into::into))
}
