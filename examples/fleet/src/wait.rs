//! Waiting for a condition, with a deadline.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::is_stopped;

/// Asks until there is an answer, and tells it with the time that it took.
///
/// # Errors
///
/// When there is none in time, or the program is told to stop.
pub fn wait_for<T>(
    what: &str,
    at_most: Duration,
    mut ask: impl FnMut() -> Option<T>,
) -> anyhow::Result<(T, Duration)> {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Ok((answer, started.elapsed()));
        }
        if is_stopped() {
            bail!("told to stop");
        }
        if started.elapsed() > at_most {
            bail!("waited {at_most:?} in vain for {what}");
        }
        thread::sleep(Duration::from_millis(50));
    }
}
