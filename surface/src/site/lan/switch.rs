//! What switches say to each other where a computer can hear it: the spanning tree's root (IEEE
//! 802.1D clause 9.3), and Cisco's DTP, by which a port becomes a trunk.

use std::collections::BTreeMap;

use skb::MacAddr;
use skb::locate::{L3, Located};

use super::super::rules_lan as rules;
use super::seen::{Seen, counted};
use crate::bytes::be16;
use crate::finding::{Finding, Severity, Sure};

/// Networks remembered.
const TREES_MAX: usize = 4096;
/// Ports remembered that offer a trunk.
const TRUNKS_MAX: usize = 256;
/// A root that was named so often was settled on: bridges that start each name themselves for a
/// moment.
const SETTLED: u64 = 3;

/// Priority and address of a bridge; the lower is the better one.
type Bridge = [u8; 8];

#[derive(Debug, Default)]
struct Tree {
    /// The root named last, and how often in a row.
    root: Option<(Bridge, u64)>,
    /// The last one that was settled on.
    settled: Option<Bridge>,
    changed: Seen,
    taken: u64,
}

#[derive(Debug, Default)]
pub(super) struct Switches {
    /// By the network that a tree is of: 0 for the one without a tag.
    trees: BTreeMap<u16, Tree>,
    trees_heard: Seen,
    trunks: BTreeMap<MacAddr, Seen>,
    /// Heard from LLDP or CDP: a switch that names its port.
    names: Seen,
}

impl Switches {
    /// An Ethernet frame that carries no IP packet.
    pub(super) fn frame(&mut self, bytes: &[u8], at: &Located, ns: i64, frame: u64) {
        let payload = bytes.get(usize::from(at.l3)..).unwrap_or_default();
        let Some(source) = bytes.get(6..12).map(MacAddr::from_slice) else { return };
        match (at.kind, payload) {
            (_, _) if at.ethertype == 0x88cc => self.names.at(frame, ns),
            // LLC of the spanning tree, and Cisco's for each network (SNAP 010b)
            (L3::Llc, [0x42, 0x42, 3, bpdu @ ..]) => self.bpdu(bpdu, at.tci & 0xfff, ns, frame),
            (L3::Llc, [0xaa, 0xaa, 3, 0, 0, 0x0c, 1, 0x0b, bpdu @ ..]) => {
                // the network is named behind it, so that one that crosses a trunk is known again
                let own = bpdu.get(35..).and_then(|tlv| match tlv {
                    [_, 0, 0, 0, 2, high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
                    _ => None,
                });
                self.bpdu(bpdu, own.unwrap_or(at.tci & 0xfff), ns, frame);
            }
            (L3::Llc, [0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 4, dtp @ ..]) => {
                let room = self.trunks.len() < TRUNKS_MAX || self.trunks.contains_key(&source);
                if offers_trunk(dtp) && room {
                    self.trunks.entry(source).or_default().at(frame, ns);
                }
            }
            (L3::Llc, [0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0, ..]) => self.names.at(frame, ns),
            _ => {}
        }
    }

    /// Protocol 0, version, type (0 configuration, 2 rapid), flags, root.
    fn bpdu(&mut self, bytes: &[u8], network: u16, ns: i64, frame: u64) {
        let ([0, 0, 0 | 2 | 3 | 4, 0 | 2, _], Some(root)) = (
            bytes.first_chunk().copied().unwrap_or([0xff; 5]),
            bytes.get(5..).and_then(<[u8]>::first_chunk::<8>),
        ) else {
            return;
        };
        self.trees_heard.at(frame, ns);
        if self.trees.len() >= TREES_MAX && !self.trees.contains_key(&network) {
            return;
        }
        self.trees.entry(network).or_default().names(*root, ns, frame);
    }

    /// Whether a switch was heard that names its ports.
    pub(super) fn named(&self) -> bool {
        self.names.count > 0
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (&network, tree) in self.trees.iter().filter(|(_, tree)| tree.taken > 0) {
            let (medium, sure) = (Severity::Medium, Sure::Likely);
            let mut finding = tree.changed.finding(&rules::STP_ROOT, medium, sure, &[]);
            finding.count = tree.taken;
            let which = if network == 0 { String::new() } else { format!(" of network {network}") };
            finding.detail = format!(
                "the root of the spanning tree{which} changed {}, to a switch that calls itself \
                 better than the one before",
                counted(tree.taken as usize, "time", "times")
            );
            findings.push(finding);
        }
        if self.trees_heard.count > 0 {
            let (info, sure) = (Severity::Info, Sure::Proven);
            let mut finding = self.trees_heard.finding(&rules::STP_HEARD, info, sure, &[]);
            finding.detail = format!(
                "{} of the spanning tree arrived where this was recorded",
                counted(self.trees_heard.count as usize, "message", "messages")
            );
            findings.push(finding);
        }
        let mut trunks: Option<Finding> = None;
        for seen in self.trunks.values() {
            let one = seen.finding(&rules::TRUNK, Severity::Medium, Sure::Proven, &[]);
            match &mut trunks {
                None => trunks = Some(one),
                Some(all) => {
                    one.evidence.iter().for_each(|&frame| all.again(frame, one.first_ns));
                    all.last_ns = all.last_ns.max(one.last_ns);
                    all.count += one.count.saturating_sub(one.evidence.len() as u64);
                }
            }
        }
        if let Some(finding) = &mut trunks {
            finding.detail = format!(
                "{} to become a trunk (DTP)",
                counted(self.trunks.len(), "port of a switch offers", "ports of switches offer")
            );
        }
        findings.extend(trunks);
        findings
    }
}

impl Tree {
    fn names(&mut self, root: Bridge, ns: i64, frame: u64) {
        let times = match self.root {
            Some((last, times)) if last == root => times + 1,
            _ => 1,
        };
        self.root = Some((root, times));
        if times < SETTLED {
            return;
        }
        // back to a worse one is what happens when the better one is switched off
        if self.settled.is_some_and(|settled| root < settled) && times == SETTLED {
            self.taken += 1;
            self.changed.at(frame, ns);
        }
        self.settled = Some(root);
    }
}

/// DTP: version, then type, length and value (as Wireshark's `packet-dtp.c` has it). The status
/// (type 2) says in its high bit that it is a trunk, in the low ones what it would like to be: 1
/// on, 2 off, 3 desirable, 4 auto.
fn offers_trunk(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(1..).unwrap_or_default();
    for _ in 0..16 {
        let (Some(kind), Some(length)) = (be16(rest, 0), be16(rest, 2)) else { return false };
        let Some(value) = rest.get(4..usize::from(length)) else { return false };
        if kind == 2 {
            return value.first().is_some_and(|status| matches!(status & 0x07, 1 | 3 | 4));
        }
        rest = rest.get(usize::from(length).max(4)..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use skb::locate::locate_ethernet;

    const SWITCH: [u8; 6] = [0, 0x1b, 0x21, 0, 0, 1];

    fn llc(payload: &[u8]) -> Vec<u8> {
        testkit::build::llc([1, 0x80, 0xc2, 0, 0, 0], SWITCH, payload)
    }

    fn bpdu(priority: u16, root: u8) -> Vec<u8> {
        testkit::build::bpdu(SWITCH, priority, root)
    }

    fn findings(frames: &[Vec<u8>]) -> Vec<(&'static str, Severity, u64)> {
        let mut switches = Switches::default();
        for (n, frame) in (1..).zip(frames) {
            switches.frame(frame, &locate_ethernet(frame), 1_000, n);
        }
        switches.findings().iter().map(|f| (f.rule.id, f.severity, f.count)).collect()
    }

    #[test]
    fn a_better_root_takes_over() {
        let heard = |n| ("lan.stp-heard", Severity::Info, n);
        let (old, better) = (bpdu(0x8000, 1), bpdu(0, 9));
        let mut said = vec![old.clone(), old.clone(), old.clone()];
        assert_eq!(findings(&said), [heard(3)]);
        said.extend([better.clone(), better.clone(), better.clone(), better.clone()]);
        assert_eq!(findings(&said), [("lan.stp-root", Severity::Medium, 1), heard(7)]);
        // named for a moment only; back to the one that was better all the time
        let moment = [old.clone(), old.clone(), old.clone(), better.clone(), old.clone()];
        assert_eq!(findings(&moment), [heard(5)]);
        let worse: Vec<_> = [&better, &better, &better, &old, &old, &old].map(Clone::clone).into();
        assert_eq!(findings(&worse), [heard(6)]);
    }

    fn dtp(status: u8) -> Vec<u8> {
        llc(&[
            0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 4, 1, 0, 1, 0, 5, 0, 0, 2, 0, 5, status, 0, 3, 0, 5,
            0xa5,
        ])
    }

    #[test]
    fn a_port_that_would_be_a_trunk() {
        let offers = [("lan.trunk-offered", Severity::Medium, 1)];
        for status in [0x81, 0x03, 0x04, 0x84] {
            assert_eq!(findings(&[dtp(status)]), offers, "{status:02x}");
        }
        // off, and not said
        assert!(findings(&[dtp(0x02)]).is_empty());
        assert!(
            findings(&[llc(&[0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 4, 1, 0, 1, 0, 5, 0])]).is_empty()
        );
        let whole = dtp(3);
        for end in 0..whole.len() {
            let _ = findings(&[whole[..end].to_vec()]);
        }
    }
}
