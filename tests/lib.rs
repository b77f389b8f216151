//! What the tests share: reading pages, counting with a local recorder, running
//! programs, and waiting for conditions instead of sleeping.

pub mod page;
pub mod program;
pub mod recorded;

use std::time::{Duration, Instant};

/// Long enough for the slowest machine; reached only by a failure.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Asks until there is an answer.
///
/// # Panics
///
/// When there is none by the deadline; `what` says what was waited for.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < DEADLINE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a test that needs a server or a tool must not be skipped.
#[must_use]
pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|ci| ci == "true")
}
