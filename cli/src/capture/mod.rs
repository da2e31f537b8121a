//! `framewalk capture`: a live interface to pcapng, with every frame accounted for.

mod live;
mod privilege;
mod report;
mod stop;
mod view;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use capture::write::{Heading, Listened, Plan, Recorder};
use nic::packet::{Config, PacketRx, SNAPLEN_MAX};

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
    let filter = match &args.filter {
        Some(expression) => compile(&args.interface, expression)?,
        None => Vec::new(),
    };
    let config = Config {
        promiscuous: !args.no_promiscuous,
        ring_bytes: usize::try_from(args.ring.clamp(1 << 17, 4 << 30))?,
        snaplen: args.snaplen,
        filter,
        hardware_time: args.hardware_time,
        ..Config::default()
    };
    let plan = Plan {
        path: args.write.clone(),
        file_bytes: args.file_size,
        file_time: args.file_time,
        files_max: args.files,
        budget_bytes: args.budget,
        keep: args.keep,
    };
    let conditions = Conditions::new(args, plan.is_ring());
    let stops = stop::Signals::new().context("cannot watch for Ctrl-C")?;
    let mut rx = PacketRx::open(&args.interface, &config)?;
    let heading = heading(args, &rx);
    let dropped_to = privilege::drop_root(&args.write)?;
    let recorder = Recorder::create(plan, heading, live::epoch_ns())?;
    if !globals.quiet {
        report::announce(args, &recorder, dropped_to);
    }
    let view = view::View::new(globals);
    let outcome = live::run(args, &mut rx, recorder, &conditions, &stops, view)?;
    report::print(&outcome, args, globals)?;
    Ok(report::exit(&outcome, args))
}

fn heading(args: &Args, rx: &PacketRx) -> Heading {
    let mut comments = vec![PRIVATE.to_owned()];
    if args.headers {
        comments.push(
            "Frames are cut after their transport header: the content is not in this file."
                .to_owned(),
        );
    }
    let clock = if args.hardware_time {
        "times: the card's own clock where it stamps, else the kernel's (CLOCK_REALTIME)"
    } else {
        "times: the kernel's, when it received the frame (CLOCK_REALTIME)"
    };
    let interface = Listened {
        name: rx.link().name.clone(),
        linktype: rx.linktype(),
        snaplen: args.snaplen,
        filter: args.filter.clone(),
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
fn compile(interface: &str, expression: &str) -> anyhow::Result<Vec<nic::bpf::Instruction>> {
    Ok(nic::bpf::compile(interface, expression)?)
}

#[cfg(not(feature = "libpcap"))]
fn compile(_: &str, expression: &str) -> anyhow::Result<Vec<nic::bpf::Instruction>> {
    // says which command brings libpcap
    Err(capture::filter::Filter::new(expression, skb::LinkType::ETHERNET)
        .err()
        .map_or_else(|| anyhow::anyhow!("filters"), Into::into))
}
