//! Who claims an address by ARP (RFC 826): one address of two network cards at the same time.
//!
//! Standing in for another host that has failed, and the move of a virtual machine, are announced
//! once and by one card; they are not told. Neither are cards that belong to nobody (VRRP, HSRP).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use arrayvec::ArrayVec;
use skb::MacAddr;

use super::super::address::{Place, place};
use super::super::rules_lan as rules;
use super::seen::Seen;
use crate::finding::{Finding, Severity, Sure};
use crate::peel::Packet;

/// Addresses remembered.
const ADDRESSES_MAX: usize = 16_384;
/// Cards remembered of one address.
const CARDS_MAX: usize = 4;
/// Routers' cards remembered.
const ROUTERS_MAX: usize = 64;
/// Claims so far apart have nothing to do with each other.
const APART_NS: i64 = 60_000_000_000;
/// An answer so long after a question answers it.
const ANSWERS_NS: i64 = 5_000_000_000;
/// Answers that nobody asked for, from which on they are no mistake.
const UNASKED_MIN: u64 = 3;

/// An Ethernet card that claims an address.
#[derive(Debug, Clone)]
struct Card {
    mac: MacAddr,
    last_ns: i64,
    last_frame: u64,
    /// It said so in answers to somebody.
    answered: bool,
    /// Answers that nobody had asked for.
    unasked: u64,
    announced: bool,
}

#[derive(Debug, Default)]
struct Address {
    cards: ArrayVec<Card, CARDS_MAX>,
    asked_ns: Option<i64>,
    /// The last card that claimed it.
    last: Option<MacAddr>,
    /// Two cards at the same time.
    contested: Seen,
}

/// Claims by address.
#[derive(Debug, Default)]
pub(super) struct Claims {
    addresses: BTreeMap<Ipv4Addr, Address>,
    /// Cards that connections to the internet went through, and how many.
    routers: BTreeMap<MacAddr, u64>,
}

/// What a packet for IPv4 over Ethernet says: operation, sender, target.
fn parse(bytes: &[u8]) -> Option<(u16, MacAddr, Ipv4Addr, Ipv4Addr)> {
    let packet = bytes.first_chunk::<28>()?;
    if packet[..6] != [0, 1, 8, 0, 6, 4] {
        return None;
    }
    let ip = |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
    let operation = u16::from_be_bytes([packet[6], packet[7]]);
    Some((operation, MacAddr::from_slice(&packet[8..14]), ip(14), ip(24)))
}

/// Cards that several routers share: VRRP (RFC 9568 section 7.3), HSRP (RFC 2281 section 5.2) and
/// its version 2, GLBP, CARP.
fn is_shared(mac: MacAddr) -> bool {
    matches!(
        mac.0,
        [0, 0, 0x5e, 0, 1 | 2, _]
            | [0, 0, 0x0c, 7, 0xac, _]
            | [0, 0, 0x0c, 0x9f, 0xf0..=0xff, _]
            | [0, 7, 0xb4, ..]
    )
}

impl Claims {
    /// A connection that leaves goes through the router's card.
    pub(super) fn syn(&mut self, packet: &Packet<'_>) {
        let Some((_, router)) = packet.macs else { return };
        let leaves =
            place(packet.src.ip()) == Place::Inside && place(packet.dst.ip()) == Place::Outside;
        let room = self.routers.len() < ROUTERS_MAX;
        if leaves && (room || self.routers.contains_key(&router)) {
            *self.routers.entry(router).or_default() += 1;
        }
    }

    /// An ARP packet.
    pub(super) fn frame(&mut self, bytes: &[u8], ns: i64, frame: u64) {
        let Some((operation, mac, sender, target)) = parse(bytes) else { return };
        if operation == 1 && sender != target {
            self.address(target, |address| address.asked_ns = Some(ns));
        }
        // whoever looks whether an address is free claims none (RFC 5227 section 2.1.1)
        if sender.is_unspecified() || !mac.is_valid_source() || is_shared(mac) {
            return;
        }
        let answer = operation == 2 && sender != target;
        self.address(sender, |address| address.claim(mac, answer, sender == target, ns, frame));
    }

    fn address(&mut self, ip: Ipv4Addr, with: impl FnOnce(&mut Address)) {
        if self.addresses.len() < ADDRESSES_MAX || self.addresses.contains_key(&ip) {
            with(self.addresses.entry(ip).or_default());
        }
    }

    pub(super) fn findings(&self, routers: &[IpAddr]) -> Vec<Finding> {
        let mut contested_by = BTreeMap::<MacAddr, usize>::new();
        let contested = || self.addresses.iter().filter(|(_, address)| address.contested.count > 0);
        for (_, address) in contested() {
            for card in &address.cards {
                *contested_by.entry(card.mac).or_default() += 1;
            }
        }
        let most = self.routers.values().max().copied().unwrap_or(u64::MAX);
        let leads_out = |mac: &MacAddr| self.routers.get(mac).is_some_and(|&n| n == most);
        contested()
            .map(|(&ip, address)| {
                let first = address.cards.first().map(|card| card.mac);
                let is_router =
                    routers.contains(&ip.into()) || first.is_some_and(|mac| leads_out(&mac));
                let others = address.cards.get(1..).unwrap_or_default();
                let several = others.iter().any(|card| contested_by[&card.mac] > 1);
                // where questions are not seen, no answer is unasked
                let unasked = address.asked_ns.is_some()
                    && others.iter().any(|card| card.unasked >= UNASKED_MIN);
                address.finding(ip, is_router, several, unasked)
            })
            .collect()
    }
}

impl Address {
    fn claim(&mut self, mac: MacAddr, answer: bool, announces: bool, ns: i64, frame: u64) {
        let asked = self.asked_ns.is_some_and(|asked| ns.saturating_sub(asked) <= ANSWERS_NS);
        let back = self.last.is_some_and(|last| last != mac);
        let known = self.cards.iter().any(|card| card.mac == mac);
        // back again after another, or both answer the same question
        let near = |card: &&Card| {
            card.mac != mac
                && ns.saturating_sub(card.last_ns) <= APART_NS
                && ((known && back)
                    || (answer && card.answered && asked && self.asked_ns <= Some(card.last_ns)))
        };
        let other = self.cards.iter().find(near).map(|card| (card.last_frame, card.last_ns));
        let announced = self.cards.iter().any(|card| card.mac == mac && card.announced);
        let same_question = !(known && back);
        if let Some((other_frame, other_ns)) = other
            && !(same_question && announced)
        {
            self.contested.at(other_frame, other_ns);
            self.contested.at(frame, ns);
        }
        if !known {
            let card = Card {
                mac,
                last_ns: ns,
                last_frame: frame,
                answered: false,
                unasked: 0,
                announced: false,
            };
            let _ = self.cards.try_push(card);
        }
        if let Some(card) = self.cards.iter_mut().find(|card| card.mac == mac) {
            (card.last_ns, card.last_frame) = (ns, frame);
            card.answered |= answer;
            card.announced |= announces;
            card.unasked += u64::from(answer && !asked);
        }
        self.last = Some(mac);
    }

    fn finding(&self, ip: Ipv4Addr, is_router: bool, several: bool, unasked: bool) -> Finding {
        let (rule, severity, sure) = match (is_router, several || unasked) {
            (true, true) => (&rules::ARP_ROUTER, Severity::Critical, Sure::Proven),
            (true, false) => (&rules::ARP_ROUTER, Severity::Medium, Sure::Likely),
            (false, _) => (&rules::ARP_TWICE, Severity::Medium, Sure::Likely),
        };
        let mut finding = self.contested.finding(rule, severity, sure, &[ip.into()]);
        finding.count = self.contested.count / 2;
        let makers: Vec<_> = self
            .cards
            .iter()
            .map(|card| {
                let [a, b, c, ..] = card.mac.0;
                format!("{a:02x}:{b:02x}:{c:02x}")
            })
            .collect();
        finding.detail = format!(
            "{ip} was claimed by {} network cards at the same time (they begin with {})",
            self.cards.len(),
            makers.join(" and ")
        );
        if several {
            finding.detail += "; one of them claims further addresses of others";
        }
        if unasked {
            finding.detail += "; one of them says so again and again without being asked";
        }
        finding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;
    const ROUTER: u8 = 1;
    const HOST: u8 = 20;

    fn ip(n: u8) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, 1, n)
    }

    fn mac(n: u8) -> MacAddr {
        MacAddr([2, 0, 0, 0, 0, n])
    }

    fn packet(operation: u8, mac: MacAddr, sender: u8, target: u8) -> Vec<u8> {
        let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, operation];
        bytes.extend(mac.0);
        bytes.extend(ip(sender).octets());
        bytes.extend([0; 6]);
        bytes.extend(ip(target).octets());
        bytes
    }

    fn findings(said: &[(i64, u8, MacAddr, u8, u8)]) -> Vec<Finding> {
        let mut claims = Claims::default();
        for (n, &(s, operation, mac, sender, target)) in said.iter().enumerate() {
            claims.frame(&packet(operation, mac, sender, target), s * S, n as u64);
        }
        claims.findings(&[ip(ROUTER).into()])
    }

    #[test]
    fn somebody_between_the_router_and_its_hosts() {
        let found = findings(&[
            (0, 1, mac(HOST), HOST, ROUTER),
            (0, 2, mac(1), ROUTER, HOST),
            (2, 2, mac(66), ROUTER, HOST),
            (12, 2, mac(66), ROUTER, HOST),
            (22, 2, mac(66), ROUTER, HOST),
            (32, 2, mac(66), ROUTER, HOST),
            (33, 1, mac(1), ROUTER, HOST),
        ]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].rule.id, found[0].severity), ("lan.arp-router", Severity::Critical));
        assert_eq!(found[0].evidence, [1, 2, 5, 6]);
        // one that says so once, and the router that says otherwise, may be a mistake
        let found = findings(&[
            (0, 2, mac(1), ROUTER, HOST),
            (2, 2, mac(66), ROUTER, HOST),
            (3, 1, mac(1), ROUTER, HOST),
        ]);
        assert_eq!((found[0].severity, found[0].sure), (Severity::Medium, Sure::Likely));
    }

    #[test]
    fn an_address_given_twice() {
        let found = findings(&[
            (0, 1, mac(7), 7, HOST),
            (0, 2, mac(HOST), HOST, 7),
            (0, 2, mac(21), HOST, 7),
        ]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].rule.id, found[0].severity), ("lan.arp-twice", Severity::Medium));
    }

    #[test]
    fn what_moves_once_or_belongs_to_several_is_silent() {
        // a virtual machine that moved, announced once
        let moved = [
            (0, 1, mac(7), 7, HOST),
            (0, 2, mac(HOST), HOST, 7),
            (1, 1, mac(21), HOST, HOST),
            (2, 1, mac(7), 7, HOST),
            (2, 2, mac(21), HOST, 7),
        ];
        assert!(findings(&moved).is_empty());
        // given to another an hour later, and back
        let later = [
            (0, 2, mac(HOST), HOST, 7),
            (3600, 2, mac(21), HOST, 7),
            (7200, 2, mac(HOST), HOST, 7),
        ];
        assert!(findings(&later).is_empty());
        let vrrp = MacAddr([0, 0, 0x5e, 0, 1, 9]);
        let shared =
            [(0, 2, mac(1), 1, 7), (1, 2, vrrp, 1, 7), (2, 2, mac(1), 1, 7), (3, 2, vrrp, 1, 7)];
        assert!(findings(&shared).is_empty());
        // looks whether the address is free
        let probe = [(0, 2, mac(1), 1, 7), (1, 1, mac(66), 0, 1), (2, 2, mac(1), 1, 7)];
        assert!(findings(&probe).is_empty());
    }

    #[test]
    fn damage_is_nothing() {
        let mut claims = Claims::default();
        let whole = packet(2, mac(1), 1, 7);
        for end in 0..whole.len() {
            claims.frame(&whole[..end], 0, 0);
        }
        assert!(claims.addresses.is_empty());
    }
}
