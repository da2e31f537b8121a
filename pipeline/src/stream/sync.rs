//! What threads share: the standard library's, or in a model loom's, which tries every order in
//! which the memory of a processor may let them see each other's writes.

#[cfg(feature = "loom")]
pub(super) use loom::sync::{
    Condvar, Mutex,
    atomic::{AtomicBool, Ordering, fence},
};

#[cfg(not(feature = "loom"))]
pub(super) use std::sync::{
    Condvar, Mutex,
    atomic::{AtomicBool, Ordering, fence},
};

/// Every order, of a few steps: `cargo test -p framewalk-pipeline --features loom model_`. A ring
/// that is lost leaves a thread that waits for ever, which loom reports.
#[cfg(all(test, feature = "loom"))]
mod tests {
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicUsize;
    use loom::thread;
    use std::time::Duration;

    use super::super::bell::Bell;
    use super::super::door::Door;
    use super::Ordering::Relaxed;

    #[test]
    fn model_a_ring_reaches_who_waits() {
        loom::model(|| {
            let shared = Arc::new((Bell::default(), AtomicUsize::new(0)));
            let other = Arc::clone(&shared);
            let rings = thread::spawn(move || {
                other.1.store(1, Relaxed);
                other.0.ring();
            });
            assert!(shared.0.wait(None, || shared.1.load(Relaxed) == 1));
            rings.join().unwrap();
        });
    }

    #[test]
    fn model_two_users_and_the_pump() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let shared = Arc::new((Door::default(), [AtomicUsize::new(0), AtomicUsize::new(0)]));
            let user = |which: usize| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    shared.1[which].store(1, Relaxed);
                    shared.0.ring();
                })
            };
            let users = [user(0), user(1)];
            // as the pump does: works, and sleeps when nobody has rung since
            while shared.1.iter().map(|given| given.load(Relaxed)).sum::<usize>() < 2 {
                if !shared.0.take() {
                    // a model has no clock: this ends by a ring alone
                    shared.0.wait(Duration::from_secs(1));
                }
            }
            for user in users {
                user.join().unwrap();
            }
        });
    }
}
