//! Conversations built byte by byte and told on any port: together, each end alone, behind tags,
//! with the first payload cut at every byte, and with every frame twice.
//!
//! A row is one protocol's first messages. Modules beside this one hold the rows by family; each
//! gives them out by `rows`.
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod desktop;
mod noise;
mod remote;
mod services;
mod wire;

use std::fmt::Write;

use surface::App;
use wire::{Transport, Variation, Who};

/// One conversation and what it is.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) transport: Transport,
    /// Service ports that it is tried on, the registered one first.
    pub(crate) ports: &'static [u16],
    /// Who says what, in order; datagrams in UDP.
    pub(crate) talk: Vec<(Who, Vec<u8>)>,
    pub(crate) app: App,
    /// Shortest frames, in bytes, by which a capture that cuts them must still tell it.
    pub(crate) snaplen: Option<usize>,
    /// What each end alone is taken for, the opener first.
    pub(crate) alone: [App; 2],
}

impl Row {
    /// Both ends, and each alone, are taken for the same.
    pub(crate) fn new(
        name: &'static str,
        transport: Transport,
        ports: &'static [u16],
        talk: Vec<(Who, Vec<u8>)>,
        app: App,
    ) -> Self {
        Self { name, transport, ports, talk, app, snaplen: None, alone: [app; 2] }
    }
}

/// Bytes of hexadecimal digits; white space does not count.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    assert!(digits.len().is_multiple_of(2), "an odd number of digits");
    digits.chunks(2).map(byte).collect()
}

fn rows() -> Vec<Row> {
    [remote::rows(), services::rows()].into_iter().flatten().collect()
}

/// Every variation of a row on one port, with what it must be taken for.
fn variations(row: &Row, port: u16) -> Vec<(Variation, App)> {
    let mut all = Vec::new();
    let plain = Variation::on(port);
    for (only, app) in
        [(None, row.app), (Some(Who::Opener), row.alone[0]), (Some(Who::Answerer), row.alone[1])]
    {
        let says = |who| row.talk.iter().any(|&(sayer, _)| sayer == who);
        if only.is_some_and(|who| !says(who)) {
            continue;
        }
        for tags in 0..=2 {
            for twice in [false, true] {
                all.push((Variation { only, tags, twice, ..plain }, app));
            }
        }
    }
    if row.snaplen.is_some() {
        all.push((Variation { snaplen: row.snaplen, ..plain }, row.app));
    }
    if row.transport == Transport::Tcp {
        for (only, app) in [(None, row.app), (Some(Who::Opener), row.alone[0])] {
            all.push((Variation { only, bytewise: true, ..plain }, app));
        }
        all.push((Variation { handshake: false, ..plain }, row.app));
        for at in 1..row.talk[0].1.len() {
            for twice in [false, true] {
                all.push((Variation { split: Some(at), twice, ..plain }, row.app));
            }
            all.push((Variation { split: Some(at), late: true, ..plain }, row.app));
        }
    }
    all
}

#[test]
fn every_row_in_every_variation() {
    let (mut runs, mut wrong) = (0, String::new());
    for row in rows() {
        for &port in row.ports {
            for (variation, app) in variations(&row, port) {
                runs += 1;
                let got = wire::apps(&wire::frames(&row, &variation), variation.snaplen);
                if got != [app] {
                    writeln!(wrong, "{}: {got:?} for {app:?}: {variation:?}", row.name).unwrap();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "of {runs}:\n{wrong}");
    assert!(runs > 1000, "only {runs}");
}
