//! What depends on the processor: prefetch hints and the tick counter.

/// Asks the cache for the line where `items[index]` begins. A hint: out of range does nothing.
#[inline(always)]
pub fn prefetch<T>(items: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code)]
    if let Some(item) = items.get(index) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the address is of a live item of `items`; prefetch reads nothing
        // architecturally and SSE is part of the x86_64 baseline.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(item).cast::<i8>()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (items, index);
}

/// Asks the cache for the lines that `items[index]` begins with, up to two of 64 bytes.
#[inline(always)]
pub fn prefetch_two<T>(items: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code)]
    if let Some(item) = items.get(index) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let at = std::ptr::from_ref(item).cast::<i8>();
        // SAFETY: the first address is of a live item of `items`, the second at most 64 bytes
        // behind it and only computed; prefetch reads nothing architecturally and SSE is part of
        // the x86_64 baseline.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(at);
            _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(64));
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (items, index);
}

/// A monotonic tick count: the TSC on x86_64, nanoseconds elsewhere. See [`TickRate`].
#[inline(always)]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code)]
    // SAFETY: RDTSC is part of the x86_64 baseline and has no memory effects; an operating
    // system that forbids it in user mode (CR4.TSD) raises a signal, it cannot corrupt memory.
    unsafe {
        std::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        epoch().elapsed().as_nanos() as u64
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn epoch() -> std::time::Instant {
    static EPOCH: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    *EPOCH.get_or_init(std::time::Instant::now)
}

/// How long a tick is, measured against the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct TickRate {
    start_ticks: u64,
    start: std::time::Instant,
}

impl TickRate {
    /// Starts measuring.
    #[allow(clippy::new_without_default)]
    pub fn start() -> Self {
        Self { start_ticks: ticks(), start: std::time::Instant::now() }
    }

    /// Nanoseconds per tick over the time since [`start`](Self::start). The longer that is, the
    /// truer: the two clocks are read some tens of nanoseconds apart. Waits for the first
    /// millisecond so that even a short run has a rate good to about 0.01 %.
    pub fn ns_per_tick(&self) -> f64 {
        loop {
            let elapsed = self.start.elapsed();
            let ticks = ticks().saturating_sub(self.start_ticks);
            if elapsed.as_millis() >= 1 && ticks > 0 {
                return elapsed.as_nanos() as f64 / ticks as f64;
            }
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_follow_the_clock() {
        let rate = TickRate::start();
        let ns = rate.ns_per_tick();
        assert!(ns > 0.01 && ns < 1000.0, "{ns}");
        prefetch(&[1, 2, 3], 2);
        prefetch::<u64>(&[], 9);
    }
}
