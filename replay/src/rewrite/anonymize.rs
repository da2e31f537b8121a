//! Whose traffic it was is taken out of a frame; what kind of traffic it was stays.
//!
//! With one key the same address always becomes the same other one, so flows, subnets and tables
//! keep their shape. What is not understood is zeroed, never let through:
//!
//! * A MAC address becomes a keyed, locally administered one (IEEE 802-2014 8.2.2). Group addresses
//!   stay, but for the part of an IPv6 solicited-node address that comes from a station's.
//! * IPv4 and IPv6 addresses are changed with prefixes preserved (Crypto-PAn: Xu, Fan, Ammar and
//!   Moon, ICNP 2002). Private, link-local and shared ranges keep their prefix, so that nothing
//!   private becomes public or the other way around. Loopback, multicast, broadcast and 0 stay.
//! * Ports, TCP flags and options, sequence numbers, lengths, times and VLAN tags stay.
//! * IPv4 options become no-operations (RFC 791 3.1), bodies of IPv6 extension headers zeros;
//!   fragment headers stay.
//! * In ARP and in router and neighbour messages of ICMPv6 addresses become others as above;
//!   options keep their kind and length. In IGMP the group stays, records are zeroed.
//! * Everything after the transport header, other ICMP and other protocols are zeroed.
//! * Checksums are made anew for what is there now. They are 0 in fragments, where a sum covers
//!   what is elsewhere.
//!
//! Ports, sizes and times of a conversation can still tell someone who knows it. A file made so is
//! pseudonymous, not anonymous in the sense of recital 26 of the GDPR.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aes::Aes128;
use aes::cipher::{BlockEncrypt, KeyInit};
use skb::LinkType;
use skb::locate::{L3, is_vlan_tpid, locate};

use super::sum::{self, ICMP, ICMPV6, IGMP, Ip, Missing, SCTP, TCP, UDP};

/// Addresses remembered, which saves their encryption; then forgotten all at once.
const KNOWN_MAX: usize = 1 << 16;
/// An IPv4 option that does nothing.
const NOP: u8 = 1;

/// Replaces addresses and zeroes contents; see the module text.
#[derive(Clone)]
pub struct Anonymizer {
    aes: Aes128,
    pad: [u8; 16],
    known: HashMap<IpAddr, IpAddr>,
}

impl std::fmt::Debug for Anonymizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // the key is nobody's business
        f.debug_struct("Anonymizer").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

impl Anonymizer {
    /// The same key gives the same addresses.
    pub fn new(key: &[u8; 32]) -> Self {
        let (mut first, mut second) = ([0; 16], [0; 16]);
        first.copy_from_slice(&key[..16]);
        second.copy_from_slice(&key[16..]);
        let aes = Aes128::new(&first.into());
        // as Crypto-PAn has it: the second half, encrypted, is what prefixes are filled up with
        let mut pad = second.into();
        aes.encrypt_block(&mut pad);
        Self { aes, pad: pad.into(), known: HashMap::new() }
    }

    /// Anonymizes a frame in place. Its length stays.
    pub fn frame(&mut self, linktype: LinkType, frame: &mut [u8]) {
        let located = locate(linktype, frame);
        let mut header = 0;
        if linktype == LinkType::ETHERNET {
            header = self.ethernet(frame);
        }
        match located.kind {
            L3::Arp => self.arp(frame, usize::from(located.l3)),
            L3::Ipv4 | L3::Ipv6 => match Ip::of(&located, frame) {
                Some(ip) => self.ip(frame, &ip),
                None => wipe(frame, header..),
            },
            // raw IP that is not, and other link types, from their first byte on
            L3::None | L3::Other | L3::Llc => wipe(frame, header..),
        }
    }

    /// The header and its tags: where they end.
    fn ethernet(&self, frame: &mut [u8]) -> usize {
        for at in [0, 6] {
            let Some(place) = frame.get_mut(at..at + 6) else {
                wipe(frame, 0..);
                return 0;
            };
            let mut mac = [0; 6];
            mac.copy_from_slice(place);
            place.copy_from_slice(&self.mac(mac));
        }
        let mut at = 12;
        while let Some(&[a, b]) = frame.get(at..at + 2).and_then(<[u8]>::first_chunk::<2>) {
            if !is_vlan_tpid(u16::from_be_bytes([a, b])) {
                break;
            }
            at += 4;
        }
        at + 2
    }

    /// IPv4 over Ethernet (RFC 826); of any other kind everything after the type is zeroed.
    fn arp(&mut self, frame: &mut [u8], at: usize) {
        let Some(packet) = frame.get_mut(at..) else { return };
        if packet.len() < 28 || packet[..6] != [0, 1, 8, 0, 6, 4] {
            wipe(packet, 0..);
            return;
        }
        for at in [8, 18] {
            let mut mac = [0; 6];
            mac.copy_from_slice(&packet[at..at + 6]);
            packet[at..at + 6].copy_from_slice(&self.mac(mac));
            let mut ip = [0; 4];
            ip.copy_from_slice(&packet[at + 6..at + 10]);
            let ip = self.ipv4(Ipv4Addr::from(ip));
            packet[at + 6..at + 10].copy_from_slice(&ip.octets());
        }
        wipe(packet, 28..);
    }

    fn ip(&mut self, frame: &mut [u8], ip: &Ip) {
        let (addresses, size) = ip.addresses();
        if frame.len() < addresses + 2 * size {
            wipe(frame, ip.at..);
            return;
        }
        for at in [addresses, addresses + size] {
            self.address(frame, at, size);
        }
        let end = if ip.v4 {
            let end = (ip.at + usize::from(frame[ip.at] & 0xf) * 4).min(frame.len());
            frame[ip.at + 20..end].fill(NOP);
            end
        } else {
            extensions(frame, ip)
        };
        let Some(l4) = ip.l4.filter(|l4| *l4 >= end) else {
            wipe(frame, end..);
            sum::make(frame, &Ip { l4: None, ..*ip }, Missing::Zeros);
            return;
        };
        let kept = match (ip.proto, frame.get(l4), frame.get(l4 + 12)) {
            (TCP, _, Some(offset)) => usize::from(offset >> 4) * 4,
            (UDP, ..) => 8,
            (SCTP, ..) => 12,
            (ICMPV6, Some(133..=136), _) => self.neighbour(frame, l4),
            (IGMP, Some(0x22), _) => {
                // no group records: RFC 3376 4.2
                wipe(frame, l4 + 6..);
                8
            }
            (IGMP, ..) => 8,
            // type and code; the number and sequence of an echo
            (ICMP, Some(0 | 8), _) | (ICMPV6, Some(128 | 129), _) => 8,
            (ICMP | ICMPV6, ..) => 4,
            _ => 0,
        };
        wipe(frame, l4 + kept..);
        sums(frame, ip, l4);
    }

    /// Router and neighbour messages (RFC 4861 4.1 to 4.4): target, options' kinds and lengths and
    /// link-layer addresses. How much is kept.
    fn neighbour(&mut self, frame: &mut [u8], l4: usize) -> usize {
        let mut at = match frame[l4] {
            133 => 8,
            134 => 16,
            _ => 24,
        };
        if frame.len() < l4 + at {
            return 4;
        }
        if at == 24 {
            self.address(frame, l4 + 8, 16);
        }
        // options: kind, length in units of 8 bytes (4.6)
        while let Some(&[kind, length]) =
            frame.get(l4 + at..l4 + at + 2).and_then(<[u8]>::first_chunk::<2>)
        {
            let end = at + usize::from(length) * 8;
            let Some(body) = frame.get_mut(l4 + at + 2..l4 + end).filter(|_| length > 0) else {
                break;
            };
            match (kind, <[u8; 6]>::try_from(&*body)) {
                (1 | 2, Ok(mac)) => body.copy_from_slice(&self.mac(mac)),
                _ => body.fill(0),
            }
            at = end;
        }
        at
    }

    fn address(&mut self, frame: &mut [u8], at: usize, size: usize) {
        let Some(place) = frame.get_mut(at..at + size) else { return };
        if let Ok(octets) = <[u8; 4]>::try_from(&*place) {
            place.copy_from_slice(&self.ipv4(octets.into()).octets());
        } else if let Ok(octets) = <[u8; 16]>::try_from(&*place) {
            place.copy_from_slice(&self.ipv6(octets.into()).octets());
        }
    }

    /// The address that stands for this one.
    pub fn mac(&self, mac: [u8; 6]) -> [u8; 6] {
        match mac {
            // RFC 2464 7: the end of a group's address, which RFC 4291 2.7.1 takes from a station's
            [0x33, 0x33, 0xff, a, b, c] => {
                let [a, b, c] = self.low24([a, b, c]);
                [0x33, 0x33, 0xff, a, b, c]
            }
            [first, ..] if first & 1 == 1 => mac,
            [0, 0, 0, 0, 0, 0] => mac,
            _ => {
                let mut block = *b"mac\0\0\0\0\0\0\0\0\0\0\0\0\0";
                block[4..10].copy_from_slice(&mac);
                let random = self.encrypt(block);
                let mut new = [0; 6];
                new.copy_from_slice(&random[..6]);
                new[0] = new[0] & !1 | 2;
                new
            }
        }
    }

    fn low24(&self, [a, b, c]: [u8; 3]) -> [u8; 3] {
        let random = self.encrypt([b'n', b's', a, b, c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        [random[0], random[1], random[2]]
    }

    fn encrypt(&self, block: [u8; 16]) -> [u8; 16] {
        let mut block = block.into();
        self.aes.encrypt_block(&mut block);
        block.into()
    }

    /// The address that stands for this one.
    pub fn ipv4(&mut self, address: Ipv4Addr) -> Ipv4Addr {
        let kept = kept_v4(address);
        if kept == 32 {
            return address;
        }
        match self.remembered(address.into(), |this| {
            let mut new = address;
            loop {
                let bits = u128::from(u32::from(new)) << 96;
                new = Ipv4Addr::from((this.prefix_preserving(bits, 32, kept) >> 96) as u32);
                // a public address may come out as a private one: then once more, which leaves
                // every address with one of its own
                if kept_v4(new) == kept {
                    return new.into();
                }
            }
        }) {
            IpAddr::V4(new) => new,
            IpAddr::V6(_) => address,
        }
    }

    /// The address that stands for this one.
    pub fn ipv6(&mut self, address: Ipv6Addr) -> Ipv6Addr {
        if let [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c] = address.octets() {
            let mut octets = address.octets();
            octets[13..].copy_from_slice(&self.low24([a, b, c]));
            return octets.into();
        }
        let kept = kept_v6(address);
        if kept == 128 {
            return address;
        }
        match self.remembered(address.into(), |this| {
            let mut new = address;
            loop {
                new = this.prefix_preserving(new.into(), 128, kept).into();
                if kept_v6(new) == kept {
                    return new.into();
                }
            }
        }) {
            IpAddr::V6(new) => new,
            IpAddr::V4(_) => address,
        }
    }

    fn remembered(&mut self, address: IpAddr, make: impl FnOnce(&Self) -> IpAddr) -> IpAddr {
        if let Some(new) = self.known.get(&address) {
            return *new;
        }
        let new = make(self);
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(address, new);
        new
    }

    /// Crypto-PAn over the first `bits` of `address`, of which the first `kept` stay: a bit is
    /// turned over as the cipher of the bits before it says.
    fn prefix_preserving(&self, address: u128, bits: u32, kept: u32) -> u128 {
        let pad = u128::from_be_bytes(self.pad);
        let mut flips = 0u128;
        for at in kept..bits {
            let mask = if at == 0 { 0 } else { u128::MAX << (128 - at) };
            let block = (address & mask) | (pad & !mask);
            let random = self.encrypt(block.to_be_bytes());
            flips |= u128::from(random[0] >> 7) << (127 - at);
        }
        address ^ flips
    }
}

/// Sums for what is there now. What the capture does not hold of a frame counts as zeros.
fn sums(frame: &mut [u8], ip: &Ip, l4: usize) {
    if sum::make(frame, ip, Missing::Zeros) {
        return;
    }
    let Some(at) = ip.l4_sum().or((ip.proto == SCTP).then_some(l4 + 8)) else { return };
    let size = if ip.proto == SCTP { 4 } else { 2 };
    if let Some(field) = frame.get_mut(at..at + size) {
        field.fill(0);
    }
}

/// How many bits of an address stay: all of those that mean the same everywhere, the prefix of
/// those that are somebody's own (RFC 1918, RFC 3927, RFC 6598).
fn kept_v4(address: Ipv4Addr) -> u32 {
    match address.octets() {
        [0 | 127 | 224..=255, ..] => 32,
        [10, ..] => 8,
        [172, 16..=31, ..] => 12,
        [192, 168, ..] | [169, 254, ..] => 16,
        [100, 64..=127, ..] => 10,
        _ => 0,
    }
}

/// Likewise (RFC 4291 2.5, RFC 4193).
fn kept_v6(address: Ipv6Addr) -> u32 {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] | [0xff00..=0xffff, ..] => 128,
        [0xfe80..=0xfebf, ..] => 64,
        [0xfc00..=0xfdff, ..] => 8,
        [0x2000..=0x3fff, ..] => 3,
        _ => 0,
    }
}

/// Zeroes the bodies of extension headers, but a fragment's: where they end.
fn extensions(frame: &mut [u8], ip: &Ip) -> usize {
    /// RFC 8200 4.5.
    const FRAGMENT: u8 = 44;
    let mut at = ip.at + 40;
    let Some(mut next) = frame.get(ip.at + 6).copied() else { return at };
    // hop-by-hop, routing, fragment, destination options (RFC 8200), authentication (RFC 4302),
    // mobility (RFC 6275), HIP (RFC 7401), shim6 (RFC 5533): what locate steps over
    while matches!(next, 0 | 43 | FRAGMENT | 60 | 51 | 135 | 139 | 140) {
        let Some(&[after, length]) = frame.get(at..at + 2).and_then(<[u8]>::first_chunk::<2>)
        else {
            break;
        };
        let size = match next {
            FRAGMENT => 8,
            51 => (usize::from(length) + 2) * 4,
            _ => (usize::from(length) + 1) * 8,
        };
        let end = (at + size).min(frame.len());
        if next != FRAGMENT {
            wipe(&mut frame[..end], at + 2..);
        }
        let later = next == FRAGMENT
            && frame.get(at + 2..at + 4).is_some_and(|pair| pair[0] != 0 || pair[1] & 0xf8 != 0);
        (at, next) = (end, after);
        if later {
            break;
        }
    }
    at.min(frame.len())
}

fn wipe(frame: &mut [u8], range: std::ops::RangeFrom<usize>) {
    if let Some(rest) = frame.get_mut(range) {
        rest.fill(0);
    }
}

#[cfg(test)]
mod tests;
