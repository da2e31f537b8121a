//! Runs a wired engine to the end of its capture.

use std::time::Instant;

use pipeline::nic::FileNic;
use pipeline::{Endpoint, Engine};
use skb::arch::TickRate;
use skb::trace::Tracer;
use skb::{PortId, RxStatus};

use super::plan::WIRE;
use crate::term::Progress;

/// Turns of the live guests after the capture has ended, at most.
const AFTER_TURNS: usize = 100_000;
/// Time that passes for the live guests in each of them: retransmissions come to their end.
const AFTER_TURN_NS: i64 = 10_000_000;
/// Polls between two looks at the progress bar.
const POLLS_PER_LOOK: u32 = 4096;

/// How a run went.
#[derive(Debug)]
pub struct Ran {
    /// Seconds from the first poll to the last.
    pub seconds: f64,
    /// Length of a tick.
    pub ns_per_tick: f64,
    /// What ended the capture early.
    pub damage: Option<capture::Error>,
}

/// Takes every frame of the capture the whole way, then lets live guests finish.
pub fn to_the_end<T: Tracer>(engine: &mut Engine<T>, progress: &mut Progress) -> Ran {
    let rate = TickRate::start();
    let start = Instant::now();
    let mut polls = 0u32;
    let live = has_live_guests(engine);
    loop {
        if live {
            poll_live_guests(engine, 0);
        }
        if poll(engine, live) == RxStatus::Done {
            break;
        }
        polls = polls.wrapping_add(1);
        if polls.is_multiple_of(POLLS_PER_LOOK)
            && let Some(nic) = file_nic(engine)
        {
            progress.at(nic.progress().read);
        }
    }
    if live {
        let_guests_finish(engine);
    }
    engine.shut_down();
    unplug(engine);
    let seconds = start.elapsed().as_secs_f64();
    let ns_per_tick = rate.ns_per_tick();
    progress.clear();
    Ran { seconds, ns_per_tick, damage: take_damage(engine) }
}

/// One turn: the wire first, then whatever else has something. `Done` when the wire has ended.
pub(crate) fn poll<T: Tracer>(engine: &mut Engine<T>, live: bool) -> RxStatus {
    let wire = engine.poll_port(WIRE);
    let others = if live { 1..engine.ports().len() } else { 0..0 };
    for index in others {
        engine.poll_port(PortId(index as u8));
    }
    wire
}

/// The capture, as the wire's adapter reads it.
pub fn file_nic<T: Tracer>(engine: &Engine<T>) -> Option<&FileNic> {
    match engine.port(WIRE)?.endpoint() {
        Endpoint::File(nic, _) => Some(nic),
        _ => None,
    }
}

/// Takes what ended the capture early.
pub fn take_damage<T: Tracer>(engine: &mut Engine<T>) -> Option<capture::Error> {
    let (port, _) = engine.port_and_pool(WIRE)?;
    match port.endpoint_mut() {
        Endpoint::File(nic, _) => nic.take_error(),
        _ => None,
    }
}

pub(super) fn has_live_guests<T: Tracer>(engine: &Engine<T>) -> bool {
    engine.ports().iter().any(|port| matches!(port.endpoint(), Endpoint::Host(_)))
}

/// Runs the live guests' stacks at the capture's time plus `after_ns`. Whether any did something.
fn poll_live_guests<T: Tracer>(engine: &mut Engine<T>, after_ns: i64) -> bool {
    let now = file_nic(engine).map_or(0, FileNic::last_ns).saturating_add(after_ns);
    engine.poll_hosts(now)
}

fn let_guests_finish<T: Tracer>(engine: &mut Engine<T>) {
    let mut quiet = 0;
    for turn in 0..AFTER_TURNS {
        let moved = poll_live_guests(engine, turn as i64 * AFTER_TURN_NS);
        poll(engine, true);
        quiet = if moved { 0 } else { quiet + 1 };
        if quiet == 100 {
            break;
        }
    }
}

pub(super) fn unplug<T: Tracer>(engine: &mut Engine<T>) {
    for index in 0..engine.ports().len() {
        if let Some((port, pool)) = engine.port_and_pool(PortId(index as u8))
            && let Endpoint::Host(host) = port.endpoint_mut()
        {
            host.unplug(pool);
        }
    }
}
