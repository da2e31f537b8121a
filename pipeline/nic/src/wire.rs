//! A live interface in both directions, as the far end of a switch port: what guests of this
//! process send goes out by it, what comes in for them enters the path.
//!
//! In come frames to the stations named and to groups, by `recvmmsg` into slots of the pool: the
//! kernel's copy is the only one. Frames with a VLAN tag are dropped, for the kernel took the tag
//! off and without it they would be another network's. Out go frames by `tx`: AF_XDP
//! or sendmmsg. The device needs no address: the kernel's own stack takes no part.

use std::io;
use std::time::Duration;

use skb::{
    DropReason, IpSummed, Ledger, LinkType, MacAddr, Nic, Pool, Ring, Run, RxStatus, Sink, Skb,
    Slot, Stage,
};

use crate::bpf::Instruction;
use crate::link::{self, Link, LinkError};
use crate::sys::recv::{BURST, PacketReceiver};
use crate::sys::sock::Refusal;
use crate::tx::{self, Method, SendError, Transmit, TxError};
use crate::wake::{Came, Waker};

/// The socket's buffer for frames nobody has read yet, bytes.
const BUFFER: i32 = 32 << 20;
/// Polls between two looks at the kernel's drops.
const LOOK: u32 = 1024;

/// Why an interface cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// It could not be looked up.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Nothing can be sent by it.
    #[error(transparent)]
    Tx(#[from] TxError),
    /// Nothing can be received by it.
    #[error("{interface}: cannot {operation}")]
    Rx {
        /// The device.
        interface: String,
        /// What was asked of the kernel.
        operation: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// The process may not.
    #[error("{interface}: cannot {operation}: not permitted; type: {command}")]
    NotPermitted {
        /// The device.
        interface: String,
        /// What was asked of the kernel.
        operation: &'static str,
        /// What mends it.
        command: String,
    },
    /// It is switched off.
    #[error("{0} is switched off; type: sudo ip link set {0} up")]
    Down(String),
}

impl WireError {
    fn rx(interface: &str, (operation, source): Refusal) -> Self {
        let interface = interface.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied => {
                Self::NotPermitted { interface, operation, command: tx::setcap_command() }
            }
            _ => Self::Rx { interface, operation, source },
        }
    }
}

/// What crossed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WireStats {
    /// Frames taken in.
    pub rx_frames: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// Frames that the kernel had no room for.
    pub rx_lost: u64,
    /// Frames the kernel took to send.
    pub tx_frames: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Frames it did not take.
    pub tx_refused: u64,
}

/// See the module text.
#[derive(Debug)]
pub struct WireNic {
    link: Link,
    receiver: PacketReceiver,
    transmit: Box<dyn Transmit>,
    /// Taken from the pool, empty.
    slots: Vec<Slot>,
    waker: Waker,
    number: u64,
    polls: u32,
    stats: WireStats,
    error: Option<String>,
}

/// Passes frames to `macs` and to groups: classic BPF on the first six bytes (`bpf(4)`).
fn filter(macs: &[MacAddr]) -> Vec<Instruction> {
    const LDW_ABS: u16 = 0x20;
    const LDH_ABS: u16 = 0x28;
    const LDB_ABS: u16 = 0x30;
    const JEQ: u16 = 0x15;
    const JSET: u16 = 0x45;
    let op = |code, jt, jf, k| Instruction { code, jt, jf, k };
    let mut program = vec![
        op(LDB_ABS, 0, 0, 0),
        op(JSET, 0, 1, 1), // a group
        Instruction::ret(u32::MAX),
    ];
    for mac in macs {
        let [a, b, c, d, e, f] = mac.0;
        program.extend([
            op(LDW_ABS, 0, 0, 0),
            op(JEQ, 0, 3, u32::from_be_bytes([a, b, c, d])),
            op(LDH_ABS, 0, 0, 4),
            op(JEQ, 0, 1, u32::from_be_bytes([0, 0, e, f])),
            Instruction::ret(u32::MAX),
        ]);
    }
    program.push(Instruction::ret(0));
    program
}

impl WireNic {
    /// Opens it for guests with the addresses `macs`. `method` is how frames go out, `None` for
    /// the fastest that works.
    ///
    /// # Errors
    /// The interface is not there, not Ethernet, switched off, or may not be used.
    pub fn open(
        interface: &str,
        macs: &[MacAddr],
        method: Option<Method>,
    ) -> Result<Self, WireError> {
        let link = link::by_name(interface)?;
        if !link.up {
            return Err(WireError::Down(interface.to_owned()));
        }
        let transmit = tx::open(&link, method)?;
        let receiver = PacketReceiver::open(link.index, &filter(macs), BUFFER)
            .map_err(|refusal| WireError::rx(interface, refusal))?;
        let waker =
            Waker::new().map_err(|error| WireError::rx(interface, ("make an eventfd", error)))?;
        Ok(Self {
            link,
            receiver,
            transmit,
            slots: Vec::with_capacity(BURST),
            waker,
            number: 0,
            polls: 0,
            stats: WireStats::default(),
            error: None,
        })
    }

    /// The interface as it was when opened.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// How frames go out.
    pub fn method(&self) -> Method {
        self.transmit.method()
    }

    /// What crossed it.
    pub fn stats(&self) -> WireStats {
        self.stats
    }

    /// What ends a [`wait`](Self::wait) from another thread.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// What ended it: the interface is gone.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Waits for frames, or until somebody wakes, at most `timeout`.
    pub fn wait(&mut self, timeout: Duration) {
        let came = self.waker.wait(std::os::fd::AsFd::as_fd(&self.receiver), timeout);
        match came {
            Ok(Came::Readable { error: true }) => {
                if self.receiver.take_error().is_some() {
                    self.look_at_link();
                    // down: nothing comes before it is up again
                    std::thread::sleep(timeout.min(Duration::from_millis(10)));
                }
            }
            Ok(_) => {}
            Err(error) => self.error = Some(format!("{}: cannot wait: {error}", self.link.name)),
        }
    }

    fn look_at_link(&mut self) {
        if matches!(link::by_index(self.link.index), Ok(None)) {
            self.gone();
        }
    }

    fn gone(&mut self) {
        self.error = Some(format!("the interface {} is gone", self.link.name));
    }

    /// Gives slots that no frame came into back to the pool; to be called before it goes.
    pub fn unplug(&mut self, pool: &mut Pool) {
        for slot in self.slots.drain(..) {
            pool.free_slot(slot);
        }
    }

    /// What the kernel had no room for came in and was dropped, by its own count.
    fn look(&mut self, ledger: &mut Ledger) {
        let lost = self.receiver.lost();
        self.stats.rx_lost += lost;
        ledger.frames_in += lost;
        ledger.drop_at(Stage::Nic, DropReason::KernelRingFull, lost);
    }

    /// Sends the frames in order; what is not taken is dropped and counted.
    fn send(&mut self, frames: &[&[u8]], ledger: &mut Ledger) {
        let mut at = 0;
        while at < frames.len() {
            let sent = self.transmit.send(&frames[at..]);
            let taken = sent.taken.min(frames.len() - at);
            ledger.delivered += taken as u64;
            self.stats.tx_frames += taken as u64;
            self.stats.tx_bytes +=
                frames[at..at + taken].iter().map(|frame| frame.len() as u64).sum::<u64>();
            at += taken;
            let Some(error) = sent.error else { continue };
            let reason = match error {
                SendError::TooLong { .. } => DropReason::TooLong,
                SendError::TooShort { .. } => DropReason::Runt,
                SendError::Gone => {
                    self.gone();
                    DropReason::Shutdown
                }
                _ => DropReason::PortFull,
            };
            ledger.drop_at(Stage::Guest, reason, 1);
            self.stats.tx_refused += 1;
            at += 1;
        }
    }

    fn send_skbs(
        &mut self,
        pool: &Pool,
        skbs: impl Iterator<Item = impl std::ops::Deref<Target = Skb>>,
        ledger: &mut Ledger,
    ) {
        let mut frames: [&[u8]; BURST] = [&[]; BURST];
        let mut count = 0;
        for skb in skbs {
            let skb = &*skb;
            // a device takes whole frames: super-frames and sums left to it are for memory only
            if !skb.is_linear() || skb.gso_size > 0 || skb.ip_summed == IpSummed::Partial {
                ledger.drop_at(Stage::Guest, DropReason::TooLong, 1);
                self.stats.tx_refused += 1;
                continue;
            }
            if count == BURST {
                self.send(&frames[..count], ledger);
                count = 0;
            }
            frames[count] = frame_of(pool, skb);
            count += 1;
        }
        self.send(&frames[..count], ledger);
    }
}

/// Lives as long as the pool's borrow, whatever the skb's.
fn frame_of<'p>(pool: &'p Pool, skb: &Skb) -> &'p [u8] {
    pool.frame(skb)
}

impl Nic for WireNic {
    /// Counts `frames_in`; [`RxStatus::Done`] when the interface is gone.
    fn rx(
        &mut self,
        pool: &mut Pool,
        ring: &mut Ring,
        budget: usize,
        ledger: &mut Ledger,
    ) -> RxStatus {
        if self.error.is_some() {
            return RxStatus::Done;
        }
        self.polls = self.polls.wrapping_add(1);
        if self.polls.is_multiple_of(LOOK) {
            self.look(ledger);
        }
        let want = budget.min(ring.room()).min(BURST);
        while self.slots.len() < want {
            let Some(slot) = pool.alloc_slot() else { break };
            self.slots.push(slot);
        }
        let want = want.min(self.slots.len());
        let Ok(count) = self.receiver.receive(pool, &mut self.slots[..want]) else {
            return RxStatus::Idle;
        };
        for (at, slot) in self.slots.drain(..count).enumerate() {
            let beside = self.receiver.beside(at);
            ledger.frames_in += 1;
            self.stats.rx_frames += 1;
            self.stats.rx_bytes += beside.len as u64;
            let room = pool.slot_frame_max();
            if beside.tagged || beside.len > room {
                let long = beside.len > room;
                let reason = if long { DropReason::TooLong } else { DropReason::VlanIngress };
                ledger.drop_at(Stage::Nic, reason, 1);
                pool.free_slot(slot);
                continue;
            }
            let Some(mut desc) = pool.commit(slot, beside.len, skb::PortId(0)) else { continue };
            self.number += 1;
            desc.id = self.number;
            desc.linktype = LinkType::ETHERNET;
            if beside.partial {
                desc.ip_summed = IpSummed::Partial;
            }
            if let Err(desc) = ring.push(desc) {
                ledger.drop_at(Stage::Nic, DropReason::RingFull, 1);
                pool.free_desc(desc);
            }
        }
        if count > 0 { RxStatus::Active } else { RxStatus::Idle }
    }
}

impl Sink for WireNic {
    /// The kernel lets a sender wait for room itself.
    fn credit(&self) -> usize {
        usize::MAX
    }

    fn deliver(&mut self, pool: &mut Pool, skb: Skb, ledger: &mut Ledger) {
        self.send_skbs(pool, std::iter::once(&skb), ledger);
        pool.free(skb);
    }

    fn deliver_runs(&mut self, pool: &mut Pool, burst: &[Skb], runs: &[Run], ledger: &mut Ledger) {
        self.send_skbs(pool, runs.iter().flat_map(|run| run.of(burst)), ledger);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The machine that the kernel runs filters on, as far as ours use it.
    fn run(program: &[Instruction], frame: &[u8]) -> u32 {
        let (mut at, mut a) = (0, 0_u32);
        loop {
            let Instruction { code, jt, jf, k } = program[at];
            at += 1;
            let byte = |i: u32| u32::from(frame[i as usize]);
            let jump = |yes: bool| usize::from(if yes { jt } else { jf });
            match code {
                0x20 => a = (0..4).fold(0, |w, i| w << 8 | byte(k + i)),
                0x28 => a = byte(k) << 8 | byte(k + 1),
                0x30 => a = byte(k),
                0x15 => at += jump(a == k),
                0x45 => at += jump(a & k != 0),
                0x06 => return k,
                code => panic!("{code:#x}"),
            }
        }
    }

    #[test]
    fn the_filter_passes_frames_to_our_guests_and_to_groups_alone() {
        let ours = [MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])];
        let program = filter(&ours);
        for (to, passes) in [
            ([2, 0, 0, 0, 0, 1], true),
            ([2, 0, 0, 0, 0, 2], true),
            ([2, 0, 0, 0, 0, 3], false),
            ([2, 0, 0, 1, 0, 1], false),
            ([255; 6], true),
            ([0x33, 0x33, 0, 0, 0, 1], true),
            ([0; 6], false),
        ] {
            assert_eq!(run(&program, &to) != 0, passes, "{to:?}");
        }
        assert_eq!(run(&filter(&[]), &ours[0].0), 0);
    }
}
