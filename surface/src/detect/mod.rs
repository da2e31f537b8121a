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
pub(crate) const TCP: &[&[Test]] = &[
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
pub(crate) const UDP: &[&[Test]] = &[
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

const fn count(families: &[&[Test]]) -> usize {
    let (mut sum, mut n) = (0, 0);
    while n < families.len() {
        sum += families[n].len();
        n += 1;
    }
    sum
}

const _: () = assert!(count(TCP) <= Refused::BITS as usize && count(UDP) <= Refused::BITS as usize);

/// Asks the tests that have not refused yet.
pub(crate) fn run(families: &[&[Test]], refused: &mut Refused, talk: &Talk<'_>) -> Result {
    let mut result = Result::Nothing;
    for (n, test) in families.iter().copied().flatten().enumerate() {
        let bit = 1 << n;
        if *refused & bit != 0 {
            continue;
        }
        match test(talk) {
            Answer::No => *refused |= bit,
            Answer::Sure(app) => return Result::Sure(app),
            Answer::Likely(app) if !matches!(result, Result::Likely(_)) => {
                result = Result::Likely(app);
            }
            Answer::More if result == Result::Nothing => result = Result::Open,
            Answer::Likely(_) | Answer::More => {}
        }
    }
    result
}
