use skb::{PoolConfig, PortId};
use testkit::net::{Lab, number, numbered};

use super::super::tests::send;
use super::*;

fn pool(blocks: usize) -> Pool {
    let block_size = BLOCK_BYTES;
    Pool::new(PoolConfig { slots: 8, blocks, block_size, ..PoolConfig::default() }).unwrap()
}

fn stations(lab: &Lab, blocks: usize) -> (Pool, PacketNic, Ring, Ledger) {
    lab.cable("left", "right", 1500);
    let mut pool = pool(blocks);
    let nic = PacketNic::open("right", &Config::default(), &mut pool).unwrap();
    (pool, nic, Ring::new(1024), Ledger::default())
}

/// Takes frames until `Done`, or until nothing comes any more.
fn take(
    nic: &mut PacketNic,
    pool: &mut Pool,
    ring: &mut Ring,
    ledger: &mut Ledger,
    mut each: impl FnMut(&mut Pool, RxDesc),
) {
    let mut idle = 0;
    while idle < 50 {
        match nic.rx(pool, ring, 64, ledger) {
            RxStatus::Done => return,
            RxStatus::Active => idle = 0,
            RxStatus::Idle => {
                idle += 1;
                nic.wait(Duration::from_millis(10)).unwrap();
            }
        }
        while let Some(desc) = ring.pop() {
            each(pool, desc);
        }
    }
}

#[test]
fn a_pool_without_blocks_to_spare_is_refused() {
    let config = Config::default();
    let error = PacketNic::open("lo", &config, &mut pool(0)).unwrap_err();
    assert!(matches!(error, PacketNicError::NoBlocks), "{error}");
    let mut used = pool(3);
    let block = used.alloc_block();
    let error = PacketNic::open("lo", &config, &mut used).unwrap_err();
    assert!(block.is_some() && error.to_string().contains("blocks that nobody uses"), "{error}");
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_frames_lie_in_the_kernels_ring_and_go_round_it_many_times() {
    let lab = Lab::new();
    let (mut pool, mut nic, mut ring, mut ledger) = stations(&lab, 8);
    let area = nic.rx.ring.area().unwrap();
    let (start, len) = (area.start().as_ptr() as usize, area.blocks() * area.block_size());
    let frames = numbered(40_000, |n| 60 + (n as usize * 31) % 1400); // 15 times the ring
    let mut next = 0;
    // few enough for half of the blocks, however early the kernel closes them
    for part in frames.chunks(100) {
        send("left", part);
        let (end, sent) = (next + part.len(), Instant::now());
        while next < end {
            assert!(sent.elapsed() < Duration::from_secs(20), "{next}: {:?}", nic.counts());
            nic.wait(Duration::from_millis(10)).unwrap();
            nic.rx(&mut pool, &mut ring, 64, &mut ledger);
            while let Some(desc) = ring.pop() {
                let data = pool.received(&desc);
                assert_eq!(data, frames[next], "frame {next}");
                let at = data.as_ptr() as usize;
                assert!(at > start && at + data.len() <= start + len, "where the kernel wrote it");
                next += 1;
                assert_eq!((desc.id, desc.origlen as usize), (next as u64, data.len()));
                assert!(desc.time_ns > 1_700_000_000_000_000_000);
                pool.free_desc(desc);
            }
        }
    }
    nic.stop().unwrap();
    take(&mut nic, &mut pool, &mut ring, &mut ledger, |_, _| panic!("all were taken"));
    assert!(nic.is_drained());
    assert_eq!((next, ledger.frames_in, pool.held()), (40_000, 40_000, 0));
    assert_eq!(pool.copies().iter().sum::<u64>(), 0);
    assert_eq!(nic.rx.ring.taken(), 0, "every block is the kernel's again");
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_frames_in_use_keep_their_block_and_what_finds_no_room_is_counted() {
    let lab = Lab::new();
    let (mut pool, mut nic, mut ring, mut ledger) = stations(&lab, 4);
    let frames = numbered(4_000, |_| 1000); // four times the ring
    let mut kept = Vec::new();
    for part in frames.chunks(100) {
        send("left", part);
        nic.wait(Duration::from_millis(20)).unwrap();
        while nic.rx(&mut pool, &mut ring, 64, &mut ledger) == RxStatus::Active {
            while let Some(desc) = ring.pop() {
                // one of a hundred stays in use
                if number(pool.received(&desc)).unwrap().is_multiple_of(100) {
                    kept.push(desc);
                } else {
                    pool.free_desc(desc);
                }
            }
        }
    }
    nic.stop().unwrap();
    take(&mut nic, &mut pool, &mut ring, &mut ledger, Pool::free_desc);
    let counts = nic.counts().unwrap();
    assert!(nic.is_drained() && counts.dropped > 1_000, "{counts:?}");
    assert_eq!((counts.seen, ledger.frames_in), (4_000, 4_000));
    assert_eq!(ledger.dropped_for(DropReason::KernelRingFull), counts.dropped);
    assert_eq!(counts.read + counts.dropped, 4_000);
    assert_eq!(pool.held(), kept.len() as u64);
    for desc in kept.drain(..) {
        let n = number(pool.received(&desc)).unwrap() as usize;
        assert_eq!(pool.received(&desc), frames[n], "frame {n} is as it came");
        pool.free_desc(desc);
    }
    nic.give_back(&pool);
    assert_eq!(nic.rx.ring.taken(), 0);
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_what_was_looked_at_comes_later_with_tags_in_place_and_ends_at_the_limit() {
    use testkit::build::{eth, ip4_udp, vlan};
    let lab = Lab::new();
    let (mut pool, mut nic, mut ring, mut ledger) = stations(&lab, 8);
    let tagged = eth(0x8100, &vlan(100, 0x0800, &ip4_udp(40_000, 53, &[7; 30])));
    let sent = vec![tagged; 50];
    send("left", &sent);
    let mut to = Vec::new();
    let looked = nic
        .look(50, Duration::from_secs(5), || false, |frame| to.push(frame[..6].to_vec()))
        .unwrap();
    assert_eq!((looked, to.len()), (50, 50));
    assert!(to.iter().all(|to| *to == sent[0][..6]));
    nic.set_limit(30);
    let wire = PortId(3);
    nic.set_ingress(Ingress::new(wire, []));
    let mut got = 0;
    take(&mut nic, &mut pool, &mut ring, &mut ledger, |pool, desc| {
        assert_eq!((pool.received(&desc), desc.ingress), (&sent[0][..], wire));
        assert_eq!(desc.origlen as usize, sent[0].len());
        got += 1;
        pool.free_desc(desc);
    });
    let counts = nic.counts().unwrap();
    assert_eq!((got, ledger.frames_in, nic.past_end()), (30, 30, 20));
    assert_eq!((counts.seen, counts.tags_restored, nic.is_drained()), (50, 30, true));
    let mut other = Pool::new(PoolConfig::default()).unwrap();
    let status = nic.rx(&mut other, &mut ring, 64, &mut ledger);
    assert_eq!((status, ring.len()), (RxStatus::Done, 0), "another pool gets nothing");
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_an_interface_that_vanishes_under_a_look_is_told_and_its_frames_still_come() {
    let lab = Lab::new();
    let (mut pool, mut nic, mut ring, mut ledger) = stations(&lab, 4);
    send("left", &numbered(10, |_| 100));
    assert_eq!(nic.look(10, Duration::from_secs(5), || false, |_| {}).unwrap(), 10);
    lab.ip(&["link", "delete", "right"]);
    assert_eq!(nic.look(1, Duration::from_secs(5), || false, |_| {}).unwrap(), 0);
    assert_eq!(nic.wait(Duration::ZERO).unwrap(), Wake::Link(LinkChange::Gone));
    nic.stop().unwrap();
    let mut got = 0;
    take(&mut nic, &mut pool, &mut ring, &mut ledger, |pool, desc| {
        got += 1;
        pool.free_desc(desc);
    });
    assert_eq!((got, ledger.frames_in, nic.is_drained()), (10, 10, true));
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_pool_and_nic_may_go_in_any_order() {
    let lab = Lab::new();
    let (pool, nic, ..) = stations(&lab, 4);
    send("left", &numbered(100, |_| 100));
    drop(pool);
    let mut nic = nic;
    assert_eq!(nic.look(100, Duration::from_secs(5), || false, |_| {}).unwrap(), 100);
    drop(nic);
    let mut pool = self::pool(4);
    let nic = PacketNic::open("right", &Config::default(), &mut pool).unwrap();
    drop(nic);
    let mut slot = pool.alloc_slot().unwrap();
    pool.slot_mut(&mut slot).unwrap().fill(7);
    assert!(pool.alloc_block().is_none(), "the blocks are gone for good");
    pool.free_slot(slot);
}
