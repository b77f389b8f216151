//! What the tests share: reading pages, counting with a local recorder, running
//! programs, and waiting for conditions instead of sleeping.

pub mod allocations;
pub mod page;
pub mod program;
pub mod recorded;

use std::process::Command;
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

/// Runs `test`, whose name is `name`, in a process of its own. Returns what that
/// process wrote to stderr, and in the process itself nothing.
///
/// # Panics
///
/// When the test fails.
pub fn alone(name: &str, test: impl FnOnce()) -> Option<String> {
    const ALONE: &str = "INSTRUMENT_TEST_ALONE";
    if std::env::var(ALONE).as_deref() == Ok(name) {
        test();
        return None;
    }
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args([name, "--exact", "--nocapture"])
        .env(ALONE, name)
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{said}"
    );
    Some(said)
}
