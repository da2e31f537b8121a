//! `framewalk inspect`: what is in a capture file, or comes by on a live interface.

mod desk;
pub(crate) mod file;
mod hex;
mod line;
#[cfg(target_os = "linux")]
pub(crate) mod live;
pub mod object;
mod page;
pub mod select;
pub mod stream;
pub mod summary;
mod views;
pub mod words;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use capture::{FrameRef, Reader};
use skb::FrameMeta;
use skb::decode::{Decoded, Decoder};

use crate::cli::Globals;
use crate::exit::Exit;
use crate::term::{Paint, Progress};
use crate::walk::stream::parse_seconds;
use select::Selector;

/// What is in a capture file, or on a live interface: a page, a frame, every frame, a summary
#[derive(Debug, Clone, clap::Args)]
#[command(
    long_about = "What is in a capture file, or comes by on a live interface.\n\n\
        Without options: one page with what the file holds and its first frame in three views: \
        the Ethernet packet (what was on the wire), the Ethernet frame (what the network card \
        handed over), and the IP packet inside. Values that are not in the file but follow from \
        the standard are marked \"derived\".\n\n\
        Reads pcap and pcapng, plain or compressed with gzip or zstd, of any size, in flat \
        memory. A damaged file is read up to the damage; the error then says where it is.\n\n\
        With -i the frames of an interface are looked at as they come, by the same options, and \
        nothing is stored. Ctrl-C ends it (or --count, --seconds; one page listens for 10 s); \
        then seen = read + filtered + dropped says whether anything was missed.",
    after_long_help = "Examples:\n  \
        framewalk inspect morning.pcapng                 one page\n  \
        framewalk inspect morning.pcapng --frame 17      frame 17 in three views\n  \
        framewalk inspect morning.pcapng --frame 17 --hex    with every byte\n  \
        framewalk inspect morning.pcapng --all           a line per frame\n  \
        framewalk inspect morning.pcapng --summary       protocols, talkers, sizes, load\n  \
        framewalk inspect morning.pcapng --filter 'tcp port 3389' --all\n  \
        framewalk inspect morning.pcapng --json | jq 'select(.notes != [])'\n  \
        ssh gateway tcpdump -U -w - | framewalk inspect - --all\n  \
        sudo framewalk inspect -i mirror0 --all          live, a line per frame\n  \
        sudo framewalk inspect -i mirror0 --summary --seconds 60\n\n\
        The JSON is one object per frame, schema framewalk.frame/1, in file order; with\n\
        --summary one object, schema framewalk.summary/1."
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
    /// Show this frame, counted from 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..),
        conflicts_with_all = ["all", "summary"])]
    pub frame: Option<u64>,
    /// One line for every frame
    #[arg(long, conflicts_with = "summary")]
    pub all: bool,
    /// Protocol hierarchy, sizes, talkers, VLANs and load on the wire
    #[arg(long)]
    pub summary: bool,
    /// Add the bytes, each marked with the layer it belongs to
    #[arg(long, conflicts_with = "summary")]
    pub hex: bool,
    /// Only frames that match this expression, in tcpdump's syntax
    #[arg(long, value_name = "EXPR")]
    pub filter: Option<String>,
}

/// A frame kept beyond its batch.
#[derive(Debug, Clone)]
pub struct Kept {
    /// What the file says about it.
    pub meta: FrameMeta,
    /// Its captured bytes.
    pub bytes: Vec<u8>,
    /// The file's comments on it.
    pub comments: Vec<String>,
}

impl Kept {
    /// Copies a frame.
    pub fn of(frame: &FrameRef<'_>) -> Self {
        let comments = frame.comments().map(std::borrow::Cow::into_owned).collect();
        Self { meta: frame.meta, bytes: frame.data.to_vec(), comments }
    }

    fn write(&self, out: &mut Vec<u8>, with_hex: bool, paint: Paint) -> std::io::Result<()> {
        let mut decoded = Decoded::default();
        Decoder::new().decode(&self.meta, &self.bytes, &mut decoded);
        views::write(out, &self.meta, &decoded, &self.comments, paint)?;
        if with_hex {
            writeln!(out, "\n{}", paint.head("Bytes"))?;
            hex::write(out, &self.bytes, &decoded, paint)?;
        }
        Ok(())
    }
}

/// Runs it.
pub fn run(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    if let Some(interface) = &args.interface {
        return run_live(args, interface, globals);
    }
    let file = args.file.as_ref().context("name a capture file, or - for standard input")?;
    let mut reader = Reader::open(file)?;
    let mut selector = Selector::new(args.filter.as_deref(), &reader)?;
    let progress = Progress::new("reading", reader.progress().total, globals.quiet);
    show(args, globals, &mut reader, &mut selector, progress)
}

#[cfg(target_os = "linux")]
fn run_live(args: &Args, interface: &str, globals: &Globals) -> anyhow::Result<Exit> {
    let one_page = !(args.all || args.summary || globals.json || args.frame.is_some());
    let unasked = args.seconds.is_none() && args.count.is_none();
    let listen = live::Listen {
        filter: args.filter.as_deref(),
        count: args.count,
        seconds: args.seconds.or((one_page && unasked).then_some(live::PAGE)),
    };
    let live = live::Live::open(&listen, interface, globals)?;
    let mut reader = Reader::new(live.source()?)?;
    // the kernel filters
    let mut selector = Selector::default();
    // what is printed as it comes needs no bar
    let streams = args.all || globals.json && !args.summary;
    let progress = Progress::new("listening", None, globals.quiet || streams);
    let shown = show(args, globals, &mut reader, &mut selector, progress);
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

/// Looks at the frames of `reader` in the way that was asked for.
fn show(
    args: &Args,
    globals: &Globals,
    reader: &mut Reader,
    selector: &mut Selector,
    progress: Progress,
) -> anyhow::Result<Exit> {
    let paint = Paint::for_stdout(globals.color);
    let mut out = std::io::stdout();
    if globals.json && !args.summary {
        stream::json(reader, selector, args.frame, progress, &mut out)?;
        out.flush()?;
        return Ok(Exit::Done);
    }
    let mut out = out.lock();
    match args.frame {
        _ if args.summary => {
            return run_summary(args, reader, selector, progress, globals, &mut out);
        }
        Some(number) => {
            let mut text = Vec::new();
            find(reader, selector, number)?.write(&mut text, args.hex, paint)?;
            out.write_all(&text)?;
        }
        None if args.all => all(reader, selector, args.hex, paint, progress, &mut out)?,
        None => return page::run(reader, selector, args, paint, progress, &mut out),
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// Frame `number`, if `selector` takes it.
fn find(reader: &mut Reader, selector: &mut Selector, number: u64) -> anyhow::Result<Kept> {
    while let Some(frame) = reader.next()? {
        if frame.meta.number == number {
            if selector.takes(&frame)? {
                return Ok(Kept::of(&frame));
            }
            anyhow::bail!("frame {number} does not match the filter");
        }
    }
    let frames = reader.statistics().frames;
    anyhow::bail!("there is no frame {number}: {} has {frames}", reader.name())
}

/// A line per frame.
fn all(
    reader: &mut Reader,
    selector: &mut Selector,
    with_hex: bool,
    paint: Paint,
    mut progress: Progress,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let (mut decoder, mut decoded, mut text) = (Decoder::new(), Decoded::default(), Vec::new());
    let mut selected = Vec::new();
    let mut first_ns = None;
    line::write_heading(&mut text, paint)?;
    loop {
        progress.at(reader.progress().read);
        let batch = match reader.next_batch() {
            Ok(Some(batch)) => batch,
            Ok(None) => break,
            Err(error) => {
                out.write_all(&text)?;
                out.flush()?;
                progress.clear();
                return Err(error.into());
            }
        };
        selector.select(&batch, &mut selected)?;
        for &index in &selected {
            let Some(frame) = batch.frame(index as usize) else { continue };
            first_ns = first_ns.or(frame.meta.time_ns);
            decoder.decode(&frame.meta, frame.data, &mut decoded);
            line::write(&mut text, &frame.meta, &decoded, first_ns, paint)?;
            if with_hex {
                hex::write(&mut text, frame.data, &decoded, paint)?;
            }
            if text.len() > 1 << 18 {
                out.write_all(&text)?;
                text.clear();
            }
        }
        // what comes through a pipe is shown as it comes
        out.write_all(&text)?;
        text.clear();
    }
    progress.clear();
    Ok(out.write_all(&text)?)
}

fn run_summary(
    args: &Args,
    reader: &mut Reader,
    selector: &mut Selector,
    mut progress: Progress,
    globals: &Globals,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let (mut summary, error) = summary::run_on(reader, selector, |at| progress.at(at));
    progress.clear();
    let mut text = Vec::new();
    if globals.json {
        summary::write_json(&mut text, reader, &mut summary)?;
    } else {
        let paint = Paint::for_stdout(globals.color);
        summary::write_text(&mut text, reader, &mut summary, args.interface.is_some(), paint)?;
    }
    out.write_all(&text)?;
    out.flush()?;
    error.map_or(Ok(Exit::Done), Err)
}
