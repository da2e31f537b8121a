//! `walk --frame N`: one frame's life, forwards and backwards.

mod fold;
mod rows;
mod screen;
mod terminal;
mod text;

use std::io::{IsTerminal, Write};

use anyhow::{anyhow, bail};
use pipeline::step::follow;
use pipeline::{Engine, StepTrace, Steps};
use serde_json::{Value, json};
use skb::Verdict;
use skb::arch::TickRate;

#[cfg(target_os = "linux")]
use super::live::Listening;
use super::plan::Plan;
use super::run::{file_nic, take_damage};
use super::{Args, who};
use crate::cli::Globals;
use crate::exit::Exit;
use crate::term::{Paint, Progress};

/// What is known of one frame once it has been walked.
struct Found {
    steps: Steps,
    ns_per_tick: f64,
    /// The capture's name.
    name: String,
}

/// Walks up to frame `number` and shows its steps.
pub fn run(args: &Args, number: u64, globals: &Globals) -> anyhow::Result<Exit> {
    let Found { steps, ns_per_tick, name } = find(args, number, globals)?;
    let terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if args.step && terminal && !globals.json {
        let colour = Paint::for_stdout(globals.color).is_on();
        let title = format!("frame {number} of {}", crate::term::safe(&name));
        screen::run(steps, &title, ns_per_tick, colour)?;
        return Ok(Exit::Done);
    }
    let mut out = String::new();
    if globals.json {
        for (i, step) in steps.all().iter().enumerate() {
            out.push_str(&json_of(step, i + 1, number, ns_per_tick).to_string());
            out.push('\n');
        }
    } else {
        let paint = Paint::for_stdout(globals.color);
        text::write(&mut out, &steps, ns_per_tick, paint, crate::term::width());
    }
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(out.as_bytes())?;
    stdout.flush()?;
    Ok(Exit::Done)
}

/// Walks up to frame `number`.
fn find(args: &Args, number: u64, globals: &Globals) -> anyhow::Result<Found> {
    if let Some(interface) = &args.interface {
        return find_live(args, interface, number, globals);
    }
    let Some(file) = &args.file else { bail!("--frame needs a capture file") };
    let total = std::fs::metadata(file).ok().map(|info| info.len());
    let looking = Progress::new("looking who is who", total, globals.quiet);
    let (who, source) = who::decide(file, &args.question(Some(number)), looking)?;
    let name = source.name().to_owned();
    // one frame at a time: what a step cost is then that frame's alone
    let plan = Plan { budget: 1, ..args.plan(&who) };
    let rate = TickRate::start();
    let mut engine = plan.build(source, StepTrace::new(number))?;
    let mut progress = Progress::new("walking", total, globals.quiet);
    let found = follow(&mut engine, &plan.cast(), who.meta.as_ref(), |engine| {
        turn(engine, &plan, &mut progress);
    });
    progress.clear();
    match found {
        Some(steps) => Ok(Found { steps, ns_per_tick: rate.ns_per_tick(), name }),
        None => Err(missing(&mut engine, number, &name)),
    }
}

/// Listens until frame `number` comes.
#[cfg(target_os = "linux")]
fn find_live(
    args: &Args,
    interface: &str,
    number: u64,
    globals: &Globals,
) -> anyhow::Result<Found> {
    let mut listening = Listening::open(args, interface, globals)?;
    let who = listening.who(args, globals)?;
    let plan = Plan { budget: 1, ..args.plan(&who) };
    let rate = TickRate::start();
    let (mut engine, mut watch) = listening.wire(&plan, StepTrace::new(number))?;
    let mut before = 0;
    let found = follow(&mut engine, &plan.live_cast(), None, |engine| {
        let now = engine.ledger_in();
        watch.turn(engine, now == before);
        before = now;
    });
    watch.clear();
    if let Some(steps) = found {
        let name = interface.to_owned();
        return Ok(Found { steps, ns_per_tick: rate.ns_per_tick(), name });
    }
    let seen = engine.ledger_in();
    Err(watch.take_error().unwrap_or_else(|| {
        anyhow!("{interface} had {seen} frames until then, there is no frame {number}")
    }))
}

#[cfg(not(target_os = "linux"))]
fn find_live(_: &Args, interface: &str, _: u64, _: &Globals) -> anyhow::Result<Found> {
    bail!("cannot listen on {interface}: live interfaces are read on Linux only")
}

fn turn(engine: &mut Engine<StepTrace>, plan: &Plan, progress: &mut Progress) {
    let Some(nic) = file_nic(engine) else { return };
    let now_ns = nic.last_ns();
    progress.at(nic.progress().read);
    if !plan.live.is_empty() {
        engine.poll_hosts(now_ns);
    }
}

/// The capture ended before the frame came.
fn missing(engine: &mut Engine<StepTrace>, number: u64, name: &str) -> anyhow::Error {
    let seen = file_nic(engine).map_or(0, |nic| nic.parser().frames());
    match take_damage(engine) {
        Some(damage) => anyhow::Error::from(damage)
            .context(format!("frame {number} was not reached: {seen} frames were read")),
        None => anyhow!("{name} has {seen} frames, there is no frame {number}"),
    }
}

fn json_of(step: &pipeline::Step, index: usize, frame: u64, ns_per_tick: f64) -> Value {
    let geometry = step.geometry.map(|g| {
        json!({"head": 0, "data": g.data, "tail": g.tail, "end": g.end, "pulled": g.pulled,
            "buffer": format!("{:?}", g.buffer).to_lowercase()})
    });
    let verdict = match step.kind {
        pipeline::step::StepKind::Decided(Verdict::Forward(set)) => {
            json!({"forward": set.map(|port| port.0).collect::<Vec<_>>()})
        }
        pipeline::step::StepKind::Decided(Verdict::Drop(reason))
        | pipeline::step::StepKind::Dropped(reason, _) => json!({"drop": reason.name()}),
        pipeline::step::StepKind::Decided(Verdict::Consume) => json!("consume"),
        _ => Value::Null,
    };
    json!({
        "schema": "framewalk.step/1",
        "frame": frame,
        "step": index,
        "stage": step.stage.name(),
        "kind": step.kind.name(),
        "direction": step.direction.name(),
        "title": step.title,
        "object": step.object,
        "owner": step.owner,
        "text": step.text,
        "told": step.told,
        "verdict": verdict,
        "caplen": step.bytes.len(),
        "origlen": step.origlen,
        "view": [step.view.start, step.view.end],
        "geometry": geometry,
        "ethertype": step.fields.map(|f| f.ethertype),
        "vlan_tci": step.fields.map(|f| f.vlan_tci),
        "network": step.fields.map(|f| f.network),
        "transport": step.fields.map(|f| f.transport),
        "buffer_refs": step.refs,
        "references": step.references,
        "copies": step.copies,
        "cost_ns": step.cost_ticks.map(|ticks| (ticks as f64 * ns_per_tick).round()),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    /// The steps of a frame of pcaps/practice.pcapng.
    pub(super) fn steps_of(number: u64) -> Steps {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps/practice.pcapng");
        let cli = Cli::parse_from(["framewalk", "walk", &file.to_string_lossy(), "-q"]);
        let Command::Walk(args) = &cli.command else { unreachable!("walk was parsed") };
        find(args, number, &cli.globals).unwrap().steps
    }

    #[test]
    fn a_frame_beyond_the_end_is_named() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps/arp.pcap");
        let cli = Cli::parse_from(["framewalk", "walk", &file.to_string_lossy(), "-q"]);
        let Command::Walk(args) = &cli.command else { unreachable!("walk was parsed") };
        let error = find(args, 9999, &cli.globals).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("there is no frame 9999"), "{error}");
    }
}
