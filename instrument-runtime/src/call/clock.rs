//! The monotonic clock that times calls. It reads the time stamp counter (TSC) where
//! `quanta` supports it, because no other clock is as cheap to read.

use std::sync::LazyLock;
use std::time::Duration;

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

    /// Returns the reading in the raw unit of the clock.
    #[inline]
    pub(crate) fn raw(self) -> u64 {
        self.0
    }

    /// Returns the time since this reading.
    ///
    /// Saturates at 0, because the counters of two cores may differ.
    #[inline]
    pub(crate) fn elapsed(self) -> Elapsed {
        let clock = &*CLOCK;
        let end = clock.raw();
        Elapsed {
            nanos: clock.delta_as_nanos(self.0, end),
            end,
        }
    }
}

/// How long a call took, and when it ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elapsed {
    pub(crate) nanos: u64,
    /// The reading of the clock at the end, in its raw unit.
    pub(crate) end: u64,
}

/// Converts a duration to the raw unit of the clock, with enough precision for intervals.
pub(crate) fn ticks(duration: Duration) -> u64 {
    const TICKS: u64 = 1 << 32;
    let nanos = CLOCK.delta_as_nanos(0, TICKS).max(1);
    let ticks = duration.as_nanos() * u128::from(TICKS) / u128::from(nanos);
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// Returns the time since a reading in the raw unit of the clock, in nanoseconds.
pub(crate) fn nanos_since(raw: u64) -> u64 {
    Instant(raw).elapsed().nanos
}

/// Calibrates the clock, which takes 0.6 ms. `install` calls this function, so that the
/// first measured call does not have to wait.
pub(crate) fn calibrate() {
    LazyLock::force(&CLOCK);
}
