//! The ledger balances for any traffic and any switch.

mod common;

use common::{frame, run, setup};
use framewalk_pipeline::StepTrace;
use framewalk_pipeline::skb::trace::NoTrace;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 200 },
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_reference_is_accounted_for(
        setup in setup(),
        frames in proptest::collection::vec(frame(), 0..150),
    ) {
        let mut engine = setup.engine(&frames, NoTrace);
        run(&mut engine)?;
        engine.shut_down();
        let ledger = engine.ledger();
        prop_assert!(ledger.check().is_ok(), "{ledger:?}");
        prop_assert_eq!(ledger.held, 0);
        prop_assert_eq!(ledger.frames_in, frames.len() as u64);
        // no switch here has a host edge, so nothing can have reached the host
        prop_assert_eq!(ledger.host, 0);
        prop_assert_eq!(engine.switch().graph().host_edges(), 0);
        let taken: u64 = engine.ports().iter().map(|port| port.endpoint().taken().0).sum();
        prop_assert_eq!(taken, ledger.delivered);
    }

    /// Watching changes nothing: the same traffic ends the same way with a tracer.
    #[test]
    fn a_tracer_changes_no_count(
        setup in setup(),
        frames in proptest::collection::vec(frame(), 1..60),
    ) {
        let mut plain = setup.engine(&frames, NoTrace);
        let mut traced = setup.engine(&frames, StepTrace::new(1));
        run(&mut plain)?;
        run(&mut traced)?;
        prop_assert_eq!(plain.ledger(), traced.ledger());
        prop_assert_eq!(traced.tracer().frames_seen() >= frames.len() as u64, true);
    }
}
