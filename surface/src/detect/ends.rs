//! Reading what an end said, what a test thinks of it, and how the two ends make an answer.

use crate::App;
use crate::talk::{Answer, Said, Talk};

/// How well one end's bytes fit a protocol, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// They rule it out.
    No,
    /// They do not fit, but may be from the middle of a message: their beginning was not seen.
    Adrift,
    /// Nothing was said yet, or too little to tell.
    Short,
    /// They fit, as other protocols' bytes may by chance.
    Weak,
    /// They fit in a way that chance hardly meets.
    Good,
    /// Nothing else begins like them.
    Alone,
}

/// Why reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// What is there does not fit.
    No,
    /// It ends before it could be told.
    Short,
}

/// What reading comes to.
pub(super) type Parsed<T = Fit> = Result<T, Stop>;

/// Goes on only if it holds.
pub(super) const fn need(holds: bool) -> Parsed<()> {
    if holds { Ok(()) } else { Err(Stop::No) }
}

/// Reads on from the first byte of what an end said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// What is not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The next byte, left where it is.
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Parsed<&'a [u8]> {
        let bytes = self.rest().get(..count).ok_or(Stop::Short)?;
        self.at += count;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let bytes = *self.rest().first_chunk::<N>().ok_or(Stop::Short)?;
        self.at += N;
        Ok(bytes)
    }

    pub(super) fn u8(&mut self) -> Parsed<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn be16(&mut self) -> Parsed<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn be32(&mut self) -> Parsed<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn le16(&mut self) -> Parsed<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn le32(&mut self) -> Parsed<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Goes on only behind these bytes; tells as soon as one differs.
    pub(super) fn literal(&mut self, bytes: &[u8]) -> Parsed<()> {
        let rest = self.rest();
        let have = rest.len().min(bytes.len());
        need(rest.get(..have) == bytes.get(..have))?;
        self.take(bytes.len()).map(|_| ())
    }

    /// Bytes up to `end`, which is read too, if it comes within `max` bytes.
    pub(super) fn until(&mut self, end: u8, max: usize) -> Parsed<&'a [u8]> {
        let rest = self.rest();
        let have = rest.get(..rest.len().min(max)).unwrap_or_default();
        match have.iter().position(|&byte| byte == end) {
            Some(length) => {
                self.at += length + 1;
                Ok(have.get(..length).unwrap_or_default())
            }
            None if rest.len() >= max => Err(Stop::No),
            None => Err(Stop::Short),
        }
    }

    /// Digits up to `end`, which is read too: at most `max` of them.
    pub(super) fn digits(&mut self, end: u8, max: usize) -> Parsed<usize> {
        let begin = self.rest();
        let count = begin.iter().take(max + 1).take_while(|byte| byte.is_ascii_digit()).count();
        match begin.get(count) {
            Some(&byte) => need(byte == end && (1..=max).contains(&count))?,
            None => return Err(Stop::Short),
        }
        let digits = self.take(count)?;
        self.at += 1;
        Ok(digits.iter().fold(0, |sum, digit| {
            usize::saturating_mul(sum, 10).saturating_add(usize::from(digit - b'0'))
        }))
    }
}

/// What an end said as a stream.
pub(super) fn stream(said: &Said<'_>, parse: impl Fn(&mut Reader<'_>) -> Parsed) -> Fit {
    if said.is_empty() {
        return Fit::Short;
    }
    match parse(&mut Reader::new(said.bytes())) {
        Ok(fit) => fit,
        Err(Stop::Short) => Fit::Short,
        Err(Stop::No) if !said.whole() => Fit::Adrift,
        Err(Stop::No) => Fit::No,
    }
}

/// Bytes of a datagram that was cut without which nothing is told by it.
const CUT_BYTES_MIN: usize = 12;

/// What an end said in a datagram; `parse` is given its length on the wire too. One of which not
/// all was kept fits weakly as far as it goes.
pub(super) fn datagram(
    (bytes, wire): (&[u8], usize),
    parse: impl Fn(&mut Reader<'_>, usize) -> Parsed,
) -> Fit {
    match parse(&mut Reader::new(bytes), wire) {
        Ok(fit) => fit,
        Err(Stop::Short) if bytes.len() < wire && bytes.len() >= CUT_BYTES_MIN => Fit::Weak,
        Err(_) => Fit::No,
    }
}

/// The first datagram of an end.
pub(super) fn first(said: &Said<'_>, parse: impl Fn(&mut Reader<'_>, usize) -> Parsed) -> Fit {
    said.first().map_or(Fit::Short, |one| datagram(one, parse))
}

/// All datagrams kept of an end: as well as the worst of them fits.
pub(super) fn every(said: &Said<'_>, parse: impl Fn(&mut Reader<'_>, usize) -> Parsed) -> Fit {
    said.datagrams().map(|one| datagram(one, &parse)).min().unwrap_or(Fit::Short)
}

/// The answer that the opener's and the answerer's bytes make together. A weak fit of one end alone
/// is worth something only on one of `ports`.
pub(super) fn judge(app: App, talk: &Talk<'_>, ends: [Fit; 2], ports: &[u16]) -> Answer {
    let [opener, answerer] = ends;
    match (opener.min(answerer), opener.max(answerer)) {
        (Fit::No, _) | (Fit::Adrift, Fit::Adrift | Fit::Weak) => Answer::No,
        (_, Fit::Alone) | (Fit::Weak | Fit::Good, Fit::Good) => Answer::Sure(app),
        (_, Fit::Good) | (Fit::Weak, Fit::Weak) => Answer::Likely(app),
        (_, Fit::Weak) if ports.contains(&talk.service_port) => Answer::Likely(app),
        _ if talk.last => Answer::No,
        _ => Answer::More,
    }
}

/// Whether `bytes` are text without control characters other than white space.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|&byte| (byte >= b' ' && byte != 0x7f) || matches!(byte, b'\t' | b'\r' | b'\n'))
}

/// Whether `what` occurs in `bytes`, of which at most 4 KiB are kept.
pub(super) fn contains(bytes: &[u8], what: &[u8]) -> bool {
    memchr::memmem::find(bytes, what).is_some()
}

/// Whether `bytes` begin with `what`, upper or lower case.
pub(super) fn begins_ignoring_case(bytes: &[u8], what: &[u8]) -> bool {
    bytes.get(..what.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(what))
}

#[cfg(test)]
mod tests {
    use super::super::{
        Result as Outcome, dhcp, directory, discovery, dns, gateway, management, medical,
        messaging, printing, run, sql, store, time, windows,
    };
    use crate::talk::{Cut, Said, Talk, Test};

    const ROUNDS: u32 = 40_000;

    /// Numbers of a fixed sequence (xorshift64*), so that a failure comes again.
    struct Numbers(u64);

    impl Numbers {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
        }

        /// Bytes of one kind: any, mostly zero, small, or letters.
        fn bytes(&mut self, kind: u64) -> Vec<u8> {
            let length = self.next() % 200;
            let byte = |n: u64| match kind {
                0 => n as u8,
                1 => (n as u8) * u8::from(n >> 8 & 7 == 0),
                2 => (n % 32) as u8,
                _ => b' ' + (n % 95) as u8,
            };
            (0..length).map(|_| byte(self.next() >> 16)).collect()
        }
    }

    /// What the tests of these families make of noise.
    fn found(tcp: &[&[Test]], udp: &[&[Test]], kinds: &[u64], rounds: u32) -> Vec<String> {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        let mut found = Vec::new();
        for round in 0..rounds {
            let kind = kinds[round as usize % kinds.len()];
            let (asks, tells) = (numbers.bytes(kind), numbers.bytes(kind));
            let cut = |bytes: &[u8]| [Cut { end: bytes.len() as u16, wire: bytes.len() as u16 }];
            let cuts = [cut(&asks), cut(&tells)];
            for (tests, cuts) in [(tcp, [&[][..], &[]]), (udp, [&cuts[0][..], &cuts[1]])] {
                for both in [true, false] {
                    let tells = if both { &tells[..] } else { &[] };
                    let talk = Talk {
                        opener: Said::new(&asks, cuts[0], true),
                        answerer: Said::new(tells, if both { cuts[1] } else { &[] }, true),
                        opener_port: 50_000,
                        service_port: 50_001,
                        answerer_first: false,
                        last: true,
                    };
                    if let Outcome::Sure(app) | Outcome::Likely(app) = run(tests, &mut 0, &talk) {
                        let begin =
                            |bytes: &[u8]| format!("{:02x?}", &bytes[..bytes.len().min(24)]);
                        found.push(format!("{app}: {} {}", begin(&asks), begin(tells)));
                    }
                }
            }
        }
        found
    }

    #[test]
    fn noise_is_nothing() {
        let tcp = [
            dns::TCP,
            management::TCP,
            directory::TCP,
            windows::TCP,
            sql::TCP,
            store::TCP,
            medical::TCP,
            messaging::TCP,
            printing::TCP,
        ];
        let udp = [
            dns::UDP,
            discovery::UDP,
            dhcp::UDP,
            time::UDP,
            management::UDP,
            gateway::UDP,
            directory::UDP,
            windows::UDP,
            sql::UDP,
            store::UDP,
        ];
        let found = found(&tcp, &udp, &[0, 1, 2, 3], ROUNDS);
        assert!(found.is_empty(), "{}: {found:#?}", found.len());
    }
}
