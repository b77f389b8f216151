//! The clock that times calls: monotonic, and the time stamp counter where `quanta` can
//! use it, because that is the cheapest to read.

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

/// Calibrates the clock, which takes 0.6 ms. Called by `install`, so that the first call
/// does not pay for it.
pub(crate) fn calibrate() {
    LazyLock::force(&CLOCK);
}
