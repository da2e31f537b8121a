//! Hosts inside: the names they go by and who says so, and their network cards.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use skb::MacAddr;
use skb::locate::{L3, locate_ethernet};

use super::lan::dhcp_options;
use super::names::{RecordData, names, netbios, rtype};
use super::{Message, Place, place};
use crate::App;
use crate::facts::{KeyedName, NameKey};
use crate::tls::text;

/// Hosts remembered.
const HOSTS_MAX: usize = 16_384;
/// Names and cards remembered of one.
const EACH_MAX: usize = 8;
/// Names remembered that clients gave before they had an address.
const CLIENTS_MAX: usize = 4096;
/// Bytes of a name.
const NAME_MAX: usize = 255;

/// Who says that a host has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameSource {
    /// The host itself, when it asked for an address (RFC 2132 section 3.14).
    Dhcp,
    /// A name server.
    Dns,
    /// The host itself by multicast DNS.
    Mdns,
    /// The host itself by NetBIOS.
    Netbios,
    /// The host itself by LLMNR.
    Llmnr,
    /// A switch or the like of itself, by LLDP (IEEE 802.1AB).
    Lldp,
    /// The same by Cisco's protocol.
    Cdp,
}

impl NameSource {
    /// In lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dhcp => "dhcp",
            Self::Dns => "dns",
            Self::Mdns => "mdns",
            Self::Netbios => "nbns",
            Self::Llmnr => "llmnr",
            Self::Lldp => "lldp",
            Self::Cdp => "cdp",
        }
    }
}

/// What is kept of a network card: who made it, not which one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Card {
    /// The first three bytes of its address (IEEE "OUI"); what they say only if not `random`.
    pub maker: [u8; 3],
    /// The address was not given by a maker: a telephone that changes it, or software.
    pub local: bool,
    /// The product that gives its virtual machines such addresses.
    pub hypervisor: Option<&'static str>,
    /// The whole address as a keyed hash.
    pub id: KeyedName,
}

impl Card {
    fn of(mac: MacAddr, key: &NameKey) -> Self {
        let [a, b, c, ..] = mac.0;
        let hypervisor = hypervisor(mac);
        Self { maker: [a, b, c], local: mac.is_local(), hypervisor, id: key.card(mac) }
    }
}

/// The product that gives its virtual machines such addresses (IEEE registrations; QEMU's is its
/// own choice).
pub(super) const fn hypervisor(mac: MacAddr) -> Option<&'static str> {
    let [a, b, c, ..] = mac.0;
    match [a, b, c] {
        [0x00, 0x15, 0x5d] => Some("hyper-v"),
        [0x00, 0x50, 0x56] | [0x00, 0x0c, 0x29] | [0x00, 0x05, 0x69] => Some("vmware"),
        [0x52, 0x54, 0x00] => Some("qemu"),
        [0xbc, 0x24, 0x11] => Some("proxmox"),
        [0x00, 0x16, 0x3e] => Some("xen"),
        [0x08, 0x00, 0x27] => Some("virtualbox"),
        _ => None,
    }
}

/// A host inside.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its address.
    pub ip: IpAddr,
    /// Names, by who says so.
    pub names: BTreeSet<(NameSource, String)>,
    /// Cards that it was seen with.
    pub cards: Vec<Card>,
    /// Nanoseconds since 1970 of the first frame that told of it.
    pub first_ns: i64,
    /// And of the last.
    pub last_ns: i64,
    /// Number of the first.
    pub frame: u64,
}

#[derive(Debug, Default)]
struct Known {
    names: BTreeSet<(NameSource, String)>,
    macs: BTreeSet<MacAddr>,
    first_ns: i64,
    last_ns: i64,
    frame: u64,
}

/// Where and when something was said.
type At = (u64, i64);

#[derive(Debug, Default)]
pub(super) struct Hosts {
    all: BTreeMap<IpAddr, Known>,
    /// Names that clients of DHCP gave, by their cards.
    clients: BTreeMap<MacAddr, String>,
}

impl Hosts {
    fn host(&mut self, ip: IpAddr, (frame, ns): At) -> Option<&mut Known> {
        let room = self.all.len() < HOSTS_MAX || self.all.contains_key(&ip);
        if place(ip) != Place::Inside || !room {
            return None;
        }
        let new = || Known { first_ns: ns, last_ns: ns, frame, ..Known::default() };
        let known = self.all.entry(ip).or_insert_with(new);
        // what is told late may have been said earlier
        if frame < known.frame {
            known.frame = frame;
        }
        known.first_ns = known.first_ns.min(ns);
        known.last_ns = known.last_ns.max(ns);
        Some(known)
    }

    fn name(&mut self, ip: IpAddr, source: NameSource, name: &str, at: At) {
        let name = name.trim_end_matches('.');
        if name.is_empty() || name.len() > NAME_MAX {
            return;
        }
        if let Some(known) = self.host(ip, at)
            && known.names.len() < EACH_MAX
        {
            known.names.insert((source, name.to_owned()));
        }
    }

    fn card(&mut self, ip: IpAddr, mac: MacAddr, at: At) {
        if mac.is_valid_source()
            && let Some(known) = self.host(ip, at)
            && known.macs.len() < EACH_MAX
        {
            known.macs.insert(mac);
        }
    }

    /// An Ethernet frame that carries no IP packet: ARP, LLDP, CDP.
    pub(super) fn link_frame(&mut self, bytes: &[u8], ns: i64, frame: u64) {
        let at = locate_ethernet(bytes);
        let payload = bytes.get(usize::from(at.l3)..).unwrap_or_default();
        match (at.kind, at.ethertype) {
            (L3::Arp, _) => {
                // RFC 826, for IPv4 over Ethernet
                let Some(packet) = payload.first_chunk::<28>() else { return };
                if packet[..6] == [0, 1, 8, 0, 6, 4] && packet[14..18] != [0; 4] {
                    let ip = Ipv4Addr::new(packet[14], packet[15], packet[16], packet[17]);
                    self.card(ip.into(), MacAddr::from_slice(&packet[8..14]), (frame, ns));
                }
            }
            (_, 0x88cc) => {
                if let (Some(name), Some(ip)) = lldp(payload) {
                    self.name(ip, NameSource::Lldp, &name, (frame, ns));
                }
            }
            // LLC and SNAP of Cisco, protocol 2000
            (L3::Llc, _) => {
                if let Some(packet) = payload.strip_prefix(&[0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0])
                    && let (Some(name), Some(ip)) = cdp(packet)
                {
                    self.name(ip, NameSource::Cdp, &name, (frame, ns));
                }
            }
            _ => {}
        }
    }

    pub(super) fn message(&mut self, message: &Message<'_>) {
        let at = (message.frame, message.time_ns);
        if message.app == App::Dhcp {
            return self.dhcp(message.payload, at);
        }
        let source = match message.app {
            App::Dns => NameSource::Dns,
            App::Mdns => NameSource::Mdns,
            App::NetbiosNs => NameSource::Netbios,
            App::Llmnr => NameSource::Llmnr,
            _ => return,
        };
        // what is said to everybody comes straight from the sender's card
        if source != NameSource::Dns
            && place(message.to.0) == Place::NoHost
            && let Some(mac) = message.mac
        {
            self.card(message.from.0, mac, at);
        }
        // a question tells nothing of who is who
        let asks = message.payload.get(2).is_none_or(|flags| flags & 0x80 == 0);
        if asks && source != NameSource::Netbios {
            return;
        }
        let Some(read) = names(message.payload) else { return };
        let registers = source == NameSource::Netbios && !read.response && read.opcode == 5;
        let answers = read.response && read.fine;
        if !answers && !registers {
            return;
        }
        for record in &read.records {
            match &record.data {
                RecordData::Address(ip) if source == NameSource::Netbios => {
                    // of a computer or its shares, not of a group
                    let name = netbios(&record.name).filter(|(_, last)| matches!(last, 0 | 0x20));
                    if let Some((name, _)) = name
                        && *ip == message.from.0
                        && !is_group(message.payload)
                    {
                        self.name(*ip, source, &name, at);
                    }
                }
                RecordData::Address(ip) if source == NameSource::Dns || *ip == message.from.0 => {
                    self.name(*ip, source, &record.name, at);
                }
                RecordData::Name(name) if record.rtype == rtype::PTR => {
                    if let Some(ip) = reverse(&record.name) {
                        self.name(ip, source, name, at);
                    }
                }
                _ => {}
            }
        }
    }

    /// A client says its name; a server gives it an address.
    fn dhcp(&mut self, bytes: &[u8], at: At) {
        let (Some(&op), Some(mac)) = (bytes.first(), bytes.get(28..34)) else { return };
        // Ethernet
        if bytes.get(1..3) != Some(&[1, 6])
            || bytes.get(236..240) != Some(&[0x63, 0x82, 0x53, 0x63])
        {
            return;
        }
        let mac = MacAddr::from_slice(mac);
        let option = |wanted: u8| {
            dhcp_options(bytes).find(|&(code, _)| code == wanted).map(|(_, value)| value)
        };
        if op == 1 {
            let room = self.clients.len() < CLIENTS_MAX || self.clients.contains_key(&mac);
            if let Some(name) = option(12).map(text)
                && room
            {
                self.clients.insert(mac, name);
            }
        } else if option(53) == Some(&[5])
            && let Some(ip) = bytes.get(16..).and_then(<[u8]>::first_chunk::<4>)
        {
            let ip = Ipv4Addr::from(*ip).into();
            self.card(ip, mac, at);
            if let Some(name) = self.clients.get(&mac).cloned() {
                self.name(ip, NameSource::Dhcp, &name, at);
            }
        }
    }

    pub(super) fn list(&self, key: &NameKey) -> Vec<Host> {
        let host = |(&ip, known): (&IpAddr, &Known)| {
            let cards = known.macs.iter().map(|&mac| Card::of(mac, key)).collect();
            Host {
                ip,
                names: known.names.clone(),
                cards,
                first_ns: known.first_ns,
                last_ns: known.last_ns,
                frame: known.frame,
            }
        };
        self.all.iter().map(host).collect()
    }
}

/// Whether the name in a record of NetBIOS is a group's: bit G of the flags in front of the address
/// that ends the message (RFC 1002 section 4.2.1.3).
fn is_group(bytes: &[u8]) -> bool {
    bytes.len().checked_sub(6).and_then(|at| bytes.get(at)).is_some_and(|flags| flags & 0x80 != 0)
}

/// The address of a name of reverse look-up (RFC 1035 section 3.5).
fn reverse(name: &str) -> Option<IpAddr> {
    let mut parts = name.strip_suffix(".in-addr.arpa")?.split('.').map(str::parse::<u8>);
    let mut next = || parts.next()?.ok();
    let (d, c, b, a) = (next()?, next()?, next()?, next()?);
    parts.next().is_none().then_some(Ipv4Addr::new(a, b, c, d).into())
}

/// The system's name and an address to manage it by (IEEE 802.1AB clauses 8.5.6 and 8.5.9).
fn lldp(bytes: &[u8]) -> (Option<String>, Option<IpAddr>) {
    let (mut name, mut ip) = (None, None);
    let mut rest = bytes;
    for _ in 0..64 {
        let [a, b, behind @ ..] = rest else { break };
        let length = usize::from(a & 1) << 8 | usize::from(*b);
        let Some((value, behind)) = behind.split_at_checked(length) else { break };
        rest = behind;
        match (a >> 1, value) {
            (0, _) => break,
            (5, _) => name = Some(text(value)),
            // length 5, family IPv4
            (8, [5, 1, a, b, c, d, ..]) => ip = Some(Ipv4Addr::new(*a, *b, *c, *d).into()),
            _ => {}
        }
    }
    (name, ip)
}

/// The same of Cisco's protocol: version, time to live, checksum, then type, length and value.
fn cdp(bytes: &[u8]) -> (Option<String>, Option<IpAddr>) {
    let (mut name, mut ip) = (None, None);
    let mut rest = bytes.get(4..).unwrap_or_default();
    for _ in 0..64 {
        let [_, kind, high, low, ..] = rest else { break };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(value) = rest.get(4..length) else { break };
        rest = &rest[length..];
        match (kind, value) {
            (1, _) => name = Some(text(value)),
            // one or more addresses: NLPID of length 1, IP, length 4
            (2, [_, _, _, _, 1, 1, 0xcc, 0, 4, a, b, c, d, ..]) => {
                ip = Some(Ipv4Addr::new(*a, *b, *c, *d).into());
            }
            _ => {}
        }
    }
    (name, ip)
}

#[cfg(test)]
mod tests {
    use super::super::names::testing::{encoded, message as bytes};
    use super::*;

    fn message(app: App, from: [u8; 4], payload: &[u8]) -> Message<'_> {
        Message {
            app,
            from: (from.into(), 1),
            to: ([224, 0, 0, 252].into(), 2),
            payload,
            frame: 1,
            time_ns: 5,
            mac: Some(MacAddr([0, 0x15, 0x5d, 1, 2, 3])),
        }
    }

    fn named(hosts: &Hosts) -> Vec<(String, &'static str, String)> {
        let each = |host: Host| {
            let ip = host.ip.to_string();
            host.names.into_iter().map(move |(source, name)| (ip.clone(), source.name(), name))
        };
        hosts.list(&NameKey::new([7; 32])).into_iter().flat_map(each).collect()
    }

    const HOST: [u8; 4] = [192, 168, 1, 20];

    #[test]
    fn names_and_who_says_them() {
        let mut hosts = Hosts::default();
        let dns = bytes(0x8180, "pacs.practice.lan", 1, &HOST);
        hosts.message(&message(App::Dns, [192, 168, 1, 1], &dns));
        let nb = bytes(0x8500, &encoded("FRONT", 0x20), 32, &[&[0, 0], &HOST[..]].concat());
        hosts.message(&message(App::NetbiosNs, HOST, &nb));
        // an answer for another, a group, an address outside, no such name
        let mdns = bytes(0x8400, "other.local", 1, &[192, 168, 1, 21]);
        hosts.message(&message(App::Mdns, HOST, &mdns));
        let group = bytes(0x8500, &encoded("WORK", 0), 32, &[&[0x80, 0], &HOST[..]].concat());
        hosts.message(&message(App::NetbiosNs, HOST, &group));
        hosts.message(&message(App::Dns, HOST, &bytes(0x8180, "x.example", 1, &[9, 9, 9, 9])));
        hosts.message(&message(App::Dns, HOST, &bytes(0x8183, "no.lan", 1, &HOST)));
        let ip = "192.168.1.20".to_owned();
        let expected =
            [(ip.clone(), "dns", "pacs.practice.lan".into()), (ip, "nbns", "front".into())];
        assert_eq!(named(&hosts), expected);
        assert_eq!(hosts.list(&NameKey::new([7; 32]))[0].cards[0].hypervisor, Some("hyper-v"));
    }

    #[test]
    fn a_client_of_dhcp_and_its_address() {
        let dhcp = |op: u8, kind: u8, rest: &[u8]| {
            let mut bytes = vec![0; 236];
            bytes[..4].copy_from_slice(&[op, 1, 6, 0]);
            bytes[16..20].copy_from_slice(&HOST);
            bytes[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
            bytes.extend([0x63, 0x82, 0x53, 0x63, 53, 1, kind]);
            bytes.extend(rest);
            bytes.push(255);
            bytes
        };
        let mut hosts = Hosts::default();
        hosts.message(&message(App::Dhcp, [0; 4], &dhcp(1, 3, b"\x0c\x05FRONT")));
        assert!(named(&hosts).is_empty());
        hosts.message(&message(App::Dhcp, [192, 168, 1, 1], &dhcp(2, 5, &[])));
        assert_eq!(named(&hosts), [("192.168.1.20".into(), "dhcp", "FRONT".into())]);
        assert!(hosts.list(&NameKey::new([7; 32]))[0].cards[0].local);
    }

    #[test]
    fn switches_name_themselves() {
        let mut frame = vec![1, 0x80, 0xc2, 0, 0, 0x0e, 2, 0, 0, 0, 0, 1, 0x88, 0xcc];
        frame.extend([0x0a, 3, b's', b'w', b'1', 0x10, 12, 5, 1, 192, 168, 1, 2, 2, 0, 0, 0, 1, 0]);
        frame.extend([0, 0]);
        let mut hosts = Hosts::default();
        hosts.link_frame(&frame, 0, 1);
        let mut frame = vec![1, 0, 0x0c, 0xcc, 0xcc, 0xcc, 2, 0, 0, 0, 0, 1, 0, 37];
        frame.extend([0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0, 2, 180, 0, 0]);
        frame.extend([0, 1, 0, 7, b's', b'w', b'2']);
        frame.extend([0, 2, 0, 17, 0, 0, 0, 1, 1, 1, 0xcc, 0, 4, 192, 168, 1, 3]);
        hosts.link_frame(&frame, 0, 1);
        let expected = [
            ("192.168.1.2".into(), "lldp", "sw1".into()),
            ("192.168.1.3".into(), "cdp", "sw2".into()),
        ];
        assert_eq!(named(&hosts), expected);
        for end in 0..frame.len() {
            hosts.link_frame(&frame[..end], 0, 1);
        }
    }

    #[test]
    fn reverse_names() {
        assert_eq!(reverse("20.1.168.192.in-addr.arpa"), Some(HOST.into()));
        assert_eq!(reverse("1.168.192.in-addr.arpa"), None);
        assert_eq!(reverse("x.1.168.192.in-addr.arpa"), None);
    }
}
