//! What the calls notice that keeps an application from seeing its metrics. Each
//! message is written once. See [Silence](crate#silence) for when.
//!
//! Everything here runs on cold paths: when a series is new, or when there is no
//! recorder to record in.

use std::fmt::Display;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::call::global;
use crate::diagnostics::Message;

/// A function, as a message names it.
pub(super) type Name = &'static (dyn Display + Sync);

/// A call is recorded by another recorder than ours, or by none.
#[cold]
pub(super) fn call_elsewhere(function: &dyn Display) {
    static NO_RECORDER: Message = Message::verbose();
    if NO_RECORDER.is_due() && global::is_none() {
        NO_RECORDER.write(format_args!(
            "`{function}` was called, and no recorder is installed that could count it. Call \
             `instrument_runtime::init(\"…\")` early in `main`."
        ));
    }
}

/// Whether a layer has counted a request in this process.
static LAYERED: AtomicBool = AtomicBool::new(false);
/// A function that looked like a handler outside of all requests, before then.
static OUTSIDE: OnceLock<Name> = OnceLock::new();

/// A layer counts a request: the first request of its series, or one that no
/// recorder takes.
#[cold]
pub(super) fn layer_counts() {
    static NO_RECORDER: Message = Message::new();
    if NO_RECORDER.is_due() && global::is_none() {
        NO_RECORDER.write(format_args!(
            "a layer counts requests, and no recorder is installed, so nothing is recorded. \
             Call `instrument_runtime::init(\"…\")` early in `main`, before requests are \
             served"
        ));
    }
    if !LAYERED.swap(true, Ordering::Relaxed)
        && let Some(handler) = OUTSIDE.get()
    {
        outside(*handler);
    }
}

/// A function that looks like a handler is called outside of all requests.
/// `is_named`: its attribute gives it a method or an endpoint.
#[cold]
pub(super) fn handler_without_request(handler: Name, is_named: bool) {
    if LAYERED.load(Ordering::Relaxed) {
        outside(handler);
    } else if is_named {
        // One is enough.
        let _ = OUTSIDE.set(handler);
    } else {
        unnamed(handler);
    }
}

fn outside(handler: Name) {
    static OUTSIDE: Message = Message::new();
    OUTSIDE.write(format_args!(
        "the handler `{handler}` ran outside of the requests that the layer counts, so its \
         requests are not counted as such. In axum, add the layer after all routes: a route \
         that is added after `.layer(…)` is not in it. If the function is not a handler, say \
         so: `#[instrumented(handler = false)]`"
    ));
}

fn unnamed(handler: Name) {
    static UNNAMED: Message = Message::new();
    UNNAMED.write(format_args!(
        "the handler `{handler}` is counted without a method, and with its path for an endpoint, \
         because neither its attribute nor a layer knows the route. Put `#[instrumented]` \
         above a route attribute such as `#[get(…)]`, add the framework's layer outside of all \
         routes, or give `endpoint` and `method`. If the function is not a handler, say so: \
         `#[instrumented(handler = false)]`"
    ));
}

/// A function with labels of its own may be a request's handler, but nothing proves it.
#[cold]
pub(super) fn labels_in_doubt(function: &dyn Display) {
    static IN_DOUBT: Message = Message::new();
    IN_DOUBT.write(format_args!(
        "`{function}` may be the handler of the request in which it ran, and nothing proves it: \
         it is counted by itself, and the request without the function's labels. Say which it \
         is: `#[instrumented(handler, …)]`, or `#[instrumented(handler = false, …)]`"
    ));
}
