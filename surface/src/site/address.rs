//! Which addresses are inside, by the registries' classes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Private use (RFC 1918, RFC 4193) or link-local (RFC 3927, RFC 4291): of this site.
    Inside,
    /// Shared address space of a provider's NAT (RFC 6598): neither.
    Shared,
    /// Multicast, broadcast, loopback, unspecified: no host.
    NoHost,
    /// A global IPv6 address: may be of this site, which has no NAT.
    Global6,
    /// Anything else: the internet. Documentation ranges count as such, they stand for it.
    Outside,
}

/// The class of an address (IANA "IPv4/IPv6 Special-Purpose Address Registry").
pub fn place(ip: IpAddr) -> Place {
    match ip.to_canonical() {
        IpAddr::V4(ip) => place4(ip),
        IpAddr::V6(ip) => place6(ip),
    }
}

fn place4(ip: Ipv4Addr) -> Place {
    let [a, b, ..] = ip.octets();
    if ip.is_unspecified() || ip.is_loopback() || ip.is_broadcast() || ip.is_multicast() || a == 0 {
        Place::NoHost
    } else if ip.is_private() || ip.is_link_local() {
        Place::Inside
    } else if a == 100 && (64..128).contains(&b) {
        Place::Shared
    } else if a >= 240 {
        Place::NoHost
    } else {
        Place::Outside
    }
}

fn place6(ip: Ipv6Addr) -> Place {
    let first = ip.segments()[0];
    if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() {
        Place::NoHost
    } else if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80 {
        Place::Inside
    } else {
        Place::Global6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        for (ip, expected) in [
            ("192.168.1.10", Place::Inside),
            ("172.31.255.1", Place::Inside),
            ("172.32.0.1", Place::Outside),
            ("203.0.113.7", Place::Outside),
            ("100.64.0.1", Place::Shared),
            ("224.0.0.251", Place::NoHost),
            ("255.255.255.255", Place::NoHost),
            ("fe80::1", Place::Inside),
            ("fd00::1", Place::Inside),
            ("2001:db8::1", Place::Global6),
            ("::ffff:10.0.0.1", Place::Inside),
        ] {
            assert_eq!(place(ip.parse().unwrap()), expected, "{ip}");
        }
    }
}
