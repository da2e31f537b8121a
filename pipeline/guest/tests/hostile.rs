//! Frames made to hurt: whatever arrives, a host neither panics nor loses count, and still answers.
#![allow(clippy::unwrap_used)] // clippy.toml covers #[test] functions only

mod common;

use common::{Cable, MB, Mode, config, pool, transfer};
use framewalk_guest::{Service, SmolHost, Stream};
use proptest::prelude::*;
use proptest::sample::Index;
use skb::{IpSummed, Ledger, Nic, Pool, PortId, Ring, Sink, Skb};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::OnceLock;

fn skb(pool: &mut Pool, bytes: &[u8], gso_size: u16) -> Skb {
    let mut slot = pool.alloc_slot().unwrap();
    pool.slot_mut(&mut slot).unwrap()[..bytes.len()].copy_from_slice(bytes);
    let mut desc = pool.commit(slot, bytes.len(), PortId(9)).unwrap();
    desc.gso_size = gso_size;
    desc.ip_summed = if gso_size & 1 == 1 { IpSummed::Partial } else { IpSummed::None };
    pool.build_skb(desc)
}

/// Real frames to host 2: ARP, ping, fragments, neighbour discovery, TCP of both IP versions.
fn real_frames() -> &'static [Vec<u8>] {
    static FRAMES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    FRAMES.get_or_init(|| {
        let mut cable = Cable::new(config(1), config(2), pool(64), Mode::Drop);
        let all = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&all);
        cable.tap = Box::new(move |from, _, frame| {
            if from == 0 && seen.borrow().len() < 200 {
                seen.borrow_mut().push(frame.to_vec());
            }
        });
        for to in ["10.0.0.2", "fd00::2"] {
            cable.hosts[0].ping(to.parse().unwrap(), 40).unwrap();
            cable.run(20, |_| false);
        }
        cable.hosts[0].ping("10.0.0.2".parse().unwrap(), 3000).unwrap();
        cable.run(20, |_| false);
        let stream = Stream { bytes: 3000, seed: 0 };
        cable.hosts[0].connect("[fd00::2]:80".parse().unwrap(), stream).unwrap();
        transfer(cable, "10.0.0.2:9", MB / 50).1.finish();
        all.take()
    })
}

/// Feeds frames to a serving host, then asks it something. `offload` leaves checksums unverified,
/// so that mutated frames get deep into the stack.
fn survive(frames: &[(Vec<u8>, u16)], offload: bool) {
    let mut config = config(2);
    config.checksum_offload = offload;
    config.rx_buffers = 16;
    config.tcp_buffer = 4096;
    if offload {
        config.tso = Some(1900);
    }
    let mut pool = pool(96);
    let mut host = SmolHost::new(config, &pool).unwrap();
    for (port, service) in [
        (9, Service::Discard),
        (7, Service::Echo),
        (80, Service::Source(Stream { bytes: 100_000, seed: 1 })),
        (873, Service::Accept),
    ] {
        host.serve(port, service, 2).unwrap();
    }
    let mut ledger = Ledger::default();
    let mut ring = Ring::new(128);
    let mut now_ns = 1_000_000_000;
    for (number, (frame, gso_size)) in frames.iter().enumerate() {
        let skb = skb(&mut pool, frame, *gso_size);
        ledger.frames_in += 1;
        host.deliver(&mut pool, skb, &mut ledger);
        if number % 3 == 0 {
            now_ns += 200_000_000;
            host.poll(now_ns, &mut pool);
        }
        host.rx(&mut pool, &mut ring, 64, &mut ledger);
        if let Some(handle) = host.accept(873) {
            host.release(handle);
        }
        ledger.held = pool.held();
        ledger.check().unwrap();
        while let Some(desc) = ring.pop() {
            pool.free_desc(desc);
            ledger.consumed += 1;
        }
    }
    // A known frame still gets its answer: the ARP request.
    for _ in 0..50 {
        now_ns += 1_000_000;
        host.poll(now_ns, &mut pool);
        while host.tx_waiting() > 0 {
            host.rx(&mut pool, &mut ring, 64, &mut ledger);
            while let Some(desc) = ring.pop() {
                pool.free_desc(desc);
                ledger.consumed += 1;
            }
        }
    }
    let request = skb(&mut pool, &real_frames()[0], 0);
    host.deliver(&mut pool, request, &mut ledger);
    host.poll(now_ns, &mut pool);
    host.rx(&mut pool, &mut ring, 64, &mut ledger);
    let mut answered = false;
    while let Some(desc) = ring.pop() {
        let skb = pool.build_skb(desc);
        answered |= pool.frame(&skb)[12..14] == [8, 6];
        pool.free(skb);
    }
    assert!(answered, "no ARP reply any more");
    host.unplug(&mut pool);
    assert_eq!((pool.held(), pool.free_slots()), (0, 96));
}

/// A real frame with bytes changed, cut or made longer.
fn mutated() -> impl Strategy<Value = (Vec<u8>, u16)> {
    let change = (any::<Index>(), any::<u8>());
    let interesting = prop_oneof![Just(0_u8), Just(0xff), Just(0x7f), any::<u8>()];
    (
        any::<Index>(),
        proptest::collection::vec(change, 0..4),
        proptest::option::weighted(0.2, (any::<Index>(), interesting)),
        proptest::option::weighted(0.2, any::<Index>()),
        prop_oneof![3 => Just(0_u16), 1 => 0..200_u16],
    )
        .prop_map(|(which, changes, header, cut, gso)| {
            let frames = real_frames();
            let mut frame = frames[which.index(frames.len())].clone();
            for (at, byte) in changes {
                // mostly behind the MAC addresses, mostly in the headers
                let len = frame.len().min(90);
                let at = 12 + at.index(len - 12);
                frame[at] = byte;
            }
            if let Some((at, byte)) = header {
                let len = frame.len();
                frame[at.index(len)] = byte;
            }
            if let Some(at) = cut {
                frame.truncate(at.index(frame.len() + 1));
            }
            (frame, gso)
        })
}

proptest! {
    #[test]
    fn random_bytes(
        frames in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..1600), 0..3000_u16), 0..40),
        offload: bool,
    ) {
        survive(&frames, offload);
    }

    #[test]
    fn real_frames_mutated(
        frames in proptest::collection::vec(mutated(), 0..150), offload: bool,
    ) {
        survive(&frames, offload);
    }

    #[test]
    fn random_payloads_behind_good_ip_headers(
        payloads in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..200), any::<bool>(),
             prop_oneof![
                 Just(1_u8), Just(2), Just(6), Just(17), Just(58), Just(0), Just(43), Just(44),
                 any::<u8>()
             ],
             0..300_u16, 0..6_u8),
            0..80),
    ) {
        let frames: Vec<_> = payloads.into_iter().map(|(payload, v6, protocol, gso, source)| {
            (ip_frame(&payload, v6, protocol, source), gso)
        }).collect();
        survive(&frames, true);
    }
}

/// An IP packet to host 2 with a good header (checksum too) from one of several sources, usual
/// and unusual: a neighbour, unspecified, broadcast, group, loopback, the host itself.
fn ip_frame(payload: &[u8], v6: bool, protocol: u8, source: u8) -> Vec<u8> {
    use smoltcp::wire::{EthernetFrame, Ipv4Packet};
    let mut frame = vec![0; 14];
    frame[..12].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
    if v6 {
        frame.extend([0x60, 0, 0, 0, 0, payload.len() as u8, protocol, 0xff]);
        let source: std::net::Ipv6Addr = ["fd00::1", "::", "ff02::1", "fe80::1", "::1", "fd00::2"]
            [usize::from(source)]
        .parse()
        .unwrap();
        frame.extend(source.octets());
        frame.extend("fd00::2".parse::<std::net::Ipv6Addr>().unwrap().octets());
        frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    } else {
        let sources = [
            [10, 0, 0, 1],
            [0, 0, 0, 0],
            [255, 255, 255, 255],
            [224, 0, 0, 1],
            [127, 0, 0, 1],
            [10, 0, 0, 2],
        ];
        frame.extend([0x45, 0, 0, 20 + payload.len() as u8, 0, 1, 0, 0, 64, protocol, 0, 0]);
        frame.extend(sources[usize::from(source)]);
        frame.extend([10, 0, 0, 2]);
        frame[12..14].copy_from_slice(&[8, 0]);
        let mut eth = EthernetFrame::new_unchecked(&mut frame[..]);
        Ipv4Packet::new_unchecked(eth.payload_mut()).fill_checksum();
    }
    frame.extend(payload);
    frame
}
