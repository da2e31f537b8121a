//! On the path: the adapter, the driver, the skb stage, and what the switch decides.

use super::{Said, Teller, plain};
use crate::step::record::{NO_FIELDS, Tap};
use crate::step::{Buffer, Direction, words};
use skb::{DropReason, LinkType, MacAddr, PortSet, Verdict};
use vswitch::fdb::Learned;

impl Teller<'_> {
    pub(super) fn arrived(&self, tap: &Tap) -> Said {
        let place = match tap.geometry.buffer {
            Buffer::Block if self.is_live() => {
                "the kernel's receive ring, where the kernel wrote them, beside their neighbours"
            }
            Buffer::Block => "the block that the capture file was read into, beside its neighbours",
            Buffer::Slot => "a slot of the buffer arena",
        };
        let first = match self.direction {
            Direction::FromWire => {
                "A real adapter checks the FCS, drops preamble and SFD (and usually the FCS), \
                 writes the frame into memory the driver posted, and writes a descriptor: where, \
                 how long. One interrupt serves many frames."
            }
            Direction::FromGuest => {
                "The guest's virtual adapter shows the host a descriptor: where the frame lies in \
                 guest memory and how long it is. The host never follows it without checking."
            }
        };
        let (title, owner) = match self.direction {
            Direction::FromWire => {
                ("The adapter has received the frame", "the adapter, then the driver")
            }
            Direction::FromGuest => {
                ("The virtual adapter has taken the frame", "the virtual adapter's host side")
            }
        };
        Said {
            title: title.to_owned(),
            object: format!("rx descriptor naming {} bytes", tap.bytes.len()),
            owner: owner.to_owned(),
            text: vec![
                first.to_owned(),
                format!("Here the bytes lie in {place}; from now on they do not move."),
            ],
        }
    }

    pub(super) fn decided(&self, tap: &Tap, verdict: Verdict) -> Said {
        let mut text = vec![self.learned(tap, verdict)];
        text.extend(self.looked_up(tap, verdict));
        let title = match verdict {
            Verdict::Forward(set) if set.count() == 1 => {
                format!("The switch forwards it to {}", self.names(set))
            }
            Verdict::Forward(set) => {
                text.push(
                    "A flood or a group: every further port gets a reference to the same bytes, \
                     not a copy."
                        .to_owned(),
                );
                format!("The switch sends it to {} ports: {}", set.count(), self.names(set))
            }
            Verdict::Consume => "The switch takes the frame for itself".to_owned(),
            Verdict::Drop(reason) => {
                text.push(plain(reason));
                format!("The switch decides to drop it: {reason}")
            }
        };
        let mac = |at: usize| tap.bytes.get(at..at + 6).map(|b| MacAddr::from_slice(b).to_string());
        let object = match (tap.linktype == LinkType::ETHERNET, mac(0), mac(6)) {
            (true, Some(dst), Some(src)) => format!("sk_buff; {src} > {dst}"),
            _ => "sk_buff without an Ethernet header".to_owned(),
        };
        Said { title, object, owner: "the virtual switch".to_owned(), text }
    }

    /// What the source address taught, as far as the frame came.
    pub(super) fn learned(&self, tap: &Tap, verdict: Verdict) -> String {
        use DropReason::{InvalidSource, LinkLocal, NotEthernet, Policy, Runt, VlanIngress};
        let src = tap.bytes.get(6..12).map(MacAddr::from_slice);
        let (Some(src), true) = (src, tap.linktype == LinkType::ETHERNET) else {
            return "There is no Ethernet source address to learn.".to_owned();
        };
        let refused = [InvalidSource, LinkLocal, NotEthernet, Policy, Runt, VlanIngress];
        let port = self.the(tap.ingress);
        match self.context.learned {
            _ if matches!(verdict, Verdict::Drop(reason) if refused.contains(&reason)) => {
                "It is refused before anything is learned from it.".to_owned()
            }
            Some(Learned::New) => format!("Learned: {src} lives behind {port}. It was not known."),
            Some(Learned::Moved) => format!("Learned: {src} has moved to {port}."),
            Some(Learned::StaticConflict) => {
                format!("{src} belongs to another port by configuration; nothing is learned.")
            }
            Some(Learned::RefusedCap | Learned::RefusedFull) => {
                format!("{src} is not learned: the table has no more room for {port}.")
            }
            Some(Learned::Known) | None => {
                format!("{src} is known to live behind {port}; its age starts again.")
            }
        }
    }

    /// What the table says about the destination.
    pub(super) fn looked_up(&self, tap: &Tap, verdict: Verdict) -> Option<String> {
        let known = |set: PortSet| self.context.found.is_some_and(|port| set.contains(port));
        let to = tap.bytes.get(..6).map(MacAddr::from_slice)?;
        match verdict {
            Verdict::Forward(_) if to.is_broadcast() => Some(
                "The destination is everybody: out by every other port of the VLAN.".to_owned(),
            ),
            Verdict::Forward(_) if to.is_multicast() => {
                Some(format!("{to} is a group: out by every other port of the VLAN."))
            }
            Verdict::Forward(set) if known(set) => {
                Some(format!("Looked up: {to} lives behind {}.", self.names(set)))
            }
            Verdict::Forward(_) => Some(format!(
                "Looked up: {to} is in no port's table. An external switch knows its guests, so \
                 it must be on the wire; the other types flood."
            )),
            Verdict::Drop(_) | Verdict::Consume => None,
        }
    }
}

pub(super) fn built(tap: &Tap) -> Said {
    let room = match tap.geometry.buffer {
        Buffer::Block => {
            "In a block there is no headroom and no tailroom, because other frames lie on both \
             sides; whoever must write takes a copy first. A page of a Linux driver has both."
        }
        Buffer::Slot => "The slot has headroom in front, as Linux leaves NET_SKB_PAD.",
    };
    Said {
        title: "The driver builds an sk_buff around the buffer".to_owned(),
        object: "sk_buff: one cache line of offsets; the bytes stay where they are".to_owned(),
        owner: "the driver".to_owned(),
        text: vec![
            "Polled under a budget, NAPI's way: the ring is drained while the interrupt stays \
             masked. An sk_buff is metadata only."
                .to_owned(),
            room.to_owned(),
        ],
    }
}

pub(super) fn classified(tap: &Tap) -> Said {
    let fields = tap.fields.unwrap_or(NO_FIELDS);
    let title = if tap.geometry.pulled == 0 {
        "The skb stage leaves it as it is: no Ethernet header to pull"
    } else {
        "The Ethernet header is noted and pulled"
    };
    let mut text = Vec::new();
    if tap.geometry.pulled > 0 {
        text.push(format!(
            "`data` moves 14 bytes on, to the network header; nothing is copied, only the view \
             moves. The frame is {}.",
            words::pkt_type(fields.pkt_type)
        ));
        text.push(if fields.ethertype == 0 {
            "Its type field is a length: an IEEE 802.3 frame with LLC.".to_owned()
        } else {
            format!("EtherType 0x{:04x}: {}.", fields.ethertype, words::ethertype(fields.ethertype))
        });
    }
    if fields.vlan_tci != 0 {
        text.push(format!(
            "VLAN {} (priority {}) is noted in vlan_tci. Here the tag stays in the bytes; Linux \
             takes it out of them, often the adapter already does.",
            fields.vlan_tci & 0xfff,
            fields.vlan_tci >> 13
        ));
    }
    Said {
        title: title.to_owned(),
        object: "sk_buff, classified".to_owned(),
        owner: "the skb stage".to_owned(),
        text,
    }
}
