//! Small scenes with answers that anyone can check by hand.

use super::{forward, pool, receive};
use crate::fdb::HashKey;
use crate::vlan::{VlanMode, VlanSet};
use crate::*;
use skb::{BURST_MAX, CopyReason, DropReason, LinkType, PortId, PortSet, Skb, Verdict};

const A: [u8; 6] = [2, 0, 0, 0, 0, 0xa];
const B: [u8; 6] = [2, 0, 0, 0, 0, 0xb];
const C: [u8; 6] = [2, 0, 0, 0, 0, 0xc];
const ALL: [u8; 6] = [0xff; 6];

fn frame(dst: [u8; 6], src: [u8; 6], rest: &[u8]) -> Vec<u8> {
    let mut frame = [&dst[..], &src, rest, &[0x88, 0xb5]].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}

fn switch(ty: SwitchType, ports: Vec<PortConfig>) -> Vswitch {
    let unknown_unicast = match ty {
        SwitchType::External => UnknownUnicast::Uplink,
        _ => UnknownUnicast::Flood,
    };
    let config = SwitchConfig { ty, ports, unknown_unicast, ..SwitchConfig::default() };
    Vswitch::new(config, HashKey::new([3, 4])).unwrap()
}

fn to(ports: &[u8]) -> Verdict {
    Verdict::Forward(ports.iter().map(|&port| PortId(port)).collect())
}

fn guests(count: u8) -> Vec<PortConfig> {
    (0..count).map(|id| PortConfig::guest(id, "guest")).collect()
}

#[test]
fn floods_until_it_has_learned() {
    let (mut switch, mut pool) = (switch(SwitchType::Private, guests(3)), pool());
    let mut go = |port, dst, src| forward(&mut switch, &mut pool, port, &frame(dst, src, &[]));
    assert_eq!(go(0, B, A).verdict, to(&[1, 2]));
    assert_eq!(go(1, A, B).verdict, to(&[0]));
    assert_eq!(go(0, B, A).verdict, to(&[1]));
    assert_eq!(go(0, ALL, A).verdict, to(&[1, 2]));
    assert_eq!(go(2, B, A).verdict, to(&[1]), "A moved to port 2");
    assert_eq!(go(1, A, B).verdict, to(&[2]));
    assert_eq!(go(2, A, C).verdict, Verdict::Drop(DropReason::SamePort));
    let stats = switch.stats();
    assert_eq!((stats.port(PortId(0)).rx_frames, stats.port(PortId(0)).tx_frames), (3, 1));
    assert_eq!(stats.port(PortId(2)).dropped[DropReason::SamePort as usize], 1);
    assert_eq!((stats.vlan(1).frames, stats.vlan(1).bytes), (7, 420));
    assert_eq!(switch.fdb().stats().moved, 1);
}

#[test]
fn a_recorded_network_on_an_external_switch() {
    let guest = PortConfig { static_macs: vec![skb::MacAddr(A)], ..PortConfig::guest(1, "vm") };
    let ports = vec![PortConfig { learn: false, ..PortConfig::wire(0, "file") }, guest];
    let (mut switch, mut pool) = (switch(SwitchType::External, ports), pool());
    let mut go = |port, dst, src| forward(&mut switch, &mut pool, port, &frame(dst, src, &[]));
    assert_eq!(go(0, A, B).verdict, to(&[1]), "to the guest, which need not have spoken");
    assert_eq!(go(0, C, B).verdict, Verdict::Drop(DropReason::SamePort), "wire to wire");
    assert_eq!(go(1, C, A).verdict, to(&[0]), "unknown goes up");
    assert_eq!(go(0, ALL, B).verdict, to(&[1]));
    assert_eq!(go(0, ALL, A).verdict, to(&[1]), "the guest's address cannot be taken");
    assert_eq!(go(0, A, B).verdict, to(&[1]));
}

#[test]
fn what_no_bridge_forwards() {
    let (mut switch, mut pool) = (switch(SwitchType::Private, guests(2)), pool());
    let mut go = |port, frame: &[u8]| forward(&mut switch, &mut pool, port, frame).verdict;
    let dropped = Verdict::Drop;
    let bpdu = frame([1, 0x80, 0xc2, 0, 0, 0], A, &[]);
    assert_eq!(go(0, &bpdu), dropped(DropReason::LinkLocal));
    assert_eq!(go(0, &frame([1, 0x80, 0xc2, 0, 0, 0xf], A, &[])), dropped(DropReason::LinkLocal));
    assert_eq!(go(0, &frame([1, 0x80, 0xc2, 0, 0, 0x10], A, &[])), to(&[1]));
    assert_eq!(go(0, &frame(B, ALL, &[])), dropped(DropReason::InvalidSource));
    assert_eq!(go(0, &frame(B, [0; 6], &[])), dropped(DropReason::InvalidSource));
    assert_eq!(go(0, &bpdu[..13]), dropped(DropReason::Runt));
    assert_eq!(go(0, &[]), dropped(DropReason::Runt));
    assert_eq!(go(9, &frame(B, A, &[])), dropped(DropReason::Policy), "no such port, no trust");
    assert_eq!(go(200, &frame(B, A, &[])), dropped(DropReason::Policy));
    assert_eq!(switch.fdb().len(), 1, "dropped frames teach nothing");
}

#[test]
fn other_link_types_are_not_switched() {
    let (mut switch, mut pool) = (switch(SwitchType::Private, guests(2)), pool());
    let skb = receive(&mut pool, &frame(B, A, &[]), PortId(0), LinkType::RAW);
    let mut out = Decisions::new();
    switch.forward_burst(&pool, std::slice::from_ref(&skb), 0, &mut out);
    assert_eq!(out.get(0).verdict, Verdict::Drop(DropReason::NotEthernet));
    pool.free(skb);
}

fn vlan_ports() -> Vec<PortConfig> {
    let access = |id, pvid| PortConfig {
        vlan: VlanMode::Access { pvid },
        ..PortConfig::guest(id, "access")
    };
    let trunk = VlanMode::Trunk { native: Some(1), allowed: [10, 20].into_iter().collect() };
    let trunk = PortConfig { vlan: trunk, ..PortConfig::guest(3, "trunk") };
    vec![access(0, 10), access(1, 10), access(2, 20), trunk]
}

#[test]
fn tags_are_put_in_and_taken_out() {
    let (mut switch, mut pool) = (switch(SwitchType::Private, vlan_ports()), pool());
    let plain = frame(ALL, A, &[]);
    let decision = forward(&mut switch, &mut pool, 0, &plain);
    assert_eq!((decision.verdict, decision.retag), (to(&[1, 3]), PortSet::only(PortId(3))));
    let skb = receive(&mut pool, &plain, PortId(0), LinkType::ETHERNET);
    let tagged = switch.egress(&mut pool, PortId(3), skb).unwrap();
    assert_eq!(pool.frame(&tagged), frame_with_tag(&plain, [0x81, 0, 0, 10]));
    assert_eq!(pool.copies().iter().sum::<u64>(), 0, "headroom was there");
    pool.free(tagged);

    let tagged = frame(B, C, &[0x81, 0, 0xa0, 20]);
    let decision = forward(&mut switch, &mut pool, 3, &tagged);
    assert_eq!((decision.verdict, decision.retag), (to(&[2]), PortSet::only(PortId(2))));
    let one = receive(&mut pool, &tagged, PortId(3), LinkType::ETHERNET);
    let other = pool.share(&one);
    let popped = switch.egress(&mut pool, PortId(2), other).unwrap();
    assert_eq!(pool.frame(&popped).len(), 56, "not padded here");
    assert_eq!(pool.copies()[CopyReason::CopyOnWrite as usize], 1);
    pool.free(one);
    pool.free(popped);
}

fn frame_with_tag(frame: &[u8], tag: [u8; 4]) -> Vec<u8> {
    [&frame[..12], &tag, &frame[12..]].concat()
}

#[test]
fn vlans_do_not_mix() {
    let (mut switch, mut pool) = (switch(SwitchType::Private, vlan_ports()), pool());
    let mut go = |port, frame: &[u8]| forward(&mut switch, &mut pool, port, frame).verdict;
    let dropped = Verdict::Drop;
    assert_eq!(go(2, &frame(ALL, A, &[])), to(&[3]));
    assert_eq!(go(0, &frame(A, B, &[])), to(&[1, 3]), "A is known in VLAN 20 only");
    let hop = frame(A, B, &[0x81, 0, 0, 20]);
    assert_eq!(go(0, &hop), dropped(DropReason::VlanIngress), "tagged on an access port");
    let double = frame(ALL, B, &[0x81, 0, 0, 10, 0x81, 0, 0, 20]);
    assert_eq!(go(0, &double), dropped(DropReason::VlanIngress));
    assert_eq!(go(3, &frame(ALL, B, &[0x81, 0, 0, 30])), dropped(DropReason::VlanIngress));
    assert_eq!(go(3, &frame(ALL, B, &[])), dropped(DropReason::NoMember), "nobody else in 1");
    assert_eq!(go(3, &frame(ALL, B, &[0x81, 0])[..16]), dropped(DropReason::Runt), "cut tag");
}

#[test]
fn a_double_tag_does_not_hop_through_the_native_vlan() {
    let trunk = |id| PortConfig { vlan: VlanMode::trunk_all(), ..PortConfig::guest(id, "trunk") };
    let ports = vec![trunk(0), trunk(1), PortConfig::guest(2, "access")];
    let (mut switch, mut pool) = (switch(SwitchType::Private, ports), pool());
    let double = frame(ALL, B, &[0x81, 0, 0, 1, 0x81, 0, 0, 20]);
    assert_eq!(forward(&mut switch, &mut pool, 0, &double).verdict, to(&[2]), "not trunk 1");
    let priority = frame(ALL, B, &[0x81, 0, 0xe0, 0, 0x81, 0, 0, 20]);
    assert_eq!(forward(&mut switch, &mut pool, 0, &priority).verdict, to(&[2]));
    let service = frame(ALL, B, &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 20]);
    assert_eq!(forward(&mut switch, &mut pool, 0, &service).verdict, to(&[1, 2]), "opaque");
}

#[test]
fn guards_and_protection() {
    let static_macs = vec![skb::MacAddr(A)];
    let fixed = PortConfig { mac_spoofing: false, static_macs, ..PortConfig::guest(0, "fixed") };
    let protected = |id| PortConfig { protected: true, ..PortConfig::guest(id, "protected") };
    let ports = vec![fixed, protected(1), protected(2)];
    let (mut switch, mut pool) = (switch(SwitchType::Private, ports), pool());
    let mut go = |port, frame: &[u8]| forward(&mut switch, &mut pool, port, frame).verdict;
    assert_eq!(go(0, &frame(ALL, A, &[])), to(&[1, 2]));
    assert_eq!(go(0, &frame(ALL, B, &[])), Verdict::Drop(DropReason::Policy), "not its address");
    assert_eq!(go(1, &frame(ALL, B, &[])), to(&[0]));
    assert_eq!(go(2, &frame(B, C, &[])), Verdict::Drop(DropReason::Policy), "protected to same");
}

#[test]
fn mirrors_see_what_passed_the_ingress_policies() {
    let mirror = |direction| MirrorSession {
        sources: vec![PortId(0)],
        direction,
        destination: PortId(2),
        snaplen: Some(64),
    };
    let build = |direction| {
        let mirrors = vec![mirror(direction)];
        let config = SwitchConfig { ports: guests(4), mirrors, ..SwitchConfig::default() };
        Vswitch::new(config, HashKey::new([0, 0])).unwrap()
    };
    let at = PortSet::only(PortId(2));
    let (mut switch, mut pool) = (build(MirrorDirection::Ingress), pool());
    let mut go = |port, dst, src| forward(&mut switch, &mut pool, port, &frame(dst, src, &[]));
    assert_eq!(go(0, ALL, A).mirror, PortSet::EMPTY, "gets the flood anyway");
    assert_eq!(go(1, A, B), Decision { verdict: to(&[0]), ..Decision::default() });
    assert_eq!(go(0, B, A).mirror, at);
    assert_eq!(go(0, A, A).verdict, Verdict::Drop(DropReason::SamePort));
    assert_eq!(go(0, A, A).mirror, at, "accepted, then nowhere to go");
    assert_eq!(go(0, A, ALL).mirror, PortSet::EMPTY, "refused at ingress");
    assert_eq!(switch.stats().port(PortId(2)).mirrored, 3);

    let (mut switch, mut pool) = (build(MirrorDirection::Egress), super::pool());
    let mut go = |port, dst, src| forward(&mut switch, &mut pool, port, &frame(dst, src, &[]));
    go(0, ALL, A);
    assert_eq!(go(1, A, B).mirror, at);
    assert_eq!(go(0, B, A).mirror, PortSet::EMPTY);
}

#[test]
fn no_slot_for_a_copy_is_a_counted_drop_and_gives_the_frame_back() {
    let mut switch = switch(SwitchType::Private, vlan_ports());
    let config = skb::PoolConfig { slots: 1, ..skb::PoolConfig::default() };
    let mut pool = skb::Pool::new(config).unwrap();
    let one = receive(&mut pool, &frame(ALL, A, &[]), PortId(0), LinkType::ETHERNET);
    let other = pool.share(&one);
    let EgressDrop { skb, reason } = switch.egress(&mut pool, PortId(3), other).unwrap_err();
    assert_eq!(reason, DropReason::NoBuffer);
    assert_eq!(pool.frame(&skb), frame(ALL, A, &[]));
    let stats = switch.stats().port(PortId(3));
    assert_eq!(stats.egress_dropped[DropReason::NoBuffer as usize], 1);
    pool.free(one);
    pool.free(skb);
}

#[test]
fn decides_for_a_burst_at_most() {
    let (mut switch, mut pool) = (switch(SwitchType::Private, guests(2)), pool());
    let one = || frame(B, A, &[]);
    let ports = (0..=BURST_MAX as u8).map(|place| PortId(place & 1));
    let mut receive = |port| receive(&mut pool, &one(), port, LinkType::ETHERNET);
    let burst: Vec<Skb> = ports.map(&mut receive).collect();
    let mut out = Decisions::new();
    assert_eq!(switch.forward_burst(&pool, &burst, 0, &mut out), BURST_MAX);
    assert_eq!((out.get(0).verdict, out.get(1).verdict), (to(&[1]), to(&[0])));
    assert_eq!(switch.stats().port(PortId(0)).rx_frames, 32);
    assert_eq!(switch.forward_burst(&pool, &[], 0, &mut out), 0);
    for skb in burst {
        pool.free(skb);
    }
}

#[test]
fn impossible_vlans_and_mirrors_are_refused() {
    let with_vlan = |vlan| SwitchConfig {
        ports: vec![PortConfig { vlan, ..PortConfig::guest(0, "a") }],
        ..SwitchConfig::default()
    };
    let refused = |config| Vswitch::new(config, HashKey::new([0, 0])).unwrap_err().to_string();
    let empty = VlanMode::Trunk { native: None, allowed: VlanSet::none() };
    for (vlan, text) in [
        (VlanMode::Access { pvid: 0 }, "port0 (a): VLAN 0: expected 1 to 4094"),
        (VlanMode::Access { pvid: 4095 }, "port0 (a): VLAN 4095: expected 1 to 4094"),
        (empty, "port0 (a): the trunk allows no VLAN and has no native one"),
    ] {
        assert_eq!(refused(with_vlan(vlan)), text);
    }
    let mirror = |destination, snaplen| SwitchConfig {
        mirrors: vec![MirrorSession {
            sources: vec![PortId(0)],
            direction: MirrorDirection::Both,
            destination: PortId(destination),
            snaplen,
        }],
        ports: guests(2),
        ..SwitchConfig::default()
    };
    assert_eq!(refused(mirror(7, None)), "mirror session 0: the switch has no port7");
    assert!(refused(mirror(0, None)).contains("one of its sources"));
    assert!(refused(mirror(1, Some(13))).contains("14 bytes"));
}
