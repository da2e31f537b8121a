//! Devices that come into the network after it was looked at for a while: by what a device does
//! when it joins (it asks for an address, or looks whether the one it has is free) and by never
//! having been heard before.
//!
//! What was off or asleep when the look began looks the same, so that this is told as a notice and
//! no more. Cards that change their address (telephones, tablets, guests' computers) are told apart
//! by the bit that says so (IEEE 802 "U/L").

use std::collections::BTreeSet;

use skb::MacAddr;

use super::super::rules_lan as rules;
use super::dhcp::options;
use super::seen::{Seen, counted};
use crate::finding::{Finding, Severity, Sure};

/// Cards remembered.
const CARDS_MAX: usize = 32_768;
/// Makers named.
const MAKERS_MAX: usize = 6;
/// So long everybody who is heard belongs to the network: most devices speak within an hour
/// (renewed addresses, time, names asked for).
const LEARNING_NS: i64 = 3_600_000_000_000;

#[derive(Debug, Default)]
pub(super) struct Newcomers {
    began_ns: Option<i64>,
    known: BTreeSet<MacAddr>,
    /// Cards with a maker's address, and those with one of their own.
    new: Joined,
    random: Joined,
}

#[derive(Debug, Default)]
struct Joined {
    seen: Seen,
    cards: BTreeSet<MacAddr>,
}

impl Newcomers {
    /// A card was heard, whatever it said.
    pub(super) fn heard(&mut self, mac: MacAddr, ns: i64) {
        if ns == 0 {
            return; // without times nothing is later
        }
        let began = self.began_ns.get_or_insert(ns);
        *began = (*began).min(ns);
        if mac.is_valid_source() && self.known.len() < CARDS_MAX {
            self.known.insert(mac);
        }
    }

    /// A card joins the network; to be told before it is [`heard`](Self::heard).
    pub(super) fn joins(&mut self, mac: MacAddr, ns: i64, frame: u64) {
        let late = self.began_ns.is_some_and(|began| ns.saturating_sub(began) >= LEARNING_NS);
        let unknown = self.known.len() < CARDS_MAX && !self.known.contains(&mac);
        if late && unknown && mac.is_valid_source() {
            let joined = if mac.is_local() { &mut self.random } else { &mut self.new };
            joined.seen.at(frame, ns);
            joined.cards.insert(mac);
        }
        self.heard(mac, ns);
    }

    /// A message of DHCP: a client that looks for servers joins (RFC 2131 section 3.1); whoever
    /// renews its address was there before.
    pub(super) fn dhcp(&mut self, bytes: &[u8], ns: i64, frame: u64) {
        // a request over Ethernet
        let Some([1, 1, 6]) = bytes.first_chunk() else { return };
        let Some(mac) = bytes.get(28..34).map(MacAddr::from_slice) else { return };
        if options(bytes).any(|(code, value)| (code, value) == (53, &[1])) {
            self.joins(mac, ns, frame);
        } else {
            self.heard(mac, ns);
        }
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let kinds = [(&self.new, false), (&self.random, true)];
        let found = kinds.into_iter().filter(|(joined, _)| !joined.cards.is_empty());
        found.map(|(joined, random)| joined.finding(random)).collect()
    }
}

impl Joined {
    fn finding(&self, random: bool) -> Finding {
        let rule = if random { &rules::NEWCOMER_RANDOM } else { &rules::NEWCOMER };
        let mut finding = self.seen.finding(rule, Severity::Info, Sure::Hint, &[]);
        finding.count = self.cards.len() as u64;
        let cards = counted(self.cards.len(), "device", "devices");
        finding.detail = if random {
            format!("{cards} with an address that they made up themselves joined the network")
        } else {
            let makers: BTreeSet<_> =
                self.cards.iter().map(|mac| [mac.0[0], mac.0[1], mac.0[2]]).collect();
            let named: Vec<_> = makers
                .iter()
                .take(MAKERS_MAX)
                .map(|[a, b, c]| format!("{a:02x}:{b:02x}:{c:02x}"))
                .collect();
            format!(
                "{cards} that had not been heard in the first hour joined the network (the \
                 addresses of their cards begin with {})",
                named.join(", ")
            )
        };
        finding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: i64 = 60_000_000_000;
    const MAKER: MacAddr = MacAddr([0, 0x1b, 0x21, 1, 2, 3]);
    const RANDOM: MacAddr = MacAddr([0x5a, 1, 2, 3, 4, 5]);

    fn dhcp(mac: MacAddr, kind: u8) -> Vec<u8> {
        let mut bytes = vec![0; 236];
        bytes[..3].copy_from_slice(&[1, 1, 6]);
        bytes[28..34].copy_from_slice(&mac.0);
        bytes.extend([0x63, 0x82, 0x53, 0x63, 53, 1, kind, 255]);
        bytes
    }

    fn findings(said: &[(i64, MacAddr, u8)]) -> Vec<(&'static str, u64)> {
        let mut newcomers = Newcomers::default();
        newcomers.heard(MacAddr([0, 0x1b, 0x21, 0, 0, 1]), MIN);
        for (frame, &(minute, mac, kind)) in (7..).zip(said) {
            newcomers.dhcp(&dhcp(mac, kind), minute * MIN, frame);
        }
        newcomers.findings().iter().map(|found| (found.rule.id, found.count)).collect()
    }

    #[test]
    fn who_joins_late_is_told() {
        assert_eq!(findings(&[(90, MAKER, 1), (91, MAKER, 3)]), [("lan.newcomer", 1)]);
        let other = MacAddr([0, 0x1b, 0x21, 9, 9, 9]);
        assert_eq!(findings(&[(90, MAKER, 1), (95, other, 1)]), [("lan.newcomer", 2)]);
        // a telephone
        assert_eq!(findings(&[(90, RANDOM, 1)]), [("lan.newcomer-random", 1)]);
    }

    #[test]
    fn who_was_there_or_renews_is_not() {
        // in the first hour; again later; renews only
        assert!(findings(&[(30, MAKER, 1)]).is_empty());
        assert!(findings(&[(30, MAKER, 3), (90, MAKER, 1)]).is_empty());
        assert!(findings(&[(90, MAKER, 3), (91, MAKER, 1)]).is_empty());
        // no times
        assert!(findings(&[(0, MAKER, 1)]).is_empty());
        let mut newcomers = Newcomers::default();
        let whole = dhcp(MAKER, 1);
        for end in 0..whole.len() {
            newcomers.dhcp(&whole[..end], 90 * MIN, 1);
        }
        assert!(newcomers.findings().is_empty());
    }
}
