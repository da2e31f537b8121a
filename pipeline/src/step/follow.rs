//! Follows one frame through an engine.

use super::{Context, PortCast, StepTrace, Steps};
use crate::Engine;
use skb::{FrameMeta, LinkType, MacAddr, PortId, RxStatus};
use vswitch::fdb::{FdbStats, Learned};

/// Polls `engine` until the frame its tracer waits for has gone its way, and tells it. `None` if
/// every source ended before that frame came.
///
/// Use drivers with a budget of 1, so that each step's cost is the one frame's. `turn` is called
/// before every poll: to set the clock, to run live guests, to show progress.
pub fn follow(
    engine: &mut Engine<StepTrace>,
    ports: &[PortCast],
    meta: Option<&FrameMeta>,
    mut turn: impl FnMut(&mut Engine<StepTrace>),
) -> Option<Steps> {
    loop {
        let mut done = true;
        for index in 0..engine.ports().len() {
            turn(engine);
            let before = engine.switch().fdb().stats();
            done &= engine.poll_port(PortId(index as u8)) == RxStatus::Done;
            if engine.tracer().has_arrived() {
                let learned = Some(learned(&before, &engine.switch().fdb().stats()));
                let found = destination(engine);
                return Steps::tell(engine.tracer(), ports, &Context { meta, learned, found });
            }
        }
        if done {
            return None;
        }
    }
}

/// What one frame taught the table, by the counts before and after.
fn learned(before: &FdbStats, after: &FdbStats) -> Learned {
    if after.learned > before.learned {
        Learned::New
    } else if after.moved > before.moved {
        Learned::Moved
    } else if after.static_conflict > before.static_conflict {
        Learned::StaticConflict
    } else if after.refused_cap > before.refused_cap {
        Learned::RefusedCap
    } else if after.refused_full > before.refused_full {
        Learned::RefusedFull
    } else {
        Learned::Known
    }
}

/// Where the table has the frame's destination.
fn destination(engine: &Engine<StepTrace>) -> Option<PortId> {
    let frame = engine.tracer().arrival()?;
    if frame.linktype != LinkType::ETHERNET || frame.bytes.len() < 14 {
        return None;
    }
    let to = MacAddr::from_slice(&frame.bytes);
    let mut entries = engine.switch().fdb().iter();
    entries.find(|entry| entry.key.mac() == to).map(|entry| entry.port)
}
