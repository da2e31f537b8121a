//! What a host answers by itself, and what its frames look like.
#![allow(clippy::unwrap_used)] // clippy.toml covers #[test] functions only

mod common;

use common::{Cable, MB, Mode, config, large_pool, pool, transfer};
use framewalk_guest::{HostError, Outcome, PingReport, Service, SmolHost, Stream};
use skb::{DropReason, IpSummed, Pool, PoolConfig};
use smoltcp::wire::{ArpOperation, ArpPacket, EthernetFrame, EthernetProtocol};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

fn ping(cable: &mut Cable, to: &str, payload_len: usize) -> PingReport {
    let before = cable.hosts[0].ping_report();
    cable.turn();
    let seq = cable.hosts[0].ping(to.parse().unwrap(), payload_len).unwrap().unwrap();
    assert!(cable.run(10_000, |c| c.hosts[0].ping_report().received > before.received));
    let report = cable.hosts[0].ping_report();
    assert_eq!((report.damaged, report.last_seq), (0, Some(seq)));
    assert!(report.last_rtt_ns.unwrap() >= 0);
    report
}

#[test]
fn arp_and_ping() {
    let mut cable = Cable::new(config(1), config(2), pool(64), Mode::Drop);
    let arps = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&arps);
    cable.tap = Box::new(move |from, _, frame| {
        let eth = EthernetFrame::new_checked(frame).unwrap();
        if eth.ethertype() == EthernetProtocol::Arp {
            let arp = ArpPacket::new_checked(eth.payload()).unwrap();
            seen.borrow_mut().push((from, arp.operation(), eth.dst_addr().is_broadcast()));
        }
    });
    for _ in 0..3 {
        ping(&mut cable, "10.0.0.2", 56);
    }
    let expected = [(0, ArpOperation::Request, true), (1, ArpOperation::Reply, false)];
    assert_eq!(*arps.borrow(), expected, "one request, then the neighbour is known");
    assert_eq!(ping(&mut cable, "fd00::2", 1400).received, 4);
    assert_eq!(cable.finish().dropped_total(), 0);
}

#[test]
fn a_ping_longer_than_the_mtu_comes_back_whole() {
    let mut cable = Cable::new(config(1), config(2), pool(64), Mode::Drop);
    let longest = Rc::new(Cell::new(0));
    let seen = Rc::clone(&longest);
    cable.tap = Box::new(move |_, _, frame| seen.set(seen.get().max(frame.len())));
    ping(&mut cable, "10.0.0.2", 8000);
    assert!(longest.get() <= 1514, "{} bytes", longest.get());
    cable.finish();
}

#[test]
fn pings_that_nobody_answers() {
    let mut cable = Cable::new(config(1), config(2), pool(64), Mode::Drop);
    let mut accepted = 0;
    while cable.hosts[0].ping("10.0.0.9".parse().unwrap(), 56).unwrap().is_some() {
        accepted += 1;
        assert!(accepted < 100);
    }
    assert_eq!(accepted, 16);
    cable.run(1000, |_| false);
    assert_eq!(cable.hosts[0].ping_report().received, 0);
    let mut v4_only = config(3);
    v4_only.addresses.truncate(1);
    let mut host = SmolHost::new(v4_only, &cable.pool).unwrap();
    let v6 = "[fe80::1]:1".parse().unwrap();
    assert_eq!(host.open(v6), Err(HostError::Unaddressable(v6)));
    assert!(matches!(host.ping(v6.ip(), 8), Err(HostError::Unaddressable(_))));
    cable.finish();
}

/// Slots are recycled without being cleared: nothing of an earlier frame may leave with a later.
#[test]
fn no_stale_bytes_leave_with_a_frame() {
    let frames = |poison: u8| {
        let mut pool = pool(256);
        let mut slots: Vec<_> = std::iter::from_fn(|| pool.alloc_slot()).collect();
        for slot in &mut slots {
            pool.slot_mut(slot).unwrap().fill(poison);
        }
        for slot in slots {
            pool.free_slot(slot);
        }
        let mut cable = Cable::new(config(1), config(2), pool, Mode::Drop);
        let all = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&all);
        cable.tap = Box::new(move |_, _, frame| seen.borrow_mut().push(frame.to_vec()));
        ping(&mut cable, "10.0.0.2", 3001);
        ping(&mut cable, "fd00::2", 33);
        let stream = Stream { bytes: 1, seed: 0 };
        cable.hosts[0].connect("10.0.0.2:1".parse().unwrap(), stream).unwrap();
        cable.hosts[0].connect("[fd00::2]:1".parse().unwrap(), stream).unwrap();
        let (_, cable) = transfer(cable, "10.0.0.2:9", MB / 5);
        cable.finish();
        all.take()
    };
    let (a, b) = (frames(0xaa), frames(0x55));
    assert!(a.len() > 100);
    assert_eq!(a, b);
}

/// Sum over pseudo-header and segment as RFC 9293 section 3.1 has it; 0 when right.
fn tcp_sum(frame: &[u8]) -> u16 {
    let (ip, tcp) = (&frame[14..34], &frame[34..]);
    let mut bytes = ip[12..20].to_vec();
    bytes.extend([0, 6]);
    bytes.extend((tcp.len() as u16).to_be_bytes());
    bytes.extend(tcp);
    bytes.push(0);
    let mut sum: u64 =
        bytes.chunks_exact(2).map(|p| u64::from(u16::from_be_bytes([p[0], p[1]]))).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

fn is_tcp4(frame: &[u8]) -> bool {
    frame[12..14] == [8, 0] && frame[23] == 6
}

#[test]
fn checksums_are_real_by_default() {
    let mut cable = Cable::new(config(1), config(2), pool(512), Mode::Drop);
    cable.tap = Box::new(|_, skb, frame| {
        assert_eq!(skb.ip_summed, IpSummed::None);
        assert!(!is_tcp4(frame) || tcp_sum(frame) == 0);
    });
    transfer(cable, "10.0.0.2:9", MB).1.finish();
}

#[test]
fn offload_leaves_the_pseudo_header_sum_and_a_peer_without_it_still_verifies() {
    let mut a = config(1);
    a.checksum_offload = true;
    let mut cable = Cable::new(a, config(2), pool(512), Mode::Drop);
    let partial = Rc::new(Cell::new(0));
    let seen = Rc::clone(&partial);
    cable.tap = Box::new(move |from, skb, frame| {
        if is_tcp4(frame) && from == 0 {
            assert_eq!(skb.ip_summed, IpSummed::Partial);
            let field = [frame[50], frame[51]];
            let mut cleared = frame.to_vec();
            cleared[50..52].fill(0);
            let segment_only: u32 = {
                let mut padded = cleared[34..].to_vec();
                padded.push(0);
                padded.chunks_exact(2).map(|p| u32::from(u16::from_be_bytes([p[0], p[1]]))).sum()
            };
            // a device adds the sum of the segment to the field and complements
            let mut sum = segment_only + u32::from(u16::from_be_bytes(field));
            while sum > 0xffff {
                sum = (sum >> 16) + (sum & 0xffff);
            }
            cleared[50..52].copy_from_slice(&(!(sum as u16)).to_be_bytes());
            assert_eq!(tcp_sum(&cleared), 0);
            seen.set(seen.get() + 1);
        } else {
            assert_eq!(skb.ip_summed, IpSummed::None);
        }
    });
    transfer(cable, "10.0.0.2:9", MB).1.finish();
    assert!(partial.get() > 600);
}

#[test]
fn segmentation_offload_hands_over_super_frames_whole_or_cut() {
    for takes_whole in [true, false] {
        let (mut a, mut b) = (config(1), config(2));
        (a.checksum_offload, a.tso, a.tcp_buffer) = (true, Some(65_000), 256 << 10);
        b.tcp_buffer = 256 << 10;
        b.rx_frame_max = takes_whole.then_some(65_549);
        b.checksum_offload = takes_whole;
        let mut cable = Cable::new(a, b, large_pool(), Mode::Credit);
        let longest = Rc::new(Cell::new(0));
        let seen = Rc::clone(&longest);
        cable.tap = Box::new(move |_, skb, frame| {
            assert_eq!(skb.gso_size != 0, frame.len() > 1514);
            assert!(skb.gso_size == 0 || skb.gso_size == 1460);
            seen.set(seen.get().max(frame.len()));
        });
        let (_, cable) = transfer(cable, "10.0.0.2:9", 10 * MB);
        assert!(longest.get() > 30_000, "{}", longest.get());
        let ledger = cable.finish();
        assert_eq!(ledger.dropped_total(), 0);
        assert_eq!(ledger.split > 0, !takes_whole);
        assert_eq!(ledger.delivered, ledger.originated + ledger.split);
    }
}

#[test]
fn a_frame_longer_than_the_receive_buffer_is_dropped_with_its_reason() {
    let (mut a, b) = (config(1), config(2));
    a.mtu = 9000;
    let pool = Pool::new(PoolConfig { slots: 64, slot_frame_max: 9100, ..PoolConfig::default() });
    let mut cable = Cable::new(a, b, pool.unwrap(), Mode::Drop);
    cable.hosts[0].ping("10.0.0.2".parse().unwrap(), 4000).unwrap();
    cable.run(50, |_| false);
    assert_eq!(cable.hosts[1].stats().rx_too_long, 1);
    assert_eq!(cable.finish().dropped_for(DropReason::TooLong), 1);
}

#[test]
fn served_ports_come_back_after_every_connection() {
    let mut cable = Cable::new(config(1), config(2), pool(64), Mode::Drop);
    cable.hosts[1].serve(9, Service::Discard, 1).unwrap();
    for round in 0..20 {
        let stream = Stream { bytes: 5000, seed: round };
        let handle = cable.hosts[0].connect("10.0.0.2:9".parse().unwrap(), stream).unwrap();
        assert!(cable.run(20_000, |c| {
            c.hosts[0].stream_report(handle).unwrap().outcome != Outcome::Open
                && c.hosts[1].serving().next().is_none()
        }));
        let served = cable.hosts[1].take_served();
        assert_eq!((served.len(), served[0].outcome), (1, Outcome::Complete), "round {round}");
        assert_eq!(served[0].received.digest, Some(stream.digest()));
        cable.hosts[0].release(handle);
        assert_eq!(cable.hosts[0].stream_report(handle), None);
    }
    cable.finish();
}

#[test]
fn what_cannot_be_is_refused() {
    let pool = pool(4);
    let refused = |change: fn(&mut framewalk_guest::HostConfig)| {
        let mut config = config(1);
        change(&mut config);
        SmolHost::new(config, &pool).unwrap_err().to_string()
    };
    for (text, expected) in [
        (refused(|c| c.mac.0[0] = 1), "01:00:00:00:00:01 is not an address a station can have"),
        (refused(|c| c.mtu = 500), "MTU 500 is not within 1280 to 65535 bytes"),
        (refused(|c| c.mtu = 9000), "frames of 9014 bytes do not fit the pool's slots of"),
        (refused(|c| c.tso = Some(1514)), "segmentation offload needs checksum offload"),
        (refused(|c| c.rx_buffers = 0), "rx_buffers is 0, expected 1 to 65536"),
        (refused(|c| c.addresses = vec!["224.0.0.1/4".parse().unwrap()]), "224.0.0.1/4 is not"),
        (refused(|c| c.addresses = vec!["::1/128".parse().unwrap()]), "::1/128 is not"),
        (
            refused(|c| c.gateways = vec!["10.0.0.8".parse().unwrap(); 2]),
            "10.0.0.8 is a second default gateway",
        ),
    ] {
        assert!(text.starts_with(expected), "{text}");
    }
    let mut host = SmolHost::new(config(1), &pool).unwrap();
    assert_eq!(host.serve(0, Service::Echo, 1), Err(HostError::PortZero));
    assert_eq!(host.serve(1, Service::Echo, 9999), Err(HostError::TooManySockets));
    let nowhere = "0.0.0.0:1".parse().unwrap();
    assert_eq!(host.open(nowhere), Err(HostError::Unaddressable(nowhere)));
}

#[test]
fn a_host_says_when_it_must_be_polled_next() {
    let mut cable = Cable::new(config(1), config(2), pool(64), Mode::Drop);
    cable.hosts[0].poll(cable.now_ns, &mut cable.pool);
    assert_eq!(cable.hosts[0].next_poll_ns(), None, "nothing to do without a frame");
    let stream = Stream { bytes: 1, seed: 0 };
    cable.hosts[0].connect("10.0.0.9:1".parse().unwrap(), stream).unwrap();
    assert!(cable.hosts[0].next_poll_ns().unwrap() <= cable.now_ns, "at once");
    cable.turn();
    let next = cable.hosts[0].next_poll_ns().unwrap();
    assert!(next > cable.now_ns && next <= cable.now_ns + 5_000_000_000, "to ask again");
    cable.finish();
}
