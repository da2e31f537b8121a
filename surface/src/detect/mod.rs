//! Tests for applications, by their bytes.
//!
//! A test looks at the first bytes that both ends have said and never needs a port. Offsets behind
//! a field of variable length are computed, unknown bits are data, and whatever one end alone can
//! say is `Likely` unless nothing else begins like it.

mod backup;
mod ber;
mod dhcp;
mod directory;
mod discovery;
mod dns;
mod fit;
mod gateway;
mod mail;
mod management;
mod medical;
mod messaging;
mod plant;
mod printing;
mod quic;
mod rdp;
mod read;
mod remote;
mod routing;
mod rustdesk;
mod sql;
mod store;
#[cfg(test)]
pub(crate) mod testing;
mod time;
mod tls;
mod voice;
mod vpn;
mod web;
mod windows;
pub(crate) mod wrap;

pub(crate) use web::port_mapping;

use crate::App;
use crate::talk::{Answer, Talk, Test};

/// Tests that said no, a bit for each.
pub(crate) type Refused = u128;

/// What a round of tests has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Result {
    /// One is sure.
    Sure(App),
    /// One likes it, others may come to like it more.
    Likely(App),
    /// Some want more.
    Open,
    /// All said no.
    Nothing,
}

/// Families of tests for TCP, the more specific first.
const TCP_FAMILIES: &[&[Test]] = &[
    tls::TCP,
    web::TCP,
    mail::TCP,
    windows::TCP,
    directory::TCP,
    dns::TCP,
    management::TCP,
    sql::TCP,
    store::TCP,
    medical::TCP,
    messaging::TCP,
    printing::TCP,
    rdp::TCP,
    remote::TCP,
    vpn::TCP,
    backup::TCP,
    plant::TCP,
    routing::TCP,
    voice::TCP,
    rustdesk::TCP,
];
/// Families of tests for UDP.
const UDP_FAMILIES: &[&[Test]] = &[
    tls::UDP,
    quic::UDP,
    dns::UDP,
    discovery::UDP,
    dhcp::UDP,
    time::UDP,
    management::UDP,
    sql::UDP,
    store::UDP,
    gateway::UDP,
    directory::UDP,
    windows::UDP,
    rdp::UDP,
    remote::UDP,
    vpn::UDP,
    backup::UDP,
    plant::UDP,
    routing::UDP,
    voice::UDP,
    rustdesk::UDP,
];

/// The tests for TCP.
pub(crate) const TCP: &[Test] = &joined::<{ count(TCP_FAMILIES) }>(TCP_FAMILIES);
/// The tests for UDP.
pub(crate) const UDP: &[Test] = &joined::<{ count(UDP_FAMILIES) }>(UDP_FAMILIES);

const fn count(families: &[&[Test]]) -> usize {
    let (mut sum, mut n) = (0, 0);
    while n < families.len() {
        sum += families[n].len();
        n += 1;
    }
    sum
}

/// One family behind the other.
const fn joined<const N: usize>(families: &[&[Test]]) -> [Test; N] {
    let mut all: [Test; N] = [|_| Answer::No; N];
    let (mut at, mut family) = (0, 0);
    while family < families.len() {
        let mut n = 0;
        while n < families[family].len() {
            all[at] = families[family][n];
            (at, n) = (at + 1, n + 1);
        }
        family += 1;
    }
    all
}

const _: () = assert!(TCP.len() <= Refused::BITS as usize && UDP.len() <= Refused::BITS as usize);

/// Asks the tests that have not refused yet, in their order.
pub(crate) fn run(tests: &[Test], refused: &mut Refused, talk: &Talk<'_>) -> Result {
    let mut result = Result::Nothing;
    let mut left = !*refused;
    while let Some(test) = tests.get(left.trailing_zeros() as usize) {
        let bit = left & left.wrapping_neg();
        left ^= bit;
        match test(talk) {
            Answer::No => *refused |= bit,
            Answer::Sure(app) => return Result::Sure(app),
            Answer::Alone(app) if !talk.last => {
                return if let Result::Likely(_) = result { result } else { Result::Likely(app) };
            }
            Answer::Likely(app) | Answer::Alone(app) if !matches!(result, Result::Likely(_)) => {
                result = Result::Likely(app);
            }
            Answer::More if result == Result::Nothing => result = Result::Open,
            Answer::Likely(_) | Answer::Alone(_) | Answer::More => {}
        }
    }
    result
}
