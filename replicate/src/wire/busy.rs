//! What a server's own work on a put took: told in its answer, so that the client can say what it
//! waited for (docs/formats/backup-protocol.md).

use std::time::Duration;

use crate::store::PutTimes;

/// What a server did for one put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Busy {
    /// Hashing what came.
    pub(super) hash: Duration,
    /// Writing what came; and from the last byte until the object had its name, synced.
    pub(super) disk: Duration,
}

impl Busy {
    /// The second number of the answer: microseconds of hashing in the lower half, of the disk in
    /// the upper.
    pub(super) fn pack(self) -> u64 {
        let us = |time: Duration| u64::from(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
        us(self.disk) << 32 | us(self.hash)
    }

    /// What an answer says. A server that says 0 does not tell.
    pub(super) fn unpack(packed: u64) -> Self {
        let (hash, disk) = (packed & u64::from(u32::MAX), packed >> 32);
        Self { hash: Duration::from_micros(hash), disk: Duration::from_micros(disk) }
    }

    /// What a put took the client by stage: it was sent in `sending`, and answered so long after
    /// that. What the server says is believed as far as there is time for it: first behind the last
    /// byte, then while bytes were sent, which it did not take then.
    pub(super) fn share(self, sending: Duration, waited: Duration) -> PutTimes {
        let behind = self.disk.min(waited);
        let meanwhile = self.disk.saturating_sub(behind).min(sending);
        let hash = self.hash.min(sending.saturating_sub(meanwhile));
        PutTimes {
            wire: sending.saturating_sub(meanwhile + hash),
            receive: waited.saturating_sub(behind) + hash,
            fsync: behind + meanwhile,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let busy = Busy { hash: Duration::from_micros(7), disk: Duration::from_millis(9) };
        assert_eq!(Busy::unpack(busy.pack()), busy);
        let long = Busy { disk: Duration::from_hours(2), ..busy };
        let most = Duration::from_micros(u32::MAX.into());
        assert_eq!(Busy::unpack(long.pack()), Busy { disk: most, ..busy });
    }

    #[test]
    fn no_more_is_shared_out_than_was_taken() {
        let s = Duration::from_secs;
        let of = |hash, disk| Busy { hash: s(hash), disk: s(disk) };
        for (busy, sending, waited, expected) in [
            (of(0, 0), 5, 2, [5, 2, 0]),
            (of(1, 2), 5, 2, [4, 1, 2]),
            (of(1, 4), 5, 2, [2, 1, 4]),
            (of(9, 9), 5, 2, [0, 0, 7]),
            (of(9, 1), 5, 2, [0, 6, 1]),
        ] {
            let times = busy.share(s(sending), s(waited));
            let [wire, receive, fsync] = expected.map(s);
            assert_eq!(times, PutTimes { wire, receive, fsync }, "{busy:?}");
            assert_eq!(times.wire + times.receive + times.fsync, s(sending + waited));
        }
    }
}
