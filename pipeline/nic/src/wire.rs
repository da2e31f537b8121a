//! A live interface in both directions, as the far end of a switch port: what guests of this
//! process send goes out by it, what comes in for them enters the path.
//!
//! In come frames to the stations named and to groups, by `recvmmsg` into slots of the pool: the
//! kernel's copy is the only one. Frames with a VLAN tag are dropped, for the kernel took the tag
//! off and without it they would be another network's. Out go frames by `sendmmsg`, with what a
//! guest has left to its device: checksums, and the cutting of TCP super-frames into segments,
//! which the device does, or the kernel in front of it (segmentation offload); or, if asked for,
//! by one of the ways of [`tx`] that take whole frames only. The device needs no address: the
//! kernel's own stack takes no part.

use std::io;
use std::time::Duration;

use skb::{
    DropReason, IpSummed, Ledger, LinkType, MacAddr, Nic, Pool, Ring, Run, RxStatus, Sink, Skb,
    Slot, Stage,
};

use crate::bpf::Instruction;
use crate::link::{self, Link, LinkError};
use crate::sys::recv::{BURST, PacketReceiver};
use crate::sys::send::PacketSender;
use crate::sys::sock::Refusal;
use crate::sys::vnet::VnetHeader;
use crate::tx::{self, Method, SendError, Sent, Transmit, TxError};
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

/// How frames go out.
#[derive(Debug)]
enum Way {
    /// With what is left to do with them.
    Offload(PacketSender),
    /// Whole frames only.
    Plain(Box<dyn Transmit>),
}

impl Way {
    fn send(&mut self, frames: &[&[u8]], heads: &[VnetHeader]) -> Sent {
        match self {
            Self::Offload(sender) => sender.send_with(frames, heads),
            Self::Plain(transmit) => transmit.send(frames),
        }
    }
}

/// See the module text.
#[derive(Debug)]
pub struct WireNic {
    link: Link,
    receiver: PacketReceiver,
    way: Way,
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
    /// segmentation offload.
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
        let way = match method {
            None => Way::Offload(tx::open_offload(&link)?),
            Some(method) => Way::Plain(tx::open(&link, Some(method))?),
        };
        let receiver = PacketReceiver::open(link.index, &filter(macs), BUFFER)
            .map_err(|refusal| WireError::rx(interface, refusal))?;
        let waker =
            Waker::new().map_err(|error| WireError::rx(interface, ("make an eventfd", error)))?;
        Ok(Self {
            link,
            receiver,
            way,
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
        match &self.way {
            Way::Offload(sender) => sender.method(),
            Way::Plain(transmit) => transmit.method(),
        }
    }

    /// Whether guests may leave TCP checksums and the cutting of super-frames to it.
    pub fn offload(&self) -> bool {
        matches!(self.way, Way::Offload(_))
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
    fn send(&mut self, frames: &[&[u8]], heads: &[VnetHeader], ledger: &mut Ledger) {
        let mut at = 0;
        while at < frames.len() {
            let sent = self.way.send(&frames[at..], &heads[at..]);
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
        let mut heads = [VnetHeader::default(); BURST];
        let (mut count, offload) = (0, self.offload());
        for skb in skbs {
            let frame = frame_of(pool, &skb);
            let head = left_to_do(&skb, frame);
            // super-frames in pieces, and sums left to nobody, are for memory only
            let head = head.filter(|head| offload || *head == VnetHeader::default());
            let Some(head) = head.filter(|_| skb.is_linear()) else {
                ledger.drop_at(Stage::Guest, DropReason::TooLong, 1);
                self.stats.tx_refused += 1;
                continue;
            };
            if count == BURST {
                self.send(&frames[..count], &heads[..count], ledger);
                count = 0;
            }
            (frames[count], heads[count]) = (frame, head);
            count += 1;
        }
        self.send(&frames[..count], &heads[..count], ledger);
    }
}

/// What a guest has left to its device; `None` where no device can do it.
fn left_to_do(skb: &Skb, frame: &[u8]) -> Option<VnetHeader> {
    if skb.gso_size == 0 && skb.ip_summed != IpSummed::Partial {
        return Some(VnetHeader::default());
    }
    const TCP: u8 = 6;
    let transport = usize::from(skb.transport);
    let v6 = match frame.get(12..14)? {
        [0x08, 0x00] => false,
        [0x86, 0xdd] => true,
        _ => return None,
    };
    if transport == 0 || skb.ip_proto != TCP || skb.ip_summed != IpSummed::Partial {
        return None;
    }
    let headers = transport + usize::from(*frame.get(transport + 12)? >> 4) * 4;
    let headers = u16::try_from(headers).ok()?;
    Some(VnetHeader::of_tcp(v6, skb.transport, headers, skb.gso_size))
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
        let count = match self.receiver.receive(pool, &mut self.slots[..want]) {
            Ok(count) => count,
            // a super-frame of a kind that cannot be told (packet(7)): the kernel has dropped it
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                ledger.frames_in += 1;
                ledger.drop_at(Stage::Nic, DropReason::TooLong, 1);
                return RxStatus::Active;
            }
            Err(_) => return RxStatus::Idle,
        };
        for (at, slot) in self.slots.drain(..count).enumerate() {
            let beside = self.receiver.beside(at);
            ledger.frames_in += 1;
            self.stats.rx_frames += 1;
            self.stats.rx_bytes += beside.len as u64;
            let segment_size = beside.head.segment_size();
            let long = beside.len > pool.slot_frame_max() || segment_size.is_none();
            if beside.tagged || long {
                let reason = if long { DropReason::TooLong } else { DropReason::VlanIngress };
                ledger.drop_at(Stage::Nic, reason, 1);
                pool.free_slot(slot);
                continue;
            }
            let Some(mut desc) = pool.commit(slot, beside.len, skb::PortId(0)) else { continue };
            self.number += 1;
            desc.id = self.number;
            desc.linktype = LinkType::ETHERNET;
            desc.gso_size = segment_size.unwrap_or(0);
            if beside.head.is_partial() {
                desc.ip_summed = IpSummed::Partial;
            } else if beside.head.is_valid() {
                desc.ip_summed = IpSummed::Unnecessary;
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
