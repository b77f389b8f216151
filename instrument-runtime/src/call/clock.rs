//! The clock that calls are timed by: monotonic, and the cheapest to read.

use std::sync::LazyLock;

use quanta::Clock;

static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::new);

/// A reading, in the clock's own unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instant(u64);

impl Instant {
    #[inline]
    pub(crate) fn now() -> Self {
        Self(CLOCK.raw())
    }

    /// Never below 0, also where the counters of two cores differ.
    #[inline]
    pub(crate) fn elapsed_nanos(self) -> u64 {
        let clock = &*CLOCK;
        clock.delta_as_nanos(self.0, clock.raw())
    }
}

/// A process's first reading calibrates the clock (0.6 ms); better now than in
/// the first call.
pub(crate) fn calibrate() {
    LazyLock::force(&CLOCK);
}
