use crate::{HostConfig, SmolHost};
use skb::{DropReason, IpSummed, Ledger, MacAddr, Pool, PoolConfig, PortId, Sink, Skb};
use smoltcp::wire::{EthernetFrame, Ipv4Packet, Ipv6Packet, TcpPacket};

const PAYLOAD: usize = 2500;
const SIZE: u16 = 1000;

/// A TCP super-frame with FIN, PSH, ACK and CWR; lengths as if it fitted, no checksums.
fn super_frame(v6: bool) -> (Vec<u8>, usize) {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    if v6 {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 6, 64]);
        frame.extend([0xfd; 32]);
    } else {
        frame.extend([8, 0, 0x45, 0, 0, 0, 0xff, 0xff, 0x40, 0, 64, 6, 0, 0]);
        frame.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    }
    frame.extend([0, 80, 0, 81, 0xff, 0xff, 0xff, 0, 0, 0, 0, 9, 0x80, 0b1001_1001, 1, 0, 0, 0]);
    frame.extend([0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]); // urgent pointer, 12 bytes of NOPs
    let headers = frame.len();
    frame.extend((0..PAYLOAD).map(|i| (i % 253) as u8));
    (frame, headers)
}

fn pool() -> Pool {
    let config = PoolConfig { slots: 16, slot_frame_max: 4096, ..PoolConfig::default() };
    Pool::new(config).unwrap()
}

fn host(pool: &Pool, buffers: usize) -> SmolHost {
    let mac = MacAddr([2, 0, 0, 0, 0, 2]);
    let mut config = HostConfig::new(PortId(1), mac, "10.0.0.2/24".parse().unwrap());
    config.rx_buffers = buffers;
    SmolHost::new(config, pool).unwrap()
}

fn skb(pool: &mut Pool, bytes: &[u8], gso_size: u16) -> Skb {
    let mut slot = pool.alloc_slot().unwrap();
    pool.slot_mut(&mut slot).unwrap()[..bytes.len()].copy_from_slice(bytes);
    let mut desc = pool.commit(slot, bytes.len(), PortId(0)).unwrap();
    desc.gso_size = gso_size;
    desc.ip_summed = IpSummed::Partial;
    pool.build_skb(desc)
}

/// The same frame as GRO leaves it: the first segment linear, the rest in fragments.
fn in_pieces(pool: &mut Pool, frame: &[u8], cuts: [usize; 2]) -> Skb {
    let mut first = skb(pool, &frame[..cuts[0]], SIZE);
    for piece in [&frame[cuts[0]..cuts[1]], &frame[cuts[1]..]] {
        let other = skb(pool, piece, 0);
        pool.append_frag(&mut first, other);
    }
    first
}

fn drain(host: &mut SmolHost) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| {
        let frame = host.rx.front()?.to_vec();
        host.rx.pop();
        Some(frame)
    })
    .collect()
}

#[test]
fn a_super_frame_is_cut_into_the_segments_it_stands_for() {
    for v6 in [false, true] {
        let mut pool = pool();
        let mut host = host(&pool, 8);
        let mut ledger = Ledger { frames_in: 2, ..Ledger::default() };
        let (frame, headers) = super_frame(v6);
        let whole = skb(&mut pool, &frame, SIZE);
        host.deliver(&mut pool, whole, &mut ledger);
        let segments = drain(&mut host);
        let pieces = in_pieces(&mut pool, &frame, [headers + 1000, headers + 1700]);
        host.deliver(&mut pool, pieces, &mut ledger);
        assert_eq!(drain(&mut host), segments, "how the bytes lie makes no difference");

        assert_eq!(
            segments.iter().map(Vec::len).collect::<Vec<_>>(),
            [headers + 1000, headers + 1000, headers + 500]
        );
        let mut joined = Vec::new();
        for (index, segment) in segments.iter().enumerate() {
            let eth = EthernetFrame::new_checked(&segment[..]).unwrap();
            let (source, destination, tcp) = if v6 {
                let ip = Ipv6Packet::new_checked(eth.payload()).unwrap();
                assert_eq!(ip.total_len(), eth.payload().len());
                (ip.src_addr().into(), ip.dst_addr().into(), ip.payload())
            } else {
                let ip = Ipv4Packet::new_checked(eth.payload()).unwrap();
                assert!(ip.verify_checksum() && ip.total_len() as usize == eth.payload().len());
                assert_eq!(ip.ident(), 0xffff_u16.wrapping_add(index as u16));
                (ip.src_addr().into(), ip.dst_addr().into(), ip.payload())
            };
            let tcp = TcpPacket::new_checked(tcp).unwrap();
            assert!(tcp.verify_checksum(&source, &destination));
            let seq = 0xffff_ff00_u32.wrapping_add(1000 * index as u32);
            assert_eq!(tcp.seq_number().0 as u32, seq);
            assert_eq!((tcp.fin(), tcp.psh(), tcp.cwr()), (index == 2, index == 2, index == 0));
            joined.extend_from_slice(tcp.payload());
        }
        assert_eq!(joined, frame[headers..]);
        ledger.held = pool.held();
        ledger.check().unwrap();
        assert_eq!((ledger.delivered, ledger.split), (6, 4));
        assert_eq!(pool.free_slots(), 16);
    }
}

#[test]
fn the_last_credit_is_enough_for_a_super_frame() {
    let mut pool = pool();
    let mut host = host(&pool, 1);
    let mut ledger = Ledger { frames_in: 2, ..Ledger::default() };
    let (frame, _) = super_frame(false);
    assert_eq!(host.credit(), 1);
    for _ in 0..2 {
        let skb = skb(&mut pool, &frame, SIZE);
        host.deliver(&mut pool, skb, &mut ledger);
        assert_eq!(host.credit(), 0);
    }
    ledger.check().unwrap();
    assert_eq!((ledger.delivered, ledger.split), (3, 2));
    assert_eq!(ledger.dropped_for(DropReason::GuestFull), 1);
}

#[test]
fn segments_beyond_receive_memory_are_counted_one_by_one() {
    let mut pool = pool();
    let mut host = host(&pool, 1);
    let mut ledger = Ledger { frames_in: 1, ..Ledger::default() };
    let (frame, _) = super_frame(false);
    let skb = skb(&mut pool, &frame, 10);
    host.deliver(&mut pool, skb, &mut ledger);
    ledger.check().unwrap();
    assert_eq!(ledger.delivered + ledger.dropped_for(DropReason::GuestFull), 250);
    assert_eq!((ledger.split, ledger.delivered), (249, 65), "one buffer and the reserve of 64");
    assert_eq!(host.stats().rx_full, 185);
}

#[test]
fn where_the_stack_does_not_look_a_damaged_segment_is_dropped_and_counted() {
    for v6 in [false, true] {
        let mut pool = pool();
        let mac = MacAddr([2, 0, 0, 0, 0, 2]);
        let mut config = HostConfig::new(PortId(1), mac, "10.0.0.2/24".parse().unwrap());
        config.checksum_offload = true;
        let mut host = SmolHost::new(config, &pool).unwrap();
        let mut ledger = Ledger { frames_in: 5, ..Ledger::default() };
        let (mut frame, headers) = super_frame(v6);
        frame.truncate(headers + 1000);
        assert!(
            crate::segment::Headers::find(&frame).unwrap().make_segment(&mut frame, 0, 0, true)
        );
        let mut damaged = frame.clone();
        damaged[headers + 500] ^= 4;
        let states = [IpSummed::None, IpSummed::Unnecessary, IpSummed::Partial, IpSummed::None];
        for (bytes, state) in [&frame, &damaged, &damaged, &damaged].into_iter().zip(states) {
            let mut skb = skb(&mut pool, bytes, 0);
            skb.ip_summed = state;
            host.deliver(&mut pool, skb, &mut ledger);
        }
        // not a TCP segment: the stack judges it
        let mut other = skb(&mut pool, &[0; 60], 0);
        other.ip_summed = IpSummed::None;
        host.deliver(&mut pool, other, &mut ledger);
        let expected = [&frame[..], &damaged, &damaged, &[0; 60]];
        assert_eq!(drain(&mut host), expected);
        assert_eq!((ledger.delivered, ledger.dropped_for(DropReason::BadChecksum)), (4, 1));
        assert_eq!(host.stats().rx_damaged, 1);
        ledger.held = pool.held();
        ledger.check().unwrap();
    }
}
