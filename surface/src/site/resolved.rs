//! Which name a client had asked for before it spoke to an address.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use foldhash::fast::RandomState;

use super::names::{RecordData, names};
use super::{Message, Place, place};
use crate::App;

/// Answers remembered; the oldest are forgotten.
const ANSWERS_MAX: usize = 65_536;
/// A clock may be off by so much between an answer and what follows.
const EARLY_NS: i64 = 1_000_000_000;

#[derive(Debug)]
struct Answer {
    name: Box<str>,
    since_ns: i64,
    /// The name before, which conversations begun earlier go by.
    before: Option<(Box<str>, i64)>,
}

/// Names by the client that asked and the address that came back.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    answers: HashMap<(IpAddr, IpAddr), Answer, RandomState>,
    order: VecDeque<(IpAddr, IpAddr)>,
}

impl Resolved {
    /// An answer of a name server.
    pub(super) fn message(&mut self, message: &Message<'_>) {
        if message.app != App::Dns || message.payload.get(2).is_none_or(|flags| flags & 0x80 == 0) {
            return;
        }
        let Some(read) = names(message.payload) else { return };
        let Some((asked, _)) = read.question else { return };
        if !read.fine || asked.is_empty() {
            return;
        }
        for record in &read.records {
            if let RecordData::Address(ip) = record.data {
                self.add((message.to.0, ip), kept(&asked, ip), message.time_ns);
            }
        }
    }

    fn add(&mut self, key: (IpAddr, IpAddr), name: &str, ns: i64) {
        if let Some(answer) = self.answers.get_mut(&key) {
            if *answer.name != *name {
                let before = std::mem::replace(&mut answer.name, name.into());
                answer.before = Some((before, answer.since_ns));
                answer.since_ns = ns;
            }
            return;
        }
        if self.order.len() >= ANSWERS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.answers.remove(&oldest);
        }
        self.order.push_back(key);
        self.answers.insert(key, Answer { name: name.into(), since_ns: ns, before: None });
    }

    /// The name that `client` was given `server` for, when it began to speak to it.
    pub(super) fn name(&self, client: IpAddr, server: IpAddr, first_ns: i64) -> Option<&str> {
        if self.answers.is_empty() {
            return None;
        }
        let answer = self.answers.get(&(client, server))?;
        let by = first_ns.saturating_add(EARLY_NS);
        if answer.since_ns <= by {
            return Some(&answer.name);
        }
        let (name, since_ns) = answer.before.as_ref()?;
        (*since_ns <= by).then_some(name)
    }
}

/// Second-level labels below which countries give out names.
const SECOND_LEVEL: &[&str] =
    &["co", "com", "net", "org", "gov", "edu", "ac", "asn", "id", "or", "ne"];

/// What is kept of a name: all of it for an address inside, and of others what its owner
/// registered, without what stands in front. Without the public list of suffixes this is two
/// labels, or three below a country's own second level.
pub(super) fn kept(name: &str, ip: IpAddr) -> &str {
    if place(ip) == Place::Inside {
        return name;
    }
    let mut dots = name.rmatch_indices('.').map(|(at, _)| at);
    let (Some(first), Some(second)) = (dots.next(), dots.next()) else { return name };
    let country = name.len() - first == 3;
    let below = name.get(second + 1..first).unwrap_or_default();
    let from = if country && SECOND_LEVEL.contains(&below) {
        match dots.next() {
            Some(third) => third,
            None => return name,
        }
    } else {
        second
    };
    name.get(from + 1..).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::super::names::testing::message as bytes;
    use super::*;

    const S: i64 = 1_000_000_000;

    fn ip(n: u8) -> IpAddr {
        [203, 0, 113, n].into()
    }

    fn answered(resolved: &mut Resolved, client: u8, name: &str, at: u8, ns: i64, flags: u16) {
        resolved.message(&Message {
            app: App::Dns,
            from: ([192, 168, 1, 1].into(), 53),
            to: (ip(client), 50_000),
            payload: &bytes(flags, name, 1, &[203, 0, 113, at]),
            frame: 0,
            time_ns: ns,
            mac: None,
        });
    }

    #[test]
    fn a_conversation_goes_by_the_name_asked_before_it() {
        let mut resolved = Resolved::default();
        answered(&mut resolved, 1, "a.example", 9, 10 * S, 0x8180);
        answered(&mut resolved, 1, "www.b.example", 9, 100 * S, 0x8180);
        assert_eq!(resolved.name(ip(1), ip(9), 50 * S), Some("a.example"));
        assert_eq!(resolved.name(ip(1), ip(9), 200 * S), Some("b.example"));
        assert_eq!(resolved.name(ip(1), ip(9), 5 * S), None);
        // another client, another address, a refusal
        assert_eq!(resolved.name(ip(2), ip(9), 200 * S), None);
        assert_eq!(resolved.name(ip(1), ip(8), 200 * S), None);
        answered(&mut resolved, 3, "c.example", 9, S, 0x8183);
        assert_eq!(resolved.name(ip(3), ip(9), 200 * S), None);
    }

    #[test]
    fn answers_are_bounded() {
        let mut resolved = Resolved::default();
        for n in 0..ANSWERS_MAX as u32 + 10 {
            let server = std::net::Ipv4Addr::from(n | 0x0900_0000).into();
            resolved.add((ip(1), server), "x.example", 0);
        }
        assert_eq!((resolved.answers.len(), resolved.order.len()), (ANSWERS_MAX, ANSWERS_MAX));
    }

    #[test]
    fn what_stands_in_front_is_not_kept() {
        assert_eq!(kept("anna-mueller.mail.example.com", ip(1)), "example.com");
        assert_eq!(kept("x.practice.com.au", ip(1)), "practice.com.au");
        assert_eq!(kept("com.au", ip(1)), "com.au");
        assert_eq!(kept("localhost", ip(1)), "localhost");
        assert_eq!(kept("pacs.practice.lan", [10, 0, 0, 1].into()), "pacs.practice.lan");
    }
}
