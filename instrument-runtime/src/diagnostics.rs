//! Messages on stderr about mistakes that keep an application from seeing its metrics.
//!
//! A library may annotate its functions and be used by a program that does not call
//! `init`. The calls are then not counted, and the program must not get messages about
//! metrics that it never asked for. A message therefore needs evidence that the
//! application itself wants metrics: a layer counts requests, the page is requested, an
//! annotated function looks like a handler, or our recorder is installed. Messages without
//! that evidence are written only with `INSTRUMENT_DIAGNOSTICS=verbose`.
//!
//! All callers are on cold paths: a series or a metric is new, metrics are not installed,
//! or a call inside a request may be its handler.

use std::fmt;
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The environment variable that sets the level: `off` (or `0`, `false`, `none`) or
/// `verbose`. Any other value has no effect.
const VARIABLE: &str = "INSTRUMENT_DIAGNOSTICS";

/// Which messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Off,
    Default,
    Verbose,
}

/// Whether [`silence`] was called. The builder calls it after a successful installation
/// whose settings turn messages off.
static SILENCED: AtomicBool = AtomicBool::new(false);

/// Turns all messages off for the rest of the process.
pub(crate) fn silence() {
    SILENCED.store(true, Ordering::Relaxed);
}

fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    if SILENCED.load(Ordering::Relaxed) {
        return Level::Off;
    }
    *LEVEL.get_or_init(|| of_variable(std::env::var(VARIABLE).ok().as_deref()))
}

fn of_variable(value: Option<&str>) -> Level {
    match value {
        Some("off" | "0" | "false" | "none") => Level::Off,
        Some("verbose") => Level::Verbose,
        _ => Level::Default,
    }
}

/// Writes a message to stderr unless messages are off. The caller makes sure that the
/// message is rare.
pub(crate) fn say(message: fmt::Arguments<'_>) {
    if level() != Level::Off {
        // `eprintln!` would panic if stderr is closed.
        let _ = writeln!(
            std::io::stderr(),
            "instrument_runtime: {message} (set {VARIABLE}=off to silence this)"
        );
    }
}

/// A message that is written at most once per process.
pub(crate) struct Message {
    is_written: AtomicBool,
    level: Level,
}

impl Message {
    /// Creates a message that is written unless messages are off.
    pub(crate) const fn new() -> Self {
        Self {
            is_written: AtomicBool::new(false),
            level: Level::Default,
        }
    }

    /// Creates a message that is written only with `INSTRUMENT_DIAGNOSTICS=verbose`.
    pub(crate) const fn verbose() -> Self {
        Self {
            is_written: AtomicBool::new(false),
            level: Level::Verbose,
        }
    }

    /// Returns whether [`write`](Self::write) would write the message.
    pub(crate) fn is_due(&self) -> bool {
        let level = level();
        !self.is_written.load(Ordering::Relaxed) && (level == Level::Verbose || level == self.level)
    }

    /// Writes the message, unless it was written before or its level is not enabled.
    pub(crate) fn write(&self, message: fmt::Arguments<'_>) {
        if self.is_due() && !self.is_written.swap(true, Ordering::Relaxed) {
            say(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_has_two_words() {
        for (value, level) in [
            (None, Level::Default),
            (Some(""), Level::Default),
            (Some("on"), Level::Default),
            (Some("off"), Level::Off),
            (Some("0"), Level::Off),
            (Some("verbose"), Level::Verbose),
        ] {
            assert_eq!(of_variable(value), level, "{value:?}");
        }
    }
}
