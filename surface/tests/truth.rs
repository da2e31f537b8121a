//! Applications per conversation, on the captures beside the project, against what nDPI makes of
//! them. nDPI goes by port and by address in places, so what differs is listed with who is right
//! (`docs/testing.md`); what this test holds is that the sum of differences does not grow.
//!
//! `cargo test -p framewalk-surface --test truth -- --nocapture` prints the whole table.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use surface::{Analyzer, FlowRecord, Limits};

type Ends = (u8, (IpAddr, u16), (IpAddr, u16));

fn shared() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    if dir.join("truth/ndpi").is_dir() {
        return Some(dir);
    }
    println!("skipped: no ../shared/truth beside the project");
    None
}

fn ends(proto: u8, a: (IpAddr, u16), b: (IpAddr, u16)) -> Ends {
    if a <= b { (proto, a, b) } else { (proto, b, a) }
}

fn flows(file: &Path) -> Vec<FlowRecord> {
    let Ok(mut reader) = capture::Reader::open(file) else { return Vec::new() };
    let mut analyzer = Analyzer::new(Limits::default());
    while let Ok(Some(batch)) = reader.next_batch() {
        analyzer.batch(&batch);
    }
    analyzer.finish()
}

/// nDPI's name for the protocol, without the service, in our list's terms.
fn ours(name: &str) -> &'static [&'static str] {
    let mut parts = name.split('.');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    match (first, second) {
        ("NetBIOS", "SMBv1" | "SMBv23") | ("SMBv1" | "SMBv23", _) => &["smb", "nbdgm"],
        ("NetBIOS", _) => &["nbns", "nbdgm", "nbss", "smb"],
        ("TLS" | "IMAPS" | "POPS" | "SMTPS" | "FTPS", "AnyDesk") => &["anydesk"],
        ("TLS" | "IMAPS" | "POPS" | "SMTPS", _) => &["tls", "imap", "pop", "smtp", "ftp", "http"],
        ("DNS", _) => &["dns", "mdns", "llmnr"],
        ("HTTP" | "HTTP_Proxy", _) => &["http", "http-connect", "websocket", "ipp", "restic"],
        ("QUIC", _) => &["quic"],
        ("Kerberos", _) => &["kerberos"],
        ("LLMNR", _) => &["llmnr"],
        ("SNMP", _) => &["snmp"],
        ("IPsec" | "IPSec", _) => &["isakmp", "esp", "ah"],
        ("Syslog", _) => &["syslog"],
        ("NTP", _) => &["ntp"],
        ("ICMP", _) => &["icmp"],
        ("ICMPV6", _) => &["icmpv6"],
        ("IGMP", _) => &["igmp"],
        ("SSH", _) => &["ssh"],
        ("DHCP", _) => &["dhcp"],
        ("DHCPV6", _) => &["dhcpv6"],
        ("SSDP", _) => &["ssdp", "ws-discovery"],
        ("POP3", _) => &["pop"],
        ("RDP", _) => &["rdp"],
        ("MsSQL-TDS", _) => &["tds"],
        ("MDNS", _) => &["mdns"],
        ("VNC", _) => &["vnc"],
        ("LDAP", _) => &["ldap", "cldap"],
        ("DCE_RPC", _) => &["dcerpc"],
        ("PostgreSQL", _) => &["postgresql"],
        ("NFS", _) => &["nfs", "rpc"],
        ("Radius", _) => &["radius"],
        ("STUN", _) => &["stun"],
        ("MySQL", _) => &["mysql"],
        ("SMTP", _) => &["smtp"],
        ("FTP_CONTROL", _) => &["ftp"],
        ("FTP_DATA", _) => &["ftp-data"],
        ("SIP", _) => &["sip"],
        ("SOCKS", _) => &["socks", "rdp", "http", "tls", "ssh"],
        ("GRE", _) => &["gre"],
        ("BGP", _) => &["bgp"],
        ("Telnet", _) => &["telnet"],
        ("OpenVPN", _) => &["openvpn"],
        ("IMAP", _) => &["imap"],
        ("Teredo", _) => &["teredo"],
        ("TeamViewer", _) => &["teamviewer"],
        ("DTLS", _) => &["dtls"],
        ("Citrix", _) => &["citrix"],
        ("WireGuard", _) => &["wireguard"],
        ("TFTP", _) => &["tftp"],
        ("RTSP", _) => &["rtsp"],
        ("RTP", _) => &["rtp"],
        ("RTMP", _) => &["rtmp"],
        ("RSYNC", _) => &["rsync"],
        ("PPTP", _) => &["pptp"],
        ("OSPF", _) => &["ospf"],
        ("Oracle", _) => &["oracle"],
        ("H323", _) => &["h323"],
        ("SCTP", _) => &["sctp"],
        ("GTP", _) => &["gtp"],
        ("AFP", _) => &["afp"],
        ("Git", _) => &["git"],
        ("AJP", _) => &["ajp"],
        ("Cassandra", _) => &["cassandra"],
        ("DNP3", _) => &["dnp3"],
        ("CiscoSkinny", _) => &["skinny"],
        ("TINC", _) => &["tinc"],
        ("Whois-DAS", _) => &["whois"],
        ("Usenet", _) => &["nntp"],
        ("MQTT", _) => &["mqtt"],
        ("Unknown", _) => &[],
        _ => &["?"],
    }
}

#[test]
fn applications_agree_with_ndpi_where_both_name_one() {
    let Some(shared) = shared() else { return };
    // by nDPI's name: ours, how often; and a file where it differs
    let mut table: BTreeMap<String, BTreeMap<&str, (u64, String)>> = BTreeMap::new();
    let (mut same, mut different, mut missed, mut more, mut silent) = (0_u64, 0, 0, 0, 0);
    let mut files: Vec<_> =
        std::fs::read_dir(shared.join("pcaps")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let truth = shared.join("truth/ndpi").join(format!("{name}.tsv.gz"));
        let Ok(packed) = std::fs::File::open(truth) else { continue };
        let mut text = String::new();
        flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
        let mut by_ends: HashMap<Ends, (&str, u64)> = HashMap::new();
        let ours_all = flows(&file);
        for flow in &ours_all {
            let key = ends(flow.proto, (flow.src, flow.src_port), (flow.dst, flow.dst_port));
            let (app, bytes) = by_ends.entry(key).or_insert(("unknown", 0));
            *bytes += flow.opener_sent.bytes + flow.answerer_sent.bytes;
            if *app == "unknown" {
                *app = flow.app.name();
            }
        }
        let mut lines = text.lines();
        let heads: Vec<_> = lines.next().unwrap_or_default().split('\t').collect();
        let column = |name: &str| heads.iter().position(|head| *head == name);
        let (Some(proto), Some(src), Some(sp), Some(dst), Some(dp), Some(app)) = (
            column("protocol"),
            column("src_ip"),
            column("src_port"),
            column("dst_ip"),
            column("dst_port"),
            column("ndpi_proto"),
        ) else {
            continue;
        };
        for line in lines {
            let field: Vec<_> = line.split('\t').collect();
            let end = |ip: usize, port: usize| {
                Some((field.get(ip)?.parse().ok()?, field.get(port)?.parse().ok()?))
            };
            let (Some(a), Some(b), Some(proto)) =
                (end(src, sp), end(dst, dp), field.get(proto).and_then(|proto| proto.parse().ok()))
            else {
                continue;
            };
            let Some(&(got, bytes)) = by_ends.get(&ends(proto, a, b)) else { continue };
            if bytes == 0 && got == "unknown" {
                silent += 1; // nDPI names it by its port
                continue;
            }
            let theirs = field[app].to_owned();
            let wanted = ours(&theirs);
            let agrees = wanted.contains(&got);
            match (wanted, got) {
                _ if agrees => same += 1,
                ([] | ["?"], "unknown") => {}
                ([] | ["?"], _) => more += 1,
                (_, "unknown") => {
                    missed += 1;
                    println!("missed {theirs} in {name}: {line}");
                }
                _ => different += 1,
            }
            let master = theirs.split('.').next().unwrap_or_default().to_owned();
            let entry = table.entry(master).or_default().entry(got).or_default();
            entry.0 += 1;
            if !agrees {
                entry.1.clone_from(&name);
            }
        }
    }
    for (theirs, row) in &table {
        for (ours, (count, file)) in row {
            println!("{theirs:<18} {ours:<18} {count:>6}  {file}");
        }
    }
    println!(
        "same {same}, different {different}, not told by us {missed}, only by us {more}, \
         without data {silent}"
    );
    // what was found when this was written, with room for what other captures beside the project do
    assert!(same > 0, "nothing was compared");
    assert!(missed * 10 < same, "{missed} not told, {same} told alike");
    assert!(different * 50 < same, "{different} told otherwise, {same} told alike");
}
