//! Waits for a condition, with a deadline.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::is_stopped;

/// Calls `ask` every 50 ms until it returns a value.
///
/// Returns the value and the time that it waited.
///
/// # Errors
///
/// Returns an error if the wait takes longer than `at_most`, or if a signal stops the
/// program. The message of a timeout contains `what`.
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
            bail!("stopped by a signal");
        }
        if started.elapsed() > at_most {
            bail!("timed out after {at_most:?} while waiting for {what}");
        }
        thread::sleep(Duration::from_millis(50));
    }
}
