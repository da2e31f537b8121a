//! The quick way to a frame's chain of protocols: for the common frames a small number computed
//! from [`locate`](skb::locate), for all others the full decode.
//!
//! A frame takes the quick way only if the full decode would give exactly the chain that its
//! number stands for (a test compares the two on every capture at hand).

use skb::locate::{L3, Located};

use super::apps::{App, Apps};
use super::table::Counts;
use super::tree::Tree;

/// A chain of protocols, as an index: one VLAN tag or none, IPv4 or IPv6, transport, application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Class(u16);

const TRANSPORTS: [&str; 4] = ["tcp", "udp", "icmp", "icmpv6"];
const APP_BITS: u32 = Apps::MAX.trailing_zeros();
const CLASSES: usize = (2 * 2 * TRANSPORTS.len()) << APP_BITS;

/// What the quick look found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quick {
    /// The chain.
    pub(super) class: Class,
    /// Source port, destination port; 0 if there are none.
    pub(super) ports: (u16, u16),
}

/// Looks at an Ethernet frame; `None` sends it to the full decode. `room` is the frame's original
/// length without a captured FCS.
#[inline(always)]
pub(super) fn quick(frame: &[u8], room: u32, at: &Located, apps: &Apps) -> Option<Quick> {
    let tagged = match at.tags {
        0 => 0,
        1 if frame.get(12..14)? == [0x81, 0x00] => 1,
        _ => return None,
    };
    if at.l4 == 0 || at.fragment {
        return None;
    }
    let (l3, l4) = (usize::from(at.l3), usize::from(at.l4));
    let header = frame.get(l3..l3 + 8)?;
    let (v6, end) = match at.kind {
        L3::Ipv4 => (0, l3 + usize::from(u16::from_be_bytes([header[2], header[3]]))),
        // an extension chain has a layer per header
        L3::Ipv6 if l4 == l3 + 40 => {
            (1, l4 + usize::from(u16::from_be_bytes([header[4], header[5]])))
        }
        _ => return None,
    };
    if end > room as usize || end < l4 {
        return None;
    }
    let l4_len = end - l4;
    let (transport, ports) = match at.ip_proto {
        6 => (0, tcp(frame, l4, l4_len)?),
        17 => (1, udp(frame, l4, l4_len, apps)?),
        1 if v6 == 0 => (2, icmp_echo(frame, l4, l4_len)?),
        58 if v6 == 1 => (3, icmpv6_plain(frame, l4, l4_len)?),
        _ => return None,
    };
    let app = if transport < 2 { apps.find(ports.0, ports.1) } else { 0 };
    let index = ((tagged * 2 + v6) * 4 + transport) << APP_BITS | u16::from(app);
    Some(Quick { class: Class(index), ports })
}

#[inline(always)]
fn tcp(frame: &[u8], l4: usize, l4_len: usize) -> Option<(u16, u16)> {
    let header = frame.get(l4..l4 + 20)?;
    let header_len = usize::from(header[12] >> 4) * 4;
    if header_len < 20 || header_len > l4_len || l4 + header_len > frame.len() {
        return None;
    }
    Some(ports(header))
}

#[inline(always)]
fn udp(frame: &[u8], l4: usize, l4_len: usize, apps: &Apps) -> Option<(u16, u16)> {
    let header = frame.get(l4..l4 + 8)?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let (src, dst) = ports(header);
    if length < 8 || length > l4_len || apps.maybe_tunnel(src, dst) {
        return None;
    }
    Some((src, dst))
}

/// Only what quotes no other packet: echo request and reply.
#[inline(always)]
fn icmp_echo(frame: &[u8], l4: usize, l4_len: usize) -> Option<(u16, u16)> {
    let header = frame.get(l4..l4 + 8)?;
    (matches!(header[0], 0 | 8) && l4_len >= 8).then_some((0, 0))
}

/// Echo and neighbour discovery (RFC 4443, RFC 4861).
#[inline(always)]
fn icmpv6_plain(frame: &[u8], l4: usize, l4_len: usize) -> Option<(u16, u16)> {
    let header = frame.get(l4..l4 + 8)?;
    (matches!(header[0], 128..=129 | 133..=136) && l4_len >= 8).then_some((0, 0))
}

#[inline(always)]
fn ports(header: &[u8]) -> (u16, u16) {
    (u16::from_be_bytes([header[0], header[1]]), u16::from_be_bytes([header[2], header[3]]))
}

impl Class {
    /// The chain of protocols, without the application.
    pub(super) fn kinds(self) -> impl Iterator<Item = &'static str> {
        let rest = usize::from(self.0) >> APP_BITS;
        let (transport, v6, tagged) = (rest & 3, rest >> 2 & 1, rest >> 3);
        let vlan = (tagged == 1).then_some("vlan");
        let ip = if v6 == 1 { "ipv6" } else { "ip" };
        ["eth"].into_iter().chain(vlan).chain([ip, TRANSPORTS[transport]])
    }

    /// The application guessed from the ports.
    pub(super) fn app(self) -> Option<&'static str> {
        let app = self.0 & (Apps::MAX as u16 - 1);
        let transport = self.0 >> APP_BITS & 3;
        Apps::name(app as App, TRANSPORTS[usize::from(transport)] == "tcp")
    }
}

/// Counts by class.
#[derive(Debug)]
pub(super) struct ClassCounts(Vec<Counts>);

impl Default for ClassCounts {
    fn default() -> Self {
        Self(vec![Counts::default(); CLASSES])
    }
}

impl ClassCounts {
    /// Counts a frame.
    #[inline(always)]
    pub(super) fn add(&mut self, class: Class, bytes: u64) {
        self.0[usize::from(class.0)].add(bytes);
    }

    /// Adds the counts of another.
    pub(super) fn merge(&mut self, other: &Self) {
        for (counts, more) in self.0.iter_mut().zip(&other.0) {
            counts.merge(*more);
        }
    }

    /// Moves what was counted to the tree.
    pub(super) fn drain_into(&mut self, tree: &mut Tree) {
        for (index, counts) in self.0.iter_mut().enumerate() {
            if counts.frames > 0 {
                let class = Class(index as u16);
                tree.add(class.kinds(), class.app(), std::mem::take(counts));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_knows_its_chain() {
        let apps = Apps::default();
        let app = apps.find(53, 40_000);
        let class = Class((((2 + 1) * 4 + 1) << APP_BITS) as u16 | u16::from(app));
        assert_eq!(class.kinds().collect::<Vec<_>>(), ["eth", "vlan", "ipv6", "udp"]);
        assert_eq!(class.app(), Some("dns"));
        assert_eq!(Class(0).kinds().collect::<Vec<_>>(), ["eth", "ip", "tcp"]);
        assert_eq!(Class(0).app(), None);
    }
}
