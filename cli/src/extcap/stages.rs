//! The stages of the path for a capture file, into Wireshark's pipe.

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use skb::RxStatus;

use super::fifo::{self, FLUSH_AFTER, Timely, reader_left};
use crate::exit::Exit;
use crate::term::Progress;
use crate::walk::export::StageExport;
use crate::walk::plan::{Plan, SwitchKind, WIRE};
use crate::walk::run::take_damage;
use crate::walk::who::{self, Question};

/// Polls between two looks at the pipe.
const POLLS_PER_LOOK: u32 = 64;

/// Walks the file, as `framewalk walk --export` does, until it ends or nobody reads any more.
pub(super) fn run(file: &Path, path: &Path) -> anyhow::Result<Exit> {
    match walk(file, path) {
        Err(error) if !reader_left(&error) => Err(error),
        _ => Ok(Exit::Done),
    }
}

fn walk(file: &Path, path: &Path) -> anyhow::Result<()> {
    let quiet = || Progress::new("", None, true);
    let question = Question { named: Vec::new(), frame: None };
    let (who, source) = who::decide(file, &question, quiet())?;
    let plan = Plan {
        guests: who.guests.iter().map(|guest| guest.mac).collect(),
        live: Vec::new(),
        switch: SwitchKind::External,
        gro: false,
        budget: skb::BURST_MAX,
    };
    let (pipe, out) = fifo::open(path)?;
    let export = StageExport::new(Timely::new(out), plan.cast(), u64::MAX)?;
    let mut engine = plan.build(source, export)?;
    let (mut polls, mut flushed) = (0u32, Instant::now());
    while engine.poll_port(WIRE) != RxStatus::Done {
        polls = polls.wrapping_add(1);
        if polls.is_multiple_of(POLLS_PER_LOOK) && fifo::is_closed(&pipe) {
            return Ok(());
        }
        // what ended the export early ends the walk
        if flushed.elapsed() >= FLUSH_AFTER {
            engine.tracer_mut().finish()?;
            flushed = Instant::now();
        }
    }
    engine.shut_down();
    engine.tracer_mut().finish()?;
    match take_damage(&mut engine) {
        Some(damage) => Err(damage).with_context(|| format!("cannot read {}", file.display())),
        None => Ok(()),
    }
}
