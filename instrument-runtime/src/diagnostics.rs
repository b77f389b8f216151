//! Says on stderr, once, what keeps an application from seeing its metrics.
//!
//! A library that annotates its functions must not make its users' programs talk:
//! without `init` its calls are to count nothing, silently. So a message needs a
//! sign that the application itself wants metrics: a layer that counts requests, or
//! a page that is asked for. What lacks that sign is said only if it is asked for
//! (`INSTRUMENT_DIAGNOSTICS=verbose`).
//!
//! Everything here is asked on cold paths: when a series is new, or when there is no
//! recorder to record in.

use std::fmt;
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The switch: `off`, or `verbose`. Anything else is as if it were not set.
const VARIABLE: &str = "INSTRUMENT_DIAGNOSTICS";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Off,
    Default,
    Verbose,
}

/// By the builder, once there is an installation.
static SILENCED: AtomicBool = AtomicBool::new(false);

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

/// Says something of which the caller knows that it is said seldom.
pub(crate) fn say(message: fmt::Arguments<'_>) {
    if level() != Level::Off {
        // A closed stderr must not end the program, as it would with `eprintln!`.
        let _ = writeln!(
            std::io::stderr(),
            "instrument_runtime: {message} ({VARIABLE}=off silences this)"
        );
    }
}

/// A message that is written once in a process.
pub(crate) struct Message {
    is_written: AtomicBool,
    level: Level,
}

impl Message {
    /// Written unless messages are off.
    pub(crate) const fn new() -> Self {
        Self {
            is_written: AtomicBool::new(false),
            level: Level::Default,
        }
    }

    /// Written only with `INSTRUMENT_DIAGNOSTICS=verbose`.
    pub(crate) const fn verbose() -> Self {
        Self {
            is_written: AtomicBool::new(false),
            level: Level::Verbose,
        }
    }

    /// Whether the message is still to be written.
    pub(crate) fn is_due(&self) -> bool {
        let level = level();
        !self.is_written.load(Ordering::Relaxed) && (level == Level::Verbose || level == self.level)
    }

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
