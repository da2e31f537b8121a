//! Generic receive offload: in-order TCP segments of one flow in one burst become one super-frame.
//!
//! Rules follow Linux `tcp_gro_receive` and `inet_gro_receive`, narrowed to what can be undone by
//! segmentation: same ingress port, addresses, ports, VLAN tag, TTL, TOS, acknowledgement number,
//! window and TCP options; consecutive sequence numbers; ACK set and nothing else but PSH, which
//! ends a merge; every segment as long as the first except the last; no IP options, no fragments,
//! no padding behind the IP packet; at most 65,535 bytes of IP packet; a TCP checksum that is
//! right. A damaged segment is never merged, because the super-frame's `ip_summed` is `Partial`:
//! whoever finishes its checksum would make the damage look intact.
//!
//! Merged payloads do not move: they are hung on the first segment as fragments. The first
//! segment's total length is rewritten, in place in a slot of its own; if its bytes are shared or
//! lie in a read block it is copied into a slot first (counted `gro-header`).

use skb::checksum;
use skb::classify::ETH_HLEN;
use skb::{Burst, CopyReason, IpSummed, Ledger, Pool, Skb};

const TCP: u8 = 6;
const FIN_SYN_RST_URG_ECE_CWR: u8 = 0b1110_0111;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// A segment that may be merged, its headers read once.
#[derive(Debug, Clone, Copy)]
struct Segment {
    ip: usize,
    headers: usize,
    payload: usize,
    seq: u32,
    push: bool,
}

/// Merges what can be merged within the burst. Frames must be classified. Counts `merged`.
pub fn merge_burst(pool: &mut Pool, burst: &mut Burst, ledger: &mut Ledger) {
    let mut out = Burst::new();
    let mut open: Option<Open> = None;
    for skb in burst.drain(..) {
        let segment = segment(pool, &skb);
        match (open.take(), segment) {
            (Some(mut current), Some(next)) if current.takes(pool, &skb, &next) => {
                current.add(pool, skb, next, ledger);
                if next.push || next.payload < current.first.payload {
                    close(pool, current, &mut out);
                } else {
                    open = Some(current);
                }
            }
            (current, segment) => {
                if let Some(current) = current {
                    close(pool, current, &mut out);
                }
                match segment {
                    Some(first) if !first.push => open = Some(Open::new(skb, first)),
                    _ => out.push(skb),
                }
            }
        }
    }
    if let Some(current) = open {
        close(pool, current, &mut out);
    }
    *burst = out;
}

/// A super-frame being built.
#[derive(Debug)]
struct Open {
    skb: Skb,
    first: Segment,
    next_seq: u32,
    bytes: usize,
    segments: u16,
    pushed: bool,
}

impl Open {
    fn new(skb: Skb, first: Segment) -> Self {
        let next_seq = first.seq.wrapping_add(first.payload as u32);
        Self { skb, first, next_seq, bytes: first.payload, segments: 1, pushed: false }
    }

    fn takes(&self, pool: &Pool, skb: &Skb, next: &Segment) -> bool {
        let total = self.first.headers - self.first.ip + self.bytes + next.payload;
        self.skb.ingress == skb.ingress
            && self.skb.vlan_tci == skb.vlan_tci
            && self.next_seq == next.seq
            && next.headers == self.first.headers
            && next.payload <= self.first.payload
            && total <= 65_535
            && same_flow(pool.frame(&self.skb), pool.frame(skb), &self.first)
    }

    /// Hangs the payload of `skb` behind.
    fn add(&mut self, pool: &mut Pool, mut skb: Skb, next: Segment, ledger: &mut Ledger) {
        // `data` is behind the Ethernet header: bring the view to the payload, which `segment` has
        // seen lie within the frame
        let pulled = skb.pull(next.headers - ETH_HLEN);
        debug_assert!(pulled);
        pool.append_frag(&mut self.skb, skb);
        self.next_seq = self.next_seq.wrapping_add(next.payload as u32);
        self.bytes += next.payload;
        self.segments += 1;
        self.pushed |= next.push;
        ledger.merged += 1;
    }
}

/// Ends a merge: rewrites the IP total length if anything was merged, and sets PSH if the last
/// segment had it.
fn close(pool: &mut Pool, open: Open, out: &mut Burst) {
    let Open { skb, first, bytes, segments, pushed, .. } = open;
    if segments == 1 {
        out.push(skb);
        return;
    }
    let total = (first.headers - first.ip + bytes) as u16;
    let pulled = skb.pulled();
    match pool.make_writable(skb, 0, CopyReason::GroHeader) {
        Ok(mut skb) => {
            if let Some(view) = pool.view_mut(&mut skb) {
                let at = first.ip - pulled;
                if let Some(headers) = view.get_mut(at..at + 40) {
                    set_total_length(headers, total);
                    headers[33] |= if pushed { PSH } else { 0 };
                }
            }
            skb.gso_size = first.payload as u16;
            skb.origlen = (first.headers + bytes) as u32;
            skb.ip_summed = IpSummed::Partial;
            out.push(skb);
        }
        // no slot: the length in the header stays the first segment's; the bytes are all there
        Err(mut skb) => {
            skb.gso_size = first.payload as u16;
            skb.origlen = (first.headers + bytes) as u32;
            out.push(skb);
        }
    }
}

/// Sets the total length and adjusts the header checksum for it (RFC 1624 equation 3).
fn set_total_length(ip: &mut [u8], total: u16) {
    let old = u16::from_be_bytes([ip[2], ip[3]]);
    let sum = u16::from_be_bytes([ip[10], ip[11]]);
    let mut folded = u32::from(!sum) + u32::from(!old) + u32::from(total);
    folded = (folded & 0xffff) + (folded >> 16);
    folded = (folded & 0xffff) + (folded >> 16);
    ip[2..4].copy_from_slice(&total.to_be_bytes());
    ip[10..12].copy_from_slice(&(!(folded as u16)).to_be_bytes());
}

/// The frame as a segment that may be merged, or `None`.
fn segment(pool: &Pool, skb: &Skb) -> Option<Segment> {
    if skb.ip_proto != TCP || skb.transport == 0 || skb.gso_size != 0 || skb.ethertype != 0x0800 {
        return None;
    }
    let frame = pool.frame(skb);
    let (ip, tcp) = (usize::from(skb.network), usize::from(skb.transport));
    let ip_header = frame.get(ip..tcp)?;
    let tcp_header = frame.get(tcp..tcp + 20)?;
    let total = usize::from(u16::from_be_bytes([ip_header[2], ip_header[3]]));
    let fragment = u16::from_be_bytes([ip_header[6], ip_header[7]]) & 0x3fff;
    let headers = tcp + usize::from(tcp_header[12] >> 4) * 4;
    let flags = tcp_header[13];
    let plain = ip_header.len() == 20
        && fragment == 0
        && ip + total == frame.len()
        && skb.origlen as usize == frame.len()
        && flags & ACK != 0
        && flags & FIN_SYN_RST_URG_ECE_CWR == 0;
    let payload = frame.len().checked_sub(headers)?;
    if !plain || payload == 0 || headers < tcp + 20 {
        return None;
    }
    if !checksum::tcp_over_ipv4_is_good(ip_header, frame.get(tcp..)?) {
        return None;
    }
    let seq = u32::from_be_bytes([tcp_header[4], tcp_header[5], tcp_header[6], tcp_header[7]]);
    Some(Segment { ip, headers, payload, seq, push: flags & PSH != 0 })
}

/// Everything in the headers that must be equal: MACs and tags; TOS; DF; TTL; addresses; ports;
/// acknowledgement; window; options.
fn same_flow(a: &[u8], b: &[u8], at: &Segment) -> bool {
    let (ip, tcp) = (at.ip, at.ip + 20);
    let same = |from: usize, to: usize| a.get(from..to).is_some_and(|x| b.get(from..to) == Some(x));
    same(0, ip + 2)
        && same(ip + 6, ip + 10)
        && same(ip + 12, tcp + 4)
        && same(tcp + 8, tcp + 13)
        && same(tcp + 14, tcp + 16)
        && same(tcp + 20, at.headers)
}

#[cfg(test)]
mod tests;
