//! How tests of detectors put a conversation together: through the inspection, as the engine does.

use crate::App;
use crate::flow::Side;
use crate::inspect::{Inspection, Outcome, Roles};

/// Who says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Opener,
    Answerer,
}
pub(crate) use Who::{Answerer, Opener};

fn side(who: Who) -> Side {
    if who == Opener { Side::Low } else { Side::High }
}

fn roles(service_port: u16, certain: bool) -> Roles {
    Roles { opener: Side::Low, certain, opener_port: 50_000, service_port }
}

/// The path of applications that a TCP conversation is taken for, innermost last.
pub(crate) fn tcp_path(service_port: u16, said: &[(Who, &[u8])]) -> Vec<App> {
    tcp_with(roles(service_port, true), said)
}

fn tcp_with(roles: Roles, said: &[(Who, &[u8])]) -> Vec<App> {
    let mut inspection = Inspection::default();
    let mut seq = [1, 1];
    inspection.syn(Side::Low, 0);
    inspection.syn(Side::High, 0);
    for &(who, bytes) in said {
        let side = side(who);
        let at = seq[side.index()];
        seq[side.index()] += bytes.len() as u32;
        let outcome = inspection.segment(side, at, bytes, bytes.len() as u32, roles);
        if outcome != Outcome::Open {
            return path(&inspection, outcome);
        }
    }
    let outcome = inspection.end(roles);
    path(&inspection, outcome)
}

fn path(inspection: &Inspection, outcome: Outcome) -> Vec<App> {
    match outcome {
        Outcome::Found { .. } => inspection.path.to_vec(),
        Outcome::Open | Outcome::GivenUp => Vec::new(),
    }
}

/// The application of a TCP conversation, on any port: on `service_port`, on two others, with the
/// opener known and guessed either way, and with the first message split at every byte. All must
/// agree.
#[track_caller]
pub(crate) fn tcp(service_port: u16, said: &[(Who, &[u8])]) -> App {
    let app = *tcp_path(service_port, said).last().unwrap_or(&App::Unknown);
    for port in [service_port, 2299, 50_001] {
        let got = *tcp_path(port, said).last().unwrap_or(&App::Unknown);
        assert_eq!(got, app, "on port {port} against port {service_port}");
    }
    let guessed = Roles { certain: false, ..roles(service_port, false) };
    let got = *tcp_with(guessed, said).last().unwrap_or(&App::Unknown);
    assert_eq!(got, app, "opener guessed rightly");
    let turned: Vec<_> = said
        .iter()
        .map(|&(who, bytes)| (if who == Opener { Answerer } else { Opener }, bytes))
        .collect();
    let got = *tcp_with(guessed, &turned).last().unwrap_or(&App::Unknown);
    assert_eq!(got, app, "opener guessed wrongly");
    if let Some((&(who, first), rest)) = said.split_first() {
        for at in 1..first.len() {
            let mut parts = vec![(who, &first[..at]), (who, &first[at..])];
            parts.extend_from_slice(rest);
            let got = *tcp_path(service_port, &parts).last().unwrap_or(&App::Unknown);
            assert_eq!(got, app, "first message split at byte {at}");
        }
    }
    app
}

/// The application of a conversation in datagrams on this port, for patterns that it lifts.
pub(crate) fn udp_on(service_port: u16, said: &[(Who, &[u8])]) -> App {
    udp_with(roles(service_port, false), false, said)
}

fn udp_with(roles: Roles, turn: bool, said: &[(Who, &[u8])]) -> App {
    let mut inspection = Inspection::default();
    for &(who, bytes) in said {
        let side = if turn { side(who).other() } else { side(who) };
        let outcome = inspection.datagram(side, bytes, bytes.len() as u32, roles);
        if outcome != Outcome::Open {
            return *path(&inspection, outcome).last().unwrap_or(&App::Unknown);
        }
    }
    let outcome = inspection.end(roles);
    *path(&inspection, outcome).last().unwrap_or(&App::Unknown)
}

/// The application of a conversation in datagrams: on `service_port` and on two others, with the
/// opener known and guessed either way. All must agree.
#[track_caller]
pub(crate) fn udp(service_port: u16, said: &[(Who, &[u8])]) -> App {
    let run = |roles: Roles, turn: bool| udp_with(roles, turn, said);
    let app = run(roles(service_port, true), false);
    for port in [2299, 50_001] {
        assert_eq!(run(roles(port, true), false), app, "on port {port}");
    }
    assert_eq!(run(roles(service_port, false), false), app, "opener guessed rightly");
    assert_eq!(run(roles(service_port, false), true), app, "opener guessed wrongly");
    app
}

/// Bytes of hexadecimal digits; white space does not count.
#[track_caller]
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// [`tcp`] or [`udp`].
pub(crate) type Run = fn(u16, &[(Who, &[u8])]) -> App;

/// Both ends' first messages, and each alone, are taken for `app`.
#[track_caller]
pub(crate) fn both_and_halves(run: Run, port: u16, opener: &[u8], answerer: &[u8], app: App) {
    assert_eq!(run(port, &[(Opener, opener), (Answerer, answerer)]), app);
    assert_eq!(run(port, &[(Opener, opener)]), app, "opener alone");
    assert_eq!(run(port, &[(Answerer, answerer)]), app, "answerer alone");
}
