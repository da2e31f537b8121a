//! Protocols that are named and not taken apart. Names are Wireshark's.

use super::LayerInfo;
use super::walk::{Next, Walk};

/// A layer for all that is left.
pub(super) fn named(w: &mut Walk<'_, '_>, name: &'static str) -> Next {
    let length = w.rest().len();
    if length > 0 {
        w.push(length, LayerInfo::Named(name));
    }
    Next::Data
}

/// `EtherType`s (IEEE registration authority; names as `tshark -G decodes` has them).
pub(super) const fn ethertype(ty: u16) -> Option<&'static str> {
    Some(match ty {
        0x0600 => "idp",
        0x0842 => "wol",
        0x2000 => "cdp",
        0x22ea => "mrp-msrp",
        0x22f0 => "ieee1722",
        0x22f3 => "trill",
        0x22f4 => "isis",
        0x6002 => "mop",
        0x6003 => "dec_dna",
        0x6004 => "lat",
        0x8035 => "arp",
        0x809a => "wpan",
        0x809b => "llap",
        0x80f3 => "aarp",
        0x8102 => "bofl",
        0x8137 => "ipx",
        0x8181 => "stp",
        0x8808 => "macc",
        0x8809 => "slow",
        0x886c => "hpna",
        0x886f => "msnlb",
        0x887b => "homeplug",
        0x888e | 0x88c7 => "eapol",
        0x8892 => "pn_rt",
        0x8899 => "realtek",
        0x889a => "hyperscsi",
        0x88a2 => "aoe",
        0x88a4 => "ecatf",
        0x88ab => "epl",
        0x88b7 => "ieee802a",
        0x88b8 => "goose",
        0x88ba => "sv",
        0x88ca => "tipc",
        0x88cc => "lldp",
        0x88cd => "siii",
        0x88d9 => "lltd",
        0x88e1 => "homeplug-av",
        0x88e3 => "pn_mrp",
        0x88ee => "elmi",
        0x88f5 => "mrp-mvrp",
        0x88f6 => "mrp-mmrp",
        0x88f7 => "ptp",
        0x88f8 => "ncsi",
        0x88fb => "hsr_prp_supervision",
        0x8902 => "cfm",
        0x8906 => "fcoe",
        0x8914 => "fip",
        0x8915 => "infiniband",
        0x8926 => "vntag",
        0x892f => "hsr",
        0x893a => "ieee1905",
        0x893f => "etag",
        0x8940 => "ecp21",
        0x9000 => "loop",
        0xbad => "vines_ip",
        0xfcfc => "mdshdr",
        _ => return None,
    })
}

/// IP protocol numbers (IANA) that are named only.
pub(super) const fn proto(number: u8) -> Option<&'static str> {
    Some(match number {
        9 => "igrp",
        46 => "rsvp",
        54 => "nhrp",
        80 => "osi",
        83 => "vines_frp",
        88 => "eigrp",
        89 => "ospf",
        93 => "ax25",
        103 => "pim",
        108 => "ipcomp",
        112 => "vrrp",
        113 => "pgm",
        _ => return None,
    })
}

/// LLC service access points, after the I/G bit of the address (IEEE 802.2 clause 3.3.1).
pub(super) const fn by_sap(dsap: u8) -> Next {
    match dsap {
        0x06 => Next::Ip,
        0x04 | 0x08 | 0x0c | 0x40 | 0xc8 => Next::Named("sna"),
        0x10 | 0xe0 => Next::Named("ipx"),
        0x14 | 0x20 | 0x34 | 0x54 | 0xfe => Next::Named("osi"),
        0x42 => Next::Named("stp"),
        0x7e => Next::Named("x25"),
        0x80 => Next::Named("3comxns"),
        0x82 => Next::Named("bacnet"),
        0xbc => Next::Named("vines_llc"),
        0xf0 => Next::Named("netbios"),
        0xf8 => Next::Named("hpext"),
        0xfc => Next::Named("rpl"),
        _ => Next::Data,
    }
}

/// SNAP protocols of OUI 00-00-0C.
pub(super) const fn cisco(pid: u16) -> Option<&'static str> {
    Some(match pid {
        0x0104 => "pagp",
        0x0108 | 0x0109 | 0x010b | 0x010c => "stp",
        0x0111 => "udld",
        0x0139 => "mcp",
        0x2000 => "cdp",
        0x2001 => "cgmp",
        0x2003 => "vtp",
        0x2004 => "dtp",
        _ => return None,
    })
}

/// PPP protocol numbers (IANA) that are named only.
pub(super) const fn ppp(protocol: u16) -> Option<&'static str> {
    Some(match protocol {
        0x0023 => "osi",
        0x0027 => "dec_dna",
        0x0029 => "ddp",
        0x002b => "ipx",
        0x002d | 0x002f => "vjc",
        0x0031 => "bcp_bpdu",
        0x0035 => "vines_ip",
        0x003d => "mp",
        0x004d => "sna",
        0x0059 => "pppmux",
        0x00fd => "comp_data",
        0x0205 => "dec_stp",
        0x0207 => "cdp",
        0x8021 => "ipcp",
        0x8023 => "osinlcp",
        0x8031 => "bcp_ncp",
        0x8057 => "ipv6cp",
        0x8059 => "pppmuxcp",
        0x80fd => "ccp",
        0x8207 => "cdpcp",
        0x8281 => "mplscp",
        0xc021 => "lcp",
        0xc023 => "pap",
        0xc029 => "cbcp",
        0xc02b => "bacp",
        0xc02d => "bap",
        0xc223 => "chap",
        0xc227 => "eap",
        _ => return None,
    })
}
