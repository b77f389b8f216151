//! What the tests share: reading pages, counting with a local recorder, running
//! programs such as Prometheus, and waiting for conditions instead of sleeping.

pub mod ages;
pub mod allocations;
pub mod fast_rules;
pub mod markdown;
pub mod page;
pub mod page_server;
pub mod program;
pub mod prometheus_server;
pub mod protobuf;
pub mod random;
pub mod recorded;
pub mod recording_proxy;

use std::fmt::Debug;
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

/// The time limit for a condition, long enough for the slowest machine. Only a failing
/// test reaches it.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Calls `ask` until it returns a value.
///
/// # Panics
///
/// Panics if `ask` returns no value within [`DEADLINE`]. `what` names the condition in the
/// message.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < DEADLINE, "timed out waiting for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Calls `ask` until it returns a value that `accepts` accepts.
///
/// # Panics
///
/// Panics with the last value if none is accepted within [`DEADLINE`]. `what` names the
/// condition in the message.
pub fn wait_until<T: Debug>(
    what: &str,
    mut ask: impl FnMut() -> T,
    accepts: impl Fn(&T) -> bool,
) -> T {
    let started = Instant::now();
    wait_for(what, || {
        let answer = ask();
        if accepts(&answer) {
            return Some(answer);
        }
        assert!(
            started.elapsed() < DEADLINE,
            "timed out waiting for {what}: {answer:#?}"
        );
        None
    })
}

/// Returns whether the tests run in CI, where a test that needs a server or a tool must
/// not be skipped.
#[must_use]
pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|ci| ci == "true")
}

/// Returns whether a test that takes longer than about 20 seconds should run: in CI, or
/// with `LONG_TESTS=1`. Otherwise says on stderr that the test is skipped.
#[must_use]
pub fn runs_long() -> bool {
    let runs = in_ci() || std::env::var_os("LONG_TESTS").is_some();
    if !runs {
        let test = std::thread::current();
        let test = test.name().unwrap_or("a long test");
        skipped(&format!("{test} takes long; set LONG_TESTS=1 to run it"));
    }
    runs
}

/// Writes to stderr that a test is skipped, even while libtest captures `eprintln!`.
pub fn skipped(why: &str) {
    // A test must not fail because stderr is closed.
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// Runs the test `name` in a separate process and returns what that process wrote to
/// stderr. In the separate process, runs `test` and returns `None`.
///
/// # Panics
///
/// Panics if the test fails.
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
