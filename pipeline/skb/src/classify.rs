//! The skb stage: what `eth_type_trans` and the flow dissector do to a frame in Linux.

use crate::locate::{L3, is_plain_ipv4, locate_ethernet};
use crate::{LinkType, MacAddr, PktType, Pool, Skb};

/// Length of an untagged Ethernet header.
pub const ETH_HLEN: usize = 14;

/// Classifies every frame of a burst; see [`classify`].
#[inline(never)]
pub fn classify_burst(pool: &Pool, burst: &mut [Skb]) {
    for skb in burst {
        classify(pool, skb);
    }
}

/// Records where the headers lie and whom the frame is for, and pulls the 14 bytes of the Ethernet
/// header, so that `data` is at the network header (Linux `eth_type_trans`, `skb_pull_inline`).
///
/// A record that is not Ethernet, or is shorter than its header, is left as it is.
#[inline(always)]
pub fn classify(pool: &Pool, skb: &mut Skb) {
    let frame = pool.view(skb);
    if skb.linktype != LinkType::ETHERNET {
        return;
    }
    // most frames: the offsets are constants
    if let Some(head) = frame.first_chunk()
        && is_plain_ipv4(head)
        && head[0] & 1 == 0
    {
        skb.ethertype = 0x0800;
        skb.vlan_tci = 0;
        skb.network = ETH_HLEN as u16;
        skb.transport = 34;
        skb.ip_proto = head[23];
        skb.pkt_type = PktType::OtherHost;
        skb.data += ETH_HLEN as u32;
        return;
    }
    classify_any(pool, skb);
}

#[inline(never)]
fn classify_any(pool: &Pool, skb: &mut Skb) {
    let frame = pool.view(skb);
    if frame.len() < ETH_HLEN {
        return;
    }
    let found = locate_ethernet(frame);
    skb.ethertype = if found.kind == L3::Llc { 0 } else { found.ethertype };
    skb.vlan_tci = found.tci;
    skb.network = found.l3;
    skb.transport = found.l4;
    skb.ip_proto = found.ip_proto;
    skb.pkt_type = match frame[0] & 1 {
        0 => PktType::OtherHost,
        _ if MacAddr::from_slice(frame).is_broadcast() => PktType::Broadcast,
        _ => PktType::Multicast,
    };
    skb.data += ETH_HLEN as u32;
}

/// Moves `data` back to the MAC header before the frame leaves by a port (Linux
/// `br_dev_queue_push_xmit`). The bytes never moved.
#[inline]
pub fn push_mac_header(skb: &mut Skb) {
    skb.data = skb.mac;
}
