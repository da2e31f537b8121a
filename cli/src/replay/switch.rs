//! `--switch`: recorded frames into the virtual switch, on time.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use nic::tx::{Method, SendError, Sent, Transmit};
use pipeline::guest::CountingSink;
use pipeline::nic::{FedError, FedNic, Ingress};
use pipeline::{Endpoint, Engine};
use skb::arch::TickRate;
use skb::trace::NoTrace;
use skb::{MacAddr, Pool, RxStatus};

use super::port::Ports;
use crate::cli::Globals;
use crate::term::Progress;
use crate::walk::plan::{POOL, Plan, SwitchKind, WIRE};
use crate::walk::report::Report;
use crate::walk::run::{Ran, poll};
use crate::walk::who::{self, Question, Who};

/// Frames given to the path before it is polled.
const BURST: usize = 64;
/// The longest frame, as captures have them: a switch has no MTU.
const MTU: u32 = 262_144;

/// The switch that is replayed into, and who is at its ports.
pub(super) struct Switch {
    engine: Arc<Mutex<Engine<NoTrace>>>,
    plan: Plan,
    who: Who,
    input: String,
    begun: Instant,
    rate: TickRate,
}

impl Switch {
    /// Looks who is who in the capture and wires the path.
    pub(super) fn wire(
        file: &Path,
        guests: &[MacAddr],
        kind: SwitchKind,
        globals: &Globals,
    ) -> anyhow::Result<Self> {
        if file.as_os_str() == "-" && guests.is_empty() {
            bail!("standard input is read once: say who is a guest behind the switch, --guest MAC");
        }
        let total = std::fs::metadata(file).ok().map(|info| info.len());
        let question = Question { named: guests.to_vec(), frame: None };
        let looking = Progress::new("looking who is who", total, globals.quiet);
        let who = if guests.is_empty() {
            who::decide(file, &question, looking)?.0
        } else {
            who::decide_on_frames(&question, None, |_| Ok(0))?
        };
        let plan = Plan {
            guests: who.guests.iter().map(|guest| guest.mac).collect(),
            live: Vec::new(),
            switch: kind,
            gro: false,
            budget: BURST,
        };
        let nic = FedNic::new(Ingress::new(WIRE, plan.guest_ports()));
        let wire = Endpoint::Fed(Box::new(nic), CountingSink::new());
        let engine = plan.wired(Pool::new(POOL)?, wire, None, NoTrace)?;
        let input = file.display().to_string();
        Ok(Self {
            engine: Arc::new(Mutex::new(engine)),
            plan,
            who,
            input,
            begun: Instant::now(),
            rate: TickRate::start(),
        })
    }

    /// The way into it.
    pub(super) fn ports(&self) -> Ports {
        Ports::of_ways(vec![Box::new(SwitchPort(Arc::clone(&self.engine)))], MTU)
    }

    /// What the path made of it.
    pub(super) fn finish(self) -> anyhow::Result<Report> {
        let engine = Arc::into_inner(self.engine).context("the switch is still in use")?;
        let mut engine = engine.into_inner().unwrap_or_else(PoisonError::into_inner);
        engine.shut_down();
        let ran = Ran {
            seconds: self.begun.elapsed().as_secs_f64(),
            ns_per_tick: self.rate.ns_per_tick(),
            damage: None,
        };
        Ok(Report::new(self.input, self.who, &self.plan, &engine, &ran))
    }
}

/// Frames sent by it go the whole path before the call returns.
struct SwitchPort(Arc<Mutex<Engine<NoTrace>>>);

impl fmt::Debug for SwitchPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SwitchPort").finish_non_exhaustive()
    }
}

impl SwitchPort {
    fn engine(&self) -> MutexGuard<'_, Engine<NoTrace>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn offer(engine: &mut Engine<NoTrace>, frame: &[u8], time_ns: i64) -> Result<(), FedError> {
    match engine.port_and_pool(WIRE) {
        Some((port, pool)) => match port.endpoint_mut() {
            Endpoint::Fed(nic, _) => nic.offer(pool, frame, time_ns),
            _ => Err(FedError::NoRoom),
        },
        None => Err(FedError::NoRoom),
    }
}

impl Transmit for SwitchPort {
    fn method(&self) -> Method {
        Method::Switch
    }

    fn burst_max(&self) -> usize {
        BURST
    }

    fn send(&mut self, frames: &[&[u8]]) -> Sent {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time_ns = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
        let mut engine = self.engine();
        let (mut taken, mut error) = (0, None);
        for frame in frames {
            match offer(&mut engine, frame, time_ns) {
                Ok(()) => taken += 1,
                Err(FedError::TooLong { len, max }) => {
                    error = Some(SendError::TooLong { len, max });
                    break;
                }
                Err(_) => {
                    error = Some(SendError::NoBuffers);
                    break;
                }
            }
        }
        while poll(&mut engine, false) == RxStatus::Active {}
        Sent { taken, error }
    }

    fn finish(&mut self, _: Duration) -> u64 {
        let mut engine = self.engine();
        while poll(&mut engine, false) == RxStatus::Active {}
        0
    }
}
