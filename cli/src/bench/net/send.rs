//! Senders of our own, on the sending core: one as fast as it goes or at a rate, and the bare one
//! that shows what the machine can do.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nic::tx::{self, Method, SendError, Transmit};
use skb::arch::{TickRate, ticks};

use super::super::stop::Stop;
use super::frames::{self, Made};
use super::lab::{Lab, on_core};

/// Frames handed over at once when a rate is asked for.
const BURST: usize = 16;
/// How long ticks are compared with the clock.
const CALIBRATION: Duration = Duration::from_millis(200);

/// What to send.
#[derive(Debug, Clone, Copy)]
pub(in crate::bench) struct Offer {
    /// Bytes of each frame, without FCS.
    pub(in crate::bench) len: usize,
    pub(in crate::bench) frames: u32,
    /// Frames per second; as fast as it goes without.
    pub(in crate::bench) pps: Option<f64>,
}

/// What was sent.
#[derive(Debug, Clone, Copy)]
pub(in crate::bench) struct Sent {
    pub(in crate::bench) method: Method,
    pub(in crate::bench) frames: u64,
    pub(in crate::bench) seconds: f64,
}

/// Sends numbered frames out of the near end by the fastest way that works here.
pub(in crate::bench) fn offer(lab: &Lab, offer: Offer, stop: &Stop) -> anyhow::Result<Sent> {
    on_core(lab.sender_core, || {
        let way = tx::open(&lab.near, None).context("cannot send by the near end")?;
        send(way, offer, stop)
    })?
}

fn send(mut way: Box<dyn Transmit>, offer: Offer, stop: &Stop) -> anyhow::Result<Sent> {
    let burst = if offer.pps.is_some() { BURST } else { way.burst_max() };
    let mut bytes: Vec<Vec<u8>> = vec![frames::frame(offer.len, 0); burst];
    let (start, mut taken) = (Instant::now(), 0u32);
    while taken < offer.frames {
        stop.check()?;
        if let Some(pps) = offer.pps {
            let due = Duration::from_secs_f64(f64::from(taken) / pps);
            while start.elapsed() < due {
                std::hint::spin_loop();
            }
        }
        let count = burst.min((offer.frames - taken) as usize);
        for (n, frame) in bytes.iter_mut().enumerate().take(count) {
            frames::set_number(frame, taken + n as u32);
        }
        let refs: Vec<&[u8]> = bytes[..count].iter().map(Vec::as_slice).collect();
        taken += all(way.as_mut(), &refs)? as u32;
    }
    let seconds = start.elapsed().as_secs_f64();
    let left = way.finish(Duration::from_secs(1));
    if left > 0 {
        bail!("{left} frames did not leave by {}", way.method());
    }
    Ok(Sent { method: way.method(), frames: taken.into(), seconds })
}

/// Hands all over, however often there is no room.
fn all(way: &mut dyn Transmit, frames: &[&[u8]]) -> anyhow::Result<usize> {
    let mut taken = 0;
    while taken < frames.len() {
        let sent = way.send(&frames[taken..]);
        taken += sent.taken;
        match sent.error {
            None | Some(SendError::NoBuffers) => {}
            Some(error) => return Err(error).context("cannot send by the near end"),
        }
    }
    Ok(taken)
}

/// The bare sender: for each frame it spins on the tick counter until the frame is due, then makes
/// one system call on a packet socket. No file, no report, no reading ahead.
pub(in crate::bench) fn spin(lab: &Lab, made: &Made, stop: &Stop) -> anyhow::Result<()> {
    on_core(lab.sender_core, || {
        let way = tx::open(&lab.near, Some(Method::Sendmmsg));
        let mut way = way.context("cannot send by the near end")?;
        let longest = made.len.iter().copied().max().unwrap_or(0);
        let mut frame = frames::frame(longest, 0);
        let rate = TickRate::start();
        std::thread::sleep(CALIBRATION);
        let ticks_per_ns = 1.0 / rate.ns_per_tick();
        let start = ticks();
        for (n, (due_ns, len)) in made.due_ns.iter().zip(&made.len).enumerate() {
            if n % 1024 == 0 {
                stop.check()?;
            }
            frames::set_number(&mut frame, n as u32);
            let due = (*due_ns as f64 * ticks_per_ns) as u64;
            while ticks().wrapping_sub(start) < due {
                std::hint::spin_loop();
            }
            all(way.as_mut(), &[&frame[..*len]])?;
        }
        way.finish(Duration::from_secs(1));
        Ok(())
    })?
}
