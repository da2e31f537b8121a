//! The generator: a NIC whose frames come from templates that lie in pool slots.
//!
//! Each template is written once into a slot of its own, which the NIC keeps. Receiving lends the
//! slot out once more: no byte moves and nothing is allocated. A slot that is still on its way is
//! not lent again before it has come back, so a slow path slows the generator and loses nothing.

use skb::{CopyReason, Ledger, Nic, Pool, PortId, Ring, RxStatus, Template};

/// The generator cannot hold its templates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GeneratorError {
    /// No slot left.
    #[error("template {index} of {templates} found no free slot in a pool of {slots}")]
    NoSlot {
        /// Which template, from 0.
        index: usize,
        /// Templates in all.
        templates: usize,
        /// Slots of the pool.
        slots: usize,
    },
    /// A frame that no slot holds.
    #[error("template {index} has {len} bytes, a slot holds {max}")]
    TooLong {
        /// Which template, from 0.
        index: usize,
        /// Its length.
        len: usize,
        /// What fits.
        max: usize,
    },
}

/// Sends its templates round and round.
#[derive(Debug)]
pub struct Generator {
    templates: Vec<Template>,
    next: usize,
    id: u64,
    left: u64,
    time_ns: i64,
    gap_ns: i64,
}

impl Generator {
    /// Writes every template with its ingress port into a slot. `frames` is how many frames to
    /// send in all (templates repeat); `gap_ns` how far apart their receive times are.
    pub fn new<'a>(
        pool: &mut Pool,
        templates: impl ExactSizeIterator<Item = (PortId, &'a [u8])>,
        frames: u64,
        gap_ns: u32,
    ) -> Result<Self, GeneratorError> {
        let count = templates.len();
        let mut written = Vec::with_capacity(count);
        for (index, (ingress, bytes)) in templates.enumerate() {
            let slots = pool.slots();
            let no_slot = GeneratorError::NoSlot { index, templates: count, slots };
            let max = pool.slot_frame_max();
            let mut slot = pool.alloc_slot().ok_or(no_slot)?;
            match pool.slot_mut(&mut slot).and_then(|room| room.get_mut(..bytes.len())) {
                Some(room) => room.copy_from_slice(bytes),
                None => return Err(GeneratorError::TooLong { index, len: bytes.len(), max }),
            }
            pool.count_copy(CopyReason::Generator);
            match pool.template(slot, bytes.len(), ingress) {
                Some(template) => written.push(template),
                None => return Err(GeneratorError::TooLong { index, len: bytes.len(), max }),
            }
        }
        Ok(Self {
            templates: written,
            next: 0,
            id: 0,
            left: frames,
            time_ns: 0,
            gap_ns: i64::from(gap_ns),
        })
    }

    /// Frames still to send.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Sends `frames` more.
    pub fn add(&mut self, frames: u64) {
        self.left += frames;
    }
}

impl Nic for Generator {
    #[inline]
    fn rx(
        &mut self,
        pool: &mut Pool,
        ring: &mut Ring,
        budget: usize,
        ledger: &mut Ledger,
    ) -> RxStatus {
        if self.left == 0 || self.templates.is_empty() {
            return RxStatus::Done;
        }
        let mut want = (budget as u64).min(self.left) as usize;
        let mut made = 0;
        while want > 0 {
            let templates = &self.templates[self.next..];
            let places = ring.vacant_mut(want);
            let Self { id, time_ns, gap_ns, .. } = *self;
            let lent = pool.lend_templates(templates, places, id + 1, time_ns + gap_ns, gap_ns);
            if lent == 0 {
                break;
            }
            ring.produce(lent);
            self.id += lent as u64;
            self.time_ns += gap_ns * lent as i64;
            self.next += lent;
            if self.next == self.templates.len() {
                self.next = 0;
            }
            want -= lent;
            made += lent as u64;
        }
        self.left -= made;
        ledger.frames_in += made;
        if made > 0 { RxStatus::Active } else { RxStatus::Idle }
    }
}
