//! Following a remote desktop conversation after it was identified: how many records of application
//! data each end sends and how long they are tells how it came out, encrypted as it is.
//!
//! Network level authentication is an exchange inside TLS (MS-CSSP 3.1.5): the client's token, the
//! server's challenge, the client's answer to it, the server's proof that it knows the answer (or a
//! short error, or nothing), the client's credentials; then the client begins with a connection
//! request of several hundred bytes (MS-RDPBCGR 1.3.1.1). Each is one record.

use arrayvec::ArrayVec;

use crate::facts::{Facts, NameKey, RdpFacts, RdpLevel, RdpOutcome};
use crate::flow::{Piece, Side};
use crate::inspect::{Inspection, Roles};
use crate::tls::RECORD_MAX;

/// Records of which the lengths are kept, of each end.
const LENGTHS_MAX: usize = 12;
/// A server that has sent so many bytes has shown a desktop.
const SESSION_BYTES: u64 = 20_000;
/// As has one that was talked with for so long.
const SESSION_NS: i64 = 30_000_000_000;
/// Records of each end, at least, in that time.
const SESSION_RECORDS: u32 = 20;
/// Nothing is counted beyond.
const BYTES_MAX: u64 = 1 << 20;
/// Records of the client from which on its log-on is over.
const LOGGED_ON: u32 = 6;
/// A client's connection request inside is longer.
const CONNECT_BYTES_MIN: i32 = 300;
/// A server's error is shorter, its proof longer (MS-CSSP 2.2.1: an error is a number; the proof
/// has at least a signature of 16 bytes and a hash of 32).
const ERROR_BYTES_MAX: i32 = 50;
/// The server's verdict on the user behind an accepted password (MS-RDPBCGR 5.4.2.2).
const AUTHORIZATION_BYTES: i32 = 4;

/// The protocol of a server that gives it (MS-RDPBCGR 2.2.1.2.1).
const HYBRID_EX: u32 = 8;

/// Content types of TLS records (RFC 8446 section 5.1).
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const APPLICATION_DATA: u8 = 23;

/// Where an end's stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    /// In its first unit.
    #[default]
    Tpkt,
    /// Between that and what follows.
    Behind,
    /// In TLS records.
    Tls,
    /// In clear or in standard security.
    Plain,
    /// Where the next record begins is not known.
    Lost,
}

/// One record of application data.
#[derive(Debug, Clone, Copy)]
struct Record {
    length: u16,
    /// Records that the other end had sent before it.
    after: u32,
}

/// What one end sent.
#[derive(Debug, Default)]
struct Counted {
    stage: Stage,
    /// The beginning of a record's header, or of a unit's.
    head: ArrayVec<u8, 5>,
    /// Bytes that the record or unit still has.
    left: u32,
    records: u32,
    bytes: u64,
    first: ArrayVec<Record, LENGTHS_MAX>,
    /// It sent an alert (up to TLS 1.2); whether it was the first of the two.
    alert: Option<bool>,
}

/// What the other end had sent when this one spoke.
#[derive(Debug, Clone, Copy, Default)]
struct Other {
    records: u32,
    alert: bool,
}

impl Counted {
    const fn sent(&self) -> Other {
        Other { records: self.records, alert: self.alert.is_some() }
    }

    /// Takes what is next.
    fn take(&mut self, piece: Piece<'_>, other: Other) {
        match piece {
            Piece::Data(data) => self.data(data, other),
            Piece::Gap(missing) => self.gap(missing),
        }
    }

    /// Missing bytes do no harm inside of a record.
    fn gap(&mut self, missing: u32) {
        if self.stage == Stage::Plain {
            self.bytes += u64::from(missing);
        } else if self.head.is_empty() && missing <= self.left {
            self.left -= missing;
        } else {
            self.stage = Stage::Lost;
        }
    }

    fn data(&mut self, mut data: &[u8], other: Other) {
        loop {
            let body = data.len().min(self.left as usize);
            self.left -= body as u32;
            data = &data[body..];
            let Some(&first) = data.first() else { return };
            if self.stage == Stage::Tpkt && self.head.is_full() {
                self.head.clear();
                self.stage = Stage::Behind;
            }
            match self.stage {
                Stage::Lost => return,
                Stage::Plain => {
                    self.bytes += data.len() as u64;
                    return;
                }
                Stage::Behind => {
                    self.stage = match first {
                        CHANGE_CIPHER_SPEC..=APPLICATION_DATA => Stage::Tls,
                        3 => Stage::Plain,
                        _ => Stage::Lost,
                    };
                }
                Stage::Tpkt | Stage::Tls => {
                    self.head.push(first);
                    data = &data[1..];
                    if self.head.is_full() {
                        self.header(other);
                    }
                }
            }
        }
    }

    /// A header is whole.
    fn header(&mut self, other: Other) {
        let [a, b, c, d, e] = *self.head else { return };
        if self.stage == Stage::Tpkt {
            // the fifth byte belongs to the unit; the header stays until the unit is over
            match u32::from(u16::from_be_bytes([c, d])).checked_sub(5) {
                Some(left) if (a, b) == (3, 0) => self.left = left,
                _ => self.stage = Stage::Lost,
            }
            return;
        }
        self.head.clear();
        let length = u16::from_be_bytes([d, e]);
        if !(CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&a)
            || b != 3
            || usize::from(length) > RECORD_MAX
        {
            self.stage = Stage::Lost;
            return;
        }
        self.left = length.into();
        match a {
            APPLICATION_DATA => {
                let _ = self.first.try_push(Record { length, after: other.records });
                self.records = self.records.saturating_add(1);
                self.bytes += u64::from(length);
            }
            ALERT => {
                self.alert.get_or_insert(!other.alert);
            }
            _ => {}
        }
    }
}

/// How a conversation ended, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    /// Who ended it first, if anyone did.
    pub(crate) by: Option<Side>,
    /// Nanoseconds from its first frame to its last.
    pub(crate) lasted_ns: i64,
    /// Bytes are missing.
    pub(crate) gaps: bool,
}

/// A conversation that is followed.
#[derive(Debug)]
pub(crate) struct Follow {
    pub(crate) inspection: Box<Inspection>,
    counted: [Counted; 2],
}

impl Follow {
    /// Goes on from what an inspection has kept.
    pub(crate) fn new(inspection: Box<Inspection>) -> Self {
        let mut counted = [Counted::default(), Counted::default()];
        // the first units of both are asked and answered before there is a record
        for side in [Side::Low, Side::High] {
            let said = inspection.said(side);
            let counted = &mut counted[side.index()];
            counted.take(Piece::Data(said.bytes()), Other::default());
            if inspection.is_closed(side) {
                counted.stage = Stage::Lost;
            }
        }
        Self { inspection, counted }
    }

    /// Bytes of memory that it holds.
    pub(crate) fn held(&self) -> usize {
        size_of::<Self>() + size_of::<Inspection>() + self.inspection.held()
    }

    /// A segment.
    pub(crate) fn segment(&mut self, side: Side, seq: u32, data: &[u8], wire: u32) {
        let other = self.counted[side.other().index()].sent();
        let counted = &mut self.counted[side.index()];
        self.inspection.follow(side, seq, data, wire, &mut |piece| counted.take(piece, other));
    }

    /// An end's SYN.
    pub(crate) fn syn(&mut self, side: Side, seq: u32) {
        self.inspection.syn(side, seq);
    }

    /// Whether more would tell no more.
    pub(crate) fn is_over(&self) -> bool {
        let [a, b] = &self.counted;
        a.stage == Stage::Lost
            || b.stage == Stage::Lost
            || a.bytes + b.bytes > BYTES_MAX
            || (a.bytes.max(b.bytes) > SESSION_BYTES + 4096
                && (a.stage == Stage::Plain || a.records.min(b.records) > LOGGED_ON))
    }

    /// Nothing more comes: the facts of the conversation.
    pub(crate) fn end(&mut self, roles: Roles, ended: Ended, key: &NameKey) -> Facts {
        for side in [Side::Low, Side::High] {
            let other = self.counted[side.other().index()].sent();
            let counted = &mut self.counted[side.index()];
            self.inspection.follow_end(side, &mut |piece| counted.take(piece, other));
        }
        let mut facts = RdpFacts::of(&self.inspection.talk(roles, true), key);
        let [client, server] =
            [roles.opener, roles.opener.other()].map(|side| &self.counted[side.index()]);
        facts.records = [client.records, server.records];
        facts.bytes = [client.bytes, server.bytes];
        let whole = [Side::Low, Side::High].iter().all(|&side| self.inspection.said(side).whole());
        if whole {
            facts.outcome = outcome(&facts, [client, server], roles.opener, ended);
        }
        Facts::Rdp(Box::new(facts))
    }
}

/// How it came out; `opener` is the client.
fn outcome(
    facts: &RdpFacts,
    [client, server]: [&Counted; 2],
    opener: Side,
    ended: Ended,
) -> RdpOutcome {
    let nothing = if ended.by.is_some() { RdpOutcome::Probe } else { RdpOutcome::Unknown };
    if client.stage == Stage::Lost || server.stage == Stage::Lost || !facts.answered {
        return RdpOutcome::Unknown;
    }
    if facts.failure.is_some() || client.stage == Stage::Tpkt {
        return nothing;
    }
    let often = client.records.min(server.records) >= SESSION_RECORDS;
    let shown = server.bytes > SESSION_BYTES || (often && ended.lasted_ns > SESSION_NS);
    if client.stage == Stage::Plain {
        return if shown { RdpOutcome::Session } else { RdpOutcome::Unknown };
    }
    if client.records == 0 {
        return nothing;
    }
    let Some(sizes) = facts.tls.as_ref().and_then(Sizes::of) else {
        return RdpOutcome::Unknown;
    };
    let exchange = Exchange::of(client, server, &sizes);
    if exchange.client.is_empty() {
        return nothing;
    }
    if facts.level() != Some(RdpLevel::Nla) {
        return if shown { RdpOutcome::Session } else { RdpOutcome::Unknown };
    }
    let early = facts.selected == Some(HYBRID_EX);
    match exchange.logon(early) {
        RdpOutcome::Unknown if exchange.is_refused() && !ended.gaps => {
            let last = exchange.answers(2).next();
            let by_server = ended.by.is_some_and(|side| side != opener)
                || server.alert == Some(true)
                || exchange.server_leaves;
            // an error, or without a word: then the server must have been the one who ended it
            let refused = if last.is_some() { ended.by.is_some() } else { by_server };
            if refused { RdpOutcome::Failed } else { RdpOutcome::Unknown }
        }
        RdpOutcome::Succeeded if shown && exchange.connected() => RdpOutcome::Session,
        outcome => outcome,
    }
}

/// What encryption adds to a record.
struct Sizes {
    added: i32,
    /// Nothing is filled up to a block.
    exact: bool,
    /// The handshake ends in records of application data, and alerts are such (TLS 1.3).
    hides: bool,
}

impl Sizes {
    /// By version and cipher (RFC 5246 section 6.2.3, RFC 5288, RFC 7905, RFC 8446 section 5.2).
    fn of(facts: &crate::tls::TlsFacts) -> Option<Self> {
        let cipher = facts.cipher?;
        let (added, exact) = match (facts.version?, cipher) {
            ("1.3", _) => return Some(Self { added: 17, exact: true, hides: true }),
            // ChaCha20, GCM, CCM, CCM with short tags, RC4 with MD5 and SHA
            (_, 0xcca8..=0xccae) => (16, true),
            (_, 0x009c..=0x00ad | 0xc02b..=0xc032) => (24, true),
            (_, 0xc09c..=0xc09f | 0xc0a4..=0xc0a7 | 0xc0ac | 0xc0ad) => (24, true),
            (_, 0xc0a0..=0xc0a3 | 0xc0a8..=0xc0ab | 0xc0ae | 0xc0af) => (16, true),
            (_, 0x0004) => (16, true),
            (_, 0x0005 | 0xc007 | 0xc011) => (20, true),
            // blocks: at least SHA-1 and the length of the filling, and from 1.1 on a vector
            ("1.2" | "1.1", _) => (16 + 20 + 1, false),
            ("1.0", _) => (20 + 1, false),
            _ => return None,
        };
        Some(Self { added, exact, hides: false })
    }
}

/// A record inside, as the peers see it.
#[derive(Debug, Clone, Copy)]
struct Inside {
    /// Bytes, or at most so many.
    bytes: i32,
    /// Records of the other end before it, counted as [`Exchange`] does.
    after: i32,
}

/// The records of application data of both ends, without the handshake's.
struct Exchange {
    client: ArrayVec<Inside, LENGTHS_MAX>,
    server: ArrayVec<Inside, LENGTHS_MAX>,
    exact: bool,
    /// The handshake's last records are not where they should be.
    odd: bool,
    /// The server's alert came before the client's, if that sent one (TLS 1.3): whichever of them
    /// ended the connection, the server was first to say so.
    server_leaves: bool,
}

/// Bytes of an alert, and of the two sizes of the last message of a handshake (RFC 8446 sections
/// 4.4.4 and 6).
const ALERT_BYTES: i32 = 2;
const FINISHED_BYTES: [i32; 2] = [4 + 32, 4 + 48];

impl Exchange {
    fn of(client: &Counted, server: &Counted, sizes: &Sizes) -> Self {
        let inside = |record: &Record, fewer: i32| Inside {
            bytes: i32::from(record.length) - sizes.added,
            after: record.after.min(i32::MAX as u32) as i32 - fewer,
        };
        if !sizes.hides {
            let all = |end: &Counted| end.first.iter().map(|record| inside(record, 0)).collect();
            return Self {
                client: all(client),
                server: all(server),
                exact: sizes.exact,
                odd: false,
                server_leaves: false,
            };
        }
        // the first of the client's is its end of the handshake; the server's are before that, and
        // its tickets are taken for records like others
        let finished = client.first.first().map(|record| inside(record, 0));
        let odd = finished.is_some_and(|finished| !FINISHED_BYTES.contains(&finished.bytes));
        let before = server.first.iter().filter(|record| record.after == 0).count() as i32;
        let rest = |end: &Counted, skip: usize, fewer: i32| {
            end.first
                .iter()
                .skip(skip)
                .map(|record| inside(record, fewer))
                .take_while(|record| record.bytes != ALERT_BYTES)
                .collect()
        };
        let alert = |end: &Counted, skip: usize| {
            let is_alert = |record: &Record| inside(record, 0).bytes == ALERT_BYTES;
            end.first.iter().skip(skip).position(is_alert).map(|at| at + skip)
        };
        let (by_client, by_server) = (alert(client, 1), alert(server, before as usize));
        let server_leaves = by_server.is_some_and(|at| {
            let said = server.first[at].after as usize;
            by_client.is_none_or(|client_at| said <= client_at)
        });
        let client = rest(client, 1, before);
        let server = rest(server, before as usize, 1);
        Self { client, server, exact: true, odd, server_leaves }
    }

    /// The server's records that came when the client had sent exactly `n`.
    fn answers(&self, n: i32) -> impl Iterator<Item = &Inside> {
        self.server.iter().filter(move |record| record.after == n)
    }

    /// The client went on to its connection request, and was answered.
    fn connected(&self) -> bool {
        self.client.iter().enumerate().skip(3).take(2).any(|(n, record)| {
            record.bytes >= CONNECT_BYTES_MIN
                && self.server.iter().any(|answer| answer.after > n as i32)
        })
    }

    /// Whether the password was accepted; a server that gives its verdict `early` says so.
    fn logon(&self, early: bool) -> RdpOutcome {
        let told = || self.answers(3).any(|answer| answer.bytes == AUTHORIZATION_BYTES);
        if !self.odd
            && (self.connected() || (early && self.exact && self.client.len() == 3 && told()))
        {
            RdpOutcome::Succeeded
        } else {
            RdpOutcome::Unknown
        }
    }

    /// The client was challenged, answered, and that was all, but for an error of the server.
    fn is_refused(&self) -> bool {
        !self.odd
            && self.client.len() == 2
            && self.answers(1).any(|answer| answer.bytes >= ERROR_BYTES_MAX)
            // a proof is long: then the password was right, and the client left
            && self.answers(2).all(|answer| answer.bytes < ERROR_BYTES_MAX)
    }
}
