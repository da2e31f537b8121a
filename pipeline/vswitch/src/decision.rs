//! What the switch decided, for a frame and for a burst.

use skb::{BURST_MAX, DropReason, PortId, PortSet, Verdict};

/// What the switch decided for one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Where it goes, or why nowhere.
    pub verdict: Verdict,
    /// Ports that get a reference because they are the end of a mirror session; never those of
    /// the verdict. Send them through
    /// [`Vswitch::egress_mirror`](crate::Vswitch::egress_mirror).
    pub mirror: PortSet,
    /// Those ports of the verdict at which the frame's tag must change. Send their references
    /// through [`Vswitch::egress`](crate::Vswitch::egress); the others go out as they are.
    pub retag: PortSet,
}

impl Decision {
    pub(crate) const fn drop(reason: DropReason) -> Self {
        Self { verdict: Verdict::Drop(reason), mirror: PortSet::EMPTY, retag: PortSet::EMPTY }
    }
}

impl Default for Decision {
    /// Dropped by policy: what a place holds before the switch wrote to it.
    fn default() -> Self {
        Self::drop(DropReason::Policy)
    }
}

/// Stands in [`Decisions::plain`] for "see the whole decision"; no port has this number.
const NOT_PLAIN: u8 = u8::MAX;

/// Decisions for a burst.
///
/// Most frames go to one port as they are: for them a byte says it all. A whole [`Decision`] is
/// kept for the others only.
#[derive(Debug, Clone)]
pub struct Decisions {
    /// The port, or [`NOT_PLAIN`].
    pub(crate) plain: [u8; BURST_MAX],
    /// Valid where `plain` says so.
    pub(crate) others: [Decision; BURST_MAX],
}

impl Decisions {
    /// All frames dropped by policy: what a place holds before the switch wrote to it.
    pub fn new() -> Self {
        Self { plain: [NOT_PLAIN; BURST_MAX], others: [Decision::default(); BURST_MAX] }
    }

    /// By place in the burst: the number of the one port a frame goes to unchanged. Where a frame
    /// has anything else before it this is no port of any switch (255), and [`get`](Self::get)
    /// says what.
    #[inline(always)]
    pub fn plain(&self) -> &[u8; BURST_MAX] {
        &self.plain
    }

    /// The decision for the frame at `place`, at most [`BURST_MAX`].
    #[inline]
    pub fn get(&self, place: usize) -> Decision {
        let place = place % BURST_MAX;
        match self.plain[place] {
            NOT_PLAIN => self.others[place],
            port => Decision {
                verdict: Verdict::Forward(PortSet::only(PortId(port))),
                mirror: PortSet::EMPTY,
                retag: PortSet::EMPTY,
            },
        }
    }

    /// Writes the decision for the frame at `place`.
    #[inline]
    pub fn set(&mut self, place: usize, decision: Decision) {
        let place = place % BURST_MAX;
        let single = match decision.verdict {
            Verdict::Forward(to) if decision.mirror.or(decision.retag).is_empty() => to.single(),
            _ => None,
        };
        self.plain[place] = single.map_or(NOT_PLAIN, |port| port.0);
        self.others[place] = decision;
    }
}

impl Default for Decisions {
    fn default() -> Self {
        Self::new()
    }
}

/// How many bytes at the start of `bytes` are like the first.
#[inline(always)]
pub fn run_len(bytes: &[u8]) -> usize {
    let Some(&first) = bytes.first() else { return 0 };
    let alike = u64::from_le_bytes([first; 8]);
    let mut len = 0;
    while let Some(eight) = bytes.get(len..).and_then(|rest| rest.first_chunk()) {
        let differ = u64::from_le_bytes(*eight) ^ alike;
        if differ != 0 {
            return len + differ.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    len + bytes[len..].iter().take_while(|&&byte| byte == first).count()
}
