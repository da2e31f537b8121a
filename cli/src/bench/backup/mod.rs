//! `framewalk bench backup`: the road of a backup, and what else a backup is made of.

mod stream;

use super::Timing;
use super::print::Out;

/// A part of the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// One byte stream through the switch in memory, beside the kernel's TCP
    Stream,
}

/// Runs the parts that were asked for, all if none was.
pub(super) fn run(only: &[Part], timing: Timing, out: &mut Out) -> anyhow::Result<()> {
    let wanted = |part| only.is_empty() || only.contains(&part);
    if wanted(Part::Stream) {
        for row in stream::rows(timing)? {
            out.row(&row)?;
        }
    }
    Ok(())
}
