//! `framewalk surface`: what a network's frames say about it.

mod ahead;
mod findings;
pub mod forms;
mod json;
mod letter;
mod origin;
mod text;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use capture::Reader;
use surface::{Analyzer, FlowRecord, Limits, NameKey, Severity};

use self::origin::Origin;
use crate::cli::Globals;
use crate::exit::{Exit, complain};
use crate::inspect::select::Selector;
use crate::keyfile;
use crate::term::{Paint, Progress};
use crate::walk::stream::parse_seconds;

/// What a capture or a mirror port tells of a network: what is open, which services, who uses them
#[derive(Debug, Clone, clap::Args)]
#[command(
    long_about = "What a capture or a live mirror port tells of a network: what was reached from \
        the internet, which services hosts give, and which applications its conversations are, \
        told by the bytes that both ends say, on any port, through VLANs and tunnels.\n\n\
        A finding names the frames that show it, what it means, what to do, and how sure it is. \
        What was not seen is never said to be absent: the page begins with what this capture can \
        show at all.\n\n\
        A name is given only where the bytes bear it out; everything else is \"unknown\". Of a \
        conversation, addresses, ports, counts, times and a short list of facts are kept (names \
        in a TLS handshake, for example), never what was said.\n\n\
        Memory is bounded: the conversations idle for longest are given out early when too many \
        are open, and counted.",
    after_long_help = "Examples:\n  \
        framewalk surface day.pcapng                     applications, servers, conversations\n  \
        framewalk surface day.pcapng --letter owner.html     and a page for the owner\n  \
        framewalk surface day.pcapng --json | jq 'select(.app == \"rdp\")'\n  \
        framewalk surface day.pcapng --filter 'net 192.168.1.0/24'\n  \
        framewalk surface day.pcapng --fail-on high || mail -s 'look at this' it\n  \
        sudo framewalk surface -i mirror0 --seconds 3600\n\n\
        The JSON is one object per conversation (framewalk.flow/1), service\n\
        (framewalk.service/1) and finding (framewalk.finding/1), and a last one with the counts\n\
        and what the mirror port shows (framewalk.surface/1)."
)]
pub struct Args {
    /// Capture file, or - for standard input
    #[arg(value_name = "FILE", required_unless_present = "interface")]
    pub file: Option<PathBuf>,
    /// Look at the frames of this interface as they come (Linux)
    #[arg(short, long, value_name = "IFACE", conflicts_with = "file")]
    pub interface: Option<String>,
    /// Live: stop after so many frames
    #[arg(long, value_name = "N", conflicts_with = "file",
        value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Live: stop after so many seconds
    #[arg(long, value_name = "SECONDS", conflicts_with = "file", value_parser = parse_seconds)]
    pub seconds: Option<Duration>,
    /// Only frames that match this expression, in tcpdump's syntax
    #[arg(long, value_name = "EXPR")]
    pub filter: Option<String>,
    /// Conversations kept open at the same time
    #[arg(long, value_name = "N", default_value_t = Limits::default().flows_max as u64,
        value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub flows_max: u64,
    /// Write a one-page letter in plain words for the owner: .md or .html
    #[arg(long, value_name = "FILE")]
    pub letter: Option<PathBuf>,
    /// Key of this site for keyed hashes of names and network cards, which can then be told
    /// again in another run: 64 hexadecimal digits, mode 0600, made if it is not there. Without
    /// it each run makes a key of its own and forgets it
    #[arg(long, value_name = "FILE")]
    pub site_key: Option<PathBuf>,
    /// Exit with 1 if there is a finding as bad as this or worse
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub fail_on: Option<FailOn>,
}

/// Conversations kept open from which on two threads share them.
const FLOWS_OF_TWO_MIN: u64 = 1024;

/// How bad a finding must be to be an answer of no.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum FailOn {
    /// Low or worse
    Low,
    /// Medium or worse
    Medium,
    /// High or critical
    High,
    /// Critical only
    Critical,
}

impl FailOn {
    const fn severity(self) -> Severity {
        match self {
            Self::Low => Severity::Low,
            Self::Medium => Severity::Medium,
            Self::High => Severity::High,
            Self::Critical => Severity::Critical,
        }
    }
}

/// Runs it.
pub fn run(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    if let Some(file) = &args.letter {
        letter::check(file)?;
    }
    if let Some(interface) = &args.interface {
        return run_live(args, interface, globals);
    }
    let before = origin::Before::of(args);
    let file = args.file.as_ref().context("name a capture file, or - for standard input")?;
    let mut reader = Reader::open(file)?;
    let mut selector = Selector::new(args.filter.as_deref(), &reader)?;
    analyze(args, globals, &mut reader, &mut selector, before.as_ref())
}

#[cfg(target_os = "linux")]
fn run_live(args: &Args, interface: &str, globals: &Globals) -> anyhow::Result<Exit> {
    use crate::inspect::live::{Listen, Live};
    let listen =
        Listen { filter: args.filter.as_deref(), count: args.count, seconds: args.seconds };
    let live = Live::open(&listen, interface, globals)?;
    let mut reader = Reader::new(live.source()?)?;
    // the kernel filters
    let shown = analyze(args, globals, &mut reader, &mut Selector::default(), None);
    let exit = live.finish(globals)?;
    match shown? {
        Exit::Done => Ok(exit),
        other => Ok(other),
    }
}

#[cfg(not(target_os = "linux"))]
fn run_live(_: &Args, interface: &str, _: &Globals) -> anyhow::Result<Exit> {
    anyhow::bail!("cannot listen on {interface}: live interfaces are read on Linux only")
}

/// Where conversations go as they end.
enum Out {
    Json(json::Writer),
    Text(text::Report),
}

impl Out {
    fn flow(&mut self, flow: &FlowRecord) -> anyhow::Result<()> {
        match self {
            Self::Json(writer) => writer.flow(flow),
            Self::Text(report) => {
                report.flow(flow);
                Ok(())
            }
        }
    }
}

/// From when to when, and how many conversations.
#[derive(Debug, Default)]
struct Span {
    first_ns: Option<i64>,
    last_ns: i64,
    flows: u64,
}

impl Span {
    fn flow(&mut self, flow: &FlowRecord) {
        self.flows += 1;
        if flow.first_ns != 0 {
            self.first_ns = Some(self.first_ns.map_or(flow.first_ns, |ns| ns.min(flow.first_ns)));
            self.last_ns = self.last_ns.max(flow.last_ns);
        }
    }

    fn looked<'a>(&self, source: &'a str, origin: &'a Origin) -> letter::Looked<'a> {
        let first_ns = self.first_ns.unwrap_or(0);
        letter::Looked { source, origin, first_ns, last_ns: self.last_ns, flows: self.flows }
    }
}

/// Takes conversations as they end.
struct Given {
    progress: Progress,
    span: Span,
    out: Out,
}

impl ahead::Take for Given {
    fn at(&mut self, at: u64) {
        self.progress.at(at);
    }

    fn flow(&mut self, flow: &FlowRecord) -> anyhow::Result<()> {
        self.span.flow(flow);
        self.out.flow(flow)
    }
}

fn analyze(
    args: &Args,
    globals: &Globals,
    reader: &mut Reader,
    selector: &mut Selector,
    before: Option<&origin::Before>,
) -> anyhow::Result<Exit> {
    let limits = Limits { flows_max: args.flows_max as usize, ..Limits::default() };
    let mut analyzer = Analyzer::new(limits);
    if let Some(file) = &args.site_key {
        let key = keyfile::read_or_make(file, "hashes of this site compare by it only", globals)?;
        analyzer = analyzer.with_name_key(NameKey::new(*key.bytes()));
    }
    let progress =
        Progress::new("analysing", reader.progress().total, globals.quiet || args.file.is_none());
    let out = if globals.json {
        Out::Json(json::Writer::default())
    } else {
        Out::Text(text::Report::default())
    };
    let mut given = Given { progress, span: Span::default(), out };
    // live frames must not wait, and a small table is not worth two
    let two = args.file.is_some() && args.flows_max >= FLOWS_OF_TWO_MIN;
    let failed = ahead::analyze(reader, &mut analyzer, selector, two, &mut given)?;
    let Given { mut progress, span, mut out } = given;
    progress.clear();
    let stores = globals.json || args.letter.is_some();
    let origin = stores.then(|| Origin::of(reader.name(), before));
    if let (Some(file), Some(origin)) = (&args.letter, &origin) {
        letter::write(file, analyzer.site(), span.looked(reader.name(), origin))?;
    }
    match &mut out {
        Out::Json(writer) => writer.finish(&analyzer, origin.as_ref())?,
        Out::Text(report) => {
            let paint = Paint::for_stdout(globals.color);
            let mut text = Vec::new();
            report.write(&mut text, reader, &analyzer, args, paint)?;
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(&text)?;
            stdout.flush()?;
        }
    }
    let worst = analyzer.site().findings().first().map(|finding| finding.severity);
    let refused = args.fail_on.is_some_and(|limit| worst >= Some(limit.severity()));
    match failed {
        None if refused => Ok(Exit::No),
        None => Ok(Exit::Done),
        Some(error) => {
            complain(&error.into());
            Ok(Exit::Failed)
        }
    }
}
