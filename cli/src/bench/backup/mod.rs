//! `framewalk bench backup`: what a backup costs, and its road.

mod data;
mod image;
mod live;
mod stream;
mod tools;

use std::path::PathBuf;

use super::Timing;
use super::print::Out;

/// A part of the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// A disk image: pushed whole, unchanged, with 0.01 and 1 % changed; verified; restored
    Image,
    /// A file that is cut by content: pushed whole, and with bytes put in
    File,
    /// One byte stream through the switch in memory, beside the kernel's TCP
    Stream,
    /// A Firebird database that is written to while pushes read it (needs isql-fb)
    Live,
}

/// Arguments of `framewalk bench backup`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Only this part; may be given more than once
    #[arg(long, value_name = "PART")]
    pub only: Vec<Part>,
    /// An image to use instead of one made of this machine's files; a copy of it is changed
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// MiB of the image that is made
    #[arg(long, value_name = "MIB", default_value_t = 4096,
          value_parser = clap::value_parser!(u64).range(16..=1 << 20))]
    pub mib: u64,
    /// Where to work: needs five times the image with peers, three without; all is removed
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Beside rsync, restic and borg, as far as they are installed
    #[arg(long)]
    pub peers: bool,
    /// How long to measure
    #[command(flatten)]
    pub timing: Timing,
}

impl Args {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

/// Runs the parts that were asked for, all if none was.
pub(super) fn run(args: &Args, quiet: bool, out: &mut Out) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    if args.wants(Part::Image) || args.wants(Part::File) {
        rows.extend(image::rows(args, quiet)?);
    }
    if args.wants(Part::Stream) {
        rows.extend(stream::rows(args.timing)?);
    }
    // a database server's tools are asked for, not expected
    if args.only.contains(&Part::Live) {
        rows.extend(live::rows(args)?);
    }
    rows.iter().try_for_each(|row| out.row(row))
}
