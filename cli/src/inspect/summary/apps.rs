//! Applications by port number: a guess, always labelled as one. What the bytes say is another
//! command's work.

use std::sync::LazyLock;

/// Application of a port: 0 is none.
pub(super) type App = u8;

/// Port, name over TCP, name over UDP (empty: none). Names are Wireshark's where it has one; ports
/// are IANA's service name registry, or the vendor's documentation.
const PORTS: &[(u16, &str, &str)] = &[
    (20, "ftp-data", ""),
    (21, "ftp", ""),
    (22, "ssh", ""),
    (23, "telnet", ""),
    (25, "smtp", ""),
    (49, "tacplus", ""),
    (53, "dns", "dns"),
    (67, "", "dhcp"),
    (68, "", "dhcp"),
    (69, "", "tftp"),
    (80, "http", ""),
    (88, "kerberos", "kerberos"),
    (104, "dicom", ""),
    (110, "pop", ""),
    (111, "rpc", "rpc"),
    (119, "nntp", ""),
    (123, "", "ntp"),
    (135, "dcerpc", ""),
    (137, "", "nbns"),
    (138, "", "nbdgm"),
    (139, "nbss", ""),
    (143, "imap", ""),
    (161, "", "snmp"),
    (162, "", "snmp-trap"),
    (179, "bgp", ""),
    (389, "ldap", "cldap"),
    (443, "https", "quic"),
    (445, "smb", ""),
    (465, "smtps", ""),
    (500, "", "isakmp"),
    (502, "modbus", ""),
    (514, "", "syslog"),
    (515, "lpd", ""),
    (546, "", "dhcpv6"),
    (547, "", "dhcpv6"),
    (554, "rtsp", ""),
    (587, "smtp", ""),
    (631, "ipp", ""),
    (636, "ldaps", ""),
    (853, "dns-over-tls", "doq"),
    (873, "rsync", ""),
    (902, "vmware-auth", ""),
    (993, "imaps", ""),
    (995, "pops", ""),
    (1194, "openvpn", "openvpn"),
    (1433, "tds", ""),
    (1521, "oracle-tns", ""),
    (1723, "pptp", ""),
    (1812, "", "radius"),
    (1813, "", "radius"),
    (1883, "mqtt", ""),
    (1900, "", "ssdp"),
    (2049, "nfs", "nfs"),
    (2575, "hl7", ""),
    (3050, "firebird", ""),
    (3260, "iscsi", ""),
    (3268, "ldap", ""),
    (3306, "mysql", ""),
    (3389, "rdp", "rdp-udp"),
    (3478, "stun", "stun"),
    (4242, "dicom", ""),
    (4500, "", "ipsec-nat-t"),
    (5060, "sip", "sip"),
    (5353, "", "mdns"),
    (5355, "", "llmnr"),
    (5432, "postgresql", ""),
    (5900, "vnc", ""),
    (5938, "teamviewer", "teamviewer"),
    (5985, "winrm", ""),
    (6379, "redis", ""),
    (6568, "anydesk", ""),
    (7070, "anydesk", ""),
    (8000, "http-alt", ""),
    (8080, "http-alt", ""),
    (8443, "https-alt", ""),
    (9100, "printer", ""),
    (11112, "dicom", ""),
    (51820, "", "wireguard"),
];

/// Marks a tunnel's port in the table.
const TUNNEL: u8 = 0x80;

/// Ports to applications, by one look each.
#[derive(Debug)]
pub struct Apps {
    by_port: Box<[App]>,
}

impl Default for Apps {
    fn default() -> Self {
        let mut by_port = vec![0; 1 << 16].into_boxed_slice();
        for (i, (port, ..)) in PORTS.iter().enumerate() {
            by_port[usize::from(*port)] = i as App + 1;
        }
        // behind these UDP ports the full decode looks for a tunnel
        for port in (0..=u16::MAX).filter(|&port| skb::decode::is_tunnel_port(port)) {
            by_port[usize::from(port)] |= TUNNEL;
        }
        Self { by_port }
    }
}

impl Apps {
    /// The table of this process.
    pub fn table() -> &'static Self {
        static TABLE: LazyLock<Apps> = LazyLock::new(Apps::default);
        &TABLE
    }

    /// Most applications there can be, and "none".
    pub const MAX: usize = 128;

    /// The application of a pair of ports: of the lower port that has one.
    #[inline(always)]
    pub fn find(&self, a: u16, b: u16) -> App {
        let low = self.by_port[usize::from(a.min(b))] & !TUNNEL;
        if low != 0 { low } else { self.by_port[usize::from(a.max(b))] & !TUNNEL }
    }

    /// Over UDP, one of the ports may lead into a tunnel.
    #[inline(always)]
    pub fn maybe_tunnel(&self, a: u16, b: u16) -> bool {
        (self.by_port[usize::from(a)] | self.by_port[usize::from(b)]) & TUNNEL != 0
    }

    /// Its name over TCP or UDP.
    pub fn name(app: App, tcp: bool) -> Option<&'static str> {
        let (_, over_tcp, over_udp) = PORTS.get(usize::from(app).checked_sub(1)?)?;
        let name = if tcp { over_tcp } else { over_udp };
        (!name.is_empty()).then_some(name)
    }

    /// The name usual for a port, if it has one.
    pub fn of_port(port: u16, tcp: bool) -> Option<&'static str> {
        let at = PORTS.binary_search_by_key(&port, |entry| entry.0).ok()?;
        Self::name(at as App + 1, tcp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_fits() {
        assert!(PORTS.len() < Apps::MAX);
        assert!(PORTS.is_sorted_by(|a, b| a.0 < b.0));
        let apps = Apps::default();
        assert_eq!(Apps::name(apps.find(50_000, 443), true), Some("https"));
        assert_eq!(Apps::name(apps.find(443, 50_000), false), Some("quic"));
        assert_eq!(Apps::name(apps.find(40_000, 50_000), true), None);
        assert_eq!(Apps::name(apps.find(9100, 22), true), Some("ssh"));
        assert_eq!(Apps::of_port(53, false), Some("dns"));
        assert_eq!(Apps::of_port(67, true), None);
    }
}
