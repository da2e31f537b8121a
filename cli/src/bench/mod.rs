//! `framewalk bench`: how fast this machine is, measured now, with the spread and the peers.

mod backup;
#[cfg(target_os = "linux")]
mod capture;
mod growth;
#[cfg(target_os = "linux")]
mod net;
mod print;
mod process;
#[cfg(target_os = "linux")]
mod replay;
mod stop;
mod surface;

use crate::cli::Globals;
use crate::exit::Exit;
use anyhow::Context as _;
use std::path::{Path, PathBuf};

/// Arguments of `framewalk bench`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Measures on this machine, now. Every figure is the median of several runs with \
                  its smallest and largest, the floor is measured in the same process, and peers \
                  that are installed run in turn with ours. Nothing is read from a file of old \
                  results.",
    after_long_help = "Examples:\n  \
        framewalk bench path                       the five stages in memory, one core\n  \
        framewalk bench backup --only stream       a byte stream through the switch\n  \
        framewalk bench inspect big.pcap           decoding, on your own capture\n  \
        framewalk bench inspect big.pcap --json    the same as JSON Lines\n  \
        framewalk bench backup --peers             an image pushed and restored, 4 GiB\n  \
        sudo framewalk bench replay                frames out: full speed, and on time\n  \
        sudo framewalk bench capture               frames in, to disk, without loss"
)]
pub struct Args {
    /// What to measure
    #[command(subcommand)]
    pub what: What,
}

/// What can be measured.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// The in-memory path: 60-byte frames through all five stages on one core
    Path(Timing),
    /// Reading and decoding a capture: located in memory, summary and JSON as whole processes
    Inspect {
        /// The capture; a large one says more
        file: PathBuf,
        /// How long to measure
        #[command(flatten)]
        timing: Timing,
    },
    /// How reading grows: ten times the frames, ten times the flows, one core and two
    ///
    /// Makes captures of up to 230 MB in the folder for temporary files, and removes them.
    Growth {
        /// Runs of each case
        #[arg(long, default_value_t = 5, value_name = "N",
              value_parser = clap::value_parser!(u64).range(1..=100))]
        runs: u64,
    },
    /// The analysis of a capture as a whole process, beside ndpiReader; ten times the flows; a
    /// flood
    ///
    /// Makes captures of up to 760 MB in the folder for temporary files, and removes them.
    Surface {
        /// The capture; a large one says more
        file: PathBuf,
        /// Runs of each case
        #[arg(long, default_value_t = 5, value_name = "N",
              value_parser = clap::value_parser!(u64).range(1..=100))]
        runs: u64,
    },
    /// Backup: an image pushed, changed, verified, restored; and a stream through the switch
    ///
    /// Works in the folder for temporary files, or in --dir, and removes all. The source is in the
    /// page cache; what framewalk pushes and restores is synced when its time ends.
    Backup(backup::Args),
    /// One end of a stream of `bench backup --only veth`, which starts it
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    StreamEnd(backup::veth::End),
    /// Sending: full speed, and how true the gaps are, beside tcpreplay and a bare sender (root)
    ///
    /// Makes a network namespace with a cable of its own, where nobody else hears it, and takes
    /// both away again. The sender has one core, what receives has another.
    #[cfg(target_os = "linux")]
    Replay {
        /// A capture whose first seconds are sent in recorded time as well
        file: Option<PathBuf>,
        /// Beside trafgen and netsniff-ng as well, which on some kernels cannot be stopped for
        /// minutes
        #[arg(long)]
        ring_peers: bool,
        /// How long to measure
        #[command(flatten)]
        timing: NetTiming,
    },
    /// Capturing: to disk without loss, and processor time per frame, beside tcpdump and others
    /// (root)
    ///
    /// Makes a network namespace with a cable of its own and files of up to a sixteenth of the free
    /// memory in the folder for temporary files, and takes all away again.
    #[cfg(target_os = "linux")]
    Capture {
        /// How long to measure
        #[command(flatten)]
        timing: NetTiming,
    },
}

/// How long to measure on a cable.
#[cfg(target_os = "linux")]
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct NetTiming {
    /// How long
    #[command(flatten)]
    pub timing: Timing,
    /// One run of a fifth of a second each: shows that it works, not how fast
    #[arg(long, conflicts_with_all = ["runs", "seconds"])]
    pub quick: bool,
}

#[cfg(target_os = "linux")]
impl NetTiming {
    fn timing(self) -> Timing {
        if self.quick { Timing { runs: 1, seconds: 0.2 } } else { self.timing }
    }
}

/// How long to measure.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Timing {
    /// Runs of each case
    #[arg(long, default_value_t = 5, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=100))]
    pub runs: u64,
    /// Seconds of each run, where a case has no end of its own
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS")]
    pub seconds: f64,
}

/// Runs it.
pub fn run(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    let mut out = print::Out::new(globals);
    match &args.what {
        What::Path(timing) => path(*timing, &mut out)?,
        What::Inspect { file, timing } => inspect(file, *timing, &mut out)?,
        What::Growth { runs } => {
            for row in growth::rows(*runs as usize)? {
                out.row(&row)?;
            }
        }
        What::Backup(args) => backup::run(args, globals.quiet, &mut out)?,
        #[cfg(target_os = "linux")]
        What::StreamEnd(end) => backup::veth::end(end)?,
        What::Surface { file, runs } => {
            for row in surface::rows(file, frames_of(file)?, *runs as usize)? {
                out.row(&row)?;
            }
        }
        #[cfg(target_os = "linux")]
        What::Replay { file, ring_peers, timing } => {
            let timing = timing.timing();
            replay::run(file.as_deref(), timing, *ring_peers, globals.quiet, &mut out)?;
        }
        #[cfg(target_os = "linux")]
        What::Capture { timing } => capture::run(timing.timing(), globals.quiet, &mut out)?,
    }
    Ok(Exit::Done)
}

fn path(timing: Timing, out: &mut print::Out) -> anyhow::Result<()> {
    use benches::path::Case;

    let runs = timing.runs as usize;
    let seconds = timing.seconds.clamp(0.01, 600.0);
    for case in [Case::Untraced, Case::Traced, Case::NoHistograms] {
        for row in benches::path::bench(case, runs, seconds)? {
            out.row(&row)?;
        }
    }
    out.row(&benches::path::bench_cores(runs, seconds)?)?;
    for row in benches::fdb::bench(runs)? {
        out.row(&row)?;
    }
    Ok(())
}

fn inspect(file: &Path, timing: Timing, out: &mut print::Out) -> anyhow::Result<()> {
    let runs = timing.runs as usize;
    let frames = in_memory(file, runs, out)?;
    for row in process::rows(file, frames, runs)? {
        out.row(&row)?;
    }
    Ok(())
}

/// Frames of a capture, counted by reading it.
fn frames_of(file: &Path) -> anyhow::Result<u64> {
    let mut reader = ::capture::Reader::open(file)?;
    let mut frames = 0;
    while let Some(batch) = reader.next_batch()? {
        frames += batch.records().len() as u64;
    }
    anyhow::ensure!(frames > 0, "{}: no frames to measure with", file.display());
    Ok(frames)
}

/// The rows that hold the whole file in memory. Ends with the memory given back.
fn in_memory(file: &Path, runs: usize, out: &mut print::Out) -> anyhow::Result<u64> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let damaged = || format!("{}: only a whole, uncompressed capture is measured", file.display());
    let row = benches::locate::bench(&bytes, runs).with_context(damaged)?;
    let frames = row.extra.iter().find(|(name, _)| *name == "frames");
    let frames = frames.and_then(|(_, count)| count.parse().ok()).unwrap_or(0);
    anyhow::ensure!(frames > 0, "{}: no frames to measure with", file.display());
    out.row(&row)?;
    out.row(&benches::locate::bench_etherparse(&bytes, runs).with_context(damaged)?)?;
    Ok(frames)
}
