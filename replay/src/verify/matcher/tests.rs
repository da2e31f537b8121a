use proptest::prelude::*;
use testkit::net::numbered;

use super::*;

const SEED: Seed = Seed::of(7);

/// What the far end does with one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passes,
    Lost,
    Twice,
    Damaged,
    /// Comes after the frame behind it.
    Late,
    /// Passes, and a frame of somebody else's comes before it.
    Disturbed,
}

fn foreign(n: u32) -> Vec<u8> {
    let mut frame = vec![0xa5; 77 + n as usize % 5];
    frame[14..18].copy_from_slice(&n.to_le_bytes());
    frame
}

/// The frames that come, if each sent one has its fate. `Late` needs a frame behind it that
/// passes.
fn journey(frames: &[Vec<u8>], fates: &[Fate]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut late: Option<&Vec<u8>> = None;
    for (n, (frame, fate)) in (0..).zip(frames.iter().zip(fates)) {
        match fate {
            Fate::Lost => {}
            Fate::Late => late = Some(frame),
            Fate::Damaged => {
                let mut frame = frame.clone();
                let at = n as usize * 13 % frame.len();
                frame[at] ^= 1 << (n % 8);
                out.push(frame);
            }
            _ => {
                if *fate == Fate::Disturbed {
                    out.push(foreign(n));
                }
                out.push(frame.clone());
                if *fate == Fate::Twice {
                    out.push(frame.clone());
                }
                out.extend(late.take().cloned());
            }
        }
    }
    out.extend(late.cloned());
    out
}

fn verify(window: usize, frames: &[Vec<u8>], came: &[Vec<u8>]) -> Findings {
    let mut matcher = Matcher::with_window(SEED, window);
    for (frame, record) in frames.iter().zip(1..) {
        matcher.sent(SEED.mark(frame, record));
    }
    for frame in came {
        matcher.received(frame);
    }
    matcher.finish()
}

fn sent(list: &[FrameName]) -> Vec<u64> {
    list.iter().map(|frame| frame.sent).collect()
}

#[test]
fn each_kind_is_told_from_the_others_and_named() {
    let frames = numbered(100, |n| 60 + n as usize % 7);
    let mut fates = [Fate::Passes; 100];
    for (at, fate) in [
        (3, Fate::Lost),
        (20, Fate::Twice),
        (30, Fate::Damaged),
        (31, Fate::Damaged),
        (40, Fate::Late),
        (50, Fate::Disturbed),
        (99, Fate::Lost),
    ] {
        fates[at] = fate;
    }
    let found = verify(WINDOW, &frames, &journey(&frames, &fates));
    let named = &found.named;
    assert_eq!((sent(&named.lost), sent(&named.duplicated)), (vec![4, 100], vec![21]));
    assert_eq!((sent(&named.corrupted), sent(&named.reordered)), (vec![31, 32], vec![41]));
    assert_eq!((found.sent, found.received), (100, 96));
    assert_eq!((found.lost, found.duplicated, found.corrupted), (2, 1, 2));
    assert_eq!((found.reordered, found.foreign), (1, 1));
}

#[test]
fn copies_of_the_same_bytes_are_counted() {
    let frames = vec![vec![9; 64]; 1000];
    let found = verify(WINDOW, &frames, &frames[..900]);
    assert_eq!((found.received, found.lost, found.duplicated, found.foreign), (900, 100, 0, 0));
    let more = vec![vec![9; 64]; 1010];
    let found = verify(WINDOW, &frames, &more);
    assert_eq!((found.received, found.lost, found.duplicated, found.foreign), (1000, 0, 10, 0));
}

#[test]
fn what_was_not_taken_is_not_awaited() {
    let frames = vec![vec![9; 64]; 10];
    let mut matcher = Matcher::new(SEED);
    for frame in &frames {
        matcher.sent(SEED.mark(frame, 1));
    }
    for number in 4..8 {
        matcher.refused(number);
    }
    matcher.refused(99);
    assert_eq!(matcher.awaited(), 6);
    for frame in &frames[..6] {
        matcher.received(frame);
    }
    assert_eq!(matcher.awaited(), 0);
    matcher.received(&frames[0]);
    let found = matcher.finish();
    assert_eq!((found.sent, found.received, found.lost, found.duplicated), (6, 6, 0, 1));
}

#[test]
fn a_box_that_changes_every_frame_corrupts_and_loses_none() {
    let frames = numbered(5_000, |n| 60 + n as usize % 900);
    let mut came = frames.clone();
    for frame in &mut came {
        frame[..12].fill(3);
    }
    let found = verify(WINDOW, &frames, &came);
    assert_eq!((found.sent, found.received, found.foreign), (5_000, 0, 0));
    assert_eq!((found.corrupted, found.lost), (5_000, 0));
}

#[test]
fn the_window_bounds_what_is_kept() {
    let frames = numbered(100_000, |_| 60);
    let mut matcher = Matcher::with_window(SEED, 1000);
    for (n, frame) in frames.iter().enumerate() {
        matcher.sent(SEED.mark(frame, 1));
        if n % 2 == 0 {
            matcher.received(frame);
        }
        matcher.received(&foreign(n as u32));
        assert!(matcher.records.len() <= 1000 && matcher.groups.len() <= 1000);
        assert!(matcher.strange.len() <= STRANGE_MAX);
    }
    let found = matcher.finish();
    assert_eq!((found.received, found.lost, found.foreign), (50_000, 50_000, 100_000));
}

proptest! {
    #[test]
    fn every_frame_is_counted_once_and_rightly(
        fates in prop::collection::vec(prop_oneof![
            8 => Just(Fate::Passes),
            1 => Just(Fate::Lost),
            1 => Just(Fate::Twice),
            1 => Just(Fate::Damaged),
            1 => Just(Fate::Late),
            1 => Just(Fate::Disturbed),
        ], 1..400),
        small: bool,
    ) {
        let mut fates = fates;
        // who is late comes after the next, which has to pass
        for at in 0..fates.len() {
            if fates[at] == Fate::Late {
                match fates.get_mut(at + 1) {
                    Some(next) => *next = Fate::Passes,
                    None => fates[at] = Fate::Passes,
                }
            }
        }
        let frames = numbered(fates.len() as u32, |n| 90 + n as usize % 50);
        let came = journey(&frames, &fates);
        let found = verify(if small { 400 } else { WINDOW }, &frames, &came);
        let count = |fate| fates.iter().filter(|f| **f == fate).count() as u64;
        prop_assert_eq!(found.sent, found.received + found.lost + found.corrupted);
        let all = found.received + found.corrupted + found.duplicated + found.foreign;
        prop_assert_eq!(came.len() as u64, all);
        prop_assert_eq!(found.lost, count(Fate::Lost));
        prop_assert_eq!(found.corrupted, count(Fate::Damaged));
        prop_assert_eq!(found.duplicated, count(Fate::Twice));
        prop_assert_eq!(found.reordered, count(Fate::Late));
        prop_assert_eq!(found.foreign, count(Fate::Disturbed));
    }

    #[test]
    fn rounds_of_the_same_frames_are_told_apart(
        faults in prop::collection::vec((0..1000_usize, prop_oneof![
            Just(Fate::Lost),
            Just(Fate::Twice),
            Just(Fate::Damaged),
            Just(Fate::Disturbed),
        ]), 0..30),
        rounds in 1..5_usize,
    ) {
        let once = numbered(200, |n| 90 + n as usize % 50);
        let frames = vec![once; rounds].concat();
        let mut fates = vec![Fate::Passes; frames.len()];
        for (at, fate) in faults {
            fates[at % frames.len()] = fate;
        }
        let found = verify(WINDOW, &frames, &journey(&frames, &fates));
        let count = |fate| fates.iter().filter(|f| **f == fate).count() as u64;
        prop_assert_eq!(found.lost, count(Fate::Lost));
        prop_assert_eq!(found.corrupted, count(Fate::Damaged));
        prop_assert_eq!(found.duplicated, count(Fate::Twice));
        prop_assert_eq!((found.reordered, found.foreign), (0, count(Fate::Disturbed)));
    }

    #[test]
    fn any_frames_are_counted_once(
        sent in prop::collection::vec(prop::collection::vec(0..3_u8, 0..4), 0..60),
        came in prop::collection::vec(prop::collection::vec(0..3_u8, 0..4), 0..60),
        refused in prop::collection::vec(0..60_u64, 0..9),
        window in 1..70_usize,
    ) {
        let mut matcher = Matcher::with_window(SEED, window);
        // by turns, so that some are forgotten meanwhile
        let turns = sent.len().max(came.len());
        for turn in 0..turns {
            if let Some(frame) = sent.get(turn) {
                matcher.sent(SEED.mark(frame, 1));
            }
            if turn == turns / 2 {
                for number in &refused {
                    matcher.refused(*number);
                }
            }
            if let Some(frame) = came.get(turn) {
                matcher.received(frame);
            }
        }
        let found = matcher.finish();
        prop_assert_eq!(found.sent, found.received + found.lost + found.corrupted);
        let all = found.received + found.corrupted + found.duplicated + found.foreign;
        prop_assert_eq!(came.len() as u64, all);
    }
}
