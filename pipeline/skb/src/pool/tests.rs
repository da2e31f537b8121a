use super::*;
use proptest::prelude::*;

fn pool() -> Pool {
    let config =
        PoolConfig { slots: 4, slot_frame_max: 256, headroom: 64, blocks: 2, block_size: 1024 };
    Pool::new(config).unwrap()
}

fn skb(pool: &mut Pool, bytes: &[u8]) -> Skb {
    let mut slot = pool.alloc_slot().unwrap();
    pool.slot_mut(&mut slot).unwrap()[..bytes.len()].copy_from_slice(bytes);
    let desc = pool.commit(slot, bytes.len(), PortId(0)).unwrap();
    pool.build_skb(desc)
}

#[test]
fn geometry_follows_push_pull_trim() {
    let mut pool = pool();
    let mut skb = skb(&mut pool, &[7; 100]);
    assert_eq!(skb.geometry().0, 64);
    assert_eq!(skb.geometry().1, 164);
    assert!(skb.pull(14) && skb.pulled() == 14 && pool.view(&skb).len() == 86);
    assert_eq!(pool.frame(&skb).len(), 100, "pulling moves the view, not the frame");
    skb.push(14).unwrap();
    skb.push(64).unwrap();
    assert_eq!(skb.push(1).unwrap_err().to_string(), "1 bytes of headroom needed, 0 there");
    assert!(!skb.pull(1000));
    skb.trim(10);
    assert_eq!(skb.len(), 10);
    pool.free(skb);
    assert_eq!((pool.held(), pool.free_slots()), (0, 4));
}

#[test]
fn shared_bytes_are_not_writable_and_copying_is_counted() {
    let mut pool = pool();
    let mut a = skb(&mut pool, b"shared bytes");
    assert!(pool.view_mut(&mut a).is_some());
    let mut b = pool.share(&a);
    assert_eq!(pool.refs(a.buf()), 2);
    assert!(pool.view_mut(&mut a).is_none() && pool.view_mut(&mut b).is_none());
    let mut b = pool.make_writable(b, 0, CopyReason::CopyOnWrite).unwrap();
    assert_eq!(pool.copies()[CopyReason::CopyOnWrite as usize], 1);
    pool.view_mut(&mut b).unwrap()[0] = b'S';
    assert_eq!((pool.view(&a), pool.view(&b)), (&b"shared bytes"[..], &b"Shared bytes"[..]));
    let a = pool.make_writable(a, 0, CopyReason::CopyOnWrite).unwrap();
    assert_eq!(pool.copies()[CopyReason::CopyOnWrite as usize], 1, "already its own");
    pool.free(a);
    pool.free(b);
    assert_eq!((pool.held(), pool.free_slots()), (0, 4));
}

#[test]
fn frames_in_a_block_stay_where_the_read_put_them() {
    let mut pool = pool();
    let mut block = pool.alloc_block().unwrap();
    pool.block_mut(&mut block).unwrap()[..4].copy_from_slice(b"abcd");
    let desc = pool.lend_block(&block, 1, 3, PortId(0)).unwrap();
    let frame = pool.build_skb(desc);
    assert!(pool.block_mut(&mut block).is_none(), "a frame lies in it");
    assert!(pool.lend_block(&block, 1020, 5, PortId(0)).is_none());
    assert!(pool.lend_block(&block, usize::MAX, 5, PortId(0)).is_none());
    pool.free_block(block);
    assert_eq!(pool.free_blocks(), 1);
    assert_eq!((pool.view(&frame), frame.headroom(), frame.tailroom()), (&b"bcd"[..], 0, 0));
    let frame = pool.make_writable(frame, 4, CopyReason::Headroom).unwrap();
    assert_eq!(pool.free_blocks(), 2, "the copy let the block go");
    assert!(frame.headroom() >= 4);
    pool.free(frame);
    assert_eq!(pool.held(), 0);
}

#[test]
fn fragments_keep_their_buffers_alive() {
    let mut pool = pool();
    let mut first = skb(&mut pool, b"one");
    let second = skb(&mut pool, b"two");
    let third = skb(&mut pool, b"three");
    pool.append_frag(&mut first, second);
    pool.append_frag(&mut first, third);
    assert_eq!((pool.held(), pool.frags_len(&first), pool.free_slots()), (1, 8, 1));
    let copy = pool.share(&first);
    pool.free(first);
    assert_eq!(pool.frags(&copy).collect::<Vec<_>>(), [&b"two"[..], b"three"]);
    pool.free(copy);
    assert_eq!((pool.held(), pool.free_slots()), (0, 4));
}

#[test]
fn a_pool_over_4_gib_is_refused() {
    let config = PoolConfig { slots: 1 << 22, ..PoolConfig::default() };
    assert!(matches!(Pool::new(config), Err(PoolError::TooLarge { .. })));
}

#[derive(Debug, Clone)]
enum Op {
    Make(u8),
    Share(usize),
    Free(usize),
    Write(usize),
    Append(usize, usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        any::<u8>().prop_map(Op::Make),
        any::<usize>().prop_map(Op::Share),
        any::<usize>().prop_map(Op::Free),
        any::<usize>().prop_map(Op::Write),
        any::<(usize, usize)>().prop_map(|(a, b)| Op::Append(a, b)),
    ];
    proptest::collection::vec(op, 0..200)
}

proptest! {
    /// Whatever is done, every live skb still shows the bytes it was made with, references are
    /// never lost, and in the end every slot is free again.
    #[test]
    fn bytes_and_references_survive_any_order(ops in ops()) {
        let mut pool = pool();
        let mut live: Vec<(Skb, Vec<u8>)> = Vec::new();
        for op in ops {
            match op {
                Op::Make(byte) if pool.free_slots() > 0 => {
                    let bytes = vec![byte; 1 + byte as usize % 64];
                    live.push((skb(&mut pool, &bytes), bytes));
                }
                Op::Share(i) if !live.is_empty() => {
                    let (skb, bytes) = &live[i % live.len()];
                    let (skb, bytes) = (pool.share(skb), bytes.clone());
                    live.push((skb, bytes));
                }
                Op::Free(i) if !live.is_empty() => {
                    let (skb, _) = live.swap_remove(i % live.len());
                    pool.free(skb);
                }
                Op::Write(i) if !live.is_empty() => {
                    let (skb, mut bytes) = live.swap_remove(i % live.len());
                    match pool.make_writable(skb, 0, CopyReason::CopyOnWrite) {
                        Ok(mut skb) => {
                            pool.view_mut(&mut skb).unwrap()[0] ^= 0xff;
                            bytes[0] ^= 0xff;
                            live.push((skb, bytes));
                        }
                        Err(skb) => live.push((skb, bytes)),
                    }
                }
                Op::Append(i, j) if live.len() >= 2 => {
                    let (mut a, mut bytes) = live.swap_remove(i % live.len());
                    let (b, more) = live.swap_remove(j % live.len());
                    pool.append_frag(&mut a, b);
                    bytes.extend(more);
                    live.push((a, bytes));
                }
                _ => {}
            }
            prop_assert_eq!(pool.held(), live.len() as u64);
            for (skb, bytes) in &live {
                let mut seen = pool.view(skb).to_vec();
                pool.frags(skb).for_each(|f| seen.extend_from_slice(f));
                prop_assert_eq!(&seen, bytes);
            }
        }
        for (skb, _) in live {
            pool.free(skb);
        }
        prop_assert_eq!((pool.held(), pool.free_slots()), (0, 4));
    }
}

#[test]
fn an_area_is_all_blocks_for_good_and_outlives_the_pool() {
    let config = PoolConfig { slots: 3, blocks: 2, block_size: 4096, ..PoolConfig::default() };
    let mut pool = Pool::new(config).unwrap();
    let block = pool.alloc_block().unwrap();
    assert!(pool.alloc_area().is_none(), "somebody has a block");
    pool.free_block(block);
    let area = pool.alloc_area().unwrap();
    assert_eq!((area.blocks(), area.block_size(), pool.free_blocks()), (2, 4096, 0));
    assert_eq!(area.start().as_ptr() as usize % 4096, 0, "at a page");
    assert!(pool.alloc_block().is_none() && pool.alloc_area().is_none());
    let other = Pool::new(config).unwrap();
    assert!(area.is_of(&pool) && !area.is_of(&other));
    assert!(area.lend(&mut pool, 1, 4000, 97, PortId(0)).is_none(), "beyond the block");
    assert!(area.lend(&mut pool, 2, 0, 1, PortId(0)).is_none(), "no such block");
    let desc = area.lend(&mut pool, 1, 100, 60, PortId(4)).unwrap();
    assert_eq!((area.lent(&pool, 0), area.lent(&pool, 1), pool.held()), (0, 1, 1));
    assert_eq!((pool.received(&desc).len(), pool.is_slot(desc.buf())), (60, false));
    let first = pool.received(&desc).as_ptr() as usize;
    assert_eq!(first, area.start().as_ptr() as usize + 4096 + 100, "where it lies");
    let skb = pool.build_skb(desc);
    let skb = pool.make_writable(skb, 0, CopyReason::CopyOnWrite).unwrap();
    assert!(pool.is_slot(skb.buf()) && area.lent(&pool, 1) == 0, "a copy in a slot");
    pool.free(skb);
    assert_eq!((pool.held(), pool.free_blocks()), (0, 0), "the blocks stay the area's");
    drop(pool);
    assert_eq!(area.start().as_ptr() as usize % 4096, 0);
}
