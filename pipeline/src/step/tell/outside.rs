//! Out of the switch: each reference to its port, across the boundary, and what the far end does.

use super::{Said, Teller};
use crate::step::record::{Point, Tap};
use crate::step::{PortFace, StepKind};
use skb::{PortId, Stage, Verdict};

impl Teller<'_> {
    pub(super) fn way_out(&mut self, verdict: &Tap, decided: Verdict, rest: &[Tap]) {
        let inside = self.copies;
        let (mut before, mut ended) = (verdict, 0);
        let mut delivered = Vec::new();
        for (i, tap) in rest.iter().enumerate() {
            self.copies = inside + u32::from(tap.buf != verdict.buf);
            match tap.point {
                Point::Egress(port) => {
                    let said = self.egress(tap, verdict, port, i, rest.len());
                    self.push(Stage::Vswitch, StepKind::Egress(port), tap, said);
                    delivered.push((port, tap, self.copies));
                }
                Point::Dropped(stage, reason, port) => {
                    ended += 1;
                    self.ended(tap, stage, reason, port);
                }
                _ => continue,
            }
            self.cost(Some(before), tap);
            let made = (i as u32 + 2).min(rest.len() as u32);
            if let Some(step) = self.steps.last_mut() {
                step.references = made.saturating_sub(ended);
            }
            before = tap;
        }
        let mut left = delivered.len() as u32;
        for (port, tap, copies) in delivered {
            left -= 1;
            self.copies = copies;
            self.boundary(tap, port, left);
        }
        match decided {
            Verdict::Consume => {
                let said = Said {
                    title: "The switch has taken the frame for itself".to_owned(),
                    object: "nothing: the reference was given back".to_owned(),
                    owner: "nobody".to_owned(),
                    text: Vec::new(),
                };
                self.push(Stage::Vswitch, StepKind::Consumed, verdict, said).references = 0;
            }
            Verdict::Forward(set) if rest.len() < set.count() as usize => self.waiting(verdict),
            _ => {}
        }
    }

    pub(super) fn egress(
        &self,
        tap: &Tap,
        verdict: &Tap,
        port: PortId,
        nth: usize,
        of: usize,
    ) -> Said {
        let name = self.the(port);
        let mut text = vec![
            "`data` goes back over the 14 bytes of the Ethernet header; the bytes never moved."
                .to_owned(),
        ];
        if of > 1 {
            let all = format!("Reference {} of {of}. Same bytes for all of them.", nth + 1);
            text.push(all);
        }
        if tap.buf != verdict.buf {
            text.push(
                "This port needs other bytes (a tag put in, taken out or rewritten), and these \
                 are shared or read-only: the frame was copied into a slot of its own first. \
                 That copy is counted."
                    .to_owned(),
            );
        } else if tap.bytes != verdict.bytes {
            text.push(
                "This port's tag was changed in place: nobody else held the bytes.".to_owned(),
            );
        }
        Said {
            title: format!("Out by the port of {name}"),
            object: if of > 1 { "sk_buff (a clone: same bytes)" } else { "sk_buff" }.to_owned(),
            owner: format!("the tx queue of {name}"),
            text,
        }
    }

    pub(super) fn boundary(&mut self, tap: &Tap, port: PortId, left: u32) {
        let name = self.name(port).to_owned();
        let face = self.face(port);
        let said = match face {
            Some(PortFace::LiveGuest) => {
                self.copies += 1;
                Said {
                    title: format!("Across the boundary: the bytes are copied into {name}"),
                    object: format!("{} bytes in a receive buffer of the guest's", tap.bytes.len()),
                    owner: name.clone(),
                    text: vec![
                        "A guest's memory is a trust boundary: bytes are copied, no sk_buff \
                         crosses. This copy is counted (guest-memory)."
                            .to_owned(),
                    ],
                }
            }
            Some(PortFace::Host) => Said {
                title: "Delivered to the host's own port".to_owned(),
                object: format!("{} bytes, counted", tap.bytes.len()),
                owner: "the host".to_owned(),
                text: vec![
                    "This switch type connects the host, so the host's stack would see this \
                     frame. Here it is counted (host in the ledger) and goes nowhere."
                        .to_owned(),
                ],
            },
            Some(PortFace::RecordedGuest) => Said {
                title: format!("Across the boundary: delivered to {name}"),
                object: format!("{} bytes, counted", tap.bytes.len()),
                owner: name.clone(),
                text: vec![format!(
                    "This guest is {}, so a counting sink takes delivery and no byte is copied. In \
                     front of a running guest this is where the bytes are copied into memory the \
                     guest posted; the sk_buff stays in the host.",
                    if self.is_live() { "known by its frames only" } else { "in the capture only" }
                )],
            },
            Some(PortFace::Wire | PortFace::LiveWire) | None => Said {
                title: "Delivered to the wire".to_owned(),
                object: format!("{} bytes for the adapter's tx ring, counted", tap.bytes.len()),
                owner: "the adapter".to_owned(),
                text: vec![format!(
                    "The frame leaves: this wire is {}, so it is counted and goes nowhere.",
                    if self.is_live() { "only listened to" } else { "a capture file" }
                )],
            },
        };
        let step = self.push(Stage::Guest, StepKind::Boundary(port), tap, said);
        step.references = left;
        let said = self.far_end(tap, &name, face);
        let packet = self.packet.filter(|_| face == Some(PortFace::Wire));
        let step = self.push(Stage::Guest, StepKind::FarEnd(port), tap, said);
        step.references = left;
        step.packet = packet;
    }

    pub(super) fn far_end(&self, tap: &Tap, name: &str, face: Option<PortFace>) -> Said {
        if face == Some(PortFace::Wire) {
            return Said {
                title: "On the wire again: the adapter puts a packet around the frame".to_owned(),
                object: match self.packet {
                    Some(packet) => format!("Ethernet packet of {} bytes, derived", packet.bytes),
                    None => "segments and packets of the adapter's making".to_owned(),
                },
                owner: "the wire".to_owned(),
                text: vec![
                    "Told, not run: the adapter pads the frame to 60 bytes if it is shorter, \
                     appends the FCS, and sends preamble and SFD in front. None of that is in \
                     the capture."
                        .to_owned(),
                ],
            };
        }
        let run = if face == Some(PortFace::LiveGuest) {
            "Its own TCP/IP stack (smoltcp, in this process) reads the bytes from there: no \
             sk_buff, but the same order of work."
        } else {
            "Told, not run: this guest is a recording. A real one would now take an interrupt, \
             build an sk_buff of its own around the bytes, note and pull the Ethernet header a \
             second time, and hand the IP packet to its stack."
        };
        Said {
            title: format!("In the guest: what {name}'s own driver does"),
            object: "the guest's own object, in the guest's own memory".to_owned(),
            owner: name.to_owned(),
            text: vec![
                run.to_owned(),
                format!(
                    "Of {} bytes it received, the first 14 are the Ethernet header.",
                    tap.bytes.len()
                ),
            ],
        }
    }
}
