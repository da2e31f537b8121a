//! The switch: one decision per frame.

use crate::config::{PortConfig, SwitchConfig, UnknownUnicast};
use crate::fdb::{Fdb, FdbKey, HashKey, MAC_BITS, Tick};
use crate::guard;
use crate::stats::{SwitchStats, Tx};
use crate::table::{Lane, MirrorLane, Tables};
use crate::validate::{ConfigError, check};
use crate::vlan::{Refused, Tag, TagAction, Tpid, VlanMode, be16, classify, egress_action, tag_of};
use skb::{DropReason, LinkType, MacAddr, PORTS_MAX, Pool, PortId, PortSet, Skb, Verdict};

/// What the switch decided for one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Where it goes, or why nowhere.
    pub verdict: Verdict,
    /// Ports that get a reference because they are the end of a mirror session; never those of
    /// the verdict. Send them through [`Vswitch::egress_mirror`].
    pub mirror: PortSet,
    /// Those ports of the verdict at which the frame's tag must change. Send their references
    /// through [`Vswitch::egress`]; the others go out as they are.
    pub retag: PortSet,
}

impl Decision {
    const fn drop(reason: DropReason) -> Self {
        Self { verdict: Verdict::Drop(reason), mirror: PortSet::EMPTY, retag: PortSet::EMPTY }
    }
}

impl Default for Decision {
    /// Dropped by policy: what a place holds before the switch wrote to it.
    fn default() -> Self {
        Self::drop(DropReason::Policy)
    }
}

/// A frame that passed the ingress policies.
struct Admitted {
    vid: u16,
    tag: Tag,
    /// MAC bits as in [`FdbKey`].
    dst: u64,
    src: u64,
}

/// A virtual switch. See the crate text for what happens to a frame.
#[derive(Debug)]
pub struct Vswitch {
    pub(crate) config: SwitchConfig,
    pub(crate) tables: Tables,
    pub(crate) stats: SwitchStats,
    /// Index into `config.ports` by port number.
    index: Box<[u8; PORTS_MAX]>,
    fdb: Fdb,
}

impl Vswitch {
    /// A switch with empty tables but for its static addresses.
    ///
    /// Static addresses of an access port count in its VLAN, those of a trunk in every VLAN.
    ///
    /// # Errors
    /// What is wrong with the configuration, by port and name.
    pub fn new(config: SwitchConfig, key: HashKey) -> Result<Self, ConfigError> {
        check(&config)?;
        let mut fdb = Fdb::new(config.fdb, key)?;
        let mut index = Box::new([u8::MAX; PORTS_MAX]);
        let statics: usize = config.ports.iter().map(|port| port.static_macs.len()).sum();
        let share = config.fdb.capacity.saturating_sub(statics) / config.ports.len();
        for (at, port) in config.ports.iter().enumerate() {
            index[port.id.index()] = at as u8;
            fdb.set_port_cap(port.id, port.learn_cap.unwrap_or(share as u32));
            for &mac in &port.static_macs {
                let key = match port.vlan {
                    VlanMode::Access { pvid } => FdbKey::new(pvid, mac),
                    VlanMode::Trunk { .. } => FdbKey::any_vlan(mac),
                };
                fdb.insert_static(key, port.id)?;
            }
        }
        let tables = Tables::new(&config);
        Ok(Self { config, tables, stats: SwitchStats::new(), index, fdb })
    }

    /// What it was made of.
    pub fn config(&self) -> &SwitchConfig {
        &self.config
    }

    /// A port's configuration.
    pub fn port(&self, port: PortId) -> Option<&PortConfig> {
        let at = *self.index.get(port.index())?;
        self.config.ports.get(usize::from(at))
    }

    /// Counts so far; those of the table are in [`fdb`](Self::fdb).
    pub fn stats(&self) -> &SwitchStats {
        &self.stats
    }

    /// The forwarding database.
    pub fn fdb(&self) -> &Fdb {
        &self.fdb
    }

    /// Forgets what was learned on `port`, as when its far end was unplugged.
    pub fn flush_port(&mut self, port: PortId) -> usize {
        self.fdb.flush_port(port)
    }

    /// Removes every aged address now. The forwarding calls do this bit by bit; an idle switch
    /// may do it whenever it likes.
    pub fn age_out(&mut self, now_ms: u64) -> usize {
        self.fdb.age_out(Tick::from_ms(now_ms))
    }

    /// Decides for every frame of a burst, in order; each sees what the ones before it taught.
    ///
    /// `now_ms` is coarse time of any clock that keeps to one unit, once per burst. Frames are
    /// read from their MAC header on and not changed. Decides for as many frames as `out` has
    /// places and returns how many those were.
    pub fn forward_burst(
        &mut self,
        pool: &Pool,
        burst: &[Skb],
        now_ms: u64,
        out: &mut [Decision],
    ) -> usize {
        let now = Tick::from_ms(now_ms);
        self.fdb.sweep(now);
        let decided = burst.len().min(out.len());
        let (mut burst, mut out) = (&burst[..decided], &mut out[..decided]);
        while let Some(first) = burst.first() {
            let ingress = first.ingress;
            let len = burst.iter().take_while(|skb| skb.ingress == ingress).count();
            let (run, rest) = burst.split_at(len);
            let (places, rest_out) = out.split_at_mut(len);
            self.forward_run(pool, run, now, places);
            (burst, out) = (rest, rest_out);
        }
        decided
    }

    /// Decides for frames of one ingress port.
    fn forward_run(&mut self, pool: &Pool, run: &[Skb], now: Tick, out: &mut [Decision]) {
        let Some(ingress) = run.first().map(|skb| skb.ingress) else { return };
        let lane = self.tables.lanes.get(ingress.index()).copied().unwrap_or_default();
        if !lane.present {
            self.stats.unknown_ingress += run.len() as u64;
            out.fill(Decision::drop(DropReason::Policy));
            return;
        }
        if self.fdb.wants_prefetch() {
            self.prefetch(pool, run, lane.pvid);
        }
        let mut bytes = 0;
        let mut at = 0;
        while let (Some(rest), Some(places)) = (run.get(at..), out.get_mut(at..))
            && !rest.is_empty()
        {
            let (count, plain_bytes) =
                if lane.fast { self.forward_plain(pool, &lane, rest, now, places) } else { (0, 0) };
            bytes += plain_bytes;
            if let (Some(skb), Some(place)) = (rest.get(count), places.get_mut(count)) {
                bytes += u64::from(skb.origlen);
                *place = self.forward_any(&lane, skb, pool.frame(skb), now);
            }
            at += count + 1;
        }
        let port = &mut self.stats.ports[ingress.index()];
        port.rx_frames += run.len() as u64;
        port.rx_bytes += bytes;
    }

    fn prefetch(&self, pool: &Pool, run: &[Skb], pvid: u16) {
        for skb in run {
            if let Some((dst, src, _)) = header(pool.frame(skb)) {
                self.fdb.prefetch(FdbKey::from_bits(pvid, src));
                self.fdb.prefetch(FdbKey::from_bits(pvid, dst));
            }
        }
    }

    /// The fast path: untagged frames from a known station to another known one, until one that
    /// is anything else. Writes nothing but decisions and counts; how many, and their bytes.
    fn forward_plain(
        &mut self,
        pool: &Pool,
        lane: &Lane,
        run: &[Skb],
        now: Tick,
        out: &mut [Decision],
    ) -> (usize, u64) {
        let Some(ingress) = run.first().map(|skb| skb.ingress) else { return (0, 0) };
        let probe = self.fdb.probe(ingress, now);
        let Lane { pvid, learn, reach_untagged, retag_untagged, .. } = *lane;
        let [a, b, c] = self.tables.tpids_le;
        let tag = |ethertype| ethertype == a || ethertype == b || ethertype == c;
        let mirrors = &self.tables.mirrors[..];
        let key_bits = FdbKey::from_bits(pvid, 0);
        let (mut count, mut bytes) = (0, 0);
        // counts of the port the last frame went to, written when the next goes elsewhere
        let mut tx = (PortId(0), Tx::default());
        for (skb, place) in run.iter().zip(out) {
            let Some((first, second)) = header_words(pool.frame(skb)) else { break };
            let ethertype = (second >> 48) as u16;
            let group = (first | second) & 1 != 0;
            let tagged = ethertype != IPV4_LE && tag(ethertype);
            if group || tagged || skb.linktype != LinkType::ETHERNET {
                break;
            }
            let (src, dst) = (key_bits.with_mac(second), key_bits.with_mac(first));
            // a source of zero is never known; where nothing is learned it must be looked for
            let known = if learn { probe.known(src) } else { second & MAC_BITS != 0 };
            if !known {
                break;
            }
            let Some(port) = probe.port_of(dst) else { break };
            if !reach_untagged.contains(port) {
                break;
            }
            let len = u64::from(skb.origlen);
            if port != tx.0 {
                self.stats.tx[tx.0.index() % PORTS_MAX].add(tx.1);
                tx = (port, Tx::default());
            }
            tx.1.frames += 1;
            tx.1.bytes += len;
            let to = PortSet::only(port);
            let mirror = if mirrors.is_empty() {
                PortSet::EMPTY
            } else {
                mirror_of(mirrors, &mut self.stats, ingress, to)
            };
            let retag = to.and(retag_untagged);
            *place = Decision { verdict: Verdict::Forward(to), mirror, retag };
            count += 1;
            bytes += len;
        }
        self.stats.tx[tx.0.index() % PORTS_MAX].add(tx.1);
        let vlan = &mut self.stats.vlans[usize::from(pvid)];
        vlan.frames += count as u64;
        vlan.bytes += bytes;
        (count, bytes)
    }

    /// Every frame: new stations, tagged frames, groups, guarded ports, and what must be dropped.
    #[inline(never)]
    fn forward_any(&mut self, lane: &Lane, skb: &Skb, frame: &[u8], now: Tick) -> Decision {
        let ingress = skb.ingress;
        let admitted = match self.admit(lane, skb, frame) {
            Ok(admitted) => admitted,
            Err(reason) => {
                self.stats.ports[ingress.index()].dropped[reason as usize] += 1;
                return Decision::drop(reason);
            }
        };
        let Admitted { vid, dst, src, .. } = admitted;
        let len = u64::from(skb.origlen);
        let vlan = &mut self.stats.vlans[usize::from(vid)];
        vlan.frames += 1;
        vlan.bytes += len;
        if lane.learn {
            self.fdb.learn(FdbKey::from_bits(vid, src), ingress, now);
        }
        let found = match dst & 1 {
            0 => self.fdb.lookup(FdbKey::from_bits(vid, dst), now),
            _ => None,
        };
        let reach = PortSet(lane.reach.0 & !self.hop_ports(&admitted, frame).0);
        let routed = self.route(lane, &admitted, found, reach);
        self.conclude(lane, ingress, &admitted, routed, len)
    }

    /// The ingress policies, in order.
    fn admit(&self, lane: &Lane, skb: &Skb, frame: &[u8]) -> Result<Admitted, DropReason> {
        if skb.linktype != LinkType::ETHERNET {
            return Err(DropReason::NotEthernet);
        }
        let (dst, src, _) = header(frame).ok_or(DropReason::Runt)?;
        if src == 0 || src & 1 != 0 {
            return Err(DropReason::InvalidSource);
        }
        if dst & 1 != 0 && MacAddr::from_slice(frame).is_link_local_group() {
            return Err(DropReason::LinkLocal);
        }
        let tag = tag_of(frame, lane.tpid);
        if lane.dhcp_guard || lane.router_guard {
            let guards = guard::Guards { dhcp: lane.dhcp_guard, router: lane.router_guard };
            if guards.forbid(frame) {
                return Err(DropReason::Policy);
            }
        }
        let vid = match tag {
            Ok(Tag::Untagged | Tag::Priority { .. }) if lane.pvid != 0 => Ok(lane.pvid),
            Ok(tag) => self
                .port(skb.ingress)
                .map_or(Err(Refused::NotAllowed), |port| classify(&port.vlan, tag)),
            Err(refused) => Err(refused),
        };
        let vid = vid.map_err(|refused| match refused {
            Refused::Cut => DropReason::Runt,
            Refused::NotAllowed => DropReason::VlanIngress,
        })?;
        if lane.spoofing_guard {
            let source = FdbKey::from_bits(0, src).mac();
            let known = self.port(skb.ingress).is_some_and(|p| p.static_macs.contains(&source));
            if !known {
                return Err(DropReason::Policy);
            }
        }
        Ok(Admitted { vid, tag: tag.unwrap_or(Tag::Untagged), dst, src })
    }

    /// Trunks that would send the frame untagged although its bytes then begin with a tag of
    /// their type: the far end would take it for a frame of that VLAN (the double-tag hop).
    fn hop_ports(&self, admitted: &Admitted, frame: &[u8]) -> PortSet {
        let at = if admitted.tag == Tag::Untagged { 12 } else { 16 };
        match be16(frame, at).and_then(Tpid::from_ethertype) {
            Some(tpid) => self.tables.native_trunks[usize::from(admitted.vid)]
                .and(self.tables.by_tpid[tpid as usize]),
            None => PortSet::EMPTY,
        }
    }

    /// Chooses the destinations.
    fn route(
        &self,
        lane: &Lane,
        admitted: &Admitted,
        found: Option<PortId>,
        reach: PortSet,
    ) -> Result<PortSet, DropReason> {
        let members = self.tables.members[usize::from(admitted.vid)];
        let unicast = admitted.dst & 1 == 0;
        let wanted = match found {
            Some(port) if lane.same_side.contains(port) => return Err(DropReason::SamePort),
            Some(port) => PortSet::only(port),
            None if !unicast || self.tables.unknown == UnknownUnicast::Flood => PortSet(u64::MAX),
            None if lane.unknown_is_same_side => return Err(DropReason::SamePort),
            None => self.tables.wires,
        };
        let candidates = PortSet(wanted.0 & members.0 & !lane.same_side.0);
        let to = candidates.and(reach);
        if !to.is_empty() {
            Ok(to)
        } else if candidates.is_empty() {
            Err(DropReason::NoMember)
        } else {
            Err(DropReason::Policy)
        }
    }

    /// Counts, adds the mirror ports, says where tags change.
    fn conclude(
        &mut self,
        lane: &Lane,
        ingress: PortId,
        admitted: &Admitted,
        routed: Result<PortSet, DropReason>,
        len: u64,
    ) -> Decision {
        let to = routed.unwrap_or(PortSet::EMPTY);
        for port in to {
            let tx = &mut self.stats.tx[port.index()];
            tx.frames += 1;
            tx.bytes += len;
        }
        let mirror = mirror_of(&self.tables.mirrors, &mut self.stats, ingress, to);
        match routed {
            Ok(to) => {
                let retag = self.retag(lane, admitted, to);
                Decision { verdict: Verdict::Forward(to), mirror, retag }
            }
            Err(reason) => {
                self.stats.ports[ingress.index()].dropped[reason as usize] += 1;
                Decision { mirror, ..Decision::drop(reason) }
            }
        }
    }

    fn retag(&self, lane: &Lane, admitted: &Admitted, to: PortSet) -> PortSet {
        if admitted.tag == Tag::Untagged {
            return PortSet(to.0 & !self.tables.untagged[usize::from(admitted.vid)].0);
        }
        let changes = |&port: &PortId| {
            self.tag_action(lane, port, admitted.tag, admitted.vid) != TagAction::Keep
        };
        to.filter(changes).collect()
    }

    /// What `port` does to the tag of a frame.
    pub(crate) fn tag_action(&self, lane: &Lane, port: PortId, tag: Tag, vid: u16) -> TagAction {
        let Some(config) = self.port(port) else { return TagAction::Keep };
        let tpids = (lane.tpid, config.tpid);
        egress_action(tag, vid, tpids, &config.vlan, config.keep_priority_tag)
    }
}

/// Ends of mirror sessions that a frame from `ingress` to `to` belongs to, counted.
fn mirror_of(
    sessions: &[MirrorLane],
    stats: &mut SwitchStats,
    ingress: PortId,
    to: PortSet,
) -> PortSet {
    let hit = |m: &&MirrorLane| m.ingress.contains(ingress) || !m.egress.and(to).is_empty();
    let ends: PortSet = sessions.iter().filter(hit).map(|session| session.destination).collect();
    let mirror = PortSet(ends.without(ingress).0 & !to.0);
    for port in mirror {
        stats.ports[port.index()].mirrored += 1;
    }
    mirror
}

/// EtherType of IPv4 as [`header`] loads it: never a tag, so the usual frame needs one comparison.
const IPV4_LE: u16 = 0x0800_u16.swap_bytes();

/// Destination, source (MAC bits as in [`FdbKey`]) and EtherType as it lies on the wire, loaded
/// little-endian. `None` below 14 bytes.
#[inline(always)]
fn header(frame: &[u8]) -> Option<(u64, u64, u16)> {
    let (first, second) = header_words(frame)?;
    Some((first & MAC_BITS, second & MAC_BITS, (second >> 48) as u16))
}

/// The first eight bytes, which begin with the destination, and the eight from the source to the
/// EtherType. `None` below 14 bytes.
#[inline(always)]
fn header_words(frame: &[u8]) -> Option<(u64, u64)> {
    let header = frame.first_chunk::<14>()?;
    let first = u64::from_le_bytes(*header.first_chunk::<8>()?);
    let second = u64::from_le_bytes(*header.last_chunk::<8>()?);
    Some((first, second))
}
