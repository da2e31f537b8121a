//! Frames changed before they go: addresses, ports, VLAN tags, checksums.
//!
//! Addresses and ports are those of the outermost IP packet, its Ethernet header, ARP and
//! neighbour discovery; what a tunnel carries is payload here. Checksums follow the change
//! (RFC 1624): one that was right stays right, one that was wrong stays wrong, also in fragments
//! and in frames that were cut.

mod anonymize;
mod map;
mod sum;

use std::net::{Ipv4Addr, Ipv6Addr};

use skb::LinkType;
use skb::locate::{L3, is_vlan_tpid, locate};

pub use self::anonymize::Anonymizer;
pub use self::map::{IpMap, MacMap, MapError, PortMapping, VlanSwap, VlanTag};

use self::sum::{ICMPV6, Ip, Missing, SCTP, Sum, TCP, UDP};

/// IEEE 802.1Q tag protocol identifier.
const TPID: u16 = 0x8100;

/// What is changed. The default changes nothing.
#[derive(Debug, Clone, Default)]
pub struct RewriteOptions {
    /// Stations, wherever their address stands: source, destination, ARP.
    pub macs: Vec<MacMap>,
    /// IP addresses and networks; the first that fits counts.
    pub ips: Vec<IpMap>,
    /// Ports of TCP, UDP and SCTP, on either side.
    pub ports: Vec<PortMapping>,
    /// The outermost tag is taken off.
    pub vlan_pop: bool,
    /// The identifier of the outermost tag is changed.
    pub vlan_swap: Vec<VlanSwap>,
    /// A tag is put in front, after the other two.
    pub vlan_push: Option<VlanTag>,
    /// Checksums are made anew, whatever they were: those of offloaded frames, for example.
    pub checksums: bool,
    /// Each round has addresses of its own, so that tables of flows see new ones.
    pub fresh: bool,
    /// Addresses and contents are replaced last.
    pub anonymize: Option<Anonymizer>,
}

impl RewriteOptions {
    /// Nothing would be changed.
    pub fn is_nothing(&self) -> bool {
        self.macs.is_empty()
            && self.ips.is_empty()
            && self.ports.is_empty()
            && self.vlan_swap.is_empty()
            && !(self.vlan_pop || self.checksums || self.fresh)
            && self.vlan_push.is_none()
            && self.anonymize.is_none()
    }
}

/// Changes frames; see the module text.
#[derive(Debug, Clone, Default)]
pub struct Rewriter {
    options: RewriteOptions,
    round: u64,
}

impl Rewriter {
    /// With the first round.
    pub fn new(options: RewriteOptions) -> Self {
        Self { options, round: 0 }
    }

    /// What is changed.
    pub fn options(&self) -> &RewriteOptions {
        &self.options
    }

    /// The same capture once more.
    pub fn next_round(&mut self) {
        self.round += 1;
    }

    /// Changes an Ethernet frame, whose length changes with its tags only.
    pub fn frame(&mut self, frame: &mut Vec<u8>) {
        self.tags(frame);
        let located = locate(LinkType::ETHERNET, frame);
        let l3 = usize::from(located.l3);
        if !self.options.macs.is_empty() {
            self.mac(frame, 0);
            self.mac(frame, 6);
            if located.kind == L3::Arp && is_arp(frame, l3) {
                self.mac(frame, l3 + 8);
                self.mac(frame, l3 + 18);
            }
        }
        match Ip::of(&located, frame) {
            Some(ip) => self.packet(frame, &ip),
            None if located.kind == L3::Arp && is_arp(frame, l3) => {
                for at in [l3 + 14, l3 + 24] {
                    self.address(frame, at, 4, &[]);
                }
            }
            None => {}
        }
        if let Some(anonymizer) = &mut self.options.anonymize {
            anonymizer.frame(LinkType::ETHERNET, frame);
        }
    }

    fn tags(&self, frame: &mut Vec<u8>) {
        let tagged = |frame: &[u8]| {
            frame.get(12..18).is_some_and(|tag| is_vlan_tpid(u16::from_be_bytes([tag[0], tag[1]])))
        };
        if self.options.vlan_pop && tagged(frame) {
            frame.drain(12..16);
        }
        if tagged(frame) {
            let tci = u16::from_be_bytes([frame[14], frame[15]]);
            let vid = tci & 0xfff;
            if let Some(swap) = self.options.vlan_swap.iter().find(|swap| swap.from == vid) {
                frame[14..16].copy_from_slice(&(tci & 0xf000 | swap.to).to_be_bytes());
            }
        }
        if let Some(tag) = self.options.vlan_push
            && frame.len() >= 14
        {
            let [a, b] = TPID.to_be_bytes();
            let [c, d] = tag.tci().to_be_bytes();
            frame.splice(12..12, [a, b, c, d]);
        }
    }

    fn mac(&self, frame: &mut [u8], at: usize) {
        let Some(place) = frame.get_mut(at..at + 6) else { return };
        if let Some(map) = self.options.macs.iter().find(|map| map.from.0 == *place) {
            place.copy_from_slice(&map.to.0);
        }
    }

    fn packet(&self, frame: &mut [u8], ip: &Ip) {
        let header = ip.v4.then_some(Sum { at: ip.at + 10, is_udp: false });
        let l4 = ip.l4_sum().map(|at| Sum { at, is_udp: ip.proto == UDP });
        let both: Vec<Sum> =
            header.into_iter().chain(l4.filter(|_| ip.has_pseudo_header())).collect();
        let (at, size) = ip.addresses();
        self.address(frame, at, size, &both);
        self.address(frame, at + size, size, &both);
        let Some(start) = ip.l4 else { return };
        let l4 = l4.as_slice();
        if ip.proto == ICMPV6 && matches!(frame.get(start), Some(135 | 136)) {
            self.neighbour(frame, start, l4);
        }
        if matches!(ip.proto, TCP | UDP | SCTP) {
            let changed = self.port(frame, start, l4) | self.port(frame, start + 2, l4);
            if changed && ip.proto == SCTP && !ip.fragment && ip.end <= frame.len() {
                sum::sctp(frame, start, ip.end);
            }
        }
        if self.options.checksums {
            sum::make(frame, ip, Missing::Unknown);
        }
    }

    /// RFC 4861 4.3, 4.4 and 4.6.1: the target, and a station's address.
    fn neighbour(&self, frame: &mut [u8], at: usize, sums: &[Sum]) {
        self.address(frame, at + 8, 16, sums);
        let Some(option) = frame.get(at + 24..at + 32) else { return };
        if matches!(option[..2], [1 | 2, 1]) {
            let mut mac = [0; 6];
            mac.copy_from_slice(&option[2..]);
            if let Some(map) = self.options.macs.iter().find(|map| map.from.0 == mac) {
                sum::replace(frame, at + 26, &map.to.0, sums);
            }
        }
    }

    /// `true` if it is another one now.
    fn port(&self, frame: &mut [u8], at: usize, sums: &[Sum]) -> bool {
        let Some(place) = frame.get(at..at + 2) else { return false };
        let port = u16::from_be_bytes([place[0], place[1]]);
        let Some(map) = self.options.ports.iter().find(|map| map.from == port) else {
            return false;
        };
        sum::replace(frame, at, &map.to.to_be_bytes(), sums);
        true
    }

    fn address(&self, frame: &mut [u8], at: usize, size: usize, sums: &[Sum]) {
        let Some(place) = frame.get(at..at + size) else { return };
        let mut new = [0; 16];
        if let Ok(octets) = <[u8; 4]>::try_from(place) {
            let old = Ipv4Addr::from(octets);
            let mapped = self.options.ips.iter().find_map(|map| map.v4(old)).unwrap_or(old);
            new[..4].copy_from_slice(&self.fresh_v4(mapped).octets());
        } else if let Ok(octets) = <[u8; 16]>::try_from(place) {
            let old = Ipv6Addr::from(octets);
            let mapped = self.options.ips.iter().find_map(|map| map.v6(old)).unwrap_or(old);
            new.copy_from_slice(&self.fresh_v6(mapped).octets());
        }
        if new[..size] != *place {
            sum::replace(frame, at, &new[..size], sums);
        }
    }

    /// The address of this round: within its /8, as far on as there were rounds.
    fn fresh_v4(&self, address: Ipv4Addr) -> Ipv4Addr {
        const HOSTS: u32 = 0x00ff_ffff;
        if !self.options.fresh || matches!(address.octets(), [0 | 127 | 224..=255, ..]) {
            return address;
        }
        let bits = u32::from(address);
        let moved = bits.wrapping_add(self.round as u32) & HOSTS;
        (bits & !HOSTS | moved).into()
    }

    /// Likewise within its /64.
    fn fresh_v6(&self, address: Ipv6Addr) -> Ipv6Addr {
        if !self.options.fresh || address.is_multicast() || u128::from(address) <= 1 {
            return address;
        }
        let bits = u128::from(address);
        let moved = (bits as u64).wrapping_add(self.round);
        (bits & !u128::from(u64::MAX) | u128::from(moved)).into()
    }
}

/// ARP for IPv4 over Ethernet (RFC 826), whole.
fn is_arp(frame: &[u8], at: usize) -> bool {
    frame.get(at..at + 28).is_some_and(|packet| packet[..6] == [0, 1, 8, 0, 6, 4])
}

#[cfg(test)]
mod tests;
