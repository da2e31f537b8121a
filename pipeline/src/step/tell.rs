//! From notes to steps: what a teacher would say at each of them.

mod inside;
mod origin;
mod outside;

use super::record::{Point, StepTrace, Tap};
use super::words::elsewhere;
use super::{Direction, Step, StepKind, Steps};
use inside::{built, classified};
use skb::decode::EthernetPacket;
use skb::{DropReason, FrameMeta, PortId, PortSet, Stage};
use vswitch::fdb::Learned;

/// What is behind a port, for the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortFace {
    /// The wire.
    Wire,
    /// The wire, where it is an interface that is only listened to.
    LiveWire,
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
            Some(PortFace::Wire | PortFace::LiveWire) | None => Direction::FromWire,
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

    /// What is behind a port; a wire is a wire whether or not it is live.
    fn face(&self, port: PortId) -> Option<PortFace> {
        self.ports.get(port.index()).map(|p| match p.face {
            PortFace::LiveWire => PortFace::Wire,
            face => face,
        })
    }

    /// The frames came from an interface, not from a file.
    fn is_live(&self) -> bool {
        self.ports.iter().any(|p| p.face == PortFace::LiveWire)
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
            bytes: tap.bytes.clone(),
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

fn plain(reason: DropReason) -> String {
    let text = reason.describe().trim();
    let mut text = text.replace('`', "");
    if !text.ends_with('.') {
        text.push('.');
    }
    text
}
