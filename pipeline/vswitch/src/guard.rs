//! DHCP guard and router guard: what a guest must not send unless it is trusted to
//! (`Set-VMNetworkAdapter -DhcpGuard -RouterGuard`).
//!
//! Frames are read as a hostile sender's: through any stack of VLAN tags, with lengths checked
//! at every step. An IPv6 packet whose header chain does not end within its first fragment is
//! refused under either guard, as RFC 7113 section 3 asks of router guards.

use crate::vlan::{Tpid, be16};

/// Which guards are on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guards {
    pub(crate) dhcp: bool,
    pub(crate) router: bool,
}

/// Tags looked through: a stack deeper than that is refused.
const TAGS_MAX: usize = 4;
/// IPv6 extension headers looked through (RFC 8200 section 4.1 orders at most seven).
const EXTENSIONS_MAX: usize = 8;

const ICMP: u8 = 1;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// ICMP types of RFC 792 (redirect) and RFC 1256 (router advertisement).
const ICMP_ROUTER: [u8; 2] = [5, 9];
/// ICMPv6 types of RFC 4861: router advertisement, redirect.
const ICMPV6_ROUTER: [u8; 2] = [134, 137];
/// UDP ports of RFC 2131 (server 67, client 68) and RFC 8415 (client 546, server 547).
const DHCP: (u16, u16) = (67, 68);
const DHCPV6: (u16, u16) = (547, 546);

/// The upper layer of an IP packet.
enum Upper<'a> {
    Is(u8, &'a [u8]),
    /// A later fragment, or nothing of interest.
    Other,
    /// The chain of headers does not end in what is there.
    Hidden,
}

impl Guards {
    /// Whether the frame (from the destination MAC on) must be dropped.
    pub(crate) fn forbid(self, frame: &[u8]) -> bool {
        let mut at = 12;
        for _ in 0..=TAGS_MAX {
            let Some(ethertype) = be16(frame, at) else { return false };
            let payload = frame.get(at + 2..).unwrap_or_default();
            if Tpid::from_ethertype(ethertype).is_some() {
                at += 4;
                continue;
            }
            return match ethertype {
                0x0800 => self.forbid_upper(&ipv4(payload), DHCP, (ICMP, ICMP_ROUTER)),
                0x86dd => self.forbid_upper(&ipv6(payload), DHCPV6, (ICMPV6, ICMPV6_ROUTER)),
                _ => false,
            };
        }
        true
    }

    fn forbid_upper(
        self,
        upper: &Upper<'_>,
        (server, client): (u16, u16),
        (icmp, types): (u8, [u8; 2]),
    ) -> bool {
        match upper {
            Upper::Is(UDP, udp) if self.dhcp => {
                be16(udp, 0) == Some(server) || be16(udp, 2) == Some(client)
            }
            Upper::Is(proto, message) if self.router && *proto == icmp => {
                message.first().is_some_and(|kind| types.contains(kind))
            }
            Upper::Hidden => true,
            _ => false,
        }
    }
}

fn ipv4(packet: &[u8]) -> Upper<'_> {
    let (Some(&first), Some(fragment), Some(&proto)) =
        (packet.first(), be16(packet, 6), packet.get(9))
    else {
        return Upper::Other;
    };
    let header = usize::from(first & 15) * 4;
    if first >> 4 != 4 || header < 20 || fragment & 0x1fff != 0 {
        return Upper::Other;
    }
    packet.get(header..).map_or(Upper::Other, |upper| Upper::Is(proto, upper))
}

fn ipv6(packet: &[u8]) -> Upper<'_> {
    if packet.first().map(|b| b >> 4) != Some(6) {
        return Upper::Other;
    }
    let Some(&first) = packet.get(6) else { return Upper::Other };
    let (mut next, mut at) = (first, 40);
    for _ in 0..EXTENSIONS_MAX {
        let Some(header) = packet.get(at..).filter(|rest| !rest.is_empty()) else {
            return Upper::Hidden;
        };
        let length = match next {
            // Hop-by-hop, routing, destination options (RFC 8200 4.3, 4.4, 4.6), mobility (RFC
            // 6275), HIP (RFC 7401), shim6 (RFC 5533): length in 8-byte units beyond the first.
            0 | 43 | 60 | 135 | 139 | 140 => {
                header.get(1).map(|&units| (usize::from(units) + 1) * 8)
            }
            // Authentication header (RFC 4302): 4-byte units beyond the second.
            51 => header.get(1).map(|&units| (usize::from(units) + 2) * 4),
            44 => match be16(header, 2) {
                Some(offset) if offset & 0xfff8 != 0 => return Upper::Other,
                Some(_) => Some(8),
                None => None,
            },
            59 => return Upper::Other,
            proto => return Upper::Is(proto, header),
        };
        let Some(length) = length else { return Upper::Hidden };
        next = header[0];
        at += length;
    }
    Upper::Hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Guards = Guards { dhcp: true, router: true };

    fn eth(ethertype: u16, payload: &[u8]) -> Vec<u8> {
        [&[2; 12], &ethertype.to_be_bytes()[..], payload].concat()
    }

    fn v4(proto: u8, fragment: u16, upper: &[u8]) -> Vec<u8> {
        let mut ip = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, proto];
        ip[6..8].copy_from_slice(&fragment.to_be_bytes());
        ip.extend([0; 10]);
        ip.extend(upper);
        eth(0x0800, &ip)
    }

    fn v6(next: u8, rest: &[u8]) -> Vec<u8> {
        let mut ip = vec![0x60, 0, 0, 0, 0, 0, next, 255];
        ip.extend([0; 32]);
        ip.extend(rest);
        eth(0x86dd, &ip)
    }

    fn udp(src: u16, dst: u16) -> Vec<u8> {
        [src.to_be_bytes(), dst.to_be_bytes(), [0, 8], [0, 0]].concat()
    }

    #[test]
    fn servers_are_refused_and_clients_pass() {
        for (frame, forbidden) in [
            (v4(17, 0, &udp(67, 68)), true),
            (v4(17, 0, &udp(67, 67)), true),
            (v4(17, 0, &udp(4000, 68)), true),
            (v4(17, 0, &udp(68, 67)), false),
            (v4(17, 0x2000, &udp(67, 68)), true),
            (v4(17, 0x0001, &udp(67, 68)), false),
            (v4(6, 0, &udp(67, 68)), false),
            (v6(17, &udp(547, 546)), true),
            (v6(17, &udp(546, 547)), false),
            (v4(17, 0, &[]), false),
        ] {
            assert_eq!(BOTH.forbid(&frame), forbidden, "{frame:02x?}");
            assert!(!Guards { dhcp: false, router: true }.forbid(&frame));
        }
    }

    #[test]
    fn routers_are_refused_and_hosts_pass() {
        for (frame, forbidden) in [
            (v6(58, &[134, 0, 0, 0]), true),
            (v6(58, &[137, 0, 0, 0]), true),
            (v6(58, &[133, 0, 0, 0]), false),
            (v6(58, &[135, 0, 0, 0]), false),
            (v4(1, 0, &[9, 0]), true),
            (v4(1, 0, &[5, 1]), true),
            (v4(1, 0, &[8, 0]), false),
        ] {
            assert_eq!(BOTH.forbid(&frame), forbidden, "{frame:02x?}");
            assert!(!Guards { dhcp: true, router: false }.forbid(&frame));
        }
    }

    #[test]
    fn hiding_behind_headers_does_not_help() {
        let options = [58, 0, 0, 0, 0, 0, 0, 0, 134, 0];
        assert!(BOTH.forbid(&v6(0, &options)));
        assert!(BOTH.forbid(&v6(44, &options)), "first fragment");
        assert!(BOTH.forbid(&v6(60, &[58, 200, 0, 0])), "chain runs past the packet");
        assert!(BOTH.forbid(&v6(60, &[60; 8].repeat(500))), "chain without end");
        assert!(!BOTH.forbid(&v6(44, &[58, 0, 0, 8, 0, 0, 0, 0, 134])), "a later fragment");
        let inner = v6(58, &[134, 0, 0, 0]);
        let tags = [&[0x88, 0xa8, 0, 1][..], &[0x81, 0, 0, 2]].concat();
        let tagged = [&inner[..12], &tags, &inner[12..]].concat();
        assert!(BOTH.forbid(&tagged));
        let deep = [&inner[..12], &[0x81, 0, 0, 2].repeat(9), &inner[12..]].concat();
        assert!(BOTH.forbid(&deep));
    }

    #[test]
    fn frames_cut_anywhere_are_survived() {
        for frame in [v4(17, 0, &udp(67, 68)), v6(0, &[58, 0, 0, 0, 0, 0, 0, 0, 134, 0])] {
            for cut in 0..frame.len() {
                BOTH.forbid(&frame[..cut]);
            }
        }
    }
}
