//! Guessing of passwords, and whether one was found.
//!
//! Only log-ons count whose outcome shows in the sizes of what was said inside TLS; every text
//! says that it is inferred from these. Tries that are alike to the byte, so many in so short a
//! time, are a program's whatever became of each: that is taken for proven.
//! Thresholds:
//! ten refusals in ten minutes are no person; patient programs make nine in a quarter of an hour
//! time and again, or fifty a day; a swarm shares the work (Sophos "RDP Exposed", 2019).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::super::address::{Place, place};
use super::super::{end, rules_desktop as rules};
use super::network;
use crate::facts::{KeyedName, RdpFacts, RdpLevel, RdpOutcome};
use crate::finding::{Finding, Rule, Severity, Sure};
use crate::record::FlowRecord;

/// Sources remembered of a server.
const SOURCES_MAX: usize = 2048;
/// Refusals remembered of a source.
const REFUSED_MAX: usize = 256;
/// Acceptances remembered of a source.
const ACCEPTED_MAX: usize = 64;
/// User names told apart.
const NAMES_MAX: usize = 64;

const MINUTE_NS: i64 = 60_000_000_000;
const DAY_NS: i64 = 24 * 60 * MINUTE_NS;
/// So many refusals in so long are guessing.
const FAST: (usize, i64) = (10, 10 * MINUTE_NS);
/// So many in so long, in so many such windows, are slow guessing.
const SLOW: (usize, i64, usize) = (9, 15 * MINUTE_NS, 3);
/// As are so many in a day.
const A_DAY: (usize, i64) = (50, DAY_NS);
/// So many sources in a day are a swarm.
const SWARM: usize = 20;
/// Conversations of a program are alike: bytes by which they differ, and how many of ten do.
const ALIKE_BYTES: u64 = 100;
const ALIKE_TENTHS: usize = 8;

#[derive(Debug, Clone, Copy)]
struct Logon {
    ns: i64,
    frame: u64,
    bytes: [u64; 2],
    /// The desktop was in use, not only the password accepted.
    used: bool,
}

/// How refusals and acceptances are known.
const INFERRED: &str = "inferred from the sizes of what was said inside TLS";

#[derive(Debug, Default)]
struct Source {
    refused: Vec<Logon>,
    refused_count: u64,
    accepted: Vec<Logon>,
    names: BTreeSet<KeyedName>,
}

/// How a source guesses, and since when that is clear.
struct Guess {
    rule: &'static Rule,
    since_ns: i64,
}

impl Source {
    /// The refusals in the order of time.
    fn sorted(&self) -> Vec<Logon> {
        let mut refused = self.refused.clone();
        refused.sort_by_key(|logon| logon.ns);
        refused
    }

    fn guess(&self) -> Option<Guess> {
        let refused = self.sorted();
        let within = |(count, ns): (usize, i64)| {
            refused
                .windows(count)
                .find(|window| window[count - 1].ns - window[0].ns <= ns)
                .map(|window| window[count - 1].ns)
        };
        if let Some(since_ns) = within(FAST) {
            return Some(Guess { rule: &rules::GUESSING, since_ns });
        }
        let (count, ns, times) = SLOW;
        let (mut from, mut windows, mut slow) = (0, 0, None);
        while let Some(window) = refused.get(from..from + count) {
            if window[count - 1].ns - window[0].ns <= ns {
                windows += 1;
                from += count;
                if windows == times {
                    slow = Some(window[count - 1].ns);
                    break;
                }
            } else {
                from += 1;
            }
        }
        let since_ns = slow.or_else(|| within(A_DAY))?;
        Some(Guess { rule: &rules::SLOW_GUESSING, since_ns })
    }

    /// Whether the refused conversations are of much the same size.
    fn is_alike(&self) -> bool {
        let alike = |end: usize| {
            let mut sizes: Vec<u64> = self.refused.iter().map(|logon| logon.bytes[end]).collect();
            sizes.sort_unstable();
            let middle = sizes.get(sizes.len() / 2).copied().unwrap_or_default();
            let near = sizes.iter().filter(|size| size.abs_diff(middle) <= ALIKE_BYTES).count();
            near * 10 >= sizes.len() * ALIKE_TENTHS
        };
        alike(0) && alike(1)
    }

    /// Of the site, under one name: a stored password that is out of date does that too.
    fn may_be_own(&self, ip: IpAddr) -> bool {
        place(ip) != Place::Outside && self.names.len() <= 1
    }
}

/// Log-ons at one server.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    sources: BTreeMap<IpAddr, Source>,
}

impl Guesses {
    pub(super) fn flow(&mut self, flow: &FlowRecord, facts: &RdpFacts) {
        let accepted = match facts.outcome {
            RdpOutcome::Failed => false,
            RdpOutcome::Succeeded | RdpOutcome::Session if facts.level() == Some(RdpLevel::Nla) => {
                true
            }
            _ => return,
        };
        if self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(&flow.src) {
            return;
        }
        let source = self.sources.entry(flow.src).or_default();
        let used = facts.outcome == RdpOutcome::Session;
        let logon = Logon { ns: flow.first_ns, frame: flow.first_frame, bytes: facts.bytes, used };
        if accepted {
            if source.accepted.len() < ACCEPTED_MAX {
                source.accepted.push(logon);
            }
            return;
        }
        source.refused_count += 1;
        if source.refused.len() < REFUSED_MAX {
            source.refused.push(logon);
        }
        if let Some((_, name)) = facts.cookie
            && source.names.len() < NAMES_MAX
        {
            source.names.insert(name);
        }
    }

    pub(super) fn findings(&self, host: IpAddr, port: u16, out: &mut Vec<Finding>) {
        let guessers: Vec<_> = self
            .sources
            .iter()
            .filter_map(|(&ip, source)| Some((ip, source, source.guess()?)))
            .collect();
        for (ip, source, guess) in &guessers {
            let mut finding = guessing(*ip, source, guess);
            finding.hosts.insert(0, host);
            finding.port = port;
            finding.detail = format!(
                "{} refused {} log-ons from {ip}{}{} ({INFERRED})",
                end(host, port),
                source.refused_count,
                match source.names.len() {
                    0 => String::new(),
                    1 => ", all under one name".to_owned(),
                    NAMES_MAX => format!(", under {NAMES_MAX} names or more"),
                    n => format!(", under {n} names"),
                },
                if source.is_alike() { ", alike as a program's are" } else { "" }
            );
            out.push(finding);
            out.extend(self.then_in(host, port, *ip, source, guess));
        }
        out.extend(self.swarm(host, port));
    }

    /// Somebody got in, from where it was guessed in the day before.
    fn then_in(
        &self,
        host: IpAddr,
        port: u16,
        ip: IpAddr,
        guesser: &Source,
        guess: &Guess,
    ) -> Option<Finding> {
        let after = |logon: &&Logon| {
            logon.ns >= guess.since_ns
                && guesser
                    .refused
                    .iter()
                    .any(|refused| refused.ns <= logon.ns && logon.ns - refused.ns <= DAY_NS)
        };
        let near = |&(other, _): &(&IpAddr, &Source)| network(*other) == network(ip);
        let (from, logon) = self
            .sources
            .iter()
            .filter(near)
            .flat_map(|(&other, source)| source.accepted.iter().map(move |logon| (other, logon)))
            .filter(|(_, logon)| after(logon))
            .min_by_key(|&(other, logon)| (other != ip, !logon.used, logon.ns))?;
        let certain = from == ip && !guesser.may_be_own(ip);
        let sure = if certain { Sure::Proven } else { Sure::Likely };
        let refused = guesser.sorted();
        let first = refused.first()?;
        let mut finding =
            Finding::new(&rules::GUESSED, Severity::Critical, sure, logon.frame, first.ns);
        for refused in refused.iter().take(8) {
            finding.again(refused.frame, refused.ns);
        }
        finding.evidence.sort_unstable();
        finding.last_ns = logon.ns;
        finding.count = 1;
        for ip in [host, ip, from] {
            finding.host(ip);
        }
        finding.port = port;
        let what = if logon.used { "was used" } else { "accepted a log-on" };
        finding.detail = format!(
            "{} refused {} log-ons from {ip} ({INFERRED}), then {what} from {from} (frame {}{})",
            end(host, port),
            guesser.refused_count,
            logon.frame,
            if logon.used {
                ": more was sent than anybody gets before a log-on"
            } else {
                ", inferred in the same way"
            }
        );
        Some(finding)
    }

    fn swarm(&self, host: IpAddr, port: u16) -> Option<Finding> {
        let mut refused: Vec<(Logon, IpAddr)> = self
            .sources
            .iter()
            .filter(|&(&ip, _)| place(ip) == Place::Outside)
            .flat_map(|(&ip, source)| source.refused.iter().map(move |&logon| (logon, ip)))
            .collect();
        refused.sort_by_key(|(logon, _)| logon.ns);
        let mut counts: BTreeMap<IpAddr, u32> = BTreeMap::new();
        let mut from = 0;
        for (at, (logon, ip)) in refused.iter().enumerate() {
            *counts.entry(*ip).or_default() += 1;
            while logon.ns - refused[from].0.ns > DAY_NS {
                let first = refused[from].1;
                if let Some(count) = counts.get_mut(&first) {
                    *count -= 1;
                    if *count == 0 {
                        counts.remove(&first);
                    }
                }
                from += 1;
            }
            if counts.len() >= SWARM {
                let day = &refused[from..=at];
                let (first, _) = day.first()?;
                let mut finding = Finding::new(
                    &rules::SWARM,
                    Severity::High,
                    Sure::Proven,
                    first.frame,
                    first.ns,
                );
                finding.host(host);
                for (logon, ip) in &day[1..] {
                    finding.again(logon.frame, logon.ns);
                    finding.host(*ip);
                }
                finding.host(day[0].1);
                finding.port = port;
                finding.detail = format!(
                    "{} refused log-ons from {} addresses outside within a day ({INFERRED})",
                    end(host, port),
                    counts.len()
                );
                return Some(finding);
            }
        }
        None
    }
}

fn guessing(ip: IpAddr, source: &Source, guess: &Guess) -> Finding {
    let severity = if source.may_be_own(ip) { Severity::Medium } else { Severity::High };
    let sure = if source.is_alike() { Sure::Proven } else { Sure::Likely };
    let refused = source.sorted();
    let first = refused.first().copied();
    let first = first.unwrap_or(Logon { ns: 0, frame: 0, bytes: [0; 2], used: false });
    let mut finding = Finding::new(guess.rule, severity, sure, first.frame, first.ns);
    for logon in refused.iter().skip(1) {
        finding.again(logon.frame, logon.ns);
    }
    finding.count = source.refused_count;
    finding.host(ip);
    finding
}
