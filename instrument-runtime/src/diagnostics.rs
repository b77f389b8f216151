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

#[cfg(feature = "_layer")]
use crate::arguments::{Extracts, ExtractsOf};
#[cfg(feature = "_layer")]
use crate::call_site::{CallSite, Role};
use crate::current;

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

/// Something that is said once in a process.
struct Message(AtomicBool);

impl Message {
    const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    fn say(&self, least: Level, message: fmt::Arguments<'_>) {
        let level = level();
        let is_wanted = level == Level::Verbose || level == least;
        if is_wanted && !self.0.swap(true, Ordering::Relaxed) {
            say(message);
        }
    }

    fn is_said(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The page is asked for on a route of the application's own.
#[cfg(any(feature = "axum", feature = "actix-web"))]
pub(crate) fn page_without_installation() {
    static NO_PAGE: Message = Message::new();
    NO_PAGE.say(
        Level::Default,
        format_args!(
            "the page of metrics was asked for and answered with 503, because nothing is \
             installed. Call `instrument_runtime::init(\"…\")` early in `main`"
        ),
    );
}

/// A call is to be recorded by another recorder than ours, or by none.
#[cold]
pub(crate) fn call_elsewhere(endpoint: impl FnOnce() -> String) {
    static NO_RECORDER: Message = Message::new();
    if !NO_RECORDER.is_said() && current::is_none() && level() == Level::Verbose {
        NO_RECORDER.say(
            Level::Verbose,
            format_args!(
                "`{}` was called, and no recorder is installed that could count it. Call \
                 `instrument_runtime::init(\"…\")` early in `main`.",
                endpoint()
            ),
        );
    }
}

/// Whether a layer has counted a request in this process.
#[cfg(feature = "_layer")]
static LAYERED: AtomicBool = AtomicBool::new(false);
/// A function that looked like a handler outside of all requests, before then.
#[cfg(feature = "_layer")]
static OUTSIDE: OnceLock<&'static CallSite> = OnceLock::new();

/// A layer counts a request, the first of its series or one that nobody records.
#[cfg(feature = "_layer")]
#[cold]
pub(crate) fn layer_counts() {
    static NO_RECORDER: Message = Message::new();
    if !NO_RECORDER.is_said() && current::is_none() {
        NO_RECORDER.say(
            Level::Default,
            format_args!(
                "a layer counts requests, and no recorder is installed, so nothing is recorded. \
                 Call `instrument_runtime::init(\"…\")` early in `main`, before requests are \
                 served"
            ),
        );
    }
    if !LAYERED.swap(true, Ordering::Relaxed)
        && let Some(site) = OUTSIDE.get()
    {
        say_outside(site);
    }
}

/// The first call of a function that is counted by itself. `is_answer` and
/// `extracts` are what its return type and its arguments are to a framework.
#[cfg(feature = "_layer")]
#[cold]
pub(crate) fn counted_by_itself(site: &'static CallSite, is_answer: bool, extracts: ExtractsOf) {
    if !crate::request::is_current() && is_handler(site, is_answer, extracts) {
        if LAYERED.load(Ordering::Relaxed) {
            say_outside(site);
        } else if site.has_method() || site.endpoint().is_some() {
            // One is enough.
            let _ = OUTSIDE.set(site);
        } else {
            say_unnamed(site);
        }
    }
}

/// Whether nothing but a handler is written that way. A helper may return an answer
/// and take a string.
#[cfg(feature = "_layer")]
fn is_handler(site: &CallSite, is_answer: bool, extracts: ExtractsOf) -> bool {
    let fits = |extracts: Extracts| {
        let is_said = site.has_method() || extracts.is_telling() || extracts.is_request();
        is_answer && extracts.are_all() && is_said
    };
    match site.role() {
        Role::Handler => true,
        Role::Open => fits(extracts.axum) || fits(extracts.actix_web),
        Role::Helper | Role::Never => false,
    }
}

#[cfg(feature = "_layer")]
fn say_outside(site: &CallSite) {
    static UNSEEN: Message = Message::new();
    UNSEEN.say(
        Level::Default,
        format_args!(
            "the handler `{site}` ran outside of the requests that the layer counts, so its \
             requests are not counted as such. In axum, add the layer after all routes: a route \
             that is added after `.layer(…)` is not in it. If the function is not a handler, say \
             so: `#[instrumented(handler = false)]`"
        ),
    );
}

#[cfg(feature = "_layer")]
fn say_unnamed(site: &CallSite) {
    static UNNAMED: Message = Message::new();
    UNNAMED.say(
        Level::Default,
        format_args!(
            "the handler `{site}` is counted without a method, and with its path for an endpoint, \
             because neither its attribute nor a layer knows the route. Put `#[instrumented]` \
             above a route attribute such as `#[get(…)]`, add the framework's layer outside of all \
             routes, or give `endpoint` and `method`. If the function is not a handler, say so: \
             `#[instrumented(handler = false)]`"
        ),
    );
}

/// A function with labels of its own may be a request's handler, and is not taken for
/// it for want of evidence.
#[cfg(feature = "_layer")]
#[cold]
pub(crate) fn labels_in_doubt(site: &CallSite) {
    static IN_DOUBT: Message = Message::new();
    IN_DOUBT.say(
        Level::Default,
        format_args!(
            "`{site}` may be the handler of the request in which it ran, and nothing proves it: \
             it is counted by itself, and the request without the function's labels. Say which it \
             is: `#[instrumented(handler, …)]`, or `#[instrumented(handler = false, …)]`"
        ),
    );
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
