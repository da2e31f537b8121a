//! Virtual machines alone in a network: the machine that they run on hands their frames over
//! without an address of its own there, and cannot be reached by this way.
//!
//! Which cards are behind one port of a switch cannot be seen from elsewhere. Where a switch names
//! its port (LLDP, CDP) and only virtual machines of one product ever sent a packet, their host did
//! not; that is all that is told.

use std::collections::BTreeMap;

use skb::MacAddr;

use super::super::hosts::hypervisor;
use super::super::rules_lan as rules;
use super::seen::{Seen, counted};
use crate::finding::{Finding, Severity, Sure};

/// Networks remembered, and senders of each.
const NETWORKS_MAX: usize = 256;
const SENDERS_MAX: usize = 1024;
/// One machine may be anywhere.
const GUESTS_MIN: usize = 2;

/// Who sent packets of IP or ARP, by network.
#[derive(Debug, Default)]
pub(super) struct Guests {
    networks: BTreeMap<u16, BTreeMap<MacAddr, Seen>>,
}

impl Guests {
    pub(super) fn sends(&mut self, network: u16, mac: MacAddr, ns: i64, frame: u64) {
        let room = self.networks.len() < NETWORKS_MAX || self.networks.contains_key(&network);
        if !room || !mac.is_valid_source() {
            return;
        }
        let senders = self.networks.entry(network).or_default();
        if senders.len() < SENDERS_MAX || senders.contains_key(&mac) {
            senders.entry(mac).or_default().at(frame, ns);
        }
    }

    /// `named`: a switch was heard that names its port.
    pub(super) fn findings(&self, named: bool) -> Vec<Finding> {
        let alone = self.networks.iter().filter(|_| named).filter_map(|(&network, senders)| {
            let product = hypervisor(*senders.keys().next()?)?;
            let all = senders.keys().all(|&mac| hypervisor(mac) == Some(product));
            (all && (GUESTS_MIN..SENDERS_MAX).contains(&senders.len()))
                .then_some((network, product, senders))
        });
        let finding = |(network, product, senders): (u16, &str, &BTreeMap<MacAddr, Seen>)| {
            let mut all = Seen::default();
            for seen in senders.values() {
                all.join(seen);
            }
            let mut finding = all.finding(&rules::GUESTS_ALONE, Severity::Info, Sure::Hint, &[]);
            finding.detail = format!(
                "{} of {product} sent packets{}, and nobody else; no sign that the machine they \
                 run on has an adapter there",
                counted(senders.len(), "virtual machine", "virtual machines"),
                if network == 0 { String::new() } else { format!(" in network {network}") }
            );
            finding
        };
        alone.map(finding).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(cards: &[[u8; 3]], named: bool) -> usize {
        let mut guests = Guests::default();
        for (n, &[a, b, c]) in (1..).zip(cards) {
            guests.sends(10, MacAddr([a, b, c, 0, 0, n]), 5, n.into());
        }
        guests.findings(named).len()
    }

    #[test]
    fn virtual_machines_and_nobody_else() {
        let (own, other, maker) = ([0, 0x15, 0x5d], [0x52, 0x54, 0], [0, 0x1b, 0x21]);
        assert_eq!(found(&[own, own, own], true), 1);
        // no switch that names its port; one alone; another product; a card of a maker
        assert_eq!(found(&[own, own, own], false), 0);
        assert_eq!(found(&[own], true), 0);
        assert_eq!(found(&[own, own, other], true), 0);
        assert_eq!(found(&[own, own, maker], true), 0);
    }
}
