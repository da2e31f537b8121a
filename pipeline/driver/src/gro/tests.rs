use super::*;
use skb::{PoolConfig, PortId};

fn tcp(seq: u32, payload: &[u8], flags: u8) -> Vec<u8> {
    let mut f = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    f.extend([0x45, 0]);
    f.extend((40 + payload.len() as u16).to_be_bytes());
    f.extend([seq as u8, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    let sum: u32 = f[14..34].chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(c[1])).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    f[24..26].copy_from_slice(&sum.to_be_bytes());
    f.extend([0x1f, 0x90, 0x04, 0xd2]);
    f.extend(seq.to_be_bytes());
    f.extend([0, 0, 0, 9, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    f.extend(payload);
    let mut pseudo = vec![10, 0, 0, 1, 10, 0, 0, 2, 0, 6];
    pseudo.extend((20 + payload.len() as u16).to_be_bytes());
    pseudo.extend(&f[34..]);
    pseudo.resize(pseudo.len().next_multiple_of(2), 0);
    let mut sum: u32 = pseudo.chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(c[1])).sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    f[50..52].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    f
}

fn run(frames: &[Vec<u8>]) -> (Pool, Burst, Ledger) {
    let mut pool = Pool::new(PoolConfig { slots: 64, ..PoolConfig::default() }).unwrap();
    let mut burst = Burst::new();
    for frame in frames {
        let mut slot = pool.alloc_slot().unwrap();
        pool.slot_mut(&mut slot).unwrap()[..frame.len()].copy_from_slice(frame);
        let desc = pool.commit(slot, frame.len(), PortId(0)).unwrap();
        burst.push(pool.build_skb(desc));
    }
    skb::classify::classify_burst(&pool, &mut burst);
    let mut ledger = Ledger { frames_in: frames.len() as u64, ..Ledger::default() };
    merge_burst(&mut pool, &mut burst, &mut ledger);
    ledger.held = pool.held();
    ledger.check().unwrap();
    (pool, burst, ledger)
}

#[test]
fn consecutive_segments_become_one_super_frame() {
    let frames =
        [tcp(1, b"aaaa", ACK), tcp(5, b"bbbb", ACK), tcp(9, b"cc", ACK | PSH), tcp(11, b"dd", ACK)];
    let (pool, burst, ledger) = run(&frames);
    assert_eq!((burst.len(), ledger.merged), (2, 2), "PSH ends the merge");
    let first = &burst[0];
    assert_eq!((first.gso_size, pool.frags_len(first), first.origlen), (4, 6, 54 + 10));
    let mut bytes = pool.frame(first).to_vec();
    pool.frags(first).for_each(|f| bytes.extend_from_slice(f));
    assert_eq!(&bytes[54..], b"aaaabbbbcc");
    assert_eq!(u16::from_be_bytes([bytes[16], bytes[17]]), 50, "IP total length of the whole");
    assert_eq!(bytes[47], ACK | PSH);
    let sum: u32 = bytes[14..34].chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(c[1])).sum();
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "header checksum was adjusted");
}

#[test]
fn what_differs_is_not_merged() {
    let mut other_port = tcp(5, b"bbbb", ACK);
    other_port[34] = 9;
    let mut other_window = tcp(5, b"bbbb", ACK);
    other_window[48] = 1;
    let mut damaged = tcp(5, b"bbbb", ACK);
    damaged[55] ^= 1;
    let mut padded = tcp(5, b"bbbb", ACK);
    padded.extend([0; 6]);
    for second in [
        tcp(6, b"bbbb", ACK),
        tcp(5, b"bbbbb", ACK),
        tcp(5, b"bbbb", ACK | 1),
        tcp(5, b"", ACK),
        other_port,
        other_window,
        padded,
        damaged,
    ] {
        let (_, burst, ledger) = run(&[tcp(1, b"aaaa", ACK), second]);
        assert_eq!((burst.len(), ledger.merged), (2, 0));
    }
}
