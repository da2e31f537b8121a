//! An ear at the far end of the cable: our receive ring, which writes nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nic::packet::{Config, Frame, PacketRx, RxCounts, Wake};

use super::lab::{Lab, on_core};

/// How long the last frames may take to come.
const DRAIN: Duration = Duration::from_secs(2);

/// Hands every frame that arrives at the far end to `each`, on the receiving core, while `during`
/// runs on this thread; and what came until then, after it. The counts say what was lost.
pub(in crate::bench) fn hear<T>(
    lab: &Lab,
    each: impl FnMut(&Frame<'_>) + Send,
    during: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(RxCounts, T)> {
    let over = AtomicBool::new(false);
    let (ready, wait) = mpsc::sync_channel(1);
    std::thread::scope(|scope| {
        let ear = scope.spawn(|| on_core(lab.receiver_core, || listen(lab, each, &over, &ready))?);
        // an ear that cannot open hangs up
        let done = match wait.recv() {
            Ok(()) => during(),
            Err(_) => Err(anyhow::anyhow!("the far end cannot be listened to")),
        };
        over.store(true, Ordering::Release);
        let heard = ear.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // why it could not open, before that it did not
        Ok((heard?, done?))
    })
}

fn listen(
    lab: &Lab,
    mut each: impl FnMut(&Frame<'_>),
    over: &AtomicBool,
    ready: &mpsc::SyncSender<()>,
) -> anyhow::Result<RxCounts> {
    let config = Config { promiscuous: false, ..Config::default() };
    let opened = PacketRx::open(&lab.far.name, &config);
    let mut rx = opened.context("cannot listen at the far end")?;
    ready.send(()).context("nobody waits for the ear")?;
    while !over.load(Ordering::Acquire) {
        if rx.poll(Duration::from_millis(20))? == Wake::Frames {
            // not for ever, however fast they come
            for _ in 0..64 {
                if rx.read(&mut each) == 0 {
                    break;
                }
            }
        }
    }
    rx.stop()?;
    if !rx.drain(DRAIN, &mut each)? {
        bail!("frames at the far end were neither read nor counted as dropped");
    }
    Ok(rx.counts()?)
}
