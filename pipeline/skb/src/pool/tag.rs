//! VLAN tags pushed, popped and rewritten in place.
//!
//! Ours, because nobody's views do it: smoltcp's wire types know no 802.1Q and etherparse's
//! slices are read-only. The tag stands behind the two MAC addresses (IEEE 802.1Q 9.3), so the
//! twelve bytes in front of it move by four and the rest of the frame stays where it is.

use super::Pool;
use crate::{CopyReason, Skb};

/// Bytes of a tag: TPID and TCI.
const TAG_LEN: u32 = 4;
/// Bytes of the two MAC addresses in front of it.
const MACS_LEN: usize = 12;
/// Bytes of an untagged header.
const ETH_LEN: u32 = 14;

impl Pool {
    /// Puts a tag behind the MAC addresses: `tpid` and `tci` in host order.
    ///
    /// In place when the frame is the only one in a slot and has four bytes of headroom; else
    /// on a copy, counted as [`CopyReason::Headroom`] or [`CopyReason::CopyOnWrite`]. Gives the
    /// skb back when no slot is free, the frame is longer than a slot or shorter than 14 bytes.
    pub fn push_tag(&mut self, skb: Skb, tpid: u16, tci: u16) -> Result<Skb, Skb> {
        if self.frame(&skb).len() < ETH_LEN as usize {
            return Err(skb);
        }
        let pulled = skb.pulled() as u32;
        let mut skb = self.writable_frame(skb, TAG_LEN)?;
        let mac = skb.mac;
        let start = mac as usize;
        self.mem.copy_within(start..start + MACS_LEN, start - TAG_LEN as usize);
        let tag = self.mem.bytes_mut(start + 8..start + 12);
        tag[..2].copy_from_slice(&tpid.to_be_bytes());
        tag[2..].copy_from_slice(&tci.to_be_bytes());
        skb.mac -= TAG_LEN;
        if pulled == 0 {
            skb.data = mac - TAG_LEN;
        }
        skb.origlen += TAG_LEN;
        skb.vlan_tci = tci;
        for offset in [&mut skb.network, &mut skb.transport] {
            if *offset != 0 {
                *offset = offset.saturating_add(TAG_LEN as u16);
            }
        }
        Ok(skb)
    }

    /// Takes the four bytes behind the MAC addresses out, whatever they are.
    ///
    /// A frame that was padded to 60 bytes *with* its tag has 56 afterwards: short frames are
    /// padded again where they meet a real wire, not here. Gives the skb back when no slot is
    /// free, the frame is longer than a slot or shorter than 18 bytes.
    pub fn pop_tag(&mut self, skb: Skb) -> Result<Skb, Skb> {
        if self.frame(&skb).len() < (ETH_LEN + TAG_LEN) as usize {
            return Err(skb);
        }
        let pulled = skb.pulled() as u32;
        let mut skb = self.writable_frame(skb, 0)?;
        let start = skb.mac as usize;
        self.mem.copy_within(start..start + MACS_LEN, start + TAG_LEN as usize);
        skb.mac += TAG_LEN;
        let pulled = if pulled <= ETH_LEN { pulled } else { (pulled - TAG_LEN).max(ETH_LEN) };
        skb.data = skb.mac + pulled;
        skb.origlen = skb.origlen.saturating_sub(TAG_LEN);
        skb.vlan_tci = 0;
        for offset in [&mut skb.network, &mut skb.transport] {
            if *offset >= (ETH_LEN + TAG_LEN) as u16 {
                *offset -= TAG_LEN as u16;
            }
        }
        Ok(skb)
    }

    /// Writes another TPID and TCI over the four bytes behind the MAC addresses.
    ///
    /// Gives the skb back when no slot is free, the frame is longer than a slot or shorter than
    /// 18 bytes.
    pub fn rewrite_tag(&mut self, skb: Skb, tpid: u16, tci: u16) -> Result<Skb, Skb> {
        if self.frame(&skb).len() < (ETH_LEN + TAG_LEN) as usize {
            return Err(skb);
        }
        let mut skb = self.writable_frame(skb, 0)?;
        let at = skb.mac as usize + MACS_LEN;
        let tag = self.mem.bytes_mut(at..at + 4);
        tag[..2].copy_from_slice(&tpid.to_be_bytes());
        tag[2..].copy_from_slice(&tci.to_be_bytes());
        skb.vlan_tci = tci;
        Ok(skb)
    }

    /// [`make_writable`](Self::make_writable) with `room` bytes in front of the MAC header.
    fn writable_frame(&mut self, skb: Skb, room: u32) -> Result<Skb, Skb> {
        let owned = self.refs(skb.buf) == 1 && self.is_slot(skb.buf);
        let reason = if owned { CopyReason::Headroom } else { CopyReason::CopyOnWrite };
        let headroom = room as usize + skb.pulled();
        self.make_writable(skb, headroom, reason)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Block, CopyReason, Pool, PoolConfig, PortId, Skb};

    fn pool(slots: usize) -> Pool {
        let config =
            PoolConfig { slots, slot_frame_max: 256, headroom: 64, blocks: 1, block_size: 4096 };
        Pool::new(config).unwrap()
    }

    fn frame() -> Vec<u8> {
        let mut frame: Vec<u8> = (0..60).collect();
        frame[12..14].copy_from_slice(&[0x08, 0]);
        frame
    }

    fn tagged() -> Vec<u8> {
        let mut frame = frame();
        frame.splice(12..12, [0x81, 0, 0x60, 5]);
        frame
    }

    fn skb(pool: &mut Pool, frame: &[u8]) -> Skb {
        let mut slot = pool.alloc_slot().unwrap();
        pool.slot_mut(&mut slot).unwrap()[..frame.len()].copy_from_slice(frame);
        let desc = pool.commit(slot, frame.len(), PortId(0)).unwrap();
        let mut skb = pool.build_skb(desc);
        skb.network = 14;
        skb.transport = 34;
        skb
    }

    #[test]
    fn push_and_pop_in_place_move_twelve_bytes_and_copy_nothing() {
        for pulled in [0, 14] {
            let mut pool = pool(1);
            let mut skb = skb(&mut pool, &frame());
            assert!(skb.pull(pulled));
            let before = pool.view(&skb).to_vec();
            let skb = pool.push_tag(skb, 0x8100, 0x6005).unwrap();
            assert_eq!(pool.frame(&skb), tagged());
            assert_eq!(
                (skb.network, skb.transport, skb.origlen, skb.vlan_tci),
                (18, 38, 64, 0x6005)
            );
            assert_eq!(skb.pulled(), if pulled == 0 { 0 } else { 18 });
            let skb = pool.rewrite_tag(skb, 0x88a8, 7).unwrap();
            assert_eq!(pool.frame(&skb)[12..16], [0x88, 0xa8, 0, 7]);
            let skb = pool.pop_tag(skb).unwrap();
            assert_eq!(pool.frame(&skb), frame());
            assert_eq!(pool.view(&skb), before);
            assert_eq!((skb.network, skb.transport, skb.origlen, skb.vlan_tci), (14, 34, 60, 0));
            assert_eq!(pool.copies().iter().sum::<u64>(), 0);
            pool.free(skb);
        }
    }

    #[test]
    fn shared_bytes_are_copied_and_the_other_reference_sees_no_change() {
        let mut pool = pool(2);
        let one = skb(&mut pool, &tagged());
        let two = pool.share(&one);
        let two = pool.pop_tag(two).unwrap();
        assert_eq!((pool.frame(&one), pool.frame(&two)), (&tagged()[..], &frame()[..]));
        assert_eq!(pool.copies()[CopyReason::CopyOnWrite as usize], 1);
        let three = pool.share(&one);
        let three = pool.pop_tag(three).unwrap_err();
        assert_eq!(pool.frame(&three), tagged(), "no slot left: given back as it was");
        for skb in [one, two, three] {
            pool.free(skb);
        }
        assert_eq!((pool.held(), pool.free_slots()), (0, 2));
    }

    #[test]
    fn no_headroom_and_block_frames_take_a_slot() {
        let mut pool = pool(4);
        let mut full = skb(&mut pool, &frame());
        for n in 0..16 {
            full = pool.push_tag(full, 0x88a8, n).unwrap();
        }
        assert_eq!(pool.copies()[CopyReason::Headroom as usize], 0);
        let full = pool.push_tag(full, 0x88a8, 16).unwrap();
        assert_eq!(pool.copies()[CopyReason::Headroom as usize], 1);
        assert_eq!(pool.frame(&full).len(), 60 + 17 * 4);

        let mut block: Block = pool.alloc_block().unwrap();
        pool.block_mut(&mut block).unwrap()[..64].copy_from_slice(&tagged());
        let desc = pool.lend_block(&block, 0, 64, PortId(0)).unwrap();
        let read_only = pool.build_skb(desc);
        let popped = pool.pop_tag(read_only).unwrap();
        assert_eq!(pool.frame(&popped), frame());
        assert_eq!(pool.copies()[CopyReason::CopyOnWrite as usize], 1);
        assert_eq!(&pool.block(&block)[..64], tagged());
        for skb in [full, popped] {
            pool.free(skb);
        }
        pool.free_block(block);
        assert_eq!((pool.held(), pool.free_slots(), pool.free_blocks()), (0, 4, 1));
    }

    #[test]
    fn frames_too_short_for_a_tag_are_given_back() {
        let mut pool = pool(2);
        let short = skb(&mut pool, &[0; 13]);
        let short = pool.push_tag(short, 0x8100, 1).unwrap_err();
        let short = pool.pop_tag(short).unwrap_err();
        let short = pool.rewrite_tag(short, 0x8100, 1).unwrap_err();
        pool.free(short);
        let cut = skb(&mut pool, &tagged()[..17]);
        let cut = pool.pop_tag(cut).unwrap_err();
        assert_eq!(pool.frame(&cut).len(), 17);
        pool.free(cut);
    }
}
