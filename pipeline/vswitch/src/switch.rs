//! The switch: one decision per frame.

use crate::config::{PortConfig, SwitchConfig, UnknownUnicast};
use crate::decision::{Decision, Decisions, run_len};
use crate::fdb::{Fdb, FdbKey, GROUP_BIT, HashKey, MAC_BITS, Probe, Tick};
use crate::guard;
use crate::stats::{SwitchStats, Tx};
use crate::table::{Lane, MirrorLane, Tables};
use crate::validate::{ConfigError, check};
use crate::vlan::{Refused, Tag, TagAction, Tpid, VlanMode, be16, classify, egress_action, tag_of};
use skb::classify::ETH_HLEN;
use skb::{
    BURST_MAX, DropReason, LinkType, MacAddr, PORTS_MAX, Pool, PortId, PortSet, Skb, Verdict,
};

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
    /// read from their MAC header on and not changed. Decides for at most [`BURST_MAX`] frames
    /// and returns for how many.
    pub fn forward_burst(
        &mut self,
        pool: &Pool,
        burst: &[Skb],
        now_ms: u64,
        out: &mut Decisions,
    ) -> usize {
        let now = Tick::from_ms(now_ms);
        self.fdb.sweep(now);
        let burst = &burst[..burst.len().min(BURST_MAX)];
        if self.fdb.wants_prefetch() {
            self.prefetch(pool, burst);
        }
        let mut at = 0;
        while let Some(first) = burst.get(at) {
            let lane = self.tables.lanes.get(first.ingress.index()).copied().unwrap_or_default();
            let plain =
                if lane.fast { self.forward_plain(pool, &lane, burst, at, now, out) } else { 0 };
            at += plain;
            if let Some(skb) = burst.get(at)
                && skb.ingress == first.ingress
            {
                out.set(at, self.forward_one(pool, skb, now));
                at += 1;
            }
        }
        burst.len()
    }

    /// Decides for one frame by the whole rules.
    fn forward_one(&mut self, pool: &Pool, skb: &Skb, now: Tick) -> Decision {
        let lane = self.tables.lanes.get(skb.ingress.index()).copied().unwrap_or_default();
        if !lane.present {
            self.stats.unknown_ingress += 1;
            return Decision::drop(DropReason::Policy);
        }
        let port = &mut self.stats.ports[skb.ingress.index()];
        port.rx_frames += 1;
        port.rx_bytes += u64::from(skb.origlen);
        self.forward_any(&lane, skb, pool.frame(skb), now)
    }

    fn prefetch(&self, pool: &Pool, burst: &[Skb]) {
        for skb in burst {
            let lane = self.tables.lanes.get(skb.ingress.index());
            if let (Some(lane), Some((dst, src))) = (lane, header(pool.frame(skb))) {
                self.fdb.prefetch(FdbKey::from_bits(lane.pvid, src));
                self.fdb.prefetch(FdbKey::from_bits(lane.pvid, dst));
            }
        }
    }

    /// The fast path: untagged frames of one port from a known station to another known one, from
    /// `at` on until one that is anything else. Writes decisions and counts, nothing else; how
    /// many.
    fn forward_plain(
        &mut self,
        pool: &Pool,
        lane: &Lane,
        burst: &[Skb],
        at: usize,
        now: Tick,
        out: &mut Decisions,
    ) -> usize {
        let ingress = burst.get(at).map(|skb| skb.ingress);
        let mut next = at;
        while let (Some(run), Some(places)) = (burst.get(next..), out.plain.get_mut(next..)) {
            // behind a frame with a tag to write may come another port's: it has a lane of its own
            if run.first().map(|skb| skb.ingress) != ingress {
                break;
            }
            if !lane.plain.is_empty() {
                next += self.forward_known(pool, lane, run, now, places);
            }
            let same_port = burst.get(next).filter(|skb| Some(skb.ingress) == ingress);
            let Some(skb) = same_port else { break };
            let Some(decision) = self.forward_marked(pool, lane, skb, now) else { break };
            out.set(next, decision);
            next += 1;
        }
        next - at
    }

    /// As long as both stations are known and the ports take frames as they are.
    fn forward_known(
        &mut self,
        pool: &Pool,
        lane: &Lane,
        run: &[Skb],
        now: Tick,
        places: &mut [u8],
    ) -> usize {
        let Some(ingress) = run.first().map(|skb| skb.ingress) else { return 0 };
        let probe = self.fdb.probe(ingress, now);
        let count = if lane.learn {
            look_up::<true>(pool, probe, lane, run, places)
        } else {
            look_up::<false>(pool, probe, lane, run, places)
        };
        let (run, places) = (&run[..count], &places[..count]);
        let (mut at, mut all_bytes) = (0, 0);
        while at < count {
            let len = run_len(&places[at..]);
            let bytes = run[at..at + len].iter().map(|skb| u64::from(skb.origlen)).sum();
            let tx = &mut self.stats.tx[usize::from(places[at]) % PORTS_MAX];
            tx.add(Tx { frames: len as u64, bytes });
            all_bytes += bytes;
            at += len;
        }
        self.stats.received(ingress, lane.pvid, count as u64, all_bytes);
        count
    }

    /// The same for one frame, with mirrors and tags to write.
    #[inline(never)]
    fn forward_marked(
        &mut self,
        pool: &Pool,
        lane: &Lane,
        skb: &Skb,
        now: Tick,
    ) -> Option<Decision> {
        if usize::from(skb.network) != ETH_HLEN {
            return None;
        }
        let probe = self.fdb.probe(skb.ingress, now);
        let (dst, src) = pool.mac_header(skb).map(addresses)?;
        let known = if lane.learn {
            probe.known(FdbKey::from_bits(lane.pvid, src))
        } else {
            src != 0 && src & GROUP_BIT == 0
        };
        let port = probe.port_of(FdbKey::from_bits(lane.pvid, dst)).filter(|_| known)?;
        if !lane.reach_untagged.contains(port) {
            return None;
        }
        let (len, to) = (u64::from(skb.origlen), PortSet::only(port));
        self.stats.tx[port.index() % PORTS_MAX].add(Tx { frames: 1, bytes: len });
        self.stats.received(skb.ingress, lane.pvid, 1, len);
        let mirror = mirror_of(&self.tables.mirrors, &mut self.stats, skb.ingress, to);
        let retag = to.and(lane.retag_untagged);
        Some(Decision { verdict: Verdict::Forward(to), mirror, retag })
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
        let found = match dst & GROUP_BIT {
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
        let (dst, src) = header(frame).ok_or(DropReason::Runt)?;
        if src == 0 || src & GROUP_BIT != 0 {
            return Err(DropReason::InvalidSource);
        }
        if dst & GROUP_BIT != 0 && MacAddr::from_slice(frame).is_link_local_group() {
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
        let unicast = admitted.dst & GROUP_BIT == 0;
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

/// The hot loop: frames of one port whose two stations are known and that need no more than to be
/// handed over. Writes the ports of their destinations; how many.
#[inline(never)]
fn look_up<const LEARN: bool>(
    pool: &Pool,
    probe: Probe<'_>,
    lane: &Lane,
    run: &[Skb],
    places: &mut [u8],
) -> usize {
    let Some(ingress) = run.first().map(|skb| skb.ingress) else { return 0 };
    if probe.is_empty() {
        return 0;
    }
    let key_bits = FdbKey::from_bits(lane.pvid, 0);
    let plain = lane.plain;
    let mut count = 0;
    for (skb, place) in run.iter().zip(places) {
        // the skb stage has found the network header of Ethernet without any tag here
        if usize::from(skb.network) != ETH_HLEN || skb.ingress != ingress {
            break;
        }
        let Some((dst, src)) = pool.mac_header(skb).map(addresses) else { break };
        // the table holds no group and no source of zero; where nothing is learned it is to be
        // looked for
        let known = if LEARN {
            probe.known(key_bits.with_mac(src))
        } else {
            src != 0 && src & GROUP_BIT == 0
        };
        if !known {
            break;
        }
        match probe.port_of(key_bits.with_mac(dst)) {
            Some(port) if plain.contains(port) => *place = port.0,
            _ => break,
        }
        count += 1;
    }
    count
}

/// Destination and source, MAC bits as in [`FdbKey`]. `None` below 14 bytes.
#[inline(always)]
fn header(frame: &[u8]) -> Option<(u64, u64)> {
    frame.first_chunk().map(addresses)
}

/// The same of an Ethernet header.
#[inline(always)]
fn addresses(header: &[u8; ETH_HLEN]) -> (u64, u64) {
    let word = |at: usize| header[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    (word(0) << 16, word(4) & MAC_BITS)
}
