//! One decoded header: where it is, and what it says.

use std::net::Ipv4Addr;

use super::{Checksum, Ip, Ipv6, Ipv6ExtKind, Snap, Tcp};
use crate::MacAddr;

/// One header of a frame. `offset` counts from the first captured byte.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layer {
    /// First byte of the header, from the first byte of the capture record.
    pub offset: u32,
    /// Header bytes (not the payload), all of them captured.
    pub length: u32,
    /// Part of a datagram quoted inside an ICMP or `ICMPv6` error, not of this frame's own path.
    pub quoted: bool,
    /// What the header says.
    pub info: LayerInfo,
}

impl Layer {
    /// Wireshark's protocol name (`tshark -G protocols`, third column).
    pub const fn kind(&self) -> &'static str {
        self.info.kind()
    }

    /// First byte after the header.
    pub const fn end(&self) -> u32 {
        self.offset + self.length
    }
}

/// What a header says. Fields are in host order; lengths in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum LayerInfo {
    /// IEEE 802.3 clause 3.1.1: the MAC header.
    Eth {
        /// Destination address.
        dst: MacAddr,
        /// Source address.
        src: MacAddr,
        /// `<= 1500` a length, `>= 1536` an `EtherType`, between the two undefined.
        ty_or_len: u16,
    },
    /// IEEE 802.1Q clause 9.6: a tag, C-TAG or S-TAG. Length 4: TPID-following TCI and type.
    Vlan {
        /// The tag protocol identifier in front of it (0x8100, 0x88a8, 0x9100, 0x9200).
        tpid: u16,
        /// VLAN identifier, 0 means priority tagged.
        vid: u16,
        /// Priority code point.
        pcp: u8,
        /// Drop eligible indicator.
        dei: bool,
        /// Type or length of what follows.
        ty: u16,
    },
    /// IEEE 802.1ah I-TAG with the customer addresses.
    Ieee8021ah {
        /// Backbone service instance.
        isid: u32,
        /// Priority code point.
        pcp: u8,
        /// Drop eligible indicator.
        dei: bool,
        /// Customer destination.
        dst: MacAddr,
        /// Customer source.
        src: MacAddr,
        /// Type of what follows.
        ty: u16,
    },
    /// IEEE 802.1AE `SecTAG`.
    Macsec {
        /// TCI and AN bits.
        tci_an: u8,
        /// Short length.
        short_length: u8,
        /// Packet number.
        packet_number: u32,
        /// Secure channel identifier, when present.
        sci: Option<u64>,
    },
    /// IEEE 802.2 LLC.
    Llc {
        /// Destination service access point.
        dsap: u8,
        /// Source service access point.
        ssap: u8,
        /// Control field, 8 or 16 bits.
        control: u16,
        /// Present for SNAP (IEEE 802 clause 9): OUI and protocol identifier.
        snap: Option<Snap>,
    },
    /// RFC 826.
    Arp {
        /// Hardware type, 1 is Ethernet.
        hardware: u16,
        /// Protocol type, 0x0800 is IPv4.
        protocol: u16,
        /// 1 request, 2 reply.
        op: u16,
        /// Sender hardware address, when six bytes long.
        sender_mac: Option<MacAddr>,
        /// Sender protocol address, when four bytes long.
        sender_ip: Option<Ipv4Addr>,
        /// Target hardware address, when six bytes long.
        target_mac: Option<MacAddr>,
        /// Target protocol address, when four bytes long.
        target_ip: Option<Ipv4Addr>,
    },
    /// RFC 791.
    Ip(Ip),
    /// RFC 8200.
    Ipv6(Ipv6),
    /// An IPv6 extension header (RFC 8200 section 4) or one that is walked like it.
    Ipv6Ext {
        /// Which.
        header: Ipv6ExtKind,
        /// Next header number.
        next: u8,
    },
    /// RFC 8200 section 4.5.
    Ipv6Frag {
        /// Next header of the fragmentable part.
        next: u8,
        /// Offset in bytes.
        frag_offset: u32,
        /// More fragments follow.
        more: bool,
        /// Identification.
        id: u32,
    },
    /// RFC 4302.
    Ah {
        /// Next header number.
        next: u8,
        /// Security parameters index.
        spi: u32,
        /// Sequence number.
        seq: u32,
    },
    /// RFC 4303; what it carries is encrypted.
    Esp {
        /// Security parameters index.
        spi: u32,
        /// Sequence number.
        seq: u32,
    },
    /// RFC 9293.
    Tcp(Tcp),
    /// RFC 768.
    Udp {
        /// Source port.
        src_port: u16,
        /// Destination port.
        dst_port: u16,
        /// Length field.
        length: u16,
        /// Over the pseudo-header and all data.
        checksum: Checksum,
    },
    /// RFC 3828.
    UdpLite {
        /// Source port.
        src_port: u16,
        /// Destination port.
        dst_port: u16,
        /// Checksum coverage field, 0 means all.
        coverage: u16,
        /// Over the pseudo-header and the covered bytes.
        checksum: Checksum,
    },
    /// RFC 9260 common header.
    Sctp {
        /// Source port.
        src_port: u16,
        /// Destination port.
        dst_port: u16,
        /// Verification tag.
        tag: u32,
        /// Type of the first chunk, when there is one.
        chunk: Option<u8>,
        /// CRC-32c.
        checksum: Checksum,
    },
    /// RFC 4340 generic header.
    Dccp {
        /// Source port.
        src_port: u16,
        /// Destination port.
        dst_port: u16,
        /// Packet type.
        ty: u8,
    },
    /// RFC 792.
    Icmp {
        /// Type.
        ty: u8,
        /// Code.
        code: u8,
        /// Over the whole message.
        checksum: Checksum,
        /// Identifier of echo messages, else bytes 4 and 5.
        id: u16,
        /// Sequence number of echo messages, else bytes 6 and 7.
        seq: u16,
    },
    /// RFC 4443, RFC 4861.
    Icmpv6 {
        /// Type.
        ty: u8,
        /// Code.
        code: u8,
        /// Over the pseudo-header and the whole message.
        checksum: Checksum,
        /// Identifier of echo messages, else bytes 4 and 5.
        id: u16,
        /// Sequence number of echo messages, else bytes 6 and 7.
        seq: u16,
    },
    /// RFC 1112, 2236, 3376.
    Igmp {
        /// Type.
        ty: u8,
        /// Maximum response time in tenths of a second (code of version 3).
        max_resp: u8,
        /// Over the whole message.
        checksum: Checksum,
        /// Group address.
        group: Option<Ipv4Addr>,
    },
    /// RFC 2784, 2890; version 1 is RFC 2637 (PPTP).
    Gre {
        /// Version, 0 or 1.
        version: u8,
        /// Protocol type of the payload.
        protocol: u16,
        /// Key field (version 1: payload length and call identifier).
        key: Option<u32>,
        /// Sequence number.
        seq: Option<u32>,
    },
    /// draft-foschiano-erspan; version number as in the header: 0 is type I, 1 II, 2 III.
    Erspan {
        /// 0 (type I, no header), 1 (type II) or 2 (type III).
        version: u8,
        /// VLAN of the mirrored frame.
        vid: u16,
        /// Session identifier.
        session: u16,
    },
    /// RFC 7348.
    Vxlan {
        /// Network identifier.
        vni: u32,
        /// Flags byte.
        flags: u8,
        /// Group policy identifier (VXLAN-GBP), 0 when absent.
        group: u16,
    },
    /// draft-ietf-nvo3-vxlan-gpe.
    VxlanGpe {
        /// Network identifier.
        vni: u32,
        /// Flags byte.
        flags: u8,
        /// Next protocol.
        next: u8,
    },
    /// RFC 8926.
    Geneve {
        /// Network identifier.
        vni: u32,
        /// Protocol type of the payload.
        protocol: u16,
        /// Bytes of options.
        options: u8,
        /// Control packet.
        oam: bool,
    },
    /// RFC 3032: one label stack entry.
    Mpls {
        /// Label.
        label: u32,
        /// Traffic class.
        tc: u8,
        /// Bottom of the stack.
        bottom: bool,
        /// Time to live.
        ttl: u8,
    },
    /// RFC 4385 pseudowire control word in front of Ethernet.
    PwControl {
        /// The 32 bits.
        word: u32,
    },
    /// RFC 2516.
    Pppoe {
        /// Discovery (0x8863) rather than session (0x8864).
        discovery: bool,
        /// Code.
        code: u8,
        /// Session identifier.
        session: u16,
        /// Length field.
        length: u16,
    },
    /// RFC 1661, with or without RFC 1662's address and control bytes.
    Ppp {
        /// Protocol number.
        protocol: u16,
    },
    /// 3GPP TS 29.281 / 29.060: GTP version 1 (or GTP' when `version` says 0 of it).
    Gtp {
        /// Version.
        version: u8,
        /// Message type; 255 is a G-PDU.
        message: u8,
        /// Tunnel endpoint identifier.
        teid: u32,
        /// Length field.
        length: u16,
    },
    /// RFC 2661 (version 2), RFC 3931 (version 3).
    L2tp {
        /// 2 or 3.
        version: u8,
        /// Control rather than data message.
        control: bool,
        /// Tunnel identifier (version 2), control connection (version 3 control), else 0.
        tunnel: u32,
        /// Session identifier.
        session: u32,
    },
    /// RFC 4380: the tunnel, with authentication and origin indication when present.
    Teredo {
        /// Authentication header was there.
        authentication: bool,
        /// Origin indication was there.
        origin: bool,
    },
    /// RFC 8300 network service header.
    Nsh {
        /// Service path identifier.
        path: u32,
        /// Service index.
        index: u8,
        /// Next protocol.
        next: u8,
    },
    /// RFC 3378.
    EtherIp,
    /// `LINKTYPE_LINUX_SLL`.
    Sll {
        /// 0 to us, 1 broadcast, 2 multicast, 3 to another, 4 from us.
        packet_type: u16,
        /// `ARPHRD_` type of the device.
        hardware: u16,
        /// Sender's address, when six bytes long.
        src: Option<MacAddr>,
        /// Protocol of the payload.
        protocol: u16,
    },
    /// `LINKTYPE_LINUX_SLL2`.
    Sll2 {
        /// 0 to us, 1 broadcast, 2 multicast, 3 to another, 4 from us.
        packet_type: u8,
        /// `ARPHRD_` type of the device.
        hardware: u16,
        /// Interface index on the capturing machine.
        if_index: u32,
        /// Sender's address, when six bytes long.
        src: Option<MacAddr>,
        /// Protocol of the payload.
        protocol: u16,
    },
    /// `LINKTYPE_NULL` and `LINKTYPE_LOOP`: an address family number.
    Null {
        /// `AF_` number, byte order already removed.
        family: u32,
    },
    /// Raw IP: no bytes of its own.
    Raw,
    /// `LINKTYPE_C_HDLC`, also inside `LINKTYPE_PPP_HDLC`.
    Chdlc {
        /// Unicast 0x0f, multicast 0x8f.
        address: u8,
        /// `EtherType`-like protocol.
        protocol: u16,
    },
    /// Frame relay, RFC 2427.
    Fr {
        /// Data link connection identifier.
        dlci: u32,
        /// Network level protocol identifier, when there is one.
        nlpid: Option<u8>,
    },
    /// ISO 9314-2, as in captures: frame control and two addresses.
    Fddi {
        /// Frame control.
        control: u8,
        /// Destination.
        dst: MacAddr,
        /// Source.
        src: MacAddr,
    },
    /// `ARCnet` (RFC 1201 framing).
    Arcnet {
        /// Source station.
        src: u8,
        /// Destination station, 0 broadcast.
        dst: u8,
        /// Protocol identifier.
        protocol: u8,
    },
    /// `LINKTYPE_NFLOG` header and all its TLVs.
    Nflog {
        /// `AF_` number of the hooked family.
        family: u8,
        /// Netfilter log group.
        group: u16,
    },
    /// `LINKTYPE_NETANALYZER`: four bytes in front of a frame.
    NetAnalyzer {
        /// Input port.
        port: u8,
        /// The frame begins with preamble and SFD.
        transparent: bool,
    },
    /// IEEE 802.3br: preamble and start mPacket delimiter.
    Mpacket {
        /// Preamble bytes captured.
        preamble: u8,
        /// SMD value; 0xd5 is an ordinary SFD.
        smd: u8,
    },
    /// A header that is stepped over and told by its name only; `length` covers the header.
    Shim(&'static str),
    /// A header known by name only; the walk ends there. `length` covers what is left of the
    /// frame up to the enclosing length.
    Named(&'static str),
}
