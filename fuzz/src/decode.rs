//! Any bytes as a frame of any link type: the full decoder and the fast one.
//!
//! The decoder must not panic; layers lie inside the captured bytes, in order; notes and layers
//! are bounded; nothing is kept from one frame to the next; and leaving checksums out changes no
//! layer. Where [`locate`] and the decoder both say where the network or the transport header of
//! an Ethernet frame or an IP packet is, they say the same.
//!
//! An input is twelve bytes of metadata (link type 2, switches 1, FCS length 1, original length 4,
//! `epb_flags` 4) and the frame.

use super::input::Input;
use skb::decode::{Decoded, Decoder, LAYERS_MAX, Layer, LayerInfo};
use skb::locate::{L3, Located, TAGS_MAX, locate};
use skb::{FrameMeta, LinkType};

/// Switches of the third byte.
const HAS_FCS_LEN: u8 = 1;
const HAS_FLAGS: u8 = 2;
const FEW_LAYERS: u8 = 4;
const CAPLEN_SHORT: u8 = 8;
const ORIGLEN_GIVEN: u8 = 16;

/// See the module text.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let linktype = LinkType(input.u16());
    let (switches, fcs_len) = (input.u8(), input.u8());
    let (origlen, flags) = (input.u32(), input.u32());
    let bytes = input.rest();
    let has = |switch: u8| switches & switch != 0;
    let len = bytes.len() as u32;
    let meta = FrameMeta {
        number: 1,
        caplen: if has(CAPLEN_SHORT) { len.saturating_sub(origlen % 64) } else { len },
        origlen: if has(ORIGLEN_GIVEN) { origlen } else { len },
        linktype,
        fcs_len: has(HAS_FCS_LEN).then_some(fcs_len),
        flags: has(HAS_FLAGS).then_some(flags),
        ..FrameMeta::default()
    };
    let layers_max = if has(FEW_LAYERS) { usize::from(fcs_len % 8) } else { LAYERS_MAX };
    let mut decoder = Decoder { layers_max, ..Decoder::default() };
    let mut out = Decoded::default();
    decoder.decode(&meta, bytes, &mut out);
    let captured = &bytes[..bytes.len().min(meta.caplen as usize)];
    assert_sound(&meta, captured, layers_max, &out);
    assert_agree(&out, &locate(linktype, captured), captured);

    let first = out.clone();
    let other = FrameMeta { linktype: LinkType::RAW, ..meta };
    decoder.decode(&other, bytes, &mut out);
    decoder.decode(&meta, bytes, &mut out);
    assert_eq!(first, out, "nothing is kept from one frame to the next");

    decoder.verify_checksums = false;
    decoder.decode(&meta, bytes, &mut out);
    let places = |decoded: &Decoded| -> Vec<(u32, u32, &'static str)> {
        decoded.layers.iter().map(|layer| (layer.offset, layer.length, layer.kind())).collect()
    };
    assert_eq!(places(&first), places(&out), "checksums decide nothing");
    assert_eq!(first.malformed, out.malformed);
}

fn assert_sound(meta: &FrameMeta, captured: &[u8], layers_max: usize, out: &Decoded) {
    let len = captured.len() as u32;
    let wire = len.max(meta.origlen);
    assert!(out.layers.len() <= layers_max.max(1), "{} layers", out.layers.len());
    assert!(out.notes.len() <= 24);
    let mut at = 0;
    for layer in &out.layers {
        assert!(layer.offset >= at, "layers overlap: {:?}", out.layers);
        assert!(layer.length <= len - layer.offset.min(len), "{layer:?} beyond {len}");
        at = layer.end();
        assert!(at <= len, "{layer:?} beyond {len}");
        assert!(!layer.kind().is_empty());
    }
    assert!(out.payload.start <= out.payload.end && out.payload.end <= len);
    assert!(out.payload.is_empty() || out.payload.start >= at);
    assert!(out.fcs_bytes <= len);
    for note in &out.notes {
        assert!(note.offset <= wire, "{note:?} beyond {wire}");
    }
    if let Some(malformed) = out.malformed {
        assert!(malformed.offset <= wire, "{malformed:?} beyond {wire}");
    }
    if let Some(packet) = out.ethernet_packet {
        let sum = u32::from(packet.preamble) + u32::from(packet.sfd) + packet.frame;
        assert_eq!(packet.bytes, sum);
        assert_eq!(out.wire_bytes, Some(sum + 12));
    }
}

/// The first IP header, if only link headers stand before it, and what follows it in its packet.
struct Outer<'a> {
    ip: &'a Layer,
    tags: usize,
    extensions: usize,
    /// The first header that is not IP's own.
    after: Option<&'a Layer>,
}

fn outer(out: &Decoded) -> Option<Outer<'_>> {
    let is_ip = |layer: &Layer| matches!(layer.info, LayerInfo::Ip(_) | LayerInfo::Ipv6(_));
    let place = out.layers.iter().position(is_ip)?;
    let (before, ip) = (&out.layers[..place], &out.layers[place]);
    let mut tags = 0;
    for layer in before {
        match layer.info {
            LayerInfo::Vlan { .. } => tags += 1,
            LayerInfo::Eth { .. }
            | LayerInfo::Raw
            | LayerInfo::Null { .. }
            | LayerInfo::Sll { .. }
            | LayerInfo::Sll2 { .. }
            | LayerInfo::Chdlc { .. }
            | LayerInfo::Ppp { .. } => {}
            _ => return None,
        }
    }
    let rest = &out.layers[place + 1..];
    let is_extension = |layer: &&Layer| {
        let extension = matches!(
            layer.info,
            LayerInfo::Ipv6Ext { .. } | LayerInfo::Ipv6Frag { .. } | LayerInfo::Ah { .. }
        );
        extension && matches!(ip.info, LayerInfo::Ipv6(_))
    };
    let extensions = rest.iter().take_while(is_extension).count();
    Some(Outer { ip, tags, extensions, after: rest.get(extensions) })
}

fn assert_agree(out: &Decoded, located: &Located, captured: &[u8]) {
    let len = captured.len();
    if located.kind != L3::None {
        assert!(usize::from(located.l3) <= len, "{located:?} beyond {len}");
        assert!(located.tags <= TAGS_MAX);
    }
    assert!(usize::from(located.l4) < len.max(1), "{located:?} beyond {len}");
    let Some(Outer { ip, tags, extensions, after }) = outer(out) else { return };
    let claims_ip = matches!(located.kind, L3::Ipv4 | L3::Ipv6);
    let says = |what: &str| format!("{what}: {located:?} against {:?}", out.layers);
    if claims_ip {
        assert_eq!(u32::from(located.l3), ip.offset, "{}", says("network header"));
        let is_v4 = matches!(ip.info, LayerInfo::Ip(_));
        assert_eq!(located.kind == L3::Ipv4, is_v4, "{}", says("version"));
    }
    if let (true, true, Some(after)) = (claims_ip, located.l4 != 0, after) {
        assert_eq!(u32::from(located.l4), after.offset, "{}", says("transport header"));
    }
    // the other way round: a transport header that the decoder found behind the first IP header
    // of an Ethernet frame is not missed, unless the chain before it is longer than is followed
    let ethernet = matches!(out.layers.first().map(|l| l.info), Some(LayerInfo::Eth { .. }));
    let followed = tags <= usize::from(TAGS_MAX) && extensions <= 8;
    let is_transport = |layer: &Layer| {
        matches!(layer.info, LayerInfo::Tcp(_) | LayerInfo::Udp { .. }) && layer.length > 0
    };
    if let (true, true, true, Some(after)) = (claims_ip, ethernet, followed, after)
        && is_transport(after)
        && after.offset <= 65_535
    {
        assert_eq!(u32::from(located.l4), after.offset, "{}", says("transport header missed"));
    }
}
