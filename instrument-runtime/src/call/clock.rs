//! The monotonic clock that times calls. It reads the time stamp counter (TSC) where
//! `quanta` supports it, because no other clock is as cheap to read.

use std::sync::LazyLock;

use quanta::Clock;

static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::new);

/// A reading of the clock, in its raw unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instant(u64);

impl Instant {
    #[inline]
    pub(crate) fn now() -> Self {
        Self(CLOCK.raw())
    }

    /// Returns the time since this reading, in nanoseconds.
    ///
    /// Saturates at 0, because the counters of two cores may differ.
    #[inline]
    pub(crate) fn elapsed_nanos(self) -> u64 {
        let clock = &*CLOCK;
        clock.delta_as_nanos(self.0, clock.raw())
    }
}

/// Calibrates the clock, which takes 0.6 ms. `install` calls this function, so that the
/// first measured call does not have to wait.
pub(crate) fn calibrate() {
    LazyLock::force(&CLOCK);
}
