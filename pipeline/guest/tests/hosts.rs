//! Two smoltcp hosts back to back through a pool and rings.
#![allow(clippy::unwrap_used)] // clippy.toml covers #[test] functions only

mod common;

use common::{Cable, MB, Mode, config, large_pool, pool, transfer};
use framewalk_guest::{HostConfig, Outcome, Service, Stream};
use skb::{CopyReason, DropReason};
use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

#[test]
fn ten_megabytes_arrive_byte_for_byte() {
    let cable = Cable::new(config(1), config(2), pool(512), Mode::Drop);
    let (_, cable) = transfer(cable, "10.0.0.2:9", 10 * MB);
    let ledger = cable.finish();
    assert_eq!(ledger.dropped_total(), 0);
    assert_eq!(ledger.originated, ledger.delivered);
    assert_eq!(ledger.copies[CopyReason::GuestMemory as usize], ledger.delivered);
    assert!(ledger.delivered > 10 * MB / 1460);
}

#[test]
fn the_same_over_ipv6() {
    let cable = Cable::new(config(1), config(2), pool(512), Mode::Drop);
    let (_, cable) = transfer(cable, "[fd00::2]:9", MB);
    assert_eq!(cable.finish().dropped_total(), 0);
}

#[test]
fn ids_are_unique_and_no_capture_has_them() {
    let mut cable = Cable::new(config(1), config(2), pool(512), Mode::Drop);
    let ids = Rc::new(RefCell::new(HashSet::new()));
    let seen = Rc::clone(&ids);
    cable.tap = Box::new(move |from, skb, _| {
        assert!(skb.id >> 63 == 1);
        assert_eq!(usize::from(skb.ingress.0), from + 1);
        assert!(seen.borrow_mut().insert(skb.id));
    });
    let (_, cable) = transfer(cable, "10.0.0.2:9", MB);
    let ledger = cable.finish();
    assert_eq!(ids.borrow().len() as u64, ledger.originated);
}

#[test]
fn a_drop_port_drops_when_receive_memory_is_full_and_tcp_repairs_it() {
    let mut small = config(2);
    small.rx_buffers = 4;
    let cable = Cable::new(config(1), small, pool(512), Mode::Drop);
    let (_, cable) = transfer(cable, "10.0.0.2:9", MB);
    let full = cable.hosts[1].stats().rx_full;
    let ledger = cable.finish();
    assert!(full > 0);
    assert_eq!(ledger.dropped_for(DropReason::GuestFull), full);
    assert_eq!(ledger.dropped_total(), full);
}

#[test]
fn a_credit_port_drops_nothing() {
    let (mut a, mut b) = (config(1), config(2));
    (a.rx_buffers, b.rx_buffers) = (4, 4);
    let cable = Cable::new(a, b, pool(512), Mode::Credit);
    let (_, cable) = transfer(cable, "10.0.0.2:9", MB);
    assert_eq!(cable.hosts[1].stats().rx_full, 0);
    assert_eq!(cable.finish().dropped_total(), 0);
}

#[test]
fn no_free_slot_makes_the_stack_wait() {
    let cable = Cable::new(config(1), config(2), pool(3), Mode::Credit);
    let (_, cable) = transfer(cable, "10.0.0.2:9", MB / 10);
    assert_eq!(cable.finish().dropped_total(), 0);
}

/// A sender that takes every slot as soon as it is free leaves none to a receiver whose memory is
/// full: it must go on without.
#[test]
fn a_greedy_sender_does_not_lock_its_receiver_out() {
    let mut small = config(2);
    small.rx_buffers = 1;
    let mut cable = Cable::new(config(1), small, pool(3), Mode::Credit);
    cable.greedy = true;
    transfer(cable, "10.0.0.2:9", MB / 10).1.finish();
}

#[test]
fn two_hosts_with_one_buffer_each_echo_each_other() {
    let (mut a, mut b) = (config(1), config(2));
    (a.rx_buffers, b.rx_buffers, a.tx_frames, b.tx_frames) = (1, 1, 1, 1);
    let mut cable = Cable::new(a, b, pool(64), Mode::Credit);
    let stream = Stream { bytes: 100_000, seed: 3 };
    for host in &mut cable.hosts {
        host.serve(7, Service::Echo, 1).unwrap();
    }
    let one = cable.hosts[0].connect("10.0.0.2:7".parse().unwrap(), stream).unwrap();
    let two = cable.hosts[1].connect("10.0.0.1:7".parse().unwrap(), stream).unwrap();
    assert!(cable.run(1_000_000, |cable| {
        cable.hosts[0].stream_report(one).unwrap().outcome != Outcome::Open
            && cable.hosts[1].stream_report(two).unwrap().outcome != Outcome::Open
    }));
    for (host, handle) in [(0, one), (1, two)] {
        let report = cable.hosts[host].stream_report(handle).unwrap();
        assert_eq!(report.outcome, Outcome::Complete);
        assert_eq!(report.received, report.sent);
    }
    cable.finish();
}

#[test]
fn echo_and_source() {
    let mut cable = Cable::new(config(1), config(2), pool(512), Mode::Drop);
    let (there, back) = (Stream { bytes: 300_001, seed: 1 }, Stream { bytes: 200_003, seed: 2 });
    cable.hosts[1].serve(7, Service::Echo, 1).unwrap();
    cable.hosts[1].serve(19, Service::Source(back), 1).unwrap();
    let echo = cable.hosts[0].connect("10.0.0.2:7".parse().unwrap(), there).unwrap();
    let nothing = Stream { bytes: 0, seed: 0 };
    let source = cable.hosts[0].connect("10.0.0.2:19".parse().unwrap(), nothing).unwrap();
    assert!(cable.run(100_000, |cable| {
        [echo, source]
            .iter()
            .all(|&h| cable.hosts[0].stream_report(h).unwrap().outcome == Outcome::Complete)
    }));
    let echoed = cable.hosts[0].stream_report(echo).unwrap();
    assert_eq!(echoed.received.digest, Some(there.digest()));
    assert_eq!(echoed.received, echoed.sent);
    let got = cable.hosts[0].stream_report(source).unwrap().received;
    assert_eq!((got.bytes, got.digest), (back.bytes, Some(back.digest())));
    cable.finish();
}

#[test]
fn callers_read_and_write_streams_themselves() {
    let mut cable = Cable::new(config(1), config(2), pool(512), Mode::Drop);
    cable.hosts[1].serve(873, Service::Accept, 1).unwrap();
    for round in 0..3_u8 {
        let client = cable.hosts[0].open("10.0.0.2:873".parse().unwrap()).unwrap();
        assert!(cable.run(1000, |c| c.hosts[0].tcp(client).unwrap().may_send()));
        assert_eq!(cable.hosts[0].tcp(client).unwrap().send(&[round; 5000]), 5000);
        let mut server = None;
        let mut got = Vec::new();
        assert!(cable.run(10_000, |c| {
            server = server.or_else(|| c.hosts[1].accept(873));
            let Some(server) = server else { return false };
            let mut room = [0; 999];
            let n = c.hosts[1].tcp(server).unwrap().recv(&mut room);
            got.extend_from_slice(&room[..n]);
            got.len() == 5000
        }));
        assert_eq!(got, [round; 5000]);
        let server = server.unwrap();
        assert_eq!(cable.hosts[1].accept(873), None, "handed out once");
        cable.hosts[0].tcp(client).unwrap().close();
        assert!(cable.run(1000, |c| !c.hosts[1].tcp(server).unwrap().may_recv()));
        assert_eq!(cable.hosts[1].tcp(server).unwrap().send(b"bye"), 3);
        cable.hosts[1].tcp(server).unwrap().close();
        let mut room = [0; 9];
        assert!(cable.run(1000, |c| c.hosts[0].tcp(client).unwrap().recv(&mut room) == 3));
        assert!(cable.run(1000, |c| !c.hosts[0].tcp(client).unwrap().may_recv()));
        cable.hosts[1].release(server);
        cable.hosts[0].release(client);
        assert!(cable.hosts[1].tcp(server).is_none(), "a released handle names nothing");
        cable.run(10, |_| false);
    }
    assert_eq!(cable.hosts[1].take_served().len(), 0, "the caller's own connections are its own");
    cable.finish();
}

#[test]
fn a_port_nobody_serves_is_refused_and_a_silent_peer_given_up() {
    let mut cable = Cable::new(config(1), config(2), pool(64), Mode::Drop);
    let stream = Stream { bytes: 1, seed: 0 };
    let refused = cable.hosts[0].connect("10.0.0.2:1".parse().unwrap(), stream).unwrap();
    let silent = cable.hosts[0].connect("10.0.0.77:1".parse().unwrap(), stream).unwrap();
    assert!(
        cable.run(1000, |c| {
            c.hosts[0].stream_report(refused).unwrap().outcome == Outcome::Reset
        })
    );
    assert!(
        cable.run(100_000, |c| {
            c.hosts[0].stream_report(silent).unwrap().outcome == Outcome::Reset
        })
    );
    cable.finish();
}

/// What was sent into a window that its receiver takes back is lost until a timer fires: here time
/// stands still, so that it would stay away.
#[test]
fn a_scaled_window_is_never_taken_back() {
    for (buffer, offload) in [(100_001, true), (262_140, true), (262_140, false)] {
        let config = |number| HostConfig {
            tcp_buffer: buffer,
            rx_buffers: 1,
            rx_frame_max: Some(65_549),
            ack_delay: None,
            checksum_offload: offload,
            tso: offload.then_some(65_549),
            congestion_control: false,
            ..config(number)
        };
        let mut cable = Cable::new(config(1), config(2), large_pool(), Mode::Credit);
        cable.hosts[1].serve(873, Service::Accept, 1).unwrap();
        let client = cable.hosts[0].open("10.0.0.2:873".parse().unwrap()).unwrap();
        assert!(cable.run(1000, |c| c.hosts[0].tcp(client).unwrap().may_send()));
        while cable.turn() {}
        let server = cable.hosts[1].accept(873).unwrap();
        let bytes: Vec<u8> = (0..8_000_003_u32).map(|at| (at % 251) as u8).collect();
        let (mut sent, mut got, mut room) = (0_usize, Vec::new(), vec![0; 77_777]);
        while got.len() < bytes.len() {
            // an odd segment, then as much as the window lets out, until it is closed
            for len in [1001_usize, 0].into_iter().chain(std::iter::repeat(usize::MAX)) {
                let piece = &bytes[sent..bytes.len().min(sent.saturating_add(len))];
                sent += cable.hosts[0].tcp(client).unwrap().send(piece);
                if !cable.turn() && len > 1001 {
                    break;
                }
            }
            let read = cable.hosts[1].tcp(server).unwrap().recv(&mut room);
            assert!(read > 0, "{buffer}: {sent} bytes sent, nothing after {}", got.len());
            got.extend_from_slice(&room[..read]);
            room.truncate(70_001.max(room.len() - 13));
        }
        assert!(got == bytes);
        cable.finish();
    }
}
