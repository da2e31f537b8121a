//! From notes to steps: what a teacher would say at each of them.

use super::record::{Point, StepTrace, Tap};
use super::words::{self, elsewhere};
use super::{Buffer, Direction, Step, StepKind, Steps};
use skb::decode::{Decoded, Decoder, EthernetPacket};
use skb::{DropReason, FrameMeta, LinkType, MacAddr, PortId, PortSet, Stage, Verdict};
use std::sync::Arc;
use vswitch::fdb::Learned;

/// What is behind a port, for the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortFace {
    /// The wire.
    Wire,
    /// A guest that is in the capture only: what is sent to it is counted.
    RecordedGuest,
    /// A guest with a live stack of its own.
    LiveGuest,
    /// The host's own stack: only where a host port was configured.
    Host,
}

/// A port as the telling names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortCast {
    /// Its name.
    pub name: String,
    /// What is behind it.
    pub face: PortFace,
}

/// What is known beside the notes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// What the capture says about the frame; without it the wire is told from the descriptor.
    pub meta: Option<&'a FrameMeta>,
    /// What the frame taught the switch's table.
    pub learned: Option<Learned>,
    /// Where the table had its destination.
    pub found: Option<PortId>,
}

impl Steps {
    /// Makes steps of what `trace` noted; `None` if the frame never arrived. `ports` are in the
    /// order of their ids.
    pub fn tell(trace: &StepTrace, ports: &[PortCast], context: &Context<'_>) -> Option<Self> {
        let first = trace.taps().first()?;
        let direction = match ports.get(first.ingress.index()).map(|p| p.face) {
            Some(PortFace::Wire) | None => Direction::FromWire,
            Some(_) => Direction::FromGuest,
        };
        let mut teller =
            Teller { ports, context, direction, steps: Vec::new(), packet: None, copies: 0 };
        teller.origin(first);
        teller.taps(trace.taps());
        Steps::new(teller.steps)
    }
}

struct Teller<'a> {
    ports: &'a [PortCast],
    context: &'a Context<'a>,
    direction: Direction,
    steps: Vec<Step>,
    packet: Option<EthernetPacket>,
    copies: u32,
}

/// What a step says, before the state is added.
struct Said {
    title: String,
    object: String,
    owner: String,
    text: Vec<String>,
}

impl Teller<'_> {
    fn name(&self, port: PortId) -> &str {
        self.ports.get(port.index()).map_or("a port that is not there", |p| &p.name)
    }

    fn face(&self, port: PortId) -> Option<PortFace> {
        self.ports.get(port.index()).map(|p| p.face)
    }

    /// A port as a sentence names it.
    fn the(&self, port: PortId) -> String {
        match self.face(port) {
            Some(PortFace::Wire) => "the wire".to_owned(),
            Some(PortFace::Host) => "the host".to_owned(),
            _ => self.name(port).to_owned(),
        }
    }

    fn names(&self, set: PortSet) -> String {
        set.map(|port| self.the(port)).collect::<Vec<_>>().join(", ")
    }

    fn push(&mut self, stage: Stage, kind: StepKind, tap: &Tap, said: Said) -> &mut Step {
        let face = match kind {
            StepKind::Boundary(port) | StepKind::FarEnd(port) => self.face(port),
            _ => None,
        };
        let told = matches!(kind, StepKind::Origin | StepKind::FarEnd(_));
        let there = elsewhere(&kind, self.direction, face);
        let start = tap.geometry.pulled.min(tap.bytes.len());
        let step = Step {
            stage,
            kind,
            direction: self.direction,
            title: said.title,
            object: said.object,
            owner: said.owner,
            text: said.text,
            linux: there.linux,
            hyperv: there.hyperv,
            bytes: Arc::clone(&tap.bytes),
            view: start..tap.bytes.len(),
            linktype: tap.linktype,
            origlen: tap.origlen,
            geometry: (!told && tap.fields.is_some()).then_some(tap.geometry),
            fields: if told { None } else { tap.fields },
            buffer: (!told).then_some(tap.geometry.buffer),
            refs: (!told).then_some(tap.refs),
            references: 1,
            cost_ticks: None,
            copies: self.copies,
            packet: None,
            told,
        };
        let at = self.steps.len();
        self.steps.push(step);
        &mut self.steps[at]
    }

    // --- before the path -------------------------------------------------------------------

    fn origin(&mut self, tap: &Tap) {
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

    fn origin_in_guest(&self, tap: &Tap) -> Said {
        let guest = self.name(tap.ingress).to_owned();
        let live = self.face(tap.ingress) == Some(PortFace::LiveGuest);
        let seen = if live {
            "Its TCP/IP stack runs in this process and has just written this frame.".to_owned()
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

    // --- on the path -----------------------------------------------------------------------

    fn taps(&mut self, taps: &[Tap]) {
        let after = taps.iter().position(|t| matches!(t.point, Point::Verdict(_)));
        let (way_in, rest) = taps.split_at(after.map_or(taps.len(), |i| i + 1));
        let mut before: Option<&Tap> = None;
        for tap in way_in {
            if before.is_some_and(|b| b.buf != tap.buf) {
                self.copies += 1;
            }
            self.way_in(tap);
            self.cost(before, tap);
            before = Some(tap);
        }
        let Some(verdict) = way_in.last() else { return };
        let Point::Verdict(decided) = verdict.point else { return self.unfinished(verdict) };
        self.way_out(verdict, decided, rest);
    }

    /// Adds the ticks between two notes to the newest step.
    fn cost(&mut self, before: Option<&Tap>, tap: &Tap) {
        if let (Some(before), Some(step)) = (before, self.steps.last_mut()) {
            step.cost_ticks = Some(tap.entered.saturating_sub(before.left));
        }
    }

    fn way_in(&mut self, tap: &Tap) {
        let said = match tap.point {
            Point::Arrived => self.arrived(tap),
            Point::Stage(Stage::Driver) => built(tap),
            Point::Stage(_) => classified(tap),
            Point::Verdict(verdict) => self.decided(tap, verdict),
            Point::Dropped(stage, reason, port) => return self.ended(tap, stage, reason, port),
            Point::Egress(_) => return,
        };
        let (stage, kind) = match tap.point {
            Point::Arrived => (Stage::Nic, StepKind::Arrived),
            Point::Stage(Stage::Driver) => (Stage::Driver, StepKind::Built),
            Point::Verdict(verdict) => (Stage::Vswitch, StepKind::Decided(verdict)),
            _ => (Stage::Skb, StepKind::Classified),
        };
        self.push(stage, kind, tap, said);
    }

    fn arrived(&self, tap: &Tap) -> Said {
        let place = match tap.geometry.buffer {
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

    fn decided(&self, tap: &Tap, verdict: Verdict) -> Said {
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
    fn learned(&self, tap: &Tap, verdict: Verdict) -> String {
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
    fn looked_up(&self, tap: &Tap, verdict: Verdict) -> Option<String> {
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

    // --- out of the switch -----------------------------------------------------------------

    fn way_out(&mut self, verdict: &Tap, decided: Verdict, rest: &[Tap]) {
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

    fn egress(&self, tap: &Tap, verdict: &Tap, port: PortId, nth: usize, of: usize) -> Said {
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

    fn boundary(&mut self, tap: &Tap, port: PortId, left: u32) {
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
                text: vec![
                    "This guest is in the capture only, so a counting sink takes delivery and no \
                     byte is copied. In front of a running guest this is where the bytes are \
                     copied into memory the guest posted; the sk_buff stays in the host."
                        .to_owned(),
                ],
            },
            Some(PortFace::Wire) | None => Said {
                title: "Delivered to the wire".to_owned(),
                object: format!("{} bytes for the adapter's tx ring, counted", tap.bytes.len()),
                owner: "the adapter".to_owned(),
                text: vec![
                    "The frame leaves: this wire is a capture file, so it is counted and goes \
                     nowhere."
                        .to_owned(),
                ],
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

    fn far_end(&self, tap: &Tap, name: &str, face: Option<PortFace>) -> Said {
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

    // --- ends ------------------------------------------------------------------------------

    fn ended(&mut self, tap: &Tap, stage: Stage, reason: DropReason, port: Option<PortId>) {
        let to = port.map_or_else(String::new, |port| format!(" on its way to {}", self.the(port)));
        let said = Said {
            title: format!("Its way ends here{to}: {reason}"),
            object: "nothing: the reference was given back, counted as dropped".to_owned(),
            owner: "nobody".to_owned(),
            text: vec![plain(reason), "A drop is not an error; the ledger lists it.".to_owned()],
        };
        self.push(stage, StepKind::Dropped(reason, port), tap, said).references = 0;
    }

    fn unfinished(&mut self, last: &Tap) {
        if matches!(last.point, Point::Stage(Stage::Skb)) {
            let said = Said {
                title: "GRO hangs it behind the segment before it".to_owned(),
                object: "a fragment of a super-frame".to_owned(),
                owner: "the skb stage".to_owned(),
                text: vec![
                    "Its headers are dropped from view, its payload stays where it lies and goes \
                     on as part of the first segment's frame. Counted as merged."
                        .to_owned(),
                ],
            };
            self.push(Stage::Skb, StepKind::Merged, last, said).references = 0;
        } else if !matches!(last.point, Point::Dropped(..)) {
            self.waiting(last);
        }
    }

    fn waiting(&mut self, last: &Tap) {
        let said = Said {
            title: "A reference waits for room at its port".to_owned(),
            object: "sk_buff in a queue".to_owned(),
            owner: "the queue of the port it came in by".to_owned(),
            text: vec!["A credit port makes frames wait where they came from.".to_owned()],
        };
        self.push(Stage::Vswitch, StepKind::Waiting, last, said);
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

fn built(tap: &Tap) -> Said {
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

fn classified(tap: &Tap) -> Said {
    let fields = tap.fields.unwrap_or(super::record::NO_FIELDS);
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

fn plain(reason: DropReason) -> String {
    let text = reason.describe().trim();
    let mut text = text.replace('`', "");
    if !text.ends_with('.') {
        text.push('.');
    }
    text
}
