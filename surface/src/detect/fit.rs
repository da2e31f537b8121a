//! How well what an end said fits a protocol, and what both ends' bytes come to.

use super::read::{Parsed, Reader, Stop, differ_at_once};
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

impl Fit {
    /// Of a condition that later bytes do not change.
    pub(super) const fn of(fits: bool) -> Self {
        if fits { Self::Good } else { Self::No }
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

/// By the first datagram of an end and its length on the wire, without a reader.
pub(super) fn opening<'a>(said: Said<'a>, test: impl FnOnce(&'a [u8], usize) -> Fit) -> Fit {
    said.first().map_or(Fit::Short, |(datagram, wire)| test(datagram, wire))
}

/// Whether bytes begin with `pattern`, as far as they go.
#[inline]
pub(super) fn starts(bytes: &[u8], pattern: &[u8]) -> Fit {
    if differ_at_once(bytes, pattern) {
        return Fit::No;
    }
    let n = bytes.len().min(pattern.len());
    if bytes[..n] != pattern[..n] {
        Fit::No
    } else if n == pattern.len() {
        Fit::Good
    } else {
        Fit::Short
    }
}

/// All datagrams kept of an end: as well as the worst of them fits.
pub(super) fn every(said: &Said<'_>, parse: impl Fn(&mut Reader<'_>, usize) -> Parsed) -> Fit {
    said.datagrams().map(|one| datagram(one, &parse)).min().unwrap_or(Fit::Short)
}

/// The answer that the opener's and the answerer's bytes make together. A weak fit of one end alone
/// is worth something only on one of `ports`. What the opener of a connection says is sure when the
/// other end has not spoken against it: who looks for services says the same to all of them.
pub(super) fn judge(app: App, talk: &Talk<'_>, ends: [Fit; 2], ports: &[u16]) -> Answer {
    let [opener, answerer] = ends;
    let unanswered = talk.answerer.is_empty() && !talk.last && talk.opener.first().is_none();
    match (opener.min(answerer), opener.max(answerer)) {
        (Fit::No, _) | (Fit::Adrift, Fit::Adrift | Fit::Weak) => Answer::No,
        (_, Fit::Alone) if unanswered => Answer::Alone(app),
        (_, Fit::Alone) | (Fit::Weak | Fit::Good, Fit::Good) => Answer::Sure(app),
        (_, Fit::Good) | (Fit::Weak, Fit::Weak) => Answer::Likely(app),
        (_, Fit::Weak) if ports.contains(&talk.service_port) => Answer::Likely(app),
        _ if talk.last => Answer::No,
        _ => Answer::More,
    }
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
                    if let Outcome::Sure(app) | Outcome::Likely(app) =
                        run(&tests.concat(), &mut 0, &talk)
                    {
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
