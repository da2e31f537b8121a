//! What the benches of replay and capture stand on: a namespace with a cable, programs run on one
//! core, a sender of our own, and an ear at the far end.

pub(super) mod frames;
pub(super) mod lab;
pub(super) mod listen;
pub(super) mod peers;
pub(super) mod send;
pub(super) mod tool;

use std::fs;

use benches::{Row, Spread};

/// How loaded the machine was, which every row says: figures of a busy machine are its, not ours.
pub(super) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}

/// Rows of one case, ours first, with the floor (the bare program's median) in each.
pub(super) fn rows(
    bench: &'static str,
    case: &str,
    metric: &'static str,
    of: impl IntoIterator<Item = (Option<String>, Vec<f64>, Vec<(&'static str, String)>)>,
    floor: Option<f64>,
) -> Vec<Row> {
    let of = of.into_iter().filter(|(_, figures, _)| !figures.is_empty());
    of.map(|(peer, figures, extra)| Row {
        bench,
        case: case.to_owned(),
        metric,
        figures: Spread::new(figures),
        floor,
        peer,
        extra,
    })
    .collect()
}
