//! The names of link types against libpcap's own header, where it is installed.
//!
//! `LINKTYPE_` numbers are what files hold, `DLT_` numbers what programs see. From 104 on the two
//! are the same by rule (pcap-common.c); below, `DLT_` numbers differ between systems and files
//! hold other ones. Last compared by hand with the registry's page on tcpdump.org of 2026-08-20:
//! no difference; names that page no longer lists (reserved numbers) are libpcap's.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test fails by panicking

use std::collections::BTreeMap;
use std::path::Path;

use skb::LinkType;

/// Where the header has another word than the registry: number, header, registry.
const OTHER_WORDS: [(u16, &str, &str); 10] = [
    (1, "EN10MB", "ETHERNET"),
    (2, "EN3MB", "EXP_ETHERNET"),
    (6, "IEEE802", "IEEE802_5"),
    (7, "ARCNET", "ARCNET_BSD"),
    (50, "PPP_SERIAL", "PPP_HDLC"),
    (112, "HDLC", "NETBSD_HDLC"),
    (119, "PRISM_HEADER", "IEEE802_11_PRISM"),
    (120, "AIRONET_HEADER", "IEEE802_11_AIRONET"),
    (127, "IEEE802_11_RADIO", "IEEE802_11_RADIOTAP"),
    (163, "IEEE802_11_RADIO_AVS", "IEEE802_11_AVS"),
];
/// The header still has the old name of what was renamed: IPMB_LINUX.
const RENAMED: (u16, &str, &str) = (209, "IPMB_LINUX", "I2C_LINUX");
/// Numbers that the header gives to systems, not to files: 11 to 49 without the raw IP ones, and
/// REDBACK_SMARTEDGE.
const OF_SYSTEMS: std::ops::Range<u16> = 11..50;

/// Every `#define DLT_NAME NUMBER`; some numbers have several names, by system.
fn header() -> Option<BTreeMap<u16, Vec<String>>> {
    let path = ["/usr/include/pcap/dlt.h", "/usr/local/include/pcap/dlt.h"];
    let path = path.iter().map(Path::new).find(|path| path.is_file())?;
    let mut names = BTreeMap::<u16, Vec<String>>::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let mut words = line.trim_start_matches(['#', ' ', '\t']).split_whitespace();
        if words.next() != Some("define") {
            continue;
        }
        let name = words.next().and_then(|word| word.strip_prefix("DLT_"));
        let number = words.next().and_then(|word| word.parse().ok());
        if let (Some(name), Some(number)) = (name, number) {
            names.entry(number).or_default().push(name.to_owned());
        }
    }
    Some(names)
}

#[test]
fn names_are_those_of_libpcap() {
    let Some(header) = header() else {
        println!("skipped: libpcap's headers are not installed (libpcap-dev)");
        return;
    };
    assert!(header.len() > 150, "the header was read: {} numbers", header.len());
    let mut compared = 0;
    for (number, names) in &header {
        if OF_SYSTEMS.contains(number) {
            continue;
        }
        let ours = LinkType(*number).name();
        let other = OTHER_WORDS.iter().chain([&RENAMED]).find(|(n, ..)| n == number);
        let expected: Vec<&str> = match other {
            Some((_, word, registry)) => {
                assert!(names.iter().any(|name| name == word), "{number}: {names:?}");
                vec![registry]
            }
            None => names.iter().map(String::as_str).collect(),
        };
        assert!(ours.is_some_and(|name| expected.contains(&name)), "{number}: {ours:?} {names:?}");
        compared += 1;
    }
    assert!(compared > 150, "{compared}");
}

#[test]
fn numbers_that_only_files_have_keep_their_names() {
    // pcap-common.c: what DLT_ numbers below 104 are mapped to when a file is written
    for (number, name) in [
        (12, "RAW"),
        (14, "RAW"),
        (100, "ATM_RFC1483"),
        (101, "RAW"),
        (102, "SLIP_BSDOS"),
        (103, "PPP_BSDOS"),
        (106, "ATM_CLIP"),
        (110, "LANE8023"),
        (111, "HIPPI"),
    ] {
        assert_eq!(LinkType(number).name(), Some(name));
    }
    assert_eq!(LinkType(303).name(), Some("DEBUG_ONLY"));
}
