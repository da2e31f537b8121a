//! The reading half of the hot path: everything a burst needs of the table, held in registers.

use super::bucket::{Bucket, ENTRY, STATIC, aged, pack};
use super::{Fdb, FdbKey, HashKey, Tick, WAYS};
use skb::PortId;

/// A look into the table for frames of one port at one time.
///
/// It answers the common case only, without writing: the source is known here and now, the
/// destination is known. Whatever else there is, `false` or `None` sends to
/// [`Fdb::learn`] and [`Fdb::lookup`].
#[derive(Debug, Clone, Copy)]
pub struct Probe<'a> {
    buckets: &'a [Bucket],
    shift: u32,
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
            buckets: &self.buckets,
            shift: self.shift,
            key: self.key,
            age_ticks: self.age_ticks,
            now,
            fresh: pack(port, now),
            fixed: u64::from(port.0) | STATIC,
        }
    }
}

impl Probe<'_> {
    #[inline(always)]
    fn value(&self, key: FdbKey) -> Option<u64> {
        let slot = (self.key.hash(key.0) >> self.shift) as usize;
        let bucket = self.buckets.get(slot / WAYS)?;
        let way = slot % WAYS;
        if bucket.keys[way] == key.0 {
            return Some(bucket.vals[way]);
        }
        bucket.value(key.0)
    }

    /// Whether [`Fdb::learn`] would have nothing to do.
    #[inline(always)]
    pub fn known(&self, key: FdbKey) -> bool {
        let value = self.value(key).map(|value| value & ENTRY);
        value == Some(self.fresh) || value == Some(self.fixed)
    }

    /// The port of `key`, if its entry is near its home and alive.
    #[inline(always)]
    pub fn port_of(&self, key: FdbKey) -> Option<PortId> {
        let value = self.value(key)?;
        (!aged(value, self.now, self.age_ticks)).then_some(PortId(value as u8))
    }
}
