//! Compares the age of a call on a page with the times that a test has noted.

use std::time::{Duration, Instant};

/// A time span in which something has happened.
#[derive(Clone, Copy, Debug)]
pub struct Within {
    /// Its start.
    pub from: Instant,
    /// Its end.
    pub to: Instant,
}

impl Within {
    /// Runs `run`, and returns what it returns and when it ran.
    pub fn of<T>(run: impl FnOnce() -> T) -> (T, Self) {
        let from = Instant::now();
        let value = run();
        let to = Instant::now();
        (value, Self { from, to })
    }
}

/// Asserts that `age`, in seconds, is the time from `start` to `read`.
///
/// # Panics
///
/// Panics if it is not.
pub fn assert_age(age: f64, start: Within, read: Within) {
    let least = read.from.saturating_duration_since(start.to);
    let most = read.to.duration_since(start.from);
    // The library reads another clock, whose rate is calibrated against this one.
    let tolerance = most / 100 + Duration::from_micros(20);
    let range = least.saturating_sub(tolerance)..=most + tolerance;
    let age = Duration::from_secs_f64(age);
    assert!(range.contains(&age), "{age:?} is not in {range:?}");
}

/// Lets time pass. Not a sleep, because the time is what is measured, and a sleep takes much
/// longer.
pub fn pass(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}
