//! Stepping: forwards and backwards through one frame's life gives the same states.
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod common;

use common::{Recorded, Setup, frame, mac, setup};
use framewalk_pipeline::skb::{DropReason, LinkType, PortSet, Stage, Verdict};
use framewalk_pipeline::step::{StepKind, follow};
use framewalk_pipeline::{Step, StepTrace, Steps};
use proptest::prelude::*;

fn steps(setup: &Setup, frames: &[Recorded], number: u64) -> Option<Steps> {
    let mut engine = setup.engine(frames, StepTrace::new(number));
    let mut now = 0;
    let steps = follow(&mut engine, &setup.cast(), None, |engine| {
        now += 1_000_000;
        engine.poll_hosts(now);
    });
    assert!(engine.ledger().check().is_ok());
    steps
}

/// The state without what a clock made of it.
fn timeless(step: &Step) -> Step {
    Step { cost_ticks: step.cost_ticks.map(|_| 0), ..step.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 200 },
        ..ProptestConfig::default()
    })]

    #[test]
    fn back_and_forth_gives_the_same_states(
        setup in setup(),
        frames in proptest::collection::vec(frame(), 1..40),
        which in any::<prop::sample::Index>(),
        moves in proptest::collection::vec(0u8..4, 0..60),
    ) {
        let number = which.index(frames.len()) as u64 + 1;
        let mut life = steps(&setup, &frames, number).expect("every frame arrives");
        let states: Vec<Step> = life.all().to_vec();
        let mut at = 0usize;
        for step in moves {
            let (moved, expected) = match step {
                0 => (life.forward(), (at + 1 < states.len()).then_some(at + 1)),
                1 => (life.back(), at.checked_sub(1)),
                2 => { life.first(); (true, Some(0)) }
                _ => { life.last(); (true, Some(states.len() - 1)) }
            };
            prop_assert_eq!(moved, expected.is_some());
            at = expected.unwrap_or(at);
            prop_assert_eq!(life.position(), at);
            prop_assert_eq!(life.current(), &states[at]);
        }
        // and the life itself is the same when it is lived again
        let again = steps(&setup, &frames, number).expect("it arrives again");
        let same: Vec<Step> = again.all().iter().map(timeless).collect();
        prop_assert_eq!(same, states.iter().map(timeless).collect::<Vec<_>>());
    }

    #[test]
    fn a_life_is_whole_and_in_order(
        setup in setup(),
        frames in proptest::collection::vec(frame(), 1..40),
        which in any::<prop::sample::Index>(),
    ) {
        let number = which.index(frames.len()) as u64 + 1;
        let life = steps(&setup, &frames, number).expect("every frame arrives");
        let all = life.all();
        prop_assert_eq!(all[0].kind, StepKind::Origin);
        prop_assert_eq!(&all[0].bytes[..], &frames[number as usize - 1].bytes[..]);
        prop_assert!(all.windows(2).all(|pair| pair[0].copies <= pair[1].copies
            || pair[1].stage >= Stage::Vswitch));
        let first_stages: Vec<Stage> = all.iter().map(|step| step.stage).collect();
        let inwards = all.iter().take_while(|s| !matches!(s.kind, StepKind::Decided(_))).count();
        prop_assert!(first_stages[..inwards].is_sorted());
        for step in all {
            prop_assert!(step.view.end <= step.bytes.len() && step.view.start <= step.view.end);
            if let Some(g) = step.geometry {
                prop_assert!(g.pulled <= g.data && g.data <= g.tail && g.tail <= g.end);
                prop_assert_eq!(step.view.len(), g.tail - g.data);
            }
            prop_assert_eq!(step.told, step.geometry.is_none() && step.refs.is_none());
        }
        // it ends: delivered, dropped, merged, taken, or visibly waiting
        let ends = |kind: &StepKind| matches!(kind, StepKind::FarEnd(_) | StepKind::Dropped(..)
            | StepKind::Merged | StepKind::Consumed | StepKind::Waiting);
        prop_assert!(ends(&all[all.len() - 1].kind), "{:?}", all[all.len() - 1].kind);
    }
}

fn plain(ty: u8) -> Setup {
    Setup {
        linktype: LinkType::ETHERNET,
        ty,
        guests: 2,
        flood: false,
        trunk: false,
        pvids: [1; 4],
        mirror: None,
        credit: false,
        live: false,
        rx_buffers: 4,
        slots: 64,
        gro: false,
        budget: 1,
    }
}

fn frame_of(dst: [u8; 6], src: u8) -> Recorded {
    let mut bytes = [&dst[..], &mac(src).0, &[8, 0]].concat();
    bytes.resize(60, 0);
    Recorded { bytes, origlen_more: 0 }
}

fn kinds(life: &Steps) -> Vec<&'static str> {
    life.all().iter().map(|step| step.kind.name()).collect()
}

#[test]
fn a_broadcast_from_the_wire_is_shared_not_copied() {
    let frames = [frame_of([0xff; 6], 7)];
    let life = steps(&plain(0), &frames, 1).unwrap();
    assert_eq!(
        kinds(&life),
        [
            "origin",
            "arrived",
            "built",
            "classified",
            "decided",
            "egress",
            "egress",
            "boundary",
            "far-end",
            "boundary",
            "far-end"
        ]
    );
    let of = |i: usize| &life.all()[i];
    assert_eq!((of(3).view.clone(), of(5).view.clone()), (14..60, 0..60));
    assert_eq!((of(4).references, of(5).references, of(6).references), (1, 2, 2));
    assert_eq!((of(7).references, of(9).references), (1, 0));
    assert!(life.all().iter().all(|step| step.copies == 0));
    assert_eq!(of(0).packet.map(|packet| (packet.bytes, packet.frame)), Some((72, 64)));
    assert_eq!(life.forwarded().map(PortSet::count), Some(2));
    assert_eq!(life.of_stage(Stage::Guest), Some(7));
}

#[test]
fn a_live_guest_gets_a_copy_and_the_story_says_so() {
    let setup = Setup { live: true, ..plain(0) };
    let life =
        steps(&setup, &[frame_of([2, 0, 0, 0, 0, 1], 7), frame_of([0xff; 6], 7)], 2).unwrap();
    let copies: Vec<u32> = life.all().iter().map(|step| step.copies).collect();
    assert_eq!(copies, [0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0]);
}

#[test]
fn a_drop_ends_the_life_with_its_reason() {
    let frames = [frame_of([1, 0x80, 0xc2, 0, 0, 0], 7)];
    let life = steps(&plain(0), &frames, 1).unwrap();
    let last = &life.all()[life.len() - 1];
    assert_eq!(last.kind, StepKind::Dropped(DropReason::LinkLocal, None));
    assert_eq!((last.references, last.stage), (0, Stage::Vswitch));
    assert!(life.of_stage(Stage::Guest).is_none());
    // a private switch has no wire: what came in by it goes nowhere
    let life = steps(&plain(1), &[frame_of([2, 0, 0, 0, 0, 1], 7)], 1).unwrap();
    let decided = life.all().iter().find_map(|step| match step.kind {
        StepKind::Decided(verdict) => Some(verdict),
        _ => None,
    });
    assert_eq!(decided, Some(Verdict::Drop(DropReason::Policy)));
}

#[test]
fn a_frame_that_is_not_there_has_no_life() {
    assert!(steps(&plain(0), &[frame_of([0xff; 6], 7)], 2).is_none());
}
