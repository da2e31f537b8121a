//! Looking at what a conversation says until its application is known, and after that as long as
//! its protocol has something to tell.

use arrayvec::ArrayVec;

use crate::detect::wrap::Wrapped;
use crate::facts::Facts;
use crate::flow::{Piece, Side, Stream};
use crate::talk::{Cut, Said, Talk};
use crate::tls::HANDSHAKE_BYTES_MAX;
use crate::{App, detect, tls};

/// Bytes kept of each end of a TCP connection while its application is looked for.
const STREAM_BYTES_MAX: usize = 4096;
/// Datagrams kept of each end.
const DATAGRAMS_MAX: usize = 4;
/// Bytes kept of a datagram.
const DATAGRAM_BYTES_MAX: usize = 1500;
/// Times that a connection is looked at, at most (and once more at its end).
const LOOKS_MAX: u8 = 64;
/// Times that every segment is worth a look; after that an end must have said a third more than at
/// the last one, so that whoever speaks byte by byte is understood as well.
const LOOKS_EAGER: u8 = 16;

/// Applications inside each other.
pub(crate) const PATH_MAX: usize = 4;
/// Wrappers that are opened: behind them there is room for one more and what it is refined to.
const WRAPPERS_MAX: usize = PATH_MAX - 2;

/// What one end has said, kept.
#[derive(Debug, Default)]
struct Heard {
    bytes: Vec<u8>,
    cuts: ArrayVec<Cut, DATAGRAMS_MAX>,
    whole: bool,
    /// A gap came or the room is used up: later bytes do not join on.
    closed: bool,
    /// A handshake comes behind what was said in clear.
    roomy: bool,
}

impl Heard {
    fn said(&self) -> Said<'_> {
        Said::new(&self.bytes, &self.cuts, self.whole)
    }

    fn add(&mut self, data: &[u8]) {
        let handshake = self.roomy || self.bytes.first().or(data.first()) == Some(&22);
        self.add_up_to(data, if handshake { HANDSHAKE_BYTES_MAX } else { STREAM_BYTES_MAX });
    }

    fn add_up_to(&mut self, data: &[u8], max: usize) {
        if !self.closed {
            let room = max.saturating_sub(self.bytes.len());
            self.bytes.extend_from_slice(&data[..data.len().min(room)]);
            self.closed = data.len() >= room;
        }
    }

    /// As new, with the memory kept unless it is large.
    fn clear(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        bytes.shrink_to(HANDSHAKE_BYTES_MAX);
        *self = Self { bytes, ..Self::default() };
    }

    /// Takes `bytes` off the front: a wrapper's own.
    fn strip(&mut self, bytes: usize) {
        self.bytes.drain(..bytes.min(self.bytes.len()));
    }
}

/// What is known of the roles and ports.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Roles {
    pub(crate) opener: Side,
    /// Who opened it is certain.
    pub(crate) certain: bool,
    pub(crate) opener_port: u16,
    pub(crate) service_port: u16,
}

impl Roles {
    const fn swapped(self) -> Self {
        Self {
            opener: self.opener.other(),
            certain: self.certain,
            opener_port: self.service_port,
            service_port: self.opener_port,
        }
    }
}

/// What an inspection has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Not known yet.
    Open,
    /// This application; `swapped` if the roles were the other way round.
    Found { app: App, swapped: bool },
    /// Looked at long enough, without a result.
    GivenUp,
}

/// The part of a conversation's state that is needed only while it is looked at.
#[derive(Debug, Default)]
pub(crate) struct Inspection {
    streams: [Stream; 2],
    heard: [Heard; 2],
    /// Tests that said no, with the roles as they are and the other way round.
    refused: [detect::Refused; 2],
    likely: Option<(App, bool)>,
    first: Option<Side>,
    looks: u8,
    /// Bytes of each end at the last look.
    looked: [u32; 2],
    /// What was found, outermost first.
    pub(crate) path: ArrayVec<App, PATH_MAX>,
    /// The innermost wrapper that was opened, and whether the roles were the other way round.
    wrapper: Option<(App, bool)>,
    /// What was found, and whether the roles are the other way round, while it has more to tell.
    known: Option<(App, bool)>,
    /// What was found is sure, not only likely.
    pub(crate) sure: bool,
}

/// Inspections that are over, for those to come: their memory is used again.
#[derive(Debug, Default)]
#[allow(clippy::vec_box)] // they move between here and their flows as they are
pub(crate) struct Spares(Vec<Box<Inspection>>);

/// Inspections kept for others to come.
const SPARES_MAX: usize = 64;

impl Spares {
    /// One as new.
    pub(crate) fn take(&mut self) -> Box<Inspection> {
        self.0.pop().unwrap_or_default()
    }

    /// Gives one back.
    pub(crate) fn give(&mut self, mut inspection: Box<Inspection>) {
        if self.0.len() < SPARES_MAX {
            let mut heard = std::mem::take(&mut inspection.heard);
            heard.iter_mut().for_each(Heard::clear);
            *inspection = Inspection { heard, ..Inspection::default() };
            self.0.push(inspection);
        }
    }
}

impl Inspection {
    /// A SYN, or the one that answers it.
    pub(crate) fn syn(&mut self, side: Side, seq: u32) {
        self.streams[side.index()].syn(seq);
    }

    /// A TCP segment.
    pub(crate) fn segment(
        &mut self,
        side: Side,
        seq: u32,
        data: &[u8],
        wire: u32,
        roles: Roles,
    ) -> Outcome {
        self.first.get_or_insert(side);
        let heard = &mut self.heard[side.index()];
        let before = heard.bytes.len();
        self.streams[side.index()].push(seq, data, wire, &mut |piece| take(heard, piece));
        heard.whole = self.streams[side.index()].whole();
        if heard.bytes.len() == before {
            return if heard.closed && self.spent() { self.end(roles) } else { Outcome::Open };
        }
        let new = heard.bytes.len().saturating_sub(self.looked[side.index()] as usize);
        if self.looks >= LOOKS_EAGER && new * 4 < heard.bytes.len() && !heard.closed {
            return Outcome::Open;
        }
        self.look(roles, false)
    }

    /// A datagram, or a packet of a transport without streams.
    pub(crate) fn datagram(&mut self, side: Side, data: &[u8], wire: u32, roles: Roles) -> Outcome {
        self.first.get_or_insert(side);
        let heard = &mut self.heard[side.index()];
        heard.whole = true;
        if heard.cuts.len() == DATAGRAMS_MAX {
            heard.closed = true;
            return if self.spent() { self.end(roles) } else { Outcome::Open };
        }
        heard.bytes.extend_from_slice(&data[..data.len().min(DATAGRAM_BYTES_MAX)]);
        heard.cuts.push(Cut { end: heard.bytes.len() as u16, wire: wire.min(65_535) as u16 });
        self.look(roles, false)
    }

    /// Bytes of memory that it holds besides itself.
    pub(crate) fn held(&self) -> usize {
        self.streams.iter().map(Stream::held).sum::<usize>()
            + self.heard.iter().map(|heard| heard.bytes.capacity()).sum::<usize>()
    }

    /// What an end said, as far as kept.
    pub(crate) fn said(&self, side: Side) -> Said<'_> {
        self.heard[side.index()].said()
    }

    /// What was said, with the roles that an outcome has settled.
    pub(crate) fn facts(&self, app: App, roles: Roles) -> Facts {
        Facts::of(app, &self.path, &self.talk(roles, true))
    }

    /// A segment of a conversation whose application is known: kept, and given out in order.
    pub(crate) fn follow(
        &mut self,
        side: Side,
        seq: u32,
        data: &[u8],
        wire: u32,
        out: &mut impl FnMut(Piece<'_>),
    ) {
        let heard = &mut self.heard[side.index()];
        let stream = &mut self.streams[side.index()];
        stream.push(seq, data, wire, &mut |piece| {
            out(piece);
            match piece {
                Piece::Data(data) => heard.add_up_to(data, HANDSHAKE_BYTES_MAX),
                Piece::Gap(_) => heard.closed = true,
            }
        });
        heard.whole = stream.whole();
    }

    /// What is held back is given out.
    pub(crate) fn follow_end(&mut self, side: Side, out: &mut impl FnMut(Piece<'_>)) {
        self.streams[side.index()].end(out);
    }

    /// Not all that an end said was kept.
    pub(crate) fn is_closed(&self, side: Side) -> bool {
        self.heard[side.index()].closed
    }

    /// Nothing more comes.
    pub(crate) fn end(&mut self, roles: Roles) -> Outcome {
        for (stream, heard) in self.streams.iter_mut().zip(&mut self.heard) {
            stream.end(&mut |piece| take(heard, piece));
        }
        match self.look(roles, true) {
            Outcome::Open => self.give_up(),
            outcome => outcome,
        }
    }

    /// More bytes would not be kept, or have not helped.
    fn spent(&self) -> bool {
        let full = |heard: &Heard| heard.closed || heard.bytes.is_empty();
        self.heard.iter().all(full) || self.looks >= LOOKS_MAX
    }

    fn look(&mut self, roles: Roles, last: bool) -> Outcome {
        let last = last || self.looks >= LOOKS_MAX;
        self.looks = self.looks.saturating_add(1);
        self.looked = [0, 1].map(|side| self.heard[side].bytes.len() as u32);
        if let Some((app, swapped)) = self.known {
            return self.told(app, swapped, roles, last);
        }
        let tests = if self.heard.iter().any(|heard| !heard.cuts.is_empty()) {
            detect::UDP
        } else {
            detect::TCP
        };
        let ways: &[bool] =
            if roles.certain || self.wrapper.is_some() { &[false] } else { &[false, true] };
        let mut open = false;
        // whoever still likes it says so again
        self.likely = None;
        for &swapped in ways {
            let talk = self.talk(self.effective(roles, swapped), last);
            let mut refused = self.refused[usize::from(swapped)];
            let result = detect::run(tests, &mut refused, &talk);
            self.refused[usize::from(swapped)] = refused;
            match result {
                detect::Result::Sure(app) => {
                    self.sure = true;
                    return self.found(app, swapped, roles, last);
                }
                detect::Result::Likely(app) => {
                    open = true;
                    self.likely.get_or_insert((app, swapped));
                }
                detect::Result::Open => open = true,
                detect::Result::Nothing => {}
            }
        }
        if last || !open {
            if let Some((app, swapped)) = self.likely.take() {
                self.sure = false;
                return self.found(app, swapped, roles, last);
            }
            // tests that refused one end may still like the other's first bytes
            if last || self.heard.iter().all(|heard| !heard.bytes.is_empty()) {
                return self.give_up();
            }
        }
        Outcome::Open
    }

    /// What carries another application is opened and looked into.
    fn found(&mut self, app: App, swapped: bool, roles: Roles, last: bool) -> Outcome {
        let effective = self.effective(roles, swapped);
        let swapped = effective.opener != roles.opener;
        let talk = self.talk(effective, last);
        let (app, wrapped) = detect::wrap::open(app, &talk);
        if let Some((inner, sure)) = detect::wrap::refine(app, &talk) {
            self.sure &= sure;
            self.path.extend([app, inner]);
            return Outcome::Found { app: inner, swapped };
        }
        if wrapped == Wrapped::More && !last {
            return Outcome::Open; // what it carries is looked for when it is complete
        }
        self.path.push(app);
        match wrapped {
            Wrapped::Strip(opener, answerer) if self.path.len() <= WRAPPERS_MAX => {
                self.heard[effective.opener.index()].strip(opener);
                self.heard[effective.opener.other().index()].strip(answerer);
                self.refused = Default::default();
                self.likely = None;
                self.wrapper = Some((app, swapped));
                if !last && self.heard.iter().all(|heard| heard.bytes.is_empty()) {
                    return Outcome::Open;
                }
                self.look(roles, last)
            }
            _ => self.told(app, swapped, roles, last),
        }
    }

    /// A connection whose application is known is looked at on while more of it is of use.
    fn told(&mut self, app: App, swapped: bool, roles: Roles, last: bool) -> Outcome {
        let settled = if swapped { roles.swapped() } else { roles };
        let stream = self.heard.iter().all(|heard| heard.cuts.is_empty());
        if !last
            && (stream || app == App::Quic)
            && Facts::wants_more(app, &self.path, &self.talk(settled, last))
        {
            let handshake = tls::inside::wants_more(app, &self.talk(settled, last));
            self.heard.iter_mut().for_each(|heard| heard.roomy |= handshake);
            self.known = Some((app, swapped));
            return Outcome::Open;
        }
        Outcome::Found { app, swapped }
    }

    /// The roles as a test sees them: turned if what was found so far says so, and once more for
    /// the other way round.
    fn effective(&self, roles: Roles, swapped: bool) -> Roles {
        let turned = self.wrapper.is_some_and(|(_, turned)| turned);
        if turned == swapped { roles } else { roles.swapped() }
    }

    /// What both ends said.
    pub(crate) fn talk(&self, roles: Roles, last: bool) -> Talk<'_> {
        let [opener, answerer] = [roles.opener, roles.opener.other()];
        Talk {
            opener: self.heard[opener.index()].said(),
            answerer: self.heard[answerer.index()].said(),
            opener_port: roles.opener_port,
            service_port: roles.service_port,
            answerer_first: self.first == Some(answerer),
            last,
        }
    }

    /// Without a result: the wrapper, if there was one, is what is known.
    fn give_up(&mut self) -> Outcome {
        match self.wrapper {
            Some((app, swapped)) => Outcome::Found { app, swapped },
            None => Outcome::GivenUp,
        }
    }
}

fn take(heard: &mut Heard, piece: Piece<'_>) {
    match piece {
        Piece::Data(data) => heard.add(data),
        Piece::Gap(_) => heard.closed = true,
    }
}
