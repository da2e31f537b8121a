//! One frame as one JSON object: schema `framewalk.frame/1`.
//!
//! `kind` is Wireshark's protocol name; `offset` counts from the first captured byte; `length` is
//! the header's length in bytes, except for `ip` and `ipv6`, where it is the packet's by its own
//! length field and `header_length` is the header's.

use skb::decode::{Checksum, Decoded, EthernetPacket, FcsState, Ip, Ipv6, Layer, LayerInfo, Tcp};
use skb::{FrameMeta, MacAddr};

use crate::json::Json;

/// Writes frame objects, one line each, into a reused buffer.
#[derive(Debug, Default)]
pub struct Writer {
    /// What was written.
    pub json: Json,
    /// The last frame's interface, and its fields ready made.
    origin: Option<(u32, u32, u16)>,
    origin_text: Vec<u8>,
}

impl Writer {
    /// Writes the object of a frame, and a newline.
    pub fn frame(&mut self, meta: &FrameMeta, decoded: &Decoded, comments: &[String]) {
        self.json.field(b"{\"schema\":\"framewalk.frame/1\",\"frame\":", meta.number);
        self.json.raw(b",\"time\":");
        self.json.time(meta.time_ns);
        self.json.field(b",\"caplen\":", meta.caplen);
        self.json.field(b",\"origlen\":", meta.origlen);
        self.origin(meta);
        let json = &mut self.json;
        ethernet_packet(json, decoded);
        json.raw(b",\"layers\":[");
        for (i, layer) in decoded.layers.iter().enumerate() {
            if i > 0 {
                json.raw(b",");
            }
            write_layer(json, layer);
        }
        let payload = &decoded.payload;
        json.field(b"],\"payload\":{\"offset\":", payload.start);
        json.field(b",\"length\":", payload.end.saturating_sub(payload.start));
        json.raw(b"}");
        notes(json, decoded);
        malformed(json, decoded);
        if meta.flags.is_some() || meta.packet_id.is_some() || meta.drop_count.is_some() {
            pcapng_fields(json, meta);
        }
        if !comments.is_empty() {
            write_comments(json, comments);
        }
        json.raw(b"}\n");
    }

    fn origin(&mut self, meta: &FrameMeta) {
        let origin = (meta.interface, meta.section, meta.linktype.0);
        if self.origin != Some(origin) {
            let mut json = Json::default();
            json.field(b",\"interface\":", meta.interface);
            json.raw(b",\"linktype\":");
            json.name(&meta.linktype.to_string());
            json.field(b",\"section\":", meta.section);
            self.origin = Some(origin);
            self.origin_text = json.buf;
        }
        self.json.raw(&self.origin_text);
    }
}

fn ethernet_packet(json: &mut Json, decoded: &Decoded) {
    let Some(packet) = &decoded.ethernet_packet else {
        return json.raw(b",\"ethernet_packet\":null,\"gap\":null,\"wire_bytes\":null");
    };
    let EthernetPacket { bytes, preamble, sfd, frame, pad, fcs, derived } = *packet;
    json.field(b",\"ethernet_packet\":{\"bytes\":", bytes);
    json.field(b",\"preamble\":", preamble);
    json.field(b",\"sfd\":", sfd);
    json.field(b",\"frame\":", frame);
    json.field(b",\"pad\":", pad);
    match fcs {
        FcsState::Absent => json.raw(b",\"fcs\":\"absent\",\"derived\":["),
        FcsState::Good => json.raw(b",\"fcs\":\"good\",\"derived\":["),
        FcsState::Bad => json.raw(b",\"fcs\":\"bad\",\"derived\":["),
        FcsState::Unknown => json.raw(b",\"fcs\":\"unknown\",\"derived\":["),
    }
    for (i, part) in derived.iter().enumerate() {
        if i > 0 {
            json.raw(b",");
        }
        json.name(part);
    }
    json.raw(b"]}");
    opt_num(json, b",\"gap\":", decoded.gap);
    opt_num(json, b",\"wire_bytes\":", decoded.wire_bytes);
}

fn notes(json: &mut Json, decoded: &Decoded) {
    json.raw(b",\"notes\":[");
    for (i, note) in decoded.notes.iter().enumerate() {
        if i > 0 {
            json.raw(b",");
        }
        json.raw(b"{\"code\":");
        json.name(note.code.code());
        json.field(b",\"offset\":", note.offset);
        json.field(b",\"bytes\":", note.bytes);
        json.raw(b",\"text\":");
        json.name(note.code.text());
        json.raw(b"}");
    }
    json.raw(b"]");
}

fn malformed(json: &mut Json, decoded: &Decoded) {
    let Some(malformed) = &decoded.malformed else { return json.raw(b",\"malformed\":null") };
    json.raw(b",\"malformed\":{\"layer\":");
    json.name(malformed.layer);
    json.field(b",\"offset\":", malformed.offset);
    json.field(b",\"need\":", malformed.need);
    json.field(b",\"have\":", malformed.have);
    json.raw(b"}");
}

#[cold]
fn pcapng_fields(json: &mut Json, meta: &FrameMeta) {
    if let Some(flags) = meta.flags {
        json.field(b",\"epb_flags\":", flags);
    }
    if let Some(id) = meta.packet_id {
        json.field(b",\"epb_packetid\":", id);
    }
    if let Some(count) = meta.drop_count {
        json.field(b",\"epb_dropcount\":", count);
    }
}

#[cold]
fn write_comments(json: &mut Json, comments: &[String]) {
    json.raw(b",\"comments\":[");
    for (i, comment) in comments.iter().enumerate() {
        if i > 0 {
            json.raw(b",");
        }
        json.string(comment);
    }
    json.raw(b"]");
}

fn write_layer(json: &mut Json, layer: &Layer) {
    match layer.info {
        LayerInfo::Eth { .. } => json.raw(b"{\"kind\":\"eth\",\"offset\":"),
        LayerInfo::Ip(_) => json.raw(b"{\"kind\":\"ip\",\"offset\":"),
        LayerInfo::Tcp(_) => json.raw(b"{\"kind\":\"tcp\",\"offset\":"),
        LayerInfo::Udp { .. } => json.raw(b"{\"kind\":\"udp\",\"offset\":"),
        _ => {
            json.raw(b"{\"kind\":");
            json.name(layer.kind());
            json.raw(b",\"offset\":");
        }
    }
    json.num(layer.offset);
    match layer.info {
        LayerInfo::Ip(_) | LayerInfo::Ipv6(_) => json.raw(b",\"header_length\":"),
        _ => json.raw(b",\"length\":"),
    }
    json.num(layer.length);
    match &layer.info {
        LayerInfo::Eth { dst, src, ty_or_len } => eth(json, *src, *dst, *ty_or_len),
        LayerInfo::Ip(ip) => write_ip(json, ip),
        LayerInfo::Ipv6(ip) => write_ipv6(json, ip),
        LayerInfo::Tcp(tcp) => write_tcp(json, tcp),
        LayerInfo::Udp { src_port, dst_port, length, checksum } => {
            ports(json, *src_port, *dst_port);
            json.field(b",\"udp_length\":", *length);
            sum(json, *checksum);
        }
        other => rarer_layer(json, other),
    }
    if layer.quoted {
        json.raw(b",\"quoted\":true");
    }
    json.raw(b"}");
}

fn eth(json: &mut Json, src: MacAddr, dst: MacAddr, ty: u16) {
    json.raw(b",\"src\":");
    json.mac(src);
    json.raw(b",\"dst\":");
    json.mac(dst);
    json.field(b",\"type\":", ty);
}

fn write_ip(json: &mut Json, ip: &Ip) {
    json.raw(b",\"src\":");
    json.ipv4(ip.src);
    json.raw(b",\"dst\":");
    json.ipv4(ip.dst);
    json.field(b",\"proto\":", ip.proto);
    json.field(b",\"ttl\":", ip.ttl);
    json.field(b",\"length\":", ip.total_length);
    json.field(b",\"tos\":", ip.tos);
    json.field(b",\"id\":", ip.id);
    json.field(b",\"flags\":", ip.flags);
    json.field(b",\"frag_offset\":", ip.frag_offset);
    sum(json, ip.checksum);
}

fn write_ipv6(json: &mut Json, ip: &Ipv6) {
    json.raw(b",\"src\":");
    json.ipv6(ip.src);
    json.raw(b",\"dst\":");
    json.ipv6(ip.dst);
    json.field(b",\"next\":", ip.next);
    json.field(b",\"hop_limit\":", ip.hop_limit);
    json.field(b",\"length\":", 40 + u32::from(ip.payload_length));
    json.field(b",\"payload_length\":", ip.payload_length);
    json.field(b",\"traffic_class\":", ip.traffic_class);
    json.field(b",\"flow_label\":", ip.flow_label);
}

fn write_tcp(json: &mut Json, tcp: &Tcp) {
    ports(json, tcp.src_port, tcp.dst_port);
    json.raw(b",\"flags\":");
    json.name(tcp.flags.letters(&mut [0; 9]));
    json.field(b",\"seq\":", tcp.seq);
    json.field(b",\"ack\":", tcp.ack);
    json.field(b",\"window\":", tcp.window);
    json.field(b",\"payload_length\":", tcp.payload_length);
    if tcp.partial {
        json.raw(b",\"partial\":true");
    }
    sum(json, tcp.checksum);
}

fn ports(json: &mut Json, src: u16, dst: u16) {
    json.field(b",\"src_port\":", src);
    json.field(b",\"dst_port\":", dst);
}

fn sum(json: &mut Json, checksum: Checksum) {
    match checksum {
        Checksum::Good => json.raw(b",\"checksum\":\"good\""),
        Checksum::Bad => json.raw(b",\"checksum\":\"bad\""),
        Checksum::Unverified => json.raw(b",\"checksum\":\"unverified\""),
    }
}

fn rarer_layer(json: &mut Json, info: &LayerInfo) {
    match *info {
        LayerInfo::Vlan { tpid, vid, pcp, dei, ty } => {
            json.field(b",\"tpid\":", tpid);
            json.field(b",\"vid\":", vid);
            json.field(b",\"pcp\":", pcp);
            json.field(b",\"dei\":", u8::from(dei));
            json.field(b",\"type\":", ty);
        }
        LayerInfo::Ieee8021ah { isid, pcp, dei, dst, src, ty } => {
            json.field(b",\"isid\":", isid);
            json.field(b",\"pcp\":", pcp);
            json.field(b",\"dei\":", u8::from(dei));
            eth(json, src, dst, ty);
        }
        LayerInfo::Macsec { tci_an, short_length, packet_number, sci } => {
            json.field(b",\"tci_an\":", tci_an);
            json.field(b",\"short_length\":", short_length);
            json.field(b",\"packet_number\":", packet_number);
            opt_num(json, b",\"sci\":", sci);
        }
        LayerInfo::Llc { dsap, ssap, control, snap } => {
            json.field(b",\"dsap\":", dsap);
            json.field(b",\"ssap\":", ssap);
            json.field(b",\"control\":", control);
            if let Some(snap) = snap {
                json.field(b",\"oui\":", snap.oui);
                json.field(b",\"type\":", snap.protocol);
            }
        }
        LayerInfo::Arp { .. } => arp(json, info),
        LayerInfo::Icmp { ty, code, checksum, id, seq }
        | LayerInfo::Icmpv6 { ty, code, checksum, id, seq } => {
            json.field(b",\"type\":", ty);
            json.field(b",\"code\":", code);
            json.field(b",\"id\":", id);
            json.field(b",\"seq\":", seq);
            sum(json, checksum);
        }
        LayerInfo::Igmp { ty, max_resp, checksum, group } => {
            json.field(b",\"type\":", ty);
            json.field(b",\"max_resp\":", max_resp);
            opt_ip(json, b",\"group\":", group);
            sum(json, checksum);
        }
        LayerInfo::Ipv6Ext { next, .. } => json.field(b",\"next\":", next),
        LayerInfo::Ipv6Frag { next, frag_offset, more, id } => {
            json.field(b",\"next\":", next);
            json.field(b",\"frag_offset\":", frag_offset);
            json.field(b",\"more\":", u8::from(more));
            json.field(b",\"id\":", id);
        }
        LayerInfo::Ah { next, spi, seq } => {
            json.field(b",\"next\":", next);
            json.field(b",\"spi\":", spi);
            json.field(b",\"seq\":", seq);
        }
        LayerInfo::Esp { spi, seq } => {
            json.field(b",\"spi\":", spi);
            json.field(b",\"seq\":", seq);
        }
        LayerInfo::UdpLite { src_port, dst_port, coverage, checksum } => {
            ports(json, src_port, dst_port);
            json.field(b",\"coverage\":", coverage);
            sum(json, checksum);
        }
        LayerInfo::Sctp { src_port, dst_port, tag, chunk, checksum } => {
            ports(json, src_port, dst_port);
            json.field(b",\"tag\":", tag);
            opt_num(json, b",\"chunk\":", chunk);
            sum(json, checksum);
        }
        LayerInfo::Dccp { src_port, dst_port, ty } => {
            ports(json, src_port, dst_port);
            json.field(b",\"type\":", ty);
        }
        _ => {
            tunnel_layer(json, info);
            capture_layer(json, info);
        }
    }
}

fn arp(json: &mut Json, info: &LayerInfo) {
    let LayerInfo::Arp { hardware, protocol, op, sender_mac, sender_ip, target_mac, target_ip } =
        *info
    else {
        return;
    };
    json.field(b",\"hardware\":", hardware);
    json.field(b",\"protocol\":", protocol);
    json.field(b",\"op\":", op);
    opt_mac(json, b",\"sender_mac\":", sender_mac);
    opt_ip(json, b",\"sender_ip\":", sender_ip);
    opt_mac(json, b",\"target_mac\":", target_mac);
    opt_ip(json, b",\"target_ip\":", target_ip);
}

fn tunnel_layer(json: &mut Json, info: &LayerInfo) {
    match *info {
        LayerInfo::Gre { version, protocol, key, seq } => {
            json.field(b",\"version\":", version);
            json.field(b",\"protocol\":", protocol);
            opt_num(json, b",\"key\":", key);
            opt_num(json, b",\"seq\":", seq);
        }
        LayerInfo::Erspan { version, vid, session } => {
            json.field(b",\"version\":", version);
            json.field(b",\"vid\":", vid);
            json.field(b",\"session\":", session);
        }
        LayerInfo::Vxlan { vni, flags, group } => {
            json.field(b",\"vni\":", vni);
            json.field(b",\"flags\":", flags);
            json.field(b",\"group\":", group);
        }
        LayerInfo::VxlanGpe { vni, flags, next } => {
            json.field(b",\"vni\":", vni);
            json.field(b",\"flags\":", flags);
            json.field(b",\"next\":", next);
        }
        LayerInfo::Geneve { vni, protocol, options, oam } => {
            json.field(b",\"vni\":", vni);
            json.field(b",\"protocol\":", protocol);
            json.field(b",\"options\":", options);
            json.field(b",\"oam\":", u8::from(oam));
        }
        LayerInfo::Mpls { label, tc, bottom, ttl } => {
            json.field(b",\"label\":", label);
            json.field(b",\"tc\":", tc);
            json.field(b",\"bottom\":", u8::from(bottom));
            json.field(b",\"ttl\":", ttl);
        }
        LayerInfo::PwControl { word } => json.field(b",\"word\":", word),
        LayerInfo::Pppoe { code, session, length, .. } => {
            json.field(b",\"code\":", code);
            json.field(b",\"session\":", session);
            json.field(b",\"payload_length\":", length);
        }
        LayerInfo::Ppp { protocol } => json.field(b",\"protocol\":", protocol),
        LayerInfo::Gtp { version, message, teid, length } => {
            json.field(b",\"version\":", version);
            json.field(b",\"message\":", message);
            json.field(b",\"teid\":", teid);
            json.field(b",\"payload_length\":", length);
        }
        LayerInfo::L2tp { version, control, tunnel, session } => {
            json.field(b",\"version\":", version);
            json.field(b",\"control\":", u8::from(control));
            json.field(b",\"tunnel\":", tunnel);
            json.field(b",\"session\":", session);
        }
        LayerInfo::Teredo { authentication, origin } => {
            json.field(b",\"authentication\":", u8::from(authentication));
            json.field(b",\"origin\":", u8::from(origin));
        }
        LayerInfo::Nsh { path, index, next } => {
            json.field(b",\"path\":", path);
            json.field(b",\"index\":", index);
            json.field(b",\"next\":", next);
        }
        _ => {}
    }
}

fn capture_layer(json: &mut Json, info: &LayerInfo) {
    match *info {
        LayerInfo::Sll { packet_type, hardware, src, protocol } => {
            json.field(b",\"packet_type\":", packet_type);
            json.field(b",\"hardware\":", hardware);
            opt_mac(json, b",\"src\":", src);
            json.field(b",\"protocol\":", protocol);
        }
        LayerInfo::Sll2 { packet_type, hardware, if_index, src, protocol } => {
            json.field(b",\"packet_type\":", packet_type);
            json.field(b",\"hardware\":", hardware);
            json.field(b",\"if_index\":", if_index);
            opt_mac(json, b",\"src\":", src);
            json.field(b",\"protocol\":", protocol);
        }
        LayerInfo::Null { family } => json.field(b",\"family\":", family),
        LayerInfo::Chdlc { address, protocol } => {
            json.field(b",\"address\":", address);
            json.field(b",\"protocol\":", protocol);
        }
        LayerInfo::Fr { dlci, nlpid } => {
            json.field(b",\"dlci\":", dlci);
            opt_num(json, b",\"nlpid\":", nlpid);
        }
        LayerInfo::Fddi { control, dst, src } => {
            json.field(b",\"control\":", control);
            json.raw(b",\"src\":");
            json.mac(src);
            json.raw(b",\"dst\":");
            json.mac(dst);
        }
        LayerInfo::Arcnet { src, dst, protocol } => {
            json.field(b",\"src\":", src);
            json.field(b",\"dst\":", dst);
            json.field(b",\"protocol\":", protocol);
        }
        LayerInfo::Nflog { family, group } => {
            json.field(b",\"family\":", family);
            json.field(b",\"group\":", group);
        }
        LayerInfo::NetAnalyzer { port, transparent } => {
            json.field(b",\"port\":", port);
            json.field(b",\"transparent\":", u8::from(transparent));
        }
        LayerInfo::Mpacket { preamble, smd } => {
            json.field(b",\"preamble\":", preamble);
            json.field(b",\"smd\":", smd);
        }
        _ => {}
    }
}

fn opt_num<const N: usize>(json: &mut Json, key: &[u8; N], value: Option<impl Into<u64>>) {
    json.raw(key);
    match value {
        Some(value) => json.num(value),
        None => json.raw(b"null"),
    }
}

fn opt_mac(json: &mut Json, key: &[u8], value: Option<MacAddr>) {
    json.raw(key);
    match value {
        Some(value) => json.mac(value),
        None => json.raw(b"null"),
    }
}

fn opt_ip(json: &mut Json, key: &[u8], value: Option<std::net::Ipv4Addr>) {
    json.raw(key);
    match value {
        Some(value) => json.ipv4(value),
        None => json.raw(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use skb::decode::NoteCode;

    #[test]
    fn notes_need_no_escapes() {
        for code in NoteCode::ALL {
            let plain = |b: u8| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\';
            assert!(code.text().bytes().all(plain), "{}", code.code());
        }
    }
}
