//! The reading half of the hot path: everything a burst needs of the table, held in registers.

use super::bucket::{Entry, STATIC, aged, pack};
use super::{Fdb, FdbKey, HashKey, Tick, WAYS};
use skb::PortId;

/// A look into the table for frames of one port at one time.
///
/// It answers the common case only, without writing: the source is known here and now, the
/// destination is known. Whatever else there is, `false` or `None` sends to
/// [`Fdb::learn`] and [`Fdb::lookup`].
#[derive(Debug, Clone, Copy)]
pub struct Probe<'a> {
    entries: &'a [Entry],
    key: HashKey,
    age_ticks: i32,
    now: Tick,
    fresh: u64,
    fixed: u64,
}

impl Fdb {
    /// A look into the table for frames that came in by `port`.
    #[inline(always)]
    pub fn probe(&self, port: PortId, now: Tick) -> Probe<'_> {
        Probe {
            entries: bytemuck::cast_slice(&self.buckets),
            key: self.key,
            age_ticks: self.age_ticks,
            now,
            fresh: pack(port, now),
            fixed: u64::from(port.0) | STATIC,
        }
    }
}

impl Probe<'_> {
    /// Whether there is no table. Asked once, it saves the hot loop asking twice per frame.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of `key`, if any way of its bucket has it. Most are where they are at home.
    #[inline(always)]
    fn value(&self, key: FdbKey) -> Option<u64> {
        let slot = self.key.slot(key.0, self.entries.len());
        let home = self.entries.get(slot)?;
        if home.key == key.0 {
            return Some(home.value);
        }
        neighbour(self.entries, self.key, key)
    }

    /// Whether [`Fdb::learn`] would have nothing to do.
    #[inline(always)]
    pub fn known(&self, key: FdbKey) -> bool {
        self.value(key).is_some_and(|value| value == self.fresh || value == self.fixed)
    }

    /// The port of `key`, if its entry is near its home and alive.
    #[inline(always)]
    pub fn port_of(&self, key: FdbKey) -> Option<PortId> {
        let value = self.value(key)?;
        (!aged(value, self.now, self.age_ticks)).then_some(PortId(value as u8))
    }
}

/// The value of `key` if another way of its bucket has it.
#[cold]
#[inline(never)]
fn neighbour(entries: &[Entry], hash: HashKey, key: FdbKey) -> Option<u64> {
    let slot = hash.slot(key.0, entries.len());
    let bucket = entries.get(slot & !(WAYS - 1)..)?.first_chunk::<WAYS>()?;
    bucket.iter().find(|entry| entry.key == key.0).map(|entry| entry.value)
}
