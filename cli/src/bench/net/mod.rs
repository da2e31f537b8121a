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

/// Everyone once, beginning with another each round: whoever comes first finds another machine than
/// whoever comes after someone.
pub(super) fn each_in_turn<T>(
    round: usize,
    all: &mut [T],
    mut run: impl FnMut(&mut T) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let first = round % all.len().max(1);
    let (late, early) = all.split_at_mut(first);
    early.iter_mut().chain(late).try_for_each(&mut run)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_has_a_turn_in_every_round_and_another_is_first() {
        let mut all = ['a', 'b', 'c'];
        for (round, wanted) in [(0, "abc"), (1, "bca"), (2, "cab"), (3, "abc")] {
            let mut order = String::new();
            each_in_turn(round, &mut all, |who| {
                order.push(*who);
                Ok(())
            })
            .unwrap();
            assert_eq!(order, wanted);
        }
        each_in_turn(1, &mut [] as &mut [char], |_| anyhow::bail!("nobody is there")).unwrap();
    }
}
