//! The clock that calls are timed by: monotonic, and the cheapest to read.

pub(crate) use quanta::Instant;

/// A process's first reading calibrates the clock (0.6 ms); better now than in
/// the first call.
pub(crate) fn calibrate() {
    let _ = Instant::now();
}
