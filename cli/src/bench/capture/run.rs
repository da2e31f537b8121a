//! One run of one program: it listens at the far end, frames are sent, it is stopped, and its file
//! is counted.

use std::ffi::OsString;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use capture::Reader;

use super::super::net::frames;
use super::super::net::listen::hear;
use super::super::net::peers::Peer;
use super::super::net::send::{self, Offer, Sent};
use super::super::net::tool::{Running, words};
use super::Bench;

/// Who captures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Ours,
    Peer(Peer),
    /// Our receive ring, in this process, counting and not writing.
    Bare,
}

/// How long a program may take until it listens.
const BEGIN: Duration = Duration::from_secs(20);
/// From when its socket is bound until frames are sent: rings are made after that.
const SETTLE: Duration = Duration::from_millis(300);

/// What one run came to.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) sent: Sent,
    /// Frames that the far interface counted.
    pub(super) arrived: u64,
    /// Frames in the file.
    pub(super) captured: u64,
    /// Frames after the last one in the file.
    pub(super) tail_lost: u64,
    /// Processor time of the program, from its start to its end.
    pub(super) cpu: Duration,
    /// Of it, what it took from before the first frame until it was stopped.
    pub(super) busy: Duration,
}

impl Run {
    /// Frames that arrived and are not in the file.
    pub(super) fn lost(&self) -> u64 {
        self.arrived.saturating_sub(self.captured)
    }

    /// Frames captured for each second of sending.
    pub(super) fn pps(&self) -> f64 {
        self.captured as f64 / self.sent.seconds.max(1e-9)
    }
}

/// Name and who, ours first.
pub(super) fn everyone(bench: &Bench<'_>, bare: bool) -> Vec<(Option<String>, Who)> {
    let mut all = vec![(None, Who::Ours)];
    if bare {
        let name = "a bare TPACKET_V3 counter, not writing";
        all.push((Some(name.to_owned()), Who::Bare));
    }
    all.extend(bench.peers.iter().map(|(peer, name)| (Some(name.clone()), Who::Peer(*peer))));
    all
}

/// One run. `patience` passes between the last frame and the interrupt.
pub(super) fn one(
    bench: &Bench<'_>,
    who: Who,
    offer: Offer,
    patience: Duration,
) -> anyhow::Result<Run> {
    let before = bench.lab.arrived()?.rx_packets;
    let arrived = || Ok::<u64, anyhow::Error>(bench.lab.arrived()?.rx_packets - before);
    if who == Who::Bare {
        let mut last = None;
        let mut captured = 0;
        let (_, sent) = hear(
            bench.lab,
            |frame| {
                captured += 1;
                last = frames::number(frame.data);
            },
            || send::offer(bench.lab, offer, &bench.stop),
        )?;
        let tail_lost = tail(offer, last);
        let arrived = arrived()?;
        return Ok(Run {
            sent,
            arrived,
            captured,
            tail_lost,
            cpu: Duration::ZERO,
            busy: Duration::ZERO,
        });
    }
    let file = bench.file();
    let program = Running::start(bench.lab, bench.lab.receiver_core, &command(bench, who))?;
    listening(bench, &program)?;
    let ready = program.busy()?;
    let sent = send::offer(bench.lab, offer, &bench.stop)?;
    bench.stop.sleep(patience)?;
    let busy = program.busy()?.saturating_sub(ready);
    let ended = program.interrupt()?.good()?;
    let arrived = arrived()?;
    let counted = count(&file);
    let removed = fs::remove_file(&file);
    let (captured, last) = counted.with_context(|| format!("its file; it said: {}", ended.said))?;
    removed.context("cannot remove what was captured")?;
    Ok(Run { sent, arrived, captured, tail_lost: tail(offer, last), cpu: ended.cpu, busy })
}

/// Frames after the last one that was captured.
fn tail(offer: Offer, last: Option<u32>) -> u64 {
    u64::from(offer.frames) - last.map_or(0, |last| u64::from(last) + 1)
}

/// As people start them, with buffers of the same size.
fn command(bench: &Bench<'_>, who: Who) -> Vec<OsString> {
    let (far, file) = (&bench.lab.far.name, &bench.file());
    match who {
        Who::Ours | Who::Bare => words(&[
            &bench.me,
            &"capture",
            &"-i",
            far,
            &"-w",
            file,
            &"--budget",
            &"1000G",
            &"--json",
        ]),
        Who::Peer(Peer::Dumpcap) => {
            words(&[&"dumpcap", &"-q", &"-i", far, &"-p", &"-w", file, &"-B", &"64"])
        }
        Who::Peer(Peer::NetsniffNg) => words(&[
            &"netsniff-ng",
            &"--in",
            far,
            &"--out",
            file,
            &"-s",
            &"-Q",
            &"-M",
            &"-b",
            &"0",
            &"-S",
            &"64MiB",
        ]),
        // -Z: it would become another user, who may not write there
        Who::Peer(_) => words(&[
            &"tcpdump", &"-i", far, &"-p", &"-n", &"-Z", &"root", &"-B", &"65536", &"-w", file,
        ]),
    }
}

/// Waits until a packet socket listens at the far end.
fn listening(bench: &Bench<'_>, program: &Running) -> anyhow::Result<()> {
    let start = Instant::now();
    while !is_bound(&fs::read_to_string("/proc/thread-self/net/packet")?, bench.lab.far.index) {
        bench.stop.check()?;
        if !program.is_running() || start.elapsed() > BEGIN {
            bail!("it does not listen: {}", program.said());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bench.stop.sleep(SETTLE)
}

/// Whether `/proc/net/packet` has a running socket for all protocols on that device. Columns: sk,
/// RefCnt, Type, Proto, Iface, R, ...
fn is_bound(table: &str, index: u32) -> bool {
    table.lines().skip(1).any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(3) == Some(&"0003")
            && words.get(4).and_then(|w| w.parse().ok()) == Some(index)
            && words.get(5) == Some(&"1")
    })
}

/// Our frames in a file, and the number of the last.
fn count(file: &std::path::Path) -> anyhow::Result<(u64, Option<u32>)> {
    let mut reader = Reader::open(file)?;
    let (mut frames, mut last) = (0, None);
    loop {
        match reader.next() {
            Ok(Some(frame)) => {
                if let Some(number) = frames::number(frame.data) {
                    frames += 1;
                    last = Some(number);
                }
            }
            // a file that is cut ends there
            Ok(None) | Err(_) => return Ok((frames, last)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_socket_is_found_in_the_kernels_table() {
        let table = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n\
            00000000e52c3a5c 3      3    0003   7     1 0      0      27182\n\
            00000000e52c3a5d 3      3    0003   8     0 0      0      27183\n\
            00000000e52c3a5e 3      3    0000   9     1 0      0      27184\n";
        assert!(is_bound(table, 7));
        assert!(!is_bound(table, 8) && !is_bound(table, 9) && !is_bound(table, 1));
        assert!(!is_bound("", 7));
    }
}
