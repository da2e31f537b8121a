//! Who spoke with whom: flows (outermost addresses, protocol, ports), and from them conversations
//! and hosts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use skb::locate::Located;

use super::table::{Counts, HashKey, Table};

/// Bytes that all tables of a run may take together. What comes after is counted as overflow.
const BYTES_MAX: usize = 200 << 20;
/// Of these, for IPv6 while frames are counted.
const BYTES_MAX_V6: usize = 72 << 20;
/// Bytes of flow tables up to which hosts and pairs are added up at the same time: there is memory
/// for both.
const SMALL_BYTES: usize = 40 << 20;
/// Bytes of flow tables that are not worth a thread.
const ALONE_BYTES: usize = 1 << 20;
/// Additions to a table that are made together.
const PENDING_MAX: usize = 256;
/// Flows counted in front of the IPv4 table: 64 KiB, so that a flow whose frames follow each other
/// costs no miss of the cache or the address translation.
const FRONT_SLOTS: usize = 2048;

/// A later fragment: no ports of its own, so not a flow of its own.
const FRAGMENT: u64 = 1 << 63;

type Key4 = [u64; 2];
type Key6 = [u64; 6];

#[derive(Debug, Clone, Copy, Default)]
struct Pending<K> {
    key: K,
    hash: u64,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, Default)]
struct Front {
    key: Key4,
    counts: Counts,
}

/// Flows of a capture.
#[derive(Debug)]
pub struct Flows {
    v4: Table<2>,
    v6: Table<6>,
    front4: Vec<Front>,
    pending4: Vec<Pending<Key4>>,
    pending6: Vec<Pending<Key6>>,
    hash_key: HashKey,
}

/// How many flows there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlowCounts {
    /// Of any protocol.
    pub all: u64,
    /// TCP.
    pub tcp: u64,
    /// UDP.
    pub udp: u64,
}

/// The greatest by bytes.
#[derive(Debug, Clone)]
pub struct Busiest<T> {
    /// They, the greatest first.
    pub top: Vec<T>,
    /// How many there are; at least, if some are missed.
    pub all: u64,
    /// Frames whose hosts did not fit into the table.
    pub missed: Counts,
}

/// A host and its traffic, sent and received together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address.
    pub address: IpAddr,
    /// Frames from and to it.
    pub counts: Counts,
}

/// Two hosts and what passed between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// Lower address.
    pub a: IpAddr,
    /// Higher address.
    pub b: IpAddr,
    /// Frames in both directions.
    pub counts: Counts,
}

impl Flows {
    /// None yet. Those that are to be merged have the same key.
    pub(super) fn new(hash_key: HashKey) -> Self {
        Self {
            v4: Table::new(hash_key, BYTES_MAX),
            v6: Table::new(hash_key, BYTES_MAX_V6),
            front4: vec![Front::default(); FRONT_SLOTS],
            pending4: Vec::with_capacity(PENDING_MAX),
            pending6: Vec::with_capacity(PENDING_MAX),
            hash_key,
        }
    }

    /// Bytes that the tables take.
    pub(super) fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes()
    }

    /// Adds the flows of another that has the same key.
    pub(super) fn merge(&mut self, mut other: Self) {
        other.settle();
        self.settle();
        // what is still to be added takes memory too
        self.v4.set_bytes_max(BYTES_MAX.saturating_sub(self.v6.bytes() + other.bytes()));
        self.v4.merge(&other.v4);
        drop(other.v4);
        let left = BYTES_MAX.saturating_sub(self.v4.bytes() + other.v6.bytes());
        self.v6.set_bytes_max(BYTES_MAX_V6.min(left));
        self.v6.merge(&other.v6);
        drop(other.v6);
        self.v4.set_bytes_max(BYTES_MAX.saturating_sub(self.v6.bytes()));
    }

    /// Notes an IPv4 frame; counted by [`settle`](Self::settle) at the latest.
    #[inline(always)]
    pub(super) fn ipv4(&mut self, frame: &[u8], at: &Located, ports: (u16, u16), bytes: u64) {
        let l3 = usize::from(at.l3);
        let Some(header) = frame.get(l3..l3 + 20) else { return };
        let src = u32::from_be_bytes([header[12], header[13], header[14], header[15]]);
        let dst = u32::from_be_bytes([header[16], header[17], header[18], header[19]]);
        let a = u64::from(src) << 16 | u64::from(ports.0);
        let b = u64::from(dst) << 16 | u64::from(ports.1);
        let fragment = if at.fragment && at.l4 == 0 { FRAGMENT } else { 0 };
        let key = [a.min(b) | u64::from(at.ip_proto) << 48, a.max(b) | fragment];
        let hash = self.v4.hash(key);
        // the table uses the low bits
        let front = &mut self.front4[(hash >> 48) as usize % FRONT_SLOTS];
        if front.key == key {
            front.counts.add(bytes);
            return;
        }
        let old = std::mem::replace(front, Front { key, counts: Counts { frames: 1, bytes } });
        self.give_back(old);
    }

    /// Hands a flow from the front to the table.
    #[inline(always)]
    fn give_back(&mut self, Front { key, counts }: Front) {
        if counts.frames == 0 {
            return;
        }
        let hash = self.v4.hash(key);
        self.v4.prefetch(hash);
        self.pending4.push(Pending { key, hash, counts });
        if self.pending4.len() == PENDING_MAX {
            self.settle4();
        }
    }

    /// Notes an IPv6 frame.
    #[inline]
    pub(super) fn ipv6(&mut self, frame: &[u8], at: &Located, ports: (u16, u16), bytes: u64) {
        let l3 = usize::from(at.l3);
        let Some(header) = frame.get(l3..).and_then(|b| b.first_chunk::<40>()) else { return };
        let word = |i: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&header[i..i + 8]);
            u64::from_be_bytes(word)
        };
        let mut a = (word(8), word(16), ports.0);
        let mut b = (word(24), word(32), ports.1);
        if a > b {
            std::mem::swap(&mut a, &mut b);
        }
        let rest = u64::from(a.2) << 32 | u64::from(b.2) << 16 | u64::from(at.ip_proto);
        let fragment = if at.fragment && at.l4 == 0 { FRAGMENT } else { 0 };
        let key = [a.0, a.1, b.0, b.1, rest | fragment, 0];
        let hash = self.v6.hash(key);
        self.v6.prefetch(hash);
        self.pending6.push(Pending { key, hash, counts: Counts { frames: 1, bytes } });
        if self.pending6.len() == PENDING_MAX {
            self.settle6();
        }
    }

    /// Counts what was noted. To be called at the end, and before a merge.
    pub(super) fn settle(&mut self) {
        for slot in 0..self.front4.len() {
            let front = std::mem::take(&mut self.front4[slot]);
            self.give_back(front);
        }
        self.settle4();
        self.settle6();
    }

    fn settle4(&mut self) {
        for Pending { key, hash, counts } in self.pending4.drain(..) {
            self.v4.add(key, hash, counts);
        }
        // the two share the memory
        self.v4.set_bytes_max(BYTES_MAX.saturating_sub(self.v6.bytes()));
    }

    fn settle6(&mut self) {
        for Pending { key, hash, counts } in self.pending6.drain(..) {
            self.v6.add(key, hash, counts);
        }
        let left = BYTES_MAX.saturating_sub(self.v4.bytes());
        self.v6.set_bytes_max(BYTES_MAX_V6.min(left));
    }

    /// Different flows: protocol, two addresses and ports. Later fragments are none.
    pub fn flow_counts(&self) -> FlowCounts {
        let mut counts = FlowCounts::default();
        let mut add = |fragment: u64, proto: u8| {
            let own = u64::from(fragment & FRAGMENT == 0);
            counts.all += own;
            counts.tcp += if proto == 6 { own } else { 0 };
            counts.udp += if proto == 17 { own } else { 0 };
        };
        self.v4.iter().for_each(|(key, _)| add(key[1], (key[0] >> 48) as u8));
        self.v6.iter().for_each(|(key, _)| add(key[4], key[4] as u8));
        counts
    }

    /// Frames whose flow did not fit into the tables.
    pub fn overflow(&self) -> Counts {
        let mut sum = self.v4.overflow();
        sum.merge(self.v6.overflow());
        sum
    }

    /// The busiest hosts and the busiest pairs of hosts, by bytes.
    pub fn busiest(&self, top: usize) -> (Busiest<Endpoint>, Busiest<Pair>) {
        let room = (BYTES_MAX + (24 << 20)).saturating_sub(self.bytes());
        if self.bytes() < ALONE_BYTES || self.bytes() > SMALL_BYTES {
            return (self.hosts(top, room), self.pairs(top, room));
        }
        // as many of each as there are flows take less than half of the room
        std::thread::scope(|scope| {
            let hosts = scope.spawn(|| self.hosts(top, room / 2));
            let pairs = self.pairs(top, room / 2);
            match hosts.join() {
                Ok(hosts) => (hosts, pairs),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    fn hosts(&self, top: usize, room: usize) -> Busiest<Endpoint> {
        let mut best = Top::new(top);
        let (n4, mut missed) = self.fold4(&mut best, room, |key, counts, table| {
            let (a, b) = ((key[0] >> 16) as u32, (key[1] >> 16) as u32);
            table.add([u64::from(a), 0], counts);
            if a != b {
                table.add([u64::from(b), 0], counts);
            }
        });
        let (n6, missed6) = self.fold6(&mut best, room, |key, counts, table| {
            let (a, b) = ([key[0], key[1], 0, 0, 0, 0], [key[2], key[3], 0, 0, 0, 0]);
            table.add(a, counts);
            if a != b {
                table.add(b, counts);
            }
        });
        missed.merge(missed6);
        let hosts = best.sorted().into_iter();
        let hosts = hosts.map(|((address, _), counts)| Endpoint { address, counts });
        Busiest { top: hosts.collect(), all: n4 + n6, missed }
    }

    fn pairs(&self, top: usize, room: usize) -> Busiest<Pair> {
        let mut best = Top::new(top);
        let (n4, mut missed) = self.fold4(&mut best, room, |key, counts, table| {
            let (a, b) = (u64::from((key[0] >> 16) as u32), u64::from((key[1] >> 16) as u32));
            table.add([a.min(b), a.max(b)], counts);
        });
        let (n6, missed6) = self.fold6(&mut best, room, |key, counts, table| {
            table.add([key[0], key[1], key[2], key[3], 0, 0], counts);
        });
        missed.merge(missed6);
        let pairs = best.sorted().into_iter();
        let pairs = pairs.map(|((a, b), counts)| Pair { a, b, counts });
        Busiest { top: pairs.collect(), all: n4 + n6, missed }
    }

    fn fold4(
        &self,
        best: &mut Top,
        room: usize,
        mut each: impl FnMut(Key4, Counts, &mut Adder<2>),
    ) -> (u64, Counts) {
        let mut adder = Adder::new(Table::new(self.hash_key, room));
        for (key, counts) in self.v4.iter() {
            each(key, counts, &mut adder);
        }
        let table = adder.finish();
        let ip = |word: u64| IpAddr::V4(Ipv4Addr::from_bits(word as u32));
        for (key, counts) in table.iter() {
            best.offer(counts, || (ip(key[0]), ip(key[1])));
        }
        (table.len() as u64, table.overflow())
    }

    fn fold6(
        &self,
        best: &mut Top,
        room: usize,
        mut each: impl FnMut(Key6, Counts, &mut Adder<6>),
    ) -> (u64, Counts) {
        let mut adder = Adder::new(Table::new(self.hash_key, room));
        for (key, counts) in self.v6.iter() {
            each(key, counts, &mut adder);
        }
        let table = adder.finish();
        let ip = |hi: u64, lo: u64| {
            IpAddr::V6(Ipv6Addr::from_bits(u128::from(hi) << 64 | u128::from(lo)))
        };
        for (key, counts) in table.iter() {
            best.offer(counts, || (ip(key[0], key[1]), ip(key[2], key[3])));
        }
        (table.len() as u64, table.overflow())
    }
}

/// Adds to a table a few at a time, so that the cache has the slots by then.
struct Adder<const K: usize> {
    table: Table<K>,
    pending: Vec<Pending<[u64; K]>>,
}

impl<const K: usize> Adder<K> {
    fn new(table: Table<K>) -> Self {
        Self { table, pending: Vec::with_capacity(PENDING_MAX) }
    }

    #[inline(always)]
    fn add(&mut self, key: [u64; K], counts: Counts) {
        let hash = self.table.hash(key);
        self.table.prefetch(hash);
        self.pending.push(Pending { key, hash, counts });
        if self.pending.len() == PENDING_MAX {
            self.settle();
        }
    }

    #[inline(never)]
    fn settle(&mut self) {
        for Pending { key, hash, counts } in self.pending.drain(..) {
            self.table.add(key, hash, counts);
        }
    }

    fn finish(mut self) -> Table<K> {
        self.settle();
        self.table
    }
}

/// The greatest few.
struct Top {
    max: usize,
    kept: Vec<((IpAddr, IpAddr), Counts)>,
    least: u64,
}

impl Top {
    fn new(max: usize) -> Self {
        Self { max, kept: Vec::with_capacity(2 * max), least: 0 }
    }

    fn offer(&mut self, counts: Counts, key: impl FnOnce() -> (IpAddr, IpAddr)) {
        if counts.bytes < self.least {
            return;
        }
        self.kept.push((key(), counts));
        if self.kept.len() >= 2 * self.max {
            self.trim();
        }
    }

    fn trim(&mut self) {
        self.kept.sort_by_key(|&(key, counts)| (std::cmp::Reverse(counts.bytes), key));
        self.kept.truncate(self.max);
        if self.kept.len() == self.max {
            self.least = self.kept.last().map_or(0, |(_, counts)| counts.bytes);
        }
    }

    fn sorted(mut self) -> Vec<((IpAddr, IpAddr), Counts)> {
        self.trim();
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use skb::locate::locate_ethernet;

    use super::*;

    fn frame(src: u8, dst: u8, src_port: u16, dst_port: u16) -> Vec<u8> {
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        bytes.extend([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, src, 192, 0, 2, dst]);
        bytes.extend(src_port.to_be_bytes());
        bytes.extend(dst_port.to_be_bytes());
        bytes.extend([0; 16]);
        bytes
    }

    fn add(flows: &mut Flows, src: u8, dst: u8, ports: (u16, u16), bytes: u64) {
        let frame = frame(src, dst, ports.0, ports.1);
        flows.ipv4(&frame, &locate_ethernet(&frame), ports, bytes);
    }

    #[test]
    fn both_directions_are_one_flow() {
        let mut flows = Flows::new(HashKey::random());
        add(&mut flows, 1, 2, (40_000, 22), 60);
        add(&mut flows, 2, 1, (22, 40_000), 1000);
        add(&mut flows, 1, 2, (40_001, 22), 7);
        add(&mut flows, 3, 3, (9, 9), 5);
        flows.settle();
        assert_eq!(flows.flow_counts(), FlowCounts { all: 3, tcp: 3, udp: 0 });
        let (hosts, pairs) = flows.busiest(2);
        assert_eq!((hosts.all, hosts.missed), (3, Counts::default()));
        let seen: Vec<_> =
            hosts.top.iter().map(|h| (h.address.to_string(), h.counts.bytes)).collect();
        assert_eq!(seen, [("192.0.2.1".to_owned(), 1067), ("192.0.2.2".to_owned(), 1067)]);
        assert_eq!((pairs.top.len(), pairs.all), (2, 2));
        let pairs = pairs.top;
        assert_eq!(pairs[0].counts, Counts { frames: 3, bytes: 1067 });
        assert_eq!(pairs[1].a, pairs[1].b);
    }
}
