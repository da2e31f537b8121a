//! What two ends have said to each other so far, as a test for an application sees it.

use crate::App;

/// How the bytes of one end lie: one after the other, and where each datagram or segment ended.
///
/// Of a TCP stream these are the first bytes in sequence order, whatever the segments were; of
/// UDP the first datagrams.
#[derive(Debug, Clone, Copy, Default)]
pub struct Said<'a> {
    bytes: &'a [u8],
    /// Ends of the messages in `bytes`, and their lengths on the wire.
    cuts: &'a [Cut],
    /// Nothing is missing before `bytes`: the stream was seen from its first byte.
    whole: bool,
}

/// Where a datagram ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Index behind its last byte kept.
    pub end: u16,
    /// Bytes it had on the wire; more than are kept when the capture or the memory cut it.
    pub wire: u16,
}

impl<'a> Said<'a> {
    /// Of these parts.
    pub const fn new(bytes: &'a [u8], cuts: &'a [Cut], whole: bool) -> Self {
        Self { bytes, cuts, whole }
    }

    /// All bytes kept, in order.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether nothing is missing in front.
    pub const fn whole(&self) -> bool {
        self.whole
    }

    /// Whether this end has said nothing (seen nothing of it, with a one-sided mirror).
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The datagrams kept, each with its length on the wire.
    pub fn datagrams(&self) -> impl Iterator<Item = (&'a [u8], usize)> + use<'a> {
        let (bytes, cuts) = (self.bytes, self.cuts);
        let mut at = 0;
        cuts.iter().map(move |cut| {
            let end = usize::from(cut.end).min(bytes.len());
            let datagram = bytes.get(at..end).unwrap_or_default();
            at = end;
            (datagram, usize::from(cut.wire))
        })
    }

    /// The first datagram and its length on the wire.
    pub fn first(&self) -> Option<(&'a [u8], usize)> {
        self.datagrams().next()
    }
}

/// Both ends of a conversation, and its ports.
#[derive(Debug, Clone, Copy, Default)]
pub struct Talk<'a> {
    /// The end that opened the conversation, or is taken for it.
    pub opener: Said<'a>,
    /// The other end.
    pub answerer: Said<'a>,
    /// Port of the opener.
    pub opener_port: u16,
    /// Port of the answerer: the service's, if the roles are right.
    pub service_port: u16,
    /// The answerer was heard before the opener had said anything.
    pub answerer_first: bool,
    /// No more will come: what is there must do.
    pub last: bool,
}

impl Talk<'_> {
    /// The same talk with its roles changed: for conversations whose beginning was not seen.
    #[must_use]
    pub const fn swapped(self) -> Self {
        Self {
            opener: self.answerer,
            answerer: self.opener,
            opener_port: self.service_port,
            service_port: self.opener_port,
            answerer_first: !self.answerer_first,
            last: self.last,
        }
    }
}

/// What a test says to a talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is not this application, and no further byte can make it so.
    No,
    /// The bytes so far fit; more are needed.
    More,
    /// It fits, from one end's bytes or by a weak pattern: taken if nothing better comes.
    Likely(App),
    /// As likely, and nothing else begins like it: until the other end has spoken, no other test
    /// need be asked.
    Alone(App),
    /// It is this application: both ends' bytes say so, or one end's in a way nothing else has.
    Sure(App),
}

/// A test for one application (or a family that shares its first bytes).
///
/// Pure, cheap and never panicking: it is asked again whenever new bytes of a conversation that is
/// still unknown have come, until it says [`Answer::No`] or anyone says [`Answer::Sure`]. A port
/// may break a tie between patterns that are weak; it never says `Sure` and never forbids.
pub type Test = fn(&Talk<'_>) -> Answer;
