//! The steady state of the path allocates nothing and copies nothing, counted.

use framewalk_benches::path::{Bench, FRAMES};
use pipeline::skb::trace::{NoTrace, StampTrace, Tracer};

#[allow(clippy::unwrap_used)] // a test
fn steady_state<T: Tracer>(tracer: T, histograms: bool) {
    let mut bench = Bench::new(tracer, histograms).unwrap();
    // the first round floods and teaches
    bench.rounds(2);
    let copies = bench.engine().ledger().copies_total();
    let counted = allocation_counter::measure(|| {
        assert_eq!(bench.rounds(16), 16 * FRAMES as u64);
    });
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0), "allocations in steady state");
    assert_eq!(bench.engine().ledger().copies_total(), copies, "copies in steady state");
}

#[test]
fn nothing_is_allocated_or_copied_per_frame() {
    steady_state(NoTrace, true);
    steady_state(NoTrace, false);
    steady_state(StampTrace::new(256), true);
}

#[test]
fn the_counter_counts() {
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![0_u8; 100])));
    assert_eq!(counted.count_total, 1);
}
