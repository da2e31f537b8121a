//! `framewalk bench backup`: what a backup costs, and its road.

mod board;
mod data;
mod firebird;
mod image;
mod live;
mod path;
mod stream;
mod tools;
#[cfg(target_os = "linux")]
pub(super) mod veth;

use std::path::PathBuf;

use anyhow::Context as _;

use super::Timing;
use super::print::Out;
use board::Board;

/// A part of the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// A disk image: pushed whole, unchanged, with 0.01 and 1 % changed; verified; restored
    Image,
    /// A file that is cut by content: pushed whole, and with bytes put in
    File,
    /// A Firebird database: pushed whole, and after 200 transactions (needs isql-fb)
    Database,
    /// One byte stream through the switch in memory, beside the kernel's TCP
    Stream,
    /// The image pushed to a server of the same process: through the switch in memory, and by
    /// kernel TCP over loopback
    Path,
    /// A stream between two hosts on a segment: two network namespaces with a cable, through the
    /// path and by kernel TCP (needs root, ethtool)
    #[cfg(target_os = "linux")]
    Veth,
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
    /// Seconds from one push to the next beside the live writer, who is measured for as long
    #[arg(long, value_name = "SECONDS", default_value_t = 300,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub every: u64,
    /// How long to measure
    #[command(flatten)]
    pub timing: Timing,
}

impl Args {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

/// The folder that is worked in, gone when dropped.
struct Place(tempfile::TempDir);

impl Place {
    fn new(args: &Args) -> anyhow::Result<Self> {
        let place = args.dir.clone().unwrap_or_else(std::env::temp_dir);
        Ok(Self(tempfile::Builder::new().prefix("framewalk-bench-").tempdir_in(&place)?))
    }

    /// A name in it.
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The image, made when it is first asked for.
    fn image(&self, args: &Args, board: &Board<'_>) -> anyhow::Result<PathBuf> {
        let image = self.path("disk.img");
        if image.exists() {
            return Ok(image);
        }
        board.now("making the image")?;
        match &args.image {
            Some(given) => {
                std::fs::copy(given, &image).with_context(|| given.display().to_string())?;
            }
            None => data::image(&image, args.mib << 20)?,
        }
        Ok(image)
    }
}

/// Runs the parts that were asked for, all if none was. A row is printed when its last run is done;
/// when Ctrl-C or an error comes, what was measured until then is printed.
pub(super) fn run(args: &Args, quiet: bool, out: &mut Out) -> anyhow::Result<()> {
    let mut board = Board::new(quiet, out)?;
    let measured = parts(args, &mut board);
    board.rest()?;
    // who is stopped in the middle fails as well, and that is not the reason
    board.stop().check().and(measured)
}

fn parts(args: &Args, board: &mut Board<'_>) -> anyhow::Result<()> {
    let place = Place::new(args)?;
    if args.wants(Part::Image) {
        image::image(args, &place, board)?;
    }
    if args.wants(Part::File) {
        image::file(args, &place, board)?;
    }
    // a database server's tools are asked for, not expected
    if args.only.contains(&Part::Database) {
        image::database(args, &place, board)?;
    }
    if args.wants(Part::Path) {
        path::measure(args, &place, board)?;
    }
    if args.wants(Part::Stream) {
        stream::measure(args.timing, board)?;
    }
    // root is asked for as well
    #[cfg(target_os = "linux")]
    if args.only.contains(&Part::Veth) {
        veth::measure(args.timing, board)?;
    }
    if args.only.contains(&Part::Live) {
        live::measure(args, board)?;
    }
    Ok(())
}
