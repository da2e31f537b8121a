//! Before the path: the frame on the wire, in a capture, or in the guest that sends it.

use super::{Said, Teller};
use crate::step::record::Tap;
use crate::step::{Direction, PortFace, StepKind};
use skb::decode::{Decoded, Decoder, EthernetPacket};
use skb::{FrameMeta, LinkType, Stage};

impl Teller<'_> {
    pub(super) fn origin(&mut self, tap: &Tap) {
        let told_by_descriptor = FrameMeta {
            number: 1,
            time_ns: Some(tap.time_ns),
            caplen: tap.bytes.len() as u32,
            origlen: tap.origlen,
            linktype: tap.linktype,
            ..FrameMeta::default()
        };
        let mut decoded = Decoded::default();
        let meta = self.context.meta.unwrap_or(&told_by_descriptor);
        Decoder::new().decode(meta, &tap.bytes, &mut decoded);
        self.packet = decoded.ethernet_packet;
        let said = match (self.direction, self.packet) {
            (Direction::FromGuest, _) => self.origin_in_guest(tap),
            (Direction::FromWire, Some(packet)) => origin_on_wire(tap, &packet),
            (Direction::FromWire, None) => origin_without_packet(tap),
        };
        let packet = self.packet.filter(|_| self.direction == Direction::FromWire);
        self.push(Stage::Nic, StepKind::Origin, tap, said).packet = packet;
    }

    pub(super) fn origin_in_guest(&self, tap: &Tap) -> Said {
        let guest = self.name(tap.ingress).to_owned();
        let live = self.face(tap.ingress) == Some(PortFace::LiveGuest);
        let seen = if live {
            "Its TCP/IP stack runs in this process and has just written this frame.".to_owned()
        } else if self.is_live() {
            "The interface shows the frame as it was seen on a wire; the guest's memory, where it \
             was made, is not shown."
                .to_owned()
        } else {
            "The capture holds the frame as it was seen on a wire; the guest's memory, where it \
             was made, was not captured and is not shown."
                .to_owned()
        };
        Said {
            title: format!("In the guest: {guest} sends a frame"),
            object: format!("a frame of {} bytes in guest memory", tap.origlen),
            owner: guest,
            text: vec![
                seen,
                "The path runs the other way round now: the guest's virtual adapter is the nic \
                 end, the wire the far end."
                    .to_owned(),
            ],
        }
    }
}

fn origin_on_wire(tap: &Tap, packet: &EthernetPacket) -> Said {
    let mut text = vec![format!(
        "preamble {} + SFD {} + frame {} = {} bytes, then a gap of 12 byte times. In IEEE 802.3's \
         words the packet is around the frame; the IP packet is inside it.",
        packet.preamble, packet.sfd, packet.frame, packet.bytes
    )];
    if packet.derived.is_empty() {
        text.push("This capture recorded all of it.".to_owned());
    } else {
        text.push(format!(
            "Derived from the standard, not in the capture: {}. The capture holds {} bytes of \
             the frame{}.",
            packet.derived.join(", "),
            tap.bytes.len(),
            cut(tap)
        ));
    }
    if packet.pad > 0 {
        text.push(format!(
            "It was captured before the sender's adapter padded it: {} bytes are missing to the \
             minimum.",
            packet.pad
        ));
    }
    Said {
        title: "On the wire: an Ethernet packet".to_owned(),
        object: format!("IEEE 802.3 packet of {} bytes", packet.bytes),
        owner: "the wire".to_owned(),
        text,
    }
}

fn cut(tap: &Tap) -> String {
    if (tap.bytes.len() as u32) < tap.origlen {
        format!(", which had {}: the rest was cut when it was captured", tap.origlen)
    } else {
        String::new()
    }
}

fn origin_without_packet(tap: &Tap) -> Said {
    let why = if tap.linktype == LinkType::ETHERNET {
        "It is longer than any frame on a wire, or shorter than a header: captured inside a \
         machine, before segmentation or after merging, or damaged. What packets it was on the \
         wire, if any, cannot be known from it."
    } else {
        "Its records do not begin with an Ethernet header, so no Ethernet packet can be drawn."
    };
    Said {
        title: format!("In the capture: a record of link type {}", tap.linktype),
        object: format!("{} bytes{}", tap.bytes.len(), cut(tap)),
        owner: "the capture file".to_owned(),
        text: vec![why.to_owned()],
    }
}
