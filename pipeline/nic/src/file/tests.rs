use super::*;
use skb::PoolConfig;

fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_3c4d, 0x0004_0002, 0, 0, 262_144, 1] {
        file.extend(u32::to_le_bytes(word));
    }
    for (i, frame) in frames.iter().enumerate() {
        for word in [i as u32, 5, frame.len() as u32, frame.len() as u32] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

fn frame(source: u8, len: usize) -> Vec<u8> {
    let mut frame = vec![source; len];
    frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, source]);
    frame
}

fn pool(blocks: usize) -> Pool {
    let config = PoolConfig { slots: 4, blocks, block_size: BLOCK_MIN, ..PoolConfig::default() };
    Pool::new(config).unwrap()
}

/// Everything the NIC hands out, each frame freed at once, or all held to the end.
fn drain(nic: &mut FileNic, pool: &mut Pool, hold: bool) -> (Vec<(u64, PortId, Vec<u8>)>, Ledger) {
    let (mut seen, mut ledger, mut held) = (Vec::new(), Ledger::default(), Vec::new());
    let mut ring = Ring::new(64);
    for _ in 0..100_000 {
        let status = nic.rx(pool, &mut ring, 64, &mut ledger);
        while let Some(desc) = ring.pop() {
            let skb = pool.build_skb(desc);
            seen.push((skb.id, skb.ingress, pool.view(&skb).to_vec()));
            if hold { held.push(skb) } else { pool.free(skb) }
        }
        if status != RxStatus::Active {
            break;
        }
    }
    for skb in held {
        pool.free(skb);
    }
    (seen, ledger)
}

#[test]
fn frames_over_many_blocks_arrive_whole_and_in_order() {
    let frames: Vec<_> = (0..3000).map(|i| frame(1 + (i % 3) as u8, 60 + i % 1400)).collect();
    let source = Source::from_bytes("mem", pcap(&frames)).unwrap();
    let mut pool = pool(2);
    let guest = (MacAddr([2, 0, 0, 0, 0, 2]), PortId(1));
    let mut nic = FileNic::new(source, Ingress::new(PortId(0), [guest]), &pool).unwrap();
    let (seen, ledger) = drain(&mut nic, &mut pool, false);
    assert!(nic.error().is_none());
    assert_eq!(ledger.frames_in, 3000);
    for (i, (id, port, bytes)) in seen.iter().enumerate() {
        assert_eq!((*id, bytes), (i as u64 + 1, &frames[i]));
        assert_eq!(*port, if i % 3 == 1 { PortId(1) } else { PortId(0) });
    }
    assert_eq!(pool.held(), 0);
    assert_eq!(pool.free_blocks(), 2);
    let straddled = pool.copies()[CopyReason::BlockStraddle as usize];
    assert!(straddled > 0 && straddled < 20, "{straddled}");
}

#[test]
fn held_frames_stop_the_reader_and_are_never_overwritten() {
    let frames: Vec<_> = (0..3000).map(|i| frame(1, 900 + i % 7)).collect();
    let source = Source::from_bytes("mem", pcap(&frames)).unwrap();
    let mut pool = pool(2);
    let mut nic = FileNic::new(source, Ingress::default(), &pool).unwrap();
    let (seen, _) = drain(&mut nic, &mut pool, true);
    assert!(seen.len() < 3000, "two blocks hold no more");
    let (rest, _) = drain(&mut nic, &mut pool, false);
    assert_eq!(seen.len() + rest.len(), 3000);
    for (i, (_, _, bytes)) in seen.iter().chain(&rest).enumerate() {
        assert_eq!(bytes, &frames[i]);
    }
}

#[test]
fn a_cut_file_gives_every_whole_frame_and_one_error() {
    let frames: Vec<_> = (0..10).map(|_| frame(1, 100)).collect();
    let mut bytes = pcap(&frames);
    bytes.truncate(bytes.len() - 30);
    let source = Source::from_bytes("mem", bytes).unwrap();
    let mut pool = pool(1);
    let mut nic = FileNic::new(source, Ingress::default(), &pool).unwrap();
    let (seen, _) = drain(&mut nic, &mut pool, false);
    assert_eq!(seen.len(), 9);
    let text = nic.error().unwrap().to_string();
    assert!(text.contains("byte 1068"), "{text}");
    assert_eq!((pool.held(), pool.free_blocks()), (0, 1));
}

#[test]
fn a_pool_without_blocks_is_refused() {
    let pool = Pool::new(PoolConfig::default()).unwrap();
    let source = Source::from_bytes("mem", pcap(&[])).unwrap();
    assert!(FileNic::new(source, Ingress::default(), &pool).is_err());
}
